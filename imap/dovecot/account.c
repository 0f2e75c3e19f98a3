/*
 * The user's account, and what it may still be in doubt about.  See account.h.
 *
 * Not here: making it as Dovecot is (account_settle.c).
 */
#include "account_impl.h"

#include <mbj/doubt.h>
#include <mbj/memory.h>
#include <mbj/sys.h>

static void doubts_free(struct account *account)
{
	mbj_free(account->doubts);
	mbj_free(account->attribute_doubts);
	account->doubts = account->attribute_doubts = NULL;
	account->doubt_count = account->attribute_doubt_count = 0;
	account->intent_count = 0;
	account->has_server_doubt = false;
	/* One that is open still is found like any other. */
	account->begun_intent = MBJ_ID_ROOT;
}

void account_leave(struct account *account)
{
	mbj_tree_free(&account->tree);
	doubts_free(account);
	account->is_left = true;
}

void account_done(struct account *account)
{
	account_leave(account);
	mbj_client_close(&account->client);
}

static enum mbj_rc account_connect(struct account *account,
				   struct mbj_error *err)
{
	struct mbj_client_options options = MBJ_CLIENT_OPTIONS_INIT;
	enum mbj_rc rc = MBJ_OK;

	options.timeout_ms = account->patience_ms;
	options.patience_ms = account->patience_ms;
	options.connections_max = 1;
	if (account->client == NULL)
		rc = mbj_client_connect(account->socket, &options,
					&account->client, err);
	else if (account->is_left)
		rc = mbj_client_renew(account->client, err);
	if (rc < 0)
		mbj_client_close(&account->client);
	else
		account->is_left = false;
	if (rc == MBJ_ENOTFOUND)
		rc = mbj_error_set(err, MBJ_EIO, "nobody listens at %s",
				   account->socket);
	return rc;
}

/* --------------------------------------------------------------- entering */

/* One of this producer's; about messages: ret_view has the mailboxes. */
static bool intent_is_ours(const struct mbj_client_intent *open,
			   struct mbj_intent_view *ret_view)
{
	if (!mbj_bytes_equal(open->intent.producer,
			     mbj_bytes_str(ACCOUNT_PRODUCER)))
		return false;
	/* One that cannot be read is told of with the tree's. */
	if (mbj_intent_read(open->intent.body, ret_view, NULL) < 0)
		*ret_view = (struct mbj_intent_view){.doubt_count = 0};
	return true;
}

/* What an open one of ours is about. */
enum intent_about {
	ABOUT_NOTHING, /* somebody else's */
	ABOUT_TREE,    /* and names, and what is the account's own */
	ABOUT_ATTRIBUTES,
	ABOUT_MESSAGES,
};

/* Each of ours about attributes, or messages, has one mailbox. */
static enum intent_about intent_about(const struct mbj_client_intent *open,
				      struct mbj_intent_view *ret_view,
				      struct mbj_id *ret_mailbox)
{
	struct mbj_doubt doubt;

	if (!intent_is_ours(open, ret_view))
		return ABOUT_NOTHING;
	if (ret_view->kind != MBJ_EDIT_MESSAGES &&
	    ret_view->kind != MBJ_EDIT_METADATA)
		return ABOUT_TREE;
	if (!mbj_doubt_next(&ret_view->doubts, &doubt))
		return ret_view->kind == MBJ_EDIT_METADATA ? ABOUT_TREE
							   : ABOUT_NOTHING;
	*ret_mailbox = doubt.mailbox;
	return ret_view->kind == MBJ_EDIT_METADATA ? ABOUT_ATTRIBUTES
						   : ABOUT_MESSAGES;
}

bool account_intent_is_of_tree(const struct mbj_client_intent *open)
{
	struct mbj_intent_view view;
	struct mbj_id mailbox;

	return intent_about(open, &view, &mailbox) == ABOUT_TREE;
}

static enum mbj_rc doubts_take(struct account *account,
			       const struct mbj_client_intents *open,
			       struct mbj_error *err)
{
	size_t size = sizeof(struct account_doubt);

