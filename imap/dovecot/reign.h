/*
 * Which journal a storage's changes were told to: files beside the mail.
 *
 *	mbj-reign	a line "mbj-reign 1 LINEAGE EPOCH": of the primary that
 *			the plugin last told something of this user; where
 *			the lock of the user's list is elsewhere, there, too
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

/*
 * Behind account_enter, before anything is settled.  Returns: -1 with err, the
 * spool is not to be told; the rest is told to the log.
 */
int turn_reign(struct turn *turn);

#endif
