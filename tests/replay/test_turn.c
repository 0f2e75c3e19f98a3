/*
 * What accounts that are set aside may cost others: nobody waits for somebody
 * else's journal, turn or memory.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "aside_lab.h"
#include "quarantine_run.h"
#include "read_fault.h"
#include "store_impl.h"
#include "stream_lab.h"

/* ------------------------------------------------------------- the journal */

/* A replica whose journal begins behind the first four groups. */
static void seeded_begin(struct fixture *f)
{
	struct mbj_snapshot_result snapshot;
	struct mbj_lsn lsn;

	fixture_begin_two(f);
	fixture_rename(f, "alice", "m2", "a");
	fixture_rename(f, "bob", "m2", "b");
	OK(mbj_store_snapshot(f->primary, &snapshot, err));
	mbj_store_close(&f->replica);
	OK(mbj_path_join(f->replica_dir, f->tmpdir, "seeded", err));
	OK(mbj_replica_init(f->replica_dir, f->primary_dir, NULL, &lsn, err));
	OK(mbj_replica_open(f->replica_dir, NULL, &f->replica, err));
	ck_assert_uint_eq(mbj_store_identity(f->replica)->anchor.first.v, 5);
}

/*
 * Goal: an account whose groups are gone from the journal keeps nobody else.
 * Method: one that waits from before its beginning; a replay, one that is
 * mended, and both asked for.
 */
START_TEST(turn_gone)
{
	struct mbj_retry_result result;
	struct fixture f;

	seeded_begin(&f);
	aside_by_hand(&f, 1, fixture_account(f.primary, "alice"), 3);
	aside_ghost(&f, "bob", true);
	fixture_rename(&f, "bob", "m3", "c");
	ck_assert_uint_eq(fixture_replay(&f).accounts_parked, 2);
	aside_ghost(&f, "bob", false);
	if (_i == 0)
		ck_assert_uint_eq(fixture_replay(&f).accounts_healed, 1);
	result = aside_retry(&f, NULL);
	ck_assert_uint_eq(result.accounts_healed, _i == 0 ? 0 : 1);
	ck_assert_uint_eq(result.accounts_parked, 1);
	aside_waits(&f, "alice", 1, 3, "group 3 is not in the journal");
	aside_waits(&f, "bob", 0, 0, "");
	fixture_end(&f);
}
END_TEST

/* The segment that has this group is not there any more. */
static void segment_lose(struct fixture *f, const char *beginning)
{
	struct mbj_buf names;
	char dir[MBJ_PATH_TEXT_MAX], path[MBJ_PATH_TEXT_MAX];
	const char *name;

	OK(mbj_path_join(dir, f->replica_dir, "journal", err));
	mbj_buf_init(&names, 1 << 16);
	OK(mbj_dir_list(mbj_sys_posix(), dir, &names, err));
	name = (const char *)names.p;
	while (strncmp(name, beginning, strlen(beginning)) != 0)
		name += strlen(name) + 1;
	OK(mbj_path_join(path, dir, name, err));
	ck_assert_int_eq(truncate(path, 4096), 0);
	mbj_buf_done(&names);
}

/*
 * Goal: damage in the journal stops those who may wait for what is there; who
 * waits behind it goes on in the same pass.  Method: alice waits from before a
 * segment that is gone, carol for what was in the next one, which is gone too,
 * bob from behind both.
 */
