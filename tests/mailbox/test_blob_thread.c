/*
 * The blob folder with many threads: equal contents at once, rounds shared.
 */
#define _DEFAULT_SOURCE /* usleep(3) */

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "blob_lab.h"
#include "blob_priv.h"

enum { THREADS = 4, PUTS = 40, CONTENTS = 25 };

static char *tmp;
static char *dir;

static void setup(void)
{
	tmp = test_tmpdir_new();
	dir = test_path_dup(tmp, "blobs");
}

static void teardown(void)
{
	free(dir);
	test_tmpdir_free(&tmp);
}

struct worker {
	pthread_t thread;
	struct mbj_blobs *blobs;
	unsigned number;
	enum mbj_rc rc;
	struct mbj_error err;
};

static void *worker_store(void *argument)
{
	struct worker *worker = argument;

	for (unsigned i = 0; worker->rc == MBJ_OK && i < PUTS; i++) {
		struct content content;
		struct mbj_hash digest;
		bool is_there = false;

		content_make(&content, (i + worker->number) % CONTENTS);
		worker->rc =
			mbj_blob_put(worker->blobs, content_bytes(&content),
				     &digest, &worker->err);
		if (worker->rc == MBJ_OK && i % 3 != 0)
			worker->rc = mbj_blob_settle(worker->blobs, &digest,
						     &worker->err);
		if (worker->rc == MBJ_OK)
			worker->rc =
				mbj_blobs_sync(worker->blobs, &worker->err);
		if (worker->rc == MBJ_OK)
			worker->rc =
				mbj_blob_has(worker->blobs, &digest, content.n,
					     &is_there, &worker->err);
		if (worker->rc == MBJ_OK && !is_there)
			worker->rc = MBJ_ENOTFOUND;
	}
	return NULL;
}

static void *worker_sync(void *argument)
{
	struct worker *worker = argument;

	worker->rc = mbj_blobs_sync(worker->blobs, &worker->err);
	return NULL;
}

static void workers_run(struct mbj_blobs *blobs, void *(*run)(void *))
{
	struct worker workers[THREADS];

	memset(workers, 0, sizeof(workers));
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i].blobs = blobs;
		workers[i].number = i;
		ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, run,
						&workers[i]),
				 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(workers[i].thread, NULL), 0);
		test_ok(workers[i].rc, workers[i].err);
	}
}

/*
 * Goal: threads that store the same contents store each once, and all are told
 * the truth.  Method: four threads, the same contents in turn.
 */
START_TEST(blob_threads_equal)
{
	struct mbj_blobs *blobs = NULL;
	struct mbj_error err;

	test_ok(mbj_blobs_open(mbj_sys_posix(), dir, true, &blobs, &err), err);
	workers_run(blobs, worker_store);
	ck_assert_uint_eq(blobs_count(blobs), CONTENTS);
	ck_assert_uint_eq(blobs->pending_count, 0);
	mbj_blobs_close(&blobs);
}
END_TEST

struct held {
	struct mbj_sys table;
	struct mbj_blobs *blobs; /* NULL: not held yet */
	unsigned syncs;
};

/* The first round's sync waits until all the others wait for the next. */
static void held_wait(struct held *held)
{
	unsigned waiting = 0;

	held->syncs++;
	while (held->blobs != NULL && held->syncs == 1 && waiting < THREADS) {
		usleep(200);
		waiting = 0;
		pthread_mutex_lock(&held->blobs->mutex);
		for (const struct blob_waiter *at = held->blobs->waiters;
		     at != NULL; at = at->next)
			waiting++;
		pthread_mutex_unlock(&held->blobs->mutex);
	}
}

static int held_fsync(void *ctx, int fd)
{
	held_wait(ctx);
	return mbj_sys_posix()->fsync(NULL, fd);
}

static int held_fdatasync(void *ctx, int fd)
{
	held_wait(ctx);
	return mbj_sys_posix()->fdatasync(NULL, fd);
}

