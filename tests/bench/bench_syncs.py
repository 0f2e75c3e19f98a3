#!/usr/bin/env python3
"""What a delivery has a disk do, counted: no clock is asked, so it holds on a
machine that does other things.  Root's: a file system of its own (ext4 with its
journal, on a loop device) is made for it.

    MBJ=.../mbj [MBJ_BEFORE=.../mbj] bench_syncs.py [--quick] [DIRECTORY]

Mails of 2 KiB, one after the other by `mbj deliver`, each waited for, into a
served store; with another build, the same by that one.  Each delivery: commits
of the file system's journal, flushes of the disk, KiB written to it.  What is
made once (folders, the first zeroes of a journal) is made before.  Output: a
table, and one JSON object a line.
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

WARM = 600


class Disk:
    """ext4 on a loop device, mounted."""

    def __init__(self, directory):
        self.image = directory / "image"
        self.at = directory / "disk"
        self.at.mkdir()
        with open(self.image, "wb") as f:
            f.truncate(1 << 30)
        for command in (["mkfs.ext4", "-q", "-F", self.image],
                        ["mount", "-o", "loop", self.image, self.at]):
            try:
                subprocess.run(command, check=True)
            except (OSError, subprocess.CalledProcessError) as e:
                print(f"bench_syncs: no file system of its own: {e}")
                sys.exit(77)
        mounts = pathlib.Path("/proc/self/mounts").read_text().splitlines()
        (device,) = [m.split()[0] for m in mounts
                     if m.split()[1] == str(self.at)]
        self.loop = pathlib.Path(device).name

    def counts(self):
        """Commits, flushes, KiB."""
        stat = pathlib.Path(f"/sys/block/{self.loop}/stat").read_text().split()
        info = pathlib.Path(f"/proc/fs/jbd2/{self.loop}-8/info").read_text()
        return int(info.split()[0]), int(stat[15]), int(stat[6]) // 2

    def done(self):
        subprocess.run(["umount", self.at], check=True)


def mail(number):
    rng = random.Random(number)
    return (f"Subject: {number}\n\n".encode() +
            b"".join(rng.randbytes(32).hex().encode() + b"\n"
                     for _ in range(30)))


def deliveries(mbj, disk, name, count):
    store = disk.at / name
    subprocess.run([mbj, "init", store, "--role", "primary"], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run([mbj, "import", store, "alice"], check=True,
                   input=b'{"list": []}', stdout=subprocess.DEVNULL)
    server = subprocess.Popen([mbj, "serve", store])
    while not (store / "socket").exists():
        assert server.poll() is None, "mbj serve has ended"
        time.sleep(0.01)

    def deliver(number):
        subprocess.run([mbj, "deliver", store, "alice"], check=True,
                       input=mail(number), stdout=subprocess.DEVNULL)

    for number in range(WARM if count > WARM else count):
        deliver(number)
    subprocess.run(["sync", "-f", disk.at], check=True)
    before = disk.counts()
    for number in range(count):
        deliver(WARM + number)
    after = disk.counts()
    server.terminate()
    assert server.wait() == 0
    return [(b - a) / count for a, b in zip(before, after)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("directory", nargs="?", default="/dev/shm")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("bench_syncs: a file system of its own is root's to make")
        sys.exit(77)
    builds = {"before": os.environ.get("MBJ_BEFORE"),
              "now": os.environ.get("MBJ", "mbj")}
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        disk = Disk(pathlib.Path(directory))
        try:
            for name, mbj in builds.items():
                if mbj is None:
                    continue
                commits, flushes, kib = deliveries(
                    mbj, disk, name, 20 if options.quick else 500)
                print(f"{name:8} {commits:8.2f} commits {flushes:8.2f} flushes "
                      f"{kib:8.1f} KiB")
                print(json.dumps({"bench": "syncs", "build": name,
                                  "commits": commits, "flushes": flushes,
                                  "kib": kib}))
        finally:
            disk.done()


main()
