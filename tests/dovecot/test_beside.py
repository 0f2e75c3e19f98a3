"""The plugins of mbj beside others that a site has: what they refuse, pack,
encrypt, copy or do by themselves is at both Dovecots the same."""
import base64
import concurrent.futures
import copy
import imaplib
import os
import poplib
import re
import subprocess
import time
import unittest

import dovetest
import pairtest
import test_pair
from dovetest import DovecotCase, append_all, namespace
from pairtest import PairCase, mail


def plugin(names, *settings):
    """Settings of Dovecot: plugins beside ours, and theirs."""
    return (f"mail_plugins = $mail_plugins {names}\nplugin {{\n" +
            "".join(f"  {line}\n" for line in settings) + "}\n")


# By keys of the users, which each host makes for itself.
PACKED = ("mail_attribute_dict = file:%h/dovecot-attributes\n" +
          plugin("zlib mail_crypt", "zlib_save = gz", "zlib_save_level = 6",
                 "mail_crypt_curve = prime256v1",
                 "mail_crypt_save_version = 2"))


class Packed(PairCase):
    """Mail is packed and encrypted at the first, and not at the second; or
    the other way round."""
    MORE = PACKED + PairCase.MORE
    THERE = PairCase.MORE

    def test_mail(self):
        """Goal: whatever a message is like in a file, the journal has the
        message, and the second the same.  Method: by APPEND, LMTP, LDA, with
        keywords and big ones; copied, moved, expunged, in mailboxes that swap
        names; the files of one side do not have what the other's have."""
        self.ok(self.login().create("B"))
        one = self.login()
        for number in range(12):
            self.ok(one.append("INBOX", "($k \\Seen)" if number % 3 else "()",
                               None, mail(f"n{number}", 1 + number * 3000)))
        self.assertEqual(dovetest.lmtp(self.dovecot, [self.user],
                                       mail("lmtp"))[0][:1], "2")
        self.assertEqual(subprocess.run(
            [test_pair.LDA, "-c", self.dovecot.conf, "-d", self.user],
            input=mail("lda"), check=False).returncode, 0)
        self.ok(one.select("INBOX"))
        self.ok(one.uid("COPY", "1:6", "B"))
        self.ok(one.uid("MOVE", "7:9", "B"))
        self.ok(one.uid("STORE", "1:2", "+FLAGS", "(\\Deleted $k2)"))
        self.ok(one.expunge())
        self.ok(one.unselect())
        self.same_there()
        self.ok(one.create("A"))
        self.ok(one.append("A", None, None, mail("a")))
        for names in (("A", "t"), ("B", "A"), ("t", "B")):
            self.ok(one.rename(*names))
        seen = self.same_there()
        self.assertEqual([len(seen[path + "\0"]) for path in
                          ("INBOX", "A", "B")], [9, 9, 1])
        plain = [self.count(d, b"Subject: n1") for d in
                 (self.dovecot, self.other)]
        if self.MORE == PairCase.MORE:
            plain.reverse()
        self.assertEqual(plain[0], 0)
        self.assertGreater(plain[1], 0)
        self.assertNotRegex(self.log(), "mbj: |[Pp]anic")

    def count(self, dovecot, text):
        """How many of the user's files have it."""
        return sum(text in path.read_bytes() for path in
                   (dovecot.d / "mail" / self.user).rglob("*")
                   if path.is_file() and "index" not in path.name)


class PackedMaildir(Packed):
    LOCATION = "maildir:~/Maildir"


class PackedThere(Packed):
    LOCATION = "mdbox:~/mdbox"
    MORE = PairCase.MORE
    THERE = PACKED + PairCase.MORE


