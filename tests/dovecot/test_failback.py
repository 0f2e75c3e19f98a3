"""Failing over and back between two real Dovecots (pairtest.py), by what
docs/DOVECOT.md says: its blocks are typed, with sockets in place of keys."""
import pathlib
import re
import shutil
import subprocess

import dovetest
import pairtest
from dovetest import mbjtest
from pairtest import PairCase, everything, fetched, mail, status_of

GUIDE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "DOVECOT.md"
SECTION = re.search(r"^## Failing over and back\n(.*?)^## ",
                    GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)[1]
DATE = '"27-Nov-2026 12:00:00 +0000"'
CONF = "/etc/mbj/mail.conf"


def block(name):
    """All lines of the guide's blocks of that name."""
    return "".join(re.findall(rf"^```sh {name}\n(.*?)^```$", SECTION,
                              re.MULTILINE | re.DOTALL)).splitlines()


class Host:
    """A Dovecot, its store and service, and what systemctl is told."""

    def __init__(self, case, name, dovecot, store, socket, options):
        self.case, self.name, self.dovecot = case, name, dovecot
        self.store, self.socket, self.options = store, socket, options
        self.service = None
        self.other = None  # Host
        self.said = {}  # of each command that failed, by its line

    def path(self, line):
        line = line.replace("/var/lib/mbj/mail", str(self.store))
        line = line.replace("/var/lib/mbj/",
                            f"{self.case.home}/{self.name}-")
        return line.replace(" alice", f" {self.case.user}").replace(
            " -A", f" -u {self.case.user}")

    def start(self):
        self.service = self.case.begin(self.store, self.socket, *self.options)

    def stop(self):
        if self.service is not None:
            self.service.terminate()
            self.service.wait(60)
            self.service = None

    def systemctl(self, words):
        units = [w for w in words if w in ("mbj@mail", "dovecot")]
        if "stop" in words or "restart" in words:
            for unit in units:
                (self.stop if unit == "mbj@mail" else self.dovecot.stop)()
        if "start" in words or "restart" in words:
            for unit in units:
                (self.start if unit == "mbj@mail" else self.dovecot.start)()

    def configure(self, value):
        """MBJ_SERVE: keys are sockets of this machine here."""
        replicas = {h: f"unix:{h.case.home}/{h.name}-replicas"
                    for h in (self, self.other)}
        self.options = []
        if "--replicas tls:" in value:
            self.options = ["--replicas", replicas[self]]
        elif "--from tls:" in value:
            self.options = ["--from", replicas[self.other]]

    def type(self, name, replace=()):
        """Returns: what was printed."""
        printed = ""
        for line in block(name):
            for old, new in replace:
                self.case.assertIn(old, "\n".join(block(name)))
                line = line.replace(old, new)
            line = self.path(line.removeprefix("runuser -u mbj -- "))
            words = line.split()
            if words[0] == "systemctl":
                self.systemctl(words[1:])
            elif words[0] == "echo":
                self.case.assertTrue(line.endswith(CONF), line)
                self.configure(line.split("'")[1])
            elif words[0] == "doveadm":
                status, said = self.dovecot.doveadm(*words[1:])
                if status:
                    self.said[line] = (status, said)
            elif words[0] == "mv":
                shutil.move(*words[1:])
            else:
                self.case.assertEqual(words[0], "mbj", line)
                printed += self.case.mbj(*words[1:]).out
        return printed

    def follow(self):
        """It has all that the other's journal has."""
        end = self.case.mbj("status", self.other.socket,
                            "--json").json()["journalEnd"]
        for _ in range(6000):
            at = self.case.mbj("status", self.socket, "--json").json()
            if at["applied"] >= end:
                return
            dovetest.time.sleep(0.01)
        self.case.fail(f"{self.name} does not come to {end}: {at}")

    def apply(self):
        return self.dovecot.doveadm("mbj", "apply", "-u", self.case.user)

    def login(self):
        client = self.dovecot.login(self.case.user)
        self.case.addCleanup(self.case.leave, client)
        return client

    def look(self):
        client = self.login()
        seen = everything(client)
        self.case.leave(client)
        for path in seen["names"]:
            seen[path].pop("HIGHESTMODSEQ")
        return seen


