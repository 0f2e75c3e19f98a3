/*
 * A primary made of a backup in which accounts are set aside: what they are
 * there is what they are from then on, for it and for all that follow it.
 *
 * What sets alice aside here is a ghost in the primary itself: what it records
 * of her fits no state that is made from its journal.
 */
#include <string.h>

#include <mbj/backup.h>
#include <mbj/trim.h>

#include "promote.h"
#include "resync_lab.h"
#include "store_impl.h"

enum {
	END = 5, /* groups: two imports, alice twice, bob in between */
	/* More than one group names. */
	MANY = MBJ_GROUP_ACCOUNTS_MAX + 3,
};

struct lab {
	struct fixture old; /* as long as it lives */
	struct fixture new; /* the restored store, and who follows it */
	char backup[MBJ_PATH_TEXT_MAX];
	char *dir; /* of the restored store */
	struct mbj_backup_result result;
	struct mbj_error err;
};

static enum mbj_rc backup(struct lab *lab)
{
	struct mbj_backup_options options = MBJ_BACKUP_OPTIONS_INIT;

	return mbj_backup(lab->old.primary_dir, lab->backup, &options,
			  &lab->result, &lab->err);
}

static enum mbj_rc restore_as(struct lab *lab, enum mbj_store_role role,
			      uint64_t until)
{
	struct mbj_restore_options options = MBJ_RESTORE_OPTIONS_INIT;

	options.role = role;
	options.until.v = until;
	return mbj_restore(lab->backup, lab->dir, &options, &lab->result,
			   &lab->err);
}

static enum mbj_rc restore(struct lab *lab)
{
	return restore_as(lab, MBJ_STORE_PRIMARY, 0);
}

static void lab_begin_with(struct lab *lab, bool is_bent)
{
	struct fixture bent;

	memset(lab, 0, sizeof(*lab));
	fixture_begin(&lab->old);
	bent = lab->old;
	bent.replica = lab->old.primary;
	fixture_import(&lab->old, "alice", 4);
	fixture_import(&lab->old, "bob", 4);
	if (is_bent)
		aside_ghost(&bent, "alice", true);
	fixture_rename(&lab->old, "alice", "m2", "gone");
	fixture_rename(&lab->old, "bob", "m2", "kept");
	fixture_rename(&lab->old, "alice", "m3", "gone as well");
	OK(mbj_path_join(lab->backup, lab->old.tmpdir, "b", err));
	lab->new.tmpdir = lab->old.tmpdir;
	lab->dir = lab->new.primary_dir;
	OK(mbj_path_join(lab->dir, lab->old.tmpdir, "new", err));
	ck_assert_int_eq(backup(lab), MBJ_OK);
	ck_assert_uint_eq(lab->result.accounts_parked, is_bent);
}

static void lab_begin(struct lab *lab)
{
	lab_begin_with(lab, true);
}

static void lab_end(struct lab *lab)
{
	mbj_store_close(&lab->new.primary);
	mbj_store_close(&lab->new.replica);
	fixture_end(&lab->old);
}

/* Of the restored store, by that name. */
static void part_remove(const struct lab *lab, const char *name)
{
	char path[MBJ_PATH_TEXT_MAX];

	OK(mbj_path_join(path, lab->dir, name, err));
	OK(mbj_state_destroy(mbj_sys_posix(), path, err));
}

static void new_open(struct lab *lab, bool is_rebuilt)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;

	options.is_rebuild_forced = is_rebuilt;
	mbj_store_close(&lab->new.primary);
	OK(mbj_replica_open(lab->dir, &options, &lab->new.primary, err));
	ck_assert_int_eq(mbj_store_recovery_get(lab->new.primary)->is_rebuilt,
			 is_rebuilt);
}

