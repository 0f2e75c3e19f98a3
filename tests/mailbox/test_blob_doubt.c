/*
 * The blob folder on the disk in memory: syncs that fail, what a dead process
 * left, a full disk.
 */
#include <errno.h>

#include "blob_course.h"

/*
 * Goal: what a dead process stored and never synced is durable for the next
 * one that found it and synced.  Method: no cut but the death, then has or
 * put, sync, and a cut that leaves nothing unsynced.
 */
START_TEST(blob_found_is_synced)
{
	struct mbj_blobs *blobs = NULL;
	struct disk_choice choice = {.count = 0};
	struct course course;
	struct content *zero;
	struct disk *after;
	struct mbj_error err;
	bool is_there = false;

	course_init(&course, (enum kind)(_i / 2));
	zero = &course.contents[0];
	after = disk_new(DISK_ROOT, 2);
	test_ok(mbj_blobs_open(disk_sys(course.disk), BLOBS_DIR, true, &blobs,
			       &err),
		err);
	shape(&course, blobs);
	put(&course, blobs, 0);
	mbj_blobs_close(&blobs);
	test_ok(mbj_blobs_open(disk_sys(course.disk), BLOBS_DIR, true, &blobs,
			       &err),
		err);
	shape(&course, blobs);
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
	mbj_blobs_close(&blobs);
	test_ok(mbj_blobs_open(disk_sys(after), BLOBS_DIR, true, &blobs, &err),
		err);
	test_ok(mbj_blob_verify(blobs, &zero->digest, zero->n, &err), err);
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
	struct course course;
	struct content *mail;
	struct mbj_hash digest;
	struct mbj_error err;
	unsigned renames = 0;
	uint64_t size;
	bool is_there = true;

	course_init(&course, LOOSE);
	mail = &course.contents[3];
	outside_make(&course);
	test_ok(mbj_blobs_open(disk_sys(course.disk), BLOBS_DIR, true, &blobs,
			       &err),
		err);
	shape(&course, blobs);
	test_ok(mbj_blob_import(blobs, MAIL_PATH, &digest, &size, &err), err);
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
	if (_i == 0) {
		put(&course, blobs, 3);
		ck_assert_uint_eq(renames, 1);
	} else if (_i == 1) {
		test_ok(mbj_blob_import(blobs, MAIL_PATH, &digest, &size, &err),
			err);
		ck_assert_uint_eq(renames, 0);
	} else if (_i == 3) {
		test_ok(mbj_blob_remove(blobs, &mail->digest, &err), err);
		course.is_stored[3] = false;
	}
	sync_check(&course, blobs);
	ck_assert_uint_eq(course.failures, 0);
	ck_assert_uint_eq(renames, _i == 3 ? 0 : 1);
	test_ok(mbj_blob_has(blobs, &mail->digest, mail->n, &is_there, &err),
		err);
	ck_assert(is_there == (_i != 3));
	ck_assert_uint_eq(blobs->doubtful_count, 0);
	ck_assert_uint_eq(blobs->pending_count, 0);
	mbj_blobs_close(&blobs);
	disk_free(&course.disk);
}
END_TEST

static void sync_count(void *context, struct disk *disk, enum disk_call call,
		       const char *path)
{
	(void)disk;
	(void)path;
	*(unsigned *)context += call == DISK_CALL_SYNC;
}

/*
 * Goal: a blob that was settled by itself costs the round nothing; where
 * that failed it does not count as stored, and the round writes it anew.
 * Method: syncs counted; the folder's fails.
 */
START_TEST(blob_settle)
{
	struct mbj_blobs *blobs = NULL;
	struct course course;
	const struct content *one;
	struct mbj_hash digest;
	struct mbj_error err;
	unsigned syncs = 0;
	bool is_there = true;

	course_init(&course, LOOSE);
	one = &course.contents[0];
	test_ok(mbj_blobs_open(disk_sys(course.disk), BLOBS_DIR, true, &blobs,
			       &err),
		err);
	shape(&course, blobs);
	test_ok(mbj_blob_put(blobs, content_bytes(one), &digest, &err), err);
	course.is_stored[0] = true;
	if (_i == 1) {
		disk_fail(course.disk,
			  &(struct disk_fault){.calls = DISK_CALL_SYNC,
					       .at = 1,
					       .errnum = EIO});
		test_rc(mbj_blob_settle(blobs, &digest, &err), MBJ_EIO);
		disk_fail(course.disk, &(struct disk_fault){.calls = 0});
		ck_assert_uint_eq(blobs->doubtful_count, 1);
		test_ok(mbj_blob_has(blobs, &digest, one->n, &is_there, &err),
			err);
		ck_assert(!is_there);
		sync_check(&course, blobs);
	} else {
		test_ok(mbj_blob_settle(blobs, &digest, &err), err);
		disk_watch(course.disk, sync_count, &syncs);
		test_ok(mbj_blob_settle(blobs, &digest, &err), err);
		sync_check(&course, blobs);
		ck_assert_uint_eq(syncs, 0);
	}
	ck_assert(course.is_promised[0]);
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
	struct course course;
	struct mbj_hash digest;
	struct mbj_error err;
	uint64_t used;

	course_init(&course, LOOSE);
	test_ok(mbj_blobs_open(disk_sys(course.disk), BLOBS_DIR, true, &blobs,
			       &err),
		err);
	shape(&course, blobs);
	put(&course, blobs, 0);
	sync_check(&course, blobs);
	used = disk_used(course.disk);
	disk_limit(course.disk, used + course.contents[5].n / 2);
	test_rc(mbj_blob_put(blobs, content_bytes(&course.contents[5]), &digest,
			     &err),
		MBJ_ENOSPC);
	disk_limit(course.disk, 0);
	ck_assert_uint_eq(blobs_count(blobs), 1);
	sync_check(&course, blobs);
	mbj_blobs_close(&blobs);
	test_ok(mbj_blobs_open(disk_sys(course.disk), BLOBS_DIR, true, &blobs,
			       &err),
		err);
	put(&course, blobs, 5);
	sync_check(&course, blobs);
	ck_assert_uint_eq(blobs_count(blobs), 2);
	mbj_blobs_close(&blobs);
	disk_free(&course.disk);
}
END_TEST

