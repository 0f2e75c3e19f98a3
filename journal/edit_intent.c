/*
 * Intents: what an edit would put in doubt, read off the group that it would
 * have become; the record of that; its outcome.
 *
 * Not here: which intents a list of the server's mailboxes settles
 * (edit_resolve.c), the bytes of a body (doubt.c).
 *
 * Invariants:
 *   1. an intent is of an edit that the state would take: it was carried out
 *      and rolled back;
 *   2. an outcome is of an intent that is open.
 *
 * Threads: as the transaction.
 */
#include "edit_intent.h"

#include <mbj/check.h>

#include "doubt.h"
#include "edit_text.h"
#include "wire.h"

enum {
	/* The least bytes that a doubt has in a body. */
	DOUBT_LEAST = MBJ_ID_SIZE + 1 + 4 + 4 + 4 + 4,
	DOUBTS_MAX = MBJ_INTENT_SIZE_MAX / DOUBT_LEAST,
};

static enum mbj_rc too_large(struct mbj_error *err)
{
	(void)mbj_error_refuse(err, MBJ_REFUSAL_TOO_LARGE, "intent", NULL,
			       "an intent has at most %d bytes with what it "
			       "puts in doubt: make several of it",
			       (int)MBJ_INTENT_SIZE_MAX);
	return edit_text_recode(err, MBJ_ELIMIT);
}

enum mbj_rc edit_stage_check(const struct mbj_edit *edit, struct mbj_error *err)
{
	const char *why = NULL;

	switch (edit->stage) {
	case MBJ_STAGE_NONE:
		if (edit->kind == MBJ_EDIT_INTENT)
			why = "what an intent holds has a stage";
		break;
	case MBJ_STAGE_INTENT:
		if (mbj_intent_kind_name(edit->kind) == NULL)
			why = "an intent is about mailboxes, messages or "
			      "metadata of an account that there is";
		break;
	case MBJ_STAGE_DONE:
		if (edit->kind == MBJ_EDIT_IMPORT)
			why = "an account that is imported has no intents";
		break;
	case MBJ_STAGE_FAILED:
		if (edit->kind != MBJ_EDIT_INTENT)
			why = "what was not done takes no edit";
		break;
	case MBJ_STAGE_RESOLVE:
		if (edit->kind != MBJ_EDIT_RECONCILE)
			why = "intents are resolved by the list of all "
			      "mailboxes";
		else if (!edit->has_if_in_state)
			why = "intents are resolved by a list that says which "
			      "state it was read after";
		break;
	default:
		why = "the edit is of an unknown stage";
		break;
	}
	if (why == NULL)
		return MBJ_OK;
	return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_ARGUMENTS, NULL, NULL,
				"%s", why);
}

enum mbj_rc edit_stage_whole(const struct mbj_edit *edit,
			     const struct mbj_outcome *outcome,
			     struct mbj_error *err)
{
	for (size_t i = 0; i < outcome->result_count; i++) {
		const struct mbj_change_result *result = &outcome->results[i];
		char text[MBJ_ID_TEXT_SIZE];

		if (result->refusal == MBJ_REFUSAL_NONE)
			continue;
		mbj_id_print(edit->changes[i].id, text);
		return mbj_error_refuse(err, result->refusal, "id", text,
					"mailbox %s: %s", text,
					result->description == NULL
						? "refused"
						: result->description);
	}
	return MBJ_OK;
}

/* ---------------------------------------------------------------- doubts */

enum mbj_rc edit_intent_path(struct edit_context *context,
			     struct mbj_id account, char delimiter,
			     struct mbj_id id, uint8_t *text,
			     struct mbj_bytes *ret_path, struct mbj_error *err)
{
	size_t at = MBJ_INTENT_SIZE_MAX;

	while (!mbj_id_is_reserved(id)) {
		struct mbj_mailbox mailbox;
		bool is_found = false;
		enum mbj_rc rc;

		rc = mbj_txn_mailbox_seek(context->txn, account, id, &mailbox,
					  &is_found, err);
		if (rc < 0)
			return rc;
		if (!is_found)
			break;
		if (at < MBJ_INTENT_SIZE_MAX)
			text[--at] = (uint8_t)delimiter;
		if (mailbox.name.stored.n + 1 > at)
			return too_large(err);
		at -= mailbox.name.stored.n;
		memcpy(text + at, mailbox.name.stored.p, mailbox.name.stored.n);
		id = mailbox.parent;
	}
	*ret_path = mbj_bytes_make(text + at, MBJ_INTENT_SIZE_MAX - at);
	return MBJ_OK;
}

