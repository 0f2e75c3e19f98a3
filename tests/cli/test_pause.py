#!/usr/bin/env python3
"""Replicas that an operator pauses, or slows down: mbj pause, resume and --rate,
with services of both sides, through a socket.  What a pause's file holds is test_pauses.c's, frames
are test_stream_frame.c's."""
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import FAILED, LOCKED, MBJ, OK, REFUSED, USAGE, run  # noqa: E402
from test_watch import CRITICAL, WARNING, WELL, WatchCase  # noqa: E402

# However slow the machine is, that is not lag yet.
PATIENT = ("--warning", "3000", "--critical", "3000")
SEGMENTS = os.environ.get("MBJ_SEGMENTS")
GROWN = 80


class Pause(WatchCase):
    def setUp(self):
        super().setUp()
        if not SEGMENTS:
            self.skipTest("MBJ_SEGMENTS names no mbj_segments")
        self.address = f"unix:{self.dir / 'replicas'}"
        self.source = self.replica = None
        self.addCleanup(lambda: [self.end(s, signal.SIGKILL) for s in (
            self.source, self.replica)])

    def end(self, server, sign=signal.SIGTERM):
        if server is None or server.poll() is not None:
            return ""
        server.send_signal(sign)
        _, err = server.communicate(timeout=60)
        if sign == signal.SIGTERM:
            self.assertEqual(server.returncode, OK, err)
        return err.decode()

    def source_begin(self):
        self.source = self.serve("--replicas", self.address)
        self.server = None

    def replica_begin(self, *options):
        self.replica = self.serve("--from", self.address, "--name", "two",
                                  *options, store=self.r)
        self.server = None

    def both_begin(self):
        self.source_begin()
        self.replica_begin()
        self.current_wait(1)
        self.until(lambda: any(r["connected"] for r in self.replicas()))

    def replicas(self):
        return self.mbj("replicas", self.p, "--json").json()["list"]

    def upstream(self):
        return self.status()["upstream"]

    def deliver(self):
        self.mbj("deliver", self.p, "alice", stdin=b"hello")

    def grow(self):
        """Groups in several segments, of which a trim can take some."""
        subprocess.run([SEGMENTS, str(self.p), "alice", "A", str(GROWN // 2)],
                       check=True)

    def trim(self):
        """As much as goes; where the journal begins then."""
        self.mbj("trim", self.p, "--keep-days", "0", "--keep-requests", "0")
        return self.mbj("status", self.p, "--json").json()["journalFirst"]

    def is_told(self):
        upstream = self.upstream()
        return upstream["pausedMs"] > 0 and upstream["state"] == "waiting"

    def test_owner(self):
        """Goal: what whoever serves the replica could not read is no pause.
        Method: a store of another user's, as root; its end goes through."""
        if os.geteuid() != 0:
            self.skipTest("only root may give a store away")
        self.mbj("follow", self.r, "--once", "--name", "two", "--exec",
                 self.carrier)
        os.chown(self.p, 65534, 65534)
        refused = run("pause", self.p, "two", "--for", "1h")
        os.chown(self.p, 0, 0)
        self.assertEqual(refused.status, REFUSED)
        self.assertIn("belongs to another user", refused.err)
        self.assertEqual(self.replicas()[0]["pausedMs"], 0)
        self.mbj("pause", self.p, "two", "--for", "1h")
        os.chown(self.p, 65534, 65534)
        ended = run("resume", self.p, "two")
        os.chown(self.p, 0, 0)
        self.assertEqual(ended.status, OK)

    def test_pause(self):
        """Goal: a paused replica gets nothing, all who look are told, and it
        goes on where it was.  Method: pause while it follows, an edit, status,
        check, metrics of both sides; kill -9 of both sides; a trim of several
        segments, before and after; resume."""
        self.both_begin()
        paused = self.mbj("pause", self.p, "two", "--for", "2h", "--json")
        (one,) = paused.json()["list"]
        self.assertEqual((one["name"], one["pausedMs"]), ("two", 7200000))
        self.until(self.is_told)
        self.deliver()
        for again in range(2):
            (one,) = self.replicas()
            self.assertGreater(one["pausedMs"], 7000000)
            self.assertFalse(one["connected"])
            self.assertEqual(one["received"], 1)
            self.assertRegex(run("status", self.p).out,
                             r" two: paused for 7\d\d\d s more, .*applied "
                             "to group 1")
            # A status of its own: what it was and what it waits for.
            upstream = self.upstream()
            # The way there takes a moment.
            self.assertLessEqual(upstream["pausedMs"], one["pausedMs"] + 1000)
            self.assertIn("paused", upstream["reason"])
            self.assertRegex(run("status", self.r).out,
                             r"upstream .* paused by it for 7\d\d\d s more")
            self.assertEqual(self.status()["applied"], 1)
            self.assertRegex(
                self.check(WELL if again == 0 else WARNING, *PATIENT),
                r"paused by its source for 7\d\d\d s more")
            self.assertRegex(
                self.check(WELL, *PATIENT, store=self.p),
                r"1 of 1 replicas paused, for 7\d\d\d s more at most; the "
                r"best of 1 replicas was current")
            ours, theirs = self.metrics(self.p), self.metrics()
            self.assertEqual(ours["mbj_replicas_paused"], 1)
            self.assertEqual(ours["mbj_replicas_away"], 0)
            self.assertGreater(ours["mbj_replica_paused_seconds_most"], 7000)
            self.assertGreater(theirs["mbj_upstream_paused_seconds"], 7000)
            if again == 0:
                self.end(self.replica, signal.SIGKILL)
                self.end(self.source, signal.SIGKILL)
                self.grow()
                self.source_begin()
                self.replica_begin()
                self.until(self.is_told)
        # Lag counts, whoever wanted it; what is lacking there stays.
        self.until(lambda: self.replicas()[0]["lagMs"] >= 1000)
        self.check(CRITICAL, "--critical", "1", store=self.p)
        self.assertEqual(self.trim(), 1)
        self.mbj("resume", self.p, "two")
        self.assertEqual(self.replicas()[0]["pausedMs"], 0)
        self.end(self.replica)
        self.replica_begin()
        self.current_wait(2 + GROWN)
        self.assertEqual(self.upstream()["pausedMs"], 0)
        self.end(self.replica)
        self.end(self.source)
        self.mbj("verify", self.p, self.r)
        self.assertGreater(self.trim(), 1)

    def test_ends(self):
        """Goal: a pause that nobody thinks of is over in time, and the replica
        comes by itself; it is said once.  Method: through the service's
        socket, all that are known; made shorter before the replica asks."""
        self.both_begin()
        self.mbj("pause", self.p / "socket", "--for", "1h")
        self.until(self.is_told)
        self.deliver()
        said = self.end(self.replica)
        self.assertEqual(said.count("has paused this replica"), 1, said)
        self.mbj("pause", self.p / "socket", "--for", "1s")
        self.replica_begin()
        self.current_wait(2)
        self.assertEqual(self.upstream()["pausedMs"], 0)
        self.assertEqual(self.replicas()[0]["pausedMs"], 0)
        # What is left of it is damaged.
        (file,) = (self.p / "replicas").glob("*.pause")
        file.write_bytes(b"x" + file.read_bytes()[1:])
        bad = "the pause of 1 replicas cannot be read"
        self.assertIn(bad, run("check", self.p, *PATIENT).out)
        self.mbj("resume", self.p / "socket")
        self.assertNotIn(bad, run("check", self.p, *PATIENT).out)

    def test_once(self):
        """Goal: whoever comes to make a replica current at once is told why
        not, by an exit status; another one is not meant.  Method: follow
        --once, clone."""
        once = ("follow", self.r, "--once", "--name", "two", "--exec",
                self.carrier)
        self.mbj(*once)
        self.mbj("pause", self.p, "two", "--for", "90")
        result = self.mbj(*once, status=LOCKED)
        self.assertRegex(result.err, r"has paused this replica, for \d+ s "
                                     "more")
        self.mbj("clone", self.dir / "new", "--name", "new", "--exec",
                 self.carrier)

    def test_rate(self):
        """Goal: a stream is no faster than either side says.  Method: a message
        that nothing makes smaller, at a rate of which a piece of 2 KiB may go
        at once: by the service that listens; by the replica."""
        self.mbj("deliver", self.p, "alice", stdin=os.urandom(6000))
        self.source = self.serve("--replicas", self.address, "--rate", "8KiB")
        self.server = None
        send = self.carrier + " --rate"
        for i, way in enumerate((
                ("--from", self.address, "--rate", "1G"),
                ("--exec", f"{send} 1T", "--rate", "8K"))):
            began = time.monotonic()
            self.mbj("clone", self.dir / f"r{i}", *way)
            self.assertGreater(time.monotonic() - began, 0.45, way)
        self.end(self.source)
        self.mbj("verify", "--deep", self.p, self.dir / "r1")
        for verb in (("send", self.p), ("serve", self.p),
                     ("follow", self.r, "--exec", "true")):
            for rate in ("1023", "1Ki", "99999999999T"):
                wrong = self.mbj(*verb, "--rate", rate, status=USAGE)
                self.assertIn("--rate", wrong.err)

    def test_elsewhere(self):
        """Goal: a service whose store is not to be found from here is said to
        be one.  Method: one that was begun with a path of its own directory."""
        self.server = subprocess.Popen([MBJ, "serve", "p"], cwd=self.dir,
                                       stderr=subprocess.PIPE)
        self.wait_for(self.p / "socket")
        result = self.mbj("pause", self.p / "socket", "--for", "1m",
                          status=FAILED)
        self.assertIn('has the store "p", which is not to be found from here',
                      result.err)
        self.mbj("pause", self.dir / "none", "--for", "1m", status=FAILED)

    def test_wrong(self):
        """Goal: what is no pause is refused in words, and a trial changes
        nothing.  Method: no time, none that is, too long a one, nobody."""
        for words in ((), ("--for", "0"), ("--for", "8d"), ("--for", "1w"),
                      ("--for", "h"), ("--for", "99999999999999999999")):
            result = self.mbj("pause", self.p, *words, status=USAGE)
            self.assertIn("--for", result.err)
        nobody = self.mbj("pause", self.p, "--for", "1m", status=FAILED)
        self.assertIn("knows no replica", nobody.err)
        self.mbj("follow", self.r, "--once", "--name", "two", "--exec",
                 self.carrier)
        for who in ("three", "7" * 32):
            nobody = self.mbj("pause", self.p, who, "--for", "1m",
                              status=FAILED)
            self.assertIn(who, nobody.err)
        self.mbj("pause", self.p, "--for", "1m", "--dry-run")
        self.assertEqual(self.replicas()[0]["pausedMs"], 0)
        self.mbj("pause", self.p, "--for", "7d")
        self.assertGreater(self.replicas()[0]["pausedMs"], 604000000)
        # A file that is damaged pauses nobody, and is named.
        (file,) = (self.p / "replicas").glob("*.pause")
        whole = file.read_bytes()
        file.write_bytes(whole[:20] + b"x" + whole[21:])
        said = self.mbj("replicas", self.p).out
        self.assertRegex(said, f"{file.stem} two: .*its pause is damaged")
        self.assertTrue(self.replicas()[0]["pauseDamaged"])
        self.mbj("trim", self.p)
        self.assertIn("its pause is damaged", run("status", self.p).out)
        self.mbj("follow", self.r, "--once", "--exec", self.carrier)
        self.mbj("resume", self.p, file.stem)
        self.assertFalse(file.exists())
        self.mbj("pause", self.p, "--for", "7d")
        # So does one whose replica is not known any more.
        (self.p / "replicas" / file.stem).unlink()
        said = self.mbj("replicas", self.p).out
        self.assertRegex(said, rf"^{file.stem}: not registered, and paused "
                         r"for 60\d\d\d\d s more")
        (left,) = self.mbj("replicas", self.p,
                           "--json").json()["pausesLeft"]
        self.assertEqual(left["instance"], file.stem)
        self.assertGreater(left["pausedMs"], 604000000)
        self.assertRegex(run("status", self.p).out,
                         rf"\npause +{file.stem}: not registered")
        self.assertEqual(self.mbj("status", self.p, "--json").json()
                         ["pausesLeft"][0]["instance"], file.stem)
        self.serve()
        self.assertIn("1 pauses of replicas that are not registered",
                      self.check(WELL, store=self.p))
        self.assertEqual(self.metrics(self.p)["mbj_replica_pauses_left"], 1)
        self.stop()
        self.mbj("resume", self.p, file.stem, "--dry-run")
        self.assertTrue(file.exists())
        self.mbj("resume", self.p, file.stem)
        self.assertFalse(file.exists())
        self.mbj("resume", self.p, file.stem, status=FAILED)
        self.deliver()
        self.mbj("follow", self.r, "--once", "--name", "two", "--exec",
                 self.carrier)
        self.mbj("pause", self.p, "--for", "7d")
        self.mbj("replicas", self.p, "--forget", "two")
        self.assertFalse(file.exists())


if __name__ == "__main__":
    unittest.main()
