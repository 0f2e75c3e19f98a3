"""What doveadm mbj apply costs, beside dsync on the same mail and changes.  Run
by hand, with the environment of a test:

    MBJ=build/dev/cli/mbj MBJ_DOVECOT_PLUGIN=... MBJ_DOVECOT_APPLY=... \\
        python3 tests/dovecot/bench_apply.py [renames|accounts|messages ...]

Two Dovecots and two services on one host.  The first Dovecot's mail is what
both replicate.  Of mbj there count the journal's way to the replica (both
services) and apply (doveadm and the service that it asks); of dsync both ends,
which are one process.  What a change at the first costs more with the plugin is
shown beside it: dsync has it to find out later.  Seconds of processor; each
replication is done again from the same start, in turns, and the median of its
rounds is shown."""
import os
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
import unittest

import dovetest
import pairtest
from dovetest import mbjtest

FORMAT = os.environ.get("MBJ_BENCH_FORMAT", "sdbox")
FOLDERS = [int(n) for n in
           os.environ.get("MBJ_BENCH_FOLDERS", "1000,4000").split(",")]
ACCOUNTS = int(os.environ.get("MBJ_BENCH_ACCOUNTS", "100"))
EACH = int(os.environ.get("MBJ_BENCH_EACH", "100"))  # folders of an account
MESSAGES = int(os.environ.get("MBJ_BENCH_MESSAGES", "10000"))
ROUNDS = int(os.environ.get("MBJ_BENCH_ROUNDS", "3"))
# Another build's module, measured in turns with the one that is tested.
FORMER = os.environ.get("MBJ_BENCH_FORMER")
IMAP = "/usr/lib/dovecot/imap"


def cpu_of(process):
    """Seconds that a process of ours has used."""
    text = pathlib.Path(f"/proc/{process.pid}/stat").read_text()
    user, system = text.rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class Cost:
    """Seconds of the processor, of children and services, and of the clock."""

    def __init__(self, *services):
        self.services = services
        self.before, self.start = self.spent(), time.monotonic()

    def spent(self):
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (used.ru_utime + used.ru_stime,
                *(cpu_of(service) for service in self.services))

    def end(self):
        after = self.spent()
        self.cpu = [b - a for a, b in zip(self.before, after)]
        self.wall = time.monotonic() - self.start
        return self


