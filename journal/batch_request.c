/*
 * A batch of edits: each carried out in the batch's transaction, then all made
 * durable together.
 *
 * Not here: who waits and who leads (batch_queue.c), what an edit means
 * (edit_run.h), how a batch becomes durable (batch.c).
 *
 * Invariants:
 *   1. one request's failure is its own: refused ones leave no trace in the
 *      batch, and a batch that fails before its journal write is carried out
 *      again one by one;
 *   2. what has no room beside others, or would leave something in a batch that
 *      it is not in, is judged again, first of the next one: nobody is refused
 *      for his neighbours;
 *   3. what is in a batch was let in with all that it writes: what others left
 *      in its transaction goes with that, and all in it are judged again;
 *   4. who is told of a batch before it is durable is told once, and of an
 *      edit that nothing but the disk can still refuse.
 *
 * Threads: the leader's.
 */
#include <mbj/check.h>
#include <mbj/growth.h>

#include "batch_request.h"
#include "edit_run.h"
#include "receipt.h"

enum {
	BATCH_REQUESTS_MAX = 1024,
	BATCH_FULL_SIZE = 4 << 20, /* records after which a batch is full */
};

/* ------------------------------------------------------------- requests */

static void request_reset(struct request *request)
{
	mbj_outcome_done(&request->outcome);
	memset(&request->outcome, 0, sizeof(request->outcome));
	request->rc = MBJ_OK;
}

static void request_fail(struct request *request, enum mbj_rc rc,
			 const struct mbj_error *why)
{
	MBJ_ASSERT(rc < 0);
	request_reset(request);
	request->rc = rc;
	request->error = *why;
}

/* The group's bytes, for the caller; a dry run's too. */
static enum mbj_rc request_keep_record(struct request *request,
				       struct mbj_bytes record)
{
	struct mbj_buf *copy = &request->outcome.record;

	if (record.n == 0 || copy->n > 0)
		return MBJ_OK;
	mbj_buf_init(copy, MBJ_GROUP_MAX);
	mbj_buf_put_bytes(copy, record);
	return mbj_buf_ok(copy, &request->error);
}

/*
 * A request with an id: carried out before, or to be known again.  A dry run
 * neither asks nor is remembered, and shows its receipt all the same.
 */
static enum mbj_rc request_recall(struct mbj_batch *batch,
				  struct request *request,
				  struct mbj_hash *hash, bool *ret_is_known)
{
	const struct mbj_edit *edit = request->edit;
	struct mbj_edit real = *edit;
	enum mbj_rc rc;

	real.is_dry_run = false;
	rc = receipt_hash(batch->store->sha, &real, hash, &request->error);
	if (rc < 0 || edit->is_dry_run)
		return rc;
	return store_recall(batch->store, batch, edit->request, hash,
			    ret_is_known, &request->outcome, &request->error);
}

/* It is in the batch. */
static void request_note(struct mbj_batch *batch, struct request *request,
			 const struct edit_context *context)
{
	request->is_in_batch = true;
	if (!store_content_is_settled(batch->store, request->edit))
		batch->is_content_open = true;
	batch->count++;
	batch->end.lsn = context->lsn;
	batch->end.chain = context->chain;
	batch->is_moved = true;
	if (context->edit_hash != NULL)
		recall_add(&batch->store->recall, request->edit->request,
			   context->lsn);
}

/* It journals, and after it there is less to keep. */
static bool edit_is_freeing(const struct mbj_edit *edit)
{
	if (edit->stage == MBJ_STAGE_INTENT)
		return false;
	if (edit->kind == MBJ_EDIT_ACCOUNT_DELETE ||
	    edit->stage == MBJ_STAGE_FAILED)
		return true;
	if (edit->kind != MBJ_EDIT_MESSAGES || edit->message_count == 0)
		return false;
	for (size_t i = 0; i < edit->message_count; i++)
		if (edit->messages[i].kind != MBJ_MESSAGE_EXPUNGE)
			return false;
	return true;
}

static void request_space(const struct mbj_batch *batch,
			  struct request *request, uint64_t growth,
			  struct mbj_store_space *space)
{
	const struct mbj_edit *edit = request->edit;
	struct mbj_error why;
	enum mbj_rc rc;

	/* A dry run makes no room, and is worth no reserve. */
	rc = store_space_check(batch->store, space, growth,
			       !edit->is_dry_run && edit_is_freeing(edit),
			       &why);
	if (rc == MBJ_OK)
		return;
	request_fail(request, rc, &why);
	request->is_put_off = batch->count > 0;
}

/*
 * Carry one edit out in the batch's transaction, as far as there is room for
 * what it has to write on its way.  Returns: by how much the batch would grow
 * until then, where there was none; else 0.
 */
