"""IMAP servers that mbj push is tried against: a real Dovecot, without
MAILBOXIDs, and a real Cyrus, with them, each on a loopback port, in a directory
of its own, as a user of its own where we are root."""
import grp
import imaplib
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "dovecot"))
import dovetest  # noqa: E402 (names of IMAP)

DOVECOT = dovetest.DOVECOT
# Debian's cyrus-imapd cannot be installed beside dovecot-imapd, but unpacked
# anywhere (cmake/cyrus-debian): MBJ_CYRUS names that directory.
CYRUS = pathlib.Path(os.environ.get("MBJ_CYRUS") or "/")
CYRUS_BIN = CYRUS / "usr" / "lib" / "cyrus" / "bin"
CYRUS_USER = "mail"  # Debian has it, with or without the package
SECRET = "not-so-secret"

DOVECOT_CONFIG = """
base_dir = {d}/run
state_dir = {d}/state
log_path = {d}/log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{d}/cert.pem
ssl_key = <{d}/key.pem
disable_plaintext_auth = no
auth_failure_delay = 0
first_valid_uid = {uid}
last_valid_uid = {uid}
first_valid_gid = {gid}
default_internal_user = {internal}
default_login_user = {login}
default_internal_group = {group}
mail_location = {location}
mail_fsync = never
passdb {{
  driver = static
  args = password={secret}
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
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
"""

CYRUS_CONFIG = """
configdirectory: {d}/conf
proc_path: {d}/run/proc
mboxname_lockpath: {d}/run/lock
defaultpartition: default
partition-default: {d}/spool
altnamespace: no
unixhierarchysep: no
allowplaintext: yes
sasl_pwcheck_method: alwaystrue
sasl_mech_list: PLAIN
idlesocket: {d}/run/idle
notifysocket: {d}/run/notify
lmtpsocket: {d}/run/lmtp
autocreate_quota: 0
# Else names of deleted ones have a second in them, and clash within one.
delete_mode: immediate
conversations: 0
syslog_prefix: mbjtest
"""

CYRUS_MASTER_CONFIG = """
START {{
  recover cmd="{bin}/ctl_cyrusdb -C {d}/imapd.conf -r"
}}
SERVICES {{
  imap cmd="{bin}/imapd -C {d}/imapd.conf -U 30" listen="127.0.0.1:{port}"
}}
EVENTS {{
}}
"""


class Server:
    """port: plain IMAP; tls_port: IMAPS, where there is any."""
    has_ids = False  # MAILBOXIDs (RFC 8474)
    process = None
    tls_port = None

    def __init__(self, directory):
        self.d = pathlib.Path(directory)
        self.d.mkdir()
        self.port = dovetest.free_port()

    def start(self):
        for _ in range(5):
            self.write()
            with (self.d / "out").open("w") as out:
                self.process = subprocess.Popen(
                    self.command(), stdin=subprocess.DEVNULL, stdout=out,
                    stderr=subprocess.STDOUT, **self.user())
            if self.listens():
                return
            self.stop()
            # Somebody may have taken a port after it was found free.
            self.port = dovetest.free_port()
            if self.tls_port is not None:
                self.tls_port = dovetest.free_port()
        raise AssertionError(f"no server:\n{self.log()}")

    def listens(self):
        for _ in range(6000):
            if self.process.poll() is not None:
                return False
            try:
                with socket.create_connection(("127.0.0.1", self.port)) as s:
                    s.settimeout(60)
                    return s.recv(4) == b"* OK"
            except OSError:
                time.sleep(0.01)
        return False

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
        self.process = None

    def log(self):
        return "\n".join(path.read_text("utf-8", "replace")
                         for path in (self.d / "out", self.d / "log")
                         if path.exists())

    def login(self, user):
        client = imaplib.IMAP4("127.0.0.1", self.port)
        client.login(user, SECRET)
        return client

    def mailboxes(self, client):
        """Path to what it is; names as the account has them."""
        found = {}
        status, lines = client.list()
        assert status == "OK", lines
        for line in lines:
            match = re.match(rb'\(([^)]*)\) (?:"[^"]*"|NIL) (.*)$', line)
            flags, name = match.group(1).lower(), match.group(2)
            if b"noselect" in flags or b"nonexistent" in flags:
                continue
            path = dovetest.decode(name)
            found[self.path(path)] = self.identity(
                client, dovetest.encode(path))
        return found

    def identity(self, client, quoted):
        status, answer = client.status(quoted, "(X-GUID)")
        assert status == "OK", answer
        return re.search(rb"X-GUID ([0-9a-f]+)", answer[0]).group(1)

    def path(self, name):
        """The account's, of the server's."""
        return name

    def name(self, path):
        return path


