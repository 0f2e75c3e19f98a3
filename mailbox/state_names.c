/*
 * What the state holds by name: UIDVALIDITY floors, subscriptions; tombstones.
 */
#include <string.h>

#include <mbj/check.h>

#include "state_priv.h"

enum mbj_rc mbj_txn_tombstone_seek(struct mbj_txn *txn, struct mbj_id account,
				   struct mbj_id id,
				   struct mbj_tombstone *ret_tombstone,
				   bool *ret_is_found, struct mbj_error *err)
{
	struct mbj_bytes value;
	enum mbj_rc rc;

	key_pair(&txn->key, account, id.b, sizeof(id.b));
	rc = txn_get(txn, TABLE_TOMBSTONES, &value, err);
	if (rc < 0 && rc != MBJ_ENOTFOUND)
		return rc;
	if (rc == MBJ_OK && !record_tombstone_decode(id, value, ret_tombstone))
		return record_damaged(TABLE_TOMBSTONES, mbj_buf_view(&txn->key),
				      err);
	*ret_is_found = rc == MBJ_OK;
	return MBJ_OK;
}

enum mbj_rc mbj_txn_tombstone_get(struct mbj_txn *txn, struct mbj_id account,
				  struct mbj_id id,
				  struct mbj_tombstone *ret_tombstone,
				  struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE];
	bool is_found = false;
	enum mbj_rc rc;

	rc = mbj_txn_tombstone_seek(txn, account, id, ret_tombstone, &is_found,
				    err);
	if (rc < 0 || is_found)
		return rc;
	mbj_id_print(id, text);
	return mbj_error_set(err, MBJ_ENOTFOUND, "%s was never deleted", text);
}

enum mbj_rc mbj_txn_name_hash(struct mbj_txn *txn,
			      const struct mbj_hash *parent,
			      struct mbj_bytes key, struct mbj_hash *ret_hash,
			      struct mbj_error *err)
{
	const struct mbj_bytes parts[] = {
		mbj_bytes_make(parent->b, sizeof(parent->b)),
		key,
	};

	return mbj_sha256_digest(txn->sha, parts, 2, ret_hash, err);
}

enum mbj_rc mbj_txn_floor_get(struct mbj_txn *txn, struct mbj_id account,
			      const struct mbj_hash *name_hash,
			      uint32_t *ret_uidvalidity, struct mbj_error *err)
{
	struct mbj_bytes value;
	enum mbj_rc rc;

	key_pair(&txn->key, account, name_hash->b, sizeof(name_hash->b));
	rc = txn_get(txn, TABLE_FLOORS, &value, err);
	if (rc == MBJ_ENOTFOUND) {
		*ret_uidvalidity = 0;
		return MBJ_OK;
	}
	if (rc < 0)
		return rc;
	if (!record_u32_decode(value, ret_uidvalidity))
		return record_damaged(TABLE_FLOORS, mbj_buf_view(&txn->key),
				      err);
	return MBJ_OK;
}

