/*
 * The contents of an account against the messages that there are.
 *
 * Method: contents, sorted by series, beside the messages, which are sorted so
 * by their keys: one pass.
 */
#include <stdlib.h>
#include <string.h>

#include <mbj/check.h>

#include "state_priv.h"

struct counted {
	struct mbj_id mailbox;
	struct mbj_content said;
	struct mbj_content found; /* series, count, size, digest */
};

struct counting {
	struct mbj_txn *txn;
	struct mbj_id account;
	struct counted *contents;
	size_t count;
	size_t capacity;
	size_t at; /* whose messages come now */
};

static int counted_compare(const void *a, const void *b)
{
	const struct counted *x = a;
	const struct counted *y = b;

	return series_compare(x->said.series, y->said.series);
}

static enum mbj_rc content_add(struct counting *counting, struct mbj_id mailbox,
			       const struct mbj_content *content,
			       struct mbj_error *err)
{
	void *contents = counting->contents;
	struct counted counted = {.mailbox = mailbox, .said = *content};
	enum mbj_rc rc;

	rc = mbj_array_reserve(&contents, &counting->capacity,
			       counting->count + 1, sizeof(counted),
			       MBJ_ACCOUNT_MAILBOXES_MAX + 1, err);
	counting->contents = contents;
	if (rc == MBJ_OK)
		counting->contents[counting->count++] = counted;
	return rc;
}

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
			rc = content_add(counting, mailbox, &content, err);
	}
	mbj_scan_done(&scan);
	if (rc == MBJ_ENOTFOUND && counting->count > 0)
		qsort(counting->contents, counting->count,
		      sizeof(*counting->contents), counted_compare);
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
	struct counted *counted;
	size_t uid_at = 2 * MBJ_ID_SIZE + 4;

	if (key.n != uid_at + 4 ||
	    !record_message_decode(key_uid(mbj_bytes_make(key.p + uid_at, 4)),
				   value, &message))
		return record_damaged(TABLE_MESSAGES, key, err);
	memcpy(series.mailbox.b, key.p + MBJ_ID_SIZE, MBJ_ID_SIZE);
	series.birth = key_uid(mbj_bytes_make(key.p + 2 * MBJ_ID_SIZE, 4));
	while (counting->at < counting->count &&
	       series_compare(counting->contents[counting->at].said.series,
			      series) < 0)
		counting->at++;
	if (counting->at == counting->count ||
	    series_compare(counting->contents[counting->at].said.series,
			   series) != 0)
		return orphan_check(counting, series, err);
	counted = &counting->contents[counting->at];
	if (message.uid >= counted->said.uidnext ||
	    message.modseq > counted->said.modseq)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "message %lu is above its mailbox's "
				     "UIDNEXT or HIGHESTMODSEQ",
				     (unsigned long)message.uid);
	counted->found.message_count++;
	counted->found.message_size += message.size;
	return record_sum(counting->txn, TABLE_MESSAGES, key, value, true,
			  &counted->found.digest, err);
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

static enum mbj_rc content_judge(const struct counted *counted,
				 const struct mbj_tree *tree,
				 struct mbj_error *err)
{
	uint32_t index = mbj_tree_find(tree, counted->mailbox);
	char text[MBJ_ID_TEXT_SIZE];

	mbj_id_print(counted->mailbox, text);
	if (index == MBJ_NODE_NONE || !mbj_tree_get(tree, index)->is_live)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "there is a content of mailbox %s, which "
				     "there is not",
				     text);
	if (counted->said.message_count != counted->found.message_count ||
	    counted->said.message_size != counted->found.message_size)
		return mbj_error_set(
			err, MBJ_ECORRUPT,
			"mailbox %s counts %llu messages of %llu bytes, but "
			"has %llu of %llu",
			text, (unsigned long long)counted->said.message_count,
			(unsigned long long)counted->said.message_size,
			(unsigned long long)counted->found.message_count,
			(unsigned long long)counted->found.message_size);
	if (!mbj_digest_equal(&counted->said.digest, &counted->found.digest))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the messages of mailbox %s do not sum to "
				     "its digest",
				     text);
	return MBJ_OK;
}

static enum mbj_rc contents_judge(const struct counting *counting,
				  const struct mbj_account *account,
				  const struct mbj_tree *tree,
				  struct mbj_error *err)
{
	uint64_t count = 0;
	uint64_t size = 0;
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < counting->count; i++) {
		const struct counted *counted = &counting->contents[i];

		if (i > 0 && counted_compare(counted - 1, counted) == 0)
			return mbj_error_set(err, MBJ_ECORRUPT,
					     "two mailboxes have the same "
					     "messages");
		rc = content_judge(counted, tree, err);
		count += counted->found.message_count;
		size += counted->found.message_size;
	}
	if (rc == MBJ_OK &&
	    (count != account->message_count || size != account->message_size))
		rc = mbj_error_set(
			err, MBJ_ECORRUPT,
			"the account counts %llu messages of %llu bytes, but "
			"has %llu of %llu",
			(unsigned long long)account->message_count,
			(unsigned long long)account->message_size,
			(unsigned long long)count, (unsigned long long)size);
	return rc;
}

enum mbj_rc contents_check(struct mbj_txn *txn,
			   const struct mbj_account *account,
			   const struct mbj_tree *tree, struct mbj_error *err)
{
	struct counting counting = {.txn = txn, .account = account->id};
	enum mbj_rc rc;

	rc = contents_load(&counting, err);
	if (rc == MBJ_OK)
		rc = messages_count(&counting, err);
	if (rc == MBJ_OK)
		rc = contents_judge(&counting, account, tree, err);
	mbj_free(counting.contents);
	return rc;
}
