/*
 * The source's side of a stream: what it sends of its files, as they are: the
 * contents of messages, and snapshots.
 *
 * What is wrong with a file is told the replica, and costs the connection
 * nothing.
 *
 * Threads: one.
 */
#include <fcntl.h>
#include <string.h>

#include <mbj/trim.h>

#include "stream_serve.h"

/* -------------------------------------------------------------- contents */

/* Its pieces; what is wrong with it is *ret_why. */
static enum mbj_rc pieces_send(struct stream_server *s,
			       struct mbj_blob_reader *reader,
			       struct mbj_error *ret_why, struct mbj_error *err)
{
	struct mbj_error said = {.rc = MBJ_OK};
	size_t n = 1;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && n > 0) {
		enum mbj_rc is_read;

		is_read = mbj_blob_reader_read(reader, s->piece.p,
					       s->piece_size, &n, &said);
		stream_why_note(is_read, &said, ret_why);
		if (is_read < 0)
			break;
		s->piece.n = n;
		rc = stream_piece_flush(s, STREAM_PIECE, err);
	}
	return rc;
}

/* A content; what is wrong with it is *ret_why. */
static enum mbj_rc content_send(struct stream_server *s,
				const struct mbj_hash *digest, uint64_t size,
				struct mbj_error *ret_why,
				struct mbj_error *err)
{
	struct mbj_error said = {.rc = MBJ_OK};
	struct mbj_blob_reader *reader = NULL;
	uint64_t there = 0;
	enum mbj_rc rc = MBJ_OK;

	if (s->blobs == NULL)
		rc = mbj_store_blobs_take(s->sys, s->dir, &s->blobs, NULL,
					  &said);
	if (rc == MBJ_OK)
		rc = mbj_blob_reader_open(s->blobs, digest, &reader, &there,
					  &said);
	stream_why_note(rc, &said, ret_why);
	if (rc < 0)
		return MBJ_OK;
	if (there == size)
		rc = pieces_send(s, reader, ret_why, err);
	else
		(void)mbj_error_set(ret_why, MBJ_ECORRUPT,
				    "a content has %llu bytes, not %llu",
				    (unsigned long long)there,
				    (unsigned long long)size);
	mbj_blob_reader_close(&reader);
	return rc;
}

/*
 * What is not there, or damaged, the source has lost; anything else may be over
 * when the replica asks again, and the lack of memory when it connects again.
 * Of more than one such content only the next connection knows.
 */
static enum mbj_rc content_unread(struct stream_server *s,
				  const struct mbj_hash *digest,
				  const struct mbj_error *why,
				  struct mbj_error *err)
{
	bool is_known = s->is_blind &&
			memcmp(s->blind.b, digest->b, MBJ_HASH_SIZE) == 0;

	if (why->rc == MBJ_OK || why->rc == MBJ_ENOTFOUND ||
	    why->rc == MBJ_ECORRUPT) {
		if (is_known && !s->is_blinder) {
			s->is_blind = false;
			s->is_sound = false;
		}
		return MBJ_OK;
	}
	s->is_blinder = s->is_blinder || (s->is_blind && !is_known);
	s->is_blind = true;
	s->blind = *digest;
	return why->rc == MBJ_ENOMEM ? mbj_error_nomem(err) : MBJ_OK;
}

enum mbj_rc stream_contents_answer(struct stream_server *s,
				   struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	/* What was received is gone with the next frame. */
	memcpy(s->asked, s->request.contents.p, s->request.contents.n);
	s->request.contents.p = s->asked;
	for (uint32_t i = 0; rc == MBJ_OK && i < s->request.count; i++) {
		struct stream_message answer = {.error = {.rc = MBJ_OK}};
		struct mbj_hash digest;
		uint64_t size;

		stream_content_get(&s->request, i, &digest, &size);
		rc = content_send(s, &digest, size, &answer.error, err);
		if (rc == MBJ_OK)
			rc = content_unread(s, &digest, &answer.error, err);
		if (rc == MBJ_OK)
			rc = stream_link_send(&s->link,
					      answer.error.rc == MBJ_OK
						      ? STREAM_HERE
						      : STREAM_LOST,
					      &answer, err);
	}
	return rc;
}

