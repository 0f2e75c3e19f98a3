/*
 * Leaks as LeakSanitizer sees them: of all that was allocated by anybody, what
 * nothing points to any more.
 *
 * Threads: one; the others are stopped while it looks.
 */
#include "support.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_LEAK_SANITIZER
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_LEAK_SANITIZER
#endif

#ifdef HAS_LEAK_SANITIZER

#include <sanitizer/lsan_interface.h>

bool test_leaks_found(void)
{
	return __lsan_do_recoverable_leak_check() != 0;
}

#else

bool test_leaks_found(void)
{
	return false;
}

#endif
