/*
 * The blob folder on the disk in memory: calls and allocations that fail, and
 * power cuts after every step.
 */
#include <errno.h>

#include "blob_course.h"

enum { SEEDS = 2 };

static void bring(struct course *course, struct mbj_blobs *blobs,
		  struct mbj_blobs *other)
{
	const struct content *four = &course->contents[4];
	struct mbj_hash digest;
	struct mbj_error err;
	uint64_t size;

	if (mbj_blob_import(blobs, MAIL_PATH, &digest, &size, &err) == MBJ_OK)
		course->is_stored[3] = true;
	else
		course->failures++;
	if (mbj_blob_copy(other, blobs, &four->digest, four->n, &err) == MBJ_OK)
		course->is_stored[4] = true;
	else
		course->failures++;
}

static void look(struct course *course, struct mbj_blobs *blobs)
{
	const struct content *zero = &course->contents[0];
	struct mbj_blobs_scan *scan = NULL;
	struct mbj_hash digest;
	struct mbj_error err;
	bool is_there = true;

	course->failures += mbj_blob_has(blobs, &zero->digest, zero->n,
					 &is_there, &err) < 0;
	if (course->is_stored[0])
		course->failures += mbj_blob_verify(blobs, &zero->digest,
						    zero->n, &err) < 0;
	is_there = true;
	if (mbj_blobs_scan_begin(blobs, &scan, &err) < 0) {
		course->failures++;
		return;
	}
	while (is_there) {
		if (mbj_blobs_scan_next(scan, &digest, &is_there, &err) ==
		    MBJ_OK)
			continue;
		course->failures++;
		break;
	}
	mbj_blobs_scan_end(&scan);
}

/* Everything there is to do, each step going on after failures. */
static void script_play(struct course *course)
{
	const struct mbj_sys *sys = disk_sys(course->disk);
	struct mbj_blobs *blobs = NULL, *other = NULL;
	struct mbj_error err;

	if (mbj_blobs_open(sys, BLOBS_DIR, true, &blobs, &err) < 0 ||
	    mbj_blobs_open(sys, OTHER_DIR, false, &other, &err) < 0) {
		course->failures++;
		mbj_blobs_close(&blobs);
		return;
	}
	shape(course, blobs);
	put(course, blobs, 0);
	put(course, blobs, 0);
	sync_check(course, blobs);
	put(course, blobs, 1);
	bring(course, blobs, other);
	sync_check(course, blobs);
	look(course, blobs);
	course->is_stored[1] = false;
	course->is_promised[1] = false;
	course->failures +=
		mbj_blob_remove(blobs, &course->contents[1].digest, &err) < 0;
	course->failures += mbj_blobs_compact(blobs, &err) < 0;
	put(course, blobs, 2);
	sync_check(course, blobs);
	sync_check(course, blobs);
	course->closing_at = disk_calls(course->disk);
	put(course, blobs, 5);
	sync_check(course, blobs);
	/* Looking whether a pack is still there may fail: then it is. */
	if (course->is_loose)
		course->closing_at = disk_calls(course->disk);
	mbj_blobs_close(&blobs);
	mbj_blobs_close(&other);
}

static void nothing_open(const struct disk *disk)
{
	for (size_t i = 0; i < OPEN_MAX; i++)
		ck_assert_uint_eq(disk->open[i], 0);
}

/* With the power off and on once more, all of it is there. */
static void last_check(struct disk *disk)
{
	struct disk *after = disk_new(DISK_ROOT, 3);
	struct disk_choice choice = {.count = 0};
	struct mbj_blobs *blobs = NULL;
	struct mbj_error err;

	disk_choose(disk, DISK_CUT_NOTHING, 1, &choice);
	disk_cut(after, disk, DISK_CUT_NOTHING, &choice);
	test_ok(mbj_blobs_open(disk_sys(after), BLOBS_DIR, false, &blobs, &err),
		err);
	ck_assert_uint_eq(blobs_count(blobs), CONTENTS);
	mbj_blobs_close(&blobs);
	disk_choice_done(&choice);
	disk_free(&after);
}

/* A whole life afterwards: all that was promised is there, the rest works. */
static void after_check(struct course *course, struct disk *disk, bool is_last)
{
	struct mbj_blobs *blobs = NULL;
	struct mbj_buf names;
	struct mbj_error err;
	unsigned count;

	test_ok(mbj_blobs_open(disk_sys(disk), BLOBS_DIR, true, &blobs, &err),
		err);
	if (course->is_small)
		shape(course, blobs);
	mbj_buf_init(&names, 1000);
	test_ok(mbj_dir_list(disk_sys(disk), "/d/blobs/new", &names, &err),
		err);
	ck_assert_uint_eq(names.n, 0);
	mbj_buf_done(&names);
	/* Nothing under a digest is anything else. */
	count = blobs_count(blobs);
	ck_assert_uint_le(count, CONTENTS);
	for (unsigned i = 0; i < CONTENTS; i++) {
		const struct content *content = &course->contents[i];
		struct mbj_hash digest;

		if (course->is_promised[i])
			test_ok(mbj_blob_verify(blobs, &content->digest,
						content->n, &err),
				err);
		test_ok(mbj_blob_put(blobs, content_bytes(content), &digest,
				     &err),
			err);
	}
	test_ok(mbj_blobs_sync(blobs, &err), err);
	ck_assert_uint_eq(blobs_count(blobs), CONTENTS);
	mbj_blobs_close(&blobs);
	nothing_open(disk);
	if (is_last)
		last_check(disk);
}

