"""The plugin in a real Dovecot: messages that users get, copy, mark and
expunge are in the journal."""
import hashlib
import imaplib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import unittest

import dovetest
from dovetest import append_all, command, encode
from messagetest import WITHOUT, MessageCase, fetched, mail, seconds

BLOB_LAST = 25  # a kind of the wire: docs/FORMAT.md

DATE = '"01-Feb-2020 03:04:05 +0100"'


class Sdbox(MessageCase):
    def test_day(self):
        """Goal: after whatever users do to messages, by whatever program, the
        store has them with UID, date, flags, keywords and bytes.  Method: two
        sessions, a delivery, doveadm; each thing after the other, compared
        with FETCH."""
        one, two = self.login(), self.login()
        self.ok(one.create("A"))
        self.append(one, "A", "first")
        self.same_mail("A")
        self.append(two, "A", "second", "(\\Seen $x Work)", DATE)
        self.append(two, "A", "third", "(\\Draft)", DATE)
        self.append(one, "INBOX", "in")
        self.same_mail("A", "INBOX")
        self.assertEqual(self.deliver("INBOX", "delivered"), 0, self.log())
        self.assertEqual(self.deliver("new", "delivered"), 0)
        self.same_mail("A", "INBOX", "new")
        if dovetest.HAS_LMTP:
            self.lmtp("delivered by LMTP")
            self.same_mail("INBOX")
        self.ok(one.select("A"))
        self.ok(one.uid("STORE", "1:2", "+FLAGS", "(\\Flagged Zwei)"))
        self.same_mail("A")
        self.ok(one.uid("STORE", "2", "-FLAGS", "(\\Seen work)"))
        self.ok(one.uid("STORE", "3", "FLAGS", "(\\Deleted $y)"))
        self.same_mail("A")
        self.ok(one.uid("STORE", "2:3", "+FLAGS", "($z)"))
        self.same_mail("A")
        self.ok(one.uid("STORE", "2:3", "-FLAGS", "($z)"))
        self.same_mail("A")
        self.ok(one.fetch("1", "(BODY[])"))
        self.same_mail("A")
        self.assertIn("\\seen", self.stored("A")[1][0])
        self.ok(one.uid("COPY", "1:3", "INBOX"))
        self.same_mail("A", "INBOX")
        self.ok(one.expunge())
        self.same_mail("A")
        self.assertEqual(set(self.stored("A")), {1, 2})
        self.ok(one.uid("MOVE", "2", "new"))
        self.same_mail("A", "INBOX", "new")
        self.assertEqual(set(self.stored("A")), {1})
        for words in (["flags", "add", "$adm \\Answered", "mailbox", "INBOX",
                       "uid", "1"],
                      ["copy", "A", "mailbox", "INBOX", "all"],
                      ["move", "new", "mailbox", "A", "uid", "1"],
                      ["expunge", "mailbox", "INBOX", "uid", "2"]):
            status, text = self.dovecot.doveadm(words[0], *(
                words[1:2] if words[0] == "flags" else ()), "-u", self.user,
                *words[2 if words[0] == "flags" else 1:])
            self.assertEqual((status, text), (0, ""), words)
            self.same_mail("A", "INBOX", "new")
        self.quiet()
        self.replica("A", "INBOX", "new")

    def replica(self, *paths):
        """A replica of the journal has the same messages, and their bytes."""
        self.stop_service()
        self.mbj("init", self.r, "--role", "replica")
        self.agree()
        for path in paths:
            self.assertEqual(self.stored(path, self.p),
                             self.stored(path, self.r))
            for uid, found in self.stored(path, self.r).items():
                body = subprocess.run(
                    [dovetest.mbjtest.MBJ, "cat", self.r, self.user, path,
                     str(uid)], check=True, capture_output=True).stdout
                self.assertEqual(hashlib.sha256(body).hexdigest(), found[3])
        self.serve()

    def test_odd(self):
        """Goal: the journal has a message as Dovecot shows it, whatever came
        in.  Method: many in one command, of a few bytes, of more than is kept
        in memory, with ends of lines that nobody should send, split by every
        size of a buffer; a command that fails half way; copies of them."""
        client = self.login()
        ends = (b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n", b"")
        odd = [b"Subject: odd\r\n\r\n" + b"x" * pad + end + tail
               for end in ends for tail in (b"", b"y", b"\r\n")
               for pad in (0, 4075, 8171, 8172, 8173)]
        self.assertEqual(append_all(client, "INBOX", *odd), "OK")
        self.ok(client.create("B"))
        large = [mail("large", lines) for lines in (3000, 1, 60000, 2)]
        self.assertEqual(append_all(client, "B", *large * 4), "OK")
        self.assertNotEqual(append_all(client, "B", mail("no"), b""),
                            "OK")
        self.assertEqual(append_all(client, "B", *large), "OK")
        self.ok(client.select("INBOX"))
        self.ok(client.uid("COPY", "1:20", "B"))
        self.leave(client)
        self.same_mail("INBOX", "B")
        self.assertEqual(len(self.stored("B")), 40)
        self.assertNotIn("mbj: ", self.log())

    def test_many(self):
        """Goal: many that come in one command are in the journal as they are in
        Dovecot, GUIDs, too.  Method: more than the end of a Maildir's list that
        is looked at (uidlist.c) has room for."""
        client = self.login()
        self.assertEqual(append_all(client, "INBOX", *(
            mail(str(n)) for n in range(400))), "OK")
        self.leave(client)
        self.same_mail("INBOX")
        self.assertEqual(len(self.stored("INBOX")), 400)
        self.quiet()

    def test_composed(self):
        """Goal: the journal has what the server composes: a message of parts
        of others and of new text (RFC 4469), one with bytes of zero and as
        binary (RFC 3516), in one command with others.  Method: parts of a
        few bytes and of 300,000; one that fails at its last part."""
        client = self.login()
        offered = client.capability()[1][0].split()
        self.assertIn(b"CATENATE", offered)
        self.assertIn(b"BINARY", offered)
        self.ok(client.create("B"))
        for lines in (2, 60000):
            self.ok(client.append("INBOX", "(\\Seen)", None,
                                  mail("part", lines)))
        head = b"Subject: composed\r\n\r\n"

        def text(part):
            return b"TEXT {%d+}\r\n%s" % (len(part), part)

        def url(uid, part=b""):
            return b'URL "/INBOX/;UID=%d%s"' % (uid, part)

        def catenate(*parts):
            return b"CATENATE (" + b" ".join(parts) + b")"
        whole = catenate(text(head), url(1, b"/;SECTION=TEXT"),
                         text(b"middle\n"), url(2), text(b"end"))
        new = b"{%d+}\r\n%s" % (len(mail("new")), mail("new"))
        for line in (whole, catenate(url(2)), b"(\\Flagged) " + whole,
                     new + b" " + whole + b" " + catenate(url(1)),
                     catenate(text(head), text(b""), text(b"x" * 200000))):
            self.assertEqual(command(client, b"APPEND B " + line), "OK")
        self.assertEqual(command(client, b"APPEND B " + catenate(
            text(head), url(2), url(9))), "NO")
        zero = b"Content-Transfer-Encoding: binary\r\n\r\na\0b\r\n" * 2
        for size in (1, 3000):
            self.assertEqual(command(
                client, b"APPEND B ~{%d+}\r\n%s" % (len(zero) * size,
                                                    zero * size)), "OK")
        self.assertEqual(command(client, b"APPEND B " + new), "OK")
        self.leave(client)
        self.same_mail("INBOX", "B")
        self.assertEqual(len(self.stored("B")), 10)
        self.assertNotIn("mbj: ", self.log())

    def test_before(self):
        """Goal: mail that was there before the plugin, and what is changed
        without it later, is in the store after the mailbox's next change.
        Method: both, in a mailbox with more messages than one page; flags,
        expunges and mail made without it."""
        run = self.dovecot.doveadm
        self.assertEqual(run(*WITHOUT, "mailbox", "create", "-u", self.user,
                             "A", "B")[0], 0)
        client = self.without()
        for _ in range(3):
            self.ok(client.append("A", "(\\Seen $old)", None,
                                  mail("old")))
        self.ok(client.append("B", "()", None, mail("old")))
        self.append(self.login(), "A", "new")
        self.same_mail("A")
        self.assertEqual(self.stored("B"), {})
        self.ok(client.select("A"))
        self.ok(client.uid("STORE", "1", "+FLAGS", "($late \\Deleted)"))
        self.ok(client.uid("STORE", "2", "-FLAGS", "(\\Seen)"))
        self.ok(client.expunge())
        self.ok(client.append("A", "()", None, mail("old")))
        two = self.login()
        self.ok(two.select("B"))
        self.ok(two.uid("STORE", "1", "+FLAGS", "(\\Flagged)"))
        self.same_mail("B")
        self.append(two, "A", "last")
        self.same_mail("A", "B")
        self.assertEqual(set(self.stored("A")), {2, 3, 4, 5, 6})
        for box in ("C", "D"):
            self.ok(client.create(box))
            self.ok(client.append(box, "(\\Seen)", None, mail("old")))
        # docs/DOVECOT.md: all of a user's mail, at once
        for word in ("add", "remove"):
            self.assertEqual(run("flags", word, "-u", self.user, "$mbj",
                                 "mailbox", "*", "1"), (0, ""))
        self.same_mail("A", "B", "C", "D")
        self.quiet()

    def test_big(self):
        """Goal: a big message comes in whole, and its copy shares the bytes.
        Method: 5 MiB; what there is in the store before and after the copy."""
        one = self.login()
        self.ok(one.create("A"))
        text = mail("big", 5 << 18) + b"x" * 100 + b"\r\n"
        self.assertGreater(len(text), 5 << 20)
        self.ok(one.append("A", "()", None, text))
        self.same_mail("A")
        self.assertEqual(self.stored("A")[1][3],
                         hashlib.sha256(text).hexdigest())
        blobs = self.blobs()
        self.ok(one.select("A"))
        self.ok(one.uid("COPY", "1", "INBOX"))
        self.ok(one.uid("COPY", "1", "A"))
        self.same_mail("A", "INBOX")
        self.assertEqual(self.blobs(), blobs)
        self.quiet()

    def blobs(self):
        return {p.name: p.stat().st_ctime_ns
                for p in (self.store / "blobs").rglob("*") if p.is_file()}

    def test_away(self):
        """Goal: without the service no message changes, on either side.
        Method: it is stopped, everything is tried, it is begun again."""
        one = self.login()
        self.ok(one.create("A"))
        for text in ("a", "b"):
            self.append(one, "A", text, "(\\Seen)")
        self.append(one, "A", "c")
        self.ok(one.select("INBOX"))
        before = fetched(self.login(), "A")
        self.ok(one.select("A"))
        at = self.end()
        self.stop_service()
        for answer in (one.append("A", "()", None, mail("no")),
                       one.uid("STORE", "1", "+FLAGS", "(\\Flagged $no)"),
                       one.uid("COPY", "1", "INBOX"),
                       one.uid("MOVE", "1", "INBOX")):
            self.no(answer, "UNAVAILABLE")
        self.assertEqual(self.deliver("A", "no"), 75)
        self.ok(one.uid("SEARCH", "ALL"))
        status, answer = one.uid("FETCH", "3", "(BODY[])")  # sets \\Seen
        self.assertEqual((status, answer[0][1]), ("OK", mail("c")))
        one.send(b"x uid fetch 3 (body[])\r\n")  # as clients may write it
        lines = iter(one.readline, b"")
        self.assertRegex(next(x for x in lines if x.startswith(b"x ")), b"OK")
        self.assertEqual(fetched(self.login(), "A"), before)
        self.assertEqual(fetched(self.login(), "INBOX"), {})
        self.serve()
        self.assertEqual(self.end(), at)
        self.append(one, "A", "yes")
        self.same_mail("A", "INBOX")

    def test_renamed(self):
        """Goal: messages stay with their mailbox.  Method: renames of two
        mailboxes with mail into each other's place, of INBOX, a deletion."""
        one = self.login()
        for name in ("A", "B"):
            self.ok(one.create(name))
            self.append(one, name, name)
        self.append(one, "INBOX", "in")
        for source, target in (("A", "t"), ("B", "A"), ("t", "B")):
            self.ok(one.rename(source, target))
        self.same_mail("A", "B", "INBOX")
        self.append(one, "A", "more")
        if not self.LOCATION.startswith("maildir"):
            self.ok(one.rename("INBOX", "old"))
            self.append(one, "INBOX", "next")
            self.append(one, "old", "more")
            self.same_mail("old")
        self.same_mail("A", "B", "INBOX")
        self.ok(one.delete("B"))
        self.ok(one.create("B"))
        self.append(one, "B", "again")
        self.same_mail("A", "B")
        self.quiet()

    def test_replaced(self):
        """Goal: what a session has begun to do to a mailbox in whose place
        another one comes is refused, and done to neither.  Method: an APPEND
        whose literal waits until the mailbox has another name, and another one
        its name; STORE and APPEND of a session that has it selected."""
        one, two = self.login(), self.login()
        self.ok(one.create("A"))
        self.append(one, "A", "first")
        self.same_mail("A")
        text = mail("late")
        one.send(b"x APPEND A {%d}\r\n" % len(text))
        self.assertTrue(one.readline().startswith(b"+"))
        three = self.login()
        self.ok(three.select("A"))
        self.ok(two.rename("A", "B"))
        self.ok(two.create("A"))
        self.append(two, "A", "another's")
        one.send(text + b"\r\n")
        line = b""
        while not line.startswith(b"x "):
            line = one.readline()
        self.assertIn(b"NO [UNAVAILABLE]", line, self.log())
        self.same_mail("A", "B")
        self.assertEqual([len(self.stored(name)) for name in "AB"], [1, 1])
        try:
            self.no(three.uid("STORE", "1", "+FLAGS", "(\\Flagged)"),
                    "UNAVAILABLE")
        except imaplib.IMAP4.abort:
            pass  # Dovecot has noticed it
        self.same_mail("A", "B")
        self.same(self.login())

    def test_stale(self):
        """Goal: HIGHESTMODSEQ is Dovecot's also where nothing is left of what
        changed: it counts flags of a message that another session expunged.
        Method: sessions that have not heard of it mark such, each alone and
        among others, mark what is marked so, read and move what went."""
        marks = (("2", "(\\Flagged)"), ("3", "($k1 $k2)"), ("3:5", "($k3)"),
                 ("7", "(\\Flagged)"), ("9", "(\\Answered)"))
        one = self.login()
        self.ok(one.create("A"))
        for text in "abcdefghi":
            self.append(one, "A", text, "(\\Flagged)" if text == "g" else "()")
        others = [self.login() for _ in range(len(marks) + 2)]
        for client in (one, *others):
            self.ok(client.select("A"))
        self.ok(one.uid("STORE", "2:4,9", "+FLAGS.SILENT", "(\\Deleted)"))
        self.ok(one.expunge())
        for client, (uids, flags) in zip(others, marks):
            before = self.modseq("A")
            self.ok(client.uid("STORE", uids, "+FLAGS", flags))
            self.assertEqual(self.modseq("A") > before, uids != "7", uids)
            self.same_mail("A")
        self.ok(one.uid("STORE", "6", "+FLAGS.SILENT", "(\\Deleted)"))
        self.ok(one.expunge())
        others[-2].uid("FETCH", "6", "(BODY[])")  # sets \\Seen, of what went
        self.same_mail("A")
        others[-1].uid("MOVE", "6", "INBOX")
        self.same_mail("A", "INBOX")

    def modseq(self, path):
        """As Dovecot has it."""
        client = self.login()
        status, answer = client.status(encode(path), "(HIGHESTMODSEQ)")
        self.assertEqual(status, "OK", answer)
        self.leave(client)
        return int(re.search(rb"HIGHESTMODSEQ (\d+)", answer[0]).group(1))

    def test_lost(self):
        """Goal: UIDs that come again are never taken for those that were.
        Method: another UIDVALIDITY given without the plugin; with it it is
        refused where there are messages; INBOX lost with all that it had."""
        one = self.login()
        for name in ("A", "B"):
            self.ok(one.create(name))
            self.append(one, name, name)
        self.append(one, "INBOX", "in")
        update = ("update", "--uid-validity", "4000000000")
        self.assertNotEqual(self.doveadm(*update, "B")[0], 0)
        self.same_mail("A", "B")
        self.assertEqual(self.doveadm(*update, "A", without=WITHOUT)[0], 0)
        two = self.login()
        self.no(two.append("A", "()", None, mail("more")), "try again")
        self.append(two, "A", "more")
        self.same_mail("A", "B")
        self.same(two)
        self.assertEqual(self.told()["A"][1], 4000000000)
        self.append(self.login(), "A", "last")
        self.same_mail("A", "B")
        if self.LOCATION.startswith("sdbox"):
            shutil.rmtree(self.home / "dovecot/mail" / self.user /
                          "mail/mailboxes/INBOX")
            three = self.login()
            self.ok(three.select("INBOX"))
            self.append(three, "INBOX", "again")
            self.same_mail("INBOX", "A")
            self.same(three)

    def test_renewed(self):
        """Goal: a mailbox that got another GUID while a session has it open
        is no more told as what it was.  Method: it gets one without the
        plugin; STORE and APPEND of that session, and another change."""
        self.append(self.login(), "INBOX", "a")
        for name, change in (
                ("A", lambda: one.uid("STORE", "1", "+FLAGS", "(\\Seen)")),
                ("B", lambda: one.append("B", None, None, mail("more")))):
            one = self.login()
            self.ok(one.create(name))
            for text in "ab":
                self.append(one, name, text)
            self.ok(one.select(name))
            self.ok(one.uid("STORE", "2", "+FLAGS", "($k)"))
            guid = (name * 32).lower()
            self.assertEqual(self.doveadm("update", "--mailbox-guid", guid,
                                          name, without=WITHOUT)[0], 0)
            self.ok(change())
            self.ok(one.create(f"{name}2"))
            self.assertEqual(self.told()[name][0], guid, self.log())
            self.append(self.login(), name, "last")  # it comes with its mail
            self.same_mail(name)

    def test_masked(self):
        """Goal: flags that nobody told are told with the next change, also by
        a session that has had all compared, and once.  Method: a session
        without the plugin marks messages; STORE, APPEND, COPY and EXPUNGE of
        others behind it, and a delivery."""
        one = self.login()
        for n in range(6):
            self.append(one, "INBOX", f"n{n}")
        self.ok(one.select("INBOX"))
        for number, change in enumerate((
                lambda: one.uid("STORE", "6", "+FLAGS", "($k2)"),
                lambda: one.append("INBOX", None, None, mail("more")),
                lambda: one.uid("COPY", "6", "INBOX"),
                lambda: (one.uid("STORE", "6", "+FLAGS", "(\\Deleted)"),
                         one.expunge())[1],
                lambda: ("OK", self.deliver("INBOX", "last")))):
            two = self.without()
            self.ok(two.select("INBOX"))
            flags = "+FLAGS", r"(\Flagged $k)" if number < 3 else r"(\Seen)"
            self.ok(two.uid("STORE", str(number % 3 + 1), *flags))
            self.leave(two)
            self.ok(change())
            self.same_mail("INBOX")

    def test_imported(self):
        """Goal: what doveadm import reads out of any storage is in the journal
        where it puts it, and that storage itself is not.  Method: an mbox,
        which the journal could not have, and a Maildir."""
        self.append(self.login(), "INBOX", "here")
        home = self.home / "dovecot/mail" / self.user
        new = home / "m/new"
        for path in (home / "b", new, home / "m/cur", home / "m/tmp"):
            path.mkdir(parents=True)
        text = mail("there").replace(b"\r\n", b"\n")
        (home / "b/X").write_bytes(b"From a@b.c Mon Jan  6 10:00:00 2020\n" +
                                   text + b"\n")
        (new / "1.a.b").write_bytes(text)
        for path in (home / "b", *home.glob("b/*"), home / "m",
                     *home.glob("m/**/*")):
            os.chown(path, dovetest.MAIL_UID, dovetest.MAIL_GID)
        for source, name in (("mbox", "b"), ("maildir", "m")):
            self.assertEqual(self.dovecot.doveadm(
                "import", "-u", self.user, f"{source}:{home / name}", name,
                "all"), (0, ""), source)
        names = ("INBOX", f"b{self.SEPARATOR}X", f"m{self.SEPARATOR}INBOX")
        self.assertEqual({path for path, told in self.told().items() if told},
                         set(names))
        self.append(self.login(), "INBOX", "more")
        self.same_mail(*names)
        self.assertEqual([len(self.stored(name)) for name in names], [2, 1, 1])
        self.quiet()

    def before(self, *texts):
        """Mail from before the plugin, in a format with a file for each."""
        if self.LOCATION.startswith("mdbox"):
            self.skipTest("its files have many messages each")
        client = self.without()
        for text in texts:
            self.ok(client.append("INBOX", "()", None, mail(text)))
        client.logout()

    def rights(self, mode, *texts):
        """Of the files that have these mails."""
        home = self.home / "dovecot/mail" / self.user
        words = [re.compile(rb"\n%b\r?\n" % t.encode()) for t in texts]
        for path in list(home.rglob("*")):
            if path.is_file() and any(w.search(path.read_bytes())
                                      for w in words):
                path.chmod(mode)

    def test_unread(self):
        """Goal: one message that cannot be read keeps no other from the
        journal for long.  Method: no right to its file, in mail from before;
        two changes."""
        self.before("a", "b")
        self.rights(0, "a")
        self.append(self.login(), "INBOX", "c")
        self.logged("waits, with what is behind it")
        self.assertEqual(self.stored("INBOX"), {})
        self.assertEqual(len(self.intents()), 1)
        self.append(self.login(), "INBOX", "d")
        self.logged("left out")
        self.assertEqual(set(self.stored("INBOX")), {2, 3, 4})
        self.assertEqual(self.intents(), [])

    def test_passing(self):
        """Goal: what could not be read for a while is in the journal later,
        and so is what a process could read nothing of, however often.  Method:
        no right to one file during one change, to all during three."""
        self.before("a", "b")
        self.rights(0, "a")
        self.append(self.login(), "INBOX", "c")
        self.rights(0, "b", "c")
        for number in range(3):
            client = self.login()
            self.ok(client.select("INBOX"))
            self.ok(client.uid("STORE", "1:3", "+FLAGS", f"($k{number})"))
            self.leave(client)
        self.assertEqual(self.stored("INBOX"), {})
        self.assertEqual(len(self.intents()), 1)
        self.rights(0o600, "a", "b", "c")
        self.append(self.login(), "INBOX", "d")
        self.same_mail("INBOX")
        self.assertEqual(set(self.stored("INBOX")), {1, 2, 3, 4})

    def test_full(self):
        """Goal: what the store refuses keeps nobody from making room in it.
        Method: a quota of one message in the store alone; two come in, the
        first goes, the second follows it into the journal."""
        one = self.login()
        self.append(one, "INBOX", "a")
        self.mbj("setquota", self.socket, self.user, "--messages", "1")
        self.append(one, "INBOX", "b")
        self.ok(one.select("INBOX"))
        self.ok(one.uid("STORE", "1", "+FLAGS", "(\\Deleted)"))
        self.logged("messages of INBOX wait: ")
        self.assertEqual(set(self.stored("INBOX")), {1})
        self.ok(one.expunge())
        self.ok(one.uid("STORE", "2", "+FLAGS", "(\\Flagged)"))
        self.same_mail("INBOX")
        self.assertEqual(set(self.stored("INBOX")), {2})

    def test_huge(self):
        """Goal: a message of 4 GiB is left out, and others are not.  Method: a
        file that has that many bytes and no blocks, in mail from before."""
        if not self.LOCATION.startswith("maildir"):
            self.skipTest("its files have a head")
        self.before("a", "huge")
        (path,) = [p for p in (self.home / "dovecot/mail" / self.user).rglob(
            "*,S=*") if b"huge" in p.read_bytes()]
        name = re.sub(",S=.*", "", path.name)
        os.truncate(path, (1 << 32) + 1)
        path.rename(path.with_name(f"{name}:2,"))
        self.append(self.login(), "INBOX", "c")
        self.logged("left out: message 3")  # by its new name
        self.assertEqual(set(self.stored("INBOX")), {1, 4})
        self.assertEqual(self.intents(), [])

    def test_crowd(self):
        """Goal: sessions that change the same messages at the same time leave
        the store with Dovecot's.  Method: four of them and deliveries, steps
        from a seed, whatever Dovecot says to each; every message compared."""
        rng = dovetest.mbjtest.seed()
        boxes = ["INBOX", "A", "B"]
        one = self.login()
        for name in boxes[1:]:
            self.ok(one.create(name))
            self.append(one, name, "begin")

        def some(r):
            first = r.randrange(1, 25)
            return f"{first}:{first + r.randrange(4)}"

        def work(seed):
            r = dovetest.mbjtest.random.Random(seed)
            client = self.login()
            for number in range(25):
                box, other = r.sample(boxes, 2)
                step = r.randrange(10)
                if step < 3:
                    client.append(box, r.choice(
                        ("()", "(\\Seen)", "($k1 \\Flagged)")), None,
                        mail(f"{seed} {number}", r.randrange(1, 50)))
                elif step == 3:
                    self.deliver(box, f"{seed} {number}")
                elif client.select(box)[0] == "OK":
                    if step < 6:
                        client.uid("STORE", some(r), r.choice(
                            ("+FLAGS", "-FLAGS", "FLAGS")), r.choice((
                                "(\\Seen)", "($k1 $k2)",
                                "(\\Deleted $k3)")))
                    elif step == 6:
                        client.uid("COPY", some(r), other)
                    elif step == 7:
                        client.uid("MOVE", some(r), other)
                    elif step == 8:
                        client.expunge()
                    else:
                        client.uid("FETCH", "1:*", "(BODY[])")
        crowd = [threading.Thread(target=work, args=(rng.randrange(1 << 30),))
                 for _ in range(4)]
        for each in crowd:
            each.start()
        for each in crowd:
            each.join(200)
            self.assertFalse(each.is_alive())
        try:
            self.same_mail(*boxes)
        except AssertionError:
            print(self.log())
            raise
        self.assertGreater(sum(len(self.stored(b)) for b in boxes), 5)
        self.quiet()


class Maildir(Sdbox):
    LOCATION = "maildir:~/Maildir"
    SEPARATOR = "."

    def test_ends(self):
        """Goal: of a long list of messages only the ends are read, and all
        are found.  Method: 900 that came without the plugin, with flags,
        keywords and none, new and old; what each process reads of the list
        for a change is counted."""
        client = self.without()
        self.ok(client.create("A"))
        for n in range(900):
            self.ok(client.append("A", ("()", "(\\Seen)", "($k \\Draft)")[n % 3],
                                  None, mail(f"old {n}")))
        self.append(self.login(), "A", "new")
        self.same_mail("A")
        path = next(self.dovecot.d.rglob(f"{self.user}/Maildir/.A")
                    ) / "dovecot-uidlist"
        size = path.stat().st_size
        self.assertGreater(size, 32 << 10)
        for n in range(40):
            self.append(client, "INBOX", f"{n}")
        for change in (
                lambda client: self.append(client, "A", "new"),
                lambda client: self.append(client, "A", "new",
                                           "(\\Seen \\Answered)"),
                lambda client: self.append(client, "A", "new", "($k)"),
                lambda client: (self.ok(client.select("INBOX")),
                                self.ok(client.copy("1:40", "A")))):
            read = self.read_of(path, change)
            if read is not None:  # Dovecot: once; we: 16 KiB, and heads
                self.assertGreater(read, size)
                self.assertLess(read, size + (24 << 10))
            self.same_mail("A")
        if read is None:
            self.skipTest("all are found; strace cannot trace what is read")

    def test_vanished(self):
        """Goal: what Dovecot itself finds missing is told with the same
        session's next change.  Method: a file is removed, and the session,
        which has had all compared, synchronises; it marks another message,
        saves one, and expunges one."""
        client = self.login()
        for n in range(6):
            self.append(client, "INBOX", f"n{n}")
        self.ok(client.select("INBOX"))
        self.ok(client.uid("STORE", "1", "+FLAGS", "($k)"))
        home = self.dovecot.d / "mail" / self.user / "Maildir"
        for number, change in enumerate((
                lambda: client.uid("STORE", "6", "+FLAGS", "($k2)"),
                lambda: client.append("INBOX", None, None, mail("more")),
                lambda: (client.uid("STORE", "5", "+FLAGS", "(\\Deleted)"),
                         client.expunge())[1])):
            (path,) = [p for p in home.glob("cur/*")  # names have no order
                       if p.read_bytes().endswith(b"\nn%d\n" % number)]
            path.unlink()
            self.ok(client.noop())
            self.ok(client.noop())
            self.assertEqual(client.uid("SEARCH", "ALL")[1][0].split()[0],
                             b"%d" % (number + 2))
            self.ok(change())
            self.same_mail("INBOX")

    def test_marked(self):
        """Goal: flags that Dovecot finds in names of files are told with the
        change that has it look there, or the next.  Method: files are renamed
        as a mail reader does that works in the Maildir; EXPUNGE looks, and
        NOOP, of which nobody hears."""
        one = self.login()
        for n in range(3):
            self.append(one, "INBOX", f"n{n}", "(\\Answered)")
        self.ok(one.select("INBOX"))
        self.ok(one.uid("STORE", "3", "+FLAGS", "(\\Deleted)"))
        home = self.dovecot.d / "mail" / self.user / "Maildir"
        for number, look in enumerate((one.expunge, one.noop)):
            (path,) = [p for p in home.glob("cur/*")
                       if p.read_bytes().endswith(b"\nn%d\n" % number)]
            path.rename(path.with_name(path.name.replace(":2,", ":2,F")))
            past = time.time() - 60 + number  # or it looks a second later
            os.utime(home / "cur", (past, past))
            self.ok(look())
            if look == one.noop:
                self.append(one, "INBOX", "next")
            self.assertIn("\\flagged", self.stored("INBOX")[number + 1][0])
            self.same_mail("INBOX")

    def test_huge_copied(self):
        """Goal: the same of a message that has just come in, whose file is
        found by the list's end.  Method: a file's name says so; COPY."""
        self.before("huge", "a")
        (path,) = [p for p in (self.home / "dovecot/mail" / self.user).rglob(
            "*,S=*") if b"huge" in p.read_bytes()]
        name, size = re.sub(",S=.*", "", path.name), (1 << 32) + 1
        path.rename(path.with_name(f"{name},S={size},W={size}:2,"))
        one = self.login()
        self.ok(one.create("A"))
        self.ok(one.select("INBOX"))
        self.ok(one.uid("COPY", "1:*", "A"))
        self.logged("left out: message 2 of mailbox A")
        self.append(self.login(), "A", "c")
        self.assertEqual(set(self.stored("A")), {1, 3})
        self.assertEqual(self.intents(), [])

    def test_lost_index(self):
        """Goal: a mailbox whose index is gone stays the mailbox that it is.
        Method: its files are removed, and a message is appended, delivered, by
        a process that has not looked at it; Dovecot makes the index anew under
        who has it open, who may have to try again."""
        one = self.login()
        for name in ("A", "B"):
            self.ok(one.create(name))
            self.append(one, name, "first", "(\\Seen $k)")
            self.append(one, name, "second")
        told = self.told()
        self.leave(one)
        home = next(self.dovecot.d.rglob(f"{self.user}/Maildir"))
        for name, bring in (
                ("A", lambda: self.login().append("A", None, None,
                                                  mail("more"))[0] == "OK"),
                ("B", lambda: self.deliver("B", "more") == 0)):
            for path in (home / f".{name}").glob("dovecot.index*"):
                path.unlink()
            self.assertTrue(bring() or bring(), self.log())
            self.same_mail(name)
            self.assertEqual(len(self.stored(name)), 3)
        self.assertEqual(self.told(), told)
        self.assertNotIn("new GUID", self.log())

    def read_of(self, path, change):
        """Bytes that a session's change reads of a file, or None."""
        log = self.dovecot.d / f"trace.{self.user}"
        try:
            client = imaplib.IMAP4_stream(
                f"exec strace -qq -y -o {log} -e trace=read,pread64 "
                f"/usr/lib/dovecot/imap -c {self.dovecot.conf} -u {self.user} "
                "2>/dev/null")
        except (imaplib.IMAP4.error, OSError):
            change(self.login())
            return None  # strace cannot trace here
        change(client)
        client.logout()
        return sum(int(line.rsplit("= ", 1)[1]) for line in
                   log.read_text().splitlines()
                   if f"<{path.resolve()}>" in line and "= -" not in line)


class MaildirCrlf(MessageCase):
    """Files have the lines of IMAP."""
    LOCATION = "maildir:~/Maildir"
    MORE = "mail_save_crlf = yes\n" + MessageCase.MORE
    test_odd = Sdbox.test_odd
    test_composed = Sdbox.test_composed


class Mdbox(Sdbox):
    LOCATION = "mdbox:~/mail"


class Killed(MessageCase):
    """Processes that die between an intent about messages and its outcome."""
    with_relay = True

    def die(self, at, lines, is_warm=False):
        """IMAP in INBOX, of whose last command the process dies there; one
        that has changed it before announces in one round trip."""
        client = self.login()
        self.ok(client.select("INBOX"))
        if is_warm:
            self.append(client, "INBOX", "warm")
        self.relay.arm(at)
        client.send(b"x " + lines + b"\r\n")
        self.assertTrue(self.relay.held.wait(30), self.log())
        self.dovecot.kill_imap()
        client.shutdown()
        self.relay.arm(None)

    def test_killed(self):
        """Goal: messages that were about to change when a process died are
        settled as what Dovecot has, before the user's next change.  Method:
        SIGKILL while the answer to the intent is held back (nothing changed),
        and while the outcome is (it has); then a change of that mailbox, of
        another, of a folder."""
        client = self.login()
        self.ok(client.create("A"))
        for text in ("a", "b", "c", "d", "e"):
            self.append(client, "INBOX", text)
        client.shutdown()
        text = mail("appended")
        number = 0
        kinds = set()
        self.relay.before = kinds.add
        commands = (b"APPEND INBOX {%d+}\r\n%s" % (len(text), text),
                    b"UID STORE 1:2 +FLAGS (\\Flagged $k)",
                    b"UID STORE 1 FLAGS (\\Deleted)",
                    b"EXPUNGE", b"UID COPY 3 A", b"UID MOVE 4 A",
                    b"APPEND INBOX {%d+}\r\n%s" % (len(text), text),
                    b"UID STORE 3 FLAGS (\\Deleted)", b"EXPUNGE",
                    b"UID COPY 5 A")
        for i, lines in enumerate(commands):
            for at in ("intent", "outcome"):
                self.die(at, lines, i >= 6)
                (left,) = self.intents()
                self.assertEqual((left["producer"], left["kind"]),
                                 ("dovecot", "messages"))
                client = self.login()
                number += 1
                if number % 3 == 0:
                    self.append(client, "INBOX", "next")
                elif number % 3 == 1:
                    self.append(client, "A", "next")
                else:
                    self.ok(client.create(f"n{number}"))
                client.shutdown()
                self.assertEqual(self.intents(), [])
                self.same_mail("INBOX", "A")
        self.assertIn(dovetest.BEGIN, kinds)

    def test_gone(self):
        """Goal: what is left open about a mailbox that went is closed by the
        user's next change.  Method: a process dies, and the mailbox is deleted
        without the plugin; with it."""
        text = mail("appended")
        for without in (WITHOUT, ()):
            client = self.login()
            self.ok(client.create("A"))
            self.append(client, "INBOX", "a")
            client.shutdown()
            self.die("outcome", b"APPEND A {%d+}\r\n%s" % (len(text), text))
            self.assertEqual(self.doveadm("delete", "A", without=without)[0],
                             0)
            client = self.login()
            self.append(client, "INBOX", "b")
            self.same_mail("INBOX")
            self.same(client)

    def test_short(self):
        """Goal: what is short comes with its outcome, all else before it, and
        both are what Dovecot has, whatever it becomes on the way.  Method:
        bodies of some lengths; one of short lines, which are longer as IMAP
        has them than on disk; three in one APPEND; requests are counted."""
        client = self.login()
        self.append(client, "INBOX", "first")
        kinds = []
        self.relay.before = kinds.append
        self.append(client, "INBOX", "short")
        self.assertEqual(kinds, [dovetest.BEGIN, dovetest.TAKE])
        head = b"Subject: x\r\n\r\n"
        for n in (0, 1, 2048, 32 << 10, (32 << 10) - len(head) - 2, 1 << 16):
            self.ok(client.append("INBOX", "()", None,
                                  head + n * b"x" + b"\r\n"))
        del kinds[:]
        self.ok(client.append("INBOX", "()", None, head + 20000 * b"\r\n"))
        self.assertEqual(kinds, [dovetest.BEGIN, BLOB_LAST, dovetest.TAKE])
        del kinds[:]
        client.send(b"x APPEND INBOX" + b"".join(
            b" {%d+}\r\n%s" % (len(text), text)
            for text in (mail("a"), mail("b"), mail("c"))) + b"\r\n")
        while not client.readline().startswith(b"x OK"):
            continue
        self.assertEqual(kinds, [dovetest.BEGIN, BLOB_LAST, BLOB_LAST,
                                 dovetest.TAKE])
        self.assertEqual(len(self.stored("INBOX")), 12)
        self.same_mail("INBOX")

    def test_first(self):
        """Goal: the first change that a process makes of a mailbox asks as
        any other where nobody has changed it otherwise, and else finds what
        was.  Method: requests of an APPEND by a new session are counted; then
        messages are copied without the plugin, and one goes."""
        client = self.login()
        for text in ("a", "b"):
            self.append(client, "INBOX", text)
        self.leave(client)
        kinds = []
        self.relay.before = kinds.append
        self.append(self.login(), "INBOX", "c")
        self.assertEqual(kinds[-2:], [dovetest.BEGIN, dovetest.TAKE])
        self.assertEqual(len(kinds), 3)  # and hello
        self.relay.before = None
        self.same_mail("INBOX")
        for words in (("copy", "-u", self.user, "INBOX", "mailbox", "INBOX"),
                      ("expunge", "-u", self.user, "mailbox", "INBOX", "uid",
                       "1")):
            self.assertEqual(self.dovecot.doveadm(*WITHOUT, *words)[0], 0)
            self.append(self.login(), "INBOX", words[0])
            self.same_mail("INBOX")
        self.assertEqual(self.intents(), [])

    def test_copied(self):
        """Goal: bytes of a message that is copied are not sent again.  Method:
        how much goes to the service for an APPEND of 1 MiB, and for COPY."""
        client = self.login()
        self.ok(client.append("INBOX", "()", None, mail("x", 1 << 18)))
        self.assertGreater(self.relay.sent, 1 << 18)
        self.ok(client.select("INBOX"))
        self.relay.sent = 0
        self.ok(client.uid("COPY", "1", "INBOX"))
        self.assertLess(self.relay.sent, 1 << 14)
        self.same_mail("INBOX")

    def test_lost(self):
        """Goal: a service that goes away between intent and outcome costs a
        user nothing, and the outcome is told later.  Method: the connection
        is closed where the outcome comes."""
        client = self.login()
        self.append(client, "INBOX", "a")
        self.relay.arm("lost")
        self.append(client, "INBOX", "b")
        self.assertTrue(self.relay.held.wait(30))
        self.relay.arm(None)
        self.assertEqual(len(self.intents()), 1)
        self.logged("not told yet")
        self.append(client, "INBOX", "c")
        self.same_mail("INBOX")


class KilledMaildir(Killed):
    LOCATION = "maildir:~/Maildir"

    def test_tick(self):
        """Goal: a message that a process brought before it died is settled
        also where no time of a directory shows it, which two changes in one
        tick of the file system's clock have in common.  Method: death before
        the change, of which the file is put there by hand; the directory gets
        back the time that Dovecot has seen."""
        self.append(self.login(), "INBOX", "first", "(\\Flagged)")
        cur = self.dovecot.d / "mail" / self.user / "Maildir" / "cur"
        seen = time.time_ns() + 60 * 10 ** 9  # compared with now, in seconds
        os.utime(cur, ns=(seen, seen))
        text = mail("second")
        self.die("intent", b"APPEND INBOX (\\Seen) {%d+}\r\n%s" % (
            len(text), text))
        path = cur / f"{int(time.time())}.M1P1.x:2,S"
        path.write_bytes(text)
        os.chown(path, cur.stat().st_uid, cur.stat().st_gid)
        os.utime(cur, ns=(seen, seen))
        client = self.login()
        self.ok(client.create("next"))
        self.assertEqual(set(self.stored("INBOX")), {1, 2}, self.log())
        self.leave(client)
        self.same_mail("INBOX")


class Slow(MessageCase):
    """Where there is more mail than one change may wait for."""
    MORE = "plugin {\n  mbj_timeout = 2\n}\n"
    with_relay = True

    def test_slow(self):
        """Goal: a mailbox that was full before the plugin comes into the store
        piece by piece, with changes in between, and an intent stays open for
        as long.  Method: 300 messages, a service that takes 5 ms for each
        request, of which each message is one, where one change may take a
        second."""
        client = self.without()
        self.ok(client.append("INBOX", "()", None, mail("old")))
        self.ok(client.select("INBOX"))
        for _ in range(8):
            self.ok(client.uid("COPY", "1:*", "INBOX"))
        self.ok(client.uid("COPY", "1:44", "INBOX"))
        self.relay.delay = 0.005
        number = 0
        one = self.login()
        while number == 0 or self.intents():
            self.append(one, "INBOX", f"new {number}")
            number += 1
        self.relay.delay = 0
        self.assertGreater(number, 1)
        self.assertEqual(len(self.stored("INBOX")), 300 + number)
        self.same_mail("INBOX")


    def test_aside(self):
        """Goal: a change of another mailbox does not wait for old mail as long
        as one of its own.  Method: the same in A, then an APPEND to INBOX; a
        sixteenth of two seconds has at most 25 requests of 5 ms."""
        client = self.without()
        self.ok(client.create("A"))
        self.ok(client.append("A", "()", None, mail("old")))
        self.ok(client.select("A"))
        for _ in range(8):
            self.ok(client.uid("COPY", "1:*", "A"))
        one = self.login()
        self.append(one, "INBOX", "first")  # which makes it
        self.relay.delay = 0.005
        self.append(one, "A", "new")
        before = len(self.stored("A"))
        self.assertLess(before, 257)
        self.append(one, "INBOX", "new")
        self.relay.delay = 0
        more = len(self.stored("A")) - before
        self.assertGreater(more, 0)
        self.assertLessEqual(more, 26)
        while self.intents():
            self.append(self.login(), "A", "new")
        self.same_mail("A", "INBOX")

    def test_waited(self):
        """Goal: what a user copies is in the journal at once, however long
        the change waited for another.  Method: a session that holds the lock
        until the service has not answered for two seconds; a COPY that waits
        for it, where a change may bring in old mail for one."""
        one, two = self.login(), self.login()
        for name in ("A", "B"):
            self.ok(one.create(name))
        for number in range(8):
            self.append(one, "INBOX", f"{number}")
        self.append(two, "A", "one")
        for client in (one, two):
            self.ok(client.select("INBOX"))
        self.relay.arm("intent")
        one.send(b"x STORE 1 +FLAGS (\\Flagged)\r\n")
        self.assertTrue(self.relay.held.wait(30))
        self.relay.arm(None)
        self.ok(two.uid("COPY", "1:8", "A"))
        self.assertEqual(len(self.stored("A")), 9)
        self.same_mail("A", "INBOX")


class Lazy(MessageCase):
    """A plugin that copies what is expunged, on the way of the commit."""
    MORE = """
mail_plugins = $mail_plugins lazy_expunge
plugin {
  lazy_expunge = Gone
}
"""

    def test_lazy(self):
        """Goal: what a plugin does to other mailboxes in the middle of a
        change is in the journal, too, also a mailbox that it makes.  Method:
        lazy_expunge; expunge, move."""
        one = self.login()
        for text in ("a", "b", "c"):
            self.append(one, "INBOX", text, "(\\Seen)")
        self.ok(one.select("INBOX"))
        self.ok(one.uid("STORE", "1:2", "+FLAGS", "(\\Deleted)"))
        self.ok(one.expunge())
        self.same_mail("INBOX", "Gone")
        self.assertEqual(len(self.stored("Gone")), 2)
        self.append(one, "INBOX", "d")
        self.ok(one.uid("STORE", "3", "+FLAGS", "(\\Deleted)"))
        self.ok(one.expunge())
        self.same_mail("INBOX", "Gone")
        self.same(self.login())
        self.assertNotRegex(self.log(), "mbj: |[Pp]anic")


if __name__ == "__main__":
    if not dovetest.can_run():
        print("SKIPPED: there is no Dovecot, or no plugin for it")
        sys.exit(77)
    unittest.main(warnings=os.environ.get("PYTHONWARNINGS", "ignore"))
