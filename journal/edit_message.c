/*
 * MESSAGES: each step, in order, to primitives on what the steps before left.
 *
 * UIDs, modseqs and the messages of a set are chosen here, from the
 * transaction: what the group says is what replicas do.
 *
 * Invariants:
 *   1. a step that changes nothing emits nothing;
 *   2. messages that are to be copied are read before the first is written:
 *      a mailbox may be copied into itself.
 *
 * Threads: as the transaction.
 */
#include <mbj/check.h>

#include "edit_text.h"
#include "edit_work.h"

/* One step on its way. */
struct step {
	struct edit_work *work;
	const struct mbj_message_edit *edit;
	struct mbj_message_result *result;
	struct mbj_mailbox mailbox;
};

/* A message that is to be copied. */
struct copied {
	struct mbj_message message;
	struct copied *next;
};

struct copies {
	struct copied *first;
	struct copied **end;
	uint64_t count;
	uint64_t size;
	struct mbj_buf uids; /* those that there are */
};

static enum mbj_rc step_refuse(struct mbj_error *err, enum mbj_refusal refusal,
			       const char *kind, struct mbj_id id,
			       enum mbj_rc rc, const char *why)
{
	if (edit_refuse_id(err, refusal, kind, id, why) == MBJ_EINVALID)
		return edit_text_recode(err, rc);
	return rc;
}

/* A mailbox that can hold messages. */
static enum mbj_rc mailbox_open(struct edit_work *work, struct mbj_id id,
				const char *kind,
				struct mbj_mailbox *ret_mailbox,
				struct mbj_error *err)
{
	struct mbj_txn *txn = work->context->txn;
	enum mbj_rc rc;

	rc = mbj_txn_mailbox_get(txn, work->account.id, id, ret_mailbox, NULL);
	if (rc == MBJ_ENOTFOUND)
		return step_refuse(err, MBJ_REFUSAL_NOT_FOUND, kind, id, rc,
				   "does not exist");
	if (rc < 0)
		return mbj_txn_mailbox_get(txn, work->account.id, id,
					   ret_mailbox, err);
	if (!ret_mailbox->is_selectable)
		return step_refuse(err, MBJ_REFUSAL_FORBIDDEN, kind, id,
				   MBJ_EINVALID, "cannot hold messages");
	return MBJ_OK;
}

static enum mbj_rc content_get(const struct step *step, struct mbj_id mailbox,
			       struct mbj_content *ret_content,
			       struct mbj_error *err)
{
	return mbj_txn_content_get(step->work->context->txn,
				   step->work->account.id, mailbox, ret_content,
				   err);
}

/* What the caller asks for, or the next; never one that was. */
static enum mbj_rc modseq_choose(const struct step *step,
				 const struct mbj_content *content,
				 uint64_t *ret_modseq, struct mbj_error *err)
{
	uint64_t modseq = step->edit->modseq;

	if (modseq == 0)
		modseq = content->modseq + 1;
	if (modseq < content->modseq || modseq > MBJ_MODSEQ_MAX)
		return step_refuse(err, MBJ_REFUSAL_INVALID_PROPERTIES,
				   "mailbox", step->edit->mailbox, MBJ_EINVALID,
				   "has a higher HIGHESTMODSEQ already");
	*ret_modseq = modseq;
	return MBJ_OK;
}

