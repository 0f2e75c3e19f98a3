/*
 * The scenarios of messages in which calls and allocations fail: storing their
 * content, each kind of edit, reaping, reading; replays fetch in scenarios of
 * fault_work.c.  And what must be true of content after any fault.
 */
#include <string.h>

#include <mbj/blob.h>
#include <mbj/message.h>

#include "fault_lab.h"

enum { SET_SIZE = 64, STEPS_MAX = 3, PIECE = 4096, ACCOUNT = 3 };

/* --------------------------------------------------------------- content */

/* What a number stands for: a short text, or what takes several writes. */
static enum mbj_rc content_put(struct mbj_store *store, unsigned number,
			       struct mbj_message_edit *step,
			       struct mbj_error *err)
{
	static uint8_t bytes[3 * PIECE + 100];
	size_t n = number % 2 == 0 ? 100 + number : sizeof(bytes) - number;
	struct mbj_blob_writer *writer = NULL;
	struct mbj_blobs *blobs = NULL;
	enum mbj_rc rc;

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)('a' + (i * (number + 1) + i / 251) % 24);
	rc = mbj_store_blobs(store, &blobs, err);
	if (rc == MBJ_OK)
		rc = mbj_blob_writer_begin(blobs, &writer, err);
	for (size_t at = 0; rc == MBJ_OK && at < n; at += PIECE)
		rc = mbj_blob_writer_write(writer,
					   mbj_bytes_make(bytes + at,
							  n - at < PIECE
								  ? n - at
								  : PIECE),
					   err);
	if (rc == MBJ_OK)
		rc = mbj_blob_writer_finish(&writer, &step->blob, &step->size,
					    err);
	/* Some producers settle what they stored by themselves. */
	if (rc == MBJ_OK && number % 2 == 0)
		rc = mbj_blob_settle(blobs, &step->blob, err);
	mbj_blob_writer_abort(&writer);
	return rc;
}

static enum mbj_rc blob_read(struct mbj_blobs *blobs,
			     const struct mbj_message *message,
			     struct mbj_error *err)
{
	struct mbj_blob_reader *reader = NULL;
	uint8_t piece[PIECE];
	uint64_t size = 0;
	size_t got = 1;
	enum mbj_rc rc;

	rc = mbj_blob_reader_open(blobs, &message->blob, &reader, &size, err);
	while (rc == MBJ_OK && got > 0)
		rc = mbj_blob_reader_read(reader, piece, sizeof(piece), &got,
					  err);
	mbj_blob_reader_close(&reader);
	return rc;
}

/*
 * A replica may have noted that it could not have it, and asks again; once it
 * has come, the note stays until the next group.
 */
static enum mbj_rc blob_is_wanted(struct mbj_txn *txn,
				  const struct mbj_hash *blob, bool *ret_is,
				  struct mbj_error *err)
{
	struct mbj_scan scan = {.txn = NULL};
	struct mbj_hash found;
	uint64_t count, size;
	enum mbj_rc rc;

