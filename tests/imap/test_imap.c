/*
 * What an IMAP server says, taken apart.
 */
#include <mbj/imap.h>

#include "cases.h"

/* One response of bytes, and what comes behind it. */
static enum mbj_rc whole(struct mbj_imap_reader *reader, const char *text,
			 struct mbj_bytes *response)
{
	mbj_imap_reader_feed(reader, mbj_bytes_str(text));
	return mbj_imap_reader_next(reader, response, NULL);
}

static bool is(struct mbj_bytes bytes, const char *text)
{
	return mbj_bytes_equal(bytes, mbj_bytes_str(text));
}

/*
 * Goal: responses end where they end.  Method: literals that hold line ends,
 * text that looks like the announcement of one, bytes one by one.
 */
START_TEST(imap_frames)
{
	static const char TEXT[] = "* LIST () \"/\" {3}\r\na\r\n\r\n"
				   "* OK what {5}\r\n+ {1}\r\nm1 OK {9}\r\n";
	static const char *const WANTED[] = {"* LIST () \"/\" {3}\r\na\r\n",
					     "* OK what {5}", "+ {1}",
					     "m1 OK {9}"};
	struct mbj_imap_reader reader;
	struct mbj_bytes response;
	size_t found = 0;

	mbj_imap_reader_init(&reader);
	for (size_t i = 0; i < sizeof(TEXT) - 1; i++) {
		mbj_imap_reader_feed(&reader, mbj_bytes_make(TEXT + i, 1));
		if (mbj_imap_reader_next(&reader, &response, NULL) == MBJ_OK)
			ck_assert(is(response, WANTED[found++]));
	}
	ck_assert_uint_eq(found, sizeof(WANTED) / sizeof(*WANTED));
	mbj_imap_reader_done(&reader);
}
END_TEST

/*
 * Goal: a hostile server gets no memory and no time.  Method: a line and a
 * literal at the limit and beyond it, line ends that are none.
 */
START_TEST(imap_limits)
{
	struct mbj_imap_reader reader;
	struct mbj_bytes response;
	struct mbj_buf line;

	mbj_buf_init(&line, 2 * MBJ_IMAP_RESPONSE_MAX);
	for (size_t n = MBJ_IMAP_RESPONSE_MAX; n <= MBJ_IMAP_RESPONSE_MAX + 1;
	     n++) {
		mbj_buf_clear(&line);
		while (line.n < n - 2)
			mbj_buf_put_str(&line, "x");
		mbj_buf_put_str(&line, "\r\n");
		mbj_imap_reader_init(&reader);
		mbj_imap_reader_feed(&reader, mbj_buf_view(&line));
		ck_assert_int_eq(mbj_imap_reader_next(&reader, &response, NULL),
				 n == MBJ_IMAP_RESPONSE_MAX ? MBJ_OK
							    : MBJ_ELIMIT);
		mbj_imap_reader_done(&reader);
	}
	/* Without an end at all. */
	mbj_imap_reader_init(&reader);
	mbj_imap_reader_feed(&reader, mbj_bytes_make(line.p, line.n - 2));
	ck_assert_int_eq(mbj_imap_reader_next(&reader, &response, NULL),
			 MBJ_ENOTFOUND);
	mbj_imap_reader_feed(&reader, mbj_bytes_str("xxx"));
	ck_assert_int_eq(mbj_imap_reader_next(&reader, &response, NULL),
			 MBJ_ELIMIT);
	mbj_imap_reader_done(&reader);
	mbj_buf_done(&line);

	mbj_imap_reader_init(&reader);
	ck_assert_int_eq(whole(&reader, "* LIST () NIL {1048577}\r\n",
			       &response),
			 MBJ_ELIMIT);
	mbj_imap_reader_done(&reader);
	mbj_imap_reader_init(&reader);
	ck_assert_int_eq(whole(&reader,
			       "* LIST () NIL {18446744073709551620}\r\n",
			       &response),
			 MBJ_ELIMIT);
	mbj_imap_reader_done(&reader);
	mbj_imap_reader_init(&reader);
	ck_assert_int_eq(whole(&reader, "* OK\n", &response), MBJ_ECORRUPT);
	mbj_imap_reader_done(&reader);
}
END_TEST

