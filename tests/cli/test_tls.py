#!/usr/bin/env python3
"""Streams by TLS: what every carrier has to do, and the keys, ours and, by
openssl(1), others'.  Who is refused is test_tls_refused.py's."""
import fcntl
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import (FAILED, LOCKED, MBJ, OK, REFUSED, USAGE,  # noqa: E402
                     run)
from test_carrier import Carried, CarrierCase, Proxy  # noqa: E402

NAMES = os.environ.get("MBJ_NAMES")


def port_find(host):
    """One that is free there now; others have other hosts."""
    with socket.socket() as s:
        s.bind((host, 0))
        return s.getsockname()[1]


def loopback():
    """An address of this machine for this process alone."""
    pid = os.getpid()
    return f"127.{1 + (pid >> 14) % 250}.{1 + (pid >> 7) % 128}.{1 + pid % 128}"


class TlsCase(CarrierCase):
    """A source by TLS, and a replica with its certificate."""
    replica_name = "near"

    def addresses(self):
        self.host = loopback()
        self.port = port_find(self.host)
        self.address = f"tls:{self.host}:{self.port}"
        self.keys = self.dir / "keys"
        self.mbj("keygen", "ca", self.keys, self.p)
        self.source_options = ("--tls-dir", str(self.key("source", "here")))
        self.replica_options = ("--tls-dir",
                                str(self.key("replica", self.replica_name)))

    def key(self, role, name, keys=None, *options):
        self.mbj("keygen", role, keys or self.keys, name, *options)
        return (keys or self.keys) / name

    def source_connect(self):
        return socket.create_connection((self.host, self.port), timeout=30)

    def senders(self, source):
        children = f"/proc/{source.pid}/task/{source.pid}/children"
        return pathlib.Path(children).read_text(encoding="ascii").split()

    def proxy(self):
        s = socket.socket()
        s.bind((self.host, 0))
        proxy = Proxy(s, self.source_connect)
        self.addCleanup(proxy.close)
        return proxy, f"tls:{self.host}:{s.getsockname()[1]}"


class Tls(Carried, TlsCase):
    """By TLS, all that any carrier does."""

    def deaf_socket(self):
        s = socket.socket()
        s.bind((self.host, 0))
        return s, f"tls:{self.host}:{s.getsockname()[1]}", socket.socket

    def name(self, wanted):
        return self.replica_name

    def crowd_check(self, result):
        self.assertEqual(result.status, LOCKED)
        self.assertIn("serves 1 replicas, as many as it takes", result.err)

    def test_clone(self):
        """Goal: a new replica comes by TLS, also from a trimmed journal's
        snapshot.  Method: clone, verify, clone again."""
        for i in range(3):
            self.deliver(b"z%d" % i * 50_000)
        self.mbj("snapshot", self.p)
        self.send()
        new = self.dir / "new"
        for _ in range(2):
            self.mbj("clone", new, "--from", self.address,
                     *self.replica_options)
            self.mbj("verify", "--deep", self.p, new)

    def test_relay(self):
        """Goal: a replica feeds others, with one directory for both roles.
        Method: a chain of two services, each way by TLS; edits come through."""
        both = self.key("both", "relay")
        port = port_find(self.host)
        self.serve_replicas()
        relay = self.begin("serve", self.r, "--from", self.address,
                           "--replicas", f"tls:{self.host}:{port}",
                           "--tls-dir", both)
        self.until_lsn(1)
        last = self.replica("last")
        follower = self.begin("follow", last, "--from",
                              f"tls:{self.host}:{port}",
                              *self.replica_options)
        self.deliver(b"through" * 9000)
        self.until_lsn(2)
        mark = last / "journal" / "published"
        self.until(lambda: mark.exists() and int.from_bytes(
            mark.read_bytes()[8:16], "little") >= 2)
        self.end(follower)
        self.end(relay)
        self.stop()
        self.mbj("verify", "--deep", self.p, last)

    def test_six(self):
        """Goal: IPv6, in brackets, and both kinds at [::], as the pages have it.
        Method: a replica at each address."""
        with socket.socket(socket.AF_INET6) as s:
            try:
                s.bind(("::", 0))
            except OSError:
                self.skipTest("no IPv6")
            self.port = s.getsockname()[1]
        self.deliver()
        for listen, hosts in (("[::1]", ("::1",)),
                              ("[::]", ("::1", "127.0.0.1"))):
            self.address = f"tls:{listen}:{self.port}"
            self.host = hosts[0]
            source = self.send()
            for host in hosts:
                host = f"[{host}]" if ":" in host else host
                self.once(address=f"tls:{host}:{self.port}")
            self.assertEqual(self.end(source)[1], "")
        self.equal()

    def named(self, ms, *words, address):
        """A process that waits so long for a host's name, and has asked."""
        asked = self.dir / "asked"
        process = self.begin(
            *words, "--from", address.replace(self.host, "localhost"),
            *self.replica_options, env={
                **os.environ, "LD_PRELOAD": NAMES, "MBJ_NAMES_MS": str(ms),
                "MBJ_NAMES_ASKED": str(asked)})
        self.until(asked.exists)
        asked.unlink()
        return process

    @unittest.skipUnless(NAMES, "no names that are slow")
    def test_slow_names(self):
        """Goal: however long it takes to find a host's name, the host has all
        of its time, and a stop is heard.  Method: as long as a connection may
        take, and nobody is taken at that port for a while; much longer."""
        self.host = "127.0.0.1"
        with self.deaf(0) as address:
            process = self.named(10_000, "follow", self.r, "--once",
                                 address=address)
            time.sleep(12)
            self.assertIsNone(process.poll())
            self.end(process, FAILED)
        for words, status in ((("follow", self.r), OK),
                              (("follow", self.r, "--once"), FAILED),
                              (("serve", self.r), OK)):
            process = self.named(600_000, *words, address=address)
            began = time.monotonic()
            self.end(process, status)
            self.assertLess(time.monotonic() - began, 30)

    def test_renewed(self):
        """Goal: certificates are renewed without a restart.  Method: both sides
        run on while their files become those of another CA; the sender is
        killed, so that another connection is made, by the new ones."""
        source = self.send()
        follower = self.follow()
        self.until_lsn(1)
        other = self.dir / "other"
        self.mbj("keygen", "ca", other, self.p)
        for role, name, options in (
                ("source", "here", self.source_options),
                ("replica", self.replica_name, self.replica_options)):
            made = self.key(role, name, other)
            for file in made.iterdir():
                file.replace(pathlib.Path(options[1]) / file.name)
        self.until(lambda: len(self.senders(source)) == 1)
        old, = self.senders(source)
        os.kill(int(old), signal.SIGKILL)
        self.deliver()
        self.until_lsn(2)
        self.until(lambda: len(self.senders(source)) == 1)
        self.assertNotEqual(self.senders(source), [old])
        self.end(follower)
        self.end(source)