	doubts_free(account);
	if (open->count == 0)
		return MBJ_OK;
	account->doubts = mbj_calloc(open->count, size);
	account->attribute_doubts = mbj_calloc(open->count, size);
	if (account->doubts == NULL || account->attribute_doubts == NULL)
		return mbj_error_nomem(err);
	for (size_t i = 0; i < open->count; i++) {
		struct account_doubt doubt = {
			.intent = open->intents[i].intent.id};
		struct mbj_intent_view view;

		switch (intent_about(&open->intents[i], &view,
				     &doubt.mailbox)) {
		case ABOUT_TREE:
			account->intent_count++;
			account->has_server_doubt |=
				view.kind == MBJ_EDIT_METADATA;
			break;
		case ABOUT_ATTRIBUTES:
			account->attribute_doubts
				[account->attribute_doubt_count++] = doubt;
			break;
		case ABOUT_MESSAGES:
			account->doubts[account->doubt_count++] = doubt;
			break;
		case ABOUT_NOTHING:
			break;
		}
	}
	return MBJ_OK;
}

/* The intents that are open. */
static enum mbj_rc account_look_intents(struct account *account,
					struct mbj_error *err)
{
	struct mbj_client_intents open = {.count = 0};
	enum mbj_rc rc;

	doubts_free(account);
	rc = mbj_client_intents(account->client, mbj_bytes_str(account->name),
				&open, err);
	if (rc == MBJ_OK)
		rc = doubts_take(account, &open, err);
	mbj_client_intents_done(&open);
	return rc;
}

enum mbj_rc account_look(struct account *account, struct mbj_error *err)
{
	struct mbj_bytes name = mbj_bytes_str(account->name);
	struct mbj_account found;
	enum mbj_rc rc;

	mbj_tree_free(&account->tree);
	doubts_free(account);
	rc = mbj_client_enter(account->client, name,
			      mbj_bytes_str(ACCOUNT_PRODUCER), &found,
			      &account->tree, err);
	/* An intent is open, mostly. */
	if (rc < 0 && rc != MBJ_EIO) {
		rc = account_look_intents(account, err);
		if (rc == MBJ_OK)
			rc = mbj_client_tree(account->client, name, &found,
					     &account->tree, err);
	}
	if (rc < 0)
		return rc;
	account->state = found.lsn;
	if (found.policy.delimiter == account->delimiter)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_EINVALID,
			     "the account has paths with '%c', Dovecot's "
			     "namespace has '%c'",
			     found.policy.delimiter, account->delimiter);
}

bool account_is_doubtful(const struct account *account)
{
	return account->tree == NULL || account->intent_count > 0 ||
	       account->is_stale;
}

struct mbj_id account_doubt_find(const struct account *account,
				 struct mbj_id mailbox)
{
	for (size_t i = 0; i < account->doubt_count; i++)
		if (mbj_id_equal(account->doubts[i].mailbox, mailbox))
			return account->doubts[i].intent;
	return MBJ_ID_ROOT;
}

void account_doubt_forget(struct account *account, struct mbj_id intent)
{
	for (size_t i = 0; i < account->doubt_count; i++)
		if (mbj_id_equal(account->doubts[i].intent, intent))
			account->doubts[i] =
				account->doubts[--account->doubt_count];
}

enum mbj_rc account_enter(struct account *account, enum account_need *ret_need,
			  struct mbj_error *err)
{
	enum mbj_rc rc = account_connect(account, err);

	if (rc == MBJ_OK)
		rc = account_look(account, err);
	/* No account is an answer; nobody who answers is not. */
	if (rc < 0 && err->refusal != MBJ_REFUSAL_ACCOUNT_NOT_FOUND)
		return rc;
	*ret_need = account_is_doubtful(account) || !account->is_subscribed
			    ? ACCOUNT_LISTING
			    : ACCOUNT_READY;
	return MBJ_OK;
}

/* Before any other look, and instead of it. */
static enum mbj_rc account_begin(struct account *account,
				 const struct account_aim *aim,
				 struct mbj_error *err)
{
	const struct mbj_message_edit step = {.kind = MBJ_MESSAGE_DOUBT,
					      .mailbox = aim->mailbox};
	struct mbj_edit edit = account_messages(account, &step, 1);
	struct mbj_outcome outcome = {.lsn = {0}};
	enum mbj_rc rc;

	doubts_free(account);
	edit.stage = MBJ_STAGE_INTENT;
	edit.producer = mbj_bytes_str(ACCOUNT_PRODUCER);
	rc = mbj_id_generate(mbj_sys_posix(), &edit.request, err);
	if (rc == MBJ_OK)
		rc = mbj_client_begin(account->client, aim->path, &edit,
				      &account->begun, &outcome, err);
	if (rc == MBJ_OK)
		account->begun_intent = outcome.intent;
	mbj_outcome_done(&outcome);
	return rc;
}

