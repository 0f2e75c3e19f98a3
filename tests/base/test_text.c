/*
 * Escaping and cutting.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/error.h>

#include "cases.h"
#include "text.h"

/* Valid UTF-8 without a control character, judged the plain way. */
static bool is_clean(const char *text)
{
	for (const uint8_t *p = (const uint8_t *)text; *p != 0;) {
		int more = *p < 0x80   ? 0
			   : *p < 0xc2 ? -1
			   : *p < 0xe0 ? 1
			   : *p < 0xf0 ? 2
			   : *p < 0xf5 ? 3
				       : -1;

		if (more < 0 || *p < 0x20 || *p == 0x7f)
			return false;
		if (*p == 0xc2 && p[1] < 0xa0)
			return false;
		for (p++; more > 0; more--, p++) {
			if ((*p & 0xc0) != 0x80)
				return false;
		}
	}
	return true;
}

/*
 * Goal: each kind of byte shows as it should.  Method: a table of inputs and
 * what a human reads.
 */
START_TEST(text_escapes)
{
	static const struct {
		const char *raw, *shown;
	} rows[] = {
		{"", ""},
		{"Archive/2024", "Archive/2024"},
		{"a\nb\tc\rd", "a\\nb\\tc\\rd"},
		{"\x1b[2J", "\\x1b[2J"},
		{"\x7f", "\\x7f"},
		{"Entw\xc3\xbcrfe", "Entw\xc3\xbcrfe"},
		{"\xc2\x85", "\\u{85}"},
		{"\xe2\x80\xae", "\\u{202e}"},
		{"\xe2\x80\x8b", "\\u{200b}"},
		{"\xf3\xa0\x80\xa0", "\\u{e0020}"},
		{"\xf0\x9f\x93\xac", "\xf0\x9f\x93\xac"},
		{"\xff\xfe", "\\xff\\xfe"},
		{"\xc3", "\\xc3"},
		{"\xc0\x80", "\\xc0\\x80"},
		{"\xe0\x80\x80", "\\xe0\\x80\\x80"},
		{"\xed\xa0\x80", "\\xed\\xa0\\x80"},
		{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
		{"back\\slash", "back\\slash"},
	};
	char shown[64];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = mbj_text_escape(shown, sizeof(shown),
					   mbj_bytes_str(rows[i].raw));

		ck_assert_str_eq(shown, rows[i].shown);
		ck_assert_uint_eq(n, strlen(shown));
	}
	(void)mbj_text_escape(shown, sizeof(shown), mbj_bytes_make("a\0b", 3));
	ck_assert_str_eq(shown, "a\\x00b");
}
END_TEST

/*
 * Goal: whatever goes in, what comes out is clean, fits and does not change
 * when escaped again.  Method: random bytes, seed printed, many of them parts
 * of characters, into memory of random size, each size exact for sanitizers.
 */
START_TEST(text_is_clean)
{
	static const uint8_t likely[] = {0xc3, 0xa4, 0xe2, 0x80, 0xae, 0xf0,
					 0x9f, 0x93, 0xac, 0x1b, 'a',  '\\'};
	struct test_rng rng;

	test_rng_seed(&rng);
	for (int round = 0; round < 5000; round++) {
		size_t size = test_rng_between(&rng, 4, 60);
		char *shown = malloc(size), again[64];
		uint8_t raw[40];
		size_t n = test_rng_below(&rng, sizeof(raw) + 1);

		ck_assert_ptr_nonnull(shown);
		test_rng_fill(&rng, raw, n);
		for (size_t i = 0; i < n; i++) {
			if (test_rng_chance(&rng, 3, 4))
				raw[i] = likely[raw[i] % sizeof(likely)];
		}
		(void)mbj_text_escape(shown, size, mbj_bytes_make(raw, n));
		ck_assert(memchr(shown, '\0', size) != NULL);
		ck_assert_msg(is_clean(shown), "not clean: %s", shown);
		(void)mbj_text_escape(again, sizeof(again),
				      mbj_bytes_str(shown));
		ck_assert_str_eq(again, shown);
		free(shown);
	}
}
END_TEST

/*
 * Goal: a cut is visible, and falls between characters and escapes.  Method:
 * one text into every size.
 */
START_TEST(text_cut_is_whole)
{
	static const struct {
		size_t size;
		const char *shown;
	} rows[] = {
		{4, "\xe2\x80\xa6"},
		{5, "a\xe2\x80\xa6"},
		{8, "a\xe2\x80\xa6"},
		{9, "a\\x1b\xe2\x80\xa6"},
		{10, "a\\x1b\xe2\x80\xa6"},
		{11, "a\\x1b\xc3\xbc\xe2\x80\xa6"},
		{12, "a\\x1b\xc3\xbc"
		     "bcde"},
	};
	char shown[16];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		(void)mbj_text_escape(shown, rows[i].size,
				      mbj_bytes_str("a\x1b\xc3\xbc"
						    "bcde"));
		ck_assert_str_eq(shown, rows[i].shown);
	}
}
END_TEST

/*
 * Goal: plain cuts keep the end that matters and split no character.  Method:
 * a text of two-byte characters into every size.
 */
START_TEST(text_cuts)
{
	static const char text[] = "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f"
				   "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f";

	for (size_t size = 5; size < 20; size++) {
		char cut[20];

		text_cut_tail(cut, size, text);
		ck_assert_uint_lt(strlen(cut), size);
		ck_assert(is_clean(cut));
		if (size > sizeof(text) - 1) {
			ck_assert_str_eq(cut, text);
			continue;
		}
		ck_assert_uint_ge(strlen(cut), size - 2);
		ck_assert(memcmp(cut, text, strlen(cut) - 3) == 0);
		ck_assert_str_eq(cut + strlen(cut) - 3, "\xe2\x80\xa6");
		text_cut_head(cut, size, text);
		ck_assert_uint_lt(strlen(cut), size);
		ck_assert(is_clean(cut));
		ck_assert_uint_ge(strlen(cut), size - 2);
		ck_assert_mem_eq(cut, "\xe2\x80\xa6", 3);
		ck_assert_str_eq(cut + 3,
				 text + sizeof(text) - 1 - (strlen(cut) - 3));
	}
}
END_TEST

TCase *test_text_case(void)
{
	TCase *tc = tcase_create("text");

	tcase_add_test(tc, text_escapes);
	tcase_add_test(tc, text_is_clean);
	tcase_add_test(tc, text_cut_is_whole);
	tcase_add_test(tc, text_cuts);
	return tc;
}
