/*
 * mbj check: is a store well?  One line and an exit status as monitoring
 * plugins give them (0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN), for whoever
 * wakes people.
 *
 * It looks, and never opens a store that nobody serves: that would be work for
 * whoever begins the service, done by whoever watches.
 */
#include "verdict.h"

enum { CHECK_OUTPUT_MAX = 128 << 10 };

static int check_end(const struct cli_call *call, const struct verdict *v,
		     const struct cli_status *status)
{
	struct mbj_buf out;

	mbj_buf_init(&out, CHECK_OUTPUT_MAX);
	verdict_line(v, status, &out);
	if (cli_write_done(call, &out) != CLI_OK)
		return VERDICT_UNKNOWN;
	return (int)v->level;
}

int verb_check(const struct cli_call *call)
{
	struct verdict verdict;
	struct cli_status status;
	struct mbj_error err;
	int level;

	verdict_init(&verdict, &call->options);
	if (cli_status_look(call->operands[0], call->options.socket, &status,
			    &err) < 0) {
		verdict_look_fail(&verdict, call->operands[0], &err);
		level = check_end(call, &verdict, NULL);
	} else {
		verdict_judge(&verdict, &status);
		level = check_end(call, &verdict, &status);
		cli_status_done(&status);
	}
	verdict_done(&verdict);
	return level;
}
