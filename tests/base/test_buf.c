/*
 * Buffers, arrays and the allocation functions under them.
 */
#include <mbj/memory.h>

#include "cases.h"

/*
 * Goal: a buffer takes its maximum and not a byte more, however it is put.
 * Method: fill to the maximum by each function, then add one byte.
 */
START_TEST(buf_limit)
{
	static const size_t maxima[] = {1, 63, 64, 65, 200, 4096};
	size_t max = maxima[_i % 6];
	struct mbj_error err = {.rc = MBJ_OK};
	struct mbj_buf buf;

	mbj_buf_init(&buf, max);
	if (_i < 6)
		mbj_buf_put_zero(&buf, max);
	else
		mbj_buf_format(&buf, "%*s", (int)max, "");
	ck_assert_int_eq(mbj_buf_ok(&buf, &err), MBJ_OK);
	ck_assert_int_eq(err.rc, MBJ_OK);
	ck_assert_uint_eq(buf.n, max);
	if (_i < 6)
		mbj_buf_put_u8(&buf, 1);
	else
		mbj_buf_format(&buf, "x");
	ck_assert_int_eq(mbj_buf_ok(&buf, &err), MBJ_ELIMIT);
	ck_assert_int_eq(err.rc, MBJ_ELIMIT);
	ck_assert_uint_eq(buf.n, max);
	mbj_buf_clear(&buf);
	ck_assert_int_eq(mbj_buf_ok(&buf, NULL), MBJ_OK);
	mbj_buf_put_zero(&buf, max + 1);
	ck_assert_uint_eq(buf.n, 0);
	ck_assert_int_eq(mbj_buf_ok(&buf, NULL), MBJ_ELIMIT);
	mbj_buf_done(&buf);
	ck_assert_ptr_null(buf.p);
}
END_TEST

/*
 * Goal: after a failure nothing is appended, though it would fit.  Method:
 * fail with a long string, go on with a short one.
 */
START_TEST(buf_failure_sticks)
{
	struct mbj_buf buf;

	mbj_buf_init(&buf, 4);
	mbj_buf_put_str(&buf, "ab");
	mbj_buf_put_str(&buf, "cde");
	mbj_buf_put_str(&buf, "f");
	mbj_buf_format(&buf, "%d", 7);
	ck_assert(mbj_bytes_equal(mbj_buf_view(&buf), mbj_bytes_str("ab")));
	ck_assert_int_eq(mbj_buf_ok(&buf, NULL), MBJ_ELIMIT);
	mbj_buf_done(&buf);
}
END_TEST

/*
 * Goal: content survives growth.  Method: append random pieces, seed printed,
 * to a buffer and to an array of the full size, and compare.
 */
START_TEST(buf_matches_model)
{
	static uint8_t model[20000];
	struct test_rng rng;
	struct mbj_buf buf;
	size_t n = 0;

	test_rng_seed(&rng);
	mbj_buf_init(&buf, sizeof(model));
	while (n < sizeof(model)) {
		size_t part = test_rng_below(&rng, 100);

		if (part > sizeof(model) - n)
			part = sizeof(model) - n;
		test_rng_fill(&rng, model + n, part);
		mbj_buf_put(&buf, model + n, part);
		n += part;
		ck_assert(mbj_bytes_equal(mbj_buf_view(&buf),
					  mbj_bytes_make(model, n)));
	}
	mbj_buf_done(&buf);
}
END_TEST

/*
 * Goal: formatting appends the text and no NUL.  Method: two pieces, one
 * longer than the first memory.
 */
START_TEST(buf_formats)
{
	struct mbj_buf buf;

	mbj_buf_init(&buf, 300);
	mbj_buf_format(&buf, "%s=%d;", "lag", 3);
	ck_assert(mbj_bytes_equal(mbj_buf_view(&buf), mbj_bytes_str("lag=3;")));
	mbj_buf_format(&buf, "%0200d", 7);
	ck_assert_uint_eq(buf.n, 206);
	ck_assert_uint_eq(buf.p[6], '0');
	ck_assert_uint_eq(buf.p[205], '7');
	mbj_buf_done(&buf);
	mbj_buf_done(NULL);
}
END_TEST

