/*
 * Answers: the Mailbox/set response (RFC 8620 section 5.3), what an import
 * became, and the tree as a Mailbox/get response.
 *
 * A response tells a client what it could not know: fresh ids, defaults, and
 * what the server made of a name.  The group of the edit says the last, so
 * the answer never differs from what was journaled.
 *
 * Invariants:
 *   1. every item of a request is in the response exactly once;
 *   2. members of created, updated, destroyed are in the request's order.
 *
 * Threads: one at a time per buffer.
 */
#include <stdio.h>

#include <mbj/check.h>

#include "jmap_list.h"
#include "jmap_map.h"
#include "jmap_out.h"
#include "jmap_set.h"

/* What the group did to one item's mailbox. */
struct reply_fact {
	struct mbj_bytes name; /* stored, p NULL: no new slot */
	uint32_t uidvalidity;  /* 0: none given */
};

struct reply {
	const struct mbj_jmap_set *set;
	const struct mbj_outcome *outcome;
	struct reply_fact *facts; /* [set->count] */
	struct mbj_table by_id;	  /* creates and updates that stand */
	struct jmap_out out;
};

/* --------------------------------------------------------------- facts */

static uint64_t reply_hash(const struct reply *reply, struct mbj_id id)
{
	return mbj_siphash(reply->set->creates.key,
			   mbj_bytes_make(id.b, sizeof(id.b)));
}

static enum mbj_rc facts_index(struct reply *reply, struct mbj_error *err)
{
	const struct mbj_jmap_set *set = reply->set;
	uint32_t end = set->create_count + set->update_count;
	enum mbj_rc rc;

	for (uint32_t i = 0; i < end; i++) {
		if (set->items[i].change_index == SET_NONE)
			continue;
		rc = mbj_table_add(&reply->by_id,
				   reply_hash(reply, set->items[i].change.id),
				   i, err);
		if (rc < 0)
			return rc;
	}
	return MBJ_OK;
}

static void facts_note(struct reply *reply, const struct mbj_op *op)
{
	uint64_t hash = reply_hash(reply, op->id);
	uint32_t at = mbj_table_seek(&reply->by_id, hash), i;
	bool is_create = op->kind == MBJ_OP_MAILBOX_CREATE;
	bool is_placed = (is_create || op->kind == MBJ_OP_MAILBOX_MOVE) &&
			 !mbj_id_is_temp(op->to.parent);

	while (mbj_table_next(&reply->by_id, hash, &at, &i)) {
		const struct mbj_change *change = &reply->set->items[i].change;
		/* What its creation gave is no news to an update of "#k". */
		bool is_news = !is_create || change->kind == MBJ_CHANGE_CREATE;

		if (!mbj_id_equal(change->id, op->id))
			continue;
		if (is_placed)
			reply->facts[i].name = op->to.name.stored;
		if (op->uidvalidity != 0 && is_news)
			reply->facts[i].uidvalidity = op->uidvalidity;
	}
}

static enum mbj_rc facts_read(struct reply *reply, struct mbj_error *err)
{
	struct mbj_bytes record = mbj_buf_view(&reply->outcome->record);
	struct mbj_group group;
	struct mbj_reader reader;
	struct mbj_op op;
	enum mbj_rc rc;

