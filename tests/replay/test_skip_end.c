/*
 * Where it ends that an account is known to differ: with an account that is
 * nowhere, and in a backup.
 */
#include <string.h>
#include <unistd.h>

#include <mbj/backup.h>
#include <mbj/collect.h>
#include <mbj/repair.h>

#include "resync_lab.h"
#include "skip_lab.h"
#include "snapshot_judge.h"
#include "store_impl.h"

/* carol's groups from her first on are given up, one by one: so many. */
static struct mbj_id absent_begin(struct fixture *f)
{
	struct mbj_account taker = {.policy = MBJ_NAME_POLICY_DEFAULT};
	struct mbj_txn *txn = NULL;
	struct mbj_id id;

	skip_begin(f, NULL);
	aside_ghost(f, "alice", false);
	ck_assert_uint_eq(aside_retry(f, "alice").accounts_healed, 1);
	taker.id = fixture_id(99);
	taker.name = mbj_bytes_str("carol");
	OK(mbj_txn_begin(f->replica->state, &txn, err));
	OK(mbj_txn_account_create(txn, &taker, err));
	OK(mbj_txn_commit(&txn, err));
	fixture_import(f, "carol", 2);
	(void)fixture_replay(f);
	ck_assert(skip_give_up(f, "carol", 5).is_different);
	id = fixture_account(f->primary, "carol");
	aside_delete(f, "carol");
	(void)fixture_replay(f);
	OK(mbj_txn_begin(f->replica->state, &txn, err));
	OK(mbj_txn_account_wipe(txn, taker.id, (struct mbj_lsn){6}, err));
	OK(mbj_txn_commit(&txn, err));
	return id;
}

/*
 * Goal: an account that is nowhere differs from nothing, whatever of it was
 * given up, and the replica's snapshots are bases again.  Method: its create is
 * given up, and then its delete; a snapshot is judged by the journal.
 */
START_TEST(skip_nowhere)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_skip_result result;
	uint64_t first, last;
	struct mbj_id id;
	struct fixture f;

	id = absent_begin(&f);
	OK(mbj_quarantine_skip(f.replica, id, (struct mbj_lsn){6}, false,
			       &result, err));
	ck_assert(!result.is_different);
	ck_assert_uint_eq(skip_count(f.replica, id, &first, &last), 0);
	ck_assert_int_eq(skip_apply_again(&f, 6), MBJ_VERDICT_ALREADY);
	aside_equal(&f);
	OK(mbj_snapshot_path(path, f.replica_dir,
			     (struct mbj_lsn){snapshot_make(f.replica)}, err));
	OK(snapshot_judge_by_journal(f.replica, path, err));
	fixture_end(&f);
}
END_TEST

/*
 * Goal: what an older version left of such an account ends with a resync.
 * Method: a mark by hand, of one that nobody knows.
 */
START_TEST(skip_nowhere_marked)
{
	const struct mbj_skipped skipped = {.account = fixture_id(77),
					    .first = {3},
					    .last = {4},
					    .count = 2};
	struct mbj_resync_result result;
	struct mbj_txn *txn = NULL;
	uint64_t first, last;
	struct fixture f;

	skip_begin(&f, NULL);
	(void)skip_give_up(&f, "alice", 3);
	OK(mbj_txn_begin(f.replica->state, &txn, err));
	OK(mbj_txn_skipped_set(txn, &skipped, err));
	OK(mbj_txn_commit(&txn, err));
	snapshot_make(f.primary);
	ck_assert_int_eq(resync_try(&f, fixture_id(78), &result, NULL),
			 MBJ_ENOTFOUND);
	OK(resync_try(&f, skipped.account, &result, err));
	ck_assert_uint_eq(skip_count(f.replica, skipped.account, &first, &last),
			  0);
	fixture_end(&f);
}
END_TEST

/* ---------------------------------------------------------------- backups */

/* Brings it forward; so many accounts are known to differ in it. */
static void backup_has(struct fixture *f, const char *dir, uint64_t skipped)
{
	struct mbj_backup_options backup = MBJ_BACKUP_OPTIONS_INIT;
	struct mbj_backup_result result;

	OK(mbj_backup(f->replica_dir, dir, &backup, &result, err));
	ck_assert_uint_eq(result.accounts_skipped, skipped);
	ck_assert_uint_eq(result.accounts_parked, 0);
}

