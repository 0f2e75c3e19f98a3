/*
 * Memory for long requests: all connections share memory_max of it, beyond
 * SERVICE_SMALL_SIZE, which each has in any case.  Answers of edits count, too,
 * as long as they are here; all others have memory of their own
 * (service_answers.c).
 *
 * A body has room for what of it came, not for what its head says: a head costs
 * nothing.  Where there is no room for more it is read no further, and waits in
 * line.  The first of the line may go beyond the limit, one at a time: bodies
 * that have come in part, and hold all of it, would else wait for each other.
 * Where that one is not done yet, who has memory and gets no further gives way.
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

void line_init(struct peer_line *line)
{
	line->head = NULL;
	line->tail = &line->head;
}

void line_enter(struct peer_line *line, struct peer *peer)
{
	MBJ_ASSERT(peer->line == NULL);
	peer->line = line;
	peer->line_ms = mbj_monotonic_ms();
	peer->line_next = NULL;
	peer->line_at = line->tail;
	*line->tail = peer;
	line->tail = &peer->line_next;
}

void line_leave(struct peer *peer)
{
	if (peer->line == NULL)
		return;
	*peer->line_at = peer->line_next;
	if (peer->line_next != NULL)
		peer->line_next->line_at = peer->line_at;
	else
		peer->line->tail = peer->line_at;
	peer->line = NULL;
}

void room_init(struct service *service)
{
	line_init(&service->room);
	service->over = NULL;
}

bool room_ask(struct peer *peer)
{
	struct service *service = peer->service;

	/* Nobody overtakes those who wait. */
	if (peer == service->over ||
	    (service->room.head == NULL && room_is_there(peer))) {
		room_set(peer, room_wanted(peer));
		return true;
	}
	peer->state = PEER_ROOM;
	line_enter(&service->room, peer);
	return false;
}

void room_release(struct peer *peer)
{
	if (peer->line == &peer->service->room)
		line_leave(peer);
	room_set(peer, 0);
	if (peer->service->over == peer)
		peer->service->over = NULL;
}

void room_sweep(struct service *service)
{
	struct peer *peer;

	while ((peer = service->room.head) != NULL) {
		if (service->over == NULL && !room_is_there(peer))
			service->over = peer;
		if (room_is_there(peer)) {
			line_leave(peer);
			room_set(peer, room_wanted(peer));
			peer_go_on(peer);
		} else if (!stuck_give_way(service, true)) {
			return;
		}
	}
}
