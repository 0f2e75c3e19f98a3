#!/usr/bin/env python3
"""Every fault of every scenario of test_fault, a process for each scenario.

    tests/crash/faults.py build/dev/tests/crash/test_fault --log FILE
    tests/crash/faults.py build/dev/tests/crash/test_fault --log FILE swap backup

Each scenario that has ended has its line in the log, with what was tried; one
that failed has all that it said, with the command that repeats it, and the
others go on.  Stopped and begun again with the same log, those that are in it
are not run again.  Exit code 1 where one has failed.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

GOOD = "good "


def environment(scenario):
    """MBJ_FAULT=scenario: all its kinds and places; no part, no odds."""
    own = {k: v for k, v in os.environ.items()
           if k not in ("MBJ_FAULTS", "MBJ_PART")}
    return own | {"MBJ_FAULT": scenario, "CK_RUN_CASE": "fault",
                  "CK_FORK": "no"}


def run(binary, scenario):
    """Exit code, and what it said."""
    done = subprocess.run([binary], env=environment(scenario),
                          stdin=subprocess.DEVNULL, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          errors="replace")
    return done.returncode, done.stdout


def scenarios(binary):
    """The names of all of them, in their order."""
    _, said = run(binary, "list")
    return [line.split()[1] for line in said.splitlines()
            if line.startswith("scenario ")]


def good_before(log):
    """Names that the log has as good."""
    if not log.exists():
        return set()
    return {line.split()[1].rstrip(":")
            for line in log.read_text().splitlines() if line.startswith(GOOD)}


class Sweep:
    """Scenarios side by side, their results in one log."""

    def __init__(self, binary, log):
        self.binary = binary
        self.log = log
        self.lock = threading.Lock()
        self.failed = []

    def tell(self, text):
        """A line for the log and for whoever watches."""
        with self.lock, self.log.open("a") as file:
            print(text, file=file)
            print(text, flush=True)

    def scenario(self, name):
        """One of them, from begin to end."""
        begin = time.monotonic()
        code, said = run(self.binary, name)
        seconds = time.monotonic() - begin
        sums = [line for line in said.splitlines() if " faults, " in line]
        if code == 0 and sums:
            self.tell(f"{GOOD}{name}: {sums[-1]}; {seconds:.0f} s")
        else:
            self.failed.append(name)
            self.tell(f"FAILED {name}: exit code {code}\n{said}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("binary")
    parser.add_argument("names", nargs="*", metavar="SCENARIO")
    parser.add_argument("--log", type=pathlib.Path, required=True)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args()
    known = scenarios(args.binary)
    unknown = set(args.names) - set(known)
    if not known or unknown:
        sys.exit(f"no scenario {' '.join(sorted(unknown)) or 'at all'}")
    before = good_before(args.log)
    names = [n for n in args.names or known if n not in before]
    sweep = Sweep(args.binary, args.log)
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(sweep.scenario, names))
    sweep.tell(f"{len(names)} scenarios, {len(before)} before, "
               f"{len(sweep.failed)} failed")
    sys.exit(bool(sweep.failed))


if __name__ == "__main__":
    main()
