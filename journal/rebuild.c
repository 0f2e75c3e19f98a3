/*
 * Bringing the state to where the journal is: at opening, and again when a
 * commit failed in use.  The journal is the truth, so a state that is missing,
 * damaged or does not take the journal's tail is set aside and made anew from
 * the journal, by itself, once; what fails then is the journal's own fault.
 *
 * Not here: parked accounts.  A replica's tail is applied by replay/, which
 * may set accounts aside; this file stops before it, and goes on when it is
 * told that the state did not take the tail (mbj_store_state_renew) or has all
 * of it (mbj_store_state_settled).
 *
 * Invariants:
 *   1. a state that is ahead of the journal, or whose chain value differs, is
 *      never used and never rebuilt over: one of the two belongs elsewhere,
 *      and a person must say which;
 *   2. the environment set aside goes only when its successor has everything;
 *   3. none is set aside before it is known what the next one is made from;
 *   4. one that could not be made for lack of space keeps none.
 *
 * Threads: the leader's.
 */
#include <mbj/check.h>
#include <mbj/growth.h>

#include "store_impl.h"

enum { TAIL_GROUPS_MAX = 1000 };

/* One attempt to bring the state up. */
struct rebuild {
	struct mbj_store *store;
	struct mbj_store_recovery *recovery; /* what it took */
	struct mbj_watermark watermark;	     /* of the state */
	bool is_state_fault; /* of the last failure: rebuilding may help */
	bool is_whole;	     /* from the journal alone: no snapshot helped */
};

/* ------------------------------------------------------------ watermark */

static enum mbj_rc watermark_get(struct mbj_store *store,
				 struct mbj_watermark *ret_watermark,
				 struct mbj_error *err)
{
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	rc = mbj_txn_begin_read(store->state, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_watermark(txn, ret_watermark, err);
	mbj_txn_abort(&txn);
	return rc;
}

static enum mbj_rc reader_open(const struct mbj_store *store,
			       const struct mbj_identity *id,
			       struct mbj_lsn lsn,
			       struct mbj_log_reader **ret_reader,
			       struct mbj_error *err)
{
	struct mbj_log_reader *reader = NULL;
	enum mbj_rc rc;

	rc = mbj_log_reader_open(store->sys, store->journal_dir, id->lineage,
				 &id->anchor, store->log != NULL, &reader, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_seek(reader, lsn, err);
	if (rc < 0) {
		mbj_log_reader_close(&reader);
		return rc;
	}
	*ret_reader = reader;
	return MBJ_OK;
}

enum mbj_rc store_log_reader_open(const struct mbj_store *store,
				  struct mbj_lsn lsn,
				  struct mbj_log_reader **ret_reader,
				  struct mbj_error *err)
{
	return reader_open(store, &store->superblock.identity, lsn, ret_reader,
			   err);
}

enum mbj_rc store_chain_read(struct mbj_store *store, struct mbj_lsn lsn,
			     struct mbj_hash *ret_chain, struct mbj_error *err)
{
	const struct mbj_identity id = mbj_store_identity_copy(store);
	struct mbj_log_reader *reader = NULL;
	struct mbj_group group;
	enum mbj_rc rc;

	if (lsn.v + 1 == id.anchor.first.v) {
		*ret_chain = id.anchor.chain;
		return MBJ_OK;
	}
	rc = reader_open(store, &id, lsn, &reader, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_next(reader, &group, err);
	if (rc == MBJ_OK)
		*ret_chain = group.chain;
	mbj_log_reader_close(&reader);
	return rc;
}

enum mbj_rc store_chain_at(struct mbj_store *store, struct mbj_lsn lsn,
			   struct mbj_hash *ret_chain, struct mbj_error *err)
{
	struct mbj_log_end end = store_log_end(store);

	MBJ_ASSERT(lsn.v <= end.lsn.v);
	if (lsn.v != end.lsn.v)
		return store_chain_read(store, lsn, ret_chain, err);
	*ret_chain = end.chain;
	return MBJ_OK;
}

/* State and journal must be one history, the state not the longer one. */
static enum mbj_rc watermark_check(struct mbj_store *store,
				   const struct mbj_watermark *watermark,
				   struct mbj_error *err)
{
	const struct mbj_anchor *anchor = &store->superblock.identity.anchor;
	unsigned long long at = watermark->lsn.v;
	struct mbj_log_end end = store_log_end(store);
	struct mbj_hash chain;
	enum mbj_rc rc;

