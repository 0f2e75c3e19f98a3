/*
 * Journals of released versions, and the examples of docs/FORMAT.md.
 */
#include "golden.h"

int main(void)
{
	static const test_case_fn cases[] = {
		test_format_case,
		test_journals_case,
	};

	return test_run("golden", cases, sizeof(cases) / sizeof(cases[0]));
}
