"""Requests with an id, from outside: answers that are lost between a service
and its client, and who asks again."""
import json
import os
import signal
import socket
import struct
import subprocess
import threading
import unittest

import mbjtest
from mbjtest import FAILED, OK, REFUSED, ROWS, USAGE, Case
from test_serve import HEAD, Service

SUBMITS, TEMPFAIL, EX_USAGE, EBEHIND = (2, 31), 75, 64, 13


def block(text):
    return struct.pack("<I", len(text)) + text


class Proxy(threading.Thread):
    """Stands between clients and the service.  With an answer to a submit it
    does what action(answer) says: the bytes to pass on, or None to hang up."""

    def __init__(self, path, target, action):
        super().__init__(daemon=True)
        self.target, self.action, self.submits = str(target), action, 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(16)
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,),
                             daemon=True).start()

    def frame(self, s):
        head = self.exactly(s, HEAD.size)
        return head + self.exactly(s, HEAD.unpack(head)[0])

    @staticmethod
    def exactly(s, n):
        got = b""
        while len(got) < n:
            piece = s.recv(n - len(got))
            if not piece:
                raise OSError("closed")
            got += piece
        return got

    def serve(self, client):
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self.target)
            while True:
                server.sendall(self.frame(client))
                answer = self.frame(server)
                if HEAD.unpack_from(answer)[1] in SUBMITS:
                    self.submits += 1
                    answer = self.action(answer)
                if answer is None:
                    break
                client.sendall(answer)
        except OSError:
            pass
        finally:
            client.close()
            server.close()

    def close(self):
        # Or the next listener gets a number that this one's thread waits on.
        if self.is_alive():
            self.listener.shutdown(socket.SHUT_RDWR)
            self.join()
        self.listener.close()


