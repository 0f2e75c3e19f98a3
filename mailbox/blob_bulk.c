/*
 * Many blobs at once: complete files stay in new/ under their own names until
 * one sync of the file system, or of the log (blob_log.c), has their data on
 * disk; then they get their digests' names; see mbj_blobs_bulk and
 * mbj_blobs_log in mbj/blob.h.
 *
 *	finished --> deferred --bulk round--> named, pending (blob_sync.c)
 *
 * Invariants:
 *   1. as elsewhere: only a complete file whose data are on disk, or in the
 *      log, gets a digest's name;
 *   2. what is deferred is found as if it were there, and counts as stored no
 *      earlier than anything else: after the next mbj_blobs_sync;
 *   3. of a round that fails nothing is left deferred.
 *
 * Threads: as mbj/blob.h, under the mutex; a round keeps it, but while the log
 * is flushed.  There is one at a time.
 */
#include <fcntl.h>

#include <mbj/check.h>
#include <mbj/codec.h>

#include "blob_priv.h"

enum {
	DEFERRED_MAX = 4096, /* files that wait in new/ */
	FEW = 2,	     /* are cheaper to sync one by one */
};

static struct blob_deferred *deferred_at(const struct mbj_blobs *blobs,
					 size_t i)
{
	return (struct blob_deferred *)blobs->deferred + i;
}

/* Digests are spread as they are; who makes them alike costs himself time. */
static uint64_t digest_hash(const struct mbj_hash *digest)
{
	return mbj_load_u64(digest->b + 8);
}

static struct blob_deferred *deferred_find(const struct mbj_blobs *blobs,
					   const struct mbj_hash *digest)
{
	uint64_t hash = digest_hash(digest);
	uint32_t at = mbj_table_seek(&blobs->deferred_table, hash);
	uint32_t i;

	while (mbj_table_next(&blobs->deferred_table, hash, &at, &i))
		if (memcmp(deferred_at(blobs, i)->digest.b, digest->b,
			   MBJ_HASH_SIZE) == 0)
			return deferred_at(blobs, i);
	return NULL;
}

bool blob_is_deferred(const struct mbj_blobs *blobs,
		      const struct mbj_hash *digest)
{
	return blobs->deferred_count > 0 &&
	       deferred_find(blobs, digest) != NULL;
}

bool blob_is_logged(const struct mbj_blobs *blobs,
		    const struct mbj_hash *digest)
{
	const struct blob_deferred *found;

	if (blobs->deferred_count == 0)
		return false;
	found = deferred_find(blobs, digest);
	return found != NULL && found->is_logged;
}

bool blob_defers_size(const struct mbj_blobs *blobs,
		      const struct mbj_hash *digest, uint64_t size)
{
	const struct blob_deferred *found;

	if (blobs->deferred_count == 0)
		return false;
	found = deferred_find(blobs, digest);
	return found != NULL && found->size == size;
}

bool blob_may_defer(const struct mbj_blobs *blobs,
		    const struct mbj_hash *digest)
{
	return !blob_is_doubtful(blobs, digest) &&
	       deferred_find(blobs, digest) == NULL;
}

bool blob_deferred_are_many(const struct mbj_blobs *blobs)
{
	return blobs->deferred_count >= DEFERRED_MAX;
}

enum mbj_rc blob_defer(struct mbj_blobs *blobs,
		       const struct blob_deferred *deferred,
		       struct mbj_error *err)
{
	enum mbj_rc rc;

	blob_recent_note(blobs, &deferred->digest);
	rc = mbj_array_reserve(&blobs->deferred, &blobs->deferred_capacity,
			       blobs->deferred_count + 1, sizeof(*deferred),
			       2 * DEFERRED_MAX, err);
	if (rc == MBJ_OK)
		rc = mbj_table_add(&blobs->deferred_table,
				   digest_hash(&deferred->digest),
				   (uint32_t)blobs->deferred_count, err);
	if (rc == MBJ_OK)
		*deferred_at(blobs, blobs->deferred_count++) = *deferred;
	return rc;
}

