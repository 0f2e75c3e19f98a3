/*
 * mbj quarantine: accounts that are set aside on a replica.
 *
 * list and show read: the state through whoever owns the store, and what waits
 * from its segments; audit reads a file of its own, and wants the state for
 * names only.  retry and resync want the store for themselves.
 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <mbj/jmap.h>
#include <mbj/open.h>
#include <mbj/quarantine.h>

#include "audit.h"
#include "follower.h"
#include "parked.h"

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
		mbj_buf_put_str(&out, "]}\n");
	written = cli_write_done(call, &out);
	if (written == CLI_OK && status.parked_count > 0)
		written = CLI_PARTIAL;
	mbj_client_status_done(&status);
	return written;
}

/* ------------------------------------------------------------------- show */

/* By name, or by id: a replica may lack the account itself. */
static const struct mbj_client_parked *
parked_find(const struct mbj_client_status *status, const char *text)
{
	char id[MBJ_ID_TEXT_SIZE];

	for (size_t i = 0; i < status->parked_count; i++) {
		const struct mbj_client_parked *p = &status->parked[i];

		mbj_id_print(p->parked.account, id);
		if (mbj_bytes_equal(p->name, mbj_bytes_str(text)) ||
		    strcmp(id, text) == 0)
			return p;
	}
	return NULL;
}

static enum mbj_rc not_aside(const struct cli_call *call, struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_ENOTFOUND,
			     "%s: no account \"%.300s\" is set aside",
			     call->operands[0], call->operands[2]);
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
static enum mbj_rc parked_print(const struct cli_call *call,
				const struct mbj_client_parked *parked,
				struct mbj_buf *out, struct mbj_error *err)
{
	bool is_json = call->options.is_json;
	enum mbj_rc rc;

	if (is_json) {
		mbj_buf_put_str(out, "{\"schema\":\"mbj.quarantine.account/1\""
				     ",\"account\":");
		parked_json(parked, true, out);
		mbj_buf_put_str(out, ",\"audit\":[");
	} else {
		parked_text(parked, out);
	}
	rc = audit_print(call->operands[0], parked->parked.account, NULL,
			 is_json, out, err);
	if (is_json)
		mbj_buf_put_str(out, "],\"waiting\":[");
	return rc;
}

