/*
 * Signals that become readable at a descriptor, so that what runs long stops
 * in good order wherever it is.
 */
#define _GNU_SOURCE /* signalfd(2) */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "cli.h"

int cli_stop_open(const struct cli_call *call)
{
	sigset_t set;
	int fd = -1;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) == 0)
		fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		cli_say(call, "cannot wait for signals: %s", strerror(errno));
	return fd;
}