class Keyed(PairCase):
    """Keys of the users have passwords, which sessions are given at login, and
    deliveries, doveadm and who follows are not."""
    MORE = ("mail_attribute_dict = file:%h/dovecot-attributes\n" +
            plugin("mail_crypt", "mail_crypt_curve = prime256v1",
                   "mail_crypt_save_version = 2",
                   "mail_crypt_require_encrypted_user_key = yes") +
            PairCase.MORE)
    PASSWORD = ("-o", "plugin/mail_crypt_private_password=secret")
    READER = PASSWORD

    def setUp(self):
        super().setUp()
        self.key(self.dovecot)

    def key(self, dovecot, user=None):
        done, said = dovecot.doveadm(
            "-o", "mail_plugins=mail_crypt", *self.PASSWORD, "mailbox",
            "cryptokey", "generate", "-u", user or self.user, "-U")
        self.assertEqual(done, 0, said)

    def login(self):
        return self.session(self.dovecot)

    def login_other(self):
        return self.session(self.other)

    def session(self, dovecot):
        """What login begins for a user whose password opens the key."""
        client = imaplib.IMAP4_stream(
            f"/usr/lib/dovecot/imap -c {dovecot.conf} -u {self.user} "
            f"{' '.join(self.PASSWORD)} 2>>{self.dir}/sessions")
        self.addCleanup(self.leave, client)
        return client

    def deliver(self, text, lines, user=None):
        """By LMTP and LDA."""
        user = user or self.user
        self.assertEqual(dovetest.lmtp(self.dovecot, [user],
                                       mail(text, lines))[0][:1], "2")
        self.assertEqual(subprocess.run(
            [test_pair.LDA, "-c", self.dovecot.conf, "-d", user],
            input=mail(text, lines), check=False).returncode, 0)

    def sizes(self):
        return [m["size"] for m in self.mbj(
            "messages", self.socket, self.user, "INBOX",
            "--json").json()["messages"]]

    def test_delivered(self):
        """Goal: who delivers has no key, and the journal has the message at
        once.  Method: of a few bytes, as many as memory keeps, and more; in
        a mailbox that sessions copy from and to; at the second a key is made
        when there is an INBOX, with which the next run saves."""
        for lines in (1, 20000, 80000, 5):
            self.deliver("lines", lines)
        self.assertEqual(self.intents(), [], self.log())
        self.assertNotIn("mbj: ", self.log())
        self.assertEqual(len(self.sizes()), 8)
        self.assertEqual(self.sizes()[1::2],
                         [len(mail("lines", lines))
                          for lines in (1, 20000, 80000, 5)])
        one = self.login()
        self.ok(one.create("B"))
        self.ok(one.append("B", "(\\Seen)", None, mail("own", 40000)))
        self.ok(one.select("INBOX"))
        self.ok(one.uid("COPY", "1:6", "B"))
        self.ok(one.uid("MOVE", "2:3", "B"))
        self.ok(one.unselect())
        self.leave(one)
        self.follow()
        self.assertIn("without password or key", self.apply(None))
        self.key(self.other)
        self.same_there()

    def test_much(self):
        """Goal: all that one command saves is in the journal at once, whatever
        it takes.  Method: twenty messages and more than memory keeps, saved by
        a session that cannot read them; one of them not to its end."""
        client = imaplib.IMAP4_stream(
            f"/usr/lib/dovecot/imap -c {self.dovecot.conf} -u {self.user} "
            f"2>>{self.dir}/sessions")
        self.addCleanup(self.leave, client)
        several = [mail(f"number {n}", lines) for lines in (7000, 14000)
                   for n in range(10)]
        self.assertEqual(append_all(client, "INBOX", *several), "OK")
        self.assertNotEqual(append_all(client, "INBOX", *several[:12], b""),
                            "OK")
        self.assertEqual(append_all(client, "INBOX", *several[9:12]), "OK")
        self.leave(client)
        self.assertNotIn("mbj: ", self.log())
        self.assertEqual(self.sizes(),
                         [len(m) for m in several + several[9:12]])
        self.follow()
        self.assertIn("without password or key", self.apply(None))
        self.key(self.other)
        self.same_there()

    def test_unread(self):
        """Goal: what nobody could read waits, with all behind it, and is
        passed by nobody who has no key.  Method: mail that is told to nobody,
        and deliveries behind it; then somebody with the key."""
        self.deliver("first", 1)
        self.assertEqual(subprocess.run(
            [test_pair.LDA, "-c", self.dovecot.conf, "-d", self.user, "-o",
             "mail_plugins=mail_crypt"], input=mail("untold"),
            check=False).returncode, 0)
        for _ in range(3):
            self.deliver("behind", 1)
        self.assertEqual(len(self.sizes()), 2)
        self.assertIn("waits, with what is behind it", self.log())
        self.assertNotIn("left out", self.log())
        self.assertEqual(self.dovecot.doveadm(
            *self.PASSWORD, "mbj", "capture", "-u", self.user), (0, ""))
        self.assertEqual(len(self.sizes()), 9)
        self.assertEqual(self.intents(), [])

    def traced(self, *options):
        """A big delivery by LDA.  Returns: its trace's reads at a place."""
        said = self.dir / "trace"
        done = subprocess.run(
            ["strace", "-qq", "-y", "-o", said, "-e", "trace=pread64",
             *options, test_pair.LDA, "-c", self.dovecot.conf, "-d",
             self.user], input=mail("big", 80000), check=False)
        self.assertEqual(done.returncode, 0, self.log())
        return re.findall(r"^pread64\(.*$", said.read_text(), re.M)

    def test_failed(self):
        """Goal: a temporary file that cannot be read back harms nobody, and
        its message comes in with somebody who has the key.  Method: the last
        read of a delivery fails."""
        dovetest.need_strace(self)
        for _ in range(2):
            reads = self.traced()
        last = max(i for i, read in enumerate(reads) if "(deleted)" in read)
        reads = self.traced("-e", f"inject=pread64:error=EIO:when={last + 1}")
        self.assertRegex(reads[last], r"\(deleted\).*EIO")
        self.logged("cannot read message 3")
        self.assertEqual(len(self.sizes()), 2)
        one = self.login()
        self.ok(one.append("INBOX", None, None, mail("own")))
        self.leave(one)
        self.assertEqual(len(self.sizes()), 4)
        self.assertEqual(self.intents(), [], self.log())

    def test_fatal(self):
        """Goal: a user whose run ends the process that follows, as Dovecot
        does for want of a key, keeps nobody else from his turn.  Method: it is
        begun again and again, as by a supervisor, among eight users of whom
        one has no key at the second."""
        users = [f"{self.user}{n}" for n in range(8)]
        for user in users:
            self.key(self.dovecot, user)
            self.deliver("one", 1, user)
            self.follow()
            self.assertLess(self.other.doveadm("mbj", "apply", "-u", user)[0],
                            0)  # and there is an INBOX
            if user != users[3]:
                self.key(self.other, user)
        waiting = set(users) - {users[3]}
        for _ in range(100):
            with subprocess.Popen(
                    ["doveadm", "-c", self.other.conf, "mbj", "apply", "-A",
                     "--follow"], stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL) as follower:
                self.assertLess(follower.wait(60), 0)
            self.other.unlock_dead()
            waiting = {user for user in waiting if self.other.doveadm(
                "-f", "flow", "mailbox", "status", "-u", user, "messages",
                "INBOX")[1] != "INBOX messages=2\n"}
            if not waiting:
                break
        self.assertEqual(waiting, set())


