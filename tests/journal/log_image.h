/*
 * Files of the disk in memory: what is read, what is on disk, and the writes
 * between the two.
 */
#ifndef TEST_JOURNAL_LOG_IMAGE_H
#define TEST_JOURNAL_LOG_IMAGE_H

#include <stddef.h>
#include <stdint.h>

struct image {
	uint8_t *p;
	size_t n;
	size_t capacity;
};

struct pending {
	size_t at;
	size_t n;
	uint8_t *p;
};

struct inode {
	struct image cache;   /* as it is read */
	struct image durable; /* as it is on disk */
	struct pending *pending;
	size_t pending_count;
	size_t pending_capacity;
};

/* realloc(3) that does not fail. */
void *grow(void *p, size_t n);
void image_resize(struct image *image, size_t n);
void image_write(struct image *image, size_t at, const uint8_t *p, size_t n);
void image_copy(struct image *target, const struct image *source);
void pending_clear(struct inode *inode);
void pending_add(struct inode *inode, size_t at, const uint8_t *p, size_t n);

#endif
