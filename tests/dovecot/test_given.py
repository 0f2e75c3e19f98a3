"""INBOX is renamed at the first Dovecot, where its mailbox goes, GUID and all,
and the second one's is a Maildir, which can rename no INBOX."""
import os
import shutil
import subprocess

import dovetest
import pairtest
import test_pair
from dovetest import mbjtest
from pairtest import fetched, mail

KILLS = os.environ.get("MBJ_APPLY_KILLS", "5")


class Given(test_pair.Pair):
    """Histories of Pair's, with others to begin with."""
    LOCATION_THERE = "maildir:~/Maildir"

    def append(self, path, *texts):
        for text in texts:
            self.ok(self.one.append(path, None, None, mail(text)))

    def setUp(self):
        super().setUp()
        self.one = self.login()

    def test_given(self):
        """Goal: the next INBOX is a new one: its UIDs begin with 1, and what
        was in the former one is where that went.  Method: again and again,
        with mail in both, some of it expunged; then an empty one."""
        for count in range(3):
            self.append("INBOX", *(f"{count} {n}" for n in range(4 - count)))
            self.same_there()
            self.ok(self.one.select("INBOX"))
            self.ok(self.one.uid("STORE", "1", "+FLAGS", "(\\Deleted)"))
            self.ok(self.one.expunge())
            self.ok(self.one.unselect())
            self.ok(self.one.rename("INBOX", f"Old/{count}"))
            seen = self.same_there()
            self.assertEqual(seen["INBOX"]["UIDNEXT"], "1")
        self.append("INBOX", "last")
        seen = self.same_there()
        self.assertEqual([len(seen[f"{path}\0"]) for path in
                          ("INBOX", "Old/0", "Old/1", "Old/2")], [1, 3, 2, 1])

    def there(self, path):
        """UID to subject at the second."""
        two = self.login_other()
        found = {uid: row[2].split(b"\r\n")[0].decode().split(": ")[1]
                 for uid, row in fetched(two, path).items()}
        self.leave(two)
        return found

    def own(self):
        """INBOX is renamed and gets mail, and the second's has a message of
        the user's own; its UID is that of one of the journal's."""
        self.append("INBOX", "a", "b")
        self.same_there()
        done = subprocess.run(
            ["doveadm", "-c", self.other.conf, "-o", "mail_plugins=", "save",
             "-u", self.user], input=mail("own"), check=False)
        self.assertEqual(done.returncode, 0)
        self.append("INBOX", "c", "d")
        self.follow()
        self.apply(75)
        self.assertEqual(self.there("INBOX"),
                         {1: "a", 2: "b", 3: "own", 4: "d"})
        self.ok(self.one.rename("INBOX", "Old"))
        self.append("INBOX", *(f"new {n}" for n in range(6)))
        self.follow()

    def own_stays(self):
        """It does, and is named, as is what finds its UID taken."""
        said = self.apply(75)
        for uid in (1, 2, 3, 4):
            self.assertIn(f"message UID {uid} of INBOX ", said)
        self.assertEqual(self.there("INBOX"),
                         {3: "own", 5: "new 4", 6: "new 5"})
        self.assertEqual(self.there("Old"),
                         {1: "a", 2: "b", 3: "c", 4: "d"})

    def test_given_own(self):
        """Goal: mail of the user's own in the second's INBOX stays in it, and
        nothing that came with the former INBOX does: no message is there
        twice.  Method: one among others."""
        self.own()
        for _ in range(2):
            self.own_stays()

    def killed(self, ends):
        """A run ended before one of its calls, from the same mail, for some of
        them; then the next one."""
        home, kept = self.other.keep_home(self.user)
        points = self.other.traced(self.user)
        if KILLS != "all":
            points = mbjtest.seed().sample(points, int(KILLS))
        for call, count in points:
            self.other.killed_before(home, kept, call, count)
            with self.subTest(call=call, count=count):
                ends()
        shutil.rmtree(kept)

    def test_given_kills(self):
        """Goal: whichever change to a file a run was to make when it was
        killed, the next one ends it.  Method: one run's calls are counted."""
        dovetest.need_strace(self)
        self.append("INBOX", "a", "b", "c")
        self.same_there()
        self.ok(self.one.rename("INBOX", "Old"))
        self.append("INBOX", "new")
        self.follow()

        def ends():
            self.apply()
            self.assertEqual(self.there("INBOX"), {1: "new"})
            self.assertEqual(self.there("Old"), {1: "a", 2: "b", 3: "c"})
            self.same_there()
        self.killed(ends)

    def test_given_killed(self):
        """Goal: likewise with a message of the user's own."""
        dovetest.need_strace(self)
        self.own()
        self.killed(self.own_stays)


class Elsewhere(Given):
    """INBOX has a directory of its own at both, and Dovecot renames it."""
    LOCATION = "maildir:~/Maildir:INBOX=~/Inbox"
    LOCATION_THERE = None


if __name__ == "__main__":
    pairtest.main()