class Attached(PairCase):
    """Attachments are in files of their own, which equal ones share."""
    MORE = ("mail_attachment_dir = %h/attachments\n"
            "mail_attachment_min_size = 1k\n" + PairCase.MORE)

    @staticmethod
    def attached(text, width=76):
        """Of 300,000 bytes; other widths than 76 cannot be decoded and made
        again by every reader."""
        body = base64.b64encode(text * 300000).decode()
        lines = "\r\n".join(body[n:n + width]
                            for n in range(0, len(body), width))
        part = ("--x\r\nContent-Type: {}\r\nContent-Transfer-Encoding: {}\r\n"
                "\r\n{}\r\n")
        return ("Subject: a\r\nMIME-Version: 1.0\r\n"
                'Content-Type: multipart/mixed; boundary="x"\r\n\r\n' +
                part.format("text/plain", "7bit", "see") +
                part.format("application/pdf", "base64", lines) +
                "--x--\r\n").encode()

    def test_attached(self):
        """Goal: the journal has messages whole, and so has the second Dovecot,
        with files of its own for what is attached.  Method: sessions, in one
        command and one by one, copies, a delivery."""
        one = self.login()
        self.ok(one.create("B"))
        texts = [self.attached(b"a"), self.attached(b"a", 72),
                 self.attached(b"b", 75), mail("none")]
        for text in texts:
            self.ok(one.append("INBOX", None, None, text))
        self.assertEqual(append_all(one, "B", *texts), "OK")
        self.assertEqual(dovetest.lmtp(self.dovecot, [self.user], texts[0])
                         [0][:1], "2")
        self.ok(one.select("INBOX"))
        self.ok(one.uid("COPY", "1:5", "B"))
        self.ok(one.uid("MOVE", "2", "B"))
        self.leave(one)
        self.follow()
        self.apply()
        self.same_there()
        self.assertNotIn("mbj: ", self.log())
        for dovecot in (self.dovecot, self.other):
            self.assertGreater(len(list(
                dovecot.d.rglob(f"{self.user}/attachments/*/*/*"))), 1)