/* An opening that makes the state anew, since it is lost. */
static void new_open_lost(struct lab *lab)
{
	mbj_store_close(&lab->new.primary);
	part_remove(lab, "state");
	OK(mbj_replica_open(lab->dir, NULL, &lab->new.primary, err));
	ck_assert(mbj_store_recovery_get(lab->new.primary)->is_rebuilt);
}

static void name_is(struct mbj_store *store, const char *account,
		    uint8_t mailbox, const char *name)
{
	char text[MBJ_NAME_MAX + 1];

	fixture_name(store, account, fixture_id(mailbox), text);
	ck_assert_str_eq(text, name);
}

/* Alice as she was when her first group failed, bob as he is. */
static void new_is_right(struct lab *lab, uint64_t groups)
{
	const struct mbj_identity *id;
	struct mbj_txn *txn = NULL;
	struct mbj_parked parked;

	id = mbj_store_identity(lab->new.primary);
	ck_assert_int_eq(id->role, MBJ_STORE_PRIMARY);
	ck_assert_uint_eq(id->epoch.v, 2);
	ck_assert_uint_eq(id->anchor.first.v, END + 1);
	ck_assert_uint_eq(mbj_store_end(lab->new.primary).lsn.v, END + groups);
	name_is(lab->new.primary, "alice", 2, "m2");
	name_is(lab->new.primary, "alice", 3, "m3");
	name_is(lab->new.primary, "bob", 2, "kept");
	OK(mbj_store_read(lab->new.primary, &txn, err));
	ck_assert_int_eq(mbj_txn_parked_get(txn,
					    fixture_account(lab->new.primary,
							    "alice"),
					    &parked, NULL),
			 MBJ_ENOTFOUND);
	mbj_txn_abort(&txn);
}

/*
 * Goal: a primary with an account that was set aside can be made from its
 * journal and its snapshot, at any time.  Method: its state is given up and is
 * lost, before and after it was edited; a snapshot is lost, and the state
 * stays.
 */
START_TEST(state_made_anew)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	char path[MBJ_PATH_TEXT_MAX];
	struct lab lab;

	lab_begin(&lab);
	ck_assert_int_eq(restore(&lab), MBJ_OK);
	ck_assert_uint_eq(lab.result.accounts_parked, 1);
	ck_assert_uint_eq(lab.result.end.v, END);
	new_open(&lab, false);
	new_is_right(&lab, 1);
	new_open(&lab, true);
	new_is_right(&lab, 1);
	new_open_lost(&lab);
	fixture_rename(&lab.new, "alice", "m4", "later");
	new_open(&lab, true);
	name_is(lab.new.primary, "alice", 4, "later");
	new_open_lost(&lab);
	name_is(lab.new.primary, "alice", 4, "later");
	new_is_right(&lab, 2);
	/* Nothing before it is taken for a beginning. */
	mbj_store_close(&lab.new.primary);
	OK(mbj_snapshot_path(path, lab.dir, (struct mbj_lsn){END + 1}, err));
	OK(mbj_file_remove(mbj_sys_posix(), path, err));
	options.is_rebuild_forced = true;
	ck_assert_int_eq(mbj_replica_open(lab.dir, &options, &lab.new.primary,
					  &lab.err),
			 MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(lab.err.message, "stays as it is"));
	new_open(&lab, false);
	new_is_right(&lab, 2);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: that snapshot stays as long as nothing newer stands in its place.
 * Method: snapshots, and trims, until it is gone; the state made anew.
 */
