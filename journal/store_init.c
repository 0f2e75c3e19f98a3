/*
 * Making a store.  The superblock is written first, as "mbj.init", and renamed
 * last: a directory with the one and without the other is an attempt that was
 * interrupted, and is the only thing that init ever clears away.  Unmaking one
 * goes the same way back.
 *
 * Not here: opening it, adopting a lineage.
 *
 * Invariants:
 *   1. nothing is removed from a directory that holds anything but an
 *      interrupted attempt: a lost superblock never costs a journal;
 *   2. "mbj.store" exists only where everything else was complete and on disk;
 *   3. what is unmade never had anything: no group, no part of a snapshot.
 *
 * Threads: one at a time per directory, held by the store's lock.
 */
#include <errno.h>

#include <mbj/check.h>

#include "store_impl.h"

enum { INIT_NAMES_MAX = 64 << 10 };

static bool name_has_prefix(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* What an interrupted attempt leaves, with or without its "mbj.init". */
static bool name_is_leftover(const char *name, bool has_init)
{
	if (strcmp(name, STORE_LOCK_NAME) == 0 ||
	    name_has_prefix(name, STORE_INIT_NAME))
		return true;
	return has_init && (strcmp(name, STORE_JOURNAL_NAME) == 0 ||
			    strcmp(name, STORE_STATE_NAME) == 0);
}

/* Whose it is, or MBJ_EEXISTS where it is no directory. */
static enum mbj_rc dir_check(const struct mbj_sys *sys, const char *dir,
			     struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = mbj_path_join(path, dir, ".", err);

	if (rc < 0)
		return rc;
	if (!mbj_path_exists(sys, path))
		return mbj_error_set(err, MBJ_EEXISTS,
				     "%s is there, and is no directory: a "
				     "store needs one of its own",
				     dir);
	return store_owner_check(sys, dir, err);
}

/* MBJ_EEXISTS unless dir holds nothing that anybody could miss. */
static enum mbj_rc dir_is_free(const struct mbj_sys *sys, const char *dir,
			       struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	bool has_init;
	enum mbj_rc rc;

	rc = mbj_path_join(path, dir, SUPERBLOCK_NAME, err);
	if (rc == MBJ_OK && mbj_path_exists(sys, path))
		rc = mbj_error_set(err, MBJ_EEXISTS, "%s is a store already",
				   dir);
	if (rc == MBJ_OK)
		rc = mbj_path_join(path, dir, STORE_INIT_NAME, err);
	if (rc < 0)
		return rc;
	has_init = mbj_path_exists(sys, path);
	rc = mbj_path_join(path, dir, SUPERBLOCK_NAME, err);
	if (rc < 0)
		return rc;
	if (mbj_path_exists(sys, path))
		return mbj_error_set(err, MBJ_EEXISTS, "%s is a store already",
				     dir);
	mbj_buf_init(&names, INIT_NAMES_MAX);
	rc = mbj_dir_list(sys, dir, &names, err);
	for (const char *name = mbj_names_next(&names, NULL);
	     rc == MBJ_OK && name != NULL;
	     name = mbj_names_next(&names, name)) {
		if (!name_is_leftover(name, has_init))
			rc = mbj_error_set(err, MBJ_EEXISTS,
					   "%s is not empty: a store needs a "
					   "directory of its own",
					   dir);
	}
	mbj_buf_done(&names);
	return rc;
}

/* Remove an interrupted attempt's journal and state. */
static enum mbj_rc leftovers_remove(const struct mbj_sys *sys,
				    const char *journal_dir,
				    const char *state_dir,
				    struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	enum mbj_rc rc = MBJ_OK;

	if (mbj_path_exists(sys, state_dir))
		rc = mbj_state_destroy(sys, state_dir, err);
	if (rc < 0 || !mbj_path_exists(sys, journal_dir))
		return rc;
	mbj_buf_init(&names, INIT_NAMES_MAX);
	rc = mbj_dir_list(sys, journal_dir, &names, err);
	for (const char *name = mbj_names_next(&names, NULL);
	     rc == MBJ_OK && name != NULL;
	     name = mbj_names_next(&names, name)) {
		rc = mbj_path_join(path, journal_dir, name, err);
		if (rc == MBJ_OK)
			rc = mbj_file_remove(sys, path, err);
	}
	mbj_buf_done(&names);
	return rc;
}

/* The directory that holds dir, "." where dir is a bare name. */
static void parent_path(const char *dir, char path[MBJ_PATH_TEXT_MAX])
{
	size_t n = strlen(dir);

	MBJ_ASSERT(n < MBJ_PATH_TEXT_MAX);
	while (n > 1 && dir[n - 1] == '/')
		n--;
	while (n > 0 && dir[n - 1] != '/')
		n--;
	while (n > 1 && dir[n - 1] == '/')
		n--;
	if (n == 0) {
		memcpy(path, ".", 2);
		return;
	}
	memcpy(path, dir, n);
	path[n] = '\0';
}

static enum mbj_rc identity_make(const struct mbj_sys *sys,
				 enum mbj_store_role role,
				 struct mbj_identity *ret_identity,
				 struct mbj_error *err)
{
	struct mbj_identity identity = {.role = role};
	enum mbj_rc rc;

	rc = mbj_id_generate(sys, &identity.instance, err);
	if (rc == MBJ_OK && role == MBJ_STORE_PRIMARY) {
		rc = mbj_id_generate(sys, &identity.lineage, err);
		identity.epoch.v = 1;
		identity.epoch_owner = identity.instance;
		identity.anchor.first.v = 1;
	}
	if (rc == MBJ_OK)
		*ret_identity = identity;
	return rc;
}

/* The journal's first segment; a replica has none before its first stream. */
static enum mbj_rc journal_make(const struct mbj_sys *sys, const char *dir,
				const struct mbj_identity *identity,
				const struct mbj_log_options *options,
				struct mbj_error *err)
{
	struct mbj_lsn none = {0};
	struct mbj_log *log = NULL;
	enum mbj_rc rc;

	rc = mbj_dir_make(sys, dir, err);
	if (rc == MBJ_EEXISTS)
		rc = MBJ_OK;
	if (rc < 0 || mbj_id_is_root(identity->lineage))
		return rc;
	rc = mbj_log_open(sys, dir, identity->lineage, &identity->anchor, none,
			  options, &log, err);
	mbj_log_close(&log);
	return rc;
}

static enum mbj_rc state_make(const struct mbj_sys *sys, const char *dir,
			      const struct mbj_identity *identity,
			      const struct mbj_state_options *options,
			      struct mbj_error *err)
{
	struct mbj_state *state = NULL;
	enum mbj_rc rc;

	rc = mbj_state_open(sys, dir, identity->lineage, options, &state, err);
	mbj_state_close(&state);
	return rc;
}

/* Everything inside dir, the final name last. */
static enum mbj_rc store_make(const struct mbj_sys *sys, const char *dir,
			      enum mbj_store_role role,
			      const struct mbj_store_options *options,
			      struct mbj_error *err)
{
	char journal_dir[MBJ_PATH_TEXT_MAX];
	char state_dir[MBJ_PATH_TEXT_MAX];
	char from[MBJ_PATH_TEXT_MAX];
	char to[MBJ_PATH_TEXT_MAX];
	struct superblock superblock = {.compatible = 0};
	enum mbj_rc rc;

	rc = mbj_path_join(journal_dir, dir, STORE_JOURNAL_NAME, err);
	if (rc == MBJ_OK)
		rc = mbj_path_join(state_dir, dir, STORE_STATE_NAME, err);
	if (rc == MBJ_OK)
		rc = mbj_path_join(from, dir, STORE_INIT_NAME, err);
	if (rc == MBJ_OK)
		rc = mbj_path_join(to, dir, SUPERBLOCK_NAME, err);
	if (rc == MBJ_OK)
		rc = leftovers_remove(sys, journal_dir, state_dir, err);
	if (rc == MBJ_OK)
		rc = identity_make(sys, role, &superblock.identity, err);
	superblock.is_restoring = options->is_restoring;
	superblock.contents_level = options->contents_level;
	if (rc == MBJ_OK)
		rc = superblock_save(sys, dir, STORE_INIT_NAME, &superblock,
				     err);
	if (rc == MBJ_OK)
		rc = journal_make(sys, journal_dir, &superblock.identity,
				  &options->log, err);
	if (rc == MBJ_OK)
		rc = state_make(sys, state_dir, &superblock.identity,
				&options->state, err);
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(sys, dir, err);
	if (rc == MBJ_OK)
		rc = mbj_file_rename(sys, from, to, err);
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(sys, dir, err);
	return rc;
}

enum mbj_rc mbj_store_path_check(const char *dir, struct mbj_error *err)
{
	size_t n = strlen(dir);

	if (n > 0 && n < MBJ_PATH_TEXT_MAX)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_EINVALID,
			     "a store's path has 1 to %d bytes, not %zu: "
			     "\"%.60s\"",
			     MBJ_PATH_TEXT_MAX - 1, n, dir);
}

