/*
 * Resync: one account of a replica made again from a snapshot of its source,
 * and from the replica's own journal behind that.
 *
 *	replay -> copy and judge a snapshot -> its name
 *	  -> one transaction: what the account had goes, what the snapshot has
 *	     comes, and what its journal has behind it waits
 *	  -> carry out what waits -> fetch contents
 *
 * Invariants:
 *   1. the snapshot is of the replica's own history: lineage, chain value, and
 *      for every account what its own journal recorded last, since a state that
 *      is made anew has all of them from it (snapshot_judge.c);
 *   2. it is in the replica's own directory, and no good one there is newer,
 *      before the state is changed: a state that is made anew begins with it,
 *      and so has the account as it is now;
 *   3. wherever it is stopped, the account is what it was, or what the journal
 *      says of some group, with the rest waiting in order.
 *
 * Threads: one at a time per store.
 */
#include "resync_run.h"

#include <string.h>

#include <mbj/audit.h>
#include <mbj/check.h>
#include <mbj/skips.h>
#include <mbj/trim.h>

#include "quarantine_run.h"
#include "snapshot_judge.h"

/* ----------------------------------------------------------- the snapshot */

static const char *copy_path(const struct resync *resync)
{
	return resync->is_kept ? resync->copy.path : resync->copy.temp;
}

/* One that did not get its name goes. */
static void copy_drop(const struct resync *resync)
{
	if (!resync->is_kept)
		snapshot_copy_drop(&resync->copy);
}

/* A state that is made anew begins with it from here on. */
enum mbj_rc resync_copy_keep(struct resync *resync, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	if (!resync->is_kept)
		rc = snapshot_copy_keep(&resync->copy, err);
	resync->is_kept = rc == MBJ_OK;
	return rc;
}

/* One's own of that group: where it is good it is that of the source. */
enum mbj_rc resync_own_try(struct resync *resync, struct mbj_lsn lsn,
			   struct mbj_error *err)
{
	struct snapshot_copy *copy = &resync->copy;
	enum mbj_rc rc;

	copy->sys = mbj_store_sys(resync->store);
	rc = mbj_snapshot_path(copy->path, mbj_store_dir(resync->store), lsn,
			       err);
	if (rc == MBJ_OK)
		rc = mbj_store_snapshot_judge(resync->store, lsn, &copy->info,
					      err);
	if (rc == MBJ_OK)
		rc = snapshot_judge_by_journal(resync->store, copy->path, err);
	resync->is_kept = rc == MBJ_OK;
	return rc;
}

enum mbj_rc resync_group_check(const struct mbj_snapshot_info *info,
			       struct mbj_lsn lsn, struct mbj_error *err)
{
	if (info->watermark.lsn.v == lsn.v)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "the snapshot of group %llu is another group's",
			     (unsigned long long)lsn.v);
}

static enum mbj_rc other_try(struct resync *resync, struct mbj_lsn lsn,
			     struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = snapshot_copy_make(resync->store, resync->source, lsn,
				&resync->copy, err);
	if (rc < 0)
		return rc;
	rc = resync_group_check(&resync->copy.info, lsn, err);
	if (rc == MBJ_OK)
		rc = snapshot_judge_by_journal(resync->store, resync->copy.temp,
					       err);
	if (rc < 0)
		copy_drop(resync);
	return rc;
}

static enum mbj_rc copy_try(struct resync *resync, struct mbj_lsn lsn,
			    struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = resync_own_try(resync, lsn, err);
	if (snapshot_copy_is_fault(rc))
		rc = other_try(resync, lsn, err);
	return rc;
}

enum mbj_rc resync_least_find(const struct resync *resync,
			      struct mbj_lsn *ret_least, struct mbj_error *err)
{
	struct mbj_lsn first =
		mbj_store_identity_copy(resync->store).anchor.first;
	struct mbj_snapshot_info info;
	struct mbj_lsn *lsns = NULL;
	struct mbj_error why;
	size_t count = 0;
	enum mbj_rc rc;

	rc = mbj_snapshots_list(mbj_store_sys(resync->store),
				mbj_store_dir(resync->store), &lsns, &count,
				err);
	if (rc < 0)
		return rc;
	ret_least->v = first.v > 1 ? first.v - 1 : 1;
	if (ret_least->v < resync->least.v)
		*ret_least = resync->least;
	for (size_t i = 0; i < count && lsns[i].v > ret_least->v; i++) {
		/* Others are of a history that was given up. */
		if (lsns[i].v > resync->end.v)
			continue;
		rc = mbj_store_snapshot_judge(resync->store, lsns[i], &info,
					      &why);
		if (snapshot_copy_is_fault(rc)) {
			rc = MBJ_OK;
			continue;
		}
		if (rc == MBJ_OK)
			*ret_least = lsns[i];
		else if (err != NULL)
			*err = why;
		break;
	}
	mbj_free(lsns);
	return rc;
}

