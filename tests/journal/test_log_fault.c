/*
 * Reading a log from any group on, and opening it, where calls and allocations
 * fail: the right group or an error, never another one.
 */
#include <errno.h>

#include "hash_fault.h"
#include "journal_cases.h"
#include "log_batches.h"
#include "log_impl.h"

/*
 * Goal: reading may begin at any group, also in the middle of a batch.
 * Method: from each, with and without an owner; before and behind all is
 * refused.
 */
START_TEST(log_seek_everywhere)
{
	struct batches f;

	batches_begin(&f, 5);
	for (int is_owned = 0; is_owned < 2; is_owned++)
		for (uint64_t lsn = f.first; lsn <= f.last + 1; lsn++)
			ck_assert_int_eq(batches_read(&f, is_owned != 0, lsn,
						      NULL),
					 MBJ_ENOTFOUND);
	for (int is_owned = 0; is_owned < 2; is_owned++) {
		struct mbj_log_reader *reader = NULL;

		LAB_OK(lab_reader_try(f.disk, is_owned != 0, &reader, err));
		LAB_FAILS(mbj_log_reader_seek(reader,
					      (struct mbj_lsn){f.last + 2},
					      err),
			  MBJ_ENOTFOUND);
		if (f.first > 1)
			LAB_FAILS(mbj_log_reader_seek(reader,
						      (struct mbj_lsn){f.first -
								       1},
						      err),
				  MBJ_ENOTFOUND);
		mbj_log_reader_close(&reader);
	}
	batches_end(&f);
}
END_TEST

/*
 * Goal: a failing call is an error with words, and no group is made up.
 * Method: each call of reading from some groups fails, once and from then on,
 * with and without an owner, with and without somebody to tell.
 */
START_TEST(log_reads_fail)
{
	const unsigned calls = DISK_CALL_READ | DISK_CALL_SYNC;
	struct batches f;
	unsigned failures = 0;

	batches_begin(&f, 6);
	for (unsigned how = 0; how < 16; how++) {
		uint64_t lsn = f.first + how % 8;
		uint64_t count;

		for (uint64_t k = 1;; k++) {
			struct mbj_error why = {.rc = MBJ_OK};
			enum mbj_rc rc;

			disk_fail(f.disk, calls, k, 5, (how & 1) != 0);
			rc = batches_read(&f, (how & 2) != 0, lsn,
					  (how & 4) != 0 ? &why : NULL);
			count = disk_calls(f.disk);
			disk_fail(f.disk, calls, 0, 0, false);
			/* A failed sync leaves nothing unsynced here. */
			if (rc == MBJ_ENOTFOUND) {
				if (count < k)
					break;
				continue;
			}
			ck_assert_int_eq(rc, MBJ_EIO);
			if ((how & 4) != 0)
				ck_assert_str_ne(why.message, "");
			failures++;
		}
	}
	ck_assert_uint_gt(failures, 100);
	batches_end(&f);
}
END_TEST

/* The same of allocations. */
START_TEST(log_reads_no_memory)
{
	struct batches f;
	unsigned failures = 0;

	batches_begin(&f, 7);
	for (unsigned how = 0; how < 8; how++) {
		int64_t blocks = test_alloc_blocks();

		for (uint64_t k = 1;; k++) {
			uint64_t count;
			enum mbj_rc rc;

			test_alloc_fail_at(k);
			rc = batches_read(&f, (how & 1) != 0, f.first + how,
					  NULL);
			count = test_alloc_count();
			test_alloc_fail_at(0);
			ck_assert_int_eq(test_alloc_blocks(), blocks);
			if (rc == MBJ_ENOTFOUND && count < k)
				break;
			ck_assert_int_eq(rc, MBJ_ENOMEM);
			failures++;
		}
	}
	ck_assert_uint_gt(failures, 20);
	batches_end(&f);
}
END_TEST

/* The chain's next group, or nothing of it. */
static enum mbj_rc digests_make(struct batches *f, struct mbj_error *err)
{
	struct mbj_group_writer *writer = &f->chain.writer;
	struct mbj_hash chain = f->chain.end.chain;
	struct mbj_buf record;
	enum mbj_rc rc;

