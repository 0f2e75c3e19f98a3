/*
 * Accounts made again through a stream, both ends running: all that are aside,
 * by themselves, or one that is asked for.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mend_lab.h"

/* ------------------------------------------------------------------- good */

/*
 * Goal: accounts that stay aside are made again from the source's snapshot by
 * themselves, with what came behind it in its order, and stay so when the state
 * is made anew.  Method: two, a snapshot of all groups, and more groups.
 */
START_TEST(mend_all)
{
	struct meeting meeting;
	struct fixture f;

	aside_begin(&f, true, NULL);
	ck_assert_uint_eq(snapshot_make(f.primary), 8);
	fixture_rename(&f, "alice", "m3", "x");
	fixture_rename(&f, "bob", "b", "y");
	meeting = mend(&f);
	ck_assert_uint_eq(meeting.result.replay.accounts_resynced, 2);
	ck_assert_uint_eq(meeting.result.replay.accounts_parked, 0);
	aside_equal(&f);
	newest_is(&f, 8);
	rebuild(&f);
	aside_equal(&f);
	fixture_rename(&f, "alice", "x", "z");
	ck_assert_uint_eq(mend(&f).result.replay.accounts_resynced, 0);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: nothing is made again that nobody asked for.  Method: without mending;
 * then one of two accounts; one that is not aside, again.
 */
START_TEST(mend_one)
{
	struct encounter how = mend_all_of;
	struct meeting meeting;
	struct fixture f;

	how.is_mending = false;
	aside_begin(&f, true, NULL);
	snapshot_make(f.primary);
	ck_assert_int_eq(meet_with(&f, f.primary_dir, &how, &meeting), MBJ_OK);
	ck_assert_uint_eq(meeting.result.replay.accounts_parked, 2);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(one_meet(&f, "alice", ENOUGH, &meeting),
				 MBJ_OK);
		ck_assert_uint_eq(meeting.resync.snapshot.v, 8);
		ck_assert_uint_eq(meeting.resync.groups, 0);
		ck_assert(!meeting.resync.is_aside);
		aside_waits(&f, "alice", 0, 0, "");
		aside_waits(&f, "bob", 3, 4, "group 4");
	}
	ck_assert_int_eq(one_meet(&f, "bob", ENOUGH, &meeting), MBJ_OK);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: wherever the connection ends or its bytes are bent, an account is what
 * it was or made again; the next connection goes on with what came.  Method:
 * each place, in strides from a seed, of a snapshot of some size.
 */
enum { STRIDE = 211 };

START_TEST(mend_cut)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct encounter how = mend_all_of;
	struct meeting meeting;
	struct test_rng rng;
	struct fixture f;
	size_t whole = ENOUGH;

	test_rng_seed(&rng);
	options.state.engine = MBJ_STATE_MEMORY;
	for (size_t n = test_rng_below(&rng, STRIDE); n < whole; n += STRIDE) {
		enum mbj_rc rc;

		aside_begin(&f, true, &options);
		snapshot_make(f.primary);
		how.cut = _i == 0 ? n : ENOUGH;
		how.flip = _i == 0 ? ENOUGH : n;
		rc = meet_with(&f, f.primary_dir, &how, &meeting);
		if (rc == MBJ_OK)
			whole = meeting.said;
		else
			ck_assert_msg(meeting.result.is_lost, "%zu: %s", n,
				      meeting.why.message);
		meeting = mend(&f);
		ck_assert_uint_le(meeting.result.replay.accounts_resynced, 2);
		ck_assert_uint_eq(part_size(&f, 8), 0);
		aside_equal(&f);
		rebuild(&f);
		aside_equal(&f);
		fixture_end(&f);
	}
}
END_TEST

/*
 * Goal: a large snapshot comes in parts, and none of them twice.  Method: one
 * of some MiB; the connection breaks in the middle, then ends well.
 */
