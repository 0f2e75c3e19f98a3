/*
 * Tests of names: what is accepted and as what, what is refused and why, and
 * the laws that hold for all names.  Paths and showing names are in
 * test_path.c.
 */
#include <time.h>

#include <mbj/name.h>

#include "cases.h"

static const struct mbj_name_policy plain = {false, '/'};
static const struct mbj_name_policy folding = {true, '/'};
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

/* ---------------------------------------------------------------- tables */

static const struct {
	const char *given;
	const char *stored;
	const char *key; /* where the account folds case */
	bool is_top;
} good_names[] = {
	{"a", "a", "a", false},
	{"Sent Mail", "Sent Mail", "sent mail", true},
	{"~!@#$%^&*()\\\"", "~!@#$%^&*()\\\"", "~!@#$%^&*()\\\"", true},
	{" x ", " x ", " x ", true},
	/* INBOX: any case at the top, an ordinary name elsewhere. */
	{"inbox", "INBOX", "INBOX", true},
	{"InBoX", "INBOX", "INBOX", true},
	{"InBoX", "InBoX", "inbox", false},
	{"inbox2", "inbox2", "inbox2", true},
	/* Dotless i and long s are other letters, whatever Turkish does. */
	{"\xc4\xb1nbox", "\xc4\xb1nbox", "\xc4\xb1nbox", true},
	{"\xc4\xb0", "\xc4\xb0", "i\xcc\x87", false},
	/* Composed and decomposed are one name. */
	{"\xc3\x84", "\xc3\x84", "\xc3\xa4", false},
	{"A\xcc\x88", "\xc3\x84", "\xc3\xa4", false},
	{"\xe2\x84\xab", "\xc3\x85", "\xc3\xa5", false},
	{"\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "\xed\x95\x9c", "\xed\x95\x9c",
	 false},
	/* The order of marks is normalised, too. */
	{"q\xcc\x87\xcc\xa3", "q\xcc\xa3\xcc\x87", "q\xcc\xa3\xcc\x87", false},
	{"stra\xc3\x9f"
	 "e",
	 "stra\xc3\x9f"
	 "e",
	 "strasse", false},
	{"\xce\xa3\xcf\x82", "\xce\xa3\xcf\x82", "\xcf\x83\xcf\x83", false},
	/* Han, emoji with joiner, private use: nobody's business. */
	{"\xe5\x8f\xb0\xe5\x8c\x97", "\xe5\x8f\xb0\xe5\x8c\x97",
	 "\xe5\x8f\xb0\xe5\x8c\x97", false},
	{"\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x94\xac",
	 "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x94\xac",
	 "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x94\xac", false},
	{"\xee\x80\x80", "\xee\x80\x80", "\xee\x80\x80", false},
	/* Compatibility forms stay what they are: NFC, not NFKC. */
	{"\xef\xbc\x8f", "\xef\xbc\x8f", "\xef\xbc\x8f", false},
	{".mb", ".mb", ".mb", true},
	{"x.mbj.", "x.mbj.", "x.mbj.", true},
};

/* Goal: names come out as they should.  Method: the table, both policies. */
START_TEST(good_names_are_accepted)
{
	struct mbj_bytes given = mbj_bytes_str(good_names[_i].given);
	struct mbj_bytes stored = mbj_bytes_str(good_names[_i].stored);
	struct mbj_bytes key = mbj_bytes_str(good_names[_i].key);
	bool is_top = good_names[_i].is_top;
	struct mbj_error err;
	struct mbj_name name;

	test_ok(mbj_name_make(&plain, given, is_top, arena, &name, &err), err);
	ck_assert(mbj_bytes_equal(name.stored, stored));
	ck_assert(mbj_bytes_equal(name.key, stored));
	test_ok(mbj_name_make(&folding, given, is_top, arena, &name, &err),
		err);
	ck_assert(mbj_bytes_equal(name.stored, stored));
	ck_assert(mbj_bytes_equal(name.key, key));
	ck_assert(mbj_name_is_safe(name.stored, name.key));
}
END_TEST