/*
 * Goal: running out of memory sticks and loses nothing.  Method: fail the
 * first and the second growth.
 */
START_TEST(buf_nomem)
{
	struct mbj_error err;
	struct mbj_buf buf;

	mbj_buf_init(&buf, 1000);
	test_alloc_fail_at(1);
	mbj_buf_put_str(&buf, "lost");
	ck_assert_int_eq(mbj_buf_ok(&buf, &err), MBJ_ENOMEM);
	ck_assert_uint_eq(buf.n, 0);
	mbj_buf_clear(&buf);
	test_alloc_fail_at(2);
	mbj_buf_put_str(&buf, "kept");
	mbj_buf_put_zero(&buf, 500);
	ck_assert_int_eq(mbj_buf_ok(&buf, &err), MBJ_ENOMEM);
	ck_assert(mbj_bytes_equal(mbj_buf_view(&buf), mbj_bytes_str("kept")));
	test_alloc_fail_at(0);
	mbj_buf_done(&buf);
}
END_TEST

/*
 * Goal: an array grows to its maximum, never over it, and keeps its content
 * through failures.  Method: every needed count from 1 to one over.
 */
START_TEST(array_limit)
{
	struct mbj_error err;
	size_t capacity = 0;
	void *array = NULL;

	for (size_t i = 1; i <= 21; i++) {
		ck_assert_int_eq(mbj_array_reserve(&array, &capacity, i,
						   sizeof(size_t), 21, &err),
				 MBJ_OK);
		ck_assert(capacity >= i && capacity <= 21);
		((size_t *)array)[i - 1] = i;
	}
	ck_assert_int_eq(mbj_array_reserve(&array, &capacity, 22,
					   sizeof(size_t), 21, &err),
			 MBJ_ELIMIT);
	test_alloc_fail_at(1);
	ck_assert_int_eq(mbj_array_reserve(&array, &capacity, 22,
					   sizeof(size_t), 100, &err),
			 MBJ_ENOMEM);
	test_alloc_fail_at(0);
	ck_assert_int_eq(mbj_array_reserve(&array, &capacity, SIZE_MAX / 4,
					   sizeof(size_t), SIZE_MAX, &err),
			 MBJ_ENOMEM);
	ck_assert_uint_eq(capacity, 21);
	for (size_t i = 0; i < 21; i++)
		ck_assert_uint_eq(((size_t *)array)[i], i + 1);
	mbj_free(array);
}
END_TEST

/*
 * Goal: products that wrap yield nothing, and zero sizes something.  Method:
 * both with each function.
 */
START_TEST(alloc_sizes)
{
	volatile size_t huge = SIZE_MAX;
	void *p = mbj_alloc(0);

	ck_assert_ptr_nonnull(p);
	ck_assert_ptr_null(mbj_realloc_array(p, huge / 2 + 1, 2));
	ck_assert_ptr_null(mbj_calloc(huge / 2 + 1, 2));
	p = mbj_realloc_array(p, 0, 8);
	ck_assert_ptr_nonnull(p);
	mbj_free(p);
	p = mbj_calloc(0, 8);
	ck_assert_ptr_nonnull(p);
	mbj_free(p);
	p = mbj_calloc(1, 8);
	ck_assert_mem_eq(p, "\0\0\0\0\0\0\0\0", 8);
	mbj_free(p);
	mbj_free(NULL);
}
END_TEST

TCase *test_buf_case(void)
{
	TCase *tc = tcase_create("buf");

	tcase_add_loop_test(tc, buf_limit, 0, 12);
	tcase_add_test(tc, buf_failure_sticks);
	tcase_add_test(tc, buf_matches_model);
	tcase_add_test(tc, buf_formats);
	tcase_add_test(tc, buf_nomem);
	tcase_add_test(tc, array_limit);
	tcase_add_test(tc, alloc_sizes);
	return tc;
}
