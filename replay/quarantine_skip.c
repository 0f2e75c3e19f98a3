/*
 * Giving up the first group that an account waits for; see mbj/quarantine.h.
 *
 *	the group is the first one, it was named, it still fails
 *	  -> file of groups that were given up, audit
 *	  -> one transaction: the account goes on behind it, differing
 *	  -> what waits behind it is carried out
 *
 * The file is what a state that is made anew has it from: there the group fails
 * again, and is given up again.
 *
 * Threads: one at a time per store.
 */
#include <string.h>

#include <mbj/apply.h>
#include <mbj/audit.h>
#include <mbj/check.h>
#include <mbj/skips.h>

#include "quarantine_run.h"
#include "reason.h"
#include "stopper.h"

/* One account, and what waits for it. */
struct skipping {
	struct mbj_store *store;
	struct mbj_parked parked;
	struct mbj_log_reader *reader;
	struct mbj_group group; /* the first one, borrowed from the reader */
	bool is_asked;
};

static enum mbj_rc parked_find(struct skipping *s, struct mbj_error *err)
{
	struct mbj_txn *txn = NULL;
	char text[MBJ_ID_TEXT_SIZE];
	enum mbj_rc rc;

	rc = mbj_store_read(s->store, &txn, err);
	if (rc < 0)
		return rc;
	rc = mbj_txn_parked_get(txn, s->parked.account, &s->parked, err);
	s->parked.reason = mbj_bytes_str("");
	mbj_txn_abort(&txn);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	mbj_id_print(s->parked.account, text);
	return mbj_error_set(err, rc,
			     "account %s is not set aside: nothing waits",
			     text);
}

static enum mbj_rc first_missing(const struct skipping *s,
				 struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_EFENCED,
			     "the journal of %s has no group that the account "
			     "waits for, from group %llu on: nothing is given "
			     "up",
			     mbj_store_dir(s->store),
			     (unsigned long long)s->parked.first.v);
}

/*
 * The record of who waits says where it is at the earliest.
 * Returns: MBJ_ENOTFOUND only where nobody waits.
 */
static enum mbj_rc first_find(struct skipping *s, struct mbj_error *err)
{
	enum mbj_rc rc = parked_find(s, err);

	if (rc == MBJ_OK)
		rc = mbj_store_log_reader_own(s->store, &s->reader, err);
	if (rc < 0)
		return rc;
	rc = mbj_log_reader_seek(s->reader, s->parked.first, err);
	while (rc == MBJ_OK) {
		rc = mbj_log_reader_next(s->reader, &s->group, err);
		if (rc == MBJ_OK &&
		    mbj_group_names(&s->group, s->parked.account))
			return MBJ_OK;
	}
	return rc == MBJ_ENOTFOUND ? first_missing(s, err) : rc;
}

static void skipping_done(struct skipping *s)
{
	mbj_log_reader_close(&s->reader);
}

/* The group still fails, and why. */
static enum mbj_rc failure_find(struct skipping *s, struct mbj_txn *txn,
				char reason[MBJ_ERROR_MESSAGE_MAX],
				struct mbj_error *err)
{
	struct mbj_apply_report report;
	enum mbj_rc rc;

	rc = stopper_apply(s->store, txn, &s->group, 1, false, &report, err);
	if (rc < 0)
		return rc;
	if (report.verdict <= MBJ_VERDICT_ALREADY)
		return mbj_error_set(err, MBJ_EFENCED,
				     "group %llu would take effect now: \"mbj "
				     "quarantine\" with \"retry\" carries it "
				     "out",
				     (unsigned long long)s->group.header.lsn.v);
	replay_reason_print(&s->group, &report, reason);
	return MBJ_OK;
}

/* What is left of those who wait. */
static enum mbj_rc parked_move(struct skipping *s, struct mbj_txn *txn,
			       struct mbj_error *err)
{
	struct mbj_parked *parked = &s->parked;
	struct mbj_lsn lsn = s->group.header.lsn;

