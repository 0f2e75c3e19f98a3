/*
 * From one component of the waits-for graph to a knot: items become members
 * with dense numbers, and what matters of the trees around them becomes
 * references among members.
 *
 * The walk up from a target passes items outside the knot; those do not move
 * while the knot is being untied, so that the walk can jump from member to
 * member: above[side] is the nearest member at or above the parent on that
 * side, within the tangle.  Outside the tangle no walk comes back to its
 * start.  A tangle lies in one knot as far as danger goes (its hub), so one
 * memo array serves all knots.
 *
 * An item outside the knot, in a walk's way, has its parent after while the
 * knot is untied: a kept one has no other, one of an earlier knot has arrived.
 * A deleted one is no such item.  What is above anything after, is there after;
 * so the walk could only begin at it, below it the member whose parent before
 * it is.  It waits for that member to leave, and the hub, for whose sake the
 * member is one, waits for it: it is a member itself.
 */
#include "plan_priv.h"

#define ABOVE_UNKNOWN MBJ_NODE_TEMP

/* True for an item that the knot of its own tangle's hub holds. */
static bool load_is_member(const struct plan_work *work, uint32_t item)
{
	uint32_t hub = work->count + work->tangle[item];

	return plan_kind(work, item) != MBJ_DIFF_KEEP &&
	       work->component[item] == work->component[hub];
}

/*
 * The member at or above item within its tangle, as an item, or PLAN_NONE.
 * Two walks: one to find it, one to note it along the way.
 */
static uint32_t load_climb(const struct plan_solver *solver, uint32_t item)
{
	const struct plan_work *work = solver->work;
	const struct mbj_diff_item *items = work->diff->items;
	uint32_t tangle = work->tangle[item];
	uint32_t *memo = solver->above;
	uint32_t found = PLAN_NONE;
	uint32_t at = item;

	for (uint32_t steps = 0;; steps++) {
		MBJ_ASSERT(steps <= work->count);
		if (at >= work->count || work->tangle[at] != tangle)
			break;
		if (load_is_member(work, at)) {
			found = at;
			break;
		}
		if (memo[at] != ABOVE_UNKNOWN) {
			found = memo[at];
			break;
		}
		MBJ_ASSERT(plan_kind(work, at) != MBJ_DIFF_DELETE);
		at = items[at].parent[MBJ_AFTER];
	}
	for (uint32_t w = item; w != at; w = items[w].parent[MBJ_AFTER])
		memo[w] = found;
	return found;
}

static uint32_t load_above(const struct plan_solver *solver, uint32_t item,
			   enum mbj_side side)
{
	const struct plan_work *work = solver->work;
	uint32_t parent = work->diff->items[item].parent[side];
	uint32_t above;

	if (parent >= work->count || work->tangle[parent] != work->tangle[item])
		return PLAN_NONE;
	above = load_climb(solver, parent);
	return above == PLAN_NONE ? PLAN_NONE : solver->local[above];
}

/* The member number of an item, if it is in the knot of component number. */
static uint32_t load_member(const struct plan_solver *solver, uint32_t item,
			    uint32_t component)
{
	const struct plan_work *work = solver->work;

	if (item >= work->count || work->component[item] != component)
		return PLAN_NONE;
	return solver->local[item];
}

static void load_references(struct plan_solver *solver, uint32_t v)
{
	const struct plan_work *work = solver->work;
	uint32_t item = solver->knot.items[v];
	const uint32_t *parents = work->diff->items[item].parent;
	struct knot_member *member = &solver->knot.members[v];
	uint32_t component = work->component[item];
	uint32_t tangle = work->tangle[item];

	member->kind = (uint8_t)plan_kind(work, item);
	if (member->kind != MBJ_DIFF_DELETE) {
		uint32_t parent = parents[MBJ_AFTER];

		member->occupant =
			load_member(solver, work->occupant[item], component);
		if (parent < work->count &&
		    plan_kind(work, parent) == MBJ_DIFF_CREATE)
			member->parent = load_member(solver, parent, component);
	}
	if (member->kind != MBJ_DIFF_CREATE) {
		uint32_t parent = parents[MBJ_BEFORE];

		if (parent < work->count &&
		    plan_kind(work, parent) == MBJ_DIFF_DELETE)
			member->keeper = load_member(solver, parent, component);
	}
	if (tangle == PLAN_NONE ||
	    work->component[work->count + tangle] != component)
		return;
	if (plan_is_dangerous(work, item))
		member->above[MBJ_AFTER] = load_above(solver, item, MBJ_AFTER);
	if (member->kind != MBJ_DIFF_CREATE)
		member->above[MBJ_BEFORE] =
			load_above(solver, item, MBJ_BEFORE);
}

