/*
 * Two trees to primitives: diff, plan, and then the group's content in this
 * order: the account of an import; the steps of the plan; role and
 * selectability; the names that were given up; subscriptions.
 *
 * Everything that reads more than single records (subscriptions) and all that
 * can be refused comes before the first primitive.
 *
 * Invariants:
 *   1. a UIDVALIDITY value is chosen once and recorded; parked mailboxes take
 *      theirs with the step that ends in their slot;
 *   2. a create is never without a UIDVALIDITY if it is selectable.
 *
 * Threads: as the transaction.
 */
#include <mbj/check.h>
#include <mbj/plan.h>

#include "edit_names.h"
#include "edit_subscribe.h"
#include "edit_text.h"
#include "plan_op.h"

struct ops_run {
	struct edit_work *work;
	struct mbj_diff diff;
	struct mbj_plan plan;
	struct edit_names names;
	struct edit_subscriptions subscriptions;
	struct plan_op_source source; /* both trees, revisions as they rise */
};

/* The mailbox of a diff item in one tree, or NULL where it is not there. */
static const struct mbj_node *ops_node(const struct ops_run *run,
				       enum mbj_side side, uint32_t item)
{
	return plan_op_node(&run->source, side, item);
}

/* A mailbox that was there, of which the list says the UIDVALIDITY. */
static bool ops_is_told(const struct ops_run *run, uint32_t item)
{
	uint32_t before = run->diff.at[MBJ_BEFORE][item];
	const struct mbj_node *after = ops_node(run, MBJ_AFTER, item);

	/* Items of mailboxes that were there have their nodes' numbers. */
	return before != MBJ_NODE_NONE && after != NULL &&
	       after->is_selectable &&
	       run->work->draft.items[before].is_uidvalidity_told;
}

/* And it is another one than it had. */
static bool ops_is_renumbered(const struct ops_run *run, uint32_t item)
{
	return ops_is_told(run, item) &&
	       ops_node(run, MBJ_AFTER, item)->uidvalidity !=
		       ops_node(run, MBJ_BEFORE, item)->uidvalidity;
}

/* ---------------------------------------------------------------- steps */

/* A mailbox that was there and takes another name: may its value stay? */
static enum mbj_rc ops_choose(struct ops_run *run, uint32_t item,
			      uint32_t *ret_uidvalidity, struct mbj_error *err)
{
	const struct mbj_node *before = ops_node(run, MBJ_BEFORE, item);
	const struct mbj_node *after = ops_node(run, MBJ_AFTER, item);

	*ret_uidvalidity = 0;
	if (ops_is_told(run, item)) {
		if (after->uidvalidity != before->uidvalidity)
			*ret_uidvalidity = after->uidvalidity;
		return MBJ_OK;
	}
	if (before == NULL || !before->is_selectable || !after->is_selectable)
		return MBJ_OK;
	return edit_names_choose(&run->names, run->diff.at[MBJ_AFTER][item],
				 before->uidvalidity, ret_uidvalidity, err);
}

/* The value that a step gives its mailbox; 0: none, or the one it has. */
static enum mbj_rc ops_value(struct ops_run *run, const struct mbj_step *step,
			     struct mbj_op *op, struct mbj_error *err)
{
	const struct mbj_node *after = ops_node(run, MBJ_AFTER, step->item);

	if (step->kind == MBJ_STEP_MOVE && !step->is_to_temp)
		return ops_choose(run, step->item, &op->uidvalidity, err);
	if (step->kind != MBJ_STEP_CREATE || !after->is_selectable)
		return MBJ_OK;
	op->uidvalidity = after->uidvalidity;
	if (op->uidvalidity != 0)
		return MBJ_OK;
	return edit_names_fresh(run->work, &op->uidvalidity, err);
}

static enum mbj_rc ops_steps(struct ops_run *run, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	plan_op_begin(&run->source);
	for (size_t i = 0; rc == MBJ_OK && i < run->plan.count; i++) {
		const struct mbj_step *step = &run->plan.steps[i];
		struct plan_op made;

		plan_op_make(&run->source, step, &made);
		rc = ops_value(run, step, &made.op, err);
		if (rc == MBJ_OK)
			rc = edit_emit_op(&run->work->emit, &made.op, err);
	}
	return rc;
}

/* ----------------------------------------------------------------- sets */

static enum mbj_rc ops_set(struct ops_run *run, uint32_t item,
			   struct mbj_error *err)
{
	const struct mbj_node *before = ops_node(run, MBJ_BEFORE, item);
	const struct mbj_node *after = ops_node(run, MBJ_AFTER, item);
	struct mbj_op op = {.kind = MBJ_OP_MAILBOX_SET};
	/* One that moves was given it with its move. */
	bool is_renumbered = ops_is_renumbered(run, item) &&
			     run->diff.kind[item] == MBJ_DIFF_KEEP;
	enum mbj_rc rc = MBJ_OK;

	if (before == NULL || after == NULL ||
	    (before->role == after->role &&
	     before->is_selectable == after->is_selectable && !is_renumbered))
		return MBJ_OK;
	op.id = after->id;
	op.rev = run->source.revs[item]++;
	op.role_before = before->role;
	op.role = after->role;
	op.is_selectable_before = before->is_selectable;
	op.is_selectable = after->is_selectable;
	/* It has no messages yet, so it is another mailbox to clients. */
	if (is_renumbered)
		op.uidvalidity = after->uidvalidity;
	else if (!before->is_selectable && after->is_selectable &&
		 !ops_is_told(run, item))
		rc = edit_names_fresh(run->work, &op.uidvalidity, err);
	if (rc == MBJ_OK)
		rc = edit_emit_op(&run->work->emit, &op, err);
	return rc;
}

