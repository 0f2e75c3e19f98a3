/*
 * AFL++'s hook for the targets whose bytes carry checksums, loaded with
 * AFL_CUSTOM_MUTATOR_LIBRARY: what AFL++ has mutated is mended before it
 * runs, three times of four.  The build says which of MEND_SUPERBLOCK,
 * MEND_GROUP, MEND_BLOB, MEND_SNAPSHOT, MEND_SEGMENT it is.
 */
#include <stdlib.h>
#include <string.h>

#include "forge.h"
#include "mend.h"

void *afl_custom_init(void *afl, unsigned seed);
void afl_custom_deinit(void *state);
size_t afl_custom_post_process(void *state, uint8_t *data, size_t size,
			       uint8_t **out);

enum { SIZE_MAX_MENDED = 1 << 20 };

struct mender {
	unsigned turn;
	uint8_t bytes[SIZE_MAX_MENDED];
};

void *afl_custom_init(void *afl, unsigned seed)
{
	(void)afl;
	(void)seed;
	return calloc(1, sizeof(struct mender));
}

void afl_custom_deinit(void *state)
{
	free(state);
}

size_t afl_custom_post_process(void *state, uint8_t *data, size_t size,
			       uint8_t **out)
{
	struct mender *mender = state;

	*out = data;
	if (size > sizeof(mender->bytes) || ++mender->turn % 4 == 0)
		return size;
	memcpy(mender->bytes, data, size);
	*out = mender->bytes;
#if defined(MEND_SUPERBLOCK)
	mend_superblock(mender->bytes, size);
#elif defined(MEND_GROUP)
	(void)mend_group(mender->bytes, size, NULL);
#elif defined(MEND_BLOB)
	mend_blob(mender->bytes, size);
#elif defined(MEND_SNAPSHOT)
	size = forge_mend(mender->bytes, size, sizeof(mender->bytes));
#else
	mend_segment(mender->bytes, size);
#endif
	return size;
}
