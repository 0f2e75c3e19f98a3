"""Folders and messages at two real Dovecots (pairtest.py): what other
replications stumble over, failing over, and random commands with kills."""
import collections
import concurrent.futures
import copy
import imaplib
import os
import random
import re
import signal
import subprocess
import threading
import time

import dovetest
import pairtest
from dovetest import DovecotCase, decode, encode, mbjtest
from pairtest import PairCase, everything, fetched, mail, status_of

LDA = "/usr/lib/dovecot/dovecot-lda"
STEPS = int(os.environ.get("MBJ_PAIR_STEPS", "40"))  # of each session
AT_ONCE = int(os.environ.get("MBJ_PAIR_AT_ONCE", "6"))  # histories


def seeds(quick):
    """Of histories: MBJ_PAIR_SEEDS drawn ones, MBJ_PAIR_SEED alone, or, in
    the quick setting, always the same."""
    one, many = map(os.environ.get, ("MBJ_PAIR_SEED", "MBJ_PAIR_SEEDS"))
    if one:
        return [int(one)]
    if many or os.environ.get("MBJ_SEED"):
        rng = mbjtest.seed()
    else:
        rng = random.Random(1)
    return [rng.randrange(1 << 32) for _ in range(int(many or quick))]


class User:
    """A session that does at random what users do.  It may lose its
    connection, or be refused: it goes on."""
    NAMES = ("A", "B", "C", "a")

    def __init__(self, case, seed):
        self.case, self.seed = case, seed
        self.rng = random.Random(seed)
        self.client = None
        self.done = self.refused = self.lost = 0
        self.whys = collections.Counter()  # of what was refused
        self.wrong = None

    def path(self):
        rng, prefix = self.rng, self.case.PREFIX
        if prefix and rng.random() < 0.1:
            prefix = ""
        return prefix + "/".join(rng.choice(self.NAMES) for _ in
                                 range(rng.choice((1, 1, 2, 2, 3))))

    def there(self):
        """A mailbox that is there."""
        _, lines = self.client.list()
        found = [decode(re.match(rb'\([^)]*\) (?:"[^"]*"|NIL) (.*)$', line)
                        .group(1)) for line in lines
                 if line and b"noselect" not in line.lower()]
        return self.rng.choice(sorted(found) or ["INBOX"])

    def uids(self):
        first = self.rng.randrange(1, 16)
        return f"{first}:{first + self.rng.randrange(4)}"

    def folder(self):
        rng, client = self.rng, self.client
        kind = rng.randrange(9)
        if kind < 3:
            return client.create(encode(self.path()))
        if kind < 4:
            return client.delete(encode(self.there()))
        if kind < 8:
            return client.rename(encode(self.there()), encode(self.path()))
        return rng.choice((client.subscribe, client.unsubscribe))(
            encode(self.there()))

    def message(self):
        rng, client = self.rng, self.client
        box, kind = self.there(), rng.randrange(11)
        text = mail(f"{self.seed} {rng.random()}", rng.randrange(1, 400))
        if kind < 3:
            return client.append(encode(box), rng.choice(
                ("()", "(\\Seen)", "($k1 \\Flagged)")), None, text)
        if kind == 3:
            return self.deliver(box, text)
        answer = client.select(encode(box))
        if answer[0] != "OK":
            return answer
        if kind < 7:
            return client.uid("STORE", self.uids(), rng.choice(
                ("+FLAGS", "-FLAGS", "FLAGS")), rng.choice(
                    ("(\\Seen)", "($k1 $k2)", "(\\Deleted $k3)")))
        if kind < 9:
            return client.uid(("COPY", "MOVE")[kind - 7], self.uids(),
                              encode(self.there()))
        if kind == 9:
            return client.expunge()
        return client.uid("FETCH", "1:*", "(BODY[])")

    def deliver(self, box, text):
        """By LMTP, which goes on in one process, or by one of its own."""
        if dovetest.HAS_LMTP and self.rng.random() < 0.7:
            said = dovetest.lmtp(self.case.dovecot,
                                 [f"{self.case.user}+{box}"], text)
            return ("OK" if said[0].startswith("2") else "NO", said)
        done = subprocess.run(
            [LDA, "-c", self.case.dovecot.conf, "-d", self.case.user, "-m",
             box], input=text.replace(b"\r\n", b"\n"), check=False,
            timeout=120)
        return ("NO" if done.returncode else "OK", [])

    def run(self, steps):
        for _ in range(steps):
            try:
                if self.client is None:
                    self.client = self.case.dovecot.login(self.case.user)
                    self.client.sock.settimeout(120)
                answer = self.folder() if self.rng.random() < 0.4 else \
                    self.message()
                self.done += answer[0] == "OK"
                self.refused += answer[0] != "OK"
                if answer[0] != "OK":
                    self.whys[str(answer[1])] += 1
                # Of an INBOX that is to be made Dovecot says the latter.
                if re.search(r"\[(UNAVAILABLE|SERVERBUG)\]", str(answer[1])):
                    time.sleep(0.02)  # or a history is over before it is back
            except (imaplib.IMAP4.abort, imaplib.IMAP4.error, OSError,
                    TypeError) as error:
                # Killed, or the mailbox went: imaplib has more than one way
                # to say that the connection ended.
                self.lost += 1
                self.wrong = error
                self.leave()
        self.leave()

    def leave(self):
        if self.client is not None:
            DovecotCase.leave(self.client)
            self.client = None


