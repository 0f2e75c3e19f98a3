/*
 * A list of those who wait; see waiters.h.
 */
#include "waiters.h"

#include <mbj/check.h>

void waiters_put(struct waiters *waiters, struct waiter *waiter)
{
	MBJ_ASSERT(waiter->replicas > 0);
	waiter->next = waiters->head;
	waiters->head = waiter;
	waiters->count++;
}

struct waiter *waiters_take(struct waiters *waiters,
			    const struct received *received, int64_t now_ms)
{
	struct waiter **at = &waiters->head;
	struct waiter *taken = NULL;

	while (*at != NULL) {
		struct waiter *waiter = *at;

		waiter->count = received_count(received, waiter->lsn);
		if (!waiter_is_served(waiter) && now_ms < waiter->until_ms) {
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		waiter->next = taken;
		taken = waiter;
		waiters->count--;
	}
	return taken;
}

int64_t waiters_left(const struct waiters *waiters, int64_t now_ms)
{
	int64_t left = INT64_MAX;

	for (const struct waiter *w = waiters->head; w != NULL; w = w->next) {
		int64_t its = now_ms < w->until_ms ? w->until_ms - now_ms : 0;

		left = its < left ? its : left;
	}
	return left;
}
