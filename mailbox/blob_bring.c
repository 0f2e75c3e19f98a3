/*
 * Blobs that come from elsewhere: another store, a file of somebody's, and a
 * doubtful one of our own; see mbj/blob.h.
 *
 * Short ones are read as a whole and packed, longer ones linked, or copied
 * piece by piece.
 *
 * Invariant: what counts was read as a whole, and compared where its digest was
 * known.
 *
 * Threads: see mbj/blob.h.
 */
#define _DEFAULT_SOURCE /* S_ISREG */

#include <fcntl.h>
#include <sys/stat.h>

#include <mbj/check.h>
#include <mbj/hash.h>

#include "blob_priv.h"

/* All of the file; one that is the writer's own is not written again. */
static enum mbj_rc file_take(struct mbj_blob_writer *writer,
			     struct mbj_file *file, struct mbj_error *err)
{
	uint8_t *piece = mbj_alloc(BLOB_PIECE_SIZE);
	size_t got = BLOB_PIECE_SIZE;
	uint64_t at = 0;
	enum mbj_rc rc = MBJ_OK;

	if (piece == NULL)
		return mbj_error_nomem(err);
	while (rc == MBJ_OK && got == BLOB_PIECE_SIZE) {
		rc = mbj_file_read(file, at, piece, BLOB_PIECE_SIZE, &got, err);
		if (rc < 0)
			break;
		at += got;
		if (file == &writer->file)
			rc = blob_writer_count(writer,
					       mbj_bytes_make(piece, got), err);
		else
			rc = mbj_blob_writer_write(writer,
						   mbj_bytes_make(piece, got),
						   err);
	}
	mbj_free(piece);
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
	char fresh[MBJ_PATH_TEXT_MAX];
	bool is_linked = false;
	enum mbj_rc rc;

	*ret_writer = NULL;
	if (!file_may_be_linked(blobs->sys, path))
		return MBJ_OK;
	rc = blob_fresh_path(blobs, fresh, err);
	if (rc == MBJ_OK)
		rc = blob_writer_new(blobs, &writer, err);
	if (rc < 0)
		return rc;
	MBJ_ASSERT(writer != NULL);
	rc = mbj_file_link(blobs->sys, path, fresh, &is_linked, err);
	if (rc < 0 || !is_linked) {
		blob_writer_free(&writer);
		return rc;
	}
	rc = mbj_file_open(blobs->sys, fresh, O_RDONLY | O_NOFOLLOW,
			   &writer->file, err);
	writer->is_link = true;
	if (rc == MBJ_OK) {
		*ret_writer = writer;
		return rc;
	}
	/* Best effort: the next opening sweeps. */
	(void)blobs->sys->unlink(blobs->sys->ctx, fresh);
	blob_writer_free(&writer);
	return rc;
}

/* A writer that has taken all of the file, not finished. */
static enum mbj_rc source_take(struct mbj_blobs *blobs, struct mbj_file *source,
			       bool may_link,
			       struct mbj_blob_writer **ret_writer,
			       struct mbj_error *err)
{
	struct mbj_blob_writer *writer = NULL;
	enum mbj_rc rc = MBJ_OK;

	if (may_link)
		rc = writer_link(blobs, source->path, &writer, err);
	if (rc == MBJ_OK && writer == NULL)
		rc = blob_writer_new(blobs, &writer, err);
	if (rc < 0)
		return rc;
	MBJ_ASSERT(writer != NULL);
	rc = file_take(writer, writer->is_link ? &writer->file : source, err);
	if (rc == MBJ_OK)
		*ret_writer = writer;
	else
		mbj_blob_writer_abort(&writer);
	return rc;
}

/* Finish what should be this digest; path is where it came from. */
static enum mbj_rc writer_finish_as(struct mbj_blob_writer **writer,
				    const struct mbj_hash *expected,
				    uint64_t size, const char *path,
				    struct mbj_error *err)
{
	struct mbj_blob_writer *w = *writer;
	struct mbj_hash digest;
	bool is_kept = false;
	enum mbj_rc rc;

	MBJ_ASSERT(w != NULL);
	rc = mbj_sha256_end(w->sha, &digest, err);
	if (rc == MBJ_OK && w->size != size)
		rc = blob_damaged(path, "is not as long as its blob", err);
	else if (rc == MBJ_OK &&
		 memcmp(digest.b, expected->b, MBJ_HASH_SIZE) != 0)
		rc = blob_damaged(path, "is not what its name says", err);
	if (rc == MBJ_OK && w->file.fd < 0)
		rc = blob_store(w->blobs, expected, mbj_buf_view(&w->bytes),
				err);
	else if (rc == MBJ_OK)
		rc = blob_writer_place(w, expected, &is_kept, err);
	if (rc < 0 || is_kept)
		mbj_blob_writer_abort(writer);
	else
		blob_writer_free(writer);
	return rc;
}

/* A short one: all of it, compared, into a pack. */
static enum mbj_rc short_take(struct mbj_blobs *from,
			      struct blob_source *source, struct mbj_blobs *to,
			      const struct mbj_hash *digest,
			      struct mbj_error *err)
{
	size_t n = (size_t)source->size;
	uint8_t *p = mbj_alloc(n);
	struct mbj_hash found;
	size_t got = 0;
	enum mbj_rc rc = MBJ_OK;

