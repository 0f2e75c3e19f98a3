/*
 * Torn or damaged?  docs/FORMAT.md section "The end of a segment".
 *
 *	frame good ----> next frame
 *	  | bad
 *	  v
 *	zeroes to the end of the file? --yes--> clean
 *	  | no
 *	  v
 *	a frame header of this segment behind it,
 *	or an LSN from here on known to be durable? --yes--> damaged
 *	  | no
 *	  v
 *	torn: a batch that was being written when the machine stopped
 *
 * Invariants:
 *   1. a frame is written only after the one before it was synced, so only
 *      the last frame of the last segment can be torn;
 *   2. a frame whose checksums hold was written whole: what is wrong inside it
 *      is damage, never a torn tail;
 *   3. a durable LSN beyond the last good group is damage, whatever is there.
 *
 * Threads: one at a time per view.
 */
#include "segment_scan.h"

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>

#include "group_record.h"

enum { SCAN_PIECE = 64 << 10 };

/* One walk over a segment. */
struct scan_walk {
	struct segment_view *view;
	const struct segment_header *header;
	const struct segment_evidence *evidence;
	enum segment_depth depth;
	struct mbj_sha256 *sha;
	struct segment_scan *scan;
	struct mbj_error why; /* what a group had against it */
	bool is_done;	      /* no more frames */
};

static struct mbj_lsn lsn_next(const struct scan_walk *walk)
{
	return (struct mbj_lsn){walk->scan->end.lsn.v + 1};
}

/* Something durable cannot be read: note the first place, and stop. */
static void walk_damaged(struct scan_walk *walk, uint64_t at, const char *what)
{
	struct mbj_lsn lsn = lsn_next(walk);

	if (walk->scan->tail == SEGMENT_DAMAGED)
		return;
	segment_fault(&walk->scan->fault, walk->view->file.path, at, lsn, what);
	walk->scan->tail = SEGMENT_DAMAGED;
	walk->is_done = true;
	if (walk->scan->known.v < lsn.v)
		walk->scan->known = lsn;
}

/* The published chain, if it is about this group, must be the group's. */
static void published_check(struct scan_walk *walk, uint64_t at)
{
	const struct mbj_log_end *published = &walk->evidence->published;
	const struct mbj_log_end *end = &walk->scan->end;

	if (published->lsn.v == 0 || published->lsn.v != end->lsn.v)
		return;
	if (memcmp(published->chain.b, end->chain.b, MBJ_HASH_SIZE) != 0)
		walk_damaged(walk, at,
			     "the group before has another chain value than "
			     "was published");
}

/* CRC32C of the payload at `at`; *ret_is_whole: the file is long enough. */
static enum mbj_rc payload_crc(struct scan_walk *walk, uint64_t at,
			       uint64_t size, bool *ret_is_whole,
			       uint32_t *ret_crc, struct mbj_error *err)
{
	struct mbj_bytes piece;
	uint32_t crc = 0;
	enum mbj_rc rc;

	*ret_is_whole = true;
	while (size > 0) {
		size_t wanted = size < SCAN_PIECE ? (size_t)size : SCAN_PIECE;

		rc = segment_view_get(walk->view, at, wanted, &piece, err);
		if (rc < 0)
			return rc;
		if (piece.n < wanted) {
			*ret_is_whole = false;
			break;
		}
		crc = mbj_crc32c(crc, piece);
		at += wanted;
		size -= wanted;
	}
	*ret_crc = crc;
	return MBJ_OK;
}

/* The bytes of the group at `at`; *ret_bytes is empty where there is none. */
static enum mbj_rc group_find(struct scan_walk *walk, uint64_t at,
			      uint64_t size_max, struct mbj_bytes *ret_bytes,
			      struct mbj_error *err)
{
	uint32_t header_size = 0;
	struct mbj_bytes bytes;
	uint64_t size = 0;
	enum mbj_rc rc;

	*ret_bytes = mbj_bytes_make(NULL, 0);
	if (size_max < GROUP_HEADER_SIZE_MIN)
		return MBJ_OK;
	rc = segment_view_get(walk->view, at, GROUP_HEADER_SIZE_MIN, &bytes,
			      err);
	if (rc < 0)
		return rc;
	if (bytes.n < GROUP_HEADER_SIZE_MIN ||
	    !group_size_peek(bytes, &header_size, &size) || size > size_max)
		return MBJ_OK;
	return segment_view_get(walk->view, at, (size_t)size, ret_bytes, err);
}

/*
 * One group of a frame whose checksums hold.  *ret_what: why it is damage, or
 * NULL.  Returns: the world's failures.
 */
