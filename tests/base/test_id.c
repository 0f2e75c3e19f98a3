/*
 * Identities and byte strings.
 */
#include <errno.h>

#include <mbj/sys.h>

#include "cases.h"
#include "fault_sys.h"

/*
 * Goal: parse(print(id)) is id, in either case of letters.  Method: random
 * ids, seed printed.
 */
START_TEST(id_round_trip)
{
	struct test_rng rng;

	test_rng_seed(&rng);
	for (int i = 0; i < 500; i++) {
		char text[MBJ_ID_TEXT_SIZE];
		struct mbj_id id, parsed = MBJ_ID_ROOT;

		test_rng_fill(&rng, id.b, sizeof(id.b));
		mbj_id_print(id, text);
		ck_assert_uint_eq(strlen(text), MBJ_ID_TEXT_SIZE - 1);
		ck_assert(mbj_id_parse(mbj_bytes_str(text), &parsed));
		ck_assert(mbj_id_equal(id, parsed));
		for (char *c = text; *c != '\0'; c++)
			*c = (char)(*c >= 'a' ? *c - 'a' + 'A' : *c);
		parsed = MBJ_ID_ROOT;
		ck_assert(mbj_id_parse(mbj_bytes_str(text), &parsed));
		ck_assert(mbj_id_equal(id, parsed));
	}
}
END_TEST

/*
 * Goal: nothing but 32 hexadecimal digits is an id.  Method: one digit short,
 * one long, and every byte that is no digit at both places of a pair.
 */
START_TEST(id_refuses)
{
	char text[] = "00112233445566778899aabbccddeeff0";
	struct mbj_id id = MBJ_ID_TEMP;

	ck_assert(!mbj_id_parse(mbj_bytes_make(NULL, 0), &id));
	ck_assert(!mbj_id_parse(mbj_bytes_make(text, 31), &id));
	ck_assert(!mbj_id_parse(mbj_bytes_make(text, 33), &id));
	for (int c = 0; c < 256; c++) {
		bool is_digit = (c >= '0' && c <= '9') ||
				(c >= 'a' && c <= 'f') ||
				(c >= 'A' && c <= 'F');

		for (size_t at = 30; !is_digit && at < 32; at++) {
			char kept = text[at];

			text[at] = (char)c;
			ck_assert(!mbj_id_parse(mbj_bytes_make(text, 32), &id));
			text[at] = kept;
		}
	}
	ck_assert_msg(mbj_id_is_temp(id), "written in spite of a failure");
	ck_assert(mbj_id_parse(mbj_bytes_make(text, 32), &id));
}
END_TEST

/*
 * Goal: the two reserved ids and no others are reserved.  Method: both, and
 * each of them with one bit changed.
 */
START_TEST(id_reserved)
{
	ck_assert(mbj_id_is_root(MBJ_ID_ROOT) && !mbj_id_is_temp(MBJ_ID_ROOT));
	ck_assert(mbj_id_is_temp(MBJ_ID_TEMP) && !mbj_id_is_root(MBJ_ID_TEMP));
	ck_assert(mbj_id_is_reserved(MBJ_ID_ROOT));
	ck_assert(mbj_id_is_reserved(MBJ_ID_TEMP));
	for (size_t bit = 0; bit < 8 * MBJ_ID_SIZE; bit++) {
		struct mbj_id low = MBJ_ID_ROOT, high = MBJ_ID_TEMP;

		low.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
		high.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_assert(!mbj_id_is_reserved(low));
		ck_assert(!mbj_id_is_reserved(high));
	}
}
END_TEST

/*
 * Goal: generated ids differ, and a broken source yields none.  Method: a few
 * real ones; then sources of constant bytes and one that fails.
 */
START_TEST(id_generate)
{
	struct mbj_id a, b, kept;
	struct fault_sys fault;
	struct mbj_error err;

	ck_assert_int_eq(mbj_id_generate(mbj_sys_posix(), &a, NULL), MBJ_OK);
	ck_assert_int_eq(mbj_id_generate(mbj_sys_posix(), &b, NULL), MBJ_OK);
	ck_assert(!mbj_id_equal(a, b));
	kept = a;
	fault_sys_init(&fault, FAULT_ONCE, 0, 0);
	fault.random_byte = 0;
	ck_assert_int_eq(mbj_id_generate(&fault.table, &a, &err), MBJ_EIO);
	fault.random_byte = 0xff;
	ck_assert_int_eq(mbj_id_generate(&fault.table, &a, &err), MBJ_EIO);
	fault_sys_init(&fault, FAULT_ONCE, 1, ENOSYS);
	ck_assert_int_eq(mbj_id_generate(&fault.table, &a, &err), MBJ_EIO);
	ck_assert(mbj_id_equal(a, kept));
}
END_TEST

/*
 * Goal: byte strings order by their bytes, unsigned, prefixes first.  Method:
 * a sorted list, each pair of it compared both ways.
 */
START_TEST(bytes_order)
{
	static const char *const sorted[] = {"",      "a",     "a\x01",
					     "ab",    "b",     "b\x7f",
					     "b\x80", "b\xff", "\xff"};
	size_t count = sizeof(sorted) / sizeof(sorted[0]);

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < count; j++) {
			struct mbj_bytes a = mbj_bytes_str(sorted[i]);
			struct mbj_bytes b = mbj_bytes_str(sorted[j]);
			int order = mbj_bytes_compare(a, b);

			ck_assert_int_eq((order > 0) - (order < 0),
					 (i > j) - (i < j));
			ck_assert(mbj_bytes_equal(a, b) == (i == j));
		}
	}
	ck_assert(mbj_bytes_equal(mbj_bytes_make(NULL, 0), mbj_bytes_str("")));
}
END_TEST

TCase *test_id_case(void)
{
	TCase *tc = tcase_create("id");

	tcase_add_test(tc, id_round_trip);
	tcase_add_test(tc, id_refuses);
	tcase_add_test(tc, id_reserved);
	tcase_add_test(tc, id_generate);
	tcase_add_test(tc, bytes_order);
	return tc;
}
