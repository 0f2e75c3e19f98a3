#!/usr/bin/env python3
"""What one connection more costs among many that say nothing.

    MBJ=.../mbj [MBJ_BEFORE=.../mbj] bench_idle.py [--quick] [DIRECTORY]

A client connects, says hello, is answered, and goes: median and p99 of that,
and the service's processor time for each, with 10, 480, 3,000 and 8,000 others
that have said hello and nothing since (as far as RLIMIT_NOFILE goes).  With
another build the same, in turns.  Output: a table, and one JSON object a line.
"""
import argparse
import contextlib
import json
import os
import pathlib
import resource
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HEAD = struct.Struct("<IHHQ")
HELLO = b"mbj wire" + struct.pack("<HH", 1, 1)
RESERVE = 100  # descriptors, here and there


def said_hello(path):
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(str(path))
    peer.sendall(HEAD.pack(len(HELLO), 1, 0, 1) + HELLO)
    size, kind, side, _ = HEAD.unpack(peer.recv(HEAD.size, socket.MSG_WAITALL))
    assert (kind, side) == (1, 1)
    peer.recv(size, socket.MSG_WAITALL)
    return peer


def processor_ms(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ")[1]
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) * 1000 / os.sysconf("SC_CLK_TCK")


def measure(mbj, directory, idle, count):
    """Median and p99, and what the service took for each, in ms."""
    store = pathlib.Path(directory) / "store"
    subprocess.run([mbj, "init", store, "--role", "primary"], check=True,
                   stdout=subprocess.DEVNULL)
    server = subprocess.Popen([mbj, "serve", store, "--connections",
                               str(idle + RESERVE)])
    while not (store / "socket").exists():
        assert server.poll() is None, "mbj serve has ended"
        time.sleep(0.01)
    with contextlib.ExitStack() as others:
        for _ in range(idle):
            others.enter_context(said_hello(store / "socket"))
        times, before = [], processor_ms(server.pid)
        for _ in range(count):
            begin = time.monotonic()
            said_hello(store / "socket").close()
            times.append((time.monotonic() - begin) * 1000)
        spent = processor_ms(server.pid) - before
    server.terminate()
    assert server.wait() == 0
    subprocess.run(["rm", "-r", store], check=True)
    times.sort()
    return (statistics.median(times), times[int(count * 0.99)],
            spent / count)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("directory", nargs="?", default="/dev/shm")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    builds = {"before": os.environ.get("MBJ_BEFORE"),
              "now": os.environ.get("MBJ", "mbj")}
    sizes = (10, 100) if options.quick else (10, 480, 3000, 8000)
    for idle in sizes:
        # The service takes two for each.
        if 2 * idle + 3 * RESERVE > most:
            print(f"{idle} idle: RLIMIT_NOFILE is {most}", file=sys.stderr)
            continue
        for name, mbj in builds.items():
            if mbj is None:
                continue
            with tempfile.TemporaryDirectory(dir=options.directory) as d:
                median, p99, spent = measure(mbj, d, idle,
                                             20 if options.quick else 1000)
            print(f"{name:8} {idle:6} idle {median:8.3f} ms {p99:8.3f} p99 "
                  f"{spent:8.3f} ms of processor")
            print(json.dumps({"bench": "idle", "build": name, "idle": idle,
                              "median_ms": median, "p99_ms": p99,
                              "processor_ms": spent}), flush=True)


main()
