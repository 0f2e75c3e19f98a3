#!/usr/bin/env python3
"""Streams, from outside: mbj send and mbj follow, with pipes between them."""
import os
import pathlib
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import mbjtest  # noqa: E402
from mbjtest import (CORRUPT, FAILED, LOCKED, MBJ, OK, PARTIAL,  # noqa: E402
                     REFUSED, ROWS, USAGE, listing, run, truth)
from servetest import ServiceCase  # noqa: E402

KILLS = int(os.environ.get("MBJ_KILLS") or 6)


class StreamCase(ServiceCase):
    def setUp(self):
        super().setUp()
        self.follower = None
        self.addCleanup(self.follower_kill)

    def carrier(self, source=None):
        return f"{shlex.quote(MBJ)} send {shlex.quote(str(source or self.p))}"

    def once(self, *options, source=None, replica=None, status=OK):
        return self.mbj("follow", replica or self.r, "--once", "--exec",
                        self.carrier(source), *options, status=status)

    def follow(self, carrier=None, *options, env=None):
        self.follower = subprocess.Popen(
            [MBJ, "follow", str(self.r), "--json", "--exec",
             carrier or self.carrier(), *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
        return self.follower

    def follower_kill(self):
        if self.follower is not None:
            self.follower.kill()
            self.follower.communicate()
            self.follower = None

    def follower_stop(self, status=OK):
        self.follower.send_signal(signal.SIGTERM)
        out, err = self.follower.communicate(timeout=60)
        self.assertEqual(self.follower.returncode, status, err)
        self.follower = None
        return out, err

    def equal(self):
        self.mbj("verify", "--deep", self.p, self.r)
        self.mbj("fsck", "--deep", self.r)

    def until_lsn(self, lsn):
        mark = self.r / "journal" / "published"

        def is_there():
            try:
                return int.from_bytes(mark.read_bytes()[8:16],
                                      "little") >= lsn
            except OSError:
                return False
        self.until(is_there)


class Stream(StreamCase):
    """What a stream does where nothing is killed."""

    def test_once(self):
        """Goal: --once is mbj replay.  Method: the same journal, with mail, by
        both: equal results, equal journals; again, nothing happens; then
        more."""
        other = self.dir / "other"
        self.mbj("init", other, "--role", "replica")
        for i in range(20):
            self.mbj("deliver", self.p, "alice", stdin=b"x%d" % i * 9999)
        result = self.once("--json").json()
        self.assertEqual(result, self.mbj("replay", self.p, other,
                                          "--json").json())
        self.assertEqual(result["groups"], 21)
        self.equal()
        self.assertEqual(self.mbj("log", self.r, "--json").out,
                         self.mbj("log", self.p, "--json").out)
        self.assertEqual(self.once().out,
                         "replayed 0 groups; at group 21 of 21\n")
        self.mbj("rename", self.p, "alice", "A>Z")
        self.assertEqual(self.once("--json").json()["groups"], 1)
        self.equal()

    def test_chain(self):
        """Goal: a replica feeds another; the source may be in use, by its
        service or a follower.  Method: p -> r -> s, r being followed."""
        s = self.dir / "s"
        self.mbj("init", s, "--role", "replica")
        self.serve()
        self.follow()
        self.mbj("deliver", self.p, "alice", stdin=b"hello")
        self.until_lsn(2)
        self.once(source=self.r, replica=s)
        self.follower_stop()
        self.mbj("verify", "--deep", self.r, s)

    def test_live(self):
        """Goal: what is written is there a moment later, without an end.
        Method: a follower, edits through a service and by themselves, a source
        that had no owner when it was connected to; SIGTERM; the output."""
        self.follow()
        self.until_lsn(1)
        self.mbj("rename", self.p, "alice", "A>Z")
        self.until_lsn(2)
        self.serve()
        for i in range(10):
            self.mbj("deliver", self.p, "alice", stdin=b"x" * (1 + 70_000 * i))
            self.until_lsn(3 + i)
        self.assertEqual(run("tree", self.r, "alice").status, LOCKED)
        out, err = self.follower_stop()
        self.assertEqual(err, b"")
        self.assertIn(b'"groups":12,', out)
        self.stop()
        self.equal()

    def test_systemd(self):
        """Goal: systemd is told.  Method: its socket."""
        path = str(self.dir / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(path)
            notify.settimeout(30)
            self.follow(env={**os.environ, "NOTIFY_SOCKET": path})
            self.assertEqual(notify.recv(100), b"READY=1")
            self.until_lsn(1)
            self.follower_stop()
            self.assertEqual(notify.recv(100), b"STOPPING=1")

    def test_reconnects(self):
        """Goal: a connection that ends is made again.  Method: a carrier that
        fails the first time, and one that falls silent after 700 bytes, twice."""
        flag = self.dir / "flag"
        self.follow(f"if test -e {flag}; then {self.carrier()}; else "
                    f"touch {flag}; fi")
        self.until_lsn(1)
        _, err = self.follower_stop()
        self.assertIn(b"another one is made", err)
        for i in range(30):
            self.mbj("deliver", self.p, "alice", stdin=b"%d" % i)
        count = self.dir / "count"
        self.follow(f"echo x >> {count}; if test $(wc -l < {count}) -gt 2; "
                    f"then {self.carrier()}; else "
                    f"{self.carrier()} | dd bs=1 count=700 2>/dev/null; fi",
                    "--timeout", "500")
        self.until_lsn(31)
        self.follower_stop()
        self.equal()

    def test_backs_off(self):
        """Goal: a source that is met, and hangs up with nothing, is not asked
        again and again.  Method: a carrier that hears the hello (92 bytes) and
        says the welcome (156) to a replica that lacks nothing; how often it is
        called."""
        self.once()
        count = self.dir / "count"
        said = self.dir / "said"
        self.mbj("follow", self.r, "--once", "--exec",
                 f"{self.carrier()} | tee {said}")
        self.follow(f"echo x >> {count}; head -c 92 >/dev/null; "
                    f"head -c 156 {said}")
        self.until(count.exists)
        time.sleep(1.7)
        _, err = self.follower_stop()
        self.assertIn(b"another one is made", err)
        # Waits of 125, 250, 500 and 1,000 ms at least are between five.
        self.assertLessEqual(len(count.read_text().split()), 5)

    def test_no_carrier(self):
        """Goal: --once is once where no carrier can be started.  Method: ten
        descriptors, which a store needs and no pipe finds."""
        done = subprocess.run(
            ["sh", "-c", 'ulimit -n 10; exec "$@"', "sh", MBJ, "follow",
             str(self.r), "--once", "--exec", "true"],
            capture_output=True, timeout=30, check=False)
        self.assertEqual(done.returncode, FAILED, done.stderr)
        self.assertIn(b"cannot run", done.stderr)

    def test_refused(self):
        """Goal: exit statuses.  Method: another store; a primary; a replica
        that is ahead; a follower that has it; no source; no --exec."""
        q = self.dir / "q"
        s = self.dir / "s"
        self.mbj("init", q, "--role", "primary")
        self.mbj("init", s, "--role", "replica")
        self.once(replica=s)
        self.mbj("rename", self.p, "alice", "A>Z")
        self.once()
        before = truth(self.r)
        self.once(source=q, status=REFUSED)
        self.once(source=s, status=REFUSED)
        self.once(source=self.dir / "none", status=FAILED)
        self.assertEqual(truth(self.r), before)
        self.once(replica=q, status=REFUSED)
        self.mbj("follow", self.r, status=USAGE)
        self.mbj("follow", self.r, "--exec", "x", "--timeout", "9999999999",
                 status=USAGE)
        self.mbj("send", self.p, "--timeout", "9999999999", status=USAGE,
                 stdin=b"")
        # For good, not for another try.
        self.follow(self.carrier(q))
        _, err = self.follower.communicate(timeout=60)
        self.assertEqual(self.follower.returncode, REFUSED, err)
        self.follow()
        self.mbj("rename", self.p, "alice", "Z>A")
        self.until_lsn(3)
        self.once(status=LOCKED)
        self.follower_stop()

    def test_parked(self):
        """Goal: exit status 4, as mbj replay has it.  Method: an account that
        parks; another goes on."""
        self.park()
        self.mbj("import", self.p, "bob", stdin=listing(ROWS))
        result = self.once("--json", status=PARTIAL).json()
        self.assertEqual((result["groups"], result["accountsParked"]), (2, 1))
        self.follow()
        self.mbj("rename", self.p, "bob", "A>Z")
        self.until_lsn(4)
        self.follower_stop(PARTIAL)

    def test_damaged(self):
        """Goal: what the source has lost is named, and what is good comes.
        Method: a content damaged, then a group."""
        self.mbj("deliver", self.p, "alice", stdin=b"A" * 5000)
        content = mbjtest.Content(self.p, b"A" * 5000)
        content.damage(4999)
        result = self.once("--json", status=PARTIAL)
        self.assertEqual(result.json()["blobsMissing"], 1)
        self.assertIn("could not be fetched", result.err)
        content.mend(4999)
        self.once()
        self.equal()
        self.mbj("rename", self.p, "alice", "A>Zebra")
        self.mbj("rename", self.p, "alice", "B>Yak")
        segment = sorted((self.p / "journal").glob("*.seg"))[-1]
        whole = segment.read_bytes()
        at = whole.index(b"Zebra")
        segment.write_bytes(whole[:at] + b"X" + whole[at + 1:])
        self.assertIn(segment.name, self.once(status=CORRUPT).err)
        segment.write_bytes(whole)
        self.once()
        self.equal()

    @unittest.skipUnless(os.getuid() == 0, "takes root to be another user")
    def test_another_user(self):
        """Goal: root, as of a key of root's, registers nobody in a store that
        is another user's, who could not read that, nor trim beside it; the
        replica hears why.  Method: registering and not."""
        for path in (self.p, *self.p.rglob("*")):
            os.chown(path, 12346, 12346)
        said = self.once(status=FAILED).err
        self.assertIn(f"{self.p} belongs to another user, 12346", said)
        self.assertFalse((self.p / "replicas").exists())
        self.mbj("follow", self.r, "--once", "--exec",
                 self.carrier() + " --unregistered")
        self.assertFalse((self.p / "replicas").exists())


class StreamKilled(StreamCase):
    """Killed at any moment, either side."""

    def test_power_cut(self):
        """Goal: what only a log of contents has is in no source's loss: not in
        a backup, nor for who replays or follows, before anybody opened that
        store (mail that a lost primary had acknowledged); fsck -n says so, and
        changes nothing.  Method: a service is killed, its contents' files are
        cut or gone as a power cut leaves them, and each takes from a copy.
        One whose owner somebody else is says what may have them."""
        self.serve()
        for number in range(4):
            self.mbj("deliver", self.p, "alice", stdin=b"%d\r\n" % number)
        self.kill()
        files = sorted(file for file in self.p.glob("blobs/??/*"))
        self.assertEqual(len(files), 4)
        for file in files[:2]:
            file.write_bytes(b"")
        for file in files[2:]:
            file.unlink()

        def lost(name):
            copy = self.dir / name
            shutil.copytree(self.p, copy,
                            ignore=shutil.ignore_patterns("socket"))
            return copy
        said = self.mbj("fsck", "-n", "--deep", self.p, status=CORRUPT)
        self.assertIn("log.*: contents of the last moments", said.err)
        self.assertTrue((self.p / "blobs" / "log.0").exists())
        self.mbj("backup", lost("backed"), self.dir / "b")
        self.mbj("fsck", self.dir / "b", "--deep")
        self.mbj("replay", lost("replayed"), self.r)
        self.mbj("fsck", self.r, "--deep")
        clone = self.dir / "clone"
        self.mbj("clone", clone, "--exec", self.carrier(lost("sent")))
        self.mbj("fsck", clone, "--deep")
        shut = lost("shut")
        (shut / "mbj.store").chmod(0o666)
        said = self.mbj("backup", shut, self.dir / "b2", status=CORRUPT)
        self.assertIn(f"{shut}/blobs/log.* may have them", said.err)
        self.assertIn("writable for others", said.err)

    def test_killed(self):
        """Goal: nothing that was acknowledged is lost, nothing comes twice.
        Method: a writer writes; source, replica or carrier is killed at random
        (MBJ_KILLS times); at the end both stores are equal."""
        rng = mbjtest.seed()
        self.serve()
        acknowledged = []
        is_over = threading.Event()

        def write():
            number = 0
            while not is_over.is_set():
                number += 1
                body = b"%d" % number * (number % 100)
                done = run("deliver", self.p, "alice", stdin=body or b"x")
                if done.status == OK:
                    acknowledged.append(number)
        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(KILLS):
                pidfile = self.dir / "pid"
                pidfile.unlink(missing_ok=True)
                # Whole or not there: no number would be our own group's.
                self.follow(f"echo $$ > {pidfile}.new; "
                            f"mv {pidfile}.new {pidfile}; "
                            f"exec {self.carrier()}")
                time.sleep(rng.uniform(0.05, 0.6))
                if rng.random() < 0.5 and pidfile.exists():
                    pid = int(pidfile.read_text())
                    self.assertGreater(pid, 1)
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                    time.sleep(rng.uniform(0, 0.5))
                self.follower_kill()
        finally:
            is_over.set()
            writer.join()
        self.stop()
        self.assertTrue(acknowledged)
        self.once()
        self.equal()
        messages = self.mbj("messages", self.r, "alice", "INBOX",
                            "--json").json()
        self.assertEqual(len(messages["messages"]), len(acknowledged))


if __name__ == "__main__":
    unittest.main(verbosity=2)
