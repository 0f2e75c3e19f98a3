/*
 * Headers, frames and names of segment files.  The layouts are in segment.h.
 *
 * Not here: files (segment_view.c), what a whole segment says
 * (segment_scan.c), which segments there are (segment_list.c).
 *
 * Invariants:
 *   1. what _encode writes, _decode accepts and gives back;
 *   2. a header is judged in the order magic, size, checksum, version, flags,
 *      values, so that "newer" is told from "damaged";
 *   3. a frame that decodes has sizes within the limits.
 *
 * Threads: pure functions.
 */
#include "segment.h"

#include <stdio.h>

#include <mbj/check.h>
#include <mbj/codec.h>

#include "group_record.h"

static const char segment_magic[8] = {'M', 'B', 'J', 'S', 'E', 'G', 'M', 'T'};
static const char frame_magic[4] = {'M', 'B', 'J', 'F'};

enum {
	INCOMPATIBLE_KNOWN = 0,
	HEADER_VERSION = 8,
	HEADER_SIZE = 12,
	HEADER_COMPATIBLE = 16,
	HEADER_INCOMPATIBLE = 20,
	HEADER_LINEAGE = 24,
	HEADER_FIRST = 40,
	HEADER_NUMBER = 48,
	HEADER_SALT = 56,
	HEADER_CREATED = 64,
	HEADER_CHAIN = 72,
	HEADER_CRC = SEGMENT_HEADER_SIZE - 4,

	FRAME_CRC = 4,
	FRAME_SALT = 8,
	FRAME_PAYLOAD_SIZE = 16,
	FRAME_FIRST = 24,
	FRAME_COUNT = 32,
	FRAME_PAYLOAD_CRC = 36,
	FRAME_CHAIN = 40,

	/* An empty group. */
	RECORD_SIZE_MIN =
		(GROUP_HEADER_SIZE_MIN + GROUP_TRAILER_SIZE + GROUP_ALIGN - 1) /
		GROUP_ALIGN * GROUP_ALIGN,
};

_Static_assert(FRAME_CHAIN + MBJ_HASH_SIZE == SEGMENT_FRAME_SIZE,
	       "the chain comes last");
_Static_assert(SEGMENT_FRAME_SIZE % SEGMENT_ALIGN == 0, "frames are aligned");
_Static_assert(SEGMENT_HEADER_SIZE % SEGMENT_ALIGN == 0, "frames are aligned");
_Static_assert((int)GROUP_ALIGN == (int)SEGMENT_ALIGN,
	       "records keep the alignment");

#undef segment_fault
enum mbj_rc segment_fault(struct mbj_error *err, const char *path, uint64_t at,
			  struct mbj_lsn lsn, const char *what)
{
	enum mbj_rc rc;

	rc = mbj_error_set(err, MBJ_ECORRUPT,
			   "%s (LSN %llu) at byte %llu of %s", what,
			   (unsigned long long)lsn.v, (unsigned long long)at,
			   path);
	mbj_error_at(err, path, at, lsn.v);
	return rc;
}

void segment_header_encode(const struct segment_header *header,
			   uint8_t bytes[SEGMENT_HEADER_SIZE])
{
	MBJ_ASSERT(header->first.v > 0);
	MBJ_ASSERT(header->number > 0);
	memset(bytes, 0, SEGMENT_HEADER_SIZE);
	memcpy(bytes, segment_magic, sizeof(segment_magic));
	mbj_store_u32(bytes + HEADER_VERSION, SEGMENT_VERSION);
	mbj_store_u32(bytes + HEADER_SIZE, SEGMENT_HEADER_SIZE);
	mbj_store_u32(bytes + HEADER_COMPATIBLE, header->compatible);
	memcpy(bytes + HEADER_LINEAGE, header->lineage.b, MBJ_ID_SIZE);
	mbj_store_u64(bytes + HEADER_FIRST, header->first.v);
	mbj_store_u32(bytes + HEADER_NUMBER, header->number);
	mbj_store_u64(bytes + HEADER_SALT, header->salt);
	mbj_store_u64(bytes + HEADER_CREATED, (uint64_t)header->created_us);
	memcpy(bytes + HEADER_CHAIN, header->chain.b, MBJ_HASH_SIZE);
	mbj_store_u32(bytes + HEADER_CRC,
		      mbj_crc32c(0, mbj_bytes_make(bytes, HEADER_CRC)));
}

