/*
 * Splitting an mbox.
 */
#include <stdio.h>
#include <stdlib.h>

#include <mbj/mbox.h>

#include "cases.h"

enum { TEXT_MAX = 1 << 16 };

/* Feed text in pieces of at most piece bytes; write down what came of it. */
static void mbox_trace(struct mbj_bytes text, size_t piece, bool is_mboxo,
		       struct mbj_buf *ret_trace)
{
	struct mbj_mbox *mbox = NULL;
	struct mbj_bytes body;
	bool is_final = false;
	size_t at = 0;

	mbj_buf_clear(ret_trace);
	ck_assert_int_eq(mbj_mbox_new(is_mboxo, &mbox, NULL), MBJ_OK);
	for (;;) {
		const struct mbj_mbox_message *message;
		size_t n = text.n - at < piece ? text.n - at : piece;

		switch (mbj_mbox_next(mbox, &body)) {
		case MBJ_MBOX_MORE:
			if (is_final)
				goto out;
			is_final = n == 0;
			mbj_mbox_feed(mbox, mbj_bytes_make(text.p + at, n));
			at += n;
			break;
		case MBJ_MBOX_BEGIN:
			mbj_buf_put_str(ret_trace, "[");
			break;
		case MBJ_MBOX_BODY:
			mbj_buf_put_bytes(ret_trace, body);
			break;
		case MBJ_MBOX_END:
			message = mbj_mbox_message(mbox);
			mbj_buf_format(ret_trace, "|%x,%llu", message->flags,
				       (unsigned long long)message->offset);
			if (message->has_time)
				mbj_buf_format(ret_trace, ",%lld",
					       (long long)message->time);
			for (size_t i = 0; i < message->keywords.n; i++)
				mbj_buf_put_u8(
					ret_trace,
					message->keywords.p[i] == '\0'
						? ';'
						: message->keywords.p[i]);
			if (message->keywords_bad > 0)
				mbj_buf_format(ret_trace, "!%zu",
					       message->keywords_bad);
			mbj_buf_put_str(ret_trace, "]");
			break;
		case MBJ_MBOX_NONE:
			mbj_buf_put_str(ret_trace, "none");
			goto out;
		}
	}
out:
	ck_assert_int_eq(mbj_buf_ok(ret_trace, NULL), MBJ_OK);
	mbj_mbox_free(&mbox);
}

/* However it is cut. */
static void mbox_is(const char *text, const char *wanted)
{
	size_t n = strlen(text);
	struct mbj_buf trace;

	mbj_buf_init(&trace, TEXT_MAX);
	for (size_t piece = 1; piece <= n + 1; piece++) {
		mbox_trace(mbj_bytes_make(text, n), piece, false, &trace);
		ck_assert_msg(mbj_bytes_equal(mbj_buf_view(&trace),
					      mbj_bytes_str(wanted)),
			      "%s\nin pieces of %zu gives %.*s", text, piece,
			      (int)trace.n, (const char *)trace.p);
	}
	mbj_buf_done(&trace);
}

#define SEPARATOR "From a@b Thu Jan  1 00:00:07 1970"