START_TEST(snapshot_stays)
{
	struct mbj_trim_options options = MBJ_TRIM_OPTIONS_INIT;
	struct mbj_trim_result trimmed;
	char path[MBJ_PATH_TEXT_MAX];
	struct lab lab;

	lab_begin(&lab);
	ck_assert_int_eq(restore(&lab), MBJ_OK);
	OK(mbj_snapshot_path(path, lab.dir, (struct mbj_lsn){END + 1}, err));
	options.keep_us = 0;
	options.keep_requests = 0;
	for (uint64_t i = 1; i <= 3; i++) {
		new_open(&lab, false);
		ck_assert_int_eq(mbj_path_exists(mbj_sys_posix(), path), i < 3);
		fixture_rename(&lab.new, "bob", i % 2 ? "kept" : "moved",
			       i % 2 ? "moved" : "kept");
		(void)snapshot_make(lab.new.primary);
		OK(mbj_store_trim(lab.new.primary, &options, &trimmed, err));
		ck_assert_uint_eq(trimmed.first.v, END + 1);
		new_open_lost(&lab);
		name_is(lab.new.primary, "alice", 2, "m2");
	}
	lab_end(&lab);
}
END_TEST

/*
 * Goal: whoever follows has the account as the new primary has it.  Method: a
 * replica of the old one, which has the account otherwise; one that set it
 * aside, too; one from nothing; each with its state made anew.
 */
START_TEST(followed)
{
	struct mbj_backup_options options = MBJ_BACKUP_OPTIONS_INIT;
	struct mbj_backup_mark mark;
	struct mbj_lsn lsn;
	struct lab lab;

	lab_begin(&lab);
	OK(mbj_path_join(lab.new.replica_dir, lab.old.tmpdir, "follows", err));
	(void)snapshot_make(lab.old.primary);
	OK(mbj_replica_init(lab.new.replica_dir, lab.old.primary_dir, NULL,
			    &lsn, err));
	ck_assert_int_eq(restore(&lab), MBJ_OK);
	new_open(&lab, false);
	OK(mbj_replica_open(lab.new.replica_dir, NULL, &lab.new.replica, err));
	name_is(lab.new.replica, "alice", 2, "gone");
	ck_assert_uint_eq(fixture_replay(&lab.new).accounts_parked, 1);
	(void)resync(&lab.new, "alice");
	aside_equal(&lab.new);
	fixture_rename(&lab.new, "alice", "m4", "later");
	ck_assert_uint_eq(fixture_replay(&lab.new).accounts_parked, 0);
	rebuild(&lab.new);
	aside_equal(&lab.new);
	/* The old primary's replica, of which alice is aside. */
	mbj_store_close(&lab.new.replica);
	ck_assert_uint_eq(fixture_replay(&lab.old).accounts_parked, 1);
	lab.new.replica = lab.old.replica;
	lab.old.replica = NULL;
	memcpy(lab.new.replica_dir, lab.old.replica_dir,
	       sizeof(lab.new.replica_dir));
	ck_assert_uint_eq(fixture_replay(&lab.new).accounts_parked, 1);
	(void)resync(&lab.new, "alice");
	aside_equal(&lab.new);
	/* And what begins with the new one. */
	OK(mbj_path_join(lab.backup, lab.old.tmpdir, "b2", err));
	OK(mbj_backup(lab.dir, lab.backup, &options, &lab.result, err));
	ck_assert_uint_eq(lab.result.accounts_parked, 0);
	OK(mbj_backup_mark_load(mbj_sys_posix(), lab.backup, &mark, err));
	ck_assert_uint_eq(mark.epoch.v, 2);
	mbj_store_close(&lab.new.replica);
	OK(mbj_replica_open(lab.backup, NULL, &lab.new.replica, err));
	aside_equal(&lab.new);
	lab_end(&lab);
}
END_TEST

/* ------------------------------------------------------------------ stopped */

/* All of the backup is there, and nobody has said what it is to be. */
static void target_open(struct lab *lab, bool is_first)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct mbj_replay_options all = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;

	options.is_restoring = true;
	if (is_first)
		OK(mbj_store_init(lab->dir, MBJ_STORE_REPLICA, &options, err));
	OK(mbj_replica_open(lab->dir, &options, &lab->new.primary, err));
	if (is_first)
		OK(mbj_replay_journal(lab->new.primary, lab->backup, &all,
				      &result, err));
}