class Sdbox(PairCase):
    def hosts(self):
        """The class's servers go on as two hosts that may change places."""
        first = Host(self, "mail1", self.dovecot, self.store, self.socket,
                     ["--replicas", f"unix:{self.home}/replicas"])
        second = Host(self, "mail2", self.other, self.other_store,
                      self.other_socket, [])
        first.other, second.other = second, first
        for host in (first, second):
            self.addCleanup(host.stop)
        return first, second

    def fill(self, client):
        for name in ("A", "B", "Late", "Gone", "Named"):
            self.ok(client.create(name))
            for n in range(5):
                self.ok(client.append(name, "(\\Flagged $k)" if n % 2 else
                                      "()", None, mail(f"{name} {n}", n * 9)))
        self.ok(client.append("INBOX", None, None, mail("INBOX")))

    def late(self, client):
        """What the second never receives."""
        for n in range(2):
            self.ok(client.append("Late", None, DATE, mail(f"late {n}")))
        self.ok(client.select("Late"))
        self.ok(client.uid("STORE", "1", "+FLAGS", "(\\Seen)"))
        self.ok(client.create("New"))
        self.ok(client.append("New", None, None, mail("new")))
        self.ok(client.rename("Named", "Other"))
        self.ok(client.select("B"))
        self.ok(client.uid("STORE", "2:3", "+FLAGS", "(\\Seen $late)"))
        self.ok(client.unselect())

    def meanwhile(self, client):
        """What users do at the second once it is the primary; the last
        message of a mailbox goes, too."""
        self.ok(client.select("A"))
        self.ok(client.uid("STORE", "1:2", "+FLAGS", "(\\Answered $there)"))
        self.ok(client.uid("STORE", "5", "+FLAGS", "(\\Deleted)"))
        self.ok(client.expunge())
        self.ok(client.uid("MOVE", "2", "B"))
        self.ok(client.unselect())
        for source, target in (("A", "t"), ("B", "A"), ("t", "B")):
            self.ok(client.rename(source, target))
        self.ok(client.append("B", "()", None, mail("meanwhile")))
        # As long as what has that UID at the first, and as old.
        self.ok(client.append("Late", "()", DATE, mail("new  0")))
        self.ok(client.select("Late"))
        self.ok(client.uid("STORE", "3", "+FLAGS", "(\\Deleted)"))
        self.ok(client.expunge())
        self.ok(client.unselect())
        self.ok(client.delete("Gone"))
        self.ok(client.create("Fresh"))
        self.ok(client.append("Fresh", "(\\Seen)", None, mail("fresh")))

    def over(self, host):
        """Returns: N of the guide."""
        printed = host.type("over")
        self.assertEqual(host.said, {})
        return re.search(r"restored to group (\d+)", printed)[1]

    def goes_on(self, host, was):
        """Clients that knew the other one write there."""
        client = host.login()
        for path in ("A", "B", "Late"):
            for what in ("UIDVALIDITY", "UIDNEXT", "X-GUID"):
                self.assertEqual(status_of(client, path)[what],
                                 was[path][what])
            self.assertEqual(fetched(client, path), was[path + "\0"])
        self.meanwhile(client)
        self.assertEqual(set(fetched(client, "B")), {1, 3, 4, 6})
        self.assertEqual(set(fetched(client, "A")), {1, 2, 3, 4, 5, 6})
        self.assertEqual(set(fetched(client, "Late")), {1, 2, 4, 5, 6})
        self.leave(client)

    def back(self, host, *replace):
        """Returns: what the comparison said, by lines."""
        host.said.clear()
        host.type("back", replace)
        host.follow()
        said = next((s for line, s in host.said.items()
                     if "mbj apply" in line), (0, ""))
        return said[0], re.findall(r"Error: mbj: (.*)", said[1])

    def test_failback(self):
        """Goal: clients go on at the second when the first is lost, the first
        comes back with its own mail, keeping and naming what the second never
        had, and takes its place again.  Method: the guide's blocks, writes at
        both, all of it compared over IMAP."""
        one = self.login()
        self.fill(one)
        known = self.same_there()
        self.mbj("snapshot", self.socket)
        self.stop_replica()  # what comes now only the first has
        self.late(one)
        self.leave(one)
        self.mbj("snapshot", self.socket)
        first, second = self.hosts()
        self.stop_service()
        self.dovecot.stop()
        second.start()
        group = self.over(second)
        self.goes_on(second, known)

        self.assertEqual(self.back(first, (" 123", f" {group}")), (75, [
            "mailbox New is not the journal's, and is kept",
            "message UID 6 of Late is not the journal's, and is kept",
            "message UID 7 of Late is not the journal's, and is kept"]))
        for _ in range(3):
            status, said = first.apply()
            self.assertEqual((status, re.findall(r"Error: mbj: (.*)", said)), (
                75, ["mailbox New is not the journal's, and is kept",
                     "message UID 6 of Late is not the journal's of that UID, "
                     "and is kept",
                     "message UID 7 of Late is not the journal's, and is "
                     "kept"]))
        here, there = first.look(), second.look()
        self.assertEqual(here["names"], there["names"] | {"New"})
        for path in there["names"] - {"Late"}:
            self.assertEqual(here[path], there[path])
            self.assertEqual(here[path + "\0"], there[path + "\0"], path)
        for n in range(2):
            self.assertEqual(here["Late\0"].pop(6 + n)[2], mail(f"late {n}"))
        there["Late\0"].pop(6)
        self.assertEqual(here["Late\0"], there["Late\0"])
        self.assertEqual([has[2] for has in here["New\0"].values()],
                         [mail("new")])

        self.keep(first, second)
        first.follow()
        first.said.clear()
        first.type("anew", [(" A New", " Late New")])
        self.assertEqual(first.said, {})
        self.assertEqual(first.look(), second.look())
        self.assertEqual(first.apply(), (0, ""))
        self.turn(first, second)

    def keep(self, first, second):
        """What the guide pipes from one host to the other."""
        for path, uid in (("Late", 6), ("Late", 7), ("New", 1)):
            line, = block("keep")
            line = line.removeprefix("runuser -u mbj -- ")
            cat, save = first.path(line.replace(" A 7 ", f" {path} {uid} ")
                                   ).split(" | ssh mail2 ")
            save = save.replace("-m A", f"-m {path}").split()
            if path == "New":
                self.assertEqual(self.other.doveadm(
                    "mailbox", "create", "-u", self.user, path)[0], 0)
            text = self.mbj(*cat.split()[1:]).out.encode()
            done = subprocess.run(
                ["doveadm", "-c", self.other.conf, *save[1:]], input=text,
                capture_output=True, check=False, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr)

    def turn(self, first, second):
        """The two change places once more, and nothing is lost."""
        second.dovecot.stop()
        first.follow()
        second.stop()
        was = first.look()
        group = self.over(first)
        client = first.login()
        self.ok(client.select("Late"))
        self.ok(client.uid("STORE", "1", "+FLAGS", "(\\Deleted)"))
        self.ok(client.expunge())
        self.ok(client.unselect())
        self.ok(client.append("Late", None, None, mail("at the first again")))
        self.ok(client.rename("Fresh", "Old"))
        self.leave(client)
        self.assertEqual(set(first.look()["Late\0"]),
                         set(was["Late\0"]) - {1} |
                         {int(was["Late"]["UIDNEXT"])})
        # The other way: the backup of the one that took over.
        self.assertEqual(self.back(
            second, (" --until 123", ""),
            ("restore /var/lib/mbj/back", f"restore {self.home}/mail1-over"),
            ("mbj backup /var/lib/mbj/old /var/lib/mbj/back",
             f"mbj status {self.home}/mail1-over")), (0, []))
        self.assertIn(f"group {group}", self.mbj(
            "status", f"{self.home}/mail1-over").out)
        self.assertEqual(second.apply(), (0, ""))
        self.assertEqual(second.dovecot.doveadm("mbj", "verify", "-u",
                                                self.user)[0], 0)
        self.assertEqual(second.look(), first.look())
        # What is said of INBOX: all of it is copied.
        second.dovecot.stop()
        shutil.move(second.dovecot.d / "mail" / self.user, self.home / "away")
        second.dovecot.start()
        self.assertEqual(second.apply(), (0, ""))
        self.assertEqual(second.look(), first.look())


