/*
 * One primitive onto an open transaction: a guard that decides by revision or
 * existence, then the mutation, which checks its preconditions in full.  A
 * table joins the two for each kind; nothing else knows all kinds.
 *
 * Not here: groups, back-links, digests (apply.c); what to do about a verdict
 * (replay/).
 *
 * Invariants:
 *   1. a verdict other than APPLY leaves the transaction unchanged;
 *   2. the world's failures (input and output, memory, damaged state) are
 *      return codes; whatever else a mutation refuses is CONFLICT, because it
 *      must cost the account alone.
 *
 * Threads: as the transaction.
 */
#include <mbj/check.h>

#include "apply_op.h"

const char *mbj_verdict_name(enum mbj_verdict verdict)
{
	static const char *const words[] = {
#define X(name, word) [MBJ_VERDICT_##name] = (word),
		MBJ_VERDICT_MAP(X)
#undef X
	};

	MBJ_ASSERT((size_t)verdict < sizeof(words) / sizeof(words[0]));
	return words[verdict];
}

enum mbj_rc op_mailbox_find(const struct op_scope *scope,
			    struct mbj_mailbox *ret_mailbox, bool *ret_is_found,
			    struct mbj_error *err)
{
	return mbj_txn_mailbox_seek(scope->txn, scope->account, scope->op->id,
				    ret_mailbox, ret_is_found, err);
}

enum mbj_rc op_tombstone_find(const struct op_scope *scope, uint64_t *ret_rev,
			      bool *ret_is_found, struct mbj_error *err)
{
	struct mbj_tombstone tombstone;
	enum mbj_rc rc;

	rc = mbj_txn_tombstone_seek(scope->txn, scope->account, scope->op->id,
				    &tombstone, ret_is_found, err);
	if (rc == MBJ_OK && *ret_is_found)
		*ret_rev = tombstone.rev;
	return rc;
}

/* The account of a primitive; where it is not live the verdict is made. */
static enum mbj_rc account_find(const struct op_scope *scope,
				struct mbj_account *ret_account,
				bool *ret_is_found,
				enum mbj_verdict *ret_verdict,
				struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE];
	bool is_dead = false;
	enum mbj_rc rc;

	rc = mbj_txn_account_seek(scope->txn, scope->account, ret_account,
				  ret_is_found, err);
	if (rc < 0 || *ret_is_found)
		return rc;
	rc = mbj_txn_account_is_dead(scope->txn, scope->account, &is_dead, err);
	if (rc < 0)
		return rc;
	if (is_dead) {
		*ret_verdict = MBJ_VERDICT_ALREADY;
		return MBJ_OK;
	}
	mbj_id_print(scope->account, text);
	mbj_error_set(err, MBJ_ENOTFOUND, "account %s is not known here", text);
	*ret_verdict = MBJ_VERDICT_GAP;
	return MBJ_OK;
}

/* ------------------------------------------------------------- guards */

enum mbj_rc op_guard_account(struct op_scope *scope,
			     enum mbj_verdict *ret_verdict,
			     struct mbj_error *err)
{
	struct mbj_account account;
	bool is_found = false;
	enum mbj_rc rc;

	rc = account_find(scope, &account, &is_found, ret_verdict, err);
	if (rc == MBJ_OK && is_found)
		*ret_verdict = MBJ_VERDICT_APPLY;
	return rc;
}

/* A live account of this id is the mutation's conflict to report. */
static enum mbj_rc guard_account_create(struct op_scope *scope,
					enum mbj_verdict *ret_verdict,
					struct mbj_error *err)
{
	bool is_dead = false;
	enum mbj_rc rc;

	rc = mbj_txn_account_is_dead(scope->txn, scope->account, &is_dead, err);
	if (rc == MBJ_OK)
		*ret_verdict =
			is_dead ? MBJ_VERDICT_ALREADY : MBJ_VERDICT_APPLY;
	return rc;
}

/* The recorded name must be the account's: a delete never acts on another. */
static enum mbj_rc guard_account_named(struct op_scope *scope,
				       enum mbj_verdict *ret_verdict,
				       struct mbj_error *err)
{
	struct mbj_account account;
	char text[MBJ_ID_TEXT_SIZE];
	bool is_found = false;
	enum mbj_rc rc;

	rc = account_find(scope, &account, &is_found, ret_verdict, err);
	if (rc < 0 || !is_found)
		return rc;
	*ret_verdict = MBJ_VERDICT_APPLY;
	if (mbj_bytes_equal(account.name, scope->op->name))
		return MBJ_OK;
	mbj_id_print(scope->account, text);
	mbj_error_set(err, MBJ_ECONFLICT,
		      "account %s has another name than the record says", text);
	*ret_verdict = MBJ_VERDICT_CONFLICT;
	return MBJ_OK;
}

