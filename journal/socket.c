/*
 * Unix sockets: connecting, listening, who is there, telling systemd.
 */
#define _GNU_SOURCE /* struct ucred, accept4(2) */
#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <mbj/check.h>
#include <mbj/sys.h>

enum {
	BACKLOG = 128,
	CONNECT_STEP_MS = 10,
	POLL_STEP_MS = 10,
	GROUPS_MAX = 1024,
	GROUP_ENTRY_MAX = 16384,
};

void socket_close(int fd)
{
	if (fd >= 0)
		(void)close(fd);
}

void socket_remove(const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		(void)unlink(path);
}

/*
 * An address for path.  A longer one than an address holds goes through the
 * folder's descriptor, *ret_dir, which the caller closes (-1: none).
 */
static enum mbj_rc address_make(const char *path, struct sockaddr_un *ret_un,
				int *ret_dir, struct mbj_error *err)
{
	const char *slash = strrchr(path, '/');
	char dir[MBJ_PATH_TEXT_MAX];
	size_t n = strlen(path);
	int written;

	memset(ret_un, 0, sizeof(*ret_un));
	ret_un->sun_family = AF_UNIX;
	*ret_dir = -1;
	if (n < sizeof(ret_un->sun_path)) {
		memcpy(ret_un->sun_path, path, n + 1);
		return MBJ_OK;
	}
	if (n >= sizeof(dir) || slash == NULL || slash == path)
		return mbj_error_set(err, MBJ_EINVALID,
				     "the socket's path is too long: %s", path);
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = '\0';
	*ret_dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret_dir < 0)
		return mbj_error_errno(err, errno, "cannot open", dir);
	written = snprintf(ret_un->sun_path, sizeof(ret_un->sun_path),
			   "/proc/self/fd/%d/%s", *ret_dir, slash + 1);
	if (written > 0 && (size_t)written < sizeof(ret_un->sun_path))
		return MBJ_OK;
	socket_close(*ret_dir);
	*ret_dir = -1;
	return mbj_error_set(err, MBJ_EINVALID,
			     "the socket's name is too long: %s", path);
}

/* Linux has no event for a place in the queue of who listens. */
static bool connect_wait(int fd, const struct sockaddr_un *un, int64_t wait_ms,
			 int stop_fd)
{
	int64_t until = mbj_monotonic_ms() + wait_ms;
	struct pollfd stop = {.fd = stop_fd, .events = POLLIN};
	int status;

	for (;;) {
		status = connect(fd, (const struct sockaddr *)un, sizeof(*un));
		if (status == 0 || (errno != EAGAIN && errno != EINTR))
			break;
		if (wait_ms >= 0 && mbj_monotonic_ms() >= until) {
			errno = EAGAIN;
			break;
		}
		if (poll(&stop, 1, CONNECT_STEP_MS) > 0) {
			errno = ECANCELED;
			break;
		}
	}
	return status == 0;
}

enum mbj_rc socket_connect(const char *path, int64_t wait_ms, int stop_fd,
			   int *ret_fd, struct mbj_error *err)
{
	struct sockaddr_un un;
	enum mbj_rc rc;
	int dir;
	int fd;

	rc = address_make(path, &un, &dir, err);
	if (rc < 0)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		rc = mbj_error_errno(err, errno, "cannot make a socket for",
				     path);
	else if (connect_wait(fd, &un, wait_ms, stop_fd))
		rc = MBJ_OK;
	else if (errno == ECONNREFUSED || errno == ENOTSOCK)
		rc = mbj_error_set(err, MBJ_ENOTFOUND, "nobody listens at %s",
				   path);
	else if (errno == EAGAIN)
		rc = mbj_error_set(err, MBJ_EBUSY,
				   "the service at %s takes no connection",
				   path);
	else if (errno == ECANCELED)
		rc = mbj_error_set(err, MBJ_EBUSY, "told to stop");
	else
		rc = mbj_error_errno(err, errno, "cannot connect to", path);
	socket_close(dir);
	if (rc < 0) {
		socket_close(fd);
		return rc;
	}
	*ret_fd = fd;
	return MBJ_OK;
}

