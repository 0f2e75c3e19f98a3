"""mbj push of messages: each is there exactly once, whatever was cut where, and
what others put there is let be."""
import datetime
import os
import subprocess
import sys
import time
import unittest

import mbjtest
from mbjtest import INBOX, FAILED, OK, PARTIAL, mailbox_id
import oddimap
import pushtest
from pushtest import dovetest
from test_push import ENV, PushCase

A, B = mailbox_id(10), mailbox_id(11)
TOP = (INBOX, "INBOX", None)


def text(number):
    return f"Subject: {number}\r\n\r\nbody of {number}\r\n"


class Mail:
    """What both kinds of servers have."""

    def deliver(self, body, mailbox="INBOX"):
        return self.mbj("deliver", self.p, "alice", mailbox, "--json",
                        stdin=body.encode("latin-1")).json()["uid"]

    def fill(self, count, mailbox="INBOX", first=0):
        for number in range(first, first + count):
            self.deliver(text(number), mailbox)


class OddMail(Mail, mbjtest.Case):
    """Of a server of a dictionary."""
    def setUp(self):
        super().setUp()
        self.server = oddimap.Server()
        self.addCleanup(self.server.stop)
        self.mbj("init", self.p)
        self.mbj("import", self.p, "alice", stdin=mbjtest.listing(
            [TOP, (A, "A", None), (B, "B", None)]))

    def push(self, *options, status=OK):
        del self.server.commands[:]
        self.server.is_down = False
        result = mbjtest.run(
            "push", self.p, "alice",
            f"imap://u@127.0.0.1:{self.server.port}", "--state",
            self.dir / "state",
            *(() if "--folders-only" in options else ("--settle", "0")),
            *options,
            env=dict(os.environ, MBJ_PUSH_PASSWORD="x"))
        self.assertEqual(result.status, status, result.out + result.err)
        return result

    def bodies(self, name="INBOX"):
        return [m[2] for _, m in sorted(self.server.boxes[name].mail.items())]

    def said(self, word):
        return [c for c in self.server.commands if c.startswith(word)]


