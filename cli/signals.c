/*
 * Signals that become readable at a descriptor, so that what runs long stops
 * in good order wherever it is.
 */
#define _GNU_SOURCE /* signalfd(2) */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

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

int cli_stop_open_with(const struct cli_call *call, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	int signals = cli_stop_open(call);
	int both;

	if (signals < 0)
		return -1;
	both = epoll_create1(EPOLL_CLOEXEC);
	if (both >= 0 && epoll_ctl(both, EPOLL_CTL_ADD, signals, &event) == 0 &&
	    epoll_ctl(both, EPOLL_CTL_ADD, fd, &event) == 0)
		return both;
	cli_say(call, "cannot wait for descriptor %d: %s", fd, strerror(errno));
	if (both >= 0)
		(void)close(both);
	(void)close(signals);
	return -1;
}
