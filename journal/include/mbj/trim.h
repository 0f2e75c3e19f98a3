/*
 * Keeping house: snapshots of a store, and a journal that does not grow for
 * ever.
 *
 *	STORE/snapshots/<LSN>.snap   the state at a group (mbj/snapshot.h)
 *
 * The journal stays the truth: a state is made anew from the newest good
 * snapshot and the groups behind it.  Without a snapshot that needs the journal
 * from its first group on, so trimming makes sure of one first.
 *
 * Both may be done while others submit and read: mbj_client_snapshot and
 * mbj_client_trim of mbj/client.h do so through the service.  One of them, or a
 * collection, at a time: MBJ_EBUSY.
 *
 * Not here: who follows (mbj/replicas.h); a replica that is not in the register
 * and comes too late is told so (mbj/replay.h).
 */
#ifndef MBJ_TRIM_H
#define MBJ_TRIM_H

#include <mbj/snapshot.h>
#include <mbj/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Good snapshots that stay; older ones go. */
enum { MBJ_SNAPSHOTS_KEPT = 2 };

struct mbj_snapshot_result {
	struct mbj_snapshot_info info;
	bool is_new;	  /* else there was a good one at that group */
	uint64_t removed; /* older ones that went */
	uint64_t damaged; /* that were met; they stay */
	char fault[MBJ_ERROR_MESSAGE_MAX]; /* of the first of these */
};

/*
 * A snapshot of the state as it is, while others read and submit.
 * Returns: MBJ_EFENCED (nothing was received yet; a backup that was not
 * finished; accounts are parked), MBJ_EBUSY, MBJ_ENOSPC, MBJ_ECORRUPT (the
 * state is). Durability: as mbj_snapshot_write.
 */
