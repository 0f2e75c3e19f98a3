/*
 * The driver, on real stores.
 */
#include <stdio.h>
#include <string.h>

#include "fixture.h"

static void names_equal(struct fixture *f, const char *account, uint8_t count)
{
	char a[MBJ_NAME_MAX + 1];
	char b[MBJ_NAME_MAX + 1];

	for (uint8_t i = 1; i <= count; i++) {
		fixture_name(f->primary, account, fixture_id(i), a);
		fixture_name(f->replica, account, fixture_id(i), b);
		ck_assert_str_eq(a, b);
	}
}

/*
 * Goal: a replica gets what it lacks, once.  Method: replay, replay again,
 * more edits, stop in between, reopen, replay the rest.
 */
START_TEST(test_catch_up)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;
	struct mbj_verify_totals totals;
	struct fixture f;

	fixture_begin(&f);
	ck_assert_uint_eq(fixture_replay(&f).groups, 0);
	fixture_import(&f, "alice", 5);
	ck_assert_uint_eq(fixture_replay(&f).groups, 1);
	ck_assert_uint_eq(fixture_replay(&f).groups, 0);
	for (int i = 0; i < 20; i++)
		fixture_rename(&f, "alice", i % 2 ? "x" : "m2",
			       i % 2 ? "m2" : "x");
	options.until.v = 7;
	options.batch_groups_max = 2;
	OK(mbj_replay_journal(f.replica, f.primary_dir, &options, &result,
			      err));
	ck_assert_uint_eq(result.groups, 6);
	ck_assert_uint_eq(result.applied.v, 7);
	ck_assert_uint_eq(result.source_end.v, 21);
	mbj_store_close(&f.replica);
	OK(mbj_replica_open(f.replica_dir, NULL, &f.replica, err));
	options.until.v = 0;
	options.is_dry_run = true;
	OK(mbj_replay_journal(f.replica, f.primary_dir, &options, &result,
			      err));
	ck_assert_uint_eq(result.groups, 14);
	ck_assert_uint_eq(fixture_replay(&f).groups, 14);
	names_equal(&f, "alice", 5);
	ck_assert_uint_eq(fixture_differences(&f, &totals), 0);
	ck_assert_uint_eq(totals.first.v, totals.second.v);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a replica's journal is its primary's.  Method: compare the two logs
 * group by group, byte by byte.
 */
