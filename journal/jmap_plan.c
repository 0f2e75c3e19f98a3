/*
 * Plans made ready to be shown, and mbj.plan/1.
 *
 * From two trees everything is at hand.  From a group the steps are read back
 * out of what would be journaled, and the tree after is the tree before with
 * the group's operations carried out on it: what is shown is what would
 * happen, not what somebody meant.
 *
 * Invariants:
 *   1. steps are in the order in which they are carried out;
 *   2. with a tree before there are a tree after and a diff, too.
 *
 * Threads: one at a time per plan.
 */
#include "jmap_plan.h"

#include <mbj/check.h>

#include "jmap_group.h"
#include "jmap_map.h"
#include "jmap_out.h"
#include "jmap_set.h"

/* ---------------------------------------------------- from two trees */

static struct plan_slot slot_of_node(const struct mbj_tree *tree,
				     uint32_t index)
{
	const struct mbj_node *node = mbj_tree_get(tree, index);
	struct plan_slot slot = {.name = node->name.stored};

	if (node->parent == MBJ_NODE_ROOT)
		slot.parent = MBJ_ID_ROOT;
	else
		slot.parent = mbj_tree_get(tree, node->parent)->id;
	return slot;
}

/* The source or the target of a step on an item. */
static struct plan_slot slot_of_item(const struct mbj_jmap_plan *plan,
				     enum mbj_side side, uint32_t item,
				     bool is_temp)
{
	uint32_t at = plan->diff->at[side][item];

	if (is_temp)
		return (struct plan_slot){.parent = MBJ_ID_TEMP};
	MBJ_ASSERT(at != MBJ_NODE_NONE);
	return slot_of_node(side == MBJ_BEFORE ? plan->before : plan->after,
			    at);
}

static void steps_copy(struct mbj_jmap_plan *plan, const struct mbj_plan *made)
{
	const struct plan_slot absent = {.is_absent = true};

	for (size_t i = 0; i < made->count; i++) {
		const struct mbj_step *step = &made->steps[i];
		struct plan_step *copy = &plan->steps[i];
		bool is_create = step->kind == MBJ_STEP_CREATE;
		enum mbj_side side = is_create ? MBJ_AFTER : MBJ_BEFORE;
		uint32_t at;

		MBJ_ASSERT(step->item < plan->diff->count);
		at = plan->diff->at[side][step->item];
		/* A created mailbox is placed by a move: only after has it. */
		if (at == MBJ_NODE_NONE) {
			side = MBJ_AFTER;
			at = plan->diff->at[side][step->item];
		}
		copy->kind = step->kind;
		copy->id = mbj_tree_get(side == MBJ_AFTER ? plan->after
							  : plan->before,
					at)
				   ->id;
		copy->from =
			is_create ? absent
				  : slot_of_item(plan, MBJ_BEFORE, step->item,
						 step->is_from_temp);
		copy->to = step->kind == MBJ_STEP_DELETE
				   ? absent
				   : slot_of_item(plan, MBJ_AFTER, step->item,
						  step->is_to_temp);
	}
	plan->count = made->count;
}

enum mbj_rc
mbj_jmap_plan_make(const struct mbj_tree *before, const struct mbj_tree *after,
		   const struct mbj_diff *diff, const struct mbj_plan *plan,
		   const struct mbj_jmap_map *map, char delimiter,
		   struct mbj_jmap_plan **ret_plan, struct mbj_error *err)
{
	struct mbj_jmap_plan *made;
	enum mbj_rc rc;

