/*
 * Before the plan of a user's tree: what Dovecot made by itself, or a killed
 * run only began to make, becomes the journal's.  See apply.h.
 */
#ifndef MBJ_DOVECOT_APPLY_RENEW_H
#define MBJ_DOVECOT_APPLY_RENEW_H

#include "apply.h"

/*
 * The account has it, or had it: what it has no more is to go.  kept: but these
 * of them.
 */
bool apply_is_journals(struct apply *apply, const ARRAY_TYPE(apply_id) * kept,
		       struct mbj_id id);
/*
 * What Dovecot has becomes the account's mailbox that is to be there, or makes
 * room for it.  folders is kept true.  Returns: -1, told.
 */
int folders_renew(struct apply *apply, ARRAY_TYPE(apply_folder) * folders,
		  const ARRAY_TYPE(apply_id) * kept);

#endif
