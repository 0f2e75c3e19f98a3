/*
 * An element of a digest that lies in pieces: it need not be put together to
 * be summed up.  Private to mailbox/.
 */
#ifndef MBJ_MAILBOX_DIGEST_PIECES_H
#define MBJ_MAILBOX_DIGEST_PIECES_H

#include <mbj/digest.h>

enum { DIGEST_PIECES_MAX = 3 };

/* mbj_digest_add, or mbj_digest_sub, of the pieces in a row. */
enum mbj_rc digest_change(struct mbj_digest *digest, struct mbj_sha256 *sha,
			  const struct mbj_hash *key, uint8_t kind,
			  const struct mbj_bytes *pieces, size_t count,
			  bool is_added, struct mbj_error *err) MBJ_MUST_CHECK;

#endif