#define BAD(text, why)                          \
	{                                       \
		(text), sizeof(text) - 1, (why) \
	}

static const struct {
	const char *p;
	size_t n;
	const char *why;
} bad_names[] = {
	BAD("", "empty"),
	BAD("a/b", "delimiter"),
	BAD("/", "delimiter"),
	BAD("a\0b", "control"),
	BAD("\0", "control"),
	BAD("a\x7f", "control"),
	BAD("\xc2\x80", "control"),
	BAD("\xc2\x9f", "control"),
	BAD("a\r\nb", "control"),
	BAD("\xef\xbb\xbf"
	    "a",
	    "byte order mark"),
	BAD("a\xe2\x80\xa8", "separator"),
	BAD("a\xe2\x80\xa9", "separator"),
	BAD("\xef\xbf\xbe", "noncharacter"),
	BAD("\xef\xbf\xbf", "noncharacter"),
	BAD("\xef\xb7\x90", "noncharacter"),
	BAD("\xf4\x8f\xbf\xbf", "noncharacter"),
	BAD("\xf0\x9f\xbf\xbe", "noncharacter"),
	/* U+0378, U+2FE0 and U+E0080: in no version of Unicode so far. */
	BAD("\xcd\xb8", "does not know"),
	BAD("\xe2\xbf\xa0", "does not know"),
	BAD("\xf3\xa0\x82\x80", "does not know"),
	/* Not UTF-8: bare, cut, overlong, surrogates, beyond, Latin-1. */
	BAD("\x80", "UTF-8"),
	BAD("a\xc3", "UTF-8"),
	BAD("\xe2\x82", "UTF-8"),
	BAD("\xf0\x9f\x91", "UTF-8"),
	BAD("\xc0\xaf", "UTF-8"),
	BAD("\xc1\x81", "UTF-8"),
	BAD("\xe0\x80\xaf", "UTF-8"),
	BAD("\xe0\x9f\xbf", "UTF-8"),
	BAD("\xf0\x80\x80\xaf", "UTF-8"),
	BAD("\xed\xa0\x80", "UTF-8"),
	BAD("\xed\xbf\xbf", "UTF-8"),
	BAD("\xf4\x90\x80\x80", "UTF-8"),
	BAD("\xf5\x80\x80\x80", "UTF-8"),
	BAD("\xff", "UTF-8"),
	BAD("M\xfcll", "UTF-8"),
	BAD("\xc3\x28", "UTF-8"),
	BAD(".mbj.", "reserved"),
	BAD(".mbj.0123", "reserved"),
	BAD(".mbj.\xc3\xa4", "reserved"),
};

/*
 * Goal: each bad name is refused for its own reason, in a message that holds
 * no byte which could move a cursor.
 * Method: the table, under either policy, at the top and below.
 */
START_TEST(bad_names_are_refused)
{
	struct mbj_bytes bad = mbj_bytes_make(bad_names[_i].p, bad_names[_i].n);
	struct mbj_name name = {.stored = {NULL, 77}};
	struct mbj_error err;

	for (int i = 0; i < 4; i++) {
		test_rc(mbj_name_make(i % 2 == 0 ? &plain : &folding, bad,
				      i / 2 == 0, arena, &name, &err),
			MBJ_EINVALID);
		ck_assert_int_eq(err.refusal, MBJ_REFUSAL_INVALID_PROPERTIES);
		ck_assert_str_eq(err.subject_kind, "name");
		ck_assert_msg(strstr(err.message, bad_names[_i].why) != NULL,
			      "%s", err.message);
		for (const char *c = err.message; *c != '\0'; c++)
			ck_assert_msg((unsigned char)*c >= 0x20 && *c != 0x7f,
				      "%s", err.message);
		ck_assert_uint_eq(name.stored.n, 77);
		test_rc(mbj_name_make(&plain, bad, true, arena, &name, NULL),
			MBJ_EINVALID);
	}
}
END_TEST

/*
 * Goal: every ASCII character is judged, and the delimiter is the policy's.
 * Method: all 128 as one-letter names, under both delimiters.
 */
