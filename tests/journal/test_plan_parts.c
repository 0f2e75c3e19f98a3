/*
 * Tests of the planner's parts against naive ones: components, a knot and its
 * way back.
 */
#include <stdlib.h>
#include <string.h>

#include "journal_cases.h"
#include "plan_priv.h"

enum { NODES_MAX = 40 };

/* --------------------------------------------------------- components */

static void reach_close(bool (*reach)[NODES_MAX], uint32_t count)
{
	for (uint32_t k = 0; k < count; k++)
		for (uint32_t i = 0; i < count; i++)
			for (uint32_t j = 0; j < count; j++)
				reach[i][j] = reach[i][j] ||
					      (reach[i][k] && reach[k][j]);
}

/* Random arcs: pairs, and lists here and there. */
static void graph_random(struct plan_graph *graph, struct test_rng *rng,
			 bool (*reach)[NODES_MAX])
{
	uint32_t length = 0;

	for (uint32_t i = 0; i < graph->count; i++) {
		uint32_t arcs = 2;
		bool is_list = test_rng_chance(rng, 1, 8);

		if (is_list) {
			arcs = (uint32_t)test_rng_below(rng, 5);
			graph->arcs[i][0] = PLAN_LIST | length;
			graph->arcs[i][1] = length + arcs;
		}
		for (uint32_t k = 0; k < arcs; k++) {
			uint32_t to =
				(uint32_t)test_rng_below(rng, graph->count);

			if (is_list)
				graph->lists[length++] = to;
			else if (test_rng_chance(rng, 1, 3))
				to = test_rng_chance(rng, 1, 2) ? PLAN_NONE
								: MBJ_NODE_ROOT;
			if (!is_list)
				graph->arcs[i][k] = to;
			if (to < graph->count)
				reach[i][to] = true;
		}
	}
}

/*
 * Goal: two nodes share a component exactly where each reaches the other, and
 * arcs lead to lower numbers.  Method: compare with reachability of all pairs
 * on random graphs.
 */
START_TEST(test_components)
{
	uint32_t arcs[NODES_MAX][2];
	uint32_t lists[5 * NODES_MAX];
	uint32_t component[NODES_MAX];
	uint32_t order[NODES_MAX];
	uint8_t is_root[NODES_MAX];
	struct test_rng rng;

	test_rng_seed(&rng);
	memset(is_root, 1, sizeof(is_root));
	for (int round = 0; round < 3000; round++) {
		bool reach[NODES_MAX][NODES_MAX] = {{false}};
		struct plan_graph graph = {
			(uint32_t)test_rng_between(&rng, 1, NODES_MAX), arcs,
			lists};
		uint32_t count = graph.count;
		uint32_t reached;

		graph_random(&graph, &rng, reach);
		reach_close(reach, count);
		ck_assert_int_eq(plan_graph_components(&graph, is_root, count,
						       component, order,
						       &reached, NULL),
				 MBJ_OK);
		ck_assert_uint_eq(reached, count);
		for (uint32_t i = 0; i < count; i++)
			for (uint32_t j = 0; j < count; j++) {
				bool is_one = component[i] == component[j];

				ck_assert(is_one == (i == j || (reach[i][j] &&
								reach[j][i])));
				ck_assert(!reach[i][j] ||
					  component[i] >= component[j]);
			}
		for (uint32_t i = 0; i + 1 < count; i++)
			ck_assert_uint_le(component[order[i]],
					  component[order[i + 1]]);
	}
}
END_TEST

/* --------------------------------------------------------------- knot */

