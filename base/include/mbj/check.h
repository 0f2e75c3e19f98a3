/*
 * Assertions that stay on in release builds: a broken invariant of ours stops
 * the process before it can reach the disk.  Never for input, disk or peer.
 */
#ifndef MBJ_CHECK_H
#define MBJ_CHECK_H

#include <mbj/export.h>

#ifdef __cplusplus
extern "C" {
#define MBJ_NORETURN [[noreturn]]
#else
#define MBJ_NORETURN _Noreturn
#endif

MBJ_NORETURN MBJ_API void mbj_check_failed(const char *condition,
					   const char *file, int line,
					   const char *function);

#ifdef __cplusplus
}
#endif

#define MBJ_ASSERT(condition) \
	((condition)          \
		 ? (void)0    \
		 : mbj_check_failed(#condition, __FILE__, __LINE__, __func__))

#define MBJ_UNREACHABLE() \
	mbj_check_failed("unreachable", __FILE__, __LINE__, __func__)

#endif
