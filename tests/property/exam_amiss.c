/*
 * Deliveries that are not as they should be: primitives too early, from
 * another slot than the mailbox is in, onto a deleted id; groups twice, out of
 * order, cut short, with another end.  Each has the one verdict that the rules
 * give it, and what is refused changes nothing.
 */
#include <string.h>

#include "exam_impl.h"

/* The next primitive, had it begun elsewhere: a diverged replica. */
static bool amiss_source(struct exam *exam, const struct mbj_op *op,
			 char why[EXAM_WHY_SIZE])
{
	struct mbj_op strange = *op;

	if (op->kind == MBJ_OP_MAILBOX_CREATE)
		return true;
	strange.from.name.key = mbj_bytes_str("elsewhere");
	return deliver(exam, &strange, MBJ_VERDICT_CONFLICT, why);
}

/* What the rules say to primitive i where only done of them have happened. */
static enum mbj_verdict early_verdict(const struct script *script,
				      const struct small *small, size_t done,
				      size_t i)
{
	struct small_place walk[SMALL_MAX];
	uint32_t id = script->ids[i];

	/* Another primitive of the same mailbox is missing. */
	for (size_t j = done; j < i; j++)
		if (script->ids[j] == id)
			return MBJ_VERDICT_GAP;
	memcpy(walk, script->walk[done], sizeof(walk));
	walk[id] = script->walk[i + 1][id];
	return small_tree_is_valid(walk, small->count) ? MBJ_VERDICT_APPLY
						       : MBJ_VERDICT_CONFLICT;
}

bool amiss_early(struct exam *exam, const struct small *small,
		 const struct script *script, size_t done,
		 struct exam_tally *tally, char why[EXAM_WHY_SIZE])
{
	size_t savepoint = mbj_txn_savepoint(exam->txn);

	if (!amiss_source(exam, &script->ops[done].op, why))
		return false;
	for (size_t i = done + 1; i < script->count; i++) {
		enum mbj_verdict verdict =
			early_verdict(script, small, done, i);

		if (!deliver(exam, &script->ops[i].op, verdict, why))
			return false;
		tally->early++;
		if (verdict == MBJ_VERDICT_APPLY)
			mbj_txn_rollback(exam->txn, savepoint);
		else if (mbj_txn_savepoint(exam->txn) != savepoint)
			return wrong(why,
				     "primitive %zu was refused, yet has "
				     "changed something",
				     i + 1);
	}
	return true;
}

bool amiss_after(struct exam *exam, const struct small *small,
		 const struct script *script, char why[EXAM_WHY_SIZE])
{
	(void)script;
	for (uint32_t i = 0; i < small->count; i++) {
		struct mbj_op op = {
			.kind = MBJ_OP_MAILBOX_CREATE,
			.id = id_of((int)i),
			.to = {MBJ_ID_ROOT,
			       {mbj_bytes_str("again"),
				mbj_bytes_str("again")}},
			.uidvalidity = 200,
			.is_selectable = 1,
		};

		/* An id that was ever used is never used again. */
		if (!deliver(exam, &op, MBJ_VERDICT_ALREADY, why))
			return false;
	}
	return true;
}

/* -------------------------------------------------------------- groups */

/* A record of the first count primitives, as a primary at previous makes it. */
static void group_make(struct exam *exam, const struct script *script,
		       size_t count, struct mbj_lsn lsn,
		       struct mbj_lsn previous, const struct mbj_digest *end,
		       struct mbj_group *ret_group)
{
	struct mbj_hash chain = {{0}};
	uint32_t index;