	if (p == NULL)
		return mbj_error_nomem(err);
	if (source->pack != NULL)
		rc = pack_record_check(from, source->pack, &source->entry, err);
	if (rc == MBJ_OK)
		rc = mbj_file_read(blob_source_file(source), source->at, p, n,
				   &got, err);
	if (rc == MBJ_OK)
		rc = blob_digest(mbj_bytes_make(p, got), &found, err);
	if (rc == MBJ_OK &&
	    (got < n || memcmp(found.b, digest->b, MBJ_HASH_SIZE) != 0))
		rc = blob_source_damaged(from, source,
					 "is not what its name says", err);
	if (rc == MBJ_OK)
		rc = blob_store(to, digest, mbj_bytes_make(p, n), err);
	mbj_free(p);
	return rc;
}

static enum mbj_rc long_take(struct blob_source *source, struct mbj_blobs *to,
			     const struct mbj_hash *digest, uint64_t size,
			     bool may_link, struct mbj_error *err)
{
	struct mbj_blob_writer *writer = NULL;
	enum mbj_rc rc;

	rc = source_take(to, &source->file, may_link, &writer, err);
	if (rc < 0)
		return rc;
	MBJ_ASSERT(writer != NULL);
	return writer_finish_as(&writer, digest, size, source->file.path, err);
}

static enum mbj_rc blob_take(struct mbj_blobs *from, struct mbj_blobs *to,
			     const struct mbj_hash *digest,
			     const uint64_t *size, bool may_link,
			     struct mbj_error *err)
{
	struct blob_source source;
	enum mbj_rc rc;

	rc = blob_source_open(from, digest, &source, err);
	if (rc < 0)
		return rc;
	if (size != NULL && source.size != *size)
		rc = blob_source_damaged(from, &source,
					 "is not as long as its blob", err);
	else if (source.pack != NULL || source.size <= to->packs.body_max)
		rc = short_take(from, &source, to, digest, err);
	else
		rc = long_take(&source, to, digest, source.size, may_link, err);
	blob_source_close(from, &source);
	return rc;
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
	rc = blob_space_check(to, err);
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

/*
 * A file that is short, or says so: *ret_n above the limit where it is not, and
 * nothing was done.
 */
static enum mbj_rc short_import(struct mbj_blobs *blobs,
				struct mbj_file *source,
				struct mbj_hash *ret_digest, size_t *ret_n,
				struct mbj_error *err)
{
	size_t max = (size_t)blobs->packs.body_max;
	uint8_t *p = mbj_alloc(max + 1);
	enum mbj_rc rc;

	if (p == NULL)
		return mbj_error_nomem(err);
	rc = mbj_file_read(source, 0, p, max + 1, ret_n, err);
	if (rc == MBJ_OK && *ret_n <= max)
		rc = blob_digest(mbj_bytes_make(p, *ret_n), ret_digest, err);
	if (rc == MBJ_OK && *ret_n <= max)
		rc = blob_store(blobs, ret_digest, mbj_bytes_make(p, *ret_n),
				err);
	mbj_free(p);
	return rc;
}

static enum mbj_rc file_import(struct mbj_blobs *blobs, struct mbj_file *source,
			       struct mbj_hash *ret_digest, uint64_t *ret_size,
			       struct mbj_error *err)
{
	struct mbj_blob_writer *writer = NULL;
	struct mbj_hash digest;
	uint64_t size = 0;
	size_t n = 0;
	enum mbj_rc rc;

	rc = mbj_file_size(source, &size, err);
	if (rc == MBJ_OK && size <= blobs->packs.body_max) {
		rc = short_import(blobs, source, &digest, &n, err);
		size = n;
	}
	if (rc < 0)
		return rc;
	if (size <= blobs->packs.body_max) {
		*ret_digest = digest;
		*ret_size = size;
		return MBJ_OK;
	}
	rc = source_take(blobs, source, true, &writer, err);
	if (rc < 0)
		return rc;
	return mbj_blob_writer_finish(&writer, ret_digest, ret_size, err);
}

enum mbj_rc mbj_blob_import(struct mbj_blobs *blobs, const char *path,
			    struct mbj_hash *ret_digest, uint64_t *ret_size,
			    struct mbj_error *err)
{
	struct mbj_file source = MBJ_FILE_CLOSED;
	enum mbj_rc rc;

	MBJ_ASSERT(blobs != NULL && blobs->is_owner);
	MBJ_ASSERT(path != NULL && ret_digest != NULL && ret_size != NULL);
	rc = blob_space_check(blobs, err);
	if (rc == MBJ_OK)
		rc = blob_pending_bound(blobs, err);
	/* What is no file must not make us wait; reading it fails. */
	if (rc == MBJ_OK)
		rc = mbj_file_open(blobs->sys, path,
				   O_RDONLY | O_NONBLOCK | O_NOCTTY, &source,
				   err);
	if (rc < 0)
		return rc;
	rc = file_import(blobs, &source, ret_digest, ret_size, err);
	mbj_file_close(&source);
	return rc;
}
