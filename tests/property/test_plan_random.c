/*
 * The planner on random trees: too large for all pairs, so that knots of any
 * shape meet, but each plan simulated here by rules written anew, and on the
 * smaller ones compared with a search over every order of steps and parks.
 *
 * MBJ_SEED=<number> repeats a run, MBJ_ROUNDS=<number> makes it longer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/plan.h>

#include "support.h"

enum {
	ITEMS_MAX = 400,
	SEARCH_ITEMS_MAX = 9, /* 3 to the power of it: states of a search */
	SEARCH_STATES_MAX = 19683,
};

enum where { BEFORE, IN_TEMP, AFTER };

/* An edit of at most ITEMS_MAX mailboxes. */
struct edit {
	struct mbj_diff diff;
	struct mbj_diff_item items[ITEMS_MAX];
	uint8_t kinds[ITEMS_MAX];
};

/* --------------------------------------------------------------- rules */

/* Where an item is now: a parent or NONE for absent, TEMP; and its key. */
static uint32_t parent_now(const struct edit *edit, const uint8_t *where,
			   uint32_t item)
{
	if (where[item] == IN_TEMP)
		return MBJ_NODE_TEMP;
	return edit->items[item].parent[where[item] == AFTER];
}

static bool slot_is_free(const struct edit *edit, const uint8_t *where,
			 uint32_t item)
{
	const struct mbj_diff_item *wanted = &edit->items[item];

	for (uint32_t i = 0; i < edit->diff.count; i++)
		if (i != item &&
		    parent_now(edit, where, i) == wanted->parent[1] &&
		    edit->items[i].key[where[i] == AFTER] == wanted->key[1])
			return false;
	return true;
}

/* Can item be in its place after, everybody else staying where they are? */
static bool can_arrive(const struct edit *edit, const uint8_t *where,
		       uint32_t item)
{
	uint32_t at = edit->items[item].parent[1];

	if (edit->kinds[item] == MBJ_DIFF_DELETE) {
		for (uint32_t i = 0; i < edit->diff.count; i++)
			if (parent_now(edit, where, i) == item)
				return false;
		return true;
	}
	if (!slot_is_free(edit, where, item))
		return false;
	if (at != MBJ_NODE_ROOT && parent_now(edit, where, at) == MBJ_NODE_NONE)
		return false;
	while (at != MBJ_NODE_ROOT && at != MBJ_NODE_TEMP) {
		if (at == item)
			return false;
		at = parent_now(edit, where, at);
	}
	return true;
}

static void simulate(const struct edit *edit, const struct mbj_plan *plan)
{
	uint8_t where[ITEMS_MAX] = {BEFORE};

	for (size_t i = 0; i < plan->count; i++) {
		const struct mbj_step *step = &plan->steps[i];
		uint8_t *at = &where[step->item];
		uint8_t kind = edit->kinds[step->item];
		uint8_t expected = MBJ_STEP_MOVE;

		ck_assert_uint_eq(*at, step->is_from_temp ? IN_TEMP : BEFORE);
		if (kind == MBJ_DIFF_CREATE && !step->is_from_temp)
			expected = MBJ_STEP_CREATE;
		if (kind == MBJ_DIFF_DELETE && !step->is_to_temp)
			expected = MBJ_STEP_DELETE;
		ck_assert_uint_eq(step->kind, expected);
		ck_assert(step->is_to_temp ||
			  can_arrive(edit, where, step->item));
		*at = step->is_to_temp ? IN_TEMP : AFTER;
	}
	for (uint32_t i = 0; i < edit->diff.count; i++)
		ck_assert_uint_eq(where[i], edit->kinds[i] == MBJ_DIFF_KEEP
						    ? BEFORE
						    : AFTER);
}

/* ---------------------------------------------------------- generation */

