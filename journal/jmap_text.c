/*
 * A plan for people: one line per step, in the order in which they happen.
 *
 *	3 steps: 2 changes and 1 park (proven shortest)
 *	   1  park    Work
 *	   2  move    Old -> Work
 *	   3  place   Work -> Old
 *	also
 *	      uidvalidity 7 for Old
 *
 * With trees, a mailbox is told by its path before (left) and after (right);
 * without, by its name and its parent's id.  Long paths lose their beginning.
 *
 * Invariant: nothing that came from outside is written unescaped.
 *
 * Threads: one at a time per plan.
 */
#include "jmap_plan.h"

#include <inttypes.h>

#include <mbj/check.h>

#include "jmap_map.h"
#include "jmap_set.h"

/* Components of a path that are shown. */
enum { TEXT_COMPONENTS_MAX = 8 };

static void put_path(const struct mbj_jmap_plan *plan,
		     const struct mbj_tree *tree, uint32_t index,
		     struct mbj_buf *buf)
{
	uint32_t chain[TEXT_COMPONENTS_MAX];
	uint32_t size = mbj_tree_size(tree);
	size_t n = 0;

	for (; index < size && n < TEXT_COMPONENTS_MAX;
	     index = mbj_tree_get(tree, index)->parent)
		chain[n++] = index;
	if (index < size)
		mbj_buf_format(buf, "\xe2\x80\xa6%c", plan->delimiter);
	while (n > 0) {
		n--;
		mbj_name_escape(buf, mbj_tree_get(tree, chain[n])->name.stored);
		if (n > 0)
			mbj_buf_put(buf, &plan->delimiter, 1);
	}
}

/* A mailbox's path in one tree; false where it is not in it. */
static bool put_mailbox(const struct mbj_jmap_plan *plan,
			const struct mbj_tree *tree, struct mbj_id id,
			struct mbj_buf *buf)
{
	uint32_t index;

	if (tree == NULL)
		return false;
	index = mbj_tree_find(tree, id);
	if (index == MBJ_NODE_NONE)
		return false;
	put_path(plan, tree, index, buf);
	return true;
}

/* The best there is without trees. */
static void put_slot(const struct mbj_jmap_plan *plan,
		     const struct plan_slot *slot, struct mbj_id id,
		     struct mbj_buf *buf)
{
	if (slot->is_absent || mbj_id_is_temp(slot->parent)) {
		jmap_map_text(plan->map, id, buf);
		return;
	}
	mbj_name_escape(buf, slot->name);
	if (mbj_id_is_root(slot->parent))
		return;
	mbj_buf_put_str(buf, " in ");
	jmap_map_text(plan->map, slot->parent, buf);
}

static void put_source(const struct mbj_jmap_plan *plan,
		       const struct plan_step *step, struct mbj_buf *buf)
{
	/* A mailbox created into a park has no place before. */
	if (!put_mailbox(plan, plan->before, step->id, buf) &&
	    !put_mailbox(plan, plan->after, step->id, buf))
		put_slot(plan, &step->from, step->id, buf);
}

static void put_target(const struct mbj_jmap_plan *plan,
		       const struct plan_step *step, struct mbj_buf *buf)
{
	if (!put_mailbox(plan, plan->after, step->id, buf) &&
	    !put_mailbox(plan, plan->before, step->id, buf))
		put_slot(plan, &step->to, step->id, buf);
}

static void put_step(const struct mbj_jmap_plan *plan,
		     const struct plan_step *step, struct mbj_buf *buf)
{
	bool is_parked =
		!step->from.is_absent && mbj_id_is_temp(step->from.parent);
	bool is_parking =
		!step->to.is_absent && mbj_id_is_temp(step->to.parent);

	switch (step->kind) {
	case MBJ_STEP_CREATE:
		mbj_buf_put_str(buf, "create  ");
		put_target(plan, step, buf);
		mbj_buf_put_str(buf, is_parking ? " (parked)" : "");
		break;
	case MBJ_STEP_DELETE:
		mbj_buf_put_str(buf, "delete  ");
		put_source(plan, step, buf);
		mbj_buf_put_str(buf, is_parked ? " (parked)" : "");
		break;
	default:
		MBJ_ASSERT(step->kind == MBJ_STEP_MOVE);
		mbj_buf_put_str(buf, is_parking	 ? "park    "
				     : is_parked ? "place   "
						 : "move    ");
		put_source(plan, step, buf);
		if (is_parking)
			break;
		mbj_buf_put_str(buf, " -> ");
		put_target(plan, step, buf);
		break;
	}
	mbj_buf_put(buf, "\n", 1);
}

