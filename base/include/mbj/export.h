/*
 * Visibility: what carries MBJ_API is exported from the shared library and
 * belongs to the ABI; everything else is hidden.
 */
#ifndef MBJ_EXPORT_H
#define MBJ_EXPORT_H

#if defined(__GNUC__) && !defined(MBJ_STATIC)
#define MBJ_API __attribute__((visibility("default")))
#else
#define MBJ_API
#endif

#endif
