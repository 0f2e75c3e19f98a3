"""Intents from outside: their verbs, killed clients, a killed service."""
import signal
import socket
import subprocess
import time
import unittest

import mbjtest
from mbjtest import FAILED, OK, REFUSED, ROWS, USAGE, Case


class Intents(Case):
    def setUp(self):
        super().setUp()
        self.account(ROWS)
        self.server = None
        self.addCleanup(self.kill)

    def serve(self):
        self.server = subprocess.Popen([mbjtest.MBJ, "serve", str(self.p)],
                                       stderr=subprocess.DEVNULL)
        for _ in range(6000):
            try:
                with socket.socket(socket.AF_UNIX) as peer:
                    peer.connect(str(self.p / "socket"))
                return
            except OSError:
                self.assertIsNone(self.server.poll(), "the service ended")
                time.sleep(0.01)
        self.fail("the service does not listen")

    def kill(self):
        if self.server is not None:
            self.server.send_signal(signal.SIGKILL)
            self.server.wait()
            self.server = None

    def intents(self, store=None):
        return self.mbj("intents", store or self.p, "--json").json()["list"]

    def listing(self):
        return self.mbj("tree", self.p, "alice", "--json").json()

    def test_verbs(self):
        """Goal: each verb does what it says.  Method: an intent of each kind,
        each outcome, -n and --json, what is wrong."""
        p = self.p
        self.mbj("intent", p, "alice", "A>Q", "-n")
        self.assertEqual(self.intents(), [])
        made = self.mbj("intent", p, "alice", "A>Q", "--producer", "lmtp",
                        "--json").json()
        self.assertEqual(made["schema"], "mbj.intent/1")
        (shown,) = self.intents()
        self.assertEqual((shown["id"], shown["account"], shown["producer"],
                          shown["kind"]),
                         (made["id"], "alice", "lmtp", "rename"))
        (doubt,) = shown["inDoubt"]
        self.assertEqual((doubt["what"], doubt["before"], doubt["after"]),
                         (["move"], "A", "Q"))
        status = self.mbj("status", p, "--json").json()
        self.assertEqual(status["openIntents"], 1)
        self.assertGreaterEqual(status["oldestIntentAge"], 0)
        self.assertIn("1 open", self.mbj("status", p).out)
        text = self.mbj("intents", p, "alice").out
        self.assertIn("A -> Q", text)
        before = self.paths()
        self.mbj("outcome", p, "alice", made["id"], "done", "-n")
        self.assertEqual(self.paths(), before)
        done = self.mbj("outcome", p, "alice", made["id"], "done", "--json",
                        "--request-id", "x").json()
        self.assertEqual(done["id"], made["id"])
        again = self.mbj("outcome", p, "alice", made["id"], "done", "--json",
                         "--request-id", "x").json()
        self.assertEqual(again, done)
        self.assertEqual(self.paths()["Q"], before["A"])
        self.mbj("outcome", p, "alice", made["id"], "done", status=REFUSED)
        self.mbj("outcome", p, "alice", made["id"], "perhaps", status=USAGE)
        self.mbj("outcome", p, "alice", "xyz", "done", status=REFUSED)
        self.mbj("intents", p, "nobody", status=FAILED)
        self.mbj("intent", p, "alice", "Q>B", status=REFUSED)
        self.mbj("intent", p, "alice", stdin={"create": {"k": {"nam": 1}}},
                 status=REFUSED)
        made = self.mbj("intent", p, "alice", "--json",
                        stdin={"create": {"k": {"name": "New"}}}).json()
        self.mbj("outcome", p, "alice", made["id"], "failed")
        self.assertNotIn("New", self.paths())
        self.agree_with_intents()

    def agree_with_intents(self):
        """A replica has the same open intents, also once made anew."""
        self.mbj("intent", self.p, "alice", "B>B2")
        self.replay()
        self.mbj("verify", self.p, self.r)
        here = [i["id"] for i in self.intents()]
        self.assertEqual(len(here), 1)
        self.assertEqual([i["id"] for i in self.intents(self.r)], here)
        for store in (self.p, self.r):
            self.mbj("fsck", store, "--rebuild")
            self.assertEqual([i["id"] for i in self.intents(store)], here)
            self.mbj("fsck", store)
        self.mbj("verify", self.p, self.r)

    def test_resolve(self):
        """Goal: a list settles what it can, and says what it cannot.
        Method: a rename that came true, messages that it does not show."""
        self.mbj("intent", self.p, "alice", "A>Q")
        state = self.listing()["state"]
        tree = self.listing()
        for node in tree["list"]:
            if node["name"] == "A":
                node["name"] = "Q"
            node["uidNext"] = 1
        self.mbj("reconcile", self.p, "alice", "--resolve", "--as-of",
                 str(int(state) - 1), stdin=tree, status=REFUSED)
        self.mbj("reconcile", self.p, "alice", "--resolve", stdin=tree,
                 status=USAGE)
        self.mbj("reconcile", self.p, "alice", "--resolve", "-n", "--as-of",
                 state, stdin=tree)
        self.assertEqual(len(self.intents()), 1)
        done = self.mbj("reconcile", self.p, "alice", "--resolve", "--as-of",
                        state, "--json", stdin=tree).json()
        self.assertEqual((done["intentsClosed"], done["intentsLeft"]), (1, 0))
        self.assertIn("Q", self.paths())
        self.assertIn("result done is_found 1", self.mbj("log", self.p).out)
        tree["list"][0]["uidNext"] = "x"
        self.mbj("reconcile", self.p, "alice", "--resolve", "--as-of",
                 self.listing()["state"], stdin=tree, status=REFUSED)

    def test_killed(self):
        """Goal: whoever is killed, whenever, what is resolved is the server's
        tree, and nothing is done twice.  Method: a server whose folders are a
        dictionary; after each step the client may be gone, and the service
        killed with SIGKILL."""
        rng = mbjtest.seed()
        folders = {i: p for p, i in self.paths().items() if "/" not in p
                   and p != "INBOX"}
        for node in list(self.paths().values()):
            folders.setdefault(node, None)
        self.serve()
        for turn in range(5):
            ids = [i for i, p in folders.items() if p]
            one = rng.choice(ids)
            target = f"f{turn}"
            step = rng.randrange(4)
            made = self.mbj("intent", self.p, "alice",
                            f"{folders[one]}>{target}", "--json").json()
            if step == 0:  # before its storage was changed
                died = True
            else:
                folders[one] = target
                died = step == 1  # and behind that
            if rng.randrange(3) == 0:
                self.kill()
                self.serve()
            if died:
                self.assertEqual([i["id"] for i in self.intents()],
                                 [made["id"]])
                tree = self.listing()
                for node in tree["list"]:
                    if folders.get(node["id"]):
                        node["name"] = folders[node["id"]]
                closed = self.mbj("reconcile", self.p, "alice", "--resolve",
                                  "--as-of", tree["state"], "--json",
                                  stdin=tree).json()
                self.assertEqual(closed["intentsClosed"], 1)
            else:
                self.mbj("outcome", self.p, "alice", made["id"], "done")
            self.assertEqual(self.intents(), [])
            paths = self.paths()
            for i, path in folders.items():
                if path:
                    self.assertEqual(paths[path], i)
        self.kill()
        self.mbj("fsck", self.p)


if __name__ == "__main__":
    unittest.main()
