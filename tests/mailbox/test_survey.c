/*
 * What an account's records sum to (mbj/survey.h): whole, in slices, one by
 * one; and questions and answers as bytes.
 */
#include <string.h>

#include <mbj/attribute.h>
#include <mbj/survey.h>

#include "content_lab.h"
#include "state_priv.h"

enum {
	STEPS = 200,
	ANSWER_MAX = MBJ_SURVEY_ANSWER_MAX,
	/* One more than there may be. */
	PLACE_MAX = MBJ_SURVEY_PLACE_MAX + 1,
};

static struct mbj_error err;

/* What keys the sections have, as docs/FORMAT.md says. */
static const struct {
	uint8_t section;
	size_t least;
	size_t most;
} keys[] = {
	{MBJ_SURVEY_ACCOUNT, 0, 0},
	{MBJ_SURVEY_MAILBOXES, 16, 16},
	{MBJ_SURVEY_SUBSCRIPTIONS, 1, PLACE_MAX - 2},
	{MBJ_SURVEY_FLOORS, 32, 32},
	{MBJ_SURVEY_ATTRIBUTES, 18, 1041},
	{MBJ_SURVEY_CONTENTS, 16, 16},
	{MBJ_SURVEY_INTENTS, 16, 16},
	{MBJ_SURVEY_MESSAGES, 20, 20},
};

/* One with a key of n bytes in a section. */
static struct mbj_bytes place_of(uint8_t place[PLACE_MAX], size_t which,
				 size_t n)
{
	ck_assert_uint_lt(n, PLACE_MAX);
	memset(place, 'n', n + 1);
	place[0] = keys[which].section;
	return mbj_bytes_make(place, n + 1);
}

/* An account with something in most sections, and what is to be reaped. */
static void lab_fill(struct content_lab *lab, int engine)
{
	struct mbj_bytes name = mbj_bytes_str("Work"), value;
	const struct mbj_path path = {name, name};
	struct mbj_hash hash = {{7}};
	struct mbj_buf uids;

	content_lab_begin(lab, engine);
	mbj_buf_init(&uids, 1 << 12);
	for (unsigned i = 0; i < STEPS; i++)
		content_step(lab, &uids);
	mbj_buf_done(&uids);
	/* The steps may have ended with none. */
	content_append(lab, &lab->model->boxes[0]);
	value = mbj_bytes_str("a \x1b value");
	test_ok(mbj_txn_subscribe(lab->txn, lab->account, &path, &err), err);
	test_ok(mbj_txn_floor_raise(lab->txn, lab->account, &hash, 5, &err),
		err);
	test_ok(mbj_txn_account_set_attr(lab->txn, lab->account,
					 mbj_bytes_str("/private/comment"),
					 value, &err),
		err);
	test_ok(mbj_txn_flush(lab->txn, &err), err);
}

static struct mbj_survey_answer ask(struct content_lab *lab,
				    const struct mbj_survey_question *question,
				    struct mbj_buf *bytes)
{
	struct mbj_survey_question asked;
	struct mbj_survey_answer answer;
	struct mbj_buf coded;

	mbj_buf_init(&coded, MBJ_SURVEY_QUESTION_MAX);
	mbj_survey_question_encode(&coded, question);
	test_ok(mbj_survey_question_decode(mbj_buf_view(&coded), &asked, &err),
		err);
	mbj_buf_clear(bytes);
	test_ok(mbj_txn_survey(lab->txn, &asked, bytes, &err), err);
	test_ok(mbj_survey_answer_decode(mbj_buf_view(bytes), &answer, &err),
		err);
	mbj_buf_done(&coded);
	return answer;
}

/* All of it in slices of so many; the sums, and how many records. */
struct total {
	struct mbj_digest records, messages, contents;
	uint64_t count;
};

