/*
 * The store's contents: opened when they are first asked for, shared by many
 * producers while the store is served.
 *
 * Then what is short comes to a log (mbj_blobs_log), and a thread brings what
 * is full of it to rest.
 *
 * Threads: any, but for what says otherwise.
 */
#include <mbj/blob.h>
#include <mbj/status.h>

#include "store_impl.h"

enum { CONTENT_LOG_SIZE = 16 << 20 }; /* of each of its two files */

/* --------------------------------------------------------------- sharing */

static void *rest_run(void *context)
{
	struct mbj_blobs *blobs = context;

	/* What failed is tried again, until it is over. */
	while (mbj_blobs_rest_wait(blobs)) {
		enum mbj_rc rc = mbj_blobs_rest(blobs, false, NULL);

		(void)rc;
	}
	return NULL;
}

/* With the mutex.  Without that thread everything is synced by itself. */
static enum mbj_rc blobs_share(struct mbj_store *store, struct mbj_error *err)
{
	struct mbj_blobs *blobs = store->blobs;
	enum mbj_rc rc = MBJ_OK;

	if (store->recent_ms > 0)
		rc = mbj_blobs_remember(blobs, store->recent_ms, err);
	if (rc < 0 || store->is_resting)
		return rc;
	mbj_blobs_log(blobs, CONTENT_LOG_SIZE);
	store->is_resting =
		pthread_create(&store->rest, NULL, rest_run, blobs) == 0;
	if (!store->is_resting)
		mbj_blobs_log(blobs, 0);
	return MBJ_OK;
}

enum mbj_rc store_blobs_share(struct mbj_store *store, struct mbj_error *err)
{
	return store->blobs == NULL ? MBJ_OK : blobs_share(store, err);
}

void store_blobs_unshare(struct mbj_store *store)
{
	enum mbj_rc rc;

	if (!store->is_resting)
		return;
	mbj_blobs_rest_halt(store->blobs);
	(void)pthread_join(store->rest, NULL);
	store->is_resting = false;
	/* Where one of these fails, the next opening has more to do. */
	rc = mbj_blobs_sync(store->blobs, NULL);
	/* Who feeds a replica stores more meanwhile: none of it in the log. */
	mbj_blobs_log(store->blobs, 0);
	if (rc == MBJ_OK)
		rc = mbj_blobs_rest(store->blobs, true, NULL);
	(void)rc;
}

void store_blobs_rest(struct mbj_store *store)
{
	enum mbj_rc rc = mbj_blobs_rest(store->blobs, true, NULL);

	(void)rc;
}

void store_blobs_close(struct mbj_store *store)
{
	store_blobs_unshare(store);
	mbj_blobs_close(&store->blobs);
}

/* --------------------------------------------------------------- opening */

enum mbj_rc mbj_store_blobs(struct mbj_store *store,
			    struct mbj_blobs **ret_blobs, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;
	bool is_first;

	pthread_mutex_lock(&store->mutex);
	is_first = store->blobs == NULL;
	if (is_first)
		rc = mbj_blobs_open(store->sys, store->blobs_dir, true,
				    &store->blobs, err);
	if (rc == MBJ_OK && is_first) {
		mbj_blobs_keep_free(store->blobs, store->options.space_min);
		mbj_blobs_pack(store->blobs, store->superblock.contents_level);
	}
	if (rc == MBJ_OK && is_first && store->is_shared)
		rc = blobs_share(store, err);
	/* Without that nothing is stored: it is asked for again. */
	if (rc < 0 && is_first)
		mbj_blobs_close(&store->blobs);
	*ret_blobs = store->blobs;
	pthread_mutex_unlock(&store->mutex);
	return rc;
}

enum mbj_rc mbj_store_blobs_read(const struct mbj_sys *sys, const char *dir,
				 struct mbj_blobs **ret_blobs,
				 struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	if (sys == NULL)
		sys = mbj_sys_posix();
	rc = mbj_path_join(path, dir, STORE_BLOBS_NAME, err);
	if (rc < 0)
		return rc;
	return mbj_blobs_open(sys, path, false, ret_blobs, err);
}

