/*
 * A log beside which files go, change, or cannot be opened between two calls,
 * and a log in a directory whose name is almost too long: what was meant or an
 * error with words, never another end.
 */
#include <stdio.h>

#include "journal_cases.h"
#include "log_batches.h"
#include "log_impl.h"
#include "log_meddle.h"

/* The first segment's name. */
static const char *segment_first(struct disk *disk)
{
	size_t i = 0;

	while (strstr(disk_name(disk, i), ".seg") == NULL)
		i++;
	return disk_name(disk, i);
}

static void segments_remove(struct meddle *meddle)
{
	for (size_t i = 0; disk_name(meddle->disk, i) != NULL;) {
		if (strstr(disk_name(meddle->disk, i), ".seg") != NULL)
			disk_remove(meddle->disk, disk_name(meddle->disk, i));
		else
			i++;
	}
}

static void first_remove(struct meddle *meddle)
{
	disk_remove(meddle->disk, segment_first(meddle->disk));
}

/*
 * Goal: what segments take counts those that are there when they are looked
 * at, and one that cannot be opened is no smaller journal.  Method: the first
 * goes between the listing and its opening; each opening fails.
 */
START_TEST(meddle_usage)
{
	struct mbj_log_usage before, usage;
	struct meddle meddle;
	struct batches f;
	size_t n = 0;

	batches_begin(&f, 31);
	meddle_init(&meddle, f.disk);
	LAB_OK(mbj_log_usage_get(&meddle.sys, DISK_DIR, &before, err));
	ck_assert_uint_gt(before.segments, 1);
	for (uint64_t k = 1; k <= before.segments; k++) {
		usage = (struct mbj_log_usage){77, 77};
		meddle_fail(&meddle, MEDDLE_OPEN, k);
		LAB_FAILS(mbj_log_usage_get(&meddle.sys, DISK_DIR, &usage, err),
			  MBJ_EIO);
		ck_assert_uint_eq(usage.segments, 77);
	}
	(void)disk_file(f.disk, segment_first(f.disk), &n);
	meddle_change(&meddle, MEDDLE_OPEN, 1, first_remove);
	LAB_OK(mbj_log_usage_get(&meddle.sys, DISK_DIR, &usage, err));
	ck_assert_uint_eq(usage.segments, before.segments - 1);
	ck_assert_uint_eq(usage.size, before.size - n);
	batches_end(&f);
}
END_TEST

/* ------------------------------------------------------------ long names */

/* A name of so many bytes for the disk's directory, with no slash at its end.
 */
static const char *long_dir(size_t length)
{
	static char dir[MBJ_PATH_TEXT_MAX];

	ck_assert_uint_lt(length, sizeof(dir));
	memset(dir, '/', length);
	memcpy(dir, DISK_DIR, strlen(DISK_DIR));
	dir[length - 1] = '.';
	dir[length] = '\0';
	return dir;
}

/* A call that must not have to cut dir + "/" + name. */
#define FITS(call, is_fitting)                       \
	do {                                         \
		if (is_fitting)                      \
			LAB_OK(call);                \
		else                                 \
			LAB_FAILS(call, MBJ_ELIMIT); \
	} while (0)

static bool is_fitting(const char *dir, const char *name)
{
	return strlen(dir) + 1 + strlen(name) < MBJ_PATH_TEXT_MAX;
}

/*
 * Goal: a file's path that would be too long is an error before anything is
 * done with it, file by file, and the longest that fits is used.  Method: all
 * lengths of the directory's name with which some fit and some do not: a log
 * begun, one gone on with, readers, usage, the mark of a failed disk.
 */