START_TEST(ascii_is_judged_one_by_one)
{
	const struct mbj_name_policy dots = {false, '.'};

	for (unsigned c = 0; c < 0x80; c++) {
		uint8_t byte = (uint8_t)c;
		struct mbj_bytes given = mbj_bytes_make(&byte, 1);
		bool is_control = c < 0x20 || c == 0x7f;
		struct mbj_name name;
		enum mbj_rc rc;

		rc = mbj_name_make(&plain, given, true, arena, &name, NULL);
		ck_assert_int_eq(rc == MBJ_OK, !is_control && c != '/');
		rc = mbj_name_make(&dots, given, true, arena, &name, NULL);
		ck_assert_int_eq(rc == MBJ_OK, !is_control && c != '.');
	}
}
END_TEST

/*
 * Goal: every way to write INBOX is INBOX at the top.
 * Method: all 32 of them, at the top and below, folding and not.
 */
START_TEST(inbox_in_any_case)
{
	for (unsigned bits = 0; bits < 32; bits++) {
		uint8_t text[5] = {'i', 'n', 'b', 'o', 'x'};
		struct mbj_bytes given = mbj_bytes_make(text, sizeof(text));
		struct mbj_name name;
		struct mbj_error err;

		for (unsigned i = 0; i < 5; i++)
			text[i] = (uint8_t)(text[i] - (bits >> i & 1) * 32);
		for (int i = 0; i < 2; i++) {
			const struct mbj_name_policy *policy =
				i == 0 ? &plain : &folding;

			test_ok(mbj_name_make(policy, given, true, arena, &name,
					      &err),
				err);
			ck_assert(mbj_name_is_inbox(name.key));
			ck_assert(mbj_name_is_inbox(name.stored));
			test_ok(mbj_name_make(policy, given, false, arena,
					      &name, &err),
				err);
			ck_assert(mbj_bytes_equal(name.stored, given));
			ck_assert_int_eq(mbj_name_is_inbox(name.key),
					 i == 0 && bits == 31);
		}
	}
}
END_TEST

/* --------------------------------------------------------------- folding */

/*
 * The code points whose folded form is not in NFC (ICU 72): what their keys
 * must be.  Without the second normalisation each of these would fail.
 */
static const struct {
	const char *stored;
	const char *key;
} refolded[] = {
	{"\xc7\xb0", "\xc7\xb0"},
	{"\xce\x90", "\xce\x90"},
	{"\xce\xb0", "\xce\xb0"},
	{"\xe1\xba\x96", "\xe1\xba\x96"},
	{"\xe1\xba\x97", "\xe1\xba\x97"},
	{"\xe1\xba\x98", "\xe1\xba\x98"},
	{"\xe1\xba\x99", "\xe1\xba\x99"},
	{"\xe1\xbd\x90", "\xe1\xbd\x90"},
	{"\xe1\xbd\x92", "\xe1\xbd\x92"},
	{"\xe1\xbd\x94", "\xe1\xbd\x94"},
	{"\xe1\xbd\x96", "\xe1\xbd\x96"},
	{"\xe1\xbe\xb6", "\xe1\xbe\xb6"},
	{"\xe1\xbe\xb7", "\xe1\xbe\xb6\xce\xb9"},
	{"\xe1\xbf\x86", "\xe1\xbf\x86"},
	{"\xe1\xbf\x87", "\xe1\xbf\x86\xce\xb9"},
	{"\xe1\xbf\x92", "\xe1\xbf\x92"},
	{"\xe1\xbf\x93", "\xce\x90"},
	{"\xe1\xbf\x96", "\xe1\xbf\x96"},
	{"\xe1\xbf\x97", "\xe1\xbf\x97"},
	{"\xe1\xbf\xa2", "\xe1\xbf\xa2"},
	{"\xe1\xbf\xa3", "\xce\xb0"},
	{"\xe1\xbf\xa4", "\xe1\xbf\xa4"},
	{"\xe1\xbf\xa6", "\xe1\xbf\xa6"},
	{"\xe1\xbf\xa7", "\xe1\xbf\xa7"},
	{"\xe1\xbf\xb6", "\xe1\xbf\xb6"},
	{"\xe1\xbf\xb7", "\xe1\xbf\xb6\xce\xb9"},
};

