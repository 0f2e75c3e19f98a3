/*
 * The scenarios in which calls and allocations fail: every public operation of
 * store, log, replay and verify, as the command uses them.
 */
#include <stdio.h>
#include <string.h>

#include "fault_lab.h"

enum { MAILBOXES = 6 };

/* ----------------------------------------------------------------- edits */

static enum mbj_rc submit_to(struct fault_lab *lab, const char *dir,
			     struct mbj_edit *edit, const char *account,
			     struct mbj_error *err)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_store *store = NULL;
	enum mbj_rc rc;

	edit->account = mbj_bytes_str(account);
	edit->policy = MBJ_NAME_POLICY_DEFAULT;
	rc = mbj_replica_open(dir, &lab->options, &store, err);
	if (rc == MBJ_OK)
		rc = mbj_store_submit(store, edit, &outcome, err);
	if (rc == MBJ_OK && outcome.lsn.v > lab->acked && !edit->is_dry_run)
		lab->acked = outcome.lsn.v;
	mbj_outcome_done(&outcome);
	mbj_store_close(&store);
	return rc;
}

static enum mbj_rc submit(struct fault_lab *lab, struct mbj_edit *edit,
			  struct mbj_error *err)
{
	return submit_to(lab, lab->primary, edit, "u1", err);
}

static enum mbj_rc renames_run(struct fault_lab *lab,
			       const struct mbj_rename *renames, size_t count,
			       bool is_dry_run, struct mbj_error *err)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_RENAME;
	edit.renames = renames;
	edit.rename_count = count;
	edit.is_dry_run = is_dry_run;
	return submit(lab, &edit, err);
}

#define NAME(text)                                        \
	{                                                 \
		(const uint8_t *)(text), sizeof(text) - 1 \
	}

static const struct mbj_rename one[] = {{NAME("m2"), NAME("n2")}};
static const struct mbj_rename below[] = {{NAME("m2"), NAME("m3/m4/x")}};
static const struct mbj_rename two[] = {{NAME("m2"), NAME("m3")},
					{NAME("m3"), NAME("m2")}};
static const struct mbj_rename three[] = {{NAME("m2"), NAME("m3")},
					  {NAME("m3"), NAME("m4")},
					  {NAME("m4"), NAME("m2")}};
static const struct mbj_rename turned[] = {{NAME("m2"), NAME("m3/a")},
					   {NAME("m3"), NAME("m2")}};
static const struct mbj_rename wrong[] = {{NAME("nowhere"), NAME("x")}};

#define RENAMES(name, list, is_dry)                                          \
	static enum mbj_rc run_##name(struct fault_lab *lab,                 \
				      struct mbj_error *err)                 \
	{                                                                    \
		return renames_run(lab, (list),                              \
				   sizeof(list) / sizeof((list)[0]), is_dry, \
				   err);                                     \
	}

RENAMES(rename, one, false)
RENAMES(rename_below, below, false)
RENAMES(swap, two, false)
RENAMES(cycle, three, false)
RENAMES(inversion, turned, false)
RENAMES(rename_dry, three, true)
RENAMES(rename_refused, wrong, false)

static enum mbj_rc changes_run(struct fault_lab *lab, enum mbj_edit_kind kind,
			       const struct mbj_change *changes, size_t count,
			       struct mbj_error *err)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = kind;
	edit.changes = changes;
	edit.change_count = count;
	return submit(lab, &edit, err);
}

static struct mbj_change change_of(enum mbj_change_kind kind, unsigned number,
				   const char *name)
{
	struct mbj_change change = {
		.kind = kind,
		.id = site_mailbox(1, number),
	};

	if (name == NULL)
		return change;
	change.has = MBJ_CHANGE_HAS_NAME;
	if (kind == MBJ_CHANGE_CREATE)
		change.has |= MBJ_CHANGE_HAS_PARENT;
	change.name = mbj_bytes_str(name);
	return change;
}

