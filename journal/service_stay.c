/*
 * A worker that has answered stays with its connection for a moment: whoever
 * does one thing after the other asks again at once, and is then heard by who
 * is about to answer, without the loop, and the two switches of threads that it
 * takes to hand a connection over and back.
 *
 * What is read here is whole, short, and nothing that the loop has to note: all
 * else waits in the socket for the loop.  Few stay, nobody where others wait
 * for a worker, nobody once the service stops, and nobody for long: the loop
 * counts what was done, and judges by it who is idle.
 *
 * Threads: a worker's, for the connection that it has.
 */
#include <poll.h>

#include "service_impl.h"

enum {
	STAY_MAX = 2, /* at once: more would only keep workers from others */
	STAY_MS = 5,
	/* Then the loop is to hear of it, whatever comes next. */
	STAY_REQUESTS_MAX = 64,
	STAY_TURN_MS = 100, /* since the loop had it */
};

/*
 * What the loop has nothing to note of.  Who has just come, or asked about the
 * service, is to find what was done before him counted.
 */
static bool kind_can_stay(enum wire_kind kind)
{
	return kind != WIRE_HELLO && kind != WIRE_STATUS && kind != WIRE_STOP;
}

/* All was sent, and the connection is as the loop would have it next. */
static bool peer_can_stay(const struct peer *peer)
{
	return !peer->is_ending && !peer->is_waiting && !peer->is_put_off &&
	       kind_can_stay(peer->request.kind) &&
	       peer->out_at == peer->out.n && peer->reserved == 0 &&
	       peer->out.capacity <= SERVICE_SMALL_SIZE &&
	       peer->stayed < STAY_REQUESTS_MAX &&
	       mbj_monotonic_ms() - peer->last_ms < STAY_TURN_MS;
}

static bool stay_begin(struct pool *pool)
{
	bool is_begun;

	pthread_mutex_lock(&pool->mutex);
	is_begun = pool->queue_head == NULL && !pool->is_halted &&
		   pool->staying < STAY_MAX;
	pool->staying += is_begun;
	pthread_mutex_unlock(&pool->mutex);
	return is_begun;
}

static void stay_end(struct pool *pool)
{
	pthread_mutex_lock(&pool->mutex);
	pool->staying--;
	pthread_mutex_unlock(&pool->mutex);
}

/* A whole request is in the socket: its head. */
static bool head_peek(struct peer *peer, uint8_t bytes[WIRE_HEAD_SIZE],
		      struct wire_head *ret_head)
{
	size_t count = socket_peek(peer->fd, bytes, WIRE_HEAD_SIZE);

	return count >= WIRE_HEAD_SIZE &&
	       wire_head_decode(bytes, ret_head, NULL) == MBJ_OK &&
	       ret_head->side == WIRE_REQUEST &&
	       kind_can_stay(ret_head->kind) &&
	       ret_head->size <= SERVICE_SMALL_SIZE - WIRE_HEAD_SIZE &&
	       count >= WIRE_HEAD_SIZE + (size_t)ret_head->size;
}

/*
 * All of it, or the connection is over: the kernel ends a piece at descriptors
 * that somebody sent along, and at urgent bytes, which it counted as there.
 * No client of this protocol sends either.
 */
static bool piece_read(struct peer *peer, void *p, size_t n)
{
	if (n == 0 || socket_receive(peer->fd, p, n) == (ssize_t)n)
		return true;
	peer->is_ending = true;
	return false;
}

/* Out of the socket, as the loop would have read it. */
static bool request_read(struct peer *peer, const struct wire_head *head)
{
	mbj_buf_clear(&peer->in);
	mbj_buf_put_zero(&peer->in, head->size);
	if (mbj_buf_ok(&peer->in, NULL) < 0 ||
	    !piece_read(peer, peer->head, WIRE_HEAD_SIZE) ||
	    !piece_read(peer, peer->in.p, head->size))
		return false;
	peer->request = *head;
	peer->stayed++;
	peer->stayed_edits += peer->is_edit;
	peer->is_edit = false;
	return true;
}

bool stay_run(struct pool *pool, struct peer *peer)
{
	struct pollfd fd = {peer->fd, POLLIN, 0};
	uint8_t bytes[WIRE_HEAD_SIZE];
	struct wire_head head;
	bool is_there;

	if (!peer_can_stay(peer) || !stay_begin(pool))
		return false;
	is_there = poll(&fd, 1, STAY_MS) > 0 && head_peek(peer, bytes, &head);
	stay_end(pool);
	return is_there && request_read(peer, &head);
}

void stay_halt(struct pool *pool)
{
	pthread_mutex_lock(&pool->mutex);
	pool->is_halted = true;
	pthread_mutex_unlock(&pool->mutex);
}
