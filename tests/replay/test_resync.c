/*
 * One account made again from a snapshot of its source: whatever it had become,
 * alone, and so that a state that is made anew has it, too.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "read_fault.h"
#include "resync_lab.h"
#include "state_priv.h"
#include "store_impl.h"

/*
 * Goal: an account that diverged is made again what its source has, and nobody
 * else is touched; a state that is made anew has it so.  Method: two accounts
 * aside, one resynced, from a snapshot of all groups, and of the first ones.
 */
START_TEST(resync_one)
{
	struct mbj_resync_result result;
	struct fixture f;

	if (_i == 0) {
		aside_begin(&f, true, NULL);
		ck_assert_uint_eq(snapshot_make(f.primary), 8);
	} else {
		fixture_begin(&f);
		fixture_import(&f, "alice", 4);
		fixture_import(&f, "bob", 4);
		ck_assert_uint_eq(snapshot_make(f.primary), 2);
		aside_rename(&f, true);
	}
	result = resync(&f, "alice");
	ck_assert_uint_eq(result.snapshot.v, _i == 0 ? 8 : 2);
	ck_assert_uint_eq(result.groups, _i == 0 ? 0 : 3);
	ck_assert(!result.is_aside);
	aside_waits(&f, "alice", 0, 0, "");
	aside_waits(&f, "bob", 3, 4, "group 4");
	fixture_rename(&f, "alice", "a", "z");
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 0);
	resync(&f, "bob");
	aside_equal(&f);
	rebuild(&f);
	ck_assert_uint_gt(mbj_store_recovery_get(f.replica)->snapshot.v, 0);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: what is the journal's own fault is healed as well, and stays so when
 * the state is made anew.  Method: a primary that was bent writes groups that
 * no replica takes; a snapshot of what it has; more groups.
 */
START_TEST(resync_bent_primary)
{
	struct fixture f;

	fixture_begin_two(&f);
	(void)fixture_replay(&f);
	fixture_diverge_primary(&f, "alice", fixture_id(2), "elsewhere");
	fixture_rename(&f, "alice", "elsewhere", "a");
	fixture_rename(&f, "bob", "m2", "b");
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 1);
	rebuild(&f);
	aside_waits(&f, "alice", 1, 3, "group 3");
	snapshot_make(f.primary);
	fixture_rename(&f, "alice", "m3", "c");
	ck_assert(!resync(&f, "alice").is_aside);
	aside_equal(&f);
	rebuild(&f);
	aside_equal(&f);
	fixture_rename(&f, "alice", "c", "d");
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 0);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a snapshot of before the fault does not hide it: the account waits from
 * there, in order.  Method: as before, with the snapshot before the bend.
 */
START_TEST(resync_too_old)
{
	struct mbj_resync_result result;
	struct fixture f;

	fixture_begin(&f);
	fixture_import(&f, "alice", 4);
	(void)fixture_replay(&f);
	snapshot_make(f.primary);
	fixture_diverge_primary(&f, "alice", fixture_id(2), "elsewhere");
	fixture_rename(&f, "alice", "elsewhere", "a");
	fixture_rename(&f, "alice", "m3", "c");
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 2);
	result = resync(&f, "alice");
	ck_assert(result.is_aside);
	aside_waits(&f, "alice", 2, 2, "group 2");
	fixture_end(&f);
}
END_TEST

/*
 * Goal: an account that the source has no more, or has only since the snapshot,
 * becomes that.  Method: one deleted before the snapshot, one after it, one
 * made after it; each aside on the replica.
 */
START_TEST(resync_comes_and_goes)
{
	static const char *const names[] = {"alice", "bob", "carol"};
	struct mbj_resync_result result;
	struct mbj_id ids[3];
	struct fixture f;

	fixture_begin_two(&f);
	(void)fixture_replay(&f);
	aside_ghost(&f, "alice", true);
	aside_ghost(&f, "bob", true);
	ids[0] = fixture_account(f.primary, "alice");
	ids[1] = fixture_account(f.primary, "bob");
	/* A deletion alone asks for nothing that they lack. */
	fixture_rename(&f, "alice", "m2", "a");
	fixture_rename(&f, "bob", "m2", "b");
	aside_delete(&f, "alice");
	snapshot_make(f.primary);
	fixture_import(&f, "carol", 2);
	ids[2] = fixture_account(f.primary, "carol");
	aside_delete(&f, "bob");
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 4);
	for (size_t i = 0; i < 3; i++) {
		OK(resync_try(&f, ids[i], &result, err));
		ck_assert_msg(!result.is_aside, "%s", names[i]);
	}
	aside_equal(&f);
	rebuild(&f);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: nothing is changed for a snapshot that is not what it should be.
 * Method: none, one that is damaged, one of another store, one that denies the
 * journal, one's own newer one, another account with its name; nobody known.
 */