static enum mbj_rc run_set_create(struct fault_lab *lab, struct mbj_error *err)
{
	struct mbj_change change =
		change_of(MBJ_CHANGE_CREATE, 50, "\xc3\xa4\xe6\x97\xa5");

	change.has |= MBJ_CHANGE_HAS_SUBSCRIBED | MBJ_CHANGE_HAS_ROLE;
	change.is_subscribed = true;
	return changes_run(lab, MBJ_EDIT_SET, &change, 1, err);
}

static enum mbj_rc run_set_update(struct fault_lab *lab, struct mbj_error *err)
{
	struct mbj_change changes[] = {
		change_of(MBJ_CHANGE_UPDATE, 2, "m3"),
		change_of(MBJ_CHANGE_UPDATE, 3, "m2"),
	};

	return changes_run(lab, MBJ_EDIT_SET, changes, 2, err);
}

static enum mbj_rc run_set_destroy(struct fault_lab *lab, struct mbj_error *err)
{
	struct mbj_change change = change_of(MBJ_CHANGE_DESTROY, 4, NULL);

	return changes_run(lab, MBJ_EDIT_SET, &change, 1, err);
}

static enum mbj_rc run_set_all(struct fault_lab *lab, struct mbj_error *err)
{
	struct mbj_change changes[] = {
		change_of(MBJ_CHANGE_UPDATE, 2, "m4"),
		change_of(MBJ_CHANGE_CREATE, 51, "m2"),
		change_of(MBJ_CHANGE_DESTROY, 4, NULL),
	};

	return changes_run(lab, MBJ_EDIT_SET, changes, 3, err);
}

static enum mbj_rc run_set_refused(struct fault_lab *lab, struct mbj_error *err)
{
	struct mbj_change changes[] = {
		change_of(MBJ_CHANGE_UPDATE, 2, "m3"),
		change_of(MBJ_CHANGE_UPDATE, 77, "x"),
		change_of(MBJ_CHANGE_UPDATE, 4, "y"),
	};

	return changes_run(lab, MBJ_EDIT_SET, changes, 3, err);
}

static enum mbj_rc run_set_stale(struct fault_lab *lab, struct mbj_error *err)
{
	struct mbj_change change = change_of(MBJ_CHANGE_UPDATE, 2, "z");
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_SET;
	edit.changes = &change;
	edit.change_count = 1;
	edit.has_if_in_state = true;
	edit.if_in_state.v = 1;
	return submit(lab, &edit, err);
}

/* The same tree, or another one: turned by so many names. */
static enum mbj_rc reconcile_run(struct fault_lab *lab, unsigned turn,
				 struct mbj_error *err)
{
	struct mbj_change changes[MAILBOXES];
	char names[MAILBOXES][16];

	for (unsigned i = 0; i < MAILBOXES; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "m%u",
			       i == 0 ? 1
				      : 2 + (i - 1 + turn) % (MAILBOXES - 1));
		changes[i] = change_of(MBJ_CHANGE_CREATE, i + 1,
				       i == 0 ? "INBOX" : names[i]);
	}
	return changes_run(lab, MBJ_EDIT_RECONCILE, changes, MAILBOXES, err);
}

static enum mbj_rc run_reconcile_same(struct fault_lab *lab,
				      struct mbj_error *err)
{
	return reconcile_run(lab, 0, err);
}

static enum mbj_rc run_reconcile(struct fault_lab *lab, struct mbj_error *err)
{
	return reconcile_run(lab, 2, err);
}

static enum mbj_rc import_run(struct fault_lab *lab, const char *dir,
			      const char *account, unsigned count,
			      bool is_dry_run, struct mbj_error *err)
{
	static struct mbj_change changes[80];
	static char names[80][16];
	struct mbj_edit edit = MBJ_EDIT_INIT;

	for (unsigned i = 0; i < count; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "m%u", i + 1);
		changes[i] = change_of(MBJ_CHANGE_CREATE, i + 1,
				       i == 0 ? "INBOX" : names[i]);
		changes[i].id = site_mailbox(9, i + 1);
	}
	edit.kind = MBJ_EDIT_IMPORT;
	edit.changes = changes;
	edit.change_count = count;
	edit.is_dry_run = is_dry_run;
	return submit_to(lab, dir, &edit, account, err);
}

