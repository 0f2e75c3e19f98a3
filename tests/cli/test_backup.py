#!/usr/bin/env python3
"""Backups from outside: taken of stores in use, killed, brought forward,
damaged, and made stores again.
"""
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import (A, CORRUPT, Case, DIVERGE, FAILED, LOCKED,  # noqa: E402
                     MBJ, OK, PARTIAL, REFUSED, ROWS, USAGE, listing, run,
                     seed, truth)

KILLS = int(os.environ.get("MBJ_KILLS") or 8)


def blob(store, body):
    digest = hashlib.sha256(body).hexdigest()
    return store / "blobs" / digest[:2] / digest[2:]


def flip(path, at):
    """One byte becomes another one; the file keeps its inode."""
    data = bytearray(path.read_bytes())
    data[at] ^= 0x55
    path.write_bytes(data)


class Backups(Case):
    def setUp(self):
        super().setUp()
        self.b, self.back = self.dir / "b", self.dir / "back"
        self.account(ROWS)

    def deliver(self, body, mailbox="INBOX"):
        self.mbj("deliver", self.p, "alice", mailbox, stdin=body)

    def backup(self, *options, status=OK):
        result = self.mbj("backup", self.p, self.b, "--json", *options,
                          status=status)
        return result.json() if status in (OK, PARTIAL) else result

    def restore(self, *options, status=OK, to=None):
        result = self.mbj("restore", self.b, to or self.back, "--json",
                          *options, status=status)
        return result.json() if status in (OK, PARTIAL) else result

    def status(self, store):
        return self.mbj("status", store, "--json").json()

    def whole(self, store):
        """A store of which every byte is as it should be."""
        self.mbj("fsck", store, "--deep")

    def remove(self, *stores):
        for store in stores:
            shutil.rmtree(store, ignore_errors=True)


