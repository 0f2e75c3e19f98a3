/*
 * Every edit of every small tree, through the planner, against the truth.
 *
 * Default: up to 4 mailboxes over 4 names, 457,249 pairs.  The tree before is
 * taken up to renaming of ids and, parent by parent, of names: neither changes
 * what a slot can do, so 17 trees stand for all (1 + 1 + 2 + 4 + 9, the rooted
 * trees of 1 to 5 nodes).  The tree after is any of the 26,897 on any subset
 * of the 4 ids: what it lacks is deleted, what it has more is created.
 *
 * MBJ_EXHAUSTIVE=<ids>x<names> chooses another world, up to 5x5 (hours).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/plan.h>

#include "forest.h"
#include "support.h"

enum { PARKS_MAX = FOREST_IDS_MAX };

/* What all pairs came to. */
struct tally {
	uint64_t pairs;
	uint64_t steps;
	uint64_t parks[PARKS_MAX + 1]; /* plans by number of parks */
	uint64_t unproven;
	uint64_t beyond_cycles; /* more parks than there are slot cycles */
};

/* A pair of trees as the planner sees it. */
struct pair {
	struct forest_world world;
	struct forest before;
	struct forest after;
	struct mbj_diff diff;
	struct mbj_diff_item items[FOREST_IDS_MAX];
	uint8_t kinds[FOREST_IDS_MAX];
	uint32_t ids[FOREST_IDS_MAX]; /* id of an item */
};

static bool place_is_equal(const struct forest_place *a,
			   const struct forest_place *b)
{
	return a->where == b->where && a->parent == b->parent &&
	       a->name == b->name;
}

/* Items: those before by id, then the created ones. */
static void pair_number(struct pair *pair, uint32_t item_of[FOREST_IDS_MAX])
{
	for (uint32_t i = 0; i < pair->world.ids; i++) {
		item_of[i] = MBJ_NODE_NONE;
		if (pair->before.at[i].where == FOREST_ABSENT)
			continue;
		pair->ids[pair->diff.count] = i;
		item_of[i] = pair->diff.count++;
	}
	for (uint32_t i = 0; i < pair->world.ids; i++) {
		if (pair->before.at[i].where != FOREST_ABSENT ||
		    pair->after.at[i].where == FOREST_ABSENT)
			continue;
		pair->ids[pair->diff.count] = i;
		item_of[i] = pair->diff.count++;
	}
}

static void pair_make(struct pair *pair)
{
	uint32_t item_of[FOREST_IDS_MAX];

	pair->diff = (struct mbj_diff){.items = pair->items,
				       .kind = pair->kinds,
				       .key_count = pair->world.names};
	pair_number(pair, item_of);
	for (uint32_t i = 0; i < pair->diff.count; i++) {
		const struct forest_place *place[2] = {
			&pair->before.at[pair->ids[i]],
			&pair->after.at[pair->ids[i]],
		};

		for (int side = 0; side < 2; side++) {
			const struct forest_place *p = place[side];
			uint32_t parent = MBJ_NODE_NONE;

			if (p->where == FOREST_IN_SLOT)
				parent = p->parent < 0 ? MBJ_NODE_ROOT
						       : item_of[p->parent];
			pair->items[i].parent[side] = parent;
			pair->items[i].key[side] = p->name;
		}
		pair->kinds[i] = MBJ_DIFF_MOVE;
		if (place[0]->where == FOREST_ABSENT)
			pair->kinds[i] = MBJ_DIFF_CREATE;
		else if (place[1]->where == FOREST_ABSENT)
			pair->kinds[i] = MBJ_DIFF_DELETE;
		else if (place_is_equal(place[0], place[1]))
			pair->kinds[i] = MBJ_DIFF_KEEP;
	}
}

