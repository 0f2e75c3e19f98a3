/*
 * Tests of feedback vertex sets of knots against what they are by definition:
 * without the set no cycle is left, and none is smaller than the lower bound
 * says.
 */
#include <string.h>

#include "journal_cases.h"
#include "plan_priv.h"

enum { LARGE_MAX = 90, SMALL_MAX = 9 };

/* What the arcs of a knot say, written down once more. */
struct naive {
	uint32_t count;
	bool is_live[LARGE_MAX];
	bool has_arc[LARGE_MAX][LARGE_MAX];
};

/* Another member than v, or none. */
static uint32_t other_random(struct test_rng *rng, uint32_t v, uint32_t count)
{
	uint32_t w = (uint32_t)test_rng_below(rng, count);

	return w != v ? w : PLAN_NONE;
}

/*
 * References at random, no matter what trees they could come from: of a few
 * hubs, which many are to be created in, which many have to leave or which
 * many have above them, and of anybody.
 */
static void knot_random(struct knot *knot, struct test_rng *rng, uint32_t count,
			uint32_t hubs)
{
	uint32_t density = (uint32_t)test_rng_below(rng, 5);

	knot->count = count;
	knot->left = 0;
	for (uint32_t v = 0; v < count; v++) {
		struct knot_member *member = &knot->members[v];

		*member = (struct knot_member){
			.above = {PLAN_NONE, PLAN_NONE},
			.occupant = PLAN_NONE,
			.parent = PLAN_NONE,
			.keeper = PLAN_NONE,
			.is_unsettled = test_rng_chance(rng, 3, 4),
			.state = test_rng_chance(rng, 1, 16) ? KNOT_PARKED
							     : KNOT_PENDING,
		};
		knot->left += member->state == KNOT_PENDING;
		if (test_rng_chance(rng, 3 + density, 8))
			member->occupant = other_random(rng, v, count);
		if (test_rng_chance(rng, 1 + density, 8))
			member->parent = other_random(rng, v, hubs);
		if (test_rng_chance(rng, 1 + density, 8))
			member->keeper = other_random(rng, v, hubs);
		if (test_rng_chance(rng, 1 + density, 8))
			member->above[MBJ_AFTER] = other_random(rng, v, hubs);
		else if (test_rng_chance(rng, 1, 4))
			member->above[MBJ_AFTER] = member->parent;
		/* What is above and the parent are two to nobody. */
		if (member->above[MBJ_AFTER] == PLAN_NONE)
			member->is_unsettled = false;
	}
}

static void naive_arc(struct naive *naive, uint32_t from, uint32_t to)
{
	if (from != PLAN_NONE && to != PLAN_NONE)
		naive->has_arc[from][to] = true;
}

static void naive_read(struct naive *naive, const struct knot *knot,
		       bool with_above)
{
	memset(naive, 0, sizeof(*naive));
	naive->count = knot->count;
	for (uint32_t v = 0; v < knot->count; v++) {
		const struct knot_member *member = &knot->members[v];

		naive->is_live[v] = member->state == KNOT_PENDING;
		naive_arc(naive, v, member->occupant);
		naive_arc(naive, v, member->parent);
		naive_arc(naive, member->keeper, v);
		if (with_above && member->is_unsettled)
			naive_arc(naive, v, member->above[MBJ_AFTER]);
	}
}

/* Take away whoever has no arc to somebody who is there, until nobody is. */
static bool naive_is_acyclic(const struct naive *naive)
{
	bool is_there[LARGE_MAX];
	bool is_falling = true;

	memcpy(is_there, naive->is_live, sizeof(is_there));
	while (is_falling) {
		is_falling = false;
		for (uint32_t v = 0; v < naive->count; v++) {
			bool has_arc = false;

			for (uint32_t w = 0; w < naive->count; w++)
				has_arc = has_arc ||
					  (is_there[w] && naive->has_arc[v][w]);
			if (!is_there[v] || has_arc)
				continue;
			is_there[v] = false;
			is_falling = true;
		}
	}
	for (uint32_t v = 0; v < naive->count; v++)
		if (is_there[v])
			return false;
	return true;
}

