"""The service, from outside: real processes, real sockets, real Berkeley DB."""
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

import mbjtest
from mbjtest import (FAILED, LOCKED, OK, REFUSED, ROWS, TEMPORARY, USAGE,
                     listing, run)
from servetest import HEAD, HELLO, ServiceCase


class Service(ServiceCase):
    """What it does where all is well, and where clients are not."""

    # ------------------------------------------------------------- verbs

    def everything(self, store):
        """Each verb that goes through the service: (words, input)."""
        return [
            (("accounts", store, "--json"), None),
            (("tree", store, "alice"), None),
            (("tree", store, "nobody"), None),
            (("set", store, "alice"),
             {"update": {mbjtest.A: {"name": "Work"},
                         mbjtest.B: {"parentId": "0" * 31 + "9"}}}),
            (("set", store, "alice"), {"destroy": [mbjtest.A]}),
            (("rename", store, "alice", "B>Work", "Work>B"), None),
            (("rename", store, "alice", "none>more"), None),
            (("rename", store, "alice", "-n", "B>Z"), None),
            (("rename", store, "alice", "--json", "B>Z/Y"), None),
            (("reconcile", store, "alice", "-n", "--json"), listing(ROWS)),
            (("reconcile", store, "alice"), listing(ROWS)),
            (("plan", store, "alice", "--after", "-"), listing(ROWS[:3])),
            (("import", store, "bob", "-n"), listing(ROWS)),
            (("import", store, "alice"), listing(ROWS)),
            (("deliver", store, "alice", "INBOX"), b"one\r\n"),
            (("deliver", store, "alice", "none"), b"one\r\n"),
            (("deliver", store, "nobody"), b"one\r\n"),
            (("deliver", store, "alice"), b""),
            (("deliver", store, "alice", "INBOX", "--json"), b"x" * 999_999),
            (("flag", store, "alice", "INBOX", "1:*", "\\Seen", "$y"), None),
            (("mv", store, "alice", "INBOX", "2", "A", "--copy"), None),
            (("mv", store, "alice", "INBOX", "1", "A"), None),
            (("messages", store, "alice", "none"), None),
            (("cat", store, "alice", "A", "1"), None),
            (("cat", store, "alice", "A", "2"), None),
            (("cat", store, "alice", "A", "*"), None),
            (("cat", store, "alice", "A", "77"), None),
            (("expunge", store, "alice", "A", "1"), None),
            (("expunge", store, "alice", "A", "x"), None),
            (("tree", store, "alice"), None),
            (("log", store), None),
        ]

    @staticmethod
    def plain(text, store):
        """Without what is another one in each store: its path, ids of its
        own, times, UIDVALIDITY values that begin with the time."""
        import re
        text = text.replace(str(store), "STORE")
        text = re.sub(r"\b(1[5-9]|2\d)\d{8}\b", "UIDVALIDITY", text)
        text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
        text = re.sub(r"\b[0-9a-f]{64}\b", "HASH", text)
        return re.sub(r"\b(?!0{24})[0-9a-f]{32}\b", "ID", text)

    def test_same_output(self):
        """Goal: a verb says the same with and without a service.  Method:
        each, refusals too, on two stores that were made alike."""
        other = self.dir / "q"
        self.mbj("init", other)
        self.mbj("import", other, "alice", stdin=listing(ROWS))
        self.serve()
        for one, two in zip(self.everything(self.p), self.everything(other)):
            served = run(*one[0], stdin=one[1])
            direct = run(*two[0], stdin=two[1])
            for name in ("out", "err"):
                self.assertEqual(
                    self.plain(getattr(served, name), self.p),
                    self.plain(getattr(direct, name), other), one[0])
            self.assertEqual(served.status, direct.status, one[0])
        # The same verbs, the same socket, by its own path.
        by_socket = self.mbj("tree", self.p / "socket", "alice")
        self.assertEqual(by_socket.out, self.mbj("tree", self.p, "alice").out)
        for mailbox in ("INBOX", "A"):
            served = self.mbj("messages", self.p, "alice", mailbox).out
            direct = self.mbj("messages", other, "alice", mailbox).out
            self.assertEqual(self.plain(served, self.p),
                             self.plain(direct, other))
        before = self.mbj("messages", self.p, "alice", "INBOX").out
        self.stop()
        self.assertEqual(self.mbj("messages", self.p, "alice", "INBOX").out,
                         before)

    def test_by_itself(self):
        """Goal: mail that is taken in or written goes through no service, and
        who tries beside one hears that it has to be stopped.  Method: import
        and export, tried and in earnest; neither leaves anything."""
        new = self.dir / "new"
        mbox = self.dir / "mbox"
        mbox.write_text("From a@b Thu Nov 26 08:40:34 2026\n\nx\n")
        self.serve()
        for words in (("export", self.p, "alice", new),
                      ("import", self.p, "bob", "--mbox", mbox)):
            for more in ((), ("-n",)):
                said = self.mbj(*words, *more, status=LOCKED).err
                self.assertIn("stop mbj serve first", said)
        self.assertFalse(new.exists())

    def test_read_only(self):
        """Goal: an edit on a replica is refused by JMAP's word for it, by the
        socket as by the path.  Method: a replica's service, and none."""
        self.replay()
        said = []
        for is_served in (False, True):
            if is_served:
                self.serve(store=self.r)
            result = run("rename", self.r, "alice", "A>Z")
            self.assertEqual(result.status, REFUSED, result.err)
            said.append(result.json())
        self.assertEqual(said[0]["type"], "accountReadOnly")
        self.assertEqual(said[0]["account"], "alice")
        self.assertEqual(said[0], said[1])

    def test_status(self):
        """Goal: status says the same, and what the service is.  Method: with
        and without; what only an owner may do says who that is."""
        def text():
            # What is left of the disk is not for one process to say twice.
            return "".join(
                line for line in
                self.mbj("status", self.p).out.splitlines(True)
                if not line.startswith(("space ", "reserve ")))
        alone = self.mbj("status", self.p, "--json").json()
        lines = text()
        self.serve()
        served = self.mbj("status", self.p, "--json").json()
        service = served.pop("service")
        self.assertGreater(min(alone.pop("spaceLeft"),
                               served.pop("spaceLeft")), 0)
        # A service keeps some of it.
        self.assertEqual((alone.pop("spaceReserve"),
                          served.pop("spaceReserve")), (0, 16 << 20))
        self.assertEqual(served["ownedBy"], self.server.pid)
        self.assertEqual({**served, "ownedBy": None}, alone)
        self.assertEqual(service["process"], self.server.pid)
        self.assertEqual(service["clients"][0]["uid"], os.getuid())
        self.assertTrue(text().startswith(lines))
        for verb in (("fsck", self.p), ("serve", self.p),
                     ("replay", self.r, self.p)):
            said = self.mbj(*verb, status=LOCKED)
            self.assertIn(str(self.server.pid), said.err)
        self.mbj("replay", self.p, self.r)
        self.stop()

    def test_metrics(self):
        """Goal: what is worth an alarm is among the metrics, as the status has
        it.  Method: both, while a long request is half here."""
        self.serve()
        self.mbj("deliver", self.p, "alice", "INBOX", stdin=b"one\r\n")
        half = self.hello()
        half.sendall(HEAD.pack(1 << 20, 2, 0, 8) + bytes(1 << 19))
        service = {}

        def is_here():
            service.update(
                self.mbj("status", self.p, "--json").json()["service"])
            return service["memory"] >= 1 << 19
        self.until(is_here)
        self.assertEqual(service["contentLog"], 1)
        said = self.mbj("metrics", self.p).out.splitlines()
        numbers = {line.split("{")[0]: line.split("} ")[1]
                   for line in said if not line.startswith("#")}
        for word, name in (("taken", "outcomes_early_total"),
                           ("takenLost", "outcomes_lost_total"),
                           ("memory", "request_memory_bytes"),
                           ("memoryMax", "request_memory_max_bytes"),
                           ("answers", "answer_memory_bytes"),
                           ("answersMax", "answer_memory_max_bytes"),
                           ("contentLog", "content_log"),
                           ("contentLogFailures",
                            "content_log_failures_total")):
            self.assertEqual(numbers["mbj_" + name], str(service[word]), name)
        half.close()
        self.stop()

    def test_orderly_stop(self):
        """Goal: SIGTERM ends it cleanly with a request under way and idle
        clients.  Method: the store opens again without anything to mend."""
        self.serve()
        idle = self.hello()
        half = self.hello()
        half.sendall(HEAD.pack(1000, 2, 0, 8) + b"half")
        self.stop()
        self.assertEqual(idle.recv(1), b"")
        idle.close()
        half.close()
        self.assertFalse((self.p / "socket").exists())
        self.mbj("fsck", self.p)

    def test_whose(self):
        """Goal: what is said to a store by its path comes to no other one.
        Method: links to a socket in another store, and in a copy of its own,
        never opened, free, and with a service elsewhere; one in its own
        directory, to where its service is, is followed."""
        place = self.dir / "elsewhere"
        other, copy = self.dir / "other", self.dir / "copy"
        self.mbj("init", other)
        self.mbj("import", other, "alice", stdin=listing(ROWS))
        shutil.copytree(self.p, copy)
        (copy / "lock").unlink()
        self.serve("--socket", place, wait=False)
        self.wait_for(place)
        before = self.mbj("tree", place, "alice").out
        for store in (other, copy):
            at = store / "socket"
            for link in (os.symlink, os.link):
                link(place, at)
                for verb in (("rename", store, "alice", "A>Z"),
                             ("deliver", store, "alice")):
                    said = run(*verb, stdin=b"one\r\n")
                    self.assertIn(said.status, (REFUSED, TEMPORARY), said.err)
                    self.assertIn(f"the service at {at} is not that of "
                                  f"{store}: it has {self.p}", said.err)
                is_opened = (store / "lock").exists()
                self.assertIn("is not that of" if is_opened else "no lock file",
                              run("check", store).out)
                at.unlink()
            self.mbj("rename", store, "alice", "A>Z")
        # A copy that is owned, too: it has a service of its own elsewhere.
        first = self.server
        self.addCleanup(first.kill)
        self.serve("--socket", self.dir / "third", store=copy, wait=False)
        self.wait_for(self.dir / "third")
        (copy / "socket").symlink_to(place)
        said = run("rename", copy, "alice", "B>Y")
        self.assertEqual(said.status, REFUSED, said.err)
        self.assertIn("is not that of", said.err)
        self.mbj("rename", self.dir / "third", "alice", "B>Y")
        self.stop()
        self.server = first
        self.assertEqual(self.mbj("tree", place, "alice").out, before)
        # No store, but it has the socket.
        bare = self.dir / "bare"
        bare.mkdir()
        (bare / "socket").symlink_to(place)
        self.mbj("tree", bare, "alice")
        self.mbj("check", bare)
        (self.p / "socket").symlink_to(place)
        self.mbj("rename", self.p, "alice", "A>Z")
        self.assertNotEqual(self.mbj("tree", place, "alice").out, before)
        self.stop()

    def test_usage(self):
        """Goal: what cannot be served is said.  Method: a group that is none,
        a number that is none, no store, a socket where there is no folder."""
        self.mbj("serve", self.p, "--group", "no-such-group", status=REFUSED)
        self.mbj("serve", self.p, "--connections", "x", status=USAGE)
        self.mbj("serve", self.p, "--connections", "99999999999",
                 status=USAGE)
        self.mbj("serve", self.dir / "none", status=mbjtest.FAILED)
        nowhere = self.dir / "none" / "s"
        self.assertIn(f"cannot bind {nowhere}: ", self.mbj(
            "serve", self.p, "--socket", nowhere,
            status=mbjtest.FAILED).err)
        self.mbj("fsck", self.p)

    # ----------------------------------------------------------- clients

    def test_slow_and_silent(self):
        """Goal: clients that say nothing, or half of something, block nobody
        and do not stay.  Method: eight of each, and a verb meanwhile."""
        self.serve("--timeout", "300", "--connections", "40")
        silent = [self.connect() for _ in range(8)]
        half = [self.hello() for _ in range(8)]
        for s in half:
            s.sendall(HEAD.pack(60 << 20, 2, 0, 8) + b"slow")
        idle = self.hello()
        self.mbj("rename", self.p, "alice", "A>Z")
        for s in silent:
            self.assertEqual(s.recv(1), b"")
            s.close()
        # 60 MB may take their time, but not stand still.
        for s in half:
            self.assertEqual(s.recv(1), b"")
            s.close()
        idle.sendall(HEAD.pack(0, 4, 0, 9))
        self.assertEqual(HEAD.unpack(self.read(idle, HEAD.size))[1:],
                         (4, 1, 9))
        idle.close()
        self.stop()

    def test_does_not_read(self):
        """Goal: one who asks and does not read costs no more than one answer.
        Method: 10,000 requests sent, none read; others go on."""
        self.serve()
        s = self.hello()
        s.settimeout(1)
        try:
            for i in range(10000):
                s.sendall(HEAD.pack(4 + 5, 6, 0, i) + b"\5\0\0\0alice")
        except socket.timeout:
            pass
        self.mbj("rename", self.p, "alice", "A>Z")
        status = self.mbj("status", self.p, "--json").json()["service"]
        self.assertLess(status["requests"], 10000)
        s.close()
        self.stop()

    def test_too_many(self):
        """Goal: one connection too many is told so.  Method: a verb finds
        the service full of those who have begun to ask, and do not give way,
        and works once there is room."""
        # However slow this is, what they have begun to ask is not late.
        self.serve("--connections", "2", "--timeout", "600000")
        two = [self.hello(), self.hello()]
        for s in two:
            s.sendall(b"x")
        said = self.mbj("tree", self.p, "alice", status=LOCKED)
        self.assertIn("2 connections are open", said.err)
        two.pop().close()
        for _ in range(3000):
            if run("tree", self.p, "alice").status == OK:
                break
            time.sleep(0.02)
        self.mbj("tree", self.p, "alice")
        two.pop().close()
        self.stop()

    def test_gone(self):
        """Goal: a service that goes in the middle of a verb is not taken for
        what the verb asks for: mail would bounce.  Method: between verb and
        service one who takes both away behind the hello."""
        self.serve()

        def relay(listener):
            client = listener.accept()[0]
            service = self.connect()
            service.sendall(client.recv(1 << 16))
            said = self.read(service, HEAD.size)
            said += self.read(service, HEAD.unpack(said)[0])
            listener.close()
            between.unlink()
            client.sendall(said)
            for s in (client, service):
                s.close()

        between = self.dir / "between"
        for verb, status in ((("deliver", between, "alice"), TEMPORARY),
                             (("tree", between, "alice"), FAILED)):
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(between))
                listener.listen(1)
                thread = threading.Thread(target=relay, args=(listener,))
                thread.start()
                said = run(*verb, stdin=b"one\r\n")
                thread.join()
            self.assertEqual(said.status, status, said.err)
            self.assertIn(str(between), said.err)
            self.assertNotIn("alice", said.err)
        self.stop()

    def test_stops_meanwhile(self):
        """Goal: a service that has stopped is not taken for another store's.
        Method: it stops behind its hello, before whoever came has looked whose
        it is: he does without it."""
        place, at = self.dir / "elsewhere", self.p / "socket"
        for verb in (("rename", self.p, "alice", "A>Z"), ("check", self.p)):
            self.serve("--socket", place, wait=False)
            self.wait_for(place)
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(at))
                listener.listen(1)
                asks = subprocess.Popen(
                    [mbjtest.MBJ, *map(str, verb)], stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT)
                self.addCleanup(asks.kill)
                client = listener.accept()[0]
            with self.connect(place) as service:
                service.sendall(client.recv(1 << 16))
                said = self.read(service, HEAD.size)
                said += self.read(service, HEAD.unpack(said)[0])
            self.stop()
            at.unlink()
            asks.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, asks.pid, os.WSTOPPED)
            client.sendall(said)
            client.close()
            asks.send_signal(signal.SIGCONT)
            said, _ = asks.communicate()
            self.assertNotIn(b"is not that of", said)
        self.assertEqual(said.decode(), run("check", self.p).out)
        self.mbj("rename", self.p, "alice", "Z>A")

    # -------------------------------------------------------------- kills

    def test_kill(self):
        """Goal: nothing that was acknowledged is lost when the service is
        killed.  Method: four clients deliver, kill -9 at random, again and
        again; a stale socket is no hindrance."""
        rng = mbjtest.seed()
        sure = []
        lock = threading.Lock()

        def produce(number, until):
            i = 0
            while time.monotonic() < until:
                i += 1
                body = f"{number}.{i}.{until}\n".encode()
                done = run("deliver", self.p, "alice", "INBOX", "--json",
                           stdin=body)
                if done.status == OK:
                    with lock:
                        sure.append((done.json()["uid"], body))

        kills = int(os.environ.get("MBJ_KILLS", "5"))
        # A slow machine delivers few before each.
        while kills > 0 or len(sure) <= 10:
            kills -= 1
            self.assertGreater(kills, -50, "nothing is delivered")
            self.serve()
            until = time.monotonic() + 0.4 + rng.random()
            threads = [threading.Thread(target=produce, args=(n, until))
                       for n in range(4)]
            for t in threads:
                t.start()
            time.sleep(0.2 + rng.random() / 2)
            self.server.kill()
            self.server.wait()
            for t in threads:
                t.join()
            self.kill()
        listed = {m["uid"]: m["size"] for m in self.mbj(
            "messages", self.p, "alice", "INBOX").json()["messages"]}
        for uid, body in sure:
            self.assertEqual(listed.get(uid), len(body), uid)
        uid, body = random.Random(1).choice(sure)
        self.assertEqual(self.mbj("cat", self.p, "alice", "INBOX",
                                  uid).out.encode(), body)
        self.mbj("fsck", self.p)

    # ------------------------------------------------------------ systemd

    def test_unit(self):
        """Goal: systemd neither ends a service that takes long to begin nor
        gives one up.  Method: the unit's settings, and systemd's opinion of
        it where there is a systemd."""
        units = pathlib.Path(__file__).parents[2] / "cli" / "systemd"
        text = (units / "mbj@.service.in").read_text()
        unit, _, service = text.partition("[Service]")
        self.assertIn("\nStartLimitIntervalSec=0\n", unit)
        self.assertIn("\nTimeoutStartSec=infinity\n", service)
        analyze = shutil.which("systemd-analyze")
        if analyze is None:
            return
        path = self.dir / "mbj@.service"
        path.write_text(text.replace("@CMAKE_INSTALL_FULL_BINDIR@/mbj",
                                     "/bin/true"))
        done = subprocess.run([analyze, "verify", "--man=no", path],
                              capture_output=True, text=True, check=False)
        self.assertNotIn("mbj@", done.stdout + done.stderr)

    def test_activation(self):
        """Goal: a socket that systemd opened is used, and left alone.
        Method: one at descriptor 3, as sd_listen_fds(3) has it."""
        path = self.dir / "handed"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(8)
        early = self.connect(path)
        script = ('exec 3<&{0}; export LISTEN_PID=$$ LISTEN_FDS=1; '
                  'exec "$@"').format(listener.fileno())
        self.server = subprocess.Popen(
            ["bash", "-c", script, "-", mbjtest.MBJ, "serve", str(self.p)],
            stderr=subprocess.PIPE, pass_fds=[listener.fileno()])
        listener.close()
        # Whoever came before the service was there is served.
        early.sendall(HEAD.pack(len(HELLO), 1, 0, 1) + HELLO)
        self.assertEqual(HEAD.unpack(self.read(early, HEAD.size))[1:],
                         (1, 1, 1))
        early.close()
        self.mbj("tree", path, "alice")
        self.assertFalse((self.p / "socket").exists())
        self.stop()
        self.assertTrue(path.exists())

    def test_activation_of_several(self):
        """Goal: more sockets than a service has are refused, and said: whoever
        connected to the other one, or to either, waited for ever.  Method: two
        of them, and a number that is none; those of another process are none
        of ours."""
        pair = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        for n, listener in enumerate(pair):
            listener.bind(str(self.dir / f"handed{n}"))
            listener.listen(8)
        script = ('exec 3<&{} 4<&{}; export LISTEN_PID=$$; exec "$@"'
                  ).format(*(listener.fileno() for listener in pair))
        for count in ("2", "0", "x"):
            said = subprocess.run(
                ["bash", "-c", script, "-", mbjtest.MBJ, "serve", str(self.p)],
                env={**os.environ, "LISTEN_FDS": count}, check=False,
                timeout=60, capture_output=True, text=True,
                pass_fds=[listener.fileno() for listener in pair])
            self.assertEqual(said.returncode, USAGE, said.stderr)
            self.assertIn("LISTEN_FDS", said.stderr)
        for listener in pair:
            listener.close()
        self.serve(env={**os.environ, "LISTEN_FDS": "2", "LISTEN_PID": "1"})
        self.stop()

    def test_notify(self):
        """Goal: systemd is told when it listens and when it stops.  Method: a
        datagram socket of our own, by path and as an abstract name."""
        for name in (str(self.dir / "notify"), f"\0mbj-test-{os.getpid()}"):
            told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            told.settimeout(30)
            told.bind(name)
            self.serve(wait=False, env={
                **os.environ, "NOTIFY_SOCKET": name.replace("\0", "@")})
            self.assertEqual(told.recv(100), b"READY=1")
            self.hello().close()
            self.stop()
            self.assertEqual(told.recv(100), b"STOPPING=1")
            told.close()

    # -------------------------------------------------------------- rights

    def test_permissions(self):
        """Goal: the socket is its group's from the first moment.  Method: its
        mode and group; another service there is not pushed away."""
        path = self.dir / "elsewhere"
        self.serve("--socket", str(path), "--group", str(os.getgid()),
                   wait=False)
        self.wait_for(path)
        self.assertEqual(path.stat().st_mode & 0o7777, 0o660)
        self.assertEqual(path.stat().st_gid, os.getgid())
        other = self.dir / "q"
        self.mbj("init", other)
        said = self.mbj("serve", other, "--socket", path, status=LOCKED)
        self.assertIn("another service", said.err)
        self.mbj("tree", path, "alice")
        said = self.mbj("tree", self.p, "alice", status=LOCKED).err
        self.assertIn("in use by process", said)
        self.assertIn(f"no service is at {self.p}/socket", said)
        for verb, *words in (("replicas",), ("replicas", "--forget", "r"),
                             ("log",), ("send",), ("fsck", "-n"),
                             ("backup", self.dir / "b"),
                             ("quarantine", "retry", "--all")):
            said = self.mbj(verb, path, *words, status=mbjtest.FAILED).err
            self.assertIn(f"{path} is a socket, and no store", said)
        self.mbj("quarantine", path, "audit")
        self.stop()

    @unittest.skipUnless(os.getuid() == 0, "takes root to be another user")
    def test_another_user(self):
        """Goal: only members of the group get in.  Method: a user with and
        without it, at a socket whose file would let everybody connect."""
        os.chmod(self.dir, 0o755)
        path = self.dir / "elsewhere"
        # Where it was built may be nobody else's to enter.
        mbj = shutil.copy(mbjtest.MBJ, self.dir / "mbj")
        self.serve("--socket", str(path), "--group", "12345", wait=False)
        self.wait_for(path)

        def as_user(*groups):
            return subprocess.run(
                [mbj, "tree", str(path), "alice"],
                capture_output=True, user=12346, group=12346,
                extra_groups=groups, check=False)
        self.assertEqual(as_user(12345).returncode, OK)
        self.assertNotEqual(as_user().returncode, OK)
        self.stop()


if __name__ == "__main__":
    unittest.main()
