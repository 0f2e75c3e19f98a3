/*
 * Reading Mailbox/set arguments: the request as a whole, and each create,
 * update and destroy in the request's order.
 *
 * Two kinds of failure.  What makes the request unusable refuses it; what
 * makes one item unusable is kept with that item for the response, and with
 * every item that depends on it.
 *
 * Invariants:
 *   1. items are creates, then updates, then destroys, each in the order of
 *      the request; create n has number n among the creation ids;
 *   2. changes are the items without a refusal, in the same order; an update
 *      of a create is one with it;
 *   3. no change has a parent that is a refused create.
 *
 * Threads: one at a time per set.
 */
#include "jmap_set.h"

#include <inttypes.h>
#include <stdio.h>

#include <mbj/check.h>

#define SET_TEXTS_MAX ((size_t)1 << 31)

static const struct mbj_bytes no_text = {NULL, 0};

/* Where the members of the arguments are. */
struct set_parse {
	struct mbj_bytes text;
	const struct mbj_sys *sys;
	struct mbj_jmap_set *set;
	struct mbj_bytes create, update, destroy; /* slices, or p NULL */
};

static enum mbj_rc arguments_refuse(const char *property, struct mbj_error *err,
				    const char *why)
{
	return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_ARGUMENTS, "property",
				property, "%s %s", property, why);
}

/* --------------------------------------------------------------- items */

static enum mbj_rc item_new(struct mbj_jmap_set *set, enum mbj_change_kind kind,
			    struct mbj_bytes text, struct set_item **ret_item,
			    struct mbj_error *err)
{
	struct set_item item = {
		.parent_item = SET_NONE,
		.create_item = SET_NONE,
		.change_index = SET_NONE,
		.change = {.kind = kind},
	};
	enum mbj_rc rc;

	if (set->count == MBJ_ACCOUNT_MAILBOXES_MAX)
		return mbj_error_refuse(err, MBJ_REFUSAL_TOO_LARGE, NULL, NULL,
					"the request changes more than %d "
					"mailboxes",
					(int)MBJ_ACCOUNT_MAILBOXES_MAX);
	rc = mbj_array_reserve((void **)&set->items, &set->items_capacity,
			       (size_t)set->count + 1, sizeof(*set->items),
			       MBJ_ACCOUNT_MAILBOXES_MAX, err);
	if (rc < 0)
		return rc;
	if (!mbj_arena_dup(set->arena, text, &item.text))
		return mbj_error_nomem(err);
	set->items[set->count] = item;
	*ret_item = &set->items[set->count++];
	return MBJ_OK;
}

/* The create that "#k" means, or NONE. */
static uint32_t create_find(const struct mbj_jmap_set *set,
			    struct mbj_bytes key)
{
	uint32_t number;

	if (!jmap_index_find(&set->creates, key, &number))
		return SET_NONE;
	MBJ_ASSERT(number < set->create_count);
	return number;
}

/* A parentId "#k", now that all creates are known. */
static enum mbj_rc item_resolve(struct mbj_jmap_set *set, struct set_item *item,
				struct mbj_error *err)
{
	if (item->parent.p == NULL)
		return MBJ_OK;
	item->parent_item = create_find(set, item->parent);
	if (item->parent_item == SET_NONE)
		return set_item_blame(set, item, MBJ_REFUSAL_INVALID_PROPERTIES,
				      mbj_bytes_str("parentId"),
				      "parentId names a create that is not in "
				      "the request",
				      err);
	item->change.parent = set->items[item->parent_item].change.id;
	return MBJ_OK;
}

static enum mbj_rc item_blame_parent(struct mbj_jmap_set *set,
				     struct set_item *item,
				     struct mbj_error *err)
{
	return set_item_blame(set, item, MBJ_REFUSAL_INVALID_PROPERTIES,
			      mbj_bytes_str("parentId"),
			      "the create that parentId names was refused",
			      err);
}

/* ------------------------------------------------------------- creates */

static enum mbj_rc create_read(struct set_parse *parse,
			       const struct json_piece *piece,
			       struct mbj_error *err)
{
	struct mbj_jmap_set *set = parse->set;
	struct set_item *item = NULL;
	json_t *value = NULL;
	enum mbj_rc rc;