START_TEST(turn_damage)
{
	struct mbj_store_options small = MBJ_STORE_OPTIONS_INIT;
	struct mbj_retry_options options = MBJ_RETRY_OPTIONS_INIT;
	struct mbj_retry_result result;
	struct mbj_error why;
	struct fixture f;

	small.log.segment_size = 1 << 16;
	fixture_begin_with(&f, &small);
	fixture_import(&f, "alice", 4);
	fixture_import(&f, "bob", 4);
	fixture_import(&f, "carol", 4);
	(void)fixture_replay(&f);
	aside_ghost(&f, "alice", true);
	aside_ghost(&f, "bob", true);
	aside_ghost(&f, "carol", true);
	/* A batch of a replay is in one segment. */
	for (int i = 0; i < 900; i++) {
		if (i == 500)
			fixture_rename(&f, "carol", "m2", "c");
		fixture_rename(&f, "alice", i % 2 ? "x" : "m2",
			       i % 2 ? "m2" : "x");
		if (i % 50 == 0)
			(void)fixture_replay(&f);
	}
	(void)fixture_replay(&f);
	fixture_rename(&f, "bob", "m2", "b");
	ck_assert_uint_eq(fixture_replay(&f).accounts_parked, 3);
	aside_ghost(&f, "alice", false);
	aside_ghost(&f, "bob", false);
	aside_ghost(&f, "carol", false);
	segment_lose(&f, "00000002");
	segment_lose(&f, "00000003");
	ck_assert_int_eq(mbj_quarantine_retry(f.replica, &options, &result,
					      &why),
			 MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(why.message, "00000002"));
	ck_assert_uint_eq(result.accounts_healed, 1);
	ck_assert_uint_eq(result.accounts_parked, 2);
	ck_assert_uint_gt(result.groups, 10);
	aside_waits(&f, "alice", 900 - (result.groups - 1), result.groups + 3,
		    "00000002");
	aside_waits(&f, "carol", 1, 504, "00000003");
	aside_waits(&f, "bob", 0, 0, "");
	ck_assert_int_eq(mbj_quarantine_retry(f.replica, &options, &result,
					      NULL),
			 MBJ_ECORRUPT);
	/* By itself it is no reason to fail. */
	ck_assert_uint_eq(fixture_replay(&f).accounts_parked, 2);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: damage of the state is not taken for the journal's.  Method: each read
 * of a retry comes damaged.
 */
START_TEST(turn_state)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	unsigned corrupt = 0;
	struct fixture f;

	options.state.engine = MBJ_STATE_MEMORY;
	options.state.records_cached_max = 0;
	aside_begin(&f, false, &options);
	aside_ghost(&f, "alice", false);
	for (uint64_t k = 1;; k++) {
		struct mbj_retry_pace pace = {.gap = 0};
		struct mbj_retry_result result = {.groups = 0};
		struct mbj_error why;
		enum mbj_rc rc;

		mbj_store_close(&f.replica);
		OK(mbj_replica_open(f.replica_dir, f.options, &f.replica, err));
		read_fault_begin(f.replica->state);
		read_fault_damage(k);
		rc = retry_by_itself(f.replica, &pace, &result, &why);
		read_fault_at(0, false);
		if (result.accounts_healed > 0)
			break;
		ck_assert_int_ne(rc, MBJ_OK);
		corrupt += rc == MBJ_ECORRUPT;
	}
	ck_assert_uint_gt(corrupt, 0);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/* ------------------------------------------------------------------- turns */

/*
 * Goal: groups that fail bound a transaction, as those that take effect do.
 * Method: two that fail, a transaction for each, by number and by bytes; where
 * a read fails behind the first one, that one's reason of now stands.
 */
START_TEST(turn_failing)
{
	struct mbj_store_options usual = MBJ_STORE_OPTIONS_INIT;
	struct mbj_retry_options options = MBJ_RETRY_OPTIONS_INIT;
	struct mbj_retry_result result;
	unsigned apart = 0;
	struct mbj_error why;
	struct fixture f;
	enum mbj_rc rc;

	usual.state.engine = MBJ_STATE_MEMORY;
	usual.state.records_cached_max = 0;
	if (_i == 0)
		options.batch_groups_max = 1;
	else
		options.batch_size_max = 1;
	aside_begin(&f, true, &usual);
	for (uint64_t k = 1;; k++) {
		struct mbj_parked parked = {.first = {0}};
		struct mbj_txn *txn = NULL;
		bool is_first_done, is_second_done;

		aside_by_hand(&f, 1, fixture_account(f.primary, "alice"), 3);
		aside_by_hand(&f, 1, fixture_account(f.primary, "bob"), 4);
		mbj_store_close(&f.replica);
		OK(mbj_replica_open(f.replica_dir, f.options, &f.replica, err));
		read_fault_begin(f.replica->state);
		read_fault_at(k, true);
		rc = mbj_quarantine_retry(f.replica, &options, &result, &why);
		read_fault_at(0, false);
		if (rc == MBJ_OK)
			break;
		OK(mbj_store_read(f.replica, &txn, err));
		OK(mbj_txn_parked_get(txn, fixture_account(f.primary, "alice"),
				      &parked, err));
		is_first_done = parked.reason.n > 7;
		OK(mbj_txn_parked_get(txn, fixture_account(f.primary, "bob"),
				      &parked, err));
		is_second_done = parked.reason.n > 7;
		mbj_txn_abort(&txn);
		apart += is_first_done && !is_second_done;
	}
	ck_assert_uint_gt(apart, 0);
	fixture_end(&f);
}
END_TEST

/* So often as it takes: who is healed with each. */
static unsigned turns_until(struct fixture *f, struct mbj_retry_pace *pace,
			    uint64_t healed)
{
	struct mbj_retry_result result;
	unsigned turns = 0;

	for (uint64_t sum = 0; sum < healed; turns++) {
		ck_assert_uint_lt(turns, 100);
		ck_assert(retry_pace_is_due(pace));
		OK(retry_by_itself(f->replica, pace, &result, err));
		sum += result.accounts_healed;
	}
	return turns;
}

/*
 * Goal: an account that is far behind keeps no other from its turn, and comes
 * back itself.  Method: one whose second group is further than many turns read;
 * a pass that only brought it nearer is not in vain.
 */
START_TEST(turn_far)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct mbj_retry_pace pace = {.read_max = 40};
	struct fixture f;

	options.state.engine = MBJ_STATE_MEMORY;
	fixture_begin_with(&f, &options);
	fixture_import(&f, "alice", 4);
	fixture_import(&f, "bob", 4);
	fixture_import(&f, "carol", 4);
	(void)fixture_replay(&f);
	aside_ghost(&f, "alice", true);
	aside_ghost(&f, "carol", true);
	fixture_rename(&f, "alice", "m2", "a");
	for (int i = 0; i < 400; i++)
		fixture_rename(&f, "bob", i % 2 ? "x" : "m2",
			       i % 2 ? "m2" : "x");
	fixture_rename(&f, "alice", "a", "z");
	fixture_rename(&f, "carol", "m2", "c");
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 3);
	aside_ghost(&f, "alice", false);
	aside_ghost(&f, "carol", false);
	ck_assert_uint_le(turns_until(&f, &pace, 1), 2);
	aside_waits(&f, "carol", 0, 0, "");
	ck_assert_uint_gt(turns_until(&f, &pace, 1), 5);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: among many that still fail each has its turn, and stays as it was.
 * Method: more than one look takes, each with a group that waits; one is
 * mended, then all.
 */
