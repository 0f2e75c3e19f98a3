/*
 * Whether a blob is there, and how a complete file in new/ becomes one: packed
 * where the store packs, its data synced, then renamed to its digest; see
 * mbj/blob.h.
 *
 * Not here: where the file comes from (blob_write.c); when the name is on disk
 * (blob_sync.c); many blobs that share the sync of their data (blob_bulk.c).
 *
 * Invariants:
 *   1. no call that may wait for a disk is made under the mutex, but where a
 *      folder is made and in a round of many: nobody who stores waits for what
 *      somebody else writes;
 *   2. content is noted as recent before it is seen to be there, or gets its
 *      name: no moment in which it could be taken away;
 *   3. what is being placed is counted until its entry has its note: who finds
 *      it before that makes one (blob_note_found);
 *   4. a folder is made by one thread at a time, and nothing is in it before
 *      its own entry is on disk;
 *   5. only a complete file whose data are on disk, or in the log, gets a
 *      digest's name;
 *   6. what is kept, or placed, is what whoever reads the blob is given, by its
 *      size; and no file that has it is taken away, whatever its form.
 *
 * Two threads that store the same content may both place theirs, one over the
 * other's, or beside it in the other form: it is the same, and on disk.
 *
 * Threads: see mbj/blob.h.
 */
#include <errno.h>
#include <fcntl.h>

#include <mbj/check.h>

#include "blob_priv.h"

/* ----------------------------------------------------------------- having */

/* Does what whoever reads the blob would be given have that size? */
static enum mbj_rc blob_look(const struct mbj_blobs *blobs,
			     const struct mbj_hash *digest, uint64_t size,
			     bool *ret_is_there, struct mbj_error *err)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	struct blob_source source = {.size = UINT64_MAX};
	enum mbj_rc rc = MBJ_ENOTFOUND;

	if (blob_is_packing(blobs))
		rc = blob_form_open(blobs, digest, BLOB_PACKED, &file, &source,
				    err);
	if (rc == MBJ_ENOTFOUND || rc == MBJ_ECORRUPT)
		rc = blob_form_open(blobs, digest, BLOB_PLAIN, &file, &source,
				    err);
	if (rc < 0 && rc != MBJ_ENOTFOUND)
		return rc;
	mbj_file_close(&file);
	*ret_is_there = source.size == size;
	return MBJ_OK;
}

/*
 * Is a file of that size there, and noted as recent before that was seen?  What
 * is not there is not noted: asking for much must keep nothing of it.
 */
static enum mbj_rc blob_look_noted(struct mbj_blobs *blobs,
				   const struct mbj_hash *digest, uint64_t size,
				   bool *ret_is_there, struct mbj_error *err)
{
	bool is_noted;
	enum mbj_rc rc;

	pthread_mutex_lock(&blobs->mutex);
	is_noted = blob_recent_renew(blobs, digest);
	pthread_mutex_unlock(&blobs->mutex);
	for (;;) {
		rc = blob_look(blobs, digest, size, ret_is_there, err);
		if (rc < 0 || is_noted || !*ret_is_there)
			return rc;
		/* It may have been taken away before this. */
		pthread_mutex_lock(&blobs->mutex);
		blob_recent_note(blobs, digest);
		pthread_mutex_unlock(&blobs->mutex);
		is_noted = true;
	}
}

enum mbj_rc blob_keep(struct mbj_blobs *blobs, const struct mbj_hash *digest,
		      uint64_t size, bool *ret_is_kept, struct mbj_error *err)
{
	bool is_kept;
	enum mbj_rc rc;

	pthread_mutex_lock(&blobs->mutex);
	is_kept = blob_defers_size(blobs, digest, size);
	if (is_kept)
		blob_recent_note(blobs, digest);
	pthread_mutex_unlock(&blobs->mutex);
	if (is_kept) {
		*ret_is_kept = true;
		return MBJ_OK;
	}
	rc = blob_look_noted(blobs, digest, size, &is_kept, err);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&blobs->mutex);
	is_kept = is_kept && !blob_is_doubtful(blobs, digest);
	if (is_kept)
		rc = blob_note_found(blobs, digest, err);
	pthread_mutex_unlock(&blobs->mutex);
	if (rc == MBJ_OK)
		*ret_is_kept = is_kept;
	return rc;
}