class Keygen(TlsCase):
    """The keys, ours and others'."""

    def setUp(self):
        super().setUp()
        self.addresses()

    def test_files(self):
        """Goal: what is made is there, for nobody else, and good for OpenSSL;
        nothing is written over.  Method: modes, openssl verify, again."""
        self.assertEqual(self.keys.stat().st_mode & 0o777, 0o700)
        self.assertEqual(sorted(f.name for f in self.keys.iterdir()),
                         ["ca.crt", "ca.key", "here", "near"])
        before = {}
        for directory in (self.keys, self.keys / "here", self.keys / "near"):
            self.assertEqual(directory.stat().st_mode & 0o777, 0o700)
            for file in directory.iterdir():
                if file.is_file():
                    self.assertEqual(file.stat().st_mode & 0o777, 0o600, file)
                    before[file] = file.read_bytes()
        self.assertEqual(len(before), 2 + 3 + 3)
        for name, role in (("here", "source"), ("near", "replica")):
            out = subprocess.run(
                ["openssl", "verify", "-x509_strict", "-CAfile",
                 self.keys / "ca.crt", self.keys / name / "tls.crt"],
                check=True, capture_output=True, text=True).stdout
            self.assertIn("OK", out)
            lineage = self.mbj("status", self.p, "--json").json()["lineage"]
            out = subprocess.run(
                ["openssl", "x509", "-noout", "-ext", "subjectAltName", "-in",
                 self.keys / name / "tls.crt"],
                check=True, capture_output=True, text=True).stdout
            self.assertIn(f"URI:mbj:{lineage}/{role}/{name}", out)
        for arguments in (("ca", self.keys, self.p),
                          ("replica", self.keys, "here"),
                          ("both", self.keys, "ca.crt")):
            self.assertIn("is there already", self.mbj(
                "keygen", *arguments, status=REFUSED).err)
        for file, content in before.items():
            self.assertEqual(file.read_bytes(), content)
        self.assertEqual(len(list(self.keys.rglob("*"))), 2 + 2 + 3 + 3)

    def test_half(self):
        """Goal: what failed or was killed halfway leaves nothing, and is in
        nobody's way.  Method: files may have no bytes, or as many as a key has
        and no certificate; then again without a limit; what a kill leaves."""
        def limited(size, *arguments):
            def limit():
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            done = subprocess.run([MBJ, *map(str, arguments)],
                                  capture_output=True, text=True,
                                  preexec_fn=limit, check=False)
            self.assertEqual(done.returncode, FAILED, done.stderr)
            return done.stderr
        size = (self.keys / "ca.key").stat().st_size
        self.assertLess(size, (self.keys / "near" / "tls.crt").stat().st_size)
        for limit, name in ((0, "tls.key"), (size, "tls.crt")):
            before = sorted(self.keys.rglob("*"))
            self.assertIn(name, limited(limit, "keygen", "source", self.keys,
                                        f"x{limit}"))
            self.assertEqual(sorted(self.keys.rglob("*")), before)
            self.mbj("keygen", "source", self.keys, f"x{limit}")
        new = self.dir / "k2"
        for limit, name in ((0, "ca.key"), (size, "ca.crt")):
            self.assertIn(name, limited(limit, "keygen", "ca", new, self.p))
            self.assertEqual(list(new.iterdir()), [])
        self.mbj("keygen", "ca", new, self.p)
        (self.keys / ".late").mkdir()
        (self.keys / ".late" / "tls.key").write_bytes(b"half")
        made = self.key("both", "late")
        self.assertEqual(len(list(made.iterdir())), 3)
        self.assertFalse((self.keys / ".late").exists())

    def test_twice(self):
        """Goal: two who make keys at a time are in nobody's way: each host has
        all of its own, and one name is made once.  Method: another one's half
        host, which stays while that one has its turn; then many for two names,
        and many for a CA."""
        half = self.keys / ".late"
        half.mkdir(mode=0o700)
        (half / "tls.key").write_bytes(b"half")
        turn = os.open(self.keys, os.O_RDONLY)
        self.addCleanup(os.close, turn)
        fcntl.flock(turn, fcntl.LOCK_EX)
        late = self.begin("keygen", "source", self.keys, "late")
        files = pathlib.Path(f"/proc/{late.pid}/fd")

        def is_there():
            # One that is over has not waited.
            self.assertIsNone(late.poll())
            return os.path.realpath(self.keys) in map(os.path.realpath,
                                                      files.iterdir())
        self.until(is_there)
        self.assertEqual((half / "tls.key").read_bytes(), b"half")
        fcntl.flock(turn, fcntl.LOCK_UN)
        self.end(late, OK, None)
        self.whole("late")
        self.crowd("source", self.keys, "crowd")
        self.whole("crowd")
        new = self.dir / "new"
        self.crowd("ca", new, self.p)
        self.assertEqual(self.public("pkey", new / "ca.key"),
                         self.public("x509", new / "ca.crt"))

    def crowd(self, *arguments):
        """Who comes first makes it, all others say that it is there."""
        ends = [p.communicate(timeout=60) + (p.returncode,) for p in
                [self.begin("keygen", *arguments) for _ in range(8)]]
        self.processes.clear()
        self.assertEqual(sorted(status for _, _, status in ends),
                         [OK] + 7 * [REFUSED], ends)

    def public(self, kind, file):
        return subprocess.run(
            ["openssl", kind, "-in", file, "-pubout" if kind == "pkey"
             else "-pubkey"] + (["-noout"] if kind == "x509" else []),
            check=True, capture_output=True).stdout

    def whole(self, name):
        """A host has its key, its own certificate, and nothing else is left."""
        made = self.keys / name
        self.assertEqual(sorted(f.name for f in made.iterdir()),
                         ["ca.crt", "tls.crt", "tls.key"])
        self.assertEqual(self.public("pkey", made / "tls.key"),
                         self.public("x509", made / "tls.crt"))
        self.assertFalse((self.keys / f".{name}").exists())

    def test_wrong(self):
        """Goal: what cannot be is said.  Method: names, days, a store of nobody
        yet, directories that others may enter, a CA of somebody else."""
        for name in ("", ".x", "-x", "a/b", "a b", "x" * 65, "a,URI:mbj:b"):
            self.mbj("keygen", "replica", self.keys, "--", name, status=USAGE)
        self.mbj("keygen", "replica", self.keys, "x" * 64)
        self.mbj("keygen", "king", self.keys, "x", status=USAGE)
        for days in ("36501", "0", "-1", "x"):
            self.assertIn(f'not "{days}"', self.mbj(
                "keygen", "replica", self.keys, "x", f"--days={days}",
                status=USAGE).err)
        self.assertIn("received nothing yet", self.mbj(
            "keygen", "ca", self.dir / "k2", self.r, status=REFUSED).err)
        self.assertIn("none", self.mbj(
            "keygen", "ca", self.dir / "k2", self.dir / "none",
            status=FAILED).err)
        self.assertFalse((self.dir / "k2").exists())
        self.mbj("keygen", "source", self.dir / "k2", "x", status=FAILED)
        (self.dir / "k2").mkdir(mode=0o755)
        (self.dir / "k2").chmod(0o755)
        self.assertIn("open to others", self.mbj(
            "keygen", "ca", self.dir / "k2", self.p, status=REFUSED).err)
        (self.keys / "ca.crt").write_bytes(
            (self.keys / "here" / "tls.crt").read_bytes())
        self.assertIn("was not made by mbj keygen", self.mbj(
            "keygen", "replica", self.keys, "y", status=REFUSED).err)

    def test_recipe(self):
        """Goal: the recipe of OPERATIONS makes a replica by TLS.  Method: its
        commands as they are written, with two directories for the two hosts,
        and this machine's address for theirs."""
        page = pathlib.Path(__file__).parents[2] / "docs" / "OPERATIONS.md"
        text = page.read_text(encoding="utf-8").split("### By TLS\n", 1)[1]
        hosts = [self.dir / "host-p", self.dir / "host-r"]
        for host in hosts:
            for folder in ("root", "etc/mbj", "run/mbj", "var/lib/mbj"):
                (host / folder).mkdir(parents=True)
        self.p.rename(hosts[0] / "var/lib/mbj/P")
        self.p, self.r = (hosts[0] / "var/lib/mbj/P",
                          hosts[1] / "var/lib/mbj/R")
        here, services, ran = 0, [], 0
        for line in text.split("\n*Your own", 1)[0].splitlines():
            here = 1 if line.startswith("On the replica") else here
            if not line.startswith("    "):
                continue
            words = []
            for word in line.split():
                host = 1 if word.startswith("root@replica-1:") else here
                word = word.removeprefix("root@replica-1:")
                if word.startswith("/"):
                    word = str(hosts[host]) + word
                elif word.startswith("tls:"):
                    self.assertTrue(word.endswith(":4747"), word)
                    word = self.address
                words.append(word)
            ran += 1
            if words[0] != "mbj":
                self.assertIn(words[0], ("cp", "scp"))
                subprocess.run(["cp", "-a", *words[-2:]], check=True)
            elif words[1] == "serve":
                services.append(self.begin(*words[1:]))
                self.until(lambda w=words: pathlib.Path(
                    w[w.index("--socket") + 1]).exists())
                if here == 0:
                    self.source_listens()
            else:
                self.mbj(*words[1:])
        self.assertEqual((ran, len(services)), (8, 2))
        self.mbj("deliver", hosts[0] / "run/mbj/P", "alice", stdin=b"hello")
        self.until(lambda: run("check", hosts[1] / "run/mbj/R").status == OK
                   and self.published() >= 2)
        for service in reversed(services):
            self.end(service)
        self.mbj("verify", "--deep", self.p, self.r)

    def test_own(self):
        """Goal: certificates of any CA do.  Method: RSA, with a CA between, by
        openssl(1), for both sides."""
        lineage = self.mbj("status", self.p, "--json").json()["lineage"]
        own = self.dir / "own"
        own.mkdir(mode=0o700)

        def openssl(*arguments):
            subprocess.run(["openssl", *map(str, arguments)], check=True,
                           cwd=own, capture_output=True)
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout",
                "root.key", "-out", "root.crt", "-subj", "/CN=Root", "-days",
                "30")

        def issue(name, issuer, extensions):
            (own / "ext").write_text(extensions, encoding="ascii")
            openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout",
                    f"{name}.key", "-out", f"{name}.csr", "-subj",
                    f"/CN={name}")
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA",
                    f"{issuer}.crt", "-CAkey", f"{issuer}.key", "-days", "30",
                    "-CAcreateserial", "-extfile", "ext", "-out",
                    f"{name}.crt")
        issue("between", "root", "basicConstraints=critical,CA:TRUE\n")
        for role in ("source", "replica"):
            issue(role, "between", "basicConstraints=CA:FALSE\n"
                  f"subjectAltName=URI:mbj:{lineage}/{role}/mine,"
                  "DNS:mail.example\n")
            made = own / f"dir-{role}"
            made.mkdir(mode=0o700)
            (made / "ca.crt").write_bytes((own / "root.crt").read_bytes())
            (made / "tls.crt").write_bytes(
                (own / f"{role}.crt").read_bytes()
                + (own / "between.crt").read_bytes())
            (own / f"{role}.key").replace(made / "tls.key")
            (made / "tls.key").chmod(0o600)
        self.source_options = ("--tls-dir", str(own / "dir-source"))
        self.replica_options = ("--tls-dir", str(own / "dir-replica"))
        source = self.send()
        self.once()
        _, err = self.end(source)
        self.assertEqual(err, "")
        self.equal()
        note, = self.mbj("replicas", self.p, "--json").json()["list"]
        self.assertEqual(note["name"], "mine")


if __name__ == "__main__":
    unittest.main(verbosity=2)
