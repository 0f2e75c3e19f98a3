/*
 * The library's own system table over the disk in memory, with a clock and a
 * randomness that are the same in each run.
 */
#define _DEFAULT_SOURCE /* S_IFDIR */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk_impl.h"

static const int64_t CLOCK_FIRST_US = 1700000000000000;
static const int64_t CLOCK_SEED_US = 3600000000;

static int sys_open(void *ctx, const char *path, int flags, mode_t mode)
{
	(void)mode;
	return disk_do_open(ctx, path, flags);
}

static int sys_close(void *ctx, int fd)
{
	return disk_do_close(ctx, fd);
}

static ssize_t sys_pread(void *ctx, int fd, void *p, size_t n, off_t at)
{
	return disk_do_read(ctx, fd, p, n, (size_t)at);
}

static ssize_t sys_pwrite(void *ctx, int fd, const void *p, size_t n, off_t at)
{
	return disk_do_write(ctx, fd, p, n, (size_t)at);
}

static int sys_sync(void *ctx, int fd)
{
	return disk_do_sync(ctx, fd);
}

static int sys_syncfs(void *ctx, int fd)
{
	return disk_do_syncfs(ctx, fd);
}

static int64_t sys_size(void *ctx, int fd)
{
	return disk_do_size(ctx, fd);
}

/* Here nobody shares it. */
static int sys_lock(void *ctx, int fd, bool is_shared)
{
	(void)is_shared;
	return disk_do_lock(ctx, fd);
}

static int sys_rename(void *ctx, const char *from, const char *to)
{
	return disk_do_rename(ctx, from, to);
}

static int sys_link(void *ctx, const char *from, const char *to)
{
	return disk_do_link(ctx, from, to);
}

static int sys_unlink(void *ctx, const char *path)
{
	return disk_do_unlink(ctx, path, false);
}

static int sys_mkdir(void *ctx, const char *path, mode_t mode)
{
	(void)mode;
	return disk_do_mkdir(ctx, path);
}

static int sys_rmdir(void *ctx, const char *path)
{
	return disk_do_unlink(ctx, path, true);
}

static int sys_list(void *ctx, const char *path, struct mbj_buf *names)
{
	int result;
	const struct inode *inode = disk_do_look(ctx, path, &result);

	if (inode == NULL)
		return result;
	for (size_t i = 0; i < inode->now.count; i++)
		mbj_buf_put(names, inode->now.p[i].name,
			    strlen(inode->now.p[i].name) + 1);
	return 0;
}

static int sys_stat(void *ctx, const char *path, mode_t *mode, uid_t *uid)
{
	int result;
	const struct inode *inode = disk_do_look(ctx, path, &result);

	if (inode == NULL)
		return result;
	*mode = inode->is_directory ? S_IFDIR | 0700 : S_IFREG | 0600;
	*uid = geteuid();
	return 0;
}

static int64_t sys_now_us(void *ctx)
{
	struct disk *disk = ctx;

	return disk->clock_us += 1000;
}

static int sys_random(void *ctx, void *p, size_t n)
{
	struct disk *disk = ctx;

	test_rng_fill(&disk->rng, p, n);
	return 0;
}

void disk_begin(struct disk *disk, uint64_t seed)
{
	test_rng_init(&disk->rng, seed);
	disk->clock_us = CLOCK_FIRST_US + (int64_t)seed * CLOCK_SEED_US;
}

struct disk *disk_new(const char *root, uint64_t seed)
{
	struct disk *disk = calloc(1, sizeof(*disk));

	DISK_CHECK(disk != NULL);
	test_rng_init(&disk->rng, seed);
	disk->clock_us = CLOCK_FIRST_US;
	DISK_CHECK(strlen(root) < sizeof(disk->root));
	memcpy(disk->root, root, strlen(root) + 1);
	disk->inodes[ROOT_INODE].is_used = true;
	disk->inodes[ROOT_INODE].is_directory = true;
	disk->sys = (struct mbj_sys){
		.ctx = disk,
		.open = sys_open,
		.close = sys_close,
		.pread = sys_pread,
		.pwrite = sys_pwrite,
		.fdatasync = sys_sync,
		.fsync = sys_sync,
		.syncfs = sys_syncfs,
		.size = sys_size,
		.lock = sys_lock,
		.rename = sys_rename,
		.link = sys_link,
		.unlink = sys_unlink,
		.mkdir = sys_mkdir,
		.rmdir = sys_rmdir,
		.list = sys_list,
		.stat = sys_stat,
		.now_us = sys_now_us,
		.random = sys_random,
	};
	return disk;
}

const struct mbj_sys *disk_sys(struct disk *disk)
{
	return &disk->sys;
}