class Dovecot(Server):
    def __init__(self, directory, location="sdbox:~/mail", prefix="",
                 separator="/"):
        super().__init__(directory)
        self.location, self.prefix = location, prefix
        self.separator = separator
        for part in ("run", "state", "mail"):
            (self.d / part).mkdir()
        self.tls_port = dovetest.free_port()
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
             self.d / "key.pem", "-out", self.d / "cert.pem", "-days", "30",
             "-subj", "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost"],
            check=True, capture_output=True)

    @staticmethod
    def can_run():
        return DOVECOT is not None and os.path.exists("/usr/lib/dovecot/imap")

    def write(self):
        names = ("dovecot", "dovenull", "dovecot")
        if os.getuid() == 0:
            os.chown(self.d / "mail", dovetest.MAIL_UID, dovetest.MAIL_GID)
        else:
            me = pwd.getpwuid(os.getuid()).pw_name
            names = (me, me, grp.getgrgid(os.getgid()).gr_name)
        (self.d / "conf").write_text(DOVECOT_CONFIG.format(
            d=self.d, uid=dovetest.MAIL_UID, gid=dovetest.MAIL_GID,
            internal=names[0], login=names[1], group=names[2],
            location=self.location, prefix=self.prefix, secret=SECRET,
            separator=self.separator, port=self.port, tls_port=self.tls_port))

    def command(self):
        return [DOVECOT, "-F", "-c", self.d / "conf"]

    @staticmethod
    def user():
        return {}

    def path(self, name):
        if name != "INBOX":
            assert name.startswith(self.prefix), name
            name = name[len(self.prefix):]
        return name.replace(self.separator, "/")

    def name(self, path):
        if path == "INBOX":
            return path
        return self.prefix + path.replace("/", self.separator)


class Cyrus(Server):
    has_ids = True

    @staticmethod
    def can_run():
        return all((CYRUS_BIN / name).exists() for name in
                   ("master", "imapd", "ctl_cyrusdb"))

    @staticmethod
    def user():
        libraries = sorted(CYRUS.glob("usr/lib/*-linux-gnu*"))
        env = os.environ | {"CYRUS_USER": CYRUS_USER}
        if libraries:
            env["LD_LIBRARY_PATH"] = ":".join(map(str, libraries))
            env["SASL_PATH"] = ":".join(str(d / "sasl2") for d in libraries)
        # Its master, when it ends, ends all of its process group.
        how = {"env": env, "start_new_session": True}
        if os.getuid() != 0:
            return how
        return how | {"user": CYRUS_USER, "group": "mail",
                      "extra_groups": []}

    def write(self):
        for part in ("conf", "run", "spool"):
            (self.d / part).mkdir(exist_ok=True)
            if os.getuid() == 0:
                shutil.chown(self.d / part, CYRUS_USER, "mail")
        (self.d / "imapd.conf").write_text(CYRUS_CONFIG.format(d=self.d))
        (self.d / "cyrus.conf").write_text(CYRUS_MASTER_CONFIG.format(
            d=self.d, bin=CYRUS_BIN, port=self.port))

    def command(self):
        return [CYRUS_BIN / "master", "-D", "-C", self.d / "imapd.conf", "-M",
                self.d / "cyrus.conf", "-p", self.d / "run" / "pid"]

    def identity(self, client, quoted):
        # STATUS (MAILBOXID) is freed memory in 3.6.1.
        status, answer = client.select(quoted, readonly=True)
        assert status == "OK", answer
        found = client.response("MAILBOXID")[1][0].strip(b"()")
        client.unselect()
        return found

    def path(self, name):
        if name != "INBOX":
            assert name.startswith("INBOX."), name
            name = name[len("INBOX."):]
        return name.replace(".", "/")

    def name(self, path):
        return path if path == "INBOX" else "INBOX." + path.replace("/", ".")
