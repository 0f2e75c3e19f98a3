#!/usr/bin/env python3
"""Large trees and full disks.
"""
import contextlib
import json
import pathlib
import shutil
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import mbjtest  # noqa: E402
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

    def small(self, size):
        """A file system of that size."""
        mount = self.dir / "room"
        mount.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}",
                           "none", str(mount)], capture_output=True,
                          check=False).returncode != 0:
            self.skipTest("cannot mount here")
        self.addCleanup(subprocess.run, ["umount", "-l", str(mount)],
                        check=False)
        return mount

    def grow(self, mount, size):
        subprocess.run(["mount", "-o", f"remount,size={size}", "none",
                        str(mount)], check=True)

    def files(self, top):
        return {path: path.read_bytes() for path in sorted(top.rglob("*"))
                if path.is_file() and path.name not in ("seal", "lock")
                and not path.name.startswith("log.")}

    def test_large_edit(self):
        """Goal: an edit that has no room is refused before anything is
        written, in a store that nobody serves, and a replica stops before such
        a group; both are read and go on.  Method: 40,000 mailboxes, and room
        for a tenth of these."""
        mount = self.small("36m")
        self.account(ROWS)
        rows = listing([(mailbox_id(1000 + i), f"m{i}", None)
                        for i in range(40000)])
        p, r = mount / "p", mount / "r"
        shutil.copytree(self.p, p)
        before = self.files(p)
        said = self.mbj("import", p, "bob", stdin=rows, status=TEMPORARY)
        self.assertIn("this takes up to", said.err)
        after = self.files(p)
        before.pop(p / "state" / "state.db")
        after.pop(p / "state" / "state.db")
        self.assertEqual(after, before)
        self.mbj("rename", p, "alice", "A>Z")
        self.mbj("fsck", p)
        shutil.rmtree(p)
        # The same, received.
        self.mbj("import", self.p, "bob", stdin=rows)
        self.mbj("rename", self.p, "alice", "A>Z")
        self.mbj("init", r, "--role", "replica")
        for _ in range(2):
            said = self.mbj("replay", self.p, r, status=TEMPORARY)
            self.assertIn("this takes up to", said.err)
            self.assertIn("alice", self.mbj("accounts", r).out)
            self.assertEqual(self.end(r), self.end(self.p) - 2)
        self.grow(mount, "200m")
        self.mbj("replay", self.p, r)
        self.mbj("verify", self.p, r)

    def end(self, store):
        return self.mbj("status", store, "--json").json()["journalEnd"]

    def test_no_room_for_state(self):
        """Goal: a state that has no room keeps none, what it may need is
        said, the journal is read all the same, and with room everything is
        there.  Method: a journal of 40,000 mailboxes without its state."""
        mount = self.small("20m")
        self.account(ROWS)
        self.mbj("import", self.p, "bob", stdin=listing(
            [(mailbox_id(1000 + i), f"m{i}", None) for i in range(40000)]))
        p = mount / "p"
        shutil.copytree(self.p, p, ignore=shutil.ignore_patterns("state"))
        for words in (("accounts", p), ("fsck", p, "--rebuild"), ("tree", p,
                                                                  "alice")):
            said = self.mbj(*words, status=TEMPORARY)
            self.assertIn("has no space for its state: up to", said.err)
            self.assertFalse((p / "state").exists())
            self.assertFalse((p / "state.old").exists())
            self.assertIn("mailbox-create", self.mbj("log", p).out)
        self.grow(mount, "200m")
        self.assertIn("bob", self.mbj("accounts", p).out)
        self.mbj("verify", self.p, p)

    def test_small_steps(self):
        """Goal: a state that has no room to be made in large transactions is
        made in small ones, with no reserve and nothing to give up: from the
        whole journal, and by who goes on with one that was begun.  Method:
        ten accounts of 6,000 mailboxes, a primary and a replica, on disks
        that do for small steps alone."""
        mount = self.small("200m")
        self.account(ROWS)
        for i in range(10):
            self.mbj("import", self.p, f"bob{i}", stdin=listing(
                [(mailbox_id(6000 * i + j + 1000), f"mailbox-number-{j}", None)
                 for j in range(6000)]))
        self.mbj("replay", self.p, self.r)
        for size in ("34m", "36m"):
            for store in (self.p, self.r):
                with self.subTest(size=size, store=store.name):
                    there = mount / "store"
                    shutil.copytree(store, there,
                                    ignore=shutil.ignore_patterns("state"))
                    self.grow(mount, size)
                    self.assertIn("bob9", self.mbj("accounts", there).out)
                    self.mbj("verify", store, there)
                    shutil.rmtree(there)

    def killed(self, least, most):
        """A store whose edit was killed when the state's log had so many
        bytes: tried until that comes off."""
        self.account(ROWS)
        rows = self.dir / "rows"
        rows.write_text(json.dumps(listing(
            [(mailbox_id(1000 + i), f"m{i}", None) for i in range(80000)])))
        p = self.dir / "killed"
        while True:
            shutil.copytree(self.p, p)
            with open(rows, "rb") as stdin, subprocess.Popen(
                    [mbjtest.MBJ, "import", str(p), "bob"],
                    stdin=stdin) as edit:
                while edit.poll() is None and self.log_size(p) < least:
                    time.sleep(0.001)
                edit.kill()
            if least <= self.log_size(p) <= most:
                return p
            shutil.rmtree(p)

    def log_size(self, store):
        """Bytes of the state's log, of which the engine removes files."""
        size = 0
        for file in (store / "state").glob("log.*"):
            with contextlib.suppress(FileNotFoundError):
                size += file.stat().st_size
        return size

    def full(self, mount, store):
        """The store there, its holes not filled, and no byte left beside."""
        p = mount / "p"
        subprocess.run(["cp", "-a", "--sparse=always", store, p], check=True)
        self.fill(mount)
        return p

    def fill(self, mount):
        with open(mount / "ballast", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(b"x" * 4096)
            except OSError:
                pass

    def inode(self, store):
        """Another one: another state."""
        return (store / "state" / "state.db").stat().st_ino

    def test_log_in_the_way(self):
        """Goal: a state that cannot be opened, as its own log has filled the
        disk, is made anew.  Method: an edit killed while its transaction is
        being written, on a disk that then has no byte left."""
        mount = self.small("64m")
        p = self.full(mount, self.killed(24 << 20, 48 << 20))
        before = self.inode(p)
        self.assertIn("alice", self.mbj("accounts", p).out)
        self.assertNotEqual(self.inode(p), before)
        self.mbj("fsck", p)

    def test_log_as_ever(self):
        """Goal: a state whose log is what it is in ordinary use is not given
        up where others have filled the disk, no size is said that it needs,
        and with room it is used as it was.  Method: as before, killed before
        a checkpoint would have been due; given up where that is asked for."""
        mount = self.small("64m")
        killed = self.killed(10 << 20, 16 << 20)
        p = self.full(mount, killed)
        before = self.inode(p)
        said = self.mbj("accounts", p, status=TEMPORARY)
        self.assertIn("has no space to go on", said.err)
        self.assertNotIn("for its state", said.err)
        (mount / "ballast").unlink()
        self.assertIn("alice", self.mbj("accounts", p).out)
        self.assertEqual(self.inode(p), before)
        self.mbj("fsck", p)
        shutil.rmtree(p)
        p = self.full(mount, killed)
        before = self.inode(p)
        self.mbj("fsck", p, "--rebuild")
        self.assertNotEqual(self.inode(p), before)

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
