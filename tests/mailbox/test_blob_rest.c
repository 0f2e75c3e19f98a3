/*
 * The log of contents where it has no room or something of it fails: what it
 * leaves of the disk, when it is tried again, and what is said of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "blob_lab.h"
#include "blob_priv.h"
#include "disk_impl.h"

enum {
	LOG_SIZE = 3 * BLOB_LOG_BLOCK, /* two contents of their own round */
	CONTENTS = 12,
	MARK = 1 << 20, /* of the disk, is kept free */
	PAUSE_FIRST_MS = 1000,
	PAUSE_LAST_MS = 32000,
	WAIT_MS = 30,
};

static const char root[] = "/d";
static const char dir[] = "/d/blobs";
static const char log_path[] = "/d/blobs/log.0";

/* A disk that says how much is left of it. */
struct scarce {
	struct mbj_sys table;
	struct disk *disk;
	struct mbj_blobs *blobs;
	int64_t left;
	struct content contents[CONTENTS];
	/* Once, inside the next fdatasync. */
	void (*beside)(struct scarce *scarce);
	bool is_short; /* no file has any bytes */
	bool is_full;  /* but for so many bytes */
	size_t room;
};

static struct scarce *scarce_of(void *ctx)
{
	return ((struct disk *)ctx)->watch_context;
}

static int64_t scarce_space(void *ctx, const char *path)
{
	ck_assert_str_eq(path, dir);
	return scarce_of(ctx)->left;
}

static int scarce_fdatasync(void *ctx, int fd)
{
	struct scarce *s = scarce_of(ctx);
	void (*beside)(struct scarce *) = s->beside;

	s->beside = NULL;
	if (beside != NULL)
		beside(s);
	return disk_do_sync(ctx, fd);
}

static ssize_t scarce_pread(void *ctx, int fd, void *p, size_t n, off_t at)
{
	return scarce_of(ctx)->is_short
		       ? 0
		       : disk_do_read(ctx, fd, p, n, (size_t)at);
}

static ssize_t scarce_pwrite(void *ctx, int fd, const void *p, size_t n,
			     off_t at)
{
	struct scarce *s = scarce_of(ctx);

	if (s->is_full && n > s->room)
		return -ENOSPC;
	s->room -= s->is_full ? n : 0;
	return disk_do_write(ctx, fd, p, n, (size_t)at);
}

/* What has that name goes, and makes room. */
static void scarce_go(void *ctx, const char *path)
{
	struct scarce *s = scarce_of(ctx);
	size_t size;

	if (s->is_full && disk_file_size(ctx, path, &size))
		s->room += size;
}

static int scarce_rename(void *ctx, const char *from, const char *to)
{
	scarce_go(ctx, to);
	return disk_do_rename(ctx, from, to);
}

static int scarce_unlink(void *ctx, const char *path)
{
	scarce_go(ctx, path);
	return disk_do_unlink(ctx, path, false);
}

static void scarce_begin(struct scarce *s)
{
	struct mbj_error err;

	memset(s, 0, sizeof(*s));
	s->left = INT64_MAX;
	s->disk = disk_new(root, 1);
	for (unsigned i = 0; i < CONTENTS; i++)
		content_make(&s->contents[i], i);
	s->table = *disk_sys(s->disk);
	s->table.space = scarce_space;
	s->table.fdatasync = scarce_fdatasync;
	s->table.pread = scarce_pread;
	s->table.pwrite = scarce_pwrite;
	s->table.rename = scarce_rename;
	s->table.unlink = scarce_unlink;
	disk_watch(s->disk, NULL, s);
	test_ok(mbj_blobs_open(&s->table, dir, true, &s->blobs, &err), err);
	mbj_blobs_keep_free(s->blobs, MARK);
	mbj_blobs_log(s->blobs, LOG_SIZE);
}

static void scarce_put(struct scarce *s, unsigned i)
{
	struct mbj_hash digest;
	struct mbj_error err;

	test_ok(mbj_blob_put(s->blobs, content_bytes(&s->contents[i]), &digest,
			     &err),
		err);
}

/* With a round of its own; by the log, or by itself. */
static void scarce_store(struct scarce *s, unsigned i, bool is_logged)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_error err;

	scarce_put(s, i);
	test_ok(mbj_blobs_sync(s->blobs, &err), err);
	blob_file(path, dir, &s->contents[i].digest);
	ck_assert(disk_is_synced(s->disk, path) != is_logged);
}

