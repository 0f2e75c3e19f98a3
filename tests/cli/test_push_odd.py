"""mbj push against servers that answer as none that can be installed does:
nothing is lost, nothing is taken for what it is not."""
import itertools
import os
import random
import shutil
import unittest

import mbjtest
from mbjtest import INBOX, FAILED, OK, PARTIAL, REFUSED, mailbox_id
import oddimap

A, B, C, D = (mailbox_id(n) for n in (10, 11, 12, 13))
TOP = (INBOX, "INBOX", None)


class PushOdd(mbjtest.Case):
    def serve(self, *rows, **flags):
        """A server of its own, to which these rows were pushed."""
        self.server = oddimap.Server(**flags)
        self.addCleanup(self.server.stop)
        self.mbj("init", self.p)
        self.mbj("import", self.p, "alice", stdin=mbjtest.listing([TOP]))
        self.reconcile(*rows)
        self.push()

    def reconcile(self, *rows):
        self.mbj("reconcile", self.p, "alice",
                 stdin=mbjtest.listing([TOP, *rows]))

    def push(self, *options, status=OK, store=None, env=()):
        del self.server.commands[:]
        self.server.is_down = False
        result = mbjtest.run(
            "push", store or self.p, "alice",
            f"imap://u@127.0.0.1:{self.server.port}", "--state",
            self.dir / "state", *options,
            env=dict(os.environ, MBJ_PUSH_PASSWORD="x", **dict(env)))
        self.assertIn(result.status, status if isinstance(status, tuple)
                      else (status,), result.out + result.err)
        return result

    def untold(self, has_ids):
        """Of a mailbox whose messages nobody counts all may be there."""
        self.serve((A, "A", None), (B, "B", None), has_ids=has_ids)
        self.server.boxes["A"].messages = 3
        word = "EXAMINE" if has_ids else "STATUS"
        whole = getattr(self.server, "do_" + word.lower())

        def untelling(asked, names):
            if asked != word or names[0] not in self.server.boxes:
                return None
            return [line.replace("MESSAGES 3 ", "").replace("MESSAGES 0 ", "")
                    for line in whole(*names) if "EXISTS" not in line]
        before = self.server.numbers()
        self.reconcile((B, "B", None))
        self.server.bend = untelling
        self.assertIn("does not tell", self.push(status=REFUSED).err)
        self.assertEqual(self.server.numbers(), before)
        # One that tells at first, and not before the DELETE.
        self.server.boxes["A"].messages = 0
        asked = []

        def later(word_asked, names):
            if word_asked == word and names[0] == "A":
                asked.append(names)
                if len(asked) > 1:
                    return untelling(word_asked, names)
            return None
        self.server.bend = later
        self.assertIn("does not tell", self.push(status=REFUSED).err)
        self.assertEqual(self.server.numbers(), before)
        # One that had mail once is empty when that is told.
        tell = whole("A")
        self.server.bend = lambda w, names: [
            line.replace("UIDNEXT 1", "UIDNEXT 7") for line in tell
        ] if w == word and names[0] == "A" and "A" in self.server.boxes \
            else None
        self.push()
        self.assertNotIn("A", self.server.boxes)

    def test_nameless(self):
        """One that cannot have its name there gives way to another one that
        gets its old one, along with what is below it."""
        self.serve((A, "A", None), (B, "B", None), (C, "x", A))
        was = self.server.numbers()
        aside = "mbj-parked-" + A
        self.reconcile((A, "mbj-parked-no", None), (B, "A", None),
                       (C, "x", A))
        self.assertIn(f"mailbox A gives way to a mailbox that needs its name: "
                      f"it is {aside}", self.push(status=PARTIAL).err)
        now = {"INBOX": was["INBOX"], aside: was["A"], "A": was["B"],
               aside + "/x": was["A/x"]}
        self.assertEqual(self.server.numbers(), now)
        self.assertIn("cannot have", self.push(status=PARTIAL).err)
        self.assertEqual(self.server.numbers(), now)
        # What it was below is gone, and that name another one's by now.
        self.reconcile((A, "A", B), (B, "B", None), (C, "C", None))
        self.push()
        self.reconcile((A, "mbj-parked-no", None), (C, "B", None))
        self.push(status=PARTIAL)
        self.assertEqual(self.server.numbers(), {
            "INBOX": was["INBOX"], aside: was["A"], "B": was["A/x"]})
        self.reconcile((A, "B", None), (C, "A", None))
        self.push()
        self.assertEqual(self.server.numbers(), {
            "INBOX": was["INBOX"], "A": was["A/x"], "B": was["A"]})

    def refuse(self, *steps):
        """Commands that the server says no to: "CREATE B", "RENAME A"."""
        self.server.bend = lambda word, names: ["TAG NO not that"] \
            if f"{word} {names and names[0]}" in steps else None

    def test_refused_create(self):
        """One mailbox that the server will not have stops no other, nor any
        message; what is below it is left out with it."""
        self.serve((A, "A", None))
        self.mbj("deliver", self.p, "alice", "INBOX", stdin=b"a: b\r\n")
        self.reconcile((A, "Z", None), (B, "B", None), (C, "x", B),
                       (D, "D", None))
        self.mbj("deliver", self.p, "alice", "B", stdin=b"a: c\r\n")
        self.refuse("CREATE B")
        for _ in range(2):
            result = self.push("--json", status=PARTIAL)
            self.assertIn("mailbox B is left out: the server says NO to CREATE "
                          '"B": not that', result.err.replace("E B", 'E "B"'))
            self.assertIn("mailbox x is left out, as what it is below is",
                          result.err)
            self.assertEqual(result.json()["leftOut"], 2)
            self.assertEqual(set(self.server.boxes), {"INBOX", "Z", "D"})
            self.assertEqual(len(self.server.boxes["INBOX"].mail), 1)
        # One that is there is to come below it, and another one gets its name.
        self.reconcile((A, "Z", B), (B, "B", None), (D, "Z", None))
        was = self.server.numbers()
        self.push(status=PARTIAL)
        self.assertEqual(self.server.numbers(), {
            "INBOX": was["INBOX"], "mbj-parked-" + A: was["Z"],
            "Z": was["D"]})
        self.server.bend = lambda word, names: None
        self.push()
        now = self.server.numbers()
        self.assertEqual((now["B/Z"], now["Z"], len(now)),
                         (was["Z"], was["D"], 4))
        self.assertEqual(len(self.server.boxes["B"].mail), 1)

    def test_refused_rename(self):
        """Nor does a NO to a rename, though others need the name: they get it
        where the server lets it go, and stay where it does not."""
        self.serve((A, "A", None), (B, "B", None), (C, "C", None))
        was = self.server.numbers()
        aside = "mbj-parked-" + A
        self.server.bend = lambda word, names: ["TAG NO not that"] \
            if (word, names) == ("RENAME", ["A", "Z"]) else None
        self.reconcile((A, "Z", None), (B, "A", None), (C, "C2", None))
        err = self.push(status=PARTIAL).err
        self.assertIn("mailbox A is left out: the server says NO to RENAME", err)
        self.assertEqual(self.server.numbers(), {
            "INBOX": was["INBOX"], aside: was["A"], "A": was["B"],
            "C2": was["C"]})
        self.refuse("RENAME A")
        self.reconcile((A, "A", None), (B, "B", None), (C, "C", None))
        err = self.push(status=PARTIAL).err
        self.assertIn("what has its name at the server stays there", err)
        self.assertEqual(self.server.numbers(), {
            "INBOX": was["INBOX"], aside: was["A"], "A": was["B"],
            "C": was["C"]})
        self.server.bend = lambda word, names: None
        self.push()
        self.assertEqual(self.server.numbers(), was)

    def test_refused_delete(self):
        """What the server does not delete gives way, or stays where it is."""
        self.serve((A, "A", None), (B, "B", None), (C, "x", A), (D, "D", None))
        was = self.server.numbers()
        self.refuse("DELETE A", "DELETE mbj-parked-" + A, "DELETE D")
        self.reconcile((B, "A", None), (C, "x", B))
        err = self.push(status=PARTIAL).err
        self.assertIn('mailbox D is left out: the server says NO to DELETE "D"',
                      err)
        self.assertEqual(self.server.numbers(), {
            "INBOX": was["INBOX"], "mbj-parked-" + A: was["A"], "D": was["D"],
            "A": was["B"], "A/x": was["A/x"]})
        self.refuse("DELETE D", "RENAME D")
        self.reconcile((B, "D", None), (C, "x", B))
        err = self.push(status=PARTIAL).err
        self.assertEqual(self.server.numbers(), {
            "INBOX": was["INBOX"], "D": was["D"], "A": was["B"],
            "A/x": was["A/x"]})
        self.server.bend = lambda word, names: None
        self.push()
        self.assertEqual(self.server.numbers(), {
            "INBOX": was["INBOX"], "D": was["B"], "D/x": was["A/x"]})

    def test_refused_random(self):
        """Whatever is refused: all that is there stays, the run ends, and the
        next one that is refused nothing brings the rest."""
        self.serve()
        pick = random.Random(int(os.environ.get("MBJ_SEED", "7")))
        fresh = map(mailbox_id, itertools.count(20))  # a deleted id is over
        had = {}  # what each one's number was
        for _ in range(5):
            rows, paths, taken = [], {}, set()
            ids = pick.sample(list(had), len(had) * 3 // 4) + list(
                itertools.islice(fresh, pick.randint(1, 3)))
            for i in pick.sample(ids, len(ids)):
                parent = pick.choice([None, None, *paths])
                path = (f"{paths[parent]}/" if parent else "") + \
                    pick.choice("abcd")
                if path in taken or path.count("/") > 3:
                    continue
                taken.add(path)
                paths[i] = path
                rows.append((i, path.rsplit("/", 1)[-1], parent))
            self.reconcile(*rows)
            share = pick.choice((.2, .5))
            refused = {(word, name) for word in ("CREATE", "RENAME", "DELETE")
                       for name in self.everything(paths)
                       if pick.random() < share}
            self.server.bend = lambda word, names, refused=refused: \
                ["TAG NO not that"] if names and (word, names[0]) in refused \
                else None
            self.push(status=(OK, PARTIAL))
            for i, number in had.items():
                if i in paths:
                    self.assertIn(number, self.server.numbers().values())
            self.server.bend = lambda word, names: None
            self.push()
            now = self.server.numbers()
            self.assertEqual(set(now), {"INBOX", *paths.values()})
            for i, number in had.items():
                if i in paths:
                    self.assertEqual(now[paths[i]], number)
            had = {i: now[path] for i, path in paths.items()}

    def everything(self, paths):
        return {"INBOX", *paths.values(), *self.server.boxes,
                *("mbj-parked-" + i for i in paths)} - {"INBOX"}

    def test_untold_status(self):
        self.untold(False)

    def test_untold_examine(self):
        self.untold(True)

    def test_untold_adopt(self):
        """Nor is such a one taken as ours."""
        self.serve()
        self.server.add("A", 3)
        self.server.bend = lambda word, names: [
            '* STATUS "A" (UIDNEXT 4 UIDVALIDITY 9)', "TAG OK"
        ] if word == "STATUS" and names[0] == "A" else None
        self.reconcile((A, "A", None))
        self.assertIn("does not tell", self.push(status=REFUSED).err)

    def test_in_the_way(self):
        """Where one is in the way none of somebody else's is to go."""
        self.serve((A, "A", None), (B, "B", None))
        for name in ("Theirs", "A/x", "A/y"):
            self.server.add(name, 2)
        self.reconcile((B, "A", None))
        err = self.push(status=REFUSED).err
        for name in "xy":
            self.assertIn(f"mailbox {name} is at the server and is not ours, "
                          "and a mailbox of ours needs its name", err)
        self.server.add("C", 3)
        self.reconcile((B, "B", None), (C, "C", None))
        err += self.push(status=REFUSED).err
        self.assertIn("C is at the server already", err)
        self.assertNotIn("is to go", err)

    def test_behind(self):
        """A push that was cut has begun: an older store does not undo it."""
        self.serve((A, "A", None), (B, "B", None))
        old = self.dir / "old"
        shutil.copytree(self.p, old)
        self.mbj("rename", self.p, "alice", "A>X", "B>Y")
        self.server.bend = lambda word, names: \
            [None] if word == "RENAME" and names[0] == "B" else None
        self.push(status=FAILED)
        self.server.bend = lambda word, names: None
        before = self.server.numbers()
        self.assertEqual(set(before), {"INBOX", "X", "B"})
        self.assertIn("behind", self.push(store=old, status=REFUSED).err)
        # The file is written anew at each opening.
        self.assertIn("behind", self.push(store=old, status=REFUSED).err)
        self.assertEqual(self.server.numbers(), before)
        self.push()
        self.assertEqual(set(self.server.boxes), {"INBOX", "X", "Y"})

    def test_create_doubt(self):
        """Mail that came into what a cut push created makes it nobody else's;
        it stays whatever becomes of the mailbox here."""
        self.serve()
        self.reconcile((A, "A", None))
        self.server.bend = lambda word, names: \
            self.server.add("A", 1) or [None] if word == "CREATE" else None
        self.push(status=FAILED)
        self.server.bend = lambda word, names: None
        self.assertIn("mailbox A is taken as ours: a push was cut when it "
                      "created it, and it has 1 messages by now",
                      self.push().err)
        was = self.server.numbers()
        self.mbj("rename", self.p, "alice", "A>B")
        self.push()
        self.assertEqual(self.server.numbers()["B"], was["A"])
        self.reconcile()
        self.assertIn("not all of them are ours", self.push(status=REFUSED).err)

    def renamed_doubt(self, has_ids):
        """Nor is one of ours what a CREATE made that somebody renamed there
        since: it is known again once it has its name."""
        self.serve((A, "A", None), has_ids=has_ids)
        self.server.boxes["A"].messages = 2
        was = self.server.numbers()
        self.reconcile((A, "A", None), (B, "B", None))
        self.server.bend = lambda word, names: \
            [None] if word == "CREATE" else None
        self.push(status=FAILED)
        self.server.bend = lambda word, names: None
        self.server.boxes["B"] = self.server.boxes.pop("A")
        self.assertNotIn("taken as ours", self.push(status=REFUSED).err)
        self.server.boxes["A"] = self.server.boxes.pop("B")
        self.push()
        now = self.server.numbers()
        self.assertEqual((now["A"], set(now)),
                         (was["A"], {"INBOX", "A", "B"}))

    def test_renamed_doubt(self):
        self.renamed_doubt(False)

    def test_renamed_doubt_ids(self):
        self.renamed_doubt(True)

    def test_subscribe_no(self):
        """One subscription that the server will not have stops no other."""
        self.serve((A, "A", None), (B, "B", None), (C, "C", None))
        self.mbj("subscribe", self.p, "alice", "A", "B", "C")
        self.server.bend = lambda word, names: ["TAG NO not B"] \
            if word.endswith("SUBSCRIBE") and names == ["B"] else None
        for _ in range(2):
            result = self.push("--json", status=PARTIAL)
            self.assertIn("not B", result.err)
            self.assertEqual(result.json()["leftOut"], 1)
            self.assertNotIn("again", result.err)
        self.assertEqual(self.server.subscribed, {"A", "C"})
        # What others subscribe meanwhile is not ours.
        self.server.subscribed.add("B")
        self.mbj("unsubscribe", self.p, "alice", "B")
        self.push()
        self.assertEqual(self.server.subscribed, {"A", "B", "C"})

    def test_unsubscribe_no(self):
        self.serve((A, "A", None), (B, "B", None))
        self.mbj("subscribe", self.p, "alice", "A", "B")
        self.push()
        self.mbj("unsubscribe", self.p, "alice", "A", "B")
        bend, self.server.bend = self.server.bend, lambda word, names: \
            ["TAG NO it stays"] if names == ["A"] and \
            word == "UNSUBSCRIBE" else None
        self.assertIn("it stays", self.push(status=PARTIAL).err)
        self.assertEqual(self.server.subscribed, {"A"})
        self.server.bend = bend
        self.push()
        self.assertEqual(self.server.subscribed, set())

    def test_renumbering(self):
        """A server that gives another UIDVALIDITY along with another name:
        each is still known, with what is below it."""
        self.serve((A, "A", None), (B, "x", A), (C, "C", None),
                   is_renumbering=True)
        for box in self.server.boxes.values():
            box.messages = 2
        was = self.server.numbers()
        for pairs, names in ((("A>Z",), ("Z", "Z/x", "C")),
                             (("Z>C", "C>Z"), ("C", "C/x", "Z")),
                             (("C/x>x",), ("C", "x", "Z"))):
            self.mbj("rename", self.p, "alice", *pairs)
            self.push()
            now = self.server.numbers()
            self.assertEqual([now[name] for name in names],
                             [was["A"], was["A/x"], was["C"]])
            self.assertEqual(len(now), 4)
            self.assertFalse([c for c in self.server.commands
                              if c.startswith(("CREATE", "DELETE"))])
        self.push()
        self.assertFalse([c for c in self.server.commands
                          if c.startswith("RENAME")])

    def shallow(self, has_ids):
        """A server that renames a mailbox, and nothing that is below it."""
        self.serve((A, "A", None), (B, "x", A), (C, "y", B), has_ids=has_ids,
                   is_shallow=True)
        for box in self.server.boxes.values():
            box.messages = 2
        was = self.server.numbers()
        self.mbj("rename", self.p, "alice", "A>Z")
        for _ in range(3):  # one level each
            result = mbjtest.run(
                "push", self.p, "alice",
                f"imap://u@127.0.0.1:{self.server.port}", "--state",
                self.dir / "state",
                env=dict(os.environ, MBJ_PUSH_PASSWORD="x"))
            if result.status == OK:
                break
            self.assertIn("left", result.err)
        self.assertEqual(result.status, OK, result.err)
        now = self.server.numbers()
        self.assertEqual(now, {"INBOX": was["INBOX"], "Z": was["A"],
                               "Z/x": was["A/x"], "Z/x/y": was["A/x/y"]})
        self.push()
        self.assertFalse([c for c in self.server.commands
                          if c.startswith(("RENAME", "CREATE", "DELETE"))])

    def test_shallow(self):
        self.shallow(False)

    def test_shallow_ids(self):
        self.shallow(True)

    def silent(self, has_ids):
        """One that is listed, and of which the server says no for a while, is
        not gone."""
        self.serve((A, "A", None), (B, "B", None), has_ids=has_ids)
        before = self.server.numbers()
        self.mbj("rename", self.p, "alice", "A>X")
        self.server.bend = lambda word, names: ["TAG NO [INUSE] for a while"] \
            if word in ("STATUS", "EXAMINE") and names[0] == "A" else None
        for options in ((), ("--overrule",)):
            err = self.push(*options, status=REFUSED).err
            self.assertIn("for a while", err)
            self.assertNotIn("deleted", err)
        self.assertEqual(self.server.numbers(), before)
        # Nor was a step done that may not have been.
        self.server.bend = lambda word, names: [None] \
            if word == "RENAME" else None
        self.push(status=FAILED)
        self.server.bend = lambda word, names: ["TAG NO [INUSE] for a while"] \
            if word in ("STATUS", "EXAMINE") and names[0] == "A" else None
        self.assertIn("for a while", self.push(status=REFUSED).err)
        self.server.bend = lambda word, names: None
        self.push()
        now = self.server.numbers()
        self.assertEqual((now["X"], now["B"], len(now)),
                         (before["A"], before["B"], 3))

    def test_silent(self):
        self.silent(False)

    def test_silent_ids(self):
        self.silent(True)

    def test_silent_foreign(self):
        """One of somebody else's of which nothing is told keeps no step in
        doubt where all of ours are found."""
        self.serve((A, "A", None), (B, "B", None), has_ids=True)
        before = self.server.numbers()
        self.server.add("Shared")

        def bend(cut):
            self.server.bend = lambda word, names: [None] if word == cut else \
                ["TAG NO no right"] if word == "EXAMINE" and \
                names[0] == "Shared" else None
        bend("RENAME")
        self.mbj("rename", self.p, "alice", "A>X")
        self.push(status=FAILED)
        bend(None)
        # Where none is found it may be that one.
        box = self.server.boxes.pop("A")
        self.assertIn("whether it did RENAME A X is not known yet: the server",
                      self.push(status=REFUSED).err)
        self.server.boxes["A"] = box
        self.push()
        now = self.server.numbers()
        self.assertEqual((now["X"], now["B"], len(now)),
                         (before["A"], before["B"], 4))

    def test_inbox_case(self):
        """A server that writes INBOX in its own way has the same mailboxes."""
        self.serve()
        whole = self.server.do_list
        self.server.bend = lambda word, names: [
            line.replace('"INBOX', '"Inbox') for line in whole(*names)
        ] if word == "LIST" else None
        self.reconcile((A, "x", INBOX), (B, "y", A))
        self.push()
        for _ in range(2):
            self.push()
            self.assertFalse([c for c in self.server.commands if c.startswith(
                ("CREATE", "RENAME", "DELETE"))])
        was = self.server.numbers()
        self.reconcile((A, "z", INBOX), (B, "y", A))
        self.push()
        now = self.server.numbers()
        self.assertEqual((now["INBOX/z"], now["INBOX/z/y"], len(now)),
                         (was["INBOX/x"], was["INBOX/x/y"], 3))

    def test_silent_renamed(self):
        """Nor is one gone of which nothing is told under its new name."""
        self.serve((A, "A", None), (B, "x", A))
        before = self.server.numbers()
        self.mbj("rename", self.p, "alice", "A>X")
        self.server.bend = lambda word, names: ["TAG NO for a while"] \
            if word == "STATUS" and names[0] == "X" else None
        self.assertIn("tells nothing", self.push(status=REFUSED).err)
        self.server.bend = lambda word, names: None
        self.push()
        self.assertEqual(self.server.numbers(), {
            "INBOX": before["INBOX"], "X": before["A"],
            "X/x": before["A/x"]})

    @unittest.skipUnless(os.environ.get("MBJ_CLOCK"), "no clock that jumps")
    def test_talking(self):
        """A server that never comes to an end is left."""
        self.serve((A, "A", None))
        jump = self.dir / "jump"

        def endless():
            for n in itertools.count():
                yield "* OK still here"
                if n == 100:
                    jump.touch()
        self.server.bend = lambda word, names: \
            endless() if word == "LIST" and names[1] == "*" else None
        err = self.push(status=FAILED, env={
            "LD_PRELOAD": os.environ["MBJ_CLOCK"],
            "MBJ_CLOCK_JUMP": str(jump)}).err
        self.assertIn("talking", err)


if __name__ == "__main__":
    unittest.main()
