"""Access control lists where they are hard: what the journal cannot have, or
has not the room for, and who may read meanwhile."""
import itertools
import os
import subprocess
import sys
import unittest

import dovetest
from pairtest import PairCase, fetched, mail, status_of
from test_attributes import SETTINGS, access_of, entries_of, set_entries

MESSAGES = 7  # the request for a mailbox's messages (journal/wire.h)
ATTRS = 15  # and for its attributes
CONTENTS = 24  # for what all mailboxes have
RELAYS = itertools.count()


class ListCase(PairCase):
    """Mailbox A, which the second has, with a list."""
    MORE = SETTINGS

    def setUp(self):
        super().setUp()
        self.one = self.login()
        self.ok(self.one.create("A"))
        self.ok(self.one.append("A", None, None, mail("first")))
        self.ok(self.one.setacl("A", "bob", "lr"))
        self.bring()

    def behind(self, *words):
        """doveadm at the first, without the plugin."""
        done = subprocess.run(
            ["doveadm", "-c", self.dovecot.conf, "-o", "mail_plugins=acl",
             *words], check=False, capture_output=True)
        self.assertEqual(done.returncode, 0, done)

    def there(self, box="A"):
        """Its list at the second, once that has all."""
        self.bring()
        client = self.login_other()
        return access_of(client, box)

    def mine(self, dovecot, name):
        """The user's one file of that name."""
        (path,) = (p for p in dovecot.d.rglob(name)
                   if f"/{self.user}/" in str(p))
        return path

    def apply_by(self, change, look=None):
        """A run of which change is told each request until it says that it is
        done, and look each request and a session at the second."""
        relay = dovetest.Relay(self.home / f"between{next(RELAYS)}",
                               self.other_socket)
        self.addCleanup(relay.close)
        failed, done = [], []

        def before(kind):
            try:
                if look:
                    client = self.other.login(self.user)
                    look(client)
                    self.leave(client)
                answer = not done and change(kind)
                if answer:
                    done.append(answer)
                    self.follow()
            except OSError:
                raise
            except Exception as error:  # pylint: disable=broad-except
                failed.append(error)

        relay.before = before
        said = self.other.doveadm(
            "mbj", "apply", "-u", self.user, "--socket", relay.path)
        self.assertEqual(failed, [])
        return said

    def same_list(self, box="A"):
        """The list is the same at both, and what some users have by it."""
        here = access_of(self.one, box)
        self.assertEqual(self.there(box), here)
        for user in ("bob", "tom", "eve"):
            self.assertEqual(*(dovecot.doveadm(
                "-o", "mail_plugins=acl", "-o", "plugin/acl_groups=a,b",
                "-o", f"plugin/acl_user={user}", "acl", "rights", "-u",
                self.user, box) for dovecot in (self.dovecot, self.other)))
        self.assertEqual(self.apply(), "")


