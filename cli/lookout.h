/*
 * Somebody who looks at a store every second while it is served, so that what
 * is asked over HTTP is there already: however many ask, and however often, the
 * service is asked once.  It looks as mbj check does, through the service's own
 * socket: where clients wait, so does this, and says so.
 *
 * It keeps how far replicas were behind in the last hour.
 *
 * Threads: one of its own, and any one who holds it (lookout_hold).
 */
#ifndef MBJ_CLI_LOOKOUT_H
#define MBJ_CLI_LOOKOUT_H

#include "history.h"
#include "verdict.h"

/* What was seen last.  Read it between lookout_hold and lookout_release. */
struct lookout_view {
	bool is_known;		  /* status is; else err says why not */
	bool is_stale;		  /* whatever it is, it was: err says so */
	struct cli_status status; /* as cli_status_look */
	struct mbj_error err;
	struct verdict verdict; /* of either */
	int64_t time_us;	/* since 1970 */
	uint64_t age_ms;	/* since it was seen */
	struct history *history;
};

struct lookout;

/* socket: where the service listens, NULL: in dir.  CLI_OK, or having said. */
int lookout_begin(const struct cli_call *call, const char *dir,
		  const char *socket, struct lookout **ret_lookout);
/* Accepts NULL.  A look that hangs is left to itself, which is said. */
void lookout_end(struct lookout **lookout);
/* The view does not change until it is released: soon, please. */
const struct lookout_view *lookout_hold(struct lookout *lookout);
void lookout_release(struct lookout *lookout);

#endif
