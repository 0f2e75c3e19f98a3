/*
 * Signals in the middle of system calls: below the seam, where they end.
 *
 * The linker puts these functions in front of libc's (--wrap); each can be
 * told to be interrupted before it does anything, except close(2), which has
 * closed the descriptor by then.
 */
#define _DEFAULT_SOURCE /* flock(2), getrandom(2) */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include <mbj/sys.h>

#include "cases.h"

static struct {
	unsigned calls;	  /* so far */
	unsigned at;	  /* the one that is interrupted; 0: none */
	unsigned times;	  /* so often, one after the other */
	unsigned struck;  /* interruptions so far */
	unsigned closes;  /* calls of close(2) */
	bool is_watching; /* libcheck's calls are not meant */
} signals;

static bool signal_comes(void)
{
	if (!signals.is_watching)
		return false;
	signals.calls++;
	if (signals.at == 0 || signals.calls < signals.at ||
	    signals.struck == signals.times)
		return false;
	signals.struck++;
	errno = EINTR;
	return true;
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __real_close(int fd);
int __wrap_close(int fd);
ssize_t __real_pread64(int fd, void *p, size_t n, off_t at);
ssize_t __wrap_pread64(int fd, void *p, size_t n, off_t at);
ssize_t __real_pwrite64(int fd, const void *p, size_t n, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t at);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);
ssize_t __real_getrandom(void *p, size_t n, unsigned flags);
ssize_t __wrap_getrandom(void *p, size_t n, unsigned flags);

int __wrap_open64(const char *path, int flags, ...)
{
	unsigned mode = 0;
	va_list args;

	va_start(args, flags);
	if ((flags & O_CREAT) != 0)
		mode = va_arg(args, unsigned);
	va_end(args);
	return signal_comes() ? -1 : __real_open64(path, flags, mode);
}

int __wrap_close(int fd)
{
	int result = __real_close(fd);

	signals.closes++;
	return signal_comes() ? -1 : result;
}

ssize_t __wrap_pread64(int fd, void *p, size_t n, off_t at)
{
	return signal_comes() ? -1 : __real_pread64(fd, p, n, at);
}

ssize_t __wrap_pwrite64(int fd, const void *p, size_t n, off_t at)
{
	return signal_comes() ? -1 : __real_pwrite64(fd, p, n, at);
}

int __wrap_fdatasync(int fd)
{
	return signal_comes() ? -1 : __real_fdatasync(fd);
}

int __wrap_fsync(int fd)
{
	return signal_comes() ? -1 : __real_fsync(fd);
}

int __wrap_flock(int fd, int operation)
{
	return signal_comes() ? -1 : __real_flock(fd, operation);
}

ssize_t __wrap_getrandom(void *p, size_t n, unsigned flags)
{
	return signal_comes() ? -1 : __real_getrandom(p, n, flags);
}

/* Every call of the table that a signal can interrupt. */
static void everything_run(const char *path)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	uint8_t bytes[8] = {0};
	int fd;

	fd = sys->open(sys->ctx, path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(sys->lock(sys->ctx, fd, false), 0);
	ck_assert_int_eq(sys->pwrite(sys->ctx, fd, "abcdef", 6, 0), 6);
	ck_assert_int_eq(sys->fdatasync(sys->ctx, fd), 0);
	ck_assert_int_eq(sys->fsync(sys->ctx, fd), 0);
	ck_assert_int_eq(sys->pread(sys->ctx, fd, bytes, 8, 0), 6);
	ck_assert_mem_eq(bytes, "abcdef", 6);
	ck_assert_int_eq(sys->random(sys->ctx, bytes, 8), 0);
	ck_assert_int_eq(sys->close(sys->ctx, fd), 0);
}

/*
 * Goal: nobody above the seam hears of a signal, and no call is made twice
 * that did something.  Method: each call is interrupted, once and three times
 * over; all results are as ever, and a descriptor is closed once.
 */
START_TEST(signals_end_here)
{
	char *dir = test_tmpdir_new();
	char *path = test_path_dup(dir, "file");
	unsigned calls = 8;

	for (unsigned at = 0; at <= calls; at++) {
		/* A close that is begun again could close another's file. */
		unsigned times = at < calls && _i == 1 ? 3 : 1;

		signals.calls = 0;
		signals.at = at;
		signals.times = times;
		signals.struck = 0;
		signals.closes = 0;
		signals.is_watching = true;
		everything_run(path);
		signals.is_watching = false;
		ck_assert_uint_eq(signals.struck, at > 0 ? times : 0);
		ck_assert_uint_eq(signals.closes, 1);
		if (at == 0)
			ck_assert_uint_eq(signals.calls, calls);
	}
	free(path);
	test_tmpdir_free(&dir);
}
END_TEST

TCase *test_interrupt_case(void)
{
	TCase *tc = tcase_create("interrupt");

	tcase_add_loop_test(tc, signals_end_here, 0, 2);
	return tc;
}
