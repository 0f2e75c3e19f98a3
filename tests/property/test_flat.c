/*
 * Renames and deletes without parents, all of them.
 */
#include "exhaustive.h"

static bool source_flat(const uint32_t numbers[3], family_each *each,
			void *context)
{
	return family_flat(numbers[0], each, context);
}

/*
 * Goal: every rename and delete plan over 8 flat names is shortest, valid at
 * each step, and can be interrupted anywhere.  Method: all 1,441,729 of them
 * through the exam, which resumes each after every step.
 */
START_TEST(test_flat)
{
	const struct hunt hunt = {
		.name = "flat, 8 names",
		.source = source_flat,
		.numbers = {8},
		.one_in = 1,
		.is_hasty = !hunt_is_long(),
	};
	struct exam_tally tally;

	hunt_expect(&hunt, &tally);
	ck_assert_uint_eq(tally.cases, 1441729);
	ck_assert_uint_eq(tally.resumes, 11206320);
	/* Without parents, slot cycles are all there is to it. */
	ck_assert_uint_eq(tally.beyond_cycles, 0);
}
END_TEST

TCase *test_flat_case(void)
{
	return hunt_case("flat", test_flat, 1);
}
