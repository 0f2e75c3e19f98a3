/*
 * mbj quarantine, as far as it changes something: retry, resync and skip, which
 * want the store for themselves.
 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <mbj/open.h>
#include <mbj/quarantine.h>

#include "follower.h"
#include "quarantine.h"

enum mbj_rc quarantine_not_aside(const struct cli_call *call,
				 struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_ENOTFOUND,
			     "%s: no account \"%.300s\" is set aside",
			     call->operands[0], call->operands[2]);
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
	if (mbj_id_parse(name, ret_id) && !mbj_id_is_reserved(*ret_id))
		return MBJ_OK;
	return mbj_error_set(err, MBJ_ENOTFOUND,
			     "%s: no account \"%.300s\" is there, and it is no "
			     "id",
			     call->operands[0], call->operands[2]);
}

/* What is known by its id is told by what it was asked for by, too. */
static void account_say(const struct cli_call *call, struct mbj_error *err)
{
	(void)mbj_error_prefix(err, err->rc, "\"%.300s\"", call->operands[2]);
}

/* Exit status of a verb behind which accounts are set aside, or nobody is. */
static int aside_status(const struct cli_call *call,
			const struct mbj_retry_result *result)
{
	if (result->accounts_parked == 0)
		return CLI_OK;
	cli_say(call,
		"%" PRIu64 " accounts are set aside: mbj quarantine %s list "
		"shows them, and why",
		result->accounts_parked, call->operands[0]);
	return CLI_PARTIAL;
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
	return status == CLI_OK ? aside_status(call, result) : status;
}

int quarantine_retry(const struct cli_call *call)
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
	if (rc < 0 && !mbj_id_is_root(options.account))
		account_say(call, &err);
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
int quarantine_resync(const struct cli_call *call)
{
	struct mbj_endpoint endpoint;

	if (call->options.exec != NULL ||
	    mbj_endpoint_parse(call->options.from_store, &endpoint, NULL) ==
		    MBJ_OK)
		return stream_run(call);
	return directory_run(call);
}

/* ------------------------------------------------------------------- skip */

enum { GROUP_OUTPUT_MAX = 64 << 20 };

/* The group that would be given up, for who did not name it, or only tries. */
static enum mbj_rc first_print(const struct cli_call *call,
			       struct mbj_store *store, struct mbj_lsn first,
			       struct mbj_error *err)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_group group;
	struct mbj_buf out;
	enum mbj_rc rc;

	mbj_buf_init(&out, GROUP_OUTPUT_MAX);
	rc = mbj_store_log_reader(mbj_sys_posix(), mbj_store_dir(store),
				  &reader, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_seek(reader, first, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_next(reader, &group, err);
	if (rc == MBJ_OK)
		rc = cli_group_print(&group, &out, err);
	mbj_log_reader_close(&reader);
	if (rc == MBJ_OK)
		(void)cli_write(call, mbj_buf_view(&out));
	mbj_buf_done(&out);
	return rc;
}

/* Nobody gives up what nobody looked at. */
static enum mbj_rc first_check(const struct cli_call *call,
			       struct mbj_store *store, struct mbj_id account,
			       struct mbj_error *err)
{
	uint64_t named = call->options.acknowledge;
	struct mbj_lsn first = {0};
	enum mbj_rc rc;

	rc = mbj_quarantine_first(store, account, &first, err);
	if (rc == MBJ_OK && !call->options.is_json &&
	    (first.v != named || call->options.is_dry_run))
		rc = first_print(call, store, first, err);
	if (rc < 0 || first.v == named)
		return rc;
	return mbj_error_set(err, MBJ_EFENCED,
			     "it waits for group %" PRIu64
			     " first: --acknowledge %" PRIu64
			     " gives that up, and it differs from its source "
			     "from then on",
			     first.v, first.v);
}

static int skip_report(const struct cli_call *call,
		       const struct mbj_skip_result *result)
{
	const struct mbj_retry_result *retry = &result->retry;
	bool is_dry_run = call->options.is_dry_run;
	struct mbj_buf out;
	int status;

	mbj_buf_init(&out, 4096);
	if (call->options.is_json)
		mbj_buf_format(&out,
			       "{\"schema\":\"mbj.skip/1\",\"group\":%" PRIu64
			       ",\"isDryRun\":%s,\"isDifferent\":%s"
			       ",\"isOfMessages\":%s"
			       ",\"groups\":%" PRIu64
			       ",\"accountsParked\":%" PRIu64 "}\n",
			       call->options.acknowledge,
			       is_dry_run ? "true" : "false",
			       result->is_different ? "true" : "false",
			       result->is_of_messages ? "true" : "false",
			       retry->groups, retry->accounts_parked);
	else if (is_dry_run)
		mbj_buf_format(&out, "group %" PRIu64 " would be given up\n",
			       call->options.acknowledge);
	else
		mbj_buf_format(&out,
			       "gave up group %" PRIu64 ", carried out %" PRIu64
			       " groups behind it; %s\n",
			       call->options.acknowledge, retry->groups,
			       result->is_different
				       ? "the account is known to differ from "
					 "its source now"
				       : "the account is what it was to be");
	status = cli_write_done(call, &out);
	if (result->is_of_messages)
		cli_say(call, "it changes messages: their mailboxes take no "
			      "later change of messages then, each of which "
			      "sets the account aside again, until \"mbj "
			      "quarantine\" with \"resync\" makes it again");
	return status == CLI_OK ? aside_status(call, retry) : status;
}

int quarantine_skip(const struct cli_call *call)
{
	const struct mbj_lsn lsn = {call->options.acknowledge};
	struct mbj_skip_result result = {.is_different = false};
	struct mbj_id account = MBJ_ID_ROOT;
	struct mbj_store *store = NULL;
	struct mbj_error err;
	enum mbj_rc rc;

	rc = mbj_replica_open(call->operands[0], NULL, &store, &err);
	if (rc == MBJ_OK)
		rc = account_get(call, store, &account, &err);
	if (rc == MBJ_OK)
		rc = first_check(call, store, account, &err);
	if (rc == MBJ_OK)
		rc = mbj_quarantine_skip(store, account, lsn,
					 call->options.is_dry_run, &result,
					 &err);
	if (rc < 0 && !mbj_id_is_root(account))
		account_say(call, &err);
	mbj_store_close(&store);
	return rc < 0 ? cli_fail(call, &err) : skip_report(call, &result);
}
