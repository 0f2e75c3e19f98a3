/*
 * Accounts in the state, and how an account's digest follows its records.
 *
 * Invariant: whoever changes a record that is in the digest writes the
 * account in the same breath (mbj/state.h inv 2).
 */
#include <string.h>

#include <mbj/check.h>

#include "digest_pieces.h"
#include "state_priv.h"

enum mbj_rc record_sum(struct mbj_txn *txn, enum db_table table,
		       struct mbj_bytes key, struct mbj_bytes value,
		       bool is_added, struct mbj_digest *digest,
		       struct mbj_error *err)
{
	uint8_t key_size[4];
	const struct mbj_bytes element[] = {
		mbj_bytes_make(key_size, sizeof(key_size)),
		mbj_bytes_make(key.p + MBJ_ID_SIZE, key.n - MBJ_ID_SIZE),
		value,
	};

	MBJ_ASSERT(key.n >= MBJ_ID_SIZE);
	mbj_store_u32(key_size, (uint32_t)(key.n - MBJ_ID_SIZE));
	return digest_change(digest, txn->sha, &txn->state->digest_key,
			     (uint8_t)table, element, 3, is_added, err);
}

enum mbj_rc account_sum(struct mbj_txn *txn, const struct mbj_account *account,
			bool is_added, struct mbj_digest *digest,
			struct mbj_error *err)
{
	struct mbj_bytes key = mbj_bytes_make(account->id.b, MBJ_ID_SIZE);
	enum mbj_rc rc;

	record_account_element(&txn->element, account);
	rc = mbj_buf_ok(&txn->element, err);
	if (rc < 0)
		return rc;
	return record_sum(txn, TABLE_ACCOUNTS, key, mbj_buf_view(&txn->element),
			  is_added, digest, err);
}

/* Take what is at txn->key out of the digest, if anything is. */
static enum mbj_rc old_sub(struct mbj_txn *txn, enum db_table table,
			   struct mbj_account *account, bool *ret_was_there,
			   struct mbj_error *err)
{
	struct mbj_bytes old;
	enum mbj_rc rc;

	rc = txn_get(txn, table, &old, err);
	*ret_was_there = rc == MBJ_OK;
	if (rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	if (rc < 0)
		return rc;
	return record_sum(txn, table, mbj_buf_view(&txn->key), old, false,
			  &account->digest, err);
}

enum mbj_rc txn_put_summed(struct mbj_txn *txn, enum db_table table,
			   struct mbj_account *account, struct mbj_error *err)
{
	bool was_there;
	enum mbj_rc rc;

	rc = old_sub(txn, table, account, &was_there, err);
	if (rc == MBJ_OK)
		rc = record_sum(txn, table, mbj_buf_view(&txn->key),
				mbj_buf_view(&txn->value), true,
				&account->digest, err);
	if (rc == MBJ_OK)
		rc = txn_put(txn, table, err);
	return rc;
}

enum mbj_rc txn_del_summed(struct mbj_txn *txn, enum db_table table,
			   struct mbj_account *account, struct mbj_error *err)
{
	bool was_there;
	enum mbj_rc rc;

	rc = old_sub(txn, table, account, &was_there, err);
	if (rc < 0 || !was_there)
		return rc;
	return txn_del(txn, table, err);
}

enum mbj_rc account_put(struct mbj_txn *txn, const struct mbj_account *account,
			struct mbj_error *err)
{
	key_account(&txn->key, account->id);
	record_account_encode(&txn->value, account);
	return txn_put(txn, TABLE_ACCOUNTS, err);
}

enum mbj_rc mbj_txn_account_seek(struct mbj_txn *txn, struct mbj_id id,
				 struct mbj_account *ret_account,
				 bool *ret_is_found, struct mbj_error *err)
{
	struct mbj_bytes value;
	enum mbj_rc rc;

	key_account(&txn->key, id);
	rc = txn_get(txn, TABLE_ACCOUNTS, &value, err);
	if (rc < 0 && rc != MBJ_ENOTFOUND)
		return rc;
	*ret_is_found = rc == MBJ_OK;
	if (rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	/* A value stays where it is, and what it is, till the end. */
	if (value.p == txn->account_value) {
		*ret_account = txn->account;
		return MBJ_OK;
	}
	if (!record_account_decode(id, value, ret_account))
		return record_damaged(TABLE_ACCOUNTS, mbj_buf_view(&txn->key),
				      err);
	txn->account = *ret_account;
	txn->account_value = value.p;
	return MBJ_OK;
}

enum mbj_rc mbj_txn_account_get(struct mbj_txn *txn, struct mbj_id id,
				struct mbj_account *ret_account,
				struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE];
	bool is_found = false;
	enum mbj_rc rc;

	rc = mbj_txn_account_seek(txn, id, ret_account, &is_found, err);
	if (rc < 0 || is_found)
		return rc;
	mbj_id_print(id, text);
	return mbj_error_set(err, MBJ_ENOTFOUND, "there is no account %s",
			     text);
}

enum mbj_rc account_expect(struct mbj_txn *txn, struct mbj_id id,
			   struct mbj_account *ret_account,
			   struct mbj_error *err)
{
	enum mbj_rc rc = mbj_txn_account_get(txn, id, ret_account, err);

