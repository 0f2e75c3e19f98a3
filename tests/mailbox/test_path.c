/*
 * Tests of paths and of showing names: splitting at the delimiter with its
 * limits, escaping for people's eyes, and the safety check of replicas.
 */
#include <mbj/name.h>

#include "cases.h"
#include "name_impl.h"

static const struct mbj_name_policy plain = {false, '/'};
static struct mbj_arena *arena;

static void setup(void)
{
	struct mbj_error err;

	test_ok(mbj_arena_new(1 << 24, &arena, &err), err);
}

static void teardown(void)
{
	mbj_arena_free(&arena);
}

static enum mbj_rc split(struct mbj_bytes path, struct mbj_name **ret_names,
			 size_t *ret_count, struct mbj_error *err)
{
	return mbj_path_split(&plain, path, arena, ret_names, ret_count, err);
}

/*
 * Goal: components come apart at the delimiter, each judged on its own, and
 * only the first can be INBOX.
 * Method: a path of four with something to normalise.
 */
START_TEST(paths_are_split)
{
	struct mbj_name *names = NULL;
	struct mbj_error err;
	size_t count = 0;

	test_ok(split(mbj_bytes_str("inbox/a\xcc\x88/b.c/Inbox"), &names,
		      &count, &err),
		err);
	ck_assert_uint_eq(count, 4);
	ck_assert(mbj_name_is_inbox(names[0].key));
	ck_assert(mbj_bytes_equal(names[1].stored, mbj_bytes_str("\xc3\xa4")));
	ck_assert(mbj_bytes_equal(names[2].stored, mbj_bytes_str("b.c")));
	ck_assert(mbj_bytes_equal(names[3].stored, mbj_bytes_str("Inbox")));
}
END_TEST

/*
 * Goal: empty components are refused, and the path that has one is named.
 * Method: each place for one, and one alone.
 */
START_TEST(empty_components_are_refused)
{
	static const char *const bad[] = {"",	"a/\x01", "/",
					  "/a", "a/",	  "a//b"};
	const bool is_path = _i > 1;
	struct mbj_name *names = NULL;
	struct mbj_error err;
	size_t count = 99;

	test_rc(split(mbj_bytes_str(bad[_i]), &names, &count, &err),
		MBJ_EINVALID);
	ck_assert_str_eq(err.subject_kind, is_path ? "path" : "name");
	if (is_path) {
		ck_assert_str_eq(err.subject, bad[_i]);
		ck_assert_ptr_nonnull(strstr(err.message, bad[_i]));
	}
	ck_assert_ptr_null(names);
	ck_assert_uint_eq(count, 99);
}
END_TEST

/*
 * Goal: depth and length of a path are judged at their limits.
 * Method: MBJ_DEPTH_MAX and MBJ_PATH_MAX, and one more of each.
 */
START_TEST(paths_are_limited)
{
	uint8_t *bytes = malloc(MBJ_PATH_MAX + 1);
	struct mbj_name *names = NULL;
	struct mbj_error err;
	size_t count = 0;

	ck_assert_ptr_nonnull(bytes);
	for (size_t i = 0; i <= MBJ_PATH_MAX; i++)
		bytes[i] = i % 2 == 0 ? 'd' : '/';
	test_ok(split(mbj_bytes_make(bytes, 2 * MBJ_DEPTH_MAX - 1), &names,
		      &count, &err),
		err);
	ck_assert_uint_eq(count, MBJ_DEPTH_MAX);
	test_rc(split(mbj_bytes_make(bytes, 2 * MBJ_DEPTH_MAX + 1), &names,
		      &count, &err),
		MBJ_EINVALID);
	ck_assert_int_eq(err.refusal, MBJ_REFUSAL_TOO_LARGE);
	ck_assert_str_eq(err.subject_kind, "path");
	/* 256 components of 255 bytes, delimiters between and one byte over. */
	for (size_t i = 0; i <= MBJ_PATH_MAX; i++)
		bytes[i] = i % 256 == 255 ? '/' : 'x';
	bytes[MBJ_PATH_MAX - 1] = 'x';
	bytes[MBJ_PATH_MAX - 100] = '/';
	test_ok(split(mbj_bytes_make(bytes, MBJ_PATH_MAX), &names, &count,
		      &err),
		err);
	ck_assert_uint_eq(count, 257);
	test_rc(split(mbj_bytes_make(bytes, MBJ_PATH_MAX + 1), &names, &count,
		      &err),
		MBJ_EINVALID);
	ck_assert_int_eq(err.refusal, MBJ_REFUSAL_TOO_LARGE);
	free(bytes);
}
END_TEST

