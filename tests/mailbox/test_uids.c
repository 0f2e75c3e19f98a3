/*
 * UID sets, flags and keywords: the one form, IMAP's form, changes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/codec.h>
#include <mbj/message.h>

#include "cases.h"

static struct mbj_error err;

static void uids_print(struct mbj_bytes uids, char *text, size_t size)
{
	struct mbj_buf buf;

	mbj_buf_init(&buf, size - 1);
	mbj_uids_print(&buf, uids);
	test_ok(mbj_buf_ok(&buf, &err), err);
	if (buf.n > 0)
		memcpy(text, buf.p, buf.n);
	text[buf.n] = '\0';
	mbj_buf_done(&buf);
}

/*
 * Goal: every way of writing a set gives its one form.  Method: pairs, with 9
 * as the last UID.
 */
START_TEST(uids_parse)
{
	static const struct {
		const char *text;
		const char *form;
	} pairs[] = {
		{"1", "1"},
		{"4294967294", "4294967294"},
		{"1:4", "1:4"},
		{"4:1", "1:4"},
		{"*", "9"},
		{"7:*", "7:9"},
		{"*:7", "7:9"},
		{"12:*", "9:12"},
		{"1,2,3", "1:3"},
		{"3,1", "1,3"},
		{"5:9,1:4", "1:9"},
		{"1:9,2:3", "1:9"},
		{"1:3,5,4", "1:5"},
		{"2,4,6", "2,4,6"},
		{"10:10,1,10", "1,10"},
		{"1:*,*", "1:9"},
	};
	struct mbj_buf uids;
	char text[64];

	mbj_buf_init(&uids, MBJ_UID_RANGES_MAX * MBJ_UID_RANGE_SIZE);
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		test_ok(mbj_uids_parse(mbj_bytes_str(pairs[i].text), 9, &uids,
				       &err),
			err);
		ck_assert(mbj_uids_are_good(mbj_buf_view(&uids)));
		uids_print(mbj_buf_view(&uids), text, sizeof(text));
		ck_assert_str_eq(text, pairs[i].form);
	}
	/* Where there is no UID yet, * is none. */
	test_ok(mbj_uids_parse(mbj_bytes_str("*,3"), 0, &uids, &err), err);
	uids_print(mbj_buf_view(&uids), text, sizeof(text));
	ck_assert_str_eq(text, "3");
	mbj_buf_done(&uids);
}
END_TEST

/* Goal: what is no set is refused in words.  Method: a list. */
START_TEST(uids_refused)
{
	static const char *const wrong[] = {
		"",	"0",	"0:4",	"1:0",	   "01",	 "4294967295",
		"1,",	",1",	"1,,2", "1:",	   ":1",	 "1:2:3",
		"a",	"1 2",	"-1",	"1:*x",	   "**",	 "99999999999",
		"1,2a", "1:4:", "+1",	"1,*,0:1", "4294967296",
	};
	struct mbj_buf uids;
	struct mbj_buf text;

	mbj_buf_init(&uids, MBJ_UID_RANGES_MAX * MBJ_UID_RANGE_SIZE);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		ck_assert_msg(mbj_uids_parse(mbj_bytes_str(wrong[i]), 9, &uids,
					     &err) == MBJ_EINVALID,
			      "%s", wrong[i]);
		ck_assert(err.message[0] != '\0');
	}
	mbj_buf_init(&text, 1 << 20);
	for (unsigned i = 0; i <= MBJ_UID_RANGES_MAX; i++)
		mbj_buf_format(&text, "%s%u", i == 0 ? "" : ",", 2 * i + 1);
	ck_assert_int_eq(mbj_uids_parse(mbj_buf_view(&text), 9, &uids, &err),
			 MBJ_ELIMIT);
	text.n = strlen("1,3");
	while (text.p[text.n] != ',' || text.n < (size_t)40000)
		text.n++;
	test_ok(mbj_uids_parse(mbj_buf_view(&text), 9, &uids, &err), err);
	mbj_buf_done(&text);
	mbj_buf_done(&uids);
}
END_TEST

/*
 * Goal: a set that is not in its form is known.  Method: random pairs, judged
 * by what the header says; each good one printed and parsed is itself.
 */
START_TEST(uids_form)
{
	struct test_rng rng;
	unsigned good = 0;

	(void)test_rng_seed(&rng);
	for (unsigned i = 0; i < 20000; i++) {
		size_t count = (size_t)test_rng_below(&rng, 4);
		uint8_t bytes[4 * MBJ_UID_RANGE_SIZE];
		bool is_good = count > 0;
		uint64_t last = UINT64_MAX;

		for (size_t k = 0; k < count; k++) {
			uint32_t a = (uint32_t)test_rng_below(&rng, 12);
			uint32_t b = (uint32_t)test_rng_below(&rng, 12);

			mbj_store_u32(bytes + 8 * k, a);
			mbj_store_u32(bytes + 8 * k + 4, b);
			is_good = is_good && a >= 1 && b >= a &&
				  (k == 0 || a >= last + 2);
			last = b;
		}
		ck_assert_int_eq(mbj_uids_are_good(
					 mbj_bytes_make(bytes, 8 * count)),
				 is_good);
		good += is_good;
		if (is_good) {
			struct mbj_buf again;
			char text[128];

			mbj_buf_init(&again, 1 << 16);
			uids_print(mbj_bytes_make(bytes, 8 * count), text,
				   sizeof(text));
			test_ok(mbj_uids_parse(mbj_bytes_str(text), 99, &again,
					       &err),
				err);
			ck_assert(mbj_bytes_equal(mbj_buf_view(&again),
						  mbj_bytes_make(bytes,
								 8 * count)));
			mbj_buf_done(&again);
		}
		ck_assert(!mbj_uids_are_good(
			mbj_bytes_make(bytes, 8 * count + 1)));
	}
	ck_assert_uint_gt(good, 1000);
}
END_TEST