static uint64_t edit_carry(struct mbj_batch *batch, struct request *request,
			   const struct mbj_store_space *space,
			   struct edit_context *context)
{
	uint64_t room = store_space_room(space, edit_is_freeing(request->edit));
	uint64_t records = batch->records.n, refused;

	mbj_txn_growth_limit(batch->txn, room > records ? room - records : 0);
	mbj_arena_reset(batch->store->arena);
	request->rc = edit_run(context, request->edit, &batch->records,
			       &request->outcome, &request->error);
	refused = mbj_txn_growth_refused(batch->txn);
	mbj_txn_growth_limit(batch->txn, UINT64_MAX);
	return request->rc < 0 && refused > 0 ? records + refused : 0;
}

/*
 * Once more where the reserve is given up for what it is known to take until
 * then.
 */
static void request_edit(struct mbj_batch *batch, struct request *request,
			 struct mbj_store_space *space,
			 struct edit_context *context)
{
	const char *dir = batch->store->dir;
	uint64_t growth;

	while ((growth = edit_carry(batch, request, space, context)) > 0) {
		request_reset(request);
		request_space(batch, request, growth, space);
		if (request->rc == MBJ_OK)
			continue;
		(void)mbj_error_set(
			&request->error, MBJ_ENOSPC,
			"%s has no space left but for %llu bytes; this takes "
			"more than %llu: nothing of it is written before there "
			"is more",
			dir, (unsigned long long)space->left,
			(unsigned long long)growth);
		return;
	}
}

/*
 * Carry one edit out in the batch's transaction.  Whatever fails, and every
 * dry run, leaves the batch as it was, but for what the engine has been told
 * on the way (batch_pass).
 */
static void request_run(struct mbj_batch *batch, struct request *request,
			struct mbj_store_space *space, int64_t time_us)
{
	struct mbj_store *store = batch->store;
	size_t savepoint = mbj_txn_savepoint(batch->txn);
	size_t before = batch->records.n;
	struct edit_context context = {
		.sys = store->sys,
		.table_key = store->table_key,
		.txn = batch->txn,
		.sha = store->sha,
		.writer = &store->writer,
		.arena = store->arena,
		.is_sole = request->is_sole,
		.is_standing = request->is_standing,
		.standing = &store->standing,
		.lsn = {batch->end.lsn.v + 1},
		.epoch = store->superblock.identity.epoch,
		.time_us = time_us,
		.chain = batch->end.chain,
	};
	struct mbj_bytes record;
	struct mbj_hash hash;
	bool is_known = false;

	request->is_put_off = request->is_in_batch = false;
	if (!mbj_id_is_root(request->edit->request)) {
		request->rc = request_recall(batch, request, &hash, &is_known);
		if (request->rc < 0 || is_known)
			return;
		context.edit_hash = &hash;
	}
	/* Nothing is removed while a batch is carried out. */
	if (request->removals != store_removals(store)) {
		request->rc = store_content_check(store, request->edit,
						  &request->error);
		if (request->rc < 0)
			return;
	}
	request_edit(batch, request, space, &context);
	/* Nothing may have been written yet: NULL has no offsets. */
	record = mbj_bytes_make(NULL, 0);
	if (batch->records.n > before)
		record = mbj_bytes_make(batch->records.p + before,
					batch->records.n - before);
	/* Judged first: what is refused gives no reserve away. */
	if (request->rc == MBJ_OK && !request->edit->is_dry_run && record.n > 0)
		request_space(batch, request, batch_growth(batch), space);
	if (request->rc == MBJ_OK)
		request->rc = request_keep_record(request, record);
	if (request->rc < 0 || request->edit->is_dry_run || record.n == 0) {
		mbj_txn_rollback(batch->txn, savepoint);
		batch->records.n = before;
		return;
	}
	request_note(batch, request, &context);
}

/* ---------------------------------------------------------------- batch */

static bool batch_is_full(const struct mbj_batch *batch, size_t taken)
{
	return taken >= BATCH_REQUESTS_MAX ||
	       batch->records.n >= BATCH_FULL_SIZE ||
	       mbj_state_is_failed(batch->store->state);
}

/* A transaction to work in, on a state that was mended where it was broken. */
static enum mbj_rc batch_ready(struct mbj_store *store, struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = store_check(store, err);
	if (rc == MBJ_OK && mbj_state_is_failed(store->state))
		rc = store_state_recover(store, err);
	if (rc == MBJ_OK)
		rc = batch_open(store, &store->batch, err);
	return rc;
}

/*
 * The batch stands in its transaction, in the order in which its requests came:
 * who wants to know that early is told, once.
 */
static void judged_tell(const struct judged *judged, const struct request *own)
{
	for (struct request *r = judged->list; r != judged->end; r = r->next) {
		if (!r->is_taking || r->is_judged || r->rc < 0)
			continue;
		r->is_judged = true;
		if (r != own)
			(void)sem_post(&r->wake);
	}
}