	if (rc == MBJ_ENOTFOUND)
		return conflict(err, "the account does not exist");
	return rc;
}

/* The id that a name belongs to; MBJ_ENOTFOUND (err untouched). */
static enum mbj_rc name_get(struct mbj_txn *txn, struct mbj_bytes name,
			    struct mbj_id *ret_id, struct mbj_error *err)
{
	struct mbj_bytes value;
	enum mbj_rc rc;

	mbj_buf_clear(&txn->key);
	mbj_buf_put_bytes(&txn->key, name);
	rc = txn_get(txn, TABLE_ACCOUNT_NAMES, &value, err);
	if (rc < 0)
		return rc;
	if (!record_id_decode(value, ret_id))
		return record_damaged(TABLE_ACCOUNT_NAMES,
				      mbj_buf_view(&txn->key), err);
	return MBJ_OK;
}

static enum mbj_rc name_put(struct mbj_txn *txn, struct mbj_bytes name,
			    struct mbj_id id, struct mbj_error *err)
{
	mbj_buf_clear(&txn->key);
	mbj_buf_put_bytes(&txn->key, name);
	mbj_buf_clear(&txn->value);
	mbj_buf_put_u8(&txn->value, RECORD_VERSION);
	mbj_buf_put_id(&txn->value, id);
	return txn_put(txn, TABLE_ACCOUNT_NAMES, err);
}

static enum mbj_rc name_del(struct mbj_txn *txn, struct mbj_bytes name,
			    struct mbj_error *err)
{
	mbj_buf_clear(&txn->key);
	mbj_buf_put_bytes(&txn->key, name);
	return txn_del(txn, TABLE_ACCOUNT_NAMES, err);
}

enum mbj_rc mbj_txn_account_find(struct mbj_txn *txn, struct mbj_bytes name,
				 struct mbj_account *ret_account,
				 struct mbj_error *err)
{
	struct mbj_id id;
	enum mbj_rc rc;

	if (name.n == 0 || name.n > MBJ_ACCOUNT_NAME_MAX)
		return mbj_error_set(err, MBJ_ENOTFOUND,
				     "an account's name has 1 to %d bytes",
				     MBJ_ACCOUNT_NAME_MAX);
	rc = name_get(txn, name, &id, err);
	if (rc == MBJ_ENOTFOUND)
		return mbj_error_set(err, rc, "there is no account \"%.*s\"",
				     (int)name.n, (const char *)name.p);
	if (rc < 0)
		return rc;
	return mbj_txn_account_get(txn, id, ret_account, err);
}

enum mbj_rc mbj_txn_account_is_dead(struct mbj_txn *txn, struct mbj_id id,
				    bool *ret_is_dead, struct mbj_error *err)
{
	const struct mbj_id dead = DEAD_ACCOUNT;
	struct mbj_bytes value;
	enum mbj_rc rc;

	/* That there is a record is the answer: a miss costs no message. */
	key_pair(&txn->key, id, dead.b, sizeof(dead.b));
	rc = txn_get(txn, TABLE_TOMBSTONES, &value, err);
	if (rc < 0 && rc != MBJ_ENOTFOUND)
		return rc;
	*ret_is_dead = rc == MBJ_OK;
	return MBJ_OK;
}

/* An id and a name that nobody has or had. */
static enum mbj_rc account_is_new(struct mbj_txn *txn,
				  const struct mbj_account *account,
				  struct mbj_error *err)
{
	struct mbj_account other;
	struct mbj_id id;
	bool is_dead;
	enum mbj_rc rc;

