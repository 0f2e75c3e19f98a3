/*
 * Very small trees of mailboxes as plain numbers, and the true distance
 * between them by breadth-first search.  Shares no code with the planner: it
 * is what the planner is measured against.
 *
 * A forest gives each of at most FOREST_IDS_MAX ids a place: absent, in TEMP,
 * or a slot (parent, name).  Names in TEMP do not matter: there are enough.
 */
#ifndef TEST_FOREST_H
#define TEST_FOREST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FOREST_IDS_MAX = 5,
	FOREST_NAMES_MAX = 5,
	FOREST_UNREACHED = 255,
};

/* The world: how many ids and names there are. */
struct forest_world {
	uint32_t ids;
	uint32_t names;
	uint32_t places; /* that an id can have */
	uint32_t codes;	 /* places to the power of ids */
};

enum forest_where { FOREST_ABSENT, FOREST_IN_TEMP, FOREST_IN_SLOT };

struct forest_place {
	enum forest_where where;
	int parent; /* id, -1: the root */
	uint32_t name;
};

struct forest {
	struct forest_place at[FOREST_IDS_MAX];
};

void forest_world_init(struct forest_world *world, uint32_t ids,
		       uint32_t names);
uint32_t forest_code(const struct forest_world *world,
		     const struct forest *forest);
void forest_decode(const struct forest_world *world, uint32_t code,
		   struct forest *ret_forest);

/* No two in a slot, parents present, no cycles. */
bool forest_is_valid(const struct forest_world *world,
		     const struct forest *forest);
bool forest_has_children(const struct forest_world *world,
			 const struct forest *forest, uint32_t id);
/*
 * The one rule for all steps to a slot: free, its parent there and neither
 * the mailbox nor below it.
 */
bool forest_can_go(const struct forest_world *world,
		   const struct forest *forest, uint32_t id, int parent,
		   uint32_t name);

/*
 * All valid forests with nobody in TEMP, as codes in rising order; the caller
 * frees.  The number of them is *ret_count.
 */
uint32_t *forest_list(const struct forest_world *world, size_t *ret_count);

/*
 * One forest of each shape: ids and, parent by parent, names renamed at will.
 * The ids of each are 0 .. k - 1.
 */
uint32_t *forest_list_shapes(const struct forest_world *world,
			     size_t *ret_count);

/*
 * distance[code] becomes the least number of steps from the forest at start
 * to any other: create (once, ids absent at start), move to any free slot or
 * to TEMP, delete for good (ids present at start).  queue and distance have
 * room for world->codes.  Returns how many forests were reached.
 */
size_t forest_search(const struct forest_world *world, uint32_t start,
		     uint32_t *queue, uint8_t *distance);

#endif
