/*
 * Packs without an index, or behind its end: what is in them, and what of that
 * is to be relied on; see pack.h.
 *
 * Each record tells up to where its pack was on disk when it was written, and
 * a mark at a clean close tells it for all.  What comes before the highest such
 * offset is good or damaged; what comes after may be torn by a power cut, or
 * be in the page cache alone, of a process that died.
 *
 * Invariants:
 *   1. a scan reads headers, and never takes content for one: the salt;
 *   2. what the owner settled is on disk and was compared with its digests.
 *
 * Threads: see pack.h.
 */
#include <mbj/check.h>
#include <mbj/codec.h>

#include "blob_priv.h"

enum { WINDOW_SIZE = 64 << 10 };

/* A piece of the file, read ahead. */
struct window {
	struct mbj_file *file;
	uint8_t *p;
	uint64_t at;
	size_t n;
};

/* n bytes from at on; NULL where the file ends before. */
static enum mbj_rc window_get(struct window *window, uint64_t at, size_t n,
			      const uint8_t **ret_p, struct mbj_error *err)
{
	uint64_t offset;
	enum mbj_rc rc;

	MBJ_ASSERT(n <= WINDOW_SIZE);
	if (at < window->at || at + n > window->at + window->n) {
		window->n = 0;
		rc = mbj_file_read(window->file, at, window->p, WINDOW_SIZE,
				   &window->n, err);
		if (rc < 0)
			return rc;
		window->at = at;
	}
	offset = at - window->at;
	*ret_p = offset + n <= window->n ? window->p + offset : NULL;
	return MBJ_OK;
}

struct scan {
	struct mbj_blobs *blobs;
	struct pack *pack;
	struct window window;
	uint64_t size; /* of the file */
};

/* The record at that place; false: there is none. */
static enum mbj_rc record_at(struct scan *scan, uint64_t at,
			     struct pack_record *ret_record, bool *ret_is_there,
			     struct mbj_error *err)
{
	const uint8_t *p = NULL;
	enum mbj_rc rc;

	rc = window_get(&scan->window, at, PACK_RECORD_SIZE, &p, err);
	*ret_is_there = rc == MBJ_OK && p != NULL &&
			pack_record_decode(p, ret_record) &&
			ret_record->salt == scan->pack->salt &&
			at + pack_space(ret_record->size) <= scan->size;
	return rc;
}

/* The header; where it is damaged, the first record tells the salt. */
static enum mbj_rc salt_read(struct scan *scan, struct mbj_error *err)
{
	struct pack *pack = scan->pack;
	struct mbj_error why = {.rc = MBJ_OK};
	struct pack_record record;
	const uint8_t *p = NULL;
	enum mbj_rc rc;

	if (pack->end > PACK_HEADER_SIZE)
		return MBJ_OK;
	rc = window_get(&scan->window, 0, PACK_HEADER_SIZE, &p, err);
	if (rc < 0 || p == NULL) {
		pack->is_torn = true;
		return rc;
	}
	rc = pack_header_decode(p, pack->number, &pack->salt, pack->file.path,
				&why);
	if (rc == MBJ_EUNSUPPORTED && err != NULL)
		*err = why;
	if (rc != MBJ_ECORRUPT)
		return rc;
	pack->is_torn = true;
	rc = window_get(&scan->window, PACK_HEADER_SIZE, PACK_RECORD_SIZE, &p,
			err);
	if (rc == MBJ_OK && p != NULL && pack_record_decode(p, &record))
		pack->salt = record.salt;
	return rc;
}

static enum mbj_rc record_take(struct scan *scan,
			       const struct pack_record *record,
			       struct mbj_error *err)
{
	struct pack *pack = scan->pack;
	const struct pack_entry entry = {
		.digest = record->digest,
		.at = (uint32_t)(pack->end / PACK_ALIGN),
		.size = record->size,
	};
	enum mbj_rc rc = MBJ_OK;

	if ((record->flags & PACK_FLAG_MARK) == 0)
		rc = pack_entry_add(pack, &entry, err);
	if (rc < 0)
		return rc;
	if (record->synced > pack->mark)
		pack->mark = record->synced;
	/* A mark itself is nothing that could be lost. */
	if ((record->flags & PACK_FLAG_MARK) != 0 &&
	    record->synced == pack->end)
		pack->mark = pack->end + PACK_RECORD_SIZE;
	pack->end += pack_space(record->size);
	return MBJ_OK;
}

