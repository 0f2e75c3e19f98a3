"""A mailbox that has more than one name in a real Dovecot, by symbolic links
or the plugin mailbox_alias: the journal has it once, by its own."""
import os
import sys
import unittest

import dovetest
from messagetest import MessageCase, mail


class Sdbox(MessageCase):
    NAME, PLACE = "{}", "mail/mailboxes"  # of a mailbox's directory

    def link(self, name, target):
        home = self.dovecot.d / "mail" / self.user / self.PLACE
        os.symlink(target.format(home / self.NAME.format("T"),
                                 self.NAME.format("T")),
                   home / self.NAME.format(name))

    def same_tree(self):
        """The journal has the tree without the links."""
        tree = dovetest.tree_of(self.login())
        told = self.told()
        self.assertEqual(told, {path: tree[path] for path in told},
                         self.log())
        self.assertEqual(set(told), {"INBOX", "T", "T/U"})
        self.assertEqual(self.intents(), [])

    def change(self, name):
        """What users do to messages by that name."""
        one = self.login()
        self.append(one, name, "a", "(\\Seen $k)")
        self.append(one, "INBOX", "b")
        self.ok(one.select("INBOX"))
        self.ok(one.uid("COPY", "1", name))
        self.ok(one.uid("MOVE", "*", name))
        self.same_mail("T", "INBOX")
        self.ok(one.select(name))
        self.ok(one.store("1:2", "+FLAGS", "(\\Flagged $k2)"))
        self.same_mail("T", "INBOX")
        self.ok(one.store("2", "+FLAGS", "(\\Deleted)"))
        self.ok(one.expunge())
        self.same_mail("T", "INBOX")
        self.assertEqual(self.deliver(name, "c"), 0)
        self.assertNotIn("save failed", self.log())
        self.assertEqual(self.doveadm("update", "--min-next-uid", "90",
                                      name)[0], 0)
        self.append(one, name, "d")
        self.same_mail("T", "INBOX")
        self.leave(one)

    def test_linked(self):
        """Goal: what is done to messages by a link's name is in the journal,
        in the mailbox that it leads to; and that one stays in the journal when
        the link gets another name, or goes.  Method: a link to what is beside
        it, and one by a whole path."""
        one = self.login()
        for name in ("T", "T/U"):
            self.ok(one.create(name))
            self.append(one, name, "first")
        self.append(one, "INBOX", "in")
        before = self.told()
        for name, target in ("L", "{1}"), ("M", "{0}"):
            self.link(name, target)
            self.change(name)
            self.same_tree()
            self.no(self.login().create(name), "exists")
            self.ok(self.login().rename(name, name + "2"))
            self.same_tree()
            self.append(self.login(), name + "2", "e")
            self.same_mail("T", "T/U", "INBOX")
            self.ok(self.login().delete(name + "2"))
            self.same_tree()
            self.same_mail("T", "T/U", "INBOX")
        self.assertEqual(self.told(), before)
        self.assertNotRegex(self.log(), "mbj: |[Pp]anic")

    def test_below(self):
        """Goal: what is made, renamed or deleted below a link is in the journal
        where it came to be.  Method: CREATE, RENAME there, from there and to
        there, DELETE."""
        one = self.login()
        self.ok(one.create("T"))
        self.ok(one.create("T/U"))
        self.link("L", "{1}")
        self.ok(one.create("L/V"))
        self.assertEqual(self.told()["T/V"], dovetest.tree_of(one)["T/V"])
        self.append(one, "L/V", "a")
        self.ok(one.rename("L/V", "L/W"))
        self.same_mail("T/W")
        self.ok(one.rename("L/W", "X"))
        self.same_mail("X")
        self.ok(one.rename("X", "L/Y"))
        self.same_mail("T/Y")
        self.ok(one.delete("L/Y"))
        self.same_tree()

    def test_elsewhere(self):
        """Goal: a link that leads out of the account, or nowhere, keeps no
        change from the journal; what is behind it is nobody's.  Method: one to
        another user's folder, one whose mailbox gets another name."""
        one, other = self.login(), self.dovecot.login(self.user + "2")
        self.addCleanup(self.leave, other)
        self.ok(other.create("T"))
        for name in ("T", "T/U"):
            self.ok(one.create(name))
        self.link("L", "{1}")
        self.link("E", str(self.dovecot.d / "mail" / (self.user + "2") /
                           self.PLACE / self.NAME.format("T")))
        self.no(self.login().append("E", None, None, mail("no")), "symbolic")
        self.ok(one.rename("T", "V"))
        self.append(one, "V", "a")
        self.no(self.login().append("L", None, None, mail("no")))
        self.ok(one.rename("V", "T"))
        self.ok(self.login().rename("E", "E2"))
        self.ok(self.login().delete("E2"))
        self.same_tree()
        self.same_mail("T")


class Maildir(Sdbox):
    LOCATION = "maildir:~/mail"
    NAME, PLACE = ".{}", "mail"

    def test_below(self):
        self.skipTest("Maildir++ has nothing below a link")


class Named(MessageCase):
    """Names that the settings have lead to others."""
    MORE = """
mail_plugins = $mail_plugins mailbox_alias
plugin {
  mailbox_alias_old = Sent
  mailbox_alias_new = Sent Messages
}
""" + MessageCase.MORE

    def test_named(self):
        """Goal: a mailbox that Dovecot makes under one name for another is in
        the journal as it is there, and what is done by either name.  Method:
        CREATE and SUBSCRIBE by the alias, messages by both, DELETE of the alias
        and of the mailbox."""
        one = self.login()
        self.ok(one.create('"Sent Messages"'))
        self.ok(one.subscribe('"Sent Messages"'))
        self.assertEqual(set(self.told()), {"INBOX", "Sent"})
        self.assertEqual(self.told_subscribed(), dovetest.subscribed(one))
        for name in ("Sent Messages", "Sent", "Sent Messages"):
            self.append(self.login(), name, "a")
            self.same_mail("Sent")
        self.ok(one.select('"Sent Messages"'))
        self.ok(one.store("1", "+FLAGS", "(\\Deleted $k)"))
        self.ok(one.expunge())
        self.same_mail("Sent")
        self.ok(one.create('"A"'))
        self.assertEqual(set(self.told()), {"INBOX", "Sent", "A"})
        self.ok(one.unselect())
        self.ok(one.delete('"Sent Messages"'))
        self.same_mail("Sent")
        self.ok(one.delete("Sent"))
        self.assertEqual(set(self.told()), {"INBOX", "A"})
        self.assertNotRegex(self.log(), "mbj: |[Pp]anic")


if __name__ == "__main__":
    if not dovetest.can_run():
        print("SKIPPED: there is no Dovecot, or no plugin for it")
        sys.exit(77)
    unittest.main(warnings=os.environ.get("PYTHONWARNINGS", "ignore"))
