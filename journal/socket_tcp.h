/*
 * Sockets of TCP: the only file that calls for them, besides socket.c for what
 * all sockets have.  Descriptors are closed on exec and never block.
 *
 * Threads: stateless; a descriptor from one thread at a time.
 */
#ifndef MBJ_SOCKET_TCP_H
#define MBJ_SOCKET_TCP_H

#include <mbj/error.h>

/*
 * To one of the host's addresses, each in its turn, in wait_ms in all once they
 * are known, or until stop_fd is readable; -1: none.
 * Returns: MBJ_ENOTFOUND (no such host, nobody listens), MBJ_EBUSY (told to
 * stop), MBJ_EIO.
 */
enum mbj_rc socket_tcp_connect(const char *host, const char *port,
			       int64_t wait_ms, int stop_fd, int *ret_fd,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* At the first of the host's addresses that is ours.  Returns: MBJ_EBUSY. */
enum mbj_rc socket_tcp_listen(const char *host, const char *port, int *ret_fd,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* What is written goes at once: frames wait for their answers. */
void socket_tcp_prepare(int fd);
/* "ADDRESS port PORT" of the peer, "?" where it has none. */
void socket_tcp_peer(int fd, char *text, size_t size);

#endif
