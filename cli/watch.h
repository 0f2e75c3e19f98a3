/*
 * mbj status --watch: a screen that is painted anew, or, where standard output
 * is no terminal, a line each time.
 */
#ifndef MBJ_CLI_WATCH_H
#define MBJ_CLI_WATCH_H

#include "cli.h"

/* Until SIGINT or SIGTERM, which is CLI_OK; opens no store. */
int cli_watch(const struct cli_call *call);

#endif
