/*
 * Opening a replica: the tail of its own journal onto its state, as
 * journal/rebuild.c does it on a primary, but for accounts that are parked.
 *
 * Not here: taking a group (replay.c), making a state anew (rebuild.c).
 *
 * Invariants:
 *   1. a state that fails, or that contradicts its own journal, is made anew,
 *      once; what conflicts then is the journal's own, and parks its accounts;
 *   2. the journal's own damage never costs the state.
 *
 * Threads: one, before anybody else has the store.
 */
#include <mbj/applying.h>
#include <mbj/batch_room.h>
#include <mbj/check.h>

#include "source_dir.h"

/* One attempt to bring the state to the journal's end. */
struct tail {
	struct mbj_store *store;
	bool is_parking;
	bool is_state_fault; /* of the failure: a new state may help */
};

/*
 * After a kill nobody has compared the state with anything.  The other accounts
 * of the tail are compared by its groups; those of parked ones are only kept.
 */
static enum mbj_rc parked_check(struct mbj_store *store, struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_parked parked;
	struct mbj_digest digest;
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	rc = mbj_store_read(store, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_parked(txn, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_parked(&scan, &parked, err);
		if (rc < 0)
			break;
		rc = mbj_txn_account_check(txn, parked.account, &digest, err);
		/* Parked for the very reason that it is not here. */
		if (rc == MBJ_ENOTFOUND)
			rc = MBJ_OK;
	}
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* What the journal has behind the watermark. */
static enum mbj_rc tail_run(struct tail *tail, struct mbj_engine *engine,
			    const struct mbj_hash *chain, bool *ret_is_stopped,
			    struct mbj_error *err)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result = {0};
	struct mbj_store *store = tail->store;
	uint64_t end = mbj_store_end(store).lsn.v;
	struct source_dir own;
	enum mbj_rc rc;

	if (mbj_engine_applied(engine).v == end)
		return MBJ_OK;
	rc = source_dir_own(&own, store, err);
	if (rc < 0) {
		*ret_is_stopped = true;
		return rc;
	}
	own.source.is_parking = tail->is_parking;
	rc = replay_run_from(store, &own.source, engine, chain, &options,
			     &result, err);
	source_dir_done(&own);
	*ret_is_stopped = own.source.is_stopped;
	MBJ_ASSERT(rc < 0 || result.applied.v == end);
	return rc;
}

static enum mbj_rc tail_take(struct tail *tail, struct mbj_error *err)
{
	struct mbj_engine *engine = NULL;
	bool is_stopped = false;
	struct mbj_hash chain;
	enum mbj_rc rc = MBJ_OK;

	if (!mbj_store_state_was_sealed(tail->store))
		rc = parked_check(tail->store, err);
	if (rc == MBJ_OK)
		rc = replay_engine_start(tail->store, &engine, &chain, err);
	if (rc == MBJ_OK)
		rc = tail_run(tail, engine, &chain, &is_stopped, err);
	mbj_engine_free(&engine);
	tail->is_state_fault =
		rc < 0 && !is_stopped &&
		(rc == MBJ_ECORRUPT || mbj_store_state_is_suspect(tail->store));
	return rc;
}

/* The same, and once more with a new state where the old one was at fault. */
static enum mbj_rc tail_settle(struct mbj_store *store, struct mbj_error *err)
{
	bool is_rebuilt = mbj_store_recovery_get(store)->is_rebuilt;
	struct tail tail = {.store = store, .is_parking = is_rebuilt};
	struct mbj_error damage = {.rc = MBJ_OK};
	enum mbj_rc rc;

	rc = tail_take(&tail, &damage);
	if (rc < 0 && tail.is_state_fault && !is_rebuilt) {
		rc = mbj_store_state_renew(store, &damage, err);
		tail.is_parking = true;
		if (rc == MBJ_OK)
			rc = tail_take(&tail, err);
	} else if (rc < 0 && err != NULL) {
		*err = damage;
	}
	if (rc == MBJ_OK)
		rc = mbj_store_state_settled(store, err);
	return rc;
}

/*
 * *is_again: this was asked for by an earlier one; then, that there was no
 * space, and that another one may have it.
 */
static enum mbj_rc open_once(const char *dir,
			     const struct mbj_store_options *options,
			     bool *is_again, struct mbj_store **ret_store,
			     struct mbj_error *err)
{
	struct mbj_store *store = NULL;
	uint64_t skipped;
	enum mbj_rc rc;

	rc = mbj_store_open_scarce(dir, options, *is_again, &store, err);
	if (rc == MBJ_OK &&
	    mbj_store_identity(store)->role == MBJ_STORE_REPLICA) {
		mbj_applying_load(store);
		rc = tail_settle(store, err);
	}
	if (rc == MBJ_OK)
		rc = skips_carry_out(store, &skipped, err);
	*is_again = rc == MBJ_ENOSPC && store != NULL &&
		    mbj_store_room_make(store, err);
	if (rc < 0)
		mbj_store_close(&store);
	else
		*ret_store = store;
	return rc;
}

enum mbj_rc mbj_replica_open(const char *dir,
			     const struct mbj_store_options *options,
			     struct mbj_store **ret_store,
			     struct mbj_error *err)
{
	struct mbj_error why;
	bool is_again = false;
	enum mbj_rc rc;

	do
		rc = open_once(dir, options, &is_again, ret_store, &why);
	while (is_again);
	if (rc < 0 && err != NULL)
		*err = why;
	return rc;
}
