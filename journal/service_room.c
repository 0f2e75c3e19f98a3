/*
 * Memory for long requests: all connections share memory_max of it, beyond
 * SERVICE_SMALL_SIZE, which each has in any case.
 *
 * A body has room for what of it came, not for what its head says: a head costs
 * nothing.  Where there is no room for more it is read no further, and waits in
 * line.  The first of the line may go beyond the limit, one at a time: bodies
 * that have come in part, and hold all of it, would else wait for each other.
 *
 * Threads: the loop's.
 */
#include <mbj/check.h>

#include "service_impl.h"

/* Bytes of its body that there is room for; a power of two. */
size_t room_size(const struct peer *peer)
{
	return peer->reserved > 0 ? peer->reserved : SERVICE_SMALL_SIZE;
}

static void room_set(struct peer *peer, size_t size)
{
	struct mbj_service_stats *stats = &peer->service->stats;

	MBJ_ASSERT(stats->memory >= peer->reserved);
	stats->memory = stats->memory - peer->reserved + size;
	peer->reserved = size;
}

/* As its buffer grows. */
static size_t room_wanted(const struct peer *peer)
{
	return 2 * room_size(peer);
}

static bool room_is_there(const struct peer *peer)
{
	const struct mbj_service_stats *stats = &peer->service->stats;
	size_t others = stats->memory - peer->reserved;
	size_t wanted = room_wanted(peer);

	return peer == peer->service->over ||
	       (wanted <= stats->memory_max &&
		others <= stats->memory_max - wanted);
}

/* ------------------------------------------------------------------- line */

static void line_enter(struct peer *peer)
{
	struct service *service = peer->service;

	peer->state = PEER_ROOM;
	peer->room_ms = mbj_monotonic_ms();
	peer->room_next = NULL;
	peer->room_at = service->room_tail;
	*service->room_tail = peer;
	service->room_tail = &peer->room_next;
}

static void line_leave(struct peer *peer)
{
	if (peer->room_at == NULL)
		return;
	*peer->room_at = peer->room_next;
	if (peer->room_next != NULL)
		peer->room_next->room_at = peer->room_at;
	else
		peer->service->room_tail = peer->room_at;
	peer->room_at = NULL;
}

void room_init(struct service *service)
{
	service->room_head = NULL;
	service->room_tail = &service->room_head;
	service->over = NULL;
}

bool room_ask(struct peer *peer)
{
	struct service *service = peer->service;

	/* Nobody overtakes those who wait. */
	if (peer == service->over ||
	    (service->room_head == NULL && room_is_there(peer))) {
		room_set(peer, room_wanted(peer));
		return true;
	}
	line_enter(peer);
	return false;
}

void room_release(struct peer *peer)
{
	line_leave(peer);
	room_set(peer, 0);
	if (peer->service->over == peer)
		peer->service->over = NULL;
}

void room_sweep(struct service *service)
{
	struct peer *peer;

	while ((peer = service->room_head) != NULL) {
		if (service->over == NULL && !room_is_there(peer))
			service->over = peer;
		if (!room_is_there(peer))
			return;
		line_leave(peer);
		room_set(peer, room_wanted(peer));
		peer_go_on(peer);
	}
}