/* -------------------------------------------------------------- escaping */

#define SHOWN(text, shown)                        \
	{                                         \
		(text), sizeof(text) - 1, (shown) \
	}

static const struct {
	const char *p;
	size_t n;
	const char *shown;
} escapes[] = {
	SHOWN("", ""),
	SHOWN("plain 'name' \"x\"", "plain 'name' \"x\""),
	SHOWN("a\\b", "a\\\\b"),
	SHOWN("\\x41", "\\\\x41"),
	SHOWN("\0", "\\u{0000}"),
	SHOWN("\x1b[31m", "\\u{001B}[31m"),
	SHOWN("a\nb\r\x7f", "a\\u{000A}b\\u{000D}\\u{007F}"),
	SHOWN("\xc2\x85\xc2\xa0", "\\u{0085}\xc2\xa0"),
	SHOWN("\xe2\x80\xae"
	      "cod.exe",
	      "\\u{202E}cod.exe"),
	SHOWN("\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c",
	      "\\u{200E}\\u{200F}\\u{061C}"),
	SHOWN("\xe2\x81\xa6\xe2\x81\xa9", "\\u{2066}\\u{2069}"),
	SHOWN("a\xe2\x80\x8b\xe2\x80\x8d"
	      "b",
	      "a\\u{200B}\\u{200D}b"),
	SHOWN("\xef\xbb\xbf\xc2\xad", "\\u{FEFF}\\u{00AD}"),
	SHOWN("\xe2\x80\xa8\xe2\x80\xa9", "\\u{2028}\\u{2029}"),
	SHOWN("\xef\xbf\xbf\xf4\x8f\xbf\xbf", "\\u{FFFF}\\u{10FFFF}"),
	SHOWN("\xf3\xa0\x81\x81", "\\u{E0041}"),
	SHOWN("M\xfcll", "M\\xFCll"),
	SHOWN("\xed\xa0\x80", "\\xED\\xA0\\x80"),
	SHOWN("\xe2\x82", "\\xE2\\x82"),
	SHOWN("\xc3\xa4\xe5\x8f\xb0\xf0\x9f\x91\xa9",
	      "\xc3\xa4\xe5\x8f\xb0\xf0\x9f\x91\xa9"),
};

/* Goal: what cannot be seen is shown as a number.  Method: the table. */
START_TEST(names_are_escaped)
{
	struct mbj_error err;
	struct mbj_buf buf;

	mbj_buf_init(&buf, 1000);
	mbj_buf_put_str(&buf, "> ");
	mbj_name_escape(&buf, mbj_bytes_make(escapes[_i].p, escapes[_i].n));
	test_ok(mbj_buf_ok(&buf, &err), err);
	ck_assert_msg(buf.n == 2 + strlen(escapes[_i].shown) &&
			      memcmp(buf.p + 2, escapes[_i].shown, buf.n - 2) ==
				      0,
		      "%.*s", (int)buf.n, (const char *)buf.p);
	mbj_buf_done(&buf);
}
END_TEST

/*
 * Goal: whatever the bytes, what is shown is printable, and two names never
 * look the same.
 * Method: random bytes; each escape sequence undone must give them back.
 */
START_TEST(escapes_can_be_undone)
{
	struct test_rng rng;
	struct mbj_buf shown;

	(void)test_rng_seed(&rng);
	mbj_buf_init(&shown, 4096);
	for (int round = 0; round < 20000; round++) {
		uint8_t bytes[24], undone[64];
		size_t n = test_pick(&rng, sizeof(bytes) + 1), at = 0, m = 0;

		test_rng_fill(&rng, bytes, n);
		if (n > 3 && test_rng_chance(&rng, 1, 2))
			memcpy(bytes, "\xe2\x80\xae", 3);
		mbj_buf_clear(&shown);
		mbj_name_escape(&shown, mbj_bytes_make(bytes, n));
		mbj_buf_put_u8(&shown, 0);
		while (shown.p[at] != 0) {
			const char *text = (const char *)shown.p + at;
			unsigned number;

			ck_assert(shown.p[at] >= 0x20 && shown.p[at] != 0x7f);
			if (text[0] == '\\' && text[1] == '\\') {
				undone[m++] = '\\';
				at += 2;
			} else if (sscanf(text, "\\x%2X", &number) == 1) {
				undone[m++] = (uint8_t)number;
				at += 4;
			} else if (sscanf(text, "\\u{%X}", &number) == 1) {
				uint32_t point = 0;
				size_t size = name_decode_point(bytes + m,
								n - m, &point);

				/* It stands for what was in this place. */
				ck_assert_uint_eq(point, number);
				memcpy(undone + m, bytes + m, size);
				m += size;
				at += strcspn(text, "}") + 1;
			} else {
				undone[m++] = shown.p[at++];
			}
		}
		ck_assert_uint_eq(at + 1, shown.n);
		ck_assert_uint_eq(m, n);
		ck_assert_mem_eq(undone, bytes, n);
	}
	mbj_buf_done(&shown);
}
END_TEST

