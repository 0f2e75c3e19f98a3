"""doveadm mbj apply --follow: what users do at the first Dovecot, the second
has by itself, a moment later, whatever is killed."""
import contextlib
import fcntl
import os
import pathlib
import signal
import subprocess
import time

import dovetest
import pairtest
from dovetest import encode, mbjtest
from pairtest import PairCase, everything, mail

SUBSCRIPTIONS = 16  # the request that follows an account (journal/wire.h)
PATIENCE = 60  # seconds, of a machine that does other things, too


class Follow(PairCase):
    """The pair, and a follower at the second."""

    def setUp(self):
        super().setUp()
        self.follower = None
        self.begin_follower()
        self.addCleanup(self.end_follower, signal.SIGKILL)

    def begin_follower(self, *options):
        with open(self.dir / "said", "ab") as said:
            self.follower = subprocess.Popen(
                ["doveadm", "-c", self.other.conf, "mbj", "apply", "-A",
                 "--follow", *options], stdout=subprocess.DEVNULL, stderr=said)

    def end_follower(self, number):
        if self.follower is None:
            return None
        self.follower.send_signal(number)
        status = self.follower.wait(30)
        self.follower = None
        if number == signal.SIGKILL:
            self.other.unlock_dead()
        return status

    def said(self):
        return (self.dir / "said").read_text("utf-8", "replace")

    def until(self, look):
        """look gives true, before long."""
        for _ in range(PATIENCE * 100):
            if look():
                return
            self.assertIsNone(self.follower.poll(), self.said())
            time.sleep(0.01)
        self.fail(self.said() + self.other.log()[-4000:] + self.where())

    def where(self):
        """What the follower waits in, and what it has open."""
        process = pathlib.Path(f"/proc/{self.follower.pid}")
        said = []
        with contextlib.suppress(OSError):
            said = [(process / name).read_text().strip()
                    for name in ("wchan", "syscall")]
            said += [f"{fd.name} {os.readlink(fd)}"
                     for fd in (process / "fd").iterdir()]
        return "\nthe follower: " + ", ".join(said)

    def there(self, user, path, count):
        """The second has as many messages there."""
        client = self.other.login(user)
        try:
            answer = client.status(encode(path), "(MESSAGES)")
            return answer[0] == "OK" and \
                f"MESSAGES {count})" in answer[1][0].decode()
        finally:
            self.leave(client)

    def seen(self, client):
        seen = everything(client)
        for path in seen["names"]:
            seen[path].pop("HIGHESTMODSEQ")
        return seen

    def same_soon(self):
        one = self.login()
        here = self.seen(one)
        self.leave(one)
        self.follow()

        def look():
            two = self.other.login(self.user)
            try:
                return self.seen(two) == here
            except AssertionError:
                return False  # a mailbox has just gone
            finally:
                self.leave(two)
        self.until(look)

    def test_day(self):
        """Goal: what changes comes by itself, for each user; the process ends
        in good order.  Method: two users, one after the other and at once;
        SIGTERM."""
        one, two = self.login(), self.dovecot.login(self.user + "2")
        self.addCleanup(self.leave, two)
        self.ok(one.create("A"))
        self.ok(one.append("A", None, None, mail("one")))
        self.until(lambda: self.there(self.user, "A", 1))
        self.ok(two.append("INBOX", None, None, mail("two")))
        self.until(lambda: self.there(self.user + "2", "INBOX", 1))
        for n in range(10):
            self.ok(two.append("INBOX", None, None, mail(str(n))))
            self.ok(one.append("A", None, None, mail(str(n))))
        self.ok(one.rename("A", "B"))
        self.until(lambda: self.there(self.user + "2", "INBOX", 11))
        self.until(lambda: self.there(self.user, "B", 11))
        self.same_soon()
        # Dovecot's look-up of a user may be what the signal meets.
        status, said = self.end_follower(signal.SIGTERM), self.said()
        if status != 0:
            self.assertEqual(status, 75, said)
            self.assertIn("Failed to iterate through some users", said)
        else:
            self.assertEqual(said, "")

    def made_by_half(self, half, name, look):
        """A run makes a mailbox that the first has, and stands still when that
        is half made, until look has returned.  What it said, and its end."""
        call, path, count = half
        path = self.other.d / "mail" / self.user / path.format(name)
        log = self.dir / f"trace {name}"
        log.write_text("")
        one = self.login()
        self.ok(one.create(name))
        self.ok(one.append(name, None, None, mail("one")))
        self.leave(one)
        self.follow()
        run = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", log, "-P", path, "-e",
             f"trace={call}", "-e", f"inject={call}:signal=STOP:when={count}",
             "doveadm", "-c", self.other.conf, "mbj", "apply", "-u",
             self.user], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True)
        while "stopped by SIGSTOP" not in log.read_text():
            self.assertIsNone(run.poll(), "it did not come there")
            time.sleep(0.01)
        look()
        while run.poll() is None:
            for pid in dovetest.children(run.pid):
                with contextlib.suppress(ProcessLookupError):  # at its end
                    os.kill(pid, signal.SIGCONT)
            time.sleep(0.01)
        return run.communicate()[0], run.returncode

    def test_opened(self):
        """Goal: a mailbox that somebody opens while a run makes it is the
        journal's, by that run; with mail of somebody's own it is kept.
        Method: the run is stopped where the mailbox is half made, a session
        selects it, or doveadm saves to it."""
        self.end_follower(signal.SIGKILL)
        dovetest.need_strace(self)
        one = self.login()
        self.ok(one.append("INBOX", None, None, mail("one")))
        self.leave(one)
        self.bring()
        for n, half in enumerate(self.HALVES):
            two = self.login_other()
            self.assertEqual(self.made_by_half(
                half, f"A{n}", lambda t=two, k=n: self.ok(t.select(f"A{k}"))),
                ("", 0))
            self.leave(two)
            self.same_there()

        def save():
            subprocess.run(
                ["doveadm", "-c", self.other.conf, "-o", "mail_plugins=",
                 "save", "-u", self.user, "-m", "B"], check=True,
                input=b"Subject: own\r\n\r\n", capture_output=True)
        self.assertEqual(self.made_by_half(self.HALVES[0], "B", save)[1], 75)
        self.apply(75)
        two = self.login_other()
        bodies = [body for _, _, body, _ in pairtest.fetched(two, "B").values()]
        self.assertIn(b"Subject: own", b"".join(bodies))

    def test_away(self):
        """Goal: the service may go and come again, also as the follower begins.
        Method: stopped and killed, with a change at the first meanwhile."""
        one = self.login()
        for n in range(3):
            self.ok(one.append("INBOX", None, None, mail("one")))
            self.until(lambda: self.there(self.user, "INBOX", 2 * n + 1))
            if n == 1:
                self.replica.kill()
                self.replica.wait()
                self.replica = None
            else:
                self.stop_replica()
            type(self).replica = None
            self.ok(one.append("INBOX", None, None, mail("two")))
            if n == 2:
                self.end_follower(signal.SIGKILL)
                self.begin_follower()
            self.until(lambda: self.said().count("is waited for") == n + 1)
            self.serve_replica()
            self.until(lambda: self.there(self.user, "INBOX", 2 * n + 2))

    def test_wrong(self):
        """Goal: one user of whom something is wrong keeps no other from it,
        and comes when it is right.  Method: a mailbox of one's own in the way
        of a name, which is then renamed; an account without a user."""
        own = self.user + "2"
        self.assertEqual(self.other.doveadm(
            "-o", "mail_plugins=", "mailbox", "create", "-u", own, "A"),
            (0, ""))
        done = subprocess.run(
            ["doveadm", "-c", self.other.conf, "-o", "mail_plugins=", "save",
             "-u", own, "-m", "A"], input=b"Subject: own\r\n\r\n",
            check=False)
        self.assertEqual(done.returncode, 0)
        self.mbj("account", "create", self.socket, "no/body")
        two, one = self.dovecot.login(own), self.login()
        self.addCleanup(self.leave, two)
        self.ok(two.create("A"))
        self.ok(two.append("A", None, None, mail("two")))
        self.until(lambda: f"({own})" in self.said())
        self.ok(one.append("INBOX", None, None, mail("one")))
        self.until(lambda: self.there(self.user, "INBOX", 1))
        self.assertEqual(self.other.doveadm(
            "-o", "mail_plugins=", "mailbox", "rename", "-u", own, "A",
            "mine"), (0, ""))
        self.until(lambda: self.there(own, "mine", 1) and
                   self.there(own, "A", 1))

    def test_busy(self):
        """Goal: whose news is from before the follower comes, too, however
        fast another user's does.  Method: that one has news again before any
        run ends, made behind its reading of the account."""
        self.end_follower(signal.SIGKILL)
        users = [f"{self.user}{n}" for n in range(3)]
        for user in users + [self.user]:
            client = self.dovecot.login(user)
            self.ok(client.append("INBOX", None, None, mail("old")))
            self.leave(client)
        self.follow()
        one = self.login()
        relay = dovetest.Relay(self.home / "busy", self.other_socket)
        self.addCleanup(relay.close)

        def change(kind):
            if kind == SUBSCRIPTIONS:
                one.append("INBOX", None, None, mail("new"))
                self.follow()
                time.sleep(0.1)  # longer than until the next look for news

        relay.before = change
        self.begin_follower("--socket", relay.path)
        for user in users:
            self.until(lambda u=user: self.there(u, "INBOX", 1))
        relay.before = None

    def test_killed(self):
        """Goal: whatever is killed at any time, the second comes to what the
        first has.  Method: SIGKILL of the follower and of both services at
        random, while a session works."""
        rng = mbjtest.seed()
        names = ["A", "B", "t", "A/x"]
        for _ in range(int(os.environ.get("MBJ_PAIR_STEPS", "40"))):
            one = self.login()
            for _ in range(rng.randrange(1, 4)):
                self.change(one, rng, names)
            self.leave(one)
            what = rng.randrange(6)
            if what < 2:
                self.end_follower(signal.SIGKILL)
                self.begin_follower()
            elif what == 2:
                self.replica.kill()
                self.replica.wait()
                self.serve_replica()
            elif what == 3:
                self.server.kill()
                self.server.wait()
                self.serve()
            time.sleep(rng.random() * 0.05)
        self.settled()
        self.same_soon()

    @staticmethod
    def change(one, rng, names):
        what, box = rng.randrange(5), rng.choice(names)
        if what == 0:
            one.create(box)
        elif what == 1:
            one.rename(box, rng.choice(names))
        elif what == 2:
            one.subscribe(box)
        else:
            one.append(rng.choice(names + ["INBOX"]), None, None,
                       mail(str(rng.random())))

    def test_options(self):
        """Goal: a user alone is not followed, and it is said."""
        status, said = self.other.doveadm("mbj", "apply", "-u", self.user,
                                          "--follow")
        self.assertEqual(status, 64, said)
        self.assertIn("--follow is for all users", said)


