/*
 * What carries a stream: a command whose standard input and output are the
 * other side's.
 */
#ifndef MBJ_CLI_CARRIER_H
#define MBJ_CLI_CARRIER_H

#include <sys/types.h>

#include <mbj/error.h>

struct carrier {
	int in;	 /* what it writes */
	int out; /* what it reads */
	pid_t process;
};

/* By the shell, with default signals, standard error ours. */
enum mbj_rc carrier_begin(char *command, struct carrier *ret_carrier,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Hang up, and wait until it is gone: after a moment it is asked to, after
 * another one killed.
 */
void carrier_end(struct carrier *carrier);

#endif
