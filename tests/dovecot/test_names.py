"""Names that the second Dovecot cannot have: folders and mail come all the
same, under names of their own."""
import json

import dovetest
import pairtest
from dovetest import encode
from pairtest import PairCase, mail, status_of

LONG = "l" * 100


class Names(PairCase):
    """Of an sdbox, in a Maildir++: no dot, and a path is one file's name."""
    LOCATION_THERE = "maildir:~/Maildir"
    NAMES = ("a.b", "a.b/c", "a.b/c/d.e", "good", "good/x.", LONG,
             f"{LONG}/{LONG}", f"{LONG}/{LONG}/{LONG}",
             f"{LONG}/{LONG}/{LONG}/z", "2.0 \u6f22" + "\u6f22" * 60)

    def setUp(self):
        super().setUp()
        self.one = self.login()
        for name in self.NAMES:
            self.ok(self.one.create(encode(name)))
            self.ok(self.one.append(encode(name), "(\\Flagged $k)", None,
                                    mail("in it")))

    def by_guid(self, client):
        """What is in each mailbox, and its name."""
        found = {}
        for path, has in dovetest.tree_of(client).items():
            if has is not None:
                status = status_of(client, path)
                status.pop("HIGHESTMODSEQ")
                found[has[0]] = (path, status, pairtest.fetched(client, path))
        return found

    def names_there(self, *, wrong, differs=frozenset()):
        """What the first's names are at the second, where all else is the
        same; so many of them cannot be there."""
        here = self.by_guid(self.one)
        self.follow()
        said = self.apply(75 if wrong else 0)
        self.assertEqual(said.count("cannot have its name"), wrong, said)
        self.assertEqual(said.count("Error"), wrong, said)
        self.assertEqual(self.apply(75 if wrong else 0), said)
        two = self.login_other()
        there = self.by_guid(two)
        self.leave(two)
        self.assertEqual({guid: has[1:] for guid, has in there.items()},
                         {guid: has[1:] for guid, has in here.items()})
        status, out = self.other.doveadm("-f", "json", "mbj", "verify", "-u",
                                         self.user)
        self.assertEqual(status, 3 if wrong else 0, out)
        self.assertEqual({row["what"] for row in json.loads(out)},
                         ({"name"} | differs) if wrong else set(), out)
        return {has[0]: there[guid][0] for guid, has in here.items()}

    def test_names(self):
        """Goal: nothing but the name is another one, by which a user finds the
        folder; each run says which, and changes no more; names that can be are
        as at the first, again when they can be.  Method: dots, and
        paths of up to 400 bytes; renames between both kinds."""
        names = self.names_there(wrong=5)
        self.assertEqual(names["good"], "good")
        self.assertRegex(names["a.b"], "^a_b-[0-9a-f]{8}$")
        self.assertEqual(names["a.b/c"], names["a.b"] + "/c")
        self.assertRegex(names["a.b/c/d.e"], "^a_b-.{8}/c/d_e-.{8}$")
        self.assertRegex(names["good/x."], "^good/x_-.{8}$")
        deep = names[f"{LONG}/{LONG}/{LONG}"]
        self.assertRegex(deep, f"^{LONG}-.{{8}}$")
        self.assertEqual(names[f"{LONG}/{LONG}/{LONG}/z"], deep + "/z")
        for source, target in (("a.b", "t"), ("good", "a.b"), ("t", "good")):
            self.ok(self.one.rename(source, target))
        names = self.names_there(wrong=5)
        self.assertEqual(names["good"], "good")
        self.assertRegex(names["a.b"], "^a_b-.{8}$")
        self.assertRegex(names["good/c/d.e"], "^good/c/d_e-.{8}$")
        for source, target in (
                ("a.b/x.", "x"), ("a.b", "free"), ("good/c/d.e", "d"),
                (f"{LONG}/{LONG}/{LONG}", "deep"),
                (self.NAMES[-1], "\u6f22")):
            self.ok(self.one.rename(encode(source), encode(target)))
        names = self.names_there(wrong=0)
        self.assertEqual(names, {name: name for name in names})

    def test_subscribed(self):
        """Goal: who subscribes such a mailbox subscribes it there, too."""
        for name in ("a.b", "a.b/c/d.e", "good"):
            self.ok(self.one.subscribe(name))
        names = self.names_there(wrong=5, differs={"subscription"})
        self.assertEqual(dovetest.subscribed(self.login_other()),
                         {names[name] for name in
                          ("a.b", "a.b/c/d.e", "good")})

    def test_taken(self):
        """Goal: where the name that a folder would get is another folder's,
        that has it, and the first is called otherwise.  Method: names as the
        second calls them, made at the first, beside it and at the top."""
        taken = self.names_there(wrong=5)["a.b"]
        self.ok(self.one.create("far"))
        self.ok(self.one.rename("a.b", "far/a.b"))
        self.ok(self.one.create(taken))
        names = self.names_there(wrong=5)
        self.assertEqual((names[taken], names["far/a.b"]),
                         (taken, "far/" + taken))
        self.ok(self.one.rename(taken, "far/" + taken))
        names = self.names_there(wrong=5)
        self.assertEqual((names["far/" + taken], names["far/a.b"]),
                         ("far/" + taken, taken))
        self.ok(self.one.create(taken))
        names = self.names_there(wrong=5)
        self.assertEqual((names["far/" + taken], names[taken]),
                         ("far/" + taken, taken))
        self.assertRegex(names["far/a.b"], "^a_b-[0-9a-f]{32}$")
        self.assertEqual(names["far/a.b/c"], names["far/a.b"] + "/c")

    def test_over(self):
        """Goal: at a host that takes over the names that it has are the
        account's once a change meets one of them, with all mail.  Method: the
        replica's store is promoted, and a session saves mail."""
        names = self.names_there(wrong=5)
        self.promote_replica()
        two = self.login_other()
        self.ok(two.append(encode(names["a.b"]), None, None, mail("first")))
        self.leave(two)
        tree = self.mbj("tree", self.other_socket, self.user, "--json").json()
        nodes = {n["id"]: n for n in tree["list"]}

        def path(node):
            above = nodes.get(node["parentId"])
            return (path(above) + "/" if above else "") + node["name"]
        self.assertEqual({path(n) for n in tree["list"]},
                         set(names.values()))
        self.assertEqual(self.other.doveadm("mbj", "verify", "-u",
                                            self.user)[0], 0)


if __name__ == "__main__":
    pairtest.main()
