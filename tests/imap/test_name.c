/*
 * Names of message files and of folders.
 */
#include <stdio.h>
#include <stdlib.h>

#include <mbj/maildir.h>

#include "cases.h"

/* Goal: flags and letters, in any order, with what others add. */
START_TEST(name_flags)
{
	static const struct {
		const char *name;
		const char *base;
		uint8_t flags;
		uint32_t letters;
		bool is_passed;
	} rows[] = {
		{"1.a.b,S=3:2,", "1.a.b,S=3", 0, 0, false},
		{"1.a:2,DFRST", "1.a", MBJ_FLAGS_ALL, 0, false},
		{"1.a:2,SPaz", "1.a", MBJ_FLAG_SEEN, 1u | 1u << 25, true},
		{"1.a:2,S,T", "1.a", MBJ_FLAG_SEEN, 0, false},
		{"1.a:2,S!?Q", "1.a", MBJ_FLAG_SEEN, 0, false},
		{"1.a:1,S", "1.a", 0, 0, false},
		{"1.a:2", "1.a", 0, 0, false},
		{"1.a:", "1.a", 0, 0, false},
		{"1.a", "1.a", 0, 0, false},
		{":2,S", "", MBJ_FLAG_SEEN, 0, false},
		{"", "", 0, 0, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct mbj_maildir_name name;

		mbj_maildir_name_parse(mbj_bytes_str(rows[i].name), &name);
		ck_assert_msg(mbj_bytes_equal(name.base,
					      mbj_bytes_str(rows[i].base)),
			      "%s", rows[i].name);
		ck_assert_uint_eq(name.flags, rows[i].flags);
		ck_assert_uint_eq(name.letters, rows[i].letters);
		ck_assert(name.is_passed == rows[i].is_passed);
	}
}
END_TEST

/*
 * Goal: what is written is read again, letters in ASCII order.  Method: all
 * flags, random letters.
 */
START_TEST(name_round_trip)
{
	struct test_rng rng;
	struct mbj_buf buf;

	(void)test_rng_seed(&rng);
	mbj_buf_init(&buf, 1024);
	for (unsigned i = 0; i < 64 * 50; i++) {
		struct mbj_maildir_name name = {
			.base = mbj_bytes_str("17.M1P2.host,S=5"),
			.flags = (uint8_t)(i & MBJ_FLAGS_ALL),
			.letters = (uint32_t)test_rng_below(&rng, 1u << 26),
			.is_passed = (i & 32) != 0,
		};
		struct mbj_maildir_name back;

		mbj_buf_clear(&buf);
		mbj_maildir_name_put(&buf, &name);
		ck_assert_int_eq(mbj_buf_ok(&buf, NULL), MBJ_OK);
		mbj_maildir_name_parse(mbj_buf_view(&buf), &back);
		ck_assert(mbj_bytes_equal(back.base, name.base));
		ck_assert_uint_eq(back.flags, name.flags);
		ck_assert_uint_eq(back.letters, name.letters);
		ck_assert(back.is_passed == name.is_passed);
		for (size_t k = name.base.n + 3; k + 1 < buf.n; k++)
			ck_assert(buf.p[k] < buf.p[k + 1]);
	}
	mbj_buf_done(&buf);
}
END_TEST

/* Goal: the order of names is that of time, then of bytes, and total. */
START_TEST(name_order)
{
	static const char *const sorted[] = {
		"0.a",	"00.a",	   "abc",
		"9.z",	"010.a.c", "10.a",
		"10.b", "11.a",	   "99999999999999999999999.a"};
	int count = (int)(sizeof(sorted) / sizeof(*sorted));

	for (int i = 0; i < count; i++)
		for (int k = 0; k < count; k++) {
			int order = mbj_maildir_name_compare(
				mbj_bytes_str(sorted[i]),
				mbj_bytes_str(sorted[k]));

			ck_assert_int_eq((order > 0) - (order < 0),
					 (i > k) - (i < k));
		}
}
END_TEST

static void path_is(struct mbj_utf7 *utf7, const char *name, const char *path)
{
	struct mbj_error err;
	struct mbj_buf buf;

	mbj_buf_init(&buf, 4096);
	ck_assert_int_eq(mbj_maildir_path_parse(utf7, mbj_bytes_str(name), &buf,
						&err),
			 path != NULL ? MBJ_OK : MBJ_EINVALID);
	if (path != NULL) {
		for (size_t i = 0; i < buf.n; i++)
			if (buf.p[i] == '\0')
				buf.p[i] = '/';
		ck_assert_msg(mbj_bytes_equal(mbj_buf_view(&buf),
					      mbj_bytes_str(path)),
			      "%s", name);
	}
	mbj_buf_done(&buf);
}

/* Goal: names of folders as Dovecot reads them.  Method: a table. */
START_TEST(path_parse)
{
	struct mbj_utf7 *utf7 = NULL;

	ck_assert_int_eq(mbj_utf7_new(&utf7, NULL), MBJ_OK);
	path_is(utf7, ".A", "A");
	path_is(utf7, ".A.B.C", "A/B/C");
	path_is(utf7, ".INBOX.kid", "INBOX/kid");
	path_is(utf7, ".R&-D", "R&D");
	path_is(utf7, ".Entw&APw-rfe.x", "Entw\xc3\xbcrfe/x");
	/* No modified UTF-7: taken as it is. */
	path_is(utf7, ".R&X", "R&X");
	path_is(utf7, ".\xc3\xbc.&AOk-", "\xc3\xbc/\xc3\xa9");
	path_is(utf7, ".\xff", "\xff");
	path_is(utf7, ".", NULL);
	path_is(utf7, "..", NULL);
	path_is(utf7, "..A", NULL);
	path_is(utf7, ".A.", NULL);
	path_is(utf7, ".A..B", NULL);
	path_is(utf7, "A", NULL);
	path_is(utf7, "", NULL);
	mbj_utf7_free(&utf7);
}
END_TEST

static void name_is(struct mbj_utf7 *utf7, struct mbj_bytes path,
		    const char *name, const char *why)
{
	struct mbj_error err = {0};
	struct mbj_buf buf;

	mbj_buf_init(&buf, 16384);
	ck_assert_int_eq(mbj_maildir_path_put(utf7, path, &buf, &err),
			 name != NULL ? MBJ_OK : MBJ_EINVALID);
	if (name != NULL)
		ck_assert(mbj_bytes_equal(mbj_buf_view(&buf),
					  mbj_bytes_str(name)));
	else
		ck_assert_msg(strstr(err.message, why) != NULL, "%s",
			      err.message);
	mbj_buf_done(&buf);
}

/* Goal: and as it writes them; what cannot be is refused, saying why. */
START_TEST(path_put)
{
	struct mbj_utf7 *utf7 = NULL;
	char longest[MBJ_MAILDIR_NAME_MAX + 2];
	char wanted[MBJ_MAILDIR_NAME_MAX + 2];

	ck_assert_int_eq(mbj_utf7_new(&utf7, NULL), MBJ_OK);
	name_is(utf7, mbj_bytes_str("INBOX"), "", NULL);
	name_is(utf7, mbj_bytes_make("INBOX\0a", 7), ".INBOX.a", NULL);
	name_is(utf7, mbj_bytes_make("R&D\0\xc3\xbc", 6), ".R&-D.&APw-", NULL);
	name_is(utf7, mbj_bytes_str("a.b"), NULL, "'.'");
	name_is(utf7, mbj_bytes_make("x\0a.b", 5), NULL, "'.'");
	name_is(utf7, mbj_bytes_str("a/b"), NULL, "'/'");
	memset(longest, 'n', sizeof(longest));
	longest[MBJ_MAILDIR_NAME_MAX] = '\0';
	name_is(utf7, mbj_bytes_str(longest), NULL, "256 bytes");
	wanted[0] = '.';
	memcpy(wanted + 1, longest, MBJ_MAILDIR_NAME_MAX);
	longest[MBJ_MAILDIR_NAME_MAX - 1] = '\0';
	wanted[MBJ_MAILDIR_NAME_MAX] = '\0';
	name_is(utf7, mbj_bytes_str(longest), wanted, NULL);
	mbj_utf7_free(&utf7);
}
END_TEST

/*
 * Goal: a path that has a folder's name is what that name parses to.  Method:
 * random components of ASCII with '&', and of other characters.
 */
START_TEST(path_round_trip)
{
	static const char *const pieces[] = {"a",
					     "Z",
					     "&",
					     "-",
					     ",",
					     "+",
					     " ",
					     "\xc3\xbc",
					     "\xe2\x82\xac",
					     "\xf0\x9f\x93\xa7",
					     "~",
					     "\\",
					     "'",
					     "0"};
	struct mbj_utf7 *utf7 = NULL;
	struct mbj_buf path, name, back;
	struct test_rng rng;

	(void)test_rng_seed(&rng);
	ck_assert_int_eq(mbj_utf7_new(&utf7, NULL), MBJ_OK);
	mbj_buf_init(&path, 4096);
	mbj_buf_init(&name, 16384);
	mbj_buf_init(&back, 16384);
	for (int i = 0; i < 5000; i++) {
		size_t components = 1 + test_rng_below(&rng, 4);

		mbj_buf_clear(&path);
		for (size_t k = 0; k < components; k++) {
			if (k > 0)
				mbj_buf_put_u8(&path, 0);
			for (uint64_t n = 1 + test_rng_below(&rng, 6); n > 0;
			     n--)
				mbj_buf_put_str(
					&path,
					pieces[test_rng_below(
						&rng,
						sizeof(pieces) /
							sizeof(*pieces))]);
		}
		ck_assert_int_eq(mbj_maildir_path_put(utf7, mbj_buf_view(&path),
						      &name, NULL),
				 MBJ_OK);
		ck_assert_int_eq(mbj_maildir_path_parse(utf7,
							mbj_buf_view(&name),
							&back, NULL),
				 MBJ_OK);
		ck_assert(mbj_bytes_equal(mbj_buf_view(&back),
					  mbj_buf_view(&path)));
	}
	mbj_buf_done(&path);
	mbj_buf_done(&name);
	mbj_buf_done(&back);
	mbj_utf7_free(&utf7);
}
END_TEST

TCase *test_name_case(void)
{
	TCase *tc = tcase_create("name");

	tcase_add_test(tc, name_flags);
	tcase_add_test(tc, name_round_trip);
	tcase_add_test(tc, name_order);
	tcase_add_test(tc, path_parse);
	tcase_add_test(tc, path_put);
	tcase_add_test(tc, path_round_trip);
	return tc;
}
