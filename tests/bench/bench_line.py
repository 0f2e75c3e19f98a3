#!/usr/bin/env python3
"""What a long line costs a replica: hosts of their own (network namespaces), and
tests/cli/line.c between them.  Root's, as namespaces are.

    MBJ=.../mbj MBJ_LINE=.../mbj_line BENCH_FILL=.../bench_fill \\
        bench_line.py [--quick] [DIRECTORY]

Lines of 0, 20 and 80 ms there and back, and of 80 ms that lose one packet in a
thousand.  catching up: a new replica takes 20,000 renames, and 10,000 mails of 2
KiB, by `mbj follow --once` and TLS; seconds, groups a second, and how many
round trips that is.  latency: a mail is delivered, or a mailbox renamed, while
both are served; from when the primary's journal has published its group to
when the replica's has, p50 and p99 beside the line's round trip, which is how
long a TCP connection takes to be made there.  Output: a table, and one JSON
object a line.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
from nettest import Host, Line, Wire  # noqa: E402

MBJ = os.environ.get("MBJ", "mbj")
FILL = os.environ.get("BENCH_FILL", "bench_fill")
SEED = 80
WHERE = "tls:10.77.0.1:4747"
CONNECT = """
import socket, statistics, time
def once():
    start = time.monotonic()
    with socket.create_connection(("10.77.0.1", 4747)):
        return time.monotonic() - start
once()
print(statistics.median(once() for _ in range(9)))
"""


def mbj(*words, **keywords):
    return subprocess.run([MBJ, *map(str, words)], check=True,
                          stdout=subprocess.PIPE, **keywords).stdout


def mark(store):
    try:
        return int.from_bytes((store / "journal" / "published").read_bytes()
                              [8:16], "little")
    except FileNotFoundError:
        return 0


def wait(is_so):
    end = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.0005)
    return time.monotonic()


class Far:
    """Two hosts, the line between them, and who may serve whom."""

    def __init__(self, work, delay, loss):
        self.work, self.hosts = work, (Host(), Host())
        self.line = (Line(0, *self.hosts, SEED, delay, loss=loss) if delay
                     else Wire(0, *self.hosts))
        self.running = []

    def begin(self, host, *words):
        self.running.append(subprocess.Popen(
            self.hosts[host].within(MBJ, *words), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL))

    def source(self, verb, option, store):
        keys = self.work / "keys"
        shutil.rmtree(keys, ignore_errors=True)
        mbj("keygen", "ca", keys, store)
        mbj("keygen", "source", keys, "here")
        mbj("keygen", "replica", keys, "there")
        self.begin(0, verb, store, option, "tls:0.0.0.0:4747", "--tls-dir",
                   keys / "here")
        self.of_source = ("--from", WHERE, "--tls-dir", keys / "there")

    def round_trip(self):
        """Milliseconds."""
        while True:
            done = subprocess.run(
                self.hosts[1].within(sys.executable, "-c", CONNECT),
                capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return 1000 * float(done.stdout)

    def end(self):
        for process in reversed(self.running):
            process.terminate()
            process.wait()
        self.running = []

    def close(self):
        self.end()
        self.line.close()
        for host in self.hosts:
            host.close()


def catching_up(far, line, case, store, groups, rounds):
    far.source("send", "--listen", store)
    trip = far.round_trip()
    taken = []
    for _ in range(rounds):
        new = far.work / "new"
        mbj("init", new, "--role", "replica")
        start = time.monotonic()
        subprocess.run(far.hosts[1].within(MBJ, "follow", new, "--once",
                                           *far.of_source), check=True,
                       stdout=subprocess.DEVNULL)
        taken.append(time.monotonic() - start)
        mbj("verify", store, new)
        shutil.rmtree(new)
    far.end()
    seconds = statistics.median(taken)
    print(f"{line:16} {case:8} {seconds:7.2f} s, {groups / seconds:8.0f} "
          f"groups/s, {1000 * seconds / trip:7.1f} round trips of "
          f"{trip:.2f} ms")
    print(json.dumps({"bench": "line", "line": line, "case": case,
                      "seconds": round(seconds, 3), "trip_ms": round(trip, 2),
                      "groups_per_s": round(groups / seconds)}), flush=True)


def latency(far, line, count):
    p, r = far.work / "p", far.work / "r"
    mbj("init", p, "--role", "primary")
    mbj("init", r, "--role", "replica")
    rows = [{"id": f"{i:032x}", "name": name, "parentId": None}
            for i, name in ((1, "INBOX"), (2, "a"))]
    mbj("import", p, "alice", input=json.dumps({"list": rows}).encode())
    far.source("serve", "--replicas", p)
    far.begin(1, "serve", r, *far.of_source)
    trip = far.round_trip()
    wait(lambda: mark(r) == mark(p))
    for case in ("mail", "rename"):
        late = []
        for i in range(count):
            before = mark(p)
            words = (("deliver", p, "alice") if case == "mail" else
                     ("rename", p, "alice", "a>b" if i % 2 == 0 else "b>a"))
            edit = threading.Thread(target=mbj, args=words, kwargs={
                "input": b"Subject: %d\n\n" % i + os.urandom(1000).hex()
                .encode()})
            edit.start()
            start = wait(lambda: mark(p) > before)
            late.append(1000 * (wait(lambda: mark(r) == mark(p)) - start))
            edit.join()
        late.sort()
        p50, p99 = late[count // 2], late[count * 99 // 100]
        print(f"{line:16} {case:8} p50 {p50:.1f} ms, p99 {p99:.1f} ms behind, "
              f"of {trip:.2f} ms there and back")
        print(json.dumps({"bench": "line", "line": line, "case": case,
                          "p50_ms": round(p50, 2), "p99_ms": round(p99, 2),
                          "trip_ms": round(trip, 2)}), flush=True)
    far.end()
    shutil.rmtree(p)
    shutil.rmtree(r)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("where", nargs="?",
                        default=os.environ.get("TMPDIR", "/tmp"))
    arguments = parser.parse_args()
    renames, messages, count, rounds = 20000, 10000, 200, 3
    lines = {"wire": (0, 0.0), "20 ms": (10, 0.0), "80 ms": (40, 0.0),
             "80 ms, 0.1 %": (40, 0.001)}
    if arguments.quick:
        renames, messages, count, rounds = 20, 20, 3, 1
        lines = {"2 ms": (1, 0.0)}
    host = Host()
    is_there = host.is_there
    host.close()
    if not is_there:
        print("no network namespaces here")
        return 77
    with tempfile.TemporaryDirectory(prefix="mbj-bench-",
                                     dir=arguments.where) as name:
        work = pathlib.Path(name)
        stores = [(case, work / case, int(subprocess.run(
            [FILL, str(work / case), *map(str, shape), "text"], check=True,
            stdout=subprocess.PIPE).stdout))
            for case, shape in (("renames", (1, renames, 0)),
                                ("mails", (1, 0, messages)))]
        for line, chances in lines.items():
            far = Far(work, *chances)
            try:
                for store in stores:
                    catching_up(far, line, *store, rounds)
                latency(far, line, count)
            finally:
                far.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