static enum mbj_rc none_good(const struct resync *resync, struct mbj_lsn least,
			     const struct mbj_error *why, struct mbj_error *err)
{
	if (why->rc != MBJ_OK) {
		if (err != NULL)
			*err = *why;
		return mbj_error_prefix(err, why->rc,
					"no snapshot in %s is good; the newest",
					resync->source);
	}
	return mbj_error_set(err, MBJ_EFENCED,
			     "%s has no snapshot of a group from %llu to %llu, "
			     "which the replica could begin with: \"mbj "
			     "snapshot\" makes one there",
			     resync->source, (unsigned long long)least.v,
			     (unsigned long long)resync->end.v);
}

static enum mbj_rc copy_find(struct resync *resync, struct mbj_error *err)
{
	struct mbj_error first = {.rc = MBJ_OK};
	struct mbj_lsn least = {0};
	struct mbj_lsn *lsns = NULL;
	struct mbj_error why;
	size_t count = 0;
	enum mbj_rc rc;

	rc = resync_least_find(resync, &least, err);
	if (rc == MBJ_OK)
		rc = mbj_snapshots_list(mbj_store_sys(resync->store),
					resync->source, &lsns, &count, err);
	if (rc < 0)
		return rc;
	rc = MBJ_ENOTFOUND;
	for (size_t i = 0; rc == MBJ_ENOTFOUND && i < count; i++) {
		if (lsns[i].v < least.v || lsns[i].v > resync->end.v)
			continue;
		rc = copy_try(resync, lsns[i], &why);
		if (snapshot_copy_is_fault(rc)) {
			if (first.rc == MBJ_OK)
				first = why;
			rc = MBJ_ENOTFOUND;
		} else if (rc < 0 && err != NULL) {
			*err = why;
		}
	}
	mbj_free(lsns);
	return rc == MBJ_ENOTFOUND ? none_good(resync, least, &first, err) : rc;
}

/* ------------------------------------------------------------- the account */

/* What the snapshot has of it. */
static enum mbj_rc snapshot_look(struct resync *resync, struct mbj_error *err)
{
	struct mbj_snapshot_account account = {.id = resync->account};
	enum mbj_rc rc;

	rc = snapshot_account_find(resync->copy.sys, copy_path(resync),
				   &account, err);
	resync->is_there = account.is_there;
	resync->records = account.records;
	return rc;
}

/* What is too large for one transaction, a state that is made anew takes. */
static enum mbj_rc size_check(const struct resync *resync,
			      struct mbj_error *err)
{
	if (resync->records <= MBJ_RESYNC_RECORDS_MAX)
		return MBJ_OK;
	return mbj_error_set(
		err, MBJ_ELIMIT,
		"the account has more than %d records (messages, expunged "
		"ones, mailboxes, ...), and is not made again by itself: "
		"\"mbj fsck --rebuild\" makes the whole state again, from "
		"the snapshot that %s has now",
		MBJ_RESYNC_RECORDS_MAX, mbj_store_dir(resync->store));
}

/* What the state has of it now goes, and counts as well. */
static enum mbj_rc here_count(struct resync *resync, struct mbj_txn *txn,
			      struct mbj_error *err)
{
	uint64_t here = 0;
	enum mbj_rc rc;

	rc = mbj_snapshot_account_count(txn, resync->account,
					(uint64_t)MBJ_RESYNC_RECORDS_MAX + 1,
					&here, err);
	if (here > resync->records)
		resync->records = here;
	return rc == MBJ_OK ? size_check(resync, err) : rc;
}

/*
 * What the messages of a group that waits have is wanted as well: nobody may
 * have held it while the account was aside.
 */
static enum mbj_rc contents_want(struct resync *resync, struct mbj_txn *txn,
				 const struct mbj_group *group,
				 struct mbj_error *err)
{
	struct mbj_reader reader;
	struct mbj_op op;
	enum mbj_rc rc = MBJ_OK;

	if (!group->is_body_good)
		return MBJ_OK;
	mbj_reader_init(&reader, group->body);
	/* What cannot be decoded is the apply's to judge. */
	while (rc == MBJ_OK &&
	       mbj_group_op_next(group, &reader, &op, NULL) == MBJ_OK) {
		if (op.kind != MBJ_OP_MESSAGE_APPEND)
			continue;
		resync->records++;
		rc = mbj_txn_blob_want(txn, &op.blob, op.size, true, err);
	}
	return rc == MBJ_OK ? size_check(resync, err) : rc;
}