static int parked_show(const struct cli_call *call,
		       const struct mbj_client_parked *parked)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	bool is_json = call->options.is_json;
	struct mbj_log_reader *reader = NULL;
	struct mbj_error err;
	struct mbj_buf out;
	int status = CLI_OK;
	enum mbj_rc rc;

	rc = mbj_store_log_reader(sys, call->operands[0], &reader, &err);
	mbj_buf_init(&out, QUARANTINE_OUTPUT_MAX);
	if (rc == MBJ_OK)
		rc = parked_print(call, parked, &out, &err);
	if (rc == MBJ_OK)
		rc = groups_print(call, reader, &parked->parked, &out, &status,
				  &err);
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
	const struct mbj_client_parked *parked;
	struct mbj_client_status status;
	struct mbj_error err;
	int result;

	memset(&status, 0, sizeof(status));
	if (status_get(call, &status, &err) < 0)
		return cli_fail(call, &err);
	parked = parked_find(&status, call->operands[2]);
	if (parked != NULL) {
		result = parked_show(call, parked);
	} else {
		(void)not_aside(call, &err);
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
	if (rc == MBJ_OK)
		rc = audit_print(call->operands[0], account, &names, is_json,
				 &out, &err);
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

/* ------------------------------------------------------------------ retry */

/* ROOT for all; of an id it is seen later whether it is aside. */
static enum mbj_rc account_get(const struct cli_call *call,
			       struct mbj_store *store, struct mbj_id *ret_id,
			       struct mbj_error *err)
{
	struct mbj_bytes name;
	struct mbj_account account;
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	if (call->operand_count == 2) {
		*ret_id = MBJ_ID_ROOT;
		return MBJ_OK;
	}
	name = mbj_bytes_str(call->operands[2]);
	rc = mbj_store_read(store, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_account_find(txn, name, &account, err);
	if (rc == MBJ_OK)
		*ret_id = account.id;
	mbj_txn_abort(&txn);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	return mbj_id_parse(name, ret_id) && !mbj_id_is_reserved(*ret_id)
		       ? MBJ_OK
		       : not_aside(call, err);
}

static int retry_report(const struct cli_call *call,
			const struct mbj_retry_result *result)
{
	struct mbj_buf out;
	int status;

	mbj_buf_init(&out, 4096);
	if (call->options.is_json)
		mbj_buf_format(&out,
			       "{\"schema\":\"mbj.retry/1\",\"groups\":%" PRIu64
			       ",\"accountsHealed\":%" PRIu64
			       ",\"accountsParked\":%" PRIu64 "}\n",
			       result->groups, result->accounts_healed,
			       result->accounts_parked);
	else
		mbj_buf_format(&out,
			       "carried out %" PRIu64 " groups; %" PRIu64
			       " accounts go on\n",
			       result->groups, result->accounts_healed);
	status = cli_write_done(call, &out);
	if (status != CLI_OK || result->accounts_parked == 0)
		return status;
	cli_say(call,
		"%" PRIu64 " accounts are set aside: mbj quarantine %s list "
		"shows them, and why",
		result->accounts_parked, call->operands[0]);
	return CLI_PARTIAL;
}

static int quarantine_retry(const struct cli_call *call)
{
	struct mbj_retry_options options = MBJ_RETRY_OPTIONS_INIT;
	struct mbj_retry_result result = {0};
	struct mbj_store *store = NULL;
	struct mbj_error err;
	enum mbj_rc rc;

	rc = mbj_replica_open(call->operands[0], NULL, &store, &err);
	if (rc == MBJ_OK)
		rc = account_get(call, store, &options.account, &err);
	if (rc == MBJ_OK)
		rc = mbj_quarantine_retry(store, &options, &result, &err);
	mbj_store_close(&store);
	return rc < 0 ? cli_fail(call, &err) : retry_report(call, &result);
}

/* ----------------------------------------------------------------- resync */

static const char *source_name(const struct cli_call *call)
{
	return call->options.from_store != NULL ? call->options.from_store
						: "the source";
}

static int resync_report(const struct cli_call *call,
			 const struct mbj_resync_result *result)
{
	const struct mbj_replay_result *replay = &result->replay;
	struct mbj_buf out;
	int status;

	mbj_buf_init(&out, 4096);
	if (call->options.is_json)
		mbj_buf_format(
			&out,
			"{\"schema\":\"mbj.resync/1\",\"snapshot\":%" PRIu64
			",\"groups\":%" PRIu64 ",\"isAside\":%s"
			",\"applied\":%" PRIu64 ",\"blobsMissing\":%" PRIu64
			"}\n",
			result->snapshot.v, result->groups,
			result->is_aside ? "true" : "false", replay->applied.v,
			replay->blobs_missing);
	else
		mbj_buf_format(&out,
			       "made again from the snapshot of group %" PRIu64
			       " and %" PRIu64 " groups behind it; at group "
			       "%" PRIu64 "\n",
			       result->snapshot.v, result->groups,
			       replay->applied.v);
	status = cli_write_done(call, &out);
	if (status == CLI_OK && replay->blobs_missing > 0)
		cli_say(call,
			"%" PRIu64 " contents of messages could not be "
			"fetched, the next replay asks again; the first: %s",
			replay->blobs_missing, replay->blobs_why.message);
	if (status == CLI_OK && result->is_aside)
		cli_say(call,
			"a group behind the snapshot fails, and the account "
			"is set aside: a newer snapshot of %s may help",
			source_name(call));
	if (status == CLI_OK && (result->is_aside || replay->blobs_missing > 0))
		return CLI_PARTIAL;
	return status;
}

/* Who has the name is known once what the source has is here. */
static enum mbj_rc directory_resync(const struct cli_call *call,
				    struct mbj_store *store,
				    struct mbj_resync_result *result,
				    struct mbj_error *err)
{
	struct mbj_replay_options usual = MBJ_REPLAY_OPTIONS_INIT;
	const char *source = call->options.from_store;
	struct mbj_id account = MBJ_ID_ROOT;
	enum mbj_rc rc;

	rc = mbj_replay_journal(store, source, &usual, &result->replay, err);
	if (rc == MBJ_OK)
		rc = account_get(call, store, &account, err);
	if (rc == MBJ_OK)
		rc = mbj_quarantine_resync(store, account, source, result, err);
	return rc;
}

/* The same by two connections. */
static enum mbj_rc stream_resync(const struct cli_call *call,
				 struct follower *f, struct mbj_store *store,
				 struct mbj_resync_result *result)
{
	struct mbj_id account = MBJ_ID_ROOT;
	enum mbj_rc rc;

	f->options.is_once = true;
	f->options.is_mending = false;
	rc = follower_run(f, store);
	if (rc == MBJ_OK)
		rc = account_get(call, store, &account, &f->err);
	return rc == MBJ_OK ? follower_resync(f, store, account, result) : rc;
}

static int directory_run(const struct cli_call *call)
{
	struct mbj_resync_result result = {.groups = 0};
	struct mbj_store *store = NULL;
	struct mbj_error err;
	enum mbj_rc rc;

	rc = mbj_replica_open(call->operands[0], NULL, &store, &err);
	if (rc == MBJ_OK)
		rc = directory_resync(call, store, &result, &err);
	mbj_store_close(&store);
	return rc < 0 ? cli_fail(call, &err) : resync_report(call, &result);
}

static int stream_run(const struct cli_call *call)
{
	struct mbj_resync_result result = {.groups = 0};
	struct mbj_store *store = NULL;
	struct follower f;
	enum mbj_rc rc;
	int stop_fd = cli_stop_open(call);
	int status;

	if (stop_fd < 0)
		return CLI_FAILED;
	status = follower_init(&f, call, stop_fd, NULL);
	if (status == CLI_OK) {
		rc = mbj_replica_open(call->operands[0], NULL, &store, &f.err);
		if (rc == MBJ_OK)
			rc = stream_resync(call, &f, store, &result);
		mbj_store_close(&store);
		status = rc < 0 ? cli_fail(call, &f.err)
				: resync_report(call, &result);
	}
	(void)close(stop_fd);
	return status;
}

/* From a directory, or from whoever is where it listens. */
static int quarantine_resync(const struct cli_call *call)
{
	struct mbj_endpoint endpoint;

	if (call->options.exec != NULL ||
	    mbj_endpoint_parse(call->options.from_store, &endpoint, NULL) ==
		    MBJ_OK)
		return stream_run(call);
	return directory_run(call);
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
	if (strcmp(word, "retry") != 0)
		return usage(call, "list, show, audit, retry or resync");
	if (has_account == call->options.is_all)
		return usage(call, "retry wants an account, or --all");
	return quarantine_retry(call);
}
