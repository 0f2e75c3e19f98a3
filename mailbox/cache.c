/*
 * The write-back record cache; see cache.h.
 */
#include <stdlib.h>
#include <string.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>

#include "cache.h"

enum { RECENT_BITS = 8, RECENT_COUNT = 1 << RECENT_BITS };
enum { CACHE_RECORDS_MAX = 64 << 20, CACHE_UNDO_MAX = 256 << 20 };

/*
 * What a changed record costs the engine's files: five times its key and its
 * new value (in the log once, twice with the pages that split under it, and in
 * pages that are half full), twice the old value, and some besides.  Measured
 * with Berkeley DB, log and pages together: 200,000 new records of 70 bytes
 * took 327 bytes each, of which this says 670; 20,000 of 732 bytes took 3,925,
 * of which it says 3,980.
 */
enum { RECORD_COST = 320, RECORD_FACTOR = 5, RECORD_FACTOR_OLD = 2 };

/* All keys and values of one transaction, and of the read cache. */
#define CACHE_BYTES_MAX ((size_t)8 << 30)
/* Arena bytes over which the read cache is emptied between transactions. */
enum { CACHE_KEPT_MAX = 64 << 20 };

struct record {
	struct mbj_bytes key;
	struct mbj_bytes value; /* while is_there */
	uint64_t hash;
	uint8_t table;
	bool is_there;
	bool is_dirty;
	bool is_changed; /* once, since the last commit: */
	bool was_there;	 /* as of it */
	struct mbj_bytes before;
};

struct undo {
	uint32_t record;
	bool was_there;
	bool was_dirty;
	struct mbj_bytes value;
};

struct cache {
	struct mbj_arena *arena;
	struct mbj_table index;
	struct mbj_sip_key key;
	struct record *records;
	size_t count;
	size_t capacity;
	struct undo *undo;
	size_t undo_count;
	size_t undo_capacity;
	size_t flushed; /* those before it: the engine has been told */
	uint64_t growth;
	uint32_t *dirty;
	size_t dirty_count;
	size_t dirty_capacity;
	size_t records_max;
	/* Where a record looked up lately may be: its index, or any other's. */
	uint32_t recent[RECENT_COUNT];
	struct mbj_buf value; /* what the engine is read into */
};

enum mbj_rc cache_new(size_t records_max, struct mbj_id seed,
		      struct cache **ret_cache, struct mbj_error *err)
{
	struct cache *cache = mbj_calloc(1, sizeof(*cache));
	enum mbj_rc rc;

	if (!cache)
		return mbj_error_nomem(err);
	cache->records_max = records_max;
	cache->key.k0 = mbj_load_u64(seed.b);
	cache->key.k1 = mbj_load_u64(seed.b + 8);
	mbj_table_init(&cache->index);
	mbj_buf_init(&cache->value, 1 << 20);
	rc = mbj_arena_new(CACHE_BYTES_MAX, &cache->arena, err);
	if (rc < 0)
		cache_free(&cache);
	else
		*ret_cache = cache;
	return rc;
}

void cache_free(struct cache **cache)
{
	struct cache *c = *cache;

	if (!c)
		return;
	mbj_buf_done(&c->value);
	mbj_table_done(&c->index);
	mbj_arena_free(&c->arena);
	mbj_free(c->records);
	mbj_free(c->undo);
	mbj_free(c->dirty);
	mbj_free(c);
	*cache = NULL;
}

/* The index of a record, or UINT32_MAX. */
static uint32_t cache_find(const struct cache *cache, uint64_t hash,
			   enum db_table table, struct mbj_bytes key)
{
	uint32_t at = mbj_table_seek(&cache->index, hash);
	uint32_t i;

	while (mbj_table_next(&cache->index, hash, &at, &i)) {
		const struct record *record = &cache->records[i];

		MBJ_ASSERT(i < cache->count);
		if (record->table == table && record->hash == hash &&
		    mbj_bytes_equal(record->key, key))
			return i;
	}
	return UINT32_MAX;
}