static void calls_fail(struct scarce *s, unsigned calls, uint64_t at,
		       int errnum)
{
	disk_fail(s->disk, &(struct disk_fault){.calls = calls,
						.at = at,
						.errnum = errnum});
}

static void log_check(struct scarce *s, bool is_on, uint64_t failures)
{
	struct mbj_blobs_log_look look;

	mbj_blobs_log_look(s->blobs, &look);
	ck_assert_int_eq(look.is_on, is_on);
	ck_assert_uint_eq(look.failures, failures);
}

/* Why the last failure was, in which file. */
static void reason_check(struct scarce *s, const char *file, const char *text)
{
	struct mbj_blobs_log_look look;

	mbj_blobs_log_look(s->blobs, &look);
	ck_assert_msg(strstr(look.reason, file) != NULL, "%s", look.reason);
	ck_assert_msg(strstr(look.reason, text) != NULL, "%s", look.reason);
}

static void rest(struct scarce *s)
{
	struct mbj_error err;

	test_ok(mbj_blobs_rest(s->blobs, false, &err), err);
}

/* Power fails: the first n are there. */
static void scarce_end(struct scarce *s, unsigned n)
{
	struct disk_choice choice = {.count = 0};
	struct disk *after = disk_new(root, 2);
	struct mbj_error err;

	disk_choose(s->disk, DISK_CUT_NOTHING, 1, &choice);
	disk_cut(after, s->disk, DISK_CUT_NOTHING, &choice);
	mbj_blobs_close(&s->blobs);
	disk_choice_done(&choice);
	disk_free(&s->disk);
	test_ok(mbj_blobs_open(disk_sys(after), dir, true, &s->blobs, &err),
		err);
	for (unsigned i = 0; i < n; i++)
		test_ok(mbj_blob_verify(s->blobs, &s->contents[i].digest,
					s->contents[i].n, &err),
			err);
	mbj_blobs_close(&s->blobs);
	disk_free(&after);
}

/*
 * Goal: a log that failed takes contents again by itself: after a pause that
 * becomes longer, where there is room for it.  Method: writing a batch fails
 * (0), or its sync (1); time and room that are told.
 */
START_TEST(blob_rest_again)
{
	struct scarce s;

	scarce_begin(&s);
	scarce_store(&s, 0, true);
	scarce_put(&s, 1);
	/* The first write is that of the content's file. */
	if (_i == 0)
		calls_fail(&s, DISK_CALL_WRITE, 2, ENOSPC);
	else
		calls_fail(&s, DISK_CALL_SYNC, 1, EIO);
	scarce_store(&s, 2, false);
	log_check(&s, false, 1);
	reason_check(&s, "log.0: ", strerror(_i == 0 ? ENOSPC : EIO));
	/* Not at once. */
	rest(&s);
	log_check(&s, false, 1);
	ck_assert_uint_eq(s.blobs->log.stop.ms, PAUSE_FIRST_MS);
	scarce_store(&s, 3, false);
	for (uint32_t ms = PAUSE_FIRST_MS; ms < PAUSE_LAST_MS; ms *= 2) {
		s.left = MARK + LOG_SIZE - 1;
		s.blobs->log.stop.until_ms = 0;
		ck_assert(mbj_blobs_rest_wait(s.blobs));
		rest(&s);
		log_check(&s, false, 1);
		ck_assert_uint_eq(s.blobs->log.stop.ms, 2 * ms);
	}
	s.left = MARK + 2 * LOG_SIZE;
	s.blobs->log.stop.until_ms = 0;
	rest(&s);
	log_check(&s, true, 1);
	reason_check(&s, "log.0: ", "");
	scarce_store(&s, 4, true);
	ck_assert_uint_eq(s.blobs->log.stop.ms, 0);
	scarce_end(&s, 5);
}
END_TEST

/*
 * Goal: the same where there is no descriptor for the folder, which it could
 * not begin without.
 */
