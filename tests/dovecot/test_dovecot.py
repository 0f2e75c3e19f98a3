"""The plugin in a real Dovecot: what users do to folders is in the journal."""
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

import dovetest
from dovetest import DovecotCase, encode

WITHOUT = ("-o", "mail_plugins=")


class Sdbox(DovecotCase):
    """Folders, in dbox: places in paths are directories."""

    def sessions(self):
        return self.login(), self.login()

    def path(self, *names):
        return encode(self.SEPARATOR.join(names))

    def left_alone(self):
        """Sessions that go on without a change give their connection back,
        and have another one with the next."""
        for _ in range(300):
            if self.mbj("status", self.socket, "--json").json()[
                    "service"]["connections"] == 1:  # that one
                return
            time.sleep(0.1)
        self.fail("somebody keeps a connection")

    def test_day(self):
        """Goal: after whatever users do, the store has Dovecot's tree, with
        its GUIDs and UIDVALIDITY values, and so has a replica.  Method: two
        sessions of one user; what came out is asked of LIST and STATUS."""
        one, two = self.sessions()
        path = self.path
        self.ok(one.create("A"))
        self.same(two)
        self.ok(two.create("B"))
        self.ok(one.create(path("x", "y", "z")))
        self.ok(two.create(encode("Gr\u00fc\u00dfe & \u6f22")))
        self.same(one)
        before = dovetest.tree_of(one)
        self.ok(one.rename("A", "t"))
        self.ok(two.rename("B", "A"))
        self.ok(one.rename("t", "B"))
        after = dovetest.tree_of(two)
        self.assertEqual((after["A"], after["B"]), (before["B"], before["A"]))
        self.same(two)
        self.ok(two.rename(path("x", "y"), path("B", "deep", "y")))
        self.same(one)
        self.ok(one.create(path("B", "deep")))
        self.same(one)
        self.ok(one.rename("B", "B2"))
        self.same(one)
        self.ok(one.rename(path("B2", "deep"), "deep"))
        self.ok(one.create(path("deep", "y")))
        self.same(one)
        self.ok(one.delete(path("deep", "y")))
        self.same(two)
        self.ok(one.delete(path("deep", "y", "z")))
        self.same(two)
        self.ok(one.delete("B2"))
        self.ok(one.create("B2"))
        self.same(two)
        self.ok(one.subscribe("A"))
        self.assertEqual(self.doveadm(
            "subscribe", self.SEPARATOR.join(("no", "such"))), (0, ""))
        self.same(one)
        self.ok(one.rename("A", "A9"))
        self.ok(one.unsubscribe("A"))
        self.ok(one.unsubscribe("A"))
        self.same(two)
        self.left_alone()
        self.no(one.create("A9"))
        self.no(one.delete("none"))
        self.no(one.rename("A9", "B2"))
        self.same(two)
        self.replica()
        for line in self.log().splitlines():
            self.assertNotRegex(line, "mbj|[Pp]anic|Error", line)

    def behind(self, source, target):
        """A rename by a process without the plugin."""
        self.assertEqual(self.doveadm("rename", source, target,
                                      without=WITHOUT), (0, ""))

    def replica(self):
        """A replica of the journal has the same."""
        self.stop_service()
        self.mbj("init", self.r, "--role", "replica")
        self.agree()
        self.assertEqual(self.told(self.p), self.told(self.r))
        self.assertEqual(self.told_subscribed(self.p),
                         self.told_subscribed(self.r))
        self.serve()

    def test_first_use(self):
        """Goal: folders that were there before the plugin are in the account
        that the first change makes.  Method: made without the plugin."""
        for words in (["create", "-s", self.SEPARATOR.join(("old", "one"))],
                      ["create", "two"], ["subscribe", "INBOX", "gone"]):
            self.assertEqual(self.doveadm(*words, without=WITHOUT), (0, ""))
        self.mbj("tree", self.socket, self.user,
                 status=dovetest.mbjtest.FAILED)
        one, _ = self.sessions()
        self.ok(one.create("three"))
        self.same(one)
        self.assertIn("gone", self.told_subscribed())
        self.assertEqual(self.doveadm("rename", "two", "four"), (0, ""))
        self.same(one)

    def test_behind(self):
        """Goal: changes that were made without the plugin are found when a
        mailbox that they are about is changed, and nothing is mixed up.
        Method: a swap without it, then a rename with it."""
        one, _ = self.sessions()
        for name in ("A", "B"):
            self.ok(one.create(name))
        for source, target in (("A", "t"), ("B", "A"), ("t", "B")):
            self.behind(source, target)
        self.ok(one.rename("A", "C"))
        self.same(one)

    def test_again(self):
        """Goal: a mailbox that comes back with the GUID of one that went gets
        another GUID, and the account goes on.  Method: its directory is put
        aside behind Dovecot, a change settles that it is gone, it is put
        back, and the next change meets it."""
        one, _ = self.sessions()
        for name in ("A", "B"):
            self.ok(one.create(name))
        guid = dovetest.tree_of(one)["A"][0]
        mail = self.home / "dovecot" / "mail" / self.user
        (box,) = [d for d in mail.rglob("*") if d.name in ("A", ".A") and
                  d.is_dir()]
        aside = self.dir / "aside"
        box.rename(aside)
        self.behind("B", "C")
        self.ok(self.sessions()[0].rename("C", "D"))
        self.assertNotIn("A", self.told())
        aside.rename(box)
        self.behind("D", "E")
        two = self.sessions()[0]
        self.ok(two.rename("E", "F"))
        self.assertNotEqual(dovetest.tree_of(two)["A"][0], guid)
        self.same(two)

    def mailbox_dir(self, name):
        """Where a mailbox is in the file system."""
        (box,) = self.mailbox_dirs(name)
        return box

    def mailbox_dirs(self, name):
        mail = self.home / "dovecot" / "mail" / self.user
        return [d for d in mail.rglob("*")
                if d.name in (name, "." + name) and d.is_dir()]

    def doubt(self, client):
        """Have the next change read all: something was done behind it."""
        self.behind("doubt", "doubt2")
        self.ok(client.rename("doubt2", "doubt"))

    def test_legacy(self):
        """Goal: whatever there was before the plugin, a user's first change
        makes the account of it.  Method: a folder below an INBOX that nobody
        has opened, a name and a subscription that mbj refuses, two mailboxes
        with one UIDVALIDITY."""
        path = self.SEPARATOR.join
        bad, unknown = "line\u2028end", "q\u0378"
        for words in (["create", path(("INBOX", "Sent")), "a", "b", bad,
                       path((bad, "c")), path((unknown, "c")), unknown],
                      ["update", "--uid-validity", "1000", "a"],
                      ["update", "--uid-validity", "1000", "b"],
                      ["subscribe", bad, "a", unknown]):
            self.assertEqual(self.doveadm(*words, without=WITHOUT), (0, ""))
        one = self.login()
        self.ok(one.create("A"))
        self.logged("cannot have this name")
        have = {name: what for name, what in dovetest.tree_of(one).items()
                if bad not in name and unknown not in name}
        self.assertEqual(self.told(), {"INBOX": self.told()["INBOX"], **have})
        self.assertEqual(self.told()["a"][1], 1000)
        self.assertEqual(self.told()["b"][1], 1000)
        self.assertEqual(self.told_subscribed(), {"a"})
        self.ok(one.select("INBOX"))
        self.assertEqual(self.told()["INBOX"],
                         dovetest.tree_of(one)["INBOX"])

    def test_broken(self):
        """Goal: a mailbox that cannot be read, or whose deletion was begun by
        somebody who died, stays what it is in the store, and all others can be
        changed.  Method: no right to its files; the record of a deletion
        at the end of its index's log; no right to its directory, in which
        another one may be."""
        client = self.login()
        for name in ("A", "B", "doubt", "D", self.path("D", "below"),
                     self.path("P", "below")):
            self.ok(client.create(name))
        before = self.told()
        for name in ("A", "B"):
            box = self.mailbox_dir(name)
            log = next(box.rglob("dovecot.index.log"))
            whole = log.read_bytes()
            files = [f for f in log.parent.iterdir() if f.is_file()]
            if name == "A":
                for one in files:
                    one.chmod(0)
            else:  # 12 bytes, INDEX_DELETED | EXTERNAL
                log.write_bytes(whole + bytes.fromhex(
                    "80808083" "00000210" "00000000"))
            self.doubt(self.login())
            self.assertEqual(self.told(), before)
            # dbox has A's GUID in the list's index, too; of a Maildir its list
            # of messages is asked, which B has.
            if (name == "A") == self.LOCATION.startswith("maildir"):
                self.assertRegex(self.log(), f"taken as it was.* {name}[ :]")
            if name == "A":
                # Nothing is in doubt now: it is not even opened.
                said = self.log().count("taken as it was")
                self.ok(self.login().subscribe("B"))
                self.assertEqual(self.log().count("taken as it was"), said)
                for one in files:
                    one.chmod(0o600)
            else:
                log.write_bytes(whole)
        # Where directories are apart, P has none.
        closed = [box for name in ("D", "P")
                  for box in self.mailbox_dirs(name)]
        for box in closed:
            box.chmod(0)
        self.doubt(self.login())
        self.assertEqual(self.told(), before)
        for box in closed:
            box.chmod(0o700)
        two = self.login()
        self.ok(two.rename("A", "C"))
        self.same(two)

    def refused(self, client):
        """The next change cannot see all: the journal stays as it was."""
        before = self.told()
        self.behind("doubt", "doubt2")
        self.assertEqual(client.rename("doubt2", "doubt")[0], "NO")
        self.logged("cannot list directory")
        self.assertEqual(self.told(), before)
        self.behind("doubt2", "doubt")

    def test_unlisted(self):
        """Goal: what is in a directory that may be entered and not listed did
        not go: it stays, also where somebody renamed that; where nothing says
        what is in it the change is refused.  Method: such directories, of a
        mailbox, of a place, of all mailboxes."""
        below = [self.SEPARATOR.join(names) for names in (
            ("D", "below"), ("D", "below", "deep"), ("P", "below"))]
        client = self.login()
        for name in ("doubt", "D", *below):
            self.ok(client.create(encode(name)))
        self.ok(client.select("INBOX"))  # it is found all the same
        self.leave(client)
        before = self.told()
        is_tree = bool(self.mailbox_dirs("P"))  # or nothing is below it
        hidden = [box for name in "DP" for box in self.mailbox_dirs(name)]
        for box in hidden:
            box.chmod(0o300)
        self.doubt(self.login())
        self.assertEqual(self.told(), before)
        self.behind("D", "G")
        self.doubt(self.login())
        self.assertEqual(self.told(), {re.sub("^D", "G", name): what
                                       for name, what in before.items()})
        self.behind("G", "D")
        self.doubt(self.login())
        self.assertEqual(self.told(), before)
        if is_tree:
            self.assertRegex(self.log(), "taken as it was: cannot list .*/P:")
            self.behind("P", "Q")
            self.refused(self.login())
            self.behind("Q", "P")
            self.mailbox_dir("P").chmod(0o700)
        top = self.mailbox_dir("doubt").parent
        mode = top.stat().st_mode
        before = self.told()
        self.behind("doubt", "doubt2")
        top.chmod(0o300)
        client = self.login()
        self.no(client.rename("doubt2", "doubt"))
        self.logged(f"cannot list directory {top}")
        self.assertEqual(self.told(), before)
        top.chmod(mode)
        self.ok(client.rename("doubt2", "doubt"))
        for box in hidden:
            if box.exists():
                box.chmod(0o700)
        self.doubt(self.login())
        self.same(self.login())

    def test_hidden(self):
        """Goal: where the account is made, what cannot be listed comes in once
        it can, and what is below INBOX does not go either.  Method: folders
        from before the plugin."""
        path = self.SEPARATOR.join
        for name in ("D", path(("D", "x")), path(("INBOX", "Sent"))):
            self.assertEqual(self.doveadm("create", name, without=WITHOUT),
                             (0, ""))
        boxes = {"INBOX": self.mailbox_dirs("INBOX"),
                 "D": self.mailbox_dirs("D")}
        for box in boxes["D"]:
            box.chmod(0o300)
        self.assertEqual(self.doveadm("create", "doubt")[0], 0)
        is_tree = bool(boxes["INBOX"])
        self.assertEqual(path(("D", "x")) in self.told(), not is_tree)
        for box in boxes["D"]:
            box.chmod(0o700)
        self.behind("doubt", "doubt2")
        self.assertEqual(self.doveadm("rename", "doubt2", "doubt"), (0, ""))
        before = self.told()
        self.assertEqual(set(before), {"INBOX", "D", path(("D", "x")), "doubt",
                                       path(("INBOX", "Sent"))})
        for box in boxes["INBOX"]:
            box.chmod(0o300)
        self.behind("doubt", "doubt2")
        status, said = self.doveadm("rename", "doubt2", "doubt")
        self.assertEqual(status, 0, said)
        self.assertEqual("cannot list directory" in said, is_tree, said)
        self.assertEqual(self.told(), before)
        for box in boxes["INBOX"]:
            box.chmod(0o700)

    def test_children(self):
        """Goal: a place whose children went behind the plugin can be deleted.
        Method: that."""
        one = self.login()
        x, y = self.path("x"), self.path("x", "y")
        self.ok(one.create(encode("x" + self.SEPARATOR)))
        self.ok(one.create(y))
        self.same(one)
        self.assertEqual(self.doveadm(
            "delete", self.SEPARATOR.join("xy"), without=WITHOUT), (0, ""))
        self.ok(self.login().delete(x))
        self.same(self.login())

    def test_away(self):
        """Goal: without the service nothing changes, on either side, and
        nothing has to be mended afterwards.  Method: it is stopped, all kinds
        of changes are tried, it is begun again."""
        one, two = self.sessions()
        for name in ("A", "B"):
            self.ok(one.create(name))
        before = dovetest.tree_of(one)
        at = self.end()
        self.stop_service()
        for answer in (one.create("C"), one.delete("A"), one.rename("A", "C"),
                       two.subscribe("A"), one.create("B")):
            self.no(answer, "UNAVAILABLE")
        self.assertEqual(dovetest.tree_of(two), before)
        self.assertEqual(dovetest.subscribed(two), set())
        self.serve()
        self.assertEqual(self.end(), at)
        self.same(two)
        self.ok(two.rename("A", "C"))
        self.ok(one.subscribe("C"))
        self.same(one)

    def test_others(self):
        """Goal: whoever changes folders is captured.  Method: doveadm, with
        identities that change; a delivery that makes its mailbox."""
        one, _ = self.sessions()
        path = self.SEPARATOR.join
        for words in (["create", "A", path(("A", "b"))],
                      ["update", "--mailbox-guid", "01234567" * 4, "A"],
                      ["update", "--uid-validity", "4000000000", "A"],
                      ["update", "--mailbox-guid", "89abcdef" * 4, "INBOX"],
                      ["rename", "A", "B"], ["create", "C"],
                      ["delete", "C"]):
            self.assertEqual(self.doveadm(*words), (0, ""), words)
            self.same(self.login())
        self.assertEqual(self.told()["B"], ("01234567" * 4, 4000000000))
        subprocess.run(
            ["/usr/lib/dovecot/dovecot-lda", "-c", self.dovecot.conf, "-o",
             "lda_mailbox_autocreate=yes", "-o",
             "lda_mailbox_autosubscribe=yes", "-d", self.user, "-m", "new"],
            input=b"Subject: x\n\nx\n", check=True, timeout=60)
        self.same(one)
        self.assertIn("new", self.told())

    def test_settings(self):
        """Goal: a user of whom nothing could be captured is refused, with the
        reason.  Method: no socket, no time, indexes in memory, a format without
        GUIDs."""
        for setting, why in (
                ("plugin/mbj_socket=", "mbj_socket"),
                ("plugin/mbj_timeout=0", "mbj_timeout"),
                ("mail_location=sdbox:~/m:INDEX=MEMORY", "in memory"),
                ("mail_location=maildir:~/n:INDEX=MEMORY", "in memory"),
                ("mail_location=mbox:~/m", "INBOX is not in")):
            status, text = self.doveadm("create", "A",
                                        without=("-o", setting))
            self.assertNotEqual(status, 0)
            self.assertIn(why, text)

    def test_elsewhere(self):
        """Goal: another storage under the same user's name, or none at all
        where one was, changes nothing in the journal.  Method: dsync to a
        directory, a command with another location, the mail gone."""
        one = self.login()
        for name in ("A", "B"):
            self.ok(one.create(name))
        self.ok(one.subscribe("A"))
        before = self.told()
        other = f"maildir:{self.home}/dovecot/mail/other-{self.user}"
        status, text = self.dovecot.doveadm("backup", "-u", self.user, other)
        self.assertNotEqual(status, 0)
        self.assertIn("dsync changes nothing", text)
        self.assertEqual(self.dovecot.doveadm(
            *WITHOUT, "backup", "-u", self.user, other)[0], 0)
        elsewhere = ("-o", f"mail_location={other}-2")
        status, text = self.doveadm("create", "C", without=elsewhere)
        self.assertNotEqual(status, 0)
        self.assertIn("no mailbox of account", text)
        mail = self.home / "dovecot" / "mail" / self.user
        mail.rename(self.dir / "aside")
        self.no(self.login().create("C"), "no mailbox of account")
        shutil.rmtree(mail, ignore_errors=True)
        (self.dir / "aside").rename(mail)
        self.assertEqual(self.told(), before)
        self.assertEqual(self.told_subscribed(), {"A"})
        two = self.login()
        self.ok(two.create("C"))
        self.same(two)

    def test_unmounted(self):
        """Goal: a mailbox that got another GUID vouches for no storage that has
        it not.  Method: A comes back with the GUID of one that went; as the
        journal is told of it under another, somebody renames B there, so that
        the storage is read once more, and that is gone by then."""
        one = self.login()
        for name in ("A", "B"):
            self.ok(one.create(name))
        mail = self.home / "dovecot" / "mail" / self.user
        box, aside = self.mailbox_dir("A"), self.dir / "aside"
        box.rename(aside)
        self.behind("B", "C")
        self.ok(self.login().rename("C", "B"))
        aside.rename(box)
        self.behind("B", "C")
        relay = dovetest.Relay(self.home / f"between-{self.user}", self.socket)
        self.addCleanup(relay.close)
        kinds = []

        def before(kind):
            kinds.append(kind)
            if kinds.count(dovetest.SUBMIT) == 2:
                relay.before = None
                mail.rename(aside)
                self.mbj("rename", self.socket, self.user, "B>Z")
        relay.before = before
        status, said = self.doveadm(
            "rename", "C", "D",
            without=("-o", f"plugin/mbj_socket={relay.path}"))
        self.assertNotEqual(status, 0, kinds)
        self.assertIn("new GUID for A", said)
        self.assertIn("no mailbox of account", said)
        self.assertIsNone(relay.before)
        self.assertEqual(set(self.told()), {"INBOX", "Z"})
        shutil.rmtree(mail, ignore_errors=True)
        aside.rename(mail)
        two = self.login()
        self.ok(two.rename("C", "D"))
        self.same(two)

    def test_crowd(self):
        """Goal: sessions that change the same folders at the same time leave
        the store with Dovecot's tree.  Method: three of them, names from a
        few, whatever Dovecot says to each."""
        rng = dovetest.mbjtest.seed()
        names = [self.path(*n) for n in (
            "a", "b", "c", "ab", "bc") for n in (n, "x" + n)]
        self.ok(self.sessions()[0].create("a"))

        def work(client, steps):
            for step, one, two in steps:
                if step == 0:
                    client.create(one)
                elif step == 1:
                    client.delete(one)
                elif step == 2:
                    client.subscribe(one)
                else:
                    client.rename(one, two)
        crowd = [threading.Thread(target=work, args=(
            self.sessions()[0], [(rng.randrange(6), *rng.sample(names, 2))
                                 for _ in range(30)])) for _ in range(3)]
        for one in crowd:
            one.start()
        for one in crowd:
            one.join(120)
            self.assertFalse(one.is_alive())
        try:
            self.same(self.sessions()[0])
        except AssertionError:
            print(self.log())
            raise
        self.assertNotIn("told by the list", self.log())
        self.replica()

    def test_locked(self):
        """Goal: the file of the list's lock stays behind a change, and is
        taken as it is found by all, also by who removes it.  Method: a session
        and doveadm without the plugin, in turns, then both at once."""
        def locks():
            return [path for path in self.dovecot.d.rglob("mailboxes.lock*")
                    if self.user in path.parts]

        one = self.login()
        self.ok(one.create("A"))
        (lock,) = locks()
        number = lock.stat().st_ino
        self.ok(one.append("A", None, None, b"x\r\n"))
        self.ok(one.rename("A", "B"))
        self.assertEqual([path.stat().st_ino for path in locks()], [number])

        def beside(name):
            """What nobody is told of is gone again."""
            return [self.doveadm(word, name, without=WITHOUT)
                    for word in ("create", "delete")]

        self.assertEqual(beside("C"), [(0, "")] * 2)
        self.assertEqual(locks(), [])
        self.ok(one.create("D"))
        self.assertEqual(len(locks()), 1)
        said = []
        thread = threading.Thread(target=lambda: [
            said.extend(beside(f"X{n}")) for n in range(4)])
        thread.start()
        for n in range(40):
            self.ok(one.create(f"Y{n}"))
        thread.join()
        self.assertEqual(said, [(0, "")] * 8)
        self.ok(one.create("Z"))
        self.same(self.login())

    def test_refused(self):
        """Goal: what the journal cannot have does not happen in Dovecot.
        Method: a name that mbj refuses, for a new mailbox and an old one."""
        one, _ = self.sessions()
        self.ok(one.create("A"))
        before = dovetest.tree_of(one)
        for answer in (one.create(encode("line\u2028end")),
                       one.rename("A", encode("line\u2028end"))):
            self.no(answer, "CANNOT")
            self.no(answer, "line")  # the name that is refused
        self.assertEqual(dovetest.tree_of(one), before)
        self.same(one)

    def test_inbox(self):
        """Goal: where RENAME of INBOX hands its mailbox over (dbox), so it is
        in the journal, and the next INBOX is the same on both sides; where it
        is refused (Maildir), nothing happened.  Method: twice, then below."""
        one, two = self.sessions()
        self.ok(one.select("INBOX"))
        first = dovetest.tree_of(one)["INBOX"]
        answer = one.rename("INBOX", "old")
        if self.LOCATION.startswith("maildir"):
            self.no(answer, "CANNOT")
            self.ok(one.create("A"))
            self.same(one)
            return
        self.ok(answer)
        self.assertEqual(self.told()["old"], first)
        self.assertNotEqual(self.told()["INBOX"], first)
        self.ok(two.select("INBOX"))
        self.same(two)
        self.ok(two.create(self.path("INBOX", "below")))
        self.same(two)
        self.ok(two.rename("INBOX", "older"))
        self.ok(one.select("INBOX"))
        self.same(one)
        self.ok(one.rename("old", "oldest"))
        self.same(one)
        before = self.told()["INBOX"]
        shutil.rmtree(self.mailbox_dir("INBOX"))
        for path in self.mailbox_dir("mail").glob("storage/*"):
            path.unlink()
        three = self.login()
        self.ok(three.select("INBOX"))
        self.same(three)
        self.assertEqual(self.told()["INBOX"][0], before[0])
        self.assertGreater(self.told()["INBOX"][1], before[1])
        self.replica()

    def test_values(self):
        """Goal: a name and a UIDVALIDITY never mean two mailboxes.  Method:
        INBOX, which the plugin gives its value, is renamed to a name that
        Dovecot makes a new mailbox of, again and again."""
        if self.LOCATION.startswith("maildir"):
            self.skipTest("INBOX cannot be renamed there")
        client, seen = self.login(), {}
        dovetest.tree_of(client)  # makes INBOX
        for _ in range(6):
            for step in (lambda: client.rename("INBOX", "A"),
                         lambda: client.delete("A"),
                         lambda: client.create("A"),
                         lambda: client.delete("A")):
                self.ok(step())
                for path, (guid, value) in dovetest.tree_of(client).items():
                    self.assertEqual(seen.setdefault((path, value), guid),
                                     guid, (path, value))
        self.same(client)