/* ------------------------------------------------------------- snapshots */

/* One that may be offered, open. */
struct offered {
	struct mbj_file file;
	struct mbj_lsn lsn;
	uint64_t size;
};

/* It has a head and an end; the rest is judged where it arrives. */
static enum mbj_rc offer_open(struct stream_server *s, struct mbj_lsn lsn,
			      struct offered *ret_offered,
			      struct mbj_error *err)
{
	struct mbj_snapshot *snapshot = NULL;
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_snapshot_path(path, s->dir, lsn, err);
	if (rc == MBJ_OK)
		rc = mbj_snapshot_open(s->sys, path, &snapshot, err);
	mbj_snapshot_close(&snapshot);
	if (rc == MBJ_OK)
		rc = mbj_file_open(s->sys, path, O_RDONLY | O_NOFOLLOW,
				   &ret_offered->file, err);
	if (rc == MBJ_OK)
		rc = mbj_file_size(&ret_offered->file, &ret_offered->size, err);
	ret_offered->lsn = lsn;
	return rc;
}

/* The newest of these groups that the journal goes on from. */
static enum mbj_rc offer_find(struct stream_server *s, struct mbj_lsn least,
			      struct mbj_lsn until, struct offered *ret_offered,
			      struct mbj_error *err)
{
	struct mbj_error why = {.rc = MBJ_OK};
	struct mbj_error newest = {.rc = MBJ_OK};
	struct mbj_lsn *lsns = NULL;
	size_t count = 0;
	enum mbj_rc rc;

	rc = mbj_snapshots_list(s->sys, s->dir, &lsns, &count, err);
	if (rc < 0)
		return rc;
	rc = MBJ_ENOTFOUND;
	for (size_t i = 0; rc < 0 && i < count; i++) {
		if ((until.v != 0 && lsns[i].v > until.v) ||
		    lsns[i].v < least.v ||
		    lsns[i].v + 1 < s->identity.anchor.first.v)
			continue;
		/* Gone meanwhile, or bad: the next older one may do. */
		rc = offer_open(s, lsns[i], ret_offered, &why);
		if (rc < 0)
			mbj_file_close(&ret_offered->file);
		if (rc < 0 && newest.rc == MBJ_OK)
			newest = why;
	}
	mbj_free(lsns);
	if (rc == MBJ_OK)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_ENOTFOUND,
			     "the source has no snapshot that is good and that "
			     "its journal goes on from: \"mbj snapshot\" makes "
			     "one there%s%s",
			     newest.rc < 0 ? "; the newest: " : "",
			     newest.rc < 0 ? newest.message : "");
}

/* From one place to another; what is wrong with it is *ret_why. */
static enum mbj_rc offer_send(struct stream_server *s, struct offered *offered,
			      uint64_t at, uint64_t to,
			      struct mbj_error *ret_why, struct mbj_error *err)
{
	struct mbj_error said = {.rc = MBJ_OK};
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && ret_why->rc == MBJ_OK && at < to) {
		uint64_t left = to - at;
		size_t n = s->piece_size;
		size_t got = 0;

		n = left < n ? (size_t)left : n;
		stream_why_note(mbj_file_read(&offered->file, at, s->piece.p, n,
					      &got, &said),
				&said, ret_why);
		if (ret_why->rc == MBJ_OK && got < n)
			(void)mbj_error_set(ret_why, MBJ_ECORRUPT,
					    "%s is shorter than it was",
					    offered->file.path);
		if (ret_why->rc != MBJ_OK)
			break;
		s->piece.n = got;
		at += got;
		rc = stream_piece_flush(s, STREAM_PIECE, err);
		if (rc == MBJ_OK)
			stream_take_go(s, at);
	}
	return rc;
}

