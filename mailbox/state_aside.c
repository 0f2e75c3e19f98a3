/*
 * What a replica's state says of accounts beside what they are: groups that
 * wait for them, and groups that were given up.
 *
 * Both are in one record, so that whatever makes an account anew, or removes
 * it, ends both, and so that a snapshot has both.
 *
 * Threads: the caller's transaction's.
 */
#include <string.h>

#include <mbj/check.h>

#include "state_priv.h"

/* All false where there is none. */
static enum mbj_rc aside_get(struct mbj_txn *txn, struct mbj_id account,
			     struct record_aside *ret_aside,
			     struct mbj_error *err)
{
	struct mbj_bytes value;
	enum mbj_rc rc;

	*ret_aside = (struct record_aside){.is_parked = false};
	key_account(&txn->key, account);
	rc = txn_get(txn, TABLE_PARKED, &value, err);
	if (rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	if (rc < 0)
		return rc;
	if (!record_aside_decode(account, value, ret_aside))
		return record_damaged(TABLE_PARKED, mbj_buf_view(&txn->key),
				      err);
	return MBJ_OK;
}

static enum mbj_rc aside_put(struct mbj_txn *txn, struct mbj_id account,
			     const struct record_aside *aside,
			     struct mbj_error *err)
{
	key_account(&txn->key, account);
	if (!aside->is_parked && !aside->is_skipped)
		return txn_del(txn, TABLE_PARKED, err);
	if (aside->is_skipped)
		atomic_store(&txn->state->has_skipped, true);
	record_aside_encode(&txn->value, aside);
	return txn_put(txn, TABLE_PARKED, err);
}

/* ------------------------------------------------------- what waits */

enum mbj_rc mbj_txn_parked_get(struct mbj_txn *txn, struct mbj_id account,
			       struct mbj_parked *ret_parked,
			       struct mbj_error *err)
{
	struct record_aside aside;
	enum mbj_rc rc = aside_get(txn, account, &aside, err);

	if (rc < 0)
		return rc;
	if (!aside.is_parked)
		return mbj_error_set(err, MBJ_ENOTFOUND,
				     "the account is not parked");
	*ret_parked = aside.parked;
	return MBJ_OK;
}

enum mbj_rc mbj_txn_parked_set(struct mbj_txn *txn,
			       const struct mbj_parked *parked,
			       struct mbj_error *err)
{
	struct record_aside aside;
	enum mbj_rc rc = aside_get(txn, parked->account, &aside, err);

	if (rc < 0)
		return rc;
	aside.is_parked = true;
	aside.parked = *parked;
	return aside_put(txn, parked->account, &aside, err);
}

enum mbj_rc mbj_txn_parked_clear(struct mbj_txn *txn, struct mbj_id account,
				 struct mbj_error *err)
{
	struct record_aside aside;
	enum mbj_rc rc = aside_get(txn, account, &aside, err);

	aside.is_parked = false;
	return rc == MBJ_OK ? aside_put(txn, account, &aside, err) : rc;
}

/* ------------------------------------------------- what was given up */

enum mbj_rc mbj_txn_skipped_seek(struct mbj_txn *txn, struct mbj_id account,
				 struct mbj_skipped *ret_skipped,
				 bool *ret_is_found, struct mbj_error *err)
{
	struct record_aside aside;
	enum mbj_rc rc;

	*ret_is_found = false;
	if (!atomic_load(&txn->state->has_skipped))
		return MBJ_OK;
	rc = aside_get(txn, account, &aside, err);
	if (rc < 0 || !aside.is_skipped)
		return rc;
	*ret_is_found = true;
	*ret_skipped = aside.skipped;
	return MBJ_OK;
}

enum mbj_rc mbj_txn_skipped_set(struct mbj_txn *txn,
				const struct mbj_skipped *skipped,
				struct mbj_error *err)
{
	struct record_aside aside;
	enum mbj_rc rc = aside_get(txn, skipped->account, &aside, err);

	if (rc < 0)
		return rc;
	aside.is_skipped = true;
	aside.skipped = *skipped;
	return aside_put(txn, skipped->account, &aside, err);
}

enum mbj_rc mbj_txn_skipped_clear(struct mbj_txn *txn, struct mbj_id account,
				  struct mbj_error *err)
{
	struct record_aside aside;
	enum mbj_rc rc = aside_get(txn, account, &aside, err);

	aside.is_skipped = false;
	return rc == MBJ_OK ? aside_put(txn, account, &aside, err) : rc;
}

/* ------------------------------------------------------------- scans */

static enum mbj_rc aside_next(struct mbj_scan *scan,
			      struct record_aside *ret_aside,
			      struct mbj_error *err)
{
	struct mbj_bytes key;
	struct mbj_bytes value;
	struct mbj_id id;
	enum mbj_rc rc = scan_next_id(scan, &key, &id, &value, err);

	if (rc < 0)
		return rc;
	if (!record_aside_decode(id, value, ret_aside))
		return record_damaged(TABLE_PARKED, key, err);
	return MBJ_OK;
}

enum mbj_rc mbj_scan_parked(struct mbj_txn *txn, struct mbj_scan *ret_scan,
			    struct mbj_error *err)
{
	mbj_buf_clear(&txn->key);
	return scan_begin(txn, TABLE_PARKED, txn->key.n, ret_scan, err);
}

enum mbj_rc mbj_scan_next_parked(struct mbj_scan *scan,
				 struct mbj_parked *ret_parked,
				 struct mbj_error *err)
{
	struct record_aside aside = {.is_parked = false};
	enum mbj_rc rc;

	do
		rc = aside_next(scan, &aside, err);
	while (rc == MBJ_OK && !aside.is_parked);
	if (rc == MBJ_OK)
		*ret_parked = aside.parked;
	return rc;
}

enum mbj_rc mbj_scan_next_skipped(struct mbj_scan *scan,
				  struct mbj_skipped *ret_skipped,
				  struct mbj_error *err)
{
	struct record_aside aside = {.is_parked = false};
	enum mbj_rc rc;

	do
		rc = aside_next(scan, &aside, err);
	while (rc == MBJ_OK && !aside.is_skipped);
	if (rc == MBJ_OK)
		*ret_skipped = aside.skipped;
	return rc;
}

enum mbj_rc mbj_txn_skipped_count(struct mbj_txn *txn, uint64_t *ret_count,
				  struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_skipped skipped;
	enum mbj_rc rc;

	*ret_count = 0;
	rc = mbj_scan_parked(txn, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_skipped(&scan, &skipped, err);
		*ret_count += rc == MBJ_OK;
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* Asked for each group that is applied: it is to cost nothing where none is. */
enum mbj_rc state_skipped_look(struct mbj_state *state, struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_skipped skipped;
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	rc = mbj_txn_begin_read(state, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_parked(txn, &scan, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_next_skipped(&scan, &skipped, err);
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
	atomic_store(&state->has_skipped, rc == MBJ_OK);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}
