#!/usr/bin/env python3
"""What carries streams: sockets between a source that listens and replicas that
connect.  The frames themselves are test_stream.py's, and fuzz_stream's."""
import contextlib
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import mbjtest  # noqa: E402
from mbjtest import (CORRUPT, FAILED, LOCKED, MBJ, OK, REFUSED, USAGE,  # noqa: E402
                     run, truth)
from servetest import ServiceCase  # noqa: E402

KILLS = int(os.environ.get("MBJ_KILLS") or 6)
HELLO, WELCOME = 92, 156  # bytes, without a name


class Proxy:
    """Stands between both sides, and cuts: (up, down) are the bytes that it lets
    through to the source and back, None: all; then it hangs up on both."""

    def __init__(self, listen, connect):
        self.listener, self.connect = listen, connect
        self.limits = (None, None)
        self.through = (0, 0)
        self.listener.listen(16)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()

    def run(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            with near:
                self.carry(near)

    def carry(self, near):
        try:
            far = self.connect()
        except OSError:
            return
        counts = [0, 0]

        def pump(source, target, way):
            limit = self.limits[way]
            while limit is None or counts[way] < limit:
                try:
                    got = source.recv(65536 if limit is None
                                      else min(65536, limit - counts[way]))
                    if not got:
                        break
                    target.sendall(got)
                except OSError:
                    break
                counts[way] += len(got)
            for s in (source, target):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        with far:
            back = threading.Thread(target=pump, args=(far, near, 1))
            back.start()
            pump(near, far, 0)
            back.join()
        self.through = tuple(counts)


class CarrierCase(ServiceCase):
    """A source, and a replica that is to follow it."""

    def setUp(self):
        super().setUp()
        self.processes = []
        self.addCleanup(self.processes_kill)

    def processes_kill(self):
        for process in self.processes:
            process.kill()
            process.communicate()
        self.processes = []

    def begin(self, *arguments, **keywords):
        process = subprocess.Popen(
            [MBJ, *map(str, arguments)], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, **keywords)
        self.processes.append(process)
        return process

    def end(self, process, status=OK, sign=signal.SIGTERM):
        if sign is not None:
            process.send_signal(sign)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, status, err)
        self.processes.remove(process)
        return out, err

    # What another way to connect has otherwise.

    def addresses(self):
        """Where the source listens, and where replicas connect."""
        self.address = f"unix:{self.dir / 'replicas'}"
        self.source_options = self.replica_options = ()

    def source_connect(self):
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(str(self.dir / "replicas"))
        except OSError:
            s.close()
            raise
        return s

    def proxy(self):
        path = self.dir / "proxy"
        s = socket.socket(socket.AF_UNIX)
        s.bind(str(path))
        proxy = Proxy(s, self.source_connect)
        self.addCleanup(proxy.close)
        return proxy, f"unix:{path}"

    # What all have.

    def is_heard(self):
        try:
            self.source_connect().close()
            return True
        except OSError:
            return False

    def source_listens(self):
        self.until(self.is_heard)

    def send(self, *options, store=None):
        """A source without a service."""
        process = self.begin("send", store or self.p, "--listen",
                             self.address, *self.source_options, *options)
        self.source_listens()
        return process

    def serve_replicas(self, *options):
        self.serve("--replicas", self.address, *self.source_options, *options)
        self.source_listens()

    def once(self, *options, status=OK, address=None, replica=None):
        return self.mbj("follow", replica or self.r, "--once", "--from",
                        address or self.address, *self.replica_options,
                        *options, status=status)

    def follow(self, *options, address=None):
        return self.begin("follow", self.r, "--json", "--from",
                          address or self.address, *self.replica_options,
                          *options)

    def equal(self):
        self.mbj("verify", "--deep", self.p, self.r)
        self.mbj("fsck", "--deep", self.r)
        self.assertEqual(self.mbj("log", self.r, "--json").out,
                         self.mbj("log", self.p, "--json").out)

    def published(self):
        try:
            mark = (self.r / "journal" / "published").read_bytes()
        except OSError:
            return 0
        return int.from_bytes(mark[8:16], "little")

    def until_lsn(self, lsn):
        self.until(lambda: self.published() >= lsn)

    def deliver(self, body=b"hello"):
        self.mbj("deliver", self.p, "alice", stdin=body)


