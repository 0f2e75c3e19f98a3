/*
 * Carrying out what waits for accounts that are aside; see mbj/quarantine.h.
 *
 * One pass over the replica's own journal, from the first group that waits for
 * an active account.  mbj_apply_group decides whether a group's turn has come:
 * its back-links are the order of each account.
 *
 * Invariants:
 *   1. a group's effects and the records of who waits commit together;
 *   2. of an active account no group before the pass still waits, so that its
 *      record may say so wherever a transaction ends;
 *   3. an account that stopped is not touched again in the same pass, unless
 *      a group of another one that took effect was what it stopped at;
 *   4. what cannot be read of the journal stops those who may wait for it, and
 *      nobody else; so does a group that has no room even alone.
 *
 * Not here: the list (waiting.c); whether an attempt is worth it
 * (quarantine_try.c).
 */
#include "quarantine_run.h"

#include <string.h>

#include <mbj/apply.h>
#include <mbj/audit.h>
#include <mbj/check.h>

#include "reason.h"
#include "stopper.h"

/* What a record of who waits may take, generously, bytes. */
enum { PARKED_GROWTH = 1024 };

/* One pass. */
struct pass {
	struct mbj_store *store;
	struct waiting_list *list;
	const struct mbj_retry_options *options;
	struct waiting_outcome *out;
	struct mbj_log_reader *reader;
	struct mbj_audit audit;
	struct mbj_batch *batch;
	struct mbj_lsn at; /* the group in hand, or the next one */
	uint64_t end;	   /* the state's watermark */
	size_t active;	   /* accounts */
	size_t changed;	   /* of these, whose records this transaction writes */
	uint32_t count;	   /* groups and stops in this transaction */
	size_t size;	   /* and the groups' bytes */
	bool is_bound;	   /* enough was read */
	/* What stands when this transaction does not. */
	struct waiting *kept; /* of list */
	size_t kept_active;
	bool kept_moved;
	struct mbj_retry_result settled;
	struct mbj_lsn kept_at; /* the first group that it may carry out */
	uint64_t kept_read;	/* before that one, as read_max counts */
	bool is_back;		/* it did not: it is read again from there */
	struct mbj_lsn alone;	/* had no room beside others, 0: none */
};

/* --------------------------------------------------------- their records */

static enum mbj_rc record_write(struct pass *pass, struct waiting *w,
				const char *reason, struct mbj_error *err)
{
	struct mbj_txn *txn = mbj_batch_txn(pass->batch);
	const struct mbj_parked parked = {
		.account = w->account,
		.first = w->first,
		.last = w->last,
		.count = w->count,
		.reason = mbj_bytes_str(reason),
	};

	w->is_changed = false;
	return mbj_txn_parked_set(txn, &parked, err);
}

/* Nothing of it waits before this group. */
static void waiting_move(struct pass *pass, struct waiting *w,
			 struct mbj_lsn first)
{
	if (w->first.v >= first.v)
		return;
	w->first = first;
	w->has_moved = true;
	pass->out->has_moved = true;
}

/* What is told of it later on; where nothing came of it, to who asked. */
static void waiting_note(struct pass *pass, const struct waiting *w,
			 enum mbj_audit_kind kind, const char *reason)
{
	bool is_healed = kind == MBJ_AUDIT_HEAL;

	if (!is_healed && !w->has_moved && !pass->list->is_asked)
		return;
	mbj_audit_note(&pass->audit,
		       &(struct mbj_audit_entry){
			       .kind = kind,
			       .account = w->account,
			       .first = w->first,
			       .count = is_healed ? w->done : w->count,
			       .reason = mbj_bytes_str(reason)});
}

/* Nothing of it waits any more. */
static enum mbj_rc waiting_end(struct pass *pass, struct waiting *w,
			       struct mbj_error *err)
{
	w->is_active = false;
	w->is_changed = false;
	w->is_over = true;
	pass->active--;
	pass->out->has_moved = true;
	pass->out->result.accounts_healed++;
	waiting_note(pass, w, MBJ_AUDIT_HEAL, "");
	return mbj_txn_parked_clear(mbj_batch_txn(pass->batch), w->account,
				    err);
}