/*
 * Carry out what fits of [list, end), and set end.  What is not in the batch
 * may have left more than its answer: what it had told to the engine so that it
 * could be scanned, and what that was before, which nobody was let in for.
 * Where others are in the batch it is judged again, first of the next one.
 * Returns: false, something was left.
 */
static bool batch_pass(struct mbj_store *store, struct judged *judged,
		       bool is_alone)
{
	struct mbj_batch *batch = &store->batch;
	struct request *request = judged->list;
	bool is_clean;
	size_t taken = 0;

	do {
		uint64_t growth = mbj_txn_growth(batch->txn);

		request_reset(request);
		request_run(batch, request, &judged->space, judged->time_us);
		is_clean = request->is_in_batch ||
			   mbj_txn_growth(batch->txn) == growth;
		if (request->is_put_off || (!is_clean && batch->count > 0)) {
			request_reset(request);
			break;
		}
		request = request->next;
		taken++;
	} while (is_clean && request != judged->end && !is_alone &&
		 !batch_is_full(batch, taken));
	judged->end = request;
	return is_clean;
}

/*
 * In passes: what one of them left goes with its transaction, and all that was
 * judged before it is carried out again, whatever it was told: a retry's answer
 * is what became of the first.  Each pass ends before the last one did.
 */
void batch_judge(struct mbj_store *store, struct request *list, bool is_alone,
		 const struct request *own, struct judged *ret_judged)
{
	struct mbj_batch *batch = &store->batch;
	struct judged judged = {
		.list = list,
		.end = NULL,
		.space = store_space_look(store),
		.time_us = store->sys->now_us(store->sys->ctx),
	};
	bool is_whole = false;

	judged.rc = batch_ready(store, &judged.why);
	if (judged.rc < 0)
		judged.end = list->next;
	while (judged.rc == MBJ_OK && !is_whole) {
		bool is_clean = batch_pass(store, &judged, is_alone);

		is_whole = is_clean || batch->count == 0;
		if (mbj_state_is_failed(store->state))
			judged.rc = mbj_error_set(
				&judged.why, MBJ_EIO,
				"%s: the state failed in the middle of a "
				"batch; nothing was done",
				store->dir);
		if (judged.rc < 0 || !is_clean)
			batch_drop(batch);
		if (judged.rc == MBJ_OK && !is_clean)
			judged.rc = batch_ready(store, &judged.why);
	}
	if (judged.rc == MBJ_OK)
		judged_tell(&judged, own);
	*ret_judged = judged;
}

/* What was judged becomes durable. */
static enum mbj_rc batch_end(struct mbj_store *store,
			     const struct judged *judged,
			     enum batch_stage *ret_stage, struct mbj_error *err)
{
	enum mbj_rc rc;

	*ret_stage = BATCH_NOTHING;
	if (judged->rc < 0) {
		*err = judged->why;
		return judged->rc;
	}
	rc = batch_finish(&store->batch, ret_stage, err);
	if (rc == MBJ_OK)
		store_reserve_renew(store, &judged->space, judged->time_us);
	return rc;
}

/* The answer to all of [list, end) that failed together. */
static void requests_fail(struct request *list, const struct request *end,
			  enum mbj_rc rc, const struct mbj_error *why)
{
	for (struct request *r = list; r != end; r = r->next)
		request_fail(r, rc, why);
}

/*
 * The answer to all of [list, end) whose groups are durable, while the state
 * is behind and the store closed.  Who was refused, was.
 */
static void requests_behind(struct request *list, const struct request *end,
			    struct mbj_error *why)
{
	for (struct request *r = list; r != end; r = r->next) {
		if (r->rc < 0)
			continue;
		why->rc = r->edit->is_dry_run ? MBJ_EIO : MBJ_EBEHIND;
		why->lsn = r->edit->is_dry_run ? 0 : r->outcome.lsn.v;
		request_fail(r, why->rc, why);
	}
}

void batch_answer(struct mbj_store *store, const struct judged *judged,
		  const struct request *own)
{
	struct request *end = judged->end;
	struct request *after;
	enum batch_stage stage;
	struct mbj_error why;
	enum mbj_rc rc;

	rc = batch_end(store, judged, &stage, &why);
	if (rc == MBJ_OK)
		return;
	if (stage == BATCH_DURABLE)
		requests_behind(judged->list, end, &why);
	else if (stage != BATCH_NOTHING)
		requests_fail(judged->list, end, rc, &why);
	if (stage != BATCH_NOTHING)
		return;
	for (struct request *r = judged->list; r != NULL && r != end;
	     r = after) {
		struct judged alone;

		request_reset(r);
		batch_judge(store, r, true, own, &alone);
		after = alone.end;
		rc = batch_end(store, &alone, &stage, &why);
		if (rc < 0 && stage == BATCH_DURABLE)
			requests_behind(r, after, &why);
		else if (rc < 0)
			request_fail(r, rc, &why);
	}
}
