/*
 * Scans of the state, in key order.  A writing transaction is flushed first,
 * so that the engine's cursor sees what the cache holds.
 */
#include <string.h>

#include <mbj/check.h>

#include "state_priv.h"

enum { SCAN_PREFIX_MAX = 1 << 20 };

enum mbj_rc scan_begin(struct mbj_txn *txn, enum db_table table,
		       size_t prefix_size, struct mbj_scan *ret_scan,
		       struct mbj_error *err)
{
	struct mbj_bytes start = mbj_buf_view(&txn->key);
	struct db_cursor *cursor = NULL;
	enum mbj_rc rc;

	rc = mbj_buf_ok(&txn->key, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_flush(txn, err);
	if (rc == MBJ_OK)
		rc = db_cursor_open(txn->txn, table, start, &cursor, err);
	if (rc < 0)
		return rc;
	memset(ret_scan, 0, sizeof(*ret_scan));
	ret_scan->txn = txn;
	ret_scan->cursor = cursor;
	ret_scan->table = (uint8_t)table;
	ret_scan->is_begun = true;
	mbj_buf_init(&ret_scan->prefix, SCAN_PREFIX_MAX);
	MBJ_ASSERT(prefix_size <= start.n);
	mbj_buf_put(&ret_scan->prefix, start.p, prefix_size);
	rc = mbj_buf_ok(&ret_scan->prefix, err);
	if (rc < 0)
		mbj_scan_done(ret_scan);
	return rc;
}

void mbj_scan_done(struct mbj_scan *scan)
{
	struct db_cursor *cursor = scan->cursor;

	if (!scan->is_begun)
		return;
	db_cursor_close(&cursor);
	mbj_buf_done(&scan->prefix);
	memset(scan, 0, sizeof(*scan));
}

enum mbj_rc scan_next(struct mbj_scan *scan, struct mbj_bytes *ret_key,
		      struct mbj_bytes *ret_rest, struct mbj_bytes *ret_value,
		      struct mbj_error *err)
{
	size_t n = scan->prefix.n;
	enum mbj_rc rc;

	MBJ_ASSERT(scan->is_begun);
	rc = db_cursor_next(scan->cursor, ret_key, ret_value, err);
	if (rc < 0)
		return rc;
	if (ret_key->n < n || (n && memcmp(ret_key->p, scan->prefix.p, n) != 0))
		return MBJ_ENOTFOUND;
	*ret_rest = mbj_bytes_make(ret_key->p + n, ret_key->n - n);
	return MBJ_OK;
}

enum mbj_rc scan_next_id(struct mbj_scan *scan, struct mbj_bytes *ret_key,
			 struct mbj_id *ret_id, struct mbj_bytes *ret_value,
			 struct mbj_error *err)
{
	struct mbj_bytes rest;
	enum mbj_rc rc = scan_next(scan, ret_key, &rest, ret_value, err);

	if (rc < 0)
		return rc;
	if (rest.n != sizeof(ret_id->b))
		return record_damaged((enum db_table)scan->table, *ret_key,
				      err);
	memcpy(ret_id->b, rest.p, sizeof(ret_id->b));
	return MBJ_OK;
}

enum mbj_rc mbj_scan_accounts(struct mbj_txn *txn, struct mbj_scan *ret_scan,
			      struct mbj_error *err)
{
	mbj_buf_clear(&txn->key);
	return scan_begin(txn, TABLE_ACCOUNTS, txn->key.n, ret_scan, err);
}

enum mbj_rc mbj_scan_mailboxes(struct mbj_txn *txn, struct mbj_id account,
			       struct mbj_scan *ret_scan, struct mbj_error *err)
{
	key_account(&txn->key, account);
	return scan_begin(txn, TABLE_MAILBOXES, txn->key.n, ret_scan, err);
}

enum mbj_rc mbj_scan_children(struct mbj_txn *txn, struct mbj_id account,
			      struct mbj_id parent, struct mbj_scan *ret_scan,
			      struct mbj_error *err)
{
	key_pair(&txn->key, account, parent.b, sizeof(parent.b));
	return scan_begin(txn, TABLE_SLOTS, txn->key.n, ret_scan, err);
}

enum mbj_rc mbj_scan_subscriptions(struct mbj_txn *txn, struct mbj_id account,
				   struct mbj_bytes path_key,
				   struct mbj_scan *ret_scan,
				   struct mbj_error *err)
{
	key_pair(&txn->key, account, path_key.p, path_key.n);
	return scan_begin(txn, TABLE_SUBSCRIPTIONS, txn->key.n, ret_scan, err);
}

enum mbj_rc mbj_scan_next_account(struct mbj_scan *scan,
				  struct mbj_account *ret_account,
				  struct mbj_error *err)
{
	struct mbj_bytes key;
	struct mbj_bytes value;
	struct mbj_id id;
	enum mbj_rc rc = scan_next_id(scan, &key, &id, &value, err);

	if (rc < 0)
		return rc;
	if (!record_account_decode(id, value, ret_account))
		return record_damaged(TABLE_ACCOUNTS, key, err);
	return MBJ_OK;
}

enum mbj_rc mbj_scan_next_mailbox(struct mbj_scan *scan,
				  struct mbj_mailbox *ret_mailbox,
				  struct mbj_error *err)
{
	struct mbj_bytes key;
	struct mbj_bytes value;
	struct mbj_id id;
	enum mbj_rc rc = scan_next_id(scan, &key, &id, &value, err);

	if (rc < 0)
		return rc;
	if (!record_mailbox_decode(id, value, ret_mailbox))
		return record_damaged(TABLE_MAILBOXES, key, err);
	return MBJ_OK;
}

enum mbj_rc mbj_scan_next_child(struct mbj_scan *scan, struct mbj_id *ret_id,
				struct mbj_error *err)
{
	struct mbj_bytes key;
	struct mbj_bytes rest;
	struct mbj_bytes value;
	enum mbj_rc rc = scan_next(scan, &key, &rest, &value, err);

	if (rc < 0)
		return rc;
	if (!record_id_decode(value, ret_id))
		return record_damaged(TABLE_SLOTS, key, err);
	return MBJ_OK;
}

/*
 * "a", then "a\0b", but not "ab", which sorts between nothing of these: a
 * name that merely begins alike is skipped.
 */
enum mbj_rc mbj_scan_next_subscription(struct mbj_scan *scan,
				       struct mbj_path *ret_path,
				       struct mbj_error *err)
{
	bool is_whole_account = scan->prefix.n == MBJ_ID_SIZE;
	struct mbj_bytes key;
	struct mbj_bytes rest;
	struct mbj_bytes value;
	enum mbj_rc rc;

	do {
		rc = scan_next(scan, &key, &rest, &value, err);
		if (rc < 0)
			return rc;
	} while (!is_whole_account && rest.n > 0 && rest.p[0] != '\0');
	if (value.n < 2 || value.p[0] != RECORD_VERSION)
		return record_damaged(TABLE_SUBSCRIPTIONS, key, err);
	ret_path->key =
		mbj_bytes_make(key.p + MBJ_ID_SIZE, key.n - MBJ_ID_SIZE);
	ret_path->stored = mbj_bytes_make(value.p + 1, value.n - 1);
	return MBJ_OK;
}
