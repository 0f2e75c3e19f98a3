/*
 * What a worker does: decode a request, carry it out, put its answer together
 * and send what goes at once.
 *
 * Threads: a worker's, for the connection that it has.
 */
#include <unistd.h>

#include <mbj/check.h>

#include "service_impl.h"

static enum mbj_rc hello_run(struct peer *peer,
			     const struct wire_message *request,
			     struct wire_message *answer, struct mbj_error *err)
{
	struct service *service = peer->service;

	if (request->version_lowest > WIRE_VERSION ||
	    request->version_highest < WIRE_VERSION_LOWEST)
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "the service speaks versions %d to %d of "
				     "the protocol, the client %u to %u",
				     WIRE_VERSION_LOWEST, WIRE_VERSION,
				     request->version_lowest,
				     request->version_highest);
	peer->version = request->version_highest < WIRE_VERSION
				? request->version_highest
				: WIRE_VERSION;
	peer->dispatcher.version = peer->version;
	answer->welcome = (struct wire_welcome){
		.version = peer->version,
		.is_owner = peer->who.is_owner,
		.process = (uint64_t)getpid(),
		.identity = mbj_store_identity_copy(service->store),
		.dir = mbj_bytes_str(mbj_store_dir(service->store)),
	};
	return MBJ_OK;
}

/* What the loop has noted of the service, and what the store says. */
static enum mbj_rc status_run(struct peer *peer, struct wire_message *answer,
			      struct mbj_error *err)
{
	char reason[MBJ_ERROR_MESSAGE_MAX];
	enum mbj_rc rc;

	rc = dispatch_status(peer->service->store, &answer->status, err);
	if (rc < 0)
		return rc;
	if (peer->service->options.upstream != NULL)
		mbj_upstream_get(peer->service->options.upstream,
				 &answer->status.upstream);
	answer->status.service = peer->status.service;
	answer->status.peers = peer->status.peers;
	answer->status.peer_count = peer->status.peer_count;
	peer->status.peers = NULL;
	peer->status.peer_count = 0;
	store_content_log_note(peer->service->store, &answer->status.service,
			       reason);
	return wire_reason_set(&answer->status, reason, err);
}

static enum mbj_rc stop_run(struct peer *peer, struct mbj_error *err)
{
	if (!peer->who.is_owner)
		return mbj_error_set(err, MBJ_EFENCED,
				     "only the service's user and root may "
				     "stop it");
	peer->is_stopping = true;
	return MBJ_OK;
}

static bool kind_is_own(enum wire_kind kind)
{
	return kind == WIRE_HELLO || kind == WIRE_STATUS || kind == WIRE_STOP;
}

/* Kinds that are the service's own. */
static enum mbj_rc own_run(struct peer *peer,
			   const struct wire_message *request,
			   struct mbj_error *err)
{
	struct wire_message *answer = mbj_calloc(1, sizeof(*answer));
	enum mbj_rc rc;

	if (answer == NULL)
		return mbj_error_nomem(err);
	answer->version = peer->version;
	if (peer->request.kind == WIRE_HELLO)
		rc = hello_run(peer, request, answer, err);
	else if (peer->request.kind == WIRE_STATUS)
		rc = status_run(peer, answer, err);
	else
		rc = stop_run(peer, err);
	if (rc == MBJ_OK) {
		wire_encode(&peer->out, peer->request.kind, WIRE_ANSWER,
			    answer);
		rc = mbj_buf_ok(&peer->out, err);
	}
	mbj_client_status_done(&answer->status);
	mbj_free(answer);
	return rc;
}

/*
 * Whoever asks about an account finds what was answered of it, durable or not:
 * reading waits, and so does what may be announced without a batch.  Other
 * edits come behind it once it is in one.
 */
static void taken_read(struct peer *peer, enum wire_kind kind,
		       const struct wire_message *request)
{
	/* Intents may be those of all. */
	bool is_named = kind == WIRE_ACCOUNT || kind == WIRE_MAILBOX ||
			kind == WIRE_TREE || kind == WIRE_ATTRS ||
			kind == WIRE_SUBSCRIPTIONS || kind == WIRE_INTENTS ||
			kind == WIRE_CONTENTS || kind == WIRE_ENTER;
	/* Or of an account that is not called by its name. */
	bool is_of_all = kind == WIRE_ACCOUNTS || kind == WIRE_MESSAGES ||
			 kind == WIRE_VANISHED || kind == WIRE_SURVEY;
	struct taken *taken = &peer->service->taken;

	if (is_named)
		taken_wait(taken, request->name, TAKEN_DURABLE);
	else if (kind == WIRE_BEGIN ||
		 (wire_kind_is_edit(kind) &&
		  dispatch_is_announcement(&request->edit)))
		taken_wait(taken, request->edit.account, TAKEN_DURABLE);
	else if (wire_kind_is_edit(kind))
		taken_wait(taken, request->edit.account, TAKEN_CARRIED);
	else if (is_of_all)
		taken_wait(taken, mbj_bytes_make(NULL, 0), TAKEN_DURABLE);
	else if (wire_kind_is_house(kind))
		taken_wait(taken, mbj_bytes_make(NULL, 0), TAKEN_CARRIED);
}

