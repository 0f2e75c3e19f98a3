/*
 * The system calls of a disk in memory; the model is in disk.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/check.h>

#include "disk_node.h"

/* ----------------------------------------------------------------- dying */

/* -EIO where the machine is dead. */
static int machine_judge(const struct disk *disk, uint16_t machine)
{
	return disk->dead != ROOT && disk->dead == machine ? -EIO : 0;
}

/* The same for a call that changes something: it may be the last. */
static int change_judge(struct disk *disk, uint16_t machine)
{
	if (machine_judge(disk, machine) < 0)
		return -EIO;
	if (disk->fuse > 0 && disk->armed == machine && --disk->fuse == 0)
		disk->dead = machine;
	return 0;
}

static int change_result(const struct disk *disk, uint16_t machine, int result)
{
	return machine_judge(disk, machine) < 0 ? -EIO : result;
}

static uint16_t machine_of(const struct disk *disk, uint16_t parent)
{
	return parent == ROOT ? ROOT : disk->inodes[parent].machine;
}

/* ----------------------------------------------------------------- calls */

static int handle_new(struct disk *disk, uint16_t inode)
{
	for (int fd = 0; fd < OPEN_MAX; fd++) {
		if (disk->handles[fd].is_open)
			continue;
		disk->handles[fd] = (struct handle){true, false, inode};
		return fd;
	}
	/* Some file is never closed. */
	abort();
}

static int disk_open(void *ctx, const char *path, int flags, mode_t mode)
{
	struct disk *disk = ctx;
	struct entry *entry;
	const char *name;
	uint16_t parent;
	uint16_t inode;
	size_t n;

	(void)mode;
	if (strcmp(path, ".") == 0)
		return handle_new(disk, ROOT);
	if (disk_path_walk(disk, path, &parent, &name, &n) < 0)
		return -ENOENT;
	entry = disk_entry_find(&disk->now, parent, name, n);
	if (entry == NULL && (flags & O_CREAT) == 0)
		return -ENOENT;
	if (entry == NULL || (flags & O_TRUNC) != 0) {
		int result = change_judge(disk, machine_of(disk, parent));

		if (result < 0)
			return result;
		inode = disk_inode_new(disk, machine_of(disk, parent));
		if (entry != NULL)
			entry->inode = inode;
		else
			disk_entry_add(disk, parent, name, n, inode);
	} else {
		inode = entry->inode;
	}
	if (machine_judge(disk, disk->inodes[inode].machine) < 0)
		return -EIO;
	return handle_new(disk, inode);
}

static int disk_close(void *ctx, int fd)
{
	struct disk *disk = ctx;

	MBJ_ASSERT(disk->handles[fd].is_open);
	disk->handles[fd].is_open = false;
	return 0;
}

static struct inode *handle_inode(struct disk *disk, int fd)
{
	MBJ_ASSERT(fd >= 0 && fd < OPEN_MAX && disk->handles[fd].is_open);
	return &disk->inodes[disk->handles[fd].inode];
}

static ssize_t disk_pread(void *ctx, int fd, void *p, size_t n, off_t at)
{
	struct disk *disk = ctx;
	const struct inode *inode = handle_inode(disk, fd);
	size_t from = (size_t)at;

	if (machine_judge(disk, inode->machine) < 0)
		return -EIO;
	if (from >= inode->n)
		return 0;
	if (n > inode->n - from)
		n = inode->n - from;
	memcpy(p, inode->now + from, n);
	return (ssize_t)n;
}

static ssize_t disk_pwrite(void *ctx, int fd, const void *p, size_t n, off_t at)
{
	struct disk *disk = ctx;
	struct inode *inode = handle_inode(disk, fd);
	size_t from = (size_t)at;

	if (change_judge(disk, inode->machine) < 0)
		return -EIO;
	disk_inode_reserve(inode, from + n);
	if (from > inode->n)
		memset(inode->now + inode->n, 0, from - inode->n);
	memcpy(inode->now + from, p, n);
	disk_inode_dirty(inode, from < inode->n ? from : inode->n, from + n);
	if (from + n > inode->n)
		inode->n = from + n;
	return machine_judge(disk, inode->machine) < 0 ? -EIO : (ssize_t)n;
}