static void survey_all(struct content_lab *lab, enum mbj_survey_kind kind,
		       uint32_t limit, struct total *ret)
{
	struct mbj_survey_question question = {.kind = kind,
					       .account = lab->account,
					       .limit = limit};
	struct mbj_survey_answer a = {.is_whole = false};
	struct mbj_survey_entry entry;
	struct mbj_digest each = {{0}}, both = {{0}};
	struct mbj_buf bytes, from;

	*ret = (struct total){.count = 0};
	mbj_buf_init(&bytes, ANSWER_MAX);
	mbj_buf_init(&from, MBJ_SURVEY_PLACE_MAX);
	while (!a.is_whole) {
		a = ask(lab, &question, &bytes);
		ck_assert(a.is_there);
		ck_assert_uint_le(a.count, limit);
		mbj_digest_join(&ret->records, &a.records);
		mbj_digest_join(&ret->messages, &a.messages);
		mbj_digest_join(&ret->contents, &a.contents);
		ret->count += a.count;
		while (mbj_survey_entry_next(&a.entries, &entry))
			mbj_digest_join(&each, &entry.digest);
		mbj_buf_clear(&from);
		mbj_buf_put_bytes(&from, a.last);
		question.from = mbj_buf_view(&from);
	}
	mbj_digest_join(&both, &ret->records);
	mbj_digest_join(&both, &ret->messages);
	if (kind == MBJ_SURVEY_EACH)
		ck_assert(mbj_digest_equal(&each, &both));
	mbj_buf_done(&bytes);
	mbj_buf_done(&from);
}

/*
 * Goal: the sums are the account's digest and its contents', and slices of any
 * size add up to them; what waits to be reaped is in none.  Method: random
 * mailboxes, both engines, slices of 1 to all, summed and one by one.
 */
START_TEST(survey_sums)
{
	static const uint32_t limits[] = {1, 2, 7, 100, MBJ_SURVEY_EACH_MAX};
	struct mbj_account account;
	struct content_lab lab;
	struct total all, part;

	lab_fill(&lab, _i);
	test_ok(mbj_txn_account_get(lab.txn, lab.account, &account, &err), err);
	survey_all(&lab, MBJ_SURVEY_SUMS, MBJ_SURVEY_LIMIT_MAX, &all);
	ck_assert(mbj_digest_equal(&all.records, &account.digest));
	ck_assert(mbj_digest_equal(&all.messages, &all.contents));
	ck_assert_uint_gt(all.count, account.message_count);
	ck_assert_uint_gt(account.message_count, 0);
	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		for (int kind = MBJ_SURVEY_SUMS; kind <= MBJ_SURVEY_EACH;
		     kind++) {
			survey_all(&lab, (enum mbj_survey_kind)kind, limits[i],
				   &part);
			ck_assert_mem_eq(&part, &all, sizeof(all));
		}
	}
	content_lab_end(&lab);
}
END_TEST

/*
 * Goal: a range is what lies between two places, the first one without.
 * Method: for each place of the account what is up to there and what is behind
 * it add up; each record can be shown, as one line.
 */
START_TEST(survey_ranges)
{
	struct mbj_survey_question question = {.kind = MBJ_SURVEY_EACH,
					       .limit = MBJ_SURVEY_EACH_MAX};
	struct mbj_buf list, bytes;
	struct mbj_survey_answer a, part;
	struct mbj_survey_entry entry;
	struct mbj_bytes entries;
	struct content_lab lab;
	struct mbj_digest sum, whole;
	unsigned sections = 0;

	lab_fill(&lab, _i);
	mbj_buf_init(&list, ANSWER_MAX);
	mbj_buf_init(&bytes, ANSWER_MAX);
	question.account = lab.account;
	a = ask(&lab, &question, &list);
	ck_assert(a.is_whole);
	whole = a.records;
	mbj_digest_join(&whole, &a.messages);
	entries = a.entries;
	while (mbj_survey_entry_next(&entries, &entry)) {
		sections |= 1u << entry.place.p[0];
		question.kind = MBJ_SURVEY_SUMS;
		question.from = mbj_bytes_make(NULL, 0);
		question.until = entry.place;
		part = ask(&lab, &question, &bytes);
		ck_assert(part.is_whole);
		sum = part.records;
		mbj_digest_join(&sum, &part.messages);
		question.from = entry.place;
		question.until = mbj_bytes_make(NULL, 0);
		part = ask(&lab, &question, &bytes);
		mbj_digest_join(&sum, &part.records);
		mbj_digest_join(&sum, &part.messages);
		question.kind = MBJ_SURVEY_SHOW;
		question.from = entry.place;
		part = ask(&lab, &question, &bytes);
		ck_assert(part.is_there);
		ck_assert_uint_lt(part.text.n, MBJ_SURVEY_TEXT_MAX);
		ck_assert(mbj_digest_equal(&sum, &whole));
	}
	/* Account, mailboxes, subscriptions, floors, attributes, contents,
	 * messages. */
	ck_assert_uint_eq(sections, 0x17e);
	mbj_buf_done(&list);
	mbj_buf_done(&bytes);
	content_lab_end(&lab);
}
END_TEST

