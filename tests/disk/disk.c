/*
 * The disk in memory: paths, descriptors, and the calls, each of which is
 * counted, failed where it is told to, carried out, and shown to the observer.
 * The model is in disk.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk_impl.h"

const char *disk_call_name(enum disk_call call)
{
#define X(name, bit, word)            \
	if (call == DISK_CALL_##name) \
		return word;
	DISK_CALL_MAP(X)
#undef X
	return "?";
}

/* --------------------------------------------------------------- paths */

/*
 * The inode at path; *ret_directory and name say where its entry is or would
 * be.  -1: it is not there; -2: its directory is not there either.
 */
static long path_find(const struct disk *disk, const char *path,
		      size_t *ret_directory, char name[NAME_SIZE])
{
	size_t n = strlen(disk->root);
	size_t at = ROOT_INODE;
	const char *rest = path + n;

	*ret_directory = ROOT_INODE;
	name[0] = '\0';
	if (strncmp(path, disk->root, n) != 0 ||
	    (*rest != '/' && *rest != '\0'))
		return -2;
	for (;;) {
		const struct entry *entry;
		size_t length;

		while (*rest == '/')
			rest++;
		length = strcspn(rest, "/");
		if (length == 0)
			return (long)at;
		if (!disk->inodes[at].is_directory)
			return -2;
		if (length == 1 && rest[0] == '.') {
			rest++;
			continue;
		}
		DISK_CHECK(length < NAME_SIZE);
		memcpy(name, rest, length);
		name[length] = '\0';
		rest += length;
		*ret_directory = at;
		entry = entry_find(&disk->inodes[at].now, name);
		if (entry == NULL)
			return rest[strspn(rest, "/")] == '\0' ? -1 : -2;
		at = entry->inode;
	}
}

/* --------------------------------------------------------------- judging */

/* 0, or how this call fails; a short write is no failure yet. */
static int call_judge(struct disk *disk, enum disk_call call,
		      bool *ret_is_short)
{
	const struct disk_fault *fault = &disk->fault;

	if (ret_is_short != NULL)
		*ret_is_short = false;
	disk->calls_of[__builtin_ctz(call)]++;
	if ((fault->calls & call) == 0)
		return 0;
	disk->calls++;
	if (fault->at == 0 || disk->calls < fault->at ||
	    (disk->calls > fault->at && !fault->is_for_good))
		return 0;
	if (fault->errnum != 0) {
		disk->has_failed = true;
		return -fault->errnum;
	}
	if (ret_is_short == NULL)
		return 0;
	disk->has_failed = true;
	*ret_is_short = true;
	return 0;
}

/* It took effect: one step further. */
static void call_done(struct disk *disk, enum disk_call call, const char *path)
{
	if (disk->watch != NULL)
		disk->watch(disk->watch_context, disk, call, path);
}

/* --------------------------------------------------------- descriptors */

static int slot_open(struct disk *disk, size_t inode, const char *name)
{
	for (int fd = 0; fd < OPEN_MAX; fd++) {
		if (disk->open[fd] == 0) {
			disk->open[fd] = inode + 1;
			memcpy(disk->open_names[fd], name, NAME_SIZE);
			return fd;
		}
	}
	ck_abort_msg("too many files are open: one is not closed");
	return -EMFILE;
}

static struct inode *inode_of(struct disk *disk, int fd)
{
	DISK_CHECK(fd >= 0 && fd < OPEN_MAX && disk->open[fd] != 0);
	return &disk->inodes[disk->open[fd] - 1];
}

