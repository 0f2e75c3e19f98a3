/*
 * One knot on dense numbers: which members are done or parked, which steps
 * that makes possible, and the way back.  Decides nothing (plan_solve.c).
 *
 * Each member counts the conditions of its step that are not met; doing or
 * parking another one lowers those counts, undoing raises them again.  A whole
 * run costs one visit per member and per arc.
 *
 * Invariants:
 *   1. state, counts and settled flags are a function of the set of done and
 *      parked members, whatever the order that led there;
 *   2. the ready list holds every pending member whose step is safe, once,
 *      and is empty after plan_knot_close;
 *   3. the waiting list holds every pending member whose step lacks nothing
 *      but safety, once, and perhaps others until plan_knot_tidy;
 *   4. undoing restores all of that; the ready list must be empty.
 */
#include "plan_priv.h"

enum mbj_rc plan_knot_init(struct knot *knot, uint32_t size_max,
			   struct mbj_error *err)
{
	size_t n = size_max;

	MBJ_ASSERT(size_max > 0 && size_max <= PLAN_COUNT_MAX);
	*knot = (struct knot){.capacity = n};
	knot->members = mbj_alloc(n * sizeof(*knot->members));
	knot->items = mbj_alloc(n * sizeof(*knot->items));
	/* Every member is done or parked once, and settles once. */
	knot->trail = mbj_alloc(2 * n * sizeof(*knot->trail));
	knot->ready = mbj_alloc(n * sizeof(*knot->ready));
	knot->waiting = mbj_alloc(n * sizeof(*knot->waiting));
	knot->settling = mbj_alloc(n * sizeof(*knot->settling));
	if (knot->members == NULL || knot->items == NULL ||
	    knot->trail == NULL || knot->ready == NULL ||
	    knot->waiting == NULL || knot->settling == NULL) {
		plan_knot_done(knot);
		return mbj_error_nomem(err);
	}
	return MBJ_OK;
}

void plan_knot_done(struct knot *knot)
{
	mbj_free(knot->settling);
	mbj_free(knot->waiting);
	mbj_free(knot->ready);
	mbj_free(knot->trail);
	mbj_free(knot->items);
	mbj_free(knot->members);
	*knot = (struct knot){0};
}

static void knot_log(struct knot *knot, uint32_t v, uint32_t what)
{
	MBJ_ASSERT(knot->trail_count < 2 * knot->capacity);
	knot->trail[knot->trail_count++] = v << TRAIL_BITS | what;
	knot->effort++;
}

/* A step that only lacks safety: a candidate for plan_knot_can_unsafe. */
static void knot_list(struct knot *knot, uint32_t v)
{
	struct knot_member *member = &knot->members[v];

	if (member->need > 0 || !member->is_unsettled || member->is_listed)
		return;
	MBJ_ASSERT(knot->waiting_count < knot->count);
	member->is_listed = true;
	knot->waiting[knot->waiting_count++] = v;
}

static bool member_is_safe(const struct knot_member *member)
{
	return member->state == KNOT_PENDING && member->need == 0 &&
	       !member->is_unsettled;
}

static void knot_offer(struct knot *knot, uint32_t v)
{
	if (member_is_safe(&knot->members[v]))
		knot->ready[knot->ready_count++] = v;
}

static void knot_meet(struct knot *knot, uint32_t v)
{
	if (v == PLAN_NONE)
		return;
	MBJ_ASSERT(knot->members[v].need > 0);
	knot->members[v].need--;
	knot_offer(knot, v);
	knot_list(knot, v);
}

/* v is settled: so is all that is done below it, and more steps are safe. */
static void knot_settle(struct knot *knot, uint32_t v)
{
	uint32_t todo = 0;

	knot->settling[todo++] = v;
	while (todo > 0) {
		uint32_t at = knot->settling[--todo];
		struct knot_member *member = &knot->members[at];

		MBJ_ASSERT(!member->is_settled);
		member->is_settled = true;
		knot_log(knot, at, TRAIL_SETTLE);
		for (uint32_t c = member->below_first; c != PLAN_NONE;
		     c = knot->members[c].below_next) {
			struct knot_member *child = &knot->members[c];

			knot->effort++;
			child->is_unsettled = false;
			/* Settled it cannot be: it was below an unsettled. */
			if (child->state == KNOT_DONE)
				knot->settling[todo++] = c;
			else
				knot_offer(knot, c);
		}
	}
}

