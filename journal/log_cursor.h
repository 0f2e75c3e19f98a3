/*
 * A place in the journal: before one group, in one segment.  The reader
 * (log_reader.c) says how far it may go.  Private to journal/.
 *
 * Threads: one at a time.
 */
#ifndef MBJ_JOURNAL_LOG_CURSOR_H
#define MBJ_JOURNAL_LOG_CURSOR_H

#include "segment_list.h"
#include "segment_view.h"

struct log_cursor {
	const struct mbj_sys *sys;
	const char *dir; /* borrowed */
	struct mbj_id lineage;
	struct mbj_sha256 *sha; /* borrowed */
	struct segment_list list;
	struct segment_view view;
	struct segment_header header; /* of the open segment */
	struct mbj_lsn void_from;     /* where the next one takes over, or 0 */
	uint64_t at;		      /* next frame or group */
	uint64_t frame_end;
	uint32_t left; /* groups left in the frame; 0: a frame comes */
	struct mbj_log_end before; /* the group before */
};

void log_cursor_init(struct log_cursor *cursor, const struct mbj_sys *sys,
		     const char *dir, struct mbj_id lineage,
		     struct mbj_sha256 *sha);
void log_cursor_done(struct log_cursor *cursor);

/*
 * Stand before the group lsn, by the directory as it is now.  Trusts the
 * chain values on the way.
 * Returns: MBJ_ENOTFOUND where no segment reaches back to it, MBJ_ECORRUPT.
 */
enum mbj_rc log_cursor_seek(struct log_cursor *cursor, struct mbj_lsn lsn,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* Stand behind a group that is known; the next step looks for its place. */
void log_cursor_stand(struct log_cursor *cursor,
		      const struct mbj_log_end *before);
/*
 * The next group, verified but for a body that is damaged.
 * Requires: it was durable when the view was last dropped.
 */
enum mbj_rc log_cursor_next(struct log_cursor *cursor,
			    struct mbj_group *ret_group,
			    struct mbj_error *err) MBJ_MUST_CHECK;

#endif
