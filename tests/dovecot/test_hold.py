"""A Maildir is not renamed while somebody works in it, and no lock goes along:
by the plugin at a user's RENAME, by apply at a replica."""
import contextlib
import fcntl
import os
import pathlib
import socket
import subprocess
import threading
import time

import dovetest
import pairtest
from dovetest import DovecotCase
from pairtest import PairCase, mail

LOCKS = "mail_max_lock_timeout = 5 secs\n"


@contextlib.contextmanager
def worked_in(directory):
    """Somebody has the lock of a Maildir: this process, which lives."""
    path = pathlib.Path(directory) / "dovecot-uidlist.lock"
    path.write_text(f"{os.getpid()}:{socket.gethostname()}")
    try:
        yield path
    finally:
        if path.exists():
            path.unlink()


def locks(home):
    return sorted(home.rglob("*.lock[0-9a-f]*")) + sorted(
        p for p in home.rglob("dovecot-*.lock"))


class Held(DovecotCase):
    LOCATION = "maildir:~/Maildir"
    MORE = LOCKS

    def setUp(self):
        super().setUp()
        client = self.login()
        self.home = self.dovecot.d / "mail" / self.user / "Maildir"
        for name in ("A", "A/x", "A/x/y", "B"):
            self.ok(client.create(name))
            self.ok(client.append(name, "($k1)", None, mail(name)))
        self.leave(client)

    def test_waits(self):
        """Goal: RENAME waits for who works in the mailbox, or in one below
        it, and then for nobody.  Method: the lock of each in turn, given back
        after a while; what is on disk meanwhile, and after it."""
        source, target = "A", "t"
        for below in ("", ".x", ".x.y"):
            client = self.login()
            with worked_in(self.home / f".{source}{below}") as lock:
                said = []
                thread = threading.Thread(target=lambda c, s, t: said.append(
                    c.rename(s, t)), args=(client, source, target))
                thread.start()
                time.sleep(0.5)
                self.assertEqual(said, [])
                self.assertTrue(lock.exists())
                self.assertTrue((self.home / f".{source}").exists())
                self.assertFalse((self.home / f".{target}").exists())
            thread.join()
            self.ok(said[0])
            self.assertEqual(locks(self.home), [])
            self.leave(client)
            client = self.login()
            self.ok(client.append(f"{target}/x", "($k2)", None, mail("more")))
            self.same(client)
            source, target = target, source
        self.assertNotIn("Our dotlock file", self.dovecot.log())

    def test_busy(self):
        """Goal: one whose lock nobody gives back is not renamed, by halves
        neither, and is when it is free.  Method: the lock of a mailbox in the
        middle of the subtree, for longer than Dovecot waits for locks."""
        client = self.login()
        with worked_in(self.home / ".A.x") as lock:
            self.no(client.rename("A", "t"),
                    "[INUSE] Timeout while waiting for lock")
            self.assertEqual(locks(self.home), [lock])
            self.same(client)
        self.assertEqual(locks(self.home), [])
        self.ok(client.rename("A", "t"))
        self.same(client)
        self.assertEqual(locks(self.home), [])

    def test_dead(self):
        """Goal: a lock that somebody left who died stops no RENAME.  Method:
        one of a process that is no more."""
        done = subprocess.Popen(["true"])
        done.wait()
        path = self.home / ".A.x" / "dovecot-uidlist.lock"
        path.write_text(f"{done.pid}:{socket.gethostname()}")
        os.utime(path, (1, 1))
        client = self.login()
        self.ok(client.rename("A", "t"))
        self.same(client)
        self.assertEqual(locks(self.home), [])

    def test_untold(self):
        """Goal: so it is with mailboxes below of which the journal has not
        heard.  Method: one that was made without the plugin."""
        client = self.login()
        self.assertEqual(self.doveadm("create", "B/own", without=(
            "-o", "mail_plugins=")), (0, ""))
        with worked_in(self.home / ".B.own"):
            self.no(client.rename("B", "t"), "[INUSE]")
        self.ok(client.rename("B", "t"))
        self.assertEqual(locks(self.home), [])

    def test_left(self):
        """Goal: what Dovecot leaves where it was, and says OK, is in the
        journal where it is.  Method: a directory that is no mailbox, as
        sessions leave some, in the way of one below."""
        ghost = self.home / ".t.x"
        ghost.mkdir()
        (ghost / "dovecot.index.log").write_text("")
        for path in (ghost, ghost / "dovecot.index.log"):
            os.chown(path, dovetest.MAIL_UID, dovetest.MAIL_GID)
        client = self.login()
        self.ok(client.rename("A", "t"))
        self.assertEqual(locks(self.home), [])
        tree = dovetest.tree_of(client)
        self.assertLessEqual({"A/x", "t", "t/x/y"}, set(tree))
        self.ok(client.create("C"))
        self.same(client)

    def test_refused(self):
        """Goal: where Dovecot refuses a RENAME no lock is left.  Method: to a
        name that is there, of INBOX, of what is not there."""
        client = self.login()
        for source, target in (("A", "B"), ("INBOX", "t"), ("no", "t")):
            self.no(client.rename(source, target))
            self.assertEqual(locks(self.home), [])
        self.same(client)


