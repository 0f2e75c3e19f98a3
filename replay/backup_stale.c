/*
 * What a backup's source has made again; see backup_stale.h.
 */
#include "backup_stale.h"

#include <mbj/check.h>
#include <mbj/skips.h>

#include "resync_run.h"

/* Accounts that differ here, while the source gives up nothing of them. */
struct stale {
	struct mbj_skips given_up; /* by the source */
	struct mbj_id *ids;
	size_t count;
	size_t capacity;
};

static enum mbj_rc stale_find(struct stale *stale, struct mbj_store *store,
			      struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_skipped skipped;
	struct mbj_txn *txn = NULL;
	void *ids = NULL;
	enum mbj_rc rc;

	rc = mbj_store_read(store, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_parked(txn, &scan, err);
	while (rc == MBJ_OK && stale->count < MBJ_SKIPS_MAX) {
		rc = mbj_scan_next_skipped(&scan, &skipped, err);
		if (rc < 0 || mbj_skips_name(&stale->given_up, skipped.account))
			continue;
		rc = mbj_array_reserve(&ids, &stale->capacity, stale->count + 1,
				       sizeof(*stale->ids), MBJ_SKIPS_MAX, err);
		stale->ids = ids;
		if (rc == MBJ_OK)
			stale->ids[stale->count++] = skipped.account;
	}
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* No snapshot of the source helps: it stays what it is, which is counted. */
static bool stale_stays(enum mbj_rc rc)
{
	return rc == MBJ_EFENCED || rc == MBJ_ECORRUPT || rc == MBJ_ELIMIT ||
	       rc == MBJ_ECONFLICT || rc == MBJ_ENOTFOUND;
}

enum mbj_rc backup_stale_mend(struct backup_copy *copy,
			      struct mbj_replay_result *replayed,
			      struct mbj_error *err)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct stale stale = {.count = 0};
	struct mbj_resync_result result;
	struct mbj_error why;
	enum mbj_rc rc = MBJ_OK;

	options.is_duplicating = true;
	/* Where that cannot be read, nobody knows what it has made again. */
	if (mbj_skips_load(mbj_store_sys(copy->store), copy->source,
			   &stale.given_up, NULL) == MBJ_OK)
		rc = stale_find(&stale, copy->store, err);
	for (size_t i = 0; rc == MBJ_OK && i < stale.count; i++) {
		struct resync resync = {.store = copy->store,
					.account = stale.ids[i],
					.source = copy->source};

		rc = resync_from(&resync, &options, &result, &why);
		if (rc == MBJ_OK)
			*replayed = result.replay;
		else if (stale_stays(rc))
			rc = MBJ_OK;
		else if (err != NULL)
			*err = why;
	}
	mbj_skips_done(&stale.given_up);
	mbj_free(stale.ids);
	return rc;
}
