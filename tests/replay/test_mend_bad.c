/*
 * Snapshots of a source that are no good, and faults of the replica's own where
 * they are judged: what comes for nothing, how often, and who is to blame.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mend_lab.h"
#include "mend_memory.h"
#include "store_impl.h"

/* Occasions pass where one got nowhere; not many. */
static struct meeting mend_until(struct fixture *f, uint64_t count)
{
	struct meeting meeting;
	unsigned i = 0;

	do {
		ck_assert_uint_lt(i++, 5);
		meeting = mend(f);
	} while (meeting.result.replay.accounts_resynced == 0);
	ck_assert_uint_eq(meeting.result.replay.accounts_resynced, count);
	return meeting;
}

/*
 * Goal: what the source has not is said to who asks, and nobody is held up for
 * it otherwise; with the next snapshot all is well.  Method: none; one that is
 * damaged, asked for once; a newer good one.
 */
START_TEST(mend_none_good)
{
	struct meeting meeting;
	struct fixture f;
	size_t said;

	aside_begin(&f, false, NULL);
	meeting = mend(&f);
	ck_assert_uint_eq(meeting.result.replay.accounts_parked, 1);
	ck_assert_int_eq(one_meet(&f, "alice", ENOUGH, &meeting), MBJ_EFENCED);
	ck_assert_msg(strstr(meeting.why.message, "mbj snapshot") != NULL, "%s",
		      meeting.why.message);
	snapshot_make(f.primary);
	bend(f.primary_dir, 8);
	ck_assert_int_eq(one_meet(&f, "alice", ENOUGH, &meeting), MBJ_ECORRUPT);
	said = mend(&f).said;
	ck_assert_uint_lt(mend(&f).said, said);
	ck_assert_uint_lt(mend(&f).said, 700);
	ck_assert_uint_eq(part_size(&f, 8), 0);
	aside_waits(&f, "alice", 3, 3, "group 3");
	fixture_rename(&f, "bob", "m3", "x");
	snapshot_make(f.primary);
	(void)mend(&f);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a snapshot that is damaged hides none that is older and good, and comes
 * once; who asks for an account is told of the newest where none is good.
 * Method: two, the newer one bent; all accounts, and one; then both.
 */
START_TEST(mend_older)
{
	struct meeting meeting;
	struct fixture f;

	resync_begin(&f);
	aside_rename(&f, false);
	ck_assert_uint_eq(snapshot_make(f.primary), 8);
	bend(f.primary_dir, 8);
	if (_i == 2)
		bend(f.primary_dir, 2);
	if (_i != 1) {
		meeting = mend(&f);
		ck_assert_uint_eq(meeting.result.replay.accounts_resynced,
				  _i == 0);
		ck_assert_uint_eq(part_size(&f, 8), 0);
		ck_assert_uint_eq(part_size(&f, 2), 0);
	}
	if (_i == 2)
		ck_assert_uint_lt(mend(&f).said, 800);
	if (_i > 0)
		ck_assert_int_eq(one_meet(&f, "alice", ENOUGH, &meeting),
				 _i == 1 ? MBJ_OK : MBJ_ECORRUPT);
	if (_i == 2)
		ck_assert_msg(strstr(meeting.why.message,
				     "no snapshot that is "
				     "good; the newest: ") != NULL,
			      "%s", meeting.why.message);
	else
		newest_is(&f, 2);
	if (_i != 2)
		aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a snapshot of which nothing can be said is not fetched, and is once
 * something can.  Method: a replica that began with a snapshot, which is away
 * for a while.
 */
START_TEST(mend_unknown)
{
	char path[MBJ_PATH_TEXT_MAX], away[MBJ_PATH_TEXT_MAX];
	struct meeting meeting;
	struct fixture f;

	resync_begin_seeded(&f);
	aside_ghost(&f, "bob", true);
	fixture_rename(&f, "bob", "m2", "b");
	ck_assert_uint_eq(snapshot_make(f.primary), 3);
	OK(mbj_snapshot_path(path, f.replica_dir, (struct mbj_lsn){2}, err));
	OK(mbj_path_join(away, f.replica_dir, "away", err));
	ck_assert_int_eq(rename(path, away), 0);
	for (int i = 0; i < 2; i++) {
		meeting = mend(&f);
		ck_assert_uint_eq(meeting.result.replay.accounts_parked, 1);
		ck_assert_uint_lt(meeting.said, 800);
	}
	ck_assert_int_eq(one_meet(&f, "bob", ENOUGH, &meeting), MBJ_EFENCED);
	ck_assert_msg(strstr(meeting.why.message, "nothing can be said") !=
			      NULL,
		      "%s", meeting.why.message);
	ck_assert_int_eq(rename(away, path), 0);
	meeting = mend_until(&f, 1);
	ck_assert_uint_gt(meeting.said, 800);
	newest_is(&f, 3);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a good snapshot that was made between two bad ones is found.  Method:
 * the first refused before the good one is there.
 */
START_TEST(mend_between_bad)
{
	struct meeting meeting;
	struct fixture f;

	resync_begin(&f);
	bend(f.primary_dir, 2);
	aside_rename(&f, false);
	ck_assert_uint_eq(mend(&f).result.replay.accounts_resynced, 0);
	ck_assert_uint_eq(snapshot_make(f.primary), 8);
	fixture_rename(&f, "bob", "b", "y");
	ck_assert_uint_eq(snapshot_make(f.primary), 9);
	bend(f.primary_dir, 9);
	meeting = mend(&f);
	ck_assert_uint_eq(meeting.result.replay.accounts_resynced, 1);
	newest_is(&f, 8);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: of a source that makes nothing but bad ones so many come, and then
 * none, good or not, until a day is over; who asks is heard.  Method: that many
 * bad ones in front of a good one; newer bad ones; the first of them a day ago.
 */
START_TEST(mend_bounded)
{
	struct mbj_mend_memory *memory;
	struct meeting meeting;
	struct fixture f;
	size_t said;

	resync_begin(&f);
	aside_rename(&f, false);
	for (unsigned i = 0; i < MBJ_REFUSED_MAX; i++) {
		bend(f.primary_dir, snapshot_make(f.primary));
		fixture_rename(&f, "bob", i % 2 == 0 ? "b" : "y",
			       i % 2 == 0 ? "y" : "b");
	}
	said = mend(&f).said;
	memory = &mbj_store_retry_pace(f.replica)->mend;
	ck_assert_uint_eq(memory->refused_count, MBJ_REFUSED_MAX);
	ck_assert_uint_gt(said, 8 * 1000);
	bend(f.primary_dir, snapshot_make(f.primary));
	meeting = mend(&f);
	ck_assert_uint_lt(meeting.said, 1000);
	aside_waits(&f, "alice", 3, 3, "group 3");
	ck_assert_uint_eq(part_size(&f, 2), 0);
	/* All but the oldest of them. */
	for (uint64_t lsn = 9; lsn < 17; lsn++) {
		char path[MBJ_PATH_TEXT_MAX];

		OK(mbj_snapshot_path(path, f.primary_dir, (struct mbj_lsn){lsn},
				     err));
		ck_assert_int_eq(unlink(path), 0);
	}
	ck_assert_uint_eq(mend(&f).result.replay.accounts_resynced, 0);
	if (_i == 1) {
		ck_assert_int_eq(one_meet(&f, "alice", ENOUGH, &meeting),
				 MBJ_OK);
		ck_assert_uint_eq(memory->refused_count, MBJ_REFUSED_MAX);
	} else {
		memory->refused_ms -= MBJ_REFUSED_MS;
		meeting = mend(&f);
		ck_assert_uint_eq(meeting.result.replay.accounts_resynced, 1);
		ck_assert_uint_eq(memory->refused_count, 1);
	}
	newest_is(&f, 2);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: damage of the replica's own journal refuses no snapshot: one comes,
 * once, and is of use when the journal is whole.  Method: four good ones, a
 * group before them bent, and set right.
 */
START_TEST(mend_own_damage)
{
	struct encounter how = mend_all_of;
	struct mbj_mend_memory *memory;
	struct meeting meeting;
	struct fixture f;
	struct bent bent;
	uint64_t newest = 0;
	uint64_t whole;

	how.is_mending = false;
	aside_begin(&f, true, NULL);
	for (unsigned i = 0; i < 4; i++) {
		newest = snapshot_make(f.primary);
		fixture_rename(&f, "bob", i % 2 == 0 ? "b" : "y",
			       i % 2 == 0 ? "y" : "b");
	}
	ck_assert_int_eq(meet_with(&f, f.primary_dir, &how, &meeting), MBJ_OK);
	bent = group_bend(&f, 5);
	meeting = mend(&f);
	ck_assert_uint_eq(meeting.result.replay.accounts_parked, 2);
	whole = part_size(&f, newest);
	ck_assert_uint_gt(whole, 1000);
	ck_assert_uint_lt(meeting.said, whole + 1000);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_lt(mend(&f).said, 1000);
	memory = &mbj_store_retry_pace(f.replica)->mend;
	ck_assert_uint_eq(memory->refused_count, 0);
	ck_assert_int_eq(one_meet(&f, "alice", ENOUGH, &meeting), MBJ_EFENCED);
	ck_assert_msg(strstr(meeting.why.message, "replica's own journal") !=
			      NULL,
		      "%s", meeting.why.message);
	ck_assert_uint_eq(part_size(&f, newest), whole);
	group_unbend(&bent);
	ck_assert_uint_lt(mend_until(&f, 2).said, 1000);
	newest_is(&f, newest);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a good snapshot comes once, also where no account can be made of it.
 * Method: the replica's own journal bent behind it, and set right for the state
 * that is made anew.
 */
START_TEST(mend_damage_behind)
{
	struct encounter how = mend_all_of;
	struct meeting meeting;
	struct fixture f;
	struct bent bent;

	how.is_mending = false;
	aside_begin(&f, true, NULL);
	ck_assert_uint_eq(snapshot_make(f.primary), 8);
	fixture_rename(&f, "bob", "b", "y");
	fixture_rename(&f, "bob", "y", "b");
	ck_assert_int_eq(meet_with(&f, f.primary_dir, &how, &meeting), MBJ_OK);
	bent = group_bend(&f, 9);
	meeting = mend(&f);
	ck_assert_uint_eq(meeting.result.replay.accounts_resynced, 0);
	ck_assert_uint_gt(meeting.said, 1000);
	newest_is(&f, 8);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_lt(mend(&f).said, 1000);
	group_unbend(&bent);
	rebuild(&f);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/* A disk that has no room for the next account of what was decided. */
struct scarce {
	struct mbj_sys sys;
	bool is_armed;
};

static int scarce_open(void *ctx, const char *path, int flags, mode_t mode)
{
	struct scarce *scarce = ctx;

	if (scarce->is_armed && (flags & O_CREAT) != 0 &&
	    strstr(path, "audit") != NULL) {
		scarce->is_armed = false;
		return -ENOSPC;
	}
	return mbj_sys_posix()->open(NULL, path, flags, mode);
}

/*
 * Goal: an account that fails for what passes keeps no other from being made
 * again, and is itself another time, with the snapshot that is here.  Method: a
 * full disk when the first of two is made.
 */
START_TEST(mend_passing)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct scarce scarce = {.sys = *mbj_sys_posix()};
	struct encounter how = mend_all_of;
	struct meeting meeting;
	struct fixture f;

	scarce.sys.ctx = &scarce;
	scarce.sys.open = scarce_open;
	options.sys = &scarce.sys;
	aside_begin(&f, true, &options);
	ck_assert_uint_eq(snapshot_make(f.primary), 8);
	how.is_mending = false;
	ck_assert_int_eq(meet_with(&f, f.primary_dir, &how, &meeting), MBJ_OK);
	scarce.is_armed = true;
	meeting = mend(&f);
	ck_assert(!scarce.is_armed);
	ck_assert_uint_eq(meeting.result.replay.accounts_resynced, 1);
	ck_assert_uint_eq(meeting.result.replay.accounts_parked, 1);
	ck_assert_uint_gt(meeting.said, 1000);
	ck_assert_uint_lt(mend_until(&f, 1).said, 1000);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/* As if a connection had broken in the middle of the source's snapshot. */
static void part_leave(const struct fixture *f, uint64_t lsn)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf bytes;
	char name[64];

	mbj_buf_init(&bytes, 1 << 20);
	OK(mbj_snapshot_path(path, f->primary_dir, (struct mbj_lsn){lsn}, err));
	OK(mbj_file_load(mbj_sys_posix(), path, 1 << 20, &bytes, err));
	OK(mbj_store_snapshots_make(f->replica, path, err));
	(void)snprintf(name, sizeof(name), "%016llx.snap.part",
		       (unsigned long long)lsn);
	OK(mbj_file_replace(mbj_sys_posix(), path, name,
			    mbj_bytes_make(bytes.p, bytes.n / 2), err));
	mbj_buf_done(&bytes);
}

/*
 * Goal: a bad snapshot that came over two connections hides no older one that
 * is good, and a good one that was bent on its way is had.  Method: one that is
 * bent at the source; one of which what came first is bent here.
 */
START_TEST(mend_resumed)
{
	struct meeting meeting;
	struct fixture f;

	resync_begin(&f);
	aside_rename(&f, false);
	ck_assert_uint_eq(snapshot_make(f.primary), 8);
	bend(f.primary_dir, 8);
	part_leave(&f, 8);
	if (_i == 1) {
		char path[MBJ_PATH_TEXT_MAX];

		OK(mbj_snapshot_path(path, f.primary_dir, (struct mbj_lsn){8},
				     err));
		ck_assert_int_eq(unlink(path), 0);
		ck_assert_uint_eq(snapshot_make(f.primary), 8);
	}
	meeting = mend(&f);
	ck_assert_uint_eq(meeting.result.replay.accounts_resynced, 1);
	ck_assert_uint_eq(mbj_store_retry_pace(f.replica)->mend.suspect.v, 8);
	newest_is(&f, _i == 0 ? 2 : 8);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a snapshot that is bad twice is refused, however it came; a good one
 * has older ones forgotten.
 */
START_TEST(mend_refusals)
{
	struct mbj_mend_memory memory = {.gap = 0};

	mend_refuse(&memory, (struct mbj_lsn){8}, true, 1000);
	ck_assert_uint_eq(memory.refused_count, 0);
	mend_refuse(&memory, (struct mbj_lsn){8}, true, 1001);
	ck_assert_uint_eq(memory.refused_count, 1);
	mend_refuse(&memory, (struct mbj_lsn){3}, false, 1002);
	mend_refuse(&memory, (struct mbj_lsn){5}, false, 1003);
	ck_assert_uint_eq(memory.refused_count, 3);
	ck_assert_uint_eq(memory.refused[1].v, 5);
	mend_accept(&memory, (struct mbj_lsn){6});
	ck_assert_uint_eq(memory.refused_count, 1);
	ck_assert_uint_eq(memory.refused[0].v, 8);
	mend_forget(&memory, 1000 + MBJ_REFUSED_MS);
	ck_assert_uint_eq(memory.refused_count, 1);
	mend_forget(&memory, 1001 + MBJ_REFUSED_MS);
	ck_assert_uint_eq(memory.refused_count, 0);
}
END_TEST

/*
 * Goal: each group but those that are refused is asked for, once, the newest
 * first.  Method: sets from a seed, some of them outside of what is asked for.
 */
START_TEST(mend_gaps)
{
	struct test_rng rng;

	test_rng_seed(&rng);
	for (int round = 0; round < 2000; round++) {
		struct mbj_mend_memory memory = {.gap = 0};
		uint64_t first = 1 + test_rng_below(&rng, 8);
		uint64_t end = first + test_rng_below(&rng, 16);
		uint64_t next = end;
		bool is_bad[32] = {false};
		struct mbj_lsn least, most;
		uint32_t at = 0;

		for (uint64_t i = test_rng_below(&rng, MBJ_REFUSED_MAX); i > 0;
		     i--) {
			uint64_t lsn = 1 + test_rng_below(&rng, 31);

			if (!is_bad[lsn])
				mend_refuse(&memory, (struct mbj_lsn){lsn},
					    false, 0);
			is_bad[lsn] = true;
		}
		while (mend_gap_next(&memory, &at, (struct mbj_lsn){first},
				     (struct mbj_lsn){end}, &least, &most)) {
			for (; next > most.v; next--)
				ck_assert(is_bad[next]);
			for (; next >= least.v; next--)
				ck_assert(!is_bad[next]);
		}
		for (; next >= first; next--)
			ck_assert(is_bad[next]);
	}
}
END_TEST

/* Goal: what gets nowhere is tried ever more seldom, until something comes on.
 */
START_TEST(mend_seldom)
{
	struct mbj_mend_memory memory = {.gap = 0};
	unsigned tries = 0;

	for (int i = 0; i < 1000; i++) {
		if (!mend_is_due(&memory))
			continue;
		tries++;
		mend_stuck(&memory);
	}
	ck_assert_uint_le(tries, 24);
	ck_assert_uint_ge(tries, 15);
	mend_went(&memory);
	ck_assert(mend_is_due(&memory));
}
END_TEST

TCase *test_mend_bad_case(void)
{
	TCase *tcase = tcase_create("mend_bad");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, mend_none_good);
	tcase_add_loop_test(tcase, mend_older, 0, 3);
	tcase_add_test(tcase, mend_unknown);
	tcase_add_test(tcase, mend_between_bad);
	tcase_add_loop_test(tcase, mend_bounded, 0, 2);
	tcase_add_test(tcase, mend_own_damage);
	tcase_add_test(tcase, mend_damage_behind);
	tcase_add_test(tcase, mend_passing);
	tcase_add_loop_test(tcase, mend_resumed, 0, 2);
	tcase_add_test(tcase, mend_refusals);
	tcase_add_test(tcase, mend_gaps);
	tcase_add_test(tcase, mend_seldom);
	return tcase;
}
