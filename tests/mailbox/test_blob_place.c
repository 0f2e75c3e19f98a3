/*
 * The blob folder while names are given: what others find, what a sync of the
 * folder beside it is about.
 */
#include <errno.h>

#include "blob_lab.h"
#include "blob_priv.h"
#include "disk.h"

/*
 * A disk that looks around while a name is given: what it finds there, and
 * whether whoever stores holds up the others.
 */
struct seen {
	struct mbj_sys table;
	struct mbj_blobs *blobs; /* NULL: not looking */
	struct mbj_hash digest;	 /* of what is being placed, of size bytes */
	size_t size;
	const struct mbj_hash *beside; /* in that folder, whose sync fails */
	bool is_found;
	bool is_settled;
	unsigned renames;
	unsigned held; /* calls under the mutex */
};

static void seen_look(struct seen *seen)
{
	if (seen->blobs == NULL)
		return;
	if (pthread_mutex_trylock(&seen->blobs->mutex) != 0)
		seen->held++;
	else
		pthread_mutex_unlock(&seen->blobs->mutex);
}

static int seen_open(void *ctx, const char *path, int flags, mode_t mode)
{
	seen_look(ctx);
	return mbj_sys_posix()->open(NULL, path, flags, mode);
}

static int seen_fdatasync(void *ctx, int fd)
{
	seen_look(ctx);
	return mbj_sys_posix()->fdatasync(NULL, fd);
}

static int seen_fsync(void *ctx, int fd)
{
	const struct seen *seen = ctx;

	return seen->beside != NULL ? -EIO : mbj_sys_posix()->fsync(NULL, fd);
}

/* The name is there, and whoever gave it has not come back yet. */
static int seen_rename(void *ctx, const char *from, const char *to)
{
	struct seen *seen = ctx;
	struct mbj_blobs *blobs = seen->blobs;
	int rc = mbj_sys_posix()->rename(NULL, from, to);

	seen->renames++;
	seen_look(seen);
	if (blobs == NULL || seen->held > 0)
		return rc;
	seen->blobs = NULL;
	if (seen->beside != NULL)
		ck_assert_int_eq(mbj_blob_settle(blobs, seen->beside, NULL),
				 MBJ_EIO);
	seen->beside = NULL;
	ck_assert_int_eq(mbj_blob_has(blobs, &seen->digest, seen->size,
				      &seen->is_found, NULL),
			 MBJ_OK);
	seen->is_settled = mbj_blob_is_settled(blobs, &seen->digest);
	return rc;
}

/* Two contents of one folder, of which the first is on disk. */
static void seen_begin(struct seen *seen, struct content *second)
{
	struct mbj_blobs *blobs = NULL;
	struct mbj_hash digest;
	struct content first;
	struct mbj_error err;
	unsigned number = 1;

	*seen = (struct seen){.table = *mbj_sys_posix()};
	seen->table.ctx = seen;
	seen->table.open = seen_open;
	seen->table.rename = seen_rename;
	seen->table.fdatasync = seen_fdatasync;
	seen->table.fsync = seen_fsync;
	content_make(&first, 0);
	do
		content_make(second, number++);
	while (second->digest.b[0] != first.digest.b[0]);
	test_ok(mbj_blobs_open(&seen->table, blob_dir, true, &blobs, &err),
		err);
	test_ok(mbj_blob_put(blobs, content_bytes(&first), &digest, &err), err);
	test_ok(mbj_blobs_sync(blobs, &err), err);
	seen->blobs = blobs;
	seen->digest = second->digest;
	seen->size = second->n;
}

/* And a third one, that waits for the folder's sync. */
static void seen_wait(struct seen *seen, struct content *third)
{
	struct mbj_blobs *blobs = seen->blobs;
	struct mbj_hash digest;
	struct mbj_error err;
	unsigned number = 0;

	do
		content_make(third, ++number);
	while (third->digest.b[0] != seen->digest.b[0] ||
	       digest_equal(&third->digest, &seen->digest));
	seen->blobs = NULL;
	test_ok(mbj_blob_put(blobs, content_bytes(third), &digest, &err), err);
	seen->blobs = blobs;
}

