/*
 * A superblock of any bytes: it is refused, or it says who the store is, and
 * what is written back says the same.
 */
#include <mbj/check.h>

#include "fuzz.h"
#include "superblock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t first[SUPERBLOCK_SIZE];
	uint8_t second[SUPERBLOCK_SIZE];
	struct superblock superblock;
	struct mbj_error err;

	if (size > SUPERBLOCK_SIZE_MAX)
		return 0;
	if (superblock_decode(mbj_bytes_make(data, size), "file", &superblock,
			      &err) < 0) {
		MBJ_ASSERT(err.message[0] != '\0');
		return 0;
	}
	superblock_encode(&superblock, first);
	MBJ_ASSERT(superblock_decode(mbj_bytes_make(first, sizeof(first)),
				     "file", &superblock, &err) == MBJ_OK);
	superblock_encode(&superblock, second);
	MBJ_ASSERT(memcmp(first, second, sizeof(first)) == 0);
	FUZZ_CANARY(superblock.identity.epoch.v > 1);
	return 0;
}
