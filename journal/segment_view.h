/*
 * A window on a segment file: bytes at an offset, read ahead in large pieces.
 * Private to journal/.
 *
 * Threads: one at a time per view.
 */
#ifndef MBJ_JOURNAL_SEGMENT_VIEW_H
#define MBJ_JOURNAL_SEGMENT_VIEW_H

#include <mbj/sys.h>

#include "segment.h"

struct segment_view {
	struct mbj_file file;
	uint8_t *p; /* bytes [begin, begin + n) of the file */
	size_t capacity;
	uint64_t begin;
	size_t n;
};

void segment_view_init(struct segment_view *view);
/* Closes the file, frees the memory. */
void segment_view_done(struct segment_view *view);
/*
 * Look at dir/name, whose header is read and checked against what the name
 * says.  The file seen before is closed, whatever is returned.
 * Returns: MBJ_ENOTFOUND, MBJ_ECORRUPT, MBJ_EUNSUPPORTED; MBJ_EFENCED for
 * another lineage.
 */
enum mbj_rc segment_view_open(struct segment_view *view,
			      const struct mbj_sys *sys, const char *dir,
			      const char *name, struct mbj_id lineage,
			      struct segment_header *ret_header,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* Stop looking; a second call does nothing. */
void segment_view_close(struct segment_view *view);
/* Forget what was read: the file may have grown since. */
void segment_view_drop(struct segment_view *view);
/*
 * size bytes at an offset, fewer at the end of the file; borrowed until the
 * next call.  Requires: size at most MBJ_GROUP_MAX.
 */
enum mbj_rc segment_view_get(struct segment_view *view, uint64_t at,
			     size_t size, struct mbj_bytes *ret_bytes,
			     struct mbj_error *err) MBJ_MUST_CHECK;

#endif
