/*
 * Memory for long answers: lists, and bytes of messages.  Beyond
 * SERVICE_SMALL_SIZE, which each connection has in any case, all share
 * answers.max of it.
 *
 * What asks for such an answer changes nothing, and may be carried out again.
 * It has a share while its answer is being made, and what that takes as long as
 * that is here.  Where there is no share left it is carried out within what a
 * connection has in any case: bytes of messages then come in shorter pieces,
 * and most lists are short.  One that is not is put off: dropped, and carried
 * out again when it is its turn.  It holds no worker meanwhile, and nobody else
 * stands in that line: no edit, no body, no short list.
 *
 * While somebody waits, who has read nothing of his answer for STALL_MS is
 * given up: who has read nothing for longest first, and no more than those in
 * line need.  So the line moves: and the first of it may go beyond the limit,
 * one at a time, so that it does where all read, but slowly.
 *
 * Where answers are longer than a share, all that are being made at once, and
 * the one beyond, may exceed the limit by what they are longer.
 *
 * Threads: answer_begin and answer_end are a worker's, all else is the loop's.
 */
#include <mbj/check.h>

#include "service_impl.h"

enum {
	/*
	 * The kernel tells of what is read once one of its pieces is read
	 * whole, which has up to 48 KiB: whoever is fast enough to get a long
	 * answer in the time that there is for it (peer_deadline: 64 KiB a
	 * second) is seen to read within this.
	 */
	STALL_MS = 1000,
	MAKING_MAX = 16, /* shares: long answers that are made at once */
	/* A list, so that its answer is short. */
	SHORT_MAX = SERVICE_SMALL_SIZE - WIRE_SMALL_MAX,
};

enum mbj_rc answers_init(struct answers *answers,
			 const struct mbj_service_options *options,
			 struct mbj_error *err)
{
	uint32_t making = options->workers_max;

	if (making > MAKING_MAX)
		making = MAKING_MAX;
	if (pthread_mutex_init(&answers->mutex, NULL) != 0)
		return mbj_error_nomem(err);
	answers->is_begun = true;
	answers->max = options->memory_max / 2;
	answers->share = answers->max / making;
	line_init(&answers->line);
	return MBJ_OK;
}

void answers_done(struct answers *answers)
{
	if (!answers->is_begun)
		return;
	MBJ_ASSERT(answers->sum == 0 && answers->making == 0);
	MBJ_ASSERT(answers->waiting == 0);
	pthread_mutex_destroy(&answers->mutex);
}

size_t answers_sum(struct answers *answers)
{
	size_t sum;

	pthread_mutex_lock(&answers->mutex);
	sum = answers->sum;
	pthread_mutex_unlock(&answers->mutex);
	return sum;
}

/* With the mutex: there is room for one share more beside so much. */
static bool share_fits(const struct answers *answers, size_t sum)
{
	return sum <= answers->max - answers->share;
}

/* With the mutex: what a connection has of it. */
static void kept_set(struct answers *answers, struct peer *peer, size_t size)
{
	MBJ_ASSERT(answers->sum >= peer->kept);
	answers->sum = answers->sum - peer->kept + size;
	peer->kept = size;
}

/* With the mutex. */
static void share_give(struct answers *answers, struct peer *peer)
{
	MBJ_ASSERT(peer->kept == 0 && !peer->has_share);
	answers->making++;
	kept_set(answers, peer, answers->share);
	peer->has_share = true;
}

/* --------------------------------------------------------------- workers */

bool answer_may_wait(enum wire_kind kind)
{
	return !wire_kind_is_edit(kind) &&
	       wire_size_max(kind, WIRE_ANSWER) > SERVICE_SMALL_SIZE;
}

/* Nobody overtakes those who wait. */
static void share_take(struct answers *answers, struct peer *peer)
{
	pthread_mutex_lock(&answers->mutex);
	if (answers->waiting == 0 && share_fits(answers, answers->sum))
		share_give(answers, peer);
	pthread_mutex_unlock(&answers->mutex);
}

void answer_begin(struct peer *peer)
{
	if (!answer_may_wait(peer->request.kind))
		return;
	/* Who only looks at the service takes no share from anybody. */
	if (!peer->has_share && peer->request.kind != WIRE_STATUS)
		share_take(&peer->service->answers, peer);
	peer->dispatcher.list_max = peer->has_share ? 0 : SHORT_MAX;
	peer->out.max = peer->has_share ? WIRE_LIST_MAX + WIRE_HEAD_SIZE
					: SERVICE_SMALL_SIZE;
}

/* What it takes is known: others may want what that leaves. */
static void share_settle(struct answers *answers, struct peer *peer)
{
	size_t size = peer->out.capacity;
	bool is_wanted;

	if (size <= SERVICE_SMALL_SIZE)
		size = 0;
	pthread_mutex_lock(&answers->mutex);
	is_wanted = answers->waiting > 0;
	answers->making--;
	kept_set(answers, peer, size);
	pthread_mutex_unlock(&answers->mutex);
	peer->has_share = false;
	if (is_wanted)
		pool_wake(&peer->service->pool);
}

