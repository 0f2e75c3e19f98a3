"""METADATA and access control lists in real Dovecots: what users set at the
first is in the journal, and doveadm mbj apply brings it into the second."""
import os
import random
import re
import signal
import subprocess
import sys
import time
import unittest

import dovetest
from dovetest import DovecotCase, encode, mbjtest
from pairtest import PairCase, mail, status_of

SETTINGS = """lda_mailbox_autocreate = yes
mail_plugins = mbj acl
mail_attribute_dict = file:%h/attributes
protocol imap {
  mail_plugins = mbj acl imap_acl
  imap_metadata = yes
}
protocol doveadm {
  mail_plugins = mbj acl doveadm_mbj
}
plugin {
  acl = vfile
  acl_anyone = allow
}
"""

SERVER = ("/private/comment /private/a /shared/b /shared/vendor/vendor_a/b " +
          " ".join(f"/shared/k{n}" for n in range(10)))


def command(client, *words):
    """A command of words, those of bytes as literals: its answer's lines."""
    tag = client._new_tag()
    client.tagged_commands[tag] = None
    client.untagged_responses.clear()
    line = tag
    for word in words:
        line += b"" if line.endswith(b"(") or word == ")" else b" "
        line += b"{%d+}\r\n" % len(word) + word if isinstance(word, bytes) \
            else word.encode()
    client.send(line + b"\r\n")
    return client._command_complete(words[0], tag)


def set_entries(client, box, **entries):
    """SETMETADATA; names have __ for /, None removes."""
    words = []
    for name, value in entries.items():
        words += ["/" + name.replace("__", "/"),
                  "NIL" if value is None else value]
    return command(client, "SETMETADATA", encode(box), "(", *words, ")")


def entries_of(client, box):
    """All that GETMETADATA shows: name to bytes.  Of the server Dovecot lists
    none, and has to be asked for each."""
    answer = command(client, "GETMETADATA", "(DEPTH infinity)", encode(box),
                     "(/private /shared)" if box else f"({SERVER})")
    assert answer[0] == "OK", answer
    found, pending = {}, b""
    for row in client.untagged_responses.pop("METADATA", []):
        if isinstance(row, tuple):
            name = re.search(rb"(/\S+) \{\d+\}$", row[0]).group(1)
            found[name.decode()] = row[1]
            row = row[0][:row[0].rindex(name)]
        pending += b" " + row
    for name, value in re.findall(rb'(/\S+) "((?:[^"\\]|\\.)*)"', pending):
        found[name.decode()] = re.sub(rb"\\(.)", rb"\1", value)
    return found


def access_of(client, box):
    """GETACL: identifier to rights, which may be none."""
    status, answer = client.getacl(encode(box))
    assert status == "OK", answer
    words = [w.strip('"') for w in re.findall(
        r'"[^"]*"|\S+', answer[0].decode())][1:]
    return {name: "".join(sorted(rights))
            for name, rights in zip(words[::2], words[1::2])}