class Beyond(PairCase):
    """The same hosts, and a run of apply with what the second never had."""
    hosts, over, back = Sdbox.hosts, Sdbox.over, Sdbox.back

    def test_beyond(self):
        """Goal: what a run took for the journal's, of a history that went
        another way since, is not expunged later.  Method: apply at the first
        while it is primary, with three messages that the second never has;
        the second gives their UIDs to others, and expunges one."""
        one = self.login()
        self.ok(one.create("A"))
        for n in range(3):
            self.ok(one.append("A", None, None, mail(f"both {n}")))
        self.same_there()
        self.mbj("snapshot", self.socket)
        self.stop_replica()
        for n in range(3):
            self.ok(one.append("A", None, None, mail(f"first {n}")))
        self.leave(one)
        self.assertEqual(self.dovecot.doveadm("mbj", "apply", "-u",
                                              self.user), (0, ""))
        self.mbj("snapshot", self.socket)
        first, second = self.hosts()
        self.stop_service()
        self.dovecot.stop()
        second.start()
        group = self.over(second)
        two = second.login()
        for n in range(3):
            self.ok(two.append("A", None, None, mail(f"second {n}")))
        self.ok(two.select("A"))
        self.ok(two.uid("STORE", "6", "+FLAGS", "(\\Deleted)"))
        self.ok(two.expunge())
        self.ok(two.unselect())
        for n in range(6):  # the account passes where the first was
            self.ok(two.append("INBOX", None, None, mail(f"inbox {n}")))
        self.leave(two)
        status, said = self.back(first, (" 123", f" {group}"))
        self.assertEqual(status, 75)
        self.assertIn("nothing is changed before it is as far again",
                      "".join(said))
        for _ in range(2):
            status, said = first.dovecot.doveadm("mbj", "apply", "-u",
                                                 self.user)
            self.assertEqual(status, 75, said)
            for what in ("UID 4 of A is not the journal's of that UID",
                         "UID 5 of A is not the journal's of that UID",
                         "UID 6 of A is not the journal's, and is kept"):
                self.assertIn(what, said)
        client = first.login()
        bodies = [mail for _, _, mail, _ in fetched(client, "A").values()]
        self.leave(client)
        for n in range(3):
            self.assertTrue(any(b"first %d" % n in body for body in bodies))


