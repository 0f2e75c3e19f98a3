"""The plugin in a real Dovecot whose indexes are older than its mailboxes, as
they are where sessions change them at once; and mailboxes that get another
GUID, with their mail."""
import imaplib
import re
import shlex
import shutil
import subprocess
import sys
import threading
import unittest

import dovetest
from messagetest import LDA, MessageCase, mail


class Sdbox(MessageCase):
    with_relay = True

    @property
    def home_dir(self):
        return self.dovecot.d / "mail" / self.user

    def box_dir(self, name):
        (box,) = [d for d in self.home_dir.rglob("*")
                  if d.name in (name, "." + name) and d.is_dir()]
        return box

    def list_index(self):
        """The list's index as it is now: to be what it is then again."""
        files = {path: path.read_bytes()
                 for path in self.home_dir.rglob("dovecot.list.index*")}
        self.assertTrue(files)
        return files

    @staticmethod
    def put(files):
        for path, data in files.items():
            path.write_bytes(data)

    def behind(self, source, target):
        """RENAME, of which the journal hears nothing: the next change of it
        has all mailboxes compared."""
        self.assertEqual(self.doveadm("rename", source, target, without=(
            "-o", "mail_plugins=")), (0, ""))

    def back(self):
        """A with two messages, which the journal has deleted, is there again
        under its GUID, which is returned.  Two is behind the journal."""
        one = self.login()
        for name in ("A", "One"):
            self.ok(one.create(name))
        for text in ("a", "b"):
            self.append(one, "A", text, "(\\Seen $k)")
        guid = dovetest.tree_of(one)["A"][0]
        self.leave(one)
        aside = self.dir / "aside"
        box = self.box_dir("A")
        box.rename(aside)
        self.behind("One", "Two")
        one = self.login()
        self.ok(one.rename("Two", "One"))
        self.leave(one)
        self.assertNotIn("A", self.told())
        aside.rename(box)
        self.behind("One", "Two")
        return guid

    def test_renewed(self):
        """Goal: a mailbox that comes back with the GUID of one that went gets
        another one, once, and the journal has it with its mail at once; an
        index of the list that says the former GUID again changes nothing.
        Method: files are put back behind Dovecot; a change of another
        mailbox meets it."""
        guid = self.back()
        former = self.list_index()
        one = self.login()
        self.ok(one.rename("Two", "One"))
        self.assertNotEqual(self.told()["A"][0], guid)
        self.same_mail("A")
        self.same(one)
        self.leave(one)
        told = self.told()["A"]
        self.behind("One", "Two")
        self.put(former)
        one = self.login()
        self.ok(one.rename("Two", "One"))
        self.assertEqual(self.told()["A"], told)
        self.same_mail("A")
        self.same(one)
        self.assertEqual(len(re.findall("new GUID for A", self.log())), 1,
                         self.log())

    def test_died(self):
        """Goal: so it is where the process dies that gave the GUID, and the
        next change is of another mailbox.  Method: it is killed when the
        journal has the mailbox and not its mail yet."""
        self.back()
        held, end, told = threading.Event(), threading.Event(), []

        def before(kind):
            told.append(kind)
            # A listing that is refused, the mailbox anew, its mail.
            if sum(kind in self.relay.SUBMITS for kind in told) == 3:
                held.set()
                end.wait()
        client = self.login()
        self.relay.before = before
        client.send(b"x RENAME Two One\r\n")
        self.assertTrue(held.wait(60), self.log())
        self.relay.before = None
        self.dovecot.kill_imap()
        end.set()
        self.leave(client)
        self.assertEqual(self.stored("A"), {})
        client = self.login()
        self.told_once(client)

    def told_once(self, client):
        """The next change tells A with its mail, under the one new GUID."""
        self.ok(client.create("C"))
        self.same_mail("A")
        self.same(client)
        self.assertFalse(list(self.home_dir.rglob("mbj-spool")))
        self.assertEqual(len(re.findall("new GUID for A", self.log())), 1,
                         self.log())

    def test_gone(self):
        """Goal: so it is where the service goes away when the GUID was given,
        and the change at hand is refused.  Method: nothing reaches it from
        then on."""
        self.back()

        def before(_):
            if list(self.home_dir.rglob("mbj-spool")):
                raise OSError("gone")
        client = self.login()
        self.relay.before = before
        self.no(client.rename("Two", "One"), "not available")
        self.relay.before = None
        self.told_once(client)

    def test_only(self):
        """Goal: a process that dies between the new GUID and the group that
        tells it leaves a storage that is the account's, also where that was
        the only mailbox.  Method: that, by deliveries; INBOX was never
        made."""
        def save():
            return subprocess.Popen(
                ["doveadm", "-c", self.dovecot.conf, "save", "-u", self.user,
                 "-m", "A"], stdin=subprocess.PIPE)
        self.assertEqual(self.doveadm("create", "A"), (0, ""))
        with save() as process:
            process.communicate(b"Subject: a\n\na\n")
        self.assertEqual(len(self.stored("A")), 1)
        self.assertEqual(self.doveadm(
            "update", "--uid-validity", "4000000000", "A",
            without=("-o", "mail_plugins="))[0], 0)
        held, end = threading.Event(), threading.Event()

        def before(_):
            if list(self.home_dir.rglob("mbj-spool")):
                held.set()
                end.wait()
        self.relay.before = before
        with save() as process:
            process.stdin.write(b"Subject: b\n\nb\n")
            process.stdin.close()
            self.assertTrue(held.wait(60), self.log())
            self.relay.before = None
            process.kill()
        end.set()
        with save() as process:
            process.communicate(b"Subject: c\n\nc\n")
            self.assertEqual(process.returncode, 0, self.log())
        self.assertEqual(self.told()["A"][1], 4000000000)
        self.same_mail("A")

    def test_other(self):
        """Goal: so it is with one that got another UIDVALIDITY: its change is
        refused once, and its mail is told all the same.  Method: it gets one
        without the plugin."""
        one = self.login()
        self.ok(one.create("A"))
        for text in ("a", "b"):
            self.append(one, "A", text)
        self.leave(one)
        self.assertEqual(self.doveadm(
            "update", "--uid-validity", "4000000000", "A",
            without=("-o", "mail_plugins="))[0], 0)
        one = self.login()
        self.no(one.append("A", "()", None, b"x: y\r\n\r\n"), "try again")
        self.leave(one)
        self.same_mail("A")
        self.assertEqual(self.told()["A"][1], 4000000000)

    def test_list(self):
        """Goal: a mailbox is there for the journal also where a session has not
        heard of it by the list's index.  Method: that is what it was when the
        name was a place only, and the session has read it; a process has died
        that was about to change something, so its change has all mailboxes
        compared."""
        one = self.login()
        for name in ("A", self.SEPARATOR.join(("P", "below"))):
            self.ok(one.create(name))
        self.assertIsNone(dovetest.tree_of(one)["P"])
        self.ok(one.list())  # or INBOX is new, and the index out of date
        former = self.list_index()
        two = self.login()
        self.ok(two.create("P"))
        self.append(two, "P", "a")
        self.leave(two)
        told = self.told()
        self.relay.arm("intent")
        with subprocess.Popen(["doveadm", "-c", self.dovecot.conf, "mailbox",
                               "create", "-u", self.user, "B"]) as process:
            self.assertTrue(self.relay.held.wait(60), self.log())
            process.kill()
        self.relay.arm(None)
        self.put(former)
        self.ok(one.subscribe("A"))
        self.leave(one)
        self.assertEqual(self.told(), told)
        for path in former:
            path.unlink()
        self.same(self.login())
        self.same_mail("P")


    def test_damaged(self):
        """Goal: a list's index that cannot be read ends no session, and no
        change that Dovecot could make.  Method: its log cut at each eighth,
        before the first change of a session that makes a folder."""
        one = self.login()
        self.ok(one.create("A"))
        self.append(one, "A", "a")
        for eighth in range(8):
            self.leave(one)
            one = self.login()
            self.ok(one.list())
            self.leave(one)
            (log,) = self.home_dir.rglob("dovecot.list.index.log")
            data = log.read_bytes()
            log.write_bytes(data[:len(data) * eighth // 8])
            one = self.login()
            self.append(one, "A", "a")
            self.ok(one.create(f"B{eighth}"))
            self.assertEqual(set(self.told()), {"INBOX", "A"} | {
                f"B{n}" for n in range(eighth + 1)})
        self.same_mail("A")
        self.assertNotRegex(self.log(), "[Pp]anic|mbj: ")


class Maildir(Sdbox):
    LOCATION = "maildir:~/Maildir"
    SEPARATOR = "."

    def torn_append(self, name):
        """An APPEND that has opened the mailbox, and waits for the message,
        when the index's log ends before the last message that it has, which
        is then in it again.  Returns: it was not looked for by the clock."""
        log = self.box_dir(name) / "dovecot.index.log"
        whole = log.read_bytes()
        dump = subprocess.run(["doveadm", "dump", log], check=True,
                              capture_output=True, text=True).stdout
        records = re.findall(r"record: offset=(\d+), type=(\S+)", dump)
        at = max(k for k, r in enumerate(records) if r[1] == "append")
        at = max(k for k in range(at) if records[k][1] == "boundary")
        end = int(records[at][0])
        client = self.login()
        log.write_bytes(whole[:end])
        text = mail("c")
        client.send(b"x APPEND %b {%d}\r\n" % (name.encode(), len(text)))
        self.assertEqual(client.readline()[:1], b"+")
        is_unseen = log.stat().st_size == end
        if is_unseen:
            log.write_bytes(whole)
        client.send(text + b"\r\n")
        self.assertIn(b"x OK", client.readline())
        self.leave(client)
        return is_unseen

    def test_torn(self):
        """Goal: a message is not taken for one that went where a session has
        the mailbox's index from just before it came.  Method: Dovecot writes
        there first that it has seen the directories, and then that the
        message is there; it is opened in between.  A second later it would
        look into the directories again: then once more, in another one."""
        for i in range(20):
            name = f"A{i}"
            one = self.login()
            self.ok(one.create(name))
            # With flags they go where nobody moves them from.
            self.append(one, name, "a", "(\\Seen)")
            self.append(one, name, "b", "(\\Seen)")
            self.leave(one)
            if self.torn_append(name):
                break
        else:
            self.skipTest("this machine is too slow")
        self.same_mail(name)
        self.assertEqual(len(self.stored(name)), 3)

    def test_memory(self):
        """Goal: what a process does that has the index in memory is told, or
        with the next change.  Method: no room as it opens that: a delivery to
        a mailbox that it makes, and to one that has a message; STORE and
        EXPUNGE."""
        dovetest.need_strace(self)
        one = self.login()
        self.append(one, "INBOX", "a")
        self.ok(one.create("B"))
        self.append(one, "B", "b")
        self.leave(one)
        for count, name in ((1, "A"), (2, "B")):
            said = self.dir / f"trace {name}"
            subprocess.run(
                [*self.no_room(said, name), LDA, "-c", self.dovecot.conf,
                 "-d", self.user, "-m", name],
                input=b"Subject: c\n\nc\n", check=True)
            self.assertIn("(INJECTED)", said.read_text())
            self.same_mail(name)
            self.assertEqual(len(self.stored(name)), count)
        for flag in ("\\Flagged", "\\Deleted"):
            said = self.dir / f"trace {flag[1:]}"
            one = imaplib.IMAP4_stream(" ".join(
                [*map(shlex.quote, self.no_room(said, "B")),
                 f"/usr/lib/dovecot/imap -c {self.dovecot.conf} -u "
                 f"{self.user} 2>/dev/null"]))
            self.ok(one.select("B"))
            self.ok(one.store("1", "+FLAGS", f"({flag})"))
            self.ok(one.expunge())
            self.leave(one)
            self.assertIn("(INJECTED)", said.read_text())
            one = self.login()
            self.append(one, "INBOX", "d")
            self.leave(one)
            self.same_mail("B")
        self.assertEqual(len(self.stored("B")), 1)

    def no_room(self, said, name):
        log = self.box_dir("B").with_name(f".{name}") / "dovecot.index.log"
        return ["strace", "-qq", "-o", str(said), "-P", str(log), "-e",
                "inject=openat:error=ENOSPC:when=1"]


class Mdbox(MessageCase):
    """Mailboxes that are an index, of messages that are elsewhere."""
    LOCATION = "mdbox:~/mail"

    def test_rebuilt(self):
        """Goal: mailboxes that Dovecot makes again, with the mail that it finds
        of them, while it has others half made, are in the journal with the
        user's next change; and nothing ends in a panic.  Method: the
        directories of two removed, force-resync; one that is left gets mail
        of another, to where that came first, and a change by itself."""
        one = self.login()
        for name in ("T", "T/U", "W"):
            self.ok(one.create(name))
            for number in range(4):
                self.append(one, name, f"{name}{number}", "(\\Seen $k)")
        self.append(one, "INBOX", "in")
        self.ok(one.select("T"))
        self.ok(one.uid("MOVE", "1:2", "W"))
        self.leave(one)
        home = self.dovecot.d / "mail" / self.user / "mail/mailboxes"
        for name in ("T/U", "W"):
            shutil.rmtree(home / name)
        status, text = self.dovecot.doveadm("force-resync", "-u", self.user,
                                            "*")
        self.assertEqual(status, 0, text)
        self.assertNotRegex(text, "mbj: |Panic")
        self.append(self.login(), "INBOX", "more")
        self.same(self.login())
        self.same_mail("INBOX", "T/U", "W")
        self.append(self.login(), "T", "more")
        self.same_mail("T")
        self.assertEqual([len(self.stored(name)) for name in
                          ("T", "T/U", "W")], [5, 4, 4])
        self.assertFalse((home.parent / "mbj-spool").exists())


class Layout(MessageCase):
    """Names that are in the list's index alone."""
    LOCATION = "sdbox:~/mail:LAYOUT=index"

    def test_lost(self):
        """Goal: a list's index that Dovecot makes anew, out of what mailboxes
        say of their names, locks nobody out, and changes nothing in the
        journal but names that Dovecot changes: of A, where it has found A/B
        before it.  Method: it is removed; LIST, and a change in each mailbox."""
        one = self.login()
        names = ("INBOX", "A", "A/B", "C")
        for name in names:
            if name != "INBOX":
                self.ok(one.create(name))
            self.append(one, name, "before")
        before = self.told()
        self.leave(one)
        for path in (self.dovecot.d / "mail" / self.user).rglob(
                "dovecot.list.index*"):
            path.unlink()
        found = self.selectable(self.login())
        self.assertEqual(len(found), len(names), found)
        for name in found:
            self.append(self.login(), name, "behind")
        self.same(self.login())
        self.same_mail(*found)
        if sorted(found) == sorted(names):
            self.assertEqual(self.told(), before)
        else:
            self.assertTrue(any(name.startswith("A-recovered-lost-folder-")
                                for name in found), found)

    def selectable(self, one):
        answer = one.list()
        self.ok(answer)
        return [line.decode().rsplit(' ', 1)[1] for line in answer[1]
                if b"Noselect" not in line]


if __name__ == "__main__":
    if not dovetest.can_run():
        print("SKIPPED: there is no Dovecot, or no plugin for it")
        sys.exit(77)
    unittest.main()