class Requests(Case):
    """A primary with alice, a service, and a proxy before it."""
    serve, wait_for, kill = Service.serve, Service.wait_for, Service.kill
    stop, connect = Service.stop, Service.connect

    def setUp(self):
        super().setUp()
        self.account(ROWS)
        self.server = None
        self.addCleanup(self.kill)
        self.losses = 0

    def proxy(self, action):
        proxy = Proxy(self.dir / "proxy", self.p / "socket", action)
        self.addCleanup(proxy.close)
        return proxy

    def lose(self, answer):
        """Hang up for the first so many answers."""
        self.losses -= 1
        return None if self.losses >= 0 else answer

    def deliver(self, store, body, *options, status=OK):
        return self.mbj("deliver", store, "alice", "INBOX", "--json",
                        *options, stdin=body, status=status)

    def uids(self):
        return [m["uid"] for m in self.mbj(
            "messages", self.p, "alice", "INBOX", "--json").json()["messages"]]

    def test_again(self):
        """Goal: the same request twice is one message, one group and one
        answer, with a service and without; another message with its id is
        refused, for an MTA to try later."""
        for served in (False, True):
            if served:
                self.serve()
            name = f"queue-{served} alice@example.org"
            first = self.deliver(self.p, b"one\n", "--request-id", name)
            lsn = self.lsn()
            again = self.deliver(self.p, b"one\n", "--request-id", name)
            self.assertEqual(first.out, again.out)
            self.assertEqual(lsn, self.lsn())
            other = self.deliver(self.p, b"two\n", "--request-id", name,
                                 status=TEMPFAIL)
            self.assertIn("another edit", other.err)
            self.assertIn(f"--request-id {name}: ", other.err)
            self.assertEqual(lsn, self.lsn())
        self.assertEqual(self.uids(), [1, 2])
        self.deliver(self.p, b"x", "--request-id", "", status=EX_USAGE)

    def lsn(self):
        return self.mbj("status", self.p, "--json").json()["journalEnd"]

    def test_every_verb(self):
        """Goal: each verb that takes a request id answers again what it said,
        and does nothing more.  Method: also creates, whose ids are new."""
        self.deliver(self.p, b"one\n")
        self.deliver(self.p, b"two\n")
        asked = [
            (("set", self.p, "alice"),
             {"create": {"k": {"name": "New"}, "l": {"name": "A"}},
              "update": {mbjtest.B: {"name": "Bee"}}}),
            (("rename", self.p, "alice", "--json", "A>X/Y/Z"), None),
            (("flag", self.p, "alice", "INBOX", "1", "\\Seen", "--json"),
             None),
            (("mv", self.p, "alice", "INBOX", "1", "New", "--json"), None),
            (("expunge", self.p, "alice", "INBOX", "2", "--json"), None)]
        answers, ends = [], []
        for _ in range(2):
            answers.append([
                self.mbj(*words, "--request-id", f"r{number}", stdin=stdin,
                         status=REFUSED if words[0] == "set" else OK).out
                for number, (words, stdin) in enumerate(asked)])
            ends.append(self.lsn())
        self.assertEqual(answers[0], answers[1])
        self.assertEqual(ends[0], ends[1])
        self.mbj("tree", self.p, "alice", "--request-id", "x", status=USAGE)

    def test_lost_answer(self):
        """Goal: an answer that is lost costs nothing where the request has an
        id: the client asks again by itself, and so may an MTA.  Method: a
        proxy hangs up instead of answering, once, and for long."""
        self.serve()
        proxy = self.proxy(self.lose)
        self.losses = 1
        done = self.deliver(self.dir / "proxy", b"one\n", "--request-id", "a")
        self.assertEqual((done.json()["uid"], proxy.submits), (1, 2))
        self.losses = 1
        done = self.deliver(self.dir / "proxy", b"two\n", status=TEMPFAIL)
        self.assertIn("outcome", done.err)
        self.losses = 100
        for _ in range(3):
            self.deliver(self.dir / "proxy", b"three\n", "--request-id", "b",
                         status=TEMPFAIL)
        self.losses = 0
        done = self.deliver(self.dir / "proxy", b"three\n", "--request-id",
                            "b")
        self.assertEqual(done.json()["uid"], 3)
        self.assertEqual(self.uids(), [1, 2, 3])

    def test_killed_before_the_answer(self):
        """Goal: a service that is killed between commit and answer has
        delivered once, whoever asks again, a service or the store itself, and
        a replica of it.  Method: the proxy has the answer, kills, hangs up."""
        for number, again in enumerate(("store", "service")):
            self.serve()

            def action(_):
                self.server.send_signal(signal.SIGKILL)
                self.server.wait()
            proxy = self.proxy(action)
            body, name = f"{number}\n".encode(), f"killed {number}"
            self.deliver(self.dir / "proxy", body, "--request-id", name,
                         status=TEMPFAIL)
            proxy.close()
            os.unlink(self.dir / "proxy")
            self.kill()
            if again == "service":
                self.serve()
            done = self.deliver(self.p, body, "--request-id", name)
            self.assertEqual(done.json()["uid"], number + 1)
            self.assertEqual(self.uids(), list(range(1, number + 2)))
            if again == "service":
                self.stop()
        self.mbj("fsck", self.p, "--json")
        self.mbj("replay", self.p, self.r)
        self.mbj("verify", self.p, self.r)

    def test_durable_and_behind(self):
        """Goal: a message that is durable where the state cannot follow is
        delivered: an MTA must not send it again.  Method: the proxy puts that
        refusal in the place of the answer."""
        self.serve()

        def action(answer):
            _, kind, _, number = HEAD.unpack_from(answer)
            body = (struct.pack("<BB", EBEHIND, 0) + block(b"") + block(b"") +
                    block(b"it is durable") + block(b"") +
                    struct.pack("<QQ", 0, 4711))
            return HEAD.pack(len(body), kind, 2, number) + body
        self.proxy(action)
        done = self.deliver(self.dir / "proxy", b"one\n")
        self.assertIn("group 4711; it is durable", done.err)
        self.assertEqual(done.json(), {
            "schema": "mbj.deliver/1", "newState": "4711",
            "uidValidity": None, "uid": None, "size": 4})
        done = self.mbj("deliver", self.dir / "proxy", "alice", stdin=b"two\n")
        self.assertEqual(done.out, "")
        self.assertIn("delivered as group 4711", done.err)
        done = self.mbj("flag", self.dir / "proxy", "alice", "INBOX", "1",
                        "\\Seen", "--json", status=FAILED)
        self.assertIn("it is durable", json.loads(done.out)["description"])
        self.assertEqual(self.uids(), [1, 2])

    def test_at_once(self):
        """Goal: the same request from many processes is one message."""
        self.serve()
        command = [mbjtest.MBJ, "deliver", str(self.p), "alice", "INBOX",
                   "--json", "--request-id", "crowd"]
        many = [subprocess.Popen(command, stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE) for _ in range(16)]
        for process in many:
            process.stdin.write(b"one\n")
            process.stdin.close()
        answers = set()
        for process in many:
            answers.add(process.stdout.read())
            process.stdout.close()
            self.assertEqual(process.wait(), OK)
        self.assertEqual(len(answers), 1)
        self.assertEqual(self.uids(), [1])


if __name__ == "__main__":
    unittest.main()
