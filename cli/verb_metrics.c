/*
 * mbj metrics: for a textfile collector.  It looks, as mbj check does.
 */
#include "metrics.h"

int verb_metrics(const struct cli_call *call)
{
	struct cli_status status;
	struct mbj_error err;
	struct mbj_buf out;

	if (cli_status_look(call->operands[0], call->options.socket, &status,
			    &err) < 0)
		return cli_fail(call, &err);
	mbj_buf_init(&out, METRICS_OUTPUT_MAX);
	metrics_print(&status, call->operands[0], &out);
	cli_status_done(&status);
	return cli_write_done(call, &out);
}
