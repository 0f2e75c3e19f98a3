/*
 * Making a store from a backup; see mbj/backup.h.
 *
 *	init, marked as being restored -> groups and contents
 *	  -> read the journal back -> role and epoch, the mark goes (promote.c)
 *
 * Invariants:
 *   1. nobody opens the store before all of it is there: its superblock says
 *      that it is being restored, and loses that in the same write in which it
 *      gets its role;
 *   2. the backup is not changed.
 *
 * Threads: one at a time, held by the lock of the store in dir.
 */
#include <inttypes.h>

#include <mbj/check.h>
#include <mbj/replay.h>

#include "backup_copy.h"
#include "promote.h"

struct restoring {
	const struct mbj_restore_options *options;
	struct mbj_store_options store; /* the caller's, marked */
	const struct mbj_sys *sys;
	struct mbj_backup_mark mark;
	struct mbj_lsn until;
	bool is_made; /* by this attempt */
	struct backup_copy copy;
};

static enum mbj_rc restoring_begin(struct restoring *r, const char *backup,
				   struct mbj_error *err)
{
	const struct mbj_restore_options *options = r->options;
	enum mbj_rc rc;

	if (options->size != sizeof(*options))
		return mbj_error_set(err, MBJ_EINVALID,
				     "the options of a restore have another "
				     "size here: built against other headers");
	r->store = options->store != NULL ? *options->store
					  : MBJ_STORE_OPTIONS_INIT;
	r->store.is_restoring = true;
	r->sys = r->store.sys != NULL ? r->store.sys : mbj_sys_posix();
	rc = mbj_backup_mark_load(r->sys, backup, &r->mark, err);
	if (rc < 0)
		return rc;
	if (!mbj_backup_is_whole(&r->mark))
		return mbj_error_set(err, MBJ_EFENCED,
				     "%s is a backup that was never finished",
				     backup);
	if (options->until.v > r->mark.end.lsn.v)
		return mbj_error_set(err, MBJ_EINVALID,
				     "%s ends at group %" PRIu64
				     ": it has no group %" PRIu64,
				     backup, r->mark.end.lsn.v,
				     options->until.v);
	r->until = options->until.v != 0 ? options->until : r->mark.end.lsn;
	return MBJ_OK;
}

/* A new one, or what an earlier attempt that was stopped left. */
static enum mbj_rc target_open(struct restoring *r, const char *dir,
			       struct mbj_error *err)
{
	struct mbj_store **store = &r->copy.store;
	enum mbj_rc rc;

	rc = mbj_replica_open(dir, &r->store, store, err);
	/* What an earlier attempt wrote is not known to have been read back. */
	r->copy.is_deep = rc == MBJ_OK;
	if (rc != MBJ_ENOTFOUND)
		return rc;
	rc = mbj_store_init(dir, MBJ_STORE_REPLICA, &r->store, err);
	r->is_made = rc == MBJ_OK;
	if (rc == MBJ_OK)
		rc = mbj_replica_open(dir, &r->store, store, err);
	return rc;
}

/* A backup of a store in which nothing had happened yet. */
static enum mbj_rc nothing_take(struct restoring *r, struct mbj_error *err)
{
	struct mbj_identity backup;
	enum mbj_rc rc;

	rc = mbj_identity_load(r->sys, r->copy.source, &backup, err);
	if (rc == MBJ_OK)
		rc = mbj_store_adopt(r->copy.store, &backup, err);
	return rc;
}

/* What was copied is what the mark, or the caller, asked for. */
static enum mbj_rc end_check(const struct restoring *r,
			     const struct mbj_log_end *end,
			     struct mbj_error *err)
{
	const struct mbj_log_end *wanted = &r->mark.end;

	if (end->lsn.v > r->until.v)
		return mbj_error_set(err, MBJ_EFENCED,
				     "%s has group %" PRIu64
				     " of an earlier attempt, and was to end "
				     "at %" PRIu64
				     ": remove it and begin again",
				     mbj_store_dir(r->copy.store), end->lsn.v,
				     r->until.v);
	if (end->lsn.v == r->until.v &&
	    (r->until.v != wanted->lsn.v ||
	     memcmp(end->chain.b, wanted->chain.b, MBJ_HASH_SIZE) == 0))
		return MBJ_OK;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "%s is not what its mark says: its journal "
			     "has not that group %" PRIu64,
			     r->copy.source, r->until.v);
}

/*
 * An earlier attempt had all of it, and was stopped while it made a primary of
 * it: what it wrote is in no backup.
 */
static enum mbj_rc attempt_check(struct restoring *r, struct mbj_error *err)
{
	const struct mbj_identity *id = mbj_store_identity(r->copy.store);

