/*
 * Worker threads: begun as they are needed, never more than max.
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

/* A connection with a request, or NULL: the thread is to end. */
static struct peer *work_next(struct pool *pool)
{
	struct peer *peer;

	pthread_mutex_lock(&pool->mutex);
	pool->idle++;
	while (pool->queue_head == NULL && !pool->is_ending)
		pthread_cond_wait(&pool->work, &pool->mutex);
	pool->idle--;
	peer = pool->queue_head;
	if (peer != NULL) {
		pool->queue_head = peer->next;
		if (pool->queue_head == NULL)
			pool->queue_tail = &pool->queue_head;
		pool->queued--;
	}
	pthread_mutex_unlock(&pool->mutex);
	return peer;
}

void pool_back(struct pool *pool, struct peer *peer)
{
	static const uint64_t one = 1;
	bool is_first;

	pthread_mutex_lock(&pool->mutex);
	is_first = pool->done == NULL;
	peer->next = pool->done;
	pool->done = peer;
	pthread_mutex_unlock(&pool->mutex);
	/* An eventfd takes eight bytes at once, or is readable already. */
	if (is_first && write(pool->wake_fd, &one, sizeof(one)) < 0)
		MBJ_ASSERT(errno == EAGAIN || errno == EINTR);
}

static void *worker(void *arg)
{
	struct pool *pool = arg;
	struct peer *peer;

	while ((peer = work_next(pool)) != NULL) {
		work_run(peer);
		if (peer->is_waiting)
			await_give(peer);
		else
			pool_back(pool, peer);
	}
	return NULL;
}

/* One thread more, if there may be.  Only the first has to be had. */
static bool worker_begin(struct pool *pool)
{
	pthread_attr_t attr;
	bool is_begun;

	if (pool->count == pool->max || pthread_attr_init(&attr) != 0)
		return false;
	(void)pthread_attr_setstacksize(&attr, STACK_SIZE);
	is_begun = pthread_create(&pool->threads[pool->count], &attr, worker,
				  pool) == 0;
	(void)pthread_attr_destroy(&attr);
	pool->count += is_begun;
	return is_begun;
}

enum mbj_rc pool_init(struct pool *pool, size_t max, struct mbj_error *err)
{
	memset(pool, 0, sizeof(*pool));
	pool->queue_tail = &pool->queue_head;
	pool->max = max;
	pool->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->wake_fd < 0)
		return mbj_error_errno(err, errno, "cannot make an eventfd",
				       NULL);
	pool->threads = mbj_calloc(max, sizeof(*pool->threads));
	if (pool->threads == NULL ||
	    pthread_mutex_init(&pool->mutex, NULL) != 0)
		goto nomem;
	if (pthread_cond_init(&pool->work, NULL) != 0) {
		pthread_mutex_destroy(&pool->mutex);
		goto nomem;
	}
	if (worker_begin(pool))
		return MBJ_OK;
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->mutex);
nomem:
	mbj_free(pool->threads);
	socket_close(pool->wake_fd);
	pool->threads = NULL;
	return mbj_error_nomem(err);
}

void pool_done(struct pool *pool)
{
	if (pool->threads == NULL)
		return;
	pthread_mutex_lock(&pool->mutex);
	MBJ_ASSERT(pool->queue_head == NULL);
	pool->is_ending = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->mutex);
	for (size_t i = 0; i < pool->count; i++)
		(void)pthread_join(pool->threads[i], NULL);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->mutex);
	mbj_free(pool->threads);
	socket_close(pool->wake_fd);
	pool->threads = NULL;
}

void pool_give(struct pool *pool, struct peer *peer)
{
	bool is_short;

	pthread_mutex_lock(&pool->mutex);
	peer->next = NULL;
	*pool->queue_tail = peer;
	pool->queue_tail = &peer->next;
	pool->queued++;
	is_short = pool->queued > pool->idle;
	pthread_cond_signal(&pool->work);
	pthread_mutex_unlock(&pool->mutex);
	if (is_short)
		(void)worker_begin(pool);
}

struct peer *pool_take(struct pool *pool)
{
	struct peer *done;
	uint64_t count;

	/* First the sign, then what it stands for: none is missed. */
	if (read(pool->wake_fd, &count, sizeof(count)) < 0)
		MBJ_ASSERT(errno == EAGAIN || errno == EINTR);
	pthread_mutex_lock(&pool->mutex);
	done = pool->done;
	pool->done = NULL;
	pthread_mutex_unlock(&pool->mutex);
	return done;
}
