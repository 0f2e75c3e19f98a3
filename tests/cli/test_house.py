#!/usr/bin/env python3
"""Keeping house through the service: what is done beside people who use a store
is what is done to one that nobody uses, and costs them nothing.
"""
import contextlib
import itertools
import os
import pathlib
import signal
import shutil
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import FAILED, LOCKED, MBJ, OK, REFUSED, USAGE, run  # noqa: E402
from servetest import ServiceCase  # noqa: E402

SEGMENTS = os.environ.get("MBJ_SEGMENTS")
KEEP = ("--keep-days", "0", "--keep-requests", "1")
# What a verb says that was in the middle when its service was killed.
WENT_AWAY = (OK, FAILED, LOCKED)


class House(ServiceCase):
    def setUp(self):
        super().setUp()
        if not SEGMENTS:
            self.skipTest("MBJ_SEGMENTS names no mbj_segments")
        self.named = 0

    def grow(self, count=40):
        subprocess.run([SEGMENTS, str(self.p), "alice", "A", str(count)],
                       check=True)

    def same(self):
        """The store is sound, and a state made anew from what was kept is what
        it was; a replica agrees."""
        tree = self.mbj("tree", self.p, "alice", "--json").out
        mail = self.mbj("messages", self.p, "alice", "INBOX", "--json").out
        self.mbj("fsck", self.p, "--deep")
        self.mbj("fsck", self.p, "--deep", "--rebuild")
        self.assertEqual(self.mbj("tree", self.p, "alice", "--json").out, tree)
        self.assertEqual(
            self.mbj("messages", self.p, "alice", "INBOX", "--json").out, mail)
        made = self.dir / "made"
        if self.mbj("status", self.p, "--json").json()["journalFirst"] > 1:
            self.mbj("init", made, "--from-snapshot", self.p)
        else:
            self.mbj("init", made, "--role", "replica")
        self.mbj("replay", self.p, made)
        self.mbj("verify", "--deep", self.p, made)
        shutil.rmtree(made)

    def writers(self, count=2, edits=None):
        """Threads that deliver and rename until they are told to stop, or
        their service is gone; what they were told is done is in done."""
        over = threading.Event()
        done = []
        first = self.named
        self.named += count

        def write(number):
            name = f"w{number}"
            for i in itertools.count() if edits is None else range(edits):
                if over.is_set():
                    break
                result = run("deliver", self.p, "alice",
                             stdin=f"Subject: {number}.{i}\n\nbody {i % 3}\n")
                if result.status != OK:
                    break
                done.append(f"{number}.{i}")
                other = f"{name}.{i}"
                if run("rename", self.p, "alice",
                       f"{name}>{other}").status == OK:
                    name = other

        for number in range(first, self.named):
            self.mbj("set", self.p, "alice", stdin='{"create":{"c":{"name":'
                     f'"w{number}"' '}}}')
        threads = [threading.Thread(target=write, args=(number,))
                   for number in range(first, self.named)]
        for thread in threads:
            thread.start()

        def end():
            over.set()
            for thread in threads:
                thread.join()
            return done
        end.done = done
        return end

    def subjects(self):
        found = set()
        listed = self.mbj("messages", self.p, "alice", "INBOX",
                          "--json").json()["messages"]
        for message in listed:
            text = self.mbj("cat", self.p, "alice", "INBOX",
                            str(message["uid"])).out
            found.add(text.split("\n", 1)[0].split(" ", 1)[1])
        return found

    def test_same_as_without(self):
        """Goal: a verb through the service does and says what it does without.
        Method: two copies of a store, one of them served."""
        self.grow()
        for number in range(3):
            self.mbj("deliver", self.p, "alice", stdin=f"Subject: {number}\n\n")
        self.mbj("expunge", self.p, "alice", "INBOX", "1:2")
        copy = self.dir / "copy"
        shutil.copytree(self.p, copy)
        self.serve()
        calls = [("gc", "-n"), ("gc",), ("gc",),
                 ("snapshot",), ("snapshot",), ("trim", "-n", *KEEP),
                 ("trim",), ("trim", "--keep-bytes", "1M", *KEEP),
                 ("trim", *KEEP), ("trim", *KEEP)]
        for verb, *options in calls:
            mine = self.mbj(verb, self.p, "--json", *options).json()
            theirs = self.mbj(verb, copy, "--json", *options).json()
            mine.pop("time", None), theirs.pop("time", None)
            self.assertEqual(mine, theirs)
        self.assertGreater(
            self.mbj("status", self.p, "--json").json()["journalFirst"], 1)
        self.assertEqual(sorted(p.name for p in self.p.glob("journal/*.seg")),
                         sorted(p.name for p in copy.glob("journal/*.seg")))
        self.mbj("deliver", self.p, "alice", stdin="Subject: x\n\ny\n")
        self.stop()
        self.same()

    def test_replica(self):
        """A replica that is served keeps its own house; one that has received
        nothing has none to keep."""
        self.serve(store=self.r)
        self.mbj("gc", self.r)
        for verb in ("snapshot", "trim"):
            self.assertIn("not received anything",
                          self.mbj(verb, self.r, status=REFUSED).err)
        self.stop()
        self.grow()
        self.replay()
        self.serve(store=self.r)
        self.mbj("snapshot", self.r)
        self.mbj("trim", self.r, *KEEP)
        self.stop()
        self.mbj("fsck", self.r, "--rebuild")
        self.agree()

    def test_meanwhile(self):
        """Goal: nobody who writes loses anything, or is refused anything, by a
        house that is kept.  Method: writers beside snapshots and trims, one
        after the other; what they were told is there."""
        self.grow()
        self.serve()
        end = self.writers()
        firsts = []
        for _ in range(6):
            self.mbj("gc", self.p)
            self.mbj("snapshot", self.p)
            firsts.append(self.mbj("trim", self.p, "--json",
                                   *KEEP).json()["first"])
        self.until(lambda: len(end.done) > 3)
        done = end()
        self.assertGreater(firsts[-1], 1)
        self.assertEqual(self.subjects(), set(done))
        self.stop()
        self.same()

    def test_one_at_a_time(self):
        """Goal: two at once do not meet: one is refused, or comes later."""
        self.grow()
        self.serve()
        args = [[MBJ, verb, str(self.p), *options] for verb, options in
                (("snapshot", ()), ("trim", KEEP), ("gc", ())) * 2]
        calls = [subprocess.Popen(a, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE) for a in args]
        for call in calls:
            _, err = call.communicate()
            self.assertIn(call.returncode, (OK, LOCKED), err)
            if call.returncode == LOCKED:
                self.assertIn(b"under way", err)
        self.stop()
        self.same()

    def test_collected(self):
        """Goal: content goes when no message has it, and not while one may be
        about to.  Method: the same bodies delivered, expunged and delivered
        again by two writers while gc loops, in a service that keeps nothing for
        long; then until all that is left is what messages have."""
        self.serve("--keep-recent", "1")
        over = threading.Event()
        failed = []

        def write(number):
            self.mbj("account", "create", self.p, f"w{number}")
            for i in range(40):
                result = run("deliver", self.p, f"w{number}",
                             stdin=f"Subject: {i % 2}\n\nbody\n")
                if result.status != OK:
                    failed.append(result.err)
                if i < 39 and run("expunge", self.p, f"w{number}", "INBOX",
                                  "1:*").status != OK:
                    failed.append("expunge")

        def collect():
            while not over.is_set():
                self.mbj("gc", self.p)

        threads = [threading.Thread(target=write, args=(n,)) for n in range(2)]
        collector = threading.Thread(target=collect)
        for thread in (*threads, collector):
            thread.start()
        for thread in threads:
            thread.join()
        over.set()
        collector.join()
        self.assertEqual(failed, [])

        def is_clean():
            found = self.mbj("gc", self.p, "--json").json()
            return (found["recent"], found["kept"]) == (0, 1)
        self.until(is_clean)
        self.assertEqual(len(list(self.p.glob("blobs/??/*"))), 1)
        for number in range(2):
            self.assertIn("body", self.mbj("cat", self.p, f"w{number}", "INBOX",
                                           self.uid(f"w{number}")).out)
        self.stop()
        self.mbj("fsck", self.p, "--deep")
        self.replay()
        self.mbj("verify", "--deep", self.p, self.r)

    def test_by_itself(self):
        """Goal: a service keeps house by itself where it is told to, and says
        what it did.  Method: one that does so each second, with a journal and
        contents to get rid of; options that are none."""
        for options in (("--keep-house", "x"), ("--keep-house", "3000000"),
                        ("--keep-house", "1", "--keep-days", "x")):
            self.mbj("serve", self.p, *options, status=USAGE)
        self.grow()
        self.mbj("deliver", self.p, "alice", stdin="Subject: x\n\ny\n")
        self.mbj("expunge", self.p, "alice", "INBOX", "1")
        self.serve("--keep-house", "1", *KEEP)

        def is_kept():
            status = self.mbj("status", self.p, "--json").json()
            return (status["journalFirst"] > 1 and
                    not list(self.p.glob("blobs/??/*")))
        self.until(is_kept)
        # What it collects is gone before it says so.
        said = b""
        while b"collected 1 contents " not in said:
            said += self.server.stderr.readline() or self.fail(said)
        self.assertIn(b"trimmed ", said)
        self.stop()
        self.same()

    def test_stopped(self):
        """Goal: a service that stops between a trim and a collection begins
        none.  Method: nobody reads that it has trimmed, until all but who
        keeps house is over."""
        self.grow()
        self.mbj("deliver", self.p, "alice", stdin="Subject: x\n\ny\n")
        self.mbj("expunge", self.p, "alice", "INBOX", "1")
        out, into = os.pipe()
        os.set_blocking(into, False)
        for size in 4096, 1:
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(into, b" " * size)
        os.set_blocking(into, True)
        self.server = subprocess.Popen(
            [MBJ, "serve", str(self.p), "--keep-house", "1", *KEEP],
            stderr=into)
        self.server.stderr = os.fdopen(out, "rb")
        os.close(into)
        self.wait_for(self.p / "socket")
        self.until(lambda: self.mbj(
            "status", self.p, "--json").json()["journalFirst"] > 1)
        # Contents of a service have a log, which goes when that is over.
        self.mbj("deliver", self.p, "alice", stdin="Subject: z\n\ny\n")
        self.assertTrue(list(self.p.glob("blobs/log.*")))
        self.server.send_signal(signal.SIGTERM)
        self.until(lambda: not list(self.p.glob("blobs/log.*")))
        self.assertIn(b"trimmed ", self.server.stderr.read())
        self.assertEqual(self.server.wait(), OK)
        self.assertEqual(len(list(self.p.glob("blobs/??/*"))), 2)

    def uid(self, account):
        listed = self.mbj("messages", self.p, account, "INBOX", "--json")
        return str(listed.json()["messages"][0]["uid"])

    def test_killed(self):
        """Goal: wherever the service is killed, a collection, a snapshot or a
        trim is done or is not, and nothing is lost.  Method: SIGKILL at moments
        that creep through all of them, beside writers."""
        self.grow()
        done = []
        for step in range(9):
            self.serve()
            end = self.writers(edits=40)
            verb = (("gc",), ("snapshot",), ("trim", *KEEP))[step % 3]
            call = subprocess.Popen([MBJ, verb[0], str(self.p), *verb[1:]],
                                    stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL)
            try:
                call.wait(timeout=0.004 * (step + 1))
            except subprocess.TimeoutExpired:
                pass
            self.server.send_signal(signal.SIGKILL)
            done += end()
            self.assertIn(call.wait(), WENT_AWAY)
            self.kill()
            self.mbj("fsck", self.p)
        self.assertLessEqual(set(done), self.subjects())
        self.mbj("trim", self.p, *KEEP)
        self.same()


if __name__ == "__main__":
    unittest.main()
