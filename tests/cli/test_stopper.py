#!/usr/bin/env python3
"""A group that ends the program: mbj_dying is the command with an assertion
that fails while one group is applied on a replica."""
import os
import pathlib
import shlex
import signal
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import OK, PARTIAL, ROWS, crc32c, listing, run  # noqa: E402
from servetest import ServiceCase  # noqa: E402

DYING = os.environ.get("MBJ_DYING")
NOTE, STOPPER = 64, 48


class Stopper(ServiceCase):
    """alice's group 3 ends it; 4 and 5 are bob's and alice's."""

    def setUp(self):
        super().setUp()
        if not DYING:
            self.skipTest("MBJ_DYING names no mbj_dying")
        self.mbj("import", self.p, "bob", stdin=listing(ROWS))
        self.replay()
        self.mbj("rename", self.p, "alice", "A>Z")
        self.mbj("rename", self.p, "bob", "A>Y")
        self.mbj("subscribe", self.p, "alice", "Lists")

    def dying(self, *arguments, at=3, of="abort"):
        """The status of one that meets the group, or does not."""
        env = dict(os.environ, MBJ_DIES_AT=str(at), MBJ_DIES_OF=of)
        done = subprocess.run([DYING, *map(str, arguments)], env=env,
                              capture_output=True, timeout=60, check=False)
        self.said = done.stderr.decode()
        return done.returncode

    def replay_dying(self, **options):
        return self.dying("replay", self.p, self.r, **options)

    def park(self, at=3):
        """The first one ends in a batch, which says nothing of the group."""
        for _ in range(3):
            self.assertEqual(self.replay_dying(at=at), -signal.SIGABRT)
        self.assertEqual(self.replay_dying(at=at), PARTIAL, self.said)

    def parked(self):
        return sorted((p["account"], p["groups"]) for p in
                      run("status", self.r, "--json").json()["parked"])

    def version_set(self, version, group=3):
        """Whom it ended was another version."""
        path = self.r / "applying"
        data = bytearray(path.read_bytes())
        places = [at for at in range(NOTE, len(data), STOPPER)
                  if data[at:at + 8] == struct.pack("<Q", group)]
        self.assertEqual(len(places), 1)
        at = places[0]
        data[at + 8:at + 40] = version.encode().ljust(32, b"\0")
        data[at + 44:at + 48] = struct.pack("<I", crc32c(data[at:at + 44]))
        path.write_bytes(data)

    def test_costs_one_account(self):
        """Goal: a group that ends each process that applies it costs its
        account alone, after three of them.  Method: as systemd does, begun
        again; then all others have all, it waits in order, and who looks hears
        why; the same of a state that is made anew."""
        self.park()
        self.assertEqual(self.parked(), [("alice", 2)])
        self.assertEqual(self.tree(self.r, "bob"), self.tree(self.p, "bob"))
        line = run("quarantine", self.r, "list").out
        self.assertIn("2 groups from 3: group 3: the program, version ", line)
        self.assertIn("ended twice while it was applied", line)
        (entry,) = self.mbj("quarantine", self.r, "audit",
                            "--json").json()["list"]
        self.assertEqual((entry["kind"], entry["account"], entry["first"]),
                         ("park", "alice", 3))
        for _ in range(2):
            self.mbj("rename", self.p, "bob", "Y>X")
            self.assertEqual(self.replay_dying(), PARTIAL, self.said)
            self.mbj("rename", self.p, "bob", "X>Y")
        self.assertEqual(self.dying("fsck", self.r, "--rebuild"), OK,
                         self.said)
        self.assertEqual(self.parked(), [("alice", 2)])

    def test_comes_back(self):
        """Goal: it is tried again where somebody asks for it, and by a later
        version by itself; not by the one that it ended.  Method: the command
        without the bug, of the same version and of another one; one with the
        bug that somebody asks, and another version with the bug."""
        self.park()
        self.replay(status=PARTIAL)
        self.assertEqual(self.parked(), [("alice", 2)])
        self.version_set("0.1.0")
        for _ in range(2):
            self.assertEqual(self.replay_dying(), -signal.SIGABRT)
        self.assertEqual(self.replay_dying(), PARTIAL, self.said)
        self.assertEqual(self.dying("quarantine", self.r, "retry", "alice"),
                         -signal.SIGABRT)
        self.assertEqual(self.replay_dying(), PARTIAL, self.said)
        self.version_set("0.1.0")
        self.replay()
        self.assertEqual(self.parked(), [])
        self.mbj("verify", "--deep", self.p, self.r)

    def test_asked(self):
        """Goal: the same version carries it out where somebody asks, and
        knows nothing against it then.  Method: a state made anew."""
        self.park()
        self.mbj("quarantine", self.r, "retry", "alice")
        self.mbj("verify", "--deep", self.p, self.r)
        self.mbj("fsck", self.r, "--rebuild")
        self.assertEqual(self.parked(), [])
        self.mbj("verify", "--deep", self.p, self.r)

    def test_behind_another(self):
        """Goal: one that ends the program only behind another group of the
        same pass is a stopper, too.  Method: two accounts that a later version
        tries; it looks at both, and that goes well."""
        self.park()
        self.mbj("rename", self.p, "bob", "Y>X")
        self.park(at=6)
        self.assertEqual(self.parked(), [("alice", 2), ("bob", 1)])
        for group in (3, 6):
            self.version_set("0.1.0", group)
        for _ in range(2):
            self.assertEqual(self.replay_dying(at=6, of="second"),
                             -signal.SIGABRT)
        self.assertEqual(self.replay_dying(at=6, of="second"), PARTIAL,
                         self.said)
        self.assertEqual(self.parked(), [("bob", 1)])
        self.assertEqual(self.tree(self.r, "alice"),
                         self.tree(self.p, "alice"))

    def test_resync(self):
        """Goal: what heals any account heals this one, with the bug.  Method:
        a snapshot of the source behind it; giving the group up."""
        self.park()
        self.mbj("snapshot", self.p)
        self.assertEqual(self.dying("quarantine", self.r, "resync", "alice",
                                    "--from", self.p), OK, self.said)
        self.mbj("verify", "--deep", self.p, self.r)

    def test_skip(self):
        """Goal: the group can be given up, and the program does not end for
        it."""
        self.park()
        self.assertIn(self.dying("quarantine", self.r, "skip", "alice",
                                 "--acknowledge", "3"), (OK, PARTIAL),
                      self.said)
        self.assertEqual(self.parked(), [])

    def test_killed(self):
        """Goal: whoever kills is not taken for a bug.  Method: killed in a
        group, or in two, one after the other; what was noted is over when all
        went well."""
        self.assertEqual(self.replay_dying(of="kill"), -signal.SIGKILL)
        self.replay()
        self.mbj("verify", self.p, self.r)
        self.mbj("rename", self.p, "alice", "Z>A")
        for at in (6, 6):
            self.assertEqual(self.replay_dying(at=at, of="kill"),
                             -signal.SIGKILL)
        self.replay()
        self.mbj("rename", self.p, "alice", "A>Z")
        self.mbj("rename", self.p, "bob", "Y>A")
        self.mbj("rename", self.p, "alice", "Z>A")
        for at in (7, 8, 9):
            self.assertEqual(self.replay_dying(at=at, of="kill"),
                             -signal.SIGKILL)
        self.replay()
        self.assertEqual(self.parked(), [])
        self.mbj("verify", self.p, self.r)

    def test_until(self):
        """Goal: a run that is not to apply all says nothing of the rest.
        Method: one to before the group, between processes that end in it."""
        self.assertEqual(self.replay_dying(at=4), -signal.SIGABRT)
        self.mbj("replay", self.p, self.r, "--until", "3")
        for _ in range(2):
            self.assertEqual(self.replay_dying(at=4), -signal.SIGABRT)
        self.assertEqual(self.replay_dying(at=4), PARTIAL, self.said)
        self.assertEqual(self.parked(), [("bob", 1)])

    def test_note_damaged(self):
        """Goal: a note that is damaged, or cannot be written, costs nobody
        anything.  Method: each, before and after a process that ended."""
        self.assertEqual(self.replay_dying(), -signal.SIGABRT)
        path = self.r / "applying"
        data = bytearray(path.read_bytes())
        data[9] ^= 1
        path.write_bytes(data)
        self.park()
        path.unlink()
        path.mkdir()
        self.mbj("quarantine", self.r, "retry", "alice")
        self.mbj("verify", self.p, self.r)

    def test_service(self):
        """Goal: a service that systemd begins again goes on.  Method: begun
        again until it stays; its status has the account aside."""
        env = dict(os.environ, MBJ_DIES_AT="3")
        carrier = f"{shlex.quote(DYING)} send {shlex.quote(str(self.p))}"
        ends = []
        while len(ends) < 5:
            server = subprocess.Popen(
                [DYING, "serve", str(self.r), "--exec", carrier], env=env,
                stderr=subprocess.PIPE)
            try:  # long for one that is to end, on a busy machine
                server.communicate(timeout=60 if len(ends) < 3 else 5)
                ends.append(server.returncode)
            except subprocess.TimeoutExpired:
                break
        try:
            self.assertEqual(ends, [-signal.SIGABRT] * 3)
            status = run("status", self.r)
            self.assertEqual(status.status, PARTIAL)
            self.assertIn("1 parked", status.out)
            self.assertIn("ended twice while it was applied", status.out)
            self.assertEqual(self.tree(self.r, "bob"),
                             self.tree(self.p, "bob"))
        finally:
            server.terminate()
            server.communicate()


if __name__ == "__main__":
    unittest.main()
