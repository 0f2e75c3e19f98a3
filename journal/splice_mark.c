/*
 * Mended segments get their names, all of them or none.
 *
 *	segments synced, dir synced -> mark -> old ones kept, dir synced
 *	-> renames, dir synced -> mark removed, dir synced
 *
 * "mending", the mark:
 *
 *	 0   8  magic "MBJMENDI"
 *	 8   8  LSN from which on the end is unsure, 0: it is sure
 *	16   4  segments
 *	20   4  zero
 *	24  48  of each: file number (4), what it was is kept as ".damaged" (4:
 *		0), as ".damaged1" to 9, or was missing (10), first LSN (8),
 *		groups kept (8), fetched (8), from (8) and to this LSN (8)
 *	 -   4  CRC32C of all before
 *
 * Invariants:
 *   1. once the mark is there, a segment that has a ".mended" file is to get
 *      it, and any other has it: no other store is needed to go on;
 *   2. while it is there no opening takes the journal.
 *
 * Threads: one at a time.
 */
#include <mbj/check.h>
#include <mbj/codec.h>

#include "log_impl.h"
#include "splice_impl.h"

static const char mark_magic[8] = {'M', 'B', 'J', 'M', 'E', 'N', 'D', 'I'};

enum {
	HEAD_SIZE = 24,
	ENTRY_SIZE = 48,
	CRC_SIZE = 4,
	MARK_SIZE_MAX = HEAD_SIZE + ENTRY_SIZE * SEGMENT_COUNT_MAX + CRC_SIZE,
};

static struct segment_entry entry_of(const struct mbj_mended_segment *piece)
{
	return (struct segment_entry){piece->number, piece->first};
}

/* ------------------------------------------------------------------ bytes */

static void entry_put(struct mbj_buf *buf,
		      const struct mbj_mended_segment *piece, uint32_t keep)
{
	mbj_buf_put_u32(buf, piece->number);
	mbj_buf_put_u32(buf, keep);
	mbj_buf_put_u64(buf, piece->first.v);
	mbj_buf_put_u64(buf, piece->kept);
	mbj_buf_put_u64(buf, piece->fetched);
	mbj_buf_put_u64(buf, piece->lost.v);
	mbj_buf_put_u64(buf, piece->lost_end.v);
}

static uint32_t entry_get(const uint8_t *p, struct mbj_mended_segment *piece)
{
	*piece = (struct mbj_mended_segment){
		.number = mbj_load_u32(p),
		.first = {mbj_load_u64(p + 8)},
		.kept = mbj_load_u64(p + 16),
		.fetched = mbj_load_u64(p + 24),
		.lost = {mbj_load_u64(p + 32)},
		.lost_end = {mbj_load_u64(p + 40)},
		.was_missing = mbj_load_u32(p + 4) == SPLICE_KEEP_NONE,
	};
	return mbj_load_u32(p + 4);
}

static bool entries_are_good(struct mbj_bytes entries)
{
	struct mbj_mended_segment piece;
	bool are_good = true;

	for (size_t at = 0; are_good && at < entries.n; at += ENTRY_SIZE)
		are_good =
			entry_get(entries.p + at, &piece) <= SPLICE_KEEP_NONE;
	return are_good;
}

static struct mbj_bytes entries_of(struct mbj_bytes bytes)
{
	return mbj_bytes_make(bytes.p + HEAD_SIZE,
			      bytes.n - HEAD_SIZE - CRC_SIZE);
}

static bool mark_is_good(struct mbj_bytes bytes)
{
	return bytes.n >= HEAD_SIZE + CRC_SIZE &&
	       memcmp(bytes.p, mark_magic, sizeof(mark_magic)) == 0 &&
	       mbj_load_u32(bytes.p + 16) <= SEGMENT_COUNT_MAX &&
	       bytes.n == HEAD_SIZE + CRC_SIZE +
				  (size_t)ENTRY_SIZE *
					  mbj_load_u32(bytes.p + 16) &&
	       mbj_crc32c(0, mbj_bytes_make(bytes.p, bytes.n - CRC_SIZE)) ==
		       mbj_load_u32(bytes.p + bytes.n - CRC_SIZE) &&
	       entries_are_good(entries_of(bytes));
}

/* ------------------------------------------------------------------- file */

bool splice_mark_exists(const struct mbj_sys *sys, const char *dir)
{
	char path[MBJ_PATH_TEXT_MAX];

	return mbj_path_join(path, dir, LOG_MENDING_NAME, NULL) == MBJ_OK &&
	       mbj_path_exists(sys, path);
}

