/*
 * The content of messages, fetched for the groups that need it.  Private to
 * replay/.
 */
#ifndef MBJ_REPLAY_BLOBS_H
#define MBJ_REPLAY_BLOBS_H

#include <mbj/replay.h>

struct replay_blobs {
	const char *source_dir; /* NULL: nothing is to be fetched */
	struct mbj_store *store;
	struct mbj_replay_result *result;
	struct mbj_blobs *from; /* both opened with the first message */
	struct mbj_blobs *to;
};

/*
 * Store what messages of the group need and the replica has not.  On disk with
 * the group's batch (journal/batch.c).  What the source has not either, or has
 * damaged, is counted: the group is no less true for it, and whoever expunged
 * the message since is right to have dropped its content.
 */
enum mbj_rc replay_blobs_fetch(struct replay_blobs *blobs,
			       const struct mbj_group *group,
			       struct mbj_error *err) MBJ_MUST_CHECK;
void replay_blobs_done(struct replay_blobs *blobs);

#endif
