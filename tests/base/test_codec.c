/*
 * The codec: what was put is read, and nothing behind the end is.
 */
#include <stdlib.h>

#include <mbj/codec.h>
#include <mbj/memory.h>

#include "cases.h"

enum field_kind {
	FIELD_U8,
	FIELD_U16,
	FIELD_U32,
	FIELD_U64,
	FIELD_ID,
	FIELD_BLOCK,
	FIELD_KINDS
};

enum { FIELDS_MAX = 40, BLOCK_MAX = 64 };

struct field {
	enum field_kind kind;
	uint64_t number;
	struct mbj_id id;
	uint8_t block[BLOCK_MAX];
	size_t n;
};

static void field_draw(struct field *field, struct test_rng *rng)
{
	field->kind = (enum field_kind)test_rng_below(rng, FIELD_KINDS);
	field->number = test_rng_next(rng);
	test_rng_fill(rng, field->id.b, sizeof(field->id.b));
	field->n = test_rng_below(rng, BLOCK_MAX + 1);
	test_rng_fill(rng, field->block, field->n);
}

static void field_put(struct mbj_buf *buf, const struct field *field)
{
	switch (field->kind) {
	case FIELD_U8:
		mbj_buf_put_u8(buf, (uint8_t)field->number);
		break;
	case FIELD_U16:
		mbj_buf_put_u16(buf, (uint16_t)field->number);
		break;
	case FIELD_U32:
		mbj_buf_put_u32(buf, (uint32_t)field->number);
		break;
	case FIELD_U64:
		mbj_buf_put_u64(buf, field->number);
		break;
	case FIELD_ID:
		mbj_buf_put_id(buf, field->id);
		break;
	case FIELD_BLOCK:
	case FIELD_KINDS:
		mbj_buf_put_block(buf, mbj_bytes_make(field->block, field->n));
		break;
	}
}

/* Read a field; true where it is as it was put. */
static bool field_read(struct mbj_reader *reader, const struct field *field)
{
	switch (field->kind) {
	case FIELD_U8:
		return mbj_read_u8(reader) == (uint8_t)field->number;
	case FIELD_U16:
		return mbj_read_u16(reader) == (uint16_t)field->number;
	case FIELD_U32:
		return mbj_read_u32(reader) == (uint32_t)field->number;
	case FIELD_U64:
		return mbj_read_u64(reader) == field->number;
	case FIELD_ID:
		return mbj_id_equal(mbj_read_id(reader), field->id);
	case FIELD_BLOCK:
	case FIELD_KINDS:
		return mbj_bytes_equal(mbj_read_block(reader, BLOCK_MAX),
				       mbj_bytes_make(field->block, field->n));
	}
	return false;
}

/* Decode a copy that ends where the allocation does, for the sanitizers. */
static void cut_check(struct mbj_bytes whole, size_t cut,
		      const struct field *fields, size_t count)
{
	uint8_t *copy = malloc(cut + 1);
	struct mbj_reader reader;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy + 1, whole.p, cut);
	mbj_reader_init(&reader, mbj_bytes_make(copy + 1, cut));
	for (size_t i = 0; i < count; i++) {
		bool same = field_read(&reader, &fields[i]);

		ck_assert_msg(same || !mbj_reader_ok(&reader),
			      "field %zu differs", i);
	}
	ck_assert(mbj_reader_ok(&reader) == (cut == whole.n));
	ck_assert(mbj_reader_is_spent(&reader) == (cut == whole.n));
	free(copy);
}

/*
 * Goal: decoding yields what was encoded, and every shorter input fails and
 * is never overrun.  Method: random records, seed printed, cut everywhere.
 */
START_TEST(codec_round_trip)
{
	struct field fields[FIELDS_MAX];
	struct test_rng rng;

	test_rng_seed(&rng);
	for (int round = 0; round < 60; round++) {
		size_t count = test_rng_between(&rng, 1, FIELDS_MAX);
		struct mbj_buf buf;

		mbj_buf_init(&buf, 1 << 16);
		for (size_t i = 0; i < count; i++) {
			field_draw(&fields[i], &rng);
			field_put(&buf, &fields[i]);
		}
		ck_assert_int_eq(mbj_buf_ok(&buf, NULL), MBJ_OK);
		for (size_t cut = 0; cut <= buf.n; cut++)
			cut_check(mbj_buf_view(&buf), cut, fields, count);
		mbj_buf_done(&buf);
	}
}
END_TEST

/*
 * Goal: bytes are little-endian, and keys big-endian.  Method: one number of
 * each width against its bytes.
 */
