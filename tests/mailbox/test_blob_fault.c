/*
 * The blob folder on the disk in memory: calls and allocations that fail, a
 * full disk, and power cuts after every step.
 */
#include <errno.h>
#include <fcntl.h>

#include "blob_lab.h"
#include "blob_priv.h"
#include "disk_impl.h"

enum { CONTENTS = 6, SEEDS = 2, LOG_SIZE = 2 * BLOB_LOG_BLOCK };

static const char root[] = "/d";
static const char dir[] = "/d/blobs";
static const char other_dir[] = "/d/other";
static const char mail_path[] = "/d/mail";

/* How contents come: mbj_blobs_bulk, mbj_blobs_log. */
enum way { WAY_ALONE, WAY_BULK, WAY_LOG, WAYS };

/* A script's course: what it stored, and what of that was called durable. */
struct course {
	struct disk *disk;
	enum way way;
	bool is_packed;
	struct content contents[CONTENTS];
	bool is_stored[CONTENTS];
	bool is_promised[CONTENTS];
	unsigned failures;
};

static void course_init(struct course *course, enum way way, bool is_packed)
{
	memset(course, 0, sizeof(*course));
	course->way = way;
	course->is_packed = is_packed;
	course->disk = disk_new(root, 1);
	/* Some are not worth it. */
	for (unsigned i = 0; i < CONTENTS; i++)
		(is_packed && i != 2 ? content_make_text
				     : content_make)(&course->contents[i], i);
}

/* One of the files that a blob has. */
static void course_file(const struct course *course, unsigned number,
			char path[MBJ_PATH_TEXT_MAX])
{
	blob_packed_file(path, dir, &course->contents[number].digest);
	if (!disk_has(course->disk, path))
		blob_file(path, dir, &course->contents[number].digest);
}

/* A message outside, and a second folder with content 4. */
static void outside_make(struct course *course)
{
	const struct mbj_sys *sys = disk_sys(course->disk);
	const struct content *mail = &course->contents[3];
	const struct content *four = &course->contents[4];
	struct mbj_file file = MBJ_FILE_CLOSED;
	struct mbj_blobs *other = NULL;
	struct mbj_hash digest;
	struct mbj_error err;

	test_ok(mbj_file_open(sys, mail_path, O_WRONLY | O_CREAT, &file, &err),
		err);
	test_ok(mbj_file_write(&file, 0, mail->p, mail->n, &err), err);
	test_ok(mbj_file_sync(&file, &err), err);
	mbj_file_close(&file);
	test_ok(mbj_blobs_open(sys, other_dir, true, &other, &err), err);
	mbj_blobs_pack(other, course->is_packed ? 1 : 0);
	test_ok(mbj_blob_put(other, content_bytes(four), &digest, &err), err);
	test_ok(mbj_blobs_sync(other, &err), err);
	mbj_blobs_close(&other);
}

/* A round of many that failed: what was not called durable may be gone. */
static void stored_look(struct course *course, struct mbj_blobs *blobs)
{
	for (unsigned i = 0; i < CONTENTS; i++) {
		const struct content *content = &course->contents[i];
		bool is_there = false;
		struct mbj_error err;

		if (course->is_promised[i] || !course->is_stored[i])
			continue;
		course->is_stored[i] =
			mbj_blob_has(blobs, &content->digest, content->n,
				     &is_there, &err) == MBJ_OK &&
			is_there;
	}
}

static void put(struct course *course, struct mbj_blobs *blobs, unsigned number)
{
	const struct content *content = &course->contents[number];
	struct mbj_hash digest;
	struct mbj_error err;

	if (mbj_blob_put(blobs, content_bytes(content), &digest, &err) < 0) {
		course->failures++;
		return;
	}
	ck_assert(digest_equal(&digest, &content->digest));
	course->is_stored[number] = true;
	/* Some are synced by themselves; a round of many needs the first. */
	if (number % 2 == 0 || (course->way == WAY_BULK && number == 1) ||
	    mbj_blob_settle(blobs, &digest, &err) == MBJ_OK)
		return;
	course->failures++;
	if (course->way != WAY_ALONE)
		stored_look(course, blobs);
}

