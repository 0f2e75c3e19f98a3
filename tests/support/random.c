/*
 * Seeded randomness for property tests: same seed, same run, on any machine.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

/* What .seeded holds once a generator has its seed. */
#define SEEDED UINT64_C(0x6d626a2d73656564)

static uint64_t splitmix64(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void test_rng_init(struct test_rng *rng, uint64_t seed)
{
	for (size_t i = 0; i < 4; i++)
		rng->s[i] = splitmix64(&seed);
	rng->seeded = SEEDED;
}

uint64_t test_rng_seed(struct test_rng *rng)
{
	const char *text = getenv("MBJ_SEED");
	uint64_t seed;

	if (text != NULL) {
		char *end = NULL;

		seed = strtoull(text, &end, 0);
		ck_assert_msg(end != text && *end == '\0',
			      "MBJ_SEED is not a number: %s", text);
	} else {
		struct timespec now;

		clock_gettime(CLOCK_REALTIME, &now);
		seed = (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 30 ^
		       (uint64_t)getpid() << 48;
		seed = splitmix64(&seed);
	}
	printf("MBJ_SEED=0x%016" PRIx64 "\n", seed);
	fflush(stdout);
	test_rng_init(rng, seed);
	return seed;
}

static uint64_t rotate(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

uint64_t test_rng_next(struct test_rng *rng)
{
	uint64_t *s = rng->s;
	uint64_t result = rotate(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	ck_assert_msg(rng->seeded == SEEDED, "a generator without a seed");
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

uint64_t test_rng_below(struct test_rng *rng, uint64_t bound)
{
	uint64_t refused, x;

	ck_assert_msg(bound > 0, "nothing is below 0");
	/* Refuse the lowest 2^64 mod bound values: the rest is even. */
	refused = (0 - bound) % bound;
	do
		x = test_rng_next(rng);
	while (x < refused);
	return x % bound;
}

uint64_t test_rng_between(struct test_rng *rng, uint64_t least, uint64_t most)
{
	ck_assert_msg(least <= most, "an empty range");
	if (most - least == UINT64_MAX)
		return test_rng_next(rng);
	return least + test_rng_below(rng, most - least + 1);
}

bool test_rng_chance(struct test_rng *rng, uint64_t numerator,
		     uint64_t denominator)
{
	return test_rng_below(rng, denominator) < numerator;
}

void test_rng_fill(struct test_rng *rng, void *p, size_t n)
{
	unsigned char *at = p;

	while (n > 0) {
		uint64_t x = test_rng_next(rng);
		size_t part = n < sizeof(x) ? n : sizeof(x);

		memcpy(at, &x, part);
		at += part;
		n -= part;
	}
}
