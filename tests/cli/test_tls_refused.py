#!/usr/bin/env python3
"""Streams by TLS: who is refused, and in what words.  Peers that are not ours
are Python's ssl, which has the same OpenSSL below it."""
import os
import pathlib
import resource
import socket
import ssl
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import (FAILED, LOCKED, MBJ, OK, REFUSED, USAGE,  # noqa: E402
                     run)
from test_tls import TlsCase  # noqa: E402

CLOCK = os.environ.get("MBJ_CLOCK")
DAY = 86400
STRANGERS = 32


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

    def test_served(self):
        """Goal: a replica that is served with a certificate for another store
        says so, and follows once that is put right, without a restart."""
        q = self.dir / "q"
        self.mbj("init", q)
        other = self.dir / "other"
        self.mbj("keygen", "ca", other, q)
        theirs = self.key("replica", "theirs", other)
        self.mbj("replay", self.p, self.r)
        source = self.send()
        service = self.begin("serve", self.r, "--from", self.address,
                             "--tls-dir", theirs)
        self.until((self.r / "socket").exists)

        def upstream():
            said = run("status", self.r, "--json")
            return said.status == OK and said.json().get("upstream") or {}
        self.until(lambda: upstream().get("refusedMs", 0) > 0)
        self.assertIn("the replica is of", upstream()["reason"])
        for file in pathlib.Path(self.replica_options[1]).iterdir():
            file.replace(theirs / file.name)
        self.until(lambda: upstream().get("state") == "following")
        _, err = self.end(service)
        self.assertIn("goes on trying: the certificate in", err)
        self.end(source)

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

    @unittest.skipUnless(CLOCK, "no clock that is wrong")
    def test_late_source(self):
        """Goal: where a source's certificate expires while it listens, both
        sides say so, with the date, and nobody is served.  Method: one that
        takes the place of a good one; a replica whose clock is right, and one
        by whose clock the certificate is good."""
        keys = self.dir / "old"
        for arguments in (("ca", keys, self.p),
                          ("replica", keys, "near", "--days", "30"),
                          ("source", keys, "here", "--days", "30"),
                          ("source", keys, "gone", "--days", "5")):
            self.assertEqual(run("keygen", *arguments,
                                 env=self.shifted(-10 * DAY)).status, OK)
        self.source_options = ("--tls-dir", str(keys / "here"))
        self.replica_options = ("--tls-dir", str(keys / "near"))
        source = self.send()
        self.once()
        self.deliver()
        for file in (keys / "gone").iterdir():
            file.replace(keys / "here" / file.name)
        self.assertIn("/source/gone) has expired on ",
                      self.once(status=REFUSED).err)
        result = run("follow", self.r, "--once", "--from", self.address,
                     *self.replica_options, env=self.shifted(-7 * DAY))
        self.assertEqual(result.status, REFUSED)
        self.assertIn("here/tls.crt has expired on ", result.err)
        self.assertEqual(self.published(), 1)
        _, err = self.end(source)
        self.assertIn("here/tls.crt has expired on ", err)

    @unittest.skipUnless(CLOCK, "no clock that is wrong")
    def test_late_service(self):
        """Goal: a service that begins with a certificate that has expired says
        so, and serves all but replicas, or follows nobody, until there is
        another one.  Method: of the source, and of the replica; who does
        nothing else does not begin."""
        self.mbj("replay", self.p, self.r)
        keys = self.dir / "old"
        for arguments in (("ca", keys, self.p),
                          ("source", keys, "here", "--days", "5"),
                          ("replica", keys, "near", "--days", "5")):
            self.assertEqual(run("keygen", *arguments,
                                 env=self.shifted(-10 * DAY)).status, OK)
        source = ("--tls-dir", str(keys / "here"))
        replica = ("--tls-dir", str(keys / "near"))
        self.assertIn("here/tls.crt has expired on ", self.mbj(
            "send", self.p, "--listen", self.address, *source,
            status=REFUSED).err)
        self.assertIn("near/tls.crt has expired on ", self.mbj(
            "follow", self.r, "--from", self.address, *replica,
            status=REFUSED).err)
        self.serve("--replicas", self.address, *source)
        self.source_listens()
        self.deliver()
        service = self.begin("serve", self.r, "--from", self.address, *replica)
        # A verb would have the store for itself.
        self.until((self.r / "socket").exists)

        def upstream():
            said = run("status", self.r, "--json")
            return said.status == OK and said.json().get("upstream") or {}
        self.until(lambda: "near/tls.crt has expired on " in
                   upstream().get("reason", ""))
        self.mbj("tree", self.r, "alice")
        for role, name in (("replica", "near"), ("source", "here")):
            self.mbj("keygen", role, keys, f"{name}2")
            for file in (keys / f"{name}2").iterdir():
                file.replace(keys / name / file.name)
        self.until(lambda: self.published() >= 2)
        self.end(service)
        self.assertIn(b"here/tls.crt has expired on ", self.stop())

    @unittest.skipUnless(CLOCK, "no clock that is wrong")
    def test_old_ca(self):
        """Goal: a CA that has expired is in nobody's way beside the one that
        came after it, and worth nothing itself.  Method: ca.crt with both, on
        both sides; with the old one alone."""
        old = self.dir / "old"
        self.assertEqual(run("keygen", "ca", old, self.p, "--days", "5",
                             env=self.shifted(-10 * DAY)).status, OK)
        files = [pathlib.Path(options[1]) / "ca.crt" for options in
                 (self.source_options, self.replica_options)]
        for file in files:
            file.write_bytes((old / "ca.crt").read_bytes() + file.read_bytes())
        source = self.send()
        self.once()
        self.assertEqual(self.end(source)[1], "")
        for file in files:
            file.write_bytes((old / "ca.crt").read_bytes())
        self.assertIn(f"{files[0]} has expired on ", self.mbj(
            "send", self.p, "--listen", self.address, *self.source_options,
            status=REFUSED).err)
        self.assertIn(f"{files[1]} has expired on ",
                      self.once(status=REFUSED).err)
        self.assertIn("ca.crt has expired on ", self.mbj(
            "keygen", "replica", old, "x", status=REFUSED).err)
        with open(self.keys / "ca.crt", "ab") as both:
            both.write((old / "ca.crt").read_bytes())
        self.mbj("keygen", "replica", self.keys, "x")

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

    def test_scarce(self):
        """Goal: where few open files are allowed, strangers take none of the
        service's.  Method: a low limit, all connections of the service and all
        places of strangers at once, edits meanwhile; without replicas the
        service takes more connections; a limit below both needs is named."""
        def connections():
            return self.mbj("status", self.p, "--json").json()["service"][
                "connectionsMax"]

        def listen(files, *options, **keywords):
            self.serve(*options, preexec=lambda: resource.setrlimit(
                resource.RLIMIT_NOFILE, (files, files)), **keywords)
        replicas = ("--replicas", self.address, *self.source_options)
        listen(100, *replicas)
        self.source_listens()
        most = connections()
        strangers = [self.source_connect() for _ in range(STRANGERS)]
        for _ in range(most - 1):
            client = self.connect(self.p / "socket")
            self.addCleanup(client.close)
            client.sendall(b"x")
        for i in range(5):
            self.deliver(b"%d" % i * 100_000)
        for s in strangers:
            s.close()
        self.stop()
        listen(100)
        # A connection may take four: its own, its body's, its request's.
        self.assertGreaterEqual(connections(), most + 40 // 4)
        self.stop()
        listen(60, *replicas, wait=False)
        self.assertIn(b"60 open files are allowed", self.server.stderr.read())
        self.assertNotEqual(self.server.wait(), OK)

    def test_stop(self):
        """Goal: a replica that is told to stop while its source says nothing
        stops, as it does in the stream, and speaks of no connection; one that
        was to be where its source is says that it is not.  Method: a port that
        takes the replica's first word and keeps silent."""
        with socket.create_server((self.host, self.port)) as listener:
            for once, status in (((), OK), (("--once",), FAILED)):
                follower = self.begin("follow", self.r, *once, "--from",
                                      self.address, *self.replica_options)
                near, _ = listener.accept()
                with near:
                    self.assertEqual(near.recv(1), b"\x16")
                    _, err = self.end(follower, status)
                    self.assertNotIn("connect", err)
                    self.assertEqual("told to stop before" in err,
                                     status == FAILED)

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
        (keys / "ca.crt").chmod(0o664)
        self.assertIn("ca.crt says who is trusted, and others may", said())
        (keys / "ca.crt").chmod(0o644)
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


if __name__ == "__main__":
    unittest.main(verbosity=2)