START_TEST(turn_many)
{
	enum { MANY = 80, MENDED = 37 };
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	char names[MANY][8];
	unsigned turns = 0;
	struct fixture f;

	options.state.engine = MBJ_STATE_MEMORY;
	fixture_begin_with(&f, &options);
	for (unsigned i = 0; i < MANY; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "u%u", i);
		fixture_import(&f, names[i], 2);
	}
	(void)fixture_replay(&f);
	for (unsigned i = 0; i < MANY; i++) {
		aside_ghost(&f, names[i], true);
		fixture_rename(&f, names[i], "m2", "a");
	}
	ck_assert_uint_eq(fixture_replay(&f).accounts_parked, MANY);
	aside_ghost(&f, names[MENDED], false);
	while (fixture_replay(&f).accounts_healed == 0)
		ck_assert_uint_lt(++turns, 2);
	for (unsigned i = 0; i < MANY; i++) {
		if (i == MENDED)
			continue;
		aside_waits(&f, names[i], 1, MANY + 1 + i, "group ");
		aside_ghost(&f, names[i], false);
	}
	while (fixture_replay(&f).accounts_parked > 0)
		ck_assert_uint_lt(++turns, 4);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: one occasion has an end.  Method: two groups may be read on one.
 */
START_TEST(turn_bounded)
{
	struct mbj_retry_pace pace = {.read_max = 2};
	struct mbj_retry_result result;
	struct fixture f;

	aside_begin(&f, false, NULL);
	aside_ghost(&f, "alice", false);
	OK(retry_by_itself(f.replica, &pace, &result, err));
	ck_assert_uint_eq(result.groups, 1);
	aside_waits(&f, "alice", 2, 5, "being carried out");
	ck_assert_uint_eq(turns_until(&f, &pace, 1), 2);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: who a pass did not come by waits as before.  Method: one group is read,
 * the other account waits for the next one.
 */
START_TEST(turn_untouched)
{
	struct fixture f;

	aside_begin(&f, true, NULL);
	aside_ghost(&f, "alice", false);
	aside_ghost(&f, "bob", false);
	ck_assert_uint_eq(aside_retry_with(&f, NULL, 1000, 1).groups, 1);
	aside_waits(&f, "alice", 2, 4, "being carried out");
	aside_waits(&f, "bob", 3, 4, "group 4");
	ck_assert_uint_eq(aside_retry(&f, NULL).groups, 5);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: it has one in bytes, too.  Method: a group as large as three may be,
 * with one that waits on either side; then a record of what no journal has yet.
 */
START_TEST(turn_bytes)
{
	struct mbj_retry_pace pace = {.read_max = 3};
	struct mbj_retry_result result;
	struct fixture f;

	fixture_begin(&f);
	fixture_import(&f, "alice", 4);
	(void)fixture_replay(&f);
	aside_ghost(&f, "alice", true);
	fixture_rename(&f, "alice", "m2", "a");
	fixture_import(&f, "bob", 250);
	fixture_rename(&f, "alice", "m3", "b");
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 2);
	aside_ghost(&f, "alice", false);
	OK(retry_by_itself(f.replica, &pace, &result, err));
	ck_assert_uint_eq(result.groups, 1);
	aside_waits(&f, "alice", 1, 4, "being carried out");
	ck_assert_uint_eq(turns_until(&f, &pace, 1), 1);
	aside_by_hand(&f, 1, fixture_account(f.primary, "bob"), 99);
	ck_assert_uint_eq(fixture_replay(&f).accounts_parked, 1);
	ck_assert_uint_eq(aside_retry(&f, NULL).accounts_healed, 1);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/* ----------------------------------------------------------------- sources */

/* Meet the source, which has nothing new; groups that were carried out. */
static uint64_t connect_once(struct fixture *f)
{
	struct mbj_stream_result result;
	struct mbj_buf requests, answers;

	mbj_buf_init(&requests, BYTES_MAX);
	mbj_buf_init(&answers, BYTES_MAX);
	hello_put(&requests, 1, 1, mbj_store_end(f->replica).lsn.v);
	OK(source_ask(f->primary_dir, &requests, &answers, err));
	OK(replica_hear(f->replica, mbj_buf_view(&answers), &result, err));
	ck_assert(result.is_met);
	mbj_buf_done(&requests);
	mbj_buf_done(&answers);
	return result.replay.groups_retried;
}

/*
 * Goal: connections that follow one another do not all try in vain.  Method:
 * two in vain, then it is mended: the third is none to try on, the fourth is.
 */
START_TEST(turn_connections)
{
	struct fixture f;

	aside_begin(&f, false, NULL);
	mbj_store_close(&f.replica);
	OK(mbj_replica_open(f.replica_dir, f.options, &f.replica, err));
	ck_assert_uint_eq(connect_once(&f), 0);
	ck_assert_uint_eq(connect_once(&f), 0);
	aside_ghost(&f, "alice", false);
	ck_assert_uint_eq(connect_once(&f), 0);
	ck_assert_uint_eq(connect_once(&f), 3);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a source that is refused is no occasion, and who follows it not yet
 * has nothing done.  Method: that of another lineage, then one's own.
 */
START_TEST(turn_refused)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;
	struct mbj_error why;
	struct fixture f, other;

	aside_begin(&f, false, NULL);
	fixture_begin(&other);
	fixture_import(&other, "alice", 4);
	aside_ghost(&f, "alice", false);
	ck_assert_int_eq(mbj_replay_journal(f.replica, other.primary_dir,
					    &options, &result, &why),
			 MBJ_EFENCED);
	aside_waits(&f, "alice", 3, 3, "group 3");
	ck_assert_uint_eq(fixture_replay(&f).groups_retried, 3);
	fixture_end(&other);
	fixture_end(&f);
}
END_TEST

TCase *test_turn_case(void)
{
	TCase *tcase = tcase_create("turn");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, turn_gone, 0, 2);
	tcase_add_test(tcase, turn_damage);
	tcase_add_test(tcase, turn_state);
	tcase_add_loop_test(tcase, turn_failing, 0, 2);
	tcase_add_test(tcase, turn_far);
	tcase_add_test(tcase, turn_many);
	tcase_add_test(tcase, turn_bounded);
	tcase_add_test(tcase, turn_untouched);
	tcase_add_test(tcase, turn_bytes);
	tcase_add_test(tcase, turn_connections);
	tcase_add_test(tcase, turn_refused);
	return tcase;
}
