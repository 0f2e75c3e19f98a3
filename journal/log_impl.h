/*
 * The open log, as its files share it.  Private to journal/.
 */
#ifndef MBJ_JOURNAL_LOG_IMPL_H
#define MBJ_JOURNAL_LOG_IMPL_H

#include "log_priv.h"

struct mbj_log {
	const struct mbj_sys *sys;
	char dir[MBJ_PATH_TEXT_MAX];
	struct mbj_id lineage;
	struct mbj_log_options options;
	struct mbj_file file;	      /* the segment written to */
	struct segment_header header; /* its header */
	uint64_t at;		      /* where the next frame goes */
	uint64_t size;		      /* bytes of the file: zeroes from at on */
	struct mbj_log_end end;	      /* last group on disk */
	struct mbj_file published;
	struct mbj_buf frame; /* the batch being written */
	uint64_t torn_size;
	bool is_failed;
};

/*
 * Begin segment `number` behind `before`; it is on disk with its header, and
 * voids what older segments hold from there on.
 */
enum mbj_rc log_segment_begin(struct mbj_log *log, uint32_t number,
			      struct mbj_log_end before,
			      struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc log_publish(struct mbj_log *log,
			struct mbj_error *err) MBJ_MUST_CHECK;

#endif
