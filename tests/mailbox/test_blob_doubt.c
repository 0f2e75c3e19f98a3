/*
 * The log of contents where syncs fail beside each other: a failure is told
 * once, and what it may have been about is written anew, whoever was told.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include <mbj/codec.h>

#include "blob_lab.h"
#include "blob_priv.h"
#include "disk_impl.h"

enum {
	BATCHES = 2, /* of one content each, of a file of the log */
	LOG_SIZE = (1 + BATCHES) * BLOB_LOG_BLOCK,
	CONTENTS = 8,
	LONG_SIZE = BLOB_LOG_CONTENT_MAX + 1,
	TURNS_MAX = 1000,
};

static const char root[] = "/d";
static const char dir[] = "/d/blobs";

/* A disk where something happens inside one of its calls. */
struct doubt {
	struct mbj_sys table;
	struct disk *disk;
	struct mbj_blobs *blobs;
	struct content contents[CONTENTS]; /* of one folder */
	/* Once, inside the next call of this kind. */
	enum { CALL_OPEN, CALL_FDATASYNC, CALL_SYNCFS, CALL_FSYNC } call;
	void (*beside)(struct doubt *doubt);
	unsigned skipped; /* so many calls before that */
	pthread_t thread;
	sem_t is_synced;	 /* the file system, where somebody waits */
	unsigned failures, seen; /* of writing, and what was told of them */
	unsigned told[OPEN_MAX]; /* to each descriptor */
};

static void beside_run(void *ctx, int call)
{
	struct disk *disk = ctx;
	struct doubt *doubt = disk->watch_context;
	void (*beside)(struct doubt *) = doubt->beside;

	if (beside == NULL || (int)doubt->call != call)
		return;
	if (doubt->skipped > 0) {
		doubt->skipped--;
		return;
	}
	doubt->beside = NULL;
	beside(doubt);
}

/* What was told to somebody already is told to nobody who comes later. */
static int doubt_open(void *ctx, const char *path, int flags, mode_t mode)
{
	struct disk *disk = ctx;
	struct doubt *doubt = disk->watch_context;
	int fd;

	(void)mode;
	if ((flags & O_CREAT) != 0)
		beside_run(ctx, CALL_OPEN);
	fd = disk_do_open(disk, path, flags);
	if (fd >= 0)
		doubt->told[fd] = doubt->seen;
	return fd;
}

static int doubt_fdatasync(void *ctx, int fd)
{
	beside_run(ctx, CALL_FDATASYNC);
	return disk_do_sync(ctx, fd);
}

static int doubt_fsync(void *ctx, int fd)
{
	int rc = disk_do_sync(ctx, fd);

	beside_run(ctx, CALL_FSYNC);
	return rc;
}

static int doubt_syncfs(void *ctx, int fd)
{
	struct disk *disk = ctx;
	struct doubt *doubt = disk->watch_context;
	bool is_told = doubt->told[fd] == doubt->failures;
	int rc;

	beside_run(ctx, CALL_SYNCFS);
	rc = disk_do_syncfs(disk, fd);
	doubt->told[fd] = doubt->seen = doubt->failures;
	(void)sem_post(&doubt->is_synced);
	return is_told ? rc : -EIO;
}

static void doubt_begin(struct doubt *d)
{
	unsigned number = 0;
	struct mbj_error err;

	memset(d, 0, sizeof(*d));
	ck_assert_int_eq(sem_init(&d->is_synced, 0, 0), 0);
	d->disk = disk_new(root, 1);
	for (unsigned i = 0; i < CONTENTS; i++)
		do
			content_make(&d->contents[i], number++);
		while (d->contents[i].digest.b[0] !=
		       d->contents[0].digest.b[0]);
	d->table = *disk_sys(d->disk);
	d->table.open = doubt_open;
	d->table.fdatasync = doubt_fdatasync;
	d->table.fsync = doubt_fsync;
	d->table.syncfs = doubt_syncfs;
	disk_watch(d->disk, NULL, d);
	test_ok(mbj_blobs_open(&d->table, dir, true, &d->blobs, &err), err);
	mbj_blobs_log(d->blobs, LOG_SIZE);
}