class Carried:
    """What every way has to do."""

    def setUp(self):
        super().setUp()
        self.addresses()

    def test_once(self):
        """Goal: --once is mbj replay.  Method: the same journal, with mail, by
        both, from a store that nobody has and one that is served; the register
        has it."""
        other = self.dir / "other"
        self.mbj("init", other, "--role", "replica")
        for i in range(10):
            self.deliver(b"x%d" % i * 9999)
        source = self.send()
        result = self.once("--json", "--name", "near").json()
        self.assertEqual(result, self.mbj("replay", self.p, other,
                                          "--json").json())
        self.equal()
        replicas = self.mbj("replicas", self.p, "--json").json()["list"]
        self.assertEqual([r["name"] for r in replicas], [self.name("near")])
        _, err = self.end(source)
        self.assertEqual(err, "")
        self.serve_replicas()
        self.deliver()
        self.assertEqual(self.once("--json").json()["groups"], 1)
        self.assertEqual(self.stop(), b"")
        self.equal()

    def name(self, wanted):
        return wanted

    def test_live(self):
        """Goal: what is written is there a moment later; an orderly stop of
        either side says nothing.  Method: a service that serves a replica, which
        is served, too; edits; the replica stops first, then the source while
        another one follows."""
        self.serve_replicas()
        r = self.begin("serve", self.r, "--from", self.address,
                       *self.replica_options)
        for i in range(5):
            self.deliver(b"x" * (1 + 70_000 * i))
            self.until_lsn(2 + i)
        self.until(lambda: run("check", self.r).status == OK)
        self.assertIn("alice", self.mbj("accounts", self.r / "socket").out)
        _, err = self.end(r)
        self.assertEqual(err, "")
        follower = self.follow()
        self.deliver()
        self.until_lsn(7)
        self.assertEqual(self.stop(), b"")
        _, err = self.end(follower)
        self.assertIn("another one is made", err)
        self.equal()

    def test_packed(self):
        """Goal: what comes packed is the same, and less of it; noise is sent as
        it is.  Method: a proxy that counts; text and noise to a replica as they
        are, and packed; that one is served while it follows, at another level;
        methods that there are not."""
        rng = mbjtest.seed()
        words = ("mailbox", "renamed", "Subject:", "of", "\r\n", "the")
        text = " ".join(rng.choices(words, k=20_000)).encode()
        noise = rng.randbytes(50_000)
        self.deliver(text)
        self.deliver(noise)
        self.send()
        proxy, address = self.proxy()
        down = []
        for number, level in enumerate((None, "zstd")):
            self.r = self.replica(f"packed{number}")
            options = ("--compress", level) if level else ()
            proxy.through = (0, 0)
            self.once(*options, address=address)
            self.until(lambda: proxy.through[1] > 0)
            down.append(proxy.through[1])
            self.mbj("verify", "--deep", self.p, self.r)
        self.assertGreater(down[0], len(text) + len(noise))
        self.assertGreater(down[1], len(noise))
        self.assertLess(down[1], len(noise) + len(text) / 2)
        r = self.begin("serve", self.r, "--from", self.address, "--compress",
                       "zstd:9", *self.replica_options)
        self.deliver(text[1:])
        self.until_lsn(4)
        self.end(r)
        self.equal()
        for wrong in ("zstd:0", "zstd:10", "zstd:", "zstdx", "gzip", ""):
            result = self.mbj("follow", self.r, "--from", self.address,
                              "--compress", wrong, *self.replica_options,
                              status=USAGE)
            self.assertIn("--compress", result.err)
        result = self.mbj("serve", self.p, "--compress", "zstd", status=USAGE)
        self.assertIn("--compress", result.err)

    def test_packed_less(self):
        """Goal: a source says how much it packs, and each replica that asked for
        more sees that.  Method: one that does not, one that does less, one that
        does as it is asked, to a replica of one run and to one that is served;
        bounds that there are not."""
        self.deliver(b"x" * 9999)
        asked = ("--compress", "zstd:5", *self.replica_options)
        for bound, level, words in (
                ("off", 0, "not packed, as the source does not"),
                ("2", 2, "packed by zstd at level 2, the most that the source "
                         "does, not 5"),
                ("5", 5, "packed by zstd at level 5")):
            source = self.send("--compress-max", bound)
            self.r = self.replica(f"less{bound}")
            result = self.once("--compress", "zstd:5")
            self.assertEqual(
                result.err.count("what the source sends came"), level < 5)
            self.assertIn({0: "does not pack", 2: "level 2"}.get(level, ""),
                          result.err)
            self.equal()
            r = self.begin("serve", self.r, "--from", self.address, *asked)
            self.until(lambda: run("check", self.r).status == OK)
            seen = run("status", self.r, "--json").json()["upstream"]
            self.assertEqual((seen["compressAsked"], seen["compressLevel"]),
                             (5, level))
            self.assertIn(f", {words}\n", run("status", self.r).out)
            metrics = run("metrics", self.r).out
            self.assertRegex(
                metrics, rf"\nmbj_upstream_compress_level\{{.*\}} {level}\n")
            self.assertRegex(
                metrics, r"\nmbj_upstream_compress_asked\{.*\} 5\n")
            self.end(r)
            self.end(source)
        self.serve_replicas("--compress-max", "off")
        self.assertIn("does not pack", self.once("--compress", "zstd").err)
        self.assertNotIn("does not pack", self.once().err)
        for wrong in ("0", "10", "", "no", "zstd"):
            for verb in ("send", "serve"):
                result = self.mbj(verb, self.p, "--compress-max", wrong,
                                  status=USAGE)
                self.assertIn("--compress-max", result.err)

    def test_cut(self):
        """Goal: wherever the connection ends, nothing is lost and the next one
        mends it.  Method: a proxy hangs up after each byte of the beginning, both
        ways, and at places further on; each a replica that ends with an error;
        then one that is let through."""
        self.deliver(b"y" * 3000)
        self.send()
        proxy, address = self.proxy()
        self.once(address=address, replica=self.replica("whole"))
        # The proxy's thread says so when both of its ways have ended.
        self.until(lambda: min(proxy.through) > 0)
        up, down = proxy.through
        self.assertGreater(min(up, down), HELLO)
        rng = mbjtest.seed()
        cuts = [(n, None) for n in self.sample(rng, HELLO, up)]
        cuts += [(None, n) for n in self.sample(rng, WELCOME, down)]
        for number, limits in enumerate(cuts):
            # Later ones to a replica that has nothing: there is more to come.
            proxy.limits = limits
            result = run("follow", self.r, "--once", "--from", address,
                         *self.replica_options)
            # All may have come where only a goodbye was cut.
            self.assertIn(result.status, (OK, FAILED, 4),
                          (limits, result.err))
            if result.status == OK:
                self.assertEqual(self.published(), 2, limits)
            else:
                self.assertTrue(result.err, limits)
            if self.published():
                self.until(lambda: not self.is_busy())
                proxy.limits = (None, None)
                self.once(address=address)
                self.mbj("verify", "--deep", self.p, self.r)
                self.r = self.replica(f"r{number}")
        proxy.limits = (None, None)
        self.once(address=address)
        self.equal()

    def is_busy(self):
        return run("status", self.r).status == LOCKED

    def replica(self, name):
        store = self.dir / name
        self.mbj("init", store, "--role", "replica")
        return store

    def sample(self, rng, head, size):
        """Each of the hello's where the environment asks for it, else every
        ninth, from anywhere; and some behind them."""
        step = 1 if os.environ.get("MBJ_CUTS") == "all" else 9
        return [*range(rng.randrange(step), head, step),
                *sorted(rng.sample(range(head, size), min(12, size - head)))]

    def test_killed(self):
        """Goal: nothing that was acknowledged is lost, nothing comes twice.
        Method: a writer writes; the source's service, with its senders, or the
        replica is killed at random (MBJ_KILLS times); then both are equal."""
        rng = mbjtest.seed()
        acknowledged = []
        is_over = threading.Event()

        def write():
            number = 0
            while not is_over.is_set():
                number += 1
                if run("deliver", self.p, "alice",
                       stdin=b"%d" % number * 50).status == OK:
                    acknowledged.append(number)
        writer = threading.Thread(target=write)
        writer.start()
        try:
            for turn in range(KILLS):
                source = self.begin("send", self.p, "--listen", self.address,
                                    *self.source_options)
                follower = self.follow()
                had = len(acknowledged)
                self.until(lambda had=had: len(acknowledged) > had + 2)
                time.sleep(rng.uniform(0.0, 0.3))
                victim = source if turn % 2 == 0 else follower
                victim.kill()
                time.sleep(rng.uniform(0.0, 0.3))
                for process in (source, follower):
                    process.kill()
                    process.communicate()
                    self.processes.remove(process)
        finally:
            is_over.set()
            writer.join()
        self.assertTrue(acknowledged)
        self.send()
        self.once()
        self.equal()
        messages = self.mbj("messages", self.r, "alice", "INBOX", "--json")
        self.assertEqual(len(messages.json()["messages"]), len(acknowledged))

    def test_leash(self):
        """Goal: no sender outlives its listener.  Method: a listener that is
        killed; its follower's connection ends, and another listener serves it."""
        source = self.send()
        follower = self.follow()
        self.until_lsn(1)
        source.kill()
        source.communicate()
        self.processes.remove(source)
        # The sender has its end of these pipes, too: it is gone by now.
        self.send()
        self.deliver()
        self.until_lsn(2)
        _, err = self.end(follower)
        self.assertIn("another one is made", err)

    def test_stop_at_once(self):
        """Goal: who waits for a source that is not heard stops when told to.
        Method: one whose queue is full, which takes no connection, and one that
        takes it and says nothing; a replica by itself, and one that is served."""
        for backlog in (0, 16):
            with self.deaf(backlog) as address:
                for verb in ("follow", "serve"):
                    process = self.begin(verb, self.r, "--from", address,
                                         *self.replica_options)
                    self.until(lambda v=verb, p=process: self.is_there()
                               if v == "serve" else self.has_socket(p))
                    time.sleep(0.2)
                    before = time.monotonic()
                    self.end(process)
                    self.assertLess(time.monotonic() - before, 5,
                                    (verb, backlog))

    def test_stop_once(self):
        """Goal: who was to be where its source is, and was stopped before, does
        not end as if it were.  Method: --once at a source that says nothing, and
        mbj clone."""
        with self.deaf(16) as address:
            for words in (("follow", self.r, "--once"),
                          ("clone", self.dir / "new")):
                process = self.begin(*words, "--from", address,
                                     *self.replica_options)
                self.until(lambda p=process: self.has_socket(p))
                time.sleep(0.2)
                out, err = self.end(process, FAILED)
                self.assertEqual(out, "")
                self.assertIn("told to stop before", err)

    def has_socket(self, process):
        for fd in pathlib.Path(f"/proc/{process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(fd).startswith("socket:"):
                    return True
        return False

    def is_there(self):
        try:
            self.connect(self.r / "socket").close()
            return True
        except OSError:
            return False

    @contextlib.contextmanager
    def deaf(self, backlog):
        """A source that takes nobody: its address."""
        listener, address, connect = self.deaf_socket()
        taken = []
        with listener:
            listener.listen(backlog)
            for _ in range(4 if backlog == 0 else 0):
                s = connect()
                s.setblocking(False)
                taken.append(s)
                try:
                    s.connect(listener.getsockname())
                except BlockingIOError:
                    pass
            try:
                yield address
            finally:
                for s in taken:
                    s.close()

    def deaf_socket(self):
        path = self.dir / f"deaf{len(list(self.dir.glob('deaf*')))}"
        s = socket.socket(socket.AF_UNIX)
        s.bind(str(path))
        return s, f"unix:{path}", lambda: socket.socket(socket.AF_UNIX)

    def test_crowd(self):
        """Goal: no more senders than there may be, and one too many is told so;
        room is given back; it is said once, however often somebody comes.
        Method: room for one; two replicas, of whom one comes again and
        again."""
        source = self.send("--connections", "1")
        # What looked whether it listens is gone from the room.
        follower = self.follow()
        self.until_lsn(1)
        other = self.replica("other")
        result = self.once(replica=other, status=None)
        self.assertNotEqual(result.status, OK)
        self.crowd_check(result)
        for _ in range(4):
            self.crowd_check(self.once(replica=other, status=None))
        self.end(follower)
        self.until(lambda: run("follow", other, "--once", "--from",
                               self.address,
                               *self.replica_options).status == OK)
        _, err = self.end(source)
        # What looked whether it listens may have had the place at first.
        self.assertIn(err.count("as many as it takes"), (1, 2), err)

    def crowd_check(self, result):
        self.assertEqual(result.status, LOCKED)
        self.assertIn("serves 1 replicas, as many as it takes", result.err)

    def test_no_store(self):
        """Goal: a replica knows why it gets nothing where its source's store
        cannot be read, and so does the source.  Method: one that is away for a
        while, and one whose superblock is damaged."""
        source = self.send()
        away = self.dir / "away"
        self.p.rename(away)
        self.assertIn("is not a store", self.once(status=FAILED).err)
        away.rename(self.p)
        self.once()
        superblock = self.p / "mbj.store"
        good = superblock.read_bytes()
        superblock.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        self.assertIn("the superblock is damaged",
                      self.once(status=CORRUPT).err)
        superblock.write_bytes(good)
        self.deliver()
        self.once()
        self.equal()
        _, err = self.end(source)
        self.assertIn("is not a store", err)
        self.assertIn("the superblock is damaged", err)

    def test_stranger(self):
        """Goal: a peer that speaks something else, or nothing, is sent away, and
        others are served meanwhile.  Method: rubbish, and silence and half a
        hello, which cost others nothing, and end where time is short."""
        source = self.send()
        for said in (b"GET / HTTP/1.1\r\n\r\n" * 8, b"\0" * 200):
            with self.source_connect() as s:
                s.settimeout(30)
                s.sendall(said)
                self.drain(s)
        silent = self.source_connect()
        half = self.source_connect()
        half.sendall(b"\x16\x03\x01")
        self.once()
        _, err = self.end(source)
        silent.close()
        half.close()
        self.assertEqual(len(err.splitlines()), 2, err)
        source = self.send("--timeout", "200")
        for said in (b"", b"\x16\x03\x01"):
            with self.source_connect() as s:
                s.settimeout(30)
                s.sendall(said)
                self.drain(s)
        _, err = self.end(source)
        self.assertGreaterEqual(len(err.splitlines()), 2, err)

    def drain(self, s):
        """Until it hangs up, which it does."""
        try:
            while s.recv(4096):
                pass
        except ConnectionError:
            pass

    def mbj(self, *arguments, stdin=None, status=OK):
        if status is None:
            return run(*arguments, stdin=stdin)
        return super().mbj(*arguments, stdin=stdin, status=status)


class Unix(Carried, CarrierCase):
    """By a Unix socket."""

    def test_permissions(self):
        """Goal: it is the owner's and its group's, and gone with its listener; a
        dead one's is replaced, a live one's is not.  Method: the file."""
        path = self.dir / "replicas"
        source = self.send()
        self.assertEqual(path.stat().st_mode & 0o777, 0o660)
        second = self.begin("send", self.p, "--listen", self.address)
        _, err = self.end(second, LOCKED, None)
        self.assertIn("listens at", err)
        source.kill()
        source.wait()
        # A sender that had not begun yet has its socket until it has.
        self.until(lambda: not self.is_heard())
        self.assertTrue(path.exists())
        self.end(self.send())
        self.assertFalse(path.exists())
        result = self.once(status=FAILED)
        self.assertIn(str(path), result.err)

    @unittest.skipUnless(os.geteuid() == 0, "asks as another user")
    def test_others(self):
        """Goal: nobody else's process is served.  Method: another user, who
        cannot connect; who could, while the listener was stopped, and is not
        served once it looks who is there."""
        source = self.send()
        path = self.dir / "replicas"
        self.dir.chmod(0o755)
        code = ("import os,socket; os.setgroups([]); os.setgid(65534); "
                "os.setuid(65534); s=socket.socket(socket.AF_UNIX); "
                f"s.connect({str(path)!r}); print('in', flush=True); "
                "s.settimeout(30); print(s.recv(1))")
        denied = subprocess.run([sys.executable, "-c", code],
                                capture_output=True, text=True, check=False)
        self.assertIn("PermissionError", denied.stderr)
        source.send_signal(signal.SIGSTOP)
        path.chmod(0o666)
        stranger = subprocess.Popen([sys.executable, "-c", code], text=True,
                                    stdout=subprocess.PIPE)
        self.addCleanup(stranger.kill)
        self.assertEqual(stranger.stdout.readline(), "in\n")
        path.chmod(0o660)
        source.send_signal(signal.SIGCONT)
        out, _ = stranger.communicate(timeout=60)
        self.assertEqual(out, "b''\n")
        _, err = self.end(source)
        self.assertIn("of user 65534 may not use", err)

    def test_usage(self):
        """Goal: what is no address is said.  Method: several."""
        for wrong in ("", "unix:", "/tmp/x", "tcp:localhost:1",
                      "unix:/" + "x" * 5000):
            for arguments in (("follow", self.r, "--once", "--from", wrong),
                              ("send", self.p, "--listen", wrong),
                              ("serve", self.p, "--replicas", wrong),
                              ("serve", self.r, "--from", wrong)):
                self.assertIn("address" if len(wrong) < 100 else "too long",
                              self.mbj(*arguments, status=USAGE).err)
        self.assertIn("exclude each other", self.mbj(
            "follow", self.r, "--from", self.address, "--exec", "true",
            status=USAGE).err)
        self.mbj("follow", self.r, status=USAGE)
        self.mbj("send", self.p, "--listen", self.address, "--connections",
                 "1001", status=USAGE)
        self.mbj("send", self.dir / "none", "--listen", self.address,
                 status=FAILED)
        self.assertIn("follows nobody", self.mbj(
            "serve", self.p, "--from", self.address, status=REFUSED).err)

    def test_stop_fd(self):
        """Goal: a sender ends when the pipe that it is given does.  Method: a
        pipe; and a descriptor that is none."""
        near, far = socket.socketpair()
        read, write = os.pipe()
        sender = subprocess.Popen(
            [MBJ, "send", str(self.p), "--stop-fd", str(read)],
            stdin=far, stdout=far, stderr=subprocess.PIPE, pass_fds=[read])
        far.close()
        os.close(read)
        os.close(write)
        _, err = sender.communicate(timeout=60)
        self.assertEqual((sender.returncode, err), (OK, b""))
        near.close()
        self.assertIn("descriptor 99", self.mbj(
            "send", self.p, "--stop-fd", "99", stdin=b"",
            status=FAILED).err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
