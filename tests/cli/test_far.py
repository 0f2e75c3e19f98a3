#!/usr/bin/env python3
"""A replica compared with a source far away, from outside: mbj verify --from
beside two services, over a socket, while somebody writes."""
import io
import pathlib
import shlex
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import mbjtest  # noqa: E402
from mbjtest import (LOCKED, MBJ, OK, PARTIAL, REFUSED, USAGE,  # noqa: E402
                     listing, run, truth)
from test_carrier import CarrierCase  # noqa: E402
from test_tls import TlsCase  # noqa: E402

COUNT = 600  # messages of a mailbox: more than the ranges that are named


def frames(file):
    """Those of a stream, one after the other."""
    while len(head := file.read(16)) == 16:
        yield head + file.read(int.from_bytes(head[:4], "little"))


class Writers:
    """Somebody who writes to two accounts for as long as the block lasts."""

    def __init__(self, store):
        self.store = store
        self.stop = threading.Event()
        self.counts = [0, 0]
        self.threads = [threading.Thread(target=self.deliver),
                        threading.Thread(target=self.rename)]

    def deliver(self):
        while not self.stop.is_set():
            run("deliver", self.store, "bob", stdin=b"x%d" % self.counts[0])
            self.counts[0] += 1

    def rename(self):
        names = ["A", "Z"]
        while not self.stop.is_set():
            run("rename", self.store, "carol", ">".join(names))
            names.reverse()
            self.counts[1] += 1

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


