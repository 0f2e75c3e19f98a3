/*
 * Bodies of intents: docs/FORMAT.md, "Intent".
 *
 * Threads: pure.
 */
#include "doubt.h"

#include <mbj/check.h>

#include "wire.h"

enum {
	DOUBT_VERSION = 1,
	/* The least that one takes. */
	DOUBT_SIZE_MIN = MBJ_ID_SIZE + 1 + 4 + 4 + 4 + 4,
	DOUBT_BITS = (MBJ_DOUBT_ATTRIBUTES << 1) - 1,
};

const char *mbj_intent_kind_name(enum mbj_edit_kind kind)
{
	return kind == MBJ_EDIT_SET	    ? "set"
	       : kind == MBJ_EDIT_RENAME    ? "rename"
	       : kind == MBJ_EDIT_RECONCILE ? "reconcile"
	       : kind == MBJ_EDIT_MESSAGES  ? "messages"
	       : kind == MBJ_EDIT_METADATA  ? "metadata"
					    : NULL;
}

const char *mbj_doubt_name(unsigned bit)
{
#define X(name, number, word)        \
	if (bit == MBJ_DOUBT_##name) \
		return (word);
	MBJ_DOUBT_MAP(X)
#undef X
	return NULL;
}

void doubt_body_begin(struct mbj_buf *body, const struct mbj_edit *edit,
		      uint32_t count)
{
	struct mbj_buf bytes;

	mbj_buf_init(&bytes, MBJ_INTENT_SIZE_MAX);
	wire_edit_encode(&bytes, edit);
	if (bytes.failed != MBJ_OK && body->failed == MBJ_OK)
		body->failed = bytes.failed;
	mbj_buf_put_u8(body, DOUBT_VERSION);
	mbj_buf_put_u8(body, (uint8_t)edit->kind);
	mbj_buf_put_block(body, mbj_buf_view(&bytes));
	mbj_buf_put_u32(body, count);
	mbj_buf_done(&bytes);
}

void doubt_put(struct mbj_buf *body, const struct mbj_doubt *doubt)
{
	mbj_buf_put_id(body, doubt->mailbox);
	mbj_buf_put_u8(body, (uint8_t)doubt->what);
	mbj_buf_put_u32(body, doubt->uidvalidity);
	mbj_buf_put_u32(body, doubt->uidnext);
	mbj_buf_put_block(body, doubt->before);
	mbj_buf_put_block(body, doubt->after);
}

/* One of a body; what is wrong fails the reader. */
static void doubt_read(struct mbj_reader *reader, struct mbj_doubt *ret_doubt)
{
	ret_doubt->mailbox = mbj_read_id(reader);
	ret_doubt->what = mbj_read_u8(reader);
	ret_doubt->uidvalidity = mbj_read_u32(reader);
	ret_doubt->uidnext = mbj_read_u32(reader);
	ret_doubt->before = mbj_read_block(reader, MBJ_INTENT_SIZE_MAX);
	ret_doubt->after = mbj_read_block(reader, MBJ_INTENT_SIZE_MAX);
	if ((ret_doubt->what & ~(unsigned)DOUBT_BITS) != 0)
		reader->failed = true;
}

static enum mbj_rc body_bad(struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "what an intent is about cannot be read");
}

enum mbj_rc mbj_intent_read(struct mbj_bytes body,
			    struct mbj_intent_view *ret_view,
			    struct mbj_error *err)
{
	struct mbj_intent_view view = {.doubt_count = 0};
	struct mbj_doubt doubt;
	struct mbj_reader reader;
	unsigned version;

	mbj_reader_init(&reader, body);
	version = mbj_read_u8(&reader);
	if (mbj_reader_ok(&reader) && version > DOUBT_VERSION)
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "an intent has format %u, this program "
				     "knows format %d: use a newer one",
				     version, DOUBT_VERSION);
	view.kind = (enum mbj_edit_kind)mbj_read_u8(&reader);
	view.edit = mbj_read_block(&reader, MBJ_INTENT_SIZE_MAX);
	view.doubt_count = mbj_read_u32(&reader);
	if (!mbj_reader_ok(&reader) || version != DOUBT_VERSION ||
	    mbj_intent_kind_name(view.kind) == NULL ||
	    view.doubt_count > mbj_reader_left(&reader) / DOUBT_SIZE_MIN)
		return body_bad(err);
	view.doubts = mbj_bytes_make(body.p + body.n - mbj_reader_left(&reader),
				     mbj_reader_left(&reader));
	for (uint32_t i = 0; i < view.doubt_count; i++)
		doubt_read(&reader, &doubt);
	if (!mbj_reader_is_spent(&reader))
		return body_bad(err);
	*ret_view = view;
	return MBJ_OK;
}

bool mbj_doubt_next(struct mbj_bytes *doubts, struct mbj_doubt *ret_doubt)
{
	struct mbj_reader reader;

	if (doubts->n == 0)
		return false;
	mbj_reader_init(&reader, *doubts);
	doubt_read(&reader, ret_doubt);
	MBJ_ASSERT(mbj_reader_ok(&reader));
	doubts->p += doubts->n - mbj_reader_left(&reader);
	doubts->n = mbj_reader_left(&reader);
	return true;
}
