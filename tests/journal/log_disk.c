/*
 * A disk in memory; the model is in log_disk.h.
 */
#include "log_disk.h"
#include "log_image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
	NAME_SIZE = 40, /* tests copy disks by the ten thousand: small ones */
	ENTRIES_MAX = 192,
	OPEN_MAX = 64,
	SECTOR = 512,
	DIRECTORY = 1 << 30, /* what a directory's descriptor is for */
};

struct entry {
	char name[NAME_SIZE];
	size_t inode;
};

struct entries {
	struct entry entry[ENTRIES_MAX];
	size_t count;
};

struct disk {
	struct mbj_sys sys;
	struct test_rng rng;
	struct inode *inodes;
	size_t inode_count;
	size_t inode_capacity;
	struct entries now;
	struct entries durable;
	struct entries *history; /* after each change since it was synced */
	size_t history_count;
	size_t history_capacity;
	size_t open[OPEN_MAX]; /* inode + 1 */
	uint64_t size_max;
	unsigned counted;
	uint64_t calls;
	uint64_t fail_at;
	int errnum;
	bool is_for_good;
	uint64_t stop_at;
	bool is_stopped;
	int64_t clock_us;
};

/* ---------------------------------------------------------- directory */

static struct entry *entry_find(struct entries *entries, const char *name)
{
	for (size_t i = 0; i < entries->count; i++) {
		if (strcmp(entries->entry[i].name, name) == 0)
			return &entries->entry[i];
	}
	return NULL;
}

/* Remember the directory as it was, for a cut that keeps it. */
static void history_add(struct disk *disk)
{
	if (disk->history_count == disk->history_capacity) {
		disk->history_capacity = disk->history_capacity * 2 + 4;
		disk->history =
			grow(disk->history,
			     disk->history_capacity * sizeof(*disk->history));
	}
	disk->history[disk->history_count++] = disk->now;
}

static size_t inode_new(struct disk *disk)
{
	if (disk->inode_count == disk->inode_capacity) {
		disk->inode_capacity = disk->inode_capacity * 2 + 8;
		disk->inodes =
			grow(disk->inodes,
			     disk->inode_capacity * sizeof(*disk->inodes));
	}
	memset(&disk->inodes[disk->inode_count], 0, sizeof(*disk->inodes));
	return disk->inode_count++;
}

static struct entry *entry_put(struct disk *disk, const char *name,
			       size_t inode)
{
	struct entry *entry = entry_find(&disk->now, name);

	if (entry == NULL) {
		ck_assert_uint_lt(disk->now.count, ENTRIES_MAX);
		ck_assert_uint_lt(strlen(name), NAME_SIZE);
		entry = &disk->now.entry[disk->now.count++];
		memset(entry->name, 0, sizeof(entry->name));
		memcpy(entry->name, name, strlen(name));
	}
	entry->inode = inode;
	return entry;
}

static void entry_drop(struct disk *disk, struct entry *entry)
{
	*entry = disk->now.entry[--disk->now.count];
}

/* -------------------------------------------------------------- calls */

/* 0: go on; 1: take effect, then report what is in errnum; else the result. */
static int call_judge(struct disk *disk, unsigned call)
{
	if (disk->is_stopped)
		return -EIO;
	if ((disk->counted & call) == 0)
		return 0;
	disk->calls++;
	if (disk->stop_at > 0 && disk->calls == disk->stop_at) {
		disk->is_stopped = true;
		return 1;
	}
	if (disk->fail_at == 0 || disk->calls < disk->fail_at ||
	    (disk->calls > disk->fail_at && !disk->is_for_good))
		return 0;
	return -disk->errnum;
}

static const char *name_of(const char *path)
{
	ck_assert_msg(strncmp(path, DISK_DIR "/", 2) == 0, "strange path %s",
		      path);
	return path + 2;
}

static int open_slot(struct disk *disk, size_t inode)
{
	for (int fd = 0; fd < OPEN_MAX; fd++) {
		if (disk->open[fd] == 0) {
			disk->open[fd] = inode + 1;
			return fd;
		}
	}
	ck_abort_msg("too many files are open: one is not closed");
	return -EMFILE;
}

