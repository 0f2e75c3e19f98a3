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

		(worker->blobs->level > 0 ? content_make_text : content_make)(
			&content, (i + worker->number) % CONTENTS);
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

/* syncs, or NULL: the others begin once the first one's has begun. */
static void workers_run(struct mbj_blobs *blobs, void *(*run)(void *),
			const _Atomic unsigned *syncs)
{
	struct worker workers[THREADS];

	memset(workers, 0, sizeof(workers));
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i].blobs = blobs;
		workers[i].number = i;
		ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, run,
						&workers[i]),
				 0);
		while (syncs != NULL && *syncs == 0)
			usleep(200);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(workers[i].thread, NULL), 0);
		test_ok(workers[i].rc, workers[i].err);
	}
}

static void *rest_run(void *argument)
{
	struct mbj_blobs *blobs = argument;

	while (mbj_blobs_rest_wait(blobs))
		ck_assert_int_eq(mbj_blobs_rest(blobs, false, NULL), MBJ_OK);
	return NULL;
}

/*
 * Goal: threads that store the same contents store each once, and all are told
 * the truth, with a log that comes to rest meanwhile, too.  Method: four
 * threads, the same contents in turn; packed (1) or not; a small log (2).
 */
START_TEST(blob_threads_equal)
{
	struct mbj_blobs *blobs = NULL;
	pthread_t thread;
	struct mbj_error err;

	test_ok(mbj_blobs_open(mbj_sys_posix(), blob_dir, true, &blobs, &err),
		err);
	mbj_blobs_pack(blobs, (unsigned)_i & 1);
	if (_i >= 2) {
		mbj_blobs_log(blobs, 3 * BLOB_LOG_BLOCK);
		ck_assert_int_eq(pthread_create(&thread, NULL, rest_run, blobs),
				 0);
	}
	workers_run(blobs, worker_store, NULL);
	if (_i >= 2) {
		test_ok(mbj_blobs_rest(blobs, true, &err), err);
		mbj_blobs_rest_halt(blobs);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
	}
	ck_assert_uint_eq(blobs_count(blobs), CONTENTS);
	ck_assert_uint_eq(blobs->pending_count, 0);
	mbj_blobs_close(&blobs);
}
END_TEST

struct held {
	struct mbj_sys table;
	struct mbj_blobs *blobs; /* NULL: not held yet */
	_Atomic unsigned syncs;
};

/* The first round's sync waits until all the others wait for the next. */
static int held_fsync(void *ctx, int fd)
{
	struct held *held = ctx;
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
	return mbj_sys_posix()->fsync(NULL, fd);
}

/*
 * Goal: whoever comes while a round is under way shares the next one.  Method:
 * hold the first round until the three others wait; two rounds are all.
 */
START_TEST(blob_threads_share)
{
	struct held held = {.table = *mbj_sys_posix()};
	struct mbj_blobs *blobs = NULL;
	struct content content;
	struct mbj_hash digest;
	struct mbj_error err;

	held.table.ctx = &held;
	held.table.fsync = held_fsync;
	test_ok(mbj_blobs_open(&held.table, blob_dir, true, &blobs, &err), err);
	content_make(&content, 1);
	test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest, &err),
		err);
	held.blobs = blobs;
	held.syncs = 0;
	workers_run(blobs, worker_sync, &held.syncs);
	ck_assert_uint_eq(held.syncs, 1);
	/* And the sync itself. */
	ck_assert_uint_eq(blobs->round, 1 + 2 + 1);
	mbj_blobs_close(&blobs);
}
END_TEST

/*
 * Two who sync one folder.  The first one's fails, and comes back after the
 * other's if that can be.
 */
struct pair {
	struct mbj_sys table;
	struct mbj_blobs *blobs; /* NULL: not held yet */
	struct mbj_hash digest;
	_Atomic unsigned begun;
	_Atomic unsigned over;
	unsigned beside; /* that were over while the first was under way */
	enum mbj_rc rc;
};

enum { PAIR_WAIT_US = 200, PAIR_WAITS = 500 };

static bool pair_is_leading(struct pair *pair)
{
	bool is_leading;

	pthread_mutex_lock(&pair->blobs->mutex);
	is_leading = pair->blobs->is_leading;
	pthread_mutex_unlock(&pair->blobs->mutex);
	return is_leading;
}

static int pair_fsync(void *ctx, int fd)
{
	struct pair *pair = ctx;
	int rc;

	if (pair->blobs == NULL)
		return mbj_sys_posix()->fsync(NULL, fd);
	if (++pair->begun == 1) {
		while (!pair_is_leading(pair))
			usleep(PAIR_WAIT_US);
		for (int i = 0; i < PAIR_WAITS && pair->over == 0; i++)
			usleep(PAIR_WAIT_US);
		pair->beside = pair->over;
		return -EIO;
	}
	rc = mbj_sys_posix()->fsync(NULL, fd);
	pair->over++;
	return rc;
}

static void *pair_settle(void *argument)
{
	struct pair *pair = argument;

	pair->rc = mbj_blob_settle(pair->blobs, &pair->digest, NULL);
	return NULL;
}

/*
 * Goal: a folder whose sync failed for one thread is no success for a round
 * that comes to it at the same time, whose own sync goes well: the kernel tells
 * an error once.  The next round writes its blobs anew.
 */