static enum mbj_rc run_import(struct fault_lab *lab, struct mbj_error *err)
{
	return import_run(lab, lab->primary, "u9", 3, false, err);
}

static enum mbj_rc run_import_large(struct fault_lab *lab,
				    struct mbj_error *err)
{
	return import_run(lab, lab->primary, "u9", 80, false, err);
}

static enum mbj_rc run_import_dry(struct fault_lab *lab, struct mbj_error *err)
{
	return import_run(lab, lab->primary, "u9", 5, true, err);
}

static enum mbj_rc run_import_again(struct fault_lab *lab,
				    struct mbj_error *err)
{
	return import_run(lab, lab->primary, "u1", 3, false, err);
}

static enum mbj_rc run_edit_replica(struct fault_lab *lab,
				    struct mbj_error *err)
{
	return import_run(lab, lab->replica, "u9", 3, false, err);
}

static enum mbj_rc run_account_delete(struct fault_lab *lab,
				      struct mbj_error *err)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_ACCOUNT_DELETE;
	return submit(lab, &edit, err);
}

static enum mbj_rc run_account_rename(struct fault_lab *lab,
				      struct mbj_error *err)
{
	const struct mbj_rename rename = {NAME("u1"), NAME("other")};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_ACCOUNT_RENAME;
	edit.renames = &rename;
	edit.rename_count = 1;
	return submit(lab, &edit, err);
}

/* One store open for several edits, some of which may fail. */
static enum mbj_rc run_many(struct fault_lab *lab, struct mbj_error *err)
{
	struct mbj_store *store = NULL;
	struct mbj_error why;
	struct mbj_lsn lsn;
	enum mbj_rc first = MBJ_OK;
	enum mbj_rc rc;

	rc = mbj_store_open(lab->primary, &lab->options, &store, err);
	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < 8; i++) {
		rc = site_rename(store, 1, i % 2 ? "p2" : "m2",
				 i % 2 ? "m2" : "p2", &lsn, &why);
		if (rc == MBJ_OK)
			lab->acked = lsn.v;
		if (rc < 0 && first == MBJ_OK) {
			first = rc;
			*err = why;
		}
	}
	mbj_store_close(&store);
	return first;
}

/* ------------------------------------------------------ making, opening */

static enum mbj_rc init_run(struct fault_lab *lab, enum mbj_store_role role,
			    struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = mbj_store_init(lab->absent, role, &lab->options, err);
	lab->is_made = rc == MBJ_OK;
	return rc;
}

static enum mbj_rc run_init(struct fault_lab *lab, struct mbj_error *err)
{
	return init_run(lab, MBJ_STORE_PRIMARY, err);
}

static enum mbj_rc run_init_replica(struct fault_lab *lab,
				    struct mbj_error *err)
{
	return init_run(lab, MBJ_STORE_REPLICA, err);
}

static enum mbj_rc run_init_check(struct fault_lab *lab, struct mbj_error *err)
{
	return mbj_store_init_check(lab->absent, &lab->options, err);
}

static enum mbj_rc run_init_taken(struct fault_lab *lab, struct mbj_error *err)
{
	return mbj_store_init(lab->primary, MBJ_STORE_PRIMARY, &lab->options,
			      err);
}

static enum mbj_rc open_run(struct fault_lab *lab, const char *dir,
			    bool is_rebuilt, struct mbj_error *err)
{
	struct mbj_store_options options = lab->options;
	struct mbj_store *store = NULL;
	enum mbj_rc rc;

	options.is_rebuild_forced = is_rebuilt;
	rc = mbj_replica_open(dir, &options, &store, err);
	mbj_store_close(&store);
	return rc;
}