class Sdbox(Follow):
    # What a mailbox is half made behind: a call, its path, and which it is.
    HALVES = (("mkdir", "mail/mailboxes/{}/dbox-Mails", 2),
              ("fcntl", "mail/mailboxes/{}/dbox-Mails/dovecot.index.log", 2))

    def test_again(self):
        """Goal: whose run failed is tried again after its time also while there
        are users who have not been looked at.  Method: one of some, which come
        in any order, is locked, until the next is looked at for longer than
        that time; begun anew where too few come behind it."""
        self.end_follower(signal.SIGKILL)
        before_most = 4
        for n in range(before_most + 4):
            self.mbj("account", "create", self.socket, f"{self.user}{n}")
        self.follow()
        accounts = self.mbj("accounts", self.other_socket, "--json").json()
        first = min((a["id"], a["name"]) for a in accounts["list"]
                    if a["name"].startswith(self.user))[1]
        client = self.dovecot.login(first)
        self.ok(client.append("INBOX", None, None, mail("old")))
        self.leave(client)
        self.follow()
        self.other.doveadm("mbj", "apply", "-u", first, "--socket", "/none")
        (lock,) = (p for p in self.other.d.rglob("mbj-apply.lock")
                   if f"/{first}/" in str(p))
        relay = dovetest.Relay(self.home / "again", self.other_socket)
        self.addCleanup(relay.close)
        before, runs, old = [], [], [0]

        def count(kind):
            if kind != SUBSCRIPTIONS or len(before) > before_most:
                return
            if f"({first})" not in self.said()[old[0]:]:
                before.append(kind)
                return
            runs.append(self.there(first, "INBOX", 1))
            if len(runs) == 1:
                held.close()
                time.sleep(1.2)

        relay.before = count
        while len(runs) < 3:
            self.end_follower(signal.SIGKILL)
            old[0] = len(self.said())  # one that was killed may have failed
            before.clear()
            with open(lock, "rb") as held:
                fcntl.flock(held, fcntl.LOCK_EX)
                self.begin_follower("--socket", relay.path)
                self.until(lambda: len(runs) >= 3 or
                           len(before) > before_most)
        # the one behind that user, that user, the next one
        self.assertEqual(runs[:3], [False, False, True], self.said())


class Maildir(Follow):
    LOCATION = "maildir:~/Maildir"
    HALVES = (("mkdir", "Maildir/.{}", 1), ("mkdir", "Maildir/.{}/cur", 1))


class Mdbox(Follow):
    LOCATION = "mdbox:~/mail"
    HALVES = Sdbox.HALVES


if __name__ == "__main__":
    pairtest.main()
