/*
 * Unix sockets: the only file that calls for them.  Descriptors are closed on
 * exec and never block.
 *
 * Threads: stateless; a descriptor from one thread at a time.
 */
#ifndef MBJ_SOCKET_H
#define MBJ_SOCKET_H

#include <sys/types.h>

#include <mbj/error.h>
#include <mbj/sys.h>

struct pollfd; /* poll.h */

/* Who is on the other side, as the kernel says. */
struct socket_peer {
	long process;
	uid_t uid;
	gid_t gid;
	bool is_owner;	 /* our own user, or root */
	bool is_allowed; /* that, or one whom the socket's file admits */
};

/*
 * wait_ms: for somebody who listens and is too busy, -1 for ever, or until
 * stop_fd is readable; -1: none.
 * Returns: MBJ_ENOTFOUND where nobody listens, MBJ_EBUSY.
 */
enum mbj_rc socket_connect(const char *path, int64_t wait_ms, int stop_fd,
			   int *ret_fd, struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Listen at path with these permissions from the first moment on.  A socket of
 * a dead service is replaced.  Returns: MBJ_EBUSY where somebody answers,
 * MBJ_EEXISTS where something else than a socket is.
 */
enum mbj_rc socket_listen(const char *path, mode_t mode, const char *group,
			  int *ret_fd, struct mbj_error *err) MBJ_MUST_CHECK;
/* One that somebody else opened for us: make it as ours are. */
enum mbj_rc socket_adopt(int fd, char ret_path[MBJ_PATH_TEXT_MAX],
			 struct mbj_error *err) MBJ_MUST_CHECK;
/* The next connection, -EAGAIN where there is none, or -errno. */
int socket_accept(int listen_fd);
/* path: of the file that admits, or "". */
void socket_peer_get(const char *path, int fd, struct socket_peer *ret_peer);
/* As send(2) and recv(2), no signal; -errno. */
ssize_t socket_send(int fd, const void *p, size_t n);
ssize_t socket_receive(int fd, void *p, size_t n);
/*
 * The first n bytes that are there, without taking them.
 * Returns: how many are there, 0 where fewer than n are.
 */
size_t socket_peek(int fd, void *p, size_t n);
/*
 * As poll(2), which refuses more of them than may be open by now, or than there
 * is memory for: then one after the other, every few milliseconds.
 * Requires: revents are 0.
 */
int socket_poll(struct pollfd *fds, size_t n, int ms);
void socket_close(int fd);
/* Remove a socket's file, if there is one and it is a socket. */
void socket_remove(const char *path);
/* Tell systemd, if it wants to know; failures are not ours. */
void socket_notify(const char *notify_path, const char *text);

#endif