START_TEST(mend_large)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct encounter how = mend_all_of;
	struct meeting meeting;
	struct lab lab = {.options = options};
	struct fixture *f = &lab.f;
	uint64_t lsn;
	uint64_t here;

	options.state.engine = MBJ_STATE_MEMORY;
	fixture_begin_with(f, &options);
	fixture_import(f, "alice", 4);
	large_import(&lab);
	(void)fixture_replay(f);
	aside_ghost(f, "alice", true);
	fixture_rename(f, "alice", "m2", "a");
	(void)fixture_replay(f);
	lsn = snapshot_make(f->primary);
	how.cut = 3 << 19;
	ck_assert_int_eq(meet_with(f, f->primary_dir, &how, &meeting), MBJ_EIO);
	here = part_size(f, lsn);
	ck_assert_uint_ge(here, 1 << 20);
	meeting = mend(f);
	ck_assert_uint_gt(meeting.said, 1 << 20);
	ck_assert_uint_eq(meeting.result.replay.accounts_resynced, 1);
	ck_assert_uint_eq(part_size(f, lsn), 0);
	aside_equal(f);
	/* As much, had it come at once. */
	damage(f->replica_dir, lsn);
	how.cut = ENOUGH;
	how.is_mending = false;
	how.account = fixture_account(f->primary, "alice");
	here += meeting.said;
	ck_assert_int_eq(meet_with(f, f->primary_dir, &how, &meeting), MBJ_OK);
	ck_assert_uint_le(here, meeting.said + 2000);
	aside_equal(f);
	fixture_end(f);
}
END_TEST

/*
 * Goal: an account that nobody asked for does not go back to a snapshot that
 * is older than it, behind which not all can be carried out again.  Method:
 * another account takes the name that it had then; a passing fault.
 */
