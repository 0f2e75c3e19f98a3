/*
 * A clock that stands still: the linker puts this in front of mbj_monotonic_ms
 * (--wrap), so that what waits for a time is tested without waiting.
 */
#ifndef TEST_REPLAY_CLOCK_HOLD_H
#define TEST_REPLAY_CLOCK_HOLD_H

#include <stdint.h>

/* It is so late, for all threads, until it is another time.  Requires: ms > 0.
 */
void clock_hold(int64_t ms);
/* It goes again. */
void clock_release(void);

#endif
