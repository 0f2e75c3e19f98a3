/*
 * Reading Mailbox/get lists: entries of any order become a settled tree and
 * the same as changes, or one refusal that names the entry and the property.
 *
 * What names may look like is mbj_name_make's to judge, whether the whole is
 * a tree mbj_tree_settle's; here is what only the document knows: its ids,
 * its types, its places.
 *
 * Invariants:
 *   1. entry i, change i and node i of the tree are the same mailbox;
 *   2. nothing in a finished list points into the document.
 *
 * Threads: one at a time per list.
 */
#include "jmap_list.h"

#include <inttypes.h>
#include <stdio.h>

#include <mbj/check.h>

#include "jmap_map.h"

#define LIST_TEXTS_MAX ((size_t)1 << 31)

enum { SCRATCH_MAX = 64 << 20 };

static const struct mbj_bytes no_text = {NULL, 0};

/* -------------------------------------------------------------- entries */

static enum mbj_rc list_reserve(struct mbj_jmap_list *list,
				struct mbj_error *err)
{
	enum mbj_rc rc;

	if (list->count == MBJ_ACCOUNT_MAILBOXES_MAX)
		return mbj_error_refuse(err, MBJ_REFUSAL_TOO_LARGE, "property",
					"list",
					"list has more than %d entries, the "
					"most mailboxes of one account",
					(int)MBJ_ACCOUNT_MAILBOXES_MAX);
	rc = mbj_array_reserve((void **)&list->entries, &list->entries_capacity,
			       (size_t)list->count + 1, sizeof(*list->entries),
			       MBJ_ACCOUNT_MAILBOXES_MAX, err);
	if (rc < 0)
		return rc;
	return mbj_array_reserve((void **)&list->changes,
				 &list->changes_capacity,
				 (size_t)list->count + 1,
				 sizeof(*list->changes),
				 MBJ_ACCOUNT_MAILBOXES_MAX, err);
}

static enum mbj_rc entry_add(struct mbj_jmap_list *list,
			     const struct list_entry *entry,
			     const struct mbj_change *change,
			     const struct mbj_name *name, struct mbj_error *err)
{
	struct mbj_node node = {
		.id = change->id,
		.parent = MBJ_NODE_ROOT, /* until all ids are known */
		.uidvalidity = change->uidvalidity,
		.name = *name,
		.role = change->role,
		.is_selectable = change->is_selectable,
		.is_subscribed = change->is_subscribed,
	};
	uint32_t index;
	enum mbj_rc rc;

	rc = mbj_tree_add_loose(list->tree, &node, &index, err);
	if (rc < 0)
		return rc;
	MBJ_ASSERT(index == list->count);
	list->entries[index] = *entry;
	list->changes[index] = *change;
	list->count++;
	return MBJ_OK;
}

static enum mbj_rc list_add(struct list_parse *parse, const json_t *object,
			    struct mbj_error *err)
{
	struct list_entry entry;
	struct mbj_change change;
	struct mbj_name name;
	enum mbj_rc rc;

	rc = list_entry_read(parse, object, &entry, &change, &name, err);
	if (rc < 0)
		return rc;
	return entry_add(parse->list, &entry, &change, &name, err);
}

static enum mbj_rc list_read(struct list_parse *parse, struct mbj_bytes slice,
			     struct mbj_error *err)
{
	struct json_walk walk;
	struct json_piece piece;
	json_t *value = NULL;
	enum mbj_rc rc;

	rc = json_walk_begin(&walk, parse->text, slice, NULL, "list", err);
	while (rc == MBJ_OK) {
		rc = json_walk_next(&walk, &piece, err);
		if (rc == MBJ_OK)
			rc = list_reserve(parse->list, err);
		if (rc == MBJ_OK)
			rc = json_piece_load(parse->text, piece.value, &value,
					     err);
		if (rc < 0)
			break;
		mbj_arena_reset(parse->scratch);
		if (json_is_object(value))
			rc = list_add(parse, value, err);
		else
			rc = list_entry_refuse_type(parse->list->count, no_text,
						    "it", "an object", value,
						    err);
		json_decref(value);
	}
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* ------------------------------------------------------------- document */

/* All members of the document, "list" among them. */
static enum mbj_rc document_read(struct list_parse *parse,
				 struct jmap_index *keys, struct mbj_error *err)
{
	struct mbj_bytes slice, list = no_text;
	struct json_walk walk;
	struct json_piece piece;
	json_t *ignored = NULL;
	enum mbj_rc rc;

