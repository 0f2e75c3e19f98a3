/*
 * Open files: whole reads and writes over a table that does neither.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include <mbj/sys.h>

#include "cases.h"
#include "fault_sys.h"

static char *dir, *path;

static void file_setup(void)
{
	dir = test_tmpdir_new();
	path = test_path_dup(dir, "file");
}

static void file_teardown(void)
{
	free(path);
	test_tmpdir_free(&dir);
}

static struct mbj_file file_make(const struct mbj_sys *sys)
{
	struct mbj_file file = MBJ_FILE_CLOSED;

	ck_assert_int_eq(mbj_file_open(sys, path, O_RDWR | O_CREAT, &file,
				       NULL),
			 MBJ_OK);
	return file;
}

/*
 * Goal: a path joins up to its maximum and is refused over it, with one slash.
 * Method: names that fill it exactly, and with one byte more; a directory that
 * ends with a slash.
 */
START_TEST(path_joins)
{
	char joined[MBJ_PATH_TEXT_MAX] = "kept", name[MBJ_PATH_TEXT_MAX];
	struct mbj_error err;

	memset(name, 'n', sizeof(name));
	name[MBJ_PATH_TEXT_MAX - 4] = '\0';
	ck_assert_int_eq(mbj_path_join(joined, "/dd", name, &err), MBJ_ELIMIT);
	ck_assert_int_eq(err.rc, MBJ_ELIMIT);
	ck_assert_str_eq(joined, "kept");
	name[MBJ_PATH_TEXT_MAX - 5] = '\0';
	ck_assert_int_eq(mbj_path_join(joined, "/dd", name, &err), MBJ_OK);
	ck_assert_uint_eq(strlen(joined), MBJ_PATH_TEXT_MAX - 1);
	ck_assert_int_eq(mbj_path_join(joined, "a", "b", &err), MBJ_OK);
	ck_assert_str_eq(joined, "a/b");
	ck_assert_int_eq(mbj_path_join(joined, "a/", "b", &err), MBJ_OK);
	ck_assert_str_eq(joined, "a/b");
	ck_assert_int_eq(mbj_path_join(joined, "/", "b", &err), MBJ_OK);
	ck_assert_str_eq(joined, "/b");
	ck_assert_int_eq(mbj_path_join(joined, "a", "", &err), MBJ_OK);
	ck_assert_str_eq(joined, "a/");
	name[MBJ_PATH_TEXT_MAX - 5] = 'n';
	name[MBJ_PATH_TEXT_MAX - 4] = '\0';
	ck_assert_int_eq(mbj_path_join(joined, "dd/", name, &err), MBJ_OK);
	ck_assert_uint_eq(strlen(joined), MBJ_PATH_TEXT_MAX - 1);
}
END_TEST

/*
 * Goal: opening fails with words and leaves the file closed.  Method: a path
 * too long, and one that is not there.
 */
START_TEST(file_open_fails)
{
	char longest[MBJ_PATH_TEXT_MAX + 1];
	struct mbj_file file = MBJ_FILE_CLOSED;
	struct mbj_error err;

	memset(longest, 'x', sizeof(longest));
	longest[MBJ_PATH_TEXT_MAX] = '\0';
	ck_assert_int_eq(mbj_file_open(mbj_sys_posix(), longest, O_RDONLY,
				       &file, &err),
			 MBJ_ELIMIT);
	ck_assert_int_eq(mbj_file_open(mbj_sys_posix(), path, O_RDONLY, &file,
				       &err),
			 MBJ_ENOTFOUND);
	ck_assert_str_eq(err.file, path);
	ck_assert_int_eq(file.fd, -1);
	mbj_file_close(&file);
	mbj_file_close(NULL);
}
END_TEST

/*
 * Goal: descriptors do not leak into programs that are started.  Method: ask
 * for the flag.
 */
START_TEST(file_closes_on_exec)
{
	struct mbj_file file = file_make(mbj_sys_posix());

	ck_assert_int_ne(fcntl(file.fd, F_GETFD) & FD_CLOEXEC, 0);
	mbj_file_close(&file);
	ck_assert_int_eq(file.fd, -1);
	mbj_file_close(&file);
}
END_TEST

