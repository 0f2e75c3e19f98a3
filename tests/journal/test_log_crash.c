/*
 * The log when the machine stops, the process dies or a call fails: what was
 * acknowledged is there afterwards, what was not is there whole or not at all,
 * and what was once read never changes.
 *
 * MBJ_ROUNDS multiplies the random part, for nights.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "journal_cases.h"
#include "log_lab.h"

enum { BATCHES = 14, GROUPS_MAX = 3, RANDOM_CUTS = 4 };

/* What the outside world knows of a log. */
struct world {
	struct disk *disk;
	struct lab_chain chain;
	struct test_rng rng;
	uint64_t acked; /* LSN up to which appends were acknowledged */
	uint64_t tried; /* up to which they may be there */
	uint64_t shown; /* end of a log that was opened: readers saw it */
};

static unsigned rounds(void)
{
	const char *text = getenv("MBJ_ROUNDS");
	long value = text == NULL ? 1 : strtol(text, NULL, 10);

	return value < 1 ? 1 : (unsigned)value;
}

static void world_begin(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->disk = disk_new(seed);
	test_rng_init(&w->rng, seed);
	lab_chain_init(&w->chain, seed);
	w->acked = w->tried = w->shown = w->chain.end.lsn.v;
}

static void world_end(struct world *w)
{
	lab_chain_done(&w->chain);
	disk_free(&w->disk);
}

/* Groups for the next batch; the same ones until they are acknowledged. */
static uint64_t world_batch(struct world *w, uint64_t last)
{
	uint64_t count = test_rng_between(&w->rng, 1, GROUPS_MAX);

	while (w->chain.end.lsn.v < last + count)
		(void)lab_chain_add(&w->chain, 3);
	return last + count;
}

/*
 * Open and append batches until something fails; the watermark given is
 * sometimes behind, as that of a state which was not flushed.
 */
static void world_work(struct world *w, unsigned batches)
{
	uint64_t known = w->acked;
	struct mbj_log *log = NULL;
	uint64_t last;

	if (test_rng_chance(&w->rng, 1, 3))
		known = lab_anchor().first.v - 1;
	if (lab_log_try(w->disk, known, &log, NULL) < 0)
		return;
	last = mbj_log_end_get(log).lsn.v;
	if (w->shown < last)
		w->shown = last;
	for (unsigned i = 0; i < batches; i++) {
		uint64_t next = world_batch(w, last);
		enum mbj_rc rc;

		w->tried = next > w->tried ? next : w->tried;
		rc = lab_append(log, &w->chain, last + 1, next, NULL);
		if (rc == MBJ_ENOSPC && !mbj_log_is_failed(log))
			rc = lab_append(log, &w->chain, last + 1, next, NULL);
		if (rc < 0)
			break;
		last = next;
		w->acked = last;
	}
	mbj_log_close(&log);
}

/* The log opens, and holds what it must. */
static void world_check(struct world *w, uint64_t known)
{
	struct mbj_log *log = NULL;
	uint64_t end;

	LAB_OK(lab_log_try(w->disk, known, &log, err));
	end = mbj_log_end_get(log).lsn.v;
	ck_assert_uint_ge(end, w->acked);
	ck_assert_uint_ge(end, w->shown);
	ck_assert_uint_le(end, w->tried);
	lab_read_all(w->disk, true, &w->chain, end);
	w->shown = end;
	mbj_log_close(&log);
	lab_read_all(w->disk, false, &w->chain, end);
}

static enum disk_cut cut_of(unsigned i)
{
	static const enum disk_cut cuts[] = {DISK_CUT_NOTHING, DISK_CUT_ALL,
					     DISK_CUT_KILL};

	return i < 3 ? cuts[i] : DISK_CUT_RANDOM;
}

/* Stop at one step, come back, be checked, go on, lose power, be checked. */
static bool crash_at(uint64_t seed, uint64_t step, enum disk_cut cut)
{
	struct world w;
	bool is_reached;

	world_begin(&w, seed);
	disk_stop(w.disk, step);
	world_work(&w, BATCHES);
	is_reached = disk_is_stopped(w.disk);
	disk_cut(w.disk, cut);
	world_check(&w, w.acked);
	disk_cut(w.disk, DISK_CUT_NOTHING);
	world_work(&w, 3);
	disk_cut(w.disk, DISK_CUT_RANDOM);
	world_check(&w, w.acked);
	world_end(&w);
	return is_reached;
}

