#!/usr/bin/env python3
"""Accounts that are set aside on a replica, from outside."""
import fcntl
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import (A, B, CORRUPT, DIVERGE, FAILED, INBOX, LOCKED,  # noqa: E402
                     MBJ, OK, PARTIAL, REFUSED, ROWS, USAGE, listing,
                     mailbox_id, run, seed)
from servetest import ServiceCase  # noqa: E402


class Quarantine(ServiceCase):
    def setUp(self):
        super().setUp()
        if not DIVERGE:
            self.skipTest("MBJ_DIVERGE names no mbj_diverge")
        self.mbj("import", self.p, "bob", stdin=listing(ROWS))
        self.replay()

    def ghost(self, name, is_there=True):
        """A subscription that only the replica has."""
        subprocess.run([DIVERGE, self.r, name,
                        ("+" if is_there else "-") + "ghost"], check=True)

    def aside(self, *names):
        for name in names:
            self.ghost(name)
            self.mbj("rename", self.p, name, "A>Z")
            self.mbj("subscribe", self.p, name, "Lists")
        self.replay(status=PARTIAL)

    def quarantine(self, *arguments, status=OK):
        return self.mbj("quarantine", self.r, *arguments, status=status)

    def read(self, *arguments, status=PARTIAL):
        """Status 4 says it, reading verbs say nothing more."""
        result = run("quarantine", self.r, *arguments)
        self.assertEqual(result.status, status, result.err)
        return result

    def test_list_and_show(self):
        """Goal: who waits, since when, how much, and why.  Method: one of two
        accounts aside, as text, as JSON, through a service."""
        self.assertEqual(self.read("list", status=OK).out, "")
        self.assertEqual(
            self.read("list", "--json", status=OK).json(),
            {"schema": "mbj.quarantine/1", "list": [], "skipped": []})
        self.aside("alice")
        for _ in range(2):
            line = self.read("list").out
            self.assertRegex(line, r"^alice \([0-9a-f]{32}\): 2 groups from 3: "
                                   r"group 3, after its \d+ primitives: "
                                   r"conflict: .*another content")
            entry = self.read("list", "--json").json()["list"][0]
            self.assertEqual((entry["account"], entry["first"], entry["last"],
                              entry["groups"]), ("alice", 3, 4, 2))
            self.assertTrue(entry["reason"].startswith("group 3, "))
            shown = self.read("show", "alice").out
            self.assertLess(shown.index("mailbox-move"),
                            shown.index('subscribe path "Lists"'))
            document = self.read("show", entry["accountId"], "--json").json()
            self.assertEqual(document["account"], entry)
            self.assertEqual([g["lsn"] for g in document["waiting"]], [3, 4])
            if self.server is None:
                self.serve(store=self.r)
        by_socket = run("quarantine", self.r / "socket", "show", "alice")
        self.assertEqual((by_socket.status, by_socket.out), (PARTIAL, shown))
        self.mbj("quarantine", self.r, "retry", "alice", status=LOCKED)

    def test_audit(self):
        """Goal: what became of an account is told, by whom and why, also when
        the state was made anew and beside a service.  Method: aside, tried in
        vain, mended, resynced; as text and as JSON; of one account, of all."""
        self.assertEqual(self.quarantine("audit").out, "")
        self.aside("alice", "bob")
        self.quarantine("retry", "alice", status=PARTIAL)
        shown = self.read("show", "alice", "--json").json()
        self.assertEqual([e["kind"] for e in shown["audit"]],
                         ["park", "retry"])
        self.assertIn("still fails", self.read("show", "alice").out)
        self.ghost("alice", False)
        self.quarantine("retry", "alice", status=PARTIAL)
        self.mbj("snapshot", self.p)
        self.quarantine("resync", "bob", "--from", self.p)
        self.mbj("fsck", self.r, "--rebuild")
        self.serve(store=self.r)
        entries = self.quarantine("audit", "--json").json()["list"]
        self.assertEqual([(e["kind"], e["account"], e["byItself"])
                          for e in entries],
                         [("park", "alice", True), ("park", "bob", True),
                          ("retry", "alice", False), ("heal", "alice", False),
                          ("resync", "bob", False)])
        self.assertEqual([e["number"] for e in entries], [1, 2, 3, 4, 5])
        self.assertEqual({e["uid"] for e in entries}, {os.getuid()})
        self.assertIn("conflict", entries[0]["reason"])
        lines = self.quarantine("audit", "bob").out.splitlines()
        self.assertRegex(lines[0], r"^\d{4}-.* bob \([0-9a-f]{32}\): set aside"
                                   r", 1 groups from \d+: .*\(by itself\)$")
        self.assertRegex(lines[1], r"made again from a snapshot, that of group "
                                   r"\d+ \(asked for by user \d+\)$")
        self.assertEqual(self.quarantine(
            "audit", entries[1]["accountId"]).out.splitlines(), lines)
        self.assertIn("carol", self.quarantine("audit", "carol",
                                               status=FAILED).err)
        by_socket = self.mbj("quarantine", self.r / "socket", "audit", "bob")
        self.assertEqual(by_socket.out.splitlines(), lines)
        self.stop()
        self.mbj("fsck", self.r)
        (self.r / "audit").write_bytes(b"bent")
        self.assertIn("damaged", self.quarantine("audit",
                                                 status=CORRUPT).err)

    def test_skip(self):
        """Goal: a group is given up by its number alone, and that the account
        differs is said wherever somebody looks, until it is made again.
        Method: without a number, a wrong one, tried, the right one; beside a
        service and without, the state made anew, restored from a backup."""
        self.aside("alice", "bob")
        result = self.quarantine("skip", "alice", status=REFUSED)
        self.assertIn('"alice": it waits for group 3 first', result.err)
        self.assertIn("mailbox-move", result.out)
        self.quarantine("skip", "alice", "--acknowledge", "4", status=REFUSED)
        self.assertIn("group 3", self.quarantine(
            "skip", "alice", "--json", status=REFUSED).json()["description"])
        self.assertIn("would be given up", self.quarantine(
            "skip", "alice", "--acknowledge", "3", "-n").out)
        self.assertEqual(len(self.read("list").out.splitlines()), 2)
        document = self.quarantine("skip", "alice", "--acknowledge", "3",
                                   "--json", status=PARTIAL).json()
        self.assertEqual(document, {
            "schema": "mbj.skip/1", "group": 3, "isDryRun": False,
            "isDifferent": True, "isOfMessages": False, "groups": 1,
            "accountsParked": 1})
        self.assertIn("known to differ", self.quarantine(
            "skip", "bob", "--acknowledge", "5").out)
        self.mbj("snapshot", self.r)
        # An older version, which does not know of that, says so.
        snapshot, = (self.r / "snapshots").glob("*.snap")
        self.assertEqual(snapshot.read_bytes()[20], 1)
        self.mbj("fsck", self.r, "--rebuild")
        for _ in range(2):
            lines = self.read("list").out
            self.assertRegex(lines, r"(?m)^alice \([0-9a-f]{32}\): differs, "
                                    r"knowingly, since group 3; 1 groups")
            entries = self.read("list", "--json").json()
            entry, = [e for e in entries["skipped"] if e["account"] == "alice"]
            self.assertEqual((entry["first"], entry["last"], entry["groups"]),
                             (3, 3, 1))
            self.assertEqual(len(entries["skipped"]), 2)
            shown = self.read("show", "alice", "--json").json()
            self.assertEqual(shown["skipped"], entry)
            self.assertIsNone(shown["account"])
            given_up, = [e for e in shown["audit"] if e["kind"] == "skip"]
            self.assertEqual((given_up["first"], given_up["byItself"],
                              given_up["uid"]), (3, False, os.getuid()))
            self.assertIn("knowingly", self.read("show", "alice").out)
            if self.server is None:
                self.serve(store=self.r)
        status = self.mbj("status", self.r, "--json").json()
        self.assertEqual(status["skipped"], entries["skipped"])
        self.assertIn("skipped    alice", self.mbj("status", self.r).out)
        check = run("check", self.r)
        self.assertEqual(check.status, 1)
        self.assertIn("2 accounts known to differ", check.out)
        self.assertIn("skipped=2;0", check.out)
        self.assertIn("accounts_skipped", run("metrics", self.r).out)
        self.mbj("quarantine", self.r, "skip", "alice", status=LOCKED)
        self.stop()

    def test_skip_mail(self):
        """Goal: what a group that was given up brought stays, as a state that
        is made anew may take the group; and who gives up mail is told that its
        mailbox takes no more.  Method: a state that is bent; house is kept,
        and repaired; the state made anew; a backup."""
        body = "Subject: given up\n\nbody\n"
        self.ghost("bob")
        self.mbj("subscribe", self.p, "bob", "Lists")
        self.replay(status=PARTIAL)
        result = self.quarantine("skip", "bob", "--acknowledge", "3", "--json")
        self.assertIs(result.json()["isOfMessages"], False)
        self.ghost("alice")
        self.mbj("deliver", self.p, "alice", stdin=body)
        self.mbj("subscribe", self.p, "alice", "Lists")
        self.replay(status=PARTIAL)
        result = self.quarantine("skip", "alice", "--acknowledge", "4", "-n",
                                 "--json")
        self.assertEqual(result.json()["isOfMessages"], True)
        # Which mailboxes: by the group.
        result = self.quarantine("skip", "alice", "--acknowledge", "4", "-n")
        self.assertIn(f"message-append {INBOX} ", result.out)
        result = self.quarantine("skip", "alice", "--acknowledge", "4")
        self.assertIn("take no later change of messages", result.err)
        self.mbj("deliver", self.p, "alice", stdin=body + "more\n")
        self.replay(status=PARTIAL)
        self.assertIn("gap", self.read("list").out)
        self.quarantine("skip", "alice", "--acknowledge", "6")
        for _ in range(2):
            self.assertIn("removed 0 ", self.mbj("gc", self.r).out)
            self.mbj("fsck", self.r, "--repair")
        self.mbj("fsck", self.r, "--rebuild")
        self.assertEqual(self.mbj("cat", self.r, "alice", "INBOX", 1).out,
                         body)
        self.agree()
        self.mbj("verify", self.p, self.r, "--deep")
        self.mbj("backup", self.r, self.dir / "backup")
        (self.r / "skips").write_bytes(b"bent")
        self.assertIn("damaged", self.mbj("gc", self.r, status=CORRUPT).err)

    def test_skip_verify(self):
        """Goal: verify tells who differs knowingly from whoever does not, and
        a resync ends it.  Method: one account, given up; two groups that
        conflict because of it; a backup."""
        self.aside("alice")
        self.mbj("rename", self.p, "alice", "Z>Y")
        self.replay(status=PARTIAL)
        self.quarantine("skip", "alice", "--acknowledge", "3", status=PARTIAL)
        self.quarantine("skip", "alice", "--acknowledge", "5")
        result = run("verify", self.p, self.r)
        self.assertEqual(result.status, PARTIAL)
        self.assertIn("account-skipped alice: it differs, knowingly, since "
                      "group 3: 2 groups were given up, the last of them 5",
                      result.out)
        self.assertIn("1 known to differ", result.out)
        self.assertEqual(run("verify", self.p, self.r, "--json").json()[
            "accountsSkipped"], 1)
        backup = self.p.parent / "backup"
        seeded = self.p.parent / "seeded"
        self.mbj("snapshot", self.r)
        self.mbj("init", seeded, "--from-snapshot", self.r)
        result = self.mbj("backup", seeded, backup, status=PARTIAL)
        self.assertIn("1 accounts are known to differ", result.err)
        result = self.mbj("restore", backup, self.p.parent / "p2", "--role",
                          "primary", "--json", status=PARTIAL)
        self.assertEqual((result.json()["accountsParked"],
                          result.json()["accountsSkipped"]), (1, 0))
        self.mbj("quarantine", self.p.parent / "p2", "list")
        self.mbj("snapshot", self.p)
        for store in (seeded, self.r):
            self.mbj("quarantine", store, "resync", "alice", "--from", self.p)
        self.mbj("backup", seeded, backup)
        self.mbj("verify", self.p, backup)
        self.mbj("restore", backup, self.p.parent / "back")
        self.mbj("verify", self.p, self.p.parent / "back")
        self.mbj("verify", self.p, self.r)
        self.mbj("fsck", self.r, "--rebuild")
        self.mbj("verify", self.p, self.r)
        for arguments in (["skip"], ["skip", "alice", "--all"],
                          ["retry", "alice", "-n"],
                          ["list", "--acknowledge", "3"]):
            self.quarantine(*arguments, status=USAGE)
        self.assertIn("not set aside", self.quarantine(
            "skip", "alice", "--acknowledge", "3", status=FAILED).err)

    def test_audit_without_state(self):
        """Goal: the record is read while another process has the store, and
        where the state is not to be had.  Method: the lock held; all of it, by
        id, and by name; no store at all."""
        self.aside("alice")
        entry = self.quarantine("audit", "--json").json()["list"][0]
        with open(self.r / "lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.read("list", status=LOCKED)
            result = self.quarantine("audit", "--json")
            self.assertIn("in use", result.err)
            self.assertIn("without their names", result.err)
            del entry["account"]
            self.assertEqual(result.json()["list"], [entry])
            lines = self.quarantine("audit", entry["accountId"]).out
            self.assertRegex(lines, r"^\d{4}-[^ ]*  \([0-9a-f]{32}\): set aside")
            result = self.quarantine("audit", "alice", status=LOCKED)
            self.assertEqual(result.out, "")
            self.assertIn('"alice" is no id', result.err)
        self.mbj("quarantine", self.p.parent / "none", "audit", status=FAILED)

    def test_conflict_names(self):
        """Goal: the reason names primitive and mailbox.  Method: a mailbox
        that is elsewhere on the replica."""
        subprocess.run([DIVERGE, self.r, "alice", A, "elsewhere"], check=True)
        self.mbj("rename", self.p, "alice", "B>elsewhere")
        self.replay(status=PARTIAL)
        self.assertIn(f"primitive 0 (mailbox-move {B} \"B\"): conflict: ",
                      self.read("list").out)

    def test_retry(self):
        """Goal: what waits is carried out when it can be, in order, for one or
        for all.  Method: mended one after the other."""
        self.aside("alice", "bob")
        result = self.quarantine("retry", "--all", status=PARTIAL)
        self.assertIn("carried out 0 groups", result.out)
        self.assertIn("2 accounts are set aside", result.err)
        self.ghost("alice", False)
        retried = self.quarantine("retry", "alice", "--json", status=PARTIAL)
        self.assertEqual(json.loads(retried.out), {
            "schema": "mbj.retry/1", "groups": 2, "accountsHealed": 1,
            "accountsParked": 1})
        self.assertEqual(self.tree(self.r), self.tree(self.p))
        self.ghost("bob", False)
        self.assertEqual(self.quarantine("retry", "--all").out,
                         "carried out 2 groups; 1 accounts go on\n")
        self.assertEqual(self.read("list", status=OK).out, "")
        self.agree()
        # From the journal alone, then from what is there now.
        self.mbj("fsck", self.r, "--rebuild")
        self.agree()
        self.mbj("snapshot", self.r)
        self.mbj("fsck", self.r, "--rebuild")
        self.agree()

    def test_gone(self):
        """Goal: groups that the journal does not reach back to are named, and
        keep no other account.  Method: a replica made from a snapshot."""
        self.mbj("snapshot", self.p)
        self.r = self.dir / "later"
        self.mbj("init", self.r, "--from-snapshot", self.p)
        self.replay()
        subprocess.run([DIVERGE, self.r, "alice", "=1"], check=True)
        self.mbj("subscribe", self.p, "bob", "Lists")
        self.replay(status=PARTIAL)
        self.assertIn("group 1 is not in the journal",
                      self.read("show", "alice", status=FAILED).err)
        self.quarantine("retry", "alice", status=PARTIAL)
        self.assertIn("group 1 is not in the journal", self.read("list").out)
        self.assertEqual(self.tree(self.r), self.tree(self.p))

    def test_by_itself(self):
        """Goal: a replay brings back who can come.  Method: a mended one."""
        self.aside("alice", "bob")
        self.ghost("alice", False)
        result = self.replay(status=PARTIAL)
        self.assertIn("2 groups that had been set aside are carried out, 1 "
                      "accounts go on", result.err)
        self.assertRegex(self.read("list").out, r"^bob .*\n$")
        self.ghost("bob", False)
        document = self.mbj("replay", self.p, self.r, "--json").json()
        self.assertEqual((document["groupsRetried"], document["accountsHealed"],
                          document["accountsParked"]), (2, 1, 0))
        self.agree()

    def test_name_taken(self):
        """Goal: who waited only for another account comes with it.  Method: a
        name that an account which is aside still has on the replica."""
        self.ghost("bob")
        self.mbj("account", "rename", self.p, "bob", "robert")
        self.mbj("account", "create", self.p, "bob")
        self.replay(status=PARTIAL)
        entry = [p for p in self.read("list", "--json").json()["list"]
                 if "lacks" in p["account"]]
        self.assertEqual(len(entry), 1)
        self.assertIn("account-create", entry[0]["reason"])
        self.quarantine("show", "robert", status=FAILED)
        self.read("show", entry[0]["accountId"])
        self.quarantine("retry", entry[0]["accountId"], status=PARTIAL)
        self.ghost("bob", False)
        self.replay()
        self.agree()

    def test_resync(self):
        """Goal: an account is made again what its source has, contents and
        all, and stays so when the state is made anew.  Method: messages on
        both sides of the snapshot, some contents gone from the replica."""
        for name in ("alice", "bob"):
            for number in range(3):
                self.mbj("deliver", self.p, name,
                         stdin=f"Subject: {name} {number}\n\nbody\n")
        self.replay()
        self.aside("alice", "bob")
        for number in range(3, 6):
            self.mbj("deliver", self.p, "alice",
                     stdin=f"Subject: alice {number}\n\nbody\n")
        self.quarantine("resync", "alice", "--from", self.p, status=REFUSED)
        self.mbj("snapshot", self.p)
        self.mbj("expunge", self.p, "alice", "INBOX", "2")
        self.mbj("deliver", self.p, "alice", stdin="Subject: 7\n\nlast\n")
        # Of what waits nobody holds the contents.
        self.replay(status=PARTIAL)
        for content in list((self.r / "blobs").glob("??/*")):
            content.unlink()
        result = json.loads(self.quarantine("resync", "alice", "--from",
                                            self.p, "--json").out)
        self.assertEqual((result["groups"], result["isAside"],
                          result["blobsMissing"]), (2, False, 0))
        self.assertRegex(self.read("list").out, r"^bob .*\n$")
        self.assertIn("made again from the snapshot of group",
                      self.quarantine("resync", "bob", "--from", self.p).out)
        self.mbj("verify", self.p, self.r, "--deep")
        self.mbj("fsck", self.r, "--deep")
        # One that the replica has not heard of yet.
        self.mbj("import", self.p, "carol", stdin=listing(ROWS))
        self.quarantine("resync", "carol", "--from", self.p)
        self.mbj("fsck", self.r, "--rebuild")
        self.agree()
        self.mbj("verify", self.p, self.r, "--deep")

    def carrier(self):
        return f"{shlex.quote(MBJ)} send {shlex.quote(str(self.p))}"

    def test_resync_stream(self):
        """Goal: resync through a stream is what it is from a directory.
        Method: by a command, by a socket; accounts that are aside and not;
        what is refused."""
        self.aside("alice", "bob")
        self.assertIn("mbj snapshot",
                      self.quarantine("resync", "alice", "--exec",
                                      self.carrier(), status=REFUSED).err)
        self.mbj("deliver", self.p, "alice", stdin="Subject: 1\n\nbody\n")
        self.mbj("snapshot", self.p)
        self.mbj("deliver", self.p, "alice", stdin="Subject: 2\n\nbody\n")
        result = json.loads(self.quarantine(
            "resync", "alice", "--exec", self.carrier(), "--json").out)
        self.assertEqual((result["groups"], result["isAside"],
                          result["blobsMissing"]), (1, False, 0))
        self.assertRegex(self.read("list").out, r"^bob .*\n$")
        address = f"unix:{self.dir}/replicas"
        listener = subprocess.Popen([MBJ, "send", str(self.p), "--listen",
                                     address], stderr=subprocess.PIPE)
        try:
            self.until((self.dir / "replicas").exists)
            self.assertIn("made again from the snapshot of group",
                          self.quarantine("resync", "bob", "--from",
                                          address).out)
        finally:
            listener.terminate()
            listener.communicate()
        self.mbj("verify", self.p, self.r, "--deep")
        self.quarantine("resync", "carol", "--exec", self.carrier(),
                        status=FAILED)
        self.quarantine("resync", "alice", "--exec", "false", status=FAILED)
        self.mbj("fsck", self.r, "--rebuild")
        self.agree()
        self.mbj("verify", self.p, self.r, "--deep")

    def test_resync_by_itself(self):
        """Goal: a follower makes accounts again that stay aside, contents and
        all, from the source's snapshot.  Method: once; then one that stays."""
        self.aside("alice", "bob")
        self.mbj("deliver", self.p, "alice", stdin="Subject: 1\n\nbody\n")
        self.mbj("snapshot", self.p)
        result = self.mbj("follow", self.r, "--once", "--exec", self.carrier(),
                          "--json").json()
        self.assertEqual((result["accountsResynced"], result["accountsParked"],
                          result["blobsMissing"]), (2, 0, 0))
        self.agree()
        self.mbj("verify", self.p, self.r, "--deep")
        self.ghost("alice")
        self.mbj("rename", self.p, "alice", "Z>A")
        self.replay(status=PARTIAL)
        self.mbj("snapshot", self.p)
        self.serve("--exec", self.carrier(), store=self.r)
        self.until(lambda: self.read_status("list") == OK)
        self.stop()
        self.agree()

    def test_resync_seen(self):
        """Goal: whoever looks at a replica sees that accounts are made again.
        Method: a snapshot that takes minutes to come; status, check, metrics."""
        self.aside("alice", "bob")
        self.mbj("import", self.p, "carol", stdin=listing(
            [(mailbox_id(i), f"box {i}", None)
             for i in range(1000, 3000)]))
        self.replay(status=PARTIAL)
        self.mbj("snapshot", self.p)
        (snapshot,) = (self.p / "snapshots").glob("*.snap")
        self.serve("--exec", self.carrier(), "--rate", "1KiB", store=self.r)

        def upstream():
            return run("status", self.r, "--json").json()["upstream"]
        self.until(lambda: upstream()["resync"] == "fetching")
        seen = upstream()
        self.assertEqual((seen["resyncAll"], seen["resyncSize"]),
                         (False, snapshot.stat().st_size))
        self.assertLess(seen["resyncHere"], seen["resyncSize"])
        words = "accounts that are set aside are made again from a " \
            "snapshot of the source: fetching, 0 of "
        self.assertIn(words, run("status", self.r).out)
        self.assertIn(words, run("check", self.r).out)
        metrics = run("metrics", self.r).out
        self.assertRegex(metrics, r"\nmbj_resync_stage\{[^}]*\} 1\n")
        self.assertRegex(metrics, r"\nmbj_resync_all\{[^}]*\} 0\n")
        self.stop()

    def read_status(self, word):
        return run("quarantine", self.r, word).status

    def test_resync_fork(self):
        """Goal: a snapshot of a history that has forked is not taken.  Method:
        a copy of the primary that went on by itself."""
        self.aside("alice")
        shutil.copytree(self.p, self.dir / "fork")
        for store, name in ((self.p, "one"), (self.dir / "fork", "two")):
            self.mbj("subscribe", store, "bob", name)
        self.mbj("snapshot", self.dir / "fork")
        (self.p / "snapshots").mkdir(mode=0o700)
        for snapshot in (self.dir / "fork" / "snapshots").iterdir():
            shutil.copy(snapshot, self.p / "snapshots")
        self.assertIn("different histories",
                      self.quarantine("resync", "alice", "--from", self.p,
                                      status=CORRUPT).err)
        self.assertRegex(self.read("list").out, r"^alice .*\n$")

    def test_resync_killed(self):
        """Goal: kill -9 at any time leaves an account that is what it was, or
        what the journal says with the rest waiting; the same again ends well.
        Method: at moments that are drawn, with a state made anew in between."""
        random = seed()
        for number in range(40):
            self.mbj("deliver", self.p, "alice",
                     stdin=f"Subject: {number}\n\nbody\n")
        self.replay()
        self.mbj("snapshot", self.p)
        self.aside("alice")
        for times in range(6):
            victim = subprocess.Popen(
                [MBJ, "quarantine", self.r, "resync", "alice", "--from",
                 self.p], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(random.random() * 0.1)
            victim.kill()
            victim.wait()
            if times == 3:
                self.mbj("fsck", self.r, "--rebuild")
            self.assertIn(run("verify", self.p, self.r).status,
                          (OK, REFUSED, PARTIAL))
            self.mbj("fsck", self.r)
        self.quarantine("resync", "alice", "--from", self.p)
        self.agree()
        self.mbj("verify", self.p, self.r, "--deep")

    def test_bad_calls(self):
        """Goal: every wrong call says what is wrong.  Method: each of them."""
        for arguments in (("list", "alice"), ("show",), ("retry",),
                          ("retry", "alice", "--all"), ("list", "--all"),
                          ("mend", "alice"), ("resync", "alice"),
                          ("resync", "--from", self.p),
                          ("resync", "--exec", self.carrier()),
                          ("retry", "alice", "--exec", self.carrier()),
                          ("retry", "alice", "--from", self.p)):
            self.assertIn("mbj help quarantine",
                          self.quarantine(*arguments, status=USAGE).err)
        self.assertIn("no account \"carol\" is set aside",
                      self.quarantine("show", "carol", status=FAILED).err)
        self.assertIn('not "mend"',
                      self.quarantine("mend", "alice", status=USAGE).err)
        for words in (("retry", "carol"), ("resync", "carol", "--from", self.p)):
            self.assertIn('no account "carol" is there',
                          self.quarantine(*words, status=FAILED).err)
        for word in ("retry", "skip"):
            said = self.quarantine(word, "alice", status=FAILED).err
            self.assertRegex(said, '"alice": .* not set aside')
        self.mbj("quarantine", self.p, "retry", "--all", status=REFUSED)
        self.mbj("quarantine", self.dir / "none", "list", status=FAILED)


if __name__ == "__main__":
    unittest.main()
