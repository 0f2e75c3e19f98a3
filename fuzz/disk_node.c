/*
 * Entries, inodes and paths of a disk in memory; the model is in disk.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/check.h>

#include "disk_node.h"

/* ---------------------------------------------------------------- lookup */

struct entry *disk_entry_find(struct entries *entries, uint16_t parent,
			      const char *name, size_t n)
{
	for (size_t i = 0; i < entries->count; i++) {
		struct entry *entry = &entries->entry[i];

		if (entry->parent == parent && entry->name[n] == '\0' &&
		    memcmp(entry->name, name, n) == 0)
			return entry;
	}
	return NULL;
}

/*
 * The parts of a path: *ret_parent's entry is name[0..n); -ENOENT, as of all
 * that a machine has beside this disk (/proc).
 */
int disk_path_walk(struct disk *disk, const char *path, uint16_t *ret_parent,
		   const char **ret_name, size_t *ret_n)
{
	uint16_t at = ROOT;

	for (;;) {
		size_t n = strcspn(path, "/");
		const struct entry *entry;

		if (n == 0)
			return -ENOENT;
		MBJ_ASSERT(n < NAME_SIZE);
		if (path[n] == '\0' || strcmp(path + n, "/.") == 0) {
			*ret_parent = at;
			*ret_name = path;
			*ret_n = n;
			return 0;
		}
		entry = disk_entry_find(&disk->now, at, path, n);
		if (entry == NULL)
			return -ENOENT;
		at = entry->inode;
		path += n + 1;
	}
}

struct entry *disk_path_entry(struct disk *disk, const char *path)
{
	const char *name;
	uint16_t parent;
	size_t n;

	if (disk_path_walk(disk, path, &parent, &name, &n) < 0)
		return NULL;
	return disk_entry_find(&disk->now, parent, name, n);
}

/* ---------------------------------------------------------------- inodes */

void disk_inode_reserve(struct inode *inode, size_t n)
{
	size_t capacity = inode->capacity > 0 ? inode->capacity : 512;

	MBJ_ASSERT(n <= FILE_SIZE_MAX);
	while (capacity < n)
		capacity *= 2;
	if (capacity == inode->capacity)
		return;
	inode->now = realloc(inode->now, capacity);
	inode->durable = realloc(inode->durable, capacity);
	if (inode->now == NULL || inode->durable == NULL)
		abort();
	inode->capacity = capacity;
}

static bool inode_is_used(const struct disk *disk, size_t inode)
{
	for (size_t i = 0; i < disk->now.count; i++)
		if (disk->now.entry[i].inode == inode)
			return true;
	for (size_t i = 0; i < disk->durable.count; i++)
		if (disk->durable.entry[i].inode == inode)
			return true;
	for (size_t i = 0; i < OPEN_MAX; i++)
		if (disk->handles[i].is_open && disk->handles[i].inode == inode)
			return true;
	return false;
}

static bool entries_name(const struct entries *entries, uint16_t inode)
{
	for (size_t i = 0; i < entries->count; i++)
		if (entries->entry[i].inode == inode)
			return true;
	return false;
}

/* True where an entry went whose directory has no name any more. */
static bool entries_prune(const struct disk *disk, struct entries *entries)
{
	bool is_pruned = false;

	for (size_t i = entries->count; i-- > 0;) {
		uint16_t parent = entries->entry[i].parent;

		if (parent == ROOT || entries_name(&disk->durable, parent) ||
		    entries_name(&disk->now, parent))
			continue;
		disk_entry_drop(entries, &entries->entry[i]);
		is_pruned = true;
	}
	return is_pruned;
}

/*
 * What a removed directory still has on the medium, and after a cut in sight
 * too, goes with it, or a new directory that takes its inode would show it
 * again.
 */
static void orphans_drop(struct disk *disk)
{
	while (entries_prune(disk, &disk->durable) ||
	       entries_prune(disk, &disk->now))
		continue;
}

uint16_t disk_inode_new(struct disk *disk, uint16_t machine)
{
	size_t i = disk->inode_count;
	struct inode *inode;

	if (i == INODES_MAX)
		orphans_drop(disk);
	if (i == INODES_MAX)
		for (i = 1; i < INODES_MAX && inode_is_used(disk, i);)
			i++;
	else
		disk->inode_count++;
	MBJ_ASSERT(i < INODES_MAX);
	inode = &disk->inodes[i];
	inode->is_directory = false;
	inode->machine = machine == ROOT ? (uint16_t)i : machine;
	inode->n = 0;
	inode->durable_n = 0;
	inode->dirty_from = 0;
	inode->dirty_to = 0;
	return (uint16_t)i;
}

void disk_inode_dirty(struct inode *inode, size_t from, size_t to)
{
	if (inode->dirty_from == inode->dirty_to) {
		inode->dirty_from = from;
		inode->dirty_to = to;
		return;
	}
	if (from < inode->dirty_from)
		inode->dirty_from = from;
	if (to > inode->dirty_to)
		inode->dirty_to = to;
}

void disk_inode_sync(struct inode *inode, size_t kept)
{
	size_t n = inode->dirty_to - inode->dirty_from;

	if (n > 0 && kept > 0) {
		size_t part = kept < n ? kept : n;

		memcpy(inode->durable + inode->dirty_from,
		       inode->now + inode->dirty_from, part);
		if (inode->dirty_from + part > inode->durable_n)
			inode->durable_n = inode->dirty_from + part;
	}
}

void disk_entry_add(struct disk *disk, uint16_t parent, const char *name,
		    size_t n, uint16_t inode)
{
	struct entry *entry = &disk->now.entry[disk->now.count++];

	MBJ_ASSERT(disk->now.count <= ENTRIES_MAX && n < NAME_SIZE);
	entry->parent = parent;
	entry->inode = inode;
	memset(entry->name, 0, sizeof(entry->name));
	memcpy(entry->name, name, n);
}

void disk_entry_drop(struct entries *entries, struct entry *entry)
{
	*entry = entries->entry[--entries->count];
}
