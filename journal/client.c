/*
 * A client: opening, closing, calls, edits.
 *
 * Not here: links (client_link.c), bytes of messages (client_body.c), reading
 * (client_read.c), what a store of this process does (client_take.c).
 */
#include <mbj/check.h>

#include "client_impl.h"
#include "edit_run.h"
#include "socket.h"

enum { CLIENT_ARENA_MAX = 512 << 20 };

/* ------------------------------------------------------- open and close */

enum mbj_rc client_new(const struct mbj_client_options *options,
		       struct mbj_client **ret_client, struct mbj_error *err)
{
	struct mbj_client *client;

	if (options != NULL && options->size != sizeof(*options))
		return mbj_error_set(err, MBJ_EINVALID,
				     "struct mbj_client_options has another "
				     "size here: built against other headers");
	client = mbj_calloc(1, sizeof(*client));
	if (client == NULL)
		return mbj_error_nomem(err);
	client->options = MBJ_CLIENT_OPTIONS_INIT;
	if (options != NULL)
		client->options = *options;
	if (client->options.connections_max == 0)
		client->options.connections_max = 1;
	if (pthread_mutex_init(&client->mutex, NULL) != 0) {
		mbj_free(client);
		return mbj_error_nomem(err);
	}
	if (pthread_cond_init(&client->is_free, NULL) != 0) {
		pthread_mutex_destroy(&client->mutex);
		mbj_free(client);
		return mbj_error_nomem(err);
	}
	*ret_client = client;
	return MBJ_OK;
}

enum mbj_rc mbj_client_connect(const char *socket_path,
			       const struct mbj_client_options *options,
			       struct mbj_client **ret_client,
			       struct mbj_error *err)
{
	struct mbj_client *client = NULL;
	enum mbj_rc rc;

	rc = client_new(options, &client, err);
	if (rc < 0)
		return rc;
	if (strlen(socket_path) < sizeof(client->path)) {
		memcpy(client->path, socket_path, strlen(socket_path) + 1);
		rc = mbj_client_renew(client, err);
	} else {
		rc = mbj_error_set(err, MBJ_EINVALID,
				   "the socket's path is too long");
	}
	if (rc < 0)
		mbj_client_close(&client);
	else
		*ret_client = client;
	return rc;
}

enum mbj_rc mbj_client_renew(struct mbj_client *client, struct mbj_error *err)
{
	struct link *link = NULL;
	enum mbj_rc rc;

	if (client->store != NULL)
		return MBJ_OK;
	pthread_mutex_lock(&client->mutex);
	client->waited_ms = 0;
	pthread_mutex_unlock(&client->mutex);
	rc = link_take(client, false, &link, err);
	link_give(client, &link, false);
	return rc;
}

void mbj_client_close(struct mbj_client **client)
{
	struct mbj_client *c = *client;

	if (c == NULL)
		return;
	links_close(c);
	if (c->store != NULL)
		c->local->close(&c->store);
	pthread_cond_destroy(&c->is_free);
	pthread_mutex_destroy(&c->mutex);
	mbj_free(c);
	*client = NULL;
}

bool mbj_client_is_served(const struct mbj_client *client)
{
	return client->store == NULL;
}

const struct mbj_identity *mbj_client_identity(const struct mbj_client *client)
{
	return client->store != NULL ? client->local->identity(client->store)
				     : &client->identity;
}

void mbj_client_identity_copy(struct mbj_client *client,
			      struct mbj_identity *ret_identity)
{
	pthread_mutex_lock(&client->mutex);
	*ret_identity = *mbj_client_identity(client);
	pthread_mutex_unlock(&client->mutex);
}

const char *mbj_client_dir(const struct mbj_client *client)
{
	return client->dir;
}

struct mbj_store *mbj_client_store(struct mbj_client *client)
{
	return client->store;
}

/* ----------------------------------------------------------------- calls */

void answer_init(struct answer *answer)
{
	memset(answer, 0, sizeof(*answer));
	mbj_buf_init(&answer->body, WIRE_LIST_MAX);
}

