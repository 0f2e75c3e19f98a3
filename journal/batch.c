/*
 * A batch: one transaction of the state, one write and one sync of the
 * journal, one commit.  The primary's edits (batch_queue.c) and the groups that
 * a replica receives (mbj_batch_*) take this one path.
 *
 *	  open --add*--> reserve, flush --> append, sync --> commit
 *	            |            |               |              |
 *	 failure: nothing     nothing         unknown        durable
 *
 * Not here: who waits for a batch, what a group means.
 *
 * Invariants:
 *   1. the state's watermark never passes the journal's durable end;
 *   2. whatever can be refused is refused before the journal is written;
 *   3. once it is written the groups stand: a state that cannot commit is
 *      brought forward from the journal, or the store is closed;
 *   4. a failed journal write closes the store: its outcome is unknown.
 *
 * Threads: the leader's, or the one thread that feeds a replica, which has a
 * turn from mbj_batch_begin to the end of the batch.
 */
#include <mbj/batch_room.h>
#include <mbj/check.h>
#include <mbj/growth.h>

#include "store_impl.h"

/* Records of what deleted mailboxes left that one batch removes. */
enum { REAPED_MAX = 1000 };

/*
 * Bytes by which a byte of a group makes journal and state grow, as a guess:
 * created mailboxes took 11, a rename is a short record, and flags of a whole
 * mailbox are a shorter one for far more, which only applying it tells.
 */
enum { GROUP_GROWTH = 32 };

uint64_t batch_growth(const struct mbj_batch *batch)
{
	return batch->records.n + mbj_txn_growth(batch->txn);
}

enum mbj_rc batch_open(struct mbj_store *store, struct mbj_batch *batch,
		       struct mbj_error *err)
{
	struct mbj_log_end end = store_log_end(store);
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	MBJ_ASSERT(batch->txn == NULL);
	MBJ_ASSERT(store->log != NULL);
	rc = mbj_txn_begin(store->state, &txn, err);
	if (rc < 0)
		return rc;
	batch->store = store;
	batch->txn = txn;
	batch->count = 0;
	batch->is_moved = false;
	batch->is_content_open = false;
	batch->drops = store_blobs_drops(store);
	batch->end = (struct mbj_watermark){end.lsn,
					    store->superblock.identity.epoch,
					    end.chain};
	mbj_buf_clear(&batch->records);
	/* A batch that came to nothing left its requests behind. */
	recall_end_set(&store->recall, end.lsn);
	return MBJ_OK;
}

void batch_drop(struct mbj_batch *batch)
{
	mbj_txn_abort(&batch->txn);
	batch->count = 0;
}

/*
 * The store goes no further: why, in front of what was found.  Returns
 * MBJ_EIO, whatever kind of failure it was.
 */
static enum mbj_rc batch_close(struct mbj_batch *batch, struct mbj_error *why,
			       const char *prefix, struct mbj_error *err)
{
	why->rc = MBJ_EIO;
	(void)mbj_error_prefix(why, MBJ_EIO, "%s", prefix);
	store_fail(batch->store, why);
	if (err != NULL)
		*err = *why;
	return MBJ_EIO;
}

/*
 * What deleted mailboxes left goes bit by bit, with what is written anyway.
 * That nothing could be reaped is no reason to refuse anything, unless nothing
 * else can be written any more either: then it is the reason.
 */
static enum mbj_rc batch_reap(struct mbj_batch *batch, struct mbj_error *err)
{
	size_t savepoint = mbj_txn_savepoint(batch->txn);
	bool is_done;
	enum mbj_rc rc;

	rc = mbj_txn_reap(batch->txn, REAPED_MAX, batch->end.lsn, &is_done,
			  err);
	if (rc == MBJ_OK)
		return MBJ_OK;
	mbj_txn_rollback(batch->txn, savepoint);
	return mbj_state_is_failed(batch->store->state) ? rc : MBJ_OK;
}

/*
 * Content first: no group is durable before what it needs.  What somebody
 * brought may be gone since it was looked for, where it could not be stored in
 * the end: whoever has to do with that finds out when he asks again.
 */
static enum mbj_rc batch_content(struct mbj_batch *batch, struct mbj_error *err)
{
	struct mbj_store *store = batch->store;
	enum mbj_rc rc = MBJ_OK;

	if (batch->count == 0)
		return MBJ_OK;
	if (batch->is_content_open)
		rc = store_blobs_sync(store, err);
	if (rc < 0 || batch->drops == store_blobs_drops(store))
		return rc;
	return mbj_error_set(err, MBJ_EIO,
			     "nothing was done: content that came to %s could "
			     "not be stored",
			     store->dir);
}

/* Everything that can be refused without consequence. */
static enum mbj_rc batch_prepare(struct mbj_batch *batch,
				 enum batch_stage *ret_stage,
				 struct mbj_error *err)
{
	struct mbj_store *store = batch->store;
	struct mbj_error why;
	enum mbj_rc rc;