class PushMailOdd(OddMail):
    def whole(self, count, name="INBOX"):
        """Each is there once, and nothing is done again."""
        self.assertEqual(self.bodies(name), [text(n) for n in range(count)])
        self.push()
        self.assertFalse(self.said(("APPEND", "UID")))
        self.assertEqual(len(self.bodies(name)), count)

    def test_cuts(self):
        """The connection goes after the server took a message and before it
        said so; when it has all of one and takes none; within one."""
        self.cuts("UIDPLUS LITERAL+")

    def test_cuts_bare(self):
        """Of a server that does not tell the UID of what it took."""
        self.cuts("LITERAL-")

    def test_cuts_asking(self):
        self.cuts("UIDPLUS")

    def cuts(self, capabilities):
        self.server.capabilities = capabilities
        self.fill(6)
        taken = []

        def bend(word, _):
            if word != "APPEND":
                return None
            taken.append(word)
            if len(taken) == 2:
                self.server.boxes["INBOX"].put(self.server.body)
            return [None] if len(taken) in (2, 4) else None
        self.server.bend = bend
        self.push(status=FAILED)
        self.assertEqual(len(self.bodies()), 2)
        # Somebody else's comes in between, with as many bytes.
        self.server.boxes["INBOX"].put(text(7))
        self.push(status=FAILED)
        self.assertEqual(len(self.bodies()), 4)
        for cut in (0, 1, len(text(3)) - 1):
            self.server.cut_literal = cut
            self.push(status=FAILED)
        self.server.cut_literal = None
        self.push()
        theirs = self.bodies().index(text(7))
        self.assertEqual(theirs, 2)
        self.server.boxes["INBOX"].mail.pop(theirs + 1)
        self.whole(6)

    def test_same(self):
        """Messages of the same bytes are as many there as here, and one that
        a server keeps with other ends of lines is known again."""
        for _ in range(3):
            self.deliver(text(1))
        self.deliver("a: b\n\nc\n")
        inbox, taken = self.server.boxes["INBOX"], []

        def bend(word, _):
            if word != "APPEND":
                return None
            taken.append(word)
            inbox.put(self.server.body.replace("\r", "").replace(
                "\n", "\r\n"))
            return [None]  # each is taken, and none is heard of
        self.server.bend = bend
        for n in range(4):
            self.push(status=FAILED)
            self.assertEqual(len(taken), n + 1)
        self.push()
        self.assertEqual(self.bodies(), [text(1)] * 3 + ["a: b\r\n\r\nc\r\n"])

    def test_flags(self):
        """Flags and keywords follow; of what the server will not have the
        rest does, and that is said."""
        self.fill(3)
        self.mbj("flag", self.p, "alice", "INBOX", "1", "\\Seen", "known")
        self.mbj("flag", self.p, "alice", "INBOX", "2", "odd", "known")
        inbox = self.server.boxes["INBOX"]
        inbox.put("theirs", {"\\Flagged"})
        bent, whole = [], self.server.do_select

        def bend(word, names):
            # A server that takes no new keywords, and says so.
            if word == "SELECT":
                return [line.replace(r" \*", "") for line in whole(*names)]
            bent.append(word)
            return None
        self.server.bend = bend
        err = self.push(status=PARTIAL).err
        self.assertIn("INBOX has message 2 without keywords", err)
        self.assertEqual([m[0] for _, m in sorted(inbox.mail.items())],
                         [{"\\Flagged"}, {"\\Seen", "known"}, {"known"}, set()])
        self.push(status=PARTIAL)
        self.assertEqual(self.said("APPEND"), [])
        # And one that takes them by now.
        self.server.bend = lambda word, names: None
        self.mbj("flag", self.p, "alice", "INBOX", "1", "--replace", "\\Draft")
        out = self.push("--json").json()
        self.assertEqual((out["appended"], out["flagged"]), (0, 2))
        self.assertEqual([m[0] for _, m in sorted(inbox.mail.items())],
                         [{"\\Flagged"}, {"\\Draft"}, {"odd", "known"}, set()])
        # Nor does a NO to them take a message with it.
        self.mbj("flag", self.p, "alice", "INBOX", "3", "odd")
        uid = self.deliver(text(3))
        self.mbj("flag", self.p, "alice", "INBOX", str(uid), "odd", "\\Seen")

        def refuse(word, _):
            last = self.server.commands[-1]
            return ["TAG NO keyword"] if word in ("UID", "APPEND") \
                and "odd" in last else None
        self.server.bend = refuse
        err = self.push(status=PARTIAL).err
        self.assertIn("without keywords", err)
        self.assertEqual(inbox.mail[5][0], {"\\Seen"})
        self.server.bend = lambda word, names: None
        self.push()
        self.assertEqual(inbox.mail[5][0], {"odd", "\\Seen"})

    def test_expunge(self):
        """What is gone goes, and nothing else; without UIDPLUS it is marked."""
        self.fill(4)
        self.push()
        inbox = self.server.boxes["INBOX"]
        inbox.put("theirs", {"\\Deleted"})
        self.mbj("expunge", self.p, "alice", "INBOX", "2")
        self.push()
        self.assertEqual(self.bodies(), [text(0), text(2), text(3), "theirs"])
        # Cut between any two commands of it: it is done again.
        self.mbj("expunge", self.p, "alice", "INBOX", "1")
        for at in (1, 2, 3):
            seen = []

            def bend(word, _, at=at, seen=seen):
                seen.append(word) if word == "UID" else None
                return [None] if seen.count("UID") == at else None
            self.server.bend = bend
            self.push(status=FAILED)
        self.server.bend = lambda word, names: None
        self.push()
        self.assertEqual(self.bodies(), [text(2), text(3), "theirs"])
        self.server.capabilities = ""
        self.mbj("expunge", self.p, "alice", "INBOX", "3")
        self.assertIn("no UIDPLUS", self.push(status=PARTIAL).err)
        self.assertFalse(self.said("EXPUNGE"))
        self.assertEqual(self.bodies(), [text(2), text(3), "theirs"])
        self.assertEqual(inbox.mail[3][0], {"\\Deleted"})
        self.push()
        self.assertFalse(self.said("UID"))

    def test_move(self):
        """What is moved is at one of both places at any time."""
        self.fill(2)
        self.push()
        self.mbj("mv", self.p, "alice", "INBOX", "1", "A")
        self.mbj("mv", self.p, "alice", "INBOX", "2", "B")
        self.server.bend = lambda word, names: ["TAG NO [OVERQUOTA] full"] \
            if word == "APPEND" and names[0] == "B" else None
        err = self.push(status=PARTIAL).err
        self.assertIn("B lacks message 1: the server says NO: [OVERQUOTA] full",
                      err)
        self.assertIn("INBOX keeps 1 messages that are gone", err)
        self.assertEqual((self.bodies(), self.bodies("A"), self.bodies("B")),
                         ([text(1)], [text(0)], []))
        self.server.bend = lambda word, names: None
        self.push()
        self.assertEqual((self.bodies(), self.bodies("B")), ([], [text(1)]))

    def test_delete(self):
        """A mailbox goes with what we put there, and not with others'."""
        self.fill(2, "A")
        self.fill(1, "B")
        self.push()
        self.server.boxes["B"].put("theirs")
        self.mbj("rename", self.p, "alice", "A>C")
        self.mbj("mv", self.p, "alice", "C", "1", "INBOX")
        rows = mbjtest.listing([TOP])
        self.mbj("reconcile", self.p, "alice", "--remove-messages", stdin=rows)
        err = self.push(status=mbjtest.REFUSED).err
        self.assertIn("B is to go, but has 2 messages at the server, and not "
                      "all of them are ours", err)
        self.assertNotIn("A is to go", err)
        self.assertEqual(self.bodies("A"), [text(0), text(1)])
        del self.server.boxes["B"].mail[2]
        self.server.boxes["B"].messages -= 1
        self.push()
        self.assertEqual(set(self.server.boxes), {"INBOX"})
        self.assertEqual(self.bodies(), [text(0)])

    def test_delete_below(self):
        """Nor does one that is below a mailbox that is renamed go before what
        was moved out of it is where it is by now."""
        below = mailbox_id(12), mailbox_id(13)
        rows = [TOP, (A, "A", None), (B, "B", None), (below[0], "x", A),
                (below[1], "y", below[0])]
        self.mbj("reconcile", self.p, "alice", stdin=mbjtest.listing(rows))
        self.fill(1, "A/x")
        self.fill(1, "A/x/y", 1)
        self.push()
        for name in ("A/x", "A/x/y"):
            self.mbj("mv", self.p, "alice", name, "1", "INBOX")
        self.mbj("reconcile", self.p, "alice", stdin=mbjtest.listing(
            [TOP, (A, "A", B), (B, "B", None)]))
        self.server.bend = lambda word, names: \
            ["TAG NO [OVERQUOTA] full"] if word == "APPEND" else None
        err = self.push(status=PARTIAL).err
        for number, name in enumerate(("B/A/x", "B/A/x/y")):
            self.assertIn(f"mailbox {name} is kept, although it is gone", err)
            self.assertEqual(self.bodies(name), [text(number)])
        self.server.bend = lambda word, names: None
        self.mbj("rename", self.p, "alice", "B/A>A")
        self.push()
        self.whole(2)
        self.assertEqual(set(self.server.boxes), {"INBOX", "A", "B"})

    def test_delete_doubt(self):
        """Nor does one stay for what a cut APPEND brought, or what is marked
        and no more; somebody else's of as many bytes is no such one."""
        destroy = {"destroy": [A], "onDestroyRemoveEmails": True}
        self.fill(2, "A")
        taken = []

        def bend(word, _):
            if word != "APPEND" or taken.append(word) or len(taken) < 2:
                return None
            self.server.boxes["A"].put(self.server.body)
            return [None]
        self.server.bend = bend
        self.push(status=FAILED)
        self.server.bend = lambda word, names: None
        box = self.server.boxes["A"]
        self.mbj("set", self.p, "alice", stdin=destroy)
        box.mail[2][2] = text(7)
        self.assertIn("A is to go", self.push(status=mbjtest.REFUSED).err)
        box.mail[2][2] = text(1)
        self.push()
        self.assertNotIn("A", self.server.boxes)
        # Marked, by a file that was written anew since.
        self.server.capabilities = "LITERAL+"
        self.fill(3, "B")
        self.push()
        self.mbj("expunge", self.p, "alice", "B", "2")
        self.push(status=PARTIAL)
        path = self.dir / "state.messages" / B
        self.assertIn(b" marked 2 2 ", path.read_bytes())
        path.write_bytes(path.read_bytes() + b"01234567 cut")
        self.deliver(text(3), "B")
        self.push()
        self.assertIn(b" marked 0 2 ", path.read_bytes())
        self.mbj("expunge", self.p, "alice", "B", "1")
        self.push(status=PARTIAL)
        self.assertFalse([c for c in self.said("UID STORE") if "2" in c])
        self.mbj("set", self.p, "alice",
                 stdin={"destroy": [B], "onDestroyRemoveEmails": True})
        kept = self.server.boxes["B"].mail[2][2]
        self.server.boxes["B"].mail[2][2] = text(8)
        self.assertIn("B was to be deleted, but",
                      self.push(status=mbjtest.REFUSED).err)
        self.server.boxes["B"].mail[2][2] = kept
        self.push()
        self.assertEqual(set(self.server.boxes), {"INBOX"})

    def test_doubt_and_gone(self):
        """A mailbox does not go with a message that only a cut APPEND brought,
        and that is not yet where it was moved to."""
        self.fill(1, "A")
        self.push()
        self.fill(1, "A", 1)
        self.server.bend = lambda word, _: [
            self.server.boxes["A"].put(self.server.body) and None] \
            if word == "APPEND" else None
        self.push(status=FAILED)
        self.mbj("mv", self.p, "alice", "A", "2", "B")
        self.mbj("expunge", self.p, "alice", "A", "1")
        self.mbj("set", self.p, "alice", stdin={"destroy": [A]})
        self.server.bend = lambda word, _: ["TAG NO [OVERQUOTA] full"] \
            if word == "APPEND" else None
        self.assertIn("A is kept", self.push(status=PARTIAL).err)
        self.assertEqual(self.bodies("A"), [text(0), text(1)])
        self.server.bend = lambda word, _: None
        self.push()
        self.assertEqual((set(self.server.boxes), self.bodies("B")),
                         ({"INBOX", "B"}, [text(1)]))

    def test_left_out(self):
        """What cannot be had or be put is named, and the rest is there."""
        self.fill(5)
        self.deliver("x" * 3000)
        self.deliver("a\0b")
        blobs = {}
        for path in (self.p / "blobs").glob("*/*"):
            blobs[path.read_bytes()] = path
        blobs[text(1).encode()].unlink()
        damaged = blobs[text(2).encode()]
        damaged.chmod(0o600)
        damaged.write_bytes(text(9).encode())
        self.server.capabilities = "UIDPLUS LITERAL+ APPENDLIMIT=2000"
        self.server.bend = lambda word, names: ["TAG BAD no such thing"] \
            if word == "APPEND" and text(4) == self.server.body else None
        err = self.push(status=PARTIAL).err
        for uid, why in ((2, ""), (3, ""), (5, "the server says BAD: no such"),
                         (6, "it has 3000 bytes, and the server takes 2000"),
                         (7, "it has bytes that are 0")):
            self.assertIn(f"INBOX lacks message {uid}: {why}", err)
        self.assertEqual(self.bodies(), [text(0), text(3)])
        # It is looked at again, and comes behind the others.
        blobs[text(1).encode()].write_bytes(text(1).encode())
        self.push(status=PARTIAL)
        self.assertEqual(self.bodies(), [text(0), text(3), text(1)])

    def test_renewed(self):
        """Where UIDs mean other messages nothing is done by guess, and other
        mailboxes go on."""
        self.fill(2)
        self.push()
        inbox = self.server.boxes["INBOX"]
        inbox.validity += 1
        self.mbj("expunge", self.p, "alice", "INBOX", "1")
        self.deliver(text(3), "A")
        err = self.push(status=PARTIAL).err
        self.assertIn("INBOX is passed over: ", err)
        self.assertIn("its UIDVALIDITY at the server is 1002, and was 1001",
                      err)
        self.assertEqual(self.bodies(), [text(0), text(1)])
        self.assertEqual(self.bodies("A"), [text(3)])

    def test_file(self):
        """Files of messages are met when they are damaged, and missed when
        they are gone; a cut end is a kill's."""
        self.fill(2)
        self.push()
        path = self.dir / "state.messages" / INBOX
        whole = path.read_bytes()
        self.deliver(text(2))
        path.write_bytes(whole.replace(b"message 1 1", b"message 1 2"))
        self.assertIn("checksum", self.push(status=mbjtest.CORRUPT).err)
        path.unlink()
        self.assertIn("is missing", self.push(status=mbjtest.CORRUPT).err)
        path.write_bytes(whole + b"01234567 messa")
        self.push()
        self.whole(3)

    def test_dry(self):
        self.fill(3)
        for options in (("-n",), ("-n", "--folders-only"), ("--folders-only",)):
            self.push(*options)
            self.assertFalse(self.said(("APPEND", "SELECT")))
        self.assertFalse((self.dir / "state.messages").exists())
        self.assertIn(f"INBOX: 3 messages to be appended "
                      f"({3 * len(text(0))} bytes)", self.push("-n").out)
        self.push()
        self.mbj("flag", self.p, "alice", "INBOX", "1", "\\Seen")
        self.mbj("expunge", self.p, "alice", "INBOX", "2:3")
        self.deliver(text(9))
        out = self.push("-n", "--json").json()
        self.assertEqual(out["mailboxes"], [{
            "name": "INBOX", "appended": 1, "appendedBytes": len(text(9)),
            "flagged": 1, "expunged": 2, "leftOut": 0}])
        self.assertEqual((out["appended"], out["flagged"], out["expunged"]),
                         (1, 1, 2))
        self.assertFalse(self.said(("APPEND", "SELECT", "UID")))

    def test_dry_refused(self):
        """What the server says that it does not take is not promised."""
        self.fill(4)
        self.push()
        self.server.capabilities = "LITERAL+ APPENDLIMIT=2000"
        self.deliver("a: b\n\n" + "x\n" * 800)
        self.deliver("a: b\n\n" + "x\n" * 600)
        self.deliver("x" * 3000, "A")
        self.mbj("mv", self.p, "alice", "INBOX", "1", "A")
        self.mbj("expunge", self.p, "alice", "INBOX", "2:3")
        self.server.capabilities = "LITERAL+ APPENDLIMIT=2000"
        dry = self.push("-n", "--json", status=PARTIAL)
        self.assertFalse(self.said(("APPEND", "SELECT", "UID")))
        real = self.push("--json", status=PARTIAL)
        self.assertEqual(dry.err, real.err)
        self.assertIn("INBOX lacks message 5: it has 2408 bytes", real.err)
        self.assertIn("INBOX keeps 3 messages that are gone, marked", real.err)

        def counts(result):
            out = result.json()
            left = {}
            for box in out["mailboxes"]:
                left[box["name"]] = left.get(box["name"], 0) + box["leftOut"]
            return out["appended"], out["expunged"], out["leftOut"], left
        self.assertEqual(counts(dry), counts(real))
        # What is not taken elsewhere is not gone.
        self.server.capabilities = "LITERAL+ UIDPLUS APPENDLIMIT=10"
        self.mbj("mv", self.p, "alice", "INBOX", "4", "A")
        dry = self.push("-n", status=PARTIAL)
        self.assertIn("INBOX keeps 1 messages that are gone: what", dry.err)
        self.assertEqual(dry.err, self.push(status=PARTIAL).err)