/* count messages of size bytes more fit into the account's quota. */
static enum mbj_rc quota_check(const struct step *step, uint64_t count,
			       uint64_t size, struct mbj_error *err)
{
	struct mbj_account account;
	enum mbj_rc rc;

	rc = mbj_txn_account_get(step->work->context->txn,
				 step->work->account.id, &account, err);
	if (rc < 0)
		return rc;
	if ((account.quota_messages == 0 ||
	     account.message_count + count <= account.quota_messages) &&
	    (account.quota_size == 0 ||
	     account.message_size + size <= account.quota_size))
		return MBJ_OK;
	(void)mbj_error_refuse(
		err, MBJ_REFUSAL_OVER_QUOTA, NULL, NULL,
		"the account holds %llu messages of %llu bytes and may hold "
		"%llu of %llu (0: any)",
		(unsigned long long)account.message_count,
		(unsigned long long)account.message_size,
		(unsigned long long)account.quota_messages,
		(unsigned long long)account.quota_size);
	return edit_text_recode(err, MBJ_ELIMIT);
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
	else if ((count > 0 || size != 0) && size != edit->size)
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

	rc = content_get(step, edit->mailbox, &content, err);
	if (rc == MBJ_OK)
		rc = append_judge(step, &content, err);
	if (rc == MBJ_OK)
		rc = quota_check(step, 1, edit->size, err);
	if (rc == MBJ_OK)
		rc = modseq_choose(step, &content, &op.modseq, err);
	if (rc < 0)
		return rc;
	op.rev = content.rev;
	if (op.uid == 0)
		op.uid = content.uidnext;
	rc = edit_emit_op(&step->work->emit, &op, err);
	step->result->uidvalidity = step->mailbox.uidvalidity;
	step->result->uid = op.uid;
	step->result->message_count = 1;
	return rc;
}

/* ------------------------------------------------------- sets of messages */

static enum mbj_rc copies_add(struct step *step, struct copies *copies,
			      const struct mbj_message *message,
			      struct mbj_error *err)
{
	struct copied *copied;

	if (copies->count == MBJ_EDIT_MESSAGES_MAX)
		return step_refuse(err, MBJ_REFUSAL_TOO_LARGE, "mailbox",
				   step->edit->mailbox, MBJ_ELIMIT,
				   "has more messages in the set than one edit "
				   "may have");
	copied = mbj_arena_alloc(step->work->context->arena, sizeof(*copied));
	if (copied == NULL)
		return mbj_error_nomem(err);
	copied->message = *message;
	copied->next = NULL;
	if (!mbj_arena_dup(step->work->context->arena, message->keywords,
			   &copied->message.keywords))
		return mbj_error_nomem(err);
	*copies->end = copied;
	copies->end = &copied->next;
	copies->count++;
	copies->size += message->size;
	mbj_uids_put(&copies->uids, message->uid, message->uid);
	return MBJ_OK;
}

/* The messages of one range of the set. */
static enum mbj_rc copies_read_range(struct step *step, struct copies *copies,
				     struct mbj_series series,
				     struct mbj_uid_range range,
				     struct mbj_error *err)
{
	struct mbj_txn *txn = step->work->context->txn;
	struct mbj_message message;
	struct mbj_scan scan = {0};
	enum mbj_rc rc;

