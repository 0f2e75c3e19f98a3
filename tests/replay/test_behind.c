/*
 * A replica of which the source has trimmed what comes next begins anew, from a
 * snapshot that comes through the stream.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mbj/audit.h>
#include <mbj/trim.h>

#include "between.h"
#include "resync_lab.h"

enum { HERE = 2, SEEDED = 5, ALL_GROUPS = 6 };

static const struct encounter whole = {.cut = ENOUGH,
				       .flip = ENOUGH,
				       .is_mending = true};

/* A source that begins behind group 5, and one group more. */
static void source_begin(struct fixture *f, const struct mbj_store_options *o,
			 char source[MBJ_PATH_TEXT_MAX])
{
	struct mbj_replay_options usual = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;
	struct mbj_store *store = NULL;
	struct mbj_lsn lsn;

	ck_assert_uint_eq(snapshot_make(f->primary), SEEDED);
	OK(mbj_path_join(source, f->tmpdir, "source", err));
	OK(mbj_replica_init(source, f->primary_dir, o, &lsn, err));
	fixture_rename(f, "alice", "a", "z");
	OK(mbj_replica_open(source, o, &store, err));
	OK(mbj_replay_journal(store, f->primary_dir, &usual, &result, err));
	ck_assert_uint_eq(result.applied.v, ALL_GROUPS);
	mbj_store_close(&store);
}

/*
 * Groups 1 and 2 are here, of alice and bob; the source begins behind group 5,
 * and has one more.
 */
static void behind_begin(struct fixture *f, const struct mbj_store_options *o,
			 bool is_aside, char source[MBJ_PATH_TEXT_MAX])
{
	fixture_begin_with(f, o);
	fixture_import(f, "alice", 4);
	fixture_import(f, "bob", 4);
	ck_assert_uint_eq(fixture_replay(f).applied.v, HERE);
	if (is_aside)
		aside_ghost(f, "alice", true);
	fixture_rename(f, "alice", "m2", "a");
	if (is_aside)
		ck_assert_uint_eq(fixture_replay(f).groups_parked, 1);
	fixture_rename(f, "alice", "m3", "b");
	fixture_rename(f, "alice", "m4", "c");
	source_begin(f, o, source);
}

static void reopen(struct fixture *f)
{
	mbj_store_close(&f->replica);
	OK(mbj_replica_open(f->replica_dir, f->options, &f->replica, err));
}

static uint64_t first_of(const struct fixture *f)
{
	return mbj_store_identity(f->replica)->anchor.first.v;
}

static uint64_t applied_of(const struct fixture *f)
{
	struct mbj_watermark applied;

	OK(mbj_store_applied(f->replica, &applied, err));
	return applied.lsn.v;
}

/* It goes on behind the snapshot, and has all that there is. */
static void anew_check(struct fixture *f, const char *source)
{
	struct meeting meeting;

	reopen(f);
	ck_assert_uint_eq(first_of(f), SEEDED + 1);
	ck_assert_int_eq(meet_with(f, source, &whole, &meeting), MBJ_OK);
	ck_assert_uint_eq(meeting.result.replay.applied.v, ALL_GROUPS);
	aside_equal(f);
	reopen(f);
	aside_equal(f);
	rebuild(f);
	aside_equal(f);
}

/*
 * Goal: it begins anew by itself, with who was aside, and is what the source
 * is; it is the same replica.  Method: with an account aside, and without.
 */
