#!/usr/bin/env python3
"""Mail in and out: Maildirs and mboxes into accounts, accounts into Maildirs.
"""
import bz2
import gzip
import hashlib
import lzma
import os
import pathlib
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import mailtest  # noqa: E402
import mbjtest  # noqa: E402
from mailtest import Folder, Message  # noqa: E402
from mbjtest import (FAILED, OK, PARTIAL, REFUSED, ROWS, USAGE,  # noqa: E402
                     Case, seed)

SEPARATOR = b"From a@b Thu Jan  1 00:00:07 1970\n"


class Mail(Case):
    def setUp(self):
        super().setUp()
        self.stores()
        self.m = self.dir / "Maildir"

    def take(self, *options, status=OK, name="alice", store=None):
        return self.mbj("import", store or self.p, name, *options, "--json",
                        status=status)

    def kept(self, store=None, name="alice"):
        return mailtest.kept(self, store, name)

    def short(self, mailbox="INBOX", name="alice"):
        return [(m[0], m[2]) for m in self.kept(name=name)[mailbox]["messages"]]


class Maildir(Mail):
    def test_all_that_is_kept(self):
        """Goal: names, ids, UIDs, flags, keywords, dates, subscriptions.
        Method: one of each, twice: the second run finds all of it there."""
        folders = [
            Folder(["INBOX"], [Message(b"one\n", 1000, "S", ["work"], 3),
                               Message(b"two\n", 900, "", [], 7, True),
                               Message(b"new\n", 50, "", [], None, True)],
                   77, 12, "0a" * 16, True),
            Folder(["Entwürfe", "R&D"], [Message(b"x", 5, "DFRST", [], 1)],
                   78, 2, "0b" * 16),
            Folder(["plain"], [Message(b"b", 11), Message(b"c", 9),
                               Message(b"b", 10)]),
            Folder(["empty"], [], 79, 30, None, True)]
        mailtest.write(self.m, folders, ["gone"])
        (self.m / "tmp" / "1.t").write_bytes(b"not yet")
        answer = self.take("--maildir", self.m)
        self.assertEqual(answer.json(), {
            "schema": "mbj.import-mail/1", "dryRun": False, "mailboxes": 4,
            "mailboxesCreated": 4, "messages": 7, "size": 16, "present": 0,
            "leftOut": 0, "notes": 0})
        wanted = {"/".join(f.path): f.kept() for f in folders}
        wanted["plain"]["uidValidity"] = self.kept()["plain"]["uidValidity"]
        self.assertEqual(self.kept(), wanted)
        self.assertEqual(self.paths()["INBOX"], "0a" * 16)
        self.assertEqual(self.paths()["Entwürfe/R&D"], "0b" * 16)
        self.assertFalse(self.by_path()["Entwürfe"]["isSelectable"])
        again = self.take("--maildir", self.m).json()
        self.assertEqual((again["messages"], again["present"],
                          again["mailboxesCreated"]), (0, 7, 0))
        self.assertEqual(self.kept(), wanted)
        self.agree()
        self.assertEqual(self.kept(self.r), wanted)

    def test_acl(self):
        """Goal: access control lists come over, and go out as they were; what
        IMAP cannot say is named.  Method: a folder with one of each kind,
        twice; an export beside it."""
        mailtest.write(self.m, [Folder(["INBOX"], []), Folder(["A"], [])], [])
        kept = (b"anyone l\nuser=bob lr\ngroup=staff lrs\n"
                b"-user=eve r\n\"user=a b\" lr\n")
        (self.m / ".A" / "dovecot-acl").write_bytes(
            kept + b"user=bob s\nuser=x l :own\nuser=ann\n"
            b"group-override=off \n")
        answer = self.take("--maildir", self.m)
        self.assertEqual(answer.json()["notes"], 1)
        self.assertIn('"x" has named rights', answer.err)
        listed = ("$staff  lrs\n-!$off  lrswipkxtea\n-ann  lrswipkxtea\n"
                  "-eve  r\na b  lr\nanyone  l\nbob  lrs\nx  l\n")
        self.assertEqual(self.mbj("acl", self.p, "alice", "A").out, listed)
        # Given and taken here: another import changes neither.
        self.mbj("setacl", self.p, "alice", "A", "bob", "+w9")
        self.mbj("setacl", self.p, "alice", "A", "--", "a b", "-r")
        self.mbj("setacl", self.p, "alice", "A", "x", "")
        here = self.mbj("acl", self.p, "alice", "A").out
        self.assertEqual(here, listed.replace("bob  lrs", "bob  lrsw9")
                         .replace("a b  lr", "a b  l").replace("x  l\n", ""))
        answer = self.take("--maildir", self.m)
        self.assertEqual(answer.json()["notes"], 3)
        self.assertIn('"a b lr"', answer.err)
        self.assertIn('"x l"', answer.err)
        self.assertEqual(self.mbj("acl", self.p, "alice", "A").out, here)
        self.mbj("setacl", self.p, "alice", "A", "x", "l")
        self.mbj("setacl", self.p, "alice", "A", "a b", "lr")
        self.agree()
        out = self.dir / "out"
        answer = self.mbj("export", self.p, "alice", out)
        self.assertIn("A: 1 entries of its access control list", answer.err)
        self.assertEqual(
            sorted((out / ".A" / "dovecot-acl").read_bytes().splitlines()),
            sorted((kept.replace(b"bob lr", b"bob lrsw") +
                    b"user=x l\n-user=ann lrswipkxtea\n"
                    b"-group-override=off lrswipkxtea\n").splitlines()))
        self.assertFalse((out / "dovecot-acl").exists())

    def test_acl_not_written(self):
        """Goal: a list with an identifier that dovecot-acl cannot hold is not
        written at all: whom it keeps out
        would get in."""
        mailtest.write(self.m, [Folder(["INBOX"], []), Folder(["A"], [])], [])
        self.take("--maildir", self.m)
        for who in ("anyone", "-#x"):
            self.mbj("setacl", self.p, "alice", "A", "--", who, "lr")
        out = self.dir / "out"
        answer = self.mbj("export", self.p, "alice", out, status=PARTIAL)
        self.assertIn("A: its access control list is not written", answer.err)
        self.assertFalse((out / ".A" / "dovecot-acl").exists())
        self.mbj("setacl", self.p, "alice", "A", "--", "-#x", "")
        shutil.rmtree(out)
        self.mbj("export", self.p, "alice", out)
        self.assertEqual((out / ".A" / "dovecot-acl").read_bytes(),
                         b"anyone lr\n")

    def test_acl_left_out(self):
        """Goal: a list with a line that cannot be had gives nobody any right:
        what the line takes away would be given.  Method: a folder for each
        way, and a good one."""
        lines = {"ignored": b"bob lr", "named": b"-user=#x lr",
                 "user": b"user=anyone l", "letters": b"-user=eve lrz",
                 "text": b"-user=\xff lr",
                 "long": b"-user=" + 1025 * b"x" + b" lr",
                 "longer": b"-user=" + 5000 * b"x" + b" lr",
                 "many": b"\n".join(b"user=u%d l" % i for i in range(1000))
                 + b"\n-user=u1 l"}
        mailtest.write(self.m, [Folder([name], []) for name in
                                ("INBOX", "good", "dir", *lines)], [])
        (self.m / ".good" / "dovecot-acl").write_bytes(b"anyone lr\n")
        (self.m / ".dir" / "dovecot-acl").mkdir()
        for name, line in lines.items():
            (self.m / f".{name}" / "dovecot-acl").write_bytes(
                b"anyone lr\n" + line + b"\n")
        answer = self.take("--maildir", self.m, status=PARTIAL)
        self.assertEqual(answer.json()["leftOut"], len(lines) + 1)
        for name in ("dir", *lines):
            self.assertIn(f"/.{name}: dovecot-acl is not taken", answer.err)
            self.assertEqual(self.mbj("acl", self.p, "alice", name).out, "")
        self.assertEqual(self.mbj("acl", self.p, "alice", "good").out,
                         "anyone  lr\n")

    def test_bad_messages(self):
        """Goal: each is named with its reason, counted, and costs nothing
        else."""
        folder = Folder(["INBOX"], [Message(b"good\n", 1, "", [], 1),
                                    Message(b"", 2, "", [], 2),
                                    Message(b"also\n", 3, "", [], 3)], 9)
        mailtest.write(self.m, [folder])
        cur = self.m / "cur"
        (cur / "4.link").symlink_to("/etc/passwd")
        (cur / "5.dangling").symlink_to("nowhere")
        (cur / "6.dir").mkdir()
        os.mkfifo(cur / "7.fifo")
        (self.m / ".A..B" / "cur").mkdir(parents=True)
        (self.m / ".inbox" / "cur").mkdir(parents=True)
        (self.m / ".git").mkdir()
        (self.m / ".Linked").symlink_to(self.m)
        bad_name = os.fsencode(self.m) + b"/.\xff"
        os.makedirs(bad_name + b"/cur")
        if os.geteuid() != 0:
            (cur / "8.secret").write_bytes(b"x")
            (cur / "8.secret").chmod(0)
        answer = self.take("--maildir", self.m, status=PARTIAL)
        for what in ("2.M000001P1.host", "it is empty", "4.link",
                     "symbolic link", "5.dangling", "6.dir", "7.fifo",
                     "no regular file", ".A..B", ".inbox", ".git",
                     "neither cur nor new", "UTF-8",
                     ".Linked: it is a symbolic link"):
            self.assertIn(what, answer.err)
        self.assertEqual(answer.json()["leftOut"],
                         10 + (os.geteuid() != 0))
        self.assertEqual([u for u, _ in self.short()], [1, 3])
        self.assertEqual(list(self.kept()), ["INBOX"])
        # Run again, the same is said and nothing is doubled.
        again = self.take("--maildir", self.m, status=PARTIAL)
        self.assertEqual(again.err, answer.err)
        self.assertEqual(again.json()["messages"], 0)
        # What is mended later has lost its UID, and is not lost.
        next(cur.glob("2.*")).write_bytes(b"mended")
        self.take("--maildir", self.m, status=PARTIAL)
        self.assertEqual(self.short(), [(1, 5), (3, 5), (4, 6)])
        self.take("--maildir", self.m, status=PARTIAL)
        self.assertEqual(self.short(), [(1, 5), (3, 5), (4, 6)])

    def test_linked_parts(self):
        """Goal: cur and new are not followed elsewhere, as folders are not:
        who runs the import reads what the Maildir's owner may not."""
        victim = self.dir / "victim"
        mailtest.write(victim, [Folder(["INBOX"], [
            Message(b"secret", 1), Message(b"secret", 2, is_new=True)])])
        mailtest.write(self.m, [Folder([n]) for n in ("INBOX", "A", "B")])
        for folder, part in ((".A", "cur"), (".B", "new")):
            (self.m / folder / part).rmdir()
            (self.m / folder / part).symlink_to(victim / part)
        answer = self.take("--maildir", self.m, status=PARTIAL)
        self.assertIn(".A/cur is a symbolic link", answer.err)
        self.assertIn(".B/new is a symbolic link", answer.err)
        self.assertEqual((answer.json()["messages"], answer.json()["leftOut"]),
                         (0, 2))
        (self.m / "cur").rmdir()
        (self.m / "cur").symlink_to(victim / "cur")
        answer = self.take("--maildir", self.m, status=REFUSED)
        self.assertIn("cur is a symbolic link", answer.err)

    def test_another_layout(self):
        """Goal: mail in folders of LAYOUT=fs, which no import looks into, is
        not passed over unsaid."""
        mailtest.write(self.m, [Folder(["INBOX"], [Message(b"x\n", 1)])])
        mailtest.write(self.m / "Work", [Folder(["INBOX"], [
            Message(b"y\n", 1)])])
        (self.m / "sieve").mkdir()
        answer = self.take("--maildir", self.m, status=PARTIAL)
        self.assertIn(f"left out: {self.m}/Work: its name", answer.err)
        self.assertEqual((answer.json()["messages"], answer.json()["leftOut"]),
                         (1, 1))

    def test_alike(self):
        """Goal: a Maildir whose UIDVALIDITY another one has had, too, comes in
        with all its mail.  Method: two of one second, with messages of one
        size under one UID, with GUIDs and without; each twice."""
        for name, guids in (("with", ("1" * 32, "2" * 32)),
                            ("without", (None, None))):
            for text, guid in zip((b"one\n", b"two\n"), guids):
                where = self.dir / name / text.decode().strip()
                mailtest.write(where, [Folder(
                    ["INBOX"], [Message(text, 1, "", [], 1),
                                Message(b"same\n", 2, "", [], 2)],
                    1700000000, None, guid)])
                for count in (2 if text == b"one\n" else 1, 0):
                    answer = self.take("--maildir", where, name=name)
                    self.assertEqual(answer.json()["messages"], count)
            self.assertEqual(
                {m[1] for m in self.kept(name=name)["INBOX"]["messages"]},
                {hashlib.sha256(t).hexdigest()
                 for t in (b"one\n", b"two\n", b"same\n")})

    def test_no_uid_left(self):
        """Goal: a list whose UIDs are used up, as a damaged one may say, costs
        the messages that need another, named; the folders behind it come in.
        An mbox into that mailbox likewise."""
        full = Folder(["A"], [Message(b"a", 1, "", [], 3), Message(b"b", 2)],
                      8, 4294967295)
        mailtest.write(self.m, [Folder(["INBOX"]), full,
                                Folder(["B"], [Message(b"x", 1)])])
        for _ in range(2):
            answer = self.take("--maildir", self.m, status=PARTIAL)
            self.assertEqual(answer.json()["leftOut"], 1)
            self.assertIn("1.host,S=1:2,: its mailbox has no UID left",
                          answer.err)
        self.assertEqual(self.short("A"), [(3, 1)])
        self.assertEqual(self.short("B"), [(1, 1)])
        self.assertEqual(self.kept()["A"]["uidNext"], 4294967295)
        box = self.dir / "box"
        box.write_bytes(SEPARATOR + b"\none\n\n" + SEPARATOR + b"\ntwo\n")
        answer = self.take("A", "--mbox", box, status=PARTIAL)
        self.assertEqual(answer.json()["leftOut"], 2)
        self.assertIn("has no UID left", answer.err)
        self.agree()

    def test_no_uidvalidity_left(self):
        """Goal: a list that says the last UIDVALIDITY that there is, or nearly
        so, leaves the account one for each mailbox, now and later."""
        last = 2**32 - 1
        mailtest.write(self.m, [
            Folder(["INBOX"], [Message(b"i", 1, "", [], 3)], last),
            Folder(["A"], [Message(b"a", 1, "", [], 3)], last - 2**24 + 1),
            Folder(["B"], [Message(b"b", 1, "", [], 3)], last - 2**24),
            Folder(["C"], [Message(b"c", 1)])])
        answer = self.take("--maildir", self.m)
        self.assertEqual(answer.json()["notes"], 2)
        self.assertIn(f"UIDVALIDITY, {last}, leaves too few", answer.err)
        self.assertEqual([self.short(n) for n in ("INBOX", "A", "B", "C")],
                         [[(1, 1)], [(1, 1)], [(3, 1)], [(1, 1)]])
        self.assertEqual(self.kept()["B"]["uidValidity"], last - 2**24)
        self.mbj("set", self.p, "alice", stdin={"create": {"k": {
            "name": "later"}}})
        self.assertEqual(self.take("--maildir", self.m).json()["messages"], 0)

    def test_packed(self):
        """Goal: what Dovecot's plugins have packed or encrypted, and what is
        too large, is left out and named, before anything of it is stored;
        what only looks like it comes in."""
        mailtest.write(self.m, [Folder(["INBOX"],
                                       [Message(b"good\n", 1, "", [], 1)], 9)])
        for number, (head, why) in enumerate((
                (gzip.compress(b"x"), "gzip"), (bz2.compress(b"x"), "bzip2"),
                (lzma.compress(b"x"), "xz"), (b"\x28\xb5\x2f\xfdx", "zstd"),
                (b"Dovecot-LZ4\x0d\x2a\x9b\xc5x", "LZ4"),
                (b"CRYPTED\x03\x07\x02", "encrypted"))):
            (self.m / "cur" / f"{number}.{why},S=1:2,").write_bytes(head)
        (self.m / "cur" / "8.like:2,").write_bytes(b"BZh: a field\n\nx\n")
        with open(self.m / "cur" / "9.huge:2,", "wb") as f:
            f.truncate(5 << 30)
        answer = self.take("--maildir", self.m, status=PARTIAL)
        for why in ("gzip", "bzip2", "xz", "zstd", "LZ4", "encrypted"):
            self.assertRegex(answer.err, f"{why},S=1:2,: it is .*{why}")
        self.assertRegex(answer.err, "9.huge:2,: it has 5368709120 bytes")
        self.assertEqual(answer.json()["leftOut"], 7)
        self.assertEqual([size for _, size in self.short()], [5, 16])

    def test_subscriptions(self):
        """Goal: names that are subscribed are, with folders or without; what
        was exported comes in as it was."""
        mailtest.write(self.m, [Folder(["INBOX"]),
                                Folder(["A", "B"], [Message(b"x\n", 1)], 9,
                                       None, None, True)], ["A", "gone"])
        self.take("--maildir", self.m)

        def names(name):
            return set(self.mbj("subscriptions", self.p, name,
                                "--json").json()["list"])
        self.assertEqual(names("alice"), {"A", "A/B", "gone"})
        self.mbj("export", self.p, "alice", self.dir / "out")
        self.take("--maildir", self.dir / "out", name="bob")
        self.assertEqual(names("bob"), {"A", "A/B", "gone"})
        self.take("--maildir", self.dir / "out", name="bob")
        self.assertEqual(self.by_path(name="bob")["INBOX"]["role"], "inbox")
        self.agree()

    def test_into_an_account(self):
        """Goal: what is there stays; UIDs are the mailbox's own, said so; a
        place in a path becomes a mailbox."""
        self.mbj("import", self.p, "bob", stdin=mbjtest.listing(ROWS))
        self.mbj("deliver", self.p, "bob", "A", stdin=b"mine")
        self.mbj("rename", self.p, "bob", "B>X/B")
        folders = [Folder(["A"], [Message(b"mine", 1, "S", [], 5),
                                  Message(b"yours", 2, "", [], 9)], 77, None,
                          None, True),
                   Folder(["X"], [Message(b"x", 2)]),
                   Folder(["New", "er"], [Message(b"n", 2, "", [], 4)], 3)]
        mailtest.write(self.m, folders + [Folder(["INBOX"])])
        answer = self.take("--maildir", self.m, name="bob")
        self.assertIn("another UIDVALIDITY", answer.err)
        self.assertEqual(answer.json()["mailboxesCreated"], 1)
        self.assertEqual(self.short("A", "bob"), [(1, 4), (2, 5)])
        self.assertEqual(self.short("New/er", "bob"), [(1, 1)])
        rows = self.by_path(name="bob")
        self.assertTrue(rows["A"]["isSubscribed"])
        self.assertTrue(rows["X"]["isSelectable"])
        self.agree()

    def test_flags_letters(self):
        """Goal: P is $Forwarded; letters without a keyword are counted."""
        mailtest.write(self.m, [Folder(["INBOX"])])
        (self.m / "cur" / "1.a:2,PSz").write_bytes(b"x")
        answer = self.take("--maildir", self.m)
        self.assertIn("1 messages have letters", answer.err)
        self.assertEqual(self.kept()["INBOX"]["messages"][0][4],
                         ["$Forwarded", "\\Seen"])

    def test_dry_run(self):
        """Goal: it says what would come, and changes nothing."""
        mailtest.write(self.m, [
            Folder(["INBOX"], [Message(b"x", 1, "", [], 1),
                               Message(b"", 2, "", [], 2)], 5, 40),
            Folder(["A"], [Message(b"y", 1)])])
        before = mbjtest.truth(self.p)
        answer = self.take("--maildir", self.m, "-n", status=PARTIAL)
        self.assertEqual(answer.json()["messages"], 2)
        self.assertTrue(answer.json()["dryRun"])
        self.assertEqual(mbjtest.truth(self.p), before)
        text = self.mbj("import", self.p, "alice", "--maildir", self.m, "-n",
                        status=PARTIAL).out
        self.assertIn("would have imported 2 messages", text)
        self.take("--maildir", self.m, status=PARTIAL)
        answer = self.take("--maildir", self.m, "-n", status=PARTIAL).json()
        self.assertEqual((answer["messages"], answer["present"]), (0, 2))

    def test_refused(self):
        """Goal: what is none of it makes no account."""
        self.m.mkdir()
        (self.dir / "file").write_bytes(b"x")
        for status, options in (
                (FAILED, ["--maildir", self.m]),
                (FAILED, ["--maildir", self.dir / "nowhere"]),
                (FAILED, ["--mbox", self.dir / "nowhere"]),
                (USAGE, ["--maildir", self.m, "--mbox", self.m]),
                (REFUSED, ["Work", "--mbox", self.m])):
            self.mbj("import", self.p, "alice", *options, status=status)
        self.mbj("import", self.p, "alice", "Work", "--maildir", self.m,
                 status=USAGE)
        self.mbj("import", self.p, "alice", "Work", status=USAGE)
        self.assertEqual(self.mbj("accounts", self.p, "--json").json()["list"],
                         [])
        mailtest.write(self.m, [Folder(["INBOX"], [Message(b"x", 1)])])
        self.mbj("import", self.r, "alice", "--maildir", self.m,
                 status=REFUSED)

    def test_progress(self):
        """Goal: progress where standard error is a terminal, and only
        there."""
        mailtest.write(self.m, [Folder(["INBOX"], [Message(b"x", 1)])])
        above, below = pty.openpty()
        subprocess.run([mbjtest.MBJ, "import", str(self.p), "alice",
                        "--maildir", str(self.m)], stderr=below, check=True,
                       stdout=subprocess.DEVNULL)
        os.close(below)
        self.assertIn(b" of 1", os.read(above, 4096))
        os.close(above)
        self.assertEqual(self.take("--maildir", self.m).err, "")

    def test_random(self):
        """Goal: whatever a Maildir holds is what the account holds, and what
        an export holds, and an account made of that.  Method: draw, compare
        with a model, go round."""
        rng = seed()
        for number in range(6):
            root = self.dir / f"m{number}"
            folders = mailtest.draw(rng)
            mailtest.write(root, folders)
            name = f"user{number}"
            self.take("--maildir", root, name=name)
            held = self.kept(name=name)
            wanted = {"/".join(f.path): f.kept() for f in folders}
            self.assertEqual(sorted(held), sorted(wanted))
            for path, box in wanted.items():
                if box["uidValidity"] is None:
                    box["uidValidity"] = held[path]["uidValidity"]
            self.assertEqual(held, wanted)
            out = self.dir / f"x{number}"
            self.mbj("export", self.p, name, out)
            self.take("--maildir", out, name=name + "b")
            self.assertEqual(self.kept(name=name + "b"), held)
            paths = self.by_path(name=name)
            self.assertEqual(
                {p: i for p, i in self.paths(name=name + "b").items()
                 if paths[p]["isSelectable"]},
                {p: r["id"] for p, r in paths.items() if r["isSelectable"]})
        self.agree()


