"""doveadm mbj verify: what differs between a Dovecot and the store of its
host, at the first server and at a replica, and nothing where nothing does."""
import json
import os
import re
import threading
import time

import pairtest
from pairtest import PairCase, mail

DIFFERENT = 3


class Sdbox(PairCase):
    """Each test makes a user with mail at both, and changes something behind
    the plugin's back."""
    BESIDE = ("-o", "mail_plugins=")

    def verify(self, dovecot, *options):
        """Status and rows: mailbox, UID, what, here, journal."""
        status, said = dovecot.doveadm("-f", "json", "mbj", "verify", "-u",
                                       self.user, *options)
        # A RENAME took its lock along (DOVECOT.md): Dovecot's own, and told.
        said = re.sub(r"doveadm\([^)]*\): Warning: Our dotlock file .* was "
                      r"deleted .*\n?", "", said)
        try:
            rows = [tuple(row[key] for key in
                          ("mailbox", "uid", "what", "here", "journal"))
                    for row in json.loads(said)] if said.strip() else []
        except ValueError:
            return status, said
        return status, sorted(rows)

    def equal(self, *options):
        for dovecot in (self.dovecot, self.other):
            self.assertEqual(self.verify(dovecot, *options), (0, []))

    def begin_user(self):
        client = self.login()
        self.ok(client.create("A"))
        self.ok(client.create("A/B"))
        self.ok(client.subscribe("A"))
        for n in range(5):
            self.ok(client.append("A", "(\\Seen $Work)" if n == 1 else None,
                                  None, mail(f"mail {n}")))
        self.leave(client)
        self.bring()
        self.equal()
        self.equal("--quick")

    def beside(self, *words):
        """Without the plugin, at the first."""
        status, said = self.dovecot.doveadm(*self.BESIDE, *words)
        self.assertEqual(status, 0, said)

    def found(self, dovecot, *rows, options=()):
        """Just these, each time, and nothing is changed by looking."""
        end = self.end()
        for _ in range(2):
            status, got = self.verify(dovecot, *options)
            self.assertEqual((status, got), (DIFFERENT, sorted(rows)))
        self.assertEqual(self.end(), end)

    def capture(self):
        status, said = self.dovecot.doveadm("mbj", "capture", "-u", self.user)
        self.assertEqual(status, 0, said)
        self.bring()
        self.equal()

    def test_mail(self):
        """Goal: messages are compared by UID, flags, keywords and counters.
        Method: expunge, flag and save behind the plugin."""
        self.begin_user()
        uid = ("mailbox", "A", "uid")
        self.beside("flags", "add", "-u", self.user, "\\Flagged", *uid, "3")
        self.beside("flags", "remove", "-u", self.user, "$Work", *uid, "2")
        self.beside("expunge", "-u", self.user, *uid, "5")
        rows = {row[1:] for row in self.verify(self.dovecot)[1]}
        self.assertEqual({(u, what) for u, what, _, _ in rows},
                         {("3", "flags"), ("2", "keywords"),
                          ("5", "message"), ("", "HIGHESTMODSEQ")})
        self.assertIn(("3", "flags", "\\Flagged", ""), rows)
        self.assertIn(("2", "keywords", "", "$Work"), rows)
        self.assertEqual(self.verify(self.other), (0, []))
        self.capture()
        self.beside("copy", "-u", self.user, "A/B", *uid, "1")
        self.found(self.dovecot,
                   ("A/B", "1", "message", "there is one", "none"),
                   ("A/B", "", "UIDNEXT", "2", "1"),
                   *[row for row in self.verify(self.dovecot)[1]
                     if row[2] == "HIGHESTMODSEQ"])
        self.capture()

    def test_raised(self):
        """Goal: HIGHESTMODSEQ above the journal's is a difference, and none of
        a mailbox that never had a message, of which the journal cannot have
        it.  Method: it is raised in both."""
        self.begin_user()
        before = self.messages("A")["highestModSeq"]
        for name in ("A", "A/B"):
            self.beside("mailbox", "update", "-u", self.user,
                        "--min-highest-modseq", "50", name)
        self.found(self.dovecot, ("A", "", "HIGHESTMODSEQ", "50",
                                  str(before)))
        self.capture()
        self.assertEqual(self.messages("A")["highestModSeq"], 50)

    def messages(self, name):
        return self.mbj("messages", self.socket, self.user, name,
                        "--json").json()

    def test_names(self):
        """Goal: mailboxes are compared by GUID, with name and UIDVALIDITY, and
        subscriptions by name.  Method: rename, create, delete behind the
        plugin."""
        self.begin_user()
        self.beside("mailbox", "rename", "-u", self.user, "A/B", "C")
        self.beside("mailbox", "create", "-u", self.user, "New")
        self.beside("mailbox", "unsubscribe", "-u", self.user, "A")
        self.beside("mailbox", "subscribe", "-u", self.user, "Z")
        self.found(self.dovecot,
                   ("C", "", "name", "C", "A/B"),
                   ("New", "", "mailbox", "there is one", "none"),
                   ("A", "", "subscription", "none", "there is one"),
                   ("Z", "", "subscription", "there is one", "none"))
        self.capture()
        self.beside("mailbox", "delete", "-u", self.user, "C")
        self.found(self.dovecot,
                   ("C", "", "mailbox", "none", "there is one"))
        self.capture()

    def message_file(self, dovecot):
        """The file of a message of A."""
        for path in sorted((dovecot.d / "mail" / self.user).rglob("*")):
            if path.is_file() and b"mail 2" in path.read_bytes() and \
                    "dovecot" not in path.name:
                return path
        raise AssertionError("there is no such file")

    def test_bytes(self):
        """Goal: bytes are read and compared by digest, but with --quick.
        Method: one letter of a message's file is another one, at each."""
        self.begin_user()
        for dovecot in (self.dovecot, self.other):
            path = self.message_file(dovecot)
            data, stat = path.read_bytes(), path.stat()
            path.write_bytes(data.replace(b"mail 2", b"MAIL 2"))
            # In a Maildir that is INTERNALDATE.
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
            status, rows = self.verify(dovecot)
            self.assertEqual(status, DIFFERENT)
            self.assertEqual([row[:3] for row in rows], [("A", "3", "bytes")])
            self.assertEqual(self.verify(dovecot, "--quick"), (0, []))
            path.write_bytes(data)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        self.equal()

    def test_many(self):
        """Goal: there are no more rows of a mailbox than are kept, and the
        rest is counted.  Method: 120 messages, flagged behind the plugin."""
        client = self.login()
        self.ok(client.create("A"))
        for n in range(120):
            self.ok(client.append("A", None, None, mail(str(n))))
        self.leave(client)
        self.beside("flags", "add", "-u", self.user, "\\Flagged", "mailbox",
                    "A", "all")
        status, rows = self.verify(self.dovecot)
        self.assertEqual(status, DIFFERENT)
        self.assertEqual(len([r for r in rows if r[2] == "flags"]), 100)
        self.assertEqual([r[3] for r in rows if r[2] == "more"],
                         ["21 more differences"])  # HIGHESTMODSEQ

    def test_damaged(self):
        """Goal: a whole mailbox of other bytes is told, message by message.
        Method: 20 of them, at the replica."""
        client = self.login()
        self.ok(client.create("A"))
        for n in range(20):
            self.ok(client.append("A", None, None, mail(f"mail {n}")))
        self.leave(client)
        self.bring()
        for path in (self.other.d / "mail" / self.user).rglob("*"):
            if not path.is_file() or path.name.startswith("dovecot"):
                continue
            data, stat = path.read_bytes(), path.stat()
            path.write_bytes(data.replace(b"mail ", b"MAIL "))
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        status, rows = self.verify(self.other)
        self.assertEqual(status, DIFFERENT)
        self.assertEqual({(row[0], int(row[1]), row[2]) for row in rows},
                         {("A", n, "bytes") for n in range(1, 21)})

    def test_busy(self):
        """Goal: what is under way is no difference.  Method: sessions that
        append, flag, expunge and rename while it is verified."""
        self.begin_user()
        stop = threading.Event()
        failed = []

        def work(number):
            client = self.dovecot.login(self.user)
            try:
                name = f"w{number}"
                self.ok(client.create(name))
                n = 0
                while not stop.is_set():
                    n += 1
                    self.ok(client.select("A"))
                    self.ok(client.append("A", None, None, mail("busy")))
                    self.ok(client.store("1", "+FLAGS" if n % 2 else
                                         "-FLAGS", "\\Draft"))
                    self.ok(client.rename(name, name + "x"))
                    name += "x"
                    if len(name) > 40:
                        self.ok(client.rename(name, f"w{number}"))
                        name = f"w{number}"
            except Exception as e:  # pylint: disable=broad-except
                failed.append(e)
            finally:
                self.leave(client)
        workers = [threading.Thread(target=work, args=(n,)) for n in range(2)]
        for worker in workers:
            worker.start()
        try:
            time.sleep(0.3)
            equal, rounds, end = 0, 0, time.monotonic() + 120
            while rounds < 4 or equal == 0:
                self.assertLess(time.monotonic(), end, f"{rounds} rounds")
                rounds += 1
                status, rows = self.verify(self.dovecot)
                # One that was renamed meanwhile is said not to be compared,
                # and nothing else is.
                if status == 75:
                    errors = re.findall(r"Error: (.*)", rows)
                    self.assertTrue(errors, rows)
                    for line in errors:
                        self.assertRegex(line, r"mailbox (A|w\d+x*) .*"
                                         "is not compared")
                    continue
                self.assertEqual((status, rows), (0, []))
                equal += 1
        finally:
            stop.set()
            for worker in workers:
                worker.join()
        self.assertEqual(failed, [])
        self.bring()
        self.equal()

    def test_away(self):
        """Goal: without the service nothing is called equal."""
        self.begin_user()
        status, said = self.verify(self.dovecot, "--socket",
                                   str(self.home / "nobody"))
        self.assertEqual(status, 75)
        self.assertIn("nobody listens at", said)

    def test_across(self):
        """Goal: a Dovecot can be compared with the other one's store.
        Method: the replica's with the first store, before and after apply."""
        self.begin_user()
        client = self.login()
        self.ok(client.append("A", None, None, mail("late")))
        self.leave(client)
        status, rows = self.verify(self.other, "--socket", str(self.socket))
        self.assertEqual(status, DIFFERENT)
        self.assertIn(("A", "6", "message", "none"),
                      [row[:4] for row in rows])
        self.bring()
        status, rows = self.verify(self.other, "--socket", str(self.socket))
        # To a first server's own Dovecot a number that is higher is one.
        self.assertEqual([row for row in rows if row[2] != "HIGHESTMODSEQ"],
                         [])


