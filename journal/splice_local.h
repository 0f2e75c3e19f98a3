/*
 * What a damaged segment still has: its group records, wherever damage leaves
 * them in reach, without judging whether they belong together.  Private to
 * journal/.
 *
 * Threads: one at a time.
 */
#ifndef MBJ_JOURNAL_SPLICE_LOCAL_H
#define MBJ_JOURNAL_SPLICE_LOCAL_H

#include "segment_view.h"

struct splice_local {
	struct segment_view view;
	uint64_t salt;	     /* of the file's frames */
	uint64_t at;	     /* of the next frame, or record */
	uint64_t end;	     /* of the frame that at is in */
	uint64_t look_at;    /* where to look on for frames, 0: nowhere */
	struct mbj_lsn last; /* of the record before, 0: none yet */
	uint64_t last_end;   /* where that ended */
	bool is_over;
	bool is_framed; /* at is among the records of a frame */
	bool is_whole;	/* of the frame: header and checksum are good */
};

void splice_local_init(struct splice_local *local);
void splice_local_done(struct splice_local *local);
/*
 * Begin with dir/name.  A file that is not there, or of whose frames nothing
 * tells the salt, has no records.  *ret_header is the one that it has, number
 * 0 where that is not to be had.
 * Returns: MBJ_EFENCED, another lineage's; MBJ_EUNSUPPORTED; MBJ_EIO.
 */
enum mbj_rc splice_local_begin(struct splice_local *local,
			       const struct mbj_sys *sys, const char *dir,
			       const char *name, struct mbj_id lineage,
			       struct segment_header *ret_header,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The next record whose header and body are good, borrowed until the next
 * call.  Returns: MBJ_ENOTFOUND at the end (err untouched).
 */
enum mbj_rc splice_local_next(struct splice_local *local,
			      struct mbj_group *ret_group,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* Behind the last record the file has nothing but zeros. */
enum mbj_rc splice_local_is_blank(struct splice_local *local,
				  bool *ret_is_blank,
				  struct mbj_error *err) MBJ_MUST_CHECK;

#endif
