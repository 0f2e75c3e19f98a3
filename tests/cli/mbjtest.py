"""What the black-box tests of the mbj command share.

A test gets its own directory and runs the real command.  Plans are checked by
a simulation of their own that shares nothing with the library.
"""
import hashlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import unittest

MBJ = os.environ.get("MBJ", "mbj")
DIVERGE = os.environ.get("MBJ_DIVERGE")

OK, FAILED, USAGE, REFUSED, PARTIAL, LOCKED, CORRUPT = 0, 1, 2, 3, 4, 5, 6
TEMPORARY = 75


def mailbox_id(number):
    """A MAILBOXID that is easy to read in a failure."""
    return f"{number:032x}"


INBOX = mailbox_id(1)
A, B, C, D = (mailbox_id(n) for n in (10, 11, 12, 13))
ROWS = [(INBOX, "INBOX", None), (A, "A", None), (B, "B", None),
        (C, "C", A), (D, "D", B)]


def listing(rows):
    """A Mailbox/get list from (id, name, parentId) rows."""
    return {"list": [{"id": i, "name": n, "parentId": p} for i, n, p in rows]}


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def json(self):
        return json.loads(self.out)


def run(*arguments, stdin=None, timeout=120, env=None):
    """Run mbj; stdin may be bytes, str, or something to write as JSON."""
    if stdin is not None and not isinstance(stdin, (bytes, str)):
        stdin = json.dumps(stdin)
    if isinstance(stdin, str):
        stdin = stdin.encode()
    done = subprocess.run([MBJ, *map(str, arguments)], input=stdin or b"",
                          capture_output=True, timeout=timeout, env=env,
                          check=False)
    return Result(done.returncode, done.stdout.decode("utf-8", "replace"),
                  done.stderr.decode("utf-8", "replace"))


class PlanError(Exception):
    pass


def simulate(before, steps):
    """Apply a plan's steps to {id: (parentId, name)}, demanding every
    precondition; returns the tree after."""
    tree = dict(before)
    slots = {slot: i for i, slot in tree.items()}
    children = {}
    for parent, _ in tree.values():
        children[parent] = children.get(parent, 0) + 1
    for number, step in enumerate(steps):
        i, op = step["id"], step["op"]
        origin, target = step["from"], step["to"]
        where = f"step {number} ({op} {i})"
        if op == "create":
            if i in tree or origin is not None:
                raise PlanError(f"{where}: exists already")
        else:
            slot = (origin["parentId"], origin["name"])
            if tree.get(i) != slot:
                raise PlanError(f"{where}: is in {tree.get(i)}, not {slot}")
        if op == "delete":
            if children.get(i):
                raise PlanError(f"{where}: has children")
        if target is not None:
            slot = (target["parentId"], target["name"])
            if slots.get(slot, i) != i:
                raise PlanError(f"{where}: target {slot} is taken")
            if step["temp"] != (slot[0] == "temp"):
                raise PlanError(f"{where}: temp says {step['temp']}")
            above = slot[0]
            if above not in (None, "temp") and above not in tree:
                raise PlanError(f"{where}: no parent {above}")
            while above not in (None, "temp"):
                if above == i:
                    raise PlanError(f"{where}: would be below itself")
                above = tree[above][0]
        if i in tree:
            children[tree[i][0]] -= 1
            del slots[tree.pop(i)]
        if target is not None:
            tree[i] = slot
            slots[slot] = i
            children[slot[0]] = children.get(slot[0], 0) + 1
    if any(parent == "temp" for parent, _ in tree.values()):
        raise PlanError("something is still parked")
    return tree


def tree_of(document):
    return {m["id"]: (m["parentId"], m["name"]) for m in document["list"]}


class Content:
    """The bytes of a message in a store, to be damaged and mended."""

    def __init__(self, store, body):
        self.body = body
        digest = hashlib.sha256(body).hexdigest()
        self.file = store / "blobs" / digest[:2] / digest[2:]

    def put(self, at, byte):
        self.file.chmod(0o600)
        with self.file.open("r+b") as f:
            f.seek(at)
            f.write(bytes([byte]))

    def damage(self, at=0):
        """One byte becomes another one."""
        self.put(at, self.body[at] ^ 0x55)

    def mend(self, at=0):
        self.put(at, self.body[at])


class Case(unittest.TestCase):
    """A test with stores p (primary) and r (replica) in a new directory."""
    maxDiff = None

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="mbj-test-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.p = self.dir / "p"
        self.r = self.dir / "r"

    def mbj(self, *arguments, stdin=None, status=OK):
        result = run(*arguments, stdin=stdin)
        self.assertEqual(result.status, status,
                         f"mbj {' '.join(map(str, arguments))}\n"
                         f"out: {result.out[:2000]}\nerr: {result.err[:2000]}")
        if status != OK:
            self.assertTrue(result.err.strip(), "a failure says why")
        self.assertNotIn("assertion", result.err)
        return result

    def stores(self):
        self.mbj("init", self.p, "--role", "primary")
        self.mbj("init", self.r, "--role", "replica")

    def account(self, rows, name="alice", *options):
        self.stores()
        return self.mbj("import", self.p, name, *options, stdin=listing(rows))

    def tree(self, store=None, name="alice"):
        return tree_of(self.mbj("tree", store or self.p, name,
                                "--json").json())

    def by_path(self, store=None, name="alice"):
        """{path: mailbox, as listed} of an account."""
        document = self.mbj("tree", store or self.p, name, "--json").json()
        tree = tree_of(document)

        def path(i):
            names = []
            while i is not None:
                i, part = tree[i]
                names.append(part)
            return "/".join(reversed(names))
        return {path(m["id"]): m for m in document["list"]}

    def paths(self, store=None, name="alice"):
        """{path: id} of an account."""
        return {p: m["id"] for p, m in self.by_path(store, name).items()}

    def subscribed(self, store=None, name="alice"):
        """The paths of an account that are subscribed, sorted."""
        return sorted(p for p, m in self.by_path(store, name).items()
                      if m["isSubscribed"])

    def park(self):
        """Make alice's first mailbox of ROWS one whose next group parks."""
        if not DIVERGE:
            self.skipTest("MBJ_DIVERGE names no mbj_diverge")
        self.replay()
        subprocess.run([DIVERGE, str(self.r), "alice", A, "elsewhere"],
                       check=True)
        self.mbj("rename", self.p, "alice", "A>Z")

    def replay(self, status=OK):
        return self.mbj("replay", self.p, self.r, status=status)

    def agree(self):
        self.replay()
        self.mbj("verify", self.p, self.r)
        self.mbj("fsck", self.p)
        self.mbj("fsck", self.r)


def truth(store):
    """The bytes that a store's journal and superblock consist of."""
    files = [store / "mbj.store", *sorted((store / "journal").iterdir())]
    return {str(f.relative_to(store)): f.read_bytes() for f in files}


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def seed():
    """A seeded generator; the seed is printed and comes from MBJ_SEED."""
    value = int(os.environ.get("MBJ_SEED") or random.SystemRandom()
                .randrange(1 << 32))
    print(f"MBJ_SEED={value}", flush=True)
    return random.Random(value)
