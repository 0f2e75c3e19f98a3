/*
 * The contents of an account against the messages that there are.
 */
#include <string.h>

#include <mbj/check.h>

#include "gather.h"
#include "state_priv.h"

struct counting {
	struct mbj_txn *txn;
	struct mbj_id account;
	struct gather *gather;
};

static enum mbj_rc contents_load(struct counting *counting,
				 struct mbj_error *err)
{
	struct mbj_txn *txn = counting->txn;
	struct mbj_content content;
	struct mbj_scan scan = {0};
	struct mbj_id mailbox;
	enum mbj_rc rc;

	key_account(&txn->key, counting->account);
	rc = scan_begin(txn, TABLE_CONTENTS, txn->key.n, &scan, err);
	while (rc == MBJ_OK) {
		rc = scan_next_content(&scan, &mailbox, &content, err);
		if (rc == MBJ_OK)
			rc = gather_content(counting->gather, mailbox, &content,
					    err);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* A message of no content belongs to what is to be reaped. */
static enum mbj_rc orphan_check(struct counting *counting,
				struct mbj_series series, struct mbj_error *err)
{
	const struct orphan orphan = {counting->account, series, MBJ_ID_ROOT};
	struct mbj_txn *txn = counting->txn;
	struct mbj_bytes value;
	char text[MBJ_ID_TEXT_SIZE];
	enum mbj_rc rc;

	key_orphan(&txn->key, &orphan);
	rc = txn_get(txn, TABLE_ORPHANS, &value, err);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	mbj_id_print(series.mailbox, text);
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "messages that began in mailbox %s are in no "
			     "mailbox",
			     text);
}

static enum mbj_rc message_count(struct counting *counting,
				 struct mbj_bytes key, struct mbj_bytes value,
				 struct mbj_error *err)
{
	struct mbj_message message;
	struct mbj_series series;
	struct gathered *gathered;
	size_t uid_at = 2 * MBJ_ID_SIZE + 4;
	enum mbj_rc rc;

	if (key.n != uid_at + 4 ||
	    !record_message_decode(key_uid(mbj_bytes_make(key.p + uid_at, 4)),
				   value, &message))
		return record_damaged(TABLE_MESSAGES, key, err);
	memcpy(series.mailbox.b, key.p + MBJ_ID_SIZE, MBJ_ID_SIZE);
	series.birth = key_uid(mbj_bytes_make(key.p + 2 * MBJ_ID_SIZE, 4));
	gathered = gather_seek(counting->gather, series);
	if (gathered == NULL)
		return orphan_check(counting, series, err);
	rc = gather_message(gathered, &message, err);
	if (rc < 0)
		return rc;
	return record_sum(counting->txn, TABLE_MESSAGES, key, value, true,
			  &gathered->found.digest, err);
}

static enum mbj_rc messages_count(struct counting *counting,
				  struct mbj_error *err)
{
	struct mbj_txn *txn = counting->txn;
	struct mbj_scan scan = {0};
	struct mbj_bytes key, rest, value;
	enum mbj_rc rc;

	key_account(&txn->key, counting->account);
	rc = scan_begin(txn, TABLE_MESSAGES, txn->key.n, &scan, err);
	while (rc == MBJ_OK) {
		rc = scan_next(&scan, &key, &rest, &value, err);
		if (rc == MBJ_OK)
			rc = message_count(counting, key, value, err);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* What is reaped is a mailbox's no more. */
static enum mbj_rc orphans_check(struct counting *counting,
				 struct mbj_error *err)
{
	struct mbj_txn *txn = counting->txn;
	struct mbj_scan scan = {0};
	struct mbj_bytes key, rest, value;
	char text[MBJ_ID_TEXT_SIZE];
	struct orphan orphan;
	enum mbj_rc rc;

	key_account(&txn->key, counting->account);
	rc = scan_begin(txn, TABLE_ORPHANS, txn->key.n, &scan, err);
	while (rc == MBJ_OK) {
		rc = scan_next(&scan, &key, &rest, &value, err);
		if (rc < 0)
			break;
		if (!record_orphan_decode(key, value, &orphan)) {
			rc = record_damaged(TABLE_ORPHANS, key, err);
		} else if (gather_has(counting->gather, orphan.series)) {
			mbj_id_print(orphan.series.mailbox, text);
			rc = mbj_error_set(err, MBJ_ECORRUPT,
					   "messages that began in mailbox %s "
					   "wait to be reaped, and are a "
					   "mailbox's",
					   text);
		}
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

enum mbj_rc contents_check(struct mbj_txn *txn,
			   const struct mbj_account *account,
			   struct gather *gather, struct mbj_error *err)
{
	struct counting counting = {txn, account->id, gather};
	enum mbj_rc rc;

	rc = contents_load(&counting, err);
	if (rc == MBJ_OK)
		rc = orphans_check(&counting, err);
	if (rc == MBJ_OK)
		rc = messages_count(&counting, err);
	if (rc == MBJ_OK)
		rc = gather_judge(gather, account, err);
	return rc;
}
