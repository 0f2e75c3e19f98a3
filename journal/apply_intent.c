/*
 * Intents and their outcomes onto an open transaction: see apply_op.h for what
 * a rule is, mbj/intent.h for what they mean.
 *
 * A replica takes as many as its primary let in: limits are the edit's.
 *
 * Threads: as the transaction.
 */
#include <mbj/check.h>

#include "apply_op.h"

static enum mbj_rc intent_find(const struct op_scope *scope,
			       struct mbj_intent *ret_intent,
			       bool *ret_is_found, struct mbj_error *err)
{
	return mbj_txn_intent_seek(scope->txn, scope->account, scope->op->id,
				   ret_intent, ret_is_found, err);
}

/* The same one again is there already; another of its id is a conflict. */
enum mbj_rc guard_intent(struct op_scope *scope, enum mbj_verdict *ret_verdict,
			 struct mbj_error *err)
{
	struct mbj_intent intent;
	bool is_found = false;
	enum mbj_rc rc;

	rc = op_guard_account(scope, ret_verdict, err);
	if (rc < 0 || *ret_verdict != MBJ_VERDICT_APPLY)
		return rc;
	rc = intent_find(scope, &intent, &is_found, err);
	if (rc == MBJ_OK && is_found && intent.lsn.v == scope->lsn.v)
		*ret_verdict = MBJ_VERDICT_ALREADY;
	return rc;
}

enum mbj_rc guard_outcome(struct op_scope *scope, enum mbj_verdict *ret_verdict,
			  struct mbj_error *err)
{
	struct mbj_intent intent;
	bool is_found = false;
	enum mbj_rc rc;

	rc = op_guard_account(scope, ret_verdict, err);
	if (rc < 0 || *ret_verdict != MBJ_VERDICT_APPLY)
		return rc;
	rc = intent_find(scope, &intent, &is_found, err);
	if (rc == MBJ_OK && !is_found)
		*ret_verdict = MBJ_VERDICT_ALREADY;
	return rc;
}

enum mbj_rc change_intent(const struct op_scope *scope, struct mbj_error *err)
{
	const struct mbj_op *op = scope->op;
	const struct mbj_intent intent = {
		.id = op->id,
		.account = scope->account,
		.lsn = scope->lsn,
		.time = op->time,
		.producer = op->name,
		.body = op->value,
	};

	return mbj_txn_intent_open(scope->txn, &intent, err);
}

enum mbj_rc change_outcome(const struct op_scope *scope, struct mbj_error *err)
{
	return mbj_txn_intent_close(scope->txn, scope->account, scope->op->id,
				    err);
}
