/*
 * One small edit through the shipped library: the state, delivery and
 * interruption; see exam.h.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exam_impl.h"
#include "support.h"

enum {
	/* Edits after which the transaction gives its memory back. */
	CASES_PER_TXN = 512,
	/* Edits of which one is delivered as a whole group too. */
	GROUP_ONE_IN = 8,
};

const struct mbj_id exam_account = {{0xac}};

bool wrong(char why[EXAM_WHY_SIZE], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(why, EXAM_WHY_SIZE, format, args);
	va_end(args);
	return false;
}

/* ---------------------------------------------------------------- base */

/* A fresh transaction with the tree before in it. */
static void exam_load(struct exam *exam, const struct small *small)
{
	const struct mbj_account account = {
		.id = exam_account,
		.name = mbj_bytes_str("exam"),
		.policy = {false, '/'},
	};
	uint32_t order[SMALL_MAX];
	uint32_t count = tree_order(small->before, small->count, order);

	mbj_txn_abort(&exam->txn);
	mbj_tree_free(&exam->before);
	EXAM_OK(mbj_txn_begin(exam->state, &exam->txn, err));
	EXAM_OK(mbj_txn_account_create(exam->txn, &account, err));
	for (uint32_t i = 0; i < count; i++) {
		struct small_place place = small->before[order[i]];
		const struct mbj_mailbox mailbox = {
			.id = id_of((int)order[i]),
			.parent = id_of(place.parent),
			.name = name_of(place),
			.uidvalidity = order[i] + 1,
			.is_selectable = true,
		};

		EXAM_OK(mbj_txn_mailbox_create(exam->txn, exam_account,
					       &mailbox, err));
	}
	exam->before = tree_make(small->before, small->count);
	exam->start = mbj_txn_savepoint(exam->txn);
	exam->base_count = small->count;
	memcpy(exam->base, small->before, sizeof(exam->base));
	exam->cases_in_txn = 0;
}

/* The tree before, whatever the last edit has left. */
static void exam_start(struct exam *exam, const struct small *small)
{
	if (exam->txn == NULL || exam->cases_in_txn == CASES_PER_TXN ||
	    exam->base_count != small->count ||
	    !small_tree_equal(exam->base, small->before, small->count))
		exam_load(exam, small);
	else
		mbj_txn_rollback(exam->txn, exam->start);
	exam->cases_in_txn++;
}

struct exam *exam_new(bool is_thorough)
{
	const struct mbj_id lineage = {{0xee}};
	struct mbj_state_options options = MBJ_STATE_OPTIONS_DEFAULT;
	struct exam *exam = calloc(1, sizeof(*exam));
	char *home;

	SMALL_CHECK(exam != NULL);
	exam->is_thorough = is_thorough;
	options.engine = MBJ_STATE_MEMORY;
	exam->dir = test_tmpdir_new();
	home = test_path_dup(exam->dir, "state");
	EXAM_OK(mbj_state_open(mbj_sys_posix(), home, lineage, &options,
			       &exam->state, err));
	free(home);
	EXAM_OK(mbj_sha256_new(&exam->sha, err));
	mbj_group_writer_init(&exam->writer);
	mbj_buf_init(&exam->record, MBJ_GROUP_MAX);
	return exam;
}

void exam_free(struct exam **exam)
{
	mbj_txn_abort(&(*exam)->txn);
	mbj_state_close(&(*exam)->state);
	mbj_tree_free(&(*exam)->before);
	mbj_sha256_free(&(*exam)->sha);
	mbj_group_writer_done(&(*exam)->writer);
	mbj_buf_done(&(*exam)->record);
	test_tmpdir_free(&(*exam)->dir);
	free(*exam);
	*exam = NULL;
}

/* ------------------------------------------------------------- deliver */

bool deliver(struct exam *exam, const struct mbj_op *op,
	     enum mbj_verdict wanted, char why[EXAM_WHY_SIZE])
{
	const struct mbj_lsn lsn = {1};
	struct mbj_error error = {.rc = MBJ_OK};
	enum mbj_verdict verdict, again;
	char text[MBJ_ID_TEXT_SIZE];

	EXAM_OK(mbj_apply_op(exam->txn, exam_account, lsn, op, &verdict, err));
	if (verdict == wanted)
		return true;
	/* Once more for the words: they cost too much to have them ready. */
	(void)!mbj_apply_op(exam->txn, exam_account, lsn, op, &again, &error);
	mbj_id_print(op->id, text);
	return wrong(why, "%s of %s at revision %llu is %s, must be %s %s",
		     mbj_op_info_get(op->kind)->word, text,
		     (unsigned long long)op->rev, mbj_verdict_name(verdict),
		     mbj_verdict_name(wanted), error.message);
}

/* The mailbox of primitive i is where the rules have put it. */
static bool state_follows(struct exam *exam, const struct script *script,
			  size_t i, char why[EXAM_WHY_SIZE])
{
	struct small_place place = script->walk[i + 1][script->ids[i]];
	struct mbj_id id = id_of((int)script->ids[i]);
	struct mbj_mailbox mailbox;
	enum mbj_rc rc;

	rc = mbj_txn_mailbox_get(exam->txn, exam_account, id, &mailbox, NULL);
	if (place.parent == SMALL_ABSENT && rc == MBJ_ENOTFOUND)
		return true;
	if (rc == MBJ_OK && place.parent == SMALL_TEMP &&
	    mbj_id_is_temp(mailbox.parent))
		return true;
	if (rc == MBJ_OK && place.parent >= SMALL_ROOT &&
	    mbj_id_equal(mailbox.parent, id_of(place.parent)) &&
	    mbj_bytes_equal(mailbox.name.key, name_of(place).key))
		return true;
	return wrong(why,
		     "after primitive %zu the state has mailbox %c "
		     "elsewhere",
		     i + 1, 'a' + (int)script->ids[i]);
}

