"""The manual page of doveadm's commands: it is installed, and has them all."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

SOURCES = pathlib.Path(__file__).parents[2] / "imap" / "dovecot"
BUILD = os.environ.get("MBJ_BUILD_DIR", "")


def commands():
    """Each command of the sources, with its own options."""
    found = {}
    for path in sorted(SOURCES.glob("*.c")):
        for name, rest in re.findall(
                r'\.name = "(mbj \w+)",(.*?)PARAMS_END', path.read_text(),
                re.S):
            found[name] = re.findall(
                r"CMD_PARAM\(\s*'(.)', \"([\w-]+)\"", rest)
    return found


class Man(unittest.TestCase):
    def setUp(self):
        if not os.environ.get("MBJ_DOVECOT_APPLY"):
            print("no plugin for Dovecot was built")
            raise SystemExit(77)
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="mbj-test-"))
        self.addCleanup(shutil.rmtree, self.home)

    def test_page(self):
        """Goal: who has the commands has their page, and it is of these.
        Method: as it is installed: the commands and options of the sources
        are in it, in their sections, and no other ones."""
        subprocess.run(["cmake", "--install", BUILD, "--component", "dovecot"],
                       env={**os.environ, "DESTDIR": str(self.home)},
                       check=True, stdout=subprocess.DEVNULL)
        page, = self.home.glob("**/man1/doveadm-mbj.1")
        text = page.read_text().replace("\\-", "-")
        self.assertNotIn("@", text)
        parts = {part.split("\n")[0].split(" [")[0]: part for part in
                 re.split(r"\n\.S[SH] ", text)}
        known = commands()
        self.assertIn("mbj verify", known)
        self.assertEqual({f"doveadm {name}" for name in known},
                         {name for name in parts if name[:8] == "doveadm "})
        for name, options in known.items():
            said = re.findall(r"\.B -(.), --([\w-]+)",
                              parts[f"doveadm {name}"])
            self.assertEqual(sorted(said), sorted(options), name)

    def test_form(self):
        """Goal: it is good roff.  Method: groff, where there is one, with all
        of its warnings."""
        if shutil.which("groff") is None:
            self.skipTest("no groff here")
        said = subprocess.run(
            ["groff", "-man", "-ww", "-Tutf8", "-z",
             str(SOURCES / "doveadm-mbj.1.in")],
            capture_output=True, text=True, check=True)
        self.assertEqual(said.stderr, "")


if __name__ == "__main__":
    unittest.main()
