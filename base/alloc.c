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
 * glibc's calloc(3) takes nothing from the lists of small blocks that each
 * thread has for itself (before 2.41), though free(3) puts them there: for
 * these, malloc(3) and a memset(3) cost a third.
 *
 * Threads: as malloc(3), safe from all of them.
 */
#include <stdlib.h>
#include <string.h>

#include <mbj/memory.h>

enum { ZEROED_BY_HAND_MAX = 1024 };

void *mbj_alloc(size_t size)
{
	return malloc(size == 0 ? 1 : size);
}

/* Apart, or compilers make a calloc(3) of this and a memset(3). */
__attribute__((noinline)) static void *block_take(size_t size)
{
	return malloc(size);
}

void *mbj_calloc(size_t count, size_t size)
{
	if (count == 0 || size == 0)
		return calloc(1, 1);
	/* calloc(3) refuses it too, but under a sanitizer by stopping. */
	if (count > SIZE_MAX / size)
		return NULL;
	if (count * size <= ZEROED_BY_HAND_MAX) {
		void *p = block_take(count * size);

		if (p != NULL)
			memset(p, 0, count * size);
		return p;
	}
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
