/*
 * The small value types that all layers share.
 *
 * Numbers that must not be mixed are one-field structs, so that the compiler
 * notices an epoch passed as an LSN.
 */
#ifndef MBJ_TYPES_H
#define MBJ_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <mbj/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A byte string that somebody else owns; p may be NULL where n is 0. */
struct mbj_bytes {
	const uint8_t *p;
	size_t n;
};

/* Place in a store's one total order: dense, from 1; 0 is "none yet". */
struct mbj_lsn {
	uint64_t v;
};

/* A primary's reign: numbers only rise. */
struct mbj_epoch {
	uint64_t v;
};

enum { MBJ_ID_SIZE = 16, MBJ_ID_TEXT_SIZE = 33, MBJ_HASH_SIZE = 32 };

/* A 128-bit identity: MAILBOXID (RFC 8474), account, lineage, instance. */
struct mbj_id {
	uint8_t b[MBJ_ID_SIZE];
};

/* A SHA-256 value: chain, blob address, name hash. */
struct mbj_hash {
	uint8_t b[MBJ_HASH_SIZE];
};

/*
 * Reserved ids, refused as input.  ROOT is the parent of top-level mailboxes
 * and "absent" elsewhere (all zero); TEMP is the parent of parked mailboxes,
 * inside a plan and an open transaction only (all 0xff).
 */
#define MBJ_ID_ROOT ((struct mbj_id){{0}})
#define MBJ_ID_TEMP                                                       \
	((struct mbj_id){{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, \
			  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}})

static inline bool mbj_id_equal(struct mbj_id a, struct mbj_id b)
{
	return memcmp(a.b, b.b, MBJ_ID_SIZE) == 0;
}

static inline int mbj_id_compare(struct mbj_id a, struct mbj_id b)
{
	return memcmp(a.b, b.b, MBJ_ID_SIZE);
}

MBJ_API bool mbj_id_is_root(struct mbj_id id);
MBJ_API bool mbj_id_is_temp(struct mbj_id id);
/* ROOT or TEMP: nobody's identity. */
MBJ_API bool mbj_id_is_reserved(struct mbj_id id);
/* 32 lower-case hexadecimal digits and a NUL. */
MBJ_API void mbj_id_print(struct mbj_id id, char text[MBJ_ID_TEXT_SIZE]);
/* Accepts exactly 32 hexadecimal digits of either case. */
MBJ_API bool mbj_id_parse(struct mbj_bytes text, struct mbj_id *ret_id);

static inline struct mbj_bytes mbj_bytes_make(const void *p, size_t n)
{
	return (struct mbj_bytes){(const uint8_t *)p, n};
}

static inline struct mbj_bytes mbj_bytes_str(const char *text)
{
	return mbj_bytes_make(text, strlen(text));
}

static inline bool mbj_bytes_equal(struct mbj_bytes a, struct mbj_bytes b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Bytewise order, the shorter first where one is a prefix. */
MBJ_API int mbj_bytes_compare(struct mbj_bytes a, struct mbj_bytes b);

#ifdef __cplusplus
}
#endif

#endif
