/*
 * Group records: any bytes parse to an error or to a group whose primitives
 * can be walked.
 */
#include <mbj/check.h>
#include <mbj/group.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mbj_group_account account;
	struct mbj_reader reader;
	struct mbj_group group;
	struct mbj_op op;

	if (size > 1 << 20 ||
	    mbj_group_parse(mbj_bytes_make(data, size), &group, NULL) < 0)
		return 0;
	MBJ_ASSERT(group.record.n <= size);
	for (uint32_t i = 0; i < group.header.account_count; i++)
		mbj_group_account_get(&group, i, &account);
	mbj_reader_init(&reader, group.body);
	while (mbj_group_op_next(&group, &reader, &op, NULL) == MBJ_OK)
		MBJ_ASSERT(op.account < group.header.account_count);
	FUZZ_CANARY(mbj_group_check(&group, NULL) == MBJ_OK &&
		    group.header.op_count > 0);
	return 0;
}
