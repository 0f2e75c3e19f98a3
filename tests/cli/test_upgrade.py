#!/usr/bin/env python3
"""Whole stores that earlier versions wrote, and what newer ones would write.

    upgrade/VERSION.tar.gz  stores as they were left, without what is derived
        primary     all that the verbs make, its journal from group 1, a
                    snapshot in the middle, a register of replicas
        trimmed     a primary whose journal begins behind group 1: what was
                    before is in its snapshot alone
        replica     of that primary, with an account that was aside once
        backup      of that primary
    upgrade/VERSION.json    what they meant then

MBJ_BLESS=1 adds those of the current version; one that is there is never
written again.  Journals alone, byte by byte, are in tests/golden.
"""
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import (A, Case, DIVERGE, MBJ, PARTIAL, REFUSED,  # noqa: E402
                     ROWS, crc32c, listing, mailbox_id, truth)

HERE = pathlib.Path(__file__).parent / "upgrade"
SEGMENTS = os.environ.get("MBJ_SEGMENTS")
STORES = ("primary", "trimmed", "replica", "backup")
DERIVED = ("state", "lock", "socket", "reserve")
TRIM = ("--keep-days", "0", "--keep-requests", "1")
WHEN = 1767225600  # 2026-01-01, of all files


def version():
    said = subprocess.run([MBJ, "version"], capture_output=True, check=True)
    return ".".join(said.stdout.decode().split()[1].split(".")[:2])


