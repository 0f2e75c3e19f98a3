/*
 * A backup on a disk that does not keep what it took, or keeps it only once it
 * was told to.
 */
#define _GNU_SOURCE /* memmem */

#include <stdio.h>
#include <string.h>

#include <mbj/backup.h>
#include <mbj/blob.h>

#include "skip_lab.h"

enum { FDS = 256 };

/* The real one, but for what a test asks of it. */
struct odd_disk {
	struct mbj_sys sys;
	const char *bent;     /* where this is written something else is */
	unsigned bends;	      /* how often it was */
	char of_fd[FDS][256]; /* directories' paths */
	char changed[256];    /* a folder of contents, not synced since */
	unsigned changes;
	bool was_marked; /* with a folder that was changed */
};

static int odd_open(void *ctx, const char *path, int flags, mode_t mode)
{
	struct odd_disk *disk = ctx;
	int fd = mbj_sys_posix()->open(NULL, path, flags, mode);

	ck_assert_int_lt(fd, FDS);
	if (fd >= 0)
		(void)snprintf(disk->of_fd[fd], sizeof(disk->of_fd[fd]), "%s",
			       path);
	return fd;
}

static ssize_t odd_pwrite(void *ctx, int fd, const void *p, size_t n, off_t at)
{
	struct odd_disk *disk = ctx;
	uint8_t *found = NULL;
	uint8_t *bytes;
	ssize_t done;

	if (disk->bent == NULL)
		return mbj_sys_posix()->pwrite(NULL, fd, p, n, at);
	bytes = mbj_alloc(n);
	ck_assert_ptr_nonnull(bytes);
	memcpy(bytes, p, n);
	if (strstr(disk->of_fd[fd], "/journal/") != NULL)
		found = memmem(bytes, n, disk->bent, strlen(disk->bent));
	if (found != NULL)
		*found ^= 1;
	disk->bends += found != NULL;
	done = mbj_sys_posix()->pwrite(NULL, fd, bytes, n, at);
	mbj_free(bytes);
	return done;
}

/* A content got its name; or the mark did. */
static int odd_rename(void *ctx, const char *from, const char *to)
{
	struct odd_disk *disk = ctx;
	const char *end = strrchr(to, '/');

	if (strstr(to, "/blobs/") != NULL) {
		(void)snprintf(disk->changed, sizeof(disk->changed), "%.*s",
			       (int)(end - to), to);
		disk->changes++;
	}
	if (strcmp(end, "/mbj.backup") == 0)
		disk->was_marked |= disk->changed[0] != '\0';
	return mbj_sys_posix()->rename(NULL, from, to);
}

static int odd_fsync(void *ctx, int fd)
{
	struct odd_disk *disk = ctx;

	if (strcmp(disk->of_fd[fd], disk->changed) == 0)
		disk->changed[0] = '\0';
	return mbj_sys_posix()->fsync(NULL, fd);
}

/* The real one ignores its context. */
static void odd_init(struct odd_disk *disk, struct mbj_store_options *store)
{
	memset(disk, 0, sizeof(*disk));
	disk->sys = *mbj_sys_posix();
	disk->sys.ctx = disk;
	disk->sys.open = odd_open;
	disk->sys.pwrite = odd_pwrite;
	disk->sys.rename = odd_rename;
	disk->sys.fsync = odd_fsync;
	*store = MBJ_STORE_OPTIONS_INIT;
	store->sys = &disk->sys;
}

/*
 * Goal: a backup is one once its journal was read back: groups whose bodies the
 * disk bent make none.  Method: a disk that bends one as it is written; then
 * one that does not.
 */
START_TEST(backup_bent)
{
	struct mbj_backup_options options = MBJ_BACKUP_OPTIONS_INIT;
	struct mbj_backup_result result;
	struct mbj_store_options store;
	struct mbj_backup_mark mark;
	static struct odd_disk disk;
	char dir[MBJ_PATH_TEXT_MAX];
	struct mbj_error why;
	struct fixture f;

	fixture_begin_two(&f);
	fixture_rename(&f, "alice", "m2", "renamed to be bent");
	fixture_rename(&f, "bob", "m2", "x");
	odd_init(&disk, &store);
	options.store = &store;
	disk.bent = "renamed to be bent";
	OK(mbj_path_join(dir, f.tmpdir, "b", err));
	ck_assert_int_eq(mbj_backup(f.primary_dir, dir, &options, &result,
				    &why),
			 MBJ_ECORRUPT);
	ck_assert_uint_eq(disk.bends, 1);
	ck_assert_uint_eq(why.lsn, 3);
	OK(mbj_backup_mark_load(mbj_sys_posix(), dir, &mark, err));
	ck_assert(!mbj_backup_is_whole(&mark));
	disk.bent = NULL;
	OK(mbj_path_join(dir, f.tmpdir, "b2", err));
	OK(mbj_backup(f.primary_dir, dir, &options, &result, err));
	OK(mbj_backup_mark_load(mbj_sys_posix(), dir, &mark, err));
	ck_assert(mbj_backup_is_whole(&mark));
	fixture_end(&f);
}
END_TEST

/*
 * Goal: what a backup mends is on disk before its mark says so.  Method: a
 * content of it damaged; the next one reads all of them, and each folder that
 * a content came into is looked at when the mark is written.
 */
START_TEST(backup_mended)
{
	struct mbj_backup_options options = MBJ_BACKUP_OPTIONS_INIT;
	struct mbj_backup_result result;
	struct mbj_store_options store;
	struct mbj_hash hash;
	struct mbj_blobs *blobs = NULL;
	static struct odd_disk disk;
	char dir[MBJ_PATH_TEXT_MAX], path[MBJ_PATH_TEXT_MAX];
	char text[MBJ_BLOB_TEXT_SIZE], name[MBJ_BLOB_TEXT_SIZE + 16];
	struct fixture f;
	FILE *file;

	fixture_begin_two(&f);
	skip_append(&f, "alice", "to be mended\n");
	odd_init(&disk, &store);
	options.store = &store;
	OK(mbj_path_join(dir, f.tmpdir, "b", err));
	OK(mbj_backup(f.primary_dir, dir, &options, &result, err));
	ck_assert_uint_gt(disk.changes, 0);
	ck_assert(!disk.was_marked);
	OK(mbj_store_blobs(f.primary, &blobs, err));
	OK(mbj_blob_put(blobs, mbj_bytes_str("to be mended\n"), &hash, err));
	mbj_blob_print(&hash, text);
	(void)snprintf(name, sizeof(name), "blobs/%.2s/%s", text, text + 2);
	OK(mbj_path_join(path, dir, name, err));
	file = fopen(path, "r+b");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fputc('x', file), 'x');
	ck_assert_int_eq(fclose(file), 0);
	options.is_deep = true;
	disk.changes = 0;
	OK(mbj_backup(f.primary_dir, dir, &options, &result, err));
	ck_assert_uint_eq(result.mended, 1);
	ck_assert_uint_eq(disk.changes, 1);
	ck_assert(!disk.was_marked);
	fixture_end(&f);
}
END_TEST

TCase *test_backup_disk_case(void)
{
	TCase *tcase = tcase_create("backup_disk");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, backup_bent);
	tcase_add_test(tcase, backup_mended);
	return tcase;
}