	rc = json_document(parse->text, parse->options->input_max, &slice, err);
	if (rc == MBJ_OK)
		rc = json_walk_begin(&walk, parse->text, slice, keys,
				     "the document", err);
	while (rc == MBJ_OK) {
		rc = json_walk_next(&walk, &piece, err);
		if (rc < 0)
			break;
		if (mbj_bytes_equal(piece.key, mbj_bytes_str("list"))) {
			list = piece.value;
			continue;
		}
		rc = json_piece_load(parse->text, piece.value, &ignored, err);
		if (rc == MBJ_OK)
			json_decref(ignored);
	}
	if (rc != MBJ_ENOTFOUND)
		return rc;
	if (list.p == NULL)
		return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_ARGUMENTS,
					"property", "list",
					"the document has no \"list\"; a "
					"Mailbox/get list is {\"list\":"
					"[{\"id\",\"name\",\"parentId\"},"
					"...]}");
	return list_read(parse, list, err);
}

/* The node that a parentId means; MBJ_NODE_NONE where the list has none. */
static uint32_t parent_find(const struct list_parse *parse,
			    struct mbj_bytes text)
{
	struct mbj_id id;
	bool is_known = false;

	switch (parse->options->mode) {
	case MBJ_JMAP_IMPORT:
		is_known = mbj_id_parse(text, &id) ||
			   jmap_map_seek(parse->map, text, &id);
		break;
	case MBJ_JMAP_RECONCILE:
		is_known = mbj_id_parse(text, &id);
		break;
	case MBJ_JMAP_PLAN:
		is_known = jmap_map_seek(parse->map, text, &id);
		break;
	}
	return is_known ? mbj_tree_find(parse->list->tree, id) : MBJ_NODE_NONE;
}

static enum mbj_rc list_join(struct list_parse *parse, struct mbj_error *err)
{
	struct mbj_jmap_list *list = parse->list;

	for (uint32_t i = 0; i < list->count; i++) {
		const struct list_entry *entry = &list->entries[i];
		char shown[64];
		uint32_t parent;

		if (entry->parent.p == NULL)
			continue;
		parent = parent_find(parse, entry->parent);
		if (parent == MBJ_NODE_NONE) {
			(void)mbj_text_escape(shown, sizeof(shown),
					      entry->parent);
			return list_entry_refuse(
				i, entry->given, MBJ_REFUSAL_INVALID_PROPERTIES,
				err,
				"parentId \"%s\" is not in the "
				"list",
				shown);
		}
		mbj_tree_set_parent(list->tree, i, parent);
		list->changes[i].parent = mbj_tree_get(list->tree, parent)->id;
	}
	return MBJ_OK;
}

/* The tree speaks of MAILBOXIDs; the reader knows the document's ids. */
static enum mbj_rc settle_translate(const struct mbj_jmap_list *list,
				    enum mbj_rc rc, struct mbj_error *err)
{
	char place[LIST_PLACE_SIZE];
	struct mbj_id id;
	uint32_t index;

	if (err == NULL || err->subject_kind == NULL ||
	    strcmp(err->subject_kind, "id") != 0 ||
	    !mbj_id_parse(mbj_bytes_str(err->subject), &id))
		return rc;
	index = mbj_tree_find(list->tree, id);
	if (index == MBJ_NODE_NONE)
		return rc;
	list_place_print(index, list->entries[index].given, place);
	if (list->entries[index].given.p != NULL) {
		(void)mbj_text_escape(err->subject, sizeof(err->subject),
				      list->entries[index].given);
	} else {
		err->subject_kind = "entry";
		(void)snprintf(err->subject, sizeof(err->subject), "%" PRIu32,
			       index);
	}
	return mbj_error_prefix(err, rc, "%s", place);
}

/* Join, settle, and let the changes share the tree's names. */
static enum mbj_rc list_finish(struct list_parse *parse, struct mbj_error *err)
{
	struct mbj_jmap_list *list = parse->list;
	struct mbj_error why;
	enum mbj_rc rc;

	rc = list_join(parse, err);
	if (rc < 0)
		return rc;
	rc = mbj_tree_settle(list->tree, &why);
	if (rc < 0) {
		rc = settle_translate(list, rc, &why);
		if (err != NULL)
			*err = why;
		return rc;
	}
	for (uint32_t i = 0; i < list->count; i++)
		list->changes[i].name =
			mbj_tree_get(list->tree, i)->name.stored;
	return MBJ_OK;
}

