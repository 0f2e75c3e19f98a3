/*
 * Frames of a stream: heads, the table of kinds; what a body has in which order
 * is stream_field.c's.
 *
 * Threads: pure functions.
 */
#include "stream_field.h"

#include <mbj/check.h>
#include <mbj/hash.h>

/* A row of the table. */
struct kind {
	const char *word;
	enum stream_side side;
	unsigned fields;
	size_t size_max;
};

static const struct kind kinds[STREAM_KIND_LAST + 1] = {
#define X(name, number, text, side, fields, size_max) \
	[(number)] = {(text), (side), (unsigned)(fields), (size_max)},
	STREAM_KIND_MAP(X)
#undef X
};

/* Where a head has what. */
enum { HEAD_KIND = 4, HEAD_PACKING = 6, HEAD_BODY_CRC = 8, HEAD_CRC = 12 };

const char *stream_kind_word(enum stream_kind kind)
{
	MBJ_ASSERT((size_t)kind <= STREAM_KIND_LAST);
	MBJ_ASSERT(kinds[kind].word != NULL);
	return kinds[kind].word;
}

size_t stream_size_max(enum stream_kind kind)
{
	MBJ_ASSERT((size_t)kind <= STREAM_KIND_LAST);
	return kinds[kind].size_max;
}

bool stream_kind_is_packable(enum stream_kind kind)
{
	MBJ_ASSERT((size_t)kind <= STREAM_KIND_LAST);
	return kinds[kind].fields == STREAM_HAS_DATA;
}

/* ----------------------------------------------------------------- heads */

static uint32_t crc_of(const uint8_t *p, size_t n)
{
	return mbj_crc32c(0, mbj_bytes_make(p, n));
}

enum mbj_rc stream_head_decode(const uint8_t bytes[STREAM_HEAD_SIZE],
			       enum stream_side side,
			       struct stream_head *ret_head,
			       struct mbj_error *err)
{
	uint32_t size = mbj_load_u32(bytes);
	unsigned kind = mbj_load_u16(bytes + HEAD_KIND);
	unsigned packing = mbj_load_u16(bytes + HEAD_PACKING);

	if (mbj_load_u32(bytes + HEAD_CRC) != crc_of(bytes, HEAD_CRC))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "a frame's head is damaged, or what came "
				     "is no stream of mbj");
	if (kind > STREAM_KIND_LAST || kinds[kind].word == NULL)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "a frame has the kind %u, which there is "
				     "not: the peer speaks something else",
				     kind);
	if (kinds[kind].side != side)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "a frame \"%s\" came from the wrong side",
				     kinds[kind].word);
	if (packing > STREAM_PACKED_ON ||
	    (packing != STREAM_PLAIN &&
	     !stream_kind_is_packable((enum stream_kind)kind)))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "a frame \"%s\" is packed in a way, %u, "
				     "which there is not",
				     kinds[kind].word, packing);
	if (size > kinds[kind].size_max)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "a frame \"%s\" says it has %lu bytes, "
				     "at most %zu are allowed",
				     kinds[kind].word, (unsigned long)size,
				     kinds[kind].size_max);
	ret_head->kind = (enum stream_kind)kind;
	ret_head->packing = (enum stream_packing)packing;
	ret_head->size = size;
	ret_head->crc = mbj_load_u32(bytes + HEAD_BODY_CRC);
	return MBJ_OK;
}

/* ---------------------------------------------------------------- frames */

/* A frame's room, and then its body; how many bytes were there before. */
static size_t frame_begin(struct mbj_buf *buf)
{
	size_t at = buf->n;

	mbj_buf_put_zero(buf, STREAM_HEAD_SIZE);
	return at;
}

static void frame_end(struct mbj_buf *buf, size_t at, enum stream_kind kind,
		      enum stream_packing packing)
{
	uint8_t *head;
	size_t size;

