#!/usr/bin/env python3
"""Exports that did not come to their end, run again when the account is not
what it was."""
import fcntl
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import mailtest  # noqa: E402
import mbjtest  # noqa: E402
from mailtest import Folder, Message  # noqa: E402
from mbjtest import FAILED, LOCKED, PARTIAL, REFUSED, Case, seed  # noqa: E402

MARK = "mbj-export.unfinished"


class ExportAgain(Case):
    """What an earlier run made is known for ours, under whatever name."""
    KILLS = int(os.environ.get("MBJ_KILLS", "4"))

    def setUp(self):
        super().setUp()
        self.stores()
        self.out = self.dir / "out"

    def broken(self, *paths):
        """Folders of these paths, exported but for zz."""
        maildir = self.dir / "Maildir"
        mailtest.write(maildir, [Folder([p], [Message(
            p.encode(), 10, "S", ["work"], 3)], 7) for p in
            ("INBOX", *paths, "zz")])
        self.mbj("import", self.p, "alice", "--maildir", maildir)
        account = self.mbj("accounts", self.p, "--json").json()["list"][0]
        self.out.mkdir()
        (self.out / MARK).write_text(account["id"] + "\n")
        (self.out / ".zz").write_bytes(b"in its way")
        self.mbj("export", self.p, "alice", self.out, status=FAILED)
        (self.out / ".zz").unlink()
        for path in paths:
            self.assertTrue((self.out / f".{path}" / "dovecot-uidlist").exists())

    def equal(self):
        """The directory is that of a run of now alone."""
        fresh = self.dir / "fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        self.mbj("export", self.p, "alice", fresh)
        self.assertEqual(mailtest.snapshot(self.out), mailtest.snapshot(fresh))
        for root in (self.out, fresh):
            self.assertEqual(list(root.rglob("tmp/*")), [])
        self.assertEqual(sorted(p.name for p in self.out.iterdir()),
                         sorted(p.name for p in fresh.iterdir()))

    def test_named(self):
        """Goal: what is in the way is named by its path.  Method: of INBOX,
        and of another folder; a directory with a slash behind it, and
        without."""
        self.broken("a")
        for way in ("tmp", ".a/tmp"):
            for behind in ("", "/"):
                shutil.rmtree(self.out)
                place = self.out / way
                place.parent.mkdir(parents=True)
                account = self.mbj("accounts", self.p, "--json").json()
                (self.out / MARK).write_text(account["list"][0]["id"] + "\n")
                place.write_bytes(b"in its way")
                said = self.mbj("export", self.p, "alice",
                                f"{self.out}{behind}", status=FAILED)
                self.assertIn(f" {place}:", said.err)
                place.unlink()
                self.mbj("export", self.p, "alice", f"{self.out}{behind}")

    def test_renamed(self):
        """Goal: no mail is there twice.  Method: an export that failed at its
        last folder; rename, swap, delete, and take keywords and a list away;
        what a kill leaves in tmp and of a list on its way, by hand; again."""
        self.broken("A", "B", "C", "D", "E")
        answer = self.mbj("import", self.p, "eve", "--maildir", self.out,
                          status=PARTIAL)
        self.assertIn(f"{self.out}: it is an export that was stopped",
                      answer.err)
        self.mbj("setacl", self.p, "alice", "E", "bob", "lr")
        (self.out / ".zz").write_bytes(b"in its way")
        self.mbj("export", self.p, "alice", self.out, status=FAILED)
        (self.out / ".zz").unlink()
        self.assertTrue((self.out / ".E" / "dovecot-acl").exists())
        self.mbj("rename", self.p, "alice", "A>X/Entwürfe", "B>C", "C>B")
        self.mbj("set", self.p, "alice", stdin={
            "destroy": [self.paths()["D"]], "onDestroyRemoveEmails": True})
        self.mbj("flag", "--", self.p, "alice", "E", "3", "-work")
        self.mbj("setacl", self.p, "alice", "E", "bob", "")
        self.mbj("expunge", self.p, "alice", "INBOX", "3")
        name = next((self.out / "cur").iterdir()).name
        (self.out / "tmp" / name.split(":")[0]).write_bytes(b"half of it")
        (self.out / ".A" / "tmp" / name.split(":")[0]).write_bytes(b"half")
        for word in ("acl", "keywords"):
            (self.out / ".E" / f"dovecot-{word}.new").write_bytes(b"half")
        answer = self.mbj("export", self.p, "alice", self.out, "--json")
        self.assertEqual(answer.json()["notes"], 0, answer.err)
        self.equal()
        self.mbj("import", self.p, "bob", "--maildir", self.out)
        self.assertEqual(mailtest.kept(self, name="bob"),
                         mailtest.kept(self))

    def test_not_ours(self):
        """Goal: what somebody else put there stays, is said, and what is ours
        beside it goes.  Method: a message, a file, a folder and links, in
        folders of a broken run and beside them; names in the mark that no run
        writes."""
        self.broken("A", "B", "C", "D")
        elsewhere = self.dir / "elsewhere"
        shutil.copytree(self.out / ".C", elsewhere)
        shutil.rmtree(self.out / ".C")
        (self.out / ".C").symlink_to(elsewhere)
        shutil.rmtree(self.out / ".D" / "cur")
        (self.out / ".D" / "cur").symlink_to(elsewhere / "cur")
        theirs = {".A/cur/9.theirs:2,S": b"a", ".B/dovecot.index": b"b",
                  ".F/cur/8.theirs": b"f", "note": b"n"}
        for path, body in theirs.items():
            (self.out / path).parent.mkdir(parents=True, exist_ok=True)
            (self.out / path).write_bytes(body)
        with (self.out / MARK).open("a", encoding="utf-8") as mark:
            mark.write(f"..\n.\n./../elsewhere\n{elsewhere}\n.F\n\n.zz\n.torn")
        outside = mailtest.snapshot(elsewhere)
        self.mbj("rename", self.p, "alice", "A>a", "B>b", "C>c", "D>d")
        answer = self.mbj("export", self.p, "alice", self.out, "--json")
        self.assertEqual(answer.json()["notes"], 5, answer.err)
        for name in (".A", ".B", ".C", ".D", ".F"):
            self.assertIn(f"note: {name}: no mailbox", answer.err)
        self.assertEqual(mailtest.snapshot(elsewhere), outside)
        self.assertEqual([p.name for p in (self.out / ".A" / "cur").iterdir()],
                         ["9.theirs:2,S"])
        self.assertEqual(list((self.out / ".B" / "cur").iterdir()), [])
        for path, body in theirs.items():
            self.assertEqual((self.out / path).read_bytes(), body)
        self.assertFalse((self.out / MARK).exists())

    def test_host(self):
        """Goal: what is delivered on a host that is called mbj is not taken
        for ours.  Method: names as Dovecot gives them, in folders of a mailbox
        that is there, of one that was renamed, in cur and tmp."""
        self.broken("A", "B")
        theirs = [self.out / folder / part / f"1700000000.M5P6.{host},S=3{rest}"
                  for folder in ("", ".A", ".B")
                  for host in ("mbj", "x.mbj")
                  for part, rest in (("cur", ",W=4:2,S"), ("cur", ""),
                                     ("tmp", ",W=4"))]
        for path in theirs:
            path.write_bytes(b"abc")
        self.mbj("rename", self.p, "alice", "B>b")
        self.mbj("export", self.p, "alice", self.out)
        for path in theirs:
            self.assertEqual(path.read_bytes(), b"abc", path)

    def test_links(self):
        """Goal: what is behind a link is not touched, though a mailbox is
        called as the link is.  Method: a folder, its cur, its tmp, INBOX's tmp
        and the mark are links to those of another's export, whose messages are
        called as ours; a FIFO for a mark."""
        self.broken("A")
        other = self.dir / "other"
        self.mbj("import", self.p, "bob", "--maildir", self.dir / "Maildir")
        self.mbj("deliver", self.p, "bob", "zz", stdin=b"x")
        self.mbj("export", self.p, "bob", other)
        name = next((other / ".zz" / "cur").iterdir()).name.split(":")[0]
        (other / ".zz" / "tmp" / name).write_bytes(b"on its way")
        outside = mailtest.snapshot(other)
        mark = (self.out / MARK).read_bytes()
        (self.dir / "mark").write_bytes(mark)
        for path, target in ((".A", ".zz"), (".A/cur", ".zz/cur"),
                             (".A/tmp", ".zz/tmp"), ("tmp", ".zz/tmp"),
                             (MARK, self.dir / "mark")):
            link, aside = self.out / path, self.dir / "aside"
            link.rename(aside)
            link.symlink_to(other / target)
            answer = self.mbj("export", self.p, "alice", self.out,
                              status=REFUSED if path == MARK else FAILED)
            self.assertIn(f"/{link.name}", answer.err)
            self.assertEqual(mailtest.snapshot(other), outside, path)
            link.unlink()
            aside.rename(link)
        (self.out / MARK).unlink()
        os.mkfifo(self.out / MARK)
        self.mbj("export", self.p, "alice", self.out, status=REFUSED)
        (self.out / MARK).unlink()
        (self.out / MARK).write_bytes(mark)
        self.mbj("export", self.p, "alice", self.out)
        self.equal()

    def test_last_copy(self):
        """Goal: a message that an earlier run wrote is not removed where it is
        all that is left.  Method: other flags and keywords since, its content
        lost in the store; a second file of it, as runs before left."""
        self.broken("A", "B")
        for path in "AB":
            self.mbj("flag", self.p, "alice", path, "3", "\\Flagged", "new")
        cur = self.out / ".B" / "cur"
        name = next(cur.iterdir()).name
        (cur / (name + "b")).write_bytes(b"B")
        digest = hashlib.sha256(b"A").hexdigest()
        (self.p / "blobs" / digest[:2] / digest[2:]).unlink()
        answer = self.mbj("export", self.p, "alice", self.out, "--json")
        self.assertEqual(answer.json()["present"], 3)
        self.assertEqual(answer.json()["leftOut"], 0)
        files = list((self.out / ".A" / "cur").iterdir())
        self.assertEqual([f.read_bytes() for f in files], [b"A"])
        self.assertTrue(files[0].name.endswith(":2,FSab"), files)
        self.assertEqual(len(list(cur.iterdir())), 1)
        self.mbj("import", self.p, "eve", "--maildir", self.out)
        kept = mailtest.kept(self, name="eve")
        self.assertEqual(kept["A"], mailtest.kept(self)["A"])

    def test_dates_again(self):
        """Goal: that messages lose their dates is said by the run that comes
        to its end, whichever wrote them, where the file system cuts them."""
        box = self.dir / "box"
        box.write_bytes(b"From a@b Thu Jan  1 00:00:07 9999\n\nx\n")
        self.broken("A")
        self.mbj("import", self.p, "alice", "A", "--mbox", box)
        (self.out / ".zz").write_bytes(b"in its way")
        self.mbj("export", self.p, "alice", self.out, status=FAILED)
        (self.out / ".zz").unlink()
        answer = self.mbj("export", self.p, "alice", self.out)
        is_cut = all(int(p.stat().st_mtime) != 253370764807
                     for p in (self.out / ".A" / "cur").iterdir())
        self.assertEqual("A: 1 messages lose their dates" in answer.err,
                         is_cut)

    def test_two_runs(self):
        """Goal: two exports do not write into one directory.  Method: somebody
        holds its lock, as a run does; then does not."""
        self.broken("A")
        before = mailtest.snapshot(self.out)
        held = os.open(self.out, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            answer = self.mbj("export", self.p, "alice", self.out,
                              status=LOCKED)
            self.assertIn(f"another process holds the lock; stop it or wait "
                          f"for its end: {self.out}", answer.err)
            self.assertEqual(mailtest.snapshot(self.out), before)
            self.mbj("export", self.p, "alice", self.out, "--dry-run")
        finally:
            os.close(held)
        self.mbj("export", self.p, "alice", self.out)
        self.equal()

    def test_ends_meanwhile(self):
        """Goal: an export that comes to its end while it is imported is told
        to be unfinished: its folders were listed before.  Method: the notes of
        folders fill a pipe, which holds the import up behind the listing."""
        maildir = self.dir / "Maildir"
        mailtest.write(maildir, [Folder(["INBOX"])] + [
            Folder([f"f{i}"], [], 2**32 - 1) for i in range(60)])
        (maildir / MARK).write_bytes(b"")
        out, into = os.pipe()
        fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, 4096)
        with subprocess.Popen(
                [mbjtest.MBJ, "import", self.p, "eve", "--maildir", maildir],
                stdout=subprocess.DEVNULL, stderr=into) as run, \
                os.fdopen(out, "rb") as err:
            os.close(into)
            os.read(out, 1)
            (maildir / MARK).unlink()
            text = err.read()
        self.assertEqual(run.returncode, PARTIAL)
        self.assertIn(b"it is an export that was stopped", text)

    def change(self, rng):
        """Something that is done to the account between two runs."""
        paths = sorted(set(self.paths()) - {"INBOX"})
        path = rng.choice(paths)
        uids = [m["uid"] for m in self.mbj("messages", self.p, "alice", path,
                                           "--json").json()["messages"]]
        what = rng.randrange(6)
        if what < 3 or not uids:
            self.mbj("rename", self.p, "alice",
                     f"{path}>{path.split('/')[-1][:2]}{rng.randrange(99)}")
        elif what == 3:
            self.mbj("expunge", self.p, "alice", path, rng.choice(uids))
        elif what == 4:
            self.mbj("mv", self.p, "alice", path, rng.choice(uids),
                     rng.choice(paths))
        else:
            self.mbj("flag", self.p, "alice", path, rng.choice(uids),
                     f"w{rng.randrange(9)}")

    def test_killed(self):
        """Goal: the same of runs that are killed anywhere.  Method: SIGKILL at
        random points, changes at random between."""
        rng = seed()
        maildir = self.dir / "Maildir"
        mailtest.write(maildir, [Folder(path, [
            Message(b"%d" % rng.randrange(99), 10 + i, "S", ["w0"], i + 1)
            for i in range(12)], 7 + len(path)) for path in
            (["INBOX"], ["A"], ["A", "B"], ["C"], ["D"])])
        self.mbj("import", self.p, "alice", "--maildir", maildir)
        start = time.monotonic()
        self.mbj("export", self.p, "alice", self.dir / "probe")
        whole = time.monotonic() - start
        kills = 0
        for _ in range(self.KILLS):
            with subprocess.Popen(
                    [mbjtest.MBJ, "export", self.p, "alice", self.out],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL) as run:
                time.sleep(rng.random() * whole)
                run.send_signal(signal.SIGKILL)
            kills += run.returncode != 0
            if run.returncode == 0 or not (self.out / MARK).exists():
                shutil.rmtree(self.out, ignore_errors=True)
            for _ in range(rng.randrange(3)):
                self.change(rng)
        print(f"{kills} kills", flush=True)
        self.mbj("export", self.p, "alice", self.out)
        self.equal()


if __name__ == "__main__":
    unittest.main(verbosity=1)