/* Magic, size and checksum: NULL where some version of ours wrote this. */
static const char *header_fault(struct mbj_bytes bytes, uint32_t *ret_size)
{
	uint32_t size;

	if (bytes.n < SEGMENT_HEADER_SIZE)
		return "a segment is shorter than its header";
	if (memcmp(bytes.p, segment_magic, sizeof(segment_magic)) != 0)
		return "not a segment, or damaged in its first bytes";
	size = mbj_load_u32(bytes.p + HEADER_SIZE);
	if (size < HEADER_INCOMPATIBLE + 8 || size > bytes.n)
		return "the header of a segment is damaged";
	if (mbj_crc32c(0, mbj_bytes_make(bytes.p, size - 4)) !=
	    mbj_load_u32(bytes.p + size - 4))
		return "the header of a segment is damaged";
	*ret_size = size;
	return NULL;
}

static enum mbj_rc unsupported(struct mbj_error *err, const char *path,
			       const char *what, uint32_t value)
{
	enum mbj_rc rc;

	rc = mbj_error_set(err, MBJ_EUNSUPPORTED,
			   "a segment has %s 0x%x that this program does not "
			   "know: use a newer one: %s",
			   what, value, path);
	mbj_error_at(err, path, 0, 0);
	return rc;
}

enum mbj_rc segment_header_decode(struct mbj_bytes bytes, const char *path,
				  struct segment_header *ret_header,
				  struct mbj_error *err)
{
	uint32_t size = 0;
	const char *fault = header_fault(bytes, &size);
	const uint8_t *p = bytes.p;
	struct segment_header header;
	uint32_t flags;

	if (fault != NULL)
		return segment_fault(err, path, 0, (struct mbj_lsn){0}, fault);
	if (mbj_load_u32(p + HEADER_VERSION) != SEGMENT_VERSION)
		return unsupported(err, path, "format",
				   mbj_load_u32(p + HEADER_VERSION));
	flags = mbj_load_u32(p + HEADER_INCOMPATIBLE) &
		~(uint32_t)INCOMPATIBLE_KNOWN;
	if (flags != 0)
		return unsupported(err, path, "features", flags);
	header.compatible = mbj_load_u32(p + HEADER_COMPATIBLE);
	header.first.v = mbj_load_u64(p + HEADER_FIRST);
	header.number = mbj_load_u32(p + HEADER_NUMBER);
	header.salt = mbj_load_u64(p + HEADER_SALT);
	header.created_us = (int64_t)mbj_load_u64(p + HEADER_CREATED);
	memcpy(header.lineage.b, p + HEADER_LINEAGE, MBJ_ID_SIZE);
	memcpy(header.chain.b, p + HEADER_CHAIN, MBJ_HASH_SIZE);
	if (size != SEGMENT_HEADER_SIZE || header.first.v == 0 ||
	    header.number == 0)
		return segment_fault(err, path, 0, header.first,
				     "a segment has values that cannot be");
	*ret_header = header;
	return MBJ_OK;
}