class Backup(Backups):
    def test_there_and_back(self):
        """Goal: what is restored is the source at that group, content by
        content; a second backup copies what is new only.  Method: messages
        large and small, another backup after edits, verify --deep."""
        for body in (b"one\n", b"two\n", b"\0" * 300_000):
            self.deliver(body)
        first = self.backup()
        self.assertEqual((first["schema"], first["before"], first["contents"],
                          first["size"], first["mended"]),
                         ("mbj.backup/1", 0, 3, 300_008, 0))
        self.mbj("verify", self.p, self.b, "--deep")
        kept = blob(self.b, b"one\n").stat()
        self.mbj("rename", self.p, "alice", "A>B", "B>A")
        self.deliver(b"four\n", "A")
        second = self.backup()
        self.assertEqual(second["before"], first["group"])
        self.assertEqual(second["group"], first["group"] + 2)
        self.assertEqual(second["contents"], 4)
        again = blob(self.b, b"one\n").stat()
        self.assertEqual((kept.st_ino, kept.st_mtime_ns),
                         (again.st_ino, again.st_mtime_ns))
        self.assertEqual(self.backup()["group"], second["group"])
        restored = self.restore()
        self.assertEqual((restored["schema"], restored["group"],
                          restored["contents"]),
                         ("mbj.restore/1", second["group"], 4))
        for other in (self.p, self.b):
            self.mbj("verify", other, self.back, "--deep")
        self.assertEqual(self.status(self.back)["role"], "replica")
        self.assertNotEqual(self.status(self.back)["instance"],
                            self.status(self.b)["instance"])
        self.deliver(b"five\n")
        self.mbj("replay", self.p, self.back)
        self.mbj("verify", self.p, self.back, "--deep")

    def test_copies_share_nothing(self):
        """Goal: a copy does not go with the block that the original is in.
        Method: no file of source, backup and restored store has two names."""
        self.deliver(b"one\n")
        self.backup()
        self.restore()
        for store in (self.p, self.b, self.back):
            self.assertEqual(blob(store, b"one\n").stat().st_nlink, 1)

    def test_reading_one(self):
        """Goal: a mailbox comes out of a backup without a restore."""
        self.deliver(b"one\n")
        self.backup()
        self.assertEqual(self.mbj("cat", self.b, "alice", "INBOX", 1).out,
                         "one\n")
        self.mbj("export", self.b, "alice", self.dir / "maildir")
        self.mbj("rename", self.b, "alice", "A>Z", status=REFUSED)

    def test_nothing_yet(self):
        """Goal: an empty store is backed up and restored; a replica that has
        received nothing is not one."""
        empty, b, back = (self.dir / n for n in ("empty", "eb", "eback"))
        self.mbj("init", empty)
        self.mbj("backup", empty, b)
        self.mbj("restore", b, back)
        self.mbj("verify", empty, back)
        self.mbj("import", empty, "alice", stdin=listing(ROWS))
        self.mbj("replay", empty, back)
        self.mbj("backup", self.r, self.dir / "rb", status=REFUSED)
        self.assertFalse((self.dir / "rb").exists())

    def test_dry_run(self):
        """Goal: -n changes nothing and says how far it would go."""
        self.deliver(b"one\n")
        end = self.status(self.p)["journalEnd"]
        self.assertEqual(self.backup("-n")["group"], end)
        self.assertFalse(self.b.exists())
        self.backup()
        self.deliver(b"two\n")
        before = truth(self.b)
        looked = self.backup("-n")
        self.assertEqual((looked["before"], looked["group"]), (end, end + 1))
        self.assertEqual(truth(self.b), before)
        self.assertEqual(self.restore("-n")["group"], end)
        self.assertFalse(self.back.exists())

    def test_refused(self):
        """Goal: nothing is taken for a backup, nor overwritten, that is
        something else.  Method: a store, a directory with a file, a backup of
        another store, one in use; what is missing; usage."""
        self.deliver(b"one\n")
        self.mbj("backup", self.p, self.p, status=REFUSED)
        self.mbj("replay", self.p, self.r)
        self.mbj("backup", self.p, self.r, status=REFUSED)
        other = self.dir / "other"
        other.mkdir()
        (other / "precious").write_text("x")
        self.mbj("backup", self.p, other, status=REFUSED)
        self.mbj("backup", self.dir / "nowhere", self.b, status=FAILED)
        self.assertFalse(self.b.exists())
        self.backup()
        self.mbj("restore", self.b, self.r, status=REFUSED)
        self.mbj("restore", self.b, self.p, status=REFUSED)
        self.mbj("restore", self.b, other, status=REFUSED)
        self.mbj("restore", self.r, self.back, status=FAILED)
        self.mbj("restore", self.b, self.back, "--role", "x", status=USAGE)
        self.mbj("restore", self.b, self.back, "--until", "1000",
                 status=REFUSED)
        self.assertFalse(self.back.exists())
        self.assertEqual([p.name for p in other.iterdir()], ["precious"])
        twin = self.dir / "twin"
        self.mbj("init", twin)
        self.mbj("import", twin, "alice", stdin=listing(ROWS))
        self.mbj("backup", twin, self.b, status=REFUSED)
        service = subprocess.Popen([MBJ, "serve", str(self.b)])
        try:
            while not (self.b / "socket").exists():
                time.sleep(0.01)
            self.backup(status=LOCKED)
            self.restore()
        finally:
            service.terminate()
            service.wait()
        self.backup()

    def test_role(self):
        """Goal: of two primaries of one lineage, replicas tell one from the
        other.  Method: one is restored while the other lives on; replicas of
        both, and of a second one that is restored."""
        self.deliver(b"one\n")
        self.backup()
        self.mbj("replay", self.p, self.r)
        self.restore("--role", "primary")
        second = self.dir / "second"
        self.restore("--role", "primary", to=second)
        self.assertEqual(self.status(self.back)["role"], "primary")
        self.assertEqual(self.status(self.back)["epoch"],
                         self.status(self.p)["epoch"] + 1)
        self.mbj("deliver", self.back, "alice", stdin=b"new\n")
        self.mbj("replay", self.back, self.r)
        self.mbj("verify", self.back, self.r, "--deep")
        # Before it wrote anything, only the epoch tells.
        for rival in (self.p, second):
            result = self.mbj("replay", rival, self.r, status=REFUSED)
            self.assertIn("epoch", result.err)
        self.mbj("backup", self.back, self.b)
        self.mbj("backup", self.p, self.b, status=REFUSED)

    def test_role_with_one_aside(self):
        """Goal: a primary made of a backup in which an account is set aside is
        one for good, and what follows it comes to have that account.  Method:
        alice is bent in a replica, in the snapshot that another one begins
        with, and in its backup; the new primary's state is given up and lost,
        before and after edits; a replica of the old one, which has alice right
        by that, goes on through a stream; a new one, a backup."""
        if not DIVERGE:
            self.skipTest("MBJ_DIVERGE names no mbj_diverge")
        bent, good = self.dir / "bent", self.dir / "good"
        self.replay()
        subprocess.run([DIVERGE, self.r, "alice", "+ghost"], check=True)
        self.mbj("snapshot", self.r)
        self.mbj("init", bent, "--from-snapshot", self.r)
        self.deliver(b"given up\n")
        self.mbj("rename", self.p, "alice", "INBOX>Old")
        self.mbj("import", self.p, "bob", stdin=listing(ROWS))
        self.mbj("replay", self.p, bent, status=PARTIAL)
        self.mbj("clone", good, "--exec", f"{MBJ} send {self.p}")
        self.mbj("backup", bent, self.b, status=PARTIAL)
        # Nobody is known to be aside before; others need what they have.
        self.assertNotIn("accountsParked", self.mbj(
            "restore", self.b, self.back, "--role", "primary", "-n",
            "--json").json())
        self.mbj("deliver", self.p, "bob", stdin=b"needed\n")
        lost, lacks = self.dir / "lost", self.dir / "lacks"
        self.mbj("replay", self.p, bent, status=PARTIAL)
        self.mbj("backup", bent, lacks, status=PARTIAL)
        blob(lacks, b"needed\n").unlink()
        result = self.mbj("restore", lacks, lost, "--role", "primary",
                          status=CORRUPT)
        self.assertIn('account "bob": the content', result.err)
        self.mbj("restore", lacks, self.dir / "still", status=PARTIAL)
        result = self.mbj("restore", self.b, self.back, "--role", "primary",
                          status=PARTIAL)
        self.assertIn("1 accounts were set aside", result.err)
        self.assertIn("given up", result.err)
        # What is void may be damaged: it is no segment's that counts.
        void = next((self.back / "journal").glob("00000001-*.seg"))
        flip(void, void.read_bytes().index(
            hashlib.sha256(b"given up\n").digest()))
        flip(void, 20)  # its header
        self.mbj("fsck", self.back)
        self.mbj("quarantine", self.back, "list")
        self.mbj("fsck", self.back, "--rebuild")
        # No UID that somebody may know means another message.
        was, now = (self.mbj("messages", store, "alice", "INBOX",
                             "--json").json() for store in (self.p, self.back))
        self.assertGreater(now["uidValidity"], was["uidValidity"])
        self.assertEqual((was["uidNext"], now["uidNext"]), (2, 2))
        self.assertEqual(now["messages"], [])
        self.mbj("deliver", self.back, "alice", stdin=b"new\n")
        shutil.rmtree(self.back / "state")
        self.mbj("rename", self.back, "bob", "A>Z")
        self.mbj("fsck", self.back, "--rebuild")
        self.whole(self.back)
        self.assertEqual(self.mbj("cat", self.back, "alice", "INBOX", 2).out,
                         "new\n")
        audit = self.mbj("quarantine", self.back, "audit", "--json").json()
        self.assertEqual([entry["kind"] for entry in audit["list"]],
                         ["park", "end"])
        # By the snapshot that was made for it.
        carrier = f"{MBJ} send {self.back}"
        result = self.mbj("follow", good, "--once", "--exec", carrier,
                          "--json").json()
        self.assertEqual((result["accountsResynced"],
                          result["accountsParked"]), (1, 0))
        second, again = self.dir / "second", self.dir / "again"
        self.mbj("clone", second, "--exec", carrier)
        self.mbj("backup", self.back, again)
        for store in (good, second, again):
            self.mbj("verify", self.back, store, "--deep")
        self.mbj("fsck", good, "--rebuild")
        self.mbj("verify", self.back, good, "--deep")
        self.mbj("replay", self.p, good, status=REFUSED)

    def test_epoch_is_kept(self):
        """Goal: a replica that has met a newer epoch refuses the older one
        for ever, without a group of the newer one."""
        self.replay()
        self.backup()
        self.restore("--role", "primary")
        self.mbj("replay", self.back, self.r)
        self.deliver(b"from the one that was replaced\n")
        result = self.mbj("replay", self.p, self.r, status=REFUSED)
        self.assertIn("epoch", result.err)

    def test_until(self):
        """Goal: an earlier group can be had, if its contents can.  Method: a
        rename undone, a message expunged before the first backup."""
        self.deliver(b"one\n")
        self.backup()
        good = self.status(self.p)["journalEnd"]
        self.mbj("rename", self.p, "alice", "A>Lost")
        self.mbj("expunge", self.p, "alice", "INBOX", "1")
        self.mbj("gc", self.p)
        self.backup()
        self.restore("--until", str(good))
        self.assertIn("A", self.paths(self.back))
        self.whole(self.back)
        self.mbj("gc", self.b)
        second = self.dir / "second"
        result = self.restore("--until", str(good), to=second, status=CORRUPT)
        self.assertIn(hashlib.sha256(b"one\n").hexdigest(), result.err)
        self.mbj("status", second, status=REFUSED)
        self.restore(to=self.dir / "third")

    def test_collected_meanwhile(self):
        """Goal: what the source collects is missed only where it is needed.
        Method: messages expunged, and a mailbox deleted, between backups, and
        before the first."""
        for round_ in range(2):
            for body in (b"a%d" % round_, b"b%d" % round_):
                self.deliver(body)
            self.deliver(b"c%d" % round_, "A/C" if round_ == 0 else "B/D")
            self.mbj("expunge", self.p, "alice", "INBOX",
                     "1" if round_ == 0 else "3")
            self.mbj("set", self.p, "alice", stdin={
                "destroy": [self.paths()["A/C" if round_ == 0 else "B/D"]],
                "onDestroyRemoveEmails": True})
            self.mbj("gc", self.p)
            self.assertEqual(self.backup()["contents"], round_ + 1)
            self.remove(self.back)
            self.restore()
            self.mbj("verify", self.p, self.back, "--deep")

    def test_parked(self):
        """Goal: an account that is parked keeps nobody from being backed up,
        and is told of.  Method: one bent in the backup."""
        if not DIVERGE:
            self.skipTest("MBJ_DIVERGE names no mbj_diverge")
        self.backup()
        subprocess.run([DIVERGE, str(self.b), "alice", A, "elsewhere"],
                       check=True)
        self.mbj("rename", self.p, "alice", "A>Z")
        self.assertEqual(self.backup(status=PARTIAL)["accountsParked"], 1)
        # From its journal the state is as it should be.
        self.restore()
        self.mbj("verify", self.p, self.back)


