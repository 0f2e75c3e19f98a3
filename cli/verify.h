/*
 * What mbj verify prints and comes to, of two stores of this machine or of a
 * replica and its source far away.
 */
#ifndef MBJ_CLI_VERIFY_H
#define MBJ_CLI_VERIFY_H

#include <mbj/verify.h>

#include "cli.h"

enum { VERIFY_OUTPUT_MAX = 256 << 20 };

struct verify_count {
	/* Differences of parked accounts, and of those known to differ. */
	uint64_t parked;
	uint64_t busy; /* accounts of which nothing can be said */
	uint64_t real;
	uint64_t contents;	      /* that are missing or damaged */
	struct mbj_id account_parked; /* the account at hand, so */
};

void verify_count_add(struct verify_count *count,
		      const struct mbj_difference *difference);
/* A line, or an element of an array. */
void verify_put(struct mbj_buf *out, bool is_json, bool is_first,
		const struct mbj_difference *difference);
/* The exit status in a word. */
const char *verify_word(int status);

/* A replica, and its source by --exec or --from. */
int verify_far(const struct cli_call *call);

#endif
