/*
 * Group and transaction, primitive by primitive.  See edit_emit.h.
 *
 * Invariants:
 *   1. the group holds exactly what was applied, in that order;
 *   2. a primitive of ours applies: it was planned on what the transaction
 *      holds.  Only names (UIDVALIDITY marks, subscriptions) and receipts may
 *      be already;
 *   3. the chain moves on with a finished record only.
 *
 * Threads: as the transaction.
 */
#include "edit_emit.h"

#include <mbj/apply.h>
#include <mbj/check.h>

static enum mbj_rc emit_begin(struct edit_emit *emit, struct mbj_error *err)
{
	struct edit_context *context = emit->context;

	MBJ_ASSERT(context->lsn.v > emit->previous.v);
	mbj_group_writer_begin(context->writer, context->lsn, context->epoch,
			       context->time_us, emit->origin, emit->request);
	return mbj_group_writer_account(context->writer, emit->account,
					emit->previous, &emit->index, err);
}

/* What the writer found wrong, if anything: no use in applying the rest. */
static enum mbj_rc emit_check(const struct edit_emit *emit,
			      struct mbj_error *err)
{
	const struct mbj_group_writer *writer = emit->context->writer;

	if (writer->why.rc == MBJ_OK)
		return mbj_buf_ok(&writer->body, err);
	if (err != NULL)
		*err = writer->why;
	return writer->why.rc;
}

static bool op_may_be_already(const struct mbj_op *op)
{
	return op->kind == MBJ_OP_NAME_RETIRE || op->kind == MBJ_OP_SUBSCRIBE ||
	       op->kind == MBJ_OP_UNSUBSCRIBE ||
	       /* The account may be deleted by now. */
	       op->kind == MBJ_OP_RECEIPT;
}

enum mbj_rc edit_emit_op(struct edit_emit *emit, struct mbj_op *op,
			 struct mbj_error *err)
{
	struct mbj_error why = {.rc = MBJ_OK};
	enum mbj_verdict verdict;
	enum mbj_rc rc = MBJ_OK;

	MBJ_ASSERT(emit->context != NULL);
	if (emit->count == 0)
		rc = emit_begin(emit, err);
	if (rc < 0)
		return rc;
	emit->count++;
	op->account = emit->index;
	mbj_group_writer_op(emit->context->writer, op);
	rc = emit_check(emit, err);
	if (rc < 0)
		return rc;
	rc = mbj_apply_op(emit->context->txn, emit->account, emit->context->lsn,
			  op, &verdict, &why);
	if (rc < 0) {
		if (err != NULL)
			*err = why;
		return rc;
	}
	if (verdict == MBJ_VERDICT_APPLY ||
	    (verdict == MBJ_VERDICT_ALREADY && op_may_be_already(op)))
		return MBJ_OK;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "a primitive planned on the state does not apply "
			     "to it (%s: %s); run mbj fsck",
			     mbj_verdict_name(verdict), why.message);
}

/* The account as the group leaves it: all zero where it is deleted. */
static enum mbj_rc emit_close(struct edit_emit *emit, struct mbj_error *err)
{
	struct edit_context *context = emit->context;
	struct mbj_account account = {.id = emit->account};
	bool is_dead = false;
	enum mbj_rc rc;

	/* Alive, as a rule; the LSN is not in the digest. */
	rc = mbj_txn_account_get(context->txn, emit->account, &account, NULL);
	if (rc == MBJ_ENOTFOUND) {
		rc = mbj_txn_account_is_dead(context->txn, emit->account,
					     &is_dead, err);
		if (rc < 0)
			return rc;
	}
	if (!is_dead)
		rc = mbj_txn_account_set_lsn(context->txn, emit->account,
					     context->lsn, err);
	if (rc == MBJ_OK)
		mbj_group_writer_digest(context->writer, emit->index,
					&account.digest);
	return rc;
}

enum mbj_rc edit_emit_finish(struct edit_emit *emit, struct mbj_buf *ret_record,
			     struct mbj_error *err)
{
	struct edit_context *context = emit->context;
	enum mbj_rc rc;

	if (emit->count == 0)
		return MBJ_OK;
	rc = emit_close(emit, err);
	if (rc < 0)
		return rc;
	return mbj_group_writer_finish(context->writer, context->sha,
				       &context->chain, ret_record, err);
}
