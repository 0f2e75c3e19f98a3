/*
 * Open-addressing index with linear probing: hash -> the caller's numbers.
 *
 * It is not a map: it never sees a key.  A slot is one 64-bit word, so that a
 * probe of eight candidates costs one cache line, and growing never asks the
 * caller for a hash again.
 *
 * Invariants:
 *  1. A slot is 0 (never used: a search ends here), 1 (dead: a search goes
 *     on), or tag << 32 | value + 2, tag being the hash's upper 32 bits.
 *  2. A live slot lies at or after its home, tag & (capacity - 1), with no
 *     empty slot between.
 *  3. count <= used <= 3/4 of capacity, so an empty slot always exists; used
 *     counts dead slots too, and a dead slot right before an empty one is
 *     made empty at once.
 *  4. Adding allocates at most once per capacity/4 calls.
 *
 * Threads: one writer, or any number of readers.
 */
#include <mbj/check.h>
#include <mbj/hash.h>
#include <mbj/memory.h>

#define SLOT_EMPTY UINT64_C(0)
#define SLOT_DEAD  UINT64_C(1)
#define SLOT_BIAS  UINT32_C(2)

/* 2^31 slots of 8 bytes; positions fit 32 bits. */
static const size_t capacity_min = 16;
static const size_t capacity_max = (size_t)1 << 31;

static inline uint32_t tag_of(uint64_t hash)
{
	return (uint32_t)(hash >> 32);
}

static inline bool slot_is_live(uint64_t slot)
{
	return (uint32_t)slot >= SLOT_BIAS;
}

static inline uint64_t slot_make(uint64_t hash, uint32_t value)
{
	return (uint64_t)tag_of(hash) << 32 | (value + SLOT_BIAS);
}

/* Slots that may be used of this many. */
static inline size_t limit_of(size_t capacity)
{
	return capacity / 4 * 3;
}

void mbj_table_init(struct mbj_table *table)
{
	MBJ_ASSERT(table != NULL);
	*table = (struct mbj_table){0};
}

void mbj_table_done(struct mbj_table *table)
{
	if (table == NULL)
		return;
	mbj_free(table->slots);
	*table = (struct mbj_table){0};
}

void mbj_table_clear(struct mbj_table *table)
{
	MBJ_ASSERT(table != NULL);
	if (table->used > 0)
		memset(table->slots, 0,
		       table->capacity * sizeof(*table->slots));
	table->used = 0;
	table->count = 0;
}

/* Move what is live into a table of this capacity. */
static enum mbj_rc table_rehash(struct mbj_table *table, size_t capacity,
				struct mbj_error *err)
{
	uint64_t *slots;
	size_t mask = capacity - 1;

	MBJ_ASSERT((capacity & mask) == 0);
	MBJ_ASSERT(table->count < limit_of(capacity));
	slots = mbj_calloc(capacity, sizeof(*slots));
	if (slots == NULL)
		return mbj_error_nomem(err);
	for (size_t i = 0; i < table->capacity; i++) {
		uint64_t slot = table->slots[i];
		size_t at = tag_of(slot) & mask;

		if (!slot_is_live(slot))
			continue;
		while (slots[at] != SLOT_EMPTY)
			at = (at + 1) & mask;
		slots[at] = slot;
	}
	mbj_free(table->slots);
	table->slots = slots;
	table->capacity = capacity;
	table->used = table->count;
	return MBJ_OK;
}

enum mbj_rc mbj_table_reserve(struct mbj_table *table, size_t count,
			      struct mbj_error *err)
{
	size_t capacity = capacity_min;

	MBJ_ASSERT(table != NULL);
	MBJ_ASSERT(table->count <= table->used);
	if (count < table->count)
		count = table->count;
	if (count + (table->used - table->count) <= limit_of(table->capacity))
		return MBJ_OK;
	while (capacity < capacity_max && limit_of(capacity) <= count)
		capacity *= 2;
	if (limit_of(capacity) <= count)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "%zu entries are more than a table holds",
				     count);
	return table_rehash(table, capacity, err);
}

/* Make room for one more, doubling unless half of it is dead slots. */
static enum mbj_rc table_grow(struct mbj_table *table, struct mbj_error *err)
{
	size_t capacity = table->capacity;

	if (table->used < limit_of(capacity))
		return MBJ_OK;
	if (table->count < limit_of(capacity) / 2)
		return table_rehash(table, capacity, err);
	if (capacity >= capacity_max)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "a table of %zu entries is full",
				     table->count);
	return table_rehash(table, capacity == 0 ? capacity_min : capacity * 2,
			    err);
}

enum mbj_rc mbj_table_add(struct mbj_table *table, uint64_t hash,
			  uint32_t value, struct mbj_error *err)
{
	size_t mask, at;
	enum mbj_rc rc;

	MBJ_ASSERT(table != NULL);
	MBJ_ASSERT(value <= UINT32_MAX - SLOT_BIAS);
	rc = table_grow(table, err);
	if (rc < 0)
		return rc;
	mask = table->capacity - 1;
	at = tag_of(hash) & mask;
	while (slot_is_live(table->slots[at]))
		at = (at + 1) & mask;
	if (table->slots[at] == SLOT_EMPTY)
		table->used++;
	table->slots[at] = slot_make(hash, value);
	table->count++;
	MBJ_ASSERT(table->used < table->capacity);
	return MBJ_OK;
}

/* Empty the slot, and the dead ones before it, where a search ends next. */
static void slot_retire(struct mbj_table *table, size_t at)
{
	size_t mask = table->capacity - 1;

	table->slots[at] = SLOT_DEAD;
	table->count--;
	if (table->slots[(at + 1) & mask] != SLOT_EMPTY)
		return;
	while (table->slots[at] == SLOT_DEAD) {
		table->slots[at] = SLOT_EMPTY;
		table->used--;
		at = (at - 1) & mask;
	}
}

bool mbj_table_remove(struct mbj_table *table, uint64_t hash, uint32_t value)
{
	size_t mask, at;

	MBJ_ASSERT(table != NULL);
	MBJ_ASSERT(value <= UINT32_MAX - SLOT_BIAS);
	if (table->count == 0)
		return false;
	mask = table->capacity - 1;
	at = tag_of(hash) & mask;
	for (; table->slots[at] != SLOT_EMPTY; at = (at + 1) & mask) {
		if (table->slots[at] != slot_make(hash, value))
			continue;
		slot_retire(table, at);
		MBJ_ASSERT(table->count <= table->used);
		return true;
	}
	return false;
}

uint32_t mbj_table_seek(const struct mbj_table *table, uint64_t hash)
{
	if (table->capacity == 0)
		return 0;
	return tag_of(hash) & (uint32_t)(table->capacity - 1);
}

bool mbj_table_next(const struct mbj_table *table, uint64_t hash, uint32_t *at,
		    uint32_t *ret_value)
{
	uint32_t mask = (uint32_t)(table->capacity - 1);
	uint32_t i = *at;

	if (table->capacity == 0)
		return false;
	MBJ_ASSERT(i <= mask);
	for (;; i = (i + 1) & mask) {
		uint64_t slot = table->slots[i];

		if (slot == SLOT_EMPTY)
			return false;
		if (tag_of(slot) != tag_of(hash) || !slot_is_live(slot))
			continue;
		*at = (i + 1) & mask;
		*ret_value = (uint32_t)slot - SLOT_BIAS;
		return true;
	}
}
