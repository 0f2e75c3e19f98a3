/*
 * Collecting content that no message has; see mbj/collect.h.
 *
 * Files decide, not the state's records: so what a producer stored and never
 * appended is found as well.  Records whose count is 0 go last; one that stays
 * behind after a crash is without consequence.
 *
 * What may go is found beside edits, in reading transactions that are short
 * (store_house.c).  It goes in turns, a slice each, in which it is looked at
 * again.  So between the look and the removal no message gets it: edits are
 * carried out before the turn, and are seen, or after it, and then look for
 * their content again, since something was removed (store_content.c).  A
 * replica's batch has a turn, and fetches what it needs within.
 *
 * Invariants:
 *   1. no content goes that a message has, in the state as it is in that turn;
 *   2. who stored or found content a moment ago finds it still.
 *
 * Threads: one at a time (store_house_begin), beside others.
 */
#include <mbj/blob.h>
#include <mbj/collect.h>
#include <mbj/message.h>

#include "store_impl.h"

enum {
	REAP_MAX = 250,	 /* records of a turn */
	SLICE_MAX = 64,	 /* contents of a turn */
	LOOK_MAX = 4096, /* records of a reading transaction */
};

struct candidate {
	struct mbj_hash blob;
	uint64_t size;
};

struct collecting {
	struct mbj_store *store;
	struct mbj_blobs *blobs;
	struct mbj_collect_result *result;
	bool is_dry_run;
	struct mbj_txn *txn; /* short ones, one after the other */
	unsigned looked;     /* at so many in it */
	struct candidate slice[SLICE_MAX];
	size_t count;
	struct skip_contents given_up; /* stay */
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

/* One piece of it, in a turn. */
static enum mbj_rc reap_run(struct mbj_store *store, bool *ret_is_done,
			    struct mbj_error *err)
{
	struct mbj_lsn lsn = mbj_store_end(store).lsn;
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc = store_check(store, err);

	if (rc == MBJ_OK)
		rc = mbj_txn_begin(store->state, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_reap(txn, REAP_MAX, lsn, ret_is_done, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_commit(&txn, err);
	mbj_txn_abort(&txn);
	return rc;
}

enum mbj_rc mbj_store_reap(struct mbj_store *store, struct mbj_error *err)
{
	bool is_done = false;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && !is_done) {
		rc = store_house_check(store, err);
		if (rc == MBJ_OK)
			rc = store_turn_take(store, err);
		if (rc < 0)
			break;
		rc = reap_run(store, &is_done, err);
		store_turn_give(store);
	}
	return rc;
}

/* ----------------------------------------------------------------- files */

/* In a turn, or where nothing is removed: it is what it seemed to be. */
static enum mbj_rc candidate_collect(struct collecting *c,
				     const struct candidate *candidate,
				     struct mbj_txn *txn, bool *ret_is_gone,
				     struct mbj_error *err)
{
	uint64_t count = 0, size;
	bool is_recent = false;
	enum mbj_rc rc;

	*ret_is_gone = false;
	rc = mbj_txn_blob_count(txn, &candidate->blob, &count, &size, err);
	if (rc < 0)
		return rc;
	if (count > 0) {
		c->result->kept++;
		return MBJ_OK;
	}
	rc = mbj_blob_collect(c->blobs, &candidate->blob, c->is_dry_run,
			      &is_recent, err);
	if (rc < 0)
		return rc;
	if (is_recent) {
		c->result->recent++;
		return MBJ_OK;
	}
	c->result->removed++;
	c->result->size += candidate->size;
	*ret_is_gone = !c->is_dry_run;
	return MBJ_OK;
}

static enum mbj_rc slice_run(struct collecting *c, struct mbj_error *err)
{
	struct mbj_txn *txn = NULL;
	bool is_any_gone = false;
	enum mbj_rc rc;

	rc = mbj_store_read(c->store, &txn, err);
	/* One may have come since the beginning. */
	if (rc == MBJ_OK)
		rc = store_parked_refuse(c->store, txn, "collected", err);
	for (size_t i = 0; rc == MBJ_OK && i < c->count; i++) {
		bool is_gone;

		rc = candidate_collect(c, &c->slice[i], txn, &is_gone, err);
		is_any_gone = is_any_gone || is_gone;
	}
	mbj_txn_abort(&txn);
	/* Whoever found content before this looks for it again. */
	if (is_any_gone)
		store_removal_note(c->store);
	return rc;
}

static enum mbj_rc slice_collect(struct collecting *c, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	if (c->count == 0)
		return MBJ_OK;
	/* Who leads may wait for readers to end: see store_turn_take. */
	mbj_txn_abort(&c->txn);
	c->looked = 0;
	if (!c->is_dry_run)
		rc = store_turn_take(c->store, err);
	if (rc < 0)
		return rc;
	rc = slice_run(c, err);
	if (!c->is_dry_run)
		store_turn_give(c->store);
	c->count = 0;
	return rc;
}

/* It goes, or so it seems: the turn judges. */
static enum mbj_rc file_look(struct collecting *c, const struct mbj_hash *blob,
			     struct mbj_error *err)
{
	struct candidate *candidate = &c->slice[c->count];
	uint64_t count = 0, size;
	enum mbj_rc rc = store_house_check(c->store, err);

