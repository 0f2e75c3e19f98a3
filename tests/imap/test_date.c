/*
 * Dates of separators and of Date fields.
 */
#include <stdlib.h>
#include <time.h>

#include <mbj/mbox.h>

#include "cases.h"

enum { FROM_ROWS = 28, FIELD_ROWS = 13 };

struct date_row {
	const char *text;
	bool is_good;
	bool has_time;
	int64_t time;
};

/*
 * Goal: what separates messages, and when they came.  Method: a table of what
 * programs write, and of text that begins with "From ".
 */
START_TEST(date_from)
{
	static const struct date_row rows[] = {
		{"From a@b Thu Nov 26 08:40:34 2026", true, true, 1795682434},
		{"From a b c  Thu Nov 26  8:40:34 2026", true, true,
		 1795682434},
		{"From a@b Thu Nov 26 08:40 2026", true, true, 1795682400},
		{"From 12@xxx Thu Nov 26 08:40:34 +0100 2026", true, true,
		 1795678834},
		{"From a@b Thu Nov 26 08:40:34 2026 -0230", true, true,
		 1795691434},
		{"From a@b Thu Nov 26 08:40:34 CET 2026", true, true,
		 1795682434},
		{"From a@b Thu Nov 26 08:40:34 EST 2026", true, true,
		 1795700434},
		{"From - Thu Jan  1 00:00:00 1970", true, true, 0},
		{"From a@b Fri Dec 31 23:59:60 1999", true, true, 946684799},
		{"From a@b Tue Feb 29 00:00:00 2000", true, true, 951782400},
		{"From a@b Mon Jan  1 00:00:00 1900", true, true, -2208988800},
		{"From Thu Nov 26 08:40:34 2026", true, true, 1795682434},
		{"From -", true, false, 0},
		{"From a@b", true, false, 0},
		{"From a@b Thu Feb 29 00:00:00 1900", false, false, 0},
		{"From a@b Thu Nov 31 00:00:00 2026", false, false, 0},
		{"From a@b Thu Nov 26 24:00:00 2026", false, false, 0},
		{"From a@b Thu Nov 26 08:40:34 26", false, false, 0},
		{"From a@b Thu Nov 26 08:40:34 2026 and more", false, false, 0},
		{"From a@b Thu Nov 26 08:40:34 +0160 2026", false, false, 0},
		{"From a@b Thu Nov 26 08:40:34:12 2026", false, false, 0},
		{"From a@b Xxx Nov 26 08:40:34 2026", false, false, 0},
		{"From Bob", false, false, 0},
		{"From what I see in 2005 at 12:30", false, false, 0},
		{"From ", false, false, 0},
		{"From", false, false, 0},
		{"from a@b Thu Nov 26 08:40:34 2026", false, false, 0},
		{"", false, false, 0},
	};
	const struct date_row *row;
	bool has_time = false;
	int64_t time = 0;

	ck_assert_int_eq(sizeof(rows) / sizeof(*rows), FROM_ROWS);
	row = &rows[_i];
	ck_assert_msg(mbj_mbox_from_parse(mbj_bytes_str(row->text), &has_time,
					  &time) == row->is_good,
		      "%s", row->text);
	if (!row->is_good)
		return;
	ck_assert_msg(has_time == row->has_time, "%s", row->text);
	if (has_time)
		ck_assert_msg(time == row->time, "%s: %lld", row->text,
			      (long long)time);
}
END_TEST

/* Goal: Date fields of RFC 5322, obsolete ones too.  Method: a table. */
START_TEST(date_field)
{
	static const struct date_row rows[] = {
		{" Thu, 26 Nov 2026 08:40:34 +0000", true, true, 1795682434},
		{"26 Nov 2026 08:40:34 +0100 (CET)", true, true, 1795678834},
		{"Thu,26 Nov 26 08:40 GMT", true, true, 1795682400},
		{"Thu, 26 Nov 126 08:40:34 UT", true, true, 1795682434},
		{"Sat, 01 Jan 50 00:00:00 PST", true, true, -631123200},
		{"1 Jan 1970 00:00:00", true, true, 0},
		{"1 Jan 1970 00:00:00 nonsense", true, true, 0},
		{"Thu, 26 Foo 2026 08:40:34 +0000", false, false, 0},
		{"Thu, 0 Nov 2026 08:40:34 +0000", false, false, 0},
		{"Thu, 26 Nov 2026 08", false, false, 0},
		{"Thu, 26 Nov 1 08:40:34", false, false, 0},
		{"yesterday", false, false, 0},
		{"", false, false, 0},
	};
	const struct date_row *row;
	int64_t time = 0;

	ck_assert_int_eq(sizeof(rows) / sizeof(*rows), FIELD_ROWS);
	row = &rows[_i];
	ck_assert_msg(mbj_mail_date_parse(mbj_bytes_str(row->text), &time) ==
			      row->is_good,
		      "%s", row->text);
	if (row->is_good)
		ck_assert_msg(time == row->time, "%s: %lld", row->text,
			      (long long)time);
}
END_TEST

/*
 * Goal: every date of every year is the C library's.  Method: draw times,
 * have asctime_r write them, read them again.
 */
START_TEST(date_random)
{
	struct test_rng rng;

	(void)test_rng_seed(&rng);
	for (int i = 0; i < 20000; i++) {
		/* 1900 to 9999. */
		time_t drawn =
			(time_t)((int64_t)test_rng_below(&rng, 255611289600) -
				 2208988800);
		char line[64] = "From a@b ";
		bool has_time = false;
		struct tm broken;
		int64_t time = 0;

		ck_assert_ptr_nonnull(gmtime_r(&drawn, &broken));
		ck_assert_ptr_nonnull(asctime_r(&broken, line + 9));
		ck_assert(mbj_mbox_from_parse(mbj_bytes_make(line,
							     strlen(line) - 1),
					      &has_time, &time));
		ck_assert(has_time);
		ck_assert_msg(time == (int64_t)drawn, "%s", line);
	}
}
END_TEST

TCase *test_date_case(void)
{
	TCase *tc = tcase_create("date");

	tcase_add_loop_test(tc, date_from, 0, FROM_ROWS);
	tcase_add_loop_test(tc, date_field, 0, FIELD_ROWS);
	tcase_add_test(tc, date_random);
	return tc;
}
