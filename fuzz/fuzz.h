/*
 * What a fuzz target is: one function over bytes, the same for the same bytes,
 * whatever came before.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libFuzzer's, for custom mutators: any change of the bytes. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max,
			       unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *one, size_t one_size,
				 const uint8_t *two, size_t two_size,
				 uint8_t *out, size_t max, unsigned seed);

/* MBJ_FUZZ_SHOW is in the environment: say in words what the bytes are. */
static inline bool fuzz_is_verbose(void)
{
	return getenv("MBJ_FUZZ_SHOW") != NULL;
}

/*
 * A planted crash, deep where the target is interesting: built with
 * MBJ_FUZZ_CANARY, a target that does not find it does not work.
 */
#ifdef MBJ_FUZZ_CANARY
#define FUZZ_CANARY(is_reached)           \
	do {                              \
		if (is_reached)           \
			__builtin_trap(); \
	} while (0)
#else
#define FUZZ_CANARY(is_reached) ((void)(is_reached))
#endif

#endif
