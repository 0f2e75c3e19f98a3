/*
 * The log of contents: what it spares, what it brings back, and what becomes of
 * those that it has no room for or that it fails.  Each call that fails and
 * power cuts after every step: test_blob_fault.c.
 */
#include <errno.h>
#include <fcntl.h>

#include <mbj/codec.h>

#include "blob_lab.h"
#include "blob_priv.h"
#include "disk_impl.h"

enum {
	BATCHES = 2, /* of one content each, of a file of the log */
	LOG_SIZE = (1 + BATCHES) * BLOB_LOG_BLOCK,
	CONTENTS = 12,
};

static const char root[] = "/d";
static const char dir[] = "/d/blobs";

struct logged {
	struct disk *disk;
	struct mbj_blobs *blobs;
	struct content contents[CONTENTS];
};

static void logged_open(struct logged *l)
{
	struct mbj_error err;

	test_ok(mbj_blobs_open(disk_sys(l->disk), dir, true, &l->blobs, &err),
		err);
	mbj_blobs_log(l->blobs, LOG_SIZE);
}

/* alike: the digests of all begin with the same byte. */
static void logged_begin(struct logged *l, bool is_alike)
{
	unsigned number = 0;

	memset(l, 0, sizeof(*l));
	l->disk = disk_new(root, 1);
	for (unsigned i = 0; i < CONTENTS; i++)
		do
			content_make(&l->contents[i], number++);
		while (is_alike && l->contents[i].digest.b[0] !=
					   l->contents[0].digest.b[0]);
	logged_open(l);
}

static void logged_end(struct logged *l)
{
	mbj_blobs_close(&l->blobs);
	disk_free(&l->disk);
}

static void logged_put(struct logged *l, unsigned i)
{
	struct mbj_hash digest;
	struct mbj_error err;

	test_ok(mbj_blob_put(l->blobs, content_bytes(&l->contents[i]), &digest,
			     &err),
		err);
}

static void logged_sync(struct logged *l)
{
	struct mbj_error err;

	test_ok(mbj_blobs_sync(l->blobs, &err), err);
}

/* With a round of its own. */
static void logged_store(struct logged *l, unsigned i)
{
	logged_put(l, i);
	logged_sync(l);
}

static void logged_verify(struct logged *l, unsigned begin, unsigned end)
{
	for (unsigned i = begin; i < end; i++) {
		struct mbj_error err;

		test_ok(mbj_blob_verify(l->blobs, &l->contents[i].digest,
					l->contents[i].n, &err),
			err);
	}
}

/* By itself, in all it consists of. */
static bool is_on_disk(const struct logged *l, unsigned i)
{
	char path[MBJ_PATH_TEXT_MAX];

	blob_file(path, dir, &l->contents[i].digest);
	return disk_is_entered(l->disk, path) && disk_is_synced(l->disk, path);
}

/* Power fails: nothing that was not synced is left. */
static void logged_cut(struct logged *l)
{
	struct disk_choice choice = {.count = 0};
	struct disk *after = disk_new(root, 2);

	disk_choose(l->disk, DISK_CUT_NOTHING, 1, &choice);
	disk_cut(after, l->disk, DISK_CUT_NOTHING, &choice);
	mbj_blobs_close(&l->blobs);
	disk_choice_done(&choice);
	disk_free(&l->disk);
	l->disk = after;
	logged_open(l);
}

/*
 * Goal: any number of contents are on disk with one sync, found before it and
 * named after it; a reader has them in between.  Method: calls counted.
 */
