/*
 * Failing commits; see commit_fault.h.
 */
#include "commit_fault.h"

#include <mbj/state.h>

enum mbj_rc __real_mbj_txn_commit(struct mbj_txn **txn, struct mbj_error *err);
enum mbj_rc __wrap_mbj_txn_commit(struct mbj_txn **txn, struct mbj_error *err);

static _Atomic bool is_commit_failing;

void commit_fault_set(bool is_failing)
{
	is_commit_failing = is_failing;
}

enum mbj_rc __wrap_mbj_txn_commit(struct mbj_txn **txn, struct mbj_error *err)
{
	if (!is_commit_failing)
		return __real_mbj_txn_commit(txn, err);
	mbj_txn_abort(txn);
	return mbj_error_set(err, MBJ_EIO, "a commit fails");
}
