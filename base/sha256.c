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
 * Even so, ten to twenty per cent of hashing such a message are the keeping of
 * what waits for its block to be whole: a short one is put together here,
 * padded, and given to the compression function block by block.
 *
 * Threads: one at a time per context; contexts share nothing.
 */
#define OPENSSL_API_COMPAT 10100 /* before the deprecation */
#include <openssl/sha.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>
#include <mbj/memory.h>

_Static_assert(MBJ_HASH_SIZE == SHA256_DIGEST_LENGTH, "one SHA-256 value");

enum {
	BLOCK = SHA256_CBLOCK,
	LENGTH_SIZE = 8, /* of the length in bits, which ends the padding */
	SHORT_BLOCKS = 4,
	SHORT_MAX = SHORT_BLOCKS * BLOCK - LENGTH_SIZE - 1,
};

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

/* Bytes of all parts, or SHORT_MAX + 1: more than a short message has. */
static size_t parts_size(const struct mbj_bytes *parts, size_t count)
{
	size_t size = 0;

	for (size_t i = 0; i < count; i++) {
		MBJ_ASSERT(parts[i].p != NULL || parts[i].n == 0);
		if (parts[i].n > SHORT_MAX - size)
			return SHORT_MAX + 1;
		size += parts[i].n;
	}
	return size;
}

/* A message of at most SHORT_MAX bytes (FIPS 180-4, 5.1.1 and 6.2.2). */
static enum mbj_rc short_digest(SHA256_CTX *ctx, const struct mbj_bytes *parts,
				size_t count, size_t size,
				struct mbj_hash *ret_hash,
				struct mbj_error *err)
{
	uint8_t message[SHORT_BLOCKS * BLOCK];
	size_t end = (size + LENGTH_SIZE + BLOCK) & ~(size_t)(BLOCK - 1);
	size_t n = 0;

	if (SHA256_Init(ctx) != 1)
		return sha256_failed(err);
	for (size_t i = 0; i < count; n += parts[i++].n)
		if (parts[i].n > 0)
			memcpy(message + n, parts[i].p, parts[i].n);
	message[n++] = 0x80;
	memset(message + n, 0, end - LENGTH_SIZE - n);
	mbj_store_be64(message + end - LENGTH_SIZE, (uint64_t)size * 8);
	for (size_t at = 0; at < end; at += BLOCK)
		SHA256_Transform(ctx, message + at);
	for (size_t i = 0; i < MBJ_HASH_SIZE / 4; i++)
		mbj_store_be32(ret_hash->b + 4 * i, ctx->h[i]);
	return MBJ_OK;
}

enum mbj_rc mbj_sha256_digest(struct mbj_sha256 *sha,
			      const struct mbj_bytes *parts, size_t count,
			      struct mbj_hash *ret_hash, struct mbj_error *err)
{
	enum mbj_rc rc;
	size_t size;

	MBJ_ASSERT(sha != NULL && ret_hash != NULL);
	MBJ_ASSERT(parts != NULL || count == 0);
	size = parts_size(parts, count);
	if (size <= SHORT_MAX)
		return short_digest(&sha->ctx, parts, count, size, ret_hash,
				    err);
	rc = mbj_sha256_begin(sha, err);
	for (size_t i = 0; rc == MBJ_OK && i < count; i++)
		rc = mbj_sha256_update(sha, parts[i], err);
	if (rc == MBJ_OK)
		rc = mbj_sha256_end(sha, ret_hash, err);
	return rc;
}
