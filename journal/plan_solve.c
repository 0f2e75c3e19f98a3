/*
 * A way through one knot with few parks.
 *
 *   1. Safe steps, as far as they go: they never hurt.  Done?  No park.
 *   2. Bound 1: park a feedback vertex set of what is left, but each member of
 *      it only when nothing else can go on.  Then once more, with a set that
 *      cuts only what has to be cut in any case, pushing on with unsafe steps.
 *   3. Bound 2: no plan but a look ahead: when stuck, try every step that can
 *      be taken though it is not safe, else every park, and choose the one
 *      after which most gets done.
 *   4. Leave out parks that turn out not to be needed.
 *   5. Search the rest exactly, where it is small and the lower bound is not
 *      met yet.
 *
 * Unsafe steps, 3 and 4 cost more than linear time, so they go on only while a
 * budget for the whole plan lasts (knot.effort); when it runs out, candidates
 * are parked in turn, then whoever is left, which always ends.
 */
#include "plan_priv.h"

static bool knot_can_afford(const struct plan_solver *solver, uint64_t looks)
{
	uint64_t spent = solver->knot.effort;

	return spent < solver->effort_max &&
	       looks <= solver->effort_max - spent;
}

/* If the knot is complete and better than the best so far, keep its trail. */
static void solve_keep(struct plan_solver *solver)
{
	const struct knot *knot = &solver->knot;
	struct knot_solution *best = &solver->best;
	uint32_t parks = 0;

	MBJ_ASSERT(knot->left == 0);
	for (uint32_t i = 0; i < knot->trail_count; i++)
		parks += (knot->trail[i] & 3) == TRAIL_PARK;
	if (best->count > 0 && parks >= best->parks)
		return;
	best->parks = parks;
	best->count = 0;
	for (uint32_t i = 0; i < knot->trail_count; i++)
		if ((knot->trail[i] & 3) != TRAIL_SETTLE)
			best->entries[best->count++] = knot->trail[i];
	MBJ_ASSERT(best->count == knot->count);
}

static bool knot_is_pending(const struct knot *knot, uint32_t v)
{
	return v != PLAN_NONE && knot->members[v].state == KNOT_PENDING;
}

static void knot_try(struct knot *knot, uint32_t v, bool is_park)
{
	if (is_park)
		plan_knot_park(knot, v);
	else
		plan_knot_do(knot, v);
	plan_knot_close(knot);
}

/* Unsafe steps, round and round, until stuck, complete or too dear. */
static void knot_push_on(struct plan_solver *solver)
{
	struct knot *knot = &solver->knot;
	bool is_moving = true;

	while (is_moving && knot->left > 0) {
		is_moving = false;
		plan_knot_tidy(knot);
		for (uint32_t i = 0; i < knot->waiting_count; i++) {
			uint32_t v = knot->waiting[i];

			if (!knot_can_afford(solver, 1))
				return;
			knot->effort++;
			if (!plan_knot_can_unsafe(knot, v))
				continue;
			knot_try(knot, v, false);
			is_moving = true;
		}
	}
}

/* ------------------------------------------------------------- bound 1 */

/*
 * Park members of a list one by one, each only when nothing else can go on.
 * is_pushing: unsafe steps count as going on.
 */
static void solve_by_list(struct plan_solver *solver, const uint32_t *list,
			  uint32_t count, bool is_pushing)
{
	struct knot *knot = &solver->knot;

	for (uint32_t i = 0; i < count && knot->left > 0; i++) {
		if (is_pushing)
			knot_push_on(solver);
		if (knot_is_pending(knot, list[i]))
			knot_try(knot, list[i], true);
	}
}

/* Whoever is left: the way out when candidates or effort are used up. */
static void solve_park_rest(struct plan_solver *solver)
{
	struct knot *knot = &solver->knot;

	for (uint32_t v = 0; knot->left > 0; v++) {
		MBJ_ASSERT(v < knot->count);
		if (knot_is_pending(knot, v))
			knot_try(knot, v, true);
	}
}

static enum mbj_rc solve_bound_1(struct plan_solver *solver,
				 uint32_t *ret_count, uint32_t *ret_lower,
				 struct mbj_error *err)
{
	struct knot *knot = &solver->knot;
	uint32_t base = knot->trail_count;
	uint32_t hard_count;
	uint32_t count;
	uint32_t lower;
	uint32_t lower_above;
	enum mbj_rc rc;

	rc = plan_fvs_find(knot, false, solver->hard, &hard_count, &lower, err);
	if (rc < 0)
		return rc;
	rc = plan_fvs_find(knot, true, solver->candidates, &count, &lower_above,
			   err);
	if (rc < 0)
		return rc;
	solve_by_list(solver, solver->candidates, count, false);
	solve_keep(solver);
	plan_knot_undo(knot, base);
	if (solver->best.parks > lower) {
		/* Each is pending still: it waits for a cycle without parks. */
		for (uint32_t i = 0; i < hard_count; i++)
			knot_try(knot, solver->hard[i], true);
		solve_by_list(solver, solver->candidates, count, true);
		solve_park_rest(solver);
		solve_keep(solver);
		plan_knot_undo(knot, base);
	}
	*ret_count = count;
	*ret_lower = lower;
	return MBJ_OK;
}

/* ------------------------------------------------------------- bound 2 */

/*
 * Some pending step waits for v, which is pending itself.  Those that are to
 * go below it are: they wait for nothing else, so that parking v does more
 * than parking one of them, and bound 2 parks whoever does most.
 */
