#!/usr/bin/env python3
"""What a carrier costs, and a clone: the command, from nothing.

    MBJ=.../mbj BENCH_FILL=.../bench_fill bench_carrier.py [--quick] [DIRECTORY]

A new replica takes a whole journal, by `mbj replay` beside the primary, and by
`mbj follow --once` through a pipe, a Unix socket and TLS on loopback: 10,000
accounts with ten renames each, and 20,000 messages of 8 KiB.  Then a replica is
made from the latter by `mbj clone` through a pipe and by TLS, against `tar | tar`
of that store and one sync.  All take turns on one file system, the median
counts: seconds, and seconds of the replica's processor (its children's are the
source's where there is a pipe).  Output: a table, and one JSON object a line.
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

MBJ = os.environ.get("MBJ", "mbj")
FILL = os.environ.get("BENCH_FILL", "bench_fill")


def mbj(*words):
    subprocess.run([MBJ, *map(str, words)], check=True,
                   stdout=subprocess.DEVNULL)


def timed(*words):
    """Seconds, and seconds of the processor."""
    start = time.monotonic()
    process = subprocess.Popen(list(map(str, words)),
                               stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, words
    return (time.monotonic() - start, usage.ru_utime + usage.ru_stime)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Source:
    """A primary, by each carrier."""

    def __init__(self, work, store):
        self.store, self.sends = store, []
        keys, port = work / "keys", free_port()
        shutil.rmtree(keys, ignore_errors=True)
        mbj("keygen", "ca", keys, store)
        mbj("keygen", "source", keys, "here")
        mbj("keygen", "replica", keys, "there")
        tls = ("--tls-dir", keys / "there")
        unix = f"unix:{work}/replicas"
        self.carriers = {
            "pipe": ("--exec", f"{MBJ} send {store}"),
            "unix": ("--from", unix),
            "tls": ("--from", f"tls:127.0.0.1:{port}", *tls)}
        self.listen(unix)
        self.listen(f"tls:127.0.0.1:{port}", "--tls-dir", keys / "here")

    def listen(self, address, *options):
        self.sends.append(subprocess.Popen(
            [MBJ, "send", str(self.store), "--listen", address,
             *map(str, options)]))
        kind, _, where = address.partition(":")
        for _ in range(3000):
            with socket.socket(socket.AF_UNIX if kind == "unix"
                               else socket.AF_INET) as s:
                try:
                    s.connect(where if kind == "unix" else
                              ("127.0.0.1", int(where.split(":")[1])))
                    return
                except OSError:
                    time.sleep(0.01)
        raise AssertionError(f"nobody listens at {address}")

    def end(self):
        for process in self.sends:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0


def report(case, groups, times):
    """times: {carrier: [(seconds, processor)]}; the first is the baseline."""
    base = None
    for name, rounds in times.items():
        wall, cpu = (statistics.median(c) for c in zip(*rounds))
        base = base or wall
        print(f"{case:9} {name:7} {wall:7.2f} s, {groups / wall:8.0f} /s, "
              f"{base / wall:5.2f} of the first, {1e6 * cpu / groups:6.1f} us "
              "of processor each")
        print(json.dumps({"bench": "carrier", "case": case, "by": name,
                          "seconds": round(wall, 3),
                          "per_s": round(groups / wall),
                          "ratio": round(base / wall, 3),
                          "cpu_us": round(1e6 * cpu / groups, 2)}))


def follows(work, source, rounds):
    times = {"replay": [], **{name: [] for name in source.carriers}}
    for _ in range(rounds):
        for name, taken in times.items():
            new = work / "new"
            mbj("init", new, "--role", "replica")
            taken.append(timed(MBJ, "replay", source.store, new)
                         if name == "replay" else
                         timed(MBJ, "follow", new, "--once",
                               *source.carriers[name]))
            mbj("verify", source.store, new)
            shutil.rmtree(new)
    return times


def clones(work, source, rounds):
    times = {"tar": [], "pipe": [], "tls": []}
    for _ in range(rounds):
        for name, taken in times.items():
            new = work / "new"
            subprocess.run(["sync", "-f", str(work)], check=True)
            if name == "tar":
                new.mkdir()
                taken.append(timed(
                    "sh", "-c", f"tar -C {source.store} -cf - . | "
                    f"tar -C {new} -xf - && sync -f {new}"))
            else:
                taken.append(timed(MBJ, "clone", new,
                                   *source.carriers[name]))
                mbj("verify", source.store, new)
            shutil.rmtree(new)
    return times


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("where", nargs="?",
                        default=os.environ.get("TMPDIR", "/tmp"))
    arguments = parser.parse_args()
    accounts, messages, rounds = 10000, 20000, 3
    if arguments.quick:
        accounts, messages, rounds = 20, 50, 1
    with tempfile.TemporaryDirectory(prefix="mbj-bench-",
                                     dir=arguments.where) as name:
        work = pathlib.Path(name)
        for case, shape in (("renames", (accounts, 10, 0)),
                            ("messages", (1, 0, messages))):
            store = work / case
            groups = int(subprocess.run(
                [FILL, str(store), *map(str, shape)], check=True,
                stdout=subprocess.PIPE).stdout)
            source = Source(work, store)
            report(case, groups, follows(work, source, rounds))
            if case == "messages":
                source.end()
                mbj("snapshot", store)
                source = Source(work, store)
                report("clone", groups, clones(work, source, rounds))
            source.end()
            shutil.rmtree(store)


if __name__ == "__main__":
    main()
