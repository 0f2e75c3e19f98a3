/*
 * Writing a mended segment, and putting it into the damaged one's place.
 *
 *	write -> sync -> read again
 *	  -> the old one is linked (or copied) as ".damaged", directory synced
 *	  -> rename over the old one, directory synced
 *
 * Invariants:
 *   1. at each moment the segment's name has the old bytes or the new ones,
 *      all of them and on disk;
 *   2. records are taken over byte by byte, frames are new, under a salt of
 *      their own.
 *
 * Threads: one at a time.
 */
#include "splice_file.h"

#include <fcntl.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>

#include "log_impl.h"

enum {
	FRAME_FULL = 1 << 20, /* bytes at which a frame is written */
	COPY_PIECE = 256 << 10,
	STEM_SIZE = SEGMENT_NAME_SIZE - 1 - 4, /* without ".seg" */
};

void splice_name_print(const struct segment_entry *entry, const char *suffix,
		       char name[SPLICE_NAME_SIZE])
{
	char segment[SEGMENT_NAME_SIZE];
	size_t n = strlen(suffix);

	MBJ_ASSERT(STEM_SIZE + n < SPLICE_NAME_SIZE);
	segment_name_print(entry->number, entry->first, segment);
	memcpy(name, segment, STEM_SIZE);
	memcpy(name + STEM_SIZE, suffix, n + 1);
}

static bool suffix_is(const char *suffix)
{
	const size_t n = sizeof(SPLICE_DAMAGED_SUFFIX) - 1;

	if (strcmp(suffix, SPLICE_MENDED_SUFFIX) == 0)
		return true;
	if (strncmp(suffix, SPLICE_DAMAGED_SUFFIX, n) != 0)
		return false;
	return suffix[n] == '\0' ||
	       (suffix[n] >= '1' && suffix[n] <= '9' && suffix[n + 1] == '\0');
}

bool splice_name_is(const char *name)
{
	char segment[SEGMENT_NAME_SIZE];
	struct mbj_lsn first;
	uint32_t number;

	if (strlen(name) <= STEM_SIZE || !suffix_is(name + STEM_SIZE))
		return false;
	memcpy(segment, name, STEM_SIZE);
	memcpy(segment + STEM_SIZE, ".seg", sizeof(".seg"));
	return segment_name_parse(segment, &number, &first);
}

static enum mbj_rc splice_path(const char *dir,
			       const struct segment_entry *entry,
			       const char *suffix, char path[MBJ_PATH_TEXT_MAX],
			       struct mbj_error *err)
{
	char name[SPLICE_NAME_SIZE];

	splice_name_print(entry, suffix, name);
	return mbj_path_join(path, dir, name, err);
}

void splice_file_init(struct splice_file *out, const struct mbj_sys *sys,
		      const char *dir, uint64_t segment_size, bool is_dry_run)
{
	*out = (struct splice_file){
		.sys = sys,
		.dir = dir,
		.segment_size = segment_size,
		.is_dry_run = is_dry_run,
		.file = MBJ_FILE_CLOSED,
	};
	mbj_buf_init(&out->frame, SEGMENT_FRAME_SIZE + MBJ_LOG_BATCH_MAX);
}

void splice_file_done(struct splice_file *out)
{
	mbj_file_close(&out->file);
	mbj_buf_done(&out->frame);
}

enum mbj_rc splice_file_begin(struct splice_file *out,
			      const struct segment_header *header,
			      struct mbj_error *err)
{
	struct segment_entry entry = {header->number, header->first};
	uint8_t bytes[SEGMENT_HEADER_SIZE];
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	out->header = *header;
	out->at = SEGMENT_HEADER_SIZE;
	out->count = 0;
	out->end = (struct mbj_log_end){{header->first.v - 1}, header->chain};
	out->before = out->end;
	mbj_buf_clear(&out->frame);
	if (out->is_dry_run)
		return MBJ_OK;
	rc = splice_path(out->dir, &entry, SPLICE_MENDED_SUFFIX, path, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(out->sys, path, O_RDWR | O_CREAT | O_TRUNC,
				   &out->file, err);
	if (rc < 0)
		return rc;
	segment_header_encode(header, bytes);
	return mbj_file_write(&out->file, 0, bytes, sizeof(bytes), err);
}

static enum mbj_rc frame_write(struct splice_file *out, struct mbj_error *err)
{
	struct segment_frame frame = {
		.payload_size = out->frame.n - SEGMENT_FRAME_SIZE,
		.first = {out->before.lsn.v + 1},
		.count = out->count,
		.chain = out->before.chain,
	};
	enum mbj_rc rc = MBJ_OK;