/* The same, kept; all together fit into an intent. */
static enum mbj_rc path_keep(struct edit_intent *intent,
			     struct edit_context *context, struct mbj_id id,
			     struct mbj_bytes *ret_path, struct mbj_error *err)
{
	struct mbj_bytes path = {NULL, 0};
	enum mbj_rc rc;

	rc = edit_intent_path(context, intent->account, intent->delimiter, id,
			      intent->text, &path, err);
	if (rc < 0)
		return rc;
	intent->size += path.n;
	if (intent->size > MBJ_INTENT_SIZE_MAX)
		return too_large(err);
	return mbj_arena_dup(context->arena, path, ret_path)
		       ? MBJ_OK
		       : mbj_error_nomem(err);
}

/* The doubt about a mailbox, a new one where there is none yet. */
static enum mbj_rc doubt_add(struct edit_intent *intent, struct mbj_id mailbox,
			     unsigned what, struct mbj_error *err)
{
	uint32_t at = intent->last;

	if (at >= intent->count ||
	    !mbj_id_equal(intent->doubts[at].mailbox, mailbox))
		for (at = 0; at < intent->count; at++)
			if (mbj_id_equal(intent->doubts[at].mailbox, mailbox))
				break;
	if (at == DOUBTS_MAX)
		return too_large(err);
	if (at == intent->count)
		intent->doubts[intent->count++] =
			(struct mbj_doubt){.mailbox = mailbox};
	intent->doubts[at].what |= what;
	intent->last = at;
	return MBJ_OK;
}

/* What a primitive puts in doubt; names and subscriptions follow mailboxes. */
static enum mbj_rc doubt_of_op(struct edit_intent *intent,
			       const struct mbj_op *op, struct mbj_error *err)
{
	enum mbj_rc rc;

	switch (op->kind) {
	case MBJ_OP_MAILBOX_CREATE:
		return doubt_add(intent, op->id, MBJ_DOUBT_CREATE, err);
	case MBJ_OP_MAILBOX_MOVE:
		return doubt_add(intent, op->id, MBJ_DOUBT_MOVE, err);
	case MBJ_OP_MAILBOX_DELETE:
		return doubt_add(intent, op->id, MBJ_DOUBT_DELETE, err);
	case MBJ_OP_MAILBOX_SET:
		return doubt_add(intent, op->id, MBJ_DOUBT_SET, err);
	case MBJ_OP_MAILBOX_SET_ATTR:
		return doubt_add(intent, op->id, MBJ_DOUBT_ATTRIBUTES, err);
	case MBJ_OP_MESSAGE_APPEND:
		return doubt_add(intent, op->id, MBJ_DOUBT_APPEND, err);
	case MBJ_OP_MESSAGE_FLAGS:
	case MBJ_OP_MESSAGE_EXPUNGE:
	case MBJ_OP_MESSAGE_GUID:
		return doubt_add(intent, op->id, MBJ_DOUBT_MESSAGES, err);
	case MBJ_OP_MESSAGE_TAKE_ALL:
		rc = doubt_add(intent, op->id, MBJ_DOUBT_MESSAGES, err);
		if (rc < 0)
			return rc;
		return doubt_add(intent, op->target, MBJ_DOUBT_APPEND, err);
	default:
		return MBJ_OK;
	}
}

/* The GUID that a message comes with, which is not there without it. */
static bool is_of_append(const struct mbj_op *before, const struct mbj_op *op)
{
	return op->kind == MBJ_OP_MESSAGE_GUID &&
	       before->kind == MBJ_OP_MESSAGE_APPEND &&
	       op->uid == before->uid && mbj_id_equal(op->id, before->id);
}

