#!/usr/bin/env python3
"""Snapshots and trimmed journals from outside: what every verb makes of a store
whose journal does not begin at group 1.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import (CORRUPT, Case, FAILED, LOCKED, MBJ, OK,  # noqa: E402
                     PARTIAL, REFUSED, ROWS, USAGE, run)

SEGMENTS = os.environ.get("MBJ_SEGMENTS")
KEEP = ("--keep-days", "0", "--keep-requests", "1")


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0x55
    path.write_bytes(data)


class TrimCase(Case):
    """A primary with an account and messages, and what to do with it."""

    def setUp(self):
        super().setUp()
        if not SEGMENTS:
            self.skipTest("MBJ_SEGMENTS names no mbj_segments")
        self.account(ROWS)
        for number in range(3):
            self.mbj("deliver", self.p, "alice",
                     stdin=f"Subject: {number}\n\nbody\n")
        self.mbj("flag", self.p, "alice", "INBOX", "1", "\\Seen")
        self.mbj("expunge", self.p, "alice", "INBOX", "2")

    def grow(self, count=40, store=None):
        subprocess.run([SEGMENTS, str(store or self.p), "alice", "A",
                        str(count)], check=True)

    def trim(self, *options, store=None, status=OK):
        result = self.mbj("trim", store or self.p, "--json", *options,
                          status=status)
        return result.json() if status == OK else result

    def status(self, store=None):
        return self.mbj("status", store or self.p, "--json").json()

    def snapshots(self, store=None):
        return sorted((store or self.p).glob("snapshots/*.snap"))

    def count(self):
        listed = self.mbj("messages", self.p, "alice", "INBOX", "--json")
        return len(listed.json()["messages"])

    def parked(self):
        result = run("status", self.r, "--json")
        self.assertEqual(result.status, PARTIAL)
        return result.json()["parked"][0]["first"]


class Trim(TrimCase):
    def test_snapshot(self):
        self.assertEqual(
            self.mbj("snapshot", self.p, "--list", "--json").json(),
            {"schema": "mbj.snapshots/1", "list": []})
        first = self.mbj("snapshot", self.p, "--json").json()
        self.assertEqual(first["group"], self.status()["journalEnd"])
        self.assertEqual((first["accounts"], first["mailboxes"],
                          first["messages"], first["isNew"]), (1, 5, 2, True))
        self.assertFalse(
            self.mbj("snapshot", self.p, "--json").json()["isNew"])
        for _ in range(3):
            self.grow(1)
            last = self.mbj("snapshot", self.p, "--json").json()
        listed = self.mbj("snapshot", self.p, "--list", "--json").json()["list"]
        self.assertEqual([s["group"] for s in listed],
                         [last["group"], last["group"] - 2])
        self.assertIn(f"group {last['group']}, ",
                      self.mbj("snapshot", self.p, "--list").out)
        flip(self.snapshots()[0], 300)
        result = self.mbj("snapshot", self.p, "--list", "--json",
                          status=CORRUPT)
        self.assertIn("fault", result.json()["list"][1])
        self.assertIn(str(self.snapshots()[0]), result.err)
        self.mbj("snapshot", self.dir / "nowhere", status=FAILED)
        self.mbj("snapshot", self.dir / "nowhere", "--list", status=FAILED)
        self.mbj("snapshot", self.r, status=REFUSED)
        self.mbj("fsck", self.p)

    def test_rebuild(self):
        self.grow()
        self.mbj("snapshot", self.p)
        self.grow(2)
        before = self.mbj("tree", self.p, "alice", "--json").out
        result = self.mbj("fsck", self.p, "--rebuild")
        self.assertIn("from the snapshot of group", result.err)
        shutil.rmtree(self.p / "state")
        self.assertEqual(self.mbj("tree", self.p, "alice", "--json").out,
                         before)
        flip(self.snapshots()[0], 300)
        result = self.mbj("fsck", self.p, "--rebuild")
        self.assertIn("made again from the journal", result.err)
        self.assertIn("1 snapshots were of no use", result.err)
        self.assertEqual(self.mbj("tree", self.p, "alice", "--json").out,
                         before)

    def test_trim(self):
        self.grow()
        self.replay()
        before = {v: self.mbj(v, self.p, "alice", "--json").out
                  for v in ("tree", "quota")}
        would = self.trim("-n", *KEEP)
        self.assertGreater(would["segments"], 2)
        self.assertEqual(self.status()["journalFirst"], 1)
        self.assertEqual(self.trim()["why"], "requests")
        self.assertEqual(self.trim("--keep-requests", "1")["why"], "age")
        done = self.trim(*KEEP)
        self.assertEqual({**would, "dryRun": False,
                          "snapshot": done["end"]}, done)
        status = self.status()
        self.assertEqual(status["journalFirst"], done["first"])
        self.assertEqual(status["journalEnd"], done["end"])
        self.assertIn(f"from group {done['first']} ",
                      self.mbj("status", self.p).out)
        self.assertEqual(self.trim(*KEEP)["segments"], 0)
        self.assertEqual(
            before, {v: self.mbj(v, self.p, "alice", "--json").out
                     for v in ("tree", "quota")})
        log = self.mbj("log", self.p, "--json").json()
        self.assertEqual(log["groups"][0]["lsn"], done["first"])
        self.mbj("log", self.p, "--from", "1", status=FAILED)
        # It goes on, replicas that have come past what went do, too.
        self.mbj("deliver", self.p, "alice", stdin="Subject: new\n\nx\n")
        self.agree()
        self.mbj("fsck", self.p, "--deep", "--rebuild")
        self.mbj("verify", "--deep", self.p, self.r)
        self.mbj("gc", self.p)

    def test_beginning_lost(self):
        """Goal: a journal that lacks its beginning is damaged, also to a look
        that opens nothing.  Method: the first file gone, of a journal from
        group 1 and of a trimmed one."""
        def is_named(store):
            min((store / "journal").glob("*.seg")).unlink()
            said = self.mbj("fsck", store, "-n", status=CORRUPT)
            self.assertRegex(said.err, "does not reach back to LSN [0-9]+")
        self.grow()
        whole = self.dir / "whole"
        shutil.copytree(self.p, whole)
        is_named(whole)
        self.trim(*KEEP)
        self.grow()
        is_named(self.p)

    def test_late_replica(self):
        self.replay()
        lagging = self.status(self.r)["journalEnd"]
        fresh = self.dir / "fresh"
        self.mbj("init", fresh, "--role", "replica")
        self.grow()
        first = self.trim(*KEEP)["first"]
        result = self.mbj("replay", self.p, self.r, status=REFUSED)
        self.assertIn(f"ends at group {lagging}, ", result.err)
        self.assertIn(f"begins at {first}:", result.err)
        self.assertIn("--from-snapshot", result.err)
        self.assertEqual(self.status(self.r)["journalEnd"], lagging)
        for options in ((), ("-n",)):
            result = self.mbj("replay", self.p, fresh, *options,
                              status=REFUSED)
            self.assertIn("--from-snapshot", result.err)
        self.mbj("fsck", self.r)

    def test_from_snapshot(self):
        self.grow()
        done = self.trim(*KEEP)
        self.mbj("deliver", self.p, "alice", stdin="Subject: new\n\nx\n")
        made = self.dir / "made"
        result = self.mbj("init", made, "--from-snapshot", self.p, "--json")
        self.assertEqual(result.json()["role"], "replica")
        self.assertEqual(result.json()["lineage"], self.status()["lineage"])
        status = self.status(made)
        self.assertEqual((status["journalFirst"], status["journalEnd"]),
                         (done["end"] + 1, done["end"]))
        # A state that is made anew still wants what was not fetched yet.
        shutil.rmtree(made / "state")
        self.mbj("replay", self.p, made)
        self.mbj("verify", "--deep", self.p, made)
        self.mbj("fsck", made, "--deep")
        self.mbj("replay", self.p, made)
        result = self.mbj("fsck", made, "--deep", "--rebuild")
        self.assertIn("from the snapshot", result.err)
        self.mbj("verify", "--deep", self.p, made)
        # It is a source like any other, and has what it was made from.
        other = self.dir / "other"
        self.mbj("init", other, "--from-snapshot", made)
        self.mbj("replay", made, other)
        self.mbj("verify", "--deep", self.p, other)
        self.mbj("init", made, "--from-snapshot", self.p, status=REFUSED)
        self.mbj("init", self.dir / "x", "--from-snapshot", self.p,
                 "--role", "primary", status=USAGE)
        self.mbj("init", self.dir / "y", "--from-snapshot",
                 self.dir / "nowhere", status=FAILED)
        flip(self.snapshots()[0], 300)
        result = self.mbj("init", self.dir / "z", "--from-snapshot", self.p,
                          status=CORRUPT)
        self.assertIn("no snapshot", result.err)
        self.assertFalse((self.dir / "z").exists())

    def test_older_snapshot(self):
        """Goal: no replica is made of a snapshot that the journal does not
        reach back to.  Method: an old one put back, the newest damaged."""
        self.mbj("snapshot", self.p)
        old = self.snapshots()[0]
        kept = old.read_bytes()
        self.grow()
        self.trim(*KEEP)
        old.write_bytes(kept)
        flip(self.snapshots()[-1], 300)
        result = self.mbj("init", self.dir / "made", "--from-snapshot", self.p,
                          status=CORRUPT)
        self.assertIn("no snapshot", result.err)

    def test_foreign_snapshots(self):
        """Goal: snapshots of a history that was given up are not counted, and
        cost nothing that is good.  Method: two of a copy that went on, beside
        the store; one for the very group that it is at."""
        other = self.dir / "other"
        shutil.copytree(self.p, other)
        for name in ("Theirs", "Others"):
            self.mbj("rename", other, "alice", f"B>{name}")
            self.mbj("snapshot", other)
            self.mbj("rename", other, "alice", f"{name}>B")
        self.mbj("rename", self.p, "alice", "B>Ours")
        (self.p / "snapshots").mkdir()
        for path in self.snapshots(other):
            shutil.copy(path, self.p / "snapshots" / path.name)
        for rename in ("Ours>Mine", "Mine>Yours"):
            self.mbj("snapshot", self.p)
            end = self.status()["journalEnd"]
            self.assertIn(f"from the snapshot of group {end} ", self.mbj(
                "fsck", self.p, "--rebuild").err)
            self.mbj("rename", self.p, "alice", rename)
        self.mbj("fsck", self.p)

    def test_fork_at_the_beginning(self):
        """Goal: a replica that stands just before a trimmed journal is
        compared with it.  Method: two stores that differ in an early group;
        of one as many groups as the other has trimmed."""
        other = self.dir / "other"
        shutil.copytree(self.p, other)
        self.mbj("rename", self.p, "alice", "B>Ours")
        self.mbj("rename", other, "alice", "B>Theirs")
        for store in (self.p, other):
            self.grow(store=store)
        first = self.trim(*KEEP)["first"]
        self.mbj("replay", other, self.r, "--until", first - 1)
        self.assertEqual(self.status(self.r)["journalEnd"], first - 1)
        result = self.mbj("replay", self.p, self.r, status=REFUSED)
        self.assertIn("forked", result.err)

    def test_backup(self):
        backup, back = self.dir / "b", self.dir / "back"
        self.grow()
        self.mbj("backup", self.p, backup)
        self.grow()
        self.mbj("backup", self.p, backup)
        first = self.trim(*KEEP)["first"]
        # One that has come past what went goes on.
        self.mbj("deliver", self.p, "alice", stdin="Subject: new\n\nx\n")
        self.mbj("backup", self.p, backup)
        # A new one begins where the snapshot is.
        new = self.dir / "new"
        self.mbj("backup", self.p, new)
        self.assertGreater(self.status(new)["journalFirst"], first)
        for source, target in ((backup, back), (new, self.dir / "back2")):
            self.mbj("restore", source, target)
            self.mbj("verify", "--deep", self.p, target)
            self.mbj("fsck", target, "--deep", "--rebuild")
        # And a backup can be trimmed itself.
        self.mbj("restore", new, self.dir / "early", "--until",
                 self.status(new)["journalFirst"] - 1)
        self.mbj("fsck", self.dir / "early", "--deep")
        self.mbj("restore", new, self.dir / "early2", "--until", "1",
                 status=FAILED)
        self.mbj("restore", new, self.dir / "p2", "--role", "primary")
        self.mbj("rename", self.dir / "p2", "alice", "A>Z")
        self.mbj("fsck", self.dir / "p2")
        self.grow()
        self.mbj("backup", self.p, new)
        self.mbj("trim", new, *KEEP)
        self.mbj("restore", new, self.dir / "back3")
        self.mbj("verify", "--deep", self.p, self.dir / "back3")

    def test_parked(self):
        self.grow()
        self.park()
        self.grow(0)
        self.replay(status=PARTIAL)
        subprocess.run([SEGMENTS, str(self.p), "alice", "B", "40"],
                       check=True)
        self.replay(status=PARTIAL)
        parked = self.parked()
        for verb, options in (("trim", KEEP), ("trim", ("-n", *KEEP)),
                              ("snapshot", ())):
            result = self.mbj(verb, self.r, *options, status=REFUSED)
            self.assertIn("parked", result.err)
        self.assertEqual(self.snapshots(self.r), [])
        self.assertEqual(self.parked(), parked)
        # So that this heals it.
        self.mbj("fsck", self.r, "--rebuild")
        self.agree()
        self.mbj("snapshot", self.r)

    def test_refusals(self):
        for option in ("--keep-days", "--keep-bytes", "--keep-requests"):
            for value in ("", "x", "-1", "1x", "99999999999999999999"):
                self.trim(option, value, status=USAGE)
        for value in ("0", "1K", "3M", "1T"):
            self.trim("--keep-bytes", value)
        self.trim("--keep-bytes", "9T", "--keep-days", "36500")
        self.trim("--keep-days", "36501", status=USAGE)
        self.trim("--keep-requests", 1 << 24)
        self.trim("--keep-requests", (1 << 24) + 1, status=USAGE)
        self.trim(store=self.r, status=REFUSED)
        self.trim(store=self.dir / "nowhere", status=FAILED)
        # Through a socket elsewhere nobody finds the service.
        with subprocess.Popen([MBJ, "serve", self.p, "--socket",
                               self.dir / "s"],
                              stderr=subprocess.DEVNULL) as service:
            try:
                while not (self.dir / "s").exists():
                    self.assertIsNone(service.poll())
                self.trim(status=LOCKED)
                self.mbj("snapshot", self.p, status=LOCKED)
                self.mbj("snapshot", self.p, "--list")
                self.trim(store=self.dir / "s")
            finally:
                service.terminate()

    def test_requests(self):
        """What --keep-requests keeps is answered, not repeated."""
        self.mbj("deliver", self.p, "alice", "--request-id", "q1",
                 stdin="Subject: once\n\nx\n")
        self.grow()
        self.trim("--keep-days", "0", "--keep-requests", "1000")
        self.mbj("deliver", self.p, "alice", "--request-id", "q1",
                 stdin="Subject: once\n\nx\n")
        count = self.count()
        self.trim(*KEEP)
        self.mbj("deliver", self.p, "alice", "--request-id", "q1",
                 stdin="Subject: once\n\nx\n")
        self.assertEqual(self.count(), count + 1)


if __name__ == "__main__":
    unittest.main()
