/*
 * Whether the journal that is applied is the one of earlier runs: it may be
 * behind, as a replica that is made anew, or have gone another way, as after
 * another host took over that had less.  What earlier runs brought is not the
 * journal's then, and may be nowhere else
 * (docs/decisions/0046-another-way.md).
 */
#ifndef MBJ_DOVECOT_APPLY_HISTORY_H
#define MBJ_DOVECOT_APPLY_HISTORY_H

#include "apply.h"

/*
 * Before anything is changed: the account comes from this store, which is as
 * far as it was in earlier runs.  Where it has gone another way since, all that
 * is known is in doubt from now on.
 * Requires: status is younger than what was read of the account.
 * Returns: -1, told.
 */
int history_check(struct apply *apply, const struct mbj_client_status *status);
/*
 * The store is the one that the run began with, in the same reign: a client
 * connects again by itself, and another may answer by then.  Asked behind what
 * is read of it, before that is used.
 * Returns: -1, told once.
 */
int history_hold(struct apply *apply);
/*
 * Before anything of this content comes into Dovecot: where it is a later one
 * than when the run began, what is known says so first, on disk, where the
 * journal still has what was known.
 * Returns: -1, told.
 */
int history_reach(struct apply *apply, struct mbj_id mailbox,
		  const struct mbj_content *content);

#endif
