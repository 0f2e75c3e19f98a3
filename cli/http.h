/*
 * How a store is, over HTTP, for people and for Prometheus: to read only, and
 * for who is on this machine unless it was said otherwise.
 *
 *	/              the status page
 *	/state         the part of it that changes
 *	/status.json   as mbj status --json
 *	/metrics       as mbj metrics
 *	/healthz       the line of mbj check: 200 where the store works
 *	/history.json  lag of the last hour
 *
 * A request is answered from what a lookout saw last: nothing that a client
 * does reaches the service.  A connection has one request and ten seconds, a
 * request 16 KiB; there are as many at once as HTTP_PEERS_MAX, and when one
 * more comes the oldest goes.
 *
 * Threads: one for all connections, and the lookout's.
 */
#ifndef MBJ_CLI_HTTP_H
#define MBJ_CLI_HTTP_H

#include "cli.h"

enum {
	HTTP_PEERS_MAX = 32,
	/* Open files at most: those, some that are on their way out, and those
	 * of the threads and of the one who looks. */
	HTTP_FILES = HTTP_PEERS_MAX + 8 + 10,
};

struct http;

/*
 * Where --http says, of the store that the first operand names; socket: where
 * its service listens, NULL: in the store.  CLI_OK (*ret_http is NULL where
 * nobody asked for it), or having said why another exit status.
 */
int http_begin(const struct cli_call *call, const char *socket,
	       struct http **ret_http);
/* Accepts NULL. */
void http_end(struct http **http);

#endif
