/*
 * A store in numbers, in the text format of Prometheus: one table for the text
 * file (mbj metrics) and for who scrapes a service (mbj serve --http).
 */
#ifndef MBJ_CLI_METRICS_H
#define MBJ_CLI_METRICS_H

#include "status.h"

enum { METRICS_OUTPUT_MAX = 1 << 20 };

/* store: the label that all of them have. */
void metrics_print(const struct cli_status *status, const char *store,
		   struct mbj_buf *out);

#endif