static void directory_sync(struct disk *disk, uint16_t directory)
{
	struct entries *durable = &disk->durable;

	for (size_t i = durable->count; i-- > 0;)
		if (durable->entry[i].parent == directory)
			disk_entry_drop(durable, &durable->entry[i]);
	for (size_t i = 0; i < disk->now.count; i++) {
		if (disk->now.entry[i].parent != directory)
			continue;
		MBJ_ASSERT(durable->count < ENTRIES_MAX);
		durable->entry[durable->count++] = disk->now.entry[i];
	}
}

static int disk_sync(void *ctx, int fd)
{
	struct disk *disk = ctx;
	struct inode *inode = handle_inode(disk, fd);

	/* A machine that dies in a sync has not synced. */
	if (change_judge(disk, inode->machine) < 0 ||
	    machine_judge(disk, inode->machine) < 0)
		return -EIO;
	if (inode->is_directory) {
		directory_sync(disk, disk->handles[fd].inode);
		return 0;
	}
	disk_inode_sync(inode, SIZE_MAX);
	inode->dirty_from = 0;
	inode->dirty_to = 0;
	return 0;
}

/* Data of the files in the directory. */
static void files_sync(struct disk *disk, uint16_t directory)
{
	for (size_t i = 0; i < disk->now.count; i++) {
		struct inode *inode = &disk->inodes[disk->now.entry[i].inode];

		if (disk->now.entry[i].parent != directory ||
		    inode->is_directory)
			continue;
		disk_inode_sync(inode, SIZE_MAX);
		inode->dirty_from = 0;
		inode->dirty_to = 0;
	}
}

/*
 * Less than it may do: only the data of files in the directory, and what is in
 * directories that are in it, with their entries.
 */
static int disk_syncfs(void *ctx, int fd)
{
	struct disk *disk = ctx;
	uint16_t directory = disk->handles[fd].inode;

	if (change_judge(disk, disk->inodes[directory].machine) < 0 ||
	    machine_judge(disk, disk->inodes[directory].machine) < 0)
		return -EIO;
	files_sync(disk, directory);
	for (size_t i = 0; i < disk->now.count; i++) {
		uint16_t child = disk->now.entry[i].inode;

		if (disk->now.entry[i].parent != directory ||
		    !disk->inodes[child].is_directory)
			continue;
		files_sync(disk, child);
		directory_sync(disk, child);
	}
	return 0;
}

static int64_t disk_size(void *ctx, int fd)
{
	struct disk *disk = ctx;
	const struct inode *inode = handle_inode(disk, fd);

	if (machine_judge(disk, inode->machine) < 0)
		return -EIO;
	return (int64_t)inode->n;
}

static int disk_lock(void *ctx, int fd, bool is_shared)
{
	struct disk *disk = ctx;

	/* Here nobody shares it. */
	(void)is_shared;
	for (int i = 0; i < OPEN_MAX; i++)
		if (i != fd && disk->handles[i].is_open &&
		    disk->handles[i].is_locking &&
		    disk->handles[i].inode == disk->handles[fd].inode)
			return -EWOULDBLOCK;
	disk->handles[fd].is_locking = true;
	return 0;
}

static int disk_rename(void *ctx, const char *from, const char *to)
{
	struct disk *disk = ctx;
	struct entry *source = disk_path_entry(disk, from);
	struct entry *target;
	const char *name;
	uint16_t machine;
	uint16_t parent;
	uint16_t inode;
	size_t n;

	if (source == NULL || disk_path_walk(disk, to, &parent, &name, &n) < 0)
		return -ENOENT;
	machine = disk->inodes[source->inode].machine;
	if (change_judge(disk, machine) < 0)
		return -EIO;
	inode = source->inode;
	disk_entry_drop(&disk->now, source);
	target = disk_entry_find(&disk->now, parent, name, n);
	if (target != NULL)
		target->inode = inode;
	else
		disk_entry_add(disk, parent, name, n, inode);
	return change_result(disk, machine, 0);
}

