/*
 * Assertions: they hold, and they stop.
 */
#include <mbj/check.h>
#include <mbj/memory.h>

#include "cases.h"

/*
 * Goal: a true condition costs nothing but itself.  Method: count how often
 * it is evaluated.
 */
START_TEST(check_holds)
{
	int count = 0;

	MBJ_ASSERT(++count == 1);
	ck_assert_int_eq(count, 1);
}
END_TEST

/*
 * Goal: a false condition stops the process, in release builds too.  Method:
 * die of it in a child.
 */
START_TEST(check_stops)
{
	MBJ_ASSERT(1 + 1 == 3);
}
END_TEST

/*
 * Goal: what cannot be reached stops when it is.  Method: reach it in a
 * child.
 */
START_TEST(check_unreachable)
{
	MBJ_UNREACHABLE();
}
END_TEST

/*
 * Goal: misuse of ours is caught where it happens.  Method: give a buffer a
 * NULL with a length, in a child.
 */
START_TEST(check_misuse)
{
	struct mbj_buf buf;

	mbj_buf_init(&buf, 10);
	mbj_buf_put(&buf, NULL, 1);
}
END_TEST

TCase *test_check_case(void)
{
	TCase *tc = tcase_create("check");

	tcase_add_test(tc, check_holds);
	test_add_abort(tc, check_stops);
	test_add_abort(tc, check_unreachable);
	test_add_abort(tc, check_misuse);
	return tc;
}
