/*
 * What becomes of packs in a round: synced, in doubt, renewed, indexed; see
 * pack.h and blob_sync.c.
 *
 * A pack whose sync failed is not relied on beyond what was synced before, and
 * gets nothing any more.  What it got since is in doubt: not there, until the
 * next round or whoever stores it again writes it into another pack.
 *
 * Invariants:
 *   1. an index tells of nothing that was not on disk before it;
 *   2. no round succeeds while there are doubts.
 *
 * Threads: see pack.h; one at a time leads.
 */
#include <mbj/check.h>

#include "blob_priv.h"

/* ------------------------------------------------------------------ doubts */

static bool entry_is_doubtful(const struct pack *pack,
			      const struct pack_entry *entry)
{
	return pack->is_failed && entry->at != 0 &&
	       pack_entry_at(entry) >= pack->synced;
}

bool packs_is_pending(const struct mbj_blobs *blobs,
		      const struct mbj_hash *digest)
{
	const struct packs *packs = &blobs->packs;

	for (size_t i = packs->count; i-- > 0;) {
		const struct pack *pack = packs->list[i];
		const struct pack_entry *entry;

		if (pack != packs->open && pack->doubts == 0)
			continue;
		entry = pack_find(pack, digest);
		if (entry != NULL && pack_entry_at(entry) >= pack->synced)
			return true;
	}
	return false;
}

bool packs_have_doubts(const struct mbj_blobs *blobs)
{
	const struct packs *packs = &blobs->packs;

	for (size_t i = packs->count; i-- > 0;)
		if (packs->list[i]->doubts > 0)
			return true;
	return false;
}

void packs_doubt_forget(struct mbj_blobs *blobs, const struct mbj_hash *digest)
{
	struct packs *packs = &blobs->packs;

	for (size_t i = packs->count; i-- > 0;) {
		struct pack *pack = packs->list[i];
		struct pack_entry *entry;

		if (pack->doubts == 0)
			continue;
		entry = pack_find(pack, digest);
		if (entry == NULL || !entry_is_doubtful(pack, entry))
			continue;
		entry->at = 0;
		pack->doubts--;
	}
}

void packs_doubt(struct mbj_blobs *blobs, struct pack *pack)
{
	MBJ_ASSERT(pack == blobs->packs.open && !pack->is_failed);
	pack->is_failed = true;
	pack->is_index_due = true;
	for (size_t i = 0; i < pack->count; i++)
		pack->doubts += entry_is_doubtful(pack, &pack->entries[i]);
	blobs->packs.open = NULL;
	blobs->packs.is_entry_new = false;
}

/* Some doubtful entry, its pack in use. */
static enum mbj_rc doubt_pick(struct mbj_blobs *blobs, struct pack **ret_pack,
			      struct pack_entry *ret_entry,
			      struct mbj_error *err)
{
	struct packs *packs = &blobs->packs;

	*ret_pack = NULL;
	for (size_t i = 0; i < packs->count; i++) {
		struct pack *pack = packs->list[i];

		for (size_t k = pack->count; pack->doubts > 0 && k-- > 0;) {
			enum mbj_rc rc;

			if (!entry_is_doubtful(pack, &pack->entries[k]))
				continue;
			*ret_entry = pack->entries[k];
			rc = pack_use(blobs, pack, err);
			if (rc == MBJ_OK)
				*ret_pack = pack;
			return rc;
		}
	}
	return MBJ_OK;
}

static enum mbj_rc doubt_renew(struct mbj_blobs *blobs, struct pack *pack,
			       const struct pack_entry *entry,
			       struct mbj_error *err)
{
	uint8_t *p = mbj_alloc(entry->size);
	const struct pack_entry *found;
	enum mbj_rc rc;

	rc = p == NULL ? mbj_error_nomem(err)
		       : pack_content_read(blobs, pack, entry, p, err);
	pthread_mutex_lock(&blobs->mutex);
	found = pack_find(pack, &entry->digest);
	/* Meanwhile somebody may have stored it, or removed it. */
	if (found == NULL || !entry_is_doubtful(pack, found))
		rc = MBJ_OK;
	else if (rc == MBJ_OK)
		rc = packs_append(blobs, &entry->digest,
				  mbj_bytes_make(p, entry->size), err);
	pack_unuse(blobs, pack);
	pthread_mutex_unlock(&blobs->mutex);
	mbj_free(p);
	return rc;
}

enum mbj_rc packs_renew(struct mbj_blobs *blobs, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	for (;;) {
		struct pack_entry entry;
		struct pack *pack = NULL;

		pthread_mutex_lock(&blobs->mutex);
		rc = doubt_pick(blobs, &pack, &entry, err);
		pthread_mutex_unlock(&blobs->mutex);
		if (rc == MBJ_OK && pack != NULL)
			rc = doubt_renew(blobs, pack, &entry, err);
		if (rc < 0 || pack == NULL)
			return rc;
	}
}

/* ----------------------------------------------------------------- indexes */

/* What an index will say, and the pack be from then on. */
struct draft {
	struct pack_index index;
	struct pack_entry *entries;
	size_t count;
	uint64_t removals;
};

