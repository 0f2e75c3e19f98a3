/*
 * Groups that were given up, on a store that becomes a primary: what their
 * accounts are holds from then on, and nothing that they gave out is given
 * again.
 */
#include <string.h>
#include <unistd.h>

#include <mbj/backup.h>
#include <mbj/blob.h>
#include <mbj/skips.h>
#include <mbj/trim.h>

#include "resync_lab.h"
#include "skip_lab.h"

/* A replica of it, from its newest snapshot. */
static void reign_follow(struct fixture *f)
{
	struct mbj_snapshot_info info;

	OK(mbj_path_join(f->replica_dir, f->tmpdir, "r2", err));
	OK(mbj_store_init(f->replica_dir, MBJ_STORE_REPLICA, NULL, err));
	OK(mbj_replica_open(f->replica_dir, NULL, &f->replica, err));
	OK(mbj_replica_seed(f->replica, f->primary_dir, (struct mbj_lsn){0},
			    &info, err));
	(void)fixture_replay(f);
}

/*
 * Goal: what an account is on a store that becomes a primary, it is to be: it
 * differs from nothing there, nor does its next group anywhere, and snapshots
 * are bases for everybody.  Method: a replica of the new primary, another
 * account of which is made again, before and after a group of the account; the
 * account itself.
 */
START_TEST(skip_reign)
{
	uint64_t first, last;
	struct fixture f;

	skip_begin_bent(&f, NULL);
	(void)skip_give_up(&f, "alice", 3);
	(void)skip_reign_begin(&f);
	ck_assert_uint_eq(skip_count(f.primary,
				     fixture_account(f.primary, "alice"),
				     &first, &last),
			  0);
	snapshot_make(f.primary);
	reign_follow(&f);
	skip_lacks(&f, "alice", 0, 0, 0);
	aside_equal(&f);
	for (unsigned i = 0; i < 2; i++) {
		fixture_rename(&f, "bob", i ? "q" : "b", i ? "b" : "q");
		snapshot_make(f.primary);
		(void)resync(&f, i == 0 ? "bob" : "alice");
		aside_equal(&f);
		fixture_rename(&f, "alice", i ? "y" : "c", i ? "z" : "y");
		ck_assert_uint_eq(fixture_replay(&f).groups_parked, 0);
	}
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: nor does it after a new state, from a snapshot in which it does.
 * Method: a journal that begins behind a replica's snapshot.
 */
START_TEST(skip_reign_again)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct mbj_store *other = NULL;
	struct mbj_snapshot_info info;
	uint64_t first, last;
	struct fixture f;
	struct mbj_id id;

	skip_begin(&f, NULL);
	(void)skip_give_up(&f, "alice", 3);
	snapshot_make(f.replica);
	OK(mbj_path_join(f.replica_dir, f.tmpdir, "o", err));
	OK(mbj_store_init(f.replica_dir, MBJ_STORE_REPLICA, NULL, err));
	OK(mbj_replica_open(f.replica_dir, NULL, &other, err));
	OK(mbj_replica_seed(other, mbj_store_dir(f.replica),
			    (struct mbj_lsn){0}, &info, err));
	mbj_store_close(&f.replica);
	f.replica = other;
	id = fixture_account(f.primary, "alice");
	ck_assert_uint_eq(skip_count(other, id, &first, &last), 1);
	(void)skip_reign_begin(&f);
	for (int i = 0; i < 3; i++) {
		mbj_store_close(&f.primary);
		options.is_rebuild_forced = i > 0;
		OK(mbj_store_open(f.primary_dir, &options, &f.primary, err));
		ck_assert_uint_eq(skip_count(f.primary, id, &first, &last), 0);
		fixture_rename(&f, "alice", i ? "m3" : "m2", i ? "m4x" : "a");
		if (i > 0)
			fixture_rename(&f, "alice", "m4x", "m3");
	}
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a primary with such an account can be made from its snapshot and its
 * journal, which has a group that no state takes.  Method: the state is given
 * up, and lost, before and after edits.
 */
START_TEST(skip_reign_rebuilt)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	char path[MBJ_PATH_TEXT_MAX];
	uint64_t first, last;
	struct fixture f;
	struct mbj_id id;

	skip_begin_bent(&f, NULL);
	(void)skip_give_up(&f, "alice", 3);
	id = fixture_account(f.primary, "alice");
	(void)skip_reign_begin(&f);
	OK(mbj_path_join(path, f.primary_dir, "state", err));
	for (int i = 0; i < 4; i++) {
		mbj_store_close(&f.primary);
		options.is_rebuild_forced = i % 2 == 0;
		if (!options.is_rebuild_forced)
			OK(mbj_state_destroy(mbj_sys_posix(), path, err));
		OK(mbj_store_open(f.primary_dir, &options, &f.primary, err));
		ck_assert(mbj_store_recovery_get(f.primary)->is_rebuilt);
		ck_assert_uint_eq(skip_count(f.primary, id, &first, &last), 0);
		fixture_rename(&f, "alice", i % 2 ? "m4x" : "m4",
			       i % 2 ? "m4" : "m4x");
	}
	snapshot_make(f.primary);
	reign_follow(&f);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/* ------------------------------------------------------------ stopped */

/* A restore of the backup that is stopped before it writes its groups. */
static void reign_prepare(const char *backup, const char *dir)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct mbj_replay_options all = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result replayed;
	struct mbj_store *store = NULL;

	options.is_restoring = true;
	OK(mbj_store_init(dir, MBJ_STORE_REPLICA, &options, err));
	OK(mbj_replica_open(dir, &options, &store, err));
	OK(mbj_skips_adopt(store, backup, err));
	OK(mbj_replay_journal(store, backup, &all, &replayed, err));
	OK(mbj_store_reign_begin(store, err));
	mbj_store_close(&store);
}

