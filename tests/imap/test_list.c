/*
 * dovecot-uidlist, dovecot-keywords, subscriptions.
 */
#include <stdio.h>
#include <stdlib.h>

#include <mbj/maildir.h>

#include "cases.h"

/*
 * Goal: lists as Dovecot 2.3 and Courier write them.  Method: one of each,
 * word by word.
 */
START_TEST(uidlist_versions)
{
	static const char *const texts[] = {
		"3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1\n"
		"25006 :1276528487.M364837P9451.kurkku,S=1355,W=1394:2,\n"
		"25017 W2481 Pabc :1276533073.M242911P3632.kurkku:2,F\n",
		"1 1275660208 25022\n"
		"25006 1276528487.M364837P9451.kurkku,S=1355,W=1394\n"
		"25017 1276533073.M242911P3632.kurkku",
	};

	for (size_t i = 0; i < 2; i++) {
		struct mbj_uidlist list;
		struct mbj_uidlist_line line;

		ck_assert_int_eq(mbj_uidlist_begin(mbj_bytes_str(texts[i]),
						   &list, NULL),
				 MBJ_OK);
		ck_assert_uint_eq(list.uidvalidity, 1275660208);
		ck_assert_uint_eq(list.uidnext, 25022);
		ck_assert(list.has_id == (i == 0));
		ck_assert(mbj_uidlist_next(&list, &line));
		ck_assert_uint_eq(line.uid, 25006);
		ck_assert_uint_eq(line.guid.n, 0);
		ck_assert_int_eq(memcmp(line.name.p,
					"1276528487.M364837P9451.kur", 27),
				 0);
		ck_assert(mbj_uidlist_next(&list, &line));
		ck_assert_uint_eq(line.uid, 25017);
		ck_assert(!mbj_uidlist_next(&list, &line));
		ck_assert_uint_eq(list.bad_count, 0);
		ck_assert_uint_eq(list.uidnext, 25022);
	}
}
END_TEST

/* Goal: a bad line costs itself; UIDNEXT is above all that were read. */
START_TEST(uidlist_lines)
{
	struct mbj_uidlist_line line = {.uid = 0};
	struct mbj_uidlist list;
	size_t count = 0;

	ck_assert_int_eq(
		mbj_uidlist_begin(mbj_bytes_str("3 N2 Gxyz V7 Zfuture\n"
						"1 :a\n1 :twice\nx :y\n0 :z\n"
						"5\n6 :\n7 S1\n\n-3 :m\n"
						"4294967295 :last\n"
						"4294967296 :over\n"
						"99999999999 :long\n"
						"9 :b\n8 :falls\n"
						"4294967294 :highest"),
				  &list, NULL),
		MBJ_OK);
	ck_assert(!list.has_id);
	while (mbj_uidlist_next(&list, &line))
		count++;
	ck_assert_uint_eq(count, 3);
	ck_assert_uint_eq(line.uid, 4294967294);
	ck_assert_uint_eq(list.uidnext, 4294967295);
	ck_assert_uint_eq(list.bad_count, 12);
	ck_assert(mbj_bytes_equal(line.name, mbj_bytes_str("highest")));
}
END_TEST

/* Goal: what is no list, or of a version that nobody knows, is refused. */
START_TEST(uidlist_refused)
{
	static const struct {
		const char *text;
		enum mbj_rc rc;
	} rows[] = {
		{"", MBJ_EINVALID},
		{"\n", MBJ_EINVALID},
		{"hello\n", MBJ_EINVALID},
		{"3\n", MBJ_EINVALID},
		{"3 V0 N1\n", MBJ_EINVALID},
		{"3 V4294967296 N1\n", MBJ_EINVALID},
		{"3 Vx N1\n", MBJ_EINVALID},
		{"1\n", MBJ_EINVALID},
		{"2 1 2\n", MBJ_EUNSUPPORTED},
		{"4 V1 N1\n", MBJ_EUNSUPPORTED},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct mbj_uidlist list;
		struct mbj_error err;

		ck_assert_msg(mbj_uidlist_begin(mbj_bytes_str(rows[i].text),
						&list, &err) == rows[i].rc,
			      "%s", rows[i].text);
		ck_assert_str_ne(err.message, "");
	}
}
END_TEST

/*
 * Goal: of GUIDs Dovecot takes the first, whatever its bytes are; an empty one
 * is none.
 */
START_TEST(uidlist_guids)
{
	static const char text[] = "3 V1 N9\n1 S1 Gone Gtwo :a\n"
				   "2 Ga:b/c W2 :b\n"
				   "3 G\xc3\xa4 :c\n4 G :d\n";
	static const char *const guids[] = {"one", "a:b/c", "\xc3\xa4", ""};
	struct mbj_uidlist_line line;
	struct mbj_uidlist list;

	ck_assert_int_eq(mbj_uidlist_begin(mbj_bytes_str(text), &list, NULL),
			 MBJ_OK);
	for (size_t i = 0; i < 4; i++) {
		ck_assert(mbj_uidlist_next(&list, &line));
		ck_assert(mbj_bytes_equal(line.guid, mbj_bytes_str(guids[i])));
	}
	ck_assert(!mbj_uidlist_next(&list, &line));
}
END_TEST

