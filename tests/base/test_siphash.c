/*
 * SipHash-1-3 against vectors.
 */
#include <mbj/hash.h>

#include "cases.h"

static const struct mbj_sip_key paper_key = {
	UINT64_C(0x0706050403020100),
	UINT64_C(0x0f0e0d0c0b0a0908),
};

/*
 * Goal: the values are SipHash's.  Method: key 00..0f over 00, 01 .. for
 * lengths 0 to 15, as another implementation has them, which has the paper's
 * vectors for 2-4 (appendix A), too.
 */
START_TEST(siphash_known)
{
	static const uint64_t expected[16] = {
		UINT64_C(0xabac0158050fc4dc), UINT64_C(0xc9f49bf37d57ca93),
		UINT64_C(0x82cb9b024dc7d44d), UINT64_C(0x8bf80ab8e7ddf7fb),
		UINT64_C(0xcf75576088d38328), UINT64_C(0xdef9d52f49533b67),
		UINT64_C(0xc50d2b50c59f22a7), UINT64_C(0xd3927d989bb11140),
		UINT64_C(0x369095118d299a8e), UINT64_C(0x25a48eb36c063de4),
		UINT64_C(0x79de85ee92ff097f), UINT64_C(0x70c118c1f94dc352),
		UINT64_C(0x78a384b157b4d9a2), UINT64_C(0x306f760c1229ffa7),
		UINT64_C(0x605aa111c0f95d34), UINT64_C(0xd320d86d2a519956),
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
