#!/usr/bin/env python3
"""Where output goes, and what becomes of an edit whose reader is gone.
"""
import json
import os
import pathlib
import pty
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import (A, B, Case, FAILED, MBJ, OK, REFUSED, ROWS,  # noqa: E402
                     listing, mailbox_id, truth)


class Output(Case):
    def setUp(self):
        super().setUp()
        self.account(ROWS)

    def closed(self, *arguments, descriptors, stdin=b""):
        """Run with descriptors closed; (status, standard error)."""
        def close():
            for fd in descriptors:
                os.close(fd)
        done = subprocess.run([MBJ, *map(str, arguments)], input=stdin,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              preexec_fn=close, check=False)
        return done.returncode, done.stderr.decode()

    def test_closed_descriptors(self):
        """Goal: nothing meant for a reader goes into the store.  Method:
        every standard descriptor closed, alone and together; an edit and a
        reading; each file of the store is free of their output, the lock
        empty or a number."""
        for number, descriptors in enumerate(((1,), (2,), (1, 2), (0, 1, 2))):
            edit = json.dumps({"create": {"k": {"name": f"N{number}"}}})
            status, err = self.closed("set", self.p, "alice",
                                      descriptors=descriptors,
                                      stdin=edit.encode())
            self.assertEqual(status, OK if descriptors == (2,) else FAILED)
            if descriptors == (1,):
                self.assertIn("cannot write to standard output", err)
                self.assertIn("done all the same", err)
            self.closed("tree", self.p, "alice", descriptors=descriptors)
            self.closed("replay", self.p, self.r, descriptors=descriptors)
            for store in (self.p, self.r):
                for file in store.rglob("*"):
                    if file.is_file():
                        self.assertNotIn(b'"schema"', file.read_bytes(), file)
        self.assertEqual([n in self.paths() for n in ("N0", "N1", "N2", "N3")],
                         [True, True, True, False])
        self.agree()

    def test_closed_input(self):
        """Goal: no document is no edit.  Method: standard input closed."""
        before = truth(self.p)
        status, err = self.closed("set", self.p, "alice", descriptors=(0,))
        self.assertEqual(status, FAILED)
        self.assertIn("standard input", err)
        self.assertEqual(truth(self.p), before)

    def test_broken_pipe(self):
        """Goal: a reader that goes away is told, not died of.  Method: a log
        larger than a pipe, and nobody who reads it."""
        rows = [(mailbox_id(100 + i), f"m{i}", None) for i in range(5000)]
        self.mbj("import", self.p, "many", stdin=listing(rows))
        for arguments in (["log", self.p], ["log", self.p, "--json"],
                          ["tree", self.p, "many", "--json"]):
            reader, writer = os.pipe()
            os.close(reader)
            done = subprocess.run([MBJ, *map(str, arguments)], stdout=writer,
                                  stderr=subprocess.PIPE, check=False)
            os.close(writer)
            self.assertEqual(done.returncode, FAILED)
            self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)
            self.assertIn(b"Broken pipe", done.stderr)
        self.mbj("fsck", self.p)

    def test_dry_runs(self):
        """Goal: -n of every changing verb says what would be done, in paths
        for people, and does nothing.  Method: all of them; bytes compared."""
        before = truth(self.p), truth(self.r)
        fresh = self.dir / "fresh"
        self.assertIn("primary", self.mbj("init", fresh, "-n").out)
        self.assertEqual(self.mbj("init", fresh, "-n", "--json").json()
                         ["schema"], "mbj.init/1")
        self.assertFalse(fresh.exists())
        for verb, arguments, stdin, lines in (
                ("import", ["new"], listing([(A, "X", None), (B, "Y", A)]),
                 ("create  X\n", "create  X/Y\n", "create  INBOX\n")),
                ("set", ["alice"], {"update": {A: {"name": "B"},
                                               B: {"name": "A"}}},
                 ("park    ", "A -> B\n")),
                ("rename", ["alice", "A/C>A", "A>A/C"], None,
                 ("A -> A/C\n", "A/C -> A\n")),
                ("reconcile", ["alice"], listing([(A, "A", None)]),
                 ("delete  B/D\n", "delete  A/C\n"))):
            text = self.mbj(verb, self.p, *arguments, "-n", stdin=stdin).out
            for line in lines:
                self.assertIn(line, text)
            self.assertNotRegex(text, "[0-9a-f]{32}", verb)
            plan = self.mbj(verb, self.p, *arguments, "-n", "--json",
                            stdin=stdin).json()
            self.assertEqual(plan["schema"], "mbj.plan/1")
            self.assertIn("also", plan)
        self.assertIn("would replay 1 groups",
                      self.mbj("replay", self.p, self.r, "-n").out)
        self.assertIn("from 1 groups",
                      self.mbj("fsck", self.p, "--rebuild", "-n").out)
        self.assertEqual((truth(self.p), truth(self.r)), before)

    def test_terminal(self):
        """Goal: names cannot command a terminal.  Method: a pseudo-terminal,
        names with what a directional override would do."""
        rows = [(mailbox_id(60), "a\u200bb", None), (mailbox_id(61), "\u5929",
                                                     mailbox_id(60))]
        self.mbj("import", self.p, "odd\u200b", stdin=listing(rows))
        for arguments in (["tree", self.p, "odd\u200b"], ["accounts", self.p],
                          ["log", self.p, "--from", "2"]):
            main, side = pty.openpty()
            done = subprocess.run([MBJ, *map(str, arguments)], stdout=side,
                                  stderr=subprocess.PIPE, check=False)
            os.close(side)
            text = b""
            try:
                while block := os.read(main, 65536):
                    text += block
            except OSError:
                pass
            os.close(main)
            self.assertEqual(done.returncode, OK, done.stderr)
            self.assertNotIn("\u200b", text.decode())
            self.assertIn("\\u{200B}", text.decode())

    def test_schemas(self):
        """Goal: each document says what it is.  Method: every --json."""
        after = self.dir / "after.json"
        after.write_text(json.dumps(listing(ROWS)))
        self.replay()
        for arguments, schema in (
                (["tree", self.p, "alice"], "tree"), (["log", self.p], "log"),
                (["status", self.p], "status"),
                (["accounts", self.p], "accounts"), (["fsck", self.p], "fsck"),
                (["verify", self.p, self.r], "verify"),
                (["replay", self.p, self.r], "replay"),
                (["version"], "version"),
                (["plan", self.p, "alice", "--after", after], "plan"),
                (["set", self.p, "alice"], "set"),
                (["rename", self.p, "alice", "A>Z"], "rename"),
                (["reconcile", self.p, "alice"], "reconcile"),
                (["import", self.p, "x"], "import")):
            stdin = {} if arguments[0] == "set" else listing(ROWS)
            result = self.mbj(*arguments, "--json", stdin=stdin)
            self.assertEqual(result.json()["schema"], f"mbj.{schema}/1")
            self.assertEqual(result.err, "")


if __name__ == "__main__":
    unittest.main(verbosity=1)
