/*
 * From steps to primitives; see plan_op.h.
 *
 * Invariants:
 *   1. a mailbox's revision rises by one with each primitive on it;
 *   2. a parked mailbox's name is its id: nobody else can have it.
 *
 * Threads: pure functions of their arguments.
 */
#include "plan_op.h"

#include <mbj/check.h>

const struct mbj_node *plan_op_node(const struct plan_op_source *source,
				    enum mbj_side side, uint32_t item)
{
	uint32_t at = source->diff->at[side][item];

	MBJ_ASSERT(item < source->diff->count);
	if (at == MBJ_NODE_NONE)
		return NULL;
	return mbj_tree_get(source->tree[side], at);
}

void plan_op_begin(const struct plan_op_source *source)
{
	for (uint32_t i = 0; i < source->diff->count; i++) {
		const struct mbj_node *node =
			plan_op_node(source, MBJ_BEFORE, i);

		source->revs[i] = node == NULL ? 0 : node->rev;
	}
}

/* The mailbox of an item, wherever it is. */
static struct mbj_id source_id(const struct plan_op_source *source,
			       uint32_t item)
{
	const struct mbj_node *node = plan_op_node(source, MBJ_BEFORE, item);

	if (node == NULL)
		node = plan_op_node(source, MBJ_AFTER, item);
	MBJ_ASSERT(node != NULL);
	return node->id;
}

static struct mbj_slot source_slot(const struct plan_op_source *source,
				   enum mbj_side side, uint32_t item)
{
	const struct mbj_node *node = plan_op_node(source, side, item);
	uint32_t parent = source->diff->items[item].parent[side];
	struct mbj_slot slot = {.parent = MBJ_ID_ROOT};

	MBJ_ASSERT(node != NULL);
	slot.name = node->name;
	if (parent == MBJ_NODE_ROOT)
		return slot;
	node = plan_op_node(source, side, parent);
	MBJ_ASSERT(node != NULL);
	slot.parent = node->id;
	return slot;
}

/* Where a mailbox is parked: its id is its name there. */
static struct mbj_slot op_park(struct plan_op *made)
{
	struct mbj_bytes name;

	mbj_id_print(made->op.id, made->park);
	name = mbj_bytes_make(made->park, MBJ_ID_TEXT_SIZE - 1);
	return (struct mbj_slot){MBJ_ID_TEMP, {name, name}};
}

static void op_create(const struct plan_op_source *source,
		      const struct mbj_step *step, struct mbj_op *op)
{
	const struct mbj_node *node =
		plan_op_node(source, MBJ_AFTER, step->item);

	MBJ_ASSERT(node != NULL && !step->is_from_temp);
	op->kind = MBJ_OP_MAILBOX_CREATE;
	op->role = node->role;
	op->is_selectable = node->is_selectable;
}

void plan_op_make(const struct plan_op_source *source,
		  const struct mbj_step *step, struct plan_op *ret_op)
{
	struct mbj_op *op = &ret_op->op;

	MBJ_ASSERT(step->item < source->diff->count);
	/* One place for one name: no step leads from a park to a park. */
	MBJ_ASSERT(!step->is_from_temp || !step->is_to_temp);
	*op = (struct mbj_op){.id = source_id(source, step->item)};
	if (step->kind == MBJ_STEP_CREATE) {
		op_create(source, step, op);
	} else {
		op->kind = step->kind == MBJ_STEP_DELETE ? MBJ_OP_MAILBOX_DELETE
							 : MBJ_OP_MAILBOX_MOVE;
		op->rev = source->revs[step->item];
		op->from = step->is_from_temp ? op_park(ret_op)
					      : source_slot(source, MBJ_BEFORE,
							    step->item);
	}
	source->revs[step->item]++;
	if (step->kind != MBJ_STEP_DELETE)
		op->to = step->is_to_temp
				 ? op_park(ret_op)
				 : source_slot(source, MBJ_AFTER, step->item);
}
