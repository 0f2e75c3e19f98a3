/*
 * Arenas: many small allocations with one common end.
 *
 * It is not a general allocator: nothing is freed singly, and nothing grows
 * in place.  Memory comes in chunks, doubling up to CHUNK_MAX; a request too
 * big for a chunk gets one of its own behind the current one, so that the
 * rest of the current one is not lost.
 *
 * Invariants:
 *  1. used <= bytes_max: what was handed out, padding included.
 *  2. The chunk at the head of the list is the only one still being filled.
 *  3. A block never moves.
 *
 * Threads: one at a time per arena.
 */
#include <stdalign.h>

#include <mbj/check.h>
#include <mbj/memory.h>

/* The first chunk, with its head, is a block that malloc(3) has at hand. */
enum { CHUNK_MIN = 992, CHUNK_MAX = 1 << 20 };

struct arena_chunk {
	struct arena_chunk *next;
	size_t size; /* bytes of data */
	size_t n;    /* bytes of data handed out, <= size */
	alignas(max_align_t) uint8_t data[];
};

struct mbj_arena {
	struct arena_chunk *head;
	size_t bytes_max;
	size_t used;
	size_t chunk_size; /* of the next chunk */
};

enum mbj_rc mbj_arena_new(size_t bytes_max, struct mbj_arena **ret_arena,
			  struct mbj_error *err)
{
	struct mbj_arena *arena;

	MBJ_ASSERT(ret_arena != NULL);
	MBJ_ASSERT(bytes_max > 0);
	arena = mbj_calloc(1, sizeof(*arena));
	if (arena == NULL)
		return mbj_error_nomem(err);
	arena->bytes_max = bytes_max;
	arena->chunk_size = CHUNK_MIN;
	*ret_arena = arena;
	return MBJ_OK;
}

static void chunks_free(struct arena_chunk *chunk)
{
	while (chunk != NULL) {
		struct arena_chunk *next = chunk->next;

		mbj_free(chunk);
		chunk = next;
	}
}

void mbj_arena_free(struct mbj_arena **arena)
{
	if (arena == NULL || *arena == NULL)
		return;
	MBJ_ASSERT((*arena)->used <= (*arena)->bytes_max);
	chunks_free((*arena)->head);
	mbj_free(*arena);
	*arena = NULL;
}

void mbj_arena_reset(struct mbj_arena *arena)
{
	struct arena_chunk *kept;

	MBJ_ASSERT(arena != NULL);
	kept = arena->head;
	arena->used = 0;
	if (kept == NULL)
		return;
	chunks_free(kept->next);
	kept->next = NULL;
	kept->n = 0;
}

/* Bytes that make offset a multiple of align, a power of two. */
static size_t padding_of(size_t offset, size_t align)
{
	return (align - (offset & (align - 1))) & (align - 1);
}

static struct arena_chunk *chunk_new(size_t size)
{
	struct arena_chunk *chunk;

	if (size > SIZE_MAX - sizeof(*chunk))
		return NULL;
	chunk = mbj_alloc(sizeof(*chunk) + size);
	if (chunk == NULL)
		return NULL;
	chunk->next = NULL;
	chunk->size = size;
	chunk->n = 0;
	return chunk;
}

/*
 * A chunk with room for size bytes, linked into the list.  What does not fit
 * a quarter of a chunk is not worth abandoning the current one for.
 */
static struct arena_chunk *chunk_add(struct mbj_arena *arena, size_t size)
{
	struct arena_chunk *chunk;

	if (arena->head != NULL && size > arena->chunk_size / 4) {
		chunk = chunk_new(size);
		if (chunk == NULL)
			return NULL;
		chunk->next = arena->head->next;
		arena->head->next = chunk;
		return chunk;
	}
	chunk = chunk_new(size > arena->chunk_size ? size : arena->chunk_size);
	if (chunk == NULL)
		return NULL;
	if (arena->chunk_size < CHUNK_MAX)
		arena->chunk_size *= 2;
	chunk->next = arena->head;
	arena->head = chunk;
	return chunk;
}

static void *arena_take(struct mbj_arena *arena, size_t size, size_t align)
{
	struct arena_chunk *chunk = arena->head;
	size_t padding = 0;
	size_t end;

	MBJ_ASSERT(arena->used <= arena->bytes_max);
	MBJ_ASSERT(align > 0 && (align & (align - 1)) == 0);
	if (size > arena->bytes_max - arena->used)
		return NULL;
	if (chunk != NULL)
		padding = padding_of(chunk->n, align);
	if (chunk == NULL || chunk->size - chunk->n < padding ||
	    chunk->size - chunk->n - padding < size) {
		chunk = chunk_add(arena, size);
		if (chunk == NULL)
			return NULL;
		padding = 0;
	}
	if (padding > arena->bytes_max - arena->used - size)
		return NULL;
	end = chunk->n + padding + size;
	MBJ_ASSERT(end <= chunk->size);
	arena->used += end - chunk->n;
	chunk->n = end;
	return chunk->data + end - size;
}

void *mbj_arena_alloc(struct mbj_arena *arena, size_t size)
{
	MBJ_ASSERT(arena != NULL);
	return arena_take(arena, size == 0 ? 1 : size, alignof(max_align_t));
}

bool mbj_arena_dup(struct mbj_arena *arena, struct mbj_bytes b,
		   struct mbj_bytes *ret_copy)
{
	uint8_t *p;

	MBJ_ASSERT(arena != NULL);
	MBJ_ASSERT(b.p != NULL || b.n == 0);
	if (b.n == 0) {
		*ret_copy = mbj_bytes_make(NULL, 0);
		return true;
	}
	p = arena_take(arena, b.n, 1);
	if (p == NULL)
		return false;
	memcpy(p, b.p, b.n);
	*ret_copy = mbj_bytes_make(p, b.n);
	return true;
}

size_t mbj_arena_used(const struct mbj_arena *arena)
{
	MBJ_ASSERT(arena != NULL);
	return arena->used;
}
