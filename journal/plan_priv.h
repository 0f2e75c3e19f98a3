/*
 * The planner's inside: what plan*.c share.  Private to journal/.
 *
 * Words.  A "tangle" is a strongly connected component of graph H (every item
 * points at its old and its new parent): only inside one can a move have to
 * look for itself above its target.  A "knot" is a component of graph W (every
 * changed item points at what its direct step waits for): only inside one can
 * a mailbox have to be parked.  docs/PLANNING.md has the theory.
 *
 * plan_work.c   items to graphs: roles, slots, tangles, the waits-for graph
 * plan_slots.c  who holds the slot that an item wants
 * plan_graph.c  strongly connected components, without recursion
 * plan_load.c   from one component of W to a knot
 * plan_knot.c   one knot on dense numbers; doing, parking, undoing, closure
 * plan_fvs.c    feedback vertex sets by reductions: bound 1, lower bounds
 * plan_solve.c  bound 2, redundant parks, which bound wins
 * plan_exact.c  exhaustive search of small knots
 * plan.c        the order of it all; steps
 * plan_check.c  the replay that every plan must pass; shares nothing
 */
#ifndef MBJ_JOURNAL_PLAN_PRIV_H
#define MBJ_JOURNAL_PLAN_PRIV_H

#include <mbj/check.h>
#include <mbj/memory.h>
#include <mbj/plan.h>

#if defined(__GNUC__)
#define PLAN_PREFETCH(p) __builtin_prefetch(p)
#else
#define PLAN_PREFETCH(p) ((void)(p))
#endif

#define PLAN_NONE MBJ_NODE_NONE

/* Items of a diff; two trees of the largest account have fewer. */
enum { PLAN_COUNT_MAX = 1 << 28 };

/* ---------------------------------------------------------- components */

/*
 * A graph in which a node has at most two arcs or a list of them.  An arc of
 * MBJ_NODE_NONE, ROOT or TEMP is none.  A list node's pair is
 * {PLAN_LIST | begin, end} in lists.
 */
#define PLAN_LIST ((uint32_t)0x80000000u)

struct plan_graph {
	uint32_t count;
	uint32_t (*arcs)[2];
	uint32_t *lists;
};

static inline bool plan_arc_is_list(uint32_t arc)
{
	return (arc & PLAN_LIST) != 0 && arc < MBJ_NODE_TEMP;
}

/*
 * Number the strongly connected components, dependencies first: an arc never
 * leads to a higher number.  The search begins at each node below root_count
 * where is_root[] is not zero; what it does not reach has PLAN_NONE.
 * order (may be NULL) receives the nodes reached, component by component,
 * within a component in the order of a walk along first arcs.
 */
enum mbj_rc plan_graph_components(const struct plan_graph *graph,
				  const uint8_t *is_root, uint32_t root_count,
				  uint32_t *component, uint32_t *order,
				  uint32_t *ret_order_count,
				  struct mbj_error *err) MBJ_MUST_CHECK;

/* ---------------------------------------------------------------- work */

/*
 * What an item's slot does; the low two bits are enum mbj_diff_kind, but an
 * item of which only the stored name changes stays where it is: KEEP.
 */
enum {
	PLAN_ROLE_MASK = 3,
	PLAN_ROLE_DANGEROUS = 4, /* new parent in its own tangle */
	PLAN_ROLE_RELABEL = 8,	 /* same slot, other stored name */
	PLAN_ROLE_PARKED = 16,	 /* in TEMP, while steps are written */
};

struct plan_work {
	const struct mbj_diff *diff;
	uint32_t count;	    /* items */
	uint8_t *role;	    /* [count] */
	uint32_t *occupant; /* [count] holds the slot it wants; not itself */
	uint32_t *tangle;   /* [count] hub number, NONE: no danger there */
	uint32_t hub_count; /* hub h is node count + h of the graph */
	struct plan_graph waits;
	uint32_t *component; /* [waits.count] knot numbers */
	uint32_t *order;     /* [order_count] changed items and hubs */
	uint32_t order_count;
};

static inline enum mbj_diff_kind plan_kind(const struct plan_work *work,
					   uint32_t item)
{
	return (enum mbj_diff_kind)(work->role[item] & PLAN_ROLE_MASK);
}

static inline bool plan_is_dangerous(const struct plan_work *work,
				     uint32_t item)
{
	return (work->role[item] & PLAN_ROLE_DANGEROUS) != 0;
}

/* Classify items and build both graphs with their components. */
enum mbj_rc plan_work_init(struct plan_work *work, const struct mbj_diff *diff,
			   struct mbj_error *err) MBJ_MUST_CHECK;
void plan_work_done(struct plan_work *work);

/*
 * For every item whose role is MOVE or CREATE: the MOVE or DELETE item that
 * holds its slot after in the tree before, else PLAN_NONE.
 */
