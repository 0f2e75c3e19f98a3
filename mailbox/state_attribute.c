/*
 * Attributes of mailboxes and of accounts; see mbj/attribute.h.  Those of a
 * mailbox raise its revision when they are written (state_mailbox.c); those of
 * the account are under ROOT, which is no mailbox's id.
 */
#include <string.h>

#include <mbj/attribute.h>
#include <mbj/check.h>

#include "state_priv.h"

/* Account, mailbox and kind in front of a name. */
enum { ATTR_HEAD_SIZE = 2 * MBJ_ID_SIZE + 1 };

static bool value_decode(struct mbj_bytes record, struct mbj_bytes *ret_value)
{
	/* An empty value is no record. */
	if (record.n < 2 || record.p[0] != RECORD_VERSION)
		return false;
	*ret_value = mbj_bytes_make(record.p + 1, record.n - 1);
	return true;
}

enum mbj_rc mbj_txn_attr_seek(struct mbj_txn *txn, struct mbj_id account,
			      struct mbj_id mailbox, uint8_t kind,
			      struct mbj_bytes name,
			      struct mbj_bytes *ret_value, bool *ret_is_found,
			      struct mbj_error *err)
{
	struct mbj_bytes record;
	enum mbj_rc rc;

	key_attribute(&txn->key, account, mailbox, kind, name);
	rc = txn_get(txn, TABLE_ATTRIBUTES, &record, err);
	if (rc < 0 && rc != MBJ_ENOTFOUND)
		return rc;
	if (rc == MBJ_OK && !value_decode(record, ret_value))
		return record_damaged(TABLE_ATTRIBUTES, mbj_buf_view(&txn->key),
				      err);
	*ret_is_found = rc == MBJ_OK;
	return MBJ_OK;
}

enum mbj_rc attribute_put(struct mbj_txn *txn, struct mbj_account *account,
			  struct mbj_id mailbox, uint8_t kind,
			  struct mbj_bytes name, struct mbj_bytes value,
			  struct mbj_error *err)
{
	if (name.n == 0 || name.n > MBJ_ATTR_NAME_MAX ||
	    value.n > MBJ_ATTR_VALUE_MAX)
		return conflict(err, "the entry's name or value is too long");
	key_attribute(&txn->key, account->id, mailbox, kind, name);
	if (value.n == 0)
		return txn_del_summed(txn, TABLE_ATTRIBUTES, account, err);
	mbj_buf_clear(&txn->value);
	mbj_buf_put_u8(&txn->value, RECORD_VERSION);
	mbj_buf_put_bytes(&txn->value, value);
	return txn_put_summed(txn, TABLE_ATTRIBUTES, account, err);
}

enum mbj_rc mbj_txn_account_set_attr(struct mbj_txn *txn, struct mbj_id id,
				     struct mbj_bytes name,
				     struct mbj_bytes value,
				     struct mbj_error *err)
{
	struct mbj_account account;
	enum mbj_rc rc = account_expect(txn, id, &account, err);

	if (rc == MBJ_OK)
		rc = attribute_put(txn, &account, MBJ_ID_ROOT,
				   MBJ_ATTR_METADATA, name, value, err);
	if (rc == MBJ_OK)
		rc = account_put(txn, &account, err);
	return rc;
}

enum mbj_rc mbj_scan_attrs(struct mbj_txn *txn, struct mbj_id account,
			   struct mbj_id mailbox, uint8_t kind,
			   struct mbj_scan *ret_scan, struct mbj_error *err)
{
	MBJ_ASSERT(kind == MBJ_ATTR_ANY || mbj_attr_kind_name(kind) != NULL);
	key_pair(&txn->key, account, mailbox.b, sizeof(mailbox.b));
	if (kind != MBJ_ATTR_ANY)
		mbj_buf_put_u8(&txn->key, kind);
	return scan_begin(txn, TABLE_ATTRIBUTES, txn->key.n, ret_scan, err);
}

enum mbj_rc mbj_scan_account_attrs(struct mbj_txn *txn, struct mbj_id account,
				   struct mbj_scan *ret_scan,
				   struct mbj_error *err)
{
	key_account(&txn->key, account);
	return scan_begin(txn, TABLE_ATTRIBUTES, txn->key.n, ret_scan, err);
}

enum mbj_rc mbj_scan_next_attr(struct mbj_scan *scan, struct mbj_attr *ret_attr,
			       struct mbj_error *err)
{
	struct mbj_bytes key, rest, record;
	struct mbj_attr attr;
	enum mbj_rc rc = scan_next(scan, &key, &rest, &record, err);

	if (rc < 0)
		return rc;
	if (key.n <= ATTR_HEAD_SIZE ||
	    key.n > ATTR_HEAD_SIZE + MBJ_ATTR_NAME_MAX ||
	    mbj_attr_kind_name(key.p[ATTR_HEAD_SIZE - 1]) == NULL ||
	    !value_decode(record, &attr.value))
		return record_damaged(TABLE_ATTRIBUTES, key, err);
	memcpy(attr.mailbox.b, key.p + MBJ_ID_SIZE, MBJ_ID_SIZE);
	attr.kind = key.p[ATTR_HEAD_SIZE - 1];
	attr.name =
		mbj_bytes_make(key.p + ATTR_HEAD_SIZE, key.n - ATTR_HEAD_SIZE);
	*ret_attr = attr;
	return MBJ_OK;
}
