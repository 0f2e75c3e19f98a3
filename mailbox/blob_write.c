/*
 * How blobs come in: from memory in pieces, from a file, from another store;
 * see mbj/blob.h.
 *
 * Not here: packing (blob_pack.c), and how what is complete gets its name
 * (blob_place.c).
 *
 * Invariants:
 *   1. a writer that ends leaves no file in new/, unless removing it fails;
 *   2. what is to be a blob of another store is compared with digest and size
 *      before it is placed.
 *
 * Threads: see mbj/blob.h.
 */
#define _DEFAULT_SOURCE /* S_ISREG */

#include <fcntl.h>
#include <sys/stat.h>

#include <mbj/check.h>
#include <mbj/hash.h>

#include "blob_priv.h"

/* ----------------------------------------------------------------- writer */

static void writer_free(struct mbj_blob_writer **writer)
{
	mbj_file_close(&(*writer)->file);
	mbj_free((*writer)->held);
	mbj_sha256_free(&(*writer)->sha);
	mbj_free(*writer);
	*writer = NULL;
}

/* A path in new/ that nobody has. */
static enum mbj_rc fresh_make(const struct mbj_blobs *blobs,
			      char path[MBJ_PATH_TEXT_MAX],
			      struct mbj_id *ret_fresh, struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE];
	enum mbj_rc rc;

	rc = mbj_id_generate(blobs->sys, ret_fresh, err);
	if (rc < 0)
		return rc;
	mbj_id_print(*ret_fresh, text);
	return mbj_path_join(path, blobs->fresh, text, err);
}

enum mbj_rc blob_fresh_open(struct mbj_blobs *blobs, struct mbj_file *ret_file,
			    struct mbj_id *ret_fresh, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = fresh_make(blobs, path, ret_fresh, err);
	if (rc < 0)
		return rc;
	/* What is to be packed, or logged, is read again. */
	return mbj_file_open(blobs->sys, path,
			     O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, ret_file,
			     err);
}

/* Without a file. */
static enum mbj_rc writer_new(struct mbj_blobs *blobs,
			      struct mbj_blob_writer **ret_writer,
			      struct mbj_error *err)
{
	struct mbj_blob_writer *writer;
	enum mbj_rc rc;

	writer = mbj_calloc(1, sizeof(*writer));
	if (writer == NULL)
		return mbj_error_nomem(err);
	writer->blobs = blobs;
	writer->file = MBJ_FILE_CLOSED;
	writer->doubts = blobs->doubts;
	rc = mbj_sha256_new(&writer->sha, err);
	if (rc == MBJ_OK)
		rc = mbj_sha256_begin(writer->sha, err);
	if (rc == MBJ_OK)
		*ret_writer = writer;
	else
		writer_free(&writer);
	return rc;
}

static enum mbj_rc writer_begin(struct mbj_blobs *blobs,
				struct mbj_blob_writer **ret_writer,
				struct mbj_error *err)
{
	struct mbj_blob_writer *writer = NULL;
	enum mbj_rc rc;

	rc = writer_new(blobs, &writer, err);
	if (rc < 0)
		return rc;
	MBJ_ASSERT(writer != NULL);
	if (blobs->level > 0)
		rc = blob_hold(writer, err);
	if (rc == MBJ_OK)
		rc = blob_fresh_open(blobs, &writer->file, &writer->fresh, err);
	if (rc == MBJ_OK)
		*ret_writer = writer;
	else
		writer_free(&writer);
	return rc;
}

void mbj_blobs_keep_free(struct mbj_blobs *blobs, uint64_t size)
{
	MBJ_ASSERT(blobs->is_owner && blobs->pending_count == 0);
	blobs->space_min = size;
}

enum { SPACE_STEP = 1 << 20 }; /* bytes of a content, between two looks */

static enum mbj_rc space_check(const struct mbj_blobs *blobs,
			       struct mbj_error *err)
{
	uint64_t left = mbj_space_left(blobs->sys, blobs->dir);

	if (left >= blobs->space_min)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_ENOSPC,
			     "%s has no space left but for %llu bytes, and "
			     "%llu are kept free: nothing is stored",
			     blobs->dir, (unsigned long long)left,
			     (unsigned long long)blobs->space_min);
}

enum mbj_rc mbj_blob_writer_begin(struct mbj_blobs *blobs,
				  struct mbj_blob_writer **ret_writer,
				  struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(blobs != NULL && blobs->is_owner);
	MBJ_ASSERT(ret_writer != NULL);
	rc = space_check(blobs, err);
	return rc < 0 ? rc : writer_begin(blobs, ret_writer, err);
}

