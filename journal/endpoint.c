/*
 * Endpoints of streams; see mbj/endpoint.h.  Calls for sockets are socket.c's.
 */
#include <mbj/endpoint.h>

#include <errno.h>
#include <string.h>

#include "socket.h"

enum { SOCKET_MODE = 0660 };

#define UNIX_PREFIX "unix:"

enum mbj_rc mbj_endpoint_parse(const char *text,
			       struct mbj_endpoint *ret_endpoint,
			       struct mbj_error *err)
{
	const char *path = text + strlen(UNIX_PREFIX);

	if (strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) != 0 ||
	    path[0] == '\0')
		return mbj_error_set(err, MBJ_EINVALID,
				     "an address is " UNIX_PREFIX "PATH, not "
				     "\"%.200s\"",
				     text);
	if (strlen(path) >= sizeof(ret_endpoint->path))
		return mbj_error_set(err, MBJ_EINVALID,
				     "the socket's path is too long: %.200s",
				     path);
	memset(ret_endpoint, 0, sizeof(*ret_endpoint));
	ret_endpoint->kind = MBJ_ENDPOINT_UNIX;
	memcpy(ret_endpoint->path, path, strlen(path) + 1);
	return MBJ_OK;
}

enum mbj_rc mbj_endpoint_connect(const struct mbj_endpoint *endpoint,
				 int64_t wait_ms, int *ret_fd,
				 struct mbj_error *err)
{
	return socket_connect(endpoint->path, wait_ms, ret_fd, err);
}

enum mbj_rc mbj_listener_open(const struct mbj_endpoint *endpoint,
			      const char *group,
			      struct mbj_listener *ret_listener,
			      struct mbj_error *err)
{
	int fd = -1;
	enum mbj_rc rc;

	rc = socket_listen(endpoint->path, SOCKET_MODE, group, &fd, err);
	if (rc < 0)
		return rc;
	ret_listener->endpoint = *endpoint;
	ret_listener->fd = fd;
	return MBJ_OK;
}

enum mbj_rc mbj_listener_accept(const struct mbj_listener *listener,
				int *ret_fd, struct mbj_error *err)
{
	const char *path = listener->endpoint.path;
	struct socket_peer who;
	int fd = socket_accept(listener->fd);

	if (fd == -EAGAIN)
		return MBJ_ENOTFOUND;
	if (fd < 0)
		return mbj_error_errno(err, -fd, "cannot take a connection at",
				       path);
	socket_peer_get(path, fd, &who);
	if (!who.is_allowed) {
		socket_close(fd);
		return mbj_error_set(err, MBJ_EFENCED,
				     "process %ld of user %lu may not use %s",
				     who.process, (unsigned long)who.uid, path);
	}
	*ret_fd = fd;
	return MBJ_OK;
}

void mbj_listener_close(struct mbj_listener *listener)
{
	if (listener->fd < 0)
		return;
	socket_remove(listener->endpoint.path);
	socket_close(listener->fd);
	listener->fd = -1;
}
