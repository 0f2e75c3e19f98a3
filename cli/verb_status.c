/*
 * mbj status: who a store is and where it stands.  While another process owns
 * the store, what its superblock and segments say; else, and where that process
 * is a service, the state too.
 */
#include "status.h"
#include "watch.h"

/* What a look once does not judge by. */
static bool watch_options_are_idle(const struct cli_call *call)
{
	const struct cli_options *options = &call->options;
	const char *word = options->every != 0	    ? "every"
			   : options->warning != 0  ? "warning"
			   : options->critical != 0 ? "critical"
						    : NULL;

	if (word == NULL || options->is_watching)
		return false;
	cli_say(call, "--%s is for --watch%s", word,
		options->every != 0 ? "" : "; mbj check judges once");
	return true;
}

int verb_status(const struct cli_call *call)
{
	struct cli_status status;
	struct mbj_error err;
	struct mbj_buf out;
	int written;

	if (watch_options_are_idle(call))
		return CLI_USAGE;
	if (call->options.is_watching)
		return cli_watch(call);
	if (cli_status_load(call->operands[0], call->options.socket, &status,
			    &err) < 0)
		return cli_fail(call, &err);
	mbj_buf_init(&out, STATUS_OUTPUT_MAX);
	if (call->options.is_json)
		cli_status_json(&status, &out);
	else
		cli_status_text(&status, &out);
	written = cli_write_done(call, &out);
	if (written == CLI_OK && status.store.parked_count > 0)
		written = CLI_PARTIAL;
	cli_status_done(&status);
	return written;
}
