/*
 * The insides of the disk in memory, shared by disk*.c.
 */
#ifndef TEST_DISK_IMPL_H
#define TEST_DISK_IMPL_H

#include "disk.h"

/* As ck_assert, which leaves a note for the runner each time it holds. */
#define DISK_CHECK(condition)                                     \
	do {                                                      \
		if (!(condition))                                 \
			ck_abort_msg("the disk: %s", #condition); \
	} while (0)

enum {
	NAME_SIZE = 80,
	INODES_MAX = 512,
	OPEN_MAX = 128,
	SECTOR_SIZE = 512,
	BLOCK_SIZE = 4096,
	ROOT_INODE = 0,
};

/*
 * BLOCK_SIZE bytes of some images, which share them until one of them writes:
 * most of a copied disk is never written to.
 */
struct block {
	size_t users;
	bool is_hashed;
	struct mbj_hash hash; /* where is_hashed */
	uint8_t *p; /* elsewhere: a child that only counts copies no page */
};

/* Bytes that grow; zeroes behind what was written, to the end of a block. */
struct image {
	struct block **blocks; /* NULL: nothing but zeroes */
	size_t n;
	size_t capacity; /* in blocks; those behind n are NULL */
};

/* A write, or a cut to a length (p NULL), that was not synced. */
struct pending {
	size_t at;
	size_t n;
	uint8_t *p;
	size_t size_before; /* of the file */
	uint64_t step;
};

struct entry {
	char name[NAME_SIZE];
	size_t inode;
};

struct entries {
	struct entry *p;
	size_t count;
	size_t capacity;
};

/* A change of a directory: "" as from makes to, "" as to removes from. */
struct entry_change {
	char from[NAME_SIZE];
	char to[NAME_SIZE];
	size_t inode;
	uint64_t step;
};

struct inode {
	bool is_used;
	bool is_directory;
	bool is_split;	      /* else what is read is what is on disk */
	bool is_lossy;	      /* is_split for good: a sync failed */
	struct image cache;   /* as it is read */
	struct image durable; /* as it is on disk, where is_split */
	struct pending *pending;
	size_t pending_count;
	size_t pending_capacity;
	struct entries now;
	struct entries synced;
	struct entry_change *changes; /* between the two */
	size_t change_count;
	size_t change_capacity;
	size_t lock; /* descriptor + 1 */
};

struct disk {
	struct mbj_sys sys;
	char root[MBJ_PATH_TEXT_MAX];
	struct test_rng rng;
	struct inode inodes[INODES_MAX];
	size_t open[OPEN_MAX]; /* inode + 1 */
	char open_names[OPEN_MAX][NAME_SIZE];
	/* Berkeley DB's: position, and how the last read at a position went. */
	off_t position[OPEN_MAX];
	int read_error[OPEN_MAX];
	uint64_t size_max;
	struct disk_fault fault;
	uint64_t calls;
	uint64_t calls_of[DISK_CALL_KINDS]; /* by their bits */
	bool has_failed;
	uint64_t step;
	disk_watch_fn *watch;
	void *watch_context;
	int64_t clock_us;
};

/* ------------------------------------------------------ disk_inode.c */

/* realloc(3) that does not fail. */
void *grow(void *p, size_t n);
void image_resize(struct image *image, size_t n);
void image_read(const struct image *image, size_t at, uint8_t *p, size_t n);
void image_write(struct image *image, size_t at, const uint8_t *p, size_t n);
void image_copy(struct image *target, const struct image *source);

const struct entry *entry_find(const struct entries *entries, const char *name);
void entries_change(struct entries *entries, const struct entry_change *change);
void entries_copy(struct entries *target, const struct entries *source);

size_t inode_new(struct disk *disk, bool is_directory);
/* Empty, its memory kept. */
void inode_clear(struct inode *inode);
void inode_free(struct inode *inode);
void inode_copy(struct inode *target, const struct inode *source);
/* What is on disk of a file. */
const struct image *inode_durable(const struct inode *inode);
/* p NULL: cut to at bytes. */
void inode_write(struct inode *inode, size_t at, const uint8_t *p, size_t n,
		 uint64_t step);
/* Everything reached the disk, or (failed) will never be tried again. */
void inode_synced(struct inode *inode, bool is_failed);
void inode_entry_change(struct inode *directory, const char *from,
			const char *to, size_t inode, uint64_t step);

/* ------------------------------------------------------------ disk.c */

/*
 * The calls, each 0 (or a descriptor, a count) or -errno; everything is
 * counted, failed and watched here.
 */
int disk_do_open(struct disk *disk, const char *path, int flags);
int disk_do_close(struct disk *disk, int fd);
ssize_t disk_do_read(struct disk *disk, int fd, void *p, size_t n, size_t at);
ssize_t disk_do_write(struct disk *disk, int fd, const void *p, size_t n,
		      size_t at);
int disk_do_sync(struct disk *disk, int fd);
/*
 * Less than syncfs(2) may do: only the data of files in the directory, and what
 * is in directories that are in it, with their entries.
 */
int disk_do_syncfs(struct disk *disk, int fd);
int disk_do_truncate(struct disk *disk, int fd, size_t n);
int64_t disk_do_size(struct disk *disk, int fd);
int disk_do_lock(struct disk *disk, int fd);
int disk_do_rename(struct disk *disk, const char *from, const char *to);
int disk_do_link(struct disk *disk, const char *from, const char *to);
int disk_do_unlink(struct disk *disk, const char *path, bool is_directory);
int disk_do_mkdir(struct disk *disk, const char *path);
/* The directory at path, or NULL with *ret_result. */
const struct inode *disk_do_look(struct disk *disk, const char *path,
				 int *ret_result);

#endif