/* MBJ_OK means: all that was stored is on disk, entry and bytes. */
static void sync_check(struct course *course, struct mbj_blobs *blobs)
{
	struct mbj_error err;

	if (mbj_blobs_sync(blobs, &err) < 0) {
		course->failures++;
		if (course->way != WAY_ALONE)
			stored_look(course, blobs);
		return;
	}
	for (unsigned i = 0; i < CONTENTS; i++) {
		char path[MBJ_PATH_TEXT_MAX];

		if (!course->is_stored[i])
			continue;
		course->is_promised[i] = true;
		/* In the log perhaps: what outlives a cut says more. */
		if (course->way == WAY_LOG)
			continue;
		course_file(course, i, path);
		ck_assert(disk_is_entered(course->disk, path));
		ck_assert(disk_is_synced(course->disk, path));
	}
}

static void bring(struct course *course, struct mbj_blobs *blobs,
		  struct mbj_blobs *other)
{
	const struct content *four = &course->contents[4];
	struct mbj_hash digest;
	struct mbj_error err;
	uint64_t size;

	if (mbj_blob_import(blobs, mail_path, &digest, &size, &err) == MBJ_OK)
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

static void rest(struct course *course, struct mbj_blobs *blobs, bool is_all)
{
	struct mbj_error err;

	if (course->way == WAY_LOG)
		course->failures += mbj_blobs_rest(blobs, is_all, &err) < 0;
}

/* Everything there is to do, each step going on after failures. */
static void script_play(struct course *course)
{
	const struct mbj_sys *sys = disk_sys(course->disk);
	struct mbj_blobs *blobs = NULL, *other = NULL;
	struct mbj_error err;

	if (mbj_blobs_open(sys, dir, true, &blobs, &err) < 0 ||
	    mbj_blobs_open(sys, other_dir, false, &other, &err) < 0) {
		course->failures++;
		mbj_blobs_close(&blobs);
		return;
	}
	mbj_blobs_pack(blobs, course->is_packed ? 1 : 0);
	if (course->way == WAY_BULK && mbj_blobs_bulk(blobs, true, &err) < 0)
		course->failures++;
	if (course->way == WAY_LOG)
		mbj_blobs_log(blobs, LOG_SIZE);
	put(course, blobs, 0);
	put(course, blobs, 0);
	sync_check(course, blobs);
	put(course, blobs, 1);
	bring(course, blobs, other);
	sync_check(course, blobs);
	rest(course, blobs, false);
	look(course, blobs);
	course->is_stored[1] = false;
	course->is_promised[1] = false;
	course->failures +=
		mbj_blob_remove(blobs, &course->contents[1].digest, &err) < 0;
	put(course, blobs, 2);
	sync_check(course, blobs);
	sync_check(course, blobs);
	rest(course, blobs, true);
	put(course, blobs, 5);
	if (course->way == WAY_LOG)
		sync_check(course, blobs);
	if (course->way == WAY_BULK && mbj_blobs_bulk(blobs, false, &err) < 0)
		course->failures++;
	mbj_blobs_close(&blobs);
	mbj_blobs_close(&other);
}

static void nothing_open(const struct disk *disk)
{
	for (size_t i = 0; i < OPEN_MAX; i++)
		ck_assert_uint_eq(disk->open[i], 0);
}

/* A whole life afterwards: all that was promised is there, the rest works. */
static void after_check(struct course *course, struct disk *disk)
{
	struct mbj_blobs *blobs = NULL;
	struct mbj_buf names;
	struct mbj_error err;
	unsigned count;

	test_ok(mbj_blobs_open(disk_sys(disk), dir, true, &blobs, &err), err);
	mbj_blobs_pack(blobs, course->is_packed ? 1 : 0);
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
	for (unsigned i = 0; i < CONTENTS; i++) {
		char path[MBJ_PATH_TEXT_MAX];

		blob_packed_file(path, dir, &course->contents[i].digest);
		if (!disk_has(disk, path))
			blob_file(path, dir, &course->contents[i].digest);
		ck_assert(disk_is_entered(disk, path));
		ck_assert(disk_is_synced(disk, path));
	}
	nothing_open(disk);
}

/*
 * Goal: a failing call is reported, nothing is called durable that is not,
 * nothing leaks, and the next life works.  Method: fail each call of the
 * script, once and from then on, with an error and a full disk, one by one, in
 * bulk and by a log; packed with half of these, as a life takes longer.
 */
START_TEST(blob_each_call_fails)
{
	bool is_for_good = _i % 2 == 1;
	int errnum = _i % 4 < 2 ? EIO : ENOSPC;
	int64_t blocks = test_alloc_blocks();
	static struct course course;
	uint64_t at = 0;
	bool has_failed = true;

	while (has_failed) {
		course_init(&course,
			    _i >= 12			? WAY_LOG
			    : (_i & 4) != 0 || _i >= 10 ? WAY_BULK
							: WAY_ALONE,
			    _i >= 16 || (_i >= 8 && _i < 12));
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
		if (has_failed && is_for_good)
			ck_assert_uint_gt(course.failures, 0);
		after_check(&course, course.disk);
		disk_free(&course.disk);
	}
	/* The last play had no failure at all. */
	ck_assert_uint_eq(course.failures, 0);
	ck_assert_uint_gt(at, 100);
}
END_TEST

/*
 * Goal: the same where memory ends, but for packing.  Method: each allocation.
 */
START_TEST(blob_each_allocation_fails)
{
	int64_t blocks = test_alloc_blocks();
	static struct course course;
	uint64_t at = 0, count;

	do {
		course_init(&course, (enum way)(_i % WAYS), _i >= WAYS);
		outside_make(&course);
		test_alloc_fail_at(++at);
		script_play(&course);
		count = test_alloc_count();
		test_alloc_fail_at(0);
		nothing_open(course.disk);
		ck_assert_int_eq(test_alloc_blocks(), blocks);
		ck_assert(course.is_packed || count < at || course.failures);
		after_check(&course, course.disk);
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
			after_check(cutter->course, cutter->after);
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
	static struct course course;

	course_init(&course, (enum way)(_i % WAYS), _i >= WAYS);
	outside_make(&course);
	cutter.course = &course;
	cutter.after = disk_new(root, 2);
	disk_watch(course.disk, cut_all, &cutter);
	script_play(&course);
	ck_assert_uint_eq(course.failures, 0);
	ck_assert_uint_gt(cutter.cuts, 600);
	disk_free(&cutter.after);
	disk_free(&course.disk);
}
END_TEST

/*
 * Goal: what a dead process stored and never synced is durable for the next
 * one that found it and synced.  Method: no cut but the death, then has or
 * put, sync, and a cut that leaves nothing unsynced.
 */
START_TEST(blob_found_is_synced)
{
	struct mbj_blobs *blobs = NULL;
	struct disk_choice choice = {.count = 0};
	static struct course course;
	struct content *zero;
	struct disk *after;
	struct mbj_error err;
	bool is_there = false;

	course_init(&course, WAY_ALONE, _i >= 2);
	zero = &course.contents[0];
	after = disk_new(root, 2);
	test_ok(mbj_blobs_open(disk_sys(course.disk), dir, true, &blobs, &err),
		err);
	mbj_blobs_pack(blobs, course.is_packed ? 1 : 0);
	put(&course, blobs, 0);
	mbj_blobs_close(&blobs);
	test_ok(mbj_blobs_open(disk_sys(course.disk), dir, true, &blobs, &err),
		err);
	mbj_blobs_pack(blobs, course.is_packed ? 1 : 0);
	if (_i % 2 == 0) {
		test_ok(mbj_blob_has(blobs, &zero->digest, zero->n, &is_there,
				     &err),
			err);
		ck_assert(is_there);
	} else {
		put(&course, blobs, 0);
	}
	sync_check(&course, blobs);
	ck_assert(course.is_promised[0]);
	disk_choose(course.disk, DISK_CUT_NOTHING, 1, &choice);
	disk_cut(after, course.disk, DISK_CUT_NOTHING, &choice);
	after_check(&course, after);
	mbj_blobs_close(&blobs);
	disk_choice_done(&choice);
	disk_free(&after);
	disk_free(&course.disk);
}
END_TEST

static void rename_count(void *context, struct disk *disk, enum disk_call call,
			 const char *path)
{
	(void)disk;
	(void)path;
	*(unsigned *)context += call == DISK_CALL_RENAME;
}

/*
 * Goal: after a sync that failed its blobs do not count as stored, until they
 * are written anew, by whoever comes first.  Method: fail the sync of a
 * folder; then store again, or import again, or sync at once, or remove.
 */
START_TEST(blob_sync_fails)
{
	struct mbj_blobs *blobs = NULL;
	static struct course course;
	struct content *mail;
	struct mbj_hash digest;
	struct mbj_error err;
	unsigned renames = 0;
	uint64_t size;
	bool is_there = true;

	course_init(&course, WAY_ALONE, _i >= 4);
	mail = &course.contents[3];
	outside_make(&course);
	test_ok(mbj_blobs_open(disk_sys(course.disk), dir, true, &blobs, &err),
		err);
	mbj_blobs_pack(blobs, course.is_packed ? 1 : 0);
	test_ok(mbj_blob_import(blobs, mail_path, &digest, &size, &err), err);
	course.is_stored[3] = true;
	disk_fail(course.disk, &(struct disk_fault){.calls = DISK_CALL_SYNC,
						    .at = 1,
						    .errnum = EIO});
	test_rc(mbj_blobs_sync(blobs, &err), MBJ_EIO);
	/* The renewal fails as well: still no success. */
	disk_fail(course.disk, &(struct disk_fault){.calls = DISK_CALL_SYNC,
						    .at = 1,
						    .errnum = EIO});
	test_rc(mbj_blobs_sync(blobs, &err), MBJ_EIO);
	disk_fail(course.disk, &(struct disk_fault){.calls = 0});
	test_ok(mbj_blob_has(blobs, &mail->digest, mail->n, &is_there, &err),
		err);
	ck_assert(!is_there);
	disk_watch(course.disk, rename_count, &renames);
	if (_i % 4 == 0) {
		put(&course, blobs, 3);
		ck_assert_uint_eq(renames, 1);
	} else if (_i % 4 == 1) {
		test_ok(mbj_blob_import(blobs, mail_path, &digest, &size, &err),
			err);
		ck_assert_uint_eq(renames, 0);
	} else if (_i % 4 == 3) {
		test_ok(mbj_blob_remove(blobs, &mail->digest, &err), err);
		course.is_stored[3] = false;
	}
	sync_check(&course, blobs);
	ck_assert_uint_eq(course.failures, 0);
	ck_assert_uint_eq(renames, _i % 4 == 3 ? 0 : 1);
	test_ok(mbj_blob_has(blobs, &mail->digest, mail->n, &is_there, &err),
		err);
	ck_assert(is_there == (_i % 4 != 3));
	ck_assert_uint_eq(blobs->doubtful_count, 0);
	ck_assert_uint_eq(blobs->pending_count, 0);
	mbj_blobs_close(&blobs);
	disk_free(&course.disk);
}
END_TEST

/*
 * Goal: a full disk says so, leaves nothing behind, and loses nothing.
 * Method: a limit in the middle of a blob.
 */
START_TEST(blob_disk_full)
{
	struct mbj_blobs *blobs = NULL;
	static struct course course;
	struct mbj_hash digest;
	struct mbj_error err;
	uint64_t used;

	course_init(&course, WAY_ALONE, _i == 1);
	test_ok(mbj_blobs_open(disk_sys(course.disk), dir, true, &blobs, &err),
		err);
	mbj_blobs_pack(blobs, course.is_packed ? 1 : 0);
	put(&course, blobs, 0);
	sync_check(&course, blobs);
	used = disk_used(course.disk);
	disk_limit(course.disk, used + course.contents[5].n / 4);
	test_rc(mbj_blob_put(blobs, content_bytes(&course.contents[5]), &digest,
			     &err),
		MBJ_ENOSPC);
	disk_limit(course.disk, 0);
	ck_assert_uint_eq(blobs_count(blobs), 1);
	sync_check(&course, blobs);
	mbj_blobs_close(&blobs);
	after_check(&course, course.disk);
	disk_free(&course.disk);
}
END_TEST

TCase *test_blob_fault_case(void)
{
	TCase *tc = tcase_create("blob_fault");

	tcase_add_loop_test(tc, blob_each_call_fails, 0, 18);
	tcase_add_loop_test(tc, blob_each_allocation_fails, 0, 2 * WAYS);
	tcase_add_loop_test(tc, blob_power_cuts, 0, 2 * WAYS);
	tcase_add_loop_test(tc, blob_found_is_synced, 0, 4);
	tcase_add_loop_test(tc, blob_sync_fails, 0, 8);
	tcase_add_loop_test(tc, blob_disk_full, 0, 2);
	return tc;
}