/*
 * Goal: a power cut or a kill at any step loses nothing that was acknowledged
 * and nothing that was shown.  Method: stopped in every call that changes the
 * disk, with what was not synced lost, kept, torn at random or still cached.
 */
START_TEST(crash_every_step)
{
	struct test_rng rng;
	uint64_t seed = test_rng_seed(&rng);
	unsigned cuts = 3 + RANDOM_CUTS * rounds();
	uint64_t step = 0;
	bool is_reached = true;

	while (is_reached) {
		step++;
		for (unsigned i = 0; i < cuts; i++)
			is_reached = crash_at(seed + i / 3, step, cut_of(i));
	}
	ck_assert_uint_gt(step, 40);
}
END_TEST

/*
 * Goal: recovery can be interrupted too, as often as it likes.  Method: a
 * random crash, then crashes at each step of opening, then a check.
 */
START_TEST(crash_in_recovery)
{
	struct test_rng rng;
	uint64_t seed = test_rng_seed(&rng);

	for (unsigned round = 0; round < 150 * rounds(); round++) {
		struct world w;
		unsigned again = 0;

		world_begin(&w, seed + round);
		disk_stop(w.disk, test_rng_between(&rng, 1, 60));
		world_work(&w, BATCHES);
		for (uint64_t step = 1; again < 12; step++, again++) {
			disk_cut(w.disk,
				 cut_of((unsigned)test_rng_below(&rng, 6)));
			disk_stop(w.disk, step);
			world_work(&w, 1);
		}
		disk_cut(w.disk, DISK_CUT_RANDOM);
		world_check(&w, w.acked);
		world_end(&w);
	}
}
END_TEST

/* One call fails; the process goes on, or opens again; then power fails. */
static uint64_t fail_at(uint64_t seed, unsigned calls, uint64_t at, int errnum,
			bool is_for_good)
{
	uint64_t count;
	struct world w;

	world_begin(&w, seed);
	disk_fail(w.disk, calls, at, errnum, is_for_good);
	world_work(&w, BATCHES);
	count = disk_calls(w.disk);
	/* The disk works again; the process may have gone on meanwhile. */
	disk_fail(w.disk, 0, 0, 0, false);
	if (seed % 2 == 0)
		disk_cut(w.disk, DISK_CUT_KILL);
	world_check(&w, w.acked);
	/* What was shown is on disk, whatever the cache pretended. */
	disk_cut(w.disk, seed % 3 == 0 ? DISK_CUT_RANDOM : DISK_CUT_NOTHING);
	world_check(&w, w.acked);
	world_work(&w, 3);
	disk_cut(w.disk, DISK_CUT_NOTHING);
	world_check(&w, w.acked);
	world_end(&w);
	return count;
}

/*
 * Goal: a failed write or sync is never an acknowledgement, and a sync that
 * fails once has lost what it was about, although reading still shows it.
 * Method: each call of each kind fails, once and for good, with EIO and
 * ENOSPC; reopened; then a power cut.
 */
START_TEST(crash_failures)
{
	static const unsigned kinds[] = {
		DISK_CALL_CREATE, DISK_CALL_WRITE,  DISK_CALL_SYNC,
		DISK_CALL_RENAME, DISK_CALL_CHANGE,
	};
	struct test_rng rng;
	uint64_t seed = test_rng_seed(&rng);
	uint64_t injections = 0;

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		for (unsigned how = 0; how < 4 * 3 * rounds(); how++) {
			uint64_t at = 0;

			do
				at++;
			while (fail_at(seed + how / 4, kinds[i], at,
				       how & 1 ? EIO : ENOSPC,
				       (how & 2) != 0) >= at);
			injections += at;
		}
	}
	ck_assert_uint_gt(injections, 1000);
}
END_TEST

/*
 * Goal: the sync that opening itself makes may fail, and then what it was
 * about is copied, not believed.  Method: a killed process left its batch in
 * the cache; each sync of the opening fails once; power fails afterwards.
 */