/* What the list leaves out is as it was. */
static void list_complete(struct mbj_jmap_list *list,
			  const struct mbj_tree *base)
{
	for (uint32_t i = 0; i < list->count; i++) {
		unsigned has = list->changes[i].has;
		uint32_t at = mbj_tree_find(base, list->changes[i].id);
		const struct mbj_node *old;
		struct mbj_node *node;

		if (at == MBJ_NODE_NONE)
			continue;
		old = mbj_tree_get(base, at);
		node = mbj_tree_edit(list->tree, i);
		if (!(has & MBJ_CHANGE_HAS_ROLE))
			node->role = old->role;
		if (!(has & MBJ_CHANGE_HAS_SUBSCRIBED))
			node->is_subscribed = old->is_subscribed;
		if (!(has & MBJ_CHANGE_HAS_SELECTABLE))
			node->is_selectable = old->is_selectable;
		if (!(has & MBJ_CHANGE_HAS_UIDVALIDITY))
			node->uidvalidity = old->uidvalidity;
	}
}

/* An empty list with tables that nobody outside can aim at. */
static enum mbj_rc list_new(const struct mbj_jmap_list_options *options,
			    struct mbj_jmap_list **ret_list,
			    struct mbj_error *err)
{
	struct mbj_jmap_list *list;
	uint64_t seed;
	enum mbj_rc rc;

	list = mbj_calloc(1, sizeof(*list));
	if (list == NULL)
		return mbj_error_nomem(err);
	list->mode = options->mode;
	list->policy = options->policy;
	rc = jmap_random(options->sys, &seed, sizeof(seed), err);
	if (rc == MBJ_OK)
		rc = mbj_arena_new(LIST_TEXTS_MAX, &list->arena, err);
	if (rc == MBJ_OK)
		rc = mbj_tree_new(seed, &list->tree, err);
	if (rc < 0)
		mbj_jmap_list_free(&list);
	else
		*ret_list = list;
	return rc;
}

enum mbj_rc mbj_jmap_list_parse(struct mbj_bytes json,
				const struct mbj_jmap_list_options *options,
				struct mbj_jmap_map *map,
				struct mbj_jmap_list **ret_list,
				struct mbj_error *err)
{
	struct list_parse parse = {.text = json,
				   .options = options,
				   .map = map};
	struct jmap_index keys = {.count = 0};
	enum mbj_rc rc;

	MBJ_ASSERT(options != NULL && ret_list != NULL);
	MBJ_ASSERT(options->size == sizeof(*options));
	MBJ_ASSERT(map != NULL || options->mode == MBJ_JMAP_RECONCILE);
	rc = list_new(options, &parse.list, err);
	if (rc < 0)
		return rc;
	rc = mbj_arena_new(SCRATCH_MAX, &parse.scratch, err);
	if (rc < 0)
		goto out;
	rc = jmap_index_init(&keys, options->sys, err);
	if (rc < 0)
		goto out;
	rc = document_read(&parse, &keys, err);
	if (rc < 0)
		goto out;
	rc = list_finish(&parse, err);
	if (rc < 0)
		goto out;
	if (options->base != NULL)
		list_complete(parse.list, options->base);
	*ret_list = parse.list;
	parse.list = NULL;
out:
	jmap_index_done(&keys);
	mbj_arena_free(&parse.scratch);
	mbj_jmap_list_free(&parse.list);
	return rc;
}

void mbj_jmap_list_free(struct mbj_jmap_list **list)
{
	if (list == NULL || *list == NULL)
		return;
	mbj_tree_free(&(*list)->tree);
	mbj_arena_free(&(*list)->arena);
	mbj_free((*list)->entries);
	mbj_free((*list)->changes);
	mbj_free(*list);
	*list = NULL;
}

const struct mbj_tree *mbj_jmap_list_tree(const struct mbj_jmap_list *list)
{
	MBJ_ASSERT(list != NULL);
	MBJ_ASSERT(mbj_tree_size(list->tree) == list->count);
	return list->tree;
}

void mbj_jmap_list_fill(const struct mbj_jmap_list *list, struct mbj_edit *edit)
{
	MBJ_ASSERT(list != NULL && edit != NULL);
	MBJ_ASSERT(list->mode != MBJ_JMAP_PLAN);
	edit->kind = list->mode == MBJ_JMAP_IMPORT ? MBJ_EDIT_IMPORT
						   : MBJ_EDIT_RECONCILE;
	edit->changes = list->changes;
	edit->change_count = list->count;
	edit->policy = list->policy;
}
