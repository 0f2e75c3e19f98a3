/*
 * Hashes.  CRC32C (RFC 3720 appendix B.4, hardware where the CPU has it)
 * against accident; SHA-256 (libcrypto) for the chain, digests and addresses;
 * SipHash-1-3 with a caller's key for tables keyed by what users choose
 * (a fixed hash lets one user slow everybody's table down).
 */
#ifndef MBJ_HASH_H
#define MBJ_HASH_H

#include <mbj/error.h>
#include <mbj/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Continue with the value returned before; begin with 0. */
MBJ_API uint32_t mbj_crc32c(uint32_t crc, struct mbj_bytes b);
/* The two implementations, for tests; hardware falls back to the table. */
uint32_t mbj_crc32c_table(uint32_t crc, struct mbj_bytes b);
bool mbj_crc32c_has_hardware(void);

struct mbj_sip_key {
	uint64_t k0;
	uint64_t k1;
};

uint64_t mbj_siphash(struct mbj_sip_key key, struct mbj_bytes b);

/* A reusable SHA-256 context; one thread at a time. */
struct mbj_sha256;

enum mbj_rc mbj_sha256_new(struct mbj_sha256 **ret_sha,
			   struct mbj_error *err) MBJ_MUST_CHECK;
void mbj_sha256_free(struct mbj_sha256 **sha);
/*
 * The digest of the concatenation of count parts.  A failure inside libcrypto
 * (never seen after a successful _new) is reported as MBJ_ENOMEM.
 */
enum mbj_rc mbj_sha256_digest(struct mbj_sha256 *sha,
			      const struct mbj_bytes *parts, size_t count,
			      struct mbj_hash *ret_hash,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The same piece by piece: begin, any number of updates, end.  A digest or a
 * new beginning in between forgets the pieces.
 */
enum mbj_rc mbj_sha256_begin(struct mbj_sha256 *sha,
			     struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_sha256_update(struct mbj_sha256 *sha, struct mbj_bytes piece,
			      struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_sha256_end(struct mbj_sha256 *sha, struct mbj_hash *ret_hash,
			   struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Open-addressing index: maps 64-bit hashes to 32-bit values (indexes into an
 * array of the caller's), who compares the real keys.  Walk the candidates:
 *
 *	for (uint32_t v, at = mbj_table_seek(&t, hash);
 *	     mbj_table_next(&t, hash, &at, &v);)
 *		if (equal(v)) ...
 */
struct mbj_table {
	uint64_t
		*slots; /* upper 32 bits of the hash, all it uses | value + 2 */
	size_t capacity; /* power of two, or 0 */
	size_t used;	 /* live and dead slots */
	size_t count;	 /* live */
};

void mbj_table_init(struct mbj_table *table);
void mbj_table_done(struct mbj_table *table);
/*
 * Room for count values in all without another allocation, provided nothing
 * is removed meanwhile.
 */
enum mbj_rc mbj_table_reserve(struct mbj_table *table, size_t count,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* Requires: value <= UINT32_MAX - 2; duplicates are the caller's concern. */
enum mbj_rc mbj_table_add(struct mbj_table *table, uint64_t hash,
			  uint32_t value, struct mbj_error *err) MBJ_MUST_CHECK;
/* True where (hash, value) was there. */
bool mbj_table_remove(struct mbj_table *table, uint64_t hash, uint32_t value);
uint32_t mbj_table_seek(const struct mbj_table *table, uint64_t hash);
bool mbj_table_next(const struct mbj_table *table, uint64_t hash, uint32_t *at,
		    uint32_t *ret_value);
void mbj_table_clear(struct mbj_table *table);

#ifdef __cplusplus
}
#endif

#endif
