/*
 * Receipts: what a group says of the edit that it came from, for the producer
 * who asks again because the answer was lost.  Private to journal/.
 *
 * Threads: as their arguments.
 */
#ifndef MBJ_JOURNAL_RECEIPT_H
#define MBJ_JOURNAL_RECEIPT_H

#include <mbj/hash.h>

#include "edit_emit.h"

/*
 * By which an edit is known again: SHA-256 of all that a producer asked for.
 * Returns: MBJ_ELIMIT where it is larger than an edit may be on its way to a
 * service.
 */
enum mbj_rc receipt_hash(struct mbj_sha256 *sha, const struct mbj_edit *edit,
			 struct mbj_hash *ret_hash,
			 struct mbj_error *err) MBJ_MUST_CHECK;

/* The outcome, but for the group itself, into the group. */
enum mbj_rc receipt_emit(struct edit_emit *emit, const struct mbj_hash *hash,
			 const struct mbj_outcome *outcome,
			 struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The outcome of the edit that group came from, with the group itself.
 * Returns: MBJ_ECONFLICT (of another edit), MBJ_EEXISTS (the group has no
 * receipt), MBJ_ECORRUPT; all name its LSN.
 */
enum mbj_rc receipt_read(const struct mbj_group *group,
			 const struct mbj_hash *hash,
			 struct mbj_outcome *ret_outcome,
			 struct mbj_error *err) MBJ_MUST_CHECK;

#endif