enum mbj_rc plan_slots_match(const struct mbj_diff *diff, const uint8_t *role,
			     uint32_t *occupant,
			     struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The hash of a slot under a multiplier, and the multipliers that are tried,
 * odd multiples of the golden ratio: here so that tests can make slots collide.
 */
enum { PLAN_SLOTS_ATTEMPT_MAX = 4 };
#define PLAN_SLOTS_MULTIPLIER(attempt)   \
	((uint64_t)0x9e3779b97f4a7c15u * \
	 (2 * (uint64_t)(attempt)*0x5851f42du + 1))
uint64_t plan_slots_hash(uint64_t multiplier, uint32_t parent, uint32_t key);

/* ---------------------------------------------------------------- knot */

enum knot_state { KNOT_PENDING = 0, KNOT_DONE = 1, KNOT_PARKED = 2 };

/* What the trail records, in the low bits of its entries. */
enum { TRAIL_DONE = 0, TRAIL_PARK = 1, TRAIL_SETTLE = 2, TRAIL_BITS = 2 };

/*
 * One member: 48 bytes, everything that a step touches.  All references are
 * numbers of members, or PLAN_NONE.
 *
 * A member is settled when it is parked, or done with nothing pending above
 * its place after in its tangle.  One below a settled member cannot have
 * itself above its target: its step is safe and needs no walk.
 */
struct knot_member {
	uint32_t waiter;   /* wants the slot that this one leaves */
	uint32_t keeper;   /* deleted one that waits for it to leave */
	uint32_t above[2]; /* nearest member above, before and after */
	uint32_t need;	   /* conditions that are not met yet: slot, parent, */
			   /* children */
	uint8_t kind;	   /* enum mbj_diff_kind */
	uint8_t state;	   /* enum knot_state */
	bool is_unsettled : 1; /* something above its target is not settled */
	bool is_settled : 1;
	bool is_listed : 1;   /* in the waiting list */
	uint32_t occupant;    /* holds the slot that it wants */
	uint32_t parent;      /* to be created first */
	uint32_t child_first; /* list of those that wait for it to exist */
	uint32_t child_next;
	uint32_t below_first; /* list of those whose above[1] it is */
	uint32_t below_next;
};

struct knot {
	uint32_t count;
	uint32_t left; /* pending members */
	size_t capacity;
	struct knot_member *members;
	uint32_t *items;
	uint32_t *trail; /* what was done, in order */
	uint32_t trail_count;
	uint32_t *ready; /* safe steps not taken yet */
	uint32_t ready_count;
	uint32_t *waiting; /* steps that lack nothing but safety */
	uint32_t waiting_count;
	uint32_t *settling; /* work list */
	uint64_t effort;    /* members and arcs looked at, so far */
};

/* Room for size_max members. */
enum mbj_rc plan_knot_init(struct knot *knot, uint32_t size_max,
			   struct mbj_error *err) MBJ_MUST_CHECK;
void plan_knot_done(struct knot *knot);

/* Begin with nothing done; safe steps are in the ready list. */
void plan_knot_begin(struct knot *knot);
/* Do or park one pending member. */
void plan_knot_do(struct knot *knot, uint32_t v);
void plan_knot_park(struct knot *knot, uint32_t v);
/* Take safe steps until there are none. */
void plan_knot_close(struct knot *knot);
/* Take everything back that the trail holds beyond its first entries. */
void plan_knot_undo(struct knot *knot, uint32_t trail_count);
/* Once the knot is closed: strike from the waiting list who waits no more. */
void plan_knot_tidy(struct knot *knot);
/* Once it is closed: a step that could be taken now although it is not safe. */
bool plan_knot_can_unsafe(struct knot *knot, uint32_t v);

/* -------------------------------------------- feedback vertex sets */

/*
 * A set of pending members such that, with these parked, every other one can
 * be done by safe steps: no cycle is left among slot, parent and children
 * conditions nor, if with_above, among waits for what is above to settle.
 * ret_members has room for knot->left; the most entangled come first.
 * ret_lower: no such set is smaller.  Without above arcs that holds for any
 * plan whatever, since those conditions can only be met by doing or parking.
 */
enum mbj_rc plan_fvs_find(const struct knot *knot, bool with_above,
			  uint32_t *ret_members, uint32_t *ret_count,
			  uint32_t *ret_lower,
			  struct mbj_error *err) MBJ_MUST_CHECK;

/* --------------------------------------------------------------- solve */

/* What was done with a knot: entries of a trail, DONE and PARK only. */
struct knot_solution {
	uint32_t *entries;
	uint32_t count;
	uint32_t parks;
};

struct plan_solver {
	struct plan_work *work;
	struct knot knot;
	uint32_t *local;      /* [work->count] member number of an item */
	uint32_t *above;      /* [work->count] see plan_load.c, or NULL */
	uint32_t *candidates; /* [capacity] members that bound 1 parks */
	uint32_t *hard; /* [capacity] the same if nothing were dangerous */
	struct knot_solution best; /* of the knot at hand */
	uint64_t effort_max;	   /* knot.effort beyond which we make do */
	uint64_t states_left;	   /* of mbj_plan_options.nodes_max */
	uint32_t exact_items_max;
};

/* Tables for knots of up to size_max members. */
enum mbj_rc plan_solver_init(struct plan_solver *solver, struct plan_work *work,
			     uint32_t size_max,
			     const struct mbj_plan_options *options,
			     struct mbj_error *err) MBJ_MUST_CHECK;
void plan_solver_done(struct plan_solver *solver);

/* Make solver->knot from the items of one component of W. */
void plan_load(struct plan_solver *solver, const uint32_t *items,
	       uint32_t count);

/*
 * Find a way through the loaded knot, in solver->best.  *ret_is_proven: none
 * has fewer parks.
 */
enum mbj_rc plan_solve(struct plan_solver *solver, bool *ret_is_proven,
		       struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Search for a way on from the knot's state (all safe steps taken, at most 64
 * members pending) with fewer than parks_below parks.  Where there is one,
 * the knot is left complete, with the fewest parks; else as it was.
 */
struct exact_result {
	bool is_found;
	bool is_proven; /* found: none has fewer; else: there is none */
};

enum mbj_rc plan_exact_search(struct knot *knot, uint32_t parks_below,
			      uint64_t *states_left,
			      struct exact_result *ret_result,
			      struct mbj_error *err) MBJ_MUST_CHECK;

#endif