	MBJ_ASSERT(before != NULL && after != NULL);
	MBJ_ASSERT(diff != NULL && plan != NULL && ret_plan != NULL);
	made = mbj_calloc(1, sizeof(*made));
	if (made == NULL)
		return mbj_error_nomem(err);
	made->before = before;
	made->after = after;
	made->diff = diff;
	made->map = map;
	made->delimiter = delimiter;
	made->lower_bound = plan->lower_bound;
	made->parks = plan->parks;
	made->is_proven = plan->is_proven;
	made->steps = mbj_calloc(plan->count, sizeof(*made->steps));
	if (made->steps == NULL) {
		mbj_jmap_plan_free(&made);
		return mbj_error_nomem(err);
	}
	steps_copy(made, plan);
	rc = plan_notes_make(made, err);
	if (rc < 0)
		mbj_jmap_plan_free(&made);
	else
		*ret_plan = made;
	return rc;
}

/* ------------------------------------------------------ from a group */

static struct plan_slot slot_of_op(const struct mbj_slot *slot)
{
	if (mbj_id_is_temp(slot->parent))
		return (struct plan_slot){.parent = MBJ_ID_TEMP};
	return (struct plan_slot){.parent = slot->parent,
				  .name = slot->name.stored};
}

static enum mbj_rc step_add(struct mbj_jmap_plan *plan, const struct mbj_op *op,
			    struct mbj_error *err)
{
	const struct plan_slot absent = {.is_absent = true};
	struct plan_step step = {.id = op->id, .from = absent, .to = absent};
	enum mbj_rc rc;

	switch (op->kind) {
	case MBJ_OP_MAILBOX_CREATE:
		step.kind = MBJ_STEP_CREATE;
		step.to = slot_of_op(&op->to);
		break;
	case MBJ_OP_MAILBOX_MOVE:
		step.kind = MBJ_STEP_MOVE;
		step.from = slot_of_op(&op->from);
		step.to = slot_of_op(&op->to);
		break;
	case MBJ_OP_MAILBOX_DELETE:
		step.kind = MBJ_STEP_DELETE;
		step.from = slot_of_op(&op->from);
		break;
	default:
		return MBJ_OK;
	}
	rc = mbj_array_reserve((void **)&plan->steps, &plan->steps_capacity,
			       plan->count + 1, sizeof(*plan->steps),
			       MBJ_GROUP_OPS_MAX, err);
	if (rc < 0)
		return rc;
	plan->steps[plan->count++] = step;
	return MBJ_OK;
}

static enum mbj_rc after_refuse(struct mbj_id id, struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE];

	mbj_id_print(id, text);
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "the group speaks of mailbox %s, which the tree "
			     "before does not have",
			     text);
}

/* The node of a parent; NONE where there is no such mailbox. */
static uint32_t after_parent(const struct mbj_tree *tree, struct mbj_id parent)
{
	if (mbj_id_is_root(parent))
		return MBJ_NODE_ROOT;
	if (mbj_id_is_temp(parent))
		return MBJ_NODE_TEMP;
	return mbj_tree_find(tree, parent);
}

static enum mbj_rc after_create(struct mbj_tree *tree, const struct mbj_op *op,
				struct mbj_error *err)
{
	struct mbj_node node = {
		.id = op->id,
		.parent = after_parent(tree, op->to.parent),
		.uidvalidity = op->uidvalidity,
		.name = op->to.name,
		.rev = 1,
		.role = op->role,
		.is_selectable = op->is_selectable != 0,
	};
	uint32_t index;

	if (node.parent == MBJ_NODE_NONE)
		return after_refuse(op->to.parent, err);
	return mbj_tree_add(tree, &node, &index, err);
}

static enum mbj_rc after_change(struct mbj_tree *tree, const struct mbj_op *op,
				struct mbj_error *err)
{
	uint32_t index = mbj_tree_find(tree, op->id);
	struct mbj_node *node;
	uint32_t parent;

	if (index == MBJ_NODE_NONE)
		return after_refuse(op->id, err);
	if (op->kind == MBJ_OP_MAILBOX_DELETE)
		return mbj_tree_remove(tree, index, err);
	node = mbj_tree_edit(tree, index);
	if (op->uidvalidity != 0)
		node->uidvalidity = op->uidvalidity;
	if (op->kind == MBJ_OP_MAILBOX_SET) {
		node->role = op->role;
		node->is_selectable = op->is_selectable != 0;
		return MBJ_OK;
	}
	MBJ_ASSERT(op->kind == MBJ_OP_MAILBOX_MOVE);
	parent = after_parent(tree, op->to.parent);
	if (parent == MBJ_NODE_NONE)
		return after_refuse(op->to.parent, err);
	return mbj_tree_move(tree, index, parent, &op->to.name, err);
}

