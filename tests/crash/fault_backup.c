/*
 * The scenarios of backups in which calls and allocations fail, and what must
 * be true of a backup after any fault: what its mark says.
 */
#include <string.h>

#include <mbj/backup.h>
#include <mbj/trim.h>

#include "fault_lab.h"

static enum mbj_rc backup_run(struct fault_lab *lab, const char *dir,
			      struct mbj_error *err)
{
	struct mbj_backup_options options = MBJ_BACKUP_OPTIONS_INIT;
	struct mbj_backup_result result;
	enum mbj_rc rc;

	options.store = &lab->options;
	rc = mbj_backup(lab->primary, dir, &options, &result, err);
	if (rc == MBJ_OK) {
		lab->applied = result.end.v;
		lab->applied_dir = dir;
	}
	return rc;
}

enum mbj_rc fault_run_backup(struct fault_lab *lab, struct mbj_error *err)
{
	return backup_run(lab, lab->backup, err);
}

enum mbj_rc fault_run_backup_first(struct fault_lab *lab, struct mbj_error *err)
{
	return backup_run(lab, lab->absent, err);
}

static enum mbj_rc restore_run(struct fault_lab *lab, enum mbj_store_role role,
			       struct mbj_error *err)
{
	struct mbj_restore_options options = MBJ_RESTORE_OPTIONS_INIT;
	struct mbj_backup_result result;
	enum mbj_rc rc;

	options.store = &lab->options;
	options.role = role;
	rc = mbj_restore(lab->is_promoted ? lab->aside : lab->backup,
			 lab->restored, &options, &result, err);
	lab->is_restored = rc == MBJ_OK;
	if (rc == MBJ_OK && lab->is_promoted)
		ck_assert_uint_eq(result.accounts_parked, 1);
	return rc;
}

/* As a primary: with the epoch that it begins. */
enum mbj_rc fault_run_restore(struct fault_lab *lab, struct mbj_error *err)
{
	return restore_run(lab, MBJ_STORE_PRIMARY, err);
}

/* The same, with an account that is set aside. */
enum mbj_rc fault_run_promote(struct fault_lab *lab, struct mbj_error *err)
{
	lab->is_promoted = true;
	return restore_run(lab, MBJ_STORE_PRIMARY, err);
}

enum mbj_rc fault_run_snapshot(struct fault_lab *lab, struct mbj_error *err)
{
	struct mbj_snapshot_result result;
	struct mbj_store *store = NULL;
	enum mbj_rc rc;

	rc = mbj_store_open(lab->primary, &lab->options, &store, err);
	if (rc == MBJ_OK)
		rc = mbj_store_snapshot(store, &result, err);
	mbj_store_close(&store);
	return rc;
}

/* And the state is made anew from it. */
enum mbj_rc fault_run_snapshot_rebuild(struct fault_lab *lab,
				       struct mbj_error *err)
{
	struct mbj_store_options options = lab->options;
	struct mbj_store *store = NULL;
	enum mbj_rc rc;

	rc = fault_run_snapshot(lab, err);
	options.is_rebuild_forced = true;
	if (rc == MBJ_OK)
		rc = mbj_store_open(lab->primary, &options, &store, err);
	mbj_store_close(&store);
	return rc;
}

/* One group less than the primary comes to have, and contents to fetch. */
void fault_backup_make(struct fault_lab *lab)
{
	struct mbj_store *store = NULL;

	SITE_OK(backup_run(lab, lab->backup, err));
	lab->applied_dir = NULL;
	SITE_OK(mbj_replica_open(lab->primary, &lab->options, &store, err));
	SITE_OK(site_rename(store, 1, "m6", "n6", NULL, err));
	SITE_OK(site_rename(store, 1, "n6", "m6", NULL, err));
	mbj_store_close(&store);
}

/* Only what a restore reads of it: the smaller the stores, the better. */
void fault_aside_make(struct fault_lab *lab)
{
	struct mbj_backup_options options = MBJ_BACKUP_OPTIONS_INIT;
	struct mbj_backup_result result;
	struct mbj_store *store = NULL;
	char bent[MBJ_PATH_TEXT_MAX];
	char state[MBJ_PATH_TEXT_MAX];
	struct mbj_id lineage;

	options.store = &lab->options;
	SITE_OK(mbj_path_join(bent, lab->root, "odd", err));
	SITE_OK(mbj_store_init(bent, MBJ_STORE_PRIMARY, &lab->options, err));
	SITE_OK(mbj_store_open(bent, &lab->options, &store, err));
	lineage = mbj_store_identity(store)->lineage;
	site_import(store, 1, 3);
	site_import(store, 2, 2);
	mbj_store_close(&store);
	site_bend(&lab->options, bent, lineage, 3);
	SITE_OK(mbj_store_open(bent, &lab->options, &store, err));
	SITE_OK(site_rename(store, 1, "m2", "n2", NULL, err));
	mbj_store_close(&store);
	SITE_OK(mbj_backup(bent, lab->aside, &options, &result, err));
	ck_assert_uint_eq(result.accounts_parked, 1);
	SITE_OK(mbj_path_join(state, lab->aside, "state", err));
	SITE_OK(mbj_state_destroy(lab->options.sys, state, err));
	SITE_OK(mbj_path_join(state, bent, "state", err));
	SITE_OK(mbj_state_destroy(lab->options.sys, state, err));
}

