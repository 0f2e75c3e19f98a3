/*
 * Finding the group records of a segment whose headers may be damaged.
 *
 *	a frame's header is good    records to the end of the frame; a bad one
 *	                            hides those behind it in the frame
 *	it is not                   records from where it would have ended;
 *	                            behind them a frame, good or not, or the
 *	                            next one of the salt
 *	the segment's is not        the first good frame says the salt: at its
 *	                            place behind the header, where nobody's
 *	                            values can be, unless that is damaged, too
 *
 * Invariants:
 *   1. records are looked for where frames of the file's salt, or the place
 *      behind one, say; whether they belong there the chain decides;
 *   2. each step goes on in the file.
 *
 * Threads: one at a time.
 */
#include "splice_local.h"

#include <fcntl.h>

#include <mbj/check.h>
#include <mbj/codec.h>

#include "group_record.h"

enum { SEARCH_PIECE = 64 << 10, SALT_AT = 8 };

void splice_local_init(struct splice_local *local)
{
	*local = (struct splice_local){.is_over = true};
	segment_view_init(&local->view);
}

void splice_local_done(struct splice_local *local)
{
	segment_view_done(&local->view);
	local->is_over = true;
}

/* The header is damaged: what the first good frame calls its salt. */
static enum mbj_rc salt_find(struct splice_local *local,
			     const struct mbj_sys *sys, const char *dir,
			     const char *name, struct mbj_error *err)
{
	uint64_t at = SEGMENT_HEADER_SIZE;
	char path[MBJ_PATH_TEXT_MAX];
	struct segment_frame frame;
	struct mbj_bytes piece;
	enum mbj_rc rc;

	rc = mbj_path_join(path, dir, name, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(sys, path, O_RDONLY, &local->view.file, err);
	if (rc < 0)
		return rc;
	do {
		rc = segment_view_get(&local->view, at,
				      SEARCH_PIECE + SEGMENT_FRAME_SIZE, &piece,
				      err);
		if (rc < 0)
			return rc;
		for (size_t i = 0; i + SEGMENT_FRAME_SIZE <= piece.n;
		     i += SEGMENT_ALIGN) {
			local->salt = mbj_load_u64(piece.p + i + SALT_AT);
			if (segment_frame_decode(piece.p + i, local->salt,
						 &frame))
				return MBJ_OK;
		}
		at += SEARCH_PIECE;
	} while (piece.n == SEARCH_PIECE + SEGMENT_FRAME_SIZE);
	local->is_over = true;
	return MBJ_OK;
}

enum mbj_rc splice_local_begin(struct splice_local *local,
			       const struct mbj_sys *sys, const char *dir,
			       const char *name, struct mbj_id lineage,
			       struct segment_header *ret_header,
			       struct mbj_error *err)
{
	struct segment_header header = {.number = 0};
	struct mbj_error why = {.rc = MBJ_OK};
	enum mbj_rc rc;

	local->at = SEGMENT_HEADER_SIZE;
	local->look_at = 0;
	local->last.v = 0;
	local->last_end = SEGMENT_HEADER_SIZE;
	local->is_framed = false;
	local->is_over = false;
	rc = segment_view_open(&local->view, sys, dir, name, lineage, &header,
			       &why);
	local->salt = header.salt;
	if (rc == MBJ_ENOTFOUND) {
		local->is_over = true;
		rc = MBJ_OK;
	} else if (rc == MBJ_ECORRUPT) {
		header.number = 0;
		rc = salt_find(local, sys, dir, name, &why);
	}
	if (rc < 0) {
		local->is_over = true;
		if (err != NULL)
			*err = why;
	}
	*ret_header = header;
	return rc;
}

/* CRC32C of the payload of a frame, which may be cut off. */
static enum mbj_rc payload_is_whole(struct splice_local *local, uint64_t at,
				    const struct segment_frame *frame,
				    bool *ret_is_whole, struct mbj_error *err)
{
	uint64_t left = frame->payload_size;
	struct mbj_bytes piece;
	uint32_t crc = 0;
	enum mbj_rc rc;

	*ret_is_whole = false;
	while (left > 0) {
		size_t n = left < SEARCH_PIECE ? (size_t)left : SEARCH_PIECE;

		rc = segment_view_get(&local->view, at, n, &piece, err);
		if (rc < 0 || piece.n < n)
			return rc;
		crc = mbj_crc32c(crc, piece);
		at += n;
		left -= n;
	}
	*ret_is_whole = crc == frame->payload_crc;
	return MBJ_OK;
}

static enum mbj_rc frame_begin(struct splice_local *local, uint64_t at,
			       const struct segment_frame *frame,
			       struct mbj_error *err)
{
	local->at = at + SEGMENT_FRAME_SIZE;
	local->end = local->at + frame->payload_size;
	local->look_at = 0;
	local->is_framed = true;
	return payload_is_whole(local, local->at, frame, &local->is_whole, err);
}

/* The next frame header from look_at on. */
static enum mbj_rc frame_search(struct splice_local *local,
				struct mbj_error *err)
{
	struct segment_frame frame;
	struct mbj_bytes piece;
	enum mbj_rc rc;

	for (;;) {
		/* Pieces overlap: a header may lie across their border. */
		rc = segment_view_get(&local->view, local->look_at,
				      SEARCH_PIECE + SEGMENT_FRAME_SIZE, &piece,
				      err);
		if (rc < 0)
			return rc;
		for (size_t i = 0; i + SEGMENT_FRAME_SIZE <= piece.n;
		     i += SEGMENT_ALIGN)
			if (segment_frame_decode(piece.p + i, local->salt,
						 &frame))
				return frame_begin(local, local->look_at + i,
						   &frame, err);
		if (piece.n < SEARCH_PIECE + SEGMENT_FRAME_SIZE)
			break;
		local->look_at += SEARCH_PIECE;
	}
	local->is_over = true;
	return MBJ_OK;
}

/* A frame at its place; where it has no good header, its records may be. */
static enum mbj_rc frame_next(struct splice_local *local, struct mbj_error *err)
{
	struct segment_frame frame;
	struct mbj_bytes bytes;
	enum mbj_rc rc;

	if (local->look_at > 0)
		return frame_search(local, err);
	rc = segment_view_get(&local->view, local->at, SEGMENT_FRAME_SIZE,
			      &bytes, err);
	if (rc < 0)
		return rc;
	if (bytes.n == SEGMENT_FRAME_SIZE &&
	    segment_frame_decode(bytes.p, local->salt, &frame))
		return frame_begin(local, local->at, &frame, err);
	local->look_at = local->at + SEGMENT_ALIGN;
	local->at += SEGMENT_FRAME_SIZE;
	local->end = UINT64_MAX;
	local->is_framed = true;
	local->is_whole = false;
	return MBJ_OK;
}

/* The record at `at`: n 0 where there is none that can be told. */
static enum mbj_rc record_get(struct splice_local *local,
			      struct mbj_group *ret_group,
			      struct mbj_error *err)
{
	uint32_t header_size = 0;
	struct mbj_bytes bytes;
	uint64_t size = 0;
	enum mbj_rc rc;

	ret_group->record = mbj_bytes_make(NULL, 0);
	rc = segment_view_get(&local->view, local->at, GROUP_HEADER_SIZE_MIN,
			      &bytes, err);
	if (rc < 0)
		return rc;
	if (bytes.n < GROUP_HEADER_SIZE_MIN ||
	    !group_size_peek(bytes, &header_size, &size) ||
	    size > local->end - local->at)
		return MBJ_OK;
	rc = segment_view_get(&local->view, local->at, (size_t)size, &bytes,
			      err);
	if (rc == MBJ_OK && mbj_group_parse(bytes, ret_group, NULL) < 0)
		ret_group->record = mbj_bytes_make(NULL, 0);
	return rc;
}

enum mbj_rc splice_local_next(struct splice_local *local,
			      struct mbj_group *ret_group,
			      struct mbj_error *err)
{
	enum mbj_rc rc;

	while (!local->is_over) {
		if (!local->is_framed) {
			rc = frame_next(local, err);
			if (rc < 0)
				return rc;
			continue;
		}
		if (local->at < local->end) {
			rc = record_get(local, ret_group, err);
			if (rc < 0)
				return rc;
			if (ret_group->record.n > 0) {
				local->at += ret_group->record.n;
				/* Behind it, in a frame without an end. */
				if (local->look_at > 0)
					local->look_at = local->at;
				if (!ret_group->is_body_good)
					continue;
				local->last = ret_group->header.lsn;
				local->last_end = local->at;
				return MBJ_OK;
			}
		}
		local->is_framed = false;
		if (local->look_at == 0)
			local->at = local->end;
		else if (local->look_at == local->at)
			local->look_at = 0; /* a frame may begin right here */
	}
	return MBJ_ENOTFOUND;
}

static bool is_blank(struct mbj_bytes bytes)
{
	size_t i = 0;

	while (i < bytes.n && bytes.p[i] == 0)
		i++;
	return i == bytes.n;
}

enum mbj_rc splice_local_is_blank(struct splice_local *local,
				  bool *ret_is_blank, struct mbj_error *err)
{
	uint64_t at = local->last_end;
	struct mbj_bytes piece;
	enum mbj_rc rc;

	do {
		rc = segment_view_get(&local->view, at, SEARCH_PIECE, &piece,
				      err);
		*ret_is_blank = rc == MBJ_OK && is_blank(piece);
		at += SEARCH_PIECE;
	} while (*ret_is_blank && piece.n == SEARCH_PIECE);
	return rc;
}
