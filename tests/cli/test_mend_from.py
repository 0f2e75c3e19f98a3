#!/usr/bin/env python3
"""mbj fsck --repair --from: what stands at a journal's end, and what another
store may be and have; nothing is changed where it does not fit."""
import fcntl
import os
import pathlib
import shutil
import struct
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import (  # noqa: E402
    CORRUPT, LOCKED, OK, REFUSED, USAGE, run)
from mendtest import (  # noqa: E402
    FRAME, HEADER, SEGMENT, MendCase, batches, crc32c, flip, records,
    renumber, sealed)


class MendEnd(MendCase):
    def goes_on(self):
        """All that was acknowledged is there, and the next edit is behind."""
        self.assertEqual(records(self.p), self.sound)
        self.mbj("fsck", self.p, "--deep")
        self.mbj("rename", self.p, "alice", "S>T")
        self.agree()

    def test_stale(self):
        """Goal: groups behind an old mark are not lost, with the state and
        without it; that these were all is said where the state, or what is
        left, tells.  Method: the last segment is unreadable, cut, or without
        the header of its last batch; the replica has all of it."""
        path = self.stale()
        replica = self.dir / "replica"
        shutil.copytree(self.r, replica)
        found = batches(path)
        size = path.stat().st_size
        ways = {"empty": lambda: os.truncate(path, 0),
                "noise": lambda: path.write_bytes(b"\xff" * size),
                "batch": lambda: flip(path, found[-1][0] + 16),
                "batch and group": lambda: flip(path, found[-1][0] + 16, 200),
                "two batches": lambda: os.truncate(path, found[-2][0]),
                "gone": path.unlink}
        for name, damage in ways.items():
            for mark, state in ((True, True), (False, False)):
                with self.subTest(name, mark=mark, state=state):
                    self.fresh()
                    shutil.rmtree(self.r)
                    shutil.copytree(replica, self.r)
                    damage()
                    if not mark:
                        (self.p / "journal" / "published").unlink()
                    if not state:
                        shutil.rmtree(self.p / "state")
                    sure = state or name == "batch"
                    said = self.mend(status=OK if sure else CORRUPT).json()
                    self.assertEqual(said["unsure"], 0 if sure
                                     else max(records(self.p)) + 1)
                    self.assertEqual(len(said["mended"]), 1)
                    self.assertEqual(self.mend().json()["mended"], [])
                    self.goes_on()

    def test_stale_replica(self):
        """Goal: what a replica's state holds is fetched, and no more."""
        mark = (self.r / "journal" / "published").read_bytes()
        self.mbj("rename", self.p, "alice", "B>Q")
        self.replay()
        self.mbj("rename", self.p, "alice", "Q>R")
        (self.r / "journal" / "published").write_bytes(mark)
        path = self.segments(self.r)[-1]
        flip(path, batches(path)[-1][0] + 16, 200)
        said = self.mend(store=self.r, source=self.p).json()
        self.assertEqual([s["fetched"] for s in said["mended"]], [1])
        self.assertEqual(max(records(self.r)), self.last + 1)
        self.agree()
        # Nothing of it is known: it goes on where it is, and is told so.
        os.truncate(self.segments(self.r)[-1], 0)
        (self.r / "journal" / "published").unlink()
        shutil.rmtree(self.r / "state")
        said = self.mend(store=self.r, source=self.p, status=CORRUPT)
        self.assertIn("nothing tells whether", said.err)
        self.assertEqual(said.json()["unsure"], 1)
        self.assertNotIn("LSN 0", said.err)
        self.replay()
        self.mbj("verify", self.p, self.r)

    def test_stale_lacks(self):
        """Goal: what the state holds and nobody has is refused, as what stands
        in a source that cannot be read is; nothing is changed."""
        path = self.stale()
        self.mbj("rename", self.p, "alice", "S>T")
        flip(path, batches(path)[-1][0] + 16, 200)
        shutil.copy(self.kept / "journal" / "published", self.p / "journal")
        self.unchanged(CORRUPT, f"group {max(self.sound) + 1} is lost here")
        # A state that cannot be read tells nothing.
        for name in (self.p / "state").iterdir():
            name.write_bytes(b"?" * 100)
        self.mend()
        self.mbj("verify", self.p, self.r)
        self.fresh()
        os.truncate(path, batches(path)[-1][0])
        theirs = self.segments(self.r)[-1]
        flip(theirs, batches(theirs)[-1][0] + FRAME + 16)
        shutil.rmtree(self.p / "state")
        self.unchanged(CORRUPT, "cannot tell whether group", "was changed")
        self.mbj("snapshot", self.kept)
        self.mbj("trim", self.kept, "--keep-days", "0", "--keep-requests",
                 "1")
        for path in [self.p / "journal" / "published",
                     *self.segments()[-2:]]:
            path.unlink()
        self.unchanged(CORRUPT, "cannot tell whether group",
                       source=self.kept)

    def test_stale_snapshot(self):
        """Goal: groups that a primary's snapshot knows of are not left out,
        with nothing else to tell of them: they come, or nothing changes.  A
        snapshot that is damaged tells nothing."""
        path = self.stale()
        behind = self.dir / "behind"
        shutil.copytree(self.r, behind)
        self.mbj("rename", self.p, "alice", "S>T")
        self.replay()
        self.mbj("snapshot", self.p)
        lsn = max(records(self.p))
        flip(path, batches(path)[-1][0] + 16, 200)
        shutil.copy(self.kept / "journal" / "published", self.p / "journal")
        shutil.rmtree(self.p / "state")
        self.unchanged(CORRUPT, f"group {lsn} is lost here", source=behind)
        shutil.rmtree(self.kept)
        shutil.copytree(self.p, self.kept)
        # It was made at some time: nobody says that it was the end.
        said = self.mend(status=CORRUPT).json()
        self.assertEqual(said["unsure"], lsn + 1)
        self.mbj("verify", self.p, self.r)
        self.fresh()
        for snapshot in (self.p / "snapshots").iterdir():
            flip(snapshot, 20)
        self.mend(source=behind)
        self.mbj("verify", self.p, behind)

    def test_left_behind(self):
        """Goal: whole groups at the end that nobody but their torn batch knows
        of, bytes there of which nothing is known, and groups behind which only
        a later reign goes on, are not left out in silence.  Method: the source
        is behind, or was promoted there."""
        behind = self.dir / "behind"
        shutil.copytree(self.r, behind)
        reign, copy = self.dir / "reign", self.dir / "backup"
        self.mbj("backup", self.r, copy)
        self.mbj("restore", copy, reign, "--role", "primary")
        self.mbj("rename", reign, "alice", "B>Z")
        path = self.stale()
        found = batches(path)
        flip(path, HEADER + 3)
        shutil.rmtree(self.p / "state")
        for source, damage, size in (
                (behind, found[-1][0] + 16, 1),
                (behind, found[-1][0] + 16, 200),
                (reign, found[-3][0] + FRAME + 16, 1)):
            with self.subTest(source=source.name, size=size):
                shutil.rmtree(self.p)
                shutil.copytree(self.kept, self.p)
                shutil.rmtree(self.p / "state")
                flip(path, found[0][0])
                flip(path, damage, size)
                if source == reign:
                    os.truncate(path, damage + 20)
                said = self.mend(source=source, status=CORRUPT)
                self.assertIn("nothing tells whether", said.err)
                self.assertGreater(said.json()["unsure"], self.last)

    def test_left_torn(self):
        """Goal: whole records of a batch that looks torn are not passed over in
        silence, on a primary or a replica, and a copy of the primary gives
        them back.  Method: the header of the last batch's frame, or those of
        the last two and the first."""
        behind = self.dir / "behind"
        shutil.copytree(self.r, behind)
        path = self.stale()
        twin = self.dir / "twin"
        shutil.copytree(self.p, twin)
        for store, source, status, bad in (
                (self.p, behind, CORRUPT, (-1,)),
                (self.p, behind, CORRUPT, (-2, -1, 0)),
                (self.r, behind, CORRUPT, (-1,)),
                (self.p, self.r, OK, (-1,)), (self.p, twin, OK, (-1,)),
                (self.p, twin, OK, (-2, -1, 0))):
            with self.subTest(store=store.name, source=source.name, bad=bad):
                kept = self.dir / "kept-one"
                shutil.copytree(store, kept)
                seg = store / "journal" / path.name
                if not seg.exists():
                    seg = self.segments(store)[-1]
                found = batches(seg)
                lsn = found[bad[0]][1]
                for index in bad:
                    flip(seg, found[index][0] + 16)
                shutil.rmtree(store / "state")
                (store / "journal" / "published").unlink()
                said = self.mend(store=store, source=source,
                                 status=status).json()
                if status == OK:
                    self.assertEqual(records(store), self.sound)
                else:
                    self.assertEqual(said["unsure"], lsn)
                shutil.rmtree(store)
                kept.rename(store)

    def test_stale_twin(self):
        """Goal: what a copy of the primary has behind an end of which nothing
        is left may be an edit of its own: it is refused."""
        path = self.stale()
        self.mbj("rename", self.kept, "alice", "S>T")
        path.unlink()
        (self.p / "journal" / "published").unlink()
        shutil.rmtree(self.p / "state")
        self.unchanged(REFUSED, "is a primary, too", "take a replica",
                       source=self.kept)
        self.mend(status=CORRUPT)
        self.goes_on()

    def test_stale_another_way(self):
        """Goal: a source with another group than the one that is left here is
        refused; groups of who was promoted are not this store's."""
        fork = self.dir / "fork"
        shutil.copytree(self.p, fork)
        path = self.stale()
        for name in ("B>V", "V>W", "W>X", "X>Y"):
            self.mbj("rename", fork, "alice", name)
        edited, fork = fork, self.dir / "of-fork"
        self.mbj("init", fork, "--role", "replica")
        self.mbj("replay", edited, fork)
        flip(path, batches(path)[-3][0] + 16)
        os.truncate(path, batches(self.kept / "journal" / path.name)[-2][0])
        shutil.rmtree(self.p / "state")
        self.unchanged(REFUSED, "another way", source=fork)
        self.fresh()
        said = self.mend(source=fork, status=CORRUPT).json()
        self.assertEqual(said["mended"], [])
        equal = self.dir / "equal"
        self.mbj("init", equal, "--role", "replica")
        self.mbj("replay", edited, equal, "--until", str(max(self.sound)))
        self.assertEqual(len(records(equal)), len(self.sound))
        self.assertGreater(self.mend(source=equal, status=CORRUPT)
                           .json()["unsure"], 0)
        self.assertEqual(said["unsure"], max(self.sound) + 1)
        reign, copy = self.dir / "reign", self.dir / "backup"
        self.mbj("backup", self.r, copy)
        self.mbj("restore", copy, reign, "--role", "primary")
        self.mbj("rename", reign, "alice", "S>T")
        flip(path, batches(path)[-1][0] + 16, 200)
        shutil.rmtree(self.p / "state")
        # It is this reign's, or a rival's that the later one was founded on.
        said = self.mend(source=reign, status=CORRUPT).json()
        self.assertEqual([s["fetched"] for s in said["mended"]], [1])
        self.assertEqual(said["unsure"], max(self.sound) + 1)
        self.assertEqual(records(self.p), self.sound)

    def reigns(self):
        """A store that was promoted where the replica is, and replicas of the
        former primary, and of a rival in the same epoch, that went on."""
        reign, copy, late = (self.dir / name for name in
                             ("reign", "backup", "late"))
        rival, follower = self.dir / "rival", self.dir / "rivals"
        shutil.copytree(self.r, late)
        shutil.copytree(self.r, follower)
        self.mbj("backup", self.r, copy)
        for store, name in ((reign, None), (rival, "B>V")):
            self.mbj("restore", copy, store, "--role", "primary")
            if name:
                self.mbj("rename", store, "alice", name)
        self.mbj("replay", rival, follower)
        self.mbj("rename", self.p, "alice", "B>Q")
        self.mbj("replay", self.p, late)
        return reign, (late, follower, self.p)

    def test_reign(self):
        """Goal: what was given up when a reign began, and what a rival made,
        does not come back by a mend: not into a store that is sound, nor in
        the place of what it has lost, which is said; its own replica has it."""
        reign, astray = self.reigns()
        for source in astray:
            said = self.mend(store=reign, source=source).json()
            self.assertEqual([said["mended"], said["unsure"]], [[], 0])
        mark = (reign / "journal" / "published").read_bytes()
        state = self.dir / "state"
        shutil.copytree(reign / "state", state)
        self.mbj("rename", reign, "alice", "B>X")
        self.mbj("replay", reign, self.r)
        sound, path = records(reign), self.segments(reign)[-1]
        flip(path, batches(path)[-1][0], 300)
        # Data is damaged, and mark and state are from before it.
        (reign / "journal" / "published").write_bytes(mark)
        shutil.rmtree(reign / "state")
        shutil.copytree(state, reign / "state")
        flip(path, HEADER + FRAME + 16)
        damaged, kept = path.read_bytes(), self.dir / "damaged"
        shutil.copytree(reign, kept)
        for source in (*astray, self.r):
            with self.subTest(source=source.name):
                shutil.rmtree(reign)
                shutil.copytree(kept, reign)
                said = self.mend(store=reign, source=source,
                                 status=CORRUPT).json()
                own = source == self.r
                self.assertEqual(len(list((reign / "journal").glob(
                    "*.damaged"))), 1)
                self.assertEqual(max(records(reign)), self.last + own)
                self.assertEqual(said["unsure"], self.last + own + 1)
        self.assertEqual(records(reign), sound)
        self.assertNotEqual(path.read_bytes(), damaged)
        self.mbj("verify", reign, self.r)


