/*
 * Applying a group with a note of it (mbj/applying.h), and what is said of one
 * that has ended the program.  Private to replay/.
 */
#ifndef MBJ_REPLAY_STOPPER_H
#define MBJ_REPLAY_STOPPER_H

#include <mbj/apply.h>
#include <mbj/applying.h>

#include "reason.h"

/*
 * mbj_apply_group; one that is a stopper is not applied unless somebody asks
 * for it, which the report says as a conflict of no primitive (STOPPER_INDEX).
 * usual: groups that one note is for, which ends with mbj_applying_end; a note
 * for one is over when this returns.  How the transaction ends is for
 * mbj_applying_settle.
 */
enum mbj_rc stopper_apply(struct mbj_store *store, struct mbj_txn *txn,
			  const struct mbj_group *group, uint32_t usual,
			  bool is_asked, struct mbj_apply_report *ret_report,
			  struct mbj_error *err) MBJ_MUST_CHECK;

#endif
