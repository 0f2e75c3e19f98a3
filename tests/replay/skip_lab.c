/*
 * Groups that are given up; see skip_lab.h.
 */
#include "skip_lab.h"

#include <mbj/blob.h>

#include <string.h>

#include "store_impl.h"

/* Groups of it that were given up; 0: none were. */
uint64_t skip_count(struct mbj_store *store, struct mbj_id account,
		    uint64_t *ret_first, uint64_t *ret_last)
{
	struct mbj_skipped skipped = {.count = 0};
	struct mbj_txn *txn = NULL;
	bool is_found;

	OK(mbj_store_read(store, &txn, err));
	OK(mbj_txn_skipped_seek(txn, account, &skipped, &is_found, err));
	mbj_txn_abort(&txn);
	ck_assert(is_found == (skipped.count > 0));
	*ret_first = skipped.first.v;
	*ret_last = skipped.last.v;
	return skipped.count;
}

void skip_lacks(struct fixture *f, const char *account, uint64_t count,
		uint64_t first, uint64_t last)
{
	struct mbj_id id = fixture_account(f->primary, account);
	uint64_t is_first, is_last;

	ck_assert_uint_eq(skip_count(f->replica, id, &is_first, &is_last),
			  count);
	ck_assert_uint_eq(is_first, first);
	ck_assert_uint_eq(is_last, last);
}

void skip_is_over(struct fixture *f)
{
	skip_lacks(f, "alice", 0, 0, 0);
	aside_equal(f);
	rebuild(f);
	aside_equal(f);
}

enum mbj_rc skip_try(struct fixture *f, const char *account, uint64_t lsn,
		     bool is_dry_run, struct mbj_skip_result *ret_result,
		     struct mbj_error *err)
{
	return mbj_quarantine_skip(f->replica,
				   fixture_account(f->primary, account),
				   (struct mbj_lsn){lsn}, is_dry_run,
				   ret_result, err);
}

struct mbj_skip_result skip_give_up(struct fixture *f, const char *account,
				    uint64_t lsn)
{
	struct mbj_skip_result result;

	OK(skip_try(f, account, lsn, false, &result, err));
	return result;
}

void skip_refused(struct fixture *f, const char *account, uint64_t lsn,
		  enum mbj_rc rc, const char *words)
{
	struct mbj_skip_result result;
	struct mbj_error why = {.rc = MBJ_OK};

	ck_assert_int_eq(skip_try(f, account, lsn, false, &result, &why), rc);
	ck_assert_msg(strstr(why.message, words) != NULL, "%s", why.message);
}

void skip_reopen(struct fixture *f)
{
	mbj_store_close(&f->replica);
	OK(mbj_replica_open(f->replica_dir, f->options, &f->replica, err));
}

/* The group of this number in the replica's journal, onto its state. */
enum mbj_verdict skip_apply_again(struct fixture *f, uint64_t lsn)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_apply_report report;
	struct mbj_txn *txn = NULL;
	struct mbj_group group;

	OK(mbj_store_log_reader_own(f->replica, &reader, err));
	OK(mbj_log_reader_seek(reader, (struct mbj_lsn){lsn}, err));
	OK(mbj_log_reader_next(reader, &group, err));
	OK(mbj_txn_begin(f->replica->state, &txn, err));
	OK(mbj_apply_group(txn, &group, &report, err));
	mbj_txn_abort(&txn);
	mbj_log_reader_close(&reader);
	return report.verdict;
}