/*
 * Goal: a MAILBOXID is as long as RFC 8474 has it, or is none.  Method: at the
 * limit and one more.
 */
START_TEST(imap_objects)
{
	for (size_t n = MBJ_IMAP_OBJECTID_MAX; n <= MBJ_IMAP_OBJECTID_MAX + 1;
	     n++) {
		struct mbj_imap_response r;
		struct mbj_buf line, s;
		enum mbj_rc rc;

		mbj_buf_init(&line, 4096);
		mbj_buf_init(&s, 4096);
		mbj_buf_put_str(&line, "* STATUS a (MAILBOXID (");
		for (size_t i = 0; i < n; i++)
			mbj_buf_put_str(&line, "f");
		mbj_buf_put_str(&line, "))");
		rc = mbj_imap_response_parse(mbj_buf_view(&line), &s, &r, NULL);
		ck_assert_int_eq(rc, n == MBJ_IMAP_OBJECTID_MAX ? MBJ_OK
								: MBJ_ECORRUPT);
		if (rc == MBJ_OK)
			ck_assert_uint_eq(r.object.n, n);
		mbj_buf_done(&s);
		mbj_buf_done(&line);
	}
}
END_TEST

struct bad_row {
	const char *text;
	enum mbj_rc rc;
};

/*
 * Goal: what is known is as it is to be, or refused.  Method: a table.
 */
START_TEST(imap_bad)
{
	static const struct bad_row rows[] = {
		{"* 3 EXISTS", MBJ_OK},
		{"* FLAGS (\\Seen)", MBJ_OK},
		{"* 3 FETCH (UID 7)", MBJ_OK},
		{"* 3 FETCH (FLAGS (\\Seen x) MODSEQ (5))", MBJ_OK},
		{"* 3 FETCH (BODY[TEXT]<0> \"a\")", MBJ_OK},
		/* Nobody may send these, and some do. */
		{"* 3 FETCH (FLAGS (\\Seen \xe9) UID 7)", MBJ_OK},
		{"* LIST () \"/\" Entw\xc3\xbcrfe", MBJ_OK},
		{"m1 OK [APPENDUID 1 2:3] x", MBJ_OK},
		{"m1 OK [APPENDUID", MBJ_OK},
		{"* CAPABILITY APPENDLIMIT APPENDLIMIT= APPENDLIMIT=x", MBJ_OK},
		{"* LIST (\\Marked) \"/\" a (OLDNAME (\"b\"))", MBJ_OK},
		{"* STATUS a (FOO (x (y)) UIDNEXT 1)", MBJ_OK},
		{"* STATUS a ()", MBJ_OK},
		{"* NAMESPACE NIL NIL NIL", MBJ_OK},
		{"* OK [ALERT] x", MBJ_OK},
		{"", MBJ_ECORRUPT},
		{"(", MBJ_ECORRUPT},
		{"m1 MAYBE", MBJ_ECORRUPT},
		{"* x EXISTS", MBJ_ECORRUPT},
		{"* LIST a \"/\" a", MBJ_ECORRUPT},
		{"* LIST (\\Marked", MBJ_ECORRUPT},
		{"* LIST () \"//\" a", MBJ_ECORRUPT},
		{"* LIST () \"/\" \"a", MBJ_ECORRUPT},
		{"* LIST () \"/\" \"a\\", MBJ_ECORRUPT},
		{"* LIST () \"/\"", MBJ_ECORRUPT},
		{"* LSUB () NIL {3}\r\nab", MBJ_ECORRUPT},
		{"* LSUB () NIL (a)", MBJ_ECORRUPT},
		{"* STATUS a (UIDNEXT 4294967296)", MBJ_ECORRUPT},
		{"* STATUS a (UIDNEXT -1)", MBJ_ECORRUPT},
		{"* STATUS a (UIDNEXT", MBJ_ECORRUPT},
		{"* STATUS a (FOO (x (y) UIDNEXT 1)", MBJ_ECORRUPT},
		{"* STATUS a (FOO))", MBJ_ECORRUPT},
		{"* STATUS a (MAILBOXID x)", MBJ_ECORRUPT},
		{"* STATUS a (MAILBOXID (\xce;_))", MBJ_ECORRUPT},
		{"* STATUS a (MAILBOXID (a.b))", MBJ_ECORRUPT},
		{"* OK [MAILBOXID ()] x", MBJ_ECORRUPT},
		{"* OK [UIDNEXT 3x] x", MBJ_ECORRUPT},
		{"* OK [UIDNEXT ]", MBJ_ECORRUPT},
		{"* OK [PERMANENTFLAGS x] x", MBJ_ECORRUPT},
		{"* OK [PERMANENTFLAGS (a \"b\")] x", MBJ_ECORRUPT},
		{"* 3 FETCH", MBJ_ECORRUPT},
		{"* 3 FETCH (UID 7", MBJ_ECORRUPT},
		{"* 3 FETCH (UID x)", MBJ_ECORRUPT},
		{"* 3 FETCH (RFC822.SIZE -1)", MBJ_ECORRUPT},
		{"* 3 FETCH (FLAGS (a)", MBJ_ECORRUPT},
		{"* 3 FETCH (BODY[] (a))", MBJ_ECORRUPT},
		{"* 3 FETCH (BODY[]<0> {3}\r\nab)", MBJ_ECORRUPT},
		{"* NAMESPACE ()", MBJ_ECORRUPT},
		{"* NAMESPACE ((\"a\" \"ab\"))", MBJ_ECORRUPT},
		{"* CAPABILITY (x)", MBJ_ECORRUPT},
	};
	struct mbj_imap_response response;
	struct mbj_buf strings;

	mbj_buf_init(&strings, 4096);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_msg(mbj_imap_response_parse(mbj_bytes_str(
							      rows[i].text),
						      &strings, &response,
						      NULL) == rows[i].rc,
			      "%s", rows[i].text);
	mbj_buf_done(&strings);
}
END_TEST

