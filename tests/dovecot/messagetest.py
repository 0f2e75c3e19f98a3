"""Messages of a Dovecot and of the store behind it, compared."""
import calendar
import hashlib
import imaplib
import re
import subprocess
import time

import dovetest
from dovetest import DovecotCase, encode

WITHOUT = ("-o", "mail_plugins=")
LDA = "/usr/lib/dovecot/dovecot-lda"
MADE = "6d626aff"  # GUIDs that apply makes begin with it


def mail(text, lines=1):
    """CRLF, as IMAP has it."""
    return (f"Subject: {text}\r\nFrom: <a@b.c>\r\n\r\n" +
            f"{text}\r\n" * lines).encode()


def fetched(client, path):
    """What FETCH says: UID to (flags and keywords, date, size, SHA-256,
    GUID)."""
    status, _ = client.select(encode(path), readonly=True)
    assert status == "OK", path
    status, answer = client.uid(
        "FETCH", "1:*",
        "(UID FLAGS INTERNALDATE RFC822.SIZE X-GUID BODY.PEEK[])")
    assert status == "OK", answer
    found = {}
    for i, part in enumerate(answer):
        if not isinstance(part, tuple):
            continue
        # Flags that changed meanwhile come in an answer of their own.
        text = part[0] + answer[i + 1]
        uid = int(re.search(rb"UID (\d+)", text).group(1))
        words = re.search(rb"FLAGS \(([^)]*)\)", text).group(1).decode()
        date = calendar.timegm(time.gmtime(time.mktime(
            imaplib.Internaldate2tuple(part[0]))))
        assert int(re.search(rb"RFC822.SIZE (\d+)", text).group(1)) == \
            len(part[1])
        found[uid] = (sorted(w.lower() for w in words.split()
                             if w.lower() != "\\recent"),
                      date, len(part[1]),
                      hashlib.sha256(part[1]).hexdigest(),
                      re.search(rb"X-GUID (\S+)", text).group(1).decode())
    client.unselect() if "UNSELECT" in client.capabilities else client.close()
    return found


def seconds(text):
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))


class MessageCase(DovecotCase):
    """What the suites here have in common."""
    MORE = "lda_mailbox_autocreate = yes\n" + dovetest.WITH_LMTP

    def stored(self, path, store=None):
        """The same of the store."""
        document = self.mbj("messages", store or self.socket, self.user, path,
                            "--json").json()
        return {m["uid"]: (sorted(f.lower() for f in m["flags"]),
                           seconds(m["receivedAt"]), m["size"], m["blobId"],
                           m.get("guid"))
                for m in document["messages"]}

    def same_mail(self, *paths):
        """Dovecot and the store have the same messages, and nothing is in
        doubt."""
        client = self.login()
        for path in paths:
            stored, found = self.stored(path), fetched(client, path)
            for uid in stored.keys() & found.keys():
                # A message without one was given it as it was brought.
                if (stored[uid][-1] is None and
                        found[uid][-1].startswith(MADE)):
                    found[uid] = found[uid][:-1] + (None,)
            self.assertEqual(stored, found,
                             (path, self.dovecot.log(self.log_since)))
            status, answer = client.status(encode(path),
                                           "(UIDNEXT HIGHESTMODSEQ)")
            document = self.mbj("messages", self.socket, self.user, path,
                                "--json").json()
            self.assertIn(f"(UIDNEXT {document['uidNext']} HIGHESTMODSEQ "
                          f"{document['highestModSeq']})", str(answer))
        self.assertEqual(self.intents(), [], self.log())
        self.leave(client)

    def append(self, client, path, text, flags="()", date=None):
        self.ok(client.append(encode(path), flags, date, mail(text)))

    def deliver(self, path, text):
        return subprocess.run(
            [LDA, "-c", self.dovecot.conf, "-d", self.user, "-m", path],
            input=mail(text).replace(b"\r\n", b"\n"), check=False,
            timeout=60).returncode

    def without(self):
        """A session of which the journal hears nothing."""
        client = imaplib.IMAP4_stream(
            f"/usr/lib/dovecot/imap -c {self.dovecot.conf} -u {self.user} "
            "-o mail_plugins= 2>/dev/null")
        self.addCleanup(self.leave, client)
        return client

    def lmtp(self, text):
        """To two users at once, of which one is the test's."""
        for said in dovetest.lmtp(self.dovecot, (self.user, self.user + "2"),
                                  mail(text)):
            self.assertEqual(said[:1], "2", said)

    def quiet(self):
        for line in self.log().splitlines():
            self.assertNotRegex(line, "mbj: |[Pp]anic|Error", line)
