"""What the plugin costs: APPEND of 2 KiB, STORE, RENAME, and a delivery by
LMTP, by one session each of two Dovecots beside each other, one with the
plugin, in turns; of three, where another build is given, as it was before.
Ten commands in a row, and one at a time: what a service writes behind its
answer is for its own session's next command to wait for, and for no other's, so
there is a pause between the turns.  In a mailbox of nothing, and in a Maildir
of 16,384.  Medians.  A DIRECTORY on ext4 without a journal measures how long
Linux looks for an inode that was not deleted lately (docs/PERFORMANCE.md).

    MBJ=... MBJ_DOVECOT_PLUGIN=... [MBJ_BEFORE=... MBJ_DOVECOT_PLUGIN_BEFORE=...]
        bench_dovecot.py [DIRECTORY]
"""
import itertools
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import dovetest
from dovetest import mbjtest

PAUSE = 0.02  # seconds
# How many of each in all, and in a row.
WAYS = (("row", 300, 10), ("apart", 100, 1))
MANY = 16384
NUMBERS = itertools.count()
FORMATS = (("sdbox", "sdbox:~/mail", 0), ("maildir", "maildir:~/Maildir", 0),
           ("full", "maildir:~/Maildir", MANY))
MORE = "mail_fsync = optimized\n" + dovetest.WITH_LMTP + """
recipient_delimiter = +
lmtp_save_to_detail_mailbox = yes
"""
BUILT = {"without": None}
if "MBJ_BEFORE" in os.environ:
    BUILT["before"] = (os.environ["MBJ_BEFORE"],
                       os.environ["MBJ_DOVECOT_PLUGIN_BEFORE"])
BUILT["with"] = (mbjtest.MBJ, dovetest.PLUGIN)


def body():
    """2 KiB that no store has."""
    text = b"Subject: %d\r\n\r\n" % next(NUMBERS) + 2000 * b"x"
    return text.ljust(2046) + b"\r\n"


class Side:
    """A session, and what its commands took."""

    def __init__(self, dovecot, count):
        self.dovecot = dovecot
        self.client = dovecot.login("u")
        self.took = {"APPEND": [], "STORE": [], "RENAME": []}
        if dovetest.HAS_LMTP:
            self.took["LMTP"] = []
        for name in ("A", "r0"):
            assert self.client.create(name)[0] == "OK"
        for name in ("A", "r0") if count else ():
            self.fill(name, count)
        self.client.select("A")

    def fill(self, name, count):
        """Files that Dovecot finds, and the journal with the next change."""
        (box,) = self.dovecot.d.rglob(f"Maildir/.{name}")
        to = box.stat()
        for n in range(count):
            path = box / "cur" / f"1.M{n}P1.x,S=2048,W=2048:2,S"
            path.write_bytes(body())
            os.chown(path, to.st_uid, to.st_gid)
        self.client.select(name)
        assert self.client.append(name, "()", None, body())[0] == "OK"

    def step(self, what, number):
        client, text = self.client, body()
        begin = time.perf_counter()
        if what == "APPEND":
            answer = client.append("A", "()", None, text)
        elif what == "STORE":
            answer = client.uid("STORE", str(number + 1), "+FLAGS",
                                "(\\Flagged)")
        elif what == "LMTP":
            said = dovetest.lmtp(self.dovecot, ["u+A"], text)
            answer = ("OK" if said[0].startswith("2") else "NO", said)
        else:
            answer = client.rename(f"r{number}", f"r{number + 1}")
        self.took[what].append(time.perf_counter() - begin)
        assert answer[0] == "OK", answer


class Setup:
    """A Dovecot, with a service of its own where it has a plugin."""

    def __init__(self, home, location, built):
        self.server = None
        home.mkdir(parents=True)
        for path in (home.parent, home):
            path.chmod(0o755)
        mbj, plugin = built or BUILT["with"]
        if built:
            subprocess.run([mbj, "init", home / "p"], check=True,
                           stdout=subprocess.DEVNULL)
            self.server = subprocess.Popen(
                [mbj, "serve", home / "p", "--socket", home / "socket",
                 "--group", str(dovetest.MAIL_GID)], stderr=subprocess.DEVNULL)
            dovetest.wait_for(home / "socket", self.server)
        dovetest.PLUGIN = plugin
        self.dovecot = dovetest.Dovecot(home / "d", home / "socket", location,
                                        "/", "", MORE)
        if not built:
            self.dovecot.conf.write_text(self.dovecot.conf.read_text().replace(
                "mail_plugins = mbj\n", ""))
        self.dovecot.start()

    def stop(self):
        self.dovecot.stop()
        if self.server:
            self.server.terminate()
            self.server.wait(30)


def turn(sides, what, numbers):
    for side in sides:
        time.sleep(PAUSE)
        for number in numbers:
            side.step(what, number)


def show(head, took):
    without, *others = (statistics.median(all_of) * 1000 for all_of in took)
    print(f"{head} {without:8.3f} ms without" + "".join(
        f" {ms:8.3f} ms {which} {100 * (ms / without - 1):+6.0f} %"
        for which, ms in zip(list(BUILT)[1:], others)), flush=True)


def measure(home, name, location, count):
    setups = []
    try:
        for which, built in BUILT.items():
            setups.append(Setup(home / name / which, location, built))
        sides = [Side(setup.dovecot, count) for setup in setups]
        for what in sides[0].took:
            begin = 0
            for way, times, at_once in WAYS:
                for first in range(begin, begin + times, at_once):
                    turn(sides, what, range(first, first + at_once))
                begin += times
                show(f"{name:8} {what:7} {way:5}",
                     [side.took[what][-times:] for side in sides])
    finally:
        for setup in setups:
            setup.stop()


def main():
    where = sys.argv[1] if len(sys.argv) > 1 else None
    home = pathlib.Path(tempfile.mkdtemp(prefix="mbj-bench-", dir=where))
    home.chmod(0o755)
    try:
        for name, location, count in FORMATS:
            measure(home, name, location, count)
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    if not dovetest.can_run():
        print("SKIPPED: there is no Dovecot, or no plugin for it")
        sys.exit(77)
    main()
