/*
 * Endpoints of streams: where a source listens for its replicas, and making
 * connections there.  Bytes, and who is at the other side, are for whoever uses
 * the descriptor (mbj/stream.h).
 *
 *	unix:PATH	a Unix socket; who may connect is its permissions'
 *	tls:HOST:PORT	TCP, for TLS over it: here anybody may connect
 *
 * HOST is a name or an address, one of IPv6 in brackets.
 *
 * Descriptors are closed on exec and do not block.
 *
 * Threads: stateless; a listener from one thread at a time.
 */
#ifndef MBJ_ENDPOINT_H
#define MBJ_ENDPOINT_H

#include <mbj/error.h>
#include <mbj/sys.h>

#ifdef __cplusplus
extern "C" {
#endif

enum mbj_endpoint_kind { MBJ_ENDPOINT_UNIX, MBJ_ENDPOINT_TLS };

enum {
	MBJ_HOST_MAX = 255,
	MBJ_PORT_DIGITS = 5,
	MBJ_ENDPOINT_PEER_SIZE = 80,
};

struct mbj_endpoint {
	enum mbj_endpoint_kind kind;
	char path[MBJ_PATH_TEXT_MAX];	/* for messages, too */
	char host[MBJ_HOST_MAX + 1];	/* of MBJ_ENDPOINT_TLS */
	char port[MBJ_PORT_DIGITS + 1]; /* likewise */
};

struct mbj_listener {
	struct mbj_endpoint endpoint;
	int fd; /* readable: somebody connects; -1: closed */
};

#define MBJ_LISTENER_CLOSED ((struct mbj_listener){.fd = -1})

/* Returns: MBJ_EINVALID, saying what an address looks like. */
enum mbj_rc mbj_endpoint_parse(const char *text,
			       struct mbj_endpoint *ret_endpoint,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Connect within wait_ms, and as long as it takes to find the addresses of a
 * host.  stop_fd readable breaks it off; -1: nothing does.  Ownership: the
 * descriptor is the caller's.
 * Returns: MBJ_ENOTFOUND (nobody listens, no such host), MBJ_EBUSY (takes
 * nobody now, or told to stop), MBJ_EIO.
 */
enum mbj_rc mbj_endpoint_connect(const struct mbj_endpoint *endpoint,
				 int64_t wait_ms, int stop_fd, int *ret_fd,
				 struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * group, which may be NULL, is the group of a Unix socket, which is for that
 * and the owner.  What a dead process left there is replaced.
 * Returns: MBJ_EBUSY (somebody else listens), MBJ_EINVALID, MBJ_EIO.
 */
enum mbj_rc mbj_listener_open(const struct mbj_endpoint *endpoint,
			      const char *group,
			      struct mbj_listener *ret_listener,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The next connection, of somebody who may connect, or MBJ_ENOTFOUND: there is
 * none now.
 * Returns: MBJ_EFENCED (one was turned away), MBJ_EIO (no descriptors).
 */
enum mbj_rc mbj_listener_accept(const struct mbj_listener *listener,
				int *ret_fd,
				struct mbj_error *err) MBJ_MUST_CHECK;
/* Who is at the other end of a connection, "?" where that is no address. */
void mbj_endpoint_peer_print(int fd, char text[MBJ_ENDPOINT_PEER_SIZE]);
/* Idempotent; a socket's file goes. */
void mbj_listener_close(struct mbj_listener *listener);

#ifdef __cplusplus
}
#endif

#endif
