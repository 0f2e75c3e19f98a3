/*
 * Failing allocations: every allocation of the library goes through four
 * functions, which the linker puts these in front of (--wrap, see
 * cmake/MbjTest.cmake).
 *
 * Threads: any may allocate; what fails is set while one runs.  Nobody is
 * ordered by that behind who allocated before him: ThreadSanitizer would take
 * two threads for one that takes turns, and find no race between them.
 */
#include <stdatomic.h>

#include "support.h"

void *__real_mbj_alloc(size_t size);
void *__real_mbj_calloc(size_t count, size_t size);
void *__real_mbj_realloc_array(void *p, size_t count, size_t size);
void *__wrap_mbj_alloc(size_t size);
void *__wrap_mbj_calloc(size_t count, size_t size);
void *__wrap_mbj_realloc_array(void *p, size_t count, size_t size);
void __real_mbj_free(void *p);
void __wrap_mbj_free(void *p);

static _Atomic uint64_t alloc_count; /* since the last test_alloc_fail_at */
static _Atomic uint64_t alloc_fail_at;
static _Atomic bool alloc_is_for_good;
static _Atomic int64_t alloc_blocks;

void test_alloc_fail_at(uint64_t k)
{
	alloc_count = 0;
	alloc_fail_at = k;
	alloc_is_for_good = false;
}

void test_alloc_fail_from(uint64_t k)
{
	test_alloc_fail_at(k);
	alloc_is_for_good = true;
}

int64_t test_alloc_blocks(void)
{
	return alloc_blocks;
}

uint64_t test_alloc_count(void)
{
	return alloc_count;
}

static bool alloc_fails(void)
{
	uint64_t at =
		atomic_load_explicit(&alloc_fail_at, memory_order_relaxed);
	uint64_t count = 1 + atomic_fetch_add_explicit(&alloc_count, 1,
						       memory_order_relaxed);

	if (at == 0 || count < at)
		return false;
	return count == at ||
	       atomic_load_explicit(&alloc_is_for_good, memory_order_relaxed);
}

static void blocks_add(int64_t count)
{
	(void)atomic_fetch_add_explicit(&alloc_blocks, count,
					memory_order_relaxed);
}

static void *alloc_note(void *p)
{
	if (p != NULL)
		blocks_add(1);
	return p;
}

void *__wrap_mbj_alloc(size_t size)
{
	return alloc_fails() ? NULL : alloc_note(__real_mbj_alloc(size));
}

void *__wrap_mbj_calloc(size_t count, size_t size)
{
	return alloc_fails() ? NULL
			     : alloc_note(__real_mbj_calloc(count, size));
}

void *__wrap_mbj_realloc_array(void *p, size_t count, size_t size)
{
	void *moved;

	if (alloc_fails())
		return NULL;
	moved = __real_mbj_realloc_array(p, count, size);
	return p == NULL ? alloc_note(moved) : moved;
}

void __wrap_mbj_free(void *p)
{
	if (p != NULL)
		blocks_add(-1);
	__real_mbj_free(p);
}
