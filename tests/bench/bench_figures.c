/*
 * See bench_figures.h.
 */
#include "bench_figures.h"

#include <stdlib.h>
#include <time.h>

static double clock_s(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double bench_now_s(void)
{
	return clock_s(CLOCK_MONOTONIC);
}

double bench_cpu_s(void)
{
	return clock_s(CLOCK_PROCESS_CPUTIME_ID);
}

static int double_compare(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), double_compare);
	return values[count / 2];
}

double bench_quantile(double *values, size_t count, unsigned percent)
{
	qsort(values, count, sizeof(*values), double_compare);
	return values[(count - 1) * percent / 100];
}
