/*
 * MESSAGES: each step, in order, to primitives on what the steps before left.
 * Here what comes in; what is there already is edit_message_set.c's.
 *
 * UIDs, modseqs and the messages of a set are chosen here, from the
 * transaction: what the group says is what replicas do.
 *
 * Invariant: a step that changes nothing emits nothing.
 *
 * Threads: as the transaction.
 */
#include <stdio.h>

#include <mbj/check.h>

#include "edit_message.h"
#include "edit_text.h"

enum { MICROSECONDS = 1000000 };

enum mbj_rc step_refuse(struct mbj_error *err, enum mbj_refusal refusal,
			const char *kind, struct mbj_id id, enum mbj_rc rc,
			const char *why)
{
	return edit_refuse_id_as(err, refusal, kind, id, rc, why);
}

/* A mailbox that can hold messages. */
enum mbj_rc step_mailbox_open(struct edit_work *work, struct mbj_id id,
			      const char *kind, struct mbj_mailbox *ret_mailbox,
			      struct mbj_error *err)
{
	enum mbj_rc rc = edit_mailbox_find(work, id, kind, ret_mailbox, err);

	if (rc < 0)
		return rc;
	if (!ret_mailbox->is_selectable)
		return step_refuse(err, MBJ_REFUSAL_FORBIDDEN, kind, id,
				   MBJ_EINVALID, "cannot hold messages");
	return MBJ_OK;
}

enum mbj_rc step_content_get(const struct step *step, struct mbj_id mailbox,
			     struct mbj_content *ret_content,
			     struct mbj_error *err)
{
	return mbj_txn_content_get(step->work->context->txn,
				   step->work->account.id, mailbox, ret_content,
				   err);
}

/* What the caller asks for, or the next; never one that was. */
enum mbj_rc step_modseq_choose(const struct step *step,
			       const struct mbj_content *content,
			       uint64_t *ret_modseq, struct mbj_error *err)
{
	uint64_t modseq = step->edit->modseq;

	if (modseq == 0 && content->modseq == MBJ_MODSEQ_MAX)
		return step_refuse(err, MBJ_REFUSAL_TOO_LARGE, "mailbox",
				   step->edit->mailbox, MBJ_ELIMIT,
				   "has no modseq left");
	if (modseq > STEP_MODSEQ_MAX)
		return step_refuse(err, MBJ_REFUSAL_INVALID_PROPERTIES,
				   "mailbox", step->edit->mailbox, MBJ_EINVALID,
				   "cannot be given a modseq above "
				   "4611686018427387903");
	if (modseq != 0 && modseq < content->modseq)
		return step_refuse(err, MBJ_REFUSAL_INVALID_PROPERTIES,
				   "mailbox", step->edit->mailbox, MBJ_EINVALID,
				   "has this HIGHESTMODSEQ passed");
	*ret_modseq = modseq != 0 ? modseq : content->modseq + 1;
	return MBJ_OK;
}

enum { LIMIT_TEXT_SIZE = 32 };

static void limit_text(uint64_t limit, char text[LIMIT_TEXT_SIZE])
{
	(void)snprintf(text, LIMIT_TEXT_SIZE,
		       limit != 0 ? "limit %llu" : "no limit",
		       (unsigned long long)limit);
}

static enum mbj_rc quota_refuse(const struct mbj_account *account,
				struct mbj_error *err)
{
	struct edit_text shown;
	char messages[LIMIT_TEXT_SIZE];
	char size[LIMIT_TEXT_SIZE];

	limit_text(account->quota_messages, messages);
	limit_text(account->quota_size, size);
	(void)mbj_error_refuse(
		err, MBJ_REFUSAL_OVER_QUOTA, NULL, NULL,
		"the account \"%s\" has %llu messages (%s) of %llu bytes (%s)",
		edit_text_show(&shown, account->name),
		(unsigned long long)account->message_count, messages,
		(unsigned long long)account->message_size, size);
	return edit_text_recode(err, MBJ_ELIMIT);
}

/* count messages of size bytes more fit into the account's quota. */
enum mbj_rc step_quota_check(const struct step *step, uint64_t count,
			     uint64_t size, struct mbj_error *err)
{
	struct mbj_account account;
	enum mbj_rc rc;

	if (count == 0)
		return MBJ_OK;
	rc = mbj_txn_account_get(step->work->context->txn,
				 step->work->account.id, &account, err);
	if (rc < 0)
		return rc;
	if ((account.quota_messages == 0 ||
	     account.message_count + count <= account.quota_messages) &&
	    (account.quota_size == 0 ||
	     account.message_size + size <= account.quota_size))
		return MBJ_OK;
	return quota_refuse(&account, err);
}

/* ------------------------------------------------------------------ GUID */

