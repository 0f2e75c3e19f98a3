/*
 * A damaged page is met when it is read, and records that contradict each other
 * when they are checked, which may be long after opening: who met them leaves
 * word, and the next opening makes the state anew.  So does who fills
 * a state, until all of it is there.
 *
 * Threads: the leader's.
 */
#include "store_impl.h"

static enum mbj_rc suspect_path(const struct mbj_store *store,
				char path[MBJ_PATH_TEXT_MAX],
				struct mbj_error *err)
{
	return mbj_path_join(path, store->state_dir, STORE_SUSPECT_NAME, err);
}

enum mbj_rc store_suspect_set(const struct mbj_store *store,
			      struct mbj_error *err)
{
	const struct mbj_bytes nothing = {NULL, 0};

	return mbj_file_replace(store->sys, store->state_dir,
				STORE_SUSPECT_NAME, nothing, err);
}

void store_suspect_note(const struct mbj_store *store)
{
	enum mbj_rc rc;

	/* Where it fails the damage is met again, and noted then. */
	rc = store_suspect_set(store, NULL);
	(void)rc;
}

enum mbj_rc store_suspect_clear(const struct mbj_store *store,
				struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = suspect_path(store, path, err);
	if (rc == MBJ_OK)
		rc = mbj_file_remove(store->sys, path, err);
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(store->sys, store->state_dir, err);
	return rc;
}

bool store_suspect_is(const struct mbj_store *store)
{
	char path[MBJ_PATH_TEXT_MAX];

	return suspect_path(store, path, NULL) == MBJ_OK &&
	       mbj_path_exists(store->sys, path);
}