static int disk_open(void *ctx, const char *path, int flags, mode_t mode)
{
	struct disk *disk = ctx;
	struct entry *entry;
	const char *name;
	int judged;

	(void)mode;
	if (strcmp(path, DISK_DIR) == 0)
		return disk->is_stopped ? -EIO : open_slot(disk, DIRECTORY);
	name = name_of(path);
	entry = entry_find(&disk->now, name);
	if (entry == NULL && (flags & O_CREAT) == 0)
		return disk->is_stopped ? -EIO : -ENOENT;
	if (entry == NULL || (flags & O_TRUNC) != 0) {
		judged = call_judge(disk, DISK_CALL_CREATE);
		if (judged < 0)
			return judged;
		/* A truncated file is as good as another one. */
		entry = entry_put(disk, name, inode_new(disk));
		history_add(disk);
		if (judged > 0)
			return -EIO;
	}
	return disk->is_stopped ? -EIO : open_slot(disk, entry->inode);
}

static int disk_close(void *ctx, int fd)
{
	struct disk *disk = ctx;

	ck_assert(fd >= 0 && fd < OPEN_MAX && disk->open[fd] != 0);
	disk->open[fd] = 0;
	return 0;
}

static struct inode *inode_of(struct disk *disk, int fd)
{
	ck_assert(fd >= 0 && fd < OPEN_MAX && disk->open[fd] != 0);
	ck_assert(disk->open[fd] - 1 != DIRECTORY);
	return &disk->inodes[disk->open[fd] - 1];
}

static ssize_t disk_pread(void *ctx, int fd, void *p, size_t n, off_t at)
{
	struct disk *disk = ctx;
	struct inode *inode = inode_of(disk, fd);
	int judged = call_judge(disk, DISK_CALL_READ);
	size_t from = (size_t)at;

	if (judged < 0)
		return judged;
	if (from >= inode->cache.n)
		return 0;
	if (n > inode->cache.n - from)
		n = inode->cache.n - from;
	memcpy(p, inode->cache.p + from, n);
	return (ssize_t)n;
}

static uint64_t disk_used(const struct disk *disk)
{
	uint64_t used = 0;

	for (size_t i = 0; i < disk->now.count; i++)
		used += disk->inodes[disk->now.entry[i].inode].cache.n;
	return used;
}

static ssize_t disk_pwrite(void *ctx, int fd, const void *p, size_t n, off_t at)
{
	struct disk *disk = ctx;
	struct inode *inode = inode_of(disk, fd);
	int judged = call_judge(disk, DISK_CALL_WRITE);
	size_t end = (size_t)at + n;

	if (judged < 0)
		return judged;
	if (disk->size_max > 0 && end > inode->cache.n &&
	    disk_used(disk) + end - inode->cache.n > disk->size_max)
		return -ENOSPC;
	image_write(&inode->cache, (size_t)at, p, n);
	pending_add(inode, (size_t)at, p, n);
	return judged > 0 ? -EIO : (ssize_t)n;
}

static int disk_sync(void *ctx, int fd)
{
	struct disk *disk = ctx;
	int judged = call_judge(disk, DISK_CALL_SYNC);
	struct inode *inode;

	if (judged > 0)
		return -EIO;
	if (judged < 0 && disk->is_stopped)
		return judged;
	if (disk->open[fd] - 1 == DIRECTORY) {
		if (judged < 0)
			return judged;
		disk->durable = disk->now;
		disk->history_count = 0;
		return 0;
	}
	inode = inode_of(disk, fd);
	if (judged == 0)
		image_copy(&inode->durable, &inode->cache);
	/* Failed or not: nothing is tried again. */
	pending_clear(inode);
	return judged;
}

static int64_t disk_size(void *ctx, int fd)
{
	struct disk *disk = ctx;

	if (disk->is_stopped)
		return -EIO;
	return (int64_t)inode_of(disk, fd)->cache.n;
}

static int disk_rename(void *ctx, const char *from, const char *to)
{
	struct disk *disk = ctx;
	struct entry *source = entry_find(&disk->now, name_of(from));
	int judged = call_judge(disk, DISK_CALL_RENAME);
	size_t inode;

	if (judged < 0)
		return judged;
	if (source == NULL)
		return -ENOENT;
	/* Nothing but who mends a segment replaces one. */
	ck_assert_msg(entry_find(&disk->now, name_of(to)) == NULL ||
			      strcmp(name_of(to), "suspect") == 0 ||
			      strstr(from, ".mended") != NULL,
		      "%s is overwritten", to);
	inode = source->inode;
	entry_drop(disk, source);
	(void)entry_put(disk, name_of(to), inode);
	history_add(disk);
	return judged > 0 ? -EIO : 0;
}

/* It has no links: what is to be kept is copied. */
static int disk_link(void *ctx, const char *from, const char *to)
{
	(void)ctx;
	(void)from;
	(void)to;
	return -EPERM;
}