	if (account->name.n == 0 || account->name.n > MBJ_ACCOUNT_NAME_MAX)
		return conflict(err, "an account's name has 1 to %d bytes",
				MBJ_ACCOUNT_NAME_MAX);
	rc = mbj_txn_account_get(txn, account->id, &other, err);
	if (rc == MBJ_OK)
		return conflict(err, "the account's id exists already");
	if (rc != MBJ_ENOTFOUND)
		return rc;
	rc = mbj_txn_account_is_dead(txn, account->id, &is_dead, err);
	if (rc < 0)
		return rc;
	if (is_dead)
		return conflict(err, "the account's id was deleted");
	rc = name_get(txn, account->name, &id, err);
	if (rc == MBJ_OK)
		return conflict(err, "the account name \"%.*s\" is taken",
				(int)account->name.n,
				(const char *)account->name.p);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

enum mbj_rc mbj_txn_account_create(struct mbj_txn *txn,
				   const struct mbj_account *account,
				   struct mbj_error *err)
{
	struct mbj_account made = *account;
	enum mbj_rc rc;

	rc = account_is_new(txn, account, err);
	if (rc < 0)
		return rc;
	made.lsn.v = 0;
	made.mailbox_count = 0;
	made.subscription_count = 0;
	made.message_count = 0;
	made.message_size = 0;
	memset(&made.digest, 0, sizeof(made.digest));
	rc = account_sum(txn, &made, true, &made.digest, err);
	if (rc == MBJ_OK)
		rc = name_put(txn, made.name, made.id, err);
	if (rc == MBJ_OK)
		rc = account_put(txn, &made, err);
	return rc;
}

/* Delete what a table holds of an account. */
static enum mbj_rc table_clear(struct mbj_txn *txn, enum db_table table,
			       struct mbj_id account, struct mbj_error *err)
{
	struct mbj_bytes prefix = mbj_bytes_make(account.b, sizeof(account.b));
	struct db_cursor *cursor = NULL;
	struct mbj_bytes key;
	struct mbj_bytes value;
	enum mbj_rc rc;

	rc = mbj_txn_flush(txn, err);
	if (rc == MBJ_OK)
		rc = db_cursor_open(txn->txn, table, prefix, &cursor, err);
	while (rc == MBJ_OK) {
		rc = db_cursor_next(cursor, &key, &value, err);
		if (rc < 0 || key.n < prefix.n ||
		    memcmp(key.p, prefix.p, prefix.n) != 0)
			break;
		/* Into the cache only: the cursor's table is not touched. */
		mbj_buf_clear(&txn->key);
		mbj_buf_put_bytes(&txn->key, key);
		rc = txn_del(txn, table, err);
	}
	db_cursor_close(&cursor);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* What the account has but for messages, its name and itself. */
static enum mbj_rc tables_clear(struct mbj_txn *txn, struct mbj_id id,
				struct mbj_error *err)
{
	static const enum db_table tables[] = {
		TABLE_MAILBOXES,     TABLE_SLOTS,      TABLE_FLOORS,
		TABLE_SUBSCRIPTIONS, TABLE_ATTRIBUTES, TABLE_TOMBSTONES,
		TABLE_PARKED,	     TABLE_CONTENTS,   TABLE_INTENTS,
	};
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < sizeof(tables) / sizeof(*tables);
	     i++)
		rc = table_clear(txn, tables[i], id, err);
	return rc;
}

/* The account's own record and its name. */
static enum mbj_rc account_remove(struct mbj_txn *txn,
				  const struct mbj_account *account,
				  struct mbj_error *err)
{
	enum mbj_rc rc = name_del(txn, account->name, err);

	key_account(&txn->key, account->id);
	return rc == MBJ_OK ? txn_del(txn, TABLE_ACCOUNTS, err) : rc;
}

enum mbj_rc mbj_txn_account_bury(struct mbj_txn *txn, struct mbj_id id,
				 struct mbj_lsn lsn, struct mbj_error *err)
{
	const struct mbj_tombstone dead = {.id = DEAD_ACCOUNT, .lsn = lsn};