	mbj_buf_clear(&exam->record);
	mbj_group_writer_begin(&exam->writer, lsn, (struct mbj_epoch){1}, 1000,
			       MBJ_ORIGIN_LIVE, MBJ_ID_ROOT);
	EXAM_OK(mbj_group_writer_account(&exam->writer, exam_account, previous,
					 &index, err));
	for (size_t i = 0; i < count; i++)
		mbj_group_writer_op(&exam->writer, &script->ops[i].op);
	mbj_group_writer_digest(&exam->writer, index, end);
	EXAM_OK(mbj_group_writer_finish(&exam->writer, exam->sha, &chain,
					&exam->record, err));
	EXAM_OK(mbj_group_parse(mbj_buf_view(&exam->record), ret_group, err));
}

/* The group gets that verdict, and changes nothing unless it applies. */
static bool group_deliver(struct exam *exam, const struct mbj_group *group,
			  enum mbj_verdict wanted, const char *what,
			  char why[EXAM_WHY_SIZE])
{
	size_t savepoint = mbj_txn_savepoint(exam->txn);
	struct mbj_apply_report report;

	EXAM_OK(mbj_apply_group(exam->txn, group, &report, err));
	if (report.verdict != wanted)
		return wrong(why, "a group %s is %s, must be %s: %s", what,
			     mbj_verdict_name(report.verdict),
			     mbj_verdict_name(wanted), report.why.message);
	if (wanted != MBJ_VERDICT_APPLY &&
	    mbj_txn_savepoint(exam->txn) != savepoint)
		return wrong(why, "a group %s has changed something", what);
	return true;
}

/* The state after the first count primitives, then back. */
static struct mbj_digest group_digest(struct exam *exam,
				      const struct script *script, size_t count)
{
	const struct mbj_lsn lsn = {1};
	size_t savepoint = mbj_txn_savepoint(exam->txn);
	struct mbj_digest digest;
	enum mbj_verdict verdict;

	for (size_t i = 0; i < count; i++)
		EXAM_OK(mbj_apply_op(exam->txn, exam_account, lsn,
				     &script->ops[i].op, &verdict, err));
	digest = exam_digest(exam);
	mbj_txn_rollback(exam->txn, savepoint);
	return digest;
}

/* Cut short where somebody is parked, with the digest of just that. */
static bool group_cut(struct exam *exam, const struct script *script,
		      char why[EXAM_WHY_SIZE])
{
	const struct mbj_lsn none = {0}, first = {1};
	struct mbj_digest digest;
	struct mbj_group group;

	for (size_t i = 0; i < script->count; i++) {
		if (!mbj_id_is_temp(script->ops[i].op.to.parent))
			continue;
		digest = group_digest(exam, script, i + 1);
		group_make(exam, script, i + 1, first, none, &digest, &group);
		return group_deliver(exam, &group, MBJ_VERDICT_CONFLICT,
				     "that leaves somebody parked", why);
	}
	return true;
}

bool amiss_group(struct exam *exam, const struct script *script,
		 const struct mbj_digest *end, char why[EXAM_WHY_SIZE])
{
	const struct mbj_lsn none = {0}, first = {1}, third = {3};
	struct mbj_digest other = *end;
	struct mbj_group group;

	if (script->count == 0)
		return true;
	other.lane[0]++;
	group_make(exam, script, script->count, first, none, &other, &group);
	if (!group_deliver(exam, &group, MBJ_VERDICT_CONFLICT,
			   "with another end", why) ||
	    !group_cut(exam, script, why))
		return false;
	group_make(exam, script, script->count, third, (struct mbj_lsn){2}, end,
		   &group);
	if (!group_deliver(exam, &group, MBJ_VERDICT_GAP, "after a missing one",
			   why))
		return false;
	group_make(exam, script, script->count, first, none, end, &group);
	if (!group_deliver(exam, &group, MBJ_VERDICT_APPLY, "in order", why) ||
	    !group_deliver(exam, &group, MBJ_VERDICT_ALREADY, "delivered twice",
			   why))
		return false;
	group_make(exam, script, script->count, third, none, end, &group);
	return group_deliver(exam, &group, MBJ_VERDICT_CONFLICT,
			     "that does not know the last one", why);
}