/* And one that is stopped right before it is a primary. */
static void reign_stop(const char *backup, const char *dir)
{
	struct mbj_restore_options restore = MBJ_RESTORE_OPTIONS_INIT;
	struct mbj_backup_result result;
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf superblock;

	reign_prepare(backup, dir);
	OK(mbj_path_join(path, dir, "mbj.store", err));
	mbj_buf_init(&superblock, 4096);
	OK(mbj_file_load(mbj_sys_posix(), path, 4096, &superblock, err));
	restore.role = MBJ_STORE_PRIMARY;
	OK(mbj_restore(backup, dir, &restore, &result, err));
	OK(mbj_file_replace(mbj_sys_posix(), dir, "mbj.store",
			    mbj_buf_view(&superblock), err));
	mbj_buf_done(&superblock);
}

static void part_remove(const char *dir, const char *name)
{
	char path[MBJ_PATH_TEXT_MAX];

	OK(mbj_path_join(path, dir, name, err));
	OK(mbj_state_destroy(mbj_sys_posix(), path, err));
}

/*
 * Goal: a restore that is stopped is gone on with, whatever is lost meanwhile,
 * and has given up the same.  Method: behind its groups; with the state lost
 * then, and with the snapshot, too, so that the groups are given up again.
 */
START_TEST(skip_reign_stopped)
{
	struct mbj_restore_options restore = MBJ_RESTORE_OPTIONS_INIT;
	struct mbj_backup_options backup = MBJ_BACKUP_OPTIONS_INIT;
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct mbj_backup_result result;
	char from[MBJ_PATH_TEXT_MAX];
	char dir[MBJ_PATH_TEXT_MAX];
	uint64_t first, last;
	struct fixture f;
	struct mbj_id id;

	skip_begin_bent(&f, NULL);
	(void)skip_give_up(&f, "alice", 3);
	id = fixture_account(f.primary, "alice");
	OK(mbj_path_join(from, f.tmpdir, "b", err));
	OK(mbj_path_join(dir, f.tmpdir, "p2", err));
	OK(mbj_backup(f.replica_dir, from, &backup, &result, err));
	reign_stop(from, dir);
	if (_i > 0)
		part_remove(dir, "state");
	if (_i > 1)
		part_remove(dir, "snapshots");
	restore.role = MBJ_STORE_PRIMARY;
	OK(mbj_restore(from, dir, &restore, &result, err));
	ck_assert_uint_eq(result.accounts_parked, 1);
	ck_assert_uint_eq(result.accounts_skipped, 0);
	options.is_rebuild_forced = true;
	mbj_store_close(&f.primary);
	OK(mbj_store_open(dir, &options, &f.primary, err));
	ck_assert_uint_eq(mbj_store_end(f.primary).lsn.v, 6);
	ck_assert_uint_eq(mbj_store_identity(f.primary)->anchor.first.v, 6);
	ck_assert_uint_eq(skip_count(f.primary, id, &first, &last), 0);
	fixture_rename(&f, "alice", "m4", "later");
	fixture_end(&f);
}
END_TEST

