/*
 * Bytes made fewer by zstd, and made again: for streams and for contents on
 * disk.  base/pack.c alone has <zstd.h>.
 *
 * What packs allocates by itself, not through base/alloc.c, whose hooks zstd's
 * shared library does not promise to take: some 3 MiB at level 3 where it is
 * not told how much comes, 14 at the highest, less by far for little; what
 * unpacks 1.5 MiB at most, whatever it is given.
 *
 * Bytes to unpack are hostile: nothing is allocated for how many they say they
 * are, and the caller says how many may come of them.
 *
 * Threads: one at a time per object.
 */
#ifndef MBJ_PACK_H
#define MBJ_PACK_H

#include <mbj/error.h>
#include <mbj/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	MBJ_PACK_LEVEL_MAX = 9,
	MBJ_PACK_LEAST = 64,	  /* bytes; fewer are not worth it */
	MBJ_PACK_LOOK = 1 << 20,  /* bytes that are looked at at once */
	MBJ_PACK_WINDOW_LOG = 20, /* what is remembered: 1 MiB */
};

#define MBJ_PACK_SIZE_UNKNOWN UINT64_MAX

/*
 * Do these bytes look as if they could become fewer?  What is noise, and what
 * was packed before, does not; images in base64 do.
 * Requires: MBJ_PACK_LOOK bytes at most.
 */
bool mbj_pack_is_worth(struct mbj_bytes plain);

struct mbj_packer;

enum mbj_pack_step {
	MBJ_PACK_ON,	/* more comes */
	MBJ_PACK_FLUSH, /* what came so far is to be whole */
	MBJ_PACK_END,	/* the frame ends */
};

/* Requires: level is 1 to MBJ_PACK_LEVEL_MAX. */
enum mbj_rc mbj_packer_new(unsigned level, struct mbj_packer **ret_packer,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* NULL is fine. */
void mbj_packer_free(struct mbj_packer **packer);
/*
 * A frame begins, and nothing is remembered.  size: of all that it will have,
 * which is then what it must get, or MBJ_PACK_SIZE_UNKNOWN.
 */
void mbj_packer_begin(struct mbj_packer *packer, uint64_t size);
/*
 * Packs *in, which is behind what was taken on return, into room bytes.
 * *ret_is_done false: there was no room for all of it; what was taken must go
 * on in the next call, or the frame is given up.
 */
enum mbj_rc mbj_packer_run(struct mbj_packer *packer, enum mbj_pack_step step,
			   struct mbj_bytes *in, uint8_t *out, size_t room,
			   size_t *ret_n, bool *ret_is_done,
			   struct mbj_error *err) MBJ_MUST_CHECK;

struct mbj_unpacker;

enum mbj_rc mbj_unpacker_new(struct mbj_unpacker **ret_unpacker,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/* NULL is fine. */
void mbj_unpacker_free(struct mbj_unpacker **unpacker);
/*
 * A frame begins with these bytes, which are not taken yet.
 * Returns: MBJ_ECORRUPT, they are not of today's format: the library may read
 * those of years ago, and takes room by what they say.
 */
enum mbj_rc mbj_unpacker_begin(struct mbj_unpacker *unpacker,
			       struct mbj_bytes first,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Unpacks *in, which is behind what was taken on return, into room bytes.
 * Where fewer came of it, more is needed, or *ret_is_end: the frame ended.
 * Returns: MBJ_ECORRUPT (its message is the reason alone), MBJ_ENOMEM.
 */
enum mbj_rc mbj_unpacker_run(struct mbj_unpacker *unpacker,
			     struct mbj_bytes *in, uint8_t *out, size_t room,
			     size_t *ret_n, bool *ret_is_end,
			     struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