	parked->first.v = lsn.v + 1;
	parked->count -= parked->count > 0;
	parked->reason = mbj_bytes_str("what waits behind a group that was "
				       "given up is being carried out");
	return lsn.v >= parked->last.v
		       ? mbj_txn_parked_clear(txn, parked->account, err)
		       : mbj_txn_parked_set(txn, parked, err);
}

/* On disk before it is so. */
static enum mbj_rc decision_keep(struct skipping *s, const char *reason,
				 struct mbj_error *err)
{
	const struct mbj_group_header *header = &s->group.header;
	struct mbj_audit audit;
	enum mbj_rc rc;

	rc = mbj_skips_add(s->store,
			   (struct mbj_skip){s->parked.account, header->lsn,
					     header->epoch, true},
			   err);
	if (rc < 0)
		return rc;
	mbj_audit_begin(&audit, s->store, s->is_asked);
	mbj_audit_note(&audit,
		       &(struct mbj_audit_entry){.kind = MBJ_AUDIT_SKIP,
						 .account = s->parked.account,
						 .first = header->lsn,
						 .count = s->parked.count,
						 .reason = mbj_bytes_str(
							 reason)});
	rc = mbj_audit_flush(&audit, err);
	mbj_audit_end(&audit);
	return rc;
}

static enum mbj_rc group_skip(struct skipping *s, bool is_dry_run,
			      struct mbj_error *err)
{
	char reason[MBJ_ERROR_MESSAGE_MAX];
	struct mbj_batch *batch = NULL;
	struct mbj_txn *txn;
	enum mbj_rc rc;

	rc = mbj_batch_begin(s->store, &batch, err);
	if (rc < 0)
		return rc;
	txn = mbj_batch_txn(batch);
	rc = failure_find(s, txn, reason, err);
	if (rc == MBJ_OK && !is_dry_run) {
		rc = mbj_apply_skip(txn, &s->group, s->parked.account, err);
		if (rc == MBJ_OK)
			rc = decision_keep(s, reason, err);
		if (rc == MBJ_OK)
			rc = parked_move(s, txn, err);
		if (rc == MBJ_OK) {
			mbj_batch_touch(batch);
			rc = mbj_batch_commit(&batch, err);
		}
	}
	mbj_batch_abort(&batch);
	mbj_applying_settle(s->store, false);
	return rc;
}

/* ------------------------------------------------------------- by request */

static enum mbj_rc lsn_check(const struct skipping *s, struct mbj_lsn lsn,
			     struct mbj_error *err)
{
	struct mbj_lsn first = s->group.header.lsn;
	char text[MBJ_ID_TEXT_SIZE];

	if (first.v == lsn.v)
		return MBJ_OK;
	mbj_id_print(s->parked.account, text);
	return mbj_error_set(err, MBJ_EFENCED,
			     "account %s waits for group %llu first, of %u "
			     "primitives, not for group %llu",
			     text, (unsigned long long)first.v,
			     s->group.header.op_count,
			     (unsigned long long)lsn.v);
}

/* Primitives of messages are a family of mbj/op.def. */
enum { OP_FAMILY = 16 };

static bool group_is_of_messages(const struct mbj_group *group)
{
	struct mbj_reader reader;
	/* What cannot be read may have been. */
	bool is_found = !group->is_body_good;
	struct mbj_op op;

	mbj_reader_init(&reader, group->body);
	while (!is_found &&
	       mbj_group_op_next(group, &reader, &op, NULL) == MBJ_OK)
		is_found = op.kind / OP_FAMILY ==
			   MBJ_OP_MESSAGE_APPEND / OP_FAMILY;
	return is_found;
}

/* What waits behind it; and is the account known to differ? */
static enum mbj_rc rest_carry_out(struct skipping *s,
				  struct mbj_skip_result *result,
				  struct mbj_error *err)
{
	struct mbj_retry_options options = MBJ_RETRY_OPTIONS_INIT;
	struct mbj_skipped skipped;
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc = MBJ_OK;

