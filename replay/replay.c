/*
 * The replay driver: reads groups, asks the engine, performs its actions
 * through the store's batch.  See mbj/replay.h.
 *
 * Any source, one loop: another store's journal (groups are journaled here
 * too), and this store's own tail after a crash (they are journaled already;
 * see replica.c).  What a source is: replay_run.h.
 *
 * Invariants:
 *   1. a batch's groups, their effects and the watermark commit together;
 *   2. what was good before a failure is committed before it is reported, be it
 *      the source's or that a group has no room here.
 */
#include <inttypes.h>
#include <string.h>

#include <mbj/audit.h>
#include <mbj/batch_room.h>
#include <mbj/check.h>

#include "replay_blobs.h"
#include "replay_run.h"
#include "source_dir.h"
#include "stopper.h"

/* Where the last batch ended. */
struct place {
	struct mbj_engine_mark mark;
	uint64_t groups;
	uint64_t groups_parked;
	uint64_t missed;
};

/* One run over one source. */
struct run {
	struct mbj_store *store;
	struct replay_source *source;
	struct mbj_engine *engine;
	struct mbj_sha256 *sha;
	struct mbj_hash chain; /* at the watermark when reading began */
	bool is_linked;	       /* a group of the source continued it */
	const struct mbj_replay_options *options;
	struct mbj_replay_result *result;
	struct replay_blobs blobs;
	struct mbj_audit audit;
	bool is_at_end;
	bool is_held;	      /* group was read, and is for the next batch */
	struct mbj_lsn alone; /* had no room beside others, 0: none */
	struct mbj_group group;
	struct mbj_error stop; /* rc MBJ_OK: nothing stopped the run */
};

static enum mbj_rc account_park(struct run *run, struct mbj_txn *txn,
				struct mbj_id account, struct mbj_lsn lsn,
				const char *reason, struct mbj_error *err)
{
	struct mbj_parked parked;
	enum mbj_rc rc;

	rc = mbj_txn_parked_get(txn, account, &parked, err);
	if (rc == MBJ_ENOTFOUND) {
		parked = (struct mbj_parked){
			.account = account,
			.first = lsn,
			.reason = mbj_bytes_str(reason),
		};
		mbj_audit_note(&run->audit, &(struct mbj_audit_entry){
						    .kind = MBJ_AUDIT_PARK,
						    .account = account,
						    .first = lsn,
						    .count = 1,
						    .reason = parked.reason});
	} else if (rc < 0) {
		return rc;
	}
	MBJ_ASSERT(parked.last.v < lsn.v);
	parked.last = lsn;
	parked.count++;
	return mbj_txn_parked_set(txn, &parked, err);
}

static enum mbj_rc group_set_aside(struct run *run, struct mbj_txn *txn,
				   const struct mbj_group *group,
				   const char *reason, struct mbj_error *err)
{
	struct mbj_group_account account;
	enum mbj_rc rc;

	for (uint32_t i = 0; i < group->header.account_count; i++) {
		mbj_group_account_get(group, i, &account);
		rc = account_park(run, txn, account.id, group->header.lsn,
				  reason, err);
		if (rc < 0)
			return rc;
	}
	run->result->groups_parked++;
	return MBJ_OK;
}

/*
 * The reader has verified each group's chain value against the one before;
 * what is left to prove is that the first continues ours.
 */
static enum mbj_rc link_check(struct run *run, const struct mbj_group *group,
			      bool *ret_is_chained, struct mbj_error *err)
{
	struct mbj_error why = {.rc = MBJ_OK};
	enum mbj_rc rc = MBJ_OK;

	MBJ_ASSERT(group->is_body_good);
	if (!run->is_linked)
		rc = mbj_group_chain_check(group, run->sha, &run->chain, &why);
	/* A fork is the engine's to judge, anything else says nothing of it. */
	if (rc < 0 && rc != MBJ_ECORRUPT) {
		if (err != NULL)
			*err = why;
		return rc;
	}
	*ret_is_chained = rc == MBJ_OK;
	return MBJ_OK;
}