static enum mbj_rc record_add(struct cache *cache, uint64_t hash,
			      enum db_table table, struct mbj_bytes key,
			      bool is_there, uint32_t *ret_index,
			      struct mbj_error *err)
{
	struct record record = {.hash = hash,
				.table = (uint8_t)table,
				.is_there = is_there};
	void *records = cache->records;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&records, &cache->capacity, cache->count + 1,
			       sizeof(*cache->records), CACHE_RECORDS_MAX, err);
	cache->records = records;
	if (rc < 0)
		return rc;
	if (!mbj_arena_dup(cache->arena, key, &record.key) ||
	    (is_there &&
	     !mbj_arena_dup(cache->arena, mbj_buf_view(&cache->value),
			    &record.value)))
		return mbj_error_nomem(err);
	rc = mbj_table_add(&cache->index, hash, (uint32_t)cache->count, err);
	if (rc < 0)
		return rc;
	*ret_index = (uint32_t)cache->count;
	cache->records[cache->count++] = record;
	return MBJ_OK;
}

/*
 * A place among the recent, from the end of the key, where keys of a table
 * differ.  Whoever makes keys that share places makes them be looked for in
 * the index, whose hash is keyed, and no more.
 */
static size_t recent_place(enum db_table table, struct mbj_bytes key)
{
	static const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
	uint8_t end[2 * sizeof(uint64_t)] = {0};
	const uint8_t *p = end;
	uint64_t mixed;

	if (key.n >= sizeof(end))
		p = key.p + key.n - sizeof(end);
	else if (key.n > 0)
		memcpy(end, key.p, key.n);
	mixed = (mbj_load_u64(p) + (uint64_t)table) * odd;
	mixed = (mixed ^ mixed >> 32 ^ mbj_load_u64(p + sizeof(mixed))) * odd;
	return (size_t)(mixed >> (64 - RECENT_BITS));
}

/* The record, known or read from the engine, there or absent. */
static enum mbj_rc record_load(struct cache *cache, struct db_txn *txn,
			       enum db_table table, struct mbj_bytes key,
			       uint32_t *ret_index, struct mbj_error *err)
{
	uint32_t *recent = &cache->recent[recent_place(table, key)];
	uint32_t index = *recent;
	uint64_t hash;
	enum mbj_rc rc;

	MBJ_ASSERT(table < TABLE_COUNT);
	if (index < cache->count && cache->records[index].table == table &&
	    mbj_bytes_equal(cache->records[index].key, key)) {
		*ret_index = index;
		return MBJ_OK;
	}
	hash = mbj_siphash(cache->key, key) + (uint64_t)table;
	index = cache_find(cache, hash, table, key);
	if (index == UINT32_MAX) {
		mbj_buf_clear(&cache->value);
		rc = db_get(txn, table, key, &cache->value, err);
		if (rc < 0 && rc != MBJ_ENOTFOUND)
			return rc;
		rc = record_add(cache, hash, table, key, rc == MBJ_OK, &index,
				err);
		if (rc < 0)
			return rc;
	}
	*recent = index;
	*ret_index = index;
	return MBJ_OK;
}

enum mbj_rc cache_get(struct cache *cache, struct db_txn *txn,
		      enum db_table table, struct mbj_bytes key,
		      struct mbj_bytes *ret_value, struct mbj_error *err)
{
	uint32_t index;
	enum mbj_rc rc;

	rc = record_load(cache, txn, table, key, &index, err);
	if (rc < 0)
		return rc;
	if (!cache->records[index].is_there)
		return MBJ_ENOTFOUND;
	*ret_value = cache->records[index].value;
	return MBJ_OK;
}

/* Room in both lists first, so that a change cannot fail half-way. */
static enum mbj_rc lists_reserve(struct cache *cache, struct mbj_error *err)
{
	void *undo = cache->undo;
	void *dirty = cache->dirty;
	enum mbj_rc rc;

	if (cache->undo_count < cache->undo_capacity &&
	    cache->count <= cache->dirty_capacity)
		return MBJ_OK;
	rc = mbj_array_reserve(&undo, &cache->undo_capacity,
			       cache->undo_count + 1, sizeof(*cache->undo),
			       CACHE_UNDO_MAX, err);
	cache->undo = undo;
	if (rc < 0)
		return rc;
	/* Each record is in the dirty list once; rollback may add the rest. */
	rc = mbj_array_reserve(&dirty, &cache->dirty_capacity, cache->count,
			       sizeof(*cache->dirty), CACHE_RECORDS_MAX, err);
	cache->dirty = dirty;
	return rc;
}

