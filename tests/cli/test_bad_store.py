#!/usr/bin/env python3
"""Stores that are damaged, foreign, newer, locked, or not stores at all.
"""
import fcntl
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import (A, B, C, CORRUPT, Case, FAILED, LOCKED, MBJ,  # noqa: E402
                     OK, REFUSED, ROWS, TEMPORARY, listing, run, truth)
from mendtest import FRAME, batches  # noqa: E402


class BadStore(Case):
    """A store that is not one, or not the right one: an answer, no damage."""

    def setUp(self):
        super().setUp()
        self.account(ROWS)

    def test_not_a_store(self):
        """Goal: foreign directories are left alone.  Method: several."""
        empty = self.dir / "empty"
        empty.mkdir()
        plain = self.dir / "plain"
        plain.write_bytes(b"")
        for place in (empty, self.dir / "absent", self.p / "journal", plain):
            for words in (("status", place), ("tree", place, "alice"),
                          ("log", place)):
                result = self.mbj(*words, status=FAILED)
                self.assertIn(f"{place} is not a store (make one with init)",
                              result.err)
        for words in (("export", empty, "alice", self.dir / "m"),
                      ("quota", empty, "alice"), ("acl", empty, "alice", "A"),
                      ("metadata", empty, "alice", ""),
                      ("subscriptions", empty, "alice"),
                      ("replicas", empty, "--forget", "r")):
            self.assertIn(f"{empty} is not a store",
                          self.mbj(*words, status=FAILED).err)
        self.assertEqual(list(empty.iterdir()), [])
        part = self.dir / "part"
        shutil.copytree(self.p, part)
        shutil.rmtree(part / "journal")
        for words in (("status", part), ("tree", part, "alice"),
                      ("log", part), ("fsck", part)):
            result = self.mbj(*words, status=FAILED)
            self.assertIn("has no journal (make one with init", result.err,
                          words)
        self.mbj("init", self.p, status=REFUSED)

    def test_other_lineage(self):
        """Goal: replicas are faithful.  Method: replay across lineages, onto
        a primary, onto one that is ahead."""
        self.replay()
        other = self.dir / "other"
        self.mbj("init", other)
        self.mbj("import", other, "alice", stdin=listing(ROWS))
        self.mbj("replay", other, self.r, status=REFUSED)
        self.mbj("replay", self.p, other, status=REFUSED)
        self.mbj("verify", self.p, other, status=REFUSED)
        self.mbj("set", self.r, "alice", stdin={"destroy": [C]},
                 status=REFUSED)

    def test_forks_and_ahead(self):
        """Goal: forks are found by chain.  Method: two copies diverge."""
        twin = self.dir / "twin"
        shutil.copytree(self.p, twin)
        ahead = self.dir / "ahead"
        shutil.copytree(self.p, ahead)
        self.mbj("rename", ahead, "alice", "A>X")
        self.mbj("rename", twin, "alice", "A>Y")
        self.mbj("replay", ahead, self.r)
        result = self.mbj("replay", self.p, self.r, status=REFUSED)
        self.assertIn("ahead", result.err)
        result = self.mbj("replay", twin, self.r, status=REFUSED)
        self.assertIn("fork", result.err)

    def test_fsck_dry_run(self):
        """Goal: a dry run changes no byte, and names what an opening would set
        aside of the journal's end.  Method: a torn tail, then a state that is
        missing, too; every file before and after."""
        def files():
            return {f: f.read_bytes() for f in self.p.rglob("*")
                    if f.is_file()}

        def tail(*words):
            return self.mbj("fsck", self.p, "--json", *words).json()["tornTail"]

        self.mbj("deliver", self.p, "alice", stdin=b"a message")
        segment = max((self.p / "journal").glob("*.seg"))
        self.assertIsNone(tail("-n"))
        at, _, _, size = batches(segment)[-1]
        end = at + FRAME + size
        with open(segment, "r+b") as file:
            file.seek(end)
            file.write(b"torn" * 100)
        torn = f"{segment}: a torn tail of 400 bytes from byte {end} on"
        for is_missing in (False, True):
            if is_missing:
                shutil.rmtree(self.p / "state")
            before = files()
            for words in ((), ("--json",), ("--rebuild",), ("--deep",)):
                said = self.mbj("fsck", self.p, "-n", *words)
                if "--json" in words:
                    self.assertTrue(said.json()["dryRun"])
                    self.assertEqual(said.json()["tornTail"], {
                        "file": str(segment), "offset": end, "size": 400})
                self.assertIn(torn, said.err)
                self.assertIn("would be set aside", said.err)
                if "--rebuild" not in words and is_missing:
                    self.assertIn("the state is missing", said.err)
                self.assertEqual(files(), before)
        said = self.mbj("fsck", self.p)
        self.assertIn(torn, said.err)
        self.assertIn("was set aside", said.err)
        self.assertIsNone(tail())

    def test_locked(self):
        """Goal: two processes never share.  Method: hold one open."""
        holder = subprocess.Popen([MBJ, "set", self.p, "alice"],
                                  stdin=subprocess.PIPE,
                                  stdout=subprocess.DEVNULL)
        try:
            with open(self.p / "lock", "rb") as lock:
                import fcntl
                fcntl.flock(lock, fcntl.LOCK_EX)
                result = self.mbj("tree", self.p, "alice", status=LOCKED)
                self.assertIn("in use", result.err)
                self.mbj("log", self.p)
                self.mbj("status", self.p)
                self.mbj("replay", self.p, self.r)
        finally:
            holder.communicate(b"{}")

    def test_no_permission(self):
        """Goal: permissions are reported.  Method: group-writable store."""
        os.chmod(self.p, 0o770)
        result = run("tree", self.p, "alice")
        self.assertNotEqual(result.status, OK)
        self.assertIn(str(self.p), result.err)
        os.chmod(self.p, 0o700)

    def test_another_user(self):
        """Goal: whoever may not read a store is told, and changes nothing.
        Method: run as nobody on stores of root, on a directory that is not
        its to write in."""
        if os.getuid() != 0:
            self.skipTest("only root can become another user")
        nobody = pwd.getpwnam("nobody")
        before = truth(self.p)
        os.chmod(self.dir, 0o755)

        def become():
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)

        copy = self.dir / "mbj"
        shutil.copy(MBJ, copy)
        for row in (("tree", self.p, "alice"), ("status", self.p),
                    ("log", self.p), ("fsck", self.p), ("accounts", self.p),
                    ("set", self.p, "alice"), ("verify", self.p, self.r),
                    ("replay", self.p, self.r),
                    ("init", self.dir / "theirs")):
            done = subprocess.run([copy, *map(str, row)], input=b"{}",
                                  capture_output=True, preexec_fn=become,
                                  check=False)
            self.assertEqual(done.returncode, FAILED, (row, done.stderr))
            self.assertIn(b"ermission denied", done.stderr)
            self.assertIn(str(self.dir).encode(), done.stderr)
            self.assertEqual(done.stderr.count(b"\n"), 1)
        self.assertEqual(truth(self.p), before)
        self.agree()

    def test_newer_and_foreign_superblock(self):
        """Goal: unknown formats are refused.  Method: change bytes."""
        path = self.p / "mbj.store"
        good = path.read_bytes()
        path.write_bytes(b"X" + good[1:])
        self.assertNotEqual(run("status", self.p).status, OK)
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        self.mbj("status", self.p, status=CORRUPT)
        for size in (0, 1, len(good) - 1):
            path.write_bytes(good[:size])
            self.mbj("status", self.p, status=CORRUPT)
        path.unlink()
        self.assertIn("is not a store",
                      self.mbj("status", self.p, status=FAILED).err)
        path.write_bytes(good)
        self.mbj("status", self.p)