static bool knot_is_waited_for(const struct knot *knot, uint32_t v)
{
	const struct knot_member *member = &knot->members[v];

	return knot_is_pending(knot, member->waiter) ||
	       knot_is_pending(knot, member->keeper) ||
	       member->child_first != PLAN_NONE;
}

/*
 * The candidate after which most gets done; of unsafe steps those first that
 * another step waits for.  PLAN_NONE where there is none (never for parks).
 */
static uint32_t solve_look_ahead(struct plan_solver *solver, bool is_park)
{
	struct knot *knot = &solver->knot;
	uint32_t base = knot->trail_count;
	uint32_t left = knot->left;
	uint32_t found = PLAN_NONE;
	uint64_t found_score = 0;
	uint32_t count;

	plan_knot_tidy(knot);
	count = is_park ? knot->count : knot->waiting_count;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t v = is_park ? i : knot->waiting[i];
		uint64_t score;

		if (found != PLAN_NONE && !knot_can_afford(solver, left))
			break;
		knot->effort++;
		if (is_park ? !knot_is_pending(knot, v)
			    : !plan_knot_can_unsafe(knot, v))
			continue;
		score = !is_park && knot_is_waited_for(knot, v)
				? (uint64_t)1 << 32
				: 0;
		knot_try(knot, v, is_park);
		score += left - knot->left;
		plan_knot_undo(knot, base);
		if (score > found_score) {
			found_score = score;
			found = v;
		}
	}
	return found;
}

static void solve_bound_2(struct plan_solver *solver, uint32_t count)
{
	struct knot *knot = &solver->knot;
	uint32_t base = knot->trail_count;

	while (knot->left > 0 &&
	       knot_can_afford(solver, (uint64_t)knot->left * knot->left)) {
		uint32_t v = solve_look_ahead(solver, false);

		if (v != PLAN_NONE) {
			knot_try(knot, v, false);
			continue;
		}
		v = solve_look_ahead(solver, true);
		MBJ_ASSERT(v != PLAN_NONE);
		knot_try(knot, v, true);
	}
	solve_by_list(solver, solver->candidates, count, false);
	solve_park_rest(solver);
	solve_keep(solver);
	plan_knot_undo(knot, base);
}

/* ------------------------------------------------------ needless parks */

/* Complete the knot with the parks listed, but for the one at skip. */
static bool solve_without(struct plan_solver *solver, const uint32_t *parks,
			  uint32_t count, uint32_t skip)
{
	struct knot *knot = &solver->knot;

	/* Each is pending: in the solution it was, with no fewer parked. */
	for (uint32_t i = 0; i < count; i++)
		if (i != skip)
			knot_try(knot, parks[i], true);
	knot_push_on(solver);
	return knot->left == 0;
}

/* Drop each park of the best solution in turn; keep the drop if it works. */
static void solve_drop_parks(struct plan_solver *solver)
{
	struct knot *knot = &solver->knot;
	const struct knot_solution *best = &solver->best;
	uint32_t *parks = solver->candidates;
	uint32_t base = knot->trail_count;
	uint32_t count = 0;

	for (uint32_t i = 0; i < best->count; i++)
		if ((best->entries[i] & 3) == TRAIL_PARK)
			parks[count++] = best->entries[i] >> TRAIL_BITS;
	for (uint32_t i = count; i-- > 0;) {
		if (!knot_can_afford(solver, (uint64_t)2 * knot->left))
			return;
		if (solve_without(solver, parks, count, i)) {
			solve_keep(solver);
			memmove(&parks[i], &parks[i + 1],
				(count - i - 1) * sizeof(*parks));
			count--;
		}
		plan_knot_undo(knot, base);
	}
}

/* --------------------------------------------------------------- exact */

static enum mbj_rc solve_exact(struct plan_solver *solver, bool *ret_is_proven,
			       struct mbj_error *err)
{
	const uint32_t bits_max = 64;
	struct knot *knot = &solver->knot;
	struct exact_result result;
	enum mbj_rc rc;

	*ret_is_proven = false;
	if (knot->left > solver->exact_items_max || knot->left > bits_max)
		return MBJ_OK;
	rc = plan_exact_search(knot, solver->best.parks, &solver->states_left,
			       &result, err);
	if (rc < 0)
		return rc;
	if (result.is_found)
		solve_keep(solver);
	*ret_is_proven = result.is_proven;
	return MBJ_OK;
}

enum mbj_rc plan_solve(struct plan_solver *solver, bool *ret_is_proven,
		       struct mbj_error *err)
{
	struct knot *knot = &solver->knot;
	uint32_t count;
	uint32_t lower;
	enum mbj_rc rc;

	solver->best.count = 0;
	plan_knot_begin(knot);
	plan_knot_close(knot);
	*ret_is_proven = true;
	if (knot->left == 0) {
		solve_keep(solver);
		return MBJ_OK;
	}
	rc = solve_bound_1(solver, &count, &lower, err);
	if (rc < 0 || solver->best.parks == lower)
		return rc;
	if (knot_can_afford(solver, (uint64_t)knot->left * knot->left))
		solve_bound_2(solver, count);
	if (solver->best.parks > lower)
		solve_drop_parks(solver);
	if (solver->best.parks == lower)
		return MBJ_OK;
	return solve_exact(solver, ret_is_proven, err);
}
