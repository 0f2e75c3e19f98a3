/*
 * Messages that are there: reading, flags, GUIDs, expunging; see mbj/message.h.
 */
#include <mbj/check.h>

#include "state_content.h"

/*
 * UIDs of a range that are asked for one by one; a longer one is scanned, for
 * which the transaction has to be flushed.
 */
enum { WALK_LOOKUPS_MAX = 64 };

enum mbj_rc mbj_txn_message_get(struct mbj_txn *txn, struct mbj_id account,
				struct mbj_series series, uint32_t uid,
				struct mbj_message *ret_message,
				struct mbj_error *err)
{
	struct mbj_bytes value;
	enum mbj_rc rc;

	key_message(&txn->key, account, series, uid);
	rc = txn_get(txn, TABLE_MESSAGES, &value, err);
	if (rc < 0)
		return rc;
	if (!record_message_decode(uid, value, ret_message))
		return record_damaged(TABLE_MESSAGES, mbj_buf_view(&txn->key),
				      err);
	return MBJ_OK;
}

enum mbj_rc mbj_scan_messages(struct mbj_txn *txn, struct mbj_id account,
			      struct mbj_series series, uint32_t first,
			      struct mbj_scan *ret_scan, struct mbj_error *err)
{
	key_message(&txn->key, account, series, first);
	return scan_begin(txn, TABLE_MESSAGES, txn->key.n - sizeof(first),
			  ret_scan, err);
}

enum mbj_rc mbj_scan_next_message(struct mbj_scan *scan,
				  struct mbj_message *ret_message,
				  struct mbj_error *err)
{
	struct mbj_bytes key, rest, value;
	enum mbj_rc rc = scan_next(scan, &key, &rest, &value, err);

	if (rc < 0)
		return rc;
	if (!record_message_decode(key_uid(rest), value, ret_message))
		return record_damaged(TABLE_MESSAGES, key, err);
	return MBJ_OK;
}

/* ------------------------------------------------ the messages of a set */

/* One after the other those messages of a UID set that are there. */
struct walk {
	const struct content_edit *edit;
	struct mbj_bytes uids;
	size_t index; /* of the range after this one */
	uint64_t next;
	uint64_t last;
	struct mbj_scan scan; /* begun: this range is scanned */
};

static enum mbj_rc walk_next_scanned(struct walk *walk,
				     struct mbj_message *ret_message,
				     struct mbj_error *err)
{
	enum mbj_rc rc = mbj_scan_next_message(&walk->scan, ret_message, err);

	if (rc == MBJ_OK && ret_message->uid > walk->last)
		rc = MBJ_ENOTFOUND;
	if (rc == MBJ_OK)
		walk->next = (uint64_t)ret_message->uid + 1;
	else
		mbj_scan_done(&walk->scan);
	if (rc == MBJ_ENOTFOUND)
		walk->next = walk->last + 1;
	return rc;
}

static enum mbj_rc walk_enter(struct walk *walk, struct mbj_error *err)
{
	const struct content_edit *edit = walk->edit;
	struct mbj_uid_range range = mbj_uids_get(walk->uids, walk->index++);

	walk->next = range.first;
	walk->last = range.last;
	if (range.last - range.first < WALK_LOOKUPS_MAX)
		return MBJ_OK;
	return mbj_scan_messages(edit->txn, edit->account.id,
				 edit->content.series, range.first, &walk->scan,
				 err);
}

/* MBJ_ENOTFOUND at the end; what is borrowed lives until the next call. */
static enum mbj_rc walk_next(struct walk *walk, struct mbj_message *ret_message,
			     struct mbj_error *err)
{
	const struct content_edit *edit = walk->edit;
	enum mbj_rc rc;

	for (;;) {
		while (walk->next <= walk->last) {
			if (walk->scan.is_begun)
				rc = walk_next_scanned(walk, ret_message, err);
			else
				rc = mbj_txn_message_get(edit->txn,
							 edit->account.id,
							 edit->content.series,
							 (uint32_t)walk->next++,
							 ret_message, err);
			if (rc != MBJ_ENOTFOUND)
				return rc;
		}
		if (walk->index == mbj_uids_count(walk->uids))
			return MBJ_ENOTFOUND;
		rc = walk_enter(walk, err);
		if (rc < 0)
			return rc;
	}
}

static void walk_begin(struct walk *walk, const struct content_edit *edit,
		       struct mbj_bytes uids)
{
	*walk = (struct walk){.edit = edit, .uids = uids, .next = 1};
}

