/*
 * One small edit through the shipped library; see exam.h.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/apply.h>
#include <mbj/diff.h>
#include <mbj/plan.h>
#include <mbj/tree.h>

#include "exam.h"
#include "plan_op.h"
#include "support.h"

enum {
	STEPS_MAX = 2 * SMALL_MAX,
	/* Edits after which the transaction gives its memory back. */
	CASES_PER_TXN = 512,
};

#define EXAM_OK(call)                                                \
	do {                                                         \
		struct mbj_error err_ = {.rc = MBJ_OK};              \
		struct mbj_error *err = &err_;                       \
		if ((call) != MBJ_OK)                                \
			small_die(err->message, __FILE__, __LINE__); \
	} while (0)

struct exam {
	char *dir;
	struct mbj_state *state;
	struct mbj_txn *txn;
	struct small_place base[SMALL_MAX]; /* the tree in the transaction */
	uint32_t base_count;
	struct mbj_tree *before; /* the same as a tree */
	size_t start;		 /* savepoint with the base in place */
	uint32_t cases_in_txn;
	bool is_early;
};

/* A group as it was recorded: primitives, and where each leads. */
struct script {
	size_t count;
	struct plan_op ops[STEPS_MAX];
	uint32_t ids[STEPS_MAX];
	struct small_place walk[STEPS_MAX + 1][SMALL_MAX]; /* after so many */
};

static const struct mbj_id exam_account = {{0xac}};