/*
 * Behind the end there is no record: is one further on, which says that all
 * before it was on disk?  If not, is anything there but zeroes?
 */
static enum mbj_rc gap_search(struct scan *scan, bool *ret_is_found,
			      struct mbj_error *err)
{
	struct pack *pack = scan->pack;
	enum mbj_rc rc = MBJ_OK;

	*ret_is_found = false;
	for (uint64_t at = pack->end; rc == MBJ_OK && at < scan->size;
	     at += PACK_ALIGN) {
		size_t n = scan->size - at < PACK_ALIGN
				   ? (size_t)(scan->size - at)
				   : PACK_ALIGN;
		const uint8_t *p = NULL;
		struct pack_record record;
		bool is_record = false;

		rc = window_get(&scan->window, at, n, &p, err);
		if (rc < 0 || p == NULL)
			break;
		for (size_t i = 0; i < n; i++)
			pack->is_torn |= p[i] != 0;
		if (n == PACK_ALIGN && pack_record_begins(p))
			rc = record_at(scan, at, &record, &is_record, err);
		if (!is_record || record.synced <= pack->end)
			continue;
		if (pack->damage == 0)
			pack->damage = pack->end;
		pack->end = at;
		*ret_is_found = true;
		return rc;
	}
	return rc;
}

static enum mbj_rc scan_run(struct scan *scan, bool is_thorough,
			    struct mbj_error *err)
{
	struct pack *pack = scan->pack;
	struct pack_record record;
	bool is_there = true;
	enum mbj_rc rc;

	rc = salt_read(scan, err);
	while (rc == MBJ_OK && is_there) {
		rc = record_at(scan, pack->end, &record, &is_there, err);
		if (rc < 0)
			break;
		if (is_there)
			rc = record_take(scan, &record, err);
		else if (is_thorough)
			rc = gap_search(scan, &is_there, err);
	}
	return rc;
}

static enum mbj_rc scan_begin(struct scan *scan, struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = pack_use(scan->blobs, scan->pack, err);
	if (rc < 0)
		return rc;
	scan->window.file = &scan->pack->file;
	scan->window.p = mbj_alloc(WINDOW_SIZE);
	if (scan->window.p == NULL)
		rc = mbj_error_nomem(err);
	if (rc == MBJ_OK)
		rc = mbj_file_size(&scan->pack->file, &scan->size, err);
	return rc;
}

enum mbj_rc pack_scan(struct mbj_blobs *blobs, struct pack *pack,
		      bool is_thorough, struct mbj_error *err)
{
	struct scan scan = {.blobs = blobs, .pack = pack};
	enum mbj_rc rc;

	MBJ_ASSERT(pack->is_loaded && !pack->is_sorted);
	rc = scan_begin(&scan, err);
	if (rc == MBJ_OK && scan.size < pack->end) {
		pack->damage = scan.size;
		pack->is_torn = true;
	} else if (rc == MBJ_OK) {
		rc = scan_run(&scan, is_thorough, err);
	}
	if (rc == MBJ_OK)
		pack->reserved = scan.size > pack->end ? scan.size : pack->end;
	mbj_free(scan.window.p);
	if (scan.window.file != NULL)
		pack_unuse(blobs, pack);
	return rc;
}

/* ---------------------------------------------------------------- contents */

static enum mbj_rc bytes_read(const struct mbj_blobs *blobs, struct pack *pack,
			      uint64_t at, const struct mbj_hash *digest,
			      uint8_t *p, size_t n, struct mbj_error *err)
{
	size_t got = 0;
	enum mbj_rc rc = mbj_file_read(&pack->file, at, p, n, &got, err);

	if (rc < 0 || got == n)
		return rc;
	return pack_damaged(blobs, pack, at, digest, "is cut off", err);
}

static enum mbj_rc record_compare(const struct mbj_blobs *blobs,
				  const struct pack *pack,
				  const struct pack_entry *entry,
				  const uint8_t *header, struct mbj_error *err)
{
	struct pack_record record;

	if (!pack_record_decode(header, &record) || record.salt != pack->salt ||
	    record.size != entry->size || record.flags != 0 ||
	    memcmp(record.digest.b, entry->digest.b, MBJ_HASH_SIZE) != 0)
		return pack_damaged(blobs, pack, pack_entry_at(entry),
				    &entry->digest, "has a damaged header",
				    err);
	return MBJ_OK;
}

enum mbj_rc pack_record_check(const struct mbj_blobs *blobs, struct pack *pack,
			      const struct pack_entry *entry,
			      struct mbj_error *err)
{
	uint8_t header[PACK_RECORD_SIZE];
	enum mbj_rc rc;

