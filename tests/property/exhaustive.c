/*
 * The exhaustive test's command line, and what its parts share.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "exhaustive.h"

enum { SHORT_ONE_IN = 10 };

/* The command line's choices: libcheck's tests take no arguments. */
static const char *case_text;
static bool is_long;

bool hunt_is_long(void)
{
	return is_long;
}

uint64_t hunt_one_in(void)
{
	return is_long ? 1 : SHORT_ONE_IN;
}

uint64_t hunt_seed(void)
{
	struct test_rng rng;

	return is_long ? 0 : test_rng_seed(&rng);
}

void hunt_expect(const struct hunt *hunt, struct exam_tally *ret_tally)
{
	struct timespec begin, end;
	bool is_good;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	is_good = hunt_run(hunt, ret_tally);
	clock_gettime(CLOCK_MONOTONIC, &end);
	hunt_print(hunt->name, ret_tally,
		   (double)(end.tv_sec - begin.tv_sec) +
			   (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
	ck_assert_msg(is_good, "%s: a case failed, see above", hunt->name);
	ck_assert_uint_eq(ret_tally->unproven, 0);
	ck_assert_uint_eq(ret_tally->resumes, ret_tally->steps);
}

TCase *hunt_case(const char *noun, const TTest *test, int rows)
{
	TCase *tc = tcase_create(noun);

	tcase_set_timeout(tc, 0);
	tcase_add_loop_test(tc, test, 0, rows);
	return tc;
}

/* Goal: a case found by a hunt fails, or passes, alone.  Method: run it. */
START_TEST(test_repeat)
{
	ck_assert(hunt_repeat(case_text));
}
END_TEST

static TCase *test_repeat_case(void)
{
	return hunt_case("repeat", test_repeat, 1);
}

int main(int argc, char **argv)
{
	static const test_case_fn cases[] = {test_flat_case, test_forests_case,
					     test_types_case, test_pairs_case};
	static const test_case_fn one[] = {test_repeat_case};

	if (argc == 3 && strcmp(argv[1], "--case") == 0) {
		case_text = argv[2];
		return test_run("exhaustive", one, 1);
	}
	is_long = argc == 2 && strcmp(argv[1], "--long") == 0;
	if (argc > 1 && !is_long) {
		fprintf(stderr,
			"usage: %s [--long | --case \"a:.0>.1 b:.1>.0\"]\n",
			argv[0]);
		return EXIT_FAILURE;
	}
	return test_run("exhaustive", cases, sizeof(cases) / sizeof(cases[0]));
}