START_TEST(blob_log_one_sync)
{
	struct mbj_blob_reader *reader = NULL;
	struct logged l;
	struct mbj_error err;
	uint64_t size;
	bool is_there = false;

	logged_begin(&l, true);
	logged_store(&l, 0);
	disk_fail(l.disk, &(struct disk_fault){.calls = 0});
	for (unsigned i = 1; i < 6; i++)
		logged_put(&l, i);
	ck_assert_uint_eq(disk_calls_of(l.disk, DISK_CALL_SYNC), 0);
	ck_assert_uint_eq(disk_calls_of(l.disk, DISK_CALL_RENAME), 0);
	for (unsigned i = 1; i < 6; i++) {
		test_ok(mbj_blob_settle(l.blobs, &l.contents[i].digest, &err),
			err);
		ck_assert(!mbj_blob_is_settled(l.blobs, &l.contents[i].digest));
		test_ok(mbj_blob_has(l.blobs, &l.contents[i].digest,
				     l.contents[i].n, &is_there, &err),
			err);
		ck_assert(is_there);
	}
	logged_sync(&l);
	ck_assert_uint_eq(disk_calls_of(l.disk, DISK_CALL_SYNC), 1);
	ck_assert_uint_eq(disk_calls_of(l.disk, DISK_CALL_RENAME), 5);
	for (unsigned i = 1; i < 6; i++)
		ck_assert(mbj_blob_is_settled(l.blobs, &l.contents[i].digest));
	logged_verify(&l, 0, 6);
	/* Not even named: whoever reads it gives it its name. */
	logged_put(&l, 6);
	test_ok(mbj_blob_reader_open(l.blobs, &l.contents[6].digest, &reader,
				     &size, &err),
		err);
	ck_assert_uint_eq(size, l.contents[6].n);
	mbj_blob_reader_close(&reader);
	ck_assert(!is_on_disk(&l, 6));
	logged_end(&l);
}
END_TEST

/*
 * Goal: all that a round was over for outlives a power cut of which nothing
 * else is left, with a log that is made anew in a folder that was there, and
 * with one that is written the second time.  Method: cut after each round.
 */
START_TEST(blob_log_outlives)
{
	struct logged l;
	struct mbj_error err;

	logged_begin(&l, true);
	for (unsigned i = 0; i < CONTENTS; i++) {
		logged_store(&l, i);
		if (i % 4 == 3)
			test_ok(mbj_blobs_rest(l.blobs, i % 8 == 3, &err), err);
		if (i % 2 == (unsigned)_i)
			logged_cut(&l);
		logged_verify(&l, 0, i + 1);
	}
	logged_end(&l);
}
END_TEST

/* Bytes of another file of that length under the digest. */
static void content_spoil(const struct logged *l, unsigned i)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	uint8_t zeroes[CONTENT_MAX] = {0};
	struct mbj_error err;

	blob_file(path, dir, &l->contents[i].digest);
	test_ok(mbj_file_open(disk_sys(l->disk), path, O_WRONLY, &file, &err),
		err);
	test_ok(mbj_file_write(&file, 0, zeroes, l->contents[i].n, &err), err);
	mbj_file_close(&file);
}

/* A byte of the second batch's content; forged: its sum is that of it. */
static void batch_spoil(const struct logged *l, bool is_forged)
{
	enum { BATCH = 2 * BLOB_LOG_BLOCK };
	uint8_t batch[BLOB_LOG_BLOCK];
	struct mbj_file file = MBJ_FILE_CLOSED;
	size_t size, got;
	struct mbj_error err;

	test_ok(mbj_file_open(disk_sys(l->disk), "/d/blobs/log.0", O_RDWR,
			      &file, &err),
		err);
	test_ok(mbj_file_read(&file, BATCH, batch, sizeof(batch), &got, &err),
		err);
	ck_assert_uint_eq(got, sizeof(batch));
	batch[BLOB_LOG_BATCH_SIZE + BLOB_LOG_RECORD_SIZE] ^= 1;
	size = BLOB_LOG_BATCH_SIZE + (size_t)mbj_load_u64(batch + 24);
	if (is_forged)
		mbj_store_u32(batch + 4,
			      mbj_crc32c(0,
					 mbj_bytes_make(batch + 8, size - 8)));
	test_ok(mbj_file_write(&file, BATCH, batch, sizeof(batch), &err), err);
	mbj_file_close(&file);
}

/*
 * Goal: opening relies on nothing that is there, and writes nothing under a
 * digest that is something else: a batch that is damaged is passed over, those
 * behind it are not.  Method: contents under their digests are spoiled, and a
 * byte of the log's second batch, without and with its sum.
 */