bool answer_end(struct peer *peer, enum mbj_rc rc)
{
	struct answers *answers = &peer->service->answers;

	if (!answer_may_wait(peer->request.kind))
		return true;
	peer->out.max = WIRE_LIST_MAX + WIRE_HEAD_SIZE;
	if (peer->has_share) {
		share_settle(answers, peer);
		return true;
	}
	if (rc != MBJ_ELIMIT)
		return true;
	mbj_buf_clear(&peer->out);
	pthread_mutex_lock(&answers->mutex);
	answers->waiting++;
	pthread_mutex_unlock(&answers->mutex);
	return false;
}

/* ------------------------------------------------------------------ line */

/* It is not, or no longer, the one beyond the limit. */
static void over_leave(struct peer *peer)
{
	struct answers *answers = &peer->service->answers;

	if (answers->over == peer)
		answers->over = NULL;
}

void answers_enter(struct peer *peer)
{
	MBJ_ASSERT(peer->is_put_off && peer->kept == 0);
	/* It was that for what a worker has answered, who stayed with it. */
	over_leave(peer);
	peer->state = PEER_LATER;
	line_enter(&peer->service->answers.line, peer);
}

void answers_release(struct peer *peer)
{
	struct answers *answers = &peer->service->answers;

	over_leave(peer);
	if (peer->kept == 0 && !peer->is_put_off && !peer->has_share)
		return;
	pthread_mutex_lock(&answers->mutex);
	answers->waiting -= peer->is_put_off;
	/* It was refused before it was carried out again: no memory. */
	answers->making -= peer->has_share;
	kept_set(answers, peer, 0);
	pthread_mutex_unlock(&answers->mutex);
	peer->has_share = false;
	if (peer->is_put_off)
		line_leave(peer);
	peer->is_put_off = false;
}

void answers_back(struct peer *peer)
{
	if (peer->kept == 0 || peer->has_share)
		answers_release(peer);
}

/* A long answer of its own is here, and is to be read. */
static bool peer_is_reading(const struct peer *peer)
{
	return peer->state == PEER_WRITE && peer->kept > 0;
}

static bool process_is_reading(const struct service *service, long process)
{
	for (size_t i = 0; i < service->peer_count; i++)
		if (service->peers[i]->who.process == process &&
		    peer_is_reading(service->peers[i]))
			return true;
	return false;
}

/*
 * Whose turn it is: the first, but that processes that have nothing to read go
 * before those that have.  One that asks a lot, and does not read, waits for
 * itself.
 */
static struct peer *line_choose(const struct service *service)
{
	const struct peer_line *line = &service->answers.line;

	for (struct peer *p = line->head; p != NULL; p = p->line_next)
		if (!process_is_reading(service, p->who.process))
			return p;
	return line->head;
}

static bool turn_is_there(struct answers *answers)
{
	bool is_there;

	pthread_mutex_lock(&answers->mutex);
	is_there = share_fits(answers, answers->sum);
	pthread_mutex_unlock(&answers->mutex);
	return is_there || answers->over == NULL;
}

/* Not for those that are being made, which may turn out to be short. */
static bool answers_full(struct answers *answers)
{
	bool is_full;

	pthread_mutex_lock(&answers->mutex);
	is_full = !share_fits(answers,
			      answers->sum - answers->making * answers->share);
	pthread_mutex_unlock(&answers->mutex);
	return is_full;
}

static void turn_begin(struct service *service, struct peer *peer)
{
	struct answers *answers = &service->answers;

	line_leave(peer);
	pthread_mutex_lock(&answers->mutex);
	if (!share_fits(answers, answers->sum))
		answers->over = peer;
	answers->waiting--;
	share_give(answers, peer);
	pthread_mutex_unlock(&answers->mutex);
	peer->is_put_off = false;
	peer_dispatch(peer);
}

/* Its place among the service's; peer_count: nobody has such an answer. */
static size_t longest_stalled(const struct service *service)
{
	size_t found = service->peer_count;

	for (size_t i = 0; i < service->peer_count; i++) {
		const struct peer *p = service->peers[i];

		if (peer_is_reading(p) &&
		    (found == service->peer_count ||
		     p->last_ms < service->peers[found]->last_ms))
			found = i;
	}
	return found;
}

/* False: nobody has read nothing for so long. */
static bool give_up(struct service *service, int64_t now)
{
	size_t at = longest_stalled(service);
	struct peer *peer;

	if (at == service->peer_count)
		return false;
	peer = service->peers[at];
	if (peer->last_ms + STALL_MS > now)
		return false;
	/* Something may have been read of which the kernel has not told. */
	peer_write(peer);
	if (peer_is_reading(peer) && peer->last_ms + STALL_MS <= now) {
		service->stats.unread++;
		peer_drop(service, at);
	}
	return true;
}

void answers_sweep(struct service *service, int64_t now)
{
	struct answers *answers = &service->answers;

	while (answers->line.head != NULL)
		if (turn_is_there(answers))
			turn_begin(service, line_choose(service));
		else if (!answers_full(answers) || !give_up(service, now))
			return;
}

int answers_left_ms(struct service *service, int64_t now, int ms)
{
	size_t at;
	int64_t left;

	if (service->answers.line.head == NULL ||
	    !answers_full(&service->answers))
		return ms;
	at = longest_stalled(service);
	if (at == service->peer_count)
		return ms;
	left = service->peers[at]->last_ms + STALL_MS - now;
	return left > ms ? ms : left > 0 ? (int)left : 0;
}