	if (record.n == 0)
		return MBJ_OK;
	rc = mbj_group_parse(record, &group, err);
	if (rc < 0)
		return rc;
	mbj_reader_init(&reader, group.body);
	while ((rc = mbj_group_op_next(&group, &reader, &op, err)) == MBJ_OK) {
		if (op.kind >= MBJ_OP_MAILBOX_CREATE &&
		    op.kind <= MBJ_OP_MAILBOX_SET)
			facts_note(reply, &op);
	}
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* ---------------------------------------------------------- set response */

static bool item_is_done(const struct reply *reply, const struct set_item *item)
{
	const struct mbj_outcome *outcome = reply->outcome;

	if (item->change_index == SET_NONE)
		return false;
	if (outcome->results == NULL)
		return true;
	MBJ_ASSERT(item->change_index < outcome->result_count);
	return outcome->results[item->change_index].refusal == MBJ_REFUSAL_NONE;
}

/* A SetError: by the edit, or by the reading of the request. */
static void put_set_error(struct reply *reply, const struct set_item *item)
{
	struct jmap_out *out = &reply->out;
	const struct mbj_change_result *result;

	jmap_out_open(out, NULL, '{');
	if (item->change_index == SET_NONE) {
		jmap_out_text(out, "type", mbj_refusal_type(item->refusal));
		jmap_out_text(out, "description", item->description);
		if (item->property_count > 0)
			jmap_out_open(out, "properties", '[');
		for (uint32_t i = 0; i < item->property_count; i++)
			jmap_out_bytes(out, NULL, item->properties[i]);
		if (item->property_count > 0)
			jmap_out_close(out);
		jmap_out_close(out);
		return;
	}
	result = &reply->outcome->results[item->change_index];
	jmap_out_text(out, "type", mbj_refusal_type(result->refusal));
	if (result->description != NULL)
		jmap_out_text(out, "description", result->description);
	if (result->property != NULL) {
		jmap_out_open(out, "properties", '[');
		jmap_out_text(out, NULL, result->property);
		jmap_out_close(out);
	}
	jmap_out_close(out);
}

/* What a client did not send and has to know. */
static void put_created(struct reply *reply, uint32_t i)
{
	const struct mbj_change *change = &reply->set->items[i].change;
	const struct reply_fact *fact = &reply->facts[i];
	struct jmap_out *out = &reply->out;
	bool has_parent = reply->set->items[i].parent.p != NULL ||
			  !mbj_id_is_root(change->parent);

	jmap_out_open(out, NULL, '{');
	jmap_out_id(out, "id", change->id);
	if (fact->name.p != NULL && !mbj_bytes_equal(fact->name, change->name))
		jmap_out_bytes(out, "name", fact->name);
	if (!has_parent)
		jmap_out_null(out, "parentId");
	if (!(change->has & MBJ_CHANGE_HAS_ROLE))
		jmap_out_null(out, "role");
	if (!(change->has & MBJ_CHANGE_HAS_SUBSCRIBED))
		jmap_out_bool(out, "isSubscribed", false);
	if (fact->uidvalidity != 0)
		jmap_out_number(out, "uidValidity", fact->uidvalidity);
	jmap_out_close(out);
}

/* null, or what changed beyond what was asked for. */
static void put_updated(struct reply *reply, uint32_t i)
{
	const struct mbj_change *change = &reply->set->items[i].change;
	const struct reply_fact *fact = &reply->facts[i];
	struct jmap_out *out = &reply->out;
	bool is_renamed = fact->name.p != NULL &&
			  (change->has & MBJ_CHANGE_HAS_NAME) &&
			  !mbj_bytes_equal(fact->name, change->name);

	if (!is_renamed && fact->uidvalidity == 0) {
		jmap_out_null(out, NULL);
		return;
	}
	jmap_out_open(out, NULL, '{');
	if (is_renamed)
		jmap_out_bytes(out, "name", fact->name);
	if (fact->uidvalidity != 0)
		jmap_out_number(out, "uidValidity", fact->uidvalidity);
	jmap_out_close(out);
}

/*
 * An update that was done is the mailbox's, also where "#k" was given; one
 * that was refused is the text that the client knows.
 */
static void put_item_key(struct reply *reply, const struct set_item *item,
			 bool is_done)
{
	char text[MBJ_ID_TEXT_SIZE];

	if (item->change.kind == MBJ_CHANGE_CREATE || !is_done) {
		jmap_out_key(&reply->out, item->text);
		return;
	}
	mbj_id_print(item->change.id, text);
	jmap_out_key(&reply->out, mbj_bytes_str(text));
}

/* One of created, updated, notCreated...; null where it is empty. */
static void put_part(struct reply *reply, const char *key,
		     enum mbj_change_kind kind, bool is_done)
{
	struct jmap_out *out = &reply->out;
	char close = kind == MBJ_CHANGE_DESTROY && is_done ? '[' : '{';
	bool is_empty = true;

