"""Mailboxes that another user shares: what is done to their messages is in
their owner's account, told by whoever does it."""
import random
import subprocess
import threading
import unittest.mock

import dovetest
import pairtest
import test_attributes
from dovetest import append_all
from messagetest import MessageCase, mail
from pairtest import PairCase


def shared(location, separator):
    """Settings: all users' mailboxes, for all users."""
    return (f"namespace shared {{\n  type = shared\n  list = no\n"
            f"  prefix = shared{separator}%%u{separator}\n"
            f"  separator = {separator}\n  location = {location}\n}}\n")


class SharedCase(MessageCase):
    """Two users; what is changed is the first one's."""
    SETTINGS = PairCase.MORE
    PLACE = "sdbox:%%h/mail"
    with_relay = True

    @classmethod
    def setUpClass(cls):
        cls.MORE = shared(cls.PLACE, cls.SEPARATOR) + cls.SETTINGS
        super().setUpClass()

    def setUp(self):
        super().setUp()
        self.one = self.login()
        self.ok(self.one.append("INBOX", None, None, mail("old")))
        for name in ("A", self.at("A", "b")):
            self.ok(self.one.create(self.inside(name)))
            self.ok(self.one.append(self.inside(name), None, None,
                                    mail("old")))
        self.two = self.other()

    def inside(self, name):
        """What the owner calls it."""
        return name if name == "INBOX" else self.PREFIX + name

    def at(self, *names):
        return self.SEPARATOR.join(names)

    def there(self, name):
        """What others call it."""
        return self.at("shared", self.user, name)

    def other(self):
        """A session of another user's."""
        client = self.dovecot.login(self.user + "2")
        self.addCleanup(self.leave, client)
        return client

    def spool(self):
        return list(self.dovecot.d.rglob(f"{self.user}/**/mbj-spool"))

    def all_same(self):
        self.same_mail("INBOX", *(self.inside(name) for name in
                                  ("A", self.at("A", "b"))))

    def quiet(self):
        for line in self.dovecot.log(self.log_since).splitlines():
            if f"({self.user}" in line:
                self.assertNotRegex(line, "mbj: |[Pp]anic|Error", line)

    def drained(self):
        """By the command that a timer runs, and nothing is left."""
        self.assertEqual(len(self.spool()), 1)
        self.assertEqual(self.dovecot.doveadm("mbj", "drain", "-u", self.user),
                         (0, ""))
        self.assertEqual(self.spool(), [])