	if (!json_is_id(piece->key))
		return arguments_refuse("create", err,
					"has a creation id that is not 1 to "
					"255 of A-Z, a-z, 0-9, - and _");
	rc = item_new(set, MBJ_CHANGE_CREATE, piece->key, &item, err);
	if (rc < 0)
		return rc;
	MBJ_ASSERT(item != NULL);
	rc = mbj_id_generate(parse->sys, &item->change.id, err);
	if (rc < 0)
		return rc;
	item->change.is_selectable = true;
	rc = json_piece_load(parse->text, piece->value, &value, err);
	if (rc < 0)
		return rc;
	if (json_is_object(value))
		rc = set_item_read(set, item, value, err);
	else
		rc = arguments_refuse("create", err,
				      "must map each creation id to an object");
	json_decref(value);
	return rc;
}

/*
 * Refuse every create below a refused one.  Parents form chains and perhaps
 * cycles (the edit's to judge); each create is walked over once.
 */
static enum mbj_rc creates_cascade(struct mbj_jmap_set *set,
				   struct mbj_error *err)
{
	uint8_t *is_seen;
	enum mbj_rc rc = MBJ_OK;

	is_seen = mbj_calloc(set->create_count, 1);
	if (is_seen == NULL)
		return mbj_error_nomem(err);
	for (uint32_t i = 0; i < set->create_count && rc == MBJ_OK; i++) {
		uint32_t top = i, at = i;

		while (top != SET_NONE && !is_seen[top] &&
		       set->items[top].refusal == MBJ_REFUSAL_NONE) {
			is_seen[top] = 1;
			top = set->items[top].parent_item;
		}
		if (top == SET_NONE ||
		    set->items[top].refusal == MBJ_REFUSAL_NONE)
			continue;
		for (; at != top && rc == MBJ_OK;
		     at = set->items[at].parent_item)
			rc = item_blame_parent(set, &set->items[at], err);
	}
	mbj_free(is_seen);
	return rc;
}

static enum mbj_rc creates_read(struct set_parse *parse, struct mbj_error *err)
{
	struct mbj_jmap_set *set = parse->set;
	struct json_walk walk;
	struct json_piece piece;
	enum mbj_rc rc;

	if (parse->create.p == NULL)
		return MBJ_OK;
	rc = json_walk_begin(&walk, parse->text, parse->create, &set->creates,
			     "create", err);
	while (rc == MBJ_OK) {
		rc = json_walk_next(&walk, &piece, err);
		if (rc == MBJ_OK)
			rc = create_read(parse, &piece, err);
	}
	if (rc != MBJ_ENOTFOUND)
		return rc;
	set->create_count = set->count;
	MBJ_ASSERT(set->creates.count == set->create_count);
	for (uint32_t i = 0; i < set->create_count; i++) {
		rc = item_resolve(set, &set->items[i], err);
		if (rc < 0)
			return rc;
	}
	return creates_cascade(set, err);
}

/* ------------------------------------------------- updates and destroys */

/* The mailbox that an update or a destroy means; refuses the item. */
static enum mbj_rc item_read_id(struct mbj_jmap_set *set, struct set_item *item,
				struct mbj_error *err)
{
	struct mbj_bytes text = item->text;
	bool is_reference = text.n > 0 && text.p[0] == '#';
	uint32_t create;

	if (is_reference)
		text = mbj_bytes_make(text.p + 1, text.n - 1);
	if (!json_is_id(text))
		return arguments_refuse(item->change.kind == MBJ_CHANGE_UPDATE
						? "update"
						: "destroy",
					err,
					"names a mailbox by what is not an id");
	if (!is_reference) {
		if (set_id_parse(text, &item->change.id))
			return MBJ_OK;
		return set_item_blame(set, item, MBJ_REFUSAL_NOT_FOUND, no_text,
				      "no mailbox has this id", err);
	}
	create = create_find(set, text);
	if (create == SET_NONE)
		return set_item_blame(set, item, MBJ_REFUSAL_NOT_FOUND, no_text,
				      "the request has no such create", err);
	item->change.id = set->items[create].change.id;
	if (item->change.kind == MBJ_CHANGE_UPDATE)
		item->create_item = create;
	if (set->items[create].refusal == MBJ_REFUSAL_NONE)
		return MBJ_OK;
	return set_item_blame(set, item, MBJ_REFUSAL_NOT_FOUND, no_text,
			      "the create that this names was refused", err);
}

