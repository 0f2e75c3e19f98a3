/*
 * Connections whose client waits for replicas to have received a group: parked
 * here, in one thread for all of them, so that they hold no worker and the loop
 * reads no files.  To the loop they are BUSY until they are handed back.
 *
 *	worker: await_hold (a place), then, done with it, await_give
 *	thread: looks at the register when somebody writes there, answers those
 *		whose group enough replicas have, whose time is over or whose
 *		client has gone, and all once the service stops
 *
 * Threads: await_hold and await_give are a worker's, await_halt the loop's.
 */
#define _GNU_SOURCE /* POLLRDHUP */

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <mbj/check.h>

#include "service_impl.h"

enum { AWAIT_WAKE, AWAIT_WATCH, AWAIT_FIXED };

/* ---------------------------------------------------------------- thread */

/* Those who have come since; false: it is over. */
static bool come_take(struct awaits *awaits, bool *ret_is_halted)
{
	struct waiter *come;
	struct waiter *next;
	bool is_ending;

	pthread_mutex_lock(&awaits->mutex);
	come = awaits->come;
	awaits->come = NULL;
	is_ending = awaits->is_ending;
	*ret_is_halted = awaits->is_halted;
	pthread_mutex_unlock(&awaits->mutex);
	for (; come != NULL; come = next) {
		next = come->next;
		waiters_put(&awaits->waiters, come);
	}
	return !is_ending;
}

static void answer(struct awaits *awaits, const struct waiter *waiter,
		   bool is_halted, const struct mbj_error *look)
{
	struct peer *peer = waiter->who;
	struct mbj_error why = {.rc = MBJ_OK};

	if (waiter_is_served(waiter))
		why.rc = MBJ_OK;
	else if (is_halted)
		(void)received_halt(waiter->lsn, waiter->replicas, &why);
	else if (look->rc < 0)
		why = *look;
	else
		(void)received_fail(waiter->lsn, waiter->replicas,
				    waiter->count, waiter->ms, &why);
	work_received(peer, waiter->count, &why);
	pthread_mutex_lock(&awaits->mutex);
	awaits->held--;
	pthread_mutex_unlock(&awaits->mutex);
	pool_back(&peer->service->pool, peer);
}

/* Look, and answer those for whom it is time. */
static void round_run(struct awaits *awaits, bool is_halted)
{
	struct mbj_error look = {.rc = MBJ_OK};
	struct waiter *next;

	if (awaits->waiters.count == 0) {
		mbj_watch_close(&awaits->watch);
		return;
	}
	/* First be told, then look: nothing is missed. */
	received_watch(&awaits->watch, awaits->store);
	if (received_look_store(awaits->store, awaits->received, &look) < 0)
		awaits->received->count = 0;
	else
		look.rc = MBJ_OK;
	for (struct waiter *w =
		     waiters_take(&awaits->waiters, awaits->received,
				  is_halted ? INT64_MAX : mbj_monotonic_ms());
	     w != NULL; w = next) {
		next = w->next;
		answer(awaits, w, is_halted, &look);
	}
}

static int polls_fill(struct awaits *awaits, size_t *ret_count)
{
	struct pollfd *fds = awaits->fds;
	int64_t left = waiters_left(&awaits->waiters, mbj_monotonic_ms());
	int64_t tick =
		awaits->watch.fd < 0 ? RECEIVED_POLL_MS : RECEIVED_TICK_MS;
	size_t n = AWAIT_FIXED;

	fds[AWAIT_WAKE] = (struct pollfd){awaits->wake_fd, POLLIN, 0};
	fds[AWAIT_WATCH] = (struct pollfd){awaits->watch.fd, POLLIN, 0};
	for (const struct waiter *w = awaits->waiters.head; w; w = w->next) {
		const struct peer *peer = w->who;

		fds[n++] = (struct pollfd){peer->fd, POLLRDHUP, 0};
	}
	*ret_count = n;
	if (awaits->waiters.count == 0)
		return -1;
	return (int)(left < tick ? left : tick);
}

/* Until something is to be done.  Nobody waits for one that has gone. */
static void await_poll(struct awaits *awaits)
{
	size_t n;
	int timeout = polls_fill(awaits, &n);
	struct pollfd *fd = awaits->fds + AWAIT_FIXED;
	uint64_t sign;

	if (socket_poll(awaits->fds, n, timeout) <= 0)
		return;
	for (struct waiter *w = awaits->waiters.head; w; w = w->next, fd++)
		if (fd->revents != 0)
			w->until_ms = 0;
	mbj_watch_drain(&awaits->watch);
	if (read(awaits->wake_fd, &sign, sizeof(sign)) < 0)
		MBJ_ASSERT(errno == EAGAIN || errno == EINTR);
}

