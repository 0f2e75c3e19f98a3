/*
 * What the records of an account sum to between two places; see mbj/survey.h.
 *
 * Method: one cursor over each digested table from the place on, then the
 * messages, mailbox by mailbox: by their contents and not by their keys, since
 * what deleted mailboxes left to be reaped is in no digest, and local.
 *
 * Invariant: a cursor begins right behind the place that the question names, so
 * that no record is read that the limit does not count.  A question's place has
 * the size of a record's key: there is nothing between the two.
 */
#include <string.h>

#include <mbj/check.h>

#include "state_survey.h"

_Static_assert(MBJ_SURVEY_ANSWER_MAX == MBJ_SURVEY_ENTRIES_SIZE +
						2 * MBJ_SURVEY_PLACE_MAX + 4096,
	       "an answer has room for what one may have");

/* Sections with a table whose records are in the account's digest, in order. */
static const struct {
	enum mbj_survey_section section;
	enum db_table table;
} sections[] = {
	{MBJ_SURVEY_MAILBOXES, TABLE_MAILBOXES},
	{MBJ_SURVEY_SUBSCRIPTIONS, TABLE_SUBSCRIPTIONS},
	{MBJ_SURVEY_FLOORS, TABLE_FLOORS},
	{MBJ_SURVEY_ATTRIBUTES, TABLE_ATTRIBUTES},
	{MBJ_SURVEY_CONTENTS, TABLE_CONTENTS},
	{MBJ_SURVEY_INTENTS, TABLE_INTENTS},
};

enum { MESSAGE_PLACE_SIZE = 1 + MBJ_ID_SIZE + 4 };

struct survey {
	struct mbj_txn *txn;
	const struct mbj_survey_question *question;
	struct mbj_survey_answer *answer;
	struct mbj_buf entries;
	struct mbj_buf last;
	struct mbj_buf place; /* of the record at hand */
	uint32_t spent;	      /* of the limit */
	bool is_over;	      /* until was passed, or the limit is spent */
};

static struct mbj_bytes place_make(struct survey *s,
				   enum mbj_survey_section section,
				   struct mbj_bytes key)
{
	mbj_buf_clear(&s->place);
	mbj_buf_put_u8(&s->place, (uint8_t)section);
	mbj_buf_put_bytes(&s->place, key);
	return mbj_buf_view(&s->place);
}

/* Of a record; rest is its key behind the account's id. */
static enum mbj_rc record_place(struct survey *s,
				enum mbj_survey_section section,
				enum db_table table, struct mbj_bytes key,
				struct mbj_bytes rest, struct mbj_error *err)
{
	struct mbj_bytes place = place_make(s, section, rest);
	/* Its key is longer than a place may be. */
	enum mbj_rc rc = mbj_buf_ok(&s->place, err);

	if (rc == MBJ_OK && !mbj_survey_place_is_good(place))
		rc = record_damaged(table, key, err);
	return rc;
}

/* Where a cursor begins: the least key behind the one at txn->key. */
static void key_pass(struct survey *s)
{
	mbj_buf_put_u8(&s->txn->key, 0);
}

/* Key of the place that the survey goes on from, if it is of that section. */
static struct mbj_bytes from_key(const struct survey *s,
				 enum mbj_survey_section section)
{
	struct mbj_bytes from = s->question->from;

	if (from.n == 0 || from.p[0] != (uint8_t)section)
		return mbj_bytes_make(NULL, 0);
	return mbj_bytes_make(from.p + 1, from.n - 1);
}

static bool section_is_behind(const struct survey *s,
			      enum mbj_survey_section section)
{
	struct mbj_bytes from = s->question->from;

	return from.n > 0 && from.p[0] > (uint8_t)section;
}

/*
 * Is the record at s->place one of the range?  Where it is past the end, or the
 * limit is spent, it is over.
 */
static bool is_wanted(struct survey *s)
{
	struct mbj_bytes place = mbj_buf_view(&s->place);
	struct mbj_bytes until = s->question->until;

	if (until.n > 0 && mbj_bytes_compare(place, until) > 0) {
		s->is_over = true;
		return false;
	}
	if (s->spent < s->question->limit &&
	    s->entries.n < MBJ_SURVEY_ENTRIES_SIZE)
		return true;
	s->is_over = true;
	s->answer->is_whole = false;
	return false;
}

static void last_note(struct survey *s)
{
	mbj_buf_clear(&s->last);
	mbj_buf_put_bytes(&s->last, mbj_buf_view(&s->place));
}