class Maildir(Sdbox):
    """The same where a mailbox's name is one directory: Maildir++."""
    LOCATION = "maildir:~/Maildir"
    SEPARATOR = "."


class Mdbox(Sdbox):
    """The same once more: several mailboxes in one storage."""
    LOCATION = "mdbox:~/mail"


class Prefix(DovecotCase):
    """All folders are below INBOX, as many Maildirs have it."""
    LOCATION = "maildir:~/Maildir"
    SEPARATOR = "."
    PREFIX = "INBOX."
    MORE = """
namespace old {
  list = children
  location = maildir:~/Old
  prefix = Old.x.
  separator = .
}
"""

    def test_second(self):
        """Goal: folders of a second namespace are in the account, too.
        Method: each change there, and what is above it stays."""
        one = self.login()
        for change in (("create", "Old.x.a.b"), ("subscribe", "Old.x.a.b"),
                       ("rename", "Old.x.a.b", "Old.x.c"),
                       ("delete", "Old.x.c"), ("create", "INBOX.a")):
            self.ok(getattr(one, change[0])(*change[1:]))
        self.assertEqual({p for p in self.told() if self.told()[p]},
                         {"INBOX", "INBOX.a"})
        self.ok(one.create("Old.x.d"))
        self.assertEqual(self.told()["Old.x.d"],
                         dovetest.tree_of(self.login())["Old.x.d"])
        self.no(one.delete("Old.x.none"))

    def test_prefix(self):
        """Goal: names are those that users see, prefix and all.  Method: one
        change of each kind, then another session's first one."""
        one = self.login()
        for change in (("create", "INBOX.a"), ("create", "INBOX.a.b.c"),
                       ("rename", "INBOX.a.b", "INBOX.q"),
                       ("subscribe", "INBOX.q.c"), ("delete", "INBOX.a"),
                       ("delete", "INBOX.q.c")):
            self.ok(getattr(one, change[0])(*change[1:]))
            self.same(one)
        two = self.login()
        self.ok(two.create("INBOX.z"))
        self.same(two)


