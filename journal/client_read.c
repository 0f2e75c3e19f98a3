/*
 * Reading through a client: what an answer lists becomes arrays and trees.
 */
#include <stdlib.h>

#include <mbj/check.h>

#include "client_impl.h"

/* What of a request those who read here say. */
struct question {
	struct mbj_bytes name;
	struct mbj_bytes path;
	struct mbj_bytes producer;
	struct mbj_id account;
	struct mbj_id mailbox;
	uint64_t rev;
	uint32_t uid;
	uint32_t limit;
};

/* Apart: two messages of the wire are much for one stack. */
__attribute__((noinline)) static enum mbj_rc
question_ask(struct mbj_client *client, enum wire_kind kind,
	     const struct question *question, struct answer *ret_answer,
	     struct mbj_error *err)
{
	struct wire_message request = {.name = question->name,
				       .path = question->path,
				       .edit.producer = question->producer,
				       .account_id = question->account,
				       .mailbox_id = question->mailbox,
				       .rev = question->rev,
				       .uid = question->uid,
				       .limit = question->limit};

	return client_call(client, kind, &request, ret_answer, err);
}

enum mbj_rc mbj_client_account(struct mbj_client *client, struct mbj_bytes name,
			       struct mbj_account *ret_account,
			       struct mbj_error *err)
{
	struct wire_message request = {.name = name};
	struct answer answer;
	enum mbj_rc rc;

	rc = client_call(client, WIRE_ACCOUNT, &request, &answer, err);
	if (rc == MBJ_OK)
		*ret_account = answer.message.account;
	answer_done(&answer);
	return rc;
}

enum mbj_rc mbj_client_mailbox(struct mbj_client *client,
			       struct mbj_bytes account, struct mbj_bytes path,
			       bool is_last_wanted, struct mbj_place *ret_place,
			       struct mbj_error *err)
{
	struct wire_message request = {.name = account,
				       .path = path,
				       .is_last_wanted = is_last_wanted};
	struct answer answer;
	enum mbj_rc rc;

	rc = client_call(client, WIRE_MAILBOX, &request, &answer, err);
	if (rc == MBJ_OK) {
		ret_place->account = answer.message.account;
		ret_place->mailbox = answer.message.mailbox;
		ret_place->content = answer.message.content;
		ret_place->last_uid = answer.message.last_uid;
	}
	answer_done(&answer);
	return rc;
}

/* Room for as many records as the answer says, which is bounded by its size. */
static enum mbj_rc list_begin(const struct answer *answer, size_t size,
			      struct mbj_reader *ret_reader, void **ret_array,
			      struct mbj_error *err)
{
	uint32_t count = answer->message.count;

	mbj_reader_init(ret_reader, answer->message.list);
	*ret_array = mbj_calloc((size_t)count + 1, size);
	return *ret_array == NULL ? mbj_error_nomem(err) : MBJ_OK;
}

static enum mbj_rc list_end(const struct mbj_reader *reader, enum mbj_rc rc,
			    struct mbj_error *err)
{
	if (rc < 0 || mbj_reader_is_spent(reader))
		return rc;
	return wire_bad(err, "list");
}

/*
 * All records were taken, with this result: the bytes that they borrow from
 * become the list's, or the array goes.  Requires: reader is set where rc is
 * MBJ_OK.
 */
static enum mbj_rc list_keep(struct answer *answer,
			     const struct mbj_reader *reader, enum mbj_rc rc,
			     void *array, struct mbj_buf *ret_bytes,
			     struct mbj_error *err)
{
	if (rc == MBJ_OK)
		rc = list_end(reader, rc, err);
	if (rc < 0) {
		mbj_free(array);
		return rc;
	}
	MBJ_ASSERT(array != NULL);
	*ret_bytes = answer->body;
	mbj_buf_init(&answer->body, 0);
	return MBJ_OK;
}

enum mbj_rc mbj_client_accounts(struct mbj_client *client,
				struct mbj_client_accounts *ret_list,
				struct mbj_error *err)
{
	const struct question question = {.uid = 0};
	struct mbj_client_accounts list = {0};
	struct mbj_reader reader;
	struct answer answer;
	void *array = NULL;
	enum mbj_rc rc;

