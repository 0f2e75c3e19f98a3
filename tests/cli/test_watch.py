#!/usr/bin/env python3
"""A replica that is served while it follows, and those who watch it: mbj serve
--exec, status, check and metrics."""
import contextlib
import json
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import FAILED, MBJ, OK, PARTIAL, REFUSED, USAGE, run  # noqa: E402
from servetest import ServiceCase  # noqa: E402

WELL, WARNING, CRITICAL, UNKNOWN = range(4)
METRIC = re.compile(r'(mbj_[a-z_]+)\{store="((?:[^"\\\n]|\\.)*)"\} '
                    r"([0-9]+(?:\.[0-9]{3})?)")


class WatchCase(ServiceCase):
    def setUp(self):
        super().setUp()
        self.carrier = f"{shlex.quote(MBJ)} send {shlex.quote(str(self.p))}"

    def follow(self, *options, carrier=None):
        return self.serve("--exec", carrier or self.carrier, *options,
                          store=self.r)

    def status(self):
        return self.mbj("status", self.r, "--json").json()

    def current_wait(self, lsn):
        def is_there():
            status = self.status()
            upstream = status["upstream"]
            return upstream["wasCurrent"] and status["applied"] >= lsn and \
                upstream["groupsBehind"] == 0
        self.until(is_there)

    def check(self, level, *options, store=None):
        result = run("check", store or self.r, *options)
        self.assertEqual(result.status, level, (result.out, result.err))
        line = result.out
        word = ("OK", "WARNING", "CRITICAL", "UNKNOWN")[level]
        self.assertTrue(line.startswith(f"MBJ {word}: "), line)
        self.assertEqual(line.count("\n"), 1)
        self.assertLessEqual(line.count("|"), 1)
        return line

    def metrics(self, store=None):
        numbers, kinds = {}, {}
        for line in run("metrics", store or self.r).out.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                self.assertIn(kind, ("gauge", "counter"))
                kinds[name] = kind
            elif not line.startswith("# HELP "):
                match = METRIC.fullmatch(line)
                self.assertIsNotNone(match, line)
                self.assertNotIn(match[1], numbers)
                numbers[match[1]] = float(match[3])
        self.assertEqual(set(numbers), set(kinds))
        return numbers