	rc = batch_reap(batch, &why);
	if (rc == MBJ_OK)
		rc = batch_content(batch, &why);
	if (rc == MBJ_OK && batch->count > 0)
		rc = mbj_log_reserve(store->log, batch->records.n, &why);
	if (rc == MBJ_OK)
		rc = mbj_txn_watermark_set(batch->txn, &batch->end, &why);
	if (rc == MBJ_OK)
		rc = mbj_txn_flush(batch->txn, &why);
	if (rc == MBJ_OK)
		return MBJ_OK;
	if (mbj_log_is_failed(store->log)) {
		*ret_stage = BATCH_CLOSED;
		return batch_close(batch, &why,
				   "nothing was done, but the journal cannot "
				   "go on: open the store again",
				   err);
	}
	if (err != NULL)
		*err = why;
	return rc;
}

/*
 * The journal write.  A log that is still usable has written nothing; else
 * nobody knows, and nothing may follow.
 */
static enum mbj_rc batch_journal(struct mbj_batch *batch,
				 enum batch_stage *ret_stage,
				 struct mbj_error *err)
{
	struct mbj_store *store = batch->store;
	struct mbj_error why;
	enum mbj_rc rc;

	if (batch->count == 0)
		return MBJ_OK;
	rc = mbj_log_append(store->log, mbj_buf_view(&batch->records),
			    batch->count, &why);
	if (rc == MBJ_OK) {
		store_end_note(store);
		return MBJ_OK;
	}
	if (mbj_log_is_failed(store->log)) {
		*ret_stage = BATCH_UNKNOWN;
		return batch_close(batch, &why,
				   "outcome unknown, it may or may not have "
				   "become durable: open the store again and "
				   "look",
				   err);
	}
	if (err != NULL)
		*err = why;
	return rc;
}

/* The groups are in the journal: now the state must follow. */
static enum mbj_rc batch_commit(struct mbj_batch *batch,
				enum batch_stage *ret_stage,
				struct mbj_error *err)
{
	struct mbj_store *store = batch->store;
	struct mbj_error why;
	enum mbj_rc rc;

	rc = mbj_txn_commit(&batch->txn, &why);
	if (rc < 0 && store->superblock.identity.role == MBJ_STORE_PRIMARY)
		rc = store_state_recover(store, &why);
	if (rc == MBJ_OK)
		return MBJ_OK;
	/* Groups that were noted only: the state is where it was. */
	if (batch->count == 0) {
		if (err != NULL)
			*err = why;
		return rc;
	}
	*ret_stage = BATCH_DURABLE;
	return batch_close(batch, &why,
			   "it is durable in the journal, but the state "
			   "cannot follow: open the store again",
			   err);
}

enum mbj_rc batch_finish(struct mbj_batch *batch, enum batch_stage *ret_stage,
			 struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(batch->txn != NULL);
	MBJ_ASSERT(batch->is_moved || batch->count == 0);
	*ret_stage = BATCH_NOTHING;
	if (!batch->is_moved) {
		batch_drop(batch);
		return MBJ_OK;
	}
	rc = batch_prepare(batch, ret_stage, err);
	if (rc == MBJ_OK)
		rc = batch_journal(batch, ret_stage, err);
	if (rc < 0) {
		batch_drop(batch);
		return rc;
	}
	rc = batch_commit(batch, ret_stage, err);
	batch->count = 0;
	return rc;
}

void batch_checkpoint(struct mbj_store *store)
{
	enum mbj_rc rc;

	if (store->state == NULL)
		return;
	rc = mbj_state_checkpoint(store->state, store->is_scarce, NULL);
	(void)rc;
}

/* ------------------------------------------------------ received groups */

enum mbj_rc mbj_batch_begin(struct mbj_store *store,
			    struct mbj_batch **ret_batch, struct mbj_error *err)
{
	const struct mbj_identity *id = &store->superblock.identity;
	struct mbj_watermark watermark;
	enum mbj_rc rc;

	rc = store_check(store, err);
	if (rc < 0)
		return rc;
	if (id->role != MBJ_STORE_REPLICA)
		return mbj_error_set(err, MBJ_EFENCED,
				     "%s is a primary: it receives no groups",
				     store->dir);
	if (store->log == NULL)
		return mbj_error_set(err, MBJ_EFENCED, "%s has no lineage yet",
				     store->dir);
	rc = store_turn_take(store, err);
	if (rc < 0)
		return rc;
	rc = batch_open(store, &store->batch, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_watermark(store->batch.txn, &watermark, err);
	if (rc < 0) {
		batch_drop(&store->batch);
		store_turn_give(store);
		return rc;
	}
	store->batch.end = watermark;
	store->batch.is_content_open = true;
	*ret_batch = &store->batch;
	return MBJ_OK;
}

struct mbj_txn *mbj_batch_txn(struct mbj_batch *batch)
{
	MBJ_ASSERT(batch->txn != NULL);
	return batch->txn;
}

struct mbj_retry_pace *mbj_store_retry_pace(struct mbj_store *store)
{
	return &store->pace;
}

enum mbj_rc mbj_batch_space_check(const struct mbj_batch *batch, uint64_t more,
				  struct mbj_error *err)
{
	struct mbj_store_space space = store_space_look(batch->store);

