/*
 * A connection: its request comes in, its answer goes out, and it is counted
 * what that takes.  Nothing beyond the request is read before its answer is
 * gone: a client that does not read does not get to ask.
 *
 * Threads: the loop's, and a worker's while the state is BUSY.
 */
#include <errno.h>

#include <mbj/check.h>

#include "service_impl.h"

enum {
	/* Slowest that a long request or answer may be: bytes a millisecond. */
	SLOWEST = 64,
	/* Who gets no further has this part of his time where others wait. */
	STUCK_PART = 15,
};

struct peer *peer_new(struct service *service, int fd)
{
	struct peer *peer = mbj_calloc(1, sizeof(*peer));

	if (peer == NULL)
		return NULL;
	peer->service = service;
	peer->fd = fd;
	peer->state = PEER_HEAD;
	peer->dispatcher.store = service->store;
	peer->dispatcher.asker = standing_asker(&service->store->standing);
	peer->came_ms = mbj_monotonic_ms();
	peer->began_ms = peer->came_ms;
	peer->last_ms = peer->came_ms;
	mbj_buf_init(&peer->in, WIRE_EDIT_MAX);
	mbj_buf_init(&peer->out, WIRE_LIST_MAX + WIRE_HEAD_SIZE);
	return peer;
}

void peer_free(struct peer **peer)
{
	struct peer *p = *peer;

	if (p == NULL)
		return;
	MBJ_ASSERT(p->state != PEER_BUSY);
	room_release(p);
	answers_release(p);
	dispatch_done(&p->dispatcher);
	mbj_client_status_done(&p->status);
	mbj_buf_done(&p->in);
	mbj_buf_done(&p->out);
	socket_close(p->fd);
	mbj_free(p);
	*peer = NULL;
}

void peer_drop(struct service *service, size_t at)
{
	peer_free(&service->peers[at]);
	service->peer_count--;
	for (size_t i = at; i < service->peer_count; i++)
		service->peers[i] = service->peers[i + 1];
}

/* Bytes of a message are on their way, in pieces. */
static bool body_is_open(const struct peer *peer)
{
	return peer->dispatcher.writer != NULL ||
	       peer->dispatcher.reader != NULL;
}

bool peer_is_idle(const struct peer *peer)
{
	return peer->state == PEER_HEAD && peer->is_greeted &&
	       !peer->is_in_doubt && peer->head_count == 0 &&
	       !body_is_open(peer);
}

bool peer_is_stranger(const struct peer *peer)
{
	/* What a worker has is its to read. */
	return peer->state != PEER_BUSY && !peer->is_greeted;
}

/* ---------------------------------------------------------------- answers */

bool peer_refuse(struct peer *peer, const struct mbj_error *why)
{
	struct wire_head head = {
		.kind = peer->request.kind ? peer->request.kind : WIRE_HELLO,
		.side = WIRE_REFUSAL,
		.number = peer->request.number,
	};

	MBJ_ASSERT(why->rc < 0);
	mbj_buf_clear(&peer->out);
	mbj_buf_put_zero(&peer->out, WIRE_HEAD_SIZE);
	wire_error_encode(&peer->out, why);
	if (peer->out.failed != MBJ_OK) {
		mbj_buf_clear(&peer->out);
		peer->is_ending = true;
		return false;
	}
	head.size = (uint32_t)(peer->out.n - WIRE_HEAD_SIZE);
	wire_head_encode(&head, peer->out.p);
	return true;
}

void peer_flush(struct peer *peer)
{
	while (peer->out_at < peer->out.n) {
		ssize_t n = socket_send(peer->fd, peer->out.p + peer->out_at,
					peer->out.n - peer->out_at);

		if (n == -EAGAIN)
			return;
		if (n < 0) {
			/* Nobody is there to read it. */
			peer->is_ending = true;
			peer->out_at = peer->out.n;
			return;
		}
		peer->out_at += (size_t)n;
	}
}

/* Keep the memory that any connection has, and no more. */
static void buf_trim(struct mbj_buf *buf)
{
	size_t max = buf->max;

	if (buf->capacity <= SERVICE_SMALL_SIZE) {
		mbj_buf_clear(buf);
		return;
	}
	mbj_buf_done(buf);
	mbj_buf_init(buf, max);
}

/* Ready for the next request. */
static void peer_reset(struct peer *peer)
{
	buf_trim(&peer->in);
	buf_trim(&peer->out);
	room_release(peer);
	answers_release(peer);
	peer->head_count = 0;
	peer->out_at = 0;
	peer->state = PEER_HEAD;
}

