"""What the tests of mending a journal share: a primary whose journal has several
segments, a replica that has all of it, and what their files hold."""
import os
import shutil
import struct
import subprocess

from mbjtest import CORRUPT, OK, ROWS, Case, crc32c

SEGMENTS = os.environ.get("MBJ_SEGMENTS")
HEADER, FRAME = 128, 72
# Of a group's record: magic, CRC, header size, LSN, epoch, and its accounts'
# first id.  Its chain is its last field.
GROUP = {"magic": 0, "crc": 4, "length": 8, "body length": 12, "lsn": 16,
         "epoch": 24, "version": 40, "account": 72}
BATCH = {"magic": 0, "crc": 4, "salt": 8, "length": 16, "lsn": 24,
         "count": 32, "payload crc": 36, "chain": 40}
SEGMENT = {"magic": 0, "format": 8, "size": 12, "lineage": 24, "lsn": 40,
           "number": 48, "salt": 56, "chain": 72, "crc": 124}


def batches(path):
    """[(offset, first LSN, groups, payload size)] of a sound segment."""
    data, at, found = path.read_bytes(), HEADER, []
    while data[at:at + 4] == b"MBJF":
        size, lsn, count = struct.unpack_from("<QQI", data, at + 16)
        found.append((at, lsn, count, size))
        at += FRAME + size
    return found


def records(store):
    """{LSN: bytes} of the groups that the journal's frames hold."""
    found = {}
    for path in sorted((store / "journal").glob("*.seg")):
        data = path.read_bytes()
        for at, lsn, count, _ in batches(path):
            at += FRAME
            for i in range(count):
                header, body = struct.unpack_from("<II", data, at + 8)
                size = (header + body + 36 + 7) // 8 * 8
                found[lsn + i] = data[at:at + size]
                at += size
    return found


def flip(path, at, size=1):
    data = bytearray(path.read_bytes())
    for i in range(at, at + size):
        data[i] ^= 0x55
    path.write_bytes(data)


def sealed(data):
    """A segment's bytes with the checksum that its header then has."""
    struct.pack_into("<I", data, SEGMENT["crc"], crc32c(data[:124]))
    return data


def renumber(path, number):
    """The segment, whole, under another file number."""
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, SEGMENT["number"], number)
    path.unlink()
    path.with_name(f"{number:08x}{path.name[8:]}").write_bytes(sealed(data))


class MendCase(Case):
    def setUp(self):
        super().setUp()
        if not SEGMENTS:
            self.skipTest("MBJ_SEGMENTS names no mbj_segments")
        self.account(ROWS)
        self.mbj("deliver", self.p, "alice", stdin="Subject: 1\n\nbody\n")
        subprocess.run([SEGMENTS, str(self.p), "alice", "A", "60"],
                       check=True)
        self.replay()
        self.sound = records(self.p)
        self.last = max(self.sound)
        self.kept = self.dir / "kept"
        shutil.copytree(self.p, self.kept)

    def fresh(self):
        """The primary as it was before any damage."""
        shutil.rmtree(self.p)
        shutil.copytree(self.kept, self.p)

    def segments(self, store=None):
        return sorted(((store or self.p) / "journal").glob("*.seg"))

    def files(self):
        return {path.name: path.read_bytes()
                for path in (self.p / "journal").iterdir()}

    def mend(self, *options, source=None, status=OK, store=None):
        return self.mbj("fsck", store or self.p, "--repair", "--from",
                        source or self.r, "--json", *options, status=status)

    def mended(self, **counts):
        """It is mended, as -n said before, and nothing else."""
        self.assertEqual(self.mbj("fsck", self.p, status=CORRUPT).status,
                         CORRUPT)
        before = self.files()
        would = self.mend("-n", status=CORRUPT).json()["mended"]
        self.assertEqual(self.files(), before)
        said = self.mend().json()
        self.assertEqual(said["faults"], [])
        self.assertEqual([s | {"mended": False} for s in said["mended"]],
                         would)
        self.assertTrue(all(s["mended"] for s in said["mended"]))
        self.assertEqual(records(self.p), self.sound)
        for key, value in counts.items():
            self.assertEqual(sum(s[key] for s in said["mended"]), value,
                             said["mended"])
        names = {s["number"] for s in said["mended"] if s["was"] == "damaged"}
        self.assertEqual({int(p.name[:8], 16) for p in
                          (self.p / "journal").glob("*.damaged")}, names)
        return said["mended"]

    def mended_whole(self, **counts):
        """Likewise, and the next repair leaves nothing of it."""
        mended = self.mended(**counts)
        names = {s["number"] for s in mended if s["was"] == "damaged"}
        self.mbj("fsck", self.p, "--deep")
        gone = self.mbj("fsck", self.p, "--repair", "--json").json()
        self.assertEqual(len(gone["repairs"]), len(names))
        self.assertTrue(all(r["removed"] for r in gone["repairs"]))
        self.assertEqual(list((self.p / "journal").glob("*.damaged")), [])
        self.assertEqual(self.mend().json()["mended"], [])
        self.mbj("verify", self.p, self.r)
        return mended

    def unchanged(self, status, *words, source=None):
        """It is refused, with these words, and nothing was changed."""
        before = self.files()
        said = self.mend(source=source, status=status)
        for word in words:
            self.assertIn(word, said.err)
        self.assertEqual(self.files(), before)

    def stale(self):
        """A primary after a power cut: three groups more, which the replica
        has, and the mark of what was published is from before."""
        mark = (self.p / "journal" / "published").read_bytes()
        for name in ("B>Q", "Q>R", "R>S"):
            self.mbj("rename", self.p, "alice", name)
        self.replay()
        (self.p / "journal" / "published").write_bytes(mark)
        self.sound = records(self.p)
        path = self.segments()[-1]
        shutil.rmtree(self.kept)
        shutil.copytree(self.p, self.kept)
        return path