static enum mbj_rc uids_check(const struct content_edit *edit,
			      struct mbj_bytes uids, struct mbj_error *err)
{
	struct mbj_uid_range range;

	if (!mbj_uids_are_good(uids))
		return conflict(err, "the set of UIDs is none");
	range = mbj_uids_get(uids, mbj_uids_count(uids) - 1);
	if (range.last >= edit->content.uidnext)
		return conflict(err, "UID %lu, where UIDNEXT is %lu",
				(unsigned long)range.last,
				(unsigned long)edit->content.uidnext);
	return MBJ_OK;
}

/* ---------------------------------------------------------------- flags */

/*
 * What a change makes of a message; its keywords are built in scratch.
 * *ret_is_changed false: nothing.
 */
static enum mbj_rc message_after(const struct mbj_flags_change *change,
				 const struct mbj_message *message,
				 struct mbj_buf *scratch,
				 struct mbj_message *ret_after,
				 bool *ret_is_changed, struct mbj_error *err)
{
	struct mbj_message after = *message;
	enum mbj_rc rc;

	if (change->mode == MBJ_FLAGS_ADD)
		after.flags |= change->flags;
	else if (change->mode == MBJ_FLAGS_REMOVE)
		after.flags &= (uint8_t)~change->flags;
	else
		after.flags = change->flags;
	mbj_buf_clear(scratch);
	mbj_keywords_change(message->keywords, change->keywords, change->mode,
			    scratch);
	if (scratch->failed == MBJ_ELIMIT)
		return conflict(err,
				"the keywords of message %lu would have more "
				"than %d bytes",
				(unsigned long)message->uid, MBJ_KEYWORDS_MAX);
	rc = mbj_buf_ok(scratch, err);
	if (rc < 0)
		return rc;
	after.keywords = mbj_buf_view(scratch);
	*ret_is_changed = after.flags != message->flags ||
			  !mbj_bytes_equal(after.keywords, message->keywords);
	after.modseq = change->modseq;
	*ret_after = after;
	return MBJ_OK;
}

static enum mbj_rc message_replace(struct content_edit *edit,
				   const struct mbj_message *message,
				   const struct mbj_message *after,
				   struct mbj_error *err)
{
	enum mbj_rc rc;

	key_message(&edit->txn->key, edit->account.id, edit->content.series,
		    message->uid);
	record_message_encode(&edit->txn->value, message);
	rc = message_sum(edit, false, err);
	if (rc == MBJ_OK)
		rc = message_put(edit, after, err);
	return rc;
}

/* All messages of the set, changed or, for is_dry, counted only. */
static enum mbj_rc messages_mark(struct content_edit *edit,
				 const struct mbj_flags_change *change,
				 bool is_dry, uint64_t *ret_count,
				 struct mbj_error *err)
{
	struct mbj_message message, after;
	struct mbj_buf scratch;
	bool is_changed = false;
	struct walk walk;
	enum mbj_rc rc;

	*ret_count = 0;
	rc = uids_check(edit, change->uids, err);
	if (rc == MBJ_OK && (change->flags > MBJ_FLAGS_ALL ||
			     !mbj_keywords_are_good(change->keywords)))
		rc = conflict(err, "the flags are none");
	if (rc < 0)
		return rc;
	mbj_buf_init(&scratch, MBJ_KEYWORDS_MAX);
	walk_begin(&walk, edit, change->uids);
	while (rc == MBJ_OK) {
		rc = walk_next(&walk, &message, err);
		if (rc == MBJ_OK)
			rc = message_after(change, &message, &scratch, &after,
					   &is_changed, err);
		if (rc < 0 || !is_changed)
			continue;
		++*ret_count;
		if (!is_dry)
			rc = message_replace(edit, &message, &after, err);
	}
	mbj_scan_done(&walk.scan);
	mbj_buf_done(&scratch);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

enum mbj_rc mbj_txn_message_flags_count(struct mbj_txn *txn,
					struct mbj_id account,
					struct mbj_id mailbox,
					const struct mbj_flags_change *change,
					uint64_t *ret_count,
					struct mbj_error *err)
{
	struct content_edit edit = {.txn = txn, .mailbox = mailbox};
	enum mbj_rc rc;