static void doubt_put(struct doubt *d, unsigned i)
{
	struct mbj_hash digest;
	struct mbj_error err;

	test_ok(mbj_blob_put(d->blobs, content_bytes(&d->contents[i]), &digest,
			     &err),
		err);
}

/* From begin on, before end; each with a round of its own. */
static void doubt_store(struct doubt *d, unsigned begin, unsigned end)
{
	struct mbj_error err;

	for (unsigned i = begin; i < end; i++) {
		doubt_put(d, i);
		test_ok(mbj_blobs_sync(d->blobs, &err), err);
	}
}

/* Not for the log: of zeroes, with its own sync, of first in its folder. */
static enum mbj_rc long_put(struct doubt *d, int first, struct mbj_hash *digest)
{
	struct mbj_bytes bytes =
		mbj_bytes_make(calloc(1, LONG_SIZE), LONG_SIZE);
	struct mbj_sha256 *sha = NULL;
	enum mbj_rc rc;

	ck_assert_int_eq(mbj_sha256_new(&sha, NULL), MBJ_OK);
	for (uint32_t i = 0;; i++) {
		mbj_store_u32((uint8_t *)(uintptr_t)bytes.p, i);
		ck_assert_int_eq(mbj_sha256_digest(sha, &bytes, 1, digest,
						   NULL),
				 MBJ_OK);
		if (first < 0 || digest->b[0] == first)
			break;
	}
	rc = mbj_blob_put(d->blobs, bytes, digest, NULL);
	mbj_sha256_free(&sha);
	free((void *)(uintptr_t)bytes.p);
	return rc;
}

static void sync_fail(struct doubt *d, bool is_failing)
{
	disk_fail(d->disk,
		  &(struct disk_fault){.calls = is_failing ? DISK_CALL_SYNC : 0,
				       .at = 1,
				       .errnum = EIO,
				       .is_for_good = true});
}

/* Why, and of which file, whoever was told of it first. */
static void told_check(const struct mbj_error *err)
{
	ck_assert_int_eq(err->rc, MBJ_EIO);
	ck_assert_ptr_nonnull(strstr(err->message, strerror(EIO)));
	ck_assert_ptr_nonnull(strstr(err->message, root));
	ck_assert_ptr_nonnull(strstr(err->file, root));
}

static void rest_check(struct doubt *d, enum mbj_rc expected)
{
	struct mbj_error err;

	test_rc(mbj_blobs_rest(d->blobs, true, &err), expected);
	if (expected == MBJ_EIO)
		told_check(&err);
}

/* Power fails: what is there of the first n. */
static void cut_check(const struct doubt *d, enum disk_cut_kind kind,
		      unsigned n)
{
	struct disk_choice choice = {.count = 0};
	struct disk *after = disk_new(root, 2);
	struct mbj_blobs *blobs = NULL;
	struct mbj_error err;

	disk_choose(d->disk, kind, 1, &choice);
	disk_cut(after, d->disk, kind, &choice);
	disk_choice_done(&choice);
	test_ok(mbj_blobs_open(disk_sys(after), dir, true, &blobs, &err), err);
	for (unsigned i = 0; i < n; i++)
		test_ok(mbj_blob_verify(blobs, &d->contents[i].digest,
					d->contents[i].n, &err),
			err);
	mbj_blobs_close(&blobs);
	disk_free(&after);
}

/*
 * It comes to rest, and the first n outlive a cut: with all that came to the
 * disk by itself, so without a log, and with none of that.
 */
static void doubt_end(struct doubt *d, unsigned n)
{
	rest_check(d, MBJ_OK);
	cut_check(d, DISK_CUT_ALL, n);
	cut_check(d, DISK_CUT_NOTHING, n);
	mbj_blobs_close(&d->blobs);
	disk_free(&d->disk);
	(void)sem_destroy(&d->is_synced);
}

/*
 * Goal: a sync of the file system that fails is about all that waits for one:
 * both files of the log, and names whose folders are not synced.  Method: it
 * fails for a full file (0), and for what comes in bulk (1).
 */