static int disk_unlink(void *ctx, const char *path)
{
	struct disk *disk = ctx;
	struct entry *entry = entry_find(&disk->now, name_of(path));
	int judged;

	if (entry == NULL)
		return disk->is_stopped ? -EIO : -ENOENT;
	judged = call_judge(disk, DISK_CALL_UNLINK);
	if (judged < 0)
		return judged;
	ck_assert_msg(strstr(path, ".seg") == NULL, "%s is removed", path);
	entry_drop(disk, entry);
	history_add(disk);
	return judged > 0 ? -EIO : 0;
}

static int disk_list(void *ctx, const char *path, struct mbj_buf *names)
{
	struct disk *disk = ctx;

	ck_assert_str_eq(path, DISK_DIR);
	if (disk->is_stopped)
		return -EIO;
	for (size_t i = 0; i < disk->now.count; i++)
		mbj_buf_put(names, disk->now.entry[i].name,
			    strlen(disk->now.entry[i].name) + 1);
	return 0;
}

static int disk_stat(void *ctx, const char *path, mode_t *mode, uid_t *uid)
{
	struct disk *disk = ctx;

	if (disk->is_stopped)
		return -EIO;
	if (entry_find(&disk->now, name_of(path)) == NULL)
		return -ENOENT;
	*mode = S_IFREG | 0600;
	*uid = 0;
	return 0;
}

static int64_t disk_now(void *ctx)
{
	struct disk *disk = ctx;

	return disk->clock_us += 1000;
}

static int disk_random(void *ctx, void *p, size_t n)
{
	struct disk *disk = ctx;

	test_rng_fill(&disk->rng, p, n);
	return 0;
}

/* ------------------------------------------------------------ control */

struct disk *disk_new(uint64_t seed)
{
	struct disk *disk = calloc(1, sizeof(*disk));

	ck_assert_ptr_nonnull(disk);
	test_rng_init(&disk->rng, seed);
	disk->sys = (struct mbj_sys){
		.ctx = disk,
		.open = disk_open,
		.close = disk_close,
		.pread = disk_pread,
		.pwrite = disk_pwrite,
		.fdatasync = disk_sync,
		.fsync = disk_sync,
		.size = disk_size,
		.rename = disk_rename,
		.link = disk_link,
		.unlink = disk_unlink,
		.list = disk_list,
		.stat = disk_stat,
		.now_us = disk_now,
		.random = disk_random,
	};
	disk->clock_us = 1700000000000000;
	return disk;
}

struct disk *disk_dup(const struct disk *disk)
{
	struct disk *copy = disk_new(0);

	copy->rng = disk->rng;
	copy->now = disk->now;
	copy->durable = disk->durable;
	copy->clock_us = disk->clock_us;
	for (size_t i = 0; i < disk->inode_count; i++) {
		size_t at = inode_new(copy);
		struct inode *target = &copy->inodes[at];
		const struct inode *source = &disk->inodes[i];

		image_copy(&target->cache, &source->cache);
		image_copy(&target->durable, &source->durable);
		for (size_t j = 0; j < source->pending_count; j++)
			pending_add(target, source->pending[j].at,
				    source->pending[j].p, source->pending[j].n);
	}
	for (size_t i = 0; i < disk->history_count; i++) {
		struct entries now = copy->now;

		copy->now = disk->history[i];
		history_add(copy);
		copy->now = now;
	}
	return copy;
}

void disk_free(struct disk **disk)
{
	struct disk *d = *disk;

	if (d == NULL)
		return;
	for (size_t i = 0; i < d->inode_count; i++) {
		pending_clear(&d->inodes[i]);
		free(d->inodes[i].pending);
		free(d->inodes[i].cache.p);
		free(d->inodes[i].durable.p);
	}
	free(d->inodes);
	free(d->history);
	free(d);
	*disk = NULL;
}

const struct mbj_sys *disk_sys(struct disk *disk)
{
	return &disk->sys;
}

uint64_t disk_calls(const struct disk *disk)
{
	return disk->calls;
}

void disk_fail(struct disk *disk, unsigned calls, uint64_t at, int errnum,
	       bool is_for_good)
{
	disk->counted = calls;
	disk->calls = 0;
	disk->fail_at = at;
	disk->errnum = errnum;
	disk->is_for_good = is_for_good;
	disk->stop_at = 0;
}

void disk_stop(struct disk *disk, uint64_t at)
{
	disk_fail(disk, DISK_CALL_CHANGE, 0, 0, false);
	disk->stop_at = at;
}

