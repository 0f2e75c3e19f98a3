/*
 * Families of small edits, each enumerated without recursion.
 */
#include <stdlib.h>
#include <string.h>

#include "family.h"

enum { PERMUTATIONS_MAX = 720, TYPES_MAX = 6 };

/* ---------------------------------------------------------------- flat */

/* The next name after name that nobody has, count: deleted; -1: no more. */
static int flat_next(uint32_t taken, uint32_t count, int name)
{
	for (name++; name < (int)count; name++)
		if ((taken & 1u << name) == 0)
			return name;
	return name == (int)count ? name : -1;
}

bool family_flat(uint32_t count, family_each *each, void *context)
{
	struct small small = {.count = count};
	int names[SMALL_MAX] = {-1};
	uint32_t taken = 0;
	int at = 0;

	for (uint32_t i = 0; i < count; i++)
		small.before[i] = (struct small_place){SMALL_ROOT, (uint8_t)i};
	while (at >= 0) {
		int *name = &names[at];

		if (*name >= 0 && *name < (int)count)
			taken &= ~(1u << *name);
		*name = flat_next(taken, count, *name);
		if (*name < 0) {
			at--;
			continue;
		}
		small.after[at] =
			(struct small_place){SMALL_ROOT, (uint8_t)*name};
		if (*name == (int)count)
			small.after[at] = (struct small_place){SMALL_ABSENT, 0};
		else
			taken |= 1u << *name;
		if (at + 1 < (int)count)
			names[++at] = -1;
		else if (!each(context, &small))
			return false;
	}
	return true;
}

/* ------------------------------------------------------------- forests */

/* Forests over some of the mailboxes, as their parents. */
struct forests {
	uint32_t count;
	int8_t (*parents)[SMALL_MAX];
};

/* No mailbox of the mask is below itself. */
static bool forest_is_one(const int8_t *parents, uint32_t mask)
{
	uint32_t ended = 0;
	uint32_t before;

	do {
		before = ended;
		for (uint32_t i = 0; i < SMALL_MAX; i++)
			if ((mask & 1u << i) != 0 &&
			    (parents[i] < 0 || (ended & 1u << parents[i]) != 0))
				ended |= 1u << i;
	} while (ended != before);
	return ended == mask;
}

/* The next choice of parents in the mask; false after the last. */
static bool forest_next(int8_t *parents, uint32_t mask)
{
	for (uint32_t i = 0; i < SMALL_MAX; i++) {
		if ((mask & 1u << i) == 0)
			continue;
		do
			parents[i]++;
		while (parents[i] < SMALL_MAX &&
		       (mask & 1u << parents[i]) == 0);
		if (parents[i] < SMALL_MAX)
			return true;
		parents[i] = SMALL_ROOT;
	}
	return false;
}

/* All forests over the mailboxes of mask; others are absent. */
static void forests_list(struct forests *forests, uint32_t mask)
{
	size_t capacity = 0;
	int8_t parents[SMALL_MAX];

	*forests = (struct forests){0};
	for (uint32_t i = 0; i < SMALL_MAX; i++)
		parents[i] = (mask & 1u << i) != 0 ? SMALL_ROOT : SMALL_ABSENT;
	do {
		if (!forest_is_one(parents, mask))
			continue;
		if (forests->count == capacity) {
			capacity = 2 * capacity + 64;
			forests->parents =
				realloc(forests->parents,
					capacity * sizeof(*forests->parents));
			SMALL_CHECK(forests->parents != NULL);
		}
		memcpy(forests->parents[forests->count++], parents,
		       sizeof(parents));
	} while (forest_next(parents, mask));
}

static void forest_name(struct small_place *tree, const int8_t *parents,
			uint32_t count, enum family_naming naming)
{
	for (uint32_t i = 0; i < count; i++) {
		uint8_t name = (uint8_t)i;

		if (naming == FAMILY_NAMES_RANK) {
			name = 0;
			for (uint32_t j = 0; j < i; j++)
				name = (uint8_t)(name +
						 (parents[j] == parents[i]));
		}
		tree[i] = (struct small_place){parents[i], name};
	}
}

bool family_forests(uint32_t count, enum family_naming naming,
		    family_each *each, void *context)
{
	struct small small = {.count = count};
	struct forests forests;
	bool is_going = true;

	forests_list(&forests, (1u << count) - 1);
	for (uint32_t b = 0; is_going && b < forests.count; b++) {
		forest_name(small.before, forests.parents[b], count, naming);
		for (uint32_t a = 0; is_going && a < forests.count; a++) {
			forest_name(small.after, forests.parents[a], count,
				    naming);
			is_going = each(context, &small);
		}
	}
	free(forests.parents);
	return is_going;
}

/* --------------------------------------------------------------- types */

/*
 * A type: both forests, and whose slot before a mailbox takes after (NOBODY's:
 * a name that is new there).
 */
enum { NOBODY = -1 };

struct types {
	uint32_t kept, deleted, count;
	const int8_t *before; /* parents */
	const int8_t *after;
	int8_t holder[SMALL_MAX];
	/* Renamings of mailboxes under which the forest before stays. */
	uint8_t renamings[PERMUTATIONS_MAX][SMALL_MAX];
	uint32_t renaming_count;
};

static void bytes_swap(uint8_t *a, uint8_t *b)
{
	uint8_t kept = *a;

	*a = *b;
	*b = kept;
}

/* The next permutation in order; false after the last. */
static bool permutation_next(uint8_t *p, uint32_t count)
{
	uint32_t i = count - 1, j = count - 1;

	SMALL_CHECK(count > 0);
	while (i > 0 && p[i - 1] >= p[i])
		i--;
	if (i == 0)
		return false;
	while (p[j] <= p[i - 1])
		j--;
	bytes_swap(&p[i - 1], &p[j]);
	for (j = count - 1; i < j; i++, j--)
		bytes_swap(&p[i], &p[j]);
	return true;
}

