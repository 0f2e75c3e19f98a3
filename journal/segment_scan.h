/*
 * Verifying one segment from its header to its end: where it really ends, and
 * whether what follows is nothing, a torn tail or damage.  Private to journal/.
 *
 * Threads: one at a time per view.
 */
#ifndef MBJ_JOURNAL_SEGMENT_SCAN_H
#define MBJ_JOURNAL_SEGMENT_SCAN_H

#include "segment_view.h"

/* What is known for certain about a journal, from outside its segments. */
struct segment_evidence {
	struct mbj_lsn durable; /* up to here it was on disk, 0: unknown */
	struct mbj_log_end published; /* lsn 0: unknown; a chain to compare */
	struct mbj_lsn stop;	      /* look no further than this, 0: all */
};

/* How far down a scan goes into batches that others follow. */
enum segment_depth {
	SEGMENT_GROUPS = 1, /* chain and content of every group */
	/*
	 * Their checksums and the chain values in the frames' headers: where
	 * the segment ends, for a reader that will verify each group when it
	 * comes to it.  The last batch is always verified by groups.
	 */
	SEGMENT_FRAMES = 2,
};

enum segment_tail {
	SEGMENT_CLEAN = 1,   /* zeroes, or the end of the file, or stop */
	SEGMENT_TORN = 2,    /* one batch that nobody was told of */
	SEGMENT_DAMAGED = 3, /* something durable cannot be read */
};

struct segment_scan {
	enum segment_tail tail;
	struct mbj_log_end end; /* last group that is good, or before first */
	uint64_t end_at;	/* where the next frame goes */
	uint64_t frames;	/* good ones */
	uint64_t torn_size;	/* bytes up to the last that is not zero */
	struct mbj_lsn known;	/* DAMAGED: LSNs up to here did exist */
	struct mbj_error fault; /* DAMAGED: file, offset and LSN */
};

/*
 * Requires: view has the segment of header open.
 * Returns: MBJ_OK whatever the tail; MBJ_EIO; MBJ_EUNSUPPORTED for groups of a
 * later version.
 */
enum mbj_rc segment_scan(struct segment_view *view,
			 const struct segment_header *header,
			 const struct segment_evidence *evidence,
			 enum segment_depth depth, struct mbj_sha256 *sha,
			 struct segment_scan *ret_scan,
			 struct mbj_error *err) MBJ_MUST_CHECK;

#endif
