/*
 * The POSIX table, and directories over it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <mbj/sys.h>

#include "cases.h"
#include "fault_sys.h"

static char *dir;

static void dir_setup(void)
{
	dir = test_tmpdir_new();
}

static void dir_teardown(void)
{
	test_tmpdir_free(&dir);
}

static void file_touch(const char *name)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	char *path = test_path_dup(dir, name);

	ck_assert_int_eq(mbj_file_open(mbj_sys_posix(), path,
				       O_CREAT | O_WRONLY, &file, NULL),
			 MBJ_OK);
	mbj_file_close(&file);
	free(path);
}

/* Lock the file in a child; its exit code is the negative result. */
static int lock_elsewhere(const char *path)
{
	pid_t child = fork();
	int status = 0;

	ck_assert_int_ge(child, 0);
	if (child == 0) {
		struct mbj_file file = MBJ_FILE_CLOSED;
		enum mbj_rc rc;

		rc = mbj_file_open(mbj_sys_posix(), path, O_RDWR, &file, NULL);
		if (rc == MBJ_OK)
			rc = mbj_file_lock(&file, NULL);
		_exit(-(int)rc);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

/*
 * Goal: a lock keeps other processes out as long as the file is open, and no
 * longer.  Method: a child tries before, during and after.
 */
START_TEST(sys_locks)
{
	struct mbj_file file = MBJ_FILE_CLOSED, second = MBJ_FILE_CLOSED;
	char *path = test_path_dup(dir, "lock");
	struct mbj_error err;

	file_touch("lock");
	ck_assert_int_eq(lock_elsewhere(path), MBJ_OK);
	ck_assert_int_eq(mbj_file_open(mbj_sys_posix(), path, O_RDWR, &file,
				       NULL),
			 MBJ_OK);
	ck_assert_int_eq(mbj_file_lock(&file, NULL), MBJ_OK);
	ck_assert_int_eq(lock_elsewhere(path), MBJ_EBUSY);
	ck_assert_int_eq(mbj_file_open(mbj_sys_posix(), path, O_RDWR, &second,
				       NULL),
			 MBJ_OK);
	ck_assert_int_eq(mbj_file_lock(&second, &err), MBJ_EBUSY);
	ck_assert_str_eq(err.file, path);
	mbj_file_close(&second);
	ck_assert_int_eq(lock_elsewhere(path), MBJ_EBUSY);
	mbj_file_close(&file);
	ck_assert_int_eq(lock_elsewhere(path), MBJ_OK);
	/* Who only asks keeps nobody else from asking. */
	for (int i = 0; i < 2; i++) {
		struct mbj_file *asker = i == 0 ? &file : &second;

		ck_assert_int_eq(mbj_file_open(mbj_sys_posix(), path, O_RDONLY,
					       asker, NULL),
				 MBJ_OK);
		ck_assert_int_eq(mbj_file_lock_shared(asker, NULL), MBJ_OK);
	}
	ck_assert_int_eq(lock_elsewhere(path), MBJ_EBUSY);
	mbj_file_close(&file);
	mbj_file_close(&second);
	free(path);
}
END_TEST

/*
 * Goal: a listing is sorted by bytes and complete, and replaces what the
 * buffer held.  Method: files made in another order, hidden and odd names
 * among them.
 */
START_TEST(sys_lists)
{
	static const char expected[] = ".hidden\0"
				       "A\0"
				       "a\0"
				       "a b\0"
				       "a.1\0"
				       "b\0"
				       "\xc3\xa4";
	static const char *const names[] = {"b",   "a.1",     "\xc3\xa4", "A",
					    "a b", ".hidden", "a"};
	struct mbj_buf list;

	mbj_buf_init(&list, 1000);
	mbj_buf_put_str(&list, "old");
	ck_assert_int_eq(mbj_dir_list(mbj_sys_posix(), dir, &list, NULL),
			 MBJ_OK);
	ck_assert_uint_eq(list.n, 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		file_touch(names[i]);
	mbj_buf_put_str(&list, "old");
	ck_assert_int_eq(mbj_dir_list(mbj_sys_posix(), dir, &list, NULL),
			 MBJ_OK);
	ck_assert(mbj_bytes_equal(mbj_buf_view(&list),
				  mbj_bytes_make(expected, sizeof(expected))));
	mbj_buf_done(&list);
}
END_TEST

/*
 * Goal: a listing that does not fit, or fails, says so.  Method: a buffer of
 * the exact size and of one byte less; no memory at each place; no directory.
 */
START_TEST(sys_list_fails)
{
	struct mbj_error err;
	struct mbj_buf list;
	uint64_t k = 0;
	enum mbj_rc rc;

	file_touch("abc");
	file_touch("def");
	mbj_buf_init(&list, 8);
	ck_assert_int_eq(mbj_dir_list(mbj_sys_posix(), dir, &list, &err),
			 MBJ_OK);
	mbj_buf_done(&list);
	mbj_buf_init(&list, 7);
	ck_assert_int_eq(mbj_dir_list(mbj_sys_posix(), dir, &list, &err),
			 MBJ_ELIMIT);
	ck_assert_ptr_nonnull(strstr(err.message, dir));
	mbj_buf_done(&list);
	do {
		mbj_buf_init(&list, 100);
		test_alloc_fail_at(++k);
		rc = mbj_dir_list(mbj_sys_posix(), dir, &list, &err);
		ck_assert_int_eq(rc,
				 test_alloc_count() < k ? MBJ_OK : MBJ_ENOMEM);
		test_alloc_fail_at(0);
		mbj_buf_done(&list);
	} while (rc != MBJ_OK);
	ck_assert_uint_eq(k, 4);
	mbj_buf_init(&list, 100);
	ck_assert_int_eq(mbj_dir_list(mbj_sys_posix(), "/nowhere/at/all", &list,
				      &err),
			 MBJ_ENOTFOUND);
	mbj_buf_done(&list);
}
END_TEST

/*
 * Goal: directories and files are made private, found, renamed and removed.
 * Method: one life of each.
 */
START_TEST(sys_names)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	char *sub = test_path_dup(dir, "sub");
	char *a = test_path_dup(dir, "a"), *b = test_path_dup(dir, "b");
	mode_t mode = 0;
	uid_t uid = 0;

	ck_assert(!mbj_path_exists(sys, sub));
	ck_assert_int_eq(mbj_dir_make(sys, sub, NULL), MBJ_OK);
	ck_assert_int_eq(mbj_dir_make(sys, sub, NULL), MBJ_EEXISTS);
	ck_assert(mbj_path_exists(sys, sub));
	ck_assert_int_eq(mbj_dir_sync(sys, sub, NULL), MBJ_OK);
	ck_assert_int_eq(sys->stat(sys->ctx, sub, &mode, &uid), 0);
	ck_assert(S_ISDIR(mode));
	ck_assert_uint_eq(mode & 0777, 0700);
	ck_assert_uint_eq(uid, geteuid());
	ck_assert_int_eq(sys->rmdir(sys->ctx, sub), 0);
	ck_assert_int_eq(mbj_dir_sync(sys, sub, NULL), MBJ_ENOTFOUND);
	file_touch("a");
	ck_assert_int_eq(mbj_dir_sync(sys, a, NULL), MBJ_EIO);
	ck_assert_int_eq(sys->stat(sys->ctx, a, &mode, &uid), 0);
	ck_assert_uint_eq(mode & 0777, 0600);
	ck_assert_int_eq(mbj_file_rename(sys, a, b, NULL), MBJ_OK);
	ck_assert_int_eq(mbj_file_rename(sys, a, b, NULL), MBJ_ENOTFOUND);
	ck_assert_int_eq(mbj_file_remove(sys, b, NULL), MBJ_OK);
	ck_assert_int_eq(mbj_file_remove(sys, b, NULL), MBJ_ENOTFOUND);
	ck_assert(!mbj_path_exists(sys, b));
	free(sub);
	free(a);
	free(b);
}
END_TEST

/*
 * Goal: only a path known to be absent is absent.  Method: a dangling link, a
 * file used as a directory, and a look that fails.
 */
START_TEST(sys_exists)
{
	char *link_path = test_path_dup(dir, "link");
	char *below = test_path_dup(dir, "file/below");
	struct fault_sys fault;

	ck_assert_int_eq(symlink("nowhere", link_path), 0);
	ck_assert(mbj_path_exists(mbj_sys_posix(), link_path));
	file_touch("file");
	ck_assert(!mbj_path_exists(mbj_sys_posix(), below));
	fault_sys_init(&fault, FAULT_ONCE, 1, EACCES);
	ck_assert(mbj_path_exists(&fault.table, below));
	ck_assert(!mbj_path_exists(&fault.table, below));
	free(link_path);
	free(below);
}
END_TEST

/*
 * Goal: the clock is that of the wall, and randomness is not constant.
 * Method: compare with time(3); draw 64 bytes twice.
 */
START_TEST(sys_clock_and_random)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	uint8_t a[64] = {0}, b[64] = {0};
	int64_t now_s = sys->now_us(sys->ctx) / 1000000;

	ck_assert_int_le(llabs((long long)(now_s - (int64_t)time(NULL))), 2);
	ck_assert_int_eq(sys->random(sys->ctx, a, sizeof(a)), 0);
	ck_assert_int_eq(sys->random(sys->ctx, b, sizeof(b)), 0);
	ck_assert_mem_ne(a, b, sizeof(a));
}
END_TEST

static int64_t space_fails(void *ctx, const char *path)
{
	(void)ctx;
	(void)path;
	return -EIO;
}

/*
 * Goal: space is told where it can be, and no limit is made up elsewhere.
 * Method: a directory, a path that is not there, a call that fails, none.
 */
START_TEST(sys_space)
{
	struct mbj_sys bad = *mbj_sys_posix();
	uint64_t left = mbj_space_left(mbj_sys_posix(), dir);

	ck_assert_uint_lt(left, UINT64_MAX);
	ck_assert_uint_eq(mbj_space_left(mbj_sys_posix(), "/nowhere/at/all"),
			  UINT64_MAX);
	bad.space = space_fails;
	ck_assert_uint_eq(mbj_space_left(&bad, dir), UINT64_MAX);
	bad.space = NULL;
	ck_assert_uint_eq(mbj_space_left(&bad, dir), UINT64_MAX);
}
END_TEST

static int time_fails(void *ctx, int fd, int64_t *ret_time)
{
	(void)ctx;
	(void)fd;
	(void)ret_time;
	return -EIO;
}

static int set_time_fails(void *ctx, int fd, int64_t time)
{
	(void)ctx;
	(void)fd;
	(void)time;
	return -EPERM;
}

static int sync_fails(void *ctx, int fd)
{
	(void)ctx;
	(void)fd;
	return -ENOSPC;
}

/*
 * Goal: a file's time is what was set, before 1970 too; failures name the file.
 * Method: set, sync, close, open, ask; a table whose calls fail.
 */
START_TEST(sys_times)
{
	static const int64_t times[] = {0, -86400, 1795682950, 4102444800};
	char *path = test_path_dup(dir, "timed");
	struct mbj_file file = MBJ_FILE_CLOSED;
	struct mbj_sys bad = *mbj_sys_posix();
	struct mbj_error err;
	int64_t got = 7;

	file_touch("timed");
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		ck_assert_int_eq(mbj_file_open(mbj_sys_posix(), path, O_RDWR,
					       &file, NULL),
				 MBJ_OK);
		ck_assert_int_eq(mbj_file_set_time(&file, times[i], NULL),
				 MBJ_OK);
		ck_assert_int_eq(mbj_file_sync_all(&file, NULL), MBJ_OK);
		mbj_file_close(&file);
		ck_assert_int_eq(mbj_file_open(mbj_sys_posix(), path, O_RDONLY,
					       &file, NULL),
				 MBJ_OK);
		ck_assert_int_eq(mbj_file_time(&file, &got, NULL), MBJ_OK);
		ck_assert_int_eq(got, times[i]);
		mbj_file_close(&file);
	}
	bad.mtime = time_fails;
	bad.set_mtime = set_time_fails;
	bad.fsync = sync_fails;
	ck_assert_int_eq(mbj_file_open(&bad, path, O_RDWR, &file, NULL),
			 MBJ_OK);
	ck_assert_int_eq(mbj_file_time(&file, &got, &err), MBJ_EIO);
	ck_assert(strstr(err.message, path) != NULL);
	ck_assert_int_eq(mbj_file_set_time(&file, 1, &err), MBJ_EIO);
	ck_assert(strstr(err.message, path) != NULL);
	ck_assert_int_eq(mbj_file_sync_all(&file, &err), MBJ_ENOSPC);
	ck_assert(strstr(err.message, path) != NULL);
	ck_assert_int_eq(got, 4102444800);
	mbj_file_close(&file);
	/* A descriptor that is none. */
	ck_assert_int_eq(mbj_sys_posix()->mtime(NULL, -1, &got), -EBADF);
	ck_assert_int_eq(mbj_sys_posix()->set_mtime(NULL, -1, 1), -EBADF);
	free(path);
}
END_TEST

TCase *test_sys_case(void)
{
	TCase *tc = tcase_create("sys");

	tcase_add_checked_fixture(tc, dir_setup, dir_teardown);
	tcase_add_test(tc, sys_locks);
	tcase_add_test(tc, sys_lists);
	tcase_add_test(tc, sys_list_fails);
	tcase_add_test(tc, sys_names);
	tcase_add_test(tc, sys_exists);
	tcase_add_test(tc, sys_clock_and_random);
	tcase_add_test(tc, sys_times);
	tcase_add_test(tc, sys_space);
	return tc;
}
