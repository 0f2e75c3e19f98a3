"""docs/TWO-HOSTS.md, typed as it stands there, at two hosts: namespaces of this
machine with a wire between them, each with a Dovecot as Debian installs it.

There is no systemd in them: systemctl is a small program that reads the units
which were installed and does what they say.  The packages are this build.
"""
import imaplib
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import dovetest

HERE = pathlib.Path(__file__).resolve()
BUILD = os.environ.get("MBJ_BUILD_DIR", "")
GUIDE = HERE.parent.parent.parent / "docs" / "TWO-HOSTS.md"
# The one that a host sees: it has a /root and a /usr/local of its own.
PYTHON = "/usr/bin/python3"
BASH = ["bash", "-euo", "pipefail", "-c"]
# What a host has for itself: a copy of the machine's, or nothing.
COPIED = ("/etc", "/usr/lib/dovecot/modules")
EMPTY = ("/run", "/var/lib/mbj", "/var/lib/dovecot", "/var/vmail", "/root",
         "/usr/local", "/var/log")
MINUTES = 10  # promised by the guide's title
UNITS = ("/usr/local/lib/systemd/system", "/lib/systemd/system")


def blocks():
    """(where, text) of the guide, in order."""
    return re.findall(r"^```sh (\w+)\n(.*?)^```$", GUIDE.read_text("utf-8"),
                      re.MULTILINE | re.DOTALL)


# What Debian's package ssl-cert makes with Dovecot, if it is there.
CERTIFICATE = """cd /etc/dovecot/private
[ -e dovecot.pem ] || openssl req -x509 -newkey rsa:2048 -nodes -days 2 \\
    -subj /CN=localhost -keyout dovecot.key -out dovecot.pem 2>&1
"""


# ------------------------------------------------------------ in a host

def unit_read(name):
    """A unit's [Service], with its instance put in."""
    file, _, instance = name.removesuffix(".service").partition("@")
    file += ("@" if instance else "") + ".service"
    path = next(p for d in UNITS if (p := pathlib.Path(d) / file).exists())
    found = {}
    for line in path.read_text().splitlines():
        key, sep, value = line.partition("=")
        if sep and not line.startswith("#"):
            found[key] = value.replace("%i", instance)
    return found


def unit_start(name):
    unit = unit_read(name)
    env = dict(os.environ)
    for line in pathlib.Path(unit["EnvironmentFile"].lstrip("-")).read_text(
            ).splitlines() if "EnvironmentFile" in unit else ():
        key, _, value = line.partition("=")
        env[key] = value
    user = unit.get("User")
    if "RuntimeDirectory" in unit:
        directory = pathlib.Path("/run") / unit["RuntimeDirectory"]
        directory.mkdir(exist_ok=True)
        shutil.chown(directory, user, user)
    words = []
    for word in shlex.split(unit["ExecStart"]):
        words += env.get(word[1:], "").split() if word[0] == "$" else [word]
    if user:
        words = ["setpriv", f"--reuid={user}", f"--regid={user}",
                 "--init-groups", "--no-new-privs", *words]
    with open(f"/var/log/{name}.log", "ab") as log:
        subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=log,
                         stderr=log, start_new_session=True)
    if unit.get("Type") == "notify":
        # What is there when it says so.
        while not pathlib.Path("/run/mbj/mail").is_socket():
            time.sleep(0.02)


def systemctl(words):
    for name in (w for w in words if not w.startswith("-")
                 and w not in ("enable", "restart")):
        if name == "dovecot":
            with open("/var/log/dovecot", "ab") as log:
                subprocess.run(["dovecot"], check=True, stdout=log, stderr=log)
        else:
            unit_start(name)


def everything_at(user):
    import pairtest
    client = imaplib.IMAP4("127.0.0.1")
    client.login(user, "secret")
    # In an order: that of a set differs from process to process.
    print(repr(sorted((key, sorted(value) if isinstance(value, set) else value)
                      for key, value in pairtest.everything(client).items())))


def day():
    """What alice does: a rotation of three, one below the other, mail."""
    client = imaplib.IMAP4("127.0.0.1")
    client.login("alice", "secret")
    def do(command, *words):
        status, answer = getattr(client, command)(*words)
        assert status == "OK", (command, words, answer)
    for name in ("a", "b", "c"):
        do("create", name)
        do("append", name, "\\Flagged", None,
           f"Subject: {name}\r\n\r\n{name}\r\n".encode())
    for one, two in (("a", "t"), ("b", "a"), ("c", "b"), ("t", "c"),
                     ("c", "b/c")):
        do("rename", one, two)
    do("append", "INBOX", None, None, b"Subject: hello\r\n\r\nhello\r\n")
    do("subscribe", "b/c")


# ---------------------------------------------------------------- outside

def can_run():
    """Containers may be root, and not have what makes namespaces."""
    return (os.getuid() == 0 and dovetest.can_run() and
            os.path.isfile("/etc/dovecot/dovecot.conf") and
            os.path.exists(PYTHON) and all(
                shutil.which(n, path="/usr/sbin:/usr/bin:/sbin:/bin")
                for n in ("unshare", "nsenter", "ip", "cmake", "runuser")) and
            subprocess.run(
                ["unshare", "--mount", "--net", "--uts", "--pid", "--fork",
                 "--mount-proc", "sh", "-c", "mount -t tmpfs none /mnt && "
                 "ip link add wire type veth peer name eriw"],
                capture_output=True, check=False).returncode == 0)


