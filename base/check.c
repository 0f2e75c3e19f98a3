/*
 * What a failed assertion does: say where, and stop the process.
 *
 * It is the only function of the library that writes to standard error, and
 * it never returns: what is in memory can no longer be trusted, and the
 * journal on disk is what a restart begins from.
 *
 * Threads: any; the first to come here ends all of them.
 */
#include <stdio.h>
#include <stdlib.h>

#include <mbj/check.h>

void mbj_check_failed(const char *condition, const char *file, int line,
		      const char *function)
{
	fprintf(stderr,
		"mbj: internal error at %s:%d in %s: %s; stopped before more "
		"harm is done, please report this line\n",
		file, line, function, condition);
	fflush(stderr);
	abort();
}