class Users:
    """Two sessions of a user, which go on beside each other."""

    def __init__(self, case, seed):
        self.each = [User(case, seed), User(case, seed + 1)]
        self.threads = [threading.Thread(target=user.run, args=(STEPS,))
                        for user in self.each]

    def begin(self):
        for thread in self.threads:
            thread.start()

    def are_busy(self):
        return any(thread.is_alive() for thread in self.threads)

    def end(self):
        for thread in self.threads:
            thread.join()

    def count(self, what):
        return sum(getattr(user, what) for user in self.each)

    def tried(self):
        return sum(map(self.count, ("done", "refused", "lost")))

    def wait(self, commands):
        """Until they have tried so many more, or end."""
        goal = self.tried() + commands
        while self.are_busy() and self.tried() < goal:
            time.sleep(0.005)

    def why(self):
        return [(user.wrong, user.whys.most_common(3)) for user in self.each]


class Pair(PairCase):
    HISTORIES = 100

    # ------------------------------------------------------------- scenarios

    def one_scenario(self, client, *steps):
        """Each step is a command; one event of replication has them all."""
        for word, *names in steps:
            if word == "append":
                # By itself: Maildir may end a session under whose indexes
                # directories have changed places ("relogin").
                other = self.login()
                self.ok(other.append(encode(names[0]), "(\\Flagged)", None,
                                     mail(str(steps))))
                self.leave(other)
            else:
                self.ok(getattr(client, word)(*map(encode, names)))
        return self.same_there()

    @staticmethod
    def renames(*chain):
        """RENAME each to the next."""
        return [("rename", a, b) for a, b in chain]

    def test_gone(self):
        """Goal: a mailbox that goes at the first while a run brings it is no
        failure of that run.  Method: a relay has it deleted there, and the
        replica hear of it, before the first question for messages."""
        where = self.dir / "relay"
        os.chmod(self.dir, 0o755)
        relay = dovetest.Relay(where, self.other_socket)
        self.addCleanup(relay.close)
        one = self.login()
        self.ok(one.create("A"))
        self.ok(one.append("A", None, None, mail("one")))
        self.follow()
        asked = []

        def goes(kind):
            if kind == 7 and not asked:  # messages (docs/FORMAT.md)
                asked.append(kind)
                self.ok(one.delete("A"))
                self.follow()
        relay.before = goes
        self.assertEqual(self.other.doveadm("mbj", "apply", "-u", self.user,
                                            "--socket", str(where)), (0, ""))
        self.assertEqual(asked, [7])
        self.leave(one)
        self.same_there()

    def test_scenarios(self):
        """Goal: what other replications stumble over arrives, folder by
        folder and message by message.  Method: commands of a client at the
        first, one run of apply, both compared over IMAP."""
        one = self.login()
        for name in ("A", "A/x", "B", "B/y", "B/y/z", "C", "P", "P/Q", "t2"):
            self.ok(one.create(name))
            self.ok(one.subscribe(name))
            self.ok(one.append(name, "(\\Seen $k)", None, mail(name)))
        self.same_there()
        ids = {}

        def run(*steps):
            seen = self.one_scenario(one, *steps)
            ids.update({p: seen[p]["X-GUID"] for p in seen["names"]})
        run()
        a, b = ids["A"], ids["B"]
        swap = self.renames(("A", "t"), ("B", "A"), ("t", "B"))
        run(*swap)
        self.assertEqual((ids["A"], ids["B"]), (b, a))
        run(*swap * 3)
        run(*self.renames(("A", "t"), ("B", "A"), ("C", "B"), ("t", "C")))
        run(*self.renames(("A", "t"), ("B", "A"), ("C", "B"), ("t", "C")),
            ("append", "B"))
        # through a name that exists before and after
        run(("rename", "t2", "t3"), *self.renames(
            ("A", "t2"), ("B", "A"), ("t2", "B"), ("t3", "t2")))
        # a parent under its own child
        run(*self.renames(("P/Q", "t"), ("P", "t/Q"), ("t", "P")))
        run(("create", "F"), ("append", "F"), ("create", "G"), ("append", "G"))
        run(("delete", "F"), ("create", "F"), ("append", "F"))
        run(("delete", "G"), ("rename", "F", "G"), ("append", "G"))
        run(("delete", "t2"), ("rename", "G", "t2"), ("create", "G"),
            ("append", "G"), ("delete", "G"), ("create", "G"))
        # what has children becomes a place, and a mailbox again
        run(("delete", "B"), ("create", "B"), ("append", "B"))
        # case and accents only
        run(("create", "case"), ("append", "case"), ("rename", "case", "Case"))
        run(("create", "case"), ("append", "case"), *self.renames(
            ("Case", "t"), ("case", "Case"), ("t", "case")))
        run(("create", "Gr\u00fc\u00dfe"), ("create", "\u6f22" * 40),
            ("append", "\u6f22" * 40), *self.renames(
                ("Gr\u00fc\u00dfe", "t"), ("\u6f22" * 40, "Gr\u00fc\u00dfe"),
                ("t", "\u6f22" * 40)))
        # deep subtrees, and into each other
        for top in ("D", "E"):
            path = top
            for n in range(6):
                self.ok(one.create(path))
                self.ok(self.login().append(path, None, None, mail(path)))
                path += f"/{n}"
        run(*self.renames(("D", "t"), ("E", "D"), ("t", "E")))
        run(*self.renames(("D/0/1", "t"), ("E/0", "D/0/1"), ("t", "E/0")))
        run(("rename", "D", "E/0/2/D"))
        run(("delete", "E"), ("create", "E"))
        run(*[("create", f"n{i}") for i in range(12)], *self.renames(
            ("n0", "t"), *((f"n{i}", f"n{i - 1}") for i in range(1, 12)),
            ("t", "n11")))
        if not self.LOCATION.startswith("maildir"):
            run(("append", "INBOX"), ("rename", "INBOX", "Old"))
            run(("append", "INBOX"), ("append", "Old"),
                ("rename", "INBOX", "Old/INBOX"), ("append", "INBOX"))
        run(("unsubscribe", "A"), ("subscribe", "B"))

    # ---------------------------------------------------------- failing over

    def test_failover(self):
        """Goal: a client that knew the first goes on at the second: what it
        has is good there, and it hears of all that it has missed.  Method:
        its cache is filled at the first, more happens there, the first goes
        away with its service; QRESYNC at the second."""
        one = self.login()
        for name in ("A", "B"):
            self.ok(one.create(name))
            for n in range(8):
                self.ok(one.append(name, "(\\Seen $k)" if n % 2 else "()",
                                   None, mail(f"{name} {n}", n * 50)))
        self.bring()
        known = everything(one)
        self.ok(one.select("A"))
        self.ok(one.uid("STORE", "2:3", "+FLAGS", "(\\Answered $late)"))
        self.ok(one.uid("STORE", "5", "+FLAGS", "(\\Deleted)"))
        self.ok(one.expunge())
        self.ok(one.uid("MOVE", "7", "B"))
        self.ok(one.unselect())
        self.leave(one)  # see one_scenario
        one = self.login()
        for source, target in (("A", "t"), ("B", "A"), ("t", "B")):
            self.ok(one.rename(source, target))
        one = self.login()
        self.ok(one.append("B", "()", None, mail("last")))
        last = everything(one)
        self.bring()
        self.dovecot.stop()
        self.addCleanup(self.dovecot.start)
        self.stop_service()
        self.addCleanup(self.serve)
        two = self.login_other()
        self.ok(two.enable("QRESYNC"))
        for old, new in (("A", "B"), ("B", "A"), ("INBOX", "INBOX")):
            was, cache = known[old], known[old + "\0"]
            self.assertEqual(status_of(two, new)["UIDVALIDITY"],
                             was["UIDVALIDITY"])
            self.assertEqual(status_of(two, new)["X-GUID"], was["X-GUID"])
            flags, gone = self.resynced(two, new, was)
            mine = {uid: flags.pop(uid, has[0]) for uid, has in cache.items()
                    if uid not in gone}
            mine.update(flags)  # of those that are new
            self.assertEqual(mine, {uid: has[0] for uid, has in
                                    last[new + "\0"].items()}, new)
            there = fetched(two, new)
            for uid in set(cache) - gone:
                self.assertEqual(there[uid][1:], cache[uid][1:], (new, uid))
            self.assertEqual(there, last[new + "\0"])

    def test_values(self):
        """Goal: what is made at the second, when it is the first, has a
        UIDVALIDITY that was never another mailbox's.  Method: the first has
        made and deleted many; a mailbox of the last one's name is made at the
        second without the journal."""
        one = self.login()
        for _ in range(20):
            self.ok(one.create("A"))
            value = int(status_of(one, "A")["UIDVALIDITY"])
            self.bring()
            self.ok(one.delete("A"))
        self.bring()
        done = self.other.doveadm("-o", "mail_plugins=", "mailbox", "create",
                                  "-u", self.user, "A")
        self.assertEqual(done, (0, ""))
        self.assertGreater(int(status_of(self.login_other(), "A")
                               ["UIDVALIDITY"]), value)

    def resynced(self, client, path, was):
        """What SELECT with QRESYNC says: UID to flags, UIDs that went."""
        client.untagged_responses.clear()
        client.select(encode(path) + f" (QRESYNC ({was['UIDVALIDITY']} "
                      f"{was['HIGHESTMODSEQ']}))")
        gone = set()
        for line in client.untagged_responses.get("VANISHED", []):
            for part in line.decode().rsplit(" ", 1)[-1].split(","):
                first, _, end = part.partition(":")
                gone |= set(range(int(first), int(end or first) + 1))
        flags = {}
        for line in client.untagged_responses.get("FETCH", []):
            text = line.decode()
            flags[int(re.search(r"UID (\d+)", text).group(1))] = sorted(
                f.lower() for f in re.search(r"FLAGS \(([^)]*)\)", text)
                .group(1).split() if f != "\\Recent")
        return flags, gone

    def test_risen(self):
        """Goal: a HIGHESTMODSEQ that rose without any change reaches the
        replica with a comparison.  Method: doveadm raises it."""
        client = self.login()
        client.append("INBOX", None, None, b"Subject: a\r\n\r\na\r\n")
        self.leave(client)
        done, said = self.dovecot.doveadm(
            "mailbox", "update", "-u", self.user, "--min-highest-modseq",
            "50", "INBOX")
        self.assertEqual(done, 0, said)
        self.assertEqual(self.dovecot.doveadm("mbj", "capture", "-u",
                                              self.user)[0], 0)
        seen = self.same_there()
        self.assertGreaterEqual(
            int(pairtest.everything(self.login_other())["INBOX"]
                ["HIGHESTMODSEQ"]), 50, seen)

    def capture(self, status=0):
        """doveadm mbj capture.  Returns: how often each mailbox was opened."""
        done, said = self.dovecot.doveadm("-D", "mbj", "capture", "-u",
                                          self.user)
        self.assertEqual(done, status, said)
        return collections.Counter(re.findall(
            "Mailbox ([A-Z]): Mailbox opened", said))

    def test_capture(self):
        """Goal: what was made without the plugin comes in at once; one mailbox
        that cannot be read stops no other, and is in the status; where nothing
        is to do a mailbox is opened a few times only.  Method: mail of a
        session without it, no right to one index."""
        client = imaplib.IMAP4_stream(
            f"/usr/lib/dovecot/imap -c {self.dovecot.conf} -u {self.user} "
            "-o mail_plugins= 2>/dev/null")
        self.addCleanup(self.leave, client)
        for name in ("A", "B", "C"):
            self.ok(client.create(name))
            self.ok(client.append(name, "(\\Seen)", None, mail(name)))
        self.capture()
        is_dbox = not self.LOCATION.startswith("maildir")
        opened = self.capture()
        self.assertEqual(set(opened), {"A", "B", "C"})
        # its access twice, its messages; a Maildir's GUID twice
        self.assertLessEqual(max(opened.values()), 3 if is_dbox else 5)
        self.same_there()
        for name in ("A", "B", "C"):
            self.ok(client.append(name, "(\\Seen)", None, mail("more")))
        home = self.dovecot.d / "mail" / self.user
        (box,) = [d for d in home.rglob("*") if d.name in ("B", ".B")]
        index = [f for f in box.rglob("dovecot.index*") if f.is_file()]
        for path in index:
            path.chmod(0)
        self.capture(75)
        counts = [len(self.mbj("messages", self.socket, self.user, name,
                               "--json").json()["messages"])
                  for name in ("A", "B", "C")]
        self.assertEqual(counts, [2, 1, 2])
        for path in index:
            path.chmod(0o600)
        self.capture()
        self.same_there()

    # ---------------------------------------------------------------- random

    def histories(self, disturb, drawn, at_once=1):
        """Two sessions at random, and disturb again and again meanwhile; each
        history has a user of its own, and several are at once."""
        base, over = self.user, {}
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            for seed in drawn:
                case = copy.copy(self)  # our servers, another user
                case.user = f"{base}{len(over)}"
                case.is_known = case.is_of_history
                over[pool.submit(case.history, seed, disturb)] = seed
            for one in concurrent.futures.as_completed(over):
                with self.subTest(again=f"MBJ_PAIR_SEED={over[one]}"):
                    print(f"  seed {over[one]}: {one.result()}", flush=True)
        # docs/DOVECOT.md, "Known of Dovecot"
        self.assertNotRegex(self.dovecot.log() + self.other.log(),
                            "Panic(?!.*dbox_file_seek)")

    def history(self, seed, disturb):
        """One of them, and what came of it."""
        users = Users(self, seed)
        self.log_since = self.dovecot.log_size()
        self.leave(self.login())
        users.begin()
        mine = random.Random(seed + 2)
        while users.are_busy():
            disturb(self, users, mine)
        users.end()
        self.assertGreater(users.count("done"), STEPS / 2, (
            users.why(), self.log()[-4000:]))
        self.settled()
        self.renewed()
        if self.half_deleted():
            return "a process died in the middle of a DELETE"
        if disturb == Pair.kill:
            self.follow()
            self.quiet()
        seen = self.same_there()
        return (", ".join(f"{what} {users.count(what)}"
                          for what in ("done", "refused", "lost")) +
                f", {len(seen['names'])} mailboxes, "
                f"{sum(len(seen[p + chr(0)]) for p in seen['names'])} "
                "messages")

    def quiet(self):
        """Where a run was killed between a message and its index the next
        has Dovecot make that anew, of mdbox more than once, and may end with
        75: docs/DOVECOT.md, "Into a replica's Dovecot"."""
        for _ in range(6):
            done, said = self.other.doveadm("mbj", "apply", "-u", self.user)
            self.assertIn(done, (0, 75), said)
            if (done, said) == (0, ""):
                return
        self.fail(said)

    def is_of_history(self, row):
        """docs/DOVECOT.md, "Not yet": Maildir, two sessions, one mailbox in
        the place of another that one of them has selected."""
        if (not self.LOCATION.startswith("maildir") or
                row["what"] != "HIGHESTMODSEQ" or
                int(row["here"]) >= int(row["journal"])):
            return False
        print(f"  the journal's HIGHESTMODSEQ is higher: {row}", flush=True)
        return True

    def renewed(self):
        """docs/DOVECOT.md, "Known of Dovecot": a session that finds another
        mailbox's index where its own was has that one made anew, GUID and
        all, when somebody opens it: nobody's change, but capture's."""
        if "indexid changed" not in self.log():
            return
        print("  a mailbox has another GUID", flush=True)
        client = self.login()
        pairtest.everything(client)
        self.leave(client)
        done, said = self.dovecot.doveadm("mbj", "capture", "-u", self.user)
        self.assertEqual(done, 0, said)

    def half_deleted(self):
        """docs/DOVECOT.md, "Known of Dovecot": mailboxes that are listed, and
        can be neither opened nor deleted, since a session died."""
        if "killed with signal 9" not in self.log():
            return []
        client = self.login()
        names = [decode(line.split(b' "/" ', 1)[1])
                 for line in client.list()[1]
                 if line and b"noselect" not in line.lower()]
        found = [name for name in names if b"deleted under us" in
                 client.status(encode(name), "(UIDNEXT)")[1][0]]
        self.leave(client)
        return found

    def test_random(self):
        """Goal: whatever two sessions do at once, with deliveries, arrives.
        Method: random commands (seeds are printed), apply meanwhile, and
        once more at the end; both servers compared over IMAP."""
        self.histories(Pair.apply_meanwhile, seeds(self.HISTORIES), AT_ONCE)

    def test_killed(self):
        """Goal: the same where anything dies at any time.  Method: SIGKILL of
        the sessions' processes, of both services and of apply, at random."""
        self.histories(Pair.kill, seeds(1))

    def apply_meanwhile(self, users, rng):
        """Once in a few commands, however fast they are."""
        users.wait(rng.randrange(2, 16))
        self.apply(None)

    def kill(self, _, rng):
        what = rng.randrange(6)
        time.sleep(rng.random() * 0.1)
        if what == 0:
            self.dovecot.kill_imap()
        elif what == 1:
            self.server.kill()
            self.server.wait()
            self.serve()
        elif what == 2:
            self.replica.kill()
            self.replica.wait()
            self.serve_replica()
        elif what < 5:
            process = subprocess.Popen(
                ["doveadm", "-c", self.other.conf, "mbj", "apply", "-u",
                 self.user], stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL)
            time.sleep(rng.random() * 0.15)
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.other.unlock_dead()
        else:
            self.apply(None)