/* The account must be known before anything is said of its mailboxes. */
static enum mbj_rc guard_mailbox_absent(struct op_scope *scope,
					enum mbj_verdict *ret_verdict,
					struct mbj_error *err)
{
	struct mbj_mailbox mailbox;
	bool is_found = false;
	uint64_t rev = 0;
	enum mbj_rc rc;

	rc = op_guard_account(scope, ret_verdict, err);
	if (rc < 0 || *ret_verdict != MBJ_VERDICT_APPLY)
		return rc;
	rc = op_mailbox_find(scope, &mailbox, &is_found, err);
	if (rc == MBJ_OK && !is_found)
		rc = op_tombstone_find(scope, &rev, &is_found, err);
	if (rc == MBJ_OK && is_found)
		*ret_verdict = MBJ_VERDICT_ALREADY;
	return rc;
}

/* No live mailbox: a tombstone's revision decides, without one it is a gap. */
static enum mbj_rc guard_tombstone(struct op_scope *scope,
				   enum mbj_verdict *ret_verdict,
				   struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE];
	uint64_t rev = 0;
	bool is_found = false;
	enum mbj_rc rc;

	rc = op_guard_account(scope, ret_verdict, err);
	if (rc < 0 || *ret_verdict != MBJ_VERDICT_APPLY)
		return rc;
	rc = op_tombstone_find(scope, &rev, &is_found, err);
	if (rc < 0)
		return rc;
	mbj_id_print(scope->op->id, text);
	if (!is_found) {
		mbj_error_set(err, MBJ_ENOTFOUND,
			      "mailbox %s is not known here", text);
		*ret_verdict = MBJ_VERDICT_GAP;
		return MBJ_OK;
	}
	if (rev > scope->op->rev) {
		*ret_verdict = MBJ_VERDICT_ALREADY;
		return MBJ_OK;
	}
	mbj_error_set(err, MBJ_ECONFLICT,
		      "mailbox %s was deleted at revision %llu, the record "
		      "expects it at revision %llu",
		      text, (unsigned long long)rev,
		      (unsigned long long)scope->op->rev);
	*ret_verdict = MBJ_VERDICT_CONFLICT;
	return MBJ_OK;
}

static enum mbj_rc guard_revision(struct op_scope *scope,
				  enum mbj_verdict *ret_verdict,
				  struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE];
	bool is_found = false;
	enum mbj_rc rc;

	rc = op_mailbox_find(scope, &scope->mailbox, &is_found, err);
	if (rc < 0)
		return rc;
	if (!is_found)
		return guard_tombstone(scope, ret_verdict, err);
	*ret_verdict = MBJ_VERDICT_APPLY;
	if (scope->mailbox.rev > scope->op->rev)
		*ret_verdict = MBJ_VERDICT_ALREADY;
	if (scope->mailbox.rev >= scope->op->rev)
		return MBJ_OK;
	mbj_id_print(scope->op->id, text);
	mbj_error_set(err, MBJ_ENOTFOUND,
		      "mailbox %s has revision %llu, the record needs %llu",
		      text, (unsigned long long)scope->mailbox.rev,
		      (unsigned long long)scope->op->rev);
	*ret_verdict = MBJ_VERDICT_GAP;
	return MBJ_OK;
}

/* Values before are part of the precondition, as slots are for a move. */
static enum mbj_rc guard_values(struct op_scope *scope,
				enum mbj_verdict *ret_verdict,
				struct mbj_error *err)
{
	const struct mbj_mailbox *mailbox = &scope->mailbox;
	const struct mbj_op *op = scope->op;
	char text[MBJ_ID_TEXT_SIZE];
	enum mbj_rc rc;

	rc = guard_revision(scope, ret_verdict, err);
	if (rc < 0 || *ret_verdict != MBJ_VERDICT_APPLY)
		return rc;
	if (mailbox->role == op->role_before &&
	    mailbox->is_selectable == (op->is_selectable_before != 0))
		return MBJ_OK;
	mbj_id_print(op->id, text);
	mbj_error_set(err, MBJ_ECONFLICT,
		      "mailbox %s has role %u and selectable %d, the record "
		      "expects role %u and selectable %d",
		      text, (unsigned)mailbox->role, mailbox->is_selectable,
		      (unsigned)op->role_before, op->is_selectable_before);
	*ret_verdict = MBJ_VERDICT_CONFLICT;
	return MBJ_OK;
}

static enum mbj_rc guard_floor(struct op_scope *scope,
			       enum mbj_verdict *ret_verdict,
			       struct mbj_error *err)
{
	uint32_t floor = 0;
	enum mbj_rc rc;