/* What a failing pair was: id: parent/name before -> after; - is the root. */
static void pair_fail(const struct pair *pair, const char *why, size_t number)
{
	for (uint32_t i = 0; i < pair->world.ids; i++) {
		const struct forest_place *place[2] = {&pair->before.at[i],
						       &pair->after.at[i]};

		printf("  %" PRIu32 ":", i);
		for (int side = 0; side < 2; side++)
			if (place[side]->where == FOREST_ABSENT)
				printf(" absent");
			else if (place[side]->parent < 0)
				printf(" -/%" PRIu32, place[side]->name);
			else
				printf(" %d/%" PRIu32, place[side]->parent,
				       place[side]->name);
		printf("\n");
	}
	ck_abort_msg("%" PRIu32 " -> %" PRIu32 ": %s %zu",
		     forest_code(&pair->world, &pair->before),
		     forest_code(&pair->world, &pair->after), why, number);
}

/* ---------------------------------------------------------- simulation */

/* One step in the world of forests; false where it is not allowed. */
static bool pair_step(const struct pair *pair, struct forest *forest,
		      const struct mbj_step *step)
{
	uint32_t id = pair->ids[step->item];
	struct forest_place *at = &forest->at[id];
	const struct forest_place *from = &pair->before.at[id];
	const struct forest_place *to = &pair->after.at[id];

	if (step->kind == MBJ_STEP_CREATE) {
		if (at->where != FOREST_ABSENT || from->where != FOREST_ABSENT)
			return false;
	} else if (step->is_from_temp) {
		if (at->where != FOREST_IN_TEMP)
			return false;
	} else if (!place_is_equal(at, from)) {
		return false;
	}
	if (step->kind == MBJ_STEP_DELETE) {
		if (forest_has_children(&pair->world, forest, id))
			return false;
		*at = (struct forest_place){FOREST_ABSENT, -1, 0};
		return true;
	}
	if (step->is_to_temp) {
		*at = (struct forest_place){FOREST_IN_TEMP, -1, 0};
		return true;
	}
	if (!forest_can_go(&pair->world, forest, id, to->parent, to->name))
		return false;
	*at = *to;
	return true;
}

static void pair_simulate(const struct pair *pair, const struct mbj_plan *plan)
{
	struct forest forest = pair->before;

	for (size_t i = 0; i < plan->count; i++)
		if (!pair_step(pair, &forest, &plan->steps[i]))
			pair_fail(pair, "not allowed: step", i);
	ck_assert_uint_eq(forest_code(&pair->world, &forest),
			  forest_code(&pair->world, &pair->after));
}

/* --------------------------------------------------------------- tally */

/* Cycles of "wants the slot of": what tools for flat names count. */
static uint32_t pair_slot_cycles(const struct pair *pair)
{
	uint32_t next[FOREST_IDS_MAX];
	uint32_t cycles = 0;

	for (uint32_t i = 0; i < pair->diff.count; i++) {
		next[i] = MBJ_NODE_NONE;
		for (uint32_t j = 0; j < pair->diff.count; j++)
			if (j != i &&
			    pair->items[i].parent[1] ==
				    pair->items[j].parent[0] &&
			    pair->items[i].parent[1] != MBJ_NODE_NONE &&
			    pair->items[i].key[1] == pair->items[j].key[0])
				next[i] = j;
	}
	for (uint32_t i = 0; i < pair->diff.count; i++) {
		uint32_t at = next[i];
		bool is_lowest = true;

		for (uint32_t n = 0;
		     n < FOREST_IDS_MAX && at != i && at != MBJ_NODE_NONE;
		     n++) {
			is_lowest = is_lowest && at > i;
			at = next[at];
		}
		cycles += at == i && is_lowest;
	}
	return cycles;
}

static void pair_plan(const struct pair *pair, uint8_t optimum,
		      struct tally *tally)
{
	const struct mbj_plan_options options = MBJ_PLAN_OPTIONS_DEFAULT;
	struct mbj_plan plan;
	struct mbj_error err;