/* ------------------------------------------------------------- keywords */

static struct mbj_bytes words(const char *text, char *bytes)
{
	size_t n = strlen(text);

	memcpy(bytes, text, n);
	for (size_t i = 0; i < n; i++)
		if (bytes[i] == ' ')
			bytes[i] = '\0';
	bytes[n] = '\0';
	return mbj_bytes_make(bytes, n == 0 ? 0 : n + 1);
}

/* Goal: order, difference, letters and limits hold.  Method: a list. */
START_TEST(keywords_form)
{
	static const struct {
		const char *text;
		bool is_good;
	} lists[] = {
		{"", true},	      {"a", true},
		{"$Forwarded", true}, {"a b", true},
		{"b a", false},	      {"a A", false},
		{"A b C", true},      {"a  b", false},
		{"a ab", true},	      {"ab a", false},
		{"a\\b", false},      {"a*", false},
		{"a(", false},	      {"a\"", false},
		{"a]", false},	      {"a[", true},
		{"a\x7f", false},     {"\xc3\xa4", false},
		{"a\x1f", false},     {"a%", false},
		{"a{", false},	      {"NonJunk $X", false},
		{"$X NonJunk", true},
	};
	char bytes[MBJ_KEYWORDS_MAX + 2];

	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
		ck_assert_msg(mbj_keywords_are_good(
				      words(lists[i].text, bytes)) ==
				      lists[i].is_good,
			      "%s", lists[i].text);
	ck_assert(!mbj_keywords_are_good(mbj_bytes_str("no end")));
	memset(bytes, 'a', sizeof(bytes));
	ck_assert(mbj_keyword_is_good(mbj_bytes_make(bytes, MBJ_KEYWORD_MAX)));
	ck_assert(!mbj_keyword_is_good(
		mbj_bytes_make(bytes, MBJ_KEYWORD_MAX + 1)));
	for (size_t i = 0; i < MBJ_KEYWORDS_MAX; i += 8)
		(void)snprintf(bytes + i, 8, "%07zu", i);
	ck_assert(
		mbj_keywords_are_good(mbj_bytes_make(bytes, MBJ_KEYWORDS_MAX)));
	memcpy(bytes + MBJ_KEYWORDS_MAX, "z", 2);
	ck_assert(!mbj_keywords_are_good(
		mbj_bytes_make(bytes, MBJ_KEYWORDS_MAX + 2)));
}
END_TEST

/* Goal: the three changes are set operations that keep spellings. */
START_TEST(keywords_change)
{
	static const struct {
		const char *before;
		const char *change;
		const char *results[3]; /* add, remove, replace */
	} cases[] = {
		{"", "", {"", "", ""}},
		{"a c", "b", {"a b c", "a c", "b"}},
		{"A b", "a C", {"A b C", "b", "A C"}},
		{"a b c", "B", {"a b c", "a c", "b"}},
		{"", "x Y", {"x Y", "", "x Y"}},
		{"x Y", "", {"x Y", "x Y", ""}},
	};
	char bytes[3][64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (int mode = 1; mode <= 3; mode++) {
			struct mbj_buf result;

			mbj_buf_init(&result, MBJ_KEYWORDS_MAX);
			mbj_keywords_change(words(cases[i].before, bytes[0]),
					    words(cases[i].change, bytes[1]),
					    (enum mbj_flag_mode)mode, &result);
			ck_assert_msg(mbj_bytes_equal(
					      mbj_buf_view(&result),
					      words(cases[i].results[mode - 1],
						    bytes[2])),
				      "%s, %s, %d", cases[i].before,
				      cases[i].change, mode);
			mbj_buf_done(&result);
		}
	}
}
END_TEST

START_TEST(flags_words)
{
	unsigned all = 0;

	for (unsigned bit = 1; bit <= MBJ_FLAGS_ALL; bit <<= 1) {
		const char *word = mbj_flag_name((enum mbj_flag)bit);

		ck_assert_ptr_nonnull(word);
		ck_assert_uint_eq(mbj_flag_find(mbj_bytes_str(word)), bit);
		all |= bit;
	}
	ck_assert_uint_eq(all, MBJ_FLAGS_ALL);
	ck_assert_uint_eq(mbj_flag_find(mbj_bytes_str("\\sEEN")),
			  MBJ_FLAG_SEEN);
	ck_assert_uint_eq(mbj_flag_find(mbj_bytes_str("\\Recent")), 0);
	ck_assert_uint_eq(mbj_flag_find(mbj_bytes_str("Seen")), 0);
	ck_assert_ptr_null(mbj_flag_name((enum mbj_flag)3));
}
END_TEST

TCase *test_uids_case(void)
{
	TCase *tc = tcase_create("uids");

	tcase_add_test(tc, uids_parse);
	tcase_add_test(tc, uids_refused);
	tcase_add_test(tc, uids_form);
	tcase_add_test(tc, keywords_form);
	tcase_add_test(tc, keywords_change);
	tcase_add_test(tc, flags_words);
	return tc;
}
