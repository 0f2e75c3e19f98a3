/*
 * Nobody works in a Maildir while it is renamed.
 *
 * Dovecot goes by paths.  A session that synchronises a Maildir, or saves to
 * it, while another one renames it finds no dovecot-keywords where that was,
 * and puts keywords called unknown-N into the index; and the file of its lock
 * goes along with the directory: whoever opens the mailbox by its new name
 * waits for it, for minutes.  Dovecot's RENAME takes no lock of the mailbox;
 * so it is taken here, of all that moves, as by those that synchronise: that
 * of dovecot-uidlist.  The file of it then goes along, too, and is removed at
 * its new place.
 *
 * The lock of the user's list comes first, as where messages are saved.
 */
#ifndef MBJ_DOVECOT_MAILDIR_HOLD_H
#define MBJ_DOVECOT_MAILDIR_HOLD_H

#include <lib.h>

#include <stdbool.h>

#include <array.h>
#include <mail-storage-private.h>

struct hold {
	struct mailbox *box;
	pool_t pool;		       /* NULL: nothing is held */
	ARRAY(struct held_lock) locks; /* in the pool */
};

/*
 * Of box, and of what is below it, until hold_drop; nothing of other formats,
 * nor what is not there or cannot be locked: Dovecot says what is wrong.  Waits
 * for as long as Dovecot does (mail_max_lock_timeout), 30 seconds at most.
 * Returns: -1, nothing is held, and box's storage has the error.
 */
int hold_take(struct hold *hold, struct mailbox *box, bool has_children);
/*
 * Of what is at target by now, and of what stayed: in Maildir++ Dovecot leaves
 * a mailbox below where it was if there is a directory in its way, and says
 * that all went well.  Returns: nothing stayed.
 */
bool hold_drop(struct hold *hold, struct mailbox *target);

#endif
