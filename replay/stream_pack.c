/*
 * Packing what a stream carries; see stream_pack.h.
 */
#include "stream_pack.h"

#include <zstd.h>
#include <zstd_errors.h>

#include <mbj/check.h>

struct stream_packer {
	ZSTD_CCtx *ctx;
	uint8_t *packed; /* STREAM_DATA_MAX bytes */
	bool is_anew;	 /* nothing is remembered */
};

struct stream_unpacker {
	ZSTD_DCtx *ctx;
	uint8_t *plain; /* STREAM_FRAME_MAX bytes: one more than may come */
	bool is_anew;
};

_Static_assert(STREAM_DATA_MAX < STREAM_FRAME_MAX,
	       "a byte too many has room, and shows");

/*
 * Any two of random bytes, and of what was packed already, are the same once in
 * 256 times; of text in base64 once in 64.
 */
bool stream_pack_is_worth(struct mbj_bytes plain)
{
	uint64_t counts[256] = {0};
	uint64_t n = plain.n;
	uint64_t same = 0;

	MBJ_ASSERT(n <= STREAM_DATA_MAX);
	if (n < STREAM_PACK_LEAST)
		return false;
	for (size_t i = 0; i < n; i++)
		counts[plain.p[i]]++;
	for (size_t i = 0; i < 256; i++)
		same += counts[i] * (counts[i] - (counts[i] > 0 ? 1 : 0));
	return same * 128 > n * (n - 1);
}

/* --------------------------------------------------------------- packing */

enum mbj_rc stream_packer_new(unsigned level, struct stream_packer **ret_packer,
			      struct mbj_error *err)
{
	struct stream_packer *p = mbj_calloc(1, sizeof(*p));

	MBJ_ASSERT(level > 0 && level <= MBJ_STREAM_LEVEL_MAX);
	if (p == NULL)
		return mbj_error_nomem(err);
	p->is_anew = true;
	p->packed = mbj_alloc(STREAM_DATA_MAX);
	p->ctx = ZSTD_createCCtx();
	if (p->packed == NULL || p->ctx == NULL ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(p->ctx, ZSTD_c_compressionLevel,
						(int)level)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(p->ctx, ZSTD_c_windowLog,
						STREAM_PACK_WINDOW_LOG))) {
		stream_packer_free(&p);
		return mbj_error_nomem(err);
	}
	*ret_packer = p;
	return MBJ_OK;
}

void stream_packer_free(struct stream_packer **packer)
{
	struct stream_packer *p = *packer;

	if (p == NULL)
		return;
	(void)ZSTD_freeCCtx(p->ctx);
	mbj_free(p->packed);
	mbj_free(p);
	*packer = NULL;
}

void stream_packer_renew(struct stream_packer *packer)
{
	packer->is_anew = true;
}

enum mbj_rc stream_pack(struct stream_packer *packer, struct mbj_bytes plain,
			enum stream_packing *ret_packing,
			struct mbj_bytes *ret_packed, struct mbj_error *err)
{
	ZSTD_outBuffer out = {.dst = packer->packed};
	ZSTD_inBuffer in = {plain.p, plain.n, 0};
	size_t left;

	*ret_packing = STREAM_PLAIN;
	if (!stream_pack_is_worth(plain))
		return MBJ_OK;
	/* Only what becomes fewer bytes has room. */
	out.size = plain.n - STREAM_PACKED_SIZE - 1;
	if (packer->is_anew)
		(void)ZSTD_CCtx_reset(packer->ctx, ZSTD_reset_session_only);
	left = ZSTD_compressStream2(packer->ctx, &out, &in, ZSTD_e_flush);
	if (left != 0) {
		/* What was remembered of it, the other side will not have. */
		packer->is_anew = true;
		return ZSTD_isError(left) ? mbj_error_nomem(err) : MBJ_OK;
	}
	*ret_packing = packer->is_anew ? STREAM_PACKED_ANEW : STREAM_PACKED_ON;
	*ret_packed = mbj_bytes_make(packer->packed, out.pos);
	packer->is_anew = false;
	return MBJ_OK;
}

/* ------------------------------------------------------------- unpacking */

enum mbj_rc stream_unpacker_new(struct stream_unpacker **ret_unpacker,
				struct mbj_error *err)
{
	struct stream_unpacker *u = mbj_calloc(1, sizeof(*u));

	if (u == NULL)
		return mbj_error_nomem(err);
	u->is_anew = true;
	u->plain = mbj_alloc(STREAM_FRAME_MAX);
	u->ctx = ZSTD_createDCtx();
	if (u->plain == NULL || u->ctx == NULL ||
	    ZSTD_isError(ZSTD_DCtx_setParameter(u->ctx, ZSTD_d_windowLogMax,
						STREAM_PACK_WINDOW_LOG))) {
		stream_unpacker_free(&u);
		return mbj_error_nomem(err);
	}
	*ret_unpacker = u;
	return MBJ_OK;
}

void stream_unpacker_free(struct stream_unpacker **unpacker)
{
	struct stream_unpacker *u = *unpacker;

	if (u == NULL)
		return;
	(void)ZSTD_freeDCtx(u->ctx);
	mbj_free(u->plain);
	mbj_free(u);
	*unpacker = NULL;
}

/*
 * What begins is to be of today's format: the library may read those of years
 * ago, and takes room by what these say.
 */
static bool is_begun(struct mbj_bytes packed)
{
	return packed.n >= 4 && mbj_load_u32(packed.p) == ZSTD_MAGICNUMBER;
}

static enum mbj_rc bad(struct mbj_error *err, const char *why)
{
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "what a packed frame has cannot be unpacked: %s",
			     why);
}

/* All of it: it makes exactly size bytes, and does not end. */
static enum mbj_rc run(struct stream_unpacker *u, uint32_t size,
		       struct mbj_bytes packed, struct mbj_error *err)
{
	ZSTD_outBuffer out = {u->plain, (size_t)size + 1, 0};
	ZSTD_inBuffer in = {packed.p, packed.n, 0};

	/* Each turn takes something, or makes something. */
	while (in.pos < in.size && out.pos < out.size) {
		size_t left = ZSTD_decompressStream(u->ctx, &out, &in);

		if (ZSTD_isError(left) &&
		    ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation)
			return mbj_error_nomem(err);
		if (ZSTD_isError(left))
			return bad(err, ZSTD_getErrorName(left));
		if (left == 0)
			return bad(err, "it ends");
	}
	if (out.pos != size)
		return bad(err, "it has not as many bytes as it says");
	return MBJ_OK;
}

enum mbj_rc stream_unpack(struct stream_unpacker *unpacker,
			  enum stream_packing packing, uint32_t size,
			  struct mbj_bytes packed, struct mbj_bytes *ret_plain,
			  struct mbj_error *err)
{
	struct stream_unpacker *u = unpacker;
	enum mbj_rc rc;

	MBJ_ASSERT(packing != STREAM_PLAIN && size <= STREAM_DATA_MAX);
	if (packing == STREAM_PACKED_ANEW) {
		(void)ZSTD_DCtx_reset(u->ctx, ZSTD_reset_session_only);
		if (!is_begun(packed))
			return bad(err, "it is no zstd");
	} else if (u->is_anew) {
		return bad(err, "it goes on from nothing");
	}
	u->is_anew = true;
	rc = run(u, size, packed, err);
	if (rc < 0)
		return rc;
	u->is_anew = false;
	*ret_plain = mbj_bytes_make(u->plain, size);
	return MBJ_OK;
}