/* Goal: keys are in NFC, too.  Method: the 26 for which it matters. */
START_TEST(folded_names_are_normalised_again)
{
	struct mbj_bytes given = mbj_bytes_str(refolded[_i].stored);
	struct mbj_bytes key = mbj_bytes_str(refolded[_i].key);
	struct mbj_error err;
	struct mbj_name name;

	ck_assert_uint_eq(sizeof(refolded) / sizeof(refolded[0]), 26);
	test_ok(mbj_name_make(&folding, given, false, arena, &name, &err), err);
	ck_assert(mbj_bytes_equal(name.key, key));
}
END_TEST

/* ------------------------------------------------------------------ laws */

/* What must hold of each name that is accepted; false where it is not. */
static bool judge_laws(struct mbj_bytes given)
{
	struct mbj_name name, again;
	struct mbj_error err;
	enum mbj_rc rc;

	mbj_arena_reset(arena);
	rc = mbj_name_make(&folding, given, false, arena, &name, &err);
	ck_assert_int_eq(rc, mbj_name_make(&plain, given, false, arena, &again,
					   NULL));
	if (rc < 0) {
		ck_assert_int_eq(rc, MBJ_EINVALID);
		return false;
	}
	/* The stored form does not depend on folding. */
	ck_assert(mbj_bytes_equal(name.stored, again.stored));
	ck_assert(mbj_bytes_equal(again.key, again.stored));
	ck_assert(mbj_name_is_safe(name.stored, name.key));
	/* Folding expands at most threefold: what MBJ_KEY_MAX rests on. */
	ck_assert_uint_le(name.key.n, 3 * name.stored.n);
	/* The form of a form is itself, and has the same key. */
	test_ok(mbj_name_make(&folding, name.stored, false, arena, &again,
			      &err),
		err);
	ck_assert(mbj_bytes_equal(again.stored, name.stored));
	ck_assert(mbj_bytes_equal(again.key, name.key));
	if (name.key.n > MBJ_NAME_MAX)
		return true;
	test_ok(mbj_name_make(&folding, name.key, false, arena, &again, &err),
		err);
	ck_assert(mbj_bytes_equal(again.stored, name.key));
	ck_assert(mbj_bytes_equal(again.key, name.key));
	return true;
}

/* The bytes of a code point, surrogates not excepted. */
static size_t put_point(uint8_t *p, uint32_t point)
{
	if (point < 0x80) {
		p[0] = (uint8_t)point;
		return 1;
	}
	if (point < 0x800) {
		p[0] = (uint8_t)(0xc0 | point >> 6);
		p[1] = (uint8_t)(0x80 | (point & 0x3f));
		return 2;
	}
	if (point < 0x10000) {
		p[0] = (uint8_t)(0xe0 | point >> 12);
		p[1] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
		p[2] = (uint8_t)(0x80 | (point & 0x3f));
		return 3;
	}
	p[0] = (uint8_t)(0xf0 | point >> 18);
	p[1] = (uint8_t)(0x80 | (point >> 12 & 0x3f));
	p[2] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
	p[3] = (uint8_t)(0x80 | (point & 0x3f));
	return 4;
}

/*
 * Goal: the laws hold for each code point alone.
 * Method: planes 0 to 3 in full, every seventh of the rest.
 */
START_TEST(laws_hold_for_each_code_point)
{
	uint32_t accepted = 0;

	for (uint32_t point = 0; point < 0x110000;
	     point += point < 0x40000 ? 1 : 7) {
		uint8_t bytes[4];
		size_t n = put_point(bytes, point);

		accepted += judge_laws(mbj_bytes_make(bytes, n));
	}
	/* Unicode 15 has 149,186 characters, the BMP 6,400 for private use. */
	ck_assert_uint_gt(accepted, 140000);
}
END_TEST