static enum mbj_rc doubts_of_group(struct edit_intent *intent,
				   struct mbj_bytes record,
				   struct mbj_error *err)
{
	struct mbj_op op, before = {.uid = 0};
	struct mbj_reader reader;
	struct mbj_group group;
	enum mbj_rc rc;

	rc = mbj_group_parse(record, &group, err);
	if (rc < 0)
		return rc;
	mbj_reader_init(&reader, group.body);
	do {
		rc = mbj_group_op_next(&group, &reader, &op, err);
		if (rc == MBJ_OK && !is_of_append(&before, &op))
			rc = doubt_of_op(intent, &op, err);
		before = op;
	} while (rc == MBJ_OK);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* What no primitive shows: steps that say so themselves. */
static enum mbj_rc doubts_of_steps(struct edit_intent *intent,
				   const struct mbj_edit *edit,
				   struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < edit->message_count; i++)
		if (edit->messages[i].kind == MBJ_MESSAGE_DOUBT)
			rc = doubt_add(intent, edit->messages[i].mailbox,
				       MBJ_DOUBT_APPEND | MBJ_DOUBT_MESSAGES,
				       err);
	return rc;
}

enum mbj_rc edit_intent_after(struct edit_intent *intent,
			      struct edit_context *context,
			      const struct mbj_edit *edit,
			      const struct mbj_outcome *outcome,
			      struct mbj_bytes record, struct mbj_error *err)
{
	struct mbj_account account;
	enum mbj_rc rc;

	rc = mbj_txn_account_get(context->txn, outcome->account, &account, err);
	if (rc < 0)
		return rc;
	intent->account = account.id;
	intent->delimiter = account.policy.delimiter;
	intent->lower_bound = outcome->lower_bound;
	intent->parks = outcome->parks;
	intent->is_proven = outcome->is_proven;
	intent->doubts =
		mbj_arena_alloc(context->arena,
				(size_t)DOUBTS_MAX * sizeof(*intent->doubts));
	intent->text = mbj_arena_alloc(context->arena, MBJ_INTENT_SIZE_MAX);
	if (intent->doubts == NULL || intent->text == NULL)
		return mbj_error_nomem(err);
	if (record.n > 0)
		rc = doubts_of_group(intent, record, err);
	if (rc == MBJ_OK && edit->kind == MBJ_EDIT_MESSAGES)
		rc = doubts_of_steps(intent, edit, err);
	for (uint32_t i = 0; rc == MBJ_OK && i < intent->count; i++)
		rc = path_keep(intent, context, intent->doubts[i].mailbox,
			       &intent->doubts[i].after, err);
	return rc;
}

/* One mailbox as it is before anything happened. */
static enum mbj_rc doubt_before(struct edit_intent *intent,
				struct edit_context *context,
				struct mbj_doubt *doubt, struct mbj_error *err)
{
	struct mbj_mailbox mailbox;
	struct mbj_content content;
	bool is_found = false;
	enum mbj_rc rc;

	/* Parking is the plan's, not the mailbox's. */
	if (doubt->what & (MBJ_DOUBT_CREATE | MBJ_DOUBT_DELETE))
		doubt->what &= ~(unsigned)MBJ_DOUBT_MOVE;
	rc = mbj_txn_mailbox_seek(context->txn, intent->account, doubt->mailbox,
				  &mailbox, &is_found, err);
	if (rc < 0 || !is_found)
		return rc;
	doubt->uidvalidity = mailbox.uidvalidity;
	rc = mbj_txn_content_get(context->txn, intent->account, doubt->mailbox,
				 &content, err);
	if (rc < 0)
		return rc;
	doubt->uidnext = content.uidnext;
	return path_keep(intent, context, doubt->mailbox, &doubt->before, err);
}

enum mbj_rc edit_intent_before(struct edit_intent *intent,
			       struct edit_context *context,
			       const struct mbj_edit *edit,
			       struct mbj_error *err)
{
	struct mbj_edit bare = *edit;
	enum mbj_rc rc = MBJ_OK;

