/*
 * What every layer's tests share: running cases, seeded randomness, temporary
 * directories.  It is below all layers and links none of them.
 *
 * A test file exports one function per noun, TCase *test_<noun>_case(void);
 * the layer's main.c lists them and calls test_run.
 *
 * Threads: one.
 */
#ifndef TEST_SUPPORT_H
#define TEST_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <check.h>

typedef TCase *(*test_case_fn)(void);

/*
 * Run the cases as one suite; returns the exit code.  The last line printed
 * is "N passed, N failed".  libcheck's own environment holds: CK_FORK=no,
 * CK_RUN_CASE=<noun>, CK_VERBOSITY.  A case that sets no time-out of its own
 * gets TEST_TIMEOUT_S.
 */
int test_run(const char *suite, const test_case_fn *cases, size_t count);

enum { TEST_TIMEOUT_S = 60 };

/* Each test runs in a process of its own, so that it may crash or exit. */
bool test_can_fork(void);

/*
 * A test that must end in MBJ_ASSERT's abort(3).  Without forking it cannot
 * be run, and is left out.
 */
void test_add_abort(TCase *tc, const TTest *test);

/*
 * Seeded randomness: xoshiro256** seeded by splitmix64 (Blackman and Vigna,
 * 2018).  Never for secrets.
 */
struct test_rng {
	uint64_t s[4];
	uint64_t seeded; /* a mark, so that one without a seed is caught */
};

void test_rng_init(struct test_rng *rng, uint64_t seed);
/*
 * Seed from MBJ_SEED in the environment, else from the system, and print
 * "MBJ_SEED=0x..."; returns the seed.
 */
uint64_t test_rng_seed(struct test_rng *rng);
uint64_t test_rng_next(struct test_rng *rng);
/* Uniform in 0 .. bound - 1.  Requires: bound > 0. */
uint64_t test_rng_below(struct test_rng *rng, uint64_t bound);
/* Uniform in least .. most. */
uint64_t test_rng_between(struct test_rng *rng, uint64_t least, uint64_t most);
/* True in numerator of denominator cases. */
bool test_rng_chance(struct test_rng *rng, uint64_t numerator,
		     uint64_t denominator);
void test_rng_fill(struct test_rng *rng, void *p, size_t n);

/* A part of a long run: of each n trials in turn, the k-th. */
struct test_part {
	uint64_t k;
	uint64_t n;
	uint64_t at; /* trials so far */
};

/* MBJ_PART=k/n from the environment, else all. */
void test_part_init(struct test_part *part);
/* The next trial is in it. */
bool test_part_takes(struct test_part *part);

/*
 * Make the k-th allocation of the library from now on fail, once; 0: none.
 * A sweep runs its body with k = 1, 2 .. until test_alloc_count() < k.
 */
void test_alloc_fail_at(uint64_t k);
/* The same, and all later ones too. */
void test_alloc_fail_from(uint64_t k);
/* Blocks that the library holds. */
int64_t test_alloc_blocks(void);
/* Allocations since test_alloc_fail_at. */
uint64_t test_alloc_count(void);
/*
 * LeakSanitizer finds a leak now, whoever allocated it, and reports it on
 * standard error; false where the build has none (preset asan has).
 */
bool test_leaks_found(void);

/*
 * A fresh directory below TMPDIR (not set: /dev/shm if it has a gigabyte, else
 * /tmp) and its removal with all in it.
 * Owned by the caller; _free sets the pointer to NULL.  It stays for looking
 * at where MBJ_KEEP is set in the environment, and its path is printed then.
 */
char *test_tmpdir_new(void);
void test_tmpdir_free(char **path);
/* dir + "/" + name, owned by the caller, free(3). */
char *test_path_dup(const char *dir, const char *name);

#endif