class Watch(WatchCase):
    def test_serves_and_follows(self):
        """Goal: clients read a replica that follows, and learn how it stands.
        Method: a new replica, edits on the primary, reads on both; the same by
        all who watch; at the end both are equal."""
        self.follow()
        self.current_wait(1)
        for i in range(5):
            self.mbj("deliver", self.p, "alice", stdin=b"hello %d" % i)
        self.mbj("rename", self.p, "alice", "A>Z")
        self.current_wait(7)
        self.assertEqual(self.tree(self.r), self.tree(self.p))
        self.assertEqual(run("messages", self.r, "alice", "INBOX").out,
                         run("messages", self.p, "alice", "INBOX").out)
        refused = self.mbj("rename", self.r, "alice", "Z>A", status=REFUSED)
        self.assertIn("replica", refused.err)
        status = self.status()
        self.assertEqual(status["applied"], 7)
        upstream = status["upstream"]
        self.assertEqual(upstream["state"], "following")
        self.assertEqual(upstream["groupsBehind"], 0)
        self.assertEqual(upstream["connections"], 1)
        self.assertIn("following, current ", run("status", self.r).out)
        line = self.check(WELL)
        self.assertRegex(line, r" lag=[0-9]+\.[0-9]{3}s;60;300 behind=0 "
                         r"bytes=0B bulk=0B$")
        numbers = self.metrics()
        self.assertEqual(numbers["mbj_up"], 1)
        self.assertEqual(numbers["mbj_primary"], 0)
        self.assertEqual(numbers["mbj_applied_lsn"], 7)
        self.assertEqual(numbers["mbj_upstream_connected"], 1)
        self.assertEqual(numbers["mbj_lag_known"], 1)
        self.assertLess(numbers["mbj_lag_seconds"], 60)
        self.stop()
        self.mbj("verify", "--deep", self.p, self.r)
        self.mbj("fsck", "--deep", self.r)

    def replicas(self):
        return self.mbj("replicas", self.p, "--json").json()["list"]

    def test_away(self):
        """Goal: of several replicas each that is away is said, while the best
        is well; one that is paused is not.  Method: one that follows, one that
        was there once."""
        other = self.dir / "other"
        self.mbj("init", other, "--role", "replica")
        self.serve()
        source, self.server = self.server, None
        self.addCleanup(lambda: (source.kill(), source.communicate()))
        self.follow("--name", "two")
        self.current_wait(1)
        self.mbj("follow", other, "--name", "three", "--once", "--exec",
                 f"exec {shlex.quote(MBJ)} send {shlex.quote(str(self.p))}")
        self.until(lambda: any(r["lagMs"] is not None
                               for r in self.replicas()))
        self.assertIn("1 of 2 replicas were not current in the last 300 s",
                      self.check(WARNING, store=self.p))
        self.assertEqual(self.metrics(self.p)["mbj_replicas_away"], 1)
        self.mbj("pause", self.p, "three", "--for", "1h")
        self.assertRegex(self.check(WELL, store=self.p),
                         "1 of 2 replicas paused, for [0-9]+ s more at most; "
                         "the best of 2 replicas")
        self.assertEqual(self.metrics(self.p)["mbj_replicas_away"], 0)
        self.stop()

    def test_register(self):
        """Goal: a source knows who follows it, and how far, and keeps what they
        lack.  Method: a replica by its name, away, forgotten; who watches the
        source; a replica of another store is not in it."""
        self.assertEqual(self.replicas(), [])
        self.serve()
        source, self.server = self.server, None
        self.addCleanup(lambda: (source.kill(), source.communicate()))
        self.assertNotIn("replicas", self.check(WELL, store=self.p))
        self.follow("--name", "two")
        self.mbj("deliver", self.p, "alice", stdin=b"hello")
        self.current_wait(2)

        def is_noted():
            listed = self.replicas()
            return listed and listed[0]["applied"] == 2 and \
                listed[0]["lagMs"] is not None
        self.until(is_noted)
        self.stop()
        (one,) = self.replicas()
        self.assertEqual((one["name"], one["received"], one["applied"],
                          one["parked"], one["connected"]),
                         ("two", 2, 2, 0, False))
        self.assertEqual(one["instance"], self.mbj(
            "status", self.r, "--json").json()["instance"])
        self.assertLess(one["lagMs"], 60000)
        self.assertEqual(
            run("status", self.p, "--json").json()["replicas"][0]["name"],
            "two")
        self.assertRegex(run("status", self.p).out,
                         " two: away, .*applied to group 2, 0 bytes behind, "
                         "current ")
        self.assertIn("the best of 1 replicas",
                      self.check(WELL, store=self.p))
        self.until(lambda: self.replicas()[0]["lagMs"] >= 1000)
        self.check(CRITICAL, "--critical", "1", store=self.p)
        numbers = self.metrics(self.p)
        self.assertEqual(numbers["mbj_replicas"], 1)
        self.assertGreaterEqual(numbers["mbj_replica_lag_seconds_least"], 1)
        (self.p / "replicas" / ("7" * 32)).write_bytes(b"")
        self.assertIn("1 replicas of the register cannot be read",
                      self.check(WARNING, store=self.p))
        self.assertEqual(self.metrics(self.p)["mbj_replicas_damaged"], 1)
        self.assertIn("7" * 32, self.mbj("replicas", self.p, status=6).err)
        self.mbj("replicas", self.p, "--forget", "7" * 32)
        wrong = self.mbj("replicas", self.p, "--forget", "three",
                         status=FAILED)
        self.assertIn("three", wrong.err)
        self.mbj("replicas", self.p, "--forget", "two")
        self.assertEqual(self.replicas(), [])

    def test_bytes(self):
        """Goal: a source says how many bytes each replica lacks, those in bulk
        apart.  Method: one that is away while mail comes in, one by one and by
        an import; all who watch the source; a journal that cannot be read."""
        self.serve()
        source, self.server = self.server, None
        self.addCleanup(lambda: (source.kill(), source.communicate()))
        self.follow("--name", "two")
        self.current_wait(1)
        self.stop()
        self.until(lambda: self.replicas()[0]["applied"] == 1)
        (one,) = self.replicas()
        self.assertEqual((one["bytesBehind"], one["bulkBytesBehind"],
                          one["bytesBehindExact"]), (0, 0, True))
        self.mbj("deliver", self.p, "alice", stdin=b"hello")
        mail = self.dir / "mail"
        for name in ("cur", "new", "tmp"):
            (mail / name).mkdir(parents=True)
        (mail / "new" / "1.a.b").write_bytes(b"Subject: x\n\nhello\n")
        source.terminate()
        source.wait()
        self.mbj("import", self.p, "alice", "--maildir", mail)
        (one,) = self.replicas()
        size, bulk = one["bytesBehind"], one["bulkBytesBehind"]
        self.assertGreater(bulk, 0)
        self.assertGreater(size, bulk)
        self.assertTrue(one["bytesBehindExact"])
        words = f"{size} bytes, {bulk} of them in bulk"
        self.assertIn(words + " behind", self.mbj("status", self.p).out)
        self.assertIn(words + " behind", self.mbj("replicas", self.p).out)
        self.serve()
        numbers = self.metrics(self.p)
        self.assertEqual(numbers["mbj_replica_lag_bytes_least"], size)
        self.assertEqual(numbers["mbj_replica_lag_bulk_bytes_least"], bulk)
        self.stop()
        for segment in (self.p / "journal").glob("*.seg"):
            segment.write_bytes(b"")
        (one,) = self.replicas()
        self.assertEqual((one["bytesBehind"], one["bulkBytesBehind"],
                          one["bytesBehindExact"]), (None, None, False))

    def large_import(self, account):
        names = [{"id": f"n{i}", "name": f"{i:0250}", "parentId": None}
                 for i in range(6000)]
        self.mbj("import", self.p, account,
                 stdin=json.dumps({"list": names}).encode())

    def test_bytes_left(self):
        """Goal: a replica says how many bytes its source has more.  Method: two
        groups of 2 MiB through a narrow line, looked at between both."""
        self.serve()
        source, self.server = self.server, None
        self.addCleanup(lambda: (source.kill(), source.communicate()))
        self.follow("--rate", "512K")
        self.current_wait(1)
        self.large_import("bob")
        self.large_import("carol")

        def is_left():
            return self.status()["upstream"]["bytesBehind"] > 1 << 20
        self.until(is_left)
        line = run("check", self.r).out
        self.assertRegex(line, r"groups behind \([0-9]+ bytes\), following")
        self.assertRegex(line, r" bytes=[0-9]{7,}B bulk=0B$")
        numbers = self.metrics()
        self.assertGreater(numbers["mbj_lag_bytes"], 1 << 20)
        self.assertEqual(numbers["mbj_lag_bulk_bytes"], 0)
        self.assertRegex(run("status", self.r).out,
                         "groups behind the source's [23], [0-9]{7,} bytes")
        self.current_wait(3)

        def is_none_left():  # told a moment after the groups are applied
            upstream = self.status()["upstream"]
            return (upstream["bytesBehind"],
                    upstream["bytesBehindKnown"]) == (0, 2)
        self.until(is_none_left)
        self.stop()

    def test_register_fails(self):
        """Goal: a replica that cannot be registered is not served, as a trim
        would not know of it; but where that is asked for.  Method: a file where
        the register is to be."""
        (self.p / "replicas").write_bytes(b"")
        once = ("follow", self.r, "--once", "--exec")
        result = run(*once, self.carrier)
        self.assertEqual(result.status, FAILED)
        self.assertIn("cannot be registered", result.err)
        self.assertEqual(self.mbj("log", self.r).out, "")
        self.mbj(*once, self.carrier + " --unregistered")
        self.mbj("verify", self.p, self.r)

    def test_chain_begins(self):
        """Goal: replicas that begin together find each other.  Method: one that
        follows another that has nothing yet."""
        s = self.dir / "s"
        self.mbj("init", s, "--role", "replica")
        self.serve("--exec", f"{shlex.quote(MBJ)} send {self.r}", store=s)

        def upstream():
            return self.mbj("status", s, "--json").json()["upstream"]
        self.until(lambda: upstream()["state"] == "waiting")
        self.replay()
        self.until(lambda: upstream()["wasCurrent"])

    def test_register_of_another(self):
        """Goal: whoever is refused is in no register; a name is a text."""
        self.replay()
        other = self.dir / "other"
        self.mbj("init", other)
        self.follow(carrier=f"{shlex.quote(MBJ)} send {other}")
        self.until(lambda: self.status()["upstream"]["refusedMs"] > 0)
        self.assertEqual(self.mbj("replicas", other).out, "")
        self.stop()
        wrong = run("serve", self.r, "--exec", "true", "--name", "a\nb")
        self.assertEqual(wrong.status, USAGE)
        self.assertIn("--name", wrong.err)

    def test_cut_link(self):
        """Goal: lag grows while nothing is heard, and someone is woken.
        Method: a source that falls silent; then one that is killed and gone."""
        pid = self.dir / "pid"
        gate = self.dir / "gate"
        self.follow(carrier=f"test -e {gate} && exit 1; "
                            f"echo $$ > {pid}; exec {self.carrier}")
        self.current_wait(1)
        source = int(pid.read_text())
        os.kill(source, signal.SIGSTOP)
        self.mbj("deliver", self.p, "alice", stdin=b"hello")
        self.until(lambda: self.status()["upstream"]["lagMs"] >= 2000)
        line = self.check(CRITICAL, "--critical", "2", "--warning", "1")
        self.assertGreaterEqual(
            float(re.search(r"current ([0-9.]+) s ago", line)[1]), 2)
        self.check(WARNING, "--critical", "100", "--warning", "1")
        self.check(WELL)
        gate.touch()
        os.kill(source, signal.SIGKILL)
        self.until(lambda:
                   self.status()["upstream"]["state"] == "waiting")
        before = self.status()["upstream"]
        self.assertNotEqual(before["reason"], "")
        self.assertGreaterEqual(before["lagMs"], 2000)
        self.assertEqual(self.metrics()["mbj_upstream_connected"], 0)
        self.check(CRITICAL, "--critical", "2")
        gate.unlink()
        self.current_wait(2)
        self.assertEqual(self.status()["upstream"]["connections"], 2)
        self.check(WELL)

    def test_never_met(self):
        """Goal: a replica that was not current since it began is not called
        well, however young.  Method: a source that is never there."""
        self.follow(carrier="exit 1")
        self.until(lambda:
                   self.status()["upstream"]["state"] == "waiting")
        self.assertIn("not current since it began",
                      self.check(WARNING, "--warning", "1000"))
        self.until(lambda: self.status()["upstream"]["upMs"] >= 1000)
        self.check(CRITICAL, "--critical", "1")
        numbers = self.metrics()
        self.assertEqual(numbers["mbj_lag_known"], 0)
        self.assertGreaterEqual(numbers["mbj_lag_seconds"], 1)

    def test_refused(self):
        """Goal: a replica for whose source another store answers goes on
        serving, says so, once, and follows when its source answers again.
        Method: a source of another lineage, for a time; all who watch."""
        self.replay()
        other = self.dir / "other"
        gate = self.dir / "gate"
        gate.touch()
        self.mbj("init", other)
        send = f"exec {shlex.quote(MBJ)} send"
        self.follow(carrier=f"echo >> {self.dir / 'tries'}; "
                            f"test -e {gate} && {send} {other}; {send} {self.p}")
        tries = self.dir / "tries"
        self.until(lambda: tries.exists() and tries.stat().st_size >= 3)
        upstream = self.status()["upstream"]
        self.assertIn(upstream["state"], ("waiting", "connecting"))
        self.assertIn("another lineage", upstream["reason"])
        self.assertGreater(upstream["refusedMs"], 0)
        self.assertIn("cannot follow it for ", run("status", self.r).out)
        self.assertRegex(self.check(CRITICAL),
                         "it cannot follow its source, for [0-9]+ s: .*another")
        self.assertGreater(self.metrics()["mbj_upstream_refused_seconds"], 0)
        self.assertEqual(self.tree(self.r), self.tree(self.p))
        gate.unlink()
        self.mbj("deliver", self.p, "alice", stdin=b"hello")
        self.current_wait(2)
        upstream = self.status()["upstream"]
        self.assertEqual((upstream["refusedMs"], upstream["reason"]), (0, ""))
        self.check(WELL)
        self.assertEqual(self.metrics()["mbj_upstream_refused_seconds"], 0)
        said = self.stop().decode().splitlines()
        self.assertEqual(len(said), 1, said)
        self.assertIn("it cannot follow its source, and goes on trying",
                      said[0])

    def test_socket(self):
        """Goal: a primary whose service has its socket elsewhere is watched,
        its replicas, too, by both paths; another store's service is not taken
        for its own.  Method: all who watch, with and without."""
        place = str(self.dir / "elsewhere")
        self.serve("--socket", place, wait=False)
        self.wait_for(place)
        self.mbj("follow", self.r, "--once", "--name", "near", "--exec",
                 self.carrier)
        self.assertIn("--socket names the place",
                      self.check(UNKNOWN, store=self.p))
        self.assertIn("of no replica, of 1, is it known how far",
                      self.check(WARNING, "--socket", place, store=self.p))
        status = self.mbj("status", self.p, "--socket", place, "--json").json()
        self.assertEqual([r["name"] for r in status["replicas"]], ["near"])
        self.assertEqual(status["service"]["process"], self.server.pid)
        self.assertRegex(self.mbj("metrics", self.p).out, "(?m)^mbj_up{.*} 0$")
        said = self.mbj("metrics", self.p, "--socket", place).out
        self.assertRegex(said, "(?m)^mbj_up{.*} 1$")
        self.assertRegex(said, "(?m)^mbj_replicas{.*} 1$")
        other = self.dir / "other"
        self.mbj("init", other)
        self.assertIn(f"the service at {place} is not that of {other}",
                      self.check(CRITICAL, "--socket", place, store=other))
        self.assertIn("is not that of", run(
            "status", other, "--socket", place).err)
        self.assertIn(f"and there is no service: cannot connect to {place}x",
                      self.check(UNKNOWN, "--socket", place + "x",
                                 store=self.p))
        self.assertIn("with the store's directory", self.check(
            UNKNOWN, "--socket", self.p, store=place))
        # Over what a socket's name, and what any path here may have.
        for size in (200, 2000):
            name = str(self.dir / ("x" * size))
            words = f"the socket's name is too long: {name[:99]}"
            refused = run("status", self.p, "--socket", name)
            self.assertEqual(refused.status, REFUSED)
            self.assertIn(words, refused.err)
            self.assertIn(words,
                          self.check(CRITICAL, "--socket", name, store=self.p))
        for verb in ("status", "metrics"):
            refused = run(verb, place, "--socket", place)
            self.assertEqual(refused.status, REFUSED)
            self.assertIn("with the store's directory", refused.err)

    def test_socket_changes(self):
        """Goal: who looks on and on takes no other store's service for this
        one's that comes to the socket meanwhile, nor is kept by one that says
        a byte now and then.  Method: both, one after the other."""
        place = self.dir / "elsewhere"
        self.mbj("init", self.dir / "other")
        self.serve("--socket", place, store=self.p, wait=False)
        self.wait_for(place)
        with subprocess.Popen([MBJ, "status", self.p, "--socket", place,
                               "--watch", "--every", "1"], text=True,
                              stdout=subprocess.PIPE) as watch:
            self.assertIn("MBJ OK", watch.stdout.readline())
            self.stop()
            self.serve("--socket", place, store=self.dir / "other", wait=False)
            self.assertTrue(any("is not that of" in watch.stdout.readline()
                                for _ in range(20)))
            watch.terminate()
        with socket.socket(socket.AF_UNIX) as slow:
            slow.bind(str(self.dir / "slow"))
            slow.listen()

            def drip():
                peer, _ = slow.accept()
                with peer, contextlib.suppress(OSError):
                    for _ in range(15):  # of 16, which the head has
                        peer.sendall(b"\0")
                        time.sleep(1)
            threading.Thread(target=drip, daemon=True).start()
            began = time.monotonic()
            self.check(CRITICAL, store=self.dir / "slow")
            self.assertLess(time.monotonic() - began, 10)

    def test_full_disk(self):
        """Goal: what is wrong here and may be mended ends nothing.  Method: too
        little space for groups, which is called too little; then a source that
        is damaged, and mended."""
        self.follow("--keep-free", "1048576T")

        def is_waiting_for_space():  # it tries again and again
            upstream = self.status()["upstream"]
            return upstream["state"] == "waiting" and \
                "space" in upstream["reason"]
        self.until(is_waiting_for_space)
        self.stop()
        segment = next((self.p / "journal").glob("*.seg"))
        whole = segment.read_bytes()
        segment.write_bytes(whole.replace(b"alice", b"alicf", 1))
        self.follow()
        self.until(lambda:
                   self.status()["upstream"]["state"] == "waiting")
        segment.write_bytes(whole)
        self.current_wait(1)

    def test_state_fails(self):
        """Goal: a replica whose state fails does not go on as if it served.
        Method: its tables are zeroed beneath it, and read."""
        self.replay()
        self.follow()
        self.current_wait(1)
        tables = self.r / "state" / "state.db"
        tables.write_bytes(b"\x55" * tables.stat().st_size)
        self.mbj("deliver", self.p, "alice", stdin=b"x" * 100)

        def is_over():
            run("tree", self.r, "alice")
            return self.server.poll() is not None
        self.until(is_over)
        self.assertNotEqual(self.server.returncode, OK)
        self.kill()
        self.follow()
        self.current_wait(2)
        self.stop()
        self.mbj("verify", self.p, self.r)

    @unittest.skipUnless(os.environ.get("MBJ_CLOCK"), "no clock to shift")
    def test_clock(self):
        """Goal: whether a replica is there goes by the clock that nobody sets.
        Method: one that is followed by, seen when the time of day was set forth
        by an hour, and back; and after an hour in which nobody heard it, and
        the time of day went back."""
        self.serve()
        source, self.server = self.server, None
        self.addCleanup(lambda: (source.kill(), source.communicate()))
        self.follow("--name", "two")
        self.until(self.replicas)

        def seen(seconds, **more):
            (one,) = run("replicas", self.p, "--json", env={
                **os.environ, "LD_PRELOAD": os.environ["MBJ_CLOCK"],
                "MBJ_CLOCK_SHIFT": str(seconds), **more}).json()["list"]
            return one["connected"], one["heardAgo"]
        for seconds in (3600, -3600):
            is_there, ago = seen(seconds)
            self.assertTrue(is_there)
            self.assertLess(ago, 60)
        jump = self.dir / "jump"
        jump.touch()
        is_there, ago = seen(-3600, MBJ_CLOCK_JUMP=str(jump))
        self.assertFalse(is_there)
        self.assertGreaterEqual(ago, 3600)
        self.stop()

    def test_parked(self):
        """Goal: parked accounts are warned of.  Method: one."""
        self.park()
        self.follow()
        self.until(lambda: self.status_parked())
        self.assertIn("1 accounts parked", self.check(WARNING))
        self.assertEqual(self.metrics()["mbj_accounts_parked"], 1)

    def status_parked(self):
        result = run("status", self.r, "--json")
        return result.status == PARTIAL and \
            result.json()["upstream"]["wasCurrent"]

    def test_others(self):
        """Goal: each other way to be, or not to be, a store.  Method: one that
        nobody serves, one in use, a primary, none, a damaged one, a full one,
        a replica that follows nobody; and wrong usage."""
        self.assertIn("nobody serves", self.check(CRITICAL))
        self.assertEqual(self.metrics()["mbj_up"], 0)
        self.assertEqual(self.metrics(self.p)["mbj_journal_end_lsn"], 1)
        self.assertIn(f"nobody serves: nothing is at {self.dir / 'none'}",
                      self.check(CRITICAL, store=self.dir / "none"))
        self.check(UNKNOWN, store=self.dir)
        self.assertEqual(run("metrics", self.dir / "none").status, FAILED)
        self.assertEqual(run("check").status, UNKNOWN)
        self.assertEqual(run("check", self.p, "--warning", "x").status,
                         UNKNOWN)
        follower = subprocess.Popen(
            [MBJ, "follow", str(self.r), "--exec", "exec sleep 100"],
            stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (follower.kill(), follower.wait()))
        self.until(lambda: run("check", self.r).status == UNKNOWN)
        self.assertIn("is no service", self.check(UNKNOWN))
        follower.kill()
        follower.wait()
        self.serve("--keep-free", str(1 << 60), store=self.p)
        self.assertIn("edits are refused", self.check(CRITICAL, store=self.p))
        self.stop()
        self.serve(store=self.p)
        self.assertIn("primary, to group 1", self.check(WELL, store=self.p))
        self.check(WELL, store=self.p / "socket")
        self.server.send_signal(signal.SIGSTOP)
        self.assertIn("does not answer", self.check(CRITICAL, store=self.p))
        self.assertEqual(self.metrics(self.p / "socket"), {"mbj_up": 0})
        self.server.send_signal(signal.SIGCONT)
        self.stop()
        refused = run("serve", self.p, "--exec", self.carrier)
        self.assertEqual(refused.status, REFUSED)
        self.assertIn("follows nobody", refused.err)
        self.serve(store=self.r)
        self.assertIn("follows nobody", self.check(WARNING))
        self.stop()
        (self.r / "mbj.store").write_bytes(b"x" * 512)
        self.check(CRITICAL)

    def test_killed(self):
        """Goal: whoever is killed, the replica goes on with what it has.
        Method: kill -9 of the service in the middle of it, five times."""
        for i in range(5):
            self.follow()
            for j in range(10):
                self.mbj("deliver", self.p, "alice", stdin=b"%d" % j)
            self.kill()
        self.follow()
        self.current_wait(51)
        self.stop()
        self.mbj("verify", "--deep", self.p, self.r)


if __name__ == "__main__":
    unittest.main()
