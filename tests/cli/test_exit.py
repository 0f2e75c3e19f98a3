#!/usr/bin/env python3
"""Exit statuses and error documents: each provoked, none by accident.

0 ok, 1 failed, 2 usage, 3 refused or not current, 4 something is parked,
5 in use, 6 damaged, 75 temporary.
"""
import fcntl
import json
import os
import pathlib
import resource
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import (A, B, CORRUPT, Case, FAILED, LOCKED, MBJ,  # noqa: E402
                     OK, PARTIAL, REFUSED, ROWS, TEMPORARY, USAGE, listing,
                     mailbox_id, run)

# A verb's reading of the stores p and r, and an edit.
READING = (("tree", "p", "alice"), ("log", "p"), ("status", "p"),
           ("accounts", "p"), ("fsck", "p"), ("verify", "p", "r"))


class Exit(Case):
    def setUp(self):
        super().setUp()
        self.account(ROWS)

    def verbs(self, *rows):
        return [[str(self.dir / word) if word in ("p", "r", "absent") else
                 word for word in row] for row in rows]

    def check(self, arguments, status, stdin=None, kind=None, env=None):
        """The status; one line on standard error; with --json an object on
        standard output, and nothing else, where the verb has failed."""
        result = run(*arguments, stdin=stdin, env=env)
        self.assertEqual(result.status, status, (arguments, result.err))
        self.assertEqual(result.err.count("\n"), 1, result.err)
        self.assertTrue(result.err.startswith(f"mbj {arguments[0]}: "))
        if "--json" in arguments:
            error = result.json()
            self.assertEqual(error["schema"], "mbj.error/1")
            self.assertTrue(error["description"])
            if kind:
                self.assertEqual(error.get("code", error["type"]), kind)
        return result

    def test_0(self):
        """Goal: reading what is there is no news.  Method: every verb."""
        self.replay()
        for row in self.verbs(*READING):
            self.assertEqual(self.mbj(*row, "--json").err, "")
            self.assertEqual(self.mbj(*row).err, "")

    def test_2_json_is_utf8(self):
        """Goal: who asks for JSON gets JSON.  Method: with --utf7."""
        said = self.mbj("tree", self.p, "alice", "--json", "--utf7",
                        status=USAGE)
        self.assertEqual(said.out, "")

    def test_3_names_its_input(self):
        """Goal: a program learns which of its input is meant, as it gave it.
        Method: names that are bad, of lists with ids and without; renames
        without a side."""
        bad = "x\u200fy\u0001"
        for entry, key, value in (
                ({"id": "mine", "name": bad, "parentId": None}, "id", "mine"),
                ({"name": bad, "parentId": None}, "name", bad)):
            said = self.mbj("import", self.p, "eve", stdin={"list": [entry]},
                            status=REFUSED)
            self.assertEqual(said.json()[key], value)
            self.assertNotIn(bad, said.err)
        for rename in ("A>", ">Z", ">"):
            said = self.mbj("rename", self.p, "alice", rename, status=REFUSED)
            self.assertEqual(said.json()["rename"], rename)
            self.assertIn(f'"{rename}"', said.err)

    def test_3_says_it_as_json(self):
        """Goal: an edit that is refused says so in a document, also without
        --json, by JMAP's word for it.  Method: edits on a replica."""
        self.replay()
        for words, stdin in ((("set",), {"destroy": [B]}),
                             (("rename", "A>Z"), None),
                             (("reconcile",), listing(ROWS)),
                             (("import",), listing(ROWS))):
            said = run(words[0], self.r, "alice", *words[1:], stdin=stdin)
            self.assertEqual(said.status, REFUSED, said.err)
            error = said.json()
            self.assertEqual(error["schema"], "mbj.error/1")
            self.assertEqual((error["type"], error["code"], error["account"]),
                             ("accountReadOnly", "EFENCED", "alice"))
            self.assertIn(error["description"], said.err)

    def test_1_absent(self):
        """Goal: 1, what was named is not there.  Method: stores, accounts,
        files, groups."""
        for row in self.verbs(("tree", "absent", "alice"), ("log", "absent"),
                              ("status", "absent"), ("accounts", "absent"),
                              ("fsck", "absent"), ("verify", "p", "absent"),
                              ("verify", "absent", "p"),
                              ("replay", "absent", "r"),
                              ("replay", "p", "absent"),
                              ("import", "absent", "x"),
                              ("log", "p", "--from", "99")):
            self.check([*row, "--json"], FAILED, kind="ENOTFOUND",
                       stdin=listing([]))
        for row in self.verbs(("tree", "p", "bob"), ("set", "p", "bob"),
                              ("reconcile", "p", "bob"),
                              ("rename", "p", "bob", "A>B")):
            self.check([*row, "--json"], FAILED, kind="accountNotFound",
                       stdin={})
        absent = str(self.dir / "absent")
        result = self.check(["plan", "--before", absent, "--after", absent,
                             "--json"], FAILED)
        self.assertIn(absent, result.err)

    def test_1_output(self):
        """Goal: 1, an answer that could not be given.  Method: /dev/full;
        the edit is done, and that is said."""
        for row in (["tree", str(self.p), "alice"], ["log", str(self.p)],
                    ["rename", str(self.p), "alice", "A>Z"]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([MBJ, *row], stdout=full,
                                      stderr=subprocess.PIPE, check=False)
            self.assertEqual(done.returncode, FAILED)
            self.assertIn(b"standard output", done.stderr)
        self.assertIn(b"done all the same: group 2", done.stderr)
        self.assertIn("Z", self.paths())

    def test_2(self):
        """Goal: 2, and how it is used.  Method: one wrong call a verb."""
        for arguments in (["init"], ["import", "x"], ["set", "x"],
                          ["rename", "x", "y"], ["reconcile", "x", "y", "z"],
                          ["plan", "x"], ["tree", "x"], ["log"],
                          ["replay", "x"], ["verify", "x"], ["status"],
                          ["fsck"], ["accounts", "x", "y"], ["version", "x"],
                          ["help", "x"]):
            self.check(arguments, USAGE)

    def test_3(self):
        """Goal: 3, for safety or not current.  Method: taken names, moved
        states, roles, lag, foreign stores."""
        other = self.dir / "other"
        self.mbj("init", other)
        self.replay()
        for row, stdin, kind in (
                (("import", "p", "alice"), listing([]), "alreadyExists"),
                (("rename", "p", "alice", "A>B"), None, "alreadyExists"),
                (("set", "p", "alice"), {"ifInState": "7"}, "stateMismatch"),
                (("set", "p", "alice"), "{", "notJSON"),
                (("set", "p", "alice"), {"x": 1}, "invalidArguments"),
                (("reconcile", "p", "alice"), listing([(A, "A", B)]),
                 "invalidProperties"),
                (("set", "r", "alice"), {}, None),
                (("replay", str(other), "p"), None, "EFENCED"),
                (("verify", "p", str(other)), None, "EFENCED"),
                (("verify", "p", "p"), None, "EINVALID"),
                (("init", "p"), None, "EEXISTS")):
            row, = self.verbs(row)
            self.check([*row, "--json"], REFUSED, stdin, kind)
        self.mbj("rename", self.p, "alice", "A>Z")
        lag = self.mbj("verify", self.p, self.r, "--json", status=REFUSED)
        self.assertFalse(lag.json()["equal"])

    def test_4(self):
        """Goal: 4, something is parked, the rest goes on.  Method: change a
        replica behind its journal's back; replay, verify, status; another
        account is served."""
        self.mbj("import", self.p, "bob", stdin=listing(
            [(mailbox_id(70), "X", None)]))
        self.park()
        self.mbj("rename", self.p, "bob", "X>Y")
        result = self.check(["replay", str(self.p), str(self.r)], PARTIAL)
        self.assertIn("1 accounts are parked", result.err)
        again = self.mbj("replay", self.p, self.r, "--json", status=PARTIAL)
        self.assertEqual(again.json()["accountsParked"], 1)
        for first, second in ((self.p, self.r), (self.r, self.p)):
            differences = run("verify", first, second, "--json")
            self.assertEqual(differences.status, PARTIAL)
            self.assertEqual(differences.json()["accountsParked"], 1)
        status = run("status", self.r, "--json")
        self.assertEqual(status.status, PARTIAL)
        parked, = status.json()["parked"]
        self.assertEqual((parked["account"], parked["groups"]), ("alice", 1))
        self.assertTrue(parked["reason"])
        text = run("status", self.r)
        self.assertEqual(text.status, PARTIAL)
        self.assertIn("parked     alice", text.out)
        self.assertIn("Y", self.paths(self.r, "bob"))
        self.assertIn("elsewhere", self.paths(self.r))

    def test_5(self):
        """Goal: 5, another process has the store.  Method: hold its lock;
        what only reads segments goes on."""
        with open(self.p / "lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for row in self.verbs(("tree", "p", "alice"), ("accounts", "p"),
                                  ("fsck", "p"), ("verify", "p", "r"),
                                  ("verify", "r", "p"),
                                  ("rename", "p", "alice", "A>Z"),
                                  ("set", "p", "alice"),
                                  ("import", "p", "bob")):
                result = self.check([*row, "--json"], LOCKED, kind="EBUSY",
                                    stdin=listing([]) if row[0] == "import"
                                    else {})
                self.assertIn("in use", result.err)
            self.mbj("log", self.p)
            self.assertIn("in use", self.mbj("status", self.p).out)
            self.mbj("replay", self.p, self.r)

    def test_6(self):
        """Goal: 6, damage.  Method: a flipped byte in the only segment's
        last group; what reads it names it."""
        segment, = (self.p / "journal").glob("*.seg")
        good = segment.read_bytes()
        at = len(good.rstrip(b"\0")) - 60
        segment.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
        for row in self.verbs(("fsck", "p"), ("log", "p"),
                              ("replay", "p", "r")):
            result = run(*row, "--json")
            self.assertEqual(result.status, CORRUPT, (row, result.err))
            self.assertRegex(result.err, r"\.seg|group 1")
            self.assertIsInstance(json.loads(result.out), dict)
        segment.write_bytes(good)
        self.mbj("fsck", self.p)

    def test_75(self):
        """Goal: 75, try again.  Method: no memory for a large tree, by a
        limit on the address space; the store is as it was."""
        rows = [(mailbox_id(100 + i), f"m{i}", None) for i in range(200000)]
        before = self.mbj("log", self.p).out

        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (220 << 20, 220 << 20))

        done = subprocess.run([MBJ, "import", str(self.p), "big", "--json"],
                              input=json.dumps(listing(rows)).encode(),
                              capture_output=True, preexec_fn=limit,
                              check=False)
        if b"runtime" in done.stderr or done.returncode < 0:
            self.skipTest("a sanitizer needs its own memory")
        self.assertEqual(done.returncode, TEMPORARY, done.stderr)
        self.assertEqual(json.loads(done.stdout)["code"], "ENOMEM")
        self.assertEqual(self.mbj("log", self.p).out, before)
        self.mbj("fsck", self.p)


if __name__ == "__main__":
    unittest.main(verbosity=1)