class Sdbox(Pair):
    pass

    def test_gap(self):
        """Goal: a message that somebody puts into the replica's Dovecot while
        a run saves is not taken for the journal's.  Method: UIDs 1 to 7 are
        there, 8 went, 9 to 308 are to come; in the midst of the run another
        message comes, which has 8 if it is early enough, and one goes, so that
        numbers fit."""
        one = self.login()
        self.ok(one.create("A"))
        for n in range(7):
            self.ok(one.append("A", None, None, mail(f"A {n}")))
        self.same_there()
        self.ok(one.append("A", None, None, mail("goes")))
        self.ok(one.select("A"))
        self.ok(one.uid("STORE", "8", "+FLAGS", "(\\Deleted)"))
        self.ok(one.expunge())
        self.ok(one.unselect())
        for n in range(300):
            self.ok(one.append("A", None, None, mail(f"big {n}", 3000)))
        self.leave(one)
        self.follow()

        def beside(*words, **options):
            return subprocess.run(
                ["doveadm", "-c", self.other.conf, "-o", "mail_plugins=",
                 words[0], "-u", self.user, *words[1:]], check=True,
                capture_output=True, **options)
        # While files are written, before the mailbox is locked for them.
        run = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e",
             "trace=openat", "-e", "inject=openat:delay_enter=5000",
             "doveadm", "-c", self.other.conf, "mbj", "apply", "-u",
             self.user], stderr=subprocess.DEVNULL)
        time.sleep(1)
        beside("save", "-m", "A", input=mail("own"))
        beside("expunge", "mailbox", "A", "uid", "3")
        self.assertIsNone(run.poll())  # it was in the midst
        run.wait(60)
        for _ in range(2):
            status, said = self.other.doveadm("mbj", "apply", "-u", self.user)
            self.assertEqual(status, 75)
            self.assertIn("is not the journal's, and is kept", said)
        two = self.login_other()
        bodies = [body for _, _, body, _ in fetched(two, "A").values()]
        self.leave(two)
        self.assertTrue(any(b"Subject: own" in body for body in bodies))


