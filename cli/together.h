/*
 * Which options go together; the table is together.def.
 */
#ifndef MBJ_CLI_TOGETHER_H
#define MBJ_CLI_TOGETHER_H

#include "cli.h"

enum { TOGETHER_TEXT_SIZE = 128 };

/* false: an option lacks another one, or contradicts one; that was said. */
bool together_check(const struct cli_call *call);
/*
 * What a verb's option has no effect without, "--a, --b or --from
 * tls:HOST:PORT"; false: it needs none.
 */
bool together_needs(const struct cli_verb *verb,
		    const struct cli_option *option,
		    char text[TOGETHER_TEXT_SIZE]);

#endif
