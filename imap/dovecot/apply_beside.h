/*
 * Other plugins while doveadm mbj apply is at work.  What they did at the
 * primary's Dovecot is in the journal, and was decided there: here they would
 * do it once more, or refuse what has happened.
 *
 * Threads: none.
 */
#ifndef MBJ_DOVECOT_APPLY_BESIDE_H
#define MBJ_DOVECOT_APPLY_BESIDE_H

#include <lib.h>

#include <mail-storage.h>
#include <mail-user.h>
#include <module-dir.h>

/* What Dovecot takes for a module, whose hooks come before all others'. */
struct beside {
	struct module first;
	char path[16];
};

/*
 * A user that is made between these two lacks the settings of such plugins.
 * begin only once for each end; beside stays where it is.
 */
void beside_begin(struct beside *beside);
void beside_end(void);

/* Before the user's mailboxes are opened. */
void capture_stand_aside(struct mail_user *user);

/* For messages that come: as mailbox_transaction_begin, and no limit holds. */
struct mailbox_transaction_context *
beside_transaction_begin(struct mailbox *box,
			 enum mailbox_transaction_flags flags);

#endif
