/*
 * What a backup's source has made again; see backup_stale.h.
 */
#include "backup_stale.h"

#include <mbj/check.h>
#include <mbj/skips.h>

#include "resync_run.h"

/* Its groups that failed here, or wait for one that did. */
struct stale_account {
	struct mbj_id id;
	struct mbj_lsn first;
	struct mbj_lsn least; /* a snapshot of before it cannot help */
};

/* Accounts that are aside, or differ, here; the source gives up none of them.
 */
struct stale {
	struct mbj_skips given_up; /* by the source */
	struct stale_account *list;
	size_t count;
	size_t capacity;
};

static enum mbj_rc stale_add(struct stale *stale,
			     const struct stale_account *account,
			     struct mbj_error *err)
{
	void *list = stale->list;
	enum mbj_rc rc = MBJ_OK;

	if (stale->count == MBJ_SKIPS_MAX ||
	    mbj_skips_name(&stale->given_up, account->id))
		return MBJ_OK;
	rc = mbj_array_reserve(&list, &stale->capacity, stale->count + 1,
			       sizeof(*stale->list), MBJ_SKIPS_MAX, err);
	stale->list = list;
	if (rc == MBJ_OK)
		stale->list[stale->count++] = *account;
	return rc;
}

static enum mbj_rc skipped_find(struct stale *stale, struct mbj_txn *txn,
				struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_skipped skipped;
	enum mbj_rc rc = mbj_scan_parked(txn, &scan, err);

	while (rc == MBJ_OK) {
		rc = mbj_scan_next_skipped(&scan, &skipped, err);
		if (rc == MBJ_OK)
			rc = stale_add(stale,
				       &(struct stale_account){skipped.account,
							       skipped.first,
							       skipped.last},
				       err);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* One of which groups were given up as well is among the others. */
static enum mbj_rc parked_add(struct stale *stale, struct mbj_txn *txn,
			      const struct mbj_parked *parked,
			      struct mbj_error *err)
{
	struct mbj_skipped skipped;
	bool is_skipped = false;
	enum mbj_rc rc = mbj_txn_skipped_seek(txn, parked->account, &skipped,
					      &is_skipped, err);

	if (rc < 0 || is_skipped)
		return rc;
	return stale_add(stale,
			 &(struct stale_account){parked->account, parked->first,
						 parked->first},
			 err);
}

static enum mbj_rc parked_find(struct stale *stale, struct mbj_txn *txn,
			       struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_parked parked;
	enum mbj_rc rc = mbj_scan_parked(txn, &scan, err);

	while (rc == MBJ_OK) {
		rc = mbj_scan_next_parked(&scan, &parked, err);
		if (rc == MBJ_OK)
			rc = parked_add(stale, txn, &parked, err);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc stale_find(struct stale *stale, struct mbj_store *store,
			      struct mbj_error *err)
{
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc = mbj_store_read(store, &txn, err);

	if (rc == MBJ_OK)
		rc = skipped_find(stale, txn, err);
	if (rc == MBJ_OK)
		rc = parked_find(stale, txn, err);
	mbj_txn_abort(&txn);
	return rc;
}

/* No snapshot of the source helps: it stays what it is, which is counted. */
static bool stale_stays(enum mbj_rc rc)
{
	return rc == MBJ_EFENCED || rc == MBJ_ECORRUPT || rc == MBJ_ELIMIT ||
	       rc == MBJ_ECONFLICT || rc == MBJ_ENOTFOUND;
}

/*
 * As a primary nobody is set aside: its journal is to begin behind the group
 * that failed, for which the record of what was given up stands
 * (promote_targets.c).
 */
static enum mbj_rc skip_find(struct mbj_store *store,
			     const struct stale_account *account,
			     struct mbj_skip *ret_skip, struct mbj_error *err)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_group group;
	enum mbj_rc rc = mbj_store_log_reader_own(store, &reader, err);

	if (rc == MBJ_OK)
		rc = mbj_log_reader_seek(reader, account->first, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_next(reader, &group, err);
	if (rc == MBJ_OK)
		*ret_skip = (struct mbj_skip){.account = account->id,
					      .lsn = account->first,
					      .epoch = group.header.epoch,
					      .is_done = true};
	mbj_log_reader_close(&reader);
	return rc;
}

static enum mbj_rc stale_make(struct backup_copy *copy,
			      const struct stale_account *account,
			      struct mbj_replay_result *replayed,
			      struct mbj_error *err)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_resync_result result;
	struct mbj_skip skip;
	struct resync resync = {.store = copy->store,
				.account = account->id,
				.source = copy->source,
				.least = account->least};
	struct mbj_error why = {.rc = MBJ_OK};
	enum mbj_rc rc = MBJ_OK;

	options.until = copy->until;
	options.is_duplicating = true;
	if (copy->is_last) {
		rc = skip_find(copy->store, account, &skip, &why);
		resync.kept_skip = &skip;
	}
	if (rc == MBJ_OK)
		rc = resync_from(&resync, &options, &result, &why);
	if (rc == MBJ_OK)
		*replayed = result.replay;
	else if (stale_stays(rc))
		rc = MBJ_OK;
	else if (err != NULL)
		*err = why;
	return rc;
}

enum mbj_rc backup_stale_mend(struct backup_copy *copy,
			      struct mbj_replay_result *replayed,
			      struct mbj_error *err)
{
	struct stale stale = {.count = 0};
	enum mbj_rc rc = MBJ_OK;

	/* Where that cannot be read, nobody knows what it has made again. */
	if (mbj_skips_load(mbj_store_sys(copy->store), copy->source,
			   &stale.given_up, NULL) == MBJ_OK)
		rc = stale_find(&stale, copy->store, err);
	for (size_t i = 0; rc == MBJ_OK && i < stale.count; i++)
		rc = stale_make(copy, &stale.list[i], replayed, err);
	mbj_skips_done(&stale.given_up);
	mbj_free(stale.list);
	return rc;
}
