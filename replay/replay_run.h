/*
 * Between the loop over a source (replay.c), sources (source_dir.c) and
 * replica.c (opening a replica, whose source is its own journal).  Private to
 * replay/.
 */
#ifndef MBJ_REPLAY_RUN_H
#define MBJ_REPLAY_RUN_H

#include <mbj/blob.h>
#include <mbj/replay.h>

#include "quarantine_run.h"

/* A content, by what it is. */
struct replay_blob {
	struct mbj_hash digest;
	uint64_t size;
};

struct replay_content {
	const struct mbj_hash *digest;
	uint64_t size;
	bool is_duplicating; /* never a link, and read back */
	/* Some that will be asked for next: a source may bring them, too. */
	const struct replay_blob *next;
	size_t next_count;
	size_t covered; /* out: so many of them it brought, or has not */
};

struct replay_source;

/* What a source does; NULL where the replica's own journal never is asked. */
struct replay_source_ops {
	/* Who it is. */
	enum mbj_rc (*identity)(struct replay_source *source,
				struct mbj_identity *ret_identity,
				struct mbj_error *err);
	/* What it says of itself at the replica's watermark. */
	enum mbj_rc (*hello)(struct replay_source *source,
			     struct mbj_lsn applied,
			     struct mbj_hello *ret_hello,
			     struct mbj_error *err);
	/* Stand before this group; last + 1 is legal: at the end. */
	enum mbj_rc (*seek)(struct replay_source *source, struct mbj_lsn lsn,
			    struct mbj_error *err);
	/*
	 * The next group, in order, its chain value verified against that of
	 * the one before, its body good; borrowed until the next call.
	 * Returns: MBJ_ENOTFOUND at the end, else the source's fault, named.
	 */
	enum mbj_rc (*next)(struct replay_source *source,
			    struct mbj_group *ret_group, struct mbj_error *err);
	/*
	 * Store a content that the replica has not.  Where the source is to
	 * blame that it cannot be had: *ret_is_here false, and why; NULL: it is
	 * for the group that was handed out last, or an older one, and nobody
	 * asks why.  Only what is wrong at the replica is an error.
	 */
	enum mbj_rc (*content)(struct replay_source *source,
			       struct mbj_blobs *to,
			       struct replay_content *content,
			       bool *ret_is_here, struct mbj_error *ret_why,
			       struct mbj_error *err);
	/*
	 * All up to here is on the replica's disk, with its effects.  NULL: of
	 * no interest to it.
	 */
	void (*applied)(struct replay_source *source, struct mbj_lsn lsn);
};

/* Where groups come from. */
struct replay_source {
	const struct replay_source_ops *ops;
	const char *name; /* for messages */
	bool is_own;	  /* the journal is the replica's: nothing to fetch */
	/*
	 * A group that conflicts parks its accounts.  Else it speaks against
	 * the state, and the run fails with MBJ_ECORRUPT.
	 */
	bool is_parking;
	/*
	 * One run of many: what earlier ones wanted is neither asked for nor
	 * counted.
	 */
	bool is_brief;
	/*
	 * What is aside is tried again at the store's pace, as runs follow one
	 * another.  Else each run tries.
	 */
	bool is_paced;
	/*
	 * What earlier runs wanted is asked for a part at a time, one in a run,
	 * so that groups come in between.
	 */
	bool is_partial;
	/* Out: there is more of that, from here on. */
	bool is_wanting;
	struct mbj_hash wanted;
	/* Out: so many contents of groups did not come, of all runs. */
	uint64_t missed;
	/* Out: it gives nothing any more. */
	bool is_lost;
	/* Out: what failed was the source, or the engine's will. */
	bool is_stopped;
};

/* The engine as the replica stands, with its parked accounts. */
enum mbj_rc replay_engine_start(struct mbj_store *store,
				struct mbj_engine **ret_engine,
				struct mbj_hash *ret_chain,
				struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Try what is aside after a run, where the pace says so: what is new comes
 * first, and only a source that was found good is an occasion.
 * Requires: no engine, which would know less than the state then.
 */
enum mbj_rc replay_retry(struct mbj_store *store,
			 const struct replay_source *source,
			 struct mbj_replay_result *result,
			 struct mbj_error *err) MBJ_MUST_CHECK;
/* Run from the engine's watermark, with this chain value, to the end. */
enum mbj_rc replay_run_from(struct mbj_store *store,
			    struct replay_source *source,
			    struct mbj_engine *engine,
			    const struct mbj_hash *chain,
			    const struct mbj_replay_options *options,
			    struct mbj_replay_result *result,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* All of it: meet the source, refuse or take its lineage, run. */
enum mbj_rc replay_source_run(struct mbj_store *replica,
			      struct replay_source *source,
			      const struct mbj_replay_options *options,
			      struct mbj_replay_result *ret_result,
			      struct mbj_error *err) MBJ_MUST_CHECK;

#endif
