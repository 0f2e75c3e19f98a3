/*
 * mbj send: serve one replica through standard input and output, or all that
 * connect.
 */
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <mbj/service.h>
#include <mbj/stream.h>

#include "listener.h"

/* A replica that applies a batch, or waits for its disk, says nothing. */
enum { TIMEOUT_MS = 300000 };

static int listen_run(const struct cli_call *call)
{
	const char *notify = getenv("NOTIFY_SOCKET");
	uint64_t max = call->options.connections;
	struct mbj_identity identity;
	struct mbj_error err;
	struct listener l;
	int stop_fd;
	int status;

	if (max > LISTENER_SENDERS_MAX) {
		cli_say(call, "--connections is too large");
		return CLI_USAGE;
	}
	if (mbj_identity_load(mbj_sys_posix(), call->operands[0], &identity,
			      &err) < 0)
		return cli_fail(call, &err);
	stop_fd = cli_stop_open(call);
	if (stop_fd < 0)
		return CLI_FAILED;
	status = listener_begin(&l, call, call->options.listen,
				max != 0 ? (size_t)max : LISTENER_SENDERS_USUAL,
				stop_fd);
	if (status == CLI_OK) {
		mbj_service_notify(notify, "READY=1");
		listener_run(&l);
		mbj_service_notify(notify, "STOPPING=1");
	}
	listener_done(&l);
	(void)close(stop_fd);
	return status;
}

int verb_send(const struct cli_call *call)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct mbj_error err;
	int status = CLI_OK;

	if (call->options.timeout > INT_MAX ||
	    call->options.stop_fd > INT_MAX) {
		cli_say(call, "--%s is too large",
			call->options.stop_fd > INT_MAX ? "stop-fd"
							: "timeout");
		return CLI_USAGE;
	}
	if (call->options.listen != NULL)
		return listen_run(call);
	if (isatty(STDIN_FILENO) || isatty(STDOUT_FILENO)) {
		cli_say(call, "a replica is served here, not a terminal: see "
			      "mbj help follow");
		return CLI_USAGE;
	}
	options.timeout_ms = TIMEOUT_MS;
	options.is_registering = !call->options.is_unregistered;
	if (call->options.timeout != 0)
		options.timeout_ms = (uint32_t)call->options.timeout;
	options.stop_fd =
		call->options.stop_fd == 0
			? cli_stop_open(call)
			: cli_stop_open_with(call, (int)call->options.stop_fd);
	if (options.stop_fd < 0)
		return CLI_FAILED;
	(void)signal(SIGPIPE, SIG_IGN);
	/* Standard output is the replica's: it says things on the other. */
	if (mbj_stream_send(call->operands[0], &options, &err) < 0)
		status = cli_complain(call, &err);
	(void)close(options.stop_fd);
	return status;
}