/* Goal: what begins a message, what ends one.  Method: a table, cut anyhow. */
START_TEST(mbox_splits)
{
	mbox_is("", "");
	mbox_is(SEPARATOR "\nA: b\n\nbody\n\n" SEPARATOR "\nC: d\n\ntwo\n",
		"[A: b\n\nbody\n|0,0,7][C: d\n\ntwo\n|0,46,7]");
	/* CRLF */
	mbox_is(SEPARATOR "\r\nA: b\r\n\r\nbody\r\n\r\n" SEPARATOR "\r\nx\r\n",
		"[A: b\r\n\r\nbody\r\n|0,0,7][x\r\n|0,51,7]");
	/* no final newline; the empty line at the end belongs to nobody */
	mbox_is(SEPARATOR "\nA: b\n\nbody", "[A: b\n\nbody|0,0,7]");
	mbox_is(SEPARATOR "\nA: b\n\nbody\n\n", "[A: b\n\nbody\n|0,0,7]");
	mbox_is(SEPARATOR "\nA: b\n\nbody\n\n\n", "[A: b\n\nbody\n\n|0,0,7]");
	mbox_is(SEPARATOR "\nA: b\n\nbody\r", "[A: b\n\nbody\r|0,0,7]");
	/* no header, no body, nothing */
	mbox_is(SEPARATOR "\n\nbody\n", "[\nbody\n|0,0,7]");
	mbox_is(SEPARATOR "\nA: b\n\n" SEPARATOR "\n", "[A: b\n|0,0,7]"
						       "[|0,40,7]");
	mbox_is(SEPARATOR, "[|0,0,7]");
	mbox_is("\n\n" SEPARATOR "\nx", "[x|0,2,7]");
	/* no empty line before it, or no such line at all */
	mbox_is(SEPARATOR "\nx\n" SEPARATOR "\n", "[x\n" SEPARATOR "\n|0,0,7]");
	mbox_is(SEPARATOR "\nx\n\nFrom here on\n",
		"[x\n\nFrom here on\n|0,0,7]");
	mbox_is(SEPARATOR "\nx\n\nFrom", "[x\n\nFrom|0,0,7]");
	/* a sender alone: the date is the message's own, or nobody's */
	mbox_is("From a@b\nDate: 1 Jan 1970 00:01:40 +0000\n\nx\n\nFrom -\ny\n",
		"[Date: 1 Jan 1970 00:01:40 +0000\n\nx\n|0,0,100][y\n|0,45]");
	mbox_is(SEPARATOR "\nDate: 1 Jan 1970 00:01:40 +0000\n",
		"[Date: 1 Jan 1970 00:01:40 +0000\n|0,0,7]");
	mbox_is("hello\n", "none");
	mbox_is("\nhello\n\n" SEPARATOR "\n", "none");
	mbox_is(" " SEPARATOR "\n", "none");
}
END_TEST

/* Goal: mboxrd gives back what was quoted; mboxo touches nothing. */
START_TEST(mbox_quotes)
{
	static const char text[] = SEPARATOR
		"\n>From x\n\n>From a\n>>>From b\n> From c\n>Fromage\nx >From\n"
		">from\n>>>>";
	struct mbj_buf trace;

	mbox_is(text, "[From x\n\nFrom a\n>>From b\n> From c\n>Fromage\n"
		      "x >From\n>from\n>>>>|0,0,7]");
	mbj_buf_init(&trace, TEXT_MAX);
	mbox_trace(mbj_bytes_str(text), 3, true, &trace);
	ck_assert_int_eq(memcmp(trace.p, "[>From x\n\n>From a\n>>>From b", 26),
			 0);
	mbj_buf_done(&trace);
}
END_TEST

/* Goal: flags and keywords of the header alone, the bytes as they were. */
START_TEST(mbox_headers)
{
	mbox_is(SEPARATOR "\nStatus: RO\nX-STATUS: AFDT\n"
			  "x-keywords: one  $Two One\t(bad) \n\nStatus: R\n",
		"[Status: RO\nX-STATUS: AFDT\nx-keywords: one  $Two One\t(bad) "
		"\n\nStatus: R\n|1f,0,7$Two;one;!1]");
	mbox_is(SEPARATOR "\nStatus: O\n\nx\n\n" SEPARATOR "\nStatus:R\n\ny\n",
		"[Status: O\n\nx\n|0,0,7][Status:R\n\ny\n|8,48,7]");
	mbox_is(SEPARATOR "\nXStatus: R\nStatus : R\n\n",
		"[XStatus: R\nStatus : R\n|0,0,7]");
}
END_TEST

/*
 * Goal: lines of any length pass, and are looked at as far as they are.
 * Method: lengths around the limit, in pieces around it.
 */
