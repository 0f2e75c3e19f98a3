/*
 * One edit from end to end, in a transaction: find the account, resolve what
 * is asked for into a wanted tree, plan, apply, encode.  The parts are listed
 * in edit_work.h.
 *
 * Not here: when the group becomes durable (batch.c), what JSON an edit came
 * from (jmap*.c).
 *
 * Invariants:
 *   1. a failure leaves the transaction, the chain and the record's buffer as
 *      they were;
 *   2. nothing is journaled where nothing changes.
 *
 * Threads: as the transaction.
 */
#include "edit_run.h"

#include <mbj/check.h>

#include "edit_intent.h"
#include "edit_text.h"
#include "edit_work.h"
#include "receipt.h"

enum { MICROSECONDS = 1000000 };

/* ------------------------------------------------------------- accounts */

/* An account's name is an address or a login, not a mailbox's name. */
static enum mbj_rc account_name_judge(struct mbj_bytes name,
				      struct mbj_error *err)
{
	struct edit_text raw, shown;
	const char *why;

	if (name.n == 0)
		why = "is empty";
	else if (name.n > MBJ_ACCOUNT_NAME_MAX)
		why = "is longer than 255 bytes";
	else
		why = edit_text_fault(name);
	if (why == NULL)
		return MBJ_OK;
	return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_PROPERTIES, "account",
				edit_text_raw(&raw, name),
				"the account name \"%s\" %s",
				edit_text_show(&shown, name), why);
}

/* A miss is an answer: *ret_is_found. */
static enum mbj_rc account_find(struct edit_work *work, struct mbj_bytes name,
				struct mbj_account *ret_account,
				bool *ret_is_found, struct mbj_error *err)
{
	struct mbj_txn *txn = work->context->txn;
	enum mbj_rc rc;

	rc = mbj_txn_account_find(txn, name, ret_account, NULL);
	if (rc < 0 && rc != MBJ_ENOTFOUND)
		rc = mbj_txn_account_find(txn, name, ret_account, err);
	if (rc < 0 && rc != MBJ_ENOTFOUND)
		return rc;
	*ret_is_found = rc == MBJ_OK;
	return MBJ_OK;
}

/* A good name that no account has. */
static enum mbj_rc account_name_claim(struct edit_work *work,
				      struct mbj_bytes name,
				      struct mbj_error *err)
{
	struct mbj_account other;
	struct edit_text raw, shown;
	bool is_found = false;
	enum mbj_rc rc;

	rc = account_name_judge(name, err);
	if (rc == MBJ_OK)
		rc = account_find(work, name, &other, &is_found, err);
	if (rc < 0 || !is_found)
		return rc;
	(void)mbj_error_refuse(err, MBJ_REFUSAL_ALREADY_EXISTS, "account",
			       edit_text_raw(&raw, name),
			       "there is an account \"%s\" already",
			       edit_text_show(&shown, name));
	return edit_text_recode(err, MBJ_EEXISTS);
}

/* The counter of an import: the time, or above it what was imported. */
static uint32_t import_uidvalidity_last(const struct edit_work *work)
{
	const struct mbj_edit *edit = work->edit;
	int64_t seconds = work->context->time_us / MICROSECONDS;
	uint32_t last = 1;

	/* A clock beyond the year 2106 is no help. */
	if (seconds > last && seconds <= UINT32_MAX)
		last = (uint32_t)seconds;
	for (size_t i = 0; i < edit->change_count; i++)
		if ((edit->changes[i].has & MBJ_CHANGE_HAS_UIDVALIDITY) &&
		    edit->changes[i].uidvalidity > last)
			last = edit->changes[i].uidvalidity;
	return last;
}

static enum mbj_rc account_import(struct edit_work *work, struct mbj_error *err)
{
	const struct mbj_edit *edit = work->edit;
	enum mbj_rc rc;

