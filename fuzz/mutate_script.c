/*
 * libFuzzer's hooks for the targets whose bytes are scripts.
 */
#include "fuzz.h"
#include "script.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max,
			       unsigned seed)
{
	/* Now and then any bytes at all, cut to whole steps. */
	if (seed % 16 == 0)
		return LLVMFuzzerMutate(data, size, max) / SCRIPT_STEP_SIZE *
		       SCRIPT_STEP_SIZE;
	return script_mutate(data, size, max, seed);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *one, size_t one_size,
				 const uint8_t *two, size_t two_size,
				 uint8_t *out, size_t max, unsigned seed)
{
	return script_cross(one, one_size, two, two_size, out, max, seed);
}