START_TEST(blob_doubt_all_of_it)
{
	struct doubt d;
	struct mbj_hash digest;
	struct mbj_error err;

	doubt_begin(&d);
	doubt_store(&d, 0, BATCHES + 1);
	ck_assert_int_eq(long_put(&d, -1, &digest), MBJ_OK);
	if (_i == 1) {
		test_ok(mbj_blobs_bulk(d.blobs, true, &err), err);
		for (unsigned i = 4; i < 8; i++)
			doubt_put(&d, i);
	}
	sync_fail(&d, true);
	if (_i == 1)
		test_rc(mbj_blobs_sync(d.blobs, &err), MBJ_EIO);
	else
		test_rc(mbj_blobs_rest(d.blobs, false, &err), MBJ_EIO);
	sync_fail(&d, false);
	if (_i == 1)
		test_ok(mbj_blobs_bulk(d.blobs, false, &err), err);
	/* Of the long one: its name was perhaps among what failed. */
	ck_assert_uint_eq(d.blobs->doubtful_count, 1);
	test_ok(mbj_blobs_sync(d.blobs, &err), err);
	ck_assert_uint_eq(d.blobs->doubtful_count, 0);
	doubt_end(&d, BATCHES + 1);
}
END_TEST

/*
 * Goal: the same of what waits for its round, whose own file is written: of the
 * log (0) it is written anew, of what comes in bulk (1) it is dropped.
 */
START_TEST(blob_doubt_deferred)
{
	struct doubt d;
	struct mbj_error err;

	doubt_begin(&d);
	doubt_store(&d, 0, 1);
	if (_i == 1)
		test_ok(mbj_blobs_bulk(d.blobs, true, &err), err);
	doubt_put(&d, 1);
	sync_fail(&d, true);
	rest_check(&d, MBJ_EIO);
	sync_fail(&d, false);
	if (_i == 1) {
		test_rc(mbj_blobs_sync(d.blobs, &err), MBJ_EIO);
		told_check(&err);
		ck_assert_uint_eq(mbj_blobs_drops(d.blobs), 1);
		doubt_put(&d, 1);
	}
	test_ok(mbj_blobs_sync(d.blobs, &err), err);
	doubt_end(&d, 2);
}
END_TEST

/*
 * Goal: a folder whose entry could not be synced, and that could not be taken
 * away, is not taken for one that was there.
 */
START_TEST(blob_doubt_folder)
{
	struct doubt d;
	struct mbj_error err;

	doubt_begin(&d);
	test_ok(mbj_blobs_bulk(d.blobs, true, &err), err);
	doubt_put(&d, 0);
	disk_fail(d.disk, &(struct disk_fault){.calls = DISK_CALL_SYNC |
							DISK_CALL_UNLINK,
					       .at = 2,
					       .errnum = EIO,
					       .is_for_good = true});
	test_rc(mbj_blobs_sync(d.blobs, &err), MBJ_EIO);
	sync_fail(&d, false);
	doubt_store(&d, 0, 1);
	cut_check(&d, DISK_CUT_NOTHING, 1);
	doubt_end(&d, 1);
}
END_TEST

/* The sync of the folder that all are in, of which one waits for it. */
static void folder_fail(struct doubt *d)
{
	struct mbj_hash digest;

	ck_assert_int_eq(long_put(d, d->contents[0].digest.b[0], &digest),
			 MBJ_OK);
	sync_fail(d, true);
	ck_assert_int_eq(mbj_blob_settle(d->blobs, &digest, NULL), MBJ_EIO);
	sync_fail(d, false);
}

/*
 * Goal: a folder's sync that fails while the file system is synced is seen, and
 * what the file has is written anew then.  Method: inside that sync.
 */
START_TEST(blob_doubt_meanwhile)
{
	struct doubt d;

	doubt_begin(&d);
	doubt_store(&d, 0, BATCHES);
	d.call = CALL_SYNCFS;
	d.beside = folder_fail;
	rest_check(&d, MBJ_EIO);
	ck_assert(d.beside == NULL);
	rest_check(&d, MBJ_OK);
	ck_assert_uint_ge(disk_calls_of(d.disk, DISK_CALL_RENAME), BATCHES);
	doubt_end(&d, BATCHES);
}
END_TEST

static void *rest_run(void *argument)
{
	struct doubt *d = argument;

	ck_assert_int_eq(mbj_blobs_rest(d->blobs, true, NULL), MBJ_EIO);
	return NULL;
}