/* ----------------------------------------------------------------- naming */

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
	blobs->is_any_unmade |= rc < 0;
	if (rc < 0)
		(void)blobs->sys->rmdir(blobs->sys->ctx, path);
	return rc;
}

/*
 * Renaming one name of a file to another one of it does nothing: where two have
 * a link to one file, the second one's stays, and is taken away here.
 * *ret_was_there: nothing was written, or who knows.
 */
static enum mbj_rc fresh_move(const struct mbj_blobs *blobs,
			      const struct blob_fresh *fresh, const char *path,
			      bool *ret_was_there, struct mbj_error *err)
{
	const struct mbj_sys *sys = blobs->sys;
	enum mbj_rc rc = mbj_file_rename(sys, fresh->path, path, err);

	*ret_was_there = rc == MBJ_OK && fresh->is_link &&
			 sys->unlink(sys->ctx, fresh->path) != -ENOENT;
	return rc;
}

/*
 * In the same form the new file takes the place of a damaged one.  In the other
 * one it would be read instead, or lie there for nothing: it goes, now that the
 * blob is there.  Whoever does that has given his own name before he looks; so
 * of two who store one blob in two forms at once, one at most finds a damaged
 * file, and what the other one stored stays.
 */
static enum mbj_rc other_drop(const struct mbj_blobs *blobs,
			      const struct blob_fresh *fresh,
			      const struct mbj_hash *digest,
			      struct mbj_error *err)
{
	enum blob_form form = blob_form_other(fresh->form);
	struct mbj_file file = MBJ_FILE_CLOSED;
	struct blob_source source = {.size = UINT64_MAX};
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	if (!blob_is_packing(blobs))
		return MBJ_OK;
	rc = blob_form_open(blobs, digest, form, &file, &source, err);
	if (rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	if (rc < 0 && rc != MBJ_ECORRUPT)
		return rc;
	mbj_file_close(&file);
	if (source.size == fresh->size)
		return MBJ_OK;
	rc = blob_path(blobs, digest, form, path, err);
	if (rc == MBJ_OK)
		rc = mbj_file_remove(blobs->sys, path, err);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

enum mbj_rc blob_name_give(struct mbj_blobs *blobs,
			   const struct blob_fresh *fresh,
			   const struct mbj_hash *digest, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	bool was_there = false;
	enum mbj_rc rc;

	rc = blob_path(blobs, digest, fresh->form, path, err);
	if (rc == MBJ_OK && !fresh->is_logged)
		rc = blob_note_reserve(blobs, err);
	if (rc < 0)
		return rc;
	blob_recent_note(blobs, digest);
	rc = fresh_move(blobs, fresh, path, &was_there, err);
	if (rc == MBJ_ENOTFOUND) {
		rc = folder_make(blobs, digest->b[0], err);
		if (rc == MBJ_OK)
			rc = fresh_move(blobs, fresh, path, &was_there, err);
	}
	if (rc < 0)
		return rc;
	blobs->is_made[digest->b[0]] = true;
	/* What the log has needs no sync of its folder. */
	if (!fresh->is_logged)
		blob_note_made(blobs, digest, was_there);
	return other_drop(blobs, fresh, digest, err);
}

/*
 * Under the mutex: room for the note that will be made, and all know of it.
 * *ret_failures is for placing_end.
 */
static enum mbj_rc placing_begin(struct mbj_blobs *blobs,
				 const struct mbj_hash *digest,
				 uint32_t *ret_failures, struct mbj_error *err)
{
	unsigned folder = digest->b[0];
	enum mbj_rc rc = blob_note_reserve(blobs, err);

	if (rc < 0)
		return rc;
	blob_recent_note(blobs, digest);
	blobs->placing[folder]++;
	blobs->placing_count++;
	*ret_failures = blobs->failures[folder];
	return MBJ_OK;
}

/* Under the mutex.  is_there: it is now; was_there: before, too. */
static void placing_end(struct mbj_blobs *blobs, const struct mbj_hash *digest,
			uint32_t failures, bool is_there, bool was_there)
{
	unsigned folder = digest->b[0];
	bool is_suspect = blobs->failures[folder] != failures;

	MBJ_ASSERT(blobs->placing[folder] > 0 && blobs->placing_count > 0);
	blobs->placing[folder]--;
	blobs->placing_count--;
	if (is_there)
		blob_note_made(blobs, digest, was_there);
	/* It may have been among what a sync that failed was about. */
	if (is_there && is_suspect)
		blob_note_doubt(blobs, digest);
	if (is_suspect) {
		MBJ_ASSERT(blobs->suspect[folder] > 0);
		blobs->suspect[folder]--;
	}
}

/* Without the mutex: as blob_name_give. */
static enum mbj_rc name_place(struct mbj_blobs *blobs,
			      const struct blob_fresh *fresh,
			      const struct mbj_hash *digest,
			      struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	uint32_t failures = 0;
	bool was_there = false;
	bool is_there;
	enum mbj_rc rc;

	rc = blob_path(blobs, digest, fresh->form, path, err);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&blobs->mutex);
	if (!blobs->is_made[digest->b[0]]) {
		rc = blob_name_give(blobs, fresh, digest, err);
		goto out;
	}
	rc = placing_begin(blobs, digest, &failures, err);
	if (rc < 0)
		goto out;
	pthread_mutex_unlock(&blobs->mutex);
	rc = fresh_move(blobs, fresh, path, &was_there, err);
	is_there = rc == MBJ_OK;
	if (is_there)
		rc = other_drop(blobs, fresh, digest, err);
	pthread_mutex_lock(&blobs->mutex);
	placing_end(blobs, digest, failures, is_there, was_there);
	/* Somebody took the folder away. */
	if (!is_there && rc == MBJ_ENOTFOUND)
		rc = blob_name_give(blobs, fresh, digest, err);
out:
	pthread_mutex_unlock(&blobs->mutex);
	return rc;
}

/* ---------------------------------------------------------------- placing */

/* *ret_is_kept: the content was there, the writer's file is not needed. */
static enum mbj_rc writer_look(struct mbj_blob_writer *writer,
			       const struct mbj_hash *digest, bool *ret_is_kept,
			       struct mbj_error *err)
{
	struct mbj_blobs *blobs = writer->blobs;
	enum mbj_rc rc;

