/*
 * mbj intent, outcome and intents: changes that are made in the mail storage of
 * a server, before and after, and those of which only the first half is known.
 */
#include <inttypes.h>
#include <string.h>

#include <mbj/doubt.h>
#include <mbj/jmap.h>

#include "session.h"

enum { MICROSECONDS = 1000000 };

/* ------------------------------------------------------------- changing */

/* Renames of the operands, or what Mailbox/set says. */
static enum mbj_rc intent_read(struct session *s, struct mbj_jmap_set **set,
			       struct mbj_arena **arena)
{
	struct mbj_name_policy policy;
	struct mbj_id account;
	enum mbj_rc rc;

	if (s->call->operand_count > 2) {
		rc = session_renames(s, arena);
		if (rc == MBJ_OK)
			rc = session_open(s);
		if (rc == MBJ_OK)
			rc = session_account(s, &policy, &account);
		return rc;
	}
	rc = session_set(s, set, &account);
	if (rc == MBJ_OK && mbj_jmap_set_refused_count(*set) > 0)
		rc = mbj_error_refuse(&s->err, MBJ_REFUSAL_INVALID_ARGUMENTS,
				      NULL, NULL,
				      "%zu of the changes cannot be read: mbj "
				      "set -n says which",
				      mbj_jmap_set_refused_count(*set));
	return rc;
}

int verb_intent(const struct cli_call *call)
{
	const char *producer = call->options.producer;
	struct mbj_jmap_set *set = NULL;
	struct mbj_arena *arena = NULL;
	struct session s;
	enum mbj_rc rc;

	session_init(&s, call);
	s.edit.stage = MBJ_STAGE_INTENT;
	s.edit.producer = mbj_bytes_str(producer == NULL ? "mbj" : producer);
	rc = intent_read(&s, &set, &arena);
	if (rc == MBJ_OK)
		rc = session_run(&s);
	mbj_jmap_set_free(&set);
	mbj_arena_free(&arena);
	return session_end(&s, rc);
}

int verb_outcome(const struct cli_call *call)
{
	const char *word = call->operands[3];
	struct session s;
	enum mbj_rc rc;

	session_init(&s, call);
	s.edit.kind = MBJ_EDIT_INTENT;
	s.edit.stage =
		strcmp(word, "done") == 0 ? MBJ_STAGE_DONE : MBJ_STAGE_FAILED;
	if (s.edit.stage == MBJ_STAGE_FAILED && strcmp(word, "failed") != 0) {
		cli_say(call, "an outcome is done or failed, not \"%s\"", word);
		return session_end(&s, MBJ_OK) == CLI_OK ? CLI_USAGE
							 : CLI_FAILED;
	}
	if (!mbj_id_parse(mbj_bytes_str(call->operands[2]), &s.edit.intent)) {
		rc = mbj_error_refuse(&s.err, MBJ_REFUSAL_INVALID_ARGUMENTS,
				      "intent", call->operands[2],
				      "the id of an intent is 32 hexadecimal "
				      "digits, not \"%.100s\"",
				      call->operands[2]);
		return session_end(&s, rc);
	}
	rc = session_open(&s);
	if (rc == MBJ_OK)
		rc = session_run(&s);
	return session_end(&s, rc);
}

/* -------------------------------------------------------------- listing */

/* A clock may have gone back since. */
static int64_t age_of(const struct mbj_intent *intent)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	int64_t now = sys->now_us(sys->ctx) / MICROSECONDS;

	return now > intent->time ? now - intent->time : 0;
}

static void put_path_json(struct mbj_buf *out, const char *word,
			  struct mbj_bytes path)
{
	mbj_buf_format(out, ",\"%s\":", word);
	if (path.n == 0)
		mbj_buf_put_str(out, "null");
	else
		mbj_jmap_string_print(path, out);
}

static void put_number_json(struct mbj_buf *out, const char *word,
			    uint32_t value)
{
	if (value == 0)
		mbj_buf_format(out, ",\"%s\":null", word);
	else
		mbj_buf_format(out, ",\"%s\":%" PRIu32, word, value);
}