#define OPEN(name, dir, is_rebuilt)                              \
	static enum mbj_rc run_##name(struct fault_lab *lab,     \
				      struct mbj_error *err)     \
	{                                                        \
		return open_run(lab, lab->dir, is_rebuilt, err); \
	}

OPEN(open, primary, false)
OPEN(open_replica, replica, false)
OPEN(open_bent, bent, false)
OPEN(open_fresh, fresh, false)
OPEN(open_absent, absent, false)
OPEN(rebuild, primary, true)
OPEN(rebuild_replica, replica, true)

/* ------------------------------------------------------------- replaying */

static enum mbj_rc replay_run(struct fault_lab *lab, const char *dir,
			      uint64_t until, uint32_t batch, bool is_dry_run,
			      struct mbj_error *err)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;
	struct mbj_store *store = NULL;
	enum mbj_rc rc;

	options.until.v = until;
	options.batch_groups_max = batch;
	options.is_dry_run = is_dry_run;
	rc = mbj_replica_open(dir, &lab->options, &store, err);
	if (rc == MBJ_OK)
		rc = mbj_replay_journal(store, lab->primary, &options, &result,
					err);
	if (rc == MBJ_OK) {
		lab->applied = result.applied.v;
		lab->applied_dir = dir;
	}
	mbj_store_close(&store);
	return rc;
}

#define REPLAY(name, dir, until, batch, is_dry)                              \
	static enum mbj_rc run_##name(struct fault_lab *lab,                 \
				      struct mbj_error *err)                 \
	{                                                                    \
		return replay_run(lab, lab->dir, until, batch, is_dry, err); \
	}

REPLAY(replay, replica, 0, 1000, false)
REPLAY(replay_singly, replica, 0, 1, false)
REPLAY(replay_until, replica, 4, 1000, false)
REPLAY(replay_dry, replica, 0, 1000, true)
REPLAY(replay_first, fresh, 0, 1000, false)
REPLAY(replay_parking, bent, 0, 2, false)
REPLAY(replay_onto_primary, primary, 0, 1000, false)

static enum mbj_rc verify_run(struct fault_lab *lab, const char *dir,
			      struct mbj_error *err)
{
	struct mbj_store *first = NULL;
	struct mbj_store *second = NULL;
	struct mbj_verify *verify = NULL;
	struct mbj_difference difference;
	enum mbj_rc rc;

	rc = mbj_replica_open(lab->primary, &lab->options, &first, err);
	if (rc == MBJ_OK)
		rc = mbj_replica_open(dir, &lab->options, &second, err);
	if (rc == MBJ_OK)
		rc = mbj_verify_begin(first, second, &verify, err);
	while (rc == MBJ_OK)
		rc = mbj_verify_next(verify, &difference, err);
	mbj_verify_end(&verify);
	mbj_store_close(&first);
	mbj_store_close(&second);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc run_verify(struct fault_lab *lab, struct mbj_error *err)
{
	return verify_run(lab, lab->replica, err);
}

static enum mbj_rc run_verify_bent(struct fault_lab *lab, struct mbj_error *err)
{
	return verify_run(lab, lab->bent, err);
}

/* --------------------------------------------------------------- reading */

static enum mbj_rc run_log(struct fault_lab *lab, struct mbj_error *err)
{
	uint64_t last;

	return fault_journal_read(lab, lab->primary, &last, err);
}

static enum mbj_rc run_fsck(struct fault_lab *lab, struct mbj_error *err)
{
	struct mbj_store *store = NULL;
	uint64_t last;
	enum mbj_rc rc;