	mbj_buf_init(&record, 1 << 20);
	mbj_group_writer_begin(writer, (struct mbj_lsn){f->chain.end.lsn.v + 1},
			       (struct mbj_epoch){7}, 0, MBJ_ORIGIN_LIVE,
			       MBJ_ID_ROOT);
	rc = mbj_group_writer_finish(writer, f->chain.sha, &chain, &record,
				     err);
	ck_assert_int_eq(record.n > 0, rc == MBJ_OK);
	ck_assert_int_eq(memcmp(chain.b, f->chain.end.chain.b, MBJ_HASH_SIZE) !=
				 0,
			 rc == MBJ_OK);
	mbj_buf_done(&record);
	return rc;
}

/* A group made; the log opened, written, and read to the end. */
static enum mbj_rc digests_run(struct batches *f, struct mbj_error *err)
{
	struct batches longer = *f;
	struct mbj_log *log = NULL;
	enum mbj_rc rc;

	rc = digests_make(f, err);
	if (rc == MBJ_OK)
		rc = lab_log_try(f->disk, f->last, &log, err);
	longer.last++;
	if (rc == MBJ_OK) {
		rc = lab_append(log, &f->chain, longer.last, longer.last, err);
		ck_assert(!mbj_log_is_failed(log));
		ck_assert_uint_eq(mbj_log_end_get(log).lsn.v,
				  rc == MBJ_OK ? longer.last : f->last);
	}
	mbj_log_close(&log);
	return rc == MBJ_OK ? batches_read(&longer, false, f->first, err) : rc;
}

/*
 * Goal: a digest that fails is an error, and neither damage nor a group.
 * Method: each digest of a log's life fails once, with and without somebody to
 * tell.
 */
START_TEST(log_digests_fail)
{
	struct batches f, copy;
	unsigned failures = 0;
	enum mbj_rc rc = MBJ_ENOMEM;

	batches_begin(&f, 18);
	(void)lab_chain_add(&f.chain, 2);
	copy = f;
	for (uint64_t k = 1; rc == MBJ_ENOMEM; k++) {
		struct mbj_error why = {.rc = MBJ_OK};

		for (int is_told = 0; is_told < 2; is_told++) {
			copy.disk = disk_dup(f.disk);
			hash_fault_at(k);
			rc = digests_run(&copy, is_told ? &why : NULL);
			ck_assert_int_eq(rc == MBJ_ENOMEM,
					 hash_fault_count() >= k);
			hash_fault_at(0);
			disk_free(&copy.disk);
		}
		ck_assert(rc != MBJ_ENOMEM || strstr(why.message, "fails"));
		failures += rc == MBJ_ENOMEM;
	}
	ck_assert_int_eq(rc, MBJ_ENOTFOUND);
	ck_assert_uint_gt(failures, 60);
	batches_end(&f);
}
END_TEST

/*
 * Goal: groups larger than what is read at once, or many of them, meet a
 * failing read at any place.  Method: a large segment; each read of going to a
 * late group and on to the end fails.
 */
START_TEST(log_large_reads_fail)
{
	const struct mbj_log_options options = {16u << 20, 1u << 20};
	struct mbj_anchor anchor = lab_anchor();
	struct mbj_log *log = NULL;
	struct batches f = {.disk = disk_new(3)};
	unsigned failures = 0;
	uint64_t count;

	lab_chain_init(&f.chain, 3);
	f.first = f.chain.first.v;
	LAB_OK(mbj_log_open(disk_sys(f.disk), DISK_DIR, lab_lineage(), &anchor,
			    (struct mbj_lsn){f.first - 1}, &options, &log,
			    err));
	for (unsigned i = 0; i < 30; i++) {
		uint64_t at = f.chain.end.lsn.v + 1;

		for (unsigned k = 0; k < 20; k++)
			(void)lab_chain_add(&f.chain, 300);
		LAB_OK(lab_append(log, &f.chain, at, at + 19, err));
	}
	mbj_log_close(&log);
	f.last = f.chain.end.lsn.v;
	for (unsigned how = 0; how < 4; how++) {
		for (uint64_t k = 1;; k++) {
			enum mbj_rc rc;

			disk_fail(f.disk, DISK_CALL_READ, k, 5, false);
			rc = batches_read(&f, (how & 1) != 0,
					  f.last - 20 - 13 * how, NULL);
			count = disk_calls(f.disk);
			disk_fail(f.disk, DISK_CALL_READ, 0, 0, false);
			if (count < k)
				break;
			ck_assert(rc == MBJ_EIO || rc == MBJ_ENOTFOUND);
			failures += rc == MBJ_EIO;
		}
	}
	ck_assert_uint_gt(failures, 20);
	batches_end(&f);
}
END_TEST

