/*
 * The bytes of packs and their indexes; see pack_format.h.
 *
 * Invariant: what is encoded is decoded to the same values; a header is judged
 * in the order magic, size, checksum, version, flags, values.
 *
 * Threads: pure functions.
 */
#include "pack_format.h"

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>

static const char pack_magic[8] = {'M', 'B', 'J', 'P', 'A', 'C', 'K', 'S'};
static const char index_magic[8] = {'M', 'B', 'J', 'I', 'N', 'D', 'E', 'X'};
static const char record_magic[4] = {'M', 'B', 'J', 'C'};

enum {
	PACK_VERSION = 1,
	/* Of both file headers. */
	OFFSET_VERSION = 8,
	OFFSET_SIZE = 12,
	OFFSET_COMPATIBLE = 16,
	OFFSET_INCOMPATIBLE = 20,
	OFFSET_NUMBER = 24,
	OFFSET_COUNT = 28,
	OFFSET_SALT = 32,
	OFFSET_END = 40,
	OFFSET_CRC = 60,
	/* Of a record. */
	RECORD_CRC = 4,
	RECORD_SALT = 8,
	RECORD_SYNCED = 16,
	RECORD_SIZE = 24,
	RECORD_FLAGS = 28,
	RECORD_DIGEST = 32,
};

_Static_assert(RECORD_DIGEST + MBJ_HASH_SIZE == PACK_RECORD_SIZE,
	       "fields are back to back");

/* ------------------------------------------------------------ file headers */

static void header_encode(const char magic[8], const struct pack_index *index,
			  uint8_t bytes[PACK_HEADER_SIZE])
{
	memset(bytes, 0, PACK_HEADER_SIZE);
	memcpy(bytes, magic, 8);
	mbj_store_u32(bytes + OFFSET_VERSION, PACK_VERSION);
	mbj_store_u32(bytes + OFFSET_SIZE, PACK_HEADER_SIZE);
	mbj_store_u32(bytes + OFFSET_NUMBER, index->number);
	mbj_store_u32(bytes + OFFSET_COUNT, index->count);
	mbj_store_u64(bytes + OFFSET_SALT, index->salt);
	mbj_store_u64(bytes + OFFSET_END, index->end);
}

static enum mbj_rc header_damaged(const char *path, const char *what,
				  struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = mbj_error_set(err, MBJ_ECORRUPT, "%s %s", path, what);
	mbj_error_at(err, path, 0, 0);
	return rc;
}

/* After magic and checksum. */
static enum mbj_rc header_check(const uint8_t *bytes, uint32_t number,
				const char *path, struct mbj_error *err)
{
	if (mbj_load_u32(bytes + OFFSET_VERSION) != PACK_VERSION ||
	    mbj_load_u32(bytes + OFFSET_INCOMPATIBLE) != 0)
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "%s has a format that this program does "
				     "not know: use a newer one",
				     path);
	if (mbj_load_u32(bytes + OFFSET_SIZE) != PACK_HEADER_SIZE ||
	    mbj_load_u32(bytes + OFFSET_NUMBER) != number)
		return header_damaged(path, "is not what its name says", err);
	return MBJ_OK;
}

void pack_header_encode(uint32_t number, uint64_t salt,
			uint8_t bytes[PACK_HEADER_SIZE])
{
	const struct pack_index head = {.number = number, .salt = salt};

	header_encode(pack_magic, &head, bytes);
	mbj_store_u32(bytes + OFFSET_CRC,
		      mbj_crc32c(0, mbj_bytes_make(bytes, OFFSET_CRC)));
}

enum mbj_rc pack_header_decode(const uint8_t bytes[PACK_HEADER_SIZE],
			       uint32_t number, uint64_t *ret_salt,
			       const char *path, struct mbj_error *err)
{
	enum mbj_rc rc;

	if (memcmp(bytes, pack_magic, sizeof(pack_magic)) != 0 ||
	    mbj_load_u32(bytes + OFFSET_CRC) !=
		    mbj_crc32c(0, mbj_bytes_make(bytes, OFFSET_CRC)))
		return header_damaged(path, "has a damaged header", err);
	rc = header_check(bytes, number, path, err);
	if (rc == MBJ_OK)
		*ret_salt = mbj_load_u64(bytes + OFFSET_SALT);
	return rc;
}

/* ----------------------------------------------------------------- records */

void pack_record_encode(const struct pack_record *record,
			uint8_t bytes[PACK_RECORD_SIZE])
{
	memcpy(bytes, record_magic, sizeof(record_magic));
	mbj_store_u64(bytes + RECORD_SALT, record->salt);
	mbj_store_u64(bytes + RECORD_SYNCED, record->synced);
	mbj_store_u32(bytes + RECORD_SIZE, record->size);
	mbj_store_u32(bytes + RECORD_FLAGS, record->flags);
	memcpy(bytes + RECORD_DIGEST, record->digest.b, MBJ_HASH_SIZE);
	mbj_store_u32(bytes + RECORD_CRC,
		      mbj_crc32c(0, mbj_bytes_make(bytes + RECORD_SALT,
						   PACK_RECORD_SIZE -
							   RECORD_SALT)));
}