void peer_write(struct peer *peer)
{
	size_t before = peer->out_at;

	MBJ_ASSERT(peer->state == PEER_WRITE);
	peer_flush(peer);
	if (peer->out_at > before)
		peer->last_ms = mbj_monotonic_ms();
	if (peer->out_at < peer->out.n)
		return;
	if (peer->is_ending)
		peer->state = PEER_GONE;
	else
		peer_reset(peer);
}

/* A refusal that ends the connection. */
static void peer_end(struct peer *peer, const struct mbj_error *why)
{
	peer->is_ending = true;
	peer->state = PEER_WRITE;
	peer->began_ms = mbj_monotonic_ms();
	peer->last_ms = peer->began_ms;
	(void)peer_refuse(peer, why);
	peer_write(peer);
}

/* What was done since the loop had it. */
static void peer_count(struct peer *peer)
{
	struct mbj_service_stats *stats = &peer->service->stats;
	uint64_t count = peer->stayed + !peer->is_put_off;

	peer->request_count += count;
	stats->requests += count;
	stats->edits += peer->is_edit + peer->stayed_edits;
	peer->stayed = peer->stayed_edits = 0;
}

void peer_back(struct peer *peer)
{
	struct service *service = peer->service;

	MBJ_ASSERT(peer->state == PEER_BUSY);
	peer_count(peer);
	peer->last_ms = mbj_monotonic_ms();
	if (peer->is_put_off) {
		answers_enter(peer);
		return;
	}
	answers_back(peer);
	peer->began_ms = peer->last_ms;
	peer->state = PEER_WRITE;
	if (answer_may_wait(peer->request.kind)) {
		/* What nobody reads keeps no request waiting. */
		buf_trim(&peer->in);
		room_release(peer);
	} else if (peer->out.capacity > SERVICE_SMALL_SIZE) {
		/* An edit's: it counts as long as it is here. */
		peer->reserved += peer->out.capacity;
		service->stats.memory += peer->out.capacity;
	}
	peer_write(peer);
}

/* ---------------------------------------------------------------- requests */

/* True: the head is good, and the body may come. */
static bool head_take(struct peer *peer)
{
	struct mbj_error err;
	enum mbj_rc rc;

	rc = wire_head_decode(peer->head, &peer->request, &err);
	if (rc == MBJ_OK && peer->request.side != WIRE_REQUEST)
		rc = mbj_error_set(&err, MBJ_ECORRUPT,
				   "a client sends requests, not answers");
	if (rc == MBJ_OK && !peer->is_greeted &&
	    peer->request.kind != WIRE_HELLO)
		rc = mbj_error_set(&err, MBJ_ECORRUPT,
				   "a client says hello before it asks for "
				   "\"%s\"",
				   wire_kind_word(peer->request.kind));
	if (rc < 0) {
		peer_end(peer, &err);
		return false;
	}
	mbj_buf_clear(&peer->in);
	peer->began_ms = mbj_monotonic_ms();
	peer->state = PEER_BODY;
	return true;
}

/* What a STATUS is to say of the service: only the loop knows. */
static void status_note(struct peer *peer)
{
	struct service *service = peer->service;
	struct mbj_client_status *status = &peer->status;
	struct taken_counts taken = taken_counts_get(&service->taken);
	int64_t now = mbj_monotonic_ms();

	mbj_client_status_done(status);
	status->service = service->stats;
	status->service.up_ms = (uint64_t)(now - service->began_ms);
	status->service.connections = service->peer_count;
	status->service.workers = service->pool.count;
	status->service.taken = taken.count;
	status->service.taken_lost = taken.lost;
	status->service.stood = standing_count(&service->store->standing);
	status->service.answers = answers_sum(&service->answers);
	status->peers = mbj_calloc(service->peer_count, sizeof(*status->peers));
	if (status->peers == NULL)
		return;
	status->peer_count = service->peer_count;
	for (size_t i = 0; i < service->peer_count; i++) {
		const struct peer *p = service->peers[i];

		status->peers[i] = (struct mbj_client_peer){
			.process = (uint64_t)p->who.process,
			.uid = (uint32_t)p->who.uid,
			.gid = (uint32_t)p->who.gid,
			.requests = p->request_count,
			.idle_ms = (uint64_t)(now - p->last_ms),
		};
	}
}

void peer_dispatch(struct peer *peer)
{
	if (peer->request.kind == WIRE_STATUS)
		status_note(peer);
	peer->state = PEER_BUSY;
	pool_give(&peer->service->pool, peer);
}

