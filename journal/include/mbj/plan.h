/*
 * The planner: a compound edit, given as the tree before and the tree after,
 * becomes the shortest sequence of primitive steps it can find, each of which
 * leaves a valid tree.  Pure: no I/O, no clock, no allocation that outlives
 * the plan but its steps.
 *
 * Facts it rests on, each checked by exhaustive search over small trees (see
 * docs/PLANNING.md):
 *   1. every plan has at least |created| + |deleted| + |moved| steps;
 *   2. some shortest plan parks a set of mailboxes first, does all else
 *      directly and places the parked ones last, parents before children; its
 *      length is the bound plus the number of parks;
 *   3. minimising parks is NP-hard in general (feedback vertex set), so small
 *      interacting groups are searched exactly and large ones by heuristics;
 *      is_proven says which.
 *
 * A valid step: its target slot is free, its target parent exists and is
 * neither the mailbox itself nor below it, a deleted mailbox has no children.
 * TEMP is a parent with an unlimited supply of names that nobody else sees.
 *
 * Every plan is validated by replaying it on a copy of the tree before
 * (mbj_plan_check) ahead of being returned; a mismatch is our bug and is
 * refused with MBJ_ECORRUPT, never returned as a plan.
 */
#ifndef MBJ_PLAN_H
#define MBJ_PLAN_H

#include <mbj/diff.h>
#include <mbj/error.h>

#ifdef __cplusplus
extern "C" {
#endif

enum mbj_step_kind {
	MBJ_STEP_CREATE = 1,
	MBJ_STEP_MOVE = 2,
	MBJ_STEP_DELETE = 3,
};

/* One primitive on one item of the diff. */
struct mbj_step {
	uint32_t item;
	uint8_t kind;	   /* enum mbj_step_kind */
	bool is_from_temp; /* source slot is its park; else its slot before */
	bool is_to_temp;   /* target is its park; else its slot after */
};

struct mbj_plan {
	struct mbj_step *steps;
	size_t count;
	size_t lower_bound; /* created + deleted + moved */
	size_t parks;	    /* count - lower_bound */
	bool is_proven;	    /* no plan is shorter */
};

struct mbj_plan_options {
	uint32_t exact_items_max; /* largest group searched exactly */
	uint64_t nodes_max; /* search states visited, all groups together */
};

#define MBJ_PLAN_OPTIONS_DEFAULT ((struct mbj_plan_options){32, 200000})

/*
 * Requires: both sides of diff are valid trees (mbj_tree_check).
 * Ownership: mbj_plan_done frees the steps.
 * Returns: MBJ_ENOMEM; MBJ_ECORRUPT where the plan failed its own check.
 */
MBJ_API enum mbj_rc mbj_plan_make(const struct mbj_diff *diff,
				  const struct mbj_plan_options *options,
				  struct mbj_plan *ret_plan,
				  struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_plan_done(struct mbj_plan *plan);

/*
 * Replay steps on the tree before with every precondition and compare the end
 * with the tree after.  Shares no code with the planner.
 * Returns: MBJ_ECORRUPT naming the step and the condition.
 */
MBJ_API enum mbj_rc mbj_plan_check(const struct mbj_diff *diff,
				   const struct mbj_step *steps, size_t count,
				   struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The waits-for graph, for drawings and diagnosis: an edge from a changed
 * item to what its direct step waits for, which is never itself.  component[]
 * numbers the strongly connected groups; in one of more than one item each
 * waits, in the end, for itself.
 */
struct mbj_waits {
	uint32_t count; /* edges */
	uint32_t (*edges)[2];
	uint32_t *component; /* [diff->count], MBJ_NODE_NONE for kept items */
	uint32_t *component_size; /* [diff->count], of the item's component */
};

MBJ_API enum mbj_rc mbj_plan_waits(const struct mbj_diff *diff,
				   struct mbj_waits *ret_waits,
				   struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_waits_done(struct mbj_waits *waits);

#ifdef __cplusplus
}
#endif

#endif
