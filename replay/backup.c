/*
 * Taking a backup; see mbj/backup.h.
 *
 *	make the directory -> claim it by a mark that says "nothing yet"
 *	  -> groups and contents -> read the journal back -> the new mark
 *
 * Not here: copying and proof (backup_copy.c), the mark's bytes
 * (journal/backup_mark.c), what is done with a backup (restore.c).
 *
 * Invariants:
 *   1. no store is made a backup that was not made by this file, or is empty;
 *   2. the mark moves last, when everything that it stands for is on disk.
 *
 * Threads: one at a time, held by the lock of the store in dir.
 */
#include <mbj/check.h>
#include <mbj/replay.h>

#include "backup_copy.h"

static const struct mbj_sys *options_sys(const struct mbj_store_options *store)
{
	return store != NULL && store->sys != NULL ? store->sys
						   : mbj_sys_posix();
}

static enum mbj_rc options_check(size_t size, size_t expected,
				 struct mbj_error *err)
{
	if (size == expected)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_EINVALID,
			     "the options of a backup have another size here: "
			     "built against other headers");
}

/*
 * A store without a mark: only a replica that never received anything, which
 * is what a first attempt that was stopped leaves, becomes a backup.
 */
static enum mbj_rc dir_claim(const struct mbj_sys *sys, const char *dir,
			     struct mbj_backup_mark *ret_mark,
			     struct mbj_error *err)
{
	const struct mbj_backup_mark mark = {.lineage = MBJ_ID_ROOT};
	struct mbj_identity identity;
	enum mbj_rc rc;

	rc = mbj_identity_load(sys, dir, &identity, err);
	if (rc == MBJ_OK && !mbj_id_is_root(identity.lineage))
		rc = mbj_error_set(err, MBJ_EEXISTS,
				   "%s is a store, not a backup: a backup "
				   "needs a directory of its own",
				   dir);
	if (rc == MBJ_OK)
		rc = mbj_backup_mark_save(sys, dir, &mark, err);
	if (rc == MBJ_OK)
		*ret_mark = mark;
	return rc;
}

/* The directory as a backup, whole or not yet. */
static enum mbj_rc dir_have(const struct mbj_backup_options *options,
			    const char *dir, struct mbj_backup_mark *ret_mark,
			    bool *ret_is_made, struct mbj_error *err)
{
	const struct mbj_sys *sys = options_sys(options->store);
	struct mbj_identity identity;
	enum mbj_rc rc;

	*ret_is_made = false;
	rc = mbj_backup_mark_load(sys, dir, ret_mark, err);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	rc = mbj_identity_load(sys, dir, &identity, err);
	if (rc == MBJ_ENOTFOUND) {
		rc = mbj_store_init(dir, MBJ_STORE_REPLICA, options->store,
				    err);
		*ret_is_made = rc == MBJ_OK;
	}
	if (rc == MBJ_OK)
		rc = dir_claim(sys, dir, ret_mark, err);
	return rc;
}

static enum mbj_rc mark_move(const struct backup_copy *copy,
			     const struct mbj_log_end *end,
			     struct mbj_backup_mark *mark,
			     struct mbj_error *err)
{
	const struct mbj_sys *sys = mbj_store_sys(copy->store);
	const struct mbj_backup_result *result = copy->result;
	struct mbj_identity source;
	enum mbj_rc rc;

	rc = mbj_identity_load(sys, copy->source, &source, err);
	if (rc < 0)
		return rc;
	mark->lineage = mbj_store_identity(copy->store)->lineage;
	mark->source = source.instance;
	mark->epoch = mbj_store_identity(copy->store)->epoch;
	mark->end = *end;
	mark->time_us = sys->now_us(sys->ctx);
	mark->contents = result->contents;
	mark->size = result->size;
	return mbj_backup_mark_save(sys, mbj_store_dir(copy->store), mark, err);
}

/* What would be done: how far the source is, and whether dir may be used. */
static enum mbj_rc backup_look(const char *source, const char *dir,
			       const struct mbj_backup_options *options,
			       struct mbj_backup_result *ret_result,
			       struct mbj_error *err)
{
	const struct mbj_sys *sys = options_sys(options->store);
	struct mbj_log_reader *reader = NULL;
	struct mbj_backup_mark mark;
	struct mbj_log_end end;
	enum mbj_rc rc;

	rc = mbj_backup_mark_load(sys, dir, &mark, err);
	if (rc == MBJ_OK)
		ret_result->before = mark.end.lsn;
	else if (rc == MBJ_ENOTFOUND)
		rc = mbj_store_init_check(dir, options->store, err);
	if (rc == MBJ_OK)
		rc = mbj_store_log_reader(sys, source, &reader, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_end(reader, &end, err);
	mbj_log_reader_close(&reader);
	if (rc == MBJ_OK)
		ret_result->end = end.lsn;
	return rc;
}

static enum mbj_rc backup_fill(struct backup_copy *copy,
			       struct mbj_backup_mark *mark,
			       struct mbj_error *err)
{
	struct mbj_log_end end;
	enum mbj_rc rc;

	copy->result->before = mark->end.lsn;
	if (!copy->is_deep)
		copy->from = mark->end.lsn;
	rc = backup_copy_run(copy, err);
	if (rc == MBJ_OK)
		rc = backup_copy_read(copy, &end, err);
	return rc == MBJ_OK ? mark_move(copy, &end, mark, err) : rc;
}

static enum mbj_rc backup_run(struct backup_copy *copy, const char *dir,
			      const struct mbj_backup_options *options,
			      struct mbj_error *err)
{
	const struct mbj_sys *sys = options_sys(options->store);
	bool was_there = mbj_path_exists(sys, dir);
	struct mbj_backup_mark mark;
	bool is_made;
	enum mbj_rc rc;

	rc = dir_have(options, dir, &mark, &is_made, err);
	if (rc == MBJ_OK)
		rc = mbj_replica_open(dir, options->store, &copy->store, err);
	if (rc == MBJ_OK)
		rc = backup_fill(copy, &mark, err);
	backup_copy_done(copy);
	mbj_store_close(&copy->store);
	if (rc < 0 && is_made)
		mbj_store_unmake(dir, sys, was_there);
	return rc;
}

enum mbj_rc mbj_backup(const char *source, const char *dir,
		       const struct mbj_backup_options *options,
		       struct mbj_backup_result *ret_result,
		       struct mbj_error *err)
{
	struct mbj_backup_result result = {.before = {0}};
	struct backup_copy copy = {.source = source,
				   .is_deep = options->is_deep,
				   .result = &result};
	struct mbj_identity identity;
	enum mbj_rc rc;

	rc = options_check(options->size, sizeof(*options), err);
	if (rc == MBJ_OK && options->is_dry_run) {
		*ret_result = result;
		return backup_look(source, dir, options, ret_result, err);
	}
	/* Before anything is made for it. */
	if (rc == MBJ_OK)
		rc = mbj_identity_load(options_sys(options->store), source,
				       &identity, err);
	if (rc == MBJ_OK && mbj_id_is_root(identity.lineage))
		rc = mbj_error_set(err, MBJ_EFENCED,
				   "%s is a replica that has not received "
				   "anything yet",
				   source);
	if (rc == MBJ_OK)
		rc = backup_run(&copy, dir, options, err);
	if (rc == MBJ_OK)
		*ret_result = result;
	return rc;
}
