/*
 * Damage to every file of a store; MBJ_DAMAGE=long for all of it.
 */
#include "damage_cases.h"

int main(void)
{
	static const test_case_fn cases[] = {
		test_bytes_case,
		test_journal_case,
		test_state_case,
	};

	return test_run("damage", cases, sizeof(cases) / sizeof(cases[0]));
}
