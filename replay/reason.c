/*
 * Why a group was not carried out; see reason.h.
 *
 * The primitive is said with the mailbox's id, and with its name where the
 * group has it: where the mailbox was, or is to be.
 */
#include "reason.h"

#include <stdio.h>
#include <string.h>

#include <mbj/check.h>
#include <mbj/name.h>

/* Bytes of a name that is shown, escaped. */
enum { SHOWN_MAX = 120, SUBJECT_MAX = 240 };

/* The primitive that decided; false: it cannot be decoded, or there is none. */
static bool op_find(const struct mbj_group *group, uint32_t index,
		    struct mbj_op *ret_op)
{
	struct mbj_reader reader;

	if (!group->is_body_good)
		return false;
	mbj_reader_init(&reader, group->body);
	for (uint32_t i = 0; i <= index; i++) {
		if (mbj_group_op_next(group, &reader, ret_op, NULL) != MBJ_OK)
			return false;
	}
	return true;
}

static struct mbj_bytes op_name(const struct mbj_op *op)
{
	if (op->kind == MBJ_OP_MAILBOX_CREATE)
		return op->to.name.stored;
	if (op->kind == MBJ_OP_MAILBOX_MOVE ||
	    op->kind == MBJ_OP_MAILBOX_DELETE)
		return op->from.name.stored;
	return mbj_bytes_make(NULL, 0);
}

/* " (mailbox-move <id> "Work")", or nothing. */
static void subject_print(const struct mbj_op *op, char text[SUBJECT_MAX])
{
	struct mbj_bytes name = op_name(op);
	char id[MBJ_ID_TEXT_SIZE] = "";
	struct mbj_buf shown;

	if (!mbj_id_is_reserved(op->id))
		mbj_id_print(op->id, id);
	mbj_buf_init(&shown, SHOWN_MAX);
	if (name.n > 0)
		mbj_name_escape(&shown, name);
	/* One that is too long goes without: the id says which it is. */
	if (shown.failed < 0)
		mbj_buf_clear(&shown);
	(void)snprintf(text, SUBJECT_MAX, " (%s%s%s%s%.*s%s)",
		       mbj_op_info_get(op->kind)->word, id[0] ? " " : "", id,
		       shown.n > 0 ? " \"" : "", (int)shown.n,
		       (const char *)shown.p, shown.n > 0 ? "\"" : "");
	mbj_buf_done(&shown);
}

void replay_reason_print(const struct mbj_group *group,
			 const struct mbj_apply_report *report,
			 char reason[MBJ_ERROR_MESSAGE_MAX])
{
	unsigned long long lsn = group->header.lsn.v;
	const char *verdict = mbj_verdict_name(report->verdict);
	char subject[SUBJECT_MAX] = "";
	struct mbj_op op;

	MBJ_ASSERT(report->verdict > MBJ_VERDICT_ALREADY);
	if (report->op_index == STOPPER_INDEX) {
		(void)snprintf(reason, MBJ_ERROR_MESSAGE_MAX,
			       "group %llu: %.400s", lsn, report->why.message);
		return;
	}
	if (report->op_index >= group->header.op_count) {
		(void)snprintf(reason, MBJ_ERROR_MESSAGE_MAX,
			       "group %llu, after its %u primitives: %s: "
			       "%.400s",
			       lsn, group->header.op_count, verdict,
			       report->why.message);
		return;
	}
	if (op_find(group, report->op_index, &op))
		subject_print(&op, subject);
	(void)snprintf(reason, MBJ_ERROR_MESSAGE_MAX,
		       "group %llu, primitive %u%s: %s: %.200s", lsn,
		       report->op_index, subject, verdict, report->why.message);
}
