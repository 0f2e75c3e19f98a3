/*
 * The log of contents with many threads while syncs fail: what somebody was
 * told to be on disk outlives a power cut at any moment, whoever was told of a
 * failure.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "blob_lab.h"
#include "blob_priv.h"
#include "disk_impl.h"

enum {
	SEEDS = 6,
	THREADS = 4,
	CONTENTS = 20, /* of each thread */
	FOLDERS = 4,
	LOG_SIZE = 4 * BLOB_LOG_BLOCK,
	INODES_ENOUGH = 400, /* then nothing fails any more */
	TRIES_MAX = 1000,
};

static const char root[] = "/d";
static const char dir[] = "/d/blobs";

/* A disk whose calls are made one at a time; the mutex guards all. */
struct crowd {
	struct mbj_sys table;
	pthread_mutex_t mutex;
	struct disk *disk;
	struct test_rng rng;
	struct mbj_blobs *blobs;
	struct content contents[THREADS][CONTENTS];
	bool is_promised[THREADS][CONTENTS];
	/*
	 * As Linux tells of it: a descriptor that was open before, of the file
	 * or of the file system, is told at its next sync; one that is opened
	 * later, if nobody was told of that file before.
	 */
	bool is_owed[OPEN_MAX];
	bool is_unseen[INODES_MAX];
	bool is_calm; /* nothing fails */
	unsigned faults, cuts;
	atomic_bool is_over;
};

struct worker {
	struct crowd *crowd;
	unsigned number;
	pthread_t thread;
};

static struct crowd *crowd_of(void *ctx)
{
	return ((struct disk *)ctx)->watch_context;
}

static size_t inodes_used(const struct disk *disk)
{
	size_t used = 0;

	for (size_t i = 0; i < INODES_MAX; i++)
		used += disk->inodes[i].is_used;
	return used;
}

/* One of these fails now and then. */
static void fault(struct crowd *c, unsigned calls)
{
	bool is_failing = !c->is_calm && calls != 0 &&
			  test_rng_chance(&c->rng, 1, 12) &&
			  inodes_used(c->disk) < INODES_ENOUGH;

	c->faults += is_failing;
	disk_fail(c->disk, &(struct disk_fault){.calls = is_failing ? calls : 0,
						.at = 1,
						.errnum = EIO});
}

static void call_begin(void *ctx, unsigned calls)
{
	struct crowd *c = crowd_of(ctx);

	pthread_mutex_lock(&c->mutex);
	fault(c, calls);
}

/* Others go on. */
static void call_end(void *ctx)
{
	struct crowd *c = crowd_of(ctx);
	bool is_late = test_rng_chance(&c->rng, 1, 3);

	disk_fail(c->disk, &(struct disk_fault){.calls = 0});
	pthread_mutex_unlock(&c->mutex);
	if (is_late)
		(void)sched_yield();
}

#define CALL(type, calls, call)           \
	do {                              \
		type result_;             \
		call_begin(ctx, (calls)); \
		result_ = (call);         \
		call_end(ctx);            \
		return result_;           \
	} while (0)

static int told_open(struct crowd *c, const char *path, int flags)
{
	int fd = disk_do_open(c->disk, path, flags);

	if (fd >= 0)
		c->is_owed[fd] = c->is_unseen[c->disk->open[fd] - 1];
	return fd;
}

/* Of one file, or of all (with those that are written); but to this one. */
static void owe(struct crowd *c, size_t inode, int but)
{
	for (int fd = 0; fd < OPEN_MAX; fd++) {
		size_t other = c->disk->open[fd];

		if (other > 0 && fd != but &&
		    (other - 1 == inode ||
		     c->disk->inodes[other - 1].is_directory))
			c->is_owed[fd] = true;
	}
}

static int told_sync(struct crowd *c, int fd)
{
	size_t inode = c->disk->open[fd] - 1;
	bool is_file = !c->disk->inodes[inode].is_directory;
	int rc;

	if (is_file && c->is_owed[fd])
		disk_fail(c->disk, &(struct disk_fault){.calls = 0});
	rc = disk_do_sync(c->disk, fd);
	if (!is_file)
		return rc;
	if (rc < 0)
		owe(c, inode, fd);
	else if (c->is_owed[fd])
		rc = -EIO;
	if (rc < 0)
		c->is_owed[fd] = c->is_unseen[inode] = false;
	return rc;
}