/* By who owns the store for as long as that takes, if nobody does. */
static enum mbj_rc logged_redo(const struct mbj_sys *sys, const char *dir,
			       const char *path, struct mbj_error *err)
{
	struct mbj_blobs *blobs = NULL;
	struct mbj_file lock;
	struct mbj_error why;
	enum mbj_rc rc;

	rc = store_owner_check(sys, dir, err);
	if (rc < 0)
		return rc;
	rc = store_lock_take(sys, dir, &lock, &why);
	/* Who has the store has seen to that before anything else. */
	if (rc == MBJ_EBUSY)
		return MBJ_OK;
	if (rc == MBJ_OK) {
		rc = mbj_blobs_open(sys, path, true, &blobs, &why);
		mbj_blobs_close(&blobs);
		store_lock_drop(&lock);
	}
	if (rc < 0 && err != NULL)
		*err = why;
	return rc;
}

enum mbj_rc mbj_store_blobs_take(const struct mbj_sys *sys, const char *dir,
				 struct mbj_blobs **ret_blobs,
				 struct mbj_error *ret_left,
				 struct mbj_error *err)
{
	struct mbj_error left = {.rc = MBJ_OK};
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	if (sys == NULL)
		sys = mbj_sys_posix();
	rc = mbj_path_join(path, dir, STORE_BLOBS_NAME, err);
	if (rc < 0)
		return rc;
	if (mbj_blobs_are_logged(sys, path))
		left.rc = logged_redo(sys, dir, path, &left);
	if (ret_left != NULL)
		*ret_left = left;
	return mbj_blobs_open(sys, path, false, ret_blobs, err);
}

static struct mbj_blobs *blobs_get(struct mbj_store *store)
{
	struct mbj_blobs *blobs;

	pthread_mutex_lock(&store->mutex);
	blobs = store->blobs;
	pthread_mutex_unlock(&store->mutex);
	return blobs;
}

bool store_content_is_settled(struct mbj_store *store,
			      const struct mbj_edit *edit)
{
	struct mbj_blobs *blobs = blobs_get(store);
	bool is_settled = true;

	if (blobs == NULL || edit->message_count == 0)
		return true;
	if (edit->message_count > STORE_SETTLE_MAX)
		return false;
	for (size_t i = 0; is_settled && i < edit->message_count; i++)
		if (edit->messages[i].kind == MBJ_MESSAGE_APPEND)
			is_settled =
				mbj_blob_is_settled(blobs,
						    &edit->messages[i].blob);
	return is_settled;
}

enum mbj_rc store_blobs_sync(struct mbj_store *store, struct mbj_error *err)
{
	struct mbj_blobs *blobs = blobs_get(store);

	return blobs == NULL ? MBJ_OK : mbj_blobs_sync(blobs, err);
}

uint64_t store_blobs_drops(struct mbj_store *store)
{
	struct mbj_blobs *blobs = blobs_get(store);

	return blobs == NULL ? 0 : mbj_blobs_drops(blobs);
}

void store_content_log_note(struct mbj_store *store,
			    struct mbj_service_stats *stats,
			    char reason[MBJ_ERROR_MESSAGE_MAX])
{
	struct mbj_blobs *blobs = blobs_get(store);
	struct mbj_blobs_log_look look;

	reason[0] = '\0';
	if (blobs == NULL)
		return;
	mbj_blobs_log_look(blobs, &look);
	stats->content_log = look.is_on;
	stats->content_log_failures = look.failures;
	memcpy(reason, look.reason, sizeof(look.reason));
}

enum mbj_rc store_blobs_recover(struct mbj_store *store, struct mbj_error *err)
{
	struct mbj_blobs *blobs;

	/* Else that has time until somebody asks for them. */
	return mbj_blobs_are_logged(store->sys, store->blobs_dir)
		       ? mbj_store_blobs(store, &blobs, err)
		       : MBJ_OK;
}