class Mixed(test_pair.Pair):
    """Another format at the second."""
    LOCATION = "maildir:~/Maildir"
    LOCATION_THERE = "mdbox:~/mdbox"


class Many(test_pair.Pair):
    """Whatever else Dovecot has: plugins that look at each change, count it,
    write of it, index it, or pack it."""
    MORE = plugin("quota trash zlib notify mail_log "
                  "push_notification notify_status last_login charset_alias "
                  "listescape",
                  "quota = count:User quota", "quota_vsizes = yes",
                  "quota_rule = *:storage=1G", "trash = /dev/null",
                  "zlib_save = gz",
                  "mail_log_events = delete undelete expunge mailbox_delete "
                  "mailbox_rename copy save flag_change append",
                  "push_notification_driver = dlog",
                  "notify_status_dict = file:%h/notified",
                  "last_login_dict = file:%h/logins") + PairCase.MORE


class Synced(PairCase):
    """Mail that dsync brings from elsewhere, without the plugin."""

    def test_brought(self):
        """Goal: what dsync brought in, and made of it later, is in the journal
        once it is compared, under its GUIDs and UIDs.  Method: from a Maildir
        of another Dovecot; names that swap there, mail that moves and goes;
        then both ways, with a change here, and an import."""
        source = dovetest.Dovecot(self.home / "from", self.socket,
                                  "maildir:~/Maildir", "/", "",
                                  "mail_plugins =\n")
        self.addCleanup(source.stop)
        source.start()
        there = source.login(self.user)
        self.addCleanup(self.leave, there)
        for name in ("A", "A/x", "B"):
            self.ok(there.create(name))
            for number in range(3):
                self.ok(there.append(name, "(\\Flagged $k)", None,
                                     mail(f"{name} {number}", 1 + number)))
        at = f"maildir:{source.d}/mail/{self.user}/Maildir"

        def brought(*command):
            for words in (("-o", "mail_plugins=", *command, "-u", self.user,
                           at), ("mbj", "capture", "-u", self.user)):
                self.assertEqual(self.dovecot.doveadm(*words), (0, ""))
            return self.same_there()
        first = brought("sync", "-1", "-R")
        self.assertEqual(first["A"]["X-GUID"],
                         pairtest.everything(there)["A"]["X-GUID"])
        for names in (("A", "t"), ("B", "A"), ("t", "B")):
            self.ok(there.rename(*names))
        self.ok(there.select("B"))
        self.ok(there.uid("STORE", "1", "+FLAGS", "(\\Deleted)"))
        self.ok(there.expunge())
        self.ok(there.uid("MOVE", "2", "A"))
        self.ok(there.unselect())
        second = brought("backup", "-R")
        self.assertEqual(second["B"]["X-GUID"], first["A"]["X-GUID"])
        self.ok(self.login().append("A", None, None, mail("here")))
        brought("sync")
        self.assertEqual(self.dovecot.doveadm(
            "import", "-u", self.user, at, "in", "all"), (0, ""))
        self.assertEqual(len(self.same_there()["in/A\0"]), 5)