	rc = question_ask(client, WIRE_ACCOUNTS, &question, &answer, err);
	if (rc == MBJ_OK)
		rc = list_begin(&answer, sizeof(*list.accounts), &reader,
				&array, err);
	list.accounts = array;
	while (rc == MBJ_OK && list.count < answer.message.count)
		rc = wire_account_decode(&reader, &list.accounts[list.count++],
					 err);
	rc = list_keep(&answer, &reader, rc, array, &list.bytes, err);
	if (rc == MBJ_OK)
		*ret_list = list;
	answer_done(&answer);
	return rc;
}

void mbj_client_accounts_done(struct mbj_client_accounts *list)
{
	mbj_free(list->accounts);
	mbj_buf_done(&list->bytes);
	*list = (struct mbj_client_accounts){0};
}

enum mbj_rc mbj_client_messages(struct mbj_client *client,
				struct mbj_id account, struct mbj_id mailbox,
				uint32_t first_uid, uint32_t limit,
				uint64_t rev,
				struct mbj_client_messages *ret_page,
				struct mbj_error *err)
{
	const struct question question = {.account = account,
					  .mailbox = mailbox,
					  .uid = first_uid,
					  .limit = limit,
					  .rev = rev};
	struct mbj_client_messages page = {0};
	struct mbj_reader reader;
	struct answer answer;
	void *array = NULL;
	enum mbj_rc rc;

	rc = question_ask(client, WIRE_MESSAGES, &question, &answer, err);
	if (rc == MBJ_OK)
		rc = list_begin(&answer, sizeof(*page.messages), &reader,
				&array, err);
	page.messages = array;
	while (rc == MBJ_OK && page.count < answer.message.count)
		rc = wire_message_decode(&reader, &page.messages[page.count++],
					 err);
	rc = list_keep(&answer, &reader, rc, array, &page.bytes, err);
	if (rc == MBJ_OK) {
		page.content = answer.message.content;
		/* UIDNEXT is above every UID: no page is behind it. */
		if (page.count > 0)
			page.next_uid = page.messages[page.count - 1].uid + 1;
		if (page.next_uid >= page.content.uidnext)
			page.next_uid = 0;
		*ret_page = page;
	}
	answer_done(&answer);
	return rc;
}

void mbj_client_messages_done(struct mbj_client_messages *page)
{
	mbj_free(page->messages);
	mbj_buf_done(&page->bytes);
	*page = (struct mbj_client_messages){0};
}

/* Ranges above each other, with room between. */
static bool ranges_are_good(struct mbj_bytes uids, uint32_t count)
{
	uint64_t free = 1;

	if (uids.n != (size_t)count * MBJ_UID_RANGE_SIZE)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		struct mbj_uid_range range = mbj_uids_get(uids, i);

		if (range.first < free || range.last < range.first)
			return false;
		free = (uint64_t)range.last + 2;
	}
	return true;
}

enum mbj_rc mbj_client_vanished(struct mbj_client *client,
				struct mbj_id account, struct mbj_id mailbox,
				uint64_t modseq,
				struct mbj_client_vanished *ret_vanished,
				struct mbj_error *err)
{
	/* Its revision and its modseq have one place. */
	const struct question question = {.account = account,
					  .mailbox = mailbox,
					  .rev = modseq};
	const struct wire_message *m;
	struct answer answer;
	enum mbj_rc rc;

	rc = client_need(client, WIRE_VERSION_VANISHED,
			 "does not say what was expunged", err);
	if (rc < 0)
		return rc;
	rc = question_ask(client, WIRE_VANISHED, &question, &answer, err);
	m = &answer.message;
	if (rc == MBJ_OK && !ranges_are_good(m->list, m->count))
		rc = wire_bad(err, "UIDs");
	if (rc == MBJ_OK) {
		*ret_vanished = (struct mbj_client_vanished){
			.content = m->content,
			.uids = m->list,
			.is_whole = m->is_whole,
			.bytes = answer.body,
		};
		mbj_buf_init(&answer.body, 0);
	}
	answer_done(&answer);
	return rc;
}