static int random_fails(void *ctx, void *p, size_t n)
{
	(void)ctx;
	(void)p;
	(void)n;
	return -5;
}

/*
 * Goal: where no segment can be begun the log says so and is not used on.
 * Method: no file number left; no random bytes; no LSN left.
 */
START_TEST(log_no_segment)
{
	struct mbj_log *log = NULL;
	struct batches last;

	for (int is_random = 0; is_random < 2; is_random++) {
		struct mbj_sys sys;
		struct batches f;
		enum mbj_rc rc = MBJ_OK;
		struct mbj_error why = {.rc = MBJ_OK};

		batches_begin(&f, 15);
		log = lab_log_open(f.disk, f.last);
		sys = *log->sys;
		sys.random = random_fails;
		if (is_random)
			log->sys = &sys;
		else
			log->number = UINT32_MAX;
		for (unsigned i = 0; i < 50 && rc == MBJ_OK; i++) {
			uint64_t at = f.chain.end.lsn.v + 1;

			(void)lab_chain_add(&f.chain, 10);
			rc = lab_append(log, &f.chain, at, at, &why);
		}
		ck_assert_int_eq(rc, is_random ? MBJ_EIO : MBJ_ELIMIT);
		ck_assert_str_ne(why.message, "");
		mbj_log_close(&log);
		batches_end(&f);
	}
	batches_begin(&last, 15);
	log = lab_log_open(last.disk, last.last);
	log->end.lsn.v = UINT64_MAX;
	LAB_FAILS(mbj_log_reserve(log, lab_options.segment_size, err),
		  MBJ_ELIMIT);
	mbj_log_close(&log);
	batches_end(&last);
}
END_TEST

/*
 * Goal: a directory whose name is too long is refused, not cut.  Method: the
 * longest that is taken, which does not exist, and one byte more.
 */
START_TEST(log_long_paths)
{
	struct mbj_anchor anchor = lab_anchor();
	struct mbj_log_reader *reader = NULL;
	struct disk *disk = disk_new(1);
	struct mbj_log *log = NULL;
	static char dir[MBJ_PATH_TEXT_MAX + 1];

	memset(dir, 'x', MBJ_PATH_TEXT_MAX);
	LAB_FAILS(mbj_log_open(disk_sys(disk), dir, lab_lineage(), &anchor,
			       (struct mbj_lsn){0}, &lab_options, &log, err),
		  MBJ_ELIMIT);
	LAB_FAILS(mbj_log_reader_open(disk_sys(disk), dir, lab_lineage(),
				      &anchor, true, &reader, err),
		  MBJ_ELIMIT);
	dir[MBJ_PATH_TEXT_MAX - 1] = '\0';
	ck_assert_int_lt(mbj_log_open(disk_sys(disk), dir, lab_lineage(),
				      &anchor, (struct mbj_lsn){0},
				      &lab_options, &log, NULL),
			 0);
	ck_assert_int_lt(mbj_log_reader_open(disk_sys(disk), dir, lab_lineage(),
					     &anchor, true, &reader, NULL),
			 0);
	disk_free(&disk);
}
END_TEST

/* ----------------------------------------------------------------- opening */

/*
 * Goal: a journal whose disk failed in use is copied, verified and gone on
 * with, or refused with words while the disk fails.  Method: a write or a sync
 * of an append fails for good, once with the batch written and once without;
 * each call of opening it again fails, once and from then on.
 */