	for (uint32_t i = 0; i < reply->set->count; i++) {
		const struct set_item *item = &reply->set->items[i];

		if (item->change.kind != kind ||
		    item_is_done(reply, item) != is_done)
			continue;
		if (is_empty)
			jmap_out_open_lines(out, key, close);
		is_empty = false;
		if (is_done && kind == MBJ_CHANGE_DESTROY) {
			jmap_out_id(out, NULL, item->change.id);
			continue;
		}
		put_item_key(reply, item, is_done);
		if (!is_done)
			put_set_error(reply, item);
		else if (kind == MBJ_CHANGE_CREATE)
			put_created(reply, i);
		else
			put_updated(reply, i);
	}
	if (is_empty)
		jmap_out_null(out, key);
	else
		jmap_out_close(out);
}

static void put_refusals(struct reply *reply)
{
	put_part(reply, "notCreated", MBJ_CHANGE_CREATE, false);
	put_part(reply, "notUpdated", MBJ_CHANGE_UPDATE, false);
	put_part(reply, "notDestroyed", MBJ_CHANGE_DESTROY, false);
}

void jmap_set_refusals_put(struct jmap_out *out, const struct mbj_jmap_set *set,
			   const struct mbj_outcome *outcome)
{
	struct reply reply = {.set = set, .outcome = outcome, .out = *out};

	put_refusals(&reply);
	*out = reply.out;
}

void jmap_set_refusals_text(struct mbj_buf *out, const struct mbj_jmap_set *set,
			    const struct mbj_outcome *outcome)
{
	const struct reply reply = {.set = set, .outcome = outcome};

	for (uint32_t i = 0; i < set->count; i++) {
		const struct set_item *item = &set->items[i];
		const char *description = item->description;
		enum mbj_refusal refusal = item->refusal;

		if (item_is_done(&reply, item))
			continue;
		if (item->change_index != SET_NONE) {
			description = outcome->results[item->change_index]
					      .description;
			refusal = outcome->results[item->change_index].refusal;
		}
		mbj_buf_put_str(out, "refused: ");
		mbj_name_escape(out, item->text);
		mbj_buf_format(out, ": %s%s", mbj_refusal_type(refusal),
			       description != NULL ? ": " : "");
		mbj_name_escape(out,
				mbj_bytes_str(description != NULL ? description
								  : ""));
		mbj_buf_put_str(out, "\n");
	}
}

static void put_lsn(struct jmap_out *out, struct mbj_lsn lsn)
{
	if (lsn.v == 0)
		jmap_out_null(out, "lsn");
	else
		jmap_out_number(out, "lsn", lsn.v);
}

size_t mbj_jmap_set_refused_count(const struct mbj_jmap_set *set)
{
	MBJ_ASSERT(set != NULL);
	return set->refused_count;
}

enum mbj_rc mbj_jmap_set_print(const struct mbj_jmap_set *set,
			       struct mbj_bytes account_id,
			       const struct mbj_outcome *outcome,
			       struct mbj_buf *ret_json, struct mbj_error *err)
{
	struct reply reply = {.set = set, .outcome = outcome};
	struct jmap_out *out = &reply.out;
	enum mbj_rc rc;

	MBJ_ASSERT(set != NULL && outcome != NULL);
	MBJ_ASSERT(outcome->results == NULL ||
		   outcome->result_count == set->change_count);
	mbj_table_init(&reply.by_id);
	reply.facts = mbj_calloc(set->count, sizeof(*reply.facts));
	if (reply.facts == NULL) {
		rc = mbj_error_nomem(err);
		goto out;
	}
	rc = facts_index(&reply, err);
	if (rc == MBJ_OK)
		rc = facts_read(&reply, err);
	if (rc < 0)
		goto out;
	jmap_out_init(out, ret_json);
	jmap_out_open_lines(out, NULL, '{');
	jmap_out_text(out, "schema", "mbj.set/1");
	jmap_out_bytes(out, "accountId", account_id);
	jmap_out_decimal(out, "oldState", outcome->old_state.v);
	jmap_out_decimal(out, "newState", outcome->new_state.v);
	put_lsn(out, outcome->lsn);
	put_part(&reply, "created", MBJ_CHANGE_CREATE, true);
	put_part(&reply, "updated", MBJ_CHANGE_UPDATE, true);
	put_part(&reply, "destroyed", MBJ_CHANGE_DESTROY, true);
	put_refusals(&reply);
	jmap_out_close(out);
	rc = jmap_out_finish(out, err);
out:
	mbj_free(reply.facts);
	mbj_table_done(&reply.by_id);
	return rc;
}

/* -------------------------------------------------------------- import */

enum mbj_rc mbj_jmap_import_print(const struct mbj_jmap_list *list,
				  const struct mbj_outcome *outcome,
				  struct mbj_buf *ret_json,
				  struct mbj_error *err)
{
	struct jmap_out out;
	struct mbj_id id;

