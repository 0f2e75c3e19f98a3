/*
 * Which options go together; the table is together.def.
 */
#ifndef MBJ_CLI_TOGETHER_H
#define MBJ_CLI_TOGETHER_H

#include "cli.h"

/* false: an option lacks another one, or contradicts one; that was said. */
bool together_check(const struct cli_call *call);

#endif
