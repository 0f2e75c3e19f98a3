/*
 * Stores: made, opened, owned, refused.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mbj/codec.h>
#include <mbj/hash.h>

#include "journal_cases.h"
#include "store_impl.h"
#include "store_lab.h"

/*
 * Goal: a store is what its documentation says, and keeps what was done.
 * Method: make, open, import, rename, close, open; modes; identity.
 */
START_TEST(store_life)
{
	static const char *const names[] = {"mbj.store", "lock", "journal",
					    "state", "."};
	char path[MBJ_PATH_TEXT_MAX];
	char text[MBJ_NAME_MAX + 1];
	struct mbj_identity identity;
	struct mbj_identity again;
	struct mbj_digest before;
	struct mbj_digest after;
	struct mbj_lsn lsn;
	struct site site;

	site_begin(&site);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct stat st;

		site_path(&site, names[i], path);
		ck_assert_int_eq(stat(path, &st), 0);
		ck_assert_uint_eq(st.st_mode & 07777,
				  S_ISDIR(st.st_mode) ? 0700 : 0600);
	}
	site_path(&site, STORE_INIT_NAME, path);
	ck_assert_int_ne(access(path, F_OK), 0);
	identity = *mbj_store_identity(site.store);
	ck_assert_int_eq(identity.role, MBJ_STORE_PRIMARY);
	ck_assert_uint_eq(identity.epoch.v, 1);
	ck_assert(mbj_id_equal(identity.epoch_owner, identity.instance));
	ck_assert(!mbj_store_recovery_get(site.store)->is_rebuilt);
	ck_assert_str_eq(mbj_store_dir(site.store), site.dir);
	ck_assert_uint_eq(mbj_store_end(site.store).lsn.v, 0);

	site_import(site.store, 1, 10);
	SITE_OK(site_rename(site.store, 1, "m2", "renamed", &lsn, err));
	ck_assert_uint_eq(lsn.v, 2);
	before = site_digest(site.store);
	site_reopen(&site);
	after = site_digest(site.store);
	ck_assert(mbj_digest_equal(&before, &after));
	ck_assert(!mbj_store_recovery_get(site.store)->is_rebuilt);
	ck_assert_uint_eq(mbj_store_end(site.store).lsn.v, 2);
	site_name(site.store, 1, 2, text);
	ck_assert_str_eq(text, "renamed");
	SITE_OK(mbj_identity_load(NULL, site.dir, &again, err));
	ck_assert(mbj_id_equal(again.lineage, identity.lineage));
	ck_assert(mbj_id_equal(again.instance, identity.instance));
	site_end(&site);
}
END_TEST

/*
 * Goal: init never harms what is there, and says what it found.  Method: a
 * store, a full directory, a journal whose superblock was lost.
 */
START_TEST(store_init_refuses)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_error error;
	struct site site;
	FILE *file;

	site_begin(&site);
	site_import(site.store, 1, 3);
	mbj_store_close(&site.store);
	SITE_FAILS(mbj_store_init(site.dir, MBJ_STORE_PRIMARY, NULL, err),
		   MBJ_EEXISTS, &error);
	ck_assert_ptr_nonnull(strstr(error.message, "is a store already"));

	site_path(&site, "mbj.store", path);
	ck_assert_int_eq(unlink(path), 0);
	SITE_FAILS(mbj_store_init(site.dir, MBJ_STORE_PRIMARY, NULL, err),
		   MBJ_EEXISTS, &error);
	ck_assert_ptr_nonnull(strstr(error.message, "not empty"));
	site_path(&site, "journal", path);
	ck_assert_int_ne(rmdir(path), 0);

	(void)snprintf(path, sizeof(path), "%s/other", site.tmp);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/other/precious", site.tmp);
	file = fopen(path, "w");
	fclose(file);
	(void)snprintf(path, sizeof(path), "%s/other", site.tmp);
	SITE_FAILS(mbj_store_init(path, MBJ_STORE_PRIMARY, NULL, err),
		   MBJ_EEXISTS, &error);
	(void)snprintf(path, sizeof(path), "%s/other/lock", site.tmp);
	ck_assert_int_ne(access(path, F_OK), 0);
	SITE_FAILS(mbj_store_init("", MBJ_STORE_PRIMARY, NULL, err),
		   MBJ_EINVALID, &error);
	SITE_FAILS(mbj_store_init("/nonexistent/deeper/still",
				  MBJ_STORE_PRIMARY, NULL, err),
		   MBJ_ENOTFOUND, &error);
	site_end(&site);
}
END_TEST

