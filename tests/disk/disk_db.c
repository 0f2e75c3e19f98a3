/*
 * Berkeley DB's calls over the disk in memory, and its allocations.
 *
 * The conventions of db_env_set_func_* (5.3.28): open returns -1 and errno;
 * every other call returns 0 or an errno value; pread that is short or fails is
 * repeated as seek and read(2), and what replaces read(2) may not be short at
 * the end of a file.  So each descriptor that Berkeley DB gets is a real one,
 * of an empty file that nobody else has, and the process's read(2) is ours.
 *
 * The hooks are the process's, hence the state of this file.
 */
#define _GNU_SOURCE /* memfd_create(2), syscall(2) */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <db.h>

#include "disk_impl.h"

enum { SCRATCH_MAX = 1024 };

static struct {
	bool is_installed;
	struct disk *disk;
	int scratch[OPEN_MAX]; /* real descriptor of a slot, 0: none */
	int slot[SCRATCH_MAX]; /* slot + 1 of a real descriptor */
	uint64_t allocs;
	uint64_t alloc_fail_at;
	bool is_alloc_for_good;
	int64_t blocks;
	uint64_t calls; /* that a signal can interrupt */
	uint64_t interrupt_at;
	bool is_struck; /* in a call that it does not begin again */
} hooks;

/* ----------------------------------------------------------- descriptors */

static int scratch_of(int slot)
{
	if (hooks.scratch[slot] == 0) {
		int fd = memfd_create("disk", MFD_CLOEXEC);

		DISK_CHECK(fd > 0 && fd < SCRATCH_MAX);
		hooks.scratch[slot] = fd;
		hooks.slot[fd] = slot + 1;
	}
	return hooks.scratch[slot];
}

static int slot_of(int fd)
{
	DISK_CHECK(fd > 0 && fd < SCRATCH_MAX && hooks.slot[fd] != 0);
	return hooks.slot[fd] - 1;
}

/* A file that stat(2) finds, for Berkeley DB's identity of a new one. */
static void placeholder_make(const char *path)
{
	char directory[MBJ_PATH_TEXT_MAX];
	size_t n = strlen(path);
	int fd;

	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0 && errno == ENOENT) {
		memcpy(directory, path, n + 1);
		for (size_t i = 1; i < n; i++) {
			if (path[i] != '/')
				continue;
			directory[i] = '\0';
			(void)mkdir(directory, 0700);
			directory[i] = '/';
		}
		fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	}
	if (!(fd >= 0))
		ck_abort_msg("%s: %s", path, strerror(errno));
	(void)close(fd);
}

/* A signal comes before the call has done anything. */
static bool signal_comes(void)
{
	bool is_struck = ++hooks.calls == hooks.interrupt_at;

	hooks.is_struck |= is_struck;
	return is_struck;
}

static int hook_open(const char *path, int flags, ...)
{
	int slot;

	if (hooks.disk == NULL) {
		errno = EIO;
		return -1;
	}
	if (signal_comes()) {
		errno = EINTR;
		return -1;
	}
	slot = disk_do_open(hooks.disk, path, flags);
	if (slot < 0) {
		errno = -slot;
		return -1;
	}
	if ((flags & O_CREAT) != 0 && strstr(path, "/log.") == NULL)
		placeholder_make(path);
	(void)scratch_of(slot);
	hooks.disk->position[slot] = 0;
	hooks.disk->read_error[slot] = 0;
	return hooks.scratch[slot];
}

/* Berkeley DB wants errno values, and looks at errno as well. */
static int result_of(int64_t result)
{
	errno = result < 0 ? (int)-result : 0;
	return errno;
}

static int hook_close(int fd)
{
	return result_of(disk_do_close(hooks.disk, slot_of(fd)));
}

static ssize_t hook_pread(int fd, void *p, size_t n, off_t at)
{
	int slot = slot_of(fd);
	ssize_t got = -EINTR;

	if (signal_comes())
		hooks.is_struck = false; /* it reads again, another way */
	else
		got = disk_do_read(hooks.disk, slot, p, n, (size_t)at);
	hooks.disk->read_error[slot] = got < 0 ? (int)-got : 0;
	return got < 0 ? -1 : got;
}

