/*
 * Mail that looks like mail, for benches of what packs it.
 */
#ifndef BENCH_TEXT_H
#define BENCH_TEXT_H

#include <stddef.h>

/* The turn-th one: a head as servers make it, and text; all n bytes. */
void bench_text(unsigned turn, char *ret_bytes, size_t n);

#endif
