/*
 * Reading a folder.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/maildir.h>

#include "cases.h"

static char *dir;

static void folder_setup(void)
{
	dir = test_tmpdir_new();
}

static void folder_teardown(void)
{
	test_tmpdir_free(&dir);
}

static void dir_put(const char *name)
{
	char *path = test_path_dup(dir, name);

	ck_assert_int_eq(mkdir(path, 0700), 0);
	free(path);
}

static void file_put(const char *name, const char *text)
{
	char *path = test_path_dup(dir, name);
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fputs(text, file) < 0, 0);
	ck_assert_int_eq(fclose(file), 0);
	free(path);
}

static void file_move(const char *from, const char *to)
{
	char *source = test_path_dup(dir, from);
	char *target = test_path_dup(dir, to);

	ck_assert_int_eq(rename(source, target), 0);
	free(source);
	free(target);
}

/* "name uid flags keywords;" of each message, in order. */
static void folder_is(const char *wanted)
{
	struct mbj_maildir_folder *folder = NULL;
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_maildir_message message;
	struct mbj_error err;
	struct mbj_buf all;
	bool has_error;

	mbj_buf_init(&all, 1 << 16);
	ck_assert_int_eq(mbj_maildir_folder_open(mbj_sys_posix(), dir, &folder,
						 &has_error, &err),
			 MBJ_OK);
	ck_assert(!has_error);
	for (size_t i = 0; i < mbj_maildir_folder_count(folder); i++) {
		ck_assert_int_eq(mbj_maildir_folder_path(folder, i, path, NULL),
				 MBJ_OK);
		ck_assert_int_eq(mbj_maildir_folder_get(folder, i, &message,
							NULL),
				 MBJ_OK);
		mbj_buf_format(&all, "%s %u %x ", path + strlen(dir) + 1,
			       message.uid, message.flags);
		for (size_t k = 0; k < message.keywords.n; k++)
			mbj_buf_put_u8(&all, message.keywords.p[k] == '\0'
						     ? '+'
						     : message.keywords.p[k]);
		mbj_buf_put_str(&all, message.has_unknown_letters ? "?;" : ";");
	}
	ck_assert_msg(mbj_bytes_equal(mbj_buf_view(&all),
				      mbj_bytes_str(wanted)),
		      "%.*s", (int)all.n, (const char *)all.p);
	mbj_maildir_folder_close(&folder);
	mbj_buf_done(&all);
}

/* Goal: the list's order, then that of names; nothing of tmp, no dot files. */
START_TEST(folder_orders)
{
	dir_put("cur");
	file_put("cur/9.a:2,S", "");
	file_put("cur/10.c,S=3:2,RPab", "");
	file_put("cur/10.b:2,z", "");
	file_put("cur/.hidden", "");
	folder_is("cur/9.a:2,S 0 8 ;cur/10.b:2,z 0 0 ?;"
		  "cur/10.c,S=3:2,RPab 0 1 $Forwarded+?;");
	dir_put("new");
	dir_put("tmp");
	file_put("new/11.d", "");
	file_put("new/8.e", "");
	file_put("tmp/1.t", "");
	file_put("dovecot-uidlist", "3 V5 N9\n3 :11.d\n4 :10.c,S=3:2,F\n"
				    "5 :gone\n7 :9.a:2,\n");
	file_put("dovecot-keywords", "0 one\n1 $FORWARDED\n");
	folder_is("new/11.d 3 0 ;cur/10.c,S=3:2,RPab 4 1 $Forwarded+one+;"
		  "cur/9.a:2,S 7 8 ;new/8.e 0 0 ;cur/10.b:2,z 0 0 ?;");
}
END_TEST

/* Goal: the same base twice is two entries, of which one has the UID. */
START_TEST(folder_twins)
{
	dir_put("cur");
	dir_put("new");
	file_put("cur/1.a:2,S", "");
	file_put("cur/1.a:2,", "");
	file_put("new/1.a", "");
	file_put("dovecot-uidlist", "1 5 9\n3 1.a\n");
	folder_is("cur/1.a:2, 3 0 ;cur/1.a:2,S 0 8 ;new/1.a 0 0 ;");
}
END_TEST

