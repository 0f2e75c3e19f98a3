/*
 * Numbers with a unit behind them, as options have them.
 */
#ifndef MBJ_CLI_NUMBER_H
#define MBJ_CLI_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "cli.h"

/* Digits alone.  false: it is none, or more than max. */
bool number_read(const char *text, uint64_t max, uint64_t *ret_number);
/* An option's; false: it is more than max, and that was said. */
bool number_check(const struct cli_call *call, const char *word,
		  uint64_t number, uint64_t max);
/* Bytes; K, M, G or T behind them, or KiB and so on, is units of 1024. */
bool number_size_read(const char *text, uint64_t max, uint64_t *ret_size);
/* --rate, 0: it was not given.  false: it is none, and that was said. */
bool number_rate_read(const struct cli_call *call, uint64_t *ret_rate);
/* --compress-max, 0: off, MBJ_STREAM_LEVEL_MAX: it was not given; likewise. */
bool number_level_max_read(const struct cli_call *call, unsigned *ret_level);
/* --keep-free into *size, which stays where it was not given; likewise. */
bool number_free_read(const struct cli_call *call, uint64_t *size);
/* --cache, likewise. */
bool number_cache_read(const struct cli_call *call, size_t *size);
/*
 * What an option says of packing, "zstd" or "zstd:LEVEL", into *level, which
 * stays where text is NULL; likewise.
 */
bool number_level_read(const struct cli_call *call, const char *option,
		       const char *text, unsigned *level);
/* Seconds; s, m, h or d behind them is units of those, minutes, hours, days. */
bool number_duration_read(const char *text, uint64_t max, uint64_t *ret_s);

#endif