static int disk_unlink(void *ctx, const char *path)
{
	struct disk *disk = ctx;
	struct entry *entry = disk_path_entry(disk, path);
	uint16_t machine;

	if (entry == NULL)
		return -ENOENT;
	machine = disk->inodes[entry->inode].machine;
	if (change_judge(disk, machine) < 0)
		return -EIO;
	disk_entry_drop(&disk->now, entry);
	return change_result(disk, machine, 0);
}

/* A file system without hard links: the library copies instead. */
static int disk_link(void *ctx, const char *from, const char *to)
{
	(void)ctx;
	(void)from;
	(void)to;
	return -EOPNOTSUPP;
}

static int disk_mkdir(void *ctx, const char *path, mode_t mode)
{
	struct disk *disk = ctx;
	const char *name;
	uint16_t machine;
	uint16_t parent;
	uint16_t inode;
	size_t n;

	(void)mode;
	if (disk_path_walk(disk, path, &parent, &name, &n) < 0)
		return -ENOENT;
	machine = machine_of(disk, parent);
	if (machine != ROOT && change_judge(disk, machine) < 0)
		return -EIO;
	if (disk_entry_find(&disk->now, parent, name, n) != NULL)
		return -EEXIST;
	inode = disk_inode_new(disk, machine);
	disk->inodes[inode].is_directory = true;
	disk_entry_add(disk, parent, name, n, inode);
	return machine == ROOT ? 0 : change_result(disk, machine, 0);
}

static int disk_list(void *ctx, const char *path, struct mbj_buf *names)
{
	struct disk *disk = ctx;
	const struct entry *directory = disk_path_entry(disk, path);

	if (directory == NULL)
		return -ENOENT;
	if (machine_judge(disk, disk->inodes[directory->inode].machine) < 0)
		return -EIO;
	for (size_t i = 0; i < disk->now.count; i++) {
		const struct entry *entry = &disk->now.entry[i];

		if (entry->parent == directory->inode)
			mbj_buf_put(names, entry->name,
				    strlen(entry->name) + 1);
	}
	return 0;
}

static int disk_stat(void *ctx, const char *path, mode_t *mode, uid_t *uid)
{
	struct disk *disk = ctx;
	const struct entry *entry = disk_path_entry(disk, path);
	const struct inode *inode;

	if (entry == NULL)
		return -ENOENT;
	inode = &disk->inodes[entry->inode];
	if (machine_judge(disk, inode->machine) < 0)
		return -EIO;
	*mode = inode->is_directory ? S_IFDIR | 0700 : S_IFREG | 0600;
	*uid = geteuid();
	return 0;
}

static int64_t disk_now(void *ctx)
{
	struct disk *disk = ctx;

	return disk->clock_us += 1000;
}

/* splitmix64 (Steele, Lea and Flood, 2014). */
static int disk_random(void *ctx, void *p, size_t n)
{
	struct disk *disk = ctx;
	uint8_t *bytes = p;

	for (size_t at = 0; at < n; at += 8) {
		uint64_t z = disk->random += 0x9e3779b97f4a7c15;

		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
		z = (z ^ z >> 27) * 0x94d049bb133111eb;
		z ^= z >> 31;
		memcpy(bytes + at, &z, n - at < 8 ? n - at : 8);
	}
	return 0;
}

/* --------------------------------------------------------------- control */

struct disk *disk_new(void)
{
	struct disk *disk = calloc(1, sizeof(*disk));

