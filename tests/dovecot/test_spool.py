"""The plugin in a real Dovecot whose service is away, where changes go to a
spool: they are in the journal once it is there again."""
import collections
import imaplib
import os
import re
import subprocess
import sys
import threading
import unittest

# First: the command's tests, in the path from then on, have one of that name.
from test_messages import MessageCase, fetched, mail
import dovetest
from dovetest import mbjtest

RUNS = int(os.environ.get("MBJ_SPOOL_RUNS", "1"))
STEPS = int(os.environ.get("MBJ_SPOOL_STEPS", "10"))
HEAD, RECORD = 12, 61  # bytes


class Sdbox(MessageCase):
    MORE = MessageCase.MORE + (
        "mail_plugins = mbj acl\n"
        "protocol doveadm {\n  mail_plugins = mbj acl doveadm_mbj\n}\n"
        "mail_attribute_dict = file:~/attributes\n"
        "protocol imap {\n  mail_plugins = mbj acl imap_acl\n"
        "  imap_metadata = yes\n}\n"
        "plugin {\n  acl = vfile\n  mbj_when_away = spool\n}\n")
    ROOT = "mail"

    @property
    def spool(self):
        return self.dovecot.d / "mail" / self.user / self.ROOT / "mbj-spool"

    def drain(self, status=0):
        done, said = self.dovecot.doveadm("mbj", "drain", "-u", self.user)
        self.assertEqual(done, status, (said, self.log()))
        return said

    def shown(self, *options, status=0):
        """What doveadm mbj spool says of the user: how many mailboxes."""
        done, said = self.dovecot.doveadm("-f", "tab", "mbj", "spool", "-u",
                                          self.user, *options)
        self.assertEqual(done, status, said)
        lines = said.splitlines()
        self.assertEqual(lines[0].split("\t"), ["since", "seconds",
                                                "mailboxes"])
        return [line.split("\t")[2] for line in lines[1:]]

    def same_all(self):
        """Names, and each mailbox's messages."""
        client = self.login()
        self.same(client)
        self.same_mail(*(path for path, told in dovetest.tree_of(
            client).items() if told is not None))
        self.assertFalse(self.spool.exists())

    def before(self):
        """Mailboxes with mail, as the journal knows them."""
        one = self.login()
        for name in ("A", "B", "C", "A/below"):
            self.ok(one.create(name))
            for text in ("x", "y", "z"):
                self.append(one, name, f"{name} {text}")
        self.append(one, "INBOX", "in")
        self.ok(one.subscribe("B"))
        self.same_all()
        return one

    def refused(self, one):
        """Of what Dovecot refuses nothing comes."""
        tree = dovetest.tree_of(one)
        for answer in (one.create("A"), one.create("INBOX"),
                       one.rename("A", "B"), one.delete("none")):
            self.no(answer)
        self.assertEqual(dovetest.tree_of(one), tree)

    def changes(self, one, two):
        """Of all kinds, by two sessions and a delivery."""
        self.ok(one.rename("A", "T"))
        self.ok(two.rename("B", "A"))
        self.ok(one.rename("T", "B"))
        self.append(one, "A", "new in A", "(\\Seen $x)")
        self.append(two, "B", "new in B, and soon gone")
        self.ok(one.select("B"))
        self.ok(one.uid("STORE", "2", "+FLAGS", "(\\Flagged $y)"))
        self.ok(one.uid("STORE", "1,4", "+FLAGS", "(\\Deleted)"))
        self.ok(one.expunge())
        self.ok(one.uid("MOVE", "2", "A"))
        self.ok(one.delete("C"))
        self.ok(one.create("C"))
        self.append(one, "C", "another C")
        self.ok(two.create("gone"))
        self.append(two, "gone", "gone")
        self.ok(two.delete("gone"))
        self.ok(two.subscribe("C"))
        self.ok(one.unsubscribe("B"))
        self.assertEqual(self.deliver("new", "delivered"), 0, self.log())
        self.ok(one.xatom("SETMETADATA", "A", '(/private/comment "said")'))
        self.ok(one.xatom("SETMETADATA", '""',
                          '(/private/comment "of all")'))
        self.ok(one.setacl("A", "bob", "lr"))
        self.ok(two.select("A"))
        self.ok(two.uid("FETCH", "1", "(BODY[])"))  # sets \\Seen
        self.ok(two.uid("COPY", "1:2", "B/below"))

    def test_day(self):
        """Goal: whatever users do while the service is away is in the journal
        when it is there again, and what is not in it is shown.  Method: it is
        stopped in the middle of sessions."""
        one, two = self.before(), self.login()
        at = self.end()
        self.assertEqual(self.shown(), [])
        self.stop_service()
        self.refused(one)
        self.changes(one, two)
        self.assertEqual((self.spool.stat().st_size - HEAD) % RECORD, 0)
        self.assertGreater(int(self.shown()[0]), 5)
        self.shown("-m", "1000")
        for wrong in ("0", "-1", "x", "", str(1 << 32)):
            done, said = self.dovecot.doveadm(
                "mbj", "spool", "-u", self.user, "--max-age", wrong)
            self.assertEqual(done, os.EX_USAGE, said)
            self.assertIn("is a number of seconds, 1 to 4294967295, not "
                          f'"{wrong}"', said)
        done, said = self.dovecot.doveadm("mbj", "apply", "-u", self.user)
        self.assertEqual((done, "never had" in said), (75, True), said)
        self.assertIn("nobody listens", self.drain(75))
        self.assertEqual(self.log().count("changes go to"), 3)  # and delivery
        self.serve()
        self.assertEqual(self.end(), at)
        self.drain()
        self.same_all()
        self.assertEqual(
            self.mbj("metadata", self.socket, self.user, "A", "--json").json()
            ["list"][0]["value"], "said")
        self.assertEqual(self.shown(), [])
        at = self.end()
        self.drain()
        self.assertEqual(self.end(), at)
        self.assertIn("bob", self.mbj("acl", self.socket, self.user, "A").out)
        self.stop_service()
        self.mbj("init", self.r, "--role", "replica")
        self.agree()
        for path in ("A", "B", "C", "B/below", "new"):
            self.assertEqual(self.stored(path, self.p),
                             self.stored(path, self.r))
        self.serve()

    def test_session(self):
        """Goal: the user's next change tells what is in the spool before
        itself.  Method: sessions that go on, of which one changes another
        mailbox."""
        one, two = self.before(), self.login()
        self.stop_service()
        self.append(one, "A", "away")
        self.ok(one.rename("B", "B2"))
        self.serve()
        self.append(two, "C", "there")
        self.same_all()
        self.ok(two.rename("B2", "B"))
        self.same_all()

    def test_access(self):
        """Goal: nobody is let in for mail that he is not to see, between two
        groups of what is told.  Method: rights are taken before mail comes, and
        given behind mail that goes; the order of both in the journal."""
        one = self.before()
        self.ok(one.setacl("A", "bob", "lr"))
        self.same_all()
        at = self.end()
        self.stop_service()
        self.ok(one.deleteacl("A", "bob"))
        self.append(one, "A", "not for bob")
        self.ok(one.select("B"))
        self.ok(one.uid("STORE", "1", "+FLAGS", "(\\Deleted)"))
        self.ok(one.expunge())
        self.ok(one.setacl("B", "eve", "lr"))
        self.serve()
        self.drain()
        self.same_all()
        self.stop_service()
        told = re.findall(r"(message-append|message-expunge|attr) .*?"
                          r'(name "bob" value ""|name "eve"|uids? \d+)',
                          self.mbj("log", self.p, "--from", at + 1).out)
        self.serve()
        self.assertEqual([what for what, _ in told],
                         ["attr", "message-append", "message-expunge", "attr"],
                         told)

    def test_moved(self):
        """Goal: a message that moved is at no time in neither mailbox.  Method:
        it comes from mailboxes that were changed before, of which one goes."""
        one = self.before()
        at = self.end()
        self.stop_service()
        for name, to in (("B", "A"), ("C", "A"), ("C", "new")):
            self.ok(one.select(name))
            self.ok(one.uid("STORE", "1:*", "+FLAGS", "(\\Seen)"))
            if to == "new":
                self.ok(one.create(to))
            self.ok(one.uid("MOVE", "2" if to == "A" else "3", to))
        self.ok(one.unselect())
        self.ok(one.delete("C"))
        self.serve()
        self.drain()
        self.same_all()
        self.stop_service()
        told = re.findall(r"(append|expunge|mailbox-delete) ",
                          self.mbj("log", self.p, "--from", at + 1).out)
        self.serve()
        # The last but one is into a mailbox that had to be made before.
        self.assertEqual(told, ["append", "append", "mailbox-delete",
                                "append", "expunge"])

    def test_first(self):
        """Goal: a user who comes for the first time while the service is away
        has an account afterwards."""
        self.stop_service()
        one = self.login()
        self.append(one, "INBOX", "first")
        self.ok(one.create("A"))
        self.append(one, "A", "second")
        self.serve()
        self.drain()
        self.same_all()

    def test_inbox(self):
        """Goal: INBOX may get another name meanwhile, and the next one is
        another mailbox."""
        one = self.before()
        self.stop_service()
        if one.rename("INBOX", "old")[0] == "OK":
            self.append(one, "old", "more")
            # Nothing is left by which the storage is known for the account's.
            for name in ("old", "A/below", "A", "B", "C"):
                self.ok(one.delete(name))
        self.append(self.login(), "INBOX", "new")
        self.serve()
        self.drain()
        self.same_all()

    def test_torn(self):
        """Goal: a file that cannot be read loses nothing: all is compared.
        Method: it is cut, emptied of sense, and begun by somebody killed."""
        one = self.before()
        for damage, status in ((lambda b: b[:-7], 0), (lambda b: b"", 75)):
            self.stop_service()
            self.append(one, "A", "torn")
            self.append(one, "B", "torn")
            self.spool.write_bytes(damage(self.spool.read_bytes()))
            self.assertEqual(self.shown(), ["all"])
            self.shown("-m", "1000", status=status)  # of an age, or of none
            self.append(one, "C", "behind it")
            self.assertEqual(self.shown(), ["all"])
            self.serve()
            self.drain()
            self.same_all()

    def test_reign(self):
        """Goal: what others made while another host was primary does not go
        when this host's spool meets it.  Method: a restored store, in which
        the user got mail and a mailbox, stands where the first one was; and
        that one again."""
        case, first, new = type(self), self.p, self.home / "new"
        one = self.before()
        self.append(one, "C", "behind the first turn")
        self.stop_service()
        self.append(one, "C", "away")
        self.mbj("backup", first, self.home / "b")
        self.mbj("restore", self.home / "b", new, "--role", "primary")
        self.mbj("deliver", new, self.user, "C", stdin=mail("elsewhere"))
        self.mbj("set", new, self.user, stdin=b'{"create": {"k": {"name": '
                 b'"NEW", "parentId": null}}}')
        case.store = new
        self.serve()
        try:
            at = self.stored("C"), self.mbj("tree", self.socket,
                                            self.user).out
            noted = self.spool.read_bytes()
            self.assertIn("another reign", self.drain(75))
            self.append(one, "C", "and on")
            self.append(self.login(), "INBOX", "and on")
            self.logged("another reign")
            self.assertEqual((self.stored("C"), self.mbj(
                "tree", self.socket, self.user).out), at)
            self.assertTrue(self.spool.read_bytes().startswith(noted))
        finally:
            self.stop_service()
            case.store = first
            self.serve()
        self.drain()
        self.same_all()

    def test_applied(self):
        """Goal: a spool is told in another reign where a run of apply has
        brought all that the journal has, and not where one only began to.
        Method: a restored store in which the user got a mailbox and mail; a
        mailbox of that name in the way stops the run before it brings any."""
        case, first, new = type(self), self.p, self.home / "applied"
        own = ("-o", "mail_plugins=", "mailbox")
        one = self.before()
        self.stop_service()
        self.mbj("backup", first, self.home / "b2")
        self.mbj("restore", self.home / "b2", new, "--role", "primary")
        self.mbj("set", new, self.user, stdin=b'{"create": {"k": {"name": '
                 b'"NEW", "parentId": null}}}')
        for name in ("C", "NEW"):
            self.mbj("deliver", new, self.user, name, stdin=mail("elsewhere"))
        case.store = new
        self.serve()
        try:
            self.assertEqual(self.dovecot.doveadm(
                *own, "create", "-u", self.user, "NEW")[0], 0)
            self.assertEqual(subprocess.run(
                ["doveadm", "-c", self.dovecot.conf, "-o", "mail_plugins=",
                 "save", "-u", self.user, "-m", "NEW"], input=mail("own"),
                check=False).returncode, 0)
            self.assertEqual(self.dovecot.doveadm(
                "mbj", "apply", "-u", self.user)[0], 75)
            self.assertEqual(self.dovecot.doveadm(
                *own, "delete", "-u", self.user, "NEW")[0], 0)
            self.stop_service()
            self.append(one, "A", "away")
            self.serve()
            at = self.stored("C"), self.stored("NEW")
            self.assertIn("another reign", self.drain(75))
            self.assertEqual((self.stored("C"), self.stored("NEW")), at)
            # It is given up, and a run ends.
            self.spool.unlink()
            self.assertEqual(self.dovecot.doveadm(
                "-o", "mail_plugins=", "expunge", "-u", self.user, "mailbox",
                "A", "subject", "away")[0], 0)
            self.assertEqual(self.dovecot.doveadm(
                "mbj", "apply", "-u", self.user), (0, ""))
            self.stop_service()
            self.append(self.login(), "A", "away again")
            self.serve()
            self.drain()
            self.assertEqual((self.stored("C"), self.stored("NEW")), at)
            self.same_all()
        finally:
            self.stop_service()
            case.store = first
            self.serve()

    def test_other(self):
        """Goal: a message that the journal has under the UID of one that came
        in here is not taken for it, neither goes, and other mailboxes go on.
        Method: it is put into the store while the service is away."""
        one = self.before()
        self.stop_service()
        for name in ("C", "A"):
            self.append(one, name, "away")
        self.mbj("deliver", self.p, self.user, "C", stdin=mail("elsewhere"))
        self.serve()
        at = self.stored("C")
        self.assertIn("is another one in the journal", self.drain(75))
        self.append(one, "C", "and on")
        self.append(self.login(), "C", "and on")
        self.assertEqual(self.stored("C"), at)
        self.assertEqual(len(fetched(self.login(), "C")), 6)
        self.same_mail("A")
        self.assertEqual(self.shown(), ["1"])
        self.drain(75)

    def test_inbox_torn(self):
        """Goal: whose storage it is is known from the first change behind
        damage on.  Method: all that shows it goes, and INBOX's name."""
        if self.ROOT != "mail":
            self.skipTest("a Maildir's INBOX keeps its name")
        one = self.before()
        self.stop_service()
        self.append(one, "A", "x")
        self.spool.write_bytes(self.spool.read_bytes()[:-7])
        self.append(one, "A", "behind it")
        self.ok(one.rename("INBOX", "old"))
        for name in ("old", "A/below", "A", "B", "C"):
            self.ok(one.delete(name))
        self.append(self.login(), "INBOX", "new")
        self.serve()
        self.drain()
        self.same_all()

    def test_back(self):
        """Goal: a mailbox that comes back with the GUID of one that went, and
        gets mail while the service is away, is told under its new GUID, mail
        and all; and nothing of the spool is given up where the service goes
        away once more before it has heard of the new GUID.  Method: its files
        are put back; nothing reaches the service once the GUID is noted."""
        if self.ROOT != "mail":
            self.skipTest("one format's files are enough")
        one = self.before()
        self.leave(one)
        boxes, kept = self.spool.parent / "mailboxes", self.home / "C"
        subprocess.run(["cp", "-a", boxes / "C", kept], check=True)
        one = self.login()
        self.ok(one.delete("C"))
        self.same(one)
        self.leave(one)
        self.stop_service()
        subprocess.run(["cp", "-a", kept, boxes / "C"], check=True)
        one = self.login()
        self.ok(one.create("N"))
        for name in ("N", "C", "A"):
            self.append(one, name, "away")
        self.serve()
        noted = self.spool.read_bytes()

        def before(_):
            if self.spool.read_bytes() != noted:
                raise OSError("away")
        relay = dovetest.Relay(self.home / "cut", self.socket)
        self.addCleanup(relay.close)
        relay.before = before
        done, said = self.dovecot.doveadm(
            "-o", f"plugin/mbj_socket={relay.path}", "mbj", "drain", "-u",
            self.user)
        self.assertEqual(done, 75, said)
        self.drain()
        self.assertEqual(len(self.stored("C")), 4)
        self.same_all()

    def test_nowhere(self):
        """Goal: what cannot be noted is refused, with the reason.  Method:
        something else has the name under which it is made."""
        one = self.before()
        self.stop_service()
        blocking = self.spool.with_suffix(".new")
        blocking.mkdir()
        at = dovetest.tree_of(one), fetched(self.login(), "A")
        self.no(one.append("A", "()", None, mail("no")), "its spool")
        self.no(one.rename("A", "T"), "its spool")
        self.assertEqual((dovetest.tree_of(one), fetched(self.login(), "A")),
                         at)
        self.logged("and no spool: ")
        blocking.rmdir()
        self.no(one.create(dovetest.encode("a\x7fb")), "cannot have")
        self.no(one.rename("A", dovetest.encode("a\x7fb")), "cannot have")
        self.serve()
        self.append(one, "B", "yes")
        self.same_all()

    def step(self, client, rng, text):
        names = ["INBOX", "A", "B", "C", "D", "A/below"]
        box, other = rng.sample(names, 2)
        step = rng.randrange(10)
        if step < 2:
            client.append(box, "(\\Seen)", None, mail(text))
        elif step == 2:
            self.deliver(box, text)
        elif step == 3:
            client.rename(box, other)
        elif step == 4:
            client.create(box)
        elif step == 5 and box != "INBOX":
            client.delete(box)
        elif client.select(box)[0] == "OK":
            first = rng.randrange(1, 9)
            client.uid("STORE", f"{first}:{first + 2}", "+FLAGS",
                       rng.choice(("(\\Seen)", "(\\Deleted $k)")))
            if step == 6:
                client.uid("COPY", str(first), other)
            elif step == 7:
                client.uid("MOVE", str(first), other)
            elif step == 8:
                client.expunge()
            client.unselect()

    def work(self, seed):
        """Steps of one session, whatever Dovecot says to each."""
        rng = mbjtest.random.Random(seed)
        client = self.login()
        for number in range(STEPS):
            try:
                self.step(client, rng, f"{seed} {number}")
            except imaplib.IMAP4.error:  # another has the selected name
                client = self.login()

    def test_crowd(self):
        """Goal: sessions that go on while the service comes and goes leave the
        journal with what Dovecot has.  Method: steps from a seed."""
        rng = mbjtest.seed()
        self.before()
        crowd = [threading.Thread(target=self.work,
                                  args=(rng.randrange(1 << 30),))
                 for _ in range(3)]
        for each in crowd:
            each.start()
        while any(each.is_alive() for each in crowd):
            self.stop_service()
            crowd[0].join(rng.random())
            self.serve()
            crowd[1].join(rng.random())
        for each in crowd:
            each.join()
        self.drain()
        self.same_all()

    CALLS = ("write", "pwrite64", "sendto", "sendmsg", "rename", "unlink",
             "fsync", "fdatasync", "link", "mkdir", "ftruncate")

    def traced(self, words, stdin, *options):
        """Runs doveadm.  Returns: calls that change files, or ask the service,
        each with how many of its kind there were up to it."""
        log = self.home / "trace"
        subprocess.run(
            ["strace", "-o", log, "-e", "trace=" + ",".join(self.CALLS),
             *options, "doveadm", "-c", self.dovecot.conf, *words],
            check=False, capture_output=True, input=stdin)
        counts, points = collections.Counter(), []
        for call in re.findall(r"^(\w+)\(", log.read_text(), re.M):
            counts[call] += 1
            points.append((call, counts[call]))
        return points

    def killed(self, rng, words, stdin=b""):
        call, count = rng.choice(self.traced(words, stdin))
        self.traced(words, stdin, "-e",
                    f"inject={call}:signal=KILL:when={count}")
        self.dovecot.unlock_dead()

    def test_killed(self):
        """Goal: wherever a process dies, while it changes or while it tells,
        nothing is missing.  Method: SIGKILL before one of its calls."""
        dovetest.need_strace(self)
        rng = mbjtest.seed()
        self.before()
        for run in range(RUNS):
            self.stop_service()
            self.killed(rng, ("save", "-u", self.user, "-m", "A"), mail("k"))
            self.killed(rng, ("mailbox", "rename", "-u", self.user, "C",
                              f"C{run}"))
            self.killed(rng, ("mailbox", "create", "-u", self.user, "C"))
            if self.login().append("A", "()", None, mail("x"))[0] != "OK":
                # dbox has made its index anew, and says so once.
                self.append(self.login(), "A", "behind it")
            self.serve()
            self.killed(rng, ("mbj", "drain", "-u", self.user))
            self.drain()
            self.same_all()


