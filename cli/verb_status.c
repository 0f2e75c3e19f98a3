/*
 * mbj status: who a store is and where it stands.  While another process owns
 * the store, what its superblock and segments say; else, and where that process
 * is a service, the state too.
 */
#include "status.h"
#include "watch.h"

int verb_status(const struct cli_call *call)
{
	struct cli_status status;
	struct mbj_error err;
	struct mbj_buf out;
	int written;

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
