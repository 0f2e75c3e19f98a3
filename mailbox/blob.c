/*
 * The blob folder: opening, paths, having and removing; see mbj/blob.h.
 *
 * Not here: how blobs come in (blob_write.c), become durable (blob_sync.c) and
 * are read (blob_read.c); what their files are (blob_form.c).
 *
 * Invariants:
 *   1. without is_owner nothing on disk changes;
 *   2. a folder's entry is on disk before a blob is in it, as is that of
 *      everything that was there at opening.
 *
 * Threads: see mbj/blob.h.
 */
#include <fcntl.h>
#include <stdio.h>

#include <mbj/check.h>
#include <mbj/pack.h>

#include "blob_priv.h"

enum { SWEEP_NAMES_MAX = 64 << 20 };

/* ----------------------------------------------------------------- paths */

void mbj_blob_print(const struct mbj_hash *digest,
		    char text[MBJ_BLOB_TEXT_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	MBJ_ASSERT(digest != NULL);
	MBJ_ASSERT(text != NULL);
	for (size_t i = 0; i < MBJ_HASH_SIZE; i++) {
		text[2 * i] = digits[digest->b[i] >> 4];
		text[2 * i + 1] = digits[digest->b[i] & 15];
	}
	text[MBJ_BLOB_TEXT_SIZE - 1] = '\0';
}

enum mbj_rc blob_folder_path(const struct mbj_blobs *blobs, unsigned folder,
			     char path[MBJ_PATH_TEXT_MAX],
			     struct mbj_error *err)
{
	char name[4];

	MBJ_ASSERT(folder < BLOB_FOLDERS);
	(void)snprintf(name, sizeof(name), "%02x", folder);
	return mbj_path_join(path, blobs->dir, name, err);
}

enum mbj_rc blob_missing(const struct mbj_blobs *blobs,
			 const struct mbj_hash *digest, struct mbj_error *err)
{
	char text[MBJ_BLOB_TEXT_SIZE];

	mbj_blob_print(digest, text);
	return mbj_error_set(err, MBJ_ENOTFOUND, "no blob %s in %s", text,
			     blobs->dir);
}

enum mbj_rc blob_tell(const struct mbj_error *why, struct mbj_error *err)
{
	MBJ_ASSERT(why->rc < 0);
	if (err != NULL)
		*err = *why;
	return why->rc;
}

enum mbj_rc blob_damaged(const char *path, const char *what,
			 struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = mbj_error_set(err, MBJ_ECORRUPT, "%s %s", path, what);
	mbj_error_at(err, path, 0, 0);
	return rc;
}

/* --------------------------------------------------------------- opening */

/* The directory that dir has its entry in. */
static void parent_path(const char *dir, char path[MBJ_PATH_TEXT_MAX])
{
	size_t n = strlen(dir);

	while (n > 1 && dir[n - 1] == '/')
		n--;
	while (n > 0 && dir[n - 1] != '/')
		n--;
	if (n == 0) {
		memcpy(path, ".", 2);
		return;
	}
	while (n > 1 && dir[n - 1] == '/')
		n--;
	memcpy(path, dir, n);
	path[n] = '\0';
}

static enum mbj_rc folder_have(const struct mbj_sys *sys, const char *path,
			       struct mbj_error *err)
{
	enum mbj_rc rc = mbj_dir_make(sys, path, err);

	return rc == MBJ_EEXISTS ? MBJ_OK : rc;
}

/* What a crash left on its way in was promised to nobody. */
static enum mbj_rc fresh_sweep(const struct mbj_blobs *blobs,
			       struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	enum mbj_rc rc;

	mbj_buf_init(&names, SWEEP_NAMES_MAX);
	rc = mbj_dir_list(blobs->sys, blobs->fresh, &names, err);
	for (const char *name = mbj_names_next(&names, NULL);
	     rc == MBJ_OK && name != NULL;
	     name = mbj_names_next(&names, name)) {
		rc = mbj_path_join(path, blobs->fresh, name, err);
		if (rc == MBJ_OK)
			rc = mbj_file_remove(blobs->sys, path, err);
	}
	mbj_buf_done(&names);
	return rc;
}

static enum mbj_rc owner_begin(struct mbj_blobs *blobs, struct mbj_error *err)
{
	char parent[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	parent_path(blobs->dir, parent);
	rc = folder_have(blobs->sys, blobs->dir, err);
	if (rc == MBJ_OK)
		rc = folder_have(blobs->sys, blobs->fresh, err);
	/* Who made them may have died before this; so always. */
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(blobs->sys, parent, err);
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(blobs->sys, blobs->dir, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(blobs->sys, blobs->dir,
				   O_RDONLY | O_DIRECTORY, &blobs->fs, err);
	if (rc == MBJ_OK)
		rc = fresh_sweep(blobs, err);
	return rc;
}

static enum mbj_rc locks_init(struct mbj_blobs *blobs, struct mbj_error *err)
{
	if (pthread_mutex_init(&blobs->mutex, NULL) != 0)
		return mbj_error_nomem(err);
	if (pthread_cond_init(&blobs->round_over, NULL) != 0)
		goto no_round_over;
	if (pthread_cond_init(&blobs->sync_over, NULL) != 0)
		goto no_sync_over;
	if (blob_log_init(&blobs->log, err) == MBJ_OK)
		return MBJ_OK;
	(void)pthread_cond_destroy(&blobs->sync_over);
no_sync_over:
	(void)pthread_cond_destroy(&blobs->round_over);
no_round_over:
	(void)pthread_mutex_destroy(&blobs->mutex);
	return mbj_error_nomem(err);
}

enum mbj_rc mbj_blobs_open(const struct mbj_sys *sys, const char *dir,
			   bool is_owner, struct mbj_blobs **ret_blobs,
			   struct mbj_error *err)
{
	struct mbj_blobs *blobs;
	enum mbj_rc rc;

	MBJ_ASSERT(sys != NULL && dir != NULL);
	MBJ_ASSERT(ret_blobs != NULL);
	blobs = mbj_calloc(1, sizeof(*blobs));
	if (blobs == NULL)
		return mbj_error_nomem(err);
	blobs->sys = sys;
	blobs->is_owner = is_owner;
	blobs->round = 1;
	blobs->fs = MBJ_FILE_CLOSED;
	mbj_table_init(&blobs->deferred_table);
	rc = mbj_path_join(blobs->fresh, dir, "new", err);
	if (rc == MBJ_OK)
		rc = locks_init(blobs, err);
	if (rc < 0) {
		mbj_free(blobs);
		return rc;
	}
	memcpy(blobs->dir, dir, strlen(dir) + 1);
	if (is_owner)
		rc = owner_begin(blobs, err);
	if (rc == MBJ_OK && is_owner)
		rc = blob_logs_redo(blobs, err);
	if (rc < 0)
		mbj_blobs_close(&blobs);
	else
		*ret_blobs = blobs;
	return rc;
}

void mbj_blobs_pack(struct mbj_blobs *blobs, unsigned level)
{
	MBJ_ASSERT(blobs->is_owner && blobs->pending_count == 0);
	MBJ_ASSERT(level <= MBJ_PACK_LEVEL_MAX);
	blobs->level = level;
}

void mbj_blobs_close(struct mbj_blobs **blobs)
{
	struct mbj_blobs *b;

	if (blobs == NULL || *blobs == NULL)
		return;
	b = *blobs;
	MBJ_ASSERT(!b->is_leading && b->waiters == NULL);
	blob_bulk_drop(b);
	blob_log_done(&b->log);
	mbj_file_close(&b->fs);
	blob_recent_drop(b);
	(void)pthread_cond_destroy(&b->sync_over);
	(void)pthread_cond_destroy(&b->round_over);
	(void)pthread_mutex_destroy(&b->mutex);
	mbj_free(b->pending);
	mbj_free(b);
	*blobs = NULL;
}

/* ---------------------------------------------------- having and removing */

enum mbj_rc mbj_blob_has(struct mbj_blobs *blobs, const struct mbj_hash *digest,
			 uint64_t size, bool *ret_is_there,
			 struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(blobs != NULL && digest != NULL);
	MBJ_ASSERT(ret_is_there != NULL);
	rc = blob_pending_bound(blobs, err);
	return rc < 0 ? rc : blob_keep(blobs, digest, size, ret_is_there, err);
}

enum mbj_rc mbj_blob_remove(struct mbj_blobs *blobs,
			    const struct mbj_hash *digest,
			    struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(blobs != NULL && blobs->is_owner);
	MBJ_ASSERT(digest != NULL);
	pthread_mutex_lock(&blobs->mutex);
	rc = blob_files_remove(blobs, digest, err);
	if (rc == MBJ_OK || rc == MBJ_ENOTFOUND)
		blob_note_forget(blobs, digest);
	pthread_mutex_unlock(&blobs->mutex);
	return rc;
}

enum mbj_rc mbj_blob_collect(struct mbj_blobs *blobs,
			     const struct mbj_hash *digest, bool is_dry_run,
			     bool *ret_is_recent, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	pthread_mutex_lock(&blobs->mutex);
	/* What a round is about to write anew must be there for it. */
	*ret_is_recent = blob_is_recent(blobs, digest) ||
			 blob_is_deferred(blobs, digest) ||
			 blob_is_doubtful(blobs, digest);
	if (!*ret_is_recent && !is_dry_run) {
		rc = blob_files_remove(blobs, digest, err);
		if (rc == MBJ_OK)
			blob_note_forget(blobs, digest);
	}
	pthread_mutex_unlock(&blobs->mutex);
	return rc;
}
