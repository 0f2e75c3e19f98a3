/*
 * The window of request ids: a ring in the order of LSNs, and a table into it.
 *
 * Invariants:
 *   1. LSNs of the ring ascend;
 *   2. the table has each entry of the ring once, by its place.
 *
 * Threads: one at a time per window.
 */
#include "recall.h"

#include <mbj/check.h>
#include <mbj/memory.h>

enum { CAPACITY_MIN = 256 };

void recall_init(struct recall *recall, struct mbj_sip_key key, uint64_t window)
{
	*recall = (struct recall){.key = key, .window = window};
	mbj_table_init(&recall->table);
}

void recall_done(struct recall *recall)
{
	mbj_free(recall->entries);
	mbj_table_done(&recall->table);
	recall->entries = NULL;
	recall->capacity = 0;
}

void recall_clear(struct recall *recall)
{
	mbj_table_clear(&recall->table);
	recall->first = recall->end = 0;
}

static uint64_t hash_of(const struct recall *recall, struct mbj_id request)
{
	return mbj_siphash(recall->key,
			   mbj_bytes_make(request.b, sizeof(request.b)));
}

static uint32_t place_of(const struct recall *recall, uint64_t at)
{
	return (uint32_t)(at & (recall->capacity - 1));
}

static struct recall_entry *entry_get(const struct recall *recall, uint64_t at)
{
	return &recall->entries[place_of(recall, at)];
}

static enum mbj_rc ring_grow(struct recall *recall, struct mbj_error *err)
{
	size_t capacity =
		recall->capacity ? 2 * recall->capacity : (size_t)CAPACITY_MIN;
	struct recall_entry *entries = mbj_calloc(capacity, sizeof(*entries));
	struct mbj_table table;
	enum mbj_rc rc;

	mbj_table_init(&table);
	if (entries == NULL)
		return mbj_error_nomem(err);
	rc = mbj_table_reserve(&table, capacity, err);
	for (uint64_t at = recall->first; rc == MBJ_OK && at < recall->end;
	     at++) {
		size_t place = (size_t)(at & (capacity - 1));

		entries[place] = *entry_get(recall, at);
		rc = mbj_table_add(&table,
				   hash_of(recall, entries[place].request),
				   (uint32_t)place, err);
	}
	if (rc < 0) {
		mbj_table_done(&table);
		mbj_free(entries);
		return rc;
	}
	mbj_free(recall->entries);
	mbj_table_done(&recall->table);
	recall->entries = entries;
	recall->capacity = capacity;
	recall->table = table;
	return MBJ_OK;
}

enum mbj_rc recall_reserve(struct recall *recall, struct mbj_error *err)
{
	size_t count = (size_t)(recall->end - recall->first);
	enum mbj_rc rc = MBJ_OK;

	if (count == recall->capacity)
		rc = ring_grow(recall, err);
	if (rc == MBJ_OK)
		rc = mbj_table_reserve(&recall->table, count + 1, err);
	return rc;
}

void recall_add(struct recall *recall, struct mbj_id request,
		struct mbj_lsn lsn)
{
	uint64_t at = recall->end;
	enum mbj_rc rc;

	MBJ_ASSERT(at - recall->first < recall->capacity);
	MBJ_ASSERT(at == recall->first ||
		   entry_get(recall, at - 1)->lsn.v < lsn.v);
	*entry_get(recall, at) = (struct recall_entry){request, lsn};
	rc = mbj_table_add(&recall->table, hash_of(recall, request),
			   place_of(recall, at), NULL);
	MBJ_ASSERT(rc == MBJ_OK);
	recall->end++;
}

bool recall_find(const struct recall *recall, struct mbj_id request,
		 struct mbj_lsn *ret_lsn)
{
	uint64_t hash = hash_of(recall, request);
	uint32_t at = mbj_table_seek(&recall->table, hash);
	bool is_found = false;
	uint32_t place;

	while (mbj_table_next(&recall->table, hash, &at, &place)) {
		const struct recall_entry *entry = &recall->entries[place];

		if (!mbj_id_equal(entry->request, request) ||
		    (is_found && entry->lsn.v < ret_lsn->v))
			continue;
		is_found = true;
		*ret_lsn = entry->lsn;
	}
	return is_found;
}

static void entry_drop(struct recall *recall, uint64_t at)
{
	const struct recall_entry *entry = entry_get(recall, at);
	bool was_there;

	was_there = mbj_table_remove(&recall->table,
				     hash_of(recall, entry->request),
				     place_of(recall, at));
	MBJ_ASSERT(was_there);
}

void recall_end_set(struct recall *recall, struct mbj_lsn end)
{
	while (recall->first < recall->end &&
	       entry_get(recall, recall->end - 1)->lsn.v > end.v)
		entry_drop(recall, --recall->end);
	while (recall->first < recall->end &&
	       end.v - entry_get(recall, recall->first)->lsn.v >=
		       recall->window)
		entry_drop(recall, recall->first++);
}

void recall_first_set(struct recall *recall, struct mbj_lsn first)
{
	while (recall->first < recall->end &&
	       entry_get(recall, recall->first)->lsn.v < first.v)
		entry_drop(recall, recall->first++);
}
