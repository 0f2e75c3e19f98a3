#!/usr/bin/env python3
"""Streams by a network: hosts of their own (network namespaces) with wires
between them, which are cut, slow, and too narrow for what is sent.  What is late
and out of order: test_line.py."""
import os
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import mbjtest  # noqa: E402
from mbjtest import OK, run  # noqa: E402
from nettest import NetworkCase  # noqa: E402

SECONDS = float(os.environ.get("MBJ_NETWORK") or 4)
# A queue of a few packets: what does not fit is lost.
NARROW = ("tbf", "rate", "4mbit", "burst", "4kb", "limit", "9kb")
SLOW = ("tbf", "rate", "256kbit", "burst", "4kb", "latency", "400ms")


class Network(NetworkCase):
    """Disturbed, and cut."""

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
        kind = rng.randrange(4)
        if kind == 0:
            wire.cut()
            time.sleep(rng.uniform(0, 0.3))
            self.edit(rng)
            wire.join()
        elif kind == 1:
            wire.shape(*rng.choice((NARROW, SLOW)))
        elif kind == 2:
            wire.plain()
        else:
            self.kill_service(rng.randrange(3))

    def test_disturbed(self):
        """Goal: whatever a network does, and whoever is killed meanwhile, both
        replicas come to what the primary has, and what it acknowledged is there.
        Method: MBJ_NETWORK seconds (4) of edits while wires are cut, narrow or
        slow, and services are killed, from a seed; then they are left in
        peace."""
        rng = mbjtest.seed()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            self.disturb(rng)
            for _ in range(rng.randrange(4)):
                self.edit(rng)
        for wire in self.wires:
            wire.plain()
        self.end_equal()
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