enum mbj_rc mbj_store_init(const char *dir, enum mbj_store_role role,
			   const struct mbj_store_options *options,
			   struct mbj_error *err)
{
	struct mbj_store_options taken;
	char parent[MBJ_PATH_TEXT_MAX];
	struct mbj_file lock = MBJ_FILE_CLOSED;
	const struct mbj_sys *sys;
	enum mbj_rc rc;

	MBJ_ASSERT(role == MBJ_STORE_PRIMARY || role == MBJ_STORE_REPLICA);
	rc = store_options_take(options, &taken, err);
	if (rc < 0)
		return rc;
	MBJ_ASSERT(!taken.is_restoring || role == MBJ_STORE_REPLICA);
	sys = taken.sys;
	rc = mbj_store_path_check(dir, err);
	if (rc < 0)
		return rc;
	rc = mbj_dir_make(sys, dir, err);
	if (rc == MBJ_EEXISTS)
		rc = MBJ_OK;
	if (rc == MBJ_OK)
		rc = dir_check(sys, dir, err);
	if (rc == MBJ_OK)
		rc = dir_is_free(sys, dir, err);
	if (rc == MBJ_OK)
		rc = store_lock_take(sys, dir, &lock, err);
	/* Again under the lock: somebody else may have been making one. */
	if (rc == MBJ_OK)
		rc = dir_is_free(sys, dir, err);
	if (rc == MBJ_OK)
		rc = store_make(sys, dir, role, &taken, err);
	store_lock_drop(&lock);
	if (rc < 0)
		return rc;
	parent_path(dir, parent);
	return mbj_dir_sync(sys, parent, err);
}

