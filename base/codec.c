/*
 * The bounds rule of decoding, in one function: reader_take.
 *
 * It is not a parser: what the bytes mean is the business of the record's own
 * file.  Here no byte is ever judged, so nothing here can assert on input.
 *
 * Invariants:
 *  1. offset <= n, always.
 *  2. After the first failure nothing moves: every read yields zeroes and
 *     nothing is left, so a loop over "while left" ends.
 *
 * Threads: one at a time per reader.
 */
#include <mbj/check.h>
#include <mbj/codec.h>

void mbj_reader_init(struct mbj_reader *reader, struct mbj_bytes b)
{
	MBJ_ASSERT(reader != NULL);
	MBJ_ASSERT(b.p != NULL || b.n == 0);
	*reader = (struct mbj_reader){.p = b.p, .n = b.n};
}

bool mbj_reader_ok(const struct mbj_reader *reader)
{
	MBJ_ASSERT(reader->offset <= reader->n);
	return !reader->failed;
}

size_t mbj_reader_left(const struct mbj_reader *reader)
{
	MBJ_ASSERT(reader->offset <= reader->n);
	return reader->failed ? 0 : reader->n - reader->offset;
}

bool mbj_reader_is_spent(const struct mbj_reader *reader)
{
	return mbj_reader_ok(reader) && mbj_reader_left(reader) == 0;
}

/* The next n bytes, or NULL and the sticky failure; n is not 0. */
static const uint8_t *reader_take(struct mbj_reader *reader, size_t n)
{
	const uint8_t *p;

	MBJ_ASSERT(reader->offset <= reader->n);
	if (reader->failed || n > reader->n - reader->offset) {
		reader->failed = true;
		return NULL;
	}
	p = reader->p + reader->offset;
	reader->offset += n;
	return p;
}

uint8_t mbj_read_u8(struct mbj_reader *reader)
{
	const uint8_t *p = reader_take(reader, 1);

	return p == NULL ? 0 : p[0];
}

uint16_t mbj_read_u16(struct mbj_reader *reader)
{
	const uint8_t *p = reader_take(reader, 2);

	return p == NULL ? 0 : mbj_load_u16(p);
}

uint32_t mbj_read_u32(struct mbj_reader *reader)
{
	const uint8_t *p = reader_take(reader, 4);

	return p == NULL ? 0 : mbj_load_u32(p);
}

uint64_t mbj_read_u64(struct mbj_reader *reader)
{
	const uint8_t *p = reader_take(reader, 8);

	return p == NULL ? 0 : mbj_load_u64(p);
}

struct mbj_id mbj_read_id(struct mbj_reader *reader)
{
	const uint8_t *p = reader_take(reader, MBJ_ID_SIZE);
	struct mbj_id id = MBJ_ID_ROOT;

	if (p != NULL)
		memcpy(id.b, p, MBJ_ID_SIZE);
	return id;
}

struct mbj_bytes mbj_read_bytes(struct mbj_reader *reader, size_t n)
{
	const uint8_t *p;

	/* An empty input may have no address: add nothing to NULL. */
	if (n == 0)
		return mbj_bytes_make(NULL, 0);
	p = reader_take(reader, n);
	return mbj_bytes_make(p, p == NULL ? 0 : n);
}

struct mbj_bytes mbj_read_block(struct mbj_reader *reader, size_t max)
{
	uint32_t n = mbj_read_u32(reader);

	if (n > max) {
		reader->failed = true;
		return mbj_bytes_make(NULL, 0);
	}
	return mbj_read_bytes(reader, n);
}