bool pack_record_begins(const uint8_t *bytes)
{
	return memcmp(bytes, record_magic, sizeof(record_magic)) == 0;
}

bool pack_record_decode(const uint8_t bytes[PACK_RECORD_SIZE],
			struct pack_record *ret_record)
{
	struct pack_record record;

	if (!pack_record_begins(bytes) ||
	    mbj_load_u32(bytes + RECORD_CRC) !=
		    mbj_crc32c(0,
			       mbj_bytes_make(bytes + RECORD_SALT,
					      PACK_RECORD_SIZE - RECORD_SALT)))
		return false;
	record.salt = mbj_load_u64(bytes + RECORD_SALT);
	record.synced = mbj_load_u64(bytes + RECORD_SYNCED);
	record.size = mbj_load_u32(bytes + RECORD_SIZE);
	record.flags = mbj_load_u32(bytes + RECORD_FLAGS);
	memcpy(record.digest.b, bytes + RECORD_DIGEST, MBJ_HASH_SIZE);
	if ((record.flags & ~(uint32_t)PACK_FLAG_MARK) != 0 ||
	    record.size > PACK_CONTENT_MAX)
		return false;
	*ret_record = record;
	return true;
}

/* ------------------------------------------------------------------- index */

static uint32_t index_crc(struct mbj_bytes bytes)
{
	uint32_t crc = mbj_crc32c(0, mbj_bytes_make(bytes.p, OFFSET_CRC));

	return mbj_crc32c(crc, mbj_bytes_make(bytes.p + INDEX_HEADER_SIZE,
					      bytes.n - INDEX_HEADER_SIZE));
}

void pack_index_encode(const struct pack_index *index,
		       const struct pack_entry *entries, struct mbj_buf *bytes)
{
	uint8_t header[INDEX_HEADER_SIZE];

	MBJ_ASSERT(bytes->n == 0);
	header_encode(index_magic, index, header);
	mbj_buf_put(bytes, header, sizeof(header));
	for (uint32_t i = 0; i < index->count; i++) {
		mbj_buf_put(bytes, entries[i].digest.b, MBJ_HASH_SIZE);
		mbj_buf_put_u32(bytes, entries[i].at);
		mbj_buf_put_u32(bytes, entries[i].size);
	}
	if (bytes->failed == MBJ_OK)
		mbj_store_u32(bytes->p + OFFSET_CRC,
			      index_crc(mbj_buf_view(bytes)));
}

static enum mbj_rc entries_decode(struct mbj_bytes bytes,
				  const struct pack_index *index,
				  struct pack_entry *entries, const char *path,
				  struct mbj_error *err)
{
	const uint8_t *p = bytes.p + INDEX_HEADER_SIZE;

	for (uint32_t i = 0; i < index->count; i++, p += INDEX_ENTRY_SIZE) {
		struct pack_entry *entry = &entries[i];

		memcpy(entry->digest.b, p, MBJ_HASH_SIZE);
		entry->at = mbj_load_u32(p + MBJ_HASH_SIZE);
		entry->size = mbj_load_u32(p + MBJ_HASH_SIZE + 4);
		if (pack_entry_at(entry) < PACK_HEADER_SIZE ||
		    pack_entry_at(entry) + pack_space(entry->size) >
			    index->end ||
		    (i > 0 && memcmp(entries[i - 1].digest.b, entry->digest.b,
				     MBJ_HASH_SIZE) >= 0))
			return header_damaged(path,
					      "has an entry that cannot be",
					      err);
	}
	return MBJ_OK;
}

enum mbj_rc pack_index_decode(struct mbj_bytes bytes, uint32_t number,
			      struct pack_index *ret_index,
			      struct pack_entry **ret_entries, const char *path,
			      struct mbj_error *err)
{
	struct pack_index index = {.number = number};
	struct pack_entry *entries;
	enum mbj_rc rc;

	if (bytes.n < INDEX_HEADER_SIZE ||
	    memcmp(bytes.p, index_magic, sizeof(index_magic)) != 0 ||
	    mbj_load_u32(bytes.p + OFFSET_CRC) != index_crc(bytes))
		return header_damaged(path, "is damaged", err);
	rc = header_check(bytes.p, number, path, err);
	if (rc < 0)
		return rc;
	index.count = mbj_load_u32(bytes.p + OFFSET_COUNT);
	index.salt = mbj_load_u64(bytes.p + OFFSET_SALT);
	index.end = mbj_load_u64(bytes.p + OFFSET_END);
	if (index.count > INDEX_COUNT_MAX || index.end < PACK_HEADER_SIZE ||
	    index.end % PACK_ALIGN != 0 ||
	    bytes.n !=
		    INDEX_HEADER_SIZE + (size_t)index.count * INDEX_ENTRY_SIZE)
		return header_damaged(path, "has values that cannot be", err);
	entries = mbj_calloc(index.count + 1, sizeof(*entries));
	if (entries == NULL)
		return mbj_error_nomem(err);
	rc = entries_decode(bytes, &index, entries, path, err);
	if (rc < 0) {
		mbj_free(entries);
		return rc;
	}
	*ret_index = index;
	*ret_entries = entries;
	return MBJ_OK;
}