/* ------------------------------------------------------------- listening */

static enum mbj_rc group_find(const char *group, gid_t *ret_gid,
			      struct mbj_error *err)
{
	char *text = mbj_alloc(GROUP_ENTRY_MAX);
	struct group *found = NULL;
	struct group entry;
	char *end = NULL;
	unsigned long number;

	if (text == NULL)
		return mbj_error_nomem(err);
	if (getgrnam_r(group, &entry, text, GROUP_ENTRY_MAX, &found) == 0 &&
	    found != NULL)
		*ret_gid = found->gr_gid;
	mbj_free(text);
	if (found != NULL)
		return MBJ_OK;
	errno = 0;
	number = strtoul(group, &end, 10);
	if (end == group || *end != '\0' || errno != 0)
		return mbj_error_set(err, MBJ_EINVALID,
				     "there is no group \"%.100s\"", group);
	*ret_gid = (gid_t)number;
	return MBJ_OK;
}

/*
 * Nobody answers there, or MBJ_EBUSY; nor is anything there that the socket
 * would take the place of, or MBJ_EEXISTS: to a file's path a connection is
 * refused as to the socket of a service that is dead.
 */
static enum mbj_rc path_check(const char *path, struct mbj_error *err)
{
	struct stat st;
	enum mbj_rc rc;
	int fd = -1;

	if (stat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return mbj_error_set(err, MBJ_EEXISTS,
				     "%s is there, and is no socket: name a "
				     "path at which nothing is",
				     path);
	rc = socket_connect(path, 0, -1, &fd, err);
	socket_close(fd);
	if (rc == MBJ_OK)
		return mbj_error_set(err, MBJ_EBUSY,
				     "another service listens at %s", path);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* Permissions are right before the name is there. */
static enum mbj_rc socket_place(int fd, const char *new_path, const char *path,
				mode_t mode, const char *group,
				struct mbj_error *err)
{
	struct sockaddr_un un;
	gid_t gid = (gid_t)-1;
	enum mbj_rc rc = MBJ_OK;
	int dir = -1;

	if (group != NULL)
		rc = group_find(group, &gid, err);
	if (rc == MBJ_OK)
		rc = address_make(new_path, &un, &dir, err);
	if (rc < 0)
		return rc;
	socket_remove(new_path);
	if (bind(fd, (const struct sockaddr *)&un, sizeof(un)) != 0)
		rc = mbj_error_errno(err, errno, "cannot bind", path);
	else if (group != NULL && chown(new_path, (uid_t)-1, gid) != 0)
		rc = mbj_error_errno(err, errno, "cannot give a group to",
				     path);
	else if (chmod(new_path, mode) != 0)
		rc = mbj_error_errno(err, errno, "cannot give permissions to",
				     path);
	else if (listen(fd, BACKLOG) != 0)
		rc = mbj_error_errno(err, errno, "cannot listen at", path);
	else if (rename(new_path, path) != 0)
		rc = mbj_error_errno(err, errno, "cannot put in place", path);
	if (rc < 0)
		socket_remove(new_path);
	socket_close(dir);
	return rc;
}

enum mbj_rc socket_listen(const char *path, mode_t mode, const char *group,
			  int *ret_fd, struct mbj_error *err)
{
	char new_path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;
	int written;
	int fd;

	written = snprintf(new_path, sizeof(new_path), "%s.new", path);
	if (written < 0 || (size_t)written >= sizeof(new_path))
		return mbj_error_set(err, MBJ_EINVALID,
				     "the socket's path is too long: %s", path);
	rc = path_check(path, err);
	if (rc < 0)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return mbj_error_errno(err, errno, "cannot make a socket for",
				       path);
	rc = socket_place(fd, new_path, path, mode, group, err);
	if (rc < 0) {
		socket_close(fd);
		return rc;
	}
	*ret_fd = fd;
	return MBJ_OK;
}

enum mbj_rc socket_adopt(int fd, char ret_path[MBJ_PATH_TEXT_MAX],
			 struct mbj_error *err)
{
	struct sockaddr_un un = {0};
	socklen_t un_size = sizeof(un) - 1;
	int flags = fcntl(fd, F_GETFL);
	socklen_t size = sizeof(int);
	int is_listening = 0;

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &size) !=
		    0 ||
	    !is_listening ||
	    getsockname(fd, (struct sockaddr *)&un, &un_size) != 0)
		return mbj_error_set(err, MBJ_EINVALID,
				     "descriptor %d is no socket that listens",
				     fd);
	memcpy(ret_path, un.sun_path, sizeof(un.sun_path));
	return MBJ_OK;
}