/*
 * Goal: what is not there is an answer; accounts are listed behind one.
 * Method: an account that there is not, records that there are not, the list
 * from the beginning and behind its last one; a mark of parking.
 */
START_TEST(survey_absent)
{
	uint8_t place[PLACE_MAX];
	struct mbj_survey_question question = {.kind = MBJ_SURVEY_LIST,
					       .account = MBJ_ID_ROOT,
					       .limit = 1};
	struct mbj_parked parked = {.first = {3}, .last = {4}, .count = 2};
	struct mbj_survey_answer a;
	struct content_lab lab;
	struct mbj_buf bytes;

	lab_fill(&lab, _i);
	mbj_buf_init(&bytes, ANSWER_MAX);
	a = ask(&lab, &question, &bytes);
	ck_assert_uint_eq(a.entry_count, 1);
	question.account = lab.account;
	a = ask(&lab, &question, &bytes);
	ck_assert_uint_eq(a.entry_count, 0);
	ck_assert(a.is_whole);
	question.kind = MBJ_SURVEY_SHOW;
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		if (keys[i].section == MBJ_SURVEY_ACCOUNT)
			continue;
		question.from = place_of(place, i, keys[i].least);
		ck_assert(!ask(&lab, &question, &bytes).is_there);
	}
	parked.account = lab.account;
	parked.reason = mbj_bytes_str("by hand");
	test_ok(mbj_txn_parked_set(lab.txn, &parked, &err), err);
	question.kind = MBJ_SURVEY_SUMS;
	a = ask(&lab, &question, &bytes);
	ck_assert(a.is_parked && a.is_there);
	ck_assert(mbj_bytes_equal(
		a.reason,
		mbj_bytes_str("2 groups set aside from group 3 on: by hand")));
	question.account = test_id(4711);
	ck_assert(!ask(&lab, &question, &bytes).is_there);
	mbj_buf_done(&bytes);
	content_lab_end(&lab);
}
END_TEST

/*
 * Goal: questions and answers that cannot be are refused, whatever they are.
 * Method: one thing wrong each.
 */