	if (edit->policy.delimiter != '/' && edit->policy.delimiter != '.')
		return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_ARGUMENTS,
					"delimiter", NULL,
					"the hierarchy delimiter is '/' or "
					"'.'");
	rc = account_name_claim(work, edit->account, err);
	if (rc < 0)
		return rc;
	work->account.name = edit->account;
	work->account.policy = edit->policy;
	work->account.uidvalidity_last = import_uidvalidity_last(work);
	return mbj_id_generate(work->context->sys, &work->account.id, err);
}

static enum mbj_rc account_open(struct edit_work *work, struct mbj_error *err)
{
	struct mbj_bytes name = work->edit->account;
	struct edit_text raw, shown;
	bool is_found;
	enum mbj_rc rc;

	if (work->edit->kind == MBJ_EDIT_IMPORT)
		return account_import(work, err);
	rc = account_find(work, name, &work->account, &is_found, err);
	if (rc < 0 || is_found)
		return rc;
	(void)mbj_error_refuse(err, MBJ_REFUSAL_ACCOUNT_NOT_FOUND, "account",
			       edit_text_raw(&raw, name),
			       "there is no account \"%s\"",
			       edit_text_show(&shown, name));
	return edit_text_recode(err, MBJ_ENOTFOUND);
}

static enum mbj_rc account_delete(struct edit_work *work, struct mbj_error *err)
{
	struct mbj_op op = {
		.kind = MBJ_OP_ACCOUNT_DELETE,
		.name = work->account.name,
	};
	struct edit_text raw, shown;

	if (work->account.message_count > 0 && !work->edit->is_emptying)
		return mbj_error_refuse(err, MBJ_REFUSAL_HAS_EMAIL, "account",
					edit_text_raw(&raw, op.name),
					"the account \"%s\" has %llu messages",
					edit_text_show(&shown, op.name),
					(unsigned long long)
						work->account.message_count);
	return edit_emit_op(&work->emit, &op, err);
}

static enum mbj_rc account_rename(struct edit_work *work, struct mbj_error *err)
{
	const struct mbj_edit *edit = work->edit;
	struct mbj_op op = {
		.kind = MBJ_OP_ACCOUNT_RENAME,
		.name = work->account.name,
	};
	enum mbj_rc rc;

	if (edit->rename_count != 1)
		return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_ARGUMENTS,
					NULL, NULL,
					"renaming an account takes one new "
					"name");
	op.value = edit->renames[0].target;
	if (mbj_bytes_equal(op.name, op.value))
		return MBJ_OK;
	rc = account_name_claim(work, op.value, err);
	if (rc == MBJ_OK)
		rc = edit_emit_op(&work->emit, &op, err);
	return rc;
}

/* ---------------------------------------------------------------- edits */

static enum mbj_rc edit_check(const struct mbj_edit *edit,
			      struct mbj_error *err)
{
	const char *why = NULL;

	if (edit->size != sizeof(*edit))
		why = "the edit is of another version of the library";
	else if (edit->kind < MBJ_EDIT_SET || edit->kind > MBJ_EDIT_INTENT)
		why = "the edit is of an unknown kind";
	else if (mbj_origin_name(edit->origin) == NULL)
		why = "the edit is of an unknown origin";
	if (why != NULL)
		return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_ARGUMENTS,
					NULL, NULL, "%s", why);
	if (edit_stage_check(edit, err) < 0)
		return MBJ_EINVALID;
	if (edit->change_count <= EDIT_CHANGES_MAX &&
	    edit->rename_count <= EDIT_CHANGES_MAX &&
	    edit->message_count <= EDIT_CHANGES_MAX &&
	    edit->metadata_count <= EDIT_CHANGES_MAX)
		return MBJ_OK;
	(void)mbj_error_refuse(err, MBJ_REFUSAL_TOO_LARGE, NULL, NULL,
			       "an edit has at most %d changes",
			       (int)EDIT_CHANGES_MAX);
	return edit_text_recode(err, MBJ_ELIMIT);
}

static enum mbj_rc edit_check_state(const struct edit_work *work,
				    struct mbj_error *err)
{
	const struct mbj_edit *edit = work->edit;