/* One change; the old value counts with the first, and the longest new one. */
static uint64_t change_cost(const struct record *record, bool was_dirty,
			    struct mbj_bytes old, struct mbj_bytes value)
{
	if (was_dirty)
		return value.n > old.n
			       ? RECORD_FACTOR * (uint64_t)(value.n - old.n)
			       : 0;
	return RECORD_COST +
	       RECORD_FACTOR * ((uint64_t)record->key.n + value.n) +
	       RECORD_FACTOR_OLD * (uint64_t)old.n;
}

static void record_dirty(struct cache *cache, uint32_t index)
{
	if (cache->records[index].is_dirty)
		return;
	MBJ_ASSERT(cache->dirty_count < cache->dirty_capacity);
	cache->records[index].is_dirty = true;
	cache->dirty[cache->dirty_count++] = index;
}

/* Never to be told to the engine: the one that became dirty last. */
static void record_clean(struct cache *cache, uint32_t index)
{
	MBJ_ASSERT(cache->dirty_count > 0);
	MBJ_ASSERT(cache->dirty[cache->dirty_count - 1] == index);
	cache->records[index].is_dirty = false;
	cache->dirty_count--;
}

enum mbj_rc cache_set(struct cache *cache, struct db_txn *txn,
		      enum db_table table, struct mbj_bytes key,
		      const struct mbj_bytes *value, struct mbj_error *err)
{
	struct mbj_bytes copy = {NULL, 0};
	struct record *record;
	uint32_t index;
	enum mbj_rc rc;

	rc = record_load(cache, txn, table, key, &index, err);
	if (rc < 0)
		return rc;
	rc = lists_reserve(cache, err);
	if (rc < 0)
		return rc;
	if (value && !mbj_arena_dup(cache->arena, *value, &copy))
		return mbj_error_nomem(err);
	record = &cache->records[index];
	cache->growth +=
		change_cost(record, record->is_dirty, record->value, copy);
	cache->undo[cache->undo_count++] =
		(struct undo){index, record->is_there, record->is_dirty,
			      record->value};
	if (!record->is_changed) {
		record->is_changed = true;
		record->was_there = record->is_there;
		record->before = record->value;
	}
	record->is_there = value != NULL;
	record->value = copy;
	record_dirty(cache, index);
	return MBJ_OK;
}

size_t cache_savepoint(const struct cache *cache)
{
	return cache->undo_count;
}

void cache_rollback(struct cache *cache, size_t savepoint)
{
	MBJ_ASSERT(savepoint <= cache->undo_count);
	while (cache->undo_count > savepoint) {
		const struct undo *undo = &cache->undo[--cache->undo_count];
		struct record *record = &cache->records[undo->record];

		uint64_t cost = change_cost(record, undo->was_dirty,
					    undo->value, record->value);

		record->is_there = undo->was_there;
		record->value = undo->value;
		if (cache->undo_count < cache->flushed) {
			/* The engine has to be told again. */
			cache->growth += cost;
			record_dirty(cache, undo->record);
			continue;
		}
		MBJ_ASSERT(cache->growth >= cost);
		cache->growth -= cost;
		if (!undo->was_dirty)
			record_clean(cache, undo->record);
	}
	if (cache->flushed > savepoint)
		cache->flushed = savepoint;
}

uint64_t cache_growth(const struct cache *cache)
{
	return cache->growth;
}

/*
 * The engine likes its keys in order; qsort has no context to give.  The
 * first bytes of the key decide mostly, without a look at the record.
 */
struct sorted {
	const struct record *record;
	uint64_t begin; /* of the key, most significant byte first */
	uint8_t table;
};

