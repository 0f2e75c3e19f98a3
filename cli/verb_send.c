/*
 * mbj send: serve one replica through standard input and output, or all that
 * connect.
 */
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mbj/service.h>
#include <mbj/stream.h>

#include "listener.h"
#include "number.h"
#include "tls.h"

/* A replica that applies a batch, or waits for its disk, says nothing. */
enum { TIMEOUT_MS = 300000 };
/* Whoever connects proves who it is at once. */
enum { MEET_MS = 10000 };
/* Of an address of IPv6, with a zone behind it. */
enum { SSH_HOST_MAX = 64 };

/* -------------------------------------------------------------------- all */

static int listen_run(const struct cli_call *call)
{
	const char *notify = getenv("NOTIFY_SOCKET");
	uint64_t max = call->options.connections;
	struct mbj_identity identity;
	struct mbj_error err;
	struct listener l;
	int stop_fd;
	int status;

	if (!number_check(call, "connections", max, LISTENER_SENDERS_MAX))
		return CLI_USAGE;
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

/* ------------------------------------------------------------- one replica */

/*
 * Where one that comes through ssh says that it is: two words of what sshd has
 * put there, an address and a port.
 */
static void ssh_peer_print(char text[MBJ_ENDPOINT_PEER_SIZE])
{
	const char *said = getenv("SSH_CONNECTION");
	const char *port;
	size_t n;

	text[0] = '\0';
	if (said == NULL)
		return;
	n = strcspn(said, " ");
	port = said[n] != '\0' ? said + n + 1 : "";
	if (n > 0 && n <= SSH_HOST_MAX)
		(void)snprintf(text, MBJ_ENDPOINT_PEER_SIZE, "%.*s port %.*s",
			       (int)n, said, (int)strcspn(port, " "), port);
}

/* In words that say where it came from. */
static int replica_complain(const struct cli_call *call, const char *where,
			    struct mbj_error *err)
{
	(void)mbj_error_prefix(err, err->rc, "replica at %s", where);
	return cli_complain(call, err);
}

/*
 * Both have met: serve it, or tell it in the stream why not, which says more
 * than TLS can; late: we are not whom we say any more, or MBJ_OK.
 */
static int session_serve(const struct cli_call *call,
			 struct tls_session *session, const char *where,
			 const struct mbj_error *late,
			 const struct mbj_stream_options *usual)
{
	struct mbj_stream_options options = *usual;
	struct mbj_stream_channel channel = tls_channel(session);
	struct tls_name peer = {.name = ""};
	struct mbj_stream_pin pin = {.name = peer.name};
	struct mbj_error refusal = {.rc = MBJ_OK};
	struct mbj_error err;
	enum mbj_rc rc = tls_peer(session, &peer, &refusal);

	if (rc == MBJ_OK && late->rc < 0) {
		refusal = *late;
		rc = late->rc;
	}
	if (rc == MBJ_OK && call->options.door_fd != 0)
		rc = senders_ask((int)call->options.door_fd, &refusal);
	pin.lineage = peer.lineage;
	options.address = where;
	options.channel = &channel;
	options.pin = &pin;
	options.refusal = rc < 0 ? &refusal : NULL;
	rc = mbj_stream_send(call->operands[0], &options, &err);
	/* The listener has said that there was no place. */
	if (rc < 0 && refusal.rc != MBJ_EBUSY)
		return replica_complain(call, where, &err);
	return rc < 0 ? cli_exit_status(&err) : CLI_OK;
}

static int tls_serve(const struct cli_call *call,
		     const struct mbj_stream_options *options)
{
	struct tls_session *session = NULL;
	char where[MBJ_ENDPOINT_PEER_SIZE];
	struct tls *tls = NULL;
	int64_t wait_ms = MEET_MS;
	struct mbj_error late = {.rc = MBJ_OK};
	struct mbj_error err;
	int status = CLI_OK;

	if (options->timeout_ms < wait_ms)
		wait_ms = options->timeout_ms;
	mbj_endpoint_peer_print(STDIN_FILENO, where);
	if (tls_open_late(call->options.tls_dir, TLS_SOURCE, &tls, &err) < 0)
		return cli_complain(call, &err);
	/* The replica is to know that, too: it sees it, or is told. */
	if (tls_own_check(tls, &late) < 0)
		status = cli_complain(call, &late);
	if (tls_meet(tls, STDIN_FILENO, options->stop_fd, wait_ms, &session,
		     &err) == MBJ_OK)
		status = session_serve(call, session, where, &late, options);
	/* Whether somebody listens is often looked for. */
	else if (err.rc != MBJ_ENOTFOUND && err.rc != MBJ_EBUSY)
		status = replica_complain(call, where, &err);
	tls_part(&session);
	tls_close(&tls);
	return status;
}

static int plain_serve(const struct cli_call *call,
		       const struct mbj_stream_options *usual)
{
	struct mbj_stream_options options = *usual;
	char where[MBJ_ENDPOINT_PEER_SIZE] = "";
	struct mbj_error err;

	/* A listener's are of this host, and its own ssh is nobody's. */
	if (call->options.stop_fd == 0)
		ssh_peer_print(where);
	options.address = where[0] != '\0' ? where : NULL;
	/* Standard output is the replica's: it says things on the other. */
	if (mbj_stream_send(call->operands[0], &options, &err) < 0)
		return cli_complain(call, &err);
	return CLI_OK;
}

static bool numbers_check(const struct cli_call *call)
{
	const struct cli_options *options = &call->options;

	return number_check(call, "timeout", options->timeout, INT_MAX) &&
	       number_check(call, "stop-fd", options->stop_fd, INT_MAX) &&
	       number_check(call, "door-fd", options->door_fd, INT_MAX);
}

int verb_send(const struct cli_call *call)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	int status;

	if (!numbers_check(call) || !number_rate_read(call, &options.rate) ||
	    !number_level_max_read(call, &options.level_max))
		return CLI_USAGE;
	if (call->options.listen != NULL)
		return listen_run(call);
	if (isatty(STDIN_FILENO) || isatty(STDOUT_FILENO)) {
		cli_say(call, "a replica is served here, not a terminal: see "
			      "mbj help follow");
		return CLI_USAGE;
	}
	options.timeout_ms = TIMEOUT_MS;
	options.service = call->options.socket;
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
	status = call->options.tls_dir != NULL ? tls_serve(call, &options)
					       : plain_serve(call, &options);
	(void)close(options.stop_fd);
	return status;
}