class Quota(PairCase):
    """At both, with room for two messages."""
    SETTINGS = ("quota", "quota = count:User quota", "quota_vsizes = yes",
                "quota_rule = *:messages=2")
    MORE = plugin(*SETTINGS) + PairCase.MORE
    THERE = plugin("quota notify replication", *SETTINGS[1:],
                   "quota_max_mail_size = 50",
                   "quota_warning = messages=50%% warn %u",
                   "mail_replica = tcp:127.0.0.1:1") + PairCase.MORE

    def test_refused(self):
        """Goal: what a quota refuses is in no journal and leaves no intent
        open; what the first has is at the second, whose quota is not asked.
        Method: a third message by APPEND, and by COPY, is one too many; one
        is saved past the first's quota, so that there are three.
        The second takes no message above 50 bytes from anybody else, and tells
        a warning's script and the replicator, which are not there."""
        one = self.login()
        for number in range(2):
            self.ok(one.append("INBOX", None, None, mail(f"{number}")))
        self.no(one.append("INBOX", None, None, mail("no")), "OVERQUOTA")
        self.ok(one.create("A"))
        self.ok(one.select("INBOX"))
        self.no(one.uid("COPY", "1", "A"), "OVERQUOTA")
        self.assertEqual(self.intents(), [], self.log())
        self.follow()
        self.assertEqual(self.apply(), "")
        self.same_there()
        self.assertEqual(subprocess.run(
            ["doveadm", "-c", self.dovecot.conf, "-o",
             "plugin/quota_rule=*:messages=9", "save", "-u", self.user],
            input=mail("more", 90), check=False).returncode, 0)
        seen = self.same_there()
        self.assertEqual(len(seen["INBOX\0"]), 3)
        self.assertNotIn("mbj: ", self.log())


COUNTED = ("quota = dict:User quota::file:%h/quota",
           "quota_rule = *:storage=100M")


def usage(dovecot, user):
    """Messages, as it last wrote it."""
    words = (dovecot.d / "mail" / user / "quota").read_text().split()
    return int(words[words.index("priv/quota/messages") + 1])


class Counted(DovecotCase):
    """A quota that is counted as messages come and go."""
    MORE = plugin("quota", *COUNTED)

    def test_freed(self):
        """Goal: what is expunged makes room.  Method: by IMAP and by doveadm,
        of messages whose sizes are in no cache, as those of old ones are."""
        one = self.login()
        self.ok(one.create("A"))
        for number in range(6):
            self.ok(one.append("A", None, None, mail(f"{number}")))
        self.leave(one)
        for path in (self.dovecot.d / "mail" / self.user).rglob(
                "dovecot.index.cache"):
            path.unlink()
        one = self.login()
        self.ok(one.select("A"))
        self.ok(one.uid("STORE", "1:4", "+FLAGS", "(\\Deleted)"))
        self.ok(one.expunge())
        self.assertEqual(one.select("A")[1], [b"2"])
        self.leave(one)
        self.assertEqual(self.dovecot.doveadm(
            "expunge", "-u", self.user, "mailbox", "A", "uid", "5"), (0, ""))
        for _ in range(1000):  # the session's process writes when it ends
            if usage(self.dovecot, self.user) == 1:
                break
            time.sleep(0.01)
        self.assertEqual(usage(self.dovecot, self.user), 1)