enum mbj_rc step_guid_emit(struct step *step, struct mbj_id mailbox,
			   uint64_t rev, uint32_t uid, struct mbj_bytes guid,
			   struct mbj_error *err)
{
	struct mbj_op op = {
		.kind = MBJ_OP_MESSAGE_GUID,
		.id = mailbox,
		.rev = rev,
		.uid = uid,
		.guid = guid,
	};

	if (guid.n == 0)
		return MBJ_OK;
	return edit_emit_op(&step->work->emit, &op, err);
}

/* What has that one already, or is not there, is no primitive. */
static enum mbj_rc step_guid(struct step *step, struct mbj_error *err)
{
	const struct mbj_message_edit *edit = step->edit;
	struct mbj_content content;
	struct mbj_message message = {.uid = 0};
	enum mbj_rc rc;

	if (!mbj_guid_is_good(edit->guid))
		return step_refuse(err, MBJ_REFUSAL_INVALID_PROPERTIES,
				   "mailbox", edit->mailbox, MBJ_EINVALID,
				   "cannot take this GUID");
	rc = step_content_get(step, edit->mailbox, &content, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_message_get(step->work->context->txn,
					 step->work->account.id, content.series,
					 edit->uid, &message, err);
	if (rc < 0)
		return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
	if (mbj_bytes_equal(message.guid, edit->guid))
		return MBJ_OK;
	step->result->message_count = 1;
	return step_guid_emit(step, edit->mailbox, content.rev, edit->uid,
			      edit->guid, err);
}

/* --------------------------------------------------------------- append */

static enum mbj_rc append_judge(const struct step *step,
				const struct mbj_content *content,
				struct mbj_error *err)
{
	const struct mbj_message_edit *edit = step->edit;
	const char *why = NULL;
	uint64_t count, size;
	enum mbj_rc rc;

	rc = mbj_txn_blob_count(step->work->context->txn, &edit->blob, &count,
				&size, err);
	if (rc < 0)
		return rc;
	if (edit->uid != 0 && edit->uid < content->uidnext)
		why = "has a UIDNEXT above the UID";
	else if (content->uidnext == MBJ_UIDNEXT_MAX ||
		 edit->uid == MBJ_UIDNEXT_MAX)
		why = "has no UID left";
	else if (edit->size > UINT32_MAX)
		why = "cannot take a message of 4 GiB or more";
	else if (edit->flags > MBJ_FLAGS_ALL ||
		 !mbj_keywords_are_good(edit->keywords))
		why = "cannot take these flags";
	else if (edit->guid.n > 0 && !mbj_guid_is_good(edit->guid))
		why = "cannot take this GUID";
	else if (size != MBJ_BLOB_UNKNOWN && size != edit->size)
		why = "is given a digest that a message of another size has";
	if (why == NULL)
		return MBJ_OK;
	return step_refuse(err, MBJ_REFUSAL_INVALID_PROPERTIES, "mailbox",
			   edit->mailbox, MBJ_EINVALID, why);
}

static enum mbj_rc step_append(struct step *step, struct mbj_error *err)
{
	const struct mbj_message_edit *edit = step->edit;
	struct mbj_op op = {
		.kind = MBJ_OP_MESSAGE_APPEND,
		.id = edit->mailbox,
		.uid = edit->uid,
		.blob = edit->blob,
		.size = edit->size,
		.time = edit->time,
		.flags = edit->flags,
		.keywords = edit->keywords,
	};
	struct mbj_content content;
	enum mbj_rc rc;

	rc = step_content_get(step, edit->mailbox, &content, err);
	if (rc == MBJ_OK)
		rc = append_judge(step, &content, err);
	if (rc == MBJ_OK)
		rc = step_quota_check(step, 1, edit->size, err);
	if (rc == MBJ_OK)
		rc = step_modseq_choose(step, &content, &op.modseq, err);
	if (rc < 0)
		return rc;
	op.rev = content.rev;
	if (op.uid == 0)
		op.uid = content.uidnext;
	if (op.time == MBJ_TIME_NOW)
		op.time = step->work->context->time_us / MICROSECONDS;
	rc = edit_emit_op(&step->work->emit, &op, err);
	if (rc == MBJ_OK)
		rc = step_guid_emit(step, op.id, op.rev + 1, op.uid, edit->guid,
				    err);
	step->result->uidvalidity = step->mailbox.uidvalidity;
	step->result->uid = op.uid;
	step->result->message_count = 1;
	return rc;
}

/* -------------------------------------------------------------- take all */

enum mbj_rc edit_take_all(struct edit_work *work, struct mbj_id inbox,
			  struct mbj_id target, struct mbj_error *err)
{
	struct mbj_op op = {
		.kind = MBJ_OP_MESSAGE_TAKE_ALL,
		.id = inbox,
		.target = target,
	};
	struct mbj_txn *txn = work->context->txn;
	struct mbj_content content;
	enum mbj_rc rc;

