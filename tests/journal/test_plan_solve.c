/*
 * Tests of untying a knot on knots of every kind, under budgets of every size:
 * what comes out is a way through, proven only where no other has fewer parks.
 */
#include <string.h>

#include "journal_cases.h"
#include "plan_priv.h"

enum {
	MEMBERS_MAX = 70,
	SEARCH_MAX = 7, /* members; the search has 3 to its power states */
	STATES_MAX = 2187,
};

/* A knot before anything is done, and what the solver needs around it. */
struct solve_lab {
	struct plan_solver solver;
	struct plan_work work;
	struct knot_member members[MEMBERS_MAX];
	uint32_t count;
	bool is_deep; /* the trees */
};

static void lab_init(struct solve_lab *lab)
{
	struct mbj_plan_options options = MBJ_PLAN_OPTIONS_DEFAULT;

	lab->work = (struct plan_work){.count = MEMBERS_MAX};
	ck_assert_int_eq(plan_solver_init(&lab->solver, &lab->work, MEMBERS_MAX,
					  &options, NULL),
			 MBJ_OK);
}

/* ---------------------------------------------------------- generation */

static struct knot_member member_blank(enum mbj_diff_kind kind)
{
	return (struct knot_member){
		.waiter = PLAN_NONE,
		.keeper = PLAN_NONE,
		.above = {PLAN_NONE, PLAN_NONE},
		.kind = (uint8_t)kind,
		.occupant = PLAN_NONE,
		.parent = PLAN_NONE,
		.child_first = PLAN_NONE,
		.child_next = PLAN_NONE,
		.below_first = PLAN_NONE,
		.below_next = PLAN_NONE,
	};
}

/* A number for each member, so that whoever is above has a smaller one. */
static void ranks_random(uint32_t *ranks, uint32_t count, struct test_rng *rng)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t j = (uint32_t)test_rng_below(rng, i + 1);

		ranks[i] = ranks[j];
		ranks[j] = i;
	}
}

/*
 * A member of lower rank than v, on one side: deleted ones are not there
 * after, created ones not before.
 */
static uint32_t above_random(const struct solve_lab *lab, const uint32_t *ranks,
			     uint32_t v, enum mbj_diff_kind absent,
			     struct test_rng *rng)
{
	uint32_t w = (uint32_t)test_rng_below(rng, lab->count);

	/* Of some the nearest: deep trees make tangles. */
	for (uint32_t u = 0; u < lab->count && lab->is_deep; u++)
		if (ranks[u] + 1 == ranks[v])
			w = u;
	if (ranks[w] >= ranks[v] || lab->members[w].kind == absent)
		return PLAN_NONE;
	return w;
}

/* Where v is before, and where after: what that makes it wait for. */
static void member_place(struct solve_lab *lab, uint32_t (*ranks)[MEMBERS_MAX],
			 uint32_t v, struct test_rng *rng)
{
	struct knot_member *members = lab->members;
	struct knot_member *member = &members[v];
	uint32_t w;

	if (member->kind != MBJ_DIFF_CREATE) {
		w = above_random(lab, ranks[0], v, MBJ_DIFF_CREATE, rng);
		if (w != PLAN_NONE && members[w].kind == MBJ_DIFF_DELETE)
			member->keeper = w;
		/* Outside its tangle nothing is above it but its parent. */
		if (member->keeper == PLAN_NONE || test_rng_chance(rng, 3, 4))
			member->above[MBJ_BEFORE] = w;
	}
	if (member->kind != MBJ_DIFF_DELETE) {
		w = above_random(lab, ranks[1], v, MBJ_DIFF_DELETE, rng);
		if (w != PLAN_NONE && members[w].kind == MBJ_DIFF_CREATE)
			member->parent = w;
		if (member->parent == PLAN_NONE || test_rng_chance(rng, 3, 4))
			member->above[MBJ_AFTER] = w;
	}
}

/* Who holds the slot that v wants; in a new mailbox there is none. */
static void slots_random(struct solve_lab *lab, bool is_dense,
			 struct test_rng *rng)
{
	struct knot_member *members = lab->members;
	uint32_t ranks[MEMBERS_MAX];