/* The first count primitives again: all already, nothing changes. */
static bool redeliver(struct exam *exam, const struct script *script,
		      size_t count, struct exam_tally *tally,
		      char why[EXAM_WHY_SIZE])
{
	size_t savepoint = mbj_txn_savepoint(exam->txn);

	for (size_t i = 0; i < count; i++)
		if (!deliver(exam, &script->ops[i].op, MBJ_VERDICT_ALREADY,
			     why))
			return false;
	tally->already += count;
	if (mbj_txn_savepoint(exam->txn) != savepoint)
		return wrong(why, "primitives delivered again have changed "
				  "something");
	return true;
}

struct mbj_digest exam_digest(struct exam *exam)
{
	struct mbj_account account;

	EXAM_OK(mbj_txn_account_get(exam->txn, exam_account, &account, err));
	return account.digest;
}

/*
 * Interrupted after done primitives, the whole group again; the state is put
 * back to the interruption.
 */
static bool resume(struct exam *exam, const struct script *script, size_t done,
		   struct mbj_digest *ret_digest, struct exam_tally *tally,
		   char why[EXAM_WHY_SIZE])
{
	size_t savepoint = mbj_txn_savepoint(exam->txn);

	if (!redeliver(exam, script, done, tally, why))
		return false;
	for (size_t i = done; i < script->count; i++)
		if (!deliver(exam, &script->ops[i].op, MBJ_VERDICT_APPLY, why))
			return false;
	*ret_digest = exam_digest(exam);
	mbj_txn_rollback(exam->txn, savepoint);
	tally->resumes++;
	return true;
}

/* Primitive by primitive, each time interrupted and resumed. */
static bool script_run(struct exam *exam, const struct small *small,
		       const struct script *script, struct mbj_digest *ret_end,
		       struct exam_tally *tally, char why[EXAM_WHY_SIZE])
{
	struct mbj_digest ends[STEPS_MAX];
	struct mbj_digest end;

	for (size_t i = 0; i < script->count; i++)
		if ((exam->is_thorough &&
		     !amiss_early(exam, small, script, i, tally, why)) ||
		    !deliver(exam, &script->ops[i].op, MBJ_VERDICT_APPLY,
			     why) ||
		    !state_follows(exam, script, i, why) ||
		    !resume(exam, script, i + 1, &ends[i], tally, why))
			return false;
	end = exam_digest(exam);
	for (size_t i = 0; i < script->count; i++)
		if (!mbj_digest_equal(&ends[i], &end))
			return wrong(why,
				     "resumed after %zu, the end is "
				     "another state",
				     i + 1);
	*ret_end = end;
	return !exam->is_thorough || amiss_after(exam, small, script, why);
}

/* ---------------------------------------------------------------- A-B-A */

static bool small_can_be_undone(const struct small *small)
{
	for (uint32_t i = 0; i < small->count; i++)
		if (small->before[i].parent == SMALL_ABSENT ||
		    small->after[i].parent == SMALL_ABSENT)
			return false;
	return true;
}

/* The revisions that the state has now, into the tree. */
static void tree_take_revs(struct exam *exam, struct mbj_tree *tree)
{
	for (uint32_t i = 0; i < mbj_tree_size(tree); i++) {
		struct mbj_node *node = mbj_tree_edit(tree, i);
		struct mbj_mailbox mailbox;

		EXAM_OK(mbj_txn_mailbox_get(exam->txn, exam_account, node->id,
					    &mailbox, err));
		node->rev = mailbox.rev;
	}
}

/* A later group undoes the edit, then the first is delivered once more. */
static bool script_undo(struct exam *exam, const struct small *small,
			const struct script *script, struct mbj_tree *after,
			uint32_t parks, struct exam_tally *tally,
			char why[EXAM_WHY_SIZE])
{
	struct exam_tally rest = {0};
	struct small back = *small;
	struct script undo;

	memcpy(back.before, small->after, sizeof(back.before));
	memcpy(back.after, small->before, sizeof(back.after));
	tree_take_revs(exam, after);
	if (!script_plan(&undo, &back, after, exam->before, parks, &rest, why))
		return false;
	for (size_t i = 0; i < undo.count; i++)
		if (!deliver(exam, &undo.ops[i].op, MBJ_VERDICT_APPLY, why))
			return false;
	tally->undone++;
	return redeliver(exam, script, script->count, tally, why);
}

bool exam_case(struct exam *exam, const struct small *small, uint32_t parks,
	       struct exam_tally *tally, char why[EXAM_WHY_SIZE])
{
	struct mbj_tree *after;
	struct mbj_digest end;
	struct script script;
	bool is_good;

	exam_start(exam, small);
	after = tree_make(small->after, small->count);
	is_good = script_plan(&script, small, exam->before, after, parks, tally,
			      why) &&
		  script_run(exam, small, &script, &end, tally, why) &&
		  (!small_can_be_undone(small) ||
		   script_undo(exam, small, &script, after, parks, tally, why));
	if (is_good && exam->is_thorough && tally->cases % GROUP_ONE_IN == 0) {
		mbj_txn_rollback(exam->txn, exam->start);
		is_good = amiss_group(exam, &script, &end, why);
		tally->groups++;
	}
	mbj_tree_free(&after);
	tally->cases++;
	return is_good;
}
