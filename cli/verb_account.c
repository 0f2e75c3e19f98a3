/*
 * mbj account, quota and setquota: accounts as wholes.
 */
#include <inttypes.h>
#include <string.h>

#include <mbj/jmap.h>

#include "number.h"
#include "session.h"

/* The call without the operand that says what to do with the account. */
static struct cli_call call_shift(const struct cli_call *call)
{
	struct cli_call shifted = *call;

	shifted.operands++;
	shifted.operand_count--;
	return shifted;
}

/* An option that the edit of that kind does nothing with, or NULL. */
static const char *option_idle(const struct cli_options *options,
			       enum mbj_edit_kind kind)
{
	if (options->is_emptying && kind != MBJ_EDIT_ACCOUNT_DELETE)
		return "--remove-messages is for delete";
	if (kind == MBJ_EDIT_IMPORT)
		return NULL;
	return options->is_folding	    ? "--fold-case is for create"
	       : options->delimiter != NULL ? "--delimiter is for create"
					    : NULL;
}

/* Which edit, and whether the options and operands are those of it. */
static int account_kind(const struct cli_call *call, const char *word,
			enum mbj_edit_kind *ret_kind)
{
	size_t operands = 2;
	const char *idle;

	if (strcmp(word, "create") == 0) {
		*ret_kind = MBJ_EDIT_IMPORT;
	} else if (strcmp(word, "rename") == 0) {
		*ret_kind = MBJ_EDIT_ACCOUNT_RENAME;
		operands = 3;
	} else if (strcmp(word, "delete") == 0) {
		*ret_kind = MBJ_EDIT_ACCOUNT_DELETE;
	} else {
		cli_say(call,
			"an account can be created, renamed and deleted, not "
			"\"%s\"; see: mbj help account",
			word);
		return CLI_USAGE;
	}
	idle = option_idle(&call->options, *ret_kind);
	if (idle != NULL) {
		cli_say(call, "%s, not for %s", idle, word);
		return CLI_USAGE;
	}
	if (call->operand_count == operands)
		return CLI_OK;
	cli_say(call,
		operands == 3 ? "%s takes a NEW name" : "%s takes no NEW name",
		word);
	return CLI_USAGE;
}

int verb_account(const struct cli_call *given)
{
	struct mbj_name_policy policy = MBJ_NAME_POLICY_DEFAULT;
	const struct cli_call call = call_shift(given);
	enum mbj_edit_kind kind = MBJ_EDIT_IMPORT;
	struct mbj_rename rename = {{NULL, 0}, {NULL, 0}};
	struct session s;
	enum mbj_rc rc;
	int status;

	status = account_kind(&call, given->operands[0], &kind);
	if (status == CLI_OK)
		status = session_policy(&call, &policy);
	if (status != CLI_OK)
		return status;
	session_init(&s, &call);
	s.edit.kind = kind;
	s.edit.policy = policy;
	if (kind == MBJ_EDIT_ACCOUNT_RENAME) {
		rename.target = mbj_bytes_str(call.operands[2]);
		s.edit.renames = &rename;
		s.edit.rename_count = 1;
	}
	rc = session_open(&s);
	if (rc == MBJ_OK)
		rc = session_run(&s);
	return session_end(&s, rc);
}

/* ---------------------------------------------------------------- quota */

static void put_limit(struct mbj_buf *out, const char *name, uint64_t used,
		      uint64_t limit)
{
	mbj_buf_format(out, ",\"%s\":{\"used\":%" PRIu64 ",\"limit\":", name,
		       used);
	if (limit > 0)
		mbj_buf_format(out, "%" PRIu64 "}", limit);
	else
		mbj_buf_put_str(out, "null}");
}

static void put_line(struct mbj_buf *out, const char *name, uint64_t used,
		     uint64_t limit, const char *unit)
{
	mbj_buf_format(out, "%-9s %" PRIu64, name, used);
	if (limit > 0)
		mbj_buf_format(out, " of %" PRIu64 "%s\n", limit, unit);
	else
		mbj_buf_format(out, "%s, no limit\n", unit);
}

int verb_quota(const struct cli_call *call)
{
	struct mbj_account a = {.message_count = 0};
	char id[MBJ_ID_TEXT_SIZE];
	struct session s;
	enum mbj_rc rc;

	session_init(&s, call);
	rc = session_open(&s);
	if (rc == MBJ_OK)
		rc = mbj_client_account(s.client, s.edit.account, &a, &s.err);
	if (rc == MBJ_ENOTFOUND && s.client != NULL)
		rc = cli_no_account(call, &s.err);
	if (rc == MBJ_OK && call->options.is_json) {
		mbj_id_print(a.id, id);
		mbj_buf_format(&s.out,
			       "{\"schema\":\"mbj.quota/1\",\"accountId\":"
			       "\"%s\"",
			       id);
		put_limit(&s.out, "messages", a.message_count,
			  a.quota_messages);
		put_limit(&s.out, "size", a.message_size, a.quota_size);
		mbj_buf_put_str(&s.out, "}\n");
	} else if (rc == MBJ_OK) {
		put_line(&s.out, "messages", a.message_count, a.quota_messages,
			 "");
		put_line(&s.out, "size", a.message_size, a.quota_size,
			 " bytes");
	}
	return session_end(&s, rc);
}

/* A limit as a user writes it; false where it is none. */
static bool limit_read(const char *text, bool has_unit, uint64_t *ret_limit)
{
	if (strcmp(text, "none") == 0) {
		*ret_limit = 0;
		return true;
	}
	return (has_unit ? number_size_read(text, MBJ_QUOTA_MAX, ret_limit)
			 : number_read(text, MBJ_QUOTA_MAX, ret_limit)) &&
	       *ret_limit > 0;
}

static int limit_option(const struct cli_call *call, const char *word,
			const char *text, bool has_unit, unsigned bit,
			struct mbj_metadata_edit *step, uint64_t *ret_limit)
{
	if (text == NULL)
		return CLI_OK;
	step->has |= bit;
	if (limit_read(text, has_unit, ret_limit))
		return CLI_OK;
	cli_say(call,
		"--%s wants a number from 1 to %" PRIu64
		"%s, or none, not \"%.100s\"",
		word, MBJ_QUOTA_MAX,
		has_unit ? ", maybe with K, M, G or T behind it" : "", text);
	return CLI_USAGE;
}

int verb_setquota(const struct cli_call *call)
{
	struct mbj_metadata_edit step = {.kind = MBJ_METADATA_QUOTA};
	struct session s;
	enum mbj_rc rc;
	int status;

	status = limit_option(call, "messages", call->options.quota_messages,
			      false, MBJ_METADATA_HAS_MESSAGES, &step,
			      &step.quota_messages);
	if (status == CLI_OK)
		status = limit_option(call, "size", call->options.quota_size,
				      true, MBJ_METADATA_HAS_SIZE, &step,
				      &step.quota_size);
	if (status != CLI_OK)
		return status;
	if (step.has == 0) {
		cli_say(call, "give --messages or --size, or both");
		return CLI_USAGE;
	}
	session_init(&s, call);
	s.edit.kind = MBJ_EDIT_METADATA;
	s.edit.metadata = &step;
	s.edit.metadata_count = 1;
	rc = session_open(&s);
	if (rc == MBJ_OK)
		rc = session_run(&s);
	return session_end(&s, rc);
}
