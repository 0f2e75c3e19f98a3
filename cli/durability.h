/*
 * How durable an edit is to be, as options have it.
 */
#ifndef MBJ_CLI_DURABILITY_H
#define MBJ_CLI_DURABILITY_H

#include <stdbool.h>
#include <stdint.h>

#include "cli.h"

struct durability {
	uint32_t replicas; /* that are to have received it, 0: it is here */
	uint32_t wait_ms;  /* for those, at most */
};

/*
 * --durability and --within.  false: they say nothing that there is, and that
 * was said.
 */
bool durability_read(const struct cli_call *call,
		     struct durability *ret_durability);

#endif