static void put_doubt(struct mbj_buf *out, bool is_json, bool is_first,
		      const struct mbj_doubt *doubt)
{
	const char *between = "";
	char id[MBJ_ID_TEXT_SIZE];

	mbj_id_print(doubt->mailbox, id);
	if (is_json)
		mbj_buf_format(out, "%s{\"mailboxId\":\"%s\",\"what\":[",
			       is_first ? "" : ",", id);
	else
		mbj_buf_put_str(out, "  ");
	for (unsigned bit = 1; bit <= doubt->what; bit <<= 1) {
		if (!(doubt->what & bit))
			continue;
		mbj_buf_format(out, is_json ? "%s\"%s\"" : "%s%s", between,
			       mbj_doubt_name(bit));
		between = ",";
	}
	if (is_json) {
		mbj_buf_put_str(out, "]");
		put_path_json(out, "before", doubt->before);
		put_path_json(out, "after", doubt->after);
		put_number_json(out, "uidValidity", doubt->uidvalidity);
		put_number_json(out, "uidNext", doubt->uidnext);
		mbj_buf_put_str(out, "}");
		return;
	}
	mbj_buf_put_str(out, " ");
	if (doubt->before.n > 0)
		mbj_name_escape(out, doubt->before);
	if (!mbj_bytes_equal(doubt->before, doubt->after)) {
		mbj_buf_put_str(out, doubt->before.n > 0 ? " -> " : "");
		if (doubt->after.n > 0)
			mbj_name_escape(out, doubt->after);
		else
			mbj_buf_put_str(out, "(gone)");
	}
	mbj_buf_format(out, "  %s\n", id);
}

static void put_head_json(struct mbj_buf *out, bool is_first,
			  const struct mbj_client_intent *i, const char *kind)
{
	char id[MBJ_ID_TEXT_SIZE], account[MBJ_ID_TEXT_SIZE];

	mbj_id_print(i->intent.id, id);
	mbj_id_print(i->intent.account, account);
	mbj_buf_format(out,
		       "%s\n{\"id\":\"%s\",\"accountId\":\"%s\","
		       "\"account\":",
		       is_first ? "" : ",", id, account);
	mbj_jmap_string_print(i->account, out);
	mbj_buf_put_str(out, ",\"producer\":");
	mbj_jmap_string_print(i->intent.producer, out);
	mbj_buf_format(out, ",\"lsn\":%" PRIu64 ",\"time\":\"",
		       i->intent.lsn.v);
	(void)mbj_jmap_time_print(i->intent.time * MICROSECONDS, out);
	mbj_buf_format(out,
		       "\",\"age\":%" PRId64 ",\"kind\":", age_of(&i->intent));
	if (kind == NULL)
		mbj_buf_put_str(out, "null");
	else
		mbj_buf_format(out, "\"%s\"", kind);
	mbj_buf_put_str(out, ",\"inDoubt\":[");
}

static void put_head_text(struct mbj_buf *out,
			  const struct mbj_client_intent *i, const char *kind)
{
	char id[MBJ_ID_TEXT_SIZE];

	mbj_id_print(i->intent.id, id);
	mbj_buf_format(out, "%s  ", id);
	mbj_name_escape(out, i->account);
	mbj_buf_format(out, "  %s  by ", kind == NULL ? "unreadable" : kind);
	mbj_name_escape(out, i->intent.producer);
	mbj_buf_format(out, "  open for %" PRId64 " s, group %" PRIu64 "\n",
		       age_of(&i->intent), i->intent.lsn.v);
}

/* One that this version cannot read is shown with no kind and no doubts. */
static void put_intent(struct mbj_buf *out, bool is_json, bool is_first,
		       const struct mbj_client_intent *i)
{
	struct mbj_intent_view view = {.doubt_count = 0};
	bool is_first_doubt = true;
	const char *kind = NULL;
	struct mbj_doubt doubt;

	if (mbj_intent_read(i->intent.body, &view, NULL) == MBJ_OK)
		kind = mbj_intent_kind_name(view.kind);
	if (is_json)
		put_head_json(out, is_first, i, kind);
	else
		put_head_text(out, i, kind);
	while (kind != NULL && mbj_doubt_next(&view.doubts, &doubt)) {
		put_doubt(out, is_json, is_first_doubt, &doubt);
		is_first_doubt = false;
	}
	if (is_json)
		mbj_buf_put_str(out, "]}");
}

int verb_intents(const struct cli_call *call)
{
	struct mbj_client_intents list = {.count = 0};
	bool is_json = call->options.is_json;
	bool has_account = call->operand_count > 1;
	struct session s;
	enum mbj_rc rc;

	session_init(&s, call);
	rc = session_open(&s);
	/* Without a name they are those of all. */
	if (rc == MBJ_OK && has_account && s.edit.account.n == 0)
		rc = MBJ_ENOTFOUND;
	else if (rc == MBJ_OK)
		rc = mbj_client_intents(s.client, s.edit.account, &list,
					&s.err);
	if (rc == MBJ_ENOTFOUND && has_account && s.client != NULL)
		rc = cli_no_account(call, &s.err);
	if (rc == MBJ_OK && is_json)
		mbj_buf_put_str(&s.out,
				"{\"schema\":\"mbj.intents/1\",\"list\":[");
	for (size_t i = 0; rc == MBJ_OK && i < list.count; i++)
		put_intent(&s.out, is_json, i == 0, &list.intents[i]);
	if (rc == MBJ_OK && is_json)
		mbj_buf_put_str(&s.out, "]}\n");
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(&s.out, &s.err);
	mbj_client_intents_done(&list);
	return session_end(&s, rc);
}
