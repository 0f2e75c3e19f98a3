/*
 * Replacing a file: old or new content, whatever fails.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <mbj/sys.h>

#include "cases.h"
#include "fault_sys.h"

static char *dir, *path;

static void replace_setup(void)
{
	dir = test_tmpdir_new();
	path = test_path_dup(dir, "meta");
}

static void replace_teardown(void)
{
	free(path);
	test_tmpdir_free(&dir);
}

static enum mbj_rc replace(const struct mbj_sys *sys, const char *text,
			   struct mbj_error *err)
{
	return mbj_file_replace(sys, dir, "meta", mbj_bytes_str(text), err);
}

static void content_check(const char *expected)
{
	struct mbj_buf buf;

	mbj_buf_init(&buf, 1000);
	ck_assert_int_eq(mbj_file_load(mbj_sys_posix(), path, 1000, &buf, NULL),
			 MBJ_OK);
	ck_assert_msg(mbj_bytes_equal(mbj_buf_view(&buf),
				      mbj_bytes_str(expected)),
		      "%.*s instead of %s", (int)buf.n, (const char *)buf.p,
		      expected);
	mbj_buf_done(&buf);
}

static size_t names_size(void)
{
	struct mbj_buf list;
	size_t n;

	mbj_buf_init(&list, 1000);
	ck_assert_int_eq(mbj_dir_list(mbj_sys_posix(), dir, &list, NULL),
			 MBJ_OK);
	n = list.n;
	mbj_buf_done(&list);
	return n;
}

/*
 * Goal: content is synced before the rename and the directory after it.
 * Method: look at the order of calls, the first time and over old content.
 */
START_TEST(replace_order)
{
	struct fault_sys fault;

	for (int i = 0; i < 2; i++) {
		fault_sys_init(&fault, FAULT_ONCE, 0, 0);
		ck_assert_int_eq(replace(&fault.table, "content", NULL),
				 MBJ_OK);
		ck_assert_str_eq(fault.trace, "open pwrite fdatasync close "
					      "rename open fsync close");
		content_check("content");
		ck_assert_uint_eq(names_size(), sizeof("meta"));
	}
}
END_TEST

/*
 * Goal: a failing call leaves the old content, or after the rename the whole
 * new one, and is reported.  Method: fail each call in turn, once and for all
 * (the power goes), then replace again.
 */
START_TEST(replace_fails)
{
	enum fault_kind kind = _i == 0 ? FAULT_ONCE : FAULT_CRASH;
	static const int errnums[] = {EIO, ENOSPC};

	for (int k = 1; k <= 7; k++) {
		struct fault_sys fault;
		struct mbj_error err;
		enum mbj_rc rc;

		ck_assert_int_eq(replace(mbj_sys_posix(), "old", NULL), MBJ_OK);
		fault_sys_init(&fault, kind, k, errnums[k % 2]);
		rc = replace(&fault.table, "new and longer", &err);
		if (k == 4 && kind == FAULT_ONCE) {
			/* close(2) after a sync has nothing to tell. */
			ck_assert_int_eq(rc, MBJ_OK);
			content_check("new and longer");
			continue;
		}
		ck_assert_int_eq(rc, k % 2 ? MBJ_ENOSPC : MBJ_EIO);
		content_check(k <= 5 ? "old" : "new and longer");
		if (kind == FAULT_ONCE)
			ck_assert_uint_eq(names_size(), sizeof("meta"));
		ck_assert_int_eq(replace(mbj_sys_posix(), "third", NULL),
				 MBJ_OK);
		content_check("third");
		ck_assert_uint_eq(names_size(), sizeof("meta"));
	}
}
END_TEST

/*
 * Goal: short writes make the same file.  Method: a table that moves three
 * bytes a call.
 */
START_TEST(replace_short)
{
	struct fault_sys fault;

	fault_sys_init(&fault, FAULT_SHORT, 0, 0);
	ck_assert_int_eq(replace(&fault.table, "in several writes", NULL),
			 MBJ_OK);
	content_check("in several writes");
	ck_assert_int_eq(replace(&fault.table, "", NULL), MBJ_OK);
	content_check("");
}
END_TEST

/*
 * Goal: a link planted under the temporary name is not followed.  Method:
 * plant one to a file that must stay as it is.
 */
START_TEST(replace_planted_link)
{
	char *fresh = test_path_dup(dir, "meta.new");

	ck_assert_int_eq(replace(mbj_sys_posix(), "old", NULL), MBJ_OK);
	ck_assert_int_eq(symlink(path, fresh), 0);
	ck_assert_int_eq(replace(mbj_sys_posix(), "new", NULL), MBJ_EIO);
	content_check("old");
	free(fresh);
}
END_TEST

/*
 * Goal: a name that leaves no room for the temporary one is refused before
 * anything is written.  Method: directories of every length around the limit.
 */
START_TEST(replace_limit)
{
	char longest[MBJ_PATH_TEXT_MAX];

	for (size_t n = MBJ_PATH_TEXT_MAX - 12; n < MBJ_PATH_TEXT_MAX; n++) {
		struct fault_sys fault;
		enum mbj_rc rc;

		memset(longest, 'd', n);
		longest[n] = '\0';
		fault_sys_init(&fault, FAULT_CRASH, 1, EIO);
		rc = mbj_file_replace(&fault.table, longest, "meta",
				      mbj_bytes_str("x"), NULL);
		/* "/meta" and ".new" are nine bytes and a NUL. */
		ck_assert_int_eq(rc, n + 10 <= MBJ_PATH_TEXT_MAX ? MBJ_EIO
								 : MBJ_ELIMIT);
		ck_assert((fault.calls == 0) == (rc == MBJ_ELIMIT));
	}
}
END_TEST

TCase *test_replace_case(void)
{
	TCase *tc = tcase_create("replace");

	tcase_add_checked_fixture(tc, replace_setup, replace_teardown);
	tcase_add_test(tc, replace_order);
	tcase_add_loop_test(tc, replace_fails, 0, 2);
	tcase_add_test(tc, replace_short);
	tcase_add_test(tc, replace_planted_link);
	tcase_add_test(tc, replace_limit);
	return tc;
}