/*
 * Goal: an account that comes after one that was given up is there, however
 * far the state that was lost had come.  Method: alice goes and comes; the
 * state of an attempt that was stopped is lost, with its snapshot, and before
 * it had written its groups.
 */
START_TEST(skip_reign_stopped_later)
{
	struct mbj_restore_options restore = MBJ_RESTORE_OPTIONS_INIT;
	struct mbj_backup_options backup = MBJ_BACKUP_OPTIONS_INIT;
	struct mbj_skip_result skipped;
	struct mbj_backup_result result;
	char from[MBJ_PATH_TEXT_MAX];
	char dir[MBJ_PATH_TEXT_MAX];
	struct mbj_id was;
	struct fixture f;

	skip_begin_bent(&f, NULL);
	was = fixture_account(f.primary, "alice");
	aside_delete(&f, "alice");
	fixture_import(&f, "alice", 3);
	(void)fixture_replay(&f);
	OK(mbj_quarantine_skip(f.replica, was, (struct mbj_lsn){3}, false,
			       &skipped, err));
	ck_assert_uint_eq(fixture_replay(&f).accounts_parked, 0);
	OK(mbj_path_join(from, f.tmpdir, "b", err));
	OK(mbj_path_join(dir, f.tmpdir, "p2", err));
	OK(mbj_backup(f.replica_dir, from, &backup, &result, err));
	if (_i < 3)
		reign_stop(from, dir);
	else
		reign_prepare(from, dir);
	if (_i > 0)
		part_remove(dir, "state");
	if (_i == 2)
		part_remove(dir, "snapshots");
	restore.role = MBJ_STORE_PRIMARY;
	OK(mbj_restore(from, dir, &restore, &result, err));
	mbj_store_close(&f.primary);
	OK(mbj_store_open(dir, NULL, &f.primary, err));
	ck_assert(!mbj_id_equal(fixture_account(f.primary, "alice"), was));
	fixture_end(&f);
}
END_TEST

/* -------------------------------------------------- what came right again */

/*
 * Goal: what was given up and came right all the same is in the way of no
 * primary: its journal has a group that no state takes.  Method: a limit that
 * was given up is set again, and the ghost is unsubscribed; the state made
 * anew; an attempt that was stopped behind its group.
 */
START_TEST(skip_reign_made_good)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct mbj_mailbox was, now;
	struct fixture f;

	skip_mail_begin(&f);
	skip_metadata(&f, MBJ_METADATA_QUOTA, "", 10);
	(void)fixture_replay(&f);
	(void)skip_give_up(&f, "alice", 5);
	skip_metadata(&f, MBJ_METADATA_UNSUBSCRIBE, "ghost", 0);
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 1);
	(void)skip_give_up(&f, "alice", 6);
	skip_metadata(&f, MBJ_METADATA_QUOTA, "", 20);
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 0);
	skip_lacks(&f, "alice", 0, 0, 0);
	aside_equal(&f);
	(void)skip_inbox(f.primary, "alice", &was);
	ck_assert_uint_eq(skip_reign_begin(&f).accounts_parked, 1);
	(void)skip_inbox(f.primary, "alice", &now);
	ck_assert_uint_eq(now.uidvalidity, was.uidvalidity);
	options.is_rebuild_forced = true;
	for (unsigned i = 0; i < 2; i++) {
		mbj_store_close(&f.primary);
		OK(mbj_store_open(f.primary_dir, &options, &f.primary, err));
		ck_assert(mbj_store_recovery_get(f.primary)->is_rebuilt);
		ck_assert_uint_eq(mbj_store_end(f.primary).lsn.v, 8 + i);
		skip_append(&f, "alice", "later\n");
	}
	snapshot_make(f.primary);
	reign_follow(&f);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: where the fault was the old state's alone nobody is named, as nothing
 * was given up on the way to the primary.  Method: a replica that is bent.
 */
START_TEST(skip_reign_not_bent)
{
	struct fixture f;

	skip_begin(&f, NULL);
	(void)skip_give_up(&f, "alice", 3);
	ck_assert_uint_eq(skip_reign_begin(&f).accounts_parked, 0);
	ck_assert_uint_eq(mbj_store_identity(f.primary)->anchor.first.v, 1);
	fixture_end(&f);
}
END_TEST

