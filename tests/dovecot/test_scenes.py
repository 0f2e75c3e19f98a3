"""What other replications stumble over, scenario by scenario, at two real
Dovecots (pairtest.py): each by a user of its own, over IMAP, in one event of
replication; then LIST, LSUB, STATUS and FETCH say the same at both, doveadm mbj
verify finds nothing at either, and mbj verify nothing between the stores."""
import concurrent.futures
import copy
import os
import shlex
import signal
import subprocess
import threading
import time

import dovetest
import pairtest
from dovetest import encode, mbjtest
from pairtest import PairCase, mail

CLOCK = os.environ.get("MBJ_CLOCK", "")
AT_ONCE = 4  # scenes
SESSIONS = 8
LONG = ("\u6f22" * 40, "\u5b57" * 40)
NFC, NFD = "Gr\u00fc\u00dfe", "Gru\u0308\u00dfe"


def renames(*chain):
    """RENAME each to the next."""
    return [("rename", *pair.split()) for pair in chain]


def swap(one, two, by="t"):
    return [("rename", one, by), ("rename", two, one), ("rename", by, two)]


def cycle(count):
    """n0 is called n1, n1 n2, and the last n0."""
    return [("rename", f"n{count - 1}", "t"),
            *[("rename", f"n{i}", f"n{i + 1}")
              for i in reversed(range(count - 1))], ("rename", "t", "n0")]


def numbers(count):
    return [f"n{i}" for i in range(count)]


def tower(top, depth):
    return ["/".join([top, *numbers(n)]) for n in range(depth)]


