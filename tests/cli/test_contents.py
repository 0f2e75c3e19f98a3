#!/usr/bin/env python3
"""Stores that keep contents packed on disk, and those that do not, beside each
other: what comes out is the same, wherever it went.
"""
import hashlib
import json
import pathlib
import socket
import subprocess
import sys
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import mbjtest  # noqa: E402
from mbjtest import CORRUPT, OK, USAGE  # noqa: E402
from servetest import ServiceCase  # noqa: E402

WORDS = ("mailbox", "renamed", "Subject:", "of", "\r\n", "the")


class Contents(ServiceCase):
    def setUp(self):
        super().setUp()
        self.rng = mbjtest.seed()
        self.packed = self.dir / "packed"
        self.mbj("init", self.packed, "--contents", "zstd:5")
        self.mbj("import", self.packed, "alice", stdin='{"list":[]}')
        self.bodies = [self.text(n) for n in (100, 5_000, 90_000, 300_000)]
        self.bodies.append(b"Subject: noise\n\n" + self.rng.randbytes(50_000))
        for body in self.bodies:
            self.deliver(self.packed, body)

    def text(self, size):
        words = self.rng.choices(WORDS, k=size // 4)
        return ("Subject: text\n\n" + " ".join(words)).encode()[:size]

    def deliver(self, store, body):
        self.assertEqual(subprocess.run(
            [mbjtest.MBJ, "deliver", str(store), "alice"], input=body,
            check=False).returncode, OK)

    def files(self, store):
        return sorted(p for p in (store / "blobs").glob("??/*"))

    def size(self, store):
        return sum(p.stat().st_size for p in self.files(store))

    def kinds(self, store):
        """How many are packed, and how many not."""
        packed = sum(p.suffix == ".zst" for p in self.files(store))
        return packed, len(self.files(store)) - packed

    def check(self, store):
        """All of it is there, byte for byte."""
        self.mbj("fsck", store, "--deep")
        listed = self.mbj("messages", store, "alice", "INBOX", "--json").json()
        got = set()
        for message in listed["messages"]:
            result = subprocess.run(
                [mbjtest.MBJ, "cat", str(store), "alice", "INBOX",
                 str(message["uid"])], capture_output=True, check=True)
            got.add(result.stdout)
        self.assertEqual(len(got), len(self.bodies))
        for body in self.bodies:
            self.assertTrue(any(text.endswith(body) for text in got))

    def setting(self, store):
        return self.mbj("status", store, "--json").json()["contentsPacked"]

    def test_setting(self):
        """Goal: the setting is the store's, shown, and settled; wrong ones are
        refused; by default there is none."""
        self.assertEqual(self.setting(self.packed), "zstd:5")
        self.assertIn("zstd:5", self.mbj("status", self.packed).out)
        self.assertIsNone(self.setting(self.p))
        self.assertNotIn("contents", self.mbj("status", self.p).out)
        for wrong in ("zstd:0", "zstd:10", "zstd:", "zstdx", "gzip", ""):
            result = self.mbj("init", self.dir / "no", "--contents", wrong,
                              status=USAGE)
            self.assertIn("--contents", result.err)
            self.assertFalse((self.dir / "no").exists())
        backup = self.dir / "backup"
        self.mbj("backup", self.packed, backup, "--contents", "zstd")
        self.assertEqual(self.setting(backup), "zstd:3")
        self.mbj("backup", self.packed, backup, "--contents", "zstd:3")
        self.mbj("backup", self.packed, backup)
        result = self.mbj("backup", self.packed, backup, "--contents", "zstd:4",
                          status=USAGE)
        self.assertIn("made otherwise", result.err)

    def test_setting_served(self):
        """Goal: the setting is told of a store that is served, by the verb and
        over HTTP; of a socket alone nothing is said of it."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            at = "127.0.0.1:%d" % free.getsockname()[1]
        self.serve("--http", at, store=self.packed)
        self.assertEqual(self.setting(self.packed), "zstd:5")
        told = []

        def ask():
            try:
                with urllib.request.urlopen(f"http://{at}/status.json",
                                            timeout=30) as answer:
                    told.append(json.load(answer)["contentsPacked"])
            except urllib.error.HTTPError as error:
                # It has not looked yet.
                self.assertEqual(error.code, 503)
            return told

        self.until(ask)
        self.assertEqual(told, ["zstd:5"])
        bare = self.mbj("status", self.packed / "socket", "--json").json()
        self.assertNotIn("contentsPacked", bare)
        self.assertIn("ownedBy", bare)
        self.stop()

    def test_cut(self):
        """Goal: a packed content that was cut is not counted as there: fsck
        says so, the next one who brings the bytes mends it, and a backup does
        not call itself whole.  Method: all but the head lost, the last byte
        lost, something behind."""
        body = self.bodies[2]
        digest = hashlib.sha256(body).hexdigest()
        path = self.packed / "blobs" / digest[:2] / (digest[2:] + ".zst")
        whole = path.read_bytes()
        for broken in (whole[:100], whole[:-1], whole + b"x", whole[:20]):
            path.write_bytes(broken)
            result = self.mbj("fsck", self.packed, status=CORRUPT)
            self.assertIn(path.stem, result.out + result.err)
            self.deliver(self.packed, body)
            self.assertEqual(path.read_bytes(), whole)
            self.mbj("fsck", self.packed, "--deep")
        # The same of a backup, which the next one mends.
        backup = self.dir / "backup"
        self.mbj("backup", self.packed, backup, "--contents", "zstd:5")
        copy = backup / path.relative_to(self.packed)
        copy.write_bytes(whole[:100])
        self.deliver(self.packed, body)
        self.mbj("backup", self.packed, backup)
        self.assertEqual(copy.read_bytes(), whole)
        self.mbj("restore", backup, self.dir / "restored")
        self.mbj("fsck", self.dir / "restored", "--deep")

    def test_between(self):
        """Goal: each store has its own form, and none that it does not know.
        Method: replay, clone, backup and restore from a packed store and from
        a plain one, to each kind."""
        self.assertEqual(self.kinds(self.packed), (3, 2))
        self.assertLess(self.size(self.packed),
                        sum(map(len, self.bodies)) / 2 + 50_000)
        self.check(self.packed)
        sources = {self.packed: 3}
        for number, source in enumerate((self.packed, "plain")):
            if source == "plain":
                source = next(s for s, n in sources.items() if n == 0)
            for level in ((), ("--contents", "zstd:1")):
                name = f"{number}{len(level)}"
                made = [self.dir / f"{verb}{name}" for verb in
                        ("replica", "clone", "backup", "restored")]
                self.mbj("init", made[0], "--role", "replica", *level)
                self.mbj("replay", source, made[0])
                self.mbj("clone", made[1], *level, "--exec",
                         f"{mbjtest.MBJ} send {source}")
                self.mbj("backup", source, made[2], *level)
                self.mbj("restore", made[2], made[3], *level)
                for store in made:
                    self.check(store)
                    self.assertEqual(self.setting(store),
                                     "zstd:1" if level else None)
                    packed, plain = self.kinds(store)
                    self.assertEqual(packed + plain, 5)
                    if not level:
                        self.assertEqual(packed, 0)
                        sources[store] = 0
                # A link takes the form that the source has.
                self.assertEqual(self.kinds(made[0])[0],
                                 3 if level and sources[source] else 0)
                for store in made[1:]:
                    self.assertEqual(self.kinds(store)[0],
                                     3 if level else 0, store)
                self.mbj("verify", "--deep", source, made[0])

    def test_damage(self):
        """Goal: what is damaged is named with its digest, and mended by a backup
        that was taken before; what no message has is collected whatever is in
        it."""
        backup = self.dir / "backup"
        self.mbj("backup", self.packed, backup)
        packed = [p for p in self.files(self.packed) if p.suffix == ".zst"]
        for number, change in enumerate((
                lambda b: b[:-1], lambda b: b[:20] + b"x" + b[21:],
                lambda b: b"\0" + b[1:])):
            path = packed[number]
            whole = path.read_bytes()
            path.chmod(0o600)
            path.write_bytes(change(whole))
            digest = f"{path.parent.name}/{path.stem}"
            for verb in (("fsck", self.packed, "--deep"),
                         ("verify", "--deep", self.packed, backup)):
                result = self.mbj(*verb, status=CORRUPT)
                self.assertIn(digest, result.out + result.err)
            path.write_bytes(whole)
            self.mbj("fsck", self.packed, "--deep")
        path.write_bytes(b"")
        self.mbj("expunge", self.packed, "alice", "INBOX", "1:*")
        result = self.mbj("gc", self.packed, "--json").json()
        self.assertEqual(result["removed"], 5)
        self.assertEqual(self.files(self.packed), [])

    def test_twins(self):
        """Goal: of a content that is there twice the repair removes the file
        that is not needed, and none where neither is whole.  Method: each of
        the two, whole, cut, or with a byte that is wrong; a dry run, the run,
        and once more; and a store that packs nothing, which has none."""
        body = self.bodies[2]
        digest = hashlib.sha256(body).hexdigest()
        plain = self.packed / "blobs" / digest[:2] / digest[2:]
        packed = plain.with_suffix(".zst")
        whole = packed.read_bytes()
        rotten = whole[:50] + bytes([whole[50] ^ 1]) + whole[51:]
        for first, second, gone in (
                (whole, body, plain), (whole, body[:-1], plain),
                (whole, b"x" + body[1:], plain), (rotten, body, packed),
                (whole[:-1], body, packed), (b"", body, packed),
                (rotten, b"x" + body[1:], None)):
            packed.write_bytes(first)
            plain.write_bytes(second)
            want = [] if gone is None else [
                {"kind": "twin", "removed": False,
                 "path": str(gone.relative_to(self.packed))}]
            self.assertEqual(self.repairs("-n"), want)
            self.assertTrue(packed.exists() and plain.exists())
            self.assertEqual(self.repairs(),
                             [r | {"removed": True} for r in want])
            self.assertEqual(packed.exists(), gone != packed)
            self.assertEqual(plain.exists(), gone != plain)
            if gone is not None:
                self.check(self.packed)
                self.assertEqual(self.repairs(), [])
        self.deliver(self.p, body)
        there = self.p / "blobs" / digest[:2] / digest[2:]
        there.with_suffix(".zst").write_bytes(whole)
        self.assertEqual(self.mbj("fsck", self.p, "--repair",
                                  "--json").json()["repairs"], [])
        self.assertEqual(there.read_bytes(), body)

    def repairs(self, *options):
        return self.mbj("fsck", self.packed, "--repair", *options,
                        "--json").json()["repairs"]

    def test_repair(self):
        """Goal: an orphan is named by its file and removed, both forms at
        once."""
        path = next(p for p in self.files(self.packed) if p.suffix == ".zst")
        twin = path.parent / ("0" * 62 + ".zst")
        twin.write_bytes(path.read_bytes())
        (path.parent / ("0" * 61 + "1")).write_bytes(b"plain")
        (path.parent / ("0" * 61 + "1.zst")).write_bytes(b"")
        found = self.mbj("fsck", self.packed, "--repair", "-n",
                         "--json").json()["repairs"]
        self.assertEqual([r["path"] for r in found],
                         [str(twin.relative_to(self.packed)),
                          str((path.parent / ("0" * 61 + "1"))
                              .relative_to(self.packed))])
        self.mbj("fsck", self.packed, "--repair")
        self.assertEqual(len(self.files(self.packed)), 5)
        self.check(self.packed)


if __name__ == "__main__":
    unittest.main()
