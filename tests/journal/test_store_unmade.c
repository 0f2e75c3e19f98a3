/*
 * Stores that are taken back: nothing has come to them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal_cases.h"
#include "store_impl.h"
#include "store_lab.h"

static void replica_make(const char *dir)
{
	SITE_OK(mbj_store_init(dir, MBJ_STORE_REPLICA, NULL, err));
}

static void entry_path(const char *dir, const char *name, char *path)
{
	SITE_OK(mbj_path_join(path, dir, name, err));
}

static bool entry_is_there(const char *dir, const char *name)
{
	char path[MBJ_PATH_TEXT_MAX];

	entry_path(dir, name, path);
	return access(path, F_OK) == 0;
}

static void entry_make(const char *dir, const char *name)
{
	char path[MBJ_PATH_TEXT_MAX];
	FILE *file;

	entry_path(dir, name, path);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fclose(file), 0);
}

/*
 * Goal: a replica that has nothing is unmade, and nothing else ever is.
 * Method: one in a directory of its own, and in one that was there; then one
 * with something in it, in its snapshots, of a lineage without a group, in use;
 * a primary, what is no store.
 */
START_TEST(store_unmade)
{
	struct mbj_store *store = NULL;
	char path[MBJ_PATH_TEXT_MAX];
	char dir[MBJ_PATH_TEXT_MAX];
	struct site site;

	site_begin(&site);
	entry_path(site.tmp, "r", dir);
	replica_make(dir);
	mbj_store_unmake(dir, NULL, false);
	ck_assert_int_ne(access(dir, F_OK), 0);
	ck_assert_int_eq(mkdir(dir, 0700), 0);
	replica_make(dir);
	entry_make(dir, STORE_BACKUP_NAME);
	mbj_store_unmake(dir, NULL, true);
	ck_assert_int_eq(rmdir(dir), 0);

	replica_make(dir);
	entry_make(dir, "precious");
	mbj_store_unmake(dir, NULL, false);
	ck_assert(entry_is_there(dir, "precious"));
	ck_assert(entry_is_there(dir, SUPERBLOCK_NAME));
	entry_path(dir, "precious", path);
	ck_assert_int_eq(unlink(path), 0);
	entry_path(dir, "snapshots", path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	entry_make(path, "part");
	mbj_store_unmake(dir, NULL, false);
	ck_assert(entry_is_there(path, "part"));
	SITE_OK(mbj_store_open(dir, NULL, &store, err));
	entry_path(dir, "snapshots/part", path);
	ck_assert_int_eq(unlink(path), 0);
	mbj_store_unmake(dir, NULL, false);
	ck_assert(entry_is_there(dir, "snapshots"));
	SITE_OK(mbj_store_adopt(store, mbj_store_identity(site.store), err));
	mbj_store_close(&store);
	mbj_store_unmake(dir, NULL, false);
	ck_assert_int_ne(access(dir, F_OK), 0);

	mbj_store_close(&site.store);
	mbj_store_unmake(site.dir, NULL, false);
	mbj_store_unmake(site.tmp, NULL, false);
	mbj_store_unmake(dir, NULL, false);
	SITE_OK(mbj_store_open(site.dir, NULL, &site.store, err));
	site_end(&site);
}
END_TEST

/*
 * Goal: what is left where unmaking was stopped is an empty replica, or nothing
 * to init.  Method: fail every single call of it in turn, for good.
 */
START_TEST(store_unmade_interrupted)
{
	char *tmp = test_tmpdir_new();
	bool is_done = false;
	struct site_sys sys;

	site_sys_init(&sys);
	for (long k = 1; !is_done; k++) {
		struct mbj_store *store = NULL;
		char dir[MBJ_PATH_TEXT_MAX];

		ck_assert_int_lt(k, 500);
		(void)snprintf(dir, sizeof(dir), "%s/s%ld", tmp, k);
		replica_make(dir);
		site_sys_arm(&sys, SITE_CALL_ALL, k, EIO, true);
		mbj_store_unmake(dir, &sys.table, false);
		is_done = atomic_load(&sys.count) < k;
		if (is_done)
			ck_assert_int_ne(access(dir, F_OK), 0);
		if (!entry_is_there(dir, SUPERBLOCK_NAME))
			replica_make(dir);
		SITE_OK(mbj_store_open(dir, NULL, &store, err));
		mbj_store_close(&store);
	}
	test_tmpdir_free(&tmp);
}
END_TEST

/*
 * Goal: nobody owns a store by a lock file that is removed.  Method: whoever
 * opened it before, has it locked behind that, and asks again finds the one
 * that is there; one whose removal was stopped is taken as it is.
 */
START_TEST(store_lock_removed)
{
	const struct mbj_sys *posix = mbj_sys_posix();
	struct mbj_file early = MBJ_FILE_CLOSED;
	struct mbj_file lock = MBJ_FILE_CLOSED;
	struct mbj_file other = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_error error;
	struct site site;
	char text[3] = "";
	size_t n;

	site_begin(&site);
	mbj_store_close(&site.store);
	site_path(&site, STORE_LOCK_NAME, path);
	SITE_OK(mbj_file_open(posix, path, O_RDWR, &early, err));
	SITE_OK(store_lock_take(posix, site.dir, &lock, err));
	SITE_OK(store_lock_remove(posix, site.dir, &lock));
	ck_assert_int_lt(lock.fd, 0);
	ck_assert_int_ne(access(path, F_OK), 0);
	SITE_OK(mbj_file_lock(&early, err));
	SITE_OK(mbj_file_read(&early, 0, text, 2, &n, err));
	ck_assert_str_eq(text, "-1");
	SITE_OK(store_lock_take(posix, site.dir, &lock, err));
	SITE_FAILS(store_lock_take(posix, site.dir, &other, err), MBJ_EBUSY,
		   &error);
	SITE_OK(mbj_file_write(&lock, 0, "-1", 2, err));
	mbj_file_close(&lock);
	SITE_OK(store_lock_take(posix, site.dir, &lock, err));
	store_lock_drop(&lock);
	mbj_file_close(&early);
	SITE_OK(mbj_store_open(site.dir, NULL, &site.store, err));
	site_end(&site);
}
END_TEST

TCase *test_store_unmade_case(void)
{
	TCase *tc = tcase_create("store_unmade");

	tcase_add_test(tc, store_unmade);
	tcase_add_test(tc, store_unmade_interrupted);
	tcase_add_test(tc, store_lock_removed);
	return tc;
}