/* ---------------------------------------------------------------- a round */

static enum mbj_rc fresh_path(const struct mbj_blobs *blobs,
			      const struct blob_deferred *deferred,
			      char path[MBJ_PATH_TEXT_MAX],
			      struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE];

	mbj_id_print(deferred->fresh, text);
	return mbj_path_join(path, blobs->fresh, text, err);
}

static enum mbj_rc file_sync(const struct mbj_blobs *blobs,
			     const struct blob_deferred *deferred,
			     struct mbj_error *err)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = fresh_path(blobs, deferred, path, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(blobs->sys, path, O_RDONLY | O_NOFOLLOW,
				   &file, err);
	if (rc == MBJ_OK)
		rc = mbj_file_sync(&file, err);
	mbj_file_close(&file);
	return rc;
}

/*
 * Of the first n.  The descriptor was open before any of them was written: what
 * could not be is told to it, if another process was told before, too.
 * Requires: err is not NULL, here and below.
 */
static enum mbj_rc data_sync(struct mbj_blobs *blobs, size_t n,
			     struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	if (blobs->deferred_doubtful > 0)
		return blob_tell(&blobs->doubt, err);
	if (n > FEW) {
		rc = mbj_file_sync_fs(&blobs->fs, err);
		if (rc < 0)
			blob_doubt_all(blobs, err);
		return rc;
	}
	for (size_t i = 0; rc == MBJ_OK && i < n; i++)
		rc = file_sync(blobs, deferred_at(blobs, i), err);
	return rc;
}

/* As blob_write.c's: where its entry fails it is not there. */
static void folders_unmake(const struct mbj_blobs *blobs,
			   const bool is_made[BLOB_FOLDERS])
{
	for (unsigned i = 0; i < BLOB_FOLDERS; i++) {
		char path[MBJ_PATH_TEXT_MAX];

		if (is_made[i] &&
		    blob_folder_path(blobs, i, path, NULL) == MBJ_OK)
			(void)blobs->sys->rmdir(blobs->sys->ctx, path);
	}
}

/* The folders that are needed, with one sync for those that are new. */
static enum mbj_rc folders_make(struct mbj_blobs *blobs, size_t n,
				struct mbj_error *err)
{
	bool is_needed[BLOB_FOLDERS] = {false};
	bool is_made[BLOB_FOLDERS] = {false};
	bool is_any_made = blobs->is_any_unmade;
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; i < n; i++) {
		unsigned folder = deferred_at(blobs, i)->digest.b[0];

		is_needed[folder] = !blobs->is_made[folder];
	}
	for (unsigned i = 0; rc == MBJ_OK && i < BLOB_FOLDERS; i++) {
		char path[MBJ_PATH_TEXT_MAX];

		if (!is_needed[i])
			continue;
		rc = blob_folder_path(blobs, i, path, err);
		if (rc == MBJ_OK)
			rc = mbj_dir_make(blobs->sys, path, err);
		is_made[i] = rc == MBJ_OK;
		is_any_made |= is_made[i];
		if (rc == MBJ_EEXISTS)
			rc = MBJ_OK;
	}
	if (rc == MBJ_OK && is_any_made)
		rc = mbj_dir_sync(blobs->sys, blobs->dir, err);
	/* What cannot be taken away either is found by the next round. */
	blobs->is_any_unmade = rc < 0;
	if (rc < 0)
		folders_unmake(blobs, is_made);
	return rc;
}

/* The first n leave the list. */
static void deferred_leave(struct mbj_blobs *blobs, size_t n)
{
	size_t left = blobs->deferred_count - n;
	enum mbj_rc rc = MBJ_OK;

	if (left > 0)
		memmove(deferred_at(blobs, 0), deferred_at(blobs, n),
			left * sizeof(struct blob_deferred));
	blobs->deferred_count = left;
	blobs->deferred_doubtful -=
		n < blobs->deferred_doubtful ? n : blobs->deferred_doubtful;
	mbj_table_clear(&blobs->deferred_table);
	for (size_t i = 0; i < left; i++)
		rc = mbj_table_add(&blobs->deferred_table,
				   digest_hash(&deferred_at(blobs, i)->digest),
				   (uint32_t)i, NULL);
	/* There was room for more. */
	MBJ_ASSERT(rc == MBJ_OK);
}