class Attributes(PairCase):
    """Both Dovecots have METADATA and access control lists."""
    MORE = SETTINGS

    def seen(self, client, boxes):
        found = {"": entries_of(client, "")}
        for box in boxes:
            found[box] = (entries_of(client, box), access_of(client, box))
        return found

    def same_attributes(self, *boxes):
        """A client sees the same of these at both; nothing is left to do."""
        one = self.login()
        here = self.seen(one, boxes)
        modseqs = {}
        for box in boxes:
            status = status_of(one, box)
            if status["UIDNEXT"] != "1":  # without messages it says nothing
                modseqs[box] = int(status["HIGHESTMODSEQ"])
        self.leave(one)
        self.assertEqual(self.intents(), [], self.log())
        self.bring()
        two = self.login_other()
        self.assertEqual(self.seen(two, boxes), here, self.other.log())
        for box, modseq in modseqs.items():
            self.assertLessEqual(modseq, int(
                status_of(two, box)["HIGHESTMODSEQ"]), box)
        self.leave(two)
        self.assertEqual(self.apply(), "")
        return here

    def test_day(self):
        """Goal: entries and rights arrive, change and go, with their mailbox
        wherever it is moved.  Method: commands of IMAP and doveadm, both
        Dovecots asked over IMAP after each step."""
        one = self.login()
        for name in ("A", "A/b", "C"):
            self.ok(one.create(name))
            self.ok(one.append(name, None, None, mail(name)))
        self.ok(set_entries(one, "A", private__comment=b"mine",
                            shared__comment=b"all's"))
        self.ok(set_entries(one, "C", private__x__y=b"\xff\x80 \"\\ \r\n\t"))
        self.ok(set_entries(one, "", private__comment=b"server",
                            shared__vendor__vendor_a__b=b"s"))
        self.ok(set_entries(one, "INBOX", private__comment=b"inbox"))
        self.ok(one.setacl("A", "bob", "lrs"))
        self.ok(one.setacl("A", "-eve", "w"))
        self.ok(one.setacl("C", "$staff", "lr"))
        self.ok(one.setacl("C", "anyone", "l"))
        self.ok(one.setacl("C", "!$over", "lrwstipekxa"))
        here = self.same_attributes("A", "A/b", "C", "INBOX")
        self.assertEqual(here["A"][0], {"/private/comment": b"mine",
                                        "/shared/comment": b"all's"})
        self.assertEqual(here["C"][0],
                         {"/private/x/y": b"\xff\x80 \"\\ \r\n\t"})
        self.assertEqual(here[""]["/private/comment"], b"server")
        self.assertEqual(here["A"][1]["bob"], "lrs")
        self.assertEqual(here["A"][1]["-eve"], "w")
        # names change places, and what is set meanwhile
        self.ok(set_entries(one, "A", private__comment=None,
                            shared__comment=b"again"))
        self.ok(one.rename("A", "t"))
        self.ok(one.rename("C", "A"))
        self.ok(one.rename("t", "C"))
        self.ok(one.setacl("C", "bob", "+t"))
        self.ok(one.setacl("A", "$staff", "-r"))
        self.ok(one.deleteacl("A", "anyone"))
        here = self.same_attributes("A", "C", "C/b")
        self.assertEqual(here["C"][0], {"/shared/comment": b"again"})
        self.assertEqual(here["C"][1]["bob"], "dlrst")
        # one that goes, and another of its name
        self.ok(one.delete("A"))
        self.ok(one.create("A"))
        self.ok(set_entries(one, "", private__comment=None))
        self.ok(one.deleteacl("C", "-eve"))
        here = self.same_attributes("A", "C")
        self.assertEqual(here["A"][0], {})
        self.assertNotIn("/private/comment", here[""])
        # by doveadm; an entry without rights is not no entry
        for words in (("acl", "set", "-u", self.user, "A", "user=bob",
                       "lookup", "read"),
                      ("mailbox", "metadata", "set", "-u", self.user, "A",
                       "/shared/comment", "by doveadm")):
            self.assertEqual(self.dovecot.doveadm(*words), (0, ""))
        for rights in ("l", '""'):  # an entry without any
            self.ok(one.setacl("A", "joe", rights))
        self.bring()
        two = self.login_other()
        self.assertEqual(access_of(two, "A")["bob"], "lr")
        self.assertEqual(access_of(two, "A")["joe"], "")
        self.assertEqual(entries_of(two, "A"),
                         {"/shared/comment": b"by doveadm"})
        self.ok(one.create("A/inherits"))
        self.same_attributes("A/inherits")

    def test_restored(self):
        """Goal: the journal is right: what somebody sets at the second goes,
        what is removed there comes back.  Method: without the plugin."""
        one = self.login()
        self.ok(one.create("A"))
        self.ok(set_entries(one, "A", private__comment=b"mine"))
        self.ok(one.setacl("A", "bob", "lr"))
        self.same_attributes("A")
        aside = ("-o", "mail_plugins=acl")
        for words in (("mailbox", "metadata", "set", "-u", self.user, "A",
                       "/private/Other", "x"),
                      ("mailbox", "metadata", "unset", "-u", self.user, "A",
                       "/private/comment"),
                      ("acl", "set", "-u", self.user, "A", "user=joe",
                       "read"),
                      ("acl", "delete", "-u", self.user, "A", "user=bob")):
            self.assertEqual(self.other.doveadm(*aside, *words), (0, ""))
        self.same_attributes("A")

    def test_shut(self):
        """Goal: where a list cannot be made right, no message comes under the
        one that is there.  Method: a list that nobody can read."""
        one = self.login()
        for command in (lambda: one.create("A"),
                        lambda: one.append("A", None, None, mail("first"))):
            self.assertEqual(command()[0], "OK")
        self.assertEqual(one.setacl("A", "bob", "lr")[0], "OK")
        self.bring()
        path = next(p for p in self.other.d.rglob("dovecot-acl")
                    if f"/{self.user}/" in str(p))
        text = path.read_bytes()
        path.unlink()
        path.symlink_to(path.name)
        self.assertEqual(one.setacl("A", "eve", "l")[0], "OK")
        self.assertEqual(one.append("A", None, None, mail("secret"))[0], "OK")
        self.follow()
        status, said = self.other.doveadm("mbj", "apply", "-u", self.user)
        self.assertEqual(status, 75, said)
        self.assertEqual(self.other.doveadm(
            "-o", "mail_plugins=", "mailbox", "status", "-u", self.user,
            "messages", "A"), (0, "A messages=1\n"))
        path.unlink()
        path.write_bytes(text)
        self.bring()
        self.assertEqual(status_of(self.login_other(), "A")["MESSAGES"], "2")
        self.same_attributes("A")

    def test_bounds(self):
        """Goal: what the journal cannot have is refused with the reason, and
        nothing is set; what it can arrives.  Method: values at the bounds,
        empty ones, names, a service that is away."""
        one = self.login()
        self.ok(one.create("A"))
        big = bytes(random.Random(1).choices(
            range(1, 256), k=60000))  # no NUL: Dovecot has none
        self.ok(set_entries(one, "A", private__big=big))
        self.no(set_entries(one, "A", private__more=b"x" * 65537),
                "65536")
        self.no(set_entries(one, "A", private__more=b"x" * 40000,
                            private__most=b"x" * 40000), "journal")
        self.no(set_entries(one, "A", private__none=b""), "empty")
        self.no(set_entries(one, "A", private__x=b"x" * 70000), "journal")
        self.ok(one.setacl("A", "x" * 1000, "lr"))
        # with "user=" it would end the process: Dovecot's assertion
        self.no(one.setacl("A", "x" * 1020, "lr"))
        self.logged("cannot have this identifier")
        self.assertEqual(set(self.same_attributes("A")["A"][0]),
                         {"/private/big"})
        self.stop_service()
        self.no(set_entries(one, "A", private__big=None), "UNAVAILABLE")
        self.assertEqual(one.setacl("A", "bob", "lr")[0], "NO")
        self.serve()
        self.same_attributes("A")
        self.logged("nobody listens")

    def test_before(self):
        """Goal: what was there before the plugin comes in with the mailbox's
        first change of such.  Method: set without it."""
        for words in (("mailbox", "create", "-u", self.user, "A"),
                      ("mailbox", "metadata", "set", "-u", self.user, "A",
                       "/private/Old", "old"),
                      ("mailbox", "metadata", "set", "-u", self.user, "A",
                       "/private/empty", ""),
                      ("acl", "set", "-u", self.user, "A", "user=bob",
                       "lookup")):
            self.assertEqual(self.dovecot.doveadm("-o", "mail_plugins=acl",
                                                  *words), (0, ""))
        one = self.login()
        self.ok(one.append("A", None, None, mail("x")))
        self.ok(set_entries(one, "A", private__new=b"new"))
        self.ok(set_entries(one, "A", private__empty=None))
        here = self.same_attributes("A")
        self.assertEqual(here["A"][0], {"/private/old": b"old",
                                        "/private/new": b"new"})
        self.assertIn("bob", here["A"][1])

    def capture(self):
        self.assertEqual(self.dovecot.doveadm("mbj", "capture", "-u",
                                              self.user), (0, ""))
        self.assertEqual(self.intents(), [])

    def behind(self, *words, stdin=None):
        """doveadm at the first, without the plugin."""
        done = subprocess.run(
            ["doveadm", "-c", self.dovecot.conf, "-o", "mail_plugins=acl",
             *words], input=stdin, check=False, capture_output=True)
        self.assertEqual(done.returncode, 0, done)

    def test_marked(self):
        """Goal: an entry's HIGHESTMODSEQ hides no flags that nobody told.
        Method: messages are marked without the plugin, an entry is set, and
        then the next message comes."""
        one = self.login()
        self.ok(one.create("A"))
        for name in "ab":
            self.ok(one.append("A", None, None, mail(name)))
        self.behind("flags", "add", "-u", self.user, "\\Flagged",
                    "mailbox", "A", "uid", "2")
        self.ok(set_entries(one, "A", private__a=b"x"))
        self.ok(one.append("A", None, None, mail("c")))
        document = self.mbj("messages", self.socket, self.user, "A",
                            "--json").json()
        self.assertEqual([m["flags"] for m in document["messages"]],
                         [[], ["\\Flagged"], []])
        self.assertIn(f"HIGHESTMODSEQ {document['highestModSeq']})", str(
            one.status("A", "(HIGHESTMODSEQ)")))
        self.same_attributes("A")

    def test_whole(self):
        """Goal: doveadm mbj capture makes the journal what Dovecot has, which
        nobody changes any more.  Method: folders, mail, subscriptions, entries
        and rights from before the plugin; then changes of each without it; a
        run that is killed anywhere; a run that finds nothing."""
        user = ("-u", self.user)
        for name in ("A", "A/b", "C"):
            self.behind("mailbox", "create", "-s", *user, name)
            for n in range(5):
                self.behind("save", *user, "-m", name,
                            stdin=f"Subject: {name} {n}\n\nx\n".encode())
        self.behind("mailbox", "metadata", "set", *user, "A", "/shared/k", "v")
        self.behind("mailbox", "metadata", "set", "-s", *user, "", "/private/a",
                    "v")
        self.behind("acl", "set", *user, "C", "user=bob", "lookup", "read")
        self.capture()
        self.same_there()
        here = self.same_attributes("A", "A/b", "C")
        self.assertEqual((here["A"][0], here["C"][1]["bob"],
                          here[""]["/private/a"]),
                         ({"/shared/k": b"v"}, "lr", b"v"))
        for words in (("mailbox", "rename", *user, "A", "t"),
                      ("mailbox", "rename", *user, "C", "A"),
                      ("mailbox", "rename", *user, "t", "C"),
                      ("mailbox", "unsubscribe", *user, "A"),
                      ("mailbox", "delete", *user, "C/b"),
                      ("flags", "add", *user, "\\Seen $k", "mailbox", "A",
                       "1:3"),
                      ("expunge", *user, "mailbox", "C", "2"),
                      ("mailbox", "metadata", "unset", *user, "C",
                       "/shared/k"),
                      ("acl", "delete", *user, "A", "user=bob")):
            self.behind(*words)
        for pause in (0.02, 0.05, 0.1):
            process = subprocess.Popen(
                ["doveadm", "-c", self.dovecot.conf, "mbj", "capture", *user],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(pause)
            process.kill()
            process.wait()
        self.dovecot.unlock_dead()
        self.capture()
        self.same_there()
        self.same_attributes("A", "C")
        end = self.end()
        self.capture()
        self.assertEqual(self.end(), end)

    def test_random(self):
        """Goal: whatever is killed, both come to the same.  Method: changes at
        random, SIGKILL of sessions, services and apply meanwhile."""
        rng = mbjtest.seed()
        one = self.login()
        names = ["A", "B", "C", "t"]
        for name in names[:3]:
            self.ok(one.create(name))
            self.ok(one.append(name, None, None, mail(name)))
        for _ in range(int(os.environ.get("MBJ_PAIR_STEPS", "60"))):
            try:
                self.change(one, rng, names)
            except (one.abort, one.error, OSError):
                one = self.login()
            if rng.random() < 0.2:
                self.kill(rng)
        self.settled()
        for name in names:
            one = self.login()
            if dovetest.tree_of(one).get(name) is not None:
                self.ok(set_entries(one, name, private__last=b"last"))
                self.ok(one.setacl(name, "last", "l"))
        tree = dovetest.tree_of(one)
        self.same_attributes(*(n for n in names + ["INBOX"]
                               if tree.get(n) is not None))
        self.assertNotRegex(self.log() + self.other.log(), "Panic")

    def change(self, one, rng, names):
        box, what = rng.choice(names), rng.randrange(8)
        value = rng.choice((None, b"x", b"y" * rng.randrange(1, 3000)))
        if what < 3:
            set_entries(one, box if what else "", **{
                rng.choice(("private__a", "shared__b")): value})
        elif what < 5:
            one.setacl(box, rng.choice(("bob", "-bob", "$staff")),
                       rng.choice(("lr", "+w", "-r", '""')))
        elif what < 7:
            one.rename(box, rng.choice(names))
        else:
            one.delete(box)
            one.create(box)

    def kill(self, rng):
        what = rng.randrange(3)
        if what == 0:
            self.dovecot.kill_imap()
            self.dovecot.unlock_dead()
        elif what == 1:
            self.server.kill()
            self.server.wait()
            self.serve()
        else:
            process = subprocess.Popen(
                ["doveadm", "-c", self.other.conf, "mbj", "apply", "-u",
                 self.user], stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL)
            time.sleep(rng.random() * 0.1)
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.other.unlock_dead()


class Sdbox(Attributes):
    pass


class Mdbox(Attributes):
    LOCATION = "mdbox:~/mdbox"


class Maildir(Attributes):
    LOCATION = "maildir:~/Maildir"


class Bare(PairCase):
    """The second has neither."""
    MORE = SETTINGS

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.other.stop()
        conf = cls.other.conf.read_text()
        for old, new in (("mail_plugins = mbj acl imap_acl",
                          "mail_plugins = mbj"),
                         ("mail_plugins = mbj acl", "mail_plugins = mbj"),
                         ("imap_metadata = yes", ""),
                         ("mail_attribute_dict = file:%h/attributes", "")):
            conf = conf.replace(old, new)
        cls.other.conf.write_text(conf)
        cls.other.start()

    def test_bare(self):
        """Goal: where the second can have none of it the rest arrives, and it
        is said.  Method: apply twice."""
        one = self.login()
        self.ok(one.create("A"))
        self.ok(set_entries(one, "A", private__comment=b"mine"))
        self.ok(one.setacl("A", "bob", "lr"))
        self.ok(one.append("A", None, None, mail("x")))
        self.follow()
        for _ in range(2):
            said = self.other.doveadm("mbj", "apply", "-u", self.user)
            self.assertEqual(said[0], 0, said)
            self.assertIn("METADATA is left out", said[1])
            self.assertIn("access control lists are left out", said[1])
        self.assertEqual(status_of(self.login_other(), "A")["MESSAGES"], "1")


class Killed(DovecotCase):
    """Processes that die between an intent and its outcome."""
    MORE = SETTINGS
    with_relay = True

    def die(self, at, *words):
        client = self.login()
        self.relay.arm(at)
        tag = client._new_tag()
        client.send(tag + b" " + " ".join(words).encode() + b"\r\n")
        self.assertTrue(self.relay.held.wait(30), self.log())
        self.dovecot.kill_imap()
        client.shutdown()
        self.dovecot.unlock_dead()
        self.relay.arm(None)
        (left,) = self.intents()
        self.assertEqual(left["producer"], "dovecot")

    def test_killed(self):
        """Goal: a change that was announced and whose process died is settled
        before the next one, as what Dovecot has.  Method: SIGKILL while the
        answer to the intent is held back (it did not happen), and while the
        outcome is (it did)."""
        client = self.login()
        for name in ("A", "B"):
            self.ok(client.create(name))
        client.shutdown()
        number = 0
        for words, look in (
                (("SETMETADATA", "A", "(/private/k{} v)"), "A"),
                (("SETMETADATA", '""', "(/shared/k{} v)"), ""),
                (("SETACL", "A", "u{}", "lr"), "A")):
            for at in ("intent", "outcome"):
                number += 1
                self.die(at, *(w.format(number) for w in words))
                client = self.login()
                has = access_of(client, look) if words[0] == "SETACL" else \
                    entries_of(client, look)
                name = words[-1].split()[0].strip("(") if \
                    words[0] != "SETACL" else words[2]
                self.assertEqual(name.format(number) in has, at == "outcome",
                                 has)
                self.ok(client.create(f"n{number}"))
                self.assertEqual(self.intents(), [], self.log())
                journal = self.journal(look)
                self.assertEqual(name.format(number) in journal,
                                 at == "outcome", journal)
                client.shutdown()

    def journal(self, box):
        found = self.mbj("metadata", self.socket, self.user, box).out
        if box:
            found += self.mbj("acl", self.socket, self.user, box).out
        return found


if __name__ == "__main__":
    if not dovetest.can_run() or not os.path.exists(dovetest.APPLY):
        print("SKIPPED: there is no Dovecot, or no plugin for it")
        sys.exit(77)
    unittest.main(warnings=os.environ.get("PYTHONWARNINGS", "ignore"))
