/*
 * The log without accidents: batches, segments, space, names of what is
 * refused.  Accidents are test_log_damage.c and test_log_crash.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <mbj/codec.h>
#include <mbj/hash.h>

#include "journal_cases.h"
#include "log_impl.h"
#include "log_lab.h"

/*
 * Goal: batches go in and come out, byte by byte, through any number of
 * openings.  Method: random batches over several segments, reopened at random,
 * read with an owner and without one after each opening.
 */
START_TEST(log_life)
{
	struct disk *disk = disk_new(3);
	struct mbj_log *log = NULL;
	struct lab_chain chain;
	struct test_rng rng;
	uint64_t last;

	lab_chain_init(&chain, test_rng_seed(&rng));
	last = chain.end.lsn.v;
	for (unsigned i = 0; i < 120; i++) {
		uint64_t count = test_rng_between(&rng, 1, 5);

		if (log == NULL)
			log = lab_log_open(disk, last);
		for (uint64_t j = 0; j < count; j++)
			(void)lab_chain_add(&chain, 4);
		LAB_OK(lab_append(log, &chain, last + 1, last + count, err));
		last += count;
		ck_assert_uint_eq(mbj_log_end_get(log).lsn.v, last);
		ck_assert(!mbj_log_is_failed(log));
		if (test_rng_chance(&rng, 1, 6)) {
			lab_read_all(disk, true, &chain, last);
			mbj_log_close(&log);
			ck_assert_ptr_null(log);
			lab_read_all(disk, false, &chain, last);
			/* As after a new start of the machine. */
			disk_cut(disk, DISK_CUT_NOTHING);
		}
	}
	mbj_log_close(&log);
	log = lab_log_open(disk, last);
	ck_assert_uint_eq(mbj_log_torn_get(log), 0);
	ck_assert_mem_eq(mbj_log_end_get(log).chain.b, chain.end.chain.b,
			 MBJ_HASH_SIZE);
	lab_read_all(disk, true, &chain, last);
	mbj_log_close(&log);
	mbj_log_close(&log);
	lab_chain_done(&chain);
	disk_free(&disk);
}
END_TEST

/*
 * Goal: segments end where they should, and a batch larger than one has a
 * segment of its own.  Method: small batches, one of three segments' size,
 * small ones again; sizes and first LSNs of the files.
 */
START_TEST(log_rotation)
{
	struct disk *disk = disk_new(3);
	struct mbj_log_usage usage;
	struct lab_chain chain;
	struct mbj_log *log;
	uint64_t large_first, large_last;
	unsigned files = 0, large = 0;
	uint64_t total = 0;
	uint64_t last;
	size_t n;

	lab_chain_init(&chain, 4);
	log = lab_log_open(disk, 0);
	for (unsigned i = 0; i < 40; i++) {
		(void)lab_chain_add(&chain, 2);
		last = chain.end.lsn.v;
		LAB_OK(lab_append(log, &chain, last, last, err));
	}
	large_first = chain.end.lsn.v + 1;
	do {
		(void)lab_chain_add(&chain, 9);
		large_last = chain.end.lsn.v;
	} while (lab_chain_range(&chain, large_first, large_last).n < 12288);
	LAB_OK(lab_append(log, &chain, large_first, large_last, err));
	for (unsigned i = 0; i < 20; i++) {
		(void)lab_chain_add(&chain, 2);
		last = chain.end.lsn.v;
		LAB_OK(lab_append(log, &chain, last, last, err));
	}
	lab_read_all(disk, true, &chain, chain.end.lsn.v);
	for (size_t i = 0; disk_name(disk, i) != NULL; i++) {
		struct mbj_lsn first;
		uint32_t number;

		if (!segment_name_parse(disk_name(disk, i), &number, &first))
			continue;
		(void)disk_file(disk, disk_name(disk, i), &n);
		files++;
		total += n;
		ck_assert_uint_eq(number, files);
		if (first.v == large_first)
			large++;
		else
			ck_assert_uint_le(n, lab_options.segment_size);
	}
	ck_assert_uint_gt(files, 4);
	ck_assert_uint_eq(large, 1);
	LAB_OK(mbj_log_usage_get(disk_sys(disk), DISK_DIR, &usage, err));
	ck_assert_uint_eq(usage.segments, files);
	ck_assert_uint_eq(usage.size, total);
	mbj_log_close(&log);
	lab_chain_done(&chain);
	disk_free(&disk);
}
END_TEST

/*
 * Goal: beside an owner a damaged "published" is named, never taken for the
 * end of the journal, and forgotten with the owner's next batch.  Method:
 * every bit, and every shorter file but the empty one, under an open log.
 */