	for (uint32_t i = 0; rc == MBJ_OK && i < intent->count; i++)
		rc = doubt_before(intent, context, &intent->doubts[i], err);
	if (rc < 0)
		return rc;
	bare.stage = MBJ_STAGE_NONE;
	bare.request = MBJ_ID_ROOT;
	bare.has_if_in_state = false;
	bare.if_in_state.v = 0;
	bare.is_dry_run = false;
	mbj_buf_init(&intent->body, MBJ_INTENT_SIZE_MAX);
	doubt_body_begin(&intent->body, &bare, intent->count);
	for (uint32_t i = 0; i < intent->count; i++)
		doubt_put(&intent->body, &intent->doubts[i]);
	rc = mbj_buf_ok(&intent->body, err);
	return rc == MBJ_ELIMIT ? too_large(err) : rc;
}

void edit_intent_done(struct edit_intent *intent)
{
	mbj_buf_done(&intent->body);
}

/* --------------------------------------------------------------- records */

static enum mbj_rc producer_judge(struct mbj_bytes producer,
				  struct mbj_error *err)
{
	struct edit_text raw, shown;
	const char *why;

	if (producer.n == 0)
		why = "is empty";
	else if (producer.n > MBJ_PRODUCER_MAX)
		why = "is longer than 255 bytes";
	else
		why = edit_text_fault(producer);
	if (why == NULL)
		return MBJ_OK;
	return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_PROPERTIES, "producer",
				edit_text_raw(&raw, producer),
				"the producer's name \"%s\" %s",
				edit_text_show(&shown, producer), why);
}

static enum mbj_rc intent_refuse(struct mbj_error *err,
				 enum mbj_refusal refusal, struct mbj_id id,
				 enum mbj_rc rc, const char *why)
{
	char text[MBJ_ID_TEXT_SIZE];

	mbj_id_print(id, text);
	(void)mbj_error_refuse(err, refusal, "intent", text, "intent %s %s",
			       text, why);
	return edit_text_recode(err, rc);
}

/* The producer's choice, its request's id, or one of ours. */
static enum mbj_rc id_choose(const struct edit_work *work,
			     struct mbj_id *ret_id, struct mbj_error *err)
{
	const struct mbj_edit *edit = work->edit;

	*ret_id = mbj_id_is_root(edit->intent) ? edit->request : edit->intent;
	if (mbj_id_is_temp(*ret_id))
		return intent_refuse(err, MBJ_REFUSAL_INVALID_PROPERTIES,
				     *ret_id, MBJ_EINVALID,
				     "has a reserved id");
	if (!mbj_id_is_root(*ret_id))
		return MBJ_OK;
	return mbj_id_generate(work->context->sys, ret_id, err);
}

static enum mbj_rc intents_are_open(struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_ECONFLICT,
			     "the producer has intents that are open");
}