/*
 * Goal: of a pack whose sync failed nothing counts that was not on disk before,
 * until it is stored anew, by whoever comes first; what was on disk before
 * stays.  Method: as above, with packs; then a power cut that leaves nothing
 * that was not synced.
 */
START_TEST(pack_sync_fails)
{
	struct disk_choice choice = {.count = 0};
	struct mbj_blobs *blobs = NULL;
	const struct content *zero, *two;
	struct course course;
	struct disk *after = disk_new(DISK_ROOT, 2);
	struct mbj_error err;
	bool is_there = true;

	course_init(&course, PACKED);
	zero = &course.contents[0];
	two = &course.contents[2];
	test_ok(mbj_blobs_open(disk_sys(course.disk), BLOBS_DIR, true, &blobs,
			       &err),
		err);
	if (_i % 2 == 0) {
		put(&course, blobs, 0);
		sync_check(&course, blobs);
	}
	put(&course, blobs, 2);
	put(&course, blobs, 4);
	for (unsigned i = 0; i < 3; i++) {
		disk_fail(course.disk,
			  &(struct disk_fault){.calls = DISK_CALL_SYNC,
					       .at = 1,
					       .errnum = EIO});
		test_rc(mbj_blobs_sync(blobs, &err), MBJ_EIO);
		disk_fail(course.disk, &(struct disk_fault){.calls = 0});
		ck_assert(!mbj_blob_is_settled(blobs, &two->digest));
	}
	test_ok(mbj_blob_has(blobs, &two->digest, two->n, &is_there, &err),
		err);
	ck_assert(!is_there);
	test_ok(mbj_blob_has(blobs, &zero->digest, zero->n, &is_there, &err),
		err);
	ck_assert(is_there == (_i % 2 == 0));
	if (_i / 2 == 0) {
		put(&course, blobs, 2);
	} else if (_i / 2 == 1) {
		test_rc(mbj_blob_remove(blobs, &two->digest, &err),
			MBJ_ENOTFOUND);
		course.is_stored[2] = false;
	} else if (_i / 2 == 3) {
		/* It dies; what the cache shows was never on disk. */
		mbj_blobs_close(&blobs);
		test_ok(mbj_blobs_open(disk_sys(course.disk), BLOBS_DIR, true,
				       &blobs, &err),
			err);
		put(&course, blobs, 2);
		put(&course, blobs, 4);
	}
	sync_check(&course, blobs);
	ck_assert_uint_eq(course.failures, 0);
	ck_assert(!packs_have_doubts(blobs));
	disk_choose(course.disk, DISK_CUT_NOTHING, 1, &choice);
	disk_cut(after, course.disk, DISK_CUT_NOTHING, &choice);
	mbj_blobs_close(&blobs);
	test_ok(mbj_blobs_open(disk_sys(after), BLOBS_DIR, true, &blobs, &err),
		err);
	for (unsigned i = 0; i < CONTENTS; i++)
		if (course.is_promised[i])
			test_ok(mbj_blob_verify(blobs,
						&course.contents[i].digest,
						course.contents[i].n, &err),
				err);
	ck_assert_uint_eq(blobs_count(blobs),
			  1U + (_i % 2 == 0) + course.is_stored[2]);
	mbj_blobs_close(&blobs);
	disk_choice_done(&choice);
	disk_free(&after);
	disk_free(&course.disk);
}
END_TEST

TCase *test_blob_doubt_case(void)
{
	TCase *tc = tcase_create("blob_doubt");

	tcase_add_loop_test(tc, blob_found_is_synced, 0, 2 * KINDS);
	tcase_add_loop_test(tc, blob_sync_fails, 0, 4);
	tcase_add_loop_test(tc, blob_settle, 0, 2);
	tcase_add_test(tc, blob_disk_full);
	tcase_add_loop_test(tc, pack_sync_fails, 0, 8);
	return tc;
}
