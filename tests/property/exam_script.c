/*
 * From a small edit to the primitives that would be recorded: trees, join,
 * plan, each step followed by the rules of small.h.
 */
#include <string.h>

#include "exam_impl.h"

struct mbj_id id_of(int mailbox)
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

struct mbj_name name_of(struct small_place place)
{
	static const char digits[] = "0123456789abcdef";
	struct mbj_bytes bytes = mbj_bytes_make(&digits[place.name], 1);

	_Static_assert(sizeof(digits) - 1 == SMALL_NAMES, "a digit a name");
	return (struct mbj_name){bytes, bytes};
}

uint32_t tree_order(const struct small_place *tree, uint32_t count,
		    uint32_t order[SMALL_MAX])
{
	uint32_t placed = 0;
	uint32_t done = 0;
	uint32_t before;

	do {
		before = done;
		for (uint32_t i = 0; i < count; i++) {
			int8_t parent = tree[i].parent;

			if ((placed & 1u << i) != 0 || parent == SMALL_ABSENT ||
			    (parent >= 0 && (placed & 1u << parent) == 0))
				continue;
			placed |= 1u << i;
			order[done++] = i;
		}
	} while (done > before);
	return done;
}

struct mbj_tree *tree_make(const struct small_place *tree, uint32_t count)
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
	script->count = 0;
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

bool script_plan(struct script *script, const struct small *small,
		 const struct mbj_tree *before, const struct mbj_tree *after,
		 uint32_t parks, struct exam_tally *tally,
		 char why[EXAM_WHY_SIZE])
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