	if (watermark->lsn.v > end.lsn.v)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "%s: the state holds group %llu, the "
				     "journal ends at %llu: part of the "
				     "journal is missing; restore it from a "
				     "replica",
				     store->dir, at,
				     (unsigned long long)end.lsn.v);
	if (watermark->lsn.v + 1 < anchor->first.v)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "%s: the state ends at group %llu, the "
				     "journal begins at %llu, and no snapshot "
				     "in between is good",
				     store->dir, at,
				     (unsigned long long)anchor->first.v);
	if (watermark->lsn.v == 0)
		return MBJ_OK;
	rc = store_chain_at(store, watermark->lsn, &chain, err);
	if (rc < 0)
		return rc;
	if (memcmp(chain.b, watermark->chain.b, MBJ_HASH_SIZE) == 0)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "%s: state and journal are different histories: "
			     "their chain values at group %llu differ",
			     store->dir, at);
}

/* ---------------------------------------------------------------- tail */

/* One group of the tail; a verdict is the state's fault, damage is not. */
static enum mbj_rc tail_group(struct rebuild *rebuild, struct mbj_txn *txn,
			      const struct mbj_group *group,
			      struct mbj_error *err)
{
	struct mbj_apply_report report;
	enum mbj_rc rc;

	rc = mbj_apply_group(txn, group, &report, err);
	if (rc < 0) {
		rebuild->is_state_fault = rc == MBJ_ECORRUPT;
		return rc;
	}
	if (report.verdict <= MBJ_VERDICT_ALREADY)
		return MBJ_OK;
	rebuild->is_state_fault = report.verdict != MBJ_VERDICT_CORRUPT;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "%s: group %llu of the journal does not follow "
			     "from the state (%s): %s",
			     rebuild->store->dir,
			     (unsigned long long)group->header.lsn.v,
			     mbj_verdict_name(report.verdict),
			     report.why.message);
}

/*
 * Groups of one transaction, into txn.  *ret_is_end: the journal has no more.
 */
static enum mbj_rc tail_fill(struct rebuild *rebuild, struct mbj_txn *txn,
			     struct mbj_log_reader *reader, bool *ret_is_end,
			     struct mbj_error *err)
{
	struct mbj_watermark *watermark = &rebuild->watermark;
	uint64_t growth_max = store_tail_growth_max(rebuild->store);
	enum mbj_rc rc;

	*ret_is_end = false;
	for (size_t i = 0;
	     i < TAIL_GROUPS_MAX && mbj_txn_growth(txn) < growth_max; i++) {
		struct mbj_group group;

		rc = mbj_log_reader_next(reader, &group, err);
		if (rc == MBJ_ENOTFOUND) {
			*ret_is_end = true;
			return MBJ_OK;
		}
		if (rc < 0)
			return rc;
		MBJ_ASSERT(group.header.lsn.v == watermark->lsn.v + 1);
		if (!group.is_body_good)
			return mbj_log_reader_fault(reader, &group, err);
		rc = tail_group(rebuild, txn, &group, err);
		if (rc < 0)
			return rc;
		watermark->lsn = group.header.lsn;
		watermark->epoch = group.header.epoch;
		watermark->chain = group.chain;
		rebuild->recovery->groups_applied++;
	}
	return MBJ_OK;
}

static enum mbj_rc tail_batch(struct rebuild *rebuild,
			      struct mbj_log_reader *reader, bool *ret_is_end,
			      struct mbj_error *err)
{
	struct mbj_lsn before = rebuild->watermark.lsn;
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	rc = mbj_txn_begin(rebuild->store->state, &txn, err);
	if (rc == MBJ_OK)
		rc = tail_fill(rebuild, txn, reader, ret_is_end, err);
	if (rc < 0 || rebuild->watermark.lsn.v == before.v) {
		mbj_txn_abort(&txn);
		return rc;
	}
	rc = mbj_txn_watermark_set(txn, &rebuild->watermark, err);
	if (rc < 0)
		mbj_txn_abort(&txn);
	else
		rc = mbj_txn_commit(&txn, err);
	if (rc == MBJ_ECORRUPT)
		rebuild->is_state_fault = true;
	return rc;
}