void mbj_blob_writer_abort(struct mbj_blob_writer **writer)
{
	const struct mbj_sys *sys;

	if (writer == NULL || *writer == NULL)
		return;
	/* Best effort: the next opening sweeps. */
	sys = (*writer)->blobs->sys;
	(void)sys->unlink(sys->ctx, (*writer)->file.path);
	writer_free(writer);
}

/* Count and hash a piece. */
static enum mbj_rc piece_add(struct mbj_blob_writer *writer,
			     struct mbj_bytes piece, struct mbj_error *err)
{
	if (piece.n > MBJ_BLOB_MAX - writer->size)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "a message is over the limit of %llu "
				     "bytes",
				     (unsigned long long)MBJ_BLOB_MAX);
	writer->size += piece.n;
	return mbj_sha256_update(writer->sha, piece, err);
}

/* Once in a while: one content alone may be larger than what is left. */
static bool space_is_due(uint64_t at, size_t size)
{
	return at / SPACE_STEP != (at + size) / SPACE_STEP;
}

enum mbj_rc mbj_blob_writer_write(struct mbj_blob_writer *writer,
				  struct mbj_bytes piece, struct mbj_error *err)
{
	uint64_t at;

	MBJ_ASSERT(writer != NULL);
	MBJ_ASSERT(piece.p != NULL || piece.n == 0);
	at = writer->size;
	if (writer->rc == MBJ_OK)
		writer->rc = piece_add(writer, piece, &writer->error);
	if (writer->rc == MBJ_OK && space_is_due(at, piece.n))
		writer->rc = space_check(writer->blobs, &writer->error);
	if (writer->rc == MBJ_OK)
		writer->rc = blob_held_write(writer, at, piece, &writer->error);
	if (writer->rc < 0 && err != NULL)
		*err = writer->error;
	return writer->rc;
}

static enum mbj_rc writer_finish(struct mbj_blob_writer **writer,
				 struct mbj_hash *ret_digest,
				 uint64_t *ret_size, struct mbj_error *err)
{
	struct mbj_blob_writer *w = *writer;
	struct mbj_hash digest;
	bool is_kept = false;
	enum mbj_rc rc = w->rc;

	if (rc < 0 && err != NULL)
		*err = w->error;
	if (rc == MBJ_OK)
		rc = mbj_sha256_end(w->sha, &digest, err);
	if (rc == MBJ_OK)
		rc = blob_place(w, &digest, &is_kept, err);
	if (rc == MBJ_OK) {
		*ret_digest = digest;
		*ret_size = w->size;
	}
	if (rc < 0 || is_kept)
		mbj_blob_writer_abort(writer);
	else
		writer_free(writer);
	return rc;
}

enum mbj_rc mbj_blob_writer_finish(struct mbj_blob_writer **writer,
				   struct mbj_hash *ret_digest,
				   uint64_t *ret_size, struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(writer != NULL && *writer != NULL);
	MBJ_ASSERT(ret_digest != NULL && ret_size != NULL);
	rc = blob_pending_bound((*writer)->blobs, err);
	if (rc < 0) {
		mbj_blob_writer_abort(writer);
		return rc;
	}
	return writer_finish(writer, ret_digest, ret_size, err);
}

/* ------------------------------------------------------------ from memory */

/* A file for what is hashed already, and what is to be in it. */
static enum mbj_rc bytes_write(struct mbj_blob_writer *writer,
			       struct mbj_bytes bytes, struct mbj_error *err)
{
	struct mbj_blobs *blobs = writer->blobs;
	enum mbj_rc rc = MBJ_OK;

	if (blobs->level > 0)
		rc = blob_hold(writer, err);
	if (rc == MBJ_OK)
		rc = blob_fresh_open(blobs, &writer->file, &writer->fresh, err);
	for (uint64_t at = 0; rc == MBJ_OK && at < bytes.n;) {
		size_t left = bytes.n - (size_t)at;
		size_t n = left < SPACE_STEP ? left : SPACE_STEP;

		if (at > 0)
			rc = space_check(blobs, err);
		if (rc == MBJ_OK)
			rc = blob_held_write(writer, at,
					     mbj_bytes_make(bytes.p + at, n),
					     err);
		at += n;
	}
	return rc;
}

/*
 * What is there already needs no file on its way in: a mail to many comes many
 * times.
 */
enum mbj_rc mbj_blob_put(struct mbj_blobs *blobs, struct mbj_bytes bytes,
			 struct mbj_hash *ret_digest, struct mbj_error *err)
{
	struct mbj_blob_writer *writer = NULL;
	bool is_kept = false;
	enum mbj_rc rc;