class MendFrom(MendCase):
    def stopped(self, path, unsure=0):
        """A mend of that segment that was stopped before it got its name."""
        mended = path.with_suffix(".mended")
        shutil.copy(self.kept / "journal" / path.name, mended)
        piece = struct.pack("<IIQQQQQ", int(path.name[:8], 16), 0,
                            int(path.name[9:25], 16), 1, 2, 3, 4)
        mark = struct.pack("<8sQII", b"MBJMENDI", unsure, 1, 0) + piece
        mark += struct.pack("<I", crc32c(mark))
        (self.p / "journal" / "mending").write_bytes(mark)
        return mark

    def test_half(self):
        """Goal: a mend that was stopped once segments got their names is no
        journal to anybody, and is brought to its end with any source, or
        none, with what it said of the end; what they were is kept."""
        path = self.segments()[1]
        mark = self.p / "journal" / "mending"
        behind = self.dir / "behind"
        self.mbj("init", behind, "--role", "replica")
        self.mbj("replay", self.p, behind, "--until", "3")
        for source in (None, self.r, behind):
            for unsure in (0, 126):
                with self.subTest(source=source, unsure=unsure):
                    flip(path, 20)
                    damaged = path.read_bytes()
                    self.stopped(path, unsure)
                    before = self.files()
                    for words in (("rename", self.p, "alice", "B>Q"),
                                  ("fsck", self.p, "-n"), ("fsck", self.p),
                                  ("status", self.p), ("log", self.p),
                                  ("replay", self.p, self.r)):
                        said = run(*words)
                        self.assertEqual(said.status, CORRUPT, words)
                        self.assertIn("STORE --repair brings it", said.err)
                    self.mend("-n", status=CORRUPT)
                    self.assertEqual(self.files(), before)
                    words = ("--from", source) if source else ()
                    said = self.mbj("fsck", self.p, "--repair", "--json",
                                    *words, status=CORRUPT if unsure else OK)
                    doc = said.json()
                    self.assertEqual(doc["unsure"], unsure)
                    self.assertEqual(
                        [s["kept"] for s in doc["mended"]], [1])
                    self.assertFalse(mark.exists())
                    self.assertEqual(records(self.p), self.sound)
                    kept = path.with_suffix(".damaged")
                    self.assertEqual(kept.read_bytes(), damaged)
                    self.mbj("fsck", self.p, "--repair", "--deep")
                    self.assertFalse(kept.exists())

    def test_half_again(self):
        """Goal: a mark is ended also where its last step alone is left, and
        where what it kept is kept already; one that is damaged is named."""
        path = self.segments()[1]
        flip(path, 20)
        whole = self.stopped(path)
        path.with_suffix(".damaged").hardlink_to(path)
        self.mbj("fsck", self.p, "--repair")
        self.assertFalse(path.with_suffix(".damaged1").exists())
        self.assertEqual(records(self.p), self.sound)
        mark = self.p / "journal" / "mending"
        mark.write_bytes(whole)
        self.mbj("fsck", self.p, "--repair")
        self.assertFalse(mark.exists())
        forged = whole[:28] + struct.pack("<I", 11) + whole[32:-4]
        forged += struct.pack("<I", crc32c(forged))
        many = whole[:16] + struct.pack("<I", 1 << 21) + whole[20:-4]
        many += struct.pack("<I", crc32c(many))
        for bad in (b"", whole[:40], whole + b"1", bytes(len(whole)),
                    whole[:30] + b"x" + whole[31:], forged, many):
            mark.write_bytes(bad)
            for words in ((), ("--from", self.r)):
                said = self.mbj("fsck", self.p, "--repair", *words,
                                status=CORRUPT)
                self.assertIn("mending is damaged", said.err)
        mark.write_bytes(whole)
        data = path.read_bytes()
        path.unlink()
        said = self.mbj("fsck", self.p, "--repair", status=CORRUPT)
        self.assertIn(f"{path.name} was mended, and is gone", said.err)
        path.write_bytes(data)
        self.mbj("fsck", self.p, "--repair")
        self.mbj("fsck", self.p, "--deep")

    def test_half_and_more(self):
        """Goal: what was said of the end stays said behind a mend of another
        segment, until somebody has that group; all that was done is told."""
        path = self.segments()[1]
        for number, (unsure, left) in enumerate(((self.last + 1,) * 2,
                                                 (self.last, 0))):
            flip(path, 20)
            self.stopped(path, unsure)
            flip(self.segments()[2], HEADER + FRAME + 16)
            said = self.mend(status=CORRUPT if left else OK).json()
            self.assertEqual([s["number"] for s in said["mended"]], [2, 3])
            self.assertEqual(said["unsure"], left, number)
            self.assertEqual(records(self.p), self.sound)
            self.mbj("fsck", self.p, "--repair")

    def test_half_refused(self):
        """Goal: what a mend said that was stopped is said, too, where the one
        that ends it is refused then."""
        path = self.segments()[1]
        twin = self.dir / "twin"
        shutil.copytree(self.p, twin)
        self.mbj("rename", twin, "alice", "B>Q")
        flip(path, 20)
        self.stopped(path, self.last + 1)
        said = self.mend(source=twin, status=REFUSED)
        self.assertIn(f"had group {self.last + 1} and more", said.err)
        self.assertEqual(records(self.p), self.sound)

    def test_damaged_twice(self):
        """Goal: what a segment was before each of its mends is kept."""
        path = self.segments()[1]
        was = []
        for number in range(3):
            flip(path, HEADER + FRAME + 16 * number)
            was.append(path.read_bytes())
            self.mend()
        kept = [path.with_suffix(".damaged" + suffix)
                for suffix in ("", "1", "2")]
        self.assertEqual([p.read_bytes() for p in kept], was)
        for number in range(3, 10):
            shutil.copy(kept[0], path.with_suffix(f".damaged{number}"))
        flip(path, HEADER + FRAME)
        self.assertIn("move them away", self.mend(status=REFUSED).err)
        for number in range(3, 10):
            path.with_suffix(f".damaged{number}").unlink()
        self.mend()
        self.mbj("fsck", self.p, "--repair")
        self.assertEqual(list((self.p / "journal").glob("*.damaged*")), [])

    def test_state_of_a_kill(self):
        """Goal: who looks how far a state is does not vouch for it, nor asks
        one that failed.  Method: one without a seal, then one that is marked
        suspect, which says that more was durable than anybody has."""
        self.mbj("rename", self.p, "alice", "B>Q")
        seal = self.p / "state" / "seal"
        seal.unlink()
        path = self.segments()[-1]
        mark = self.kept / "journal" / "published"
        flip(path, batches(path)[-1][0] + 16, 200)
        shutil.copy(mark, self.p / "journal")
        self.unchanged(CORRUPT, "is lost here")
        self.assertFalse(seal.exists())
        (self.p / "state" / "suspect").touch()
        self.mend()
        self.mbj("verify", self.p, self.r)

    def test_replica(self):
        """Goal: a replica that is damaged says how it is mended, is mended from
        its primary, and follows on."""
        path = self.segments(self.r)[-1]
        flip(path, batches(path)[0][0] + FRAME + 16)
        said = self.replay(status=CORRUPT)
        self.assertIn("fsck --repair --from", said.err)
        self.assertEqual(said.err.count("\n"), 1)
        self.mend(store=self.r, source=self.p)
        self.mbj("rename", self.p, "alice", "A>Z")
        self.agree()

    def test_copy(self):
        """Goal: a copy of superblock and journal is a source."""
        copy = self.dir / "copy"
        copy.mkdir(mode=0o700)
        shutil.copy(self.r / "mbj.store", copy)
        shutil.copytree(self.r / "journal", copy / "journal")
        flip(self.segments()[1], HEADER + FRAME)
        self.assertEqual(len(self.mend(source=copy).json()["mended"]), 1)
        self.mbj("fsck", self.p)

    def test_fifo(self):
        """Goal: a FIFO in the source holds nobody up."""
        flip(self.segments()[1], 20)
        for path in (self.segments(self.r)[0], self.r / "mbj.store",
                     self.r / "journal" / "published"):
            with self.subTest(path.name):
                before = path.read_bytes()
                path.unlink()
                os.mkfifo(path)
                said = run("fsck", self.p, "--repair", "--from", self.r,
                           timeout=20)
                self.assertNotEqual(said.status, OK)
                self.assertIn(path.name, said.err)
                path.unlink()
                path.write_bytes(before)
        (self.r / "lock").unlink()
        os.mkfifo(self.r / "lock")
        self.assertEqual(run("fsck", self.p, "--repair", "--from", self.r,
                             timeout=20).status, OK)

    def test_lacks(self):
        """Goal: a source that lacks it, by trim, by being behind, or by
        damage of its own, changes nothing."""
        path = self.segments()[1]
        at, lsn, _, _ = batches(path)[0]
        flip(path, at + FRAME)
        behind = self.dir / "behind"
        self.mbj("init", behind, "--role", "replica")
        self.mbj("replay", self.kept, behind, "--until", "5")
        self.unchanged(CORRUPT, f"group {lsn}", "nothing was changed",
                       source=behind)
        self.mbj("snapshot", self.kept)
        self.mbj("trim", self.kept, "--keep-days", "0", "--keep-requests",
                 "1")
        self.unchanged(CORRUPT, f"group {lsn}", source=self.kept)
        theirs = self.segments(self.r)
        for path in theirs:
            for at, first, count, _ in batches(path):
                if first <= lsn < first + count:
                    flip(path, at + FRAME)
                    break
        self.unchanged(CORRUPT, f"group {lsn}")
        shutil.rmtree(self.r / "journal")
        self.unchanged(1)

    def test_other(self):
        """Goal: another lineage, and a journal that went another way before,
        in or behind what is lost, change nothing."""
        other = self.dir / "other"
        self.mbj("init", other, "--role", "primary")
        self.mbj("import", other, "alice", stdin="{\"list\":[]}", status=OK)
        path = self.segments()[-1]
        flip(path, batches(path)[0][0] + FRAME)
        self.unchanged(REFUSED, "another lineage", source=other)

    def test_gap_too_wide(self):
        """Goal: more numbers than anybody would have lost are not filled."""
        path = self.segments()[-1]
        last = int(path.name[:8], 16)
        renumber(path, last + 1100)
        self.unchanged(CORRUPT, f"{last:08x} is missing")

    def test_header_of_another(self):
        """Goal: a segment that does not continue the one before is no damage
        that groups mend; behind fetched groups it says that they are others."""
        before, path = self.segments()[1:3]
        data = bytearray(path.read_bytes())
        data[SEGMENT["chain"]] ^= 1
        path.write_bytes(sealed(data))
        self.unchanged(CORRUPT, "does not continue the one before it")
        flip(before, batches(before)[-1][0] + FRAME + 16)
        self.unchanged(REFUSED, "another way")

    def test_another_way(self):
        """Goal: a source with other groups where they were lost is refused by
        what is behind them, or by what was published; with neither, too."""
        fork = self.dir / "fork"
        shutil.copytree(self.p, fork)
        self.mbj("rename", fork, "alice", "A>Z")
        self.mbj("rename", fork, "alice", "Z>Y")
        self.mbj("rename", fork, "alice", "Y>X")
        for name in ("B>Q", "Q>R", "R>S"):
            self.mbj("rename", self.p, "alice", name)
        path = self.segments()[-1]
        found = batches(path)
        for index in (-3, -2, -1):
            with self.subTest(index=index):
                before = path.read_bytes()
                flip(path, found[index][0] + FRAME)
                self.unchanged(REFUSED, "another way", source=fork)
                published = (self.p / "journal" / "published").read_bytes()
                if index != -1:
                    flip(self.p / "journal" / "published", 8)
                    self.unchanged(REFUSED, source=fork)
                    (self.p / "state").rename(self.dir / "state")
                    self.unchanged(REFUSED, "nothing here is behind group"
                                   if index == -3 else "another way",
                                   source=fork)
                    (self.dir / "state").rename(self.p / "state")
                    (self.p / "journal" / "published").write_bytes(published)
                path.write_bytes(before)

    def test_use(self):
        """Goal: --from wants --repair; a store in use is left alone."""
        self.mbj("fsck", self.p, "--from", self.r, status=USAGE)
        self.assertEqual(self.mend().json()["mended"], [])
        with (self.p / "lock").open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.unchanged(LOCKED)


if __name__ == "__main__":
    unittest.main()