class Elsewhere(DovecotCase):
    """A Maildir in directories within directories, its indexes elsewhere."""
    LOCATION = "maildir:~/Maildir:LAYOUT=fs:INDEX=~/indexes"
    MORE = """
namespace shared {
  type = shared
  list = children
  location = maildir:%%h/Maildir:LAYOUT=fs:INDEX=%%h/indexes
  prefix = shared/%%u/
  separator = /
}
"""

    def test_layout(self):
        """Goal: where opening INBOX would create it, looking for it does not.
        Method: the first login and the first change of a user that has
        nothing, with INBOX opened before and not."""
        one = self.login()
        self.ok(one.create("A"))
        self.ok(one.create("x/y"))
        self.ok(one.rename("x", "z"))
        self.ok(one.select("INBOX"))
        self.same(one)
        self.ok(one.delete("z/y"))
        self.same(self.login())
        self.assertNotRegex(self.log(), "killed|[Pp]anic")

    def test_selected(self):
        one = self.login()
        self.ok(one.select("INBOX"))
        self.same(one)
        self.ok(one.create("A"))
        self.same(one)
        self.assertNotRegex(self.log(), "killed|[Pp]anic")


    def test_shared(self):
        """Goal: what another user changes is not missed by the owner's
        journal: it is refused.  Method: each change, by a user to whom
        everything is shared."""
        one = self.login()
        self.ok(one.create("A"))
        name = f"shared/{self.user}/A"
        other = self.dovecot.login("other")
        self.addCleanup(self.leave, other)
        self.ok(other.status(name, "(MESSAGES)"))
        for answer in (other.create(name + "/b"), other.rename(name, name + "2"),
                       other.subscribe(name), other.delete(name)):
            self.no(answer, "by their owner")
        self.same(one)


