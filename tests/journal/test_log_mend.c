/*
 * Reading a log from any group on where its bytes are not what was written:
 * flipped, cut off, or changed with every checksum above them mended.  The
 * right group or an error, never another one.
 */
#include <stdlib.h>

#include <mbj/codec.h>
#include <mbj/hash.h>

#include "group_record.h"
#include "journal_cases.h"
#include "log_batches.h"

enum { SEEDS_MAX = 100 };

/* The second batch of the first segment, taken apart. */
struct taken {
	uint8_t *at; /* its frame, then its groups */
	struct segment_header header;
	struct segment_frame frame;
};

static bool frame_try(const uint8_t *end, const uint8_t *at, uint64_t salt,
		      struct segment_frame *ret_frame)
{
	return end - at >= SEGMENT_FRAME_SIZE &&
	       segment_frame_decode(at, salt, ret_frame);
}

/* One more is to be behind it: the last of a segment is not asked for more. */
static bool taken_try(struct batches *f, struct taken *ret)
{
	const char *name = disk_name(f->disk, 0);
	size_t n = 0;
	uint8_t *p = disk_file(f->disk, name, &n);
	struct segment_frame behind;

	LAB_OK(segment_header_decode(mbj_bytes_make(p, n), name, &ret->header,
				     err));
	ret->at = p + SEGMENT_HEADER_SIZE;
	ck_assert(segment_frame_decode(ret->at, ret->header.salt, &ret->frame));
	ret->at += SEGMENT_FRAME_SIZE + ret->frame.payload_size;
	if (!frame_try(p + n, ret->at, ret->header.salt, &ret->frame))
		return false;
	ck_assert_uint_eq(ret->frame.count, BATCHES_EACH);
	return frame_try(p + n,
			 ret->at + SEGMENT_FRAME_SIZE + ret->frame.payload_size,
			 ret->header.salt, &behind);
}

/* Groups are of random sizes: take the first seed that gives such a segment. */
static void taken_begin(struct batches *f, struct taken *ret)
{
	for (uint64_t seed = 2; seed < SEEDS_MAX; seed++) {
		batches_begin(f, seed);
		if (taken_try(f, ret))
			return;
		batches_end(f);
	}
	ck_abort_msg("no segment of three batches");
}

/* Its n-th group. */
static uint8_t *taken_group(const struct taken *taken, unsigned n)
{
	uint8_t *at = taken->at + SEGMENT_FRAME_SIZE;

	for (unsigned i = 0; i < n; i++) {
		uint32_t header_size = 0;
		uint64_t size = 0;

		ck_assert(group_size_peek(mbj_bytes_make(at,
							 GROUP_HEADER_SIZE_MIN),
					  &header_size, &size));
		at += size;
	}
	return at;
}

/* Checksums of a group's header, of the payload, and of the frame. */
static void taken_mend(struct taken *taken, uint8_t *group)
{
	uint32_t header_size = mbj_load_u32(group + GROUP_OFFSET_HEADER_SIZE);

	mbj_store_u32(group + GROUP_OFFSET_CRC,
		      mbj_crc32c(0, mbj_bytes_make(
					    group + GROUP_OFFSET_HEADER_SIZE,
					    header_size -
						    GROUP_OFFSET_HEADER_SIZE)));
	taken->frame.payload_crc =
		mbj_crc32c(0,
			   mbj_bytes_make(taken->at + SEGMENT_FRAME_SIZE,
					  (size_t)taken->frame.payload_size));
	segment_frame_encode(&taken->frame, taken->header.salt, taken->at);
}

enum change {
	CHANGE_FRAME_FIRST,
	CHANGE_FRAME_CHAIN,
	CHANGE_FRAME_COUNT_MORE,
	CHANGE_FRAME_COUNT_LESS,
	CHANGE_GROUP_LSN,
	CHANGE_GROUP_MAGIC,
	CHANGE_GROUP_SIZE,
	CHANGE_GROUP_CRC,
	CHANGE_GROUP_CHAIN,
	CHANGE_COUNT,
};

