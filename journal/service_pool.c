/*
 * Worker threads: begun as they are needed, never more than max.
 *
 * Each has a semaphore of its own, and is handed its connection before it is
 * woken, without the mutex: nobody is woken only to wait for who woke him, as
 * the signal of a condition under its mutex does.  Who has been idle longest is
 * the next: on a busy machine a thread that does all of the work waits longer
 * for its processor than one that comes from a long sleep.
 *
 * Threads: pool_give and pool_take are the loop's.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <mbj/check.h>

#include "service_impl.h"

enum { STACK_SIZE = 1 << 20 };

/* Under the mutex: the first that waits, NULL: none does. */
static struct peer *queue_take(struct pool *pool)
{
	struct peer *peer = pool->queue_head;

	if (peer == NULL)
		return NULL;
	pool->queue_head = peer->next;
	if (pool->queue_head == NULL)
		pool->queue_tail = &pool->queue_head;
	return peer;
}

/* A connection with a request, or NULL: the thread is to end. */
static struct peer *work_next(struct worker *worker)
{
	struct pool *pool = worker->pool;
	struct peer *peer;
	bool is_idle;

	pthread_mutex_lock(&pool->mutex);
	peer = queue_take(pool);
	is_idle = peer == NULL && !pool->is_ending;
	if (is_idle) {
		worker->next = NULL;
		*pool->idle_tail = worker;
		pool->idle_tail = &worker->next;
	}
	pthread_mutex_unlock(&pool->mutex);
	if (!is_idle)
		return peer;
	while (sem_wait(&worker->wake) != 0)
		continue; /* interrupted by a signal */
	return worker->peer;
}

void pool_wake(struct pool *pool)
{
	static const uint64_t one = 1;

	/* An eventfd takes eight bytes at once, or is readable already. */
	if (write(pool->wake_fd, &one, sizeof(one)) < 0)
		MBJ_ASSERT(errno == EAGAIN || errno == EINTR);
}

void pool_back(struct pool *pool, struct peer *peer)
{
	bool is_first;

	pthread_mutex_lock(&pool->done_mutex);
	is_first = pool->done == NULL;
	peer->next = pool->done;
	pool->done = peer;
	pthread_mutex_unlock(&pool->done_mutex);
	if (is_first)
		pool_wake(pool);
}

static void *worker_run(void *arg)
{
	struct worker *worker = arg;
	struct peer *peer;

	while ((peer = work_next(worker)) != NULL) {
		bool is_back;

		do {
			is_back = work_run(peer);
		} while (!is_back && stay_run(worker->pool, peer));
		if (is_back)
			continue;
		if (peer->is_waiting)
			await_give(peer);
		else
			pool_back(worker->pool, peer);
	}
	return NULL;
}

/* One thread more, if there may be.  Only the first has to be had. */
static bool worker_begin(struct pool *pool)
{
	struct worker *worker;
	pthread_attr_t attr;
	bool is_begun;

	if (pool->count == pool->max)
		return false;
	worker = &pool->workers[pool->count];
	worker->pool = pool;
	if (sem_init(&worker->wake, 0, 0) != 0)
		return false;
	if (pthread_attr_init(&attr) != 0) {
		(void)sem_destroy(&worker->wake);
		return false;
	}
	(void)pthread_attr_setstacksize(&attr, STACK_SIZE);
	is_begun =
		pthread_create(&worker->thread, &attr, worker_run, worker) == 0;
	(void)pthread_attr_destroy(&attr);
	if (!is_begun)
		(void)sem_destroy(&worker->wake);
	pool->count += is_begun;
	return is_begun;
}

static bool mutexes_init(struct pool *pool)
{
	if (pthread_mutex_init(&pool->mutex, NULL) != 0)
		return false;
	if (pthread_mutex_init(&pool->done_mutex, NULL) == 0)
		return true;
	pthread_mutex_destroy(&pool->mutex);
	return false;
}

static void mutexes_destroy(struct pool *pool)
{
	pthread_mutex_destroy(&pool->done_mutex);
	pthread_mutex_destroy(&pool->mutex);
}

enum mbj_rc pool_init(struct pool *pool, size_t max, struct mbj_error *err)
{
	memset(pool, 0, sizeof(*pool));
	pool->queue_tail = &pool->queue_head;
	pool->idle_tail = &pool->idle;
	pool->max = max;
	pool->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->wake_fd < 0)
		return mbj_error_errno(err, errno, "cannot make an eventfd",
				       NULL);
	pool->workers = mbj_calloc(max, sizeof(*pool->workers));
	if (pool->workers == NULL || !mutexes_init(pool))
		goto nomem;
	if (worker_begin(pool))
		return MBJ_OK;
	mutexes_destroy(pool);
nomem:
	mbj_free(pool->workers);
	socket_close(pool->wake_fd);
	pool->workers = NULL;
	return mbj_error_nomem(err);
}

void pool_done(struct pool *pool)
{
	struct worker *next;

	if (pool->workers == NULL)
		return;
	pthread_mutex_lock(&pool->mutex);
	MBJ_ASSERT(pool->queue_head == NULL);
	pool->is_ending = true;
	for (struct worker *w = pool->idle; w != NULL; w = next) {
		next = w->next;
		w->peer = NULL;
		(void)sem_post(&w->wake);
	}
	pool->idle = NULL;
	pool->idle_tail = &pool->idle;
	pthread_mutex_unlock(&pool->mutex);
	for (size_t i = 0; i < pool->count; i++) {
		(void)pthread_join(pool->workers[i].thread, NULL);
		(void)sem_destroy(&pool->workers[i].wake);
	}
	mutexes_destroy(pool);
	mbj_free(pool->workers);
	socket_close(pool->wake_fd);
	pool->workers = NULL;
}

void pool_give(struct pool *pool, struct peer *peer)
{
	struct worker *worker;

	pthread_mutex_lock(&pool->mutex);
	worker = pool->idle;
	if (worker != NULL) {
		pool->idle = worker->next;
		if (pool->idle == NULL)
			pool->idle_tail = &pool->idle;
		worker->peer = peer;
	} else {
		peer->next = NULL;
		*pool->queue_tail = peer;
		pool->queue_tail = &peer->next;
	}
	pthread_mutex_unlock(&pool->mutex);
	if (worker != NULL)
		(void)sem_post(&worker->wake);
	else
		(void)worker_begin(pool);
}

struct peer *pool_take(struct pool *pool)
{
	struct peer *done;
	uint64_t count;

	/* First the sign, then what it stands for: none is missed. */
	if (read(pool->wake_fd, &count, sizeof(count)) < 0)
		MBJ_ASSERT(errno == EAGAIN || errno == EINTR);
	pthread_mutex_lock(&pool->done_mutex);
	done = pool->done;
	pool->done = NULL;
	pthread_mutex_unlock(&pool->done_mutex);
	return done;
}