/*
 * Goal: a quoted name fits its room, ends in a quote, and is cut between
 * characters.
 * Method: names of all lengths, of one to eight characters shown a byte.
 */
START_TEST(quotes_fit_their_room)
{
	static const char *const pieces[] = {
		"a", "\xc3\xa4", "\xf0\x9f\x91\xa9", "\x01", "\xff", "\\"};
	uint8_t bytes[400];

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		size_t size = strlen(pieces[i]);

		for (size_t n = 0; n + size <= sizeof(bytes); n += size) {
			char text[NAME_QUOTE_SIZE + 1];
			uint32_t point;

			memset(text, '#', sizeof(text));
			name_quote(mbj_bytes_make(bytes, n), text);
			ck_assert_int_eq(text[NAME_QUOTE_SIZE], '#');
			ck_assert_int_eq(text[0], '"');
			ck_assert_int_eq(text[strlen(text) - 1], '"');
			for (size_t at = 0; text[at] != '\0';) {
				size_t length = name_decode_point(
					(const uint8_t *)text + at,
					strlen(text) - at, &point);

				ck_assert_uint_gt(length, 0);
				at += length;
			}
			memcpy(bytes + n, pieces[i], size);
		}
	}
}
END_TEST

/* Goal: escaping into a full buffer ends.  Method: a buffer of ten bytes. */
START_TEST(escaping_stops_at_the_limit)
{
	uint8_t bytes[1000];
	struct mbj_buf buf;

	memset(bytes, 1, sizeof(bytes));
	mbj_buf_init(&buf, 10);
	mbj_name_escape(&buf, mbj_bytes_make(bytes, sizeof(bytes)));
	test_rc(mbj_buf_ok(&buf, NULL), MBJ_ELIMIT);
	ck_assert_uint_le(buf.n, 10);
	mbj_buf_done(&buf);
}
END_TEST

/*
 * Goal: a replica judges safety, never taste.
 * Method: lengths at their limits, a NUL, and names that policy refuses.
 */
START_TEST(safety_is_not_policy)
{
	uint8_t bytes[MBJ_KEY_MAX + 1];
	struct mbj_bytes ok = mbj_bytes_str("a/b\x01\xff");

	memset(bytes, 'x', sizeof(bytes));
	ck_assert(mbj_name_is_safe(ok, ok));
	ck_assert(mbj_name_is_safe(mbj_bytes_make(bytes, MBJ_NAME_MAX),
				   mbj_bytes_make(bytes, MBJ_KEY_MAX)));
	ck_assert(
		!mbj_name_is_safe(mbj_bytes_make(bytes, MBJ_NAME_MAX + 1), ok));
	ck_assert(
		!mbj_name_is_safe(ok, mbj_bytes_make(bytes, MBJ_KEY_MAX + 1)));
	ck_assert(!mbj_name_is_safe(mbj_bytes_make(NULL, 0), ok));
	ck_assert(!mbj_name_is_safe(ok, mbj_bytes_make(bytes, 0)));
	ck_assert(!mbj_name_is_safe(mbj_bytes_make("a\0", 2), ok));
	ck_assert(!mbj_name_is_safe(ok, mbj_bytes_make("\0", 1)));
	ck_assert(!mbj_name_is_inbox(mbj_bytes_str("inbox")));
	ck_assert(!mbj_name_is_inbox(mbj_bytes_str("INBOXX")));
	ck_assert(mbj_name_is_inbox(mbj_bytes_str("INBOX")));
}
END_TEST

TCase *test_path_case(void)
{
	TCase *all = tcase_create("path");

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, paths_are_split);
	tcase_add_loop_test(all, empty_components_are_refused, 0, 6);
	tcase_add_test(all, paths_are_limited);
	tcase_add_loop_test(all, names_are_escaped, 0,
			    sizeof(escapes) / sizeof(escapes[0]));
	tcase_add_test(all, escapes_can_be_undone);
	tcase_add_test(all, quotes_fit_their_room);
	tcase_add_test(all, escaping_stops_at_the_limit);
	tcase_add_test(all, safety_is_not_policy);
	return all;
}