static enum mbj_rc after_apply(struct mbj_tree *tree, const struct mbj_op *op,
			       struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	switch (op->kind) {
	case MBJ_OP_MAILBOX_CREATE:
		rc = after_create(tree, op, err);
		break;
	case MBJ_OP_MAILBOX_MOVE:
	case MBJ_OP_MAILBOX_DELETE:
	case MBJ_OP_MAILBOX_SET:
		rc = after_change(tree, op, err);
		break;
	default:
		break;
	}
	if (rc == MBJ_OK || rc == MBJ_ENOMEM)
		return rc;
	/* Whatever it is called there, here the two do not belong together. */
	(void)mbj_error_prefix(err, rc, "the group does not fit the tree");
	if (err != NULL)
		err->rc = MBJ_ECORRUPT;
	return MBJ_ECORRUPT;
}

static enum mbj_rc group_read(struct mbj_jmap_plan *plan, struct mbj_error *err)
{
	struct mbj_reader reader;
	struct mbj_op op;
	enum mbj_rc rc;

	if (!plan->group.is_body_good)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the group to be shown is damaged");
	mbj_reader_init(&reader, plan->group.body);
	do {
		rc = mbj_group_op_next(&plan->group, &reader, &op, err);
		if (rc == MBJ_OK)
			rc = step_add(plan, &op, err);
		if (rc == MBJ_OK && plan->after_made != NULL)
			rc = after_apply(plan->after_made, &op, err);
	} while (rc == MBJ_OK);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc plan_load(struct mbj_jmap_plan *plan,
			     const struct mbj_outcome *outcome,
			     struct mbj_error *err)
{
	struct mbj_bytes record = mbj_buf_view(&outcome->record);
	enum mbj_rc rc = MBJ_OK;

	if (plan->before != NULL)
		rc = mbj_tree_dup(plan->before, &plan->after_made, err);
	if (rc == MBJ_OK && record.n > 0) {
		rc = mbj_group_parse(record, &plan->group, err);
		plan->has_group = rc == MBJ_OK;
		if (rc == MBJ_OK)
			rc = group_read(plan, err);
	}
	if (rc < 0 || plan->before == NULL)
		return rc;
	rc = mbj_diff_make(plan->before, plan->after_made, &plan->diff_made,
			   err);
	if (rc < 0)
		return rc;
	plan->after = plan->after_made;
	plan->diff = &plan->diff_made;
	return MBJ_OK;
}

enum mbj_rc mbj_jmap_plan_load(const struct mbj_outcome *outcome,
			       const struct mbj_tree *before, char delimiter,
			       struct mbj_jmap_plan **ret_plan,
			       struct mbj_error *err)
{
	struct mbj_jmap_plan *plan;
	enum mbj_rc rc;

