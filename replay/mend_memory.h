/*
 * What a replica remembers of its source's snapshots, so that none comes for
 * nothing time and again.  Pure.  Private to replay/.
 *
 * One that is no good is asked for once, and others are, newer and older: the
 * gaps between those that are refused.  MBJ_REFUSED_MAX are refused within
 * MBJ_REFUSED_MS, and then none is asked for until that is over; those that are
 * older than a good one are forgotten with that.
 */
#ifndef MBJ_MEND_MEMORY_H
#define MBJ_MEND_MEMORY_H

#include <mbj/store.h>

/* Is this occasion one to try? */
bool mend_is_due(struct mbj_mend_memory *memory);
/* It came to its end; or it got nowhere, and each time in a row twice as many
 * occasions pass before the next. */
void mend_went(struct mbj_mend_memory *memory);
void mend_stuck(struct mbj_mend_memory *memory);

/* With this snapshot all were tried who were aside when the state was at end.
 */
void mend_tried(struct mbj_mend_memory *memory, struct mbj_lsn snapshot,
		struct mbj_lsn end);
/*
 * It is no good.  One that was put together from the answers of several
 * connections may be at the source: it is once more, and refused then, however
 * it came.  Requires: fewer than MBJ_REFUSED_MAX are refused.
 */
void mend_refuse(struct mbj_mend_memory *memory, struct mbj_lsn snapshot,
		 bool was_resumed, int64_t now);
/* This one is good: older ones are no matter any more. */
void mend_accept(struct mbj_mend_memory *memory, struct mbj_lsn snapshot);
/* Those that were refused long ago. */
void mend_forget(struct mbj_mend_memory *memory, int64_t now);
/*
 * The next gap of first to end, at and below *at, that nothing refused is in,
 * the newest first; *at 0 begins.  Returns: is there one?
 */
bool mend_gap_next(const struct mbj_mend_memory *memory, uint32_t *at,
		   struct mbj_lsn first, struct mbj_lsn end,
		   struct mbj_lsn *ret_least, struct mbj_lsn *ret_most);

#endif
