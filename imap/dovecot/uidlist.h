/*
 * What a Maildir's dovecot-uidlist says of the mailbox, and of the messages
 * that came last, without all the rest of it.
 *
 * Dovecot has the whole list in memory before it answers: 3 ms of a processor
 * for 16,384 messages, where a delivery takes one; and a change is looked at
 * through mailboxes that are opened for it.
 */
#ifndef MBJ_DOVECOT_UIDLIST_H
#define MBJ_DOVECOT_UIDLIST_H

#include <lib.h>

#include <mail-storage-private.h>

#include <mbj/types.h>

struct uidlist_head {
	struct mbj_id guid;
	uint32_t uidvalidity;
};

/*
 * What the head of the list at the mailbox's name says, which need not be open.
 * Returns: false, it is of another format, or the list is not there, or not
 * whole, or has no GUID, and says nothing.
 */
bool uidlist_head(struct mailbox *box, struct uidlist_head *ret_head);
/*
 * Of an open mailbox of any format.  Returns: -1, as of mailbox_get_metadata.
 */
int box_guid(struct mailbox *box, struct mbj_id *ret_guid);
/*
 * The name of the file of a message, without flags, where it is one of the last
 * some hundred in the list.  NULL: it is not, or the list cannot be read.  On
 * the data stack.
 */
const char *uidlist_late_name(struct mailbox *box, uint32_t uid);

#endif
