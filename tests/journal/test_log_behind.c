/*
 * How many bytes a journal has behind groups of it: counted from the groups
 * themselves, and what is said where not all can be walked.
 */
#include "journal_cases.h"
#include "log_impl.h"
#include "log_lab.h"
#include "log_meddle.h"

enum { GROUPS = 40, EACH = 4 };

struct behind {
	struct disk *disk;
	struct lab_chain chain;
	uint64_t first;
	uint64_t last;
};

/* Batches of several groups over several segments, every third in bulk. */
static void behind_begin(struct behind *b, uint64_t seed)
{
	struct mbj_log *log;

	b->disk = disk_new(seed);
	lab_chain_init(&b->chain, seed);
	b->first = b->chain.first.v;
	for (unsigned i = 0; i < GROUPS; i++) {
		b->chain.origin =
			i % 3 == 0 ? MBJ_ORIGIN_BULK : MBJ_ORIGIN_LIVE;
		(void)lab_chain_add(&b->chain, 2);
	}
	b->last = b->chain.end.lsn.v;
	log = lab_log_open(b->disk, b->first - 1);
	for (uint64_t at = b->first; at < b->last; at += EACH)
		LAB_OK(lab_append(log, &b->chain, at, at + EACH - 1, err));
	mbj_log_close(&log);
}

static void behind_end(struct behind *b)
{
	lab_chain_done(&b->chain);
	disk_free(&b->disk);
}

static struct mbj_log_behind expected_of(const struct behind *b, uint64_t after,
					 uint64_t end)
{
	struct mbj_log_behind sum = {.is_exact = true};

	for (uint64_t lsn = after + 1; lsn <= end; lsn++) {
		size_t size;

		if (lsn < b->first)
			continue;
		size = lab_chain_get(&b->chain, lsn).n;
		sum.bytes += size;
		sum.bulk += (lsn - b->first) % 3 == 0 ? size : 0;
	}
	return sum;
}

static void behind_check(const struct behind *b,
			 const struct mbj_log_behind *got, uint64_t after,
			 uint64_t end)
{
	struct mbj_log_behind expected = expected_of(b, after, end);

	ck_assert_uint_eq(got->bytes, expected.bytes);
	ck_assert_uint_eq(got->bulk, expected.bulk);
	ck_assert(got->is_exact);
}

static enum mbj_rc behind_get(const struct mbj_sys *sys, uint64_t end,
			      const struct mbj_lsn *after, size_t count,
			      struct mbj_log_behind *ret_behind,
			      struct mbj_error *err)
{
	return mbj_log_behind_get(sys, DISK_DIR, lab_lineage(),
				  (struct mbj_lsn){end}, after, count,
				  ret_behind, err);
}

/*
 * Goal: it is the bytes of the groups behind each, in whatever order they are
 * asked about, up to the end that is meant.  Method: all groups at once, from
 * the last to the first, each alone, and an end in the middle of a batch.
 */
START_TEST(behind_counts)
{
	struct mbj_log_behind got[GROUPS + 1];
	struct mbj_lsn after[GROUPS + 1];
	struct behind b;

	behind_begin(&b, 41);
	for (uint64_t end = b.last; end + 2 > b.last; end--) {
		for (unsigned i = 0; i <= GROUPS; i++)
			after[i].v = b.last - i;
		LAB_OK(behind_get(disk_sys(b.disk), end, after, GROUPS + 1, got,
				  err));
		for (unsigned i = 0; i <= GROUPS; i++)
			behind_check(&b, &got[i], after[i].v, end);
		for (unsigned i = 0; i <= GROUPS; i++) {
			LAB_OK(behind_get(disk_sys(b.disk), end, &after[i], 1,
					  got, err));
			behind_check(&b, got, after[i].v, end);
		}
	}
	behind_end(&b);
}
END_TEST

/*
 * Goal: what began before the journal does is not said to be exact; a journal
 * that ends before it is meant to, or is not there, is nothing to count.
 */
