/*
 * A record of a survey in words: whoever compares two states says what each of
 * them has; see mbj/survey.h.
 */
#include <inttypes.h>
#include <string.h>

#include <mbj/attribute.h>
#include <mbj/check.h>

#include "state_survey.h"

enum {
	DEPTH_MAX = 64,
	RAW_MAX = 1 << 20,
	ATTR_HEAD_SIZE = MBJ_ID_SIZE + 1,
};

/* A record at hand. */
struct shown {
	struct mbj_txn *txn;
	const struct mbj_account *account;
	struct mbj_bytes key; /* behind the account */
	struct mbj_buf text;  /* raw */
	struct mbj_buf path;  /* likewise */
	bool is_there;
};

static void text_cut(const struct mbj_buf *raw, char *ret_text,
		     struct mbj_bytes *ret_bytes)
{
	size_t n = mbj_text_escape(ret_text, MBJ_SURVEY_TEXT_MAX,
				   mbj_buf_view(raw));

	*ret_bytes = mbj_bytes_make((uint8_t *)ret_text, n);
}

static void names_join(struct shown *s, const struct mbj_bytes *names,
		       size_t count)
{
	for (size_t i = count; i > 0; i--) {
		mbj_buf_put_bytes(&s->path, names[i - 1]);
		if (i > 1)
			mbj_buf_put_u8(&s->path,
				       (uint8_t)s->account->policy.delimiter);
	}
}

/* As far up as it goes: what is compared may be damaged. */
static enum mbj_rc path_show(struct shown *s, struct mbj_id id,
			     struct mbj_error *err)
{
	struct mbj_bytes names[DEPTH_MAX];
	struct mbj_mailbox mailbox;
	size_t count = 0;
	bool is_found = true;
	enum mbj_rc rc;

	while (!mbj_id_is_reserved(id) && count < DEPTH_MAX) {
		rc = mbj_txn_mailbox_seek(s->txn, s->account->id, id, &mailbox,
					  &is_found, err);
		if (rc < 0)
			return rc;
		if (!is_found)
			break;
		names[count++] = mailbox.name.stored;
		id = mailbox.parent;
	}
	if (count > 0 && !mbj_id_is_root(id))
		mbj_buf_put_str(&s->path, "...");
	names_join(s, names, count);
	return MBJ_OK;
}

/* The mailbox that a key begins with. */
static struct mbj_id key_mailbox(const struct shown *s)
{
	struct mbj_id id = MBJ_ID_ROOT;

	if (s->key.n >= MBJ_ID_SIZE)
		memcpy(id.b, s->key.p, MBJ_ID_SIZE);
	return id;
}

/* The record in a table, by its key. */
static enum mbj_rc record_get(struct shown *s, enum db_table table,
			      struct mbj_bytes *ret_value,
			      struct mbj_error *err)
{
	enum mbj_rc rc;

	key_pair(&s->txn->key, s->account->id, s->key.p, s->key.n);
	rc = txn_get(s->txn, table, ret_value, err);
	s->is_there = rc == MBJ_OK;
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc account_show(struct shown *s, struct mbj_error *err)
{
	const struct mbj_account *a = s->account;

	(void)err;
	s->is_there = true;
	mbj_buf_put_str(&s->text, "name \"");
	mbj_buf_put_bytes(&s->text, a->name);
	mbj_buf_format(&s->text,
		       "\", last UIDVALIDITY %lu, quota %" PRIu64
		       " messages and %" PRIu64 " bytes",
		       (unsigned long)a->uidvalidity_last, a->quota_messages,
		       a->quota_size);
	return MBJ_OK;
}

static enum mbj_rc mailbox_show(struct shown *s, struct mbj_error *err)
{
	struct mbj_mailbox mailbox;
	enum mbj_rc rc;

	rc = mbj_txn_mailbox_seek(s->txn, s->account->id, key_mailbox(s),
				  &mailbox, &s->is_there, err);
	if (rc < 0 || !s->is_there)
		return rc;
	mbj_buf_format(&s->text,
		       "revision %" PRIu64 ", UIDVALIDITY %lu, role %u%s",
		       mailbox.rev, (unsigned long)mailbox.uidvalidity,
		       mailbox.role,
		       mailbox.is_selectable ? "" : ", not selectable");
	return MBJ_OK;
}

static enum mbj_rc subscription_show(struct shown *s, struct mbj_error *err)
{
	struct mbj_bytes value;
	enum mbj_rc rc = record_get(s, TABLE_SUBSCRIPTIONS, &value, err);

	if (rc < 0 || !s->is_there)
		return rc;
	for (size_t i = 1; i < value.n; i++)
		mbj_buf_put_u8(&s->text,
			       value.p[i] == '\0'
				       ? (uint8_t)s->account->policy.delimiter
				       : value.p[i]);
	return MBJ_OK;
}

static enum mbj_rc attribute_show(struct shown *s, struct mbj_error *err)
{
	struct mbj_bytes value;
	enum mbj_rc rc = record_get(s, TABLE_ATTRIBUTES, &value, err);