class Maildir(Pair):
    LOCATION = "maildir:~/Maildir"


class Mdbox(Pair):
    LOCATION = "mdbox:~/mdbox"


class Prefix(Pair):
    """Other formats, and folders have names below INBOX's, where INBOX has
    one, too."""
    LOCATION_THERE = "maildir:~/Maildir"
    PREFIX = "INBOX/"

    def test_alias(self):
        """Goal: what is done to INBOX by its other name is done to INBOX, and
        holds up nobody.  Method: a folder below that name, as clients make it
        that do not ask for the prefix; mail there and to INBOX, by each way
        in; it is renamed, which INBOX cannot be."""
        one, inbox = self.login(), "INBOX/INBOX"
        self.ok(one.create(inbox + "/Sent"))
        self.ok(one.append(inbox + "/Sent", None, None, mail("sent")))
        self.no(one.create(inbox), "ALREADYEXISTS")
        self.ok(one.subscribe(inbox))
        for number, path in enumerate(("INBOX", inbox, inbox)):
            self.ok(one.append(path, None, None, mail(f"{number}")))
        self.assertEqual(dovetest.lmtp(
            self.dovecot, [self.user + "+INBOX"], mail("lmtp"))[0][:1], "2")
        self.same_there()
        self.ok(one.create("INBOX/B"))
        self.ok(one.select(inbox))
        self.ok(one.uid("STORE", "1", "+FLAGS", "(\\Flagged $k)"))
        self.ok(one.uid("COPY", "1:2", "INBOX/B"))
        self.ok(one.uid("MOVE", "3", inbox + "/Sent"))
        self.ok(one.unselect())
        self.ok(one.select("INBOX/B"))
        self.ok(one.uid("COPY", "1", inbox))
        self.ok(one.unselect())
        seen = self.same_there()
        self.assertEqual([len(seen[f"{path}\0"]) for path in
                          ("INBOX", inbox + "/Sent", "INBOX/B")], [4, 2, 2])
        self.ok(one.rename(inbox + "/Sent", "INBOX/D"))
        self.ok(one.create(inbox + "/below"))
        self.same_there()
        self.assertNotIn("mbj: ", self.log())
        self.no(one.rename(inbox, "INBOX/Old"), "CANNOT")
        self.same_there()


class PrefixMaildir(Prefix):
    LOCATION = "maildir:~/Maildir"
    HISTORIES = 30


if __name__ == "__main__":
    pairtest.main()
