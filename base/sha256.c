/*
 * SHA-256 by libcrypto (FIPS 180-4): chain, digests, blob addresses.
 *
 * It is not incremental for callers: every use of ours knows its parts.
 *
 * The algorithm is fetched once and the context kept, because in OpenSSL 3 a
 * fetch costs several times what a short input's digest does.
 *
 * Threads: one at a time per context; contexts share nothing.
 */
#include <openssl/evp.h>

#include <mbj/check.h>
#include <mbj/hash.h>
#include <mbj/memory.h>

struct mbj_sha256 {
	EVP_MD *md;
	EVP_MD_CTX *ctx;
};

static enum mbj_rc sha256_failed(struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_ENOMEM,
			     "libcrypto cannot compute SHA-256: out of memory, "
			     "or its configuration disables the algorithm");
}

enum mbj_rc mbj_sha256_new(struct mbj_sha256 **ret_sha, struct mbj_error *err)
{
	struct mbj_sha256 *sha;

	MBJ_ASSERT(ret_sha != NULL);
	sha = mbj_calloc(1, sizeof(*sha));
	if (sha == NULL)
		return mbj_error_nomem(err);
	sha->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	sha->ctx = EVP_MD_CTX_new();
	if (sha->md == NULL || sha->ctx == NULL ||
	    EVP_DigestInit_ex2(sha->ctx, sha->md, NULL) != 1) {
		mbj_sha256_free(&sha);
		return sha256_failed(err);
	}
	MBJ_ASSERT(EVP_MD_get_size(sha->md) == MBJ_HASH_SIZE);
	*ret_sha = sha;
	return MBJ_OK;
}

void mbj_sha256_free(struct mbj_sha256 **sha)
{
	if (sha == NULL || *sha == NULL)
		return;
	EVP_MD_CTX_free((*sha)->ctx);
	EVP_MD_free((*sha)->md);
	mbj_free(*sha);
	*sha = NULL;
}

enum mbj_rc mbj_sha256_digest(struct mbj_sha256 *sha,
			      const struct mbj_bytes *parts, size_t count,
			      struct mbj_hash *ret_hash, struct mbj_error *err)
{
	struct mbj_hash hash;
	unsigned size = 0;

	MBJ_ASSERT(sha != NULL && ret_hash != NULL);
	MBJ_ASSERT(parts != NULL || count == 0);
	/* No type: the context keeps its own, already bound to the fetch. */
	if (EVP_DigestInit_ex2(sha->ctx, NULL, NULL) != 1)
		return sha256_failed(err);
	for (size_t i = 0; i < count; i++) {
		if (parts[i].n == 0)
			continue;
		if (EVP_DigestUpdate(sha->ctx, parts[i].p, parts[i].n) != 1)
			return sha256_failed(err);
	}
	if (EVP_DigestFinal_ex(sha->ctx, hash.b, &size) != 1)
		return sha256_failed(err);
	MBJ_ASSERT(size == MBJ_HASH_SIZE);
	*ret_hash = hash;
	return MBJ_OK;
}