START_TEST(blob_rest_begins)
{
	struct scarce s;

	scarce_begin(&s);
	mbj_file_close(&s.blobs->log.fs);
	calls_fail(&s, DISK_CALL_OPEN, 1, EMFILE);
	mbj_blobs_log(s.blobs, LOG_SIZE);
	log_check(&s, false, 1);
	scarce_store(&s, 0, false);
	s.blobs->log.stop.until_ms = 0;
	rest(&s);
	log_check(&s, true, 1);
	scarce_store(&s, 1, true);
	scarce_end(&s, 2);
}
END_TEST

/*
 * Goal: what is kept free of the disk is none of the log's zeroes'; what it has
 * needs no room when it is written again.  Method: a byte too few, enough, and
 * none.
 */
START_TEST(blob_rest_keeps_free)
{
	struct scarce s;
	size_t size;

	scarce_begin(&s);
	s.left = MARK + LOG_SIZE - 1;
	scarce_store(&s, 0, false);
	log_check(&s, false, 1);
	reason_check(&s, "log.0", "kept free");
	ck_assert(!disk_file_size(s.disk, log_path, &size) || size == 0);
	s.left = MARK + LOG_SIZE;
	mbj_blobs_log(s.blobs, LOG_SIZE);
	rest(&s);
	for (unsigned i = 1; i < 5; i++) {
		scarce_store(&s, i, true);
		ck_assert(disk_file_size(s.disk, log_path, &size) || i > 2);
	}
	s.left = MARK;
	for (unsigned i = 5; i < 9; i++) {
		rest(&s);
		scarce_store(&s, i, true);
	}
	log_check(&s, true, 1);
	scarce_end(&s, 9);
}
END_TEST

/* For the next round, which this one's failure leaves without a log. */
static void put_beside(struct scarce *s)
{
	scarce_put(s, 1);
	calls_fail(s, DISK_CALL_SYNC, 1, EIO);
}

/*
 * Goal: what was for a log that failed meanwhile goes without it, and no later
 * batch has it.
 */
START_TEST(blob_rest_meanwhile)
{
	struct mbj_error err;
	struct scarce s;

	scarce_begin(&s);
	scarce_put(&s, 0);
	s.beside = put_beside;
	test_ok(mbj_blobs_sync(s.blobs, &err), err);
	ck_assert_uint_gt(s.blobs->log.batch.n, 0);
	log_check(&s, false, 1);
	scarce_store(&s, 2, false);
	ck_assert_uint_eq(s.blobs->log.batch.n, 0);
	scarce_end(&s, 3);
}
END_TEST

/*
 * Goal: a file that does not come to rest, and is written anew each time, is
 * tried less and less often, until it does.
 */
START_TEST(blob_rest_pauses)
{
	struct mbj_error err;
	struct scarce s;
	uint32_t ms = PAUSE_FIRST_MS;

	scarce_begin(&s);
	scarce_store(&s, 0, true);
	scarce_store(&s, 1, true);
	scarce_store(&s, 2, true);
	for (unsigned i = 0; i < 8; i++) {
		calls_fail(&s, DISK_CALL_SYNC, 1, EIO);
		test_rc(mbj_blobs_rest(s.blobs, false, &err), MBJ_EIO);
		ck_assert_ptr_nonnull(strstr(err.message, "/d/blobs"));
		ck_assert_ptr_nonnull(strstr(err.message, strerror(EIO)));
		ck_assert_uint_eq(s.blobs->log.rest.ms, ms);
		ms = 2 * ms < PAUSE_LAST_MS ? 2 * ms : PAUSE_LAST_MS;
	}
	log_check(&s, false, 8);
	reason_check(&s, "/d/blobs", strerror(EIO));
	calls_fail(&s, 0, 0, 0);
	rest(&s);
	log_check(&s, true, 8);
	ck_assert_uint_eq(s.blobs->log.rest.ms, 0);
	scarce_end(&s, 3);
}
END_TEST

/*
 * Goal: who rests waits until that is over, but for its end.  Method: a short
 * one, and one that is too long for this test.
 */
START_TEST(blob_rest_waits)
{
	struct scarce s;
	int64_t until;

	scarce_begin(&s);
	for (unsigned i = 0; i < 3; i++)
		scarce_store(&s, i, true);
	ck_assert(mbj_blobs_rest_wait(s.blobs));
	until = mbj_monotonic_ms() + WAIT_MS;
	s.blobs->log.rest = (struct blob_pause){WAIT_MS, until};
	ck_assert(mbj_blobs_rest_wait(s.blobs));
	ck_assert_int_ge(mbj_monotonic_ms(), until);
	s.blobs->log.rest.until_ms = until + INT32_MAX;
	mbj_blobs_rest_halt(s.blobs);
	ck_assert(!mbj_blobs_rest_wait(s.blobs));
	scarce_end(&s, 3);
}
END_TEST

