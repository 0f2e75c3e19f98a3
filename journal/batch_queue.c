/*
 * The combiner: edits of many threads share one transaction, one journal
 * write and one sync.  Whoever comes while nobody leads becomes the leader,
 * takes all that wait, carries them out as one batch, hands leadership to the
 * next waiter and answers.  While a leader syncs, the others queue up.
 *
 *	  submit: queue --nobody leads--> lead --> answer
 *	            |                      ^
 *	            +--sleep--> woken: answered, or told to lead
 *
 * Whoever must be alone with log and state for a moment (keeping house, a
 * replica's groups) queues up for a turn: a batch takes what came before it,
 * and it leads with nothing taken.
 *
 * Not here: what an edit means (edit_run.h), how a batch becomes durable
 * (batch.c).
 *
 * Invariants:
 *   1. at most one thread leads; a request is in one place: the queue, or the
 *      list of the leader that took it;
 *   2. the leader's own request is the first that it takes;
 *   3. one request's failure is its own: refused ones leave no trace in the
 *      batch, and a batch that fails before its journal write is carried out
 *      again one by one;
 *   4. a request is not touched after its thread was woken;
 *   5. nothing passes a turn: what queued up before it comes before it.
 *
 * Threads: mbj_store_submit and turns from any.
 */
#include <sched.h>
#include <semaphore.h>

#include <mbj/check.h>

#include "edit_run.h"
#include "receipt.h"
#include "store_impl.h"

enum {
	BATCH_REQUESTS_MAX = 1024,
	BATCH_FULL_SIZE = 4 << 20, /* records after which a batch is full */
	GATHER_YIELDS_MAX = 50,	   /* turns given away before a batch begins */
	GATHER_MS_MAX = 2,	   /* and as long as that may take */
};

/* One edit waiting for its answer; lives on its thread's stack. */
struct request {
	const struct mbj_edit *edit; /* NULL: a turn */
	uint64_t removals; /* of content, when its own was looked for */
	struct mbj_outcome outcome;
	struct mbj_error error; /* valid where rc < 0 */
	enum mbj_rc rc;
	bool is_told_to_lead;
	struct request *next;
	sem_t wake;
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
static void request_note(struct mbj_batch *batch, const struct request *request,
			 const struct edit_context *context)
{
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
			  struct request *request,
			  struct mbj_store_space *space)
{
	struct mbj_error why;
	enum mbj_rc rc;

	rc = store_space_check(batch->store, space, batch_growth(batch),
			       edit_is_freeing(request->edit), &why);
	if (rc < 0)
		request_fail(request, rc, &why);
}

/*
 * Carry one edit out in the batch's transaction.  Whatever fails, and every
 * dry run, leaves the batch as it was.
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
		.lsn = {batch->end.lsn.v + 1},
		.epoch = store->superblock.identity.epoch,
		.time_us = time_us,
		.chain = batch->end.chain,
	};
	struct mbj_bytes record;
	struct mbj_hash hash;
	bool is_known = false;

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
	mbj_arena_reset(store->arena);
	request->rc = edit_run(&context, request->edit, &batch->records,
			       &request->outcome, &request->error);
	/* Nothing may have been written yet: NULL has no offsets. */
	record = mbj_bytes_make(NULL, 0);
	if (batch->records.n > before)
		record = mbj_bytes_make(batch->records.p + before,
					batch->records.n - before);
	/* Judged first: what is refused gives no reserve away. */
	if (request->rc == MBJ_OK && !request->edit->is_dry_run && record.n > 0)
		request_space(batch, request, space);
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
 * One batch from the head of list, of one request or of as many as fit.
 * *ret_end is the first request that is not in it.
 */
static enum mbj_rc batch_try(struct mbj_store *store, struct request *list,
			     bool is_alone, struct request **ret_end,
			     enum batch_stage *ret_stage, struct mbj_error *err)
{
	struct mbj_batch *batch = &store->batch;
	int64_t time_us = store->sys->now_us(store->sys->ctx);
	struct mbj_store_space space = store_space_look(store);
	struct request *request = list;
	size_t taken = 0;
	enum mbj_rc rc;

