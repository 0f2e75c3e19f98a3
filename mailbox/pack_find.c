/*
 * Finding contents in packs: their entries are loaded when a content is looked
 * for the first time; see pack.h.
 *
 * Invariant: the entries of the owner's packs stand for records that are on
 * disk, or that the next round syncs.
 *
 * Threads: see pack.h.
 */
#include <stdio.h>

#include <mbj/check.h>

#include "blob_priv.h"

enum {
	INDEX_SIZE_MAX = INDEX_HEADER_SIZE + INDEX_COUNT_MAX * INDEX_ENTRY_SIZE,
};

/* ----------------------------------------------------------------- entries */

static enum mbj_rc index_load(struct mbj_blobs *blobs, struct pack *pack,
			      struct pack_entry **ret_entries,
			      size_t *ret_count, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct pack_index index = {.count = 0};
	struct mbj_buf bytes;
	enum mbj_rc rc;

	rc = pack_path(blobs, pack->number, true, path, err);
	if (rc < 0)
		return rc;
	mbj_buf_init(&bytes, INDEX_SIZE_MAX);
	rc = mbj_file_load(blobs->sys, path, INDEX_SIZE_MAX, &bytes, err);
	if (rc == MBJ_OK)
		rc = pack_index_decode(mbj_buf_view(&bytes), pack->number,
				       &index, ret_entries, path, err);
	mbj_buf_done(&bytes);
	if (rc < 0)
		return rc;
	*ret_count = index.count;
	pack->salt = index.salt;
	pack->end = index.end;
	pack->synced = index.end;
	pack->indexed = index.end;
	pack->mark = index.end;
	return MBJ_OK;
}

/* Of a pack that grows: a table instead of an order. */
static enum mbj_rc entries_grow(struct pack *pack,
				const struct pack_entry *entries, size_t count,
				struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	pack->is_loaded = true;
	for (size_t i = 0; rc == MBJ_OK && i < count; i++)
		rc = pack_entry_add(pack, &entries[i], err);
	return rc;
}

static enum mbj_rc pack_sort(struct pack *pack, struct mbj_error *err)
{
	struct pack_entry *entries = NULL;
	size_t count = 0;
	enum mbj_rc rc;

	rc = pack_entries_copy(pack, pack->end, &entries, &count, err);
	if (rc < 0)
		return rc;
	pack_entries_sort(entries, count);
	rc = pack_entries_take(pack, entries, count, err);
	if (rc < 0)
		mbj_free(entries);
	return rc;
}

/* All that there is of a pack that has no index, or more than that. */
static enum mbj_rc records_load(struct mbj_blobs *blobs, struct pack *pack,
				bool is_last, struct mbj_error *err)
{
	bool is_thorough = blobs->is_owner || !is_last;
	enum mbj_rc rc;

	rc = pack_scan(blobs, pack, is_thorough, err);
	if (rc == MBJ_OK && blobs->is_owner)
		rc = pack_settle(blobs, pack, err);
	if (rc < 0 || is_last)
		return rc;
	/*
	 * Derived: where it cannot be written, the next one scans again; and
	 * what is damaged is to be found again.
	 */
	if (blobs->is_owner && pack->damage == 0)
		return pack_index_write(blobs, pack, NULL) == MBJ_OK
			       ? MBJ_OK
			       : pack_sort(pack, err);
	return pack_sort(pack, err);
}

static enum mbj_rc entries_load(struct mbj_blobs *blobs, struct pack *pack,
				struct mbj_error *err)
{
	bool is_last = pack == blobs->packs.list[blobs->packs.count - 1];
	struct pack_entry *entries = NULL;
	struct mbj_error why = {.rc = MBJ_OK};
	size_t count = 0;
	bool has_index;
	enum mbj_rc rc;

	rc = index_load(blobs, pack, &entries, &count, &why);
	has_index = rc == MBJ_OK;
	/* It is derived: the pack tells the same. */
	if (rc == MBJ_ENOTFOUND || rc == MBJ_ECORRUPT || rc == MBJ_ELIMIT)
		rc = MBJ_OK;
	if (rc < 0) {
		if (err != NULL)
			*err = why;
		return rc;
	}
	if (pack->is_missing && !has_index)
		return blob_damaged(pack->file.path, "is gone", err);
	if (has_index && (!is_last || pack->is_missing)) {
		rc = pack_entries_take(pack, entries, count, err);
		if (rc < 0)
			mbj_free(entries);
		return rc;
	}
	rc = entries_grow(pack, entries, count, err);
	mbj_free(entries);
	if (rc == MBJ_OK)
		rc = records_load(blobs, pack, is_last, err);
	return rc;
}

