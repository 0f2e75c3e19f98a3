/*
 * Mending: a mutated file gets its checksums back, so that what is behind
 * them is reached.  The library's code is the one that ships; only inputs are
 * made to fit (docs/FORMAT.md).
 */
#ifndef FUZZ_MEND_H
#define FUZZ_MEND_H

#include <stddef.h>
#include <stdint.h>

void mend_superblock(uint8_t *data, size_t size);
/*
 * One group record; chain is the value before it and becomes its own, NULL:
 * the chain stays as it is.  Returns its size, 0 where it is none.
 */
size_t mend_group(uint8_t *data, size_t size, uint8_t *chain);
/* A byte, then frames of a stream: their heads and bodies. */
void mend_stream(uint8_t *data, size_t size);
/* The head of a packed content. */
void mend_blob(uint8_t *data, size_t size);
void mend_segment(uint8_t *data, size_t size);

#endif
