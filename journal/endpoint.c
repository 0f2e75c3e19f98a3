/*
 * Endpoints of streams; see mbj/endpoint.h.  Calls for sockets are in
 * socket.c and socket_tcp.c.
 */
#include <mbj/endpoint.h>

#include <errno.h>
#include <string.h>

#include "socket.h"
#include "socket_tcp.h"

enum { SOCKET_MODE = 0660 };

#define UNIX_PREFIX "unix:"
#define TLS_PREFIX  "tls:"

static enum mbj_rc address_bad(struct mbj_error *err, const char *text)
{
	return mbj_error_set(err, MBJ_EINVALID,
			     "an address is " UNIX_PREFIX "PATH or " TLS_PREFIX
			     "HOST:PORT, not \"%.200s\"",
			     text);
}

static bool port_is_good(const char *port)
{
	size_t n = strspn(port, "0123456789");
	unsigned long number = 0;

	if (n == 0 || n > MBJ_PORT_DIGITS || port[n] != '\0')
		return false;
	for (size_t i = 0; i < n; i++)
		number = 10 * number + (unsigned long)(port[i] - '0');
	return number >= 1 && number <= UINT16_MAX;
}

/* HOST:PORT; the brackets of an address with colons are not its own. */
static bool host_parse(const char *text, struct mbj_endpoint *ret_endpoint)
{
	const char *colon = strrchr(text, ':');
	const char *host = text;
	size_t n;

	if (colon == NULL || !port_is_good(colon + 1))
		return false;
	n = (size_t)(colon - text);
	if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
		host++;
		n -= 2;
	} else if (memchr(host, ':', n) != NULL) {
		return false;
	}
	if (n == 0 || n > MBJ_HOST_MAX || memchr(host, '[', n) != NULL ||
	    memchr(host, ']', n) != NULL)
		return false;
	memcpy(ret_endpoint->host, host, n);
	memcpy(ret_endpoint->port, colon + 1, strlen(colon + 1));
	return true;
}

enum mbj_rc mbj_endpoint_parse(const char *text,
			       struct mbj_endpoint *ret_endpoint,
			       struct mbj_error *err)
{
	struct mbj_endpoint endpoint = {.kind = MBJ_ENDPOINT_UNIX};
	const char *path = text;

	if (strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0) {
		path += strlen(UNIX_PREFIX);
	} else if (strncmp(text, TLS_PREFIX, strlen(TLS_PREFIX)) == 0) {
		endpoint.kind = MBJ_ENDPOINT_TLS;
		if (!host_parse(text + strlen(TLS_PREFIX), &endpoint))
			return address_bad(err, text);
	} else {
		return address_bad(err, text);
	}
	if (path[0] == '\0')
		return address_bad(err, text);
	if (strlen(path) >= sizeof(endpoint.path))
		return mbj_error_set(err, MBJ_EINVALID,
				     "the socket's path is too long: %.200s",
				     path);
	memcpy(endpoint.path, path, strlen(path) + 1);
	*ret_endpoint = endpoint;
	return MBJ_OK;
}

enum mbj_rc mbj_endpoint_connect(const struct mbj_endpoint *endpoint,
				 int64_t wait_ms, int stop_fd, int *ret_fd,
				 struct mbj_error *err)
{
	if (endpoint->kind == MBJ_ENDPOINT_TLS)
		return socket_tcp_connect(endpoint->host, endpoint->port,
					  wait_ms, stop_fd, ret_fd, err);
	return socket_connect(endpoint->path, wait_ms, stop_fd, ret_fd, err);
}

enum mbj_rc mbj_listener_open(const struct mbj_endpoint *endpoint,
			      const char *group,
			      struct mbj_listener *ret_listener,
			      struct mbj_error *err)
{
	int fd = -1;
	enum mbj_rc rc;

	if (endpoint->kind == MBJ_ENDPOINT_TLS)
		rc = socket_tcp_listen(endpoint->host, endpoint->port, &fd,
				       err);
	else
		rc = socket_listen(endpoint->path, SOCKET_MODE, group, &fd,
				   err);
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
	*ret_fd = fd;
	if (listener->endpoint.kind == MBJ_ENDPOINT_TLS) {
		socket_tcp_prepare(fd);
		return MBJ_OK;
	}
	socket_peer_get(path, fd, &who);
	if (who.is_allowed)
		return MBJ_OK;
	socket_close(fd);
	return mbj_error_set(err, MBJ_EFENCED,
			     "process %ld of user %lu may not use %s",
			     who.process, (unsigned long)who.uid, path);
}

void mbj_listener_close(struct mbj_listener *listener)
{
	if (listener->fd < 0)
		return;
	if (listener->endpoint.kind == MBJ_ENDPOINT_UNIX)
		socket_remove(listener->endpoint.path);
	socket_close(listener->fd);
	listener->fd = -1;
}

void mbj_endpoint_peer_print(int fd, char text[MBJ_ENDPOINT_PEER_SIZE])
{
	socket_tcp_peer(fd, text, MBJ_ENDPOINT_PEER_SIZE);
}