static enum mbj_rc update_read(struct set_parse *parse,
			       const struct json_piece *piece,
			       struct mbj_error *err)
{
	struct mbj_jmap_set *set = parse->set;
	struct set_item *item = NULL;
	json_t *value = NULL;
	enum mbj_rc rc;

	rc = item_new(set, MBJ_CHANGE_UPDATE, piece->key, &item, err);
	if (rc < 0)
		return rc;
	MBJ_ASSERT(item != NULL);
	rc = item_read_id(set, item, err);
	if (rc == MBJ_OK)
		rc = json_piece_load(parse->text, piece->value, &value, err);
	if (rc < 0)
		return rc;
	if (!json_is_object(value))
		rc = arguments_refuse("update", err,
				      "must map each id to a patch object");
	else if (item->refusal == MBJ_REFUSAL_NONE)
		rc = set_item_read(set, item, value, err);
	json_decref(value);
	if (rc == MBJ_OK)
		rc = item_resolve(set, item, err);
	if (rc == MBJ_OK && item->parent_item != SET_NONE &&
	    set->items[item->parent_item].refusal != MBJ_REFUSAL_NONE)
		rc = item_blame_parent(set, item, err);
	return rc;
}

static enum mbj_rc updates_read(struct set_parse *parse, struct mbj_error *err)
{
	struct jmap_index keys = {.count = 0};
	struct json_walk walk;
	struct json_piece piece;
	enum mbj_rc rc;

	if (parse->update.p == NULL)
		return MBJ_OK;
	rc = jmap_index_init(&keys, parse->sys, err);
	if (rc == MBJ_OK)
		rc = json_walk_begin(&walk, parse->text, parse->update, &keys,
				     "update", err);
	while (rc == MBJ_OK) {
		rc = json_walk_next(&walk, &piece, err);
		if (rc == MBJ_OK)
			rc = update_read(parse, &piece, err);
	}
	jmap_index_done(&keys);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	parse->set->update_count = parse->set->count - parse->set->create_count;
	return MBJ_OK;
}

static enum mbj_rc destroy_read(struct set_parse *parse,
				struct jmap_index *seen, struct mbj_bytes slice,
				struct mbj_error *err)
{
	struct mbj_bytes text;
	struct set_item *item = NULL;
	json_t *value = NULL;
	uint32_t number;
	enum mbj_rc rc;

	rc = json_piece_load(parse->text, slice, &value, err);
	if (rc < 0)
		return rc;
	if (!json_is_string(value)) {
		rc = arguments_refuse("destroy", err, "must be a list of ids");
		goto out;
	}
	text = json_bytes(value);
	/* Twice is once: the list is a set (RFC 8620 section 5.3). */
	if (jmap_index_find(seen, text, &number))
		goto out;
	rc = jmap_index_add(seen, text, err);
	if (rc == MBJ_OK)
		rc = item_new(parse->set, MBJ_CHANGE_DESTROY, text, &item, err);
	if (rc < 0)
		goto out;
	MBJ_ASSERT(item != NULL);
	rc = item_read_id(parse->set, item, err);
out:
	json_decref(value);
	return rc;
}

static enum mbj_rc destroys_read(struct set_parse *parse, struct mbj_error *err)
{
	struct jmap_index seen = {.count = 0};
	struct json_walk walk;
	struct json_piece piece;
	enum mbj_rc rc;

	if (parse->destroy.p == NULL)
		return MBJ_OK;
	rc = jmap_index_init(&seen, parse->sys, err);
	if (rc == MBJ_OK)
		rc = json_walk_begin(&walk, parse->text, parse->destroy, NULL,
				     "destroy", err);
	while (rc == MBJ_OK) {
		rc = json_walk_next(&walk, &piece, err);
		if (rc == MBJ_OK)
			rc = destroy_read(parse, &seen, piece.value, err);
	}
	jmap_index_done(&seen);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* ----------------------------------------------------------- arguments */

static enum mbj_rc state_read(struct mbj_jmap_set *set, const json_t *value,
			      struct mbj_error *err)
{
	struct mbj_bytes text;
	char shown[64];
	uint64_t lsn = 0;
	bool is_number;

