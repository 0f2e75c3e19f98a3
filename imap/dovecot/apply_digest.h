/*
 * A message of Dovecot's beside one of the journal's.  See apply.h.
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
/*
 * Size, date and bytes, as IMAP shows them, are the same: what is cheap to know
 * first, so that a message that is another one is seldom read.
 * Returns: 1, 0 they are not, -1 as above.
 */
int apply_is_same_message(struct mail *mail, const struct mbj_message *message,
			  const char **ret_why);

#endif
