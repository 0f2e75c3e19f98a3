/*
 * Collecting content that no message has; see mbj/collect.h.
 *
 * Files decide, not the state's records: so what a producer stored and never
 * appended is found as well.  Records whose count is 0 go last; one that stays
 * behind after a crash is without consequence.
 *
 * Threads: the caller's, alone with the store.
 */
#include <mbj/blob.h>
#include <mbj/collect.h>
#include <mbj/message.h>

#include "store_impl.h"

/* Records of one transaction. */
enum { PIECE_MAX = 1000 };

struct collecting {
	struct mbj_store *store;
	struct mbj_blobs *blobs;
	struct mbj_collect_result *result;
	bool is_dry_run;
};

enum mbj_rc store_parked_refuse(const struct mbj_store *store,
				struct mbj_txn *txn, const char *what,
				struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_parked parked;
	enum mbj_rc rc;

	rc = mbj_scan_parked(txn, &scan, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_next_parked(&scan, &parked, err);
	mbj_scan_done(&scan);
	if (rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	if (rc < 0)
		return rc;
	return mbj_error_set(err, MBJ_EFENCED,
			     "%s has accounts parked: nothing is %s until "
			     "their groups are applied",
			     store->dir, what);
}

/* Groups that are kept for later know of contents that the state does not. */
static enum mbj_rc parked_refuse(struct mbj_store *store, struct mbj_error *err)
{
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	rc = mbj_store_read(store, &txn, err);
	if (rc == MBJ_OK)
		rc = store_parked_refuse(store, txn, "collected", err);
	mbj_txn_abort(&txn);
	return rc;
}

enum mbj_rc mbj_store_reap(struct mbj_store *store, struct mbj_error *err)
{
	struct mbj_lsn lsn = mbj_store_end(store).lsn;
	bool is_done = false;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && !is_done) {
		struct mbj_txn *txn = NULL;

		rc = mbj_txn_begin(store->state, &txn, err);
		if (rc == MBJ_OK)
			rc = mbj_txn_reap(txn, PIECE_MAX, lsn, &is_done, err);
		if (rc == MBJ_OK)
			rc = mbj_txn_commit(&txn, err);
		mbj_txn_abort(&txn);
	}
	return rc;
}

static enum mbj_rc file_collect(struct collecting *c,
				const struct mbj_hash *blob,
				struct mbj_error *err)
{
	struct mbj_blob_reader *reader = NULL;
	uint64_t size;
	enum mbj_rc rc;

	rc = mbj_blob_reader_open(c->blobs, blob, &reader, &size, err);
	mbj_blob_reader_close(&reader);
	if (rc == MBJ_OK && !c->is_dry_run)
		rc = mbj_blob_remove(c->blobs, blob, err);
	if (rc < 0)
		return rc;
	c->result->removed++;
	c->result->size += size;
	return MBJ_OK;
}

static enum mbj_rc files_collect(struct collecting *c, struct mbj_error *err)
{
	struct mbj_blobs_scan *scan = NULL;
	struct mbj_txn *txn = NULL;
	struct mbj_hash blob;
	uint64_t count, size;
	bool is_there = true;
	enum mbj_rc rc;

	rc = mbj_store_read(c->store, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_blobs_scan_begin(c->blobs, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_blobs_scan_next(scan, &blob, &is_there, err);
		if (rc < 0 || !is_there)
			break;
		rc = mbj_txn_blob_count(txn, &blob, &count, &size, err);
		if (rc == MBJ_OK && count == 0)
			rc = file_collect(c, &blob, err);
		else
			c->result->kept += rc == MBJ_OK;
	}
	mbj_blobs_scan_end(&scan);
	mbj_txn_abort(&txn);
	return rc;
}

/* At most so many records of contents that nobody has. */
static enum mbj_rc records_forget(struct mbj_txn *txn, size_t *ret_count,
				  struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_hash blob;
	uint64_t count, size;
	enum mbj_rc rc;

	*ret_count = 0;
	rc = mbj_scan_blobs(txn, false, &scan, err);
	while (rc == MBJ_OK && *ret_count < PIECE_MAX) {
		rc = mbj_scan_next_blob(&scan, &blob, &count, &size, err);
		if (rc < 0 || count > 0)
			continue;
		/* Into the cache: no table is touched under the scan. */
		rc = mbj_txn_blob_forget(txn, &blob, err);
		++*ret_count;
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc records_collect(struct mbj_store *store,
				   struct mbj_error *err)
{
	size_t count = PIECE_MAX;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && count == PIECE_MAX) {
		struct mbj_txn *txn = NULL;

		rc = mbj_txn_begin(store->state, &txn, err);
		if (rc == MBJ_OK)
			rc = records_forget(txn, &count, err);
		if (rc == MBJ_OK)
			rc = mbj_txn_commit(&txn, err);
		mbj_txn_abort(&txn);
	}
	return rc;
}

enum mbj_rc mbj_store_collect(struct mbj_store *store, bool is_dry_run,
			      struct mbj_collect_result *ret_result,
			      struct mbj_error *err)
{
	struct collecting c = {.store = store,
			       .result = ret_result,
			       .is_dry_run = is_dry_run};
	enum mbj_rc rc;

	*ret_result = (struct mbj_collect_result){0};
	rc = store_check(store, err);
	/* A replica without a lineage has nothing. */
	if (rc < 0 || store->state == NULL)
		return rc;
	rc = parked_refuse(store, err);
	if (rc == MBJ_OK)
		rc = store_backup_refuse(store, "collected", err);
	if (rc == MBJ_OK && !is_dry_run) {
		store_reserve_use(store);
		rc = mbj_store_reap(store, err);
	}
	if (rc == MBJ_OK)
		rc = is_dry_run ? mbj_store_blobs_read(store->sys, store->dir,
						       &c.blobs, err)
				: mbj_store_blobs(store, &c.blobs, err);
	if (rc == MBJ_OK)
		rc = files_collect(&c, err);
	if (rc == MBJ_OK && !is_dry_run)
		rc = records_collect(store, err);
	if (is_dry_run)
		mbj_blobs_close(&c.blobs);
	else if (rc == MBJ_OK)
		store_reserve_make(store);
	return rc;
}
