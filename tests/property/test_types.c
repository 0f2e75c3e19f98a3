/*
 * Edits with so many mailboxes kept, deleted and created, up to renaming.
 */
#include <string.h>

#include "exhaustive.h"

static bool source_types(const uint32_t numbers[3], family_each *each,
			 void *context)
{
	return family_types(numbers[0], numbers[1], numbers[2], each, context);
}

/* Edits by the mailboxes they keep, delete and create; how many there are. */
static const struct types_row {
	const char *name;
	uint32_t numbers[3];
	uint64_t count;
	bool is_large; /* a tenth of it by default */
} types_rows[] = {
	{"types of 4 kept", {4, 0, 0}, 7133, false},
	{"types of 3 kept, 1 deleted, 1 created", {3, 1, 1}, 23620, false},
	{"types of 2 kept, 2 deleted, 2 created", {2, 2, 2}, 15889, false},
	{"types of 5 kept", {5, 0, 0}, 270479, true},
	{"types of 4 kept, 1 deleted, 1 created", {4, 1, 1}, 1091285, true},
};

/*
 * Goal: creates and deletes are planned, recorded and resumed as well as
 * moves.  Method: all edits up to renaming through the exam; of the large
 * families a tenth by default.
 */
START_TEST(test_types)
{
	const struct types_row *row = &types_rows[_i];
	struct hunt hunt = {
		.name = row->name,
		.source = source_types,
		.one_in = row->is_large ? hunt_one_in() : 1,
		.seed = hunt_seed(),
	};
	struct exam_tally tally;

	memcpy(hunt.numbers, row->numbers, sizeof(hunt.numbers));
	hunt_expect(&hunt, &tally);
	if (hunt.one_in == 1)
		ck_assert_uint_eq(tally.cases, row->count);
}
END_TEST

TCase *test_types_case(void)
{
	return hunt_case("types", test_types,
			 (int)(sizeof(types_rows) / sizeof(types_rows[0])));
}