/*
 * Goal: whoever comes while a round is under way shares the next one.  Method:
 * hold the first round until the three others wait; two rounds are all, with
 * one sync of a folder, or of a pack whose entry is on disk.
 */
START_TEST(blob_threads_share)
{
	struct held held = {.table = *mbj_sys_posix()};
	struct mbj_blobs *blobs = NULL;
	struct content content;
	struct mbj_hash digest;
	struct mbj_error err;

	held.table.ctx = &held;
	if (_i == 0)
		held.table.fsync = held_fsync;
	else
		held.table.fdatasync = held_fdatasync;
	test_ok(mbj_blobs_open(&held.table, dir, true, &blobs, &err), err);
	if (_i == 0)
		blobs->packs.body_max = 0;
	content_make(&content, 1);
	test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest, &err),
		err);
	held.blobs = blobs;
	held.syncs = 0;
	workers_run(blobs, worker_sync);
	ck_assert_uint_eq(held.syncs, 1);
	ck_assert_uint_eq(blobs->round, 3);
	mbj_blobs_close(&blobs);
}
END_TEST

enum { KEPT = 10, LIVES = 60 };

struct beside {
	_Atomic bool is_over;
	unsigned looks;
	enum mbj_rc rc;
	struct mbj_error err;
};

/* Another process, as far as the folder is concerned. */
static void *beside_read(void *argument)
{
	struct beside *beside = argument;
	struct mbj_blobs *blobs = NULL;

	beside->rc = mbj_blobs_open(mbj_sys_posix(), dir, false, &blobs,
				    &beside->err);
	while (beside->rc == MBJ_OK && !beside->is_over) {
		struct content content;

		content_make(&content, beside->looks++ % KEPT);
		beside->rc = mbj_blob_verify(blobs, &content.digest, content.n,
					     &beside->err);
	}
	mbj_blobs_close(&blobs);
	return NULL;
}

/*
 * Goal: who reads beside the owner never misses what is there, however packs
 * come and go.  Method: ten contents stay, others are stored and removed, and
 * packs of a few are compacted all the time.
 */
START_TEST(blob_threads_beside)
{
	struct beside beside = {.rc = MBJ_OK};
	struct mbj_blobs *blobs = NULL;
	struct content content;
	struct mbj_hash digest;
	pthread_t thread;
	struct mbj_error err;

	test_ok(mbj_blobs_open(mbj_sys_posix(), dir, true, &blobs, &err), err);
	blobs->packs.size_max = 3000;
	blobs->packs.dead_min = 0;
	for (unsigned i = 0; i < KEPT; i++) {
		content_make(&content, i);
		test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest,
				     &err),
			err);
	}
	test_ok(mbj_blobs_sync(blobs, &err), err);
	ck_assert_int_eq(pthread_create(&thread, NULL, beside_read, &beside),
			 0);
	for (unsigned life = 0; life < LIVES; life++) {
		for (unsigned i = 0; i < KEPT; i++) {
			content_make(&content, KEPT + i);
			test_ok(mbj_blob_put(blobs, content_bytes(&content),
					     &digest, &err),
				err);
		}
		test_ok(mbj_blobs_sync(blobs, &err), err);
		for (unsigned i = 0; i < KEPT; i++) {
			content_make(&content, KEPT + i);
			test_ok(mbj_blob_remove(blobs, &content.digest, &err),
				err);
		}
		test_ok(mbj_blobs_compact(blobs, &err), err);
	}
	beside.is_over = true;
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	test_ok(beside.rc, beside.err);
	ck_assert_uint_gt(beside.looks, 0);
	ck_assert_uint_gt(blobs->packs.number_max, LIVES / 2);
	ck_assert_uint_eq(blobs_count(blobs), KEPT);
	mbj_blobs_close(&blobs);
}
END_TEST

TCase *test_blob_thread_case(void)
{
	TCase *tc = tcase_create("blob_thread");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, blob_threads_equal);
	tcase_add_loop_test(tc, blob_threads_share, 0, 2);
	tcase_add_test(tc, blob_threads_beside);
	return tc;
}