/* Stopped when its epoch was its own. */
static void stopped_first(struct lab *lab)
{
	target_open(lab, true);
	OK(mbj_store_reign_begin(lab->new.primary, err));
	mbj_store_close(&lab->new.primary);
}

/* Stopped right before it was a primary. */
static void stopped_last(struct lab *lab)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf superblock;

	stopped_first(lab);
	OK(mbj_path_join(path, lab->dir, "mbj.store", err));
	mbj_buf_init(&superblock, 4096);
	OK(mbj_file_load(mbj_sys_posix(), path, 4096, &superblock, err));
	ck_assert_int_eq(restore(lab), MBJ_OK);
	OK(mbj_file_replace(mbj_sys_posix(), lab->dir, "mbj.store",
			    mbj_buf_view(&superblock), err));
	mbj_buf_done(&superblock);
}

/*
 * Goal: stopped anywhere it is no store yet, and the same again makes it one.
 * Method: before and behind its groups; with the state lost then, and with the
 * snapshot, too, which has the account set aside once more.
 */
START_TEST(stopped)
{
	struct lab lab;

	lab_begin(&lab);
	for (int i = 0; i < 4; i++) {
		lab.dir[strlen(lab.dir) - 1] = (char)('a' + i);
		if (i == 0)
			stopped_first(&lab);
		else
			stopped_last(&lab);
		if (i > 1)
			part_remove(&lab, "state");
		if (i > 2)
			part_remove(&lab, "snapshots");
		ck_assert_int_eq(mbj_store_open(lab.dir, NULL, &lab.new.primary,
						&lab.err),
				 MBJ_EFENCED);
		ck_assert_int_eq(restore(&lab), MBJ_OK);
		ck_assert_uint_eq(lab.result.accounts_parked, 1);
		ck_assert_uint_eq(lab.result.end.v, END);
		new_open(&lab, false);
		new_is_right(&lab, i == 3 ? 2 : 1);
		new_open(&lab, true);
		new_is_right(&lab, i == 3 ? 2 : 1);
		mbj_store_close(&lab.new.primary);
	}
	lab_end(&lab);
}
END_TEST

static void is_fenced(struct lab *lab, enum mbj_store_role role, uint64_t until,
		      const char *words)
{
	enum mbj_rc rc = restore_as(lab, role, until);

	ck_assert_msg(rc == MBJ_EFENCED && strstr(lab->err.message, words),
		      "%s", lab->err.message);
}

/*
 * Goal: what was begun otherwise is not gone on with.  Method: as a replica; of
 * an earlier group, a later one, the one behind its own; with a mark that goes.
 */