	rc = op_guard_account(scope, ret_verdict, err);
	if (rc < 0 || *ret_verdict != MBJ_VERDICT_APPLY)
		return rc;
	rc = mbj_txn_floor_get(scope->txn, scope->account,
			       &scope->op->name_hash, &floor, err);
	if (rc == MBJ_OK && floor >= scope->op->uidvalidity)
		*ret_verdict = MBJ_VERDICT_ALREADY;
	return rc;
}

static enum mbj_rc guard_subscription(struct op_scope *scope,
				      enum mbj_verdict *ret_verdict,
				      struct mbj_error *err)
{
	bool is_wanted = scope->op->kind == MBJ_OP_SUBSCRIBE;
	bool is_subscribed = false;
	enum mbj_rc rc;

	rc = op_guard_account(scope, ret_verdict, err);
	if (rc < 0 || *ret_verdict != MBJ_VERDICT_APPLY)
		return rc;
	rc = mbj_txn_subscribed(scope->txn, scope->account, scope->op->path.key,
				&is_subscribed, err);
	if (rc == MBJ_OK && is_subscribed == is_wanted)
		*ret_verdict = MBJ_VERDICT_ALREADY;
	return rc;
}

/* ------------------------------------------------------------ changes */

static enum mbj_rc change_account_create(const struct op_scope *scope,
					 struct mbj_error *err)
{
	const struct mbj_op *op = scope->op;
	struct mbj_account account = {
		.id = scope->account,
		.name = op->name,
		.policy = {op->is_folding != 0, (char)op->delimiter},
		.uidvalidity_last = op->uidvalidity,
	};

	return mbj_txn_account_create(scope->txn, &account, err);
}

static enum mbj_rc change_account_delete(const struct op_scope *scope,
					 struct mbj_error *err)
{
	return mbj_txn_account_delete(scope->txn, scope->account, scope->lsn,
				      err);
}

static enum mbj_rc change_account_rename(const struct op_scope *scope,
					 struct mbj_error *err)
{
	return mbj_txn_account_rename(scope->txn, scope->account,
				      scope->op->name, scope->op->value, err);
}

static enum mbj_rc change_account_set(const struct op_scope *scope,
				      struct mbj_error *err)
{
	return mbj_txn_account_set_quota(scope->txn, scope->account,
					 scope->op->quota_messages,
					 scope->op->quota_size, err);
}

static enum mbj_rc change_account_attr(const struct op_scope *scope,
				       struct mbj_error *err)
{
	return mbj_txn_account_set_attr(scope->txn, scope->account,
					scope->op->name, scope->op->value, err);
}

static enum mbj_rc change_mailbox_create(const struct op_scope *scope,
					 struct mbj_error *err)
{
	const struct mbj_op *op = scope->op;
	struct mbj_mailbox mailbox = {
		.id = op->id,
		.parent = op->to.parent,
		.name = op->to.name,
		.uidvalidity = op->uidvalidity,
		.rev = 1,
		.role = op->role,
		.is_selectable = op->is_selectable != 0,
	};

	return mbj_txn_mailbox_create(scope->txn, scope->account, &mailbox,
				      err);
}

static enum mbj_rc change_mailbox_move(const struct op_scope *scope,
				       struct mbj_error *err)
{
	const struct mbj_op *op = scope->op;

	return mbj_txn_mailbox_move(scope->txn, scope->account, op->id, op->rev,
				    &op->from, &op->to, op->uidvalidity, err);
}

static enum mbj_rc change_mailbox_delete(const struct op_scope *scope,
					 struct mbj_error *err)
{
	const struct mbj_op *op = scope->op;

	return mbj_txn_mailbox_delete(scope->txn, scope->account, op->id,
				      op->rev, &op->from, scope->lsn, err);
}

static enum mbj_rc change_mailbox_set(const struct op_scope *scope,
				      struct mbj_error *err)
{
	const struct mbj_op *op = scope->op;
	uint32_t uidvalidity = op->uidvalidity;

	if (uidvalidity == 0)
		uidvalidity = scope->mailbox.uidvalidity;
	return mbj_txn_mailbox_set(scope->txn, scope->account, op->id, op->rev,
				   op->role, op->is_selectable != 0,
				   uidvalidity, err);
}

static enum mbj_rc change_mailbox_attr(const struct op_scope *scope,
				       struct mbj_error *err)
{
	const struct mbj_op *op = scope->op;

	return mbj_txn_mailbox_set_attr(scope->txn, scope->account, op->id,
					op->rev, op->attr_kind, op->name,
					op->value, err);
}

static enum mbj_rc change_floor(const struct op_scope *scope,
				struct mbj_error *err)
{
	return mbj_txn_floor_raise(scope->txn, scope->account,
				   &scope->op->name_hash,
				   scope->op->uidvalidity, err);
}