START_TEST(meddle_long_names)
{
	struct mbj_log_usage usage;
	struct meddle meddle;
	struct batches f;
	unsigned fitting = 0;

	batches_begin(&f, 32);
	for (size_t length = MBJ_PATH_TEXT_MAX - 1;
	     length > MBJ_PATH_TEXT_MAX - SEGMENT_NAME_SIZE - 4; length--) {
		const char *dir = long_dir(length);
		bool is_segment = is_fitting(dir, lab_segment(f.disk));
		struct mbj_log_reader *reader = NULL;
		struct disk *empty = disk_new(1);
		struct mbj_log *log = NULL;

		meddle_init(&meddle, empty);
		FITS(meddle_log_try(&meddle, dir, 0, &log, err), is_segment);
		ck_assert(!disk_has(empty, LOG_TEMP_NAME));
		ck_assert(!disk_has(empty, LOG_SUSPECT_NAME));
		mbj_log_close(&log);
		disk_free(&empty);
		meddle_init(&meddle, f.disk);
		FITS(meddle_log_try(&meddle, dir, f.last, &log, err),
		     is_segment);
		mbj_log_close(&log);
		FITS(meddle_reader_try(&meddle, dir, false, &reader, err),
		     is_segment);
		mbj_log_reader_close(&reader);
		FITS(meddle_reader_try(&meddle, dir, true, &reader, err),
		     is_fitting(dir, LOG_PUBLISHED_NAME));
		if (reader != NULL)
			FITS(mbj_log_reader_seek(reader,
						 (struct mbj_lsn){f.first},
						 err),
			     is_segment);
		mbj_log_reader_close(&reader);
		FITS(mbj_log_usage_get(&meddle.sys, dir, &usage, err),
		     is_segment);
		fitting += is_segment;
	}
	ck_assert_uint_eq(fitting, 3);
	batches_end(&f);
}
END_TEST

/* Goal, method: as before, of the mark that a disk failed. */
START_TEST(meddle_long_mark)
{
	struct disk *disk = disk_new(1);
	struct meddle meddle;

	meddle_init(&meddle, disk);
	for (size_t length = MBJ_PATH_TEXT_MAX - 1;
	     length > MBJ_PATH_TEXT_MAX - 12; length--) {
		const char *dir = long_dir(length);
		bool fits = is_fitting(dir, LOG_SUSPECT_NAME);
		bool is_suspect = !fits;

		log_suspect_set(&meddle.sys, dir);
		ck_assert_int_eq(disk_has(disk, LOG_SUSPECT_NAME), fits);
		FITS(log_suspect_get(&meddle.sys, dir, &is_suspect, err), fits);
		ck_assert(is_suspect);
		FITS(log_suspect_clear(&meddle.sys, dir, err), fits);
		ck_assert(!disk_has(disk, LOG_SUSPECT_NAME));
	}
	disk_free(&disk);
}
END_TEST

/* --------------------------------------------------------------- reading */

/* One group more, by the owner. */
static void owner_append(struct batches *f, struct mbj_log *log)
{
	(void)lab_chain_add(&f->chain, 2);
	f->last++;
	LAB_OK(lab_append(log, &f->chain, f->last, f->last, err));
}

static void next_is(struct mbj_log_reader *reader, const struct batches *f,
		    uint64_t lsn)
{
	struct mbj_group group;

	LAB_OK(mbj_log_reader_next(reader, &group, err));
	ck_assert_uint_eq(group.header.lsn.v, lsn);
	ck_assert(mbj_bytes_equal(group.record, lab_chain_get(&f->chain, lsn)));
}

/*
 * Goal: a failing read is that and no end, wherever a reader stands beside an
 * owner that writes on, and the same reader goes on when reading works again.
 * Method: between two groups of a batch, and between two batches, with what
 * was read before forgotten because the journal grew; with and without
 * somebody to tell.
 */
START_TEST(meddle_reads_beside_owner)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_log *log = NULL;
	struct mbj_log_end end;
	struct meddle meddle;
	struct mbj_group group;
	struct batches f;
	uint64_t lsn;

	batches_begin(&f, 33);
	meddle_init(&meddle, f.disk);
	log = lab_log_open(f.disk, f.last);
	LAB_OK(meddle_reader_try(&meddle, DISK_DIR, true, &reader, err));
	lsn = f.last - BATCHES_EACH + 1;
	LAB_OK(mbj_log_reader_seek(reader, (struct mbj_lsn){lsn}, err));
	next_is(reader, &f, lsn++);
	owner_append(&f, log);
	LAB_OK(mbj_log_reader_end(reader, &end, err));
	ck_assert_uint_eq(end.lsn.v, f.last);
	for (int i = 0; i < 2; i++) {
		meddle_fail(&meddle, MEDDLE_READ, 1);
		if (i == 0)
			LAB_FAILS(mbj_log_reader_next(reader, &group, err),
				  MBJ_EIO);
		else
			ck_assert_int_eq(mbj_log_reader_next(reader, &group,
							     NULL),
					 MBJ_EIO);
	}
	meddle_fail(&meddle, 0, 0);
	while (lsn <= f.last)
		next_is(reader, &f, lsn++);
	owner_append(&f, log);
	/* The first read is of "published", the second of the batch. */
	for (uint64_t k = 1; k <= 2; k++) {
		meddle_fail(&meddle, MEDDLE_READ, k);
		LAB_FAILS(mbj_log_reader_next(reader, &group, err), MBJ_EIO);
	}
	meddle_fail(&meddle, 0, 0);
	next_is(reader, &f, lsn);
	ck_assert_int_eq(mbj_log_reader_next(reader, &group, NULL),
			 MBJ_ENOTFOUND);
	mbj_log_reader_close(&reader);
	mbj_log_close(&log);
	batches_end(&f);
}
END_TEST

