/*
 * The planner's order of events: graphs (plan_work.c), then the knots in the
 * order of what waits for what, each untied (plan_solve.c) and written down as
 * steps, then the check (plan_check.c).  Who calls it: edit.c and whoever has
 * two trees to reconcile.
 *
 * Invariants:
 *   1. when a knot begins, all that it waits for outside is done for good:
 *      no park outlives its knot;
 *   2. every changed item has one direct step, or is parked once and placed
 *      (or deleted) once;
 *   3. nothing is returned that plan_check.c did not accept.
 *
 * Threads: pure functions of their arguments.
 */
#include "plan_priv.h"

struct writer {
	struct plan_work *work;
	struct mbj_step *steps;
	size_t count;
	size_t capacity;
	size_t parks;
	uint32_t *seen;	 /* [work->count] last knot whose climb passed, or 0 */
	uint32_t *climb; /* [work->count] parked ones above, lowest first */
};

/* --------------------------------------------------------------- steps */

static void write_step(struct writer *writer, uint32_t item,
		       enum mbj_step_kind kind, bool is_from_temp,
		       bool is_to_temp)
{
	MBJ_ASSERT(writer->count < writer->capacity);
	writer->steps[writer->count++] = (struct mbj_step){
		.item = item,
		.kind = (uint8_t)kind,
		.is_from_temp = is_from_temp,
		.is_to_temp = is_to_temp,
	};
}

static void write_direct(struct writer *writer, uint32_t item)
{
	enum mbj_step_kind kind = MBJ_STEP_MOVE;

	if (plan_kind(writer->work, item) == MBJ_DIFF_CREATE)
		kind = MBJ_STEP_CREATE;
	else if (plan_kind(writer->work, item) == MBJ_DIFF_DELETE)
		kind = MBJ_STEP_DELETE;
	write_step(writer, item, kind, false, false);
}

static void write_park(struct writer *writer, uint32_t item)
{
	bool is_create = plan_kind(writer->work, item) == MBJ_DIFF_CREATE;

	write_step(writer, item, is_create ? MBJ_STEP_CREATE : MBJ_STEP_MOVE,
		   false, true);
	writer->work->role[item] |= PLAN_ROLE_PARKED;
	writer->parks++;
}

/* Place a parked item, after all parked ones above its place. */
static void write_placing(struct writer *writer, uint32_t item,
			  uint32_t knot_number)
{
	const struct plan_work *work = writer->work;
	uint32_t todo = 0;

	for (uint32_t at = item;
	     at < work->count && writer->seen[at] != knot_number;
	     at = work->diff->items[at].parent[MBJ_AFTER]) {
		writer->seen[at] = knot_number;
		if ((work->role[at] & PLAN_ROLE_PARKED) != 0)
			writer->climb[todo++] = at;
	}
	while (todo > 0) {
		uint32_t at = writer->climb[--todo];

		work->role[at] &= (uint8_t)~PLAN_ROLE_PARKED;
		write_step(writer, at, MBJ_STEP_MOVE, true, false);
	}
}

/* A solved knot: its way, then the parked ones home, parents first. */
static enum mbj_rc write_solution(struct writer *writer,
				  const struct plan_solver *solver,
				  uint32_t knot_number, struct mbj_error *err)
{
	const struct knot_solution *best = &solver->best;
	const struct plan_work *work = writer->work;

	if (best->parks > 0 && writer->seen == NULL) {
		writer->seen = mbj_calloc(work->count, sizeof(uint32_t));
		writer->climb = mbj_alloc(work->count * sizeof(uint32_t));
		if (writer->seen == NULL || writer->climb == NULL)
			return mbj_error_nomem(err);
	}
	for (uint32_t i = 0; i < best->count; i++) {
		uint32_t v = best->entries[i] >> TRAIL_BITS;

		if ((best->entries[i] & 3) == TRAIL_PARK)
			write_park(writer, solver->knot.items[v]);
		else
			write_direct(writer, solver->knot.items[v]);
	}
	for (uint32_t i = 0; i < best->count && best->parks > 0; i++) {
		uint32_t v = best->entries[i] >> TRAIL_BITS;
		uint32_t item = solver->knot.items[v];

		if ((best->entries[i] & 3) == TRAIL_PARK &&
		    plan_kind(work, item) != MBJ_DIFF_DELETE)
			write_placing(writer, item, knot_number);
	}
	for (uint32_t i = 0; i < best->count && best->parks > 0; i++) {
		uint32_t v = best->entries[i] >> TRAIL_BITS;
		uint32_t item = solver->knot.items[v];

		if ((best->entries[i] & 3) == TRAIL_PARK &&
		    plan_kind(work, item) == MBJ_DIFF_DELETE)
			write_step(writer, item, MBJ_STEP_DELETE, true, false);
	}
	return MBJ_OK;
}

/* --------------------------------------------------------------- knots */

/*
 * A knot that is one cycle of slots and nothing else: items[] runs along it,
 * each wants the slot of the next.  One park is enough and has to be.  Nobody
 * waits for a parent to be created: there is no slot to want in a mailbox
 * that was not there before.
 */
