/*
 * The open-addressing index against a naive model.
 */
#include <stdlib.h>

#include <mbj/hash.h>

#include "cases.h"

enum { HASHES = 64, VALUES = 32, OPS = 100000 };

/* What should be there: hash number by value. */
struct model {
	uint64_t hashes[HASHES];
	bool has[HASHES][VALUES];
	size_t count;
};

static bool table_has(const struct mbj_table *t, uint64_t hash, uint32_t value)
{
	uint32_t at = mbj_table_seek(t, hash), v;

	while (mbj_table_next(t, hash, &at, &v)) {
		if (v == value)
			return true;
	}
	return false;
}

static size_t walk_length(const struct mbj_table *t, uint64_t hash)
{
	uint32_t at = mbj_table_seek(t, hash), v;
	size_t n = 0;

	while (mbj_table_next(t, hash, &at, &v))
		n++;
	return n;
}

/* Invariants 1 to 3 of table.c, by looking at every slot. */
static void table_check(const struct mbj_table *t)
{
	size_t used = 0, count = 0;

	ck_assert_uint_eq(t->capacity & (t->capacity - 1), 0);
	for (size_t i = 0; i < t->capacity; i++) {
		uint64_t slot = t->slots[i];
		size_t home = (slot >> 32) & (t->capacity - 1);

		used += slot != 0;
		if (slot <= 1)
			continue;
		count++;
		for (; home != i; home = (home + 1) & (t->capacity - 1))
			ck_assert_uint_ne(t->slots[home], 0);
	}
	ck_assert_uint_eq(t->used, used);
	ck_assert_uint_eq(t->count, count);
	ck_assert_uint_le(t->used, t->capacity / 4 * 3);
}

static void model_init(struct model *model, struct test_rng *rng)
{
	*model = (struct model){.count = 0};
	for (size_t i = 0; i < HASHES; i++) {
		uint64_t x = test_rng_next(rng);

		/* A third shares a home with a neighbour, to make clusters. */
		if (i % 3 == 0 && i > 0)
			x = model->hashes[i - 1] + ((uint64_t)1 << 52);
		model->hashes[i] = x;
	}
}

static void model_step(struct model *model, struct mbj_table *t,
		       struct test_rng *rng, unsigned add_percent)
{
	size_t h = test_rng_below(rng, HASHES);
	uint32_t value = (uint32_t)test_rng_below(rng, VALUES);
	uint64_t hash = model->hashes[h];
	bool *has = &model->has[h][value];

	ck_assert(table_has(t, hash, value) == *has);
	if (!test_rng_chance(rng, add_percent, 100)) {
		ck_assert(mbj_table_remove(t, hash, value) == *has);
		model->count -= *has;
		*has = false;
	} else if (!*has) {
		ck_assert_int_eq(mbj_table_add(t, hash, value, NULL), MBJ_OK);
		model->count++;
		*has = true;
	}
	ck_assert(table_has(t, hash, value) == *has);
	ck_assert_uint_eq(t->count, model->count);
}

/*
 * Goal: the table holds exactly what was added and not removed.  Method:
 * 100 000 random steps, seed printed, with times of growth and of decay and
 * hashes that collide, against a matrix of what should be there.
 */
START_TEST(table_matches_model)
{
	struct model *model = malloc(sizeof(*model));
	struct mbj_table t;
	struct test_rng rng;

	ck_assert_ptr_nonnull(model);
	test_rng_seed(&rng);
	model_init(model, &rng);
	mbj_table_init(&t);
	for (unsigned i = 0; i < OPS; i++) {
		model_step(model, &t, &rng, i / 10000 % 2 ? 20 : 80);
		if (i % 500 == 0)
			table_check(&t);
	}
	for (size_t h = 0; h < HASHES; h++) {
		size_t expected = 0;

		for (size_t v = 0; v < VALUES; v++)
			expected += model->has[h][v];
		ck_assert_uint_eq(walk_length(&t, model->hashes[h]), expected);
	}
	mbj_table_done(&t);
	free(model);
}
END_TEST

/*
 * Goal: it grows, finds everything again, and stays small when entries come
 * and go.  Method: 50 000 spread hashes, then as many replacements.
 */
START_TEST(table_grows)
{
	struct mbj_sip_key key = {1, 2};
	const uint32_t total = 50000;
	struct mbj_table t;

	mbj_table_init(&t);
	for (uint32_t i = 0; i < 2 * total; i++) {
		uint64_t hash = mbj_siphash(key, mbj_bytes_make(&i, sizeof(i)));

		if (i >= total) {
			uint32_t old = i - total;

			ck_assert(mbj_table_remove(
				&t,
				mbj_siphash(key,
					    mbj_bytes_make(&old, sizeof(old))),
				old));
		}
		ck_assert_int_eq(mbj_table_add(&t, hash, i, NULL), MBJ_OK);
	}
	table_check(&t);
	ck_assert_uint_eq(t.count, total);
	ck_assert_uint_le(t.capacity, 131072 * 2);
	for (uint32_t i = 0; i < 2 * total; i++) {
		uint64_t hash = mbj_siphash(key, mbj_bytes_make(&i, sizeof(i)));

		ck_assert(table_has(&t, hash, i) == (i >= total));
	}
	mbj_table_done(&t);
}
END_TEST