class Meanwhile(Backups):
    """The source is in use: a service, writers, a collector."""

    def write(self, number, stop, failures):
        store, count = self.p, 0
        while not stop.is_set():
            count += 1
            body = b"%d of %d\n" % (count, number)
            steps = [["deliver", store, "alice", "INBOX"]]
            if count % 3 == 0:
                steps.append(["mv", store, "alice", "INBOX", f"{count}:*",
                              "B"])
            if count % 5 == 0:
                steps.append(["expunge", store, "alice", "B", "1:2"])
            for step in steps:
                result = run(*step, stdin=body)
                if result.status not in (OK, LOCKED, 75):
                    failures.append(f"{step}: {result.status} {result.err}")
            time.sleep(0.02)

    def judge(self, group):
        """The newest backup is the source at its group."""
        back, twin = self.dir / "judged", self.dir / "twin"
        self.remove(back, twin)
        self.assertEqual(self.restore(to=back)["group"], group)
        self.whole(back)
        self.mbj("init", twin, "--role", "replica")
        # Contents that were collected since are missed there, not here.
        status = run("replay", self.p, twin, "--until", group).status
        self.assertIn(status, (OK, PARTIAL))
        self.mbj("verify", back, twin)

    def writers_run(self, rounds, between):
        stop, failures = threading.Event(), []
        threads = [threading.Thread(target=self.write,
                                    args=(n, stop, failures))
                   for n in range(3)]
        for thread in threads:
            thread.start()
        groups = []
        try:
            for _ in range(rounds):
                between()
                groups.append(self.backup()["group"])
                self.judge(groups[-1])
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(failures, [])
        self.assertGreater(groups[-1], groups[0])

    def at_rest(self):
        self.backup()
        self.restore()
        self.mbj("verify", self.p, self.back, "--deep")

    def test_service(self):
        """Goal: each backup of a store that is being written to is the store
        at one group.  Method: three writers through a service, backups,
        each restored and compared with a replica at that group."""
        service = subprocess.Popen([MBJ, "serve", str(self.p)])
        try:
            while not (self.p / "socket").exists():
                time.sleep(0.01)
            self.writers_run(3, lambda: None)
        finally:
            service.terminate()
            self.assertEqual(service.wait(), 0)
        self.at_rest()

    def test_collector(self):
        """Goal: a collector that runs at any time breaks no backup.  Method:
        writers that own the store in turn, as the collector does."""
        def collect():
            for _ in range(50):
                if run("gc", self.p).status == OK:
                    return
        self.writers_run(3, collect)
        self.at_rest()


