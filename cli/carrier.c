/*
 * Running a carrier; see carrier.h.
 */
#define _GNU_SOURCE /* pipe2(2) */
#include "carrier.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Waiting for it to end, in steps. */
enum { STEP_MS = 10, HINT_STEPS = 200, KILL_STEPS = 400 };

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

/* What we block and ignore is not for it. */
static int attributes_set(posix_spawnattr_t *attributes)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)posix_spawnattr_setsigmask(attributes, &set);
	(void)sigaddset(&set, SIGPIPE);
	(void)posix_spawnattr_setsigdefault(attributes, &set);
	return posix_spawnattr_setflags(attributes,
					POSIX_SPAWN_SETSIGMASK |
						POSIX_SPAWN_SETSIGDEF);
}

static int shell_spawn(char *command, const int up[2], const int down[2],
		       pid_t *ret_process)
{
	char *const arguments[] = {(char[]){"sh"}, (char[]){"-c"}, command,
				   NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int errnum;

	errnum = posix_spawn_file_actions_init(&actions);
	if (errnum != 0)
		return errnum;
	errnum = posix_spawnattr_init(&attributes);
	if (errnum == 0) {
		errnum = attributes_set(&attributes);
		if (errnum == 0)
			errnum = posix_spawn_file_actions_adddup2(&actions,
								  up[0], 0);
		if (errnum == 0)
			errnum = posix_spawn_file_actions_adddup2(&actions,
								  down[1], 1);
		if (errnum == 0)
			errnum = posix_spawn(ret_process, "/bin/sh", &actions,
					     &attributes, arguments, environ);
		(void)posix_spawnattr_destroy(&attributes);
	}
	(void)posix_spawn_file_actions_destroy(&actions);
	return errnum;
}

enum mbj_rc carrier_begin(char *command, struct carrier *ret_carrier,
			  struct mbj_error *err)
{
	int up[2] = {-1, -1};
	int down[2] = {-1, -1};
	int errnum = 0;

	if (pipe_open(up) != 0 || pipe_open(down) != 0)
		errnum = errno;
	if (errnum == 0)
		errnum = shell_spawn(command, up, down, &ret_carrier->process);
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

void carrier_end(struct carrier *carrier)
{
	(void)close(carrier->out);
	(void)close(carrier->in);
	for (int step = 0;; step++) {
		pid_t gone = waitpid(carrier->process, NULL, WNOHANG);

		if (gone == carrier->process || (gone < 0 && errno != EINTR))
			return;
		if (step == HINT_STEPS)
			(void)kill(carrier->process, SIGTERM);
		if (step == KILL_STEPS)
			(void)kill(carrier->process, SIGKILL);
		(void)poll(NULL, 0, STEP_MS);
	}
}