class Shared(SharedCase):
    def test_day(self):
        """Goal: whatever another user does to messages is in the owner's
        account at once, and nothing of it in his own.  Method: each kind of
        change, one after the other, in INBOX, a folder and one below it,
        where there was mail before; a copy to and from his own."""
        two = self.two
        for name in ("INBOX", "A", self.at("A", "b")):
            for flags in ("()", "(\\Flagged $k)"):
                self.ok(two.append(self.there(name), flags, None,
                                   mail("new")))
                self.all_same()
        self.assertEqual(append_all(two, f'"{self.there("A")}"',
                                    mail("one"), mail("two", 3000)), "OK")
        self.all_same()
        self.ok(two.select(self.there("A")))
        for words in (("STORE", "1:2", "+FLAGS", "(\\Deleted $x)"),
                      ("STORE", "2", "-FLAGS", "(\\Deleted)"),
                      ("COPY", "2:3", self.there("INBOX")),
                      ("MOVE", "3", self.there(self.at("A", "b"))),
                      ("COPY", "2", self.inside("INBOX")),
                      ("EXPUNGE", "1")):
            self.ok(two.uid(*words))
            self.all_same()
        self.ok(two.select("INBOX"))
        self.ok(two.uid("MOVE", "1", self.there("A")))
        self.all_same()
        self.ok(two.unselect())
        self.assertEqual(self.dovecot.doveadm(
            "flags", "add", "-u", self.user + "2", "$adm", "mailbox",
            self.there("A"), "all"), (0, ""))
        self.all_same()
        self.assertEqual(self.spool(), [])
        self.quiet()
        tree = self.mbj("tree", self.socket, self.user + "2", "--json").json()
        self.assertEqual([m["name"] for m in tree["list"]], ["INBOX"])

    def test_locked(self):
        """Goal: another user leaves no file of his own where the owner's lock
        is, which the owner may have no right to.  Method: changes in turns."""
        def locks():
            return list((self.dovecot.d / "mail" / self.user).rglob(
                "mailboxes.lock"))

        for _ in range(2):
            self.ok(self.one.append(self.inside("A"), None, None,
                                    mail("own")))
            self.assertEqual(len(locks()), 1)
            self.ok(self.two.append(self.there("A"), None, None, mail("new")))
            self.assertEqual(locks(), [])
        self.all_same()

    def test_both(self):
        """Goal: two users and two of the owner's sessions at once: the
        account is what Dovecot has.  Method: random commands."""
        rng = random.Random(1)
        names = ("INBOX", "A", self.at("A", "b"))

        def run(client, name_of, seed):
            mine = random.Random(seed)
            for n in range(30):
                name = name_of(mine.choice(names))
                client.append(name, mine.choice(("()", "(\\Seen)")), None,
                              mail(f"{n}"))
                client.select(name)
                client.uid("STORE", f"1:{mine.randrange(1, 6)}",
                           mine.choice(("+FLAGS", "-FLAGS")),
                           mine.choice(("(\\Deleted)", "($k \\Flagged)")))
                client.uid(mine.choice(("COPY", "MOVE")), "*",
                           name_of(mine.choice(names)))
                if mine.randrange(4) == 0:
                    client.expunge()
        several = [(self.two, self.there), (self.other(), self.there),
                   (self.one, self.inside), (self.login(), self.inside)]
        threads = [threading.Thread(target=run, args=(*each,
                                                      rng.randrange(1 << 30)))
                   for each in several]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.all_same()
        self.assertEqual(self.spool(), [])

    def test_folders(self):
        """Goal: folders are their owner's to change, and others are told
        so."""
        name = self.there("A")
        for answer in (self.two.create(self.at(name, "c")),
                       self.two.rename(name, name + "2"),
                       self.two.delete(name)):
            self.no(answer, "by their owner")
        self.same(self.one)


    # ------------------------------------------------- for the owner to settle

    def waits(self, text):
        """Another's message is there, and told by the owner's next turn."""
        stored = self.stored(self.inside("A"))
        self.ok(self.two.append(self.there("A"), None, None, mail(text)))
        self.assertEqual(self.stored(self.inside("A")), stored)
        self.assertIn("mbj-spool for now", self.dovecot.log(self.log_since))

    def test_renamed(self):
        """Goal: what a user changes in another's mailbox that the journal has
        elsewhere is told by the owner's next change, or by drain, with all
        that comes behind it.  Method: the owner's rename without the
        plugin."""
        name = self.inside(self.at("A", "b"))
        self.assertEqual(self.dovecot.doveadm(
            "-o", "mail_plugins=", "mailbox", "rename", "-u", self.user, name,
            self.inside("C")), (0, ""))
        self.ok(self.two.append(self.there("C"), None, None, mail("late")))
        self.waits("behind it")
        self.drained()
        self.same_mail(self.inside("A"), self.inside("C"))
        self.same(self.one)
        self.ok(self.two.append(self.there("C"), None, None, mail("soon")))
        self.same_mail(self.inside("A"), self.inside("C"))
        self.assertEqual(self.spool(), [])

    def test_left(self):
        """Goal: likewise where the owner's process died in a change of his
        folders.  Method: SIGKILL before the outcome."""
        self.relay.arm("outcome")
        self.one.send(f'x RENAME "{self.inside("A")}" "{self.inside("D")}"'
                      "\r\n".encode())
        self.assertTrue(self.relay.held.wait(30), self.log())
        self.dovecot.kill_imap()
        self.relay.arm(None)
        self.two = self.other()
        self.ok(self.two.append(self.there("D"), None, None, mail("late")))
        self.assertEqual(len(self.intents()), 1)
        one = self.login()
        self.ok(one.append("INBOX", None, None, mail("next")))
        self.assertEqual(self.spool(), [])
        self.same_mail("INBOX", self.inside("D"))
        self.same(one)

    def test_died(self):
        """Goal: a message that another user was about to change when his
        process died is settled by the owner's next change, and by others' of
        that mailbox.  Method: SIGKILL before the intent's answer, and before
        the outcome."""
        text = mail("appended")
        for at in ("intent", "outcome"):
            for who, name in ((self.login, self.inside),
                              (self.other, self.there)):
                self.ok(self.two.append(self.there("A"), None, None,
                                        mail("warm")))
                self.relay.arm(at)
                self.two.send(f'x APPEND "{self.there("A")}" {{{len(text)}+}}'
                              "\r\n".encode() + text + b"\r\n")
                self.assertTrue(self.relay.held.wait(30), self.log())
                self.dovecot.kill_imap()
                self.relay.arm(None)
                (left,) = self.intents()
                self.assertEqual(left["kind"], "messages")
                self.ok(who().append(name("A"), None, None, mail("next")))
                self.all_same()
                self.two = self.other()

    def test_away(self):
        """Goal: while the service is away others change as little as the
        owner.  Method: without it; a message that is there after it came
        back."""
        self.stop_service()
        try:
            self.no(self.two.append(self.there("A"), None, None, mail("x")),
                    "not available")
            self.ok(self.two.select(self.there("A")))
            self.no(self.two.uid("STORE", "1", "+FLAGS", "(\\Deleted)"))
        finally:
            self.serve()
        self.ok(self.two.append(self.there("A"), None, None, mail("x")))
        self.all_same()


