/*
 * A clock that stands still; see clock_hold.h.
 */
#include "clock_hold.h"

#include <mbj/sys.h>

int64_t __real_mbj_monotonic_ms(void);
int64_t __wrap_mbj_monotonic_ms(void);

static _Atomic int64_t held_ms; /* 0: it goes */

void clock_hold(int64_t ms)
{
	held_ms = ms;
}

void clock_release(void)
{
	held_ms = 0;
}

int64_t __wrap_mbj_monotonic_ms(void)
{
	int64_t ms = held_ms;

	return ms > 0 ? ms : __real_mbj_monotonic_ms();
}