/* Read at most n bytes; 0: nothing now, or the connection is gone. */
static size_t peer_receive(struct peer *peer, void *p, size_t n)
{
	ssize_t got = socket_receive(peer->fd, p, n);

	if (got == -EAGAIN)
		return 0;
	if (got <= 0) {
		/* What it had not sent whole was not asked for. */
		peer->state = PEER_GONE;
		return 0;
	}
	peer->last_ms = mbj_monotonic_ms();
	return (size_t)got;
}

/* True: go on reading. */
static bool head_read(struct peer *peer)
{
	size_t n;

	if (peer->head_count == 0)
		peer->began_ms = mbj_monotonic_ms();
	n = peer_receive(peer, peer->head + peer->head_count,
			 WIRE_HEAD_SIZE - peer->head_count);
	peer->head_count += n;
	if (n == 0)
		return false;
	return peer->head_count < WIRE_HEAD_SIZE || head_take(peer);
}

/* How much of the body is read next: nothing beyond what there is room for. */
static size_t piece_size(const struct peer *peer)
{
	size_t left = peer->request.size - peer->in.n;
	size_t room = room_size(peer) - peer->in.n;
	size_t n = left < room ? left : room;

	return n < SERVICE_SMALL_SIZE ? n : SERVICE_SMALL_SIZE;
}

static bool body_read(struct peer *peer)
{
	struct mbj_error err;
	size_t n;

	if (peer->in.n == peer->request.size) {
		peer_dispatch(peer);
		return false;
	}
	if (peer->in.n == room_size(peer) && !room_ask(peer))
		return false;
	n = peer_receive(peer, peer->service->scratch, piece_size(peer));
	if (n == 0)
		return false;
	mbj_buf_put(&peer->in, peer->service->scratch, n);
	if (mbj_buf_ok(&peer->in, &err) == MBJ_OK)
		return true;
	peer_end(peer, &err);
	return false;
}

void peer_go_on(struct peer *peer)
{
	int64_t now = mbj_monotonic_ms();

	MBJ_ASSERT(peer->state == PEER_ROOM);
	/* Waiting was not its doing. */
	peer->began_ms += now - peer->line_ms;
	peer->last_ms = now;
	peer->state = PEER_BODY;
	peer_read(peer);
}

void peer_read(struct peer *peer)
{
	bool is_on = true;

	while (is_on)
		is_on = peer->state == PEER_HEAD   ? head_read(peer)
			: peer->state == PEER_BODY ? body_read(peer)
						   : false;
}

/* ------------------------------------------------------------------- time */

/* When it is to be cut off for getting no further; INT64_MAX: never. */
static int64_t peer_deadline(const struct peer *peer)
{
	int64_t timeout = peer->service->options.timeout_ms;
	int64_t stalled = INT64_MAX;
	int64_t late;
	size_t size = 0;

	switch (peer->state) {
	case PEER_HEAD:
		if (peer->is_greeted && peer->head_count == 0)
			return INT64_MAX;
		break;
	case PEER_BODY:
		size = peer->request.size;
		stalled = peer->last_ms + timeout;
		break;
	case PEER_WRITE:
		size = peer->out.n;
		stalled = peer->last_ms + timeout;
		break;
	case PEER_ROOM:
	case PEER_BUSY:
	case PEER_LATER:
	case PEER_GONE:
		return INT64_MAX;
	}
	late = peer->began_ms + timeout + (int64_t)(size / SLOWEST);
	return stalled < late ? stalled : late;
}

bool peer_is_late(struct peer *peer, int64_t now)
{
	if (now <= peer_deadline(peer))
		return false;
	/* Something may have been read of which the kernel has not told. */
	if (peer->state == PEER_WRITE)
		peer_write(peer);
	return now > peer_deadline(peer);
}

/* Silence counts as if nothing had come, or gone, before it. */
bool peer_is_stuck(const struct peer *peer, int64_t now)
{
	int64_t timeout = peer->service->options.timeout_ms;
	int64_t moment = timeout / STUCK_PART;
	int64_t slow = peer->began_ms + moment;

	/* What a worker has is its to read, so the state comes first. */
	if ((peer->state != PEER_HEAD && peer->state != PEER_BODY &&
	     peer->state != PEER_WRITE) ||
	    !peer->is_greeted)
		return false;
	/* Between pieces it waits for others, maybe. */
	if (peer->state == PEER_HEAD && peer->head_count == 0)
		return body_is_open(peer) && !peer->is_in_doubt &&
		       now > peer->last_ms + timeout;
	if (peer->state == PEER_BODY)
		slow += (int64_t)(peer->in.n / SLOWEST);
	else if (peer->state == PEER_WRITE)
		slow += (int64_t)(peer->out_at / SLOWEST);
	return now > peer->last_ms + moment || now > slow;
}