/* Everything in the journal behind the watermark. */
static enum mbj_rc tail_apply(struct rebuild *rebuild, struct mbj_error *err)
{
	struct mbj_store *store = rebuild->store;
	uint64_t end = store_log_end(store).lsn.v;
	struct mbj_lsn next = {rebuild->watermark.lsn.v + 1};
	struct mbj_log_reader *reader = NULL;
	bool is_end = false;
	enum mbj_rc rc;

	if (next.v > end)
		return MBJ_OK;
	rc = store_log_reader_open(store, next, &reader, err);
	while (rc == MBJ_OK && !is_end) {
		rc = tail_batch(rebuild, reader, &is_end, err);
		if (rc == MBJ_OK)
			rc = mbj_state_checkpoint(store->state,
						  store->is_scarce, err);
	}
	mbj_log_reader_close(&reader);
	if (rc < 0)
		return rc;
	MBJ_ASSERT(rebuild->watermark.lsn.v == end);
	return mbj_state_checkpoint(store->state, true, err);
}

/* --------------------------------------------------------- environment */

/*
 * Set the environment aside (if there is one) and remember why; refused where
 * no other can be made.
 */
static enum mbj_rc state_discard(struct rebuild *rebuild, const char *reason,
				 struct mbj_error *err)
{
	struct mbj_store *store = rebuild->store;
	struct mbj_store_recovery *recovery = rebuild->recovery;
	size_t n = strlen(reason);
	enum mbj_rc rc;

	MBJ_ASSERT(store->state == NULL);
	MBJ_ASSERT(n < sizeof(recovery->reason));
	rc = store_snapshot_require(store, reason, err);
	if (rc < 0)
		return rc;
	memcpy(recovery->reason, reason, n + 1);
	recovery->is_rebuilt = true;
	recovery->groups_applied = 0;
	recovery->snapshot.v = 0;
	return store_aside_set(store, err);
}

enum mbj_rc store_state_open(struct mbj_store *store, struct mbj_error *err)
{
	MBJ_ASSERT(store->state == NULL);
	return mbj_state_open(store->sys, store->state_dir,
			      store->superblock.identity.lineage,
			      &store->options.state, &store->state, err);
}

/* Open the environment and read how far it is. */
static enum mbj_rc state_open(struct rebuild *rebuild, struct mbj_error *err)
{
	struct mbj_store *store = rebuild->store;
	enum mbj_rc rc;

	rc = store_state_open(store, err);
	if (rc == MBJ_OK)
		rc = watermark_get(store, &rebuild->watermark, err);
	if (rc < 0)
		mbj_state_close(&store->state);
	return rc;
}

/* Why the environment is not even tried, or NULL. */
static const char *state_objection(const struct mbj_store *store,
				   bool is_forced)
{
	if (is_forced)
		return "asked for";
	if (!mbj_path_exists(store->sys, store->state_dir))
		return "the state directory is missing";
	if (store_suspect_is(store))
		return "the state failed when it was last used or checked";
	return NULL;
}

/* The environment as it is, or a fresh one where that cannot be used. */
static enum mbj_rc state_attach(struct rebuild *rebuild, bool is_forced,
				struct mbj_error *err)
{
	const char *reason = state_objection(rebuild->store, is_forced);
	struct mbj_error damage;
	enum mbj_rc rc;

	if (reason == NULL) {
		rc = state_open(rebuild, &damage);
		if (rc == MBJ_ECORRUPT)
			reason = damage.message;
		else if (rc < 0 && err != NULL)
			*err = damage;
		if (rc != MBJ_ECORRUPT)
			return rc;
	}
	rc = state_discard(rebuild, reason, err);
	if (rc == MBJ_OK)
		rc = state_open(rebuild, err);
	return rc;
}

/* A state that opened as if new beside a journal that is not. */
static void empty_note(struct rebuild *rebuild)
{
	static const char reason[] = "the state was empty";
	struct mbj_store_recovery *recovery = rebuild->recovery;

	if (recovery->is_rebuilt || rebuild->watermark.lsn.v > 0 ||
	    store_log_end(rebuild->store).lsn.v == 0)
		return;
	recovery->is_rebuilt = true;
	memcpy(recovery->reason, reason, sizeof(reason));
}