/* Goal: a bad list is named, and as if it were not there. */
START_TEST(folder_bad_lists)
{
	static const struct {
		const char *name;
		const char *text;
	} rows[] = {{"dovecot-uidlist", "2 1 1\n"}, {"dovecot-uidlist", ""}};
	struct mbj_maildir_folder *folder = NULL;
	struct mbj_error err;
	bool has_error;

	ck_assert_int_eq(mbj_maildir_folder_open(mbj_sys_posix(), dir, &folder,
						 &has_error, &err),
			 MBJ_ENOTFOUND);
	dir_put("new");
	file_put("new/1.a", "");
	for (size_t i = 0; i < 4; i++) {
		const char *name = i < 2 ? rows[i].name : "dovecot-keywords";
		char *path = test_path_dup(dir, name);

		if (i < 2)
			file_put(name, rows[i].text);
		else if (i == 2)
			ck_assert_int_eq(symlink("new/1.a", path), 0);
		else
			ck_assert_int_eq(mkfifo(path, 0600), 0);
		ck_assert_int_eq(mbj_maildir_folder_open(mbj_sys_posix(), dir,
							 &folder, &has_error,
							 &err),
				 MBJ_OK);
		ck_assert(has_error);
		ck_assert_msg(strstr(err.message, name) != NULL, "%s",
			      err.message);
		ck_assert_uint_eq(mbj_maildir_folder_count(folder), 1);
		ck_assert_uint_eq(
			mbj_maildir_folder_uidlist(folder)->uidvalidity, 0);
		mbj_maildir_folder_close(&folder);
		ck_assert_int_eq(unlink(path), 0);
		free(path);
	}
}
END_TEST

static struct mbj_maildir_folder *folder_open(void)
{
	struct mbj_maildir_folder *folder = NULL;
	bool has_error;

	ck_assert_int_eq(mbj_maildir_folder_open(mbj_sys_posix(), dir, &folder,
						 &has_error,
						 &(struct mbj_error){0}),
			 MBJ_OK);
	return folder;
}

/*
 * Goal: a message is read under the name that it has now; one that is gone,
 * a link and a FIFO are named and wait for nobody.
 */
START_TEST(folder_reads)
{
	struct mbj_maildir_folder *folder;
	struct mbj_file file = MBJ_FILE_CLOSED;
	char *from, *to;
	struct mbj_error err;
	uint64_t size = 0;

	dir_put("cur");
	dir_put("new");
	file_put("new/1.a", "12345");
	file_put("cur/2.b:2,", "");
	folder = folder_open();
	from = test_path_dup(dir, "new/1.a");
	to = test_path_dup(dir, "cur/1.a:2,S");
	ck_assert_int_eq(rename(from, to), 0);
	ck_assert_int_eq(mbj_maildir_folder_read(folder, 0, &file, NULL),
			 MBJ_OK);
	ck_assert_int_eq(mbj_file_size(&file, &size, NULL), MBJ_OK);
	ck_assert_uint_eq(size, 5);
	mbj_file_close(&file);
	ck_assert_int_eq(unlink(to), 0);
	ck_assert_int_eq(mbj_maildir_folder_read(folder, 0, &file, &err),
			 MBJ_ENOTFOUND);
	free(to);
	to = test_path_dup(dir, "cur/2.b:2,");
	ck_assert_int_eq(unlink(to), 0);
	ck_assert_int_eq(symlink("/etc/passwd", to), 0);
	ck_assert_int_eq(mbj_maildir_folder_read(folder, 1, &file, &err),
			 MBJ_EINVALID);
	ck_assert_ptr_nonnull(strstr(err.message, "symbolic link"));
	ck_assert_int_eq(unlink(to), 0);
	ck_assert_int_eq(mkfifo(to, 0600), 0);
	ck_assert_int_eq(mbj_maildir_folder_read(folder, 1, &file, &err),
			 MBJ_EINVALID);
	mbj_maildir_folder_close(&folder);
	free(from);
	free(to);
}
END_TEST

