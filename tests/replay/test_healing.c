/*
 * Accounts that are set aside come back by themselves; what damage, memory and
 * reads that fail make of that; and a random play.
 */
#include <string.h>

#include "aside_lab.h"
#include "quarantine_run.h"
#include "read_fault.h"
#include "store_impl.h"

/* ----------------------------------------------------------- by itself */

/*
 * Goal: each replay tries by itself, and a mended account comes back with the
 * next one, what came meanwhile included.  Method: with and without something
 * to replay; a dry run tries nothing.
 */
START_TEST(healing_by_itself)
{
	struct mbj_replay_options dry = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;
	struct fixture f;

	aside_begin(&f, true, NULL);
	aside_ghost(&f, "alice", false);
	dry.is_dry_run = true;
	OK(mbj_replay_journal(f.replica, f.primary_dir, &dry, &result, err));
	ck_assert_uint_eq(result.groups_retried, 0);
	aside_waits(&f, "alice", 3, 3, "");
	fixture_rename(&f, "alice", "a", "z");
	fixture_rename(&f, "bob", "b", "z");
	result = fixture_replay(&f);
	/* What is new comes first, and waits behind the rest. */
	ck_assert_uint_eq(result.groups_parked, 2);
	ck_assert_uint_eq(result.groups_retried, 4);
	ck_assert_uint_eq(result.accounts_healed, 1);
	ck_assert_uint_eq(result.accounts_parked, 1);
	aside_waits(&f, "bob", 4, 4, "group 4");
	aside_ghost(&f, "bob", false);
	result = fixture_replay(&f);
	ck_assert_uint_eq(result.groups, 0);
	ck_assert_uint_eq(result.groups_retried, 4);
	aside_equal(&f);
	result = fixture_replay(&f);
	ck_assert_uint_eq(result.groups_retried, 0);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: many accounts aside cost a bounded look, and each has its turn.
 * Method: more of them than one look takes, for whom nothing waits, with one
 * whose groups wait among them; then the looks go round.
 */
START_TEST(healing_many)
{
	struct mbj_retry_pace pace = {.gap = 0};
	struct mbj_retry_result result;
	struct mbj_parked parked = {.reason = {(const uint8_t *)"by hand", 7}};
	struct mbj_txn *txn = NULL;
	unsigned tries = 0;
	struct fixture f;

	aside_begin(&f, false, NULL);
	aside_ghost(&f, "alice", false);
	OK(mbj_txn_begin(f.replica->state, &txn, err));
	parked.first = parked.last = (struct mbj_lsn){3};
	for (unsigned i = 0; i < 200; i++) {
		parked.account = fixture_id((uint8_t)i);
		parked.account.b[0] = (uint8_t)(i + 7);
		OK(mbj_txn_parked_set(txn, &parked, err));
	}
	OK(mbj_txn_commit(&txn, err));
	do {
		pace.left = 0;
		OK(retry_by_itself(f.replica, &pace, &result, err));
		tries++;
		ck_assert_uint_lt(tries, 10);
	} while (result.accounts_healed == 0);
	aside_waits(&f, "alice", 0, 0, "");
	/* Of those for whom nothing waits the record stays until asked. */
	ck_assert_uint_eq(aside_retry(&f, NULL).accounts_healed, 200);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: tries in vain become rare, one that helps starts over.  Method: the
 * occasions that pass, counted.
 */
START_TEST(healing_pace)
{
	struct mbj_retry_pace pace = {.gap = 0};
	unsigned tried = 0;

	for (unsigned i = 0; i < 1000; i++) {
		if (!retry_pace_is_due(&pace))
			continue;
		retry_pace_note(&pace, false);
		tried++;
	}
	/* 0, 1, 3, 7, 15, 31, 63, then each 64th. */
	ck_assert_uint_eq(tried, 7 + (1000 - 1 - 63) / 64);
	pace.left = 0;
	ck_assert(retry_pace_is_due(&pace));
	retry_pace_note(&pace, true);
	ck_assert(retry_pace_is_due(&pace));
	retry_pace_note(&pace, false);
	ck_assert(!retry_pace_is_due(&pace));
	ck_assert(retry_pace_is_due(&pace));
}
END_TEST

/* ---------------------------------------------------------------- damage */

/* Groups 3 to 5, alice's, each in a batch of its own. */
static void damage_begin(struct fixture *f)
{
	static const char *const names[] = {"m2", "m3", "m4"};

	fixture_begin_two(f);
	(void)fixture_replay(f);
	aside_ghost(f, "alice", true);
	for (size_t i = 0; i < 3; i++) {
		fixture_rename(f, "alice", names[i],
			       i == 0 ? "a" : names[i - 1]);
		ck_assert_uint_eq(fixture_replay(f).groups_parked, 1);
	}
	aside_ghost(f, "alice", false);
}

/*
 * Goal: a damaged group costs the account that waits for it, and no replay of
 * the others; what is before it is carried out.  Method: the second of three
 * groups that wait, and the first: their bodies, their headers, on request and
 * by itself.
 */
START_TEST(healing_damage)
{
	struct mbj_retry_options options = MBJ_RETRY_OPTIONS_INIT;
	struct mbj_retry_result result;
	struct mbj_error why = {.rc = MBJ_OK};
	bool is_header = _i / 2 % 2 == 1;
	uint64_t lsn = _i % 2 == 0 ? 4 : 3;
	struct fixture f;

	damage_begin(&f);
	aside_damage(&f, lsn, is_header);
	if (_i / 4 == 0) {
		ck_assert_int_eq(mbj_quarantine_retry(f.replica, &options,
						      &result, &why),
				 is_header ? MBJ_ECORRUPT : MBJ_OK);
		if (is_header)
			ck_assert_ptr_nonnull(strstr(why.message, ".seg"));
	}
	fixture_rename(&f, "bob", "m2", "z");
	ck_assert_uint_eq(fixture_replay(&f).groups, 1);
	aside_waits(&f, "alice", lsn == 4 ? 2 : 3, lsn, "");
	fixture_end(&f);
}
END_TEST

/*
 * Goal: an account whose next group is far away comes back as well.  Method:
 * more groups of another one in between than a look reads.
 */
START_TEST(healing_far)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct fixture f;

	options.state.engine = MBJ_STATE_MEMORY;
	fixture_begin_with(&f, &options);
	fixture_import(&f, "alice", 4);
	fixture_import(&f, "bob", 4);
	(void)fixture_replay(&f);
	aside_ghost(&f, "alice", true);
	fixture_rename(&f, "alice", "m2", "a");
	for (int i = 0; i < 300; i++)
		fixture_rename(&f, "bob", i % 2 ? "x" : "m2",
			       i % 2 ? "m2" : "x");
	fixture_rename(&f, "alice", "a", "z");
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 2);
	aside_ghost(&f, "alice", false);
	ck_assert_uint_eq(aside_retry_with(&f, NULL, 1000, 1).groups, 1);
	aside_waits(&f, "alice", 1, 4, "");
	ck_assert_uint_eq(fixture_replay(&f).groups_retried, 1);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/* ---------------------------------------------------------------- faults */

static void memory_begin(struct fixture *f, struct mbj_store_options *options)
{
	*options = MBJ_STORE_OPTIONS_INIT;
	options->state.engine = MBJ_STATE_MEMORY;
	options->state.records_cached_max = 0;
	aside_begin(f, true, options);
	aside_ghost(f, "alice", false);
	mbj_store_close(&f->replica);
	OK(mbj_replica_open(f->replica_dir, f->options, &f->replica, err));
}

/*
 * Asked for, or by itself with this account first.  *ret_is_healed: all that
 * waited for one account is carried out.
 */
static enum mbj_rc fault_try(struct fixture *f, bool is_by_itself,
			     struct mbj_id first, bool *ret_is_healed,
			     struct mbj_error *err)
{
	struct mbj_retry_options options = MBJ_RETRY_OPTIONS_INIT;
	struct mbj_retry_pace pace = {.next = first};
	struct mbj_retry_result result = {.groups = 0};
	enum mbj_rc rc;

	/* A transaction for each group: some stand, some do not. */
	options.batch_groups_max = 1;
	rc = is_by_itself
		     ? retry_by_itself(f->replica, &pace, &result, err)
		     : mbj_quarantine_retry(f->replica, &options, &result, err);
	*ret_is_healed = result.accounts_healed > 0;
	return rc;
}

static void fault_check(struct fixture *f, unsigned failures)
{
	/* One at least, whatever the beginning that chance gave. */
	ck_assert_uint_gt(failures, 1);
	aside_waits(f, "alice", 0, 0, "");
	aside_waits(f, "bob", 3, 4, "group 4");
	aside_ghost(f, "bob", false);
	ck_assert_uint_eq(fixture_replay(f).groups_retried, 3);
	aside_equal(f);
	fixture_end(f);
}

/*
 * Goal: no failed allocation loses what waits, or carries it out twice; by
 * itself it is no reason to fail.  Method: each one of a retry, once and from
 * then on, with the order that groups went in checked by their own guards.
 */
START_TEST(healing_no_memory)
{
	struct mbj_store_options options;
	struct mbj_error why;
	bool is_healed = false;
	unsigned failures = 0;
	struct mbj_id alice;
	struct fixture f;
	enum mbj_rc rc;

	memory_begin(&f, &options);
	alice = fixture_account(f.primary, "alice");
	for (uint64_t k = 1; !is_healed; k++) {
		if (_i / 2 == 0)
			test_alloc_fail_at(k);
		else
			test_alloc_fail_from(k);
		rc = fault_try(&f, _i % 2 == 1, alice, &is_healed, &why);
		test_alloc_fail_at(0);
		if (!is_healed)
			ck_assert_int_eq(rc, _i % 2 == 1 ? MBJ_OK : MBJ_ENOMEM);
		failures++;
		mbj_store_close(&f.replica);
		OK(mbj_replica_open(f.replica_dir, f.options, &f.replica, err));
	}
	fault_check(&f, failures);
}
END_TEST

/*
 * Goal: a state that cannot be read is no reason to stop waiting.  Method: each
 * read of a retry fails, once and from then on.
 */
START_TEST(healing_reads_fail)
{
	struct mbj_store_options options;
	struct mbj_error why;
	bool is_healed = false;
	unsigned failures = 0;
	struct mbj_id alice;
	struct fixture f;
	enum mbj_rc rc;

	memory_begin(&f, &options);
	alice = fixture_account(f.primary, "alice");
	for (uint64_t k = 1; !is_healed; k++) {
		read_fault_begin(f.replica->state);
		read_fault_at(k, _i / 2 == 1);
		rc = fault_try(&f, _i % 2 == 1, alice, &is_healed, &why);
		read_fault_at(0, false);
		if (!is_healed)
			ck_assert_int_eq(rc, MBJ_EIO);
		failures++;
		mbj_store_close(&f.replica);
		OK(mbj_replica_open(f.replica_dir, f.options, &f.replica, err));
	}
	fault_check(&f, failures);
}
END_TEST

/* ---------------------------------------------------------------- property */

enum { PEOPLE = 4, ROUNDS = 120 };

static const char *const people[PEOPLE] = {"ann", "ben", "cat", "dan"};

struct play {
	struct fixture f;
	struct test_rng rng;
	bool has_ghost[PEOPLE];
	unsigned swaps[PEOPLE]; /* how often its m2 and m3 changed places */
};

static void play_resync(struct play *play, unsigned who)
{
	struct fixture *f = &play->f;
	struct mbj_snapshot_result snapshot;
	struct mbj_resync_result result;

	OK(mbj_store_snapshot(f->primary, &snapshot, err));
	OK(mbj_quarantine_resync(f->replica,
				 fixture_account(f->primary, people[who]),
				 f->primary_dir, &result, err));
	ck_assert(!result.is_aside);
	play->has_ghost[who] = false;
}

/* Nobody's ghost is in the journal, nor in a snapshot of the primary. */
static void play_rebuild(struct play *play)
{
	struct mbj_store_options options = *play->f.options;
	struct fixture *f = &play->f;

	options.is_rebuild_forced = true;
	mbj_store_close(&f->replica);
	OK(mbj_replica_open(f->replica_dir, &options, &f->replica, err));
	memset(play->has_ghost, 0, sizeof(play->has_ghost));
}

static void play_step(struct play *play)
{
	struct fixture *f = &play->f;
	unsigned who = (unsigned)test_rng_below(&play->rng, PEOPLE);
	static const char *const turns[3][2] = {{"m2", "x"},
						{"m3", "m2"},
						{"x", "m3"}};

	switch (test_rng_below(&play->rng, 10)) {
	case 0:
		play->has_ghost[who] = !play->has_ghost[who];
		aside_ghost(f, people[who], play->has_ghost[who]);
		break;
	case 1:
		(void)aside_retry_with(f, NULL,
				       1 + (uint32_t)test_rng_below(&play->rng,
								    3),
				       test_rng_below(&play->rng, 6));
		break;
	case 2:
		mbj_store_close(&f->replica);
		OK(mbj_replica_open(f->replica_dir, f->options, &f->replica,
				    err));
		break;
	case 3:
		(void)fixture_replay(f);
		break;
	case 4:
		play_resync(play, who);
		break;
	case 5:
		play_rebuild(play);
		break;
	default:
		/* Each turn wants the one before it: any other order fails. */
		fixture_rename(f, people[who], turns[play->swaps[who] % 3][0],
			       turns[play->swaps[who] % 3][1]);
		play->swaps[who]++;
		break;
	}
}

/*
 * Goal: whatever conflicts when, whoever is mended, retried, reopened, no group
 * is lost, done twice or out of order, and in the end both sides are equal.
 * Method: a random play; MBJ_SEED repeats it.
 */
START_TEST(healing_random)
{
	struct play play = {.swaps = {0}};
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct fixture *f = &play.f;

	(void)test_rng_seed(&play.rng);
	options.state.engine = MBJ_STATE_MEMORY;
	fixture_begin_with(f, &options);
	for (unsigned i = 0; i < PEOPLE; i++)
		fixture_import(f, people[i], 4);
	(void)fixture_replay(f);
	for (unsigned i = 0; i < ROUNDS; i++)
		play_step(&play);
	(void)fixture_replay(f);
	for (unsigned i = 0; i < PEOPLE; i++) {
		if (play.has_ghost[i])
			aside_ghost(f, people[i], false);
	}
	ck_assert_uint_eq(aside_retry(f, NULL).accounts_parked, 0);
	aside_equal(f);
	fixture_end(f);
}
END_TEST

TCase *test_healing_case(void)
{
	TCase *tcase = tcase_create("healing");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, healing_by_itself);
	tcase_add_test(tcase, healing_many);
	tcase_add_test(tcase, healing_pace);
	tcase_add_loop_test(tcase, healing_damage, 0, 8);
	tcase_add_test(tcase, healing_far);
	tcase_add_loop_test(tcase, healing_no_memory, 0, 4);
	tcase_add_loop_test(tcase, healing_reads_fail, 0, 4);
	tcase_add_test(tcase, healing_random);
	return tcase;
}
