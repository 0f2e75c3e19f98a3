#!/usr/bin/env python3
"""The main job, from outside: compound renames, reconcile, replay, verify.
"""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import (A, B, C, Case, D, INBOX, REFUSED, ROWS,  # noqa: E402
                     listing, mailbox_id, simulate)


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
        said = self.mbj("log", self.p).out
        self.assertIn("mailbox-move", said)
        status = self.mbj("status", self.p, "--json").json()
        self.assertEqual((status["role"], status["applied"]), ("primary", 2))
        accounts = self.mbj("accounts", self.p, "--json").json()["list"]
        self.assertEqual([a["name"] for a in accounts], ["alice"])
        self.assertEqual(accounts[0]["mailboxes"], 5)
        self.assertEqual(said.count(f"  account {accounts[0]['id']}, "), 2)
        for verb in ("accounts", "status"):
            self.assertIn("alice" if verb == "accounts" else "primary",
                          self.mbj(verb, self.p).out)


if __name__ == "__main__":
    unittest.main(verbosity=1)