	if (disk == NULL)
		abort();
	disk->sys = (struct mbj_sys){
		.ctx = disk,
		.open = disk_open,
		.close = disk_close,
		.pread = disk_pread,
		.pwrite = disk_pwrite,
		.fdatasync = disk_sync,
		.fsync = disk_sync,
		.syncfs = disk_syncfs,
		.size = disk_size,
		.lock = disk_lock,
		.rename = disk_rename,
		.link = disk_link,
		.unlink = disk_unlink,
		.mkdir = disk_mkdir,
		.rmdir = disk_unlink,
		.list = disk_list,
		.stat = disk_stat,
		.now_us = disk_now,
		.random = disk_random,
	};
	disk->inode_count = 1;
	disk->inodes[ROOT].is_directory = true;
	disk->clock_us = 1700000000000000;
	return disk;
}

void disk_free(struct disk **disk)
{
	struct disk *d = *disk;

	if (d == NULL)
		return;
	for (size_t i = 0; i < INODES_MAX; i++) {
		free(d->inodes[i].now);
		free(d->inodes[i].durable);
	}
	free(d);
	*disk = NULL;
}

void disk_copy(struct disk *to, const struct disk *from)
{
	to->now = from->now;
	to->durable = from->durable;
	to->inode_count = from->inode_count;
	for (size_t i = 1; i < from->inode_count; i++) {
		const struct inode *source = &from->inodes[i];
		struct inode *target = &to->inodes[i];
		struct inode kept = *target;

		*target = *source;
		target->now = kept.now;
		target->durable = kept.durable;
		target->capacity = kept.capacity;
		disk_inode_reserve(target, source->n > source->durable_n
						   ? source->n
						   : source->durable_n);
		if (source->n > 0)
			memcpy(target->now, source->now, source->n);
		if (source->durable_n > 0)
			memcpy(target->durable, source->durable,
			       source->durable_n);
	}
	memset(to->handles, 0, sizeof(to->handles));
	to->fuse = 0;
	to->dead = ROOT;
	to->random = from->random;
	to->clock_us = from->clock_us;
}

const struct mbj_sys *disk_sys(struct disk *disk)
{
	return &disk->sys;
}

void disk_seed(struct disk *disk, uint64_t seed)
{
	disk->random = seed;
}

static uint16_t machine_find(struct disk *disk, const char *name)
{
	const struct entry *entry = disk_path_entry(disk, name);

	MBJ_ASSERT(entry != NULL);
	return entry->inode;
}

void disk_arm(struct disk *disk, const char *name, unsigned at)
{
	disk->armed = machine_find(disk, name);
	disk->fuse = at;
}

bool disk_is_dead(const struct disk *disk)
{
	return disk->dead != ROOT;
}

void disk_kill(struct disk *disk, const char *name)
{
	disk->dead = machine_find(disk, name);
}

void disk_cut(struct disk *disk, const char *name, size_t kept)
{
	uint16_t machine = machine_find(disk, name);
	struct entries *now = &disk->now;

	for (size_t i = now->count; i-- > 0;)
		if (now->entry[i].parent != ROOT &&
		    disk->inodes[now->entry[i].parent].machine == machine)
			disk_entry_drop(now, &now->entry[i]);
	for (size_t i = 0; i < disk->durable.count; i++) {
		const struct entry *entry = &disk->durable.entry[i];

		if (entry->parent != ROOT &&
		    disk->inodes[entry->parent].machine == machine)
			now->entry[now->count++] = *entry;
	}
	for (size_t i = 1; i < disk->inode_count; i++) {
		struct inode *inode = &disk->inodes[i];

		if (inode->machine != machine || inode->is_directory)
			continue;
		disk_inode_sync(inode, kept);
		if (inode->dirty_from < inode->dirty_to ||
		    inode->n != inode->durable_n)
			memcpy(inode->now, inode->durable, inode->durable_n);
		inode->n = inode->durable_n;
		inode->dirty_from = 0;
		inode->dirty_to = 0;
	}
	disk->fuse = 0;
	disk->dead = ROOT;
}
