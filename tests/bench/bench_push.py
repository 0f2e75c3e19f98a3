#!/usr/bin/env python3
"""How fast messages go to a Dovecot on the same machine by `mbj push`, against
bare APPENDs of the same messages by Python's imaplib.

    MBJ=.../mbj bench_push.py [--quick] [--count N] [DIRECTORY]

Messages of 2 KiB in INBOX, over a plain connection to 127.0.0.1, the server
with sdbox and mail_fsync = never.  A round is: push a store to a new user, and
append the same messages to another one, one after the other, as imaplib does it
(a literal that is asked for, an answer each).  The two take turns, the median
counts.  A push has each message's line on disk before it is sent; DIRECTORY is
where store and server are, and says what a sync costs.  At the end a push that
finds nothing to do.  Output: a table, and one JSON object.
"""
import argparse
import imaplib
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "cli"))
import pushtest  # noqa: E402

MBJ = os.environ.get("MBJ", "mbj")
SIZE = 2048
ENV = dict(os.environ, MBJ_PUSH_PASSWORD=pushtest.SECRET)


def bodies_make(count):
    rng = random.Random(1)
    head = b"Subject: x\r\n\r\n"
    return [head + (rng.randbytes((SIZE - len(head)) // 2 - 1).hex().encode())
            + b"\r\n" for _ in range(count)]


def store_make(work, bodies):
    cur = work / "Maildir" / "cur"
    for part in ("cur", "new", "tmp"):
        (work / "Maildir" / part).mkdir(parents=True)
    for number, body in enumerate(bodies):
        (cur / f"{1600000000 + number}.M{number}P1.host:2,S").write_bytes(body)
    for command in (["init", work / "p"],
                    ["import", work / "p", "alice", "--maildir",
                     work / "Maildir"]):
        subprocess.run([MBJ, *map(str, command)], check=True,
                       stdout=subprocess.DEVNULL)


def push(work, server, user):
    start = time.monotonic()
    subprocess.run([MBJ, "push", str(work / "p"), "alice",
                    f"imap://{user}@127.0.0.1:{server.port}", "--state",
                    str(work / f"state-{user}")], env=ENV, check=True,
                   stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def bare(server, user, bodies):
    start = time.monotonic()
    client = imaplib.IMAP4("127.0.0.1", server.port)
    client.login(user, pushtest.SECRET)
    for body in bodies:
        status, answer = client.append("INBOX", r"(\Seen)", 1600000000, body)
        assert status == "OK", answer
    client.logout()
    return time.monotonic() - start


def inside(server, user):
    client = imaplib.IMAP4("127.0.0.1", server.port)
    client.login(user, pushtest.SECRET)
    count = int(client.select("INBOX", readonly=True)[1][0])
    client.logout()
    return count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("where", nargs="?",
                        default=os.environ.get("TMPDIR", "/tmp"))
    arguments = parser.parse_args()
    count, rounds = (50, 1) if arguments.quick else (arguments.count, 3)
    if not pushtest.Dovecot.can_run():
        print("no Dovecot here: skipped", file=sys.stderr)
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="mbj-bench-",
                                     dir=arguments.where) as name:
        work = pathlib.Path(name)
        os.chmod(work, 0o755)
        bodies = bodies_make(count)
        store_make(work, bodies)
        server = pushtest.Dovecot(work / "server")
        server.start()
        try:
            times = []
            for i in range(rounds):
                times.append((push(work, server, f"push{i}"),
                              bare(server, f"bare{i}", bodies)))
                assert inside(server, f"push{i}") == count
                assert inside(server, f"bare{i}") == count
            idle = push(work, server, "push0")
        finally:
            server.stop()
    rates = [count / statistics.median(column) for column in zip(*times)]
    for word, rate in zip(("push", "bare APPEND"), rates):
        print(f"{word:12} {rate:8.0f} messages/s, {rate / rates[1]:.2f}")
    print(f"nothing to do {idle * 1000:7.0f} ms")
    print(json.dumps({"bench": "push", "push_per_s": round(rates[0]),
                      "bare_per_s": round(rates[1]),
                      "ratio": round(rates[0] / rates[1], 3),
                      "idle_ms": round(idle * 1000)}))


if __name__ == "__main__":
    main()