bool disk_is_stopped(const struct disk *disk)
{
	return disk->is_stopped;
}

void disk_limit(struct disk *disk, uint64_t size)
{
	disk->size_max = size;
}

/* One unsynced write: its sectors reach the disk, or not. */
static void pending_cut(struct disk *disk, struct image *durable,
			const struct pending *pending, enum disk_cut cut)
{
	for (size_t at = pending->at; at < pending->at + pending->n;) {
		size_t end = (at / SECTOR + 1) * SECTOR;

		if (end > pending->at + pending->n)
			end = pending->at + pending->n;
		if (cut == DISK_CUT_ALL || test_rng_chance(&disk->rng, 1, 2))
			image_write(durable, at,
				    pending->p + (at - pending->at), end - at);
		at = end;
	}
}

static void inode_cut(struct disk *disk, struct inode *inode, enum disk_cut cut)
{
	/* A write may be lost as a whole, or torn. */
	for (size_t i = 0; cut != DISK_CUT_NOTHING && i < inode->pending_count;
	     i++) {
		if (cut == DISK_CUT_ALL || test_rng_chance(&disk->rng, 3, 4))
			pending_cut(disk, &inode->durable, &inode->pending[i],
				    cut);
	}
	pending_clear(inode);
	image_copy(&inode->cache, &inode->durable);
}

/* What one call changed, made there; a rename is there as a whole. */
static void names_change(struct disk *disk, struct entries *from,
			 struct entries *to)
{
	for (size_t i = 0; i < to->count; i++) {
		struct entry *e = &to->entry[i],
			     *was = entry_find(from, e->name);

		if (was == NULL || was->inode != e->inode)
			(void)entry_put(disk, e->name, e->inode);
	}
	for (size_t i = 0; i < from->count; i++) {
		struct entry *e = entry_find(&disk->now, from->entry[i].name);

		if (e != NULL && entry_find(to, from->entry[i].name) == NULL)
			entry_drop(disk, e);
	}
}

static void names_cut(struct disk *disk)
{
	struct entries *from = &disk->durable;

	disk->now = *from;
	for (size_t i = 0; i < disk->history_count; i++) {
		if (test_rng_chance(&disk->rng, 1, 2))
			names_change(disk, from, &disk->history[i]);
		from = &disk->history[i];
	}
	disk->durable = disk->now;
}

void disk_cut(struct disk *disk, enum disk_cut cut)
{
	disk->is_stopped = false;
	disk_fail(disk, 0, 0, 0, false);
	memset(disk->open, 0, sizeof(disk->open));
	if (cut == DISK_CUT_KILL)
		return;
	if (cut == DISK_CUT_RANDOM && disk->history_count > 0) {
		size_t kept = (size_t)test_rng_below(&disk->rng,
						     disk->history_count + 1);

		if (kept > 0)
			disk->durable = disk->history[kept - 1];
	} else if (cut == DISK_CUT_ALL) {
		disk->durable = disk->now;
	} else if (cut == DISK_CUT_NAMES) {
		names_cut(disk);
	}
	disk->now = disk->durable;
	disk->history_count = 0;
	for (size_t i = 0; i < disk->inode_count; i++)
		inode_cut(disk, &disk->inodes[i], cut);
}

bool disk_has(struct disk *disk, const char *name)
{
	return entry_find(&disk->now, name) != NULL;
}

uint8_t *disk_file(struct disk *disk, const char *name, size_t *ret_n)
{
	const struct entry *entry = entry_find(&disk->now, name);

	if (entry == NULL)
		return NULL;
	*ret_n = disk->inodes[entry->inode].cache.n;
	return disk->inodes[entry->inode].cache.p;
}

uint8_t *disk_resize(struct disk *disk, const char *name, size_t n)
{
	struct entry *entry = entry_find(&disk->now, name);

	if (entry == NULL)
		entry = entry_put(disk, name, inode_new(disk));
	image_resize(&disk->inodes[entry->inode].cache, n);
	return disk->inodes[entry->inode].cache.p;
}

void disk_remove(struct disk *disk, const char *name)
{
	struct entry *entry = entry_find(&disk->now, name);

	ck_assert_ptr_nonnull(entry);
	entry_drop(disk, entry);
}

static int entry_compare(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name,
		      ((const struct entry *)b)->name);
}

const char *disk_name(struct disk *disk, size_t index)
{
	qsort(disk->now.entry, disk->now.count, sizeof(*disk->now.entry),
	      entry_compare);
	return index < disk->now.count ? disk->now.entry[index].name : NULL;
}
