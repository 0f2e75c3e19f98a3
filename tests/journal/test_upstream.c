/*
 * The board of a replica that follows: what is called current, and since when.
 * A live one, with a service beside it, is in tests/replay/test_served.c.
 */
#include <poll.h>
#include <string.h>

#include <mbj/sys.h>
#include <mbj/upstream.h>

#include "journal_cases.h"

enum { STEP_MS = 20 };

static struct mbj_upstream *board_new(void)
{
	struct mbj_upstream *board = NULL;

	ck_assert_int_eq(mbj_upstream_new(&board, NULL), MBJ_OK);
	return board;
}

/* The source says so now, and was asked just before. */
static void hear(struct mbj_upstream *board, uint64_t end)
{
	mbj_upstream_hear(board, (struct mbj_lsn){end}, mbj_monotonic_ms());
}

static struct mbj_upstream_status look(struct mbj_upstream *board)
{
	struct mbj_upstream_status status;

	mbj_upstream_get(board, &status);
	return status;
}

static void step(void)
{
	(void)poll(NULL, 0, STEP_MS);
}

/* Goal: nothing is current that was not heard of and applied. */
START_TEST(board_is_not_current)
{
	struct mbj_upstream *board = board_new();
	struct mbj_upstream_status status;

	mbj_upstream_apply(board, (struct mbj_lsn){7});
	status = look(board);
	ck_assert(!status.was_met && !status.was_current);
	ck_assert_int_eq(status.state, MBJ_UPSTREAM_CONNECTING);
	step();
	mbj_upstream_meet(board);
	hear(board, 9);
	mbj_upstream_apply(board, (struct mbj_lsn){8});
	status = look(board);
	ck_assert(status.was_met && !status.was_current);
	ck_assert_uint_eq(status.end, 9);
	ck_assert_uint_ge(status.lag_ms, STEP_MS);
	ck_assert_uint_eq(status.lag_ms, status.up_ms);
	mbj_upstream_apply(board, (struct mbj_lsn){9});
	status = look(board);
	ck_assert(status.was_current);
	ck_assert_uint_eq(status.lag_ms, status.heard_ms);
	mbj_upstream_free(&board);
	ck_assert_ptr_null(board);
	mbj_upstream_free(&board);
}
END_TEST

/*
 * Goal: a source that writes all the time, and is never caught up with, does
 * not make lag grow beyond what it is.  Method: an end is reached only when
 * the next one has been heard of.
 */
START_TEST(board_follows_a_busy_source)
{
	struct mbj_upstream *board = board_new();
	struct mbj_upstream_status status;

	mbj_upstream_meet(board);
	hear(board, 10);
	for (uint64_t end = 20; end <= 100; end += 10) {
		step();
		hear(board, end);
		mbj_upstream_apply(board, (struct mbj_lsn){end - 10});
		status = look(board);
		ck_assert(status.was_current);
		ck_assert_uint_gt(status.lag_ms, status.heard_ms);
		/* It was current when the last end but one was heard of, all
		 * but two steps after the beginning. */
		ck_assert_uint_le(status.lag_ms + end / 10 * STEP_MS,
				  status.up_ms + 3 * STEP_MS);
	}
	mbj_upstream_free(&board);
}
END_TEST

/* Goal: lag grows while nothing is heard, whatever is said of the link. */
START_TEST(board_grows_when_cut)
{
	struct mbj_upstream *board = board_new();
	struct mbj_upstream_status status;
	struct mbj_error why;

	mbj_upstream_meet(board);
	hear(board, 3);
	mbj_upstream_apply(board, (struct mbj_lsn){3});
	(void)mbj_error_set(&why, MBJ_EIO, "cut");
	mbj_upstream_part(board, false, &why);
	step();
	mbj_upstream_apply(board, (struct mbj_lsn){3});
	status = look(board);
	ck_assert_int_eq(status.state, MBJ_UPSTREAM_WAITING);
	ck_assert_str_eq(status.reason, "cut");
	ck_assert_uint_ge(status.lag_ms, STEP_MS);
	mbj_upstream_connect(board);
	mbj_upstream_lose(board, 4);
	status = look(board);
	ck_assert_int_eq(status.state, MBJ_UPSTREAM_CONNECTING);
	ck_assert_str_eq(status.reason, "cut");
	ck_assert_uint_eq(status.lost, 4);
	ck_assert_uint_ge(status.lag_ms, STEP_MS);
	mbj_upstream_meet(board);
	status = look(board);
	ck_assert_str_eq(status.reason, "");
	ck_assert_uint_eq(status.connections, 2);
	mbj_upstream_part(board, true, NULL);
	ck_assert_int_eq(look(board).state, MBJ_UPSTREAM_ENDED);
	mbj_upstream_free(&board);
}
END_TEST

