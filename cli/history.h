/*
 * How far behind replicas were, every few seconds of the last hour, for a plot.
 * Kept by the service, so that whoever opens the page in the night sees the
 * hour before; bounded in points and in replicas, some 400 KiB at most.
 *
 * Threads: one at a time.
 */
#ifndef MBJ_CLI_HISTORY_H
#define MBJ_CLI_HISTORY_H

#include "status.h"

enum {
	HISTORY_STEP_MS = 5000,
	HISTORY_POINTS = 720,
	HISTORY_SERIES_MAX = 64, /* of more replicas than that, the first */
};

struct history;

/* NULL: no memory. */
struct history *history_new(void);
void history_free(struct history **history);
/*
 * What is known at now_ms of a monotonic clock; of a step the worst is kept.
 * status NULL: nothing.
 */
void history_note(struct history *history, const struct cli_status *status,
		  int64_t now_ms);
/*
 * An object, "schema" mbj.history/1: the steps' length, and for each replica
 * its lag in milliseconds from the oldest step to the newest, null where it was
 * not known.
 */
void history_json(const struct history *history, uint64_t warning_s,
		  uint64_t critical_s, struct mbj_buf *out);

#endif