static enum mbj_rc draft_begin(const struct pack *pack, struct draft *draft,
			       struct mbj_error *err)
{
	MBJ_ASSERT(pack->is_loaded && pack->doubts == 0);
	draft->removals = pack->removals;
	draft->index = (struct pack_index){
		.number = pack->number,
		.end = pack->synced,
		.salt = pack->salt,
	};
	return pack_entries_copy(pack, pack->synced, &draft->entries,
				 &draft->count, err);
}

/* Without the mutex. */
static enum mbj_rc draft_write(const struct mbj_blobs *blobs,
			       struct draft *draft, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf bytes;
	const char *name;
	enum mbj_rc rc;

	pack_entries_sort(draft->entries, draft->count);
	draft->index.count = (uint32_t)draft->count;
	rc = pack_path(blobs, draft->index.number, true, path, err);
	if (rc < 0)
		return rc;
	name = path + strlen(blobs->packs.dir) + 1;
	mbj_buf_init(&bytes,
		     INDEX_HEADER_SIZE + draft->count * INDEX_ENTRY_SIZE);
	pack_index_encode(&draft->index, draft->entries, &bytes);
	rc = mbj_buf_ok(&bytes, err);
	if (rc == MBJ_OK)
		rc = mbj_file_replace(blobs->sys, blobs->packs.dir, name,
				      mbj_buf_view(&bytes), err);
	mbj_buf_done(&bytes);
	return rc;
}

/* It is there.  A pack that grows no more has the order instead of a table. */
static enum mbj_rc draft_take(struct mbj_blobs *blobs, struct pack *pack,
			      struct draft *draft, struct mbj_error *err)
{
	enum mbj_rc rc;

	pack->indexed = draft->index.end;
	if (draft->removals != pack->removals)
		return MBJ_OK;
	pack->is_trimmed = false;
	if (pack->is_sorted || pack == blobs->packs.open)
		return MBJ_OK;
	rc = pack_entries_take(pack, draft->entries, draft->count, err);
	if (rc == MBJ_OK) {
		draft->entries = NULL;
		pack->is_failed = false;
		pack->end = pack->synced;
	}
	return rc;
}

enum mbj_rc pack_index_write(struct mbj_blobs *blobs, struct pack *pack,
			     struct mbj_error *err)
{
	struct draft draft = {.entries = NULL};
	enum mbj_rc rc;

	rc = draft_begin(pack, &draft, err);
	if (rc == MBJ_OK)
		rc = draft_write(blobs, &draft, err);
	if (rc == MBJ_OK)
		rc = draft_take(blobs, pack, &draft, err);
	mbj_free(draft.entries);
	return rc;
}

/* A pack of which nothing ever came to the disk, and nothing is in doubt. */
static bool pack_is_void(const struct mbj_blobs *blobs, const struct pack *pack)
{
	return pack != blobs->packs.open && pack->is_failed &&
	       pack->synced == PACK_HEADER_SIZE && pack->doubts == 0 &&
	       pack->users == 0;
}

/* One that is full is open no more. */
static void open_end(struct packs *packs)
{
	struct pack *open = packs->open;

	if (open == NULL || open->synced < open->end ||
	    (open->end < packs->size_max && open->count < packs->count_max))
		return;
	open->is_index_due = true;
	packs->open = NULL;
}

static bool index_is_due(const struct packs *packs, const struct pack *pack)
{
	uint64_t from =
		pack->indexed > pack->tried ? pack->indexed : pack->tried;

	if (pack == packs->open)
		return pack->synced - from >= packs->index_step;
	return pack->is_index_due && pack->doubts == 0;
}

/* A pack whose index is due, in use; NULL: none. */
static struct pack *index_pick(struct mbj_blobs *blobs)
{
	struct packs *packs = &blobs->packs;

	open_end(packs);
	for (size_t i = packs->count; i-- > 0;) {
		struct pack *pack = packs->list[i];

		if (pack_is_void(blobs, pack)) {
			(void)blobs->sys->unlink(blobs->sys->ctx,
						 pack->file.path);
			packs_drop(blobs, pack);
			continue;
		}
		if (!index_is_due(packs, pack))
			continue;
		pack->is_index_due = false;
		pack->tried = pack->synced;
		pack->users++;
		return pack;
	}
	return NULL;
}

void packs_index(struct mbj_blobs *blobs)
{
	for (;;) {
		struct draft draft = {.entries = NULL};
		struct pack *pack;
		enum mbj_rc rc;

		pthread_mutex_lock(&blobs->mutex);
		pack = index_pick(blobs);
		rc = pack == NULL ? MBJ_OK : draft_begin(pack, &draft, NULL);
		pthread_mutex_unlock(&blobs->mutex);
		if (pack == NULL)
			return;
		if (rc == MBJ_OK)
			rc = draft_write(blobs, &draft, NULL);
		pthread_mutex_lock(&blobs->mutex);
		/* Derived: where it fails, the next opening makes it. */
		if (rc == MBJ_OK)
			rc = draft_take(blobs, pack, &draft, NULL);
		pack_unuse(blobs, pack);
		pthread_mutex_unlock(&blobs->mutex);
		mbj_free(draft.entries);
		(void)rc;
	}
}
