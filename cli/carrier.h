/*
 * What carries a stream to us: a command whose standard input and output are
 * the other side's, or a connection to where the other side listens, with TLS
 * over it or not.
 */
#ifndef MBJ_CLI_CARRIER_H
#define MBJ_CLI_CARRIER_H

#include <sys/types.h>

#include <mbj/endpoint.h>
#include <mbj/error.h>
#include <mbj/stream.h>

#include "tls.h"

struct carrier {
	int in;		 /* from the other side */
	int out;	 /* to it; may be the same */
	pid_t process;	 /* 0: none */
	struct tls *tls; /* NULL, or with a session */
	struct tls_session *session;
	struct tls_name peer;
	struct mbj_stream_channel channel;
	struct mbj_stream_pin pin;
};

/* By the shell. */
enum mbj_rc carrier_begin(const char *command, struct carrier *ret_carrier,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * tls_dir: of a replica, for an endpoint of TLS.  stop_fd readable breaks it
 * off, but for looking up a host.
 * Returns: what mbj_endpoint_connect, tls_open and tls_meet return.
 */
enum mbj_rc carrier_connect(const struct mbj_endpoint *endpoint,
			    const char *tls_dir, int stop_fd,
			    struct carrier *ret_carrier,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* Have the stream go by it.  Requires: carrier stays where it is. */
void carrier_offer(struct carrier *carrier, struct mbj_stream_options *options);
/* Hang up, and wait until a command is gone. */
void carrier_end(struct carrier *carrier);

#endif