	if (mbj_plan_make(&pair->diff, &options, &plan, &err) != MBJ_OK)
		pair_fail(pair, err.message, 0);
	ck_assert_int_eq(mbj_plan_check(&pair->diff, plan.steps, plan.count,
					&err),
			 MBJ_OK);
	pair_simulate(pair, &plan);
	if (plan.count != optimum)
		pair_fail(pair, "not the shortest: steps", plan.count);
	ck_assert_uint_eq(plan.count, plan.lower_bound + plan.parks);
	tally->pairs++;
	tally->steps += plan.count;
	tally->parks[plan.parks]++;
	tally->unproven += !plan.is_proven;
	tally->beyond_cycles += plan.parks > pair_slot_cycles(pair);
	mbj_plan_done(&plan);
}

static void tally_print(const struct forest_world *world,
			const struct tally *tally, size_t shapes, size_t trees)
{
	printf("exhaustive %" PRIu32 " mailboxes, %" PRIu32 " names: %zu x %zu "
	       "= %" PRIu64 " pairs, %" PRIu64 " steps\n",
	       world->ids, world->names, shapes, trees, tally->pairs,
	       tally->steps);
	for (int i = 0; i <= PARKS_MAX; i++)
		if (tally->parks[i] > 0)
			printf("  %d parks: %" PRIu64 "\n", i, tally->parks[i]);
	printf("  more parks than slot cycles: %" PRIu64 "\n",
	       tally->beyond_cycles);
	printf("  longer than the optimum: 0, not proven: %" PRIu64 "\n",
	       tally->unproven);
}

static void run_world(uint32_t ids, uint32_t names, struct tally *tally)
{
	struct pair pair;
	size_t shape_count;
	size_t tree_count;
	uint32_t *shapes;
	uint32_t *trees;
	uint32_t *queue;
	uint8_t *distance;

	forest_world_init(&pair.world, ids, names);
	shapes = forest_list_shapes(&pair.world, &shape_count);
	trees = forest_list(&pair.world, &tree_count);
	queue = malloc(pair.world.codes * sizeof(*queue));
	distance = malloc(pair.world.codes);
	ck_assert(queue != NULL && distance != NULL);
	for (size_t s = 0; s < shape_count; s++) {
		forest_decode(&pair.world, shapes[s], &pair.before);
		(void)forest_search(&pair.world, shapes[s], queue, distance);
		for (size_t t = 0; t < tree_count; t++) {
			ck_assert_uint_ne(distance[trees[t]], FOREST_UNREACHED);
			forest_decode(&pair.world, trees[t], &pair.after);
			pair_make(&pair);
			pair_plan(&pair, distance[trees[t]], tally);
		}
	}
	tally_print(&pair.world, tally, shape_count, tree_count);
	free(distance);
	free(queue);
	free(trees);
	free(shapes);
}

/*
 * Goal: every plan is valid, and no sequence of steps whatever is shorter.
 * Method: for each tree before a breadth-first search over all valid trees
 * (TEMP included) gives the distance of each tree after, which each plan,
 * simulated here step by step, must match.
 */
START_TEST(test_all_pairs)
{
	const char *choice = getenv("MBJ_EXHAUSTIVE");
	struct tally tally = {0};
	unsigned ids = 4;
	unsigned names = 4;

	if (choice != NULL) {
		ck_assert_int_eq(sscanf(choice, "%ux%u", &ids, &names), 2);
		ck_assert(ids >= 1 && names >= 1);
	}
	run_world(ids, names, &tally);
	ck_assert_uint_eq(tally.unproven, 0);
	if (ids == 4 && names == 4)
		ck_assert_uint_eq(tally.pairs, 457249);
}
END_TEST

static TCase *test_exhaustive_case(void)
{
	TCase *tc = tcase_create("exhaustive");

	tcase_set_timeout(tc, 0);
	tcase_add_test(tc, test_all_pairs);
	return tc;
}

int main(void)
{
	static const test_case_fn cases[] = {test_exhaustive_case};

	return test_run("exhaustive", cases, 1);
}