	rc = account_expect(txn, account, &edit.account, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_content_get(txn, account, mailbox, &edit.content,
					 err);
	if (rc < 0)
		return rc;
	return messages_mark(&edit, change, true, ret_count, err);
}

enum mbj_rc mbj_txn_message_flags(struct mbj_txn *txn, struct mbj_id account,
				  struct mbj_id mailbox, uint64_t rev,
				  const struct mbj_flags_change *change,
				  struct mbj_error *err)
{
	size_t savepoint = mbj_txn_savepoint(txn);
	struct content_edit edit;
	uint64_t count;
	enum mbj_rc rc;

	rc = content_open(txn, account, mailbox, rev, change->modseq, &edit,
			  err);
	if (rc == MBJ_OK)
		rc = messages_mark(&edit, change, false, &count, err);
	if (rc == MBJ_OK)
		rc = content_close(&edit, change->modseq, err);
	if (rc < 0)
		mbj_txn_rollback(txn, savepoint);
	return rc;
}

/* ------------------------------------------------------------------ GUIDs */

static enum mbj_rc guid_put(struct content_edit *edit, uint32_t uid,
			    struct mbj_bytes guid, struct mbj_error *err)
{
	struct mbj_message message, after;
	enum mbj_rc rc;

	rc = mbj_txn_message_get(edit->txn, edit->account.id,
				 edit->content.series, uid, &message, err);
	if (rc < 0)
		return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
	after = message;
	after.guid = guid;
	return message_replace(edit, &message, &after, err);
}

enum mbj_rc mbj_txn_message_guid(struct mbj_txn *txn, struct mbj_id account,
				 struct mbj_id mailbox, uint64_t rev,
				 uint32_t uid, struct mbj_bytes guid,
				 struct mbj_error *err)
{
	size_t savepoint = mbj_txn_savepoint(txn);
	struct content_edit edit;
	enum mbj_rc rc;

	rc = content_open(txn, account, mailbox, rev, MBJ_MODSEQ_MAX, &edit,
			  err);
	if (rc < 0)
		return rc;
	if (!mbj_guid_is_good(guid))
		return conflict(err, "the GUID is none");
	if (uid == 0 || uid >= edit.content.uidnext)
		return conflict(err, "UID %lu, where UIDNEXT is %lu",
				(unsigned long)uid,
				(unsigned long)edit.content.uidnext);
	rc = guid_put(&edit, uid, guid, err);
	if (rc == MBJ_OK)
		rc = content_close(&edit, edit.content.modseq, err);
	if (rc < 0)
		mbj_txn_rollback(txn, savepoint);
	return rc;
}

/* -------------------------------------------------------------- expunging */

static enum mbj_rc message_remove(struct content_edit *edit,
				  const struct mbj_message *message,
				  struct mbj_lsn lsn, struct mbj_error *err)
{
	struct mbj_txn *txn = edit->txn;
	enum mbj_rc rc;

	key_message(&txn->key, edit->account.id, edit->content.series,
		    message->uid);
	record_message_encode(&txn->value, message);
	rc = message_sum(edit, false, err);
	if (rc == MBJ_OK)
		rc = txn_del(txn, TABLE_MESSAGES, err);
	if (rc == MBJ_OK)
		rc = content_count(edit, message->size, false, err);
	if (rc == MBJ_OK)
		rc = blob_leave(txn, &message->blob, lsn, err);
	return rc;
}

enum mbj_rc mbj_txn_message_expunge(struct mbj_txn *txn, struct mbj_id account,
				    struct mbj_id mailbox, uint64_t rev,
				    struct mbj_bytes uids, uint64_t modseq,
				    struct mbj_lsn lsn, struct mbj_error *err)
{
	size_t savepoint = mbj_txn_savepoint(txn);
	struct content_edit edit;
	struct mbj_message message;
	struct walk walk;
	enum mbj_rc rc;

	rc = content_open(txn, account, mailbox, rev, modseq, &edit, err);
	if (rc == MBJ_OK)
		rc = uids_check(&edit, uids, err);
	if (rc < 0)
		return rc;
	rc = vanished_put(&edit, uids, modseq, err);
	walk_begin(&walk, &edit, uids);
	while (rc == MBJ_OK) {
		rc = walk_next(&walk, &message, err);
		if (rc == MBJ_OK)
			rc = message_remove(&edit, &message, lsn, err);
	}
	mbj_scan_done(&walk.scan);
	if (rc == MBJ_ENOTFOUND)
		rc = content_close(&edit, modseq, err);
	if (rc < 0)
		mbj_txn_rollback(txn, savepoint);
	return rc;
}
