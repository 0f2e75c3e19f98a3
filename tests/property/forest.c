/*
 * Very small trees of mailboxes: codes, rules, enumeration, search.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "forest.h"
#include "small.h"

enum { PLACE_ABSENT = 0, PLACE_TEMP = 1, PLACE_SLOTS = 2 };

/* Characters of a shape: two for each id, and a NUL. */
enum { SHAPE_SIZE = 2 * FOREST_IDS_MAX + 3, SHAPES_MAX = 64 };

void forest_world_init(struct forest_world *world, uint32_t ids, uint32_t names)
{
	SMALL_CHECK(ids <= FOREST_IDS_MAX);
	SMALL_CHECK(names <= FOREST_NAMES_MAX);
	world->ids = ids;
	world->names = names;
	world->places = PLACE_SLOTS + (ids + 1) * names;
	world->codes = 1;
	for (uint32_t i = 0; i < ids; i++)
		world->codes *= world->places;
}

static uint32_t place_number(const struct forest_world *world,
			     const struct forest_place *place)
{
	if (place->where == FOREST_ABSENT)
		return PLACE_ABSENT;
	if (place->where == FOREST_IN_TEMP)
		return PLACE_TEMP;
	return PLACE_SLOTS + (uint32_t)(place->parent + 1) * world->names +
	       place->name;
}

static struct forest_place place_from(const struct forest_world *world,
				      uint32_t number)
{
	struct forest_place place = {FOREST_ABSENT, -1, 0};

	if (number == PLACE_TEMP)
		place.where = FOREST_IN_TEMP;
	if (number < PLACE_SLOTS)
		return place;
	place.where = FOREST_IN_SLOT;
	place.parent = (int)((number - PLACE_SLOTS) / world->names) - 1;
	place.name = (number - PLACE_SLOTS) % world->names;
	return place;
}

uint32_t forest_code(const struct forest_world *world,
		     const struct forest *forest)
{
	uint32_t code = 0;

	for (uint32_t i = world->ids; i-- > 0;)
		code = code * world->places +
		       place_number(world, &forest->at[i]);
	return code;
}

void forest_decode(const struct forest_world *world, uint32_t code,
		   struct forest *ret_forest)
{
	for (uint32_t i = 0; i < world->ids; i++) {
		ret_forest->at[i] = place_from(world, code % world->places);
		code /= world->places;
	}
}

/* --------------------------------------------------------------- rules */

static bool is_in_slot(const struct forest_place *place, int parent,
		       uint32_t name)
{
	return place->where == FOREST_IN_SLOT && place->parent == parent &&
	       place->name == name;
}

/* Walk up from id (-1: the root): true where that passes stop. */
static bool walk_meets(const struct forest_world *world,
		       const struct forest *forest, int id, int stop)
{
	for (uint32_t steps = 0; steps <= world->ids; steps++) {
		if (id == stop)
			return true;
		if (id < 0 || forest->at[id].where != FOREST_IN_SLOT)
			return false;
		id = forest->at[id].parent;
	}
	return true;
}

bool forest_is_valid(const struct forest_world *world,
		     const struct forest *forest)
{
	for (uint32_t i = 0; i < world->ids; i++) {
		const struct forest_place *place = &forest->at[i];

		if (place->where != FOREST_IN_SLOT)
			continue;
		if (place->parent >= 0 &&
		    forest->at[place->parent].where == FOREST_ABSENT)
			return false;
		if (walk_meets(world, forest, place->parent, (int)i))
			return false;
		for (uint32_t j = 0; j < i; j++)
			if (is_in_slot(&forest->at[j], place->parent,
				       place->name))
				return false;
	}
	return true;
}

bool forest_has_children(const struct forest_world *world,
			 const struct forest *forest, uint32_t id)
{
	for (uint32_t i = 0; i < world->ids; i++)
		if (forest->at[i].where == FOREST_IN_SLOT &&
		    forest->at[i].parent == (int)id)
			return true;
	return false;
}

bool forest_can_go(const struct forest_world *world,
		   const struct forest *forest, uint32_t id, int parent,
		   uint32_t name)
{
	for (uint32_t i = 0; i < world->ids; i++)
		if (is_in_slot(&forest->at[i], parent, name))
			return false;
	if (parent < 0)
		return true;
	return forest->at[parent].where != FOREST_ABSENT &&
	       !walk_meets(world, forest, parent, (int)id);
}

/* --------------------------------------------------------- enumeration */

static bool forest_has_temp(const struct forest_world *world,
			    const struct forest *forest)
{
	for (uint32_t i = 0; i < world->ids; i++)
		if (forest->at[i].where == FOREST_IN_TEMP)
			return true;
	return false;
}

uint32_t *forest_list(const struct forest_world *world, size_t *ret_count)
{
	size_t capacity = 1024;
	size_t count = 0;
	uint32_t *codes = malloc(capacity * sizeof(*codes));

	SMALL_CHECK(codes != NULL);
	for (uint32_t code = 0; code < world->codes; code++) {
		struct forest forest;

		forest_decode(world, code, &forest);
		if (forest_has_temp(world, &forest) ||
		    !forest_is_valid(world, &forest))
			continue;
		if (count == capacity) {
			capacity *= 2;
			codes = realloc(codes, capacity * sizeof(*codes));
			SMALL_CHECK(codes != NULL);
		}
		codes[count++] = code;
	}
	*ret_count = count;
	return codes;
}