class Maildir(Shared):
    LOCATION = "maildir:~/Maildir"
    PLACE = "maildir:%%h/Maildir"


class Mdbox(Shared):
    LOCATION = "mdbox:~/mdbox"
    PLACE = "mdbox:%%h/mdbox"


class Elsewhere(Shared):
    """Indexes in a place of their own, and a prefix."""
    LOCATION = "maildir:~/Maildir:INDEX=~/indexes:CONTROL=~/control"
    PLACE = "maildir:%%h/Maildir:INDEX=%%h/indexes:CONTROL=%%h/control"
    SEPARATOR = "."
    PREFIX = "INBOX."


class Private(Shared):
    """Each user has seen messages for himself, the owner, too."""
    LOCATION = "sdbox:~/mail:INDEXPVT=~/private/own"
    PLACE = "sdbox:%%h/mail:INDEXPVT=~/private/%%u"

    def test_seen(self):
        """Goal: what a user has seen is not told as seen by the owner; what
        the owner has seen is, and stays so whatever the other does.  Method:
        STORE, and a session that compares all, since a message was marked
        without the plugin."""
        for box in (self.there("A"), self.there("INBOX")):
            self.ok(self.two.append(box, "(\\Seen \\Flagged)", None,
                                    mail("seen")))
            self.ok(self.two.select(box))
            self.ok(self.two.uid("STORE", "1", "+FLAGS", "(\\Seen)"))
            self.assertIn("\\Seen", str(self.two.uid("FETCH", "1:2", "FLAGS")))
            self.ok(self.two.uid("STORE", "1", "+FLAGS", "($k)"))
        self.all_same()
        self.assertNotIn("\\seen", str(self.stored("A")))
        self.assertIn("$k", str(self.stored("A")))
        self.ok(self.one.select("A"))
        self.ok(self.one.uid("STORE", "1", "+FLAGS", "(\\Seen)"))
        self.all_same()
        seen = self.stored("A")[1][0]
        self.assertIn("\\seen", seen)
        self.ok(self.two.select(self.there("A")))
        self.ok(self.two.uid("STORE", "1", "+FLAGS", "($k2)"))
        self.assertEqual(self.stored("A")[1][0], sorted(seen + ["$k2"]))
        without = self.without()
        self.ok(without.select("A"))
        self.ok(without.uid("STORE", "2", "+FLAGS", "($k3)"))
        self.leave(without)
        self.ok(self.other().append(self.there("A"), None, None, mail("by")))
        self.assertIn("$k3", self.stored("A")[2][0])
        self.all_same()

    def test_read(self):
        """Goal: while the service is away the owner's mail is read, and stays
        unseen; what is the other's alone is no matter of the service's.
        Method: a body, which is marked as seen, of both."""
        self.stop_service()
        try:
            for client, name, is_seen in ((self.one, "A", False),
                                          (self.two, self.there("A"), True)):
                self.ok(client.select(name))
                self.assertIn("old", str(client.uid("FETCH", "1", "BODY[]")))
                self.assertEqual("\\Seen" in str(
                    client.uid("FETCH", "1", "FLAGS")), is_seen)
            self.no(self.one.uid("STORE", "1", "+FLAGS", "(\\Seen)"))
        finally:
            self.serve()
        self.ok(self.one.uid("STORE", "1", "+FLAGS", "($k)"))
        self.all_same()

    def test_forgotten(self):
        """Goal: what Dovecot forgets with a RENAME that the owner has seen,
        which no number shows, is not what the journal has behind the next
        session's first change there."""
        self.ok(self.one.select("A/b"))
        self.ok(self.one.uid("STORE", "1", "+FLAGS", "(\\Seen)"))
        self.ok(self.one.unselect())
        self.all_same()
        self.ok(self.one.rename("A/b", "C"))
        self.assertIn("\\seen", str(self.stored("C")))
        self.ok(self.login().append("C", None, None, mail("next")))
        self.same_mail("INBOX", "A", "C")


