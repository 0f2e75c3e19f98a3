#!/usr/bin/env python3
"""How fast a Maildir comes in and goes out, against `cp -r` and a sync.

    MBJ=.../mbj bench_import.py [--quick] [--count N] [DIRECTORY]

Messages of 4 KiB in five folders with UIDs.  A round is: copy the Maildir with
`cp -r` and `sync -f` its file system; import it into a new account of a new
store; export that.  The three take turns on one file system, the median
counts.  A copy is made durable by one sync at its end; an import is after each
group, an export after each message.  Output: a table, and one JSON object.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

MBJ = os.environ.get("MBJ", "mbj")
FOLDERS, SIZE = 5, 4096


def maildir_make(root, count):
    rng = random.Random(1)
    for folder in range(FOLDERS):
        where = root / (f".F{folder}" if folder else "")
        for part in ("cur", "new", "tmp"):
            (where / part).mkdir(parents=True)
        lines = [f"3 V{1000 + folder} N{count + 1}\n"]
        for uid in range(1, count // FOLDERS + 1):
            base = f"{1600000000 + uid}.M{uid}P1.host,S={SIZE}"
            (where / "cur" / f"{base}:2,S").write_bytes(
                b"Subject: x\n\n" + rng.randbytes(SIZE // 2 - 6).hex().encode())
            lines.append(f"{uid} :{base}\n")
        (where / "dovecot-uidlist").write_text("".join(lines))


def timed(*commands):
    start = time.monotonic()
    for command in commands:
        subprocess.run([str(c) for c in command], check=True,
                       stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def one_round(work, source):
    """Seconds of copy, import and export."""
    work.mkdir()
    store = work / "store"
    subprocess.run([MBJ, "init", str(store)], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["sync", "-f", str(work)], check=True)
    result = (
        timed(["cp", "-r", source, work / "copy"], ["sync", "-f", work]),
        timed([MBJ, "import", store, "alice", "--maildir", source]),
        timed([MBJ, "export", store, "alice", work / "out"]))
    for folder in range(FOLDERS):
        name = f".F{folder}" if folder else "."
        inside = len(list((source / name / "cur").iterdir()))
        assert len(list((work / "out" / name / "cur").iterdir())) == inside
    shutil.rmtree(work)
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("where", nargs="?",
                        default=os.environ.get("TMPDIR", "/tmp"))
    arguments = parser.parse_args()
    where, count = arguments.where, arguments.count
    rounds = 3
    if arguments.quick:
        count, rounds = 200, 1
    with tempfile.TemporaryDirectory(prefix="mbj-bench-", dir=where) as name:
        source = pathlib.Path(name) / "Maildir"
        maildir_make(source, count)
        subprocess.run(["cp", "-r", str(source), name + "/warm"], check=True)
        times = [one_round(pathlib.Path(name) / f"r{i}", source)
                 for i in range(rounds)]
    rates = [count / statistics.median(column) for column in zip(*times)]
    for word, rate in zip(("cp -r, sync", "import", "export"), rates):
        print(f"{word:12} {rate:8.0f} messages/s, {rate / rates[0]:.2f} of cp")
    print(json.dumps({"bench": "import", "cp_per_s": round(rates[0]),
                      "import_per_s": round(rates[1]),
                      "export_per_s": round(rates[2]),
                      "import_ratio": round(rates[1] / rates[0], 3),
                      "export_ratio": round(rates[2] / rates[0], 3)}))


if __name__ == "__main__":
    main()
