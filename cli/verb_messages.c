/*
 * mbj messages and mbj cat: what is in a mailbox, and one message of it.
 */
#include <mbj/blob.h>
#include <mbj/jmap.h>

#include "session.h"

enum { MESSAGES_OUTPUT_MAX = 1 << 30, CAT_STEP = 65536 };

int verb_messages(const struct cli_call *call)
{
	bool is_json = call->options.is_json || !call->options.is_terminal;
	struct mbj_account account;
	struct mbj_mailbox mailbox;
	struct mbj_content content;
	struct mbj_txn *txn = NULL;
	struct session s;
	enum mbj_rc rc;

	session_init(&s, call);
	rc = session_open(&s);
	if (rc == MBJ_OK)
		rc = session_mailbox(&s, call->operands[2], &account, &mailbox,
				     &content);
	if (rc == MBJ_OK)
		rc = mbj_store_read(s.store, &txn, &s.err);
	if (rc == MBJ_OK)
		rc = is_json ? mbj_jmap_messages_print(txn, account.id,
						       &mailbox, &s.out, &s.err)
			     : mbj_jmap_messages_text(txn, account.id, &mailbox,
						      &s.out, &s.err);
	mbj_txn_abort(&txn);
	return session_end(&s, rc);
}

/* The message of a UID that is written as one number. */
static enum mbj_rc message_find(struct session *s, const char *uid,
				struct mbj_message *ret_message)
{
	struct mbj_account account;
	struct mbj_mailbox mailbox;
	struct mbj_content content;
	struct mbj_txn *txn = NULL;
	struct mbj_uid_range range;
	struct mbj_buf uids;
	enum mbj_rc rc;

	mbj_buf_init(&uids, MBJ_UID_RANGES_MAX * MBJ_UID_RANGE_SIZE);
	rc = session_mailbox(s, s->call->operands[2], &account, &mailbox,
			     &content);
	if (rc == MBJ_OK)
		rc = session_uids(s, uid, account.id, &content, &uids);
	if (rc == MBJ_OK)
		rc = mbj_store_read(s->store, &txn, &s->err);
	if (rc < 0)
		goto out;
	if (uids.n == MBJ_UID_RANGE_SIZE) {
		range = mbj_uids_get(mbj_buf_view(&uids), 0);
		rc = range.first != range.last
			     ? MBJ_ENOTFOUND
			     : mbj_txn_message_get(txn, account.id,
						   content.series, range.first,
						   ret_message, &s->err);
	} else {
		rc = MBJ_ENOTFOUND;
	}
	/* What is borrowed goes with the transaction, and is not wanted. */
	ret_message->keywords = (struct mbj_bytes){NULL, 0};
	if (rc == MBJ_ENOTFOUND) {
		(void)mbj_error_refuse(&s->err, MBJ_REFUSAL_NOT_FOUND, "uid",
				       uid,
				       "there is no message with the UID "
				       "\"%.100s\" in \"%.200s\"",
				       uid, s->call->operands[2]);
		s->err.rc = rc;
	}
out:
	mbj_txn_abort(&txn);
	mbj_buf_done(&uids);
	return rc;
}

/* Piece by piece; what is damaged is complained of behind what was good. */
static enum mbj_rc blob_write(struct session *s, struct mbj_blobs *blobs,
			      const struct mbj_hash *digest, int *ret_status)
{
	struct mbj_blob_reader *reader = NULL;
	uint8_t *step = mbj_alloc(CAT_STEP);
	uint64_t size;
	size_t n = 1;
	enum mbj_rc rc = MBJ_OK;

	if (step == NULL)
		return mbj_error_nomem(&s->err);
	rc = mbj_blob_reader_open(blobs, digest, &reader, &size, &s->err);
	while (rc == MBJ_OK && n > 0 && *ret_status == CLI_OK) {
		rc = mbj_blob_reader_read(reader, step, CAT_STEP, &n, &s->err);
		if (rc == MBJ_OK)
			*ret_status =
				cli_write(s->call, mbj_bytes_make(step, n));
	}
	mbj_blob_reader_close(&reader);
	mbj_free(step);
	return rc;
}

int verb_cat(const struct cli_call *call)
{
	struct mbj_message message;
	struct mbj_blobs *blobs;
	struct session s;
	int written = CLI_OK;
	int status;
	enum mbj_rc rc;

	session_init(&s, call);
	rc = session_open(&s);
	if (rc == MBJ_OK)
		rc = message_find(&s, call->operands[3], &message);
	if (rc == MBJ_OK)
		rc = mbj_store_blobs(s.store, &blobs, &s.err);
	if (rc == MBJ_OK)
		rc = blob_write(&s, blobs, &message.blob, &written);
	status = session_end(&s, rc);
	return rc == MBJ_OK && written != CLI_OK ? written : status;
}
