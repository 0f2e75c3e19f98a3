#!/usr/bin/env python3
"""Bad input: each a clear error, and the store as it was.
"""
import json
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import (A, Case, FAILED, INBOX, MBJ, REFUSED,  # noqa: E402
                     ROWS, USAGE, listing, mailbox_id, run, truth)


class BadInput(Case):
    """Each is a clear error, and the store is as it was."""

    def setUp(self):
        super().setUp()
        self.account(ROWS)
        self.replay()
        self.before = truth(self.p)

    def tearDown(self):
        """The journal byte for byte, the state by its digests."""
        self.assertEqual(truth(self.p), self.before)
        self.mbj("verify", self.p, self.r)
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

    def test_names_that_meet_after_normalisation(self):
        """Goal: NFC decides.  Method: two forms of one name as siblings, by
        every way in."""
        composed, decomposed = "caf\u00e9", "cafe\u0301"
        x, y = mailbox_id(60), mailbox_id(61)
        rows = [(x, composed, None), (y, decomposed, None)]
        self.refused("import", listing(rows), y, account="new")
        self.refused("reconcile", listing(rows), y)
        before, after = self.dir / "b.json", self.dir / "a.json"
        before.write_text(json.dumps(listing([])))
        after.write_text(json.dumps(listing(rows)))
        self.mbj("plan", "--before", before, "--after", after,
                 status=REFUSED)
        self.mbj("rename", self.p, "alice", f"A>{composed}",
                 f"B>{decomposed}", status=REFUSED)
        answer = self.mbj("set", self.p, "alice", "-n", status=REFUSED, stdin={
            "create": {"k": {"name": composed}, "l": {"name": decomposed}}})
        self.assertIn("1 of the changes was refused", answer.err)

    def test_inbox_stays(self):
        """Goal: INBOX is not moved, deleted or doubled.  Method: by every
        way in; set refuses the item alone."""
        for edit in ({"update": {INBOX: {"name": "x"}}},
                     {"update": {INBOX: {"parentId": A}}},
                     {"destroy": [INBOX]},
                     {"update": {A: {"name": "inbox"}}},
                     {"create": {"k": {"name": "iNbOx"}}}):
            answer = self.mbj("set", self.p, "alice", stdin=edit,
                              status=REFUSED).json()
            self.assertIsNone(answer["lsn"], edit)
        for rows in ([(INBOX, "x", None)], [(INBOX, "INBOX", A),
                                            (A, "A", None)],
                     [(A, "INBOX", None)]):
            self.refused("reconcile", listing(rows), "INBOX")
        for rename in (["A>INBOX"], ["INBOX>A", "A>INBOX"]):
            self.mbj("rename", self.p, "alice", *rename, status=REFUSED)

    def test_large_names_and_depths_in_a_set(self):
        """Goal: limits refuse the item, not the request.  Method: 5 MiB of
        name, 100,000 creates each below the one before."""
        answer = self.mbj("set", self.p, "alice", status=REFUSED, stdin={
            "create": {"k": {"name": "n" * (5 << 20)}}}).json()
        self.assertIn("255", answer["notCreated"]["k"]["description"])
        deep = {f"k{i}": {"name": "n", "parentId": f"#k{i - 1}" if i else None}
                for i in range(100000)}
        answer = self.mbj("set", self.p, "alice", "-n", "--json",
                          stdin={"create": deep}, status=REFUSED)
        self.assertEqual(answer.json()["lowerBound"], 4096)
        self.assertIn("95904 of the changes", answer.err)

    def test_account_names(self):
        """Goal: names of accounts are judged, and shown escaped.  Method:
        none, too long, not UTF-8, an escape sequence."""
        self.mbj("import", self.p, "", stdin=listing([]), status=REFUSED)
        self.mbj("import", self.p, "n" * 256, stdin=listing([]),
                 status=REFUSED)
        result = self.mbj("tree", self.p, "a\x1b[31m\nb", status=FAILED)
        self.assertIn("a\\x1b[31m\\nb", result.err)
        self.assertEqual(result.err.count("\n"), 1)
        done = subprocess.run([MBJ, "import", str(self.p), b"\xff"],
                              input=b'{"list":[]}', capture_output=True,
                              check=False)
        self.assertEqual(done.returncode, REFUSED)

    def test_huge_standard_input(self):
        """Goal: a document is bounded before it is parsed.  Method: what is
        read is counted by what a pipe takes; a list of 100 MiB."""
        chunk = b'{"id":"x","name":"' + b"n" * 1000 + b'","parentId":3},'
        with subprocess.Popen([MBJ, "import", str(self.p), "new"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            process.stdin.write(b'{"list":[')
            for _ in range(100):
                process.stdin.write(chunk * 1000)
            out, err = process.communicate()
        self.assertEqual(process.returncode, REFUSED)
        self.assertEqual(json.loads(out)["schema"], "mbj.error/1")
        self.assertLess(len(err), 1000)

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
        for rename, needle in ((["INBOX>A"], "A"), (["A>inbox"], "inbox"),
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
        after = self.dir / "after.json"
        after.write_text(json.dumps(listing([])))
        for arguments in (("set", self.p, "bob"), ("tree", self.p, "bob"),
                          ("rename", self.p, "bob", "A>B"),
                          ("reconcile", self.p, "bob"),
                          ("plan", self.p, "bob", "--after", after)):
            result = self.mbj(*arguments, "--json", stdin="{}", status=FAILED)
            self.assertIn("bob", result.err)
            self.assertEqual(result.json()["type"], "accountNotFound")
        self.mbj("import", self.p, "alice", stdin=listing([]), status=REFUSED)

    def test_usage(self):
        """Goal: usage errors are 2 and say how.  Method: several."""
        for arguments in ((), ("frobnicate",), ("tree", self.p),
                          ("tree", self.p, "alice", "--nope"),
                          ("tree", self.p, "alice", "--dry-run"),
                          ("log", self.p, "--from", "x"), ("log", self.p,
                                                           "--from"),
                          ("log", self.p, "--from", " 1"),
                          ("log", self.p, "--from", "-1"),
                          ("log", self.p, "--from", "18446744073709551616"),
                          ("plan", "--before", "-", "--after", "-"),
                          ("plan", "--before", "x", "--after", "y", "--dot",
                           "--json"),
                          ("tree", self.p, "alice", "--json=1"),
                          ("init", self.dir / "x", "--role", "king"),
                          ("plan",), ("help", "nope")):
            self.assertEqual(run(*arguments).status, USAGE, arguments)


if __name__ == "__main__":
    unittest.main(verbosity=1)