	MBJ_ASSERT(blobs != NULL && blobs->is_owner);
	MBJ_ASSERT(bytes.p != NULL || bytes.n == 0);
	rc = writer_new(blobs, &writer, err);
	if (rc < 0)
		return rc;
	MBJ_ASSERT(writer != NULL);
	rc = piece_add(writer, bytes, err);
	if (rc == MBJ_OK)
		rc = mbj_sha256_end(writer->sha, ret_digest, err);
	if (rc == MBJ_OK)
		rc = mbj_blob_has(blobs, ret_digest, bytes.n, &is_kept, err);
	if (rc == MBJ_OK && !is_kept)
		rc = space_check(blobs, err);
	if (rc < 0 || is_kept) {
		writer_free(&writer);
		return rc;
	}
	rc = bytes_write(writer, bytes, err);
	if (rc == MBJ_OK)
		rc = blob_place(writer, ret_digest, &is_kept, err);
	if (rc < 0 || is_kept)
		mbj_blob_writer_abort(&writer);
	else
		writer_free(&writer);
	return rc;
}

/* ------------------------------------------------------------- from a file */

/* All of it; what the writer's own file is already is not written again. */
static enum mbj_rc source_spend(struct mbj_blob_writer *writer,
				struct blob_source *source,
				struct mbj_error *err)
{
	uint8_t *piece = mbj_alloc(BLOB_PIECE_SIZE);
	size_t got = BLOB_PIECE_SIZE;
	enum mbj_rc rc = MBJ_OK;

	if (piece == NULL)
		return mbj_error_nomem(err);
	while (rc == MBJ_OK && got == BLOB_PIECE_SIZE) {
		rc = blob_source_read(source, piece, BLOB_PIECE_SIZE, &got,
				      err);
		if (rc < 0)
			break;
		if (writer->is_link)
			rc = piece_add(writer, mbj_bytes_make(piece, got), err);
		else
			rc = mbj_blob_writer_write(writer,
						   mbj_bytes_make(piece, got),
						   err);
	}
	mbj_free(piece);
	return rc;
}

/* The link's own file, not what is at the path by now, becomes the blob. */
static enum mbj_rc link_spend(struct mbj_blob_writer *writer,
			      const struct blob_source *source,
			      struct mbj_error *err)
{
	struct blob_source linked = {.file = &writer->file,
				     .form = source->form};
	enum mbj_rc rc = MBJ_OK;

	writer->form = source->form;
	if (source->form == BLOB_PACKED)
		rc = blob_source_begin(&writer->file, BLOB_PACKED, &linked,
				       err);
	linked.path = source->path;
	if (rc == MBJ_OK)
		rc = source_spend(writer, &linked, err);
	blob_source_done(&linked);
	return rc;
}

