"""What the plugin costs: APPEND of 2 KiB, STORE, and RENAME, by one session
each of two Dovecots beside each other, one with the plugin, command by command
in turns.  Medians.

    MBJ=... MBJ_DOVECOT_PLUGIN=... bench_dovecot.py [DIRECTORY]
"""
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import dovetest
from dovetest import mbjtest

TIMES = 300
BODY = (b"Subject: x\r\n\r\n" + 2000 * b"x" + b"\r\n").ljust(2046) + b"\r\n"
FORMATS = (("sdbox", "sdbox:~/mail"), ("maildir", "maildir:~/Maildir"))
FSYNC = "mail_fsync = optimized\n"


class Side:
    """A session, and what its commands took."""

    def __init__(self, dovecot):
        self.client = dovecot.login("u")
        self.took = {"APPEND": [], "STORE": [], "RENAME": []}
        for name in ("A", "r0"):
            assert self.client.create(name)[0] == "OK"
        self.client.select("A")

    def step(self, what, number):
        client = self.client
        begin = time.perf_counter()
        if what == "APPEND":
            answer = client.append("A", "()", None, BODY)
        elif what == "STORE":
            answer = client.uid("STORE", str(number + 1), "+FLAGS",
                                "(\\Flagged)")
        else:
            answer = client.rename(f"r{number}", f"r{number + 1}")
        self.took[what].append(time.perf_counter() - begin)
        assert answer[0] == "OK", answer


def measure(home, name, location):
    store, socket = home / name / "p", home / name / "socket"
    (home / name).mkdir()
    (home / name).chmod(0o755)
    subprocess.run([mbjtest.MBJ, "init", store], check=True,
                   stdout=subprocess.DEVNULL)
    server = subprocess.Popen([mbjtest.MBJ, "serve", store, "--socket", socket,
                               "--group", str(dovetest.MAIL_GID)],
                              stderr=subprocess.DEVNULL)
    both = []
    try:
        for with_plugin in (False, True):
            dovecot = dovetest.Dovecot(home / name / str(with_plugin), socket,
                                       location, "/", "", FSYNC)
            if not with_plugin:
                dovecot.conf.write_text(dovecot.conf.read_text().replace(
                    "mail_plugins = mbj\n", ""))
            dovecot.start()
            both.append(dovecot)
        sides = [Side(dovecot) for dovecot in both]
        for what in sides[0].took:
            for number in range(TIMES):
                for side in sides:
                    side.step(what, number)
            without, with_it = (statistics.median(s.took[what]) * 1000
                                for s in sides)
            print(f"{name:8} {what:7} {without:8.3f} ms without "
                  f"{with_it:8.3f} ms with {100 * (with_it / without - 1):+6.0f} %",
                  flush=True)
    finally:
        for dovecot in both:
            dovecot.stop()
        server.terminate()
        server.wait(30)


def main():
    where = sys.argv[1] if len(sys.argv) > 1 else None
    home = pathlib.Path(tempfile.mkdtemp(prefix="mbj-bench-", dir=where))
    home.chmod(0o755)
    try:
        for name, location in FORMATS:
            measure(home, name, location)
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    if not dovetest.can_run():
        print("SKIPPED: there is no Dovecot, or no plugin for it")
        sys.exit(77)
    main()
