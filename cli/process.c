/*
 * Processes; see process.h.
 */
#include "process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

/* Waiting for it to end, in steps. */
enum { STEP_MS = 10, HINT_STEPS = 200, KILL_STEPS = 400 };

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

int process_begin(const char *path, const char *const *arguments,
		  const struct process_fd *fds, size_t fd_count,
		  pid_t *ret_process)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char *const *words;
	int errnum;

	/* posix_spawn(3) writes to none of them, and cannot say so. */
	memcpy(&words, &arguments, sizeof(words));
	errnum = posix_spawn_file_actions_init(&actions);
	if (errnum != 0)
		return errnum;
	errnum = posix_spawnattr_init(&attributes);
	if (errnum == 0) {
		errnum = attributes_set(&attributes);
		for (size_t i = 0; errnum == 0 && i < fd_count; i++)
			errnum =
				posix_spawn_file_actions_adddup2(&actions,
								 fds[i].ours,
								 fds[i].theirs);
		if (errnum == 0)
			errnum = posix_spawn(ret_process, path, &actions,
					     &attributes, words, environ);
		(void)posix_spawnattr_destroy(&attributes);
	}
	(void)posix_spawn_file_actions_destroy(&actions);
	return errnum;
}

int process_is_gone(pid_t process)
{
	pid_t gone = waitpid(process, NULL, WNOHANG);

	return gone == process || (gone < 0 && errno != EINTR);
}

void process_kill(pid_t process)
{
	(void)kill(process, SIGKILL);
	while (waitpid(process, NULL, 0) < 0 && errno == EINTR)
		;
}

void process_end(pid_t process)
{
	for (int step = 0; !process_is_gone(process); step++) {
		if (step == HINT_STEPS)
			(void)kill(process, SIGTERM);
		if (step == KILL_STEPS)
			(void)kill(process, SIGKILL);
		(void)poll(NULL, 0, STEP_MS);
	}
}
