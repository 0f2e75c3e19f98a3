/*
 * What the state knows of blobs: how many messages have each, and which could
 * not be fetched; see mbj/message.h, invariant 4.  Local: nothing here is in a
 * digest.
 *
 * Not here: their bytes (blob*.c).
 */
#include <string.h>

#include <mbj/check.h>

#include "state_priv.h"

static void key_blob(struct mbj_buf *ret, const struct mbj_hash *blob)
{
	mbj_buf_clear(ret);
	mbj_buf_put(ret, blob->b, sizeof(blob->b));
}

/* MBJ_ENOTFOUND leaves err alone; txn->key is the blob's. */
static enum mbj_rc blob_get(struct mbj_txn *txn, const struct mbj_hash *blob,
			    struct blob_count *ret_count, struct mbj_error *err)
{
	struct mbj_bytes value;
	enum mbj_rc rc;

	key_blob(&txn->key, blob);
	rc = txn_get(txn, TABLE_BLOBS, &value, err);
	if (rc < 0)
		return rc;
	if (!record_blob_decode(value, ret_count))
		return record_damaged(TABLE_BLOBS, mbj_buf_view(&txn->key),
				      err);
	return MBJ_OK;
}

enum mbj_rc mbj_txn_blob_count(struct mbj_txn *txn, const struct mbj_hash *blob,
			       uint64_t *ret_count, uint64_t *ret_size,
			       struct mbj_error *err)
{
	struct blob_count count = {.size = MBJ_BLOB_UNKNOWN};
	enum mbj_rc rc = blob_get(txn, blob, &count, err);

	if (rc < 0 && rc != MBJ_ENOTFOUND)
		return rc;
	*ret_count = count.count;
	*ret_size = count.size;
	return MBJ_OK;
}

enum mbj_rc blob_take(struct mbj_txn *txn, const struct mbj_hash *blob,
		      uint64_t size, struct mbj_error *err)
{
	struct blob_count count = {.size = size};
	enum mbj_rc rc = blob_get(txn, blob, &count, err);

	if (rc < 0 && rc != MBJ_ENOTFOUND)
		return rc;
	if (count.size != size)
		return conflict(err,
				"a message of %llu bytes has the digest of one "
				"of %llu bytes",
				(unsigned long long)size,
				(unsigned long long)count.size);
	count.count++;
	count.since.v = 0;
	record_blob_encode(&txn->value, &count);
	return txn_put(txn, TABLE_BLOBS, err);
}

enum mbj_rc blob_leave(struct mbj_txn *txn, const struct mbj_hash *blob,
		       struct mbj_lsn lsn, struct mbj_error *err)
{
	struct blob_count count;
	enum mbj_rc rc = blob_get(txn, blob, &count, err);

	if (rc == MBJ_ENOTFOUND || (rc == MBJ_OK && count.count == 0))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the state counts fewer messages with a "
				     "blob than there are");
	if (rc < 0)
		return rc;
	count.count--;
	if (count.count == 0)
		count.since = lsn;
	record_blob_encode(&txn->value, &count);
	return txn_put(txn, TABLE_BLOBS, err);
}

enum mbj_rc mbj_txn_blob_forget(struct mbj_txn *txn,
				const struct mbj_hash *blob,
				struct mbj_error *err)
{
	struct blob_count count;
	enum mbj_rc rc = blob_get(txn, blob, &count, err);

	if (rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	if (rc == MBJ_OK && count.count > 0)
		return conflict(err, "messages have that blob");
	if (rc < 0)
		return rc;
	return txn_del(txn, TABLE_BLOBS, err);
}

/* ------------------------------------------------------------- scanning */

enum mbj_rc mbj_scan_blobs(struct mbj_txn *txn, bool is_wanted_only,
			   struct mbj_scan *ret_scan, struct mbj_error *err)
{
	mbj_buf_clear(&txn->key);
	return scan_begin(txn, is_wanted_only ? TABLE_WANTED : TABLE_BLOBS, 0,
			  ret_scan, err);
}

enum mbj_rc mbj_scan_blobs_from(struct mbj_txn *txn, bool is_wanted_only,
				const struct mbj_hash *first,
				struct mbj_scan *ret_scan,
				struct mbj_error *err)
{
	key_blob(&txn->key, first);
	return scan_begin(txn, is_wanted_only ? TABLE_WANTED : TABLE_BLOBS, 0,
			  ret_scan, err);
}

bool mbj_blob_step(struct mbj_hash *blob)
{
	for (size_t i = MBJ_HASH_SIZE; i-- > 0;)
		if (++blob->b[i] != 0)
			return true;
	return false;
}

enum mbj_rc mbj_scan_next_blob(struct mbj_scan *scan, struct mbj_hash *ret_blob,
			       uint64_t *ret_count, uint64_t *ret_size,
			       struct mbj_error *err)
{
	enum db_table table = (enum db_table)scan->table;
	struct mbj_bytes key, rest, value;
	struct blob_count count;
	enum mbj_rc rc = scan_next(scan, &key, &rest, &value, err);

	if (rc < 0)
		return rc;
	if (key.n != sizeof(ret_blob->b) || !record_blob_decode(value, &count))
		return record_damaged(table, key, err);
	memcpy(ret_blob->b, key.p, sizeof(ret_blob->b));
	*ret_count = count.count;
	*ret_size = count.size;
	return MBJ_OK;
}

/* ---------------------------------------------------------------- wanted */

enum mbj_rc mbj_txn_blob_want(struct mbj_txn *txn, const struct mbj_hash *blob,
			      uint64_t size, bool is_wanted,
			      struct mbj_error *err)
{
	const struct blob_count count = {.size = size};

	key_blob(&txn->key, blob);
	if (!is_wanted)
		return txn_del(txn, TABLE_WANTED, err);
	record_blob_encode(&txn->value, &count);
	return txn_put(txn, TABLE_WANTED, err);
}