class Mbox(Mail):
    def test_one_file(self):
        """Goal: into INBOX, or where it is told; From_ and quotes go, flags
        and dates are the header's; run again, nothing is doubled."""
        path = self.dir / "box"
        path.write_bytes(
            SEPARATOR + b"Status: RO\nX-Keywords: one\n\n>From me\n\n" +
            SEPARATOR + b"Subject: 2\r\n\r\nx\r\n\r\n" + SEPARATOR + b"\n" +
            b"From c@d\nDate: 1 Jan 1970 00:01:40 +0000\n\nlast")
        answer = self.take("--mbox", path, status=PARTIAL)
        self.assertIn(f"{path}, byte ", answer.err)
        first = b"Status: RO\nX-Keywords: one\n\nFrom me\n"
        held = self.kept()["INBOX"]["messages"]
        self.assertEqual([(m[0], m[3], m[4]) for m in held], [
            (1, 7, ["\\Seen", "one"]), (2, 7, []), (3, 100, [])])
        self.assertEqual(held[0][1], hashlib.sha256(first).hexdigest())
        self.take("--mbox", path, status=PARTIAL)
        self.assertEqual(self.kept()["INBOX"]["messages"], held)
        self.mbj("import", self.p, "alice", "Old/2025", "--mbox", path,
                 "--mboxo", status=PARTIAL)
        self.assertEqual(self.kept()["Old/2025"]["messages"][0][2],
                         len(first) + 1)
        self.mbj("import", self.p, "alice", "R&-D", "--utf7", "--mbox", path,
                 status=PARTIAL)
        self.assertEqual(len(self.kept()["R&D"]["messages"]), 3)
        # Without a date of any kind it is the file's.
        path.write_bytes(b"From -\nA: b\n")
        os.utime(path, (55, 55))
        self.mbj("import", self.p, "alice", "T", "--mbox", path)
        self.assertEqual(self.kept()["T"]["messages"][0][3], 55)
        self.agree()

    def test_said(self):
        """Goal: what is not kept of a file is said.  Method: words that are no
        keywords, and a message that no empty line is before."""
        path = self.dir / "box"
        path.write_bytes(SEPARATOR + b"X-Keywords: good b(ad) %p\n\nx\n" +
                         SEPARATOR + b"Subject: 2\n\ny\nFrom here on\n")
        answer = self.take("--mbox", path)
        self.assertIn("2 words of X-Keywords", answer.err)
        self.assertIn("1 lines are like the beginning of a message",
                      answer.err)
        self.assertEqual(len(self.short()), 1)

    def test_directory(self):
        """Goal: files are mailboxes, directories places in paths; what is no
        mbox is named."""
        root = self.dir / "mail"
        (root / "A" / "B.c").mkdir(parents=True)
        one = SEPARATOR + b"S: 1\n\nx\n"
        for name in ("inbox", "A/x", "A/B.c/R&-D", "Ünder"):
            (root / name).write_bytes(one)
        (root / "empty").write_bytes(b"")
        (root / ".hidden").write_bytes(one)
        (root / "note.txt").write_bytes(b"hello\n")
        (root / "bad\x01name").write_bytes(one)
        os.mkfifo(root / "pipe")
        answer = self.take("--mbox", root, status=PARTIAL)
        self.assertEqual(answer.json()["leftOut"], 3)
        self.assertIn("note.txt: it is no mbox", answer.err)
        self.assertIn("pipe", answer.err)
        self.assertEqual(
            sorted(p for p, b in self.kept().items() if b["messages"]),
            ["A/B.c/R&-D", "A/x", "INBOX", "Ünder"])
        self.assertIn("empty", self.kept())
        self.take("--mbox", root, "--utf7", name="bob", status=PARTIAL)
        self.assertIn("A/B.c/R&D", self.kept(name="bob"))
        # Where '.' is the delimiter, no component has one.
        self.mbj("import", self.p, "dot", "--delimiter", ".", "--mbox", root,
                 status=PARTIAL)
        self.agree()

    def test_directory_inbox(self):
        """Goal: INBOX can be selected, whatever there is of it.  Method: a
        directory of that name, and no file."""
        root = self.dir / "mail"
        (root / "INBOX").mkdir(parents=True)
        (root / "INBOX" / "x").write_bytes(SEPARATOR + b"S: 1\n\nx\n")
        self.take("--mbox", root)
        self.assertEqual(sorted(self.kept()), ["INBOX", "INBOX/x"])
        self.assertEqual(len(self.kept()["INBOX/x"]["messages"]), 1)

    def test_large(self):
        """Goal: a message of many pieces, and one that a batch ends with."""
        path = self.dir / "box"
        large = b"L: 1\n\n" + b"y" * 70_000_000 + b"\n"
        path.write_bytes(SEPARATOR + large + b"\n" + SEPARATOR + b"x\n")
        self.take("--mbox", path)
        held = self.kept()["INBOX"]["messages"]
        self.assertEqual([m[2] for m in held], [len(large), 2])
        self.assertEqual(held[0][1], hashlib.sha256(large).hexdigest())
        self.assertEqual(self.mbj("log", self.p, "--json").out.count(
            '"origin":"bulk"'), 3)


