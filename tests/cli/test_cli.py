#!/usr/bin/env python3
"""The mbj command, from outside: what each verb promises, and bad input.

    MBJ=path/to/mbj test_cli.py [Class.test]

Goal: a user gets what the manual says, and an error that names the input with
the store as it was where something is wrong.  Method: the real command on
real stores, plans checked by an independent simulation (mbjtest.py).
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import (CORRUPT, FAILED, LOCKED, MBJ, OK, REFUSED,  # noqa: E402
                     USAGE, Case, listing, mailbox_id, run, simulate, tree_of)

INBOX = mailbox_id(1)
A, B, C, D = (mailbox_id(n) for n in (10, 11, 12, 13))
ROWS = [(INBOX, "INBOX", None), (A, "A", None), (B, "B", None),
        (C, "C", A), (D, "D", B)]


class MainJob(Case):
    def test_cycle_inversion_replay_verify(self):
        """Goal: the main job.  Method: a 3-cycle and an inversion at once."""
        self.account([(INBOX, "INBOX", None), (A, "A", None), (B, "B", None),
                      (C, "C", None), (D, "D", C)])
        plan = self.mbj("rename", self.p, "alice", "A>B", "B>C/D", "C>A/X",
                        "C/D>A", "-n", "--json").json()
        end = simulate(self.tree(), plan["steps"])
        self.assertEqual(plan["schema"], "mbj.plan/1")
        before = self.tree()
        self.assertEqual(self.tree(), before, "-n changed nothing")
        self.mbj("rename", self.p, "alice", "A>B", "B>C/D", "C>A/X", "C/D>A")
        self.assertEqual({i: s for i, s in end.items()}.keys() >=
                         {INBOX, A, B, C, D}, True)
        for i in (A, C, D):
            self.assertEqual(self.tree()[i], end[i])
        self.agree()
        self.assertIn("replayed 0 groups", self.replay().out)

    def test_swap(self):
        """Goal: a swap in one call.  Method: twice is the identity."""
        self.account(ROWS)
        before = self.tree()
        self.mbj("rename", self.p, "alice", "A>B", "B>A")
        self.assertEqual(self.paths()["A"], B)
        self.assertEqual(self.paths()["A/D"], D, "inferiors move along")
        self.mbj("rename", self.p, "alice", "A>B", "B>A")
        self.assertEqual(self.tree(), before)
        self.agree()

    def test_parent_and_child_change_places(self):
        """Goal: A and A/C change places.  Method: rename both at once."""
        self.account(ROWS)
        self.mbj("rename", self.p, "alice", "A/C>A", "A>A/C")
        self.assertEqual(self.paths(), {"INBOX": INBOX, "A": C, "A/C": A,
                                        "B": B, "B/D": D})
        self.agree()

    def test_missing_parents_are_created(self):
        """Goal: RENAME makes superior names.  Method: rename below nothing."""
        self.account(ROWS)
        self.mbj("rename", self.p, "alice", "A>X/Y/A")
        self.assertEqual(self.paths()["X/Y/A"], A)
        self.assertEqual(self.paths()["X/Y/A/C"], C)
        listed = self.mbj("tree", self.p, "alice", "--json").json()["list"]
        made = [m for m in listed if m["name"] in ("X", "Y")]
        self.assertEqual([m["isSelectable"] for m in made], [False, False])
        self.agree()

    def test_escapes_and_utf7(self):
        """Goal: any name can be typed.  Method: > and \\ escaped; UTF-7."""
        self.account(ROWS + [(mailbox_id(20), "a>b\\c", None),
                             (mailbox_id(21), "日本語", None)])
        self.mbj("rename", self.p, "alice", "a\\>b\\\\c>plain")
        self.mbj("rename", self.p, "alice", "&ZeVnLIqe->Entw&APw-rfe",
                 "--utf7")
        self.assertIn("plain", self.paths())
        self.assertIn("Entwürfe", self.paths())

    def test_reconcile(self):
        """Goal: the tree becomes the list.  Method: moves, creates, deletes,
        INBOX left out; then again: nothing."""
        self.account(ROWS)
        new = mailbox_id(50)
        wanted = listing([(B, "C", None), (C, "B", None), (new, "A", B)])
        self.mbj("reconcile", self.p, "alice", stdin=wanted)
        self.assertEqual(self.tree(), {INBOX: (None, "INBOX"), B: (None, "C"),
                                       C: (None, "B"), new: (B, "A")})
        out = self.mbj("reconcile", self.p, "alice", stdin=wanted).out
        self.assertIn("nothing to do", out)
        self.agree()
        gone = self.mbj("reconcile", self.p, "alice", status=REFUSED,
                        stdin=listing([(A, "A", None)]))
        self.assertIn(A, gone.err)

    def test_replay_until_and_lag(self):
        """Goal: replay stops where told, verify tells lag.  Method: --until."""
        self.account(ROWS)
        self.mbj("rename", self.p, "alice", "A>Z")
        self.mbj("replay", self.p, self.r, "--until", 1)
        lag = self.mbj("verify", self.p, self.r, status=REFUSED)
        self.assertIn("replay first", lag.err)
        self.agree()

    def test_log_and_status(self):
        """Goal: what happened can be read.  Method: --json documents."""
        self.account(ROWS)
        self.mbj("rename", self.p, "alice", "A>B", "B>A")
        groups = self.mbj("log", self.p, "--json").json()["groups"]
        self.assertEqual([g["lsn"] for g in groups], [1, 2])
        one = self.mbj("log", self.p, "--json", "--from", 2).json()["groups"]
        self.assertEqual([g["lsn"] for g in one], [2])
        self.assertIn("mailbox-move", self.mbj("log", self.p).out)
        status = self.mbj("status", self.p, "--json").json()
        self.assertEqual((status["role"], status["applied"]), ("primary", 2))
        accounts = self.mbj("accounts", self.p, "--json").json()["list"]
        self.assertEqual([a["name"] for a in accounts], ["alice"])
        self.assertEqual(accounts[0]["mailboxes"], 5)
        for verb in ("accounts", "status"):
            self.assertIn("alice" if verb == "accounts" else "primary",
                          self.mbj(verb, self.p).out)


class Set(Case):
    def set(self, request, status=OK):
        return self.mbj("set", self.p, "alice", stdin=request,
                        status=status).json()

    def test_everything_at_once(self):
        """Goal: RFC 8621 Mailbox/set.  Method: create with references, swap,
        destroy, states."""
        imported = self.account(ROWS).json()
        response = self.set({
            "ifInState": imported["newState"],
            "create": {"k1": {"name": "New", "parentId": "#k2"},
                       "k2": {"name": "Top", "parentId": None,
                              "role": "archive", "isSubscribed": True}},
            "update": {A: {"name": "B"}, B: {"name": "A"}},
            "destroy": [C]})
        self.assertEqual(response["schema"], "mbj.set/1")
        self.assertEqual(sorted(response["created"]), ["k1", "k2"])
        self.assertEqual(response["destroyed"], [C])
        self.assertEqual(sorted(response["updated"]), sorted([A, B]))
        paths = self.paths()
        self.assertEqual(paths["Top/New"], response["created"]["k1"]["id"])
        self.assertEqual(paths["A"], B)
        self.agree()

    def test_state_mismatch(self):
        """Goal: ifInState guards.  Method: an old state; nothing happens."""
        self.account(ROWS)
        before = self.tree()
        error = self.set({"ifInState": "0", "destroy": [C]}, REFUSED)
        self.assertEqual(error["type"], "stateMismatch")
        self.assertEqual(self.tree(), before)

    def test_contradiction_refuses_exactly_one(self):
        """Goal: A under B and B under A.  Method: one of them, the same."""
        self.account(ROWS)
        request = {"update": {A: {"parentId": B}, B: {"parentId": A}}}
        response = self.set(request, REFUSED)
        self.assertEqual(list(response["updated"]), [A])
        self.assertEqual(list(response["notUpdated"]), [B])

    def test_final_tree_judges(self):
        """Goal: alreadyExists and mailboxHasChild are judged at the end.
        Method: destroy parent with child; take the name of a destroyed one."""
        self.account(ROWS)
        response = self.set({"destroy": [A, C], "update": {B: {"name": "A"}}})
        self.assertEqual(sorted(response["destroyed"]), sorted([A, C]))
        self.assertEqual(self.paths()["A"], B)
        refused = self.set({"destroy": [B]}, REFUSED)
        self.assertEqual(refused["notDestroyed"][B]["type"], "mailboxHasChild")
        refused = self.set({"create": {"k": {"name": "A"}}}, REFUSED)
        self.assertEqual(refused["notCreated"]["k"]["type"], "alreadyExists")

    def test_items_are_refused_alone(self):
        """Goal: one bad item costs that item.  Method: bad and good mixed."""
        self.account(ROWS)
        response = self.set({
            "create": {"bad": {"name": "a/b"}, "good": {"name": "Good"}},
            "update": {mailbox_id(77): {"name": "x"}, INBOX: {"name": "x"},
                       A: {"name": "ok", "totalEmails": 3}},
            "destroy": ["nonsense", INBOX]}, REFUSED)
        self.assertEqual(list(response["created"]), ["good"])
        self.assertEqual(response["notCreated"]["bad"]["type"],
                         "invalidProperties")
        self.assertEqual(response["notUpdated"][mailbox_id(77)]["type"],
                         "notFound")
        self.assertEqual(response["notUpdated"][A]["type"],
                         "invalidProperties")
        self.assertIn(INBOX, response["notUpdated"])
        self.assertIn(INBOX, response["notDestroyed"])
        self.assertIn("nonsense", response["notDestroyed"])
        self.assertEqual(self.paths()["A"], A)
        self.agree()


class Plan(Case):
    def plan(self, before, after, *options, status=OK):
        names = self.dir / "before.json", self.dir / "after.json"
        for name, document in zip(names, (before, after)):
            name.write_text(document if isinstance(document, str)
                            else json.dumps(document))
        return self.mbj("plan", "--before", names[0], "--after", names[1],
                        *options, status=status)

    def check(self, before, after, parks):
        before, after = listing(before), listing(after)
        plan = self.plan(before, after, "--json").json()
        self.assertEqual(simulate(tree_of(before), plan["steps"]),
                         tree_of(after))
        self.assertEqual(plan["parks"], parks)
        self.assertTrue(plan["proven"])
        self.assertEqual(len(plan["steps"]), plan["lowerBound"] + parks)

    def test_shortest(self):
        """Goal: known optima.  Method: the cases of the theory, foreign ids."""
        self.check([("w", "w", None), ("b", "b", "w"), ("v", "v", None)],
                   [("b", "w", None), ("v", "b", "b"), ("w", "w", "v")], 0)
        self.check([("a", "A", None), ("b", "B", None)],
                   [("a", "B", None), ("b", "A", None)], 1)
        self.check([("a", "A", None), ("b", "B", None), ("c", "C", None)],
                   [("a", "B", None), ("b", "C", None), ("c", "A", None)], 1)
        self.check([("x", "old", None)], [("y", "old", None)], 0)

    def test_deep_chain_upside_down(self):
        """Goal: depth is no limit.  Method: 3,000 levels inverted."""
        n = 3000
        down = [(f"i{i}", "n", f"i{i - 1}" if i else None) for i in range(n)]
        up = [(f"i{i}", "n", f"i{i + 1}" if i < n - 1 else None)
              for i in range(n)]
        plan = self.plan(listing(down), listing(up), "--json").json()
        self.assertEqual(simulate(tree_of(listing(down)), plan["steps"]),
                         tree_of(listing(up)))

    def test_inbox(self):
        """Goal: INBOX of a list stays.  Method: move it, delete it."""
        rows = [("i", "Inbox", None), ("a", "A", None)]
        for after in ([("i", "B", None), ("a", "A", None)],
                      [("a", "A", None)], [("i", "INBOX", "a"),
                                           ("a", "A", None)]):
            error = self.plan(listing(rows), listing(after), "--json",
                              status=REFUSED)
            self.assertEqual(json.loads(error.out)["schema"], "mbj.error/1")
        self.plan(listing(rows), listing([("i", "INBOX", None)]))

    def test_temp_is_reserved(self):
        """Goal: no confusion with parks.  Method: the id temp."""
        self.plan(listing([("temp", "A", None)]), listing([]), status=REFUSED)

    def test_dot_renders(self):
        """Goal: the drawing is a drawing.  Method: Graphviz takes it."""
        before = listing([("a", "A\"<&>\\n", None), ("b", "B", None)])
        after = listing([("a", "B", None), ("b", "A\"<&>\\n", None)])
        dot = self.plan(before, after, "--dot").out
        self.assertIn("digraph", dot)
        if not shutil.which("dot"):
            self.skipTest("no dot here")
        done = subprocess.run(["dot", "-Tsvg"], input=dot.encode(),
                              capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertIn(b"<svg", done.stdout)

    def test_against_a_store(self):
        """Goal: a plan for an account.  Method: same steps as -n."""
        self.account(ROWS)
        after = self.dir / "after.json"
        after.write_text(json.dumps(listing([(B, "A", None), (A, "B", None),
                                             (C, "C", A), (D, "D", B)])))
        plan = self.mbj("plan", self.p, "alice", "--after", after,
                        "--json").json()
        self.assertEqual((plan["lowerBound"], plan["parks"]), (2, 1))
        simulate(self.tree(), plan["steps"])
        self.mbj("plan", self.p, "alice", "--after", after)
        self.mbj("plan", self.p, "alice", "--after", after, "--dot")
        self.assertEqual(self.mbj("status", self.p, "--json").json()
                         ["applied"], 1, "nothing was journaled")


class Import(Case):
    def test_ids(self):
        """Goal: ids are kept or mapped.  Method: foreign, missing, ours."""
        self.stores()
        document = {"list": [{"id": "x1", "name": "A", "parentId": None},
                             {"name": "B", "parentId": "x1"},
                             {"id": C, "name": "inbox", "parentId": None}]}
        answer = self.mbj("import", self.p, "bob", stdin=document).json()
        paths = self.paths(name="bob")
        self.assertEqual(paths["INBOX"], C)
        self.assertEqual(sorted(paths), ["A", "A/B", "INBOX"])
        given = {m["given"]: m["id"] for m in answer["ids"]}
        self.assertEqual(given["x1"], paths["A"])
        self.assertIsNone(answer["inbox"])

    def test_inbox_is_made(self):
        """Goal: an account has an INBOX.  Method: a list without."""
        answer = self.account([(A, "A", None)])
        self.assertIn("INBOX", answer.err)
        self.assertEqual(self.paths()["INBOX"], answer.json()["inbox"])

    def test_round_trip(self):
        """Goal: tree --json is an import.  Method: import it elsewhere."""
        self.account(ROWS)
        text = self.mbj("tree", self.p, "alice", "--json").out
        self.mbj("import", self.p, "copy", stdin=text)
        self.assertEqual(self.tree(name="copy"), self.tree())
        self.mbj("reconcile", self.p, "alice", stdin=text)

    def test_folding(self):
        """Goal: folding accounts compare folded.  Method: case siblings."""
        self.stores()
        rows = [(A, "Straße", None), (B, "STRASSE", None)]
        self.mbj("import", self.p, "exact", stdin=listing(rows))
        self.mbj("import", self.p, "folded", "--fold-case", status=REFUSED,
                 stdin=listing(rows))
        self.mbj("import", self.p, "folded", "--fold-case",
                 stdin=listing(rows[:1]))
        self.mbj("rename", self.p, "folded", "STRASSE>STRASSE")
        self.assertEqual(self.tree(name="folded")[A], (None, "STRASSE"))
        self.agree()


class BadInput(Case):
    """Each is a clear error, and the store is as it was."""

    def setUp(self):
        super().setUp()
        self.account(ROWS)
        self.before = self.mbj("log", self.p).out

    def tearDown(self):
        if self.p.exists() and self.before:
            self.assertEqual(self.mbj("log", self.p).out, self.before)
            self.mbj("fsck", self.p)

    def refused(self, verb, stdin, *needles, account="alice"):
        result = self.mbj(verb, self.p, account, stdin=stdin, status=REFUSED)
        document = result.json()
        self.assertEqual(document["schema"], "mbj.error/1")
        self.assertEqual(result.err.count("\n"), 1, result.err)
        for needle in needles:
            self.assertIn(needle, result.err)
        return document

    def test_json(self):
        """Goal: broken documents are named.  Method: several kinds."""
        for text in ('{"list": [', "", "[]", '{"list": 3}', '{"list": [3]}',
                     '{"list":[]} x', '{"list":[],"list":[]}', "\xff",
                     "[" * 100000, '{"list":' + "[" * 100000,
                     '{"list":[{"id":"a","name":"\\ud800","parentId":null}]}'):
            for verb in ("import", "reconcile", "set"):
                if verb == "set" and text.startswith('{"list"') and \
                        "[" * 10 not in text and "x" not in text[-2:]:
                    continue
                raw = text.encode("latin-1") if text == "\xff" else text
                result = run(verb, self.p, "new" if verb == "import"
                             else "alice", stdin=raw)
                self.assertEqual(result.status, REFUSED,
                                 (verb, text[:40], result.err[:300]))

    def test_lists(self):
        """Goal: bad trees are named.  Method: one fault each."""
        x, y = mailbox_id(60), mailbox_id(61)
        for rows, needle in (
                ([(x, "X", y), (y, "Y", x)], x),
                ([(x, "X", x)], x),
                ([(x, "X", mailbox_id(99))], mailbox_id(99)),
                ([(x, "X", None), (x, "Y", None)], x),
                ([(x, "X", None), (y, "X", None)], "X"),
                ([(x, "é", None), (y, "e\u0301", None)], ""),
                ([(x, "a/b", None)], "a/b"),
                ([(x, "a\x01b", None)], "\\u{0001}"),
                ([(x, "", None)], ""),
                ([(x, "\u202eevil\x7f", None)], ""),
                ([(x, "n" * 256, None)], "255"),
                ([(x, "n" * (5 << 20), None)], "255"),
                ([(x, "INBOX", None), (y, "inbox", None)], "INBOX"),
                ([("0" * 32, "X", None)], ""),
                ([("f" * 32, "X", None)], "")):
            document = self.refused("import", listing(rows), needle,
                                    account="new")
            self.assertTrue(document["description"])

    def test_deep_list(self):
        """Goal: depth is bounded.  Method: 100,000 nested mailboxes."""
        rows = [(mailbox_id(100 + i), "n", mailbox_id(99 + i) if i else None)
                for i in range(100000)]
        self.refused("import", listing(rows), "4096", account="new")

    def test_reconcile_inbox(self):
        """Goal: INBOX keeps its identity.  Method: a list with another id."""
        self.refused("reconcile", listing([(mailbox_id(70), "INBOX", None)]),
                     "INBOX")
        self.refused("reconcile", listing([("x1", "A", None)]), "x1")

    def test_renames(self):
        """Goal: bad renames are named.  Method: one fault each."""
        for rename, needle in ((["INBOX>x"], "INBOX"), (["A>inbox"], "inbox"),
                               (["nope>x"], "nope"), (["A>B"], "B"),
                               (["A>A/x"], "A"), (["A>x", "A>y"], "A"),
                               (["A"], "A"), (["A>b//c"], ""),
                               (["A>x", "B>x"], "x"), (["A>B>C"], "")):
            result = self.mbj("rename", self.p, "alice", *rename,
                              status=REFUSED)
            self.assertIn(needle, result.err)
            self.assertEqual(result.json()["schema"], "mbj.error/1")

    def test_accounts(self):
        """Goal: unknown and taken accounts.  Method: name them."""
        for arguments in (("set", self.p, "bob"), ("tree", self.p, "bob"),
                          ("rename", self.p, "bob", "A>B")):
            result = self.mbj(*arguments, stdin="{}", status=FAILED)
            self.assertIn("bob", result.err)
        self.mbj("import", self.p, "alice", stdin=listing([]), status=REFUSED)

    def test_usage(self):
        """Goal: usage errors are 2 and say how.  Method: several."""
        for arguments in ((), ("frobnicate",), ("tree", self.p),
                          ("tree", self.p, "alice", "--nope"),
                          ("tree", self.p, "alice", "--dry-run"),
                          ("log", self.p, "--from", "x"), ("log", self.p,
                                                           "--from"),
                          ("init", self.dir / "x", "--role", "king"),
                          ("plan",), ("help", "nope")):
            self.assertEqual(run(*arguments).status, USAGE, arguments)

    def test_not_a_store(self):
        """Goal: foreign directories are left alone.  Method: several."""
        empty = self.dir / "empty"
        empty.mkdir()
        for place in (empty, self.dir / "absent", self.p / "journal"):
            result = self.mbj("status", place, status=FAILED)
            self.assertIn(str(place), result.err)
        self.assertEqual(list(empty.iterdir()), [])
        self.mbj("init", self.p, status=REFUSED)

    def test_other_lineage(self):
        """Goal: replicas are faithful.  Method: replay across lineages, onto
        a primary, onto one that is ahead."""
        self.replay()
        other = self.dir / "other"
        self.mbj("init", other)
        self.mbj("import", other, "alice", stdin=listing(ROWS))
        self.mbj("replay", other, self.r, status=REFUSED)
        self.mbj("replay", self.p, other, status=REFUSED)
        self.mbj("verify", self.p, other, status=REFUSED)
        self.mbj("set", self.r, "alice", stdin={"destroy": [C]},
                 status=REFUSED)

    def test_forks_and_ahead(self):
        """Goal: forks are found by chain.  Method: two copies diverge."""
        twin = self.dir / "twin"
        shutil.copytree(self.p, twin)
        ahead = self.dir / "ahead"
        shutil.copytree(self.p, ahead)
        self.mbj("rename", ahead, "alice", "A>X")
        self.mbj("rename", twin, "alice", "A>Y")
        self.mbj("replay", ahead, self.r)
        result = self.mbj("replay", self.p, self.r, status=REFUSED)
        self.assertIn("ahead", result.err)
        result = self.mbj("replay", twin, self.r, status=REFUSED)
        self.assertIn("fork", result.err)

    def test_locked(self):
        """Goal: two processes never share.  Method: hold one open."""
        holder = subprocess.Popen([MBJ, "set", self.p, "alice"],
                                  stdin=subprocess.PIPE,
                                  stdout=subprocess.DEVNULL)
        try:
            with open(self.p / "lock", "rb") as lock:
                import fcntl
                fcntl.flock(lock, fcntl.LOCK_EX)
                result = self.mbj("tree", self.p, "alice", status=LOCKED)
                self.assertIn("in use", result.err)
                self.mbj("log", self.p)
                self.mbj("status", self.p)
                self.mbj("replay", self.p, self.r)
        finally:
            holder.communicate(b"{}")

    def test_no_permission(self):
        """Goal: permissions are reported.  Method: group-writable store."""
        os.chmod(self.p, 0o770)
        result = run("tree", self.p, "alice")
        self.assertNotEqual(result.status, OK)
        self.assertIn(str(self.p), result.err)
        os.chmod(self.p, 0o700)

    def test_newer_and_foreign_superblock(self):
        """Goal: unknown formats are refused.  Method: change bytes."""
        path = self.p / "mbj.store"
        good = path.read_bytes()
        path.write_bytes(b"X" + good[1:])
        self.assertNotEqual(run("status", self.p).status, OK)
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        self.mbj("status", self.p, status=CORRUPT)
        path.write_bytes(good)
        self.mbj("status", self.p)


class Damage(Case):
    def test_flipped_byte_is_named(self):
        """Goal: damage never passes.  Method: flip bytes of a segment; the
        group or file is named, the replica keeps what is good."""
        self.account(ROWS)
        for n in range(20):
            self.mbj("rename", self.p, "alice",
                     f"{'A' if n % 2 == 0 else 'Z'}>"
                     f"{'Z' if n % 2 == 0 else 'A'}")
        segment, = (self.p / "journal").glob("*.seg")
        good = segment.read_bytes()
        used = len(good.rstrip(b"\0"))
        for at in range(40, used, max(1, used // 25)):
            bad = bytearray(good)
            bad[at] ^= 0x10
            segment.write_bytes(bytes(bad))
            result = run("fsck", self.p)
            self.assertEqual(result.status, CORRUPT, f"byte {at}")
            self.assertRegex(result.err, r"\.seg|group \d+|byte \d+")
        segment.write_bytes(good)
        self.mbj("fsck", self.p)

    def test_state_is_rebuilt(self):
        """Goal: Berkeley DB is expendable.  Method: delete it, zero a file,
        flip bytes in it; the tree is the same."""
        self.account(ROWS)
        self.mbj("rename", self.p, "alice", "A>B", "B>A")
        tree = self.tree()
        shutil.rmtree(self.p / "state")
        self.assertEqual(self.tree(), tree)
        for file in sorted((self.p / "state").iterdir()):
            size = file.stat().st_size
            if size == 0:
                continue
            file.write_bytes(b"\0" * size)
            self.mbj("fsck", self.p, "--rebuild")
            self.assertEqual(self.tree(), tree, file.name)
        self.mbj("fsck", self.p, "--rebuild")
        self.mbj("fsck", self.p)
        self.agree()


class Scale(Case):
    def test_full_disk(self):
        """Goal: a full disk costs nothing but time.  Method: a small tmpfs."""
        mount = self.dir / "small"
        mount.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none",
                           str(mount)], capture_output=True,
                          check=False).returncode != 0:
            self.skipTest("cannot mount here")
        self.addCleanup(subprocess.run, ["umount", "-l", str(mount)],
                        check=False)
        self.p = mount / "p"
        self.account(ROWS)
        with open(mount / "ballast", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(b"x" * 4096)
            except OSError:
                pass
        rows = ROWS + [(mailbox_id(1000 + i), f"m{i}", None)
                       for i in range(20000)]
        result = run("reconcile", self.p, "alice", stdin=listing(rows))
        self.assertNotEqual(result.status, OK)
        self.assertIn("space", result.err)
        (mount / "ballast").unlink()
        self.assertEqual(len(self.tree()), len(ROWS))
        self.mbj("fsck", self.p)
        self.mbj("rename", self.p, "alice", "A>Z")

    def test_many(self):
        """Goal: size is no limit.  Method: 20,000 mailboxes permuted."""
        ids = [mailbox_id(100 + i) for i in range(20000)]
        self.account([(INBOX, "INBOX", None)] +
                     [(m, f"m{i}", None) for i, m in enumerate(ids)])
        self.mbj("reconcile", self.p, "alice", stdin=listing(
            [(m, f"m{(i + 1) % len(ids)}", None) for i, m in enumerate(ids)]))
        self.assertEqual(self.paths()["m0"], ids[-1])
        self.agree()


class Help(unittest.TestCase):
    def test_every_verb_explains_itself(self):
        """Goal: help, man and completion exist.  Method: ask for them."""
        overview = run("help")
        self.assertEqual(overview.status, OK)
        verbs = [line.split()[0] for line in overview.out.split("\n")
                 if line.startswith("  ") and line.split()]
        self.assertGreaterEqual(len(verbs), 15)
        for verb in verbs:
            self.assertEqual(run("help", verb).status, OK, verb)
        self.assertIn(".SH EXIT STATUS", run("help", "--man").out)
        self.assertIn("complete ", run("help", "--completion", "bash").out)
        self.assertIn("mbj", run("version").out)
        self.assertEqual(run("version", "--json").json()["schema"],
                         "mbj.version/1")


if __name__ == "__main__":
    unittest.main(verbosity=1)
