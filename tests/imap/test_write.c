/*
 * Writing a folder.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/maildir.h>

#include "cases.h"

static char *dir;

static void write_setup(void)
{
	dir = test_tmpdir_new();
}

static void write_teardown(void)
{
	test_tmpdir_free(&dir);
}

/* The calls of a run, by their first letters. */
static char trace[256];

static void trace_put(char letter)
{
	size_t n = strlen(trace);

	ck_assert_uint_lt(n + 1, sizeof(trace));
	trace[n] = letter;
	trace[n + 1] = '\0';
}

static ssize_t trace_pwrite(void *ctx, int fd, const void *p, size_t n,
			    off_t at)
{
	trace_put('w');
	return mbj_sys_posix()->pwrite(ctx, fd, p, n, at);
}

static int trace_fsync(void *ctx, int fd)
{
	trace_put('s');
	return mbj_sys_posix()->fsync(ctx, fd);
}

static int trace_set_mtime(void *ctx, int fd, int64_t time)
{
	trace_put('t');
	return mbj_sys_posix()->set_mtime(ctx, fd, time);
}

static int trace_rename(void *ctx, const char *from, const char *to)
{
	trace_put('r');
	return mbj_sys_posix()->rename(ctx, from, to);
}

/*
 * Goal: a message gets its name when its bytes and time are on disk; what is
 * written is what is read.  Method: the order of calls; read the folder again.
 */
START_TEST(write_reads)
{
	struct mbj_sys sys = *mbj_sys_posix();
	struct mbj_maildir_folder *folder = NULL;
	struct mbj_maildir_message message;
	struct mbj_file file = MBJ_FILE_CLOSED;
	struct mbj_buf uidlist;
	struct mbj_error err;
	bool has_error, has_time = false;
	int64_t time = 0;
	struct stat st;
	char *path = test_path_dup(dir, ".A");

	sys.pwrite = trace_pwrite;
	sys.fsync = trace_fsync;
	sys.set_mtime = trace_set_mtime;
	sys.rename = trace_rename;
	mbj_buf_init(&uidlist, 4096);
	for (int again = 0; again < 2; again++) {
		ck_assert_int_eq(mbj_maildir_folder_make(&sys, path, false,
							 NULL),
				 MBJ_OK);
		trace[0] = '\0';
		ck_assert_int_eq(mbj_maildir_message_begin(&sys, path, "7.a",
							   &file, NULL),
				 MBJ_OK);
		ck_assert_int_eq(mbj_file_write(&file, 0, "hello", 5, NULL),
				 MBJ_OK);
		ck_assert_int_eq(mbj_maildir_message_finish(&file, path,
							    "7.a:2,Sa",
							    1000000007,
							    &has_time, NULL),
				 MBJ_OK);
		ck_assert(has_time);
		ck_assert_int_eq(file.fd, -1);
		ck_assert_str_eq(trace, "wtsr");
	}
	mbj_uidlist_put_head(&uidlist, 3, 12, (struct mbj_id){{1}});
	mbj_uidlist_put(&uidlist,
			&(struct mbj_uidlist_line){
				.uid = 11, .name = mbj_bytes_str("7.a")});
	ck_assert_int_eq(mbj_maildir_folder_end(&sys, path,
						mbj_buf_view(&uidlist),
						mbj_bytes_str("0 word\n"),
						NULL),
			 MBJ_OK);
	ck_assert_int_eq(mbj_maildir_folder_open(&sys, path, &folder,
						 &has_error, &err),
			 MBJ_OK);
	ck_assert(!has_error);
	ck_assert_uint_eq(mbj_maildir_folder_count(folder), 1);
	ck_assert_uint_eq(mbj_maildir_folder_uidlist(folder)->uidnext, 12);
	ck_assert_int_eq(mbj_maildir_folder_get(folder, 0, &message, NULL),
			 MBJ_OK);
	ck_assert_uint_eq(message.uid, 11);
	ck_assert_uint_eq(message.flags, MBJ_FLAG_SEEN);
	ck_assert(mbj_bytes_equal(message.keywords, mbj_bytes_make("word", 5)));
	ck_assert_int_eq(mbj_maildir_folder_read(folder, 0, &file, NULL),
			 MBJ_OK);
	ck_assert_int_eq(mbj_file_time(&file, &time, NULL), MBJ_OK);
	ck_assert_int_eq(time, 1000000007);
	mbj_file_close(&file);
	mbj_maildir_folder_close(&folder);
	free(path);
	path = test_path_dup(dir, ".A/maildirfolder");
	ck_assert_int_eq(stat(path, &st), 0);
	free(path);
	mbj_buf_done(&uidlist);
}
END_TEST

