/*
 * How blobs come in: short ones as a whole into a pack, longer ones piece by
 * piece into a file in new/, its data synced, then renamed to its digest; see
 * mbj/blob.h.
 *
 * Not here: when that is on disk (blob_sync.c); packs (pack_write.c).
 *
 * Invariants:
 *   1. only a complete file whose data are on disk gets a digest's name;
 *   2. whether a blob is there, its renaming and its note are one step under
 *      the mutex: of two threads that store the same content one finds the
 *      other's;
 *   3. a writer that ends leaves no file in new/, unless removing it fails.
 *
 * Threads: see mbj/blob.h.
 */
#include <fcntl.h>

#include <mbj/check.h>
#include <mbj/hash.h>

#include "blob_priv.h"

/* ---------------------------------------------------------------- placing */

enum mbj_rc blob_keep(struct mbj_blobs *blobs, const struct mbj_hash *digest,
		      uint64_t size, bool *ret_is_kept, struct mbj_error *err)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	uint64_t found = 0;
	struct pack_place place;
	bool is_kept;
	enum mbj_rc rc;

	rc = packs_find(blobs, digest, &place, &is_kept, err);
	if (rc < 0)
		return rc;
	*ret_is_kept = is_kept && place.size == size;
	if (*ret_is_kept ||
	    (blobs->is_owner && !blobs->has_folder[digest->b[0]]))
		return MBJ_OK;
	rc = blob_path(blobs, digest, path, err);
	if (rc < 0)
		return rc;
	rc = mbj_file_open(blobs->sys, path, O_RDONLY | O_NOFOLLOW, &file, err);
	if (rc == MBJ_ENOTFOUND) {
		*ret_is_kept = false;
		return MBJ_OK;
	}
	if (rc < 0)
		return rc;
	rc = mbj_file_size(&file, &found, err);
	mbj_file_close(&file);
	is_kept = found == size && !blob_is_doubtful(blobs, digest);
	if (rc == MBJ_OK && is_kept)
		rc = blob_note_found(blobs, digest, err);
	if (rc == MBJ_OK)
		*ret_is_kept = is_kept;
	return rc;
}

/* The first blob of its folder; where its entry fails it is not there. */
static enum mbj_rc folder_make(struct mbj_blobs *blobs, unsigned folder,
			       struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = blob_folder_path(blobs, folder, path, err);
	if (rc < 0)
		return rc;
	rc = mbj_dir_make(blobs->sys, path, err);
	if (rc < 0 && rc != MBJ_EEXISTS)
		return rc;
	rc = mbj_dir_sync(blobs->sys, blobs->dir, err);
	if (rc < 0)
		(void)blobs->sys->rmdir(blobs->sys->ctx, path);
	else
		blobs->has_folder[folder] = true;
	return rc;
}

enum mbj_rc blob_name_give(struct mbj_blobs *blobs, const char *fresh,
			   const struct mbj_hash *digest, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = blob_path(blobs, digest, path, err);
	if (rc == MBJ_OK)
		rc = blob_note_reserve(blobs, err);
	if (rc < 0)
		return rc;
	rc = mbj_file_rename(blobs->sys, fresh, path, err);
	if (rc == MBJ_ENOTFOUND) {
		rc = folder_make(blobs, digest->b[0], err);
		if (rc == MBJ_OK)
			rc = mbj_file_rename(blobs->sys, fresh, path, err);
	}
	if (rc == MBJ_OK)
		blob_note_made(blobs, digest);
	return rc;
}

/* ----------------------------------------------------------------- writer */

void blob_writer_free(struct mbj_blob_writer **writer)
{
	mbj_file_close(&(*writer)->file);
	mbj_buf_done(&(*writer)->bytes);
	mbj_sha256_free(&(*writer)->sha);
	mbj_free(*writer);
	*writer = NULL;
}