	key_pair(&txn->key, id, dead.id.b, sizeof(dead.id.b));
	record_tombstone_encode(&txn->value, &dead);
	return txn_put(txn, TABLE_TOMBSTONES, err);
}

enum mbj_rc mbj_txn_account_delete(struct mbj_txn *txn, struct mbj_id id,
				   struct mbj_lsn lsn, struct mbj_error *err)
{
	struct mbj_account account;
	enum mbj_rc rc;

	rc = mbj_txn_account_get(txn, id, &account, err);
	if (rc == MBJ_ENOTFOUND)
		return conflict(err, "the account does not exist");
	if (rc == MBJ_OK)
		rc = contents_drop(txn, id, err);
	if (rc == MBJ_OK)
		rc = tables_clear(txn, id, err);
	if (rc == MBJ_OK)
		rc = account_remove(txn, &account, err);
	return rc == MBJ_OK ? mbj_txn_account_bury(txn, id, lsn, err) : rc;
}

enum mbj_rc mbj_txn_account_wipe(struct mbj_txn *txn, struct mbj_id id,
				 struct mbj_lsn lsn, struct mbj_error *err)
{
	struct mbj_account account;
	bool is_found = false;
	enum mbj_rc rc;

	rc = mbj_txn_account_seek(txn, id, &account, &is_found, err);
	if (rc == MBJ_OK)
		rc = messages_wipe(txn, id, lsn, err);
	if (rc == MBJ_OK)
		rc = table_clear(txn, TABLE_VANISHED, id, err);
	if (rc == MBJ_OK)
		rc = table_clear(txn, TABLE_ORPHANS, id, err);
	if (rc == MBJ_OK)
		rc = tables_clear(txn, id, err);
	if (rc == MBJ_OK && is_found)
		rc = account_remove(txn, &account, err);
	return rc;
}

/* Change what is in the account's own element. */
static enum mbj_rc account_change(struct mbj_txn *txn,
				  const struct mbj_account *before,
				  struct mbj_account *after,
				  struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = account_sum(txn, before, false, &after->digest, err);
	if (rc == MBJ_OK)
		rc = account_sum(txn, after, true, &after->digest, err);
	if (rc == MBJ_OK)
		rc = account_put(txn, after, err);
	return rc;
}

enum mbj_rc mbj_txn_account_rename(struct mbj_txn *txn, struct mbj_id id,
				   struct mbj_bytes from, struct mbj_bytes to,
				   struct mbj_error *err)
{
	struct mbj_account before;
	struct mbj_account after;
	struct mbj_id other;
	enum mbj_rc rc;

	rc = mbj_txn_account_get(txn, id, &before, err);
	if (rc == MBJ_ENOTFOUND)
		return conflict(err, "the account does not exist");
	if (rc < 0)
		return rc;
	if (!mbj_bytes_equal(before.name, from))
		return conflict(err, "the account has another name");
	if (to.n == 0 || to.n > MBJ_ACCOUNT_NAME_MAX)
		return conflict(err, "an account's name has 1 to %d bytes",
				MBJ_ACCOUNT_NAME_MAX);
	rc = name_get(txn, to, &other, err);
	if (rc == MBJ_OK)
		return conflict(err, "the account name \"%.*s\" is taken",
				(int)to.n, (const char *)to.p);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	after = before;
	after.name = to;
	rc = name_del(txn, from, err);
	if (rc == MBJ_OK)
		rc = name_put(txn, to, id, err);
	if (rc == MBJ_OK)
		rc = account_change(txn, &before, &after, err);
	return rc;
}

enum mbj_rc mbj_txn_account_set_quota(struct mbj_txn *txn, struct mbj_id id,
				      uint64_t messages, uint64_t size,
				      struct mbj_error *err)
{
	struct mbj_account before;
	struct mbj_account after;
	enum mbj_rc rc;

	rc = mbj_txn_account_get(txn, id, &before, err);
	if (rc == MBJ_ENOTFOUND)
		return conflict(err, "the account does not exist");
	if (rc < 0)
		return rc;
	after = before;
	after.quota_messages = messages;
	after.quota_size = size;
	return account_change(txn, &before, &after, err);
}

enum mbj_rc mbj_txn_account_set_lsn(struct mbj_txn *txn, struct mbj_id id,
				    struct mbj_lsn lsn, struct mbj_error *err)
{
	struct mbj_account account;
	enum mbj_rc rc;

	rc = mbj_txn_account_get(txn, id, &account, err);
	if (rc < 0)
		return rc;
	account.lsn = lsn;
	return account_put(txn, &account, err);
}
