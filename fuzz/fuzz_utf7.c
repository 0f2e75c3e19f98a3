/*
 * Modified UTF-7 (RFC 3501 section 5.1.3): any bytes are judged, and an
 * accepted wire form is the only one of its name.
 */
#include <mbj/check.h>
#include <mbj/utf7.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mbj_bytes input = mbj_bytes_make(data, size);
	struct mbj_utf7 *utf7 = NULL;
	struct mbj_buf utf8;
	struct mbj_buf wire;

	if (size > 8192 || mbj_utf7_new(&utf7, NULL) < 0)
		return 0;
	mbj_buf_init(&utf8, 1 << 20);
	mbj_buf_init(&wire, 1 << 20);
	if (mbj_utf7_decode(utf7, input, &utf8, NULL) == MBJ_OK) {
		MBJ_ASSERT(mbj_utf7_encode(utf7, mbj_buf_view(&utf8), &wire,
					   NULL) == MBJ_OK);
		MBJ_ASSERT(mbj_bytes_equal(mbj_buf_view(&wire), input));
		FUZZ_CANARY(utf8.n < size && size > 5);
	}
	/* The other way round: what can be encoded comes back. */
	mbj_buf_clear(&utf8);
	mbj_buf_clear(&wire);
	if (mbj_utf7_encode(utf7, input, &wire, NULL) == MBJ_OK) {
		MBJ_ASSERT(mbj_utf7_decode(utf7, mbj_buf_view(&wire), &utf8,
					   NULL) == MBJ_OK);
		MBJ_ASSERT(mbj_bytes_equal(mbj_buf_view(&utf8), input));
	}
	mbj_utf7_free(&utf7);
	mbj_buf_done(&utf8);
	mbj_buf_done(&wire);
	return 0;
}