/* Everything up to the mark: what is behind it may have come further. */
static enum mbj_rc mark_check(struct fault_lab *lab, const char *dir,
			      struct mbj_error *err)
{
	const struct mbj_sys *sys = lab->options.sys;
	struct mbj_store *store = NULL;
	struct mbj_backup_mark mark;
	uint64_t wanted = 0;
	enum mbj_rc rc;

	rc = mbj_backup_mark_load(sys, dir, &mark, err);
	if (rc == MBJ_ENOTFOUND ||
	    (rc == MBJ_OK && !mbj_backup_is_whole(&mark)))
		return MBJ_OK;
	if (rc == MBJ_OK)
		rc = mbj_replica_open(dir, &lab->options, &store, err);
	if (rc == MBJ_OK && mbj_store_end(store).lsn.v < mark.end.lsn.v)
		rc = mbj_error_set(err, MBJ_EIO,
				   "a backup's mark is ahead of its journal");
	if (rc == MBJ_OK)
		rc = fault_contents_read(store, &wanted, err);
	if (rc == MBJ_OK && wanted > 0 &&
	    mbj_store_end(store).lsn.v == mark.end.lsn.v)
		rc = mbj_error_set(err, MBJ_EIO,
				   "a backup lacks what its mark stands for");
	mbj_store_close(&store);
	return rc;
}

/* Nobody is aside in it, and its state can be made anew. */
static enum mbj_rc promoted_check(struct fault_lab *lab,
				  struct mbj_store **store,
				  struct mbj_error *err)
{
	struct mbj_store_options options = lab->options;
	struct mbj_scan scan = {0};
	struct mbj_parked parked;
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	rc = mbj_store_read(*store, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_parked(txn, &scan, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_next_parked(&scan, &parked, err);
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
	if (rc == MBJ_OK)
		return mbj_error_set(err, MBJ_EIO,
				     "an account of a primary is set aside");
	if (rc != MBJ_ENOTFOUND)
		return rc;
	mbj_store_close(store);
	options.is_rebuild_forced = true;
	rc = mbj_store_open(lab->restored, &options, store, err);
	return rc == MBJ_OK ? fault_accounts_check(*store, err) : rc;
}

/* A restore that was not acknowledged is finished, or made from the start. */
static enum mbj_rc restored_try(struct fault_lab *lab, struct mbj_error *err)
{
	enum mbj_store_role role =
		lab->is_promoted ? MBJ_STORE_PRIMARY : MBJ_STORE_REPLICA;
	struct mbj_store *store = NULL;
	enum mbj_rc rc;

	rc = mbj_replica_open(lab->restored, &lab->options, &store, err);
	if (!lab->is_restored && (rc == MBJ_EFENCED || rc == MBJ_ENOTFOUND)) {
		rc = restore_run(lab, role, err);
		if (rc == MBJ_OK)
			rc = mbj_replica_open(lab->restored, &lab->options,
					      &store, err);
	}
	if (rc == MBJ_OK)
		rc = lab->is_promoted ? promoted_check(lab, &store, err)
				      : fault_store_check(lab, store, err);
	mbj_store_close(&store);
	return rc;
}

static enum mbj_rc restored_check(struct fault_lab *lab, struct mbj_error *err)
{
	enum mbj_rc rc = restored_try(lab, err);

	/* Damage met when it is read: the next opening makes the state anew. */
	return rc == MBJ_ECORRUPT ? restored_try(lab, err) : rc;
}

enum mbj_rc fault_backups_check(struct fault_lab *lab, struct disk *disk,
				struct mbj_error *err)
{
	bool is_restored = lab->is_restored;
	enum mbj_rc rc = MBJ_OK;

	/* Others leave them as they are. */
	if (lab->applied_dir == lab->backup || disk_has(disk, lab->restored))
		rc = mark_check(lab, lab->backup, err);
	if (rc == MBJ_OK && disk_has(disk, lab->absent))
		rc = mark_check(lab, lab->absent, err);
	if (rc == MBJ_OK && disk_has(disk, lab->restored))
		rc = restored_check(lab, err);
	lab->is_restored = is_restored;
	return rc;
}