static void taken_change(struct taken *taken, uint8_t *group,
			 enum change change)
{
	uint32_t size = mbj_load_u32(group + GROUP_OFFSET_BODY_SIZE);
	size_t trailer = mbj_load_u32(group + GROUP_OFFSET_HEADER_SIZE) + size;

	switch (change) {
	case CHANGE_FRAME_FIRST:
		taken->frame.first.v++;
		break;
	case CHANGE_FRAME_CHAIN:
		taken->frame.chain.b[0] ^= 1;
		break;
	case CHANGE_FRAME_COUNT_MORE:
		taken->frame.count++;
		break;
	case CHANGE_FRAME_COUNT_LESS:
		taken->frame.count--;
		break;
	case CHANGE_GROUP_LSN:
		group[GROUP_OFFSET_LSN] ^= 0x40;
		break;
	case CHANGE_GROUP_MAGIC:
		group[0] ^= 1;
		break;
	case CHANGE_GROUP_SIZE:
		mbj_store_u32(group + GROUP_OFFSET_BODY_SIZE, size + 4096);
		break;
	case CHANGE_GROUP_CRC:
	case CHANGE_COUNT:
		break;
	case CHANGE_GROUP_CHAIN:
		group[trailer + 4] ^= 1;
		break;
	}
	taken_mend(taken, group);
	if (change == CHANGE_GROUP_CRC) {
		group[GROUP_OFFSET_CRC] ^= 1;
		taken->frame.payload_crc = mbj_crc32c(
			0, mbj_bytes_make(taken->at + SEGMENT_FRAME_SIZE,
					  (size_t)taken->frame.payload_size));
		segment_frame_encode(&taken->frame, taken->header.salt,
				     taken->at);
	}
}

/*
 * Goal: what a batch says of its groups, and a group of itself, is believed
 * only where it fits what came before, although every checksum holds.  Method:
 * one field of one of four groups, or of their batch, changed and mended; read
 * from each group up to behind it, with and without an owner; opened for
 * writing, and with what was published as it was.
 */
START_TEST(log_fields_mended)
{
	enum change change = (enum change)_i;

	for (unsigned n = 0; n < BATCHES_EACH; n++) {
		struct batches f;
		struct taken taken;
		unsigned refused = 0;

		taken_begin(&f, &taken);
		taken_change(&taken, taken_group(&taken, n), change);
		for (int is_owned = 0; is_owned < 2; is_owned++) {
			for (uint64_t lsn = f.first;
			     lsn <= f.first + 2 * BATCHES_EACH; lsn++) {
				struct mbj_error why = {.rc = MBJ_OK};
				enum mbj_rc rc;

				rc = batches_read(&f, is_owned != 0, lsn, &why);
				ck_assert(rc == MBJ_ECORRUPT ||
					  rc == MBJ_ENOTFOUND);
				refused += rc == MBJ_ECORRUPT;
				ck_assert(rc == MBJ_ENOTFOUND ||
					  why.message[0] != '\0');
			}
		}
		ck_assert_uint_gt(refused, BATCHES_EACH);
		batches_end(&f);
	}
}
END_TEST

/*
 * Goal: a reader that passes a batch by the header of the one behind it does
 * not believe one that claims other groups.  Method: three batches in one
 * segment, the second one's first LSN changed and mended; read without an
 * owner, opened.
 */
