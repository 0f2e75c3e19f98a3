/*
 * One account from a snapshot that is here: shared by resync from a directory
 * (resync.c) and through a stream (stream_mend.c).  Private to replay/.
 */
#ifndef MBJ_REPLAY_RESYNC_RUN_H
#define MBJ_REPLAY_RESYNC_RUN_H

#include <mbj/quarantine.h>
#include <mbj/replay.h>
#include <mbj/skips.h>

#include "snapshot_copy.h"

struct resync {
	struct mbj_store *store;
	struct mbj_id account;
	const char *source;   /* for messages */
	bool is_asked;	      /* somebody wants it, who is told of failures */
	struct mbj_lsn least; /* of a group before it no snapshot helps */
	/* It stays known as given up here, though it is not; NULL: nothing. */
	const struct mbj_skip *kept_skip;
	struct mbj_lsn end; /* the state's watermark */
	struct snapshot_copy copy;
	bool is_kept;		   /* it has its name */
	bool is_there;		   /* the snapshot has the account */
	uint64_t records;	   /* of it, there or here, and waiting */
	struct mbj_parked waiting; /* what its journal has behind it */
};

/*
 * The first group that a snapshot may have: one's own journal goes on from
 * there, and a state that is made anew takes it before any other that is good.
 */
enum mbj_rc resync_least_find(const struct resync *resync,
			      struct mbj_lsn *ret_least,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* Take one's own of that group.  Returns: what snapshot_copy_is_fault knows. */
enum mbj_rc resync_own_try(struct resync *resync, struct mbj_lsn lsn,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* It is to be of that group.  Returns: MBJ_ECORRUPT. */
enum mbj_rc resync_group_check(const struct mbj_snapshot_info *info,
			       struct mbj_lsn lsn,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* The copy gets its name.  Requires: it was judged.  Durability: on return. */
enum mbj_rc resync_copy_keep(struct resync *resync,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Make resync->account again from the copy, which gets its name, and carry out
 * what waits behind it; again for another account.  Of *result, replay and
 * is_aside are left. Requires: the copy was judged, and end is the state's
 * watermark. Returns, durability: mbj_quarantine_resync.
 */
enum mbj_rc resync_account(struct resync *resync,
			   struct mbj_resync_result *result,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * From the source's directory, all of it.  Of the replay, options say how
 * contents come.  Requires: store, account, source, is_asked;
 * least and kept_skip as wanted.
 * Returns, durability: mbj_quarantine_resync.
 */
enum mbj_rc resync_from(struct resync *resync,
			const struct mbj_replay_options *options,
			struct mbj_resync_result *ret_result,
			struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc resync_aside_get(const struct resync *resync, bool *ret_is_aside,
			     struct mbj_error *err) MBJ_MUST_CHECK;

#endif
