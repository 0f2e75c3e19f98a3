"""Accounts, quota, access control lists, METADATA and subscriptions, from
outside: by oneself and through the service."""
import socket
import subprocess
import time
import unittest

import mbjtest
from mbjtest import FAILED, OK, REFUSED, ROWS, USAGE, Case, run

TEMPORARY = 75

# Verb, operands behind the account, input, status: in order, on one account.
SESSION = (
    (("quota",), None, OK),
    (("setquota", "--messages", "2", "--size", "1K"), None, OK),
    (("setquota", "--size", "1024", "--json"), None, OK),
    (("quota",), None, OK),
    (("quota", "--json"), None, OK),
    (("setacl", "A", "bob", "srl"), None, OK),
    (("setacl", "A", "bob", "+d"), None, OK),
    (("setacl", "A", "--", "bob", "-s"), None, OK),
    (("setacl", "A", "--", "-bob", "w"), None, OK),
    (("setacl", "A", "ann", "l", "-n"), None, OK),
    (("setacl", "A", "ann", "l", "-n", "--json"), None, OK),
    (("acl", "A"), None, OK),
    (("acl", "A", "--json"), None, OK),
    (("setacl", "A", "bob", ""), None, OK),
    (("acl", "A"), None, OK),
    (("setmetadata", "A", "/Shared/comment", "a\nb"), None, OK),
    (("setmetadata", "A", "/private/bytes"), b"\0\xff", OK),
    (("metadata", "A"), None, OK),
    (("metadata", "A", "--json"), None, OK),
    (("metadata", "A", "/shared/COMMENT"), None, OK),
    (("setmetadata", "A", "/private/bytes", "--remove"), None, OK),
    (("metadata", "A", "/private/bytes"), None, REFUSED),
    (("subscribe", "A", "Lists/mbj", "inbox"), None, OK),
    (("subscribe", "A"), None, OK),
    (("subscribe", "--utf7", "&AOk-"), None, OK),
    (("subscriptions",), None, OK),
    (("subscriptions", "--utf7", "--json"), None, OK),
    (("unsubscribe", "A", "nothing"), None, OK),
    (("subscriptions", "--json"), None, OK),
    # The account's own: IMAP's mailbox "".
    (("setmetadata", "", "/shared/Admin", "a@b"), None, OK),
    (("setmetadata", "", "/private/x", "y", "-n"), None, OK),
    (("metadata", ""), None, OK),
    (("metadata", "", "--json"), None, OK),
    (("metadata", "", "/shared/admin"), None, OK),
    (("metadata", "", "/shared/other"), None, REFUSED),
    (("setmetadata", "", "/shared//x", "y"), None, REFUSED),
    (("acl", ""), None, REFUSED),
    (("setacl", "", "bob", "l"), None, REFUSED),
    # What is wrong is named.
    (("setacl", "A", "bob", "lz"), None, REFUSED),
    (("setacl", "A", "", "l"), None, REFUSED),
    (("setacl", "nowhere", "bob", "l"), None, REFUSED),
    (("acl", "nowhere"), None, REFUSED),
    (("setmetadata", "A", "/vendor/x", "y"), None, REFUSED),
    (("setmetadata", "A", "/shared/x", ""), None, REFUSED),
    (("setmetadata", "A", "/shared/x"), b"x" * 65537, REFUSED),
    # More than a text of the service's frames: the same words.
    (("setmetadata", "A", "/shared/x"), b"x" * (1 << 20), REFUSED),
    (("setmetadata", "A", "/shared/x"), b"x" * ((1 << 20) + 1), REFUSED),
    (("setmetadata", "A", "/shared/x", "y", "--remove"), None, USAGE),
    (("subscribe", "a//b"), None, REFUSED),
    (("setquota",), None, USAGE),
    (("setquota", "--size", "0"), None, USAGE),
    (("setquota", "--size", "5X"), None, USAGE),
    (("setquota", "--size", "9007199254740992K"), None, USAGE),
    (("setquota", "--size", "9007199254740991K"), None, OK),
    (("setquota", "--messages", "5K"), None, USAGE),
    (("setquota", "--messages", "9223372036854775808"), None, USAGE),
    (("setquota", "--messages", "none", "--size", "none"), None, OK),
    (("quota",), None, OK),
)


