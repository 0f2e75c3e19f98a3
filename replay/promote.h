/*
 * A store that is being restored becomes a primary, whoever is set aside in it.
 * Private to replay/.
 */
#ifndef MBJ_REPLAY_PROMOTE_H
#define MBJ_REPLAY_PROMOTE_H

#include <mbj/store.h>

/* Contents that messages have, and nobody; ascending. */
struct promote_lost {
	const struct mbj_hash *list;
	size_t count;
};

/*
 * The chain value at the last group of before, until.
 * Returns: MBJ_EFENCED where an earlier attempt ended at another group.
 */
enum mbj_rc promote_behind(struct mbj_store *store, struct mbj_lsn until,
			   struct mbj_log_end *ret_behind,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The store is a primary.  *ret_accounts: that were set aside, or of which
 * groups were given up, and that are what they are from now on; the groups that
 * waited for them are given up.  Of their messages those go whose contents are
 * lost.
 * Requires: it is being restored, and ends at that group or, where its reign
 * was begun by an earlier attempt, with what that wrote behind it.
 * Durability: on disk on return; after a crash before, it is still being
 * restored, and the same again goes on with it.
 */
enum mbj_rc promote_run(struct mbj_store *store,
			const struct mbj_log_end *behind,
			const struct promote_lost *lost, uint64_t *ret_accounts,
			struct mbj_error *err) MBJ_MUST_CHECK;

#endif
