/*
 * Damage to the states of small stores; MBJ_DAMAGE=long for every bit.
 */
#include "damage_cases.h"

int main(void)
{
	static const test_case_fn cases[] = {test_state_case};

	return test_run("damage_small", cases, 1);
}
