/*
 * The tests of replay/.
 */
#include "support.h"

TCase *test_engine_case(void);
TCase *test_replay_case(void);
TCase *test_verify_case(void);

int main(void)
{
	static const test_case_fn cases[] = {
		test_engine_case,
		test_replay_case,
		test_verify_case,
	};

	return test_run("replay", cases, sizeof(cases) / sizeof(*cases));
}