void segment_frame_encode(const struct segment_frame *frame, uint64_t salt,
			  uint8_t bytes[SEGMENT_FRAME_SIZE])
{
	struct segment_frame check;
	uint32_t crc;
	bool is_good;

	memcpy(bytes, frame_magic, sizeof(frame_magic));
	mbj_store_u64(bytes + FRAME_SALT, salt);
	mbj_store_u64(bytes + FRAME_PAYLOAD_SIZE, frame->payload_size);
	mbj_store_u64(bytes + FRAME_FIRST, frame->first.v);
	mbj_store_u32(bytes + FRAME_COUNT, frame->count);
	mbj_store_u32(bytes + FRAME_PAYLOAD_CRC, frame->payload_crc);
	memcpy(bytes + FRAME_CHAIN, frame->chain.b, MBJ_HASH_SIZE);
	crc = mbj_crc32c(0, mbj_bytes_make(bytes + FRAME_SALT,
					   SEGMENT_FRAME_SIZE - FRAME_SALT));
	mbj_store_u32(bytes + FRAME_CRC, crc);
	is_good = segment_frame_decode(bytes, salt, &check);
	MBJ_ASSERT(is_good);
}

bool segment_frame_decode(const uint8_t bytes[SEGMENT_FRAME_SIZE],
			  uint64_t salt, struct segment_frame *ret_frame)
{
	struct segment_frame frame;
	uint32_t crc;

	/* The salt first: it alone rejects almost everything. */
	if (mbj_load_u64(bytes + FRAME_SALT) != salt ||
	    memcmp(bytes, frame_magic, sizeof(frame_magic)) != 0)
		return false;
	crc = mbj_crc32c(0, mbj_bytes_make(bytes + FRAME_SALT,
					   SEGMENT_FRAME_SIZE - FRAME_SALT));
	if (crc != mbj_load_u32(bytes + FRAME_CRC))
		return false;
	frame.payload_size = mbj_load_u64(bytes + FRAME_PAYLOAD_SIZE);
	frame.first.v = mbj_load_u64(bytes + FRAME_FIRST);
	frame.count = mbj_load_u32(bytes + FRAME_COUNT);
	frame.payload_crc = mbj_load_u32(bytes + FRAME_PAYLOAD_CRC);
	memcpy(frame.chain.b, bytes + FRAME_CHAIN, MBJ_HASH_SIZE);
	if (frame.payload_size > MBJ_LOG_BATCH_MAX ||
	    frame.payload_size % SEGMENT_ALIGN != 0 || frame.count == 0 ||
	    frame.payload_size / RECORD_SIZE_MIN < frame.count ||
	    frame.first.v == 0 || frame.first.v > UINT64_MAX - frame.count)
		return false;
	*ret_frame = frame;
	return true;
}

void segment_name_print(uint32_t number, struct mbj_lsn first,
			char name[SEGMENT_NAME_SIZE])
{
	int length;

	MBJ_ASSERT(number > 0 && first.v > 0);
	length = snprintf(name, SEGMENT_NAME_SIZE, "%08lx-%016llx.seg",
			  (unsigned long)number, (unsigned long long)first.v);
	MBJ_ASSERT(length == SEGMENT_NAME_SIZE - 1);
}

/* Exactly count lower-case digits. */
static bool hex_parse(const char *text, size_t count, uint64_t *ret_value)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t value = 0;

	for (size_t i = 0; i < count; i++) {
		const char *digit = memchr(digits, text[i], sizeof(digits) - 1);

		if (digit == NULL)
			return false;
		value = value << 4 | (uint64_t)(digit - digits);
	}
	*ret_value = value;
	return true;
}

bool segment_name_parse(const char *name, uint32_t *ret_number,
			struct mbj_lsn *ret_first)
{
	uint64_t number = 0;
	uint64_t first = 0;

	if (strlen(name) != SEGMENT_NAME_SIZE - 1 || name[8] != '-' ||
	    strcmp(name + 25, ".seg") != 0)
		return false;
	if (!hex_parse(name, 8, &number) || !hex_parse(name + 9, 16, &first))
		return false;
	if (number == 0 || first == 0)
		return false;
	*ret_number = (uint32_t)number;
	ret_first->v = first;
	return true;
}