/*
 * Goal: since when the replica cannot follow is known until it can, or until it
 * is something else that keeps it from that.
 */
START_TEST(board_refused)
{
	struct mbj_upstream *board = board_new();
	struct mbj_upstream_status status;
	struct mbj_error why;

	(void)mbj_error_set(&why, MBJ_EFENCED, "another store");
	mbj_upstream_refuse(NULL, &why);
	ck_assert_uint_eq(look(board).refused_ms, 0);
	mbj_upstream_refuse(board, &why);
	status = look(board);
	ck_assert_int_eq(status.state, MBJ_UPSTREAM_WAITING);
	ck_assert_str_eq(status.reason, "another store");
	ck_assert_uint_ge(status.refused_ms, 1);
	step();
	mbj_upstream_connect(board);
	mbj_upstream_refuse(board, &why);
	mbj_upstream_connect(board);
	ck_assert_uint_ge(look(board).refused_ms, STEP_MS);
	mbj_upstream_part(board, false, NULL);
	ck_assert_uint_eq(look(board).refused_ms, 0);
	mbj_upstream_refuse(board, &why);
	mbj_upstream_meet(board);
	status = look(board);
	ck_assert_uint_eq(status.refused_ms, 0);
	ck_assert_str_eq(status.reason, "");
	mbj_upstream_free(&board);
}
END_TEST

/*
 * Goal: a pause is known until it is over or the source is met again, and
 * counts as lag.  Method: a long one and a short one.
 */
START_TEST(board_is_paused)
{
	struct mbj_upstream *board = board_new();

	mbj_upstream_pause(NULL, 1);
	ck_assert_uint_eq(look(board).paused_ms, 0);
	mbj_upstream_meet(board);
	hear(board, 3);
	mbj_upstream_apply(board, (struct mbj_lsn){3});
	mbj_upstream_pause(board, 3600000);
	mbj_upstream_part(board, false, NULL);
	mbj_upstream_connect(board);
	step();
	ck_assert_uint_gt(look(board).paused_ms, 0);
	ck_assert_uint_le(look(board).paused_ms, 3600000 - STEP_MS);
	ck_assert_uint_ge(look(board).lag_ms, STEP_MS);
	mbj_upstream_meet(board);
	ck_assert_uint_eq(look(board).paused_ms, 0);
	mbj_upstream_pause(board, 1);
	step();
	ck_assert_uint_eq(look(board).paused_ms, 0);
	mbj_upstream_free(&board);
}
END_TEST

/*
 * Goal: what is made again is known, and over with the connection.  Method: of
 * all, of accounts, after an end; each stage has its word.
 */
START_TEST(board_is_resynced)
{
	const struct mbj_resync_progress progress = {MBJ_RESYNC_FETCHING,
						     .is_whole = true,
						     .here = 3, .size = 4};
	struct mbj_upstream *board = board_new();
	struct mbj_upstream_status status;

	mbj_upstream_resync(NULL, &progress);
	ck_assert_int_eq(look(board).resync, MBJ_RESYNC_NONE);
	mbj_upstream_resync(board, &progress);
	status = look(board);
	ck_assert_int_eq(status.resync, MBJ_RESYNC_FETCHING);
	ck_assert(status.is_resync_whole);
	ck_assert_uint_eq(status.resync_here, 3);
	ck_assert_uint_eq(status.resync_size, 4);
	mbj_upstream_part(board, false, NULL);
	status = look(board);
	ck_assert_int_eq(status.resync, MBJ_RESYNC_NONE);
	ck_assert_uint_eq(status.resync_size, 0);
	for (int i = 0; i <= MBJ_RESYNC_LAST; i++)
		ck_assert_str_ne(mbj_resync_word((enum mbj_resync_stage)i), "");
	ck_assert_str_eq(mbj_resync_word(MBJ_RESYNC_JUDGING), "judging");
	mbj_upstream_free(&board);
}
END_TEST