	MBJ_ASSERT(outcome != NULL);
	MBJ_ASSERT(ret_plan != NULL);
	plan = mbj_calloc(1, sizeof(*plan));
	if (plan == NULL)
		return mbj_error_nomem(err);
	plan->before = before;
	plan->delimiter = delimiter;
	plan->lower_bound = outcome->lower_bound;
	plan->parks = outcome->parks;
	plan->is_proven = outcome->is_proven;
	rc = plan_load(plan, outcome, err);
	if (rc < 0)
		mbj_jmap_plan_free(&plan);
	else
		*ret_plan = plan;
	return rc;
}

void mbj_jmap_plan_free(struct mbj_jmap_plan **plan)
{
	if (plan == NULL || *plan == NULL)
		return;
	mbj_diff_done(&(*plan)->diff_made);
	mbj_tree_free(&(*plan)->after_made);
	mbj_free((*plan)->steps);
	mbj_free((*plan)->notes);
	mbj_free(*plan);
	*plan = NULL;
}

size_t mbj_jmap_plan_step_count(const struct mbj_jmap_plan *plan)
{
	MBJ_ASSERT(plan != NULL);
	return plan->count;
}

const struct mbj_tree *mbj_jmap_plan_after(const struct mbj_jmap_plan *plan)
{
	MBJ_ASSERT(plan != NULL);
	return plan->after;
}

/* --------------------------------------------------------------- INBOX */

/* The node in INBOX's slot, or NONE. */
static uint32_t inbox_find(const struct mbj_tree *tree)
{
	uint32_t size = mbj_tree_size(tree);

	/* The key depends on the policy: folded or not. */
	for (uint32_t i = 0; i < size; i++) {
		const struct mbj_node *node = mbj_tree_get(tree, i);

		if (node->is_live && node->parent == MBJ_NODE_ROOT &&
		    mbj_name_is_inbox(node->name.key))
			return i;
	}
	return MBJ_NODE_NONE;
}

static enum mbj_rc inbox_refuse(const struct mbj_jmap_map *map,
				struct mbj_id id, const char *why,
				struct mbj_error *err)
{
	char digits[MBJ_ID_TEXT_SIZE], text[MBJ_ERROR_SUBJECT_MAX];
	struct mbj_bytes given;

	mbj_id_print(id, digits);
	if (map == NULL || !mbj_jmap_map_find(map, id, &given))
		given = mbj_bytes_str(digits);
	(void)mbj_text_escape(text, sizeof(text), given);
	return mbj_error_refuse(err, MBJ_REFUSAL_FORBIDDEN, "id", text, "%s",
				why);
}

enum mbj_rc mbj_jmap_inbox_check(const struct mbj_tree *before,
				 const struct mbj_tree *after,
				 const struct mbj_jmap_map *map,
				 struct mbj_error *err)
{
	uint32_t old = inbox_find(before), new = inbox_find(after);
	struct mbj_id id;

