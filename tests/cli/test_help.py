#!/usr/bin/env python3
"""What the command says of itself.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import MBJ, OK, USAGE, run  # noqa: E402


class Help(unittest.TestCase):
    def test_every_verb_explains_itself(self):
        """Goal: help, man and completion exist.  Method: ask for them."""
        overview = run("help")
        self.assertEqual(overview.status, OK)
        verbs = [line.split()[0] for line in overview.out.split("\n")
                 if line.startswith("  ") and line.split()]
        self.assertGreaterEqual(len(verbs), 15)
        for verb in verbs:
            self.assertEqual(run("help", verb).status, OK, verb)
        self.assertIn(".SH EXIT STATUS", run("help", "--man").out)
        self.assertIn("complete ", run("help", "--completion", "bash").out)
        self.assertIn("mbj", run("version").out)
        self.assertEqual(run("version", "--json").json()["schema"],
                         "mbj.version/1")

    def test_needs(self):
        """Goal: help and manual page say what an option needs beside it, of
        each verb its own.  Method: one that two verbs have."""
        kept = "stay known (default: 131072)"
        with_house = f"{kept}; with --keep-house\n"
        self.assertIn(with_house, run("help", "serve").out)
        self.assertIn(f"{kept}\n", run("help", "trim").out)
        self.assertIn(with_house.replace("-", "\\-"),
                      run("help", "--man").out)

    def test_all(self):
        """Goal: who asks for one verb's manual page is not given that of all.
        Method: both of what is of all verbs, with one."""
        for options in (("--man",), ("--completion", "bash")):
            said = run("help", "rename", *options)
            self.assertEqual((said.status, said.out), (USAGE, ""))
            self.assertIn(f'{options[0]} is of all verbs, not of "rename"',
                          said.err)

    def test_help_option(self):
        """Goal: asked in any usual way, help answers.  Method: --help and -h
        alone and behind a verb."""
        for arguments in (("--help",), ("-h",), ("help",)):
            self.assertIn("VERB", run(*arguments).out)
        for arguments in (("rename", "--help"), ("rename", "-h"),
                          ("rename", "P", "alice", "--help")):
            self.assertEqual(run(*arguments).out, run("help", "rename").out)
        self.assertIn("mbj", run("--version").out)

    def test_readme(self):
        """Goal: the README's session is a session.  Method: run its commands
        on the demo's account, compare what it shows."""
        bash = shutil.which("bash")
        if not bash:
            self.skipTest("no bash here")
        root = pathlib.Path(__file__).resolve().parent.parent.parent
        demo = (root / "docs" / "demo").read_text()
        account = demo.split("alice.json <<'EOF'\n")[1].split("EOF\n")[0]
        session = (root / "README.md").read_text().split("```\n")[1]
        commands, shown, is_command = [], [], False
        for line in session.splitlines():
            if line.startswith("$ ") or is_command:
                commands.append(line.removeprefix("$ "))
                is_command = line.endswith("\\")
            else:
                shown.append(line)
        with tempfile.TemporaryDirectory() as work:
            bin_dir = pathlib.Path(work) / "bin"
            bin_dir.mkdir()
            (bin_dir / "mbj").symlink_to(pathlib.Path(MBJ).resolve())
            (pathlib.Path(work) / "mailboxes.json").write_text(account)
            script = "\n".join(["mbj init P >&2", "mbj init R --role replica "
                                ">&2", *commands])
            done = subprocess.run(
                [bash, "-ec", script], cwd=work, capture_output=True,
                text=True, check=False, env={
                    **os.environ, "PATH": f"{bin_dir}:{os.environ['PATH']}"})
        self.assertEqual(done.returncode, 0, done.stderr)
        # Of an import the map of ids is left out, which is never the same.
        self.assertEqual(done.stdout.splitlines()[-len(shown):], shown)

    def test_examples(self):
        """Goal: what help shows can be typed.  Method: every verb's example,
        in the order of the overview, in one directory."""
        bash = shutil.which("bash")
        if not bash:
            self.skipTest("no bash here")
        verbs = [line.split()[0] for line in run("help").out.split("\n")
                 if line.startswith("  ")]
        with tempfile.TemporaryDirectory() as work:
            (pathlib.Path(work) / "mbj").symlink_to(
                pathlib.Path(MBJ).resolve())
            (pathlib.Path(work) / "mailboxes.json").write_text(json.dumps(
                {"list": [{"id": i, "name": i, "parentId": None}
                          for i in ("Work", "Old")]}))
            (pathlib.Path(work) / "secret").write_text("secret\n")
            env = {**os.environ, "PATH": f"{work}:{os.environ['PATH']}"}
            run("init", pathlib.Path(work) / "R", "--role", "replica")
            for verb in verbs:
                text = run("help", verb).out
                example = text.split("Example:\n")[1].strip()
                self.assertIn(f"mbj {verb}", example)
                # It names a server that there is not.
                is_far = "mail.example.org" in example
                done = subprocess.run(
                    [bash, "-ec", example.replace("mail.example.org",
                                                  "localhost:1")],
                    cwd=work, capture_output=True, env=env, text=True,
                    check=False)
                self.assertEqual(done.returncode, 1 if is_far else 0,
                                 (example, done.stderr))
                if is_far:
                    self.assertIn("cannot log in", done.stderr)

    def test_completion_runs(self):
        """Goal: the completion completes.  Method: bash, asked for a verb
        and for an option."""
        bash = shutil.which("bash")
        if not bash:
            self.skipTest("no bash here")
        script = run("help", "--completion", "bash").out
        for words, wanted in ((["mbj", "ren"], "rename"),
                              (["mbj", "replay", "--un"], "--until")):
            ask = (f"{script}\nCOMP_WORDS=({' '.join(words)})\n"
                   f"COMP_CWORD={len(words) - 1}\n_mbj\n"
                   "echo \"${COMPREPLY[@]}\"")
            done = subprocess.run([bash, "-c", ask], capture_output=True,
                                  check=False, text=True)
            self.assertEqual(done.stdout.strip(), wanted, done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=1)
