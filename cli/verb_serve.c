/*
 * mbj serve: own a store for all who use it, until told to stop.
 *
 * Signals become readable at a descriptor, so that the service stops in good
 * order wherever it is.  systemd hands over a socket (LISTEN_FDS) and is told
 * (NOTIFY_SOCKET), without any library of its own.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <mbj/replay.h>
#include <mbj/service.h>

#include "cli.h"

enum { LISTEN_FD = 3 }; /* the first one that systemd hands over */

/* The socket that was handed to this very process, or -1. */
static int listen_fd_find(void)
{
	const char *pid = getenv("LISTEN_PID");
	const char *count = getenv("LISTEN_FDS");

	if (pid == NULL || count == NULL || strcmp(count, "1") != 0 ||
	    strtol(pid, NULL, 10) != (long)getpid())
		return -1;
	return LISTEN_FD;
}

/* Each connection takes some: all that we may have. */
static void descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	/* Where it is refused, the service takes fewer connections. */
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static bool number_take(const struct cli_call *call, const char *word,
			uint64_t number, uint32_t *ret_number)
{
	if (number == 0)
		return true;
	if (number > INT_MAX) {
		cli_say(call, "--%s is too large", word);
		return false;
	}
	*ret_number = (uint32_t)number;
	return true;
}

int verb_serve(const struct cli_call *call)
{
	struct mbj_service_options options = MBJ_SERVICE_OPTIONS_INIT;
	struct mbj_store_options usual = MBJ_STORE_OPTIONS_INIT;
	struct mbj_store *store = NULL;
	struct mbj_error err;
	int status = CLI_OK;
	enum mbj_rc rc;

	options.socket = call->options.socket;
	options.group = call->options.group;
	options.listen_fd = listen_fd_find();
	options.notify = getenv("NOTIFY_SOCKET");
	if (!number_take(call, "connections", call->options.connections,
			 &options.connections_max) ||
	    !number_take(call, "timeout", call->options.timeout,
			 &options.timeout_ms))
		return CLI_USAGE;
	options.stop_fd = cli_stop_open(call);
	if (options.stop_fd < 0)
		return CLI_FAILED;
	if (call->options.keep_free != 0)
		usual.space_min = call->options.keep_free;
	descriptors_raise();
	rc = mbj_replica_open(call->operands[0], &usual, &store, &err);
	if (rc == MBJ_OK)
		rc = mbj_service_run(store, &options, &err);
	mbj_store_close(&store);
	if (rc < 0)
		status = cli_fail(call, &err);
	(void)close(options.stop_fd);
	return status;
}