static enum mbj_rc request_run(struct peer *peer, struct mbj_arena *arena,
			       struct wire_message *request,
			       struct mbj_error *err)
{
	enum wire_kind kind = peer->request.kind;
	enum mbj_rc rc;

	rc = wire_decode(mbj_buf_view(&peer->in), kind, WIRE_REQUEST, arena,
			 request, err);
	if (rc < 0) {
		/* Who sends that will not do better next time. */
		peer->is_ending = true;
		return rc;
	}
	if (kind == WIRE_RECEIVED)
		return await_hold(peer, &request->wait, err);
	if (wire_kind_is_house(kind) && !peer->who.is_owner)
		return mbj_error_set(err, MBJ_EFENCED,
				     "only the service's user and root may "
				     "keep house (%s)",
				     wire_kind_word(kind));
	taken_read(peer, kind, request);
	/* No room is held while it waits for others. */
	answer_begin(peer);
	rc = kind_is_own(kind) ? own_run(peer, request, err)
			       : dispatch_run(&peer->dispatcher, kind, request,
					      &peer->out, err);
	peer->is_put_off = !answer_end(peer, rc);
	return rc;
}

/* The head before the body that is in out; a failure is a refusal. */
static void answer_put(struct peer *peer, enum mbj_rc rc,
		       const struct mbj_error *why)
{
	struct wire_head head = {
		.kind = peer->request.kind,
		.side = WIRE_ANSWER,
		.number = peer->request.number,
	};
	size_t size = peer->out.n - WIRE_HEAD_SIZE;

	if (rc == MBJ_OK && size <= wire_size_max(head.kind, WIRE_ANSWER)) {
		head.size = (uint32_t)size;
		wire_head_encode(&head, peer->out.p);
		return;
	}
	if (rc == MBJ_OK) {
		struct mbj_error limit;

		(void)mbj_error_set(&limit, MBJ_ELIMIT,
				    "an answer \"%s\" of %zu bytes is longer "
				    "than the service can give",
				    wire_kind_word(head.kind), size);
		(void)peer_refuse(peer, &limit);
		return;
	}
	(void)peer_refuse(peer, why);
}

void work_answer(struct peer *peer, enum mbj_rc rc, const struct mbj_error *why)
{
	if (rc == MBJ_OK)
		peer->is_greeted = true;
	else if (peer->request.kind == WIRE_HELLO)
		peer->is_ending = true;
	answer_put(peer, rc, why);
	peer_flush(peer);
}

bool work_run(struct peer *peer)
{
	struct wire_message *request = NULL;
	struct mbj_arena *arena = NULL;
	struct mbj_error err = {.rc = MBJ_OK};
	enum mbj_rc rc;

	MBJ_ASSERT(peer->state == PEER_BUSY);
	/* What was being read there, perhaps not to its end, is done with. */
	if (peer->request.kind != WIRE_BLOB_READ)
		mbj_blob_reader_close(&peer->dispatcher.reader);
	mbj_buf_clear(&peer->out);
	mbj_buf_put_zero(&peer->out, WIRE_HEAD_SIZE);
	peer->out_at = 0;
	rc = mbj_buf_ok(&peer->out, &err);
	if (rc == MBJ_OK && peer->request.kind == WIRE_TAKE)
		return take_run(peer);
	request = mbj_calloc(1, sizeof(*request));
	if (rc == MBJ_OK && request == NULL)
		rc = mbj_error_nomem(&err);
	if (rc == MBJ_OK)
		rc = mbj_arena_new(WORK_ARENA_MAX, &arena, &err);
	if (rc == MBJ_OK)
		rc = request_run(peer, arena, request, &err);
	peer->is_edit = rc == MBJ_OK && wire_kind_is_edit(peer->request.kind);
	if (peer->is_edit && request->edit.stage != MBJ_STAGE_NONE)
		peer->is_in_doubt = request->edit.stage == MBJ_STAGE_INTENT;
	if (!peer->is_waiting && !peer->is_put_off)
		work_answer(peer, rc, &err);
	mbj_arena_free(&arena);
	mbj_free(request);
	return false;
}

void work_received(struct peer *peer, size_t count, const struct mbj_error *why)
{
	struct wire_message *answer = mbj_calloc(1, sizeof(*answer));
	struct mbj_error err = *why;
	enum mbj_rc rc = err.rc;

	if (answer == NULL)
		rc = mbj_error_nomem(&err);
	if (rc == MBJ_OK) {
		answer->received = (uint32_t)count;
		wire_encode(&peer->out, WIRE_RECEIVED, WIRE_ANSWER, answer);
		rc = mbj_buf_ok(&peer->out, &err);
	}
	mbj_free(answer);
	answer_put(peer, rc, &err);
	peer_flush(peer);
}
