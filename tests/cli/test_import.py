#!/usr/bin/env python3
"""Importing accounts.
"""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import (A, B, C, Case, INBOX, REFUSED, ROWS, listing)  # noqa: E402


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


if __name__ == "__main__":
    unittest.main(verbosity=1)
