/*
 * Trees of up to four mailboxes over four names, each into each, measured
 * against a search that knows every place of every mailbox.
 */
#include <stdlib.h>

#include "exhaustive.h"
#include "forest.h"

static struct small_place place_from(const struct forest_place *place,
				     const int8_t number[FOREST_IDS_MAX])
{
	if (place->where != FOREST_IN_SLOT)
		return (struct small_place){SMALL_ABSENT, 0};
	return (struct small_place){place->parent < 0 ? SMALL_ROOT
						      : number[place->parent],
				    (uint8_t)place->name};
}

/* Two forests as an edit of those mailboxes that are in either. */
static void small_from(const struct forest_world *world,
		       const struct forest *before, const struct forest *after,
		       struct small *ret_small)
{
	int8_t number[FOREST_IDS_MAX];
	int8_t count = 0;

	for (uint32_t i = 0; i < world->ids; i++)
		if (before->at[i].where != FOREST_ABSENT ||
		    after->at[i].where != FOREST_ABSENT)
			number[i] = count++;
		else
			number[i] = -1;
	*ret_small = (struct small){.count = (uint32_t)count};
	for (uint32_t i = 0; i < world->ids; i++) {
		if (number[i] < 0)
			continue;
		ret_small->before[number[i]] =
			place_from(&before->at[i], number);
		ret_small->after[number[i]] = place_from(&after->at[i], number);
	}
}

/*
 * All pairs of trees over so many mailboxes and names: those before up to
 * renaming, those after any on any subset.  Each time the search of small.h
 * must come to what a search that knows every place of every mailbox says.
 */
static bool source_pairs(const uint32_t numbers[3], family_each *each,
			 void *context)
{
	struct small_search *search = small_search_new();
	struct forest_world world;
	size_t shape_count, tree_count;
	uint32_t *shapes, *trees, *queue;
	uint8_t *distance;

	forest_world_init(&world, numbers[0], numbers[1]);
	shapes = forest_list_shapes(&world, &shape_count);
	trees = forest_list(&world, &tree_count);
	queue = malloc(world.codes * sizeof(*queue));
	distance = malloc(world.codes);
	SMALL_CHECK(queue != NULL && distance != NULL);
	for (size_t s = 0; s < shape_count; s++) {
		struct forest before, after;

		forest_decode(&world, shapes[s], &before);
		(void)forest_search(&world, shapes[s], queue, distance);
		for (size_t t = 0; t < tree_count; t++) {
			struct small small;

			forest_decode(&world, trees[t], &after);
			small_from(&world, &before, &after, &small);
			SMALL_CHECK(small_parks(search, &small) +
					    small_changes(&small) ==
				    distance[trees[t]]);
			if (!each(context, &small))
				return false;
		}
	}
	free(distance);
	free(queue);
	free(trees);
	free(shapes);
	small_search_free(&search);
	return true;
}

/*
 * Goal: no sequence of steps whatever is shorter than a plan.  Method: for
 * each tree before a breadth-first search over all valid trees (TEMP
 * included) gives the distance of each tree after.
 */
START_TEST(test_pairs)
{
	const struct hunt hunt = {
		.name = "pairs of up to 4, 4 names",
		.source = source_pairs,
		.numbers = {4, 4},
		.one_in = 1,
	};
	struct exam_tally tally;

	hunt_expect(&hunt, &tally);
	ck_assert_uint_eq(tally.cases, 457249);
}
END_TEST

TCase *test_pairs_case(void)
{
	return hunt_case("pairs", test_pairs, 1);
}