class Host:
    """Namespaces, kept by a process that sleeps."""

    def __init__(self, name, address, other, work):
        self.name = name
        made = "".join(f"cp -a {d} {work}/{name}.{n}\n"
                       f"mount --bind {work}/{name}.{n} {d}\n"
                       for n, d in enumerate(COPIED))
        made += "".join(f"mkdir -p {d}\nmount -t tmpfs none {d}\n"
                        for d in EMPTY)
        script = f"""
mount --make-rprivate /
{made}
chmod 700 /root
hostname {name}
printf '%s\\n' '127.0.0.1 localhost' '{address} {name}' '{other[1]} {other[0]}' > /etc/hosts
ip link set lo up
printf '#!/bin/sh\\nexec {PYTHON} {HERE} --systemctl "$@"\\n' > /run/systemctl
chmod 755 /run/systemctl
touch {work}/{name}.up
exec sleep infinity
"""
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--net", "--uts", "--pid", "--fork",
             "--kill-child", "--mount-proc", *BASH, script],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        for _ in range(3000):
            if (work / f"{name}.up").exists():
                break
            assert self.process.poll() is None, f"{name} does not come up"
            time.sleep(0.02)
        self.pid = next(dovetest.children(self.process.pid))

    def command(self, *words):
        return ["nsenter", "-t", str(self.pid), "--mount", "--net", "--uts",
                "--pid", *words]

    def run(self, text):
        env = dict(os.environ, PATH="/run:/usr/local/bin:/usr/sbin:/usr/bin:"
                   "/sbin:/bin", LC_ALL="C.UTF-8")
        done = subprocess.run(self.command(*BASH, text), env=env,
                              stdin=subprocess.DEVNULL, check=False,
                              capture_output=True, timeout=120)
        if done.returncode != 0:
            raise AssertionError(
                f"{self.name}: status {done.returncode}\n{text}\n"
                f"{done.stdout.decode()}{done.stderr.decode()}{self.logs()}")
        return done.stdout.decode()

    def logs(self):
        done = subprocess.run(
            self.command("sh", "-c", "tail -n 20 /var/log/*"),
            capture_output=True, check=False)
        return done.stdout.decode("utf-8", "replace")

    def ask(self, *words):
        return self.run(shlex.join([PYTHON, str(HERE), *words]))

    def path(self, inside):
        return f"/proc/{self.pid}/root{inside}"

    def stop(self):
        # The first process of its namespace: all others go with it.
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait(30)


class TwoHosts(unittest.TestCase):
    def setUp(self):
        self.begun = time.monotonic()
        work = pathlib.Path(tempfile.mkdtemp(prefix="mbj-two-hosts-"))
        self.addCleanup(shutil.rmtree, work, ignore_errors=True)
        names = (("mail1", "10.99.7.1"), ("mail2", "10.99.7.2"))
        self.hosts = {}
        for i, (name, address) in enumerate(names):
            host = Host(name, address, names[1 - i], work)
            self.addCleanup(host.stop)
            self.hosts[name] = host
        one, two = (self.hosts[n] for n, _ in names)
        subprocess.run(["ip", "link", "add", "wire", "netns", str(one.pid),
                        "type", "veth", "peer", "name", "wire", "netns",
                        str(two.pid)], check=True)
        for name, address in names:
            self.hosts[name].run(f"ip addr add {address}/24 dev wire; "
                                 "ip link set wire up")
            self.hosts[name].run(CERTIFICATE)
            # There is no syslog in it either.
            self.hosts[name].run("echo log_path = /var/log/dovecot > "
                                 "/etc/dovecot/conf.d/99-log.conf")
            for component in ([], ["--component", "dovecot"]):
                self.hosts[name].run(shlex.join(
                    ["cmake", "--install", BUILD, *component]))

    def carry(self, text):
        """scp -pr PATH root@HOST:PATH, by hand."""
        program, option, source, target = shlex.split(text)
        self.assertEqual((program, option), ("scp", "-pr"))
        host, path = re.fullmatch(r"root@(\w+):(.*)", target).groups()
        subprocess.run(["cp", "-a", self.hosts["mail1"].path(source),
                        self.hosts[host].path(path)], check=True)

    def test_guide(self):
        """Goal: the guide's title is kept.  Method: each block as it is, then
        a day at the first until the second has it; all that but the block of
        packages, which is installed as built, is in the time."""
        told = {}
        for where, text in blocks():
            if where == "carry":
                self.carry(text)
            elif where == "both":
                for host in self.hosts.values():
                    host.run(text)
            elif where != "packages":
                told[where] = self.hosts[where].run(text)
        self.assertIn("mail2", told["mail1"])
        self.assertIn("OK", told["mail2"])
        first, second = self.hosts["mail1"], self.hosts["mail2"]
        first.ask("--day")
        wanted = first.ask("--everything", "alice")
        self.assertIn("'b/c'", wanted)
        end = time.monotonic() + 60
        while (seen := second.ask("--everything", "alice")) != wanted:
            self.assertLess(time.monotonic(), end,
                            f"{seen}\n{wanted}\n{second.logs()}")
            time.sleep(0.2)
        took = time.monotonic() - self.begun
        print(f"from two hosts to replication: {took:.1f} s", flush=True)
        self.assertLess(took, MINUTES * 60)
        self.assertIn("ten minutes", GUIDE.read_text("utf-8").split("\n")[0])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--systemctl"]:
        systemctl(sys.argv[2:])
    elif sys.argv[1:2] == ["--everything"]:
        everything_at(sys.argv[2])
    elif sys.argv[1:2] == ["--day"]:
        day()
    elif not can_run():
        print("skipped: needs root, Dovecot with the plugin, and namespaces")
        sys.exit(77)
    else:
        unittest.main()