/* The record at s->place, of the digest that its kind has. */
static enum mbj_rc record_take(struct survey *s, enum db_table table,
			       struct mbj_bytes key, struct mbj_bytes value,
			       struct mbj_error *err)
{
	struct mbj_survey_entry entry = {.digest = {{0}}};
	enum mbj_rc rc;

	rc = record_sum(s->txn, table, key, value, true, &entry.digest, err);
	if (rc < 0)
		return rc;
	mbj_digest_join(table == TABLE_MESSAGES ? &s->answer->messages
						: &s->answer->records,
			&entry.digest);
	last_note(s);
	/* What a large one costs is that of many. */
	s->spent += 1 + (uint32_t)((key.n + value.n) / MBJ_SURVEY_RECORD_SIZE);
	s->answer->count++;
	if (s->question->kind != MBJ_SURVEY_EACH)
		return MBJ_OK;
	entry.place = mbj_buf_view(&s->place);
	mbj_survey_entry_put(&s->entries, &entry);
	s->answer->entry_count++;
	return MBJ_OK;
}

/* What a content says that its messages sum to. */
static enum mbj_rc content_read(struct mbj_bytes key, struct mbj_bytes value,
				struct mbj_content *ret_content,
				struct mbj_error *err)
{
	if (key.n == (size_t)2 * MBJ_ID_SIZE &&
	    record_content_decode(value, ret_content))
		return MBJ_OK;
	return record_damaged(TABLE_CONTENTS, key, err);
}

static enum mbj_rc table_survey(struct survey *s, size_t which,
				struct mbj_error *err)
{
	enum mbj_survey_section section = sections[which].section;
	enum db_table table = sections[which].table;
	struct mbj_bytes from = from_key(s, section);
	struct mbj_bytes key, rest, value;
	struct mbj_content content = {0};
	struct mbj_scan scan = {0};
	enum mbj_rc rc;

