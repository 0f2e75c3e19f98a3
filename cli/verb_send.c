/*
 * mbj send: serve one replica through standard input and output.
 */
#include <limits.h>
#include <signal.h>
#include <unistd.h>

#include <mbj/stream.h>

#include "cli.h"

/* A replica that applies a batch, or waits for its disk, says nothing. */
enum { TIMEOUT_MS = 300000 };

int verb_send(const struct cli_call *call)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct mbj_error err;
	int status = CLI_OK;

	if (isatty(STDIN_FILENO) || isatty(STDOUT_FILENO)) {
		cli_say(call, "a replica is served here, not a terminal: see "
			      "mbj help follow");
		return CLI_USAGE;
	}
	options.timeout_ms = TIMEOUT_MS;
	options.is_registering = !call->options.is_unregistered;
	if (call->options.timeout != 0) {
		if (call->options.timeout > INT_MAX) {
			cli_say(call, "--timeout is too large");
			return CLI_USAGE;
		}
		options.timeout_ms = (uint32_t)call->options.timeout;
	}
	options.stop_fd = cli_stop_open(call);
	if (options.stop_fd < 0)
		return CLI_FAILED;
	(void)signal(SIGPIPE, SIG_IGN);
	/* Standard output is the replica's: it says things on the other. */
	if (mbj_stream_send(call->operands[0], &options, &err) < 0)
		status = cli_complain(call, &err);
	(void)close(options.stop_fd);
	return status;
}
