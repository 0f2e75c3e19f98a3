"""What doveadm mbj apply costs, beside dsync on the same mail: CPU seconds of
doveadm and seconds.  Run by hand, with the environment of a test:

    MBJ=build/dev/cli/mbj MBJ_DOVECOT_PLUGIN=... MBJ_DOVECOT_APPLY=... \\
        python3 tests/dovecot/bench_apply.py"""
import os
import resource
import subprocess
import time
import unittest

import test_apply

FOLDERS = int(os.environ.get("MBJ_BENCH_FOLDERS", "1000"))
MESSAGES = int(os.environ.get("MBJ_BENCH_MESSAGES", "10000"))


class Bench(test_apply.Sdbox):
    def cost(self, what, *words):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), \
            time.time()
        subprocess.run(["doveadm", "-c", self.dovecot.conf, *words],
                       check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"{what}: CPU {after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime:.2f} s, "
              f"{time.time() - start:.2f} s", flush=True)

    def test_cost(self):
        apply = ("mbj", "apply", "-u", self.user)
        self.make([(i, f"f{i}", None) for i in range(1, FOLDERS + 1)])
        self.follow()
        self.cost(f"create {FOLDERS} folders", *apply)
        self.make([(i, f"f{i % FOLDERS + 1}", None)
                   for i in range(1, FOLDERS + 1)])
        self.follow()
        self.cost(f"one cycle of {FOLDERS}", *apply)
        self.cost("nothing", *apply)
        self.make([])
        mbox = self.dir / "mbox"
        with open(mbox, "w", encoding="ascii") as out:
            for i in range(MESSAGES):
                out.write("From a@b Thu Nov 26 00:00:00 2026\n"
                          f"Subject: {i}\n\n" + ("x" * 70 + "\n") * 28 + "\n")
        self.mbj("import", self.p, self.user, "--mbox", mbox)
        self.follow()
        self.cost(f"save {MESSAGES} messages of 2 KB", *apply)
        self.cost("nothing", *apply)
        self.cost("dsync of the same mail to another sdbox", "-o",
                  "mail_plugins=", "backup", "-u", self.user,
                  f"sdbox:{self.home}/dovecot/mail/other")


if __name__ == "__main__":
    unittest.main(argv=["bench_apply", "Bench.test_cost"])
