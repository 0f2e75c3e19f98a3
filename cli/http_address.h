/*
 * Where a service shows its page, and under which names it may be asked for.
 *
 * Pure.
 */
#ifndef MBJ_CLI_HTTP_ADDRESS_H
#define MBJ_CLI_HTTP_ADDRESS_H

#include <netinet/in.h>

#include <mbj/error.h>

struct http_address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} socket;
	bool is_v6;
	bool is_loopback;
	uint16_t port;
	char host[INET6_ADDRSTRLEN + 2]; /* as in a URL */
};

/*
 * "127.0.0.1:PORT" or "[::1]:PORT": numbers alone, so that no name server says
 * who may look.  Port 0: any that is free.
 * Returns: MBJ_EINVALID.
 */
enum mbj_rc http_address_parse(const char *text,
			       struct http_address *ret_address,
			       struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * A request's Host is one that no foreign web page can have: an address, as a
 * browser that was given a name of someone else's that leads here ("DNS
 * rebinding") would send that name; localhost; or name, which may be NULL.
 */
bool http_host_is_ours(const char *host, const char *name);

#endif