/* The first is said to who asked. */
static void stop_note(struct pass *pass, const struct mbj_error *why)
{
	if (pass->out->stop.rc == MBJ_OK)
		pass->out->stop = *why;
}

/* This group of it took effect. */
static enum mbj_rc waiting_advance(struct pass *pass, struct waiting *w,
				   struct mbj_error *err)
{
	if (!w->is_active) {
		w->is_active = true;
		pass->active++;
	}
	pass->changed += !w->is_changed;
	w->is_changed = true;
	waiting_move(pass, w, (struct mbj_lsn){pass->at.v + 1});
	w->count -= w->count > 0;
	w->done++;
	return pass->at.v >= w->last.v ? waiting_end(pass, w, err) : MBJ_OK;
}

/* It still fails, here and for this reason. */
static enum mbj_rc waiting_stop(struct pass *pass, struct waiting *w,
				const char *reason, struct mbj_error *err)
{
	w->is_active = false;
	waiting_move(pass, w, pass->at);
	pass->active--;
	pass->count++;
	waiting_note(pass, w, MBJ_AUDIT_RETRY, reason);
	return record_write(pass, w, reason, err);
}

/* ---------------------------------------------------------- transactions */

static enum mbj_rc turn_begin(struct pass *pass, struct mbj_error *err)
{
	const struct waiting_list *list = pass->list;

	pass->count = 0;
	pass->size = 0;
	pass->changed = 0;
	memcpy(pass->kept, list->items, list->count * sizeof(*list->items));
	pass->kept_active = pass->active;
	pass->kept_moved = pass->out->has_moved;
	pass->settled = pass->out->result;
	pass->kept_at = pass->at;
	pass->kept_read = pass->out->read;
	return mbj_batch_begin(pass->store, &pass->batch, err);
}

/* Nothing of this transaction came to be. */
static void turn_back(struct pass *pass)
{
	const struct waiting_list *list = pass->list;

	mbj_batch_abort(&pass->batch);
	mbj_applying_settle(pass->store, false);
	memcpy(list->items, pass->kept, list->count * sizeof(*list->items));
	pass->active = pass->kept_active;
	pass->out->has_moved = pass->kept_moved;
	pass->out->result = pass->settled;
	/* What is noted and not flushed, too. */
	mbj_audit_end(&pass->audit);
	mbj_audit_begin(&pass->audit, pass->store, list->is_asked);
}

/*
 * Commit what was done.  Active accounts that came on wait from the group in
 * hand on, at the earliest; is_all: others that the pass came by as well.
 */
static enum mbj_rc turn_end(struct pass *pass, bool is_all,
			    struct mbj_error *err)
{
	struct waiting_list *list = pass->list;
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < list->count; i++) {
		struct waiting *w = &list->items[i];

		if (!w->is_active ||
		    !(w->is_changed || (is_all && w->first.v < pass->at.v)))
			continue;
		waiting_move(pass, w, pass->at);
		rc = record_write(pass, w, "what waits is being carried out",
				  err);
	}
	if (rc == MBJ_OK) {
		mbj_batch_touch(pass->batch);
		rc = mbj_batch_space_check(pass->batch, 0, err);
		if (rc == MBJ_OK)
			rc = mbj_audit_flush(&pass->audit, err);
		if (rc == MBJ_OK)
			rc = mbj_batch_commit(&pass->batch, err);
		if (rc == MBJ_OK)
			mbj_applying_settle(pass->store, true);
	}
	mbj_batch_abort(&pass->batch);
	return rc;
}

/* Another transaction, where this one has had enough. */
static enum mbj_rc turn_room(struct pass *pass, struct mbj_error *err)
{
	bool is_due = pass->count > 0 && pass->at.v == pass->alone.v;
	enum mbj_rc rc;