START_TEST(crash_sync_at_open)
{
	struct test_rng rng;
	uint64_t seed = test_rng_seed(&rng);
	unsigned failed = 0;

	for (uint64_t at = 1; at <= 6; at++) {
		for (uint64_t step = 20; step < 60; step++) {
			struct mbj_log *log = NULL;
			struct world w;

			world_begin(&w, seed + step);
			disk_stop(w.disk, step);
			world_work(&w, BATCHES);
			disk_cut(w.disk, DISK_CUT_KILL);
			disk_fail(w.disk, DISK_CALL_SYNC, at, EIO, false);
			if (lab_log_try(w.disk, w.acked, &log, NULL) == 0)
				w.shown = mbj_log_end_get(log).lsn.v;
			else
				failed++;
			mbj_log_close(&log);
			disk_fail(w.disk, 0, 0, 0, false);
			if (step % 2 == 0)
				disk_cut(w.disk, DISK_CUT_NOTHING);
			world_check(&w, w.acked);
			disk_cut(w.disk, DISK_CUT_NOTHING);
			world_check(&w, w.acked);
			world_end(&w);
		}
	}
	ck_assert_uint_gt(failed, 0);
}
END_TEST

/*
 * Goal: a log that failed takes nothing more, and says so.  Method: one failed
 * sync, then every call.
 */
START_TEST(crash_failed_log)
{
	struct mbj_error error = {.rc = MBJ_OK};
	struct mbj_log_end end;
	struct mbj_log *log;
	struct world w;

	world_begin(&w, 31);
	(void)world_batch(&w, w.acked + 2);
	log = lab_log_open(w.disk, 0);
	LAB_OK(lab_append(log, &w.chain, 41, 41, err));
	disk_fail(w.disk, DISK_CALL_SYNC, 1, EIO, false);
	ck_assert_int_eq(lab_append(log, &w.chain, 42, 42, &error), MBJ_EIO);
	ck_assert(mbj_log_is_failed(log));
	end = mbj_log_end_get(log);
	ck_assert_uint_eq(end.lsn.v, 41);
	ck_assert_int_eq(lab_append(log, &w.chain, 42, 42, &error), MBJ_EIO);
	ck_assert_ptr_nonnull(strstr(error.message, "opened again"));
	ck_assert_int_eq(mbj_log_reserve(log, 1, &error), MBJ_EIO);
	ck_assert_int_eq(mbj_log_rotate(log, &error), MBJ_EIO);
	lab_read_all(w.disk, true, &w.chain, 41);
	mbj_log_close(&log);
	ck_assert(disk_has(w.disk, "suspect"));
	log = lab_log_open(w.disk, 41);
	ck_assert(!disk_has(w.disk, "suspect"));
	ck_assert_uint_eq(mbj_log_end_get(log).lsn.v, 42);
	mbj_log_close(&log);
	disk_cut(w.disk, DISK_CUT_NOTHING);
	lab_read_all(w.disk, false, &w.chain, 42);
	world_end(&w);
}
END_TEST

/*
 * Goal: failing reads are errors, never an end.  Method: each read of opening
 * and of reading everything fails once; what was read before was right.
 */
START_TEST(crash_reads)
{
	struct world w;
	uint64_t at = 0;
	unsigned failed = 0;
	bool is_done = false;

	world_begin(&w, 32);
	world_work(&w, 40);
	ck_assert_uint_gt(w.acked, w.chain.first.v + 40);
	while (!is_done) {
		struct mbj_log_reader *reader = NULL;
		struct mbj_log *log = NULL;
		struct mbj_group group;
		uint64_t lsn = w.chain.first.v - 1;
		enum mbj_rc rc;

		at++;
		disk_fail(w.disk, DISK_CALL_READ, at, EIO, false);
		rc = lab_log_try(w.disk, w.acked, &log, NULL);
		mbj_log_close(&log);
		if (rc == MBJ_OK)
			rc = lab_reader_try(w.disk, at % 2 == 0, &reader, NULL);
		while (rc == MBJ_OK) {
			rc = mbj_log_reader_next(reader, &group, NULL);
			lsn += rc == MBJ_OK;
		}
		is_done = disk_calls(w.disk) < at;
		if (rc == MBJ_ENOTFOUND) {
			ck_assert(is_done);
			ck_assert_uint_eq(lsn, w.acked);
		} else {
			ck_assert_int_eq(rc, MBJ_EIO);
			failed++;
		}
		mbj_log_reader_close(&reader);
	}
	ck_assert_uint_gt(failed, 10);
	world_end(&w);
}
END_TEST

TCase *test_log_crash_case(void)
{
	TCase *tc = tcase_create("log_crash");

	tcase_set_timeout(tc, 240 * rounds());
	tcase_add_test(tc, crash_every_step);
	tcase_add_test(tc, crash_in_recovery);
	tcase_add_test(tc, crash_failures);
	tcase_add_test(tc, crash_sync_at_open);
	tcase_add_test(tc, crash_failed_log);
	tcase_add_test(tc, crash_reads);
	return tc;
}