/*
 * Goal: short reads and writes are made whole, and the end of file is the
 * only reason for fewer bytes.  Method: a table that moves three bytes a
 * call, and reads that begin before, at and after the end.
 */
START_TEST(file_is_whole)
{
	static const char text[] = "twenty bytes of text";
	struct fault_sys fault;
	struct mbj_file file;
	char back[32];
	uint64_t size = 0;
	size_t n = 99;

	fault_sys_init(&fault, FAULT_SHORT, 0, 0);
	file = file_make(&fault.table);
	ck_assert_int_eq(mbj_file_write(&file, 5, text, 20, NULL), MBJ_OK);
	ck_assert_int_eq(mbj_file_size(&file, &size, NULL), MBJ_OK);
	ck_assert_uint_eq(size, 25);
	ck_assert_int_eq(mbj_file_read(&file, 5, back, 20, &n, NULL), MBJ_OK);
	ck_assert_uint_eq(n, 20);
	ck_assert_mem_eq(back, text, 20);
	ck_assert_int_eq(mbj_file_read(&file, 20, back, 32, &n, NULL), MBJ_OK);
	ck_assert_uint_eq(n, 5);
	ck_assert_mem_eq(back, " text", 5);
	ck_assert_int_eq(mbj_file_read(&file, 25, back, 1, &n, NULL), MBJ_OK);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(mbj_file_read(&file, 1000, back, 1, &n, NULL), MBJ_OK);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(mbj_file_read(&file, 0, NULL, 0, &n, NULL), MBJ_OK);
	ck_assert_int_eq(mbj_file_write(&file, 0, NULL, 0, NULL), MBJ_OK);
	mbj_file_close(&file);
}
END_TEST

/*
 * Goal: each call's failure comes back as its code with path and byte, and
 * writes no output.  Method: fail each call after the opening in turn.
 */
START_TEST(file_fails)
{
	struct mbj_file file;
	struct fault_sys fault;
	struct mbj_error err;
	uint64_t size = 77;
	size_t n = 77;
	char byte = 0;

	fault_sys_init(&fault, FAULT_ONCE, 0, ENOSPC);
	file = file_make(&fault.table);
	fault.fail_at = fault.calls + 1;
	ck_assert_int_eq(mbj_file_write(&file, 9, "abcd", 4, &err), MBJ_ENOSPC);
	ck_assert_str_eq(err.file, path);
	ck_assert_uint_eq(err.offset, 9);
	fault.errnum = EIO;
	fault.fail_at = fault.calls + 1;
	ck_assert_int_eq(mbj_file_read(&file, 7, &byte, 1, &n, &err), MBJ_EIO);
	ck_assert_uint_eq(err.offset, 7);
	ck_assert_uint_eq(n, 77);
	fault.fail_at = fault.calls + 1;
	ck_assert_int_eq(mbj_file_sync(&file, &err), MBJ_EIO);
	fault.fail_at = fault.calls + 1;
	ck_assert_int_eq(mbj_file_size(&file, &size, &err), MBJ_EIO);
	ck_assert_uint_eq(size, 77);
	fault.fail_at = fault.calls + 1;
	ck_assert_int_eq(mbj_file_lock(&file, &err), MBJ_EIO);
	ck_assert_int_eq(mbj_file_sync(&file, &err), MBJ_OK);
	ck_assert_int_eq(mbj_file_lock(&file, &err), MBJ_OK);
	mbj_file_close(&file);
}
END_TEST

/*
 * Goal: a disk that takes nothing without a reason does not hang us.  Method:
 * a table whose writes write nothing.
 */
START_TEST(file_stuck)
{
	struct fault_sys fault;
	struct mbj_file file;
	struct mbj_error err;

	fault_sys_init(&fault, FAULT_STUCK, 0, 0);
	file = file_make(&fault.table);
	ck_assert_int_eq(mbj_file_write(&file, 0, "a", 1, &err), MBJ_EIO);
	mbj_file_close(&file);
}
END_TEST

/*
 * Goal: offsets that no file has are refused, not wrapped.  Method: the
 * largest number, and the last place where a byte would not fit.
 */
