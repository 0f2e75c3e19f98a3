/*
 * SHA-256 against NIST's examples.
 */
#include <mbj/hash.h>

#include "cases.h"

static void hash_check(struct mbj_hash hash, const char *expected)
{
	static const char digits[] = "0123456789abcdef";
	char text[2 * MBJ_HASH_SIZE + 1] = "";

	for (size_t i = 0; i < MBJ_HASH_SIZE; i++) {
		text[2 * i] = digits[hash.b[i] >> 4];
		text[2 * i + 1] = digits[hash.b[i] & 15];
	}
	ck_assert_str_eq(text, expected);
}

/*
 * Goal: the values are SHA-256's, and one context serves any number of
 * inputs.  Method: the examples of FIPS 180-2 appendix B and no bytes, twice.
 */
START_TEST(sha256_known)
{
	static const struct {
		const char *text, *expected;
	} rows[] = {
		{"", "e3b0c44298fc1c149afbf4c8996fb924"
		     "27ae41e4649b934ca495991b7852b855"},
		{"abc", "ba7816bf8f01cfea414140de5dae2223"
			"b00361a396177a9cb410ff61f20015ad"},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		 "248d6a61d20638b8e5c026930c3e6039"
		 "a33ce45964ff2167f6ecedd419db06c1"},
	};
	struct mbj_sha256 *sha = NULL;
	struct mbj_hash hash;

	ck_assert_int_eq(mbj_sha256_new(&sha, NULL), MBJ_OK);
	for (size_t i = 0; i < 6; i++) {
		struct mbj_bytes part = mbj_bytes_str(rows[i % 3].text);

		ck_assert_int_eq(mbj_sha256_digest(sha, &part, 1, &hash, NULL),
				 MBJ_OK);
		hash_check(hash, rows[i % 3].expected);
	}
	mbj_sha256_free(&sha);
	ck_assert_ptr_null(sha);
	mbj_sha256_free(&sha);
}
END_TEST

/*
 * Goal: parts are concatenated, empty ones and none at all included.  Method:
 * the same text whole and in parts.
 */
START_TEST(sha256_parts)
{
	struct mbj_bytes parts[] = {
		mbj_bytes_str("a"),
		mbj_bytes_make(NULL, 0),
		mbj_bytes_str("bc"),
	};
	struct mbj_sha256 *sha = NULL;
	struct mbj_hash hash;

	ck_assert_int_eq(mbj_sha256_new(&sha, NULL), MBJ_OK);
	ck_assert_int_eq(mbj_sha256_digest(sha, parts, 3, &hash, NULL), MBJ_OK);
	hash_check(hash, "ba7816bf8f01cfea414140de5dae2223"
			 "b00361a396177a9cb410ff61f20015ad");
	ck_assert_int_eq(mbj_sha256_digest(sha, NULL, 0, &hash, NULL), MBJ_OK);
	hash_check(hash, "e3b0c44298fc1c149afbf4c8996fb924"
			 "27ae41e4649b934ca495991b7852b855");
	mbj_sha256_free(&sha);
}
END_TEST

/*
 * Goal: piece by piece is the same, and a new beginning forgets.  Method: the
 * text in pieces, after some that were given up.
 */
START_TEST(sha256_pieces)
{
	struct mbj_sha256 *sha = NULL;
	struct mbj_hash hash;

	ck_assert_int_eq(mbj_sha256_new(&sha, NULL), MBJ_OK);
	ck_assert_int_eq(mbj_sha256_begin(sha, NULL), MBJ_OK);
	ck_assert_int_eq(mbj_sha256_update(sha, mbj_bytes_str("x"), NULL),
			 MBJ_OK);
	ck_assert_int_eq(mbj_sha256_begin(sha, NULL), MBJ_OK);
	ck_assert_int_eq(mbj_sha256_update(sha, mbj_bytes_str("ab"), NULL),
			 MBJ_OK);
	ck_assert_int_eq(mbj_sha256_update(sha, mbj_bytes_make(NULL, 0), NULL),
			 MBJ_OK);
	ck_assert_int_eq(mbj_sha256_update(sha, mbj_bytes_str("c"), NULL),
			 MBJ_OK);
	ck_assert_int_eq(mbj_sha256_end(sha, &hash, NULL), MBJ_OK);
	hash_check(hash, "ba7816bf8f01cfea414140de5dae2223"
			 "b00361a396177a9cb410ff61f20015ad");
	mbj_sha256_free(&sha);
}
END_TEST

/*
 * Goal: messages that are padded here are hashed like others.  Method: every
 * length to beyond the longest, in two parts, against libcrypto's own padding,
 * which a message in pieces gets.
 */
START_TEST(sha256_lengths)
{
	struct mbj_sha256 *sha = NULL;
	struct mbj_hash hash, expected;
	uint8_t text[330];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 7 + 1);
	ck_assert_int_eq(mbj_sha256_new(&sha, NULL), MBJ_OK);
	for (size_t n = 0; n <= sizeof(text); n++) {
		size_t cut = n * 3 / 7;
		const struct mbj_bytes parts[] = {
			mbj_bytes_make(text, cut),
			mbj_bytes_make(text + cut, n - cut),
		};

		ck_assert_int_eq(mbj_sha256_digest(sha, parts, 2, &hash, NULL),
				 MBJ_OK);
		ck_assert_int_eq(mbj_sha256_begin(sha, NULL), MBJ_OK);
		ck_assert_int_eq(mbj_sha256_update(sha, mbj_bytes_make(text, n),
						   NULL),
				 MBJ_OK);
		ck_assert_int_eq(mbj_sha256_end(sha, &expected, NULL), MBJ_OK);
		ck_assert_mem_eq(&hash, &expected, sizeof(hash));
	}
	mbj_sha256_free(&sha);
}
END_TEST

/*
 * Goal: without memory there is no context and nothing is written.  Method:
 * fail the one allocation of ours.
 */
START_TEST(sha256_nomem)
{
	struct mbj_sha256 *sha = NULL;
	struct mbj_error err;

	test_alloc_fail_at(1);
	ck_assert_int_eq(mbj_sha256_new(&sha, &err), MBJ_ENOMEM);
	ck_assert_int_eq(err.rc, MBJ_ENOMEM);
	ck_assert_ptr_null(sha);
	test_alloc_fail_at(0);
}
END_TEST

TCase *test_sha256_case(void)
{
	TCase *tc = tcase_create("sha256");

	tcase_add_test(tc, sha256_known);
	tcase_add_test(tc, sha256_parts);
	tcase_add_test(tc, sha256_pieces);
	tcase_add_test(tc, sha256_lengths);
	tcase_add_test(tc, sha256_nomem);
	return tc;
}