START_TEST(blob_settle_fails_beside)
{
	struct pair pair = {.table = *mbj_sys_posix()};
	struct mbj_blobs *blobs = NULL;
	struct content content;
	pthread_t thread;
	struct mbj_error err;

	pair.table.ctx = &pair;
	pair.table.fsync = pair_fsync;
	test_ok(mbj_blobs_open(&pair.table, blob_dir, true, &blobs, &err), err);
	content_make(&content, 1);
	test_ok(mbj_blob_put(blobs, content_bytes(&content), &pair.digest,
			     &err),
		err);
	pair.blobs = blobs;
	ck_assert_int_eq(pthread_create(&thread, NULL, pair_settle, &pair), 0);
	while (pair.begun < 1)
		usleep(PAIR_WAIT_US);
	test_rc(mbj_blobs_sync(blobs, &err), MBJ_EIO);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(pair.rc, MBJ_EIO);
	ck_assert_uint_eq(pair.beside, 0);
	ck_assert_uint_eq(pair.over, 1);
	test_ok(mbj_blobs_sync(blobs, &err), err);
	ck_assert_uint_eq(blobs->doubtful_count, 0);
	ck_assert_uint_eq(blobs_count(blobs), 1);
	mbj_blobs_close(&blobs);
}
END_TEST

/*
 * A round's sync of one folder fails.  While it is at a later one, another
 * content comes into the first and is settled, and that sync goes well.
 */
struct hide {
	struct mbj_sys table;
	struct mbj_blobs *blobs; /* NULL: not looking */
	const struct content *beside;
	const struct mbj_hash *lost;
	unsigned syncs;
	unsigned renames;
	bool is_settled; /* the other one */
	bool is_hidden;	 /* the lost one counts as settled then */
};

static int hide_fsync(void *ctx, int fd)
{
	struct hide *hide = ctx;
	struct mbj_hash digest;

	if (hide->blobs == NULL)
		return mbj_sys_posix()->fsync(NULL, fd);
	if (++hide->syncs == 1)
		return -EIO;
	if (hide->syncs != 2)
		return mbj_sys_posix()->fsync(NULL, fd);
	ck_assert_int_eq(mbj_blob_put(hide->blobs, content_bytes(hide->beside),
				      &digest, NULL),
			 MBJ_OK);
	ck_assert_int_eq(mbj_blob_settle(hide->blobs, &digest, NULL), MBJ_OK);
	hide->is_settled = mbj_blob_is_settled(hide->blobs, &digest);
	hide->is_hidden = mbj_blob_is_settled(hide->blobs, hide->lost);
	return mbj_sys_posix()->fsync(NULL, fd);
}

static int hide_rename(void *ctx, const char *from, const char *to)
{
	struct hide *hide = ctx;

	hide->renames++;
	return mbj_sys_posix()->rename(NULL, from, to);
}

/*
 * Goal: what a round's sync of a folder was about is in doubt from then on; a
 * later one of the same folder that goes well, before the round is over, takes
 * none of it for stored.
 */
START_TEST(blob_round_fails_beside)
{
	struct hide hide = {.table = *mbj_sys_posix()};
	struct content lost, beside, later;
	struct mbj_blobs *blobs = NULL;
	struct mbj_hash digest;
	unsigned number = 0;
	struct mbj_error err;

	hide.table.ctx = &hide;
	hide.table.fsync = hide_fsync;
	hide.table.rename = hide_rename;
	content_make(&lost, 0);
	do
		content_make(&beside, ++number);
	while (beside.digest.b[0] != lost.digest.b[0]);
	do
		content_make(&later, ++number);
	while (later.digest.b[0] <= lost.digest.b[0]);
	test_ok(mbj_blobs_open(&hide.table, blob_dir, true, &blobs, &err), err);
	test_ok(mbj_blob_put(blobs, content_bytes(&lost), &digest, &err), err);
	test_ok(mbj_blob_put(blobs, content_bytes(&later), &digest, &err), err);
	hide.beside = &beside;
	hide.lost = &lost.digest;
	hide.blobs = blobs;
	test_rc(mbj_blobs_sync(blobs, &err), MBJ_EIO);
	ck_assert(hide.is_settled && !hide.is_hidden);
	ck_assert(!mbj_blob_is_settled(blobs, &lost.digest));
	ck_assert_uint_eq(blobs->doubtful_count, 1);
	hide.renames = 0;
	test_ok(mbj_blobs_sync(blobs, &err), err);
	ck_assert_uint_eq(hide.renames, 1);
	ck_assert(mbj_blob_is_settled(blobs, &lost.digest));
	ck_assert_uint_eq(blobs->pending_count, 0);
	mbj_blobs_close(&blobs);
}
END_TEST

TCase *test_blob_thread_case(void)
{
	TCase *tc = tcase_create("blob_thread");

	tcase_add_checked_fixture(tc, blob_lab_setup, blob_lab_teardown);
	tcase_add_loop_test(tc, blob_threads_equal, 0, 4);
	tcase_add_test(tc, blob_threads_share);
	tcase_add_test(tc, blob_settle_fails_beside);
	tcase_add_test(tc, blob_round_fails_beside);
	return tc;
}