/* The other ends of v's references, and how many conditions it waits for. */
static void load_links(struct knot *knot, uint32_t v)
{
	struct knot_member *members = knot->members;
	struct knot_member *member = &members[v];
	uint32_t above = member->above[MBJ_AFTER];

	if (member->occupant != PLAN_NONE) {
		MBJ_ASSERT(members[member->occupant].waiter == PLAN_NONE);
		members[member->occupant].waiter = v;
		member->need++;
	}
	if (member->parent != PLAN_NONE) {
		member->child_next = members[member->parent].child_first;
		members[member->parent].child_first = v;
		member->need++;
	}
	if (member->keeper != PLAN_NONE)
		members[member->keeper].need++;
	if (above != PLAN_NONE) {
		member->below_next = members[above].below_first;
		members[above].below_first = v;
		member->is_unsettled = true;
	}
}

void plan_load(struct plan_solver *solver, const uint32_t *items,
	       uint32_t count)
{
	struct knot *knot = &solver->knot;

	MBJ_ASSERT(count > 0 && count <= knot->capacity);
	knot->count = count;
	for (uint32_t v = 0; v < count; v++) {
		knot->items[v] = items[v];
		solver->local[items[v]] = v;
		knot->members[v] = (struct knot_member){
			.waiter = PLAN_NONE,
			.keeper = PLAN_NONE,
			.above = {PLAN_NONE, PLAN_NONE},
			.occupant = PLAN_NONE,
			.parent = PLAN_NONE,
			.child_first = PLAN_NONE,
			.child_next = PLAN_NONE,
			.below_first = PLAN_NONE,
			.below_next = PLAN_NONE,
		};
	}
	for (uint32_t v = 0; v < count; v++)
		load_references(solver, v);
	for (uint32_t v = 0; v < count; v++)
		load_links(knot, v);
}

enum mbj_rc plan_solver_init(struct plan_solver *solver, struct plan_work *work,
			     uint32_t size_max,
			     const struct mbj_plan_options *options,
			     struct mbj_error *err)
{
	/* So many looks at members cost about a millisecond. */
	const uint64_t effort_least = 1 << 18;
	const uint64_t effort_per_item = 16;
	enum mbj_rc rc;

	*solver = (struct plan_solver){
		.work = work,
		.effort_max = effort_least + effort_per_item * work->count,
		.states_left = options->nodes_max,
		.exact_items_max = options->exact_items_max,
	};
	rc = plan_knot_init(&solver->knot, size_max, err);
	if (rc < 0)
		return rc;
	solver->local = mbj_alloc(work->count * sizeof(*solver->local));
	solver->candidates = mbj_alloc(size_max * sizeof(*solver->candidates));
	solver->hard = mbj_alloc(size_max * sizeof(*solver->hard));
	solver->best.entries =
		mbj_alloc(size_max * sizeof(*solver->best.entries));
	if (work->hub_count > 0)
		solver->above = mbj_alloc(work->count * sizeof(*solver->above));
	if (solver->local == NULL || solver->candidates == NULL ||
	    solver->hard == NULL || solver->best.entries == NULL ||
	    (work->hub_count > 0 && solver->above == NULL)) {
		plan_solver_done(solver);
		return mbj_error_nomem(err);
	}
	for (uint32_t i = 0; solver->above != NULL && i < work->count; i++)
		solver->above[i] = ABOVE_UNKNOWN;
	return MBJ_OK;
}

void plan_solver_done(struct plan_solver *solver)
{
	mbj_free(solver->above);
	mbj_free(solver->best.entries);
	mbj_free(solver->hard);
	mbj_free(solver->candidates);
	mbj_free(solver->local);
	plan_knot_done(&solver->knot);
	*solver = (struct plan_solver){0};
}
