"""What the tests of import and export share: Maildirs as Dovecot writes them,
made and read again by a model that shares nothing with the command."""
import base64
import datetime
import hashlib
import os
import pathlib

LETTERS = {"D": "\\Draft", "F": "\\Flagged", "R": "\\Answered", "S": "\\Seen",
           "T": "\\Deleted"}


def utf7(name):
    """Modified UTF-7 of RFC 3501."""
    out, wide = "", ""

    def flush():
        if not wide:
            return ""
        text = base64.b64encode(wide.encode("utf-16-be")).decode()
        return "&" + text.rstrip("=").replace("/", ",") + "-"
    for c in name:
        if " " <= c <= "~":
            out += flush() + ("&-" if c == "&" else c)
            wide = ""
        else:
            wide += c
    return out + flush()


class Message:
    def __init__(self, body, time, flags="", words=(), uid=None, is_new=False):
        self.body, self.time, self.flags = body, time, flags
        self.words, self.uid, self.is_new = list(words), uid, is_new
        self.base = None


class Folder:
    def __init__(self, path, messages=(), uidvalidity=None, uidnext=None,
                 guid=None, is_subscribed=False):
        self.path, self.messages = path, list(messages)
        self.uidvalidity, self.uidnext = uidvalidity, uidnext
        self.guid, self.is_subscribed = guid, is_subscribed

    def directory(self, root):
        if self.path == ["INBOX"]:
            return root
        return root / ("." + ".".join(utf7(p) for p in self.path))

    def write(self, root):
        where = self.directory(root)
        for part in ("cur", "new", "tmp"):
            (where / part).mkdir(parents=True, exist_ok=True)
        words = sorted({w for m in self.messages for w in m.words})
        if words:
            (where / "dovecot-keywords").write_text(
                "".join(f"{i} {w}\n" for i, w in enumerate(words)))
        lines = []
        for number, message in enumerate(self.messages):
            message.base = (f"{message.time}.M{number:06d}P1.host,"
                            f"S={len(message.body)}")
            name = message.base
            letters = message.flags + "".join(
                chr(97 + words.index(w)) for w in sorted(message.words))
            if letters or not message.is_new:
                name += ":2," + letters
            path = where / ("new" if message.is_new else "cur") / name
            path.write_bytes(message.body)
            os.utime(path, (message.time, message.time))
            if message.uid:
                lines.append((message.uid, message.base))
        if self.uidvalidity:
            head = f"3 V{self.uidvalidity} N{self.next()}"
            if self.guid:
                head += f" G{self.guid}"
            (where / "dovecot-uidlist").write_text(head + "\n" + "".join(
                f"{u} :{b}\n" for u, b in sorted(lines)))

    def next(self):
        last = max([m.uid for m in self.messages if m.uid] or [0])
        return max(self.uidnext or 1, last + 1)

    def kept(self):
        """What an import must make of it."""
        listed = sorted((m for m in self.messages
                         if m.uid and self.uidvalidity), key=lambda m: m.uid)
        others = sorted((m for m in self.messages if m not in listed),
                        key=lambda m: (m.time, m.base.encode()))
        uid = self.next() if self.uidvalidity else 1
        rows = [(m.uid, m) for m in listed]
        rows += [(uid + i, m) for i, m in enumerate(others)]
        return {
            "uidValidity": self.uidvalidity,
            "uidNext": uid + len(others),
            "isSubscribed": self.is_subscribed,
            "messages": [
                (u, hashlib.sha256(m.body).hexdigest(), len(m.body), m.time,
                 sorted([LETTERS[f] for f in m.flags] + m.words))
                for u, m in rows]}


def write(root, folders, gone=()):
    """A whole Maildir++; gone are subscriptions of what is not there."""
    for folder in folders:
        folder.write(root)
    names = [f.path for f in folders if f.is_subscribed]
    names += [[g] for g in gone]
    if names:
        (root / "subscriptions").write_text(
            "V\t2\n\n" + "".join("\t".join(utf7(p) for p in n) + "\n"
                                 for n in names))


def draw(rng, folders_max=8, messages_max=12):
    """A random Maildir: names of every kind, UIDs with gaps or none."""
    pieces = ["a", "B", "Ω", "&", "-", " x", "ü", "📧", "~", "'", "+,"]
    paths, folders = [["INBOX"]], []
    for _ in range(rng.randrange(folders_max)):
        above = rng.choice(paths + [[]])
        name = "".join(rng.choices(pieces, k=rng.randrange(1, 4))).strip()
        if above + [name] not in paths and len(above) < 5 and name:
            paths.append(above + [name])
    words = ["$Forwarded", "work", "x-1", "NonJunk"]
    for number, path in enumerate(paths):
        if len(path) > 1 and rng.random() < 0.2:
            continue  # a place in a path, or nothing
        uid, messages = 0, []
        for _ in range(rng.randrange(messages_max)):
            uid += rng.randrange(1, 5)
            messages.append(Message(
                rng.choice([b"same\n", rng.randbytes(rng.randrange(1, 300))]),
                rng.randrange(0, 2_000_000_000),
                "".join(sorted(rng.sample("DFRST", rng.randrange(6)))),
                rng.sample(words, rng.randrange(len(words) + 1)),
                uid if rng.random() < 0.8 else None, rng.random() < 0.2))
        has_list = rng.random() < 0.8
        folders.append(Folder(
            path, messages, 1000 + number if has_list else None,
            rng.randrange(1, 90), f"{rng.randrange(1, 1 << 128):032x}",
            rng.random() < 0.5))
    return folders


def unixtime(text):
    """Seconds since 1970 of a receivedAt."""
    return int(datetime.datetime.fromisoformat(
        text.replace("Z", "+00:00")).timestamp())


def kept(case, store=None, name="alice"):
    """What an account holds, in the words of Folder.kept."""
    result = {}
    for path, row in case.by_path(store, name).items():
        if not row["isSelectable"]:
            continue
        box = case.mbj("messages", "--json", "--", store or case.p, name,
                       path).json()
        result[path] = {
            "uidValidity": box["uidValidity"], "uidNext": box["uidNext"],
            "isSubscribed": row["isSubscribed"],
            "messages": [(m["uid"], m["blobId"], m["size"],
                          unixtime(m["receivedAt"]), sorted(m["flags"]))
                         for m in box["messages"]]}
    return result


def snapshot(root):
    """All of a directory: {relative path: (bytes, mtime)}."""
    root = pathlib.Path(root)
    return {str(p.relative_to(root)): (p.read_bytes(), int(p.stat().st_mtime)
                                       if p.parent.name == "cur" else 0)
            for p in sorted(root.rglob("*")) if p.is_file()}
