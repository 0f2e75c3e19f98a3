#!/usr/bin/env python3
"""Large trees and full disks.
"""
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import (A, Case, INBOX, OK, ROWS, TEMPORARY,  # noqa: E402
                     listing, mailbox_id, run)


class Scale(Case):
    def test_full_disk(self):
        """Goal: a full disk costs nothing but time.  Method: a small tmpfs."""
        mount = self.dir / "small"
        mount.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none",
                           str(mount)], capture_output=True,
                          check=False).returncode != 0:
            self.skipTest("cannot mount here")
        self.addCleanup(subprocess.run, ["umount", "-l", str(mount)],
                        check=False)
        self.p = mount / "p"
        self.account(ROWS)
        self.mbj("deliver", self.p, "alice", stdin=b"x" * 100000)
        self.mark(mount)
        with open(mount / "ballast", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(b"x" * 4096)
            except OSError:
                pass
        rows = ROWS + [(mailbox_id(1000 + i), f"m{i}", None)
                       for i in range(20000)]
        result = run("reconcile", self.p, "alice", stdin=listing(rows))
        self.assertNotEqual(result.status, OK)
        self.assertIn("space", result.err)
        (mount / "ballast").unlink()
        self.assertEqual(len(self.tree()), len(ROWS))
        self.mbj("fsck", self.p)
        self.mbj("rename", self.p, "alice", "A>Z")

    def mark(self, mount):
        """Below the mark: refused before anything is written, and what makes
        room, and what only reads, goes on."""
        status = self.mbj("status", self.p, "--json").json()
        spare = status["spaceLeft"] - status["spaceMin"]
        self.assertGreater(spare, 0)
        ballast = mount / "little"
        ballast.write_bytes(b"x" * (spare + 65536))
        end = self.mbj("status", self.p, "--json").json()["journalEnd"]
        for words in (("rename", self.p, "alice", "A>Z"),
                      ("deliver", self.p, "alice")):
            result = self.mbj(*words, stdin=b"y" * 100, status=TEMPORARY)
            self.assertIn("kept free", result.err)
        self.assertIn("refused", self.mbj("status", self.p).out)
        self.assertEqual(
            self.mbj("status", self.p, "--json").json()["journalEnd"], end)
        self.mbj("expunge", self.p, "alice", "INBOX", "1")
        self.assertEqual(
            self.mbj("gc", self.p, "--json").json()["removed"], 1)
        self.mbj("replay", self.p, self.r)
        ballast.unlink()
        self.mbj("rename", self.p, "alice", "A>Z", "-n")

    def test_many(self):
        """Goal: size is no limit.  Method: 20,000 mailboxes permuted."""
        ids = [mailbox_id(100 + i) for i in range(20000)]
        self.account([(INBOX, "INBOX", None)] +
                     [(m, f"m{i}", None) for i, m in enumerate(ids)])
        self.mbj("reconcile", self.p, "alice", stdin=listing(
            [(m, f"m{(i + 1) % len(ids)}", None) for i, m in enumerate(ids)]))
        self.assertEqual(self.paths()["m0"], ids[-1])
        self.agree()


if __name__ == "__main__":
    unittest.main(verbosity=1)
