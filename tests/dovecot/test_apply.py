"""doveadm mbj apply in a real Dovecot: it has what the replica's store has."""
import collections
import imaplib
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time
import unittest

import dovetest
from dovetest import DovecotCase, mbjtest

RUNS = int(os.environ.get("MBJ_APPLY_RUNS", "2"))
KILLS = os.environ.get("MBJ_APPLY_KILLS", "5")  # or all


class Sdbox(DovecotCase):
    """Store p is edited, replica r is served, Dovecot is made equal to r."""
    # Out of doveadm's own directory it is loaded as any other plugin is.
    MORE = "protocol doveadm {\n  mail_plugins = $mail_plugins doveadm_mbj\n}\n"
    CONTENTS = ("--contents", "zstd")
    GUIDS = True  # messages have some
    MADE = "6d626aff"  # those that apply makes begin with it
    count = 0  # of messages, in all tests

    @classmethod
    def serve(cls):
        """Of r: of p only the command knows."""
        replica = cls.home / "r"
        if not replica.exists():
            subprocess.run([mbjtest.MBJ, "init", replica, "--role",
                            "replica", *cls.CONTENTS], check=True,
                           stdout=subprocess.DEVNULL)
            cls.first, cls.store = cls.store, replica
        super().serve()

    def setUp(self):
        super().setUp()
        self.p, self.r = self.first, self.store
        self.mbj("account", "create", self.p, self.user)
        self.inbox = [m for m in self.listed() if m["name"] == "INBOX"][0]

    # --------------------------------------------------------------- editing

    def listed(self):
        return self.mbj("tree", self.p, self.user, "--json").json()["list"]

    def make(self, rows):
        """The account has INBOX and these: (number, name, number above)."""
        table = [(self.inbox["id"], "INBOX", None)]
        for number, name, parent in rows:
            table.append((self.number(number), name,
                          None if parent is None else self.number(parent)))
        self.mbj("reconcile", self.p, self.user, "--remove-messages",
                 stdin=mbjtest.listing(table))

    def number(self, number):
        """Ids are used once in a store, and tests share one."""
        if number == 0:
            return self.inbox["id"]
        return self.inbox["id"][:24] + f"{number:08x}"

    def follow(self):
        """The replica has what the store has."""
        self.stop_service()
        self.mbj("replay", self.p, self.r)
        self.serve()

    # -------------------------------------------------------------- applying

    def apply(self, status=0, *options):
        done, said = self.dovecot.doveadm("mbj", "apply", "-u",
                                          self.user, *options)
        self.assertEqual(done, status, said)
        return said

    def bring(self, status=0):
        self.follow()
        return self.apply(status)

    def wanted(self):
        """The account's mailboxes: path to id and UIDVALIDITY."""
        return {path: told for path, told in self.told(self.socket).items()
                if told is not None}

    def same_tree(self):
        client = self.login()
        tree = dovetest.tree_of(client)
        self.assertEqual({path: told for path, told in tree.items()
                          if told is not None}, self.wanted(), self.log())
        for path in tree:
            self.assertNotIn("mbj-parked", path)
        self.assertEqual(dovetest.subscribed(client),
                         self.told_subscribed(self.socket))
        client.logout()

    def same(self):
        self.bring()
        self.same_tree()
        self.assertEqual(self.apply(), "")  # nothing is left to do
        self.same_tree()

    # -------------------------------------------------------------- messages

    def guid(self, text):
        """In turns none, dbox's, a Maildir's of another host, and one that
        cannot be that of a file, since it has wrong sizes."""
        lines = text.replace("\r\n", "\n")
        Sdbox.count += 1
        n = Sdbox.count
        sizes = (len(lines), len(lines) + lines.count("\n")) if n % 4 == 2 \
            else (n, n)
        if not self.GUIDS or n % 4 == 0:
            return None
        if n % 4 == 1:
            return f"{n:024x}{os.getpid():08x}"
        return f"1764{n:06}.M{n}P{os.getpid()}.first,S={sizes[0]},W={sizes[1]}"

    def deliver(self, mailbox, text, *flags, guid=None):
        guid = guid or self.guid(text)
        uid = self.mbj("deliver", self.p, self.user, mailbox, "--json",
                       *(() if guid is None else ("--guid", guid)),
                       stdin=text).json()["uid"]
        if flags:
            self.mbj("flag", self.p, self.user, mailbox, uid, *flags)
        return uid

    def wanted_mail(self, path):
        """UID to flags, date and bytes, and UIDNEXT, as the replica has it."""
        listed = self.mbj("messages", self.socket, self.user, path,
                          "--json").json()
        mail = {}
        for m in listed["messages"]:
            body = subprocess.run([mbjtest.MBJ, "cat", self.socket, self.user,
                                   path, str(m["uid"])], check=True,
                                  capture_output=True).stdout
            mail[m["uid"]] = (frozenset(flag.lower() for flag in m["flags"]),
                              m["receivedAt"], body)
        return mail, listed["uidNext"]

    def have_mail(self, client, path):
        self.ok(client.select(dovetest.encode(path), True))
        status, answer = client.status(dovetest.encode(path), "(UIDNEXT)")
        self.assertEqual(status, "OK")
        uidnext = int(re.search(rb"UIDNEXT (\d+)", answer[0]).group(1))
        status, rows = client.uid("FETCH", "1:*",
                                  "(UID FLAGS INTERNALDATE BODY.PEEK[])")
        self.assertEqual(status, "OK")
        mail = {}
        for row in rows:
            if not isinstance(row, tuple):
                continue
            uid = int(re.search(rb"UID (\d+)", row[0]).group(1))
            flags = re.search(rb"FLAGS \(([^)]*)\)", row[0]).group(1)
            date = imaplib.Internaldate2tuple(row[0])
            mail[uid] = (frozenset(flags.decode().lower().split()) -
                         {"\\recent"}, time.mktime(date), row[1])
        return mail, uidnext

    def same_guids(self, client, path):
        """Each message has the journal's, or where there is none one that was
        made."""
        wanted = {m["uid"]: m.get("guid", self.MADE) for m in self.mbj(
            "messages", self.socket, self.user, path,
            "--json").json()["messages"]}
        have = self.guids_in(path, client)
        for uid in wanted.keys() & have.keys():
            if not self.GUIDS and have[uid] == self.MADE:
                wanted[uid] = self.MADE
        self.assertEqual(have, wanted, path)

    def guids_in(self, path, client=None):
        """Of those that were made how they begin."""
        one = client or self.login()
        self.ok(one.select(dovetest.encode(path), True))
        _, rows = one.uid("FETCH", "1:*", "(UID X-GUID)")
        if client is None:
            self.leave(one)
        return {int(uid): self.MADE if guid.startswith(self.MADE.encode())
                else guid.decode() for uid, guid in re.findall(
                    rb"UID (\d+) X-GUID (\S+)\)",
                    b"\n".join(r for r in rows if r))}

    def same_mail(self):
        client = self.login()
        for path in self.wanted():
            wanted, uidnext = self.wanted_mail(path)
            have, have_uidnext = self.have_mail(client, path)
            self.assertEqual(sorted(have), sorted(wanted), path)
            self.assertEqual(have_uidnext, uidnext, path)
            for uid, (flags, date, body) in wanted.items():
                self.assertEqual(have[uid][0], flags, (path, uid))
                self.assertEqual(have[uid][2], body, (path, uid))
                self.assertEqual(time.strftime(
                    "%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(have[uid][1])), date)
            self.same_guids(client, path)
        client.logout()

    # ----------------------------------------------------------------- tests

    def test_mail(self):
        """Goal: messages arrive with UID, flags, keywords, date and bytes, and
        what is changed or expunged later is.  Method: all of that in mailboxes
        that swap meanwhile; a second run does nothing."""
        self.make([(1, "A", None), (2, "B", None)])
        for mailbox in ("INBOX", "A", "B"):
            for n in range(5):
                self.deliver(mailbox, f"Subject: {mailbox} {n}\r\n\r\n" +
                             "x\r\n" * n * 9000, *["\\Seen", "$Kw", "Other"][:n])
        self.same()
        self.assertEqual(any((self.r / "blobs").glob("??/*.zst")),
                         bool(self.CONTENTS))
        self.same_mail()
        self.mbj("rename", self.p, self.user, "A>B", "B>A")
        self.mbj("expunge", self.p, self.user, "A", "2,5")
        self.mbj("flag", self.p, self.user, "A", "--replace", "1,3", "\\Draft",
                 "new")
        self.mbj("flag", self.p, self.user, "B", "--remove", "1:*", "\\Seen",
                 "other")
        self.deliver("B", "Subject: last\r\n\r\n")
        self.mbj("mv", self.p, self.user, "INBOX", "1:2", "A")
        self.same()
        self.same_mail()
        self.mbj("rename", self.p, self.user, "INBOX>Old")
        self.deliver("INBOX", "Subject: new\r\n\r\n")
        self.same()
        self.same_mail()

    def test_inbox(self):
        """Goal: mail of an INBOX that the journal renamed and deleted is not
        the next one's, whose UIDs begin again.  Method: that between two
        runs, with mail in both, and a mailbox below INBOX; with one run
        killed in every place that chance finds."""
        for count in range(3):
            for n in range(3):
                self.deliver("INBOX", f"Subject: {count} {n}\r\n\r\n")
            if count > 0:
                self.follow()
                self.kill(count * 0.03)
            self.same()
            self.same_mail()
            self.mbj("rename", self.p, self.user, "INBOX>Old")
            self.inbox = [m for m in self.listed() if m["name"] == "INBOX"][0]
            self.make([(count + 1, "below", 0)])
        self.deliver("INBOX", "Subject: last\r\n\r\n")
        self.same()
        self.same_mail()

    def test_everybody(self):
        """Goal: doveadm's own way through all users works, and what is wrong
        with one of them keeps no other from its mail.  Method: a list of
        three, of whom the second has no account."""
        users = [self.user, self.user + "2", self.user + "3"]
        for user in (users[0], users[2]):
            if user != self.user:
                self.mbj("account", "create", self.p, user)
            self.mbj("deliver", self.p, user, stdin=f"Subject: {user}\n\n")
        self.follow()
        listed = self.dir / "users"
        listed.write_text("\n".join(users) + "\n")
        status, said = self.dovecot.doveadm("mbj", "apply", "-F", listed)
        self.assertNotEqual(status, 0)
        self.assertIn(users[1], said)
        for user in (users[0], users[2]):
            client = self.dovecot.login(user)
            self.assertEqual(client.select("INBOX"), ("OK", [b"1"]))
            client.logout()

    def test_mine(self):
        """Goal: mail that somebody put into the replica is kept and named, and
        what does not meet it goes on.  Method: saved into INBOX by Dovecot
        under the UID that the journal gives next."""
        self.deliver("INBOX", "Subject: one\r\n\r\n")
        self.same()
        done = subprocess.run(["doveadm", "-c", self.dovecot.conf, "-o",
                               "mail_plugins=", "save", "-u", self.user],
                              input=b"Subject: mine\r\n\r\n", check=False)
        self.assertEqual(done.returncode, 0)
        said = self.apply(75)
        self.assertIn("message UID 2 of INBOX is not the journal's", said)
        self.deliver("INBOX", "Subject: two\r\n\r\n")
        self.deliver("INBOX", "Subject: three\r\n\r\n")
        said = self.bring(75)
        self.assertIn("message UID 2 of INBOX is not the journal's of that "
                      "UID, and is kept", said)
        client = self.login()
        have, _ = self.have_mail(client, "INBOX")
        self.assertEqual([have[uid][2].split()[1] for uid in (1, 2, 3)],
                         [b"one", b"mine", b"three"])

    def test_rotate(self):
        """Goal: whatever changes names at one instant arrives, with GUID and
        UIDVALIDITY.  Method: the scenarios that other replications fail."""
        one = [(1, "A", None), (2, "B", None), (3, "C", None),
               (4, "x", 1), (5, "y", 2), (6, "z", 5)]
        self.make(one)
        self.same()
        for rows in (
                [(2, "A", None), (1, "B", None), (3, "C", None),
                 (4, "x", 1), (5, "y", 2), (6, "z", 5)],  # swap
                [(1, "A", None), (3, "B", None), (2, "C", None),
                 (4, "x", 1), (5, "y", 2), (6, "z", 5)],  # cycle of three
                [(4, "A", None), (1, "x", 4), (3, "B", None),
                 (2, "C", None), (5, "y", 2), (6, "z", 5)],  # A and A/x
                [(4, "A", None), (1, "x", 4), (3, "B", None),
                 (5, "C", None), (6, "y", 5), (2, "z", 6)],  # turned over
                [(4, "a", None), (1, "X", 4), (3, "b", None),
                 (5, "B", None), (6, "Y", 5), (2, "Z", 6)],  # case
                [(4, "b", None), (1, "X", 4), (3, "a", None),
                 (7, "B", None), (6, "Y", 7), (2, "Z", 6)],  # made again
                [(7, "Gr\u00fc\u00dfe & \u6f22", None), (4, "b", 7),
                 (3, "a", 4), (2, "B", 3)],
                []):
            with self.subTest(rows=rows):
                self.make(rows)
                self.same()

    def test_places(self):
        """Goal: names that are only a place in paths become mailboxes and the
        other way round.  Method: a mailbox with children is deleted, made
        again, and its place renamed."""
        self.make([(1, "A", None), (2, "b", 1), (3, "c", 2)])
        self.same()
        self.make([(10, "A", None), (2, "b", 10), (3, "c", 2)])
        self.same()
        self.make([(10, "A", None), (4, "b", 10), (3, "c", 4)])
        self.same()
        self.mbj("rename", self.p, self.user, "A/b/c>D/e/f/c")
        self.same()
        self.mbj("rename", self.p, self.user, "D/e>E", "A>F")
        self.same()
        self.mbj("rename", self.p, self.user, "E/f/c>c")
        self.same()

    def test_aside(self):
        """Goal: a mailbox that takes the name of one which goes below it is
        made aside, as the plan says.  Method: that, in two shapes of
        which one is planned so."""
        self.make([(1, "B", None), (3, "A", None)])
        self.same()
        self.make([(6, "B", None), (1, "B", 6), (3, "C", 6)])
        self.same()
        self.make([(2, "A", None), (4, "B", None), (5, "B", 2)])
        self.same()
        self.make([(7, "B", None), (2, "B", 7), (8, "C", 2), (4, "C", 7)])
        self.same()

    def test_parked(self):
        """Goal: what a killed run left aside is in no list, and comes back to
        its place.  Method: a mailbox is given such a name; others that look
        nearly like it are listed."""
        without = ("-o", "mail_plugins=")
        self.make([(1, "A", None), (2, "b", 1)])
        self.deliver("A", "Subject: a\r\n\r\n")
        self.same()
        parked = "mbj-parked-" + self.number(1)
        for words in (["rename", "A", parked],
                      ["create", "mbj-parked-", parked + "0"]):
            self.assertEqual(self.doveadm(*words, without=without), (0, ""))
        client = self.login()
        self.assertEqual(set(dovetest.tree_of(client)),
                         {"INBOX", "mbj-parked-", parked + "0"})
        client.logout()
        self.assertEqual(self.doveadm("delete", "mbj-parked-", parked + "0",
                                      without=without), (0, ""))
        self.same()
        self.same_mail()

    def test_names(self):
        """Goal: subscriptions are the account's.  Method: of a mailbox, of
        none, removed, and some that Dovecot had."""
        self.make([(1, "A", None)])
        self.mbj("subscribe", self.p, self.user, "A", "none/such")
        self.same()
        self.doveadm("subscribe", "mine", without=("-o", "mail_plugins="))
        self.mbj("unsubscribe", self.p, self.user, "A")
        self.same()

    def test_not_made(self):
        """Goal: a mailbox that could not be made is noted as begun no more:
        what a user makes there is not taken for it.  Method: a file is where
        its directory would be."""
        if self.LOCATION.startswith("maildir"):
            self.skipTest("the file would have another name")
        self.make([(1, "A", None)])
        self.same()
        (note,) = (self.dovecot.d / "mail" / self.user).rglob("mbj-apply.lock")
        (box,) = note.parent.glob("mailboxes/A")
        box.with_name("late").write_text("")
        self.make([(1, "A", None), (2, "late", None)])
        self.bring(75)
        self.assertNotIn("making", note.read_text())
        box.with_name("late").unlink()
        self.same()

    def serve_other(self, store):
        """Another store where the replica was, as long as the test takes."""
        case = type(self)
        self.stop_service()
        case.store = store
        self.serve()

        def back():
            self.stop_service()
            case.store = self.r
            self.serve()
        self.addCleanup(back)

    def test_behind(self):
        """Goal: what came later is not taken for deleted where the replica is
        behind, or is another store's.  Method: one that was replayed to a
        group before the last mailbox; a store of its own with the account; and
        the right one again."""
        self.make([(1, "A", None)])
        self.deliver("A", "Subject: early\r\n\r\n")
        early = self.mbj("status", self.p, "--json").json()["journalEnd"]
        self.make([(1, "A", None), (2, "B", None)])
        self.deliver("B", "Subject: late\r\n\r\n")
        self.same()
        young, other = self.dir / "young", self.dir / "other"
        self.mbj("init", young, "--role", "replica")
        self.mbj("replay", self.p, young, "--until", str(early))
        self.mbj("init", other, "--role", "primary")
        self.mbj("account", "create", other, self.user)
        for store, says in ((young, "an earlier run"), (other, "another store")):
            self.serve_other(store)
            self.assertIn(says, self.apply(75))
            client = self.login()
            self.assertEqual(client.select("B"), ("OK", [b"1"]))
            client.logout()
        self.serve_other(self.r)
        self.assertEqual(self.apply(), "")
        self.same_mail()

    def test_upgraded(self):
        """Goal: what a run of the version before noted is known still: what
        the journal has no more goes, a mailbox, too, and where it is further
        back nothing is changed.  Method: the file is written as that did."""
        def former():
            (known,) = (self.dovecot.d / "mail" / self.user).rglob("mbj-apply")
            head, *boxes = known.read_text().splitlines()
            rows = [" ".join(["mbj-apply", "3", *head.split()[2:5]])]
            for line in boxes:
                words = line.split()
                rows.append(" ".join(words[:3] + words[4:]))
            known.write_text("\n".join(rows) + "\n")
        young = self.dir / "young"
        self.make([(1, "A", None), (2, "B", None)])
        early = self.mbj("status", self.p, "--json").json()["journalEnd"]
        self.mbj("init", young, "--role", "replica")
        self.mbj("replay", self.p, young, "--until", str(early))
        for text in "one", "two":
            self.deliver("A", f"Subject: {text}\r\n\r\n")
        self.same()
        former()
        self.serve_other(young)
        for _ in range(2):  # the second time it is of this version
            self.assertIn("nothing is changed before", self.apply(75))
            client = self.login()
            self.assertEqual(client.select("A"), ("OK", [b"2"]))
            client.logout()
        self.serve_other(self.r)
        self.assertEqual(self.apply(), "")
        former()
        self.mbj("expunge", self.p, self.user, "A", "1")
        self.make([(1, "A", None)])
        self.assertEqual(self.bring(), "")
        self.same_tree()
        self.same_mail()

    def put(self, mailbox, text):
        """Mail that comes here, not from the journal."""
        done = subprocess.run(
            ["doveadm", "-c", self.dovecot.conf, "-o", "mail_plugins=", "save",
             "-u", self.user, "-m", mailbox], input=text.encode(), check=False)
        self.assertEqual(done.returncode, 0)

    def test_deleted(self):
        """Goal: mail of the user's own is not lost with a mailbox that the
        journal deletes.  Method: one with, one without."""
        self.make([(1, "A", None), (2, "B", None)])
        for mailbox in ("A", "B"):
            self.deliver(mailbox, f"Subject: {mailbox}\r\n\r\n")
        self.same()
        self.put("A", "Subject: mine\r\n\r\n")
        self.make([])
        self.assertIn("mailbox A, which the journal deleted, has mail that is "
                      "not the journal's", self.bring(75))
        client = self.login()
        self.assertEqual(client.select("A")[0], "OK")
        self.assertIn(b"mine", client.fetch("1:*", "BODY.PEEK[]")[1][-2][1])
        self.assertEqual(client.select("B")[0], "NO")
        client.logout()

    def test_halfway(self):
        """Goal: a deletion that began, and did not come to its end, is ended.
        Method: what Dovecot writes first of one is put behind the log of a
        mailbox's index."""
        self.make([(1, "A", None), (2, "B", None)])
        self.bring()
        (log,) = [path for path in
                  (self.home / "dovecot/mail" / self.user).rglob(
                      "dovecot.index.log")
                  if path.parts[-2] == ".A" or "A" in path.parts[-3:]]
        with open(log, "ab") as out:
            # 12 bytes, MAIL_TRANSACTION_INDEX_DELETED
            out.write(b"\x80\x80\x80\x83" +
                      0x10020000.to_bytes(4, sys.byteorder) + bytes(4))
        status, said = self.dovecot.doveadm(
            "-o", "mail_plugins=", "mailbox", "status", "-u", self.user,
            "messages", "A")
        self.assertNotEqual(status, 0, said)
        self.make([(1, "A", None), (3, "A2", None)])
        self.follow()
        self.apply()
        self.same()
        self.same_mail()

    def test_account(self):
        """Goal: an account that has the name since is not this user's.
        Method: renamed, another one of the name made and filled."""
        self.make([(1, "A", None)])
        self.deliver("A", "Subject: one\r\n\r\n")
        self.same()
        self.mbj("account", "rename", self.p, self.user, self.user + "-old")
        self.mbj("account", "create", self.p, self.user)
        self.mbj("deliver", self.p, self.user, stdin="Subject: two\n\n")
        self.assertIn("is another one", self.bring(75))
        client = self.login()
        self.assertEqual(client.select("A"), ("OK", [b"1"]))
        client.logout()

    def test_lost(self):
        """Goal: what is in a mailbox that was lost and made again is not taken
        for the journal's.  Method: INBOX's files removed, mail of the user's
        own under the UIDs of the journal's."""
        self.lose_inbox()
        self.keep_mine()

    def lose_inbox(self):
        for number in range(3):
            self.deliver("INBOX", f"Subject: {number}\r\n\r\n")
        self.same()
        home = self.dovecot.d / "mail" / self.user
        for path in [p for p in home.rglob("*") if p.is_file()]:
            if path.parent.name in ("cur", "new", "INBOX", "dbox-Mails",
                                    "storage") or \
                    path.name.startswith(("dovecot.index", "dovecot-uidlist")):
                path.unlink()

    def keep_mine(self):
        for number in range(2):
            self.put("INBOX", f"Subject: mine {number}\r\n\r\n")
        self.apply(75)
        client = self.login()
        have, _ = self.have_mail(client, "INBOX")
        mine = [told for told in have.values() if b"mine" in told[2]]
        self.assertEqual(len(mine), 2, have)

    def test_lost_killed(self):
        """Goal: of a mailbox that was lost nothing is known any more before
        anything comes into the one that is made again: not by the next run
        either.  Method: the run is killed when it asks for bytes."""
        self.lose_inbox()
        where = self.dir / "lost"
        os.chmod(self.dir, 0o755)
        relay = dovetest.Relay(where, self.socket)
        self.addCleanup(relay.close)
        runs = []

        def comes(kind):
            if kind == 23:  # blobs (docs/FORMAT.md)
                runs[0].kill()
                runs[0].wait()
        relay.before = comes
        with open(os.devnull, "wb") as nowhere:
            runs.append(subprocess.Popen(
                ["doveadm", "-c", self.dovecot.conf, "mbj", "apply", "-u",
                 self.user, "--socket", str(where)], stderr=nowhere))
        self.assertEqual(runs[0].wait(60), -9)
        self.dovecot.unlock_dead()
        known, = (self.dovecot.d / "mail" / self.user).rglob("mbj-apply")
        boxes = [line.split() for line in known.read_text().splitlines()[1:]]
        self.assertEqual([words[1:3] for words in boxes], [["0", "0"]])
        self.keep_mine()

    def test_lost_unread(self):
        """Goal: likewise where the run was cut before it asked what is to be in
        it, and what comes there then has as many UIDs.  Method: INBOX, and one
        that is deleted; a relay that ends the connection; the journal expunges
        what has the UIDs of the user's own."""
        self.make([(1, "A", None)])
        for number in range(3):
            self.deliver("A", f"Subject: {number}\r\n\r\n")
        self.lose_inbox()
        self.assertEqual(self.doveadm(
            "delete", "A", without=("-o", "mail_plugins="))[0], 0)
        where = self.dir / "unread"
        os.chmod(self.dir, 0o755)
        relay = dovetest.Relay(where, self.socket)
        self.addCleanup(relay.close)

        def ends(kind):
            if kind == 7:  # messages (docs/FORMAT.md)
                raise OSError("cut")
        relay.before = ends
        self.apply(75, "--socket", str(where))
        for mailbox in ("INBOX", "A"):
            for number in range(6):
                self.put(mailbox, f"Subject: mine {number}\r\n\r\n")
            self.mbj("expunge", self.p, self.user, mailbox, "1:2")
        self.bring(75)
        for mailbox in ("INBOX", "A"):
            self.assertEqual(set(self.guids_in(mailbox)), set(range(1, 7)))

    def test_own(self):
        """Goal: a mailbox that the journal never had is kept and named, a
        new empty one of a wanted name becomes that.  Method: both, made in
        Dovecot."""
        without = ("-o", "mail_plugins=")
        self.make([(1, "A", None)])
        self.same()
        for name in ("Own", "Sent"):
            self.assertEqual(self.doveadm("create", name,
                                          without=without)[0], 0)
        self.make([(2, "A", None), (1, "B", None), (3, "Sent", None)])
        self.assertIn("mailbox Own is not the journal's, and is kept",
                      self.bring(75))
        self.assertEqual(self.doveadm("delete", "Own", without=without)[0], 0)
        self.same()

    def test_guids(self):
        """Goal: a message has the GUID that the journal has, also one that
        another has, unless a Maildir's file could not be named by it.
        Method: dots, slashes and flags in names that have the right sizes;
        some long; one twice at once, and once more."""
        self.make([(1, "A", None)])
        text = "Subject: x\r\n\r\n"  # 14 bytes, 12 with LF
        sizes = ",S=12,W=14"
        bad = ["../../../out" + sizes, "/out" + sizes, ".hidden" + sizes,
               "a/b", "x:2,S" + sizes, "g" * 191 + sizes, "h" * 255]
        good = ["..." if "Maildir" not in self.LOCATION else "x...",
                "twice" + sizes, "twice" + sizes, "i" * 190 + sizes, "+g~",
                "-rf", "x,S=1,W=2"]
        for guid in bad + good:
            self.deliver("A", text, guid=guid)
        self.same()
        self.deliver("A", text, guid="twice" + sizes)
        self.same()
        have = self.guids_in("A")
        if "mdbox" in self.LOCATION:  # Dovecot made none of these
            self.assertEqual(set(have.values()), {self.MADE})
            good, bad, have = [], [], {1: "twice" + sizes}
        if "Maildir" in self.LOCATION:
            self.assertEqual(list(have.values())[:len(bad)],
                             [self.MADE] * len(bad))
            for uid in range(1, len(bad) + 1):
                del have[uid]
            bad = []
        self.assertEqual(list(have.values()), bad + good + ["twice" + sizes])
        self.assertEqual(list(self.dovecot.d.rglob("*out*")), [])
        self.assertEqual(self.dovecot.doveadm("mbj", "verify", "-u",
                                              self.user)[0], 0)

    def test_guid_zero(self):
        """Goal: no GUID has Dovecot end where it makes an index anew.  Method:
        the one that is none to dbox."""
        self.make([(1, "A", None)])
        self.deliver("A", "Subject: x\r\n\r\n", guid="0" * 32)
        self.same()
        done, said = self.dovecot.doveadm(
            "-o", "mail_plugins=", "force-resync", "-u", self.user, "*")
        self.assertEqual(done, 0, said)
        self.assertEqual(self.guids_in("A"), {
            1: "0" * 32 if "Maildir" in self.LOCATION else self.MADE})
        self.assertEqual(self.apply(), "")
        self.assertEqual(self.dovecot.doveadm("mbj", "verify", "-u",
                                              self.user)[0], 0)

    def test_renumbered(self):
        """Goal: what the journal expunges goes where its mailbox gets another
        UIDVALIDITY meanwhile, for which Dovecot makes a Maildir's index anew.
        Method: two change their names."""
        self.make([(1, "A", None), (2, "B", None)])
        for mailbox in "AB":
            for n in range(2):
                self.deliver(mailbox, f"Subject: {n}\r\n\r\n",
                             guid=f"1764000000.M{n}P1.{mailbox}")
        self.same()
        before = dict(self.wanted().values())
        self.mbj("rename", self.p, self.user, "A>B", "B>A")
        for mailbox in "AB":
            self.mbj("expunge", self.p, self.user, mailbox, "1")
        self.same()
        self.same_mail()
        self.assertNotEqual(dict(self.wanted().values()), before)

    def test_noted(self):
        """Goal: a message that a killed run was saving is the journal's,
        whoever has listed it since, and no other is.  Method: two of the
        user's own, of which one is noted."""
        self.make([(1, "A", None)])
        self.same()
        for text in "ab":
            self.put("A", f"Subject: {text}\r\n\r\n")
        first = self.guids_in("A")[1]
        (note,) = (self.dovecot.d / "mail" / self.user).rglob("mbj-apply.lock")
        note.write_text(self.note_line("A", first[1:]) +
                        self.note_line("A", first))
        self.apply(75)
        self.assertEqual(set(self.guids_in("A")), {2})

    def note_line(self, mailbox, guid):
        """What a run notes before it saves that one."""
        return f"guid {self.wanted()[mailbox][0]} {guid}\n"

    def test_noted_copied(self):
        """Goal: a copy that a user makes elsewhere of a message that a killed
        run was saving is the user's, though it has its GUID in dbox.  Method:
        the message is noted, and expunged by the journal before the next
        run."""
        self.make([(1, "A", None), (2, "B", None)])
        self.deliver("A", "Subject: x\r\n\r\n", guid=f"{6:032x}")
        self.same()
        (note,) = (self.dovecot.d / "mail" / self.user).rglob("mbj-apply.lock")
        note.write_text(self.note_line("A", f"{6:032x}"))
        self.assertEqual(self.dovecot.doveadm(
            "-o", "mail_plugins=", "copy", "-u", self.user, "B", "mailbox",
            "A")[0], 0)
        self.mbj("expunge", self.p, self.user, "A", "1")
        self.assertIn("UID 1 of B is not the journal's", self.bring(75))
        self.assertEqual((self.guids_in("A"), set(self.guids_in("B"))),
                         ({}, {1}))

    # The first call by which a message is there, before Dovecot knows of it.
    COMES = r'rename\(.*/u\.1"'

    def test_note_ahead(self):
        """Goal: what comes is noted before the first of it is there.  Method:
        SIGKILL right before that; the next run ends it."""
        dovetest.need_strace(self)
        self.make([(1, "A", None)])
        self.same()
        home, kept = self.keep_home()
        guids = [f"{number:028x}{os.getpid() % 65536:04x}" for number in (3, 4)]
        for guid in guids:
            self.deliver("A", "Subject: x\r\n\r\n", guid=guid)
        self.follow()
        self.traced()
        counts = collections.Counter()
        for line in (self.dovecot.d / "trace").read_text().splitlines():
            call = line.split("(")[0]
            counts[call] += 1
            if re.match(self.COMES, line):
                break
        else:
            self.fail("nothing comes")
        self.dovecot.killed_before(home, kept, call, counts[call])
        shutil.rmtree(kept)
        (lock,) = home.rglob("mbj-apply.lock")
        for guid in guids:
            self.assertIn(self.note_line("A", guid), lock.read_text())
        self.assertEqual("\nnames " in lock.read_text(),
                         "Maildir" in self.LOCATION)
        self.apply_rebuilt()
        self.same_mail()
        self.assertEqual(lock.read_text(), "")

    def test_note_refused(self):
        """Goal: nothing comes that cannot be noted, and the next run brings it.
        Method: the file's disk is full, or fails where it is waited for."""
        dovetest.need_strace(self)
        self.make([(1, "A", None)])
        self.same()
        home = self.dovecot.d / "mail" / self.user
        (lock,) = home.rglob("mbj-apply.lock")
        self.deliver("A", "Subject: x\r\n\r\n", guid=f"{5:032x}")
        self.follow()
        fails = ["pwrite64:error=ENOSPC"]
        if not self.LOCATION.startswith("sdbox"):
            fails.append("fdatasync:error=EIO")
        for fail in fails:
            self.traced("-P", lock, "-e", f"inject={fail}")
            self.assertIn("(INJECTED)",
                          (self.dovecot.d / "trace").read_text(), fail)
            self.assertEqual(self.guids_in("A"), {}, fail)
        self.apply()
        self.same_mail()
        self.assertEqual(lock.read_text(), "")

    def expunged_behind(self, lose):
        """What the journal expunges behind a message of the user's own, with
        which it comes to an end of what is known by UID."""
        self.make([(1, "A", None)])
        self.deliver("A", "Subject: first\r\n\r\n")
        self.same()
        self.put("A", "Subject: mine\r\n\r\n")
        self.mbj("deliver", self.p, self.user, "A", stdin="x")
        self.mbj("expunge", self.p, self.user, "A", "2")  # has that UID
        for n in range(8):
            text = f"Subject: {n}\r\n\r\n"
            if n == 2:  # UID 5
                self.mbj("deliver", self.p, self.user, "A", stdin=text)
            else:
                self.deliver("A", text, guid=f"{self.user}{n}")
        self.bring(75)
        self.assertEqual(set(self.guids_in("A")), set(range(1, 11)))
        self.mbj("expunge", self.p, self.user, "A", "4:6")
        self.follow()
        lose()
        self.apply(75)
        return set(self.guids_in("A"))

    def test_own_before(self):
        """Goal: what the journal expunges goes, wherever mail of the user's own
        is, which stays."""
        self.assertEqual(self.expunged_behind(lambda: None),
                         {1, 2, 3, 7, 8, 9, 10})

    def test_index_away(self):
        """Goal: where the index is gone that says what came from the journal,
        what it has is known by its GUID, and all else is kept.  Method: of
        three that it expunged two had GUIDs, one was given one that says
        so."""
        if "mdbox" in self.LOCATION:
            self.skipTest("which mailbox it is is in the index, too")
        def lose():
            for path in self.dovecot.d.rglob("dovecot.index*"):
                path.unlink()
            # Of dbox that is made anew for the next who saves, who fails.
            self.dovecot.doveadm("mbj", "apply", "-u", self.user)
        self.assertEqual(self.expunged_behind(lose),
                         {1, 2, 3, 4, 6, 7, 8, 9, 10})
        self.mbj("expunge", self.p, self.user, "A", "7:10")
        self.bring(75)
        self.assertEqual(set(self.guids_in("A")), {1, 2, 3, 4, 6})

    def test_begun(self):
        """Goal: a mailbox that a killed run had only begun to make becomes the
        journal's, wherever it was.  Method: made without GUID, noted, below
        one that the journal renames, where its name is another's, too; and
        where the journal has a place without mail."""
        self.make([(1, "A", None), (2, "B", None)])
        self.same()
        self.make([(1, "B", None), (2, "A", None), (3, "C", 1), (4, "D", None),
                   (5, "C", 4)])
        without = ("-o", "mail_plugins=")
        self.assertEqual(self.doveadm("create", "A/C", without=without)[0], 0)
        (note,) = (self.dovecot.d / "mail" / self.user).rglob(
            "mbj-apply.lock")
        note.write_text("making A/C\n")
        self.same()
        self.assertEqual(note.read_text(), "")
        self.mbj("rename", self.p, self.user, "D/C>P/Q")
        self.assertEqual(self.doveadm("create", "P", without=without)[0], 0)
        # What is behind a line that was cut off says nothing.
        note.write_text("making P\nsavin")
        self.same()

    def test_random(self):
        """Goal: any tree becomes any other, with its mail.  Method: random ones,
        from a seed that is printed; some runs are killed at a random moment."""
        rng = mbjtest.seed()
        for _ in range(RUNS * 4):
            self.make(self.scatter(rng))
            for _ in range(6):
                self.change(rng)
            self.follow()
            for _ in range(rng.randrange(4)):
                self.kill(rng.random() * 0.12)
            self.apply_rebuilt()
            self.same_tree()
            self.same_mail()

    def test_kills(self):
        """Goal: whichever change to a file a run was to make when it was
        killed, the next one ends it.  Method: one run's calls are counted, and
        it is run again from the same mail, ended before one of them."""
        dovetest.need_strace(self)
        rng = mbjtest.seed()
        for _ in range(2):
            self.scatter_mail(rng)
            self.apply()
        home, kept = self.keep_home()
        self.scatter_mail(rng)
        points = self.traced()
        if KILLS != "all":
            points = rng.sample(points, int(KILLS))
        for call, count in points:
            self.dovecot.killed_before(home, kept, call, count)
            with self.subTest(call=call, count=count):
                self.apply_rebuilt()
                self.same_tree()
                self.same_mail()
        shutil.rmtree(kept)

    def test_file_left(self):
        """Goal: a message that a killed run left, and that the journal
        expunges before the next, is not there for ever.  Method: SIGKILL
        behind the last file that sdbox has given its name."""
        dovetest.need_strace(self)
        if not self.LOCATION.startswith("sdbox"):
            self.skipTest("others have no such files")
        self.make([(1, "A", None)])
        self.deliver("A", "Subject: old\r\n\r\n")
        self.same()
        home, kept = self.keep_home()
        for n in range(1, 4):
            self.deliver("A", f"Subject: {n}\r\n\r\n", guid=f"{n:032x}")
        self.follow()
        points = self.traced()
        calls = re.findall(r"^\w+\(.*", (self.dovecot.d / "trace").read_text(),
                           re.M)
        named = [at for at, call in enumerate(calls) if
                 re.search(r'rename.*"[^"]*/u\.\d+"', call)]
        call, count = points[named[-1] + 1]
        self.dovecot.killed_before(home, kept, call, count)
        shutil.rmtree(kept)
        self.mbj("expunge", self.p, self.user, "A", "2:3")
        self.follow()
        self.apply_rebuilt()
        self.assertEqual(self.apply(), "")
        self.same_mail()

    def many(self, count):
        """Messages in INBOX, by one import.  Returns: their bytes, by UID."""
        texts = [f"Subject: {n}\n\n" + "z" * 70 * (n % 40) + "\n"
                 for n in range(count)]
        # One that no answer has room for, among others, and one twice.
        texts[count // 2] = "Subject: long\n\n" + ("w" * 71 + "\n") * 15000
        texts[count // 3] = texts[count // 3 - 1]
        mbox = self.dir / "mbox"
        mbox.write_text("".join(f"From a@b Thu Nov 26 00:00:00 2026\n{t}\n"
                                for t in texts))
        self.mbj("import", self.p, self.user, "--mbox", mbox)
        self.follow()
        return {n + 1: t.replace("\n", "\r\n").encode()
                for n, t in enumerate(texts)}

    def same_many(self, wanted):
        client = self.login()
        have, uidnext = self.have_mail(client, "INBOX")
        client.logout()
        self.assertEqual({uid: told[2] for uid, told in have.items()}, wanted)
        self.assertEqual(uidnext, len(wanted) + 1)

    def test_many(self):
        """Goal: messages that come many at once, and are saved so, are all
        there, once, whenever a run is killed.  Method: more than a transaction
        has, and than a question asks for; killed before calls all over the
        run; the first without a kill."""
        wanted = self.many(620)
        home = self.dovecot.d / "mail" / self.user
        points = self.traced()
        self.same_many(wanted)
        self.assertEqual(self.apply(), "")
        rng = mbjtest.seed()
        kinds = collections.defaultdict(list)
        for call, count in points:
            kinds[call].append(count)
        for _ in range(int(KILLS) if KILLS != "all" else 50):
            call = rng.choice(sorted(kinds))
            count = rng.choice(kinds[call])
            shutil.rmtree(home)
            self.traced("-e", f"inject={call}:signal=KILL:when={count}")
            self.dovecot.unlock_dead()
            with self.subTest(call=call, count=count):
                self.apply_rebuilt()
                self.same_many(wanted)

    def test_former(self):
        """Goal: a service that knows no questions for many at once is asked
        one by one; where it knows no GUIDs they are made, and stay once it
        does.  Method: a relay that ends a connection at such a one."""
        def ends(kind):
            # blobs, contents, chain (docs/FORMAT.md)
            if kind in (23, 24, 27):
                raise OSError("no such kind")
        self.make([(1, "A", None)])
        for n in range(3):
            self.deliver("A", f"Subject: {n}\r\n\r\n")
        self.follow()
        where = self.dir / "relay"
        os.chmod(self.dir, 0o755)
        relay = dovetest.Relay(where, self.socket)
        self.addCleanup(relay.close)
        relay.before = ends
        relay.highest = 1
        self.GUIDS = False  # to be seen
        for n in range(3):
            self.assertEqual(self.apply(0, "--socket", str(where)), "")
            self.same_tree()
            self.same_mail()
            if n == 1:
                self.deliver("A", "Subject: more\r\n\r\n")
                self.follow()
        last = "1764000000.M1P1.last"
        self.deliver("A", "Subject: last\r\n\r\n", guid=last)
        self.bring()
        self.assertEqual(self.apply(), "")
        self.assertEqual(set(self.guids_in("A").values()), {self.MADE, last})
        for path in (self.dovecot.d / "mail" / self.user).rglob("mbj-apply"):
            path.unlink()  # all is compared
        self.assertEqual(self.apply(), "")
        self.same_mail()

    def test_cached(self):
        """Goal: a new mailbox keeps at hand what clients ask for in INBOX, as
        with Dovecot's own CREATE; INBOX is not made for that.  Method: a
        header that a client asked for is in its cache's file; a run that has
        no INBOX before."""
        self.make([(1, "A", None)])
        self.same()
        self.deliver("INBOX", "X-Own: one\r\n\r\n")
        self.same()
        client = self.login()
        self.ok(client.select("INBOX", True))
        for _ in range(2):
            self.ok(client.fetch("1", "BODY.PEEK[HEADER.FIELDS (X-OWN)]"))
        self.leave(client)
        self.make([(1, "A", None), (2, "B", None)])
        self.bring()
        home = self.dovecot.d / "mail" / self.user

        def has(name):
            return any(b"hdr.x-own" in path.read_bytes().lower()
                       for path in home.rglob("dovecot.index.cache")
                       if "." + name in path.parts or name in path.parts)
        self.assertEqual((has("A"), has("B")), (False, True))
        self.same()
        self.same_mail()

    def test_long(self):
        """Goal: a rename is refused where a name below would be longer than
        Dovecot takes, and nothing is lost.  Method: the top of a deep chain
        gets a longer name, and its own again."""
        if self.LOCATION.startswith("maildir"):
            self.skipTest("a name is one directory's there")
        depth, names = 16, {}
        for number in range(2, depth + 2):
            names[number] = "n" * 241
        rows = [(n, name, n - 1) for n, name in names.items()]
        self.make([(1, "t", None), *rows])
        self.same()
        self.make([(1, "t" * 255, None), *rows])
        self.assertIn("too long", self.bring(75))
        self.make([(1, "u", None), *rows])
        self.same()

    def scatter_mail(self, rng):
        self.make(self.scatter(rng))
        for _ in range(8):
            self.change(rng)
        self.follow()

    def traced(self, *options):
        return self.dovecot.traced(self.user, *options)

    def keep_home(self):
        return self.dovecot.keep_home(self.user)

    def test_note(self):
        """Goal: what a run knows is on disk under its name before it goes on:
        by an older note the next one would expunge what it must not.  Method:
        one run's calls; behind each rename of the note its directory is
        synced."""
        dovetest.need_strace(self)
        self.make([(1, "A", None)])
        self.deliver("A", "Subject: one\r\n\r\n")
        self.follow()
        self.traced("-y")
        calls = (self.dovecot.d / "trace").read_text().splitlines()
        notes = [(line.split('"')[1], calls[at + 1])
                 for at, line in enumerate(calls) if
                 re.match(r'rename\("[^"]*/mbj-apply\.new"', line)]
        self.assertGreater(len(notes), 1)
        for path, call in notes:
            self.assertRegex(call, r"^fsync\(\d+<%s>\) += 0" %
                             re.escape(os.path.dirname(path)))

    def part(self, lock):
        """The journal has another group where the last run was, which was
        killed while it saved."""
        known = lock.with_name("mbj-apply")
        head, boxes = known.read_text().split("\n", 1)
        words = head.split(" ")
        words[8] = "1" * len(words[8])
        known.write_text(" ".join(words) + "\n" + boxes)
        noted = lock.read_text().removeprefix("saving\n")
        lock.write_text("saving\n" + noted)

    def keeps(self, path, mail):
        """What only Dovecot has is there, and named, each time."""
        said = self.bring(75)
        self.assertIn("the journal has not the group", said)
        for _ in range(2):
            self.assertIn(f" of {path} is not the journal's", said)
            client = self.login()
            have, _ = self.have_mail(client, path)
            client.logout()
            bodies = [body for _, _, body in have.values()]
            for body in mail:
                self.assertIn(body, bodies)
            said = self.apply(75)

    def apply_rebuilt(self):
        """What was killed between a file of dbox and its index has Dovecot make
        that anew for the next who saves there, who fails, and says so."""
        done, said = self.dovecot.doveadm("mbj", "apply", "-u", self.user)
        if done != 0:
            # A mailbox of mdbox that is half deleted (docs/DOVECOT.md).
            if "mdbox" not in self.LOCATION:
                self.assertIn("already exists, rebuilding index", said)
            self.apply()

    def change(self, rng):
        """One of messages, in a random mailbox."""
        nodes = {m["id"]: m for m in self.listed()}

        def path(i):
            return path(nodes[i]["parentId"]) + "/" + nodes[i]["name"] \
                if nodes[i]["parentId"] else nodes[i]["name"]
        box, other = (path(rng.choice(sorted(nodes))) for _ in range(2))
        mail = self.mbj("messages", self.p, self.user, box,
                        "--json").json()["messages"]
        kind = rng.randrange(6)
        if kind < 3 or not mail:
            self.deliver(box, f"Subject: {rng.random()}\r\n\r\n" +
                         "y\r\n" * rng.randrange(4000))
            return
        uid = rng.choice(mail)["uid"]
        if kind == 3:
            self.mbj("flag", self.p, self.user, box, "--replace", uid,
                     *rng.sample(["\\Seen", "\\Flagged", "a", "b"], 2))
        elif kind == 4 or other == box:
            self.mbj("expunge", self.p, self.user, box, uid)
        else:
            self.mbj("mv", self.p, self.user, box, uid, other)

    def scatter(self, rng):
        """Ten mailboxes, some of them gone, anywhere."""
        rows, slots = [], set()
        numbers = rng.sample(range(1, 13), 10)
        self.round = getattr(self, "round", 0) + 1
        for at, number in enumerate(numbers):
            parent = rng.choice([None, None] + numbers[:at])
            name = rng.choice("ABCDEFab")
            if (parent, name) not in slots and \
                    (parent is None or
                     parent in {row[0] for row in rows}):
                slots.add((parent, name))
                rows.append((number, name, parent))
        used = {row[0] for row in rows}
        gone = getattr(self, "gone", {})
        for number in range(1, 13):
            gone.setdefault(number, number)
            if number not in used and number in getattr(self, "had", set()):
                gone[number] += 100  # an id is used once
        self.gone, self.had = gone, used
        return [(gone[n], name, None if p is None else gone[p])
                for n, name, p in rows]

    def kill(self, after):
        process = subprocess.Popen(
            ["doveadm", "-c", self.dovecot.conf, "mbj", "apply",
             "-u", self.user], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        time.sleep(after)
        process.kill()
        process.wait()
        self.dovecot.unlock_dead()


class Maildir(Sdbox):
    LOCATION = "maildir:~/Maildir"
    CONTENTS = ()
    COMES = r'rename\("[^"]*/\.A/tmp/'

    def test_in_memory(self):
        """Goal: what the journal expunges, or deletes, goes where no index
        lasts, and what is the user's own stays.  Method: indexes in memory, in
        which HIGHESTMODSEQ is a small one each time."""
        def apply(status):
            done, said = self.dovecot.doveadm(
                "-o", "mail_location=maildir:~/Maildir:INDEX=MEMORY",
                "-o", "mail_plugins=doveadm_mbj", "mbj", "apply", "-s",
                self.socket, "-u", self.user)
            self.assertEqual(done, status, said)
            return {path.name: len(list(path.glob("???/*:*")))
                    for path in home.glob(".?")}
        home = self.dovecot.d / "mail" / self.user / "Maildir"
        self.make([(1, "A", None), (2, "B", None)])
        for mailbox in "AAAAB":
            Sdbox.count += 1
            self.deliver(mailbox, "Subject: x\r\n\r\n",
                         guid=f"1764000000.M{self.count}P1.there")
        self.follow()
        self.assertEqual(apply(0), {".A": 4, ".B": 1})
        self.mbj("expunge", self.p, self.user, "A", "2")
        self.make([(1, "A", None)])
        self.follow()
        self.assertEqual(apply(0), {".A": 3})
        (home / ".A/new/own").write_text("Subject: mine\n\n")
        self.mbj("expunge", self.p, self.user, "A", "3")
        self.follow()
        self.assertEqual(apply(75), {".A": 2})
        self.assertEqual(len(list(home.glob(".A/???/own"))), 1)

    def test_unlisted(self):
        """Goal: what was saved, and was given no UIDs before its process was
        killed, comes under its UIDs, or not at all where it went meanwhile.
        Method: the files that give them are put back; some messages are equal,
        some UIDs are passed over."""
        self.make([(1, "A", None)])
        self.same()
        home = self.dovecot.d / "mail" / self.user / "Maildir"
        files = [home / "mbj-apply", *(home / ".A").glob("dovecot*")]
        before = {path: path.read_bytes() for path in files}
        for text in "nine", "one", "nine", "two\r\nthree", "":
            self.deliver("A", f"Subject: {text}\r\n\r\n{text}")
        self.mbj("expunge", self.p, self.user, "A", "2")
        self.deliver("A", "Subject: x\r\n\r\n", guid="gone,S=12,W=14")
        self.same()
        names = sorted((home / ".A/cur").iterdir())
        self.assertEqual(len(names), 5)
        for path in {*files, *(home / ".A").glob("dovecot*")}:
            if path in before:
                path.write_bytes(before[path])
            else:
                path.unlink()
        # Which it has been is to be seen.
        for path in (home / ".A/cur").iterdir():
            path.write_bytes(path.read_bytes()[::-1])
        (home / "mbj-apply.lock").write_text("saving\n" + self.noted(names))
        self.mbj("expunge", self.p, self.user, "A", "6")
        self.bring()
        self.same_tree()
        self.same_mail()
        self.assertEqual(len(list((home / ".A/cur").iterdir())), 4)
        self.assertEqual((home / "mbj-apply.lock").read_text(), "")

    def test_listed(self):
        """Goal: a message of the journal's that another program gave a UID, out
        of a file that a power cut left, makes room for that UID's.  Method: the
        file is there before the message comes; nothing is noted."""
        self.make([(1, "A", None)])
        self.deliver("A", "Subject: first\r\n\r\n")
        self.same()
        name = "1764000000.M1P1.left,S=12,W=14"
        for _ in range(3):
            uid = self.deliver("A", "Subject: x\r\n\r\n", guid=name)
            if uid < 4:
                self.mbj("expunge", self.p, self.user, "A", uid)
        box = self.dovecot.d / "mail" / self.user / "Maildir/.A"
        (box / "cur" / (name + ":2,")).write_text("Subject: x\n\n")
        client = self.login()
        self.assertEqual(set(self.have_mail(client, "A")[0]), {1, 2})
        client.logout()
        self.same()
        self.same_mail()

    def noted(self, paths):
        """What a run notes before it saves these files, by one process."""
        guids = {m.get("guid") for m in self.mbj(
            "messages", self.socket, self.user, "A",
            "--json").json()["messages"]} - {None}
        lines = {self.note_line("A", guid) for guid in guids}
        for path in paths:
            plain = path.name.split(":")[0]
            if plain not in guids and not plain.startswith(self.MADE):
                second, maker = re.fullmatch(r"(\d+)\.M\d+(P[^,]+),.*",
                                             plain).groups()
                lines.add(f"names {int(second) - 1}.M999999{maker}\n")
        self.assertTrue(any(line.startswith("names ") for line in lines))
        return "".join(sorted(lines))

    def test_unlisted_named(self):
        """Goal: a file that is in no list is taken away where a killed run may
        have named it, and no other.  Method: names of the process that was
        noted and of others, before and behind."""
        self.make([(1, "A", None)])
        self.same()
        home = self.dovecot.d / "mail" / self.user / "Maildir"
        note = "names 1764000000.M500000P77.there\n"
        gone = ["1764000000.M500001P77.there,S=1,W=1:2,",
                "1764000001.M0P77.there:2,S", "1764003600.M9P77.there,S=3:2,"]
        kept = ["1764000000.M500000P77.there,S=1,W=1:2,",
                "1763999999.M600000P77.there:2,", "1764003601.M0P77.there:2,",
                "1764000001.M0P78.there:2,", "1764000001.M0P77.there2:2,",
                "1764000001.M0P77:2,", "1764000001.Q0P77.there:2,",
                "1764000001.M:2,", "guid:2,", "x.M1P77.there:2,"]
        for name in gone + kept:
            (home / ".A/cur" / name).write_text("Subject: x\n\n")
        # Some are listed before the run, which so knows them by that name.
        for name in gone[:1] + kept[:1]:
            (home / ".A/cur" / name).rename(home / name)
        client = self.login()
        self.ok(client.select("A"))
        client.logout()
        for name in gone[1:] + kept[1:]:
            self.assertIn(name.split(":")[0],
                          (home / ".A/dovecot-uidlist").read_text())
        for name in gone[:1] + kept[:1]:
            (home / name).rename(home / ".A/cur" / name)
        (home / "mbj-apply.lock").write_text("saving\nnames \nnames x\n"
                                             "names 9.M\n" + note)
        self.apply(75)
        there = {path.name.split(":")[0]
                 for path in (home / ".A/cur").iterdir()}
        self.assertEqual(there, {name.split(":")[0] for name in kept})
        # What Dovecot may have listed of it is known as long as that is not
        # settled, and no longer.
        self.assertRegex((home / "mbj-apply.lock").read_text(),
                         rf"\A{re.escape(note.strip())} \d{{10}}\n\Z")
        self.assertEqual(self.dovecot.doveadm(
            "-o", "mail_plugins=", "expunge", "-u", self.user, "mailbox", "A",
            "all")[0], 0)
        self.apply()
        self.assertEqual((home / "mbj-apply.lock").read_text(), "")

    def test_same_called(self):
        """Goal: a file of the user's own that is called as one of the journal's
        was at the first host is kept.  Method: other bytes, of the same size;
        the journal expunges its own."""
        self.make([(1, "A", None)])
        self.deliver("A", "Subject: x\r\n\r\n", guid="1.eml")
        self.same()
        box = self.dovecot.d / "mail" / self.user / "Maildir/.A"
        (box / "new/1.eml").write_text("Subject: y\n\n")
        for _ in range(2):
            self.assertIn("UID 2 of A is not the journal's", self.apply(75))
        self.mbj("expunge", self.p, self.user, "A", "1")
        self.bring(75)
        self.assertEqual(self.guids_in("A"), {2: "1.eml"})

    def test_same_first(self):
        """Goal: likewise where it has the UID of the journal's, or is not
        listed, and a killed run noted that name."""
        self.make([(1, "A", None)])
        self.same()
        home = self.dovecot.d / "mail" / self.user / "Maildir"
        (home / ".A/new/1.eml").write_text("Subject: y\n\n")
        self.assertIn("UID 1 of A is not the journal's", self.apply(75))
        self.deliver("A", "Subject: x\r\n\r\n", guid="1.eml")
        for _ in range(2):
            self.assertIn("UID 1 of A is not the journal's of that UID",
                          self.bring(75))
        self.mbj("expunge", self.p, self.user, "A", "1")
        (home / ".A/new/2.eml").write_text("Subject: z\n\n")
        (home / "mbj-apply.lock").write_text(
            "saving\n" + self.note_line("A", "1.eml") +
            self.note_line("A", "2.eml"))
        self.bring(75)
        self.assertEqual(self.guids_in("A"), {1: "1.eml", 2: "2.eml"})

    def test_named_since(self):
        """Goal: mail that comes once a killed run is known to be gone is no
        mail of that run's, though its process has the same number, as in a
        container that was begun again.  Method: names of that process before
        the run that finds the note, and after it; the note stays, since
        another message is kept."""
        self.make([(1, "A", None)])
        self.same()
        self.put("A", "Subject: mine\r\n\r\n")
        home = self.dovecot.d / "mail" / self.user / "Maildir"
        begun = int(time.time()) - 10

        def name(seconds):
            path = home / f".A/new/{begun + seconds}.M2P77.there"
            path.write_text(f"Subject: {seconds}\n\n")
            return path.name
        name(1)
        (home / "mbj-apply.lock").write_text(
            f"saving\nnames {begun}.M1P77.there\n")
        self.apply(75)
        own = {name(60), name(600)}
        for _ in range(2):
            self.apply(75)
            self.assertEqual({path.name.split(":")[0] for path in
                              home.glob(".A/???/*77.there*")}, own)

    def test_unlisted_parted(self):
        """Goal: what a killed run saved of a history that the journal has not
        is kept, and named.  Method: the files that give UIDs are put back, and
        the journal went another way, and has one of the messages no more."""
        self.make([(1, "A", None)])
        self.deliver("A", "Subject: old\r\n\r\nold")
        self.same()
        home = self.dovecot.d / "mail" / self.user / "Maildir"
        files = [home / "mbj-apply", *(home / ".A").glob("dovecot*")]
        before = {path: path.read_bytes() for path in files}
        for text in "nine", "ten", "nine":
            self.deliver("A", f"Subject: {text}\r\n\r\n{text}")
        self.mbj("expunge", self.p, self.user, "A", "2")
        self.deliver("A", "Subject: last\r\n\r\nlast")
        self.same()
        client = self.login()
        have, _ = self.have_mail(client, "A")
        client.logout()
        for path in {*files, *(home / ".A").glob("dovecot*")}:
            if path in before:
                path.write_bytes(before[path])
            else:
                path.unlink()
        self.mbj("expunge", self.p, self.user, "A", "3")
        self.part(home / "mbj-apply.lock")
        self.keeps("A", [body for _, _, body in have.values()])
        self.assertEqual((home / "mbj-apply.lock").read_text(), "")

    def test_untidied(self):
        """Goal: files are only taken away where the list of UIDs says whose
        they are, and only after a save that failed.  Method: a list that is
        gone, the user's own mailbox, a note that is there each time."""
        self.make([(1, "A", None), (2, "B", None)])
        self.deliver("A", "Subject: one\r\n\r\n")
        self.deliver("B", "Subject: two\r\n\r\n")
        self.same()
        home = self.dovecot.d / "mail" / self.user / "Maildir"
        lock = home / "mbj-apply.lock"
        self.assertEqual(self.doveadm(
            "create", "Own", without=("-o", "mail_plugins="))[0], 0)
        # What fails at each run, and is no save that failed.
        self.put("B", "Subject: mine\r\n\r\n")
        self.deliver("INBOX", "Subject: three\r\n\r\n")
        self.bring(75)
        self.assertEqual(len(list((home / "cur").iterdir())), 1)
        self.assertEqual(lock.read_text(), "")
        (one,) = (home / ".A/cur").iterdir()
        own = home / ".Own/cur" / one.name
        shutil.copy(one, own)
        (home / ".A/dovecot-uidlist").unlink()
        lock.write_text("saving\n")
        self.apply(75)
        self.assertTrue(one.exists() and own.exists())
        self.assertEqual(lock.read_text(), "")

    def test_sizes(self):
        """Goal: a file has the name that tells whose it is, whatever ends its
        lines.  Method: each mixture, short and longer than what memory keeps."""
        self.make([(1, "A", None)])
        self.GUIDS = False
        ends = "\n", "\r\n", "\r\r\n", "\r", "\n\r\n", "x\n\r"
        for end in ends:
            self.deliver("A", f"Subject: x{end}{end}{'y' + end}")
            self.deliver("A", f"Subject: x{end}{end}{('y' + end) * 70000}")
        self.bring()
        home = self.dovecot.d / "mail" / self.user / "Maildir"
        name = re.compile(r"6d626aff[0-9a-f]{24}\.(\d+),S=\d+,W=\d+:2,")
        uids = [int(name.fullmatch(path.name)[1])
                for path in (home / ".A").glob("*/*:2,*")]
        self.assertEqual(sorted(uids), list(range(1, 2 * len(ends) + 1)))


class Packed(Maildir):
    """Files of other sizes than their messages, so that Dovecot names each."""
    MORE = ("mail_plugins = $mail_plugins zlib\n"
            "plugin {\n  zlib_save = gz\n}\n" + Sdbox.MORE)


class Promoted(Maildir):
    def test_promoted(self):
        """Goal: an account that a new primary took back shows what it has
        there, though Dovecot had what was given up, and gives no UID twice.
        Method: mail that only the old primary had, in INBOX and another one;
        the account bent in a backup; runs with and without mail since."""
        if not mbjtest.DIVERGE:
            self.skipTest("MBJ_DIVERGE names no mbj_diverge")
        aside, bent, new = (self.home / name for name in ("r2", "bent", "new"))
        partial = mbjtest.PARTIAL
        self.make([(1, "A", None)])
        self.deliver("A", "Subject: kept\r\n\r\n")
        self.mbj("init", aside, "--role", "replica")
        self.mbj("replay", self.p, aside)
        subprocess.run([mbjtest.DIVERGE, aside, self.user, "+ghost"],
                       check=True)
        self.mbj("snapshot", aside)
        self.mbj("init", bent, "--from-snapshot", aside)
        for number in range(3):
            for mailbox in ("INBOX", "A"):
                self.deliver(mailbox, f"Subject: given up {number}\r\n\r\n")
        self.same()
        self.same_mail()
        self.mbj("replay", self.p, bent, status=partial)
        self.mbj("backup", bent, self.home / "b", status=partial)
        self.mbj("restore", self.home / "b", new, "--role", "primary",
                 status=partial)
        for number in range(3):
            self.stop_service()
            self.mbj("follow", self.r, "--once", "--exec",
                     f"{mbjtest.MBJ} send {new}")
            self.serve()
            self.assertEqual(self.apply(), "")
            self.same_tree()
            self.same_mail()
            for mailbox in ("INBOX", "A"):
                self.mbj("deliver", new, self.user, mailbox,
                         stdin=f"Subject: new {number}\r\n\r\n")


class Mdbox(Sdbox):
    LOCATION = "mdbox:~/mail"
    COMES = r'pwrite64\(\d+, "\\1\\2N'

    def headers(self, trace):
        """Which pwrite64 say that a message is whole."""
        calls = re.findall(r"^(?:\d+ +)?pwrite64\(\d+, (.*)", trace, re.M)
        return [n + 1 for n, text in enumerate(calls)
                if text.startswith('"\\1\\2N')]

    def test_tail(self):
        """Goal: messages that a killed run has left in a file of many, of which
        no index knows, use up no UIDs.  Method: SIGKILL before each of them is
        whole, while others before it are; the next run, and what comes then,
        leave Dovecot equal, UIDNEXT, too."""
        dovetest.need_strace(self)
        rng = random.Random(5)
        for _ in range(2):
            self.scatter_mail(rng)
            self.apply()
        home, kept = self.keep_home()
        self.scatter_mail(rng)
        self.traced()
        whole = self.headers((self.dovecot.d / "trace").read_text())
        self.assertGreater(len(whole), 3)
        for count in whole:
            self.dovecot.killed_before(home, kept, "pwrite64", count)
            with self.subTest(count=count):
                self.apply()
                self.same_tree()
                self.same_mail()
        shutil.rmtree(kept)

    def test_two_alike(self):
        """Goal: each message has its own bytes where Dovecot makes indexes
        anew.  Method: two of one size, in two mailboxes, have one GUID, as
        files of a Maildir may."""
        self.make([(1, "A", None), (2, "B", None)])
        for mailbox in "AB":
            self.deliver(mailbox, f"Subject: {mailbox}\r\n\r\n",
                         guid="1.eml,S=12,W=14")
        self.same()
        done, said = self.dovecot.doveadm(
            "-o", "mail_plugins=", "force-resync", "-u", self.user, "*")
        self.assertEqual(done, 0, said)
        self.assertEqual(self.dovecot.doveadm("mbj", "verify", "-u",
                                              self.user)[0], 0)

    def test_tail_parted(self):
        """Goal: messages in such a tail, of a history that the journal has
        not, are kept, and named.  Method: SIGKILL before the last one is
        whole; the journal went another way, and has them no more."""
        dovetest.need_strace(self)
        self.make([(1, "A", None)])
        self.deliver("A", "Subject: old\r\n\r\nold\r\n")
        self.same()
        home, kept = self.keep_home()
        texts = [f"Subject: {n}\r\n\r\n{n}\r\n" for n in range(3)]
        for text in texts:
            self.deliver("A", text)
        self.follow()
        self.traced()
        last = self.headers((self.dovecot.d / "trace").read_text())[-1]
        self.dovecot.killed_before(home, kept, "pwrite64", last)
        shutil.rmtree(kept)
        self.mbj("expunge", self.p, self.user, "A", "2:4")
        (lock,) = home.rglob("mbj-apply.lock")
        self.assertRegex(lock.read_text(), r"\Asaving\n(guid \S+ \S+\n){2,3}\Z")
        self.part(lock)
        self.keeps("A", [text.encode() for text in texts[:2]])

    def test_tail_others(self):
        """Goal: a message of somebody else's that no index knows stays where
        it is, and Dovecot can find it.  Method: doveadm save is killed behind
        it; an earlier run was killed, as its file says."""
        dovetest.need_strace(self)
        self.make([(1, "A", None)])
        self.deliver("A", "Subject: one\r\n\r\n")
        self.same()
        save = ["strace", "-f", "-o", self.dovecot.d / "trace", "-e",
                "trace=pwrite64,write", "-e", "", "doveadm", "-c",
                self.dovecot.conf, "-o", "mail_plugins=", "save", "-u",
                self.user, "-m", "A"]

        def run(*options):
            save[6:8] = options or ["-e", "trace=pwrite64,write"]
            subprocess.run(save, input=b"Subject: own\n\nown\n", check=False,
                           capture_output=True)
            return (self.dovecot.d / "trace").read_text()
        home, kept = self.keep_home()
        trace = run()
        calls = re.findall(r"^\d+ +(\w+)\(\d+, (.*)", trace, re.M)
        (at,) = [n for n, (call, text) in enumerate(calls)
                 if text.startswith('"\\1\\2N')]
        call = calls[at + 1][0]
        count = sum(c == call for c, _ in calls[:at + 2])
        shutil.rmtree(home)
        shutil.move(kept, home)
        run("-e", f"inject={call}:signal=KILL:when={count}")
        self.dovecot.unlock_dead()
        (home / "mail" / "mbj-apply.lock").write_text("saving\n")
        self.deliver("A", "Subject: two\r\n\r\n")
        self.bring()
        self.same_mail()
        self.dovecot.doveadm("force-resync", "-u", self.user, "*")
        self.assertIn("is not the journal's, and is kept", self.apply(75))


class Prefix(Sdbox):
    """Everything but INBOX is below it, in paths."""
    PREFIX = "INBOX."
    SEPARATOR = "."
    LOCATION = "maildir:~/Maildir"

    def make(self, rows):
        super().make([(number, name, 0 if parent is None else parent)
                      for number, name, parent in rows])

    def test_inbox_below(self):
        """Goal: a folder that the journal has at what is INBOX's other name
        here is there under another name, with its mail, and INBOX stays what
        it is.  Method: one message in each."""
        self.make([(1, "INBOX", None)])
        self.deliver("INBOX", "Subject: inbox\r\n\r\n")
        self.mbj("deliver", self.p, self.user, "INBOX/INBOX", stdin="x")
        said = self.bring(75)
        found = re.search(r"INBOX\.INBOX cannot have its name here, and is "
                          r"called (INBOX\.INBOX-\w+): It is INBOX itself",
                          said)
        client = self.login()
        self.assertEqual(dovetest.tree_of(client)["INBOX"][0],
                         self.inbox["id"])
        self.assertEqual(dovetest.tree_of(client)[found[1]][0],
                         self.number(1))
        self.assertEqual(len(self.have_mail(client, found[1])[0]), 1)
        self.assertEqual(len(self.have_mail(client, "INBOX")[0]), 1)
        client.logout()


class Linked(unittest.TestCase):
    def test_linked(self):
        """Goal: the planner comes into doveadm, and no database.  Method: what
        the loader loads for the plugin, and the names in it."""
        loaded = subprocess.run(["ldd", dovetest.APPLY], check=True,
                                capture_output=True, text=True).stdout
        self.assertNotRegex(loaded, r"libdb|icu|jansson|stdc\+\+")
        names = subprocess.run(["nm", dovetest.APPLY], check=True,
                               capture_output=True, text=True).stdout
        self.assertIn("mbj_plan_make", names)
        self.assertNotRegex(names, r"\b(db_env_create|db_open|mbj_store_open|"
                            r"dispatch_run)\b")


class Foreign(Sdbox):
    """The module of another ABI, in doveadm's own directory."""
    MODULES = "/usr/lib/dovecot/modules/doveadm"
    MORE = ""

    def test_foreign(self):
        """Goal: after an upgrade of Dovecot its other commands go on, and ours
        are not there.  Method: the module with another ABI's number, where
        doveadm loads it from and refuses it, and as it is."""
        modules = self.dir / "modules"
        modules.mkdir()
        module = pathlib.Path(dovetest.APPLY).read_bytes()
        (number,) = set(re.findall(rb"ABIv(\d+)\(", module))

        def doveadm(data, *words):
            (modules / "lib10_doveadm_mbj_plugin.so").write_bytes(data)
            done = subprocess.run(
                ["unshare", "--mount", "sh", "-c",
                 'mount --bind "$0" "$1" || exit 77; shift; exec "$@"',
                 modules, self.MODULES, "doveadm", "-c",
                 self.dovecot.conf, *words], check=False,
                capture_output=True, text=True)
            if done.stderr.startswith("unshare: ") or done.returncode == 77:
                self.skipTest("nothing can be mounted here")
            return done

        foreign = module.replace(
            b"ABIv" + number + b"(",
            b"ABIv" + bytes([number[0] ^ 1]) + number[1:] + b"(")
        for words in (("help",), ("mailbox", "list", "-u", self.user),
                      ("mbj", "apply", "-u", self.user)):
            done = doveadm(foreign, *words)
            self.assertGreaterEqual(done.returncode, 0, (words, done.stderr))
            self.assertIn("ABI version", done.stderr)
        self.assertNotEqual(done.returncode, 0)
        done = doveadm(module, "mbj", "spool", "-u", self.user)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    if not dovetest.can_run() or not os.path.exists(dovetest.APPLY):
        print("SKIPPED: there is no Dovecot, or no plugin for it")
        sys.exit(77)
    unittest.main(warnings=os.environ.get("PYTHONWARNINGS", "ignore"))