void answer_done(struct answer *answer)
{
	mbj_outcome_done(&answer->message.outcome);
	mbj_client_status_done(&answer->message.status);
	mbj_buf_done(&answer->body);
	mbj_arena_free(&answer->arena);
}

enum mbj_rc answer_decode(struct answer *answer, enum wire_kind kind,
			  struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	if (answer->arena == NULL)
		rc = mbj_arena_new(CLIENT_ARENA_MAX, &answer->arena, err);
	if (rc < 0)
		return rc;
	memset(&answer->message, 0, sizeof(answer->message));
	answer->message.version = answer->version;
	return wire_decode(mbj_buf_view(&answer->body), kind, WIRE_ANSWER,
			   answer->arena, &answer->message, err);
}

/*
 * Reading again does no harm, nor does an edit that is known again by its
 * request id; everything else was perhaps done, if it was heard.  A link that
 * was idle may have outlived its service, or its place there.
 */
static enum mbj_rc call_served(struct mbj_client *client, enum wire_kind kind,
			       const struct wire_message *request,
			       struct answer *ret_answer, struct mbj_error *err)
{
	bool is_again =
		wire_kind_is_edit(kind)
			? !mbj_id_is_root(request->edit.request)
			: kind != WIRE_STOP && !wire_kind_is_house(kind);
	struct link *link = NULL;
	bool is_broken = false;
	enum mbj_rc rc;

	rc = link_ask(client, &link, kind, request, is_again, &ret_answer->body,
		      &is_broken, err);
	if (link != NULL)
		ret_answer->version = link->version;
	link_give(client, &link, is_broken);
	return rc;
}

enum mbj_rc client_call(struct mbj_client *client, enum wire_kind kind,
			const struct wire_message *request,
			struct answer *ret_answer, struct mbj_error *err)
{
	struct dispatcher dispatcher = {.store = client->store};
	enum mbj_rc rc;

	answer_init(ret_answer);
	if (client->store == NULL)
		rc = call_served(client, kind, request, ret_answer, err);
	else
		rc = client->local->run(&dispatcher, kind, request,
					&ret_answer->body, err);
	if (rc == MBJ_OK)
		rc = answer_decode(ret_answer, kind, err);
	return rc;
}

/* ----------------------------------------------------------------- edits */

enum mbj_rc client_edit_check(const struct mbj_edit *edit,
			      struct mbj_error *err)
{
	if (edit->size != sizeof(*edit))
		return mbj_error_set(err, MBJ_EINVALID,
				     "struct mbj_edit has another size here: "
				     "built against other headers");
	return edit_values_check(edit, err);
}

/* Whoever connected has had a welcome. */
static bool client_speaks(struct mbj_client *client, uint16_t version)
{
	bool is_spoken;

	if (client->store != NULL)
		return true;
	pthread_mutex_lock(&client->mutex);
	is_spoken = client->version >= version;
	pthread_mutex_unlock(&client->mutex);
	return is_spoken;
}

enum mbj_rc client_need(struct mbj_client *client, uint16_t version,
			const char *what, struct mbj_error *err)
{
	enum mbj_rc rc;

	if (client_speaks(client, version))
		return MBJ_OK;
	rc = mbj_client_renew(client, err);
	if (rc < 0 || client_speaks(client, version))
		return rc;
	return mbj_error_set(err, MBJ_EUNSUPPORTED,
			     "the service is of an earlier version, which %s",
			     what);
}

bool mbj_client_knows_guids(struct mbj_client *client)
{
	return client_speaks(client, WIRE_VERSION_GUID);
}

static bool edit_has_guids(const struct mbj_edit *edit)
{
	for (size_t i = 0; i < edit->message_count; i++)
		if (edit->messages[i].guid.n > 0)
			return true;
	return false;
}

/* A service that knows no GUIDs would refuse the edit as damaged. */
static enum mbj_rc guids_check(struct mbj_client *client,
			       const struct mbj_edit *edit,
			       struct mbj_error *err)
{
	return edit_has_guids(edit)
		       ? client_need(client, WIRE_VERSION_GUID,
				     "knows no GUIDs of messages", err)
		       : MBJ_OK;
}

/*
 * last: the last bytes of what the last step appends, or none.  ret_outcome
 * stays as it was where the kind has none.
 */