/* The offer, and its bytes between two places. */
static enum mbj_rc offer_answer(struct stream_server *s,
				struct offered *offered, uint64_t at,
				uint64_t to, struct mbj_error *err)
{
	struct stream_message answer = {.error = {.rc = MBJ_OK},
					.snapshot = offered->lsn,
					.size = offered->size};
	enum mbj_rc rc = stream_link_send(&s->link, STREAM_OFFER, &answer, err);

	if (rc == MBJ_OK)
		rc = offer_send(s, offered, at, to, &answer.error, err);
	if (rc == MBJ_OK)
		rc = stream_link_send(&s->link,
				      answer.error.rc == MBJ_OK ? STREAM_HERE
								: STREAM_LOST,
				      &answer, err);
	return rc;
}

/*
 * A replica that takes it will want the groups behind it: from now on a trim
 * waits for it.
 */
enum mbj_rc stream_snapshot_answer(struct stream_server *s,
				   struct mbj_error *err)
{
	const struct mbj_lsn any = {0};
	struct offered offered = {.file = MBJ_FILE_CLOSED};
	struct stream_message where = {.count = 0};
	struct mbj_lsn until = s->request.snapshot;
	uint64_t here = s->request.size;
	struct mbj_error said = {.rc = MBJ_OK};
	struct mbj_error why = {.rc = MBJ_OK};
	enum mbj_rc rc;

	stream_why_note(stream_identity_check(s, &said), &said, &why);
	if (why.rc == MBJ_OK)
		stream_why_note(offer_find(s, any, until, &offered, &said),
				&said, &why);
	where.received = offered.lsn;
	where.applied = offered.lsn;
	if (offered.lsn.v != until.v || here > offered.size)
		here = 0;
	if (why.rc == MBJ_OK) {
		stream_take_begin(s, offered.lsn, true, here, offered.size);
		stream_why_note(stream_register(s, &where, &said), &said, &why);
	}
	if (why.rc != MBJ_OK) {
		stream_take_end(s);
		mbj_file_close(&offered.file);
		return stream_fault_send(s, &why, err);
	}
	s->is_seeding = true;
	rc = offer_answer(s, &offered, here, offered.size, err);
	stream_take_end(s);
	mbj_file_close(&offered.file);
	return rc;
}

/*
 * For a replica that has these groups itself: where it stands does not change,
 * and so nothing is held for it.
 */
enum mbj_rc stream_part_answer(struct stream_server *s, struct mbj_error *err)
{
	struct offered offered = {.file = MBJ_FILE_CLOSED};
	struct mbj_lsn least = s->request.least;
	struct mbj_lsn until = s->request.snapshot;
	uint64_t at = s->request.size;
	uint64_t max = s->request.bytes_max;
	struct mbj_error said = {.rc = MBJ_OK};
	struct mbj_error why = {.rc = MBJ_OK};
	enum mbj_rc rc;

	if (s->version < STREAM_VERSION_PARTS)
		return mbj_error_set(err, MBJ_EINVALID,
				     "the replica asked for a part, which "
				     "version %u of the stream has not",
				     s->version);
	stream_why_note(stream_identity_check(s, &said), &said, &why);
	if (why.rc == MBJ_OK)
		stream_why_note(offer_find(s, least, until, &offered, &said),
				&said, &why);
	if (why.rc == MBJ_OK && at > offered.size)
		(void)mbj_error_set(&why, MBJ_ENOTFOUND,
				    "the source's snapshot of group %llu has "
				    "fewer bytes than are here",
				    (unsigned long long)offered.lsn.v);
	if (why.rc != MBJ_OK) {
		mbj_file_close(&offered.file);
		return stream_fault_send(s, &why, err);
	}
	if (max > offered.size - at)
		max = offered.size - at;
	if (max > 0)
		stream_take_begin(s, offered.lsn, false, at, offered.size);
	rc = offer_answer(s, &offered, at, at + max, err);
	/* Else the next part goes on with it. */
	if (s->note.take.sent == offered.size)
		stream_take_end(s);
	mbj_file_close(&offered.file);
	return rc;
}