	rc = blob_keep(blobs, digest, writer->size, ret_is_kept, err);
	if (rc < 0 || *ret_is_kept || !writer->is_link)
		return rc;
	/*
	 * A link may be one to what is there, and renews no doubtful entry; the
	 * next round will.
	 */
	pthread_mutex_lock(&blobs->mutex);
	*ret_is_kept = blob_is_doubtful(blobs, digest);
	pthread_mutex_unlock(&blobs->mutex);
	return MBJ_OK;
}

/* The bytes of its file, if they may be for the log: empty, they are not. */
static enum mbj_rc writer_read_back(struct mbj_blob_writer *writer,
				    struct mbj_buf *ret_bytes,
				    struct mbj_error *err)
{
	uint64_t size = writer->size;
	size_t got = 0;
	enum mbj_rc rc = MBJ_OK;

	if (!writer->blobs->log.is_on || writer->is_link)
		return MBJ_OK;
	if (writer->form != BLOB_PLAIN)
		rc = mbj_file_size(&writer->file, &size, err);
	if (rc < 0 || size > BLOB_LOG_CONTENT_MAX)
		return rc;
	mbj_buf_put_zero(ret_bytes, (size_t)size);
	rc = mbj_buf_ok(ret_bytes, err);
	if (rc == MBJ_OK)
		rc = mbj_file_read(&writer->file, 0, ret_bytes->p, (size_t)size,
				   &got, err);
	if (rc == MBJ_OK && got != size)
		rc = blob_damaged(writer->file.path,
				  "became shorter while it was written", err);
	return rc;
}

/*
 * Under the mutex: *ret_is_deferred, its data wait for the next round, in bulk
 * or in the log.  A sync of the file system that failed since it was begun may
 * have been about what it had by then; no other one would tell, but that of its
 * own file.
 */
static enum mbj_rc writer_defer(struct mbj_blob_writer *writer,
				const struct mbj_hash *digest,
				struct mbj_bytes bytes, bool *ret_is_deferred,
				struct mbj_error *err)
{
	struct mbj_blobs *blobs = writer->blobs;
	struct blob_deferred deferred = {.digest = *digest,
					 .fresh = writer->fresh,
					 .size = writer->size,
					 .form = writer->form,
					 .is_link = writer->is_link};
	enum mbj_rc rc = MBJ_OK;