/*
 * Goal: storing holds up nobody while it waits for the disk; and whoever finds
 * a name that is being given does not take it for one on disk.
 */
START_TEST(blob_place_beside)
{
	struct content content;
	struct mbj_hash digest;
	struct mbj_blobs *blobs;
	struct seen seen;
	struct mbj_error err;

	seen_begin(&seen, &content);
	blobs = seen.blobs;
	test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest, &err),
		err);
	ck_assert_uint_eq(seen.held, 0);
	ck_assert(seen.is_found && !seen.is_settled);
	ck_assert(!mbj_blob_is_settled(blobs, &digest));
	test_ok(mbj_blob_settle(blobs, &digest, &err), err);
	ck_assert(mbj_blob_is_settled(blobs, &digest));
	ck_assert_uint_eq(blobs->placing_count, 0);
	mbj_blobs_close(&blobs);
}
END_TEST

/*
 * Goal: a sync of a folder that fails is about names that are being given, too,
 * for who gives them and who finds them: they are written anew.
 */
START_TEST(blob_place_fails_beside)
{
	struct content content, third;
	struct mbj_hash digest;
	struct mbj_blobs *blobs;
	struct seen seen;
	struct mbj_error err;

	seen_begin(&seen, &content);
	blobs = seen.blobs;
	seen_wait(&seen, &third);
	seen.beside = &third.digest;
	test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest, &err),
		err);
	/* It, and the one that waited: both may have been lost. */
	ck_assert(seen.is_found && !seen.is_settled);
	ck_assert_uint_eq(blobs->doubtful_count, 2);
	seen.renames = 0;
	test_ok(mbj_blobs_sync(blobs, &err), err);
	ck_assert_uint_eq(seen.renames, 2);
	ck_assert_uint_eq(blobs->doubtful_count, 0);
	ck_assert(mbj_blob_is_settled(blobs, &digest));
	ck_assert_uint_eq(blobs_count(blobs), 3);
	mbj_blobs_close(&blobs);
}
END_TEST

enum { RENAMES_MAX = 10 };

/* A folder that does not get well: each name is given beside a failing sync. */
static int ill_rename(void *ctx, const char *from, const char *to)
{
	struct seen *seen = ctx;
	int rc = mbj_sys_posix()->rename(NULL, from, to);

	/* Who writes without end is stopped. */
	if (++seen->renames > RENAMES_MAX)
		return -ENOSPC;
	if (seen->blobs != NULL)
		ck_assert_int_eq(mbj_blob_settle(seen->blobs, seen->beside,
						 NULL),
				 MBJ_EIO);
	return rc;
}

/* It does, at once: a round comes before whoever gave the name is back. */
static int well_rename(void *ctx, const char *from, const char *to)
{
	struct seen *seen = ctx;
	struct mbj_blobs *blobs = seen->blobs;
	int rc = ill_rename(ctx, from, to);

	seen->blobs = NULL;
	seen->beside = NULL;
	if (blobs != NULL)
		ck_assert_int_eq(mbj_blobs_sync(blobs, NULL), MBJ_OK);
	return rc;
}

/*
 * Goal: a round writes once what is in doubt: a name that is still being given,
 * as it was when the sync failed, makes nothing doubtful that is written after
 * that (0); and where the folder's syncs go on failing the round ends, in vain,
 * and so do later ones until they go well (1).
 */
