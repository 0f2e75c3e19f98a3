/*
 * MESSAGES: steps on messages that are there, by sets of UIDs: flags, expunge,
 * copy and move.
 *
 * Invariant: messages that are to be copied are read before the first is
 * written: a mailbox may be copied into itself.
 *
 * Threads: as the transaction.
 */
#include <mbj/check.h>

#include "edit_message.h"
#include "edit_text.h"

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
			   &copied->message.keywords) ||
	    !mbj_arena_dup(step->work->context->arena, message->guid,
			   &copied->message.guid))
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
	rc = step_content_get(step, step->edit->mailbox, &content, err);
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
		rc = step_content_get(step, op->id, &content, err);
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

/* What would change, into the result: nothing is no primitive. */
static enum mbj_rc flags_count(struct step *step, const struct mbj_op *op,
			       struct mbj_error *err)
{
	const struct mbj_flags_change change = {
		.uids = op->uids,
		.mode = (enum mbj_flag_mode)op->flag_mode,
		.flags = op->flags,
		.keywords = op->keywords,
		.modseq = op->modseq,
	};
	struct mbj_error why = {.rc = MBJ_OK};
	enum mbj_rc rc;

	rc = mbj_txn_message_flags_count(step->work->context->txn,
					 step->work->account.id, op->id,
					 &change, &step->result->message_count,
					 &why);
	if (rc == MBJ_ECONFLICT) {
		(void)mbj_error_refuse(err, MBJ_REFUSAL_TOO_LARGE, NULL, NULL,
				       "%s", why.message);
		return edit_text_recode(err, MBJ_ELIMIT);
	}
	if (rc < 0 && err != NULL)
		*err = why;
	return rc;
}

enum mbj_rc step_flags(struct step *step, struct mbj_error *err)
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
	bool is_raised;
	enum mbj_rc rc;

	if (edit->mode < MBJ_FLAGS_ADD || edit->mode > MBJ_FLAGS_REPLACE ||
	    edit->flags > MBJ_FLAGS_ALL ||
	    !mbj_keywords_are_good(edit->keywords))
		return step_refuse(err, MBJ_REFUSAL_INVALID_PROPERTIES,
				   "mailbox", edit->mailbox, MBJ_EINVALID,
				   "cannot have these flags set");
	rc = step_content_get(step, edit->mailbox, &content, err);
	if (rc == MBJ_OK)
		rc = step_modseq_choose(step, &content, &op.modseq, err);
	if (rc < 0)
		return rc;
	mbj_buf_init(&scratch, MBJ_UID_RANGES_MAX * MBJ_UID_RANGE_SIZE);
	op.uids = uids_clip(step, &content, &scratch);
	op.rev = content.rev;
	rc = mbj_buf_ok(&scratch, err);
	if (rc == MBJ_OK && op.uids.n > 0)
		rc = flags_count(step, &op, err);
	/* A server's HIGHESTMODSEQ rises with more than what messages have. */
	is_raised = edit->modseq > content.modseq && op.uids.n > 0;
	if (rc == MBJ_OK && (step->result->message_count > 0 || is_raised))
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
	rc = step_content_get(step, step->edit->mailbox, &content, err);
	if (rc == MBJ_OK)
		rc = step_modseq_choose(step, &content, &op.modseq, err);
	if (rc == MBJ_OK)
		rc = uids_emit(step, &op, uids, err);
	return rc;
}

/*
 * The record says exactly what goes: a range that reaches beyond what is there
 * would tell clients of UIDs that they never saw (RFC 7162 allows it, users of
 * the journal need not guess).
 */
enum mbj_rc step_expunge(struct step *step, struct mbj_error *err)
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

	rc = step_content_get(step, step->edit->target, &content, err);
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
		if (rc == MBJ_OK && step->edit->kind == MBJ_MESSAGE_MOVE &&
		    copied->message.guid.n > 0)
			rc = step_guid_emit(step, op.id, content.rev++, op.uid,
					    copied->message.guid, err);
		if (rc < 0)
			return rc;
	}
	return MBJ_OK;
}

enum mbj_rc step_copy(struct step *step, struct mbj_error *err)
{
	bool is_move = step->edit->kind == MBJ_MESSAGE_MOVE;
	struct copies copies = {0};
	struct mbj_mailbox target;
	enum mbj_rc rc;

	rc = step_mailbox_open(step->work, step->edit->target, "target",
			       &target, err);
	if (rc < 0)
		return rc;
	rc = copies_read(step, &copies, err);
	if (rc == MBJ_OK && !is_move)
		rc = step_quota_check(step, copies.count, copies.size, err);
	if (rc == MBJ_OK)
		rc = copies_emit(step, &copies, err);
	if (rc == MBJ_OK && is_move)
		rc = step_expunge_these(step, mbj_buf_view(&copies.uids), err);
	step->result->uidvalidity = target.uidvalidity;
	step->result->message_count = copies.count;
	step->result->uids = copies.uids; /* and its storage */
	return rc;
}
