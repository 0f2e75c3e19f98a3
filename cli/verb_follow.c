/*
 * mbj follow: keep a replica where a source on another host is.
 *
 * Connections are made by a command and end when they will; the library says
 * of each failure whether another one may mend it.
 */
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <mbj/service.h>
#include <mbj/stream.h>

#include "carrier.h"
#include "cli.h"

enum {
	TIMEOUT_MS = 60000,
	/* Between connections: doubled each time, to a limit, less a part by
	 * chance, so that many replicas do not come back all at once. */
	BACKOFF_MIN_MS = 250,
	BACKOFF_MAX_MS = 30000,
};

struct follow {
	const struct cli_call *call;
	struct mbj_store *store;
	char *command; /* ours, as posix_spawn(3) wants it */
	struct mbj_stream_options options;
	struct mbj_replay_result total;
	struct mbj_error err; /* of the connection that ended it */
	int64_t backoff_ms;
	bool is_over;
};

/* Counts go on from connection to connection, the rest is as it is now. */
static void total_add(struct follow *f, const struct mbj_stream_result *result)
{
	uint64_t groups = f->total.groups + result->replay.groups;
	uint64_t parked = f->total.groups_parked + result->replay.groups_parked;

	if (!result->is_met)
		return;
	f->total = result->replay;
	f->total.groups = groups;
	f->total.groups_parked = parked;
}

/* One connection, from its command to its end. */
static enum mbj_rc connection_run(struct follow *f)
{
	struct mbj_stream_result result = {.is_lost = false};
	int64_t began = mbj_monotonic_ms();
	struct carrier carrier;
	enum mbj_rc rc;

	f->is_over = f->options.is_once;
	rc = carrier_begin(f->command, &carrier, &f->err);
	if (rc < 0)
		return rc;
	f->options.in_fd = carrier.in;
	f->options.out_fd = carrier.out;
	rc = mbj_stream_follow(f->store, &f->options, &result, &f->err);
	carrier_end(&carrier);
	total_add(f, &result);
	f->is_over = f->options.is_once || result.is_stopped ||
		     (rc < 0 && !result.is_lost);
	/* One that brings nothing, and ends at once, may do so for ever. */
	if (result.is_met && (result.replay.groups > 0 ||
			      mbj_monotonic_ms() - began > f->backoff_ms))
		f->backoff_ms = BACKOFF_MIN_MS;
	return rc;
}

/* True: told to stop meanwhile. */
static bool backoff_wait(struct follow *f)
{
	struct pollfd fd = {.fd = f->options.stop_fd, .events = POLLIN};
	int64_t ms = f->backoff_ms;
	uint32_t chance = 0;

	if (mbj_sys_posix()->random(NULL, &chance, sizeof(chance)) == 0)
		ms -= (int64_t)(chance % (uint64_t)(ms / 2 + 1));
	f->backoff_ms = f->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS
							   : f->backoff_ms * 2;
	return poll(&fd, 1, (int)ms) > 0;
}

static int follow_run(struct follow *f)
{
	const char *notify = getenv("NOTIFY_SOCKET");
	enum mbj_rc rc;

	mbj_service_notify(notify, "READY=1");
	for (;;) {
		rc = connection_run(f);
		if (rc == MBJ_OK || f->is_over)
			break;
		cli_say(f->call,
			"the connection ended, another one is made: "
			"%s",
			f->err.message);
		if (backoff_wait(f)) {
			rc = MBJ_OK;
			break;
		}
	}
	mbj_service_notify(notify, "STOPPING=1");
	return rc < 0 ? cli_fail(f->call, &f->err)
		      : cli_replay_report(f->call, &f->total);
}

int verb_follow(const struct cli_call *call)
{
	struct follow f = {.call = call,
			   .options = MBJ_STREAM_OPTIONS_INIT,
			   .backoff_ms = BACKOFF_MIN_MS};
	uint64_t timeout = call->options.timeout;
	int status;

	if (call->options.exec == NULL) {
		cli_say(call, "--exec says how to connect: --exec 'ssh HOST "
			      "mbj send STORE'");
		return CLI_USAGE;
	}
	if (timeout > INT_MAX) {
		cli_say(call, "--timeout is too large");
		return CLI_USAGE;
	}
	f.options.timeout_ms = timeout != 0 ? (uint32_t)timeout : TIMEOUT_MS;
	f.options.is_once = call->options.is_once;
	f.options.stop_fd = cli_stop_open(call);
	if (f.options.stop_fd < 0)
		return CLI_FAILED;
	f.command = mbj_alloc(strlen(call->options.exec) + 1);
	if (f.command == NULL) {
		cli_say(call, "out of memory");
		(void)close(f.options.stop_fd);
		return CLI_TEMPORARY;
	}
	memcpy(f.command, call->options.exec, strlen(call->options.exec) + 1);
	(void)signal(SIGPIPE, SIG_IGN);
	if (mbj_replica_open(call->operands[0], NULL, &f.store, &f.err) < 0)
		status = cli_fail(call, &f.err);
	else
		status = follow_run(&f);
	mbj_store_close(&f.store);
	mbj_free(f.command);
	(void)close(f.options.stop_fd);
	return status;
}