class Access(ListCase):
    """What the journal cannot have or take, and what is none of it."""

    def fill(self, count):
        """So many entries of METADATA, from before."""
        self.behind("mailbox", "metadata", "set", "-u", self.user, "A",
                    "/private/k0", "v")
        path = self.mine(self.dovecot, "attributes")
        text = path.read_bytes()
        with path.open("ab") as file:
            for n in range(1, count):
                file.write(text.replace(b"k0", b"k%d" % n))

    def test_refused(self):
        """Goal: an entry that the journal cannot have keeps no other one from
        it, is in the log, and leaves no intent.  Method: an identifier with a
        control character, of which Dovecot knows nothing, set without the
        plugin; then rights are taken away."""
        self.behind("acl", "set", "-u", self.user, "A", "user=a\u0085b",
                    "lookup")
        self.ok(self.one.setacl("A", "eve", "l"))
        self.ok(self.one.deleteacl("A", "bob"))
        self.assertEqual(self.intents(), [])
        there = self.there()
        self.assertNotIn("bob", there)
        self.assertEqual(there["eve"], "l")
        self.logged("control characters")
        # what is set so with it is refused, and nothing is set
        self.assertNotEqual(self.dovecot.doveadm(
            "acl", "set", "-u", self.user, "A", "user=c\u0085d", "lookup")[0],
            0)
        self.assertNotIn(b"c\xc2\x85d", self.mine(
            self.dovecot, "dovecot-acl").read_bytes())

    def test_many(self):
        """Goal: of more entries than the journal takes METADATA is left out,
        no right; nor does what fills the journal keep one out.  Method: 1,001
        entries from before; rights that come and go."""
        self.fill(1001)
        self.ok(set_entries(self.one, "A", private__z=b"z"))
        self.assertEqual(self.intents(), [], self.log()[-2000:])
        self.logged("left out: entry /private/z of A")
        self.ok(self.one.setacl("A", "-eve", "lr"))
        self.ok(self.one.deleteacl("A", "bob"))
        self.assertEqual(self.intents(), [])
        there = self.there()
        self.assertEqual(there["-eve"], "lr")
        self.assertNotIn("bob", there)
        self.assertEqual(len(entries_of(self.login_other(), "A")), 999)

    def test_full(self):
        """Goal: one step that the store refuses keeps no other one from it.
        Method: a journal that is full, and a process without METADATA, which
        takes none of it away."""
        self.fill(998)
        self.ok(set_entries(self.one, "A", private__k0=b"v"))
        aside = ("-o", "mail_attribute_dict=")
        for who in ("user=ann", "user=joe", "user=eve"):
            self.dovecot.doveadm("-o", "mail_plugins=acl", "acl", "set", "-u",
                                 self.user, "A", who, "lookup")
        status, said = self.dovecot.doveadm(*aside, "acl", "delete", "-u",
                                            self.user, "A", "user=bob")
        self.assertEqual(status, 0, said)
        self.assertIn("left out: access of joe of A", said)
        self.assertEqual(self.intents(), [])
        self.assertEqual(
            self.mbj("acl", self.socket, self.user, "A").out.split(),
            ["ann", "l", "eve", "l"])

    def test_stuck(self):
        """Goal: of a mailbox whose attributes cannot be read no more than two
        intents are open, and the user's changes go on; they are settled when
        it can.  Method: a list that nobody can read."""
        path = self.mine(self.dovecot, "dovecot-acl")
        text = path.read_bytes()
        path.unlink()
        path.symlink_to(path.name)
        for n in range(5):
            self.assertEqual(self.dovecot.doveadm(
                "acl", "set", "-u", self.user, "A", f"user=u{n}", "lookup")[0],
                75)
            self.assertIn(len(self.intents()), (1, 2))
        self.ok(self.one.create("B"))
        path.unlink()
        path.write_bytes(text)
        self.ok(self.one.create("C"))
        self.assertEqual(self.intents(), [], self.log()[-2000:])
        self.assertEqual(self.there()["bob"], "lr")

    def test_nothing_rises(self):
        """Goal: a change of a list that Dovecot refuses raises no modseq of
        the journal, under which a later one would go.  Method: a list that
        cannot be written; then flags without the plugin."""
        where = self.mine(self.dovecot, "dovecot-acl").parent
        mode = where.stat().st_mode
        where.chmod(0o555)
        status = self.one.setacl("A", "eve", "l")[0]
        where.chmod(mode)
        self.assertEqual((status, self.intents()), ("NO", []))
        self.behind("flags", "add", "-u", self.user, "\\Flagged", "mailbox",
                    "A", "1")
        self.leave(self.one)
        self.ok(self.login().append("A", None, None, mail("second")))
        self.same_there()

    def test_race(self):
        """Goal: a message arrives under no list that was the journal's before
        it.  Method: between a run's reading of lists and of messages rights
        are taken away, and mail comes."""
        def change(kind):
            if kind != MESSAGES:
                return None
            self.ok(self.one.deleteacl("A", "bob"))
            return self.one.append("A", None, None, mail("secret"))

        self.ok(self.one.append("A", None, None, mail("second")))
        self.follow()
        self.assertEqual(self.apply_by(change), (0, ""))
        client = self.login_other()
        self.assertNotIn("bob", access_of(client, "A"))
        self.assertEqual(status_of(client, "A")["MESSAGES"], "3")

    def test_renamed(self):
        """Goal: the mail of a mailbox that is renamed meanwhile comes.
        Method: renamed behind a run's reading of lists."""
        def change(kind):
            return kind == MESSAGES and self.one.rename("A", "B")

        self.ok(self.one.append("A", None, None, mail("second")))
        self.follow()
        self.assertEqual(self.apply_by(change), (0, ""))
        client = self.login_other()
        self.assertEqual(status_of(client, "A")["MESSAGES"], "2")
        self.leave(client)
        self.same_there()

    def test_class(self):
        """Goal: of a list that is longer than the journal takes nothing is left
        out in whose place more would be given.  Method: over a thousand users
        with less than anyone, and one without rights."""
        self.ok(self.one.setacl("A", "anyone", "lr"))
        with self.mine(self.dovecot, "dovecot-acl").open("ab") as file:
            for n in range(1001):
                file.write(b"user=u%04d l\n" % n)
            file.write(b"user=zed \n")
        self.ok(self.one.setacl("A", "eve", "l"))
        self.there()
        self.logged("left out: access of anyone of A")
        for user, rights in (("zed", []), ("u0000", ["lookup"]),
                             ("u1000", [])):
            self.assertEqual(self.other.doveadm(
                "-o", "mail_plugins=acl", "-o", f"plugin/acl_user={user}",
                "acl", "rights", "-u", self.user, "A")[1].split(),
                ["Rights"] + rights, user)

    def test_internal(self):
        """Goal: what Dovecot keeps for itself is not set from the journal, and
        the rest is.  Method: such entries of another producer, which names
        them; the second's dictionary."""
        inner = "/private/vendor/vendor.dovecot/pvt/"
        for box, name in (("A", inner + "crypt/active"),
                          ("", inner + "crypt/active"),
                          ("A", "/private/other")):
            self.mbj("setmetadata", self.socket, self.user, box, name,
                     "value")
        self.follow()
        for _ in range(2):
            said = self.other.doveadm("mbj", "apply", "-u", self.user)
            self.assertEqual((said[0], said[1].count("is Dovecot's own")),
                             (0, 2), said)
        text = self.mine(self.other, "attributes").read_bytes()
        self.assertIn(b"other", text)
        self.assertNotIn(b"crypt", text)

    def test_empty(self):
        """Goal: an entry without rights arrives as that, and goes.  Method:
        lists over IMAP, of which one has nothing but such; what users have who
        are in more than one entry."""
        for name, rights in (("$a", "l"), ("$a", '""'), ("$b", "lr"),
                             ("tom", "l"), ("tom", '""'), ("-tom", "w"),
                             ("-eve", "w"), ("-eve", '""'), ("anyone", "l")):
            self.ok(self.one.setacl("A", name, rights))
        self.same_list()
        self.ok(self.one.setacl("A", "anyone", '""'))
        self.ok(self.one.deleteacl("A", "bob"))
        self.ok(self.one.setacl("A", "$b", '""'))
        self.same_list()
        self.ok(self.one.deleteacl("A", "tom"))
        self.ok(self.one.deleteacl("A", "-eve"))
        self.ok(self.one.setacl("A", "$a", "l"))
        self.same_list()


