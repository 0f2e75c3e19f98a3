/*
 * Making and ending a connection; see carrier.h.
 */
#define _GNU_SOURCE /* pipe2(2) */
#include "carrier.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "process.h"

/* For a connection, before it is tried again. */
enum { CONNECT_MS = 10000 };

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
	return MBJ_OK;
}

enum mbj_rc carrier_connect(const struct mbj_endpoint *endpoint,
			    struct carrier *ret_carrier, struct mbj_error *err)
{
	int fd = -1;
	enum mbj_rc rc = mbj_endpoint_connect(endpoint, CONNECT_MS, &fd, err);

	if (rc < 0)
		return rc;
	*ret_carrier = (struct carrier){.in = fd, .out = fd};
	return MBJ_OK;
}

void carrier_end(struct carrier *carrier)
{
	if (carrier->out != carrier->in)
		(void)close(carrier->out);
	(void)close(carrier->in);
	if (carrier->process != 0)
		process_end(carrier->process);
}