START_TEST(survey_bad)
{
	static const struct mbj_survey_question bad[] = {
		{MBJ_SURVEY_SUMS, {{1}}, {NULL, 0}, {NULL, 0}, 0},
		{MBJ_SURVEY_SUMS,
		 {{1}},
		 {NULL, 0},
		 {NULL, 0},
		 MBJ_SURVEY_LIMIT_MAX + 1},
		{MBJ_SURVEY_EACH,
		 {{1}},
		 {NULL, 0},
		 {NULL, 0},
		 MBJ_SURVEY_EACH_MAX + 1},
		{MBJ_SURVEY_LIST,
		 {{1}},
		 {NULL, 0},
		 {NULL, 0},
		 MBJ_SURVEY_EACH_MAX + 1},
		{MBJ_SURVEY_SHOW, {{1}}, {NULL, 0}, {NULL, 0}, 1},
		{(enum mbj_survey_kind)0, {{1}}, {NULL, 0}, {NULL, 0}, 1},
		{(enum mbj_survey_kind)5, {{1}}, {NULL, 0}, {NULL, 0}, 1},
		{MBJ_SURVEY_SUMS,
		 {{1}},
		 {(const uint8_t *)"\0", 1},
		 {NULL, 0},
		 1},
		{MBJ_SURVEY_SUMS,
		 {{1}},
		 {NULL, 0},
		 {(const uint8_t *)"\x09", 1},
		 1},
	};
	struct mbj_survey_answer answers[] = {
		{.is_whole = false},
		{.is_whole = true, .last = mbj_bytes_str("\x09")},
		{.is_whole = true, .entry_count = 1},
		{.is_whole = true, .text = mbj_bytes_str("a\x1b[2J")},
		{.is_whole = true, .path = mbj_bytes_str("\n")},
		{.is_whole = true, .reason = mbj_bytes_str("\x7f")},
	};
	struct mbj_survey_question question;
	struct mbj_survey_answer answer;
	struct mbj_buf buf;

	mbj_buf_init(&buf, ANSWER_MAX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		mbj_buf_clear(&buf);
		mbj_survey_question_encode(&buf, &bad[i]);
		test_rc(mbj_survey_question_decode(mbj_buf_view(&buf),
						   &question, &err),
			MBJ_ECORRUPT);
	}
	for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
		mbj_buf_clear(&buf);
		mbj_survey_answer_encode(&buf, &answers[i]);
		test_rc(mbj_survey_answer_decode(mbj_buf_view(&buf), &answer,
						 &err),
			MBJ_ECORRUPT);
	}
	mbj_buf_done(&buf);
}
END_TEST

/* A question with those places, as bytes and back. */
static enum mbj_rc question_judge(enum mbj_survey_kind kind,
				  struct mbj_bytes from, struct mbj_bytes until)
{
	const struct mbj_survey_question asked = {kind, {{1}}, from, until, 1};
	struct mbj_survey_question question;
	struct mbj_buf buf;
	enum mbj_rc rc;

	mbj_buf_init(&buf, ANSWER_MAX);
	mbj_survey_question_encode(&buf, &asked);
	rc = mbj_survey_question_decode(mbj_buf_view(&buf), &question, &err);
	mbj_buf_done(&buf);
	return rc;
}

/*
 * Goal: only what can be a record's place is asked for: another one, between
 * two records, would have whoever answers pass over all that is before it.
 * Method: in each section the shortest and the longest key, and one byte less
 * and more, as both places; a list, which has no place.
 */
START_TEST(survey_places)
{
	const struct mbj_bytes none = mbj_bytes_make(NULL, 0);
	static uint8_t place[PLACE_MAX];
	struct mbj_bytes bytes;

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		size_t sizes[] = {keys[i].least, keys[i].most,
				  keys[i].least - 1, keys[i].most + 1};

		for (int j = 0; j < 4; j++) {
			enum mbj_rc rc = j < 2 ? MBJ_OK : MBJ_ECORRUPT;

			if (j == 2 && keys[i].least == 0)
				continue;
			bytes = place_of(place, i, sizes[j]);
			test_rc(question_judge(MBJ_SURVEY_SUMS, bytes, none),
				rc);
			test_rc(question_judge(MBJ_SURVEY_SUMS, none, bytes),
				rc);
			test_rc(question_judge(MBJ_SURVEY_LIST, bytes, none),
				MBJ_ECORRUPT);
			test_rc(question_judge(MBJ_SURVEY_LIST, none, bytes),
				MBJ_ECORRUPT);
		}
	}
	bytes = place_of(place, 7, 21);
	test_rc(question_judge(MBJ_SURVEY_SHOW, bytes, none), MBJ_ECORRUPT);
	ck_assert_str_eq(err.message,
			 "a survey asks for a place that no record has: a key "
			 "of 21 bytes in section MESSAGES, where they have 20 "
			 "to 20");
}
END_TEST

/*
 * Goal: bytes are bounded as records are.  Method: attributes as large as they
 * may be, and a question for as many records as one of them counts for.
 */
