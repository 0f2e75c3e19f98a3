/*
 * Cheap assertions: each one of libcheck's that holds calls _mark_point, which
 * writes file and line to the parent process, to say where a test was when a
 * signal ended it.  In a loop over a million bytes that is a million writes,
 * and nearly all of a suite's time.  The linker puts this in front of it
 * (--wrap, see cmake/MbjTest.cmake): the first marks of a test are exact, of
 * the later ones a sample is written.  A failed assertion names its own line
 * and does not come through here.
 *
 * Threads: any; marks that race may be counted once.
 */
#include <stdatomic.h>

#include "support.h"

enum { MARKS_EXACT = 1000, MARKS_SAMPLE = 1024 };

void __real__mark_point(const char *file, int line);
void __wrap__mark_point(const char *file, int line);

static atomic_uint mark_count;

void __wrap__mark_point(const char *file, int line)
{
	unsigned count =
		atomic_load_explicit(&mark_count, memory_order_relaxed);

	if (count < MARKS_EXACT || count % MARKS_SAMPLE == 0)
		__real__mark_point(file, line);
	atomic_store_explicit(&mark_count, count + 1, memory_order_relaxed);
}
