/*
 * Giving space back: contents that were removed, and packs that have little
 * else; see pack.h.
 *
 *	pack of mostly dead records
 *	  -> its live ones appended to the open pack, and synced
 *	  -> its index removed, and that synced
 *	  -> removed
 *
 * A crash before the last step leaves contents twice, or a pack without an
 * index, which the next opening scans: what was dead in it comes back, and the
 * next collection finds it again.
 *
 * Invariants:
 *   1. a pack is removed after the records that replace its live ones are on
 *      disk, and never the one of the highest number;
 *   2. a pack that has a live record which cannot be read stays, as does one
 *      whose records cannot all be told.
 *
 * Threads: see pack.h; a compaction leads the rounds where it changes packs.
 */
#include <mbj/check.h>

#include "blob_priv.h"

enum mbj_rc packs_remove(struct mbj_blobs *blobs, const struct mbj_hash *digest,
			 bool *ret_was_there, struct mbj_error *err)
{
	struct packs *packs = &blobs->packs;
	enum mbj_rc rc = MBJ_OK;

	*ret_was_there = false;
	/* Older records of it must not come to light. */
	for (size_t i = packs->count; rc == MBJ_OK && i-- > 0;) {
		struct pack *pack = packs->list[i];
		struct pack_entry *entry;

		rc = pack->is_missing ? MBJ_OK : pack_load(blobs, pack, err);
		if (rc < 0 || pack->is_missing)
			continue;
		entry = pack_find(pack, digest);
		if (entry == NULL)
			continue;
		if (pack_entry_is_good(pack, entry))
			*ret_was_there = true;
		else
			pack->doubts--;
		entry->at = 0;
		pack->removals++;
		pack->is_trimmed = true;
	}
	return rc;
}

/* ----------------------------------------------------------- what is alive */

/* The record counts, and no later one of its digest does. */
static enum mbj_rc entry_is_live(struct mbj_blobs *blobs,
				 const struct pack *pack,
				 const struct pack_entry *entry, bool *ret_is,
				 struct mbj_error *err)
{
	struct pack_place place = {NULL, 0, 0};
	bool is_there = false;
	enum mbj_rc rc = MBJ_OK;

	if (pack_entry_is_good(pack, entry))
		rc = packs_find(blobs, &entry->digest, &place, &is_there, err);
	*ret_is = is_there && place.pack == pack;
	return rc;
}

static enum mbj_rc pack_live(struct mbj_blobs *blobs, struct pack *pack,
			     uint64_t *ret_size, struct mbj_error *err)
{
	enum mbj_rc rc;

	*ret_size = 0;
	rc = pack_load(blobs, pack, err);
	for (size_t i = 0; rc == MBJ_OK && i < pack->count; i++) {
		bool is_live = false;

		rc = entry_is_live(blobs, pack, &pack->entries[i], &is_live,
				   err);
		if (is_live)
			*ret_size += pack_space(pack->entries[i].size);
	}
	return rc;
}

/* -------------------------------------------------------------- one pack */

/*
 * One live record into the open pack.  What cannot be read stays where it is,
 * and is named to who reads it.
 */
static enum mbj_rc entry_copy(struct mbj_blobs *blobs, struct pack *pack,
			      const struct pack_entry *entry,
			      bool *ret_is_copied, struct mbj_error *err)
{
	uint8_t *p = mbj_alloc(entry->size);
	bool is_live = false;
	struct mbj_error why;
	enum mbj_rc rc;

	if (p == NULL)
		return mbj_error_nomem(err);
	*ret_is_copied =
		pack_content_read(blobs, pack, entry, p, &why) == MBJ_OK;
	pthread_mutex_lock(&blobs->mutex);
	rc = entry_is_live(blobs, pack, entry, &is_live, err);
	if (rc == MBJ_OK && is_live && *ret_is_copied)
		rc = packs_append(blobs, &entry->digest,
				  mbj_bytes_make(p, entry->size), err);
	else if (rc == MBJ_OK && !is_live)
		*ret_is_copied = true;
	pthread_mutex_unlock(&blobs->mutex);
	mbj_free(p);
	return rc;
}

/* The next entry that is live, from *at on. */
static enum mbj_rc live_next(struct mbj_blobs *blobs, const struct pack *pack,
			     size_t *at, struct pack_entry *ret_entry,
			     bool *ret_is_there, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	*ret_is_there = false;
	pthread_mutex_lock(&blobs->mutex);
	while (rc == MBJ_OK && !*ret_is_there && *at < pack->count) {
		*ret_entry = pack->entries[(*at)++];
		rc = entry_is_live(blobs, pack, ret_entry, ret_is_there, err);
	}
	pthread_mutex_unlock(&blobs->mutex);
	return rc;
}

