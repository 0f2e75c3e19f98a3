/*
 * The messages of a mailbox: mbj.messages/1, and a table for people.
 *
 * Names of properties are those of Email (RFC 8621 section 4) where it has
 * them: blobId, size, receivedAt; flags are IMAP's own words.
 *
 * Threads: as the transaction.
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
	jmap_out_close(out);
}

enum mbj_rc mbj_jmap_messages_print(struct mbj_txn *txn, struct mbj_id account,
				    const struct mbj_mailbox *mailbox,
				    struct mbj_buf *ret_json,
				    struct mbj_error *err)
{
	struct mbj_content content;
	struct mbj_scan scan = {0};
	struct mbj_message message;
	struct mbj_buf scratch;
	struct jmap_out out;
	enum mbj_rc rc;

	MBJ_ASSERT(mailbox != NULL);
	rc = mbj_txn_content_get(txn, account, mailbox->id, &content, err);
	if (rc < 0)
		return rc;
	mbj_buf_init(&scratch, 64);
	jmap_out_init(&out, ret_json);
	jmap_out_open(&out, NULL, '{');
	jmap_out_text(&out, "schema", "mbj.messages/1");
	jmap_out_id(&out, "mailboxId", mailbox->id);
	jmap_out_number(&out, "uidValidity", mailbox->uidvalidity);
	jmap_out_number(&out, "uidNext", content.uidnext);
	jmap_out_number(&out, "highestModSeq", content.modseq);
	jmap_out_number(&out, "totalSize", content.message_size);
	jmap_out_open_lines(&out, "messages", '[');
	rc = mbj_scan_messages(txn, account, content.series, 1, &scan, err);
	while (rc == MBJ_OK && ret_json->failed == MBJ_OK) {
		rc = mbj_scan_next_message(&scan, &message, err);
		if (rc == MBJ_OK)
			put_message(&out, &message, &scratch);
	}
	mbj_scan_done(&scan);
	mbj_buf_done(&scratch);
	if (rc < 0 && rc != MBJ_ENOTFOUND)
		return rc;
	jmap_out_close(&out);
	jmap_out_close(&out);
	return jmap_out_finish(&out, err);
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

enum mbj_rc mbj_jmap_messages_text(struct mbj_txn *txn, struct mbj_id account,
				   const struct mbj_mailbox *mailbox,
				   struct mbj_buf *ret_text,
				   struct mbj_error *err)
{
	struct mbj_content content;
	struct mbj_scan scan = {0};
	struct mbj_message message;
	struct mbj_buf scratch;
	enum mbj_rc rc;

	MBJ_ASSERT(mailbox != NULL);
	rc = mbj_txn_content_get(txn, account, mailbox->id, &content, err);
	if (rc < 0)
		return rc;
	mbj_buf_init(&scratch, 64);
	mbj_buf_format(ret_text, "%10s  %12s  %-19s  %s\n", "UID", "SIZE",
		       "RECEIVED", "FLAGS");
	rc = mbj_scan_messages(txn, account, content.series, 1, &scan, err);
	while (rc == MBJ_OK && ret_text->failed == MBJ_OK) {
		rc = mbj_scan_next_message(&scan, &message, err);
		if (rc == MBJ_OK)
			put_row(ret_text, &message, &scratch);
	}
	mbj_scan_done(&scan);
	mbj_buf_done(&scratch);
	return rc < 0 && rc != MBJ_ENOTFOUND ? rc : mbj_buf_ok(ret_text, err);
}
