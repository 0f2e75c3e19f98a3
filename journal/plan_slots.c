/*
 * Who holds the slot that an item wants: a hash table from the slots of the
 * tree before that will be vacated to their holders, asked once for every
 * moved or created item.
 *
 * Users choose names, so they choose the numbers that are hashed here.  The
 * table counts its probes; past PROBES_MEAN_MAX an item on average it starts
 * again with another multiplier.  Slots made to collide under one do not under
 * the next; but some can be made for each.  After the last attempt, therefore,
 * the slots are sorted: O(n log n), whatever the names.
 *
 * Work goes in blocks: hash and prefetch, then probe, then compare, so that
 * a block's cache misses overlap.
 */
#include "plan_priv.h"

enum {
	BLOCK_MAX = 32,
	PROBES_MEAN_MAX = 8,
};

#define ENTRY_FREE ((uint64_t)0xffffffffu) /* value MBJ_NODE_NONE */

struct slots {
	const struct mbj_diff *diff;
	uint64_t *entries; /* tag in the upper half, item in the lower */
	size_t mask;
	unsigned shift;	     /* of a hash, to its place */
	uint64_t multiplier; /* odd; another one for each attempt */
	uint64_t probes_left;
};

uint64_t plan_slots_hash(uint64_t multiplier, uint32_t parent, uint32_t key)
{
	uint64_t h = (uint64_t)parent << 32 | key;

	h *= multiplier;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	return h;
}

static uint64_t slots_hash(const struct slots *slots,
			   const struct mbj_diff_item *item, enum mbj_side side)
{
	return plan_slots_hash(slots->multiplier, item->parent[side],
			       item->key[side]);
}

static size_t slots_place(const struct slots *slots, uint64_t hash)
{
	return (size_t)(hash >> slots->shift);
}

static bool slots_spend(struct slots *slots)
{
	if (slots->probes_left == 0)
		return false;
	slots->probes_left--;
	return true;
}

/* Put count vacated slots in; false when too many probes were needed. */
static bool slots_put(struct slots *slots, const uint32_t *items,
		      uint32_t count)
{
	uint64_t hashes[BLOCK_MAX];

	MBJ_ASSERT(count <= BLOCK_MAX);
	for (uint32_t i = 0; i < count; i++) {
		hashes[i] = slots_hash(slots, &slots->diff->items[items[i]],
				       MBJ_BEFORE);
		PLAN_PREFETCH(&slots->entries[slots_place(slots, hashes[i])]);
	}
	for (uint32_t i = 0; i < count; i++) {
		size_t at = slots_place(slots, hashes[i]);

		while (slots->entries[at] != ENTRY_FREE) {
			if (!slots_spend(slots))
				return false;
			at = (at + 1) & slots->mask;
		}
		slots->entries[at] = hashes[i] << 32 | items[i];
	}
	return true;
}

/* The first entry from *at on that carries the hash's tag. */
static bool slots_seek(struct slots *slots, uint64_t hash, size_t *at,
		       uint32_t *ret_item)
{
	while (slots->entries[*at] != ENTRY_FREE) {
		uint64_t entry = slots->entries[*at];

		*at = (*at + 1) & slots->mask;
		if (entry >> 32 == (hash & 0xffffffffu)) {
			*ret_item = (uint32_t)entry;
			return true;
		}
		if (!slots_spend(slots))
			break;
	}
	*ret_item = PLAN_NONE;
	return false;
}

static bool slots_is_holder(const struct slots *slots, uint32_t wants,
			    uint32_t holder)
{
	const struct mbj_diff_item *a = &slots->diff->items[wants];
	const struct mbj_diff_item *b = &slots->diff->items[holder];

	return a->parent[MBJ_AFTER] == b->parent[MBJ_BEFORE] &&
	       a->key[MBJ_AFTER] == b->key[MBJ_BEFORE];
}

static bool slots_ask(struct slots *slots, const uint32_t *items,
		      uint32_t count, uint32_t *occupant)
{
	uint64_t hashes[BLOCK_MAX];
	uint32_t holders[BLOCK_MAX];
	size_t at[BLOCK_MAX];

	MBJ_ASSERT(count <= BLOCK_MAX);
	for (uint32_t i = 0; i < count; i++) {
		hashes[i] = slots_hash(slots, &slots->diff->items[items[i]],
				       MBJ_AFTER);
		at[i] = slots_place(slots, hashes[i]);
		PLAN_PREFETCH(&slots->entries[at[i]]);
	}
	for (uint32_t i = 0; i < count; i++)
		if (slots_seek(slots, hashes[i], &at[i], &holders[i]))
			PLAN_PREFETCH(&slots->diff->items[holders[i]]);
	for (uint32_t i = 0; i < count; i++) {
		while (holders[i] != PLAN_NONE &&
		       !slots_is_holder(slots, items[i], holders[i]))
			(void)slots_seek(slots, hashes[i], &at[i], &holders[i]);
		occupant[items[i]] = holders[i];
	}
	return slots->probes_left > 0;
}

static bool kind_vacates(unsigned kind)
{
	return kind == MBJ_DIFF_MOVE || kind == MBJ_DIFF_DELETE;
}

static bool kind_wants(unsigned kind)
{
	return kind == MBJ_DIFF_MOVE || kind == MBJ_DIFF_CREATE;
}

