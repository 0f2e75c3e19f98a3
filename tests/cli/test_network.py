#!/usr/bin/env python3
"""Streams by a network: hosts of their own (network namespaces) with wires
between them, which are cut, slow, too narrow for what is sent, and, where the
kernel has netem, late, lossy and out of order."""
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import mbjtest  # noqa: E402
from mbjtest import MBJ, OK, run  # noqa: E402
from test_carrier import CarrierCase  # noqa: E402

SECONDS = float(os.environ.get("MBJ_NETWORK") or 4)
NETEM = ("netem", "delay", "20ms", "15ms", "loss", "3%", "reorder", "20%")
# A queue of a few packets: what does not fit is lost.
NARROW = ("tbf", "rate", "4mbit", "burst", "4kb", "limit", "9kb")
SLOW = ("tbf", "rate", "256kbit", "burst", "4kb", "latency", "400ms")


class Host:
    """A network of its own, for as long as this lives."""

    def __init__(self):
        self.process = subprocess.Popen(
            ["unshare", "--net", "sh", "-c",
             "ip link set lo up && echo && exec sleep infinity"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.is_there = self.process.stdout.readline() == b"\n"

    def close(self):
        self.process.kill()
        self.process.communicate()

    def within(self, *words):
        return ["nsenter", f"--net=/proc/{self.process.pid}/ns/net",
                *map(str, words)]

    def do(self, *words):
        done = subprocess.run(self.within(*words), capture_output=True,
                              text=True, check=False)
        return done.returncode, done.stderr


class Wire:
    """Between two hosts, which have 10.77.N.1 and 10.77.N.2 there."""

    def __init__(self, number, one, two):
        self.one, self.name = one, f"wire{number}"
        self.must("ip", "link", "add", self.name, "type", "veth", "peer",
                  "name", self.name, "netns", two.process.pid)
        for host, last in ((one, 1), (two, 2)):
            self.must("ip", "address", "add", f"10.77.{number}.{last}/24",
                      "dev", self.name, host=host)
            self.must("ip", "link", "set", self.name, "up", host=host)

    def must(self, *words, host=None):
        status, err = (host or self.one).do(*words)
        assert status == 0, (words, err)

    def cut(self):
        self.must("ip", "link", "set", self.name, "down")

    def join(self):
        self.must("ip", "link", "set", self.name, "up")

    def shape(self, *words):
        self.must("tc", "qdisc", "replace", "dev", self.name, "root", *words)

    def plain(self):
        self.one.do("tc", "qdisc", "del", "dev", self.name, "root")


class Network(CarrierCase):
    """A primary, a replica, and a replica of that, by TLS, each a host."""

    def setUp(self):
        super().setUp()
        self.hosts = []
        for _ in range(3):
            host = Host()
            self.addCleanup(host.close)
            self.hosts.append(host)
        if not all(host.is_there for host in self.hosts):
            self.skipTest("no network namespaces here")
        one, two, three = self.hosts
        self.wires = [Wire(0, one, two), Wire(1, two, three)]
        self.far = self.dir / "far"
        self.mbj("init", self.far, "--role", "replica")
        keys = self.dir / "keys"
        self.mbj("keygen", "ca", keys, self.p)
        for role, name in (("source", "p"), ("both", "r"), ("replica", "far")):
            self.mbj("keygen", role, keys, name)
        listen = ("--replicas", "tls:0.0.0.0:4747")
        self.services = [
            (one, "serve", self.p, *listen, "--tls-dir", keys / "p"),
            (two, "serve", self.r, "--from", "tls:10.77.0.1:4747", *listen,
             "--tls-dir", keys / "r"),
            (three, "serve", self.far, "--from", "tls:10.77.1.1:4747",
             "--tls-dir", keys / "far")]
        self.running = [None, None, None]
        for i in range(3):
            self.start(i)
        self.model = self.paths()
        self.count = 0

    def start(self, i):
        host, *words = self.services[i]
        with open(self.dir / f"said{i}", "ab") as said:
            self.running[i] = subprocess.Popen(
                host.within(MBJ, *words), stdout=said, stderr=said)
        self.processes.append(self.running[i])
        # Any verb in between would have the store for itself.
        store = words[1]
        self.until(lambda: self.is_served(store))

    def is_served(self, store):
        try:
            self.connect(store / "socket").close()
            return True
        except OSError:
            return False

    def kill_service(self, i):
        self.running[i].kill()
        self.running[i].wait()
        self.processes.remove(self.running[i])
        self.start(i)

    # --------------------------------------------------------------- steps

    def edit(self, rng):
        """One that is acknowledged is never lost: the model has it, too."""
        if rng.randrange(3) == 0:
            self.mbj("deliver", self.p, "alice", stdin=rng.randbytes(
                rng.choice((10, 3000, 90_000))).hex())
            self.count += 1
            return
        flat = [n for n in self.model if "/" not in n and n != "INBOX"]
        some = rng.sample(flat, rng.randrange(2, len(flat) + 1))
        pairs = list(zip(some, some[1:] + some[:1]))
        self.mbj("rename", self.p, "alice", *(f"{a}>{b}" for a, b in pairs))
        moved = dict(pairs)
        self.model = {
            "/".join([moved.get(head, head), *rest]): i
            for name, i in self.model.items()
            for head, *rest in [name.split("/")]}

    def disturb(self, rng):
        wire = rng.choice(self.wires)
        kind = rng.randrange(5)
        if kind == 0:
            wire.cut()
            time.sleep(rng.uniform(0, 0.3))
            self.edit(rng)
            wire.join()
        elif kind == 1:
            wire.shape(*self.bad)
        elif kind == 2:
            wire.shape(*rng.choice((NARROW, SLOW)))
        elif kind == 3:
            wire.plain()
        else:
            self.kill_service(rng.randrange(3))

    def marks(self):
        return [int.from_bytes((store / "journal" / "published").read_bytes()
                               [8:16], "little")
                for store in (self.p, self.r, self.far)]

    def contents_wait(self):
        """A content that the middle one did not have yet when the last one
        asked for it is asked for again: soon, but a minute later at most."""
        def there(store):
            return {path.name for path in store.glob("blobs/??/*")}
        for _ in range(4):
            try:
                self.until(lambda: there(self.p) <= there(self.r) &
                           there(self.far))
                return
            except AssertionError:
                pass
        self.fail("contents are missing for good")

    def test_disturbed(self):
        """Goal: whatever a network does, and whoever is killed meanwhile, both
        replicas come to what the primary has, and what it acknowledged is there.
        Method: MBJ_NETWORK seconds (4) of edits while wires are cut, narrow,
        slow or lossy, and services are killed, from a seed; then they are left
        in peace."""
        rng = mbjtest.seed()
        self.bad = NETEM
        if self.hosts[0].do("tc", "qdisc", "add", "dev", "lo", "root",
                            *NETEM)[0] != 0:
            print("no netem here: nothing is late or out of order",
                  file=sys.stderr)
            self.bad = NARROW
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            self.disturb(rng)
            for _ in range(rng.randrange(4)):
                self.edit(rng)
        for wire in self.wires:
            wire.plain()
        lsn = self.marks()[0]
        self.until(lambda: self.marks() == [lsn] * 3)
        self.contents_wait()
        for service in self.running:
            self.end(service)
        for store in (self.r, self.far):
            self.mbj("verify", "--deep", self.p, store)
            self.mbj("fsck", "--deep", store)
        self.assertEqual(self.paths(self.far), self.model)
        listed = self.mbj("messages", self.far, "alice", "INBOX", "--json")
        self.assertEqual(len(listed.json()["messages"]), self.count)

    def test_silent(self):
        """Goal: a wire that is cut for longer than anybody sends anything is
        noticed as lag, and what was written meanwhile comes when it is joined.
        Method: the wire between both replicas; what the last one says of it."""
        self.edit(mbjtest.seed())
        self.until(lambda: run("check", self.far).status == OK)
        self.wires[1].cut()
        self.mbj("deliver", self.p, "alice", stdin=b"Subject: x\n\nx\n")
        lsn = self.marks()[0]
        self.until(lambda: self.marks()[1] == lsn)
        self.assertLess(self.marks()[2], lsn)
        self.until(lambda: run("check", self.far, "--warning", 1).status != OK)
        self.wires[1].join()
        self.until(lambda: self.marks()[2] == lsn)
        self.until(lambda: run("check", self.far).status == OK)


if __name__ == "__main__":
    unittest.main()
