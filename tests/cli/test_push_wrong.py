"""mbj push of messages to servers that say what is not so, and with files that
were lost or are old: what others have there stays, and what is ours is said."""
import unittest

import mbjtest
from mbjtest import CORRUPT, FAILED, INBOX, PARTIAL, REFUSED, crc32c
from test_push_mail import A, B, OddMail, TOP, text

X = mbjtest.mailbox_id(99)


class PushWrong(OddMail):
    def setUp(self):
        super().setUp()
        self.inbox = self.server.boxes["INBOX"]
        self.map = self.dir / "state.messages" / INBOX

    def bend(self, word, answer):
        self.server.bend = lambda said, names: \
            answer(*names) if said == word else None

    def straight(self):
        self.server.bend = lambda word, names: None

    def test_passed_over(self):
        """What was moved to a mailbox that is passed over stays where it was."""
        self.fill(2)
        self.push()
        self.mbj("mv", self.p, "alice", "INBOX", "1", "A")
        self.bend("SELECT", lambda name: ["TAG NO [INUSE] later"]
                  if name == "A" else None)
        err = self.push(status=PARTIAL).err
        self.assertIn("A is passed over", err)
        self.assertIn("INBOX keeps 1 messages", err)
        self.assertEqual(self.bodies(), [text(0), text(1)])
        self.straight()
        self.push()
        self.assertEqual((self.bodies(), self.bodies("A")),
                         ([text(1)], [text(0)]))

    def test_nameless(self):
        """Nor is it gone where the server cannot have the mailbox's name."""
        self.bend("LIST", lambda _, pattern: None if pattern else [
            r'* LIST (\Noselect) "." ""', "TAG OK"])
        self.fill(1)
        self.push()
        self.mbj("set", self.p, "alice", stdin={"create": {
            "x": {"name": "x.y", "parentId": None}}})
        self.mbj("mv", self.p, "alice", "INBOX", "1", "x.y")
        self.assertIn("INBOX keeps 1 messages", self.push(status=PARTIAL).err)
        self.assertEqual(self.bodies(), [text(0)])

    def test_uid_told(self):
        """A UID of a message that was there, or that none can have, is not
        that of ours."""
        for number in range(2):
            self.inbox.put(text(number), {"\\Flagged"})
        self.fill(2)
        uids = iter((1, 2 ** 32 - 1))
        self.bend("APPEND", lambda *_: [
            f"TAG OK [APPENDUID {self.inbox.validity} {next(uids)}] done"])
        err = self.push(status=PARTIAL).err
        self.assertIn("message 1, and which one that is", err)
        self.assertIn("message 2, and which one that is", err)
        self.straight()
        self.mbj("flag", self.p, "alice", "INBOX", "2", "\\Seen")
        self.mbj("expunge", self.p, "alice", "INBOX", "1")
        self.assertIn("keeps 1", self.push(status=PARTIAL).err)
        self.push()
        self.assertEqual([m[0] for m in self.inbox.mail.values()],
                         [{"\\Flagged"}] * 2)

    def test_uid_untold(self):
        """One that is alone there and has other bytes is somebody else's."""
        self.server.capabilities = "LITERAL+"
        self.fill(1)
        self.bend("APPEND", lambda *_: [
            self.inbox.put("theirs") and "TAG OK filed elsewhere"])
        self.assertIn("does not tell", self.push(status=PARTIAL).err)
        self.straight()
        self.server.capabilities += " UIDPLUS"
        self.mbj("expunge", self.p, "alice", "INBOX", "1")
        self.push(status=PARTIAL)
        self.assertEqual(self.bodies(), ["theirs"])

    def test_back(self):
        """A mailbox that gives UIDs again is passed over, as is INBOX with
        another UIDVALIDITY, until it is empty."""
        self.fill(3)
        self.push()
        del self.inbox.mail[3]
        self.inbox.last = self.inbox.messages = 2
        self.mbj("expunge", self.p, "alice", "INBOX", "1")
        self.assertIn("UIDNEXT at the server is 3, and was 4",
                      self.push(status=PARTIAL).err)
        self.inbox.validity += 7
        self.assertIn("its UIDVALIDITY at the server",
                      self.push("--overrule", status=PARTIAL).err)
        self.assertEqual(self.bodies(), [text(0), text(1)])
        self.inbox.mail.clear()
        self.inbox.messages = 0
        self.push(status=PARTIAL)
        self.assertEqual(self.bodies(), [])
        self.push("--overrule")
        self.assertEqual(self.bodies(), [text(1), text(2)])

    def restored(self, box, kept, *others):
        """The server has a backup of a mailbox, and others' messages came."""
        box.mail = {u: m for u, m in box.mail.items() if u <= kept}
        box.messages = len(box.mail)
        box.last = kept
        for body in others:
            box.put(body)

    def test_uids_again(self):
        """Neither flags nor expunges come to others' messages that have the
        UIDs of ours, nor does a mailbox go with them."""
        self.fill(3, "A")
        self.fill(4)
        self.push()
        # As many bytes as ours: the bytes tell.
        self.restored(self.inbox, 2, text(7), text(8))
        self.mbj("expunge", self.p, "alice", "INBOX", "3")
        err = self.push(status=PARTIAL).err
        self.assertIn("INBOX is passed over: the message that has UID 3 there "
                      "is not the one that was pushed", err)
        self.restored(self.inbox, 2, "theirs", "too", "theirs")
        self.mbj("flag", self.p, "alice", "INBOX", "4", "\\Seen")
        self.mbj("mv", self.p, "alice", "A", "1", "INBOX")
        err = self.push(status=PARTIAL).err
        self.assertIn("UID 4 there", err)
        self.assertIn("A keeps 1", err)
        self.assertFalse(self.said(("UID STORE", "UID EXPUNGE")))
        self.assertEqual([m[0] for m in self.inbox.mail.values()],
                         [set()] * len(self.inbox.mail))
        # INBOX is filled anew, once there is nothing.
        self.restored(self.inbox, 0)
        self.inbox.last = 9
        self.push("--overrule")
        self.assertEqual(self.bodies(), [text(0), text(1), text(3), text(0)])
        box = self.server.boxes["A"]
        self.restored(box, 0)
        box.last = 1
        box.put(text(5))
        box.put(text(6))
        self.mbj("mv", self.p, "alice", "A", "1:*", "INBOX")
        self.mbj("set", self.p, "alice", stdin={"destroy": [A]})
        self.push(status=REFUSED)
        self.assertEqual(self.bodies("A"), [text(5), text(6)])

    def test_moved_and_gone(self):
        """A mailbox goes behind the APPENDs of what was moved out of it, and
        not where one of them cannot be; at once where its name is needed."""
        self.fill(2, "A")
        self.push()
        self.mbj("mv", self.p, "alice", "A", "1:2", "B")
        self.mbj("set", self.p, "alice", stdin={"destroy": [A]})
        self.bend("APPEND", lambda name, *_: ["TAG NO [OVERQUOTA] full"]
                  if self.server.body == text(1) else None)
        for options in ((), ("--remove-messages",)):
            self.assertIn("A is kept", self.push(*options, status=PARTIAL).err)
            self.assertEqual((self.bodies("A"), self.bodies("B")),
                             ([text(0), text(1)], [text(0)]))
        self.straight()
        self.push()
        self.assertEqual([c.split()[0] for c in self.said(
            ("APPEND", "DELETE"))], ["APPEND", "DELETE"])
        self.assertEqual((set(self.server.boxes), self.bodies("B")),
                         ({"INBOX", "B"}, [text(0), text(1)]))
        # Another one needs the name.
        self.mbj("set", self.p, "alice", stdin={"create": {
            "c": {"name": "C", "parentId": None}}})
        self.push()
        self.mbj("mv", self.p, "alice", "B", "1:2", "C")
        self.mbj("set", self.p, "alice", stdin={"destroy": [B]})
        self.mbj("rename", self.p, "alice", "C>B")
        self.push()
        self.assertEqual([c.split()[0] for c in self.said(
            ("APPEND", "DELETE"))], ["DELETE", "APPEND", "APPEND"])
        self.assertEqual(self.bodies("B"), [text(0), text(1)])

    def test_changed(self):
        """Of a server that changes what it is given what it made of it is
        ours; where nobody was told of that before a cut it is nobody's."""
        def change(*_):
            taken.append(self.inbox.put("Added: x\r\n" + self.server.body))
            return [None] if len(taken) == 3 else \
                [f"TAG OK [APPENDUID {self.inbox.validity} {taken[-1]}] x"]
        taken = []
        self.fill(1)
        self.bend("APPEND", change)
        self.push()
        self.fill(2, first=1)
        self.push(status=FAILED)
        self.straight()
        self.assertIn("has 1 messages that the server changed",
                      self.push(status=PARTIAL).err)
        self.mbj("flag", self.p, "alice", "INBOX", "1", "\\Seen")
        self.push()
        self.assertEqual(self.inbox.mail[1][0], {"\\Seen"})
        self.mbj("expunge", self.p, "alice", "INBOX", "1,2")
        self.push(status=PARTIAL)
        self.assertEqual(min(self.inbox.mail), 2)

    def test_changed_at_cut(self):
        """Nor is it ours where another connection goes on in the same push: a
        server that went down may have others' in its place."""
        def lose(*_):
            if self.server.body != text(2) or lost:
                return None
            lost.append(self.inbox.mail[2])
            self.inbox.mail[2] = [set(), None, "theirs"]
            return [None]
        lost = []
        self.server.is_back = True
        self.fill(4)
        self.bend("APPEND", lose)
        self.assertIn("INBOX has 1 messages that the server changed, or has "
                      "others in their place",
                      self.push(status=PARTIAL).err)
        self.assertTrue(lost)
        self.mbj("expunge", self.p, "alice", "INBOX", "1:4")
        self.push(status=PARTIAL)
        self.assertEqual(self.bodies(), ["theirs"])

    def edit(self, change):
        """Lines of the map, without their checksums, become others."""
        lines = change([line.split(b" ", 1)[1] for line in
                        self.map.read_bytes().splitlines()])
        self.map.write_bytes(b"".join(b"%08x %s\n" % (crc32c(line), line)
                                      for line in lines))

    def test_swapped(self):
        """A name that was used before gives a mailbox another UIDVALIDITY
        here: its messages are the same ones."""
        self.fill(3, "A")
        self.fill(1, "B", 5)
        self.push()
        self.mbj("rename", self.p, "alice", "A>B", "B>A")
        self.deliver(text(9), "A")
        self.mbj("flag", self.p, "alice", "B", "1", "\\Seen")
        self.mbj("expunge", self.p, "alice", "B", "2")
        self.assertIn("B: 0 messages to be appended (0 bytes), 1 with other "
                      "flags, 1 to be expunged", self.push("-n").out)
        self.push()
        self.assertEqual((self.bodies("A"), self.bodies("B")),
                         ([text(5), text(9)], [text(0), text(2)]))
        self.assertEqual(self.server.boxes["B"].mail[1][0], {"\\Seen"})
        self.push()
        self.assertFalse(self.said(("APPEND", "UID")))
        # Onto a name that a mailbox had which is gone.
        self.mbj("reconcile", self.p, "alice", "--remove-messages",
                 stdin=mbjtest.listing([TOP, (A, "A", None)]))
        self.mbj("mv", self.p, "alice", "A", "1", "INBOX")
        self.push()
        self.assertEqual((self.bodies("A"), self.bodies()),
                         ([text(2)], [text(0)]))

    def test_other_here(self):
        """Where UIDs here are other messages than those that were pushed
        nothing is done by guess."""
        self.fill(3)
        self.push()

        def renew(lines, blob=None):
            head = lines[0].split(b" ")
            head[5] = b"7"
            lines[0] = b" ".join(head)
            at = next(n for n, line in enumerate(lines)
                      if line.startswith(b"message 2 "))
            words = lines[at].split(b" ")
            words[4] = blob or words[4]
            lines[at] = b" ".join(words)
            return lines
        kept = self.map.read_bytes()
        self.edit(lambda lines: renew(lines, b"0123456789abcdef"))
        self.deliver(text(3))
        self.mbj("expunge", self.p, "alice", "INBOX", "1")
        for options in (("-n",), ()):
            self.assertIn("and was 7 when its messages were pushed, and UID 2 "
                          "is not the message that it was",
                          self.push(*options, status=PARTIAL).err)
        self.assertEqual(self.bodies(), [text(0), text(1), text(2)])
        # The same ones of another UIDVALIDITY.
        self.map.write_bytes(kept)
        self.edit(renew)
        self.push()
        self.assertEqual(self.bodies(), [text(1), text(2), text(3)])
        self.assertEqual(self.map.read_bytes().split(b"\n")[0],
                         kept.split(b"\n")[0])

    def move_inbox(self):
        """What some servers' RENAME of INBOX is: its mailbox is a folder, and
        another one is INBOX."""
        state = self.mbj("tree", self.p, "alice", "--json").json()["state"]
        self.mbj("reconcile", self.p, "alice", "--resolve", "--as-of", state,
                 stdin=mbjtest.listing([(X, "INBOX", None),
                                        (INBOX, "Old", None), (A, "A", None)]))

    def test_inbox_moved(self):
        """INBOX is another mailbox by now: what the old one had is where that
        is, and there only, once it is there; of version 1, too."""
        self.fill(2)
        self.push()
        self.edit(lambda lines: [line.replace(
            b"mbj-push-messages 2 ", b"mbj-push-messages 1 ")
            for line in lines])
        # One in doubt, and somebody else's.
        self.deliver(text(2))
        self.bend("APPEND", lambda *_: [
            self.inbox.put(self.server.body) and None])
        self.push(status=FAILED)
        self.inbox.put("theirs")
        self.move_inbox()
        self.deliver(text(3))
        self.straight()
        self.assertIn("INBOX: 1 messages to be appended (25 bytes), 0 with "
                      "other flags, 2 to be expunged", self.push("-n").out)
        # Cut anywhere.
        state, kept = self.dir / "state", self.map.read_bytes()
        self.bend("CREATE", lambda *_: [None])
        self.push(status=FAILED)
        lines = state.read_bytes().splitlines(True)
        gone = next(n for n, line in enumerate(lines) if b" gone " in line)
        self.assertIn(b" messages ", lines[gone - 1])
        for end in (gone, gone - 1, gone - 2):
            state.write_bytes(b"".join(lines[:end]))
            self.map.write_bytes(kept)
            self.push(status=FAILED)
            self.assertFalse(self.map.exists())
        self.bend("APPEND", lambda *_: ["TAG NO [OVERQUOTA] full"]
                  if self.server.body == text(0) else None)
        self.assertIn("INBOX keeps 1 messages that are gone",
                      self.push(status=PARTIAL).err)
        self.assertEqual((self.bodies(), self.bodies("Old")),
                         ([text(0), "theirs", text(3)], [text(1), text(2)]))
        self.straight()
        self.push()
        self.assertEqual((self.bodies(), self.bodies("Old")),
                         (["theirs", text(3)], [text(1), text(2), text(0)]))
        self.push()
        self.assertFalse(self.said(("SELECT", "APPEND", "UID")))

    def test_inbox_moved_and_gone(self):
        """Nor does it stay where the old one is no more; where nobody can tell
        which it is, that is said."""
        self.fill(2)
        self.push()
        self.restored(self.inbox, 1, text(7))
        self.move_inbox()
        self.mbj("set", self.p, "alice", stdin={
            "destroy": [INBOX], "onDestroyRemoveEmails": True})
        self.assertIn("UID 2 there is not the one that was pushed",
                      self.push(status=PARTIAL).err)
        self.restored(self.inbox, 1, text(1))
        self.inbox.put("theirs")
        self.push()
        self.assertEqual(self.bodies(), ["theirs"])
        self.push()
        self.assertFalse(self.said(("SELECT", "APPEND", "UID")))

    def test_inbox_moved_unknown(self):
        """Where nobody can tell which ones the old one's are they stay, and
        that is said."""
        self.fill(1)
        self.push()
        self.inbox.validity += 1
        self.deliver(text(1))
        self.push(status=PARTIAL)
        self.move_inbox()
        self.assertIn("is another mailbox here by now, and keeps what the old "
                      "one had", self.push(status=PARTIAL).err)
        self.push()
        self.assertEqual((self.bodies(), self.bodies("Old")),
                         ([text(0)], [text(0), text(1)]))

    def test_inbox_moved_anew(self):
        """Nor where the server's INBOX was made again between the two pushes:
        what comes into the new one is pushed."""
        self.fill(1)
        self.push()
        self.inbox.validity += 1
        self.move_inbox()
        self.push(status=PARTIAL)
        self.deliver(text(1))
        self.push()
        self.assertEqual((self.bodies(), self.bodies("Old")),
                         ([text(0), text(1)], [text(0)]))

    def test_inbox_taken(self):
        """A folder with mail becomes INBOX, whose mailbox becomes a folder."""
        self.fill(1)
        self.mbj("deliver", self.p, "alice", "A", stdin=text(1).encode())
        self.push()
        state = self.mbj("tree", self.p, "alice", "--json").json()["state"]
        self.mbj("reconcile", self.p, "alice", "--resolve", "--as-of", state,
                 stdin=mbjtest.listing([(A, "INBOX", None),
                                        (INBOX, "Old", None)]))
        self.push()
        self.deliver(text(2))
        self.push()
        self.assertEqual((self.bodies(), self.bodies("Old")),
                         ([text(1), text(2)], [text(0)]))

    def test_keywords(self):
        """What a server does not take is no reason to set the flags of a
        message again, and to undo what its users do."""
        def some(word, names):
            # PERMANENTFLAGS tells, or a NO to one of them.
            if word == "SELECT":
                return [line.replace(r" \*", "") for line in
                        self.server.do_select(*names)]
            return ["TAG NO keyword"] if word in ("UID", "APPEND") \
                and "known" in self.server.commands[-1] else None
        self.fill(3)
        self.mbj("flag", self.p, "alice", "INBOX", "1", "odd")
        self.mbj("flag", self.p, "alice", "INBOX", "2", "known")
        self.server.bend = some
        result = self.push("--json", status=PARTIAL)
        self.assertEqual(result.json()["leftOut"], 2)
        for uid in (1, 2):
            self.inbox.mail[uid][0] = {"\\Seen"}
        for _ in range(2):  # by the file as it was written, and anew
            out = self.push("--json", status=PARTIAL).json()
            self.assertEqual((out["flagged"], out["leftOut"]), (0, 2))
            # Another keyword that it does not take is nothing to it, either.
            self.mbj("flag", self.p, "alice", "INBOX", "1", "odder")
        self.assertEqual([m[0] for m in self.inbox.mail.values()],
                         [{"\\Seen"}, {"\\Seen"}, set()])
        self.mbj("flag", self.p, "alice", "INBOX", "1", "\\Draft")
        self.assertEqual(
            self.push("--json", status=PARTIAL).json()["flagged"], 1)
        self.assertEqual(self.inbox.mail[1][0], {"\\Draft"})
        self.straight()
        self.assertEqual(self.push("--json").json()["flagged"], 2)
        self.assertEqual([m[0] for m in self.inbox.mail.values()],
                         [{"\\Draft", "odd", "odder"}, {"known"}, set()])
        self.push()
        self.assertFalse(self.said(("SELECT", "UID")))

    def test_overrule_refused(self):
        """Where nothing is done nothing is forgotten, either."""
        self.fill(2, "A")
        self.push()
        box, kept = self.server.boxes["A"], self.map.parent / A
        box.validity += 100
        self.assertIn("another one has its name",
                      self.push(status=REFUSED).err)
        self.assertIn("A is at the server already, with 2 messages",
                      self.push("--overrule", status=REFUSED).err)
        self.assertTrue(kept.exists())
        # It was a slip of the server's.
        box.validity -= 100
        self.push("--adopt")
        self.deliver(text(2), "A")
        self.push("--overrule", "--adopt")
        self.assertEqual(self.bodies("A"), [text(0), text(1), text(2)])
        box.validity += 100
        self.push("--overrule", "--adopt")
        self.assertFalse(kept.read_bytes().count(b" message 1 1 "))

    def test_settle(self):
        """One in doubt has all of the time from when it is looked for."""
        self.fill(1)
        self.bend("APPEND", lambda *_: [None])
        self.push(status=FAILED)
        asked = []

        def late(*_):
            asked.append(self.server.body)
            if len(asked) == 3:
                self.inbox.put(text(0))
        self.bend("NOOP", late)
        self.push("--settle", "300")
        self.assertEqual(self.bodies(), [text(0)])
        self.assertFalse(self.said("APPEND"))

    def spoil(self, number):
        """A line of the map, as a page that did not come to the disk."""
        lines = self.map.read_bytes().split(b"\n")
        lines[number] = bytes(len(lines[number]))
        self.map.write_bytes(b"\n".join(lines))

    def test_power_cut(self):
        """Lines that were not waited for may come to the disk in any order."""
        self.fill(2)
        self.push()
        self.mbj("flag", self.p, "alice", "INBOX", "1:2", "\\Seen")
        self.push()
        self.spoil(-3)
        self.fill(2, first=2)
        kept, taken = self.map.read_bytes(), []
        self.bend("APPEND", lambda *_: taken.append(1)
                  or ([None] if len(taken) == 2 else None))
        self.push(status=FAILED)
        self.spoil(-3)  # of the message, with that of the next append behind
        self.straight()
        self.push()
        self.assertEqual(self.bodies(), [text(n) for n in range(4)])
        # An append before another one was on disk.
        self.map.write_bytes(kept)
        self.spoil(2)
        self.deliver(text(4))
        self.assertIn("checksum", self.push(status=CORRUPT).err)

    def test_dropped(self):
        """A message at which the server ends each connection is left out, and
        keeps nothing else back; one that it took is there once, as it is."""
        self.server.is_back = True
        self.fill(5)
        self.mbj("flag", self.p, "alice", "INBOX", "2", "\\Seen", "word")
        tried = []

        def bend(word, _):
            if word != "APPEND":
                return None
            tried.append(self.server.body)
            if self.server.body == text(1) and tried.count(text(1)) == 1:
                self.inbox.put(text(1), {"\\Seen", "word"})
                return [None]
            if self.server.body == text(4) and tried.count(text(4)) == 1:
                return [None]
            return ["* BYE not that one", None] \
                if self.server.body == text(2) else None
        self.server.bend = bend
        for _ in range(2):
            err = self.push(status=PARTIAL).err
            self.assertIn("INBOX lacks message 3: the connection ended twice "
                          "when it was appended: the server says BYE: not that "
                          "one", err)
            self.assertEqual(self.bodies(),
                             [text(0), text(1), text(3), text(4)])
        self.assertEqual([tried.count(text(n)) for n in range(5)],
                         [1, 1, 4, 1, 2])
        self.assertFalse(self.said("UID STORE"))
        # What it is where it was moved to is not there.
        self.mbj("mv", self.p, "alice", "INBOX", "1", "A")
        self.bend("APPEND", lambda *_: [None])
        self.assertIn("INBOX keeps 1", self.push(status=PARTIAL).err)
        # Another mailbox has its name behind the cut.
        self.straight()
        self.push()
        self.deliver(text(7))

        def renew(*_):
            self.inbox.validity += 1
            return [None]
        self.bend("APPEND", renew)
        self.assertIn("INBOX is passed over", self.push(status=PARTIAL).err)

    def test_dropped_pipe(self):
        """Nor does one where the password comes by a pipe, which gives it
        once and cannot be sought in."""
        self.server.is_back = True
        self.fill(3)
        self.bend("APPEND", lambda *_: [None]
                  if self.server.body == text(1) else None)
        result = mbjtest.run(
            "push", self.p, "alice", f"imap://u@127.0.0.1:{self.server.port}",
            "--settle", "0", "--password-file", "/dev/stdin", stdin="x\n")
        self.assertEqual(result.status, PARTIAL, result.err)
        self.assertEqual(self.bodies(), [text(0), text(2)])

    def test_refused_along(self):
        """Flags, or a date, that a server does not take cost no message; what
        it cannot have anyway is sent once."""
        self.fill(1)
        uid = self.deliver(text(1))
        self.mbj("flag", self.p, "alice", "INBOX", str(uid), "\\Draft", "w")
        self.bend("APPEND", lambda *_: ["TAG NO no drafts"]
                  if "Draft" in self.server.commands[-1] else None)
        self.assertIn("INBOX has message 2 without keywords or flags",
                      self.push(status=PARTIAL).err)
        self.assertEqual([m[0] for m in self.inbox.mail.values()],
                         [set(), set()])
        self.assertTrue(all(m[1] for m in self.inbox.mail.values()))
        self.straight()
        self.push()
        self.assertEqual(self.inbox.mail[2][0], {"\\Draft", "w"})
        uid = self.deliver(text(2))
        self.mbj("flag", self.p, "alice", "INBOX", str(uid), "\\Seen")
        self.deliver(text(3))
        self.bend("APPEND", lambda *_: ["TAG NO what date"]
                  if self.server.commands[-1].count('"') > 2 else None)
        err = self.push(status=PARTIAL).err
        for uid in (3, 4):
            self.assertIn(f"INBOX has message {uid} without its internal date",
                          err)
        self.push()
        self.assertEqual([(m[0], m[1]) for m in self.inbox.mail.values()][2:],
                         [({"\\Seen"}, None), (set(), None)])
        # Once may be a slip: dates do not come later.
        self.deliver(text(4))
        said = iter([["TAG NO for once"]])
        self.bend("APPEND", lambda *_: next(said, None))
        self.push()
        self.assertTrue(self.inbox.mail[5][1])
        uid = self.deliver(text(5))
        self.mbj("flag", self.p, "alice", "INBOX", str(uid), "\\Draft", "w")
        self.bend("APPEND", lambda *_: ["TAG NO [OVERQUOTA] full"])
        self.push(status=PARTIAL)
        self.assertEqual(len(self.said("APPEND")), 1)

    def test_files(self):
        """A file that was lost or cut does not bring all of it again."""
        self.fill(2)
        self.push()
        state, kept = self.dir / "state", self.map.read_bytes()
        self.map.write_bytes(kept.split(b"\n")[0] + b"\n")
        self.deliver(text(2))
        self.assertIn("was cut", self.push(status=CORRUPT).err)
        self.map.write_bytes(kept)
        state.unlink()
        self.assertIn("has 2 messages", self.push(status=CORRUPT).err)
        self.assertEqual(self.bodies(), [text(0), text(1)])
        self.push("--overrule", status=CORRUPT)
        self.inbox.mail.clear()
        self.inbox.messages = 0
        self.push("--overrule")
        self.assertEqual(self.bodies(), [text(n) for n in range(3)])

    def test_odd_content(self):
        """One that cannot be read costs itself only, and a date that the
        server does not take the date."""
        self.fill(2)
        blob = next(b for b in (self.p / "blobs").glob("*/*")
                    if b.read_bytes() == text(0).encode())
        blob.unlink()
        blob.mkdir()
        self.server.bend = lambda word, _: ["TAG BAD date"] if (
            word == "APPEND" and self.server.commands[-1].count('"') > 2
        ) else None
        self.assertIn("lacks message 1", self.push(status=PARTIAL).err)
        self.assertEqual(self.bodies(), [text(1)])


if __name__ == "__main__":
    unittest.main()