void mbj_client_vanished_done(struct mbj_client_vanished *vanished)
{
	mbj_buf_done(&vanished->bytes);
	*vanished = (struct mbj_client_vanished){.is_whole = false};
}

/* ------------------------------------------------------------- metadata */

enum mbj_rc mbj_client_attrs(struct mbj_client *client,
			     struct mbj_bytes account, struct mbj_bytes path,
			     struct mbj_client_attrs *ret_list,
			     struct mbj_error *err)
{
	const struct question question = {.name = account, .path = path};
	struct mbj_buf bytes = {0};
	struct mbj_reader reader;
	struct mbj_attr *attrs;
	struct answer answer;
	void *array = NULL;
	size_t count = 0;
	enum mbj_rc rc;

	rc = question_ask(client, WIRE_ATTRS, &question, &answer, err);
	if (rc == MBJ_OK)
		rc = list_begin(&answer, sizeof(*attrs), &reader, &array, err);
	attrs = array;
	while (rc == MBJ_OK && count < answer.message.count)
		rc = wire_attr_decode(&reader, &attrs[count++], err);
	rc = list_keep(&answer, &reader, rc, array, &bytes, err);
	if (rc == MBJ_OK) {
		for (size_t i = 0; i < count; i++)
			attrs[i].mailbox = answer.message.mailbox.id;
		*ret_list = (struct mbj_client_attrs){
			.account = answer.message.account,
			.mailbox = answer.message.mailbox,
			.attrs = attrs,
			.count = count,
			.bytes = bytes,
		};
	}
	answer_done(&answer);
	return rc;
}

void mbj_client_attrs_done(struct mbj_client_attrs *list)
{
	mbj_free(list->attrs);
	mbj_buf_done(&list->bytes);
	*list = (struct mbj_client_attrs){.count = 0};
}

enum mbj_rc mbj_client_subscriptions(struct mbj_client *client,
				     struct mbj_bytes account,
				     struct mbj_client_subscriptions *ret_list,
				     struct mbj_error *err)
{
	const struct question question = {.name = account};
	struct mbj_client_subscriptions list = {.count = 0};
	struct mbj_reader reader;
	struct answer answer;
	void *array = NULL;
	enum mbj_rc rc;

	rc = question_ask(client, WIRE_SUBSCRIPTIONS, &question, &answer, err);
	if (rc == MBJ_OK)
		rc = list_begin(&answer, sizeof(*list.paths), &reader, &array,
				err);
	list.paths = array;
	while (rc == MBJ_OK && list.count < answer.message.count)
		rc = wire_path_decode(&reader, &list.paths[list.count++], err);
	rc = list_keep(&answer, &reader, rc, array, &list.bytes, err);
	if (rc == MBJ_OK) {
		list.account = answer.message.account;
		*ret_list = list;
	}
	answer_done(&answer);
	return rc;
}

void mbj_client_subscriptions_done(struct mbj_client_subscriptions *list)
{
	mbj_free(list->paths);
	mbj_buf_done(&list->bytes);
	*list = (struct mbj_client_subscriptions){.count = 0};
}

/* --------------------------------------------------------------- intents */

static int intent_compare(const void *a, const void *b)
{
	const struct mbj_client_intent *x = a, *y = b;

	return (x->intent.lsn.v > y->intent.lsn.v) -
	       (x->intent.lsn.v < y->intent.lsn.v);
}

enum mbj_rc mbj_client_intents(struct mbj_client *client,
			       struct mbj_bytes account,
			       struct mbj_client_intents *ret_list,
			       struct mbj_error *err)
{
	const struct question question = {.name = account};
	struct mbj_client_intents list = {.count = 0};
	struct mbj_reader reader;
	struct answer answer;
	void *array = NULL;
	enum mbj_rc rc;

