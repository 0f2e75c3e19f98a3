"""An IMAP server of a dictionary, whose answers a test may bend: servers are
not all like those that can be installed."""
import contextlib
import re
import socketserver
import threading

STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


LITERAL = re.compile(r"\{([0-9]+)(\+?)\}$")
DATE = re.compile(r'"([ 0-9][0-9]-[A-Z][a-z]{2}-[^"]*)"')


class Box:
    def __init__(self, number, messages=0):
        self.number = number  # of all mailboxes ever: it stays with this one
        self.validity, self.messages = number, messages
        self.mail, self.last = {}, 0  # UID to [flags, date, body]

    @property
    def uidnext(self):
        return max(self.messages, self.last) + 1

    def put(self, body, flags=(), date=None):
        self.last = self.uidnext
        self.mail[self.last] = [set(flags), date, body]
        self.messages += 1
        return self.last

    def uids(self, text):
        """Those of a UID set."""
        found = set()
        for part in text.split(","):
            first, _, last = part.partition(":")
            last = max(self.mail, default=0) if last == "*" \
                else int(last or first)
            first, last = sorted((int(first), last))
            found |= {u for u in self.mail if first <= u <= last}
        return sorted(found)


class Handler(socketserver.StreamRequestHandler):
    body = None

    def say(self, *lines):
        self.wfile.write("".join(f"{line}\r\n" for line in lines)
                         .encode("latin-1"))

    def literal(self, found):
        """False: the server goes away in the midst of it."""
        size, cut = int(found.group(1)), self.server.cut_literal
        if not found.group(2):
            self.say("+ go on")
        if cut is not None and cut < size:
            self.rfile.read(cut)
            return False
        self.body = self.rfile.read(size).decode("latin-1")
        return bool(self.rfile.readline())

    def handle(self):
        with contextlib.suppress(OSError):
            if self.server.is_down:
                return
            self.say("* OK ready")
            for line in self.rfile:
                tag, _, command = line.decode().strip().partition(" ")
                word = command.split(" ")[0].upper()
                if word == "AUTHENTICATE":
                    if len(command.split(" ")) < 3:
                        self.say("+ ")
                        self.rfile.readline()
                    self.say(tag + " OK")
                    continue
                literal = LITERAL.search(command)
                if literal:
                    if not self.literal(literal):
                        self.server.is_down = not self.server.is_back
                        return
                    command = command[:literal.start()]
                self.server.commands.append(command)
                self.server.body = self.body
                answers = self.server.answer(word, command)
                if not isinstance(answers, list):
                    for line in answers:  # without an end
                        self.say(line)
                if None in answers:
                    self.server.is_down = not self.server.is_back
                self.say(*[a.replace("TAG", tag, 1) for a in answers if a])
                if None in answers:
                    return


