/*
 * Between replay.c (the loop over a source) and replica.c (opening a replica,
 * whose source is its own journal).  Private to replay/.
 */
#ifndef MBJ_REPLAY_RUN_H
#define MBJ_REPLAY_RUN_H

#include <mbj/replay.h>

/* Where groups come from. */
struct replay_source {
	struct mbj_log_reader *reader;
	const char *dir; /* its store, NULL: the journal is the replica's own */
	/*
	 * A group that conflicts parks its accounts.  Else it speaks against
	 * the state, and the run fails with MBJ_ECORRUPT.
	 */
	bool is_parking;
	/* Out: what failed was the source, or the engine's will. */
	bool is_stopped;
};

/* The engine as the replica stands, with its parked accounts. */
enum mbj_rc replay_engine_start(struct mbj_store *store,
				struct mbj_engine **ret_engine,
				struct mbj_hash *ret_chain,
				struct mbj_error *err) MBJ_MUST_CHECK;
/* Run from the engine's watermark, with this chain value, to the end. */
enum mbj_rc replay_run_from(struct mbj_store *store,
			    struct replay_source *source,
			    struct mbj_engine *engine,
			    const struct mbj_hash *chain,
			    const struct mbj_replay_options *options,
			    struct mbj_replay_result *result,
			    struct mbj_error *err) MBJ_MUST_CHECK;

#endif
