/*
 * Arenas.
 */
#include <stdalign.h>

#include <mbj/memory.h>

#include "cases.h"

static struct mbj_arena *arena_make(size_t max)
{
	struct mbj_arena *arena = NULL;

	ck_assert_int_eq(mbj_arena_new(max, &arena, NULL), MBJ_OK);
	ck_assert_ptr_nonnull(arena);
	return arena;
}

/*
 * Goal: an arena hands out its maximum and not a byte more.  Method: exactly
 * the maximum at once, and in pieces until it refuses.
 */
START_TEST(arena_limit)
{
	static const size_t maxima[] = {16, 4096, 4112, 100000};
	struct mbj_arena *arena = arena_make(maxima[_i]);
	size_t pieces = 0;

	ck_assert_ptr_null(mbj_arena_alloc(arena, maxima[_i] + 1));
	ck_assert_ptr_nonnull(mbj_arena_alloc(arena, maxima[_i]));
	ck_assert_uint_eq(mbj_arena_used(arena), maxima[_i]);
	ck_assert_ptr_null(mbj_arena_alloc(arena, 1));
	mbj_arena_reset(arena);
	ck_assert_uint_eq(mbj_arena_used(arena), 0);
	while (mbj_arena_alloc(arena, 16) != NULL)
		pieces++;
	ck_assert_uint_eq(pieces, maxima[_i] / 16);
	mbj_arena_free(&arena);
	ck_assert_ptr_null(arena);
	mbj_arena_free(&arena);
}
END_TEST

enum { BLOCKS_MAX = 400 };

struct block {
	uint8_t *p;
	size_t n;
	uint8_t fill;
};

/*
 * Goal: blocks are aligned, stay where they are and do not overlap, and a
 * reset arena is as good as new.  Method: fill random blocks, seed printed,
 * and find each as it was filled.
 */
START_TEST(arena_blocks)
{
	struct mbj_arena *arena = arena_make(1 << 24);
	struct block blocks[BLOCKS_MAX];
	struct test_rng rng;

	test_rng_seed(&rng);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < BLOCKS_MAX; i++) {
			size_t n = test_rng_below(&rng, i % 50 ? 300 : 30000);

			blocks[i].n = n;
			blocks[i].fill = (uint8_t)i;
			blocks[i].p = mbj_arena_alloc(arena, n);
			ck_assert_ptr_nonnull(blocks[i].p);
			ck_assert_uint_eq((uintptr_t)blocks[i].p %
						  alignof(max_align_t),
					  0);
			memset(blocks[i].p, blocks[i].fill, n);
		}
		for (size_t i = 0; i < BLOCKS_MAX; i++) {
			for (size_t at = 0; at < blocks[i].n; at++)
				ck_assert_uint_eq(blocks[i].p[at],
						  blocks[i].fill);
		}
		mbj_arena_reset(arena);
	}
	mbj_arena_free(&arena);
}
END_TEST

/*
 * Goal: a copy is equal, elsewhere, and costs its length.  Method: copy three
 * strings, then change the original.
 */
START_TEST(arena_dups)
{
	struct mbj_arena *arena = arena_make(64);
	char text[] = "INBOX";
	static const uint8_t forty_one[41] = {0};
	struct mbj_bytes copy = {NULL, 9}, second;

	ck_assert(mbj_arena_dup(arena, mbj_bytes_make(NULL, 0), &copy));
	ck_assert_ptr_null(copy.p);
	ck_assert_uint_eq(copy.n, 0);
	ck_assert(mbj_arena_dup(arena, mbj_bytes_str(text), &copy));
	ck_assert(mbj_arena_dup(arena, mbj_bytes_str("Sent"), &second));
	ck_assert_uint_eq(mbj_arena_used(arena), 9);
	text[0] = 'x';
	ck_assert(mbj_bytes_equal(copy, mbj_bytes_str("INBOX")));
	ck_assert(mbj_bytes_equal(second, mbj_bytes_str("Sent")));
	ck_assert_ptr_nonnull(mbj_arena_alloc(arena, 8));
	ck_assert_uint_eq(mbj_arena_used(arena), 24);
	ck_assert(!mbj_arena_dup(arena, mbj_bytes_make(forty_one, 41), &copy));
	ck_assert_msg(copy.n == 5, "written in spite of a failure");
	mbj_arena_free(&arena);
}
END_TEST

/*
 * Goal: without memory an allocation fails and the arena goes on.  Method:
 * fail each allocation of a short life, one after the other.
 */
START_TEST(arena_nomem)
{
	struct mbj_arena *arena = NULL;
	struct mbj_error err;

	test_alloc_fail_at(1);
	ck_assert_int_eq(mbj_arena_new(1 << 20, &arena, &err), MBJ_ENOMEM);
	ck_assert_ptr_null(arena);
	arena = arena_make(1 << 20);
	test_alloc_fail_at(1);
	ck_assert_ptr_null(mbj_arena_alloc(arena, 10));
	ck_assert_ptr_nonnull(mbj_arena_alloc(arena, 10));
	test_alloc_fail_at(1);
	ck_assert_ptr_null(mbj_arena_alloc(arena, 100000));
	ck_assert_uint_eq(mbj_arena_used(arena), 10);
	ck_assert_ptr_nonnull(mbj_arena_alloc(arena, 100000));
	mbj_arena_free(&arena);
}
END_TEST

TCase *test_arena_case(void)
{
	TCase *tc = tcase_create("arena");

	tcase_add_loop_test(tc, arena_limit, 0, 4);
	tcase_add_test(tc, arena_blocks);
	tcase_add_test(tc, arena_dups);
	tcase_add_test(tc, arena_nomem);
	return tc;
}