/*
 * Goal: an interrupted init can be repeated and leaves nothing that passes
 * for a store.  Method: fail every single call of init in turn, for good;
 * nothing opens; init again; it opens.
 */
START_TEST(store_init_interrupted)
{
	struct mbj_store_options options = site_options();
	struct site_sys sys;
	char *tmp = test_tmpdir_new();
	bool is_done = false;

	site_sys_init(&sys);
	for (long k = 1; !is_done; k++) {
		char dir[256];
		struct mbj_store *store = NULL;
		enum mbj_rc rc;

		ck_assert_int_lt(k, 500);
		(void)snprintf(dir, sizeof(dir), "%s/s%ld", tmp, k);
		options.sys = &sys.table;
		site_sys_arm(&sys, SITE_CALL_ALL, k, EIO, true);
		rc = mbj_store_init(dir, MBJ_STORE_PRIMARY, &options, NULL);
		is_done = atomic_load(&sys.count) < k;
		ck_assert_int_eq(rc == MBJ_OK, is_done);
		options.sys = NULL;
		if (!is_done) {
			char path[MBJ_PATH_TEXT_MAX];

			(void)snprintf(path, sizeof(path), "%s/mbj.store", dir);
			rc = mbj_store_init(dir, MBJ_STORE_PRIMARY, &options,
					    NULL);
			ck_assert(rc == MBJ_OK || (rc == MBJ_EEXISTS &&
						   access(path, F_OK) == 0));
		}
		SITE_OK(mbj_store_open(dir, &options, &store, err));
		ck_assert(!mbj_store_recovery_get(store)->is_rebuilt);
		site_import(store, 1, 3);
		mbj_store_close(&store);
	}
	test_tmpdir_free(&tmp);
}
END_TEST

/*
 * Goal: what is no store, or not safe to use, is refused by name.  Method:
 * nothing there, empty, writable for others, a link in place of a part, a
 * superblock of another program, of a newer one, and a damaged one.
 */
START_TEST(store_open_refuses)
{
	static const char *const parts[] = {"mbj.store", "lock", "journal",
					    "state", "."};
	uint8_t bytes[SUPERBLOCK_SIZE];
	char path[MBJ_PATH_TEXT_MAX];
	char moved[MBJ_PATH_TEXT_MAX];
	struct mbj_error error;
	struct site site;
	FILE *file;

	site_begin(&site);
	mbj_store_close(&site.store);
	SITE_FAILS(mbj_store_open("/nonexistent", NULL, &site.store, err),
		   MBJ_ENOTFOUND, &error);
	ck_assert_ptr_nonnull(strstr(error.message, "/nonexistent"));
	SITE_FAILS(mbj_store_open(site.tmp, NULL, &site.store, err),
		   MBJ_ENOTFOUND, &error);
	ck_assert_ptr_nonnull(strstr(error.message, site.tmp));
	ck_assert_ptr_nonnull(strstr(error.message, "not a store"));

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		struct stat st;

		site_path(&site, parts[i], path);
		ck_assert_int_eq(stat(path, &st), 0);
		ck_assert_int_eq(chmod(path, (st.st_mode & 0777) | 0020), 0);
		SITE_FAILS(mbj_store_open(site.dir, NULL, &site.store, err),
			   MBJ_EINVALID, &error);
		ck_assert_ptr_nonnull(strstr(error.message, "writable"));
		ck_assert_int_eq(chmod(path, st.st_mode & 0777), 0);
	}
	site_path(&site, "journal", path);
	site_path(&site, "elsewhere", moved);
	ck_assert_int_eq(rename(path, moved), 0);
	ck_assert_int_eq(symlink(moved, path), 0);
	SITE_FAILS(mbj_store_open(site.dir, NULL, &site.store, err),
		   MBJ_EINVALID, &error);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rename(moved, path), 0);

	site_path(&site, "mbj.store", path);
	file = fopen(path, "r+");
	ck_assert_uint_eq(fread(bytes, 1, sizeof(bytes), file), sizeof(bytes));
	bytes[40] ^= 1;
	rewind(file);
	(void)fwrite(bytes, 1, sizeof(bytes), file);
	fflush(file);
	SITE_FAILS(mbj_store_open(site.dir, NULL, &site.store, err),
		   MBJ_ECORRUPT, &error);
	ck_assert_str_eq(error.file, path);
	bytes[40] ^= 1;
	bytes[8] = 9;
	mbj_store_u32(bytes + 252, mbj_crc32c(0, mbj_bytes_make(bytes, 252)));
	rewind(file);
	(void)fwrite(bytes, 1, sizeof(bytes), file);
	fclose(file);
	SITE_FAILS(mbj_store_open(site.dir, NULL, &site.store, err),
		   MBJ_EUNSUPPORTED, &error);
	ck_assert_ptr_null(site.store);
	site_end(&site);
}
END_TEST

