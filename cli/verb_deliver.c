/*
 * mbj deliver: one message from standard input into a mailbox, for an MTA.
 *
 * Exit statuses are those of sysexits.h: what an MTA may try again is
 * EX_TEMPFAIL, whatever went wrong here; only a user or a mailbox that is not
 * there bounces.
 */
#include <inttypes.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <mbj/message.h>

#include "session.h"

/*
 * All of standard input, *ret_size bytes, and with it the edit that appends it:
 * stored, and durable before the group that needs it (batch.c).
 */
static enum mbj_rc input_submit(struct session *s, uint64_t *ret_size)
{
	struct mbj_body_writer *body = NULL;
	enum mbj_rc rc;

	rc = mbj_body_begin(s->client, &body, &s->err);
	if (rc == MBJ_OK)
		rc = mbj_body_write_fd(body, STDIN_FILENO, "standard input",
				       ret_size, &s->err);
	if (rc == MBJ_OK && *ret_size == 0)
		rc = mbj_error_refuse(&s->err, MBJ_REFUSAL_INVALID_ARGUMENTS,
				      NULL, NULL,
				      "there is no message on "
				      "standard input");
	if (rc == MBJ_OK)
		rc = session_submit_body(s, &body);
	mbj_body_abort(&body);
	return rc;
}

static enum mbj_rc deliver(struct session *s, struct mbj_message_edit *step,
			   uint64_t *ret_size, bool *ret_is_found)
{
	const struct cli_call *call = s->call;
	struct mbj_place place;
	enum mbj_rc rc;

	rc = session_open(s);
	if (rc < 0)
		return rc;
	/* Nobody is unknown where mail does not belong. */
	if (mbj_client_identity(s->client)->role != MBJ_STORE_PRIMARY)
		return mbj_error_set(
			&s->err, MBJ_EFENCED,
			"%s is a replica: mail goes to its primary",
			call->operands[0]);
	rc = session_mailbox(s,
			     call->operand_count > 2 ? call->operands[2]
						     : "INBOX",
			     NULL, &place);
	*ret_is_found = rc != MBJ_ENOTFOUND && rc != MBJ_EINVALID;
	if (rc < 0)
		return rc;
	step->mailbox = place.mailbox.id;
	return input_submit(s, ret_size);
}

/*
 * The message is there, and is not to be sent again, whatever is wrong with
 * the store: that is for who looks after it.  Its UID is not known here.  Where
 * replicas are to have it, it is: known by its id, it is not delivered twice.
 */
static int deliver_behind(struct session *s, uint64_t size)
{
	int status;

	cli_say(s->call, "the message was delivered as group %" PRIu64 "; %s",
		s->err.lsn, s->err.message);
	if (s->call->options.is_json)
		mbj_buf_format(&s->out,
			       "{\"schema\":\"mbj.deliver/1\",\"newState\":"
			       "\"%" PRIu64
			       "\",\"uidValidity\":null,\"uid\":null,"
			       "\"size\":%" PRIu64 "}\n",
			       s->err.lsn, size);
	status = s->durability.replicas > 0 ? EX_TEMPFAIL : EX_OK;
	(void)session_end(s, MBJ_OK);
	return status;
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

/* What no other try makes good, and is no matter of the message's. */
static bool call_parse(const struct cli_call *call,
		       struct mbj_message_edit *step)
{
	const char *guid = call->options.guid;
	struct mbj_error err;

	if (mbj_store_path_check(call->operands[0], &err) < 0) {
		cli_say(call, "%s", err.message);
		return false;
	}
	if (guid == NULL)
		return true;
	step->guid = mbj_bytes_str(guid);
	if (mbj_guid_is_good(step->guid))
		return true;
	cli_say(call,
		"--guid is 1 to %d printable characters of ASCII, no space "
		"among them, not \"%s\"",
		MBJ_GUID_MAX, guid);
	return false;
}

int verb_deliver(const struct cli_call *call)
{
	struct mbj_message_edit step = {
		.kind = MBJ_MESSAGE_APPEND,
		.time = MBJ_TIME_NOW,
	};
	uint64_t size = 0;
	bool is_found = true;
	struct session s;
	enum mbj_rc rc;
	int status;

	if (!call_parse(call, &step))
		return EX_USAGE;
	session_init(&s, call);
	s.edit.kind = MBJ_EDIT_MESSAGES;
	s.edit.messages = &step;
	s.edit.message_count = 1;
	rc = deliver(&s, &step, &size, &is_found);
	if (rc == MBJ_EBEHIND)
		return deliver_behind(&s, size);
	/* Sent again, it is known, and waited for once more. */
	if (rc == MBJ_OK)
		status = s.is_unreceived ? EX_TEMPFAIL : EX_OK;
	else
		status = deliver_status(&s.err, is_found);
	/* An MTA takes what is printed for a reason to complain. */
	if (rc == MBJ_OK && call->options.is_json)
		mbj_buf_format(&s.out,
			       "{\"schema\":\"mbj.deliver/1\",\"newState\":"
			       "\"%" PRIu64 "\",\"uidValidity\":%" PRIu32
			       ",\"uid\":%" PRIu32 ",\"size\":%" PRIu64 "}\n",
			       s.outcome.new_state.v,
			       s.outcome.messages[0].uidvalidity,
			       s.outcome.messages[0].uid, size);
	(void)session_end(&s, rc);
	return status;
}