static int hook_seek(int fd, off_t at, int whence)
{
	int slot = slot_of(fd);
	int error = hooks.disk->read_error[slot];

	DISK_CHECK(whence == SEEK_SET);
	hooks.disk->read_error[slot] = 0;
	/* What was interrupted is read again, by read(2). */
	if (error != 0 && error != EINTR)
		return result_of(-error);
	hooks.disk->position[slot] = at;
	return result_of(0);
}

/* False where the descriptor is not one of Berkeley DB's. */
static bool slot_read(int fd, void *p, size_t n, ssize_t *ret_got)
{
	const struct image *image;
	size_t at;
	int slot;

	if (hooks.disk == NULL || fd <= 0 || fd >= SCRATCH_MAX ||
	    hooks.slot[fd] == 0)
		return false;
	slot = hooks.slot[fd] - 1;
	if (hooks.disk->open[slot] == 0)
		return false;
	image = &hooks.disk->inodes[hooks.disk->open[slot] - 1].cache;
	at = (size_t)hooks.disk->position[slot];
	if (at >= image->n)
		n = 0;
	else if (n > image->n - at)
		n = image->n - at;
	image_read(image, at, p, n);
	hooks.disk->position[slot] += (off_t)n;
	*ret_got = (ssize_t)n;
	return true;
}

static ssize_t hook_write(int fd, const void *p, size_t n)
{
	int slot = slot_of(fd);
	ssize_t put = -EINTR;

	if (!signal_comes())
		put = disk_do_write(hooks.disk, slot, p, n,
				    (size_t)hooks.disk->position[slot]);
	if (put > 0)
		hooks.disk->position[slot] += put;
	/* A short one is how a full disk shows first. */
	errno = put < 0 ? (int)-put : (size_t)put < n ? ENOSPC : 0;
	return put < 0 ? -1 : put;
}

static int hook_fsync(int fd)
{
	if (signal_comes())
		return result_of(-EINTR);
	return result_of(disk_do_sync(hooks.disk, slot_of(fd)));
}

static int hook_ftruncate(int fd, off_t n)
{
	if (signal_comes())
		return result_of(-EINTR);
	return result_of(disk_do_truncate(hooks.disk, slot_of(fd), (size_t)n));
}

static int hook_ioinfo(const char *path, int fd, u_int32_t *megabytes,
		       u_int32_t *bytes, u_int32_t *io_size)
{
	int64_t size = disk_do_size(hooks.disk, slot_of(fd));

	(void)path;
	if (size < 0)
		return result_of(size);
	if (megabytes != NULL)
		*megabytes = (u_int32_t)(size >> 20);
	if (bytes != NULL)
		*bytes = (u_int32_t)(size & ((1 << 20) - 1));
	if (io_size != NULL)
		*io_size = BLOCK_SIZE;
	return result_of(0);
}

/* --------------------------------------------------------------- names */

static int hook_exists(const char *path, int *is_directory)
{
	const struct inode *inode;
	int result = -EIO;

	if (hooks.disk == NULL)
		return result_of(result);
	inode = disk_do_look(hooks.disk, path, &result);
	if (inode == NULL)
		return result_of(result);
	if (is_directory != NULL)
		*is_directory = inode->is_directory;
	return result_of(0);
}

static int hook_rename(const char *from, const char *to)
{
	/* The identity of the file was asked when it was made. */
	(void)unlink(from);
	return result_of(disk_do_rename(hooks.disk, from, to));
}

static int hook_unlink(const char *path)
{
	return result_of(disk_do_unlink(hooks.disk, path, false));
}

static int hook_dirlist(const char *path, char ***ret_names, int *ret_count)
{
	int result;
	const struct inode *inode = disk_do_look(hooks.disk, path, &result);
	char **names;
	int count = 0;

	if (inode == NULL)
		return result_of(result);
	names = calloc(inode->now.count + 1, sizeof(*names));
	DISK_CHECK(names != NULL);
	for (size_t i = 0; i < inode->now.count; i++) {
		const struct entry *entry = &inode->now.p[i];

		if (hooks.disk->inodes[entry->inode].is_directory)
			continue;
		names[count] = strdup(entry->name);
		DISK_CHECK(names[count++] != NULL);
	}
	*ret_names = names;
	*ret_count = count;
	return result_of(0);
}