class Lazy(PairCase):
    """What is expunged is copied to another mailbox."""
    MORE = plugin("lazy_expunge", "lazy_expunge = Gone") + PairCase.MORE

    def test_once(self):
        """Goal: a replica's Dovecot has the copies that the first has made,
        and makes none itself.  Method: messages are expunged, with the
        mailbox of copies there and not, and by a run that brings both."""
        one = self.login()
        for name in "abcd":
            self.ok(one.append("INBOX", None, None, mail(name)))
        self.same_there()
        self.ok(one.select("INBOX"))
        for uids in ("1:2", "3", "4"):
            self.ok(one.uid("STORE", uids, "+FLAGS", "(\\Deleted)"))
            self.ok(one.expunge())
            seen = self.same_there()
        self.assertEqual([len(seen[path + "\0"]) for path in
                          ("INBOX", "Gone")], [0, 4])


class LazySpace(PairCase):
    """To a namespace, of which nothing counts."""
    MORE = (plugin("quota lazy_expunge", "lazy_expunge = Gone/", *COUNTED) +
            namespace("Gone", "sdbox:~/gone", False) + PairCase.MORE)

    def test_counted(self):
        """Goal: what was expunged does not count at the replica either.
        Method: two of four are expunged, and brought there with the rest."""
        one = self.login()
        for name in "abcd":
            self.ok(one.append("INBOX", None, None, mail(name)))
        self.ok(one.select("INBOX"))
        self.ok(one.uid("STORE", "1:2", "+FLAGS", "(\\Deleted)"))
        self.ok(one.expunge())
        self.bring()
        two = self.login_other()
        self.assertEqual([two.select(name)[1] for name in
                          ("INBOX", "Gone/INBOX")], [[b"2"], [b"2"]])
        self.assertEqual(usage(self.other, self.user), 2)


class Auto(DovecotCase):
    """Mailboxes that are made and subscribed by whoever opens them."""
    MORE = (PairCase.MORE + "namespace inbox {\n" +
            "".join(f"  mailbox {name} {{\n    auto = subscribe\n  }}\n"
                    for name in ("Sent", "A", "B")) + "}\n")

    def one(self, seed):
        """A user's two sessions, and what the journal has of it."""
        case = copy.copy(self)
        case.user = f"{self.user}{seed}"
        users = test_pair.Users(case, seed)
        case.leave(case.login())
        users.begin()
        users.end()
        case.settled()
        client = case.login()
        case.same(client)
        case.ok(client.select("Sent"))
        case.assertIn("Sent", dovetest.subscribed(client))
        case.leave(client)
        case.assertGreater(users.count("done"), test_pair.STEPS)

    def settled(self):
        """What went on in a name that is made again at once."""
        self.assertEqual(self.dovecot.doveadm("mbj", "capture", "-u",
                                              self.user), (0, ""))

    def test_sessions(self):
        """Goal: sessions that rename and delete them at one time go on, and
        are told.  Method: random commands of two sessions of each of many
        users."""
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            for done in [pool.submit(self.one, seed)
                         for seed in test_pair.seeds(60)]:
                done.result()
        # docs/DOVECOT.md, "Known of Dovecot"
        self.assertNotRegex(self.dovecot.log(), "Panic(?!.*dbox_file_seek)")


