/*
 * What a mailbox holds as a whole: its content's record, messages coming in,
 * content changing hands or losing its mailbox; see mbj/message.h.
 *
 * Not here: messages that are there already (state_message.c), what is left
 * behind (state_reap.c).
 *
 * Each mutation checks everything before it changes anything, as in
 * state_mailbox.c.
 */
#include <string.h>

#include <mbj/check.h>

#include "state_content.h"

enum mbj_rc mbj_txn_content_get(struct mbj_txn *txn, struct mbj_id account,
				struct mbj_id mailbox,
				struct mbj_content *ret_content,
				struct mbj_error *err)
{
	struct mbj_bytes value;
	enum mbj_rc rc;

	key_pair(&txn->key, account, mailbox.b, sizeof(mailbox.b));
	rc = txn_get(txn, TABLE_CONTENTS, &value, err);
	if (rc == MBJ_ENOTFOUND) {
		*ret_content = (struct mbj_content){
			.rev = 1,
			.uidnext = 1,
			.modseq = MBJ_MODSEQ_FIRST,
			.series = {mailbox, 0},
		};
		return MBJ_OK;
	}
	if (rc < 0)
		return rc;
	if (!record_content_decode(value, ret_content))
		return record_damaged(TABLE_CONTENTS, mbj_buf_view(&txn->key),
				      err);
	return MBJ_OK;
}

static enum mbj_rc mailbox_check(struct mbj_txn *txn, struct mbj_id account,
				 struct mbj_id id, struct mbj_error *err)
{
	struct mbj_mailbox mailbox;
	char text[MBJ_ID_TEXT_SIZE];
	enum mbj_rc rc;

	rc = mbj_txn_mailbox_get(txn, account, id, &mailbox, err);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	mbj_id_print(id, text);
	return conflict(err, "mailbox %s does not exist", text);
}

enum mbj_rc content_open(struct mbj_txn *txn, struct mbj_id account,
			 struct mbj_id mailbox, uint64_t rev, uint64_t modseq,
			 struct content_edit *ret_edit, struct mbj_error *err)
{
	struct content_edit edit = {.txn = txn, .mailbox = mailbox};
	char text[MBJ_ID_TEXT_SIZE];
	enum mbj_rc rc;

	rc = account_expect(txn, account, &edit.account, err);
	if (rc == MBJ_OK)
		rc = mailbox_check(txn, account, mailbox, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_content_get(txn, account, mailbox, &edit.content,
					 err);
	if (rc < 0)
		return rc;
	if (edit.content.rev == rev && modseq >= edit.content.modseq &&
	    modseq <= MBJ_MODSEQ_MAX) {
		*ret_edit = edit;
		return MBJ_OK;
	}
	mbj_id_print(mailbox, text);
	if (edit.content.rev != rev)
		return conflict(err,
				"the content of mailbox %s has revision %llu, "
				"not %llu",
				text, (unsigned long long)edit.content.rev,
				(unsigned long long)rev);
	return conflict(err,
			"mailbox %s has HIGHESTMODSEQ %llu, a change cannot "
			"have %llu",
			text, (unsigned long long)edit.content.modseq,
			(unsigned long long)modseq);
}

enum mbj_rc content_close(struct content_edit *edit, uint64_t modseq,
			  struct mbj_error *err)
{
	struct mbj_txn *txn = edit->txn;
	struct mbj_account *account = &edit->account;
	enum mbj_rc rc;

	edit->content.rev++;
	edit->content.modseq = modseq;
	key_pair(&txn->key, account->id, edit->mailbox.b,
		 sizeof(edit->mailbox.b));
	record_content_encode(&txn->value, &edit->content);
	rc = txn_put_summed(txn, TABLE_CONTENTS, account, err);
	if (rc == MBJ_OK)
		rc = account_put(txn, account, err);
	return rc == MBJ_OK ? vanished_trim(edit, err) : rc;
}

enum mbj_rc message_sum(struct content_edit *edit, bool is_added,
			struct mbj_error *err)
{
	struct mbj_txn *txn = edit->txn;
	enum mbj_rc rc;