/*
 * Goal: an empty table answers, and the extreme values are values.  Method:
 * ask before anything was added, then add the smallest and the largest.
 */
START_TEST(table_edges)
{
	uint64_t hash = UINT64_MAX;
	struct mbj_table t;

	mbj_table_init(&t);
	ck_assert(!table_has(&t, hash, 0));
	ck_assert(!mbj_table_remove(&t, hash, 0));
	mbj_table_clear(&t);
	ck_assert_int_eq(mbj_table_add(&t, hash, 0, NULL), MBJ_OK);
	ck_assert_int_eq(mbj_table_add(&t, hash, UINT32_MAX - 2, NULL), MBJ_OK);
	ck_assert_int_eq(mbj_table_add(&t, 0, 0, NULL), MBJ_OK);
	ck_assert(table_has(&t, hash, 0));
	ck_assert(table_has(&t, hash, UINT32_MAX - 2));
	ck_assert(table_has(&t, 0, 0));
	ck_assert(!table_has(&t, 0, 1));
	ck_assert(mbj_table_remove(&t, hash, UINT32_MAX - 2));
	ck_assert(!mbj_table_remove(&t, hash, UINT32_MAX - 2));
	table_check(&t);
	mbj_table_clear(&t);
	ck_assert(!table_has(&t, hash, 0));
	ck_assert_uint_eq(t.count, 0);
	table_check(&t);
	mbj_table_done(&t);
	ck_assert_ptr_null(t.slots);
	mbj_table_done(NULL);
}
END_TEST

/*
 * Goal: what was reserved is added without an allocation.  Method: make the
 * first allocation after the reservation fail.
 */
START_TEST(table_reserves)
{
	static const uint32_t counts[] = {1, 12, 13, 1000, 1536};
	uint32_t count = counts[_i];
	struct mbj_table t;

	mbj_table_init(&t);
	ck_assert_int_eq(mbj_table_reserve(&t, count, NULL), MBJ_OK);
	test_alloc_fail_at(1);
	for (uint32_t i = 0; i < count; i++)
		ck_assert_int_eq(mbj_table_add(&t, (uint64_t)i << 32, i, NULL),
				 MBJ_OK);
	ck_assert_uint_eq(test_alloc_count(), 0);
	ck_assert_int_eq(mbj_table_reserve(&t, 10, NULL), MBJ_OK);
	ck_assert_uint_eq(test_alloc_count(), 0);
	ck_assert_int_eq(mbj_table_reserve(&t, (size_t)1 << 40, NULL),
			 MBJ_ELIMIT);
	test_alloc_fail_at(0);
	mbj_table_done(&t);
}
END_TEST

/*
 * Goal: a candidate may be removed while the walk goes on.  Method: remove
 * every second of twenty values of one hash.
 */
START_TEST(table_removes_in_walk)
{
	uint64_t hash = UINT64_C(0x123456789abcdef0);
	struct mbj_table t;
	uint32_t at, v;
	size_t seen = 0;

	mbj_table_init(&t);
	for (uint32_t i = 0; i < 20; i++)
		ck_assert_int_eq(mbj_table_add(&t, hash, i, NULL), MBJ_OK);
	at = mbj_table_seek(&t, hash);
	while (mbj_table_next(&t, hash, &at, &v)) {
		seen++;
		if (v % 2 == 1)
			ck_assert(mbj_table_remove(&t, hash, v));
	}
	ck_assert_uint_eq(seen, 20);
	ck_assert_uint_eq(walk_length(&t, hash), 10);
	table_check(&t);
	mbj_table_done(&t);
}
END_TEST

/*
 * Goal: without memory the table is as it was.  Method: fail the first
 * allocation and the one of the first growth.
 */
START_TEST(table_nomem)
{
	struct mbj_error err;
	struct mbj_table t;
	uint32_t i = 0;

	mbj_table_init(&t);
	test_alloc_fail_at(1);
	ck_assert_int_eq(mbj_table_add(&t, 7, 7, &err), MBJ_ENOMEM);
	test_alloc_fail_at(2);
	while (mbj_table_add(&t, (uint64_t)i << 32, i, &err) == MBJ_OK)
		i++;
	ck_assert_int_eq(err.rc, MBJ_ENOMEM);
	ck_assert_uint_eq(t.count, i);
	for (uint32_t k = 0; k < i; k++)
		ck_assert(table_has(&t, (uint64_t)k << 32, k));
	ck_assert_int_eq(mbj_table_add(&t, (uint64_t)i << 32, i, &err), MBJ_OK);
	table_check(&t);
	mbj_table_done(&t);
}
END_TEST

TCase *test_table_case(void)
{
	TCase *tc = tcase_create("table");

	tcase_add_test(tc, table_matches_model);
	tcase_add_test(tc, table_grows);
	tcase_add_test(tc, table_edges);
	tcase_add_loop_test(tc, table_reserves, 0, 5);
	tcase_add_test(tc, table_removes_in_walk);
	tcase_add_test(tc, table_nomem);
	return tc;
}