	rc = bytes_read(blobs, pack, pack_entry_at(entry), &entry->digest,
			header, sizeof(header), err);
	return rc < 0 ? rc : record_compare(blobs, pack, entry, header, err);
}

enum mbj_rc pack_content_read(const struct mbj_blobs *blobs, struct pack *pack,
			      const struct pack_entry *entry, uint8_t *p,
			      struct mbj_error *err)
{
	struct mbj_hash digest;
	enum mbj_rc rc;

	rc = pack_record_check(blobs, pack, entry, err);
	if (rc == MBJ_OK)
		rc = bytes_read(blobs, pack,
				pack_entry_at(entry) + PACK_RECORD_SIZE,
				&entry->digest, p, entry->size, err);
	if (rc == MBJ_OK)
		rc = blob_digest(mbj_bytes_make(p, entry->size), &digest, err);
	if (rc == MBJ_OK &&
	    memcmp(digest.b, entry->digest.b, MBJ_HASH_SIZE) != 0)
		rc = pack_damaged(blobs, pack, pack_entry_at(entry),
				  &entry->digest, "is not what its name says",
				  err);
	return rc;
}

/* ---------------------------------------------------------------- settling */

/* Nothing from there on counts. */
static void pack_cut(struct pack *pack, uint64_t at)
{
	for (size_t i = 0; i < pack->count; i++)
		if (pack_entry_at(&pack->entries[i]) >= at)
			pack->entries[i].at = 0;
	pack->end = at;
	pack->is_torn = true;
}

/* Compare a record's content, and write all of it again where it is. */
static enum mbj_rc record_settle(struct mbj_blobs *blobs, struct pack *pack,
				 const struct pack_entry *entry,
				 bool *ret_is_good, struct mbj_error *err)
{
	uint64_t at = pack_entry_at(entry);
	size_t n = PACK_RECORD_SIZE + (size_t)entry->size;
	uint8_t *p = mbj_alloc(n);
	struct mbj_error why;
	enum mbj_rc rc;

	if (p == NULL)
		return mbj_error_nomem(err);
	rc = pack_content_read(blobs, pack, entry, p + PACK_RECORD_SIZE, &why);
	*ret_is_good = rc == MBJ_OK;
	if (rc == MBJ_ECORRUPT)
		rc = MBJ_OK;
	else if (rc < 0 && err != NULL)
		*err = why;
	if (rc == MBJ_OK && *ret_is_good)
		rc = bytes_read(blobs, pack, at, &entry->digest, p,
				PACK_RECORD_SIZE, err);
	if (rc == MBJ_OK && *ret_is_good)
		rc = mbj_file_write(&pack->file, at, p, n, err);
	mbj_free(p);
	return rc;
}

static enum mbj_rc records_settle(struct scan *scan, struct mbj_error *err)
{
	struct pack *pack = scan->pack;
	uint64_t at = pack->mark > pack->indexed ? pack->mark : pack->indexed;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && at < pack->end) {
		struct pack_record record;
		bool is_good = false;

		rc = record_at(scan, at, &record, &is_good, err);
		if (rc == MBJ_OK && is_good &&
		    (record.flags & PACK_FLAG_MARK) == 0) {
			const struct pack_entry entry = {
				.digest = record.digest,
				.at = (uint32_t)(at / PACK_ALIGN),
				.size = record.size,
			};

			rc = record_settle(scan->blobs, pack, &entry, &is_good,
					   err);
		}
		if (rc == MBJ_OK && !is_good)
			pack_cut(pack, at);
		else if (rc == MBJ_OK)
			at += pack_space(record.size);
	}
	return rc;
}

enum mbj_rc pack_settle(struct mbj_blobs *blobs, struct pack *pack,
			struct mbj_error *err)
{
	struct scan scan = {.blobs = blobs, .pack = pack};
	enum mbj_rc rc = MBJ_OK;

	MBJ_ASSERT(blobs->is_owner);
	if (pack->mark < pack->end) {
		rc = scan_begin(&scan, err);
		if (rc == MBJ_OK)
			rc = records_settle(&scan, err);
		if (rc == MBJ_OK)
			rc = mbj_file_sync(&pack->file, err);
		mbj_free(scan.window.p);
		if (scan.window.file != NULL)
			pack_unuse(blobs, pack);
	}
	if (rc == MBJ_OK)
		pack->synced = pack->end;
	return rc;
}
