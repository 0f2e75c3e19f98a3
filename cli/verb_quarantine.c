/*
 * mbj quarantine: accounts that are set aside on a replica.
 *
 * list and show read: the state through whoever owns the store, and what waits
 * from its segments; audit reads a file of its own, and wants the state for
 * names only.  What changes something is in quarantine_heal.c.
 */
#include <inttypes.h>
#include <string.h>

#include <mbj/jmap.h>
#include <mbj/open.h>

#include "audit.h"
#include "number.h"
#include "parked.h"
#include "quarantine.h"
#include "status.h"

enum {
	QUARANTINE_OUTPUT_MAX = 1 << 30,
	QUARANTINE_FLUSH_SIZE = 1 << 20,
};

static enum mbj_rc status_get(const struct cli_call *call,
			      struct mbj_client_status *ret_status,
			      struct mbj_error *err)
{
	struct mbj_client *client = NULL;
	enum mbj_rc rc;

	rc = mbj_client_open(call->operands[0], &client, err);
	if (rc == MBJ_OK)
		rc = mbj_client_status(client, ret_status, err);
	mbj_client_close(&client);
	return rc;
}

/* ------------------------------------------------------------------- list */

static int quarantine_list(const struct cli_call *call)
{
	struct mbj_client_status status;
	struct mbj_error err;
	struct mbj_buf out;
	int written;

	memset(&status, 0, sizeof(status));
	if (status_get(call, &status, &err) < 0)
		return cli_fail(call, &err);
	mbj_buf_init(&out, QUARANTINE_OUTPUT_MAX);
	if (call->options.is_json)
		mbj_buf_put_str(&out, "{\"schema\":\"mbj.quarantine/1\","
				      "\"list\":[");
	for (size_t i = 0; i < status.parked_count; i++) {
		if (call->options.is_json)
			parked_json(&status.parked[i], i == 0, &out);
		else
			parked_text(&status.parked[i], &out);
	}
	if (call->options.is_json)
		mbj_buf_put_str(&out, "],\"skipped\":[");
	for (size_t i = 0; i < status.skipped_count; i++) {
		if (call->options.is_json)
			skipped_json(&status.skipped[i], i == 0, &out);
		else
			skipped_text(&status.skipped[i], &out);
	}
	if (call->options.is_json)
		mbj_buf_put_str(&out, "]}\n");
	written = cli_write_done(call, &out);
	if (written == CLI_OK &&
	    (status.parked_count > 0 || status.skipped_count > 0))
		written = CLI_PARTIAL;
	mbj_client_status_done(&status);
	return written;
}

/* ------------------------------------------------------------------- show */

/* What is known of one account; either may be NULL. */
struct shown {
	const struct mbj_client_parked *parked;
	const struct mbj_client_skipped *skipped;
	struct mbj_id account;
};

static bool is_named(struct mbj_id id, struct mbj_bytes name, const char *text)
{
	char printed[MBJ_ID_TEXT_SIZE];

	mbj_id_print(id, printed);
	return mbj_bytes_equal(name, mbj_bytes_str(text)) ||
	       strcmp(printed, text) == 0;
}

/* By name, or by id: a replica may lack the account itself. */
static bool shown_find(const struct mbj_client_status *status, const char *text,
		       struct shown *ret_shown)
{
	struct shown shown = {NULL, NULL, MBJ_ID_ROOT};

	for (size_t i = 0; i < status->parked_count; i++) {
		const struct mbj_client_parked *p = &status->parked[i];

		if (shown.parked != NULL ||
		    !is_named(p->parked.account, p->name, text))
			continue;
		shown.parked = p;
		shown.account = p->parked.account;
	}
	for (size_t i = 0; i < status->skipped_count; i++) {
		const struct mbj_client_skipped *k = &status->skipped[i];

		if (shown.skipped != NULL ||
		    !is_named(k->skipped.account, k->name, text))
			continue;
		shown.skipped = k;
		shown.account = k->skipped.account;
	}
	*ret_shown = shown;
	return shown.parked != NULL || shown.skipped != NULL;
}

/* What waits, in its order. */
static enum mbj_rc groups_print(const struct cli_call *call,
				struct mbj_log_reader *reader,
				const struct mbj_parked *parked,
				struct mbj_buf *out, int *ret_status,
				struct mbj_error *err)
{
	bool is_json = call->options.is_json;
	struct mbj_group group;
	bool is_first = true;
	enum mbj_rc rc;