/* ---------------------------------------------------------------- names */

/* A selectable mailbox that leaves its name, or stops showing it. */
static bool ops_is_retiring(const struct ops_run *run, uint32_t item)
{
	const struct mbj_node *before = ops_node(run, MBJ_BEFORE, item);
	const struct mbj_node *after = ops_node(run, MBJ_AFTER, item);

	if (before == NULL || !before->is_selectable)
		return false;
	return after == NULL || run->diff.kind[item] != MBJ_DIFF_KEEP ||
	       !after->is_selectable || ops_is_renumbered(run, item);
}

static enum mbj_rc ops_retire(struct ops_run *run, struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = edit_names_init(&run->names, run->work, err);
	for (uint32_t i = 0; rc == MBJ_OK && i < run->diff.count; i++)
		if (ops_is_retiring(run, i))
			rc = edit_names_retire(&run->names,
					       run->diff.at[MBJ_BEFORE][i],
					       err);
	return rc;
}

/* ------------------------------------------------------------------ run */

static enum mbj_rc ops_account(struct edit_work *work, struct mbj_error *err)
{
	struct mbj_op op = {
		.kind = MBJ_OP_ACCOUNT_CREATE,
		.name = work->account.name,
		.is_folding = work->account.policy.is_folding,
		.delimiter = (uint8_t)work->account.policy.delimiter,
		.uidvalidity = work->account.uidvalidity_last,
	};

	if (work->edit->kind != MBJ_EDIT_IMPORT)
		return MBJ_OK;
	return edit_emit_op(&work->emit, &op, err);
}

/* What no resolver has counted: parents made for the purpose, for one. */
static enum mbj_rc ops_check_count(const struct ops_run *run,
				   struct mbj_error *err)
{
	uint64_t count = run->work->account.mailbox_count;

	for (uint32_t i = 0; i < run->diff.count; i++) {
		count += run->diff.kind[i] == MBJ_DIFF_CREATE;
		count -= run->diff.kind[i] == MBJ_DIFF_DELETE;
	}
	if (count <= MBJ_ACCOUNT_MAILBOXES_MAX)
		return MBJ_OK;
	(void)mbj_error_refuse(err, MBJ_REFUSAL_TOO_LARGE, NULL, NULL,
			       "an account holds at most %d mailboxes",
			       (int)MBJ_ACCOUNT_MAILBOXES_MAX);
	return edit_text_recode(err, MBJ_ELIMIT);
}

static enum mbj_rc ops_prepare(struct ops_run *run, struct mbj_error *err)
{
	const struct mbj_plan_options options = MBJ_PLAN_OPTIONS_DEFAULT;
	struct edit_work *work = run->work;
	enum mbj_rc rc;

	rc = edit_draft_tree(&work->draft, work->seed, &work->after, err);
	if (rc == MBJ_OK)
		rc = mbj_diff_make(work->view.tree, work->after, &run->diff,
				   err);
	if (rc == MBJ_OK)
		rc = ops_check_count(run, err);
	if (rc == MBJ_OK)
		rc = mbj_plan_make(&run->diff, &options, &run->plan, err);
	if (rc < 0)
		return rc;
	work->outcome.lower_bound = run->plan.lower_bound;
	work->outcome.parks = run->plan.parks;
	work->outcome.is_proven = run->plan.is_proven;
	run->source = (struct plan_op_source){
		.diff = &run->diff,
		.tree = {work->view.tree, work->after},
		.revs = mbj_calloc((size_t)run->diff.count + 1,
				   sizeof(uint64_t)),
	};
	if (run->source.revs == NULL)
		return mbj_error_nomem(err);
	rc = ops_retire(run, err);
	if (rc == MBJ_OK)
		rc = edit_subscribe_plan(&run->subscriptions, work, &run->diff,
					 err);
	return rc;
}

enum mbj_rc edit_ops_run(struct edit_work *work, struct mbj_error *err)
{
	struct ops_run run = {.work = work};
	enum mbj_rc rc;

	MBJ_ASSERT(work->after == NULL);
	MBJ_ASSERT(work->draft.order != NULL);
	rc = ops_prepare(&run, err);
	if (rc == MBJ_OK)
		rc = ops_account(work, err);
	if (rc == MBJ_OK)
		rc = ops_steps(&run, err);
	for (uint32_t i = 0; rc == MBJ_OK && i < run.diff.count; i++)
		rc = ops_set(&run, i, err);
	if (rc == MBJ_OK && !mbj_id_is_root(work->inbox_taker))
		rc = edit_take_all(work, work->inbox, work->inbox_taker, err);
	if (rc == MBJ_OK)
		rc = edit_names_emit(&run.names, err);
	if (rc == MBJ_OK)
		rc = edit_subscribe_emit(&run.subscriptions, err);
	edit_subscribe_done(&run.subscriptions);
	edit_names_done(&run.names);
	mbj_plan_done(&run.plan);
	mbj_diff_done(&run.diff);
	mbj_free(run.source.revs);
	return rc;
}