static bool wrong(char why[EXAM_WHY_SIZE], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static bool wrong(char why[EXAM_WHY_SIZE], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(why, EXAM_WHY_SIZE, format, args);
	va_end(args);
	return false;
}

/* --------------------------------------------------------------- names */

static struct mbj_id id_of(int mailbox)
{
	struct mbj_id id = {{0xb0}};

	if (mailbox == SMALL_ROOT)
		return MBJ_ID_ROOT;
	SMALL_CHECK(mailbox >= 0);
	id.b[MBJ_ID_SIZE - 1] = (uint8_t)(mailbox + 1);
	return id;
}

static uint32_t mailbox_of(struct mbj_id id)
{
	return (uint32_t)id.b[MBJ_ID_SIZE - 1] - 1;
}

static struct mbj_name name_of(struct small_place place)
{
	static const char digits[] = "0123456789abcdef";
	struct mbj_bytes bytes = mbj_bytes_make(&digits[place.name], 1);

	_Static_assert(sizeof(digits) - 1 == SMALL_NAMES, "a digit a name");
	return (struct mbj_name){bytes, bytes};
}

/* ---------------------------------------------------------------- base */

/* The mailboxes of a tree, parents first; the number of them. */
static uint32_t tree_order(const struct small_place *tree, uint32_t count,
			   uint32_t order[SMALL_MAX])
{
	uint32_t placed = 0;
	uint32_t done = 0;
	uint32_t before;

	do {
		before = done;
		for (uint32_t i = 0; i < count; i++) {
			int parent = tree[i].parent;

			if ((placed & 1u << i) != 0 || parent == SMALL_ABSENT ||
			    (parent >= 0 && (placed & 1u << parent) == 0))
				continue;
			placed |= 1u << i;
			order[done++] = i;
		}
	} while (done > before);
	return done;
}

static struct mbj_tree *tree_make(const struct small_place *tree,
				  uint32_t count)
{
	uint32_t order[SMALL_MAX], index[SMALL_MAX] = {0};
	uint32_t placed = tree_order(tree, count, order);
	struct mbj_tree *made;

	EXAM_OK(mbj_tree_new(1, &made, err));
	for (uint32_t i = 0; i < placed; i++) {
		struct small_place place = tree[order[i]];
		struct mbj_node node = {
			.id = id_of((int)order[i]),
			.parent = place.parent < 0 ? MBJ_NODE_ROOT
						   : index[place.parent],
			.uidvalidity = order[i] + 1,
			.name = name_of(place),
			.rev = 1,
			.is_selectable = true,
		};

		EXAM_OK(mbj_tree_add(made, &node, &index[order[i]], err));
	}
	return made;
}

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

struct exam *exam_new(bool is_early)
{
	const struct mbj_id lineage = {{0xee}};
	struct mbj_state_options options = MBJ_STATE_OPTIONS_DEFAULT;
	struct exam *exam = calloc(1, sizeof(*exam));
	char *home;

	SMALL_CHECK(exam != NULL);
	exam->is_early = is_early;
	options.engine = MBJ_STATE_MEMORY;
	exam->dir = test_tmpdir_new();
	home = test_path_dup(exam->dir, "state");
	EXAM_OK(mbj_state_open(mbj_sys_posix(), home, lineage, &options,
			       &exam->state, err));
	free(home);
	return exam;
}

void exam_free(struct exam **exam)
{
	mbj_txn_abort(&(*exam)->txn);
	mbj_state_close(&(*exam)->state);
	mbj_tree_free(&(*exam)->before);
	test_tmpdir_free(&(*exam)->dir);
	free(*exam);
	*exam = NULL;
}

/* ---------------------------------------------------------------- plan */

/* One step by the rules of small.h; NULL, or what is wrong with it. */
static const char *walk_step(const struct small *small,
			     struct small_place *walk, uint32_t id,
			     const struct mbj_step *step)
{
	struct small_place from = small->before[id];
	struct small_place to = small->after[id];
	bool is_create = from.parent == SMALL_ABSENT && !step->is_from_temp;
	bool is_delete = to.parent == SMALL_ABSENT && !step->is_to_temp;
	enum mbj_step_kind kind = MBJ_STEP_MOVE;

	if (step->is_from_temp)
		from = (struct small_place){SMALL_TEMP, 0};
	if (step->is_to_temp)
		to = (struct small_place){SMALL_TEMP, 0};
	if (is_create)
		kind = MBJ_STEP_CREATE;
	else if (is_delete)
		kind = MBJ_STEP_DELETE;
	if (step->kind != kind)
		return "is of the wrong kind";
	if (!small_place_equal(walk[id], from))
		return "begins elsewhere than where the mailbox is";
	if (small_place_equal(from, to))
		return "leads nowhere";
	walk[id] = to;
	if (!small_tree_is_valid(walk, small->count))
		return "leaves no valid tree";
	return NULL;
}

/* Follow the plan by the rules, and write down what is recorded of it. */
static bool script_make(struct script *script, const struct small *small,
			const struct plan_op_source *source,
			const struct mbj_plan *plan, char why[EXAM_WHY_SIZE])
{
	if (plan->count > STEPS_MAX)
		return wrong(why, "the plan has %zu steps", plan->count);
	memcpy(script->walk[0], small->before, sizeof(script->walk[0]));
	plan_op_begin(source);
	for (size_t i = 0; i < plan->count; i++) {
		struct plan_op *made = &script->ops[i];
		struct small_place *walk = script->walk[i + 1];
		const char *fault;
		uint32_t id;

		plan_op_make(source, &plan->steps[i], made);
		if (made->op.kind == MBJ_OP_MAILBOX_CREATE)
			made->op.uidvalidity = 100;
		id = mailbox_of(made->op.id);
		memcpy(walk, script->walk[i], sizeof(script->walk[i]));
		fault = walk_step(small, walk, id, &plan->steps[i]);
		if (fault != NULL)
			return wrong(why, "step %zu of %zu, mailbox %c, %s",
				     i + 1, plan->count, 'a' + (int)id, fault);
		script->ids[i] = id;
	}
	script->count = plan->count;
	if (!small_tree_equal(script->walk[plan->count], small->after,
			      small->count))
		return wrong(why, "the plan ends in another tree");
	return true;
}

static bool plan_judge(const struct small *small, const struct mbj_plan *plan,
		       uint32_t parks, struct exam_tally *tally,
		       char why[EXAM_WHY_SIZE])
{
	uint32_t changes = small_changes(small);

	if (plan->lower_bound != changes)
		return wrong(why, "the plan counts %zu changes, there are %u",
			     plan->lower_bound, changes);
	if (plan->count != changes + parks || plan->parks != parks)
		return wrong(why,
			     "the plan has %zu steps and %zu parks, %u "
			     "and %u are enough",
			     plan->count, plan->parks, changes + parks, parks);
	tally->steps += plan->count;
	tally->parks[parks]++;
	tally->beyond_cycles += parks > small_slot_cycles(small);
	tally->unproven += !plan->is_proven;
	return true;
}

/* Plan from one tree to the other: the group that would be recorded. */
static bool script_plan(struct script *script, const struct small *small,
			const struct mbj_tree *before,
			const struct mbj_tree *after, uint32_t parks,
			struct exam_tally *tally, char why[EXAM_WHY_SIZE])
{
	const struct mbj_plan_options options = MBJ_PLAN_OPTIONS_DEFAULT;
	uint64_t revs[SMALL_MAX];
	struct mbj_diff diff;
	struct mbj_plan plan;
	struct mbj_error error;
	struct plan_op_source source = {&diff, {before, after}, revs};
	bool is_good = false;

	EXAM_OK(mbj_diff_make(before, after, &diff, err));
	if (mbj_plan_make(&diff, &options, &plan, &error) < 0) {
		(void)wrong(why, "no plan: %s", error.message);
	} else {
		is_good = plan_judge(small, &plan, parks, tally, why) &&
			  script_make(script, small, &source, &plan, why);
		mbj_plan_done(&plan);
	}
	mbj_diff_done(&diff);
	return is_good;
}

/* ------------------------------------------------------------- deliver */

static bool deliver(struct exam *exam, const struct script *script, size_t i,
		    enum mbj_verdict wanted, char why[EXAM_WHY_SIZE])
{
	const struct mbj_lsn lsn = {1};
	struct mbj_error error = {.rc = MBJ_OK};
	enum mbj_verdict verdict, again;

	EXAM_OK(mbj_apply_op(exam->txn, exam_account, lsn, &script->ops[i].op,
			     &verdict, err));
	if (verdict == wanted)
		return true;
	/* Once more for the words: they cost too much to have them ready. */
	(void)!mbj_apply_op(exam->txn, exam_account, lsn, &script->ops[i].op,
			    &again, &error);
	return wrong(why, "primitive %zu of %zu is %s, must be %s %s", i + 1,
		     script->count, mbj_verdict_name(verdict),
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
		if (!deliver(exam, script, i, MBJ_VERDICT_ALREADY, why))
			return false;
	tally->already += count;
	if (mbj_txn_savepoint(exam->txn) != savepoint)
		return wrong(why, "primitives delivered again have changed "
				  "something");
	return true;
}

static struct mbj_digest exam_digest(struct exam *exam)
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
		if (!deliver(exam, script, i, MBJ_VERDICT_APPLY, why))
			return false;
	*ret_digest = exam_digest(exam);
	mbj_txn_rollback(exam->txn, savepoint);
	tally->resumes++;
	return true;
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

/* Done of them have happened: those after the next one come too early. */
static bool deliver_early(struct exam *exam, const struct small *small,
			  const struct script *script, size_t done,
			  struct exam_tally *tally, char why[EXAM_WHY_SIZE])
{
	size_t savepoint = mbj_txn_savepoint(exam->txn);

	for (size_t i = done + 1; i < script->count; i++) {
		enum mbj_verdict verdict =
			early_verdict(script, small, done, i);

		if (!deliver(exam, script, i, verdict, why))
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

/* Primitive by primitive, each time interrupted and resumed. */
static bool script_run(struct exam *exam, const struct small *small,
		       const struct script *script, struct exam_tally *tally,
		       char why[EXAM_WHY_SIZE])
{
	struct mbj_digest ends[STEPS_MAX];
	struct mbj_digest end;

	for (size_t i = 0; i < script->count; i++)
		if ((exam->is_early &&
		     !deliver_early(exam, small, script, i, tally, why)) ||
		    !deliver(exam, script, i, MBJ_VERDICT_APPLY, why) ||
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
	return true;
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
		if (!deliver(exam, &undo, i, MBJ_VERDICT_APPLY, why))
			return false;
	tally->undone++;
	return redeliver(exam, script, script->count, tally, why);
}

bool exam_case(struct exam *exam, const struct small *small, uint32_t parks,
	       struct exam_tally *tally, char why[EXAM_WHY_SIZE])
{
	struct mbj_tree *after;
	struct script script;
	bool is_good;

	exam_start(exam, small);
	after = tree_make(small->after, small->count);
	is_good = script_plan(&script, small, exam->before, after, parks, tally,
			      why) &&
		  script_run(exam, small, &script, tally, why) &&
		  (!small_can_be_undone(small) ||
		   script_undo(exam, small, &script, after, parks, tally, why));
	mbj_tree_free(&after);
	tally->cases++;
	return is_good;
}
