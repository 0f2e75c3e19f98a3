/*
 * Keeping house: what a trim leaves, as options say, and a thread that trims
 * and collects by itself while the store is served.
 */
#ifndef MBJ_CLI_KEEPER_H
#define MBJ_CLI_KEEPER_H

#include <mbj/trim.h>

#include "cli.h"

/* CLI_OK, or CLI_USAGE having said what is wrong. */
int keep_options(const struct cli_call *call, struct mbj_trim_options *options);

struct keeper;

/*
 * Every --keep-house seconds, until service_fd, by which the service is
 * stopped, is readable.  What goes and what is refused it says on standard
 * error.  CLI_OK (*ret_keeper is NULL where nobody asked for one), or having
 * said why another exit status.
 */
int keeper_begin(const struct cli_call *call, struct mbj_store *store,
		 int service_fd, struct keeper **ret_keeper);
/* Waits for what is under way.  Accepts NULL. */
void keeper_end(struct keeper **keeper);

#endif