class Export(Mail):
    def test_what_a_maildir_cannot_hold(self):
        """Goal: it is said and left out, the rest is written."""
        rows = [(mbjtest.INBOX, "INBOX", None)]
        rows += [(mbjtest.mailbox_id(50 + i), n, None)
                 for i, n in enumerate(("a.b", "n" * 255, "ok", "~x"))]
        self.mbj("import", self.p, "bob", stdin=mbjtest.listing(rows))
        self.mbj("deliver", self.p, "bob", "ok", stdin=b"x")
        self.mbj("subscribe", self.p, "bob", "ok", "a.b")
        words = [f"w{i}" for i in range(27)]
        self.mbj("flag", self.p, "bob", "ok", "1", *words)
        answer = self.mbj("export", self.p, "bob", self.m, "--json",
                          status=PARTIAL)
        self.assertIn("a.b: a part of its name has a '.'", answer.err)
        self.assertIn("256 bytes", answer.err)
        self.assertIn("note: a.b: its subscription is not written", answer.err)
        self.assertIn("note: ~x: Dovecot opens no mailbox", answer.err)
        self.assertIn("1 messages lose keywords", answer.err)
        self.assertEqual(answer.json()["leftOut"], 2)
        self.assertEqual(sorted(p.name for p in self.m.iterdir()),
                         [".ok", ".~x", "cur", "dovecot-uidlist", "new",
                          "subscriptions", "tmp"])
        self.assertEqual((self.m / "subscriptions").read_bytes(),
                         b"V\t2\n\nok\n")
        self.assertEqual(len(list((self.m / ".ok" / "cur").iterdir())), 1)

    def test_long_names(self):
        """Goal: however long a name is, it is said why it is left out."""
        ids = [mbjtest.mailbox_id(20 + i) for i in range(30)]
        rows = [(i, f"{n:02}" + "ü" * 100, above) for n, (i, above) in
                enumerate(zip(ids, [None, *ids]))]
        self.mbj("import", self.p, "bob", stdin=mbjtest.listing(rows))
        lines = self.mbj("export", self.p, "bob", self.m,
                         status=PARTIAL).err.splitlines()
        self.assertEqual(len(lines), 30)
        for number, line in enumerate(lines):
            self.assertIn(f"{number:02}" + "ü" * 100 + ": its name", line)
            self.assertIn("a folder's may take 255", line)
            self.assertNotIn("\\x", line)

    def test_what_has_no_place(self):
        """Goal: what a Maildir has no place for is said, and by itself costs
        no mail: roles, METADATA, rights to a place in a path, a
        subscription; dates that the file system cuts, where it does."""
        rows = mbjtest.listing([(mbjtest.INBOX, "INBOX", None),
                                (mbjtest.B, "place", None),
                                (mbjtest.C, "C", mbjtest.B)])
        rows["list"][1]["isSelectable"] = False
        rows["list"][2]["role"] = "sent"
        self.mbj("import", self.p, "bob", "--delimiter", ".", stdin=rows)
        self.mbj("setmetadata", self.p, "bob", "place.C", "/shared/comment",
                 "x")
        self.mbj("setmetadata", self.p, "bob", "", "/shared/comment", "x")
        self.mbj("setacl", self.p, "bob", "place", "eve", "lr")
        self.mbj("subscribe", self.p, "bob", "place.a/b")
        box = self.dir / "box"
        box.write_bytes(b"From a@b Thu Jan  1 00:00:07 9999\n\nx\n")
        self.mbj("import", self.p, "bob", "--mbox", box)
        probe = self.dir / "probe"
        probe.write_bytes(b"")
        os.utime(probe, (253370764807, 253370764807))
        is_cut = int(probe.stat().st_mtime) != 253370764807
        answer = self.mbj("export", self.p, "bob", self.m, "--json")
        self.assertIn("roles: 1 mailboxes lose theirs", answer.err)
        self.assertIn("METADATA: 2 entries are not written", answer.err)
        self.assertIn("rights: 1 entries are of what has no folder", answer.err)
        self.assertIn("place.a/b: its subscription is not written", answer.err)
        self.assertEqual("INBOX: 1 messages lose their dates" in answer.err,
                         is_cut)
        self.assertEqual(answer.json()["notes"], 4 + is_cut)
        self.assertEqual(answer.json()["messages"], 1)

    def test_lost_content(self):
        """Goal: lost and damaged content is named; nothing of it is left."""
        self.mbj("import", self.p, "bob", stdin=mbjtest.listing(ROWS))
        for body in (b"first", b"second", b"third"):
            self.mbj("deliver", self.p, "bob", stdin=body)
        for body, change in ((b"first", None), (b"second", b"sEcond")):
            digest = hashlib.sha256(body).hexdigest()
            path = self.p / "blobs" / digest[:2] / digest[2:]
            path.chmod(0o600)
            if change:
                path.write_bytes(change)
            else:
                path.unlink()
        answer = self.mbj("export", self.p, "bob", self.m, status=PARTIAL)
        self.assertIn("INBOX, UID 1", answer.err)
        self.assertIn("INBOX, UID 2", answer.err)
        self.assertEqual(len(list((self.m / "cur").iterdir())), 1)
        self.assertEqual(list((self.m / "tmp").iterdir()), [])
        lines = (self.m / "dovecot-uidlist").read_text().splitlines()
        self.assertEqual([line.split()[0] for line in lines[1:]], ["3"])

    def test_where(self):
        """Goal: nothing of anybody's is touched; -n writes nothing."""
        self.mbj("import", self.p, "bob", stdin=mbjtest.listing(ROWS))
        self.mbj("import", self.p, "eve", stdin=mbjtest.listing(ROWS))
        self.mbj("deliver", self.p, "bob", stdin=b"x")
        answer = self.mbj("export", self.p, "bob", self.m, "-n", "--json")
        self.assertEqual(answer.json()["messages"], 1)
        self.assertFalse(self.m.exists())
        self.m.mkdir()
        (self.m / "mine").write_bytes(b"x")
        self.mbj("export", self.p, "bob", self.m, status=REFUSED)
        self.mbj("export", self.p, "bob", self.m, "-n", status=REFUSED)
        (self.m / "mine").rename(self.m / "mbj-export.unfinished.new")
        self.mbj("export", self.p, "bob", self.m)
        self.mbj("export", self.p, "bob", self.m, status=REFUSED)
        account = next(a["id"] for a in self.mbj(
            "accounts", self.p, "--json").json()["list"] if a["name"] == "bob")
        (self.m / "mbj-export.unfinished").write_text(account + "\n")
        self.mbj("export", self.p, "eve", self.m, status=REFUSED)
        self.mbj("export", self.p, "bob", self.m)
        self.mbj("export", self.p, "nobody", self.m, status=FAILED)
        self.mbj("export", self.p, "bob", self.dir / "no" / "dir",
                 status=FAILED)
        self.mbj("replay", self.p, self.r)
        self.mbj("export", self.r, "bob", self.dir / "of-a-replica")
        self.assertEqual(mailtest.snapshot(self.dir / "of-a-replica"),
                         mailtest.snapshot(self.m))

    def test_changes_meanwhile(self):
        """Goal: an export that goes on is the account of now.  Method: flag
        and expunge between two runs, the first marked unfinished."""
        self.mbj("import", self.p, "bob", stdin=mbjtest.listing(ROWS))
        for body in (b"first", b"second", b"third"):
            self.mbj("deliver", self.p, "bob", stdin=body)
        self.mbj("export", self.p, "bob", self.m)
        account = self.mbj("accounts", self.p, "--json").json()["list"][0]
        (self.m / "mbj-export.unfinished").write_text(account["id"] + "\n")
        (self.m / "cur" / "17.theirs").write_bytes(b"not ours")
        self.mbj("flag", self.p, "bob", "INBOX", "1", "\\Seen")
        self.mbj("expunge", self.p, "bob", "INBOX", "2")
        answer = self.mbj("export", self.p, "bob", self.m, "--json").json()
        self.assertEqual((answer["messages"], answer["present"]), (2, 2))
        (self.m / "cur" / "17.theirs").unlink()
        fresh = self.dir / "fresh"
        self.mbj("export", self.p, "bob", fresh)
        self.assertEqual(mailtest.snapshot(self.m), mailtest.snapshot(fresh))


