/*
 * mbj deliver: one message from standard input into a mailbox, for an MTA.
 *
 * Exit statuses are those of sysexits.h: what an MTA may try again is
 * EX_TEMPFAIL, whatever went wrong here; only a user or a mailbox that is not
 * there bounces.
 */
#include <errno.h>
#include <inttypes.h>
#include <sysexits.h>
#include <unistd.h>

#include <mbj/blob.h>

#include "session.h"

enum { DELIVER_STEP = 65536 };

/* Standard input, as it is, into the writer. */
static enum mbj_rc body_read(struct mbj_blob_writer *writer,
			     struct mbj_error *err)
{
	uint8_t *step = mbj_alloc(DELIVER_STEP);
	enum mbj_rc rc = MBJ_OK;
	ssize_t n = 1;

	if (step == NULL)
		return mbj_error_nomem(err);
	while (rc == MBJ_OK && n != 0) {
		n = read(STDIN_FILENO, step, DELIVER_STEP);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = mbj_error_errno(err, errno, "cannot read",
					     "standard input");
		else if (n > 0)
			rc = mbj_blob_writer_write(
				writer, mbj_bytes_make(step, (size_t)n), err);
	}
	mbj_free(step);
	return rc;
}

/* The body, stored; durable before the group that needs it (batch.c). */
static enum mbj_rc body_store(struct session *s, struct mbj_message_edit *step)
{
	struct mbj_blob_writer *writer = NULL;
	struct mbj_blobs *blobs;
	enum mbj_rc rc;

	rc = mbj_store_blobs(s->store, &blobs, &s->err);
	if (rc == MBJ_OK)
		rc = mbj_blob_writer_begin(blobs, &writer, &s->err);
	if (rc == MBJ_OK)
		rc = body_read(writer, &s->err);
	if (rc == MBJ_OK)
		rc = mbj_blob_writer_finish(&writer, &step->blob, &step->size,
					    &s->err);
	mbj_blob_writer_abort(&writer);
	return rc;
}

static enum mbj_rc deliver(struct session *s, struct mbj_message_edit *step,
			   bool *ret_is_found)
{
	const struct cli_call *call = s->call;
	struct mbj_account account;
	struct mbj_mailbox mailbox;
	struct mbj_content content;
	enum mbj_rc rc;

	rc = session_open(s);
	if (rc < 0)
		return rc;
	/* Nobody is unknown where mail does not belong. */
	if (mbj_store_identity(s->store)->role != MBJ_STORE_PRIMARY)
		return mbj_error_set(
			&s->err, MBJ_EFENCED,
			"%s is a replica: mail goes to its primary",
			call->operands[0]);
	rc = session_mailbox(s,
			     call->operand_count > 2 ? call->operands[2]
						     : "INBOX",
			     &account, &mailbox, &content);
	*ret_is_found = rc != MBJ_ENOTFOUND && rc != MBJ_EINVALID;
	if (rc < 0)
		return rc;
	step->mailbox = mailbox.id;
	step->time = mbj_sys_posix()->now_us(mbj_sys_posix()->ctx) / 1000000;
	rc = body_store(s, step);
	if (rc == MBJ_OK && step->size == 0)
		rc = mbj_error_refuse(&s->err, MBJ_REFUSAL_INVALID_ARGUMENTS,
				      NULL, NULL,
				      "there is no message on "
				      "standard input");
	if (rc == MBJ_OK)
		rc = session_submit(s);
	return rc;
}

static int deliver_status(const struct mbj_error *err, bool is_found)
{
	if (!is_found)
		return err->refusal == MBJ_REFUSAL_ACCOUNT_NOT_FOUND
			       ? EX_NOUSER
			       : EX_CANTCREAT;
	if (err->refusal == MBJ_REFUSAL_FORBIDDEN)
		return EX_CANTCREAT;
	if (err->rc == MBJ_EINVALID &&
	    err->refusal == MBJ_REFUSAL_INVALID_ARGUMENTS)
		return EX_NOINPUT;
	return EX_TEMPFAIL;
}

int verb_deliver(const struct cli_call *call)
{
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_APPEND};
	bool is_found = true;
	struct session s;
	enum mbj_rc rc;
	int status;

	session_init(&s, call);
	s.edit.kind = MBJ_EDIT_MESSAGES;
	s.edit.messages = &step;
	s.edit.message_count = 1;
	rc = deliver(&s, &step, &is_found);
	if (rc == MBJ_OK && !call->options.is_json) {
		/* An MTA takes what is printed for a reason to complain. */
		(void)session_end(&s, rc);
		return EX_OK;
	}
	if (rc == MBJ_OK)
		mbj_buf_format(&s.out,
			       "{\"schema\":\"mbj.deliver/1\",\"newState\":"
			       "\"%" PRIu64 "\",\"uidValidity\":%" PRIu32
			       ",\"uid\":%" PRIu32 ",\"size\":%" PRIu64 "}\n",
			       s.outcome.new_state.v,
			       s.outcome.messages[0].uidvalidity,
			       s.outcome.messages[0].uid, step.size);
	status = rc == MBJ_OK ? EX_OK : deliver_status(&s.err, is_found);
	(void)session_end(&s, rc);
	return status;
}