/*
 * Goal: values are those that were said.  Method: one of each.
 */
START_TEST(imap_values)
{
	struct mbj_imap_response r;
	struct mbj_buf s;

	mbj_buf_init(&s, 4096);
	ck_assert_int_eq(mbj_imap_response_parse(
				 mbj_bytes_str("* LIST (\\NOSELECT) \"\\\\\" "
					       "\"a \\\"b\\\\c\""),
				 &s, &r, NULL),
			 MBJ_OK);
	ck_assert(r.kind == MBJ_IMAP_LIST && r.delimiter == '\\' &&
		  is(r.name, "a \"b\\c") &&
		  r.words == 1u << MBJ_IMAP_LIST_NOSELECT);
	ck_assert_int_eq(
		mbj_imap_response_parse(
			mbj_bytes_str("* status {1}\r\na (messages 3 UIDNEXT 4 "
				      "SIZE 9 UIDVALIDITY 4294967295 MAILBOXID "
				      "(F-1_x))"),
			&s, &r, NULL),
		MBJ_OK);
	ck_assert(r.kind == MBJ_IMAP_STATUS && is(r.name, "a") &&
		  is(r.object, "F-1_x") && r.has_messages && r.messages == 3 &&
		  r.uidnext == 4 && r.uidvalidity == UINT32_MAX);
	ck_assert_int_eq(mbj_imap_response_parse(mbj_bytes_str(
							 "m7 NO [X] not so"),
						 &s, &r, NULL),
			 MBJ_OK);
	ck_assert(r.kind == MBJ_IMAP_TAGGED && r.verdict == MBJ_IMAP_NO &&
		  is(r.tag, "m7") && is(r.text, "[X] not so"));
	ck_assert_int_eq(mbj_imap_response_parse(
				 mbj_bytes_str(
					 "* NAMESPACE ((\"INBOX.\" \".\")) NIL "
					 "NIL"),
				 &s, &r, NULL),
			 MBJ_OK);
	ck_assert(r.kind == MBJ_IMAP_NAMESPACE && is(r.name, "INBOX.") &&
		  r.delimiter == '.');
	ck_assert_int_eq(mbj_imap_response_parse(
				 mbj_bytes_str("* OK [MAILBOXID (abc)] Ok"), &s,
				 &r, NULL),
			 MBJ_OK);
	ck_assert(r.kind == MBJ_IMAP_CONDITION && is(r.object, "abc"));
	ck_assert_int_eq(
		mbj_imap_response_parse(mbj_bytes_str("* CAPABILITY IMAP4rev1 "
						      "objectid LIST-STATUSX"),
					&s, &r, NULL),
		MBJ_OK);
	ck_assert(r.words == 1u << MBJ_IMAP_CAPABILITY_OBJECTID);
	mbj_buf_done(&s);
}
END_TEST

