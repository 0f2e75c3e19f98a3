"""The example programs of docs/examples, alone and through the service."""
import os
import pathlib
import subprocess
import time
import unittest

import mbjtest
from mbjtest import OK, ROWS, Case

EXAMPLES = pathlib.Path(os.environ["MBJ_EXAMPLES"])
MESSAGE = b"Subject: hello\r\n\r\nworld\r\n"


def example(name, *arguments, stdin=b""):
    return subprocess.run(
        [EXAMPLES / f"example_{name}", *map(str, arguments)], input=stdin,
        capture_output=True, timeout=120, check=False)


class Examples(Case):
    def setUp(self):
        super().setUp()
        self.account(ROWS)

    def good(self, name, *arguments, **more):
        result = example(name, *arguments, **more)
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return result.stdout.decode()

    def bad(self, status, words, name, *arguments, **more):
        result = example(name, *arguments, **more)
        self.assertEqual(result.returncode, status)
        self.assertIn(words, result.stderr.decode())

    def play(self):
        """What the examples do, whoever owns the store."""
        before = self.paths()
        self.assertIn("UID 1,", self.good("append", self.p, "alice", "A",
                                          stdin=MESSAGE))
        self.assertIn("UID 2,", self.good("append", self.p, "alice", "A",
                                          stdin=MESSAGE))
        self.assertIn("1 parked", self.good("swap", self.p, "alice", "A",
                                            "B"))
        after = self.paths()
        self.assertEqual((after["A"], after["B"]), (before["B"], before["A"]))
        # The messages went with their mailbox.
        self.assertEqual(self.mbj("cat", self.p, "alice", "B", "2").out,
                         MESSAGE.decode())
        self.bad(1, "nowhere", "append", self.p, "alice", "nowhere",
                 stdin=MESSAGE)
        self.bad(1, "nobody", "swap", self.p, "nobody", "A", "B")
        self.bad(2, "STORE", "swap", self.p)

    def intent(self):
        """A server with its own storage, killed between its steps."""
        folders = self.p.parent / "folders"
        for number, name in enumerate(("Work", "Old", "Sent")):
            (folders / name).mkdir(parents=True)
            (folders / name / "id").write_text(mbjtest.mailbox_id(900 + number))
        arguments = ("intent", self.p, "imap", folders)

        def same():
            self.assertEqual(set(self.paths(name="imap")) - {"INBOX"},
                             {f.name for f in folders.iterdir()})
        self.good(*arguments)
        same()
        self.good(*arguments, "Work", "Jobs")
        same()
        # Before the directory was renamed, and behind that.
        for step, wanted in (("intent", {"Jobs", "Old", "Sent"}),
                             ("rename", {"Jobs", "Older", "Sent"})):
            died = example(*arguments, "Old", "Older", step)
            self.assertEqual(died.returncode, -9, died.stderr)
            self.assertIn("open for", self.mbj("intents", self.p, "imap").out)
            self.assertEqual({f.name for f in folders.iterdir()}, wanted)
            self.assertEqual(self.good(*arguments), "1 intents resolved\n")
            same()
            self.assertEqual(self.mbj("intents", self.p).out, "")
        # The storage refuses what the tree would take: the outcome says so.
        (folders / "Full").mkdir()
        (folders / "Full" / "id").write_text(mbjtest.mailbox_id(950))
        self.bad(1, "stays", *arguments, "Sent", "Full")
        self.assertEqual(self.mbj("intents", self.p).out, "")
        self.bad(1, "nowhere", *arguments, "nowhere", "x")
        self.bad(2, "STORE", "intent", self.p)

    def test_alone(self):
        self.play()
        self.intent()
        self.assertIn("0 differences", self.good("mirror", self.p, self.r))
        self.mbj("verify", self.p, self.r)
        self.bad(1, "primary", "mirror", self.p, self.p)

    def test_through_the_service(self):
        server = subprocess.Popen([mbjtest.MBJ, "serve", self.p])
        try:
            for _ in range(6000):
                if (self.p / "socket").exists():
                    break
                time.sleep(0.01)
            self.play()
            self.intent()
        finally:
            server.terminate()
            self.assertEqual(server.wait(60), OK)


if __name__ == "__main__":
    unittest.main()