START_TEST(survey_large)
{
	static const char *const names[] = {"/private/a", "/private/b",
					    "/private/c"};
	struct mbj_survey_question question = {.kind = MBJ_SURVEY_SUMS};
	static uint8_t place[PLACE_MAX];
	struct mbj_survey_answer a;
	struct mbj_buf bytes, value;
	struct content_lab lab;

	lab_fill(&lab, _i);
	mbj_buf_init(&bytes, ANSWER_MAX);
	mbj_buf_init(&value, MBJ_ATTR_VALUE_MAX);
	mbj_buf_put_zero(&value, MBJ_ATTR_VALUE_MAX);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		test_ok(mbj_txn_account_set_attr(lab.txn, lab.account,
						 mbj_bytes_str(names[i]),
						 mbj_buf_view(&value), &err),
			err);
	question.account = lab.account;
	question.limit = MBJ_ATTR_VALUE_MAX / MBJ_SURVEY_RECORD_SIZE;
	/* Behind all hashes: no name is the last of them. */
	question.from = place_of(place, 3, keys[3].least);
	memset(place + 1, 0xff, keys[3].least);
	a = ask(&lab, &question, &bytes);
	ck_assert_uint_eq(a.count, 1);
	ck_assert(!a.is_whole);
	mbj_buf_done(&value);
	mbj_buf_done(&bytes);
	content_lab_end(&lab);
}
END_TEST

/*
 * Goal: a record whose key has another size is damage, and named: nobody could
 * go on behind it.  Method: one among the floors, shorter and longer.
 */
START_TEST(survey_odd_key)
{
	struct mbj_survey_question question = {.kind = MBJ_SURVEY_SUMS,
					       .limit = MBJ_SURVEY_LIMIT_MAX};
	struct content_lab lab;
	struct mbj_buf bytes;

	lab_fill(&lab, 0);
	question.account = lab.account;
	key_pair(&lab.txn->key, lab.account,
		 "a hash that is longer than any other one", _i == 0 ? 31 : 33);
	mbj_buf_clear(&lab.txn->value);
	mbj_buf_put_str(&lab.txn->value, "value");
	test_ok(txn_put(lab.txn, TABLE_FLOORS, &err), err);
	mbj_buf_init(&bytes, ANSWER_MAX);
	test_rc(mbj_txn_survey(lab.txn, &question, &bytes, &err), MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(err.message, "floors"));
	mbj_buf_done(&bytes);
	content_lab_end(&lab);
}
END_TEST

/* Goal: entries that go round in circles are refused.  Method: two, swapped. */
START_TEST(survey_order)
{
	const struct mbj_survey_entry first = {mbj_bytes_str("\x02one"), {{1}}};
	const struct mbj_survey_entry second = {mbj_bytes_str("\x02two"),
						{{2}}};
	struct mbj_survey_answer answer = {.is_whole = true, .entry_count = 2};
	struct mbj_buf entries, buf;

	mbj_buf_init(&entries, ANSWER_MAX);
	mbj_buf_init(&buf, ANSWER_MAX);
	for (int i = 0; i < 3; i++) {
		mbj_buf_clear(&entries);
		mbj_buf_clear(&buf);
		mbj_survey_entry_put(&entries, i == 1 ? &second : &first);
		mbj_survey_entry_put(&entries, i == 0 ? &second : &first);
		answer.entries = mbj_buf_view(&entries);
		mbj_survey_answer_encode(&buf, &answer);
		test_rc(mbj_survey_answer_decode(mbj_buf_view(&buf), &answer,
						 &err),
			i == 0 ? MBJ_OK : MBJ_ECORRUPT);
		answer = (struct mbj_survey_answer){.is_whole = true,
						    .entry_count = 2};
	}
	mbj_buf_done(&entries);
	mbj_buf_done(&buf);
}
END_TEST

TCase *test_survey_case(void)
{
	TCase *tcase = tcase_create("survey");

	tcase_add_loop_test(tcase, survey_sums, 0, 2);
	tcase_add_loop_test(tcase, survey_ranges, 0, 2);
	tcase_add_loop_test(tcase, survey_absent, 0, 2);
	tcase_add_test(tcase, survey_bad);
	tcase_add_test(tcase, survey_places);
	tcase_add_loop_test(tcase, survey_large, 0, 2);
	tcase_add_loop_test(tcase, survey_odd_key, 0, 2);
	tcase_add_test(tcase, survey_order);
	return tcase;
}