	*ret_end = list->next;
	*ret_stage = BATCH_NOTHING;
	rc = batch_ready(store, err);
	if (rc < 0)
		return rc;
	do {
		request_run(batch, request, &space, time_us);
		request = request->next;
		taken++;
	} while (request != NULL && !is_alone && !batch_is_full(batch, taken));
	*ret_end = request;
	if (mbj_state_is_failed(store->state)) {
		batch_drop(batch);
		return mbj_error_set(err, MBJ_EIO,
				     "%s: the state failed in the middle of a "
				     "batch; nothing was done",
				     store->dir);
	}
	rc = batch_finish(batch, ret_stage, err);
	if (rc == MBJ_OK)
		store_reserve_renew(store, &space, time_us);
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

/*
 * One batch, answered: all that it took have their rc.  Where it failed
 * before the journal was written each is tried once more by itself, so that
 * one that cannot be had does not cost the others.  Returns the first request
 * that is not in it.
 */
static struct request *batch_run(struct mbj_store *store, struct request *list)
{
	enum batch_stage stage;
	struct request *end;
	struct request *after;
	struct mbj_error why;
	enum mbj_rc rc;

	rc = batch_try(store, list, false, &end, &stage, &why);
	if (rc == MBJ_OK)
		return end;
	if (stage == BATCH_DURABLE)
		requests_behind(list, end, &why);
	else if (stage != BATCH_NOTHING)
		requests_fail(list, end, rc, &why);
	if (stage != BATCH_NOTHING)
		return end;
	for (struct request *r = list; r != end; r = after) {
		request_reset(r);
		rc = batch_try(store, r, true, &after, &stage, &why);
		if (rc < 0 && stage == BATCH_DURABLE)
			requests_behind(r, after, &why);
		else if (rc < 0)
			request_fail(r, rc, &why);
	}
	return end;
}

/* ---------------------------------------------------------------- queue */

/* Queue up; true where nobody leads, and so the caller does. */
static bool queue_enter(struct mbj_store *store, struct request *request)
{
	bool is_leader;

	pthread_mutex_lock(&store->mutex);
	*store->waiting_tail = request;
	store->waiting_tail = &request->next;
	store->waiting_count++;
	is_leader = !store->is_led;
	store->is_led = true;
	pthread_mutex_unlock(&store->mutex);
	return is_leader;
}

static bool queue_is_crowded(struct mbj_store *store)
{
	bool is_crowded;

	pthread_mutex_lock(&store->mutex);
	is_crowded = store->waiting_count >= store->crowd;
	pthread_mutex_unlock(&store->mutex);
	return is_crowded;
}

/*
 * Producers that were answered a moment ago are about to come back.  Without
 * a moment's patience they miss the batch that is beginning, and the crowd
 * falls into two halves that wait for each other's syncs.  Measured on two
 * cores: 32 producers get 9 to 10 times the rate of one instead of 7.  A
 * producer that is alone never waits; one whose company has left waits once.
 * Turns cost next to nothing where nobody else wants the processor, and another
 * process's time slice each where somebody does.
 */
static void queue_gather(struct mbj_store *store)
{
	int64_t end_ms = mbj_monotonic_ms() + GATHER_MS_MAX;

	for (int i = 0; i < GATHER_YIELDS_MAX && !queue_is_crowded(store) &&
			mbj_monotonic_ms() <= end_ms;
	     i++)
		(void)sched_yield();
}

/* All that wait before the next turn, the leader's own first. */
static struct request *queue_take(struct mbj_store *store)
{
	struct request *list;
	struct request **end;

