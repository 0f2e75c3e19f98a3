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

static size_t blocks_of(size_t n)
{
	return (n + BLOCK_SIZE - 1) / BLOCK_SIZE;
}

static void block_leave(struct block **block)
{
	if (*block != NULL && --(*block)->users == 0) {
		free((*block)->p);
		free(*block);
	}
	*block = NULL;
}

/* This image's own, to be written to. */
static struct block *block_own(struct block **block)
{
	struct block *own = *block;

	if (own == NULL || own->users > 1) {
		own = grow(NULL, sizeof(*own));
		own->p = grow(NULL, BLOCK_SIZE);
		own->users = 1;
		if (*block == NULL)
			memset(own->p, 0, BLOCK_SIZE);
		else
			memcpy(own->p, (*block)->p, BLOCK_SIZE);
		block_leave(block);
		*block = own;
	}
	own->is_hashed = false;
	return own;
}

static void blocks_reserve(struct image *image, size_t count)
{
	size_t more = count + count / 2;

	if (count <= image->capacity)
		return;
	image->blocks = grow(image->blocks, more * sizeof(void *));
	memset(image->blocks + image->capacity, 0,
	       (more - image->capacity) * sizeof(void *));
	image->capacity = more;
}

void image_resize(struct image *image, size_t n)
{
	size_t rest = n % BLOCK_SIZE;

	blocks_reserve(image, blocks_of(n));
	for (size_t i = blocks_of(n); i < blocks_of(image->n); i++)
		block_leave(&image->blocks[i]);
	if (n < image->n && rest > 0 && image->blocks[n / BLOCK_SIZE] != NULL)
		memset(block_own(&image->blocks[n / BLOCK_SIZE])->p + rest, 0,
		       BLOCK_SIZE - rest);
	image->n = n;
}

/* Bytes from at on that are in one block, n at most. */
static size_t part_of(size_t at, size_t n)
{
	size_t part = BLOCK_SIZE - at % BLOCK_SIZE;

	return part < n ? part : n;
}

void image_write(struct image *image, size_t at, const uint8_t *p, size_t n)
{
	if (at + n > image->n)
		image_resize(image, at + n);
	while (n > 0) {
		size_t part = part_of(at, n);

		memcpy(block_own(&image->blocks[at / BLOCK_SIZE])->p +
			       at % BLOCK_SIZE,
		       p, part);
		at += part;
		p += part;
		n -= part;
	}
}

void image_read(const struct image *image, size_t at, uint8_t *p, size_t n)
{
	while (n > 0) {
		const struct block *block = image->blocks[at / BLOCK_SIZE];
		size_t part = part_of(at, n);

		if (block == NULL)
			memset(p, 0, part);
		else
			memcpy(p, block->p + at % BLOCK_SIZE, part);
		at += part;
		p += part;
		n -= part;
	}
}

void image_copy(struct image *target, const struct image *source)
{
	size_t count = blocks_of(source->n);

	blocks_reserve(target, count);
	for (size_t i = count; i < blocks_of(target->n); i++)
		block_leave(&target->blocks[i]);
	for (size_t i = 0; i < count; i++) {
		if (target->blocks[i] == source->blocks[i])
			continue;
		block_leave(&target->blocks[i]);
		target->blocks[i] = source->blocks[i];
		if (target->blocks[i] != NULL)
			target->blocks[i]->users++;
	}
	target->n = source->n;
}

static void image_free(struct image *image)
{
	image_resize(image, 0);
	free(image->blocks);
	memset(image, 0, sizeof(*image));
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

/* All but its bytes. */
static void entries_clear(struct inode *inode)
{
	pending_clear(inode);
	inode->now.count = 0;
	inode->synced.count = 0;
	inode->change_count = 0;
	inode->lock = 0;
}

void inode_clear(struct inode *inode)
{
	entries_clear(inode);
	inode->is_used = false;
	inode->is_directory = false;
	inode->is_split = false;
	inode->is_lossy = false;
	image_resize(&inode->cache, 0);
	image_resize(&inode->durable, 0);
}

void inode_free(struct inode *inode)
{
	pending_clear(inode);
	free(inode->pending);
	image_free(&inode->cache);
	image_free(&inode->durable);
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

/* Without what was dropped before. */
static void pending_apply(struct inode *inode)
{
	for (size_t i = 0; i < inode->pending_count; i++) {
		const struct pending *pending = &inode->pending[i];

		if (pending->p == NULL)
			image_resize(&inode->durable, pending->at);
		else
			image_write(&inode->durable, pending->at, pending->p,
				    pending->n);
	}
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
	/* What a failed sync dropped is read for as long as it is cached. */
	if (is_failed)
		inode->is_lossy |= inode->pending_count > 0;
	else if (inode->is_lossy)
		pending_apply(inode);
	pending_clear(inode);
	if (is_failed || inode->is_lossy)
		return;
	inode->is_split = false;
	image_resize(&inode->durable, 0);
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
	entries_clear(target);
	target->is_used = source->is_used;
	target->is_directory = source->is_directory;
	target->is_split = source->is_split;
	target->is_lossy = source->is_lossy;
	image_copy(&target->cache, &source->cache);
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