	if (old != MBJ_NODE_NONE) {
		id = mbj_tree_get(before, old)->id;
		if (mbj_tree_find(after, id) == MBJ_NODE_NONE)
			return inbox_refuse(map, id, "INBOX cannot be deleted",
					    err);
		if (new == MBJ_NODE_NONE ||
		    !mbj_id_equal(mbj_tree_get(after, new)->id, id))
			return inbox_refuse(map, id,
					    "INBOX cannot be moved or renamed",
					    err);
		return MBJ_OK;
	}
	if (new == MBJ_NODE_NONE)
		return MBJ_OK;
	id = mbj_tree_get(after, new)->id;
	if (mbj_tree_find(before, id) != MBJ_NODE_NONE)
		return inbox_refuse(map, id,
				    "another mailbox cannot be renamed to "
				    "INBOX",
				    err);
	return MBJ_OK;
}

/* ---------------------------------------------------------------- JSON */

static const char *step_word(uint8_t kind)
{
	switch (kind) {
	case MBJ_STEP_CREATE:
		return "create";
	case MBJ_STEP_MOVE:
		return "move";
	case MBJ_STEP_DELETE:
		return "delete";
	default:
		MBJ_UNREACHABLE();
	}
}

static void put_slot(struct jmap_out *out, const struct mbj_jmap_plan *plan,
		     const char *key, const struct plan_slot *slot,
		     struct mbj_id id)
{
	if (slot->is_absent) {
		jmap_out_null(out, key);
		return;
	}
	jmap_out_open(out, key, '{');
	if (mbj_id_is_temp(slot->parent)) {
		jmap_out_text(out, "parentId", "temp");
		jmap_map_out(plan->map, out, "name", id);
	} else {
		jmap_map_out(plan->map, out, "parentId", slot->parent);
		jmap_out_bytes(out, "name", slot->name);
	}
	jmap_out_close(out);
}

static void put_step(struct jmap_out *out, const struct mbj_jmap_plan *plan,
		     const struct plan_step *step)
{
	jmap_out_open(out, NULL, '{');
	jmap_out_text(out, "op", step_word(step->kind));
	jmap_map_out(plan->map, out, "id", step->id);
	put_slot(out, plan, "from", &step->from, step->id);
	put_slot(out, plan, "to", &step->to, step->id);
	jmap_out_bool(out, "temp",
		      !step->to.is_absent && mbj_id_is_temp(step->to.parent));
	jmap_out_close(out);
}

static void put_also(struct jmap_out *out, const struct mbj_jmap_plan *plan,
		     const struct plan_also *also)
{
	const char *role = mbj_role_name((enum mbj_role)also->role);

	jmap_out_open(out, NULL, '{');
	jmap_out_text(out, "op", also->word);
	if (also->has & PLAN_ALSO_ID)
		jmap_map_out(plan->map, out, "id", also->id);
	if (also->has & PLAN_ALSO_NAME)
		jmap_out_bytes(out, "name", also->name);
	if ((also->has & PLAN_ALSO_ROLE) && role != NULL && role[0] != '\0')
		jmap_out_text(out, "role", role);
	else if (also->has & PLAN_ALSO_ROLE)
		jmap_out_null(out, "role");
	if (also->has & PLAN_ALSO_SELECTABLE)
		jmap_out_bool(out, "isSelectable", also->is_selectable);
	if (also->has & PLAN_ALSO_HASH)
		jmap_out_hex(out, "nameHash",
			     mbj_bytes_make(also->op->name_hash.b,
					    MBJ_HASH_SIZE));
	if (also->has & PLAN_ALSO_UIDVALIDITY)
		jmap_out_number(out, "uidValidity", also->uidvalidity);
	if (also->has & PLAN_ALSO_FIELDS)
		jmap_op_out(out, also->op);
	jmap_out_close(out);
}

static enum mbj_rc put_all_also(struct jmap_out *out,
				const struct mbj_jmap_plan *plan,
				struct mbj_error *err)
{
	struct plan_also_walk walk;
	struct plan_also also;
	enum mbj_rc rc;

	plan_also_init(&walk, plan);
	while ((rc = plan_also_next(&walk, &also, err)) == MBJ_OK)
		put_also(out, plan, &also);
	plan_also_done(&walk);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

void mbj_jmap_plan_refusals(struct mbj_jmap_plan *plan,
			    const struct mbj_jmap_set *set,
			    const struct mbj_outcome *outcome)
{
	MBJ_ASSERT(set != NULL && outcome != NULL);
	plan->set = set;
	plan->outcome = outcome;
}

enum mbj_rc mbj_jmap_plan_print(const struct mbj_jmap_plan *plan,
				struct mbj_buf *ret_json, struct mbj_error *err)
{
	struct jmap_out out;
	enum mbj_rc rc;

	MBJ_ASSERT(plan != NULL && ret_json != NULL);
	jmap_out_init(&out, ret_json);
	jmap_out_open_lines(&out, NULL, '{');
	jmap_out_text(&out, "schema", "mbj.plan/1");
	jmap_out_number(&out, "lowerBound", plan->lower_bound);
	jmap_out_number(&out, "parks", plan->parks);
	jmap_out_bool(&out, "proven", plan->is_proven);
	jmap_out_open_lines(&out, "steps", '[');
	for (size_t i = 0; i < plan->count; i++)
		put_step(&out, plan, &plan->steps[i]);
	jmap_out_close(&out);
	jmap_out_open_lines(&out, "also", '[');
	rc = put_all_also(&out, plan, err);
	if (rc < 0)
		return rc;
	jmap_out_close(&out);
	if (plan->set != NULL)
		jmap_set_refusals_put(&out, plan->set, plan->outcome);
	jmap_out_close(&out);
	return jmap_out_finish(&out, err);
}