class Alias(DovecotCase):
    """The same mailboxes under a second prefix, as for clients of Courier."""
    LOCATION = "maildir:~/Maildir"
    SEPARATOR = "."
    MORE = """
namespace compat {
  alias_for =
  hidden = yes
  list = no
  location = maildir:~/Maildir
  prefix = INBOX.
  separator = .
}
"""

    def test_alias(self):
        """Goal: what is changed by an alias's names is in the journal, by the
        first names.  Method: each kind of change by either."""
        one = self.login()
        for change in (("create", "INBOX.A"), ("create", "B"),
                       ("create", "INBOX.A.b.c"),
                       ("rename", "INBOX.A", "INBOX.D"), ("rename", "B", "E"),
                       ("subscribe", "INBOX.D"), ("subscribe", "E"),
                       ("unsubscribe", "INBOX.E"), ("delete", "INBOX.D.b.c"),
                       ("delete", "D"), ("create", "B"), ("select", "INBOX")):
            self.ok(getattr(one, change[0])(*change[1:]))
            self.same(self.login())
        self.no(one.rename("INBOX.B", "B2"), "alias")
        self.same(one)
        self.assertEqual(set(self.told()), {"INBOX", "B", "E"})

    def test_first(self):
        """Goal: where the alias comes first, and Dovecot has two INBOXes, the
        user is refused, and told so.  Method: prefixes the other way round."""
        status, text = self.doveadm("create", "A", without=(
            "-o", "namespace/compat/prefix=",
            "-o", "namespace/compat/alias_for=INBOX.",
            "-o", "namespace/inbox/prefix=INBOX."))
        self.assertNotEqual(status, 0)
        self.assertIn("an alias of INBOX's namespace comes before it", text)


