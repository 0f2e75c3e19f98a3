/*
 * The index of texts: a hash table of numbers over an array of texts.
 *
 * It knows nothing of JSON.  The hash is keyed with fresh randomness, so that
 * nobody can prepare a document whose keys all collide.
 *
 * Invariants: see jmap_index.h.
 * Threads: one at a time.
 */
#include "jmap_index.h"

#include <mbj/check.h>
#include <mbj/limits.h>

/* As many texts as there can be entries on both sides of a plan. */
#define INDEX_COUNT_MAX ((size_t)2 * MBJ_ACCOUNT_MAILBOXES_MAX)
#define INDEX_BYTES_MAX ((size_t)1 << 30)

enum mbj_rc jmap_random(const struct mbj_sys *sys, void *p, size_t n,
			struct mbj_error *err)
{
	int result;

	MBJ_ASSERT(sys != NULL && sys->random != NULL);
	MBJ_ASSERT(p != NULL && n > 0);
	result = sys->random(sys->ctx, p, n);
	if (result < 0)
		return mbj_error_errno(err, -result, "cannot get random bytes",
				       NULL);
	return MBJ_OK;
}

enum mbj_rc jmap_index_init(struct jmap_index *index, const struct mbj_sys *sys,
			    struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(index != NULL);
	*index = (struct jmap_index){.count = 0};
	mbj_table_init(&index->table);
	rc = jmap_random(sys, &index->key, sizeof(index->key), err);
	if (rc < 0)
		return rc;
	return mbj_arena_new(INDEX_BYTES_MAX, &index->arena, err);
}

void jmap_index_done(struct jmap_index *index)
{
	if (index == NULL)
		return;
	MBJ_ASSERT(index->count <= index->capacity);
	mbj_arena_free(&index->arena);
	mbj_table_done(&index->table);
	mbj_free(index->texts);
	*index = (struct jmap_index){.count = 0};
}

bool jmap_index_find(const struct jmap_index *index, struct mbj_bytes text,
		     uint32_t *ret_number)
{
	uint64_t hash = mbj_siphash(index->key, text);
	uint32_t at = mbj_table_seek(&index->table, hash), number;

	while (mbj_table_next(&index->table, hash, &at, &number)) {
		MBJ_ASSERT(number < index->count);
		if (mbj_bytes_equal(index->texts[number], text)) {
			*ret_number = number;
			return true;
		}
	}
	return false;
}

enum mbj_rc jmap_index_add(struct jmap_index *index, struct mbj_bytes text,
			   struct mbj_error *err)
{
	struct mbj_bytes copy;
	enum mbj_rc rc;

	MBJ_ASSERT(index->arena != NULL);
	MBJ_ASSERT(text.p != NULL || text.n == 0);
	rc = mbj_array_reserve((void **)&index->texts, &index->capacity,
			       (size_t)index->count + 1, sizeof(*index->texts),
			       INDEX_COUNT_MAX, err);
	if (rc < 0)
		return rc;
	if (!mbj_arena_dup(index->arena, text, &copy))
		return mbj_error_nomem(err);
	rc = mbj_table_add(&index->table, mbj_siphash(index->key, text),
			   index->count, err);
	if (rc < 0)
		return rc;
	index->texts[index->count++] = copy;
	return MBJ_OK;
}
