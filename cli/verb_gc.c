/*
 * mbj gc: remove what no message has any more.
 */
#include <inttypes.h>

#include <mbj/open.h>

#include "cli.h"

static int gc_report(const struct cli_call *call,
		     const struct mbj_collect_result *result)
{
	bool is_dry_run = call->options.is_dry_run;
	struct mbj_buf out;

	mbj_buf_init(&out, 4096);
	if (call->options.is_json)
		mbj_buf_format(&out,
			       "{\"schema\":\"mbj.gc/1\",\"removed\":%" PRIu64
			       ",\"size\":%" PRIu64 ",\"kept\":%" PRIu64
			       ",\"recent\":%" PRIu64 ",\"dryRun\":%s}\n",
			       result->removed, result->size, result->kept,
			       result->recent, is_dry_run ? "true" : "false");
	else
		mbj_buf_format(&out,
			       "%s %" PRIu64 " contents of %" PRIu64
			       " bytes; %" PRIu64 " stay\n",
			       is_dry_run ? "would remove" : "removed",
			       result->removed, result->size, result->kept);
	if (result->recent > 0 && !call->options.is_json)
		mbj_buf_format(&out,
			       "%" PRIu64
			       " that no message has were stored or found a "
			       "moment ago, and stay, too\n",
			       result->recent);
	return cli_write_done(call, &out);
}

int verb_gc(const struct cli_call *call)
{
	struct mbj_collect_result result = {0};
	struct mbj_client *client = NULL;
	struct mbj_error err;
	enum mbj_rc rc;

	rc = mbj_client_open(call->operands[0], &client, &err);
	if (rc == MBJ_OK)
		rc = mbj_client_collect(client, call->options.is_dry_run,
					&result, &err);
	mbj_client_close(&client);
	return rc < 0 ? cli_fail(call, &err) : gc_report(call, &result);
}
