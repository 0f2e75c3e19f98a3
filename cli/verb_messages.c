/*
 * mbj messages and mbj cat: what is in a mailbox, and one message of it.
 */
#include <mbj/jmap.h>

#include "session.h"

enum { CAT_STEP = 65536, PAGE_TRIES = 20 };

/* One page after the other, all of one revision: MBJ_ECONFLICT where not. */
static enum mbj_rc pages_put(struct session *s, const struct mbj_place *place,
			     struct mbj_jmap_messages *out)
{
	struct mbj_client_messages page;
	uint32_t uid = 1;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && uid != 0 && s->out.failed == MBJ_OK) {
		rc = mbj_client_messages(s->client, place->account.id,
					 place->mailbox.id, uid, 0,
					 place->content.rev, &page, &s->err);
		if (rc < 0)
			break;
		for (size_t i = 0; i < page.count; i++)
			mbj_jmap_messages_put(out, &page.messages[i]);
		uid = page.next_uid;
		mbj_client_messages_done(&page);
	}
	return rc;
}

/* All of a mailbox as it was at one instant. */
static enum mbj_rc messages_put(struct session *s, bool is_json)
{
	struct mbj_jmap_messages *out = NULL;
	struct mbj_place place;
	enum mbj_rc rc;

	mbj_buf_clear(&s->out);
	rc = session_mailbox(s, s->call->operands[2], NULL, &place);
	if (rc == MBJ_OK)
		rc = mbj_jmap_messages_begin(&place.mailbox, &place.content,
					     is_json, &s->out, &out, &s->err);
	if (rc == MBJ_OK)
		rc = pages_put(s, &place, out);
	if (rc == MBJ_OK)
		rc = mbj_jmap_messages_end(out, &s->err);
	mbj_jmap_messages_free(&out);
	return rc;
}

int verb_messages(const struct cli_call *call)
{
	bool is_json = call->options.is_json || !call->options.is_terminal;
	struct session s;
	enum mbj_rc rc;

	session_init(&s, call);
	rc = session_open(&s);
	if (rc < 0)
		return session_end(&s, rc);
	/* Somebody may change it between two pages: from the front again. */
	rc = messages_put(&s, is_json);
	for (int i = 1; rc == MBJ_ECONFLICT && i < PAGE_TRIES; i++)
		rc = messages_put(&s, is_json);
	return session_end(&s, rc);
}

/* The message of a UID that is written as one number. */
static enum mbj_rc message_find(struct session *s, const char *uid,
				struct mbj_hash *ret_blob)
{
	struct mbj_client_messages page = {0};
	struct mbj_uid_range range = {0, 0};
	struct mbj_place place;
	struct mbj_buf uids;
	enum mbj_rc rc;

	mbj_buf_init(&uids, MBJ_UID_RANGES_MAX * MBJ_UID_RANGE_SIZE);
	rc = session_mailbox(s, s->call->operands[2], uid, &place);
	if (rc == MBJ_OK)
		rc = session_uids(s, uid, &place, &uids);
	if (rc == MBJ_OK && uids.n == MBJ_UID_RANGE_SIZE)
		range = mbj_uids_get(mbj_buf_view(&uids), 0);
	if (rc == MBJ_OK && range.first > 0 && range.first == range.last)
		rc = mbj_client_messages(s->client, place.account.id,
					 place.mailbox.id, range.first, 1, 0,
					 &page, &s->err);
	if (rc == MBJ_OK &&
	    (page.count == 0 || page.messages[0].uid != range.first)) {
		rc = MBJ_ENOTFOUND;
		(void)mbj_error_refuse(&s->err, MBJ_REFUSAL_NOT_FOUND, "uid",
				       uid,
				       "there is no message with the UID "
				       "\"%.100s\" in \"%.200s\"",
				       uid, s->call->operands[2]);
		s->err.rc = rc;
	}
	if (rc == MBJ_OK)
		*ret_blob = page.messages[0].blob;
	mbj_client_messages_done(&page);
	mbj_buf_done(&uids);
	return rc;
}

/* Piece by piece; what is damaged is complained of behind what was good. */
static enum mbj_rc body_write(struct session *s, const struct mbj_hash *digest,
			      int *ret_status)
{
	struct mbj_body_reader *reader = NULL;
	uint8_t *step = mbj_alloc(CAT_STEP);
	uint64_t size;
	size_t n = 1;
	enum mbj_rc rc;

	if (step == NULL)
		return mbj_error_nomem(&s->err);
	rc = mbj_body_open(s->client, digest, &reader, &size, &s->err);
	while (rc == MBJ_OK && n > 0 && *ret_status == CLI_OK) {
		rc = mbj_body_read(reader, step, CAT_STEP, &n, &s->err);
		if (rc == MBJ_OK)
			*ret_status =
				cli_write(s->call, mbj_bytes_make(step, n));
	}
	mbj_body_close(&reader);
	mbj_free(step);
	return rc;
}

int verb_cat(const struct cli_call *call)
{
	struct mbj_hash blob;
	struct session s;
	int written = CLI_OK;
	int status;
	enum mbj_rc rc;

	session_init(&s, call);
	rc = session_open(&s);
	if (rc == MBJ_OK)
		rc = message_find(&s, call->operands[3], &blob);
	if (rc == MBJ_OK)
		rc = body_write(&s, &blob, &written);
	status = session_end(&s, rc);
	return rc == MBJ_OK && written != CLI_OK ? written : status;
}