	rc = mbj_log_reader_seek(reader, parked->first, err);
	if (rc < 0)
		return rc;
	while (rc == MBJ_OK && *ret_status == CLI_OK) {
		rc = mbj_log_reader_next(reader, &group, err);
		if (rc < 0 || group.header.lsn.v > parked->last.v)
			break;
		if (!mbj_group_names(&group, parked->account))
			continue;
		rc = is_json ? mbj_jmap_log_group(&group, is_first, out, err)
			     : cli_group_print(&group, out, err);
		is_first = false;
		if (out->n < QUARANTINE_FLUSH_SIZE)
			continue;
		*ret_status = cli_write(call, mbj_buf_view(out));
		mbj_buf_clear(out);
	}
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* It, and what became of it so far. */
static enum mbj_rc shown_print(const struct cli_call *call, const char *dir,
			       const struct shown *shown, struct mbj_buf *out,
			       struct mbj_error *err)
{
	bool is_json = call->options.is_json;
	enum mbj_rc rc;

	if (is_json)
		mbj_buf_put_str(out, "{\"schema\":\"mbj.quarantine.account/1\""
				     ",\"account\":");
	if (shown->parked != NULL && is_json)
		parked_json(shown->parked, true, out);
	else if (shown->parked != NULL)
		parked_text(shown->parked, out);
	else if (is_json)
		mbj_buf_put_str(out, "null");
	if (is_json)
		mbj_buf_put_str(out, ",\"skipped\":");
	if (shown->skipped != NULL && is_json)
		skipped_json(shown->skipped, true, out);
	else if (shown->skipped != NULL)
		skipped_text(shown->skipped, out);
	else if (is_json)
		mbj_buf_put_str(out, "null");
	if (is_json)
		mbj_buf_put_str(out, ",\"audit\":[");
	rc = audit_print(dir, shown->account, NULL, is_json, out, err);
	if (is_json)
		mbj_buf_put_str(out, "],\"waiting\":[");
	return rc;
}

static int shown_show(const struct cli_call *call, const struct shown *shown)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	bool is_json = call->options.is_json;
	struct mbj_log_reader *reader = NULL;
	char dir[MBJ_PATH_TEXT_MAX];
	struct mbj_error err;
	struct mbj_buf out;
	int status = CLI_OK;
	enum mbj_rc rc;

	rc = cli_store_dir(call->operands[0], dir, &err);
	if (rc == MBJ_OK)
		rc = mbj_store_log_reader(sys, dir, &reader, &err);
	mbj_buf_init(&out, QUARANTINE_OUTPUT_MAX);
	if (rc == MBJ_OK)
		rc = shown_print(call, dir, shown, &out, &err);
	if (rc == MBJ_OK && shown->parked != NULL)
		rc = groups_print(call, reader, &shown->parked->parked, &out,
				  &status, &err);
	mbj_log_reader_close(&reader);
	if (rc < 0) {
		mbj_buf_done(&out);
		return cli_complain(call, &err);
	}
	if (is_json)
		mbj_buf_put_str(&out, "]}\n");
	if (status == CLI_OK)
		status = cli_write_done(call, &out);
	else
		mbj_buf_done(&out);
	return status == CLI_OK ? CLI_PARTIAL : status;
}

static int quarantine_show(const struct cli_call *call)
{
	struct mbj_client_status status;
	struct mbj_error err;
	struct shown shown;
	int result;

	memset(&status, 0, sizeof(status));
	if (status_get(call, &status, &err) < 0)
		return cli_fail(call, &err);
	if (shown_find(&status, call->operands[2], &shown)) {
		result = shown_show(call, &shown);
	} else {
		(void)quarantine_not_aside(call, &err);
		result = cli_fail(call, &err);
	}
	mbj_client_status_done(&status);
	return result;
}

/* ------------------------------------------------------------------ audit */

/*
 * ROOT: all; by name, or by id, which nobody may have any more.  no_names: why
 * they are not to be had, if so.
 */
static enum mbj_rc audit_account(const struct cli_call *call,
				 const struct mbj_client_accounts *names,
				 const struct mbj_error *no_names,
				 struct mbj_id *ret_id, struct mbj_error *err)
{
	struct mbj_bytes text;

	*ret_id = MBJ_ID_ROOT;
	if (call->operand_count == 2)
		return MBJ_OK;
	text = mbj_bytes_str(call->operands[2]);
	for (size_t i = 0; i < names->count; i++) {
		*ret_id = names->accounts[i].id;
		if (mbj_bytes_equal(names->accounts[i].name, text))
			return MBJ_OK;
	}
	if (mbj_id_parse(text, ret_id) && !mbj_id_is_reserved(*ret_id))
		return MBJ_OK;
	if (no_names->rc < 0) {
		*err = *no_names;
		return mbj_error_prefix(
			err, err->rc,
			"\"%.300s\" is no id, and names are not "
			"to be had",
			call->operands[2]);
	}
	return mbj_error_set(err, MBJ_ENOTFOUND,
			     "%s: no account \"%.300s\" is there, and it is no "
			     "id",
			     call->operands[0], call->operands[2]);
}