/* Apply a group, and ask the engine what to do about the verdict. */
static enum mbj_rc group_apply(struct run *run, struct mbj_txn *txn,
			       const struct mbj_group *group,
			       struct mbj_action *ret_action,
			       struct mbj_error *err)
{
	struct mbj_apply_report report;
	enum mbj_rc rc;

	rc = stopper_apply(run->store, txn, group,
			   run->options->batch_groups_max, false, &report, err);
	if (rc == MBJ_OK)
		rc = mbj_engine_applied_group(run->engine, group, &report,
					      ret_action, err);
	if (rc != MBJ_OK)
		return rc;
	/* One that is damaged itself, or was not applied, is no witness. */
	if (ret_action->kind != MBJ_ACTION_PARK || run->source->is_parking ||
	    report.verdict == MBJ_VERDICT_CORRUPT ||
	    report.op_index == STOPPER_INDEX)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "%s: the state does not take its own journal: "
			     "%.400s",
			     mbj_store_dir(run->store), ret_action->reason);
}

/* Carry out the engine's will for one group; false in ret_go_on ends the run.
 */
static enum mbj_rc group_take(struct run *run, struct mbj_batch *batch,
			      const struct mbj_group *group, bool *ret_go_on,
			      struct mbj_error *err)
{
	struct mbj_txn *txn = mbj_batch_txn(batch);
	struct mbj_action action;
	bool is_chained = false;
	enum mbj_rc rc;

	*ret_go_on = true;
	rc = link_check(run, group, &is_chained, err);
	if (rc == MBJ_OK)
		rc = mbj_engine_group(run->engine, group, is_chained, &action,
				      err);
	if (rc != MBJ_OK)
		return rc;
	if (action.kind == MBJ_ACTION_APPLY) {
		rc = group_apply(run, txn, group, &action, err);
		if (rc < 0)
			return rc;
	}
	/* The reader leaves no group out and hands out none a second time. */
	MBJ_ASSERT(action.kind != MBJ_ACTION_ASK);
	MBJ_ASSERT(action.kind != MBJ_ACTION_SKIP);
	if (action.kind == MBJ_ACTION_REFUSE) {
		*ret_go_on = false;
		mbj_error_set(&run->stop, action.rc, "%s", action.reason);
		mbj_error_at(&run->stop, NULL, 0, group->header.lsn.v);
		return MBJ_OK;
	}
	if (action.kind != MBJ_ACTION_DONE) {
		rc = group_set_aside(run, txn, group, action.reason, err);
		if (rc < 0)
			return rc;
	}
	rc = replay_blobs_fetch(&run->blobs, txn, group, err);
	if (rc < 0)
		return rc;
	rc = run->source->is_own ? mbj_batch_note(batch, group, err)
				 : mbj_batch_add(batch, group, err);
	if (rc < 0)
		return rc;
	run->is_linked = true;
	run->result->groups++;
	return MBJ_OK;
}

/* Fill one batch from the source; is_at_end once there is nothing more. */
static enum mbj_rc batch_fill(struct run *run, struct mbj_batch *batch,
			      uint32_t *ret_count, struct mbj_error *err)
{
	const struct mbj_replay_options *options = run->options;
	struct replay_source *source = run->source;
	uint32_t count = 0;
	size_t size = 0;
	bool go_on = true;
	enum mbj_rc rc;

	while (go_on && count < options->batch_groups_max &&
	       size < options->batch_size_max) {
		uint64_t next = mbj_engine_applied(run->engine).v + 1;

		if (options->until.v != 0 && next > options->until.v) {
			run->is_at_end = true;
			break;
		}
		if (!run->is_held)
			rc = source->ops->next(source, &run->group, &run->stop);
		else
			rc = MBJ_OK;
		run->is_held = false;
		if (rc == MBJ_ENOTFOUND) {
			run->stop.rc = MBJ_OK;
			run->is_at_end = true;
			if (!source->is_own)
				mbj_applying_pass(run->store);
			break;
		}
		if (rc < 0) /* damage in the source: what is good goes first */
			break;
		run->is_held = mbj_batch_is_full(batch, &run->group) ||
			       (count > 0 && next == run->alone.v);
		if (run->is_held)
			break;
		rc = group_take(run, batch, &run->group, &go_on, err);
		if (rc == MBJ_ENOSPC)
			run->alone.v = mbj_batch_is_shared(batch) ? next : 0;
		if (rc < 0)
			return rc;
		count += go_on;
		size += run->group.record.n;
	}
	*ret_count = count;
	return MBJ_OK;
}