class Resume(Mail):
    KILLS = int(os.environ.get("MBJ_KILLS", "8"))

    def killed(self, rng, *arguments):
        """Run until it is through, killed at random until then; how often."""
        probe = self.dir / f"probe{rng.randrange(1 << 60)}"
        shutil.copytree(self.p, probe)
        options = [str(a) for a in arguments]
        target = [str(probe) if o == str(self.p) else
                  o + "-probe" if o == str(self.dir / "out") else o
                  for o in options]
        start = time.monotonic()
        subprocess.run([mbjtest.MBJ, *target], check=True,
                       capture_output=True)
        whole = time.monotonic() - start
        shutil.rmtree(probe)
        kills, is_done = 0, False
        while kills < self.KILLS and not is_done:
            run = subprocess.Popen([mbjtest.MBJ, *options],
                                   stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
            try:
                run.wait(rng.random() * whole / 2)
            except subprocess.TimeoutExpired:
                run.send_signal(signal.SIGKILL)
                kills += 1
            is_done = run.wait() == 0
        if not is_done:
            self.mbj(*options)
        return kills

    def folders(self, rng):
        def messages(count, has_uids):
            return [Message(b"%d\n" % rng.randrange(count // 2), 10 + i // 3,
                            rng.choice(["", "S", "F"]),
                            rng.choice([[], ["work"]]),
                            2 * i + 1 if has_uids and i % 20 else None)
                    for i in range(count)]
        return [Folder(["INBOX"], messages(2500, True), 7, 9000, "0c" * 16),
                Folder(["A"], messages(1500, False)),
                Folder(["A", "B"], messages(300, True), 8, None, "0d" * 16)]

    def test_import(self):
        """Goal: killed anywhere and run again, an import is the one that was
        never killed.  Method: SIGKILL at random points, mailboxes with UIDs
        and without, many messages with the same content."""
        rng = seed()
        mailtest.write(self.m, self.folders(rng))
        box = self.dir / "box"
        box.write_bytes(b"".join(
            SEPARATOR + b"N: %d\n\n\n" % rng.randrange(500)
            for _ in range(1800)))
        whole = self.dir / "whole"
        self.mbj("init", whole, "--role", "primary")
        kills = 0
        for arguments in (["alice", "--maildir", self.m],
                          ["alice", "Old", "--mbox", box]):
            self.mbj("import", whole, *arguments)
            kills += self.killed(rng, "import", self.p, *arguments)
        print(f"{kills} kills", flush=True)
        wanted, held = self.kept(whole), self.kept()
        for boxes in (wanted, held):
            for path in ("A", "Old"):
                boxes[path].pop("uidValidity")
        self.assertEqual(held, wanted)
        self.assertEqual(len(wanted["INBOX"]["messages"]), 2500)
        self.assertEqual(wanted["INBOX"]["uidNext"], 9000 + 2500 // 20)
        self.agree()

    def test_export(self):
        """Goal: the same of an export: the directory is, byte for byte and
        time for time, that of a run that was never killed."""
        rng = seed()
        mailtest.write(self.m, self.folders(rng))
        self.take("--maildir", self.m)
        kills = self.killed(rng, "export", self.p, "alice", self.dir / "out")
        print(f"{kills} kills", flush=True)
        self.mbj("export", self.p, "alice", self.dir / "whole")
        self.assertEqual(mailtest.snapshot(self.dir / "out"),
                         mailtest.snapshot(self.dir / "whole"))


@unittest.skipUnless(shutil.which("doveadm"), "Dovecot is not installed")
class Peer(Mail):
    """Real Dovecot at the other end."""

    def setUp(self):
        super().setUp()
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="mbj-dv-",
                                                  dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        self.home.chmod(0o755)
        (self.home / "run").mkdir()
        # Dovecot serves nobody as root.
        self.uid = os.geteuid() or 65534
        self.conf = self.home / "dovecot.conf"
        self.conf.write_text(
            f"base_dir = {self.home}/run\nstate_dir = {self.home}/run\n"
            f"log_path = {self.home}/run/log\nmail_home = {self.home}\n"
            f"mail_location = maildir:{self.home}/Maildir\n"
            f"mail_uid = {self.uid}\nmail_gid = {self.uid}\n"
            "first_valid_uid = 0\nfirst_valid_gid = 0\nssl = no\n"
            "namespace inbox {\n inbox = yes\n separator = /\n}\n")
        self.own()

    def own(self):
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{self.uid}:{self.uid}",
                            str(self.home)], check=True)

    def doveadm(self, *arguments, stdin=None, may_fail=False):
        done = subprocess.run(
            ["doveadm", "-c", str(self.conf), *arguments], input=stdin,
            capture_output=True, check=False,
            env={**os.environ, "USER": "nobody", "HOME": str(self.home),
                 "TZ": "UTC"})
        self.assertTrue(may_fail or done.returncode == 0,
                        (arguments, done.stderr))
        return done.stdout.decode()

    def served(self):
        """{path: (uidvalidity, uidnext, guid, [(uid, flags, date, size)])}"""
        result = {}
        for path in self.doveadm("mailbox", "list").splitlines():
            # Of a place in a path it lists the name, and says no here.
            status = dict(pair.split("=") for pair in self.doveadm(
                "-f", "flow", "mailbox", "status",
                "uidvalidity uidnext guid", path, may_fail=True).split()
                if "=" in pair)
            if not status:
                continue
            rows = [line.split("\t") for line in self.doveadm(
                "-f", "tab", "fetch", "uid flags date.received size.physical",
                "mailbox", path, "all").splitlines()[1:]]
            result[path] = (int(status["uidvalidity"]), int(status["uidnext"]),
                            status["guid"], [
                (int(uid), sorted(f for f in flags.split()
                                  if f != "\\Recent"),
                 mailtest.unixtime(date.replace(" ", "T") + "Z"), int(size))
                for uid, flags, date, size in rows])
        return result

    def ours(self):
        ids = self.paths()
        return {path: (box["uidValidity"], box["uidNext"], ids[path],
                       [(m[0], m[4], m[3], m[2]) for m in box["messages"]])
                for path, box in self.kept().items()}

    def test_acl(self):
        """Goal: rights that Dovecot keeps are ours, and ours are its.  Method:
        it writes a list; import; one more; export in its place; it reads."""
        def rights():
            return sorted(line.split("\t") for line in self.doveadm(
                "-f", "tab", "acl", "get", "A").splitlines()[1:])

        with self.conf.open("a") as conf:
            conf.write("mail_plugins = acl\nplugin {\n acl = vfile\n}\n")
        self.doveadm("mailbox", "create", "A")
        for who, *what in (("user=bob", "lookup", "read"),
                           ("group=the staff", "lookup", "-write"),
                           ("anyone", "lookup", "post"),
                           ("owner", "all")):
            self.doveadm("acl", "set", "--", "A", who, *what)
        before = rights()
        self.take("--maildir", self.home / "Maildir")
        self.assertEqual(self.mbj("acl", self.p, "alice", "A").out,
                         "$the staff  l\n-$the staff  w\nanyone  lp\n"
                         "bob  lr\nowner  lrswipkxtea\n")
        self.mbj("setacl", self.p, "alice", "A", "ann", "ls")
        shutil.rmtree(self.home / "Maildir")
        self.mbj("export", self.p, "alice", self.home / "Maildir")
        self.own()
        self.assertEqual(rights(), sorted(before + [
            ["user=ann", "", "lookup write-seen"]]))

    def test_round_trip(self):
        """Goal: what Dovecot serves is what we import, and what we export is
        what it serves.  Method: it makes a Maildir; import; export in its
        place; ask it again, and let it go on delivering."""
        self.doveadm("mailbox", "create", "A/B", "Entwürfe/R&D", "INBOX/kid")
        self.doveadm("mailbox", "subscribe", "A/B", "Entwürfe/R&D")
        for number in range(6):
            self.doveadm("save", "-m", "A/B" if number % 2 else "INBOX",
                         stdin=b"From: a@b\nSubject: %d\n\nhi\n" % number)
        self.doveadm("flags", "add", "\\Seen $Forwarded work", "mailbox",
                     "A/B", "uid", "1")
        self.doveadm("flags", "add", "\\Flagged \\Draft Work", "mailbox",
                     "INBOX", "uid", "2")
        self.doveadm("expunge", "mailbox", "INBOX", "uid", "3")
        served = self.served()
        self.take("--maildir", self.home / "Maildir")
        self.assertEqual(self.ours(), served)
        self.assertEqual(self.subscribed(), ["A/B", "Entwürfe/R&D"])
        shutil.rmtree(self.home / "Maildir")
        self.mbj("export", self.p, "alice", self.home / "Maildir")
        self.own()
        self.assertEqual(self.served(), served)
        self.assertEqual(sorted(self.doveadm("mailbox", "list",
                                             "-s").splitlines()),
                         ["A/B", "Entwürfe/R&D"])
        # It goes on from there, and so does an import.
        self.doveadm("save", "-m", "A/B", stdin=b"From: a@b\n\nmore\n")
        self.assertEqual(self.served()["A/B"][3][-1][0], 4)
        answer = self.take("--maildir", self.home / "Maildir").json()
        self.assertEqual(answer["messages"], 1)
        self.assertEqual(self.ours()["A/B"], self.served()["A/B"])

    def guids(self, account="alice"):
        """{(path, uid): what we have, or None}"""
        return {(path, m["uid"]): m.get("guid")
                for path in ("INBOX", "A")
                for m in self.mbj("messages", self.p, account, path,
                                  "--json").json()["messages"]}

    def guids_served(self):
        return {(path, int(uid)): guid for path in ("INBOX", "A")
                for uid, guid in (line.split("\t") for line in self.doveadm(
                    "-f", "tab", "fetch", "uid guid", "mailbox", path,
                    "all").splitlines()[1:])}

    def test_guids(self):
        """Goal: a message has its GUID there and here, and there again.
        Method: files of Dovecot's names, one of another GUID, import; one
        that has none comes, one moves; export in its place, and an import of
        that into another account."""
        self.doveadm("mailbox", "create", "A")
        for path in ("INBOX", "INBOX", "A"):
            self.doveadm("save", "-m", path, stdin=b"From: a@b\n\nhi\n")
        listed = self.home / "Maildir" / ".A" / "dovecot-uidlist"
        lines = listed.read_text().splitlines(keepends=True)
        lines[-1] = lines[-1].replace(" ", " Gan-other.guid ", 1)
        listed.write_text("".join(lines))
        for index in listed.parent.glob("dovecot.*"):
            index.unlink()
        self.own()
        served = self.guids_served()
        self.assertEqual(served["A", 1], "an-other.guid")
        self.assertIn(",S=", served["INBOX", 1])
        self.take("--maildir", self.home / "Maildir")
        self.assertEqual(self.guids(), served)
        self.mbj("deliver", self.p, "alice", stdin=b"From: a@b\n\nno\n")
        self.mbj("mv", self.p, "alice", "INBOX", "1", "A")
        ours = {("INBOX", 2): served["INBOX", 2], ("INBOX", 3): None,
                ("A", 1): "an-other.guid", ("A", 2): served["INBOX", 1]}
        self.assertEqual(self.guids(), ours)
        shutil.rmtree(self.home / "Maildir")
        self.mbj("export", self.p, "alice", self.home / "Maildir")
        self.own()
        served = self.guids_served()
        self.assertIn(".mbj,S=", served.pop(("INBOX", 3)))
        self.assertEqual(served, {key: guid for key, guid in ours.items()
                                  if guid})
        self.mbj("import", self.p, "bob", "--maildir", self.home / "Maildir")
        self.assertEqual(self.guids("bob"), ours)


if __name__ == "__main__":
    unittest.main(verbosity=1)
