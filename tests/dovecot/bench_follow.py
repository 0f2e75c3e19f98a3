"""How long a change at the first Dovecot takes until a client of the second
sees it, by doveadm mbj apply --follow.  Run by hand, with the environment of a
test:

    MBJ=build/dev/cli/mbj MBJ_DOVECOT_PLUGIN=... MBJ_DOVECOT_APPLY=... \\
        python3 tests/dovecot/bench_follow.py"""
import os
import pathlib
import sys
import time
import unittest

from pairtest import mail
from test_follow import Follow

CHANGES = int(os.environ.get("MBJ_BENCH_CHANGES", "200"))  # of each kind
OTHERS = int(os.environ.get("MBJ_BENCH_ACCOUNTS", "0"))  # besides


class Bench(Follow):
    test_day = test_away = test_wrong = test_killed = test_options = None
    test_busy = None

    def setUp(self):
        for n in range(OTHERS):
            self.mbj("account", "create", self.socket, f"other{n}")
        super().setUp()

    def ticks(self):
        text = pathlib.Path(f"/proc/{self.follower.pid}/stat").read_text()
        user, system = text.rsplit(")", 1)[1].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def wait(self, client, look):
        begin = time.monotonic()
        while not look(client):
            time.sleep(0.001)
        return (time.monotonic() - begin) * 1000

    def show(self, what, times):
        times.sort()
        print(f"{what}: median {times[len(times) // 2]:.0f} ms, 95 % "
              f"{times[len(times) * 95 // 100]:.0f} ms, 99 % "
              f"{times[len(times) * 99 // 100]:.0f} ms, most {times[-1]:.0f} "
              "ms", flush=True)

    def test_latency(self):
        one = self.login()
        self.ok(one.append("INBOX", None, None, mail("0")))
        self.until(lambda: self.there(self.user, "INBOX", 1))
        two = self.login_other()
        time.sleep(1 + OTHERS * 0.03)

        def messages(client, n):
            answer = client.status("INBOX", "(MESSAGES)")[1][0].decode()
            return f"MESSAGES {n})" in answer
        appends, renames = [], []
        for n in range(CHANGES):
            self.ok(one.append("INBOX", None, None, mail(str(n), 50)))
            appends.append(self.wait(two, lambda c: messages(c, n + 2)))
        self.ok(one.create("r0"))
        for n in range(CHANGES):
            self.ok(one.rename(f"r{n}", f"r{n + 1}"))
            renames.append(self.wait(two, lambda c: any(
                line and line.endswith(f"r{n + 1}".encode())
                for line in c.list()[1])))
        self.show("APPEND", appends)
        self.show("RENAME", renames)
        before, begin = self.ticks(), time.monotonic()
        time.sleep(5)
        print(f"idle: {(self.ticks() - before) / (time.monotonic() - begin):.1%}"
              " of a processor")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "Bench"])