/* Put the items of one side, in random order, into free slots. */
static void side_random(struct edit *edit, struct test_rng *rng, int side,
			uint32_t names, unsigned depth_bias)
{
	uint32_t order[ITEMS_MAX];
	uint32_t count = edit->diff.count;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t j = (uint32_t)test_rng_below(rng, i + 1);

		order[i] = order[j];
		order[j] = i;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct mbj_diff_item *item = &edit->items[order[i]];
		bool is_taken = true;

		while (is_taken && item->parent[side] != MBJ_NODE_NONE) {
			uint32_t p = (uint32_t)test_rng_below(rng, i + 1);

			/* Parents that came late make deep trees. */
			if (i > 0 && test_rng_chance(rng, depth_bias, 4))
				p = i - 1;
			if (p < i &&
			    edit->items[order[p]].parent[side] == MBJ_NODE_NONE)
				continue;
			item->parent[side] = p < i ? order[p] : MBJ_NODE_ROOT;
			item->key[side] = (uint32_t)test_rng_below(rng, names);
			is_taken = false;
			for (uint32_t k = 0; k < i && !is_taken; k++) {
				const struct mbj_diff_item *other =
					&edit->items[order[k]];

				is_taken = other->parent[side] ==
						   item->parent[side] &&
					   other->key[side] == item->key[side];
			}
		}
	}
}

static void edit_random(struct edit *edit, struct test_rng *rng, uint32_t count,
			uint32_t names)
{
	unsigned depth_bias = (unsigned)test_rng_below(rng, 4);
	unsigned absent = (unsigned)test_rng_below(rng, 4);

	edit->diff = (struct mbj_diff){.count = count,
				       .key_count = names,
				       .items = edit->items,
				       .kind = edit->kinds};
	for (uint32_t i = 0; i < count; i++) {
		struct mbj_diff_item *item = &edit->items[i];

		*item = (struct mbj_diff_item){{0, 0}, {0, 0}};
		if (test_rng_chance(rng, absent, 10))
			item->parent[test_rng_below(rng, 2)] = MBJ_NODE_NONE;
	}
	side_random(edit, rng, 0, names, depth_bias);
	side_random(edit, rng, 1, names, depth_bias);
	for (uint32_t i = 0; i < count; i++) {
		const struct mbj_diff_item *item = &edit->items[i];

		edit->kinds[i] = MBJ_DIFF_MOVE;
		if (item->parent[0] == MBJ_NODE_NONE)
			edit->kinds[i] = MBJ_DIFF_CREATE;
		else if (item->parent[1] == MBJ_NODE_NONE)
			edit->kinds[i] = MBJ_DIFF_DELETE;
		else if (item->parent[0] == item->parent[1] &&
			 item->key[0] == item->key[1])
			edit->kinds[i] = test_rng_chance(rng, 1, 2)
						 ? MBJ_DIFF_KEEP
						 : MBJ_DIFF_MOVE;
	}
}

/* -------------------------------------------------------------- search */

static uint32_t state_code(const uint8_t *where, uint32_t count)
{
	uint32_t code = 0;

	for (uint32_t i = count; i-- > 0;)
		code = code * 3 + where[i];
	return code;
}

/*
 * The fewest steps if each changed item goes to its place, by way of TEMP or
 * not: breadth first over all of where everybody can be.
 */
static uint32_t search_shortest(const struct edit *edit)
{
	static uint32_t queue[SEARCH_STATES_MAX];
	static uint8_t distance[SEARCH_STATES_MAX];
	uint8_t where[SEARCH_ITEMS_MAX] = {BEFORE};
	uint8_t goal[SEARCH_ITEMS_MAX];
	uint32_t count = edit->diff.count;
	size_t tail = 1;

	for (uint32_t i = 0; i < count; i++)
		goal[i] = edit->kinds[i] == MBJ_DIFF_KEEP ? BEFORE : AFTER;
	memset(distance, 0xff, sizeof(distance));
	queue[0] = 0;
	distance[0] = 0;
	for (size_t head = 0; head < tail; head++) {
		uint32_t code = queue[head];

		for (uint32_t i = 0, rest = code; i < count; i++, rest /= 3)
			where[i] = (uint8_t)(rest % 3);
		for (uint32_t i = 0; i < count; i++)
			for (uint8_t to = where[i] + 1; to <= goal[i]; to++) {
				uint8_t from = where[i];
				uint32_t next;

				if (to == AFTER && !can_arrive(edit, where, i))
					continue;
				where[i] = to;
				next = state_code(where, count);
				where[i] = from;
				if (distance[next] != 0xff)
					continue;
				distance[next] = (uint8_t)(distance[code] + 1);
				queue[tail++] = next;
			}
	}
	return distance[state_code(goal, count)];
}