void skip_metadata(struct fixture *f, enum mbj_metadata_edit_kind kind,
		   const char *name, uint64_t quota)
{
	struct mbj_metadata_edit metadata = {.kind = kind};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {0};

	metadata.name = mbj_bytes_str(name);
	metadata.has =
		kind == MBJ_METADATA_QUOTA ? MBJ_METADATA_HAS_MESSAGES : 0;
	metadata.quota_messages = quota;
	edit.kind = MBJ_EDIT_METADATA;
	edit.account = mbj_bytes_str("alice");
	edit.metadata = &metadata;
	edit.metadata_count = 1;
	OK(mbj_store_submit(f->primary, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
}

void skip_messages(struct fixture *f, const char *account,
		   const struct mbj_message_edit *step)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str(account);
	edit.messages = step;
	edit.message_count = 1;
	OK(mbj_store_submit(f->primary, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
}

void skip_bend(struct fixture *f)
{
	struct fixture bent = *f;

	bent.replica = f->primary;
	aside_ghost(&bent, "alice", true);
}

/*
 * alice has a ghost and lacks group 3, which renamed m2, by request: nothing
 * of her waits.
 */
void skip_begin(struct fixture *f, const struct mbj_store_options *options)
{
	fixture_begin_with(f, options);
	fixture_import(f, "alice", 6);
	fixture_import(f, "bob", 4);
	(void)fixture_replay(f);
	aside_ghost(f, "alice", true);
	fixture_rename(f, "alice", "m2", "a");
	fixture_rename(f, "bob", "m2", "b");
	ck_assert_uint_eq(fixture_replay(f).groups_parked, 1);
	aside_waits(f, "alice", 1, 3, "group 3");
}

/*
 * A primary that was bent under its own journal: what follows the ghost fails
 * on every state that is made from the journal.
 */
void skip_begin_bent(struct fixture *f, const struct mbj_store_options *options)
{
	fixture_begin_with(f, options);
	fixture_import(f, "alice", 6);
	fixture_import(f, "bob", 4);
	(void)fixture_replay(f);
	skip_bend(f);
	fixture_rename(f, "alice", "m2", "a");
	fixture_rename(f, "alice", "m3", "c");
	fixture_rename(f, "bob", "m2", "b");
	ck_assert_uint_eq(fixture_replay(f).groups_parked, 2);
}

void skip_append(struct fixture *f, const char *account, const char *body)
{
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_APPEND,
					.mailbox = fixture_id(1)};
	struct mbj_bytes text = mbj_bytes_str(body);
	struct mbj_blobs *blobs = NULL;

	OK(mbj_store_blobs(f->primary, &blobs, err));
	OK(mbj_blob_put(blobs, text, &step.blob, err));
	step.size = text.n;
	skip_messages(f, account, &step);
}

void skip_mail_begin(struct fixture *f)
{
	fixture_begin(f);
	fixture_import(f, "alice", 2);
	fixture_import(f, "bob", 2);
	skip_append(f, "alice", "alice's\n");
	skip_append(f, "bob", "bob's\n");
	(void)fixture_replay(f);
	skip_bend(f);
}

void skip_expunge(struct fixture *f, const char *account, uint32_t uid)
{
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_EXPUNGE,
					.mailbox = fixture_id(1)};
	struct mbj_buf uids;

	mbj_buf_init(&uids, MBJ_UID_RANGE_SIZE);
	mbj_uids_put(&uids, uid, uid);
	step.uids = mbj_buf_view(&uids);
	skip_messages(f, account, &step);
	mbj_buf_done(&uids);
}

struct mbj_content skip_content(struct mbj_store *store, const char *account,
				uint8_t mailbox,
				struct mbj_mailbox *ret_mailbox)
{
	struct mbj_id id = fixture_account(store, account);
	struct mbj_content content;
	struct mbj_txn *txn = NULL;

	OK(mbj_store_read(store, &txn, err));
	OK(mbj_txn_mailbox_get(txn, id, fixture_id(mailbox), ret_mailbox, err));
	OK(mbj_txn_content_get(txn, id, fixture_id(mailbox), &content, err));
	mbj_txn_abort(&txn);
	return content;
}

struct mbj_content skip_inbox(struct mbj_store *store, const char *account,
			      struct mbj_mailbox *ret_mailbox)
{
	return skip_content(store, account, 1, ret_mailbox);
}

struct mbj_backup_result skip_reign_begin(struct fixture *f)
{
	struct mbj_restore_options restore = MBJ_RESTORE_OPTIONS_INIT;
	struct mbj_backup_options backup = MBJ_BACKUP_OPTIONS_INIT;
	struct mbj_backup_result result;
	char dir[MBJ_PATH_TEXT_MAX];

	OK(mbj_path_join(dir, f->tmpdir, "b", err));
	OK(mbj_backup(f->replica_dir, dir, &backup, &result, err));
	restore.role = MBJ_STORE_PRIMARY;
	mbj_store_close(&f->primary);
	mbj_store_close(&f->replica);
	OK(mbj_path_join(f->primary_dir, f->tmpdir, "p2", err));
	OK(mbj_restore(dir, f->primary_dir, &restore, &result, err));
	OK(mbj_store_open(f->primary_dir, NULL, &f->primary, err));
	return result;
}