/* The size of a smallest set, by trying them all. */
static uint32_t naive_smallest(const struct naive *naive)
{
	struct naive rest = *naive;
	uint32_t smallest = naive->count;

	ck_assert_uint_le(naive->count, SMALL_MAX);
	for (uint32_t set = 0; set < 1u << naive->count; set++) {
		uint32_t size = 0;

		for (uint32_t v = 0; v < naive->count; v++) {
			bool is_taken = (set >> v & 1) != 0;

			rest.is_live[v] = naive->is_live[v] && !is_taken;
			size += is_taken;
		}
		if (size < smallest && naive_is_acyclic(&rest))
			smallest = size;
	}
	return smallest;
}

static void set_check(const struct knot *knot, bool with_above)
{
	static struct naive naive;
	uint32_t members[LARGE_MAX];
	uint32_t count;
	uint32_t lower;

	ck_assert_int_eq(plan_fvs_find(knot, with_above, members, &count,
				       &lower, NULL),
			 MBJ_OK);
	naive_read(&naive, knot, with_above);
	ck_assert_uint_le(lower, count);
	if (knot->count <= SMALL_MAX) {
		uint32_t smallest = naive_smallest(&naive);

		ck_assert_uint_le(lower, smallest);
		ck_assert_uint_le(smallest, count);
	}
	for (uint32_t i = 0; i < count; i++) {
		ck_assert_uint_lt(members[i], knot->count);
		/* Pending, and not the second time. */
		ck_assert(naive.is_live[members[i]]);
		naive.is_live[members[i]] = false;
	}
	ck_assert(naive_is_acyclic(&naive));
}

/*
 * Goal: what is found is a feedback vertex set, and the lower bound is one.
 * Method: random graphs, of which small ones are searched, and large ones
 * have nodes with dozens of arcs, so that no rule applies and a node has to be
 * guessed.
 */
START_TEST(test_sets)
{
	struct test_rng rng;
	struct knot knot;

	test_rng_seed(&rng);
	ck_assert_int_eq(plan_knot_init(&knot, LARGE_MAX, NULL), MBJ_OK);
	for (int round = 0; round < 1200; round++) {
		bool is_small = round % 2 == 0;
		uint32_t most = is_small ? SMALL_MAX : LARGE_MAX;
		uint32_t count = (uint32_t)test_rng_between(&rng, 2, most);
		uint32_t hubs =
			(uint32_t)test_rng_between(&rng, 1,
						   is_small ? count
							    : (count + 8) / 9);

		knot_random(&knot, &rng, count, hubs);
		set_check(&knot, false);
		set_check(&knot, true);
	}
	plan_knot_done(&knot);
}
END_TEST

/*
 * Goal: a failed allocation is reported and leaks nothing.  Method: fail each
 * in turn, on graphs some of which need a guess.
 */
START_TEST(test_memory)
{
	uint32_t members[LARGE_MAX];
	int64_t blocks = test_alloc_blocks();
	struct test_rng rng;
	struct knot knot;
	uint32_t count;
	uint32_t lower;
	uint64_t most = 0;

	test_rng_seed(&rng);
	ck_assert_int_eq(plan_knot_init(&knot, LARGE_MAX, NULL), MBJ_OK);
	for (int round = 0; round < 100; round++) {
		enum mbj_rc rc = MBJ_ENOMEM;
		uint64_t tries = 0;

		knot_random(&knot, &rng, LARGE_MAX, LARGE_MAX / 9);
		while (rc != MBJ_OK) {
			test_alloc_fail_at(++tries);
			rc = plan_fvs_find(&knot, true, members, &count, &lower,
					   NULL);
			ck_assert(rc == MBJ_OK || rc == MBJ_ENOMEM);
		}
		most = tries > most ? tries : most;
	}
	test_alloc_fail_at(0);
	/* Numbers, nodes, arcs, what to look at, what to guess: five. */
	ck_assert_uint_eq(most, 6);
	plan_knot_done(&knot);
	ck_assert_int_eq(test_alloc_blocks(), blocks);
}
END_TEST

TCase *test_plan_fvs_case(void)
{
	TCase *tc = tcase_create("plan_fvs");

	tcase_set_timeout(tc, 20);
	tcase_add_test(tc, test_sets);
	tcase_add_test(tc, test_memory);
	return tc;
}
