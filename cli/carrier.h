/*
 * What carries a stream to us: a command whose standard input and output are
 * the other side's, or a connection to where the other side listens.
 */
#ifndef MBJ_CLI_CARRIER_H
#define MBJ_CLI_CARRIER_H

#include <sys/types.h>

#include <mbj/endpoint.h>
#include <mbj/error.h>

struct carrier {
	int in;	       /* from the other side */
	int out;       /* to it; may be the same */
	pid_t process; /* 0: none */
};

/* By the shell. */
enum mbj_rc carrier_begin(const char *command, struct carrier *ret_carrier,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/* Returns: what mbj_endpoint_connect returns. */
enum mbj_rc carrier_connect(const struct mbj_endpoint *endpoint,
			    struct carrier *ret_carrier,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* Hang up, and wait until a command is gone. */
void carrier_end(struct carrier *carrier);

#endif
