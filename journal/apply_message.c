/*
 * Primitives of messages onto an open transaction: see apply_op.h for what a
 * rule is, mbj/message.h for what they mean.
 *
 * Threads: as the transaction.
 */
#include <mbj/check.h>

#include "apply_op.h"

/* A live mailbox; of one that is not, the verdict is made. */
static enum mbj_rc guard_mailbox_known(struct op_scope *scope,
				       bool *ret_is_found,
				       enum mbj_verdict *ret_verdict,
				       struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE];
	bool is_dead = false;
	uint64_t rev = 0;
	enum mbj_rc rc;

	rc = op_mailbox_find(scope, &scope->mailbox, ret_is_found, err);
	if (rc < 0 || *ret_is_found)
		return rc;
	rc = op_guard_account(scope, ret_verdict, err);
	if (rc < 0 || *ret_verdict != MBJ_VERDICT_APPLY)
		return rc;
	rc = op_tombstone_find(scope, &rev, &is_dead, err);
	if (rc < 0)
		return rc;
	*ret_verdict = is_dead ? MBJ_VERDICT_ALREADY : MBJ_VERDICT_GAP;
	mbj_id_print(scope->op->id, text);
	if (!is_dead)
		mbj_error_set(err, MBJ_ENOTFOUND,
			      "mailbox %s is not known here", text);
	return MBJ_OK;
}

/*
 * A change of a mailbox's content.  Of a mailbox that is gone everything has
 * been done: its account's groups come in order.
 */
enum mbj_rc guard_content(struct op_scope *scope, enum mbj_verdict *ret_verdict,
			  struct mbj_error *err)
{
	struct mbj_content content;
	char text[MBJ_ID_TEXT_SIZE];
	bool is_found = false;
	enum mbj_rc rc;

	rc = guard_mailbox_known(scope, &is_found, ret_verdict, err);
	if (rc < 0 || !is_found)
		return rc;
	rc = mbj_txn_content_get(scope->txn, scope->account, scope->op->id,
				 &content, err);
	if (rc < 0)
		return rc;
	*ret_verdict = MBJ_VERDICT_APPLY;
	if (content.rev > scope->op->rev)
		*ret_verdict = MBJ_VERDICT_ALREADY;
	if (content.rev >= scope->op->rev)
		return MBJ_OK;
	mbj_id_print(scope->op->id, text);
	mbj_error_set(err, MBJ_ENOTFOUND,
		      "the content of mailbox %s has revision %llu, the record "
		      "needs %llu",
		      text, (unsigned long long)content.rev,
		      (unsigned long long)scope->op->rev);
	*ret_verdict = MBJ_VERDICT_GAP;
	return MBJ_OK;
}

enum mbj_rc change_message_append(const struct op_scope *scope,
				  struct mbj_error *err)
{
	const struct mbj_op *op = scope->op;
	const struct mbj_message message = {
		.uid = op->uid,
		.flags = op->flags,
		.size = op->size,
		.time = op->time,
		.modseq = op->modseq,
		.blob = op->blob,
		.keywords = op->keywords,
	};

	return mbj_txn_message_append(scope->txn, scope->account, op->id,
				      op->rev, &message, err);
}

enum mbj_rc change_message_flags(const struct op_scope *scope,
				 struct mbj_error *err)
{
	const struct mbj_op *op = scope->op;
	const struct mbj_flags_change change = {
		.uids = op->uids,
		.mode = (enum mbj_flag_mode)op->flag_mode,
		.flags = op->flags,
		.keywords = op->keywords,
		.modseq = op->modseq,
	};

	return mbj_txn_message_flags(scope->txn, scope->account, op->id,
				     op->rev, &change, err);
}

enum mbj_rc change_message_expunge(const struct op_scope *scope,
				   struct mbj_error *err)
{
	const struct mbj_op *op = scope->op;

	return mbj_txn_message_expunge(scope->txn, scope->account, op->id,
				       op->rev, op->uids, op->modseq,
				       scope->lsn, err);
}

enum mbj_rc change_message_take_all(const struct op_scope *scope,
				    struct mbj_error *err)
{
	const struct mbj_op *op = scope->op;

	return mbj_txn_message_take_all(scope->txn, scope->account, op->id,
					op->rev, op->target, op->modseq, err);
}

enum mbj_rc change_message_guid(const struct op_scope *scope,
				struct mbj_error *err)
{
	const struct mbj_op *op = scope->op;

	return mbj_txn_message_guid(scope->txn, scope->account, op->id, op->rev,
				    op->uid, op->guid, err);
}