class Short(Sdbox):
    MORE = Sdbox.MORE + "plugin {\n  mbj_timeout = 2\n}\n"

    def test_order(self):
        """Goal: what moved is in its new mailbox first where that takes many
        turns, too.  Method: it is behind more than one of them tells."""
        one = self.before()
        at = self.end()
        self.stop_service()
        self.ok(one.select("B"))
        self.ok(one.uid("STORE", "1", "+FLAGS", "(\\Seen)"))
        for number in range(300):
            self.ok(one.append("A", "()", None, mail(f"{number}", 2000)))
        self.ok(one.uid("MOVE", "2", "A"))
        self.ok(one.unselect())
        self.serve()
        for _ in range(100):
            if self.dovecot.doveadm("mbj", "drain", "-u", self.user)[0] == 0:
                break
        self.same_all()
        self.stop_service()
        told = re.findall(r"(append|expunge) ", self.mbj(
            "log", self.p, "--from", at + 1).out)
        self.serve()
        self.assertEqual(told.index("expunge"), len(told) - 1, len(told))


class Maildir(Sdbox):
    LOCATION = "maildir:~/Maildir"
    ROOT = "Maildir"


if __name__ == "__main__":
    if not dovetest.can_run():
        print("SKIPPED: there is no Dovecot, or no plugin for it")
        sys.exit(77)
    unittest.main(warnings=os.environ.get("PYTHONWARNINGS", "ignore"))
