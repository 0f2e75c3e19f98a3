/*
 * Making a segment: under a temporary name until it is whole and on disk, so
 * that a file with a segment's name always has a whole header.
 *
 *	write header, frames taken over, zeroes -> sync -> rename -> sync dir
 *
 * Invariants:
 *   1. a failure before the rename leaves the log as it was; the temporary
 *      file is removed, or overwritten by the next attempt;
 *   2. frames are taken over byte by byte under the salt that they have, and
 *      verified in the new file before it gets its name.
 *
 * Threads: the log's.
 */
#include "log_impl.h"

#include <fcntl.h>

#include <mbj/check.h>

enum { COPY_PIECE = 256 << 10, ZERO_PIECE = 32 << 10 };

enum mbj_rc log_zero_write(struct mbj_file *file, uint64_t from, uint64_t to,
			   struct mbj_error *err)
{
	static const uint8_t zeroes[ZERO_PIECE];
	enum mbj_rc rc;

	while (from < to) {
		size_t n = to - from < ZERO_PIECE ? (size_t)(to - from)
						  : ZERO_PIECE;

		rc = mbj_file_write(file, from, zeroes, n, err);
		if (rc < 0)
			return rc;
		from += n;
	}
	return MBJ_OK;
}

static enum mbj_rc frames_copy(const struct log_copy *copy,
			       struct mbj_file *target, struct mbj_error *err)
{
	struct mbj_bytes piece;
	enum mbj_rc rc;

	for (uint64_t at = SEGMENT_HEADER_SIZE; at < copy->end; at += piece.n) {
		uint64_t left = copy->end - at;
		size_t wanted = left < COPY_PIECE ? (size_t)left : COPY_PIECE;

		rc = segment_view_get(copy->view, at, wanted, &piece, err);
		if (rc < 0)
			return rc;
		if (piece.n < wanted)
			return mbj_error_set(err, MBJ_EIO,
					     "a segment became shorter while "
					     "it was read: %s",
					     copy->view->file.path);
		rc = mbj_file_write(target, at, piece.p, piece.n, err);
		if (rc < 0)
			return rc;
	}
	return MBJ_OK;
}

/* The new file says what the log knows (invariant 2). */
static enum mbj_rc copy_verify(struct mbj_log *log,
			       const struct segment_header *header,
			       struct mbj_file *file, uint64_t end_at,
			       struct mbj_error *err)
{
	struct segment_evidence evidence = {.published = log->end};
	struct segment_view view;
	struct segment_scan scan;
	enum mbj_rc rc;

	segment_view_init(&view);
	view.file = *file; /* lent: the view must not close it */
	rc = segment_scan(&view, header, &evidence, SEGMENT_GROUPS, log->sha,
			  &scan, err);
	view.file = MBJ_FILE_CLOSED;
	segment_view_done(&view);
	if (rc < 0)
		return rc;
	if (scan.tail == SEGMENT_DAMAGED && err != NULL)
		*err = scan.fault;
	if (scan.tail == SEGMENT_DAMAGED)
		return scan.fault.rc;
	if (scan.tail != SEGMENT_CLEAN || scan.end_at != end_at ||
	    scan.end.lsn.v != log->end.lsn.v)
		return segment_fault(err, file->path, scan.end_at, log->end.lsn,
				     "a copy of a segment differs from it");
	return MBJ_OK;
}

/* Everything before the file has its name. */
static enum mbj_rc temp_fill(struct mbj_log *log,
			     const struct segment_header *header,
			     uint64_t reserved, const struct log_copy *copy,
			     struct mbj_file *file, struct mbj_error *err)
{
	uint8_t bytes[SEGMENT_HEADER_SIZE];
	uint64_t at = copy == NULL ? SEGMENT_HEADER_SIZE : copy->end;
	enum mbj_rc rc;

	segment_header_encode(header, bytes);
	rc = mbj_file_write(file, 0, bytes, sizeof(bytes), err);
	if (rc == MBJ_OK && copy != NULL)
		rc = frames_copy(copy, file, err);
	if (rc == MBJ_OK)
		rc = log_zero_write(file, at, reserved, err);
	if (rc == MBJ_OK)
		rc = mbj_file_sync(file, err);
	if (rc == MBJ_OK && copy != NULL)
		rc = copy_verify(log, header, file, at, err);
	return rc;
}

static enum mbj_rc header_make(struct mbj_log *log,
			       const struct mbj_log_end *before,
			       const struct log_copy *copy,
			       struct segment_header *ret_header,
			       struct mbj_error *err)
{
	uint8_t random[8];
	int result;

	if (log->number == UINT32_MAX || before->lsn.v == UINT64_MAX)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "the journal has no numbers left: %s",
				     log->dir);
	result = log->sys->random(log->sys->ctx, random, sizeof(random));
	if (result < 0)
		return mbj_error_errno(err, -result, "cannot get random bytes",
				       "for a new segment");
	*ret_header = (struct segment_header){
		.lineage = log->lineage,
		.first = {before->lsn.v + 1},
		.number = log->number + 1,
		.salt = copy == NULL ? mbj_load_u64(random) : copy->salt,
		.created_us = log->sys->now_us(log->sys->ctx),
		.chain = before->chain,
	};
	return MBJ_OK;
}

/* Rename and directory sync: from here on the log depends on the outcome. */
static enum mbj_rc temp_commit(struct mbj_log *log,
			       const struct segment_header *header,
			       struct mbj_file *file, struct mbj_error *err)
{
	char name[SEGMENT_NAME_SIZE];
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	segment_name_print(header->number, header->first, name);
	rc = mbj_path_join(path, log->dir, name, err);
	if (rc < 0)
		return rc;
	rc = mbj_file_rename(log->sys, file->path, path, err);
	if (rc == MBJ_ENOSPC)
		return rc;
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(log->sys, log->dir, err);
	if (rc < 0)
		return log_fail(log, err);
	memcpy(file->path, path, sizeof(path));
	return MBJ_OK;
}

enum mbj_rc log_segment_begin(struct mbj_log *log,
			      const struct mbj_log_end *before, uint64_t size,
			      const struct log_copy *copy,
			      struct mbj_error *err)
{
	uint64_t at = copy == NULL ? SEGMENT_HEADER_SIZE : copy->end;
	struct mbj_file file = MBJ_FILE_CLOSED;
	struct segment_header header;
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	MBJ_ASSERT(!log->is_failed);
	MBJ_ASSERT(at % SEGMENT_ALIGN == 0);
	rc = header_make(log, before, copy, &header, err);
	if (rc == MBJ_OK)
		rc = mbj_path_join(path, log->dir, LOG_TEMP_NAME, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(log->sys, path, O_RDWR | O_CREAT | O_TRUNC,
				   &file, err);
	if (rc < 0)
		return rc;
	rc = temp_fill(log, &header, at + size, copy, &file, err);
	if (rc == MBJ_OK)
		rc = temp_commit(log, &header, &file, err);
	if (rc < 0) {
		mbj_file_close(&file);
		if (mbj_file_remove(log->sys, path, NULL) < 0)
			return rc; /* the next attempt overwrites it */
		return rc;
	}
	mbj_file_close(&log->segment);
	log->segment = file;
	log->number = header.number;
	log->salt = header.salt;
	log->at = at;
	log->reserved = at + size;
	return MBJ_OK;
}
