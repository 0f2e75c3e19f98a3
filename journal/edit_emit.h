/*
 * Primitives of one edit on their way: each is put into the group and applied
 * to the transaction by the same code that replicas run.
 * Private to journal/edit*.
 *
 * Threads: as the transaction.
 */
#ifndef MBJ_JOURNAL_EDIT_EMIT_H
#define MBJ_JOURNAL_EDIT_EMIT_H

#include <mbj/op.h>

#include "edit_run.h"

struct edit_emit {
	struct edit_context *context;
	struct mbj_id account;
	struct mbj_lsn previous; /* the account's LSN before */
	enum mbj_origin origin;
	struct mbj_id request;
	uint32_t index; /* of the account in the group */
	uint64_t count; /* primitives so far */
};

/*
 * One more primitive; op->account is set here.  The group begins with the
 * first.  On failure the caller rolls the transaction back.
 * Returns: MBJ_ELIMIT (group full), MBJ_ECORRUPT (the state contradicts what
 * was read from it, or a bug of ours).
 */
enum mbj_rc edit_emit_op(struct edit_emit *emit, struct mbj_op *op,
			 struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Note the group in its account, take the digest, append the record.  Nothing
 * at all where there was no primitive.
 */
enum mbj_rc edit_emit_finish(struct edit_emit *emit, struct mbj_buf *ret_record,
			     struct mbj_error *err) MBJ_MUST_CHECK;

#endif