	key_pair(&s->txn->key, s->question->account, from.p, from.n);
	if (from.n > 0)
		key_pass(s);
	rc = scan_begin(s->txn, table, MBJ_ID_SIZE, &scan, err);
	while (rc == MBJ_OK) {
		rc = scan_next(&scan, &key, &rest, &value, err);
		if (rc == MBJ_OK)
			rc = record_place(s, section, table, key, rest, err);
		if (rc < 0 || !is_wanted(s))
			break;
		rc = record_take(s, table, key, value, err);
		if (rc == MBJ_OK && table == TABLE_CONTENTS)
			rc = content_read(key, value, &content, err);
		if (rc == MBJ_OK && table == TABLE_CONTENTS)
			mbj_digest_join(&s->answer->contents, &content.digest);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* -------------------------------------------------------------- messages */

static void message_place(struct survey *s, struct mbj_id mailbox, uint32_t uid)
{
	uint8_t key[MESSAGE_PLACE_SIZE - 1];

	memcpy(key, mailbox.b, MBJ_ID_SIZE);
	mbj_store_be32(key + MBJ_ID_SIZE, uid);
	(void)place_make(s, MBJ_SURVEY_MESSAGES,
			 mbj_bytes_make(key, sizeof(key)));
}

/* Those of a mailbox, from a UID on. */
static enum mbj_rc messages_survey(struct survey *s, struct mbj_id mailbox,
				   const struct mbj_content *content,
				   uint32_t first, struct mbj_error *err)
{
	const size_t prefix = 2 * MBJ_ID_SIZE + 4;
	uint32_t spent = s->spent;
	struct mbj_bytes key, rest, value;
	struct mbj_scan scan = {0};
	enum mbj_rc rc;

	key_message(&s->txn->key, s->question->account, content->series, first);
	rc = scan_begin(s->txn, TABLE_MESSAGES, prefix, &scan, err);
	while (rc == MBJ_OK) {
		rc = scan_next(&scan, &key, &rest, &value, err);
		if (rc == MBJ_OK && rest.n != 4)
			rc = record_damaged(TABLE_MESSAGES, key, err);
		if (rc < 0)
			break;
		message_place(s, mailbox, key_uid(rest));
		if (!is_wanted(s))
			break;
		rc = record_take(s, TABLE_MESSAGES, key, value, err);
	}
	mbj_scan_done(&scan);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	/* Looking into an empty one costs, too, and is behind us. */
	message_place(s, mailbox, UINT32_MAX);
	if (s->spent == spent && is_wanted(s)) {
		last_note(s);
		s->spent++;
	}
	return MBJ_OK;
}

/* Where the survey goes on within messages: behind that UID of a mailbox. */
struct behind {
	bool is_within;
	struct mbj_id mailbox;
	uint32_t uid;
};

static struct behind behind_get(const struct survey *s)
{
	struct mbj_bytes from = from_key(s, MBJ_SURVEY_MESSAGES);
	struct behind behind = {.is_within = from.n > 0};

	if (!behind.is_within)
		return behind;
	MBJ_ASSERT(from.n == MESSAGE_PLACE_SIZE - 1);
	memcpy(behind.mailbox.b, from.p, MBJ_ID_SIZE);
	behind.uid = key_uid(mbj_bytes_make(from.p + MBJ_ID_SIZE, 4));
	return behind;
}

static uint32_t uid_first(const struct behind *behind, struct mbj_id mailbox)
{
	bool is_it =
		behind->is_within && mbj_id_equal(behind->mailbox, mailbox);

	return is_it ? behind->uid + 1 : 0;
}

static enum mbj_rc mailboxes_survey(struct survey *s, struct mbj_error *err)
{
	struct behind behind = behind_get(s);
	struct mbj_bytes key, rest, value;
	struct mbj_content content = {0};
	struct mbj_scan scan = {0};
	struct mbj_id mailbox;
	enum mbj_rc rc;

	key_pair(&s->txn->key, s->question->account, behind.mailbox.b,
		 behind.is_within ? MBJ_ID_SIZE : 0);
	/* There is nothing behind the last UID. */
	if (behind.is_within && behind.uid == UINT32_MAX)
		key_pass(s);
	rc = scan_begin(s->txn, TABLE_CONTENTS, MBJ_ID_SIZE, &scan, err);
	while (rc == MBJ_OK && !s->is_over) {
		rc = scan_next(&scan, &key, &rest, &value, err);
		if (rc == MBJ_OK)
			rc = content_read(key, value, &content, err);
		if (rc < 0)
			break;
		memcpy(mailbox.b, rest.p, MBJ_ID_SIZE);
		rc = messages_survey(s, mailbox, &content,
				     uid_first(&behind, mailbox), err);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* ------------------------------------------------------------------- all */

static enum mbj_rc account_survey(struct survey *s,
				  const struct mbj_account *account,
				  struct mbj_error *err)
{
	struct mbj_bytes key = mbj_bytes_make(account->id.b, MBJ_ID_SIZE);
	const size_t count = sizeof(sections) / sizeof(*sections);
	enum mbj_rc rc = MBJ_OK;

	(void)place_make(s, MBJ_SURVEY_ACCOUNT, mbj_bytes_make(NULL, 0));
	/* It is the first of all places. */
	if (s->question->from.n == 0 && is_wanted(s)) {
		record_account_element(&s->txn->element, account);
		rc = mbj_buf_ok(&s->txn->element, err);
		if (rc == MBJ_OK)
			rc = record_take(s, TABLE_ACCOUNTS, key,
					 mbj_buf_view(&s->txn->element), err);
	}
	for (size_t i = 0; rc == MBJ_OK && !s->is_over && i < count; i++)
		if (!section_is_behind(s, sections[i].section))
			rc = table_survey(s, i, err);
	if (rc == MBJ_OK && !s->is_over)
		rc = mailboxes_survey(s, err);
	return rc;
}

static enum mbj_rc accounts_survey(struct survey *s, struct mbj_error *err)
{
	struct mbj_survey_entry entry;
	struct mbj_account account;
	struct mbj_scan scan = {0};
	struct mbj_id behind = s->question->account;
	enum mbj_rc rc;

	s->answer->is_there = true;
	mbj_buf_clear(&s->txn->key);
	if (!mbj_id_is_root(behind)) {
		mbj_buf_put_id(&s->txn->key, behind);
		key_pass(s);
	}
	rc = scan_begin(s->txn, TABLE_ACCOUNTS, 0, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_account(&scan, &account, err);
		if (rc < 0)
			break;
		entry.place =
			place_make(s, MBJ_SURVEY_ACCOUNT,
				   mbj_bytes_make(account.id.b, MBJ_ID_SIZE));
		entry.digest = account.digest;
		if (!is_wanted(s))
			break;
		mbj_survey_entry_put(&s->entries, &entry);
		s->answer->entry_count++;
		last_note(s);
		s->spent++;
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* Why the account does not stand where it should, in words. */
static enum mbj_rc reason_fill(struct survey *s, struct mbj_id id,
			       struct mbj_buf *text, struct mbj_error *err)
{
	struct mbj_survey_answer *a = s->answer;
	struct mbj_skipped skipped;
	struct mbj_parked parked;
	enum mbj_rc rc;

	rc = mbj_txn_skipped_seek(s->txn, id, &skipped, &a->is_skipped, err);
	if (rc < 0)
		return rc;
	rc = mbj_txn_parked_get(s->txn, id, &parked, err);
	a->is_parked = rc == MBJ_OK;
	if (rc < 0 && rc != MBJ_ENOTFOUND)
		return rc;
	if (a->is_parked)
		mbj_buf_format(text,
			       "%llu groups set aside from group %llu on: %.*s",
			       (unsigned long long)parked.count,
			       (unsigned long long)parked.first.v,
			       (int)parked.reason.n,
			       (const char *)parked.reason.p);
	else if (a->is_skipped)
		mbj_buf_format(text,
			       "it differs, knowingly, since group %llu: %llu "
			       "groups were given up, the last of them %llu",
			       (unsigned long long)skipped.first.v,
			       (unsigned long long)skipped.count,
			       (unsigned long long)skipped.last.v);
	return mbj_buf_ok(text, err);
}

/* Whose account it is, and how it stands. */
static enum mbj_rc head_fill(struct survey *s, struct mbj_account *ret_account,
			     char reason[MBJ_SURVEY_TEXT_MAX],
			     struct mbj_error *err)
{
	struct mbj_survey_answer *a = s->answer;
	struct mbj_id id = s->question->account;
	struct mbj_buf text;
	size_t n;
	enum mbj_rc rc;

	rc = mbj_txn_account_seek(s->txn, id, ret_account, &a->is_there, err);
	if (rc < 0)
		return rc;
	if (a->is_there) {
		a->lsn = ret_account->lsn;
		a->digest = ret_account->digest;
		a->name = ret_account->name;
	}
	mbj_buf_init(&text, 4096);
	rc = reason_fill(s, id, &text, err);
	n = mbj_text_escape(reason, MBJ_SURVEY_TEXT_MAX, mbj_buf_view(&text));
	a->reason = mbj_bytes_make((uint8_t *)reason, n);
	mbj_buf_done(&text);
	return rc;
}

/* What is asked of an account; with what it has in texts, until it is said. */
static enum mbj_rc question_answer(struct survey *s, struct survey_texts *texts,
				   struct mbj_error *err)
{
	struct mbj_account account = {.id = MBJ_ID_ROOT};
	enum mbj_rc rc;

	if (s->question->kind == MBJ_SURVEY_LIST)
		return accounts_survey(s, err);
	rc = head_fill(s, &account, texts->reason, err);
	if (rc < 0 || !s->answer->is_there)
		return rc;
	if (s->question->kind == MBJ_SURVEY_SHOW)
		return survey_show(s->txn, &account, s->question->from, texts,
				   s->answer, err);
	return account_survey(s, &account, err);
}

enum mbj_rc mbj_txn_survey(struct mbj_txn *txn,
			   const struct mbj_survey_question *question,
			   struct mbj_buf *ret_answer, struct mbj_error *err)
{
	struct mbj_survey_answer answer = {.is_whole = true};
	struct survey s = {.txn = txn, .question = question, .answer = &answer};
	struct survey_texts texts;
	enum mbj_rc rc;

	mbj_buf_init(&s.entries, MBJ_SURVEY_ANSWER_MAX);
	mbj_buf_init(&s.last, MBJ_SURVEY_PLACE_MAX);
	mbj_buf_init(&s.place, MBJ_SURVEY_PLACE_MAX);
	rc = mbj_txn_watermark(txn, &answer.watermark, err);
	if (rc == MBJ_OK)
		rc = question_answer(&s, &texts, err);
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(&s.last, err);
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(&s.entries, err);
	answer.entries = mbj_buf_view(&s.entries);
	answer.last = mbj_buf_view(&s.last);
	if (rc == MBJ_OK) {
		mbj_survey_answer_encode(ret_answer, &answer);
		rc = mbj_buf_ok(ret_answer, err);
	}
	mbj_buf_done(&s.entries);
	mbj_buf_done(&s.last);
	mbj_buf_done(&s.place);
	return rc;
}