/*
 * Goal: segments that go while somebody reads are damage, not the end of the
 * journal.  Method: all of them, behind a reader that stands at the first
 * group: it reads what is open, and then must find the next one.
 */
START_TEST(meddle_segments_go)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_error why = {.rc = MBJ_OK};
	struct meddle meddle;
	struct mbj_group group;
	struct batches f;
	uint64_t lsn;
	enum mbj_rc rc = MBJ_OK;

	batches_begin(&f, 34);
	meddle_init(&meddle, f.disk);
	LAB_OK(meddle_reader_try(&meddle, DISK_DIR, true, &reader, err));
	LAB_OK(mbj_log_reader_seek(reader, (struct mbj_lsn){f.first}, err));
	segments_remove(&meddle);
	for (lsn = f.first; rc == MBJ_OK; lsn++)
		rc = mbj_log_reader_next(reader, &group, &why);
	lsn--;
	ck_assert_int_eq(rc, MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(why.message, "not in the journal any "));
	ck_assert_uint_eq(why.lsn, lsn);
	ck_assert(lsn > f.first && lsn < f.last);
	mbj_log_reader_close(&reader);
	batches_end(&f);
}
END_TEST

/*
 * Goal: a "published" that cannot be opened is not one that is not there.
 * Method: each opening of a reader's beginning fails, with and without an
 * owner, with and without somebody to tell.
 */
START_TEST(meddle_published_closed)
{
	struct mbj_log_reader *reader = NULL;
	struct meddle meddle;
	struct batches f;
	unsigned failures = 0;

	batches_begin(&f, 35);
	meddle_init(&meddle, f.disk);
	for (int is_owned = 0; is_owned < 2; is_owned++) {
		enum mbj_rc rc = MBJ_EIO;

		for (uint64_t k = 1; rc != MBJ_OK; k++) {
			struct mbj_error why = {.rc = MBJ_OK};

			meddle_fail(&meddle, MEDDLE_OPEN, k);
			rc = meddle_reader_try(&meddle, DISK_DIR, is_owned != 0,
					       &reader, NULL);
			if (rc == MBJ_OK)
				break;
			ck_assert_int_eq(rc, MBJ_EIO);
			ck_assert_ptr_null(reader);
			meddle_fail(&meddle, MEDDLE_OPEN, k);
			rc = meddle_reader_try(&meddle, DISK_DIR, is_owned != 0,
					       &reader, &why);
			ck_assert_int_eq(rc, MBJ_EIO);
			ck_assert_str_ne(why.message, "");
			failures++;
		}
		mbj_log_reader_close(&reader);
	}
	/* published; published, the segment, the directory to sync */
	ck_assert_uint_eq(failures, 4);
	batches_end(&f);
}
END_TEST

/* --------------------------------------------------------------- opening */

/*
 * Goal: a segment without a batch is believed only with the one before it,
 * and a disk that fails while that is looked at is no damage.  Method: a log
 * whose last segment was just begun; each opening and each read fails; then
 * the group before is another one.
 */
START_TEST(meddle_last_empty)
{
	struct mbj_log *log = NULL;
	struct batches f;
	char before[SEGMENT_NAME_SIZE];
	struct mbj_error why = {.rc = MBJ_OK};
	enum mbj_rc rc = MBJ_EIO;
	unsigned failures = 0;
	size_t n = 0;
	uint8_t *p;

	batches_begin(&f, 36);
	(void)snprintf(before, sizeof(before), "%s", lab_segment(f.disk));
	log = lab_log_open(f.disk, f.last);
	LAB_OK(mbj_log_reserve(log, lab_options.segment_size, err));
	mbj_log_close(&log);
	ck_assert_str_ne(lab_segment(f.disk), before);
	for (uint64_t k = 1; rc != MBJ_OK; k++) {
		struct disk *disk = disk_dup(f.disk);
		struct meddle meddle;

		meddle_init(&meddle, disk);
		meddle_fail(&meddle, MEDDLE_OPEN | MEDDLE_READ, k);
		rc = meddle_log_try(&meddle, DISK_DIR, f.last, &log, &why);
		if (rc != MBJ_OK) {
			ck_assert_int_eq(rc, MBJ_EIO);
			ck_assert_str_ne(why.message, "");
			failures++;
		}
		mbj_log_close(&log);
		disk_free(&disk);
	}
	ck_assert_uint_gt(failures, 10);
	p = disk_file(f.disk, before, &n);
	while (n > 0 && p[n - 1] == 0)
		n--;
	p[n - 8] ^= 1;
	ck_assert_int_eq(lab_log_try(f.disk, 0, &log, &why), MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(why.message, before));
	batches_end(&f);
}
END_TEST