	if (!is_due && pass->count < pass->options->batch_groups_max &&
	    pass->size < pass->options->batch_size_max)
		return MBJ_OK;
	rc = turn_end(pass, false, err);
	return rc == MBJ_OK ? turn_begin(pass, err) : rc;
}

/* ------------------------------------------------------------ the journal */

static bool group_is_awaited(const struct pass *pass,
			     const struct mbj_group *group)
{
	struct mbj_group_account account;

	for (uint32_t i = 0; i < group->header.account_count; i++) {
		const struct waiting *w;

		mbj_group_account_get(group, i, &account);
		w = waiting_find(pass->list, account.id);
		if (w != NULL && w->is_active && w->first.v <= pass->at.v)
			return true;
	}
	return false;
}

/* What the attempt means for each account of the group that is aside. */
static enum mbj_rc group_settle(struct pass *pass,
				const struct mbj_group *group,
				const char *reason, struct mbj_error *err)
{
	struct mbj_group_account account;
	enum mbj_rc rc = MBJ_OK;

	for (uint32_t i = 0; rc == MBJ_OK && i < group->header.account_count;
	     i++) {
		struct waiting *w;

		mbj_group_account_get(group, i, &account);
		w = waiting_find(pass->list, account.id);
		if (w == NULL || w->is_over)
			continue;
		if (reason == NULL)
			rc = waiting_advance(pass, w, err);
		else if (w->is_active)
			rc = waiting_stop(pass, w, reason, err);
	}
	return rc;
}

/*
 * With it the transaction has no room.  What was before it is carried out once
 * more, and committed without it: what is read again for that counts once, or
 * a bound that is met here would keep all of it.  Where it was alone its
 * accounts stop, as what others take may still fit.
 */
static enum mbj_rc group_give_up(struct pass *pass,
				 const struct mbj_group *group,
				 const struct mbj_error *why,
				 struct mbj_error *err)
{
	bool is_alone = pass->count == 1;
	enum mbj_rc rc;

	turn_back(pass);
	if (!is_alone) {
		pass->alone = pass->at;
		pass->at = pass->kept_at;
		pass->out->read = pass->kept_read;
		pass->is_back = true;
		return turn_begin(pass, err);
	}
	stop_note(pass, why);
	rc = turn_begin(pass, err);
	return rc == MBJ_OK ? group_settle(pass, group, why->message, err) : rc;
}

/* What it did to the transaction, and who waits then, has room. */
static enum mbj_rc group_retried(struct pass *pass,
				 const struct mbj_group *group,
				 struct mbj_error *err)
{
	uint64_t records = PARKED_GROWTH * (uint64_t)pass->changed;
	struct mbj_error why;

	if (mbj_batch_space_check(pass->batch, records, &why) == MBJ_OK)
		return MBJ_OK;
	return group_give_up(pass, group, &why, err);
}

static enum mbj_rc group_retry(struct pass *pass, const struct mbj_group *group,
			       struct mbj_error *err)
{
	char reason[MBJ_ERROR_MESSAGE_MAX];
	struct mbj_apply_report report;
	bool has_failed;
	enum mbj_rc rc;

	rc = turn_room(pass, err);
	if (rc < 0)
		return rc;
	/* One that fails leaves its traces in the transaction, too. */
	pass->count++;
	pass->size += group->record.n;
	rc = stopper_apply(pass->store, mbj_batch_txn(pass->batch), group, 1,
			   pass->list->is_asked, &report, err);
	if (rc < 0)
		return rc;
	has_failed = report.verdict > MBJ_VERDICT_ALREADY;
	if (has_failed)
		replay_reason_print(group, &report, reason);
	pass->out->result.groups += !has_failed;
	rc = group_settle(pass, group, has_failed ? reason : NULL, err);
	return rc == MBJ_OK ? group_retried(pass, group, err) : rc;
}