	if (!edit->has_if_in_state ||
	    edit->if_in_state.v == work->account.lsn.v)
		return MBJ_OK;
	(void)mbj_error_refuse(err, MBJ_REFUSAL_STATE_MISMATCH, NULL, NULL,
			       "the account's state is %llu, not %llu; read it "
			       "again",
			       (unsigned long long)work->account.lsn.v,
			       (unsigned long long)edit->if_in_state.v);
	return edit_text_recode(err, MBJ_ECONFLICT);
}

static void work_done(struct edit_work *work)
{
	edit_view_done(&work->view);
	edit_draft_done(&work->draft);
	mbj_tree_free(&work->after);
	mbj_free(work->wishes);
}

static enum mbj_rc work_resolve(struct edit_work *work, struct mbj_error *err)
{
	enum mbj_rc rc;

	/* Users choose the names that go into the tables: both are secret. */
	work->sip = work->context->table_key;
	work->seed = work->sip.k0 ^ work->sip.k1;
	rc = edit_view_init(&work->view, work->context->txn, work->account.id,
			    work->seed, err);
	if (rc < 0)
		return rc;
	if (work->edit->kind == MBJ_EDIT_SET)
		return edit_set_resolve(work, err);
	if (work->edit->kind == MBJ_EDIT_RENAME)
		return edit_rename_resolve(work, err);
	return edit_whole_resolve(work, err);
}

static enum mbj_rc kind_run(struct edit_work *work, struct mbj_error *err)
{
	enum mbj_rc rc;

	if (work->edit->kind == MBJ_EDIT_ACCOUNT_DELETE)
		return account_delete(work, err);
	if (work->edit->kind == MBJ_EDIT_ACCOUNT_RENAME)
		return account_rename(work, err);
	if (work->edit->kind == MBJ_EDIT_MESSAGES)
		return edit_messages_run(work, err);
	if (work->edit->kind == MBJ_EDIT_METADATA)
		return edit_metadata_run(work, err);
	rc = work_resolve(work, err);
	if (rc == MBJ_OK)
		rc = edit_ops_run(work, err);
	return rc;
}

/* The edit and the outcome, whichever can be last. */
static enum mbj_rc outcome_run(struct edit_work *work, struct mbj_error *err)
{
	bool is_last = work->edit->kind == MBJ_EDIT_ACCOUNT_DELETE;
	enum mbj_rc rc = edit_intent_find(work, err);

	/* Nothing of an account is open once it is gone. */
	if (rc == MBJ_OK && is_last)
		rc = edit_intent_close(work, err);
	if (rc == MBJ_OK && work->edit->stage == MBJ_STAGE_DONE)
		rc = kind_run(work, err);
	if (rc == MBJ_OK)
		rc = edit_stage_whole(work->edit, &work->outcome, err);
	if (rc == MBJ_OK && !is_last)
		rc = edit_intent_close(work, err);
	return rc;
}

/* intent: where one is recorded, not looked for. */
static enum mbj_rc work_run(struct edit_work *work,
			    const struct edit_intent *intent,
			    struct mbj_error *err)
{
	enum mbj_rc rc;

	work->uidvalidity_last = work->account.uidvalidity_last;
	work->emit = (struct edit_emit){
		.context = work->context,
		.account = work->account.id,
		.previous = work->account.lsn,
		.origin = work->edit->origin,
		.request = work->edit->request,
	};
	if (work->edit->stage == MBJ_STAGE_INTENT && intent != NULL)
		return edit_intent_emit(work, intent, err);
	if (work->edit->stage == MBJ_STAGE_DONE ||
	    work->edit->stage == MBJ_STAGE_FAILED)
		return outcome_run(work, err);
	rc = kind_run(work, err);
	if (rc == MBJ_OK && edit_has_storage(work->edit))
		rc = edit_stage_whole(work->edit, &work->outcome, err);
	if (rc == MBJ_OK && work->edit->stage == MBJ_STAGE_RESOLVE)
		rc = edit_resolve_run(work, err);
	return rc;
}