START_TEST(log_published_damaged)
{
	struct disk *disk = disk_new(3);
	struct mbj_log_reader *reader = NULL;
	struct lab_chain chain;
	struct mbj_log *log;
	uint64_t last;
	size_t n = 0;

	lab_chain_init(&chain, 24);
	log = lab_log_open(disk, 0);
	(void)lab_chain_add(&chain, 2);
	last = chain.end.lsn.v;
	LAB_OK(lab_append(log, &chain, last, last, err));
	(void)disk_file(disk, "published", &n);
	ck_assert_uint_eq(n, 64);
	for (size_t bit = 0; bit < n * 8; bit++) {
		uint8_t *p = disk_file(disk, "published", &n);

		p[bit / 8] ^= (uint8_t)(1u << bit % 8);
		LAB_FAILS(lab_reader_try(disk, true, &reader, err),
			  MBJ_ECORRUPT);
		p[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	lab_read_all(disk, true, &chain, last);
	for (n = 63; n > 0; n--) {
		(void)disk_resize(disk, "published", n);
		LAB_FAILS(lab_reader_try(disk, true, &reader, err),
			  MBJ_ECORRUPT);
	}
	(void)lab_chain_add(&chain, 2);
	LAB_OK(lab_append(log, &chain, last + 1, last + 1, err));
	lab_read_all(disk, true, &chain, last + 1);
	mbj_log_close(&log);
	lab_chain_done(&chain);
	disk_free(&disk);
}
END_TEST

/*
 * Goal: one batch costs one write and one sync where room is reserved, and
 * one small write to publish it.  Method: calls counted.
 */
START_TEST(log_calls)
{
	struct disk *disk = disk_new(3);
	struct lab_chain chain;
	struct mbj_log *log;
	struct mbj_bytes record;

	lab_chain_init(&chain, 4);
	log = lab_log_open(disk, 0);
	for (unsigned i = 0; i < 60; i++) {
		record = lab_chain_add(&chain, 3);
		LAB_OK(mbj_log_reserve(log, record.n, err));
		disk_fail(disk, DISK_CALL_SYNC, 0, 0, false);
		LAB_OK(mbj_log_append(log, record, 1, err));
		ck_assert_uint_eq(disk_calls(disk), 1);
		record = lab_chain_add(&chain, 3);
		LAB_OK(mbj_log_reserve(log, record.n, err));
		disk_fail(disk, DISK_CALL_CHANGE, 0, 0, false);
		LAB_OK(mbj_log_append(log, record, 1, err));
		ck_assert_uint_eq(disk_calls(disk), 3);
	}
	mbj_log_close(&log);
	lab_chain_done(&chain);
	disk_free(&disk);
}
END_TEST

/*
 * Goal: reserving grows in steps, up to the largest, and never past the
 * segment's size without need.  Method: real options on the disk in memory.
 */
START_TEST(log_reserve_steps)
{
	static const struct mbj_log_options options = {1 << 20, 256 << 10};
	struct mbj_anchor anchor = lab_anchor();
	struct disk *disk = disk_new(3);
	struct mbj_log *log = NULL;
	struct lab_chain chain;
	size_t sizes[8] = {0};
	size_t count = 0;
	size_t n = 0;

	lab_chain_init(&chain, 4);
	LAB_OK(mbj_log_open(disk_sys(disk), DISK_DIR, lab_lineage(), &anchor,
			    (struct mbj_lsn){0}, &options, &log, err));
	for (unsigned i = 0; count < 6; i++) {
		struct mbj_bytes record = lab_chain_add(&chain, 30);

		LAB_OK(mbj_log_append(log, record, 1, err));
		if (disk_file(disk, "00000001-0000000000000029.seg", &n) ==
		    NULL)
			break;
		if (count == 0 || sizes[count - 1] != n)
			sizes[count++] = n;
		if (disk_name(disk, 2) != NULL)
			break; /* a second segment */
	}
	ck_assert_uint_eq(sizes[0], SEGMENT_HEADER_SIZE + (64 << 10));
	ck_assert_uint_eq(sizes[1], sizes[0] + (128 << 10));
	ck_assert_uint_eq(sizes[2], sizes[1] + (256 << 10));
	ck_assert_uint_eq(sizes[3], sizes[2] + (256 << 10));
	ck_assert_uint_eq(sizes[4], sizes[3] + (256 << 10));
	ck_assert_uint_eq(sizes[5], 1 << 20);
	ck_assert_uint_eq(count, 6);
	mbj_log_close(&log);
	lab_chain_done(&chain);
	disk_free(&disk);
}
END_TEST

/*
 * Goal: a full disk is met before anything is written, and costs nothing once
 * there is room again.  Method: a limit on the disk's size, met while
 * extending and while beginning a segment, lifted again.
 */
START_TEST(log_full_disk)
{
	struct disk *disk = disk_new(3);
	struct lab_chain chain;
	struct mbj_log *log;
	unsigned met = 0;
	uint64_t last;

	lab_chain_init(&chain, 4);
	log = lab_log_open(disk, 0);
	last = chain.end.lsn.v;
	for (uint64_t limit = 512; limit < 20000; limit += 512) {
		enum mbj_rc rc;

		disk_limit(disk, limit);
		do {
			(void)lab_chain_add(&chain, 3);
			rc = lab_append(log, &chain, last + 1, last + 1, NULL);
			last += rc == MBJ_OK;
		} while (rc == MBJ_OK);
		ck_assert_int_eq(rc, MBJ_ENOSPC);
		ck_assert(!mbj_log_is_failed(log));
		ck_assert_uint_eq(mbj_log_end_get(log).lsn.v, last);
		LAB_FAILS(mbj_log_reserve(log, MBJ_LOG_BATCH_MAX, err),
			  MBJ_ENOSPC);
		disk_limit(disk, 0);
		LAB_OK(lab_append(log, &chain, last + 1, last + 1, err));
		last++;
		met++;
	}
	ck_assert_uint_gt(met, 10);
	LAB_FAILS(mbj_log_reserve(log, MBJ_LOG_BATCH_MAX + 1, err), MBJ_ELIMIT);
	ck_assert(!mbj_log_is_failed(log));
	mbj_log_close(&log);
	disk_cut(disk, DISK_CUT_NOTHING);
	lab_read_all(disk, false, &chain, last);
	lab_chain_done(&chain);
	disk_free(&disk);
}
END_TEST

/*
 * Goal: a journal that is not this store's is not opened, nor one that a
 * newer program wrote, nor one that lost files or its end.  Method: another
 * lineage, other anchors, a segment removed at each place.
 */
START_TEST(log_refused)
{
	struct mbj_anchor anchor = lab_anchor();
	struct mbj_id stranger = {{1}};
	struct disk *disk = disk_new(3);
	struct mbj_lsn none = {0};
	struct mbj_log_reader *reader = NULL;
	struct mbj_log *log = NULL;
	struct mbj_log_end end;
	struct mbj_group group;
	struct lab_chain chain;
	uint64_t last;

	lab_chain_init(&chain, 4);
	log = lab_log_open(disk, 0);
	for (unsigned i = 0; i < 60; i++) {
		(void)lab_chain_add(&chain, 2);
		last = chain.end.lsn.v;
		LAB_OK(lab_append(log, &chain, last, last, err));
	}
	mbj_log_close(&log);
	LAB_FAILS(mbj_log_open(disk_sys(disk), DISK_DIR, stranger, &anchor,
			       none, &lab_options, &log, err),
		  MBJ_EFENCED);
	LAB_FAILS(mbj_log_reader_open(disk_sys(disk), DISK_DIR, stranger,
				      &anchor, false, &reader, err),
		  MBJ_EFENCED);
	anchor.chain.b[0] ^= 1;
	LAB_FAILS(mbj_log_open(disk_sys(disk), DISK_DIR, lab_lineage(), &anchor,
			       none, &lab_options, &log, err),
		  MBJ_ECORRUPT);
	anchor = lab_anchor();
	anchor.first.v--;
	LAB_FAILS(mbj_log_open(disk_sys(disk), DISK_DIR, lab_lineage(), &anchor,
			       none, &lab_options, &log, err),
		  MBJ_ECORRUPT);
	LAB_FAILS(lab_log_try(disk, chain.end.lsn.v + 1, &log, err),
		  MBJ_ECORRUPT);
	/* An anchor may be the end, and not behind it. */
	anchor = (struct mbj_anchor){{last + 1}, chain.end.chain};
	for (int i = 0; i < 2; i++, anchor.first.v++) {
		enum mbj_rc rc = i == 0 ? MBJ_OK : MBJ_ECORRUPT;

		ck_assert_int_eq(mbj_log_open(disk_sys(disk), DISK_DIR,
					      lab_lineage(), &anchor, none,
					      &lab_options, &log, NULL),
				 rc);
		mbj_log_close(&log);
		LAB_OK(mbj_log_reader_open(disk_sys(disk), DISK_DIR,
					   lab_lineage(), &anchor, false,
					   &reader, err));
		ck_assert_int_eq(mbj_log_reader_end(reader, &end, NULL), rc);
		ck_assert_int_eq(mbj_log_reader_next(reader, &group, NULL),
				 i == 0 ? MBJ_ENOTFOUND : MBJ_ECORRUPT);
		mbj_log_reader_close(&reader);
	}
	ck_assert_ptr_null(log);
	for (size_t i = 0; disk_name(disk, i) != NULL; i++) {
		struct disk *copy = disk_dup(disk);

		if (strstr(disk_name(disk, i), ".seg") != NULL) {
			disk_remove(copy, disk_name(disk, i));
			LAB_FAILS(lab_log_try(copy, chain.end.lsn.v, &log, err),
				  MBJ_ECORRUPT);
			LAB_FAILS(lab_log_try(copy, 0, &log, err),
				  MBJ_ECORRUPT);
		}
		disk_free(&copy);
	}
	lab_chain_done(&chain);
	disk_free(&disk);
}
END_TEST

/*
 * Goal: an empty journal that should not be empty is not taken for a new one.
 * Method: no segment, with a watermark or a published LSN that needs one; the
 * latter also to who reads without an owner.
 */
START_TEST(log_emptied)
{
	struct disk *disk = disk_new(3);
	struct mbj_log_reader *reader = NULL;
	struct mbj_log *log = NULL;
	struct mbj_log_end end;
	struct lab_chain chain;

	lab_chain_init(&chain, 4);
	(void)lab_chain_add(&chain, 2);
	LAB_FAILS(lab_log_try(disk, 41, &log, err), MBJ_ECORRUPT);
	disk_cut(disk, DISK_CUT_NOTHING);
	log = lab_log_open(disk, 40);
	LAB_OK(lab_append(log, &chain, 41, 41, err));
	mbj_log_close(&log);
	disk_remove(disk, "00000001-0000000000000029.seg");
	LAB_FAILS(lab_log_try(disk, 0, &log, err), MBJ_ECORRUPT);
	for (int is_lost = 1; is_lost >= 0; is_lost--) {
		LAB_OK(lab_reader_try(disk, false, &reader, err));
		ck_assert_int_eq(mbj_log_reader_end(reader, &end, NULL),
				 is_lost ? MBJ_ECORRUPT : MBJ_OK);
		mbj_log_reader_close(&reader);
		if (is_lost)
			disk_remove(disk, "published");
	}
	ck_assert_uint_eq(end.lsn.v, 40);
	log = lab_log_open(disk, 0);
	ck_assert_uint_eq(mbj_log_end_get(log).lsn.v, 40);
	mbj_log_close(&log);
	lab_chain_done(&chain);
	disk_free(&disk);
}
END_TEST

/* -------------------------------------------------- bugs of the caller */

static void append_wrong(unsigned how)
{
	struct disk *disk = disk_new(3);
	struct lab_chain chain;
	struct mbj_log *log;
	enum mbj_rc rc;

	lab_chain_init(&chain, 4);
	for (unsigned i = 0; i < 3; i++)
		(void)lab_chain_add(&chain, 2);
	log = lab_log_open(disk, 0);
	LAB_OK(lab_append(log, &chain, 41, 41, err));
	if (how == 1) /* the same LSN again */
		rc = lab_append(log, &chain, 41, 41, NULL);
	else if (how == 2) /* a gap */
		rc = lab_append(log, &chain, 43, 43, NULL);
	else if (how == 3) /* fewer groups than there are bytes for */
		rc = mbj_log_append(log, lab_chain_range(&chain, 42, 43), 1,
				    NULL);
	else { /* the right LSN on another history */
		log->end.chain.b[0]++;
		rc = lab_append(log, &chain, 42, 42, NULL);
	}
	ck_abort_msg("%s reached the disk", mbj_rc_name(rc));
}

/*
 * Goal: what does not continue the log never reaches the disk.  Method: a
 * repeated group, a gap, a wrong count, a fork: each stops the process.
 */
START_TEST(log_append_repeated)
{
	append_wrong(1);
}
END_TEST

START_TEST(log_append_gap)
{
	append_wrong(2);
}
END_TEST

START_TEST(log_append_count)
{
	append_wrong(3);
}
END_TEST

START_TEST(log_append_fork)
{
	append_wrong(4);
}
END_TEST

/*
 * Goal: no failed allocation loses a group or leaks.  Method: each allocation
 * of opening, appending and reading fails once; everything again without.
 */
START_TEST(log_no_memory)
{
	struct disk *disk = disk_new(3);
	struct lab_chain chain;
	unsigned failures = 0;
	uint64_t last;

	lab_chain_init(&chain, 4);
	last = chain.end.lsn.v;
	for (unsigned i = 0; i < 30; i++)
		(void)lab_chain_add(&chain, 3);
	for (uint64_t k = 1;; k++) {
		struct mbj_log_reader *reader = NULL;
		struct mbj_log *log = NULL;
		struct mbj_group group;
		uint64_t calls;
		enum mbj_rc rc;

		test_alloc_fail_at(k);
		rc = lab_log_try(disk, last, &log, NULL);
		if (rc == MBJ_OK)
			rc = lab_append(log, &chain, last + 1, last + 1, NULL);
		last += rc == MBJ_OK;
		if (rc == MBJ_OK)
			rc = lab_reader_try(disk, true, &reader, NULL);
		while (rc == MBJ_OK)
			rc = mbj_log_reader_next(reader, &group, NULL);
		calls = test_alloc_count();
		test_alloc_fail_at(0);
		mbj_log_reader_close(&reader);
		mbj_log_close(&log);
		if (rc == MBJ_ENOTFOUND && calls < k)
			break;
		ck_assert_int_eq(rc, MBJ_ENOMEM);
		failures++;
		ck_assert_uint_lt(last, chain.end.lsn.v);
	}
	ck_assert_uint_gt(failures, 10);
	lab_read_all(disk, false, &chain, last);
	lab_chain_done(&chain);
	disk_free(&disk);
}
END_TEST

/* One bit of the first group of a segment, and every checksum above it mended.
 */
static void first_mend(struct disk *disk)
{
	struct segment_header header;
	struct segment_frame frame;
	struct mbj_group group;
	size_t n = 0;
	const char *name = lab_segment(disk);
	uint8_t *p = disk_file(disk, name, &n);
	uint8_t *at = p + SEGMENT_HEADER_SIZE;
	uint8_t *body;

	LAB_OK(segment_header_decode(mbj_bytes_make(p, n), name, &header, err));
	ck_assert(segment_frame_decode(at, header.salt, &frame));
	LAB_OK(mbj_group_parse(mbj_bytes_make(at + SEGMENT_FRAME_SIZE,
					      (size_t)frame.payload_size),
			       &group, err));
	body = at + SEGMENT_FRAME_SIZE + group.header.header_size;
	body[group.body.n - 1] ^= 1;
	mbj_store_u32(body + group.body.n, mbj_crc32c(0, group.body));
	frame.payload_crc =
		mbj_crc32c(0, mbj_bytes_make(at + SEGMENT_FRAME_SIZE,
					     (size_t)frame.payload_size));
	segment_frame_encode(&frame, header.salt, at);
}

/*
 * Goal: a group that is not the chain's is noticed although all checksums hold:
 * when the log is opened, and by a reader that passed its batch by the
 * checksums when it comes to it.  Method: such a group in the first of four
 * batches.
 */
START_TEST(log_mended)
{
	struct mbj_log_reader *reader = NULL;
	struct disk *disk = disk_new(29);
	struct lab_chain chain;
	struct mbj_group group;
	struct mbj_log *log;

	lab_chain_init(&chain, 29);
	log = lab_log_open(disk, 0);
	for (unsigned i = 0; i < 4; i++) {
		(void)lab_chain_add(&chain, 2);
		LAB_OK(lab_append(log, &chain, chain.end.lsn.v, chain.end.lsn.v,
				  err));
	}
	mbj_log_close(&log);
	first_mend(disk);
	LAB_OK(lab_reader_try(disk, false, &reader, err));
	LAB_FAILS(mbj_log_reader_next(reader, &group, err), MBJ_ECORRUPT);
	mbj_log_reader_close(&reader);
	LAB_FAILS(lab_log_try(disk, 0, &log, err), MBJ_ECORRUPT);
	lab_chain_done(&chain);
	disk_free(&disk);
}
END_TEST

TCase *test_log_case(void)
{
	TCase *tc = tcase_create("log");

	tcase_add_test(tc, log_mended);
	tcase_add_test(tc, log_life);
	tcase_add_test(tc, log_rotation);
	tcase_add_test(tc, log_published_damaged);
	tcase_add_test(tc, log_calls);
	tcase_add_test(tc, log_reserve_steps);
	tcase_add_test(tc, log_full_disk);
	tcase_add_test(tc, log_refused);
	tcase_add_test(tc, log_emptied);
	test_add_abort(tc, log_append_repeated);
	test_add_abort(tc, log_append_gap);
	test_add_abort(tc, log_append_count);
	test_add_abort(tc, log_append_fork);
	tcase_add_test(tc, log_no_memory);
	return tc;
}
