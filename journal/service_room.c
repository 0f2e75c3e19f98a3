/*
 * Memory for long requests and answers: all connections share memory_max of it,
 * beyond SERVICE_SMALL_SIZE, which each has in any case.
 *
 * A body has room for what of it came, not for what its head says: a head costs
 * nothing.  A request whose answer may be long is carried out once there is
 * room for what that is expected to be, by as many at once as there are
 * workers: who has longer ones goes beyond the limit by one for each.  Lists
 * leave a quarter to edits and to bodies, so that answers that nobody reads do
 * not keep those waiting.
 *
 * Where there is no room a connection is read no further, and waits in line.
 * The first of the line may go beyond the limit, one at a time: what has come
 * in part, and holds all of it, would else wait for each other.
 *
 * Threads: the loop's.
 */
#include <mbj/check.h>

#include "service_impl.h"

enum {
	/* Connections that a status has in what each has in any case. */
	STATUS_SHORT = 512,
};

/* ------------------------------------------------------------------ wishes */

static bool kind_is_edit(enum wire_kind kind)
{
	return kind == WIRE_SUBMIT || kind == WIRE_BEGIN;
}

/* Its answer is what it asks room for, or is about to be. */
static bool is_asking(const struct peer *peer)
{
	enum wire_kind kind = peer->request.kind;

	return peer_is_whole(peer) &&
	       wire_size_max(kind, WIRE_ANSWER) > SERVICE_SMALL_SIZE &&
	       (kind != WIRE_STATUS ||
		peer->service->peer_count > STATUS_SHORT);
}

static size_t lists_max(const struct service *service)
{
	size_t max = service->options.memory_max;

	return max - max / 4;
}

/* How much all together may have where this one gets what it asks for. */
static size_t room_max(const struct peer *peer)
{
	if (is_asking(peer) && !kind_is_edit(peer->request.kind))
		return lists_max(peer->service);
	return peer->service->options.memory_max;
}

/* Most outcomes are short; of lists, as many as are made at once have room. */
static size_t answer_expected(const struct peer *peer)
{
	const struct service *service = peer->service;
	size_t most = wire_size_max(peer->request.kind, WIRE_ANSWER);
	size_t share = lists_max(service) / service->options.workers_max;

	if (kind_is_edit(peer->request.kind))
		return SERVICE_SMALL_SIZE;
	return share < most ? share : most;
}

/* Bytes of its body that there is room for; a power of two. */
size_t room_size(const struct peer *peer)
{
	return peer->reserved > 0 ? peer->reserved : SERVICE_SMALL_SIZE;
}

/* A body's buffer doubles. */
static size_t room_wanted(const struct peer *peer)
{
	return is_asking(peer) ? peer->reserved + answer_expected(peer)
			       : 2 * room_size(peer);
}

static bool room_is_there(const struct peer *peer)
{
	size_t others = peer->service->stats.memory - peer->reserved;
	size_t wanted = room_wanted(peer);
	size_t max = room_max(peer);

	return peer == peer->service->over ||
	       (wanted <= max && others <= max - wanted);
}

static bool worker_is_there(const struct peer *peer)
{
	const struct service *service = peer->service;

	return !is_asking(peer) ||
	       service->answering < service->options.workers_max;
}

static void room_set(struct peer *peer, size_t size)
{
	struct mbj_service_stats *stats = &peer->service->stats;

	MBJ_ASSERT(stats->memory >= peer->reserved);
	stats->memory = stats->memory - peer->reserved + size;
	peer->reserved = size;
}

static void room_take(struct peer *peer)
{
	room_set(peer, room_wanted(peer));
	peer->is_answering = is_asking(peer);
	peer->service->answering += peer->is_answering;
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
	service->answering = 0;
}

bool room_ask(struct peer *peer)
{
	struct service *service = peer->service;

	/* It has it, or has no need of it. */
	if (peer->is_answering || (peer_is_whole(peer) && !is_asking(peer)))
		return true;
	/* Nobody overtakes those who wait. */
	if ((peer == service->over || service->room_head == NULL) &&
	    room_is_there(peer) && worker_is_there(peer)) {
		room_take(peer);
		return true;
	}
	line_enter(peer);
	return false;
}

void room_answered(struct peer *peer)
{
	size_t size = peer->out.capacity;

	peer->service->answering -= peer->is_answering;
	peer->is_answering = false;
	room_set(peer, size > SERVICE_SMALL_SIZE ? size : 0);
}

void room_release(struct peer *peer)
{
	line_leave(peer);
	room_set(peer, 0);
	if (peer->service->over == peer)
		peer->service->over = NULL;
}

/*
 * shut: for those who may have no more than that, less one, somebody before
 * them waits for room, and they do, too.
 */
static bool line_is_over(struct peer *peer, size_t *shut)
{
	struct service *service = peer->service;
	size_t max = room_max(peer);

	if (!worker_is_there(peer) || (max < *shut && peer != service->over))
		return false;
	if (!room_is_there(peer) && service->over == NULL)
		service->over = peer;
	if (room_is_there(peer))
		return true;
	*shut = max + 1;
	return false;
}

void room_sweep(struct service *service)
{
	struct peer **at = &service->room_head;
	struct peer *peer;
	size_t shut = 0;

	while ((peer = *at) != NULL) {
		if (!line_is_over(peer, &shut)) {
			at = &peer->room_next;
			continue;
		}
		line_leave(peer);
		room_take(peer);
		peer_go_on(peer);
	}
}

bool room_is_tight(const struct service *service)
{
	return service->room_head != NULL ||
	       service->stats.memory >= lists_max(service);
}
