/*
 * Packing what a stream carries; see stream_pack.h.
 */
#include "stream_pack.h"

#include <mbj/check.h>

struct stream_packer {
	struct mbj_packer *packer;
	uint8_t *packed; /* STREAM_DATA_MAX bytes */
	bool is_anew;	 /* nothing is remembered */
};

struct stream_unpacker {
	struct mbj_unpacker *unpacker;
	uint8_t *plain; /* STREAM_FRAME_MAX bytes: one more than may come */
	bool is_anew;
};

_Static_assert(STREAM_DATA_MAX < STREAM_FRAME_MAX,
	       "a byte too many has room, and shows");
_Static_assert((size_t)STREAM_DATA_MAX <= (size_t)MBJ_PACK_LOOK,
	       "all of a frame is looked at");

/* --------------------------------------------------------------- packing */

enum mbj_rc stream_packer_new(unsigned level, struct stream_packer **ret_packer,
			      struct mbj_error *err)
{
	struct stream_packer *p = mbj_calloc(1, sizeof(*p));
	enum mbj_rc rc;

	MBJ_ASSERT(level > 0 && level <= MBJ_STREAM_LEVEL_MAX);
	if (p == NULL)
		return mbj_error_nomem(err);
	p->is_anew = true;
	p->packed = mbj_alloc(STREAM_DATA_MAX);
	rc = p->packed == NULL ? mbj_error_nomem(err)
			       : mbj_packer_new(level, &p->packer, err);
	if (rc < 0) {
		stream_packer_free(&p);
		return rc;
	}
	*ret_packer = p;
	return MBJ_OK;
}

void stream_packer_free(struct stream_packer **packer)
{
	struct stream_packer *p = *packer;

	if (p == NULL)
		return;
	mbj_packer_free(&p->packer);
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
	bool is_done;
	size_t room, n;
	enum mbj_rc rc;

	*ret_packing = STREAM_PLAIN;
	if (!mbj_pack_is_worth(plain))
		return MBJ_OK;
	/* Only what becomes fewer bytes has room. */
	room = plain.n - STREAM_PACKED_SIZE - 1;
	if (packer->is_anew)
		mbj_packer_begin(packer->packer, MBJ_PACK_SIZE_UNKNOWN);
	rc = mbj_packer_run(packer->packer, MBJ_PACK_FLUSH, &plain,
			    packer->packed, room, &n, &is_done, err);
	if (rc < 0 || !is_done) {
		/* What was remembered of it, the other side will not have. */
		packer->is_anew = true;
		return rc;
	}
	*ret_packing = packer->is_anew ? STREAM_PACKED_ANEW : STREAM_PACKED_ON;
	*ret_packed = mbj_bytes_make(packer->packed, n);
	packer->is_anew = false;
	return MBJ_OK;
}

/* ------------------------------------------------------------- unpacking */

enum mbj_rc stream_unpacker_new(struct stream_unpacker **ret_unpacker,
				struct mbj_error *err)
{
	struct stream_unpacker *u = mbj_calloc(1, sizeof(*u));
	enum mbj_rc rc;

	if (u == NULL)
		return mbj_error_nomem(err);
	u->is_anew = true;
	u->plain = mbj_alloc(STREAM_FRAME_MAX);
	rc = u->plain == NULL ? mbj_error_nomem(err)
			      : mbj_unpacker_new(&u->unpacker, err);
	if (rc < 0) {
		stream_unpacker_free(&u);
		return rc;
	}
	*ret_unpacker = u;
	return MBJ_OK;
}

void stream_unpacker_free(struct stream_unpacker **unpacker)
{
	struct stream_unpacker *u = *unpacker;

	if (u == NULL)
		return;
	mbj_unpacker_free(&u->unpacker);
	mbj_free(u->plain);
	mbj_free(u);
	*unpacker = NULL;
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
	struct mbj_error why;
	bool is_end;
	size_t n;
	enum mbj_rc rc;

	rc = mbj_unpacker_run(u->unpacker, &packed, u->plain, (size_t)size + 1,
			      &n, &is_end, &why);
	if (rc == MBJ_ENOMEM)
		return mbj_error_nomem(err);
	if (rc < 0)
		return bad(err, why.message);
	if (is_end)
		return bad(err, "it ends");
	if (n != size)
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
		struct mbj_error why;

		if (mbj_unpacker_begin(u->unpacker, packed, &why) < 0)
			return bad(err, why.message);
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