enum mbj_rc mbj_txn_floor_raise(struct mbj_txn *txn, struct mbj_id account,
				const struct mbj_hash *name_hash,
				uint32_t uidvalidity, struct mbj_error *err)
{
	struct mbj_account a;
	uint32_t floor = 0;
	enum mbj_rc rc;

	rc = account_expect(txn, account, &a, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_floor_get(txn, account, name_hash, &floor, err);
	if (rc != MBJ_OK || floor >= uidvalidity)
		return rc;
	key_pair(&txn->key, account, name_hash->b, sizeof(name_hash->b));
	mbj_buf_clear(&txn->value);
	mbj_buf_put_u8(&txn->value, RECORD_VERSION);
	mbj_buf_put_u32(&txn->value, uidvalidity);
	rc = txn_put_summed(txn, TABLE_FLOORS, &a, err);
	if (rc < 0)
		return rc;
	return account_put(txn, &a, err);
}

/* A path's key at txn->key; MBJ_ECONFLICT where it cannot be one. */
static enum mbj_rc path_key(struct mbj_txn *txn, struct mbj_id account,
			    struct mbj_bytes key, struct mbj_error *err)
{
	if (key.n == 0 || key.n > (size_t)3 * MBJ_PATH_MAX)
		return conflict(err, "the subscribed name is empty or longer "
				     "than any name");
	key_pair(&txn->key, account, key.p, key.n);
	return MBJ_OK;
}

/* Is there a record at txn->key? */
static enum mbj_rc subscription_exists(struct mbj_txn *txn, bool *ret_exists,
				       struct mbj_error *err)
{
	struct mbj_bytes value;
	enum mbj_rc rc = txn_get(txn, TABLE_SUBSCRIPTIONS, &value, err);

	if (rc < 0 && rc != MBJ_ENOTFOUND)
		return rc;
	*ret_exists = rc == MBJ_OK;
	return MBJ_OK;
}

enum mbj_rc mbj_txn_subscribed(struct mbj_txn *txn, struct mbj_id account,
			       struct mbj_bytes path_key_bytes,
			       bool *ret_is_subscribed, struct mbj_error *err)
{
	key_pair(&txn->key, account, path_key_bytes.p, path_key_bytes.n);
	return subscription_exists(txn, ret_is_subscribed, err);
}

enum mbj_rc mbj_txn_subscribe(struct mbj_txn *txn, struct mbj_id account,
			      const struct mbj_path *path,
			      struct mbj_error *err)
{
	struct mbj_account a;
	bool exists = false;
	enum mbj_rc rc;

	rc = account_expect(txn, account, &a, err);
	if (rc == MBJ_OK)
		rc = path_key(txn, account, path->key, err);
	if (rc == MBJ_OK)
		rc = subscription_exists(txn, &exists, err);
	if (rc < 0)
		return rc;
	a.subscription_count += !exists;
	mbj_buf_clear(&txn->value);
	mbj_buf_put_u8(&txn->value, RECORD_VERSION);
	mbj_buf_put_bytes(&txn->value, path->stored);
	rc = txn_put_summed(txn, TABLE_SUBSCRIPTIONS, &a, err);
	if (rc < 0)
		return rc;
	return account_put(txn, &a, err);
}

enum mbj_rc mbj_txn_unsubscribe(struct mbj_txn *txn, struct mbj_id account,
				const struct mbj_path *path,
				struct mbj_error *err)
{
	struct mbj_account a;
	bool exists = false;
	enum mbj_rc rc;

	rc = account_expect(txn, account, &a, err);
	if (rc == MBJ_OK)
		rc = path_key(txn, account, path->key, err);
	if (rc == MBJ_OK)
		rc = subscription_exists(txn, &exists, err);
	if (rc < 0 || !exists)
		return rc;
	if (a.subscription_count == 0)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the account counts fewer subscriptions "
				     "than it has");
	a.subscription_count--;
	rc = txn_del_summed(txn, TABLE_SUBSCRIPTIONS, &a, err);
	if (rc < 0)
		return rc;
	return account_put(txn, &a, err);
}

static struct mbj_bytes component_cut(struct mbj_bytes *rest, bool *ret_is_last)
{
	const uint8_t *end = NULL;
	struct mbj_bytes component = *rest;

	if (rest->n > 0)
		end = memchr(rest->p, 0, rest->n);
	*ret_is_last = end == NULL;
	if (end == NULL)
		return component;
	component.n = (size_t)(end - rest->p);
	rest->p = end + 1;
	rest->n -= component.n + 1;
	return component;
}

bool mbj_path_is_safe(const struct mbj_path *path)
{
	struct mbj_bytes stored = path->stored;
	struct mbj_bytes key = path->key;

	if (stored.n == 0 || stored.n > MBJ_PATH_MAX ||
	    key.n > (size_t)3 * MBJ_PATH_MAX)
		return false;
	for (size_t depth = 1; depth <= MBJ_DEPTH_MAX; depth++) {
		bool is_last, is_key_last;
		struct mbj_bytes name = component_cut(&stored, &is_last);
		struct mbj_bytes name_key = component_cut(&key, &is_key_last);

		if (is_last != is_key_last || !mbj_name_is_safe(name, name_key))
			return false;
		if (is_last)
			return true;
	}
	return false;
}