static struct place place_get(const struct run *run)
{
	return (struct place){mbj_engine_mark(run->engine), run->result->groups,
			      run->result->groups_parked, run->source->missed};
}

/* What came since did not come to be. */
static void place_back(struct run *run, const struct place *place)
{
	mbj_engine_back(run->engine, &place->mark);
	run->chain = place->mark.chain;
	run->is_linked = false;
	run->is_held = false;
	run->result->groups = place->groups;
	run->result->groups_parked = place->groups_parked;
	run->source->missed = place->missed;
	/* What is noted and not flushed, too. */
	mbj_applying_settle(run->store, false);
	mbj_audit_end(&run->audit);
	mbj_audit_begin(&run->audit, run->store, false);
}

/*
 * A batch failed.  Where it was for a group that had no room beside those
 * before it these are read once more, and come without it: what it has done to
 * the transaction may be in the state's log already, which is why it is not
 * enough to take it back.
 */
static enum mbj_rc batch_failed(struct run *run, struct mbj_batch **batch,
				const struct place *place, enum mbj_rc why,
				struct mbj_error *err)
{
	struct mbj_lsn next = {place->mark.applied.v + 1};
	bool is_again = run->alone.v > next.v;

	mbj_batch_abort(batch);
	place_back(run, place);
	return is_again && why == MBJ_ENOSPC
		       ? run->source->ops->seek(run->source, next, err)
		       : why;
}

/* Repeat batches until the source ends or something stops the run. */
static enum mbj_rc run_all(struct run *run, struct mbj_error *err)
{
	struct place place = place_get(run);
	struct mbj_batch *batch = NULL;
	uint32_t count = 0;
	enum mbj_rc rc = MBJ_OK;

	while (!run->is_at_end && run->stop.rc == MBJ_OK) {
		rc = mbj_batch_begin(run->store, &batch, err);
		if (rc < 0)
			goto out;
		rc = batch_fill(run, batch, &count, err);
		mbj_applying_end(run->store);
		if (rc < 0) {
			rc = batch_failed(run, &batch, &place, rc, err);
			if (rc < 0)
				goto out;
			continue;
		}
		if (count == 0) {
			mbj_batch_abort(&batch);
			continue;
		}
		rc = mbj_audit_flush(&run->audit, err);
		if (rc < 0)
			goto out;
		rc = mbj_batch_commit(&batch, err);
		if (rc < 0)
			goto out;
		mbj_applying_settle(run->store, true);
		place = place_get(run);
		if (run->source->ops->applied != NULL)
			run->source->ops->applied(run->source,
						  mbj_engine_applied(
							  run->engine));
	}
	if (run->stop.rc != MBJ_OK) {
		rc = run->stop.rc;
		if (err)
			*err = run->stop;
	}
out:
	mbj_batch_abort(&batch);
	place_back(run, &place);
	return rc;
}

enum mbj_rc replay_engine_start(struct mbj_store *store,
				struct mbj_engine **ret_engine,
				struct mbj_hash *ret_chain,
				struct mbj_error *err)
{
	const struct mbj_identity identity = mbj_store_identity_copy(store);
	struct mbj_engine *engine = NULL;
	struct mbj_watermark applied;
	struct mbj_scan scan = {0};
	struct mbj_parked parked;
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	rc = mbj_store_applied(store, &applied, err);
	if (rc < 0)
		return rc;
	if (applied.lsn.v == 0)
		applied.chain = identity.anchor.chain;
	rc = mbj_engine_new(
		&(struct mbj_engine_start){identity.lineage, identity.epoch,
					   identity.epoch_owner, applied.lsn,
					   applied.chain, applied.epoch},
		&engine, err);
	if (rc < 0)
		return rc;
	rc = mbj_store_read(store, &txn, err);
	if (rc < 0)
		goto out;
	rc = mbj_scan_parked(txn, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_parked(&scan, &parked, err);
		if (rc == MBJ_OK)
			rc = mbj_engine_park(engine, parked.account, err);
	}
	if (rc == MBJ_ENOTFOUND)
		rc = MBJ_OK;
	*ret_chain = applied.chain;
out:
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
	if (rc < 0)
		mbj_engine_free(&engine);
	else
		*ret_engine = engine;
	return rc;
}

