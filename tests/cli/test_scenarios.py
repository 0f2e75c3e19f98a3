#!/usr/bin/env python3
"""What other replication has stumbled over, by name, through the command.

Sources: Cyrus imapd 3.6.1 and 3.12.3 (sync_client, do_folders() in
imap/sync_support.c, pull requests 6318 and 6450) and Dovecot 2.3.19 (dsync and
its replicator, src/doveadm/dsync/test-dsync-mailbox-tree-sync.c), both driven
over IMAP.  Each test says what the peer did.

Every scenario ends alike: the replica equals the primary; each mailbox that
was not deleted has its id; subscriptions have followed; and no pair of name
and UIDVALIDITY has ever meant two mailboxes, on either side, at any time that
was looked at.

Not here, for they need messages or a network: RENAME INBOX's messages, both
sides expunging, lag while disconnected, a move during a failover; and swapping
the names of two accounts, for which there is no verb.  A disk that is full in
mid-append is test_scale.py's.
"""
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import (Case, MBJ, REFUSED, listing, mailbox_id,  # noqa: E402
                     run, seed)


class Scenario(Case):
    def start(self, *paths, subscribed=(), options=()):
        """An account with these paths, their parents and INBOX."""
        self.stores()
        self.ids, self.pairs = {}, {}
        rows = []
        for path in ("INBOX", *paths):
            parts = path.split("/")
            for n in range(1, len(parts) + 1):
                name = "/".join(parts[:n])
                if name not in self.ids:
                    self.ids[name] = mailbox_id(len(self.ids) + 16)
                    above = "/".join(parts[:n - 1])
                    rows.append({"id": self.ids[name], "name": parts[n - 1],
                                 "parentId": self.ids.get(above),
                                 "isSubscribed": name in subscribed})
        self.mbj("import", self.p, "alice", *options, stdin={"list": rows})
        self.replay()
        self.observe()

    def observe(self, store=None):
        """A pair of name and UIDVALIDITY means one mailbox for ever."""
        seen = self.by_path(store)
        for path, mailbox in seen.items():
            if mailbox["uidValidity"] is None:  # \NonExistent
                continue
            pair = path, mailbox["uidValidity"]
            self.assertEqual(self.pairs.setdefault(pair, mailbox["id"]),
                             mailbox["id"], f"{path} with UIDVALIDITY")
        return seen

    def rename(self, *renames):
        self.mbj("rename", self.p, "alice", "--", *renames)

    def each(self, *renames):
        """One group for each, all within one replication event."""
        for rename in renames:
            self.rename(rename)
            self.observe()

    def delete(self, *paths):
        here = self.paths()
        self.mbj("set", self.p, "alice",
                 stdin={"destroy": [here[path] for path in paths]})
        self.observe()

    def create(self, path):
        above, _, name = path.rpartition("/")
        self.mbj("set", self.p, "alice", stdin={"create": {"k": {
            "name": name, "parentId": self.paths()[above] if above else None,
        }}})
        self.observe()

    def settle(self, expected, subscribed=None):
        """Replay; expected: {path now: path at the start, or None for new},
        INBOX left out."""
        self.agree()
        self.assertIn("replayed 0 groups", self.replay().out)
        ends = []
        for store in (self.p, self.r):
            ends.append(self.observe(store))
            paths = {path: m["id"] for path, m in ends[-1].items()}
            self.assertEqual(set(paths), {"INBOX", *expected})
            self.assertEqual(paths["INBOX"], self.ids["INBOX"])
            for now, then in expected.items():
                if then is None:
                    self.assertNotIn(paths[now], self.ids.values(), now)
                else:
                    self.assertEqual(paths[now], self.ids[then], now)
            if subscribed is not None:
                self.assertEqual(sorted(p for p, m in ends[-1].items()
                                        if m["isSubscribed"]),
                                 sorted(subscribed))
        self.assertEqual(ends[0], ends[1], "all that a client sees")


