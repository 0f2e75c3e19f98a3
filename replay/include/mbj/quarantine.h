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

#include <mbj/store.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mbj_retry_options {
	size_t size;		   /* sizeof(struct mbj_retry_options) */
	struct mbj_id account;	   /* ROOT: all that are aside */
	uint32_t batch_groups_max; /* groups carried out in one transaction */
	size_t batch_size_max;	   /* and their bytes */
	uint64_t read_max;	   /* groups of the journal looked at, 0: all */
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
 * replica without a lineage), MBJ_ECORRUPT (the journal is, on the way; what
 * came before stays done).  That a group still fails is not an error: its
 * account is aside, from this group on, with the reason of now.
 * Durability: atomic for each transaction; one that a power cut undoes leaves
 * its accounts aside as before.
 */
MBJ_API enum mbj_rc
mbj_quarantine_retry(struct mbj_store *replica,
		     const struct mbj_retry_options *options,
		     struct mbj_retry_result *ret_result,
		     struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