/*
 * Goal: a backup says who differs in it, and makes an account again that its
 * source made again, as soon as a snapshot of that helps.  Method: a replica
 * whose account is made again, whose snapshots are gone, and that has a new
 * one.
 */
START_TEST(skip_backup)
{
	char path[MBJ_PATH_TEXT_MAX];
	char dir[MBJ_PATH_TEXT_MAX];
	struct mbj_lsn lsn;
	struct fixture f;

	skip_begin_bent(&f, NULL);
	(void)skip_give_up(&f, "alice", 3);
	OK(mbj_path_join(dir, f.tmpdir, "b", err));
	for (int i = 0; i < 2; i++)
		backup_has(&f, dir, 1);
	lsn.v = snapshot_make(f.primary);
	(void)resync(&f, "alice");
	OK(mbj_snapshot_path(path, f.replica_dir, lsn, err));
	ck_assert_int_eq(unlink(path), 0);
	backup_has(&f, dir, 1);
	snapshot_make(f.replica);
	for (int i = 0; i < 2; i++)
		backup_has(&f, dir, 0);
	memcpy(f.replica_dir, dir, sizeof(dir));
	skip_reopen(&f);
	skip_is_over(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: what is restored from a backup whose account was made again has it so,
 * too.  Method: as a replica, whose state is made anew.
 */
START_TEST(skip_backup_restored)
{
	struct mbj_restore_options restore = MBJ_RESTORE_OPTIONS_INIT;
	struct mbj_backup_result result;
	char dir[MBJ_PATH_TEXT_MAX];
	char to[MBJ_PATH_TEXT_MAX];
	struct fixture f;

	skip_begin_bent(&f, NULL);
	(void)skip_give_up(&f, "alice", 3);
	OK(mbj_path_join(dir, f.tmpdir, "b", err));
	OK(mbj_path_join(to, f.tmpdir, "r2", err));
	backup_has(&f, dir, 1);
	snapshot_make(f.primary);
	(void)resync(&f, "alice");
	snapshot_make(f.replica);
	backup_has(&f, dir, 0);
	OK(mbj_restore(dir, to, &restore, &result, err));
	ck_assert_uint_eq(result.accounts_skipped, 0);
	ck_assert_uint_eq(result.accounts_parked, 0);
	memcpy(f.replica_dir, to, sizeof(to));
	skip_reopen(&f);
	skip_is_over(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a record of what was given up that is damaged is in nobody's way for
 * ever.  Method: a replica, whose collection says what to do, which helps; a
 * group given up whose body is damaged; a primary, which does not need it.
 */
START_TEST(skip_record_bent)
{
	struct mbj_bytes bent = mbj_bytes_str("no record");
	struct mbj_collect_result collected;
	struct mbj_repair repair;
	struct mbj_error why;
	struct fixture f;

	skip_begin(&f, NULL);
	aside_damage(&f, 3, false);
	(void)skip_give_up(&f, "alice", 3);
	OK(mbj_store_collect(f.replica, false, &collected, err));
	OK(mbj_file_replace(mbj_sys_posix(), f.replica_dir, "skips", bent,
			    err));
	ck_assert_int_eq(mbj_store_collect(f.replica, false, &collected, &why),
			 MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(why.message, "fsck --repair"));
	ck_assert_int_eq(mbj_store_repair(f.replica, true, &repair, &why),
			 MBJ_ECORRUPT);
	mbj_repair_done(&repair);
	OK(mbj_store_repair(f.replica, false, &repair, err));
	mbj_repair_done(&repair);
	OK(mbj_store_collect(f.replica, false, &collected, err));
	OK(mbj_file_replace(mbj_sys_posix(), f.primary_dir, "skips", bent,
			    err));
	OK(mbj_store_collect(f.primary, false, &collected, err));
	fixture_end(&f);
}
END_TEST

TCase *test_skip_end_case(void)
{
	TCase *tcase = tcase_create("skip_end");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, skip_nowhere);
	tcase_add_test(tcase, skip_nowhere_marked);
	tcase_add_test(tcase, skip_backup);
	tcase_add_test(tcase, skip_record_bent);
	tcase_add_test(tcase, skip_backup_restored);
	return tcase;
}