/* Nobody but its owner may write to it, and it is no link to elsewhere. */
static bool file_may_be_linked(const struct mbj_sys *sys, const char *path)
{
	mode_t mode = 0;
	uid_t uid = 0;

	return sys->stat(sys->ctx, path, &mode, &uid) == 0 && S_ISREG(mode) &&
	       (mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* A writer whose file is a link to path; NULL where there can be none. */
static enum mbj_rc writer_link(struct mbj_blobs *blobs, const char *path,
			       struct mbj_blob_writer **ret_writer,
			       struct mbj_error *err)
{
	struct mbj_blob_writer *writer = NULL;
	bool is_linked = false;
	enum mbj_rc rc;

	*ret_writer = NULL;
	if (!file_may_be_linked(blobs->sys, path))
		return MBJ_OK;
	rc = writer_new(blobs, &writer, err);
	if (rc < 0)
		return rc;
	MBJ_ASSERT(writer != NULL);
	rc = fresh_make(blobs, writer->file.path, &writer->fresh, err);
	if (rc == MBJ_OK)
		rc = mbj_file_link(blobs->sys, path, writer->file.path,
				   &is_linked, err);
	if (rc < 0 || !is_linked) {
		writer_free(&writer);
		return rc;
	}
	writer->is_link = true;
	rc = mbj_file_open(blobs->sys, writer->file.path, O_RDONLY | O_NOFOLLOW,
			   &writer->file, err);
	if (rc == MBJ_OK)
		*ret_writer = writer;
	else
		mbj_blob_writer_abort(&writer);
	return rc;
}

/* A writer that has taken all of it, not finished. */
static enum mbj_rc source_take(struct mbj_blobs *blobs,
			       struct blob_source *source, bool may_link,
			       struct mbj_blob_writer **ret_writer,
			       struct mbj_error *err)
{
	struct mbj_blob_writer *writer = NULL;
	enum mbj_rc rc = MBJ_OK;

	if (may_link)
		rc = writer_link(blobs, source->path, &writer, err);
	if (rc == MBJ_OK && writer == NULL)
		rc = writer_begin(blobs, &writer, err);
	if (rc < 0)
		return rc;
	MBJ_ASSERT(writer != NULL);
	rc = writer->is_link ? link_spend(writer, source, err)
			     : source_spend(writer, source, err);
	if (rc == MBJ_OK)
		*ret_writer = writer;
	else
		mbj_blob_writer_abort(&writer);
	return rc;
}

/* Finish what should be this digest; path is where it came from. */
static enum mbj_rc writer_finish_as(struct mbj_blob_writer **writer,
				    const struct mbj_hash *expected,
				    const char *path, struct mbj_error *err)
{
	struct mbj_blob_writer *w = *writer;
	struct mbj_hash digest;
	bool is_kept = false;
	enum mbj_rc rc;

	MBJ_ASSERT(w != NULL);
	rc = mbj_sha256_end(w->sha, &digest, err);
	if (rc == MBJ_OK && memcmp(digest.b, expected->b, MBJ_HASH_SIZE) != 0)
		rc = blob_damaged(path, "is not what its name says", err);
	if (rc == MBJ_OK)
		rc = blob_place(w, expected, &is_kept, err);
	if (rc < 0 || is_kept)
		mbj_blob_writer_abort(writer);
	else
		writer_free(writer);
	return rc;
}

static enum mbj_rc blob_take(struct mbj_blobs *from, struct mbj_blobs *to,
			     const struct mbj_hash *digest,
			     const uint64_t *size, bool may_link,
			     struct mbj_error *err)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	struct mbj_blob_writer *writer = NULL;
	struct blob_source source;
	enum mbj_rc rc;

	rc = blob_find(from, digest, &file, &source, err);
	if (rc < 0)
		return rc;
	/* Before much is unpacked. */
	if (size != NULL && source.size != *size) {
		mbj_file_close(&file);
		return blob_damaged(file.path, "is not as long as its blob",
				    err);
	}
	/* Where nothing is packed, an mbj that knows no packing may come. */
	if (source.form == BLOB_PACKED && to->level == 0)
		may_link = false;
	rc = source_take(to, &source, may_link, &writer, err);
	blob_source_done(&source);
	mbj_file_close(&file);
	if (rc < 0)
		return rc;
	MBJ_ASSERT(writer != NULL);
	return writer_finish_as(&writer, digest, file.path, err);
}

enum mbj_rc blob_renew(struct mbj_blobs *blobs, const struct mbj_hash *digest,
		       struct mbj_error *err)
{
	return blob_take(blobs, blobs, digest, NULL, false, err);
}

/* *ret_is_there: it was, nothing was done. */
static enum mbj_rc blob_bring(struct mbj_blobs *from, struct mbj_blobs *to,
			      const struct mbj_hash *digest, uint64_t size,
			      bool may_link, bool *ret_is_there,
			      struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(from != NULL && to != NULL && from != to);
	MBJ_ASSERT(to->is_owner && digest != NULL);
	*ret_is_there = false;
	rc = mbj_blob_has(to, digest, size, ret_is_there, err);
	if (rc < 0 || *ret_is_there)
		return rc;
	rc = space_check(to, err);
	return rc < 0 ? rc : blob_take(from, to, digest, &size, may_link, err);
}

enum mbj_rc mbj_blob_copy(struct mbj_blobs *from, struct mbj_blobs *to,
			  const struct mbj_hash *digest, uint64_t size,
			  struct mbj_error *err)
{
	bool is_there;

	return blob_bring(from, to, digest, size, from->sys == to->sys,
			  &is_there, err);
}

enum mbj_rc mbj_blob_duplicate(struct mbj_blobs *from, struct mbj_blobs *to,
			       const struct mbj_hash *digest, uint64_t size,
			       struct mbj_error *err)
{
	bool is_there;
	enum mbj_rc rc;

	rc = blob_bring(from, to, digest, size, false, &is_there, err);
	if (rc < 0 || is_there)
		return rc;
	return mbj_blob_verify(to, digest, size, err);
}

enum mbj_rc mbj_blob_import(struct mbj_blobs *blobs, const char *path,
			    struct mbj_hash *ret_digest, uint64_t *ret_size,
			    struct mbj_error *err)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	struct blob_source source = {.file = &file,
				     .path = file.path,
				     .form = BLOB_PLAIN};
	struct mbj_blob_writer *writer = NULL;
	enum mbj_rc rc;

	MBJ_ASSERT(blobs != NULL && blobs->is_owner);
	MBJ_ASSERT(path != NULL && ret_digest != NULL && ret_size != NULL);
	rc = space_check(blobs, err);
	if (rc < 0)
		return rc;
	/* What is no file must not make us wait; reading it fails. */
	rc = mbj_file_open(blobs->sys, path, O_RDONLY | O_NONBLOCK | O_NOCTTY,
			   &file, err);
	if (rc < 0)
		return rc;
	rc = source_take(blobs, &source, true, &writer, err);
	mbj_file_close(&file);
	if (rc < 0)
		return rc;
	return mbj_blob_writer_finish(&writer, ret_digest, ret_size, err);
}