	rc = mbj_replica_open(lab->primary, &lab->options, &store, err);
	if (rc == MBJ_OK)
		rc = fault_journal_read(lab, lab->primary, &last, err);
	if (rc == MBJ_OK)
		rc = fault_accounts_check(store, err);
	mbj_store_close(&store);
	return rc;
}

static enum mbj_rc run_tree(struct fault_lab *lab, struct mbj_error *err)
{
	struct mbj_store *store = NULL;
	struct mbj_txn *txn = NULL;
	struct mbj_account account;
	struct mbj_mailbox mailbox;
	enum mbj_rc rc;

	rc = mbj_replica_open(lab->primary, &lab->options, &store, err);
	if (rc == MBJ_OK)
		rc = mbj_store_read(store, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_account_find(txn, mbj_bytes_str("u1"), &account,
					  err);
	if (rc == MBJ_OK)
		rc = mbj_txn_mailbox_get(txn, account.id, site_mailbox(1, 2),
					 &mailbox, err);
	mbj_txn_abort(&txn);
	mbj_store_close(&store);
	return rc;
}

static enum mbj_rc run_status(struct fault_lab *lab, struct mbj_error *err)
{
	struct mbj_log_usage usage;
	struct mbj_identity identity;
	char path[MBJ_PATH_TEXT_MAX];
	bool is_owned;
	long pid;
	enum mbj_rc rc;

	rc = mbj_identity_load(lab->options.sys, lab->primary, &identity, err);
	if (rc == MBJ_OK)
		rc = mbj_store_is_owned(lab->options.sys, lab->primary,
					&is_owned, &pid, err);
	if (rc == MBJ_OK)
		rc = mbj_path_join(path, lab->primary, "journal", err);
	if (rc == MBJ_OK)
		rc = mbj_log_usage_get(lab->options.sys, path, &usage, err);
	return rc;
}

static enum mbj_rc run_applied(struct fault_lab *lab, struct mbj_error *err)
{
	struct mbj_watermark watermark;
	struct mbj_store *store = NULL;
	enum mbj_rc rc;

	rc = mbj_replica_open(lab->bent, &lab->options, &store, err);
	if (rc == MBJ_OK)
		rc = mbj_store_applied(store, &watermark, err);
	mbj_store_close(&store);
	return rc;
}

#define WORK(name)                \
	{                         \
#name, run_##name \
	}

#define WORK_OF(name)                   \
	{                               \
#name, fault_run_##name \
	}

const struct fault_work fault_works[] = {WORK(init),
					 WORK(init_replica),
					 WORK(init_check),
					 WORK(init_taken),
					 WORK(open),
					 WORK(open_replica),
					 WORK(open_bent),
					 WORK(open_fresh),
					 WORK(open_absent),
					 WORK(rebuild),
					 WORK(rebuild_replica),
					 WORK(rename),
					 WORK(rename_below),
					 WORK(swap),
					 WORK(cycle),
					 WORK(inversion),
					 WORK(rename_dry),
					 WORK(rename_refused),
					 WORK(set_create),
					 WORK(set_update),
					 WORK(set_destroy),
					 WORK(set_all),
					 WORK(set_refused),
					 WORK(set_stale),
					 WORK(reconcile_same),
					 WORK(reconcile),
					 WORK(import),
					 WORK(import_large),
					 WORK(import_dry),
					 WORK(import_again),
					 WORK(edit_replica),
					 WORK(account_delete),
					 WORK(account_rename),
					 WORK(many),
					 WORK(replay),
					 WORK(replay_singly),
					 WORK(replay_until),
					 WORK(replay_dry),
					 WORK(replay_first),
					 WORK(replay_parking),
					 WORK(replay_onto_primary),
					 WORK(verify),
					 WORK(verify_bent),
					 WORK(log),
					 WORK(fsck),
					 WORK(tree),
					 WORK(status),
					 WORK(applied),
#define X(name) WORK_OF(name),
					 FAULT_MESSAGE_MAP(X)
						 FAULT_BACKUP_MAP(X)
#undef X
};
const size_t fault_work_count = sizeof(fault_works) / sizeof(fault_works[0]);