/*
 * Goal: as long where the log failed before and has paused for long enough: it
 * is not on before its file is at rest, and each try writes that anew.
 */
START_TEST(blob_rest_waits_off)
{
	struct mbj_error err;
	struct scarce s;
	int64_t until;

	scarce_begin(&s);
	scarce_store(&s, 0, true);
	calls_fail(&s, DISK_CALL_SYNC, 1, EIO);
	scarce_store(&s, 1, false);
	calls_fail(&s, DISK_CALL_SYNC, 1, EIO);
	test_rc(mbj_blobs_rest(s.blobs, false, &err), MBJ_EIO);
	until = mbj_monotonic_ms() + WAIT_MS;
	s.blobs->log.stop.until_ms = 0;
	s.blobs->log.rest.until_ms = until;
	ck_assert(mbj_blobs_rest_wait(s.blobs));
	ck_assert_int_ge(mbj_monotonic_ms(), until);
	calls_fail(&s, 0, 0, 0);
	rest(&s);
	log_check(&s, true, 2);
	scarce_end(&s, 2);
}
END_TEST

/*
 * Goal: a file whose header cannot be zeroed is given up all the same: nothing
 * of it is left in the end (0), and it is written again (1).
 */
START_TEST(blob_rest_header)
{
	struct mbj_error err;
	struct scarce s;

	scarce_begin(&s);
	scarce_store(&s, 0, true);
	scarce_store(&s, 1, true);
	scarce_store(&s, 2, true);
	calls_fail(&s, DISK_CALL_WRITE, 1, EIO);
	rest(&s);
	ck_assert(disk_has_failed(s.disk));
	ck_assert(disk_has(s.disk, log_path));
	ck_assert_int_lt(s.blobs->log.files[0].file.fd, 0);
	if (_i == 1) {
		scarce_store(&s, 3, true);
		scarce_store(&s, 4, true);
		log_check(&s, true, 0);
	} else {
		test_ok(mbj_blobs_rest(s.blobs, true, &err), err);
		ck_assert(!mbj_blobs_are_logged(&s.table, dir));
	}
	scarce_end(&s, _i == 1 ? 5 : 3);
}
END_TEST

/*
 * Goal: a content whose file has fewer bytes than were written is not stored,
 * and the file is named.
 */
START_TEST(blob_rest_shorter)
{
	struct mbj_hash digest;
	struct mbj_error err;
	struct mbj_buf names;
	struct scarce s;

	scarce_begin(&s);
	s.is_short = true;
	test_rc(mbj_blob_put(s.blobs, content_bytes(&s.contents[0]), &digest,
			     &err),
		MBJ_ECORRUPT);
	s.is_short = false;
	ck_assert_ptr_nonnull(strstr(err.message, "/d/blobs/new/"));
	ck_assert_ptr_nonnull(strstr(err.message, "became shorter"));
	mbj_buf_init(&names, 1000);
	test_ok(mbj_dir_list(&s.table, "/d/blobs/new", &names, &err), err);
	ck_assert_uint_eq(names.n, 0);
	mbj_buf_done(&names);
	scarce_store(&s, 0, true);
	scarce_end(&s, 1);
}
END_TEST

/*
 * Goal: what was begun before a sync of the file system failed, which may have
 * been about it, is synced by itself: no other sync would tell, of the log (0)
 * or of many (1).
 */