/* Whoever rests has synced the file system, and had a chance to go on. */
static void rest_beside(struct doubt *d)
{
	bool is_free = false;

	sync_fail(d, false);
	ck_assert_int_eq(pthread_create(&d->thread, NULL, rest_run, d), 0);
	while (sem_wait(&d->is_synced) != 0)
		continue;
	for (int i = 0; i < TURNS_MAX && !is_free; i++) {
		(void)sched_yield();
		pthread_mutex_lock(&d->blobs->mutex);
		is_free = d->blobs->log.files[0].state == BLOB_LOG_FREE;
		pthread_mutex_unlock(&d->blobs->mutex);
	}
	ck_assert(!is_free);
}

/*
 * Goal: the same of one that has failed already, and that nobody knows of yet.
 * Method: rest inside that sync.
 */
START_TEST(blob_doubt_in_flight)
{
	struct mbj_hash digest;
	struct doubt d;

	doubt_begin(&d);
	doubt_store(&d, 0, BATCHES);
	ck_assert_int_eq(long_put(&d, d.contents[0].digest.b[0], &digest),
			 MBJ_OK);
	d.call = CALL_FSYNC;
	d.beside = rest_beside;
	sync_fail(&d, true);
	ck_assert_int_eq(mbj_blob_settle(d.blobs, &digest, NULL), MBJ_EIO);
	ck_assert_int_eq(pthread_join(d.thread, NULL), 0);
	doubt_end(&d, BATCHES);
}
END_TEST

/* Writing a content's own file fails, before anybody asks. */
static void write_fail(struct doubt *d, unsigned i)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_error err;

	blob_file(path, dir, &d->contents[i].digest);
	test_ok(mbj_file_open(&d->table, path, O_RDONLY, &file, &err), err);
	sync_fail(d, true);
	test_rc(mbj_file_sync(&file, &err), MBJ_EIO);
	sync_fail(d, false);
	mbj_file_close(&file);
	d->failures++;
}

/*
 * Goal: what could not be written is told to who rests (0), and to a round of
 * many (1), if another process was told before, too.  Method: as Linux tells of
 * it.
 */
START_TEST(blob_doubt_told_elsewhere)
{
	struct doubt d;
	struct mbj_error err;

	doubt_begin(&d);
	if (_i == 1) {
		test_ok(mbj_blobs_bulk(d.blobs, true, &err), err);
		for (unsigned i = 1; i < 5; i++)
			doubt_put(&d, i);
		d.failures++;
		test_rc(mbj_fs_sync(&d.table, root, &err), MBJ_EIO);
		test_rc(mbj_blobs_sync(d.blobs, &err), MBJ_EIO);
		ck_assert_uint_eq(mbj_blobs_drops(d.blobs), 4);
		test_ok(mbj_blobs_bulk(d.blobs, false, &err), err);
	}
	doubt_store(&d, 0, 1);
	write_fail(&d, 0);
	test_rc(mbj_fs_sync(&d.table, root, &err), MBJ_EIO);
	test_ok(mbj_fs_sync(&d.table, root, &err), err);
	rest_check(&d, MBJ_EIO);
	doubt_end(&d, 1);
}
END_TEST

/* What waits for its round is dropped. */
static void round_fail(struct doubt *d)
{
	sync_fail(d, true);
	ck_assert_int_eq(mbj_blobs_sync(d->blobs, NULL), MBJ_EIO);
	sync_fail(d, false);
}

/*
 * Goal: what is written anew and dropped in a round that somebody else is told
 * of is not taken for written.  Method: such a round before the second one.
 */
START_TEST(blob_doubt_round_fails)
{
	struct doubt d;

	doubt_begin(&d);
	doubt_store(&d, 0, BATCHES);
	sync_fail(&d, true);
	rest_check(&d, MBJ_EIO);
	sync_fail(&d, false);
	d.call = CALL_OPEN;
	d.skipped = 1;
	d.beside = round_fail;
	rest_check(&d, MBJ_EIO);
	ck_assert(d.beside == NULL);
	doubt_end(&d, BATCHES);
}
END_TEST

static void *wait_run(void *argument)
{
	struct doubt *d = argument;
	struct mbj_error err;

	doubt_put(d, 1);
	test_rc(mbj_blobs_sync(d->blobs, &err), MBJ_EIO);
	told_check(&err);
	return NULL;
}