class Apart(SharedCase):
    """Each user has indexes of others' folders for himself: what they say is
    not what the owner's say, nor is the lock of a list the owner's."""
    LOCATION = "maildir:~/Maildir"
    PLACE = "maildir:%%h/Maildir:INDEX=~/shared/%%u"

    def test_apart(self):
        """Goal: nothing is told of what nobody can know, and the owner's next
        session tells it."""
        stored = self.stored("A")
        self.ok(self.two.append(self.there("A"), None, None, mail("new")))
        self.assertEqual(self.stored("A"), stored)
        self.quiet()
        self.ok(self.login().append("A", None, None, mail("next")))
        self.all_same()


class Indexes(Apart):
    """The owner has his elsewhere, and with them his lock."""
    LOCATION = "maildir:~/Maildir:INDEX=~/indexes"
    PLACE = "maildir:%%h/Maildir"


class Others(SharedCase):
    """Owners who come and go, and are spelled in other ways."""
    SETTINGS = "auth_username_format = %Lu\n" + PairCase.MORE
    CONFIG = dovetest.CONFIG.replace("{d}/mail/%u", "{d}/mail/%Lu")

    def test_case(self):
        """Goal: the account is the owner's as he calls himself."""
        self.ok(self.two.append(f"shared/{self.user.upper()}/A", None, None,
                                mail("x")))
        self.all_same()
        self.assertEqual(self.spool(), [])

    def test_namespaces(self):
        """Goal: nobody's mailbox is taken for another's, though Dovecot gives
        up a namespace that nobody uses, and has a new one in its place.
        Method: folders that are refused in several, then mail in another."""
        owners = [f"own{n}" for n in range(8)] + [self.user]
        for owner in owners[:-1]:
            one = self.dovecot.login(owner)
            self.ok(one.append("INBOX", None, None, mail("x")))
            self.leave(one)
        for n in range(5):
            two = self.other()
            self.ok(two.select("INBOX"))
            for owner in owners[:-1]:
                self.no(two.create(f"shared/{owner}/C"), "by their owner")
                self.ok(two.noop())
            self.ok(two.append(self.there("A"), None, None, mail(f"{n}")))
            self.leave(two)
            self.all_same()
        self.assertEqual(list(self.dovecot.d.rglob("mbj-spool")), [])


class Services(SharedCase):
    """Users have services of their own."""
    CONFIG = dovetest.CONFIG.replace("mbj_socket = {socket}",
                                     "mbj_socket = {d}/%u.socket")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        subprocess.run([dovetest.mbjtest.MBJ, "init", cls.home / "p2"],
                       check=True, stdout=subprocess.DEVNULL)
        service = PairCase.begin.__func__(cls, cls.home / "p2",
                                          cls.home / "p2.socket")
        cls.addClassCleanup(service.wait, 60)
        cls.addClassCleanup(service.terminate)

    def setUp(self):
        name = self.id().rsplit("_", 1)[1]
        (self.dovecot.d / f"{name}.socket").symlink_to(self.socket)
        (self.dovecot.d / f"{name}2.socket").symlink_to(self.home / "p2.socket")
        super().setUp()

    def test_services(self):
        """Goal: nobody's service is told of another's account, nor is the
        owner kept from his own."""
        self.ok(self.two.append(self.there("A"), None, None, mail("x")))
        self.assertEqual(self.spool(), [])
        self.ok(self.one.append("INBOX", None, None, mail("y")))
        self.ok(self.one.create("C"))
        self.ok(self.login().append("A", None, None, mail("z")))
        self.all_same()
        self.same(self.one)
        self.quiet()