START_TEST(blob_rest_begun)
{
	struct mbj_blob_writer *writer = NULL;
	struct mbj_hash digest;
	struct mbj_error err;
	struct scarce s;
	uint64_t size;

	scarce_begin(&s);
	scarce_store(&s, 0, true);
	if (_i == 1)
		test_ok(mbj_blobs_bulk(s.blobs, true, &err), err);
	test_ok(mbj_blob_writer_begin(s.blobs, &writer, &err), err);
	test_ok(mbj_blob_writer_write(writer, content_bytes(&s.contents[1]),
				      &err),
		err);
	calls_fail(&s, DISK_CALL_SYNC, 1, EIO);
	test_rc(mbj_blobs_rest(s.blobs, true, &err), MBJ_EIO);
	/* The disk in memory does not tell of that. */
	calls_fail(&s, DISK_CALL_SYNC, 1, EIO);
	test_rc(mbj_blob_writer_finish(&writer, &digest, &size, &err), MBJ_EIO);
	ck_assert_uint_eq(s.blobs->deferred_count, 0);
	if (_i == 1)
		test_ok(mbj_blobs_bulk(s.blobs, false, &err), err);
	scarce_put(&s, 1);
	ck_assert_uint_eq(s.blobs->deferred_count, 1);
	test_ok(mbj_blobs_sync(s.blobs, &err), err);
	scarce_end(&s, 2);
}
END_TEST

/*
 * Goal: a full disk opens that has room for one content beside those that are
 * there, not for all of the log; with less it says so, and nothing is lost.
 */
START_TEST(blob_rest_redone)
{
	struct mbj_error err;
	struct scarce s;

	scarce_begin(&s);
	for (unsigned i = 0; i < CONTENTS; i++) {
		scarce_put(&s, i);
		if (s.contents[i].n > s.room)
			s.room = s.contents[i].n;
	}
	test_ok(mbj_blobs_sync(s.blobs, &err), err);
	mbj_blobs_close(&s.blobs);
	ck_assert(mbj_blobs_are_logged(&s.table, dir));
	s.is_full = true;
	s.room--;
	test_rc(mbj_blobs_open(&s.table, dir, true, &s.blobs, &err),
		MBJ_ENOSPC);
	s.room++;
	test_ok(mbj_blobs_open(&s.table, dir, true, &s.blobs, &err), err);
	ck_assert(!mbj_blobs_are_logged(&s.table, dir));
	s.is_full = false;
	scarce_end(&s, CONTENTS);
}
END_TEST

/*
 * Goal: what is named as a log, and is no file, is refused at once, by its
 * name, and stays; without it the folder opens.  Method: a FIFO, a directory,
 * a link to a file, a link to nothing.
 */
START_TEST(blob_rest_odd)
{
	struct mbj_blobs *blobs = NULL;
	char path[MBJ_PATH_TEXT_MAX];
	struct stat st;
	struct mbj_error err;

	ck_assert_int_eq(mkdir(blob_dir, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/log.%d", blob_dir, _i % 2);
	if (_i == 0)
		ck_assert_int_eq(mkfifo(path, 0600), 0);
	else if (_i == 1)
		ck_assert_int_eq(mkdir(path, 0700), 0);
	else
		ck_assert_int_eq(symlink(_i == 2 ? "/etc/passwd" : "/nowhere",
					 path),
				 0);
	ck_assert(mbj_blobs_are_logged(mbj_sys_posix(), blob_dir));
	test_rc(mbj_blobs_open(mbj_sys_posix(), blob_dir, true, &blobs, &err),
		MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(err.message, path));
	ck_assert_str_eq(err.file, path);
	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert_int_eq(remove(path), 0);
	test_ok(mbj_blobs_open(mbj_sys_posix(), blob_dir, true, &blobs, &err),
		err);
	mbj_blobs_close(&blobs);
}
END_TEST

TCase *test_blob_rest_case(void)
{
	TCase *tc = tcase_create("blob_rest");

	tcase_add_checked_fixture(tc, blob_lab_setup, blob_lab_teardown);
	tcase_add_loop_test(tc, blob_rest_again, 0, 2);
	tcase_add_test(tc, blob_rest_begins);
	tcase_add_test(tc, blob_rest_keeps_free);
	tcase_add_test(tc, blob_rest_meanwhile);
	tcase_add_test(tc, blob_rest_pauses);
	tcase_add_test(tc, blob_rest_waits);
	tcase_add_test(tc, blob_rest_waits_off);
	tcase_add_loop_test(tc, blob_rest_header, 0, 2);
	tcase_add_test(tc, blob_rest_shorter);
	tcase_add_loop_test(tc, blob_rest_begun, 0, 2);
	tcase_add_test(tc, blob_rest_redone);
	tcase_add_loop_test(tc, blob_rest_odd, 0, 4);
	return tc;
}