enum mbj_rc mbj_store_init_check(const char *dir,
				 const struct mbj_store_options *options,
				 struct mbj_error *err)
{
	struct mbj_store_options taken;
	char parent[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = store_options_take(options, &taken, err);
	if (rc == MBJ_OK)
		rc = mbj_store_path_check(dir, err);
	if (rc < 0)
		return rc;
	if (!mbj_path_exists(taken.sys, dir)) {
		parent_path(dir, parent);
		if (mbj_path_exists(taken.sys, parent))
			return MBJ_OK;
		return mbj_error_errno(err, ENOENT, "cannot make directory",
				       dir);
	}
	rc = dir_check(taken.sys, dir, err);
	if (rc < 0)
		return rc;
	return dir_is_free(taken.sys, dir, err);
}

/* ---------------------------------------------------------------- unmaking */

/* What a replica may have that nothing has come to. */
static bool name_is_bare(const char *name)
{
	static const char *const names[] = {
		SUPERBLOCK_NAME,  STORE_LOCK_NAME,	STORE_JOURNAL_NAME,
		STORE_STATE_NAME, STORE_SNAPSHOTS_NAME, STORE_BACKUP_NAME,
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* Not one group.  A journal that cannot be read is somebody's. */
static enum mbj_rc journal_is_bare(const struct mbj_sys *sys, const char *dir)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_log_reader *reader = NULL;
	struct superblock superblock;
	struct mbj_log_end end;
	enum mbj_rc rc;

	rc = superblock_load(sys, dir, &superblock, NULL);
	if (rc < 0)
		return rc;
	if (superblock.identity.role != MBJ_STORE_REPLICA)
		return MBJ_EEXISTS;
	if (mbj_id_is_root(superblock.identity.lineage))
		return MBJ_OK;
	rc = mbj_path_join(path, dir, STORE_JOURNAL_NAME, NULL);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_open(sys, path, superblock.identity.lineage,
					 &superblock.identity.anchor, false,
					 &reader, NULL);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_end(reader, &end, NULL);
	mbj_log_reader_close(&reader);
	return rc == MBJ_OK && end.lsn.v != 0 ? MBJ_EEXISTS : rc;
}

static enum mbj_rc dir_is_bare(const struct mbj_sys *sys, const char *dir)
{
	struct mbj_buf names;
	enum mbj_rc rc = journal_is_bare(sys, dir);

	if (rc < 0)
		return rc;
	mbj_buf_init(&names, INIT_NAMES_MAX);
	rc = mbj_dir_list(sys, dir, &names, NULL);
	for (const char *name = mbj_names_next(&names, NULL);
	     rc == MBJ_OK && name != NULL; name = mbj_names_next(&names, name))
		if (!name_is_bare(name))
			rc = MBJ_EEXISTS;
	mbj_buf_done(&names);
	return rc;
}

/* One that is not empty stays, and so does all else. */
static enum mbj_rc folder_remove(const struct mbj_sys *sys, const char *dir,
				 const char *name)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = mbj_path_join(path, dir, name, NULL);

	if (rc < 0 || !mbj_path_exists(sys, path))
		return rc;
	return sys->rmdir(sys->ctx, path) == 0 ? MBJ_OK : MBJ_EIO;
}

static enum mbj_rc entry_remove(const struct mbj_sys *sys, const char *dir,
				const char *name)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = mbj_path_join(path, dir, name, NULL);

