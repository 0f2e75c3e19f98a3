"""Messages, from outside: deliver, messages, cat, flag, expunge, mv, and what
a replica has of them."""
import hashlib
import shutil
import subprocess
import unittest

import mbjtest
from mbjtest import (CORRUPT, FAILED, INBOX, OK, PARTIAL, REFUSED, ROWS,
                     USAGE, Case)

EX_USAGE, NO_INPUT, NO_USER, CANNOT_CREATE, TEMPFAIL = 64, 66, 67, 73, 75


class Messages(Case):
    def setUp(self):
        super().setUp()
        self.account(ROWS)

    def deliver(self, body, mailbox="INBOX"):
        return self.mbj("deliver", self.p, "alice", mailbox, "--json",
                        stdin=body).json()

    def listed(self, mailbox="INBOX", store=None):
        return self.mbj("messages", store or self.p, "alice", mailbox,
                        "--json").json()

    def short(self, mailbox="INBOX", store=None):
        """[(uid, size, flags)] of a mailbox."""
        return [(m["uid"], m["size"], m["flags"])
                for m in self.listed(mailbox, store)["messages"]]

    def cat(self, mailbox, uid, store=None):
        done = subprocess.run([mbjtest.MBJ, "cat", str(store or self.p),
                               "alice", mailbox, str(uid)],
                              capture_output=True, check=False)
        self.assertEqual(done.returncode, OK, done.stderr)
        return done.stdout

    def blob(self, body, store=None):
        digest = hashlib.sha256(body).hexdigest()
        return (store or self.p) / "blobs" / digest[:2] / digest[2:]

    def replay(self, status=OK):
        return self.mbj("replay", self.p, self.r, status=status)

    def equal(self):
        self.replay()
        self.mbj("verify", self.p, self.r)
        for mailbox in self.paths():
            self.assertEqual(self.listed(mailbox),
                             self.listed(mailbox, self.r), mailbox)

    def test_a_message_from_end_to_end(self):
        """Goal: what is delivered is listed, comes out byte for byte, here
        and on a replica.  Method: bytes of every kind, one of 3 MB."""
        bodies = [b"Subject: hi\r\n\r\nhello\r\n", bytes(range(256)) * 3,
                  b"\n" * 3_000_000]
        for uid, body in enumerate(bodies, 1):
            answer = self.deliver(body)
            self.assertEqual((answer["uid"], answer["size"]),
                             (uid, len(body)))
        listed = self.listed()
        self.assertEqual(listed["schema"], "mbj.messages/1")
        self.assertEqual(listed["mailboxId"], INBOX)
        self.assertEqual(listed["uidNext"], 4)
        self.assertEqual([m["blobId"] for m in listed["messages"]],
                         [hashlib.sha256(b).hexdigest() for b in bodies])
        self.equal()
        for uid, body in enumerate(bodies, 1):
            self.assertEqual(self.cat("INBOX", uid), body)
            self.assertEqual(self.cat("INBOX", uid, self.r), body)
        self.mbj("fsck", self.p)
        self.mbj("fsck", self.r, "--rebuild")
        self.equal()

    def test_flags(self):
        """Goal: added, removed, replaced, on sets, without regard to case;
        what changes nothing is no group."""
        for body in (b"a", b"bb", b"ccc"):
            self.deliver(body)
        flag = ["flag", self.p, "alice", "INBOX"]
        self.mbj(*flag, "1:2", "\\seen", "$Forwarded", "work")
        self.mbj(*flag, "2:*", "\\Flagged", "$forwarded")
        self.assertEqual(self.short(), [
            (1, 1, ["\\Seen", "$Forwarded", "work"]),
            (2, 2, ["\\Flagged", "\\Seen", "$Forwarded", "work"]),
            (3, 3, ["\\Flagged", "$forwarded"])])
        self.mbj(*flag, "1,2", "WORK", "\\Seen", "--remove")
        self.mbj(*flag, "3", "--replace")
        self.assertEqual(self.short(), [
            (1, 1, ["$Forwarded"]), (2, 2, ["\\Flagged", "$Forwarded"]),
            (3, 3, [])])
        before = self.listed()
        self.assertIn("message-flags", self.mbj(*flag, "1", "\\Seen",
                                                "-n").out)
        self.assertEqual(self.listed(), before)
        self.equal()

    def test_copy_move_expunge(self):
        """Goal: one content however often it is copied; UIDs are never used
        again; what is not there is passed over."""
        for body in (b"one", b"two", b"three", b"one"):
            self.deliver(body)
        self.mbj("mv", self.p, "alice", "INBOX", "1:2", "A", "--copy")
        self.mbj("mv", self.p, "alice", "INBOX", "2,4,9", "B")
        self.assertEqual(self.short(), [(1, 3, []), (3, 5, [])])
        self.assertEqual(self.short("A"), [(1, 3, []), (2, 3, [])])
        self.assertEqual(self.short("B"), [(1, 3, []), (2, 3, [])])
        blobs = [p for p in (self.p / "blobs").rglob("*") if p.is_file()]
        self.assertEqual(len(blobs), 3)
        self.mbj("expunge", self.p, "alice", "INBOX", "3:*")
        self.mbj("expunge", self.p, "alice", "INBOX", "77")
        self.assertEqual(self.deliver(b"four")["uid"], 5)
        self.assertEqual(self.cat("B", 2), b"one")
        self.equal()
        self.assertEqual(self.cat("B", 2, self.r), b"one")

    def test_rename_inbox_takes_the_messages(self):
        """Goal: RFC 9051 6.3.6.  Method: INBOX>Old, beside a swap."""
        for body in (b"a", b"b", b"c"):
            self.deliver(body)
        self.mbj("expunge", self.p, "alice", "INBOX", "2")
        uidvalidity = self.listed()["uidValidity"]
        self.assertIn("message-take-all",
                      self.mbj("rename", self.p, "alice", "INBOX>Old",
                               "-n").out)
        self.mbj("rename", self.p, "alice", "INBOX>Old", "A>B", "B>A")
        self.assertEqual(self.paths()["INBOX"], INBOX)
        self.assertEqual(self.short(), [])
        self.assertEqual(self.short("Old"), [(1, 1, []), (3, 1, [])])
        self.assertEqual(self.listed()["uidValidity"], uidvalidity)
        self.assertNotEqual(self.listed("Old")["uidValidity"], uidvalidity)
        self.assertEqual(self.deliver(b"d")["uid"], 4)
        self.equal()

    def test_flags_that_are_there_already(self):
        """Goal: a flag that changes nothing is no group, takes no modseq and
        reaches no replica."""
        self.deliver(b"a")
        flag = ["flag", self.p, "alice", "INBOX"]
        self.mbj(*flag, "1", "\\Seen", "work")
        before = self.mbj("log", self.p).out, self.listed()
        for arguments in (["1", "\\Seen"], ["1", "WORK"],
                          ["1", "\\Flagged", "--remove"],
                          ["1", "work", "\\Seen", "--replace"],
                          ["2:7", "\\Seen"]):
            self.mbj(*flag, *arguments)
        self.assertEqual((self.mbj("log", self.p).out, self.listed()), before)

    def test_star_is_the_last_that_there_is(self):
        """Goal: RFC 9051: * is the largest UID in use, not UIDNEXT - 1; of a
        mailbox without messages it names none."""
        for body in (b"a", b"bb", b"ccc"):
            self.deliver(body)
        self.mbj("expunge", self.p, "alice", "INBOX", "3")
        self.assertEqual(self.cat("INBOX", "*"), b"bb")
        self.mbj("flag", self.p, "alice", "INBOX", "9:*", "x")
        self.assertEqual(self.short(), [(1, 1, []), (2, 2, ["x"])])
        self.mbj("expunge", self.p, "alice", "INBOX", "*")
        self.assertEqual(self.short(), [(1, 1, [])])
        self.mbj("expunge", self.p, "alice", "INBOX", "1:*")
        before = self.mbj("log", self.p).out
        self.mbj("expunge", self.p, "alice", "INBOX", "*")
        self.assertEqual(self.mbj("log", self.p).out, before)

    def test_reconcile_deletes_no_mail_untold(self):
        """Goal: a list that leaves a mailbox with messages out, by mistake or
        because it is old, deletes nothing of it; --remove-messages does."""
        self.deliver(b"kept", "A")
        wanted = {"list": [{"id": INBOX, "name": "INBOX", "parentId": None}]}
        before = self.mbj("log", self.p).out
        result = self.mbj("reconcile", self.p, "alice", "--json",
                          stdin=wanted, status=REFUSED)
        self.assertEqual(result.json()["type"], "mailboxHasEmail")
        self.assertEqual(result.json()["id"], self.paths()["A"])
        self.assertIn("--remove-messages deletes them", result.err)
        self.assertEqual(self.mbj("log", self.p).out, before)
        self.assertEqual(self.cat("A", 1), b"kept")
        self.mbj("reconcile", self.p, "alice", "--remove-messages",
                 stdin=wanted)
        self.assertEqual(list(self.paths()), ["INBOX"])
        self.equal()

    def test_mailboxes_with_messages_go_when_told(self):
        """Goal: Mailbox/set destroys no mail unless it is said; what was left
        behind is reaped."""
        self.deliver(b"kept?", "C" if "C" in self.paths() else "A/C")
        path = next(p for p in self.paths() if p.endswith("C"))
        mailbox = self.paths()[path]
        answer = self.mbj("set", self.p, "alice", status=REFUSED,
                          stdin={"destroy": [mailbox]}).json()
        self.assertEqual(answer["notDestroyed"][mailbox]["type"],
                         "mailboxHasEmail")
        self.mbj("set", self.p, "alice", stdin={
            "destroy": [mailbox], "onDestroyRemoveEmails": True})
        self.deliver(b"next")
        self.mbj("fsck", self.p)
        self.equal()

    def test_deliver_speaks_sysexits(self):
        """Goal: an MTA bounces only what can never be delivered."""
        deliver = ["deliver", self.p]
        self.mbj(*deliver, "nobody", stdin=b"x", status=NO_USER)
        self.mbj(*deliver, "alice", "nowhere", stdin=b"x",
                 status=CANNOT_CREATE)
        self.mbj(*deliver, "alice", "a//b", stdin=b"x", status=CANNOT_CREATE)
        self.mbj(*deliver, "alice", stdin=b"", status=NO_INPUT)
        self.mbj("deliver", self.dir / "none", "alice", stdin=b"x",
                 status=TEMPFAIL)
        self.mbj("deliver", self.r, "alice", stdin=b"x", status=TEMPFAIL)
        self.mbj("deliver", self.p, stdin=b"x", status=EX_USAGE)
        self.mbj(*deliver, "alice", "--nosuch", stdin=b"x", status=EX_USAGE)
        self.assertEqual(self.mbj(*deliver, "alice", stdin=b"x").out, "")
        self.assertEqual(self.short(), [(1, 1, [])])

    def test_deliver_guid(self):
        """Goal: a message has the GUID that it came with, at both, and one
        without has none."""
        for guid in ("g" * 255, "1764.M1P2.host,S=3,W=4"):
            self.mbj("deliver", self.p, "alice", "--guid", guid, stdin=b"x")
        self.deliver(b"x")
        self.replay()
        for store in (self.p, self.r):
            self.assertEqual(
                [m.get("guid") for m in self.mbj(
                    "messages", store, "alice", "INBOX",
                    "--json").json()["messages"]],
                ["g" * 255, "1764.M1P2.host,S=3,W=4", None])

    def test_bad_input(self):
        """Goal: each mistake is named, nothing is done."""
        self.deliver(b"x")
        before = self.mbj("log", self.p).out
        for status, *arguments in (
                (REFUSED, "flag", "INBOX", "1", "\\Recent"),
                (REFUSED, "flag", "INBOX", "1", "two words"),
                (REFUSED, "flag", "INBOX", "0", "x"),
                (REFUSED, "flag", "INBOX", "1:", "x"),
                (USAGE, "flag", "INBOX", "1", "x", "--remove", "--replace"),
                (REFUSED, "flag", "nowhere", "1", "x"),
                (REFUSED, "expunge", "INBOX", "all"),
                (REFUSED, "mv", "INBOX", "1", "nowhere"),
                (REFUSED, "cat", "INBOX", "2"),
                (REFUSED, "cat", "INBOX", "1:2"),
                (REFUSED, "messages", "nowhere")):
            verb, *rest = arguments
            result = self.mbj(verb, self.p, "alice", *rest, status=status)
            if status != USAGE:
                named = [r for r in rest if r in result.err]
                self.assertTrue(named, result.err)
        self.assertEqual(self.mbj("log", self.p).out,
                         before)

    def test_lost_and_damaged_content(self):
        """Goal: content that is gone or damaged is named, by cat and by
        replay, and stops nothing else."""
        for body in (b"first", b"second", b"third"):
            self.deliver(body)
        self.blob(b"first").unlink()
        path = self.blob(b"second")
        path.chmod(0o600)
        path.write_bytes(b"sEcond")
        result = self.mbj("cat", self.p, "alice", "INBOX", "2",
                          status=CORRUPT)
        self.assertIn(path.name, result.err)
        result = self.mbj("cat", self.p, "alice", "INBOX", "1", status=FAILED)
        self.assertIn(hashlib.sha256(b"first").hexdigest(), result.err)
        result = self.replay(status=PARTIAL)
        self.assertIn("2 contents", result.err)
        self.mbj("verify", self.p, self.r)
        self.assertEqual(self.cat("INBOX", 3, self.r), b"third")

    def test_content_comes_later(self):
        """Goal: what a replay could not fetch, a later one fetches, also
        where it has no group to apply, where the state was made anew between,
        and where more messages came meanwhile; what was expunged meanwhile is
        not asked for any more.  Method: three contents are put away."""
        bodies = [b"first", b"second", b"third"]
        for body in bodies:
            self.deliver(body)
        away = {self.blob(b): b for b in bodies}
        for path in away:
            path.rename(self.dir / path.name)
        self.assertIn("3 contents", self.replay(status=PARTIAL).err)
        self.assertIn("3 contents", self.replay(status=PARTIAL).err)
        self.mbj("expunge", self.p, "alice", "INBOX", "3")
        self.deliver(b"fourth")
        self.replay(status=PARTIAL)
        self.assertIn("2 contents", self.replay(status=PARTIAL).err)
        result = self.mbj("fsck", self.r, status=CORRUPT)
        self.mbj("fsck", self.r, "--rebuild", status=CORRUPT)
        for path in away:
            (self.dir / path.name).rename(path)
        self.replay()
        for uid, body in ((1, b"first"), (2, b"second"), (4, b"fourth")):
            self.assertEqual(self.cat("INBOX", uid, self.r), body)
        self.mbj("fsck", self.r, "--deep")
        self.assertFalse(self.blob(b"third", self.r).exists())
        for body in bodies[:2]:
            self.assertIn(hashlib.sha256(body).hexdigest(), result.err)

    def test_a_replica_that_cannot_store(self):
        """Goal: what is wrong here is an error that names the place here; the
        source is not blamed and nothing is skipped.  Method: a file where the
        content's folder would be."""
        self.deliver(b"first")
        self.replay()
        self.deliver(b"second")
        folder = self.blob(b"second", self.r).parent
        self.assertNotEqual(folder, self.blob(b"first", self.r).parent)
        folder.write_bytes(b"")
        result = self.replay(status=FAILED)
        self.assertIn(str(folder), result.err)
        folder.unlink()
        self.equal()
        self.assertEqual(self.cat("INBOX", 2, self.r), b"second")

    def test_lost_blob_folder_of_a_replica(self):
        """Goal: all contents lost, the state made anew: the next replay
        brings them back."""
        for body in (b"first", b"second"):
            self.deliver(body)
        self.replay()
        shutil.rmtree(self.r / "blobs")
        self.assertIn("2 faults", self.mbj("fsck", self.r,
                                           status=CORRUPT).out)
        self.mbj("fsck", self.r, "--rebuild", status=CORRUPT)
        self.replay()
        self.assertIn("0 faults", self.mbj("fsck", self.r, "--deep").out)

    def test_a_source_file_that_cannot_be_read(self):
        """Goal: one content that cannot be read costs that message, nobody
        else.  Method: a directory in its place (as root, modes do not
        count)."""
        self.mbj("import", self.p, "bob", stdin=mbjtest.listing(
            [(mbjtest.mailbox_id(99), "INBOX", None)]))
        self.deliver(b"first")
        self.mbj("deliver", self.p, "bob", stdin=b"bob's")
        path = self.blob(b"first")
        path.unlink()
        path.mkdir()
        result = self.replay(status=PARTIAL)
        self.assertIn("1 contents", result.err)
        self.assertIn(path.name, result.err)
        self.mbj("verify", self.p, self.r)
        done = subprocess.run([mbjtest.MBJ, "cat", str(self.r), "bob",
                               "INBOX", "1"], capture_output=True, check=True)
        self.assertEqual(done.stdout, b"bob's")

    def test_gc(self):
        """Goal: contents go with the last message that has them, deleted
        mailboxes' included, and what was stored for a message that never
        came; everything else stays; twice is once."""
        for body in (b"kept", b"expunged", b"both", b"both"):
            self.deliver(body)
        self.deliver(b"deleted", "A")
        self.deliver(b"both", "A")
        stray = self.blob(b"never appended")
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes(b"never appended")
        other = stray.with_name("notes.txt")
        other.write_bytes(b"not a blob")
        self.mbj("expunge", self.p, "alice", "INBOX", "2:3")
        self.destroy_below("A")
        log = self.mbj("log", self.p).out
        self.mbj("gc", self.p, "-n")
        self.assertTrue(stray.exists())
        result = self.mbj("gc", self.p, "--json").json()
        size = len(b"expunged" + b"deleted" + b"never appended")
        self.assertEqual((result["removed"], result["size"], result["kept"]),
                         (3, size, 2))
        self.assertEqual(self.mbj("log", self.p).out, log)
        self.assertEqual(self.mbj("gc", self.p).out,
                         "removed 0 contents of 0 bytes; 2 stay\n")
        for body in (b"expunged", b"deleted", b"never appended"):
            self.assertFalse(self.blob(body).exists(), body)
        self.assertTrue(other.exists())
        self.mbj("fsck", self.p, "--deep")
        self.assertEqual(self.cat("INBOX", 4), b"both")
        self.deliver(b"expunged")
        self.assertEqual(self.cat("INBOX", 5), b"expunged")

    def destroy_below(self, top):
        """Destroy a mailbox with all that is below it."""
        ids = [i for p, i in self.paths().items()
               if p == top or p.startswith(top + "/")]
        self.mbj("set", self.p, "alice", stdin={
            "destroy": ids, "onDestroyRemoveEmails": True})

    def test_gc_before_a_replica_has_read(self):
        """Goal: a replica that lags behind a collection ends equal, and
        nothing is reported missing: nobody has that message any more."""
        self.deliver(b"first")
        self.deliver(b"second")
        self.mbj("expunge", self.p, "alice", "INBOX", "1")
        self.mbj("gc", self.p)
        self.equal()
        self.assertEqual(self.cat("INBOX", 2, self.r), b"second")
        self.mbj("gc", self.r)
        self.mbj("verify", self.p, self.r, "--deep")

    def test_gc_where_accounts_are_parked(self):
        """Goal: refused: groups that are kept may need any content."""
        self.deliver(b"first")
        self.park()
        self.deliver(b"second")
        self.replay(status=PARTIAL)
        self.assertIn("parked", self.mbj("gc", self.r, status=REFUSED).err)
        self.assertTrue(self.blob(b"second", self.r).exists())

    def test_verify_deep(self):
        """Goal: contents missing or damaged in either store are named, though
        the trees are equal."""
        for body in (b"first", b"second"):
            self.deliver(body)
        self.replay()
        self.assertIn("equal", self.mbj("verify", self.p, self.r,
                                        "--deep").out)
        self.blob(b"first").unlink()
        path = self.blob(b"second", self.r)
        path.unlink()
        path.write_bytes(b"secOnd")
        self.mbj("verify", self.p, self.r)
        result = self.mbj("verify", self.p, self.r, "--deep", status=CORRUPT)
        self.assertIn(hashlib.sha256(b"first").hexdigest(), result.out)
        self.assertIn(path.name, result.out)
        result = self.mbj("verify", self.p, self.r, "--deep", "--json",
                          status=CORRUPT).json()
        self.assertEqual([c["store"] for c in result["contents"]],
                         [str(self.p), str(self.r)])
        self.assertFalse(result["equal"])

    def test_fsck_looks_at_contents(self):
        """Goal: a content that is gone or cut short is named by fsck, one
        byte that is another by --deep."""
        for body in (b"first", b"second", b"third"):
            self.deliver(body)
        self.assertIn("0 faults", self.mbj("fsck", self.p, "--deep").out)
        path = self.blob(b"third")
        path.chmod(0o600)
        path.write_bytes(b"thirD")
        self.mbj("fsck", self.p)
        result = self.mbj("fsck", self.p, "--deep", "--json", status=CORRUPT)
        self.assertEqual(len(result.json()["faults"]), 1)
        self.assertIn(path.name, result.out)
        self.blob(b"first").unlink()
        path = self.blob(b"second")
        path.chmod(0o600)
        path.write_bytes(b"secon")
        result = self.mbj("fsck", self.p, status=CORRUPT)
        self.assertIn("2 faults", result.out)
        for body in (b"first", b"second"):
            self.assertIn(hashlib.sha256(body).hexdigest(), result.err)

    def test_fsck_dry_run_deep(self):
        """Goal: a dry run of --deep finds damaged contents, whatever the
        journal is, and says what it did not look at.  Method: nothing wrong; a
        byte that is another; a content that is gone; a damaged journal, too.
        """
        def fsck(*words, status=OK):
            return self.mbj("fsck", self.p, *words, "--json",
                            status=status).json()

        def looked(said):
            return tuple(said[what] for what in ("accounts", "mailboxes",
                                                 "contents"))

        for body in (b"first", b"second", b"third"):
            self.deliver(body)
        groups = fsck()["groups"]
        self.assertEqual(looked(fsck()), (1, len(ROWS), 3))
        self.assertEqual(looked(fsck("-n")), (None, None, None))
        self.assertEqual(looked(fsck("-n", "--deep")), (None, None, 3))
        self.assertEqual(self.mbj("fsck", self.p, "-n", "--deep").out,
                         "the journal and the contents are sound: "
                         f"{groups} groups, 3 contents\n")
        path = self.blob(b"third")
        path.chmod(0o600)
        path.write_bytes(b"thirD")
        self.assertEqual(looked(fsck("-n")), (None, None, None))
        for words in ((), ("--rebuild",)):
            said = fsck("-n", "--deep", *words, status=CORRUPT)
            self.assertEqual(looked(said), (None, None, 3))
            self.assertEqual([fault["where"] for fault in said["faults"]],
                             ["content"])
            self.assertIn(path.name, said["faults"][0]["text"])
        result = self.mbj("fsck", self.p, "-n", "--deep", status=CORRUPT)
        self.assertEqual(result.out, f"damaged: {groups} groups, 3 contents, "
                         "1 faults\n")
        self.assertIn("whether each content that they need is there",
                      result.err)
        self.blob(b"first").unlink()
        self.assertEqual(looked(fsck("-n", "--deep", status=CORRUPT)),
                         (None, None, 2))
        segment = max((self.p / "journal").glob("*.seg"))
        data = bytearray(segment.read_bytes())
        data[len(data.rstrip(b"\0")) // 2] ^= 1
        segment.write_bytes(data)
        said = fsck("-n", "--deep", status=CORRUPT)
        self.assertEqual([fault["where"] for fault in said["faults"]],
                         ["journal", "content"])
        said = fsck(status=CORRUPT)
        self.assertEqual(looked(said), (None, None, None))

    def test_usage(self):
        """Goal: usage is shown with the account."""
        self.deliver(b"12345")
        self.deliver(b"123", "A")
        account = self.mbj("accounts", self.p, "--json").json()["list"][0]
        self.assertEqual((account["messages"], account["size"]), (2, 8))


if __name__ == "__main__":
    unittest.main()
