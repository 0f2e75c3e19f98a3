#!/usr/bin/env python3
"""What an operator types wrong: named, with its status, and nothing left.
"""
import os
import pathlib
import shlex
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import (CORRUPT, Case, FAILED, MBJ, REFUSED, ROWS,  # noqa: E402
                     USAGE)
from test_trim import flip  # noqa: E402


class Refused(Case):
    def setUp(self):
        super().setUp()
        self.account(ROWS)
        self.new = self.dir / "new"
        self.file = self.dir / "file"
        self.file.write_bytes(b"x")
        self.empty = self.dir / "empty"
        self.empty.mkdir()
        self.none = self.dir / "none"

    def refused(self, *words, status, named=None, **options):
        """Refused by name, where it was to be made, and where it was
        already."""
        for is_there in (False, True):
            if is_there:
                self.new.mkdir()
            said = self.mbj(*words, status=status, **options)
            if named is not None:
                self.assertIn(str(named), said.err, words)
            if is_there:
                self.assertEqual(list(self.new.iterdir()), [], words)
                self.new.rmdir()
            self.assertFalse(self.new.exists(), words)

    def broken(self, store, name):
        """A copy of a store whose journal is damaged at its begin."""
        copy = self.dir / name
        shutil.copytree(store, copy)
        flip(sorted((copy / "journal").glob("*.seg"))[0], 20)
        return copy

    def test_init(self):
        """Goal: an init that is refused leaves nothing.  Method: no source,
        no store, nothing received, no snapshot, a damaged one, itself."""
        for source, status in ((self.none, FAILED), (self.file, FAILED),
                               (self.empty, FAILED), (self.new, FAILED),
                               (self.p, FAILED), (self.r, REFUSED)):
            self.refused("init", self.new, "--from-snapshot", source,
                         status=status, named=source)
        self.mbj("snapshot", self.p)
        bad = next((self.p / "snapshots").iterdir())
        flip(bad, 300)
        self.refused("init", self.new, "--role", "replica",
                     "--from-snapshot", self.p, status=CORRUPT,
                     named=f"of {bad}")
        resync = ("quarantine", self.r, "resync", "alice")
        self.refused(*resync, "--from", self.p, status=CORRUPT,
                     named=f"of {bad}")
        self.refused(*resync, "--exec", f"{shlex.quote(MBJ)} send "
                     f"{shlex.quote(str(self.p))}", status=CORRUPT,
                     named=f"of the source's snapshots/{bad.name}")

    def test_backup(self):
        """Goal: so does a backup.  Method: the same, and a damaged journal;
        what has groups stays, to be gone on with."""
        for source, status in ((self.none, FAILED), (self.file, FAILED),
                               (self.empty, FAILED), (self.r, REFUSED),
                               (self.broken(self.p, "bad"), CORRUPT)):
            self.refused("backup", source, self.new, status=status,
                         named=source)
        self.mbj("deliver", self.p, "alice", stdin="body\n")
        shutil.copytree(self.p, self.dir / "lacks")
        shutil.rmtree(self.dir / "lacks" / "blobs")
        self.mbj("backup", self.dir / "lacks", self.new, status=CORRUPT)
        self.mbj("tree", self.new, "alice")
        self.mbj("backup", self.p, self.new)

    def test_restore(self):
        """Goal: so does a restore.  Method: what is no backup, or damaged."""
        backup = self.dir / "backup"
        self.mbj("backup", self.p, backup)
        for source, status in ((self.none, FAILED), (self.file, FAILED),
                               (self.empty, FAILED), (self.p, FAILED),
                               (self.broken(backup, "bad"), CORRUPT)):
            self.refused("restore", source, self.new, status=status,
                         named=source)
        self.refused("restore", backup, self.new, "--until", "99",
                     status=REFUSED, named="no group 99")
        self.mbj("restore", backup, self.new)
        self.mbj("verify", self.p, self.new)

    def test_clone(self):
        """Goal: so does a clone that never met its source; one that a source
        may know by now goes on being that one."""
        send = f"{shlex.quote(MBJ)} send "
        for words, status in ((("--exec", "false"), FAILED),
                              (("--exec", send + str(self.none)), FAILED),
                              (("--from", f"unix:{self.none}"), FAILED),
                              (("--from", "elsewhere"), USAGE)):
            self.refused("clone", self.new, *words, status=status)
        self.mbj("clone", self.new, "--exec", send + shlex.quote(str(self.p)))
        self.mbj("verify", self.p, self.new)

    def test_empty(self):
        """Goal: what is empty, as of a variable that is not set, is no path of
        the root directory.  Method: operands and options; it is said which."""
        for words in (("tree", "", "alice"), ("status", ""), ("init", ""),
                      ("fsck", ""), ("clone", "", "--exec", "false"),
                      ("restore", "", self.new)):
            self.refused(*words, status=USAGE, named="operand 1 is empty")
        for words in (("replay", self.p, ""), ("backup", self.p, ""),
                      ("verify", self.p, ""), ("restore", self.p, ""),
                      ("account", "create", "", "a"),
                      ("keygen", "ca", "", self.p)):
            self.refused(*words, status=USAGE, named="operand 2 is empty")
        for words in (("keygen", "ca", self.new, ""),
                      ("keygen", "source", self.new, "")):
            self.refused(*words, status=USAGE, named="operand 3 is empty")
        self.refused("export", self.p, "alice", "", status=USAGE,
                     named="operand 3 is empty")
        self.refused("deliver", "", "alice", status=os.EX_USAGE)
        for words in (("init", self.new, "--from-snapshot", ""),
                      ("clone", self.new, "--exec", ""),
                      ("import", self.p, "bob", "--maildir", ""),
                      ("send", self.p, "--tls-dir", ""),
                      ("serve", self.p, "--group", ""),
                      ("serve", self.p, "--http-name", ""),
                      ("clone", self.new, "--name", ""),
                      ("intent", self.p, "alice", "A>B", "--producer", ""),
                      ("rename", self.p, "alice", "A>B", "--request-id", ""),
                      ("status", self.p, "--socket", "")):
            option = next(w for w in words if str(w).startswith("--"))
            self.refused(*words, status=USAGE,
                         named=f"{option} is empty")
        self.refused("clone", self.new, "--from=", status=USAGE,
                     named='not ""')
        # It would be that of all accounts; without a store there is none.
        self.refused("intents", self.p, "", status=FAILED,
                     named='no account "" in')
        self.refused("intents", self.none, "alice", status=FAILED,
                     named=f"{self.none} is not a store")
        # The account's own METADATA.
        self.mbj("metadata", self.p, "alice", "")

    def test_long(self):
        """Goal: a path that is too long is named, by its begin."""
        long = "n" * 5120
        for words in (("tree", long, "alice"), ("init", long),
                      ("init", long, "-n")):
            self.refused(*words, status=REFUSED,
                         named=f'not 5120: "{long[:60]}"')

    def test_serve(self):
        """Goal: what a service needs later is read before it begins: it would
        be wrong only on the day on which it is needed."""
        for option in ("keep-days", "keep-bytes", "keep-requests"):
            for wrong in ("-1", "x", "9" * 23, ""):
                self.refused("serve", self.p, "--keep-house", "9",
                             f"--{option}", wrong,
                             status=USAGE, named=f'--{option} wants')
        self.refused("quarantine", self.r, "list", "--rate", "x",
                     status=USAGE, named="--rate")

    def test_place(self):
        """Goal: what is to be made takes no file's place: it is there, byte
        for byte, and named.  Method: a file where a store was to be, a file and
        a folder, a link to one, where a socket was to be."""
        backup = self.dir / "backup"
        self.mbj("backup", self.p, backup)
        for words in (("init", self.file), ("init", self.file, "-n"),
                      ("restore", backup, self.file),
                      ("clone", self.file, "--exec", "false")):
            self.refused(*words, status=REFUSED,
                         named=f"{self.file} is there, and is no directory")
        link = self.dir / "link"
        link.symlink_to(self.file)
        for path in (self.file, link, self.empty):
            for words in (("serve", self.p, "--socket", path),
                          ("serve", self.p, "--replicas", f"unix:{path}"),
                          ("send", self.p, "--listen", f"unix:{path}")):
                self.refused(*words, status=REFUSED,
                             named=f"{path} is there, and is no socket")
        self.assertEqual(self.file.read_bytes(), b"x")
        self.assertTrue(link.is_symlink())
        self.assertEqual(list(self.dir.glob("*.new")), [])

    def test_path(self):
        """Goal: a path that is none is named as it came, for people and for
        programs.  Method: a name in it is empty, or it is not UTF-7."""
        for path in ("INBOX/", "/A", "A//B"):
            for words in (("messages", self.p, "alice", path),
                          ("subscribe", self.p, "alice", path),
                          ("mv", self.p, "alice", "INBOX", "1", path),
                          ("rename", self.p, "alice", f"A>{path}")):
                said = self.mbj(*words, status=REFUSED)
                self.assertIn(f'the path "{path}" has an empty name', said.err)
                self.assertEqual(said.json()["path"], path)
        for path in ("&Jjo", "\u00c4"):
            said = self.mbj("messages", self.p, "alice", path, "--utf7",
                            status=REFUSED)
            self.assertEqual(said.json()["name"], path)

    def test_idle(self):
        """Goal: an option that would have no effect is refused, by name: who
        gives --tls-dir believes that there is TLS.  Method: each where nothing
        reads it."""
        there = f"unix:{self.none}"
        tls = ("--tls-dir", self.dir)
        rest = (("--compress", "zstd"), ("--rate", "1M"))
        port = ("--listen", "tls:127.0.0.1:1")
        for verb in (("clone", self.new), ("follow", self.r),
                     ("verify", self.r), ("quarantine", self.r, "resync", "a")):
            for source in (("--from", there), ("--exec", "false")):
                self.refused(*verb, *source, *tls, status=USAGE,
                             named="--tls-dir is for --from tls:HOST:PORT")
        self.refused("verify", self.p, self.r, *tls, status=USAGE,
                     named="--tls-dir is for --from tls:HOST:PORT")
        for words in (("--share", "9"), ("--within", "9")):
            self.refused("verify", self.p, self.r, *words, status=USAGE,
                         named=f"{words[0]} is for --from or --exec, not for")
        for what in (("list",), ("show", "a"), ("retry", "--all"),
                     ("resync", "a", "--from", self.p)):
            self.refused("quarantine", self.r, *what, *tls, status=USAGE,
                         named="--tls-dir is for --from tls:HOST:PORT")
            for words in rest:
                self.refused("quarantine", self.r, *what, *words, status=USAGE,
                             named=f"{words[0]} is for --from unix:PATH, "
                             "--from tls:HOST:PORT or --exec of resync")
        for words in (("--group", "0"), ("--connections", "1")):
            self.refused("send", self.p, *words, status=USAGE,
                         named=f"{words[0]} is for --listen")
        self.refused("send", self.p, "--door-fd", "4", status=USAGE,
                     named="--door-fd is for --tls-dir")
        for option in ("--mboxo", "--utf7"):
            for words in ((), ("--maildir", self.empty)):
                self.refused("import", self.p, "bob", *words, option,
                             status=USAGE, named=f"{option} is for --mbox")
        self.refused("send", self.p, *port, "--group", "0", *tls, status=USAGE,
                     named="--group is for --listen unix:PATH")
        self.refused("send", self.p, "--listen", there, *tls, status=USAGE,
                     named="--tls-dir and --listen unix:PATH exclude each")

    def test_apart(self):
        """Goal: so are options that contradict each other, both of them.
        Method: each pair."""
        none = str(self.none)
        there = f"unix:{none}"
        source = ("--exec", "false", "--from", there)
        for words, pair in (
                (("follow", self.r, *source), source[::2]),
                (("serve", self.r, *source), source[::2]),
                (("verify", self.r, *source), source[::2]),
                (("quarantine", self.r, "resync", "a", *source), source[::2]),
                (("flag", self.p, "alice", "INBOX", "1", "x"),
                 ("--remove", "--replace")),
                (("plan",), ("--dot", "--json")),
                (("tree", self.p, "alice"), ("--json", "--utf7")),
                (("import", self.p, "bob", "--maildir", none, "--mbox", none),
                 ("--maildir", "--mbox")),
                (("push", self.p, "alice", "imap://u@h", "--settle", "1",
                  "--folders-only"), ("--settle", "--folders-only")),
                (("send", self.p, "--listen", there, "--stop-fd", "3"),
                 ("--stop-fd", "--listen")),
                (("help", "--man", "--completion", "bash"),
                 ("--man", "--completion"))):
            self.refused(*words, *(() if pair[0] in words else pair),
                         status=USAGE, named=f"{' and '.join(pair)} exclude")

    def test_account(self):
        """Goal: an account that is not there is said in the same words by all
        verbs, with the store, and the command that lists those that are.
        Method: each verb that changes one."""
        entry = ("", "/shared/comment", "x")
        intent = "0" * 31 + "1"
        for verb, *rest in (("setquota", "--size", "1K"),
                            ("setmetadata", *entry),
                            ("setacl", "INBOX", "bob", "lr"),
                            ("subscribe", "A"), ("unsubscribe", "A"),
                            ("rename", "A>B"), ("set",), ("intent", "A>B"),
                            ("outcome", intent, "done"),
                            ("expunge", "INBOX", "1"),
                            ("account delete",), ("account rename", "carol")):
            self.refused(*verb.split(), self.p, "nobody", *rest,
                         status=FAILED, stdin="{}",
                         named=f'no account "nobody" in {self.p}; mbj accounts '
                         'lists them')

    def test_against(self):
        """Goal: what contradicts itself is refused, and an option that what is
        done with an account, or one that is there, has no use for.  Method:
        groups from behind the last one, a warning that never comes, options
        that are for another verb of account, another delimiter."""
        self.refused("log", self.p, "--from", "5", "--until", "3",
                     status=USAGE, named="--from 5 is behind --until 3")
        levels = ("--warning", "50", "--critical", "5")
        named = "--warning 50 is above --critical 5"
        self.refused("check", self.p, *levels, status=3, named=named)
        self.refused("status", self.p, "--watch", *levels, status=USAGE,
                     named=named)
        self.refused("serve", self.p, "--http", "127.0.0.1:1", *levels,
                     status=USAGE, named=named)
        for words, named in (
                (("create", self.p, "bob", "--remove-messages"),
                 "--remove-messages is for delete, not for create"),
                (("rename", self.p, "alice", "bob", "--fold-case"),
                 "--fold-case is for create, not for rename"),
                (("delete", self.p, "alice", "--delimiter", "."),
                 "--delimiter is for create, not for delete")):
            self.refused("account", *words, status=USAGE, named=named)
        (self.dir / "empty" / "cur").mkdir()
        for source in (("--mbox", self.file), ("--maildir", self.empty)):
            for words in (("--fold-case",), ("--delimiter", ".")):
                self.refused("import", self.p, "alice", *source, *words,
                             status=REFUSED, named=f'{words[0]}: account '
                             '"alice" is there')
        self.mbj("import", self.p, "alice", "--mbox", self.empty / "cur",
                 "--delimiter", "/")

    def test_dry(self):
        """Goal: init -n refuses what init refuses.  Method: a source that is
        not there, one without a snapshot, a directory without a parent."""
        for words, named in (((self.new, "--from-snapshot", self.none),
                              self.none),
                             ((self.new, "--from-snapshot", self.p), self.p),
                             ((self.none / "new",), self.none / "new")):
            for dry in ((), ("-n",)):
                self.refused("init", *words, *dry, status=FAILED, named=named)

    def test_url(self):
        """Goal: a URL that a push cannot use is named, without a password that
        it has.  Method: no URL, parts that are missing or must not be."""
        password = self.dir / "password"
        password.write_text("word")
        before = sorted(self.dir.iterdir())
        for url in ("nonsense", "imap://u@h:99999", "imaps://h", "http://a@h",
                    "imap://u@h/INBOX", "imap://u@h?query", ""):
            self.refused("push", self.p, "alice", url, "--password-file",
                         password, status=REFUSED, named=f'"{url}": ')
        for rest in ("h", "h:99999", "h/INBOX"):
            said = self.mbj("push", self.p, "alice", f"imap://u:s3:cr@t@{rest}",
                            "--password-file", password, status=REFUSED).err
            self.assertIn(f'"imap://u:...@{rest}": ', said)
        self.assertEqual(sorted(self.dir.iterdir()), before)

    def test_deliver(self):
        """Goal: what is wrong with the call of a delivery is 64, which no try
        mends, and not what is so of a message.  Method: an MTA's template
        whose variable is empty; a path that is too long."""
        for words, named in (
                (("n" * 5120, "alice"), "not 5120"),
                ((self.p, "alice", "--request-id", ""),
                 "--request-id is empty"),
                ((self.p, "alice", "--guid", ""), 'not ""'),
                ((self.p, "alice", "--guid", "a b"), 'not "a b"'),
                ((self.p, "alice", "--guid", "\u00e9"), 'not "\u00e9"'),
                ((self.p, "alice", "--guid", "g" * 256), "to 255")):
            self.refused("deliver", *words, stdin=b"x", status=os.EX_USAGE,
                         named=named)

    def test_idle_watch(self):
        """Goal: likewise of status and serve.  Method: what is for --watch, or
        for --http, without it."""
        for option in ("--every", "--warning", "--critical"):
            self.refused("status", self.p, option, "9", status=USAGE,
                         named=f"{option} is for --watch")
        for words in (("--http-open",), ("--http-name", "mail.example.org"),
                      ("--warning", "9"), ("--critical", "9")):
            self.refused("serve", self.p, *words, status=USAGE,
                         named=f"{words[0]} is for --http")

    def test_idle_serve(self):
        """Goal: likewise of what is for the source of a service, its replicas
        or its house.  Method: without them, and by a socket what is for
        TLS."""
        there = f"unix:{self.none}"
        tls = ("--tls-dir", self.dir)
        for words in (tls, (*tls, "--replicas", there),
                      (*tls, "--from", there), (*tls, "--exec", "false")):
            self.refused("serve", self.r, *words, status=USAGE,
                         named="--tls-dir is for --from tls:HOST:PORT or "
                         "--replicas tls:HOST:PORT")
        for words, others in (
                (("--name", "far"), "--exec or --from"),
                (("--compress", "zstd"), "--exec or --from"),
                (("--rate", "1M"), "--exec, --from or --replicas"),
                (("--compress-max", "off"), "--replicas"),
                (("--keep-days", "1"), "--keep-house"),
                (("--keep-bytes", "1"), "--keep-house"),
                (("--keep-requests", "1"), "--keep-house")):
            self.refused("serve", self.p, *words, status=USAGE,
                         named=f"{words[0]} is for {others}")

    def test_name(self):
        """Goal: a name that a replica cannot have is said, with what it can.
        Method: too long, of control characters, an id."""
        for name in ("n" * 256, "a\tb", "0" * 32):
            self.refused("follow", self.r, "--from", f"unix:{self.none}",
                         "--name", name, status=USAGE,
                         named=f'and no id, not "{name[:1]}')

    def test_until(self):
        """Goal: --until 0 is not the end, as of a script that counts down;
        no group is 0.  Method: nothing is replayed, restored or shown."""
        backup = self.dir / "backup"
        self.mbj("backup", self.p, backup)
        for words in (("replay", self.p, self.r), ("log", self.p),
                      ("restore", backup, self.new)):
            self.refused(*words, "--until", "0", status=USAGE,
                         named="--until wants a group, from 1 on")
        for words, option in ((("log", self.p), "--from"),
                              (("quarantine", self.r, "skip", "a"),
                               "--acknowledge")):
            self.refused(*words, option, "0", status=USAGE,
                         named=f"{option} wants a group, from 1 on")
        self.assertEqual(self.mbj("log", self.r).out, "")

    def test_zero(self):
        """Goal: 0 is not taken for the default where it would be no number of
        what an option counts, as of a timeout that somebody wants to have
        none.  Method: each, of each verb; --keep-house has one."""
        there = f"unix:{self.none}"
        for words in (("serve", self.p, "--timeout"),
                      ("serve", self.p, "--connections"),
                      ("serve", self.p, "--waiters"),
                      ("serve", self.p, "--keep-recent"),
                      ("serve", self.p, "--http", "127.0.0.1:1", "--critical"),
                      ("send", self.p, "--timeout"),
                      ("send", self.p, "--stop-fd"),
                      ("send", self.p, "--tls-dir", self.dir, "--door-fd"),
                      ("send", self.p, "--listen", there, "--connections"),
                      ("follow", self.r, "--from", there, "--timeout"),
                      ("clone", self.new, "--from", there, "--timeout"),
                      ("verify", self.r, "--from", there, "--within"),
                      ("verify", self.r, "--from", there, "--share"),
                      ("status", self.p, "--watch", "--every"),
                      ("status", self.p, "--watch", "--warning"),
                      ("reconcile", self.p, "alice", "--as-of")):
            for zero in ("0", "00"):
                self.refused(*words, zero, status=USAGE,
                             named=f'{words[-1]} wants a number from 1 on, '
                             f'not "{zero}"')
        for size in ("0", "0K", "", "1Q", "16777216T", "-1", "1 M"):
            self.refused("serve", self.p, "--keep-free", size, status=USAGE,
                         named='--keep-free wants bytes, 1 at least, maybe with '
                         f'K, M, G or T behind them, not "{size}"')
        self.refused("check", self.p, "--warning", "0", status=3,
                     named="--warning wants a number from 1 on")
        self.refused("serve", self.none, "--keep-house", "0", status=FAILED,
                     named=f"{self.none} is not a store")

    def test_large(self):
        """Goal: a number that is too large is said to be, with its option and
        the most that there is.  Method: one above it, each."""
        more = 1 << 31
        there = f"unix:{self.none}"
        for words, most in (
                (("send", self.p, "--timeout"), more - 1),
                (("send", self.p, "--stop-fd"), more - 1),
                (("send", self.p, "--listen", there, "--connections"), None),
                (("follow", self.r, "--from", there, "--timeout"), more - 1),
                (("clone", self.new, "--from", there, "--timeout"), more - 1),
                (("verify", self.r, "--from", there, "--within"), more - 1),
                (("verify", self.r, "--from", there, "--share"), 100),
                (("status", self.p, "--watch", "--every"), 86400),
                (("serve", self.p, "--keep-house"), more // 1000),
                (("serve", self.p, "--connections"), 65536),
                (("serve", self.p, "--waiters"), "256, half of --connections"),
                (("serve", self.p, "--connections", "9", "--waiters"), 4),
                (("serve", self.p, "--connections", "1", "--waiters"), 1),
                (("serve", self.p, "--timeout"), more - 1),
                (("serve", self.p, "--keep-recent"), (1 << 32) // 1000)):
            said = self.mbj(*words, more, status=USAGE).err
            self.assertIn(f"{words[-1]} is at most {most or ''}", said)
            self.assertIn(f", not {more}", said)
        self.refused("serve", self.p, "--connections", "65537", status=USAGE,
                     named="--connections is at most 65536, not 65537")
        self.assertFalse(self.new.exists())

    def test_push(self):
        """Goal: a push without its password, or what it was told to read,
        leaves no file beside the store.  Method: none, missing, a folder."""
        before = sorted(self.dir.iterdir())
        words = ("push", self.p, "alice", "imap://u@127.0.0.1:1")
        self.refused(*words, status=REFUSED, named="--password-file")
        for option in ("--password-file", "--ca-file"):
            for path in (self.none, self.empty):
                self.refused(*words, option, path, status=FAILED, named=path)
        self.assertEqual(sorted(self.dir.iterdir()), before)

    def test_push_server(self):
        """Goal: a server that is written otherwise is the same one, and what
        was pushed to it is known.  Method: the host's case, that nobody is
        there; at the end another user, whose case counts."""
        password = self.dir / "password"
        password.write_text("word")
        for url, count in (("imap://u@localhost:1", 1),
                           ("imap://u@LocalHost:1", 1),
                           ("imap://U@localhost:1", 2)):
            self.mbj("push", self.p, "alice", url, "--password-file", password,
                     status=FAILED)
            self.assertEqual(len(list(self.dir.glob("*.push-*.lock"))), count)


if __name__ == "__main__":
    unittest.main()