START_TEST(blob_log_redone)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct logged l;
	struct mbj_error err;

	logged_begin(&l, false);
	for (unsigned i = 0; i < 2 * BATCHES; i++)
		logged_store(&l, i);
	mbj_blobs_close(&l.blobs);
	for (unsigned i = 0; i < 2 * BATCHES; i++)
		content_spoil(&l, i);
	blob_file(path, dir, &l.contents[1].digest);
	test_ok(mbj_file_remove(disk_sys(l.disk), path, &err), err);
	batch_spoil(&l, _i == 1);
	ck_assert(mbj_blobs_are_logged(disk_sys(l.disk), dir));
	logged_open(&l);
	ck_assert(!mbj_blobs_are_logged(disk_sys(l.disk), dir));
	logged_verify(&l, 0, 1);
	logged_verify(&l, 2, 2 * BATCHES);
	test_rc(mbj_blob_verify(l.blobs, &l.contents[1].digest, l.contents[1].n,
				&err),
		MBJ_ENOTFOUND);
	logged_end(&l);
}
END_TEST

/*
 * Goal: where both files are full, contents are stored as without a log; once
 * they are at rest, with it again.  What is at rest needs no log.
 */
START_TEST(blob_log_full)
{
	struct logged l;
	struct mbj_error err;

	logged_begin(&l, false);
	for (unsigned i = 0; i < 2 * BATCHES; i++)
		logged_store(&l, i);
	ck_assert(!is_on_disk(&l, 0));
	logged_store(&l, 4);
	ck_assert(is_on_disk(&l, 4));
	test_ok(mbj_blobs_rest(l.blobs, false, &err), err);
	for (unsigned i = 0; i < BATCHES; i++)
		ck_assert(is_on_disk(&l, i));
	logged_store(&l, 5);
	ck_assert(!is_on_disk(&l, 5));
	test_ok(mbj_blobs_rest(l.blobs, true, &err), err);
	for (unsigned i = 0; i < 6; i++)
		ck_assert(is_on_disk(&l, i));
	ck_assert(!mbj_blobs_are_logged(disk_sys(l.disk), dir));
	logged_cut(&l);
	logged_verify(&l, 0, 6);
	logged_end(&l);
}
END_TEST

/*
 * Goal: a file of the log is not given up for a sync that failed, of the file
 * system or of a folder in between; what it has is written anew then.  Method:
 * fail that sync; then a cut of which nothing is left but what was synced.
 */
START_TEST(blob_log_rest_fails)
{
	struct mbj_hash digest;
	struct logged l;
	struct mbj_error err;

	logged_begin(&l, true);
	for (unsigned i = 0; i < BATCHES; i++)
		logged_store(&l, i);
	if (_i == 1) {
		/* Longer than the log takes. */
		uint8_t *bytes = calloc(1, BLOB_LOG_CONTENT_MAX + 1);

		test_ok(mbj_blob_put(l.blobs,
				     mbj_bytes_make(bytes,
						    BLOB_LOG_CONTENT_MAX + 1),
				     &digest, &err),
			err);
		free(bytes);
	}
	disk_fail(l.disk, &(struct disk_fault){.calls = DISK_CALL_SYNC,
					       .at = 1,
					       .errnum = EIO});
	if (_i == 1)
		test_rc(mbj_blobs_sync(l.blobs, &err), MBJ_EIO);
	else
		test_rc(mbj_blobs_rest(l.blobs, true, &err), MBJ_EIO);
	disk_fail(l.disk, &(struct disk_fault){.calls = 0});
	if (_i == 1)
		logged_sync(&l);
	disk_fail(l.disk, &(struct disk_fault){.calls = 0});
	test_ok(mbj_blobs_rest(l.blobs, true, &err), err);
	ck_assert_uint_ge(disk_calls_of(l.disk, DISK_CALL_RENAME), BATCHES);
	for (unsigned i = 0; i < BATCHES; i++)
		ck_assert(is_on_disk(&l, i));
	logged_cut(&l);
	logged_verify(&l, 0, BATCHES);
	logged_end(&l);
}
END_TEST

/*
 * Goal: where the log fails, its round's contents are stored without it, and
 * all later ones; where that fails, too, none of them is there, and it is told:
 * to who waits, and by the count of those dropped.
 */
