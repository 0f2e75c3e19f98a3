/*
 * CRC32C: known answers, and its two versions against each other and against
 * the definition.
 */
#include <mbj/hash.h>

#include "cases.h"

static const uint8_t read_pdu[48] = {
	0x01, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00,
	0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x18, 0x28, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};

static void answer_check(const void *p, size_t n, uint32_t expected)
{
	ck_assert_uint_eq(mbj_crc32c(0, mbj_bytes_make(p, n)), expected);
	ck_assert_uint_eq(mbj_crc32c_table(0, mbj_bytes_make(p, n)), expected);
}

/*
 * Goal: the values are those of the standard.  Method: the five examples of
 * RFC 3720 appendix B.4, the check value of CRC catalogues, and no bytes.
 */
START_TEST(crc32c_known)
{
	uint8_t zeroes[32] = {0}, ones[32], up[32], down[32];

	for (uint8_t i = 0; i < 32; i++) {
		ones[i] = 0xff;
		up[i] = i;
		down[i] = (uint8_t)(31 - i);
	}
	answer_check(zeroes, 32, 0x8a9136aa);
	answer_check(ones, 32, 0x62a8ab43);
	answer_check(up, 32, 0x46dd794e);
	answer_check(down, 32, 0x113fdb5c);
	answer_check(read_pdu, sizeof(read_pdu), 0xd9963a56);
	answer_check("123456789", 9, 0xe3069283);
	answer_check(NULL, 0, 0);
}
END_TEST

/* Bit by bit, as the polynomial's definition says. */
static uint32_t crc32c_naive(uint32_t crc, const uint8_t *p, size_t n)
{
	crc = ~crc;
	for (size_t i = 0; i < n; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

/*
 * Goal: hardware, table and definition agree on any length, alignment and
 * starting value.  Method: random slices of random bytes, seed printed.
 */
START_TEST(crc32c_versions_agree)
{
	static uint8_t bytes[20000];
	struct test_rng rng;

	test_rng_seed(&rng);
	test_rng_fill(&rng, bytes, sizeof(bytes));
	for (int i = 0; i < 3000; i++) {
		/* Most of them short, some of several pages. */
		size_t most = i % 10 == 0 ? sizeof(bytes) : 1024;
		size_t at = test_rng_below(&rng, most);
		size_t n = test_rng_below(&rng, most - at + 1);
		uint32_t crc = (uint32_t)test_rng_next(&rng);
		struct mbj_bytes b = mbj_bytes_make(bytes + at, n);
		uint32_t expected = crc32c_naive(crc, b.p, b.n);

		ck_assert_uint_eq(mbj_crc32c_table(crc, b), expected);
		ck_assert_uint_eq(mbj_crc32c(crc, b), expected);
	}
}
END_TEST

/*
 * Goal: a value continued over parts is that of the whole.  Method: cut a
 * text at every place.
 */
START_TEST(crc32c_continues)
{
	static const char text[] = "a mailbox is renamed, a journal is cut";
	size_t n = sizeof(text) - 1;
	uint32_t whole = mbj_crc32c(0, mbj_bytes_make(text, n));

	for (size_t cut = 0; cut <= n; cut++) {
		uint32_t crc = mbj_crc32c(0, mbj_bytes_make(text, cut));

		crc = mbj_crc32c(crc, mbj_bytes_make(text + cut, n - cut));
		ck_assert_uint_eq(crc, whole);
	}
}
END_TEST

TCase *test_crc32c_case(void)
{
	TCase *tc = tcase_create("crc32c");

	tcase_add_test(tc, crc32c_known);
	tcase_add_test(tc, crc32c_versions_agree);
	tcase_add_test(tc, crc32c_continues);
	return tc;
}
