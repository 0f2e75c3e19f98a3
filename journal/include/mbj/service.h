/*
 * The service: one process owns a store, many use it through a Unix socket
 * (mbj/client.h).  The store is the caller's, opened before and closed after.
 *
 * One thread, the caller's, owns all sockets; requests are carried out by
 * worker threads, at most one of a connection at a time, so that edits of many
 * connections share a batch and its sync.  While a request of a connection is
 * carried out, and until its answer is read, nothing more is read from it.
 *
 * Who may: the service's own user and root may do everything; others, whom the
 * socket's permissions admit (its group), may do everything but stop it.
 *
 * Threads: one call at a time per store.
 */
#ifndef MBJ_SERVICE_H
#define MBJ_SERVICE_H

#include <mbj/store.h>
#include <mbj/upstream.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where it listens, unless it is told to elsewhere: STORE/socket. */
#define MBJ_SERVICE_SOCKET "socket"

enum { MBJ_SERVICE_CONNECTIONS_MAX = 65536 };

struct mbj_service_options {
	size_t size;	    /* sizeof(struct mbj_service_options) */
	const char *socket; /* path; NULL: MBJ_SERVICE_SOCKET in the store */
	const char *group;  /* its group, by name or number; NULL: ours */
	uint32_t mode;	    /* of the socket */
	int listen_fd;	    /* a socket that listens already; -1: none */
	int stop_fd;	    /* readable: stop in good order; -1: none */
	const char *notify; /* systemd's NOTIFY_SOCKET, or NULL */
	uint32_t workers_max;
	/* Fewer, where RLIMIT_NOFILE leaves no room for so many. */
	uint32_t connections_max;
	/* A request that began, or an answer, that gets no further; it has a
	 * fifteenth of that where others wait for a place or its memory. */
	uint32_t timeout_ms;
	/* Bytes of requests, and of edits' answers, above 64 KiB, all
	 * connections; what needs more waits, and one at a time may have it.
	 * All other answers above 64 KiB have half as much, beside it. */
	size_t memory_max;
	/*
	 * Content that was stored or found so many milliseconds ago stays at a
	 * collection, although no message has it: it may be about to.
	 */
	uint32_t recent_ms;
	/* How the store follows a source meanwhile, for its status, or NULL. */
	struct mbj_upstream *upstream;
	/* Open files that the process needs for other things than the service,
	 * which takes fewer connections for them. */
	uint32_t files_else;
	/* Connections at once that wait for replicas (mbj/received.h); half of
	 * connections_max at most. */
	uint32_t waiters_max;
};

#define MBJ_SERVICE_OPTIONS_INIT                                           \
	((struct mbj_service_options){.size = sizeof(                      \
					      struct mbj_service_options), \
				      .mode = 0660,                        \
				      .listen_fd = -1,                     \
				      .stop_fd = -1,                       \
				      .workers_max = 64,                   \
				      .connections_max = 512,              \
				      .timeout_ms = 30000,                 \
				      .recent_ms = 600000,                 \
				      .memory_max = 256u << 20,            \
				      .waiters_max = 256})

/*
 * Serve until it is told to stop: no more connections, what was received whole
 * is carried out and answered.  A store that fails ends it, too, once all who
 * wait have been told.
 * Returns: MBJ_EIO (the store failed: open it again), MBJ_EBUSY (somebody
 * listens at that path), MBJ_EINVALID (no such group, a path that is too long),
 * MBJ_ELIMIT (too few open files are allowed for even one connection).
 */
MBJ_API enum mbj_rc mbj_service_run(struct mbj_store *store,
				    const struct mbj_service_options *options,
				    struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Tell systemd how a process is ("READY=1") that is no service of ours but is
 * run like one.  notify: NOTIFY_SOCKET, or NULL.  Failures are not ours.
 */
void mbj_service_notify(const char *notify, const char *text);

#ifdef __cplusplus
}
#endif

#endif
