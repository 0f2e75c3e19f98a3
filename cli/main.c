/*
 * mbj: dispatch.  Everything else is in the tables and the verbs.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

int main(int argc, char **argv)
{
	struct cli_call call;
	int status;

	memset(&call, 0, sizeof(call));
	call.options.is_terminal = isatty(STDOUT_FILENO) == 1;
	/* A closed pipe is an ordinary write error, reported as one. */
	(void)signal(SIGPIPE, SIG_IGN);
	status = cli_parse(argc, argv, &call);
	if (status != CLI_OK)
		return status;
	return call.verb->run(&call);
}