class Metadata(Case):
    def setUp(self):
        super().setUp()
        self.account(ROWS)

    def session(self):
        """What is said in the whole session, without names that differ."""
        said = []
        account = self.mbj("quota", self.p, "alice",
                           "--json").json()["accountId"]
        for (verb, *operands), stdin, status in SESSION:
            result = self.mbj(verb, self.p, "alice", *operands, stdin=stdin,
                              status=status)
            said.append((verb, operands, *(
                text.replace(account, "ID").replace(str(self.p), "P")
                for text in (result.out, result.err))))
        return said

    def serve(self):
        server = subprocess.Popen([mbjtest.MBJ, "serve", str(self.p)],
                                  stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        # Anything that opens the store itself would be in its way.
        for _ in range(6000):
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(str(self.p / "socket")) == 0:
                    return
            self.assertIsNone(server.poll(), "the service ended")
            time.sleep(0.01)
        self.fail("the service does not answer")

    def test_session(self):
        """Goal: each verb does what it says, twice the same.  Method: a
        session on a store, and on another one through its service: every word
        of it equal; both replicated."""
        first = self.session()
        said = {(verb, *operands): out for verb, operands, out, _ in first}
        for verb, operands, _, err in first:
            if verb == "acl" and operands == [""]:
                self.assertIn('there is no mailbox ""', err)
        self.assertEqual(said["acl", "A"], "-bob  w\n")
        self.assertEqual(said["metadata", "A", "/shared/COMMENT"], "a\nb")
        self.assertEqual(said["metadata", ""], "/shared/admin: a@b\n")
        self.assertEqual(said["metadata", "", "--json"],
                         '{"schema":"mbj.metadata/1","accountId":"ID",'
                         '"list":[{"entry":"/shared/admin","value":"a@b"}]}\n')
        self.assertEqual(said["subscriptions", "--json"],
                         '{"schema":"mbj.subscriptions/1",'
                         '"list":["INBOX","Lists/mbj","é"]}\n')
        self.assertEqual(said["quota",], "messages  0, no limit\n"
                                         "size      0 bytes, no limit\n")
        self.agree()
        other = Metadata()
        Metadata.setUp(other)
        self.addCleanup(other.doCleanups)
        other.serve()
        self.assertEqual(other.session(), first)
        # More than a frame has room for never comes that far.
        for store in (self.p, other.p):
            result = run("setmetadata", store, "alice", "A", "/shared/x",
                         stdin=b"x" * (2 << 20))
            self.assertEqual(result.status, REFUSED, result.err)
        self.assertIn("service", run("status", other.p).out)

    def test_json(self):
        """Goal: what is read has its schema, and says all."""
        self.mbj("setacl", self.p, "alice", "A", "bob", "lr")
        self.mbj("setmetadata", self.p, "alice", "A", "/private/x",
                 stdin=b"\xff")
        self.mbj("setmetadata", self.p, "alice", "A", "/shared/x", "é")
        self.mbj("setquota", self.p, "alice", "--size", "2G")
        mailbox = self.paths()["A"]
        self.assertEqual(self.mbj("acl", self.p, "alice", "A", "--json")
                         .json(), {
            "schema": "mbj.acl/1", "mailboxId": mailbox,
            "list": [{"identifier": "bob", "rights": "lr"}]})
        self.assertEqual(self.mbj("metadata", self.p, "alice", "A", "--json")
                         .json(), {
            "schema": "mbj.metadata/1", "mailboxId": mailbox,
            "list": [{"entry": "/private/x", "value": {"hex": "ff"}},
                     {"entry": "/shared/x", "value": "é"}]})
        quota = self.mbj("quota", self.p, "alice", "--json").json()
        self.assertEqual((quota["messages"], quota["size"]), (
            {"used": 0, "limit": None}, {"used": 0, "limit": 2 << 30}))

    def test_rename_keeps_and_delete_drops(self):
        """Goal: lists and METADATA go with the mailbox, not with its name."""
        self.mbj("setacl", self.p, "alice", "A", "bob", "lr")
        self.mbj("setmetadata", self.p, "alice", "B", "/shared/x", "b")
        self.mbj("rename", self.p, "alice", "A>B", "B>A")
        self.assertEqual(self.mbj("acl", self.p, "alice", "B").out,
                         "bob  lr\n")
        self.assertEqual(self.mbj("metadata", self.p, "alice", "A",
                                  "/shared/x").out, "b")
        ids = self.paths()
        self.mbj("set", self.p, "alice", stdin={
            "destroy": [ids["B"], ids["B/C"]],
            "create": {"k": {"name": "B"}}})
        self.assertEqual(self.mbj("acl", self.p, "alice", "B").out, "")
        self.agree()

    def test_over_quota(self):
        """Goal: appends and copies over a limit are refused as that, moves
        are not; an MTA tries again; a replay asks no limit."""
        deliver = ["deliver", self.p, "alice"]
        self.mbj(*deliver, stdin=b"12345")
        self.mbj(*deliver, stdin=b"123")
        self.mbj("setquota", self.p, "alice", "--size", "10")
        result = self.mbj(*deliver, "--json", stdin=b"123", status=TEMPORARY)
        self.assertEqual(result.json()["type"], "overQuota")
        self.assertIn('the account "alice" has 2 messages (no limit) of 8 bytes '
                      "(limit 10)", result.err)
        result = self.mbj("mv", self.p, "alice", "INBOX", "1", "A", "--copy",
                          status=REFUSED)
        self.assertEqual(result.json()["type"], "overQuota")
        self.mbj("mv", self.p, "alice", "INBOX", "1", "A")
        self.mbj(*deliver, stdin=b"12")
        self.mbj("setquota", self.p, "alice", "--size", "1")
        self.agree()
        self.assertEqual(self.mbj("quota", self.r, "alice").out,
                         self.mbj("quota", self.p, "alice").out)
        self.assertIn("10 of 1", self.mbj("quota", self.r, "alice").out)

    def test_requests(self):
        """Goal: asked again with its id, nothing is done twice; not even
        where its account has another name by now."""
        for operands in (["setacl", self.p, "alice", "A", "bob", "+l"],
                         ["subscribe", self.p, "alice", "x"],
                         ["account", "rename", self.p, "alice", "carol"]):
            once, again = (self.mbj(*operands, "--request-id",
                                    operands[0]).out for _ in range(2))
            self.assertEqual(once, again)
        self.assertEqual(self.mbj("acl", self.p, "carol", "A").out, "bob  l\n")

    def test_accounts(self):
        """Goal: accounts are created with an INBOX, renamed with all they
        have, deleted with mail only where that is said; each mistake is
        named."""
        account = ["account"]
        self.mbj("account", "create", self.p, "bob", "--delimiter", ".",
                 "--fold-case")
        self.assertEqual(list(self.paths(name="bob")), ["INBOX"])
        row = next(a for a in self.mbj("accounts", self.p, "--json")
                   .json()["list"] if a["name"] == "bob")
        self.assertEqual((row["delimiter"], row["foldsCase"]), (".", True))
        self.mbj("setacl", self.p, "bob", "INBOX", "ann", "l")
        self.mbj("deliver", self.p, "bob", stdin=b"x")
        self.assertIn("account-rename", self.mbj(
            "account", "rename", self.p, "bob", "carol", "-n").out)
        self.mbj("account", "rename", self.p, "bob", "carol")
        self.assertEqual(self.mbj("acl", self.p, "carol", "INBOX").out,
                         "ann  l\n")
        self.mbj("account", "create", self.p, "alice", status=REFUSED)
        self.mbj("account", "rename", self.p, "carol", "alice",
                 status=REFUSED)
        for status, *operands in (
                (FAILED, "rename", self.p, "bob", "x"),
                (FAILED, "delete", self.p, "bob"),
                (USAGE, "rename", self.p, "carol"),
                (USAGE, "delete", self.p, "carol", "x"),
                (USAGE, "create", self.p, "carol", "x"),
                (USAGE, "drop", self.p, "carol"),
                (USAGE, "create", self.p, "x", "--delimiter", "!"),
                (REFUSED, "rename", self.p, "carol", "a\tb")):
            self.mbj(*account, *operands, status=status)
        result = self.mbj("account", "delete", self.p, "carol", "--json",
                          status=REFUSED)
        self.assertEqual((result.json()["type"], result.json()["account"]),
                         ("mailboxHasEmail", "carol"))
        self.assertIn("--remove-messages deletes them", result.err)
        self.mbj("account", "delete", self.p, "carol", "--remove-messages")
        self.assertEqual([a["name"] for a in self.mbj(
            "accounts", self.p, "--json").json()["list"]], ["alice"])
        self.agree()


if __name__ == "__main__":
    unittest.main()