class Server(socketserver.ThreadingTCPServer):
    """bend(word, names) may answer in its place: lines, where TAG is the tag,
    and None cuts the connection.  The flags are what some servers do."""
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, has_ids=False, is_renumbering=False, is_shallow=False):
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]
        self.has_ids, self.is_renumbering = has_ids, is_renumbering
        self.is_shallow = is_shallow  # RENAME leaves what is below
        self.commands, self.subscribed, self.boxes = [], set(), {}
        self.bend = lambda word, names: None
        self.count = 0
        self.capabilities = "UIDPLUS LITERAL+"
        self.cut_literal = None  # bytes of one, and the server goes away
        self.is_back = False  # at once, after a cut; else once a test says so
        self.is_down = False
        self.body = self.selected = None
        self.add("INBOX")
        threading.Thread(target=self.serve_forever, args=(.01,),
                         daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()

    def add(self, name, messages=0):
        self.count += 1
        self.boxes[name] = Box(1000 + self.count, messages)

    def numbers(self):
        return {name: box.number for name, box in self.boxes.items()}

    def answer(self, word, command):
        names = [re.sub(r"\\(.)", r"\1", s) for s in STRING.findall(command)]
        bent = self.bend(word, names)
        if bent is not None:
            return bent
        if word in ("UID", "APPEND"):
            return getattr(self, "say_" + word.lower())(command)
        do = getattr(self, "do_" + word.lower(), None)
        return do(*names) if do else ["TAG OK"]

    def do_capability(self):
        return ["* CAPABILITY IMAP4rev1 AUTH=PLAIN"
                + (" OBJECTID" if self.has_ids else "")
                + " " + self.capabilities, "TAG OK"]

    def do_list(self, _, pattern):
        if not pattern:
            return [r'* LIST (\Noselect) "/" ""', "TAG OK"]
        places = {name[:at] for name in self.boxes
                  for at, c in enumerate(name) if c == "/"} - set(self.boxes)
        return [f'* LIST ({"" if n in self.boxes else chr(92) + "Noselect"})'
                f' "/" "{n}"' for n in sorted(places | set(self.boxes))
                if n == pattern or pattern[-1] == "*"
                and n.startswith(pattern[:-1])] + ["TAG OK"]

    def do_lsub(self, *_):
        return [f'* LSUB () "/" "{n}"' for n in sorted(self.subscribed)
                ] + ["TAG OK"]

    def do_status(self, name):
        box = self.boxes.get(name)
        if box is None:
            return ["TAG NO there is none"]
        return [f'* STATUS "{name}" (MESSAGES {box.messages} UIDNEXT '
                f'{box.uidnext} UIDVALIDITY {box.validity})', "TAG OK"]

    def do_examine(self, name):
        self.selected = box = self.boxes.get(name)
        if box is None:
            return ["TAG NO there is none"]
        return [f"* {box.messages} EXISTS",
                f"* OK [UIDVALIDITY {box.validity}] x",
                f"* OK [UIDNEXT {box.uidnext}] x",
                f"* OK [MAILBOXID (F{box.number})] x", "TAG OK"]

    def do_select(self, name):
        flags = r"* OK [PERMANENTFLAGS (\Seen \Deleted known \*)] x"
        return [flags, *self.do_examine(name)]

    def say_append(self, command):
        name = STRING.search(command).group(1)
        if name not in self.boxes:
            return ["TAG NO [TRYCREATE] there is none"]
        box, date = self.boxes[name], DATE.search(command)
        flags = re.search(r"\(([^)]*)\)", command).group(1).split()
        uid = box.put(self.body, flags, date and date.group(1))
        code = f"[APPENDUID {box.validity} {uid}] " \
            if "UIDPLUS" in self.capabilities else ""
        return [f"* {box.messages} EXISTS", f"TAG OK {code}done"]

    def say_uid(self, command):
        _, word, uids, *rest = command.split(" ", 3)
        box, answers = self.selected, []
        for number, uid in enumerate(box.uids(uids), 1):
            flags, _, body = box.mail[uid]
            if word == "EXPUNGE":
                if "\\Deleted" in flags:
                    del box.mail[uid]
                    box.messages -= 1
                    answers.append(f"* {number} EXPUNGE")
            elif word == "STORE":
                given = set(rest[0].split("(")[1].strip(")").split())
                box.mail[uid][0] = flags | given if rest[0][0] == "+" \
                    else given
            elif "BODY" in rest[0]:
                at, count = map(int, re.search(
                    r"<(\d+)\.(\d+)>", rest[0]).groups())
                piece = body[at:at + count]
                size = f"RFC822.SIZE {len(body)} " \
                    if "SIZE" in rest[0] else ""
                answers.append(f"* {number} FETCH (UID {uid} {size}BODY[]<{at}> "
                               f"{{{len(piece)}}}\r\n{piece})")
            else:
                answers.append(f"* {number} FETCH (UID {uid} RFC822.SIZE "
                               f"{len(body)})")
        return answers + ["TAG OK"]

    def do_create(self, name):
        if name in self.boxes:
            return ["TAG NO it is there"]
        self.add(name)
        return ["TAG OK"]

    def do_delete(self, name):
        return ["TAG NO there is none" if self.boxes.pop(name, None) is None
                else "TAG OK"]

    def do_rename(self, old, new):
        if old not in self.boxes or new in self.boxes:
            return ["TAG NO it cannot be"]
        for name in sorted(self.boxes):
            if name == old or (name.startswith(old + "/")
                               and not self.is_shallow):
                box = self.boxes.pop(name)
                if self.is_renumbering:
                    self.count += 1
                    box.validity = 1000 + self.count
                self.boxes[new + name[len(old):]] = box
        return ["TAG OK"]

    def do_subscribe(self, name):
        self.subscribed.add(name)
        return ["TAG OK"]

    def do_unsubscribe(self, name):
        self.subscribed.discard(name)
        return ["TAG OK"]
