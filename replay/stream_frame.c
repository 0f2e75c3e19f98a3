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
enum { HEAD_KIND = 4, HEAD_ZERO = 6, HEAD_BODY_CRC = 8, HEAD_CRC = 12 };

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

	if (mbj_load_u32(bytes + HEAD_CRC) != crc_of(bytes, HEAD_CRC))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "a frame's head is damaged, or what came "
				     "is no stream of mbj");
	if (kind > STREAM_KIND_LAST || kinds[kind].word == NULL ||
	    mbj_load_u16(bytes + HEAD_ZERO) != 0)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "a frame has the kind %u, which there is "
				     "not: the peer speaks something else",
				     kind);
	if (kinds[kind].side != side)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "a frame \"%s\" came from the wrong side",
				     kinds[kind].word);
	if (size > kinds[kind].size_max)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "a frame \"%s\" says it has %lu bytes, "
				     "at most %zu are allowed",
				     kinds[kind].word, (unsigned long)size,
				     kinds[kind].size_max);
	ret_head->kind = (enum stream_kind)kind;
	ret_head->size = size;
	ret_head->crc = mbj_load_u32(bytes + HEAD_BODY_CRC);
	return MBJ_OK;
}

/* ---------------------------------------------------------------- frames */

void stream_encode(struct mbj_buf *buf, enum stream_kind kind,
		   const struct stream_message *message)
{
	uint8_t head[STREAM_HEAD_SIZE] = {0};
	unsigned fields = kinds[kind].fields;
	size_t at = buf->n;
	size_t size;

	mbj_buf_put(buf, head, sizeof(head));
	for (unsigned bit = 1; bit <= fields; bit <<= 1)
		if (fields & bit)
			stream_field_encode(buf, (enum stream_field)bit,
					    message);
	if (buf->failed != MBJ_OK)
		return;
	size = buf->n - at - sizeof(head);
	MBJ_ASSERT(size <= kinds[kind].size_max);
	mbj_store_u32(head, (uint32_t)size);
	mbj_store_u16(head + HEAD_KIND, (uint16_t)kind);
	mbj_store_u32(head + HEAD_BODY_CRC,
		      crc_of(buf->p + at + sizeof(head), size));
	mbj_store_u32(head + HEAD_CRC, crc_of(head, HEAD_CRC));
	memcpy(buf->p + at, head, sizeof(head));
}

enum mbj_rc stream_body_decode(const struct stream_head *head,
			       struct mbj_bytes body,
			       struct stream_message *ret_message,
			       struct mbj_error *err)
{
	const char *word = stream_kind_word(head->kind);
	unsigned fields = kinds[head->kind].fields;
	struct mbj_reader reader;
	enum mbj_rc rc;

	MBJ_ASSERT(body.n == head->size);
	if (mbj_crc32c(0, body) != head->crc)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "%s: a frame was damaged on the way",
				     word);
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
