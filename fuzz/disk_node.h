/*
 * What is on a disk in memory: entries of directories, inodes, paths.  For
 * disk*.c alone.
 */
#ifndef FUZZ_DISK_NODE_H
#define FUZZ_DISK_NODE_H

#include "disk.h"

enum {
	NAME_SIZE = 72, /* those of blobs have 62 bytes */
	ENTRIES_MAX = 96,
	INODES_MAX = 128,
	OPEN_MAX = 32,
	FILE_SIZE_MAX = 64 << 20,
	ROOT = 0, /* the inode of the directory that holds all */
};

struct entry {
	uint16_t parent;
	uint16_t inode;
	char name[NAME_SIZE];
};

struct entries {
	size_t count;
	struct entry entry[ENTRIES_MAX];
};

/* A file as it is read, and as it is on the medium. */
struct inode {
	bool is_directory;
	uint16_t machine; /* inode of the top-level directory */
	size_t n;
	size_t durable_n;
	size_t dirty_from; /* bytes that differ lie in from..to */
	size_t dirty_to;
	size_t capacity;
	uint8_t *now; /* capacity bytes each */
	uint8_t *durable;
};

struct handle {
	bool is_open;
	bool is_locking;
	uint16_t inode;
};

struct disk {
	struct mbj_sys sys;
	struct entries now;
	struct entries durable;
	struct inode inodes[INODES_MAX];
	size_t inode_count;
	struct handle handles[OPEN_MAX];
	uint16_t armed; /* machine */
	unsigned fuse;	/* calls until it dies */
	uint16_t dead;	/* machine, ROOT: none */
	uint64_t random;
	int64_t clock_us;
};

struct entry *disk_entry_find(struct entries *entries, uint16_t parent,
			      const char *name, size_t n);
/* The parts of a path: *ret_parent's entry is name[0..n); -ENOENT. */
int disk_path_walk(struct disk *disk, const char *path, uint16_t *ret_parent,
		   const char **ret_name, size_t *ret_n);
struct entry *disk_path_entry(struct disk *disk, const char *path);
void disk_inode_reserve(struct inode *inode, size_t n);
uint16_t disk_inode_new(struct disk *disk, uint16_t machine);
void disk_inode_dirty(struct inode *inode, size_t from, size_t to);
void disk_inode_sync(struct inode *inode, size_t kept);
void disk_entry_add(struct disk *disk, uint16_t parent, const char *name,
		    size_t n, uint16_t inode);
void disk_entry_drop(struct entries *entries, struct entry *entry);

#endif