/* v has left its place before, or has come to exist. */
static void knot_leave(struct knot *knot, uint32_t v)
{
	const struct knot_member *member = &knot->members[v];

	knot_meet(knot, member->waiter);
	knot_meet(knot, member->keeper);
	for (uint32_t c = member->child_first; c != PLAN_NONE;
	     c = knot->members[c].child_next) {
		knot->effort++;
		knot_meet(knot, c);
	}
}

void plan_knot_do(struct knot *knot, uint32_t v)
{
	struct knot_member *member = &knot->members[v];

	MBJ_ASSERT(v < knot->count && member->state == KNOT_PENDING);
	MBJ_ASSERT(member->need == 0);
	member->state = KNOT_DONE;
	knot->left--;
	knot_log(knot, v, TRAIL_DONE);
	knot_leave(knot, v);
	if (member->kind != MBJ_DIFF_DELETE && !member->is_unsettled)
		knot_settle(knot, v);
}

void plan_knot_park(struct knot *knot, uint32_t v)
{
	struct knot_member *member = &knot->members[v];

	MBJ_ASSERT(v < knot->count && member->state == KNOT_PENDING);
	member->state = KNOT_PARKED;
	knot->left--;
	knot_log(knot, v, TRAIL_PARK);
	knot_leave(knot, v);
	if (member->kind != MBJ_DIFF_DELETE)
		knot_settle(knot, v);
}

void plan_knot_close(struct knot *knot)
{
	while (knot->ready_count > 0)
		plan_knot_do(knot, knot->ready[--knot->ready_count]);
}

void plan_knot_begin(struct knot *knot)
{
	knot->left = knot->count;
	knot->trail_count = 0;
	knot->ready_count = 0;
	knot->waiting_count = 0;
	for (uint32_t v = 0; v < knot->count; v++) {
		knot_offer(knot, v);
		knot_list(knot, v);
	}
}

static void knot_unmeet(struct knot *knot, uint32_t v)
{
	if (v != PLAN_NONE)
		knot->members[v].need++;
}

static void knot_unleave(struct knot *knot, uint32_t v)
{
	struct knot_member *member = &knot->members[v];

	member->state = KNOT_PENDING;
	knot->left++;
	knot_unmeet(knot, member->waiter);
	knot_unmeet(knot, member->keeper);
	for (uint32_t c = member->child_first; c != PLAN_NONE;
	     c = knot->members[c].child_next)
		knot_unmeet(knot, c);
	knot_list(knot, v);
}

static void knot_unsettle(struct knot *knot, uint32_t v)
{
	knot->members[v].is_settled = false;
	for (uint32_t c = knot->members[v].below_first; c != PLAN_NONE;
	     c = knot->members[c].below_next) {
		knot->members[c].is_unsettled = true;
		knot_list(knot, c);
	}
}

void plan_knot_undo(struct knot *knot, uint32_t trail_count)
{
	MBJ_ASSERT(trail_count <= knot->trail_count);
	MBJ_ASSERT(knot->ready_count == 0);
	while (knot->trail_count > trail_count) {
		uint32_t entry = knot->trail[--knot->trail_count];
		uint32_t v = entry >> TRAIL_BITS;

		if ((entry & ((1 << TRAIL_BITS) - 1)) == TRAIL_SETTLE)
			knot_unsettle(knot, v);
		else
			knot_unleave(knot, v);
		knot->effort++;
	}
}

/* Lacks nothing but safety; what is safe is done, unless in the ready list. */
static bool knot_is_waiting(const struct knot *knot, uint32_t v)
{
	const struct knot_member *member = &knot->members[v];

	MBJ_ASSERT(knot->ready_count == 0);
	return member->state == KNOT_PENDING && member->need == 0;
}

void plan_knot_tidy(struct knot *knot)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < knot->waiting_count; i++) {
		uint32_t v = knot->waiting[i];

		knot->effort++;
		knot->members[v].is_listed = knot_is_waiting(knot, v);
		if (knot->members[v].is_listed)
			knot->waiting[kept++] = v;
	}
	knot->waiting_count = kept;
}

bool plan_knot_can_unsafe(struct knot *knot, uint32_t v)
{
	const struct knot_member *member = &knot->members[v];
	uint32_t at = member->above[MBJ_AFTER];

	if (!knot_is_waiting(knot, v))
		return false;
	/* Nothing is below a mailbox that does not exist yet. */
	if (member->kind == MBJ_DIFF_CREATE)
		return true;
	while (at != PLAN_NONE && at != v) {
		const struct knot_member *step = &knot->members[at];

		knot->effort++;
		if (step->state == KNOT_PARKED)
			return true;
		at = step->above[step->state == KNOT_DONE ? MBJ_AFTER
							  : MBJ_BEFORE];
	}
	return at == PLAN_NONE;
}