/* What one's own journal has of the account behind the snapshot. */
static enum mbj_rc waiting_find_all(struct resync *resync, struct mbj_txn *txn,
				    struct mbj_error *err)
{
	struct mbj_parked *waiting = &resync->waiting;
	struct mbj_lsn at = {resync->copy.info.watermark.lsn.v + 1};
	struct mbj_log_reader *reader = NULL;
	struct mbj_group group;
	enum mbj_rc rc;

	*waiting = (struct mbj_parked){
		.account = resync->account,
		.reason = mbj_bytes_str("what its snapshot has not is being "
					"carried out"),
	};
	rc = mbj_store_log_reader_own(resync->store, &reader, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_seek(reader, at, err);
	for (; rc == MBJ_OK && at.v <= resync->end.v; at.v++) {
		rc = mbj_log_reader_next(reader, &group, err);
		if (rc < 0 || !mbj_group_names(&group, resync->account))
			continue;
		if (waiting->count++ == 0)
			waiting->first = at;
		waiting->last = at;
		rc = contents_want(resync, txn, &group, err);
	}
	mbj_log_reader_close(&reader);
	return rc;
}

/*
 * There, in the snapshot or in the journal behind it, aside, or known to
 * differ.
 */
static enum mbj_rc known_check(const struct resync *resync, struct mbj_txn *txn,
			       bool is_found, struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE];
	struct mbj_skipped skipped;
	struct mbj_parked parked;
	enum mbj_rc rc;

	if (is_found || resync->is_there || resync->waiting.count > 0)
		return MBJ_OK;
	rc = mbj_txn_skipped_seek(txn, resync->account, &skipped, &is_found,
				  err);
	if (rc < 0 || is_found)
		return rc;
	rc = mbj_txn_parked_get(txn, resync->account, &parked, err);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	mbj_id_print(resync->account, text);
	return mbj_error_set(err, MBJ_ENOTFOUND,
			     "neither %s nor %s knows an account %s",
			     mbj_store_dir(resync->store), resync->source,
			     text);
}

/* One transaction. */
static enum mbj_rc account_replace(struct resync *resync, struct mbj_txn *txn,
				   struct mbj_error *err)
{
	struct mbj_snapshot *snapshot = NULL;
	struct mbj_account account;
	bool is_found = false;
	enum mbj_rc rc;

	rc = snapshot_look(resync, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_account_seek(txn, resync->account, &account,
					  &is_found, err);
	if (rc == MBJ_OK)
		rc = here_count(resync, txn, err);
	if (rc == MBJ_OK)
		rc = waiting_find_all(resync, txn, err);
	if (rc == MBJ_OK)
		rc = known_check(resync, txn, is_found, err);
	if (rc == MBJ_OK)
		rc = mbj_snapshot_open(resync->copy.sys, copy_path(resync),
				       &snapshot, err);
	if (rc == MBJ_OK)
		rc = mbj_snapshot_account_load(snapshot, resync->account, txn,
					       true, err);
	mbj_snapshot_close(&snapshot);
	if (rc == MBJ_ECONFLICT)
		rc = mbj_error_prefix(
			err, rc,
			"a newer snapshot may help, or \"mbj fsck --rebuild\", "
			"from the one that %s has now",
			mbj_store_dir(resync->store));
	if (rc == MBJ_OK)
		rc = resync->waiting.count > 0
			     ? mbj_txn_parked_set(txn, &resync->waiting, err)
			     : mbj_txn_parked_clear(txn, resync->account, err);
	return rc;
}

/* For later: it was made again, or why not, which err has. */
static enum mbj_rc resync_note(const struct resync *resync, enum mbj_rc rc,
			       const char *reason, struct mbj_error *err)
{
	struct mbj_audit audit;

	mbj_audit_begin(&audit, resync->store, resync->is_asked);
	mbj_audit_note(&audit,
		       &(struct mbj_audit_entry){
			       .kind = rc == MBJ_OK ? MBJ_AUDIT_RESYNC
						    : MBJ_AUDIT_REFUSE,
			       .account = resync->account,
			       .first = resync->waiting.first,
			       .snapshot = resync->copy.info.watermark.lsn,
			       .count = resync->waiting.count,
			       .reason = mbj_bytes_str(reason)});
	rc = mbj_audit_flush(&audit, err);
	mbj_audit_end(&audit);
	return rc;
}

static enum mbj_rc account_make(struct resync *resync, struct mbj_error *err)
{
	struct mbj_error said = {.rc = MBJ_OK};
	struct mbj_batch *batch = NULL;
	struct mbj_error why;
	enum mbj_rc rc;