START_TEST(log_open_calls_fail)
{
	static const unsigned broken[] = {DISK_CALL_WRITE, DISK_CALL_SYNC};
	const unsigned calls = DISK_CALL_CHANGE | DISK_CALL_READ;
	unsigned failures = 0;

	for (unsigned how = 0; how < 4; how++) {
		struct mbj_log *log = NULL;
		struct batches f;
		uint64_t count;

		batches_begin(&f, 11 + how);
		(void)lab_chain_add(&f.chain, 2);
		log = lab_log_open(f.disk, f.last);
		disk_fail(f.disk, broken[how & 1], 1, 5, false);
		ck_assert_int_lt(lab_append(log, &f.chain, f.last + 1,
					    f.last + 1, NULL),
				 0);
		disk_fail(f.disk, calls, 0, 0, false);
		mbj_log_close(&log);
		for (uint64_t k = 1;; k++) {
			struct disk *disk = disk_dup(f.disk);
			struct mbj_error why = {.rc = MBJ_OK};
			enum mbj_rc rc;

			disk_fail(disk, calls, k, 5, (how & 2) != 0);
			rc = lab_log_try(disk, f.last, &log,
					 k % 2 == 0 ? NULL : &why);
			count = disk_calls(disk);
			disk_fail(disk, calls, 0, 0, false);
			mbj_log_close(&log);
			if (rc != MBJ_OK) {
				ck_assert_int_eq(rc, MBJ_EIO);
				ck_assert(k % 2 == 0 || why.message[0] != 0);
				failures++;
			}
			/* In any case: all that was durable, and more room. */
			disk_cut(disk, DISK_CUT_KILL);
			log = lab_log_open(disk, f.last);
			ck_assert_uint_ge(mbj_log_end_get(log).lsn.v, f.last);
			mbj_log_close(&log);
			disk_free(&disk);
			if (rc == MBJ_OK && count < k)
				break;
		}
		batches_end(&f);
	}
	ck_assert_uint_gt(failures, 20);
}
END_TEST

/* Publish a group, with another chain value or its own. */
static void published_set(struct batches *f, uint64_t lsn, bool is_bent)
{
	struct mbj_log_end end = lab_chain_end(&f->chain, lsn);
	size_t n = 0;
	uint8_t *p = disk_file(f->disk, LOG_PUBLISHED_NAME, &n);

	ck_assert_uint_eq(n, LOG_PUBLISHED_SIZE);
	if (is_bent)
		end.chain.b[3] ^= 1;
	log_published_encode(&end, p);
}

/*
 * Goal: a reader whose last group is damaged, or is not the one that was
 * published, says so wherever it is asked.  Method: both, without an owner:
 * seeking behind it, reading, and asking for the end; the other with one.
 */
START_TEST(log_last_damaged)
{
	for (int is_bent = 0; is_bent < 2; is_bent++) {
		struct mbj_log_reader *reader = NULL;
		struct mbj_log *log = NULL;
		struct mbj_log_end end;
		struct batches f;
		size_t n = 0;
		uint8_t *p;

		batches_begin(&f, 13);
		if (is_bent) {
			published_set(&f, f.last, true);
		} else {
			p = disk_file(f.disk, lab_segment(f.disk), &n);
			while (n > 0 && p[n - 1] == 0)
				n--;
			p[n - 8] ^= 1;
		}
		LAB_OK(lab_reader_try(f.disk, false, &reader, err));
		LAB_FAILS(mbj_log_reader_seek(reader,
					      (struct mbj_lsn){f.last + 1},
					      err),
			  MBJ_ECORRUPT);
		LAB_FAILS(mbj_log_reader_end(reader, &end, err), MBJ_ECORRUPT);
		ck_assert_int_eq(mbj_log_reader_end(reader, &end, NULL),
				 MBJ_ECORRUPT);
		ck_assert_int_eq(
			mbj_log_reader_seek(reader,
					    (struct mbj_lsn){f.last + 1}, NULL),
			MBJ_ECORRUPT);
		mbj_log_reader_close(&reader);
		LAB_FAILS(batches_read(&f, true, f.first, err), MBJ_ECORRUPT);
		LAB_FAILS(lab_log_try(f.disk, f.last, &log, err), MBJ_ECORRUPT);
		batches_end(&f);
	}
}
END_TEST

/*
 * Goal: what was published once is compared wherever in the last segment it
 * is, and a journal that contradicts it never just ends.  Method: every LSN,
 * with its own chain value and with another one, read without an owner from
 * the first group on.
 */
