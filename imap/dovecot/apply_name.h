/*
 * Names of the account that this Dovecot cannot have: a character, a word or a
 * length that its layout does not allow, or another namespace's.
 */
#ifndef MBJ_DOVECOT_APPLY_NAME_H
#define MBJ_DOVECOT_APPLY_NAME_H

#include "apply.h"

/*
 * Each gets one made of it and of its GUID in apply->wanted, and is told: the
 * same in every run.  What Dovecot has under that GUID and name is not asked
 * for.  Returns: -1, told.
 */
int names_fit(struct apply *apply, const ARRAY_TYPE(apply_folder) * folders);
/* The same of a path of the account's, as it was.  On the data stack. */
const char *name_fitted(const struct apply *apply, const char *path);

#endif