	/* One is asked for, without what a scan has to prepare. */
	if (range.first == range.last) {
		rc = mbj_txn_message_get(txn, step->work->account.id, series,
					 range.first, &message, err);
		if (rc == MBJ_OK)
			rc = copies_add(step, copies, &message, err);
		return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
	}
	rc = mbj_scan_messages(txn, step->work->account.id, series, range.first,
			       &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_message(&scan, &message, err);
		if (rc == MBJ_OK && message.uid > range.last)
			break;
		if (rc == MBJ_OK)
			rc = copies_add(step, copies, &message, err);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* What of the set is there, in the order of its UIDs. */
static enum mbj_rc copies_read(struct step *step, struct copies *copies,
			       struct mbj_error *err)
{
	struct mbj_bytes uids = step->edit->uids;
	struct mbj_content content;
	enum mbj_rc rc;

	copies->end = &copies->first;
	mbj_buf_init(&copies->uids,
		     (size_t)MBJ_EDIT_MESSAGES_MAX * MBJ_UID_RANGE_SIZE);
	rc = content_get(step, step->edit->mailbox, &content, err);
	for (size_t i = 0; rc == MBJ_OK && i < mbj_uids_count(uids); i++) {
		struct mbj_uid_range range = mbj_uids_get(uids, i);

		if (range.first >= content.uidnext)
			break;
		rc = copies_read_range(step, copies, content.series, range,
				       err);
	}
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(&copies->uids, err);
	return rc;
}

/* A set in primitives of at most MBJ_UID_RANGES_MAX ranges each. */
static enum mbj_rc uids_emit(struct step *step, struct mbj_op *op,
			     struct mbj_bytes uids, struct mbj_error *err)
{
	size_t piece = (size_t)MBJ_UID_RANGES_MAX * MBJ_UID_RANGE_SIZE;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && uids.n > 0) {
		struct mbj_content content;

		op->uids = uids;
		if (op->uids.n > piece)
			op->uids.n = piece;
		uids.p += op->uids.n;
		uids.n -= op->uids.n;
		rc = content_get(step, op->id, &content, err);
		op->rev = content.rev;
		if (rc == MBJ_OK)
			rc = edit_emit_op(&step->work->emit, op, err);
	}
	return rc;
}

/* The set as far as UIDs were ever given out; empty where none was. */
static struct mbj_bytes uids_clip(const struct step *step,
				  const struct mbj_content *content,
				  struct mbj_buf *scratch)
{
	struct mbj_bytes uids = step->edit->uids;

	for (size_t i = 0; i < mbj_uids_count(uids); i++) {
		struct mbj_uid_range range = mbj_uids_get(uids, i);

		if (range.first >= content->uidnext)
			break;
		if (range.last >= content->uidnext)
			range.last = content->uidnext - 1;
		mbj_uids_put(scratch, range.first, range.last);
	}
	return mbj_buf_view(scratch);
}

static enum mbj_rc step_flags(struct step *step, struct mbj_error *err)
{
	const struct mbj_message_edit *edit = step->edit;
	struct mbj_op op = {
		.kind = MBJ_OP_MESSAGE_FLAGS,
		.id = edit->mailbox,
		.flag_mode = (uint8_t)edit->mode,
		.flags = edit->flags,
		.keywords = edit->keywords,
	};
	struct mbj_content content;
	struct mbj_buf scratch;
	enum mbj_rc rc;

	if (edit->mode < MBJ_FLAGS_ADD || edit->mode > MBJ_FLAGS_REPLACE ||
	    edit->flags > MBJ_FLAGS_ALL ||
	    !mbj_keywords_are_good(edit->keywords))
		return step_refuse(err, MBJ_REFUSAL_INVALID_PROPERTIES,
				   "mailbox", edit->mailbox, MBJ_EINVALID,
				   "cannot have these flags set");
	rc = content_get(step, edit->mailbox, &content, err);
	if (rc == MBJ_OK)
		rc = modseq_choose(step, &content, &op.modseq, err);
	if (rc < 0)
		return rc;
	mbj_buf_init(&scratch, MBJ_UID_RANGES_MAX * MBJ_UID_RANGE_SIZE);
	op.uids = uids_clip(step, &content, &scratch);
	op.rev = content.rev;
	rc = mbj_buf_ok(&scratch, err);
	/* Of messages that are not there nothing is said. */
	if (rc == MBJ_OK && op.uids.n > 0 && content.message_count > 0)
		rc = edit_emit_op(&step->work->emit, &op, err);
	mbj_buf_done(&scratch);
	return rc;
}

static enum mbj_rc step_expunge_these(struct step *step, struct mbj_bytes uids,
				      struct mbj_error *err)
{
	struct mbj_op op = {
		.kind = MBJ_OP_MESSAGE_EXPUNGE,
		.id = step->edit->mailbox,
	};
	struct mbj_content content;
	enum mbj_rc rc;