/* Of a replica that begins anew behind a snapshot (store_adopt.c). */
static bool state_is_left_behind(const struct rebuild *rebuild)
{
	const struct mbj_identity *id = &rebuild->store->superblock.identity;

	return id->role == MBJ_STORE_REPLICA &&
	       rebuild->watermark.lsn.v + 1 < id->anchor.first.v;
}

/* Compare with the journal and, on a primary, apply its tail. */
static enum mbj_rc state_forward(struct rebuild *rebuild, struct mbj_error *err)
{
	struct mbj_store *store = rebuild->store;
	enum mbj_rc rc;

	rebuild->is_state_fault = false;
	empty_note(rebuild);
	if (rebuild->watermark.lsn.v == 0 && !rebuild->is_whole) {
		/* No snapshot says what of it a replica has not fetched. */
		bool is_wanting =
			store->superblock.is_restoring ||
			store->superblock.identity.role == MBJ_STORE_REPLICA;

		rc = store_state_fill(store, is_wanting, &rebuild->watermark,
				      rebuild->recovery, err);
		if (rc < 0)
			return rc;
	}
	rc = watermark_check(store, &rebuild->watermark, err);
	if (rc < 0) {
		rebuild->is_state_fault = state_is_left_behind(rebuild);
		return rc;
	}
	if (store->superblock.identity.role != MBJ_STORE_PRIMARY)
		return MBJ_OK;
	rc = tail_apply(rebuild, err);
	if (rc < 0 && mbj_state_is_failed(store->state))
		rebuild->is_state_fault = true;
	return rc;
}

/* The state that was closed is set aside for an empty one. */
static enum mbj_rc state_renew(struct rebuild *rebuild, const char *reason,
			       struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = state_discard(rebuild, reason, err);
	if (rc == MBJ_OK)
		rc = state_open(rebuild, err);
	if (rc == MBJ_OK)
		rc = state_forward(rebuild, err);
	return rc;
}

/*
 * Another attempt may help: the first with a new state; and where that came
 * from a snapshot, which may have had the fault already, one from the journal
 * alone.
 */
static bool again_may_help(struct rebuild *rebuild)
{
	const struct mbj_store *store = rebuild->store;
	const struct mbj_store_recovery *recovery = rebuild->recovery;

	if (!rebuild->is_state_fault)
		return false;
	if (!recovery->is_rebuilt)
		return true;
	if (recovery->snapshot.v == 0 ||
	    store->superblock.identity.anchor.first.v != 1)
		return false;
	rebuild->is_whole = true;
	return true;
}

/*
 * The same, and again with a state made anew where the old one was at fault;
 * then what was set aside goes, unless a replica's tail is still to
 * come.  Requires: the state is open.
 */
static enum mbj_rc state_settle(struct rebuild *rebuild, struct mbj_error *err)
{
	struct mbj_store *store = rebuild->store;
	struct mbj_error damage;
	enum mbj_rc rc;

	rc = state_forward(rebuild, &damage);
	while (rc < 0 && again_may_help(rebuild)) {
		char reason[MBJ_ERROR_MESSAGE_MAX];

		memcpy(reason, damage.message, sizeof(reason));
		mbj_state_close(&store->state);
		rc = state_renew(rebuild, reason, &damage);
	}
	if (rc < 0 && err != NULL)
		*err = damage;
	if (rc < 0 || rebuild->watermark.lsn.v < store_log_end(store).lsn.v)
		return rc;
	return store_aside_retire(store, rebuild->recovery, err);
}

/* --------------------------------------------------------------- calls */

/* It failed with this; true: there is more room now, so once more. */
static bool rebuild_again(struct rebuild *rebuild, enum mbj_rc rc)
{
	struct mbj_store *store = rebuild->store;
	bool is_open = store->state != NULL;

	mbj_state_close(&store->state);
	return rc == MBJ_ENOSPC &&
	       store_room_make(store, rebuild->recovery->is_rebuilt, is_open);
}