/* And with the power cut right now, and all lost that was not synced. */
static void cut_check(struct course *course)
{
	struct disk_choice choice = {.count = 0};
	struct disk *after = disk_new(DISK_ROOT, 2);

	disk_choose(course->disk, DISK_CUT_NOTHING, 1, &choice);
	disk_cut(after, course->disk, DISK_CUT_NOTHING, &choice);
	after_check(course, after, true);
	disk_choice_done(&choice);
	disk_free(&after);
}

/*
 * Goal: a failing call is reported, nothing is called durable that is not,
 * nothing leaks, and the next life works.  Method: fail each call of the
 * script, once and from then on, with an error and a full disk; the next life
 * with and without a power cut.
 */
START_TEST(blob_each_call_fails)
{
	bool is_for_good = _i % 2 == 1;
	int errnum = _i % 4 < 2 ? EIO : ENOSPC;
	int64_t blocks = test_alloc_blocks();
	struct course course;
	uint64_t at = 0;
	bool has_failed = true;

	while (has_failed) {
		course_init(&course, (enum kind)(_i / 4));
		outside_make(&course);
		disk_fail(course.disk,
			  &(struct disk_fault){.calls = DISK_CALL_ALL,
					       .at = ++at,
					       .errnum = errnum,
					       .is_for_good = is_for_good});
		script_play(&course);
		has_failed = disk_has_failed(course.disk);
		nothing_open(course.disk);
		disk_fail(course.disk, &(struct disk_fault){.calls = 0});
		ck_assert_int_eq(test_alloc_blocks(), blocks);
		/* What is done at closing, as indexes, is for the next one. */
		if (has_failed && is_for_good && at <= course.closing_at)
			ck_assert_uint_gt(course.failures, 0);
		if (_i / 4 != LOOSE)
			cut_check(&course);
		after_check(&course, course.disk, false);
		disk_free(&course.disk);
	}
	/* The last play had no failure at all. */
	ck_assert_uint_eq(course.failures, 0);
	ck_assert_uint_gt(at, 100);
}
END_TEST

/*
 * Goal: the same where memory ends.  Method: fail each allocation in turn.
 */
START_TEST(blob_each_allocation_fails)
{
	int64_t blocks = test_alloc_blocks();
	struct course course;
	uint64_t at = 0, count;

	do {
		course_init(&course, (enum kind)_i);
		outside_make(&course);
		test_alloc_fail_at(++at);
		script_play(&course);
		count = test_alloc_count();
		test_alloc_fail_at(0);
		nothing_open(course.disk);
		ck_assert_int_eq(test_alloc_blocks(), blocks);
		/* An index is for the next one's speed. */
		ck_assert(count < at || course.failures > 0 || _i == SMALL);
		after_check(&course, course.disk, false);
		disk_free(&course.disk);
	} while (count >= at);
	ck_assert_uint_eq(course.failures, 0);
	ck_assert_uint_gt(at, 30);
}
END_TEST

struct cutter {
	struct course *course;
	struct disk *after;
	unsigned cuts;
};

static void cut_all(void *context, struct disk *disk, enum disk_call call,
		    const char *path)
{
	struct cutter *cutter = context;
	struct disk_choice choice = {.count = 0};

	(void)call;
	(void)path;
	for (unsigned kind = 0; kind < DISK_CUT_COUNT; kind++) {
		for (uint64_t seed = 1; seed <= SEEDS; seed++) {
			disk_choose(disk, kind, seed + disk_step(disk) * SEEDS,
				    &choice);
			disk_cut(cutter->after, disk, kind, &choice);
			after_check(cutter->course, cutter->after, seed == 1);
			cutter->cuts++;
		}
	}
	disk_choice_done(&choice);
}

/*
 * Goal: what was called durable outlives a power cut, and no digest's name
 * ever stands for other bytes.  Method: cut the power after each step of the
 * script, in all ways of the model; open, look, store all, sync.
 */
START_TEST(blob_power_cuts)
{
	struct cutter cutter = {.cuts = 0};
	struct course course;

	course_init(&course, (enum kind)_i);
	outside_make(&course);
	cutter.course = &course;
	cutter.after = disk_new(DISK_ROOT, 2);
	disk_watch(course.disk, cut_all, &cutter);
	script_play(&course);
	ck_assert_uint_eq(course.failures, 0);
	ck_assert_uint_gt(cutter.cuts, _i == PACKED ? 450 : 600);
	disk_free(&cutter.after);
	disk_free(&course.disk);
}
END_TEST

TCase *test_blob_fault_case(void)
{
	TCase *tc = tcase_create("blob_fault");

	tcase_add_loop_test(tc, blob_each_call_fails, 0, 4 * KINDS);
	tcase_add_loop_test(tc, blob_each_allocation_fails, 0, KINDS);
	tcase_add_loop_test(tc, blob_power_cuts, 0, KINDS);
	return tc;
}
