/*
 * The content of messages, fetched for the groups that need it.  Private to
 * replay/.
 */
#ifndef MBJ_REPLAY_BLOBS_H
#define MBJ_REPLAY_BLOBS_H

#include "replay_run.h"

/* Contents that groups of a batch have named. */
struct replay_blob_list {
	struct replay_blob *list;
	size_t count;
	size_t capacity;
};

struct replay_blobs {
	struct replay_source *source;
	struct mbj_store *store;
	struct mbj_replay_result *result;
	bool is_duplicating;
	struct mbj_blobs *to; /* opened with the first message */
	uint64_t size; /* bytes of contents noted since the last _settle */
	/* Of groups carried out; of those set aside, and all of a backup. */
	struct replay_blob_list noted;
	struct replay_blob_list needed;
};

/*
 * Note what messages of the group need, which was carried out in the
 * transaction or set aside.  When that is very much, it is settled at once.
 */
enum mbj_rc replay_blobs_note(struct replay_blobs *blobs, struct mbj_txn *txn,
			      const struct mbj_group *group, bool is_aside,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * At the end of a batch: store what was noted and the replica has not, but for
 * what no message has any more, since it was expunged further on in the batch;
 * not so where contents are duplicated, as they are for backups.
 * On disk with the batch (journal/batch.c).  What the source cannot give is
 * noted in the state, for the next run: the group is no less true for it, it
 * costs no other account, and a message that was expunged since has lost its
 * content rightly.  Only what is wrong here is an error.  Without a source,
 * what is not here is noted: so a state made anew from the journal knows it,
 * too.
 */
enum mbj_rc replay_blobs_settle(struct replay_blobs *blobs, struct mbj_txn *txn,
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
