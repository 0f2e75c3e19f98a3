/*
 * Making and ending a connection; see carrier.h.
 */
#define _GNU_SOURCE /* pipe2(2) */
#include "carrier.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "process.h"

/* For a connection, and for who the other side is, before it is tried again. */
enum { CONNECT_MS = 10000, MEET_MS = 10000 };

/* Ends that no other program inherits: [0] is read, [1] written. */
static int pipe_open(int ends[2])
{
	return pipe2(ends, O_CLOEXEC);
}

static void pipe_close(const int ends[2])
{
	for (int i = 0; i < 2; i++)
		if (ends[i] >= 0)
			(void)close(ends[i]);
}

static int shell_begin(const char *command, const int up[2], const int down[2],
		       pid_t *ret_process)
{
	const char *const arguments[] = {"sh", "-c", command, NULL};
	const struct process_fd fds[] = {{up[0], 0}, {down[1], 1}};

	return process_begin("/bin/sh", arguments, fds, 2, ret_process);
}

enum mbj_rc carrier_begin(const char *command, struct carrier *ret_carrier,
			  struct mbj_error *err)
{
	int up[2] = {-1, -1};
	int down[2] = {-1, -1};
	int errnum = 0;

	if (pipe_open(up) != 0 || pipe_open(down) != 0)
		errnum = errno;
	if (errnum == 0)
		errnum = shell_begin(command, up, down, &ret_carrier->process);
	if (errnum != 0) {
		pipe_close(up);
		pipe_close(down);
		return mbj_error_errno(err, errnum, "cannot run", command);
	}
	(void)close(up[0]);
	(void)close(down[1]);
	ret_carrier->in = down[0];
	ret_carrier->out = up[1];
	ret_carrier->tls = NULL;
	ret_carrier->session = NULL;
	return MBJ_OK;
}

/* The source proves that it is one of our store, and we prove who we are. */
static enum mbj_rc source_meet(struct carrier *carrier, const char *tls_dir,
			       int stop_fd, struct mbj_error *err)
{
	/* Each time anew: certificates are renewed while we run. */
	enum mbj_rc rc = tls_open(tls_dir, TLS_REPLICA, &carrier->tls, err);

	if (rc == MBJ_OK)
		rc = tls_meet(carrier->tls, carrier->in, stop_fd, MEET_MS,
			      &carrier->session, err);
	if (rc == MBJ_OK)
		rc = tls_peer(carrier->session, &carrier->peer, err);
	return rc;
}

enum mbj_rc carrier_connect(const struct mbj_endpoint *endpoint,
			    const char *tls_dir, int stop_fd,
			    struct carrier *ret_carrier, struct mbj_error *err)
{
	struct carrier carrier = {.process = 0};
	int fd = -1;
	enum mbj_rc rc =
		mbj_endpoint_connect(endpoint, CONNECT_MS, stop_fd, &fd, err);

	if (rc < 0)
		return rc;
	carrier.in = fd;
	carrier.out = fd;
	if (endpoint->kind == MBJ_ENDPOINT_TLS)
		rc = source_meet(&carrier, tls_dir, stop_fd, err);
	if (rc < 0) {
		carrier_end(&carrier);
		return rc;
	}
	*ret_carrier = carrier;
	return MBJ_OK;
}

void carrier_offer(struct carrier *carrier, struct mbj_stream_options *options)
{
	options->in_fd = carrier->in;
	options->out_fd = carrier->out;
	options->channel = NULL;
	options->pin = NULL;
	if (carrier->session == NULL)
		return;
	carrier->channel = tls_channel(carrier->session);
	carrier->pin = (struct mbj_stream_pin){carrier->peer.lineage,
					       carrier->peer.name};
	options->channel = &carrier->channel;
	options->pin = &carrier->pin;
}

void carrier_end(struct carrier *carrier)
{
	tls_part(&carrier->session);
	tls_close(&carrier->tls);
	if (carrier->out != carrier->in)
		(void)close(carrier->out);
	(void)close(carrier->in);
	if (carrier->process != 0)
		process_end(carrier->process);
}
