#!/usr/bin/env python3
"""mbj fsck --repair: what belongs to nothing goes, each by name; nothing else is
touched."""
import hashlib
import os
import pathlib
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import servetest  # noqa: E402
from mbjtest import (CORRUPT, LOCKED, OK, PARTIAL, REFUSED, run,  # noqa: E402
                     seed)

ROUNDS = 6
# More messages than one group reaps.
REAPED = 1100

# What a process that was stopped leaves behind.
LEFTOVERS = ("mbj.store.new", "mbj.backup.new", "journal/segment.tmp",
             "journal/published.new", "snapshots/snapshot.tmp",
             "blobs/new/17-3")
# What nobody knows.
STRANGERS = ("notes.txt", "journal/old.seg", "snapshots/0.snap.bak",
             "mbj.store.orig")


class Repair(servetest.ServiceCase):
    def setUp(self):
        super().setUp()
        self.bodies = [b"message %d\r\n" % i for i in range(4)]
        for body in self.bodies:
            self.mbj("deliver", self.p, "alice", stdin=body)
        self.mbj("snapshot", self.p)
        self.mbj("fsck", self.p)

    def files(self):
        """{path: bytes} of all that is not the state's or the lock's."""
        return {str(path.relative_to(self.p)): path.read_bytes()
                for path in sorted(self.p.rglob("*"))
                if path.is_file() and
                path.relative_to(self.p).parts[0] not in ("state", "lock")}

    def plant(self, name):
        path = self.p / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half of " + name.encode())

    def orphan(self, rng):
        """A content that was stored for a message that never came."""
        body = rng.randbytes(100)
        digest = hashlib.sha256(body).hexdigest()
        path = self.p / "blobs" / digest[:2] / digest[2:]
        path.parent.mkdir(exist_ok=True, mode=0o700)
        path.write_bytes(body)
        path.chmod(0o600)
        return str(path.relative_to(self.p))

    def digest(self):
        """What the last group says that the account comes to."""
        return self.mbj("log", self.p, "--json").json()["groups"][-1][
            "accounts"]

    def repair(self, *options, status=OK):
        return self.mbj("fsck", self.p, "--repair", *options, "--json",
                        status=status)

    def test_each(self):
        """Goal: each kind is named and goes, strangers are named and stay,
        and what the account comes to is as it was.  Method: one of each; a dry
        run, the run, and once more."""
        rng = seed()
        before, digest = self.files(), self.digest()
        planted = set(LEFTOVERS) | {self.orphan(rng)}
        for name in LEFTOVERS + STRANGERS:
            self.plant(name)
        dry = self.repair("-n").json()["repairs"]
        self.assertFalse(any(r["removed"] for r in dry))
        self.assertEqual({r["path"] for r in dry if r["kind"] != "stranger"},
                         planted)
        again = self.repair("-n", "--rebuild").json()
        self.assertTrue(again["dryRun"])
        self.assertEqual(again["repairs"], dry)
        said = self.repair()
        self.assertEqual(said.json()["repairs"],
                         [r | {"removed": r["kind"] != "stranger"}
                          for r in dry])
        for row in said.json()["repairs"]:
            self.assertIn(row["path"], said.err)
            self.assertEqual(row["removed"], row["kind"] != "stranger")
        self.assertEqual(
            sorted(r["path"] for r in said.json()["repairs"]
                   if r["kind"] == "stranger"), sorted(STRANGERS))
        self.assertEqual({r["kind"] for r in said.json()["repairs"]},
                         {"leftover", "orphan", "stranger"})
        for name in STRANGERS:
            (self.p / name).unlink()
        self.assertEqual(self.files(), before)
        self.assertEqual(self.digest(), digest)
        self.assertEqual(self.repair().json()["repairs"], [])
        self.agree()

    def test_replica(self):
        """Goal: what a replica has is known, too.  Method: one that applied."""
        self.replay()
        self.assertTrue((self.r / "applying").is_file())
        said = self.mbj("fsck", self.r, "--repair", "--json")
        self.assertEqual(said.json()["repairs"], [])

    def damage(self, kind):
        """One byte that is wrong, or a file that is gone."""
        if kind == "journal":
            path = next(p for p in sorted((self.p / "journal").iterdir())
                        if p.name not in ("published",))
            data = bytearray(path.read_bytes())
            data[300] ^= 1
            path.write_bytes(data)
            return
        digest = hashlib.sha256(self.bodies[1]).hexdigest()
        path = self.p / "blobs" / digest[:2] / digest[2:]
        path.chmod(0o600)
        if kind == "gone":
            path.unlink()
        else:
            path.write_bytes(b"Message 1\r\n")

    def test_random(self):
        """Goal: it ends with a sound store that is as it was, or touches
        nothing.  Method: leftovers and orphans at random, and in two of three
        rounds one damage besides."""
        rng = seed()
        for number in range(ROUNDS):
            damage = (None, "journal", "gone", "byte")[
                number % 4 if number < 4 else rng.randrange(4)]
            clean, digest = self.files(), self.digest()
            for name in rng.sample(LEFTOVERS, rng.randrange(len(LEFTOVERS))):
                self.plant(name)
            for _ in range(rng.randrange(3)):
                self.orphan(rng)
            if damage is None:
                self.repair()
                self.assertEqual(self.files(), clean)
                self.assertEqual(self.digest(), digest)
                self.mbj("fsck", self.p, "--deep")
                continue
            self.damage(damage)
            before = self.files()
            said = self.repair("--deep", status=CORRUPT)
            self.assertIn("nothing is repaired", said.err)
            self.assertEqual(said.json()["repairs"], [])
            after = self.files()
            # What any opening takes away is all that may be gone.
            gone = set(before) - set(after)
            self.assertLessEqual(gone, {"journal/segment.tmp",
                                        "journal/published.new"})
            self.assertEqual(after, {k: v for k, v in before.items()
                                     if k not in gone})
            self.restore(clean)

    def restore(self, files):
        for path in sorted(self.p.rglob("*")):
            name = path.relative_to(self.p)
            if path.is_file() and name.parts[0] not in ("state", "lock"):
                path.chmod(0o600)
                path.unlink()
        for name, data in files.items():
            (self.p / name).write_bytes(data)
            (self.p / name).chmod(0o600)

    def test_parked(self):
        """Goal: groups that wait may need any content: nothing goes."""
        self.agree()
        self.park()
        self.replay(status=PARTIAL)
        leftover = self.r / LEFTOVERS[0]
        leftover.write_bytes(b"half")
        for options in ([], ["-n"]):
            said = self.mbj("fsck", self.r, "--repair", *options,
                            status=REFUSED)
            self.assertIn("parked", said.err)
            self.assertNotIn("removed", said.err)
        self.assertTrue(leftover.exists())

    def test_only_what_is_named(self):
        """Goal: what is gone was named.  Method: an account that is deleted,
        with more messages than are reaped at once, and an orphan."""
        mbox = self.dir / "mbox"
        mbox.write_bytes(b"".join(
            b"From a@b Thu Jan  1 00:00:00 1970\n\nbody %d\n\n" % i
            for i in range(REAPED)))
        self.mbj("import", self.p, "bob", "--mbox", mbox)
        self.mbj("account", "delete", self.p, "bob", "--remove-messages")
        orphan = self.orphan(seed())
        before = set(self.files())
        named = {r["path"] for r in self.repair().json()["repairs"]}
        self.assertIn(orphan, named)
        self.assertEqual(before - set(self.files()), named)
        self.mbj("gc", self.p)
        self.assertGreaterEqual(len(before - set(self.files())), REAPED + 1)
        self.assertLess(len(named), REAPED)

    def test_no_file(self):
        """Goal: a directory by the name of a leftover stays, and the rest is
        mended all the same."""
        (self.p / "mbj.backup.new").mkdir()
        self.plant("mbj.store.new")
        said = self.repair()
        self.assertEqual({(r["path"], r["removed"])
                          for r in said.json()["repairs"]},
                         {("mbj.backup.new", False), ("mbj.store.new", True)})
        self.assertTrue((self.p / "mbj.backup.new").is_dir())

    def test_told(self):
        """Goal: what was removed is told though it failed behind it.  Method:
        an orphan in a directory that is read-only."""
        if os.geteuid() == 0:
            self.skipTest("root writes anywhere")
        orphan = self.p / self.orphan(seed())
        self.plant("mbj.store.new")
        orphan.parent.chmod(0o500)
        said = run("fsck", self.p, "--repair")
        orphan.parent.chmod(0o700)
        self.assertNotEqual(said.status, OK)
        self.assertIn("mbj.store.new: leftover, removed", said.err)
        self.assertIn(f"{orphan.name}: orphan, not removed", said.err)

    def test_rebuilt(self):
        """Goal: what was deleted, and is in a state that was made anew until
        it is reaped, needs no content, which a collection has removed; of one
        that is needed its loss is told.  Method: fsck with --rebuild, and
        verify --deep of such states."""
        self.mbj("account", "create", self.p, "bob")
        self.mbj("deliver", self.p, "bob", stdin=b"stays")
        self.mbj("account", "delete", self.p, "alice", "--remove-messages")
        self.mbj("replay", self.p, self.r)
        self.mbj("gc", self.p)
        for path in (self.p / "snapshots").iterdir():
            path.unlink()
        self.mbj("fsck", self.p, "--rebuild")
        shutil.rmtree(self.p / "state")
        self.mbj("verify", "--deep", self.p, self.r)
        for path in (self.p / "blobs").glob("??/*"):
            path.unlink()
        shutil.rmtree(self.p / "state")
        self.assertEqual(run("fsck", self.p).err.count("no blob"), 1)

    def test_in_use(self):
        """Goal: a store that is in use is not looked at."""
        self.plant(LEFTOVERS[0])
        self.serve()
        self.mbj("fsck", self.p, "--repair", status=LOCKED)
        self.assertTrue((self.p / LEFTOVERS[0]).exists())
        self.stop()
        self.assertEqual(run("fsck", self.p, "--repair").status, OK)
        self.assertFalse((self.p / LEFTOVERS[0]).exists())


if __name__ == "__main__":
    unittest.main(verbosity=1)
