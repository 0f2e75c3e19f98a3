#!/usr/bin/env python3
"""Three services by a network for a long time: what they hold on to does not
grow.  MBJ_SOAK seconds (2); 1800 is half an hour."""
import os
import pathlib
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import mbjtest  # noqa: E402
from mbjtest import OK, run  # noqa: E402
from nettest import Line, NetworkCase, Wire  # noqa: E402

SECONDS = float(os.environ.get("MBJ_SOAK") or 2)
SAMPLES = 8
KEPT = 200  # messages of a mailbox
# From here on what was taken at the beginning is there, and memory counts.
LONG = 300


def held(pid):
    """Descriptors, threads and resident KiB of a process and its children."""
    found = [0, 0, 0]
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found = [a + b for a, b in zip(found, held(child))]
    status = dict(line.split(":", 1) for line in pathlib.Path(
        f"/proc/{pid}/status").read_text().splitlines())
    found[0] += len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))
    found[1] += int(status["Threads"])
    found[2] += int(status["VmRSS"].split()[0])
    return found


class Writer(threading.Thread):
    """One user's changes, one after the other, of every kind.  What is old
    goes, so that the account does not grow."""

    def __init__(self, case, name, rng):
        super().__init__()
        self.case, self.account, self.rng = case, name, rng
        self.end = 0
        self.edits = 0
        self.failed = None

    def begin(self, end):
        writer = Writer(self.case, self.account, self.rng)
        writer.end, writer.edits = end, self.edits
        writer.start()
        return writer

    def mbj(self, verb, *words, stdin=None):
        done = run(verb, self.case.p, self.account, *words, stdin=stdin)
        if done.status != OK:
            raise AssertionError((verb, words, done.err))
        self.edits += 1
        return done

    def step(self):
        rng = self.rng
        kind = rng.randrange(8)
        if kind < 4:
            uid = self.mbj("deliver", "INBOX", "--json", stdin=rng.randbytes(
                rng.choice((10, 1000, 30_000))).hex()).json()["uid"]
            if uid > KEPT:
                self.mbj("expunge", "INBOX", f"1:{uid - KEPT}")
        elif kind < 6:
            self.mbj("flag", "INBOX", "1:*", "\\Seen",
                     *(("--remove",) if rng.randrange(2) else ()))
        else:
            self.mbj("rename", "A>B", "B>A")

    def run(self):
        try:
            while time.monotonic() < self.end:
                self.step()
        except AssertionError as e:
            self.failed = e


class Soak(NetworkCase):
    OPTIONS = ("--cache", "8M", "--keep-house", "30", "--keep-days", "0",
               "--keep-requests", "1000", "--keep-recent", "10")

    def wire(self, number, one, two):
        """The second one is long: it loses, doubles and overtakes."""
        return Wire(number, one, two) if number == 0 else Line(
            number, one, two, self.rng.randrange(1 << 32), delay=10,
            late=0.1, later=10, loss=0.01, twice=0.01)

    def setUp(self):
        self.rng = mbjtest.seed()
        super().setUp()

    def samples(self):
        """Once nothing is on its way."""
        lsn = self.marks()[0]
        self.until(lambda: self.marks() == [lsn] * 3)
        return [held(service.pid) for service in self.running]

    def test_flat(self):
        """Goal: nothing that a service holds on to grows with what it has
        done.  Method: MBJ_SOAK seconds of edits of two users, a short wire and
        a long line that are cut now and then, and the house kept; eight times
        in between all is left in peace, and the first half of what is counted
        then compared with the second."""
        rng = self.rng
        names = ("alice", "bob")
        self.mbj("import", self.p, "bob", stdin=mbjtest.listing(mbjtest.ROWS))
        writers = [Writer(self, name, rng) for name in names]
        seen = []
        for _ in range(SAMPLES):
            end = time.monotonic() + SECONDS / SAMPLES
            writers = [writer.begin(end) for writer in writers]
            while time.monotonic() < end:
                wire = self.wires[rng.randrange(2)]
                wire.cut()
                time.sleep(min(0.2, SECONDS / 100))
                wire.join()
                time.sleep(min(20, SECONDS / 20))
            for writer in writers:
                writer.join()
                self.assertIsNone(writer.failed)
            seen.append(self.samples())
            print(*(f"{fds} fds, {threads} threads, {kib >> 10} MiB;"
                    for fds, threads, kib in seen[-1]), flush=True)
        print(sum(writer.edits for writer in writers), "edits", flush=True)
        self.flat(seen)
        self.end_equal()

    def flat(self, seen):
        half = SAMPLES // 2
        for service in range(3):
            for what, spare in ((0, 2), (1, 2), (2, 2048)):
                if what == 2 and SECONDS < LONG:
                    continue
                first, second = (max(sample[service][what]
                                     for sample in part)
                                 for part in (seen[:half], seen[half:]))
                self.assertLessEqual(second, first + spare,
                                     (service, what, seen))


if __name__ == "__main__":
    unittest.main()
