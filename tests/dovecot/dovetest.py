"""A real Dovecot on a directory of its own, with the plugin, and the service
whose journal it fills.  Listens on a loopback port; as root the mail is
another user's, as anybody else everything is one's own."""
import collections
import imaplib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "cli"))
import mbjtest  # noqa: E402 (from the tests of the command)

DOVECOT = shutil.which("dovecot", path=os.environ.get("PATH", "") +
                       ":/usr/sbin:/usr/local/sbin")
DOVECOT_MODULES = pathlib.Path("/usr/lib/dovecot/modules")
PLUGIN = os.environ.get("MBJ_DOVECOT_PLUGIN", "")
APPLY = os.environ.get("MBJ_DOVECOT_APPLY", "")
MAIL_UID = 5000 if os.getuid() == 0 else os.getuid()
MAIL_GID = 5000 if os.getuid() == 0 else os.getgid()

CONFIG = """
base_dir = {d}/run
state_dir = {d}/state
log_path = {d}/log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain
first_valid_uid = {uid}
last_valid_uid = {uid}
first_valid_gid = {gid}
default_internal_user = {internal}
default_login_user = {login}
default_internal_group = {group}
mail_plugin_dir = {d}/modules
mail_plugins = mbj
mail_location = {location}
mail_max_userip_connections = 100
mail_fsync = never
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={d}/mail/%u
}}
namespace inbox {{
  inbox = yes
  prefix = {prefix}
  separator = {separator}
}}
{more}
plugin {{
  mbj_socket = {socket}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


def namespace(name, location, is_listed):
    """Settings of another one, whose prefix is its name."""
    return (f"namespace {name.lower()} {{\n  prefix = {name}/\n"
            f"  separator = /\n  location = {location}\n"
            f"  list = {'yes' if is_listed else 'no'}\n}}\n")


def can_run():
    return DOVECOT is not None and os.path.exists(PLUGIN)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Dovecot:
    """Begun by start, ended by stop; log is what it said."""

    def __init__(self, directory, service_socket, location, separator,
                 prefix, more):
        self.d = pathlib.Path(directory)
        self.port = free_port()
        self.process = None
        for name in ("run", "state", "modules/doveadm", "mail"):
            (self.d / name).mkdir(parents=True)
        for pattern in ("lib*_plugin.so", "doveadm/*_acl_plugin.so"):
            for module in DOVECOT_MODULES.glob(pattern):
                if "_mbj_" not in module.name:  # which is installed
                    (self.d / "modules" / module.relative_to(
                        DOVECOT_MODULES)).symlink_to(module)
        (self.d / "modules" / "lib95_mbj_plugin.so").symlink_to(PLUGIN)
        if APPLY:
            (self.d / "modules" / os.path.basename(APPLY)).symlink_to(APPLY)
        root = os.getuid() == 0
        names = ("dovecot", "dovenull", "dovecot")
        if root:
            os.chown(self.d / "mail", MAIL_UID, MAIL_GID)
        else:
            import grp
            import pwd
            me = pwd.getpwuid(os.getuid()).pw_name
            names = (me, me, grp.getgrgid(os.getgid()).gr_name)
        self.conf = self.d / "dovecot.conf"
        self.conf.write_text(CONFIG.format(
            d=self.d, uid=MAIL_UID, gid=MAIL_GID, internal=names[0],
            login=names[1], group=names[2], location=location,
            separator=separator, prefix=prefix, more=more,
            socket=service_socket, port=self.port))

    def start(self):
        for _ in range(5):
            if self.listens():
                return
            if "Address already in use" not in self.log():
                break
            # Somebody took a port after it was found free.
            self.stop()
            self.conf.write_text(re.sub(
                r"port = [1-9]\d*", lambda _: f"port = {free_port()}",
                self.conf.read_text()))
            self.port = self.port_of("imap")
        raise AssertionError(f"dovecot does not listen:\n{self.log()}")

    def port_of(self, listener):
        return int(re.search(rf"inet_listener {listener} {{\s*port = (\d+)",
                             self.conf.read_text()).group(1))

    def listens(self):
        self.process = subprocess.Popen([DOVECOT, "-F", "-c", self.conf],
                                        stderr=subprocess.DEVNULL)
        for _ in range(6000):
            if self.process.poll() is not None:
                return False
            if (self.d / "run" / "master.pid").exists():
                try:
                    socket.create_connection(
                        ("127.0.0.1", self.port)).close()
                    return True
                except OSError:
                    pass
            time.sleep(0.01)
        return False

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
            self.process = None

    def log(self, since=0):
        """What it said, from that byte of the file on."""
        try:
            with (self.d / "log").open("rb") as f:
                f.seek(since)
                return f.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def log_size(self):
        try:
            return (self.d / "log").stat().st_size
        except OSError:
            return 0

    def doveadm(self, *words):
        done = subprocess.run(["doveadm", "-c", self.conf, *words],
                              capture_output=True, check=False, timeout=200)
        return done.returncode, (done.stdout + done.stderr).decode()

    # By which a run of apply changes files.
    CALLS = ("write", "writev", "pwrite64", "rename", "link", "unlink", "mkdir",
             "rmdir", "ftruncate", "utime", "utimensat", "fsync", "fdatasync")

    def traced(self, user, *options):
        """Runs apply.  Returns: calls that change files, each with how many of
        its kind there were up to it."""
        log = self.d / "trace"
        subprocess.run(
            ["strace", "-o", log, "-e", "trace=" + ",".join(self.CALLS),
             *options, "doveadm", "-c", self.conf, "mbj", "apply", "-u", user],
            check=False, capture_output=True)
        counts = collections.Counter()
        points = []
        for call in re.findall(r"^(\w+)\(", log.read_text(), re.M):
            counts[call] += 1
            points.append((call, counts[call]))
        return points

    def keep_home(self, user):
        """A user's as it is, and a copy, to begin from again."""
        home, kept = self.d / "mail" / user, self.d / "kept"
        subprocess.run(["cp", "-a", home, kept], check=True)
        return home, kept

    def killed_before(self, home, kept, call, count):
        """A run from what was kept of a home, which ends before that call."""
        shutil.rmtree(home)
        subprocess.run(["cp", "-a", kept, home], check=True)
        self.traced(home.name, "-e", f"inject={call}:signal=KILL:when={count}")
        self.unlock_dead()

    def unlock_dead(self):
        """What a killed process had locked by a file, which says no process:
        Dovecot waits two minutes for it.  Nobody else may be at work."""
        for name in ("*.newlock", "attributes.lock", "dovecot-acl.lock",
                     "dovecot-keywords.lock", "dovecot-uidlist.lock",
                     "subscriptions.lock"):
            for path in self.d.rglob(name):
                path.unlink()

    def login(self, user):
        client = imaplib.IMAP4("127.0.0.1", self.port)
        client.login(user, "x")
        return client

    def kill_imap(self):
        """SIGKILL to the processes that serve connections: our children."""
        for pid in children(self.process.pid):
            try:
                name = pathlib.Path(f"/proc/{pid}/comm").read_text()
                if name.strip() == "imap":
                    os.kill(pid, signal.SIGKILL)
            except OSError:
                pass  # it ended by itself