enum mbj_rc pack_load(struct mbj_blobs *blobs, struct pack *pack,
		      struct mbj_error *err)
{
	enum mbj_rc rc;

	if (pack->is_loaded)
		return MBJ_OK;
	rc = entries_load(blobs, pack, err);
	if (rc == MBJ_OK)
		return MBJ_OK;
	pack_entries_done(pack);
	/* It was compacted since: its contents are elsewhere. */
	if (rc == MBJ_ENOTFOUND && !blobs->is_owner && !pack->is_missing) {
		pack->is_loaded = true;
		pack->is_missing = true;
		return MBJ_OK;
	}
	return rc;
}

enum mbj_rc packs_find(struct mbj_blobs *blobs, const struct mbj_hash *digest,
		       struct pack_place *ret_place, bool *ret_is_there,
		       struct mbj_error *err)
{
	struct packs *packs = &blobs->packs;
	enum mbj_rc rc = MBJ_OK;

	if (!packs->is_listed)
		rc = packs_list(blobs, err);
	for (size_t i = packs->count; rc == MBJ_OK && i-- > 0;) {
		struct pack *pack = packs->list[i];
		const struct pack_entry *entry;

		if (pack->is_missing)
			continue;
		rc = pack_load(blobs, pack, err);
		if (rc < 0 || pack->is_missing)
			continue;
		entry = pack_find(pack, digest);
		if (entry == NULL || !pack_entry_is_good(pack, entry))
			continue;
		*ret_place = (struct pack_place){pack, pack_entry_at(entry),
						 entry->size};
		*ret_is_there = true;
		return MBJ_OK;
	}
	*ret_is_there = false;
	return rc;
}

/* One that is gone and had the content, or is damaged and may have had it. */
static bool pack_is_suspect(struct mbj_blobs *blobs, struct pack *pack,
			    const struct mbj_hash *digest)
{
	if (pack->is_missing && pack_load(blobs, pack, NULL) == MBJ_OK)
		return pack_find(pack, digest) != NULL;
	return pack->damage != 0;
}

void packs_suspect(struct mbj_blobs *blobs, const struct mbj_hash *digest,
		   char *text, size_t size)
{
	struct packs *packs = &blobs->packs;

	*text = '\0';
	pthread_mutex_lock(&blobs->mutex);
	for (size_t i = 0; *text == '\0' && i < packs->count; i++) {
		struct pack *pack = packs->list[i];

		if (!pack_is_suspect(blobs, pack, digest))
			continue;
		if (pack->is_missing)
			(void)snprintf(text, size,
				       ": it was in %s, which is "
				       "gone",
				       pack->file.path);
		else
			(void)snprintf(text, size, "; %s is damaged at %llu",
				       pack->file.path,
				       (unsigned long long)pack->damage);
	}
	pthread_mutex_unlock(&blobs->mutex);
}

/* --------------------------------------------------------- beside an owner */

enum mbj_rc packs_look_again(struct mbj_blobs *blobs, bool is_thorough,
			     struct mbj_error *err)
{
	struct packs *packs = &blobs->packs;
	enum mbj_rc rc = MBJ_OK;

	MBJ_ASSERT(!blobs->is_owner);
	if (is_thorough)
		rc = packs_list(blobs, err);
	for (size_t i = 0; rc == MBJ_OK && i < packs->count; i++) {
		struct pack *pack = packs->list[i];
		bool is_last = i + 1 == packs->count;

		if (!pack->is_loaded || pack->is_sorted || pack->is_missing ||
		    (!is_thorough && !is_last))
			continue;
		rc = pack_scan(blobs, pack, is_thorough, err);
		/* It has a successor, so that was all of it. */
		if (rc == MBJ_OK && !is_last)
			rc = pack_sort(pack, err);
		else if (rc == MBJ_ENOTFOUND)
			rc = MBJ_OK;
	}
	return rc;
}
