#!/usr/bin/env python3
"""A replica made through a stream, of a source whose journal was trimmed."""
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import mbjtest  # noqa: E402
from mbjtest import FAILED, MBJ, OK, REFUSED, USAGE  # noqa: E402
from test_trim import KEEP, TrimCase, flip  # noqa: E402

KILLS = int(os.environ.get("MBJ_KILLS") or 6)
CLONED = (OK, -signal.SIGKILL)


class Clone(TrimCase):
    def setUp(self):
        super().setUp()
        self.send = f"{shlex.quote(str(MBJ))} send {shlex.quote(str(self.p))}"
        self.made = self.dir / "made"

    def clone(self, *options, status=OK):
        return self.mbj("clone", self.made, "--exec", self.send, "--json",
                        *options, status=status)

    def trimmed(self):
        self.grow()
        return self.trim(*KEEP)

    def agree(self):
        self.mbj("verify", "--deep", self.p, self.made)
        self.mbj("fsck", self.made, "--deep")

    def test_whole(self):
        done = self.trimmed()
        self.mbj("deliver", self.p, "alice", stdin="Subject: new\n\nx\n")
        result = self.clone("--name", "far").json()
        status = self.status(self.made)
        self.assertEqual(status["journalFirst"], done["end"] + 1)
        self.assertEqual(status["journalEnd"], done["end"] + 1)
        self.assertEqual(result["groups"], 1)
        self.agree()
        # Again: nothing happens.  It follows like any other, and is a source.
        self.assertEqual(self.clone().json()["groups"], 0)
        self.mbj("deliver", self.p, "alice", stdin="Subject: more\n\nx\n")
        self.mbj("follow", self.made, "--once", "--exec", self.send)
        self.agree()
        other = self.dir / "other"
        self.mbj("clone", other, "--exec",
                 f"{shlex.quote(str(MBJ))} send {shlex.quote(str(self.made))}")
        self.mbj("verify", "--deep", self.p, other)
        shutil.rmtree(self.made / "state")
        self.mbj("follow", self.made, "--once", "--exec", self.send)
        self.agree()

    def test_untrimmed(self):
        """A journal that begins at group 1 is all that is needed."""
        self.mbj("snapshot", self.p)
        self.clone()
        self.assertEqual(self.status(self.made)["journalFirst"], 1)
        self.agree()

    def test_seen(self):
        """Goal: whoever looks at a replica that begins sees how far its
        snapshot is.  Method: one that takes minutes to come; the page, too."""
        self.mbj("import", self.p, "carol", stdin=mbjtest.listing(
            [(mbjtest.mailbox_id(i), f"box {i}", None)
             for i in range(1000, 3000)]))
        self.trimmed()
        self.mbj("init", self.made, "--role", "replica")
        serve = subprocess.Popen(
            [MBJ, "serve", self.made, "--exec", self.send, "--rate", "1KiB",
             "--http", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True)
        self.addCleanup(serve.communicate)
        self.addCleanup(serve.kill)
        line = serve.stderr.readline()
        while " at http://" not in line:
            self.assertTrue(line)
            line = serve.stderr.readline()
        url = line.split(" at ")[1].strip()

        def upstream():
            try:
                with urllib.request.urlopen(url + "status.json") as reply:
                    return json.load(reply).get("upstream", {})
            except urllib.error.HTTPError:  # it was not looked at yet
                return {}
        for _ in range(3000):
            if upstream().get("resync") == "fetching":
                break
            time.sleep(0.02)
        seen = upstream()
        self.assertEqual((seen["resync"], seen["resyncAll"]),
                         ("fetching", True))
        self.assertLess(seen["resyncHere"], seen["resyncSize"])
        with urllib.request.urlopen(url) as reply:
            self.assertRegex(
                reply.read().decode(), ">all of it is made again from a "
                "snapshot of the source: fetching, [0-9]+ of [0-9]+ KiB<")

    def test_served(self):
        """Through a service's listener, while the primary is written to."""
        self.trimmed()
        address = f"unix:{self.dir / 'replicas'}"
        serve = subprocess.Popen([MBJ, "serve", self.p, "--replicas", address],
                                 stderr=subprocess.DEVNULL)
        self.addCleanup(serve.wait)
        self.addCleanup(serve.kill)
        self.appears(self.dir / "replicas")
        for number in range(8):
            self.mbj("deliver", self.p, "alice",
                     stdin=f"Subject: {number}\n\nbeside\n")
            if number == 3:
                self.mbj("clone", self.made, "--from", address)
        self.mbj("clone", self.made, "--from", address)
        serve.send_signal(signal.SIGTERM)
        self.assertEqual(serve.wait(30), OK)
        self.agree()

    def appears(self, path):
        for _ in range(600):
            if path.exists():
                return
            time.sleep(0.05)
        self.fail(f"{path} does not appear")

    def test_held(self):
        """Goal: a trim waits for a replica that is being made.  Method: one
        whose connection breaks within the snapshot."""
        done = self.trimmed()
        size = self.snapshots()[-1].stat().st_size
        cut = f"{self.send} | dd bs=1 count={size // 2} status=none"
        self.mbj("clone", self.made, "--exec", cut, "--name", "slow",
                 "--timeout", "1000",
                 status=FAILED)
        listed = self.mbj("replicas", self.p, "--json").json()["list"]
        self.assertEqual([r["name"] for r in listed], ["slow"])
        self.assertEqual(listed[0]["applied"], done["end"])
        self.grow()
        self.mbj("snapshot", self.p)
        held = self.trim(*KEEP)
        self.assertLessEqual(held["first"], done["end"] + 1)
        self.assertEqual(len(list(self.made.glob("snapshots/*.part"))), 1)
        self.clone()
        self.agree()

    def test_killed(self):
        """Goal: a clone that was killed goes on.  Method: kill -9 at a moment
        by chance, again and again; then once to its end."""
        self.trimmed()
        rng = mbjtest.seed()
        killed = 0
        for _ in range(KILLS):
            process = subprocess.Popen(
                [MBJ, "clone", self.made, "--exec", self.send],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                process.wait(rng.random() * 0.05)
            except subprocess.TimeoutExpired:
                process.kill()
            self.assertIn(process.wait(), CLONED)
            killed += process.returncode != OK
            if process.returncode == OK:
                shutil.rmtree(self.made)
        self.clone()
        self.agree()
        self.assertEqual(self.left(), [])

    def left(self):
        return [p.name for p in self.made.glob("snapshots/*")
                if p.suffix != ".snap"]

    def test_refused(self):
        self.trimmed()
        for options in ((), ("--from", "unix:/x", "--exec", "true")):
            self.mbj("clone", self.made, *options, status=USAGE)
        self.mbj("clone", self.p, "--exec", self.send, status=REFUSED)
        # At the end: what went is nothing that it lacks.
        late = self.mbj("follow", self.r, "--once", "--exec", self.send)
        self.assertEqual(self.status(self.r)["journalFirst"],
                         self.status()["journalEnd"] + 1, late.err)

    def behind(self):
        """The replica falls behind what the source still has."""
        self.mbj("replicas", self.p, "--forget",
                 self.mbj("replicas", self.p, "--json").json()["list"][0]
                 ["instance"])
        self.grow()
        self.trim(*KEEP)

    def test_behind(self):
        """Goal: one that was away for too long begins anew by itself, with what
        it has of contents, and is the same in the register.  Method: with mbj
        follow; beside a service, which ends and is begun again."""
        self.trimmed()
        self.mbj("follow", self.r, "--once", "--exec", self.send)
        before = self.mbj("replicas", self.p, "--json").json()["list"]
        self.behind()
        self.mbj("replay", self.p, self.r, status=REFUSED)
        self.mbj("deliver", self.p, "alice", stdin="Subject: new\n\nx\n")
        late = self.mbj("follow", self.r, "--once", "--exec", self.send)
        self.assertIn("begins anew behind group", late.err)
        self.mbj("verify", "--deep", self.p, self.r)
        self.mbj("fsck", "--deep", self.r)
        after = self.mbj("replicas", self.p, "--json").json()["list"]
        self.assertEqual([r["instance"] for r in after],
                         [r["instance"] for r in before])
        self.behind()
        serve = [MBJ, "serve", str(self.r), "--exec", self.send]
        ended = subprocess.run(serve, stderr=subprocess.PIPE, timeout=60)
        self.assertNotEqual(ended.returncode, OK)
        self.assertIn(b"begins anew", ended.stderr)
        self.mbj("follow", self.r, "--once", "--exec", self.send)
        self.mbj("verify", "--deep", self.p, self.r)

    def test_part_lost(self):
        """Goal: a replica with a part missing is no place for a new one, and
        what is missing is said.  Method: its journal's folder removed."""
        self.clone()
        shutil.rmtree(self.made / "journal")
        result = self.clone(status=FAILED)
        self.assertNotIn("already", result.err)
        self.assertIn("journal", result.err)

    def test_bad(self):
        """A snapshot that is damaged is not taken, nor is there another."""
        self.trimmed()
        for path in self.snapshots():
            flip(path, 300)
        result = self.clone(status=FAILED)
        self.assertRegex(result.err, "damaged at byte .* of the source's "
                         f"snapshots/{max(self.snapshots()).name}; asked for "
                         "another one: .* no snapshot that is good")
        self.assertNotIn(str(self.made), result.err)
        for path in self.snapshots():
            flip(path, 20)
        self.assertIn(f"the newest: {max(self.snapshots())}: the head",
                      self.clone(status=FAILED).err)
        self.mbj("tree", self.made, "alice", status=FAILED)
        self.mbj("snapshot", self.p)
        self.clone()
        self.agree()


if __name__ == "__main__":
    unittest.main()