START_TEST(blob_renew_once)
{
	struct content content, third;
	struct mbj_hash digest;
	struct mbj_blobs *blobs;
	struct seen seen;
	struct mbj_error err;

	seen_begin(&seen, &content);
	blobs = seen.blobs;
	seen_wait(&seen, &third);
	seen.beside = &third.digest;
	seen.table.rename = _i == 0 ? well_rename : ill_rename;
	seen.renames = 0;
	test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest, &err),
		err);
	if (_i == 0) {
		ck_assert_uint_eq(seen.renames, 2);
		ck_assert_uint_eq(blobs->doubtful_count, 1);
	} else {
		test_rc(mbj_blobs_sync(blobs, &err), MBJ_EIO);
		ck_assert_uint_eq(seen.renames, 1 + 2);
		ck_assert_uint_eq(blobs->doubtful_count, 2);
	}
	seen.blobs = NULL;
	seen.beside = NULL;
	test_ok(mbj_blobs_sync(blobs, &err), err);
	ck_assert_uint_eq(blobs->pending_count, 0);
	ck_assert_uint_eq(blobs_count(blobs), 3);
	mbj_blobs_close(&blobs);
}
END_TEST

/*
 * Goal: what was noted after a round had begun, in a folder whose sync failed
 * in it, is not on disk by the next sync alone: it is written anew.
 */
START_TEST(blob_round_fails_later_notes)
{
	struct content content;
	struct mbj_hash digest;
	struct mbj_blobs *blobs;
	struct seen seen;
	struct mbj_error err;

	seen_begin(&seen, &content);
	blobs = seen.blobs;
	seen.blobs = NULL;
	test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest, &err),
		err);
	/* As if it had come while the round was syncing. */
	((struct blob_pending *)blobs->pending)->round = blobs->round + 1;
	seen.beside = &content.digest;
	test_rc(mbj_blobs_sync(blobs, &err), MBJ_EIO);
	ck_assert_uint_eq(blobs->doubtful_count, 1);
	seen.beside = NULL;
	seen.renames = 0;
	test_ok(mbj_blobs_sync(blobs, &err), err);
	ck_assert_uint_eq(seen.renames, 1);
	mbj_blobs_close(&blobs);
}
END_TEST

/* A disk on which a collector comes while somebody looks for content. */
struct swept {
	struct mbj_sys table;
	struct mbj_blobs *blobs; /* NULL: it does not come */
	const struct mbj_hash *digest;
	bool is_kept;
};

static int swept_open(void *ctx, const char *path, int flags, mode_t mode)
{
	struct swept *swept = ctx;
	struct mbj_blobs *blobs = swept->blobs;
	int fd = mbj_sys_posix()->open(NULL, path, flags, mode);

	swept->blobs = NULL;
	if (blobs != NULL)
		ck_assert_int_eq(mbj_blob_collect(blobs, swept->digest, false,
						  &swept->is_kept, NULL),
				 MBJ_OK);
	return fd;
}

/*
 * Goal: what is stored or found is noted as recent, what is only asked for is
 * not; and a collector that comes between the looking and the noting takes
 * nothing that counts as found.  Method: one that comes while the file is open;
 * what is stored is deferred (1) or not.
 */