	rc = mbj_batch_begin(resync->store, &batch, err);
	if (rc < 0)
		return rc;
	rc = account_replace(resync, mbj_batch_txn(batch), &said);
	if (rc < 0 && err != NULL)
		*err = said;
	/* What does not go for one account goes for a whole state. */
	if (rc == MBJ_OK || rc == MBJ_ELIMIT || rc == MBJ_ECONFLICT) {
		enum mbj_rc kept = resync_copy_keep(resync, &why);

		if (kept == MBJ_OK)
			kept = resync_note(resync, rc,
					   rc < 0 ? said.message : "", &why);
		if (kept == MBJ_OK && rc == MBJ_OK)
			kept = mbj_skips_drop(resync->store, resync->account,
					      &why);
		if (kept == MBJ_OK && rc == MBJ_OK && resync->kept_skip != NULL)
			kept = mbj_skips_add(resync->store, *resync->kept_skip,
					     &why);
		if (kept < 0 && err != NULL)
			*err = why;
		rc = kept < 0 ? kept : rc;
	}
	if (rc == MBJ_OK) {
		mbj_batch_touch(batch);
		rc = mbj_batch_commit(&batch, err);
	}
	mbj_batch_abort(&batch);
	return rc;
}

/* ------------------------------------------------------------------- call */

/* Carry out what waits for it. */
static enum mbj_rc rest_carry_out(struct resync *resync,
				  struct mbj_resync_result *result,
				  struct mbj_error *err)
{
	struct mbj_retry_options options = MBJ_RETRY_OPTIONS_INIT;
	struct mbj_retry_result retried = {.groups = 0};
	enum mbj_rc rc;

	if (resync->waiting.count == 0)
		return MBJ_OK;
	options.account = resync->account;
	rc = waiting_retry(resync->store, &options, resync->is_asked, &retried,
			   err);
	result->groups = retried.groups;
	return rc;
}

/* What helped another one, the last replay too, may have helped it. */
enum mbj_rc resync_aside_get(const struct resync *resync, bool *ret_is_aside,
			     struct mbj_error *err)
{
	struct mbj_parked parked;
	struct mbj_txn *txn = NULL;
	struct mbj_error why;
	enum mbj_rc rc;

	rc = mbj_store_read(resync->store, &txn, err);
	if (rc < 0)
		return rc;
	rc = mbj_txn_parked_get(txn, resync->account, &parked, &why);
	mbj_txn_abort(&txn);
	*ret_is_aside = rc == MBJ_OK;
	if (rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	if (rc < 0 && err != NULL)
		*err = why;
	return rc;
}

/* The account, from a snapshot to the end of one's own journal. */
enum mbj_rc resync_account(struct resync *resync,
			   struct mbj_resync_result *result,
			   struct mbj_error *err)
{
	enum mbj_rc rc = account_make(resync, err);

	if (rc == MBJ_OK)
		rc = rest_carry_out(resync, result, err);
	result->snapshot = resync->copy.info.watermark.lsn;
	return rc;
}

enum mbj_rc resync_from(struct resync *resync,
			const struct mbj_replay_options *options,
			struct mbj_resync_result *ret_result,
			struct mbj_error *err)
{
	struct mbj_store *replica = resync->store;
	const char *source = resync->source;
	struct mbj_watermark applied;
	enum mbj_rc rc;

	memset(ret_result, 0, sizeof(*ret_result));
	rc = mbj_replay_journal(replica, source, options, &ret_result->replay,
				err);
	if (rc == MBJ_OK)
		rc = mbj_store_applied(replica, &applied, err);
	if (rc != MBJ_OK)
		return rc;
	resync->end = applied.lsn;
	rc = copy_find(resync, err);
	if (rc < 0)
		return rc;
	rc = resync_account(resync, ret_result, err);
	copy_drop(resync);
	/* And the contents of its messages. */
	if (rc == MBJ_OK)
		rc = mbj_replay_journal(replica, source, options,
					&ret_result->replay, err);
	if (rc == MBJ_OK)
		rc = resync_aside_get(resync, &ret_result->is_aside, err);
	return rc;
}

enum mbj_rc mbj_quarantine_resync(struct mbj_store *replica,
				  struct mbj_id account, const char *source,
				  struct mbj_resync_result *ret_result,
				  struct mbj_error *err)
{
	const struct mbj_replay_options usual = MBJ_REPLAY_OPTIONS_INIT;
	struct resync resync = {.store = replica,
				.account = account,
				.source = source,
				.is_asked = true};

	MBJ_ASSERT(!mbj_id_is_reserved(account));
	return resync_from(&resync, &usual, ret_result, err);
}