	rc = mbj_txn_content_get(txn, work->account.id, inbox, &content, err);
	if (rc < 0 || content.message_count == 0)
		return rc;
	if (content.modseq == MBJ_MODSEQ_MAX)
		return step_refuse(err, MBJ_REFUSAL_TOO_LARGE, "mailbox", inbox,
				   MBJ_ELIMIT, "has no modseq left");
	op.rev = content.rev;
	op.modseq = content.modseq + 1;
	return edit_emit_op(&work->emit, &op, err);
}

static enum mbj_rc step_take_all(struct step *step, struct mbj_error *err)
{
	const struct mbj_message_edit *edit = step->edit;
	struct mbj_content from = {0}, to = {0};
	struct mbj_mailbox target;
	enum mbj_rc rc;

	rc = step_mailbox_open(step->work, edit->target, "target", &target,
			       err);
	if (rc == MBJ_OK)
		rc = step_content_get(step, edit->mailbox, &from, err);
	if (rc == MBJ_OK)
		rc = step_content_get(step, edit->target, &to, err);
	if (rc < 0)
		return rc;
	if (to.rev != 1 || mbj_id_equal(edit->mailbox, edit->target))
		return step_refuse(err, MBJ_REFUSAL_FORBIDDEN, "target",
				   edit->target, MBJ_EINVALID,
				   "has held messages of its own");
	rc = edit_take_all(step->work, edit->mailbox, edit->target, err);
	step->result->uidvalidity = target.uidvalidity;
	step->result->message_count = from.message_count;
	return rc;
}

/* ----------------------------------------------------------------- steps */

static enum mbj_rc step_run(struct step *step, struct mbj_error *err)
{
	const struct mbj_message_edit *edit = step->edit;
	struct mbj_content content;
	bool has_uids = edit->kind >= MBJ_MESSAGE_FLAGS &&
			edit->kind <= MBJ_MESSAGE_MOVE;
	enum mbj_rc rc;

	rc = step_mailbox_open(step->work, edit->mailbox, "mailbox",
			       &step->mailbox, err);
	if (rc < 0)
		return rc;
	if (has_uids && !mbj_uids_are_good(edit->uids))
		return step_refuse(err, MBJ_REFUSAL_INVALID_ARGUMENTS,
				   "mailbox", edit->mailbox, MBJ_EINVALID,
				   "is given a set of UIDs that is none");
	switch (edit->kind) {
	case MBJ_MESSAGE_APPEND:
		rc = step_append(step, err);
		break;
	case MBJ_MESSAGE_FLAGS:
		rc = step_flags(step, err);
		break;
	case MBJ_MESSAGE_EXPUNGE:
		rc = step_expunge(step, err);
		break;
	case MBJ_MESSAGE_COPY:
	case MBJ_MESSAGE_MOVE:
		rc = step_copy(step, err);
		break;
	case MBJ_MESSAGE_TAKE_ALL:
		rc = step_take_all(step, err);
		break;
	case MBJ_MESSAGE_GUID:
		rc = step_guid(step, err);
		break;
	case MBJ_MESSAGE_DOUBT:
		if (step->work->edit->stage == MBJ_STAGE_INTENT)
			break;
		rc = step_refuse(err, MBJ_REFUSAL_INVALID_ARGUMENTS, "mailbox",
				 edit->mailbox, MBJ_EINVALID,
				 "is put in doubt by an intent alone");
		break;
	default:
		rc = step_refuse(err, MBJ_REFUSAL_INVALID_ARGUMENTS, "mailbox",
				 edit->mailbox, MBJ_EINVALID,
				 "is given a step of an unknown kind");
	}
	if (rc == MBJ_OK)
		rc = step_content_get(step, edit->mailbox, &content, err);
	if (rc == MBJ_OK)
		step->result->modseq = content.modseq;
	return rc;
}

enum mbj_rc edit_messages_run(struct edit_work *work, struct mbj_error *err)
{
	const struct mbj_edit *edit = work->edit;
	enum mbj_rc rc = MBJ_OK;

	work->outcome.messages = mbj_calloc(edit->message_count + 1,
					    sizeof(*work->outcome.messages));
	if (work->outcome.messages == NULL)
		return mbj_error_nomem(err);
	work->outcome.message_count = edit->message_count;
	for (size_t i = 0; rc == MBJ_OK && i < edit->message_count; i++) {
		struct step step = {
			.work = work,
			.edit = &edit->messages[i],
			.result = &work->outcome.messages[i],
		};

		rc = step_run(&step, err);
	}
	return rc;
}