static void put_summary(const struct mbj_jmap_plan *plan, struct mbj_buf *buf)
{
	const char *proof =
		plan->is_proven ? "proven shortest" : "not proven shortest";

	if (plan->count == 0) {
		mbj_buf_put_str(buf, "no mailbox changes its place\n");
		return;
	}
	mbj_buf_format(buf, "%zu step%s: %zu change%s", plan->count,
		       plan->count == 1 ? "" : "s", plan->lower_bound,
		       plan->lower_bound == 1 ? "" : "s");
	if (plan->parks == 0)
		mbj_buf_put_str(buf, ", no parks\n");
	else
		mbj_buf_format(buf, " and %zu park%s (%s)\n", plan->parks,
			       plan->parks == 1 ? "" : "s", proof);
}

static void put_also(const struct mbj_jmap_plan *plan,
		     const struct plan_also *also, struct mbj_buf *buf)
{
	const char *role = mbj_role_name((enum mbj_role)also->role);

	mbj_buf_put_str(buf, "      ");
	if (also->has & PLAN_ALSO_FIELDS) {
		mbj_op_print(buf, also->op);
		mbj_buf_put(buf, "\n", 1);
		return;
	}
	mbj_buf_put_str(buf, also->word);
	if (also->has & PLAN_ALSO_NAME) {
		mbj_buf_put(buf, " ", 1);
		mbj_name_escape(buf, also->name);
	}
	if (also->has & PLAN_ALSO_UIDVALIDITY)
		mbj_buf_format(buf, " %" PRIu32, also->uidvalidity);
	if (also->has & PLAN_ALSO_ROLE)
		mbj_buf_format(buf, " role %s",
			       role == NULL || role[0] == '\0' ? "none" : role);
	if (also->has & PLAN_ALSO_SELECTABLE)
		mbj_buf_put_str(buf, also->is_selectable ? ", selectable"
							 : ", not selectable");
	if (also->has & PLAN_ALSO_ID) {
		mbj_buf_put_str(buf, " for ");
		if (!put_mailbox(plan, plan->after, also->id, buf))
			jmap_map_text(plan->map, also->id, buf);
	}
	mbj_buf_put(buf, "\n", 1);
}

enum mbj_rc mbj_jmap_plan_text(const struct mbj_jmap_plan *plan,
			       struct mbj_buf *ret_text, struct mbj_error *err)
{
	struct plan_also_walk walk;
	struct plan_also also;
	bool is_first = true;
	size_t retired = 0;
	enum mbj_rc rc;

	MBJ_ASSERT(plan != NULL);
	MBJ_ASSERT(ret_text != NULL);
	put_summary(plan, ret_text);
	for (size_t i = 0; i < plan->count; i++) {
		mbj_buf_format(ret_text, "%4zu  ", i + 1);
		put_step(plan, &plan->steps[i], ret_text);
	}
	plan_also_init(&walk, plan);
	while ((rc = plan_also_next(&walk, &also, err)) == MBJ_OK) {
		/* A hash is for programs: people are told how many. */
		if (also.has & PLAN_ALSO_HASH) {
			retired++;
			continue;
		}
		if (is_first)
			mbj_buf_put_str(ret_text, "also\n");
		is_first = false;
		put_also(plan, &also, ret_text);
	}
	plan_also_done(&walk);
	if (retired > 0)
		mbj_buf_format(
			ret_text,
			"%s      UIDVALIDITY kept in mind for %zu name%s "
			"given up\n",
			is_first ? "also\n" : "", retired,
			retired == 1 ? "" : "s");
	if (plan->set != NULL)
		jmap_set_refusals_text(ret_text, plan->set, plan->outcome);
	return rc == MBJ_ENOTFOUND ? mbj_buf_ok(ret_text, err) : rc;
}
