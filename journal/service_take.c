/*
 * Outcomes of intents, answered as soon as they are in a batch, and made
 * durable behind the client's back.  What is lost then leaves its intent open.
 *
 * The connection goes back to the loop with its answer: its next request, an
 * intent, say, finds the way to the store while this one is made durable.
 *
 * Threads: a worker's, for the connection that it has.
 */
#include <mbj/check.h>

#include "edit_run.h"
#include "service_impl.h"

/* A request that outlives its connection's turn. */
struct take {
	struct mbj_buf body; /* what the request borrows from */
	struct mbj_arena *arena;
	struct mbj_message_edit *steps; /* that name what came with them */
	struct wire_message request;
};

static void take_free(struct take *take)
{
	if (take == NULL)
		return;
	mbj_free(take->steps);
	mbj_arena_free(&take->arena);
	mbj_buf_done(&take->body);
	mbj_free(take);
}

/* The bytes that came with it are stored, and are what its last step says. */
static enum mbj_rc take_body(struct dispatcher *dispatcher, struct take *take,
			     struct mbj_error *err)
{
	struct wire_message *request = &take->request;
	enum mbj_rc rc;

	if (request->data.n == 0)
		return MBJ_OK;
	rc = dispatch_blob_last(dispatcher, request->data, request, err);
	if (rc == MBJ_OK)
		rc = edit_body_name(&request->edit, &request->digest,
				    request->size, &take->steps, err);
	return rc;
}

/* All of it, out of the connection's hands. */
static enum mbj_rc take_new(struct peer *peer, struct take **ret_take,
			    struct mbj_error *err)
{
	struct take *take = mbj_calloc(1, sizeof(*take));
	enum mbj_rc rc;

	if (take == NULL)
		return mbj_error_nomem(err);
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
	if (rc == MBJ_OK)
		rc = take_body(&peer->dispatcher, take, err);
	if (rc < 0)
		take_free(take);
	else
		*ret_take = take;
	return rc;
}

/* There are too many already: as any other edit. */
static enum mbj_rc take_durably(struct service *service,
				const struct take *take, struct mbj_error *err)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	enum mbj_rc rc;

	rc = dispatch_submit(service->store, &take->request.edit, &outcome,
			     err);
	mbj_outcome_done(&outcome);
	return rc;
}

/* Answered, and the loop's: the connection is not touched any more. */
static void take_answer(struct service *service, struct peer *peer)
{
	const struct mbj_error none = {.rc = MBJ_OK};

	taken_note(&service->taken);
	peer->is_edit = true;
	work_answer(peer, MBJ_OK, &none);
	pool_back(&service->pool, peer);
}

static enum mbj_rc take_early(struct service *service, struct peer *peer,
			      const struct take *take, size_t slot,
			      bool *ret_is_back, struct mbj_error *err)
{
	struct request *request = NULL;
	enum mbj_rc rc;

	rc = dispatch_take(service->store, &take->request.edit, &request, err);
	if (rc == MBJ_OK && request != NULL) {
		take_answer(service, peer);
		*ret_is_back = true;
		rc = store_taken_end(service->store, &request, err);
	}
	/* One that is durable is not lost, wherever the state is. */
	taken_leave(&service->taken, slot,
		    *ret_is_back && rc < 0 && rc != MBJ_EBEHIND);
	return rc;
}

bool take_run(struct peer *peer)
{
	struct service *service = peer->service;
	struct mbj_error err = {.rc = MBJ_OK};
	struct take *take = NULL;
	bool is_back = false;
	enum mbj_rc rc;
	size_t slot;

	peer->is_in_doubt = false; /* whatever becomes of it, it was told */
	rc = take_new(peer, &take, &err);
	if (rc == MBJ_OK) {
		const struct mbj_edit *edit = &take->request.edit;

		if (taken_enter(&service->taken, edit->account, take->body.n,
				&slot))
			rc = take_early(service, peer, take, slot, &is_back,
					&err);
		else
			rc = take_durably(service, take, &err);
		take_free(take);
	}
	if (is_back)
		return true;
	peer->is_edit = rc == MBJ_OK;
	work_answer(peer, rc, &err);
	return false;
}
