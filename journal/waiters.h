/*
 * Those who wait for replicas to have received a group: a list, and which of
 * them have waited long enough.  Pure: no clock, no register, no threads.
 */
#ifndef MBJ_WAITERS_H
#define MBJ_WAITERS_H

#include "received_look.h"

/* Part of whoever waits. */
struct waiter {
	struct waiter *next;
	void *who; /* the caller's */
	struct mbj_lsn lsn;
	uint32_t replicas;
	uint32_t ms;	  /* that it wants to wait at most */
	int64_t until_ms; /* when these are over */
	size_t count;	  /* of replicas, once it is taken off the list */
};

struct waiters {
	struct waiter *head; /* in no order */
	size_t count;
};

void waiters_put(struct waiters *waiters, struct waiter *waiter);
/*
 * Those whose group enough replicas have received, and those whose time is
 * over (INT64_MAX: of all), linked; the list goes on without them.
 */
struct waiter *waiters_take(struct waiters *waiters,
			    const struct received *received, int64_t now_ms);
/* Milliseconds until the next one's time is over; INT64_MAX: nobody waits. */
int64_t waiters_left(const struct waiters *waiters, int64_t now_ms);

static inline bool waiter_is_served(const struct waiter *waiter)
{
	return waiter->count >= waiter->replicas;
}

#endif