/* Of accounts that are active still, all groups that there are came by. */
static enum mbj_rc active_end(struct pass *pass, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < pass->list->count; i++) {
		if (pass->list->items[i].is_active)
			rc = waiting_end(pass, &pass->list->items[i], err);
	}
	return rc;
}

/*
 * The journal cannot be read here, for this reason: whoever may wait for what
 * is here stops.
 */
static enum mbj_rc journal_stop(struct pass *pass, const struct mbj_error *why,
				struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	if (why->rc == MBJ_ECORRUPT)
		stop_note(pass, why);
	for (size_t i = 0; rc == MBJ_OK && i < pass->list->count; i++) {
		struct waiting *w = &pass->list->items[i];

		if (!w->is_active || w->first.v > pass->at.v)
			continue;
		rc = turn_room(pass, err);
		if (rc == MBJ_OK)
			rc = waiting_stop(pass, w, why->message, err);
	}
	return rc;
}

/* What is the journal's own is no reason to keep those who wait elsewhere. */
static enum mbj_rc journal_fault(struct pass *pass, const struct mbj_error *why,
				 struct mbj_error *err)
{
	if (why->rc == MBJ_ECORRUPT || why->rc == MBJ_ENOTFOUND)
		return journal_stop(pass, why, err);
	if (err != NULL)
		*err = *why;
	return why->rc;
}

static bool pass_is_bound(const struct pass *pass)
{
	uint64_t max = pass->options->read_max;

	return max > 0 && pass->out->read >= max;
}

/* Groups until nobody is active, or enough were read, or one cannot be. */
static enum mbj_rc groups_run(struct pass *pass, struct mbj_error *err)
{
	struct mbj_error why = {.rc = MBJ_ENOTFOUND,
				.message = "the journal ends before it"};
	struct mbj_group group;
	enum mbj_rc rc = MBJ_OK;

	for (; rc == MBJ_OK && pass->active > 0 && !pass->is_back;
	     pass->at.v++) {
		if (pass->at.v > pass->end)
			return active_end(pass, err);
		pass->is_bound = pass_is_bound(pass);
		if (pass->is_bound)
			return MBJ_OK;
		rc = mbj_log_reader_next(pass->reader, &group, &why);
		if (rc < 0)
			return journal_fault(pass, &why, err);
		MBJ_ASSERT(group.header.lsn.v == pass->at.v);
		if (group_is_awaited(pass, &group))
			rc = group_retry(pass, &group, err);
		/* Behind it: a transaction may have begun with it in hand. */
		if (!pass->is_back)
			pass->out->read += 1 + group.record.n / RETRY_READ_SIZE;
	}
	return rc;
}

/*
 * The first group that waits for anybody who is active: none is before this
 * transaction (invariant 2), though a record may still say so.
 */
static struct mbj_lsn begin_find(const struct pass *pass)
{
	struct mbj_lsn begin = {UINT64_MAX};

	for (size_t i = 0; i < pass->list->count; i++) {
		const struct waiting *w = &pass->list->items[i];

		if (w->is_active && w->first.v < begin.v)
			begin = w->first;
	}
	return begin.v < pass->kept_at.v ? pass->kept_at : begin;
}

/* From there as far as it goes; who stopped is not active any more. */
static enum mbj_rc stretch_run(struct pass *pass, struct mbj_error *err)
{
	struct mbj_error why;
	enum mbj_rc rc;

	pass->at = begin_find(pass);
	pass->is_back = false;
	if (pass->at.v > pass->end)
		return active_end(pass, err);
	rc = mbj_log_reader_seek(pass->reader, pass->at, &why);
	return rc == MBJ_OK ? groups_run(pass, err)
			    : journal_fault(pass, &why, err);
}

static enum mbj_rc pass_run(struct pass *pass, struct mbj_error *err)
{
	struct mbj_watermark applied;
	enum mbj_rc rc;

