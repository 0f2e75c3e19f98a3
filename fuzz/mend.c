/*
 * Mending checksums and chains; see mend.h.
 */
#include <string.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>

#include "mend.h"

enum {
	SUPERBLOCK_SIZE = 256,
	SEGMENT_SIZE = 128,
	FRAME_SIZE = 72,
	GROUP_SIZE = 72,
	BODY_CRC_SIZE = 4,
	STREAM_SIZE = 16,
	BLOB_SIZE = 16,
};

static void crc_put(uint8_t *at, const uint8_t *from, size_t n)
{
	mbj_store_u32(at, mbj_crc32c(0, mbj_bytes_make(from, n)));
}

void mend_superblock(uint8_t *data, size_t size)
{
	if (size >= SUPERBLOCK_SIZE)
		crc_put(data + SUPERBLOCK_SIZE - 4, data, SUPERBLOCK_SIZE - 4);
}

void mend_blob(uint8_t *data, size_t size)
{
	if (size < BLOB_SIZE + 4)
		return;
	/* Its length, too. */
	mbj_store_u64(data + 8, size);
	crc_put(data + BLOB_SIZE, data, BLOB_SIZE);
}

/* SHA-256(chain before, header, SHA-256(body)), into chain. */
static void chain_put(uint8_t *chain, struct mbj_bytes header,
		      struct mbj_bytes body)
{
	struct mbj_sha256 *sha = NULL;
	struct mbj_hash sum;
	struct mbj_bytes parts[3];

	MBJ_ASSERT(mbj_sha256_new(&sha, NULL) == MBJ_OK);
	MBJ_ASSERT(mbj_sha256_digest(sha, &body, 1, &sum, NULL) == MBJ_OK);
	parts[0] = mbj_bytes_make(chain, MBJ_HASH_SIZE);
	parts[1] = header;
	parts[2] = mbj_bytes_make(sum.b, MBJ_HASH_SIZE);
	MBJ_ASSERT(mbj_sha256_digest(sha, parts, 3, &sum, NULL) == MBJ_OK);
	memcpy(chain, sum.b, MBJ_HASH_SIZE);
	mbj_sha256_free(&sha);
}

size_t mend_group(uint8_t *data, size_t size, uint8_t *chain)
{
	size_t header;
	size_t body;
	size_t n;

	if (size < GROUP_SIZE)
		return 0;
	header = mbj_load_u32(data + 8);
	body = mbj_load_u32(data + 12);
	n = header + body + BODY_CRC_SIZE + MBJ_HASH_SIZE;
	n = (n + 7) / 8 * 8;
	if (header < GROUP_SIZE || header > size || body > size || n > size)
		return 0;
	crc_put(data + 4, data + 8, header - 8);
	crc_put(data + header + body, data + header, body);
	if (chain != NULL) {
		chain_put(chain, mbj_bytes_make(data, header),
			  mbj_bytes_make(data + header, body));
		memcpy(data + header + body + BODY_CRC_SIZE, chain,
		       MBJ_HASH_SIZE);
	}
	return n;
}

/* The groups of a frame, its checksums; returns bytes of all, 0: no frame. */
static size_t frame_mend(uint8_t *data, size_t size, const uint8_t *salt,
			 uint8_t *chain)
{
	size_t payload;
	size_t at = FRAME_SIZE;

	if (size < FRAME_SIZE || memcmp(data, "MBJF", 4) != 0)
		return 0;
	payload = (size_t)mbj_load_u64(data + 16);
	if (payload > size - FRAME_SIZE)
		return 0;
	memcpy(data + 8, salt, 8);
	memcpy(data + 40, chain, MBJ_HASH_SIZE);
	for (;;) {
		size_t n =
			mend_group(data + at, FRAME_SIZE + payload - at, chain);

		if (n == 0)
			break;
		at += n;
	}
	crc_put(data + 36, data + FRAME_SIZE, payload);
	crc_put(data + 4, data + 8, FRAME_SIZE - 8);
	return (FRAME_SIZE + payload + 7) / 8 * 8;
}

void mend_stream(uint8_t *data, size_t size)
{
	size_t at = 1;

	while (at < size && size - at >= STREAM_SIZE) {
		uint8_t *head = data + at;
		size_t body = mbj_load_u32(head);

		if (body > size - at - STREAM_SIZE)
			return;
		crc_put(head + 8, head + STREAM_SIZE, body);
		crc_put(head + 12, head, 12);
		at += STREAM_SIZE + body;
	}
}

void mend_segment(uint8_t *data, size_t size)
{
	uint8_t chain[MBJ_HASH_SIZE];
	size_t at = SEGMENT_SIZE;

	if (size < SEGMENT_SIZE)
		return;
	crc_put(data + SEGMENT_SIZE - 4, data, SEGMENT_SIZE - 4);
	memcpy(chain, data + 72, sizeof(chain));
	while (at < size) {
		size_t n = frame_mend(data + at, size - at, data + 56, chain);

		if (n == 0)
			break;
		at += n;
	}
}