def children(parent):
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            text = pathlib.Path(f"/proc/{entry}/stat").read_text()
        except OSError:
            continue
        if int(text.rsplit(")", 1)[1].split()[1]) == parent:
            yield int(entry)


def decode(name):
    """A name of a LIST answer: modified UTF-7, quoted or not."""
    if name.startswith(b'"'):
        name = re.sub(rb'\\(.)', rb'\1', name[1:-1])
    text = name.decode()

    def one(match):
        if match.group(1) == "":
            return "&"
        return ("+" + match.group(1).replace(",", "/") + "-").encode(
            ).decode("utf-7")
    return re.sub(r"&([^-]*)-", one, text)


def encode(text):
    """The other way, quoted."""
    out = re.sub(r"[^\x20-\x25\x27-\x7e]+|&", lambda m: "&-"
                 if m.group(0) == "&" else "&" + m.group(0).encode(
                     "utf-7").decode()[1:].rstrip("-").replace("/", ",") +
                 "-", text)
    return '"' + out.replace("\\", "\\\\").replace('"', '\\"') + '"'


def tree_of(client):
    """What Dovecot's own LIST and STATUS say: path to GUID, None of a place."""
    tree = {}
    status, lines = client.list()
    assert status == "OK"
    for line in lines:
        if isinstance(line, tuple):
            flags, name = line[0], line[1]
            flags = flags.split(b")")[0]
        else:
            match = re.match(rb'\(([^)]*)\) (?:"[^"]*"|NIL) (.*)$', line)
            flags, name = match.group(1), match.group(2)
        path = decode(name)
        if b"noselect" in flags.lower() or b"nonexistent" in flags.lower():
            tree[path] = None
            continue
        status, answer = client.status(encode(path), "(X-GUID UIDVALIDITY)")
        if status != "OK":  # a list may be older than what it lists
            assert b"exist" in answer[0], answer
            tree[path] = None
            continue
        text = b" ".join(a if isinstance(a, bytes) else a[1] for a in answer)
        tree[path] = (re.search(rb"X-GUID ([0-9a-f]+)", text).group(1)
                      .decode(),
                      int(re.search(rb"UIDVALIDITY (\d+)", text).group(1)))
    return tree


