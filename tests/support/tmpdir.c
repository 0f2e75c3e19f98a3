/*
 * Temporary directories of tests.
 */
#define _XOPEN_SOURCE 700 /* nftw(3) */

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "support.h"

enum { MEMORY_FREE_MIN_MIB = 1024 };

char *test_path_dup(const char *dir, const char *name)
{
	size_t n = strlen(dir) + 1 + strlen(name) + 1;
	char *path = malloc(n);

	ck_assert_ptr_nonnull(path);
	(void)snprintf(path, n, "%s/%s", dir, name);
	return path;
}

/*
 * In memory where there is room: these tests kill, fail and damage, but none
 * cuts the power of a real disk, and on a busy one they would wait for syncs
 * most of the time.
 */
static const char *tmpdir_base(void)
{
	const char *base = getenv("TMPDIR");
	struct statvfs fs;

	if (base != NULL && base[0] != '\0')
		return base;
	if (statvfs("/dev/shm", &fs) == 0 &&
	    fs.f_bavail / 1024 * fs.f_frsize / 1024 >= MEMORY_FREE_MIN_MIB)
		return "/dev/shm";
	return "/tmp";
}

char *test_tmpdir_new(void)
{
	const char *base = tmpdir_base();
	char *path;

	path = test_path_dup(base, "mbj-test-XXXXXX");
	ck_assert_msg(mkdtemp(path) != NULL, "cannot make %s", path);
	return path;
}

static int directory_open_up(const char *path, const struct stat *st, int type,
			     struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	/* A test may have taken its own rights away. */
	if (type == FTW_D || type == FTW_DNR)
		(void)chmod(path, 0700);
	return 0;
}

static int entry_remove(const char *path, const struct stat *st, int type,
			struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void test_tmpdir_free(char **path)
{
	int rc = 0;

	if (path == NULL || *path == NULL)
		return;
	if (getenv("MBJ_KEEP") != NULL) {
		printf("kept %s\n", *path);
	} else {
		(void)nftw(*path, directory_open_up, 16, FTW_PHYS);
		rc = nftw(*path, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
	}
	ck_assert_msg(rc == 0, "cannot remove %s", *path);
	free(*path);
	*path = NULL;
}
