"""Two real Dovecots: what users do at the first, the second has.  The journal
of the first runs to a replica through a Unix socket, and doveadm mbj apply
brings it into the second."""
import calendar
import imaplib
import json
import os
import re
import socket
import subprocess
import sys
import time
import unittest

import dovetest
from dovetest import DovecotCase, encode, mbjtest


def mail(text, lines=1):
    return (f"Subject: {text}\r\nFrom: <a@b.c>\r\n\r\n" +
            f"{text}\r\n" * lines).encode()


def status_of(client, path):
    """STATUS: item to value."""
    status, answer = client.status(
        encode(path), "(X-GUID UIDVALIDITY UIDNEXT MESSAGES UNSEEN "
        "HIGHESTMODSEQ)")
    assert status == "OK", (path, answer)
    text = b" ".join(a if isinstance(a, bytes) else a[1] for a in answer)
    return dict(re.findall(r"(\S+) ([0-9a-f]+)",
                           text.decode().rsplit("(", 1)[1]))


def fetched(client, path):
    """UID to flags, date, bytes and GUID."""
    status, _ = client.select(encode(path), readonly=True)
    assert status == "OK", path
    status, answer = client.uid("FETCH", "1:*",
                                "(UID FLAGS INTERNALDATE X-GUID BODY.PEEK[])")
    assert status == "OK", answer
    found = {}
    for row in answer:
        if isinstance(row, tuple):
            flags = re.search(rb"FLAGS \(([^)]*)\)", row[0]).group(1)
            found[int(re.search(rb"UID (\d+)", row[0]).group(1))] = (
                sorted(f for f in flags.decode().lower().split()
                       if f != "\\recent"),
                calendar.timegm(imaplib.Internaldate2tuple(row[0])), row[1],
                re.search(rb"X-GUID (\S+)", row[0]).group(1).decode())
    client.unselect()
    return found


def everything(client):
    """What a client can see of the account."""
    tree = dovetest.tree_of(client)
    boxes = {path for path, has in tree.items() if has is not None}
    seen = {"names": boxes, "subscribed": dovetest.subscribed(client),
            # Places on the way to a mailbox: others are nobody's.
            "places": {path for path in set(tree) - boxes
                       if any(b.startswith(path + "/") for b in boxes)},
            "stray": set(tree) - boxes}
    seen["stray"] -= seen["places"]
    for path in sorted(boxes):
        # Which is opened: the list's index, which has the STATUS of one that
        # is not, may have what was at that name before (DOVECOT.md).
        seen[path + "\0"] = fetched(client, path)
        seen[path] = status_of(client, path)
    return seen