class Common(Mail):
    """What any server must come to."""

    def fetched(self, path="INBOX"):
        """Subject to (flags, date, bytes), each once."""
        client = self.login()
        client.select(dovetest.encode(self.server.name(path)), readonly=True)
        status, data = client.fetch("1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")
        self.assertEqual(status, "OK", data)
        client.logout()
        found = {}
        for head, body in [d for d in data if isinstance(d, tuple)]:
            subject = body.split(b"\r\n", 1)[0]
            self.assertNotIn(subject, found)
            found[subject] = (
                {f.decode() for f in pushtest.imaplib.ParseFlags(head)}
                - {r"\Recent"},
                time.mktime(pushtest.imaplib.Internaldate2tuple(head)), body)
        return found

    def here(self, path="INBOX"):
        """The same, of the store."""
        found = {}
        listed = self.mbj("messages", self.p, "alice", path, "--json").json()
        for m in listed["messages"]:
            body = subprocess.run(
                [mbjtest.MBJ, "cat", str(self.p), "alice", path, str(m["uid"])],
                capture_output=True, check=True).stdout
            body = body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            found[body.split(b"\r\n", 1)[0]] = (
                set(m["flags"]), datetime.datetime.fromisoformat(
                    m["receivedAt"].replace("Z", "+00:00")).timestamp(), body)
        return found

    def left(self):
        """Whatever a killed push sent is done: its session has ended."""
        for _ in range(6000):
            lines = [line for line in self.server.log().split("\n")
                     if self.user in line]
            if sum("Login: " in line for line in lines) == \
                    sum("Disconnected" in line or "Logged out" in line
                        for line in lines if "imap(" in line):
                return
            time.sleep(.01)
        raise AssertionError(self.server.log())

    def test_mail(self):
        """Bytes, dates, flags and keywords are there as they are here, and
        follow; a message of somebody else's stays as it is."""
        self.rows("A", "Größe & Co")
        client = self.login()
        self.put(client, "INBOX", "theirs")
        self.deliver("Subject: lf\n\nline\nline\n")
        self.deliver("Subject: long\r\n\r\n" + "x" * 998 + "\r\n" * 5000)
        self.deliver("Subject: big\r\n\r\n" + ("y" * 70 + "\r\n") * 20000,
                     "Größe & Co")
        self.fill(3)
        self.mbj("flag", self.p, "alice", "INBOX", "2:4", "\\Seen", "\\Flagged",
                 "$Forwarded", "Tag-1")
        out = self.push("--json").json()
        self.assertEqual(out["appended"], 6)
        theirs = self.fetched()[b"Subject: theirs"]

        def same(path):
            found = self.fetched()
            self.assertEqual(found.pop(b"Subject: theirs"), theirs)
            self.assertEqual(found, self.here())
            self.assertEqual(self.fetched(path), self.here(path))
        same("Größe & Co")
        self.mbj("flag", self.p, "alice", "INBOX", "3:5", "--replace",
                 "\\Answered", "other")
        self.mbj("expunge", self.p, "alice", "INBOX", "1,4")
        self.mbj("mv", self.p, "alice", "INBOX", "2", "A")
        self.rename("A>Größe & Co/a")
        self.rename("Größe & Co>Z")
        out = self.push("--json").json()
        self.assertEqual((out["appended"], out["flagged"], out["expunged"]),
                         (1, 2, 3))
        same("Z")
        self.assertEqual(self.fetched("Z/a"), self.here("Z/a"))
        self.assertEqual(self.push("--json").json()["mailboxes"], [])

    def test_killed(self):
        """SIGKILL between any two of: a message is announced, is on disk, is
        sent, is noted.  Each run goes on where the last one was."""
        if subprocess.run(["strace", "-o", "/dev/null", "true"], check=False,
                          stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("strace cannot trace here")
        self.fill(1)
        self.push()
        path = next(self.dir.glob("p.push*.messages")) / INBOX
        self.fill(7, first=1)
        doubts = set()
        for run in range(40):
            call, when = (("pwrite64", 1), ("fdatasync", 1), ("pwrite64", 2),
                          ("pwrite64", 3), ("fdatasync", 2))[run % 5]
            done = subprocess.run(
                ["strace", "-o", "/dev/null", "-P", path, "-e",
                 f"trace={call}", "-e", f"inject={call}:signal=KILL:when={when}",
                 mbjtest.MBJ, "push", self.p, "alice", self.url, "--settle",
                 "0"],
                # LeakSanitizer cannot run where somebody traces.
                env=dict(ENV, ASAN_OPTIONS="detect_leaks=0"),
                capture_output=True, check=False, timeout=120)
            doubts.add(path.read_text().split("\n")[-2].split()[1])
            if done.returncode == 0:
                break
            self.assertEqual(done.returncode, -9, done.stderr)
            self.left()
        self.assertEqual(done.returncode, 0, "it never comes to its end")
        self.assertLessEqual({"append", "message"}, doubts)
        self.assertEqual(self.fetched(), self.here())
        self.push()
        self.assertEqual(self.fetched(), self.here())


class PushMail(Common, PushCase):
    @classmethod
    def make(cls, directory):
        return pushtest.Dovecot(directory)


class PushMailCyrus(Common, PushCase):
    @classmethod
    def make(cls, directory):
        return pushtest.Cyrus(directory)


if __name__ == "__main__":
    kind = pushtest.Cyrus if "PushMailCyrus" in sys.argv[1:] \
        else pushtest.Dovecot
    if "PushMailOdd" not in sys.argv[1:] and not kind.can_run():
        print(f"no {kind.__name__} here: skipped", file=sys.stderr)
        sys.exit(77)
    unittest.main()