START_TEST(test_same_bytes)
{
	struct mbj_log_reader *readers[2] = {NULL, NULL};
	struct mbj_group groups[2];
	struct mbj_error last;
	struct fixture f;
	int count = 0;

	fixture_begin(&f);
	fixture_import(&f, "alice", 9);
	for (int i = 0; i < 9; i++)
		fixture_rename(&f, "alice", i % 2 ? "x" : "m2",
			       i % 2 ? "m2" : "x");
	(void)fixture_replay(&f);
	OK(mbj_store_log_reader(NULL, f.primary_dir, &readers[0], err));
	OK(mbj_store_log_reader(NULL, f.replica_dir, &readers[1], err));
	for (int i = 0; i < 2; i++)
		OK(mbj_log_reader_seek(readers[i], (struct mbj_lsn){1}, err));
	while (mbj_log_reader_next(readers[0], &groups[0], &last) == MBJ_OK) {
		OK(mbj_log_reader_next(readers[1], &groups[1], err));
		ck_assert(mbj_bytes_equal(groups[0].record, groups[1].record));
		count++;
	}
	ck_assert_int_eq(count, 10);
	ck_assert_int_eq(mbj_log_reader_next(readers[1], &groups[1], &last),
			 MBJ_ENOTFOUND);
	for (int i = 0; i < 2; i++)
		mbj_log_reader_close(&readers[i]);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: one account's conflict costs that account.  Method: move a mailbox in
 * the replica's state behind the journal's back, then edit two accounts.
 */
START_TEST(test_conflict_parks_one_account)
{
	struct mbj_verify_totals totals;
	struct mbj_replay_result result;
	struct mbj_parked parked;
	struct mbj_txn *txn = NULL;
	struct fixture f;
	char name[MBJ_NAME_MAX + 1];

	fixture_begin_two(&f);
	(void)fixture_replay(&f);
	fixture_diverge(&f, "alice", fixture_id(2), "elsewhere");
	fixture_rename(&f, "alice", "m2", "a");
	fixture_rename(&f, "bob", "m2", "b");
	fixture_rename(&f, "alice", "m3", "c");
	result = fixture_replay(&f);
	ck_assert_uint_eq(result.groups, 3);
	ck_assert_uint_eq(result.groups_parked, 2);
	ck_assert_uint_eq(result.accounts_parked, 1);
	ck_assert_uint_eq(result.applied.v, 5);
	fixture_name(f.replica, "bob", fixture_id(2), name);
	ck_assert_str_eq(name, "b");
	/* Nothing of the parked account moved. */
	fixture_name(f.replica, "alice", fixture_id(2), name);
	ck_assert_str_eq(name, "elsewhere");
	fixture_name(f.replica, "alice", fixture_id(3), name);
	ck_assert_str_eq(name, "m3");
	OK(mbj_store_read(f.replica, &txn, err));
	OK(mbj_txn_parked_get(txn, fixture_account(f.replica, "alice"), &parked,
			      err));
	ck_assert_uint_eq(parked.first.v, 3);
	ck_assert_uint_eq(parked.last.v, 5);
	ck_assert_uint_eq(parked.count, 2);
	ck_assert_uint_gt(parked.reason.n, 0);
	mbj_txn_abort(&txn);
	/* Later groups go on, also after a restart. */
	mbj_store_close(&f.replica);
	OK(mbj_replica_open(f.replica_dir, NULL, &f.replica, err));
	fixture_rename(&f, "bob", "m3", "d");
	fixture_rename(&f, "alice", "m4", "e");
	result = fixture_replay(&f);
	ck_assert_uint_eq(result.groups_parked, 1);
	ck_assert_uint_eq(result.accounts_parked, 1);
	ck_assert_uint_gt(fixture_differences(&f, &totals), 0);
	ck_assert_uint_eq(totals.accounts_parked, 1);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a dry run counts what the run would take, and takes nothing.
 * Method: before the first stream, behind, with a limit, and up to date.
 */
START_TEST(test_dry_run)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	static const uint64_t untils[] = {0, 1, 2, 9};
	struct mbj_replay_result result;
	struct fixture f;

	fixture_begin(&f);
	fixture_import(&f, "alice", 3);
	fixture_rename(&f, "alice", "m2", "a");
	fixture_rename(&f, "alice", "m3", "b");
	options.is_dry_run = true;
	for (uint64_t applied = 0; applied < 3; applied++) {
		for (size_t i = 0; i < 4; i++) {
			uint64_t end =
				untils[i] == 0 || untils[i] > 3 ? 3 : untils[i];

			options.until.v = untils[i];
			OK(mbj_replay_journal(f.replica, f.primary_dir,
					      &options, &result, err));
			ck_assert_uint_eq(result.applied.v, applied);
			ck_assert_uint_eq(result.groups,
					  end > applied ? end - applied : 0);
		}
		options.is_dry_run = false;
		options.until.v = applied + 1;
		OK(mbj_replay_journal(f.replica, f.primary_dir, &options,
				      &result, err));
		ck_assert_uint_eq(result.groups, 1);
		options.is_dry_run = true;
	}
	fixture_end(&f);
}
END_TEST

/*
 * Goal: only the right journal is replayed.  Method: a primary as the target,
 * another lineage, a replica without one as the source.
 */
START_TEST(test_refusals)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;
	struct mbj_error err;
	struct fixture f;
	struct fixture g;

	fixture_begin(&f);
	fixture_begin(&g);
	ck_assert_int_eq(mbj_replay_journal(f.primary, g.primary_dir, &options,
					    &result, &err),
			 MBJ_EFENCED);
	ck_assert_int_eq(mbj_replay_journal(f.replica, g.replica_dir, &options,
					    &result, &err),
			 MBJ_EFENCED);
	(void)fixture_replay(&f);
	ck_assert_int_eq(mbj_replay_journal(f.replica, g.primary_dir, &options,
					    &result, &err),
			 MBJ_EFENCED);
	ck_assert_int_eq(mbj_replay_journal(f.replica, "/nonexistent", &options,
					    &result, &err),
			 MBJ_ENOTFOUND);
	fixture_end(&g);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a replica rebuilds its state from its own journal.  Method: force a
 * rebuild, also with a parked account, which comes out healed: its groups are
 * applied in order to a state that never diverged.
 */
START_TEST(test_rebuild)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct mbj_verify_totals totals;
	struct fixture f;

	fixture_begin(&f);
	fixture_import(&f, "alice", 4);
	(void)fixture_replay(&f);
	fixture_diverge(&f, "alice", fixture_id(2), "elsewhere");
	fixture_rename(&f, "alice", "m2", "a");
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 1);
	mbj_store_close(&f.replica);
	options.is_rebuild_forced = true;
	OK(mbj_replica_open(f.replica_dir, &options, &f.replica, err));
	ck_assert(mbj_store_recovery_get(f.replica)->is_rebuilt);
	ck_assert_uint_eq(fixture_differences(&f, &totals), 0);
	fixture_end(&f);
}
END_TEST

TCase *test_replay_case(void)
{
	TCase *tcase = tcase_create("replay");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, test_catch_up);
	tcase_add_test(tcase, test_same_bytes);
	tcase_add_test(tcase, test_conflict_parks_one_account);
	tcase_add_test(tcase, test_dry_run);
	tcase_add_test(tcase, test_refusals);
	tcase_add_test(tcase, test_rebuild);
	return tcase;
}
