/*
 * Outcomes of intents, answered as soon as they are in a batch, and made
 * durable behind the client's back.  What is lost then leaves its intent open.
 *
 * The connection goes back to the loop with its answer: its next request, an
 * intent, say, finds the way to the store while this one is made durable.
 *
 * Threads: a worker's, for the connection that it has.
 */
#include <sched.h>

#include <mbj/check.h>

#include "edit_run.h"
#include "service_impl.h"

/* A request that outlives its connection's turn. */
struct take {
	struct mbj_buf body; /* what the request borrows from */
	struct mbj_arena *arena;
	struct mbj_message_edit *steps; /* that name what came with them */
	struct wire_message request;
	/* With what came before of the bytes that its last step appends. */
	struct dispatcher dispatcher;
};

static void take_free(struct take *take)
{
	if (take == NULL)
		return;
	dispatch_done(&take->dispatcher);
	mbj_free(take->steps);
	mbj_arena_free(&take->arena);
	mbj_buf_done(&take->body);
	mbj_free(take);
}

/* The bytes that came with it are stored, and are what its last step says. */
static enum mbj_rc take_body(struct take *take, struct mbj_error *err)
{
	struct wire_message *request = &take->request;
	enum mbj_rc rc;

	if (request->data.n == 0)
		return MBJ_OK;
	rc = dispatch_blob_last(&take->dispatcher, request->data, request, err);
	if (rc == MBJ_OK)
		rc = edit_body_name(&request->edit, &request->digest,
				    request->size, &take->steps, err);
	return rc;
}

/* All of it, out of the connection's hands.  NULL: *err. */
static struct take *take_new(struct peer *peer, struct mbj_error *err)
{
	struct take *take = mbj_calloc(1, sizeof(*take));
	enum mbj_rc rc;

	if (take == NULL) {
		(void)mbj_error_nomem(err);
		return NULL;
	}
	take->body = peer->in;
	mbj_buf_init(&peer->in, WIRE_EDIT_MAX);
	rc = mbj_arena_new(WORK_ARENA_MAX, &take->arena, err);
	if (rc == MBJ_OK) {
		rc = wire_decode(mbj_buf_view(&take->body), WIRE_TAKE,
				 WIRE_REQUEST, take->arena, &take->request,
				 err);
		/* Who sends that will not do better next time. */
		peer->is_ending = rc < 0;
	}
	if (rc == MBJ_OK)
		rc = edit_take_check(&take->request.edit, err);
	if (rc < 0) {
		take_free(take);
		return NULL;
	}
	take->dispatcher.store = peer->service->store;
	if (take->request.data.n > 0) {
		take->dispatcher.writer = peer->dispatcher.writer;
		peer->dispatcher.writer = NULL;
	}
	return take;
}

/* There are too many already: as any other edit. */
static enum mbj_rc take_durably(struct take *take, struct mbj_error *err)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	enum mbj_rc rc = take_body(take, err);

	if (rc == MBJ_OK)
		rc = dispatch_submit(take->dispatcher.store,
				     &take->request.edit, &outcome, err);
	mbj_outcome_done(&outcome);
	return rc;
}

/*
 * Answered, and the loop's: the connection is not touched any more.  Whoever
 * asked often waits on the processor that this thread was woken on, and has a
 * user who waits for him: he goes on first (docs/decisions/0060).
 */
static void take_answer(struct service *service, struct peer *peer)
{
	const struct mbj_error none = {.rc = MBJ_OK};

	taken_note(&service->taken);
	peer->is_edit = true;
	work_answer(peer, MBJ_OK, &none);
	pool_back(&service->pool, peer);
	(void)sched_yield();
}

/*
 * Of an intent that stands: in doubt until this is carried out, and for good
 * where it is not.  So it is answered before, as whoever asks about the
 * account, or is about to change it, waits for it.  What has changed nothing is
 * no edit.
 */
static void take_standing(struct service *service, struct take *take,
			  size_t slot)
{
	const struct mbj_edit *edit = &take->request.edit;
	struct mbj_store *store = service->store;
	struct request *request = NULL;
	enum mbj_rc rc = take_body(take, NULL);

	if (rc == MBJ_OK && edit->stage == MBJ_STAGE_DONE)
		rc = dispatch_take(store, edit, true, &request, NULL);
	if (rc == MBJ_OK) {
		standing_told(&store->standing, edit->intent, true,
			      mbj_monotonic_ms());
		taken_carry(&service->taken, slot);
		rc = store_taken_end(store, &request, NULL);
	}
	/* One that is durable is not lost, wherever the state is. */
	if (rc == MBJ_EBEHIND)
		rc = MBJ_OK;
	if (rc < 0)
		standing_doubt(&store->standing, edit->intent);
	taken_leave(&service->taken, slot, rc < 0);
}

static enum mbj_rc take_early(struct service *service, struct peer *peer,
			      struct take *take, size_t slot, bool *ret_is_back,
			      struct mbj_error *err)
{
	const struct mbj_edit *edit = &take->request.edit;
	struct mbj_store *store = service->store;
	struct request *request = NULL;
	enum mbj_rc rc = take_body(take, err);

	if (rc == MBJ_OK)
		rc = dispatch_take(store, edit, false, &request, err);
	if (rc == MBJ_OK)
		standing_told(&store->standing, edit->intent, false,
			      mbj_monotonic_ms());
	if (rc == MBJ_OK && request != NULL) {
		take_answer(service, peer);
		*ret_is_back = true;
		rc = store_taken_end(store, &request, err);
	}
	taken_leave(&service->taken, slot,
		    *ret_is_back && rc < 0 && rc != MBJ_EBEHIND);
	return rc;
}

static enum mbj_rc take_carry(struct peer *peer, struct take *take,
			      bool *ret_is_back, struct mbj_error *err)
{
	const struct mbj_edit *edit = &take->request.edit;
	struct service *service = peer->service;
	struct taken *taken = &service->taken;
	size_t slot;
	bool stays;

	taken_wait(taken, edit->account, TAKEN_CARRIED);
	stays = standing_stays(&service->store->standing, edit->intent,
			       peer->dispatcher.asker, mbj_monotonic_ms());
	if (!taken_enter(taken, edit->account, take->body.n, !stays, &slot))
		return take_durably(take, err);
	if (!stays)
		return take_early(service, peer, take, slot, ret_is_back, err);
	take_answer(service, peer);
	*ret_is_back = true;
	take_standing(service, take, slot);
	return MBJ_OK;
}

bool take_run(struct peer *peer)
{
	struct mbj_error err = {.rc = MBJ_OK};
	struct take *take = take_new(peer, &err);
	bool is_back = false;
	enum mbj_rc rc = err.rc;

	peer->is_in_doubt = false; /* whatever becomes of it, it was told */
	if (take != NULL)
		rc = take_carry(peer, take, &is_back, &err);
	take_free(take);
	if (is_back)
		return true;
	peer->is_edit = rc == MBJ_OK;
	work_answer(peer, rc, &err);
	return false;
}