/* --------------------------------------------------------------- tests */

static uint64_t rounds(uint64_t standard)
{
	const char *text = getenv("MBJ_ROUNDS");

	return text == NULL ? standard : strtoull(text, NULL, 0);
}

static void plan_random(const struct edit *edit, struct mbj_plan *ret_plan)
{
	const struct mbj_plan_options options = MBJ_PLAN_OPTIONS_DEFAULT;
	struct mbj_error err;

	if (mbj_plan_make(&edit->diff, &options, ret_plan, &err) != MBJ_OK)
		ck_abort_msg("%s", err.message);
	simulate(edit, ret_plan);
	ck_assert_uint_le(ret_plan->lower_bound, ret_plan->count);
	ck_assert_uint_eq(ret_plan->count,
			  ret_plan->lower_bound + ret_plan->parks);
}

/*
 * Goal: plans of trees with up to nine mailboxes are the shortest.  Method:
 * compare with a search that knows neither knots nor tangles.
 */
START_TEST(test_shortest)
{
	struct test_rng rng;
	static struct edit edit;
	uint64_t parks = 0;
	uint64_t n = rounds(4000);

	test_rng_seed(&rng);
	for (uint64_t i = 0; i < n; i++) {
		uint32_t count =
			(uint32_t)test_rng_between(&rng, 4, SEARCH_ITEMS_MAX);
		uint32_t names = (uint32_t)test_rng_between(&rng, 1, 3);
		struct mbj_plan plan;
		uint32_t shortest;

		edit_random(&edit, &rng, count, names);
		plan_random(&edit, &plan);
		shortest = search_shortest(&edit);
		ck_assert_msg(plan.count == shortest,
			      "round %zu: %zu steps, %u are enough", (size_t)i,
			      plan.count, shortest);
		ck_assert(plan.is_proven);
		parks += plan.parks;
		mbj_plan_done(&plan);
	}
	printf("random: %zu edits, all shortest, %zu parks\n", (size_t)n,
	       (size_t)parks);
}
END_TEST

/*
 * Goal: plans of larger trees are valid and no shorter than can be.  Method:
 * simulate each by naive rules.
 */
START_TEST(test_valid)
{
	struct test_rng rng;
	static struct edit edit;
	uint64_t parks = 0;
	uint64_t changes = 0;
	uint64_t proven = 0;
	uint64_t n = rounds(2000);

	test_rng_seed(&rng);
	for (uint64_t i = 0; i < n; i++) {
		uint32_t bound = test_rng_chance(&rng, 1, 10) ? ITEMS_MAX : 60;
		uint32_t count = (uint32_t)test_rng_between(&rng, 1, bound);
		uint32_t names = (uint32_t)test_rng_between(&rng, 1, 8);
		struct mbj_plan plan;

		edit_random(&edit, &rng, count, names);
		plan_random(&edit, &plan);
		parks += plan.parks;
		changes += plan.lower_bound;
		proven += plan.is_proven;
		mbj_plan_done(&plan);
	}
	printf("random: %zu edits, %zu changes, %zu parks, %zu proven\n",
	       (size_t)n, (size_t)changes, (size_t)parks, (size_t)proven);
}
END_TEST

static TCase *test_plan_random_case(void)
{
	TCase *tc = tcase_create("plan_random");

	tcase_set_timeout(tc, 0);
	tcase_add_test(tc, test_shortest);
	tcase_add_test(tc, test_valid);
	return tc;
}

int main(void)
{
	static const test_case_fn cases[] = {test_plan_random_case};

	return test_run("plan_random", cases, 1);
}
