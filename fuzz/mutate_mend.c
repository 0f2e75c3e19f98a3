/*
 * libFuzzer's hook for the targets whose bytes carry checksums: of four
 * changed inputs three are mended, the fourth stays damaged.  The build says
 * which of MEND_SUPERBLOCK, MEND_GROUP, MEND_STREAM, MEND_BLOB, MEND_SEGMENT it
 * is.
 */
#include "fuzz.h"
#include "mend.h"

static void mend(uint8_t *data, size_t size)
{
#if defined(MEND_SUPERBLOCK)
	mend_superblock(data, size);
#elif defined(MEND_GROUP)
	(void)mend_group(data, size, NULL);
#elif defined(MEND_BLOB)
	mend_blob(data, size);
#elif defined(MEND_STREAM)
	mend_stream(data, size);
#else
	mend_segment(data, size);
#endif
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max,
			       unsigned seed)
{
	size = LLVMFuzzerMutate(data, size, max);
	if (seed % 4 != 0)
		mend(data, size);
	return size;
}