/* Goal: what is written is read. */
START_TEST(uidlist_round_trip)
{
	struct mbj_id id = {{0x30, 0x85}};
	const struct mbj_uidlist_line lines[] = {
		{1, mbj_bytes_str("12.a b,S=1"), {NULL, 0}},
		{900, mbj_bytes_str("13.c:d"), mbj_bytes_str("12.a:b,S=1")},
	};
	struct mbj_uidlist_line line;
	struct mbj_uidlist list;
	struct mbj_buf buf;

	mbj_buf_init(&buf, 4096);
	mbj_uidlist_put_head(&buf, 77, 1000, id);
	for (size_t i = 0; i < 2; i++)
		mbj_uidlist_put(&buf, &lines[i]);
	ck_assert_int_eq(mbj_uidlist_begin(mbj_buf_view(&buf), &list, NULL),
			 MBJ_OK);
	ck_assert_uint_eq(list.uidvalidity, 77);
	ck_assert_uint_eq(list.uidnext, 1000);
	ck_assert(list.has_id && mbj_id_equal(list.id, id));
	for (size_t i = 0; i < 2; i++) {
		ck_assert(mbj_uidlist_next(&list, &line));
		ck_assert_uint_eq(line.uid, lines[i].uid);
		ck_assert(mbj_bytes_equal(line.name, lines[i].name));
		ck_assert(mbj_bytes_equal(line.guid, lines[i].guid));
	}
	ck_assert(!mbj_uidlist_next(&list, &line));
	mbj_buf_done(&buf);
}
END_TEST

/* Goal: letters get the words of their lines, good ones only. */
START_TEST(keywords_lines)
{
	struct mbj_bytes words[MBJ_MAILDIR_LETTERS];
	struct mbj_buf buf;

	mbj_buf_init(&buf, 4096);
	mbj_maildir_keywords_put(&buf, 0, mbj_bytes_str("$Forwarded"));
	mbj_buf_put_str(&buf, "25 work\n26 over\nx y\n3 two words\n4\n5 \n"
			      "6 \\Seen\n7 last");
	mbj_maildir_keywords_parse(mbj_buf_view(&buf), words);
	for (size_t i = 0; i < MBJ_MAILDIR_LETTERS; i++)
		ck_assert_uint_eq(words[i].n, i == 0	? 10
					      : i == 25 ? 4
					      : i == 7	? 4
							: 0);
	mbj_maildir_keywords_parse(mbj_bytes_make(NULL, 0), words);
	ck_assert_uint_eq(words[0].n, 0);
	mbj_buf_done(&buf);
}
END_TEST

static void subscriptions_are(const char *text, const char *joined)
{
	struct mbj_maildir_subscriptions list;
	struct mbj_utf7 *utf7 = NULL;
	struct mbj_buf path, all;
	enum mbj_rc rc;

	ck_assert_int_eq(mbj_utf7_new(&utf7, NULL), MBJ_OK);
	mbj_buf_init(&path, 4096);
	mbj_buf_init(&all, 4096);
	mbj_maildir_subscriptions_begin(mbj_bytes_str(text), &list);
	while ((rc = mbj_maildir_subscriptions_next(&list, utf7, &path,
						    NULL)) != MBJ_ENOTFOUND) {
		for (size_t i = 0; rc == MBJ_OK && i < path.n; i++)
			mbj_buf_put_u8(&all,
				       path.p[i] == '\0' ? '/' : path.p[i]);
		mbj_buf_put_str(&all, rc == MBJ_OK ? ";" : "!");
	}
	ck_assert_msg(mbj_bytes_equal(mbj_buf_view(&all),
				      mbj_bytes_str(joined)),
		      "%.*s", (int)all.n, (const char *)all.p);
	mbj_buf_done(&all);
	mbj_buf_done(&path);
	mbj_utf7_free(&utf7);
}

/* Goal: both versions; a bad line costs itself. */
START_TEST(subscriptions_lines)
{
	struct mbj_utf7 *utf7 = NULL;
	struct mbj_buf buf;

	subscriptions_are("V\t2\n\nA\tB\nR&-D\nEntw&APw-rfe\tx\ngone",
			  "A/B;R&D;Entw\xc3\xbcrfe/x;gone;");
	subscriptions_are("INBOX\nA.B\n\nR&-D\n", "INBOX;A/B;R&D;");
	subscriptions_are("A..B\n.\nok\n", "!!ok;");
	subscriptions_are("", "");
	ck_assert_int_eq(mbj_utf7_new(&utf7, NULL), MBJ_OK);
	mbj_buf_init(&buf, 4096);
	mbj_maildir_subscriptions_put_head(&buf);
	ck_assert_int_eq(mbj_maildir_subscriptions_put(
				 &buf, utf7, mbj_bytes_make("A\0xy", 4), NULL),
			 MBJ_OK);
	/* Dovecot would read A/x/y. */
	ck_assert_int_eq(mbj_maildir_subscriptions_put(
				 &buf, utf7, mbj_bytes_make("A\0x.y", 5), NULL),
			 MBJ_EINVALID);
	ck_assert_int_eq(mbj_maildir_subscriptions_put(&buf, utf7,
						       mbj_bytes_str("a/b"),
						       NULL),
			 MBJ_EINVALID);
	ck_assert_int_eq(mbj_maildir_subscriptions_put(
				 &buf, utf7, mbj_bytes_str("\xc3\xbc"), NULL),
			 MBJ_OK);
	mbj_buf_put_u8(&buf, 0);
	subscriptions_are((const char *)buf.p, "A/xy;\xc3\xbc;");
	mbj_buf_done(&buf);
	mbj_utf7_free(&utf7);
}
END_TEST

TCase *test_list_case(void)
{
	TCase *tc = tcase_create("list");

	tcase_add_test(tc, uidlist_versions);
	tcase_add_test(tc, uidlist_lines);
	tcase_add_test(tc, uidlist_refused);
	tcase_add_test(tc, uidlist_guids);
	tcase_add_test(tc, uidlist_round_trip);
	tcase_add_test(tc, keywords_lines);
	tcase_add_test(tc, subscriptions_lines);
	return tc;
}