static enum mbj_rc change_subscribe(const struct op_scope *scope,
				    struct mbj_error *err)
{
	return mbj_txn_subscribe(scope->txn, scope->account, &scope->op->path,
				 err);
}

static enum mbj_rc change_unsubscribe(const struct op_scope *scope,
				      struct mbj_error *err)
{
	return mbj_txn_unsubscribe(scope->txn, scope->account, &scope->op->path,
				   err);
}

/* A receipt is for who asks again, not for the state. */
static enum mbj_rc change_nothing(const struct op_scope *scope,
				  struct mbj_error *err)
{
	(void)scope;
	(void)err;
	return MBJ_OK;
}

/* -------------------------------------------------------------- table */

struct op_rule {
	op_guard *guard;
	op_change *change;
};

static const struct op_rule op_rules[] = {
	[MBJ_OP_ACCOUNT_CREATE] = {guard_account_create, change_account_create},
	[MBJ_OP_ACCOUNT_DELETE] = {guard_account_named, change_account_delete},
	[MBJ_OP_ACCOUNT_RENAME] = {guard_account_named, change_account_rename},
	[MBJ_OP_ACCOUNT_SET] = {op_guard_account, change_account_set},
	[MBJ_OP_ACCOUNT_SET_ATTR] = {op_guard_account, change_account_attr},
	[MBJ_OP_MAILBOX_CREATE] = {guard_mailbox_absent, change_mailbox_create},
	[MBJ_OP_MAILBOX_MOVE] = {guard_revision, change_mailbox_move},
	[MBJ_OP_MAILBOX_DELETE] = {guard_revision, change_mailbox_delete},
	[MBJ_OP_MAILBOX_SET] = {guard_values, change_mailbox_set},
	[MBJ_OP_MAILBOX_SET_ATTR] = {guard_revision, change_mailbox_attr},
	[MBJ_OP_NAME_RETIRE] = {guard_floor, change_floor},
	[MBJ_OP_MESSAGE_APPEND] = {guard_content, change_message_append},
	[MBJ_OP_MESSAGE_FLAGS] = {guard_content, change_message_flags},
	[MBJ_OP_MESSAGE_EXPUNGE] = {guard_content, change_message_expunge},
	[MBJ_OP_MESSAGE_TAKE_ALL] = {guard_content, change_message_take_all},
	[MBJ_OP_MESSAGE_GUID] = {guard_content, change_message_guid},
	[MBJ_OP_SUBSCRIBE] = {guard_subscription, change_subscribe},
	[MBJ_OP_UNSUBSCRIBE] = {guard_subscription, change_unsubscribe},
	[MBJ_OP_INTENT] = {guard_intent, change_intent},
	[MBJ_OP_OUTCOME] = {guard_outcome, change_outcome},
	[MBJ_OP_RECEIPT] = {op_guard_account, change_nothing},
};

/* What stops the store rather than the account. */
static bool rc_is_world(enum mbj_rc rc)
{
	static const enum mbj_rc world[] = {MBJ_ECORRUPT, MBJ_EUNSUPPORTED,
					    MBJ_EIO,	  MBJ_ENOSPC,
					    MBJ_ENOMEM,	  MBJ_EBUSY};

	for (size_t i = 0; i < sizeof(world) / sizeof(world[0]); i++)
		if (rc == world[i])
			return true;
	return false;
}

enum mbj_rc mbj_apply_op(struct mbj_txn *txn, struct mbj_id account,
			 struct mbj_lsn lsn, const struct mbj_op *op,
			 enum mbj_verdict *ret_verdict, struct mbj_error *err)
{
	struct op_scope scope;
	const struct op_rule *rule;
	enum mbj_verdict verdict = MBJ_VERDICT_CORRUPT;
	enum mbj_rc rc;

	MBJ_ASSERT(txn != NULL);
	MBJ_ASSERT(lsn.v > 0);
	MBJ_ASSERT(op->kind < sizeof(op_rules) / sizeof(op_rules[0]));
	rule = &op_rules[op->kind];
	MBJ_ASSERT(rule->guard != NULL && rule->change != NULL);
	scope.txn = txn;
	scope.account = account;
	scope.lsn = lsn;
	scope.op = op;
	rc = rule->guard(&scope, &verdict, err);
	if (rc < 0)
		return rc;
	if (verdict == MBJ_VERDICT_APPLY) {
		rc = rule->change(&scope, err);
		if (rc < 0 && rc_is_world(rc))
			return rc;
		if (rc < 0)
			verdict = MBJ_VERDICT_CONFLICT;
	}
	MBJ_ASSERT(verdict != MBJ_VERDICT_CORRUPT);
	*ret_verdict = verdict;
	return MBJ_OK;
}
