/*
 * The codec of primitives: any bytes decode to an error or to an operation
 * that encodes to the same bytes and prints.
 */
#include <mbj/check.h>
#include <mbj/op.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mbj_reader reader;
	struct mbj_buf encoded;
	struct mbj_buf printed;
	struct mbj_op op;
	size_t at;

	if (size > 1 << 20)
		return 0;
	mbj_buf_init(&encoded, 4 << 20);
	mbj_buf_init(&printed, 16 << 20);
	mbj_reader_init(&reader, mbj_bytes_make(data, size));
	for (;;) {
		at = reader.offset;
		if (mbj_reader_left(&reader) == 0 ||
		    mbj_op_decode(&reader, &op, NULL) < 0)
			break;
		mbj_buf_clear(&encoded);
		mbj_op_encode(&encoded, &op);
		MBJ_ASSERT(mbj_bytes_equal(mbj_buf_view(&encoded),
					   mbj_bytes_make(data + at,
							  reader.offset - at)));
		mbj_buf_clear(&printed);
		mbj_op_print(&printed, &op);
		FUZZ_CANARY(op.kind == MBJ_OP_MAILBOX_MOVE);
	}
	mbj_buf_done(&encoded);
	mbj_buf_done(&printed);
	return 0;
}