static enum mbj_rc group_verify(struct scan_walk *walk, struct mbj_bytes bytes,
				const char **ret_what, struct mbj_error *err)
{
	struct mbj_log_end *end = &walk->scan->end;
	struct mbj_group group;
	enum mbj_rc rc;

	rc = mbj_group_parse(bytes, &group, &walk->why);
	if (rc == MBJ_OK)
		rc = mbj_group_chain_check(&group, walk->sha, &end->chain,
					   &walk->why);
	if (rc == MBJ_OK && group.header.lsn.v != lsn_next(walk).v)
		rc = mbj_error_set(&walk->why, MBJ_ECORRUPT,
				   "group %llu is out of order",
				   (unsigned long long)group.header.lsn.v);
	*ret_what = rc < 0 ? walk->why.message : NULL;
	if (rc == MBJ_ECORRUPT || rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	if (rc < 0) {
		if (err != NULL)
			*err = walk->why;
		return rc;
	}
	*end = (struct mbj_log_end){group.header.lsn, group.chain};
	return MBJ_OK;
}

/* All groups of a frame whose checksums hold (invariant 2). */
static enum mbj_rc groups_verify(struct scan_walk *walk,
				 const struct segment_frame *frame, uint64_t at,
				 struct mbj_error *err)
{
	uint64_t left = frame->payload_size;
	const char *what = NULL;
	struct mbj_bytes bytes;
	enum mbj_rc rc;

	for (uint32_t i = 0; i < frame->count; i++) {
		rc = group_find(walk, at, left, &bytes, err);
		if (rc == MBJ_OK)
			rc = group_verify(walk, bytes, &what, err);
		if (rc < 0)
			return rc;
		if (what != NULL) {
			walk_damaged(walk, at, what);
			return MBJ_OK;
		}
		at += bytes.n;
		left -= bytes.n;
		published_check(walk, at);
		if (walk->is_done)
			return MBJ_OK;
	}
	if (left > 0)
		walk_damaged(walk, at, "a batch is longer than its groups");
	return MBJ_OK;
}

/*
 * Past a frame whose checksums hold by the header of the one behind it, which
 * has the chain in between: false where there is none, where a published LSN
 * inside the frame is to be compared, or where groups are wanted.
 */
static enum mbj_rc frame_pass(struct scan_walk *walk,
			      const struct segment_frame *frame, uint64_t at,
			      bool *ret_is_passed, struct mbj_error *err)
{
	struct mbj_lsn published = walk->evidence->published.lsn;
	uint64_t next = frame->first.v + frame->count;
	struct segment_frame behind;
	struct mbj_bytes bytes;
	enum mbj_rc rc;

	*ret_is_passed = false;
	if (walk->depth != SEGMENT_FRAMES ||
	    (published.v >= frame->first.v && published.v + 1 < next))
		return MBJ_OK;
	rc = segment_view_get(walk->view, at + frame->payload_size,
			      SEGMENT_FRAME_SIZE, &bytes, err);
	if (rc < 0)
		return rc;
	if (bytes.n < SEGMENT_FRAME_SIZE ||
	    !segment_frame_decode(bytes.p, walk->header->salt, &behind) ||
	    behind.first.v != next)
		return MBJ_OK;
	walk->scan->end = (struct mbj_log_end){{next - 1}, behind.chain};
	published_check(walk, at + frame->payload_size);
	*ret_is_passed = true;
	return MBJ_OK;
}

/* One frame; a bad one ends the walk where it begins. */
static enum mbj_rc frame_verify(struct scan_walk *walk, struct mbj_error *err)
{
	struct mbj_log_end end = walk->scan->end;
	uint64_t at = walk->scan->end_at;
	struct segment_frame frame;
	struct mbj_bytes bytes;
	bool is_passed = false;
	bool is_whole = false;
	uint32_t crc = 0;
	enum mbj_rc rc;

	rc = segment_view_get(walk->view, at, SEGMENT_FRAME_SIZE, &bytes, err);
	if (rc < 0)
		return rc;
	if (bytes.n < SEGMENT_FRAME_SIZE ||
	    !segment_frame_decode(bytes.p, walk->header->salt, &frame)) {
		walk->is_done = true;
		return MBJ_OK;
	}
	if (frame.first.v != lsn_next(walk).v ||
	    memcmp(frame.chain.b, end.chain.b, MBJ_HASH_SIZE) != 0) {
		walk_damaged(walk, at,
			     "a batch does not continue the one before it");
		return MBJ_OK;
	}
	at += SEGMENT_FRAME_SIZE;
	rc = payload_crc(walk, at, frame.payload_size, &is_whole, &crc, err);
	if (rc < 0)
		return rc;
	if (!is_whole || crc != frame.payload_crc) {
		walk->is_done = true;
		return MBJ_OK;
	}
	rc = frame_pass(walk, &frame, at, &is_passed, err);
	if (rc == MBJ_OK && !is_passed)
		rc = groups_verify(walk, &frame, at, err);
	if (rc < 0 || walk->is_done)
		return rc;
	walk->scan->end_at = at + frame.payload_size;
	walk->scan->frames++;
	return MBJ_OK;
}

/* Zeroes at the end of a piece count for nothing: where they begin. */
static size_t piece_trim(struct mbj_bytes piece)
{
	size_t n = piece.n;

	while (n >= sizeof(uint64_t) &&
	       mbj_load_u64(piece.p + n - sizeof(uint64_t)) == 0)
		n -= sizeof(uint64_t);
	while (n > 0 && piece.p[n - 1] == 0)
		n--;
	return n;
}

/* Headers of frames in a piece of the tail: the last LSN that they claim. */
static void tail_look(struct scan_walk *walk, struct mbj_bytes piece,
		      uint64_t at)
{
	struct segment_frame frame;

	for (size_t i = 0; i + SEGMENT_FRAME_SIZE <= piece.n;
	     i += SEGMENT_ALIGN) {
		uint64_t last;

		if (at + i == walk->scan->end_at ||
		    !segment_frame_decode(piece.p + i, walk->header->salt,
					  &frame))
			continue;
		last = frame.first.v + frame.count - 1;
		if (walk->scan->known.v < last)
			walk->scan->known.v = last;
		walk_damaged(walk, walk->scan->end_at,
			     "a batch is damaged, one behind it is not");
	}
}

/* Everything behind the last good frame: any byte, any header? */
static enum mbj_rc tail_walk(struct scan_walk *walk, struct mbj_error *err)
{
	uint64_t at = walk->scan->end_at;
	uint64_t dirty_at = at;
	struct mbj_bytes piece;
	size_t n;
	enum mbj_rc rc;

	for (;;) {
		/* Pieces overlap: a header may lie across their border. */
		rc = segment_view_get(walk->view, at,
				      SCAN_PIECE + SEGMENT_FRAME_SIZE, &piece,
				      err);
		if (rc < 0)
			return rc;
		n = piece_trim(piece);
		if (n > 0) {
			dirty_at = at + n;
			tail_look(walk, piece, at);
		}
		if (piece.n < SCAN_PIECE + SEGMENT_FRAME_SIZE)
			break;
		at += SCAN_PIECE;
	}
	walk->scan->torn_size = dirty_at - walk->scan->end_at;
	return MBJ_OK;
}

static void tail_judge(struct scan_walk *walk)
{
	const struct segment_evidence *evidence = walk->evidence;
	struct segment_scan *scan = walk->scan;
	uint64_t durable = evidence->durable.v;

	if (durable < evidence->published.lsn.v)
		durable = evidence->published.lsn.v;
	if (scan->known.v < durable)
		scan->known.v = durable;
	if (scan->tail == SEGMENT_DAMAGED)
		return;
	if (scan->end.lsn.v < durable)
		walk_damaged(walk, scan->end_at,
			     scan->torn_size > 0
				     ? "a batch is damaged that was durable"
				     : "the journal ends before an LSN that "
				       "was durable");
	else
		scan->tail = scan->torn_size > 0 ? SEGMENT_TORN : SEGMENT_CLEAN;
}

enum mbj_rc segment_scan(struct segment_view *view,
			 const struct segment_header *header,
			 const struct segment_evidence *evidence,
			 enum segment_depth depth, struct mbj_sha256 *sha,
			 struct segment_scan *ret_scan, struct mbj_error *err)
{
	struct segment_scan scan = {
		.tail = SEGMENT_CLEAN,
		.end = {{header->first.v - 1}, header->chain},
		.end_at = SEGMENT_HEADER_SIZE,
	};
	struct scan_walk walk = {.view = view,
				 .header = header,
				 .evidence = evidence,
				 .depth = depth,
				 .sha = sha,
				 .scan = &scan};
	enum mbj_rc rc = MBJ_OK;

	MBJ_ASSERT(header->first.v > 0);
	published_check(&walk, scan.end_at);
	while (rc == MBJ_OK && !walk.is_done) {
		if (evidence->stop.v > 0 && scan.end.lsn.v >= evidence->stop.v)
			break;
		rc = frame_verify(&walk, err);
	}
	if (rc == MBJ_OK && walk.is_done)
		rc = tail_walk(&walk, err);
	if (rc < 0)
		return rc;
	tail_judge(&walk);
	*ret_scan = scan;
	return MBJ_OK;
}