	MBJ_ASSERT(list != NULL && outcome != NULL);
	MBJ_ASSERT(list->mode == MBJ_JMAP_IMPORT);
	jmap_out_init(&out, ret_json);
	jmap_out_open_lines(&out, NULL, '{');
	jmap_out_text(&out, "schema", "mbj.import/1");
	jmap_out_id(&out, "accountId", outcome->account);
	jmap_out_decimal(&out, "newState", outcome->new_state.v);
	put_lsn(&out, outcome->lsn);
	jmap_out_id(&out, "inbox", outcome->inbox);
	jmap_out_open_lines(&out, "ids", '[');
	for (uint32_t i = 0; i < list->count; i++) {
		struct mbj_bytes given = list->entries[i].given;

		if (given.p != NULL && mbj_id_parse(given, &id))
			continue;
		jmap_out_open(&out, NULL, '{');
		if (given.p == NULL)
			jmap_out_null(&out, "given");
		else
			jmap_out_bytes(&out, "given", given);
		jmap_out_id(&out, "id", list->changes[i].id);
		jmap_out_bytes(&out, "name", list->changes[i].name);
		jmap_out_close(&out);
	}
	jmap_out_close(&out);
	jmap_out_close(&out);
	return jmap_out_finish(&out, err);
}

/* ---------------------------------------------------------------- tree */

static void put_mailbox(struct jmap_out *out, const struct mbj_tree *tree,
			uint32_t index, const struct mbj_jmap_map *map)
{
	const struct mbj_node *node = mbj_tree_get(tree, index);
	const char *role = mbj_role_name((enum mbj_role)node->role);

	jmap_out_open(out, NULL, '{');
	jmap_map_out(map, out, "id", node->id);
	jmap_out_bytes(out, "name", node->name.stored);
	if (node->parent == MBJ_NODE_ROOT)
		jmap_out_null(out, "parentId");
	else if (node->parent == MBJ_NODE_TEMP)
		jmap_out_text(out, "parentId", "temp");
	else
		jmap_map_out(map, out, "parentId",
			     mbj_tree_get(tree, node->parent)->id);
	/* A number from a newer version has no word here. */
	if (role == NULL || role[0] == '\0')
		jmap_out_null(out, "role");
	else
		jmap_out_text(out, "role", role);
	jmap_out_bool(out, "isSubscribed", node->is_subscribed);
	jmap_out_bool(out, "isSelectable", node->is_selectable);
	if (node->uidvalidity == 0)
		jmap_out_null(out, "uidValidity");
	else
		jmap_out_number(out, "uidValidity", node->uidvalidity);
	jmap_out_close(out);
}

enum mbj_rc mbj_jmap_tree_print(const struct mbj_tree *tree,
				struct mbj_bytes account_id,
				struct mbj_lsn state,
				const struct mbj_jmap_map *map,
				struct mbj_buf *ret_json, struct mbj_error *err)
{
	struct jmap_out out;
	uint32_t *order;
	size_t count;
	enum mbj_rc rc;

	MBJ_ASSERT(tree != NULL && ret_json != NULL);
	rc = mbj_tree_order(tree, &order, &count, err);
	if (rc < 0)
		return rc;
	jmap_out_init(&out, ret_json);
	jmap_out_open_lines(&out, NULL, '{');
	jmap_out_text(&out, "schema", "mbj.tree/1");
	jmap_out_bytes(&out, "accountId", account_id);
	jmap_out_decimal(&out, "state", state.v);
	jmap_out_open_lines(&out, "list", '[');
	for (size_t i = 0; i < count; i++)
		put_mailbox(&out, tree, order[i], map);
	jmap_out_close(&out);
	jmap_out_open(&out, "notFound", '[');
	jmap_out_close(&out);
	jmap_out_close(&out);
	mbj_free(order);
	return jmap_out_finish(&out, err);
}