static uint64_t key_begin(struct mbj_bytes key)
{
	uint8_t bytes[8] = {0};
	uint64_t begin = 0;

	memcpy(bytes, key.p, key.n < sizeof(bytes) ? key.n : sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		begin = begin << 8 | bytes[i];
	return begin;
}

static int sorted_compare(const void *a, const void *b)
{
	const struct sorted *x = a;
	const struct sorted *y = b;

	if (x->table != y->table)
		return x->table < y->table ? -1 : 1;
	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	return mbj_bytes_compare(x->record->key, y->record->key);
}

/* So many that the engine is told of at once. */
enum { FLUSH_COUNT = 64 };

static enum mbj_rc sorted_write(struct db_txn *txn, const struct sorted *sorted,
				size_t count, struct mbj_error *err)
{
	struct db_change changes[FLUSH_COUNT];

	MBJ_ASSERT(count <= FLUSH_COUNT);
	for (size_t i = 0; i < count; i++) {
		const struct record *record = sorted[i].record;

		changes[i] = (struct db_change){
			.table = (enum db_table)record->table,
			.is_there = record->is_there,
			.was_there = record->was_there,
			.key = record->key,
			.value = record->value,
			.before = record->before,
		};
	}
	return db_write(txn, changes, count, err);
}

enum mbj_rc cache_flush(struct cache *cache, struct db_txn *txn,
			struct mbj_error *err)
{
	size_t count = cache->dirty_count;
	struct sorted *sorted;
	enum mbj_rc rc = MBJ_OK;

	if (count == 0)
		return MBJ_OK;
	sorted = mbj_calloc(count, sizeof(*sorted));
	if (!sorted)
		return mbj_error_nomem(err);
	for (size_t i = 0; i < count; i++) {
		const struct record *record = &cache->records[cache->dirty[i]];

		sorted[i] = (struct sorted){record, key_begin(record->key),
					    record->table};
	}
	qsort(sorted, count, sizeof(*sorted), sorted_compare);
	/* From the first on, and also where a later one fails. */
	cache->flushed = cache->undo_count;
	for (size_t i = 0; rc == MBJ_OK && i < count; i += FLUSH_COUNT)
		rc = sorted_write(txn, sorted + i,
				  count - i < FLUSH_COUNT ? count - i
							  : FLUSH_COUNT,
				  err);
	mbj_free(sorted);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++)
		cache->records[cache->dirty[i]].is_dirty = false;
	cache->dirty_count = 0;
	return MBJ_OK;
}

/*
 * Room of one large transaction, an import, would be kept for good, and what
 * comes after it would be all over it, each time where nothing is near the
 * processor.
 */
static void records_give_back(struct cache *cache)
{
	if (cache->capacity / 2 <= cache->records_max)
		return;
	mbj_table_done(&cache->index);
	mbj_free(cache->records);
	mbj_free(cache->dirty);
	cache->records = NULL;
	cache->capacity = 0;
	cache->dirty = NULL;
	cache->dirty_capacity = 0;
}

/* Likewise; few records that are changed often fill it, too. */
static void undo_give_back(struct cache *cache)
{
	if (cache->undo_capacity / 2 <= cache->records_max)
		return;
	mbj_free(cache->undo);
	cache->undo = NULL;
	cache->undo_capacity = 0;
}

static void cache_empty(struct cache *cache)
{
	cache->count = 0;
	cache->dirty_count = 0;
	records_give_back(cache);
	mbj_table_clear(&cache->index);
	mbj_arena_reset(cache->arena);
}

static void undo_empty(struct cache *cache)
{
	cache->undo_count = 0;
	cache->flushed = 0;
	cache->growth = 0;
	undo_give_back(cache);
}

void cache_committed(struct cache *cache)
{
	MBJ_ASSERT(cache->dirty_count == 0);
	for (size_t i = 0; i < cache->undo_count; i++)
		cache->records[cache->undo[i].record].is_changed = false;
	undo_empty(cache);
	if (cache->count > cache->records_max ||
	    mbj_arena_used(cache->arena) > CACHE_KEPT_MAX)
		cache_empty(cache);
}

void cache_aborted(struct cache *cache)
{
	if (cache->undo_count > 0 || cache->dirty_count > 0)
		cache_empty(cache);
	undo_empty(cache);
}