	pthread_mutex_lock(&store->mutex);
	MBJ_ASSERT(store->is_led);
	list = store->waiting_head;
	end = &list;
	store->crowd = 0;
	for (; *end != NULL && (*end)->edit != NULL; end = &(*end)->next)
		store->crowd++;
	MBJ_ASSERT(store->crowd > 0 && store->crowd <= store->waiting_count);
	store->waiting_count -= store->crowd;
	store->waiting_head = *end;
	if (store->waiting_head == NULL)
		store->waiting_tail = &store->waiting_head;
	*end = NULL;
	pthread_mutex_unlock(&store->mutex);
	return list;
}

/* Hand leadership to the next that waits, or to nobody. */
static void queue_pass(struct mbj_store *store)
{
	struct request *next;

	pthread_mutex_lock(&store->mutex);
	store->crowd += store->waiting_count;
	next = store->waiting_head;
	store->is_led = next != NULL;
	if (next != NULL)
		next->is_told_to_lead = true;
	pthread_mutex_unlock(&store->mutex);
	if (next != NULL)
		(void)sem_post(&next->wake);
}

/* Wake the threads of [list, end), but the leader itself. */
static void requests_wake(struct request *list, const struct request *end,
			  const struct request *own)
{
	struct request *next;

	for (struct request *r = list; r != end; r = next) {
		next = r->next;
		if (r != own)
			(void)sem_post(&r->wake);
	}
}

static void queue_lead(struct mbj_store *store, struct request *own)
{
	struct request *list;
	struct request *end;

	queue_gather(store);
	list = queue_take(store);
	MBJ_ASSERT(list == own);
	for (; list != NULL; list = end) {
		end = batch_run(store, list);
		if (end == NULL) {
			batch_checkpoint(store);
			queue_pass(store);
		}
		requests_wake(list, end, own);
	}
}

static void request_wait(struct request *request)
{
	while (sem_wait(&request->wake) != 0)
		continue; /* interrupted by a signal */
}

static enum mbj_rc edit_admit(struct mbj_store *store,
			      const struct mbj_edit *edit,
			      struct mbj_error *err)
{
	if (edit->size != sizeof(*edit))
		return mbj_error_set(err, MBJ_EINVALID,
				     "struct mbj_edit has another size here: "
				     "built against other headers");
	if (store_role(store) != MBJ_STORE_PRIMARY)
		return mbj_error_set(err, MBJ_EFENCED,
				     "%s is a replica: edits go to its "
				     "primary",
				     store->dir);
	return MBJ_OK;
}

static enum mbj_rc request_init(struct request *request,
				const struct mbj_edit *edit,
				struct mbj_error *err)
{
	request->edit = edit;
	request->rc = MBJ_OK;
	memset(&request->outcome, 0, sizeof(request->outcome));
	request->is_told_to_lead = false;
	request->next = NULL;
	if (sem_init(&request->wake, 0, 0) != 0)
		return mbj_error_nomem(err);
	return MBJ_OK;
}

enum mbj_rc store_submit(struct mbj_store *store, const struct mbj_edit *edit,
			 uint64_t removals, struct mbj_outcome *ret_outcome,
			 struct mbj_error *err)
{
	struct request request;
	enum mbj_rc rc;

	MBJ_ASSERT(edit != NULL && ret_outcome != NULL);
	rc = edit_admit(store, edit, err);
	if (rc == MBJ_OK)
		rc = request_init(&request, edit, err);
	if (rc < 0)
		return rc;
	request.removals = removals;
	if (queue_enter(store, &request)) {
		queue_lead(store, &request);
	} else {
		request_wait(&request);
		if (request.is_told_to_lead)
			queue_lead(store, &request);
	}
	(void)sem_destroy(&request.wake);
	if (request.rc == MBJ_OK) {
		*ret_outcome = request.outcome;
		return MBJ_OK;
	}
	/* It may have come as far as having results. */
	mbj_outcome_done(&request.outcome);
	if (err != NULL)
		*err = request.error;
	return request.rc;
}

enum mbj_rc mbj_store_submit(struct mbj_store *store,
			     const struct mbj_edit *edit,
			     struct mbj_outcome *ret_outcome,
			     struct mbj_error *err)
{
	return store_submit(store, edit, store_removals(store), ret_outcome,
			    err);
}

/* ----------------------------------------------------------------- turns */

enum mbj_rc store_turn_take(struct mbj_store *store, struct mbj_error *err)
{
	struct request request;
	enum mbj_rc rc = request_init(&request, NULL, err);

	if (rc < 0)
		return rc;
	if (!queue_enter(store, &request))
		request_wait(&request);
	/* It leads, and is the first: nobody needs to find it any more. */
	pthread_mutex_lock(&store->mutex);
	MBJ_ASSERT(store->is_led && store->waiting_head == &request);
	store->waiting_head = request.next;
	if (store->waiting_head == NULL)
		store->waiting_tail = &store->waiting_head;
	store->waiting_count--;
	pthread_mutex_unlock(&store->mutex);
	(void)sem_destroy(&request.wake);
	return MBJ_OK;
}

void store_turn_give(struct mbj_store *store)
{
	queue_pass(store);
}
