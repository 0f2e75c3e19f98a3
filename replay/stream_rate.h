/*
 * How fast a stream may be: so many bytes a second, by a bucket of tokens.
 *
 * What is sent may go as long as nothing is owed; then it is owed, and the next
 * waits.  So a frame is never cut for it, and of what waits no more goes over
 * any time than the rate, a part of a second saved up, and one frame.
 *
 * What does not wait is owed as well, but never more than two seconds of the
 * rate, or the one frame that is larger: whoever waits for it is not silent for
 * longer.
 *
 * Pure: times are the caller's, milliseconds of a clock that does not go back.
 *
 * Threads: one.
 */
#ifndef MBJ_STREAM_RATE_H
#define MBJ_STREAM_RATE_H

#include <stddef.h>
#include <stdint.h>

struct stream_rate {
	uint64_t rate;	/* bytes a second, 0: as fast as it goes */
	int64_t tokens; /* thousandths of a byte; below zero: owed */
	int64_t at_ms;	/* as of then */
};

/* As fast as it goes. */
void stream_rate_init(struct stream_rate *r, int64_t now_ms);
/*
 * The slower one of what it is and of rate, from now on; 0: as it was.  More
 * than can be counted is the most that can.
 */
void stream_rate_lower(struct stream_rate *r, uint64_t rate, int64_t now_ms);
/* Milliseconds until something may go, 0: now. */
int64_t stream_rate_wait(struct stream_rate *r, int64_t now_ms);
/* So many bytes went, whether they waited or not.  Requires: n is at most a
 * frame. */
void stream_rate_spend(struct stream_rate *r, size_t n);
/*
 * The most bytes that a piece should have, so that four go each second and
 * whoever waits for it hears something; at most max.
 */
size_t stream_rate_piece(const struct stream_rate *r, size_t max);

#endif