START_TEST(behind_beyond)
{
	struct mbj_lsn after[2];
	struct mbj_log_behind got[2];
	struct behind b;

	behind_begin(&b, 43);
	/* The lab's chain begins at an LSN above 2, or there is nothing to try.
	 */
	if (b.first > 2) {
		after[0].v = b.first - 2;
		after[1].v = b.first - 1;
		LAB_OK(behind_get(disk_sys(b.disk), b.last, after, 2, got,
				  err));
		ck_assert_uint_eq(got[0].bytes, got[1].bytes);
		ck_assert(!got[0].is_exact);
		ck_assert(got[1].is_exact);
	}
	after[0].v = b.last;
	LAB_OK(behind_get(disk_sys(b.disk), b.last + 3, after, 1, got, err));
	ck_assert_uint_eq(got[0].bytes, 0);
	ck_assert(!got[0].is_exact);
	after[0].v = b.last - 1;
	LAB_OK(behind_get(disk_sys(b.disk), b.last + 3, after, 1, got, err));
	ck_assert_uint_gt(got[0].bytes, 0);
	ck_assert(!got[0].is_exact);
	for (size_t i = 0; disk_name(b.disk, i) != NULL;) {
		if (strstr(disk_name(b.disk, i), ".seg") != NULL)
			disk_remove(b.disk, disk_name(b.disk, i));
		else
			i++;
	}
	LAB_OK(behind_get(disk_sys(b.disk), b.last, after, 1, got, err));
	ck_assert_uint_eq(got[0].bytes, 0);
	ck_assert(!got[0].is_exact);
	behind_end(&b);
}
END_TEST

/*
 * Goal: of a long journal the newest part is walked, what is older counts by
 * its files.  Method: segments of 12 MiB of reserved zeroes, a batch in each.
 */
START_TEST(behind_long)
{
	const struct mbj_log_options options = {16u << 20, 4u << 20};
	struct mbj_anchor anchor = lab_anchor();
	struct mbj_lsn after[5];
	struct mbj_log_behind got[5];
	struct mbj_log *log = NULL;
	struct behind b;

	b.disk = disk_new(47);
	lab_chain_init(&b.chain, 47);
	b.first = b.chain.first.v;
	LAB_OK(mbj_log_open(disk_sys(b.disk), DISK_DIR, lab_lineage(), &anchor,
			    (struct mbj_lsn){b.first - 1}, &options, &log,
			    err));
	for (unsigned i = 0; i < 5; i++) {
		b.chain.origin = i % 3 == 0 ? MBJ_ORIGIN_BULK : MBJ_ORIGIN_LIVE;
		(void)lab_chain_add(&b.chain, 2);
		b.last = b.chain.end.lsn.v;
		LAB_OK(mbj_log_reserve(log, 12 << 20, err));
		LAB_OK(lab_append(log, &b.chain, b.last, b.last, err));
		LAB_OK(mbj_log_rotate(log, err));
		after[i].v = b.first + i - 1;
	}
	mbj_log_close(&log);
	LAB_OK(behind_get(disk_sys(b.disk), b.last, after, 5, got, err));
	for (unsigned i = 0; i < 5; i++) {
		struct mbj_log_behind expected =
			expected_of(&b, after[i].v, b.last);

		/* The empty one and two before it are walked. */
		ck_assert_int_eq(got[i].is_exact, i >= 3);
		if (got[i].is_exact)
			behind_check(&b, &got[i], after[i].v, b.last);
		ck_assert_uint_ge(got[i].bytes, expected.bytes);
		ck_assert_uint_le(got[i].bytes,
				  expected.bytes +
					  (3 - (i < 3 ? i : 3)) *
						  (UINT64_C(13) << 20));
		ck_assert_uint_le(got[i].bulk, expected.bulk);
	}
	behind_end(&b);
}
END_TEST

/*
 * Goal: what is opened is bounded, however many segments there are.  Method:
 * 150 of a group each: the newest are exact; of all, what is said is near.
 */
START_TEST(behind_many)
{
	enum { SEGMENTS = 150, OPENED = 3 * 32 };
	const struct mbj_log_options options = {16u << 20, 4u << 20};
	struct mbj_anchor anchor = lab_anchor();
	struct mbj_log_behind got[2];
	struct mbj_lsn after[2];
	struct mbj_log *log = NULL;
	struct meddle meddle;
	struct behind b;
	uint64_t expected;

	b.disk = disk_new(61);
	lab_chain_init(&b.chain, 61);
	b.first = b.chain.first.v;
	LAB_OK(mbj_log_open(disk_sys(b.disk), DISK_DIR, lab_lineage(), &anchor,
			    (struct mbj_lsn){b.first - 1}, &options, &log,
			    err));
	for (unsigned i = 0; i < SEGMENTS; i++) {
		b.chain.origin = i % 3 == 0 ? MBJ_ORIGIN_BULK : MBJ_ORIGIN_LIVE;
		(void)lab_chain_add(&b.chain, 2);
		b.last = b.chain.end.lsn.v;
		LAB_OK(lab_append(log, &b.chain, b.last, b.last, err));
		LAB_OK(mbj_log_rotate(log, err));
	}
	mbj_log_close(&log);
	after[0].v = b.first - 1;
	after[1].v = b.last - 20;
	meddle_init(&meddle, b.disk);
	/* The one behind as many as may be opened: there is none. */
	meddle_fail(&meddle, MEDDLE_OPEN, OPENED + 1);
	LAB_OK(behind_get(&meddle.sys, b.last, after, 2, got, err));
	behind_check(&b, &got[1], after[1].v, b.last);
	expected = expected_of(&b, after[0].v, b.last).bytes;
	ck_assert(!got[0].is_exact);
	ck_assert_uint_ge(got[0].bytes, expected / 2);
	behind_end(&b);
}
END_TEST