START_TEST(blob_keep_found)
{
	struct swept swept = {.table = *mbj_sys_posix()};
	struct mbj_blobs *blobs = NULL;
	struct content content;
	struct mbj_hash digest;
	bool is_there = true;
	bool is_recent = true;
	struct mbj_error err;

	swept.table.ctx = &swept;
	swept.table.open = swept_open;
	content_make(&content, 0);
	swept.digest = &content.digest;
	test_ok(mbj_blobs_open(&swept.table, blob_dir, true, &blobs, &err),
		err);
	test_ok(mbj_blobs_remember(blobs, 60000, &err), err);
	test_ok(mbj_blob_has(blobs, &content.digest, content.n, &is_there,
			     &err),
		err);
	ck_assert(!is_there);
	ck_assert(!blob_is_recent(blobs, &content.digest));
	/* What is stored is. */
	test_ok(mbj_blobs_bulk(blobs, _i == 1, &err), err);
	test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest, &err),
		err);
	ck_assert(blob_is_recent(blobs, &digest));
	test_ok(mbj_blobs_bulk(blobs, false, &err), err);
	test_ok(mbj_blobs_sync(blobs, &err), err);
	/* What is found is, and what goes meanwhile is not found. */
	for (unsigned i = 0; i < 2; i++) {
		test_ok(mbj_blobs_remember(blobs, 60000, &err), err);
		swept.blobs = i == 1 ? blobs : NULL;
		test_ok(mbj_blob_has(blobs, &digest, content.n, &is_there,
				     &err),
			err);
		ck_assert(is_there == (i == 0));
		ck_assert(blob_is_recent(blobs, &digest));
	}
	ck_assert(!swept.is_kept);
	/* What is known to be recent, as what gets its name, is safe. */
	test_ok(mbj_blobs_remember(blobs, 60000, &err), err);
	test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest, &err),
		err);
	swept.blobs = blobs;
	test_ok(mbj_blob_has(blobs, &digest, content.n, &is_there, &err), err);
	ck_assert(is_there && swept.is_kept);
	test_ok(mbj_blobs_remember(blobs, 0, &err), err);
	test_ok(mbj_blob_collect(blobs, &digest, true, &is_recent, &err), err);
	ck_assert(!is_recent);
	mbj_blobs_close(&blobs);
}
END_TEST

/* Two import one file; the second does while the first does not find it. */
struct twice {
	struct mbj_sys table;
	struct mbj_blobs *blobs; /* NULL: the second one does not come */
	const char *path;	 /* of the file */
	char blob[MBJ_PATH_TEXT_MAX];
	unsigned looks; /* until it comes */
	bool is_bulk;	/* from then on */
	bool is_ill;	/* no folder can be synced */
};

static int twice_open(void *ctx, const char *path, int flags, mode_t mode)
{
	struct twice *twice = ctx;
	struct mbj_blobs *blobs = twice->blobs;
	int fd = mbj_sys_posix()->open(NULL, path, flags, mode);
	struct mbj_hash digest;
	uint64_t size;

	if (blobs == NULL || strcmp(path, twice->blob) != 0 ||
	    --twice->looks > 0)
		return fd;
	ck_assert_int_eq(fd, -ENOENT);
	twice->blobs = NULL;
	ck_assert_int_eq(mbj_blob_import(blobs, twice->path, &digest, &size,
					 NULL),
			 MBJ_OK);
	ck_assert_int_eq(mbj_blobs_bulk(blobs, twice->is_bulk, NULL), MBJ_OK);
	return fd;
}

static int twice_fsync(void *ctx, int fd)
{
	const struct twice *twice = ctx;

	return twice->is_ill ? -EIO : mbj_sys_posix()->fsync(NULL, fd);
}

/* Another content in the folder of this one. */
static void twice_beside(struct mbj_blobs *blobs, const struct content *content,
			 struct mbj_hash *ret_digest)
{
	struct content beside;
	unsigned number = 0;
	struct mbj_error err;

	do
		content_make(&beside, ++number);
	while (beside.digest.b[0] != content->digest.b[0]);
	test_ok(mbj_blob_put(blobs, content_bytes(&beside), ret_digest, &err),
		err);
}

/*
 * Goal: where two links to one file get the same name the second one is gone,
 * and takes no doubt away, as it wrote nothing.  Method: names that are given
 * at once (0), and later, once the folder's sync has failed (1).
 */