	ranks_random(ranks, lab->count, rng);
	for (uint32_t i = 0; i < lab->count; i++) {
		uint32_t v = ranks[i];
		uint32_t w = ranks[i + 1 < lab->count ? i + 1 : 0];

		if (members[v].kind == MBJ_DIFF_DELETE || v == w ||
		    members[w].kind == MBJ_DIFF_CREATE ||
		    members[v].parent != PLAN_NONE)
			continue;
		if (is_dense || test_rng_chance(rng, 2, 3)) {
			members[v].occupant = w;
			members[w].waiter = v;
		}
	}
}

/* The other ends of references, and what waits for how much. */
static void links_make(struct solve_lab *lab)
{
	struct knot_member *members = lab->members;

	for (uint32_t v = 0; v < lab->count; v++) {
		struct knot_member *member = &members[v];
		uint32_t above = member->above[MBJ_AFTER];

		member->need += member->occupant != PLAN_NONE;
		if (member->keeper != PLAN_NONE)
			members[member->keeper].need++;
		if (member->parent != PLAN_NONE) {
			member->need++;
			member->child_next =
				members[member->parent].child_first;
			members[member->parent].child_first = v;
		}
		if (above != PLAN_NONE) {
			member->is_unsettled = true;
			member->below_next = members[above].below_first;
			members[above].below_first = v;
		}
	}
}

/* is_dense: mailboxes that change places, each waits for the next one. */
static void knot_random(struct solve_lab *lab, uint32_t count, bool is_dense,
			struct test_rng *rng)
{
	uint32_t ranks[2][MEMBERS_MAX];
	uint64_t others = is_dense ? 0 : test_rng_below(rng, 6);

	lab->count = count;
	lab->is_deep = test_rng_chance(rng, 1, 2);
	for (uint32_t v = 0; v < count; v++) {
		enum mbj_diff_kind kind = MBJ_DIFF_MOVE;

		if (test_rng_chance(rng, others, 8))
			kind = test_rng_chance(rng, 1, 2) ? MBJ_DIFF_CREATE
							  : MBJ_DIFF_DELETE;
		lab->members[v] = member_blank(kind);
	}
	ranks_random(ranks[0], count, rng);
	ranks_random(ranks[1], count, rng);
	for (uint32_t v = 0; v < count; v++)
		member_place(lab, ranks, v, rng);
	slots_random(lab, is_dense, rng);
	links_make(lab);
}

/* --------------------------------------------------------------- rules */

/* The walk up from where v is to go: does it meet v? */
static bool walk_meets(const struct solve_lab *lab, const uint8_t *states,
		       uint32_t v)
{
	uint32_t at = lab->members[v].above[MBJ_AFTER];

	for (uint32_t steps = 0; at != PLAN_NONE; steps++) {
		ck_assert_uint_le(steps, lab->count);
		if (at == v)
			return true;
		if (states[at] == KNOT_PARKED)
			return false;
		at = lab->members[at].above[states[at] == KNOT_DONE];
	}
	return false;
}

/* May v be done directly? */
static bool can_do(const struct solve_lab *lab, const uint8_t *states,
		   uint32_t v)
{
	const struct knot_member *member = &lab->members[v];

	if (member->occupant != PLAN_NONE &&
	    states[member->occupant] == KNOT_PENDING)
		return false;
	if (member->parent != PLAN_NONE &&
	    states[member->parent] == KNOT_PENDING)
		return false;
	for (uint32_t w = 0; w < lab->count; w++)
		if (lab->members[w].keeper == v && states[w] == KNOT_PENDING)
			return false;
	return !walk_meets(lab, states, v);
}

/* Every step of the solution is one, and each member is in it once. */
static void solution_check(const struct solve_lab *lab)
{
	const struct knot_solution *best = &lab->solver.best;
	uint8_t states[MEMBERS_MAX] = {KNOT_PENDING};
	uint32_t parks = 0;

	ck_assert_uint_eq(best->count, lab->count);
	for (uint32_t i = 0; i < best->count; i++) {
		uint32_t v = best->entries[i] >> TRAIL_BITS;
		bool is_park = (best->entries[i] & 3) == TRAIL_PARK;

		ck_assert_uint_lt(v, lab->count);
		ck_assert_uint_eq(states[v], KNOT_PENDING);
		ck_assert(is_park || can_do(lab, states, v));
		states[v] = is_park ? KNOT_PARKED : KNOT_DONE;
		parks += is_park;
	}
	ck_assert_uint_eq(parks, best->parks);
}

/*
 * The fewest parks, by every order of everything.  A state is a number with a
 * digit for each member: what is done or parked makes it larger, so that each
 * state comes after all that lead to it.
 */
