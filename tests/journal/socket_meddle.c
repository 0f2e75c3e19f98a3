/*
 * Calls for sockets with something before or behind; see socket_meddle.h.
 */
#include "socket_meddle.h"

#include <stddef.h>

#include "socket.h"

int __real_socket_accept(int listen_fd);
int __wrap_socket_accept(int listen_fd);
ssize_t __real_socket_send(int fd, const void *p, size_t n);
ssize_t __wrap_socket_send(int fd, const void *p, size_t n);
void __real_socket_close(int fd);
void __wrap_socket_close(int fd);

static void (*_Atomic fns[SOCKET_MOMENTS])(int fd);

void socket_meddle_set(enum socket_moment moment, void (*fn)(int fd))
{
	fns[moment] = fn;
}

static void meddle(enum socket_moment moment, int fd)
{
	void (*fn)(int) = fns[moment];

	if (fn != NULL && fd >= 0)
		fn(fd);
}

int __wrap_socket_accept(int listen_fd)
{
	int fd = __real_socket_accept(listen_fd);

	meddle(SOCKET_ACCEPTED, fd);
	return fd;
}

ssize_t __wrap_socket_send(int fd, const void *p, size_t n)
{
	meddle(SOCKET_SENDING, fd);
	return __real_socket_send(fd, p, n);
}

void __wrap_socket_close(int fd)
{
	meddle(SOCKET_CLOSING, fd);
	__real_socket_close(fd);
}
