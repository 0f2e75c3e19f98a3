#!/usr/bin/env python3
"""kill -9 of set, reconcile and replay at random points.

    kill.py KILLS      (MBJ names the command, MBJ_SEED repeats a run)

Goal: nothing acknowledged is lost, whatever is killed when.  Method: a chain
of edits of one account; each command is killed after a random delay; what was
acknowledged (exit status 0) must be in the tree afterwards, what was not may
be there whole or not at all.  Replays are killed too; at the end, and every
ten rounds, a second replay must make the replica equal.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "cli"))
import mbjtest  # noqa: E402

MAILBOXES = 300


def kill_after(arguments, stdin, delay):
    """Start mbj, kill it after delay seconds; its status, or None."""
    with subprocess.Popen([mbjtest.MBJ, *map(str, arguments)],
                          stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        try:
            process.communicate(stdin, timeout=delay)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        return None if process.returncode < 0 else process.returncode


class Rounds:
    def __init__(self, work, rng):
        self.work, self.rng = work, rng
        self.p, self.r = work / "p", work / "r"
        self.ids = [mbjtest.mailbox_id(i + 1) for i in range(MAILBOXES)]
        self.kills = self.acknowledged = self.found_after = 0
        self.must("init", self.p)
        self.must("init", self.r, "--role", "replica")
        rows = [(i, f"m{n}", None) for n, i in enumerate(self.ids)]
        rows.append((mbjtest.mailbox_id(99999), "INBOX", None))
        self.must("import", self.p, "a", stdin=mbjtest.listing(rows))
        self.expected = self.tree(self.p)
        begin = time.monotonic()
        self.must("tree", self.p, "a", "--json")
        self.normal = time.monotonic() - begin

    def must(self, *arguments, stdin=None):
        result = mbjtest.run(*arguments, stdin=stdin)
        if result.status != 0:
            raise SystemExit(f"mbj {arguments}: {result.status}: "
                             f"{result.err.strip()}")
        return result

    def tree(self, store):
        return mbjtest.tree_of(self.must("tree", store, "a", "--json").json())

    def edit(self):
        """Names permuted among some mailboxes, some put under others."""
        tree = dict(self.expected)
        moved = self.rng.sample(self.ids, self.rng.randrange(2, 60))
        slots = [tree[i] for i in moved]
        self.rng.shuffle(slots)
        for i, slot in zip(moved, slots):
            tree[i] = slot
        for i in tree:
            above, steps = tree[i][0], 0
            while above is not None and steps <= len(tree):
                above, steps = tree[above][0], steps + 1
            if above is not None:
                return self.edit()
        return moved, tree

    def change(self, is_set):
        moved, wanted = self.edit()
        if is_set:
            stdin = json.dumps({"update": {
                i: {"parentId": wanted[i][0], "name": wanted[i][1]}
                for i in moved}})
        else:
            stdin = json.dumps(mbjtest.listing(
                [(i, name, parent) for i, (parent, name) in wanted.items()]))
        verb = "set" if is_set else "reconcile"
        status = kill_after([verb, self.p, "a"], stdin.encode(),
                            self.rng.uniform(0, 1.5 * self.normal))
        now = self.tree(self.p)
        if status == 0:
            self.acknowledged += 1
            if now != wanted:
                raise SystemExit(f"{verb} was acknowledged and is not there")
        elif status is None:
            self.kills += 1
            self.found_after += now == wanted != self.expected
            if now not in (wanted, self.expected):
                raise SystemExit(f"{verb} is there in part")
        else:
            raise SystemExit(f"{verb} failed: {status}")
        self.expected = now

    def replay(self):
        status = kill_after(["replay", self.p, self.r], b"",
                            self.rng.uniform(0, 1.5 * self.normal))
        if status is None:
            self.kills += 1
        elif status != 0:
            raise SystemExit(f"replay failed: {status}")

    def settle(self):
        self.must("replay", self.p, self.r)
        self.must("verify", self.p, self.r)
        self.must("fsck", self.p)
        self.must("fsck", self.r)
        if self.tree(self.r) != self.expected:
            raise SystemExit("the replica's tree is another")


def main():
    kills = int(sys.argv[1])
    rng = mbjtest.seed()
    work = pathlib.Path(tempfile.mkdtemp(prefix="mbj-kill-"))
    try:
        state = Rounds(work, rng)
        number = 0
        # Some commands end before their time: those do not count.
        while state.kills < kills:
            if number == 5 * kills:
                raise SystemExit(f"{state.kills} kills in {number} rounds: "
                                 "too few to mean anything")
            kind = number % 3
            if kind == 2:
                state.replay()
            else:
                state.change(is_set=kind == 0)
            if number % 10 == 9:
                state.settle()
            number += 1
        state.settle()
        print(f"{number} rounds, {state.kills} kills, {state.acknowledged} "
              f"edits acknowledged, {state.found_after} found whole without "
              "an answer")
        print("1 passed, 0 failed")
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    main()