	rc = question_ask(client, WIRE_INTENTS, &question, &answer, err);
	if (rc == MBJ_OK)
		rc = list_begin(&answer, sizeof(*list.intents), &reader, &array,
				err);
	list.intents = array;
	while (rc == MBJ_OK && list.count < answer.message.count)
		rc = wire_intent_decode(&reader, &list.intents[list.count++],
					err);
	rc = list_keep(&answer, &reader, rc, array, &list.bytes, err);
	if (rc == MBJ_OK) {
		qsort(list.intents, list.count, sizeof(*list.intents),
		      intent_compare);
		*ret_list = list;
	}
	answer_done(&answer);
	return rc;
}

void mbj_client_intents_done(struct mbj_client_intents *list)
{
	mbj_free(list->intents);
	mbj_buf_done(&list->bytes);
	*list = (struct mbj_client_intents){.count = 0};
}

/* ------------------------------------------------------------------ trees */

static enum mbj_rc tree_build(const struct wire_message *message,
			      struct mbj_tree *tree, struct mbj_error *err)
{
	struct mbj_reader reader;
	struct mbj_node node;
	uint32_t parent;
	uint32_t index;
	enum mbj_rc rc;

	mbj_reader_init(&reader, message->list);
	rc = mbj_tree_reserve(tree, message->count, err);
	for (uint32_t i = 0; rc == MBJ_OK && i < message->count; i++) {
		rc = wire_node_decode(&reader, &node, err);
		if (rc < 0)
			break;
		parent = node.parent;
		/* Parents come first: there are no others to point to. */
		if (parent != MBJ_NODE_ROOT && parent >= i)
			return wire_bad(err, "tree");
		rc = mbj_tree_add_loose(tree, &node, &index, err);
		if (rc < 0)
			break;
		if (index != i)
			return wire_bad(err, "tree");
		mbj_tree_set_parent(tree, index, parent);
		mbj_tree_edit(tree, index)->is_subscribed = node.is_subscribed;
	}
	if (rc == MBJ_OK)
		rc = list_end(&reader, rc, err);
	if (rc < 0)
		return rc;
	mbj_tree_accept(tree);
	return mbj_tree_settle(tree, err);
}

static enum mbj_rc tree_ask(struct mbj_client *client, enum wire_kind kind,
			    const struct question *question,
			    struct mbj_account *ret_account,
			    struct mbj_tree **ret_tree, struct mbj_error *err)
{
	struct mbj_tree *tree = NULL;
	struct answer answer;
	struct mbj_id seed;
	enum mbj_rc rc;

	rc = question_ask(client, kind, question, &answer, err);
	if (rc == MBJ_OK)
		rc = mbj_id_generate(mbj_sys_posix(), &seed, err);
	if (rc == MBJ_OK)
		rc = mbj_tree_new(mbj_load_u64(seed.b), &tree, err);
	if (rc == MBJ_OK)
		rc = tree_build(&answer.message, tree, err);
	if (rc == MBJ_OK) {
		*ret_account = answer.message.account;
		*ret_tree = tree;
	} else {
		mbj_tree_free(&tree);
	}
	answer_done(&answer);
	return rc;
}

enum mbj_rc mbj_client_tree(struct mbj_client *client, struct mbj_bytes account,
			    struct mbj_account *ret_account,
			    struct mbj_tree **ret_tree, struct mbj_error *err)
{
	const struct question question = {.name = account};

	if (client->store != NULL)
		return client->local->tree(client->store, account, ret_account,
					   ret_tree, err);
	return tree_ask(client, WIRE_TREE, &question, ret_account, ret_tree,
			err);
}

enum mbj_rc mbj_client_enter(struct mbj_client *client,
			     struct mbj_bytes account,
			     struct mbj_bytes producer,
			     struct mbj_account *ret_account,
			     struct mbj_tree **ret_tree, struct mbj_error *err)
{
	const struct question question = {.name = account,
					  .producer = producer};

	if (!client_can_take(client))
		return client_unsupported(err);
	return tree_ask(client, WIRE_ENTER, &question, ret_account, ret_tree,
			err);
}