	frame.payload_crc =
		mbj_crc32c(0, mbj_bytes_make(out->frame.p + SEGMENT_FRAME_SIZE,
					     (size_t)frame.payload_size));
	segment_frame_encode(&frame, out->header.salt, out->frame.p);
	if (!out->is_dry_run)
		rc = mbj_file_write(&out->file, out->at, out->frame.p,
				    out->frame.n, err);
	out->at += out->frame.n;
	out->before = out->end;
	out->count = 0;
	mbj_buf_clear(&out->frame);
	return rc;
}

enum mbj_rc splice_file_add(struct splice_file *out,
			    const struct mbj_group *group,
			    struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(group->header.lsn.v == out->end.lsn.v + 1);
	out->end = (struct mbj_log_end){group->header.lsn, group->chain};
	if (out->count == 0)
		mbj_buf_put_zero(&out->frame, SEGMENT_FRAME_SIZE);
	mbj_buf_put_bytes(&out->frame, group->record);
	out->count++;
	rc = mbj_buf_ok(&out->frame, err);
	if (rc == MBJ_OK && out->frame.n >= FRAME_FULL)
		rc = frame_write(out, err);
	return rc;
}

bool splice_file_is_full(const struct splice_file *out)
{
	return out->at + out->frame.n >= out->segment_size;
}

/* What is in the file is what was added. */
static enum mbj_rc file_verify(struct splice_file *out, struct mbj_sha256 *sha,
			       struct mbj_error *err)
{
	struct segment_evidence evidence = {.durable = out->end.lsn,
					    .published = out->end};
	struct segment_view view;
	struct segment_scan scan;
	enum mbj_rc rc;

	segment_view_init(&view);
	view.file = out->file; /* lent: the view must not close it */
	rc = segment_scan(&view, &out->header, &evidence, SEGMENT_GROUPS, sha,
			  &scan, err);
	view.file = MBJ_FILE_CLOSED;
	segment_view_done(&view);
	if (rc == MBJ_OK &&
	    (scan.tail != SEGMENT_CLEAN || scan.end.lsn.v != out->end.lsn.v))
		rc = segment_fault(err, out->file.path, scan.end_at,
				   out->end.lsn,
				   "a mended segment is not what was written");
	return rc;
}

enum mbj_rc splice_file_end(struct splice_file *out, struct mbj_sha256 *sha,
			    struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	if (out->is_dry_run)
		return MBJ_OK;
	if (out->count > 0)
		rc = frame_write(out, err);
	if (rc == MBJ_OK)
		rc = mbj_file_sync(&out->file, err);
	if (rc == MBJ_OK)
		rc = file_verify(out, sha, err);
	mbj_file_close(&out->file);
	return rc;
}

/* ---------------------------------------------------------------- placing */

/* Under a name on its way in first, which the next attempt overwrites. */
static enum mbj_rc file_copy(const struct mbj_sys *sys, const char *dir,
			     const char *from, const char *to,
			     struct mbj_error *err)
{
	struct mbj_file source = MBJ_FILE_CLOSED;
	struct mbj_file target = MBJ_FILE_CLOSED;
	uint8_t *piece = mbj_alloc(COPY_PIECE);
	char part[MBJ_PATH_TEXT_MAX];
	size_t n = COPY_PIECE;
	enum mbj_rc rc;