/*
 * Goal: one process owns a store, others are told which.  Method: a child
 * holds it; the parent asks, tries to open, and reads the journal meanwhile;
 * the child is killed, and the store is free.
 */
START_TEST(store_two_processes)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_error error;
	struct mbj_group group;
	char number[32];
	bool is_owned = true;
	long pid = -1;
	int ready[2];
	char byte;
	pid_t child;
	struct site site;

	site_begin(&site);
	site_import(site.store, 1, 3);
	mbj_store_close(&site.store);
	SITE_OK(mbj_store_is_owned(NULL, site.dir, &is_owned, &pid, err));
	ck_assert(!is_owned);
	ck_assert_int_eq(pid, 0);
	ck_assert_int_eq(pipe(ready), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		if (mbj_store_open(site.dir, &site.options, &site.store, NULL) <
		    0)
			_exit(1);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	SITE_OK(mbj_store_is_owned(NULL, site.dir, &is_owned, &pid, err));
	ck_assert(is_owned);
	ck_assert_int_eq(pid, child);
	SITE_FAILS(mbj_store_open(site.dir, NULL, &site.store, err), MBJ_EBUSY,
		   &error);
	(void)snprintf(number, sizeof(number), "process %ld", (long)child);
	ck_assert_ptr_nonnull(strstr(error.message, number));
	SITE_OK(mbj_store_log_reader(NULL, site.dir, &reader, err));
	SITE_OK(mbj_log_reader_seek(reader, (struct mbj_lsn){1}, err));
	SITE_OK(mbj_log_reader_next(reader, &group, err));
	ck_assert_uint_eq(group.header.lsn.v, 1);
	mbj_log_reader_close(&reader);

	ck_assert_int_eq(kill(child, SIGKILL), 0);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	SITE_OK(mbj_store_is_owned(NULL, site.dir, &is_owned, &pid, err));
	ck_assert(!is_owned);
	SITE_OK(mbj_store_open(site.dir, &site.options, &site.store, err));
	SITE_OK(mbj_store_is_owned(NULL, site.dir, &is_owned, &pid, err));
	ck_assert(is_owned);
	ck_assert_int_eq(pid, getpid());
	site_end(&site);
}
END_TEST

static struct {
	const char *dir;
	bool is_owned;
} second;

/* Another one asks while the first one has the answer. */
static int lock_twice(void *ctx, int fd, bool is_shared)
{
	int rc = mbj_sys_posix()->lock(ctx, fd, is_shared);
	long pid;

	SITE_OK(mbj_store_is_owned(NULL, second.dir, &second.is_owned, &pid,
				   err));
	return rc;
}

/*
 * Goal: who asks for the owner is not taken for one.  Method: two at once, of
 * a store that nobody owns.
 */
START_TEST(store_asked_twice)
{
	struct mbj_sys sys = *mbj_sys_posix();
	bool is_owned = true;
	long pid = -1;
	struct site site;

	sys.lock = lock_twice;
	site_begin(&site);
	mbj_store_close(&site.store);
	second.dir = site.dir;
	second.is_owned = true;
	SITE_OK(mbj_store_is_owned(&sys, site.dir, &is_owned, &pid, err));
	ck_assert(!is_owned);
	ck_assert(!second.is_owned);
	SITE_OK(mbj_store_open(site.dir, &site.options, &site.store, err));
	site_end(&site);
}
END_TEST

/*
 * Goal: a directory that cannot be written to is an error that names it.
 * Method: every open of the lock file says EROFS, as a read-only mount does.
 */
START_TEST(store_read_only)
{
	struct mbj_error error;
	struct site_sys sys;
	struct site site;

	site_begin(&site);
	mbj_store_close(&site.store);
	site_sys_init(&sys);
	site.options.sys = &sys.table;
	site_sys_arm(&sys, SITE_CALL_OPEN, 2, EROFS, true);
	SITE_FAILS(mbj_store_open(site.dir, &site.options, &site.store, err),
		   MBJ_EIO, &error);
	ck_assert_ptr_nonnull(strstr(error.message, "lock"));
	ck_assert_ptr_nonnull(strstr(error.message, strerror(EROFS)));
	site_end(&site);
}
END_TEST

/*
 * Goal: a replica takes one lineage, no edits, and epochs only upwards.
 * Method: a fresh replica meets a primary, the same one promoted again, its
 * rival and its past, and another store.
 */