static enum mbj_rc work_finish(struct edit_work *work,
			       struct mbj_buf *ret_record,
			       struct mbj_error *err)
{
	struct mbj_outcome *outcome = &work->outcome;
	enum mbj_rc rc = MBJ_OK;

	outcome->account = work->account.id;
	outcome->old_state = work->account.lsn;
	outcome->new_state = work->account.lsn;
	if (work->emit.count > 0) {
		outcome->lsn = work->context->lsn;
		outcome->new_state = work->context->lsn;
		if (work->context->edit_hash != NULL)
			rc = receipt_emit(&work->emit, work->context->edit_hash,
					  outcome, err);
	}
	if (rc == MBJ_OK)
		rc = edit_emit_finish(&work->emit, ret_record, err);
	return rc;
}

static enum mbj_rc
edit_perform(struct edit_context *context, const struct mbj_edit *edit,
	     const struct edit_intent *intent, struct mbj_buf *ret_record,
	     struct mbj_outcome *ret_outcome, struct mbj_error *err)
{
	struct edit_work work = {.context = context, .edit = edit};
	size_t savepoint = mbj_txn_savepoint(context->txn);
	enum mbj_rc rc;

	rc = account_open(&work, err);
	if (rc == MBJ_OK)
		rc = edit_check_state(&work, err);
	if (rc == MBJ_OK && edit->kind == MBJ_EDIT_INTENT &&
	    edit->stage == MBJ_STAGE_DONE)
		rc = edit_intent_recorded(&work, err);
	if (rc == MBJ_OK)
		rc = work_run(&work, intent, err);
	if (rc == MBJ_OK)
		rc = work_finish(&work, ret_record, err);
	if (rc == MBJ_OK) {
		*ret_outcome = work.outcome;
	} else {
		mbj_txn_rollback(context->txn, savepoint);
		mbj_outcome_done(&work.outcome);
	}
	work_done(&work);
	return rc;
}

/*
 * What an intent is about: its edit is carried out, looked at and rolled back,
 * as if it had never been.
 */
static enum mbj_rc intent_plan(struct edit_context *context,
			       const struct mbj_edit *edit,
			       struct edit_intent *ret_intent,
			       struct mbj_error *err)
{
	const struct mbj_hash *hash = context->edit_hash;
	const struct mbj_hash chain = context->chain;
	size_t savepoint = mbj_txn_savepoint(context->txn);
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_buf record;
	enum mbj_rc rc;

	context->edit_hash = NULL;
	mbj_buf_init(&record, MBJ_GROUP_MAX);
	rc = edit_perform(context, edit, NULL, &record, &outcome, err);
	if (rc == MBJ_OK)
		rc = edit_intent_after(ret_intent, context, edit, &outcome,
				       mbj_buf_view(&record), err);
	mbj_txn_rollback(context->txn, savepoint);
	context->edit_hash = hash;
	context->chain = chain;
	if (rc == MBJ_OK)
		rc = edit_intent_before(ret_intent, context, edit, err);
	mbj_outcome_done(&outcome);
	mbj_buf_done(&record);
	return rc;
}

enum mbj_rc edit_run(struct edit_context *context, const struct mbj_edit *edit,
		     struct mbj_buf *ret_record,
		     struct mbj_outcome *ret_outcome, struct mbj_error *err)
{
	struct edit_intent intent = {.count = 0};
	bool is_intent = edit->stage == MBJ_STAGE_INTENT;
	enum mbj_rc rc;

	MBJ_ASSERT(context != NULL && context->txn != NULL);
	MBJ_ASSERT(context->lsn.v > 0);
	rc = edit_check(edit, err);
	if (rc == MBJ_OK && is_intent)
		rc = intent_plan(context, edit, &intent, err);
	if (rc == MBJ_OK)
		rc = edit_perform(context, edit, is_intent ? &intent : NULL,
				  ret_record, ret_outcome, err);
	edit_intent_done(&intent);
	return rc;
}
