/*
 * What of a stream goes packed, by zstd (mbj/pack.h).  Private to replay/.
 *
 * Frames are packed one behind the other, and each is whole: what was packed
 * before it is remembered, 1 MiB of it, since mails and groups resemble each
 * other more than they repeat themselves.  But not for longer than one answer:
 * who sees how long frames are, and may send mail, could otherwise try again
 * and again whether it resembles somebody else's.
 *
 * Bytes to unpack are hostile.  Nothing is allocated for how many they say they
 * are, and no more than those are made of them.
 *
 * Threads: one at a time per object.
 */
#ifndef MBJ_STREAM_PACK_H
#define MBJ_STREAM_PACK_H

#include <mbj/pack.h>

#include "stream_frame.h"

struct stream_packer;
struct stream_unpacker;

/* Requires: level is 1 to MBJ_STREAM_LEVEL_MAX. */
enum mbj_rc stream_packer_new(unsigned level, struct stream_packer **ret_packer,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* NULL is fine. */
void stream_packer_free(struct stream_packer **packer);
/* Another answer begins. */
void stream_packer_renew(struct stream_packer *packer);
/*
 * *ret_packing STREAM_PLAIN: they are to go as they are, and are not
 * remembered.  *ret_packed is the packer's until the next call.
 * Requires: no more than STREAM_DATA_MAX.
 */
enum mbj_rc stream_pack(struct stream_packer *packer, struct mbj_bytes plain,
			enum stream_packing *ret_packing,
			struct mbj_bytes *ret_packed,
			struct mbj_error *err) MBJ_MUST_CHECK;

enum mbj_rc stream_unpacker_new(struct stream_unpacker **ret_unpacker,
				struct mbj_error *err) MBJ_MUST_CHECK;
/* NULL is fine. */
void stream_unpacker_free(struct stream_unpacker **unpacker);
/*
 * The size bytes that were packed; the unpacker's until the next call.
 * Returns: MBJ_ECORRUPT (they are others, or more or fewer, or begin as no
 * zstd of today, or end, or nothing was before that they go on from),
 * MBJ_ENOMEM.  After a failure only what begins anew can be unpacked.
 * Requires: as stream_packed_decode says.
 */
enum mbj_rc stream_unpack(struct stream_unpacker *unpacker,
			  enum stream_packing packing, uint32_t size,
			  struct mbj_bytes packed, struct mbj_bytes *ret_plain,
			  struct mbj_error *err) MBJ_MUST_CHECK;

#endif