class Maildir(Sdbox):
    """The same in Maildir++, whose separator is another one on disk."""
    LOCATION = "maildir:~/Maildir"

    def test_guid(self):
        """Goal: a message that is known by another GUID is told, unless it was
        made for these bytes.  Method: the list of messages is bent, at the
        replica."""
        self.begin_user()
        uidlist = self.other.d / "mail" / self.user / "Maildir/.A" / \
            "dovecot-uidlist"
        lines = uidlist.read_text().splitlines()
        guids = [line.split(" :")[1].split(":")[0] for line in lines[1:]]
        digest = {m["uid"]: m["blobId"] for m in
                  self.messages("A")["messages"]}
        self.assertEqual([int(line.split(" ")[0]) for line in lines[1:]],
                         list(digest))
        for guid, rows in (
                ("other", [("A", "2", "guid", "other", guids[1])]),
                ("6d626aff" + digest[1][:24],
                 [("A", "2", "guid", "6d626aff" + digest[1][:24], guids[1])]),
                ("6d626aff" + digest[2][:24], [])):
            bent = lines[:]
            bent[2] = re.sub(r" (G\S+ )?:", f" G{guid} :", bent[2])
            uidlist.write_text("\n".join(bent) + "\n")
            self.assertEqual(self.verify(self.other),
                             (DIFFERENT if rows else 0, rows))
            self.assertEqual(self.verify(self.other, "--quick"), (0, []))


if __name__ == "__main__":
    pairtest.main()
