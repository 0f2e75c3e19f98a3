/*
 * Tests of the additive digest: the laws of a sum, the separation of kinds
 * and keys, and one value worked out apart from this code.
 */
#include <mbj/digest.h>
#include <mbj/hash.h>

#include "cases.h"

static struct mbj_sha256 *sha;
static struct mbj_hash key;

static void setup(void)
{
	struct mbj_error err;

	test_ok(mbj_sha256_new(&sha, &err), err);
	test_ok(mbj_digest_key(sha, test_id(1), &key, &err), err);
}

static void teardown(void)
{
	mbj_sha256_free(&sha);
}

static void add(struct mbj_digest *digest, uint8_t kind, const char *text)
{
	struct mbj_error err;

	test_ok(mbj_digest_add(digest, sha, &key, kind, mbj_bytes_str(text),
			       &err),
		err);
}

static void sub(struct mbj_digest *digest, uint8_t kind, const char *text)
{
	struct mbj_error err;

	test_ok(mbj_digest_sub(digest, sha, &key, kind, mbj_bytes_str(text),
			       &err),
		err);
}

/* The digest of counts[i] elements named i, added from a random place on. */
static struct mbj_digest digest_of(const uint32_t counts[8],
				   struct test_rng *rng)
{
	struct mbj_digest digest = {{0}};
	uint32_t begin = test_pick(rng, 8);
	char name[2] = "a";

	for (uint32_t i = 0; i < 8; i++) {
		uint32_t element = (begin + 3 * i) % 8;

		name[0] = (char)('a' + element);
		for (uint32_t n = 0; n < counts[element]; n++)
			add(&digest, 1, name);
	}
	return digest;
}

/*
 * Goal: digests are equal exactly where the multisets are, in any order.
 * Method: random pairs of small multisets, some equal, some one apart.
 */
START_TEST(equal_exactly_for_equal_multisets)
{
	struct test_rng rng;

	(void)test_rng_seed(&rng);
	for (int round = 0; round < 500; round++) {
		uint32_t a[8], b[8];
		struct mbj_digest x, y;

		for (int i = 0; i < 8; i++)
			a[i] = b[i] = test_pick(&rng, 3);
		if (test_pick(&rng, 2) == 0)
			b[test_pick(&rng, 8)] += test_pick(&rng, 2);
		if (test_pick(&rng, 2) == 0)
			b[test_pick(&rng, 8)] = test_pick(&rng, 3);
		x = digest_of(a, &rng);
		y = digest_of(b, &rng);
		ck_assert_int_eq(mbj_digest_equal(&x, &y),
				 memcmp(a, b, sizeof(a)) == 0);
	}
}
END_TEST

/*
 * Goal: taking away undoes adding, also before it, down to zero.
 * Method: both in different orders; a sum that passes below zero.
 */
START_TEST(subtraction_undoes)
{
	struct mbj_digest digest = {{0}}, nothing = {{0}}, one = {{0}};

	add(&one, 1, "b");
	sub(&digest, 1, "a");
	ck_assert(!mbj_digest_equal(&digest, &nothing));
	add(&digest, 1, "b");
	add(&digest, 1, "a");
	ck_assert(mbj_digest_equal(&digest, &one));
	sub(&digest, 1, "b");
	ck_assert(mbj_digest_equal(&digest, &nothing));
}
END_TEST

/*
 * Goal: kind, key and element boundaries separate.
 * Method: pairs that differ in one of them only.
 */
START_TEST(kinds_and_keys_separate)
{
	struct mbj_digest a = {{0}}, b = {{0}}, c = {{0}};
	struct mbj_hash other;
	struct mbj_error err;

	add(&a, 1, "x");
	add(&b, 2, "x");
	ck_assert(!mbj_digest_equal(&a, &b));
	/* The kind byte is not the element's first. */
	b = (struct mbj_digest){{0}};
	add(&b, 1, "\1x");
	ck_assert(!mbj_digest_equal(&a, &b));
	test_ok(mbj_digest_key(sha, test_id(2), &other, &err), err);
	test_ok(mbj_digest_add(&c, sha, &other, 1, mbj_bytes_str("x"), &err),
		err);
	ck_assert(!mbj_digest_equal(&a, &c));
	/* An empty element is an element. */
	b = (struct mbj_digest){{0}};
	add(&b, 1, "");
	ck_assert(!mbj_digest_equal(&b, &(struct mbj_digest){{0}}));
}
END_TEST

/*
 * Goal: the bytes are those of the format, for ever.
 * Method: values computed with another implementation of SHA-256.
 */
START_TEST(values_are_those_of_the_format)
{
	static const uint8_t key_bytes[32] = {0xde, 0xa1, 0x03, 0x13, 0xf6,
					      0xcc, 0x75, 0xcf, 0x37, 0xa0,
					      0x21, 0xfc, 0x3c, 0xd1, 0xab,
					      0x25, 0xdb, 0x16, 0xa8, 0xd5,
					      0xa1, 0x46, 0xe6, 0xbc, 0x10,
					      0x7c, 0x25, 0xe9, 0x23, 0x1c,
					      0xf9, 0xec};
	static const uint8_t sum_bytes[32] = {0x70, 0x70, 0x80, 0xc3, 0xf3,
					      0x4a, 0xc1, 0xca, 0x08, 0xeb,
					      0x54, 0x11, 0x44, 0x3a, 0xf3,
					      0x81, 0xa9, 0x98, 0xbc, 0x49,
					      0xd6, 0x55, 0xdc, 0x3e, 0x3e,
					      0x76, 0xe9, 0xd0, 0x8f, 0x6a,
					      0x8d, 0xf0};
	struct mbj_digest digest = {{0}}, decoded;
	uint8_t bytes[MBJ_DIGEST_SIZE];

	ck_assert_mem_eq(key.b, key_bytes, 32);
	add(&digest, 1, "alpha");
	add(&digest, 2, "beta");
	mbj_digest_encode(&digest, bytes);
	ck_assert_mem_eq(bytes, sum_bytes, 32);
	mbj_digest_decode(bytes, &decoded);
	ck_assert(mbj_digest_equal(&digest, &decoded));
	ck_assert_uint_eq(decoded.lane[0], mbj_load_u64(sum_bytes));
}
END_TEST

TCase *test_digest_case(void)
{
	TCase *all = tcase_create("digest");

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, equal_exactly_for_equal_multisets);
	tcase_add_test(all, subtraction_undoes);
	tcase_add_test(all, kinds_and_keys_separate);
	tcase_add_test(all, values_are_those_of_the_format);
	return all;
}
