/*
 * What an IMAP server says: however its bytes are cut, the same responses come
 * out; none is longer than allowed; each is parsed or refused; a name that can
 * be quoted is read back as it is.
 */
#include <mbj/check.h>
#include <mbj/imap.h>

#include "fuzz.h"

enum { INPUT_MAX = 65536 };

static void response_check(struct mbj_bytes bytes, struct mbj_buf *strings)
{
	struct mbj_imap_response response;
	struct mbj_imap_token token;
	struct mbj_buf quoted, back;
	struct mbj_bytes rest;

	if (mbj_imap_response_parse(bytes, strings, &response, NULL) < 0)
		return;
	FUZZ_CANARY(response.kind == MBJ_IMAP_STATUS && response.object.n > 0);
	MBJ_ASSERT(response.object.n <= MBJ_IMAP_OBJECTID_MAX);
	MBJ_ASSERT(response.name.n <= bytes.n);
	if (!mbj_imap_is_quotable(response.name))
		return;
	mbj_buf_init(&quoted, 4 * INPUT_MAX);
	mbj_buf_init(&back, 4 * INPUT_MAX);
	mbj_imap_quote_put(&quoted, response.name);
	rest = mbj_buf_view(&quoted);
	token = mbj_imap_token_next(&rest);
	MBJ_ASSERT(token.kind == MBJ_IMAP_STRING && rest.n == 0);
	mbj_imap_token_put(&token, &back);
	MBJ_ASSERT(mbj_bytes_equal(mbj_buf_view(&back), response.name));
	mbj_buf_done(&quoted);
	mbj_buf_done(&back);
}

/* All responses of the input in pieces, one behind the other in out. */
static enum mbj_rc run(struct mbj_bytes input, size_t piece,
		       struct mbj_buf *out)
{
	struct mbj_imap_reader reader;
	struct mbj_bytes response;
	struct mbj_buf strings;
	enum mbj_rc rc = MBJ_ENOTFOUND;

	mbj_imap_reader_init(&reader);
	mbj_buf_init(&strings, 2 * INPUT_MAX);
	while (rc == MBJ_ENOTFOUND && input.n > 0) {
		size_t n = input.n < piece ? input.n : piece;

		mbj_imap_reader_feed(&reader, mbj_bytes_make(input.p, n));
		input.p += n;
		input.n -= n;
		while ((rc = mbj_imap_reader_next(&reader, &response, NULL)) ==
		       MBJ_OK) {
			MBJ_ASSERT(response.n <= MBJ_IMAP_RESPONSE_MAX);
			mbj_buf_put_block(out, response);
			response_check(response, &strings);
		}
	}
	mbj_buf_done(&strings);
	mbj_imap_reader_done(&reader);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mbj_bytes input = mbj_bytes_make(data, size);
	struct mbj_buf whole, cut;
	enum mbj_rc rc;

	if (size == 0 || size > INPUT_MAX)
		return 0;
	mbj_buf_init(&whole, 16 * INPUT_MAX);
	mbj_buf_init(&cut, 16 * INPUT_MAX);
	rc = run(input, size, &whole);
	MBJ_ASSERT(run(input, 1 + data[0] % 61, &cut) == rc);
	MBJ_ASSERT(mbj_bytes_equal(mbj_buf_view(&whole), mbj_buf_view(&cut)));
	mbj_buf_done(&whole);
	mbj_buf_done(&cut);
	return 0;
}