static bool knot_is_slot_cycle(const struct plan_work *work,
			       const uint32_t *items, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t item = items[i];
		uint32_t next = items[i + 1 < count ? i + 1 : 0];

		if (plan_kind(work, item) != MBJ_DIFF_MOVE ||
		    plan_is_dangerous(work, item) ||
		    work->occupant[item] != next)
			return false;
	}
	return true;
}

static void write_slot_cycle(struct writer *writer, const uint32_t *items,
			     uint32_t count)
{
	write_park(writer, items[0]);
	for (uint32_t i = count; i-- > 1;)
		write_direct(writer, items[i]);
	writer->work->role[items[0]] &= (uint8_t)~PLAN_ROLE_PARKED;
	write_step(writer, items[0], MBJ_STEP_MOVE, true, false);
}

/*
 * The items of the component that begins at order[*at]; hubs are no items and
 * are squeezed out.  *at moves to the next component.
 */
static uint32_t work_next_knot(struct plan_work *work, uint32_t *at)
{
	uint32_t component = work->component[work->order[*at]];
	uint32_t *items = &work->order[*at];
	uint32_t count = 0;

	while (*at < work->order_count &&
	       work->component[work->order[*at]] == component) {
		uint32_t node = work->order[(*at)++];

		if (node < work->count)
			items[count++] = node;
	}
	return count;
}

static uint32_t work_largest_knot(const struct plan_work *work)
{
	uint32_t largest = 1;
	uint32_t size = 0;

	for (uint32_t i = 0; i < work->order_count; i++) {
		bool is_first =
			i == 0 || work->component[work->order[i]] !=
					  work->component[work->order[i - 1]];

		size = is_first ? 1 : size + 1;
		largest = size > largest ? size : largest;
	}
	return largest;
}

static enum mbj_rc work_untie(struct plan_work *work,
			      const struct mbj_plan_options *options,
			      struct writer *writer, bool *ret_is_proven,
			      struct mbj_error *err)
{
	struct plan_solver solver = {0};
	bool is_proven = true;
	uint32_t at = 0;
	uint32_t number = 0;
	enum mbj_rc rc = MBJ_OK;

	while (at < work->order_count && rc == MBJ_OK) {
		const uint32_t *items = &work->order[at];
		uint32_t count = work_next_knot(work, &at);
		bool is_knot_proven = true;

		/* A hub has the mailbox it was made for in its component. */
		MBJ_ASSERT(count > 0);
		number++;
		if (count == 1) {
			write_direct(writer, items[0]);
			continue;
		}
		if (knot_is_slot_cycle(work, items, count)) {
			write_slot_cycle(writer, items, count);
			continue;
		}
		if (solver.work == NULL)
			rc = plan_solver_init(&solver, work,
					      work_largest_knot(work), options,
					      err);
		if (rc < 0)
			break;
		plan_load(&solver, items, count);
		rc = plan_solve(&solver, &is_knot_proven, err);
		if (rc < 0)
			break;
		is_proven = is_proven && is_knot_proven;
		rc = write_solution(writer, &solver, number, err);
	}
	plan_solver_done(&solver);
	if (rc == MBJ_OK)
		*ret_is_proven = is_proven;
	return rc;
}

/* ---------------------------------------------------------------- plan */

static size_t diff_changed(const struct mbj_diff *diff)
{
	size_t changed = 0;

	for (uint32_t i = 0; i < diff->count; i++)
		changed += diff->kind[i] != MBJ_DIFF_KEEP;
	return changed;
}

enum mbj_rc mbj_plan_make(const struct mbj_diff *diff,
			  const struct mbj_plan_options *options,
			  struct mbj_plan *ret_plan, struct mbj_error *err)
{
	struct plan_work work = {0};
	struct writer writer = {.work = &work};
	size_t changed = diff_changed(diff);
	bool is_proven = true;
	enum mbj_rc rc;

	/* At worst every changed item is parked: pages not used cost nothing */
	writer.capacity = 2 * changed;
	writer.steps = mbj_alloc(writer.capacity * sizeof(*writer.steps));
	if (writer.steps == NULL)
		return mbj_error_nomem(err);
	rc = changed == 0 ? MBJ_OK : plan_work_init(&work, diff, err);
	if (rc < 0)
		goto out;
	if (changed > 0)
		rc = work_untie(&work, options, &writer, &is_proven, err);
	if (rc < 0)
		goto out;
	plan_work_done(&work);
	rc = mbj_plan_check(diff, writer.steps, writer.count, err);
	if (rc < 0)
		goto out;
	MBJ_ASSERT(writer.count == changed + writer.parks);
	*ret_plan = (struct mbj_plan){
		.steps = writer.steps,
		.count = writer.count,
		.lower_bound = changed,
		.parks = writer.parks,
		.is_proven = is_proven,
	};
	writer.steps = NULL;
out:
	mbj_free(writer.climb);
	mbj_free(writer.seen);
	mbj_free(writer.steps);
	plan_work_done(&work);
	return rc;
}

void mbj_plan_done(struct mbj_plan *plan)
{
	mbj_free(plan->steps);
	*plan = (struct mbj_plan){0};
}