	if (buf->failed != MBJ_OK)
		return;
	head = buf->p + at;
	size = buf->n - at - STREAM_HEAD_SIZE;
	MBJ_ASSERT(size <= kinds[kind].size_max);
	mbj_store_u32(head, (uint32_t)size);
	mbj_store_u16(head + HEAD_KIND, (uint16_t)kind);
	mbj_store_u16(head + HEAD_PACKING, (uint16_t)packing);
	mbj_store_u32(head + HEAD_BODY_CRC,
		      crc_of(head + STREAM_HEAD_SIZE, size));
	mbj_store_u32(head + HEAD_CRC, crc_of(head, HEAD_CRC));
}

void stream_encode(struct mbj_buf *buf, enum stream_kind kind,
		   const struct stream_message *message)
{
	unsigned fields = kinds[kind].fields;
	size_t at = frame_begin(buf);

	for (unsigned bit = 1; bit <= fields; bit <<= 1)
		if (fields & bit)
			stream_field_encode(buf, (enum stream_field)bit,
					    message);
	frame_end(buf, at, kind, STREAM_PLAIN);
}

void stream_encode_packed(struct mbj_buf *buf, enum stream_kind kind,
			  enum stream_packing packing, uint32_t size,
			  struct mbj_bytes packed)
{
	size_t at = frame_begin(buf);

	MBJ_ASSERT(stream_kind_is_packable(kind) && packing != STREAM_PLAIN);
	MBJ_ASSERT(size <= STREAM_DATA_MAX &&
		   packed.n + STREAM_PACKED_SIZE < size);
	mbj_buf_put_u32(buf, size);
	mbj_buf_put_bytes(buf, packed);
	frame_end(buf, at, kind, packing);
}

static enum mbj_rc body_check(const struct stream_head *head,
			      struct mbj_bytes body, struct mbj_error *err)
{
	MBJ_ASSERT(body.n == head->size);
	if (mbj_crc32c(0, body) == head->crc)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "%s: a frame was damaged on the way",
			     stream_kind_word(head->kind));
}

enum mbj_rc stream_packed_decode(const struct stream_head *head,
				 struct mbj_bytes body, uint32_t *ret_size,
				 struct mbj_bytes *ret_packed,
				 struct mbj_error *err)
{
	enum mbj_rc rc = body_check(head, body, err);
	uint32_t size;

	MBJ_ASSERT(head->packing != STREAM_PLAIN);
	if (rc < 0)
		return rc;
	if (body.n <= STREAM_PACKED_SIZE)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "%s: a packed frame has %zu bytes, which "
				     "are none of its data",
				     stream_kind_word(head->kind), body.n);
	size = mbj_load_u32(body.p);
	if (size > STREAM_DATA_MAX)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "%s: a packed frame says it will have %lu "
				     "bytes, at most %d are allowed",
				     stream_kind_word(head->kind),
				     (unsigned long)size, STREAM_DATA_MAX);
	if (size <= body.n)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "%s: a packed frame says it will have %lu "
				     "bytes, and is no smaller",
				     stream_kind_word(head->kind),
				     (unsigned long)size);
	*ret_size = size;
	*ret_packed = mbj_bytes_make(body.p + STREAM_PACKED_SIZE,
				     body.n - STREAM_PACKED_SIZE);
	return MBJ_OK;
}

enum mbj_rc stream_body_decode(const struct stream_head *head,
			       struct mbj_bytes body,
			       struct stream_message *ret_message,
			       struct mbj_error *err)
{
	const char *word = stream_kind_word(head->kind);
	unsigned fields = kinds[head->kind].fields;
	struct mbj_reader reader;
	enum mbj_rc rc = body_check(head, body, err);

	MBJ_ASSERT(head->packing == STREAM_PLAIN);
	if (rc < 0)
		return rc;
	mbj_reader_init(&reader, body);
	for (unsigned bit = 1; bit <= fields; bit <<= 1) {
		if ((fields & bit) == 0)
			continue;
		rc = stream_field_decode(&reader, (enum stream_field)bit,
					 ret_message, err);
		if (rc < 0)
			return mbj_error_prefix(err, rc, "%s", word);
	}
	if (!mbj_reader_is_spent(&reader))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "%s: a frame has %zu bytes too many", word,
				     mbj_reader_left(&reader));
	return MBJ_OK;
}