/* Kept ones stay kept, deleted ones deleted, created ones created. */
static bool renaming_is_fair(const struct types *types, const uint8_t *p)
{
	uint32_t created = types->kept + types->deleted;

	for (uint32_t i = 0; i < types->count; i++)
		if ((i < types->kept) != (p[i] < types->kept) ||
		    (i < created) != (p[i] < created))
			return false;
	return true;
}

static int renamed(const uint8_t *p, int8_t id)
{
	return id < 0 ? id : p[id];
}

/*
 * An array of mailboxes by mailbox, renamed, against itself: < 0 where that
 * comes first.
 */
static int renaming_compare(const uint8_t *p, const int8_t *array,
			    uint32_t count)
{
	int8_t image[SMALL_MAX];

	for (uint32_t i = 0; i < count; i++)
		image[p[i]] = (int8_t)renamed(p, array[i]);
	return memcmp(image, array, count);
}

/* The renamings of the forest before; false where another is like it. */
static bool types_before(struct types *types, const int8_t *before)
{
	uint8_t p[SMALL_MAX];

	SMALL_CHECK(types->count > 0);
	types->before = before;
	types->renaming_count = 0;
	for (uint32_t i = 0; i < types->count; i++)
		p[i] = (uint8_t)i;
	do {
		int order;

		if (!renaming_is_fair(types, p))
			continue;
		order = renaming_compare(p, before, types->count);
		if (order < 0)
			return false;
		if (order == 0)
			memcpy(types->renamings[types->renaming_count++], p,
			       sizeof(p));
	} while (permutation_next(p, types->count));
	return true;
}

/* Of all that are alike after renaming, this one comes first. */
static bool types_is_first(const struct types *types)
{
	for (uint32_t r = 0; r < types->renaming_count; r++) {
		const uint8_t *p = types->renamings[r];
		int order = renaming_compare(p, types->after, types->count);

		if (order == 0)
			order = renaming_compare(p, types->holder,
						 types->count);
		if (order < 0)
			return false;
	}
	return true;
}

/* The next holder after it for a mailbox, or SMALL_MAX after the last. */
static int8_t types_next_holder(const struct types *types, uint32_t taken,
				uint32_t id, int8_t holder)
{
	for (holder++; holder < (int8_t)types->count; holder++)
		if ((taken & 1u << holder) == 0 &&
		    types->before[holder] == types->after[id] &&
		    types->before[holder] != SMALL_ABSENT)
			return holder;
	return SMALL_MAX;
}

/* Names: rank among siblings before; what is new comes after those. */
static void types_name(const struct types *types, struct small *ret_small)
{
	uint8_t fresh[SMALL_MAX + 1] = {0};

	*ret_small = (struct small){.count = types->count};
	for (uint32_t i = 0; i < types->count; i++) {
		int8_t parent = types->before[i];

		ret_small->before[i] = (struct small_place){parent, 0};
		if (parent != SMALL_ABSENT)
			ret_small->before[i].name = fresh[parent + 1]++;
	}
	for (uint32_t i = 0; i < types->count; i++) {
		int8_t parent = types->after[i];
		int8_t holder = types->holder[i];

		ret_small->after[i] = (struct small_place){parent, 0};
		if (parent == SMALL_ABSENT)
			continue;
		if (holder == NOBODY)
			ret_small->after[i].name = fresh[parent + 1]++;
		else
			ret_small->after[i].name =
				ret_small->before[holder].name;
	}
}

/* All ways to take slots between two forests. */
static bool types_holders(struct types *types, family_each *each, void *context)
{
	uint32_t taken = 0;
	int at = 0;

	types->holder[0] = NOBODY - 1;
	while (at >= 0) {
		int8_t *holder = &types->holder[at];

		if (*holder >= 0)
			taken &= ~(1u << *holder);
		if (*holder < NOBODY)
			*holder = NOBODY;
		else if (types->after[at] == SMALL_ABSENT)
			*holder = SMALL_MAX;
		else
			*holder = types_next_holder(types, taken, (uint32_t)at,
						    *holder);
		if (*holder == SMALL_MAX) {
			at--;
			continue;
		}
		if (*holder >= 0)
			taken |= 1u << *holder;
		if (at + 1 < (int)types->count) {
			types->holder[++at] = NOBODY - 1;
		} else if (types_is_first(types)) {
			struct small small;

			types_name(types, &small);
			if (!each(context, &small))
				return false;
		}
	}
	return true;
}

bool family_types(uint32_t kept, uint32_t deleted, uint32_t created,
		  family_each *each, void *context)
{
	uint32_t gone = ((1u << deleted) - 1) << kept;
	uint32_t made = ((1u << created) - 1) << (kept + deleted);
	struct types *types = calloc(1, sizeof(*types));
	struct forests before, after;
	bool is_going = true;

	SMALL_CHECK(types != NULL);
	types->kept = kept;
	types->deleted = deleted;
	types->count = kept + deleted + created;
	SMALL_CHECK(types->count <= TYPES_MAX);
	forests_list(&before, ((1u << kept) - 1) | gone);
	forests_list(&after, ((1u << kept) - 1) | made);
	for (uint32_t b = 0; is_going && b < before.count; b++) {
		if (!types_before(types, before.parents[b]))
			continue;
		for (uint32_t a = 0; is_going && a < after.count; a++) {
			types->after = after.parents[a];
			is_going = types_holders(types, each, context);
		}
	}
	free(before.parents);
	free(after.parents);
	free(types);
	return is_going;
}