/*
 * What accounts are called now.  The record can be read without: another
 * process may have the store, or its state may be what is damaged.
 */
static enum mbj_rc names_get(const struct cli_call *call,
			     struct mbj_client_accounts *ret_names,
			     struct mbj_error *err)
{
	struct mbj_client *client = NULL;
	enum mbj_rc rc;

	rc = mbj_client_open(call->operands[0], &client, err);
	if (rc == MBJ_OK)
		rc = mbj_client_accounts(client, ret_names, err);
	mbj_client_close(&client);
	return rc;
}

static int quarantine_audit(const struct cli_call *call)
{
	struct mbj_client_accounts names = {.count = 0};
	bool is_json = call->options.is_json;
	struct mbj_error no_names = {.rc = MBJ_OK};
	const char *dir = call->operands[0];
	char served[MBJ_PATH_TEXT_MAX];
	struct mbj_id account;
	struct mbj_error err;
	struct mbj_buf out;
	enum mbj_rc rc = names_get(call, &names, &no_names);

	if (rc == MBJ_ENOTFOUND)
		return cli_fail(call, &no_names);
	if (rc == MBJ_OK)
		no_names.rc = MBJ_OK;
	mbj_buf_init(&out, QUARANTINE_OUTPUT_MAX);
	if (is_json)
		mbj_buf_put_str(&out, "{\"schema\":\"mbj.audit/1\","
				      "\"list\":[");
	rc = audit_account(call, &names, &no_names, &account, &err);
	if (rc == MBJ_OK && cli_path_is_socket(dir)) {
		rc = cli_store_dir(dir, served, &err);
		dir = served;
	}
	if (rc == MBJ_OK)
		rc = audit_print(dir, account, &names, is_json, &out, &err);
	mbj_client_accounts_done(&names);
	if (rc < 0) {
		mbj_buf_done(&out);
		return cli_fail(call, &err);
	}
	if (is_json)
		mbj_buf_put_str(&out, "]}\n");
	if (no_names.rc < 0)
		cli_say(call, "%s: accounts are shown without their names",
			no_names.message);
	return cli_write_done(call, &out);
}

/* ------------------------------------------------------------------- verb */

static int usage(const struct cli_call *call, const char *what)
{
	cli_say(call, "%s; see: mbj help quarantine", what);
	return CLI_USAGE;
}

int verb_quarantine(const struct cli_call *call)
{
	const char *word = call->operands[1];
	bool has_account = call->operand_count == 3;

	bool is_skip = strcmp(word, "skip") == 0;
	uint64_t rate;

	/* What is wrong is said by whatever does not need it, too. */
	if (!number_rate_read(call, &rate))
		return CLI_USAGE;

	if ((call->options.acknowledge != 0 || call->options.is_dry_run) &&
	    !is_skip)
		return usage(call, "--acknowledge and --dry-run are for skip");
	if (call->options.is_all && strcmp(word, "retry") != 0)
		return usage(call, "--all is for retry");
	if ((call->options.from_store != NULL || call->options.exec != NULL) !=
	    (strcmp(word, "resync") == 0))
		return usage(call, "resync wants --from or --exec, and nothing "
				   "else does");
	if (strcmp(word, "list") == 0)
		return has_account ? usage(call, "list takes no account")
				   : quarantine_list(call);
	if (strcmp(word, "show") == 0)
		return has_account ? quarantine_show(call)
				   : usage(call, "show wants an account");
	if (strcmp(word, "audit") == 0)
		return quarantine_audit(call);
	if (strcmp(word, "resync") == 0)
		return has_account ? quarantine_resync(call)
				   : usage(call, "resync wants an account");
	if (is_skip)
		return has_account ? quarantine_skip(call)
				   : usage(call, "skip wants an account");
	if (strcmp(word, "retry") != 0) {
		cli_say(call,
			"what is done is list, show, audit, retry, resync or "
			"skip, not \"%.100s\"; see: mbj help quarantine",
			word);
		return CLI_USAGE;
	}
	if (has_account == call->options.is_all)
		return usage(call, "retry wants an account, or --all");
	return quarantine_retry(call);
}