START_TEST(log_behind_mended)
{
	struct batches f = {.disk = disk_new(17)};
	struct mbj_log_reader *reader = NULL;
	struct mbj_log *log = NULL;
	struct mbj_group group;
	struct segment_header header;
	struct segment_frame frame;
	const char *name;
	size_t n = 0;
	uint8_t *p;

	lab_chain_init(&f.chain, 17);
	log = lab_log_open(f.disk, 0);
	for (unsigned i = 0; i < 3; i++) {
		(void)lab_chain_add(&f.chain, 0);
		f.last = f.chain.end.lsn.v;
		LAB_OK(lab_append(log, &f.chain, f.last, f.last, err));
	}
	mbj_log_close(&log);
	f.first = f.chain.first.v;
	name = lab_segment(f.disk);
	p = disk_file(f.disk, name, &n);
	LAB_OK(segment_header_decode(mbj_bytes_make(p, n), name, &header, err));
	ck_assert_uint_eq(header.first.v, f.first);
	p += SEGMENT_HEADER_SIZE + SEGMENT_FRAME_SIZE +
	     lab_chain_get(&f.chain, f.first).n;
	ck_assert(segment_frame_decode(p, header.salt, &frame));
	frame.first.v++;
	segment_frame_encode(&frame, header.salt, p);
	LAB_OK(lab_reader_try(f.disk, false, &reader, err));
	LAB_OK(mbj_log_reader_next(reader, &group, err));
	ck_assert_uint_eq(group.header.lsn.v, f.first);
	for (unsigned i = 0; i < 2; i++)
		LAB_FAILS(mbj_log_reader_next(reader, &group, err),
			  MBJ_ECORRUPT);
	mbj_log_reader_close(&reader);
	LAB_FAILS(lab_log_try(f.disk, 0, &log, err), MBJ_ECORRUPT);
	batches_end(&f);
}
END_TEST

/*
 * Goal: one flipped bit anywhere never gives another group, wherever reading
 * begins.  Method: each byte of the first segment's first two batches.
 */
START_TEST(log_bits_seek)
{
	struct batches f;
	struct taken taken;
	size_t n = 0;
	size_t size;
	uint8_t *p;

	taken_begin(&f, &taken);
	p = disk_file(f.disk, disk_name(f.disk, 0), &n);
	size = (size_t)(taken.at - p) + SEGMENT_FRAME_SIZE +
	       (size_t)taken.frame.payload_size;
	for (size_t i = 0; i < size; i += 3) {
		uint8_t bit = (uint8_t)(1u << i % 8);

		p = disk_file(f.disk, disk_name(f.disk, 0), &n);
		p[i] ^= bit;
		for (unsigned k = 1; k < 2 * BATCHES_EACH; k += 2) {
			struct mbj_error why = {.rc = MBJ_OK};
			enum mbj_rc rc;

			rc = batches_read(&f, true, f.first + k, &why);
			ck_assert_msg(rc == MBJ_ENOTFOUND ||
					      rc == MBJ_ECORRUPT ||
					      rc == MBJ_EUNSUPPORTED ||
					      rc == MBJ_EFENCED,
				      "byte %zu: %s: %s", i, mbj_rc_name(rc),
				      why.message);
		}
		p = disk_file(f.disk, disk_name(f.disk, 0), &n);
		p[i] ^= bit;
	}
	ck_assert_int_eq(batches_read(&f, true, f.first, NULL), MBJ_ENOTFOUND);
	batches_end(&f);
}
END_TEST

/*
 * Goal: a segment that lost its end while somebody reads is damage.  Method:
 * the first segment cut at every seventh length, read from each group of its
 * first two batches.
 */
START_TEST(log_cuts_seek)
{
	struct batches f;
	struct taken taken;
	size_t size = 0;
	uint8_t *p;

	taken_begin(&f, &taken);
	p = disk_file(f.disk, disk_name(f.disk, 0), &size);
	size = (size_t)(taken.at - p) + SEGMENT_FRAME_SIZE +
	       (size_t)taken.frame.payload_size;
	for (size_t n = 0; n < size; n += 7) {
		struct batches cut = f;

		cut.disk = disk_dup(f.disk);
		(void)disk_resize(cut.disk, disk_name(cut.disk, 0), n);
		for (unsigned k = 0; k < 2 * BATCHES_EACH; k++)
			LAB_FAILS(batches_read(&cut, true, f.first + k, err),
				  MBJ_ECORRUPT);
		disk_free(&cut.disk);
	}
	batches_end(&f);
}
END_TEST

TCase *test_log_mend_case(void)
{
	TCase *tc = tcase_create("log_mend");

	tcase_add_loop_test(tc, log_fields_mended, 0, CHANGE_COUNT);
	tcase_add_test(tc, log_behind_mended);
	tcase_add_test(tc, log_bits_seek);
	tcase_add_test(tc, log_cuts_seek);
	return tc;
}