	if (rc < 0 || !s->is_there || s->key.n < ATTR_HEAD_SIZE || value.n < 1)
		return rc;
	mbj_buf_put_bytes(&s->text, mbj_bytes_make(s->key.p + ATTR_HEAD_SIZE,
						   s->key.n - ATTR_HEAD_SIZE));
	mbj_buf_put_str(&s->text, " is \"");
	mbj_buf_put_bytes(&s->text, mbj_bytes_make(value.p + 1, value.n - 1));
	mbj_buf_put_str(&s->text, "\"");
	return MBJ_OK;
}

static enum mbj_rc content_show(struct shown *s, struct mbj_error *err)
{
	struct mbj_content content;
	struct mbj_bytes value;
	enum mbj_rc rc = record_get(s, TABLE_CONTENTS, &value, err);

	if (rc < 0 || !s->is_there)
		return rc;
	if (!record_content_decode(value, &content))
		return record_damaged(TABLE_CONTENTS,
				      mbj_buf_view(&s->txn->key), err);
	mbj_buf_format(&s->text,
		       "%" PRIu64 " messages of %" PRIu64
		       " bytes, UIDNEXT %lu, HIGHESTMODSEQ %" PRIu64
		       ", revision %" PRIu64,
		       content.message_count, content.message_size,
		       (unsigned long)content.uidnext, content.modseq,
		       content.rev);
	return MBJ_OK;
}

static void message_words(struct mbj_buf *text, const struct mbj_message *m)
{
	struct mbj_bytes keywords = m->keywords;
	struct mbj_bytes word;

	mbj_buf_format(text, "%" PRIu64 " bytes, modseq %" PRIu64 ", flags (",
		       m->size, m->modseq);
	for (unsigned bit = 1; bit <= MBJ_FLAGS_ALL; bit <<= 1)
		if (m->flags & bit)
			mbj_buf_format(text, "%s ",
				       mbj_flag_name((enum mbj_flag)bit));
	while (mbj_keywords_next(&keywords, &word)) {
		mbj_buf_put_bytes(text, word);
		mbj_buf_put_str(text, " ");
	}
	if (text->n > 0 && text->p[text->n - 1] == ' ')
		text->n--;
	mbj_buf_put_str(text, ")");
	if (m->guid.n == 0)
		return;
	mbj_buf_put_str(text, ", GUID ");
	mbj_buf_put_bytes(text, m->guid);
}

static enum mbj_rc message_show(struct shown *s, struct mbj_error *err)
{
	struct mbj_message message;
	struct mbj_content content;
	uint32_t uid;
	enum mbj_rc rc;

	if (s->key.n != MBJ_ID_SIZE + 4)
		return MBJ_OK;
	uid = key_uid(mbj_bytes_make(s->key.p + MBJ_ID_SIZE, 4));
	rc = mbj_txn_content_get(s->txn, s->account->id, key_mailbox(s),
				 &content, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_message_get(s->txn, s->account->id, content.series,
					 uid, &message, err);
	s->is_there = rc == MBJ_OK;
	if (rc == MBJ_OK)
		message_words(&s->text, &message);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* Whose value says nothing to people. */
static enum mbj_rc other_show(struct shown *s, enum db_table table,
			      struct mbj_error *err)
{
	struct mbj_bytes value;

	return record_get(s, table, &value, err);
}

static enum mbj_rc section_show(struct shown *s,
				enum mbj_survey_section section,
				struct mbj_error *err)
{
	switch (section) {
	case MBJ_SURVEY_ACCOUNT:
		return account_show(s, err);
	case MBJ_SURVEY_MAILBOXES:
		return mailbox_show(s, err);
	case MBJ_SURVEY_SUBSCRIPTIONS:
		return subscription_show(s, err);
	case MBJ_SURVEY_FLOORS:
		return other_show(s, TABLE_FLOORS, err);
	case MBJ_SURVEY_ATTRIBUTES:
		return attribute_show(s, err);
	case MBJ_SURVEY_CONTENTS:
		return content_show(s, err);
	case MBJ_SURVEY_INTENTS:
		return other_show(s, TABLE_INTENTS, err);
	case MBJ_SURVEY_MESSAGES:
		return message_show(s, err);
	}
	MBJ_UNREACHABLE();
}

/* Sections whose keys begin with a mailbox. */
static bool has_mailbox(enum mbj_survey_section section)
{
	return section == MBJ_SURVEY_MAILBOXES ||
	       section == MBJ_SURVEY_ATTRIBUTES ||
	       section == MBJ_SURVEY_CONTENTS || section == MBJ_SURVEY_MESSAGES;
}

enum mbj_rc survey_show(struct mbj_txn *txn, const struct mbj_account *account,
			struct mbj_bytes place, struct survey_texts *texts,
			struct mbj_survey_answer *answer, struct mbj_error *err)
{
	enum mbj_survey_section section = (enum mbj_survey_section)place.p[0];
	struct shown s = {
		.txn = txn,
		.account = account,
		.key = mbj_bytes_make(place.p + 1, place.n - 1),
	};
	enum mbj_rc rc;

	mbj_buf_init(&s.text, RAW_MAX);
	mbj_buf_init(&s.path, RAW_MAX);
	rc = section_show(&s, section, err);
	if (rc == MBJ_OK && has_mailbox(section))
		rc = path_show(&s, key_mailbox(&s), err);
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(&s.text, err);
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(&s.path, err);
	answer->is_there = s.is_there;
	text_cut(&s.text, texts->text, &answer->text);
	text_cut(&s.path, texts->path, &answer->path);
	mbj_buf_done(&s.text);
	mbj_buf_done(&s.path);
	return rc;
}