class Noted(PairCase):
    """What runs of apply note of the account, in mbj-apply."""
    MESSAGES = 7  # kind of the request (docs/FORMAT.md)

    def noted(self):
        """LSN of the account, state, epoch."""
        path, = (self.other.d / "mail" / self.user).rglob("mbj-apply")
        words = path.read_text().split("\n", 1)[0].split()
        self.assertEqual(words[:2], ["mbj-apply", "4"])
        return int(words[4]), words[6], int(words[9])

    def test_racing(self):
        """Goal: what came while a run was under way, and was brought by it, is
        in what is noted, before it is brought; only a run that brought all
        ends with "done".  Method: mail comes between the run's first look and
        its reading of the mailbox."""
        one = self.login()
        self.ok(one.create("A"))
        self.ok(one.append("A", None, None, mail("first")))
        self.same_there()
        before = self.noted()
        relay = dovetest.Relay(self.home / "relay", self.other_socket)
        self.addCleanup(relay.close)

        def comes(kind):
            if kind == self.MESSAGES:
                relay.before = None
                self.ok(one.append("A", None, None, mail("third")))
                self.follow()
        self.ok(one.append("A", None, None, mail("second")))
        self.follow()
        relay.before = comes
        self.assertEqual(self.other.doveadm(
            "mbj", "apply", "-u", self.user, "--socket", relay.path), (0, ""))
        self.assertIsNone(relay.before)
        self.assertEqual(before[1:], ("done", 1))
        lsn, state, _ = self.noted()
        self.assertGreater(lsn, before[0])
        self.assertEqual(state, "begun")
        self.assertEqual(self.apply(), "")
        self.assertEqual(self.noted(), (lsn, "done", 1))

    def test_failed(self):
        """Goal: a run that left something out does not say that all is there,
        and one that changes nothing writes nothing.  Method: a message of the
        user's own, which then goes."""
        one = self.login()
        self.ok(one.create("A"))
        self.same_there()
        self.assertEqual(subprocess.run(
            ["doveadm", "-c", self.other.conf, "-o", "mail_plugins=", "save",
             "-u", self.user, "-m", "A"], input=mail("own"),
            check=False).returncode, 0)
        self.ok(one.subscribe("A"))
        self.ok(one.append("INBOX", None, None, mail("in")))
        self.leave(one)
        self.follow()
        self.assertIn("is not the journal's", self.apply(75))
        lsn, state, _ = self.noted()
        self.assertEqual(state, "begun")
        self.assertEqual(self.other.doveadm(
            "-o", "mail_plugins=", "expunge", "-u", self.user, "mailbox", "A",
            "all")[0], 0)
        self.assertEqual(self.apply(), "")
        self.assertEqual(self.noted()[:2], (lsn, "done"))
        path, = (self.other.d / "mail" / self.user).rglob("mbj-apply")
        was = path.stat()
        self.assertEqual(self.apply(), "")
        self.assertEqual(path.stat(), was)

    def test_behind(self):
        """Goal: a replica that is made anew, and is not as far, takes nothing
        away; nothing is in doubt once it is as far again.  Method: it stands
        at an older backup, for a service of before, too, which cannot be
        asked what its journal has."""
        one = self.login()
        self.ok(one.create("A"))
        for n in range(3):
            self.ok(one.append("A", None, None, mail(f"{n}")))
        self.same_there()
        self.stop_replica()
        old, store = self.home / "old-r", type(self).other_store
        self.mbj("backup", store, self.home / "over-b")
        self.mbj("restore", self.home / "over-b", old)
        self.serve_replica()
        self.ok(one.append("A", None, None, mail("later")))
        self.ok(one.create("Later"))
        self.ok(one.append("Later", None, None, mail("too")))
        here = self.same_there()
        noted = self.noted()
        self.stop_replica()
        host = self.begin(old, self.other_socket)
        relay = dovetest.Relay(self.home / "relay-b", self.other_socket)
        self.addCleanup(relay.close)
        for highest in (None, 2):
            relay.highest = highest
            status, said = self.other.doveadm(
                "mbj", "apply", "-u", self.user, "--socket", relay.path)
            self.assertEqual(status, 75)
            self.assertIn("nothing is changed before it is as far", said)
            self.assertEqual(self.noted(), noted)
            client = self.login_other()
            self.assertEqual(everything(client)["Later\0"],
                             here["Later\0"])
            self.leave(client)
        host.terminate()
        host.wait()
        self.serve_replica()
        self.ok(one.select("A"))
        self.ok(one.uid("STORE", "2,4", "+FLAGS", "(\\Deleted)"))
        self.ok(one.expunge())
        self.ok(one.unselect())
        self.leave(one)
        self.same_there()

    def test_followed(self):
        """Goal: whoever has no news is noted in a new reign, too, while the
        follower goes on.  Method: the replica is promoted under it."""
        one = self.login()
        self.ok(one.append("INBOX", None, None, mail("in")))
        self.leave(one)
        self.same_there()
        follower = subprocess.Popen(
            ["doveadm", "-c", self.other.conf, "mbj", "apply", "-A",
             "--follow"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(follower.wait)
        self.addCleanup(follower.kill)
        dovetest.time.sleep(1)
        lsn, state, epoch = self.noted()
        self.promote_replica()
        for _ in range(1000):
            if self.noted() == (lsn, state, epoch + 1):
                return
            dovetest.time.sleep(0.02)
        self.fail(f"{self.noted()}, and {lsn}, {state}, {epoch} before")


class Another(PairCase):
    """A replica's host that had applied more than the one that took over had,
    and that is not stopped where the two parted."""
    # Whether the new primary's journal still has that group.
    IS_TRIMMED = False
    FOREIGN = "the journal has not the group"

    def bodies(self, host):
        client = host.login(self.user)
        self.addCleanup(self.leave, client)
        found = {path: {body for _, _, body, _ in fetched(client, path).values()}
                 for path, told in dovetest.tree_of(client).items()
                 if told is not None}
        self.leave(client)
        return found

    def beyond(self, one):
        """What the second applies, and the one that takes over has not."""
        for n in range(3):
            self.ok(one.append("A", None, None, mail(f"lost {n}")))
        self.ok(one.create("New"))
        self.ok(one.append("New", None, None, mail("lost new")))
        self.ok(one.append("Gone", None, None, mail("lost in Gone")))
        self.ok(one.select("B"))
        self.ok(one.uid("STORE", "1", "+FLAGS", "(\\Deleted)"))
        self.ok(one.expunge())
        self.ok(one.unselect())
        self.bring()

    def other_way(self, two):
        """More groups than that were, some under the same UIDs."""
        for n in range(2):
            self.ok(two.append("A", None, None, mail(f"there {n}")))
        self.ok(two.select("A"))
        self.ok(two.uid("STORE", "2,5", "+FLAGS", "(\\Deleted)"))
        self.ok(two.expunge())
        self.ok(two.unselect())
        self.ok(two.delete("Gone"))
        self.ok(two.delete("Empty"))
        for n in range(9):
            self.ok(two.append("C", None, None, mail(f"c {n}")))

    def take_over(self, over):
        """The backup becomes the first host's store, and its Dovecot what that
        has: of the old one nothing is left."""
        self.stop_service()
        self.dovecot.stop()
        shutil.rmtree(self.dovecot.d / "mail" / self.user)
        store = self.home / f"taken-{self.user}"
        self.mbj("restore", over, store, "--role", "primary")
        type(self).store = store
        self.serve()
        self.dovecot.start()
        self.assertEqual(self.dovecot.doveadm("mbj", "apply", "-u",
                                              self.user), (0, ""))

    def remake(self):
        """The replica follows the new primary, from its beginning on."""
        store = self.home / f"remade-{self.user}"
        if self.IS_TRIMMED:
            self.mbj("snapshot", self.socket)
            self.mbj("init", store, "--from-snapshot", self.store)
        else:
            self.mbj("init", store, "--role", "replica")
        type(self).other_store = store
        self.serve_replica()
        self.follow()

    def parted(self):
        """Returns: what the run at the second says."""
        one = self.login()
        for name in ("A", "B", "C", "Gone", "Empty"):
            self.ok(one.create(name))
            for n in range(0 if name == "Empty" else 3):
                self.ok(one.append(name, None, None, mail(f"{name} {n}")))
        self.same_there()
        self.stop_replica()
        over = self.home / "over"
        self.mbj("backup", self.other_store, over)
        self.serve_replica()
        self.beyond(one)
        self.leave(one)
        self.stop_replica()
        had = self.bodies(self.other)
        self.take_over(over)
        two = self.login()
        self.other_way(two)
        self.leave(two)
        self.remake()
        return had, self.apply(75)

    def test_parted(self):
        """Goal: what only the second's Dovecot has by now, of what a lost
        primary had told it, is not expunged, nor taken for the journal's.
        Method: the second applies beyond the group at which another host takes
        over, follows that one, and has no run in between."""
        had, said = self.parted()
        self.assertEqual(said.count(self.FOREIGN), 1, said)
        kept = ["UID 4 of A is not the journal's of that UID",
                "UID 6 of A is not the journal's, and is kept",
                "mailbox New is not the journal's, and is kept",
                "mailbox Gone is not the journal's, and is kept"]
        for _ in range(2):
            for what in kept:
                self.assertIn(what, said)
            self.assertIn("UID 1 of B is missing", said)
            self.assertNotIn(" of C ", said)
            have = self.bodies(self.other)
            for path in had:
                if path != "Empty":
                    self.assertLessEqual(had[path], have[path], path)
            self.assertNotIn("Empty", have)
            self.assertEqual(have["C"], self.bodies(self.dovecot)["C"])
            said = self.apply(75)
            self.assertNotIn(self.FOREIGN, said)
        # Where nothing is kept the journal's mail goes with it, as ever.
        client = self.login()
        for path, uids in (("C", "1,12"), ("B", "2")):
            self.ok(client.select(path))
            self.ok(client.uid("STORE", uids, "+FLAGS", "(\\Deleted)"))
            self.ok(client.expunge())
        self.ok(client.append("C", None, None, mail("and on")))
        self.leave(client)
        self.follow()
        said = self.apply(75)
        self.assertNotIn(" of C ", said)
        have, there = self.bodies(self.other), self.bodies(self.dovecot)
        self.assertEqual((have["B"] | {mail("B 0")}, have["C"]),
                         (there["B"], there["C"]))
        self.assertIn(mail("and on"), have["C"])
        self.mend(had)

    def test_swapped(self):
        """Goal: a run whose service is another one's in the midst of it
        changes nothing more, and the next one finds that the journal went
        another way.  Method: the connection is cut as the run begins to read
        mailboxes, and who took over answers from then on."""
        one = self.login()
        for name in ("A", "B", "C", "Gone", "Empty"):
            self.ok(one.create(name))
            for n in range(0 if name == "Empty" else 3):
                self.ok(one.append(name, None, None, mail(f"{name} {n}")))
        self.same_there()
        self.stop_replica()
        over, old = self.home / "over-s", type(self).other_store
        self.mbj("backup", self.other_store, over)
        self.serve_replica()
        self.beyond(one)
        for name in ("A", "B", "C"):
            self.ok(one.append(name, None, None, mail("not applied")))
        self.leave(one)
        self.follow()
        self.stop_replica()
        had = self.bodies(self.other)
        self.take_over(over)
        two = self.login()
        self.other_way(two)
        for name in ("A", "B"):
            self.ok(two.append(name, None, None, mail("later")))
        self.leave(two)
        self.remake()
        host = self.begin(old, self.home / "old.socket")
        self.addCleanup(host.wait)
        self.addCleanup(host.terminate)
        relay = dovetest.Relay(self.home / "relay-s",
                               self.home / "old.socket")
        self.addCleanup(relay.close)

        def swap(kind):
            if kind == Noted.MESSAGES:
                relay.before = None
                relay.target = str(self.other_socket)
                raise OSError("cut")
        relay.before = swap
        status, said = self.other.doveadm("mbj", "apply", "-u", self.user,
                                          "--socket", relay.path)
        self.assertIsNone(relay.before)
        self.assertEqual(status, 75)
        self.assertEqual(said.count("Error: mbj:"), 1, said)
        self.assertIn("the service has another store", said)
        self.assertEqual(self.bodies(self.other), had)
        self.assertIn(self.FOREIGN, self.apply(75))
        have = self.bodies(self.other)
        for path in set(had) - {"Empty"}:
            self.assertLessEqual(had[path], have[path], path)

    def mend(self, had):
        """What is kept is copied, and the second's mailboxes made anew."""
        lost = {"A": [mail(f"lost {n}") for n in range(3)],
                "New": [mail("lost new")],
                "Gone": [mail("lost in Gone")]}
        client = self.login()
        for path, bodies in lost.items():
            client.create(path)
            for body in bodies:
                self.assertIn(body, had[path])
                self.ok(client.append(path, None, None, body))
        self.leave(client)
        self.follow()
        for path in ("A", "B", "New", "Gone"):
            self.assertEqual(self.other.doveadm(
                "-o", "mail_plugins=", "mailbox", "delete", "-u", self.user,
                path)[0], 0)
        self.same_there()
        have = self.bodies(self.other)
        for path, bodies in lost.items():
            self.assertLessEqual(set(bodies), have[path])


class Trimmed(Another):
    """And that group is in no journal any more."""
    IS_TRIMMED = True

    def test_one_reign(self):
        """Goal: a user without news while the journal was trimmed is no case
        of doubt: what one primary wrote is one history.  Method: the replica
        is made anew from a snapshot behind the group that a run noted."""
        one = self.login()
        self.ok(one.create("A"))
        for n in range(3):
            self.ok(one.append("A", None, None, mail(f"A {n}")))
        self.same_there()
        self.stop_replica()
        self.ok(one.select("A"))
        self.ok(one.uid("STORE", "2", "+FLAGS", "(\\Deleted)"))
        self.ok(one.expunge())
        self.leave(one)
        self.remake()
        self.assertEqual(self.apply(0), "")
        self.same_there()


class AnotherMaildir(Another):
    LOCATION = "maildir:~/Maildir"


class Maildir(Sdbox):
    LOCATION = "maildir:~/Maildir"


if __name__ == "__main__":
    pairtest.main()
