/*
 * Quarantine: accounts that are set aside on a replica, and how they come back.
 *
 * A group that an account's state does not take sets the account aside: this
 * group and all later ones of the account wait in the journal, in their order,
 * while all other accounts go on.  What waits of whom is the state's to know
 * (struct mbj_parked); the groups are read from the replica's own journal.
 *
 * Retrying carries out what waits, in the journal's order.  Whether a group's
 * turn has come is said by its back-links, so that no account's order can be
 * lost, and a group of several accounts takes effect for all of them at once.
 * An account stops at the first group that still fails; the others go on.
 *
 * Every replay does it by itself where a first look says that it helps: what
 * sets an account aside may have been another one (a name that is still taken),
 * or a version of this library that did not know better.
 *
 * Threads: one at a time per store.
 */
#ifndef MBJ_QUARANTINE_H
#define MBJ_QUARANTINE_H

#include <mbj/replay.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mbj_retry_options {
	size_t size;		   /* sizeof(struct mbj_retry_options) */
	struct mbj_id account;	   /* ROOT: all that are aside */
	uint32_t batch_groups_max; /* groups carried out in one transaction */
	size_t batch_size_max;	   /* and their bytes */
	/* Groups of the journal that are read, 4 KiB of one are one more. 0:
	 * all. */
	uint64_t read_max;
};

#define MBJ_RETRY_OPTIONS_INIT                                        \
	((struct mbj_retry_options){sizeof(struct mbj_retry_options), \
				    MBJ_ID_ROOT, 1000, 4u << 20, 0})

struct mbj_retry_result {
	uint64_t groups;	  /* carried out */
	uint64_t accounts_healed; /* nothing of them waits any more */
	uint64_t accounts_parked; /* that are still aside, all of the store's */
};

/*
 * Carry out what waits for one account, or for all, as far as it goes.  What a
 * group that took effect names besides goes on with it.
 * Returns: MBJ_ENOTFOUND (that account is not aside), MBJ_EFENCED (a primary, a
 * replica without a lineage), MBJ_ENOSPC (a group has no room above space_min:
 * its accounts stop, for that reason, and what others wait for was carried out
 * where it fits), MBJ_ECORRUPT (the journal is, on the way: those who may
 * wait for what is there stop, all others went on).  That a group still fails,
 * or is not in the journal any more, is not an error: its account is aside,
 * from this group on, with the reason of now.
 * Durability: atomic for each transaction; one that a power cut undoes leaves
 * its accounts aside as before.
 */
MBJ_API enum mbj_rc
mbj_quarantine_retry(struct mbj_store *replica,
		     const struct mbj_retry_options *options,
		     struct mbj_retry_result *ret_result,
		     struct mbj_error *err) MBJ_MUST_CHECK;

/* What came of giving a group up. */
struct mbj_skip_result {
	/* It is known to differ: not where the group's effect was there. */
	bool is_different;
	/*
	 * The group changed messages, or cannot be read: none of the later
	 * changes of messages in these mailboxes fits, until the account is
	 * made again.
	 */
	bool is_of_messages;
	/* What waited behind the group and was carried out, and who waits. */
	struct mbj_retry_result retry;
};

/*
 * The first group that waits for an account.
 * Returns: MBJ_ENOTFOUND (it is not aside), MBJ_EFENCED (the journal does not
 * have the group), MBJ_ECORRUPT (the group cannot be read; one whose body alone
 * is damaged can be given up).
 */
MBJ_API enum mbj_rc mbj_quarantine_first(struct mbj_store *replica,
					 struct mbj_id account,
					 struct mbj_lsn *ret_lsn,
					 struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The last resort: give up the first group that waits for an account, which lsn
 * must name, so that nothing goes that nobody looked at.  It has no effect on
 * the account, which is known to differ from its source from then on, until it
 * is made again, or is what its journal says all the same; other accounts of
 * the group wait as before.  Then what waits behind it is carried out as far as
 * it goes: a group that conflicts because of this one is set aside as usual.
 * is_dry_run: say whether it could be done.
 * Returns: what mbj_quarantine_first returns; MBJ_EFENCED (another group waits
 * first; the group would take effect now; a primary, a replica without a
 * lineage), MBJ_ELIMIT (MBJ_SKIPS_MAX).
 * Durability: on disk on return, also for a state that is made anew.
 */
MBJ_API enum mbj_rc mbj_quarantine_skip(struct mbj_store *replica,
					struct mbj_id account,
					struct mbj_lsn lsn, bool is_dry_run,
					struct mbj_skip_result *ret_result,
					struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Records of an account that is made again in one transaction: its messages,
 * expunged ones that are remembered, mailboxes, and what else it has.
 */
enum { MBJ_RESYNC_RECORDS_MAX = 250000 };

struct mbj_resync_result {
	struct mbj_lsn snapshot; /* that the account was made from */
	uint64_t groups;	 /* behind it, carried out */
	bool is_aside;		 /* one of them fails: its account waits */
	struct mbj_replay_result replay; /* contents that are missing, too */
};

/*
 * Make one account of the replica again, aside or not, from a snapshot in the
 * directory of source, which may be in use, and from the replica's own journal
 * behind that. The replica is brought to where source is first; the contents of
 * the account's messages are fetched last. The snapshot is copied into the
 * replica's own directory, so that a state that is made anew has the account as
 * it is now. What the replica had of it, and source had not, is gone.
 * Returns: what mbj_replay_journal returns; MBJ_EFENCED (source has no snapshot
 * of a group that the replica's journal has, and none of its own is newer
 * than; or nothing can be said of what was before its journal begins),
 * MBJ_ECORRUPT (none is good: damaged, of another history, or it has any
 * account otherwise than this journal recorded, or not at all; they are named),
 * MBJ_ENOTFOUND (nobody knows the account), MBJ_ELIMIT (more than
 * MBJ_RESYNC_RECORDS_MAX records, here, there, or with the messages that wait:
 * the snapshot is there, a state that is made
 * anew begins with it), MBJ_ECONFLICT (another account has its name here: a
 * newer snapshot helps). Durability: as mbj_quarantine_retry; stopped anywhere
 * the account is what it was, or waits in order from some group on, and the
 * call can be made again.
 */
MBJ_API enum mbj_rc mbj_quarantine_resync(struct mbj_store *replica,
					  struct mbj_id account,
					  const char *source,
					  struct mbj_resync_result *ret_result,
					  struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