class Sieve(PairCase):
    """Deliveries go where the user's script says; what a client moves into a
    mailbox is marked by another one."""
    MORE = (PairCase.MORE + """
mail_attribute_dict = file:%h/dovecot-attributes
protocol lmtp {
  mail_plugins = $mail_plugins sieve
}
protocol lda {
  mail_plugins = $mail_plugins sieve
}
protocol imap {
  mail_plugins = $mail_plugins imap_sieve
}
plugin {
  sieve = ~/script.sieve
  imapsieve_mailbox1_name = Junk
  imapsieve_mailbox1_causes = COPY APPEND
  imapsieve_mailbox1_before = file:%h/moved.sieve
}
""")
    SCRIPT = """require ["fileinto", "mailbox", "imap4flags", "copy", "reject"];
if header :contains "subject" "list" {
  addflag ["\\\\Flagged", "$list"];
  fileinto :create "Lists/one";
} elsif header :contains "subject" "both" {
  fileinto :copy :create "Copies";
} elsif header :contains "subject" "gone" {
  discard;
}
"""
    MOVED = """require ["imap4flags"];
addflag "$moved";
"""

    @classmethod
    def setUpClass(cls):
        if not (dovetest.DOVECOT_MODULES / "lib90_sieve_plugin.so").exists():
            raise unittest.SkipTest("there is no Sieve (dovecot-sieve)")
        super().setUpClass()

    def test_filed(self):
        """Goal: what a script does with a delivery, and with what a client
        appends or moves, is at the second.  Method: by LMTP and LDA: filed
        into a mailbox that it makes, with flags; copied; discarded; kept.
        Junk's own script gives a keyword.  Both have scripts, which to dsync
        are METADATA of INBOX."""
        for d in (self.dovecot, self.other):
            home = d.d / "mail" / self.user
            (home / "sieve").mkdir(parents=True)
            for name, text in (("script", self.SCRIPT), ("moved", self.MOVED),
                               ("sieve/own", self.MOVED)):
                (home / f"{name}.sieve").write_text(text)
            for path in (home, *home.rglob("*")):
                os.chown(path, dovetest.MAIL_UID, dovetest.MAIL_GID)
        for subject in ("list", "both", "gone", "kept"):
            self.assertEqual(dovetest.lmtp(
                self.dovecot, [self.user], mail(subject))[0][:1], "2")
            self.assertEqual(subprocess.run(
                [test_pair.LDA, "-c", self.dovecot.conf, "-d", self.user],
                input=mail(f"{subject} lda"), check=False).returncode, 0)
        one = self.login()
        self.ok(one.create("Junk"))
        self.ok(one.append("Junk", None, None, mail("appended")))
        self.ok(one.select("INBOX"))
        self.ok(one.uid("MOVE", "1", "Junk"))
        self.ok(one.uid("COPY", "2:*", "Junk"))
        seen = self.same_there()
        self.assertEqual({path: len(seen[path + "\0"]) for path in
                          seen["names"]}, {"INBOX": 3, "Lists/one": 2,
                                           "Copies": 2, "Junk": 5})
        self.assertEqual([flags for flags, *_ in
                          seen["Lists/one\0"].values()],
                         [["$list", "\\flagged"]] * 2)
        self.assertEqual([flags for flags, *_ in seen["Junk\0"].values()],
                         [["$moved"]] * 5)
        self.assertNotRegex(self.log(), "mbj: |[Pp]anic")


def with_pop3():
    return f"""protocols = imap lmtp pop3
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {dovetest.free_port()}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
"""


class Pop3(PairCase):
    UIDL = ""  # Dovecot's own

    @classmethod
    def setUpClass(cls):
        if not os.path.exists("/usr/lib/dovecot/pop3"):
            raise unittest.SkipTest("there is no POP3 (dovecot-pop3d)")
        cls.THERE = PairCase.MORE + with_pop3() + cls.UIDL
        cls.MORE = PairCase.MORE + with_pop3() + cls.UIDL
        super().setUpClass()

    def pop3(self, dovecot=None):
        client = poplib.POP3("127.0.0.1",
                             (dovecot or self.dovecot).port_of("pop3"),
                             timeout=60)
        self.addCleanup(client.close)
        client.user(self.user)
        client.pass_("x")
        return client

    def test_read(self):
        """Goal: what a POP3 client reads and deletes is at the second.
        Method: RETR, DELE, QUIT; a session that ends without QUIT deletes
        nothing."""
        one = self.login()
        for name in "abcd":
            self.ok(one.append("INBOX", None, None, mail(name)))
        self.leave(one)
        pop = self.pop3()
        self.assertEqual(pop.stat()[0], 4)
        pop.retr(1)
        pop.retr(2)
        pop.dele(2)
        pop.dele(4)
        pop.quit()
        seen = self.same_there()
        self.assertEqual({uid: flags for uid, (flags, *_) in
                          seen["INBOX\0"].items()}, {1: ["\\seen"], 3: []})
        pop = self.pop3()
        pop.dele(1)
        pop.close()
        self.assertEqual(set(self.same_there()["INBOX\0"]), {1, 3})

    def test_failover(self):
        """Goal: a client that goes on at the second has the same UIDLs, and
        fetches nothing anew.  Method: of messages with gaps between them, two
        with the same bytes."""
        one = self.login()
        for name in "abcbd":
            self.ok(one.append("INBOX", None, None, mail(name)))
        self.leave(one)
        pop = self.pop3()
        pop.dele(3)
        pop.quit()
        self.same_there()
        seen = [self.pop3(dovecot).uidl()[1]
                for dovecot in (self.dovecot, self.other)]
        self.assertEqual(len(set(seen[0])), 4)
        self.assertEqual(seen[0], seen[1])
        self.assertNotIn(b"6d626aff", seen[0][0])

    def test_away(self):
        """Goal: without the service a POP3 client reads, and deletes nothing.
        Method: RETR, DELE, QUIT."""
        one = self.login()
        for name in "ab":
            self.ok(one.append("INBOX", None, None, mail(name)))
        self.leave(one)
        self.stop_service()
        try:
            pop = self.pop3()
            self.assertIn(b"Subject: a", pop.retr(1)[1])
            pop.dele(2)
            with self.assertRaises(poplib.error_proto):
                pop.quit()
        finally:
            self.serve()
        seen = self.same_there()
        self.assertEqual({uid: flags for uid, (flags, *_) in
                          seen["INBOX\0"].items()}, {1: [], 2: []})