/* Goal: directories with a dot are folders, links are named, files are none. */
START_TEST(folder_lists)
{
	char *path = test_path_dup(dir, ".link");
	struct mbj_buf names;

	dir_put(".B");
	dir_put(".A.x");
	dir_put("cur");
	file_put(".file", "");
	ck_assert_int_eq(symlink(".B", path), 0);
	mbj_buf_init(&names, 4096);
	ck_assert_int_eq(mbj_maildir_folders(mbj_sys_posix(), dir, &names,
					     NULL),
			 MBJ_OK);
	ck_assert(mbj_bytes_equal(mbj_buf_view(&names),
				  mbj_bytes_make(".A.x\0.B\0.link\0", 14)));
	ck_assert_int_eq(mbj_maildir_folders(mbj_sys_posix(), "/nowhere",
					     &names, NULL),
			 MBJ_ENOTFOUND);
	mbj_buf_done(&names);
	free(path);
}
END_TEST

/* Goal: when memory ends, nothing is lost but the call. */
START_TEST(folder_no_memory)
{
	struct mbj_maildir_folder *folder = NULL;
	enum mbj_rc rc = MBJ_ENOMEM;
	struct mbj_error err;
	bool has_error;

	dir_put("cur");
	file_put("cur/1.a:2,Sab", "");
	file_put("cur/2.a:2,S", "");
	file_put("dovecot-uidlist", "3 V5 N9\n3 :1.a\n");
	file_put("dovecot-keywords", "0 one\n");
	for (uint64_t k = 1; rc != MBJ_OK || has_error; k++) {
		int64_t blocks = test_alloc_blocks();

		has_error = false;
		test_alloc_fail_at(k);
		rc = mbj_maildir_folder_open(mbj_sys_posix(), dir, &folder,
					     &has_error, &err);
		test_alloc_fail_at(0);
		ck_assert(rc == MBJ_OK || rc == MBJ_ENOMEM);
		ck_assert(rc != MBJ_OK || !has_error || err.rc == MBJ_ENOMEM);
		mbj_maildir_folder_close(&folder);
		ck_assert_int_eq(test_alloc_blocks(), blocks);
		ck_assert_uint_lt(k, 100);
	}
}
END_TEST

/* Everything is a file: what it was before it became another. */
static int late_stat(void *ctx, const char *path, mode_t *mode, uid_t *uid)
{
	(void)ctx;
	(void)path;
	*mode = S_IFREG | 0600;
	*uid = geteuid();
	return 0;
}

/*
 * Goal: a list that becomes a link between two looks is not read.  Method: a
 * link that the first look takes for a file.
 */
START_TEST(list_link)
{
	struct mbj_sys sys = *mbj_sys_posix();
	char *path = test_path_dup(dir, MBJ_MAILDIR_ACL);
	struct mbj_error err;
	struct mbj_buf text;

	mbj_buf_init(&text, 1 << 16);
	file_put("secret", "anyone lr\n");
	ck_assert_int_eq(symlink("secret", path), 0);
	sys.stat = late_stat;
	ck_assert(!mbj_maildir_list_load(&sys, dir, MBJ_MAILDIR_ACL, &text,
					 &err));
	ck_assert_int_lt(err.rc, 0);
	ck_assert_uint_eq(text.n, 0);
	ck_assert_int_eq(remove(path), 0);
	file_put(MBJ_MAILDIR_ACL, "anyone lr\n");
	ck_assert(
		mbj_maildir_list_load(&sys, dir, MBJ_MAILDIR_ACL, &text, &err));
	ck_assert(mbj_bytes_equal(mbj_buf_view(&text),
				  mbj_bytes_str("anyone lr\n")));
	mbj_buf_done(&text);
	free(path);
}
END_TEST