def lacks(recorded, found, where="all"):
    """What was said then has to be said now; more may be."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        for key, value in recorded.items():
            if key not in found:
                return f"{where}.{key} is gone"
            why = lacks(value, found[key], f"{where}.{key}")
            if why:
                return why
        return None
    if isinstance(recorded, list) and isinstance(found, list):
        if len(recorded) != len(found):
            return f"{where}: {len(found)} instead of {len(recorded)}"
        for at, pair in enumerate(zip(recorded, found)):
            why = lacks(*pair, f"{where}[{at}]")
            if why:
                return why
        return None
    return None if recorded == found else f"{where}: {found!r}, not {recorded!r}"


def everything(store):
    """All files of a store but those that are derived."""
    return {str(file.relative_to(store)): file.read_bytes()
            for file in sorted(store.rglob("*")) if file.is_file() and
            file.relative_to(store).parts[0] not in DERIVED}


class Making(Case):
    """Stores that have everything once."""

    def setUp(self):
        super().setUp()
        if not SEGMENTS or not DIVERGE:
            self.skipTest("MBJ_SEGMENTS and MBJ_DIVERGE name no programs")

    def unpacked(self, path):
        target = self.dir / path.name
        with tarfile.open(path) as tar:
            tar.extractall(target)
        return {name: target / name for name in STORES}

    def messages_make(self, store):
        for number, body in enumerate((b"Subject: one\n\n1\n",
                                       b"Subject: two\n\n\xff\0\n" + b"x" * 999,
                                       b"\n", b"Subject: one\n\n1\n")):
            self.mbj("deliver", store, "alice", "--request-id", f"q{number}",
                     stdin=body)
        self.mbj("flag", store, "alice", "INBOX", "1:2", "\\Seen", "$Forwarded")
        self.mbj("flag", store, "alice", "INBOX", "2", "\\Seen", "--remove")
        self.mbj("mv", store, "alice", "INBOX", "2", "A", "--copy")
        self.mbj("mv", store, "alice", "INBOX", "3", "B")
        self.mbj("expunge", store, "alice", "INBOX", "4")

    def metadata_make(self, store):
        self.mbj("setacl", store, "alice", "A", "bob", "lrs")
        self.mbj("setacl", store, "alice", "A", "--", "bob", "-s")
        self.mbj("setmetadata", store, "alice", "B", "/shared/comment", "b")
        self.mbj("setmetadata", store, "alice", "", "/private/vendor/x/y", "z")
        self.mbj("setquota", store, "alice", "--messages", "1000", "--size",
                 "1G")
        self.mbj("subscribe", store, "alice", "A", "Elsewhere/\N{DIGIT ONE}")

    def trees_make(self, store):
        self.mbj("rename", store, "alice", "A>B", "B>A")
        self.mbj("rename", store, "alice", "INBOX>Old")
        self.mbj("set", store, "alice", stdin={
            "create": {"k": {"name": "\N{SNOWMAN}", "parentId": A}},
            "update": {A: {"name": "Arch\N{LATIN SMALL LETTER I WITH ACUTE}v",
                           "role": "archive"}}})
        self.mbj("account", "create", store, "bob", "--fold-case",
                 "--delimiter", ".")
        self.mbj("deliver", store, "bob", stdin=b"to bob\n")
        self.mbj("account", "rename", store, "bob", "robert")
        self.mbj("import", store, "carol", stdin=listing(ROWS[:2]))
        self.mbj("reconcile", store, "carol", stdin=listing(
            [*ROWS[:1], (mailbox_id(20), "New", None)]))
        self.mbj("account", "create", store, "dave")
        self.mbj("account", "delete", store, "dave")

    def intents_make(self, store):
        for outcome in ("done", "failed", None):
            made = self.mbj("intent", store, "carol", "New>Newer",
                            "--producer", "lmtp", "--json").json()
            if outcome is not None:
                self.mbj("outcome", store, "carol", made["id"], outcome)
            if outcome == "done":
                self.mbj("rename", store, "carol", "Newer>New")

    def replica_make(self, primary, replica):
        """Erin is aside there, and is made again from a snapshot."""
        self.mbj("import", primary, "erin", stdin=listing(ROWS))
        self.mbj("clone", replica, "--name", "far", "--exec",
                 f"{MBJ} send {primary}")
        subprocess.run([DIVERGE, str(replica), "erin", A, "elsewhere"],
                       check=True)
        self.mbj("rename", primary, "erin", "A>Z")
        self.mbj("replay", primary, replica, status=PARTIAL)
        self.mbj("snapshot", primary)
        self.mbj("quarantine", replica, "resync", "erin", "--from", primary)
        self.mbj("replay", primary, replica)

    def make(self, directory):
        stores = {name: directory / name for name in STORES}
        primary = stores["primary"]
        self.mbj("init", primary, "--role", "primary")
        self.mbj("import", primary, "alice", stdin=listing(ROWS))
        self.messages_make(primary)
        self.metadata_make(primary)
        self.trees_make(primary)
        self.intents_make(primary)
        self.replica_make(primary, stores["replica"])
        self.mbj("deliver", primary, "alice", stdin=b"behind the snapshot\n")
        self.mbj("replay", primary, stores["replica"])
        self.mbj("backup", primary, stores["backup"])
        trimmed = stores["trimmed"]
        self.mbj("init", trimmed, "--role", "primary")
        self.mbj("import", trimmed, "alice", stdin=listing(ROWS))
        self.messages_make(trimmed)
        self.metadata_make(trimmed)
        self.mbj("intent", trimmed, "alice", "B>Q")
        subprocess.run([SEGMENTS, str(trimmed), "alice", "B", "40"],
                       check=True)
        self.mbj("trim", trimmed, *TRIM)
        self.mbj("deliver", trimmed, "alice", "B", stdin=b"behind it\n")
        return stores


class Upgrade(Making):
    # ------------------------------------------------------ what a store means

    def asked(self, verb, *arguments):
        return self.mbj(verb, *arguments, "--json").json()

    def mailbox_describe(self, store, account, path):
        said = {verb: self.asked(verb, store, account, path)
                for verb in ("messages", "acl", "metadata")}
        said["texts"] = {
            str(m["uid"]): self.mbj("cat", store, account, path, m["uid"]).out
            for m in said["messages"]["messages"]}
        return said

    def account_describe(self, store, name):
        said = {verb: self.asked(verb, store, name)
                for verb in ("tree", "quota", "subscriptions", "intents")}
        for intent in said["intents"]["list"]:
            del intent["age"]
        said["metadata"] = self.asked("metadata", store, name, "")
        said["mailboxes"] = {path: self.mailbox_describe(store, name, path)
                             for path in self.by_path(store, name)}
        return said

    def describe(self, store):
        said = {"accounts": self.asked("accounts", store),
                "log": self.asked("log", store)}
        said["of"] = {account["name"]: self.account_describe(store,
                                                             account["name"])
                      for account in said["accounts"]["list"]}
        return said

    def describe_all(self, stores):
        return {
            "primary": self.describe(stores["primary"]),
            "trimmed": self.describe(stores["trimmed"]),
            "audit": self.asked("quarantine", stores["replica"], "audit"),
            "replicas": [{key: replica[key]
                          for key in ("instance", "name", "received")}
                         for replica in self.asked("replicas", stores[
                             "primary"])["list"]],
        }

    # ------------------------------------------------------------------ bless

    def pack(self, stores, path):
        """The same stores are the same bytes."""
        def plain(info):
            if info.name.split("/")[1:2] and \
                    info.name.split("/")[1] in DERIVED:
                return None
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mtime = WHEN
            return info
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            for name, store in stores.items():
                tar.add(store, name, filter=plain)
        path.write_bytes(packed.getvalue())

    def test_has_this_version(self):
        """Goal: no version is released without its stores.  Method: those of
        the current version are there; with MBJ_BLESS set they are made where
        they are not."""
        name = version()
        path = HERE / f"{name}.tar.gz"
        if not path.exists() and os.environ.get("MBJ_BLESS"):
            stores = self.make(self.dir)
            said = self.describe_all(stores)
            (HERE / f"{name}.json").write_text(
                json.dumps(said, indent=0, sort_keys=True) + "\n")
            self.pack(stores, path)
        self.assertTrue(path.exists(),
                        f"{path} is missing: MBJ_BLESS=1 writes it")

    # -------------------------------------------------------------- old stores

    def versions(self):
        paths = sorted(HERE.glob("*.tar.gz"))
        self.assertTrue(paths)
        for path in paths:
            recorded = json.loads((HERE / path.name.replace(
                ".tar.gz", ".json")).read_text())
            yield self.unpacked(path), recorded

    def means(self, recorded, found):
        self.assertIsNone(lacks(recorded, found))

    def replays(self, store, *options):
        """It makes a new replica, which has every byte of it."""
        replica = store.with_name(store.name + "-replica")
        self.mbj("init", replica, "--role", "replica", *options)
        self.mbj("replay", store, replica)
        self.mbj("verify", "--deep", store, replica)

    def test_old_stores(self):
        """Goal: what an earlier version wrote means what it meant: the journal
        with its snapshot, without it, and a snapshot whose journal was trimmed;
        all messages are there, replicas are made of it, and it goes on.
        Method: the stores of each version, without a state."""
        for stores, recorded in self.versions():
            before = {name: truth(store) for name, store in stores.items()}
            found = self.describe_all(stores)
            self.means(recorded, found)
            for name, store in stores.items():
                self.mbj("fsck", "--deep", store)
                self.assertEqual(truth(store), before[name])
            primary, trimmed = stores["primary"], stores["trimmed"]
            self.assertGreater(found["trimmed"]["log"]["groups"][0]["lsn"], 1)
            for store in (primary, trimmed):
                self.assertIn("from the snapshot of group",
                              self.mbj("fsck", store, "--rebuild").err)
            self.replays(primary)
            self.replays(trimmed, "--from-snapshot", trimmed)
            for name in ("replica", "backup"):
                self.mbj("verify", "--deep", primary, stores[name])
            self.mbj("restore", stores["backup"], self.dir / "restored")
            self.mbj("verify", "--deep", primary, self.dir / "restored")
            shutil.rmtree(primary / "snapshots")
            self.assertIn("again from the journal",
                          self.mbj("fsck", primary, "--rebuild").err)
            self.means(recorded["primary"]["accounts"],
                       self.asked("accounts", primary))
            self.mbj("verify", "--deep", primary, stores["replica"])
            self.goes_on(primary, stores["replica"])

    def goes_on(self, primary, replica):
        """What was asked of the old version is known, and new things are
        taken."""
        end = self.asked("status", primary)["journalEnd"]
        again = self.mbj("deliver", primary, "alice", "--request-id", "q1",
                         "--json", stdin=b"Subject: two\n\n\xff\0\n" +
                         b"x" * 999).json()
        self.assertEqual(again["uid"], 2)
        self.assertEqual(self.asked("status", primary)["journalEnd"], end)
        self.mbj("deliver", primary, "alice", stdin=b"new\n")
        self.mbj("replay", primary, replica)
        self.mbj("verify", "--deep", primary, replica)


class Newer(Making):
    """What a newer version would write."""

    def put(self, path, at, value, size):
        """A number in a head whose last four bytes are its checksum."""
        data = bytearray(path.read_bytes())
        data[at:at + 4] = value.to_bytes(4, "little")
        data[size - 4:size] = crc32c(data[:size - 4]).to_bytes(4, "little")
        path.write_bytes(data)

    def refused(self, file, *arguments):
        said = self.mbj(*arguments, status=REFUSED).err
        self.assertIn(file.name, said)
        self.assertRegex(said, "this program (knows|does not know)")
        self.assertNotRegex(said, "damage|checksum")

    def bent(self, store, file, changes, *refused):
        """Each change by itself, and what refuses it."""
        good = file.read_bytes()
        for at, value, size in changes:
            self.put(file, at, value, size)
            before = everything(store)
            for arguments in refused:
                self.refused(file, *arguments)
                self.assertEqual(everything(store), before)
            file.write_bytes(good)

    def test_newer(self):
        """Goal: what a newer version wrote is refused, said to be newer and
        not damaged, the file is named, no byte of the store is changed, and no
        state is made of what is left.  Method: versions and flags that are not
        known in each kind of file, with good checksums; verbs that read, write,
        check, repair; as it was before, all is well."""
        for path in sorted(HERE.glob("*.tar.gz")):
            stores = self.unpacked(path)
            store, backup = stores["trimmed"], stores["backup"]
            segment, = store.glob("journal/*.seg")
            snapshot, = store.glob("snapshots/*.snap")
            asked = (("accounts", store), ("fsck", store),
                     ("account", "create", store, "zoe"),
                     ("fsck", store, "--rebuild"), ("fsck", store, "--repair"))
            for file, *changes in (
                    (store / "mbj.store", (8, 2, 256), (20, 1 << 31, 256)),
                    (segment, (8, 2, 128), (20, 1, 128)),
                    (snapshot, (8, 2, 256), (20, 2, 256), (24, 99, 256))):
                self.bent(store, file, changes, *asked)
                self.assertFalse((store / "state").exists())
            self.bent(backup, backup / "mbj.backup",
                      [(8, 2, 160), (20, 1, 160)],
                      ("restore", backup, self.dir / "x"))
            self.assertFalse((self.dir / "x").exists())
            for store in stores.values():
                self.mbj("fsck", "--deep", store)


if __name__ == "__main__":
    unittest.main()
