/*
 * A system table that fails where a test wants it to.
 */
#include <stdio.h>
#include <string.h>

#include "fault_sys.h"
#include "support.h"

enum { SHORT_IO = 3 };

/* Count the call; 0 to go on, or -errno. */
static int fault_step(struct fault_sys *fault, const char *name)
{
	size_t n = strlen(fault->trace);

	fault->calls++;
	(void)snprintf(fault->trace + n, sizeof(fault->trace) - n, "%s%s",
		       n == 0 ? "" : " ", name);
	if (fault->fail_at == 0 || fault->calls < fault->fail_at)
		return 0;
	if (fault->kind == FAULT_CRASH)
		return -fault->errnum;
	if (fault->kind == FAULT_ONCE && fault->calls == fault->fail_at)
		return -fault->errnum;
	return 0;
}

static int fault_open(void *ctx, const char *path, int flags, mode_t mode)
{
	int rc = fault_step(ctx, "open");

	return rc < 0 ? rc : mbj_sys_posix()->open(NULL, path, flags, mode);
}

/* A descriptor is never leaked, not even by a failing close. */
static int fault_close(void *ctx, int fd)
{
	int rc = fault_step(ctx, "close");

	(void)mbj_sys_posix()->close(NULL, fd);
	return rc;
}

static ssize_t fault_pread(void *ctx, int fd, void *p, size_t n, off_t at)
{
	struct fault_sys *fault = ctx;
	int rc = fault_step(fault, "pread");

	if (rc < 0)
		return rc;
	if (fault->kind == FAULT_SHORT && n > SHORT_IO)
		n = SHORT_IO;
	return mbj_sys_posix()->pread(NULL, fd, p, n, at);
}

static ssize_t fault_pwrite(void *ctx, int fd, const void *p, size_t n,
			    off_t at)
{
	struct fault_sys *fault = ctx;
	int rc = fault_step(fault, "pwrite");

	if (rc < 0) {
		/* Half of it gets there, as on a full disk. */
		(void)mbj_sys_posix()->pwrite(NULL, fd, p, n / 2, at);
		return rc;
	}
	if (fault->kind == FAULT_STUCK)
		return 0;
	if (fault->kind == FAULT_SHORT && n > SHORT_IO)
		n = SHORT_IO;
	return mbj_sys_posix()->pwrite(NULL, fd, p, n, at);
}

static int fault_fdatasync(void *ctx, int fd)
{
	int rc = fault_step(ctx, "fdatasync");

	return rc < 0 ? rc : mbj_sys_posix()->fdatasync(NULL, fd);
}

static int fault_fsync(void *ctx, int fd)
{
	int rc = fault_step(ctx, "fsync");

	return rc < 0 ? rc : mbj_sys_posix()->fsync(NULL, fd);
}

static int fault_syncfs(void *ctx, int fd)
{
	int rc = fault_step(ctx, "syncfs");

	return rc < 0 ? rc : mbj_sys_posix()->syncfs(NULL, fd);
}

static int64_t fault_size(void *ctx, int fd)
{
	int rc = fault_step(ctx, "size");

	return rc < 0 ? rc : mbj_sys_posix()->size(NULL, fd);
}

static int fault_lock(void *ctx, int fd, bool is_shared)
{
	int rc = fault_step(ctx, "lock");

	return rc < 0 ? rc : mbj_sys_posix()->lock(NULL, fd, is_shared);
}

static int fault_rename(void *ctx, const char *from, const char *to)
{
	int rc = fault_step(ctx, "rename");

	return rc < 0 ? rc : mbj_sys_posix()->rename(NULL, from, to);
}

static int fault_link(void *ctx, const char *from, const char *to)
{
	int rc = fault_step(ctx, "link");

	return rc < 0 ? rc : mbj_sys_posix()->link(NULL, from, to);
}

static int fault_unlink(void *ctx, const char *path)
{
	int rc = fault_step(ctx, "unlink");

	return rc < 0 ? rc : mbj_sys_posix()->unlink(NULL, path);
}

static int fault_mkdir(void *ctx, const char *path, mode_t mode)
{
	int rc = fault_step(ctx, "mkdir");

	return rc < 0 ? rc : mbj_sys_posix()->mkdir(NULL, path, mode);
}

static int fault_rmdir(void *ctx, const char *path)
{
	int rc = fault_step(ctx, "rmdir");

	return rc < 0 ? rc : mbj_sys_posix()->rmdir(NULL, path);
}

static int fault_list(void *ctx, const char *path, struct mbj_buf *names)
{
	int rc = fault_step(ctx, "list");

	return rc < 0 ? rc : mbj_sys_posix()->list(NULL, path, names);
}

static int fault_stat(void *ctx, const char *path, mode_t *mode, uid_t *uid)
{
	int rc = fault_step(ctx, "stat");

	return rc < 0 ? rc : mbj_sys_posix()->stat(NULL, path, mode, uid);
}

static int64_t fault_now_us(void *ctx)
{
	(void)ctx;
	return 1;
}

static int fault_random(void *ctx, void *p, size_t n)
{
	struct fault_sys *fault = ctx;
	int rc = fault_step(fault, "random");

	if (rc < 0)
		return rc;
	if (fault->random_byte == 1)
		return mbj_sys_posix()->random(NULL, p, n);
	memset(p, fault->random_byte, n);
	return 0;
}

void fault_sys_init(struct fault_sys *fault, enum fault_kind kind, int fail_at,
		    int errnum)
{
	*fault = (struct fault_sys){
		.kind = kind,
		.fail_at = fail_at,
		.errnum = errnum,
		.random_byte = 1,
	};
	fault->table = (struct mbj_sys){
		.ctx = fault,
		.open = fault_open,
		.close = fault_close,
		.pread = fault_pread,
		.pwrite = fault_pwrite,
		.fdatasync = fault_fdatasync,
		.fsync = fault_fsync,
		.syncfs = fault_syncfs,
		.size = fault_size,
		.lock = fault_lock,
		.rename = fault_rename,
		.link = fault_link,
		.unlink = fault_unlink,
		.mkdir = fault_mkdir,
		.rmdir = fault_rmdir,
		.list = fault_list,
		.stat = fault_stat,
		.now_us = fault_now_us,
		.random = fault_random,
	};
}