	if (uids.n == 0)
		return MBJ_OK;
	rc = content_get(step, step->edit->mailbox, &content, err);
	if (rc == MBJ_OK)
		rc = modseq_choose(step, &content, &op.modseq, err);
	if (rc == MBJ_OK)
		rc = uids_emit(step, &op, uids, err);
	return rc;
}

/*
 * The record says exactly what goes: a range that reaches beyond what is there
 * would tell clients of UIDs that they never saw (RFC 7162 allows it, users of
 * the journal need not guess).
 */
static enum mbj_rc step_expunge(struct step *step, struct mbj_error *err)
{
	struct copies copies = {0};
	enum mbj_rc rc = copies_read(step, &copies, err);

	if (rc == MBJ_OK)
		rc = step_expunge_these(step, mbj_buf_view(&copies.uids), err);
	step->result->message_count = copies.count;
	mbj_buf_done(&copies.uids);
	return rc;
}

/* ------------------------------------------------------------ copy, move */

static enum mbj_rc copies_emit(struct step *step, const struct copies *copies,
			       struct mbj_error *err)
{
	struct mbj_content content;
	enum mbj_rc rc;

	rc = content_get(step, step->edit->target, &content, err);
	if (rc < 0)
		return rc;
	if (MBJ_UIDNEXT_MAX - content.uidnext < copies->count ||
	    content.modseq == MBJ_MODSEQ_MAX)
		return step_refuse(err, MBJ_REFUSAL_TOO_LARGE, "target",
				   step->edit->target, MBJ_ELIMIT,
				   "has no UID or modseq left");
	step->result->uid = copies->count > 0 ? content.uidnext : 0;
	for (const struct copied *copied = copies->first; copied != NULL;
	     copied = copied->next) {
		struct mbj_op op = {
			.kind = MBJ_OP_MESSAGE_APPEND,
			.id = step->edit->target,
			.rev = content.rev++,
			.uid = content.uidnext++,
			.blob = copied->message.blob,
			.size = copied->message.size,
			.time = copied->message.time,
			.flags = copied->message.flags,
			.keywords = copied->message.keywords,
			.modseq = content.modseq + 1,
		};

		rc = edit_emit_op(&step->work->emit, &op, err);
		if (rc < 0)
			return rc;
	}
	return MBJ_OK;
}

static enum mbj_rc step_copy(struct step *step, struct mbj_error *err)
{
	bool is_move = step->edit->kind == MBJ_MESSAGE_MOVE;
	struct copies copies = {0};
	struct mbj_mailbox target;
	enum mbj_rc rc;

	rc = mailbox_open(step->work, step->edit->target, "target", &target,
			  err);
	if (rc < 0)
		return rc;
	rc = copies_read(step, &copies, err);
	if (rc == MBJ_OK && !is_move)
		rc = quota_check(step, copies.count, copies.size, err);
	if (rc == MBJ_OK)
		rc = copies_emit(step, &copies, err);
	if (rc == MBJ_OK && is_move)
		rc = step_expunge_these(step, mbj_buf_view(&copies.uids), err);
	step->result->uidvalidity = target.uidvalidity;
	step->result->message_count = copies.count;
	mbj_buf_done(&copies.uids);
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

	rc = mailbox_open(step->work, edit->target, "target", &target, err);
	if (rc == MBJ_OK)
		rc = content_get(step, edit->mailbox, &from, err);
	if (rc == MBJ_OK)
		rc = content_get(step, edit->target, &to, err);
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
	bool has_uids = edit->kind != MBJ_MESSAGE_APPEND &&
			edit->kind != MBJ_MESSAGE_TAKE_ALL;
	enum mbj_rc rc;

	rc = mailbox_open(step->work, edit->mailbox, "mailbox", &step->mailbox,
			  err);
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
	default:
		rc = step_refuse(err, MBJ_REFUSAL_INVALID_ARGUMENTS, "mailbox",
				 edit->mailbox, MBJ_EINVALID,
				 "is given a step of an unknown kind");
	}
	if (rc == MBJ_OK)
		rc = content_get(step, edit->mailbox, &content, err);
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
