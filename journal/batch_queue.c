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
 * Whoever takes an edit (store_take) comes back in the middle, between
 * carrying out and making durable, with the batch in its hands where it leads.
 *
 * Whoever must be alone with log and state for a moment (keeping house, a
 * replica's groups) queues up for a turn: a batch takes what came before it,
 * and it leads with nothing taken.
 *
 * Not here: a batch (batch_request.c).
 *
 * Invariants:
 *   1. at most one thread leads; a request is in one place: the queue, or the
 *      list of the leader that took it;
 *   2. the leader's own request is the first that it takes;
 *   3. a request is not touched after its thread was woken, for the last time
 *      where it is told twice;
 *   4. nothing passes a turn: what queued up before it comes before it.
 *
 * Threads: mbj_store_submit and turns from any.
 */
#include <sched.h>
#include <stdio.h>

#include <mbj/check.h>

#include "batch_request.h"
#include "edit_text.h"

enum {
	GATHER_YIELDS_MAX = 50, /* turns given away before a batch begins */
	GATHER_MS_MAX = 2,	/* and as long as that may take */
};

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

/* All that wait, and the first batch of them judged. */
static void lead_begin(struct mbj_store *store, struct request *own)
{
	struct request *list;

	queue_gather(store);
	list = queue_take(store);
	MBJ_ASSERT(list == own);
	batch_judge(store, list, false, own, &own->judged);
}

/* That batch, and then the others. */
static void lead_end(struct mbj_store *store, struct request *own)
{
	struct judged judged = own->judged;
	struct request *end;

	do {
		end = judged.end;
		batch_answer(store, &judged, own);
		if (end == NULL) {
			batch_checkpoint(store);
			queue_pass(store);
		}
		requests_wake(judged.list, end, own);
		if (end != NULL)
			batch_judge(store, end, false, own, &judged);
	} while (end != NULL);
}

static void request_wait(struct request *request)
{
	while (sem_wait(&request->wake) != 0)
		continue; /* interrupted by a signal */
}

/* About the account, which is read-only here (mbj_jmap_error_print). */
static enum mbj_rc edit_refuse_here(const struct mbj_store *store,
				    const struct mbj_edit *edit,
				    struct mbj_error *err)
{
	struct edit_text account;
	struct mbj_error why;

	(void)mbj_error_set(&why, MBJ_EFENCED,
			    "%s is a replica: edits go to its primary",
			    store->dir);
	why.subject_kind = "account";
	(void)snprintf(why.subject, sizeof(why.subject), "%s",
		       edit_text_raw(&account, edit->account));
	if (err != NULL)
		*err = why;
	return MBJ_EFENCED;
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
		return edit_refuse_here(store, edit, err);
	return MBJ_OK;
}

static enum mbj_rc request_init(struct request *request,
				const struct mbj_edit *edit,
				struct mbj_error *err)
{
	memset(request, 0, sizeof(*request));
	request->edit = edit;
	if (sem_init(&request->wake, 0, 0) != 0)
		return mbj_error_nomem(err);
	return MBJ_OK;
}

/* Until it is answered, judged, or the caller leads: true. */
static bool request_enter(struct mbj_store *store, struct request *request)
{
	if (queue_enter(store, request))
		return true;
	request_wait(request);
	return request->is_told_to_lead;
}

/* What came out, once it is over. */
static enum mbj_rc request_end(struct request *request,
			       struct mbj_outcome *ret_outcome,
			       struct mbj_error *err)
{
	(void)sem_destroy(&request->wake);
	if (request->rc == MBJ_OK) {
		*ret_outcome = request->outcome;
		return MBJ_OK;
	}
	/* It may have come as far as having results. */
	mbj_outcome_done(&request->outcome);
	if (err != NULL)
		*err = request->error;
	return request->rc;
}

static enum mbj_rc edit_submit(struct mbj_store *store,
			       const struct mbj_edit *edit, uint64_t removals,
			       bool is_sole, struct mbj_outcome *ret_outcome,
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
	request.is_sole = is_sole;
	if (request_enter(store, &request)) {
		lead_begin(store, &request);
		lead_end(store, &request);
	}
	return request_end(&request, ret_outcome, err);
}

enum mbj_rc store_submit(struct mbj_store *store, const struct mbj_edit *edit,
			 uint64_t removals, struct mbj_outcome *ret_outcome,
			 struct mbj_error *err)
{
	return edit_submit(store, edit, removals, false, ret_outcome, err);
}

/* An intent has no content that could be gone. */
enum mbj_rc store_begin(struct mbj_store *store, const struct mbj_edit *edit,
			struct mbj_outcome *ret_outcome, struct mbj_error *err)
{
	return edit_submit(store, edit, store_removals(store), true,
			   ret_outcome, err);
}

enum mbj_rc store_take(struct mbj_store *store, const struct mbj_edit *edit,
		       uint64_t removals, bool is_standing,
		       struct request **ret_request, struct mbj_error *err)
{
	struct request *request = mbj_calloc(1, sizeof(*request));
	enum mbj_rc rc;

	rc = request == NULL ? mbj_error_nomem(err)
			     : edit_admit(store, edit, err);
	if (rc == MBJ_OK)
		rc = request_init(request, edit, err);
	if (rc < 0) {
		mbj_free(request);
		return rc;
	}
	request->removals = removals;
	request->is_standing = is_standing;
	request->is_taking = true;
	request->is_leading = request_enter(store, request);
	if (request->is_leading)
		lead_begin(store, request);
	*ret_request = request;
	if (request->is_judged)
		return MBJ_OK;
	/* Refused, or nothing can be said before it is over. */
	return store_taken_end(store, ret_request, err);
}

enum mbj_rc store_taken_end(struct mbj_store *store, struct request **request,
			    struct mbj_error *err)
{
	struct request *r = *request;
	struct mbj_outcome outcome = {.lsn = {0}};
	enum mbj_rc rc;

	*request = NULL;
	if (r == NULL)
		return MBJ_OK;
	if (r->is_leading)
		lead_end(store, r);
	else if (r->is_judged)
		request_wait(r);
	rc = request_end(r, &outcome, err);
	mbj_outcome_done(&outcome);
	mbj_free(r);
	return rc;
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