/* bob has as many messages as before, and alice this many. */
static void reign_has(struct fixture *f, uint64_t count)
{
	struct mbj_mailbox m;

	ck_assert_uint_eq(skip_inbox(f->primary, "alice", &m).message_count,
			  count);
	ck_assert_uint_eq(skip_inbox(f->primary, "bob", &m).message_count, 1);
}

/*
 * Goal: an account that was made again on the replica is on the new primary
 * what it is there, whatever a backup had of it before, and the group that no
 * state takes is behind its journal's beginning.  Method: a backup of before
 * the group was given up, of after, and none; the state made anew, with and
 * without the snapshots of before; a replica of the new primary.
 */
START_TEST(skip_reign_healed)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct mbj_backup_options backup = MBJ_BACKUP_OPTIONS_INIT;
	struct mbj_backup_result result;
	char dir[MBJ_PATH_TEXT_MAX];
	struct fixture f;

	skip_mail_begin(&f);
	skip_append(&f, "alice", "two\n");
	(void)fixture_replay(&f);
	OK(mbj_path_join(dir, f.tmpdir, "b", err));
	if (_i == 0)
		OK(mbj_backup(f.replica_dir, dir, &backup, &result, err));
	if (_i > 0)
		(void)skip_give_up(&f, "alice", 5);
	if (_i == 1)
		OK(mbj_backup(f.replica_dir, dir, &backup, &result, err));
	snapshot_make(f.primary);
	(void)resync(&f, "alice");
	skip_append(&f, "alice", "three\n");
	(void)fixture_replay(&f);
	snapshot_make(f.replica);
	ck_assert_uint_eq(skip_reign_begin(&f).accounts_parked, 1);
	reign_has(&f, 3);
	ck_assert_uint_eq(mbj_store_identity(f.primary)->anchor.first.v, 7);
	options.is_rebuild_forced = true;
	mbj_store_close(&f.primary);
	OK(mbj_store_open(f.primary_dir, &options, &f.primary, err));
	reign_has(&f, 3);
	skip_append(&f, "alice", "four\n");
	snapshot_make(f.primary);
	reign_follow(&f);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a snapshot of before what was given up makes nobody again: a backup
 * stays what it is where its source's record is lost.  Method: a replica whose
 * record is another one's; two backups, and a group for the account.
 */
START_TEST(skip_reign_stale)
{
	struct mbj_skip other = {.account = fixture_id(88),
				 .lsn = {4},
				 .epoch = {1}};
	struct mbj_backup_options options = MBJ_BACKUP_OPTIONS_INIT;
	struct mbj_backup_result result;
	char backup[MBJ_PATH_TEXT_MAX];
	char path[MBJ_PATH_TEXT_MAX];
	struct fixture f;

	skip_mail_begin(&f);
	snapshot_make(f.replica);
	skip_append(&f, "alice", "two\n");
	skip_metadata(&f, MBJ_METADATA_QUOTA, "", 10);
	(void)fixture_replay(&f);
	(void)skip_give_up(&f, "alice", 5);
	OK(mbj_path_join(backup, f.tmpdir, "b", err));
	OK(mbj_path_join(path, f.replica_dir, "skips", err));
	for (int i = 0; i < 3; i++) {
		OK(mbj_backup(f.replica_dir, backup, &options, &result, err));
		ck_assert_uint_eq(result.accounts_parked, 0);
		ck_assert_uint_eq(result.accounts_skipped, 1);
		ck_assert(i > 0 || unlink(path) == 0);
		OK(mbj_skips_add(f.replica, other, err));
	}
	fixture_end(&f);
}
END_TEST

TCase *test_skip_reign_case(void)
{
	TCase *tcase = tcase_create("skip_reign");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, skip_reign);
	tcase_add_test(tcase, skip_reign_again);
	tcase_add_test(tcase, skip_reign_rebuilt);
	tcase_add_loop_test(tcase, skip_reign_stopped, 0, 3);
	tcase_add_test(tcase, skip_reign_made_good);
	tcase_add_test(tcase, skip_reign_not_bent);
	tcase_add_loop_test(tcase, skip_reign_stopped_later, 0, 4);
	tcase_add_loop_test(tcase, skip_reign_healed, 0, 3);
	tcase_add_test(tcase, skip_reign_stale);
	return tcase;
}