	if (json_is_null(value))
		return MBJ_OK;
	if (!json_is_string(value))
		return arguments_refuse("ifInState", err,
					"must be a string or null");
	text = json_bytes(value);
	/* Our states are LSNs in decimal; no other text was ever one. */
	is_number = text.n > 0 && (text.n == 1 || text.p[0] != '0');
	for (size_t i = 0; i < text.n && is_number; i++) {
		uint64_t digit = (uint64_t)text.p[i] - '0';

		is_number = digit <= 9 && lsn <= (UINT64_MAX - digit) / 10;
		lsn = lsn * 10 + digit;
	}
	if (!is_number) {
		(void)mbj_text_escape(shown, sizeof(shown), text);
		return mbj_error_refuse(err, MBJ_REFUSAL_STATE_MISMATCH,
					"ifInState", shown,
					"ifInState \"%s\" was never a state "
					"of this account; fetch it again",
					shown);
	}
	set->has_if_in_state = true;
	set->if_in_state.v = lsn;
	return MBJ_OK;
}

static enum mbj_rc account_read(struct mbj_jmap_set *set, const json_t *value,
				struct mbj_error *err)
{
	if (json_is_null(value))
		return MBJ_OK;
	if (!json_is_string(value) || json_string_length(value) == 0)
		return arguments_refuse("accountId", err,
					"must be an id or null");
	if (!mbj_arena_dup(set->arena, json_bytes(value), &set->account))
		return mbj_error_nomem(err);
	return MBJ_OK;
}

static enum mbj_rc argument_refuse_unknown(struct mbj_bytes key,
					   struct mbj_error *err)
{
	char shown[64];

	(void)mbj_text_escape(shown, sizeof(shown), key);
	return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_ARGUMENTS, "property",
				shown,
				"Mailbox/set has no argument \"%s\"; it has "
				"accountId, ifInState, create, update, "
				"destroy, onDestroyRemoveEmails",
				shown);
}

/* An argument that is small: parsed at once. */
static enum mbj_rc argument_read(struct set_parse *parse,
				 const struct json_piece *piece,
				 struct mbj_error *err)
{
	struct mbj_bytes key = piece->key;
	json_t *value = NULL;
	enum mbj_rc rc;

	rc = json_piece_load(parse->text, piece->value, &value, err);
	if (rc < 0)
		return rc;
	if (mbj_bytes_equal(key, mbj_bytes_str("accountId")))
		rc = account_read(parse->set, value, err);
	else if (mbj_bytes_equal(key, mbj_bytes_str("ifInState")))
		rc = state_read(parse->set, value, err);
	else if (!mbj_bytes_equal(key, mbj_bytes_str("onDestroyRemoveEmails")))
		rc = argument_refuse_unknown(key, err);
	else if (!json_is_boolean(value) && !json_is_null(value))
		rc = arguments_refuse("onDestroyRemoveEmails", err,
				      "must be true or false");
	else
		parse->set->is_emptying = json_is_true(value);
	json_decref(value);
	return rc;
}

/* Remember where the large ones are; null is the same as none. */
static bool argument_keep(struct set_parse *parse,
			  const struct json_piece *piece)
{
	bool is_null = mbj_bytes_equal(piece->value, mbj_bytes_str("null"));
	struct mbj_bytes slice = is_null ? no_text : piece->value;

	if (mbj_bytes_equal(piece->key, mbj_bytes_str("create")))
		parse->create = slice;
	else if (mbj_bytes_equal(piece->key, mbj_bytes_str("update")))
		parse->update = slice;
	else if (mbj_bytes_equal(piece->key, mbj_bytes_str("destroy")))
		parse->destroy = slice;
	else
		return false;
	return true;
}

static enum mbj_rc arguments_read(struct set_parse *parse, size_t input_max,
				  struct jmap_index *keys,
				  struct mbj_error *err)
{
	struct mbj_bytes slice;
	struct json_walk walk;
	struct json_piece piece;
	enum mbj_rc rc;

