/*
 * The messages of a mailbox: mbj.messages/1, and a table for people.
 *
 * Names of properties are those of Email (RFC 8621 section 4) where it has
 * them: blobId, size, receivedAt; flags are IMAP's own words.
 *
 * Threads: one at a time per list.
 */
#include <mbj/check.h>
#include <mbj/jmap.h>

#include "jmap_group.h"
#include "jmap_out.h"

enum { MICROSECONDS = 1000000, DATE_SIZE = 19 };

static void put_flags(struct jmap_out *out, const struct mbj_message *message)
{
	struct mbj_bytes keywords = message->keywords;
	struct mbj_bytes keyword;

	jmap_out_open(out, "flags", '[');
	for (unsigned bit = 1; bit <= MBJ_FLAGS_ALL; bit <<= 1)
		if (message->flags & bit)
			jmap_out_text(out, NULL,
				      mbj_flag_name((enum mbj_flag)bit));
	while (mbj_keywords_next(&keywords, &keyword))
		jmap_out_bytes(out, NULL, keyword);
	jmap_out_close(out);
}

/* The date as text; false where RFC 3339 cannot say it. */
static bool time_text(int64_t seconds, struct mbj_buf *text)
{
	mbj_buf_clear(text);
	return seconds <= INT64_MAX / MICROSECONDS &&
	       seconds >= INT64_MIN / MICROSECONDS &&
	       mbj_jmap_time_print(seconds * MICROSECONDS, text) &&
	       text->failed == MBJ_OK;
}

static void put_message(struct jmap_out *out, const struct mbj_message *message,
			struct mbj_buf *scratch)
{
	jmap_out_open(out, NULL, '{');
	jmap_out_number(out, "uid", message->uid);
	jmap_out_hex(out, "blobId",
		     mbj_bytes_make(message->blob.b, sizeof(message->blob.b)));
	jmap_out_number(out, "size", message->size);
	if (time_text(message->time, scratch))
		jmap_out_bytes(out, "receivedAt", mbj_buf_view(scratch));
	else
		jmap_out_null(out, "receivedAt");
	put_flags(out, message);
	jmap_out_number(out, "modSeq", message->modseq);
	if (message->guid.n > 0)
		jmap_out_bytes(out, "guid", message->guid);
	jmap_out_close(out);
}

static void put_row(struct mbj_buf *buf, const struct mbj_message *message,
		    struct mbj_buf *scratch)
{
	struct mbj_bytes keywords = message->keywords;
	struct mbj_bytes keyword;

	/* Seconds are enough for people. */
	if (time_text(message->time, scratch) && scratch->n > DATE_SIZE)
		scratch->p[DATE_SIZE] = '\0';
	else
		mbj_buf_format(scratch, "%s%c", "-", '\0');
	mbj_buf_format(buf, "%10lu  %12llu  %-19s ",
		       (unsigned long)message->uid,
		       (unsigned long long)message->size,
		       (const char *)scratch->p);
	for (unsigned bit = 1; bit <= MBJ_FLAGS_ALL; bit <<= 1)
		if (message->flags & bit)
			mbj_buf_format(buf, " %s",
				       mbj_flag_name((enum mbj_flag)bit));
	while (mbj_keywords_next(&keywords, &keyword)) {
		mbj_buf_put_str(buf, " ");
		mbj_buf_put_bytes(buf, keyword);
	}
	mbj_buf_put_str(buf, "\n");
}

/* ------------------------------------------------------------- the list */

struct mbj_jmap_messages {
	bool is_json;
	struct jmap_out out;
	struct mbj_buf *buf;
	struct mbj_buf scratch;
};

enum mbj_rc mbj_jmap_messages_begin(const struct mbj_mailbox *mailbox,
				    const struct mbj_content *content,
				    bool is_json, struct mbj_buf *ret_text,
				    struct mbj_jmap_messages **ret_messages,
				    struct mbj_error *err)
{
	struct mbj_jmap_messages *m = mbj_calloc(1, sizeof(*m));

	MBJ_ASSERT(mailbox != NULL && content != NULL);
	if (m == NULL)
		return mbj_error_nomem(err);
	m->is_json = is_json;
	m->buf = ret_text;
	mbj_buf_init(&m->scratch, 64);
	*ret_messages = m;
	if (!is_json) {
		mbj_buf_format(ret_text, "%10s  %12s  %-19s  %s\n", "UID",
			       "SIZE", "RECEIVED", "FLAGS");
		return MBJ_OK;
	}
	jmap_out_init(&m->out, ret_text);
	jmap_out_open(&m->out, NULL, '{');
	jmap_out_text(&m->out, "schema", "mbj.messages/1");
	jmap_out_id(&m->out, "mailboxId", mailbox->id);
	jmap_out_number(&m->out, "uidValidity", mailbox->uidvalidity);
	jmap_out_number(&m->out, "uidNext", content->uidnext);
	jmap_out_number(&m->out, "highestModSeq", content->modseq);
	jmap_out_number(&m->out, "totalSize", content->message_size);
	jmap_out_open_lines(&m->out, "messages", '[');
	return MBJ_OK;
}

void mbj_jmap_messages_put(struct mbj_jmap_messages *messages,
			   const struct mbj_message *message)
{
	if (messages->is_json)
		put_message(&messages->out, message, &messages->scratch);
	else
		put_row(messages->buf, message, &messages->scratch);
}

enum mbj_rc mbj_jmap_messages_end(struct mbj_jmap_messages *messages,
				  struct mbj_error *err)
{
	if (!messages->is_json)
		return mbj_buf_ok(messages->buf, err);
	jmap_out_close(&messages->out);
	jmap_out_close(&messages->out);
	return jmap_out_finish(&messages->out, err);
}

void mbj_jmap_messages_free(struct mbj_jmap_messages **messages)
{
	if (*messages == NULL)
		return;
	mbj_buf_done(&(*messages)->scratch);
	mbj_free(*messages);
	*messages = NULL;
}
