/*
 * SipHash-2-4 against its authors' vectors.
 */
#include <mbj/hash.h>

#include "cases.h"

static const struct mbj_sip_key paper_key = {
	UINT64_C(0x0706050403020100),
	UINT64_C(0x0f0e0d0c0b0a0908),
};

/*
 * Goal: the values are SipHash's.  Method: key 00..0f over 00, 01 .. for
 * lengths 0 to 15; the last is the example of the paper's appendix A.
 */
START_TEST(siphash_known)
{
	static const uint64_t expected[16] = {
		UINT64_C(0x726fdb47dd0e0e31), UINT64_C(0x74f839c593dc67fd),
		UINT64_C(0x0d6c8009d9a94f5a), UINT64_C(0x85676696d7fb7e2d),
		UINT64_C(0xcf2794e0277187b7), UINT64_C(0x18765564cd99a68d),
		UINT64_C(0xcbc9466e58fee3ce), UINT64_C(0xab0200f58b01d137),
		UINT64_C(0x93f5f5799a932462), UINT64_C(0x9e0082df0ba9e4b0),
		UINT64_C(0x7a5dbbc594ddb9f3), UINT64_C(0xf4b32f46226bada7),
		UINT64_C(0x751e8fbc860ee5fb), UINT64_C(0x14ea5627c0843d90),
		UINT64_C(0xf723ca908e7af2ee), UINT64_C(0xa129ca6149be45e5),
	};
	uint8_t input[16];

	for (uint8_t i = 0; i < 16; i++)
		input[i] = i;
	for (size_t n = 0; n < 16; n++)
		ck_assert_uint_eq(mbj_siphash(paper_key,
					      mbj_bytes_make(input, n)),
				  expected[n]);
}
END_TEST

/*
 * Goal: key, length and every byte matter.  Method: change one of them at a
 * time and look for an equal value.
 */
START_TEST(siphash_all_matters)
{
	uint8_t input[40] = {0};
	uint64_t base = mbj_siphash(paper_key, mbj_bytes_make(input, 40));
	struct mbj_sip_key other = paper_key;

	other.k1 ^= 1;
	ck_assert_uint_ne(mbj_siphash(other, mbj_bytes_make(input, 40)), base);
	ck_assert_uint_ne(mbj_siphash(paper_key, mbj_bytes_make(input, 39)),
			  base);
	for (size_t i = 0; i < sizeof(input); i++) {
		input[i] ^= 0x80;
		ck_assert_uint_ne(mbj_siphash(paper_key,
					      mbj_bytes_make(input, 40)),
				  base);
		input[i] ^= 0x80;
	}
}
END_TEST

TCase *test_siphash_case(void)
{
	TCase *tc = tcase_create("siphash");

	tcase_add_test(tc, siphash_known);
	tcase_add_test(tc, siphash_all_matters);
	return tc;
}
