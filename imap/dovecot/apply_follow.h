/*
 * Which user is next for a run of apply that follows: whoever's account the
 * store of the replica has news of (docs/decisions/0026-dovecot-apply.md).
 *
 * What was applied is known in memory alone: after a restart each account is
 * looked at once, behind those that have news.
 *
 * Threads: one at a time per object.
 */
#ifndef MBJ_DOVECOT_APPLY_FOLLOW_H
#define MBJ_DOVECOT_APPLY_FOLLOW_H

#include <lib.h>

#include <mbj/types.h>

struct follower;

struct follower *follower_new(const char *socket);
void follower_free(struct follower **follower);

/*
 * Waits for one, and for the service where that is away.  The name is good
 * until the next call.
 * Returns: false, the process was asked to end.
 */
bool follower_next(struct follower *follower, const char **ret_account);
/*
 * The account of the last call was applied as of lsn.  Without this call it was
 * not, and is tried again, later and later, or with its next news.
 */
void follower_applied(struct follower *follower, struct mbj_lsn lsn);

#endif