class Pop3Guid(Pop3):
    """UIDLs that are the messages' GUIDs."""
    UIDL = "protocol pop3 {\n  pop3_uidl_format = %g\n}\n"


class Pop3File(Pop3):
    """Those of a Maildir's files."""
    LOCATION = "maildir:~/Maildir"
    UIDL = "protocol pop3 {\n  pop3_uidl_format = %f\n}\n"


class Virtual(PairCase):
    """A mailbox that shows the messages of others."""
    MORE = (plugin("virtual") +
            namespace("virtual", "virtual:~/virtual", False) + PairCase.MORE)

    def test_through(self):
        """Goal: what is changed through a virtual mailbox is changed where
        the messages are, at both.  Method: STORE, FETCH, COPY and MOVE out of
        it, EXPUNGE; without the service nothing changes, whatever Dovecot
        says of a STORE."""
        box = self.dovecot.d / "mail" / self.user / "virtual" / "All"
        box.mkdir(parents=True)
        (box / "dovecot-virtual").write_text("INBOX\nA\n  all\n")
        for path in (box.parent.parent, box.parent, box,
                     box / "dovecot-virtual"):
            os.chown(path, dovetest.MAIL_UID, dovetest.MAIL_GID)
        one = self.login()
        self.ok(one.create("A"))
        self.ok(one.create("B"))
        for name in "abcd":
            for path in ("INBOX", "A"):
                self.ok(one.append(path, None, None, mail(path + name)))
        self.ok(one.select("virtual/All"))
        self.ok(one.uid("STORE", "1:3", "+FLAGS", "(\\Flagged $v)"))
        self.ok(one.uid("FETCH", "5:6", "(BODY[])"))
        self.ok(one.uid("COPY", "1:8", "B"))
        self.ok(one.uid("MOVE", "2,7", "B"))
        self.ok(one.uid("STORE", "3,6", "+FLAGS", "(\\Deleted)"))
        self.ok(one.expunge())
        seen = self.same_there()
        self.assertEqual([len(seen[path + "\0"])
                          for path in ("INBOX", "A", "B")], [2, 2, 10])
        self.stop_service()
        try:
            # Its OK is Dovecot's, which does not ask what came of it there.
            self.ok(one.select("virtual/All"))
            self.ok(one.uid("STORE", "1", "+FLAGS", "($no)"))
            self.ok(one.uid("FETCH", "5", "(BODY[])"))
            self.ok(one.uid("STORE", "4", "+FLAGS", "(\\Deleted)"))
            self.assertEqual(one.expunge()[0], "NO")
        finally:
            self.serve()
        self.assertEqual(self.same_there(), seen)


if __name__ == "__main__":
    pairtest.main()
