#!/usr/bin/env python3
"""What it costs to compare a replica with its source while both are served.

    MBJ=.../mbj bench_far.py [--quick] [DIRECTORY]

A primary with one account of many messages, a replica that follows it, both
served on this machine.  First `mbj verify` of both stores at rest, nobody
serving: the baseline.  Then `mbj verify R --from` with shares of 100, 50 and 10
per cent of the time, alone; and beside one who delivers messages one after the
other, whose pace is compared with his without it.  Output: a table, and one
JSON object a line.
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import tempfile
import threading
import time

MBJ = os.environ.get("MBJ", "mbj")


def mbj(*words, **keywords):
    return subprocess.run([MBJ, *map(str, words)], check=True,
                          stdout=subprocess.PIPE, **keywords).stdout


class Writer(threading.Thread):
    """Delivers until told to stop; times are of single deliveries."""

    def __init__(self, store):
        super().__init__()
        self.store, self.stop, self.times = store, threading.Event(), []

    def run(self):
        while not self.stop.is_set():
            start = time.monotonic()
            mbj("deliver", self.store, "bob", input=b"x" * 2000)
            self.times.append(time.monotonic() - start)

    def end(self):
        self.stop.set()
        self.join()
        return 1000 * statistics.median(self.times)


def serve(*words, until):
    process = subprocess.Popen([MBJ, "serve", *map(str, words)])
    while not until.exists():
        time.sleep(0.01)
    return process


def fill(work, count):
    mbox = work / "mbox"
    with open(mbox, "wb") as file:
        for i in range(count):
            file.write(b"From a Thu Jan  1 00:00:00 2026\n\nmessage %d\n\n" % i)
    rows = {"list": [{"id": f"{1:032x}", "name": "INBOX", "parentId": None}]}
    for name in ("alice", "bob"):
        mbj("import", work / "p", name, input=json.dumps(rows).encode())
    mbj("import", work / "p", "alice", "--mbox", mbox)
    mbj("replay", work / "p", work / "r")


def report(case, count, seconds, **more):
    print(f"{case:24} {seconds:7.2f} s, {count / seconds:9.0f} messages/s"
          + "".join(f", {k} {v}" for k, v in more.items()))
    print(json.dumps({"bench": "far", "case": case,
                      "seconds": round(seconds, 3),
                      "messages_per_s": round(count / seconds), **more}))


def timed(*words):
    start = time.monotonic()
    out = mbj(*words)
    assert b"equal" in out, out
    return time.monotonic() - start


def beside(far, share, work, count, base):
    """One comparison after the other for as long as the writer takes."""
    writer = Writer(work / "p")
    writer.start()
    seconds = [timed(*far, "--share", share) for _ in range(3)]
    with_it = writer.end()
    report(f"beside a writer, {share}", count, statistics.median(seconds),
           deliver_ms=round(with_it, 2), deliver_alone_ms=round(base, 2),
           slower=round(with_it / base, 2))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("directory", nargs="?", default=None)
    arguments = parser.parse_args()
    count = 500 if arguments.quick else 50_000
    work = pathlib.Path(tempfile.mkdtemp(dir=arguments.directory))
    mbj("init", work / "p")
    mbj("init", work / "r", "--role", "replica")
    fill(work, count)
    report("mbj verify P R, at rest", count,
           timed("verify", work / "p", work / "r"))
    address = f"unix:{work}/replicas"
    far = ("verify", work / "r", "--from", address, "--within", "60000")
    served = [serve(work / "p", "--replicas", address,
                    until=work / "replicas"),
              serve(work / "r", "--from", address,
                    until=work / "r" / "socket")]
    for share in (100,) if arguments.quick else (100, 50, 10):
        report(f"alone, {share}", count, timed(*far, "--share", share))
    writer = Writer(work / "p")
    writer.start()
    time.sleep(0.2 if arguments.quick else 5)
    base = writer.end()
    for share in (100,) if arguments.quick else (100, 50, 10):
        beside(far, share, work, count, base)
    for process in served:
        process.send_signal(signal.SIGTERM)
        process.wait()
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
