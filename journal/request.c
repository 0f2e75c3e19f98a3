/*
 * Request ids from texts, and random numbers that follow from a request id.
 *
 * Threads: pure, but for a struct mbj_request_sys, which belongs to one.
 */
#include <errno.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>
#include <mbj/request.h>

static const char id_label[] = "mbj request 1";
static const char random_label[] = "mbj request ids 1";

static enum mbj_rc digest(const struct mbj_bytes *parts, size_t count,
			  struct mbj_hash *ret_hash, struct mbj_error *err)
{
	struct mbj_sha256 *sha = NULL;
	enum mbj_rc rc;

	rc = mbj_sha256_new(&sha, err);
	if (rc == MBJ_OK)
		rc = mbj_sha256_digest(sha, parts, count, ret_hash, err);
	mbj_sha256_free(&sha);
	return rc;
}

enum mbj_rc mbj_request_id_make(struct mbj_bytes text, struct mbj_id *ret_id,
				struct mbj_error *err)
{
	struct mbj_bytes parts[] = {
		mbj_bytes_make(id_label, sizeof(id_label)),
		text,
	};
	struct mbj_hash hash;
	enum mbj_rc rc;

	rc = digest(parts, 2, &hash, err);
	if (rc < 0)
		return rc;
	memcpy(ret_id->b, hash.b, sizeof(ret_id->b));
	/* No id at all would be one that nobody remembers. */
	MBJ_ASSERT(!mbj_id_is_reserved(*ret_id));
	return MBJ_OK;
}

static int request_random(void *ctx, void *p, size_t n)
{
	struct mbj_request_sys *sys = ctx;
	uint8_t count[8];
	struct mbj_bytes parts[] = {
		mbj_bytes_make(random_label, sizeof(random_label)),
		mbj_bytes_make(sys->request.b, sizeof(sys->request.b)),
		mbj_bytes_make(count, sizeof(count)),
	};
	struct mbj_hash hash;
	uint8_t *at = p;

	while (n > 0) {
		size_t step = n < sizeof(hash.b) ? n : sizeof(hash.b);

		mbj_store_u64(count, sys->drawn++);
		if (digest(parts, 3, &hash, NULL) < 0)
			return -ENOMEM;
		memcpy(at, hash.b, step);
		at += step;
		n -= step;
	}
	return 0;
}

void mbj_request_sys_init(struct mbj_request_sys *sys, struct mbj_id request)
{
	/* The real table's functions take any context. */
	sys->table = *mbj_sys_posix();
	sys->table.ctx = sys;
	sys->table.random = request_random;
	sys->request = request;
	sys->drawn = 0;
}
