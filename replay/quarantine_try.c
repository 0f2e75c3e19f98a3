/*
 * Trying accounts that are aside without being asked: a first look at each,
 * and a pass over the journal only for those that it helps.
 *
 * What it may cost others is bounded: accounts that are looked at, groups that
 * are read for each, groups of a pass; and between tries that were in vain the
 * pace doubles.
 */
#include <mbj/apply.h>
#include <mbj/check.h>

#include "quarantine_run.h"

enum {
	LOOKS_MAX = 64,		/* accounts looked at in one try */
	LOOK_READ_MAX = 256,	/* groups read until one names the account */
	PASS_READ_MAX = 100000, /* groups of the journal in one pass */
	ROUNDS_MAX = 4,		/* looks and passes in one try */
	GAP_MAX = 64,		/* occasions that pass between two tries */
};

bool retry_pace_is_due(struct retry_pace *pace)
{
	if (pace->left == 0)
		return true;
	pace->left--;
	return false;
}

void retry_pace_note(struct retry_pace *pace, bool has_helped)
{
	pace->tries++;
	if (has_helped || pace->gap == 0)
		pace->gap = 1;
	else if (pace->gap < GAP_MAX)
		pace->gap *= 2;
	pace->left = pace->gap - 1;
}

/* One look, all of them in one transaction that is given up. */
struct look {
	struct mbj_txn *txn;
	struct mbj_log_reader *reader;
};

/*
 * The first group that waits for it; MBJ_ENOTFOUND: not among so many,
 * MBJ_EEXISTS: none does, which is for those who ask to end.
 */
static enum mbj_rc first_find(const struct look *look, const struct waiting *w,
			      struct mbj_group *ret_group,
			      struct mbj_error *err)
{
	enum mbj_rc rc = mbj_log_reader_seek(look->reader, w->first, err);

	for (uint64_t i = 0; rc == MBJ_OK && i < LOOK_READ_MAX; i++) {
		if (w->first.v + i > w->last.v)
			return MBJ_EEXISTS;
		rc = mbj_log_reader_next(look->reader, ret_group, err);
		if (rc == MBJ_OK && mbj_group_names(ret_group, w->account))
			return MBJ_OK;
	}
	return rc == MBJ_OK ? MBJ_ENOTFOUND : rc;
}

/*
 * Would it take its first group?  Also where that was not found: a pass reads
 * on from there.
 */
static enum mbj_rc account_look(const struct look *look,
				const struct waiting *w, bool *ret_would,
				struct mbj_error *err)
{
	size_t savepoint = mbj_txn_savepoint(look->txn);
	struct mbj_apply_report report;
	struct mbj_group group;
	enum mbj_rc rc;

	rc = first_find(look, w, &group, err);
	*ret_would = rc == MBJ_ENOTFOUND;
	/* Damage in what waits is no reason to keep the others. */
	if (rc == MBJ_ENOTFOUND || rc == MBJ_EEXISTS || rc == MBJ_ECORRUPT)
		return MBJ_OK;
	if (rc == MBJ_OK)
		rc = mbj_apply_group(look->txn, &group, &report, err);
	mbj_txn_rollback(look->txn, savepoint);
	if (rc == MBJ_OK)
		*ret_would = report.verdict <= MBJ_VERDICT_ALREADY;
	return rc;
}

static enum mbj_rc accounts_look(const struct look *look,
				 struct waiting_list *list, uint64_t from,
				 bool *ret_is_any, struct mbj_error *err)
{
	size_t count = list->count < LOOKS_MAX ? list->count : LOOKS_MAX;
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < count; i++) {
		struct waiting *w =
			&list->items[(size_t)((from + i) % list->count)];

		rc = account_look(look, w, &w->is_active, err);
		*ret_is_any = *ret_is_any || w->is_active;
	}
	return rc;
}

static enum mbj_rc list_look(struct mbj_store *store, struct waiting_list *list,
			     uint64_t tries, bool *ret_is_any,
			     struct mbj_error *err)
{
	struct mbj_batch *batch = NULL;
	struct mbj_watermark applied;
	struct look look = {NULL, NULL};
	enum mbj_rc rc;

	rc = mbj_store_applied(store, &applied, err);
	if (rc == MBJ_OK)
		rc = mbj_store_log_reader_own(store, &look.reader, err);
	if (rc == MBJ_OK)
		rc = mbj_batch_begin(store, &batch, err);
	if (rc == MBJ_OK) {
		look.txn = mbj_batch_txn(batch);
		/* Where the journal goes on, others have their turn. */
		rc = accounts_look(&look, list,
				   applied.lsn.v + tries * LOOKS_MAX,
				   ret_is_any, err);
	}
	mbj_batch_abort(&batch);
	mbj_log_reader_close(&look.reader);
	return rc;
}

/* Look, and carry out what waits for those that it helps. */
static enum mbj_rc round_try(struct mbj_store *store, uint64_t tries,
			     struct mbj_retry_result *ret_result,
			     struct mbj_error *err)
{
	struct mbj_retry_options options = MBJ_RETRY_OPTIONS_INIT;
	struct waiting_list list = {NULL, 0};
	bool is_any = false;
	enum mbj_rc rc;

	*ret_result = (struct mbj_retry_result){.groups = 0};
	options.read_max = PASS_READ_MAX;
	rc = waiting_load(store, &list, err);
	ret_result->accounts_parked = list.count;
	if (rc == MBJ_OK && list.count > 0)
		rc = list_look(store, &list, tries, &is_any, err);
	if (rc == MBJ_OK && is_any)
		rc = waiting_run(store, &list, &options, ret_result, err);
	waiting_done(&list);
	/* Damage on the way: they stay aside, all others go on. */
	return rc == MBJ_ECORRUPT ? MBJ_OK : rc;
}

enum mbj_rc retry_by_itself(struct mbj_store *store, struct retry_pace *pace,
			    struct mbj_retry_result *ret_result,
			    struct mbj_error *err)
{
	struct mbj_retry_result round = {.groups = 1};
	enum mbj_rc rc = MBJ_OK;

	*ret_result = (struct mbj_retry_result){.groups = 0};
	if (!retry_pace_is_due(pace))
		return MBJ_OK;
	/* Who goes on may have been what another one waited for. */
	for (unsigned i = 0; rc == MBJ_OK && i < ROUNDS_MAX && round.groups > 0;
	     i++) {
		rc = round_try(store, pace->tries, &round, err);
		ret_result->groups += round.groups;
		ret_result->accounts_healed += round.accounts_healed;
		ret_result->accounts_parked = round.accounts_parked;
	}
	if (rc == MBJ_OK)
		retry_pace_note(pace, ret_result->groups > 0);
	return rc;
}
