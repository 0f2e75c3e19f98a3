/*
 * Group records: any bytes parse to an error or to a group whose primitives
 * can be walked; and with its checksums mended, as a peer could send it, too.
 */
#include <string.h>

#include <mbj/check.h>
#include <mbj/group.h>

#include "fuzz.h"

static void group_walk(struct mbj_bytes bytes)
{
	struct mbj_group_account account;
	struct mbj_reader reader;
	struct mbj_group group;
	struct mbj_op op;

	if (mbj_group_parse(bytes, &group, NULL) < 0)
		return;
	MBJ_ASSERT(group.record.n <= bytes.n);
	for (uint32_t i = 0; i < group.header.account_count; i++)
		mbj_group_account_get(&group, i, &account);
	mbj_reader_init(&reader, group.body);
	while (mbj_group_op_next(&group, &reader, &op, NULL) == MBJ_OK)
		MBJ_ASSERT(op.account < group.header.account_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t copy[4096];
	uint32_t header_size;

	if (size > 1 << 20)
		return 0;
	group_walk(mbj_bytes_make(data, size));
	if (size < 16 || size > sizeof(copy))
		return 0;
	/* docs/FORMAT.md: the header's CRC32C at 4 covers it from 8 on. */
	memcpy(copy, data, size);
	header_size = mbj_load_u32(copy + 8);
	if (header_size < 16 || header_size > size)
		return 0;
	mbj_store_u32(copy + 4,
		      mbj_crc32c(0, mbj_bytes_make(copy + 8, header_size - 8)));
	group_walk(mbj_bytes_make(copy, size));
	return 0;
}
