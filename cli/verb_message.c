/*
 * The verbs that change messages that are there: flag, expunge, mv.
 *
 * What of a set of UIDs is not there is passed over, as IMAP passes it over.
 */
#include <string.h>

#include "session.h"

enum { KEYWORDS_ROOM = 2 * MBJ_KEYWORDS_MAX };

/* One step of MBJ_EDIT_MESSAGES, and what it borrows. */
struct message_session {
	struct session s;
	struct mbj_message_edit step;
	struct mbj_buf uids;
	struct mbj_buf keywords[2]; /* the second is scratch */
};

static void message_begin(struct message_session *m,
			  const struct cli_call *call,
			  enum mbj_message_edit_kind kind)
{
	session_init(&m->s, call);
	m->step = (struct mbj_message_edit){.kind = kind};
	m->s.edit.kind = MBJ_EDIT_MESSAGES;
	m->s.edit.messages = &m->step;
	m->s.edit.message_count = 1;
	mbj_buf_init(&m->uids, MBJ_UID_RANGES_MAX * MBJ_UID_RANGE_SIZE);
	mbj_buf_init(&m->keywords[0], KEYWORDS_ROOM);
	mbj_buf_init(&m->keywords[1], KEYWORDS_ROOM);
}

/* Mailbox and UIDs, operands 2 and 3. */
static enum mbj_rc message_open(struct message_session *m)
{
	const char *const *operands = m->s.call->operands;
	struct mbj_place place;
	enum mbj_rc rc;

	rc = session_open(&m->s);
	if (rc == MBJ_OK)
		rc = session_mailbox(&m->s, operands[2], operands[3], &place);
	if (rc == MBJ_OK)
		rc = session_uids(&m->s, operands[3], &place, &m->uids);
	if (rc < 0)
		return rc;
	m->step.mailbox = place.mailbox.id;
	m->step.uids = mbj_buf_view(&m->uids);
	return MBJ_OK;
}

/* An empty set of UIDs is nothing to do, not a mistake. */
static int message_end(struct message_session *m, enum mbj_rc rc)
{
	if (rc == MBJ_OK && m->step.uids.n == 0)
		m->s.edit.message_count = 0;
	if (rc == MBJ_OK)
		rc = session_run(&m->s);
	mbj_buf_done(&m->uids);
	mbj_buf_done(&m->keywords[0]);
	mbj_buf_done(&m->keywords[1]);
	return session_end(&m->s, rc);
}

/* A system flag, or one more keyword. */
static enum mbj_rc flag_add(struct message_session *m, const char *word)
{
	struct mbj_bytes text = mbj_bytes_str(word);
	uint8_t flag = mbj_flag_find(text);
	struct mbj_buf swap;

	if (flag != 0) {
		m->step.flags |= flag;
		return MBJ_OK;
	}
	if (!mbj_keyword_is_good(text))
		return mbj_error_refuse(
			&m->s.err, MBJ_REFUSAL_INVALID_PROPERTIES, "flag", word,
			"\"%.100s\" is no flag: \\Seen, \\Answered, \\Flagged, "
			"\\Deleted, \\Draft, or a keyword of at most %d "
			"letters, digits and the like",
			word, MBJ_KEYWORD_MAX);
	mbj_buf_clear(&m->keywords[1]);
	mbj_keywords_change(mbj_buf_view(&m->keywords[0]),
			    mbj_bytes_make(word, text.n + 1), MBJ_FLAGS_ADD,
			    &m->keywords[1]);
	swap = m->keywords[0];
	m->keywords[0] = m->keywords[1];
	m->keywords[1] = swap;
	return mbj_buf_ok(&m->keywords[0], &m->s.err);
}

int verb_flag(const struct cli_call *call)
{
	struct message_session m;
	enum mbj_rc rc = MBJ_OK;

	message_begin(&m, call, MBJ_MESSAGE_FLAGS);
	m.step.mode = call->options.is_remove	 ? MBJ_FLAGS_REMOVE
		      : call->options.is_replace ? MBJ_FLAGS_REPLACE
						 : MBJ_FLAGS_ADD;
	for (size_t i = 4; rc == MBJ_OK && i < call->operand_count; i++)
		rc = flag_add(&m, call->operands[i]);
	m.step.keywords = mbj_buf_view(&m.keywords[0]);
	if (rc == MBJ_OK)
		rc = message_open(&m);
	return message_end(&m, rc);
}

int verb_expunge(const struct cli_call *call)
{
	struct message_session m;

	message_begin(&m, call, MBJ_MESSAGE_EXPUNGE);
	return message_end(&m, message_open(&m));
}

int verb_mv(const struct cli_call *call)
{
	struct message_session m;
	struct mbj_place target;
	enum mbj_rc rc;

	message_begin(&m, call,
		      call->options.is_copy ? MBJ_MESSAGE_COPY
					    : MBJ_MESSAGE_MOVE);
	rc = message_open(&m);
	if (rc == MBJ_OK)
		rc = session_mailbox(&m.s, call->operands[4], NULL, &target);
	if (rc == MBJ_OK)
		m.step.target = target.mailbox.id;
	return message_end(&m, rc);
}
