"""mbj push against real servers: whatever was renamed keeps what it has, a kill
at any point costs nothing, and what others did is never overwritten."""
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

import mbjtest
from mbjtest import FAILED, OK, PARTIAL, REFUSED, USAGE, crc32c
import pushtest
from pushtest import dovetest

ENV = dict(os.environ, MBJ_PUSH_PASSWORD=pushtest.SECRET)


class PushCase(mbjtest.Case):
    """A server for all tests of a class; each has a user of its own."""

    @classmethod
    def make(cls, directory):
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        home = pathlib.Path(tempfile.mkdtemp(prefix="mbj-test-"))
        cls.addClassCleanup(shutil.rmtree, home, ignore_errors=True)
        os.chmod(home, 0o755)
        cls.server = cls.make(home / "server")
        cls.addClassCleanup(cls.server.stop)
        cls.server.start()

    def setUp(self):
        super().setUp()
        self.user = self.id().rsplit(".", 1)[1].replace("_", "")
        self.url = f"imap://{self.user}@127.0.0.1:{self.server.port}"
        self.known = {}  # our id to the server's
        self.mbj("init", self.p)
        self.mbj("import", self.p, "alice",
                 stdin={"list": [{"id": mbjtest.INBOX, "name": "INBOX",
                                  "parentId": None}]})

    def state(self):
        return next(path for path in self.dir.glob("p.push*")
                    if path.suffix not in (".lock", ".messages"))

    def login(self):
        client = self.server.login(self.user)
        self.addCleanup(self.leave, client)
        return client

    @staticmethod
    def leave(client):
        try:
            client.shutdown()
        except OSError:
            pass  # it was left

    def push(self, *options, status=OK, env=None, url=None):
        result = mbjtest.run("push", self.p, "alice", url or self.url,
                             *options, env=env or ENV)
        self.assertEqual(result.status, status,
                         result.out + result.err + self.server.log())
        return result

    def tree(self):
        """Path to id of what is a mailbox."""
        out = self.mbj("tree", self.p, "alice", "--json").json()
        nodes = {m["id"]: m for m in out["list"]}

        def path(i):
            above = nodes[i]["parentId"]
            return (path(above) + "/" if above else "") + nodes[i]["name"]
        return {path(i): i for i, m in nodes.items() if m["isSelectable"]}

    def same(self, left_out=()):
        """The server has the account's mailboxes, and each is still the one
        that it was."""
        client = self.server.login(self.user)
        found = self.server.mailboxes(client)
        status, lines = client.list()
        client.logout()
        self.assertNotIn("mbj-parked", str(lines))
        wanted = {path: i for path, i in self.tree().items()
                  if path not in left_out}
        self.assertEqual(sorted(found), sorted(wanted))
        now = {i: found[path] for path, i in wanted.items()}
        for i, it in self.known.items():
            if i in now:
                self.assertEqual(now[i], it)
        self.assertEqual(len(set(now.values())), len(now))
        self.known = now

    def rows(self, *paths):
        """Mailboxes of these paths, parents first, on top of INBOX; the id of
        each is its number."""
        ids = {}
        for number, path in enumerate(paths):
            ids[path] = mbjtest.mailbox_id(100 + number)
        rows = [(mbjtest.INBOX, "INBOX", None)]
        for path, i in ids.items():
            above, _, name = path.rpartition("/")
            rows.append((i, name, ids[above] if above else None))
        self.reconcile(rows)
        return ids

    def reconcile(self, rows):
        self.mbj("reconcile", self.p, "alice", stdin=mbjtest.listing(rows))

    def rename(self, *pairs):
        self.mbj("rename", self.p, "alice", *pairs)

    def put(self, client, path, text="x"):
        status, answer = client.append(
            dovetest.encode(self.server.name(path)), None, None,
            f"Subject: {text}\r\n\r\n{text}\r\n".encode())
        self.assertEqual(status, "OK", answer)

    def subjects(self, client, path):
        status, _ = client.select(
            dovetest.encode(self.server.name(path)), readonly=True)
        self.assertEqual(status, "OK")
        status, data = client.fetch("1:*", "(BODY[HEADER.FIELDS (SUBJECT)])")
        client.unselect()
        return [d[1].split()[1].decode() for d in data if isinstance(d, tuple)]


