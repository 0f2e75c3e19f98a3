/*
 * Applying one group to an open transaction of the state: the one piece of
 * code that primary and replica share.  Every primitive yields a verdict; a
 * group applies whole or not at all.
 *
 * Guards (docs/PLANNING.md), account by account:
 *   1. the account's LSN is at or above the group's: already;
 *   2. it is below the back-link: gap; above it: conflict; equal: go on;
 *   3. mailboxes by revision: above the record's: already; below: gap; equal:
 *      the slot must be `from`, the target free, no cycle: apply.  A
 *      tombstone's revision counts like a live mailbox's;
 *   4. an account that was deleted has superseded every group: already.
 *
 * Of an account of which groups were given up, digests differ by what these
 * were to bring; what is compared is that they differ by nothing else.
 *
 * Threads: as the transaction.
 */
#ifndef MBJ_APPLY_H
#define MBJ_APPLY_H

#include <mbj/error.h>
#include <mbj/group.h>
#include <mbj/state.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, word) */
#define MBJ_VERDICT_MAP(X)      \
	X(APPLY, "apply")       \
	X(ALREADY, "already")   \
	X(GAP, "gap")           \
	X(CONFLICT, "conflict") \
	X(CORRUPT, "corrupt")

enum mbj_verdict {
#define X(name, word) MBJ_VERDICT_##name,
	MBJ_VERDICT_MAP(X)
#undef X
};

MBJ_API const char *mbj_verdict_name(enum mbj_verdict verdict);

struct mbj_apply_report {
	enum mbj_verdict verdict; /* of the whole group */
	uint32_t op_index;	  /* the primitive that decided, or op_count */
	uint32_t applied;	  /* primitives that changed something */
	uint32_t already;
	struct mbj_error why; /* for GAP, CONFLICT, CORRUPT */
};

/*
 * Apply group to txn.  ALREADY: no account of it has anything left to do;
 * APPLY: some had.  With any other verdict the transaction is rolled back to
 * where it was.  The watermark is not touched, the accounts' LSNs are.  Each
 * account's digest is compared with the group's: a difference is CONFLICT.  A
 * primitive that this version does not know is CONFLICT with why.rc
 * MBJ_EUNSUPPORTED: parked, it applies after an upgrade.
 * Returns: MBJ_OK whatever the verdict; errors are the world's, and the
 * transaction is then rolled back too.
 */
enum mbj_rc mbj_apply_group(struct mbj_txn *txn, const struct mbj_group *group,
			    struct mbj_apply_report *ret_report,
			    struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Give the group up for one of its accounts: it has no effect there, and the
 * account's next group follows it.  The account is known to differ from then on
 * (struct mbj_skipped), unless it is what the group was to make of it.
 * Requires: the group names the account, and its effect there is still to come.
 */
enum mbj_rc mbj_apply_skip(struct mbj_txn *txn, const struct mbj_group *group,
			   struct mbj_id account,
			   struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * One primitive, for the primary that is still building its group: the same
 * code without the group's back-link and digest checks.  The account's LSN is
 * neither looked at nor set: mbj_txn_account_set_lsn when the group is built.
 * Returns: MBJ_OK whatever the verdict; for GAP and CONFLICT *err says why,
 * although the call succeeded.
 */
enum mbj_rc mbj_apply_op(struct mbj_txn *txn, struct mbj_id account,
			 struct mbj_lsn lsn, const struct mbj_op *op,
			 enum mbj_verdict *ret_verdict,
			 struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