	rc = json_document(parse->text, input_max, &slice, err);
	if (rc == MBJ_OK)
		rc = json_walk_begin(&walk, parse->text, slice, keys,
				     "the document", err);
	while (rc == MBJ_OK) {
		rc = json_walk_next(&walk, &piece, err);
		if (rc == MBJ_OK && !argument_keep(parse, &piece))
			rc = argument_read(parse, &piece, err);
	}
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* The items that stand, as the edit takes them. */
static enum mbj_rc changes_make(struct mbj_jmap_set *set, struct mbj_error *err)
{
	set->changes = mbj_calloc(set->count, sizeof(*set->changes));
	if (set->changes == NULL)
		return mbj_error_nomem(err);
	for (uint32_t i = 0; i < set->count; i++) {
		struct set_item *item = &set->items[i];
		uint32_t create = item->create_item;

		if (item->refusal != MBJ_REFUSAL_NONE) {
			set->refused_count++;
		} else if (create == SET_NONE) {
			item->change_index = set->change_count;
			set->changes[set->change_count++] = item->change;
		} else {
			item->change_index = set->items[create].change_index;
			set_item_fold(&set->changes[item->change_index],
				      &item->change);
		}
	}
	return MBJ_OK;
}

static enum mbj_rc set_read(struct set_parse *parse, size_t input_max,
			    struct jmap_index *keys, struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = jmap_index_init(keys, parse->sys, err);
	if (rc == MBJ_OK)
		rc = jmap_index_init(&parse->set->creates, parse->sys, err);
	if (rc == MBJ_OK)
		rc = mbj_arena_new(SET_TEXTS_MAX, &parse->set->arena, err);
	if (rc == MBJ_OK)
		rc = arguments_read(parse, input_max, keys, err);
	if (rc == MBJ_OK)
		rc = creates_read(parse, err);
	if (rc == MBJ_OK)
		rc = updates_read(parse, err);
	if (rc == MBJ_OK)
		rc = destroys_read(parse, err);
	if (rc == MBJ_OK)
		rc = changes_make(parse->set, err);
	return rc;
}

enum mbj_rc mbj_jmap_set_parse(struct mbj_bytes json, size_t input_max,
			       const struct mbj_sys *sys,
			       struct mbj_jmap_set **ret_set,
			       struct mbj_error *err)
{
	struct set_parse parse = {.text = json, .sys = sys};
	struct jmap_index keys = {.count = 0};
	enum mbj_rc rc;

	MBJ_ASSERT(sys != NULL && ret_set != NULL);
	MBJ_ASSERT(input_max > 0);
	parse.set = mbj_calloc(1, sizeof(*parse.set));
	if (parse.set == NULL)
		return mbj_error_nomem(err);
	rc = set_read(&parse, input_max, &keys, err);
	jmap_index_done(&keys);
	if (rc < 0)
		mbj_jmap_set_free(&parse.set);
	else
		*ret_set = parse.set;
	return rc;
}

void mbj_jmap_set_free(struct mbj_jmap_set **set)
{
	if (set == NULL || *set == NULL)
		return;
	jmap_index_done(&(*set)->creates);
	mbj_arena_free(&(*set)->arena);
	mbj_free((*set)->items);
	mbj_free((*set)->changes);
	mbj_free(*set);
	*set = NULL;
}

enum mbj_rc mbj_jmap_set_account_check(const struct mbj_jmap_set *set,
				       struct mbj_bytes name, struct mbj_id id,
				       struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE], given[64], shown[64];

	MBJ_ASSERT(set != NULL);
	mbj_id_print(id, text);
	if (set->account.p == NULL || mbj_bytes_equal(set->account, name) ||
	    mbj_bytes_equal(set->account, mbj_bytes_str(text)))
		return MBJ_OK;
	(void)mbj_text_escape(given, sizeof(given), set->account);
	(void)mbj_text_escape(shown, sizeof(shown), name);
	return mbj_error_refuse(err, MBJ_REFUSAL_ACCOUNT_NOT_FOUND, "accountId",
				given,
				"the request is for account \"%s\", not for "
				"\"%s\"",
				given, shown);
}

void mbj_jmap_set_fill(const struct mbj_jmap_set *set, struct mbj_edit *edit)
{
	MBJ_ASSERT(set != NULL && edit != NULL);
	MBJ_ASSERT(set->change_count <= set->count);
	edit->kind = MBJ_EDIT_SET;
	edit->changes = set->changes;
	edit->change_count = set->change_count;
	edit->has_if_in_state = set->has_if_in_state;
	edit->if_in_state = set->if_in_state;
	edit->is_emptying = set->is_emptying;
}
