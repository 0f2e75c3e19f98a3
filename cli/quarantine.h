/*
 * Between mbj quarantine's words that read and those that change something.
 */
#ifndef MBJ_CLI_QUARANTINE_H
#define MBJ_CLI_QUARANTINE_H

#include "cli.h"

int quarantine_retry(const struct cli_call *call);
int quarantine_resync(const struct cli_call *call);
int quarantine_skip(const struct cli_call *call);

/* The account that was named is not set aside: fill *err, return its code. */
enum mbj_rc quarantine_not_aside(const struct cli_call *call,
				 struct mbj_error *err);

#endif