static int told_syncfs(struct crowd *c, int fd)
{
	bool is_written[INODES_MAX];
	int rc;

	for (size_t i = 0; i < INODES_MAX; i++)
		is_written[i] = c->disk->inodes[i].is_used &&
				!c->disk->inodes[i].is_directory &&
				c->disk->inodes[i].pending_count > 0;
	if (c->is_owed[fd])
		disk_fail(c->disk, &(struct disk_fault){.calls = 0});
	rc = disk_do_syncfs(c->disk, fd);
	for (size_t i = 0; rc < 0 && i < INODES_MAX; i++) {
		if (!is_written[i])
			continue;
		c->is_unseen[i] = true;
		owe(c, i, fd);
	}
	if (c->is_owed[fd])
		rc = -EIO;
	c->is_owed[fd] = false;
	return rc;
}

static int crowd_open(void *ctx, const char *path, int flags, mode_t mode)
{
	(void)mode;
	CALL(int, 0, told_open(crowd_of(ctx), path, flags));
}

static int crowd_close(void *ctx, int fd)
{
	CALL(int, 0, disk_do_close(ctx, fd));
}

static ssize_t crowd_pread(void *ctx, int fd, void *p, size_t n, off_t at)
{
	CALL(ssize_t, 0, disk_do_read(ctx, fd, p, n, (size_t)at));
}

static ssize_t crowd_pwrite(void *ctx, int fd, const void *p, size_t n,
			    off_t at)
{
	CALL(ssize_t, 0, disk_do_write(ctx, fd, p, n, (size_t)at));
}

static int crowd_sync(void *ctx, int fd)
{
	CALL(int, DISK_CALL_SYNC, told_sync(crowd_of(ctx), fd));
}

static int crowd_syncfs(void *ctx, int fd)
{
	CALL(int, DISK_CALL_SYNC, told_syncfs(crowd_of(ctx), fd));
}

static int64_t crowd_size(void *ctx, int fd)
{
	CALL(int64_t, 0, disk_do_size(ctx, fd));
}

static int crowd_rename(void *ctx, const char *from, const char *to)
{
	CALL(int, 0, disk_do_rename(ctx, from, to));
}

static int crowd_unlink(void *ctx, const char *path)
{
	CALL(int, 0, disk_do_unlink(ctx, path, false));
}

static int crowd_mkdir(void *ctx, const char *path, mode_t mode)
{
	(void)mode;
	CALL(int, 0, disk_do_mkdir(ctx, path));
}

static int crowd_rmdir(void *ctx, const char *path)
{
	CALL(int, 0, disk_do_unlink(ctx, path, true));
}

static int crowd_stat(void *ctx, const char *path, mode_t *mode, uid_t *uid)
{
	const struct mbj_sys *sys = disk_sys(ctx);

	CALL(int, 0, sys->stat(ctx, path, mode, uid));
}

static int crowd_random(void *ctx, void *p, size_t n)
{
	const struct mbj_sys *sys = disk_sys(ctx);

	CALL(int, 0, sys->random(ctx, p, n));
}

static void crowd_begin(struct crowd *c, uint64_t seed)
{
	unsigned number = 0;
	struct mbj_error err;

	memset(c, 0, sizeof(*c));
	ck_assert_int_eq(pthread_mutex_init(&c->mutex, NULL), 0);
	test_rng_init(&c->rng, seed);
	c->disk = disk_new(root, 1);
	for (unsigned i = 0; i < THREADS * CONTENTS; i++) {
		struct content *content =
			&c->contents[i / CONTENTS][i % CONTENTS];

		do
			content_make(content, number++);
		while (content->digest.b[0] >= FOLDERS);
	}
	disk_watch(c->disk, NULL, c);
	test_ok(mbj_blobs_open(disk_sys(c->disk), dir, true, &c->blobs, &err),
		err);
	c->table = *disk_sys(c->disk);
	c->table.open = crowd_open;
	c->table.close = crowd_close;
	c->table.pread = crowd_pread;
	c->table.pwrite = crowd_pwrite;
	c->table.fdatasync = crowd_sync;
	c->table.fsync = crowd_sync;
	c->table.syncfs = crowd_syncfs;
	c->table.size = crowd_size;
	c->table.rename = crowd_rename;
	c->table.unlink = crowd_unlink;
	c->table.mkdir = crowd_mkdir;
	c->table.rmdir = crowd_rmdir;
	c->table.stat = crowd_stat;
	c->table.random = crowd_random;
	mbj_blobs_close(&c->blobs);
	c->is_calm = true;
	test_ok(mbj_blobs_open(&c->table, dir, true, &c->blobs, &err), err);
	mbj_blobs_log(c->blobs, LOG_SIZE);
	c->is_calm = false;
}