class Inbox(DovecotCase):
    """Where Dovecot lets a Maildir's INBOX be renamed."""
    LOCATION = "maildir:~/Maildir:LAYOUT=fs:DIRNAME=mbox"
    MORE = LOCKS

    def test_waits(self):
        """Goal: INBOX is as any other mailbox then.  Method: its lock, given
        back to nobody, and then free."""
        client = self.login()
        home = self.dovecot.d / "mail" / self.user / "Maildir"
        self.ok(client.append("INBOX", None, None, mail("one")))
        (box,) = home.rglob("INBOX/mbox")
        with worked_in(box) as lock:
            self.no(client.rename("INBOX", "t"),
                    "[INUSE] Timeout while waiting for lock")
            self.assertEqual(locks(home), [lock])
        self.ok(client.rename("INBOX", "t"))
        self.assertEqual(locks(home), [])
        self.leave(client)
        client = self.login()
        self.same(client)
        self.ok(client.append("INBOX", None, None, mail("two")))
        self.ok(client.append("t", None, None, mail("three")))
        self.same(client)


class Applied(PairCase):
    LOCATION = "maildir:~/Maildir"
    MORE = PairCase.MORE + LOCKS

    def test_waits(self):
        """Goal: a run of apply waits for who works in a mailbox that it is to
        move.  Method: the lock of one below it, given back after a while, and
        one that is not: the run fails, and the next one does it."""
        one = self.login()
        for name in ("A", "A/x"):
            self.ok(one.create(name))
            self.ok(one.append(name, "($k1)", None, mail(name)))
        self.same_there()
        home = self.other.d / "mail" / self.user / "Maildir"
        self.ok(one.rename("A", "t"))
        self.follow()
        with worked_in(home / ".A.x"):
            run = subprocess.Popen(
                ["doveadm", "-c", self.other.conf, "mbj", "apply", "-u",
                 self.user], stderr=subprocess.PIPE)
            time.sleep(0.7)
            self.assertIsNone(run.poll())
            self.assertTrue((home / ".A").exists())
        said = run.communicate()[1]
        self.assertEqual((run.returncode, said), (0, b""))
        self.assertEqual(locks(home), [])
        self.same_there()
        self.ok(one.rename("t", "A"))
        self.follow()
        with worked_in(home / ".t") as lock:
            status, said = self.other.doveadm("mbj", "apply", "-u", self.user)
            self.assertEqual(status, 75, said)
            self.assertIn("Timeout while waiting for lock", said)
            self.assertEqual(locks(home), [lock])
        self.same_there()


class Spaces(PairCase):
    """Folders in two namespaces, each with a list and its lock."""
    MORE = PairCase.MORE + dovetest.namespace("Second", "sdbox:~/second",
                                              True)

    def test_order(self):
        """Goal: a session at the replica and a run of apply that change the
        same two lists do not wait for each other.  Method: the lock of INBOX's
        list is held until both want it, the run first."""
        one = self.login()
        self.ok(one.append("INBOX", None, None, mail("one")))
        self.ok(one.create("Second/A"))
        self.bring()
        self.ok(one.create("Second/B"))
        self.ok(one.rename("Second/A", "Second/C"))
        self.follow()
        two = self.login_other()
        said = []
        thread = threading.Thread(
            target=lambda: said.append(two.create("Second/own")))
        path = self.other.d / "mail" / self.user / "mail" / "mailboxes.lock"
        with path.open("w") as lock:
            os.chmod(path, 0o666)
            fcntl.lockf(lock, fcntl.LOCK_EX)
            run = subprocess.Popen(
                ["doveadm", "-c", self.other.conf, "mbj", "apply", "-u",
                 self.user], stderr=subprocess.PIPE)
            time.sleep(0.7)
            thread.start()
            time.sleep(0.7)
            self.assertIsNone(run.poll())
            self.assertEqual(said, [])
        self.assertEqual(run.communicate()[1], b"")
        thread.join()
        self.no(said[0], "UNAVAILABLE")  # it is a replica
        self.assertEqual(dovetest.tree_of(two), dovetest.tree_of(one))


if __name__ == "__main__":
    pairtest.main()