int disk_do_open(struct disk *disk, const char *path, int flags)
{
	char name[NAME_SIZE] = "";
	size_t directory;
	long found = path_find(disk, path, &directory, name);
	bool is_new = found == -1;
	struct inode *inode;
	bool is_cut;
	int fault;

	if (found == -2 || (is_new && (flags & O_CREAT) == 0))
		return -ENOENT;
	if (!is_new && (flags & O_CREAT) != 0 && (flags & O_EXCL) != 0)
		return -EEXIST;
	is_cut = !is_new && (flags & O_TRUNC) != 0 &&
		 disk->inodes[found].cache.n > 0;
	fault = call_judge(disk,
			   is_new || is_cut ? DISK_CALL_CREATE : DISK_CALL_OPEN,
			   NULL);
	if (fault < 0)
		return fault;
	if (is_new) {
		found = (long)inode_new(disk, false);
		inode_entry_change(&disk->inodes[directory], "", name,
				   (size_t)found, ++disk->step);
	}
	inode = &disk->inodes[found];
	if (is_cut)
		inode_write(inode, 0, NULL, 0, ++disk->step);
	if (is_new || is_cut)
		call_done(disk, DISK_CALL_CREATE, path);
	return slot_open(disk, (size_t)found, name);
}

int disk_do_close(struct disk *disk, int fd)
{
	struct inode *inode = inode_of(disk, fd);

	if (inode->lock == (size_t)fd + 1)
		inode->lock = 0;
	disk->open[fd] = 0;
	return 0;
}

/* ---------------------------------------------------------------- files */

ssize_t disk_do_read(struct disk *disk, int fd, void *p, size_t n, size_t at)
{
	const struct inode *inode = inode_of(disk, fd);
	int fault = call_judge(disk, DISK_CALL_READ, NULL);

	if (fault < 0)
		return fault;
	if (at >= inode->cache.n)
		return 0;
	if (n > inode->cache.n - at)
		n = inode->cache.n - at;
	image_read(&inode->cache, at, p, n);
	return (ssize_t)n;
}

uint64_t disk_used(const struct disk *disk)
{
	uint64_t used = 0;

	for (size_t i = 0; i < INODES_MAX; i++) {
		if (disk->inodes[i].is_used)
			used += disk->inodes[i].cache.n;
	}
	return used;
}

ssize_t disk_do_write(struct disk *disk, int fd, const void *p, size_t n,
		      size_t at)
{
	struct inode *inode = inode_of(disk, fd);
	bool is_short;
	int fault = call_judge(disk, DISK_CALL_WRITE, &is_short);

	if (fault < 0)
		return fault;
	if (is_short)
		n /= 2;
	if (disk->size_max > 0 && at + n > inode->cache.n &&
	    disk_used(disk) + (at + n - inode->cache.n) > disk->size_max)
		return -ENOSPC;
	if (n == 0)
		return 0;
	inode_write(inode, at, p, n, ++disk->step);
	call_done(disk, DISK_CALL_WRITE, disk->open_names[fd]);
	return (ssize_t)n;
}

int disk_do_sync(struct disk *disk, int fd)
{
	struct inode *inode = inode_of(disk, fd);
	int fault = call_judge(disk, DISK_CALL_SYNC, NULL);

	inode_synced(inode, fault < 0);
	if (fault < 0)
		return fault;
	disk->step++;
	call_done(disk, DISK_CALL_SYNC, disk->open_names[fd]);
	return 0;
}

static void files_synced(struct disk *disk, const struct inode *directory,
			 bool is_failed)
{
	for (size_t i = 0; i < directory->now.count; i++) {
		size_t child = directory->now.p[i].inode;

		if (!disk->inodes[child].is_directory)
			inode_synced(&disk->inodes[child], is_failed);
	}
}

int disk_do_syncfs(struct disk *disk, int fd)
{
	const struct inode *directory = inode_of(disk, fd);
	int fault = call_judge(disk, DISK_CALL_SYNC, NULL);

	DISK_CHECK(directory->is_directory);
	for (size_t i = 0; i < directory->now.count; i++) {
		struct inode *child = &disk->inodes[directory->now.p[i].inode];

		if (child->is_directory)
			files_synced(disk, child, fault < 0);
		inode_synced(child, fault < 0);
	}
	if (fault < 0)
		return fault;
	disk->step++;
	call_done(disk, DISK_CALL_SYNC, disk->open_names[fd]);
	return 0;
}

