/*
 * See number.h.
 */
#include "number.h"

#include <inttypes.h>
#include <string.h>

#include <mbj/pack.h>
#include <mbj/stream.h>

/* Of zstd: faster than most lines, and most of what there is to gain. */
enum { LEVEL_USUAL = 3 };

/* The digits that text begins with; what is behind them, or NULL. */
static const char *digits_read(const char *text, uint64_t max,
			       uint64_t *ret_number)
{
	uint64_t number = 0;
	size_t n = 0;

	for (; text[n] >= '0' && text[n] <= '9'; n++) {
		uint64_t digit = (uint64_t)(text[n] - '0');

		if (digit > max || number > (max - digit) / 10)
			return NULL;
		number = number * 10 + digit;
	}
	*ret_number = number;
	return n > 0 ? text + n : NULL;
}

bool number_read(const char *text, uint64_t max, uint64_t *ret_number)
{
	const char *rest = digits_read(text, max, ret_number);

	return rest != NULL && *rest == '\0';
}

bool number_check(const struct cli_call *call, const char *word,
		  uint64_t number, uint64_t max)
{
	if (number > max)
		cli_say(call, "--%s is at most %" PRIu64 ", not %" PRIu64, word,
			max, number);
	return number <= max;
}

bool number_size_read(const char *text, uint64_t max, uint64_t *ret_size)
{
	static const char units[] = "KMGT";
	uint64_t number = 0;
	const char *rest = digits_read(text, max, &number);
	const char *unit;
	unsigned shift;

	if (rest == NULL)
		return false;
	if (*rest != '\0') {
		unit = strchr(units, *rest);
		if (unit == NULL ||
		    (rest[1] != '\0' && strcmp(rest + 1, "iB") != 0))
			return false;
		shift = 10 * (unsigned)(unit - units + 1);
		if (number > max >> shift)
			return false;
		number <<= shift;
	}
	*ret_size = number;
	return true;
}

bool number_rate_read(const struct cli_call *call, uint64_t *ret_rate)
{
	const char *text = call->options.rate;
	uint64_t rate = 0;

	if (text != NULL && (!number_size_read(text, INT64_MAX, &rate) ||
			     rate < MBJ_STREAM_RATE_MIN)) {
		cli_say(call,
			"--rate wants bytes a second, %d at least, maybe with "
			"K, M, G or T behind them, not \"%.100s\"",
			MBJ_STREAM_RATE_MIN, text);
		return false;
	}
	*ret_rate = rate;
	return true;
}

bool number_level_max_read(const struct cli_call *call, unsigned *ret_level)
{
	const char *text = call->options.compress_max;
	uint64_t level = MBJ_STREAM_LEVEL_MAX;

	if (text != NULL && strcmp(text, "off") == 0) {
		level = 0;
	} else if (text != NULL &&
		   (!number_read(text, MBJ_STREAM_LEVEL_MAX, &level) ||
		    level == 0)) {
		cli_say(call,
			"--compress-max wants a level, 1 to %d, or off, not "
			"\"%.100s\"",
			MBJ_STREAM_LEVEL_MAX, text);
		return false;
	}
	*ret_level = (unsigned)level;
	return true;
}

bool number_free_read(const struct cli_call *call, uint64_t *size)
{
	const char *text = call->options.keep_free;
	uint64_t given = *size;

	if (text != NULL &&
	    (!number_size_read(text, INT64_MAX, &given) || given == 0)) {
		cli_say(call,
			"--keep-free wants bytes, 1 at least, maybe with K, M, "
			"G or T behind them, not \"%.100s\"",
			text);
		return false;
	}
	*size = given;
	return true;
}

bool number_cache_read(const struct cli_call *call, size_t *size)
{
	/* Below, a batch has no room; above, it is a slip of the hand. */
	const uint64_t min = 1u << 20;
	const uint64_t max = (uint64_t)256 << 30;
	const char *text = call->options.cache;
	uint64_t given = *size;

	if (text != NULL &&
	    (!number_size_read(text, max, &given) || given < min)) {
		cli_say(call,
			"--cache wants a size from 1M to 256G, "
			"not \"%.100s\"",
			text);
		return false;
	}
	*size = (size_t)given;
	return true;
}

bool number_duration_read(const char *text, uint64_t max, uint64_t *ret_s)
{
	static const struct {
		char letter;
		uint64_t s;
	} units[] = {{'\0', 1}, {'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
	uint64_t number = 0;
	const char *rest = digits_read(text, max, &number);

	if (rest == NULL || (rest[0] != '\0' && rest[1] != '\0'))
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (units[i].letter != *rest || number > max / units[i].s)
			continue;
		*ret_s = number * units[i].s;
		return true;
	}
	return false;
}

bool number_level_read(const struct cli_call *call, const char *option,
		       const char *text, unsigned *level)
{
	uint64_t number = LEVEL_USUAL;

	if (text == NULL)
		return true;
	if (strncmp(text, "zstd", 4) != 0 ||
	    (text[4] != '\0' &&
	     (text[4] != ':' ||
	      !number_read(text + 5, MBJ_PACK_LEVEL_MAX, &number) ||
	      number == 0))) {
		cli_say(call,
			"%s wants zstd, maybe with a level behind it, zstd:1 "
			"to zstd:%d, not \"%.100s\"",
			option, MBJ_PACK_LEVEL_MAX, text);
		return false;
	}
	*level = (unsigned)number;
	return true;
}
