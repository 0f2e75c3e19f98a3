/*
 * Failing digests; see hash_fault.h.
 */
#include "hash_fault.h"

#include <stdatomic.h>

#include <mbj/hash.h>

enum mbj_rc __real_mbj_sha256_digest(struct mbj_sha256 *sha,
				     const struct mbj_bytes *parts,
				     size_t count, struct mbj_hash *ret_hash,
				     struct mbj_error *err);
enum mbj_rc __wrap_mbj_sha256_digest(struct mbj_sha256 *sha,
				     const struct mbj_bytes *parts,
				     size_t count, struct mbj_hash *ret_hash,
				     struct mbj_error *err);

static _Atomic uint64_t digest_count; /* threads of other tests digest too */
static uint64_t digest_fail_at;

void hash_fault_at(uint64_t k)
{
	digest_count = 0;
	digest_fail_at = k;
}

uint64_t hash_fault_count(void)
{
	return digest_count;
}

enum mbj_rc __wrap_mbj_sha256_digest(struct mbj_sha256 *sha,
				     const struct mbj_bytes *parts,
				     size_t count, struct mbj_hash *ret_hash,
				     struct mbj_error *err)
{
	/* As in alloc_fault.c: nobody is ordered by that. */
	uint64_t at = 1 + atomic_fetch_add_explicit(&digest_count, 1,
						    memory_order_relaxed);

	if (digest_fail_at != 0 && at == digest_fail_at)
		return mbj_error_set(err, MBJ_ENOMEM, "digest %llu fails",
				     (unsigned long long)at);
	return __real_mbj_sha256_digest(sha, parts, count, ret_hash, err);
}