enum mbj_rc account_enter_messages(struct account *account,
				   const struct account_aim *aim,
				   enum account_need *ret_need,
				   struct mbj_error *err)
{
	enum mbj_rc rc = account_connect(account, err);

	*ret_need = ACCOUNT_READY;
	if (rc == MBJ_OK && aim != NULL && !account->is_stale) {
		rc = account_begin(account, aim, err);
		if (rc == MBJ_OK || rc == MBJ_EIO)
			return rc;
		/* An intent is open, mostly. */
		rc = MBJ_OK;
	}
	if (rc == MBJ_OK)
		rc = account_look_intents(account, err);
	if (rc < 0 && err->refusal != MBJ_REFUSAL_ACCOUNT_NOT_FOUND)
		return rc;
	*ret_need = rc < 0 || account->intent_count > 0 || account->is_stale
			    ? ACCOUNT_LISTING
			    : ACCOUNT_READY;
	return MBJ_OK;
}

/* --------------------------------------------------------------- stages */

struct mbj_edit account_set(const struct account *account,
			    const struct changes *changes)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_SET;
	edit.account = mbj_bytes_str(account->name);
	edit.changes = changes->list;
	edit.change_count = changes->count;
	edit.is_emptying = true;
	/* Dovecot's are by name, and stay. */
	edit.is_subscription_kept = true;
	return edit;
}

struct mbj_edit account_metadata(const struct account *account,
				 const struct mbj_metadata_edit *steps,
				 size_t count)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_METADATA;
	edit.account = mbj_bytes_str(account->name);
	edit.metadata = steps;
	edit.metadata_count = count;
	return edit;
}

struct mbj_edit account_messages(const struct account *account,
				 const struct mbj_message_edit *steps,
				 size_t count)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str(account->name);
	edit.messages = steps;
	edit.message_count = count;
	return edit;
}

/* Asked again by itself where the service was restarted meanwhile. */
static enum mbj_rc submit(struct account *account, struct mbj_edit *edit,
			  struct mbj_outcome *ret_outcome,
			  struct mbj_error *err)
{
	enum mbj_rc rc = mbj_id_generate(mbj_sys_posix(), &edit->request, err);

	if (rc == MBJ_OK)
		rc = mbj_client_submit(account->client, edit, ret_outcome, err);
	return rc;
}

enum mbj_rc account_tell(struct account *account, struct mbj_edit *edit,
			 struct mbj_error *err)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	enum mbj_rc rc = submit(account, edit, &outcome, err);

	mbj_outcome_done(&outcome);
	return rc;
}

enum mbj_rc account_intent(struct account *account, struct mbj_edit *edit,
			   struct mbj_error *err)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	enum mbj_rc rc;

	edit->stage = MBJ_STAGE_INTENT;
	edit->producer = mbj_bytes_str(ACCOUNT_PRODUCER);
	rc = submit(account, edit, &outcome, err);
	if (rc == MBJ_OK)
		account->intent = outcome.intent;
	mbj_outcome_done(&outcome);
	return rc;
}

/* body: what the last step appends, or none. */
static enum mbj_rc outcome_tell(struct account *account, struct mbj_edit *edit,
				struct mbj_bytes body, struct mbj_error *err)
{
	enum mbj_rc rc = mbj_id_generate(mbj_sys_posix(), &edit->request, err);

	edit->intent = account->intent;
	edit->producer = (struct mbj_bytes){NULL, 0};
	/* The intent is on disk: what is lost of this the next turn finds. */
	if (rc == MBJ_OK)
		rc = body.n == 0
			     ? mbj_client_outcome(account->client, edit, err)
			     : mbj_client_outcome_body(account->client, edit,
						       body, err);
	return rc;
}

enum mbj_rc account_done_tell(struct account *account, struct mbj_edit *edit,
			      struct mbj_error *err)
{
	return account_done_tell_body(account, edit, mbj_bytes_make(NULL, 0),
				      err);
}

enum mbj_rc account_done_tell_body(struct account *account,
				   struct mbj_edit *edit, struct mbj_bytes body,
				   struct mbj_error *err)
{
	edit->stage = MBJ_STAGE_DONE;
	return outcome_tell(account, edit, body, err);
}

enum mbj_rc account_failed_tell(struct account *account, struct mbj_error *err)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_INTENT;
	edit.account = mbj_bytes_str(account->name);
	edit.stage = MBJ_STAGE_FAILED;
	return outcome_tell(account, &edit, mbj_bytes_make(NULL, 0), err);
}