class Damaged(Backups):
    def setUp(self):
        super().setUp()
        for body in (b"one\n", b"two\n"):
            self.deliver(body)

    def segment(self, store):
        return sorted((store / "journal").glob("*.seg"))[0]

    def test_source_journal(self):
        """Goal: a damaged group is named and copied by nobody; the backup
        stays what it was.  Method: a byte of the first group's body."""
        self.backup()
        mark = (self.b / "mbj.backup").read_bytes()
        self.deliver(b"three\n")
        name = self.segment(self.p)
        at = name.read_bytes().rfind(hashlib.sha256(b"three\n").digest())
        flip(name, at)
        result = self.backup(status=CORRUPT)
        self.assertIn(name.name, result.err)
        self.assertEqual((self.b / "mbj.backup").read_bytes(), mark)
        self.restore()
        self.whole(self.back)

    def test_source_content(self):
        """Goal: a content that is lost or damaged is named, the mark stays;
        what the backup has already it does not need again."""
        self.backup()
        mark = (self.b / "mbj.backup").read_bytes()
        blob(self.p, b"one\n").unlink()
        self.backup()
        self.deliver(b"three\n")
        mark = (self.b / "mbj.backup").read_bytes()
        flip(blob(self.p, b"three\n"), 0)
        result = self.backup(status=CORRUPT)
        self.assertIn(hashlib.sha256(b"three\n").hexdigest()[2:], result.err)
        blob(self.p, b"three\n").unlink()
        result = self.backup(status=CORRUPT)
        self.assertIn(hashlib.sha256(b"three\n").hexdigest(), result.err)
        self.assertEqual((self.b / "mbj.backup").read_bytes(), mark)
        self.mbj("gc", self.b, status=REFUSED)
        self.restore()
        self.whole(self.back)
        self.mbj("expunge", self.p, "alice", "INBOX", "3")
        self.backup()

    def test_backup_content(self):
        """Goal: what is damaged in a backup is named, never restored, and
        mended with --deep.  Method: one content bent, one gone, one cut."""
        self.backup()
        flip(blob(self.b, b"one\n"), 1)
        self.backup()
        result = self.restore(status=CORRUPT)
        self.assertIn(hashlib.sha256(b"one\n").hexdigest()[2:], result.err)
        self.mbj("status", self.back, status=REFUSED)
        self.assertEqual(self.backup("--deep")["mended"], 1)
        # What the attempt left is gone on with.
        self.restore()
        self.whole(self.back)
        blob(self.b, b"one\n").unlink()
        blob(self.b, b"two\n").write_bytes(b"tw")
        self.assertEqual(self.backup()["mended"], 2)
        self.whole(self.b)

    def test_backup_journal(self):
        """Goal: a damaged group of a backup is named by restore and --deep.
        Method: a byte of an early body."""
        self.backup()
        name = self.segment(self.b)
        at = name.read_bytes().find(hashlib.sha256(b"one\n").digest())
        flip(name, at)
        result = self.restore(status=CORRUPT)
        self.assertIn(name.name, result.err)
        self.assertIn(name.name, self.backup("--deep", status=CORRUPT).err)

    def test_mark(self):
        """Goal: a mark that is damaged, cut, newer or gone is no mark."""
        self.backup()
        path = self.b / "mbj.backup"
        good = path.read_bytes()
        for at in range(0, len(good), 16):
            flip(path, at)
            self.assertEqual(run("restore", self.b, self.back).status,
                             CORRUPT, at)
            path.write_bytes(good)
        for size in (0, 27, 159):
            path.write_bytes(good[:size])
            self.backup(status=CORRUPT)
        path.unlink()
        self.restore(status=FAILED)
        self.backup(status=REFUSED)
        self.assertFalse(self.back.exists())


