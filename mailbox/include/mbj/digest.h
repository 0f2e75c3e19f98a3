/*
 * Digests of sets: 256 bits that say what a state holds, whatever order it
 * came in, kept up to date by adding and taking away single elements.
 *
 * A digest is the sum, in four 64-bit lanes, each modulo 2^64, of the SHA-256
 * values of its elements; each value covers the version, a key, the kind and
 * the bytes of the element.  So two digests are equal exactly where the
 * multisets are, up to chance, and elements of different kinds or lineages
 * never stand for one another.
 *
 * Not a defence against someone who can choose elements AND knows the key and
 * can afford the search for colliding sums (Wagner, "A generalized birthday
 * problem", CRYPTO 2002); within one account that is its own user alone.
 *
 * Threads: pure functions; a struct mbj_sha256 belongs to one thread.
 */
#ifndef MBJ_DIGEST_H
#define MBJ_DIGEST_H

#include <mbj/error.h>
#include <mbj/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	/* First byte hashed of each element: other rules, other version. */
	MBJ_DIGEST_VERSION = 1,
	/* Bytes of an encoded digest. */
	MBJ_DIGEST_SIZE = 32,
};

/* All zero is the digest of nothing. */
struct mbj_digest {
	uint64_t lane[4];
};

struct mbj_sha256;

/* The key of a lineage: SHA-256("mbj digest key 1", lineage). */
MBJ_API enum mbj_rc mbj_digest_key(struct mbj_sha256 *sha,
				   struct mbj_id lineage,
				   struct mbj_hash *ret_key,
				   struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Add one element, or take one away that was added.
 * Returns: MBJ_ENOMEM (libcrypto failed; *digest is unchanged).
 */
MBJ_API enum mbj_rc mbj_digest_add(struct mbj_digest *digest,
				   struct mbj_sha256 *sha,
				   const struct mbj_hash *key, uint8_t kind,
				   struct mbj_bytes element,
				   struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API enum mbj_rc mbj_digest_sub(struct mbj_digest *digest,
				   struct mbj_sha256 *sha,
				   const struct mbj_hash *key, uint8_t kind,
				   struct mbj_bytes element,
				   struct mbj_error *err) MBJ_MUST_CHECK;

/* Onto it, or out of it, all that another digest is of. */
void mbj_digest_join(struct mbj_digest *digest, const struct mbj_digest *more);
void mbj_digest_part(struct mbj_digest *digest, const struct mbj_digest *less);

MBJ_API bool mbj_digest_equal(const struct mbj_digest *a,
			      const struct mbj_digest *b);

/* The four lanes, each little-endian. */
MBJ_API void mbj_digest_encode(const struct mbj_digest *digest,
			       uint8_t bytes[MBJ_DIGEST_SIZE]);
MBJ_API void mbj_digest_decode(const uint8_t bytes[MBJ_DIGEST_SIZE],
			       struct mbj_digest *ret_digest);

#ifdef __cplusplus
}
#endif

#endif
