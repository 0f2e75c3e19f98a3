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

#include <mail-user.h>
#include <module-dir.h>

/* What Dovecot takes for a module, whose hooks come before all others'. */
struct beside {
	struct module first;
	char path[16];
};

/*
 * Between these two a user that is made has the settings of such plugins
 * emptied.  begin only once for each end; beside stays where it is.
 */
void beside_begin(struct beside *beside);
void beside_end(void);

/* Before the user's mailboxes are opened. */
void beside_user(struct mail_user *user);

#endif