/*
 * Somebody reads mail while it is listed: behind the first list what is in new
 * is seen, behind that of cur a flag is set; cur has both names of that.
 */
static int moving_list(void *ctx, const char *path, struct mbj_buf *names)
{
	int *count = (int *)ctx;
	int rc = mbj_sys_posix()->list(NULL, path, names);

	if (++*count == 1)
		file_move("new/1.a", "cur/1.a:2,S");
	if (*count == 2 && strcmp(path + strlen(path) - 3, "cur") == 0) {
		file_move("cur/2.b:2,", "cur/2.b:2,F");
		mbj_buf_put(names, "2.b:2,F", 8);
		file_move("cur/3.c:2,", "cur/3.c:2,D");
		mbj_buf_put(names, "3.c:2,R", 8);
	}
	return rc;
}

/*
 * Goal: each message once, whatever is done to it while it is listed; of one
 * that is called otherwise again the file is found.
 */
START_TEST(folder_moving)
{
	struct mbj_sys sys = *mbj_sys_posix();
	struct mbj_maildir_folder *folder = NULL;
	static const char *const wanted[] = {"1.a:2,S", "2.b:2,F", "3.c:2,D"};
	struct mbj_file file = MBJ_FILE_CLOSED;
	struct mbj_error err;
	int count = 0;
	bool has_error;

	dir_put("cur");
	dir_put("new");
	file_put("new/1.a", "");
	file_put("cur/2.b:2,", "");
	file_put("cur/3.c:2,", "");
	sys.ctx = &count;
	sys.list = moving_list;
	ck_assert_int_eq(mbj_maildir_folder_open(&sys, dir, &folder, &has_error,
						 &err),
			 MBJ_OK);
	ck_assert_int_eq(count, 4);
	sys.list = mbj_sys_posix()->list;
	ck_assert_uint_eq(mbj_maildir_folder_count(folder), 3);
	for (size_t i = 0; i < 3; i++) {
		ck_assert_int_eq(mbj_maildir_folder_read(folder, i, &file,
							 &err),
				 MBJ_OK);
		ck_assert_ptr_nonnull(strstr(file.path, wanted[i]));
		mbj_file_close(&file);
	}
	mbj_maildir_folder_close(&folder);
}
END_TEST

/* Remove what begins with prefix from names. */
static void names_cut(struct mbj_buf *names, const char *prefix)
{
	for (size_t at = 0; at < names->n;) {
		char *name = (char *)names->p + at;
		size_t n = strlen(name) + 1;

		if (strncmp(name, prefix, strlen(prefix)) == 0) {
			memmove(name, name + n, names->n - at - n);
			names->n -= n;
		} else {
			at += n;
		}
	}
}

/*
 * What is renamed while cur is listed for the first time is in that list under
 * neither name.  Behind the last list a message goes from new to cur, and gets
 * yet another name when it is found there.
 */
static int missing_list(void *ctx, const char *path, struct mbj_buf *names)
{
	int *count = (int *)ctx;
	int rc = mbj_sys_posix()->list(NULL, path, names);

	if (++*count == 2) {
		file_move("cur/2.b:2,", "cur/2.b:2,S");
		names_cut(names, "2.b");
	}
	if (*count == 6)
		file_move("new/1.a", "cur/1.a:2,");
	if (*count == 8)
		file_move("cur/1.a:2,", "cur/1.a:2,S");
	return rc;
}

