/*
 * Listening for replicas; see listener.h.
 */
#define _GNU_SOURCE /* pipe2(2) */
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <mbj/stream.h>

#include "process.h"

enum {
	REAP_MS = 1000, /* senders that ended are looked for */
	PAUSE_MS = 200, /* no taking of connections that cannot be served */
	LEASH_FD = 3,	/* a sender's */
};

int listener_begin(struct listener *l, const struct cli_call *call,
		   const char *address, size_t max, int stop_fd)
{
	struct mbj_endpoint endpoint;
	struct mbj_error err;

	*l = (struct listener){.call = call,
			       .socket = MBJ_LISTENER_CLOSED,
			       .stop_fd = stop_fd,
			       .leash = {-1, -1},
			       .max = max};
	if (mbj_endpoint_parse(address, &endpoint, &err) < 0) {
		cli_say(call, "%s", err.message);
		return CLI_USAGE;
	}
	l->senders = mbj_calloc(max, sizeof(*l->senders));
	if (l->senders == NULL) {
		cli_say(call, "out of memory");
		return CLI_TEMPORARY;
	}
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
	mbj_free(l->senders);
	*l = (struct listener){.socket = MBJ_LISTENER_CLOSED};
}

static void senders_reap(struct listener *l)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->count; i++)
		if (!process_is_gone(l->senders[i]))
			l->senders[kept++] = l->senders[i];
	l->count = kept;
}

/* The same program, whatever is at its path by now. */
static int sender_begin(struct listener *l, int fd)
{
	const struct cli_options *options = &l->call->options;
	const struct process_fd fds[] = {{fd, 0},
					 {fd, 1},
					 {l->leash[0], LEASH_FD}};
	const char *arguments[10] = {"mbj", "send", "--stop-fd", "3"};
	char timeout[32];
	size_t n = 4;

	if (l->call->verb->id == CLI_VERB_SEND && options->timeout != 0) {
		(void)snprintf(timeout, sizeof(timeout), "--timeout=%llu",
			       (unsigned long long)options->timeout);
		arguments[n++] = timeout;
	}
	if (options->is_unregistered)
		arguments[n++] = "--unregistered";
	arguments[n++] = "--";
	arguments[n++] = l->call->operands[0];
	return process_begin("/proc/self/exe", arguments, fds, 3,
			     &l->senders[l->count]);
}

static void connection_take(struct listener *l, int fd)
{
	struct mbj_error why;
	int errnum;

	senders_reap(l);
	if (l->count == l->max) {
		(void)mbj_error_set(&why, MBJ_EBUSY,
				    "the source serves %zu replicas, as many "
				    "as it takes: try again",
				    l->max);
		cli_say(l->call, "a replica was turned away: %s", why.message);
		mbj_stream_refuse(fd, &why);
		return;
	}
	errnum = sender_begin(l, fd);
	if (errnum == 0)
		l->count++;
	else
		cli_say(l->call, "cannot begin to serve a replica: %s",
			strerror(errnum));
}

/* All that wait; false: none can be taken for now. */
static bool connections_take(struct listener *l)
{
	struct mbj_error err;
	enum mbj_rc rc;
	int fd = -1;

	for (;;) {
		rc = mbj_listener_accept(&l->socket, &fd, &err);
		if (rc == MBJ_ENOTFOUND)
			return true;
		if (rc == MBJ_OK) {
			connection_take(l, fd);
			(void)close(fd);
			continue;
		}
		cli_say(l->call, "%s", err.message);
		if (rc != MBJ_EFENCED)
			return false;
	}
}

void listener_run(struct listener *l)
{
	struct pollfd fds[2] = {{.fd = l->stop_fd, .events = POLLIN},
				{.fd = l->socket.fd, .events = POLLIN}};

	for (;;) {
		int wait = l->count > 0 ? REAP_MS : -1;
		int n = poll(fds, 2, wait);

		if (n < 0 && errno != EINTR)
			break;
		if (n > 0 && fds[0].revents != 0)
			break;
		senders_reap(l);
		if (n > 0 && fds[1].revents != 0 && !connections_take(l))
			(void)poll(fds, 1, PAUSE_MS);
	}
	mbj_listener_close(&l->socket);
	(void)close(l->leash[1]);
	l->leash[1] = -1;
	for (size_t i = 0; i < l->count; i++)
		process_end(l->senders[i]);
	l->count = 0;
}
