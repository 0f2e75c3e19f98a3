/*
 * Listening for replicas; see listener.h.
 */
#define _GNU_SOURCE /* pipe2(2) */
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mbj/stream.h>

#include "process.h"
#include "tls.h"

enum {
	REAP_MS = 1000, /* senders that ended are looked for */
	PAUSE_MS = 200, /* no taking of connections that cannot be served */
	LEASH_FD = 3,	/* a sender's */
	DOOR_FD = 4,	/* likewise */
};

/*
 * What is to be said to replicas by TLS is here, and is of this store.  That it
 * is out of its time is said, and to replicas, too; but nobody else whom a
 * service serves is to go without for it.
 */
static int certificate_check(const struct cli_call *call)
{
	const char *dir = call->options.tls_dir;
	struct mbj_identity identity;
	struct mbj_error err;
	struct tls *tls = NULL;
	enum mbj_rc rc;

	if (dir == NULL) {
		cli_say(call, "tls:HOST:PORT needs --tls-dir");
		return CLI_USAGE;
	}
	rc = mbj_identity_load(mbj_sys_posix(), call->operands[0], &identity,
			       &err);
	if (rc == MBJ_OK)
		rc = tls_open_late(dir, TLS_SOURCE, &tls, &err);
	if (rc == MBJ_OK)
		rc = tls_own_check(tls, &err);
	if (rc < 0 && tls != NULL && call->verb->id == CLI_VERB_SERVE) {
		(void)cli_complain(call, &err);
		rc = MBJ_OK;
	}
	if (rc == MBJ_OK && !mbj_id_is_root(identity.lineage) &&
	    !mbj_id_equal(identity.lineage, tls_own(tls)->lineage))
		rc = mbj_error_set(&err, MBJ_EFENCED,
				   "the certificate in %s is for another store "
				   "than %s",
				   dir, call->operands[0]);
	tls_close(&tls);
	return rc < 0 ? cli_fail(call, &err) : CLI_OK;
}

int listener_begin(struct listener *l, const struct cli_call *call,
		   const char *address, size_t max, int stop_fd)
{
	struct mbj_endpoint endpoint;
	struct mbj_error err;
	int status = CLI_OK;

	*l = (struct listener){.call = call,
			       .socket = MBJ_LISTENER_CLOSED,
			       .stop_fd = stop_fd,
			       .leash = {-1, -1}};
	if (mbj_endpoint_parse(address, &endpoint, &err) < 0) {
		cli_say(call, "%s", err.message);
		return CLI_USAGE;
	}
	if (endpoint.kind == MBJ_ENDPOINT_TLS)
		status = certificate_check(call);
	if (status != CLI_OK)
		return status;
	if (senders_init(&l->senders, max, &err) < 0)
		return cli_fail(call, &err);
	if (pipe2(l->leash, O_CLOEXEC) != 0) {
		cli_say(call, "cannot make a pipe: %s", strerror(errno));
		return CLI_FAILED;
	}
	if (mbj_listener_open(&endpoint, call->options.group, &l->socket,
			      &err) < 0)
		return cli_fail(call, &err);
	return CLI_OK;
}

void listener_done(struct listener *l)
{
	mbj_listener_close(&l->socket);
	for (int i = 0; i < 2; i++)
		if (l->leash[i] > 0)
			(void)close(l->leash[i]);
	senders_done(&l->senders);
	*l = (struct listener){.socket = MBJ_LISTENER_CLOSED};
}

static bool is_tls(const struct listener *l)
{
	return l->socket.endpoint.kind == MBJ_ENDPOINT_TLS;
}

/*
 * The same program, whatever is at its path by now; door is its end, or -1.
 * 0, or an errno.
 */
static int sender_begin(const struct listener *l, int fd, int door,
			pid_t *ret_process)
{
	const struct cli_options *options = &l->call->options;
	const struct process_fd fds[] = {{fd, 0},
					 {fd, 1},
					 {l->leash[0], LEASH_FD},
					 {door, DOOR_FD}};
	const char *arguments[20] = {"mbj", "send", "--stop-fd", "3"};
	char timeout[32];
	size_t n = 4;

	if (door >= 0) {
		arguments[n++] = "--door-fd";
		arguments[n++] = "4";
		arguments[n++] = "--tls-dir";
		arguments[n++] = options->tls_dir;
	}
	if (l->call->verb->id == CLI_VERB_SEND && options->timeout != 0) {
		(void)snprintf(timeout, sizeof(timeout), "--timeout=%llu",
			       (unsigned long long)options->timeout);
		arguments[n++] = timeout;
	}
	if (options->rate != NULL) {
		arguments[n++] = "--rate";
		arguments[n++] = options->rate;
	}
	if (options->compress_max != NULL) {
		arguments[n++] = "--compress-max";
		arguments[n++] = options->compress_max;
	}
	if (options->socket != NULL) {
		arguments[n++] = "--socket";
		arguments[n++] = options->socket;
	}
	if (options->is_unregistered)
		arguments[n++] = "--unregistered";
	arguments[n++] = "--";
	arguments[n++] = l->call->operands[0];
	return process_begin("/proc/self/exe", arguments, fds,
			     door >= 0 ? 4 : 3, ret_process);
}

