/*
 * Where environments go that are no longer the store's state.
 *
 * Invariant: there is at most one that was good enough to be kept, state.old,
 * and what did not become its successor never takes its place.
 *
 * Threads: the leader's.
 */
#include "store_impl.h"

static enum mbj_rc aside_remove(const struct mbj_store *store, const char *name,
				struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_path_join(path, store->dir, name, err);
	if (rc == MBJ_OK && mbj_path_exists(store->sys, path))
		rc = mbj_state_destroy(store->sys, path, err);
	return rc;
}

enum mbj_rc store_aside_remove(const struct mbj_store *store,
			       struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = aside_remove(store, STORE_PART_NAME, err);
	return rc == MBJ_OK ? aside_remove(store, STORE_OLD_NAME, err) : rc;
}

enum mbj_rc store_aside_set(const struct mbj_store *store,
			    struct mbj_error *err)
{
	const char *name = STORE_OLD_NAME;
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = aside_remove(store, STORE_PART_NAME, err);
	if (rc == MBJ_OK)
		rc = mbj_path_join(path, store->dir, name, err);
	if (rc == MBJ_OK && mbj_path_exists(store->sys, path)) {
		name = STORE_PART_NAME;
		rc = mbj_path_join(path, store->dir, name, err);
	}
	if (rc == MBJ_OK && mbj_path_exists(store->sys, store->state_dir))
		rc = mbj_file_rename(store->sys, store->state_dir, path, err);
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(store->sys, store->dir, err);
	return rc == MBJ_OK ? aside_remove(store, STORE_PART_NAME, err) : rc;
}

enum mbj_rc store_aside_retire(const struct mbj_store *store,
			       struct mbj_store_recovery *recovery,
			       struct mbj_error *err)
{
	static const char reason[] =
		"an earlier opening had begun it and was killed";
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_path_join(path, store->dir, STORE_OLD_NAME, err);
	if (rc < 0)
		return rc;
	/* Nobody was told: that opening never returned. */
	if (!recovery->is_rebuilt && mbj_path_exists(store->sys, path)) {
		recovery->is_rebuilt = true;
		memcpy(recovery->reason, reason, sizeof(reason));
	}
	/* Its entry before the other one goes. */
	if (recovery->is_rebuilt) {
		rc = mbj_dir_sync(store->sys, store->dir, err);
		if (rc < 0)
			return rc;
	}
	return store_aside_remove(store, err);
}