	deferred.is_logged = bytes.n > 0 && blob_log_takes(blobs, bytes.n);
	*ret_is_deferred = (blobs->is_bulk || deferred.is_logged) &&
			   writer->doubts == blobs->doubts &&
			   blob_may_defer(blobs, digest);
	if (*ret_is_deferred && deferred.is_logged)
		rc = blob_log_add(blobs, &deferred, bytes, err);
	if (*ret_is_deferred && rc == MBJ_OK)
		rc = blob_defer(blobs, &deferred, err);
	return rc;
}

/* What is there already was not packed again, nor was a link. */
static enum mbj_rc writer_settle(struct mbj_blob_writer *writer,
				 const struct mbj_hash *digest,
				 bool *ret_is_deferred, struct mbj_error *err)
{
	struct mbj_buf bytes;
	enum mbj_rc rc = MBJ_OK;

	mbj_buf_init(&bytes, BLOB_LOG_CONTENT_MAX);
	if (writer->blobs->level > 0 && !writer->is_link)
		rc = blob_pack(writer, err);
	if (rc == MBJ_OK)
		rc = writer_read_back(writer, &bytes, err);
	if (rc == MBJ_OK) {
		pthread_mutex_lock(&writer->blobs->mutex);
		rc = writer_defer(writer, digest, mbj_buf_view(&bytes),
				  ret_is_deferred, err);
		pthread_mutex_unlock(&writer->blobs->mutex);
	}
	/* Else one sync of the file system would have much to do: blob_log.c */
	if (rc == MBJ_OK && *ret_is_deferred && bytes.n > 0)
		mbj_file_write_begin(&writer->file);
	mbj_buf_done(&bytes);
	if (rc == MBJ_OK && !*ret_is_deferred)
		rc = mbj_file_sync(&writer->file, err);
	return rc;
}

enum mbj_rc blob_place(struct mbj_blob_writer *writer,
		       const struct mbj_hash *digest, bool *ret_is_kept,
		       struct mbj_error *err)
{
	struct blob_fresh fresh = {.is_link = writer->is_link};
	bool is_deferred = false;
	enum mbj_rc rc;

	rc = writer_look(writer, digest, ret_is_kept, err);
	if (rc == MBJ_OK && !*ret_is_kept)
		rc = writer_settle(writer, digest, &is_deferred, err);
	if (rc < 0 || *ret_is_kept || is_deferred)
		return rc;
	/* Another link to the same file may be there by now. */
	if (writer->is_link)
		rc = writer_look(writer, digest, ret_is_kept, err);
	if (rc < 0 || *ret_is_kept)
		return rc;
	/* Packing may have made it another file. */
	fresh.path = writer->file.path;
	fresh.size = writer->size;
	fresh.form = writer->form;
	return name_place(writer->blobs, &fresh, digest, err);
}
