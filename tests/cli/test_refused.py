#!/usr/bin/env python3
"""What an operator types wrong: named, with its status, and nothing left.
"""
import pathlib
import shlex
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import (CORRUPT, Case, FAILED, MBJ, REFUSED, ROWS,  # noqa: E402
                     USAGE)
from test_trim import flip  # noqa: E402


class Refused(Case):
    def setUp(self):
        super().setUp()
        self.account(ROWS)
        self.new = self.dir / "new"
        self.file = self.dir / "file"
        self.file.write_bytes(b"x")
        self.empty = self.dir / "empty"
        self.empty.mkdir()
        self.none = self.dir / "none"

    def refused(self, *words, status, named=None, **options):
        """Refused by name, where it was to be made, and where it was
        already."""
        for is_there in (False, True):
            if is_there:
                self.new.mkdir()
            said = self.mbj(*words, status=status, **options)
            if named is not None:
                self.assertIn(str(named), said.err, words)
            if is_there:
                self.assertEqual(list(self.new.iterdir()), [], words)
                self.new.rmdir()
            self.assertFalse(self.new.exists(), words)

    def broken(self, store, name):
        """A copy of a store whose journal is damaged at its begin."""
        copy = self.dir / name
        shutil.copytree(store, copy)
        flip(sorted((copy / "journal").glob("*.seg"))[0], 20)
        return copy

    def test_init(self):
        """Goal: an init that is refused leaves nothing.  Method: no source,
        no store, nothing received, no snapshot, a damaged one, itself."""
        for source, status in ((self.none, FAILED), (self.file, FAILED),
                               (self.empty, FAILED), (self.new, FAILED),
                               (self.p, FAILED), (self.r, REFUSED)):
            self.refused("init", self.new, "--from-snapshot", source,
                         status=status, named=source)
        self.mbj("snapshot", self.p)
        flip(next((self.p / "snapshots").iterdir()), 300)
        self.refused("init", self.new, "--role", "replica",
                     "--from-snapshot", self.p, status=CORRUPT, named=self.p)

    def test_backup(self):
        """Goal: so does a backup.  Method: the same, and a damaged journal;
        what has groups stays, to be gone on with."""
        for source, status in ((self.none, FAILED), (self.file, FAILED),
                               (self.empty, FAILED), (self.r, REFUSED),
                               (self.broken(self.p, "bad"), CORRUPT)):
            self.refused("backup", source, self.new, status=status,
                         named=source)
        self.mbj("deliver", self.p, "alice", stdin="body\n")
        shutil.copytree(self.p, self.dir / "lacks")
        shutil.rmtree(self.dir / "lacks" / "blobs")
        self.mbj("backup", self.dir / "lacks", self.new, status=CORRUPT)
        self.mbj("tree", self.new, "alice")
        self.mbj("backup", self.p, self.new)

    def test_restore(self):
        """Goal: so does a restore.  Method: what is no backup, or damaged."""
        backup = self.dir / "backup"
        self.mbj("backup", self.p, backup)
        for source, status in ((self.none, FAILED), (self.file, FAILED),
                               (self.empty, FAILED), (self.p, FAILED),
                               (self.broken(backup, "bad"), CORRUPT)):
            self.refused("restore", source, self.new, status=status,
                         named=source)
        self.refused("restore", backup, self.new, "--until", "99",
                     status=REFUSED, named="no group 99")
        self.mbj("restore", backup, self.new)
        self.mbj("verify", self.p, self.new)

    def test_clone(self):
        """Goal: so does a clone that never met its source; one that a source
        may know by now goes on being that one."""
        send = f"{shlex.quote(MBJ)} send "
        for words, status in ((("--exec", "false"), FAILED),
                              (("--exec", send + str(self.none)), FAILED),
                              (("--from", f"unix:{self.none}"), FAILED),
                              (("--from", "elsewhere"), USAGE)):
            self.refused("clone", self.new, *words, status=status)
        self.mbj("clone", self.new, "--exec", send + shlex.quote(str(self.p)))
        self.mbj("verify", self.p, self.new)


if __name__ == "__main__":
    unittest.main()