	pass->kept = mbj_calloc(pass->list->count, sizeof(*pass->kept));
	if (pass->kept == NULL)
		return mbj_error_nomem(err);
	rc = mbj_store_applied(pass->store, &applied, err);
	if (rc == MBJ_OK)
		rc = mbj_store_log_reader_own(pass->store, &pass->reader, err);
	if (rc == MBJ_OK)
		rc = turn_begin(pass, err);
	if (rc < 0)
		return rc;
	pass->end = applied.lsn.v;
	while (rc == MBJ_OK && pass->active > 0 && !pass->is_bound)
		rc = stretch_run(pass, err);
	return rc == MBJ_OK ? turn_end(pass, pass->is_bound, err) : rc;
}

enum mbj_rc waiting_run(struct mbj_store *store, struct waiting_list *list,
			const struct mbj_retry_options *options,
			struct waiting_outcome *ret_outcome,
			struct mbj_error *err)
{
	struct pass pass = {.store = store,
			    .list = list,
			    .options = options,
			    .out = ret_outcome};
	enum mbj_rc rc = MBJ_OK;

	*ret_outcome = (struct waiting_outcome){.stop = {.rc = MBJ_OK}};
	mbj_audit_begin(&pass.audit, store, list->is_asked);
	for (size_t i = 0; i < list->count; i++)
		pass.active += list->items[i].is_active;
	if (pass.active > 0)
		rc = pass_run(&pass, err);
	mbj_batch_abort(&pass.batch);
	mbj_applying_settle(store, false);
	mbj_log_reader_close(&pass.reader);
	mbj_audit_end(&pass.audit);
	mbj_free(pass.kept);
	if (rc < 0)
		ret_outcome->result = pass.settled;
	ret_outcome->result.accounts_parked =
		list->count - ret_outcome->result.accounts_healed;
	return rc;
}

/* ----------------------------------------------------------------- calls */

static enum mbj_rc not_aside(struct mbj_id account, struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE];

	mbj_id_print(account, text);
	return mbj_error_set(err, MBJ_ENOTFOUND,
			     "account %s is not set aside: nothing waits",
			     text);
}

enum mbj_rc waiting_retry(struct mbj_store *replica,
			  const struct mbj_retry_options *options,
			  bool is_asked, struct mbj_retry_result *ret_result,
			  struct mbj_error *err)
{
	bool is_all = mbj_id_is_root(options->account);
	struct waiting_list list = {.count = 0};
	struct waiting_outcome outcome = {.stop = {.rc = MBJ_OK}};
	struct mbj_batch *batch = NULL;
	enum mbj_rc rc;

	MBJ_ASSERT(options->size == sizeof(*options));
	MBJ_ASSERT(options->batch_groups_max > 0);
	/* Not a replica, no lineage, closed: the batch knows. */
	rc = mbj_batch_begin(replica, &batch, err);
	mbj_batch_abort(&batch);
	if (rc == MBJ_OK)
		rc = waiting_load(replica, &list, err);
	if (rc < 0)
		return rc;
	if (!is_all && waiting_find(&list, options->account) == NULL)
		rc = not_aside(options->account, err);
	list.is_asked = is_asked;
	for (size_t i = 0; i < list.count; i++)
		list.items[i].is_active =
			is_all ||
			mbj_id_equal(list.items[i].account, options->account);
	if (rc == MBJ_OK) {
		rc = waiting_run(replica, &list, options, &outcome, err);
		*ret_result = outcome.result;
	}
	waiting_done(&list);
	if (rc < 0 || outcome.stop.rc == MBJ_OK)
		return rc;
	if (err != NULL)
		*err = outcome.stop;
	return outcome.stop.rc;
}

enum mbj_rc mbj_quarantine_retry(struct mbj_store *replica,
				 const struct mbj_retry_options *options,
				 struct mbj_retry_result *ret_result,
				 struct mbj_error *err)
{
	return waiting_retry(replica, options, true, ret_result, err);
}