class Hung(DovecotCase):
    """A service that is there and does not answer."""
    MORE = "plugin {\n  mbj_timeout = 2\n}\n"

    def test_hung(self):
        """Goal: a change that the service does not answer is refused, in a
        time in which others still wait for the user's lock, and it is seen
        afterwards whether it was done.  Method: SIGSTOP of the service."""
        one = self.login()
        self.ok(one.create("A"))
        self.server.send_signal(signal.SIGSTOP)
        try:
            begin = time.monotonic()
            self.no(one.create("B"), "UNAVAILABLE")
            self.assertLess(time.monotonic() - begin, 45)
        finally:
            self.server.send_signal(signal.SIGCONT)
        self.assertEqual(set(dovetest.tree_of(one)), {"INBOX", "A"})
        self.ok(one.create("C"))
        self.same(one)


class Killed(DovecotCase):
    """Processes that die between an intent and its outcome."""
    with_relay = True

    def die(self, at, change):
        """change, of which the process dies at that point."""
        client = self.login()
        self.relay.arm(at)
        name, *words = change
        tag = client._new_tag().decode()
        client.send(" ".join([tag, name, *words]).encode() + b"\r\n")
        self.assertTrue(self.relay.held.wait(30), self.log())
        self.dovecot.kill_imap()
        client.shutdown()
        self.relay.arm(None)

    def test_trips(self):
        """Goal: a session that goes on asks three times for a change of
        folders, by the connection that it has."""
        client = self.login()
        self.ok(client.create("A"))
        kinds = []
        self.relay.before = kinds.append
        self.ok(client.rename("A", "B"))
        self.assertEqual(kinds, [dovetest.ENTER, dovetest.SUBMIT,
                                 dovetest.TAKE])
        self.relay.before = None
        self.same(client)

    def test_killed(self):
        """Goal: a change that was announced and whose process died is settled
        before the next one, as what Dovecot has.  Method: SIGKILL while the
        answer to the intent is held back (it did not happen), and while the
        outcome is (it did)."""
        client = self.login()
        for name in ("A", "B", "C"):
            self.ok(client.create(name))
        client.shutdown()
        known = 0
        for change, is_done in (
                (("RENAME", "A", "A2"), lambda t: "A2" in t),
                (("CREATE", "D"), lambda t: "D" in t),
                (("DELETE", "B"), lambda t: "B" not in t),
                (("RENAME", "INBOX", "old"), lambda t: "old" in t),
                (("SUBSCRIBE", "C"), None)):
            for at in ("intent", "outcome"):
                self.die(at, change)
                known += 1
                (left,) = self.intents()
                self.assertEqual(left["producer"], "dovecot")
                client = self.login()
                if is_done is not None:
                    self.assertEqual(is_done(dovetest.tree_of(client)),
                                     at == "outcome")
                else:
                    self.assertEqual("C" in dovetest.subscribed(client),
                                     at == "outcome")
                self.ok(client.create(f"n{known}"))
                self.same(client)
                client.shutdown()
        self.stop_service()
        results = re.findall(r"result (\w+) is_found 1",
                             self.mbj("log", self.p).out)
        self.assertEqual(sorted(results), 4 * ["done"] + 4 * ["failed"])
        self.serve()


