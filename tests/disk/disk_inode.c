/*
 * Files and directories of the disk in memory: what is read, what is on disk,
 * and the changes between the two.
 */
#include <stdlib.h>
#include <string.h>

#include "disk_impl.h"

void *grow(void *p, size_t n)
{
	p = realloc(p, n == 0 ? 1 : n);
	DISK_CHECK(p != NULL);
	return p;
}

/* -------------------------------------------------------------- images */

void image_resize(struct image *image, size_t n)
{
	if (n > image->capacity) {
		image->capacity = n + n / 2;
		image->p = grow(image->p, image->capacity);
	}
	if (n > image->n)
		memset(image->p + image->n, 0, n - image->n);
	image->n = n;
}

void image_write(struct image *image, size_t at, const uint8_t *p, size_t n)
{
	if (at + n > image->n)
		image_resize(image, at + n);
	if (n > 0)
		memcpy(image->p + at, p, n);
}

void image_copy(struct image *target, const struct image *source)
{
	if (source->n > target->capacity) {
		free(target->p);
		target->p = grow(NULL, source->n);
		target->capacity = source->n;
	}
	if (source->n > 0)
		memcpy(target->p, source->p, source->n);
	target->n = source->n;
}

/* ------------------------------------------------------------- entries */

static void name_set(char target[NAME_SIZE], const char *name)
{
	size_t n = strlen(name);

	DISK_CHECK(n < NAME_SIZE);
	memset(target, 0, NAME_SIZE);
	memcpy(target, name, n);
}

const struct entry *entry_find(const struct entries *entries, const char *name)
{
	for (size_t i = 0; i < entries->count; i++) {
		if (strcmp(entries->p[i].name, name) == 0)
			return &entries->p[i];
	}
	return NULL;
}

static void entry_remove(struct entries *entries, const char *name)
{
	for (size_t i = 0; i < entries->count; i++) {
		if (strcmp(entries->p[i].name, name) != 0)
			continue;
		entries->p[i] = entries->p[--entries->count];
		return;
	}
}

void entries_change(struct entries *entries, const struct entry_change *change)
{
	struct entry *entry;

	if (change->from[0] != '\0')
		entry_remove(entries, change->from);
	if (change->to[0] == '\0')
		return;
	entry_remove(entries, change->to);
	if (entries->count == entries->capacity) {
		entries->capacity = entries->capacity * 2 + 8;
		entries->p = grow(entries->p,
				  entries->capacity * sizeof(*entries->p));
	}
	entry = &entries->p[entries->count++];
	name_set(entry->name, change->to);
	entry->inode = change->inode;
}

void entries_copy(struct entries *target, const struct entries *source)
{
	if (source->count > target->capacity) {
		target->capacity = source->capacity;
		target->p =
			grow(target->p, target->capacity * sizeof(*target->p));
	}
	if (source->count > 0)
		memcpy(target->p, source->p,
		       source->count * sizeof(*source->p));
	target->count = source->count;
}

/* -------------------------------------------------------------- inodes */

size_t inode_new(struct disk *disk, bool is_directory)
{
	for (size_t i = 0; i < INODES_MAX; i++) {
		struct inode *inode = &disk->inodes[i];

		if (inode->is_used)
			continue;
		inode_clear(inode);
		inode->is_used = true;
		inode->is_directory = is_directory;
		return i;
	}
	ck_abort_msg("the disk holds no more files");
	return 0;
}

static void pending_clear(struct inode *inode)
{
	for (size_t i = 0; i < inode->pending_count; i++)
		free(inode->pending[i].p);
	inode->pending_count = 0;
}

void inode_clear(struct inode *inode)
{
	pending_clear(inode);
	inode->is_used = false;
	inode->is_directory = false;
	inode->is_split = false;
	inode->cache.n = 0;
	inode->durable.n = 0;
	inode->now.count = 0;
	inode->synced.count = 0;
	inode->change_count = 0;
	inode->lock = 0;
}

void inode_free(struct inode *inode)
{
	pending_clear(inode);
	free(inode->pending);
	free(inode->cache.p);
	free(inode->durable.p);
	free(inode->now.p);
	free(inode->synced.p);
	free(inode->changes);
	memset(inode, 0, sizeof(*inode));
}

const struct image *inode_durable(const struct inode *inode)
{
	return inode->is_split ? &inode->durable : &inode->cache;
}

static void pending_add(struct inode *inode, const struct pending *pending)
{
	if (inode->pending_count == inode->pending_capacity) {
		inode->pending_capacity = inode->pending_capacity * 2 + 8;
		inode->pending =
			grow(inode->pending,
			     inode->pending_capacity * sizeof(*inode->pending));
	}
	inode->pending[inode->pending_count++] = *pending;
}

void inode_write(struct inode *inode, size_t at, const uint8_t *p, size_t n,
		 uint64_t step)
{
	struct pending pending = {at, n, NULL, inode->cache.n, step};

	if (!inode->is_split) {
		image_copy(&inode->durable, &inode->cache);
		inode->is_split = true;
	}
	if (p == NULL) {
		image_resize(&inode->cache, at);
	} else {
		pending.p = grow(NULL, n);
		memcpy(pending.p, p, n);
		image_write(&inode->cache, at, p, n);
	}
	pending_add(inode, &pending);
}

void inode_synced(struct inode *inode, bool is_failed)
{
	if (inode->is_directory) {
		if (is_failed)
			return;
		entries_copy(&inode->synced, &inode->now);
		inode->change_count = 0;
		return;
	}
	pending_clear(inode);
	/* What a failed sync dropped is read for as long as it is cached. */
	if (!is_failed)
		inode->is_split = false;
}

static void change_add(struct inode *directory,
		       const struct entry_change *change)
{
	if (directory->change_count == directory->change_capacity) {
		directory->change_capacity = directory->change_capacity * 2 + 8;
		directory->changes = grow(directory->changes,
					  directory->change_capacity *
						  sizeof(*directory->changes));
	}
	directory->changes[directory->change_count++] = *change;
}

void inode_entry_change(struct inode *directory, const char *from,
			const char *to, size_t inode, uint64_t step)
{
	struct entry_change change = {.inode = inode, .step = step};

	name_set(change.from, from);
	name_set(change.to, to);
	entries_change(&directory->now, &change);
	change_add(directory, &change);
}

void inode_copy(struct inode *target, const struct inode *source)
{
	inode_clear(target);
	target->is_used = source->is_used;
	target->is_directory = source->is_directory;
	target->is_split = source->is_split;
	image_copy(&target->cache, &source->cache);
	if (source->is_split)
		image_copy(&target->durable, &source->durable);
	for (size_t i = 0; i < source->pending_count; i++) {
		struct pending pending = source->pending[i];

		if (pending.p != NULL) {
			pending.p = grow(NULL, pending.n);
			memcpy(pending.p, source->pending[i].p, pending.n);
		}
		pending_add(target, &pending);
	}
	entries_copy(&target->now, &source->now);
	entries_copy(&target->synced, &source->synced);
	for (size_t i = 0; i < source->change_count; i++)
		change_add(target, &source->changes[i]);
}