	options.account = s->parked.account;
	if (s->group.header.lsn.v < s->parked.last.v)
		rc = waiting_retry(s->store, &options, s->is_asked,
				   &result->retry, err);
	if (rc == MBJ_OK)
		rc = mbj_store_read(s->store, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_skipped_seek(txn, s->parked.account, &skipped,
					  &result->is_different, err);
	mbj_txn_abort(&txn);
	return rc;
}

enum mbj_rc mbj_quarantine_first(struct mbj_store *replica,
				 struct mbj_id account, struct mbj_lsn *ret_lsn,
				 struct mbj_error *err)
{
	struct skipping s = {.store = replica, .parked.account = account};
	enum mbj_rc rc = first_find(&s, err);

	if (rc == MBJ_OK)
		*ret_lsn = s.group.header.lsn;
	skipping_done(&s);
	return rc;
}

enum mbj_rc mbj_quarantine_skip(struct mbj_store *replica,
				struct mbj_id account, struct mbj_lsn lsn,
				bool is_dry_run,
				struct mbj_skip_result *ret_result,
				struct mbj_error *err)
{
	struct skipping s = {.store = replica,
			     .parked.account = account,
			     .is_asked = true};
	enum mbj_rc rc = first_find(&s, err);

	memset(ret_result, 0, sizeof(*ret_result));
	if (rc == MBJ_OK)
		rc = lsn_check(&s, lsn, err);
	if (rc == MBJ_OK) {
		ret_result->is_of_messages = group_is_of_messages(&s.group);
		rc = group_skip(&s, is_dry_run, err);
	}
	if (rc == MBJ_OK && !is_dry_run)
		rc = rest_carry_out(&s, ret_result, err);
	skipping_done(&s);
	return rc;
}

/* --------------------------------------------------------------- by itself */

/* *ret_is_skipped: its first group was, and there may be another one. */
static enum mbj_rc account_once(struct mbj_store *store, struct mbj_id account,
				const struct mbj_skips *skips,
				bool *ret_is_skipped, struct mbj_error *err)
{
	struct skipping s = {.store = store, .parked.account = account};
	struct mbj_skip_result result;
	enum mbj_rc rc = first_find(&s, err);

	*ret_is_skipped =
		rc == MBJ_OK &&
		mbj_skips_have(skips,
			       (struct mbj_skip){account, s.group.header.lsn,
						 s.group.header.epoch, false});
	if (*ret_is_skipped)
		rc = group_skip(&s, false, err);
	if (*ret_is_skipped && rc == MBJ_OK)
		rc = rest_carry_out(&s, &result, err);
	skipping_done(&s);
	return rc;
}

/* As far as it goes; what stops it is for who asks for the account to say. */
static enum mbj_rc account_again(struct mbj_store *store, struct mbj_id account,
				 const struct mbj_skips *skips,
				 uint64_t *healed, struct mbj_error *err)
{
	bool is_skipped = true;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && is_skipped)
		rc = account_once(store, account, skips, &is_skipped, err);
	/* Not aside any more. */
	*healed += rc == MBJ_ENOTFOUND;
	return rc == MBJ_ENOTFOUND || rc == MBJ_EFENCED || rc == MBJ_ECORRUPT
		       ? MBJ_OK
		       : rc;
}

enum mbj_rc skips_carry_out(struct mbj_store *store, uint64_t *ret_healed,
			    struct mbj_error *err)
{
	struct mbj_skips skips = {NULL, 0};
	struct waiting_list list = {.count = 0};
	enum mbj_rc rc;

	*ret_healed = 0;
	rc = mbj_skips_load(mbj_store_sys(store), mbj_store_dir(store), &skips,
			    err);
	if (rc == MBJ_OK && skips.count > 0)
		rc = waiting_load(store, &list, err);
	for (size_t i = 0; rc == MBJ_OK && i < list.count; i++)
		if (mbj_skips_name(&skips, list.items[i].account))
			rc = account_again(store, list.items[i].account, &skips,
					   ret_healed, err);
	waiting_done(&list);
	mbj_skips_done(&skips);
	/* Who is aside stays so, and is seen. */
	return rc == MBJ_ECORRUPT || rc == MBJ_EUNSUPPORTED ||
			       rc == MBJ_ENOMEM || rc == MBJ_ENOSPC
		       ? MBJ_OK
		       : rc;
}
