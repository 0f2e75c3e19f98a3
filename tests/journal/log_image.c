/*
 * Files of the disk in memory.
 */
#include "log_image.h"

#include <stdlib.h>
#include <string.h>

#include "support.h"

void *grow(void *p, size_t n)
{
	p = realloc(p, n == 0 ? 1 : n);
	ck_assert_ptr_nonnull(p);
	return p;
}

void image_resize(struct image *image, size_t n)
{
	if (n > image->capacity) {
		image->capacity = n * 2;
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
	memcpy(image->p + at, p, n);
}

void image_copy(struct image *target, const struct image *source)
{
	image_resize(target, source->n);
	if (source->n > 0)
		memcpy(target->p, source->p, source->n);
}

void pending_clear(struct inode *inode)
{
	for (size_t i = 0; i < inode->pending_count; i++)
		free(inode->pending[i].p);
	inode->pending_count = 0;
}

void pending_add(struct inode *inode, size_t at, const uint8_t *p, size_t n)
{
	struct pending *pending;

	if (inode->pending_count == inode->pending_capacity) {
		inode->pending_capacity = inode->pending_capacity * 2 + 8;
		inode->pending =
			grow(inode->pending,
			     inode->pending_capacity * sizeof(*inode->pending));
	}
	pending = &inode->pending[inode->pending_count++];
	*pending = (struct pending){at, n, grow(NULL, n)};
	memcpy(pending->p, p, n);
}
