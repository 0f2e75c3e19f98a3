/*
 * What is on a disk, in a few bytes: two disks of the same hash hold the same.
 */
#include <stdlib.h>
#include <string.h>

#include "disk_impl.h"

/* Blocks that were not written to since they were hashed cost nothing. */
static void blocks_hash(struct image *image, struct mbj_sha256 *sha)
{
	for (size_t i = 0; i * BLOCK_SIZE < image->n; i++) {
		struct block *block = image->blocks[i];
		struct mbj_bytes bytes;

		if (block == NULL || block->is_hashed)
			continue;
		bytes = mbj_bytes_make(block->p, BLOCK_SIZE);
		DISK_CHECK(mbj_sha256_digest(sha, &bytes, 1, &block->hash,
					     NULL) == MBJ_OK);
		block->is_hashed = true;
	}
}

static void piece_add(struct mbj_sha256 *sha, const void *p, size_t n)
{
	DISK_CHECK(mbj_sha256_update(sha, mbj_bytes_make(p, n), NULL) ==
		   MBJ_OK);
}

static void file_add(struct mbj_sha256 *sha, const struct image *image)
{
	static const struct mbj_hash none = {{0}};
	uint64_t n = image->n;

	piece_add(sha, &n, sizeof(n));
	for (size_t i = 0; i * BLOCK_SIZE < image->n; i++)
		piece_add(sha,
			  image->blocks[i] ? &image->blocks[i]->hash : &none,
			  sizeof(none));
}

static int entry_compare(const void *a, const void *b)
{
	const struct entry *const *x = a;
	const struct entry *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

/* Names in their order: how they came there is no matter. */
static void directory_add(struct mbj_sha256 *sha, const struct inode *inode,
			  size_t waiting[INODES_MAX], size_t *count)
{
	const struct entry *sorted[INODES_MAX];
	size_t n = inode->now.count;

	DISK_CHECK(*count + n <= INODES_MAX);
	for (size_t i = 0; i < n; i++)
		sorted[i] = &inode->now.p[i];
	qsort(sorted, n, sizeof(void *), entry_compare);
	for (size_t i = 0; i < n; i++) {
		piece_add(sha, sorted[i]->name, NAME_SIZE);
		waiting[(*count)++] = sorted[i]->inode;
	}
	/* The names behind are another one's. */
	piece_add(sha, "", 1);
}

void disk_hash(struct disk *disk, const char *path, struct mbj_sha256 *sha,
	       struct mbj_hash *ret_hash)
{
	size_t waiting[INODES_MAX]; /* directories */
	size_t count = 0;
	const struct inode *top;
	int result;

	memset(ret_hash, 0, sizeof(*ret_hash));
	top = disk_do_look(disk, path, &result);
	if (top == NULL)
		return;
	for (size_t i = 0; i < INODES_MAX; i++)
		blocks_hash(&disk->inodes[i].cache, sha);
	DISK_CHECK(mbj_sha256_begin(sha, NULL) == MBJ_OK);
	waiting[count++] = (size_t)(top - disk->inodes);
	while (count > 0) {
		const struct inode *at = &disk->inodes[waiting[--count]];

		if (at->is_directory)
			directory_add(sha, at, waiting, &count);
		else
			file_add(sha, &at->cache);
	}
	DISK_CHECK(mbj_sha256_end(sha, ret_hash, NULL) == MBJ_OK);
}
