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
 * A mailbox's GUID, which is the list's index's where it is not open.  Where
 * that index cannot be read it is opened: mailbox_get_metadata would end in a
 * panic.  Returns: -1, as of that.
 */
int box_guid_ask(struct mailbox *box, struct mbj_id *ret_guid);
/*
 * The same of an open mailbox of any format: of one without such a list its
 * GUID, and UIDVALIDITY 0.  Returns: -1, as of box_guid_ask.
 */
int box_head(struct mailbox *box, struct uidlist_head *ret_head);
/*
 * The index that box has open has another UIDVALIDITY than the list at its
 * name, or none: it is behind, or another mailbox has come there.
 */
bool box_is_behind(struct mailbox *box, const struct uidlist_head *head);
/*
 * The last some hundred lines of the list, to look into for several messages;
 * "" where there is none that can be read.  Ownership is the caller's (i_free).
 */
char *uidlist_end(struct mailbox *box);
/*
 * The name of the file of a message, without flags, where its line is in end.
 * NULL: it is not.  On the data stack.
 */
const char *uidlist_end_name(const char *end, uint32_t uid);
/* The GUID of that message: its own in the list, or that name. */
const char *uidlist_end_guid(const char *end, uint32_t uid);

#endif