int disk_do_truncate(struct disk *disk, int fd, size_t n)
{
	struct inode *inode = inode_of(disk, fd);
	int fault = call_judge(disk, DISK_CALL_TRUNCATE, NULL);

	if (fault < 0)
		return fault;
	inode_write(inode, n, NULL, 0, ++disk->step);
	call_done(disk, DISK_CALL_TRUNCATE, disk->open_names[fd]);
	return 0;
}

int64_t disk_do_size(struct disk *disk, int fd)
{
	const struct inode *inode = inode_of(disk, fd);
	int fault = call_judge(disk, DISK_CALL_LOOK, NULL);

	return fault < 0 ? fault : (int64_t)inode->cache.n;
}

int disk_do_lock(struct disk *disk, int fd)
{
	struct inode *inode = inode_of(disk, fd);
	int fault = call_judge(disk, DISK_CALL_LOOK, NULL);

	if (fault < 0)
		return fault;
	if (inode->lock != 0 && inode->lock != (size_t)fd + 1)
		return -EWOULDBLOCK;
	inode->lock = (size_t)fd + 1;
	return 0;
}

/* ---------------------------------------------------------- directories */

int disk_do_rename(struct disk *disk, const char *from, const char *to)
{
	char from_name[NAME_SIZE], to_name[NAME_SIZE];
	size_t from_directory, to_directory;
	long source = path_find(disk, from, &from_directory, from_name);
	long target = path_find(disk, to, &to_directory, to_name);
	int fault;

	if (source < 0 || target == -2)
		return -ENOENT;
	if (target >= 0 && disk->inodes[target].is_directory)
		return -EEXIST;
	/* Two names of one file: nothing is done (rename(2)). */
	if (source == target)
		return 0;
	fault = call_judge(disk, DISK_CALL_RENAME, NULL);
	if (fault < 0)
		return fault;
	disk->step++;
	if (from_directory == to_directory) {
		inode_entry_change(&disk->inodes[from_directory], from_name,
				   to_name, (size_t)source, disk->step);
	} else {
		inode_entry_change(&disk->inodes[to_directory], "", to_name,
				   (size_t)source, disk->step);
		inode_entry_change(&disk->inodes[from_directory], from_name, "",
				   (size_t)source, disk->step);
	}
	call_done(disk, DISK_CALL_RENAME, from);
	return 0;
}

int disk_do_link(struct disk *disk, const char *from, const char *to)
{
	char from_name[NAME_SIZE], to_name[NAME_SIZE];
	size_t from_directory, to_directory;
	long source = path_find(disk, from, &from_directory, from_name);
	long target = path_find(disk, to, &to_directory, to_name);
	int fault;

	if (source < 0 || target == -2)
		return -ENOENT;
	if (target >= 0)
		return -EEXIST;
	if (disk->inodes[source].is_directory)
		return -EPERM;
	fault = call_judge(disk, DISK_CALL_CREATE, NULL);
	if (fault < 0)
		return fault;
	inode_entry_change(&disk->inodes[to_directory], "", to_name,
			   (size_t)source, ++disk->step);
	call_done(disk, DISK_CALL_CREATE, to);
	return 0;
}

int disk_do_unlink(struct disk *disk, const char *path, bool is_directory)
{
	char name[NAME_SIZE];
	size_t directory;
	long found = path_find(disk, path, &directory, name);
	int fault;

	if (found < 0)
		return -ENOENT;
	if (disk->inodes[found].is_directory != is_directory)
		return is_directory ? -ENOTDIR : -EISDIR;
	if (is_directory && disk->inodes[found].now.count > 0)
		return -ENOTEMPTY;
	fault = call_judge(disk, DISK_CALL_UNLINK, NULL);
	if (fault < 0)
		return fault;
	inode_entry_change(&disk->inodes[directory], name, "", (size_t)found,
			   ++disk->step);
	call_done(disk, DISK_CALL_UNLINK, path);
	return 0;
}

