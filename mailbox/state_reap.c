/*
 * What deleted mailboxes left behind goes bit by bit; see mbj/message.h.
 * Local: nothing here is in a digest.
 */
#include <mbj/check.h>

#include "state_priv.h"

struct reaping {
	struct mbj_txn *txn;
	struct mbj_lsn lsn;
	size_t left; /* records that may still go */
};

/*
 * Remove records below txn->key.  *ret_is_done: none is left there.  The
 * cursor sees the engine's table, removals stay in the cache until it closes.
 */
static enum mbj_rc records_reap(struct reaping *reaping, enum db_table table,
				bool *ret_is_done, struct mbj_error *err)
{
	struct mbj_txn *txn = reaping->txn;
	struct mbj_scan scan = {0};
	struct mbj_bytes key, rest, value;
	struct mbj_message message;
	enum mbj_rc rc;

	rc = scan_begin(txn, table, txn->key.n, &scan, err);
	while (rc == MBJ_OK && reaping->left > 0) {
		rc = scan_next(&scan, &key, &rest, &value, err);
		if (rc < 0)
			break;
		reaping->left--;
		if (table == TABLE_MESSAGES) {
			/* Behind a series, or behind that of an account. */
			if (rest.n > 4)
				rest = mbj_bytes_make(rest.p + rest.n - 4, 4);
			if (record_message_decode(key_uid(rest), value,
						  &message))
				rc = blob_leave(txn, &message.blob,
						reaping->lsn, err);
			else
				rc = record_damaged(table, key, err);
		}
		if (rc < 0)
			break;
		mbj_buf_clear(&txn->key);
		mbj_buf_put_bytes(&txn->key, key);
		rc = txn_del(txn, table, err);
	}
	mbj_scan_done(&scan);
	*ret_is_done = rc == MBJ_ENOTFOUND;
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc orphan_first(struct mbj_txn *txn, struct orphan *ret_orphan,
				struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_bytes key = {NULL, 0}, rest, value;
	enum mbj_rc rc;

	mbj_buf_clear(&txn->key);
	rc = scan_begin(txn, TABLE_ORPHANS, 0, &scan, err);
	if (rc == MBJ_OK)
		rc = scan_next(&scan, &key, &rest, &value, err);
	if (rc == MBJ_OK && !record_orphan_decode(key, value, ret_orphan))
		rc = record_damaged(TABLE_ORPHANS, key, err);
	mbj_scan_done(&scan);
	return rc;
}

static enum mbj_rc orphan_reap(struct reaping *reaping,
			       const struct orphan *orphan,
			       struct mbj_error *err)
{
	struct mbj_txn *txn = reaping->txn;
	bool is_done = false;
	enum mbj_rc rc;

	key_series(&txn->key, orphan->account, orphan->series);
	rc = records_reap(reaping, TABLE_MESSAGES, &is_done, err);
	if (rc < 0 || !is_done)
		return rc;
	key_pair(&txn->key, orphan->account, orphan->mailbox.b,
		 sizeof(orphan->mailbox.b));
	rc = records_reap(reaping, TABLE_VANISHED, &is_done, err);
	if (rc < 0 || !is_done)
		return rc;
	key_orphan(&txn->key, orphan);
	return txn_del(txn, TABLE_ORPHANS, err);
}

enum mbj_rc messages_wipe(struct mbj_txn *txn, struct mbj_id account,
			  struct mbj_lsn lsn, struct mbj_error *err)
{
	struct reaping reaping = {txn, lsn, SIZE_MAX};
	bool is_done;

	key_account(&txn->key, account);
	return records_reap(&reaping, TABLE_MESSAGES, &is_done, err);
}

enum mbj_rc mbj_txn_reap(struct mbj_txn *txn, size_t records_max,
			 struct mbj_lsn lsn, bool *ret_is_done,
			 struct mbj_error *err)
{
	struct reaping reaping = {txn, lsn, records_max};
	struct orphan orphan;
	enum mbj_rc rc;

	*ret_is_done = !txn->state->has_orphans || txn->state->cannot_reap;
	while (!*ret_is_done && reaping.left > 0) {
		rc = orphan_first(txn, &orphan, err);
		if (rc == MBJ_ENOTFOUND) {
			*ret_is_done = true;
			/* What goes in this transaction may come back. */
			if (reaping.left == records_max)
				txn->state->has_orphans = false;
			return MBJ_OK;
		}
		/* Each costs something, however little it left. */
		if (rc == MBJ_OK) {
			reaping.left--;
			rc = orphan_reap(&reaping, &orphan, err);
		}
		/* Damage is fsck's to find; it is not met again and again. */
		if (rc == MBJ_ECORRUPT)
			txn->state->cannot_reap = true;
		if (rc < 0)
			return rc;
	}
	return MBJ_OK;
}
