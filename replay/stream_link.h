/*
 * One side of a stream: frames over a pair of descriptors, or over a channel
 * that somebody has made over them, with deadlines.  Private to replay/.
 *
 * The only file of the layer that reads and writes descriptors itself.  They
 * are made not to block for as long as the link has them.
 *
 * Invariants:
 *   1. no frame, in or out, takes longer than timeout_ms;
 *   2. after a failure is_lost is set, and nothing more is sent or read;
 *   3. its memory is two frames, taken at the beginning, and one more and what
 *      zstd needs where frames are packed;
 *   4. groups, pieces and the answers about files go no faster than the rate;
 *      all else, which somebody waits for, goes at once, and counts;
 *   5. whoever waits for the rate sees within a second that the peer is gone,
 *      that it is told to stop, and what look says.
 *
 * Threads: one.
 */
#ifndef MBJ_STREAM_LINK_H
#define MBJ_STREAM_LINK_H

#include <mbj/stream.h>

#include "stream_frame.h"
#include "stream_pack.h"
#include "stream_rate.h"

struct stream_link {
	int in;
	int out;
	int stop_fd; /* readable: break off; -1: none */
	int in_flags;
	int out_flags;
	struct mbj_stream_channel channel;
	int64_t timeout_ms;
	enum stream_side peer;
	uint8_t *input;
	struct mbj_buf output;
	struct stream_rate rate;	  /* of what is sent; none at first */
	struct stream_packer *packer;	  /* of what is sent, or NULL */
	struct stream_unpacker *unpacker; /* of what comes, or NULL */
	enum mbj_rc (*look)(void *ctx, struct mbj_error *err);
	void *look_ctx;
	bool is_lost;  /* the connection failed, or its bytes */
	bool is_told;  /* stop_fd was readable */
	bool is_ended; /* the peer hung up, not within a frame of its */
};

enum mbj_rc stream_link_begin(struct stream_link *link, int in, int out,
			      int stop_fd, uint32_t timeout_ms,
			      enum stream_side peer,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* Bytes go by channel from now on; NULL: as they did. */
void stream_link_use(struct stream_link *link,
		     const struct mbj_stream_channel *channel);
/* No faster than so many bytes a second from now on; 0: as it was. */
void stream_link_pace(struct stream_link *link, uint64_t rate);
/*
 * What may be packed is, from now on, where that is worth it: all that the peer
 * says begins another answer, which has nothing to do with those before it.
 */
enum mbj_rc stream_link_pack(struct stream_link *link, unsigned level,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/* What comes may be packed; of a link that does not know that it is damage. */
enum mbj_rc stream_link_unpack(struct stream_link *link,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Before each frame that the rate may hold, and each second while it does: an
 * error of look is that of the sending.  NULL: nothing is looked at.
 */
void stream_link_look(struct stream_link *link,
		      enum mbj_rc (*look)(void *ctx, struct mbj_error *err),
		      void *ctx);
/* The descriptors block again as they did; they are the caller's. */
void stream_link_done(struct stream_link *link);

enum mbj_rc stream_link_send(struct stream_link *link, enum stream_kind kind,
			     const struct stream_message *message,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The next frame; it may begin wait_ms later than others.  What it has is
 * borrowed until the next call.
 * Returns: MBJ_EIO (lost, told to stop, hung up), what decoding returns.
 */
enum mbj_rc stream_link_receive(struct stream_link *link, uint32_t wait_ms,
				enum stream_kind *ret_kind,
				struct stream_message *ret_message,
				struct mbj_error *err) MBJ_MUST_CHECK;
/* One frame, as far as it goes at once; fd, without a link, does not block. */
void stream_frame_throw(int fd, enum stream_kind kind,
			const struct stream_message *message);
/*
 * Can so many bytes be on their way to a peer that takes none meanwhile?  Pipes
 * may be as small as a page; sockets have more than anything here needs.
 */
bool stream_link_has_room(const struct stream_link *link, size_t n);
/* Is it told to stop?  Looks, and does not wait. */
bool stream_link_is_told(struct stream_link *link);
/*
 * Wait until the peer says something or hangs up (*ret_is_input), or fd (-1:
 * none) is readable, or the time is over.  Returns: MBJ_EIO told to stop.
 */
enum mbj_rc stream_link_wait(struct stream_link *link, int fd, int64_t ms,
			     bool *ret_is_input,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Let that time pass while the peer has nothing to say: it was asked nothing.
 * Returns, at once: MBJ_EIO it hung up, told to stop; MBJ_ECORRUPT it said
 * something.
 */
enum mbj_rc stream_link_rest(struct stream_link *link, int64_t ms,
			     struct mbj_error *err) MBJ_MUST_CHECK;

#endif
