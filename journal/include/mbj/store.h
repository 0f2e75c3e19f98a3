/*
 * A store: one directory with a superblock, the journal and the state; the
 * unit of replication.  One process owns it (flock on "lock").
 *
 *	STORE/mbj.store   superblock: lineage, instance, role, epoch, anchor
 *	STORE/lock        held by the owner, names its process
 *	STORE/journal/    segments (mbj/log.h)
 *	STORE/state/      Berkeley DB environment (mbj/state.h)
 *	STORE/snapshots/  what the state was (mbj/trim.h)
 *
 * On a primary, edits from any number of threads are combined into batches:
 * one transaction, one write, one sync for all that wait.  On a replica the
 * driver in replay/ feeds received groups through the same batch.
 *
 * Rules kept here: the state is never ahead of the durable journal; a failed
 * write or sync closes the store with outcome "unknown"; groups that are
 * durable stand, whatever the state's commit returns.
 *
 * Threads: mbj_store_submit and mbj_store_read from any thread; open, close
 * and the batch calls from one at a time.
 */
#ifndef MBJ_STORE_H
#define MBJ_STORE_H

#include <mbj/apply.h>
#include <mbj/blob.h>
#include <mbj/edit.h>
#include <mbj/error.h>
#include <mbj/log.h>
#include <mbj/pack.h>
#include <mbj/request.h>
#include <mbj/state.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, number, word) */
#define MBJ_STORE_ROLE_MAP(X)    \
	X(PRIMARY, 1, "primary") \
	X(REPLICA, 2, "replica")

enum mbj_store_role {
#define X(name, number, word) MBJ_STORE_##name = (number),
	MBJ_STORE_ROLE_MAP(X)
#undef X
};

MBJ_API const char *mbj_store_role_name(enum mbj_store_role role);

/* Who a store is. */
struct mbj_identity {
	enum mbj_store_role role;
	struct mbj_id lineage;	/* ROOT: a replica before its first stream */
	struct mbj_id instance; /* this copy */
	struct mbj_epoch epoch;
	struct mbj_id epoch_owner; /* instance that began the epoch */
	struct mbj_anchor anchor;
};

/*
 * A log file of Berkeley DB and a step of a segment's reserve, 4 MiB each, and
 * as much again for the pages of a checkpoint.
 */
#define MBJ_STORE_SPACE_MIN (16u << 20)

struct mbj_store_options {
	size_t size;		   /* sizeof(struct mbj_store_options) */
	const struct mbj_sys *sys; /* NULL: the real one */
	struct mbj_state_options state;
	struct mbj_log_options log;
	/*
	 * Bytes of the file system that edits leave free, 0: none.  One that
	 * may not is refused with MBJ_ENOSPC before anything is written; those
	 * that only remove messages, or an account, go on down to half of it.
	 * So the state is checkpointed and closed, and a collection makes room.
	 * A mark, no promise: others may fill the disk past it.
	 */
	uint64_t space_min;
	/* Throw the state away; make it from a snapshot and the journal. */
	bool is_rebuild_forced;
	/* Groups after which a request may be forgotten: mbj/request.h. */
	uint32_t request_window;
	/*
	 * For mbj/backup.h: init makes a replica that nobody else opens before
	 * mbj_store_restored, and open takes no other.
	 */
	bool is_restoring;
	/*
	 * Bytes that are kept in a file for when others have filled the disk
	 * all the same, 0: none.  Given up by an opening or a state made anew
	 * that has no space, by edits that only remove, by a collection and by
	 * a trim; made again once there is room for it beside space_min, when
	 * the store is opened or something was collected or trimmed, and by
	 * an edit, looked at once a minute, where twice space_min is left.
	 */
	uint64_t reserve_size;
	/*
	 * Of init: the level of zstd that the store's contents are packed with,
	 * up to MBJ_PACK_LEVEL_MAX, 0: they are as they are.  Then an mbj of
	 * before refuses it.  Settled for good.
	 */
	unsigned contents_level;
};

