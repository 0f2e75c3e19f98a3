/*
 * The one place where the library takes memory from the C library.
 *
 * It is not a pool and keeps no figures.  A test build links another file in
 * its place to make any single allocation fail, which is why it holds these
 * four functions and nothing else.
 *
 * Invariants:
 *  1. No size of 0 reaches malloc(3): its result would be NULL on some
 *     systems, and NULL means "out of memory" to all callers.
 *  2. No product of count and size wraps around.
 *
 * Threads: as malloc(3), safe from all of them.
 */
#include <stdlib.h>

#include <mbj/memory.h>

void *mbj_alloc(size_t size)
{
	return malloc(size == 0 ? 1 : size);
}

void *mbj_calloc(size_t count, size_t size)
{
	if (count == 0 || size == 0)
		return calloc(1, 1);
	/* calloc(3) refuses it too, but under a sanitizer by stopping. */
	if (count > SIZE_MAX / size)
		return NULL;
	return calloc(count, size);
}

void *mbj_realloc_array(void *p, size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / size)
		return NULL;
	if (count == 0 || size == 0)
		return realloc(p, 1);
	return realloc(p, count * size);
}

void mbj_free(void *p)
{
	free(p);
}