/*
 * Goal: the laws hold for names with marks that compose and reorder.
 * Method: random names from the blocks where normalising and folding do most.
 */
START_TEST(laws_hold_for_random_names)
{
	static const uint32_t blocks[][2] = {
		{0x20, 0x60},	  {0xc0, 0x190},   {0x300, 0x70},
		{0x370, 0x90},	  {0x1e00, 0x200}, {0x1100, 0x100},
		{0xac00, 0x2ba4}, {0x900, 0x80},   {0x2120, 0x20},
		{0xfb00, 0x50},	  {0x10400, 0x50}, {0x1d160, 0x20},
		{0x591, 0x30},	  {0x1f600, 0x50}, {0x345, 1},
	};
	struct test_rng rng;
	uint32_t accepted = 0;

	(void)test_rng_seed(&rng);
	for (int round = 0; round < 50000; round++) {
		uint8_t bytes[24 * 4];
		uint32_t count = 1 + test_pick(&rng, 24);
		size_t n = 0;

		for (uint32_t i = 0; i < count; i++) {
			uint32_t block =
				test_pick(&rng,
					  sizeof(blocks) / sizeof(blocks[0]));

			n += put_point(bytes + n,
				       blocks[block][0] +
					       test_pick(&rng,
							 blocks[block][1]));
		}
		accepted += judge_laws(mbj_bytes_make(bytes, n));
	}
	ck_assert_uint_gt(accepted, 5000);
}
END_TEST

/*
 * Goal: no bytes at all can do harm.
 * Method: random bytes, mostly not UTF-8, through the same laws.
 */
START_TEST(laws_hold_for_random_bytes)
{
	struct test_rng rng;
	uint8_t bytes[16];

	(void)test_rng_seed(&rng);
	for (int round = 0; round < 100000; round++) {
		size_t n = test_pick(&rng, sizeof(bytes) + 1);

		test_rng_fill(&rng, bytes, n);
		(void)judge_laws(mbj_bytes_make(bytes, n));
	}
}
END_TEST

/* ---------------------------------------------------------------- limits */

static enum mbj_rc make_repeated(const char *piece, size_t count,
				 struct mbj_name *ret_name)
{
	size_t size = strlen(piece);
	uint8_t *bytes = malloc(size * count);
	struct mbj_bytes copy;
	struct mbj_error err;
	enum mbj_rc rc;

	ck_assert_ptr_nonnull(bytes);
	for (size_t i = 0; i < count; i++)
		memcpy(bytes + i * size, piece, size);
	ck_assert(mbj_arena_dup(arena, mbj_bytes_make(bytes, size * count),
				&copy));
	free(bytes);
	rc = mbj_name_make(&folding, copy, true, arena, ret_name, &err);
	if (rc < 0)
		ck_assert_ptr_nonnull(strstr(err.message, "255"));
	return rc;
}

/*
 * Goal: length is judged in bytes, after NFC, at its limit.
 * Method: one, two and three bytes a letter; decomposed letters of up to 7
 * bytes that become 2, the worst there is.
 */
START_TEST(length_is_judged_after_normalising)
{
	struct mbj_name name;

	test_rc(make_repeated("A", 255, &name), MBJ_OK);
	ck_assert_uint_eq(name.stored.n, 255);
	test_rc(make_repeated("A", 256, &name), MBJ_EINVALID);
	test_rc(make_repeated("\xc3\xa4", 127, &name), MBJ_OK);
	test_rc(make_repeated("\xc3\xa4", 128, &name), MBJ_EINVALID);
	test_rc(make_repeated("\xe5\x8f\xb0", 85, &name), MBJ_OK);
	ck_assert_uint_eq(name.stored.n, 255);
	test_rc(make_repeated("\xe5\x8f\xb0", 86, &name), MBJ_EINVALID);
	test_rc(make_repeated("a\xcc\x88", 127, &name), MBJ_OK);
	ck_assert_uint_eq(name.stored.n, 254);
	test_rc(make_repeated("a\xcc\x88", 128, &name), MBJ_EINVALID);
	test_rc(make_repeated("\xe1\xbe\xbe\xcc\x88\xcc\x81", 127, &name),
		MBJ_OK);
	ck_assert_uint_eq(name.stored.n, 254);
	test_rc(make_repeated("\xe1\xbe\xbe\xcc\x88\xcc\x81", 128, &name),
		MBJ_EINVALID);
	/* Folding may exceed the limit of the stored form. */
	test_rc(make_repeated("\xe1\xbe\xb7", 85, &name), MBJ_OK);
	ck_assert_uint_eq(name.key.n, 85 * 5);
}
END_TEST

