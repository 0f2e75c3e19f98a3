/*
 * Failing allocations: every allocation of the library goes through four
 * functions, which the linker puts these in front of (--wrap, see
 * cmake/MbjTest.cmake).
 */
#include "support.h"

void *__real_mbj_alloc(size_t size);
void *__real_mbj_calloc(size_t count, size_t size);
void *__real_mbj_realloc_array(void *p, size_t count, size_t size);
void *__wrap_mbj_alloc(size_t size);
void *__wrap_mbj_calloc(size_t count, size_t size);
void *__wrap_mbj_realloc_array(void *p, size_t count, size_t size);

static uint64_t alloc_count; /* since the last test_alloc_fail_at */
static uint64_t alloc_fail_at;

void test_alloc_fail_at(uint64_t k)
{
	alloc_count = 0;
	alloc_fail_at = k;
}

uint64_t test_alloc_count(void)
{
	return alloc_count;
}

static bool alloc_fails(void)
{
	return ++alloc_count == alloc_fail_at;
}

void *__wrap_mbj_alloc(size_t size)
{
	return alloc_fails() ? NULL : __real_mbj_alloc(size);
}

void *__wrap_mbj_calloc(size_t count, size_t size)
{
	return alloc_fails() ? NULL : __real_mbj_calloc(count, size);
}

void *__wrap_mbj_realloc_array(void *p, size_t count, size_t size)
{
	return alloc_fails() ? NULL : __real_mbj_realloc_array(p, count, size);
}