class Common:
    """What any server must come to."""

    def test_compound(self):
        self.rows("A", "A/x", "B", "B/y", "C", "Größe & Co", "P", "P/Q",
                  "P/Q/R")
        self.mbj("subscribe", self.p, "alice", "A", "A/x", "INBOX")
        dry = self.push("-n").out
        self.assertIn('CREATE "', dry)
        self.assertFalse(list(self.dir.glob("p.push*")))
        self.push()
        self.same()
        client = self.login()
        for path in ("A", "A/x", "B", "C", "P", "P/Q"):
            self.put(client, path, path.replace("/", "-"))
        # a swap with what is below, a cycle of three, a parent below its child
        self.rename("A>B", "B>A")
        self.rename("A>B", "B>C", "C>A")
        self.rename("P/Q>P", "P>P/Q", "P/Q/R>R")
        dry = self.push("-n").out
        self.assertIn("RENAME", dry)
        self.assertNotIn("CREATE", dry)
        self.push()
        self.same()
        # A is C, B is B as it was, C is A: what each has says so.
        for path, subject in (("A", "C"), ("B", "B"), ("C", "A"),
                              ("C/x", "A-x"), ("P", "P-Q"), ("P/Q", "P")):
            self.assertEqual(self.subjects(client, path), [subject], path)
        out = self.push("--json").json()
        self.assertEqual((out["created"], out["renamed"], out["deleted"]),
                         (0, 0, 0))
        self.assertEqual({self.server.path(n) for n in
                          dovetest.subscribed(client)},
                         set(self.mbj("subscriptions", self.p, "alice",
                                      "--json").json()["list"]))

    def test_random(self):
        """Any tree to any other, with names that lead to no mailbox."""
        rng = random.Random(7)
        fresh, live = 200, []
        for _ in range(5):
            ids = rng.sample(live, len(live) * 2 // 3)
            while len(ids) < 6:
                fresh += 1
                ids.append(mbjtest.mailbox_id(fresh))
            rng.shuffle(ids)
            rows, live = [(mbjtest.INBOX, "INBOX", None)], []
            taken = set()
            for i in ids:
                slot = (rng.choice([None, None, *live]), rng.choice("abcd"))
                if slot not in taken:
                    taken.add(slot)
                    live.append(i)
                    rows.append((i, slot[1], slot[0]))
            self.reconcile(rows)
            self.push()
            self.same()

    def test_foreign(self):
        """What others do at the server is named, and not undone unasked."""
        self.rows("A", "B", "C", "C/d")
        self.push()
        self.same()
        client = self.login()
        name = self.server.name
        self.assertEqual(client.rename(name("A"), name("Z"))[0], "OK")
        self.assertEqual(client.delete(name("B"))[0], "OK")
        self.assertEqual(client.create(name("C/own"))[0], "OK")
        self.put(client, "C/own")
        self.rename("C>D")
        before = self.server.mailboxes(client)
        err = self.push(status=REFUSED).err
        self.assertIn("mailbox", err)
        self.assertIn("was deleted or renamed at the server", err)
        self.assertIn("--overrule", err)
        self.assertEqual(self.server.mailboxes(client), before)
        has_ids = self.server.has_ids
        self.push("--overrule")
        after = self.server.mailboxes(client)
        # One that nobody knows goes along with what it is below, and stays.
        expected = {"INBOX", "A", "B", "D", "D/d", "D/own"}
        self.assertEqual(set(after), expected | (set() if has_ids else {"Z"}))
        if has_ids:
            self.assertEqual(after["A"], before["Z"])
        self.assertEqual(self.subjects(client, "D/own"), ["x"])

    def test_taken(self):
        """Names that are at the server already; mail that would go."""
        self.rows("A", "B")
        client = self.login()
        for path in ("A", "B", "mine"):
            self.assertEqual(client.create(self.server.name(path))[0], "OK")
        self.put(client, "B")
        err = self.push(status=REFUSED).err
        self.assertIn("B is at the server already, with 1 messages", err.replace(
            self.server.name("B"), "B"))
        self.push("--adopt")
        found = self.server.mailboxes(client)
        self.rename("A>B", "B>A")
        self.push()
        now = self.server.mailboxes(client)
        self.assertEqual((now["A"], now["B"]), (found["B"], found["A"]))
        self.assertEqual(now["mine"], found["mine"])
        # one with mail goes only when that is said
        self.reconcile([(mbjtest.INBOX, "INBOX", None)])
        self.assertIn("has 1 messages", self.push(status=REFUSED).err)
        self.assertEqual(self.server.mailboxes(client), now)
        self.push("--remove-messages")
        self.assertEqual(set(self.server.mailboxes(client)),
                         {"INBOX", "mine"})

    def test_in_the_way(self):
        """A name that somebody else's mailbox has is not taken from it."""
        self.rows("A")
        self.push()
        client = self.login()
        self.assertEqual(client.create(self.server.name("B"))[0], "OK")
        self.rename("A>B")
        before = self.server.mailboxes(client)
        self.assertIn("is not ours", self.push(status=REFUSED).err)
        self.assertEqual(self.server.mailboxes(client), before)

    def test_left_behind(self):
        """A rename that the server did for a part of what is below only, and
        of which we did not hear, is found where it is, and brought to its
        end."""
        ids = self.rows("A", "A/x", "A/y")
        self.push()
        self.same()
        line = next(line for line in self.state().read_text().split("\n")
                    if f" mailbox {ids['A']} " in line).split(" ")
        name = self.server.name
        step = (f'rename {ids["A"]} {line[3]} {line[5]} "{name("A")}" '
                f'"{name("B")}"').encode()
        with self.state().open("ab") as file:
            file.write(b"%08x %s\n" % (crc32c(step), step))
        client = self.login()
        self.assertEqual(client.rename(name("A"), name("B"))[0], "OK")
        self.assertEqual(client.rename(name("B/x"), name("A/x"))[0], "OK")
        self.rename("A>B")
        out = self.push("--json").json()
        self.assertEqual((out["created"], out["renamed"]), (0, 1))
        # Cyrus made a mailbox of the name when x went below it.
        client.delete(name("A"))
        self.same()

    # of the push's file, at which a run is killed
    CALLS = (("pwrite64", 2), ("fdatasync", 1), ("fdatasync", 2),
             ("pwrite64", 3), ("fdatasync", 3))

    def test_killed(self):
        """SIGKILL between any two of: a step is announced, is on disk, is
        sent, is noted.  Each run goes on where the last one was."""
        if subprocess.run(["strace", "-o", "/dev/null", "true"], check=False,
                          stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("strace cannot trace here")
        self.rows("A", "A/x", "B", "C", *"DEFGHIJ")
        self.push()
        self.same()
        client = self.login()
        for path in ("A", "A/x", "B", "C"):
            self.put(client, path, path.replace("/", "-"))
        client.logout()
        rows = [(mbjtest.INBOX, "INBOX", None)] + [
            (mbjtest.mailbox_id(n), name, parent) for n, name, parent in (
                (100, "B", None), (102, "C", None), (103, "A", None),
                (101, "x", mbjtest.mailbox_id(103)),
                (300, "new", None), (301, "newer", None),
                (302, "more", mbjtest.mailbox_id(300)))]
        # a cycle of three, one moved, three made, seven deleted
        self.reconcile(rows)
        state = self.state()
        kinds = {"create": 0, "rename": 0, "delete": 0}
        for run in range(60):
            call, when = self.CALLS[run % len(self.CALLS)]
            done = subprocess.run(
                ["strace", "-o", "/dev/null", "-P", state, "-e",
                 f"trace={call}", "-e", f"inject={call}:signal=KILL:when={when}",
                 mbjtest.MBJ, "push", self.p, "alice", self.url], env=ENV,
                capture_output=True, check=False, timeout=120)
            word = state.read_text().split("\n")[-2].split()[1]
            if word in kinds:
                kinds[word] += 1
            if done.returncode == 0:
                break
            self.assertEqual(done.returncode, -9, done.stderr)
        self.assertEqual(done.returncode, 0, "it never comes to its end")
        self.assertNotIn(0, kinds.values(), kinds)
        self.push()
        self.same()
        client = self.login()
        for path, subject in (("B", "A"), ("A/x", "A-x"), ("C", "B"),
                              ("A", "C")):
            self.assertEqual(self.subjects(client, path), [subject])


class PushSdbox(Common, PushCase):
    @classmethod
    def make(cls, directory):
        return pushtest.Dovecot(directory)

    def test_tls(self):
        url = f"imaps://{self.user}@localhost:{self.server.tls_port}"
        secret = self.dir / "secret"
        secret.write_text(pushtest.SECRET + "\n")
        ca = self.server.d / "cert.pem"
        self.assertIn("certificate",
                      self.push(url=url, status=FAILED).err)
        self.push("--ca-file", ca, "--password-file", secret, url=url,
                  env=dict(os.environ))
        self.assertIn("MBJ_PUSH_PASSWORD", self.push(
            "--ca-file", ca, url=url, env=dict(os.environ),
            status=REFUSED).err)
        self.assertIn("cannot log in", self.push(
            "--ca-file", ca, url=url,
            env=dict(ENV, MBJ_PUSH_PASSWORD="wrong"), status=FAILED).err)
        # a name that the certificate is not for
        self.assertIn("cannot log in", self.push(
            "--ca-file", ca, status=FAILED,
            url=f"imaps://{self.user}@127.0.0.1:{self.server.tls_port}").err)

    def test_place(self):
        """A name that Dovecot goes on listing, and that leads to nothing, is
        in nobody's way; where it leads to others' mailboxes it is."""
        ids = self.rows("A", "B")
        self.push()
        self.same()
        client = self.login()
        for name in ("r/s/t", "q/theirs"):
            self.assertEqual(client.create(name)[0], "OK")
        self.assertEqual(client.delete("r/s/t")[0], "OK")
        self.assertIn("r/s", str(client.list()))
        self.rename("A>r/s")
        self.push()
        self.assertEqual(set(self.server.mailboxes(client)),
                         {"INBOX", "B", "r/s", "q/theirs"})
        self.rename("B>q")
        before = self.server.mailboxes(client)
        self.assertIn("rename it there", self.push(status=REFUSED).err)
        self.assertEqual(self.server.mailboxes(client), before)
        # A new one can have the name.
        self.reconcile([(mbjtest.INBOX, "INBOX", None),
                        (ids["B"], "B", None),
                        (mbjtest.mailbox_id(300), "q", None)])
        self.push()
        self.assertEqual(set(self.server.mailboxes(client)),
                         {"INBOX", "B", "q", "q/theirs"})

    def test_no(self):
        """Where the server says no, that is said, nothing is in doubt, and
        what could be done is there."""
        self.rows("A", "~B", "~B/x", "~C")
        err = self.push(status=PARTIAL).err
        self.assertIn('the server says NO to CREATE "~B": ', err)
        self.assertIn(" settled\n", self.state().read_text())
        client = self.login()
        self.assertEqual(set(self.server.mailboxes(client)), {"INBOX", "A"})
        self.rename("~B>B", "A>~A", "~C>A")
        self.push(status=PARTIAL)
        self.assertEqual(len(set(self.server.mailboxes(client))), 5)
        self.rename("~A>C")
        self.push()
        self.same()

    def test_refused(self):
        for url in ("http://a@b", "imaps://b", "imaps://a:x@b", "nonsense",
                    "imaps://a@b/INBOX", "imaps://a@b;AUTH=PLAIN"):
            self.push(url=url, status=REFUSED)
        self.push("--state", status=USAGE)

    def test_file(self):
        """The file is one push's, and damage is met; a cut end is a kill's."""
        self.rows("A", "B")
        state = self.dir / "state"
        self.push("--state", state)
        whole = state.read_bytes()
        self.assertIn("another push", self.push(
            "--state", state, status=REFUSED,
            url=self.url.replace("@", "2@")).err)
        state.write_bytes(whole.replace(b'"A"', b'"X"'))
        self.assertIn("checksum", self.push(
            "--state", state, status=mbjtest.CORRUPT).err)
        state.write_bytes(whole + b"12345678 gon")
        self.push("--state", state)
        self.same()


class PushPrefix(PushCase):
    """A namespace with a prefix, and names that it cannot have."""

    @classmethod
    def make(cls, directory):
        return pushtest.Dovecot(directory, "maildir:~/mail", "INBOX.", ".")

    def test_names(self):
        self.rows("A", "A/x", "v1.2", "v1.2/below", "B")
        self.reconcile([(mbjtest.INBOX, "INBOX", None),
                        *[(mbjtest.mailbox_id(n), name, parent)
                          for n, name, parent in (
                              (100, "A", None), (101, "x", None),
                              (102, "v1.2", None),
                              (103, "below", mbjtest.mailbox_id(102)),
                              (104, "in", mbjtest.INBOX))]])
        err = self.push(status=PARTIAL).err
        self.assertIn("v1.2", err)
        gone = ("v1.2", "v1.2/below", "INBOX/in")
        self.same(left_out=gone)
        self.rename("A>x", "x>A")
        self.push(status=PARTIAL)
        self.same(left_out=gone)
        # One that is there stays, when its new name cannot be had.
        self.rename("A>A.A")
        self.push(status=PARTIAL)
        client = self.login()
        self.assertEqual(set(self.server.mailboxes(client)),
                         {"INBOX", "A", "x"})


class PushCyrus(Common, PushCase):
    @classmethod
    def make(cls, directory):
        return pushtest.Cyrus(directory)


if __name__ == "__main__":
    kind = pushtest.Cyrus if "PushCyrus" in sys.argv[1:] else pushtest.Dovecot
    if not kind.can_run():
        print(f"no {kind.__name__} here: skipped", file=sys.stderr)
        sys.exit(77)
    unittest.main()