	r->copy.is_taken = mbj_store_reign_is_begun(r->copy.store);
	if (!r->copy.is_taken)
		return MBJ_OK;
	if (!mbj_id_equal(id->lineage, r->mark.lineage))
		return mbj_error_set(err, MBJ_EFENCED,
				     "an earlier attempt was to make a primary "
				     "of %s, from a backup of another store "
				     "than %s is of: remove it and begin again",
				     mbj_store_dir(r->copy.store),
				     r->copy.source);
	if (r->options->role == MBJ_STORE_PRIMARY)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_EFENCED,
			     "an earlier attempt was to make a primary of %s: "
			     "go on with that, or remove it and begin again",
			     mbj_store_dir(r->copy.store));
}

/* All of it is there: the store is one, of its role. */
static enum mbj_rc target_finish(struct restoring *r,
				 const struct mbj_log_end *end,
				 struct mbj_error *err)
{
	const struct promote_lost lost = {r->copy.lost_list,
					  r->copy.lost_count};
	uint64_t *accounts = &r->copy.result->accounts_parked;

	r->copy.result->end = end->lsn;
	/* As a primary they are among those. */
	if (r->options->role == MBJ_STORE_PRIMARY)
		r->copy.result->accounts_skipped = 0;
	if (r->options->role == MBJ_STORE_PRIMARY)
		return promote_run(r->copy.store, end, &lost, accounts, err);
	return mbj_store_restored(r->copy.store, r->options->role, NULL, err);
}

static enum mbj_rc chain_read(const struct restoring *r, struct mbj_lsn lsn,
			      struct mbj_hash *ret_chain, struct mbj_error *err)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_group group;
	enum mbj_rc rc;

	*ret_chain = r->mark.end.chain;
	if (lsn.v == r->mark.end.lsn.v)
		return MBJ_OK;
	rc = mbj_store_log_reader(r->sys, r->copy.source, &reader, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_seek(reader, lsn, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_next(reader, &group, err);
	if (rc == MBJ_OK)
		*ret_chain = group.chain;
	mbj_log_reader_close(&reader);
	return rc;
}

/* It is the backup's group that an earlier attempt had come to. */
static enum mbj_rc behind_check(const struct restoring *r,
				const struct mbj_log_end *behind,
				struct mbj_error *err)
{
	struct mbj_hash chain;
	enum mbj_rc rc = chain_read(r, behind->lsn, &chain, err);

	if (rc < 0 || memcmp(chain.b, behind->chain.b, sizeof(chain.b)) == 0)
		return rc;
	return mbj_error_set(err, MBJ_EFENCED,
			     "an earlier attempt made a primary of %s from a "
			     "backup with another group %" PRIu64
			     " than %s has: remove it and begin again",
			     mbj_store_dir(r->copy.store), behind->lsn.v,
			     r->copy.source);
}

static enum mbj_rc target_fill(struct restoring *r, struct mbj_error *err)
{
	struct mbj_log_end end;
	enum mbj_rc rc = attempt_check(r, err);

	if (rc == MBJ_OK && r->until.v == 0) {
		rc = nothing_take(r, err);
	} else if (rc == MBJ_OK) {
		r->copy.until = r->until;
		r->copy.is_last = r->options->role == MBJ_STORE_PRIMARY;
		rc = backup_copy_run(&r->copy, err);
	}
	if (rc == MBJ_OK)
		rc = backup_copy_read(&r->copy, &end, err);
	if (rc == MBJ_OK && r->copy.is_taken)
		rc = promote_behind(r->copy.store, r->until, &end, err);
	if (rc == MBJ_OK && r->copy.is_taken)
		rc = behind_check(r, &end, err);
	if (rc == MBJ_OK)
		rc = end_check(r, &end, err);
	return rc == MBJ_OK ? target_finish(r, &end, err) : rc;
}

static enum mbj_rc restore_run(struct restoring *r, const char *dir,
			       struct mbj_error *err)
{
	bool was_there = mbj_path_exists(r->sys, dir);
	enum mbj_rc rc = target_open(r, dir, err);

	if (rc == MBJ_OK)
		rc = target_fill(r, err);
	backup_copy_done(&r->copy);
	mbj_store_close(&r->copy.store);
	if (rc < 0 && r->is_made)
		mbj_store_unmake(dir, r->sys, was_there);
	return rc;
}

enum mbj_rc mbj_restore(const char *backup, const char *dir,
			const struct mbj_restore_options *options,
			struct mbj_backup_result *ret_result,
			struct mbj_error *err)
{
	struct mbj_backup_result result = {.before = {0}};
	struct restoring r = {.options = options,
			      .copy = {.source = backup, .result = &result}};
	enum mbj_rc rc;

	rc = restoring_begin(&r, backup, err);
	if (rc == MBJ_OK && options->is_dry_run) {
		rc = mbj_store_init_check(dir, options->store, err);
		result.end = r.until;
		result.contents = r.mark.contents;
		result.size = r.mark.size;
	} else if (rc == MBJ_OK) {
		rc = restore_run(&r, dir, err);
	}
	if (rc == MBJ_OK)
		*ret_result = result;
	return rc;
}