START_TEST(behind_anew)
{
	char source[MBJ_PATH_TEXT_MAX];
	struct mbj_audit_entry e = {.number = 0};
	struct mbj_audit_list list;
	struct meeting meeting;
	struct mbj_id instance;
	struct fixture f;

	behind_begin(&f, NULL, _i == 1, source);
	instance = mbj_store_identity(f.replica)->instance;
	ck_assert_int_eq(meet_with(&f, source, &whole, &meeting), MBJ_EBUSY);
	ck_assert(meeting.result.is_renewed && !meeting.result.is_lost);
	anew_check(&f, source);
	ck_assert(mbj_id_equal(mbj_store_identity(f.replica)->instance,
			       instance));
	OK(mbj_audit_load(NULL, f.replica_dir, &list, err));
	while (mbj_audit_next(&list, &e))
		;
	ck_assert_uint_eq(list.count, _i == 1 ? 2 : 0);
	if (_i == 1) {
		ck_assert_int_eq(e.kind, MBJ_AUDIT_RESYNC);
		ck_assert_uint_eq(e.snapshot.v, SEEDED);
	}
	mbj_audit_list_done(&list);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: who does not want that is refused, and nothing is changed.  Method:
 * without mending, and from the directory.
 */
START_TEST(behind_refused)
{
	struct mbj_replay_options usual = MBJ_REPLAY_OPTIONS_INIT;
	char source[MBJ_PATH_TEXT_MAX];
	struct mbj_replay_result result;
	struct encounter how = whole;
	struct meeting meeting;
	struct mbj_error why;
	struct fixture f;

	behind_begin(&f, NULL, false, source);
	how.is_mending = false;
	ck_assert_int_eq(meet_with(&f, source, &how, &meeting), MBJ_EFENCED);
	ck_assert(!meeting.result.is_renewed);
	ck_assert_int_eq(mbj_replay_journal(f.replica, source, &usual, &result,
					    &why),
			 MBJ_EFENCED);
	ck_assert_uint_eq(first_of(&f), 1);
	ck_assert_uint_eq(applied_of(&f), HERE);
	reopen(&f);
	ck_assert_uint_eq(applied_of(&f), HERE);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: an account that nobody named since and that is otherwise here is a
 * fork, or damage: nothing is given up for it.  Method: a ghost of bob's.
 */
START_TEST(behind_otherwise)
{
	char source[MBJ_PATH_TEXT_MAX];
	struct meeting meeting;
	struct fixture f;

	behind_begin(&f, NULL, false, source);
	aside_ghost(&f, "bob", true);
	ck_assert_int_eq(meet_with(&f, source, &whole, &meeting), MBJ_EFENCED);
	ck_assert_msg(strstr(meeting.why.message, "since group 2") != NULL,
		      "%s", meeting.why.message);
	ck_assert(!meeting.result.is_renewed);
	ck_assert_uint_eq(applied_of(&f), HERE);
	aside_ghost(&f, "bob", false);
	ck_assert_int_eq(meet_with(&f, source, &whole, &meeting), MBJ_EBUSY);
	anew_check(&f, source);
	fixture_end(&f);
}
END_TEST

/*
 * The primary's store goes another way in a copy, with an account of its own or
 * changes of bob's, which the replica follows.
 */
static void fork_follow(struct fixture *f, bool is_of_bob)
{
	char command[3 * MBJ_PATH_TEXT_MAX];
	struct fixture fork;

	mbj_store_close(&f->primary);
	fork = *f;
	OK(mbj_path_join(fork.primary_dir, f->tmpdir, "fork", err));
	(void)snprintf(command, sizeof(command), "cp -a '%s' '%s'",
		       f->primary_dir, fork.primary_dir);
	ck_assert_int_eq(system(command), 0);
	OK(mbj_store_open(f->primary_dir, NULL, &f->primary, err));
	OK(mbj_store_open(fork.primary_dir, NULL, &fork.primary, err));
	if (is_of_bob)
		fixture_rename(&fork, "bob", "m2", "x");
	else
		fixture_import(&fork, "carol", 2);
	ck_assert_uint_eq(fixture_replay(&fork).applied.v, HERE + 1);
	mbj_store_close(&fork.primary);
}

/*
 * Goal: an account that the source never knew, or had deleted where the replica
 * ends, is a fork as well.  Method: a replica that followed another one.
 */
START_TEST(behind_fork)
{
	char source[MBJ_PATH_TEXT_MAX];
	struct meeting meeting;
	struct fixture f;
	size_t said;

	fixture_begin_two(&f);
	(void)fixture_replay(&f);
	fork_follow(&f, _i == 1);
	if (_i == 1)
		aside_delete(&f, "bob");
	else
		fixture_rename(&f, "alice", "m4", "c");
	fixture_rename(&f, "alice", "m3", "b");
	fixture_rename(&f, "alice", "m2", "a");
	source_begin(&f, NULL, source);
	ck_assert_int_eq(meet_with(&f, source, &whole, &meeting), MBJ_EFENCED);
	ck_assert_msg(strstr(meeting.why.message, "since group 3") != NULL,
		      "%s", meeting.why.message);
	ck_assert(!meeting.result.is_renewed);
	/* Who asks again, as a service does, has it here. */
	said = meeting.said;
	ck_assert_int_eq(meet_with(&f, source, &whole, &meeting), MBJ_EFENCED);
	ck_assert_uint_lt(meeting.said, said / 2);
	reopen(&f);
	ck_assert_uint_eq(applied_of(&f), HERE + 1);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: wherever the connection ends or its bytes are bent, the replica is what
 * it was, whole, or begins anew.  Method: each place, in strides from a seed.
 */
enum { STRIDE = 173 };

START_TEST(behind_cut)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	char source[MBJ_PATH_TEXT_MAX];
	struct encounter how = whole;
	struct meeting meeting;
	struct test_rng rng;
	struct fixture f;
	size_t end = ENOUGH;

	test_rng_seed(&rng);
	options.state.engine = MBJ_STATE_MEMORY;
	for (size_t n = test_rng_below(&rng, STRIDE); n < end; n += STRIDE) {
		behind_begin(&f, &options, true, source);
		how.cut = _i == 0 ? n : ENOUGH;
		how.flip = _i == 0 ? ENOUGH : n;
		ck_assert_int_lt(meet_with(&f, source, &how, &meeting), MBJ_OK);
		if (meeting.said < n || meeting.result.is_renewed)
			end = meeting.said;
		reopen(&f);
		if (!meeting.result.is_renewed) {
			ck_assert_uint_eq(first_of(&f), 1);
			ck_assert_uint_eq(applied_of(&f), HERE + 1);
			aside_waits(&f, "alice", 1, 3, "group 3");
			ck_assert_int_eq(meet_with(&f, source, &whole,
						   &meeting),
					 MBJ_EBUSY);
		}
		anew_check(&f, source);
		fixture_end(&f);
	}
}
END_TEST

/*
 * Goal: an opening that was stopped is gone on with.  Method: the old journal
 * removed in part, and whole; the old state still there.
 */
START_TEST(behind_stopped)
{
	char source[MBJ_PATH_TEXT_MAX];
	char path[MBJ_PATH_TEXT_MAX];
	struct meeting meeting;
	struct mbj_buf names;
	struct fixture f;

	behind_begin(&f, NULL, false, source);
	ck_assert_int_eq(meet_with(&f, source, &whole, &meeting), MBJ_EBUSY);
	mbj_store_close(&f.replica);
	OK(mbj_path_join(path, f.replica_dir, "journal", err));
	mbj_buf_init(&names, 1 << 16);
	OK(mbj_dir_list(mbj_sys_posix(), path, &names, err));
	for (const char *name = mbj_names_next(&names, NULL); name != NULL;
	     name = mbj_names_next(&names, name)) {
		char file[MBJ_PATH_TEXT_MAX];

		if (strcmp(name, "published") == 0)
			continue;
		OK(mbj_path_join(file, path, name, err));
		ck_assert_int_eq(unlink(file), 0);
	}
	mbj_buf_done(&names);
	OK(mbj_replica_open(f.replica_dir, f.options, &f.replica, err));
	anew_check(&f, source);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: what cannot be begun with is refused.  Method: a primary, another
 * store's snapshot, one of what is here, an older reign.
 */
START_TEST(behind_bad)
{
	char source[MBJ_PATH_TEXT_MAX];
	struct mbj_snapshot_info info = {.lineage = {{0}}};
	struct mbj_identity identity;
	struct mbj_error why;
	struct fixture f;

	behind_begin(&f, NULL, false, source);
	identity = *mbj_store_identity(f.replica);
	info.lineage = identity.lineage;
	info.watermark.lsn.v = SEEDED;
	ck_assert_int_eq(mbj_store_begin_anew(f.primary, &identity, &info,
					      &why),
			 MBJ_EFENCED);
	info.watermark.lsn.v = HERE;
	ck_assert_int_eq(mbj_store_begin_anew(f.replica, &identity, &info,
					      &why),
			 MBJ_EFENCED);
	info.watermark.lsn.v = SEEDED;
	info.lineage = fixture_id(7);
	ck_assert_int_eq(mbj_store_begin_anew(f.replica, &identity, &info,
					      &why),
			 MBJ_EFENCED);
	info.lineage = identity.lineage;
	identity.lineage = fixture_id(7);
	ck_assert_int_eq(mbj_store_begin_anew(f.replica, &identity, &info,
					      &why),
			 MBJ_EFENCED);
	identity.lineage = info.lineage;
	identity.epoch.v--;
	ck_assert_int_eq(mbj_store_begin_anew(f.replica, &identity, &info,
					      &why),
			 MBJ_EFENCED);
	identity.epoch.v++;
	identity.epoch_owner = fixture_id(8);
	ck_assert_int_eq(mbj_store_begin_anew(f.replica, &identity, &info,
					      &why),
			 MBJ_EFENCED);
	ck_assert_uint_eq(applied_of(&f), HERE);
	fixture_end(&f);
}
END_TEST

TCase *test_behind_case(void)
{
	TCase *tcase = tcase_create("behind");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, behind_anew, 0, 2);
	tcase_add_test(tcase, behind_refused);
	tcase_add_test(tcase, behind_otherwise);
	tcase_add_loop_test(tcase, behind_fork, 0, 2);
	tcase_add_loop_test(tcase, behind_cut, 0, 2);
	tcase_add_test(tcase, behind_stopped);
	tcase_add_test(tcase, behind_bad);
	return tcase;
}
