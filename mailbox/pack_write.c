/*
 * The owner's side of packs: the open one, and how contents come into it; see
 * pack.h.
 *
 *	        append             round: synced
 *	 open ----------> open ------------------> open, or full: sealed
 *	                    |
 *	                    +--> its sync failed: doubts (pack_round.c)
 *
 * Room is reserved in steps of zeroes, so that a sync of records costs no
 * metadata but once a step.
 *
 * Invariants:
 *   1. a record's header tells no more than what was on disk by then;
 *   2. a content counts as there once its record is written, not before;
 *   3. what a failed write left is behind the end, and is overwritten.
 *
 * Threads: see pack.h.
 */
#include <fcntl.h>

#include <mbj/check.h>

#include "blob_priv.h"

enum {
	RESERVE_MIN = 64 << 10,
	RESERVE_MAX = 1 << 20,
	ZEROES = 64 << 10,
	CLOSE_INDEX_SHARE =
		4, /* of a step of the index: worth one at closing */
};

/* --------------------------------------------------------------- beginning */

static bool pack_is_full(const struct packs *packs, const struct pack *pack)
{
	return pack->end >= packs->size_max || pack->count >= packs->count_max;
}

bool packs_are_due(const struct mbj_blobs *blobs)
{
	const struct packs *packs = &blobs->packs;
	const struct pack *open = packs->open;

	return open != NULL &&
	       (open->end - open->synced >= packs->unsynced_max ||
		(pack_is_full(packs, open) && open->synced < open->end));
}

/* The last pack goes on, unless it is full or bent. */
static enum mbj_rc last_open(struct mbj_blobs *blobs, struct pack *pack,
			     struct mbj_error *err)
{
	struct packs *packs = &blobs->packs;
	enum mbj_rc rc;

	if (pack->is_missing)
		return MBJ_OK;
	rc = pack_load(blobs, pack, err);
	if (rc < 0)
		return rc;
	if (!pack->is_torn && pack->damage == 0 && !pack_is_full(packs, pack))
		packs->open = pack;
	else
		pack->is_index_due = pack->damage == 0;
	return MBJ_OK;
}

enum mbj_rc packs_open(struct mbj_blobs *blobs, struct mbj_error *err)
{
	struct packs *packs = &blobs->packs;
	enum mbj_rc rc;

	/* Who made what is in it may have died before this; so always. */
	rc = mbj_dir_sync(blobs->sys, packs->dir, err);
	if (rc == MBJ_OK)
		rc = packs_list(blobs, err);
	if (rc == MBJ_OK && packs->count > 0)
		rc = last_open(blobs, packs->list[packs->count - 1], err);
	return rc;
}

/* Its file, with a header; gone again where that fails. */
static enum mbj_rc file_begin(const struct mbj_blobs *blobs, struct pack *pack,
			      struct mbj_error *err)
{
	uint8_t header[PACK_HEADER_SIZE];
	int random;
	enum mbj_rc rc;

	random = blobs->sys->random(blobs->sys->ctx, &pack->salt,
				    sizeof(pack->salt));
	if (random < 0)
		return mbj_error_errno(err, -random, "no randomness for",
				       pack->file.path);
	rc = mbj_file_open(blobs->sys, pack->file.path,
			   O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, &pack->file,
			   err);
	if (rc < 0)
		return rc;
	pack_header_encode(pack->number, pack->salt, header);
	rc = mbj_file_write(&pack->file, 0, header, sizeof(header), err);
	pack->reserved = PACK_HEADER_SIZE;
	if (rc < 0)
		(void)blobs->sys->unlink(blobs->sys->ctx, pack->file.path);
	return rc;
}

static enum mbj_rc pack_begin(struct mbj_blobs *blobs, struct mbj_error *err)
{
	struct packs *packs = &blobs->packs;
	struct pack *pack = NULL;
	enum mbj_rc rc;

	if (packs->number_max == UINT32_MAX)
		return mbj_error_set(err, MBJ_ELIMIT, "%s has no numbers left",
				     packs->dir);
	rc = pack_new(blobs, packs->number_max + 1, &pack, err);
	if (rc < 0)
		return rc;
	MBJ_ASSERT(pack != NULL);
	rc = file_begin(blobs, pack, err);
	if (rc == MBJ_OK) {
		rc = packs_add(blobs, pack, err);
		if (rc < 0)
			(void)blobs->sys->unlink(blobs->sys->ctx,
						 pack->file.path);
	}
	if (rc < 0) {
		mbj_file_close(&pack->file);
		mbj_free(pack);
		return rc;
	}
	pack->is_loaded = true;
	packs->files++;
	packs->open = pack;
	packs->is_entry_new = true;
	return MBJ_OK;
}

