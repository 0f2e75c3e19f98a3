/*
 * The bytes of packs and their indexes: docs/FORMAT.md, "Pack".
 *
 * Threads: pure functions.
 */
#ifndef MBJ_PACK_FORMAT_H
#define MBJ_PACK_FORMAT_H

#include <mbj/error.h>
#include <mbj/memory.h>
#include <mbj/types.h>

enum {
	PACK_HEADER_SIZE = 64,
	PACK_RECORD_SIZE = 64, /* of a record's header */
	PACK_ALIGN = 8,
	PACK_CONTENT_MAX = 1 << 20, /* bytes that a record may have */
	INDEX_HEADER_SIZE = 64,
	INDEX_ENTRY_SIZE = 40,
	INDEX_COUNT_MAX = 1 << 20,
	PACK_FLAG_MARK = 1, /* no content, only synced */
};

struct pack_record {
	uint64_t salt;
	uint64_t synced; /* all before this offset was on disk by then */
	uint32_t size;
	uint32_t flags;
	struct mbj_hash digest;
};

/* Where a content is. */
struct pack_entry {
	struct mbj_hash digest;
	uint32_t at; /* of its record, in units of PACK_ALIGN; 0: nowhere */
	uint32_t size;
};

struct pack_index {
	uint32_t number;
	uint32_t count;
	uint64_t end; /* it tells of the pack up to here */
	uint64_t salt;
};

static inline uint64_t pack_entry_at(const struct pack_entry *entry)
{
	return (uint64_t)entry->at * PACK_ALIGN;
}

/* Bytes of a record with a content of so many. */
static inline uint64_t pack_space(uint32_t size)
{
	return PACK_RECORD_SIZE +
	       ((uint64_t)size + PACK_ALIGN - 1) / PACK_ALIGN * PACK_ALIGN;
}

void pack_header_encode(uint32_t number, uint64_t salt,
			uint8_t bytes[PACK_HEADER_SIZE]);
/* Returns: MBJ_ECORRUPT, MBJ_EUNSUPPORTED. */
enum mbj_rc pack_header_decode(const uint8_t bytes[PACK_HEADER_SIZE],
			       uint32_t number, uint64_t *ret_salt,
			       const char *path,
			       struct mbj_error *err) MBJ_MUST_CHECK;

void pack_record_encode(const struct pack_record *record,
			uint8_t bytes[PACK_RECORD_SIZE]);
/* Of whatever salt; false: it is none. */
bool pack_record_decode(const uint8_t bytes[PACK_RECORD_SIZE],
			struct pack_record *ret_record);
/* The first bytes of one. */
bool pack_record_begins(const uint8_t *bytes);

/* Entries ascend by digest, none twice. */
void pack_index_encode(const struct pack_index *index,
		       const struct pack_entry *entries, struct mbj_buf *bytes);
/* Returns: MBJ_ECORRUPT, MBJ_EUNSUPPORTED. */
enum mbj_rc pack_index_decode(struct mbj_bytes bytes, uint32_t number,
			      struct pack_index *ret_index,
			      struct pack_entry **ret_entries, const char *path,
			      struct mbj_error *err) MBJ_MUST_CHECK;

#endif
