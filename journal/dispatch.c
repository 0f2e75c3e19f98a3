/*
 * Requests carried out on a store: edits, reading.
 *
 * Not here: bytes of messages (dispatch_body.c, dispatch_bulk.c), what begins a
 * change (dispatch_begin.c).
 *
 * A list is one snapshot.  What a snapshot lends is encoded before it ends.
 */
#include "dispatch.h"

#include <mbj/check.h>
#include <mbj/client.h>
#include <mbj/collect.h>
#include <mbj/received.h>

#include "store_impl.h"

enum {
	/* Of a mailbox in a tree, without its name. */
	NODE_SIZE_MIN = MBJ_ID_SIZE + 4 + 4 + 8 + 3,
};

/* ----------------------------------------------------------------- edits */

/*
 * The bytes of a few messages get their places on disk here, in the producer's
 * own thread, not all one after the other in the batch.  What fails is the
 * batch's to mend or to tell.
 */
static void bodies_settle(struct mbj_store *store, const struct mbj_edit *edit)
{
	struct mbj_blobs *blobs;
	enum mbj_rc rc;

	if (edit->message_count > STORE_SETTLE_MAX ||
	    edit->stage == MBJ_STAGE_INTENT)
		return;
	for (size_t i = 0; i < edit->message_count; i++) {
		if (edit->messages[i].kind != MBJ_MESSAGE_APPEND)
			continue;
		rc = mbj_store_blobs(store, &blobs, NULL);
		if (rc == MBJ_OK)
			rc = mbj_blob_settle(blobs, &edit->messages[i].blob,
					     NULL);
		(void)rc;
	}
}

enum mbj_rc dispatch_submit(struct mbj_store *store,
			    const struct mbj_edit *edit,
			    struct mbj_outcome *ret_outcome,
			    struct mbj_error *err)
{
	/* Before they are looked for: what goes after that is looked for again.
	 */
	uint64_t removals = store_removals(store);
	enum mbj_rc rc;

	if (dispatch_is_announcement(edit))
		return dispatch_announce(store, 0, edit, ret_outcome, err);
	rc = store_content_check(store, edit, err);
	if (rc < 0)
		return rc;
	bodies_settle(store, edit);
	rc = store_submit(store, edit, removals, ret_outcome, err);
	if (rc == MBJ_OK && !edit->is_dry_run &&
	    (edit->stage == MBJ_STAGE_DONE || edit->stage == MBJ_STAGE_FAILED))
		standing_told(&store->standing, edit->intent, false,
			      mbj_monotonic_ms());
	return rc;
}

/*
 * Its bodies get their places in the batch, behind the answer.  Nobody can take
 * them away in between: that is done in a turn, behind the batch.
 */
enum mbj_rc dispatch_take(struct mbj_store *store, const struct mbj_edit *edit,
			  bool is_standing, struct request **ret_request,
			  struct mbj_error *err)
{
	uint64_t removals = store_removals(store);
	enum mbj_rc rc = store_content_check(store, edit, err);

	return rc < 0 ? rc
		      : store_take(store, edit, removals, is_standing,
				   ret_request, err);
}

/* --------------------------------------------------------------- reading */

/* The account of a name; what is not there is told from what failed. */
static enum mbj_rc account_find(struct mbj_txn *txn, struct mbj_bytes name,
				struct mbj_account *ret_account,
				struct mbj_error *err)
{
	char text[MBJ_ERROR_SUBJECT_MAX];
	enum mbj_rc rc = mbj_txn_account_find(txn, name, ret_account, err);

	if (rc != MBJ_ENOTFOUND)
		return rc;
	(void)mbj_text_escape(text, sizeof(text), name);
	(void)mbj_error_refuse(err, MBJ_REFUSAL_ACCOUNT_NOT_FOUND, "account",
			       text, "there is no account \"%s\"", text);
	if (err != NULL)
		err->rc = MBJ_ENOTFOUND;
	return MBJ_ENOTFOUND;
}

