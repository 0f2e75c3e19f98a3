/*
 * mbj: dispatch.  Everything else is in the tables and the verbs.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli.h"

/*
 * Whoever starts mbj with a standard descriptor closed would have the store's
 * files opened in its place, and what is meant for a reader written into them.
 * The stand-ins fail as the closed ones would: EBADF.
 */
static bool descriptors_keep(void)
{
	static const int modes[] = {
		[STDIN_FILENO] = O_WRONLY,
		[STDOUT_FILENO] = O_RDONLY,
		[STDERR_FILENO] = O_WRONLY,
	};

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
			continue;
		/* The lowest free descriptor is the one looked at. */
		if (open("/dev/null", modes[fd]) != fd)
			return false;
	}
	return true;
}

/* Who calls these verbs has exit statuses of its own. */
static int usage_status(const struct cli_call *call, int status)
{
	if (call->verb != NULL && call->verb->id == CLI_VERB_DELIVER)
		return EX_USAGE;
	if (call->verb != NULL && call->verb->id == CLI_VERB_CHECK)
		return 3; /* UNKNOWN */
	return status;
}

int main(int argc, char **argv)
{
	struct cli_call call;
	int status;

	if (!descriptors_keep())
		return CLI_FAILED;
	memset(&call, 0, sizeof(call));
	call.options.is_terminal = isatty(STDOUT_FILENO) == 1;
	/* A closed pipe is an ordinary write error, reported as one. */
	(void)signal(SIGPIPE, SIG_IGN);
	status = cli_parse(argc, argv, &call);
	if (status != CLI_OK)
		return usage_status(&call, status);
	return call.verb->run(&call);
}