/* The last segment's bytes. */
static uint8_t *last_segment(struct disk *disk, size_t *ret_n)
{
	const char *last = NULL;

	for (size_t i = 0; disk_name(disk, i) != NULL; i++) {
		const char *name = disk_name(disk, i);

		if (strstr(name, ".seg") != NULL &&
		    (last == NULL || strcmp(name, last) > 0))
			last = name;
	}
	return disk_file(disk, last, ret_n);
}

/*
 * Goal: damage costs what lies behind it, and is said to be not exact.
 * Method: one byte of the last segment at a time, where its first frame is.
 */
START_TEST(behind_damaged)
{
	struct mbj_log_behind got;
	struct mbj_lsn after;
	struct behind b;
	unsigned inexact = 0;
	uint8_t *bytes;
	size_t n = 0;

	behind_begin(&b, 53);
	after.v = b.first - 1;
	bytes = last_segment(b.disk, &n);
	for (size_t at = 0; at < SEGMENT_HEADER_SIZE + SEGMENT_FRAME_SIZE + 24;
	     at++) {
		struct mbj_error why;
		enum mbj_rc rc;

		bytes[at] ^= 0x40;
		rc = behind_get(disk_sys(b.disk), b.last, &after, 1, &got,
				&why);
		bytes[at] ^= 0x40;
		if (at < SEGMENT_HEADER_SIZE) {
			ck_assert_int_lt(rc, 0);
			continue;
		}
		ck_assert_int_eq(rc, MBJ_OK);
		inexact += !got.is_exact;
	}
	ck_assert_uint_ge(inexact, SEGMENT_FRAME_SIZE);
	behind_end(&b);
}
END_TEST

/* Goal: what fails is an error, and nothing leaks. */
START_TEST(behind_fails)
{
	struct mbj_log_behind got;
	struct meddle meddle;
	struct mbj_lsn after;
	unsigned failures = 0;
	struct behind b;
	enum mbj_rc rc;
	uint64_t k;

	behind_begin(&b, 59);
	after.v = b.first - 1;
	for (k = 1;; k++) {
		uint64_t count;

		disk_fail(b.disk, DISK_CALL_READ, k, 5, false);
		rc = behind_get(disk_sys(b.disk), b.last, &after, 1, &got,
				NULL);
		count = disk_calls(b.disk);
		disk_fail(b.disk, DISK_CALL_READ, 0, 0, false);
		if (rc == MBJ_OK && count < k)
			break;
		ck_assert_int_eq(rc, MBJ_EIO);
		failures++;
	}
	ck_assert_uint_gt(failures, 1);
	meddle_init(&meddle, b.disk);
	for (k = 1;; k++) {
		meddle_fail(&meddle, MEDDLE_OPEN, k);
		rc = behind_get(&meddle.sys, b.last, &after, 1, &got, NULL);
		if (rc == MBJ_OK)
			break;
		ck_assert_int_eq(rc, MBJ_EIO);
	}
	ck_assert_uint_gt(k, 4);
	for (k = 1;; k++) {
		int64_t blocks = test_alloc_blocks();
		uint64_t count;

		test_alloc_fail_at(k);
		rc = behind_get(disk_sys(b.disk), b.last, &after, 1, &got,
				NULL);
		count = test_alloc_count();
		test_alloc_fail_at(0);
		ck_assert_int_eq(test_alloc_blocks(), blocks);
		if (rc == MBJ_OK && count < k)
			break;
		ck_assert_int_eq(rc, MBJ_ENOMEM);
	}
	ck_assert_uint_gt(k, 2);
	behind_end(&b);
}
END_TEST

TCase *test_log_behind_case(void)
{
	TCase *tc = tcase_create("log_behind");

	tcase_add_test(tc, behind_counts);
	tcase_add_test(tc, behind_beyond);
	tcase_add_test(tc, behind_long);
	tcase_add_test(tc, behind_many);
	tcase_add_test(tc, behind_damaged);
	tcase_add_test(tc, behind_fails);
	return tc;
}
