/*
 * mbj log: the journal's groups, read from segments alone and streamed.
 */
#include <inttypes.h>

#include <mbj/jmap.h>
#include <mbj/store.h>

#include "cli.h"

enum { LOG_OUTPUT_MAX = 1 << 30, LOG_FLUSH_SIZE = 1 << 20 };

/* Write out and empty the buffer once it is large, or always. */
static int flush(const struct cli_call *call, struct mbj_buf *out, bool is_last)
{
	int status;

	if (!is_last && out->n < LOG_FLUSH_SIZE)
		return CLI_OK;
	status = cli_write(call, mbj_buf_view(out));
	mbj_buf_clear(out);
	return status;
}

static int log_stream(const struct cli_call *call,
		      struct mbj_log_reader *reader, struct mbj_buf *out)
{
	bool is_json = call->options.is_json;
	bool is_first = true;
	struct mbj_error err;
	struct mbj_group group;
	enum mbj_rc rc = MBJ_OK;
	uint64_t damaged = 0; /* the first such group */
	int status = CLI_OK;

	if (is_json)
		rc = mbj_jmap_log_begin(out, &err);
	while (rc == MBJ_OK && status == CLI_OK) {
		rc = mbj_log_reader_next(reader, &group, &err);
		if (rc < 0 || (call->options.until &&
			       group.header.lsn.v > call->options.until))
			break;
		rc = is_json ? mbj_jmap_log_group(&group, is_first, out, &err)
			     : cli_group_print(&group, out, &err);
		is_first = false;
		if (!group.is_body_good && damaged == 0)
			damaged = group.header.lsn.v;
		if (rc == MBJ_OK)
			status = flush(call, out, false);
	}
	if (rc == MBJ_ENOTFOUND)
		rc = MBJ_OK;
	/* What precedes damage is shown, as a whole document. */
	if (is_json && mbj_jmap_log_end(out, NULL) < 0 && rc == MBJ_OK)
		rc = mbj_error_nomem(&err);
	if (status == CLI_OK)
		status = flush(call, out, true);
	if (rc == MBJ_OK && damaged > 0)
		rc = mbj_error_set(&err, MBJ_ECORRUPT,
				   "the body of group %" PRIu64 " is damaged",
				   damaged);
	return rc < 0 ? cli_complain(call, &err) : status;
}

/* A replica before its first replay. */
static int log_nothing(const struct cli_call *call)
{
	enum mbj_rc rc = MBJ_OK;
	struct mbj_error err;
	struct mbj_buf out;

	mbj_buf_init(&out, 4096);
	cli_say(call, "%s has not received anything yet", call->operands[0]);
	if (call->options.is_json)
		rc = mbj_jmap_log_begin(&out, &err);
	if (rc == MBJ_OK && call->options.is_json)
		rc = mbj_jmap_log_end(&out, &err);
	if (rc == MBJ_OK)
		return cli_write_done(call, &out);
	mbj_buf_done(&out);
	return cli_fail(call, &err);
}

int verb_log(const struct cli_call *call)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	const char *dir = call->operands[0];
	struct mbj_log_reader *reader = NULL;
	struct mbj_identity identity;
	struct mbj_error err;
	struct mbj_lsn from;
	struct mbj_buf out;
	uint64_t until = call->options.until;
	enum mbj_rc rc;
	int status;

	if (until != 0 && until < call->options.from) {
		cli_say(call,
			"--from %" PRIu64 " is behind --until %" PRIu64
			": no group is both",
			call->options.from, until);
		return CLI_USAGE;
	}
	if (mbj_identity_load(sys, dir, &identity, &err) < 0)
		return cli_fail(call, &err);
	if (mbj_id_is_root(identity.lineage))
		return log_nothing(call);
	from.v = call->options.from ? call->options.from
				    : identity.anchor.first.v;
	rc = mbj_store_log_reader(sys, dir, &reader, &err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_seek(reader, from, &err);
	if (rc == MBJ_OK) {
		mbj_buf_init(&out, LOG_OUTPUT_MAX);
		status = log_stream(call, reader, &out);
		mbj_buf_done(&out);
	} else {
		status = cli_fail(call, &err);
	}
	mbj_log_reader_close(&reader);
	return status;
}