class Far(CarrierCase):
    def setUp(self):
        super().setUp()
        if not mbjtest.DIVERGE:
            self.skipTest("MBJ_DIVERGE names no mbj_diverge")
        self.address = f"unix:{self.dir / 'replicas'}"
        for name in ("bob", "carol"):
            self.mbj("import", self.p, name, stdin=listing(mbjtest.ROWS))

    def fill(self):
        """alice's A has many messages."""
        mbox = self.dir / "mbox"
        mbox.write_bytes(b"".join(
            b"From a Thu Jan  1 00:00:00 2026\n\nmessage %d\n\n" % i
            for i in range(COUNT)))
        self.mbj("import", self.p, "alice", "--mbox", mbox)

    def source_begin(self, *options, socket=None):
        self.served = socket or self.p / "socket"
        self.source = self.begin("serve", self.p, "--replicas", self.address,
                                 *options)
        self.until(self.served.exists)
        self.until((self.dir / "replicas").exists)

    def replica_begin(self, *options):
        self.replica = self.begin("serve", self.r, *options)
        self.until((self.r / "socket").exists)

    def follower_begin(self):
        self.replica_begin("--from", self.address)

    def both_begin(self):
        self.source_begin()
        self.follower_begin()
        self.current_wait()

    def current_wait(self):
        def is_there():
            return (self.lsn(self.r) or 0) >= self.lsn(self.served)
        self.until(is_there)

    def lsn(self, store):
        found = run("status", store, "--json")
        return found.json()["applied"] if found.status == OK else None

    def far(self, *options, status=OK):
        return self.mbj("verify", self.r, "--from", self.address, *options,
                        status=status)

    def diverge(self, *changes, follow=True):
        """Behind the back of the replica, which is served before and after."""
        self.end(self.replica)
        for change in changes:
            subprocess.run([mbjtest.DIVERGE, str(self.r), "alice", *change],
                           check=True)
        if follow:
            self.follower_begin()
        else:
            self.replica_begin()

    def test_equal(self):
        """Goal: what is written meanwhile is no difference, and nothing is
        changed by looking.  Method: two services, two writers that do not stop,
        two looks, the second one by a command; the replica's register entry and
        both superblocks; then the same without a writer, as JSON."""
        self.fill()
        self.both_begin()
        with Writers(self.p) as writers:
            self.until(lambda: min(writers.counts) > 0)
            before = list(writers.counts)
            self.assertIn("equal: 3 accounts, 0 parked, 0 known to differ, 0 busy",
                          self.far("--share", "100", "--within",
                                   "60000").out)
            self.mbj("verify", self.r, "--within", "60000", "--exec",
                     f"{shlex.quote(MBJ)} send {shlex.quote(str(self.p))}")
            self.assertGreater(writers.counts[0], before[0])
            self.assertGreater(writers.counts[1], before[1])
        self.current_wait()
        marks = [(s / "mbj.store").read_bytes() for s in (self.p, self.r)]
        found = self.far("--json").json()
        self.assertEqual(found["schema"], "mbj.verify/1")
        self.assertTrue(found["equal"])
        self.assertEqual(found["differences"], [])
        self.assertEqual(found["accounts"], 3)
        self.assertGreater(found["records"], 2 * COUNT)
        self.assertEqual(marks, [(s / "mbj.store").read_bytes()
                                 for s in (self.p, self.r)])
        rows = self.mbj("replicas", self.p, "--json").json()
        self.assertEqual(len(rows["list"]), 1)
        self.mbj("verify", self.dir / "replicas", "--from", self.address,
                 status=mbjtest.FAILED)

    def named(self, found):
        """(kind, account, mailbox) and text of each difference."""
        return [((d["kind"], d["account"], d.get("mailboxId")), d["text"])
                for d in found["differences"]]

    def test_named(self):
        """Goal: what differs is named, down to the message, while somebody
        writes elsewhere; a mailbox that is not there once, whatever it had; of
        an account that is set aside nothing else is said.  Method: a flag and a
        message changed behind the replica's back; then a subscription, a
        mailbox, and the one with all messages; a mark."""
        self.fill()
        self.both_begin()
        paths = self.paths()
        inbox, gone = paths["INBOX"], paths["B/D"]
        with Writers(self.p):
            self.diverge([inbox, "%517"], [inbox, "!3"])
            found = self.far("--json", "--within", "60000", status=REFUSED)
            self.assertIn("resync ACCOUNT --from", found.err)
            rows = self.named(found.json())
            self.assertEqual([(row, text.split(" only")[0].split(":")[0])
                              for row, text in rows], [
                (("mailbox-differs", "alice", inbox), "INBOX, content"),
                (("message-missing", "alice", inbox), "INBOX UID 3"),
                (("message-differs", "alice", inbox), "INBOX UID 517")])
            self.assertRegex(rows[2][1], r": in the source .*flags \(\); "
                             r"in the replica .*\\Flagged")
            self.diverge(["+Ghost"], [gone, "!"], [inbox, "!"])
            found = self.far("--within", "60000", status=REFUSED).out
        lines = found.splitlines()
        self.assertEqual([line.split(": ")[0] for line in lines], [
            f"mailbox-missing alice {inbox}", f"mailbox-missing alice {gone}",
            "account-differs alice", "different"])
        self.assertIn("B/D only in the source", lines[1])
        self.assertIn("subscription only in the replica: Ghost", lines[2])
        self.diverge(["=1"], follow=False)
        found = self.far("--json", "--within", "1", status=PARTIAL).json()
        self.assertIn(("account-parked", "alice", None),
                      [row for row, _ in self.named(found)])
        self.assertEqual(found["accountsParked"], 1)

    def test_accounts(self):
        """Goal: an account that came while the replica was cut off is busy, not
        missing, and equal once it is there; the source's service may listen
        elsewhere.  Method: the replica alone, an account made at the source, no
        patience; then all."""
        away = self.dir / "away"
        self.source_begin("--socket", away, socket=away)
        self.follower_begin()
        self.current_wait()
        self.end(self.replica)
        self.replica_begin()
        self.mbj("import", away, "dave", stdin=listing(mbjtest.ROWS))
        self.mbj("deliver", away, "bob", stdin=b"x")
        found = self.far("--json", "--within", "1", status=PARTIAL).json()
        self.assertEqual(sorted(row for row, _ in self.named(found)),
                         [("account-busy", "bob", None),
                          ("account-busy", "dave", None)])
        self.assertEqual(found["accountsBusy"], 2)
        self.end(self.replica)
        self.follower_begin()
        self.current_wait()
        self.mbj("verify", self.r, "--exec",
                 f"{shlex.quote(MBJ)} send --socket {shlex.quote(str(away))} "
                 f"{shlex.quote(str(self.p))}")

    def test_stranger(self):
        """Goal: a service that has another store than the files that are sent is
        refused, and both are named; the replica's own, too, which would be equal
        to itself.  Method: mbj send --socket with the replica's service, and
        with that of a store that nobody follows."""
        self.both_begin()
        other = self.dir / "other"
        self.mbj("init", other)
        self.begin("serve", other)
        self.until((other / "socket").exists)
        known = self.mbj("status", self.served, "--json").json()["instance"]
        for store in (self.r, other):
            found = self.mbj(
                "verify", self.r, "--exec",
                f"{shlex.quote(MBJ)} send --socket "
                f"{shlex.quote(str(store / 'socket'))} "
                f"{shlex.quote(str(self.p))}", status=REFUSED)
            status = self.mbj("status", store, "--json").json()
            self.assertEqual(found.out, "")
            for word in (str(store / "socket"), status["instance"],
                         status["lineage"], known, "has another store"):
                self.assertIn(word, found.err)

    def test_swapped(self):
        """Goal: the store that answers is the one of the files, also where
        another service comes to the same socket.  Method: what a comparison
        says, kept and said again to a sender, whose service is another one from
        the second question on, and the right one from the third."""
        away, said, other = (self.dir / n for n in ("away", "said", "other"))
        self.mbj("init", other)
        self.mbj("replay", self.p, self.r)
        service = self.service_swap(None, self.p, away)
        send = [MBJ, "send", "--socket", str(away), str(self.p)]
        self.mbj("verify", self.r, "--exec",
                 f"tee {shlex.quote(str(said))} | {shlex.join(send)}")
        hello, question, *_ = frames(io.BytesIO(said.read_bytes()))
        with subprocess.Popen(send, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as sender:
            def ask(frame):
                sender.stdin.write(frame)
                sender.stdin.flush()
                return next(frames(sender.stdout))
            ask(hello)
            answer = ask(question)
            service = self.service_swap(service, other, away)
            self.assertIn(b"has another store", ask(question))
            self.service_swap(service, self.p, away)
            self.assertEqual(ask(question), answer)
            sender.stdin.close()
            self.assertEqual(sender.wait(60), OK)

    def service_swap(self, service, store, socket):
        """Another one at a socket."""
        if service is not None:
            self.end(service)
        service = self.begin("serve", store, "--socket", socket)
        self.until(socket.exists)
        return service

    def test_refused(self):
        """Goal: what cannot be compared is said.  Method: a source that nobody
        serves; another store's; a replica with nothing; options."""
        self.source_begin()
        self.mbj("verify", self.r, "--from", self.address,
                 status=mbjtest.FAILED)
        self.follower_begin()
        self.current_wait()
        other = self.dir / "other"
        self.mbj("init", other)
        sender = f"{shlex.quote(MBJ)} send {shlex.quote(str(other))}"
        self.mbj("verify", self.r, "--exec", sender, status=REFUSED)
        self.end(self.source)
        sender = f"{shlex.quote(MBJ)} send {shlex.quote(str(self.p))}"
        found = self.mbj("verify", self.r, "--exec", sender, status=LOCKED)
        self.assertIn("nobody serves the source's store", found.err)
        before = truth(self.r)
        for options in (["--share", "101"], ["--deep"], [self.p],
                        ["--exec", sender]):
            self.far(*options, status=USAGE)
        self.assertEqual(truth(self.r), before)


class FarTls(TlsCase):
    """The same by TLS, for those who may."""

    def test_far(self):
        """Goal: a replica is compared by TLS, by the certificate with which it
        follows, and who has none that is allowed is not, whichever side it is.
        Method: two services; the right one; one of another CA, which the source
        refuses, and one of a source, which is no replica's."""
        self.addresses()
        source = self.begin("serve", self.p, "--replicas", self.address,
                            *self.source_options)
        self.source_listens()
        self.begin("serve", self.r, "--from", self.address,
                   *self.replica_options)
        self.until((self.r / "socket").exists)
        self.deliver(b"x" * 70_000)
        self.until_lsn(2)
        # With rests, in which a source that is quiet has not hung up.
        found = self.mbj("verify", self.r, "--from", self.address, "--json",
                         "--share", "5", *self.replica_options).json()
        self.assertTrue(found["equal"])
        self.assertEqual(found["accounts"], 1)
        other = self.dir / "other"
        self.mbj("keygen", "ca", other, self.p)
        stranger = self.key("replica", self.replica_name, other)
        self.not_met(stranger, "is refused: ")
        (stranger / "ca.crt").write_bytes((self.keys / "ca.crt").read_bytes())
        self.not_met(stranger, "unknown CA")
        self.not_met(self.key("source", "there"), "is not for a replica")
        _, err = self.end(source)
        self.assertIn("/replica/near) is refused: ", err)

    def not_met(self, keys, words):
        found = self.mbj("verify", self.r, "--from", self.address, "--tls-dir",
                         keys, status=REFUSED)
        self.assertEqual(found.out, "")
        self.assertIn(words, found.err)


if __name__ == "__main__":
    unittest.main()
