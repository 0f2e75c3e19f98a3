/*
 * AFL++'s custom mutator for the targets whose bytes are scripts, loaded with
 * AFL_CUSTOM_MUTATOR_LIBRARY.  It works beside AFL++'s own mutations.
 */
#include <stdlib.h>
#include <string.h>

#include "script.h"

void *afl_custom_init(void *afl, unsigned seed);
void afl_custom_deinit(void *state);
size_t afl_custom_fuzz(void *state, uint8_t *data, size_t size, uint8_t **out,
		       uint8_t *other, size_t other_size, size_t max);

struct mutator {
	unsigned seed;
	uint8_t bytes[SCRIPT_STEPS_MAX * SCRIPT_STEP_SIZE];
};

void *afl_custom_init(void *afl, unsigned seed)
{
	struct mutator *mutator = calloc(1, sizeof(*mutator));

	(void)afl;
	if (mutator != NULL)
		mutator->seed = seed;
	return mutator;
}

void afl_custom_deinit(void *state)
{
	free(state);
}

size_t afl_custom_fuzz(void *state, uint8_t *data, size_t size, uint8_t **out,
		       uint8_t *other, size_t other_size, size_t max)
{
	struct mutator *mutator = state;
	unsigned seed = mutator->seed++;

	if (max > sizeof(mutator->bytes))
		max = sizeof(mutator->bytes);
	if (size > max)
		size = max;
	*out = mutator->bytes;
	if (other != NULL && seed % 8 == 0)
		return script_cross(data, size, other, other_size,
				    mutator->bytes, max, seed);
	memcpy(mutator->bytes, data, size);
	return script_mutate(mutator->bytes, size, max, seed);
}