static struct mbj_imap_response parsed(const char *text, struct mbj_buf *s)
{
	struct mbj_imap_response r = {.kind = MBJ_IMAP_OTHER};

	ck_assert_int_eq(mbj_imap_response_parse(mbj_bytes_str(text), s, &r,
						 NULL),
			 MBJ_OK);
	return r;
}

/*
 * Goal: what is said of messages is what was said.  Method: one of each.
 */
START_TEST(imap_messages)
{
	struct mbj_imap_response r;
	struct mbj_buf s;

	mbj_buf_init(&s, 4096);
	r = parsed("* 9 fetch (FLAGS (\\Seen) UID 7 rfc822.size 12 "
		   "BODY[]<4> {5}\r\na\r\n)b)",
		   &s);
	ck_assert(r.kind == MBJ_IMAP_FETCH && r.uid == 7 && r.has_size &&
		  r.size == 12 && r.has_body && is(r.body, "a\r\n)b"));
	r = parsed("* 9 FETCH (UID 7 BODY[]<4> \"a\\\"b\")", &s);
	ck_assert(r.has_body && is(r.body, "a\"b") && !r.has_size);
	r = parsed("* 9 FETCH (BODY[] NIL)", &s);
	ck_assert(r.has_body && r.body.n == 0 && r.uid == 0);
	r = parsed("m7 OK [APPENDUID 38505 3955] done", &s);
	ck_assert(r.kind == MBJ_IMAP_TAGGED && r.uid == 3955 &&
		  r.uidvalidity == 38505 &&
		  is(r.text, "[APPENDUID 38505 3955] done"));
	/* More than one, or none, is not told. */
	r = parsed("m7 OK [APPENDUID 38505 3955:3956] done", &s);
	ck_assert(r.uid == 0 && r.uidvalidity == 0);
	r = parsed("* CAPABILITY UIDPLUS LITERAL+ appendlimit=35651584", &s);
	ck_assert(r.has_append_max && r.append_max == 35651584 &&
		  r.words == (1u << MBJ_IMAP_CAPABILITY_UIDPLUS |
			      1u << MBJ_IMAP_CAPABILITY_LITERAL_PLUS));
	r = parsed("* CAPABILITY APPENDLIMIT LITERAL-", &s);
	ck_assert(!r.has_append_max &&
		  r.words == 1u << MBJ_IMAP_CAPABILITY_LITERAL_MINUS);
	r = parsed("* OK [PERMANENTFLAGS (\\Seen $x \\*)] Limited", &s);
	ck_assert(r.has_flags && is(r.flags, "\\Seen $x \\*"));
	r = parsed("* OK [PERMANENTFLAGS ()] none", &s);
	ck_assert(r.has_flags && r.flags.n == 0);
	r = parsed("* OK [PERMANENTFLAGS NIL] x", &s);
	ck_assert(r.kind == MBJ_IMAP_CONDITION && !r.has_flags);
	/* A keyword of eight bits, as some let clients have. */
	r = parsed("* OK [PERMANENTFLAGS (a \xe9)] x", &s);
	ck_assert(r.has_flags && is(r.flags, "a \xe9"));
	r = parsed("* NO [UIDNOTSTICKY] x", &s);
	ck_assert(r.has_no_uids && r.verdict == MBJ_IMAP_NO);
	mbj_buf_done(&s);
}
END_TEST

TCase *test_imap_case(void)
{
	TCase *tc = tcase_create("imap");

	tcase_add_test(tc, imap_frames);
	tcase_add_test(tc, imap_limits);
	tcase_add_test(tc, imap_objects);
	tcase_add_test(tc, imap_bad);
	tcase_add_test(tc, imap_values);
	tcase_add_test(tc, imap_messages);
	return tc;
}