static uint32_t fewest_parks(const struct solve_lab *lab)
{
	static uint32_t fewest[STATES_MAX];
	uint32_t powers[SEARCH_MAX + 1] = {1};
	uint32_t found = UINT32_MAX;

	ck_assert_uint_le(lab->count, SEARCH_MAX);
	for (uint32_t v = 0; v < lab->count; v++)
		powers[v + 1] = 3 * powers[v];
	memset(fewest, 0xff, sizeof(fewest));
	fewest[0] = 0;
	for (uint32_t state = 0; state < powers[lab->count]; state++) {
		uint8_t states[SEARCH_MAX];
		bool is_end = true;

		if (fewest[state] == UINT32_MAX)
			continue;
		for (uint32_t v = 0; v < lab->count; v++)
			states[v] = (uint8_t)(state / powers[v] % 3);
		for (uint32_t v = 0; v < lab->count; v++) {
			uint32_t done = state + powers[v];
			uint32_t parked = done + powers[v];

			if (states[v] != KNOT_PENDING)
				continue;
			is_end = false;
			if (can_do(lab, states, v) &&
			    fewest[done] > fewest[state])
				fewest[done] = fewest[state];
			if (fewest[parked] > fewest[state] + 1)
				fewest[parked] = fewest[state] + 1;
		}
		if (is_end && fewest[state] < found)
			found = fewest[state];
	}
	return found;
}

/* --------------------------------------------------------------- tests */

/* Put the knot in, nothing done. */
static void lab_put(struct solve_lab *lab)
{
	struct knot *knot = &lab->solver.knot;

	knot->count = lab->count;
	knot->effort = 0;
	memcpy(knot->members, lab->members, lab->count * sizeof(*lab->members));
}

/* Solve it; *ret_is_proven: none has fewer parks. */
static enum mbj_rc lab_solve(struct solve_lab *lab, bool *ret_is_proven)
{
	lab_put(lab);
	return plan_solve(&lab->solver, ret_is_proven, NULL);
}

/*
 * Goal: whatever the knot and the budget, what comes out is a way through
 * with as many parks as it says; it counts as proven only where an exhaustive
 * search finds none with fewer, and is, where nothing is short and the knot
 * small; and what is spent beyond the budget is linear.
 * Method: random knots, most of them small enough to be searched here, with
 * effort, states and sizes that allow nothing, little or everything.
 */
START_TEST(test_budgets)
{
	struct solve_lab lab;
	struct test_rng rng;

	test_rng_seed(&rng);
	lab_init(&lab);
	for (int round = 0; round < 6000; round++) {
		bool is_large = round % 8 == 0;
		uint32_t most = is_large ? 50 : SEARCH_MAX;
		uint32_t count = (uint32_t)test_rng_between(&rng, 2, most);
		bool is_scarce = test_rng_chance(&rng, 1, 2);
		bool is_proven;

		knot_random(&lab, count, test_rng_chance(&rng, 1, 3), &rng);
		lab.solver.effort_max = 1 << 18;
		lab.solver.states_left = 2000;
		lab.solver.exact_items_max = 32;
		if (is_scarce) {
			lab.solver.effort_max =
				test_rng_below(&rng,
					       (uint64_t)count * count * 2);
			lab.solver.states_left = test_rng_below(&rng, 30);
			lab.solver.exact_items_max =
				(uint32_t)test_rng_below(&rng, 32);
		}
		ck_assert_int_eq(lab_solve(&lab, &is_proven), MBJ_OK);
		solution_check(&lab);
		/* Without means each goes by some times more: 15 were seen. */
		ck_assert_uint_le(lab.solver.knot.effort,
				  lab.solver.effort_max + 30 * count);
		if (count <= SEARCH_MAX) {
			uint32_t fewest = fewest_parks(&lab);

			ck_assert(is_scarce || is_proven);
			ck_assert_uint_ge(lab.solver.best.parks, fewest);
			ck_assert(!is_proven ||
				  lab.solver.best.parks == fewest);
		}
	}
	plan_solver_done(&lab.solver);
}
END_TEST

/*
 * Goal: a search knows all of 64 members.  Method: a cycle of so many slots,
 * which the first park unties, and which none does not.
 */
