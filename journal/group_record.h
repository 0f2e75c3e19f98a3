/*
 * Offsets of a group record, for those who take it apart and for those who
 * only walk past it.  docs/FORMAT.md section "Group record" is the authority.
 * Private to journal/.
 */
#ifndef MBJ_JOURNAL_GROUP_RECORD_H
#define MBJ_JOURNAL_GROUP_RECORD_H

#include <mbj/group.h>

#define GROUP_MAGIC "MBJG"

enum {
	GROUP_VERSION = 1,
	GROUP_FLAGS_INCOMPATIBLE_KNOWN = 0,

	GROUP_OFFSET_MAGIC = 0,
	GROUP_OFFSET_CRC = 4, /* CRC32C of the header from the next field on */
	GROUP_OFFSET_HEADER_SIZE = 8,
	GROUP_OFFSET_BODY_SIZE = 12,
	GROUP_OFFSET_LSN = 16,
	GROUP_OFFSET_EPOCH = 24,
	GROUP_OFFSET_TIME = 32,
	GROUP_OFFSET_VERSION = 40,
	GROUP_OFFSET_ORIGIN = 42,
	GROUP_OFFSET_ZERO = 43,
	GROUP_OFFSET_FLAGS = 44,
	GROUP_OFFSET_REQUEST = 48,
	GROUP_OFFSET_ACCOUNT_COUNT = 64,
	GROUP_OFFSET_OP_COUNT = 68,
	GROUP_OFFSET_ACCOUNTS = 72,
	GROUP_HEADER_SIZE_MIN = 72,

	GROUP_ACCOUNT_OFFSET_PREVIOUS = 16,
	GROUP_ACCOUNT_OFFSET_DIGEST = 24,
	GROUP_ACCOUNT_SIZE = 56,

	/* After the body: its CRC32C and the chain. */
	GROUP_TRAILER_SIZE = 4 + MBJ_HASH_SIZE,
	GROUP_ALIGN = 8,
};

/* Bytes of a record, trailer and padding included. */
static inline uint64_t group_record_size(uint32_t header_size,
					 uint32_t body_size)
{
	uint64_t size = (uint64_t)header_size + body_size + GROUP_TRAILER_SIZE;

	return (size + GROUP_ALIGN - 1) & ~(uint64_t)(GROUP_ALIGN - 1);
}

/*
 * The sizes that a record's first GROUP_HEADER_SIZE_MIN bytes claim.
 * Requires: b holds that many.  False where they are over the limits or the
 * magic is wrong; nothing else is judged.
 */
bool group_size_peek(struct mbj_bytes b, uint32_t *ret_header_size,
		     uint64_t *ret_record_size);

/*
 * The header of a record alone: as mbj_group_parse, for bytes that need not
 * hold more than the header.  Body, chain and is_body_good are not set, and
 * record.n says how long the record is, not that it is there.
 */
enum mbj_rc group_header_parse(struct mbj_bytes b, struct mbj_group *ret_group,
			       struct mbj_error *err) MBJ_MUST_CHECK;

/* The value after a group: SHA-256(before, header, SHA-256(body)). */
enum mbj_rc group_chain_make(struct mbj_sha256 *sha,
			     const struct mbj_hash *before,
			     struct mbj_bytes header, struct mbj_bytes body,
			     struct mbj_hash *ret_chain,
			     struct mbj_error *err) MBJ_MUST_CHECK;

#endif
