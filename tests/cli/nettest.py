"""What the tests of a network share: hosts of their own (network namespaces),
the wires and long lines between them, and three services, one a host."""
import json
import os
import signal
import subprocess

from mbjtest import LOCKED, MBJ
from test_carrier import CarrierCase


class Host:
    """A network of its own, for as long as this lives."""

    def __init__(self):
        self.process = subprocess.Popen(
            ["unshare", "--net", "sh", "-c",
             "ip link set lo up && echo && exec sleep infinity"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.is_there = self.process.stdout.readline() == b"\n"

    def close(self):
        self.process.kill()
        self.process.communicate()

    def within(self, *words):
        return ["nsenter", f"--net=/proc/{self.process.pid}/ns/net",
                *map(str, words)]

    def do(self, *words):
        done = subprocess.run(self.within(*words), capture_output=True,
                              text=True, check=False)
        return done.returncode, done.stderr


class Wire:
    """Between two hosts, which have 10.77.N.1 and 10.77.N.2 there."""

    def __init__(self, number, one, two):
        self.one, self.name = one, f"wire{number}"
        self.lay(one, two)
        for host, last in ((one, 1), (two, 2)):
            self.must("ip", "address", "add", f"10.77.{number}.{last}/24",
                      "dev", self.name, host=host)
            self.must("ip", "link", "set", self.name, "up", host=host)

    def lay(self, one, two):
        self.pair(one, two, self.name)

    def pair(self, one, two, name):
        """Of interfaces: the first one's has the wire's name."""
        self.must("ip", "link", "add", self.name, "type", "veth", "peer",
                  "name", name, "netns", two.process.pid, host=one)

    def close(self):
        """There is nothing to end."""

    def must(self, *words, host=None):
        status, err = (host or self.one).do(*words)
        assert status == 0, (words, err)

    def cut(self):
        self.must("ip", "link", "set", self.name, "down")

    def join(self):
        self.must("ip", "link", "set", self.name, "up")

    def shape(self, *words):
        self.must("tc", "qdisc", "replace", "dev", self.name, "root", *words)

    def plain(self):
        self.one.do("tc", "qdisc", "del", "dev", self.name, "root")


class Line(Wire):
    """A long one: what is sent comes a time later, out of order, twice or not
    at all, by chance and from a seed.  It is a program between both hosts, on
    one of its own; times are in milliseconds, the rest in shares."""

    def __init__(self, number, one, two, seed, delay, late=0.0, later=0,
                 loss=0.0, twice=0.0):
        self.host = Host()
        self.process = None
        self.chances = (seed, int(delay * 1000), int(late * 1e6),
                        int(later * 1000), int(loss * 1e6), int(twice * 1e6))
        super().__init__(number, one, two)

    def lay(self, one, two):
        for host, name in ((one, "one"), (two, "two")):
            self.pair(host, self.host, name)
            # A packet is a packet, and not forty of them that are lost at once.
            self.must("ip", "link", "set", self.name, "gso_max_segs", "1",
                      host=host)
            self.must("ip", "link", "set", name, "up", host=self.host)
        self.process = subprocess.Popen(
            self.host.within(os.environ["MBJ_LINE"], "one", "two",
                             *self.chances), stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n", "no line"

    def hush(self):
        """Nothing comes through, and no side is told."""
        self.process.send_signal(signal.SIGUSR1)

    def wake(self):
        self.process.send_signal(signal.SIGUSR2)

    def end(self):
        """What became of the frames."""
        self.process.terminate()
        out, _ = self.process.communicate()
        self.process = None
        return json.loads(out)

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        self.host.close()


class NetworkCase(CarrierCase):
    """A primary, a replica, and a replica of that, by TLS, each a host."""
    OPTIONS = ()  # of each service

    def setUp(self):
        super().setUp()
        self.hosts = []
        for _ in range(3):
            host = Host()
            self.addCleanup(host.close)
            self.hosts.append(host)
        if not all(host.is_there for host in self.hosts):
            self.skipTest("no network namespaces here")
        one, two, three = self.hosts
        self.wires = []
        for i, ends in enumerate(((one, two), (two, three))):
            self.wires.append(self.wire(i, *ends))
            self.addCleanup(self.wires[i].close)
        self.far = self.dir / "far"
        self.mbj("init", self.far, "--role", "replica")
        keys = self.dir / "keys"
        self.mbj("keygen", "ca", keys, self.p)
        for role, name in (("source", "p"), ("both", "r"), ("replica", "far")):
            self.mbj("keygen", role, keys, name)
        listen = ("--replicas", "tls:0.0.0.0:4747")
        self.services = [
            (one, "serve", self.p, *listen, "--tls-dir", keys / "p"),
            (two, "serve", self.r, "--from", "tls:10.77.0.1:4747", *listen,
             "--tls-dir", keys / "r"),
            (three, "serve", self.far, "--from", "tls:10.77.1.1:4747",
             "--tls-dir", keys / "far")]
        self.running = [None, None, None]
        for i in range(3):
            self.start(i)
        self.model = self.paths()
        self.count = 0

    def wire(self, number, one, two):
        return Wire(number, one, two)

    def start(self, i):
        store = self.services[i][2]
        self.begin_service(i)
        self.until(lambda: self.is_served(store) or self.is_locked_out(i))

    def begin_service(self, i):
        host, *words = self.services[i]
        with open(self.dir / f"said{i}", "ab") as said:
            self.running[i] = subprocess.Popen(
                host.within(MBJ, *words, *self.OPTIONS), stdout=said,
                stderr=said)
        self.processes.append(self.running[i])

    def is_locked_out(self, i):
        """A verb had the store for itself: it is begun again."""
        if self.running[i].poll() == LOCKED:
            self.processes.remove(self.running[i])
            self.begin_service(i)
        return False

    def is_served(self, store):
        try:
            self.connect(store / "socket").close()
            return True
        except OSError:
            return False

    def kill_service(self, i):
        self.running[i].kill()
        self.running[i].wait()
        self.processes.remove(self.running[i])
        self.start(i)

    def mark(self, store):
        try:
            published = (store / "journal" / "published").read_bytes()
        except FileNotFoundError:  # it has nothing yet
            return 0
        return int.from_bytes(published[8:16], "little")

    def marks(self):
        return [self.mark(store) for store in (self.p, self.r, self.far)]

    def end_equal(self):
        """All that is in the first store comes to the others, contents and
        all; then nobody serves any more."""
        lsn = self.marks()[0]
        self.until(lambda: self.marks() == [lsn] * 3)
        self.contents_wait()
        for service in self.running:
            self.end(service)
        for store in (self.r, self.far):
            self.mbj("verify", "--deep", self.p, store)
            self.mbj("fsck", "--deep", store)

    def contents_wait(self):
        """A content that the middle one did not have yet when the last one
        asked for it is asked for again: soon, but a minute later at most."""
        def there(store):
            return {path.name for path in store.glob("blobs/??/*")}
        for _ in range(4):
            try:
                self.until(lambda: there(self.p) <= there(self.r) &
                           there(self.far))
                return
            except AssertionError:
                pass
        self.fail("contents are missing for good")