	*ret_is = false;
	rc = mbj_scan_blobs(txn, true, &scan, err);
	while (rc == MBJ_OK && !*ret_is) {
		rc = mbj_scan_next_blob(&scan, &found, &count, &size, err);
		*ret_is = rc == MBJ_OK &&
			  memcmp(&found, blob, sizeof(found)) == 0;
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* Every message of a mailbox; what is wanted and not here is counted. */
static enum mbj_rc mailbox_read(struct mbj_txn *txn, struct mbj_id account,
				struct mbj_id mailbox, struct mbj_blobs *blobs,
				uint64_t *wanted, struct mbj_error *err)
{
	struct mbj_scan scan = {.txn = NULL};
	struct mbj_content content;
	struct mbj_message message;
	enum mbj_rc rc;

	rc = mbj_txn_content_get(txn, account, mailbox, &content, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_messages(txn, account, content.series, 1, &scan,
				       err);
	while (rc == MBJ_OK) {
		bool is_wanted = false;

		rc = mbj_scan_next_message(&scan, &message, err);
		if (rc == MBJ_ENOTFOUND) {
			rc = MBJ_OK;
			break;
		}
		if (rc == MBJ_OK)
			rc = blob_is_wanted(txn, &message.blob, &is_wanted,
					    err);
		if (rc == MBJ_OK)
			rc = blob_read(blobs, &message, err);
		if (rc == MBJ_ENOTFOUND && is_wanted) {
			++*wanted;
			rc = MBJ_OK;
		}
	}
	mbj_scan_done(&scan);
	return rc;
}

enum mbj_rc fault_contents_read(struct mbj_store *store, uint64_t *ret_wanted,
				struct mbj_error *err)
{
	struct mbj_scan scan = {.txn = NULL};
	struct mbj_blobs *blobs = NULL;
	struct mbj_account account;
	struct mbj_mailbox mailbox;
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	*ret_wanted = 0;
	rc = mbj_store_read(store, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_account_find(txn, mbj_bytes_str("u3"), &account,
					  err);
	/* The store has none yet, or no longer. */
	if (rc == MBJ_ENOTFOUND) {
		mbj_txn_abort(&txn);
		return MBJ_OK;
	}
	if (rc == MBJ_OK)
		rc = mbj_store_blobs_read(mbj_store_sys(store),
					  mbj_store_dir(store), &blobs, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_mailboxes(txn, account.id, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_mailbox(&scan, &mailbox, err);
		if (rc == MBJ_ENOTFOUND) {
			rc = MBJ_OK;
			break;
		}
		if (rc == MBJ_OK)
			rc = mailbox_read(txn, account.id, mailbox.id, blobs,
					  ret_wanted, err);
	}
	mbj_scan_done(&scan);
	mbj_blobs_close(&blobs);
	mbj_txn_abort(&txn);
	return rc;
}

enum mbj_rc fault_store_check(struct fault_lab *lab, struct mbj_store *store,
			      struct mbj_error *err)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;
	uint64_t wanted = 0;
	enum mbj_rc rc;

	rc = fault_accounts_check(store, err);
	if (rc == MBJ_OK)
		rc = fault_contents_read(store, &wanted, err);
	if (rc != MBJ_OK || wanted == 0)
		return rc;
	if (mbj_store_identity(store)->role == MBJ_STORE_PRIMARY)
		return mbj_error_set(err, MBJ_EIO, "a primary wants content");
	rc = mbj_replay_journal(store, lab->primary, &options, &result, err);
	if (rc == MBJ_OK)
		rc = fault_contents_read(store, &wanted, err);
	if (rc == MBJ_OK && wanted > 0)
		rc = mbj_error_set(err, MBJ_EIO,
				   "content is still wanted after a replay");
	return rc;
}

/* ----------------------------------------------------------------- edits */

struct steps {
	struct mbj_message_edit list[STEPS_MAX];
	uint8_t set[SET_SIZE];
	size_t count;
};

static struct mbj_message_edit *step_add(struct steps *steps,
					 enum mbj_message_edit_kind kind)
{
	struct mbj_message_edit *step = &steps->list[steps->count++];

	ck_assert_uint_le(steps->count, STEPS_MAX);
	*step = (struct mbj_message_edit){
		.kind = kind,
		.mailbox = site_mailbox(ACCOUNT, 1),
		.target = site_mailbox(ACCOUNT, 2),
		.mode = MBJ_FLAGS_ADD,
	};
	return step;
}

/* An edit of account u3 in an open store. */
static enum mbj_rc submit(struct fault_lab *lab, struct mbj_store *store,
			  struct mbj_edit *edit, struct mbj_error *err)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	enum mbj_rc rc;

	edit->account = mbj_bytes_str("u3");
	rc = mbj_store_submit(store, edit, &outcome, err);
	if (rc == MBJ_OK && outcome.lsn.v > lab->acked)
		lab->acked = outcome.lsn.v;
	mbj_outcome_done(&outcome);
	return rc;
}

static enum mbj_rc steps_submit(struct fault_lab *lab, struct mbj_store *store,
				const struct steps *steps,
				struct mbj_error *err)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_MESSAGES;
	edit.messages = steps->list;
	edit.message_count = steps->count;
	return submit(lab, store, &edit, err);
}

/* So many messages into INBOX, with content from number first on. */
static enum mbj_rc deliver(struct fault_lab *lab, struct mbj_store *store,
			   unsigned first, unsigned count,
			   struct mbj_error *err)
{
	struct steps steps = {.count = 0};
	enum mbj_rc rc = MBJ_OK;

	for (unsigned i = 0; i < count && rc == MBJ_OK; i++) {
		struct mbj_message_edit *step =
			step_add(&steps, MBJ_MESSAGE_APPEND);

		if (i % 2 == 1)
			step->guid = mbj_bytes_str("1.M2P3.host,S=4,W=5");
		rc = content_put(store, first + i, step, err);
	}
	if (rc == MBJ_OK)
		rc = steps_submit(lab, store, &steps, err);
	return rc;
}

void fault_messages_make(struct fault_lab *lab, struct mbj_store *store)
{
	site_import(store, ACCOUNT, 3);
	SITE_OK(deliver(lab, store, 0, 3, err));
}

static enum mbj_rc deliver_run(struct fault_lab *lab, unsigned first,
			       unsigned count, struct mbj_error *err)
{
	struct mbj_store *store = NULL;
	enum mbj_rc rc;

	rc = mbj_replica_open(lab->primary, &lab->options, &store, err);
	if (rc == MBJ_OK)
		rc = deliver(lab, store, first, count, err);
	mbj_store_close(&store);
	return rc;
}

enum mbj_rc fault_run_deliver(struct fault_lab *lab, struct mbj_error *err)
{
	return deliver_run(lab, 5, 1, err);
}

enum mbj_rc fault_run_deliver_known(struct fault_lab *lab,
				    struct mbj_error *err)
{
	return deliver_run(lab, 1, 1, err);
}

enum mbj_rc fault_run_deliver_more(struct fault_lab *lab, struct mbj_error *err)
{
	return deliver_run(lab, 6, 3, err);
}

/* One step of each kind, two of which are about one entry. */
enum mbj_rc fault_run_metadata(struct fault_lab *lab, struct mbj_error *err)
{
	const struct mbj_metadata_edit steps[] = {
		{.kind = MBJ_METADATA_QUOTA,
		 .has = MBJ_METADATA_HAS_SIZE,
		 .quota_size = 1 << 30},
		{.kind = MBJ_METADATA_ACL,
		 .mailbox = site_mailbox(ACCOUNT, 2),
		 .name = mbj_bytes_str("bob"),
		 .value = mbj_bytes_str("lr")},
		{.kind = MBJ_METADATA_ACL,
		 .mailbox = site_mailbox(ACCOUNT, 2),
		 .name = mbj_bytes_str("bob"),
		 .value = mbj_bytes_str("s"),
		 .mode = MBJ_RIGHTS_ADD},
		{.kind = MBJ_METADATA_ENTRY,
		 .mailbox = site_mailbox(ACCOUNT, 2),
		 .name = mbj_bytes_str("/shared/comment"),
		 .value = mbj_bytes_str("x")},
		{.kind = MBJ_METADATA_SUBSCRIBE, .name = mbj_bytes_str("a/b")},
	};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_store *store = NULL;
	enum mbj_rc rc;

	edit.kind = MBJ_EDIT_METADATA;
	edit.metadata = steps;
	edit.metadata_count = sizeof(steps) / sizeof(steps[0]);
	rc = mbj_replica_open(lab->primary, &lab->options, &store, err);
	if (rc == MBJ_OK)
		rc = submit(lab, store, &edit, err);
	mbj_store_close(&store);
	return rc;
}

/* One step about messages 1 and 2 of INBOX. */
static enum mbj_rc set_run(struct fault_lab *lab,
			   enum mbj_message_edit_kind kind,
			   struct mbj_error *err)
{
	struct mbj_store *store = NULL;
	struct steps steps = {.count = 0};
	struct mbj_message_edit *step = step_add(&steps, kind);
	struct mbj_buf uids;
	enum mbj_rc rc;

	mbj_buf_init(&uids, SET_SIZE);
	mbj_uids_put(&uids, 1, 2);
	rc = mbj_buf_ok(&uids, err);
	if (rc == MBJ_OK && uids.n > 0) {
		memcpy(steps.set, uids.p, uids.n);
		step->uids = mbj_bytes_make(steps.set, uids.n);
	}
	mbj_buf_done(&uids);
	step->flags = kind == MBJ_MESSAGE_FLAGS ? MBJ_FLAG_SEEN : 0;
	if (rc == MBJ_OK)
		rc = mbj_replica_open(lab->primary, &lab->options, &store, err);
	if (rc == MBJ_OK)
		rc = steps_submit(lab, store, &steps, err);
	mbj_store_close(&store);
	return rc;
}

enum mbj_rc fault_run_flags(struct fault_lab *lab, struct mbj_error *err)
{
	return set_run(lab, MBJ_MESSAGE_FLAGS, err);
}

enum mbj_rc fault_run_expunge(struct fault_lab *lab, struct mbj_error *err)
{
	return set_run(lab, MBJ_MESSAGE_EXPUNGE, err);
}

enum mbj_rc fault_run_copy(struct fault_lab *lab, struct mbj_error *err)
{
	return set_run(lab, MBJ_MESSAGE_COPY, err);
}

enum mbj_rc fault_run_move(struct fault_lab *lab, struct mbj_error *err)
{
	return set_run(lab, MBJ_MESSAGE_MOVE, err);
}

/* INBOX hands all it has over, and takes one more. */
enum mbj_rc fault_run_take_all(struct fault_lab *lab, struct mbj_error *err)
{
	struct mbj_store *store = NULL;
	struct mbj_lsn lsn = {0};
	enum mbj_rc rc;

	rc = mbj_replica_open(lab->primary, &lab->options, &store, err);
	if (rc == MBJ_OK)
		rc = site_rename(store, ACCOUNT, "INBOX", "old", &lsn, err);
	if (rc == MBJ_OK) {
		lab->acked = lsn.v;
		rc = deliver(lab, store, 2, 1, err);
	}
	mbj_store_close(&store);
	return rc;
}

/* What a mailbox held goes with the edits after the one that destroyed it. */
enum mbj_rc fault_run_reap(struct fault_lab *lab, struct mbj_error *err)
{
	struct mbj_change change = {.kind = MBJ_CHANGE_DESTROY,
				    .id = site_mailbox(ACCOUNT, 2)};
	struct steps steps = {.count = 0};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_store *store = NULL;
	enum mbj_rc rc;

	edit.kind = MBJ_EDIT_SET;
	edit.changes = &change;
	edit.change_count = 1;
	edit.is_emptying = true;
	rc = mbj_replica_open(lab->primary, &lab->options, &store, err);
	if (rc == MBJ_OK) {
		step_add(&steps, MBJ_MESSAGE_APPEND)->mailbox =
			site_mailbox(ACCOUNT, 2);
		rc = content_put(store, 4, &steps.list[0], err);
	}
	if (rc == MBJ_OK)
		rc = steps_submit(lab, store, &steps, err);
	if (rc == MBJ_OK)
		rc = submit(lab, store, &edit, err);
	if (rc == MBJ_OK)
		rc = deliver(lab, store, 2, 1, err);
	mbj_store_close(&store);
	return rc;
}

enum mbj_rc fault_run_cat(struct fault_lab *lab, struct mbj_error *err)
{
	struct mbj_store *store = NULL;
	uint64_t wanted;
	enum mbj_rc rc;

	rc = mbj_replica_open(lab->primary, &lab->options, &store, err);
	if (rc == MBJ_OK)
		rc = fault_contents_read(store, &wanted, err);
	mbj_store_close(&store);
	return rc;
}

/* The content alone, behind all groups of trees. */
enum mbj_rc fault_run_fetch(struct fault_lab *lab, struct mbj_error *err)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;
	struct mbj_store *store = NULL;
	enum mbj_rc rc;

	rc = mbj_replica_open(lab->lacking, &lab->options, &store, err);
	if (rc == MBJ_OK)
		rc = mbj_replay_journal(store, lab->primary, &options, &result,
					err);
	if (rc == MBJ_OK) {
		lab->applied = result.applied.v;
		lab->applied_dir = lab->lacking;
	}
	mbj_store_close(&store);
	return rc;
}
