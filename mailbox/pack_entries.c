/*
 * Which contents a pack has: a table of those of a pack that grows, ascending
 * entries of one that does not; see pack.h.
 *
 * Invariants:
 *   1. an entry has at 0 where its content was removed;
 *   2. of one pack no two entries with a place have the same digest.
 *
 * Threads: see pack.h.
 */
#include <stdlib.h>

#include <mbj/check.h>
#include <mbj/codec.h>

#include "blob_priv.h"

/* Who makes digests alike costs himself time. */
static uint64_t table_hash(const struct mbj_hash *digest)
{
	return mbj_load_u64(digest->b + 8);
}

static int digest_compare(const struct mbj_hash *a, const struct mbj_hash *b)
{
	return memcmp(a->b, b->b, MBJ_HASH_SIZE);
}

/* By the digest's first bits. */
static size_t fanout_place(const struct mbj_hash *digest, unsigned bits)
{
	uint32_t first = (uint32_t)digest->b[0] << 24 |
			 (uint32_t)digest->b[1] << 16 |
			 (uint32_t)digest->b[2] << 8 | digest->b[3];

	return bits == 0 ? 0 : first >> (32 - bits);
}

static struct pack_entry *sorted_find(const struct pack *pack,
				      const struct mbj_hash *digest)
{
	size_t place = fanout_place(digest, pack->fanout_bits);
	size_t from = pack->fanout[place];
	size_t to = pack->fanout[place + 1];

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		int order =
			digest_compare(&pack->entries[middle].digest, digest);

		if (order == 0)
			return &pack->entries[middle];
		if (order < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return NULL;
}

struct pack_entry *pack_find(const struct pack *pack,
			     const struct mbj_hash *digest)
{
	uint64_t hash = table_hash(digest);
	uint32_t at, i;

	MBJ_ASSERT(pack->is_loaded);
	if (pack->count == 0)
		return NULL;
	if (pack->is_sorted) {
		struct pack_entry *found = sorted_find(pack, digest);

		return found != NULL && found->at != 0 ? found : NULL;
	}
	at = mbj_table_seek(&pack->table, hash);
	while (mbj_table_next(&pack->table, hash, &at, &i))
		if (pack->entries[i].at != 0 &&
		    digest_compare(&pack->entries[i].digest, digest) == 0)
			return &pack->entries[i];
	return NULL;
}

bool pack_entry_is_good(const struct pack *pack, const struct pack_entry *entry)
{
	return entry->at != 0 &&
	       (!pack->is_failed || pack_entry_at(entry) < pack->synced);
}

enum mbj_rc pack_entry_add(struct pack *pack, const struct pack_entry *entry,
			   struct mbj_error *err)
{
	struct pack_entry *found;
	enum mbj_rc rc;

	MBJ_ASSERT(!pack->is_sorted && entry->at != 0);
	found = pack_find(pack, &entry->digest);
	if (found != NULL) {
		*found = *entry;
		return MBJ_OK;
	}
	rc = mbj_array_reserve((void **)&pack->entries, &pack->capacity,
			       pack->count + 1, sizeof(*entry), INDEX_COUNT_MAX,
			       err);
	if (rc == MBJ_OK)
		rc = mbj_table_add(&pack->table, table_hash(&entry->digest),
				   (uint32_t)pack->count, err);
	if (rc == MBJ_OK)
		pack->entries[pack->count++] = *entry;
	return rc;
}

static int entry_compare(const void *a, const void *b)
{
	const struct pack_entry *left = a, *right = b;

	return digest_compare(&left->digest, &right->digest);
}

void pack_entries_sort(struct pack_entry *entries, size_t count)
{
	qsort(entries, count, sizeof(*entries), entry_compare);
}

enum mbj_rc pack_entries_copy(const struct pack *pack, uint64_t end,
			      struct pack_entry **ret_entries,
			      size_t *ret_count, struct mbj_error *err)
{
	struct pack_entry *entries =
		mbj_calloc(pack->count + 1, sizeof(*entries));
	size_t count = 0;

	if (entries == NULL)
		return mbj_error_nomem(err);
	for (size_t i = 0; i < pack->count; i++) {
		const struct pack_entry *entry = &pack->entries[i];

		if (pack_entry_is_good(pack, entry) &&
		    pack_entry_at(entry) < end)
			entries[count++] = *entry;
	}
	*ret_entries = entries;
	*ret_count = count;
	return MBJ_OK;
}

/* One place for each entry, or two. */
static enum mbj_rc fanout_make(const struct pack_entry *entries, size_t count,
			       uint32_t **ret_fanout, unsigned *ret_bits,
			       struct mbj_error *err)
{
	unsigned bits = 0;
	uint32_t *fanout;
	size_t at = 0;

	while (bits < 20 && (size_t)2 << bits <= count)
		bits++;
	fanout = mbj_calloc(((size_t)1 << bits) + 1, sizeof(*fanout));
	if (fanout == NULL)
		return mbj_error_nomem(err);
	for (size_t place = 0; place < (size_t)1 << bits; place++) {
		fanout[place] = (uint32_t)at;
		while (at < count &&
		       fanout_place(&entries[at].digest, bits) == place)
			at++;
	}
	MBJ_ASSERT(at == count);
	fanout[(size_t)1 << bits] = (uint32_t)count;
	*ret_fanout = fanout;
	*ret_bits = bits;
	return MBJ_OK;
}

enum mbj_rc pack_entries_take(struct pack *pack, struct pack_entry *entries,
			      size_t count, struct mbj_error *err)
{
	uint32_t *fanout = NULL;
	unsigned bits = 0;
	enum mbj_rc rc;

	rc = fanout_make(entries, count, &fanout, &bits, err);
	if (rc < 0)
		return rc;
	pack_entries_done(pack);
	pack->entries = entries;
	pack->count = count;
	pack->capacity = count + 1;
	pack->fanout = fanout;
	pack->fanout_bits = bits;
	pack->is_sorted = true;
	pack->is_loaded = true;
	return MBJ_OK;
}

void pack_entries_done(struct pack *pack)
{
	mbj_free(pack->entries);
	mbj_free(pack->fanout);
	mbj_table_done(&pack->table);
	pack->entries = NULL;
	pack->fanout = NULL;
	pack->count = 0;
	pack->capacity = 0;
	pack->is_sorted = false;
	pack->is_loaded = false;
}
