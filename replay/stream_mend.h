/*
 * Accounts that are made again from a snapshot which the source has, through
 * the stream.  Private to replay/.
 *
 * A snapshot is asked for in parts, and groups are asked for between two of
 * them: however large it is, the replica stays current meanwhile.
 *
 * Threads: the stream's.
 */
#ifndef MBJ_STREAM_MEND_H
#define MBJ_STREAM_MEND_H

#include "resync_run.h"
#include "source_stream.h"

struct stream_mend;

/*
 * See to one account, or, with ROOT, to those that are aside, as far as a
 * snapshot may help them: what was tried with this one before is left out.
 * *ret_mend NULL: there is nothing to do (of all only).
 * Requires: the source was accepted, and all that it sent was handed out.
 * Returns: of one account, as mbj_stream_resync.
 */
enum mbj_rc stream_mend_begin(struct source_stream *s, struct mbj_id account,
			      struct stream_mend **ret_mend,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * A question, a part of the snapshot, some of its judging, or one account;
 * *ret_is_over: that was all.  Where it is for all, what keeps one of them
 * aside is no error.
 */
enum mbj_rc stream_mend_step(struct stream_mend *mend, bool *ret_is_over,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/* Accounts that were made again, and go on. */
uint64_t stream_mend_count(const struct stream_mend *mend);
/* Contents of accounts that were made again may be lacking. */
bool stream_mend_is_wanting(const struct stream_mend *mend);
const struct resync *stream_mend_resync(const struct stream_mend *mend);
const struct mbj_resync_result *
stream_mend_result(const struct stream_mend *mend);
/* NULL is fine.  What came of the snapshot stays. */
void stream_mend_end(struct stream_mend **mend);

#endif
