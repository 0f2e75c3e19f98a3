/*
 * Which connections have something to say: what that costs depends on how many
 * have, not on how many there are.
 *
 *	looked for --event--> heard --end of the turn--> looked for
 *
 * Of each the kernel tells one event, and no other one before it is asked to
 * look again (EPOLLONESHOT): what a worker has is not heard of meanwhile, or
 * once, which is passed over.
 *
 * Invariant: at the end of a turn a connection that is not BUSY is looked for
 * with what its state waits for.
 *
 * Threads: the loop's.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "service_impl.h"

enum { EVENTS_MOST = 256 }; /* of one turn: the next one has the others */

enum mbj_rc watch_init(struct service *service, struct mbj_error *err)
{
	service->watch_fd = epoll_create1(EPOLL_CLOEXEC);
	return service->watch_fd >= 0
		       ? MBJ_OK
		       : mbj_error_errno(err, errno, "cannot wait for",
					 "connections");
}

void watch_done(struct service *service)
{
	socket_close(service->watch_fd);
	service->watch_fd = -1;
}

/* 0: it is nobody's to look for. */
static uint32_t peer_events(const struct peer *peer)
{
	switch (peer->state) {
	case PEER_HEAD:
	case PEER_BODY:
		return EPOLLIN;
	case PEER_WRITE:
		return EPOLLOUT;
	case PEER_ROOM:
		/* Nothing is read, but who has gone waits for nothing. */
		return EPOLLRDHUP;
	case PEER_LATER:
		/* Who has only said that he asks nothing more waits on. */
		return EPOLLHUP;
	case PEER_BUSY:
	case PEER_GONE:
		break;
	}
	return 0;
}

/* Without memory for that nobody would hear of it. */
static void peer_watch(struct service *service, struct peer *peer)
{
	uint32_t wanted = peer_events(peer);
	struct epoll_event event = {.events = wanted | EPOLLONESHOT,
				    .data.ptr = peer};
	int call = peer->is_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (wanted == 0 || wanted == peer->watched)
		return;
	if (epoll_ctl(service->watch_fd, call, peer->fd, &event) < 0) {
		peer->state = PEER_GONE;
		return;
	}
	peer->is_watched = true;
	peer->watched = wanted;
}

void watch_all(struct service *service)
{
	for (size_t i = 0; i < service->peer_count; i++)
		peer_watch(service, service->peers[i]);
}

static void peer_hear(struct peer *peer)
{
	peer->watched = 0;
	switch (peer->state) {
	case PEER_HEAD:
	case PEER_BODY:
		peer_read(peer);
		break;
	case PEER_WRITE:
		peer_write(peer);
		break;
	case PEER_ROOM:
	case PEER_LATER:
		peer->state = PEER_GONE;
		break;
	case PEER_BUSY:
	case PEER_GONE:
		break;
	}
}

void watch_hear(struct service *service)
{
	struct epoll_event events[EVENTS_MOST];
	int count = epoll_wait(service->watch_fd, events, EVENTS_MOST, 0);

	for (int i = 0; i < count; i++)
		peer_hear(events[i].data.ptr);
}
