/*
 * The question for a part of a snapshot that the source has.  Private to
 * replay/.
 */
#ifndef MBJ_STREAM_PART_H
#define MBJ_STREAM_PART_H

#include "snapshot_part.h"
#include "source_stream.h"

/* The newest of these groups: so many bytes of it from a place on. */
struct part_want {
	struct mbj_lsn least;
	struct mbj_lsn most;
	uint64_t at;
	uint32_t max; /* 0: which there is, and how large, only */
};

/*
 * Ask, and take what comes into *part.
 * Returns: MBJ_ENOTFOUND where the source has none of these groups; what fails
 * here leaves the connection as it was.
 */
enum mbj_rc stream_part_ask(struct source_stream *s, struct snapshot_part *part,
			    const struct part_want *want,
			    struct mbj_lsn *ret_lsn, uint64_t *ret_size,
			    struct mbj_error *err) MBJ_MUST_CHECK;

#endif