enum mbj_rc
replay_run_from(struct mbj_store *store, struct replay_source *source,
		struct mbj_engine *engine, const struct mbj_hash *chain,
		const struct mbj_replay_options *options,
		struct mbj_replay_result *result, struct mbj_error *err)
{
	struct run run = {
		.store = store,
		.source = source,
		.engine = engine,
		.chain = *chain,
		.options = options,
		.result = result,
		.blobs = {.source = source,
			  .store = store,
			  .result = result,
			  .is_duplicating = options->is_duplicating},
	};
	struct mbj_lsn next = {mbj_engine_applied(engine).v + 1};
	enum mbj_rc rc;

	rc = mbj_sha256_new(&run.sha, err);
	if (rc < 0)
		return rc;
	mbj_audit_begin(&run.audit, store, false);
	rc = source->ops->seek(source, next, err);
	source->is_stopped = rc < 0;
	result->accounts_parked = mbj_engine_parked_count(engine);
	if (rc == MBJ_OK) {
		rc = run_all(&run, err);
		source->is_stopped = run.stop.rc != MBJ_OK;
	}
	mbj_sha256_free(&run.sha);
	mbj_audit_end(&run.audit);
	result->applied = mbj_engine_applied(engine);
	result->accounts_parked = mbj_engine_parked_count(engine);
	/* A journal that is damaged keeps no content from coming. */
	if (!source->is_own && (rc == MBJ_OK || source->is_stopped)) {
		enum mbj_rc rest;

		rest = replay_blobs_finish(&run.blobs,
					   rc == MBJ_OK ? err : NULL);
		rc = rc == MBJ_OK ? rest : rc;
	}
	replay_blobs_done(&run.blobs);
	return rc;
}

enum mbj_rc replay_retry(struct mbj_store *store,
			 const struct replay_source *source,
			 struct mbj_replay_result *result,
			 struct mbj_error *err)
{
	struct mbj_retry_pace *pace = mbj_store_retry_pace(store);
	struct mbj_retry_result retried;
	uint64_t skipped = 0;
	enum mbj_rc rc;

	if (result->accounts_parked == 0 ||
	    (source->is_paced && !retry_pace_is_due(pace)))
		return MBJ_OK;
	rc = skips_carry_out(store, &skipped, err);
	result->accounts_parked -= skipped;
	if (rc < 0)
		return rc;
	rc = retry_by_itself(store, pace, &retried, err);
	result->groups_retried += retried.groups;
	result->accounts_healed += retried.accounts_healed;
	result->accounts_parked -= retried.accounts_healed;
	return rc;
}

/* Groups that the replica lacks are gone from the source. */
static enum mbj_rc beginning_check(const struct mbj_store *replica,
				   const struct replay_source *source,
				   const struct mbj_identity *identity,
				   struct mbj_lsn applied,
				   struct mbj_error *err)
{
	if (applied.v + 1 >= identity->anchor.first.v)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_EFENCED,
			     "%s ends at group %" PRIu64
			     ", the journal of %s begins at %" PRIu64
			     ": what is in between was trimmed; make a new "
			     "replica, with \"mbj clone\", or \"mbj init "
			     "--from-snapshot\"",
			     mbj_store_dir(replica), applied.v, source->name,
			     identity->anchor.first.v);
}

/* A run that failed because the source was trimmed under it says so. */
static enum mbj_rc trim_notice(const struct mbj_store *replica,
			       struct replay_source *source, enum mbj_rc rc,
			       struct mbj_lsn applied, struct mbj_error *err)
{
	struct mbj_identity now;

	if ((rc != MBJ_ECORRUPT && rc != MBJ_ENOTFOUND) ||
	    source->ops->identity(source, &now, NULL) < 0 ||
	    applied.v + 1 >= now.anchor.first.v)
		return rc;
	return beginning_check(replica, source, &now, applied, err);
}

