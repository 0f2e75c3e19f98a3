/*
 * Open intents in the state; see mbj/intent.h.
 */
#include <string.h>

#include <mbj/check.h>
#include <mbj/intent.h>

#include "state_priv.h"

const char *mbj_intent_result_name(uint8_t result)
{
	switch (result) {
#define X(name, number, word)   \
	case MBJ_INTENT_##name: \
		return (word);
		MBJ_INTENT_RESULT_MAP(X)
#undef X
	default:
		return NULL;
	}
}

static void intent_encode(struct mbj_buf *ret, const struct mbj_intent *intent)
{
	record_begin(ret);
	mbj_buf_put_u64(ret, intent->lsn.v);
	mbj_buf_put_u64(ret, (uint64_t)intent->time);
	mbj_buf_put_block(ret, intent->producer);
	mbj_buf_put_block(ret, intent->body);
}

bool record_intent_decode(struct mbj_id account, struct mbj_id id,
			  struct mbj_bytes value, struct mbj_intent *ret)
{
	struct mbj_intent intent = {.id = id, .account = account};
	struct mbj_reader r;
	uint8_t version;

	mbj_reader_init(&r, value);
	version = mbj_read_u8(&r);
	intent.lsn.v = mbj_read_u64(&r);
	intent.time = (int64_t)mbj_read_u64(&r);
	intent.producer = mbj_read_block(&r, MBJ_ATTR_NAME_MAX);
	intent.body = mbj_read_block(&r, MBJ_INTENT_SIZE_MAX);
	if (version != RECORD_VERSION || !mbj_reader_is_spent(&r) ||
	    intent.producer.n == 0 || intent.body.n == 0)
		return false;
	*ret = intent;
	return true;
}

enum mbj_rc mbj_txn_intent_seek(struct mbj_txn *txn, struct mbj_id account,
				struct mbj_id id, struct mbj_intent *ret_intent,
				bool *ret_is_found, struct mbj_error *err)
{
	struct mbj_bytes value;
	enum mbj_rc rc;

	key_pair(&txn->key, account, id.b, sizeof(id.b));
	rc = txn_get(txn, TABLE_INTENTS, &value, err);
	if (rc < 0 && rc != MBJ_ENOTFOUND)
		return rc;
	if (rc == MBJ_OK &&
	    !record_intent_decode(account, id, value, ret_intent))
		return record_damaged(TABLE_INTENTS, mbj_buf_view(&txn->key),
				      err);
	*ret_is_found = rc == MBJ_OK;
	return MBJ_OK;
}

/* Is the intent open?  txn->key is its. */
static enum mbj_rc intent_expect(struct mbj_txn *txn, struct mbj_id account,
				 struct mbj_id id, bool is_expected,
				 struct mbj_account *ret_account,
				 struct mbj_error *err)
{
	struct mbj_intent intent;
	char text[MBJ_ID_TEXT_SIZE];
	bool is_found = false;
	enum mbj_rc rc;

	rc = account_expect(txn, account, ret_account, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_intent_seek(txn, account, id, &intent, &is_found,
					 err);
	if (rc < 0 || is_found == is_expected)
		return rc;
	mbj_id_print(id, text);
	return conflict(err, "intent %s is %s", text,
			is_found ? "open already" : "not open");
}

enum mbj_rc mbj_txn_intent_open(struct mbj_txn *txn,
				const struct mbj_intent *intent,
				struct mbj_error *err)
{
	struct mbj_account account;
	enum mbj_rc rc;

	rc = intent_expect(txn, intent->account, intent->id, false, &account,
			   err);
	if (rc < 0)
		return rc;
	key_pair(&txn->key, intent->account, intent->id.b,
		 sizeof(intent->id.b));
	intent_encode(&txn->value, intent);
	rc = txn_put_summed(txn, TABLE_INTENTS, &account, err);
	if (rc < 0)
		return rc;
	return account_put(txn, &account, err);
}

enum mbj_rc mbj_txn_intent_close(struct mbj_txn *txn, struct mbj_id account,
				 struct mbj_id id, struct mbj_error *err)
{
	struct mbj_account a;
	enum mbj_rc rc;

	rc = intent_expect(txn, account, id, true, &a, err);
	if (rc < 0)
		return rc;
	key_pair(&txn->key, account, id.b, sizeof(id.b));
	rc = txn_del_summed(txn, TABLE_INTENTS, &a, err);
	if (rc < 0)
		return rc;
	return account_put(txn, &a, err);
}

enum mbj_rc mbj_scan_intents(struct mbj_txn *txn, struct mbj_id account,
			     struct mbj_scan *ret_scan, struct mbj_error *err)
{
	mbj_buf_clear(&txn->key);
	if (!mbj_id_is_root(account))
		mbj_buf_put_id(&txn->key, account);
	return scan_begin(txn, TABLE_INTENTS, txn->key.n, ret_scan, err);
}

enum mbj_rc mbj_scan_next_intent(struct mbj_scan *scan,
				 struct mbj_intent *ret_intent,
				 struct mbj_error *err)
{
	struct mbj_bytes key, rest, value;
	struct mbj_id account, id;
	enum mbj_rc rc = scan_next(scan, &key, &rest, &value, err);

	if (rc < 0)
		return rc;
	if (key.n != 2 * MBJ_ID_SIZE)
		return record_damaged(TABLE_INTENTS, key, err);
	memcpy(account.b, key.p, sizeof(account.b));
	memcpy(id.b, key.p + MBJ_ID_SIZE, sizeof(id.b));
	if (!record_intent_decode(account, id, value, ret_intent))
		return record_damaged(TABLE_INTENTS, key, err);
	return MBJ_OK;
}