	if (piece == NULL)
		return mbj_error_nomem(err);
	rc = mbj_path_join(part, dir, LOG_TEMP_NAME, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(sys, from, O_RDONLY, &source, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(sys, part, O_RDWR | O_CREAT | O_TRUNC,
				   &target, err);
	for (uint64_t at = 0; rc == MBJ_OK && n == COPY_PIECE; at += n) {
		rc = mbj_file_read(&source, at, piece, COPY_PIECE, &n, err);
		if (rc == MBJ_OK)
			rc = mbj_file_write(&target, at, piece, n, err);
	}
	if (rc == MBJ_OK)
		rc = mbj_file_sync(&target, err);
	mbj_file_close(&target);
	mbj_file_close(&source);
	mbj_free(piece);
	return rc == MBJ_OK ? mbj_file_rename(sys, part, to, err) : rc;
}

static enum mbj_rc damaged_path(const char *dir,
				const struct segment_entry *entry,
				uint32_t keep, char path[MBJ_PATH_TEXT_MAX],
				struct mbj_error *err)
{
	char suffix[sizeof(SPLICE_DAMAGED_SUFFIX) + 1] = SPLICE_DAMAGED_SUFFIX;

	if (keep > 0)
		suffix[sizeof(SPLICE_DAMAGED_SUFFIX) - 1] = (char)('0' + keep);
	return splice_path(dir, entry, suffix, path, err);
}

enum mbj_rc splice_damaged_pick(const struct mbj_sys *sys, const char *dir,
				const struct segment_entry *entry,
				uint32_t *ret_keep, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	*ret_keep = SPLICE_KEEP_NONE;
	rc = splice_path(dir, entry, ".seg", path, err);
	if (rc < 0 || !mbj_path_exists(sys, path))
		return rc;
	for (*ret_keep = 0; *ret_keep < SPLICE_KEEP_NONE; (*ret_keep)++) {
		rc = damaged_path(dir, entry, *ret_keep, path, err);
		if (rc < 0 || !mbj_path_exists(sys, path))
			return rc;
	}
	return mbj_error_set(err, MBJ_ELIMIT,
			     "what %d earlier damages left of a segment is "
			     "kept beside it, the last as %s: move them away",
			     SPLICE_KEEP_NONE, path);
}

enum mbj_rc splice_damaged_keep(const struct mbj_sys *sys, const char *dir,
				const struct segment_entry *entry,
				uint32_t keep, struct mbj_error *err)
{
	char from[MBJ_PATH_TEXT_MAX], to[MBJ_PATH_TEXT_MAX];
	bool is_linked = false;
	enum mbj_rc rc;

	if (keep >= SPLICE_KEEP_NONE)
		return MBJ_OK;
	rc = splice_path(dir, entry, ".seg", from, err);
	if (rc == MBJ_OK)
		rc = damaged_path(dir, entry, keep, to, err);
	if (rc < 0 || mbj_path_exists(sys, to))
		return rc;
	rc = mbj_file_link(sys, from, to, &is_linked, err);
	if (rc == MBJ_OK && !is_linked)
		rc = file_copy(sys, dir, from, to, err);
	return rc;
}

bool splice_mended_exists(const struct mbj_sys *sys, const char *dir,
			  const struct segment_entry *entry)
{
	char path[MBJ_PATH_TEXT_MAX];

	return splice_path(dir, entry, SPLICE_MENDED_SUFFIX, path, NULL) ==
		       MBJ_OK &&
	       mbj_path_exists(sys, path);
}

enum mbj_rc splice_mended_place(const struct mbj_sys *sys, const char *dir,
				const struct segment_entry *entry,
				struct mbj_error *err)
{
	char from[MBJ_PATH_TEXT_MAX], to[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = splice_path(dir, entry, SPLICE_MENDED_SUFFIX, from, err);
	if (rc == MBJ_OK)
		rc = splice_path(dir, entry, ".seg", to, err);
	if (rc == MBJ_OK)
		rc = mbj_file_rename(sys, from, to, err);
	return rc;
}

enum mbj_rc splice_placed_check(const struct mbj_sys *sys, const char *dir,
				const struct segment_entry *entry,
				struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = splice_path(dir, entry, ".seg", path, err);

	if (rc < 0 || mbj_path_exists(sys, path))
		return rc;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "%s was mended, and is gone, as is its \"%s\"",
			     path, SPLICE_MENDED_SUFFIX);
}

void splice_mended_drop(const struct mbj_sys *sys, const char *dir,
			const struct segment_entry *entry)
{
	char path[MBJ_PATH_TEXT_MAX];

	if (splice_path(dir, entry, SPLICE_MENDED_SUFFIX, path, NULL) < 0 ||
	    mbj_file_remove(sys, path, NULL) < 0)
		return; /* the next attempt overwrites it, a repair removes it
			 */
}