/* Somebody comes while the log is flushed, and waits for his own round. */
static void wait_beside(struct doubt *d)
{
	size_t count = 0;

	ck_assert_int_eq(pthread_create(&d->thread, NULL, wait_run, d), 0);
	while (count < 2) {
		(void)sched_yield();
		pthread_mutex_lock(&d->blobs->mutex);
		count = d->blobs->deferred_count;
		pthread_mutex_unlock(&d->blobs->mutex);
	}
	for (int i = 0; i < TURNS_MAX; i++)
		(void)sched_yield();
	sync_fail(d, true);
}

/*
 * Goal: who waits for a round that fails is told why, as who has it.
 */
START_TEST(blob_doubt_waits)
{
	struct doubt d;
	struct mbj_error err;

	doubt_begin(&d);
	doubt_put(&d, 0);
	d.call = CALL_FDATASYNC;
	d.beside = wait_beside;
	test_rc(mbj_blobs_sync(d.blobs, &err), MBJ_EIO);
	told_check(&err);
	ck_assert_int_eq(pthread_join(d.thread, NULL), 0);
	sync_fail(&d, false);
	doubt_store(&d, 0, 2);
	doubt_end(&d, 2);
}
END_TEST

/*
 * Goal: where writing anew fails in the middle, nothing waits for a round that
 * may never come.  Method: no file for the second content.
 */
START_TEST(blob_doubt_redo_fails)
{
	struct doubt d;

	doubt_begin(&d);
	doubt_store(&d, 0, BATCHES);
	sync_fail(&d, true);
	rest_check(&d, MBJ_EIO);
	disk_fail(d.disk, &(struct disk_fault){.calls = DISK_CALL_CREATE,
					       .at = 2,
					       .errnum = ENOSPC,
					       .is_for_good = true});
	rest_check(&d, MBJ_ENOSPC);
	sync_fail(&d, false);
	mbj_blobs_log(d.blobs, 0);
	mbj_blobs_log(d.blobs, LOG_SIZE);
	doubt_end(&d, BATCHES);
}
END_TEST

/* A folder is made, in vain: that tells nothing of the log's file. */
static void folder_make_fail(struct doubt *d)
{
	struct mbj_hash digest;

	ck_assert(disk_is_entered(d->disk, "/d/blobs/log.0"));
	disk_fail(d->disk, &(struct disk_fault){.calls = DISK_CALL_SYNC,
						.at = 2,
						.errnum = EIO,
						.is_for_good = true});
	ck_assert_int_eq(long_put(d, -1, &digest), MBJ_EIO);
	sync_fail(d, false);
}

/*
 * Goal: a file of the log has its entry on disk, whoever was told that its
 * directory could not be synced.  Method: that fails for a new folder, while
 * the log's first batch is written.
 */
START_TEST(blob_doubt_entry)
{
	struct doubt d;

	doubt_begin(&d);
	doubt_put(&d, 0);
	d.call = CALL_FDATASYNC;
	d.beside = folder_make_fail;
	ck_assert_int_eq(mbj_blobs_sync(d.blobs, NULL), MBJ_OK);
	ck_assert(d.beside == NULL);
	ck_assert(d.blobs->log.is_on);
	cut_check(&d, DISK_CUT_NOTHING, 1);
	doubt_end(&d, 1);
}
END_TEST

TCase *test_blob_doubt_case(void)
{
	TCase *tc = tcase_create("blob_doubt");

	tcase_add_loop_test(tc, blob_doubt_all_of_it, 0, 2);
	tcase_add_loop_test(tc, blob_doubt_deferred, 0, 2);
	tcase_add_test(tc, blob_doubt_folder);
	tcase_add_test(tc, blob_doubt_meanwhile);
	tcase_add_test(tc, blob_doubt_in_flight);
	tcase_add_loop_test(tc, blob_doubt_told_elsewhere, 0, 2);
	tcase_add_test(tc, blob_doubt_round_fails);
	tcase_add_test(tc, blob_doubt_waits);
	tcase_add_test(tc, blob_doubt_redo_fails);
	tcase_add_test(tc, blob_doubt_entry);
	return tc;
}