/* How many there are, and whose. */
static enum mbj_rc others_check(const struct edit_work *work,
				struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_intent intent;
	unsigned count = 0;
	enum mbj_rc rc;

	rc = mbj_scan_intents(work->context->txn, work->account.id, &scan, err);
	while (rc == MBJ_OK && count < MBJ_ACCOUNT_INTENTS_MAX) {
		rc = mbj_scan_next_intent(&scan, &intent, err);
		count += rc == MBJ_OK;
		if (rc == MBJ_OK && work->context->is_sole &&
		    mbj_bytes_equal(intent.producer, work->edit->producer) &&
		    !standing_is_idle(work->context->standing, intent.id))
			rc = intents_are_open(err);
	}
	mbj_scan_done(&scan);
	if (rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	if (rc < 0)
		return rc;
	(void)mbj_error_refuse(err, MBJ_REFUSAL_TOO_LARGE, "intent", NULL,
			       "the account has %d open intents, as many as it "
			       "may have: resolve them",
			       (int)MBJ_ACCOUNT_INTENTS_MAX);
	return edit_text_recode(err, MBJ_ELIMIT);
}

enum mbj_rc edit_intent_emit(struct edit_work *work,
			     const struct edit_intent *intent,
			     struct mbj_error *err)
{
	struct mbj_outcome *outcome = &work->outcome;
	struct mbj_op op = {
		.kind = MBJ_OP_INTENT,
		.name = work->edit->producer,
		.time = work->context->time_us / 1000000,
		.value = mbj_buf_view(&intent->body),
	};
	struct mbj_intent other;
	bool is_found = false;
	enum mbj_rc rc;

	rc = producer_judge(op.name, err);
	if (rc == MBJ_OK)
		rc = id_choose(work, &op.id, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_intent_seek(work->context->txn, work->account.id,
					 op.id, &other, &is_found, err);
	if (rc == MBJ_OK && is_found)
		rc = intent_refuse(err, MBJ_REFUSAL_ALREADY_EXISTS, op.id,
				   MBJ_EEXISTS, "is open already");
	if (rc == MBJ_OK)
		rc = others_check(work, err);
	if (rc < 0)
		return rc;
	outcome->intent = op.id;
	outcome->lower_bound = intent->lower_bound;
	outcome->parks = intent->parks;
	outcome->is_proven = intent->is_proven;
	return edit_emit_op(&work->emit, &op, err);
}

/* -------------------------------------------------------------- outcomes */

/* Borrowed from the transaction. */
static enum mbj_rc intent_find(const struct edit_work *work,
			       struct mbj_intent *ret_intent,
			       struct mbj_error *err)
{
	struct mbj_id id = work->edit->intent;
	bool is_found = false;
	enum mbj_rc rc;

	rc = mbj_txn_intent_seek(work->context->txn, work->account.id, id,
				 ret_intent, &is_found, err);
	if (rc < 0 || is_found)
		return rc;
	return intent_refuse(err, MBJ_REFUSAL_NOT_FOUND, id, MBJ_ENOTFOUND,
			     "is not open");
}

enum mbj_rc edit_intent_find(struct edit_work *work, struct mbj_error *err)
{
	struct mbj_intent intent;

	return intent_find(work, &intent, err);
}

enum mbj_rc edit_intent_recorded(struct edit_work *work, struct mbj_error *err)
{
	struct edit_context *context = work->context;
	struct mbj_edit *edit = mbj_arena_alloc(context->arena, sizeof(*edit));
	struct mbj_intent_view view = {.doubt_count = 0};
	struct mbj_intent intent;
	struct mbj_reader reader;
	struct mbj_bytes body;
	enum mbj_rc rc;

	if (edit == NULL)
		return mbj_error_nomem(err);
	rc = intent_find(work, &intent, err);
	/* The record is gone when the edit is carried out. */
	if (rc == MBJ_OK && !mbj_arena_dup(context->arena, intent.body, &body))
		rc = mbj_error_nomem(err);
	if (rc == MBJ_OK)
		rc = mbj_intent_read(body, &view, err);
	if (rc < 0)
		return rc;
	if (view.kind == MBJ_EDIT_MESSAGES)
		return intent_refuse(err, MBJ_REFUSAL_INVALID_ARGUMENTS,
				     intent.id, MBJ_EINVALID,
				     "is about messages: which ones came out "
				     "must be said");
	*edit = MBJ_EDIT_INIT;
	mbj_reader_init(&reader, view.edit);
	rc = wire_edit_decode(&reader, context->arena, edit, err);
	if (rc < 0)
		return rc;
	/* It may have another name by now. */
	edit->account = work->account.name;
	edit->request = work->edit->request;
	edit->is_dry_run = work->edit->is_dry_run;
	edit->stage = work->edit->stage;
	edit->intent = work->edit->intent;
	work->edit = edit;
	return MBJ_OK;
}

enum mbj_rc edit_outcome_emit(struct edit_work *work, struct mbj_id id,
			      enum mbj_intent_result result, bool is_found,
			      struct mbj_error *err)
{
	struct mbj_op op = {
		.kind = MBJ_OP_OUTCOME,
		.id = id,
		.result = (uint8_t)result,
		.is_found = is_found,
	};

	return edit_emit_op(&work->emit, &op, err);
}

enum mbj_rc edit_intent_close(struct edit_work *work, struct mbj_error *err)
{
	bool is_done = work->edit->stage == MBJ_STAGE_DONE;

	work->outcome.intent = work->edit->intent;
	if (work->context->is_standing)
		return MBJ_OK;
	return edit_outcome_emit(work, work->edit->intent,
				 is_done ? MBJ_INTENT_DONE : MBJ_INTENT_FAILED,
				 false, err);
}