/*
 * Goal: a 5 MiB name costs nothing and is not repeated in the message.
 * Method: count allocations and time; look at the message.
 */
START_TEST(huge_names_cost_nothing)
{
	size_t n = (size_t)5 << 20;
	uint8_t *bytes = malloc(n);
	struct mbj_error err;
	struct mbj_name name;
	clock_t begin;

	ck_assert_ptr_nonnull(bytes);
	memset(bytes, 0xe2, n);
	test_alloc_fail_at(0);
	begin = clock();
	for (int i = 0; i < 1000; i++)
		test_rc(mbj_name_make(&folding, mbj_bytes_make(bytes, n), true,
				      arena, &name, &err),
			MBJ_EINVALID);
	ck_assert_int_lt(clock() - begin, CLOCKS_PER_SEC);
	ck_assert_uint_eq(test_alloc_count(), 0);
	ck_assert_ptr_nonnull(strstr(err.message, "over 255 bytes"));
	ck_assert_ptr_nonnull(strstr(err.message, "\xe2\x80\xa6"));
	ck_assert_uint_lt(strlen(err.message), 300);
	free(bytes);
}
END_TEST

/*
 * Goal: out of memory is an error of its own, and nothing is half done.
 * Method: a folded non-ASCII name, every allocation failing in turn.
 */
START_TEST(names_survive_failed_allocations)
{
	struct mbj_bytes given = mbj_bytes_str("\xc3\x84rger");
	struct mbj_arena *fresh = NULL;
	struct mbj_name name;
	struct mbj_error err;
	uint64_t k = 0;
	enum mbj_rc rc;

	do {
		test_ok(mbj_arena_new(1 << 16, &fresh, &err), err);
		test_alloc_fail_at(++k);
		rc = mbj_name_make(&folding, given, false, fresh, &name, &err);
		test_alloc_fail_at(0);
		ck_assert(rc == MBJ_OK || rc == MBJ_ENOMEM);
		mbj_arena_free(&fresh);
	} while (rc < 0);
	ck_assert_uint_gt(k, 1);
	/* An arena that is full is no different. */
	test_ok(mbj_arena_new(8, &fresh, &err), err);
	test_rc(mbj_name_make(&folding, given, false, fresh, &name, &err),
		MBJ_ENOMEM);
	mbj_arena_free(&fresh);
}
END_TEST

TCase *test_name_case(void)
{
	TCase *all = tcase_create("name");

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_loop_test(all, good_names_are_accepted, 0,
			    sizeof(good_names) / sizeof(good_names[0]));
	tcase_add_loop_test(all, bad_names_are_refused, 0,
			    sizeof(bad_names) / sizeof(bad_names[0]));
	tcase_add_test(all, ascii_is_judged_one_by_one);
	tcase_add_test(all, inbox_in_any_case);
	tcase_add_loop_test(all, folded_names_are_normalised_again, 0,
			    sizeof(refolded) / sizeof(refolded[0]));
	tcase_add_test(all, laws_hold_for_each_code_point);
	tcase_add_test(all, laws_hold_for_random_names);
	tcase_add_test(all, laws_hold_for_random_bytes);
	tcase_add_test(all, length_is_judged_after_normalising);
	tcase_add_test(all, huge_names_cost_nothing);
	tcase_add_test(all, names_survive_failed_allocations);
	return all;
}