MBJ_API enum mbj_rc mbj_store_snapshot(struct mbj_store *store,
				       struct mbj_snapshot_result *ret_result,
				       struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * One of the store's own: whole, and of this lineage and this journal.
 * Returns: MBJ_ECORRUPT, MBJ_EUNSUPPORTED, MBJ_ENOTFOUND: it is not to be had.
 */
enum mbj_rc mbj_store_snapshot_judge(struct mbj_store *store,
				     struct mbj_lsn lsn,
				     struct mbj_snapshot_info *ret_info,
				     struct mbj_error *err) MBJ_MUST_CHECK;
/* The same, but for being whole: that is the caller's to look at. */
enum mbj_rc mbj_store_snapshot_open(struct mbj_store *store, struct mbj_lsn lsn,
				    struct mbj_snapshot **ret_snapshot,
				    struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The LSNs of the snapshots in any store, newest first; there may be none, and
 * whether they are good is not looked at.  Ownership: the caller frees the
 * array with mbj_free.
 */
MBJ_API enum mbj_rc mbj_snapshots_list(const struct mbj_sys *sys,
				       const char *dir,
				       struct mbj_lsn **ret_lsns,
				       size_t *ret_count,
				       struct mbj_error *err) MBJ_MUST_CHECK;
/* Where one of them is. */
MBJ_API enum mbj_rc mbj_snapshot_path(char path[MBJ_PATH_TEXT_MAX],
				      const char *dir, struct mbj_lsn lsn,
				      struct mbj_error *err) MBJ_MUST_CHECK;

/* The directory of a store's snapshots.  Durability: its entry is on disk. */
enum mbj_rc mbj_store_snapshots_make(struct mbj_store *store,
				     char dir[MBJ_PATH_TEXT_MAX],
				     struct mbj_error *err) MBJ_MUST_CHECK;

/* X(name, number, word, what): why the journal is kept from some group on. */
#define MBJ_TRIM_REASON_MAP(X)                                             \
	X(NEWEST, 0, "newest", "the newest segment is written to")         \
	X(STATE, 1, "state", "the state is not further")                   \
	X(AGE, 2, "age", "they are not old enough")                        \
	X(SIZE, 3, "size", "so many bytes are to be kept")                 \
	X(REQUESTS, 4, "requests", "requests are recognised by their ids") \
	X(REPLICA, 5, "replica", "a replica has not received more yet")

enum mbj_trim_reason {
#define X(name, number, word, what) MBJ_TRIM_##name = (number),
	MBJ_TRIM_REASON_MAP(X)
#undef X
		MBJ_TRIM_LAST = MBJ_TRIM_REPLICA
};

MBJ_API const char *mbj_trim_reason_name(enum mbj_trim_reason reason);
MBJ_API const char *mbj_trim_reason_text(enum mbj_trim_reason reason);

struct mbj_trim_options {
	size_t size;	    /* of this structure */
	int64_t keep_us;    /* segments younger than that stay, 0: none */
	uint64_t keep_size; /* bytes of the newest segments that stay */
	/* Groups whose request ids stay known, to MBJ_REQUEST_WINDOW_MAX. */
	uint64_t keep_requests;
	bool is_dry_run;
};

/* A month, and a century, the most. */
#define MBJ_TRIM_KEEP_US     (30 * 86400 * INT64_C(1000000))
#define MBJ_TRIM_KEEP_US_MAX (INT64_C(36500) * 86400 * 1000000)

#define MBJ_TRIM_OPTIONS_INIT                                               \
	((struct mbj_trim_options){sizeof(struct mbj_trim_options),         \
				   MBJ_TRIM_KEEP_US, 0, MBJ_REQUEST_WINDOW, \
				   false})

struct mbj_trim_result {
	struct mbj_lsn before;	  /* first group of the journal, before */
	struct mbj_lsn first;	  /* and after */
	struct mbj_lsn end;	  /* last group */
	uint64_t segments;	  /* that went */
	uint64_t size;		  /* and their bytes */
	struct mbj_lsn snapshot;  /* that covers what went, 0: nothing went */
	enum mbj_trim_reason why; /* no more went */
};

/*
 * Remove the segments from the journal's beginning on that nobody needs: the
 * state has all their groups and was checkpointed, a good snapshot (made for it
 * where there is none) stands at their last group or behind it, and they
 * are older than the options say.  What an earlier one could not remove goes
 * first, and is counted.
 * Others submit meanwhile, and wait four times: for a checkpoint of the state,
 * through a service for a copy of it, for one write of the superblock, during
 * which nobody is registered (mbj/replicas.h), and for the reserve where it has
 * to be made again; who reads the journal from before its new beginning
 * is told that what comes next is gone.
 * Returns: MBJ_EFENCED (nothing was received yet; a backup that was not
 * finished; accounts are parked), MBJ_EBUSY, MBJ_EINVALID naming the option.
 * Durability: the superblock says where the journal begins before a segment
 * goes; what a crash leaves before that goes at the next opening or trim.
 */
MBJ_API enum mbj_rc mbj_store_trim(struct mbj_store *store,
				   const struct mbj_trim_options *options,
				   struct mbj_trim_result *ret_result,
				   struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * A replica that has nothing takes a primary's identity and the state of the
 * snapshot at lsn, which is in its own directory already; its journal begins
 * behind that group.  Every content of its messages is noted as wanted.
 * Returns: MBJ_ECORRUPT, MBJ_EFENCED.
 * Durability: a crash leaves a replica without a lineage, or one that is filled
 * from the snapshot when it is opened.
 */
enum mbj_rc mbj_store_adopt_snapshot(struct mbj_store *store,
				     const struct mbj_identity *primary,
				     const struct mbj_snapshot_info *snapshot,
				     struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * A replica of which the primary has trimmed what comes next begins anew behind
 * a newer snapshot, which is in its own directory already.  The store is as if
 * it had failed then: opened again it removes its old journal, is filled from
 * the snapshot, and all contents that it lacks are wanted.
 * Returns: MBJ_EFENCED.
 * Durability: the superblock is the moment; a crash leaves the replica as it
 * was, whole, or one that is filled when it is opened.
 */
enum mbj_rc mbj_store_begin_anew(struct mbj_store *store,
				 const struct mbj_identity *primary,
				 const struct mbj_snapshot_info *snapshot,
				 struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