static void begin_fail(const struct listener *l, int errnum)
{
	cli_say(l->call, "cannot begin to serve a replica: %s",
		strerror(errnum));
}

/* Anybody's: its process finds out whose. */
static void stranger_take(struct listener *l, int fd)
{
	int door[2] = {-1, -1};
	pid_t process = -1;
	int errnum = 0;

	if (!senders_make_room(&l->senders)) {
		l->is_crowded = false;
	} else if (!l->is_crowded) {
		l->is_crowded = true;
		cli_say(l->call,
			"%d connections at once prove nothing: the oldest of "
			"them are sent away",
			SENDERS_STRANGERS_MAX);
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, door) != 0)
		errnum = errno;
	if (errnum == 0)
		errnum = sender_begin(l, fd, door[1], &process);
	if (door[1] >= 0)
		(void)close(door[1]);
	if (errnum == 0) {
		senders_add(&l->senders, process, door[0]);
		return;
	}
	if (door[0] >= 0)
		(void)close(door[0]);
	begin_fail(l, errnum);
}

/* Once, until there is a place: who comes decides how often that is. */
static void full_say(struct listener *l)
{
	if (l->is_full)
		return;
	l->is_full = true;
	cli_say(l->call,
		"a replica was turned away: the source serves %zu replicas, as "
		"many as it takes",
		l->senders.max);
}

/* Of somebody who may connect. */
static void replica_take(struct listener *l, int fd)
{
	struct mbj_error why;
	pid_t process = -1;
	int errnum;

	if (senders_count(&l->senders, false) == l->senders.max) {
		(void)mbj_error_set(&why, MBJ_EBUSY,
				    "the source serves %zu replicas, as many "
				    "as it takes: try again",
				    l->senders.max);
		full_say(l);
		mbj_stream_refuse(fd, &why);
		return;
	}
	errnum = sender_begin(l, fd, -1, &process);
	if (errnum == 0)
		senders_add(&l->senders, process, -1);
	else
		begin_fail(l, errnum);
}

/*
 * The next one that waits; false: none can be taken for now.  No more in a
 * turn: those that have proven who they are go before, and so does a stop.
 */
static bool connection_take(struct listener *l)
{
	struct mbj_error err;
	enum mbj_rc rc;
	int fd = -1;

	rc = mbj_listener_accept(&l->socket, &fd, &err);
	if (rc == MBJ_ENOTFOUND)
		return true;
	if (rc < 0) {
		cli_say(l->call, "%s", err.message);
		return rc == MBJ_EFENCED;
	}
	senders_reap(&l->senders);
	if (is_tls(l))
		stranger_take(l, fd);
	else
		replica_take(l, fd);
	(void)close(fd);
	return true;
}

void listener_run(struct listener *l)
{
	struct pollfd fds[2 + SENDERS_STRANGERS_MAX] = {{.fd = l->stop_fd,
							 .events = POLLIN},
							{.fd = l->socket.fd,
							 .events = POLLIN}};

	for (;;) {
		size_t doors = senders_doors(&l->senders, fds + 2);
		int wait = l->senders.count > 0 ? REAP_MS : -1;
		int n = poll(fds, 2 + doors, wait);

		if (n < 0 && errno != EINTR)
			break;
		if (n > 0 && fds[0].revents != 0)
			break;
		senders_reap(&l->senders);
		if (senders_count(&l->senders, false) < l->senders.max)
			l->is_full = false;
		if (senders_answer(&l->senders) > 0)
			full_say(l);
		if (n > 0 && fds[1].revents != 0 && !connection_take(l))
			(void)poll(fds, 1, PAUSE_MS);
	}
	mbj_listener_close(&l->socket);
	(void)close(l->leash[1]);
	l->leash[1] = -1;
	senders_end(&l->senders);
}