class Order(ListCase):
    """Nobody has mail there that he never had at the first."""

    def remove(self, uid):
        self.ok(self.one.select("A"))
        self.ok(self.one.uid("STORE", str(uid), "+FLAGS", "(\\Deleted)"))
        self.ok(self.one.expunge())
        self.ok(self.one.close())

    def see(self, client):
        """Its list, and UIDs of its mail."""
        return access_of(client, "A"), set(fetched(client, "A"))

    def run_seen(self, change):
        """A run, and what was there at each of its requests."""
        seen = []
        self.follow()
        self.assertEqual(self.apply_by(
            change, lambda client: seen.append(self.see(client))), (0, ""))
        client = self.login_other()
        return seen + [self.see(client)]

    def shut(self, user, uid, seen):
        """Whom it was not for never has it."""
        for access, uids in seen:
            self.assertFalse(user in access and uid in uids, (user, seen))

    def test_behind(self):
        """Goal: rights that were given when mail had gone arrive behind its
        going, also where mail comes, and others lost their rights before.
        Method: all of it between two runs, each request seen."""
        self.ok(self.one.deleteacl("A", "bob"))
        self.ok(self.one.setacl("A", "ann", "lrs"))
        self.ok(self.one.append("A", None, None, mail("secret")))
        self.remove(1)
        self.ok(self.one.setacl("A", "eve", "lr"))
        self.ok(self.one.setacl("A", "ann", "lri"))
        seen = self.run_seen(lambda kind: None)
        self.shut("bob", 2, seen)
        self.shut("eve", 1, seen)
        self.assertEqual(seen[0][1], {1})
        self.assertEqual((seen[-1][0]["eve"], seen[-1][0]["ann"],
                          seen[-1][1]), ("lr", "ilr", {2}))
        self.assertEqual(self.apply(), "")

    def test_later(self):
        """Goal: a list of later than the content gives nothing before that.
        Method: mail goes, and rights are given, between a run's reading of
        what there is and of who may have it; where mail comes, and where there
        is none but somebody to be let in already."""
        def later(uid, user):
            behind = []

            def change(kind):
                if kind == MESSAGES:
                    behind.append(kind)
                if kind != ATTRS or not behind:
                    return None
                self.remove(uid)
                return self.one.setacl("A", user, "lr")

            seen = self.run_seen(change)
            self.shut(user, uid, seen)
            self.assertEqual(seen[-1][0][user], "lr")
            self.assertNotIn(uid, seen[-1][1])

        self.ok(self.one.append("A", None, None, mail("second")))
        later(1, "eve")
        self.settle()
        # not by Dovecot, which would raise HIGHESTMODSEQ
        self.mbj("setacl", self.socket, self.user, "A", "joe", "lr")
        later(2, "ann")

    def settle(self):
        """The last run has nothing to do."""
        for _ in range(3):
            self.bring()

    def test_alone(self):
        """Goal: without news of mail a list comes in one run, and where nothing
        is new nobody asks more than once.  Method: the requests of a run."""
        kinds = []

        def note(kind):
            kinds.append(kind)

        self.settle()
        self.assertEqual(self.apply_by(note), (0, ""))
        # the account's with INBOX's
        self.assertEqual([kinds.count(kind) for kind in (
            ATTRS, CONTENTS, MESSAGES)], [3, 1, 0])
        self.ok(self.one.setacl("A", "eve", "lr"))
        self.assertEqual(self.there()["eve"], "lr")

    def test_lasts(self):
        """Goal: who is to be let in is not where the mailbox's mail is not made
        right, and it is said once; the next run lets him in.  Method: the
        service goes away; mail that is not the journal's."""
        def gone(kind):
            if kind == MESSAGES:
                raise OSError("gone")

        self.remove(1)
        self.ok(self.one.setacl("A", "bob", "ls"))
        self.ok(self.one.setacl("A", "eve", "lr"))
        self.follow()
        status, said = self.apply_by(gone)
        client = self.login_other()
        access, uids = self.see(client)
        self.leave(client)
        self.assertEqual((status, uids, access["bob"]), (75, {1}, "l"), said)
        self.assertNotIn("eve", access)
        self.assertEqual(said.count("A: nobody else is let in"), 1, said)
        self.assertEqual(self.there()["bob"], "ls")
        self.assertEqual(subprocess.run(
            ["doveadm", "-c", self.other.conf, "-o", "mail_plugins=", "save",
             "-u", self.user, "-m", "A"], input=b"Subject: own\r\n\r\n",
            check=False).returncode, 0)
        self.ok(self.one.setacl("A", "joe", "lr"))
        self.follow()
        status, said = self.other.doveadm("mbj", "apply", "-u", self.user)
        self.assertEqual((status, said.count("A: nobody else is let in")),
                         (75, 1), said)
        client = self.login_other()
        self.assertNotIn("joe", access_of(client, "A"))


class Defaults(ListCase):
    """Where a mailbox has no entry for them, INBOX's list is for anyone."""
    MORE = SETTINGS.replace("  acl = vfile\n", "  acl = vfile\n"
                            "  acl_defaults_from_inbox = yes\n")

    def test_anyone(self):
        """Goal: whom an entry without rights shuts out at the first it shuts
        out at the second.  Method: anyone may read INBOX, and not A."""
        self.ok(self.one.setacl("INBOX", "anyone", "lr"))
        for rights in ("l", '""'):
            self.ok(self.one.setacl("A", "anyone", rights))
        self.ok(self.one.append("A", None, None, mail("secret")))
        self.same_list()
        status, said = self.other.doveadm(
            "-o", "mail_plugins=acl", "-o", "plugin/acl_user=joe", "acl",
            "rights", "-u", self.user, "A")
        self.assertEqual((status, said.split()), (0, ["Rights"]))


if __name__ == "__main__":
    if not dovetest.can_run() or not os.path.exists(dovetest.APPLY):
        print("SKIPPED: there is no Dovecot, or no plugin for it")
        sys.exit(77)
    unittest.main(warnings=os.environ.get("PYTHONWARNINGS", "ignore"))