class PairCase(DovecotCase):
    """Store p and its Dovecot, store r that follows, and another Dovecot."""
    MORE = dovetest.WITH_LMTP + """lda_mailbox_autocreate = yes
lmtp_save_to_detail_mailbox = yes
recipient_delimiter = +
protocol doveadm {
  mail_plugins = $mail_plugins doveadm_mbj
}
"""
    # Of the second, where they are others.
    THERE = LOCATION_THERE = None
    READER = ()  # options of a doveadm that may read mail
    replica = None

    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(cls.stop_replica)
        super().setUpClass()
        cls.other_store, cls.other_socket = cls.home / "r", cls.home / "r.socket"
        subprocess.run([mbjtest.MBJ, "init", cls.other_store, "--role",
                        "replica"], check=True, stdout=subprocess.DEVNULL)
        cls.serve_replica()
        cls.other = dovetest.Dovecot(cls.home / "other", cls.other_socket,
                                     cls.LOCATION_THERE or cls.LOCATION,
                                     cls.SEPARATOR, cls.PREFIX,
                                     cls.THERE or cls.MORE)
        cls.addClassCleanup(cls.other.stop)
        cls.other.start()

    @classmethod
    def begin(cls, store, where, *options):
        """mbj serve, until it listens."""
        process = subprocess.Popen(
            [mbjtest.MBJ, "serve", str(store), "--socket", str(where),
             "--group", str(dovetest.MAIL_GID), *options],
            stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for _ in range(6000):
            try:
                with socket.socket(socket.AF_UNIX) as peer:
                    peer.connect(str(where))
                return process
            except OSError:
                assert process.poll() is None, "the service ended"
                time.sleep(0.01)
        raise AssertionError("the service does not listen")

    @classmethod
    def serve(cls):
        cls.server = cls.begin(cls.store, cls.socket, "--replicas",
                               f"unix:{cls.home}/replicas")

    @classmethod
    def serve_replica(cls):
        cls.replica = cls.begin(cls.other_store, cls.other_socket, "--from",
                                f"unix:{cls.home}/replicas")

    @classmethod
    def stop_replica(cls):
        if cls.replica is not None:
            cls.replica.terminate()
            cls.replica.wait(60)
            cls.replica = None

    def promote_replica(self):
        """A primary is made of the replica's store, and served in its place,
        until the test ends."""
        self.stop_replica()
        over, new = self.dir / "over", self.dir / "promoted"
        self.mbj("backup", self.other_store, over)
        self.mbj("restore", over, new, "--role", "primary")
        host = self.begin(new, self.other_socket)
        self.addCleanup(host.wait)
        self.addCleanup(host.terminate)

    def setUp(self):
        super().setUp()
        if self.replica is None:
            self.serve_replica()

    # --------------------------------------------------------------- the way

    def settled(self):
        """No intent is open: what a killed process left is settled by the
        user's next changes, of which one may be refused."""
        client = self.login()
        for _ in range(20):
            answer = client.create(self.PREFIX + "settle")
            if answer[0] == "OK":
                self.ok(client.delete(self.PREFIX + "settle"))
                if not self.intents():
                    break
        self.assertEqual(answer[0], "OK", (answer, self.log()[-4000:]))
        self.assertEqual(self.intents(), [], self.log()[-4000:])
        self.leave(client)

    def follow(self):
        """The replica has all of the journal."""
        end = self.end()
        for _ in range(6000):
            at = self.mbj("status", self.other_socket,
                          "--json").json()
            if at["applied"] >= end:
                self.assertEqual(at["parked"], [])
                return
            time.sleep(0.01)
        self.fail(f"the replica does not come to {end}: {at}")

    def apply(self, status=0):
        done, said = self.other.doveadm("mbj", "apply", "-u", self.user)
        if status is not None:
            self.assertEqual((done, said), (status, said),
                             said + self.other.log()[-4000:])
        return said

    def bring(self):
        self.follow()
        self.apply()

    def login_other(self):
        client = self.other.login(self.user)
        self.addCleanup(self.leave, client)
        return client

    def same_there(self):
        """A client sees the same at both."""
        one = self.login()
        here = everything(one)
        self.same(one)  # what the journal has, too
        self.leave(one)
        self.bring()
        two = self.login_other()
        there = everything(two)
        self.leave(two)
        said = self.other.log()[-4000:]
        for key in ("names", "places", "subscribed"):
            self.assertEqual(there[key], here[key], (key, said))
        self.assertLessEqual(there["stray"], here["stray"])
        for path in here["names"]:
            modseqs = [int(seen[path].pop("HIGHESTMODSEQ"))
                       for seen in (here, there)]
            self.assertEqual(there[path + "\0"], here[path + "\0"],
                             (path, said))
            self.assertEqual(there[path], here[path], (path, said))
            self.assertEqual(len(here[path + "\0"]),
                             int(here[path]["MESSAGES"]), path)
            if modseqs[0] > modseqs[1]:  # asking takes two processes
                self.fail((path, modseqs, [
                    self.mbj("messages", where, self.user, path,
                             "--json").out
                    for where in (self.socket, self.other_socket)], said))
        # Of a name that is a place by now doveadm has what was there.
        for d in (self.dovecot, self.other):
            lines = d.doveadm("mailbox", "status", "-u", self.user, "guid",
                              "INBOX", self.PREFIX + "*")[1].splitlines()
            guids = dict(line.rsplit(" guid=", 1) for line in lines
                         if " guid=" in line)
            self.assertEqual({p: guids.get(p) for p in here["names"]},
                             {p: here[p]["X-GUID"] for p in here["names"]})
        self.assertEqual(self.apply(), "")  # nothing is left to do
        for d in (self.dovecot, self.other):  # and our own command agrees
            status, out = d.doveadm(*self.READER, "-f", "json", "mbj",
                                    "verify", "-u", self.user)
            # Dovecot may warn behind it: of a lock that took long, say.
            rows, _ = json.JSONDecoder().raw_decode(out)
            self.assertEqual(status, 3 if rows else 0, out)
            self.assertEqual([row for row in rows if not self.is_known(row)],
                             [], d.log()[-4000:])
        return here

    def is_known(self, _):
        """docs/DOVECOT.md has that difference, and why."""
        return False


def main():
    """What a test of two Dovecots is begun by."""
    if not dovetest.can_run() or not os.path.exists(dovetest.APPLY):
        print("SKIPPED: there is no Dovecot, or no plugin for it")
        sys.exit(77)
    unittest.main(warnings=os.environ.get("PYTHONWARNINGS", "ignore"))