def subscribed(client):
    status, lines = client.lsub()
    assert status == "OK"
    return {decode(re.match(rb'\([^)]*\) (?:"[^"]*"|NIL) (.*)$', line)
                   .group(1)) for line in lines if line}


HAS_LMTP = os.path.exists("/usr/lib/dovecot/lmtp")
WITH_LMTP = "protocols = imap lmtp\n" if HAS_LMTP else ""  # settings


def command(client, line):
    """Sent as it is.  What the server says of it: OK, NO or BAD."""
    tag = client._new_tag()
    client.send(tag + b" " + line + b"\r\n")
    while True:
        line = client.readline()
        if line.startswith(tag):
            return line.split()[1].decode()
        assert line, "the connection was closed"


def append_all(client, path, *texts):
    """Messages in one command.  As command."""
    return command(client, b"APPEND " + path.encode() + b"".join(
        b" {%d+}\r\n%s" % (len(text), text) for text in texts))


def lmtp(dovecot, recipients, text):
    """A message to users, one or more at once, with + and a mailbox's name
    where it is not INBOX.  What the server says of each."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(dovecot.d / "run" / "lmtp"))
        peer.settimeout(120)
        lines = peer.makefile("rwb", buffering=0)

        def answer():
            while True:
                line = lines.readline()
                if line[3:4] != b"-":
                    return line.decode()

        def say(line):
            lines.write(line + b"\r\n")
            return answer()
        answer()
        say(b"LHLO x")
        say(b"MAIL FROM:<a@b.c>")
        said = [say(f'RCPT TO:<"{name}">'.encode()) for name in recipients]
        count = sum(line.startswith("2") for line in said)
        if count == 0:
            return said
        assert say(b"DATA").startswith("3")
        peer.sendall(text)
        said = [say(b".")] + [answer() for _ in range(count - 1)]
        say(b"QUIT")
        return said


# Kinds of the wire: docs/FORMAT.md
SUBMIT, TAKE, ENTER, BEGIN = 2, 26, 29, 30


def wait_for(path, server):
    """A service listens there."""
    for _ in range(6000):
        try:
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(str(path))
            return
        except OSError:
            assert server.poll() is None, "the service ended"
            time.sleep(0.01)
    raise AssertionError("the service does not listen")


class Relay:
    """Stands between plugin and service, and holds a request back when it is
    told to: so a process is killed exactly there."""
    HEAD = 16
    SUBMITS = (SUBMIT, TAKE, BEGIN)
    PRODUCER = b"dovecot"

    def __init__(self, path, target):
        self.path, self.target = str(path), str(target)
        # "intent": its answer, "outcome": the request, "lost": the same, of
        # which nobody hears, and the connection is closed
        self.hold = None
        self.delay = 0  # seconds, of each request
        self.before = None  # called with each request's kind
        self.sent = 0  # bytes of requests
        self.highest = None  # version that a client is let speak
        self.held = threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o777)
        self.listener.listen(64)
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer,),
                             daemon=True).start()

    def frame(self, source):
        head = self.read(source, self.HEAD)
        size = int.from_bytes(head[0:4], "little")
        return head, head + self.read(source, size)

    @staticmethod
    def read(source, size):
        data = b""
        while len(data) < size:
            piece = source.recv(size - len(data))
            if not piece:
                raise OSError("closed")
            data += piece
        return data

    def serve(self, peer):
        with peer, socket.socket(socket.AF_UNIX) as service:
            try:
                service.connect(self.target)
                while True:
                    head, whole = self.frame(peer)
                    time.sleep(self.delay)
                    if head[4] == 1 and self.highest:  # hello
                        whole = whole[:-2] + self.highest.to_bytes(2, "little")
                    self.sent += len(whole)
                    if self.before:
                        self.before(int.from_bytes(head[4:6], "little"))
                    is_submit = int.from_bytes(head[4:6],
                                               "little") in self.SUBMITS
                    # An intent's frame ends with who makes it.
                    is_intent = whole.endswith(self.PRODUCER)
                    if is_submit and not is_intent and self.hold == "lost":
                        self.held.set()
                        return
                    if is_submit and not is_intent and \
                            self.hold == "outcome":
                        self.held.set()
                        peer.recv(1)  # until it is killed
                        return
                    service.sendall(whole)
                    _, answer = self.frame(service)
                    if is_submit and is_intent and self.hold == "intent":
                        self.held.set()
                        peer.recv(1)  # until it is killed
                        return
                    peer.sendall(answer)
            except OSError:
                return

    def arm(self, hold):
        self.held.clear()
        self.hold = hold

    def close(self):
        # Or the next relay's listener gets a number that accept waits on.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()


def need_strace(case):
    if subprocess.run(["strace", "-o", "/dev/null", "true"], check=False,
                      capture_output=True).returncode != 0:
        case.skipTest("strace cannot trace here")


class DovecotCase(mbjtest.Case):
    """Store p, its service, and Dovecot in front of it, for all tests of a
    class, since Dovecot takes a second to begin; each has a user of its own,
    and store r."""
    LOCATION = "sdbox:~/mail"
    SEPARATOR = "/"
    PREFIX = ""
    MORE = ""  # settings
    CONTENTS = ()  # how stores keep contents: options of init
    with_relay = False
    log_since = 0  # a byte of Dovecot's log

    @classmethod
    def setUpClass(cls):
        cls.home = pathlib.Path(tempfile.mkdtemp(prefix="mbj-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        os.chmod(cls.home, 0o755)
        cls.store, cls.socket = cls.home / "p", cls.home / "mbj.socket"
        cls.server = cls.relay = None
        where = cls.socket
        if cls.with_relay:
            where = cls.home / "relay"
            cls.relay = Relay(where, cls.socket)
            cls.addClassCleanup(cls.relay.close)
        subprocess.run([mbjtest.MBJ, "init", cls.store, *cls.CONTENTS],
                       check=True, stdout=subprocess.DEVNULL)
        cls.addClassCleanup(cls.stop_service)
        cls.serve()
        cls.dovecot = Dovecot(cls.home / "dovecot", where, cls.LOCATION,
                              cls.SEPARATOR, cls.PREFIX, cls.MORE)
        cls.addClassCleanup(cls.dovecot.stop)
        cls.dovecot.start()

    def setUp(self):
        super().setUp()
        self.p = self.store
        self.user = self.id().rsplit("_", 1)[1]
        if self.server is None:  # an earlier test failed without it
            self.serve()

    @classmethod
    def serve(cls):
        cls.server = subprocess.Popen(
            [mbjtest.MBJ, "serve", str(cls.store), "--socket",
             str(cls.socket), "--group", str(MAIL_GID)],
            stderr=subprocess.DEVNULL)
        wait_for(cls.socket, cls.server)

    @classmethod
    def stop_service(cls):
        if cls.server is not None:
            cls.server.terminate()
            cls.server.wait(30)
            cls.server = None

    def login(self):
        client = self.dovecot.login(self.user)
        self.addCleanup(self.leave, client)
        return client

    @staticmethod
    def leave(client):
        try:
            client.shutdown()
        except OSError:
            pass  # it was left, or killed

    def log(self):
        """What Dovecot said of this user."""
        return self.of_user(self.dovecot.log(self.log_since))

    def of_user(self, log):
        return "\n".join(line for line in log.splitlines()
                         if f"({self.user})" in line)

    def logged(self, text):
        """Dovecot's log has it; another process writes that."""
        for _ in range(6000):
            if text in self.log():
                return
            time.sleep(0.01)
        self.fail(f"the log has no {text}:\n{self.log()}")

    def doveadm(self, *words, without=()):
        """An answer of doveadm mailbox WORD -u USER ..."""
        return self.dovecot.doveadm(*without, "mailbox", words[0], "-u",
                                    self.user, *words[1:])

    # ------------------------------------------------------------ comparing

    def told(self, store=None):
        """What the journal's side says, as tree_of has it."""
        document = self.mbj("tree", store or self.socket, self.user,
                            "--json").json()
        nodes = {m["id"]: m for m in document["list"]}

        def path(i):
            names = []
            while i is not None:
                names.append(nodes[i]["name"])
                i = nodes[i]["parentId"]
            return self.SEPARATOR.join(reversed(names))
        return {path(i): (i, m["uidValidity"]) if m["isSelectable"] else None
                for i, m in nodes.items()}

    def told_subscribed(self, store=None):
        out = self.mbj("subscriptions", store or self.socket, self.user,
                       "--json").json()
        return set(out["list"])

    def end(self):
        """LSN of the last group that is of a change: not of those that only
        close an intent that stood (docs/decisions/0058)."""
        self.mbj("intents", self.socket)  # what was answered is durable
        groups = re.findall(r"^group (\d+).*\n((?: .*\n)*)",
                            self.mbj("log", self.p).out, re.M)
        return max((int(lsn) for lsn, said in groups
                    if not re.fullmatch(r" +outcome .* is_found 0\n", said)),
                   default=0)

    def intents(self):
        return self.mbj("intents", self.socket, self.user, "--json").json()["list"]

    def same(self, client):
        """Dovecot and the store have the same tree and subscriptions."""
        tree = tree_of(client)  # which makes INBOX, where there is none
        told = self.told()
        # The list's index may have what was at a name before (DOVECOT.md):
        # who opens it sees, and says so there.
        for path in told.keys() & tree.keys():
            if told[path] and tree[path] and told[path] != tree[path]:
                self.ok(client.select(encode(path), readonly=True))
                self.ok(client.unselect())
                tree = tree_of(client)
        self.assertEqual(told, tree, self.log())
        self.assertEqual(self.told_subscribed(), subscribed(client))
        self.assertEqual(self.intents(), [])

    def ok(self, answer):
        self.assertEqual(answer[0], "OK", (answer, self.log()))

    def no(self, answer, text=""):
        self.assertEqual(answer[0], "NO", (answer, self.log()))
        self.assertIn(text, str(answer[1]))
