/*
 * SHA-256 by libcrypto (FIPS 180-4): chain, digests, blob addresses.
 *
 * Records know their parts and are hashed in one call; messages come piece by
 * piece.
 *
 * This uses libcrypto's low-level interface, which OpenSSL 3 calls deprecated
 * in favour of EVP.  EVP allocates, erases and frees a context for every
 * message, which for messages of one or two blocks, as ours are, costs as
 * much as hashing them on a processor with SHA instructions; one edit hashes
 * ten of them.  Why that is worth it: docs/decisions/0007.
 *
 * Threads: one at a time per context; contexts share nothing.
 */
#define OPENSSL_API_COMPAT 10100 /* before the deprecation */
#include <openssl/sha.h>

#include <mbj/check.h>
#include <mbj/hash.h>
#include <mbj/memory.h>

_Static_assert(MBJ_HASH_SIZE == SHA256_DIGEST_LENGTH, "one SHA-256 value");

struct mbj_sha256 {
	SHA256_CTX ctx;
};

static enum mbj_rc sha256_failed(struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_ENOMEM,
			     "libcrypto cannot compute SHA-256");
}

enum mbj_rc mbj_sha256_new(struct mbj_sha256 **ret_sha, struct mbj_error *err)
{
	struct mbj_sha256 *sha;

	MBJ_ASSERT(ret_sha != NULL);
	sha = mbj_calloc(1, sizeof(*sha));
	if (sha == NULL)
		return mbj_error_nomem(err);
	*ret_sha = sha;
	return MBJ_OK;
}

void mbj_sha256_free(struct mbj_sha256 **sha)
{
	if (sha == NULL || *sha == NULL)
		return;
	mbj_free(*sha);
	*sha = NULL;
}

enum mbj_rc mbj_sha256_begin(struct mbj_sha256 *sha, struct mbj_error *err)
{
	MBJ_ASSERT(sha != NULL);
	if (SHA256_Init(&sha->ctx) != 1)
		return sha256_failed(err);
	return MBJ_OK;
}

enum mbj_rc mbj_sha256_update(struct mbj_sha256 *sha, struct mbj_bytes piece,
			      struct mbj_error *err)
{
	MBJ_ASSERT(sha != NULL);
	MBJ_ASSERT(piece.p != NULL || piece.n == 0);
	if (piece.n > 0 && SHA256_Update(&sha->ctx, piece.p, piece.n) != 1)
		return sha256_failed(err);
	return MBJ_OK;
}

enum mbj_rc mbj_sha256_end(struct mbj_sha256 *sha, struct mbj_hash *ret_hash,
			   struct mbj_error *err)
{
	struct mbj_hash hash;

	MBJ_ASSERT(sha != NULL && ret_hash != NULL);
	if (SHA256_Final(hash.b, &sha->ctx) != 1)
		return sha256_failed(err);
	*ret_hash = hash;
	return MBJ_OK;
}

enum mbj_rc mbj_sha256_digest(struct mbj_sha256 *sha,
			      const struct mbj_bytes *parts, size_t count,
			      struct mbj_hash *ret_hash, struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(parts != NULL || count == 0);
	rc = mbj_sha256_begin(sha, err);
	for (size_t i = 0; rc == MBJ_OK && i < count; i++)
		rc = mbj_sha256_update(sha, parts[i], err);
	if (rc == MBJ_OK)
		rc = mbj_sha256_end(sha, ret_hash, err);
	return rc;
}