START_TEST(mend_no_way_back)
{
	struct meeting meeting;
	struct fixture f;

	resync_begin(&f);
	account_rename(&f, "bob", "x");
	account_rename(&f, "x", "y");
	fixture_import(&f, "x", 2);
	fixture_rename(&f, "y", "m3", "mail");
	(void)fixture_replay(&f);
	aside_ghost(&f, "y", true);
	fixture_rename(&f, "y", "m2", "b");
	(void)fixture_replay(&f);
	meeting = mend(&f);
	ck_assert_uint_eq(meeting.result.replay.accounts_resynced, 0);
	aside_waits(&f, "y", 1, 7, "group 7");
	aside_ghost(&f, "y", false);
	(void)aside_retry(&f, NULL);
	aside_waits(&f, "y", 0, 0, "");
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: one's own snapshot that is as new as the source's, or newer, is taken,
 * and no bytes come.  Method: both have that of one group; then only the
 * replica has one.
 */
START_TEST(mend_own)
{
	struct mbj_lsn *lsns = NULL;
	char path[MBJ_PATH_TEXT_MAX];
	struct meeting meeting;
	struct fixture f;
	size_t count;

	fixture_begin_two(&f);
	(void)fixture_replay(&f);
	ck_assert_uint_eq(snapshot_make(f.replica), 2);
	if (_i == 0)
		ck_assert_uint_eq(snapshot_make(f.primary), 2);
	aside_rename(&f, true);
	meeting = mend(&f);
	ck_assert_uint_eq(meeting.result.replay.accounts_resynced, 2);
	ck_assert_uint_lt(meeting.said, 600);
	aside_equal(&f);
	if (_i == 0) {
		/* Explicitly, and of a group that is damaged here. */
		damage(f.replica_dir, 2);
		aside_ghost(&f, "alice", true);
		ck_assert_int_eq(one_meet(&f, "alice", ENOUGH, &meeting),
				 MBJ_OK);
		ck_assert_uint_eq(meeting.resync.groups, 3);
		ck_assert_uint_gt(meeting.said, 600);
		aside_equal(&f);
		OK(mbj_snapshots_list(NULL, f.replica_dir, &lsns, &count, err));
		ck_assert_uint_eq(count, 1);
		mbj_free(lsns);
		OK(mbj_snapshot_path(path, f.replica_dir, (struct mbj_lsn){2},
				     err));
		rebuild(&f);
		aside_equal(&f);
	}
	fixture_end(&f);
}
END_TEST

/* -------------------------------------------------------------------- bad */

/*
 * Goal: a snapshot that cannot help is tried once, and again for who is set
 * aside later.  Method: a primary whose groups no replica takes, with a
 * snapshot of before; another account with a ghost.
 */
START_TEST(mend_tried)
{
	struct meeting meeting;
	struct fixture f;
	uint64_t snapshot;

	fixture_begin_two(&f);
	(void)fixture_replay(&f);
	snapshot = snapshot_make(f.primary);
	fixture_diverge_primary(&f, "alice", fixture_id(2), "elsewhere");
	fixture_rename(&f, "alice", "elsewhere", "a");
	meeting = mend(&f);
	/* It was made again, and waits again. */
	ck_assert_uint_eq(meeting.result.replay.accounts_resynced, 0);
	ck_assert_uint_eq(meeting.result.replay.accounts_parked, 1);
	newest_is(&f, snapshot);
	ck_assert_uint_eq(mend(&f).result.replay.accounts_resynced, 0);
	aside_ghost(&f, "bob", true);
	fixture_rename(&f, "bob", "m2", "b");
	meeting = mend(&f);
	ck_assert_uint_eq(meeting.result.replay.accounts_resynced, 1);
	ck_assert_uint_eq(meeting.result.replay.accounts_parked, 1);
	aside_waits(&f, "bob", 0, 0, "");
	ck_assert_int_eq(one_meet(&f, "alice", ENOUGH, &meeting), MBJ_OK);
	ck_assert(meeting.resync.is_aside);
	snapshot_make(f.primary);
	(void)mend(&f);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: an account that is not to be made again keeps no other one aside, and
 * who asks for it is told.  Method: one whose name another one has by now.
 */
START_TEST(mend_others)
{
	struct meeting meeting;
	struct fixture f;

	resync_begin(&f);
	account_rename(&f, "alice", "ally");
	fixture_import(&f, "alice", 2);
	(void)fixture_replay(&f);
	aside_ghost(&f, "ally", true);
	aside_ghost(&f, "bob", true);
	fixture_rename(&f, "ally", "m2", "a");
	fixture_rename(&f, "bob", "m2", "b");
	meeting = mend(&f);
	ck_assert_uint_eq(meeting.result.replay.accounts_resynced, 1);
	aside_waits(&f, "bob", 0, 0, "");
	aside_waits(&f, "ally", 1, 5, "group 5");
	ck_assert_int_eq(one_meet(&f, "ally", ENOUGH, &meeting), MBJ_ECONFLICT);
	snapshot_make(f.primary);
	(void)mend(&f);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: whatever fails, accounts are what they were, or wait from a group on,
 * and the same again ends well.  Method: each allocation of the replica's, and
 * of the source's, which are in the same process.
 */
START_TEST(mend_memory)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct meeting meeting;
	struct fixture f;
	enum mbj_rc rc = MBJ_EIO;

	options.state.engine = MBJ_STATE_MEMORY;
	aside_begin(&f, true, &options);
	snapshot_make(f.primary);
	for (uint64_t k = 1;
	     rc != MBJ_OK || meeting.result.replay.accounts_parked > 0;
	     k += 1 + k / 16) {
		ck_assert_uint_lt(k, 100000);
		test_alloc_fail_at(k);
		rc = meet_with(&f, f.primary_dir, &mend_all_of, &meeting);
		test_alloc_fail_at(0);
		if (rc < 0) {
			mbj_store_close(&f.replica);
			OK(mbj_replica_open(f.replica_dir, f.options,
					    &f.replica, err));
		}
	}
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: what an earlier connection left of a snapshot does not stay for good.
 * Method: a part, with an account aside, and with none; a replica that has no
 * place for them gets none.
 */
START_TEST(mend_leftover)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct fixture f;

	aside_begin(&f, false, NULL);
	OK(mbj_store_snapshots_make(f.replica, path, err));
	OK(mbj_file_replace(mbj_sys_posix(), path, "0000000000000009.snap.part",
			    mbj_bytes_str("some"), err));
	(void)mend(&f);
	ck_assert_uint_eq(part_size(&f, 9), 4);
	aside_ghost(&f, "alice", false);
	(void)mend(&f);
	(void)mend(&f);
	ck_assert_uint_eq(part_size(&f, 9), 0);
	aside_equal(&f);
	fixture_end(&f);
	fixture_begin(&f);
	fixture_import(&f, "alice", 2);
	(void)mend(&f);
	OK(mbj_path_join(path, f.replica_dir, "snapshots", err));
	ck_assert(!mbj_path_exists(mbj_sys_posix(), path));
	fixture_end(&f);
}
END_TEST

TCase *test_mend_case(void)
{
	TCase *tcase = tcase_create("mend");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, mend_all);
	tcase_add_test(tcase, mend_no_way_back);
	tcase_add_test(tcase, mend_one);
	tcase_add_loop_test(tcase, mend_cut, 0, 2);
	tcase_add_test(tcase, mend_large);
	tcase_add_loop_test(tcase, mend_own, 0, 2);
	tcase_add_test(tcase, mend_tried);
	tcase_add_test(tcase, mend_others);
	tcase_add_test(tcase, mend_memory);
	tcase_add_test(tcase, mend_leftover);
	return tcase;
}