/*
 * Goal: how what comes is packed is known, and over with the connection.
 * Method: less than was asked, and an end.
 */
START_TEST(board_is_packed)
{
	struct mbj_upstream *board = board_new();

	mbj_upstream_pack(NULL, 3, 3);
	mbj_upstream_pack(board, 9, 2);
	ck_assert_uint_eq(look(board).level_asked, 9);
	ck_assert_uint_eq(look(board).level, 2);
	mbj_upstream_part(board, false, NULL);
	ck_assert_uint_eq(look(board).level_asked, 0);
	ck_assert_uint_eq(look(board).level, 0);
	mbj_upstream_free(&board);
}
END_TEST

/*
 * Goal: what is said was true when it was asked, not when it is read.  Method:
 * an answer that was held up.
 */
START_TEST(board_counts_from_the_question)
{
	struct mbj_upstream *board = board_new();
	int64_t asked = mbj_monotonic_ms();
	struct mbj_upstream_status status;

	mbj_upstream_meet(board);
	step();
	mbj_upstream_hear(board, (struct mbj_lsn){5}, asked);
	mbj_upstream_apply(board, (struct mbj_lsn){5});
	status = look(board);
	ck_assert(status.was_current);
	ck_assert_uint_ge(status.lag_ms, STEP_MS);
	ck_assert_uint_lt(status.heard_ms, status.lag_ms);
	mbj_upstream_free(&board);
}
END_TEST

/*
 * Goal: a source that replaces another, and has less, is followed.  Method: the
 * first one's end is never reached.
 */
START_TEST(board_takes_another_source)
{
	struct mbj_upstream *board = board_new();
	struct mbj_upstream_status status;

	mbj_upstream_meet(board);
	hear(board, 100);
	mbj_upstream_apply(board, (struct mbj_lsn){90});
	ck_assert(!look(board).was_current);
	mbj_upstream_meet(board);
	hear(board, 92);
	mbj_upstream_apply(board, (struct mbj_lsn){92});
	status = look(board);
	ck_assert(status.was_current);
	ck_assert_uint_eq(status.end, 92);
	mbj_upstream_free(&board);
}
END_TEST

/* Goal: who follows without a board needs none; each state has its word. */
START_TEST(board_is_optional)
{
	struct mbj_upstream *none = NULL;

	mbj_upstream_connect(NULL);
	mbj_upstream_meet(NULL);
	mbj_upstream_hear(NULL, (struct mbj_lsn){1}, 0);
	mbj_upstream_apply(NULL, (struct mbj_lsn){1});
	mbj_upstream_lose(NULL, 1);
	mbj_upstream_part(NULL, true, NULL);
	test_alloc_fail_at(1);
	ck_assert_int_eq(mbj_upstream_new(&none, NULL), MBJ_ENOMEM);
	test_alloc_fail_at(0);
	for (int i = 0; i <= MBJ_UPSTREAM_LAST; i++)
		ck_assert_str_ne(mbj_upstream_word((enum mbj_upstream_state)i),
				 "");
	ck_assert_str_eq(mbj_upstream_word(MBJ_UPSTREAM_FOLLOWING),
			 "following");
}
END_TEST

TCase *test_upstream_case(void)
{
	TCase *tc = tcase_create("upstream");

	tcase_add_test(tc, board_is_not_current);
	tcase_add_test(tc, board_follows_a_busy_source);
	tcase_add_test(tc, board_grows_when_cut);
	tcase_add_test(tc, board_refused);
	tcase_add_test(tc, board_is_paused);
	tcase_add_test(tc, board_is_resynced);
	tcase_add_test(tc, board_is_packed);
	tcase_add_test(tc, board_counts_from_the_question);
	tcase_add_test(tc, board_takes_another_source);
	tcase_add_test(tc, board_is_optional);
	return tc;
}