	/* What did not fit into memory would be summed all the same. */
	rc = mbj_buf_ok(&txn->key, err);
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(&txn->value, err);
	if (rc < 0)
		return rc;
	return record_sum(txn, TABLE_MESSAGES, mbj_buf_view(&txn->key),
			  mbj_buf_view(&txn->value), is_added,
			  &edit->content.digest, err);
}

enum mbj_rc message_put(struct content_edit *edit,
			const struct mbj_message *message,
			struct mbj_error *err)
{
	struct mbj_txn *txn = edit->txn;
	enum mbj_rc rc;

	key_message(&txn->key, edit->account.id, edit->content.series,
		    message->uid);
	record_message_encode(&txn->value, message);
	rc = message_sum(edit, true, err);
	if (rc == MBJ_OK)
		rc = txn_put(txn, TABLE_MESSAGES, err);
	return rc;
}

enum mbj_rc content_count(struct content_edit *edit, uint64_t size,
			  bool is_added, struct mbj_error *err)
{
	struct mbj_account *account = &edit->account;
	struct mbj_content *content = &edit->content;

	if (is_added) {
		content->message_count++;
		content->message_size += size;
		account->message_count++;
		account->message_size += size;
		return MBJ_OK;
	}
	if (content->message_count == 0 || content->message_size < size ||
	    account->message_count < content->message_count ||
	    account->message_size < content->message_size)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the account counts fewer messages than "
				     "it has");
	content->message_count--;
	content->message_size -= size;
	account->message_count--;
	account->message_size -= size;
	return MBJ_OK;
}

static enum mbj_rc message_check(const struct content_edit *edit,
				 const struct mbj_message *message,
				 struct mbj_error *err)
{
	if (message->uid < edit->content.uidnext ||
	    message->uid >= MBJ_UIDNEXT_MAX)
		return conflict(err, "UID %lu, where UIDNEXT is %lu",
				(unsigned long)message->uid,
				(unsigned long)edit->content.uidnext);
	if (message->flags > MBJ_FLAGS_ALL ||
	    !mbj_keywords_are_good(message->keywords))
		return conflict(err, "the message's flags are none");
	if (message->guid.n > 0 && !mbj_guid_is_good(message->guid))
		return conflict(err, "the message's GUID is none");
	/* Sums stay sums: 2^32 messages of this size fit. */
	if (message->size > UINT32_MAX)
		return conflict(err, "the message has %llu bytes, beyond %lu",
				(unsigned long long)message->size,
				(unsigned long)UINT32_MAX);
	return MBJ_OK;
}

enum mbj_rc mbj_txn_message_append(struct mbj_txn *txn, struct mbj_id account,
				   struct mbj_id mailbox, uint64_t rev,
				   const struct mbj_message *message,
				   struct mbj_error *err)
{
	struct content_edit edit;
	enum mbj_rc rc;

	rc = content_open(txn, account, mailbox, rev, message->modseq, &edit,
			  err);
	if (rc == MBJ_OK)
		rc = message_check(&edit, message, err);
	/* This one has something to check before it counts. */
	if (rc == MBJ_OK)
		rc = blob_take(txn, &message->blob, message->size, err);
	if (rc == MBJ_OK)
		rc = message_put(&edit, message, err);
	if (rc == MBJ_OK)
		rc = content_count(&edit, message->size, true, err);
	if (rc < 0)
		return rc;
	edit.content.uidnext = message->uid + 1;
	return content_close(&edit, message->modseq, err);
}

/* ------------------------------------------------------- changing hands */

/* A target that never held a message: no UID of it can mean two. */
static enum mbj_rc target_check(struct mbj_txn *txn, struct mbj_id account,
				struct mbj_id source, struct mbj_id target,
				struct mbj_error *err)
{
	struct mbj_content content;
	char text[MBJ_ID_TEXT_SIZE];
	enum mbj_rc rc;

