/*
 * Running a layer's cases with libcheck.
 */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "support.h"

/*
 * libcheck counts a test's microseconds in an int, which is negative after 35
 * minutes, and ends with an error of its own when it writes that down.  The
 * linker puts this in front of it (--wrap); a shared libcheck keeps its own.
 */
__attribute__((weak)) void __real_send_duration_info(int duration_us);
void __wrap_send_duration_info(int duration_us);

void __wrap_send_duration_info(int duration_us)
{
	__real_send_duration_info(duration_us < 0 ? INT_MAX : duration_us);
}

bool test_can_fork(void)
{
	const char *fork_mode = getenv("CK_FORK");

	return fork_mode == NULL || fork_mode[0] != 'n';
}

void test_add_abort(TCase *tc, const TTest *test)
{
	if (test_can_fork())
		tcase_add_test_raise_signal(tc, test, SIGABRT);
}

int test_run(const char *suite, const test_case_fn *cases, size_t count)
{
	Suite *s = suite_create(suite);
	SRunner *runner;
	int run, failed;

	/* Children of fork(2) must not print what the parent buffered. */
	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	/* libcheck reads the default while a case is created. */
	if (getenv("CK_DEFAULT_TIMEOUT") == NULL) {
		char seconds[16];

		(void)snprintf(seconds, sizeof(seconds), "%d",
			       (int)TEST_TIMEOUT_S);
		(void)setenv("CK_DEFAULT_TIMEOUT", seconds, 1);
	}
	for (size_t i = 0; i < count; i++)
		suite_add_tcase(s, cases[i]());
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	run = srunner_ntests_run(runner);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	fflush(stdout);
	printf("%d passed, %d failed\n", run - failed, failed);
	if (run == 0)
		fprintf(stderr, "%s: no test ran; is CK_RUN_CASE right?\n",
			suite);
	return failed == 0 && run > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
