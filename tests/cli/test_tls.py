#!/usr/bin/env python3
"""Streams by TLS: what every carrier has to do, who is refused and in what
words, and the keys.  Peers that are not ours are Python's ssl, which has the
same OpenSSL below it, and openssl(1)."""
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import (FAILED, LOCKED, MBJ, OK, REFUSED, USAGE,  # noqa: E402
                     run)
from test_carrier import Carried, CarrierCase, Proxy  # noqa: E402

CLOCK = os.environ.get("MBJ_CLOCK")
DAY = 86400
STRANGERS = 32


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

    def proxy(self):
        s = socket.socket()
        s.bind((self.host, 0))
        proxy = Proxy(s, self.source_connect)
        self.addCleanup(proxy.close)
        return proxy, f"tls:{self.host}:{s.getsockname()[1]}"


class Tls(Carried, TlsCase):
    """By TLS, all that any carrier does."""

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

    def test_renewed(self):
        """Goal: certificates are renewed without a restart.  Method: both sides
        run on while their files become those of another CA; the connection is
        made again."""
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
        source.send_signal(signal.SIGTERM)
        source.communicate()
        self.processes.remove(source)
        self.send()
        self.deliver()
        self.until_lsn(2)
        self.end(follower)


class TlsRefused(TlsCase):
    """Who is not let in, and what both sides say of it."""

    def setUp(self):
        super().setUp()
        self.addresses()

    def context(self, keys=None, server=False, **versions):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server
                              else ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname = False
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(self.keys / "ca.crt")
        if keys is not None:
            made.load_cert_chain(keys / "tls.crt", keys / "tls.key")
        for name, value in versions.items():
            setattr(made, name, value)
        return made

    def hello(self, name):
        """A replica's first frame, as it says it itself."""
        file = self.dir / "hello"
        run("follow", self.r, "--once", "--name", name, "--timeout", "100",
            "--exec", f"cat > {file}")
        return file.read_bytes()

    def talk(self, keys, said, **versions):
        """What the source answers to a client that is not ours."""
        with self.context(keys, **versions).wrap_socket(
                self.source_connect()) as s:
            s.sendall(said)
            got = b""
            try:
                while more := s.recv(65536):
                    got += more
            except ssl.SSLError as e:
                return got, str(e)
            return got, ""

    def refused(self, source_options=None, replica_options=None):
        """Both sides' words about a replica that gets nothing."""
        options = self.source_options
        if source_options is not None:
            self.source_options = ("--tls-dir", str(source_options))
        source = self.send()
        self.source_options = options
        if replica_options is not None:
            self.replica_options = ("--tls-dir", str(replica_options))
        result = self.once(status=REFUSED)
        self.assertEqual(self.published(), 0)
        _, err = self.end(source)
        return err, result.err

    def test_other_ca(self):
        """Goal: a certificate of another CA is worth nothing, whichever side has
        it.  Method: a second CA of the same store."""
        other = self.dir / "other"
        self.mbj("keygen", "ca", other, self.p)
        theirs = self.key("replica", "theirs", other)
        err, said = self.refused(replica_options=theirs)
        self.assertIn("the source's certificate (mbj:", said)
        self.assertIn("is refused: ", said)
        self.assertIn("the peer refuses us or our certificate: unknown CA",
                      err)
        (theirs / "ca.crt").write_bytes((self.keys / "ca.crt").read_bytes())
        err, said = self.refused(replica_options=theirs)
        self.assertIn("the replica's certificate (mbj:", err)
        self.assertIn("/replica/theirs) is refused: ", err)
        self.assertIn(f"replica at {self.host.rsplit('.', 3)[0]}", err)
        self.assertIn("unknown CA", said)

    def test_other_store(self):
        """Goal: a certificate for another store is good for nobody here.
        Method: a CA that both sides trust, of another store; ours as a replica,
        which refuses the source, and a stranger, which the source refuses; a
        source with the other store's certificate, a replica likewise."""
        q = self.dir / "q"
        self.mbj("init", q, "--role", "primary")
        other = self.dir / "other"
        self.mbj("keygen", "ca", other, q)
        theirs = self.key("replica", "theirs", other)
        ours = pathlib.Path(self.source_options[1])
        both = ((self.keys / "ca.crt").read_bytes()
                + (other / "ca.crt").read_bytes())
        (theirs / "ca.crt").write_bytes(both)
        (ours / "ca.crt").write_bytes(both)
        err, said = self.refused(replica_options=theirs)
        self.assertIn("is for another store: the replica's is for lineage",
                      said)
        self.assertIn("refuses us or our certificate", err)
        source = self.send()
        got, _ = self.talk(theirs, self.hello("theirs"))
        self.assertIn(b"is for another store: the source's is for", got)
        _, err = self.end(source)
        self.assertIn("is for another store: the source's is for", err)
        self.assertIn("is for another store", self.mbj(
            "send", q, "--listen", self.address, *self.source_options,
            status=REFUSED).err)
        self.mbj("replay", self.p, self.r)
        self.assertIn("the replica is of", self.mbj(
            "follow", self.r, "--once", "--from", self.address, "--tls-dir",
            theirs, status=REFUSED).err)

    def test_other_role(self):
        """Goal: a replica is no source, and a source no replica.  Method: ours
        refuse their own certificates; a server with a replica's, a client with a
        source's."""
        replica = pathlib.Path(self.replica_options[1])
        source_keys = pathlib.Path(self.source_options[1])
        self.assertIn("is not for a source", self.mbj(
            "send", self.p, "--listen", self.address, "--tls-dir", replica,
            status=REFUSED).err)
        self.assertIn("is not for a replica", self.mbj(
            "follow", self.r, "--from", self.address, "--tls-dir",
            source_keys, status=REFUSED).err)
        listener = socket.create_server((self.host, self.port))
        follower = self.begin("follow", self.r, "--once", "--from",
                              self.address, *self.replica_options)
        near, _ = listener.accept()
        with self.assertRaises(ssl.SSLError):
            with self.context(replica, server=True).wrap_socket(
                    near, server_side=True) as s:
                while s.recv(4096):
                    pass
        listener.close()
        _, err = self.end(follower, REFUSED, None)
        self.assertIn("the source's certificate (mbj:", err)
        self.assertIn("is not for a source", err)
        source = self.send()
        got, _ = self.talk(source_keys, self.hello("here"))
        self.assertIn(b"is not for a replica", got)
        _, err = self.end(source)
        self.assertIn("is not for a replica", err)

    def test_other_name(self):
        """Goal: a name is its certificate's, and an instance its name's.
        Method: a hello with another name; another replica's certificate for a
        registered instance, which gets it once it was forgotten."""
        source = self.send()
        self.once()
        note, = self.mbj("replicas", self.p, "--json").json()["list"]
        far = self.key("replica", "far")
        got, _ = self.talk(far, self.hello("near"))
        self.assertIn(b"another name than its certificate", got)
        self.deliver()
        self.replica_options = ("--tls-dir", str(far))
        result = self.once(status=REFUSED)
        self.assertIn('registered as "near"', result.err)
        # Nothing of the register has moved.
        now, = self.mbj("replicas", self.p, "--json").json()["list"]
        for key in ("instance", "name", "received", "applied"):
            self.assertEqual(now[key], note[key])
        self.mbj("replicas", self.p, "--forget", "near")
        self.once()
        _, err = self.end(source)
        self.assertIn("another name than its certificate", err)
        self.assertIn('registered as "near"', err)
        self.assertIn('is for "far"', self.mbj(
            "follow", self.r, "--once", "--from", self.address, "--name",
            "near", *self.replica_options, status=USAGE).err)

    def shifted(self, seconds):
        return {**os.environ, "LD_PRELOAD": CLOCK,
                "MBJ_CLOCK_SHIFT": str(seconds)}

    @unittest.skipUnless(CLOCK, "no clock that is wrong")
    def test_time(self):
        """Goal: out of its time a certificate is refused by its owner and by the
        other side, with its date; a clock that is a day off makes no trouble.
        Method: keys that were made ten days ago or hence, for five days."""
        keys = self.dir / "old"

        def made(days, *arguments):
            self.assertEqual(run("keygen", *arguments,
                                 env=self.shifted(days * DAY)).status, OK)
        made(-10, "ca", keys, self.p)
        made(-10, "replica", keys, "gone", "--days", "5")
        made(1, "replica", keys, "near")
        made(-1, "source", keys, "here")
        self.source_options = ("--tls-dir", str(keys / "here"))
        source = self.send()
        self.once("--tls-dir", str(keys / "near"))
        result = self.once("--tls-dir", str(keys / "gone"), status=REFUSED)
        self.assertIn(f"{keys}/gone/tls.crt has expired on ", result.err)
        made(10, "replica", keys, "early")
        result = self.once("--tls-dir", str(keys / "early"), status=REFUSED)
        self.assertIn("early/tls.crt is not valid before ", result.err)
        # And who does not look at its own.
        self.keys = keys
        for name in ("gone", "early"):
            self.talk(keys / name, b"")
        _, err = self.end(source)
        self.assertIn("/replica/gone) has expired on ", err)
        self.assertIn("/replica/early) is not valid before ", err)

    def test_no_certificate(self):
        """Goal: nobody is served without a certificate, or by an older TLS.
        Method: clients that have none, or speak 1.2, or no TLS at all, to which
        nothing of the stream is said."""
        source = self.send()
        got, said = self.talk(None, self.hello("near"))
        self.assertEqual(got, b"")
        self.assertIn("certificate", said.lower())
        with self.assertRaises(ssl.SSLError) as caught:
            self.talk(pathlib.Path(self.replica_options[1]), b"",
                      minimum_version=ssl.TLSVersion.TLSv1_2,
                      maximum_version=ssl.TLSVersion.TLSv1_2)
        self.assertIn("version", str(caught.exception).lower())
        for plain in (self.hello("near"), b"GET / HTTP/1.1\r\n\r\n"):
            with self.source_connect() as s:
                s.sendall(plain)
                s.shutdown(socket.SHUT_WR)
                got = b""
                while more := s.recv(4096):
                    got += more
            # An alert at most.
            self.assertTrue(got == b"" or got[0] == 0x15, got)
        self.once()
        _, err = self.end(source)
        self.assertIn("the peer has no certificate", err)
        self.assertIn("does not speak TLS 1.3", err)
        self.assertIn("does not speak TLS\n", err)

    def test_goodbye(self):
        """Goal: only a goodbye is an end in good order.  Method: a client that is
        welcome says it, which nobody speaks of, or hangs up without, as whoever
        cuts the line could, which is said."""
        keys = pathlib.Path(self.replica_options[1])
        hello = self.hello("near")
        for is_polite in (True, False):
            source = self.send()
            raw = self.source_connect()
            s = self.context(keys).wrap_socket(raw,
                                               suppress_ragged_eofs=False)
            s.sendall(hello)
            self.assertGreater(len(s.recv(4096)), 100)
            if is_polite:
                s.unwrap()
            s.close()
            # The sender is gone before its listener is.
            self.until(lambda: not self.senders(source))
            _, err = self.end(source)
            if is_polite:
                self.assertEqual(err, "")
            else:
                self.assertIn("the connection was cut", err)

    def senders(self, source):
        children = f"/proc/{source.pid}/task/{source.pid}/children"
        return pathlib.Path(children).read_text(encoding="ascii").split()

    def test_strangers(self):
        """Goal: whoever proves nothing takes no replica's place, and no more
        than so many places at all.  Method: one place; more silent connections
        than there is room for; the replica is served all the same, and the
        oldest of them was sent away."""
        source = self.send("--connections", "1")
        silent = [self.source_connect() for _ in range(STRANGERS + 8)]
        self.once()
        silent[0].settimeout(60)
        self.assertEqual(silent[0].recv(1), b"")
        self.assertLessEqual(len(self.senders(source)), STRANGERS + 1)
        for s in silent:
            s.close()
        _, err = self.end(source)
        self.assertIn(f"{STRANGERS} connections at once prove nothing", err)

    def test_usage(self):
        """Goal: what is missing or wrong in the files is said, by name, before
        anything listens.  Method: each in turn."""
        keys = pathlib.Path(self.source_options[1])

        def said(status=REFUSED):
            return self.mbj("send", self.p, "--listen", self.address,
                            *self.source_options, status=status).err
        for wrong in ("tls:", "tls:host", "tls:host:", "tls:host:0",
                      "tls:host:65536", "tls:::1:80", "tls:[::1:80",
                      "tls:host:http", "tls:[]:80", "tls:" + "x" * 256 + ":1"):
            self.assertIn("HOST:PORT", self.mbj(
                "send", self.p, "--listen", wrong, *self.source_options,
                status=USAGE).err)
        self.assertIn("needs --tls-dir", self.mbj(
            "send", self.p, "--listen", self.address, status=USAGE).err)
        self.assertIn("needs --tls-dir", self.mbj(
            "follow", self.r, "--from", self.address, status=USAGE).err)
        key = (keys / "tls.key").read_bytes()
        (keys / "tls.key").chmod(0o640)
        self.assertIn("tls.key is a private key, and others may", said())
        (keys / "tls.key").chmod(0o600)
        (keys / "tls.key").write_bytes(b"rubbish")
        self.assertIn("tls.key is no private key", said())
        (keys / "tls.key").write_bytes(
            (self.keys / "near" / "tls.key").read_bytes())
        self.assertIn("tls.key is no key of the certificate", said())
        subprocess.run(["openssl", "pkcs8", "-topk8", "-passout", "pass:x",
                        "-in", self.keys / "near" / "tls.key", "-out",
                        keys / "tls.key"], check=True)
        self.assertIn("without a passphrase", said())
        (keys / "tls.key").unlink()
        self.assertIn("tls.key", said(FAILED))
        (keys / "tls.key").write_bytes(key)
        (keys / "tls.key").chmod(0o600)
        (keys / "ca.crt").write_bytes(b"")
        self.assertIn("ca.crt is no certificate", said())
        (keys / "ca.crt").write_bytes((keys / "tls.crt").read_bytes())
        self.assertIn("ca.crt has a certificate of no CA", said())
        listener = socket.create_server((self.host, self.port))
        (keys / "ca.crt").write_bytes((self.keys / "ca.crt").read_bytes())
        self.assertIn("another process listens", said(LOCKED))
        listener.close()
        self.assertIn("nobody listens at", self.once(status=FAILED).err)
        self.assertIn("cannot find host", self.mbj(
            "follow", self.r, "--once", "--from", "tls:" + "x" * 255 + ":1",
            *self.replica_options, status=FAILED).err)

    def test_door(self):
        """Goal: a sender without a listener asks nobody, as inetd would have it,
        and one whose listener is gone serves nobody.  Method: a pair of sockets
        with TLS over it; a door that nobody is behind."""
        near, far = socket.socketpair()
        sender = subprocess.Popen(
            [MBJ, "send", str(self.p), *self.source_options],
            stdin=far, stdout=far, stderr=subprocess.PIPE)
        far.close()
        with self.context(pathlib.Path(self.replica_options[1])).wrap_socket(
                near) as s:
            s.sendall(self.hello("near"))
            self.assertGreater(len(s.recv(4096)), 100)
            s.unwrap().close()
        _, err = sender.communicate(timeout=60)
        self.assertEqual((sender.returncode, err), (OK, b""))
        near, far = socket.socketpair()
        door, gone = socket.socketpair()
        sender = subprocess.Popen(
            [MBJ, "send", str(self.p), *self.source_options, "--door-fd",
             str(door.fileno())], stdin=far, stdout=far,
            stderr=subprocess.PIPE, pass_fds=[door.fileno()])
        for s in (far, door, gone):
            s.close()
        with self.context(pathlib.Path(self.replica_options[1])).wrap_socket(
                near) as s:
            s.sendall(self.hello("near"))
            self.assertIn(b"the listener is gone", s.recv(4096))
        _, err = sender.communicate(timeout=60)
        self.assertIn(b"the listener is gone", err)
        self.assertEqual(sender.returncode, FAILED)


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

    def test_wrong(self):
        """Goal: what cannot be is said.  Method: names, days, a store of nobody
        yet, directories that others may enter, a CA of somebody else."""
        for name in ("", ".x", "-x", "a/b", "a b", "x" * 65, "a,URI:mbj:b"):
            self.mbj("keygen", "replica", self.keys, "--", name, status=USAGE)
        self.mbj("keygen", "replica", self.keys, "x" * 64)
        self.mbj("keygen", "king", self.keys, "x", status=USAGE)
        self.mbj("keygen", "replica", self.keys, "x", "--days", "36501",
                 status=USAGE)
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
