#!/usr/bin/env python3
"""mbj fsck --repair --from: what a journal has lost comes from another store of
its lineage, whatever it is that was lost."""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import (  # noqa: E402
    CORRUPT, MBJ, OK, listing, mailbox_id, run, seed)
from mendtest import (  # noqa: E402
    BATCH, FRAME, GROUP, HEADER, SEGMENT, MendCase, batches,
    crc32c, flip, records, renumber)

ROUNDS = int(os.environ.get("MBJ_ROUNDS", "6"))
KILLS = int(os.environ.get("MBJ_KILLS", "10"))


class Mend(MendCase):
    def test_headers(self):
        """Goal: each class of bytes of each header is named and healed.
        Method: one byte of each field, in the first, a middle and the last
        segment; the first and the last batch of it."""
        paths = self.segments()
        for path in (paths[0], paths[len(paths) // 2], paths[-1]):
            found = batches(path)
            places = [(at, 0) for at in SEGMENT.values()]
            for at, _, count, _ in {found[0], found[-1]}:
                places += [(at + offset, 0) for offset in BATCH.values()]
                places += [(at + FRAME + offset, 1)
                           for offset in GROUP.values()]
                self.assertEqual(count, 1)
            for at, fetched in places:
                with self.subTest(path=path.name, at=at):
                    self.fresh()
                    flip(path, at)
                    (self.mended_whole if at == places[-1][0]
                     else self.mended)(fetched=fetched)

    def test_tail_fields(self):
        """Goal: body and chain of a group, too."""
        path = self.segments()[1]
        at, lsn, _, size = batches(path)[1]
        record = self.sound[lsn]
        header, body = struct.unpack_from("<II", record, 8)
        for offset in (header, header + body, header + body + 4,
                       header + body + 35):
            with self.subTest(offset=offset):
                self.fresh()
                flip(path, at + FRAME + offset)
                self.mended_whole(fetched=1, lost=lsn, lostEnd=lsn)

    def test_lost(self):
        """Goal: files that are missing, empty or cut, in the middle, at both
        ends, and several together, are made again."""
        count = len(self.segments())
        self.assertGreater(count, 5)
        for gone in ([0], [0, 1], [2], [2, 3], [count - 1], [1, count - 2],
                     [count - 2, count - 1]):
            with self.subTest(missing=gone):
                self.fresh()
                for index in gone:
                    self.segments()[index - gone.index(index)].unlink()
                self.mended_whole()
        for index in (0, 2, count - 1):
            for size in (0, 64, HEADER, HEADER + 40, 1000):
                with self.subTest(index=index, size=size):
                    self.fresh()
                    os.truncate(self.segments()[index], size)
                    self.mended_whole()

    def test_large(self):
        """Goal: a segment of more than one frame's bytes is made again in
        several, dry or not, and headers are found far apart."""
        rows = json.dumps(listing([(mailbox_id(1000 + i), "x" * 100 + str(i),
                                    None) for i in range(5000)]))
        for name in ("b", "c", "d"):
            self.mbj("import", self.p, name, stdin=rows)
        self.replay()
        self.sound = records(self.p)
        path = self.segments()[-1]
        found = batches(path)
        self.assertGreater(found[-1][0] + found[-1][3] - found[-3][0], 3 << 19)
        for at in (found[-3][0], found[-2][0] + FRAME):
            flip(path, at)
        self.mended_whole(fetched=1)
        self.assertGreater(len(batches(path)), 1)

    def test_void(self):
        """Goal: a number that a void file has is not taken for what is lost
        before it, and the void part of a batch goes.  Method: a file that is
        void behind the first one, which is gone."""
        paths = self.segments()
        for path in reversed(paths[1:]):
            renumber(path, int(path.name[:8], 16) + 1)
        data = bytearray(self.segments()[1].read_bytes()[:HEADER])
        void = paths[1].with_name("00000002" + self.segments()[1].name[8:])
        void.write_bytes(data)
        renumber(void, 2)
        paths[0].unlink()
        said = self.mend(status=OK).json()["mended"]
        self.assertEqual([s["number"] for s in said], [1])
        self.assertEqual(self.mend().json()["mended"], [])
        self.mbj("fsck", self.p, "--deep")
        self.mbj("verify", self.p, self.r)
        # The first number is taken: there is none for it.
        self.segments()[0].unlink()
        renumber(void, 1)
        self.unchanged(CORRUPT, "the beginning of the journal is lost")

    def test_inside_batch(self):
        """Goal: a segment that begins inside a batch of the one before it.
        Method: one that was mended has one batch; its last group goes to the
        next segment, too."""
        path, after = self.segments()[1:3]
        flip(path, 20)
        self.mend()
        at, lsn, count, _ = batches(path)[0]
        self.assertGreater(count, 1)
        data, at = path.read_bytes(), at + FRAME
        for _ in range(count - 1):
            header, body = struct.unpack_from("<II", data, at + 8)
            size = (header + body + 36 + 7) // 8 * 8
            chain = data[at + header + body + 4:at + header + body + 36]
            at += size
        record, old = self.sound[lsn + count - 1], after.read_bytes()
        frame = bytearray(FRAME)
        frame[:4] = b"MBJF"
        struct.pack_into("<8sQQII", frame, 8, old[56:64], len(record),
                         lsn + count - 1, 1, crc32c(record))
        frame[40:72] = chain
        struct.pack_into("<I", frame, 4, crc32c(frame[8:]))
        head = bytearray(old[:HEADER])
        struct.pack_into("<Q", head, 40, lsn + count - 1)
        head[72:104] = chain
        struct.pack_into("<I", head, 124, crc32c(head[:124]))
        after.unlink()
        after.with_name(f"{after.name[:8]}-{lsn + count - 1:016x}.seg"
                        ).write_bytes(head + frame + record + old[HEADER:])
        self.mbj("fsck", self.p, "-n")
        self.assertEqual([s["fetched"] for s in self.mend().json()["mended"]],
                         [0])
        self.assertEqual(self.mend().json()["mended"], [])
        self.assertEqual(records(self.p), self.sound)
        self.mbj("fsck", self.p, "--deep")

    def test_dry(self):
        """Goal: -n is dry with --from, too, and a first segment that is gone
        is a fault."""
        path = self.stale()
        flip(path, batches(path)[-1][0] + 16)
        shutil.rmtree(self.p / "state")
        for source in (self.p, self.r):
            said = self.mend("-n", source=source, status=CORRUPT).json()
            self.assertEqual(len(said["mended"]), source == self.r)
            self.assertEqual(bool(said["unsure"]), source == self.p)
            self.assertFalse((self.p / "state").exists())
        self.segments()[0].unlink()
        said = self.mbj("fsck", self.p, "-n", status=CORRUPT)
        self.assertIn("does not reach back to LSN 1", said.err)

    def test_not_opened(self):
        """Goal: what was mended is told where the opening behind it fails, and
        in what order: nothing else is repaired."""
        flip(self.segments()[1], 20)
        (self.p / "state" / "DB_CONFIG").write_text("set_lg_dir /\n")
        said = run("fsck", self.p, "--repair", "--from", self.r, "--json")
        self.assertNotEqual(said.status, OK)
        self.assertEqual([s["mended"] for s in said.json()["mended"]], [True])
        self.assertEqual(len(said.json()["faults"]), 1)
        self.assertIn("DB_CONFIG", said.err)
        (self.p / "state" / "DB_CONFIG").unlink()
        self.fresh()
        flip(self.segments()[1], 20)
        said = self.mend("-n", status=CORRUPT)
        self.assertIn("nothing else is repaired", said.err)
        self.assertTrue(said.json()["dryRun"])

    def test_no_number(self):
        """Goal: where no file number is left for what is lost, or no file is
        left, or what is behind a gap is void, nothing is made up."""
        paths = self.segments()
        paths[0].unlink()
        paths[1].rename(paths[1].with_name("00000001" + paths[1].name[8:]))
        for path in paths[2:]:
            path.unlink()
        self.unchanged(CORRUPT, "the beginning of the journal is lost")
        self.segments()[0].unlink()
        self.unchanged(CORRUPT, "the beginning of the journal is lost")
        self.fresh()
        paths = self.segments()
        last = int(paths[-1].name[:8], 16)
        for number, like in ((last + 2, paths[2]), (last + 3, paths[1])):
            shutil.copy(paths[-1], paths[-1].with_name(
                f"{number:08x}{like.name[8:]}"))
        self.unchanged(CORRUPT, "nothing tells where they began")

    def test_many(self):
        """Goal: damage anywhere, several times, by random bytes.  Method:
        up to eight spots of up to 300 bytes."""
        rng = seed()
        for _ in range(ROUNDS):
            self.fresh()
            before = self.files()
            for _ in range(rng.randint(1, 8)):
                path = rng.choice(self.segments())
                found = batches(self.kept / "journal" / path.name)
                end = found[-1][0] + FRAME + found[-1][3] if found else HEADER
                at = rng.randrange(end)
                flip(path, at, min(rng.choice((1, 8, 300)), end - at))
            if self.files() == before:
                continue
            if run("fsck", self.p).status == OK:
                continue
            self.mend()
            self.assertEqual(records(self.p), self.sound)
            self.mbj("fsck", self.p, "--deep")
            self.mbj("verify", self.p, self.r)

    def test_killed(self):
        """Goal: a kill anywhere leaves each segment the old one or the new
        one, and the next run mends.  Method: kills after random times, from
        the second on onto what the last one left."""
        rng = seed()
        paths = self.segments()
        begin = time.monotonic()
        for path in paths:
            flip(path, batches(path)[0][0] + FRAME + 16)
        damaged = {p.name: p.read_bytes() for p in paths}
        self.mend()
        took = time.monotonic() - begin
        new = {p.name: None for p in paths}
        self.fresh()
        killed = 0
        for path in self.segments():
            path.write_bytes(damaged[path.name])
        for _ in range(KILLS):
            with subprocess.Popen(
                    [MBJ, "fsck", self.p, "--repair", "--from", self.r],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL) as process:
                time.sleep(rng.random() * took)
                process.kill()
                killed += process.wait() == -9
            self.assertEqual({p.name for p in self.segments()} & set(new),
                             set(new))
            if run("fsck", self.p, "-n").status == OK:
                for path in self.segments():
                    if path.name in damaged:
                        path.write_bytes(damaged[path.name])
        self.assertGreater(killed, 0)
        self.mend()
        got = records(self.p)
        self.assertEqual({n: got[n] for n in self.sound}, self.sound)
        self.mbj("fsck", self.p, "--deep")
        self.mbj("fsck", self.p, "--repair")
        self.assertEqual([p for p in self.files()
                          if p.endswith((".mended", ".damaged"))], [])


if __name__ == "__main__":
    unittest.main()
