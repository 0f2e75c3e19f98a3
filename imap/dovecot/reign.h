/*
 * Which journal a storage's changes were told to: files beside the mail.
 *
 *	mbj-reign	a line "mbj-reign 1 LINEAGE EPOCH": of the primary that
 *			the plugin last told something of this user.  And a
 *			line "lock INODE ACCOUNT": of the directory that has
 *			the lock of the user's list, and the account's name,
 *			for who changes what the user shares (others.h)
 *	mbj-apply	its first line: up to which group of the account runs
 *			of apply have made Dovecot as it is (applied.h)
 *
 * A spool says what is in doubt since then.  Where others have changed the
 * account in another reign, what Dovecot has not may be what they made.
 */
#ifndef MBJ_DOVECOT_REIGN_H
#define MBJ_DOVECOT_REIGN_H

#include "turn.h"

#define REIGN_NAME "mbj-reign"

struct reign_mark {
	const char *reign; /* the first line */
	uint64_t lock;	   /* inode */
	const char *account;
};

/* Of a directory; on the data stack.  Returns: whole, and this process's. */
bool reign_mark_load(const char *dir, struct reign_mark *ret);
/* The service is of that reign. */
bool turn_is_of_reign(const struct turn *turn, const char *reign);

/*
 * Behind account_enter, before anything is settled.  Returns: -1 with err, the
 * spool is not to be told; the rest is told to the log.
 */
int turn_reign(struct turn *turn);

#endif