/* A file system whose times end in 2038. */
static int short_set_mtime(void *ctx, int fd, int64_t time)
{
	return mbj_sys_posix()->set_mtime(ctx, fd,
					  time < INT32_MAX ? time : INT32_MAX);
}

/* Goal: a time that the file system cuts is told, again where it was before. */
START_TEST(write_times)
{
	const int64_t times[] = {0, -86400, INT32_MAX, INT64_C(1) << 31};
	struct mbj_sys sys = *mbj_sys_posix();
	struct mbj_file file = MBJ_FILE_CLOSED;
	bool has_time;

	sys.set_mtime = short_set_mtime;
	ck_assert_int_eq(mbj_maildir_folder_make(&sys, dir, true, NULL),
			 MBJ_OK);
	for (size_t i = 0; i < 4; i++) {
		ck_assert_int_eq(mbj_maildir_message_begin(&sys, dir, "7.a",
							   &file, NULL),
				 MBJ_OK);
		ck_assert_int_eq(mbj_maildir_message_finish(&file, dir,
							    "7.a:2,", times[i],
							    &has_time, NULL),
				 MBJ_OK);
		ck_assert_int_eq(has_time, i < 3);
		for (int again = 0; again < 2; again++) {
			has_time = i >= 3;
			ck_assert_int_eq(mbj_maildir_message_again(
						 &sys, dir,
						 again ? "7.a:2,S" : "7.a:2,",
						 "7.a:2,S", times[i], &has_time,
						 NULL),
					 MBJ_OK);
			ck_assert_int_eq(has_time, i < 3);
		}
	}
}
END_TEST

/* Goal: what cannot be written is named, and no descriptor is left. */
START_TEST(write_fails)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	struct mbj_error err;
	char *path = test_path_dup(dir, "file");
	FILE *stream = fopen(path, "w");
	bool has_time = false;
	char name[400];

	ck_assert_ptr_nonnull(stream);
	ck_assert_int_eq(fclose(stream), 0);
	ck_assert_int_lt(mbj_maildir_folder_make(mbj_sys_posix(), path, true,
						 &err),
			 0);
	ck_assert_ptr_nonnull(strstr(err.message, path));
	ck_assert_int_eq(mbj_maildir_message_begin(mbj_sys_posix(), dir, "1.a",
						   &file, &err),
			 MBJ_ENOTFOUND);
	ck_assert_int_eq(mbj_maildir_folder_make(mbj_sys_posix(), dir, true,
						 &err),
			 MBJ_OK);
	ck_assert_int_eq(mbj_maildir_message_begin(mbj_sys_posix(), dir, "1.a",
						   &file, &err),
			 MBJ_OK);
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	ck_assert_int_eq(mbj_maildir_message_finish(&file, dir, name, 1,
						    &has_time, &err),
			 MBJ_EIO);
	ck_assert_int_eq(file.fd, -1);
	free(path);
	path = test_path_dup(dir, "maildirfolder");
	ck_assert_int_ne(access(path, F_OK), 0);
	free(path);
	ck_assert_int_eq(mbj_maildir_folder_end(mbj_sys_posix(), "/nowhere",
						mbj_bytes_str("x"),
						mbj_bytes_str(""), &err),
			 MBJ_ENOTFOUND);
}
END_TEST

TCase *test_write_case(void)
{
	TCase *tc = tcase_create("write");

	tcase_add_checked_fixture(tc, write_setup, write_teardown);
	tcase_add_test(tc, write_reads);
	tcase_add_test(tc, write_times);
	tcase_add_test(tc, write_fails);
	return tc;
}
