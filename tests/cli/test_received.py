#!/usr/bin/env python3
"""Edits that are to be on replicas, from outside: services, senders and
followers are processes of their own."""
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import MBJ, OK, PARTIAL, TEMPORARY, USAGE, run  # noqa: E402
from servetest import ServiceCase  # noqa: E402

SOON, LONG = ("--within", "50"), ("--within", "600000")
EX_USAGE = 64


class Received(ServiceCase):
    def setUp(self):
        super().setUp()
        self.followers = {}
        self.addCleanup(self.followers_kill)

    def follow(self, name="r", *options):
        """A follower in a process, its sender in another one."""
        store = self.dir / name
        if not (store / "mbj.store").exists():
            self.mbj("init", store, "--role", "replica")
        self.followers[name] = subprocess.Popen(
            [MBJ, "follow", str(store), "--name", name, "--exec",
             f"exec {shlex.quote(MBJ)} send {shlex.quote(str(self.p))} " +
             " ".join(options)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def follower_kill(self, name="r"):
        follower = self.followers.pop(name)
        follower.kill()
        follower.wait()

    def followers_kill(self):
        for name in list(self.followers):
            self.follower_kill(name)

    def follower_signal(self, number, name="r"):
        self.followers[name].send_signal(number)

    def rename(self, source, target, count, *options, status=OK):
        """The group that it became, by what is printed."""
        result = self.mbj("rename", self.p, "alice", f"{source}>{target}",
                          "--durability", f"received:{count}", *options,
                          status=status)
        return int(re.match(r"group ([0-9]+): ", result.out)[1]), result.err

    def deliver(self, request, *options, status=OK):
        return self.mbj("deliver", self.p, "alice", "--request-id", request,
                        "--durability", "received:1", *options, status=status,
                        stdin=b"Subject: x\n\n" + request.encode())

    def has(self, name, lsn):
        """What is said to be received is on the replica's disk."""
        mark = self.dir / name / "journal" / "published"
        self.assertGreaterEqual(
            int.from_bytes(mark.read_bytes()[8:16], "little"), lsn)

    def test_replicas(self):
        """Goal: so many replicas have it once it is said; too few are counted,
        and what is printed is the same.  Method: one, two, three of two; one
        that is paused, one that is forgotten, one without a register."""
        self.serve()
        self.follow("r")
        lsn, err = self.rename("A", "A1", 1, *LONG)
        self.assertEqual(err, "")
        self.has("r", lsn)
        self.follow("s")
        self.follow("t", "--unregistered")
        lsn, _ = self.rename("A1", "A2", 2, *LONG)
        self.has("r", lsn)
        self.has("s", lsn)
        lsn, err = self.rename("A2", "A3", 3, *SOON, status=PARTIAL)
        self.assertRegex(err, f"group {lsn} is durable here, but within 50 ms "
                         "[0-2] of 3 replicas have received it")
        self.mbj("pause", self.p, "s", "--for", "1h")
        _, err = self.rename("A3", "A4", 2, *SOON, status=PARTIAL)
        self.assertRegex(err, "[01] of 2")
        self.mbj("resume", self.p, "s")
        self.follower_kill("s")
        self.follow("s")
        lsn, _ = self.rename("A4", "A5", 2, *LONG)
        self.follower_kill("s")
        notes = self.mbj("replicas", self.p, "--json").json()["list"]
        self.assertEqual([(note["name"], note["counted"]) for note in
                          sorted(notes, key=lambda note: note["name"])],
                         [("r", lsn), ("s", lsn)])
        gone, = [note["instance"] for note in notes if note["name"] == "s"]
        (self.p / "replicas" / f"{gone}.received").write_bytes(b"bent")
        lines = self.mbj("replicas", self.p).out
        self.assertRegex(lines, r" s: .*, counts for no group, ")
        self.assertRegex(lines, rf" r: .*, received to group {lsn}, ")
        self.mbj("replicas", self.p, "--forget", "s")
        result = self.mbj("subscribe", self.p, "alice", "A5", "--json",
                          "--durability=received:2", *SOON, status=PARTIAL)
        self.assertRegex(result.err, "[01] of 2")
        self.assertIn("newState", result.json())
        # It is so already: that it is so is to be received.
        result = self.mbj("subscribe", self.p, "alice", "A5",
                          "--durability=received:2", *SOON, status=PARTIAL)
        self.assertRegex(result.err, "[01] of 2")
        self.mbj("subscribe", self.p, "alice", "A5",
                 "--durability=received:1", *LONG)
        self.stop()

    def test_late(self):
        """Goal: what was not received in time is asked for again by its request
        id: the same group, never a second one.  Method: a follower that is
        stopped, goes on, is killed and begun anew; no service meanwhile."""
        self.follow()
        self.deliver("zero", *LONG)
        self.serve()
        self.follower_signal(signal.SIGSTOP)
        for _ in range(2):
            err = self.deliver("one", *SOON, status=TEMPORARY).err
            self.assertIn("0 of 1 replicas", err)
        asked = ("A", "Z", 1, "--request-id", "two")
        lsn, _ = self.rename(*asked, *SOON, status=PARTIAL)
        self.assertEqual(self.rename(*asked, "--within=0", status=PARTIAL)[0],
                         lsn)
        self.follower_signal(signal.SIGCONT)
        self.assertEqual(self.rename(*asked, *LONG)[0], lsn)
        self.has("r", lsn)
        self.deliver("one", *LONG)
        self.follower_kill()
        lsn, _ = self.rename("Z", "Y", 1, "--request-id", "three", *SOON,
                             status=PARTIAL)
        self.stop()
        self.follow()
        self.assertEqual(self.rename("Z", "Y", 1, "--request-id", "three",
                                     *LONG)[0], lsn)
        inbox = self.mbj("messages", self.p, "alice", "INBOX", "--json").json()
        self.assertEqual(len(inbox["messages"]), 2)
        self.followers_kill()
        self.mbj("verify", "--deep", self.p, self.r)

    def test_stopped(self):
        """Goal: who waits at a service that is stopped, or killed, is told what
        is known.  Method: nobody follows."""
        for end in (signal.SIGTERM, signal.SIGKILL):
            self.serve("--waiters", "1")
            last = self.mbj("status", self.p, "--json").json()["journalEnd"]
            source, target = "AB" if end == signal.SIGTERM else "BA"
            waiting = None

            def is_there():
                # The one place may have been taken by the rename, below.
                nonlocal waiting
                if waiting is None or waiting.poll() is not None:
                    waiting = subprocess.Popen(
                        [MBJ, "account", "create", str(self.p), f"b{int(end)}",
                         "--request-id", f"b{int(end)}", "--durability",
                         "received:1", *LONG], stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE, text=True)
                    self.addCleanup(waiting.kill)
                full = run("rename", self.p, "alice", f"{source}>{target}x",
                           "--request-id", str(end), "--durability",
                           "received:1", "--within", "0")
                self.assertEqual(full.status, PARTIAL, full.err)
                return "1 clients wait" in full.err
            self.until(is_there)
            self.server.send_signal(end)
            _, err = waiting.communicate(timeout=120)
            self.assertEqual(waiting.returncode, PARTIAL, err)
            self.assertRegex(err, "group [0-9]+ is durable here, " +
                             ("but the service stops" if end == signal.SIGTERM
                              else "whether replicas have received it is not"))
            self.kill()
            self.assertGreater(self.mbj("status", self.p, "--json")
                               .json()["journalEnd"], last)

    def test_usage(self):
        """Goal: what is no level, and no time, is said before anything is
        done."""
        for options, words in (
                (("--durability", "buffered"), "not \"buffered\""),
                (("--durability", "received"), "not \"received\""),
                (("--durability", "received:0"), "1 to 1000"),
                (("--durability", "received:1001"), "1 to 1000"),
                (("--durability", "received:1x"), "1x"),
                (("--within", "5"), "--within is for"),
                (("--durability", "durable", "--within", "5"), "is for"),
                (("--durability", "received:1", "--within", "600001"),
                 "0 to 600000"),
                (("--durability", "received:1", "--within", "5s"), "5s")):
            result = self.mbj("rename", self.p, "alice", "A>Z", *options,
                              status=USAGE)
            self.assertIn(words, result.err)
        result = self.mbj("deliver", self.p, "alice", "--durability",
                          "received:1", stdin=b"x", status=EX_USAGE)
        self.assertIn("--request-id", result.err)
        self.assertIn("A", self.paths())
        self.mbj("rename", self.p, "alice", "A>Z", "--durability", "durable")
        self.mbj("rename", self.p, "alice", "Z>A", "--durability",
                 "received:1", "--dry-run")


if __name__ == "__main__":
    unittest.main()