static enum mbj_rc entries_copy(struct mbj_blobs *blobs, struct pack *pack,
				bool *ret_are_all, struct mbj_error *err)
{
	struct pack_entry entry;
	bool is_there = true;
	size_t at = 0;
	enum mbj_rc rc = MBJ_OK;

	*ret_are_all = true;
	while (rc == MBJ_OK && is_there) {
		bool is_copied = true;

		rc = blob_pending_bound(blobs, err);
		if (rc == MBJ_OK)
			rc = live_next(blobs, pack, &at, &entry, &is_there,
				       err);
		if (rc == MBJ_OK && is_there)
			rc = entry_copy(blobs, pack, &entry, &is_copied, err);
		*ret_are_all &= is_copied;
	}
	return rc == MBJ_OK ? mbj_blobs_sync(blobs, err) : rc;
}

/* Index, then pack: an index alone tells of a loss. */
static enum mbj_rc pack_unlink(struct mbj_blobs *blobs, struct pack *pack,
			       struct mbj_error *err)
{
	const struct packs *packs = &blobs->packs;
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = pack_path(blobs, pack->number, true, path, err);
	if (rc == MBJ_OK)
		rc = mbj_file_remove(blobs->sys, path, err);
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(blobs->sys, packs->dir, err);
	if (rc == MBJ_ENOTFOUND)
		rc = MBJ_OK;
	if (rc == MBJ_OK)
		rc = mbj_file_remove(blobs->sys, pack->file.path, err);
	return rc;
}

static enum mbj_rc pack_compact(struct mbj_blobs *blobs, struct pack *pack,
				struct mbj_error *err)
{
	bool are_all = false;
	enum mbj_rc rc;

	rc = entries_copy(blobs, pack, &are_all, err);
	if (rc == MBJ_OK && are_all)
		rc = pack_unlink(blobs, pack, err);
	pthread_mutex_lock(&blobs->mutex);
	if (rc == MBJ_OK && are_all) {
		packs_drop(blobs, pack);
	} else if (rc == MBJ_OK && pack->is_trimmed) {
		blob_lead_begin(blobs);
		rc = pack_index_write(blobs, pack, err);
		blob_lead_end(blobs);
	}
	pack_unuse(blobs, pack);
	pthread_mutex_unlock(&blobs->mutex);
	return rc;
}

/* ------------------------------------------------------------------ all */

/* Less than a half of its bytes are live, and they are worth it. */
static bool pack_is_sparse(const struct packs *packs, const struct pack *pack,
			   uint64_t live)
{
	uint64_t size = pack->end - PACK_HEADER_SIZE;
	bool is_last = pack == packs->list[packs->count - 1];

	/* That the last one goes takes a next one, and nothing unsynced. */
	if (is_last && (packs->open == NULL || pack->synced < pack->end))
		return false;
	if (!is_last && live == 0)
		return true;
	return size > live && size - live > packs->dead_min &&
	       live < size - live;
}

/*
 * The next pack that has to go, in use; NULL: none.  One that stays says in its
 * index what is left, the open one too.
 */
static enum mbj_rc sparse_pick(struct mbj_blobs *blobs, uint32_t *number,
			       struct pack **ret_pack, struct mbj_error *err)
{
	struct packs *packs = &blobs->packs;
	enum mbj_rc rc = MBJ_OK;

	*ret_pack = NULL;
	for (size_t i = 0; rc == MBJ_OK && i < packs->count; i++) {
		struct pack *pack = packs->list[i];
		uint64_t live = 0;

		if (pack->number <= *number || pack->is_missing ||
		    pack->is_failed || pack->damage != 0)
			continue;
		*number = pack->number;
		rc = pack_live(blobs, pack, &live, err);
		if (pack->damage != 0)
			continue;
		if (rc == MBJ_OK && pack_is_sparse(packs, pack, live)) {
			if (pack == packs->list[packs->count - 1])
				rc = packs_begin(blobs, err);
			if (rc == MBJ_OK)
				rc = pack_use(blobs, pack, err);
			if (rc == MBJ_OK)
				*ret_pack = pack;
			return rc;
		}
		if (rc == MBJ_OK && pack->is_trimmed)
			rc = pack_index_write(blobs, pack, err);
	}
	return rc;
}

enum mbj_rc mbj_blobs_compact(struct mbj_blobs *blobs, struct mbj_error *err)
{
	uint32_t number = 0, last;
	struct pack *pack = NULL;
	enum mbj_rc rc;

	MBJ_ASSERT(blobs != NULL && blobs->is_owner);
	/* A pack that ends has nothing that is not on disk. */
	rc = mbj_blobs_sync(blobs, err);
	pthread_mutex_lock(&blobs->mutex);
	last = blobs->packs.number_max;
	pthread_mutex_unlock(&blobs->mutex);
	while (rc == MBJ_OK && number < last) {
		pthread_mutex_lock(&blobs->mutex);
		blob_lead_begin(blobs);
		rc = sparse_pick(blobs, &number, &pack, err);
		blob_lead_end(blobs);
		pthread_mutex_unlock(&blobs->mutex);
		if (rc == MBJ_OK && pack != NULL)
			rc = pack_compact(blobs, pack, err);
		if (pack == NULL)
			break;
	}
	return rc;
}