START_TEST(codec_byte_order)
{
	static const uint8_t little[] = {0x02, 0x01, 0x06, 0x05, 0x04,
					 0x03, 0x0e, 0x0d, 0x0c, 0x0b,
					 0x0a, 0x09, 0x08, 0x07};
	static const uint8_t big[] = {0x07, 0x08, 0x09, 0x0a,
				      0x0b, 0x0c, 0x0d, 0x0e};
	uint8_t key[8];
	struct mbj_buf buf;

	mbj_buf_init(&buf, sizeof(little));
	mbj_buf_put_u16(&buf, 0x0102);
	mbj_buf_put_u32(&buf, 0x03040506);
	mbj_buf_put_u64(&buf, UINT64_C(0x0708090a0b0c0d0e));
	ck_assert(mbj_bytes_equal(mbj_buf_view(&buf),
				  mbj_bytes_make(little, sizeof(little))));
	mbj_store_be64(key, UINT64_C(0x0708090a0b0c0d0e));
	ck_assert_mem_eq(key, big, sizeof(key));
	mbj_buf_done(&buf);
}
END_TEST

/*
 * Goal: a failure sticks, yields zeroes and leaves nothing.  Method: read a
 * u64 of seven bytes, then things that would have fitted.
 */
START_TEST(codec_failure_sticks)
{
	static const uint8_t bytes[7] = {1, 2, 3, 4, 5, 6, 7};
	struct mbj_reader reader;

	mbj_reader_init(&reader, mbj_bytes_make(bytes, sizeof(bytes)));
	ck_assert_uint_eq(mbj_reader_left(&reader), 7);
	ck_assert_uint_eq(mbj_read_u64(&reader), 0);
	ck_assert(!mbj_reader_ok(&reader));
	ck_assert_uint_eq(mbj_reader_left(&reader), 0);
	ck_assert_uint_eq(mbj_read_u8(&reader), 0);
	ck_assert_uint_eq(mbj_read_u16(&reader), 0);
	ck_assert_uint_eq(mbj_read_u32(&reader), 0);
	ck_assert(mbj_id_is_root(mbj_read_id(&reader)));
	ck_assert_uint_eq(mbj_read_bytes(&reader, 1).n, 0);
	ck_assert_uint_eq(mbj_read_block(&reader, 9).n, 0);
	ck_assert(!mbj_reader_is_spent(&reader));
}
END_TEST

/*
 * Goal: lengths are judged before they are believed.  Method: a block of its
 * maximum, of one more, and one that claims four gigabytes.
 */
START_TEST(codec_block_limit)
{
	static const uint8_t five[] = {5, 0, 0, 0, 'a', 'b', 'c', 'd', 'e'};
	static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 'a'};
	struct mbj_reader reader;
	struct mbj_bytes b;

	mbj_reader_init(&reader, mbj_bytes_make(five, sizeof(five)));
	b = mbj_read_block(&reader, 5);
	ck_assert(mbj_bytes_equal(b, mbj_bytes_str("abcde")));
	ck_assert(mbj_reader_is_spent(&reader));
	mbj_reader_init(&reader, mbj_bytes_make(five, sizeof(five)));
	b = mbj_read_block(&reader, 4);
	ck_assert_uint_eq(b.n, 0);
	ck_assert(!mbj_reader_ok(&reader));
	mbj_reader_init(&reader, mbj_bytes_make(huge, sizeof(huge)));
	b = mbj_read_block(&reader, SIZE_MAX);
	ck_assert_uint_eq(b.n, 0);
	ck_assert(!mbj_reader_ok(&reader));
	mbj_reader_init(&reader, mbj_bytes_make(huge, sizeof(huge)));
	ck_assert_uint_eq(mbj_read_bytes(&reader, SIZE_MAX).n, 0);
	ck_assert(!mbj_reader_ok(&reader));
}
END_TEST

/*
 * Goal: nothing can be read from nothing, and that is no failure.  Method: an
 * input without an address.
 */
START_TEST(codec_empty)
{
	struct mbj_reader reader;

	mbj_reader_init(&reader, mbj_bytes_make(NULL, 0));
	ck_assert(mbj_reader_is_spent(&reader));
	ck_assert_uint_eq(mbj_read_bytes(&reader, 0).n, 0);
	ck_assert(mbj_reader_ok(&reader));
	ck_assert_uint_eq(mbj_read_u8(&reader), 0);
	ck_assert(!mbj_reader_ok(&reader));
}
END_TEST

TCase *test_codec_case(void)
{
	TCase *tc = tcase_create("codec");

	tcase_add_test(tc, codec_round_trip);
	tcase_add_test(tc, codec_byte_order);
	tcase_add_test(tc, codec_failure_sticks);
	tcase_add_test(tc, codec_block_limit);
	tcase_add_test(tc, codec_empty);
	return tc;
}