int disk_do_mkdir(struct disk *disk, const char *path)
{
	char name[NAME_SIZE];
	size_t directory;
	long found = path_find(disk, path, &directory, name);
	int fault;

	if (found >= 0)
		return -EEXIST;
	if (found == -2)
		return -ENOENT;
	fault = call_judge(disk, DISK_CALL_MKDIR, NULL);
	if (fault < 0)
		return fault;
	inode_entry_change(&disk->inodes[directory], "", name,
			   inode_new(disk, true), ++disk->step);
	call_done(disk, DISK_CALL_MKDIR, path);
	return 0;
}

const struct inode *disk_do_look(struct disk *disk, const char *path,
				 int *ret_result)
{
	char name[NAME_SIZE];
	size_t directory;
	long found = path_find(disk, path, &directory, name);

	*ret_result = call_judge(disk, DISK_CALL_LOOK, NULL);
	if (*ret_result < 0)
		return NULL;
	if (found >= 0)
		return &disk->inodes[found];
	*ret_result = -ENOENT;
	return NULL;
}

/* ------------------------------------------------------------- control */

void disk_fail(struct disk *disk, const struct disk_fault *fault)
{
	disk->fault = *fault;
	disk->calls = 0;
	memset(disk->calls_of, 0, sizeof(disk->calls_of));
	disk->has_failed = false;
}

uint64_t disk_calls(const struct disk *disk)
{
	return disk->calls;
}

uint64_t disk_calls_of(const struct disk *disk, unsigned calls)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < DISK_CALL_KINDS; i++)
		sum += (calls >> i & 1) != 0 ? disk->calls_of[i] : 0;
	return sum;
}

bool disk_has_failed(const struct disk *disk)
{
	return disk->has_failed;
}

void disk_limit(struct disk *disk, uint64_t size)
{
	disk->size_max = size;
}

void disk_watch(struct disk *disk, disk_watch_fn *watch, void *context)
{
	disk->watch = watch;
	disk->watch_context = context;
}

uint64_t disk_step(const struct disk *disk)
{
	return disk->step;
}

const char *disk_root(const struct disk *disk)
{
	return disk->root;
}

bool disk_has(const struct disk *disk, const char *path)
{
	char name[NAME_SIZE];
	size_t directory;

	return path_find(disk, path, &directory, name) >= 0;
}

bool disk_is_entered(const struct disk *disk, const char *path)
{
	char name[NAME_SIZE];
	size_t directory;
	long found = path_find(disk, path, &directory, name);
	const struct entry *entry;

	if (found < 0)
		return false;
	entry = entry_find(&disk->inodes[directory].synced, name);
	return entry != NULL && entry->inode == (size_t)found;
}

bool disk_is_synced(const struct disk *disk, const char *path)
{
	char name[NAME_SIZE];
	size_t directory;
	long found = path_find(disk, path, &directory, name);

	return found >= 0 && disk->inodes[found].pending_count == 0;
}

bool disk_file_size(const struct disk *disk, const char *path, size_t *ret_n)
{
	char name[NAME_SIZE];
	size_t directory;
	long found = path_find(disk, path, &directory, name);

	if (found < 0 || disk->inodes[found].is_directory)
		return false;
	*ret_n = disk->inodes[found].cache.n;
	return true;
}

void disk_copy(struct disk *target, const struct disk *source)
{
	for (size_t i = 0; i < INODES_MAX; i++) {
		if (source->inodes[i].is_used)
			inode_copy(&target->inodes[i], &source->inodes[i]);
		else if (target->inodes[i].is_used)
			inode_clear(&target->inodes[i]);
	}
	memset(target->open, 0, sizeof(target->open));
	disk_fail(target, &(struct disk_fault){.calls = 0});
	target->size_max = source->size_max;
	target->rng = source->rng;
	target->clock_us = source->clock_us;
	target->step = 0;
}

void disk_free(struct disk **disk)
{
	struct disk *d = *disk;

	if (d == NULL)
		return;
	for (size_t i = 0; i < INODES_MAX; i++)
		inode_free(&d->inodes[i]);
	free(d);
	*disk = NULL;
}