START_TEST(log_published_inside)
{
	struct mbj_lsn last_first;
	struct batches f;
	uint32_t number;

	batches_begin(&f, 16);
	ck_assert(
		segment_name_parse(lab_segment(f.disk), &number, &last_first));
	for (uint64_t lsn = f.first; lsn <= f.last; lsn++) {
		published_set(&f, lsn, false);
		ck_assert_int_eq(batches_read(&f, false, f.first, NULL),
				 MBJ_ENOTFOUND);
		published_set(&f, lsn, true);
		if (lsn + 1 < last_first.v)
			ck_assert_int_eq(batches_read(&f, false, f.first, NULL),
					 MBJ_ENOTFOUND);
		else
			LAB_FAILS(batches_read(&f, false, f.first, err),
				  MBJ_ECORRUPT);
	}
	batches_end(&f);
}
END_TEST

/*
 * Goal: an end that cannot be read is an error, an empty directory is an empty
 * journal.  Method: each read of asking for the end fails; no files at all.
 */
START_TEST(log_ends)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_log_end end;
	struct batches f;
	struct disk *empty = disk_new(1);

	batches_begin(&f, 14);
	LAB_OK(lab_reader_try(f.disk, true, &reader, err));
	disk_fail(f.disk, DISK_CALL_READ, 1, 5, true);
	LAB_FAILS(mbj_log_reader_end(reader, &end, err), MBJ_EIO);
	disk_fail(f.disk, DISK_CALL_READ, 0, 0, false);
	LAB_OK(mbj_log_reader_end(reader, &end, err));
	ck_assert_uint_eq(end.lsn.v, f.last);
	mbj_log_reader_close(&reader);
	LAB_OK(lab_reader_try(empty, false, &reader, err));
	LAB_OK(mbj_log_reader_end(reader, &end, err));
	ck_assert_uint_eq(end.lsn.v, lab_anchor().first.v - 1);
	mbj_log_reader_close(&reader);
	/* All of it lost: nothing that was published can be reached. */
	LAB_OK(lab_reader_try(f.disk, true, &reader, err));
	for (size_t i = 0; disk_name(f.disk, i) != NULL;) {
		if (strstr(disk_name(f.disk, i), ".seg") != NULL)
			disk_remove(f.disk, disk_name(f.disk, i));
		else
			i++;
	}
	LAB_FAILS(mbj_log_reader_seek(reader, (struct mbj_lsn){f.first}, err),
		  MBJ_ENOTFOUND);
	mbj_log_reader_close(&reader);
	disk_free(&empty);
	batches_end(&f);
}
END_TEST

static int64_t size_fails(void *ctx, int fd)
{
	(void)ctx;
	(void)fd;
	return -EIO;
}

/* Goal: a size that cannot be had is no size.  Method: asking fails. */
START_TEST(log_usage_fails)
{
	struct mbj_log_usage usage = {77, 77};
	struct mbj_sys sys;
	struct batches f;

	batches_begin(&f, 8);
	sys = *disk_sys(f.disk);
	sys.size = size_fails;
	LAB_FAILS(mbj_log_usage_get(&sys, DISK_DIR, &usage, err), MBJ_EIO);
	ck_assert_uint_eq(usage.segments, 77);
	test_alloc_fail_at(1);
	ck_assert_int_eq(mbj_log_usage_get(disk_sys(f.disk), DISK_DIR, &usage,
					   NULL),
			 MBJ_ENOMEM);
	test_alloc_fail_at(0);
	ck_assert_uint_eq(usage.segments, 77);
	batches_end(&f);
}
END_TEST

TCase *test_log_fault_case(void)
{
	TCase *tc = tcase_create("log_fault");

	tcase_add_test(tc, log_seek_everywhere);
	tcase_add_test(tc, log_reads_fail);
	tcase_add_test(tc, log_reads_no_memory);
	tcase_add_test(tc, log_digests_fail);
	tcase_add_test(tc, log_large_reads_fail);
	tcase_add_test(tc, log_no_segment);
	tcase_add_test(tc, log_long_paths);
	tcase_add_test(tc, log_open_calls_fail);
	tcase_add_test(tc, log_last_damaged);
	tcase_add_test(tc, log_published_inside);
	tcase_add_test(tc, log_ends);
	tcase_add_test(tc, log_usage_fails);
	return tc;
}
