/*
 * Additive digests of sets.  What an element is, and which bytes stand for a
 * mailbox, is the state's business (state.h, invariant 2).
 *
 * The bytes hashed of an element: version (1), key (32), kind (1), element.
 * SHA-256 works on 64-byte blocks with nine bytes of padding, so an element
 * of at most 21 bytes costs one block, of at most 85 bytes two.
 *
 * Threads: pure, but for the caller's SHA-256 context.
 */
#include "digest_pieces.h"

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>

enum { DIGEST_LANES = 4, DIGEST_HEAD_SIZE = 1 + MBJ_HASH_SIZE + 1 };

_Static_assert(DIGEST_LANES * 8 == MBJ_HASH_SIZE,
	       "the lanes take up one SHA-256 value");
_Static_assert((int)MBJ_DIGEST_SIZE == (int)MBJ_HASH_SIZE,
	       "an encoded digest is as long as a hash");

enum mbj_rc mbj_digest_key(struct mbj_sha256 *sha, struct mbj_id lineage,
			   struct mbj_hash *ret_key, struct mbj_error *err)
{
	const struct mbj_bytes parts[] = {
		mbj_bytes_str("mbj digest key 1"),
		mbj_bytes_make(lineage.b, sizeof(lineage.b)),
	};

	MBJ_ASSERT(sha != NULL);
	MBJ_ASSERT(ret_key != NULL);
	return mbj_sha256_digest(sha, parts, 2, ret_key, err);
}

enum mbj_rc digest_change(struct mbj_digest *digest, struct mbj_sha256 *sha,
			  const struct mbj_hash *key, uint8_t kind,
			  const struct mbj_bytes *pieces, size_t count,
			  bool is_added, struct mbj_error *err)
{
	uint8_t head[DIGEST_HEAD_SIZE] = {MBJ_DIGEST_VERSION};
	struct mbj_bytes parts[1 + DIGEST_PIECES_MAX] = {
		mbj_bytes_make(head, sizeof(head)),
	};
	struct mbj_digest lanes;
	struct mbj_hash hash;
	enum mbj_rc rc;

	MBJ_ASSERT(digest != NULL && sha != NULL && key != NULL);
	MBJ_ASSERT(count <= DIGEST_PIECES_MAX);
	memcpy(head + 1, key->b, sizeof(key->b));
	head[DIGEST_HEAD_SIZE - 1] = kind;
	for (size_t i = 0; i < count; i++)
		parts[1 + i] = pieces[i];
	rc = mbj_sha256_digest(sha, parts, 1 + count, &hash, err);
	if (rc < 0)
		return rc;
	mbj_digest_decode(hash.b, &lanes);
	for (int i = 0; i < DIGEST_LANES; i++)
		digest->lane[i] += is_added ? lanes.lane[i] : -lanes.lane[i];
	return MBJ_OK;
}

enum mbj_rc mbj_digest_add(struct mbj_digest *digest, struct mbj_sha256 *sha,
			   const struct mbj_hash *key, uint8_t kind,
			   struct mbj_bytes element, struct mbj_error *err)
{
	return digest_change(digest, sha, key, kind, &element, 1, true, err);
}

enum mbj_rc mbj_digest_sub(struct mbj_digest *digest, struct mbj_sha256 *sha,
			   const struct mbj_hash *key, uint8_t kind,
			   struct mbj_bytes element, struct mbj_error *err)
{
	return digest_change(digest, sha, key, kind, &element, 1, false, err);
}

void mbj_digest_join(struct mbj_digest *digest, const struct mbj_digest *more)
{
	for (int i = 0; i < DIGEST_LANES; i++)
		digest->lane[i] += more->lane[i];
}

void mbj_digest_part(struct mbj_digest *digest, const struct mbj_digest *less)
{
	for (int i = 0; i < DIGEST_LANES; i++)
		digest->lane[i] -= less->lane[i];
}

bool mbj_digest_equal(const struct mbj_digest *a, const struct mbj_digest *b)
{
	MBJ_ASSERT(a != NULL && b != NULL);
	return memcmp(a->lane, b->lane, sizeof(a->lane)) == 0;
}

void mbj_digest_encode(const struct mbj_digest *digest,
		       uint8_t bytes[MBJ_DIGEST_SIZE])
{
	MBJ_ASSERT(digest != NULL && bytes != NULL);
	for (int i = 0; i < DIGEST_LANES; i++)
		mbj_store_u64(bytes + 8 * i, digest->lane[i]);
}

void mbj_digest_decode(const uint8_t bytes[MBJ_DIGEST_SIZE],
		       struct mbj_digest *ret_digest)
{
	MBJ_ASSERT(bytes != NULL && ret_digest != NULL);
	for (int i = 0; i < DIGEST_LANES; i++)
		ret_digest->lane[i] = mbj_load_u64(bytes + 8 * i);
}