enum mbj_rc packs_begin(struct mbj_blobs *blobs, struct mbj_error *err)
{
	struct pack *open = blobs->packs.open;

	if (open != NULL && open->end == PACK_HEADER_SIZE)
		return MBJ_OK;
	if (open != NULL) {
		MBJ_ASSERT(open->synced == open->end);
		open->is_index_due = true;
		blobs->packs.open = NULL;
	}
	return pack_begin(blobs, err);
}

/* --------------------------------------------------------------- appending */

static enum mbj_rc zero_write(struct pack *pack, uint64_t to,
			      struct mbj_error *err)
{
	static const uint8_t zeroes[ZEROES];
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && pack->reserved < to) {
		size_t n = to - pack->reserved < ZEROES
				   ? (size_t)(to - pack->reserved)
				   : ZEROES;

		rc = mbj_file_write(&pack->file, pack->reserved, zeroes, n,
				    err);
		if (rc == MBJ_OK)
			pack->reserved += n;
	}
	return rc;
}

/* Room for so many bytes at the end. */
static enum mbj_rc space_reserve(const struct packs *packs, struct pack *pack,
				 uint64_t size, struct mbj_error *err)
{
	uint64_t needed = pack->end + size;
	uint64_t step = pack->end;
	uint64_t to;

	if (needed <= pack->reserved)
		return MBJ_OK;
	if (step < RESERVE_MIN)
		step = RESERVE_MIN;
	if (step > RESERVE_MAX)
		step = RESERVE_MAX;
	to = pack->reserved + step;
	if (to > packs->size_max)
		to = packs->size_max;
	return zero_write(pack, to < needed ? needed : to, err);
}

static enum mbj_rc record_write(struct packs *packs, struct pack *pack,
				const struct pack_record *record,
				struct mbj_bytes content, struct mbj_error *err)
{
	struct mbj_buf *buf = &packs->record;
	uint8_t header[PACK_RECORD_SIZE];
	uint64_t space = pack_space(record->size);
	enum mbj_rc rc;

	rc = space_reserve(packs, pack, space, err);
	if (rc < 0)
		return rc;
	pack_record_encode(record, header);
	mbj_buf_clear(buf);
	mbj_buf_put(buf, header, sizeof(header));
	mbj_buf_put_bytes(buf, content);
	mbj_buf_put_zero(buf, (size_t)space - PACK_RECORD_SIZE - content.n);
	rc = mbj_buf_ok(buf, err);
	if (rc == MBJ_OK)
		rc = mbj_file_write(&pack->file, pack->end, buf->p, buf->n,
				    err);
	return rc;
}

enum mbj_rc packs_append(struct mbj_blobs *blobs, const struct mbj_hash *digest,
			 struct mbj_bytes content, struct mbj_error *err)
{
	struct packs *packs = &blobs->packs;
	struct pack_record record = {.size = (uint32_t)content.n,
				     .digest = *digest};
	struct pack_entry entry = {.digest = *digest,
				   .size = (uint32_t)content.n};
	struct pack *pack;
	enum mbj_rc rc = MBJ_OK;

	MBJ_ASSERT(content.n <= PACK_CONTENT_MAX);
	if (packs->open == NULL)
		rc = pack_begin(blobs, err);
	if (rc < 0)
		return rc;
	pack = packs->open;
	record.salt = pack->salt;
	record.synced = pack->synced;
	rc = record_write(packs, pack, &record, content, err);
	if (rc < 0)
		return rc;
	entry.at = (uint32_t)(pack->end / PACK_ALIGN);
	rc = pack_entry_add(pack, &entry, err);
	if (rc < 0)
		return rc;
	pack->end += pack_space(record.size);
	packs_doubt_forget(blobs, digest);
	return MBJ_OK;
}

/* ----------------------------------------------------------------- closing */

/* All of it is on disk: the next opening need not read it again. */
static void mark_write(struct packs *packs, struct pack *pack)
{
	const struct pack_record record = {.salt = pack->salt,
					   .synced = pack->end,
					   .flags = PACK_FLAG_MARK};

	if (pack->synced < pack->end || pack->mark >= pack->end)
		return;
	if (record_write(packs, pack, &record, mbj_bytes_make(NULL, 0), NULL) ==
	    MBJ_OK)
		pack->end += PACK_RECORD_SIZE;
}

void packs_close(struct mbj_blobs *blobs)
{
	struct packs *packs = &blobs->packs;
	struct pack *open = packs->open;
	enum mbj_rc rc = MBJ_OK;

	packs_index(blobs);
	if (open == NULL)
		return;
	mark_write(packs, open);
	if (open->synced - open->indexed >=
	    packs->index_step / CLOSE_INDEX_SHARE)
		rc = pack_index_write(blobs, open, NULL);
	/* Derived: the next opening scans. */
	(void)rc;
}
