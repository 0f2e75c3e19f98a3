/*
 * Messages of Dovecot, by their bytes.  See apply.h.
 */
#ifndef MBJ_DOVECOT_APPLY_DIGEST_H
#define MBJ_DOVECOT_APPLY_DIGEST_H

#include "apply.h"

/*
 * Of the bytes that IMAP shows, read piece by piece.
 * Returns: -1 where they cannot be read, or the message went; ret_why says why,
 * in memory of the data stack.
 */
int apply_digest(struct mail *mail, struct mbj_hash *ret_digest,
		 const char **ret_why);
#endif