START_TEST(begun_otherwise)
{
	struct lab lab;

	lab_begin(&lab);
	stopped_last(&lab);
	is_fenced(&lab, MBJ_STORE_REPLICA, 0, "go on with that");
	is_fenced(&lab, MBJ_STORE_PRIMARY, END - 1, "begin again");
	for (unsigned i = 0; i < 2; i++) {
		fixture_rename(&lab.old, "bob", i == 0 ? "kept" : "more",
			       i == 0 ? "more" : "kept");
		ck_assert_int_eq(backup(&lab), MBJ_OK);
		if (i == 1)
			target_open(&lab, false);
		if (i == 1)
			aside_by_hand(
				&(struct fixture){.replica = lab.new.primary},
				1, fixture_id(9), END);
		mbj_store_close(&lab.new.primary);
		is_fenced(&lab, MBJ_STORE_PRIMARY, 0, "begin again");
	}
	ck_assert_int_eq(restore_as(&lab, MBJ_STORE_PRIMARY, END), MBJ_OK);
	ck_assert_uint_eq(lab.result.accounts_parked, 1);
	new_open(&lab, false);
	new_is_right(&lab, 1);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: an attempt is gone on with from its backup, and for whom it was begun.
 * Method: a backup of another store; one with another group of that number, as
 * two primaries write; the mark taken away.
 */
START_TEST(begun_of_another)
{
	struct mbj_txn *txn = NULL;
	struct lab lab, other;

	lab_begin(&lab);
	lab_begin(&other);
	stopped_last(&lab);
	other.dir = lab.dir;
	is_fenced(&other, MBJ_STORE_PRIMARY, 0, "another store");
	lab_end(&other);
	other = lab;
	other.dir = other.old.primary_dir;
	OK(mbj_path_join(other.dir, lab.old.tmpdir, "twin", err));
	ck_assert_int_eq(restore_as(&other, MBJ_STORE_PRIMARY, END - 1),
			 MBJ_OK);
	OK(mbj_path_join(other.backup, lab.old.tmpdir, "b2", err));
	ck_assert_int_eq(backup(&other), MBJ_OK);
	other.dir = lab.dir;
	is_fenced(&other, MBJ_STORE_PRIMARY, 0, "another group 5");
	lab.dir[strlen(lab.dir) - 1] = 'a';
	stopped_first(&lab);
	target_open(&lab, false);
	OK(mbj_txn_begin(lab.new.primary->state, &txn, err));
	OK(mbj_txn_parked_clear(txn, fixture_account(lab.new.primary, "alice"),
				err));
	OK(mbj_txn_commit(&txn, err));
	mbj_store_close(&lab.new.primary);
	is_fenced(&lab, MBJ_STORE_PRIMARY, 0, "knows of none");
	is_fenced(&lab, MBJ_STORE_PRIMARY, 0, "knows of none");
	lab_end(&lab);
}
END_TEST

/*
 * Goal: the same of a store that began with a snapshot, which had the fault.
 * Method: a replica that is bent, one that is seeded from it, and its backup.
 */
START_TEST(seeded)
{
	char middle[MBJ_PATH_TEXT_MAX];
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_backup_options taken = MBJ_BACKUP_OPTIONS_INIT;
	struct mbj_replay_result result;
	struct mbj_store *store = NULL;
	struct mbj_lsn lsn;
	struct lab lab;

	lab_begin(&lab);
	options.until.v = 2;
	OK(mbj_replay_journal(lab.old.replica, lab.old.primary_dir, &options,
			      &result, err));
	aside_ghost(&lab.old, "bob", true);
	(void)snapshot_make(lab.old.replica);
	OK(mbj_path_join(middle, lab.old.tmpdir, "seeded", err));
	OK(mbj_replica_init(middle, lab.old.replica_dir, NULL, &lsn, err));
	OK(mbj_replica_open(middle, NULL, &store, err));
	options.until.v = 0;
	OK(mbj_replay_journal(store, lab.old.primary_dir, &options, &result,
			      err));
	ck_assert_uint_eq(result.accounts_parked, 2);
	mbj_store_close(&store);
	OK(mbj_path_join(lab.backup, lab.old.tmpdir, "b2", err));
	OK(mbj_backup(middle, lab.backup, &taken, &lab.result, err));
	ck_assert_int_eq(restore(&lab), MBJ_OK);
	ck_assert_uint_eq(lab.result.accounts_parked, 2);
	new_open_lost(&lab);
	name_is(lab.new.primary, "bob", 2, "m2");
	name_is(lab.new.primary, "alice", 2, "m2");
	lab_end(&lab);
}
END_TEST

/* ------------------------------------------------------------ who is aside */

static struct mbj_id id_of(unsigned number)
{
	struct mbj_id id = fixture_id(1);

	id.b[0] = (uint8_t)(1 + number / 256);
	id.b[1] = (uint8_t)number;
	return id;
}

static void park_by_hand(struct mbj_store *store, struct mbj_id id)
{
	const struct mbj_parked parked = {.account = id,
					  .first = {END},
					  .last = {END},
					  .count = 1,
					  .reason = mbj_bytes_str("by hand")};
	struct mbj_txn *txn = NULL;

	OK(mbj_txn_begin(store->state, &txn, err));
	OK(mbj_txn_parked_set(txn, &parked, err));
	OK(mbj_txn_commit(&txn, err));
}

static uint64_t deads(struct mbj_store *store)
{
	struct mbj_txn *txn = NULL;
	uint64_t count = 0;
	bool is_dead;

	OK(mbj_store_read(store, &txn, err));
	for (unsigned i = 0; i < MANY; i++) {
		OK(mbj_txn_account_is_dead(txn, id_of(i), &is_dead, err));
		count += is_dead;
	}
	mbj_txn_abort(&txn);
	return count;
}

/*
 * Goal: an account that is not here, since what begins it was set aside, is
 * nowhere from then on; one that was deleted stays so; any number of them.
 * Method: more than a group names, by hand; the state made anew, a replica that
 * takes the groups.
 */
START_TEST(nobody_there)
{
	struct mbj_log_end end;
	struct mbj_id carol;
	uint64_t accounts;
	struct lab lab;

	lab_begin_with(&lab, false);
	fixture_import(&lab.old, "carol", 2);
	carol = fixture_account(lab.old.primary, "carol");
	aside_delete(&lab.old, "carol");
	ck_assert_int_eq(backup(&lab), MBJ_OK);
	target_open(&lab, true);
	for (unsigned i = 0; i < MANY; i++)
		park_by_hand(lab.new.primary, id_of(i));
	park_by_hand(lab.new.primary, carol);
	end = mbj_store_end(lab.new.primary);
	OK(promote_run(lab.new.primary, &end, &(struct promote_lost){NULL, 0},
		       &accounts, err));
	ck_assert_uint_eq(accounts, MANY + 1);
	for (int i = 0; i < 3; i++) {
		new_open(&lab, i > 0);
		ck_assert_uint_eq(mbj_store_end(lab.new.primary).lsn.v,
				  end.lsn.v + 2);
		ck_assert_uint_eq(deads(lab.new.primary), MANY);
	}
	(void)fixture_replay(&lab.old);
	lab.new.replica = lab.old.replica;
	lab.old.replica = NULL;
	ck_assert_uint_eq(fixture_replay(&lab.new).accounts_parked, 0);
	ck_assert_uint_eq(deads(lab.new.replica), MANY);
	aside_equal(&lab.new);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: what cannot be written down makes no primary, and is said.  Method: an
 * account that is not here, whose id is another one's name.
 */
START_TEST(refused_by_state)
{
	char name[MBJ_ID_TEXT_SIZE];
	struct mbj_log_end end;
	uint64_t accounts;
	struct lab lab;

	lab_begin_with(&lab, false);
	mbj_id_print(id_of(0), name);
	fixture_import(&lab.old, name, 1);
	ck_assert_int_eq(backup(&lab), MBJ_OK);
	target_open(&lab, true);
	park_by_hand(lab.new.primary, id_of(0));
	end = mbj_store_end(lab.new.primary);
	ck_assert_int_eq(promote_run(lab.new.primary, &end,
				     &(struct promote_lost){NULL, 0}, &accounts,
				     &lab.err),
			 MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(lab.err.message, "set aside"));
	ck_assert_ptr_nonnull(strstr(lab.err.message, "is taken"));
	ck_assert_uint_eq(mbj_store_end(lab.new.primary).lsn.v, end.lsn.v);
	lab_end(&lab);
}
END_TEST

TCase *test_promote_case(void)
{
	TCase *tc = tcase_create("promote");

	tcase_add_test(tc, state_made_anew);
	tcase_add_test(tc, snapshot_stays);
	tcase_add_test(tc, followed);
	tcase_add_test(tc, stopped);
	tcase_add_test(tc, begun_otherwise);
	tcase_add_test(tc, begun_of_another);
	tcase_add_test(tc, seeded);
	tcase_add_test(tc, nobody_there);
	tcase_add_test(tc, refused_by_state);
	return tc;
}
