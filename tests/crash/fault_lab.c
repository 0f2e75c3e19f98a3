/*
 * The laboratory of faults: the stores that scenarios begin with, and reading
 * them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault_lab.h"

enum { MAILBOXES = 6 };

/*
 * For LeakSanitizer.  Berkeley DB loses some of a region at each closing
 * (tests/style/valgrind.supp); where an abort fails, the transaction with what
 * it had yet to do (one that we forget is missed by our own counting); and
 * where a log record cannot be written, the record.  A handle or anything else
 * that is lost is to be told of, so its frames, which have no frame pointers,
 * must be seen.
 */
const char *__asan_default_options(void);
const char *__lsan_default_options(void);
const char *__lsan_default_suppressions(void);

const char *__asan_default_options(void)
{
	return "fast_unwind_on_malloc=0:malloc_context_size=8";
}

const char *__lsan_default_options(void)
{
	return "print_suppressions=0";
}

const char *__lsan_default_suppressions(void)
{
	return "leak:__env_alloc\n"
	       "leak:__txn_begin\n"
	       "leak:__txn_lockevent\n"
	       "leak:__log_put_record\n";
}

static void store_make(struct fault_lab *lab, const char *dir,
		       enum mbj_store_role role, struct mbj_store **ret_store)
{
	SITE_OK(mbj_store_init(dir, role, &lab->options, err));
	SITE_OK(mbj_replica_open(dir, &lab->options, ret_store, err));
}

static void replay_to(struct fault_lab *lab, struct mbj_store *store,
		      uint64_t until)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;

	options.until.v = until;
	SITE_OK(mbj_replay_journal(store, lab->primary, &options, &result,
				   err));
}

/* A replica of a time when the content was not to be had. */
static void lacking_make(struct fault_lab *lab)
{
	struct mbj_store *store = NULL;
	char there[MBJ_PATH_TEXT_MAX];
	char away[MBJ_PATH_TEXT_MAX];

	SITE_OK(mbj_path_join(there, lab->primary, "blobs", err));
	SITE_OK(mbj_path_join(away, lab->primary, "blobs.away", err));
	store_make(lab, lab->lacking, MBJ_STORE_REPLICA, &store);
	SITE_OK(mbj_file_rename(lab->options.sys, there, away, err));
	replay_to(lab, store, 0);
	SITE_OK(mbj_file_rename(lab->options.sys, away, there, err));
	mbj_store_close(&store);
}

static void paths_make(struct fault_lab *lab)
{
	SITE_OK(mbj_path_join(lab->primary, lab->root, "primary", err));
	SITE_OK(mbj_path_join(lab->replica, lab->root, "replica", err));
	SITE_OK(mbj_path_join(lab->fresh, lab->root, "fresh", err));
	SITE_OK(mbj_path_join(lab->bent, lab->root, "bent", err));
	SITE_OK(mbj_path_join(lab->lacking, lab->root, "lacking", err));
	SITE_OK(mbj_path_join(lab->absent, lab->root, "absent", err));
	SITE_OK(mbj_path_join(lab->backup, lab->root, "backup", err));
	SITE_OK(mbj_path_join(lab->aside, lab->root, "aside", err));
	SITE_OK(mbj_path_join(lab->restored, lab->root, "restored", err));
}

void fault_image_make(struct fault_lab *lab)
{
	struct mbj_store *store = NULL;
	struct mbj_id lineage;

	paths_make(lab);
	lab->options.sys = disk_sys(lab->image);
	/* Contents packed on disk, in all stores. */
	lab->options.contents_level = getenv("MBJ_CONTENTS") != NULL ? 1 : 0;
	(void)disk_db_use(lab->image);
	store_make(lab, lab->primary, MBJ_STORE_PRIMARY, &store);
	lineage = mbj_store_identity(store)->lineage;
	site_import(store, 1, MAILBOXES);
	site_import(store, 2, 3);
	SITE_OK(site_rename(store, 1, "m5", "x5", NULL, err));
	SITE_OK(site_rename(store, 1, "x5", "m5", NULL, err));
	SITE_OK(site_rename(store, 2, "m2", "n2", NULL, err));
	fault_messages_make(lab, store);
	mbj_store_close(&store);
	store_make(lab, lab->replica, MBJ_STORE_REPLICA, &store);
	replay_to(lab, store, 2);
	mbj_store_close(&store);
	store_make(lab, lab->fresh, MBJ_STORE_REPLICA, &store);
	mbj_store_close(&store);
	store_make(lab, lab->bent, MBJ_STORE_REPLICA, &store);
	replay_to(lab, store, 2);
	mbj_store_close(&store);
	site_bend(&lab->options, lab->bent, lineage, 3);
	SITE_OK(mbj_replica_open(lab->bent, &lab->options, &store, err));
	replay_to(lab, store, 3);
	mbj_store_close(&store);
	lacking_make(lab);
	fault_backup_make(lab);
	fault_aside_make(lab);
}

enum mbj_rc fault_journal_read(struct fault_lab *lab, const char *dir,
			       uint64_t *ret_last, struct mbj_error *err)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_group group;
	struct mbj_lsn first = {1};
	enum mbj_rc rc;

	*ret_last = 0;
	rc = mbj_store_log_reader(lab->options.sys, dir, &reader, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_seek(reader, first, err);
	while (rc == MBJ_OK) {
		rc = mbj_log_reader_next(reader, &group, err);
		if (rc == MBJ_OK)
			*ret_last = group.header.lsn.v;
		if (rc == MBJ_OK && !group.is_body_good)
			rc = mbj_error_set(err, MBJ_ECORRUPT,
					   "a group's body is damaged");
	}
	mbj_log_reader_close(&reader);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

enum mbj_rc fault_accounts_check(struct mbj_store *store, struct mbj_error *err)
{
	struct mbj_scan scan = {.txn = NULL};
	struct mbj_txn *txn = NULL;
	struct mbj_account account;
	struct mbj_digest digest;
	enum mbj_rc rc;

	rc = mbj_store_read(store, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_accounts(txn, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_account(&scan, &account, err);
		if (rc == MBJ_OK)
			rc = mbj_txn_account_check(txn, account.id, &digest,
						   err);
	}
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}