	if (rc == MBJ_OK)
		rc = mbj_file_remove(sys, path, NULL);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* Its journal and its state, and their folders. */
static enum mbj_rc inside_remove(const struct mbj_sys *sys, const char *dir)
{
	char journal_dir[MBJ_PATH_TEXT_MAX];
	char state_dir[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_path_join(journal_dir, dir, STORE_JOURNAL_NAME, NULL);
	if (rc == MBJ_OK)
		rc = mbj_path_join(state_dir, dir, STORE_STATE_NAME, NULL);
	if (rc == MBJ_OK)
		rc = leftovers_remove(sys, journal_dir, state_dir, NULL);
	return rc == MBJ_OK ? folder_remove(sys, dir, STORE_JOURNAL_NAME) : rc;
}

/* Under the lock.  Whatever stops it, init takes what is left for nothing. */
static enum mbj_rc store_unmake(const struct mbj_sys *sys, const char *dir)
{
	char from[MBJ_PATH_TEXT_MAX];
	char to[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = dir_is_bare(sys, dir);
	if (rc == MBJ_OK)
		rc = folder_remove(sys, dir, STORE_SNAPSHOTS_NAME);
	if (rc == MBJ_OK)
		rc = entry_remove(sys, dir, STORE_BACKUP_NAME);
	if (rc == MBJ_OK)
		rc = mbj_path_join(from, dir, SUPERBLOCK_NAME, NULL);
	if (rc == MBJ_OK)
		rc = mbj_path_join(to, dir, STORE_INIT_NAME, NULL);
	if (rc == MBJ_OK)
		rc = mbj_file_rename(sys, from, to, NULL);
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(sys, dir, NULL);
	if (rc == MBJ_OK)
		rc = inside_remove(sys, dir);
	return rc == MBJ_OK ? entry_remove(sys, dir, STORE_INIT_NAME) : rc;
}

void mbj_store_unmake(const char *dir, const struct mbj_sys *sys,
		      bool was_there)
{
	struct mbj_file lock = MBJ_FILE_CLOSED;
	enum mbj_rc rc;

	if (sys == NULL)
		sys = mbj_sys_posix();
	/* Before the lock, so that no lock file is left elsewhere. */
	rc = dir_is_bare(sys, dir);
	if (rc == MBJ_OK)
		rc = store_lock_take(sys, dir, &lock, NULL);
	if (rc == MBJ_OK)
		rc = store_unmake(sys, dir);
	if (rc == MBJ_OK)
		rc = store_lock_remove(sys, dir, &lock);
	store_lock_drop(&lock);
	if (rc == MBJ_OK && !was_there)
		(void)sys->rmdir(sys->ctx, dir);
}