START_TEST(test_search_full)
{
	const uint32_t count = 64;
	struct solve_lab lab;
	struct knot *knot = &lab.solver.knot;
	struct exact_result result;
	struct test_rng rng;
	uint64_t states = 100;
	uint32_t parks = 0;

	test_rng_init(&rng, 1);
	lab_init(&lab);
	lab.count = count;
	for (uint32_t v = 0; v < count; v++)
		lab.members[v] = member_blank(MBJ_DIFF_MOVE);
	slots_random(&lab, true, &rng);
	links_make(&lab);
	lab_put(&lab);
	plan_knot_begin(knot);
	plan_knot_close(knot);
	ck_assert_int_eq(plan_exact_search(knot, 1, &states, &result, NULL),
			 MBJ_OK);
	ck_assert(!result.is_found && result.is_proven);
	ck_assert_uint_eq(knot->left, count);
	ck_assert_int_eq(plan_exact_search(knot, 2, &states, &result, NULL),
			 MBJ_OK);
	ck_assert(result.is_found && result.is_proven);
	ck_assert_uint_eq(knot->left, 0);
	for (uint32_t i = 0; i < knot->trail_count; i++)
		parks += (knot->trail[i] & 3) == TRAIL_PARK;
	ck_assert_uint_eq(parks, 1);
	plan_solver_done(&lab.solver);
}
END_TEST

/*
 * Goal: a search takes 64 members and no more.  Method: knots of 63 to 66, in
 * which each waits for the next, with and without leave to search them.
 */
START_TEST(test_search_limit)
{
	struct solve_lab lab;
	struct test_rng rng;
	uint32_t searched[MEMBERS_MAX] = {0};

	test_rng_seed(&rng);
	lab_init(&lab);
	for (int round = 0; round < 200; round++) {
		uint32_t count = 63 + (uint32_t)round % 4;
		bool is_proven;

		knot_random(&lab, count, true, &rng);
		lab.solver.effort_max = 1 << 18;
		lab.solver.states_left = 300;
		lab.solver.exact_items_max =
			test_rng_chance(&rng, 1, 4) ? 63 : 100;
		ck_assert_int_eq(lab_solve(&lab, &is_proven), MBJ_OK);
		solution_check(&lab);
		searched[count] += lab.solver.states_left < 300;
		if (count > lab.solver.exact_items_max)
			ck_assert_uint_eq(lab.solver.states_left, 300);
	}
	ck_assert_uint_gt(searched[63], 0);
	ck_assert_uint_gt(searched[64], 0);
	ck_assert_uint_eq(searched[65] + searched[66], 0);
	plan_solver_done(&lab.solver);
}
END_TEST

/*
 * Goal: a failed allocation is reported, leaks nothing, and the next try gives
 * what it would have given.  Method: fail each in turn, on knots of which the
 * searches outgrow their tables again and again.
 */
START_TEST(test_memory)
{
	struct solve_lab lab;
	struct test_rng rng;
	int64_t blocks = test_alloc_blocks();
	uint64_t most = 0;

	test_rng_seed(&rng);
	lab_init(&lab);
	for (int round = 0; round < 100; round++) {
		enum mbj_rc rc = MBJ_ENOMEM;
		bool is_proven;
		uint32_t parks;
		uint64_t k;

		knot_random(&lab, 24, round % 2 == 0, &rng);
		lab.solver.effort_max = 1 << 18;
		lab.solver.exact_items_max = 32;
		lab.solver.states_left = 1000;
		ck_assert_int_eq(lab_solve(&lab, &is_proven), MBJ_OK);
		parks = lab.solver.best.parks;
		for (k = 1; rc != MBJ_OK; k++) {
			lab.solver.states_left = 1000;
			test_alloc_fail_at(k);
			rc = lab_solve(&lab, &is_proven);
			ck_assert(rc == MBJ_OK || rc == MBJ_ENOMEM);
		}
		test_alloc_fail_at(0);
		solution_check(&lab);
		ck_assert_uint_eq(lab.solver.best.parks, parks);
		most = k > most ? k : most;
	}
	/* Two sets of ten; three tables of 64, 128 and 256 states. */
	ck_assert_uint_gt(most, 16);
	plan_solver_done(&lab.solver);
	ck_assert_int_eq(test_alloc_blocks(), blocks);
}
END_TEST

TCase *test_plan_solve_case(void)
{
	TCase *tc = tcase_create("plan_solve");

	tcase_set_timeout(tc, 20);
	tcase_add_test(tc, test_budgets);
	tcase_add_test(tc, test_search_full);
	tcase_add_test(tc, test_search_limit);
	tcase_add_test(tc, test_memory);
	return tc;
}