START_TEST(resync_refused)
{
	struct mbj_resync_result result;
	char from[MBJ_PATH_TEXT_MAX], to[MBJ_PATH_TEXT_MAX];
	struct mbj_error why;
	struct mbj_buf bytes;
	struct fixture f, g;

	aside_begin(&f, false, NULL);
	refused(&f, "alice", MBJ_EFENCED, "mbj snapshot");
	snapshot_make(f.primary);
	OK(mbj_snapshot_path(to, f.primary_dir, mbj_store_end(f.primary).lsn,
			     err));
	ck_assert_int_eq(truncate(to, 1000), 0);
	refused(&f, "alice", MBJ_ECORRUPT, "is good");
	/* Of a store that has as many groups. */
	fixture_begin(&g);
	fixture_import(&g, "alice", 4);
	for (int i = 0; i < 7; i++)
		fixture_rename(&g, "alice", i % 2 ? "x" : "m2",
			       i % 2 ? "m2" : "x");
	snapshot_make(g.primary);
	OK(mbj_snapshot_path(from, g.primary_dir, mbj_store_end(g.primary).lsn,
			     err));
	mbj_buf_init(&bytes, 1 << 20);
	OK(mbj_file_load(mbj_sys_posix(), from, 1 << 20, &bytes, err));
	ck_assert_int_eq(unlink(to), 0);
	OK(mbj_path_join(from, f.primary_dir, "snapshots", err));
	OK(mbj_file_replace(mbj_sys_posix(), from, to + strlen(from) + 1,
			    mbj_buf_view(&bytes), err));
	refused(&f, "alice", MBJ_ECORRUPT, "another store's");
	/* Under another group's name. */
	ck_assert_int_eq(unlink(to), 0);
	snapshot_make(f.primary);
	OK(mbj_snapshot_path(from, f.primary_dir, (struct mbj_lsn){7}, err));
	ck_assert_int_eq(rename(to, from), 0);
	refused(&f, "alice", MBJ_ECORRUPT, "another group's");
	ck_assert_int_eq(resync_try(&f, fixture_id(123), &result, &why),
			 MBJ_ECORRUPT);
	aside_waits(&f, "alice", 3, 3, "group 3");
	mbj_buf_done(&bytes);
	fixture_end(&g);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a state that is made anew must not begin with what the account was: a
 * snapshot that is older than the replica's own is refused.  Method: that; a
 * newer one; nobody of that id; a primary; a replica without a lineage.
 */
START_TEST(resync_order)
{
	struct mbj_resync_result result;
	struct mbj_error why;
	struct fixture f;

	fixture_begin(&f);
	ck_assert_int_eq(resync_try(&f, fixture_id(5), &result, &why),
			 MBJ_EFENCED);
	fixture_import(&f, "alice", 4);
	fixture_import(&f, "bob", 4);
	snapshot_make(f.primary);
	(void)fixture_replay(&f);
	aside_ghost(&f, "alice", true);
	fixture_rename(&f, "bob", "m2", "b");
	(void)fixture_replay(&f);
	snapshot_make(f.replica);
	fixture_rename(&f, "alice", "m2", "a");
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 1);
	refused(&f, "alice", MBJ_EFENCED, "from 3 to 4");
	snapshot_make(f.primary);
	ck_assert_int_eq(resync_try(&f, fixture_id(5), &result, &why),
			 MBJ_ENOTFOUND);
	newest_is(&f, 3);
	ck_assert_int_eq(mbj_quarantine_resync(f.primary,
					       fixture_account(f.primary,
							       "bob"),
					       f.replica_dir, &result, &why),
			 MBJ_EFENCED);
	(void)resync(&f, "alice");
	aside_equal(&f);
	rebuild(&f);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a name that another account has meanwhile is said, nothing is changed,
 * and a newer snapshot helps.  Method: that.
 */
START_TEST(resync_name_taken)
{
	struct fixture f;

	fixture_begin(&f);
	fixture_import(&f, "alice", 4);
	snapshot_make(f.primary);
	account_rename(&f, "alice", "ally");
	fixture_import(&f, "alice", 2);
	(void)fixture_replay(&f);
	aside_ghost(&f, "ally", true);
	fixture_rename(&f, "ally", "m2", "a");
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 1);
	refused(&f, "ally", MBJ_ECONFLICT, "another account");
	aside_waits(&f, "ally", 1, 4, "group 4");
	snapshot_make(f.primary);
	(void)resync(&f, "ally");
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

static void vanished_fill(struct fixture *f, struct mbj_id account,
			  unsigned count)
{
	uint8_t key[MBJ_ID_SIZE * 2 + 4] = {0};
	const uint8_t value[1] = {0};
	struct mbj_txn *txn = NULL;

	memcpy(key, account.b, MBJ_ID_SIZE);
	OK(mbj_txn_begin(f->replica->state, &txn, err));
	for (unsigned i = 0; i < count; i++) {
		for (unsigned at = 0; at < 4; at++)
			key[sizeof(key) - 1 - at] = (uint8_t)(i >> (8 * at));
		OK(db_put(txn->txn, TABLE_VANISHED,
			  mbj_bytes_make(key, sizeof(key)),
			  mbj_bytes_make(value, sizeof(value)), err));
	}
	OK(mbj_txn_commit(&txn, err));
}

/*
 * Goal: an account that is too large for one transaction is refused, whatever
 * it has many of, and the whole state is made anew with it.  Method: one record
 * too many of expunged messages.
 */
START_TEST(resync_too_large)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct fixture f;

	options.state.engine = MBJ_STATE_MEMORY;
	aside_begin(&f, false, &options);
	snapshot_make(f.primary);
	vanished_fill(&f, fixture_account(f.primary, "alice"),
		      MBJ_RESYNC_RECORDS_MAX + 1);
	refused(&f, "alice", MBJ_ELIMIT, "fsck --rebuild");
	aside_waits(&f, "alice", 3, 3, "group 3");
	newest_is(&f, 8);
	rebuild(&f);
	ck_assert_uint_eq(mbj_store_recovery_get(f.replica)->snapshot.v, 8);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: whatever fails, the account is what it was, or waits from a group on,
 * and the same again ends well.  Method: each allocation, and each read of the
 * state, once and from then on.
 */
START_TEST(resync_faults)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct mbj_resync_result result;
	bool is_read = _i % 2 == 1;
	struct mbj_error why;
	unsigned failures = 0;
	struct fixture f;
	struct mbj_id id;
	enum mbj_rc rc;

	options.state.engine = MBJ_STATE_MEMORY;
	options.state.records_cached_max = 0;
	fixture_begin_with(&f, &options);
	fixture_import(&f, "alice", 4);
	fixture_import(&f, "bob", 4);
	snapshot_make(f.primary);
	aside_rename(&f, false);
	id = fixture_account(f.primary, "alice");
	for (uint64_t k = 1;; k += 1 + k / 64) {
		if (is_read)
			read_fault_begin(f.replica->state);
		if (is_read)
			read_fault_at(k, _i / 2 == 1);
		else if (_i / 2 == 0)
			test_alloc_fail_at(k);
		else
			test_alloc_fail_from(k);
		why.rc = MBJ_OK;
		rc = resync_try(&f, id, &result, &why);
		read_fault_at(0, false);
		test_alloc_fail_at(0);
		if (rc == MBJ_OK)
			break;
		/* A write that a batch's reaping makes is told of as EIO. */
		ck_assert_msg(rc == MBJ_EIO || (!is_read && rc == MBJ_ENOMEM),
			      "%s: %s", mbj_rc_name(rc), why.message);
		failures++;
		mbj_store_close(&f.replica);
		OK(mbj_replica_open(f.replica_dir, f.options, &f.replica, err));
	}
	ck_assert_uint_gt(failures, 10);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

TCase *test_resync_case(void)
{
	TCase *tcase = tcase_create("resync");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, resync_one, 0, 2);
	tcase_add_test(tcase, resync_bent_primary);
	tcase_add_test(tcase, resync_too_old);
	tcase_add_test(tcase, resync_comes_and_goes);
	tcase_add_test(tcase, resync_refused);
	tcase_add_test(tcase, resync_order);
	tcase_add_test(tcase, resync_name_taken);
	tcase_add_test(tcase, resync_too_large);
	tcase_add_loop_test(tcase, resync_faults, 0, 4);
	return tcase;
}
