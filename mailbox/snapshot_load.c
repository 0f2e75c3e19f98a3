/*
 * From a snapshot into a state: all of it, or one account.
 *
 * All goes to the engine directly, past the cache, in transactions of some
 * size; one account goes through the cache like any edit, into whatever
 * transaction the caller has.  Slots and accounts' names are made from
 * mailboxes and accounts.
 *
 * Threads: the caller's.
 */
#include <mbj/check.h>

#include "snapshot_priv.h"

/* Bytes of records in one transaction of the engine. */
enum { LOAD_TXN_SIZE = 2 << 20 };

/* Where records go. */
struct loading {
	struct mbj_txn *txn;
	struct mbj_id account;
	bool is_direct;	 /* past the cache */
	bool is_wanting; /* contents of messages are to be fetched */
	size_t size;	 /* put so far */
};

static enum mbj_rc load_put(struct loading *l, enum db_table table,
			    struct mbj_error *err)
{
	struct mbj_txn *txn = l->txn;
	enum mbj_rc rc;

	if (!l->is_direct)
		return txn_put(txn, table, err);
	rc = mbj_buf_ok(&txn->key, err);
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(&txn->value, err);
	if (rc < 0)
		return rc;
	l->size += txn->key.n + txn->value.n;
	return db_put(txn->txn, table, mbj_buf_view(&txn->key),
		      mbj_buf_view(&txn->value), err);
}

static enum mbj_rc wanted_put(struct loading *l,
			      const struct snapshot_record *record,
			      struct mbj_error *err)
{
	struct blob_count blob;

	if (!record_blob_decode(record->value, &blob))
		return record_damaged(record->table, record->key, err);
	if (blob.count == 0)
		return MBJ_OK;
	mbj_buf_clear(&l->txn->key);
	mbj_buf_put_bytes(&l->txn->key, record->key);
	blob.count = 0;
	record_blob_encode(&l->txn->value, &blob);
	return load_put(l, TABLE_WANTED, err);
}

/* What another table has of this record. */
static enum mbj_rc derived_put(struct loading *l,
			       const struct snapshot_record *record,
			       struct mbj_error *err)
{
	struct mbj_txn *txn = l->txn;
	struct mbj_mailbox mailbox;
	struct mbj_account account;
	struct mbj_id id;

	if (record->table == TABLE_ACCOUNTS &&
	    record_account_decode(l->account, record->value, &account)) {
		mbj_buf_clear(&txn->key);
		mbj_buf_put_bytes(&txn->key, account.name);
		record_begin(&txn->value);
		mbj_buf_put_id(&txn->value, account.id);
		return load_put(l, TABLE_ACCOUNT_NAMES, err);
	}
	if (record->table == TABLE_BLOBS && l->is_wanting)
		return wanted_put(l, record, err);
	if (record->table != TABLE_MAILBOXES)
		return MBJ_OK;
	memcpy(id.b, record->key.p, MBJ_ID_SIZE);
	if (!record_mailbox_decode(id, record->value, &mailbox))
		return record_damaged(record->table, record->key, err);
	key_slot(&txn->key, l->account, mailbox.parent, mailbox.name.key);
	record_begin(&txn->value);
	mbj_buf_put_id(&txn->value, id);
	return load_put(l, TABLE_SLOTS, err);
}

static enum mbj_rc record_load(struct loading *l,
			       const struct snapshot_record *record,
			       struct mbj_error *err)
{
	struct mbj_txn *txn = l->txn;
	enum mbj_rc rc;

	if (mbj_id_is_root(l->account))
		mbj_buf_clear(&txn->key);
	else
		key_account(&txn->key, l->account);
	mbj_buf_put_bytes(&txn->key, record->key);
	mbj_buf_clear(&txn->value);
	mbj_buf_put_bytes(&txn->value, record->value);
	if (record->table == TABLE_PARKED)
		atomic_store(&txn->state->has_skipped, true);
	rc = load_put(l, record->table, err);
	if (rc == MBJ_OK)
		rc = derived_put(l, record, err);
	return rc;
}

/* -------------------------------------------------------------------- all */

/* A piece of the records; MBJ_ENOTFOUND: that was the last one. */
static enum mbj_rc piece_load(struct mbj_snapshot *snapshot,
			      struct mbj_state *state, bool is_wanting,
			      struct mbj_error *err)
{
	struct loading l = {.is_direct = true, .is_wanting = is_wanting};
	struct snapshot_record record;
	enum mbj_rc done;
	enum mbj_rc rc;