class Cyrus(Scenario):
    """STUCK: the channel of every user stops and never converges."""

    def test_swap_through_a_temporary_name(self):
        """3.6.1: STUCK."""
        self.start("A/x", "B/y", subscribed=["A", "B/y"])
        self.each("A>T", "B>A", "T>B")
        self.settle({"A": "B", "A/y": "B/y", "B": "A", "B/x": "A/x"},
                    ["A/y", "B"])

    def test_swap_in_one_event(self):
        """JMAP Mailbox/set: leaves tmp_<name>_<uuid> where it is cut off."""
        self.start("A/x", "B/y", subscribed=["A", "B/y"])
        self.rename("A>B", "B>A")
        self.settle({"A": "B", "A/y": "B/y", "B": "A", "B/x": "A/x"},
                    ["A/y", "B"])

    def test_swap_through_a_name_in_use(self):
        """3.6.1 and 3.12.3: STUCK."""
        self.start("A", "B", "T")
        self.each("T>U", "A>T", "B>A", "T>B", "U>T")
        self.settle({"A": "B", "B": "A", "T": "T"})

    def test_the_same_swap_again_later(self):
        """3.6.1 and 3.12.3: STUCK."""
        self.start("A", "B")
        for end in ({"A": "B", "B": "A"}, {"A": "A", "B": "B"}):
            self.each("A>T", "B>A", "T>B")
            self.settle(end)

    def test_3_cycle_and_again(self):
        """3.6.1: STUCK; 3.12.3: renames back and forth 115 times a second."""
        self.start("A", "B", "C", subscribed=["A"])
        self.rename("A>B", "B>C", "C>A")
        self.settle({"B": "A", "C": "B", "A": "C"}, ["B"])
        self.each("A>T", "C>A", "B>C", "T>B")
        self.settle({"C": "A", "A": "B", "B": "C"}, ["C"])

    def test_parent_and_child_change_places(self):
        """3.6.1: STUCK."""
        self.start("A/B/c", subscribed=["A", "A/B"])
        self.rename("A/B>A", "A>A/B")
        self.settle({"A": "A/B", "A/c": "A/B/c", "A/B": "A"}, ["A", "A/B"])
        self.each("A/B>T", "A>T/B", "T>A")
        self.settle({"A": "A", "A/B": "A/B", "A/B/c": "A/B/c"})

    def test_subtrees_of_different_depth_swap(self):
        """3.6.1: STUCK, once half applied: children moved, parents not."""
        self.start("A/b/c/d", "X/y")
        self.each("A/b/c>T", "X>A/b/c", "T>X")
        self.settle({"A": "A", "A/b": "A/b", "A/b/c": "X", "A/b/c/y": "X/y",
                     "X": "A/b/c", "X/d": "A/b/c/d"})

    def test_intermediate_mailboxes_swap(self):
        """3.6.1: STUCK."""
        self.start("R/A/x", "R/B/y", subscribed=["R/A/x"])
        self.each("R/A>R/T", "R/B>R/A", "R/T>R/B")
        self.settle({"R": "R", "R/B": "R/A", "R/B/x": "R/A/x", "R/A": "R/B",
                     "R/A/y": "R/B/y"}, ["R/B/x"])

    def test_delete_then_rename_onto_the_name(self):
        """3.6.1 and 3.12.3: STUCK.  Pull request 6318: the replica deleted
        the wrong mailbox because its name had been reused."""
        self.start("A", "B")
        self.delete("B")
        self.rename("A>B")
        self.settle({"B": "A"})

    def test_delete_then_create_the_name(self):
        """3.6.1 and 3.12.3: STUCK."""
        self.start("A", "B")
        self.delete("B")
        self.create("B")
        self.settle({"A": "A", "B": None})

    def test_delete_a_subtree_then_reuse_its_names(self):
        """3.6.1 and 3.12.3: STUCK."""
        self.start("A/x", "B/x")
        self.delete("B/x", "B")
        self.rename("A>B")
        self.create("A")
        self.settle({"B": "A", "B/x": "A/x", "A": None})

    def test_delete_and_rename_onto_it_in_one_event(self):
        """3.6.1 and 3.12.3: STUCK."""
        self.start("A", "B", "C")
        here = self.paths()
        self.mbj("set", self.p, "alice", stdin={
            "destroy": [here["B"]],
            "update": {here["A"]: {"name": "B"}, here["C"]: {"name": "A"}}})
        self.settle({"B": "A", "A": "C"})

    def test_long_cycles(self):
        """3.6.1: STUCK, not one rename sent."""
        self.start(*(f"m{i}" for i in range(1000)))
        for n in (10, 100, 1000):
            self.rename(*(f"m{i}>m{(i + 1) % n}" for i in range(n)))
            self.observe()
        now = {f"m{i}": f"m{i}" for i in range(1000)}
        for n in (10, 100, 1000):
            now = {f"m{(i + 1) % n}" if i < n else f"m{i}": now[f"m{i}"]
                   for i in range(1000)}
        self.settle(now)

    def test_many_swaps_through_one_name(self):
        """50 of them, 3.6.1: STUCK; 3.12.3: after 49 failed passes."""
        count = 16
        self.start(*(f"{c}{i}" for i in range(count) for c in "ab"))
        for i in range(count):
            for rename in (f"a{i}>T", f"b{i}>a{i}", f"T>b{i}"):
                self.rename(rename)
        self.settle({f"{c}{i}": f"{'ab'[c == 'a']}{i}" for i in range(count)
                     for c in "ab"})

    def test_swap_of_names_that_differ_in_case(self):
        """3.6.1: STUCK."""
        self.start("Work", "work", "W\u00f6rk/x")
        self.each("Work>T", "work>Work", "T>work")
        self.settle({"Work": "work", "work": "Work", "W\u00f6rk": "W\u00f6rk",
                     "W\u00f6rk/x": "W\u00f6rk/x"})

    def test_case_and_normalisation_of_one_name(self):
        """3.6.1: STUCK for names that differ in normalisation only.  Here
        these are one name: a second is refused, a change of form is done."""
        self.start("Caf\u00e9", options=["--fold-case"])
        self.mbj("set", self.p, "alice", status=REFUSED, stdin={
            "create": {"k": {"name": "cafe\u0301"}}})
        self.rename("CAFE\u0301>caf\u00e9")
        self.settle({"caf\u00e9": "Caf\u00e9"})

    def test_rename_inbox(self):
        """3.6.1 and 3.12.3: the server process crashes, an empty target is
        left.  Dovecot: 0 of 36 correct.  Here: INBOX keeps its id, a new
        mailbox takes the name; to swap INBOX with another one is refused."""
        self.start("A")
        for renames in (["INBOX>A", "A>INBOX"], ["A>INBOX"]):
            refused = self.mbj("rename", self.p, "alice", *renames,
                               status=REFUSED)
            self.assertIn("INBOX", refused.err)
        self.settle({"A": "A"})
        self.rename("INBOX>x")
        self.settle({"A": "A", "x": None})

    def test_two_shared_folders_swap(self):
        """Not replicated, the event sometimes dropped in silence."""
        self.start("A", "B")
        self.mbj("import", self.p, "shared", stdin=listing(
            [(mailbox_id(900), "team", None), (mailbox_id(901), "old",
                                               None)]))
        self.mbj("rename", self.p, "shared", "team>old", "old>team")
        self.settle({"A": "A", "B": "B"})
        self.assertEqual(self.paths(self.r, "shared")["team"],
                         mailbox_id(901))

    def test_killed_between_the_rename_and_the_log(self):
        """3.6.1: the replica stays wrong until that mailbox is touched."""
        self.start("A", "B")
        rng = seed()
        for _ in range(6):
            with subprocess.Popen([MBJ, "rename", str(self.p), "alice",
                                   "A>B", "B>A"], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as process:
                time.sleep(rng.uniform(0, 0.06))
                process.send_signal(signal.SIGKILL)
            self.observe()
            self.replay()
            self.mbj("verify", self.p, self.r)
        a_is_a = self.paths()["A"] == self.ids["A"]
        self.settle({"A": "AB"[not a_is_a], "B": "BA"[not a_is_a]})

    def test_what_cyrus_can_do(self):
        """Chains, relays, inversions, subtrees that enter each other, rename
        and re-create: converges there, too."""
        self.start("A/a/b", "B/c", "C")
        self.each("C>D", "B>C", "A>B")          # a chain, last first
        self.each("D>C/c/D", "B/a/b>E")         # into and out of subtrees
        self.create("A")                        # the old name again
        self.rename("C/c>B", "B>C/c")           # an inversion over a branch
        self.settle({"C": "B", "C/c": "A", "C/c/a": "A/a", "B": "B/c",
                     "B/D": "C", "E": "A/a/b", "A": None})

    def test_a_name_that_a_stricter_policy_refuses(self):
        """Pull request 6450: a check of names on the replica blocked users'
        moves.  Here a replica checks safety alone."""
        odd = [" lead", "trail ", "~user", "%", "*", "#news", "a%b*c", "..",
               "con", "-n", "\\back", "\"quote\"", "x" * 255, "\u65e5" * 85,
               "\U0001f4e7", "{0}", "&", "&-", "INBOX "]
        self.start(*odd)
        count = len(odd)
        escaped = [n.replace("\\", "\\\\") for n in odd]
        self.rename(*(f"{escaped[i]}>{escaped[(i + 1) % count]}"
                      for i in range(count)))
        self.settle({odd[(i + 1) % count]: odd[i] for i in range(count)})


class Dovecot(Scenario):
    """dsync infers renames from two trees and timestamps of one second."""

    def test_delete_b_rename_a_onto_b(self):
        """The deleted B comes back on both sides as B-temp-1; exit 0."""
        self.start("A", "B", subscribed=["A", "B"])
        self.delete("B")
        self.rename("A>B")
        self.settle({"B": "A"}, ["B"])

    def test_long_names_that_are_not_ascii_swap(self):
        """The replica's server panics at every run, for ever."""
        first, second = "\u6c34" * 40, "\u706b" * 40
        self.start(f"{first}/x", second)
        self.each(f"{first}>T", f"{second}>{first}", f"T>{second}")
        self.settle({first: second, second: first, f"{second}/x":
                     f"{first}/x"})

    def test_400_deletes_in_8_sessions(self):
        """300 folders resurrected, exit 0, nothing logged: the log of
        changes holds 2 x 4 KiB."""
        self.start(*(f"m{i}" for i in range(401)))
        for session in range(8):
            self.delete(*(f"m{i}" for i in range(50 * session,
                                                 50 * session + 50)))
        self.settle({"m400": "m400"})

    def test_400_renames_in_8_sessions(self):
        """200 undone on the primary, exit 0."""
        self.start(*(f"m{i}" for i in range(400)))
        for session in range(8):
            self.rename(*(f"m{i}>n{i}" for i in range(50 * session,
                                                      50 * session + 50)))
            self.observe()
        self.settle({f"n{i}": f"m{i}" for i in range(400)})

    def test_one_folder_renamed_8_times_in_a_second(self):
        """Replicator: the last name kept in 0 of 16 trials."""
        self.start("n0")
        for i in range(8):
            self.rename(f"n{i}>n{i + 1}")
        self.settle({"n8": "n0"})

    def clock(self, seconds, *arguments):
        """Run with a clock that is wrong by so much."""
        shift = os.environ.get("MBJ_CLOCK")
        if not shift:
            self.skipTest("MBJ_CLOCK names no library that shifts the clock")
        return run(*arguments, env={**os.environ, "LD_PRELOAD": shift,
                                    "MBJ_CLOCK_SHIFT": str(seconds)})

    def test_a_clock_two_seconds_ahead(self):
        """The second rename of a folder is undone on the primary."""
        self.start("A")
        self.rename("A>B")
        replayed = self.clock(2, "replay", self.p, self.r)
        self.assertEqual(replayed.status, 0, replayed.err)
        self.rename("B>C")
        self.settle({"C": "A"})

    def test_a_clock_that_jumps_a_day(self):
        """Renames ordered by time; here time is a remark, LSNs order."""
        self.start("A")
        for shift, rename in ((0, "A>B"), (86400, "B>C"), (-86400, "C>D"),
                              (0, "D>E")):
            done = self.clock(shift, "rename", self.p, "alice", rename)
            self.assertEqual(done.status, 0, done.err)
        times = [g["time"] for g in self.mbj("log", self.p, "--json")
                 .json()["groups"][1:]]
        self.assertNotEqual(times, sorted(times), "the clock did jump")
        self.settle({"E": "A"})

    def test_replica_killed_in_the_middle_of_a_rotation(self):
        """10 of 10 leave -temp-1 names, which the next run copies to the
        primary."""
        self.start("A/a", "B/b", "C/c")
        rng = seed()
        for _ in range(7):
            self.rename("A>B", "B>C", "C>A")
            with subprocess.Popen([MBJ, "replay", str(self.p), str(self.r)],
                                  stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as process:
                time.sleep(rng.uniform(0, 0.06))
                process.send_signal(signal.SIGKILL)
            names = {p.split("/")[0] for p in self.observe(self.r)}
            self.assertEqual(names, {"INBOX", "A", "B", "C"})
        self.settle({"B": "A", "B/a": "A/a", "C": "B", "C/b": "B/b", "A": "C",
                     "A/c": "C/c"})

    def test_renames_while_replaying(self):
        """Up to 7 of 1,000 mailboxes get a new identity."""
        self.start(*(f"m{i}" for i in range(1000)))
        rng = seed()
        now = {f"m{i}": f"m{i}" for i in range(1000)}
        for _ in range(4):
            names = rng.sample(sorted(now), 100)
            targets = names[1:] + names[:1]
            with subprocess.Popen([MBJ, "replay", str(self.p), str(self.r)],
                                  stdout=subprocess.DEVNULL) as replay:
                self.rename(*(f"{a}>{b}" for a, b in zip(names, targets)))
                self.assertEqual(replay.wait(), 0)
            moved = {b: now[a] for a, b in zip(names, targets)}
            now.update(moved)
        self.settle(now)

    def test_delete_on_one_side_while_the_other_renames(self):
        """The mail is lost, exit 0.  Here the replica takes no edits."""
        self.start("X")
        x = self.paths()["X"]
        self.rename("X>Y")
        refused = self.mbj("set", self.r, "alice", stdin={"destroy": [x]},
                           status=REFUSED)
        self.assertIn("replica", refused.err)
        self.settle({"Y": "X"})

    def test_both_sides_create_the_same_name(self):
        """Identities swap at every run, never converges."""
        self.start("A")
        self.create("N")
        self.mbj("set", self.r, "alice", status=REFUSED,
                 stdin={"create": {"k": {"name": "N"}}})
        self.settle({"A": "A", "N": None})


class Others(Scenario):
    """What is no one peer's."""

    def test_a_name_passed_on_across_accounts(self):
        """A to C to B in two accounts, in turns: one order for all."""
        self.start("A", "B", "C")
        self.mbj("import", self.p, "bob", stdin=listing(
            [(mailbox_id(900 + i), n, None) for i, n in enumerate("ABC")]))
        for rename in ("B>T", "C>B", "A>C", "T>A"):
            self.rename(rename)
            self.mbj("rename", self.p, "bob", rename)
        self.settle({"B": "C", "C": "A", "A": "B"})
        self.assertEqual(self.paths(self.r, "bob"), self.paths(self.p, "bob"))

    def test_replica_restarted_in_mid_stream(self):
        """Group by group, each by a new process, some asked for again."""
        self.start("A", "B")
        for _ in range(6):
            self.rename("A>B", "B>A")
        for until in (2, 2, 4, 1, 5, 7):
            self.mbj("replay", self.p, self.r, "--until", until)
            self.observe(self.r)
        self.settle({"A": "A", "B": "B"})

    def test_a_dead_primary_that_comes_back_and_writes(self):
        """Its journal has forked: the replica of the other refuses it, by
        the chain, with what it has untouched."""
        self.start("A", "B")
        old = self.dir / "old"
        shutil.copytree(self.p, old)
        self.rename("A>new")
        self.mbj("rename", old, "alice", "A>stale")
        self.mbj("rename", old, "alice", "B>stale2")
        self.replay()
        refused = self.mbj("replay", old, self.r, status=REFUSED)
        self.assertIn("fork", refused.err)
        self.settle({"new": "A", "B": "B"})

    def test_subscriptions_that_stay_with_names(self):
        """The other policy: --keep-subscriptions."""
        self.start("A", "B", subscribed=["A"])
        self.mbj("rename", self.p, "alice", "A>B", "B>A",
                 "--keep-subscriptions")
        self.settle({"A": "B", "B": "A"}, ["A"])

    def test_random_renames_and_deletes(self):
        """A history of everything at once, seeded, in few events."""
        names = [f"m{i}" for i in range(8)]
        self.start(*names, *(f"{n}/c" for n in names))
        rng = seed()
        for _ in range(8):
            here = [p for p in self.observe() if p != "INBOX"]
            picked = rng.sample(here, min(4, len(here)))
            targets = picked[:]
            random.Random(rng.random()).shuffle(targets)
            result = run("rename", self.p, "alice", *(
                f"{a}>{b}" for a, b in zip(picked, targets) if a != b))
            self.assertIn(result.status, (0, 2, REFUSED), result.err)
            if rng.random() < 0.3:
                self.replay()
        self.agree()
        self.assertEqual(self.tree(self.r), self.tree(self.p))


if __name__ == "__main__":
    unittest.main(verbosity=1)
