/*
 * Forests of five mailboxes, each into each.
 */
#include "exhaustive.h"

static bool source_forests(const uint32_t numbers[3], family_each *each,
			   void *context)
{
	return family_forests(numbers[0], (enum family_naming)numbers[1], each,
			      context);
}

/*
 * Goal: any forest of 5 mailboxes becomes any other.  Method: all ordered
 * pairs of labelled ones through the exam (a tenth by default), once where
 * each keeps its name and once where siblings' names collide.
 */
START_TEST(test_forests)
{
	struct hunt hunt = {
		.name = "forests of 5, own names",
		.source = source_forests,
		.numbers = {5, FAMILY_NAMES_OWN},
		.one_in = hunt_one_in(),
		.seed = hunt_seed(),
	};
	struct exam_tally own, rank;

	hunt_expect(&hunt, &own);
	hunt.name = "forests of 5, shared names";
	hunt.numbers[1] = FAMILY_NAMES_RANK;
	hunt_expect(&hunt, &rank);
	/* No name is used again: nothing is ever in the way. */
	ck_assert_uint_eq(own.parks[0], own.cases);
	if (hunt_is_long()) {
		ck_assert_uint_eq(own.cases, 1679616);
		ck_assert_uint_eq(rank.cases, 1679616);
		ck_assert_uint_eq(rank.beyond_cycles, 504664);
	}
}
END_TEST

TCase *test_forests_case(void)
{
	return hunt_case("forests", test_forests, 1);
}
