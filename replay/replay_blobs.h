/*
 * The content of messages, fetched for the groups that need it.  Private to
 * replay/.
 */
#ifndef MBJ_REPLAY_BLOBS_H
#define MBJ_REPLAY_BLOBS_H

#include "replay_run.h"

struct replay_blobs {
	struct replay_source *source;
	struct mbj_store *store;
	struct mbj_replay_result *result;
	bool is_duplicating;
	struct mbj_blobs *to; /* opened with the first message */
};

/*
 * Store what messages of the group need and the replica has not.  On disk with
 * the group's batch (journal/batch.c).  What the source cannot give is noted,
 * for the next run: the group is no less true for it, it costs no other
 * account, and a message that was expunged since has lost its content rightly.
 * Only what is wrong here is an error.  Without a source, what is not here is
 * noted: so a state made anew from the journal knows it, too.
 */
enum mbj_rc replay_blobs_fetch(struct replay_blobs *blobs, struct mbj_txn *txn,
			       const struct mbj_group *group,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * At the end of a run: ask once more for what is wanted, and count what
 * messages need and is still not here.  What was expunged further on in the
 * journal nobody misses, and the source may have dropped it.  A list at a time,
 * without a transaction while contents come; what came or is not needed is
 * wanted no longer after each.  Of a source that is_partial one list only, and
 * no longer than some seconds.  Requires: no batch.  Durability: what came is
 * on disk on return.
 */
enum mbj_rc replay_blobs_finish(struct replay_blobs *blobs,
				struct mbj_error *err) MBJ_MUST_CHECK;
void replay_blobs_done(struct replay_blobs *blobs);

#endif
