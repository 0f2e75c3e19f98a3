/*
 * TCP: connecting and listening; see socket_tcp.h.
 */
#define _GNU_SOURCE /* SOCK_CLOEXEC */
#include "socket_tcp.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <mbj/sys.h>

#include "socket.h"
#include "socket_find.h"

enum { BACKLOG = 128 };

void socket_tcp_prepare(int fd)
{
	const int yes = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

void socket_tcp_peer(int fd, char *text, size_t size)
{
	struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
	socklen_t address_size = sizeof(address);
	char host[64];
	char port[8];

	if (getpeername(fd, (struct sockaddr *)&address, &address_size) == 0 &&
	    getnameinfo((struct sockaddr *)&address, address_size, host,
			sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) == 0 &&
	    address.ss_family != AF_UNIX)
		(void)snprintf(text, size, "%s port %s", host, port);
	else
		(void)snprintf(text, size, "?");
}

static int tcp_socket(const struct addrinfo *address)
{
	return socket(address->ai_family,
		      address->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
		      address->ai_protocol);
}

/* 0, or an errno; ECANCELED: told to stop. */
static int connect_within(int fd, const struct addrinfo *address, int64_t ms,
			  int stop_fd)
{
	int64_t until = mbj_monotonic_ms() + ms;
	struct pollfd fds[2] = {{.fd = fd, .events = POLLOUT},
				{.fd = stop_fd, .events = POLLIN}};
	socklen_t size = sizeof(int);
	int errnum = 0;
	int n;

	if (connect(fd, address->ai_addr, address->ai_addrlen) == 0)
		return 0;
	if (errno != EINPROGRESS && errno != EINTR)
		return errno;
	do {
		int64_t left = until - mbj_monotonic_ms();

		n = poll(fds, 2,
			 left < 0	  ? 0
			 : left > INT_MAX ? INT_MAX
					  : (int)left);
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		return ETIMEDOUT;
	if (n > 0 && fds[1].revents != 0)
		return ECANCELED;
	if (n < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &size) != 0)
		return errno;
	return errnum;
}

static int left_count(const struct addrinfo *address)
{
	int count = 0;

	for (; address != NULL; address = address->ai_next)
		count++;
	return count;
}

enum mbj_rc socket_tcp_connect(const char *host, const char *port,
			       int64_t wait_ms, int stop_fd, int *ret_fd,
			       struct mbj_error *err)
{
	struct addrinfo *list = NULL;
	int errnum = EADDRNOTAVAIL;
	int fd = -1;
	enum mbj_rc rc = socket_find(host, port, 0, stop_fd, &list, err);
	/* However long that took: the host is none the slower for it. */
	int64_t until = mbj_monotonic_ms() + wait_ms;

	if (rc < 0)
		return rc;
	for (struct addrinfo *a = list; a != NULL; a = a->ai_next) {
		int64_t left = until - mbj_monotonic_ms();

		fd = tcp_socket(a);
		errnum = fd < 0 ? errno
				: connect_within(fd, a, left / left_count(a),
						 stop_fd);
		if (errnum == 0)
			break;
		socket_close(fd);
		fd = -1;
		if (errnum == ECANCELED)
			break;
	}
	freeaddrinfo(list);
	if (errnum == 0) {
		socket_tcp_prepare(fd);
		*ret_fd = fd;
		return MBJ_OK;
	}
	if (errnum == ECANCELED)
		return mbj_error_set(err, MBJ_EBUSY, "told to stop");
	if (errnum == ECONNREFUSED)
		return mbj_error_set(err, MBJ_ENOTFOUND,
				     "nobody listens at tls:%.200s:%s", host,
				     port);
	return mbj_error_set(err, MBJ_EIO,
			     "cannot connect to tls:%.200s:%s: %s", host, port,
			     strerror(errnum));
}

/* 0, or an errno. */
static int listen_at(int fd, const struct addrinfo *address)
{
	const int yes = 1;

	/* Connections that ended a moment ago are nobody's. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
	    bind(fd, address->ai_addr, address->ai_addrlen) != 0 ||
	    listen(fd, BACKLOG) != 0)
		return errno;
	return 0;
}

enum mbj_rc socket_tcp_listen(const char *host, const char *port, int *ret_fd,
			      struct mbj_error *err)
{
	struct addrinfo *list = NULL;
	int errnum = EADDRNOTAVAIL;
	int fd = -1;
	enum mbj_rc rc = socket_find(host, port, AI_PASSIVE, -1, &list, err);

	if (rc < 0)
		return rc;
	for (struct addrinfo *a = list; a != NULL; a = a->ai_next) {
		fd = tcp_socket(a);
		errnum = fd < 0 ? errno : listen_at(fd, a);
		if (errnum == 0)
			break;
		socket_close(fd);
		fd = -1;
		/* Who looks that name up would meet the other process. */
		if (errnum == EADDRINUSE)
			break;
	}
	freeaddrinfo(list);
	if (errnum == EADDRINUSE)
		return mbj_error_set(err, MBJ_EBUSY,
				     "another process listens at "
				     "tls:%.200s:%s",
				     host, port);
	if (errnum != 0)
		return mbj_error_set(err, MBJ_EIO,
				     "cannot listen at tls:%.200s:%s: %s", host,
				     port, strerror(errnum));
	*ret_fd = fd;
	return MBJ_OK;
}