START_TEST(mbox_long_lines)
{
	static const size_t more[] = {0, 1, 2, 3, 4, MBJ_MBOX_LINE_MAX};
	size_t head = strlen(SEPARATOR "\n");
	struct mbj_buf text, trace;

	mbj_buf_init(&text, TEXT_MAX);
	mbj_buf_init(&trace, TEXT_MAX);
	for (size_t i = 0; i < 6 * 4; i++) {
		size_t n = MBJ_MBOX_LINE_MAX - 2 + more[i / 4];
		size_t piece = MBJ_MBOX_LINE_MAX - 1 + i % 4;

		mbj_buf_clear(&text);
		mbj_buf_put_str(&text, SEPARATOR "\n>From ");
		for (size_t k = 6; k < n; k++)
			mbj_buf_put_str(&text, "y");
		mbj_buf_put_str(&text, "\nz\n");
		mbox_trace(mbj_buf_view(&text), i % 4 == 3 ? 7 : piece, false,
			   &trace);
		ck_assert_uint_eq(trace.n, 1 + (text.n - head - 1) + 7);
		ck_assert_int_eq(memcmp(trace.p + 1, text.p + head + 1,
					text.n - head - 1),
				 0);
		/* Such a line begins no mbox. */
		mbox_trace(mbj_bytes_make(text.p + head, text.n - head), piece,
			   false, &trace);
		ck_assert(mbj_bytes_equal(mbj_buf_view(&trace),
					  mbj_bytes_str("none")));
	}
	mbj_buf_done(&text);
	mbj_buf_done(&trace);
}
END_TEST

/* Random text of lines that mean something here. */
static void text_draw(struct test_rng *rng, struct mbj_buf *text)
{
	static const char separator_line[] = SEPARATOR "\n";
	static const char *const pieces[] = {"From ",	   ">",
					     "\n",	   "\r\n",
					     "x",	   separator_line,
					     "From a@b\n", "Status: R\n",
					     "\r",	   "\n\n"};

	for (uint64_t n = test_rng_below(rng, 12); n > 0; n--)
		mbj_buf_put_str(text, pieces[test_rng_below(rng, 10)]);
}

/* A line is quoted that needs it, as mboxrd has it. */
static void text_quote(struct mbj_bytes text, struct mbj_buf *quoted)
{
	for (size_t at = 0; at < text.n;) {
		size_t n = at, angles = at;

		while (n < text.n && text.p[n] != '\n')
			n++;
		n += n < text.n;
		while (angles < n && text.p[angles] == '>')
			angles++;
		if (n - angles >= 5 && memcmp(text.p + angles, "From ", 5) == 0)
			mbj_buf_put_str(quoted, ">");
		mbj_buf_put(quoted, text.p + at, n - at);
		at = n;
	}
}

/*
 * Goal: whatever messages are, what mboxrd made of them comes apart into
 * them, however the file is cut.  Method: draw, quote, join, split.
 */
START_TEST(mbox_random)
{
	struct mbj_buf text, file, wanted, trace;
	struct mbj_buf *all[] = {&text, &file, &wanted, &trace};
	struct test_rng rng;

	(void)test_rng_seed(&rng);
	for (size_t i = 0; i < 4; i++)
		mbj_buf_init(all[i], TEXT_MAX);
	for (int i = 0; i < 4000; i++) {
		mbj_buf_clear(&file);
		mbj_buf_clear(&wanted);
		for (uint64_t n = 1 + test_rng_below(&rng, 4); n > 0; n--) {
			size_t offset = file.n;

			mbj_buf_clear(&text);
			mbj_buf_put_str(&text, "\n");
			text_draw(&rng, &text);
			mbj_buf_put_str(&text, "\n");
			mbj_buf_put_str(&file, SEPARATOR "\n");
			text_quote(mbj_buf_view(&text), &file);
			mbj_buf_put_str(&file, "\n");
			mbj_buf_put_str(&wanted, "[");
			mbj_buf_put_bytes(&wanted, mbj_buf_view(&text));
			mbj_buf_format(&wanted, "|0,%zu,7]", offset);
		}
		mbox_trace(mbj_buf_view(&file),
			   1 + test_rng_below(&rng, file.n), false, &trace);
		ck_assert_msg(mbj_bytes_equal(mbj_buf_view(&trace),
					      mbj_buf_view(&wanted)),
			      "%.*s\nis\n%.*s\nnot\n%.*s", (int)file.n,
			      (const char *)file.p, (int)trace.n,
			      (const char *)trace.p, (int)wanted.n,
			      (const char *)wanted.p);
	}
	for (size_t i = 0; i < 4; i++)
		mbj_buf_done(all[i]);
}
END_TEST