static void hook_dirfree(char **names, int count)
{
	for (int i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

static int hook_yield(u_long seconds, u_long microseconds)
{
	(void)seconds;
	(void)microseconds;
	return 0;
}

/* -------------------------------------------------------------- memory */

static bool alloc_fails(void)
{
	hooks.allocs++;
	if (hooks.alloc_fail_at == 0 || hooks.allocs < hooks.alloc_fail_at)
		return false;
	return hooks.allocs == hooks.alloc_fail_at || hooks.is_alloc_for_good;
}

static void *hook_malloc(size_t n)
{
	void *p = NULL;

	if (!alloc_fails())
		p = malloc(n);
	if (p == NULL)
		errno = ENOMEM;
	else
		hooks.blocks++;
	return p;
}

static void *hook_realloc(void *old, size_t n)
{
	void *p = NULL;

	if (!alloc_fails())
		p = realloc(old, n);
	if (p == NULL)
		errno = ENOMEM;
	else if (old == NULL)
		hooks.blocks++;
	return p;
}

static void hook_free(void *p)
{
	if (p != NULL)
		hooks.blocks--;
	free(p);
}

void disk_db_alloc_fail(uint64_t at, bool is_for_good)
{
	hooks.allocs = 0;
	hooks.alloc_fail_at = at;
	hooks.is_alloc_for_good = is_for_good;
}

uint64_t disk_db_allocs(void)
{
	return hooks.allocs;
}

int64_t disk_db_blocks(void)
{
	return hooks.blocks;
}

void disk_db_interrupt(uint64_t at)
{
	hooks.calls = 0;
	hooks.interrupt_at = at;
	if (at > 0)
		hooks.is_struck = false;
}

uint64_t disk_db_calls(void)
{
	return hooks.calls;
}

bool disk_db_is_struck(void)
{
	return hooks.is_struck;
}

/* ---------------------------------------------- in front of the C library */

/*
 * read(2) finds what is on the disk in memory, and time(2), which Berkeley DB
 * writes into its log, is the disk's, so that the same calls leave the same
 * bytes.  Anybody else's go where they went.
 */
#define DISK_PUBLIC __attribute__((visibility("default")))

DISK_PUBLIC ssize_t read(int fd, void *p, size_t n);
DISK_PUBLIC time_t time(time_t *ret_now);

ssize_t read(int fd, void *p, size_t n)
{
	ssize_t got;

	if (slot_read(fd, p, n, &got))
		return got;
	return (ssize_t)syscall(SYS_read, fd, p, n);
}

time_t time(time_t *ret_now)
{
	struct timespec now = {.tv_sec = 0};

	if (hooks.disk != NULL)
		now.tv_sec = (time_t)(hooks.disk->clock_us / 1000000);
	else
		(void)clock_gettime(CLOCK_REALTIME, &now);
	if (ret_now != NULL)
		*ret_now = now.tv_sec;
	return now.tv_sec;
}

/* ------------------------------------------------------------- install */

static void hooks_install(void)
{
	int code = 0;

	code |= db_env_set_func_open(hook_open);
	code |= db_env_set_func_close(hook_close);
	code |= db_env_set_func_pread(hook_pread);
	code |= db_env_set_func_seek(hook_seek);
	code |= db_env_set_func_write(hook_write);
	code |= db_env_set_func_fsync(hook_fsync);
	code |= db_env_set_func_ftruncate(hook_ftruncate);
	code |= db_env_set_func_ioinfo(hook_ioinfo);
	code |= db_env_set_func_exists(hook_exists);
	code |= db_env_set_func_rename(hook_rename);
	code |= db_env_set_func_unlink(hook_unlink);
	code |= db_env_set_func_dirlist(hook_dirlist);
	code |= db_env_set_func_dirfree(hook_dirfree);
	code |= db_env_set_func_yield(hook_yield);
	code |= db_env_set_func_malloc(hook_malloc);
	code |= db_env_set_func_realloc(hook_realloc);
	code |= db_env_set_func_free(hook_free);
	DISK_CHECK(code == 0);
}

struct disk *disk_db_use(struct disk *disk)
{
	struct disk *before = hooks.disk;

	if (!hooks.is_installed)
		hooks_install();
	hooks.is_installed = true;
	hooks.disk = disk;
	return before;
}