# Name: mailboxes that are there, each with a message and subscribed; events,
# of which each is compared; who is where then, by their former names.
SCENES = {
    "swap": (["A", "B"], [swap("A", "B")], {"A": "B", "B": "A"}),
    "swaplater": (["A", "B"], [swap("A", "B"), swap("A", "B"),
                               swap("A", "B") * 2], {"A": "A", "B": "B"}),
    # through a name that is there before and after
    "through": (["A", "B", "t"], [[("rename", "t", "u"), *swap("A", "B"),
                                   ("rename", "u", "t")]],
                {"A": "B", "B": "A", "t": "t"}),
    "fifty": (["A", "B", "C"], [swap("A", "B") * 25 + swap("A", "C") * 25],
              {"A": "C", "B": "A", "C": "B"}),
    "cycle3": (numbers(3), [cycle(3), cycle(3), cycle(3)],
               {n: n for n in numbers(3)}),
    "cycle10": (numbers(10), [cycle(10)],
                {f"n{(i + 1) % 10}": f"n{i}" for i in range(10)}),
    "cycle100": (numbers(100), [cycle(100)],
                 {f"n{(i + 1) % 100}": f"n{i}" for i in range(100)}),
    # a parent and its child change places
    "child": (["A", "A/B"], [renames("A/B t", "A t/B", "t A")],
              {"A": "A/B", "A/B": "A"}),
    "chain": (["A", "B", "C"], [renames("C D", "B C", "A B")],
              {"B": "A", "C": "B", "D": "C"}),
    "relay": (["A"], [renames("A B", "B C/x", "C/x D/y/z", "D/y/z E")],
              {"E": "A"}),
    "inversion": (tower("P", 4), [renames(
        "P/n0/n1/n2 a", "P/n0/n1 a/b", "P/n0 a/b/c", "P a/b/c/d")],
        {"a": "P/n0/n1/n2", "a/b/c/d": "P"}),
    "depths": (tower("D", 5) + tower("E", 5), [
        swap("D/n0/n1", "E/n0"), swap("D", "E"), renames("D E/n0/n1/D")], {}),
    # names that are only places in others
    "places": (["P/x", "Q/y"], [swap("P", "Q"), renames("P/y P/z", "Q R/S"),
                                [("create", "Q")]],
               {"P/z": "Q/y", "R/S/x": "P/x"}),
    "enter": (["A", "A/a", "B", "B/b"], [renames("B A/a/B", "A B")],
              {"B": "A", "B/a/B": "B", "B/a/B/b": "B/b"}),
    "gone": (["A", "B"], [[("delete", "B"), ("rename", "A", "B")]],
             {"B": "A"}),
    "again": (["A", "B"], [
        [("delete", "A"), ("create", "A"), ("append", "A")],
        [("rename", "A", "C"), ("create", "A"), ("append", "A"),
         ("delete", "C")],
        [("delete", "A"), ("rename", "B", "A"), ("create", "B")]],
        {"A": "B"}),
    # one name that is free, and taken, and free
    "freed": (["A"], [[step for i in range(20) for step in (
        ("rename", "A", f"o{i}"), ("create", "A"), ("append", "A"),
        ("delete", f"o{i}") if i % 2 else ("rename", f"o{i}", f"x{i}/x"))]],
        {"x0/x": "A"}),
    "deletedparent": (["P", "P/c", "A"], [
        [("delete", "P/c"), ("delete", "P"), ("rename", "A", "P/c")],
        [("rename", "P/c", "A"), ("create", "P"), ("rename", "A", "P/c/d")]],
        {"P/c/d": "A"}),
    "case": (["box", "Box"], [swap("box", "Box"), renames("box bOX")],
             {"bOX": "Box", "Box": "box"}),
    "long": (list(LONG), [swap(*LONG)], {LONG[0]: LONG[1], LONG[1]: LONG[0]}),
    "accents": ([NFC, "Grusse"], [
        swap(NFC, "Grusse"), [("rename", NFC, "t"), ("rename", "t", NFC)]],
        {NFC: "Grusse", "Grusse": NFC}),
    "names": (["A"], [[("unsubscribe", "A"), ("rename", "A", "B"),
                       ("subscribe", "B")],
                      [("rename", "B", "A/B"), ("unsubscribe", "B")]],
              {"A/B": "A"}),
}
# Too long for each run: by MBJ_SCENE alone, which says what each part took.
SCENES_LONG = {
    "cycle1000": (numbers(1000), [cycle(1000)],
                  {f"n{(i + 1) % 1000}": f"n{i}" for i in range(1000)}),
}
# What doveadm does at the first, with the user, another one and another storage
# of the user's put in.
PRODUCERS = {
    "minuid": "mailbox update -u U --min-next-uid 100 A",
    "minmodseq": "mailbox update -u U --min-highest-modseq 500 A",
    "minboth": "mailbox update -u U --min-next-uid 50 "
               "--min-highest-modseq 400 A",
    "minempty": "mailbox update -u U --min-next-uid 50 "
                "--min-highest-modseq 400 E",
    "guid": "mailbox update -u U --mailbox-guid "
            "0123456789abcdef0123456789abcdef A",
    "guidmin": "mailbox update -u U --min-next-uid 77 --mailbox-guid "
               "fedcba9876543210fedcba9876543210 A",
    "validity": "mailbox update -u U --uid-validity 1999999999 E",
    "boxes": "mailbox rename -u U A C; mailbox delete -u U B;"
             "mailbox create -u U -s B; mailbox unsubscribe -u U E",
    "below": "mailbox create -u U A/x; mailbox delete -u U -r A",
    "flags": "flags add -u U \\Flagged mailbox A all;"
             "flags remove -u U \\Seen mailbox A 2;"
             "flags replace -u U $y mailbox B 1:2",
    "expunge": "expunge -u U mailbox A 2:3; expunge -u U mailbox B all;"
               "purge -u U",
    "expunged": "expunge -u U -d mailbox B all",
    "moved": "move -u U B mailbox A 2:3; copy -u U A mailbox B all",
    "twice": "copy -u U A mailbox A all; deduplicate -u U mailbox A all;"
             "deduplicate -u U -m mailbox A all",
    "save": "save -u U -m A",
    "copyfrom": "copy -u U A user V mailbox A all",
    "movefrom": "move -u U A user V mailbox A 2:3",
    "import": "import -u U S Imp all",
    "importin": "import -u U S '' mailbox A",
    "rebuilt": "force-resync -u U *; mbj capture -u U",
    "synced": "-o mail_plugins= sync -u U S;"
              "-o mail_plugins= sync -u U S; mbj capture -u U",
}
# A Maildir has no other storage for what is old, and dsync does not get its
# INBOX away; of what the journal has nothing is left then.
PRODUCERS_DBOX = {
    "alt": "altmove -u U mailbox A all; altmove -u U -r mailbox A 1",
    "backedup": "-o mail_plugins= backup -u U -R S;"
                "-o plugin/mbj_adopt=yes mbj capture -u U",
}
# A Maildir refuses to rename INBOX.
SCENES_DBOX = {
    "inbox": (["A"], [
        [("append", "INBOX"), ("rename", "INBOX", "Old")],
        [("append", "INBOX"), ("append", "Old"), ("rename", "INBOX", "Old/I"),
         ("append", "INBOX")],
        [("rename", "Old", "t"), ("rename", "INBOX", "Old"),
         ("rename", "t", "A/t"), ("append", "INBOX")]],
        {"A/t": "INBOX", "A": "A"}),
}