static enum mbj_rc recover_once(struct mbj_store *store, struct mbj_error *err)
{
	const struct mbj_identity *id = &store->superblock.identity;
	struct rebuild rebuild = {.store = store, .recovery = &store->recovery};
	enum mbj_rc rc;

	MBJ_ASSERT(store->state == NULL && store->log == NULL);
	rc = state_attach(&rebuild, store->options.is_rebuild_forced, err);
	if (rc < 0 || mbj_id_is_root(id->lineage))
		return rc;
	rc = store_void_remove(store, err);
	if (rc < 0)
		return rc;
	rc = mbj_log_open(store->sys, store->journal_dir, id->lineage,
			  &id->anchor, rebuild.watermark.lsn,
			  &store->options.log, &store->log, err);
	if (rc < 0)
		return superblock_journal_fault(store->sys, store->dir,
						store->journal_dir, rc, err);
	store->recovery.torn_size = mbj_log_torn_get(store->log);
	store_trim_finish(store);
	return state_settle(&rebuild, err);
}

enum mbj_rc store_recover(struct mbj_store *store, struct mbj_error *err)
{
	struct rebuild rebuild = {.store = store, .recovery = &store->recovery};
	struct mbj_error why;
	bool is_again;
	enum mbj_rc rc;

	do {
		rc = recover_once(store, &why);
		if (rc == MBJ_OK)
			return MBJ_OK;
		is_again = rebuild_again(&rebuild, rc);
		mbj_log_close(&store->log);
	} while (is_again);
	if (rc == MBJ_ENOSPC)
		rc = store_room_say(store, &why);
	if (err != NULL)
		*err = why;
	return rc;
}

enum mbj_rc mbj_store_state_renew(struct mbj_store *store,
				  const struct mbj_error *why,
				  struct mbj_error *err)
{
	struct rebuild rebuild = {.store = store, .recovery = &store->recovery};
	enum mbj_rc rc;

	MBJ_ASSERT(store->superblock.identity.role == MBJ_STORE_REPLICA);
	MBJ_ASSERT(store->state != NULL && !store->recovery.is_rebuilt);
	rc = store_state_swap_begin(store, err);
	if (rc < 0)
		return rc;
	mbj_state_close(&store->state);
	rc = state_renew(&rebuild, why->message, err);
	if (rc < 0)
		mbj_state_close(&store->state);
	store_state_swap_end(store);
	return rc;
}

enum mbj_rc mbj_store_state_settled(struct mbj_store *store,
				    struct mbj_error *err)
{
	return store_aside_retire(store, &store->recovery, err);
}

/* Close the state and open it again, or make it anew: the second time. */
static enum mbj_rc state_reopen(struct mbj_store *store, bool is_forced,
				struct mbj_error *err)
{
	struct mbj_store_recovery recovery = {.is_rebuilt = false};
	struct rebuild rebuild = {.store = store, .recovery = &recovery};
	enum mbj_rc rc;

	rc = store_state_swap_begin(store, err);
	if (rc < 0)
		return rc;
	mbj_state_close(&store->state);
	do {
		rc = state_attach(&rebuild, is_forced, err);
		if (rc == MBJ_OK)
			rc = state_settle(&rebuild, err);
	} while (rc < 0 && rebuild_again(&rebuild, rc));
	store_state_swap_end(store);
	return rc == MBJ_ENOSPC ? store_room_say(store, err) : rc;
}

enum mbj_rc store_state_recover(struct mbj_store *store, struct mbj_error *err)
{
	struct mbj_store_recovery recovery = {.is_rebuilt = false};
	struct rebuild rebuild = {.store = store, .recovery = &recovery};
	struct mbj_error why;
	bool is_forced;
	enum mbj_rc rc;

	MBJ_ASSERT(store->state != NULL);
	if (!mbj_state_is_failed(store->state)) {
		rc = watermark_get(store, &rebuild.watermark, &why);
		if (rc == MBJ_OK)
			rc = state_forward(&rebuild, &why);
		if (rc == MBJ_OK)
			return MBJ_OK;
	}
	is_forced = store->state_failures++ > 0;
	rc = state_reopen(store, is_forced, &why);
	if (rc == MBJ_OK)
		return MBJ_OK;
	if (store->state == NULL)
		store_fail(store, &why);
	if (err != NULL)
		*err = why;
	return rc;
}