/* Goal: what one listing does not show is there all the same. */
START_TEST(folder_missing)
{
	struct mbj_sys sys = *mbj_sys_posix();
	struct mbj_maildir_folder *folder = NULL;
	struct mbj_file file = MBJ_FILE_CLOSED;
	struct mbj_error err;
	int count = 0;
	bool has_error;

	dir_put("cur");
	dir_put("new");
	file_put("new/1.a", "");
	file_put("cur/2.b:2,", "");
	file_put("cur/3.c:2,", "");
	file_put("dovecot-uidlist", "3 V5 N9\n4 :2.b\n");
	sys.ctx = &count;
	sys.list = missing_list;
	ck_assert_int_eq(mbj_maildir_folder_open(&sys, dir, &folder, &has_error,
						 &err),
			 MBJ_OK);
	ck_assert_uint_eq(mbj_maildir_folder_count(folder), 3);
	for (size_t i = 0; i < 3; i++) {
		struct mbj_maildir_message message;

		ck_assert_int_eq(mbj_maildir_folder_get(folder, i, &message,
							&err),
				 MBJ_OK);
		ck_assert_uint_eq(message.uid, i == 0 ? 4 : 0);
		ck_assert_int_eq(mbj_maildir_folder_read(folder, i, &file,
							 &err),
				 MBJ_OK);
		mbj_file_close(&file);
	}
	ck_assert_int_eq(count, 10);
	mbj_maildir_folder_close(&folder);
}
END_TEST

/* cur is listed with both names of a message, and the first once more, */
static int twin_list(void *ctx, const char *path, struct mbj_buf *names)
{
	int rc = mbj_sys_posix()->list(NULL, path, names);

	(void)ctx;
	if (strcmp(path + strlen(path) - 3, "cur") == 0)
		mbj_buf_put(names,
			    "1.a:2,S\0"
			    "1.a:2,",
			    15);
	return rc;
}

/* which gets the second when the first was looked at. */
static int twin_stat(void *ctx, const char *path, mode_t *mode, uid_t *uid)
{
	int rc = mbj_sys_posix()->stat(NULL, path, mode, uid);

	(void)ctx;
	if (rc == 0 && strcmp(path + strlen(path) - 2, "2,") == 0)
		file_move("cur/1.a:2,", "cur/1.a:2,S");
	return rc;
}

/* Goal: two names of which each was there when it was looked at are one
 * message. */
START_TEST(folder_pace)
{
	struct mbj_sys sys = *mbj_sys_posix();
	struct mbj_maildir_folder *folder = NULL;
	struct mbj_maildir_message message;
	struct mbj_error err;
	bool has_error;

	dir_put("cur");
	dir_put("new");
	file_put("cur/1.a:2,", "");
	sys.list = twin_list;
	sys.stat = twin_stat;
	ck_assert_int_eq(mbj_maildir_folder_open(&sys, dir, &folder, &has_error,
						 &err),
			 MBJ_OK);
	ck_assert_uint_eq(mbj_maildir_folder_count(folder), 1);
	ck_assert_int_eq(mbj_maildir_folder_get(folder, 0, &message, &err),
			 MBJ_OK);
	ck_assert_uint_eq(message.flags, MBJ_FLAG_SEEN);
	mbj_maildir_folder_close(&folder);
	sys.stat = mbj_sys_posix()->stat;
	file_move("cur/1.a:2,S", "cur/1.a:2,");
	ck_assert_int_eq(mbj_maildir_folder_open(&sys, dir, &folder, &has_error,
						 &err),
			 MBJ_OK);
	ck_assert_uint_eq(mbj_maildir_folder_count(folder), 1);
	mbj_maildir_folder_close(&folder);
}
END_TEST

TCase *test_folder_case(void)
{
	TCase *tc = tcase_create("folder");

	tcase_add_checked_fixture(tc, folder_setup, folder_teardown);
	tcase_add_test(tc, folder_orders);
	tcase_add_test(tc, folder_twins);
	tcase_add_test(tc, folder_bad_lists);
	tcase_add_test(tc, folder_reads);
	tcase_add_test(tc, folder_lists);
	tcase_add_test(tc, folder_no_memory);
	tcase_add_test(tc, list_link);
	tcase_add_test(tc, folder_moving);
	tcase_add_test(tc, folder_missing);
	tcase_add_test(tc, folder_pace);
	return tc;
}
