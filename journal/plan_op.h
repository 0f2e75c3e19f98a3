/*
 * One step of a plan as the primitive that records it: ids for items, slots
 * before and after or the park between them, the mailbox's revision.  Pure.
 * Private to journal/ and to its tests.
 *
 * Not here: UIDVALIDITY values, which are chosen by whoever records
 * (edit_ops.c), and the group that the primitive goes into.
 */
#ifndef MBJ_JOURNAL_PLAN_OP_H
#define MBJ_JOURNAL_PLAN_OP_H

#include <mbj/op.h>
#include <mbj/plan.h>

/* The trees that were planned upon, joined. */
struct plan_op_source {
	const struct mbj_diff *diff;
	const struct mbj_tree *tree[2]; /* by enum mbj_side */
	uint64_t *revs; /* [diff->count] of each item, as they rise */
};

/* A primitive and the name it may borrow: stays where it was made. */
struct plan_op {
	struct mbj_op op;
	char park[MBJ_ID_TEXT_SIZE];
};

/* The mailbox of an item in one tree, or NULL where it is not there. */
const struct mbj_node *plan_op_node(const struct plan_op_source *source,
				    enum mbj_side side, uint32_t item);

/* revs before the first step: those of the tree before, 0 for created. */
void plan_op_begin(const struct plan_op_source *source);

/*
 * The primitive of the next step, its item's revision risen by one.  A create
 * has role and selectability of the tree after; no primitive has a
 * UIDVALIDITY yet.
 * Ownership: names are borrowed from the trees and from ret_op itself.
 */
void plan_op_make(const struct plan_op_source *source,
		  const struct mbj_step *step, struct plan_op *ret_op);

#endif