/*
 * Each of the first n leaves the list, named or not; the first failure is
 * returned.
 */
static enum mbj_rc names_give(struct mbj_blobs *blobs, size_t n, bool is_logged,
			      enum mbj_rc rc, struct mbj_error *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct blob_deferred *deferred = deferred_at(blobs, i);
		struct blob_fresh fresh = {.size = deferred->size,
					   .form = deferred->form,
					   .is_link = deferred->is_link,
					   .is_logged = is_logged};
		struct mbj_error why;
		char path[MBJ_PATH_TEXT_MAX];
		enum mbj_rc one;

		fresh.path = path;
		one = fresh_path(blobs, deferred, path, &why);
		if (one == MBJ_OK && rc == MBJ_OK)
			one = blob_name_give(blobs, &fresh, &deferred->digest,
					     &why);
		if (one == MBJ_OK && rc == MBJ_OK)
			continue;
		/* Best effort: the next opening sweeps. */
		(void)blobs->sys->unlink(blobs->sys->ctx, path);
		blobs->drops++;
		if (rc == MBJ_OK)
			rc = blob_tell(&why, err);
	}
	deferred_leave(blobs, n);
	return rc;
}

static bool are_logged(const struct mbj_blobs *blobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!deferred_at(blobs, i)->is_logged)
			return false;
	return true;
}

/* What comes while the log is flushed is the next round's. */
enum mbj_rc blob_bulk_round(struct mbj_blobs *blobs, struct mbj_error *err)
{
	uint64_t drops = blobs->drops;
	struct mbj_error why;
	enum mbj_rc rc = MBJ_OK;
	bool is_logged;
	size_t n;

	while (blobs->is_rounding)
		(void)pthread_cond_wait(&blobs->sync_over, &blobs->mutex);
	/* The caller's may be among them. */
	if (blobs->drops != drops)
		return blob_tell(&blobs->drop, err);
	n = blobs->deferred_count;
	if (n == 0)
		return MBJ_OK;
	blobs->is_rounding = true;
	is_logged = are_logged(blobs, n);
	/* What is added goes with its flush, whether that is of use or not. */
	is_logged = blob_log_flush(blobs) && is_logged;
	if (!is_logged)
		rc = data_sync(blobs, n, &why);
	if (rc == MBJ_OK)
		rc = folders_make(blobs, n, &why);
	rc = names_give(blobs, n, is_logged, rc, &why);
	if (rc < 0)
		blobs->drop = why;
	blobs->is_rounding = false;
	(void)pthread_cond_broadcast(&blobs->sync_over);
	return rc < 0 ? blob_tell(&why, err) : MBJ_OK;
}

uint64_t mbj_blobs_drops(const struct mbj_blobs *blobs)
{
	return blobs->drops;
}

void blob_bulk_drop(struct mbj_blobs *blobs)
{
	struct mbj_error why;

	(void)names_give(blobs, blobs->deferred_count, false, MBJ_EIO, &why);
	mbj_table_done(&blobs->deferred_table);
	mbj_free(blobs->deferred);
	blobs->deferred = NULL;
	blobs->deferred_capacity = 0;
}

enum mbj_rc mbj_blobs_bulk(struct mbj_blobs *blobs, bool is_bulk,
			   struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	MBJ_ASSERT(blobs != NULL && blobs->is_owner);
	pthread_mutex_lock(&blobs->mutex);
	if (!is_bulk)
		rc = blob_bulk_round(blobs, err);
	blobs->is_bulk = is_bulk;
	pthread_mutex_unlock(&blobs->mutex);
	return rc;
}