/* With the mutex: power fails, and all that was promised is there. */
static void cut_check(struct crowd *c)
{
	enum disk_cut_kind kind =
		(enum disk_cut_kind)test_rng_below(&c->rng, DISK_CUT_COUNT);
	struct disk_choice choice = {.count = 0};
	struct disk *after = disk_new(root, 2);
	struct mbj_blobs *blobs = NULL;
	struct mbj_error err;

	c->cuts++;
	disk_fail(c->disk, &(struct disk_fault){.calls = 0});
	disk_choose(c->disk, kind, c->cuts, &choice);
	disk_cut(after, c->disk, kind, &choice);
	disk_choice_done(&choice);
	test_ok(mbj_blobs_open(disk_sys(after), dir, true, &blobs, &err), err);
	for (unsigned i = 0; i < THREADS * CONTENTS; i++) {
		const struct content *content =
			&c->contents[i / CONTENTS][i % CONTENTS];

		if (c->is_promised[i / CONTENTS][i % CONTENTS])
			test_ok(mbj_blob_verify(blobs, &content->digest,
						content->n, &err),
				err);
	}
	mbj_blobs_close(&blobs);
	disk_free(&after);
}

/* Until it is on disk. */
static void content_store(struct crowd *c, unsigned number, unsigned i)
{
	const struct content *content = &c->contents[number][i];
	enum mbj_rc rc = MBJ_EIO;
	struct mbj_hash digest;

	for (unsigned tries = 0; rc < 0; tries++) {
		ck_assert_uint_lt(tries, TRIES_MAX);
		uint64_t drops = mbj_blobs_drops(c->blobs);

		rc = mbj_blob_put(c->blobs, content_bytes(content), &digest,
				  NULL);
		if (rc == MBJ_OK && i % 3 == 0)
			rc = mbj_blob_settle(c->blobs, &digest, NULL);
		if (rc == MBJ_OK)
			rc = mbj_blobs_sync(c->blobs, NULL);
		/* It may be among those of a round that others were told of. */
		if (mbj_blobs_drops(c->blobs) != drops)
			rc = MBJ_EIO;
	}
	pthread_mutex_lock(&c->mutex);
	c->is_promised[number][i] = true;
	if (test_rng_chance(&c->rng, 1, 4))
		cut_check(c);
	pthread_mutex_unlock(&c->mutex);
}

/* Now and then many come. */
static void *worker_run(void *argument)
{
	const struct worker *worker = argument;
	struct mbj_blobs *blobs = worker->crowd->blobs;
	enum mbj_rc rc = MBJ_OK;

	for (unsigned i = 0; i < CONTENTS; i++) {
		if (worker->number == 0 && i % 4 == 0)
			rc = mbj_blobs_bulk(blobs, i % 8 == 4, NULL);
		(void)rc;
		content_store(worker->crowd, worker->number, i);
	}
	return NULL;
}

/* As the store's thread, but that nobody pauses. */
static void *rest_run(void *argument)
{
	struct crowd *c = argument;
	unsigned count = 0;

	while (!c->is_over) {
		enum mbj_rc rc =
			mbj_blobs_rest(c->blobs, ++count % 4 == 0, NULL);

		(void)rc;
		pthread_mutex_lock(&c->blobs->mutex);
		c->blobs->log.stop.until_ms = 0;
		pthread_mutex_unlock(&c->blobs->mutex);
		(void)sched_yield();
	}
	return NULL;
}

/*
 * Goal: as said above.  Method: four threads store, by the log and in bulk, a
 * fifth rests; one sync of twelve fails, of the log, of files, of folders and
 * of all; cuts of all kinds in between, by a seed.
 */
START_TEST(blob_crowd)
{
	static struct crowd c;
	struct worker workers[THREADS];
	pthread_t rest;
	struct mbj_error err;
	struct test_rng rng;

	(void)test_rng_seed(&rng);
	for (int i = 0; i <= _i; i++)
		(void)test_rng_below(&rng, UINT32_MAX);
	crowd_begin(&c, test_rng_below(&rng, UINT32_MAX));
	ck_assert_int_eq(pthread_create(&rest, NULL, rest_run, &c), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.crowd = &c, .number = i};
		ck_assert_int_eq(pthread_create(&workers[i].thread, NULL,
						worker_run, &workers[i]),
				 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(workers[i].thread, NULL), 0);
	c.is_over = true;
	ck_assert_int_eq(pthread_join(rest, NULL), 0);
	for (unsigned i = 0; mbj_blobs_rest(c.blobs, true, &err) < 0; i++)
		ck_assert_uint_lt(i, TRIES_MAX);
	ck_assert(!mbj_blobs_are_logged(&c.table, dir));
	cut_check(&c);
	ck_assert_uint_gt(c.faults, 0);
	mbj_blobs_close(&c.blobs);
	disk_free(&c.disk);
	(void)pthread_mutex_destroy(&c.mutex);
}
END_TEST

TCase *test_blob_crowd_case(void)
{
	TCase *tc = tcase_create("blob_crowd");

	tcase_add_loop_test(tc, blob_crowd, 0, SEEDS);
	return tc;
}
