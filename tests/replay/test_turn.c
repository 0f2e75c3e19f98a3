/*
 * What accounts that are set aside may cost others: nobody waits for somebody
 * else's journal, turn or memory.
 */
#include <string.h>
#include <unistd.h>

#include "aside_lab.h"
#include "quarantine_run.h"
#include "read_fault.h"
#include "store_impl.h"

/* Accounts aside by hand, whose ids begin with 7 and more. */
static void parked_put(struct fixture *f, unsigned count, struct mbj_id id,
		       uint64_t first)
{
	struct mbj_parked parked = {.first = {first},
				    .last = {first},
				    .count = 1,
				    .reason = mbj_bytes_str("by hand")};
	struct mbj_txn *txn = NULL;

	OK(mbj_txn_begin(f->replica->state, &txn, err));
	for (unsigned i = 0; i < count; i++) {
		parked.account = id;
		parked.account.b[0] = (uint8_t)(id.b[0] + i);
		OK(mbj_txn_parked_set(txn, &parked, err));
	}
	OK(mbj_txn_commit(&txn, err));
}

/* ------------------------------------------------------------- the journal */

/* A replica whose journal begins behind the first four groups. */
static void seeded_begin(struct fixture *f)
{
	struct mbj_snapshot_result snapshot;
	struct mbj_lsn lsn;

	fixture_begin(f);
	fixture_import(f, "alice", 4);
	fixture_import(f, "bob", 4);
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
	parked_put(&f, 1, fixture_account(f.primary, "alice"), 3);
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
 * segment that is gone, bob from behind it.
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
	(void)fixture_replay(&f);
	aside_ghost(&f, "alice", true);
	aside_ghost(&f, "bob", true);
	/* A batch of a replay is in one segment. */
	for (int i = 0; i < 600; i++) {
		fixture_rename(&f, "alice", i % 2 ? "x" : "m2",
			       i % 2 ? "m2" : "x");
		if (i % 50 == 0)
			(void)fixture_replay(&f);
	}
	(void)fixture_replay(&f);
	fixture_rename(&f, "bob", "m2", "b");
	ck_assert_uint_eq(fixture_replay(&f).accounts_parked, 2);
	aside_ghost(&f, "alice", false);
	aside_ghost(&f, "bob", false);
	segment_lose(&f, "00000002");
	ck_assert_int_eq(mbj_quarantine_retry(f.replica, &options, &result,
					      &why),
			 MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(why.message, "00000002"));
	ck_assert_uint_eq(result.accounts_healed, 1);
	ck_assert_uint_eq(result.accounts_parked, 1);
	ck_assert_uint_gt(result.groups, 10);
	aside_waits(&f, "alice", 600 - (result.groups - 1), result.groups + 2,
		    "00000002");
	aside_waits(&f, "bob", 0, 0, "");
	/* By itself it is no reason to fail. */
	ck_assert_uint_eq(fixture_replay(&f).accounts_parked, 1);
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
 * Method: two that fail, a transaction for each; where a read fails behind the
 * first one, that one's reason of now stands.
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
	options.batch_groups_max = 1;
	aside_begin(&f, true, &usual);
	for (uint64_t k = 1;; k++) {
		struct mbj_parked parked = {.first = {0}};
		struct mbj_txn *txn = NULL;
		bool is_first_done, is_second_done;

		parked_put(&f, 1, fixture_account(f.primary, "alice"), 3);
		parked_put(&f, 1, fixture_account(f.primary, "bob"), 4);
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

/* ------------------------------------------------------- chance and space */

struct outside {
	struct mbj_sys sys;
	struct mbj_id drawn;
	int64_t space;
};

static int outside_random(void *ctx, void *p, size_t n)
{
	const struct outside *outside = ctx;

	if (n != MBJ_ID_SIZE || mbj_id_is_root(outside->drawn))
		return mbj_sys_posix()->random(mbj_sys_posix()->ctx, p, n);
	memcpy(p, outside->drawn.b, n);
	return 0;
}

static int64_t outside_space(void *ctx, const char *path)
{
	const struct outside *outside = ctx;

	(void)path;
	return outside->space;
}

/* The real one ignores its context. */
static void outside_init(struct outside *outside,
			 struct mbj_store_options *options)
{
	*outside = (struct outside){.sys = *mbj_sys_posix(),
				    .space = (int64_t)1 << 40};
	outside->sys.ctx = outside;
	outside->sys.random = outside_random;
	outside->sys.space = outside_space;
	*options = MBJ_STORE_OPTIONS_INIT;
	options->sys = &outside->sys;
}

/*
 * Goal: processes that come and go do not all look at the same accounts.
 * Method: of 200 the one that is mended is looked at by who draws a place
 * before it, and not by others.
 */
START_TEST(turn_drawn)
{
	struct mbj_store_options options;
	struct outside outside;
	struct mbj_id alice, others;
	struct fixture f;

	outside_init(&outside, &options);
	aside_begin(&f, false, &options);
	aside_ghost(&f, "alice", false);
	alice = fixture_account(f.primary, "alice");
	/* In the order of ids: the others are all behind it. */
	others = alice;
	others.b[MBJ_ID_SIZE - 1] ^= 1;
	for (unsigned i = 0; i < 2; i++) {
		others.b[0] = (uint8_t)(i == 0 ? alice.b[0] + 1 : 0);
		parked_put(&f, i == 0 ? 255u - alice.b[0] : alice.b[0], others,
			   3);
	}
	for (unsigned i = 0; i < 2; i++) {
		mbj_store_close(&f.replica);
		OK(mbj_replica_open(f.replica_dir, f.options, &f.replica, err));
		outside.drawn = alice;
		if (i == 0)
			outside.drawn.b[0] = (uint8_t)(alice.b[0] + 1);
		ck_assert_uint_eq(fixture_replay(&f).accounts_healed, i);
		outside.drawn = MBJ_ID_ROOT;
	}
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a disk that is full is written to by nobody, and is no reason for a
 * replay to fail.  Method: below the mark, asked for and by itself; above it
 * again.
 */
START_TEST(turn_full)
{
	struct mbj_retry_options retry = MBJ_RETRY_OPTIONS_INIT;
	struct mbj_store_options options;
	struct mbj_retry_result result;
	struct outside outside;
	struct mbj_error why;
	struct fixture f;

	outside_init(&outside, &options);
	aside_begin(&f, false, &options);
	aside_ghost(&f, "alice", false);
	outside.space = MBJ_STORE_SPACE_MIN - 1;
	ck_assert_uint_eq(fixture_replay(&f).groups_retried, 0);
	ck_assert_int_eq(mbj_quarantine_retry(f.replica, &retry, &result, &why),
			 MBJ_ENOSPC);
	ck_assert_uint_eq(result.groups, 0);
	aside_waits(&f, "alice", 3, 3, "group 3");
	outside.space++;
	ck_assert_uint_eq(fixture_replay(&f).groups_retried, 3);
	aside_equal(&f);
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
	tcase_add_test(tcase, turn_failing);
	tcase_add_test(tcase, turn_far);
	tcase_add_test(tcase, turn_bounded);
	tcase_add_test(tcase, turn_drawn);
	tcase_add_test(tcase, turn_full);
	return tcase;
}
