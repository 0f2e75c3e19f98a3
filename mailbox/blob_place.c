/*
 * Whether a blob is there, and giving a complete file its digest's name; see
 * mbj/blob.h.
 *
 * Not here: where the file comes from (blob_write.c, blob_bulk.c); when the
 * name is on disk (blob_sync.c).
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
 *      its own entry is on disk.
 *
 * Two threads that store the same content may both place theirs, one over the
 * other's: it is the same, and on disk.
 *
 * Threads: see mbj/blob.h.
 */
#include <errno.h>
#include <fcntl.h>

#include <mbj/check.h>

#include "blob_priv.h"

/* How many bytes the blob has, UINT64_MAX: it is not there. */
static enum mbj_rc blob_look(const struct mbj_blobs *blobs,
			     const struct mbj_hash *digest, uint64_t *ret_size,
			     struct mbj_error *err)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = blob_path(blobs, digest, path, err);
	if (rc < 0)
		return rc;
	rc = mbj_file_open(blobs->sys, path, O_RDONLY | O_NOFOLLOW, &file, err);
	if (rc == MBJ_ENOTFOUND) {
		*ret_size = UINT64_MAX;
		return MBJ_OK;
	}
	if (rc < 0)
		return rc;
	rc = mbj_file_size(&file, ret_size, err);
	mbj_file_close(&file);
	return rc;
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
		uint64_t found = 0;

		rc = blob_look(blobs, digest, &found, err);
		if (rc < 0)
			return rc;
		*ret_is_there = found == size;
		if (is_noted || !*ret_is_there)
			return MBJ_OK;
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

/* The first blob of its folder; where its entry fails it is not there. */
static enum mbj_rc folder_make(const struct mbj_blobs *blobs, unsigned folder,
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

enum mbj_rc blob_name_give(struct mbj_blobs *blobs,
			   const struct blob_fresh *fresh,
			   const struct mbj_hash *digest, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	bool was_there = false;
	enum mbj_rc rc;

	rc = blob_path(blobs, digest, path, err);
	if (rc == MBJ_OK)
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
	blob_note_made(blobs, digest, was_there);
	return MBJ_OK;
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

enum mbj_rc blob_place(struct mbj_blobs *blobs, const struct blob_fresh *fresh,
		       const struct mbj_hash *digest, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	uint32_t failures = 0;
	bool was_there = false;
	enum mbj_rc rc;

	rc = blob_path(blobs, digest, path, err);
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
	pthread_mutex_lock(&blobs->mutex);
	placing_end(blobs, digest, failures, rc == MBJ_OK, was_there);
	/* Somebody took the folder away. */
	if (rc == MBJ_ENOTFOUND)
		rc = blob_name_give(blobs, fresh, digest, err);
out:
	pthread_mutex_unlock(&blobs->mutex);
	return rc;
}
