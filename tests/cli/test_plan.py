#!/usr/bin/env python3
"""Plans without and with a store, checked by a simulation of their own.
"""
import json
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import (A, B, C, Case, D, INBOX, OK, REFUSED, ROWS,  # noqa: E402
                     listing, run, simulate, tree_of)


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

    def test_piped_into_itself(self):
        """Goal: the tree of a store can be the list of a plan for it.
        Method: a pipe whose writer opens the store late."""
        self.account(ROWS)
        done = subprocess.run(
            ["sh", "-c", '(sleep 0.3; exec "$MBJ" tree "$0" alice --json) | '
             '"$MBJ" plan "$0" alice --after -', str(self.p)],
            capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (OK, ""))
        self.assertIn("no mailbox changes", done.stdout)

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


if __name__ == "__main__":
    unittest.main(verbosity=1)
