"""What the tests of the service share: a primary, its service, raw clients."""
import signal
import socket
import struct
import subprocess
import time

import mbjtest
from mbjtest import OK, ROWS, Case

HEAD = struct.Struct("<IHHQ")
HELLO = b"mbj wire" + struct.pack("<HH", 1, 1)


class ServiceCase(Case):
    """A primary with alice, and its service where a test begins one."""

    def setUp(self):
        super().setUp()
        self.account(ROWS)
        self.server = None
        self.addCleanup(self.kill)

    def serve(self, *options, store=None, env=None, fds=(), wait=True,
              preexec=None):
        self.server = subprocess.Popen(
            [mbjtest.MBJ, "serve", str(store or self.p), *options],
            stderr=subprocess.PIPE, env=env, pass_fds=fds, preexec_fn=preexec)
        if wait:
            self.wait_for((store or self.p) / "socket")
        return self.server

    def wait_for(self, path):
        for _ in range(6000):
            try:
                self.connect(path).close()
                return
            except OSError:
                self.assertIsNone(self.server.poll(), "the service ended")
                time.sleep(0.01)
        self.fail("the service does not listen")

    def until(self, is_so):
        """Within a minute: how fast a machine is is not what is tested."""
        for _ in range(3000):
            if is_so():
                return
            time.sleep(0.02)
        self.fail("it never came to that")

    def kill(self):
        if self.server is not None:
            self.server.kill()
            self.server.wait()
            self.server.stderr.close()
            self.server = None

    def stop(self):
        """Stop in good order; returns what it said."""
        self.server.send_signal(signal.SIGTERM)
        _, err = self.server.communicate(timeout=60)
        self.assertEqual(self.server.returncode, OK, err)
        self.server = None
        return err

    def connect(self, path=None):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(30)
        try:
            s.connect(str(path or self.p / "socket"))
        except OSError:
            s.close()
            raise
        return s

    def hello(self, path=None):
        s = self.connect(path)
        s.sendall(HEAD.pack(len(HELLO), 1, 0, 7) + HELLO)
        size, kind, side, number = HEAD.unpack(self.read(s, HEAD.size))
        self.assertEqual((kind, side, number), (1, 1, 7))
        self.read(s, size)
        return s

    def read(self, s, n):
        got = b""
        while len(got) < n:
            piece = s.recv(n - len(got))
            self.assertTrue(piece, "the service closed the connection")
            got += piece
        return got