class Scenes(PairCase):
    with_relay = True
    SCENES, PRODUCERS = SCENES_DBOX, PRODUCERS_DBOX

    def stores_same(self):
        """The two stores have the same, message by message."""
        self.follow()
        self.mbj("verify", self.other_socket, "--from",
                 f"unix:{self.home}/replicas")

    # ---------------------------------------------------------------- scenes

    def act(self, client, steps):
        for word, *names in steps:
            if word == "append":
                # By itself: Maildir may end a session under whose indexes
                # directories have changed places ("relogin").
                other = self.dovecot.login(self.user)
                self.ok(other.append(encode(names[0]), "(\\Flagged)", None,
                                     mail(f"{word} {names}")))
                self.leave(other)
            else:
                self.ok(getattr(client, word)(*map(encode, names)))

    def timed(self, what, since):
        """Of a long scene: how long that took, on the clock."""
        now = time.monotonic()
        if self.user in SCENES_LONG:
            print(f"  {self.user}: {what} {now - since:.1f} s", flush=True)
        return now

    def scene(self, scene):
        mailboxes, events, where = scene
        now = time.monotonic()
        client = self.dovecot.login(self.user)
        for box in mailboxes:
            self.ok(client.create(encode(box)))
            self.ok(client.subscribe(encode(box)))
            self.ok(client.append(encode(box), "(\\Seen $k)", None, mail(box)))
        now = self.timed("made", now)
        before = self.same_there()
        now = self.timed("brought and compared", now)
        after = before
        for steps in events:
            self.act(client, steps)
            now = self.timed("renamed", now)
            after = self.same_there()
            now = self.timed("brought and compared", now)
        self.leave(client)
        self.assertEqual({n: after[n]["X-GUID"] for n in where},
                         {n: before[old]["X-GUID"]
                          for n, old in where.items()})

    def at_once(self, scenes, work):
        """Each scene by a user of its name, some at once."""
        only = os.environ.get("MBJ_SCENE")
        if only in SCENES_LONG and work == Scenes.scene:
            scenes = SCENES_LONG
        over = {}
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for name in [only] if only in scenes else scenes:
                case = copy.copy(self)  # our servers, another user
                case.user = name
                over[pool.submit(work, case, scenes[name])] = name
            for one in concurrent.futures.as_completed(over):
                with self.subTest(again=f"MBJ_SCENE={over[one]}"):
                    one.result()
        self.stores_same()

    def test_scenes(self):
        """Goal and method: as above."""
        self.at_once(SCENES | self.SCENES, Scenes.scene)

    # ------------------------------------------------------------- producers

    def prepare(self, where, mailboxes):
        """Another storage of the user's, of which nobody hears."""
        for box in mailboxes:
            words = ("-o", "mail_plugins=", "-o", f"mail_location={where}")
            if box != "INBOX":
                self.dovecot.doveadm(*words, "mailbox", "create", "-u",
                                     self.user, box)
            self.produce(*words, "save", "-u", self.user, "-m", box)

    def produce(self, *words):
        done = subprocess.run(["doveadm", "-c", self.dovecot.conf, *words],
                              input=mail(f"by {self.user}"), timeout=120,
                              capture_output=True, check=False)
        # 2: dsync says that it is to be run once more.
        self.assertIn(done.returncode, (0, 2) if "sync" in words else (0,),
                      (words, done.stderr))

    def begin_boxes(self):
        client = self.dovecot.login(self.user)
        for name in ("A", "B", "E"):
            self.ok(client.create(name))
            self.ok(client.subscribe(name))
            for n in range(4 if name != "E" else 0):
                self.ok(client.append(name, "(\\Seen $k)" if n % 2 else None,
                                      None, mail(f"{name} {n}")))
        self.leave(client)
        self.same_there()

    def producer(self, commands):
        where = f"sdbox:{self.dovecot.d}/mail/from-{self.user}"
        self.begin_boxes()
        users = [self]
        if " V " in commands:
            users.append(copy.copy(self))
            users[1].user += "2"
            users[1].begin_boxes()
        if " S" in commands:
            # Of two mailboxes of one name dsync has one lose its UIDVALIDITY,
            # by their age.
            self.prepare(where, ("C", "C", "X/Y") if " sync " in commands
                         else ("A", "A", "X/Y", "INBOX"))
        for command in commands.split(";"):
            self.produce(*[{"U": self.user, "V": self.user + "2",
                            "S": where}.get(word, word)
                           for word in shlex.split(command)])
            if command.startswith("altmove") and "-r" not in command and \
                    self.LOCATION.startswith("sdbox"):
                home = self.dovecot.d / "mail" / self.user
                self.assertEqual(len(list((home / "alt").rglob("u.*"))), 4)
        for case in users:
            case.same_there()

    def test_producers(self):
        """Goal: what doveadm does to a user's mail is at both, with what
        mailboxes are given by hand.  Method: a command each, or some; after
        those that go round the plugin, doveadm mbj capture."""
        self.at_once(PRODUCERS | self.PRODUCERS, Scenes.producer)

    def test_validity(self):
        """Goal: mailboxes with mail that got another UIDVALIDITY beside the
        plugin are told by one doveadm mbj capture, as other mailboxes, and
        what comes into them afterwards is not refused.  Method: doveadm
        mailbox update without the plugin, of some, all, and an only one."""
        user = self.user
        for boxes, given in ((("INBOX", "A", "B"), ("A",)),
                             (("INBOX", "A", "B"), ("INBOX", "B", "A")),
                             (("INBOX",), ("INBOX",))):
            with self.subTest(boxes=boxes, given=given):
                self.user = f"{user}{len(boxes)}{len(given)}"
                client = self.dovecot.login(self.user)
                for box in boxes:
                    if box != "INBOX":
                        self.ok(client.create(box))
                    self.ok(client.append(box, None, None, mail(box)))
                self.leave(client)
                self.same_there()
                for value, box in enumerate(given, 1999999999):
                    self.produce("-o", "mail_plugins=", "mailbox", "update",
                                 "-u", self.user, "--uid-validity",
                                 str(value), box)
                self.produce("mbj", "capture", "-u", self.user)
                self.same_there()
                client = self.dovecot.login(self.user)
                for box in boxes:
                    self.ok(client.append(box, None, None, mail("later")))
                    self.ok(client.select(box))
                    self.ok(client.store("1", "+FLAGS", "(\\Flagged)"))
                self.ok(client.create("New"))
                self.leave(client)
                self.same_there()

    def test_refusals(self):
        """Goal: what the journal cannot have is refused, and nothing is
        changed.  Method: doveadm and dsync with the plugin."""
        where = f"sdbox:{self.dovecot.d}/mail/from-{self.user}"
        self.begin_boxes()
        self.prepare(where, ("A", "X"))
        for words, why in (
                (("mailbox", "update", "-u", self.user, "--uid-validity",
                  "1999999999", "A"), "under another UIDVALIDITY"),
                (("sync", "-u", self.user, where), "run it with"),
                (("backup", "-u", self.user, "-R", where), "run it with")):
            status, said = self.dovecot.doveadm(*words)
            self.assertNotEqual(status, 0, words)
            self.assertIn(why, said)
            self.same_there()

    def test_form(self):
        """Goal: a mailbox whose name is in another form than Unicode's C can
        be renamed and deleted, and is at the replica, under the name in form
        C.  Method: RENAME from one form to the other and back, and further;
        two names that differ in form only are refused, of mailboxes, and of
        what is above them: such a user could change nothing any more."""
        client = self.login()
        self.ok(client.create(encode(NFC)))
        self.ok(client.append(encode(NFC), None, None, mail("one")))
        self.no(client.create(encode(NFD)), "CANNOT")
        for _ in range(2):
            self.ok(client.rename(encode(NFC), encode(NFD)))
            self.ok(client.rename(encode(NFD), encode(NFC)))
            self.same_there()
        self.ok(client.rename(encode(NFC), encode(NFD)))
        self.ok(client.append(encode(NFD), None, None, mail("two")))
        self.bring()
        there = pairtest.everything(self.login_other())
        self.assertEqual(there["names"], {NFC, "INBOX"})
        self.assertEqual(there[NFC]["MESSAGES"], "2")
        self.ok(client.rename(encode(NFD), "A"))
        self.same_there()
        self.ok(client.rename("A", encode(NFD)))
        for path in (NFC, NFC + "/x", NFC + "/" + NFD):
            self.no(client.create(encode(path)), "CANNOT")
        self.ok(client.create("A"))
        self.no(client.rename("A", encode(NFC + "/A")), "CANNOT")
        self.ok(client.delete(encode(NFD)))
        for above, other in ((NFC, NFD), (NFD, NFC)):
            self.ok(client.create(encode(above + "/x")))
            for path in (other, other + "/y"):
                self.no(client.create(encode(path)), "CANNOT")
            self.ok(client.rename(encode(above + "/x"), above[:2]))
            self.ok(client.append(above[:2], None, None, mail("goes on")))
            self.ok(client.delete(above[:2]))
            client.delete(encode(above))  # where Dovecot leaves a place
        self.ok(client.create(encode(NFC)))
        self.ok(client.delete(encode(NFC)))
        for change in (client.create, client.delete):
            for name in ("\u00e4", "\u00c4"):
                self.ok(change(encode(name)))
        self.ok(client.delete("A"))
        self.leave(client)
        self.assertEqual(self.same_there()["names"], {"INBOX"})

    # -------------------------------------------------------- many at a time

    def each_session(self, names, command):
        """By several sessions at once, each its share."""
        def work(share):
            client = self.dovecot.login(self.user)
            try:
                for name in share:
                    self.ok(command(client, name))
            finally:
                self.leave(client)
        with concurrent.futures.ThreadPoolExecutor(SESSIONS) as pool:
            list(pool.map(work, [names[i::SESSIONS]
                                 for i in range(SESSIONS)]))

    def test_crowd(self):
        """Goal: 400 renames, and 400 deletes, none of which comes undone.
        Method: eight sessions at once, one event of replication each."""
        names = numbers(400)
        self.leave(self.login())
        self.each_session(names, lambda c, n: c.create(n))
        self.same_there()
        self.each_session(names, lambda c, n: c.rename(n, f"was-{n}"))
        seen = self.same_there()
        self.assertEqual(seen["names"], {f"was-{n}" for n in names} |
                         {"INBOX"})
        self.each_session(names, lambda c, n: c.delete(f"was-{n}"))
        self.assertEqual(self.same_there()["names"], {"INBOX"})
        self.stores_same()

    def test_races(self):
        """Goal: whoever is first when one session deletes a mailbox that
        another renames and fills, no mail that had its OK is lost but with its
        mailbox, and both servers have the same.  Method: 12 rounds."""
        for n in range(12):
            self.leave(self.login())
            one, two = self.login(), self.login()
            self.ok(one.create("X"))
            self.ok(one.append("X", None, None, mail("before")))
            done = {}

            def work():
                done["rename"] = two.rename("X", f"Y{n}")[0]
                done["append"] = two.append(f"Y{n}", None, None,
                                            mail("after"))[0]
            other = threading.Thread(target=work)
            other.start()
            time.sleep(n * 0.001)
            deleted = one.delete("X")[0]
            other.join()
            self.assertEqual(done["rename"] == "OK", deleted == "NO")
            self.assertEqual(done["append"], done["rename"])
            self.leave(one)
            self.leave(two)
        seen = self.same_there()
        for path in seen["names"] - {"INBOX"}:
            self.assertEqual(seen[path]["MESSAGES"], "2")

    # -------------------------------------------------- again and again, late

    def last_name(self, apply):
        """One mailbox gets eight names, each brought by itself."""
        client = self.login()
        self.ok(client.create("n0"))
        self.ok(client.append("n0", None, None, mail("n0")))
        self.bring()
        for n in range(8):
            self.ok(client.rename(f"n{n}", f"n{n + 1}"))
            self.ok(client.append(f"n{n + 1}", None, None, mail(str(n))))
            self.follow()
            apply()
        self.leave(client)
        self.assertEqual(self.same_there()["names"], {"n8", "INBOX"})

    def test_steps(self):
        """Goal: of names that come one by one the last one stays."""
        self.last_name(self.apply)

    def test_clock(self):
        """Goal: the same at a replica whose clock is ahead, or behind.
        Method: a library that makes apply's so."""
        if not CLOCK:
            self.skipTest("there is no such library")
        shifts = iter((2, -2) * 4)

        def apply():
            done = subprocess.run(
                ["doveadm", "-c", self.other.conf, "mbj", "apply", "-u",
                 self.user], capture_output=True, check=False, timeout=120,
                env=dict(os.environ, LD_PRELOAD=CLOCK,
                         MBJ_CLOCK_SHIFT=str(next(shifts))))
            self.assertEqual((done.returncode, done.stdout, done.stderr),
                             (0, b"", b""))
        self.last_name(apply)

    # ----------------------------------------------------------------- kills

    def test_torn(self):
        """Goal: apply that is killed in the midst of a rotation leaves no
        other name behind once one has run to its end.  Method: ten mailboxes
        rotate, SIGKILL later and later, five times."""
        client = self.login()
        for name in numbers(10):
            self.ok(client.create(name))
            self.ok(client.append(name, None, None, mail(name)))
        self.bring()
        for n in range(5):
            self.act(client, cycle(10))
            self.follow()
            process = subprocess.Popen(
                ["doveadm", "-c", self.other.conf, "mbj", "apply", "-u",
                 self.user], stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL)
            time.sleep(0.03 + n * 0.03)
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.other.unlock_dead()
        self.leave(client)
        self.same_there()

    def test_killed(self):
        """Goal: a rename whose process is killed before, and behind, what it
        does to the storage is the same at both once the user did something
        else.  Method: a relay holds the intent's answer back, and the
        outcome."""
        self.leave(self.login())
        for hold in ("intent", "outcome"):
            client = self.login()
            for name in ("A", "B"):
                self.ok(client.create(f"{hold}{name}"))
                self.ok(client.append(f"{hold}{name}", None, None, mail(name)))
            self.act(client, swap(f"{hold}A", f"{hold}B")[:2])
            self.relay.arm(hold)
            tag = client._new_tag().decode()  # no answer will come
            client.send(f"{tag} RENAME t {hold}B\r\n".encode())
            self.assertTrue(self.relay.held.wait(60))
            self.dovecot.kill_imap()
            self.relay.arm(None)
            self.leave(client)
            self.settled()
            seen = self.same_there()
            self.assertEqual("t" in seen["names"], hold == "intent")
            if hold == "intent":
                client = self.login()
                self.ok(client.rename("t", f"{hold}B"))
                self.leave(client)
        self.same_there()

    # ------------------------------------------------------ a NO over there

    def test_refused(self):
        """Goal: what the replica's Dovecot cannot do is named, and done once
        it can; nobody changes anything there meanwhile.  Method: no right to
        the directory in which mailboxes are; CREATE at the replica."""
        client = self.login()
        for name in ("A", "B", "C"):
            self.ok(client.create(name))
            self.ok(client.append(name, None, None, mail(name)))
        self.same_there()
        two = self.login_other()
        self.no(two.create("D"))
        self.no(two.rename("A", "D"))
        self.leave(two)
        self.ok(client.create("D"))
        self.act(client, swap("A", "B") + [("delete", "C"),
                                           ("append", "A")])
        self.leave(client)
        home = self.other.d / "mail" / self.user
        shut = home / "Maildir" if self.LOCATION.startswith("maildir") else \
            home / "mail" / "mailboxes"
        if os.getuid() == dovetest.MAIL_UID or os.getuid() == 0:
            shut.chmod(0o500)
            self.follow()
            for _ in range(2):
                self.assertNotEqual(self.apply(75), "")
            shut.chmod(0o700)
        self.same_there()
        self.stores_same()


class Sdbox(Scenes):
    LOCATION = "sdbox:~/mail:ALT=~/alt"


class Mdbox(Scenes):
    LOCATION = "mdbox:~/mail:ALT=~/alt"


class Maildir(Scenes):
    LOCATION = "maildir:~/Maildir"
    SCENES, PRODUCERS = {}, {}


if __name__ == "__main__":
    pairtest.main()