	mbj_id_print(target, text);
	if (mbj_id_equal(source, target))
		return conflict(err, "mailbox %s cannot take from itself",
				text);
	rc = mailbox_check(txn, account, target, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_content_get(txn, account, target, &content, err);
	if (rc == MBJ_OK && content.rev != 1)
		rc = conflict(err, "mailbox %s has held messages of its own",
			      text);
	return rc;
}

enum mbj_rc mbj_txn_message_take_all(struct mbj_txn *txn, struct mbj_id account,
				     struct mbj_id mailbox, uint64_t rev,
				     struct mbj_id target, uint64_t modseq,
				     struct mbj_error *err)
{
	struct content_edit from;
	struct content_edit to;
	enum mbj_rc rc;

	rc = content_open(txn, account, mailbox, rev, modseq, &from, err);
	if (rc == MBJ_OK)
		rc = target_check(txn, account, mailbox, target, err);
	if (rc == MBJ_OK && from.content.births == UINT32_MAX)
		rc = conflict(err, "the mailbox has given away too often");
	if (rc == MBJ_OK)
		rc = vanished_put_all(&from, modseq, err);
	if (rc < 0)
		return rc;
	to = from;
	to.mailbox = target;
	to.content.rev = 1;
	to.content.births = 0;
	from.content.births++;
	from.content.series = (struct mbj_series){mailbox, from.content.births};
	from.content.message_count = 0;
	from.content.message_size = 0;
	from.content.digest = (struct mbj_digest){{0}};
	/* What was not touched keeps its modseq, and so its HIGHESTMODSEQ. */
	rc = content_close(&to, to.content.modseq, err);
	from.account = to.account;
	if (rc == MBJ_OK)
		rc = content_close(&from, modseq, err);
	return rc;
}

/* ------------------------------------------------------- losing the mailbox */

static enum mbj_rc orphan_put(struct mbj_txn *txn, struct mbj_id account,
			      struct mbj_id mailbox, struct mbj_series series,
			      struct mbj_error *err)
{
	const struct orphan orphan = {account, series, mailbox};

	txn->state->has_orphans = true;
	key_orphan(&txn->key, &orphan);
	record_orphan_encode(&txn->value, &orphan);
	return txn_put(txn, TABLE_ORPHANS, err);
}

enum mbj_rc content_drop(struct mbj_txn *txn, struct mbj_account *account,
			 struct mbj_id mailbox, struct mbj_error *err)
{
	struct mbj_content content;
	enum mbj_rc rc;

	rc = mbj_txn_content_get(txn, account->id, mailbox, &content, err);
	if (rc < 0 || content.rev == 1)
		return rc;
	if (account->message_count < content.message_count ||
	    account->message_size < content.message_size)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the account counts fewer messages than "
				     "it has");
	account->message_count -= content.message_count;
	account->message_size -= content.message_size;
	key_pair(&txn->key, account->id, mailbox.b, sizeof(mailbox.b));
	rc = txn_del_summed(txn, TABLE_CONTENTS, account, err);
	if (rc == MBJ_OK)
		rc = orphan_put(txn, account->id, mailbox, content.series, err);
	return rc;
}

enum mbj_rc scan_next_content(struct mbj_scan *scan, struct mbj_id *ret_mailbox,
			      struct mbj_content *ret_content,
			      struct mbj_error *err)
{
	struct mbj_bytes key, value;
	enum mbj_rc rc = scan_next_id(scan, &key, ret_mailbox, &value, err);

	if (rc < 0)
		return rc;
	if (!record_content_decode(value, ret_content))
		return record_damaged(TABLE_CONTENTS, key, err);
	return MBJ_OK;
}

enum mbj_rc contents_drop(struct mbj_txn *txn, struct mbj_id account,
			  struct mbj_error *err)
{
	struct mbj_content content;
	struct mbj_scan scan = {0};
	struct mbj_id mailbox;
	enum mbj_rc rc;

	key_account(&txn->key, account);
	rc = scan_begin(txn, TABLE_CONTENTS, txn->key.n, &scan, err);
	while (rc == MBJ_OK) {
		rc = scan_next_content(&scan, &mailbox, &content, err);
		/* Into another table's cache: the cursor stays good. */
		if (rc == MBJ_OK)
			rc = orphan_put(txn, account, mailbox, content.series,
					err);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}
