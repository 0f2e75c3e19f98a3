/*
 * zstd, behind mbj/pack.h; the only file with <zstd.h>.
 */
#include <zstd.h>
#include <zstd_errors.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/memory.h>
#include <mbj/pack.h>

_Static_assert(MBJ_PACK_LOOK <= 1 << 28, "128 times its square is a number");

struct mbj_packer {
	ZSTD_CCtx *ctx;
};

struct mbj_unpacker {
	ZSTD_DCtx *ctx;
};

/*
 * Any two of random bytes, and of what was packed already, are the same once in
 * 256 times; of text in base64 once in 64.
 */
bool mbj_pack_is_worth(struct mbj_bytes plain)
{
	uint64_t counts[256] = {0};
	uint64_t n = plain.n;
	uint64_t same = 0;

	MBJ_ASSERT(n <= MBJ_PACK_LOOK);
	if (n < MBJ_PACK_LEAST)
		return false;
	for (size_t i = 0; i < n; i++)
		counts[plain.p[i]]++;
	for (size_t i = 0; i < 256; i++)
		same += counts[i] * (counts[i] - (counts[i] > 0 ? 1 : 0));
	return same * 128 > n * (n - 1);
}

/* --------------------------------------------------------------- packing */

enum mbj_rc mbj_packer_new(unsigned level, struct mbj_packer **ret_packer,
			   struct mbj_error *err)
{
	struct mbj_packer *p = mbj_calloc(1, sizeof(*p));

	MBJ_ASSERT(level > 0 && level <= MBJ_PACK_LEVEL_MAX);
	if (p == NULL)
		return mbj_error_nomem(err);
	p->ctx = ZSTD_createCCtx();
	if (p->ctx == NULL ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(p->ctx, ZSTD_c_compressionLevel,
						(int)level)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(p->ctx, ZSTD_c_windowLog,
						MBJ_PACK_WINDOW_LOG))) {
		mbj_packer_free(&p);
		return mbj_error_nomem(err);
	}
	*ret_packer = p;
	return MBJ_OK;
}

void mbj_packer_free(struct mbj_packer **packer)
{
	struct mbj_packer *p = *packer;

	if (p == NULL)
		return;
	(void)ZSTD_freeCCtx(p->ctx);
	mbj_free(p);
	*packer = NULL;
}

void mbj_packer_begin(struct mbj_packer *packer, uint64_t size)
{
	(void)ZSTD_CCtx_reset(packer->ctx, ZSTD_reset_session_only);
	(void)ZSTD_CCtx_setPledgedSrcSize(packer->ctx,
					  size == MBJ_PACK_SIZE_UNKNOWN
						  ? ZSTD_CONTENTSIZE_UNKNOWN
						  : size);
}

enum mbj_rc mbj_packer_run(struct mbj_packer *packer, enum mbj_pack_step step,
			   struct mbj_bytes *in, uint8_t *out, size_t room,
			   size_t *ret_n, bool *ret_is_done,
			   struct mbj_error *err)
{
	static const ZSTD_EndDirective steps[] = {
		[MBJ_PACK_ON] = ZSTD_e_continue,
		[MBJ_PACK_FLUSH] = ZSTD_e_flush,
		[MBJ_PACK_END] = ZSTD_e_end,
	};
	ZSTD_outBuffer to = {out, room, 0};
	ZSTD_inBuffer from = {in->p, in->n, 0};
	size_t left;

	left = ZSTD_compressStream2(packer->ctx, &to, &from, steps[step]);
	if (ZSTD_isError(left))
		return mbj_error_nomem(err);
	*in = mbj_bytes_make(in->p + from.pos, in->n - from.pos);
	*ret_n = to.pos;
	*ret_is_done = step == MBJ_PACK_ON ? in->n == 0 : left == 0;
	return MBJ_OK;
}

/* ------------------------------------------------------------- unpacking */

enum mbj_rc mbj_unpacker_new(struct mbj_unpacker **ret_unpacker,
			     struct mbj_error *err)
{
	struct mbj_unpacker *u = mbj_calloc(1, sizeof(*u));

	if (u == NULL)
		return mbj_error_nomem(err);
	u->ctx = ZSTD_createDCtx();
	if (u->ctx == NULL ||
	    ZSTD_isError(ZSTD_DCtx_setParameter(u->ctx, ZSTD_d_windowLogMax,
						MBJ_PACK_WINDOW_LOG))) {
		mbj_unpacker_free(&u);
		return mbj_error_nomem(err);
	}
	*ret_unpacker = u;
	return MBJ_OK;
}

void mbj_unpacker_free(struct mbj_unpacker **unpacker)
{
	struct mbj_unpacker *u = *unpacker;

	if (u == NULL)
		return;
	(void)ZSTD_freeDCtx(u->ctx);
	mbj_free(u);
	*unpacker = NULL;
}

enum mbj_rc mbj_unpacker_begin(struct mbj_unpacker *unpacker,
			       struct mbj_bytes first, struct mbj_error *err)
{
	(void)ZSTD_DCtx_reset(unpacker->ctx, ZSTD_reset_session_only);
	if (first.n < 4 || mbj_load_u32(first.p) != ZSTD_MAGICNUMBER)
		return mbj_error_set(err, MBJ_ECORRUPT, "it is no zstd");
	return MBJ_OK;
}

enum mbj_rc mbj_unpacker_run(struct mbj_unpacker *unpacker,
			     struct mbj_bytes *in, uint8_t *out, size_t room,
			     size_t *ret_n, bool *ret_is_end,
			     struct mbj_error *err)
{
	ZSTD_outBuffer to = {out, room, 0};
	ZSTD_inBuffer from = {in->p, in->n, 0};
	size_t left;

	/* Each turn takes something, or makes something. */
	do {
		left = ZSTD_decompressStream(unpacker->ctx, &to, &from);
		if (ZSTD_isError(left) &&
		    ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation)
			return mbj_error_nomem(err);
		if (ZSTD_isError(left))
			return mbj_error_set(err, MBJ_ECORRUPT, "%s",
					     ZSTD_getErrorName(left));
	} while (left > 0 && from.pos < from.size && to.pos < to.size);
	*in = mbj_bytes_make(in->p + from.pos, in->n - from.pos);
	*ret_n = to.pos;
	*ret_is_end = left == 0;
	return MBJ_OK;
}