int socket_accept(int listen_fd)
{
	int fd;

	do {
		fd = accept4(listen_fd, NULL, NULL,
			     SOCK_CLOEXEC | SOCK_NONBLOCK);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	return fd < 0 ? -errno : fd;
}

/* ------------------------------------------------------------ who is there */

/* Does the peer belong to group, first or further? */
static bool peer_has_group(int fd, const struct ucred *cred, gid_t group)
{
	gid_t groups[GROUPS_MAX];
	socklen_t size = sizeof(groups);

	if (cred->gid == group)
		return true;
#ifdef SO_PEERGROUPS
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) != 0)
		return false;
	for (size_t i = 0; i < size / sizeof(groups[0]); i++)
		if (groups[i] == group)
			return true;
	return false;
#else
	/* The kernel let it connect. */
	(void)fd;
	(void)size;
	return true;
#endif
}

void socket_peer_get(const char *path, int fd, struct socket_peer *ret_peer)
{
	socklen_t size = sizeof(struct ucred);
	struct ucred cred = {0};
	struct stat st;

	memset(ret_peer, 0, sizeof(*ret_peer));
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) != 0)
		return;
	ret_peer->process = cred.pid;
	ret_peer->uid = cred.uid;
	ret_peer->gid = cred.gid;
	ret_peer->is_owner = cred.uid == geteuid() || cred.uid == 0;
	ret_peer->is_allowed = ret_peer->is_owner;
	if (ret_peer->is_owner || stat(path, &st) != 0)
		return;
	ret_peer->is_allowed = (st.st_mode & S_IWOTH) != 0 ||
			       ((st.st_mode & S_IWGRP) != 0 &&
				peer_has_group(fd, &cred, st.st_gid));
}

/* ------------------------------------------------------------------ bytes */

ssize_t socket_send(int fd, const void *p, size_t n)
{
	ssize_t sent;

	do {
		sent = send(fd, p, n, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : sent;
}

size_t socket_peek(int fd, void *p, size_t n)
{
	int count = 0;

	if (recv(fd, p, n, MSG_PEEK) != (ssize_t)n)
		return 0;
	/* Where that fails nothing is said to be there. */
	(void)ioctl(fd, FIONREAD, &count);
	return (size_t)count;
}

ssize_t socket_receive(int fd, void *p, size_t n)
{
	ssize_t got;

	do {
		got = recv(fd, p, n, 0);
	} while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

int socket_poll(struct pollfd *fds, size_t n, int ms)
{
	int ready = poll(fds, (nfds_t)n, ms);

	if (ready >= 0 || errno == EINTR)
		return ready;
	(void)poll(NULL, 0, ms >= 0 && ms < POLL_STEP_MS ? ms : POLL_STEP_MS);
	ready = 0;
	for (size_t i = 0; i < n; i++)
		ready += fds[i].fd >= 0 && poll(&fds[i], 1, 0) > 0;
	return ready;
}

void socket_notify(const char *notify_path, const char *text)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	size_t n;
	int fd;

	if (notify_path == NULL)
		return;
	n = strlen(notify_path);
	if ((notify_path[0] != '/' && notify_path[0] != '@') ||
	    n >= sizeof(un.sun_path))
		return;
	memcpy(un.sun_path, notify_path, n);
	/* An abstract name begins with a NUL. */
	if (un.sun_path[0] == '@')
		un.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, text, strlen(text), MSG_NOSIGNAL,
		     (const struct sockaddr *)&un,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	socket_close(fd);
}
