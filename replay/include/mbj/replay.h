/*
 * Replaying a journal on a replica: the blocking driver around the engine.
 *
 * A replica's journal is its primary's, byte for byte.  Received groups go
 * through the same batch as a primary's own: journal, sync, then state with
 * the watermark in the same transaction, so whatever is killed, redelivered or
 * repeated, each group takes effect exactly once.
 *
 * Threads: one at a time per store.
 */
#ifndef MBJ_REPLAY_H
#define MBJ_REPLAY_H

#include <mbj/engine.h>
#include <mbj/snapshot.h>
#include <mbj/store.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mbj_replay_result {
	uint64_t groups;	   /* journaled and taken past the watermark */
	uint64_t groups_parked;	   /* of these, set aside for their accounts */
	uint64_t accounts_parked;  /* parked now, this run's and earlier ones */
	struct mbj_lsn applied;	   /* the watermark afterwards */
	struct mbj_lsn source_end; /* the source's last durable group */
	/* Contents that messages need here, and the source could not give. */
	uint64_t blobs_missing;
	struct mbj_error blobs_why; /* of the first of them */
	/* Tried again by itself: mbj/quarantine.h. */
	uint64_t groups_retried;  /* that had been set aside, carried out */
	uint64_t accounts_healed; /* of which nothing waits any more */
	/* Made again from a snapshot of the source, and not aside any more:
	 * mbj/stream.h. */
	uint64_t accounts_resynced;
};

struct mbj_replay_options {
	size_t size;		   /* sizeof(struct mbj_replay_options) */
	struct mbj_lsn until;	   /* last group to replay, 0: all there are */
	uint32_t batch_groups_max; /* groups of one transaction */
	size_t batch_size_max;	   /* and their bytes */
	bool is_dry_run;	   /* count what would be replayed */
	bool is_duplicating;	   /* contents by mbj_blob_duplicate */
};

#define MBJ_REPLAY_OPTIONS_INIT                                         \
	((struct mbj_replay_options){sizeof(struct mbj_replay_options), \
				     {0},                               \
				     1000,                              \
				     4u << 20,                          \
				     false,                             \
				     false})

/*
 * Open a store of either role for use: mbj_store_open, and on a replica the
 * journal's own tail is applied (conflicts park their accounts).
 */
MBJ_API enum mbj_rc mbj_replica_open(const char *dir,
				     const struct mbj_store_options *options,
				     struct mbj_store **ret_store,
				     struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Apply to replica what it lacks of the journal in source_dir, reading only
 * its superblock, segments and blobs: source may be in use, or dead.
 * Returns: MBJ_EFENCED (not a replica, another lineage, ahead, forked, an
 * older epoch, source was trimmed past what the replica has), MBJ_ECORRUPT
 * (naming the damage; what precedes it is applied), MBJ_ENOSPC, ...  Parked
 * accounts are not an error: see the result. Durability: what the result counts
 * is on disk, journal and watermark.
 */
MBJ_API enum mbj_rc mbj_replay_journal(struct mbj_store *replica,
				       const char *source_dir,
				       const struct mbj_replay_options *options,
				       struct mbj_replay_result *ret_result,
				       struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Make a replica of source in dir (as mbj_store_init) from the newest good
 * snapshot there, for a journal that does not begin at group 1 any more, or to
 * save the time of replaying it; replay does the rest, contents included.  One
 * that was stopped is gone on with; one that fails leaves nothing that it made,
 * as long as nothing came.  *ret_lsn is the group that it has.
 * A request whose group lies at that one or before is not known there.
 * Returns: MBJ_ENOTFOUND (no snapshot), MBJ_ECORRUPT (none is good),
 * MBJ_EEXISTS, MBJ_EFENCED.
 * Durability: on return the replica is on disk.
 */
MBJ_API enum mbj_rc mbj_replica_init(const char *dir, const char *source,
				     const struct mbj_store_options *options,
				     struct mbj_lsn *ret_lsn,
				     struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The same into an open one that has nothing yet; until, if not 0, is the last
 * group that the snapshot may have.
 */
enum mbj_rc mbj_replica_seed(struct mbj_store *replica, const char *source,
			     struct mbj_lsn until,
			     struct mbj_snapshot_info *ret_info,
			     struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