/* Everything in, then everything asked; false: try another multiplier. */
static bool slots_match_once(struct slots *slots, const uint8_t *role,
			     uint32_t *occupant)
{
	uint32_t block[BLOCK_MAX];
	uint32_t filled = 0;

	for (size_t i = 0; i <= slots->mask; i++)
		slots->entries[i] = ENTRY_FREE;
	for (uint32_t i = 0; i < slots->diff->count; i++) {
		if (kind_vacates(role[i] & PLAN_ROLE_MASK))
			block[filled++] = i;
		if (filled < BLOCK_MAX)
			continue;
		if (!slots_put(slots, block, filled))
			return false;
		filled = 0;
	}
	if (!slots_put(slots, block, filled))
		return false;
	filled = 0;
	for (uint32_t i = 0; i < slots->diff->count; i++) {
		occupant[i] = PLAN_NONE;
		if (kind_wants(role[i] & PLAN_ROLE_MASK))
			block[filled++] = i;
		if (filled < BLOCK_MAX)
			continue;
		if (!slots_ask(slots, block, filled, occupant))
			return false;
		filled = 0;
	}
	return slots_ask(slots, block, filled, occupant);
}

/* ---------------------------------------------------- without hashing */

static uint64_t slot_number(const struct slots *slots, uint32_t item,
			    enum mbj_side side)
{
	const struct mbj_diff_item *place = &slots->diff->items[item];

	return (uint64_t)place->parent[side] << 32 | place->key[side];
}

/* Make a heap of order[0 .. count - 1] again, in which order[at] is too low. */
static void order_sink(const struct slots *slots, uint32_t *order, size_t at,
		       size_t count)
{
	uint32_t item = order[at];
	uint64_t number = slot_number(slots, item, MBJ_BEFORE);
	size_t child;

	while ((child = 2 * at + 1) < count) {
		uint64_t largest = slot_number(slots, order[child], MBJ_BEFORE);

		if (child + 1 < count) {
			uint64_t other = slot_number(slots, order[child + 1],
						     MBJ_BEFORE);

			child += other > largest;
			largest = other > largest ? other : largest;
		}
		if (largest <= number)
			break;
		order[at] = order[child];
		at = child;
	}
	order[at] = item;
}

/* Heapsort: no recursion, no memory, no bad day. */
static void order_sort(const struct slots *slots, uint32_t *order, size_t count)
{
	for (size_t at = count / 2; at-- > 0;)
		order_sink(slots, order, at, count);
	for (size_t end = count; end-- > 1;) {
		uint32_t largest = order[0];

		order[0] = order[end];
		order[end] = largest;
		order_sink(slots, order, 0, end);
	}
}

/* Whoever vacates the slot that item wants. */
static uint32_t order_find(const struct slots *slots, const uint32_t *order,
			   size_t count, uint32_t item)
{
	uint64_t wanted = slot_number(slots, item, MBJ_AFTER);
	size_t begin = 0;

	while (count > 0) {
		size_t half = count / 2;
		uint32_t holder = order[begin + half];
		uint64_t number = slot_number(slots, holder, MBJ_BEFORE);

		if (number == wanted)
			return holder;
		if (number < wanted) {
			begin += half + 1;
			count -= half + 1;
		} else {
			count = half;
		}
	}
	return PLAN_NONE;
}

static void slots_match_sorted(struct slots *slots, const uint8_t *role,
			       uint32_t *occupant)
{
	/* The table has failed: its memory is free, and larger. */
	uint32_t *order = (uint32_t *)slots->entries;
	size_t count = 0;

	for (uint32_t i = 0; i < slots->diff->count; i++)
		if (kind_vacates(role[i] & PLAN_ROLE_MASK))
			order[count++] = i;
	order_sort(slots, order, count);
	for (uint32_t i = 0; i < slots->diff->count; i++)
		occupant[i] = kind_wants(role[i] & PLAN_ROLE_MASK)
				      ? order_find(slots, order, count, i)
				      : PLAN_NONE;
}

enum mbj_rc plan_slots_match(const struct mbj_diff *diff, const uint8_t *role,
			     uint32_t *occupant, struct mbj_error *err)
{
	struct slots slots = {.diff = diff, .shift = 64 - 4};
	size_t vacated = 0;
	bool is_done = false;

	for (uint32_t i = 0; i < diff->count; i++)
		vacated += kind_vacates(role[i] & PLAN_ROLE_MASK);
	while (((size_t)1 << (64 - slots.shift)) < 2 * vacated)
		slots.shift--;
	slots.mask = ((size_t)1 << (64 - slots.shift)) - 1;
	MBJ_ASSERT(slots.shift > 32);
	slots.entries = mbj_alloc((slots.mask + 1) * sizeof(*slots.entries));
	if (slots.entries == NULL)
		return mbj_error_nomem(err);
	for (unsigned i = 0; i < PLAN_SLOTS_ATTEMPT_MAX && !is_done; i++) {
		slots.multiplier = PLAN_SLOTS_MULTIPLIER(i);
		slots.probes_left =
			((uint64_t)diff->count + BLOCK_MAX) * PROBES_MEAN_MAX;
		is_done = slots_match_once(&slots, role, occupant);
	}
	if (!is_done)
		slots_match_sorted(&slots, role, occupant);
	mbj_free(slots.entries);
	return MBJ_OK;
}