class Bench(pairtest.PairCase):
    LOCATION = {"sdbox": "sdbox:~/mail", "mdbox": "mdbox:~/mail",
                "maildir": "maildir:~/Maildir"}[FORMAT]
    OTHER = {"sdbox": "sdbox:~/copy", "mdbox": "mdbox:~/copy",
             "maildir": "maildir:~/copy"}[FORMAT]

    # ------------------------------------------------- the first Dovecot

    def imap(self, user, commands, *options):
        """Commands of one session, without a network."""
        text = "".join(f"{n} {line}\r\n" for n, line in enumerate(commands))
        done = subprocess.run(
            [IMAP, "-c", self.dovecot.conf, "-u", user, *options],
            input=text + "x LOGOUT\r\n", text=True, capture_output=True,
            env={**os.environ, "USER": user}, check=True)
        bad = re.findall(r"^\d+ (?:NO|BAD).*", done.stdout, re.M)
        self.assertEqual(bad, [], done.stderr)

    def doveadm_all(self, dovecot, users, *words):
        """doveadm for all of them, in one process."""
        listed = self.dir / "users"
        listed.write_text("\n".join(users) + "\n")
        command, at = list(words), 2 if words[0] == "mbj" else 1
        if words[0] == "-o":
            at += 2
        command[at:at] = ["-F", str(listed)]
        done = subprocess.run(["doveadm", "-c", dovecot.conf, *command],
                              capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    def capture(self, users):
        """The journal has what was there before; the replica, too."""
        self.doveadm_all(self.dovecot, users, "mbj", "capture")
        self.follow()

    # --------------------------------------------------- what is measured

    def copies(self, users, name):
        """Where the copy of each is, and where it is kept."""
        home = self.dovecot if name == "dsync" else self.other
        for user in users:
            yield (home.d / "mail" / user / ("copy" if name == "dsync" else ""),
                   home.d / "kept" / user)

    def keep(self, users):
        """Both copies as they are, to begin from again."""
        for name in ("apply", "dsync"):
            for path, kept in self.copies(users, name):
                kept.parent.mkdir(exist_ok=True)
                if path.exists():
                    subprocess.run(["cp", "-a", path, kept], check=True)

    def again(self, users, name):
        for path, kept in self.copies(users, name):
            shutil.rmtree(path, ignore_errors=True)
            if kept.exists():
                subprocess.run(["cp", "-a", kept, path], check=True)

    def module(self, path):
        name = self.other.d / "modules" / os.path.basename(dovetest.APPLY)
        name.unlink()
        name.symlink_to(path)

    def apply_all(self, users):
        cost = Cost(self.replica)
        self.doveadm_all(self.other, users, "mbj", "apply")
        return cost.end()

    def dsync_all(self, users):
        cost = Cost()
        self.doveadm_all(self.dovecot, users, "-o", "mail_plugins=", "backup",
                         self.OTHER)
        return cost.end()

    def compare(self, what, users, count, way):
        """Rounds of each, in turns; way is what the journal's way cost."""
        runs = {"apply": [], "dsync": []}
        if FORMER:
            runs["former"] = []
        for _ in range(ROUNDS):
            for name, costs in runs.items():
                self.again(users, name)
                if name == "dsync":
                    costs.append(self.dsync_all(users))
                    continue
                self.module(dovetest.APPLY if name == "apply" else FORMER)
                costs.append(self.apply_all(users))
        median = {name: statistics.median(sum(cost.cpu) for cost in costs)
                  for name, costs in runs.items()}
        wall = {name: statistics.median(cost.wall for cost in costs)
                for name, costs in runs.items()}
        print(f"{what}: {count} ({FORMAT})")
        for name in runs:
            each = median[name] + (way if name != "dsync" else 0)
            print(f"  {name}: {median[name]:.2f} s CPU"
                  f"{f' + {way:.2f} of the way' if name != 'dsync' else ''}, "
                  f"{wall[name]:.2f} s, {count / max(each, 0.001):.0f} a CPU "
                  f"second; {median['dsync'] / max(each, 0.001):.2f} x dsync, "
                  f"by the clock {wall['dsync'] / wall[name]:.2f} x",
                  flush=True)

    def way(self, change):
        """Make a change at the first, with the plugin.  What its journal costs
        until the replica has it, and what the change itself did."""
        self.follow()
        self.stop_replica()
        cost = Cost(self.server)
        change()
        cost.end()
        before = cpu_of(self.server)
        self.serve_replica()
        self.follow()
        way = cpu_of(self.server) - before + cpu_of(self.replica)
        print(f"  the change itself, with the plugin: {cost.cpu[0]:.2f} s CPU "
              f"of Dovecot, {cost.cpu[1]:.2f} of the service")
        return way

    def renames(self, users, folders):
        quick = ("-o", "mail_plugins=", "-o",
                 "mailbox_list_index_very_dirty_syncs=yes")
        names = range(folders)
        for user in users:
            self.imap(user, [f"CREATE f{n}" for n in names], *quick)
        self.capture(users)
        self.apply_all(users)
        self.dsync_all(users)
        self.keep(users)
        lines = [f"RENAME f{n} g{n}" for n in names]

        def change():
            for user in users:
                self.imap(user, lines, *quick[2:])
        way = self.way(change)
        self.compare(f"renames of {len(users)} accounts", users,
                     folders * len(users), way)
        # Both did it.
        for home, part in ((self.other, "mail"), (self.dovecot, "copy")):
            if FORMAT == "sdbox":
                found = home.d / "mail" / users[-1] / part / "mailboxes"
                self.assertEqual({p.name for p in found.iterdir()} - {"INBOX"},
                                 {f"g{n}" for n in names}, found)

    # ------------------------------------------------------------ the cases

    def test_renames(self):
        for folders in FOLDERS:
            self.renames([f"{self.user}{folders}"], folders)

    def test_accounts(self):
        self.renames([f"{self.user}{n}" for n in range(ACCOUNTS)], EACH)

    def test_messages(self):
        source = self.dovecot.d / "mail" / "source"
        source.mkdir()
        mbox = source / "mbox"
        with open(mbox, "w", encoding="ascii") as out:
            for i in range(MESSAGES):
                out.write("From a@b Thu Nov 26 00:00:00 2026\n"
                          f"Subject: {i}\nFrom: <a@b.c>\n\n" +
                          ("x" * 70 + "\n") * 28 + "\n")
        os.chown(source, dovetest.MAIL_UID, dovetest.MAIL_GID)
        self.capture([self.user])
        self.apply_all([self.user])
        self.dsync_all([self.user])
        self.keep([self.user])
        subprocess.run(["doveadm", "-c", self.dovecot.conf, "-o",
                        "mail_plugins=", "import", "-u", self.user, "-s",
                        f"mbox:{source}:INBOX={mbox}", "", "ALL"],
                       check=True)
        way = self.way(lambda: self.doveadm_all(self.dovecot, [self.user],
                                                "mbj", "capture"))
        self.compare("messages of 2 KB", [self.user], MESSAGES, way)
        there = self.other.doveadm("mailbox", "status", "-u", self.user,
                                   "messages", "INBOX")
        self.assertEqual(there, (0, f"INBOX messages={MESSAGES}\n"))


if __name__ == "__main__":
    unittest.main(argv=["bench_apply",
                        *(f"Bench.test_{name}" for name in
                          sys.argv[1:] or ("renames", "accounts",
                                           "messages"))])
