/*
 * Maildirs: names of files that outlive a killed save.  See apply.h.
 *
 * Dovecot moves the files of a save into cur/ and new/, then gives them UIDs
 * and GUIDs in dovecot-uidlist.  Killed in between, files are left that the
 * next session gives UIDs in an order of its own, and has no GUID for but their
 * names.  So each file of ours has a name that tells, or one that is noted
 * (apply_note.h), and what no UID was given for is removed before anybody gives
 * one; it is saved again.
 */
#ifndef MBJ_DOVECOT_APPLY_MAILDIR_H
#define MBJ_DOVECOT_APPLY_MAILDIR_H

#include "apply.h"

struct mbj_message;

bool maildir_is(const struct mailbox *box);
/*
 * Instead of a message's GUID, such that Dovecot names its file by it: with the
 * sizes that it will find.  input is read to its end and goes back to where it
 * begins.  In memory of the data stack.
 * Returns: NULL, the stream has the error.
 */
const char *maildir_guid(struct mailbox *box, const struct mbj_message *message,
			 struct istream *input);
/* Those that Dovecot wants in a GUID before it names a file by it. */
bool maildir_name_has_sizes(const char *name);
/*
 * Of an open Maildir: remove what a killed save left, where the list of its
 * UIDs says that it is the journal's.  Where the journal may never have had it
 * (KNOWN_DOUBT_ALL) it gets another name, and stays for Dovecot to list.
 * Returns: -1, an error of the box.
 */
int maildir_tidy(struct apply *apply, struct mailbox *box);
/*
 * mailbox_update of an open Maildir, with another UIDVALIDITY: where nothing is
 * in it UIDs begin with 1 again.  Returns: -1, an error of the box.
 */
int maildir_update_anew(struct mailbox *box,
			const struct mailbox_update *update);

#endif