/* The last of the messages that there are, 0 where there is none. */
static enum mbj_rc last_uid_find(struct mbj_txn *txn, struct mbj_id account,
				 const struct mbj_content *content,
				 uint32_t *ret_uid, struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_message message;
	enum mbj_rc rc;

	*ret_uid = 0;
	rc = mbj_scan_messages(txn, account, content->series, 1, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_message(&scan, &message, err);
		if (rc == MBJ_OK)
			*ret_uid = message.uid;
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* The mailbox at the path of the account of that name. */
static enum mbj_rc path_find(struct mbj_txn *txn, struct mbj_bytes name,
			     struct mbj_bytes path, struct wire_message *answer,
			     struct mbj_error *err)
{
	char text[MBJ_ERROR_SUBJECT_MAX];
	enum mbj_rc rc;

	rc = account_find(txn, name, &answer->account, err);
	if (rc < 0)
		return rc;
	rc = mbj_txn_path_find(txn, &answer->account, path, &answer->mailbox,
			       err);
	if (rc == MBJ_ENOTFOUND) {
		(void)mbj_text_escape(text, sizeof(text), path);
		(void)mbj_error_refuse(err, MBJ_REFUSAL_NOT_FOUND, "mailbox",
				       text, "there is no mailbox \"%s\"",
				       text);
		if (err != NULL)
			err->rc = MBJ_ENOTFOUND;
	}
	return rc;
}

/* What a request gave need not come back. */
static void names_drop(struct wire_message *answer)
{
	answer->account.name = mbj_bytes_make(NULL, 0);
	answer->mailbox.name = (struct mbj_name){{NULL, 0}, {NULL, 0}};
}

enum mbj_rc dispatch_mailbox_find(struct mbj_txn *txn, struct mbj_bytes name,
				  const struct wire_message *request,
				  struct wire_message *answer,
				  struct mbj_error *err)
{
	enum mbj_rc rc = path_find(txn, name, request->path, answer, err);

	if (rc == MBJ_OK)
		rc = mbj_txn_content_get(txn, answer->account.id,
					 answer->mailbox.id, &answer->content,
					 err);
	if (rc == MBJ_OK && request->is_last_wanted)
		rc = last_uid_find(txn, answer->account.id, &answer->content,
				   &answer->last_uid, err);
	names_drop(answer);
	return rc;
}

static enum mbj_rc attrs_list(struct mbj_txn *txn,
			      const struct wire_message *request,
			      struct wire_message *answer, struct mbj_buf *list,
			      struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_attr attr;
	enum mbj_rc rc;

	/* No path: the account's own, as in IMAP. */
	answer->mailbox.id = MBJ_ID_ROOT;
	rc = request->path.n == 0
		     ? account_find(txn, request->name, &answer->account, err)
		     : path_find(txn, request->name, request->path, answer,
				 err);
	if (rc == MBJ_OK)
		rc = mbj_scan_attrs(txn, answer->account.id, answer->mailbox.id,
				    MBJ_ATTR_ANY, &scan, err);
	names_drop(answer);
	if (rc < 0)
		return rc;
	while (rc == MBJ_OK && list->failed == MBJ_OK) {
		rc = mbj_scan_next_attr(&scan, &attr, err);
		if (rc < 0)
			break;
		wire_attr_encode(list, &attr);
		answer->count++;
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc subscriptions_list(struct mbj_txn *txn,
				      const struct wire_message *request,
				      struct wire_message *answer,
				      struct mbj_buf *list,
				      struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_path path;
	enum mbj_rc rc;

	rc = account_find(txn, request->name, &answer->account, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_subscriptions(txn, answer->account.id,
					    mbj_bytes_make(NULL, 0), &scan,
					    err);
	names_drop(answer);
	if (rc < 0)
		return rc;
	while (rc == MBJ_OK && list->failed == MBJ_OK) {
		rc = mbj_scan_next_subscription(&scan, &path, err);
		if (rc < 0)
			break;
		wire_path_encode(list, &path);
		answer->count++;
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/*
 * Those of an account, or, where no name is given, of all: what is in doubt,
 * and not what stands.
 */
static enum mbj_rc intents_list(struct mbj_store *store, struct mbj_txn *txn,
				const struct wire_message *request,
				struct wire_message *answer,
				struct mbj_buf *list, struct mbj_error *err)
{
	struct mbj_account account = {.id = MBJ_ID_ROOT};
	struct mbj_client_intent intent;
	struct mbj_scan scan = {0};
	enum mbj_rc rc = MBJ_OK;

	if (request->name.n > 0)
		rc = account_find(txn, request->name, &account, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_intents(txn, account.id, &scan, err);
	if (rc < 0)
		return rc;
	while (rc == MBJ_OK && list->failed == MBJ_OK) {
		rc = mbj_scan_next_intent(&scan, &intent.intent, err);
		if (rc < 0)
			break;
		if (standing_is_idle(&store->standing, intent.intent.id))
			continue;
		rc = mbj_txn_account_get(txn, intent.intent.account, &account,
					 err);
		/* An account that goes takes its intents along. */
		if (rc == MBJ_ENOTFOUND)
			rc = mbj_error_set(err, MBJ_ECORRUPT,
					   "an intent is of no account");
		if (rc < 0)
			break;
		intent.account = account.name;
		wire_intent_encode(list, &intent);
		answer->count++;
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc accounts_list(struct mbj_txn *txn, struct mbj_buf *list,
				 uint32_t *ret_count, struct mbj_error *err)
{
	struct mbj_account account;
	struct mbj_scan scan = {0};
	enum mbj_rc rc;

	rc = mbj_scan_accounts(txn, &scan, err);
	while (rc == MBJ_OK && list->failed == MBJ_OK) {
		rc = mbj_scan_next_account(&scan, &account, err);
		if (rc < 0)
			break;
		wire_account_encode(list, &account);
		++*ret_count;
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* A tree that is too long for its list is not even loaded. */
static enum mbj_rc tree_fits(const struct mbj_account *account, size_t max,
			     struct mbj_error *err)
{
	if (account->mailbox_count <= max / NODE_SIZE_MIN)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_ELIMIT,
			     "%llu mailboxes do not fit into %zu bytes",
			     (unsigned long long)account->mailbox_count, max);
}

/*
 * producer: only where no intent of that one is open; NULL: in any case.
 * max: bytes that it may have as a list.
 */
static enum mbj_rc tree_read(struct mbj_store *store, struct mbj_bytes name,
			     const struct mbj_bytes *producer, size_t max,
			     struct mbj_account *ret_account,
			     struct mbj_tree **ret_tree, struct mbj_error *err)
{
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	rc = mbj_store_read(store, &txn, err);
	if (rc == MBJ_OK)
		rc = account_find(txn, name, ret_account, err);
	if (rc == MBJ_OK)
		rc = tree_fits(ret_account, max, err);
	if (rc == MBJ_OK && producer != NULL)
		rc = dispatch_settled_check(store, txn, ret_account->id,
					    *producer, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_tree_load(txn, ret_account->id, ret_tree, err);
	ret_account->name = mbj_bytes_make(NULL, 0);
	mbj_txn_abort(&txn);
	return rc;
}

enum mbj_rc dispatch_tree(struct mbj_store *store, struct mbj_bytes name,
			  struct mbj_account *ret_account,
			  struct mbj_tree **ret_tree, struct mbj_error *err)
{
	return tree_read(store, name, NULL, SIZE_MAX, ret_account, ret_tree,
			 err);
}

/* Parents first, each parent by its place among them. */
static enum mbj_rc nodes_list(const struct mbj_tree *tree, struct mbj_buf *list,
			      uint32_t *ret_count, struct mbj_error *err)
{
	uint32_t *places = NULL;
	uint32_t *order = NULL;
	struct mbj_node node;
	size_t count = 0;
	enum mbj_rc rc;

	rc = mbj_tree_order(tree, &order, &count, err);
	if (rc < 0)
		return rc;
	places = mbj_calloc((size_t)mbj_tree_size(tree) + 1, sizeof(*places));
	if (places == NULL)
		rc = mbj_error_nomem(err);
	for (size_t i = 0; rc == MBJ_OK && list->failed == MBJ_OK && i < count;
	     i++) {
		node = *mbj_tree_get(tree, order[i]);
		places[order[i]] = (uint32_t)i;
		if (node.parent < mbj_tree_size(tree))
			node.parent = places[node.parent];
		wire_node_encode(list, &node);
	}
	*ret_count = (uint32_t)count;
	mbj_free(places);
	mbj_free(order);
	return rc;
}

static enum mbj_rc tree_run(struct dispatcher *dispatcher, bool is_settled,
			    const struct wire_message *request,
			    struct wire_message *answer, struct mbj_buf *list,
			    struct mbj_error *err)
{
	struct mbj_tree *tree = NULL;
	enum mbj_rc rc;

	rc = tree_read(dispatcher->store, request->name,
		       is_settled ? &request->edit.producer : NULL, list->max,
		       &answer->account, &tree, err);
	if (rc == MBJ_OK)
		rc = nodes_list(tree, list, &answer->count, err);
	mbj_tree_free(&tree);
	return rc;
}

static enum mbj_rc survey_run(struct mbj_txn *txn, struct mbj_bytes asked,
			      struct mbj_buf *answer, struct mbj_error *err)
{
	struct mbj_survey_question question;
	enum mbj_rc rc = mbj_survey_question_decode(asked, &question, err);

	return rc < 0 ? rc : mbj_txn_survey(txn, &question, answer, err);
}

/* Kinds that read in one snapshot; list is what they list. */
static enum mbj_rc read_run(struct dispatcher *dispatcher, enum wire_kind kind,
			    const struct wire_message *request,
			    struct wire_message *answer, struct mbj_buf *list,
			    struct mbj_error *err)
{
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	rc = mbj_store_read(dispatcher->store, &txn, err);
	if (rc < 0)
		return rc;
	if (kind == WIRE_ACCOUNT) {
		rc = account_find(txn, request->name, &answer->account, err);
		answer->account.name = mbj_bytes_make(NULL, 0);
	} else if (kind == WIRE_MAILBOX) {
		rc = dispatch_mailbox_find(txn, request->name, request, answer,
					   err);
	} else if (kind == WIRE_ACCOUNTS) {
		rc = accounts_list(txn, list, &answer->count, err);
	} else if (kind == WIRE_ATTRS) {
		rc = attrs_list(txn, request, answer, list, err);
	} else if (kind == WIRE_SUBSCRIPTIONS) {
		rc = subscriptions_list(txn, request, answer, list, err);
	} else if (kind == WIRE_INTENTS) {
		rc = intents_list(dispatcher->store, txn, request, answer, list,
				  err);
	} else if (kind == WIRE_CONTENTS) {
		rc = account_find(txn, request->name, &answer->account, err);
		if (rc == MBJ_OK)
			rc = dispatch_contents(txn, answer->account.id, list,
					       &answer->count, err);
		answer->account.name = mbj_bytes_make(NULL, 0);
	} else if (kind == WIRE_SURVEY) {
		rc = survey_run(txn, request->survey, list, err);
	} else if (kind == WIRE_VANISHED) {
		rc = dispatch_vanished(txn, request, answer, list, err);
	} else {
		MBJ_ASSERT(kind == WIRE_MESSAGES);
		rc = dispatch_messages(txn, dispatch_has_guids(dispatcher),
				       request, answer, list, err);
	}
	mbj_txn_abort(&txn);
	return rc;
}

/* --------------------------------------------------------------- requests */

static enum mbj_rc kind_run(struct dispatcher *dispatcher, enum wire_kind kind,
			    const struct wire_message *request,
			    struct wire_message *answer, struct mbj_buf *list,
			    struct mbj_error *err)
{
	switch (kind) {
	case WIRE_SUBMIT:
		return dispatch_submit_as(dispatcher, &request->edit,
					  &answer->outcome, err);
	case WIRE_SUBMIT_BODY:
		return dispatch_submit_body(dispatcher, request, answer, err);
	case WIRE_ACCOUNT:
	case WIRE_ACCOUNTS:
	case WIRE_MAILBOX:
	case WIRE_MESSAGES:
	case WIRE_VANISHED:
	case WIRE_ATTRS:
	case WIRE_SUBSCRIPTIONS:
	case WIRE_INTENTS:
	case WIRE_SURVEY:
	case WIRE_CONTENTS:
		return read_run(dispatcher, kind, request, answer, list, err);
	case WIRE_TREE:
	case WIRE_ENTER:
		return tree_run(dispatcher, kind == WIRE_ENTER, request, answer,
				list, err);
	case WIRE_BEGIN:
		return dispatch_begin(dispatcher->store, dispatcher->asker,
				      request, answer, err);
	case WIRE_BLOB_OPEN:
		return dispatch_blob_open(dispatcher, &request->digest,
					  &answer->size, err);
	case WIRE_BLOB_READ:
		return dispatch_blob_read(dispatcher, request->size, list,
					  &answer->data, err);
	case WIRE_BLOBS:
		return dispatch_blobs(dispatcher->store, request, list,
				      &answer->count, err);
	case WIRE_BLOB_WRITE:
		return dispatch_blob_write(dispatcher, request->data, err);
	case WIRE_BLOB_FINISH:
		return dispatch_blob_finish(dispatcher, answer, err);
	case WIRE_BLOB_LAST:
		return dispatch_blob_last(dispatcher, request->data, answer,
					  err);
	case WIRE_BLOB_ABORT:
		mbj_blob_writer_abort(&dispatcher->writer);
		return MBJ_OK;
	case WIRE_SNAPSHOT:
		return mbj_store_snapshot(dispatcher->store, &answer->snapshot,
					  err);
	case WIRE_COLLECT:
		return mbj_store_collect(dispatcher->store, request->is_dry_run,
					 &answer->collected, err);
	case WIRE_TRIM:
		return mbj_store_trim(dispatcher->store, &request->keep,
				      &answer->trim, err);
	case WIRE_RECEIVED:
		return mbj_store_received(dispatcher->store, request->wait.lsn,
					  request->wait.replicas,
					  request->wait.ms, &answer->received,
					  err);
	case WIRE_CHAIN:
		return mbj_store_chain(dispatcher->store, request->lsn,
				       &answer->chain_at, err);
	case WIRE_HELLO:
	case WIRE_STATUS:
	case WIRE_STOP:
	case WIRE_TAKE:
		break;
	}
	MBJ_UNREACHABLE();
}

enum mbj_rc dispatch_run(struct dispatcher *dispatcher, enum wire_kind kind,
			 const struct wire_message *request,
			 struct mbj_buf *ret_body, struct mbj_error *err)
{
	struct wire_message *answer = mbj_calloc(1, sizeof(*answer));
	struct mbj_buf list;
	enum mbj_rc rc;

	if (answer == NULL)
		return mbj_error_nomem(err);
	mbj_buf_init(&list, dispatcher->list_max > 0
				    ? dispatcher->list_max
				    : WIRE_LIST_MAX - WIRE_SMALL_MAX);
	rc = kind_run(dispatcher, kind, request, answer, &list, err);
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(&list, err);
	if (rc == MBJ_OK) {
		answer->list = mbj_buf_view(&list);
		answer->survey = answer->list;
		wire_encode(ret_body, kind, WIRE_ANSWER, answer);
		rc = mbj_buf_ok(ret_body, err);
	}
	mbj_outcome_done(&answer->outcome);
	mbj_buf_done(&list);
	mbj_free(answer);
	return rc;
}