/* A knot without meaning: references at random, above without circles. */
static void knot_random(struct knot *knot, struct test_rng *rng)
{
	uint32_t count = (uint32_t)test_rng_between(rng, 1, NODES_MAX);

	knot->count = count;
	for (uint32_t v = 0; v < count; v++)
		knot->members[v] = (struct knot_member){
			.waiter = PLAN_NONE,
			.keeper = PLAN_NONE,
			.above = {PLAN_NONE, PLAN_NONE},
			.kind = MBJ_DIFF_MOVE,
			.occupant = PLAN_NONE,
			.parent = PLAN_NONE,
			.child_first = PLAN_NONE,
			.child_next = PLAN_NONE,
			.below_first = PLAN_NONE,
			.below_next = PLAN_NONE,
		};
	for (uint32_t v = 0; v < count; v++) {
		struct knot_member *member = &knot->members[v];
		uint32_t w = (uint32_t)test_rng_below(rng, count);

		if (w != v && knot->members[w].waiter == PLAN_NONE &&
		    test_rng_chance(rng, 2, 3)) {
			knot->members[w].waiter = v;
			member->occupant = w;
			member->need++;
		}
		if (v == 0)
			continue;
		w = (uint32_t)test_rng_below(rng, v);
		if (test_rng_chance(rng, 1, 2)) {
			member->above[1] = w;
			member->is_unsettled = true;
			member->below_next = knot->members[w].below_first;
			knot->members[w].below_first = v;
		}
		member->above[0] = (uint32_t)test_rng_below(rng, v);
	}
}

/* Take any step or park, close, at random until little is left. */
static void knot_walk(struct knot *knot, struct test_rng *rng)
{
	uint32_t v = (uint32_t)test_rng_below(rng, knot->count);

	if (knot->members[v].state != KNOT_PENDING)
		return;
	if (knot->members[v].need == 0 && test_rng_chance(rng, 1, 2))
		plan_knot_do(knot, v);
	else
		plan_knot_park(knot, v);
	plan_knot_close(knot);
}

static bool knot_lists(const struct knot *knot, uint32_t v)
{
	for (uint32_t i = 0; i < knot->waiting_count; i++)
		if (knot->waiting[i] == v)
			return true;
	return false;
}

/* Invariants 2 and 3 of plan_knot.c, looked up one by one. */
static void knot_check(struct knot *knot)
{
	uint32_t waiting = 0;
	uint32_t left = 0;

	plan_knot_tidy(knot);
	for (uint32_t v = 0; v < knot->count; v++) {
		const struct knot_member *member = &knot->members[v];

		if (member->state != KNOT_PENDING)
			continue;
		left++;
		/* Nothing safe is left. */
		ck_assert(member->need > 0 || member->is_unsettled);
		if (member->need > 0)
			continue;
		waiting++;
		ck_assert(knot_lists(knot, v));
	}
	ck_assert_uint_eq(knot->waiting_count, waiting);
	ck_assert_uint_eq(knot->left, left);
}

/*
 * Goal: undoing restores a knot as it was, lists included.  Method: wander
 * about, copy, wander on, go back, compare, many times on random knots.
 */
START_TEST(test_knot)
{
	struct knot_member copy[NODES_MAX];
	struct test_rng rng;
	struct knot knot;

	test_rng_seed(&rng);
	ck_assert_int_eq(plan_knot_init(&knot, NODES_MAX, NULL), MBJ_OK);
	for (int round = 0; round < 3000; round++) {
		uint32_t base;

		knot_random(&knot, &rng);
		plan_knot_begin(&knot);
		plan_knot_close(&knot);
		knot_walk(&knot, &rng);
		knot_check(&knot);
		base = knot.trail_count;
		memcpy(copy, knot.members, knot.count * sizeof(*copy));
		for (int i = 0; i < 20; i++) {
			knot_walk(&knot, &rng);
			knot_check(&knot);
		}
		plan_knot_undo(&knot, base);
		knot_check(&knot);
		for (uint32_t v = 0; v < knot.count; v++) {
			ck_assert_uint_eq(knot.members[v].need, copy[v].need);
			ck_assert_uint_eq(knot.members[v].state, copy[v].state);
			ck_assert(knot.members[v].is_unsettled ==
				  copy[v].is_unsettled);
			ck_assert(knot.members[v].is_settled ==
				  copy[v].is_settled);
		}
	}
	plan_knot_done(&knot);
}
END_TEST

TCase *test_plan_parts_case(void)
{
	TCase *tc = tcase_create("plan_parts");

	tcase_set_timeout(tc, 20);
	tcase_add_test(tc, test_components);
	tcase_add_test(tc, test_knot);
	return tc;
}