static int shape_compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* "(" + the shapes of the children, in order, + ")"; false: some lack one. */
static bool shape_of(const struct forest_world *world,
		     const struct forest *forest, int parent,
		     char (*shapes)[SHAPE_SIZE], char *ret_shape)
{
	char children[FOREST_IDS_MAX][SHAPE_SIZE];
	size_t count = 0;
	size_t n = 0;

	for (uint32_t i = 0; i < world->ids; i++) {
		if (forest->at[i].where != FOREST_IN_SLOT ||
		    forest->at[i].parent != parent)
			continue;
		if (shapes[i][0] == '\0')
			return false;
		memcpy(children[count++], shapes[i], SHAPE_SIZE);
	}
	qsort(children, count, SHAPE_SIZE, shape_compare);
	ret_shape[n++] = '(';
	for (size_t k = 0; k < count; k++) {
		size_t length = strlen(children[k]);

		SMALL_CHECK(n + length + 1 < SHAPE_SIZE);
		memcpy(&ret_shape[n], children[k], length);
		n += length;
	}
	ret_shape[n++] = ')';
	ret_shape[n] = '\0';
	return true;
}

/*
 * The shape of the forest as brackets, the shapes of siblings in order: equal
 * for two forests exactly where one is the other with its ids and, parent by
 * parent, its names renamed.  In rounds from the leaves up: no recursion.
 */
static void forest_shape(const struct forest_world *world,
			 const struct forest *forest, char *ret_shape)
{
	char shapes[FOREST_IDS_MAX][SHAPE_SIZE] = {{0}};

	while (!shape_of(world, forest, -1, shapes, ret_shape))
		for (uint32_t i = 0; i < world->ids; i++) {
			char shape[SHAPE_SIZE];

			if (shape_of(world, forest, (int)i, shapes, shape))
				memcpy(shapes[i], shape, SHAPE_SIZE);
		}
}

/* Present ids are 0 .. k - 1, names of siblings 0 .. c - 1. */
static bool forest_is_packed(const struct forest_world *world,
			     const struct forest *forest)
{
	for (uint32_t i = 0; i < world->ids; i++) {
		const struct forest_place *place = &forest->at[i];
		bool has_lower = false;

		if (i > 0 && place->where != FOREST_ABSENT &&
		    forest->at[i - 1].where == FOREST_ABSENT)
			return false;
		if (place->where != FOREST_IN_SLOT || place->name == 0)
			continue;
		for (uint32_t j = 0; j < world->ids; j++)
			if (is_in_slot(&forest->at[j], place->parent,
				       place->name - 1))
				has_lower = true;
		if (!has_lower)
			return false;
	}
	return true;
}

uint32_t *forest_list_shapes(const struct forest_world *world,
			     size_t *ret_count)
{
	char seen[SHAPES_MAX][SHAPE_SIZE];
	uint32_t *codes;
	size_t count;
	size_t kept = 0;

	codes = forest_list(world, &count);
	for (size_t i = 0; i < count; i++) {
		char shape[SHAPE_SIZE];
		struct forest forest;
		bool is_new = true;

		forest_decode(world, codes[i], &forest);
		if (!forest_is_packed(world, &forest))
			continue;
		forest_shape(world, &forest, shape);
		for (size_t k = 0; k < kept && is_new; k++)
			is_new = strcmp(seen[k], shape) != 0;
		if (!is_new)
			continue;
		SMALL_CHECK(kept < SHAPES_MAX);
		memcpy(seen[kept], shape, SHAPE_SIZE);
		codes[kept++] = codes[i];
	}
	*ret_count = kept;
	return codes;
}

/* -------------------------------------------------------------- search */

struct search {
	const struct forest_world *world;
	uint32_t *queue;
	size_t tail;
	uint8_t *distance;
	uint8_t next; /* distance of what is found now */
};

static void search_find(struct search *search, const struct forest *forest,
			uint32_t id, struct forest_place place)
{
	struct forest next = *forest;
	uint32_t code;

	next.at[id] = place;
	code = forest_code(search->world, &next);
	if (search->distance[code] != FOREST_UNREACHED)
		return;
	search->distance[code] = search->next;
	search->queue[search->tail++] = code;
}

/* All steps of one mailbox. */
static void search_steps(struct search *search, const struct forest *forest,
			 uint32_t id, bool was_there)
{
	const struct forest_world *world = search->world;
	const struct forest_place *place = &forest->at[id];

	/* Deleted is deleted: an id is never used again. */
	if (place->where == FOREST_ABSENT && was_there)
		return;
	if (place->where != FOREST_IN_TEMP)
		search_find(search, forest, id,
			    (struct forest_place){FOREST_IN_TEMP, -1, 0});
	if (was_there && !forest_has_children(world, forest, id))
		search_find(search, forest, id,
			    (struct forest_place){FOREST_ABSENT, -1, 0});
	for (int parent = -1; parent < (int)world->ids; parent++)
		for (uint32_t name = 0; name < world->names; name++)
			if (forest_can_go(world, forest, id, parent, name))
				search_find(
					search, forest, id,
					(struct forest_place){FOREST_IN_SLOT,
							      parent, name});
}

size_t forest_search(const struct forest_world *world, uint32_t start,
		     uint32_t *queue, uint8_t *distance)
{
	struct search search = {.world = world,
				.queue = queue,
				.distance = distance};
	struct forest first;

	memset(distance, FOREST_UNREACHED, world->codes);
	forest_decode(world, start, &first);
	distance[start] = 0;
	queue[search.tail++] = start;
	for (size_t head = 0; head < search.tail; head++) {
		struct forest forest;

		forest_decode(world, queue[head], &forest);
		search.next = (uint8_t)(distance[queue[head]] + 1);
		SMALL_CHECK(search.next < FOREST_UNREACHED);
		for (uint32_t id = 0; id < world->ids; id++)
			search_steps(&search, &forest, id,
				     first.at[id].where != FOREST_ABSENT);
	}
	return search.tail;
}
