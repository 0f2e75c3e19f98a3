/*
 * Which JMAP id is which MAILBOXID: found by text while a document is read,
 * by MAILBOXID while one is written.
 *
 * Invariants:
 *   1. ids[i] belongs to text i of the index;
 *   2. both directions are unique: a text has one id, an id one text.
 *
 * Threads: one at a time; concurrent readers are fine.
 */
#include "jmap_map.h"

#include <mbj/check.h>
#include <mbj/codec.h>

struct mbj_jmap_map {
	struct jmap_index texts;
	struct mbj_table by_id; /* numbers of texts */
	struct mbj_id *ids;
	size_t capacity;
};

enum mbj_rc mbj_jmap_map_new(const struct mbj_sys *sys,
			     struct mbj_jmap_map **ret_map,
			     struct mbj_error *err)
{
	struct mbj_jmap_map *map;
	enum mbj_rc rc;

	MBJ_ASSERT(sys != NULL);
	MBJ_ASSERT(ret_map != NULL);
	map = mbj_calloc(1, sizeof(*map));
	if (map == NULL)
		return mbj_error_nomem(err);
	mbj_table_init(&map->by_id);
	rc = jmap_index_init(&map->texts, sys, err);
	if (rc < 0) {
		mbj_free(map);
		return rc;
	}
	*ret_map = map;
	return MBJ_OK;
}

void mbj_jmap_map_free(struct mbj_jmap_map **map)
{
	if (map == NULL || *map == NULL)
		return;
	jmap_index_done(&(*map)->texts);
	mbj_table_done(&(*map)->by_id);
	mbj_free((*map)->ids);
	mbj_free(*map);
	*map = NULL;
}

size_t mbj_jmap_map_count(const struct mbj_jmap_map *map)
{
	MBJ_ASSERT(map != NULL);
	MBJ_ASSERT(map->texts.count <= map->texts.capacity);
	return map->texts.count;
}

void mbj_jmap_map_get(const struct mbj_jmap_map *map, size_t index,
		      struct mbj_id *ret_id, struct mbj_bytes *ret_text)
{
	MBJ_ASSERT(map != NULL);
	MBJ_ASSERT(index < map->texts.count);
	*ret_id = map->ids[index];
	*ret_text = map->texts.texts[index];
}

static uint64_t id_hash(const struct mbj_jmap_map *map, struct mbj_id id)
{
	return mbj_siphash(map->texts.key, mbj_bytes_make(id.b, sizeof(id.b)));
}

bool mbj_jmap_map_find(const struct mbj_jmap_map *map, struct mbj_id id,
		       struct mbj_bytes *ret_text)
{
	uint64_t hash;
	uint32_t at, number;

	MBJ_ASSERT(map != NULL && ret_text != NULL);
	hash = id_hash(map, id);
	at = mbj_table_seek(&map->by_id, hash);
	while (mbj_table_next(&map->by_id, hash, &at, &number)) {
		MBJ_ASSERT(number < map->texts.count);
		if (mbj_id_equal(map->ids[number], id)) {
			*ret_text = map->texts.texts[number];
			return true;
		}
	}
	return false;
}

bool jmap_map_seek(const struct mbj_jmap_map *map, struct mbj_bytes text,
		   struct mbj_id *ret_id)
{
	uint32_t number;

	MBJ_ASSERT(map != NULL && ret_id != NULL);
	if (!jmap_index_find(&map->texts, text, &number))
		return false;
	*ret_id = map->ids[number];
	return true;
}

enum mbj_rc jmap_map_add(struct mbj_jmap_map *map, struct mbj_bytes text,
			 struct mbj_id id, struct mbj_error *err)
{
	uint32_t number = map->texts.count;
	enum mbj_rc rc;

	MBJ_ASSERT(!mbj_id_is_reserved(id));
	rc = mbj_array_reserve((void **)&map->ids, &map->capacity,
			       (size_t)number + 1, sizeof(*map->ids),
			       (size_t)2 * MBJ_ACCOUNT_MAILBOXES_MAX, err);
	if (rc < 0)
		return rc;
	rc = mbj_table_add(&map->by_id, id_hash(map, id), number, err);
	if (rc < 0)
		return rc;
	map->ids[number] = id;
	rc = jmap_index_add(&map->texts, text, err);
	if (rc < 0)
		(void)mbj_table_remove(&map->by_id, id_hash(map, id), number);
	return rc;
}

enum mbj_rc jmap_map_number(struct mbj_jmap_map *map, struct mbj_bytes text,
			    struct mbj_id *ret_id, struct mbj_error *err)
{
	struct mbj_id id = MBJ_ID_ROOT;
	enum mbj_rc rc;

	if (jmap_map_seek(map, text, ret_id))
		return MBJ_OK;
	/* From 1: never ROOT, never TEMP. */
	mbj_store_be64(id.b + 8, (uint64_t)map->texts.count + 1);
	rc = jmap_map_add(map, text, id, err);
	if (rc < 0)
		return rc;
	*ret_id = id;
	return MBJ_OK;
}

void jmap_map_out(const struct mbj_jmap_map *map, struct jmap_out *out,
		  const char *key, struct mbj_id id)
{
	struct mbj_bytes text;

	if (map != NULL && mbj_jmap_map_find(map, id, &text))
		jmap_out_bytes(out, key, text);
	else
		jmap_out_id(out, key, id);
}

void jmap_map_text(const struct mbj_jmap_map *map, struct mbj_id id,
		   struct mbj_buf *buf)
{
	char digits[MBJ_ID_TEXT_SIZE];
	struct mbj_bytes text;

	MBJ_ASSERT(!mbj_id_is_root(id));
	mbj_id_print(id, digits);
	if (map == NULL || !mbj_jmap_map_find(map, id, &text))
		text = mbj_bytes_str(digits);
	mbj_buf_put_bytes(buf, text);
}