static void *await_main(void *arg)
{
	struct awaits *awaits = arg;
	bool is_halted;

	while (come_take(awaits, &is_halted)) {
		round_run(awaits, is_halted);
		await_poll(awaits);
	}
	mbj_watch_close(&awaits->watch);
	return NULL;
}

/* --------------------------------------------------------------- outside */

static void await_wake(struct awaits *awaits)
{
	static const uint64_t one = 1;

	/* An eventfd takes eight bytes at once, or is readable already. */
	if (write(awaits->wake_fd, &one, sizeof(one)) < 0)
		MBJ_ASSERT(errno == EAGAIN || errno == EINTR);
}

/* A place, and the thread where it is the first one ever.  With the mutex. */
static enum mbj_rc place_take(struct awaits *awaits, struct mbj_error *err)
{
	if (awaits->held == awaits->max)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "%zu clients wait for replicas, as many "
				     "as the service takes: ask again",
				     awaits->max);
	if (!awaits->is_begun &&
	    pthread_create(&awaits->thread, NULL, await_main, awaits) != 0)
		return mbj_error_nomem(err);
	awaits->is_begun = true;
	awaits->held++;
	return MBJ_OK;
}

enum mbj_rc await_hold(struct peer *peer, const struct wire_wait *wait,
		       struct mbj_error *err)
{
	struct awaits *awaits = &peer->service->awaits;
	enum mbj_rc rc;

	rc = received_check(awaits->store, wait->lsn, wait->replicas, wait->ms,
			    err);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&awaits->mutex);
	rc = place_take(awaits, err);
	pthread_mutex_unlock(&awaits->mutex);
	if (rc < 0) {
		mbj_error_at(err, NULL, 0, wait->lsn.v);
		return rc;
	}
	peer->waiter = (struct waiter){
		.who = peer,
		.lsn = wait->lsn,
		.replicas = wait->replicas,
		.ms = wait->ms,
		.until_ms = mbj_monotonic_ms() + wait->ms,
	};
	peer->is_waiting = true;
	return MBJ_OK;
}

void await_give(struct peer *peer)
{
	struct awaits *awaits = &peer->service->awaits;

	MBJ_ASSERT(peer->is_waiting);
	peer->is_waiting = false;
	pthread_mutex_lock(&awaits->mutex);
	peer->waiter.next = awaits->come;
	awaits->come = &peer->waiter;
	pthread_mutex_unlock(&awaits->mutex);
	await_wake(awaits);
}

void await_halt(struct awaits *awaits)
{
	pthread_mutex_lock(&awaits->mutex);
	awaits->is_halted = true;
	pthread_mutex_unlock(&awaits->mutex);
	await_wake(awaits);
}

enum mbj_rc await_init(struct awaits *awaits, struct mbj_store *store,
		       size_t max, struct mbj_error *err)
{
	*awaits = (struct awaits){.store = store,
				  .max = max,
				  .watch = MBJ_WATCH_CLOSED,
				  .wake_fd = -1};
	awaits->fds = mbj_calloc(AWAIT_FIXED + max, sizeof(*awaits->fds));
	awaits->received = mbj_calloc(1, sizeof(*awaits->received));
	if (awaits->fds == NULL || awaits->received == NULL ||
	    pthread_mutex_init(&awaits->mutex, NULL) != 0) {
		mbj_free(awaits->fds);
		mbj_free(awaits->received);
		awaits->fds = NULL;
		return mbj_error_nomem(err);
	}
	awaits->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (awaits->wake_fd < 0)
		return mbj_error_errno(err, errno, "cannot make an eventfd",
				       NULL);
	return MBJ_OK;
}

void await_done(struct awaits *awaits)
{
	if (awaits->fds == NULL)
		return;
	pthread_mutex_lock(&awaits->mutex);
	MBJ_ASSERT(awaits->held == 0);
	awaits->is_ending = true;
	pthread_mutex_unlock(&awaits->mutex);
	if (awaits->is_begun) {
		await_wake(awaits);
		(void)pthread_join(awaits->thread, NULL);
	}
	pthread_mutex_destroy(&awaits->mutex);
	socket_close(awaits->wake_fd);
	mbj_free(awaits->fds);
	mbj_free(awaits->received);
	awaits->fds = NULL;
}