/* Refuse what must not be replayed; take the lineage on the first stream. */
static enum mbj_rc source_accept(struct mbj_store *replica,
				 const struct mbj_identity *source,
				 bool is_dry_run, struct mbj_error *err)
{
	const struct mbj_identity *identity = mbj_store_identity(replica);

	if (identity->role != MBJ_STORE_REPLICA)
		return mbj_error_set(err, MBJ_EFENCED,
				     "%s is a primary: replay goes onto a "
				     "replica",
				     mbj_store_dir(replica));
	if (mbj_id_is_root(source->lineage))
		return mbj_error_set(err, MBJ_EFENCED,
				     "the source is a replica that has not "
				     "received anything yet");
	/* Of one that has a lineage, only what the engine accepts is taken. */
	if (mbj_id_is_root(identity->lineage) && !is_dry_run)
		return mbj_store_adopt(replica, source, err);
	return MBJ_OK;
}

/* How many groups a run would take, from the watermark to where it stops. */
static uint64_t groups_lacking(const struct mbj_replay_options *options,
			       const struct mbj_replay_result *result)
{
	uint64_t end = result->source_end.v;

	if (options->until.v != 0 && options->until.v < end)
		end = options->until.v;
	return end > result->applied.v ? end - result->applied.v : 0;
}

enum mbj_rc replay_source_run(struct mbj_store *replica,
			      struct replay_source *source,
			      const struct mbj_replay_options *options,
			      struct mbj_replay_result *ret_result,
			      struct mbj_error *err)
{
	struct mbj_engine *engine = NULL;
	struct mbj_identity identity;
	struct mbj_action action;
	struct mbj_hello hello;
	struct mbj_hash chain;
	enum mbj_rc rc;

	memset(ret_result, 0, sizeof(*ret_result));
	rc = source->ops->identity(source, &identity, err);
	if (rc == MBJ_OK)
		rc = source_accept(replica, &identity, options->is_dry_run,
				   err);
	if (rc == MBJ_OK)
		rc = replay_engine_start(replica, &engine, &chain, err);
	if (rc < 0)
		return rc;
	ret_result->applied = mbj_engine_applied(engine);
	ret_result->accounts_parked = mbj_engine_parked_count(engine);
	rc = source->ops->hello(source, ret_result->applied, &hello, err);
	if (rc < 0)
		goto out;
	ret_result->source_end = hello.end;
	if (mbj_id_is_root(mbj_store_identity(replica)->lineage)) {
		/* A dry run onto a replica that has no lineage yet. */
		rc = beginning_check(replica, source, &identity,
				     ret_result->applied, err);
		ret_result->groups = groups_lacking(options, ret_result);
		goto out;
	}
	mbj_engine_hello(engine, &hello, &action);
	if (action.kind == MBJ_ACTION_REFUSE) {
		rc = mbj_error_set(err, action.rc, "%s: %s", source->name,
				   action.reason);
		goto out;
	}
	rc = beginning_check(replica, source, &identity, ret_result->applied,
			     err);
	if (rc < 0)
		goto out;
	if (options->is_dry_run) {
		ret_result->groups = groups_lacking(options, ret_result);
		goto out;
	}
	/* A newer reign, which what reigned before is fenced by from now on. */
	rc = mbj_store_adopt(replica, &identity, err);
	if (rc < 0)
		goto out;
	rc = replay_run_from(replica, source, engine, &chain, options,
			     ret_result, err);
	rc = trim_notice(replica, source, rc, ret_result->applied, err);
	mbj_engine_free(&engine);
	if (rc == MBJ_OK)
		rc = replay_retry(replica, source, ret_result, err);
out:
	mbj_engine_free(&engine);
	return rc;
}

enum mbj_rc mbj_replay_journal(struct mbj_store *replica,
			       const char *source_dir,
			       const struct mbj_replay_options *options,
			       struct mbj_replay_result *ret_result,
			       struct mbj_error *err)
{
	struct source_dir from;
	enum mbj_rc rc;

	source_dir_init(&from, mbj_store_sys(replica), source_dir);
	rc = replay_source_run(replica, &from.source, options, ret_result, err);
	source_dir_done(&from);
	return rc;
}