enum mbj_rc blob_writer_new(struct mbj_blobs *blobs,
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
	mbj_buf_init(&writer->bytes, (size_t)blobs->packs.body_max);
	rc = mbj_sha256_new(&writer->sha, err);
	if (rc == MBJ_OK)
		rc = mbj_sha256_begin(writer->sha, err);
	if (rc == MBJ_OK)
		*ret_writer = writer;
	else
		blob_writer_free(&writer);
	return rc;
}

/* A path in new/ that nobody has. */
enum mbj_rc blob_fresh_path(const struct mbj_blobs *blobs,
			    char path[MBJ_PATH_TEXT_MAX], struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE];
	struct mbj_id id;
	enum mbj_rc rc;

	rc = mbj_id_generate(blobs->sys, &id, err);
	if (rc < 0)
		return rc;
	mbj_id_print(id, text);
	return mbj_path_join(path, blobs->fresh, text, err);
}

/* It is too long for a pack: a file, of what there is so far. */
static enum mbj_rc writer_spill(struct mbj_blob_writer *writer,
				struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = blob_fresh_path(writer->blobs, path, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(writer->blobs->sys, path,
				   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
				   &writer->file, err);
	if (rc == MBJ_OK)
		rc = mbj_file_write(&writer->file, 0, writer->bytes.p,
				    writer->bytes.n, err);
	mbj_buf_done(&writer->bytes);
	return rc;
}

void mbj_blobs_keep_free(struct mbj_blobs *blobs, uint64_t size)
{
	MBJ_ASSERT(blobs->is_owner && blobs->pending_count == 0);
	blobs->space_min = size;
}

enum mbj_rc blob_space_check(const struct mbj_blobs *blobs,
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
	rc = blob_space_check(blobs, err);
	return rc < 0 ? rc : blob_writer_new(blobs, ret_writer, err);
}

void mbj_blob_writer_abort(struct mbj_blob_writer **writer)
{
	const struct mbj_sys *sys;

	if (writer == NULL || *writer == NULL)
		return;
	/* Best effort: the next opening sweeps. */
	sys = (*writer)->blobs->sys;
	if ((*writer)->file.fd >= 0 || (*writer)->is_link)
		(void)sys->unlink(sys->ctx, (*writer)->file.path);
	blob_writer_free(writer);
}

/* Count and hash a piece. */
enum mbj_rc blob_writer_count(struct mbj_blob_writer *writer,
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

static enum mbj_rc piece_put(struct mbj_blob_writer *writer, uint64_t at,
			     struct mbj_bytes piece, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	if (writer->file.fd < 0 &&
	    writer->size <= writer->blobs->packs.body_max) {
		mbj_buf_put_bytes(&writer->bytes, piece);
		return mbj_buf_ok(&writer->bytes, err);
	}
	if (writer->file.fd < 0)
		rc = writer_spill(writer, err);
	if (rc == MBJ_OK)
		rc = mbj_file_write(&writer->file, at, piece.p, piece.n, err);
	return rc;
}

enum mbj_rc mbj_blob_writer_write(struct mbj_blob_writer *writer,
				  struct mbj_bytes piece, struct mbj_error *err)
{
	uint64_t at;

	MBJ_ASSERT(writer != NULL);
	MBJ_ASSERT(piece.p != NULL || piece.n == 0);
	at = writer->size;
	if (writer->rc == MBJ_OK)
		writer->rc = blob_writer_count(writer, piece, &writer->error);
	if (writer->rc == MBJ_OK)
		writer->rc = piece_put(writer, at, piece, &writer->error);
	if (writer->rc < 0 && err != NULL)
		*err = writer->error;
	return writer->rc;
}

/* *ret_is_kept: the content was there, the writer's file is not needed. */
static enum mbj_rc writer_look(struct mbj_blob_writer *writer,
			       const struct mbj_hash *digest, bool *ret_is_kept,
			       struct mbj_error *err)
{
	struct mbj_blobs *blobs = writer->blobs;
	enum mbj_rc rc;

	rc = blob_keep(blobs, digest, writer->size, ret_is_kept, err);
	/*
	 * Renaming one name of a file to another one of it does nothing, so a
	 * link cannot renew a doubtful entry; the next round will.
	 */
	if (rc == MBJ_OK && writer->is_link && blob_is_doubtful(blobs, digest))
		*ret_is_kept = true;
	return rc;
}

enum mbj_rc blob_writer_place(struct mbj_blob_writer *writer,
			      const struct mbj_hash *digest, bool *ret_is_kept,
			      struct mbj_error *err)
{
	struct mbj_blobs *blobs = writer->blobs;
	enum mbj_rc rc;

	pthread_mutex_lock(&blobs->mutex);
	rc = writer_look(writer, digest, ret_is_kept, err);
	pthread_mutex_unlock(&blobs->mutex);
	if (rc < 0 || *ret_is_kept)
		return rc;
	rc = mbj_file_sync(&writer->file, err);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&blobs->mutex);
	rc = writer_look(writer, digest, ret_is_kept, err);
	if (rc == MBJ_OK && !*ret_is_kept)
		rc = blob_name_give(blobs, writer->file.path, digest, err);
	pthread_mutex_unlock(&blobs->mutex);
	return rc;
}

/* A short one, as a whole. */
enum mbj_rc blob_store(struct mbj_blobs *blobs, const struct mbj_hash *digest,
		       struct mbj_bytes bytes, struct mbj_error *err)
{
	bool is_kept = false;
	enum mbj_rc rc;

	pthread_mutex_lock(&blobs->mutex);
	rc = blob_keep(blobs, digest, bytes.n, &is_kept, err);
	if (rc == MBJ_OK && !is_kept) {
		rc = packs_append(blobs, digest, bytes, err);
		if (rc == MBJ_OK)
			blob_doubt_forget(blobs, digest);
	}
	pthread_mutex_unlock(&blobs->mutex);
	return rc;
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
	if (rc == MBJ_OK && w->file.fd < 0)
		rc = blob_store(w->blobs, &digest, mbj_buf_view(&w->bytes),
				err);
	else if (rc == MBJ_OK)
		rc = blob_writer_place(w, &digest, &is_kept, err);
	if (rc == MBJ_OK) {
		*ret_digest = digest;
		*ret_size = w->size;
	}
	if (rc < 0 || is_kept)
		mbj_blob_writer_abort(writer);
	else
		blob_writer_free(writer);
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

static enum mbj_rc short_put(struct mbj_blobs *blobs, struct mbj_bytes bytes,
			     struct mbj_hash *ret_digest, struct mbj_error *err)
{
	struct mbj_hash digest;
	enum mbj_rc rc;

	rc = blob_pending_bound(blobs, err);
	if (rc == MBJ_OK)
		rc = blob_digest(bytes, &digest, err);
	if (rc == MBJ_OK)
		rc = blob_store(blobs, &digest, bytes, err);
	if (rc == MBJ_OK)
		*ret_digest = digest;
	return rc;
}

enum mbj_rc mbj_blob_put(struct mbj_blobs *blobs, struct mbj_bytes bytes,
			 struct mbj_hash *ret_digest, struct mbj_error *err)
{
	struct mbj_blob_writer *writer = NULL;
	uint64_t size;
	enum mbj_rc rc;

	MBJ_ASSERT(blobs != NULL && blobs->is_owner);
	if (bytes.n <= blobs->packs.body_max) {
		rc = blob_space_check(blobs, err);
		return rc < 0 ? rc : short_put(blobs, bytes, ret_digest, err);
	}
	rc = mbj_blob_writer_begin(blobs, &writer, err);
	if (rc < 0)
		return rc;
	rc = mbj_blob_writer_write(writer, bytes, err);
	if (rc == MBJ_OK)
		return mbj_blob_writer_finish(&writer, ret_digest, &size, err);
	mbj_blob_writer_abort(&writer);
	return rc;
}