	return store_space_check(batch->store, &space,
				 batch_growth(batch) + more, false, err);
}

bool mbj_batch_is_shared(const struct mbj_batch *batch)
{
	return batch->count > 0 && !mbj_state_is_failed(batch->store->state);
}

bool mbj_batch_is_full(const struct mbj_batch *batch,
		       const struct mbj_group *group)
{
	uint64_t next = GROUP_GROWTH * (uint64_t)group->record.n;
	uint64_t growth = batch_growth(batch);

	if (!batch->is_moved)
		return false;
	if (growth + next > store_tail_growth_max(batch->store))
		return true;
	return batch->count > 0 && batch->space.min > 0 &&
	       (batch->space.left < batch->space.min ||
		batch->space.left - batch->space.min < growth + next);
}

/* The watermark follows, by exactly one group at a time. */
static void batch_move(struct mbj_batch *batch, const struct mbj_group *group)
{
	MBJ_ASSERT(group->header.lsn.v == batch->end.lsn.v + 1);
	batch->end.lsn = group->header.lsn;
	batch->end.epoch = group->header.epoch;
	batch->end.chain = group->chain;
	batch->is_moved = true;
}

/* What edit_is_freeing says of an edit, of its group. */
static bool group_is_freeing(const struct mbj_group *group)
{
	struct mbj_reader reader;
	bool is_freeing = false;
	struct mbj_op op;

	mbj_reader_init(&reader, group->body);
	while (mbj_group_op_next(group, &reader, &op, NULL) == MBJ_OK) {
		if (op.kind == MBJ_OP_RECEIPT)
			continue;
		if (op.kind != MBJ_OP_MESSAGE_EXPUNGE &&
		    op.kind != MBJ_OP_ACCOUNT_DELETE &&
		    op.kind != MBJ_OP_OUTCOME)
			return false;
		is_freeing = true;
	}
	/* What cannot be decoded frees nothing. */
	return is_freeing && mbj_reader_is_spent(&reader);
}

static enum mbj_rc batch_space_check(struct mbj_batch *batch,
				     const struct mbj_group *group,
				     struct mbj_error *err)
{
	uint64_t growth = batch_growth(batch) + group->record.n;
	enum mbj_rc rc;

	/* Looked at once for each batch. */
	if (batch->count == 0)
		batch->space = store_space_look(batch->store);
	rc = store_space_check(batch->store, &batch->space, growth, false, err);
	if (rc < 0 && group_is_freeing(group))
		rc = store_space_check(batch->store, &batch->space, growth,
				       true, err);
	return rc;
}

enum mbj_rc mbj_batch_add(struct mbj_batch *batch,
			  const struct mbj_group *group, struct mbj_error *err)
{
	struct mbj_log_end end = store_log_end(batch->store);
	enum mbj_rc rc;

	/* Behind the journal's end only: groups within it are noted. */
	MBJ_ASSERT(group->header.lsn.v == end.lsn.v + batch->count + 1);
	MBJ_ASSERT(group->is_body_good);
	rc = batch_space_check(batch, group, err);
	if (rc < 0)
		return rc;
	if (group->record.n > BATCH_SIZE_MAX - batch->records.n)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "a batch holds at most %d bytes",
				     BATCH_SIZE_MAX);
	mbj_buf_put_bytes(&batch->records, group->record);
	if (batch->records.failed < 0) {
		batch->records.failed = MBJ_OK;
		return mbj_error_nomem(err);
	}
	batch->count++;
	batch_move(batch, group);
	return MBJ_OK;
}

enum mbj_rc mbj_batch_note(struct mbj_batch *batch,
			   const struct mbj_group *group, struct mbj_error *err)
{
	struct mbj_log_end end = store_log_end(batch->store);

	if (group->header.lsn.v > end.lsn.v)
		return mbj_error_set(err, MBJ_EINVALID,
				     "group %llu is not in the journal of %s",
				     (unsigned long long)group->header.lsn.v,
				     batch->store->dir);
	batch_move(batch, group);
	return MBJ_OK;
}

void mbj_batch_touch(struct mbj_batch *batch)
{
	batch->is_moved = true;
}

enum mbj_rc mbj_batch_commit(struct mbj_batch **batch, struct mbj_error *err)
{
	struct mbj_store *store = (*batch)->store;
	enum batch_stage stage;
	enum mbj_rc rc;

	rc = batch_finish(*batch, &stage, err);
	*batch = NULL;
	if (rc == MBJ_OK)
		batch_checkpoint(store);
	store_turn_give(store);
	return rc;
}

void mbj_batch_abort(struct mbj_batch **batch)
{
	if (*batch != NULL) {
		batch_drop(*batch);
		store_turn_give((*batch)->store);
	}
	*batch = NULL;
}