START_TEST(blob_log_fails)
{
	struct logged l;
	struct mbj_error err;
	bool is_there = true;

	logged_begin(&l, false);
	logged_store(&l, 0);
	logged_put(&l, 1);
	logged_put(&l, 2);
	disk_fail(l.disk, &(struct disk_fault){.calls = DISK_CALL_SYNC,
					       .at = 1,
					       .errnum = EIO,
					       .is_for_good = _i == 1});
	if (_i == 1) {
		test_rc(mbj_blobs_sync(l.blobs, &err), MBJ_EIO);
		ck_assert_uint_eq(mbj_blobs_drops(l.blobs), 2);
		test_ok(mbj_blob_has(l.blobs, &l.contents[1].digest,
				     l.contents[1].n, &is_there, &err),
			err);
		ck_assert(!is_there);
	} else {
		logged_sync(&l);
		ck_assert_uint_eq(mbj_blobs_drops(l.blobs), 0);
		ck_assert(is_on_disk(&l, 1) && is_on_disk(&l, 2));
	}
	disk_fail(l.disk, &(struct disk_fault){.calls = 0});
	logged_store(&l, 3);
	ck_assert(is_on_disk(&l, 3));
	logged_cut(&l);
	logged_verify(&l, 0, 1);
	logged_verify(&l, _i == 1 ? 3 : 1, 4);
	logged_end(&l);
}
END_TEST

static struct mbj_bytes log_make(struct logged *l, struct mbj_buf *bytes)
{
	struct mbj_error err;

	for (unsigned i = 0; i < 3; i++)
		logged_put(l, i);
	logged_sync(l);
	logged_store(l, 3);
	mbj_buf_init(bytes, BLOB_LOG_SIZE_MAX);
	test_ok(mbj_file_load(disk_sys(l->disk), "/d/blobs/log.0",
			      BLOB_LOG_SIZE_MAX, bytes, &err),
		err);
	return mbj_buf_view(bytes);
}

/*
 * Goal: reading a log that is damaged anywhere gives its own records or fewer,
 * and ends.  Method: random bytes, bits and ends, by a seed.
 */
START_TEST(blob_log_damaged)
{
	struct mbj_buf bytes;
	struct test_rng rng;
	struct logged l;

	logged_begin(&l, false);
	(void)log_make(&l, &bytes);
	(void)test_rng_seed(&rng);
	for (unsigned round = 0; round < 2000; round++) {
		struct blob_log_walk walk = {.at = BLOB_LOG_BLOCK};
		struct mbj_bytes log = mbj_buf_view(&bytes);
		size_t at = (size_t)test_rng_below(&rng, log.n);
		uint8_t was = bytes.p[at];
		struct blob_record record;
		struct mbj_id generation;
		unsigned count = 0;

		if (round % 4 == 0)
			log.n = at;
		else if (round > 0)
			bytes.p[at] ^= (uint8_t)(1U << round % 8);
		while (blob_log_header_read(log, &generation) &&
		       blob_log_next(log, generation, &walk, &record)) {
			bool is_own = false;

			for (unsigned i = 0; i < 4; i++)
				is_own |=
					digest_equal(&record.digest,
						     &l.contents[i].digest) &&
					record.bytes.n == l.contents[i].n &&
					memcmp(record.bytes.p, l.contents[i].p,
					       record.bytes.n) == 0;
			ck_assert(is_own);
			count++;
		}
		ck_assert_uint_le(count, 4);
		bytes.p[at] = was;
	}
	mbj_buf_done(&bytes);
	logged_end(&l);
}
END_TEST

TCase *test_blob_log_case(void)
{
	TCase *tc = tcase_create("blob_log");

	tcase_add_test(tc, blob_log_one_sync);
	tcase_add_loop_test(tc, blob_log_outlives, 0, 2);
	tcase_add_loop_test(tc, blob_log_redone, 0, 2);
	tcase_add_test(tc, blob_log_full);
	tcase_add_loop_test(tc, blob_log_rest_fails, 0, 2);
	tcase_add_loop_test(tc, blob_log_fails, 0, 2);
	tcase_add_test(tc, blob_log_damaged);
	return tc;
}