/* -------------------------------------------------------------- large ones */

enum { LARGE_SEED = 37, LARGE_CUT = 300 << 10 };

/*
 * One batch of at least size bytes in a segment of its own, its groups smaller
 * and larger than what is read at once.
 */
static struct mbj_log *large_begin(struct batches *f, size_t size)
{
	struct mbj_log *log = NULL;

	f->disk = disk_new(LARGE_SEED);
	lab_chain_init(&f->chain, LARGE_SEED);
	f->chain.lab.bytes_max = 0;
	f->first = f->chain.first.v;
	log = lab_log_open(f->disk, f->first - 1);
	while (f->chain.records.n < size)
		(void)lab_chain_add(&f->chain, 200);
	f->last = f->chain.end.lsn.v;
	LAB_OK(lab_append(log, &f->chain, f->first, f->last, err));
	return log;
}

/*
 * Goal: a large batch leaves no large buffer behind, a usual one what the next
 * one needs.  Method: one over what is kept, and a small one.
 */
START_TEST(meddle_large_batch)
{
	struct mbj_log *log;
	struct batches f;

	log = large_begin(&f, (4 << 20) + 1);
	ck_assert_uint_eq(log->frame.capacity, 0);
	owner_append(&f, log);
	ck_assert_uint_ge(log->frame.capacity, SEGMENT_FRAME_SIZE);
	mbj_log_close(&log);
	lab_read_all(f.disk, false, &f.chain, f.last);
	batches_end(&f);
}
END_TEST

static void large_cut(struct meddle *meddle)
{
	(void)disk_resize(meddle->disk, lab_segment(meddle->disk), LARGE_CUT);
}

/*
 * Goal: a segment that gets shorter while it is verified is damage with its
 * name and place, or was read before.  Method: cut in the middle before each
 * read of opening it.
 */
START_TEST(meddle_segment_shortens)
{
	struct batches f;
	unsigned refused = 0;
	bool is_read = false;

	struct mbj_log *log = large_begin(&f, 8 * LARGE_CUT);

	mbj_log_close(&log);
	for (uint64_t k = 1; !is_read; k++) {
		struct disk *disk = disk_dup(f.disk);
		struct mbj_error why = {.rc = MBJ_OK};
		struct meddle meddle;
		enum mbj_rc rc;

		meddle_init(&meddle, disk);
		meddle_change(&meddle, MEDDLE_READ, k, large_cut);
		rc = meddle_log_try(&meddle, DISK_DIR, f.last, &log, &why);
		if (rc == MBJ_OK) {
			ck_assert_uint_eq(mbj_log_end_get(log).lsn.v, f.last);
			is_read = meddle.count < k;
		} else {
			ck_assert_int_eq(rc, MBJ_ECORRUPT);
			ck_assert_ptr_nonnull(
				strstr(why.message, lab_segment(disk)));
			ck_assert_uint_le(why.lsn, f.last);
			refused++;
		}
		mbj_log_close(&log);
		disk_free(&disk);
	}
	ck_assert_uint_gt(refused, 4);
	batches_end(&f);
}
END_TEST

TCase *test_log_meddle_case(void)
{
	TCase *tc = tcase_create("log_meddle");

	tcase_add_test(tc, meddle_usage);
	tcase_add_test(tc, meddle_long_names);
	tcase_add_test(tc, meddle_long_mark);
	tcase_add_test(tc, meddle_reads_beside_owner);
	tcase_add_test(tc, meddle_segments_go);
	tcase_add_test(tc, meddle_published_closed);
	tcase_add_test(tc, meddle_last_empty);
	tcase_add_test(tc, meddle_large_batch);
	tcase_add_test(tc, meddle_segment_shortens);
	return tc;
}