class Linked(unittest.TestCase):
    def test_linked(self):
        """Goal: no database, and nothing else of the store, comes into a
        process of Dovecot with the plugin.  Method: what the loader loads for
        it, and the names in it."""
        loaded = subprocess.run(["ldd", dovetest.PLUGIN], check=True,
                                capture_output=True, text=True).stdout
        self.assertNotRegex(loaded, r"libdb|icu|jansson|stdc\+\+")
        names = subprocess.run(["nm", dovetest.PLUGIN], check=True,
                               capture_output=True, text=True).stdout
        self.assertIn("mbj_client_connect", names)
        self.assertNotRegex(names, r"\b(db_env_create|db_open|mbj_store_open|"
                            r"mbj_plan_make|dispatch_run)\b")
        shown = subprocess.run(["nm", "-D", "--defined-only",
                                dovetest.PLUGIN], check=True,
                               capture_output=True, text=True).stdout
        self.assertEqual({line.split()[-1] for line in shown.splitlines()},
                         {"mbj_plugin_init", "mbj_plugin_deinit",
                          "mbj_plugin_version", "mbj_plugin_stand_aside",
                          "mbj_plugin_capture", "mbj_plugin_drain"})


if __name__ == "__main__":
    if not (os.path.exists(dovetest.PLUGIN) if sys.argv[1:] == ["Linked"]
            else dovetest.can_run()):
        print("SKIPPED: there is no Dovecot, or no plugin for it")
        sys.exit(77)
    unittest.main(warnings=os.environ.get("PYTHONWARNINGS", "ignore"))