class Killed(Backups):
    def kill_after(self, delay, *arguments):
        with subprocess.Popen([MBJ, *map(str, arguments)],
                              stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as process:
            try:
                process.wait(timeout=delay)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
            return process.wait()

    def test_kills(self):
        """Goal: a backup that is killed is what it was before, and the next
        one goes on; a restore that is killed leaves no store, and the next
        one makes it.  Method: kill -9 at random moments of both (MBJ_KILLS)."""
        rng = seed()
        for n in range(40):
            self.deliver(b"%d\n" % n * (1 + 4000 * (n % 3)))
        begin = time.monotonic()
        self.mbj("backup", self.p, self.dir / "timed")
        span = time.monotonic() - begin
        killed = {"backup": 0, "restore": 0}
        whole = 0
        for n in range(KILLS):
            if n % 4 == 0:
                self.remove(self.b)
                whole = 0
            self.deliver(b"more %d\n" % n)
            status = self.kill_after(rng.uniform(0, span), "backup", self.p,
                                     self.b)
            if status == OK:
                whole = self.status(self.p)["journalEnd"]
            killed["backup"] += status < 0
            self.remove(self.back)
            result = run("restore", self.b, self.back, "--json")
            if whole > 0:
                self.assertEqual(result.status, OK, result.err)
                # The mark may have moved just before it was killed.
                self.assertGreaterEqual(result.json()["group"], whole)
                self.whole(self.back)
            elif result.status == OK:
                self.whole(self.back)
            else:
                self.assertIn(result.status, (FAILED, REFUSED), result.err)
                self.assertFalse((self.back / "mbj.store").exists())
        self.backup()
        for n in range(KILLS):
            to = self.dir / f"back{n}"
            status = self.kill_after(rng.uniform(0, span), "restore", self.b,
                                     to, "--role", "primary")
            killed["restore"] += status < 0
            if run("status", to).status == OK:
                self.whole(to)
            else:
                self.mbj("restore", self.b, to, "--role", "primary")
            self.mbj("verify", self.p, to, "--deep")
            self.assertEqual(self.status(to)["epoch"], 2)
            self.remove(to)
        self.assertGreater(min(killed.values()), 0)


if __name__ == "__main__":
    unittest.main()
