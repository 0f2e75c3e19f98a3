#!/usr/bin/env python3
"""Streams by long lines: what is sent comes late, out of order, twice or not at
all (a program between hosts, since few kernels here have netem)."""
import hashlib
import os
import pathlib
import random
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import mbjtest  # noqa: E402
from mbjtest import OK, run  # noqa: E402
from nettest import Host, Line as LongLine, NetworkCase  # noqa: E402

SECONDS = float(os.environ.get("MBJ_LATE") or 1)
QUICK_SEED = 20261127
DATAGRAMS = 400
# Numbered datagrams, one after the other, once the other side has answered; and
# those that came, until none did for a second.
SEND = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.1)
while True:
    s.sendto(b"hello", ("10.77.0.2", 4748))
    try:
        s.recv(2000)
        break
    except TimeoutError:
        pass
for i in range({count}):
    s.sendto(b"%d" % i + b"x" * 1000, ("10.77.0.2", 4748))
    time.sleep(0.0005)
"""
TAKE = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.77.0.2", 4748))
s.settimeout(60)
print("bound", flush=True)
got = []
try:
    while True:
        data, sender = s.recvfrom(2000)
        if data == b"hello":
            s.sendto(data, sender)
            continue
        assert data.rstrip(b"x") + b"x" * 1000 == data
        got.append(int(data.rstrip(b"x")))
        s.settimeout(1)
except TimeoutError:
    print(*got)
"""


class Line(unittest.TestCase):
    """The line itself: it does what it says."""

    def setUp(self):
        self.hosts = [Host() for _ in range(2)]
        for host in self.hosts:
            self.addCleanup(host.close)
        if not all(host.is_there for host in self.hosts):
            self.skipTest("no network namespaces here")

    def python(self, host, script):
        return subprocess.Popen(host.within(sys.executable, "-c", script),
                                stdout=subprocess.PIPE, text=True)

    def sent(self, **chances):
        """What came of the numbers sent, in order, and what the line says."""
        line = LongLine(0, *self.hosts, QUICK_SEED, **chances)
        self.addCleanup(line.close)
        taker = self.python(self.hosts[1], TAKE)
        self.addCleanup(taker.wait)
        self.addCleanup(taker.kill)
        self.assertEqual(taker.stdout.readline(), "bound\n")
        with self.python(self.hosts[0],
                         SEND.format(count=DATAGRAMS)) as sender:
            self.assertEqual(sender.wait(), 0)
        out, _ = taker.communicate()
        return list(map(int, out.split())), line.end()

    def test_line(self):
        """Goal: the line loses, doubles and overtakes, and damages nothing:
        else what is tested over it is not tested.  Method: numbered datagrams,
        shares that no chance misses."""
        got, counts = self.sent(delay=5, late=0.3, later=20, loss=0.2,
                                twice=0.2)
        self.assertLess(len(set(got)), DATAGRAMS)
        self.assertGreater(len(set(got)), DATAGRAMS // 2)
        self.assertGreater(len(got), len(set(got)))
        self.assertNotEqual(got, sorted(got))
        for what in ("carried", "lost", "twice", "late"):
            self.assertGreater(counts[what], 0, counts)


class Writer(threading.Thread):
    """One user's mail, a message after the other.  Whoever is killed: what was
    not acknowledged is asked for again by its id, so it is there once."""

    def __init__(self, case, rng, end):
        super().__init__()
        self.case, self.rng, self.end = case, rng, end
        self.acknowledged = {}  # digest by UID
        self.tries = 0
        self.failed = None

    def deliver(self, number):
        body = f"Subject: {number}\n\n".encode() + self.rng.randbytes(
            self.rng.choice((10, 2000, 20_000))).hex().encode()
        words = ("--json", "--request-id", f"mail {number}")
        is_received = self.rng.randrange(3) == 0
        if is_received:
            words += ("--durability", "received:1", "--within", "5000")
        while True:
            self.tries += 1
            done = run("deliver", self.case.p, "alice", *words, stdin=body)
            if done.status == OK:
                break
            if time.monotonic() > self.end + 120:
                raise AssertionError(f"not taken: {done.status}, {done.err}")
        if is_received:
            self.case.received(done.json()["newState"])
        self.acknowledged[done.json()["uid"]] = hashlib.sha256(
            body).hexdigest()

    def run(self):
        try:
            while time.monotonic() < self.end:
                self.deliver(len(self.acknowledged))
        except Exception as e:  # it is the test's
            self.failed = e


class Late(NetworkCase):
    """A primary, a replica and a replica of that, far from one another."""

    def setUp(self):
        if "MBJ_SEED" not in os.environ and SECONDS <= 5:
            os.environ["MBJ_SEED"] = str(QUICK_SEED)
        self.rng = mbjtest.seed()
        super().setUp()

    def wire(self, number, one, two):
        return LongLine(number, one, two, self.rng.randrange(1 << 32),
                        delay=self.rng.randrange(10, 41), late=0.1, later=30,
                        loss=0.02, twice=0.02)

    def received(self, state):
        """What was said to be at a replica is on its disk."""
        self.assertGreaterEqual(self.mark(self.r), int(state))

    def disturb(self):
        line = self.rng.choice(self.wires)
        kind = self.rng.randrange(4)
        pause = self.rng.uniform(0, 1)
        if kind == 0:
            line.cut()
            time.sleep(pause)
            line.join()
        elif kind == 1:
            line.hush()
            time.sleep(pause)
            line.wake()
        else:
            self.kill_service(self.rng.randrange(3))
        time.sleep(pause)

    def lag(self):
        status = self.mbj("status", self.far, "--json").json()
        return status["upstream"]["lagMs"]

    def silence(self):
        """A line that says nothing is seen as lag, which grows until it is
        heard again."""
        line = self.wires[1]
        self.until(lambda: self.lag() is not None)
        line.hush()
        self.mbj("deliver", self.p, "alice", "A", stdin=b"Subject: x\n\nx\n")
        self.until(lambda: self.lag() >= 300)
        before = self.lag()
        self.until(lambda: self.lag() >= before + 300)
        self.assertLess(self.mark(self.far), self.mark(self.p))
        line.wake()
        self.until(lambda: self.mark(self.far) == self.mark(self.p))

    def test_late(self):
        """Goal: over lines that delay, lose, double and overtake, with whoever
        killed, both replicas come to what the primary has; what was
        acknowledged is there, once, and at once where a replica was to have it.
        Method: MBJ_LATE seconds (1) of mail while lines are cut, in silence or
        not, and services are killed, from a seed; then peace."""
        end = time.monotonic() + SECONDS
        writer = Writer(self, random.Random(self.rng.random()), end)
        writer.start()
        while time.monotonic() < end:
            self.disturb()
        writer.join()
        self.assertIsNone(writer.failed)
        self.silence()
        self.end_equal()
        listed = self.mbj("messages", self.far, "alice", "INBOX", "--json")
        self.assertEqual({m["uid"]: m["blobId"]
                          for m in listed.json()["messages"]},
                         writer.acknowledged)
        print(len(writer.acknowledged), "acknowledged,", writer.tries, "tries;",
              *(line.end() for line in self.wires), flush=True)


if __name__ == "__main__":
    unittest.main()