	rc = mbj_txn_begin(state, &l.txn, err);
	if (rc < 0)
		return rc;
	while (rc == MBJ_OK && l.size < LOAD_TXN_SIZE) {
		rc = snapshot_next(snapshot, &record, err);
		if (rc < 0)
			break;
		l.account = snapshot->chunk.account;
		rc = record_load(&l, &record, err);
	}
	if (rc < 0 && rc != MBJ_ENOTFOUND) {
		mbj_txn_abort(&l.txn);
		return rc;
	}
	if (rc == MBJ_ENOTFOUND) {
		done = mbj_txn_watermark_set(l.txn, &snapshot->info.watermark,
					     err);
		if (done < 0) {
			mbj_txn_abort(&l.txn);
			return done;
		}
	}
	done = mbj_txn_commit(&l.txn, err);
	return done < 0 ? done : rc;
}

enum mbj_rc mbj_snapshot_load(struct mbj_snapshot *snapshot,
			      struct mbj_state *state, bool is_wanting,
			      struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = snapshot_rewind(snapshot, err);
	while (rc == MBJ_OK) {
		rc = piece_load(snapshot, state, is_wanting, err);
		if (rc == MBJ_OK)
			rc = mbj_state_checkpoint(state, false, err);
	}
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* ------------------------------------------------------------ one account */

/* All of it judged; *ret_is_there: the snapshot has anything of it. */
static enum mbj_rc account_judge(struct mbj_snapshot *snapshot,
				 struct mbj_id id, bool *ret_is_there,
				 struct mbj_error *err)
{
	struct snapshot_record record;
	struct mbj_error why;
	enum mbj_rc rc;

	rc = snapshot_seek(snapshot, id, &why);
	*ret_is_there = rc == MBJ_OK;
	while (rc == MBJ_OK)
		rc = snapshot_next(snapshot, &record, &why);
	if (rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	if (err != NULL)
		*err = why;
	return rc;
}

/* What the account has in the state goes; another one may have its name. */
static enum mbj_rc account_make_room(struct mbj_snapshot *snapshot,
				     struct mbj_id id, struct mbj_txn *txn,
				     struct mbj_error *err)
{
	const struct snapshot_sum *sum = &snapshot->sum;
	char text[MBJ_ID_TEXT_SIZE];
	struct mbj_account other;
	enum mbj_rc rc;

	rc = mbj_txn_account_wipe(txn, id, snapshot->info.watermark.lsn, err);
	if (rc < 0 || !sum->is_account)
		return rc;
	rc = mbj_txn_account_find(txn, sum->account.name, &other, err);
	if (rc == MBJ_OK) {
		mbj_id_print(other.id, text);
		return conflict(err,
				"another account, %s, has the name that the "
				"snapshot has for it",
				text);
	}
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc message_load(struct loading *l,
				const struct snapshot_record *record,
				struct mbj_error *err)
{
	struct mbj_message message;
	enum mbj_rc rc;

	if (!record_message_decode(snapshot_key_uid(record->key), record->value,
				   &message))
		return record_damaged(record->table, record->key, err);
	rc = blob_take(l->txn, &message.blob, message.size, err);
	if (rc == MBJ_OK && l->is_wanting)
		rc = mbj_txn_blob_want(l->txn, &message.blob, message.size,
				       true, err);
	return rc;
}

enum mbj_rc mbj_snapshot_account_load(struct mbj_snapshot *snapshot,
				      struct mbj_id id, struct mbj_txn *txn,
				      bool is_wanting, struct mbj_error *err)
{
	struct loading l = {.txn = txn,
			    .account = id,
			    .is_wanting = is_wanting};
	struct snapshot_record record;
	bool is_there = false;
	enum mbj_rc rc;

	MBJ_ASSERT(!txn->is_reading);
	rc = account_judge(snapshot, id, &is_there, err);
	if (rc < 0)
		return rc;
	if (!is_there)
		return mbj_txn_account_wipe(txn, id,
					    snapshot->info.watermark.lsn, err);
	rc = account_make_room(snapshot, id, txn, err);
	if (rc == MBJ_OK)
		rc = snapshot_seek(snapshot, id, err);
	if (rc < 0)
		return rc;
	while (rc == MBJ_OK) {
		rc = snapshot_next(snapshot, &record, err);
		if (rc < 0)
			break;
		rc = record_load(&l, &record, err);
		if (record.table == TABLE_ORPHANS)
			txn->state->has_orphans = true;
		if (rc == MBJ_OK && record.table == TABLE_MESSAGES)
			rc = message_load(&l, &record, err);
	}
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}
