/*
 * The true minimum of parks of a small edit.
 *
 * A state says of each mailbox whether it is done or parked; what is neither
 * is in its place before.  States are taken in the order of the parks that
 * they cost, all of one number before any of the next: parking one that has
 * to go elsewhere anyway costs one step more, one that has not costs two.
 */
#include <stdlib.h>
#include <string.h>

#include "small.h"

enum {
	STATES_MAX = 1 << 2 * SMALL_MAX, /* two bits a mailbox */
	/* A park costs at most two: lists for now and the two after it. */
	LISTS = 3,
	UNSEEN = 255,
};

struct small_search {
	const struct small *small;
	uint32_t all;		      /* one bit a mailbox */
	uint32_t kept;		      /* those that need not go anywhere */
	uint32_t created;	      /* those that are not there before */
	uint32_t holder[SMALL_MAX];   /* who has, before, its slot after */
	uint32_t children[SMALL_MAX]; /* who is below it before */
	uint32_t count[LISTS];
	uint32_t lists[LISTS][STATES_MAX];
	uint8_t cost[STATES_MAX]; /* the least that a state was met at */
};

struct small_search *small_search_new(void)
{
	struct small_search *search = malloc(sizeof(*search));

	SMALL_CHECK(search != NULL);
	return search;
}

void small_search_free(struct small_search **search)
{
	free(*search);
	*search = NULL;
}

static void search_load(struct small_search *search, const struct small *small)
{
	search->small = small;
	search->all = (1u << small->count) - 1;
	search->kept = search->created = 0;
	for (uint32_t i = 0; i < small->count; i++) {
		search->kept |= (uint32_t)small_is_kept(small, i) << i;
		if (small->before[i].parent == SMALL_ABSENT)
			search->created |= 1u << i;
		search->holder[i] = search->children[i] = 0;
		for (uint32_t j = 0; j < small->count; j++) {
			if (j != i && small->after[i].parent != SMALL_ABSENT &&
			    small_place_equal(small->before[j],
					      small->after[i]))
				search->holder[i] |= 1u << j;
			if (small->before[j].parent == (int8_t)i)
				search->children[i] |= 1u << j;
		}
	}
	memset(search->count, 0, sizeof(search->count));
	memset(search->cost, UNSEEN, (size_t)1 << 2 * small->count);
}

/* Can it arrive where it is to be, everybody else staying where they are? */
static bool search_can_arrive(const struct small_search *search, uint32_t done,
			      uint32_t parked, uint32_t id)
{
	const struct small *small = search->small;
	uint32_t gone = done | parked;
	int8_t at = small->after[id].parent;

	if (at == SMALL_ABSENT)
		return (search->children[id] & ~gone) == 0;
	if ((search->holder[id] & ~gone) != 0)
		return false;
	if (at >= 0 && (search->created & ~gone & 1u << at) != 0)
		return false;
	while (at >= 0) {
		if (at == (int)id)
			return false;
		if ((parked & 1u << at) != 0)
			return true;
		at = (done & 1u << at) != 0 ? small->after[at].parent
					    : small->before[at].parent;
	}
	return true;
}

static void search_find(struct small_search *search, uint32_t done,
			uint32_t parked, uint32_t cost)
{
	uint32_t state = done << search->small->count | parked;
	uint32_t list = cost % LISTS;

	SMALL_CHECK(cost < UNSEEN);
	if (search->cost[state] <= cost)
		return;
	search->cost[state] = (uint8_t)cost;
	search->lists[list][search->count[list]++] = state;
}

static void search_steps(struct small_search *search, uint32_t done,
			 uint32_t parked, uint32_t cost)
{
	for (uint32_t id = 0; id < search->small->count; id++) {
		uint32_t bit = 1u << id;
		bool is_kept = (search->kept & bit) != 0;

		if ((done & bit) != 0)
			continue;
		if ((parked & bit) == 0)
			search_find(search, done, parked | bit,
				    cost + 1 + is_kept);
		/* In its place, one that is kept has nowhere to arrive. */
		if (is_kept && (parked & bit) == 0)
			continue;
		if (search_can_arrive(search, done, parked & ~bit, id))
			search_find(search, done | bit, parked & ~bit, cost);
	}
}

uint32_t small_parks(struct small_search *search, const struct small *small)
{
	uint32_t cost = 0;

	SMALL_CHECK(small->count <= SMALL_MAX);
	search_load(search, small);
	search_find(search, 0, 0, cost);
	for (;;) {
		uint32_t list = cost % LISTS;
		uint32_t state, done, parked;

		if (search->count[list] == 0) {
			cost++;
			continue;
		}
		state = search->lists[list][--search->count[list]];
		if (search->cost[state] < cost)
			continue;
		done = state >> small->count;
		parked = state & search->all;
		if ((done | search->kept) == search->all && parked == 0)
			return cost;
		search_steps(search, done, parked, cost);
	}
}