class Spooling(SharedCase):
    """Changes go on while the service is away."""
    SETTINGS = PairCase.MORE + "plugin {\n  mbj_when_away = spool\n}\n"

    def test_spooled(self):
        """Goal: others' changes do, too, and are told.  Method: of mailboxes
        that both change, and one that the owner does not; more of them before
        the spool is drained."""
        self.stop_service()
        try:
            self.ok(self.two.append(self.there("A"), None, None, mail("x")))
            self.ok(self.two.append(self.there("A/b"), None, None, mail("y")))
            self.ok(self.one.append("A", None, None, mail("z")))
        finally:
            self.serve()
        self.ok(self.other().append(self.there("INBOX"), None, None,
                                    mail("behind")))
        self.drained()
        self.all_same()
        self.ok(self.two.append(self.there("A"), None, None, mail("x")))
        self.all_same()
        self.assertEqual(self.spool(), [])


class Access(SharedCase):
    """Lists of access say what others may do."""
    SETTINGS = test_attributes.SETTINGS.replace("acl_anyone", "#")

    def test_rights(self):
        """Goal: who may put mail into a folder that he cannot read has it in
        the owner's account, too; nobody's rights are more by it.  Method: a
        folder of full rights, one to insert into, one to look at."""
        for name, rights in (("INBOX", "lrwsite"), ("A", "li"),
                             ("A/b", "lr")):
            self.ok(self.one.setacl(name, self.user + "2", rights))
        two = self.other()
        self.ok(two.append(self.there("INBOX"), None, None, mail("new")))
        self.ok(two.select(self.there("INBOX")))
        self.ok(two.uid("STORE", "1", "+FLAGS", "(\\Deleted $k)"))
        self.ok(two.expunge())
        self.ok(two.append(self.there("A"), None, None, mail("new")))
        self.all_same()
        self.assertEqual(len(self.stored("A")), 2)
        self.no(two.append(self.there("A/b"), None, None, mail("new")))
        self.no(two.select(self.there("A")))
        self.all_same()
        self.quiet()


class There(PairCase):
    """To a second Dovecot, and at that."""
    MORE = shared("sdbox:%%h/mail", "/") + PairCase.MORE

    def test_there(self):
        """Goal: another user's changes are at the second Dovecot, where he can
        no more change what is shared than what is his own."""
        one, box = self.login(), f"shared/{self.user}/A"
        self.ok(one.append("INBOX", None, None, mail("in")))
        self.ok(one.create("A"))
        self.ok(one.append("A", None, None, mail("first")))
        two = self.dovecot.login(self.user + "2")
        self.addCleanup(self.leave, two)
        for text in ("second", "third"):
            self.ok(two.append(box, "(\\Flagged)", None, mail(text)))
        self.ok(two.select(box))
        self.ok(two.uid("STORE", "1:2", "+FLAGS", "(\\Deleted)"))
        self.ok(two.uid("EXPUNGE", "1"))
        self.ok(two.uid("MOVE", "2", "INBOX"))
        self.follow()
        self.apply()
        self.same_there()
        two = self.other.login(self.user + "2")
        self.addCleanup(self.leave, two)
        self.no(two.append(box, None, None, mail("not")))
        self.ok(two.select(box))
        self.no(two.uid("STORE", "3", "+FLAGS", "($k)"))
        self.apply()
        self.same_there()


class TherePrivate(PairCase):
    """What users have seen is in an index of its own, at the second."""
    LOCATION_THERE = Private.LOCATION

    def test_again(self):
        """Goal: a mailbox that goes at the second Dovecot comes again with
        what was seen, though Dovecot leaves the index of what was seen before
        behind.  Method: one that is deleted there, and one that is renamed at
        the first."""
        one = self.login()
        for name in ("A", "B"):
            self.ok(one.create(name))
            for n in range(3):
                self.ok(one.append(name, ("()", "(\\Seen)")[n % 2], None,
                                   mail(f"{n}")))
        self.same_there()
        self.assertEqual(self.other.doveadm(
            "-o", "mail_plugins=", "mailbox", "delete", "-u", self.user,
            "A")[0], 0)
        self.apply()
        self.same_there()
        self.ok(one.rename("B", "C"))
        self.same_there()


class ThereElsewhere(There):
    """Indexes, and with them locks, in a place of their own."""
    LOCATION = Elsewhere.LOCATION
    MORE = shared(Elsewhere.PLACE, "/") + PairCase.MORE


if __name__ == "__main__":
    pairtest.main()