static enum mbj_rc edit_send(struct mbj_client *client, enum wire_kind kind,
			     const struct mbj_edit *edit, struct mbj_bytes last,
			     struct mbj_outcome *ret_outcome,
			     struct mbj_error *err)
{
	struct wire_message request = {.edit = *edit, .data = last};
	struct answer answer;
	enum mbj_rc rc;

	if (client->store != NULL)
		return client->local->submit(client->store, edit, ret_outcome,
					     err);
	rc = client_edit_check(edit, err);
	if (rc == MBJ_OK)
		rc = guids_check(client, edit, err);
	if (rc < 0)
		return rc;
	rc = client_call(client, kind, &request, &answer, err);
	if (rc == MBJ_OK && kind != WIRE_TAKE) {
		*ret_outcome = answer.message.outcome;
		answer.message.outcome = (struct mbj_outcome){0};
	}
	answer_done(&answer);
	return rc;
}

enum mbj_rc mbj_client_submit(struct mbj_client *client,
			      const struct mbj_edit *edit,
			      struct mbj_outcome *ret_outcome,
			      struct mbj_error *err)
{
	return edit_send(client, WIRE_SUBMIT, edit, mbj_bytes_make(NULL, 0),
			 ret_outcome, err);
}

bool client_can_take(struct mbj_client *client)
{
	return client_speaks(client, WIRE_VERSION_TAKE);
}

enum mbj_rc client_unsupported(struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_EUNSUPPORTED,
			     "the service speaks a version of the protocol "
			     "below %d",
			     WIRE_VERSION_TAKE);
}

static enum mbj_rc outcome_send(struct mbj_client *client,
				const struct mbj_edit *edit,
				struct mbj_bytes last, struct mbj_error *err)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	enum mbj_rc rc = edit_take_check(edit, err);

	if (rc < 0)
		return rc;
	rc = edit_send(client,
		       client_can_take(client) ? WIRE_TAKE : WIRE_SUBMIT, edit,
		       last, &outcome, err);
	mbj_outcome_done(&outcome);
	return rc;
}

enum mbj_rc mbj_client_outcome(struct mbj_client *client,
			       const struct mbj_edit *edit,
			       struct mbj_error *err)
{
	return outcome_send(client, edit, mbj_bytes_make(NULL, 0), err);
}

/* A body that goes along with its edit, to a service that knows the kind. */
static bool body_goes_along(struct mbj_client *client, uint16_t version,
			    struct mbj_bytes body)
{
	return client->store == NULL && body.n <= WIRE_PIECE_MAX &&
	       client_speaks(client, version);
}

/* One that does not is stored, and *ret_named says what the edit appends. */
static enum mbj_rc
body_go_ahead(struct mbj_client *client, const struct mbj_edit *edit,
	      struct mbj_bytes body, struct mbj_edit *ret_named,
	      struct mbj_message_edit **ret_steps, struct mbj_error *err)
{
	struct mbj_hash digest;
	enum mbj_rc rc = client_edit_check(edit, err);

	if (rc == MBJ_OK)
		rc = mbj_body_put(client, body, &digest, err);
	if (rc < 0)
		return rc;
	*ret_named = *edit;
	return edit_body_name(ret_named, &digest, body.n, ret_steps, err);
}

enum mbj_rc mbj_client_submit_body(struct mbj_client *client,
				   const struct mbj_edit *edit,
				   struct mbj_bytes body,
				   struct mbj_outcome *ret_outcome,
				   struct mbj_error *err)
{
	struct mbj_message_edit *steps = NULL;
	struct mbj_edit named;
	enum mbj_rc rc;

	if (body_goes_along(client, WIRE_VERSION_BODY, body))
		return edit_send(client, WIRE_SUBMIT_BODY, edit, body,
				 ret_outcome, err);
	rc = body_go_ahead(client, edit, body, &named, &steps, err);
	if (rc == MBJ_OK)
		rc = mbj_client_submit(client, &named, ret_outcome, err);
	mbj_free(steps);
	return rc;
}

