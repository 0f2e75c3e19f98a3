/*
 * See stopper.h.
 *
 * Threads: who feeds the replica.
 */
#include "stopper.h"

#include <mbj/version.h>

static enum mbj_rc stopper_report(struct mbj_apply_report *ret_report)
{
	*ret_report = (struct mbj_apply_report){
		.verdict = MBJ_VERDICT_CONFLICT,
		.op_index = STOPPER_INDEX,
	};
	(void)mbj_error_set(&ret_report->why, MBJ_ECONFLICT,
			    "the program, version %s, ended twice while it was "
			    "applied: it is tried again by a later version, or "
			    "by \"mbj quarantine\" with \"retry\"",
			    MBJ_VERSION);
	return MBJ_OK;
}

enum mbj_rc stopper_apply(struct mbj_store *store, struct mbj_txn *txn,
			  const struct mbj_group *group, uint32_t usual,
			  bool is_asked, struct mbj_apply_report *ret_report,
			  struct mbj_error *err)
{
	struct mbj_lsn lsn = group->header.lsn;
	bool is_alone = mbj_applying_span(store, lsn, usual) == 1;
	enum mbj_rc rc;

	if (!is_asked && mbj_applying_is_stopper(store, lsn))
		return stopper_report(ret_report);
	mbj_applying_begin(store, lsn, usual);
	rc = mbj_apply_group(txn, group, ret_report, err);
	if (is_alone)
		mbj_applying_end(store);
	if (rc == MBJ_OK && ret_report->verdict <= MBJ_VERDICT_ALREADY)
		mbj_applying_well(store, lsn);
	return rc;
}
