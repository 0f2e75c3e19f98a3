/*
 * mbj snapshot and mbj trim: the state kept as it is, and a journal that does
 * not grow for ever.
 */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include <mbj/jmap.h>
#include <mbj/open.h>
#include <mbj/trim.h>

#include "keeper.h"

enum { TIME_SIZE = 24 };

static void time_print(int64_t time_us, char text[TIME_SIZE])
{
	time_t seconds = (time_t)(time_us / 1000000);
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL ||
	    strftime(text, TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		text[0] = '\0';
}

/* --------------------------------------------------------------- snapshot */

static void info_json(const struct mbj_snapshot_info *info, struct mbj_buf *out)
{
	char time[TIME_SIZE];

	time_print(info->time_us, time);
	mbj_buf_format(out,
		       "\"group\":%" PRIu64 ",\"time\":\"%s\",\"size\":%" PRIu64
		       ",\"accounts\":%" PRIu64 ",\"mailboxes\":%" PRIu64
		       ",\"messages\":%" PRIu64,
		       info->watermark.lsn.v, time, info->size, info->accounts,
		       info->mailboxes, info->messages);
}

static void info_text(const struct mbj_snapshot_info *info, struct mbj_buf *out)
{
	char time[TIME_SIZE];

	time_print(info->time_us, time);
	mbj_buf_format(out,
		       "group %" PRIu64 ", %s, %" PRIu64 " accounts, %" PRIu64
		       " mailboxes, %" PRIu64 " messages, %" PRIu64 " bytes\n",
		       info->watermark.lsn.v, time, info->accounts,
		       info->mailboxes, info->messages, info->size);
}

/* One of the list; *ret_is_good false where it is damaged, which is said. */
static enum mbj_rc list_one(const struct cli_call *call, struct mbj_lsn lsn,
			    bool is_first, bool *ret_is_good,
			    struct mbj_buf *out, struct mbj_error *err)
{
	bool is_json = call->options.is_json;
	struct mbj_snapshot *snapshot = NULL;
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_snapshot_path(path, call->operands[0], lsn, err);
	if (rc == MBJ_OK)
		rc = mbj_snapshot_open(NULL, path, &snapshot, err);
	if (rc == MBJ_OK)
		rc = mbj_snapshot_verify(snapshot, err);
	*ret_is_good = rc == MBJ_OK;
	/* It may have gone while others were read. */
	if (rc == MBJ_ENOTFOUND) {
		*ret_is_good = true;
		return MBJ_OK;
	}
	if (is_json)
		mbj_buf_put_str(out, is_first ? "{" : ",{");
	if (rc == MBJ_OK && is_json)
		info_json(mbj_snapshot_info_get(snapshot), out);
	else if (rc == MBJ_OK)
		info_text(mbj_snapshot_info_get(snapshot), out);
	mbj_snapshot_close(&snapshot);
	if (rc != MBJ_OK && rc != MBJ_ECORRUPT && rc != MBJ_EUNSUPPORTED)
		return rc;
	if (rc < 0) {
		cli_say(call, "%s", err->message);
		if (is_json) {
			mbj_buf_format(out, "\"group\":%" PRIu64 ",\"fault\":",
				       lsn.v);
			mbj_jmap_string_print(mbj_bytes_str(err->message), out);
		}
	}
	if (is_json)
		mbj_buf_put_str(out, "}");
	return MBJ_OK;
}

static int snapshot_list(const struct cli_call *call)
{
	bool is_all_good = true;
	struct mbj_identity identity;
	struct mbj_lsn *lsns = NULL;
	struct mbj_error err;
	struct mbj_buf out;
	size_t count = 0;
	bool is_good;
	enum mbj_rc rc;
	int status;

	rc = mbj_identity_load(mbj_sys_posix(), call->operands[0], &identity,
			       &err);
	if (rc == MBJ_OK)
		rc = mbj_snapshots_list(NULL, call->operands[0], &lsns, &count,
					&err);
	mbj_buf_init(&out, 4 << 20);
	if (call->options.is_json)
		mbj_buf_put_str(&out, "{\"schema\":\"mbj.snapshots/1\","
				      "\"list\":[");
	for (size_t i = 0; rc == MBJ_OK && i < count; i++) {
		rc = list_one(call, lsns[i], i == 0, &is_good, &out, &err);
		is_all_good = is_all_good && is_good;
	}
	mbj_free(lsns);
	if (rc < 0) {
		mbj_buf_done(&out);
		return cli_fail(call, &err);
	}
	if (call->options.is_json)
		mbj_buf_put_str(&out, "]}\n");
	status = cli_write_done(call, &out);
	return status == CLI_OK && !is_all_good ? CLI_CORRUPT : status;
}

static int snapshot_report(const struct cli_call *call,
			   const struct mbj_snapshot_result *result)
{
	struct mbj_buf out;

	if (result->damaged > 0)
		cli_say(call, "%" PRIu64 " older snapshots are damaged: %s",
			result->damaged, result->fault);
	mbj_buf_init(&out, 4096);
	if (call->options.is_json) {
		mbj_buf_put_str(&out, "{\"schema\":\"mbj.snapshot/1\",");
		info_json(&result->info, &out);
		mbj_buf_format(&out,
			       ",\"isNew\":%s,\"removed\":%" PRIu64
			       ",\"damaged\":%" PRIu64 "}\n",
			       result->is_new ? "true" : "false",
			       result->removed, result->damaged);
	} else {
		mbj_buf_put_str(&out, result->is_new ? "" : "had it: ");
		info_text(&result->info, &out);
	}
	return cli_write_done(call, &out);
}

int verb_snapshot(const struct cli_call *call)
{
	struct mbj_snapshot_result result = {0};
	struct mbj_client *client = NULL;
	struct mbj_error err;
	enum mbj_rc rc;

	if (call->options.is_list)
		return snapshot_list(call);
	rc = mbj_client_open(call->operands[0], &client, &err);
	if (rc == MBJ_OK)
		rc = mbj_client_snapshot(client, &result, &err);
	mbj_client_close(&client);
	return rc < 0 ? cli_fail(call, &err) : snapshot_report(call, &result);
}

/* ------------------------------------------------------------------- trim */

static int trim_report(const struct cli_call *call,
		       const struct mbj_trim_result *result)
{
	bool is_dry_run = call->options.is_dry_run;
	struct mbj_buf out;

	mbj_buf_init(&out, 4096);
	if (call->options.is_json)
		mbj_buf_format(&out,
			       "{\"schema\":\"mbj.trim/1\",\"before\":%" PRIu64
			       ",\"first\":%" PRIu64 ",\"end\":%" PRIu64
			       ",\"segments\":%" PRIu64 ",\"size\":%" PRIu64
			       ",\"snapshot\":%" PRIu64
			       ",\"why\":\"%s\",\"dryRun\":%s}\n",
			       result->before.v, result->first.v, result->end.v,
			       result->segments, result->size,
			       result->snapshot.v,
			       mbj_trim_reason_name(result->why),
			       is_dry_run ? "true" : "false");
	else
		mbj_buf_format(&out,
			       "%s %" PRIu64 " segments of %" PRIu64
			       " bytes; the journal begins at group %" PRIu64
			       " and ends at %" PRIu64
			       "; later ones stay: %s\n",
			       is_dry_run ? "would remove" : "removed",
			       result->segments, result->size, result->first.v,
			       result->end.v,
			       mbj_trim_reason_text(result->why));
	return cli_write_done(call, &out);
}

int verb_trim(const struct cli_call *call)
{
	struct mbj_trim_options options = MBJ_TRIM_OPTIONS_INIT;
	struct mbj_trim_result result = {0};
	struct mbj_client *client = NULL;
	struct mbj_error err;
	enum mbj_rc rc;
	int status = keep_options(call, &options);

	if (status != CLI_OK)
		return status;
	rc = mbj_client_open(call->operands[0], &client, &err);
	if (rc == MBJ_OK)
		rc = mbj_client_trim(client, &options, &result, &err);
	mbj_client_close(&client);
	return rc < 0 ? cli_fail(call, &err) : trim_report(call, &result);
}