START_TEST(file_range)
{
	struct mbj_file file = file_make(mbj_sys_posix());
	struct mbj_error err;
	size_t n = 77;
	char byte = 0;

	ck_assert_int_eq(mbj_file_read(&file, UINT64_MAX, &byte, 1, &n, &err),
			 MBJ_ELIMIT);
	ck_assert_int_eq(mbj_file_read(&file, INT64_MAX, &byte, 1, &n, &err),
			 MBJ_ELIMIT);
	ck_assert_int_eq(mbj_file_write(&file, INT64_MAX, &byte, 1, &err),
			 MBJ_ELIMIT);
	ck_assert_uint_eq(n, 77);
	ck_assert_uint_eq(err.offset, INT64_MAX);
	ck_assert_int_eq(mbj_file_read(&file, INT64_MAX - 1, &byte, 1, &n,
				       &err),
			 MBJ_OK);
	ck_assert_uint_eq(n, 0);
	mbj_file_close(&file);
}
END_TEST

/*
 * Goal: a file loads whole up to the limit, is appended, and leaves the
 * buffer alone over it.  Method: sizes around the chunk and the limit.
 */
START_TEST(file_loads)
{
	static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 40000};
	size_t size = sizes[_i];
	struct mbj_file file = file_make(mbj_sys_posix());
	uint8_t *content = malloc(size + 1);
	struct mbj_error err;
	struct test_rng rng;
	struct mbj_buf buf;

	ck_assert_ptr_nonnull(content);
	test_rng_init(&rng, 1);
	test_rng_fill(&rng, content, size);
	ck_assert_int_eq(mbj_file_write(&file, 0, content, size, NULL), MBJ_OK);
	mbj_file_close(&file);
	mbj_buf_init(&buf, 2 + size);
	mbj_buf_put_str(&buf, "><");
	if (size > 0)
		ck_assert_int_eq(mbj_file_load(mbj_sys_posix(), path, size - 1,
					       &buf, &err),
				 MBJ_ELIMIT);
	ck_assert_uint_eq(buf.n, 2);
	ck_assert_int_eq(mbj_file_load(mbj_sys_posix(), path, size, &buf, &err),
			 MBJ_OK);
	ck_assert_uint_eq(buf.n, size + 2);
	ck_assert(mbj_bytes_equal(mbj_bytes_make(buf.p + 2, size),
				  mbj_bytes_make(content, size)));
	if (size > 0)
		ck_assert_int_eq(mbj_file_load(mbj_sys_posix(), path, size,
					       &buf, &err),
				 MBJ_ELIMIT);
	ck_assert_uint_eq(buf.n, size + 2);
	ck_assert_int_eq(mbj_buf_ok(&buf, NULL), MBJ_OK);
	mbj_buf_done(&buf);
	free(content);
}
END_TEST

/*
 * Goal: a load that fails leaves no descriptor and no bytes.  Method: fail
 * each of its calls.
 */
START_TEST(file_load_fails)
{
	struct mbj_file file = file_make(mbj_sys_posix());
	struct mbj_buf buf;

	ck_assert_int_eq(mbj_file_write(&file, 0, "content", 7, NULL), MBJ_OK);
	mbj_file_close(&file);
	mbj_buf_init(&buf, 100);
	for (int k = 1; k <= 2; k++) {
		struct fault_sys fault;

		fault_sys_init(&fault, FAULT_ONCE, k, EIO);
		ck_assert_int_eq(mbj_file_load(&fault.table, path, 100, &buf,
					       NULL),
				 MBJ_EIO);
		ck_assert_uint_eq(buf.n, 0);
		ck_assert_str_eq(fault.trace,
				 k == 1 ? "open" : "open pread close");
	}
	mbj_buf_done(&buf);
}
END_TEST

TCase *test_file_case(void)
{
	TCase *tc = tcase_create("file");

	tcase_add_checked_fixture(tc, file_setup, file_teardown);
	tcase_add_test(tc, path_joins);
	tcase_add_test(tc, file_open_fails);
	tcase_add_test(tc, file_closes_on_exec);
	tcase_add_test(tc, file_is_whole);
	tcase_add_test(tc, file_fails);
	tcase_add_test(tc, file_stuck);
	tcase_add_test(tc, file_range);
	tcase_add_loop_test(tc, file_loads, 0, 6);
	tcase_add_test(tc, file_load_fails);
	return tc;
}
