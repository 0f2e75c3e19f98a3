/*
 * Places: who gives way where a connection comes and all are taken.
 *
 *	1. strangers, who have not said hello, at once where they are many, else
 *	   once they had time to
 *	2. who is idle: he loses nothing, and comes again with his next request
 *	3. who is stuck in the middle of a request, of a body's pieces or of his
 *	   answer: he loses what was there
 *	4. strangers who have just come
 *
 * Each is heard once more before he goes: he may have spoken since he was
 * looked at.  Nobody else goes for who comes.
 *
 * Where requests wait for memory, those of the third kind that have some give
 * way, too (service_room.c).
 *
 * Threads: the loop's.
 */
#include <stdio.h>

#include "service_impl.h"

enum { IDLE_MS = 20 }; /* after which a connection gives way */

/* The one that came first of those that came until then; else peer_count. */
static size_t stranger_find(const struct service *service, int64_t until_ms)
{
	for (size_t i = 0; i < service->peer_count; i++)
		if (peer_is_stranger(service->peers[i]))
			return service->peers[i]->came_ms <= until_ms
				       ? i
				       : service->peer_count;
	return service->peer_count;
}

/*
 * Who has not said hello, all of it, is no client yet: of these the one that
 * came first goes, and is told why, if it ever reads.
 */
static bool stranger_give_way(struct service *service, int64_t until_ms,
			      const char *why)
{
	struct mbj_error err;
	size_t at;

	(void)mbj_error_set(&err, MBJ_EBUSY, "%s", why);
	while ((at = stranger_find(service, until_ms)) < service->peer_count) {
		struct peer *peer = service->peers[at];

		peer_read(peer);
		if (!peer_is_stranger(peer))
			continue;
		/* One that is being told something is told that. */
		if (peer->state != PEER_WRITE && peer_refuse(peer, &err))
			peer_flush(peer);
		peer_drop(service, at);
		return true;
	}
	return false;
}

/* More than half of the places are theirs. */
static bool strangers_crowd(const struct service *service)
{
	size_t count = 0;

	for (size_t i = 0; i < service->peer_count; i++)
		count += peer_is_stranger(service->peers[i]);
	return 2 * count > service->options.connections_max;
}

/* The one who began first, of those that are stuck. */
static size_t stuck_find(const struct service *service, bool for_memory)
{
	int64_t now = mbj_monotonic_ms();
	size_t at = service->peer_count;

	for (size_t i = 0; i < service->peer_count; i++) {
		const struct peer *p = service->peers[i];

		if (peer_is_stuck(p, now) && (!for_memory || p->reserved > 0) &&
		    (at == service->peer_count ||
		     p->began_ms < service->peers[at]->began_ms))
			at = i;
	}
	return at;
}

/* What is not there as a whole is not begun, and may be asked again. */
bool stuck_give_way(struct service *service, bool for_memory)
{
	struct mbj_error err;
	size_t at;

	(void)mbj_error_set(&err, MBJ_EBUSY,
			    "others wait for a place, or for memory, and what "
			    "was begun does not go on: ask again");
	while ((at = stuck_find(service, for_memory)) < service->peer_count) {
		struct peer *peer = service->peers[at];
		int64_t now;

		if (peer->state == PEER_WRITE)
			peer_write(peer);
		else
			peer_read(peer);
		now = mbj_monotonic_ms();
		if (!peer_is_stuck(peer, now) && peer->state != PEER_GONE)
			continue;
		/* No refusal in the middle of an answer. */
		if (peer->state == PEER_WRITE)
			service->stats.unread++;
		else if (peer->state != PEER_GONE && peer_refuse(peer, &err))
			peer_flush(peer);
		peer_drop(service, at);
		return true;
	}
	return false;
}

/* The one that is idle longest, and for a moment at least; else peer_count. */
static size_t idle_find(const struct service *service)
{
	int64_t last_ms = mbj_monotonic_ms() - IDLE_MS;
	size_t at = service->peer_count;

	for (size_t i = 0; i < service->peer_count; i++)
		if (peer_is_idle(service->peers[i]) &&
		    service->peers[i]->last_ms <= last_ms) {
			last_ms = service->peers[i]->last_ms;
			at = i;
		}
	return at;
}

/*
 * Clients keep a connection for their next request, and make another one where
 * it is gone: of those that have asked nothing for a moment, and have nothing
 * under way, the one that is idle longest gives way to who comes.  The moment
 * is for who does one thing after the other, and for who has just come. Whoever
 * asks after he was heard for the last time is told by the kernel that he was
 * not heard (client_link.c).
 * Returns: false, nobody does.
 */
static bool idle_give_way(struct service *service)
{
	size_t at;

	while ((at = idle_find(service)) < service->peer_count) {
		struct peer *peer = service->peers[at];

		peer_read(peer);
		if (!peer_is_idle(peer) && peer->state != PEER_GONE)
			continue;
		peer_drop(service, at);
		return true;
	}
	return false;
}

/* Who has gone in this turn has no place any more. */
static void gone_drop(struct service *service)
{
	for (size_t i = service->peer_count; i > 0; i--)
		if (service->peers[i - 1]->state == PEER_GONE)
			peer_drop(service, i - 1);
}

/*
 * Those who have just come are likely to be clients in a moment, and have that
 * before anybody is turned away; but where they are many they go first, however
 * short they are here: else as many as there are places, who come at once and
 * say nothing, would push out all idle clients, and keep the next one out.
 */
bool place_find(struct service *service, char *why, size_t size)
{
	int64_t last_ms = mbj_monotonic_ms() - IDLE_MS;

	if (service->peer_count == service->options.connections_max)
		gone_drop(service);
	if (service->peer_count < service->options.connections_max)
		return true;
	(void)snprintf(why, size,
		       "%u connections are open, as many as the service "
		       "takes: try again",
		       service->options.connections_max);
	if (strangers_crowd(service) &&
	    stranger_give_way(service, INT64_MAX, why))
		return true;
	return stranger_give_way(service, last_ms, why) ||
	       idle_give_way(service) || stuck_give_way(service, false) ||
	       stranger_give_way(service, INT64_MAX, why);
}