START_TEST(blob_link_twice)
{
	struct twice twice = {.table = *mbj_sys_posix()};
	char *path = test_path_dup(blob_tmp, "mail");
	char *fresh = test_path_dup(blob_dir, "new");
	struct mbj_blobs *blobs = NULL;
	struct mbj_hash digest, beside;
	struct content content;
	struct mbj_error err;
	uint64_t size = 0;

	twice.table.ctx = &twice;
	twice.table.open = twice_open;
	twice.table.fsync = twice_fsync;
	content_make(&content, 0);
	file_make(path, content_bytes(&content));
	test_ok(mbj_blobs_open(&twice.table, blob_dir, true, &blobs, &err),
		err);
	twice_beside(blobs, &content, &beside);
	blob_file(twice.blob, blob_dir, &content.digest);
	twice.path = path;
	twice.is_bulk = _i == 1;
	twice.looks = _i == 1 ? 1 : 2;
	twice.blobs = blobs;
	test_ok(mbj_blob_import(blobs, path, &digest, &size, &err), err);
	ck_assert_ptr_null(twice.blobs);
	if (_i == 1) {
		twice.is_ill = true;
		test_rc(mbj_blob_settle(blobs, &beside, &err), MBJ_EIO);
		twice.is_ill = false;
		ck_assert_uint_eq(blobs->deferred_count, 1);
		test_ok(mbj_blobs_bulk(blobs, false, &err), err);
		ck_assert(blob_is_doubtful(blobs, &digest));
	}
	test_ok(mbj_blobs_sync(blobs, &err), err);
	ck_assert_uint_eq(blobs->pending_count, 0);
	ck_assert_uint_eq(blobs_count(blobs), 2);
	mbj_blobs_close(&blobs);
	/* It is empty. */
	ck_assert_int_eq(rmdir(fresh), 0);
	free(fresh);
	free(path);
}
END_TEST

/*
 * Goal: a blob whose folder was synced by itself costs the round nothing; where
 * that failed it does not count as stored, and the round writes it anew.
 * Method: syncs counted; the folder's fails.
 */
START_TEST(blob_settle)
{
	struct disk *disk = disk_new("/d", 1);
	struct mbj_blobs *blobs = NULL;
	struct content content;
	struct mbj_hash digest;
	struct mbj_error err;
	bool is_there = true;

	content_make(&content, 0);
	test_ok(mbj_blobs_open(disk_sys(disk), "/d/blobs", true, &blobs, &err),
		err);
	test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest, &err),
		err);
	if (_i == 1) {
		disk_fail(disk, &(struct disk_fault){.calls = DISK_CALL_SYNC,
						     .at = 1,
						     .errnum = EIO});
		test_rc(mbj_blob_settle(blobs, &digest, &err), MBJ_EIO);
		ck_assert_uint_eq(blobs->doubtful_count, 1);
		test_ok(mbj_blob_has(blobs, &digest, content.n, &is_there,
				     &err),
			err);
		ck_assert(!is_there);
	} else {
		test_ok(mbj_blob_settle(blobs, &digest, &err), err);
	}
	disk_fail(disk, &(struct disk_fault){.calls = 0});
	test_ok(mbj_blob_settle(blobs, &digest, &err), err);
	test_ok(mbj_blobs_sync(blobs, &err), err);
	ck_assert((disk_calls_of(disk, DISK_CALL_SYNC) > 0) == (_i == 1));
	ck_assert_uint_eq(disk_calls_of(disk, DISK_CALL_RENAME), _i == 1);
	ck_assert_uint_eq(blobs->doubtful_count, 0);
	ck_assert_uint_eq(blobs->pending_count, 0);
	ck_assert_uint_eq(blobs_count(blobs), 1);
	mbj_blobs_close(&blobs);
	disk_free(&disk);
}
END_TEST

TCase *test_blob_place_case(void)
{
	TCase *tc = tcase_create("blob_place");

	tcase_add_checked_fixture(tc, blob_lab_setup, blob_lab_teardown);
	tcase_add_test(tc, blob_place_beside);
	tcase_add_test(tc, blob_place_fails_beside);
	tcase_add_loop_test(tc, blob_renew_once, 0, 2);
	tcase_add_test(tc, blob_round_fails_later_notes);
	tcase_add_loop_test(tc, blob_keep_found, 0, 2);
	tcase_add_loop_test(tc, blob_link_twice, 0, 2);
	tcase_add_loop_test(tc, blob_settle, 0, 2);
	return tc;
}
