/*
 * A child for one fault; see fault_child.h.
 */
#define _GNU_SOURCE /* dladdr(3) */

#include <check.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault_child.h"

enum { CHILD_SECONDS = 10, EXIT_DIED_IN_DB = 77 };

static void crash_take(int number)
{
	void *frames[4];
	/*
	 * Neither call is safe in a handler.  This child has nothing to lose,
	 * and an alarm ends it where they hang.
	 */
	/* NOLINTNEXTLINE(bugprone-signal-handler) */
	int count = backtrace(frames, 4);
	Dl_info info;

	(void)number;
	/* This function, the signal's frame, and then who did it. */
	for (int i = 1; i < count; i++) {
		/* NOLINTNEXTLINE(bugprone-signal-handler) */
		if (dladdr(frames[i], &info) != 0 && info.dli_fname != NULL &&
		    strstr(info.dli_fname, "libdb") != NULL)
			_exit(EXIT_DIED_IN_DB);
	}
	_exit(1);
}

enum fault_child_end fault_child_run(void (*work)(void *context), void *context)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		(void)!freopen("/dev/null", "w", stderr);
		(void)signal(SIGSEGV, crash_take);
		/* libcheck's handler would end the test, not this child. */
		(void)signal(SIGALRM, SIG_DFL);
		(void)alarm(CHILD_SECONDS);
		work(context);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		return FAULT_CHILD_DIED_IN_DB;
	if (!WIFEXITED(status))
		return FAULT_CHILD_WRONG;
	switch (WEXITSTATUS(status)) {
	case 0:
		return FAULT_CHILD_DONE;
	case EXIT_DIED_IN_DB:
		return FAULT_CHILD_DIED_IN_DB;
	default:
		return FAULT_CHILD_WRONG;
	}
}