	if (rc == MBJ_OK && c->txn == NULL)
		rc = mbj_store_read(c->store, &c->txn, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_blob_count(c->txn, blob, &count, &size, err);
	if (rc < 0)
		return rc;
	/* Short: one that is open for long is refused. */
	if (++c->looked == LOOK_MAX) {
		mbj_txn_abort(&c->txn);
		c->looked = 0;
	}
	if (count > 0 || skip_contents_have(&c->given_up, blob)) {
		c->result->kept++;
		return MBJ_OK;
	}
	candidate->blob = *blob;
	rc = mbj_blob_stored_size(c->blobs, blob, &candidate->size, err);
	if (rc == MBJ_OK && ++c->count == SLICE_MAX)
		rc = slice_collect(c, err);
	return rc;
}

static enum mbj_rc files_collect(struct collecting *c, struct mbj_error *err)
{
	struct mbj_blobs_scan *scan = NULL;
	struct mbj_hash blob;
	bool is_there = true;
	enum mbj_rc rc;

	rc = mbj_blobs_scan_begin(c->blobs, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_blobs_scan_next(scan, &blob, &is_there, err);
		if (rc < 0 || !is_there)
			break;
		rc = file_look(c, &blob, err);
	}
	mbj_blobs_scan_end(&scan);
	mbj_txn_abort(&c->txn);
	return rc == MBJ_OK ? slice_collect(c, err) : rc;
}

/* --------------------------------------------------------------- records */

/* Records from *next on that nobody has, a slice; *next is behind them. */
static enum mbj_rc records_look(struct collecting *c, struct mbj_hash *next,
				bool *ret_is_end, struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_txn *txn = NULL;
	uint64_t count = 0, size;
	enum mbj_rc rc;

	rc = mbj_store_read(c->store, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_blobs_from(txn, false, next, &scan, err);
	c->count = 0;
	for (int i = 0; rc == MBJ_OK && i < LOOK_MAX && c->count < SLICE_MAX;
	     i++) {
		rc = mbj_scan_next_blob(&scan, next, &count, &size, err);
		if (rc == MBJ_OK && count == 0)
			c->slice[c->count++].blob = *next;
	}
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
	/* Behind the last one that was looked at. */
	*ret_is_end = rc == MBJ_ENOTFOUND || !mbj_blob_step(next);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* In a turn: those of the slice that nobody has now either. */
static enum mbj_rc records_forget(struct collecting *c, struct mbj_error *err)
{
	struct mbj_txn *txn = NULL;
	uint64_t count = 0, size;
	enum mbj_rc rc = store_check(c->store, err);

	if (rc == MBJ_OK)
		rc = mbj_txn_begin(c->store->state, &txn, err);
	for (size_t i = 0; rc == MBJ_OK && i < c->count; i++) {
		rc = mbj_txn_blob_count(txn, &c->slice[i].blob, &count, &size,
					err);
		if (rc == MBJ_OK && count == 0)
			rc = mbj_txn_blob_forget(txn, &c->slice[i].blob, err);
	}
	if (rc == MBJ_OK)
		rc = mbj_txn_commit(&txn, err);
	mbj_txn_abort(&txn);
	return rc;
}

static enum mbj_rc records_collect(struct collecting *c, struct mbj_error *err)
{
	struct mbj_hash next = {{0}};
	bool is_end = false;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && !is_end) {
		rc = store_house_check(c->store, err);
		if (rc < 0)
			break;
		rc = records_look(c, &next, &is_end, err);
		if (rc < 0 || c->count == 0)
			continue;
		rc = store_turn_take(c->store, err);
		if (rc < 0)
			break;
		rc = records_forget(c, err);
		store_turn_give(c->store);
	}
	return rc;
}

/* ------------------------------------------------------------------- all */

/* Alone, a dry run makes not even the folder. */
static enum mbj_rc collect_run(struct collecting *c, struct mbj_error *err)
{
	struct mbj_store *store = c->store;
	bool is_own = !c->is_dry_run || store_is_shared(store);
	enum mbj_rc rc = MBJ_OK;

	if (!c->is_dry_run) {
		store_reserve_use(store);
		rc = mbj_store_reap(store, err);
	}
	if (rc == MBJ_OK)
		rc = is_own ? mbj_store_blobs(store, &c->blobs, err)
			    : mbj_store_blobs_read(store->sys, store->dir,
						   &c->blobs, err);
	/* What only waits for its name is not found without it. */
	if (rc == MBJ_OK && is_own)
		rc = mbj_blobs_sync(c->blobs, err);
	if (rc == MBJ_OK)
		rc = skip_contents_load(store, &c->given_up, err);
	if (rc == MBJ_OK)
		rc = files_collect(c, err);
	skip_contents_done(&c->given_up);
	if (rc == MBJ_OK && !c->is_dry_run)
		rc = records_collect(c, err);
	if (rc == MBJ_OK && !c->is_dry_run && c->result->removed > 0)
		store_blobs_rest(store);
	if (!is_own)
		mbj_blobs_close(&c->blobs);
	else if (rc == MBJ_OK && !c->is_dry_run)
		rc = store_house_reserve(store, err);
	return rc;
}

enum mbj_rc mbj_store_collect(struct mbj_store *store, bool is_dry_run,
			      struct mbj_collect_result *ret_result,
			      struct mbj_error *err)
{
	struct collecting *c;
	enum mbj_rc rc;

	*ret_result = (struct mbj_collect_result){0};
	rc = store_house_begin(store, MBJ_HOUSE_COLLECT, err);
	if (rc < 0)
		return rc;
	c = mbj_calloc(1, sizeof(*c));
	if (c == NULL)
		rc = mbj_error_nomem(err);
	/* A replica without a lineage has nothing. */
	if (rc == MBJ_OK &&
	    !mbj_id_is_root(mbj_store_identity_copy(store).lineage)) {
		c->store = store;
		c->result = ret_result;
		c->is_dry_run = is_dry_run;
		rc = parked_refuse(store, err);
		if (rc == MBJ_OK)
			rc = store_backup_refuse(store, "collected", err);
		if (rc == MBJ_OK)
			rc = collect_run(c, err);
	}
	mbj_free(c);
	store_house_end(store);
	return rc;
}