class Damage(Case):
    def test_flipped_byte_is_named(self):
        """Goal: damage never passes.  Method: flip bytes of a segment; the
        group or file is named, the replica keeps what is good."""
        self.account(ROWS)
        for n in range(20):
            self.mbj("rename", self.p, "alice",
                     f"{'A' if n % 2 == 0 else 'Z'}>"
                     f"{'Z' if n % 2 == 0 else 'A'}")
        segment, = (self.p / "journal").glob("*.seg")
        good = segment.read_bytes()
        used = len(good.rstrip(b"\0"))
        for at in range(40, used, max(1, used // 25)):
            bad = bytearray(good)
            bad[at] ^= 0x10
            segment.write_bytes(bytes(bad))
            result = run("fsck", self.p)
            self.assertEqual(result.status, CORRUPT, f"byte {at}")
            self.assertRegex(result.err, r"\.seg|group \d+|byte \d+")
        segment.write_bytes(good)
        self.mbj("fsck", self.p)

    def test_odd_content_log(self):
        """Goal: a FIFO where the log of contents belongs holds up nobody: it
        is named, and nothing of it changes."""
        self.account(ROWS)
        (self.p / "blobs").mkdir()
        log = self.p / "blobs" / "log.1"
        os.mkfifo(log)
        for status, *words in ((CORRUPT, "serve", self.p),
                               (CORRUPT, "fsck", self.p),
                               (TEMPORARY, "deliver", self.p, "alice",
                                "INBOX")):
            said = run(*words, stdin=b"one\r\n", timeout=60)
            self.assertEqual(said.status, status, said.err)
            self.assertIn(f"{log} is no file", said.err)
        self.assertTrue(log.is_fifo())
        log.unlink()
        self.mbj("deliver", self.p, "alice", "INBOX", stdin=b"one\r\n")

    def test_odd_superblock(self):
        """Goal: a FIFO in the place of the superblock holds up nobody, and is
        named."""
        self.account(ROWS)
        superblock = self.p / "mbj.store"
        good = superblock.read_bytes()
        superblock.unlink()
        os.mkfifo(superblock)
        for verb in ("log", "status", "tree", "fsck", "serve"):
            words = ["alice"] if verb == "tree" else []
            said = run(verb, self.p, *words, timeout=60)
            self.assertNotEqual(said.status, OK, verb)
            self.assertIn(str(superblock), said.err, verb)
        superblock.unlink()
        superblock.write_bytes(good)
        self.tree()

    def test_no_segments(self):
        """Goal: a journal whose segments are all gone is damaged to whoever
        reads it, and not one that has no groups.  Method: both ways of
        reading, with and without the owner's lock."""
        self.account(ROWS)
        segments = {s: s.read_bytes()
                    for s in (self.p / "journal").glob("*.seg")}
        for segment in segments:
            segment.unlink()
        for words in (("log", self.p), ("log", self.p, "--json"),
                      ("fsck", "-n", self.p), ("fsck", self.p),
                      ("status", self.p), ("replay", self.p, self.r)):
            said = run(*words)
            self.assertEqual(said.status, CORRUPT, (words, said.out, said.err))
            self.assertIn("the journal has no segments", said.err, words)
        for segment, content in segments.items():
            segment.write_bytes(content)
        self.mbj("fsck", "-n", self.p)
        self.tree()

    def test_flipped_state_is_named(self):
        """Goal: damage to the state costs nothing, and is told.  Method: one
        bit of each file of it; fsck names file and page, the tree is the
        same, and the next look finds nothing."""
        self.account(ROWS)
        tree = self.tree()
        for name in ("state.db", "log.0000000001", "seal"):
            file = self.p / "state" / name
            bad = bytearray(file.read_bytes())
            bad[len(bad.rstrip(b"\0")) // 2] ^= 0x10
            file.write_bytes(bytes(bad))
            said = self.mbj("fsck", self.p).err
            self.assertIn(str(file), said)
            self.assertRegex(said, "page [0-9]+ of|is damaged")
            self.assertEqual(self.tree(), tree)
            self.assertNotIn("again", self.mbj("fsck", self.p).err)

    def test_state_is_rebuilt(self):
        """Goal: Berkeley DB is expendable.  Method: delete it, zero a file,
        flip bytes in it; the tree is the same."""
        self.account(ROWS)
        self.mbj("rename", self.p, "alice", "A>B", "B>A")
        tree = self.tree()
        shutil.rmtree(self.p / "state")
        self.assertEqual(self.tree(), tree)
        for file in sorted((self.p / "state").iterdir()):
            size = file.stat().st_size
            if size == 0:
                continue
            file.write_bytes(b"\0" * size)
            self.mbj("fsck", self.p, "--rebuild")
            self.assertEqual(self.tree(), tree, file.name)
        self.mbj("fsck", self.p, "--rebuild")
        self.mbj("fsck", self.p)
        self.agree()


if __name__ == "__main__":
    unittest.main(verbosity=1)