/* Goal: keywords beyond what a message may have are counted, not kept. */
START_TEST(mbox_many_keywords)
{
	struct mbj_mbox *mbox = NULL;
	const struct mbj_mbox_message *message;
	struct mbj_buf text;
	struct mbj_bytes body;
	enum mbj_mbox_event event;

	mbj_buf_init(&text, TEXT_MAX);
	mbj_buf_put_str(&text, SEPARATOR "\n");
	for (int i = 0; i < 60; i++)
		mbj_buf_format(&text, "X-Keywords: %0200d\n", i);
	ck_assert_int_eq(mbj_mbox_new(false, &mbox, NULL), MBJ_OK);
	mbj_mbox_feed(mbox, mbj_buf_view(&text));
	while (mbj_mbox_next(mbox, &body) != MBJ_MBOX_MORE)
		;
	mbj_mbox_feed(mbox, mbj_bytes_make(NULL, 0));
	event = mbj_mbox_next(mbox, &body);
	ck_assert_int_eq((int)event, MBJ_MBOX_END);
	message = mbj_mbox_message(mbox);
	ck_assert(mbj_keywords_are_good(message->keywords));
	ck_assert_uint_eq(message->keywords.n, 40u * 201);
	ck_assert_uint_eq(message->keywords_bad, 20);
	mbj_mbox_free(&mbox);
	mbj_buf_done(&text);
}
END_TEST

/* Goal: no half of a word is a keyword where a line is too long to be seen. */
START_TEST(mbox_cut_keywords)
{
	struct mbj_buf text, file, trace, wanted;

	for (int pad = 2; pad < 6; pad++) {
		mbj_buf_init(&text, TEXT_MAX);
		mbj_buf_init(&file, TEXT_MAX);
		mbj_buf_init(&trace, TEXT_MAX);
		mbj_buf_init(&wanted, TEXT_MAX);
		/* The end of the 41st word is where the line is cut. */
		mbj_buf_put_str(&text, "X-Keywords: ");
		for (int i = 0; i < 50; i++)
			mbj_buf_format(&text, "%0*d ", i == 40 ? 80 + pad : 99,
				       i);
		mbj_buf_put_str(&text, "\n\nx\n");
		mbj_buf_put_str(&wanted, "[");
		mbj_buf_put_bytes(&wanted, mbj_buf_view(&text));
		mbj_buf_put_str(&wanted, "|0,0,7");
		for (int i = 0; i < (pad < 4 ? 41 : 40); i++)
			mbj_buf_format(&wanted, "%0*d;",
				       i == 40 ? 80 + pad : 99, i);
		mbj_buf_put_str(&wanted, "!1]");
		mbj_buf_put_str(&file, SEPARATOR "\n");
		mbj_buf_put_bytes(&file, mbj_buf_view(&text));
		mbox_trace(mbj_buf_view(&file), 1000, false, &trace);
		ck_assert_msg(mbj_bytes_equal(mbj_buf_view(&trace),
					      mbj_buf_view(&wanted)),
			      "%d: %zu bytes, not %zu", pad, trace.n, wanted.n);
		mbj_buf_done(&text);
		mbj_buf_done(&file);
		mbj_buf_done(&trace);
		mbj_buf_done(&wanted);
	}
}
END_TEST

TCase *test_mbox_case(void)
{
	TCase *tc = tcase_create("mbox");

	tcase_add_test(tc, mbox_splits);
	tcase_add_test(tc, mbox_quotes);
	tcase_add_test(tc, mbox_headers);
	tcase_add_test(tc, mbox_long_lines);
	tcase_add_test(tc, mbox_random);
	tcase_add_test(tc, mbox_many_keywords);
	tcase_add_test(tc, mbox_cut_keywords);
	return tc;
}
