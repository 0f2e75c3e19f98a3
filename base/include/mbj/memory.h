/*
 * Memory: the allocation seam, arenas and bounded buffers.
 *
 * All heap memory of the library comes through mbj_alloc and friends; a test
 * build links another base/alloc.c to make any single allocation fail.
 * Nothing is unbounded: arenas and buffers take their maximum at birth.
 *
 * Threads: one thread at a time per arena or buffer.
 */
#ifndef MBJ_MEMORY_H
#define MBJ_MEMORY_H

#include <mbj/error.h>
#include <mbj/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* NULL when out of memory; size 0 is taken as 1. */
MBJ_API void *mbj_alloc(size_t size);
/* Zeroed; NULL also where count * size overflows. */
MBJ_API void *mbj_calloc(size_t count, size_t size);
/* Resize an array; NULL (old array intact) also where the product overflows. */
MBJ_API void *mbj_realloc_array(void *p, size_t count, size_t size);
MBJ_API void mbj_free(void *p);

/*
 * Grow *array (of *capacity elements of size bytes) to hold at least needed:
 * doubling, MBJ_ELIMIT over max, MBJ_ENOMEM.  *array moves.
 */
MBJ_API enum mbj_rc mbj_array_reserve(void **array, size_t *capacity,
				      size_t needed, size_t size, size_t max,
				      struct mbj_error *err) MBJ_MUST_CHECK;

/* Arena: many small allocations freed at once; addresses are stable. */
struct mbj_arena;

MBJ_API enum mbj_rc mbj_arena_new(size_t bytes_max,
				  struct mbj_arena **ret_arena,
				  struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_arena_free(struct mbj_arena **arena);
/* Forget everything allocated, keep one chunk for reuse. */
MBJ_API void mbj_arena_reset(struct mbj_arena *arena);
/* Aligned for any type, not zeroed; NULL when out of memory or over max. */
MBJ_API void *mbj_arena_alloc(struct mbj_arena *arena, size_t size);
/*
 * An unaligned copy of b in the arena; nothing, {NULL, 0}, of nothing.
 * False when out of memory or over max; *ret_copy is not written then.
 */
MBJ_API bool mbj_arena_dup(struct mbj_arena *arena, struct mbj_bytes b,
			   struct mbj_bytes *ret_copy);
MBJ_API size_t mbj_arena_used(const struct mbj_arena *arena);

/*
 * Bounded growable buffer with a sticky failure: append as needed, look at
 * mbj_buf_ok() once at the end.  The storage is the buffer's until _done.
 */
struct mbj_buf {
	uint8_t *p;
	size_t n;
	size_t capacity;
	size_t max;
	enum mbj_rc failed; /* MBJ_OK, MBJ_ENOMEM or MBJ_ELIMIT */
};

MBJ_API void mbj_buf_init(struct mbj_buf *buf, size_t max);
MBJ_API void mbj_buf_done(struct mbj_buf *buf);
/* Empty it, keep the memory, clear a failure. */
MBJ_API void mbj_buf_clear(struct mbj_buf *buf);
MBJ_API enum mbj_rc mbj_buf_ok(const struct mbj_buf *buf,
			       struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_buf_put(struct mbj_buf *buf, const void *p, size_t n);
MBJ_API void mbj_buf_put_bytes(struct mbj_buf *buf, struct mbj_bytes b);
MBJ_API void mbj_buf_put_str(struct mbj_buf *buf, const char *text);
MBJ_API void mbj_buf_put_zero(struct mbj_buf *buf, size_t n);
MBJ_API void mbj_buf_format(struct mbj_buf *buf, const char *format, ...)
	MBJ_PRINTF(2, 3);
/* Little-endian integers, as all records have them. */
MBJ_API void mbj_buf_put_u8(struct mbj_buf *buf, uint8_t v);
MBJ_API void mbj_buf_put_u16(struct mbj_buf *buf, uint16_t v);
MBJ_API void mbj_buf_put_u32(struct mbj_buf *buf, uint32_t v);
MBJ_API void mbj_buf_put_u64(struct mbj_buf *buf, uint64_t v);
MBJ_API void mbj_buf_put_id(struct mbj_buf *buf, struct mbj_id id);
/* u32 length, then the bytes. */
MBJ_API void mbj_buf_put_block(struct mbj_buf *buf, struct mbj_bytes b);

static inline struct mbj_bytes mbj_buf_view(const struct mbj_buf *buf)
{
	return mbj_bytes_make(buf->p, buf->n);
}

#ifdef __cplusplus
}
#endif

#endif
