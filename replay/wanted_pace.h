/*
 * When contents that the source did not have are asked for again.
 *
 * Soon at first, as a source that is a replica itself may be about to have
 * them, and then less and less often.  What is asked for in vain is bounded
 * whatever happens: beside what is asked for once a minute, no more in a minute
 * than SHARE_MAX contents, so that thousands that are lost for good are asked
 * for once a minute only, however often others come or are missed.
 *
 * Pure: times are the caller's, milliseconds of a clock that does not go back.
 *
 * Threads: one.
 */
#ifndef MBJ_WANTED_PACE_H
#define MBJ_WANTED_PACE_H

#include <stdint.h>

enum {
	WANTED_FIRST_MS = 250,
	WANTED_MOST_MS = 60000,
	WANTED_SHARE_MAX = 1024, /* asked for in WANTED_MOST_MS */
};

/* All zero: nothing has been asked for yet. */
struct wanted_pace {
	uint64_t missing; /* did not come, or were missed since */
	int64_t asked_ms; /* when that was known */
	int64_t due_ms;
	int64_t gap_ms; /* between questions, as long as nothing comes */
};

/* All that was wanted was asked for; so many did not come. */
void wanted_pace_asked(struct wanted_pace *p, uint64_t missing, int64_t now_ms);
/* So many more were asked for, with their groups, and did not come. */
void wanted_pace_missed(struct wanted_pace *p, uint64_t count, int64_t now_ms);
/* Milliseconds until all are to be asked for, 0: now. */
int64_t wanted_pace_wait(const struct wanted_pace *p, int64_t now_ms);

#endif
