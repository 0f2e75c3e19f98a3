#!/usr/bin/env python3
"""How a store is, over HTTP: mbj serve --http, asked by machines, by a browser
and by those who mean no good."""
import fcntl
import html
import html.parser
import json
import os
import pathlib
import pty
import re
import resource
import shlex
import signal
import socket
import struct
import subprocess
import sys
import termios
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from browsertest import CHROMIUM, Browser  # noqa: E402
from mbjtest import (A, DIVERGE, FAILED, MBJ, OK, PARTIAL, REFUSED, ROWS,  # noqa: E402
                     USAGE, listing, mailbox_id, run)
from servetest import ServiceCase  # noqa: E402

EVIL = "<script>alert(1)</script>&\"'"  # controls are refused there
SEGMENTS = os.environ.get("MBJ_SEGMENTS")
ODD = "<img src=x onerror=alert(1)>\u202egpj.exe"
ODD_SHOWN = "<img src=x onerror=alert(1)>\\u{202E}gpj.exe"


class Parts(html.parser.HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] not in ("style", "script"):
            self.text += data


class HttpCase(ServiceCase):
    def begin(self, *options, at="127.0.0.1:0", store=None, limit=None,
              env=None):
        """Serve and show it; limit: of open files."""
        def limit_take():
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        self.serve("--http", at, *options, store=store, env=env,
                   preexec=limit_take if limit else None)
        # What feeds a replica may have ended before it says where it is.
        line = "at first"
        while line and "status at http://" not in line:
            line = self.server.stderr.readline().decode()
        self.assertIn("status at http://", line)
        self.url = line.split(" at ")[1].strip()
        self.port = int(self.url.rstrip("/").rsplit(":", 1)[1])
        # Until it was looked at for the first time.
        self.until(lambda: "begins" not in self.ask("healthz")[1] and
                   "no service" not in self.ask("healthz")[1])

    def ask(self, path="", method="GET", **headers):
        """(code, text); self.headers are the answer's."""
        request = urllib.request.Request(self.url + path, method=method,
                                         headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                self.headers = reply.headers
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                self.headers = error.headers
                return error.code, error.read().decode()

    def raw(self, data):
        """What comes for these bytes, until the other side hangs up."""
        with self.dial() as s:
            s.sendall(data)
            got = b""
            while True:
                try:
                    piece = s.recv(65536)
                except ConnectionResetError:
                    return got
                if not piece:
                    return got
                got += piece

    def dial(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def follow(self, name):
        """A replica of that name, for as long as the test takes."""
        self.follower = subprocess.Popen(
            [MBJ, "follow", str(self.r), "--name", name, "--exec",
             f"exec {shlex.quote(MBJ)} send {shlex.quote(str(self.p))}"])
        self.addCleanup(self.unfollow)

        def is_noted():
            listed = self.mbj("replicas", self.p, "--json").json()["list"]
            return listed and listed[0]["lagMs"] is not None
        self.until(is_noted)

    def unfollow(self):
        self.follower.terminate()
        self.follower.wait()

    def park_odd(self):
        """An account whose name is markup is set aside on the replica."""
        if not DIVERGE:
            self.skipTest("MBJ_DIVERGE names no mbj_diverge")
        self.mbj("import", self.p, ODD, stdin=listing(ROWS))
        self.replay()
        subprocess.run([DIVERGE, str(self.r), ODD, A, "elsewhere"], check=True)
        self.mbj("rename", self.p, ODD, "A>Z")
        self.replay(status=PARTIAL)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.server.pid}/fd"))


class Http(HttpCase):
    def test_answers(self):
        """Goal: what is asked over HTTP is what the verbs say.  Method: each
        path beside its verb; who asks does not show in the store."""
        self.follow("two")
        self.begin()
        code, text = self.ask("healthz")
        self.assertEqual(code, 200)
        self.assertEqual(text.split(":")[0], "MBJ OK")
        self.assertIn("the best of 1 replicas", text)
        theirs = run("check", self.p)
        self.assertEqual(theirs.status, 0)
        self.assertEqual(theirs.out.split(" was current")[0],
                         text.split(" was current")[0])
        code, text = self.ask("metrics")
        self.assertEqual(code, 200)
        self.assertTrue(self.headers["Content-Type"].startswith(
            "text/plain; version=0.0.4"))
        heads = [line for line in run("metrics", self.p).out.splitlines()
                 if line.startswith("#")]
        self.assertEqual([line for line in text.splitlines()
                          if line.startswith("#")], heads)
        self.assertIn('\nmbj_up{store="p"} 1\n', text)
        code, text = self.ask("status.json")
        self.assertEqual(code, 200)
        ours = json.loads(text)
        status = self.mbj("status", self.p, "--json").json()
        self.assertEqual(list(ours), list(status))
        for key in ("schema", "role", "lineage", "instance", "journalEnd",
                    "applied", "accounts", "parked", "ownedBy"):
            self.assertEqual(ours[key], status[key])
        self.assertEqual(ours["replicas"][0]["name"], "two")
        self.assertIsNone(ours["house"])
        self.assertIsNone(ours["contentsPacked"])
        code, text = self.ask("history.json")
        history = json.loads(text)
        self.assertEqual((code, history["schema"]), (200, "mbj.history/1"))
        self.assertEqual([one["name"] for one in history["list"]], ["two"])
        self.assertGreaterEqual(history["list"][0]["lagMs"][-1], 0)
        self.mbj("deliver", self.p, "alice", stdin=b"hello")
        self.until(lambda: json.loads(self.ask("status.json")[1])["applied"]
                   == 2)
        self.assertNotIn(str(self.dir), self.ask("")[1] +
                         self.ask("metrics")[1] + self.ask("status.json")[1])
        self.stop()

    def test_page(self):
        """Goal: the page says it all without a script, and lets nothing in.
        Method: its tags, its text, its headers; names that are markup."""
        self.follow(EVIL)
        self.begin()
        code, text = self.ask("")
        self.assertEqual(code, 200)
        parts = Parts(text)
        for said in ("OK", "Replicas", EVIL, "primary", "Disk left",
                     "Under waynothing"):
            self.assertIn(said, parts.text)
        policy = self.headers["Content-Security-Policy"]
        scripts = [a for tag, a in parts.tags if tag == "script"]
        styles = [a for tag, a in parts.tags if tag == "style"]
        (nonce,) = {a["nonce"] for a in scripts + styles}
        self.assertEqual((len(scripts), len(styles)), (1, 1))
        self.assertTrue(policy.startswith("default-src 'none'; "))
        self.assertIn(f"script-src 'nonce-{nonce}';", policy)
        self.assertNotIn("unsafe", policy)
        self.ask("")
        self.assertNotIn(nonce, self.headers["Content-Security-Policy"])
        for tag, attributes in parts.tags:
            self.assertNotIn(tag, ("img", "link", "iframe", "object"))
            for name in attributes:
                self.assertFalse(name.startswith("on"), (tag, name))
                self.assertNotIn(name, ("src", "href", "style"))
        self.assertEqual(self.headers["X-Content-Type-Options"], "nosniff")
        self.assertEqual(self.headers["Cache-Control"], "no-store")
        self.assertNotIn("Access-Control-Allow-Origin", self.headers)
        self.assertNotIn("<script>alert", text)
        code, state = self.ask("state")
        self.assertIn(html.unescape(state).split("<table")[0][:60],
                      html.unescape(text))
        self.assertEqual(self.headers["Content-Security-Policy"],
                         "default-src 'none'; frame-ancestors 'none'")

    def test_verdicts(self):
        """Goal: what is wrong comes first, with what helps, and healthz says
        503 when somebody is to be woken.  Method: a replica whose source is
        not there; limits of lag; one that follows nobody."""
        self.begin("--exec", "false", "--critical", "1", store=self.r)

        def is_critical():
            code, text = self.ask("healthz")
            return code == 503 and text.startswith("MBJ CRITICAL: not current")
        self.until(is_critical)
        code, text = self.ask("")
        self.assertEqual(code, 200)
        body = Parts(text.split("</header>")[1]).text.split("As of")[0]
        self.assertLess(body.index("CRITICAL"), body.index("not current"))
        self.assertLess(body.index("not current"),
                        body.index("mbj status STORE"))
        self.assertIn("<title>CRITICAL: r</title>", text)
        self.assertIn("Heardnever", Parts(text).text)
        self.assertEqual(self.ask("metrics")[0], 200)
        self.stop()
        self.begin(store=self.r)
        code, text = self.ask("healthz")
        self.assertEqual((code, text.split(":")[0]), (200, "MBJ WARNING"))
        self.stop()

    def test_alone(self):
        """Goal: a primary whose replica is away is CRITICAL, and not sent
        away from: it is the one that works.  Method: a replica that was there
        once; the same, paused."""
        self.follow("two")
        self.unfollow()
        self.begin("--critical", "1")
        self.until(lambda: self.ask("healthz")[1].startswith(
            "MBJ CRITICAL: the best of 1 replicas"))
        self.assertEqual(self.ask("healthz")[0], 200)
        self.mbj("pause", self.p, "two", "--for", "2h")
        self.until(lambda: "1 of 1 replicas paused" in self.ask("healthz")[1])
        self.assertEqual(self.ask("healthz")[0], 200)
        self.assertRegex(self.ask()[1], ">paused, for 1 h [0-9]+ min more<")
        self.assertIn(">0 groups, 0 bytes<", self.ask()[1])
        # Whose note is gone is held all the same.
        (pause,) = (self.p / "replicas").glob("*.pause")
        (self.p / "replicas" / pause.stem).unlink()
        self.until(lambda: "1 pauses of replicas that are not registered"
                   in self.ask("healthz")[1])
        self.assertRegex(self.ask()[1],
                         f"<bdi>{pause.stem}</bdi>: not registered, and paused "
                         "for 7[0-9]{3} s more")
        self.mbj("deliver", self.p, "alice", "INBOX",
                 stdin=b"Subject: a\r\n\r\n")

    @unittest.skipUnless(os.environ.get("MBJ_CLOCK"), "no clock to shift")
    def test_clock(self):
        """Goal: a clock that is set back or forth in the moment of a stop is no
        sign that something hangs.  Method: one that is an hour behind what the
        system goes by; several stops, some of which the thread that looks is
        too quick for."""
        for _ in range(6):
            self.begin(env={
                **os.environ, "LD_PRELOAD": os.environ["MBJ_CLOCK"],
                "MBJ_CLOCK_SHIFT": "-3600"})
            self.assertNotIn(b"hangs", self.stop())

    @unittest.skipUnless(os.environ.get("MBJ_HANGS"), "no disk that hangs")
    def test_hangs(self):
        """Goal: figures of a store that cannot be looked at any more are not
        given for the present ones, and no stop waits for that.  Method: a
        register of replicas whose reading does not return."""
        hang = self.dir / "hang"
        self.follow("two")
        self.begin("--critical", "1", env={
            **os.environ, "LD_PRELOAD": os.environ["MBJ_HANGS"],
            "MBJ_HANG": str(hang)})
        self.unfollow()
        (entry,) = [p for p in (self.p / "replicas").iterdir()
                    if len(p.name) == 32]
        hang.symlink_to(entry.resolve())
        self.until(lambda: self.ask("metrics")[0] == 503)
        for path in ("healthz", "status.json", "metrics"):
            code, text = self.ask(path)
            self.assertEqual(code, 503)
            self.assertIn("nothing was learnt of the store for", text)
        self.assertIn("nothing was learnt", self.ask()[1])
        self.assertIn(b"hangs", self.stop())

    def test_parked(self):
        """Goal: accounts that are set aside are on the page, with their
        reason.  Method: park one whose name is markup and turns the writing
        round, serve the replica."""
        self.park_odd()
        self.begin(store=self.r)
        page = self.ask("")[1]
        self.assertNotIn("<img", page)
        self.assertNotIn("\u202e", page)
        text = Parts(page).text
        for said in ("1 accounts parked", ODD_SHOWN, "1 groups from",
                     "mbj quarantine STORE list"):
            self.assertIn(said, text)
        self.assertEqual(json.loads(self.ask("status.json")[1])["parked"][0]
                         ["account"], ODD)
        self.stop()

    def test_odd_name(self):
        """Goal: a store may be in a directory of any name: what is said of it is
        UTF-8, and in the line in which it is said.  Method: a byte that is no
        UTF-8, a quote, a backslash and the end of a line."""
        odd = self.dir / os.fsdecode(b'caf\xe9 "\\\n\xc3\xa9')
        self.p.rename(odd)
        said = subprocess.run([MBJ, "metrics", odd], capture_output=True,
                              check=True).stdout.decode().splitlines()
        shown = 'caf\\\\xe9 \\"\\\\\\\\n\u00e9"} '
        self.assertTrue(all(shown in line for line in said
                            if not line.startswith("# ")), said)
        self.begin(store=odd)
        for line in self.ask("metrics")[1].splitlines():
            if not line.startswith("# "):
                self.assertRegex(line, '^mbj_[a-z_]+{store="' + re.escape(shown) +
                                 r"[0-9.]+$")
        for path in ("", "state", "status.json", "healthz", "history.json"):
            self.assertEqual(self.ask(path)[0], 200)
        self.stop()

    def test_methods(self):
        """Goal: it is to be read only.  Method: HEAD; methods that change;
        paths that are not there; bodies."""
        self.begin()
        code, text = self.ask("status.json", method="HEAD")
        self.assertEqual((code, text), (200, ""))
        self.assertGreater(int(self.headers["Content-Length"]), 0)
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"):
            code, _ = self.ask("status.json", method=method)
            self.assertEqual(code, 405, method)
            self.assertEqual(self.headers["Allow"], "GET, HEAD")
        for path in ("nothing", "../../etc/passwd", "%2e%2e/mbj.store",
                     "status.json/"):
            self.assertEqual(self.ask(path)[0], 404, path)
        self.assertEqual(self.ask("healthz?a=b")[0], 200)
        self.assertEqual(self.ask("favicon.ico")[0], 204)
        got = self.raw(b"POST / HTTP/1.1\r\nHost: localhost\r\n"
                       b"Content-Length: 1000000000\r\n\r\nxxxx")
        self.assertTrue(got.startswith(b"HTTP/1.1 405 "), got[:80])

    def test_hosts(self):
        """Goal: no name of somebody else's leads here (DNS rebinding).
        Method: Host headers of all kinds."""
        self.begin("--http-name", "mail.example.org")
        for host in ("localhost", "127.0.0.1", "localhost:9", "[::1]:80",
                     "LOCALHOST", "192.0.2.7:1", "mail.example.org:443"):
            self.assertEqual(self.ask("healthz", Host=host)[0], 200, host)
        for host in ("evil.example", "evil.example:80", "localhost.evil",
                     "127.0.0.1.evil.example", "localhost:x", "[::1", "::1",
                     "a@localhost", "mail.example.org.evil"):
            self.assertEqual(self.ask("healthz", Host=host)[0], 421, host)
        for head in (b"", b"Host:\r\n", b"Host: localhost\r\nHost: evil\r\n",
                     b"Host: localhost\r\nHost: localhost\r\n"):
            got = self.raw(b"GET /healthz HTTP/1.1\r\n" + head + b"\r\n")
            self.assertNotIn(b" 200 ", got.split(b"\n")[0], head)
            self.assertNotIn(b"MBJ", got)
        got = self.raw(b"GET http://evil/healthz HTTP/1.1\r\n"
                       b"Host: localhost\r\n\r\n")
        self.assertNotIn(b"MBJ", got)

    def test_addresses(self):
        """Goal: it listens for this machine alone, unless it was told to.
        Method: addresses that are none, one for everybody, one in use, version
        6."""
        for at in ("127.0.0.1", "localhost:80", "80", "127.0.0.1:65536", ":80",
                   "127.0.0.1:-1", "[::1]", "[::1]x:80", "::1:80", "1.2.3:4",
                   "127.0.0.1:"):
            result = run("serve", self.p, "--http", at)
            self.assertEqual(result.status, USAGE, at)
            self.assertIn(f'"{at}" is no address', result.err)
        for at in ("0.0.0.0:0", "192.0.2.1:80", "[::]:0",
                   "[::ffff:127.0.0.1]:0"):
            result = run("serve", self.p, "--http", at)
            self.assertEqual(result.status, REFUSED, at)
            self.assertIn("--http-open", result.err)
        self.begin("--http-open", at="0.0.0.0:0")
        self.url = f"http://127.0.0.1:{self.port}/"
        self.assertEqual(self.ask("healthz")[0], 200)
        taken = self.port
        result = run("serve", self.r, "--http", f"127.0.0.1:{taken}")
        self.assertEqual(result.status, FAILED)
        self.assertIn(f"cannot listen at 127.0.0.1:{taken}: ", result.err)
        self.assertNotIn("port 0", result.err)
        self.stop()
        with socket.socket(socket.AF_INET6) as s:
            try:
                s.bind(("::1", 0))
            except OSError:
                self.skipTest("no IP of version 6 here")
        self.begin(at="[::1]:0")
        self.assertTrue(self.url.startswith("http://[::1]:"))
        self.stop()

    def test_other_socket(self):
        """Goal: it finds its service wherever that listens.  Method:
        --socket."""
        at = self.dir / "elsewhere"
        self.server = None
        self.serve("--socket", str(at), "--http", "127.0.0.1:0", wait=False)
        self.wait_for(at)
        line = self.server.stderr.readline().decode()
        self.url = line.split(" at ")[1].strip()
        self.until(lambda: self.ask("healthz")[0] == 200)
        self.assertEqual(self.ask("status.json")[0], 200)
        self.stop()

    def test_slow(self):
        """Goal: who says little and stays takes no descriptors, delays no
        commit, and keeps nobody out.  Method: hundreds that send half a
        request, some byte by byte; edits and requests meanwhile; all are gone
        in the end."""
        self.begin()
        # Contents and their log stay open.
        self.mbj("deliver", self.p, "alice", stdin=b"hello")
        before = self.descriptors()
        slow = []
        for i in range(300):
            s = self.dial()
            self.addCleanup(s.close)
            s.sendall(b"GET / HTTP/1.1\r\nX: "[:i % 20])
            slow.append(s)
        self.until(lambda: self.descriptors() <= before + 41)
        for i in range(5):
            for s in slow:
                try:
                    s.send(b"y")
                except OSError:
                    pass
            self.assertEqual(self.ask("healthz")[0], 200)
            self.mbj("deliver", self.p, "alice", stdin=b"hello %d" % i)
            self.assertLessEqual(self.descriptors(), before + 41)
        self.until(lambda: self.descriptors() <= before)
        self.assertEqual(self.ask("healthz")[0], 200)
        self.stop()
        self.mbj("fsck", self.p)

    def test_scarce(self):
        """Goal: where few open files are allowed, those of HTTP are not the
        service's.  Method: a low limit; all connections of the service and
        all of HTTP's at once; edits go on, and the store is read; without HTTP
        the service takes more."""
        self.begin(limit=140)
        most = json.loads(self.ask("status.json")[1])["service"][
            "connectionsMax"]
        self.assertGreater(most, 4)
        for _ in range(40):
            s = self.dial()
            self.addCleanup(s.close)
            s.sendall(b"GET ")
        # One is the lookout's, one is for who delivers.
        for _ in range(most - 2):
            self.addCleanup(self.hello().close)
        for i in range(5):
            self.mbj("deliver", self.p, "alice", stdin=b"hello %d" % i)
            self.assertEqual(self.ask("healthz")[0], 200)
        self.assertLess(self.descriptors(), 140)
        self.stop()
        self.serve(preexec=lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (140, 140)))
        # A connection may take four: its own, its body's, its request's.
        alone = self.mbj("status", self.p, "--json").json()["service"]
        self.assertGreaterEqual(alone["connectionsMax"], most + 40 // 4)
        self.stop()

    def test_hostile(self):
        """Goal: no bytes end the service.  Method: long lines and heads, no
        HTTP at all, half of it, answers that nobody reads."""
        self.begin()
        long = b"x" * 100000
        for data in (b"GET /" + long + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + long +
                     b"\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: localhost\r\n" +
                     b"X: y\r\n" * 20000 + b"\r\n"):
            got = self.raw(data)
            self.assertNotIn(b" 200 ", got.split(b"\n")[0])
        for data in (b"\x16\x03\x01\x02\x00\x01\x00", b"\r\n" *
                     100, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
            with self.dial() as s:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                while s.recv(65536):
                    pass
        for _ in range(100):
            with self.dial() as s:
                s.sendall(b"\0" * 1000)
            with self.dial() as s:
                s.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertEqual(self.ask("healthz")[0], 200)
        self.stop()


class Again(HttpCase):
    """mbj status --watch"""

    def watch(self, *options, out=subprocess.PIPE):
        watcher = subprocess.Popen(
            [MBJ, "status", str(self.p), "--watch", "--every", "1", *options],
            stdout=out)
        self.addCleanup(lambda: (watcher.kill(), watcher.communicate()))
        return watcher

    def test_lines(self):
        """Goal: where there is no terminal, a line each time, whatever becomes
        of the service.  Method: it begins and ends meanwhile; SIGINT."""
        watcher = self.watch()
        line = watcher.stdout.readline().decode()
        self.assertRegex(line, r"^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC  MBJ "
                         r"CRITICAL: nobody serves the store\n$")
        self.serve()
        self.until(lambda: b" MBJ OK: primary, to group 1\n" in
                   watcher.stdout.readline())
        self.stop()
        self.until(lambda: b" MBJ CRITICAL: " in watcher.stdout.readline())
        watcher.send_signal(signal.SIGINT)
        rest, _ = watcher.communicate(timeout=60)
        self.assertEqual(watcher.returncode, OK)
        self.assertNotIn(b"\x1b", rest)
        self.mbj("fsck", self.p)

    def test_json(self):
        """Goal: with --json a document each time.  Method: read two."""
        self.serve()
        watcher = self.watch("--json")
        for _ in range(2):
            one = json.loads(watcher.stdout.readline())
            self.assertEqual((one["schema"], one["applied"]),
                             ("mbj.status/1", 1))
        self.stop()
        self.until(lambda: json.loads(watcher.stdout.readline()).get(
            "ownedBy", 0)
                   is None)
        watcher.terminate()
        watcher.communicate(timeout=60)
        self.assertEqual(watcher.returncode, OK)

    def test_screen(self):
        """Goal: a terminal is painted anew in place, and nothing runs over its
        end.  Method: a terminal of ten rows; the bytes of two paintings."""
        self.serve()
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ,
                    struct.pack("HHHH", 10, 80, 0, 0))
        watcher = self.watch(out=theirs)
        os.close(theirs)
        got = b""
        while got.count(b"\x1b[?7h") < 3:
            got += os.read(ours, 65536)
        self.assertTrue(got.startswith(b"\x1b[H\x1b[2J"))
        first, second = got.split(b"\x1b[?7h")[:2]
        self.assertTrue(second.startswith(b"\x1b[?7l\x1b[H20"), second)
        self.assertEqual(second.count(b"\n"), 9)
        self.assertIn(b"MBJ OK: primary", second)
        self.assertRegex(second, rb"\n\(\d+ lines more\)\x1b\[J$")
        watcher.send_signal(signal.SIGINT)
        self.assertEqual(watcher.wait(timeout=60), OK)
        self.assertEqual(run("status", self.p, "--watch", "--every",
                             "86401").status, USAGE)


@unittest.skipUnless(CHROMIUM, "no chromium here")
class Page(HttpCase):
    def browse(self):
        browser = Browser()
        self.addCleanup(browser.close)
        return browser

    def test_lives(self):
        """Goal: the page of a browser is live, draws lag, and asks nobody
        else.  Method: a primary and a replica with a name that is markup; wait
        for points; complaints and requests of the browser."""
        self.follow(EVIL)
        self.begin()
        browser = self.browse()
        browser.look()
        browser.go(self.url)
        self.assertEqual(browser.value(
            "document.querySelector('#verdict h2').innerText"), "\u2714 OK")
        browser.until("+document.querySelector('.lag')?.dataset.points >= 2")
        self.assertEqual(browser.value(
            "document.querySelector('#replicas th[scope=row]').innerText"),
            EVIL)
        self.assertIn(EVIL, browser.value(
            "document.querySelector('figcaption').innerText"))
        self.assertEqual(browser.value("document.scripts.length"), 1)
        self.mbj("deliver", self.p, "alice", stdin=b"hello")
        browser.until("document.body.innerText.includes("
                      "'groups 1 to 2 in 1 segments')")
        self.assertEqual(browser.value("document.title"), "OK: p")
        # What is selected stays so while it goes on.
        browser.value("getSelection().selectAllChildren("
                      "document.querySelector('#verdict h2'))")
        self.mbj("deliver", self.p, "alice", stdin=b"hello again")
        browser.until("document.body.innerText.includes('groups 1 to 3 ')")
        self.assertIn("OK", browser.value("getSelection().toString()"))
        # Paused it does not say that all is well; another store has its name.
        browser.value("document.querySelector('#live button').click()")
        self.assertEqual(browser.value(
            "document.title + document.querySelector('#state').className"),
            "PAUSED: pold")
        browser.value("document.getElementById('name').textContent = 'q'")
        browser.value("document.querySelector('#live button').click()")
        browser.until("document.title === 'OK: p'")
        self.assertEqual(browser.value(
            "document.querySelector('h1').innerText + "
            "document.querySelector('#state').className"), "p mbj status")
        for url in browser.requests:
            self.assertTrue(url.startswith((self.url, "about:")), url)
        self.assertEqual(browser.complaints, [])
        self.picture(browser, "light")
        self.stop()
        browser.until("!document.getElementById('stale').hidden && "
                      "document.title === 'NO NEWS: p'")
        self.assertIn("nobody answers", browser.value(
            "document.getElementById('stale').innerText"))
        self.assertEqual(browser.value(
            "document.getElementById('since').innerText.trim()"), "Not live")
        self.picture(browser, "stale")

    def test_taken(self):
        """Goal: whoever looks at a source sees who takes a snapshot of it, and
        how far that is; nothing once it is over.  Method: a clone that takes
        minutes, as from a host by ssh, of a source that is served; each way to
        look; killed."""
        if not SEGMENTS:
            self.skipTest("MBJ_SEGMENTS names no mbj_segments")
        self.mbj("import", self.p, "carol", stdin=listing(
            [(mailbox_id(i), f"box {i}", None) for i in range(1000, 3000)]))
        subprocess.run([SEGMENTS, str(self.p), "alice", "A", "40"], check=True)
        self.mbj("trim", self.p, "--keep-days", "0", "--keep-requests", "1")
        self.begin()
        made = self.dir / "made"
        clone = subprocess.Popen(
            [MBJ, "clone", made, "--name", EVIL, "--rate", "1KiB", "--exec",
             "SSH_CONNECTION='192.0.2.1 40112 192.0.2.2 22' exec "
             f"{shlex.quote(MBJ)} send {shlex.quote(str(self.p))}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(clone.wait)
        self.addCleanup(clone.kill)

        def listed():
            return json.loads(self.ask("status.json")[1])["replicas"]
        self.until(lambda: listed() and (listed()[0]["taking"] or
                                         {"sent": 0})["sent"] > 0)
        (seen,) = listed()
        taking = seen["taking"]
        self.assertEqual((seen["name"], seen["address"]),
                         (EVIL, "192.0.2.1 port 40112"))
        (snapshot,) = (self.p / "snapshots").glob("*.snap")
        self.assertEqual((taking["all"], taking["snapshot"]),
                         (True, int(snapshot.stem, 16)))
        self.assertEqual(taking["size"], snapshot.stat().st_size)
        self.assertLess(taking["sent"], taking["size"])
        self.assertGreater(taking["ms"], 0)
        words = f"takes the snapshot of group {taking['snapshot']}, for " \
            f"all of it, [0-9]+ of {(taking['size'] + 1023) // 1024} KiB in [0-9]+ s"
        for verb in ("status", "replicas"):
            self.assertRegex(self.mbj(verb, self.p).out,
                             f": connected, from 192.0.2.1 port 40112, {words}")
        self.assertIn("1 replicas take a snapshot of this store, ",
                      run("check", self.p).out)
        metrics = self.ask("metrics")[1]
        self.assertIn('\nmbj_replicas_taking_snapshot{store="p"} 1\n', metrics)
        self.assertRegex(metrics, '\nmbj_replica_snapshot_left_bytes'
                         '{store="p"} [1-9][0-9]*\n')
        browser = self.browse()
        browser.look()
        browser.go(self.url)
        cells = browser.value("document.querySelector('#replicas tbody tr')"
                              ".innerText")
        self.assertIn("192.0.2.1 port 40112", cells)
        self.assertRegex(cells, words)
        self.picture(browser, "taken")
        clone.kill()
        self.until(lambda: listed()[0]["taking"] is None)
        self.assertFalse(listed()[0]["connected"])
        browser.until("document.querySelector('#replicas tbody tr')"
                      ".innerText.includes('away')")
        self.assertEqual(browser.complaints, [])

    def test_without_script(self):
        """Goal: without a script all is there but the plots, on a narrow
        screen, too.  Method: scripts off; nothing is wider than the screen."""
        self.park_odd()
        self.begin(store=self.r)
        browser = self.browse()
        browser.look(width=400, scheme="dark", script=False)
        browser.go(self.url)
        text = browser.value("document.body.innerText")
        for said in ("WARNING", "1 accounts parked", ODD_SHOWN,
                     "mbj quarantine STORE list", "load it again"):
            self.assertIn(said, text)
        self.assertLessEqual(browser.value(
            "document.documentElement.scrollWidth"), 400)
        self.picture(browser, "narrow")
        self.assertEqual(browser.complaints, [])

    @staticmethod
    def picture(browser, name):
        """To be looked at: MBJ_PICTURES names a directory."""
        if os.environ.get("MBJ_PICTURES"):
            browser.picture(pathlib.Path(os.environ["MBJ_PICTURES"]) /
                            f"{name}.png")


if __name__ == "__main__":
    unittest.main(verbosity=2)