enum mbj_rc splice_mark_write(const struct mbj_sys *sys, const char *dir,
			      const struct mbj_mended *mended,
			      struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;
	struct mbj_buf buf;

	mbj_buf_init(&buf, MARK_SIZE_MAX);
	mbj_buf_put_bytes(&buf, mbj_bytes_make(mark_magic, sizeof(mark_magic)));
	mbj_buf_put_u64(&buf, mended->unsure.v);
	mbj_buf_put_u32(&buf, (uint32_t)mended->count);
	mbj_buf_put_u32(&buf, 0);
	for (size_t i = 0; rc == MBJ_OK && i < mended->count; i++) {
		struct segment_entry entry = entry_of(&mended->segments[i]);
		uint32_t keep = SPLICE_KEEP_NONE;

		rc = splice_damaged_pick(sys, dir, &entry, &keep, err);
		entry_put(&buf, &mended->segments[i], keep);
	}
	mbj_buf_put_u32(&buf, mbj_crc32c(0, mbj_buf_view(&buf)));
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(&buf, err);
	/* Whoever finds the mark finds what it tells of. */
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(sys, dir, err);
	if (rc == MBJ_OK)
		rc = mbj_file_replace(sys, dir, LOG_MENDING_NAME,
				      mbj_buf_view(&buf), err);
	mbj_buf_done(&buf);
	return rc;
}

static enum mbj_rc mark_load(const struct mbj_sys *sys, const char *path,
			     struct mbj_buf *buf, struct mbj_error *err)
{
	enum mbj_rc rc = mbj_file_load(sys, path, MARK_SIZE_MAX, buf, err);

	if (rc == MBJ_OK && !mark_is_good(mbj_buf_view(buf)))
		rc = mbj_error_set(err, MBJ_ECORRUPT,
				   "%s is damaged: which segments were put "
				   "into their places cannot be told",
				   path);
	return rc;
}

/* --------------------------------------------------------------- carry out */

static enum mbj_rc all_keep(const struct mbj_sys *sys, const char *dir,
			    struct mbj_bytes entries, struct mbj_error *err)
{
	struct mbj_mended_segment piece;
	enum mbj_rc rc = MBJ_OK;

	for (size_t at = 0; rc == MBJ_OK && at < entries.n; at += ENTRY_SIZE) {
		uint32_t keep = entry_get(entries.p + at, &piece);
		struct segment_entry entry = entry_of(&piece);

		if (splice_mended_exists(sys, dir, &entry))
			rc = splice_damaged_keep(sys, dir, &entry, keep, err);
	}
	return rc == MBJ_OK ? mbj_dir_sync(sys, dir, err) : rc;
}

static enum mbj_rc all_place(const struct mbj_sys *sys, const char *dir,
			     struct mbj_mended *mended, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < mended->count; i++) {
		struct segment_entry entry = entry_of(&mended->segments[i]);

		if (splice_mended_exists(sys, dir, &entry))
			rc = splice_mended_place(sys, dir, &entry, err);
		else
			rc = splice_placed_check(sys, dir, &entry, err);
		mended->segments[i].is_mended = rc == MBJ_OK;
	}
	return rc == MBJ_OK ? mbj_dir_sync(sys, dir, err) : rc;
}

static enum mbj_rc entries_take(struct mbj_mended *mended,
				struct mbj_bytes entries, struct mbj_error *err)
{
	const size_t count = entries.n / ENTRY_SIZE;
	void *segments = mended->segments;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&segments, &mended->capacity, count,
			       sizeof(*mended->segments), SEGMENT_COUNT_MAX,
			       err);
	mended->segments = segments;
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++)
		(void)entry_get(entries.p + i * ENTRY_SIZE,
				&mended->segments[i]);
	mended->count = count;
	return MBJ_OK;
}

enum mbj_rc splice_mark_carry_out(const struct mbj_sys *sys, const char *dir,
				  struct mbj_mended *mended,
				  struct mbj_error *err)
{
	struct mbj_bytes entries = {NULL, 0};
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf buf;
	enum mbj_rc rc;

	mbj_buf_init(&buf, MARK_SIZE_MAX);
	rc = mbj_path_join(path, dir, LOG_MENDING_NAME, err);
	if (rc == MBJ_OK)
		rc = mark_load(sys, path, &buf, err);
	if (rc == MBJ_OK) {
		entries = entries_of(mbj_buf_view(&buf));
		mended->unsure.v = mbj_load_u64(buf.p + 8);
		rc = entries_take(mended, entries, err);
	}
	if (rc == MBJ_OK)
		rc = all_keep(sys, dir, entries, err);
	if (rc == MBJ_OK)
		rc = all_place(sys, dir, mended, err);
	if (rc == MBJ_OK)
		rc = mbj_file_remove(sys, path, err);
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(sys, dir, err);
	mbj_buf_done(&buf);
	return rc;
}
