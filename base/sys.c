/*
 * The system table of production: POSIX calls, results as -errno.
 *
 * It is not where errors get words (sys_file.c), and it decides nothing.
 *
 * Invariants:
 *  1. errno does not leave this file.
 *  2. -EINTR does not leave this file: interrupted calls are begun again,
 *     except close(2), after which the descriptor is gone on Linux.
 *  3. Every descriptor is close-on-exec (mbj_file_open adds the flag).
 *
 * Threads: stateless.
 */
#define _GNU_SOURCE /* flock, getrandom, sync_file_range, syncfs(2) */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <mbj/check.h>
#include <mbj/sys.h>

_Static_assert(sizeof(off_t) == 8, "segments may pass two gigabytes");

/* A result of a system call that is to be made again. */
static bool was_interrupted(intmax_t result)
{
	return result < 0 && errno == EINTR;
}

static int result_of(int result)
{
	return result < 0 ? -errno : result;
}

static int posix_open(void *ctx, const char *path, int flags, mode_t mode)
{
	int fd;

	(void)ctx;
	do
		fd = open(path, flags, mode);
	while (was_interrupted(fd));
	return result_of(fd);
}

static int posix_close(void *ctx, int fd)
{
	(void)ctx;
	if (close(fd) == 0 || errno == EINTR)
		return 0;
	return -errno;
}

static ssize_t posix_pread(void *ctx, int fd, void *p, size_t n, off_t at)
{
	ssize_t done;

	(void)ctx;
	do
		done = pread(fd, p, n, at);
	while (was_interrupted(done));
	return done < 0 ? -errno : done;
}

static ssize_t posix_pwrite(void *ctx, int fd, const void *p, size_t n,
			    off_t at)
{
	ssize_t done;

	(void)ctx;
	do
		done = pwrite(fd, p, n, at);
	while (was_interrupted(done));
	return done < 0 ? -errno : done;
}

static int posix_fdatasync(void *ctx, int fd)
{
	int rc;

	(void)ctx;
	do
		rc = fdatasync(fd);
	while (was_interrupted(rc));
	return result_of(rc);
}

static int posix_fsync(void *ctx, int fd)
{
	int rc;

	(void)ctx;
	do
		rc = fsync(fd);
	while (was_interrupted(rc));
	return result_of(rc);
}

static int posix_syncfs(void *ctx, int fd)
{
	int rc;

	(void)ctx;
	do
		rc = syncfs(fd);
	while (was_interrupted(rc));
	return result_of(rc);
}

static int posix_write_begin(void *ctx, int fd)
{
	(void)ctx;
	return result_of(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
}

static int64_t posix_size(void *ctx, int fd)
{
	struct stat st;

	(void)ctx;
	return fstat(fd, &st) < 0 ? -errno : (int64_t)st.st_size;
}

static int posix_lock(void *ctx, int fd, bool is_shared)
{
	int rc;

	(void)ctx;
	do
		rc = flock(fd, (is_shared ? LOCK_SH : LOCK_EX) | LOCK_NB);
	while (was_interrupted(rc));
	return result_of(rc);
}

static int posix_rename(void *ctx, const char *from, const char *to)
{
	(void)ctx;
	return result_of(rename(from, to));
}

static int posix_link(void *ctx, const char *from, const char *to)
{
	(void)ctx;
	return result_of(link(from, to));
}

static int posix_unlink(void *ctx, const char *path)
{
	(void)ctx;
	return result_of(unlink(path));
}

static int posix_mkdir(void *ctx, const char *path, mode_t mode)
{
	(void)ctx;
	return result_of(mkdir(path, mode));
}

static int posix_rmdir(void *ctx, const char *path)
{
	(void)ctx;
	return result_of(rmdir(path));
}

/* A full buffer ends the listing; its owner asks mbj_buf_ok(). */
static int names_read(DIR *dir, struct mbj_buf *names)
{
	while (names->failed == MBJ_OK) {
		const struct dirent *entry;

		errno = 0;
		entry = readdir(dir);
		if (entry == NULL)
			return -errno;
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		mbj_buf_put(names, entry->d_name, strlen(entry->d_name) + 1);
	}
	return 0;
}

static int posix_list(void *ctx, const char *path, struct mbj_buf *names)
{
	DIR *dir;
	int rc;

	(void)ctx;
	dir = opendir(path);
	if (dir == NULL)
		return -errno;
	rc = names_read(dir, names);
	(void)closedir(dir);
	return rc;
}

static int posix_stat(void *ctx, const char *path, mode_t *mode, uid_t *uid)
{
	struct stat st;

	(void)ctx;
	if (lstat(path, &st) < 0)
		return -errno;
	*mode = st.st_mode;
	*uid = st.st_uid;
	return 0;
}

static int posix_mtime(void *ctx, int fd, int64_t *ret_time)
{
	struct stat st;

	(void)ctx;
	if (fstat(fd, &st) < 0)
		return -errno;
	*ret_time = st.st_mtim.tv_sec;
	return 0;
}

static int posix_set_mtime(void *ctx, int fd, int64_t time)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time}};

	(void)ctx;
	return result_of(futimens(fd, times));
}

int64_t mbj_monotonic_ms(void)
{
	struct timespec now;
	int rc = clock_gettime(CLOCK_MONOTONIC, &now);

	MBJ_ASSERT(rc == 0);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t posix_space(void *ctx, const char *path)
{
	struct statvfs vfs;

	(void)ctx;
	if (statvfs(path, &vfs) < 0)
		return -errno;
	if (vfs.f_frsize == 0 || vfs.f_bavail > INT64_MAX / vfs.f_frsize)
		return INT64_MAX;
	return (int64_t)(vfs.f_bavail * vfs.f_frsize);
}

static int64_t posix_now_us(void *ctx)
{
	struct timespec now;
	int rc;

	(void)ctx;
	rc = clock_gettime(CLOCK_REALTIME, &now);
	MBJ_ASSERT(rc == 0);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int posix_random(void *ctx, void *p, size_t n)
{
	size_t at = 0;

	(void)ctx;
	while (at < n) {
		ssize_t got = getrandom((uint8_t *)p + at, n - at, 0);

		if (was_interrupted(got))
			continue;
		if (got < 0)
			return -errno;
		at += (size_t)got;
	}
	return 0;
}

const struct mbj_sys *mbj_sys_posix(void)
{
	static const struct mbj_sys posix = {
		.open = posix_open,
		.close = posix_close,
		.pread = posix_pread,
		.pwrite = posix_pwrite,
		.fdatasync = posix_fdatasync,
		.fsync = posix_fsync,
		.syncfs = posix_syncfs,
		.write_begin = posix_write_begin,
		.size = posix_size,
		.lock = posix_lock,
		.rename = posix_rename,
		.link = posix_link,
		.unlink = posix_unlink,
		.mkdir = posix_mkdir,
		.rmdir = posix_rmdir,
		.list = posix_list,
		.stat = posix_stat,
		.mtime = posix_mtime,
		.set_mtime = posix_set_mtime,
		.now_us = posix_now_us,
		.random = posix_random,
		.space = posix_space,
	};

	return &posix;
}
