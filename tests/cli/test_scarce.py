"""The service where something runs out: descriptors, the disk, memory, the
folder of contents.  Nothing acknowledged is lost, and it goes on by itself."""
import errno
import hashlib
import os
import re
import resource
import shutil
import struct
import subprocess
import threading
import unittest

import mbjtest
from mbjtest import (CORRUPT, FAILED, LOCKED, OK, ROWS, TEMPORARY, USAGE,
                     listing, mailbox_id, run)
from servetest import HEAD, ServiceCase

CLIENTS = 64
BLOB_OPEN, BLOB_WRITE, BLOB_FINISH = 8, 10, 11
ANSWER, REFUSAL = 1, 2


def limit(what, n):
    return lambda: resource.setrlimit(what, (n, n))


class Scarce(ServiceCase):

    def disk(self, size):
        """The stores on a file system of their own that is as small."""
        disk = self.dir / "disk"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none",
                           disk], stderr=subprocess.DEVNULL,
                          check=False).returncode != 0:
            self.skipTest("cannot mount a small file system")
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=False)
        self.addCleanup(self.kill)
        shutil.copytree(self.p, disk / "p")
        self.p = disk / "p"
        return disk

    def deliver(self, body, status=OK):
        return self.mbj("deliver", self.p, "alice", "INBOX", "--json",
                        stdin=body, status=status)

    def messages(self):
        return {m["uid"]: m["size"] for m in self.mbj(
            "messages", self.p, "alice", "INBOX").json()["messages"]}

    def test_many_clients(self):
        """Goal: 64 clients at once get what each alone would get.  Method:
        each delivers and reads back; none of it is lost or mixed up."""
        self.serve()
        failed = []

        def produce(number):
            for i in range(2):
                body = f"{number}.{i}\n" * (number + 1)
                done = run("deliver", self.p, "alice", "INBOX", "--json",
                           stdin=body)
                back = done.status == OK and run(
                    "cat", self.p, "alice", "INBOX", done.json()["uid"])
                if not back or back.out != body:
                    failed.append((number, done.err, back and back.err))
        threads = [threading.Thread(target=produce, args=(n,))
                   for n in range(CLIENTS)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(failed, [])
        self.assertEqual(len(self.messages()), 2 * CLIENTS)
        self.stop()
        self.mbj("fsck", self.p)

    def test_descriptors(self):
        """Goal: without descriptors for one more, a client is told at once,
        and those that are in are served.  Method: a limit of 64 open files,
        clients that stay in the midst of a request."""
        self.serve(preexec=limit(resource.RLIMIT_NOFILE, 64))
        most = self.mbj("status", self.p, "--json").json()["service"][
            "connectionsMax"]
        self.assertLess(most, 64)
        stay = [self.hello() for _ in range(most)]
        for s in stay:  # who has begun to ask does not give way
            s.sendall(b"x")
        said = self.deliver(b"one\r\n", status=TEMPORARY)
        self.assertIn(f"{most} connections are open", said.err)
        self.assertIn("connections are open", self.mbj(
            "tree", self.p, "alice", status=LOCKED).err)
        stay.pop().close()
        self.until(lambda: run("tree", self.p, "alice").status == OK)
        # All at once, and each of them with work that takes descriptors.
        while stay:
            stay.pop().close()
        self.until(lambda: run("tree", self.p, "alice").status == OK)
        for _ in range(3):
            self.deliver(os.urandom(300_000))
        self.assertEqual(len(self.messages()), 3)
        self.stop()

    def test_bodies(self):
        """Goal: a connection has one body under way, and so no more files than
        it is counted with.  Method: as many as there are places begin to write
        one, and ask for one to read."""
        body = b"x" * 100_000
        piece = struct.pack("<I", len(body)) + body

        def ask(s, kind, asked):
            s.sendall(HEAD.pack(len(asked), kind, 0, 1) + asked)
            size, _, side, _ = HEAD.unpack(self.read(s, HEAD.size))
            return side, self.read(s, size)
        self.serve(preexec=limit(resource.RLIMIT_NOFILE, 600))
        most = self.mbj("status", self.p, "--json").json()["service"][
            "connectionsMax"]
        self.assertGreater(3 * most, 600)
        self.deliver(body)
        digest = hashlib.sha256(body).digest()
        all_of_it = [self.hello() for _ in range(most - 3)]
        for s in all_of_it:
            self.assertEqual(ask(s, BLOB_WRITE, piece), (ANSWER, b""))
            side, said = ask(s, BLOB_OPEN, digest)
            self.assertEqual(side, REFUSAL)
            self.assertIn(b"a message is being written", said)
        self.deliver(os.urandom(300_000))
        for s in all_of_it:  # what was begun goes on
            self.assertEqual(ask(s, BLOB_FINISH, b""), (
                ANSWER, digest + struct.pack("<Q", len(body))))
            self.assertEqual(ask(s, BLOB_OPEN, digest)[0], ANSWER)
            s.close()
        self.stop()

    def test_content_log(self):
        """Goal: contents whose log fails are stored without it, which is said,
        and why, and with it again by itself.  Method: a directory where its
        first file belongs, and not any more."""
        def service():
            return self.mbj("status", self.p, "--json").json()["service"]

        def said():
            now = service()
            return now["contentLog"], now["contentLogFailures"]
        why = f"{self.p}/blobs/log.0: {os.strerror(errno.EISDIR)}"
        words = "contents   their log failed, and is tried again"
        self.serve()
        self.mbj("gc", self.p, "--dry-run")  # they are open from now on
        self.assertEqual(said(), (1, 0))
        self.assertIsNone(service()["contentLogReason"])
        (self.p / "blobs" / "log.0").mkdir()
        bodies = [os.urandom(5000) for _ in range(2)]
        uid = self.deliver(bodies[0]).json()["uid"]
        self.assertEqual(said(), (0, 1))
        out = self.mbj("status", self.p).out
        self.assertRegex(out, f"(?m){words}: .*\n +.*{re.escape(why)}$")
        self.assertIn(why, service()["contentLogReason"])
        (self.p / "blobs" / "log.0").rmdir()
        self.until(lambda: said() == (1, 1))
        self.assertNotIn("log.0", self.mbj("status", self.p).out)
        # What it was is of use to whoever comes later.
        self.assertIn(why, service()["contentLogReason"])
        self.assertNotEqual(self.deliver(bodies[1]).json()["uid"], uid)
        self.assertTrue(list((self.p / "blobs").glob("log.*")))
        self.stop()
        self.assertFalse(list((self.p / "blobs").glob("log.*")))
        self.assertEqual(sorted(self.messages().values()), [5000, 5000])
        self.mbj("fsck", self.p)

    def test_no_descriptors(self):
        """Goal: a limit that leaves none for clients is named."""
        said = subprocess.run(
            [mbjtest.MBJ, "serve", str(self.p)], capture_output=True,
            preexec_fn=limit(resource.RLIMIT_NOFILE, 30), check=False)
        self.assertNotEqual(said.returncode, OK)
        self.assertIn(b"30 open files are allowed", said.stderr)
        self.mbj("fsck", self.p)

    def test_full_disk(self):
        """Goal: a full disk refuses, loses nothing, and needs nobody to go on
        once it has space.  Method: a small tmpfs, filled and emptied."""
        disk = self.disk("128m")
        self.serve()
        sure = {}
        for i in range(3):
            body = os.urandom(10_000)
            sure[self.deliver(body).json()["uid"]] = len(body)
        ballast = disk / "ballast"
        with open(ballast, "wb") as f, self.assertRaises(OSError):
            while True:
                os.write(f.fileno(), b"x" * 65536)
        said = self.deliver(b"no room\r\n", status=TEMPORARY)
        self.assertIn("no space left", said.err)
        self.assertIn("no space left", self.mbj(
            "rename", self.p, "alice", "A>Z", status=TEMPORARY).err)
        self.mbj("tree", self.p, "alice")
        self.assertEqual(self.messages(), sure)
        # What makes room has room: the service kept some.
        said = self.mbj("status", self.p).out
        self.assertIn("edits are refused", said)
        self.assertIn("reserve    16777216 bytes", said)
        uid = min(sure)
        self.mbj("expunge", self.p, "alice", "INBOX", str(uid))
        del sure[uid]
        self.assertEqual(self.messages(), sure)
        status = self.mbj("status", self.p, "--json").json()
        self.assertEqual(status["spaceReserve"], 0)
        self.deliver(b"still no room for more\r\n" * 400_000,
                     status=TEMPORARY)
        self.stop()
        self.mbj("gc", self.p)
        self.assertEqual(self.messages(), sure)
        ballast.unlink()
        self.serve()
        status = self.mbj("status", self.p, "--json").json()
        self.assertEqual(status["spaceReserve"], 16 << 20)
        self.mbj("rename", self.p, "alice", "A>Z")
        sure[self.deliver(b"room\r\n").json()["uid"]] = 6
        self.assertEqual(self.messages(), sure)
        self.stop()
        self.mbj("fsck", self.p)

    def test_read_only(self):
        """Goal: where the disk can no longer be written, that is what is
        said, and nothing acknowledged is lost.  Method: a file system that
        is made read-only under a store that is closed; then writable."""
        disk = self.disk("64m")
        self.serve()
        sure = self.deliver(b"kept\r\n").json()["uid"]
        self.stop()
        remount = ["mount", "-o", "remount,ro", "none", disk]
        subprocess.run(remount, check=True)
        for words in (["serve", self.p], ["deliver", self.p, "alice"],
                      ["tree", self.p, "alice"]):
            said = run(*words, stdin=b"lost\r\n")
            self.assertNotEqual(said.status, OK)
            self.assertIn("Read-only file system", said.err)
            self.assertIn(str(self.p), said.err)
        remount[2] = "remount,rw"
        subprocess.run(remount, check=True)
        self.assertEqual(list(self.messages()), [sure])
        self.mbj("fsck", self.p)

    def test_memory(self):
        """Goal: without memory a client is told, and the service lives.
        Method: an address space that the requests of four do not fit into,
        which ask for the longest there are; then others go on."""
        self.serve()
        with open(f"/proc/{self.server.pid}/status", encoding="ascii") as f:
            size = [int(line.split()[1]) << 10 for line in f
                    if line.startswith("VmSize")][0]
        self.stop()
        if size > 1 << 40:
            self.skipTest("a sanitizer needs its own memory")
        self.serve(preexec=limit(resource.RLIMIT_AS, size + (100 << 20)))
        answers = []

        def ask():
            s = self.hello()
            try:
                s.sendall(HEAD.pack(60 << 20, 2, 0, 9))
                for _ in range(60):
                    s.sendall(b"\xff" * (1 << 20))
            except OSError:
                pass  # It says why, and reads no more.
            try:
                answers.append(s.recv(1000))
            except OSError:
                answers.append(b"")
            s.close()
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertTrue(any(b"out of memory" in a for a in answers), answers)
        for _ in range(3):
            self.deliver(b"after that\r\n")
        self.stop()
        self.mbj("fsck", self.p)

    def test_cache(self):
        """Goal: --cache is how many pages of the state stay in memory.
        Method: pages that have no room there are written before they need
        be: the tables' file grows before any checkpoint."""
        wanted = listing(ROWS + [
            (mailbox_id(1000 + i), f"{i:04}" + "n" * 180, None)
            for i in range(2000)])
        size = {}
        for cache in ("1M", "64MiB"):
            store = self.dir / cache
            shutil.copytree(self.p, store)
            self.serve("--cache", cache, store=store)
            self.mbj("reconcile", store, "alice", stdin=wanted)
            size[cache] = (store / "state" / "state.db").stat().st_size
            self.stop()
            self.mbj("fsck", store, "--rebuild", "--cache", cache)
        self.assertGreater(size["1M"], 2 * size["64MiB"], size)
        for words in (("serve", self.p), ("replay", self.p, self.r),
                      ("fsck", self.p), ("follow", self.r, "--from", "x")):
            for cache in ("0", "1000K", "257G", "64m", "-1"):
                said = self.mbj(*words, "--cache=" + cache, status=USAGE)
                self.assertIn(f'"{cache}"', said.err)

    def test_lost_contents(self):
        """Goal: contents that somebody removed are named, one by one, and
        others can be stored.  Method: the folder removed beneath the
        service, and while it is away."""
        self.serve()
        lost = self.deliver(b"lost\r\n").json()["uid"]
        self.stop()
        shutil.rmtree(self.p / "blobs")
        self.serve()
        said = self.mbj("cat", self.p, "alice", "INBOX", lost, status=FAILED)
        self.assertIn("no blob", said.err)
        kept = self.deliver(b"kept\r\n").json()["uid"]
        self.assertEqual(self.mbj("cat", self.p, "alice", "INBOX", kept).out,
                         "kept\r\n")
        self.assertEqual(sorted(self.messages()), [lost, kept])
        # The same content again is what was lost.
        self.deliver(b"lost\r\n")
        self.assertEqual(self.mbj("cat", self.p, "alice", "INBOX", lost).out,
                         "lost\r\n")
        shutil.rmtree(self.p / "blobs")
        said = self.deliver(b"nowhere\r\n", status=TEMPORARY)
        self.assertIn(str(self.p / "blobs"), said.err)
        self.stop()
        self.serve()
        self.deliver(b"after that\r\n")
        self.stop()
        said = self.mbj("fsck", self.p, status=CORRUPT)
        self.assertEqual(said.err.count("no blob"), 2)


if __name__ == "__main__":
    unittest.main()