#define MBJ_STORE_OPTIONS_INIT                                              \
	((struct mbj_store_options){sizeof(struct mbj_store_options), NULL, \
				    MBJ_STATE_OPTIONS_DEFAULT,              \
				    MBJ_LOG_OPTIONS_DEFAULT,                \
				    MBJ_STORE_SPACE_MIN, false,             \
				    MBJ_REQUEST_WINDOW, false, 0, 0})

struct mbj_store;

/*
 * Make a new store in dir, which must not exist or be empty.  A primary gets
 * a fresh lineage and epoch 1.  Durability: complete on disk on return; a
 * crash before leaves something that init on the same empty place repeats.
 * Returns: MBJ_EEXISTS where something is there.
 */
MBJ_API enum mbj_rc mbj_store_init(const char *dir, enum mbj_store_role role,
				   const struct mbj_store_options *options,
				   struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Take back a replica that mbj_store_init made, and that nothing has come to
 * since: so that what was refused for its input leaves nothing.  was_there: dir
 * itself was before, and stays.  One that has a group, or a part of a snapshot,
 * is in use, or has anything else in it stays as it is.
 */
void mbj_store_unmake(const char *dir, const struct mbj_sys *sys,
		      bool was_there);

/* Is dir neither empty nor too long?  Returns: MBJ_EINVALID. */
enum mbj_rc mbj_store_path_check(const char *dir,
				 struct mbj_error *err) MBJ_MUST_CHECK;

/* Would mbj_store_init refuse dir?  Changes nothing. */
MBJ_API enum mbj_rc
mbj_store_init_check(const char *dir, const struct mbj_store_options *options,
		     struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Open and own a store: lock, superblock, journal, state.  A damaged or
 * missing environment is rebuilt from the journal.  On a primary the
 * journal's tail is applied; on a replica mbj_replica_open does that.
 * Returns: MBJ_ENOTFOUND (no store there), MBJ_EBUSY (naming the process),
 * MBJ_ECORRUPT, MBJ_EUNSUPPORTED, MBJ_EFENCED, MBJ_EINVALID (group- or
 * world-writable).
 */
MBJ_API enum mbj_rc mbj_store_open(const char *dir,
				   const struct mbj_store_options *options,
				   struct mbj_store **ret_store,
				   struct mbj_error *err) MBJ_MUST_CHECK;
/* Accepts NULL.  Durability: nothing more than was promised before. */
MBJ_API void mbj_store_close(struct mbj_store **store);

/*
 * Threads: on a replica, of whoever feeds it groups; those beside it take a
 * copy, since a new primary's epoch is taken while they read.  Where the
 * journal begins is read off a copy by everybody: a trim moves that.
 */
MBJ_API const struct mbj_identity *
mbj_store_identity(const struct mbj_store *store);
MBJ_API struct mbj_identity mbj_store_identity_copy(struct mbj_store *store);
MBJ_API const char *mbj_store_dir(const struct mbj_store *store);
const struct mbj_sys *mbj_store_sys(const struct mbj_store *store);
/* The journal's end. */
MBJ_API struct mbj_log_end mbj_store_end(struct mbj_store *store);

/*
 * Whether a journal has a group that somebody knows: where two journals of a
 * lineage have one chain value at an LSN, all before is the same in both.
 */
struct mbj_chain_at {
	struct mbj_lsn first; /* where the journal begins now */
	struct mbj_lsn last;  /* its end, 0: there is no group */
	/* It has that group, or begins right behind it. */
	bool is_there;
	struct mbj_hash chain; /* where it is */
};

/*
 * Where the group is not there it is beyond the journal's end, or was trimmed:
 * the two LSNs say which.
 * Returns: MBJ_ENOTFOUND, a trim takes it at this moment: ask again.
 * Threads: any.
 */
MBJ_API enum mbj_rc mbj_store_chain(struct mbj_store *store, struct mbj_lsn lsn,
				    struct mbj_chain_at *ret_at,
				    struct mbj_error *err) MBJ_MUST_CHECK;

/* What opening had to do. */
struct mbj_store_recovery {
	uint64_t groups_applied; /* of the tail, or all when rebuilt */
	uint64_t torn_size;	 /* bytes of a torn tail set aside */
	bool is_rebuilt;	 /* the state was made anew */
	char reason[MBJ_ERROR_MESSAGE_MAX]; /* why, where it was */
	struct mbj_lsn snapshot;    /* that it was made from, 0: the journal */
	uint64_t snapshots_damaged; /* that were tried and passed over */
	char snapshot_fault[MBJ_ERROR_MESSAGE_MAX]; /* of the first of them */
};
MBJ_API const struct mbj_store_recovery *
mbj_store_recovery_get(const struct mbj_store *store);

/*
 * Where the content of messages is kept; the folder is made when it is first
 * asked for.  What is stored there before an edit is submitted is on disk
 * before the edit's group is: one round of syncs for a batch.
 * Ownership: the store's, until it is closed.  Threads: any.
 */
MBJ_API enum mbj_rc mbj_store_blobs(struct mbj_store *store,
				    struct mbj_blobs **ret_blobs,
				    struct mbj_error *err) MBJ_MUST_CHECK;
/* That of any store, to read from, without owning it. */
MBJ_API enum mbj_rc mbj_store_blobs_read(const struct mbj_sys *sys,
					 const char *dir,
					 struct mbj_blobs **ret_blobs,
					 struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The same, for who takes contents from there.  What a log of contents has
 * (mbj_blobs_log) is stored anew first where nobody owns the store, as by
 * opening it: after a power cut it may be nowhere else.  Where that fails
 * contents may be missing, and *ret_left, if it is not NULL, says why; its rc
 * is MBJ_OK else.
 */
MBJ_API enum mbj_rc mbj_store_blobs_take(const struct mbj_sys *sys,
					 const char *dir,
					 struct mbj_blobs **ret_blobs,
					 struct mbj_error *ret_left,
					 struct mbj_error *err) MBJ_MUST_CHECK;

/* The superblock of any store, without owning it. */
MBJ_API enum mbj_rc mbj_identity_load(const struct mbj_sys *sys,
				      const char *dir,
				      struct mbj_identity *ret_identity,
				      struct mbj_error *err) MBJ_MUST_CHECK;
/* The level that its contents are packed with, 0: they are not. */
MBJ_API enum mbj_rc
mbj_store_contents_load(const struct mbj_sys *sys, const char *dir,
			unsigned *ret_level,
			struct mbj_error *err) MBJ_MUST_CHECK;
/* True where some process owns it; *ret_pid is 0 where it is unknown. */
MBJ_API enum mbj_rc mbj_store_is_owned(const struct mbj_sys *sys,
				       const char *dir, bool *ret_is_owned,
				       long *ret_pid,
				       struct mbj_error *err) MBJ_MUST_CHECK;
/* A reader of any store's journal: needs neither its state nor its lock. */
MBJ_API enum mbj_rc mbj_store_log_reader(const struct mbj_sys *sys,
					 const char *dir,
					 struct mbj_log_reader **ret_reader,
					 struct mbj_error *err) MBJ_MUST_CHECK;
/* That of a store in the caller's hands, which has a lineage. */
enum mbj_rc mbj_store_log_reader_own(struct mbj_store *store,
				     struct mbj_log_reader **ret_reader,
				     struct mbj_error *err) MBJ_MUST_CHECK;

/* X(name, number, word, what it is): with what a store's house is kept. */
#define MBJ_HOUSE_MAP(X)                                            \
	X(NONE, 0, "none", "nothing is under way")                  \
	X(SNAPSHOT, 1, "snapshot", "the state into a checked file") \
	X(TRIM, 2, "trim", "segments that nobody needs go")         \
	X(COLLECT, 3, "collection", "contents that no message has go")

enum mbj_house_work {
#define X(name, number, word, what) MBJ_HOUSE_##name = (number),
	MBJ_HOUSE_MAP(X)
#undef X
		MBJ_HOUSE_LAST = MBJ_HOUSE_COLLECT
};

MBJ_API const char *mbj_house_word(enum mbj_house_work work);

struct mbj_house_status {
	enum mbj_house_work work;
	uint64_t ms; /* since it began, 0: nothing is under way */
};

/* Thread-safe. */
struct mbj_house_status mbj_store_house_get(struct mbj_store *store);

/* Bytes that are left for the store, UINT64_MAX: not to be told. */
struct mbj_store_space {
	uint64_t left;
	uint64_t min;	  /* that edits leave */
	uint64_t reserve; /* that are kept for a full disk */
};

MBJ_API struct mbj_store_space
mbj_store_space_get(const struct mbj_store *store);

/*
 * Carry out one edit.  Blocks until its group is durable; many threads share
 * one sync.  Thread-safe.
 * Requires: a primary.
 * Returns: MBJ_EINVALID with a refusal (the store as it was), MBJ_ENOTFOUND
 * (no such account), MBJ_EEXISTS (account exists), MBJ_ECONFLICT (ifInState),
 * MBJ_ELIMIT, MBJ_ENOSPC (nothing done), MBJ_EIO (outcome unknown: err says
 * so; reopen and look, or ask again with the same request id), MBJ_EBEHIND
 * (durable as group err->lsn, but the state cannot follow and the store is
 * closed: not to be repeated; carried out when it is opened again), MBJ_EFENCED
 * (a replica).  Of a request that was carried out before: its outcome then,
 * MBJ_ECONFLICT (its id is another edit's) or MBJ_EEXISTS (nothing is known of
 * it but its group); see mbj/request.h.
 * Durability: on MBJ_OK and MBJ_EBEHIND the group survives power loss.
 */
MBJ_API enum mbj_rc mbj_store_submit(struct mbj_store *store,
				     const struct mbj_edit *edit,
				     struct mbj_outcome *ret_outcome,
				     struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * A snapshot of the state; end it with mbj_txn_abort.  Thread-safe, and in no
 * edit's way.  What is read of it fails with MBJ_ENOMEM once 64 MiB of the
 * records that it saw were written beside it: begin again.
 */
MBJ_API enum mbj_rc mbj_store_read(struct mbj_store *store,
				   struct mbj_txn **ret_txn,
				   struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------- the batch, for replay/ */

/*
 * Received groups: begin, then for each group add its bytes and apply it to
 * the transaction as replay/ decides, then commit.  The store's watermark
 * follows the last group added.
 */
struct mbj_batch;

enum mbj_rc mbj_batch_begin(struct mbj_store *store,
			    struct mbj_batch **ret_batch,
			    struct mbj_error *err) MBJ_MUST_CHECK;
struct mbj_txn *mbj_batch_txn(struct mbj_batch *batch);
/*
 * Stage a group for the journal.  Requires: it continues the journal, its
 * header, body and chain were verified.  Returns: MBJ_ENOSPC where it has no
 * room, with what the transaction has changed; one that only makes room may
 * go as low as such an edit of a primary, and take the reserve.  On a failure
 * the batch is as it was, but for the transaction.
 */
enum mbj_rc mbj_batch_add(struct mbj_batch *batch,
			  const struct mbj_group *group,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The same for a group that is in the journal already (catching up with the
 * store's own tail): only the watermark moves.
 */
enum mbj_rc mbj_batch_note(struct mbj_batch *batch,
			   const struct mbj_group *group,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * What was done in the transaction is to be committed although no group came:
 * groups that had been set aside took effect.  The watermark stays.
 * Durability: as mbj_txn_commit.
 */
void mbj_batch_touch(struct mbj_batch *batch);
/* MBJ_ENOSPC below space_min with so many bytes more, as mbj_batch_add. */
enum mbj_rc mbj_batch_space_check(const struct mbj_batch *batch, uint64_t more,
				  struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Journal write and sync, then the state's commit.  *batch is gone whatever
 * is returned.  Durability: on MBJ_OK groups, effects and watermark stand.
 */
enum mbj_rc mbj_batch_commit(struct mbj_batch **batch,
			     struct mbj_error *err) MBJ_MUST_CHECK;
void mbj_batch_abort(struct mbj_batch **batch);

/*
 * Snapshots of a source that are no good and are remembered, newest first: so
 * many are fetched for nothing in that time, from the first of them on.
 */
enum { MBJ_REFUSED_MAX = 8 };
#define MBJ_REFUSED_MS INT64_C(86400000)

/* What a replica remembers of its source's snapshots. */
struct mbj_mend_memory {
	struct mbj_lsn tried;	  /* the newest one that was tried, */
	struct mbj_lsn tried_end; /* when the state was there */
	struct mbj_lsn refused[MBJ_REFUSED_MAX];
	uint32_t refused_count;
	int64_t refused_ms;	/* when the first was, monotonic */
	struct mbj_lsn suspect; /* no good once, from two connections */
	uint32_t gap;		/* occasions between two that got nowhere */
	uint32_t left;		/* that still pass */
};

/*
 * When accounts that are set aside are tried again without being asked, and
 * from which one on.  As long as the store is open, over all its connections.
 * All zero at first.
 */
struct mbj_retry_pace {
	uint32_t gap;	   /* occasions between two tries */
	uint32_t left;	   /* that still pass */
	uint64_t read_max; /* groups of the journal on one, 0: as usual */
	struct mbj_id next;
	struct mbj_mend_memory mend;
};

struct mbj_retry_pace *mbj_store_retry_pace(struct mbj_store *store);

/*
 * A replica takes its primary's lineage, epoch and anchor, once: superblock
 * first, then an empty state keyed to the lineage.  Requires: nothing was
 * journaled.  A crash in between leaves a replica of that lineage, empty.
 */
enum mbj_rc mbj_store_adopt(struct mbj_store *store,
			    const struct mbj_identity *primary,
			    struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * A store that is being restored is to be a primary, and has something to write
 * before it is one: the epoch is its own from now on.  It is a replica still,
 * that nobody else opens, and what it receives may be of that epoch.
 * Returns: MBJ_EFENCED (it has no lineage), MBJ_ELIMIT.
 * Durability: on disk on return.
 */
enum mbj_rc mbj_store_reign_begin(struct mbj_store *store,
				  struct mbj_error *err) MBJ_MUST_CHECK;
bool mbj_store_reign_is_begun(const struct mbj_store *store);
/*
 * What it receives from now on is in a segment of its own, so that what is
 * before can be void.  Nothing, where the last segment is empty.
 * Returns: MBJ_ENOSPC; after MBJ_EIO it is to be opened again.
 * Durability: on disk on return.
 */
enum mbj_rc mbj_store_segment_begin(struct mbj_store *store,
				    struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * A store that was being restored has all that it should: whoever finds it
 * from now on may open it.  As a primary it begins a new epoch, so that one of
 * the same lineage that is alive after all, or another one that is restored,
 * is told from it.
 *
 * behind, where its reign was begun (else NULL): its journal begins behind that
 * group, which it has, so that no state is made from what lies before.
 * Requires: no account is set aside then, and there is a snapshot of the state
 * as it is.
 * Returns: MBJ_EFENCED for a primary that has no lineage, or has nothing behind
 * that group; MBJ_ELIMIT; what
 * judging that snapshot returns.
 * Durability: on return it is what was asked for; after a crash before, it is
 * still being restored.
 */
enum mbj_rc mbj_store_restored(struct mbj_store *store,
			       enum mbj_store_role role,
			       const struct mbj_log_end *behind,
			       struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * A replica's state while it is being opened, between mbj_store_open and the
 * end of its journal's tail, which replay/ applies.
 */

/* See mbj_state_is_suspect. */
bool mbj_store_state_is_suspect(const struct mbj_store *store);
/* See mbj_state_was_sealed. */
bool mbj_store_state_was_sealed(const struct mbj_store *store);
/*
 * It does not take its own journal's tail, for this reason: set it aside, and
 * begin an empty one that has the whole journal before it.  Once in an
 * opening: recovery says that it was, and why.
 * Requires: a replica, no snapshot and no batch; not made anew before.
 */
enum mbj_rc mbj_store_state_renew(struct mbj_store *store,
				  const struct mbj_error *why,
				  struct mbj_error *err) MBJ_MUST_CHECK;
/* It has all of the journal: what was set aside for it goes. */
enum mbj_rc mbj_store_state_settled(struct mbj_store *store,
				    struct mbj_error *err) MBJ_MUST_CHECK;

/* How far the state is behind the journal: the watermark it holds. */
enum mbj_rc mbj_store_applied(struct mbj_store *store,
			      struct mbj_watermark *ret_watermark,
			      struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
