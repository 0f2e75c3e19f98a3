/*
 * What benches measure with, and what they make of it.
 */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

#include <stddef.h>

/* Seconds that went by. */
double bench_now_s(void);
/* Seconds of the processor that this process took. */
double bench_cpu_s(void);

/* Both put values into their order. */
double bench_median(double *values, size_t count);
double bench_quantile(double *values, size_t count, unsigned percent);

#endif
