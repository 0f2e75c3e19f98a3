/*
 * How many outcomes may be answered early at once, and who waits for them.
 */
#include <stdio.h>

#include "journal_cases.h"
#include "store_lab.h"
#include "taken.h"

static struct mbj_bytes number_name(char text[8], int number)
{
	(void)snprintf(text, 8, "n%d", number);
	return mbj_bytes_str(text);
}

/* Goal: no more than that at once, of all, of one account, and in bytes. */
START_TEST(taken_table)
{
	static char names[TAKEN_MAX + 1][8];
	struct mbj_bytes own = mbj_bytes_str("own");
	size_t slots[TAKEN_MAX + 1];
	struct taken taken;
	size_t slot;

	SITE_OK(taken_init(&taken, err));
	taken_wait(&taken, own, TAKEN_DURABLE);
	taken_wait(&taken, mbj_bytes_make(NULL, 0), TAKEN_DURABLE);
	ck_assert(!taken_enter(&taken, own, TAKEN_SIZE_MAX + 1, true, &slot));
	for (int i = 0; i < TAKEN_ACCOUNT_MAX; i++)
		ck_assert(taken_enter(&taken, own, TAKEN_SIZE_MAX, true,
				      &slots[i]));
	ck_assert(!taken_enter(&taken, own, 1, true, &slot));
	for (int i = TAKEN_ACCOUNT_MAX; i < TAKEN_MAX; i++)
		ck_assert(taken_enter(&taken, number_name(names[i], i), 1, true,
				      &slots[i]));
	ck_assert(!taken_enter(&taken, number_name(names[TAKEN_MAX], TAKEN_MAX),
			       1, true, &slot));
	/* Nobody of that name has anything to wait for. */
	taken_wait(&taken, mbj_bytes_str("another"), TAKEN_DURABLE);
	taken_note(&taken);
	taken_leave(&taken, slots[0], true);
	ck_assert(taken_enter(&taken, own, 1, false, &slots[0]));
	/* Whoever only comes behind what is carried out waits for no more. */
	taken_wait(&taken, mbj_bytes_str("another"), TAKEN_CARRIED);
	taken_carry(&taken, slots[0]);
	taken_wait(&taken, own, TAKEN_CARRIED);
	taken_wait(&taken, mbj_bytes_make(NULL, 0), TAKEN_CARRIED);
	for (int i = 0; i < TAKEN_MAX; i++)
		taken_leave(&taken, slots[i], false);
	ck_assert_uint_eq(taken_counts_get(&taken).count, 1);
	ck_assert_uint_eq(taken_counts_get(&taken).lost, 1);
	taken_wait(&taken, mbj_bytes_make(NULL, 0), TAKEN_DURABLE);
	taken_done(&taken);
}
END_TEST

TCase *test_taken_table_case(void)
{
	TCase *tc = tcase_create("taken_table");

	tcase_add_test(tc, taken_table);
	return tc;
}