enum mbj_rc mbj_client_outcome_body(struct mbj_client *client,
				    const struct mbj_edit *edit,
				    struct mbj_bytes body,
				    struct mbj_error *err)
{
	struct mbj_message_edit *steps = NULL;
	struct mbj_edit named;
	enum mbj_rc rc;

	/* A body of no bytes is none beside an outcome. */
	if (body.n > 0 && body_goes_along(client, WIRE_VERSION_TAKE, body))
		return outcome_send(client, edit, body, err);
	rc = body_go_ahead(client, edit, body, &named, &steps, err);
	if (rc == MBJ_OK)
		rc = mbj_client_outcome(client, &named, err);
	mbj_free(steps);
	return rc;
}

enum mbj_rc mbj_client_begin(struct mbj_client *client, struct mbj_bytes path,
			     const struct mbj_edit *edit,
			     struct mbj_place *ret_place,
			     struct mbj_outcome *ret_outcome,
			     struct mbj_error *err)
{
	struct wire_message request = {.path = path, .edit = *edit};
	struct answer answer;
	enum mbj_rc rc;

	if (!client_can_take(client))
		return client_unsupported(err);
	rc = client_edit_check(edit, err);
	if (rc == MBJ_OK)
		rc = guids_check(client, edit, err);
	if (rc < 0)
		return rc;
	rc = client_call(client, WIRE_BEGIN, &request, &answer, err);
	if (rc == MBJ_OK) {
		ret_place->account = answer.message.account;
		ret_place->mailbox = answer.message.mailbox;
		ret_place->content = answer.message.content;
		*ret_outcome = answer.message.outcome;
		answer.message.outcome = (struct mbj_outcome){0};
	}
	answer_done(&answer);
	return rc;
}

enum mbj_rc mbj_client_received(struct mbj_client *client, struct mbj_lsn lsn,
				uint32_t replicas, uint32_t wait_ms,
				uint32_t *ret_count, struct mbj_error *err)
{
	struct wire_message request = {.wait = {lsn, replicas, wait_ms}};
	struct answer answer;
	enum mbj_rc rc;

	rc = client_call(client, WIRE_RECEIVED, &request, &answer, err);
	if (rc == MBJ_OK && ret_count != NULL)
		*ret_count = answer.message.received;
	answer_done(&answer);
	if (rc < 0 && err != NULL)
		err->lsn = lsn.v;
	return rc;
}

enum mbj_rc mbj_client_chain(struct mbj_client *client, struct mbj_lsn lsn,
			     struct mbj_chain_at *ret_at, struct mbj_error *err)
{
	struct wire_message request = {.lsn = lsn};
	struct answer answer;
	enum mbj_rc rc;

	rc = client_need(client, WIRE_VERSION_CHAIN,
			 "does not say what its journal has at a group", err);
	if (rc < 0)
		return rc;
	rc = client_call(client, WIRE_CHAIN, &request, &answer, err);
	if (rc == MBJ_OK)
		*ret_at = answer.message.chain_at;
	answer_done(&answer);
	return rc;
}

/* ---------------------------------------------------------------- status */

enum mbj_rc mbj_client_status(struct mbj_client *client,
			      struct mbj_client_status *ret_status,
			      struct mbj_error *err)
{
	struct wire_message request = {0};
	struct answer answer;
	enum mbj_rc rc;

	if (client->store != NULL)
		return client->local->status(client->store, ret_status, err);
	rc = client_call(client, WIRE_STATUS, &request, &answer, err);
	if (rc == MBJ_OK) {
		*ret_status = answer.message.status;
		/* What it borrows goes along. */
		ret_status->bytes = answer.body;
		answer.message.status = (struct mbj_client_status){0};
		mbj_buf_init(&answer.body, 0);
	}
	answer_done(&answer);
	return rc;
}

enum mbj_rc mbj_client_stop(struct mbj_client *client, struct mbj_error *err)
{
	struct wire_message request = {0};
	struct answer answer;
	enum mbj_rc rc;

	if (client->store != NULL)
		return mbj_error_set(err, MBJ_EINVALID,
				     "there is no service to stop");
	rc = client_call(client, WIRE_STOP, &request, &answer, err);
	answer_done(&answer);
	return rc;
}
