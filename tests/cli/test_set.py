#!/usr/bin/env python3
"""JMAP Mailbox/set (RFC 8620 section 5.3, RFC 8621 section 2.5), from outside.
"""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from mbjtest import (A, B, C, Case, D, INBOX, OK, REFUSED, ROWS,  # noqa: E402
                     mailbox_id)


class Set(Case):
    def set(self, request, status=OK):
        return self.mbj("set", self.p, "alice", stdin=request,
                        status=status).json()

    def test_everything_at_once(self):
        """Goal: RFC 8621 Mailbox/set.  Method: create with references, swap,
        destroy, states."""
        imported = self.account(ROWS).json()
        response = self.set({
            "ifInState": imported["newState"],
            "create": {"k1": {"name": "New", "parentId": "#k2"},
                       "k2": {"name": "Top", "parentId": None,
                              "role": "archive", "isSubscribed": True}},
            "update": {A: {"name": "B"}, B: {"name": "A"}},
            "destroy": [C]})
        self.assertEqual(response["schema"], "mbj.set/1")
        self.assertEqual(sorted(response["created"]), ["k1", "k2"])
        self.assertEqual(response["destroyed"], [C])
        self.assertEqual(sorted(response["updated"]), sorted([A, B]))
        paths = self.paths()
        self.assertEqual(paths["Top/New"], response["created"]["k1"]["id"])
        self.assertEqual(paths["A"], B)
        self.agree()

    def test_plan_shows_refusals(self):
        """Goal: a dry run hides nothing.  Method: some of a request is
        refused, when it is read and when it is judged; the plan has what the
        response has, and the rest."""
        self.account(ROWS)
        request = {"create": {"k1": {"name": "x/y"}, "k2": {"name": "New"}},
                   "update": {A: {"parentId": B}, B: {"parentId": A}},
                   "destroy": ["nobody"]}
        said = self.mbj("set", self.p, "alice", "-n", "--json", stdin=request,
                        status=REFUSED)
        plan = said.json()
        text = self.mbj("set", self.p, "alice", "-n", stdin=request,
                        status=REFUSED).out
        response = self.set(request, REFUSED)
        for part in ("notCreated", "notUpdated", "notDestroyed"):
            self.assertTrue(plan[part], part)
            self.assertEqual(plan[part], response[part])
            for key, error in plan[part].items():
                self.assertIn(f"refused: {key}: {error['type']}", text)
        self.assertEqual(len(plan["steps"]), 2)
        self.assertIn("the plan says why", said.err)
        whole = self.mbj("set", self.p, "alice", "-n", "--json",
                         stdin={"destroy": [D]}).json()
        self.assertNotIn("notCreated", whole)

    def test_state_mismatch(self):
        """Goal: ifInState guards.  Method: an old state; nothing happens."""
        self.account(ROWS)
        before = self.tree()
        error = self.set({"ifInState": "0", "destroy": [C]}, REFUSED)
        self.assertEqual(error["type"], "stateMismatch")
        self.assertEqual(self.tree(), before)

    def test_contradiction_refuses_exactly_one(self):
        """Goal: A under B and B under A.  Method: one of them, the same."""
        self.account(ROWS)
        request = {"update": {A: {"parentId": B}, B: {"parentId": A}}}
        response = self.set(request, REFUSED)
        self.assertEqual(list(response["updated"]), [A])
        self.assertEqual(list(response["notUpdated"]), [B])

    def test_final_tree_judges(self):
        """Goal: alreadyExists and mailboxHasChild are judged at the end.
        Method: destroy parent with child; take the name of a destroyed one."""
        self.account(ROWS)
        response = self.set({"destroy": [A, C], "update": {B: {"name": "A"}}})
        self.assertEqual(sorted(response["destroyed"]), sorted([A, C]))
        self.assertEqual(self.paths()["A"], B)
        refused = self.set({"destroy": [B]}, REFUSED)
        self.assertEqual(refused["notDestroyed"][B]["type"], "mailboxHasChild")
        refused = self.set({"create": {"k": {"name": "A"}}}, REFUSED)
        self.assertEqual(refused["notCreated"]["k"]["type"], "alreadyExists")

    def test_items_are_refused_alone(self):
        """Goal: one bad item costs that item.  Method: bad and good mixed."""
        self.account(ROWS)
        response = self.set({
            "create": {"bad": {"name": "a/b"}, "good": {"name": "Good"}},
            "update": {mailbox_id(77): {"name": "x"}, INBOX: {"name": "x"},
                       A: {"name": "ok", "totalEmails": 3}},
            "destroy": ["nonsense", INBOX]}, REFUSED)
        self.assertEqual(list(response["created"]), ["good"])
        self.assertEqual(response["notCreated"]["bad"]["type"],
                         "invalidProperties")
        self.assertEqual(response["notUpdated"][mailbox_id(77)]["type"],
                         "notFound")
        self.assertEqual(response["notUpdated"][A]["type"],
                         "invalidProperties")
        self.assertIn(INBOX, response["notUpdated"])
        self.assertIn(INBOX, response["notDestroyed"])
        self.assertIn("nonsense", response["notDestroyed"])
        self.assertEqual(self.paths()["A"], A)
        self.agree()

    def test_references_in_any_order(self):
        """Goal: "#k" is the mailbox that the call makes (RFC 8620 section
        5.3).  Method: children before parents, an update below a create, a
        reference to nothing, a circle of creates."""
        self.account(ROWS)
        made = self.set({
            "create": {"c3": {"name": "3", "parentId": "#c2"},
                       "c1": {"name": "1", "parentId": None},
                       "c2": {"name": "2", "parentId": "#c1"}},
            "update": {A: {"parentId": "#c3"}}})["created"]
        paths = self.paths()
        self.assertEqual(paths["1/2/3"], made["c3"]["id"])
        self.assertEqual(paths["1/2/3/A/C"], C)
        answer = self.set({
            "create": {"x": {"name": "x", "parentId": "#y"},
                       "y": {"name": "y", "parentId": "#x"},
                       "z": {"name": "z", "parentId": "#none"}},
            "update": {B: {"parentId": "#z"}}}, REFUSED)
        self.assertIsNone(answer["created"])
        for refusal in (*answer["notCreated"].values(),
                        answer["notUpdated"][B]):
            self.assertEqual(refusal["type"], "invalidProperties")
            self.assertEqual(refusal["properties"], ["parentId"])
        self.agree()

    def test_update_of_a_create(self):
        """Goal: what the call makes it can update (erratum 6607 of RFC 8620).
        Method: each property by another value; a name that NFC changes; one
        that is taken, which the create is refused with; a patch that cannot
        be read, which it is made without; a destroy, which finds nothing."""
        self.account(ROWS)
        answer = self.set({
            "create": {"k": {"name": "k", "isSubscribed": True},
                       "j": {"name": "j"}},
            "update": {"#k": {"name": "e\u0301", "parentId": "#j",
                              "role": "junk", "isSubscribed": False}}})
        made = answer["created"]["k"]["id"]
        self.assertEqual(answer["updated"], {made: {"name": "\u00e9"}})
        self.assertEqual(self.paths()["j/\u00e9"], made)
        tree = self.mbj("tree", self.p, "alice", "--json").json()
        row = next(m for m in tree["list"] if m["id"] == made)
        self.assertEqual((row["role"], row["isSubscribed"]), ("junk", False))
        answer = self.set({
            "create": {"k": {"name": "k"}, "l": {"name": "l"},
                       "m": {"name": "m"}},
            "update": {"#k": {"name": "j"}, "#l": {"size": 1}},
            "destroy": ["#m"]}, REFUSED)
        self.assertEqual(sorted(answer["created"]), ["l", "m"])
        self.assertEqual(answer["notCreated"]["k"]["type"], "alreadyExists")
        self.assertEqual(
            {key: e["type"] for key, e in answer["notUpdated"].items()},
            {"#k": "alreadyExists", "#l": "invalidProperties"})
        self.assertEqual(answer["notDestroyed"]["#m"]["type"], "notFound")
        self.agree()

    def test_properties(self):
        """Goal: what can be set is set, the rest is refused by name.
        Method: null for each property, unknown ones, the server's own, paths
        into values, sortOrder."""
        self.account(ROWS)
        self.set({"update": {A: {"role": "archive", "isSubscribed": True},
                             D: {"sortOrder": 0, "isSubscribed": True}}})
        self.assertEqual(self.subscribed(), ["A", "B/D"])
        self.set({"update": {A: {"role": None, "isSubscribed": None},
                             C: {"parentId": None, "sortOrder": None}}})
        self.assertEqual(self.subscribed(), ["B/D"])
        self.assertEqual(self.paths()["C"], C)
        for patch, names in (
                ({"name": None}, ["name"]), ({"name": 3}, ["name"]),
                ({"bogus": 1, "more": 2}, ["bogus", "more"]),
                ({"sortOrder": 7}, ["sortOrder"]),
                ({"totalEmails": 0}, ["totalEmails"]),
                ({"myRights": {}}, ["myRights"]),
                ({"myRights/mayRename": False}, ["myRights/mayRename"]),
                ({"parentId": "temp"}, ["parentId"]),
                ({"parentId": "f" * 32}, ["parentId"]),
                ({"parentId": mailbox_id(99)}, ["parentId"]),
                ({"isSubscribed": "yes"}, ["isSubscribed"]),
                ({"role": "king"}, ["role"]),
                ({"id": B}, ["id"])):
            answer = self.set({"update": {A: {**patch}}}, REFUSED)
            refusal = answer["notUpdated"][A]
            self.assertEqual(refusal["type"], "invalidProperties", patch)
            self.assertEqual(refusal["properties"], names, patch)
            answer = self.set({"create": {"k": {"name": "K", **patch}}},
                              REFUSED)
            self.assertEqual(answer["notCreated"]["k"]["properties"], names)
            self.assertIsNone(answer["lsn"])
        self.set({"update": {A: {"id": A, "name": "AA"}}})
        self.agree()

    def test_roles(self):
        """Goal: a role has one holder (RFC 8621 section 2).  Method: two
        creates, a taken role, handing it over in one call, a list."""
        self.account(ROWS)
        answer = self.set({"create": {"k": {"name": "K", "role": "junk"},
                                      "l": {"name": "L", "role": "junk"}}},
                          REFUSED)
        self.assertEqual(answer["notCreated"]["l"]["properties"], ["role"])
        k = answer["created"]["k"]["id"]
        answer = self.set({"update": {A: {"role": "junk"}}}, REFUSED)
        self.assertIn(k, answer["notUpdated"][A]["description"])
        self.set({"update": {A: {"role": "junk"}, k: {"role": None}}})
        self.set({"update": {B: {"role": "junk"}, C: {"parentId": None}},
                  "destroy": [A]})
        document = self.mbj("tree", self.p, "alice", "--json").json()
        self.assertEqual([m["id"] for m in document["list"] if m["role"]
                          == "junk"], [B])
        document["list"][0]["role"] = document["list"][1]["role"] = "sent"
        self.mbj("reconcile", self.p, "alice", stdin=document, status=REFUSED)
        self.mbj("import", self.p, "copy", stdin=document, status=REFUSED)
        self.agree()

    def test_arguments(self):
        """Goal: the arguments of Mailbox/set are judged.  Method: states,
        accounts, onDestroyRemoveEmails, unknown ones, wrong types."""
        imported = self.account(ROWS).json()
        for state in ("0", "2", "01", "x", "99999999999999999999"):
            error = self.set({"ifInState": state, "destroy": [C]}, REFUSED)
            self.assertEqual(error["type"], "stateMismatch", state)
        for account in ("alice", imported["accountId"]):
            answer = self.set({"accountId": account, "ifInState": None})
            self.assertEqual(answer["accountId"], imported["accountId"])
        error = self.set({"accountId": "bob"}, REFUSED)
        self.assertEqual(error["type"], "accountNotFound")
        for wrong in ({"onDestroyRemoveEmails": 1}, {"create": []},
                      {"update": [A]}, {"destroy": A}, {"destroy": [1]},
                      {"create": {"k": 1}}, {"update": {A: 1}},
                      {"create": {"": {"name": "x"}}}, {"ids": []},
                      {"ifInState": 1}):
            error = self.set(wrong, REFUSED)
            self.assertEqual(error["type"], "invalidArguments", wrong)
        for remove in (True, False, None):
            answer = self.set({"onDestroyRemoveEmails": remove,
                               "destroy": [A]}, REFUSED)
            self.assertEqual(answer["notDestroyed"][A]["type"],
                             "mailboxHasChild")
        answer = self.set({"onDestroyRemoveEmails": True, "destroy": [C, C]})
        self.assertEqual(answer["destroyed"], [C])


if __name__ == "__main__":
    unittest.main(verbosity=1)
