/*
 * Who is not what the journal says; see promote_targets.h.
 *
 * A group that was given up may be made good by a later one: the account is
 * what it is to be, and nothing in the state tells.  But the group is in the
 * journal, which a primary's state would be made from, with nobody to set the
 * account aside for: so the journal is to begin behind it, and the account is
 * named, as it is.
 */
#include "promote_targets.h"

#include <mbj/check.h>
#include <mbj/skips.h>

/* The store's mailboxes bound it. */
enum { TARGETS_MAX = 1 << 30 };

void targets_done(struct targets *targets)
{
	mbj_free(targets->list);
	given_up_done(&targets->given_up);
	*targets = (struct targets){.count = 0};
}

static enum mbj_rc target_add(struct targets *targets, struct mbj_id account,
			      struct mbj_id mailbox, struct mbj_error *err)
{
	void *list = targets->list;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&list, &targets->capacity, targets->count + 1,
			       sizeof(*targets->list), TARGETS_MAX, err);
	targets->list = list;
	if (rc == MBJ_OK)
		targets->list[targets->count++] =
			(struct target){.account = account, .mailbox = mailbox};
	return rc;
}

/* Those of its mailboxes that have UIDs. */
static enum mbj_rc mailboxes_add(struct targets *targets, struct mbj_txn *txn,
				 struct mbj_id account, struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_mailbox mailbox;
	enum mbj_rc rc = mbj_scan_mailboxes(txn, account, &scan, err);

	while (rc == MBJ_OK) {
		rc = mbj_scan_next_mailbox(&scan, &mailbox, err);
		if (rc == MBJ_OK && mailbox.is_selectable)
			rc = target_add(targets, account, mailbox.id, err);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* entry: what the audit is to say. */
static enum mbj_rc account_add(struct targets *targets, struct mbj_txn *txn,
			       const struct mbj_audit_entry *entry,
			       struct mbj_audit *audit, struct mbj_error *err)
{
	struct mbj_id id = entry->account;
	enum mbj_rc rc = MBJ_OK;

	if (targets->first.v == 0 || entry->first.v < targets->first.v)
		targets->first = entry->first;
	mbj_audit_note(audit, entry);
	/* Groups of it were given up, and later ones wait. */
	if (given_up_find(&targets->given_up, id, MBJ_ID_ROOT) != NULL)
		return MBJ_OK;
	rc = given_up_watch(&targets->given_up, id, err);
	if (rc == MBJ_OK)
		rc = target_add(targets, id, MBJ_ID_ROOT, err);
	if (rc == MBJ_OK)
		rc = mailboxes_add(targets, txn, id, err);
	if (rc == MBJ_OK)
		targets->list[targets->count - 1].is_last = true;
	return rc;
}

static enum mbj_rc parked_read(struct targets *targets, struct mbj_txn *txn,
			       struct mbj_audit *audit, struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_parked parked;
	enum mbj_rc rc = mbj_scan_parked(txn, &scan, err);

	while (rc == MBJ_OK) {
		rc = mbj_scan_next_parked(&scan, &parked, err);
		if (rc == MBJ_OK)
			rc = account_add(targets, txn,
					 &(struct mbj_audit_entry){
						 .kind = MBJ_AUDIT_END,
						 .account = parked.account,
						 .first = parked.first,
						 .count = parked.count,
						 .reason = parked.reason},
					 audit, err);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc skipped_read(struct targets *targets, struct mbj_txn *txn,
				struct mbj_audit *audit, struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_skipped skipped;
	enum mbj_rc rc = mbj_scan_parked(txn, &scan, err);

	while (rc == MBJ_OK) {
		rc = mbj_scan_next_skipped(&scan, &skipped, err);
		if (rc == MBJ_OK)
			rc = account_add(targets, txn,
					 &(struct mbj_audit_entry){
						 .kind = MBJ_AUDIT_END,
						 .account = skipped.account,
						 .first = skipped.first,
						 .count = skipped.count},
					 audit, err);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* Nobody differs: the journal's groups that no state takes, by the record. */
static enum mbj_rc given_up_name(struct targets *targets,
				 struct mbj_store *store, struct mbj_lsn end,
				 struct mbj_error *err)
{
	struct mbj_lsn first = mbj_store_identity(store)->anchor.first;
	struct mbj_skips skips = {NULL, 0};
	enum mbj_rc rc;

	rc = mbj_skips_load(mbj_store_sys(store), mbj_store_dir(store), &skips,
			    err);
	for (size_t i = 0; rc == MBJ_OK && i < skips.count; i++) {
		struct mbj_skip *skip = &skips.items[i];

		if (!skip->is_done || skip->lsn.v < first.v ||
		    skip->lsn.v > end.v ||
		    given_up_find(&targets->given_up, skip->account,
				  MBJ_ID_ROOT) != NULL)
			continue;
		rc = given_up_watch(&targets->given_up, skip->account, err);
		if (rc == MBJ_OK)
			rc = target_add(targets, skip->account, MBJ_ID_ROOT,
					err);
		if (rc == MBJ_OK)
			targets->list[targets->count - 1].is_last = true;
	}
	mbj_skips_done(&skips);
	return rc;
}

enum mbj_rc targets_read(struct targets *targets, struct mbj_store *store,
			 struct mbj_lsn end, struct mbj_audit *audit,
			 struct mbj_error *err)
{
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc = mbj_store_read(store, &txn, err);

	if (rc == MBJ_OK)
		rc = parked_read(targets, txn, audit, err);
	if (rc == MBJ_OK)
		rc = skipped_read(targets, txn, audit, err);
	mbj_txn_abort(&txn);
	if (rc < 0)
		return rc;
	if (targets->count > 0)
		return given_up_read(&targets->given_up, store, targets->first,
				     err);
	if (mbj_store_end(store).lsn.v > end.v)
		return MBJ_OK;
	return given_up_name(targets, store, end, err);
}