START_TEST(store_adopts)
{
	struct mbj_store_options options = site_options();
	struct mbj_log_reader *reader = NULL;
	char dir[MBJ_PATH_TEXT_MAX];
	struct mbj_store *replica = NULL;
	struct mbj_batch *batch = NULL;
	struct mbj_watermark watermark;
	struct mbj_identity primary;
	struct mbj_identity other;
	struct mbj_error error;
	struct site site;

	site_begin(&site);
	primary = *mbj_store_identity(site.store);
	(void)snprintf(dir, sizeof(dir), "%s/replica", site.tmp);
	SITE_OK(mbj_store_init(dir, MBJ_STORE_REPLICA, &options, err));
	SITE_OK(mbj_store_open(dir, &options, &replica, err));
	ck_assert(mbj_id_is_root(mbj_store_identity(replica)->lineage));
	ck_assert_uint_eq(mbj_store_end(replica).lsn.v, 0);
	SITE_FAILS(site_rename(replica, 1, "a", "b", NULL, err), MBJ_EFENCED,
		   &error);
	ck_assert_str_eq(error.subject_kind, "account");
	ck_assert_int_eq(site_rename(replica, 1, "a", "b", NULL, NULL),
			 MBJ_EFENCED);
	SITE_FAILS(mbj_batch_begin(replica, &batch, err), MBJ_EFENCED, &error);
	SITE_FAILS(mbj_store_log_reader(NULL, dir, &reader, err), MBJ_ENOTFOUND,
		   &error);
	SITE_OK(mbj_store_applied(replica, &watermark, err));
	ck_assert_uint_eq(watermark.lsn.v, 0);
	SITE_FAILS(mbj_store_adopt(site.store, &primary, err), MBJ_EFENCED,
		   &error);
	SITE_FAILS(mbj_batch_begin(site.store, &batch, err), MBJ_EFENCED,
		   &error);

	other = primary;
	other.anchor.first.v = 7;
	SITE_FAILS(mbj_store_adopt(replica, &other, err), MBJ_EFENCED, &error);
	SITE_OK(mbj_store_adopt(replica, &primary, err));
	mbj_store_close(&replica);
	SITE_OK(mbj_store_open(dir, &options, &replica, err));
	ck_assert(!mbj_store_recovery_get(replica)->is_rebuilt);
	SITE_OK(mbj_store_adopt(replica, &primary, err));
	ck_assert(mbj_id_equal(mbj_store_identity(replica)->lineage,
			       primary.lineage));

	other = primary;
	other.lineage.b[0] ^= 1;
	SITE_FAILS(mbj_store_adopt(replica, &other, err), MBJ_EFENCED, &error);
	other = primary;
	other.epoch_owner.b[0] ^= 1;
	SITE_FAILS(mbj_store_adopt(replica, &other, err), MBJ_EFENCED, &error);
	other.epoch.v = 2;
	SITE_OK(mbj_store_adopt(replica, &other, err));
	SITE_FAILS(mbj_store_adopt(replica, &primary, err), MBJ_EFENCED,
		   &error);
	mbj_store_close(&replica);
	SITE_OK(mbj_identity_load(NULL, dir, &other, err));
	ck_assert_uint_eq(other.epoch.v, 2);
	site_end(&site);
}
END_TEST

/*
 * Goal: callers built against other headers are told so.  Method: sizes of
 * the option structures that are not ours.
 */
START_TEST(store_sizes)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_store *store = NULL;
	struct mbj_error error;
	struct site site;

	site_begin(&site);
	edit.size--;
	SITE_FAILS(mbj_store_submit(site.store, &edit, &outcome, err),
		   MBJ_EINVALID, &error);
	site.options.size++;
	SITE_FAILS(mbj_store_open(site.dir, &site.options, &store, err),
		   MBJ_EINVALID, &error);
	SITE_FAILS(mbj_store_init(site.dir, MBJ_STORE_PRIMARY, &site.options,
				  err),
		   MBJ_EINVALID, &error);
	site_end(&site);
}
END_TEST

TCase *test_store_case(void)
{
	TCase *tc = tcase_create("store");

	tcase_add_test(tc, store_life);
	tcase_add_test(tc, store_init_refuses);
	tcase_add_test(tc, store_init_interrupted);
	tcase_add_test(tc, store_open_refuses);
	tcase_add_test(tc, store_two_processes);
	tcase_add_test(tc, store_asked_twice);
	tcase_add_test(tc, store_read_only);
	tcase_add_test(tc, store_adopts);
	tcase_add_test(tc, store_sizes);
	return tc;
}
