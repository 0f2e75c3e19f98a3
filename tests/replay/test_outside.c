/*
 * Accounts that are set aside where files cannot be opened, space is short and
 * chance is known.
 */
#include <errno.h>
#include <string.h>

#include "aside_lab.h"

struct outside {
	struct mbj_sys sys;
	struct mbj_id drawn;
	int64_t space;
	bool is_shut; /* segments cannot be opened */
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

static int outside_open(void *ctx, const char *path, int flags, mode_t mode)
{
	const struct outside *outside = ctx;

	if (outside->is_shut && strstr(path, ".seg") != NULL)
		return -EIO;
	return mbj_sys_posix()->open(mbj_sys_posix()->ctx, path, flags, mode);
}

/* The real one ignores its context. */
static void outside_init(struct outside *outside,
			 struct mbj_store_options *options)
{
	*outside = (struct outside){.sys = *mbj_sys_posix(),
				    .space = (int64_t)1 << 40};
	outside->sys.ctx = outside;
	outside->sys.open = outside_open;
	outside->sys.random = outside_random;
	outside->sys.space = outside_space;
	*options = MBJ_STORE_OPTIONS_INIT;
	options->sys = &outside->sys;
}

/*
 * Goal: a journal that cannot be read now says nothing of what waits: the call
 * fails, and all wait as before.  Method: one whose segments nobody may open.
 */
START_TEST(outside_unreadable)
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
	outside.is_shut = true;
	ck_assert_int_eq(mbj_quarantine_retry(f.replica, &retry, &result, &why),
			 MBJ_EIO);
	ck_assert_int_eq(mbj_quarantine_retry(f.replica, &retry, &result, NULL),
			 MBJ_EIO);
	aside_waits(&f, "alice", 3, 3, "group 3");
	outside.is_shut = false;
	ck_assert_uint_eq(fixture_replay(&f).groups_retried, 3);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: processes that come and go do not all look at the same accounts.
 * Method: of 200 the one that is mended is looked at by who draws a place
 * before it, and not by others.
 */
START_TEST(outside_drawn)
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
		aside_by_hand(&f, i == 0 ? 255u - alice.b[0] : alice.b[0],
			      others, 3);
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
START_TEST(outside_full)
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
	/* And what the groups take. */
	outside.space += 32 << 10;
	ck_assert_uint_eq(fixture_replay(&f).groups_retried, 3);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

TCase *test_outside_case(void)
{
	TCase *tcase = tcase_create("outside");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, outside_unreadable);
	tcase_add_test(tcase, outside_drawn);
	tcase_add_test(tcase, outside_full);
	return tcase;
}
