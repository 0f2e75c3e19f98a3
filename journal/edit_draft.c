/*
 * The wanted tree as a list of items, sorted and turned into a tree.  Pure.
 *
 * Invariants:
 *   1. item i < before_count is mailbox i of the tree before, for ever;
 *   2. after edit_draft_sort, order holds each live item once, its parent
 *      before it.
 *
 * Threads: one at a time.
 */
#include "edit_draft.h"

#include <mbj/check.h>

#include "edit_text.h"

/* Depth of an item that the walk up is passing through just now. */
#define DEPTH_OPEN ((uint32_t)0xffffffffu)

enum { ITEMS_MAX = 2 * MBJ_ACCOUNT_MAILBOXES_MAX };

enum mbj_rc edit_draft_init(struct edit_draft *draft,
			    const struct mbj_tree *before,
			    struct mbj_error *err)
{
	uint32_t count = mbj_tree_size(before);
	enum mbj_rc rc;

	MBJ_ASSERT(draft != NULL);
	MBJ_ASSERT(mbj_tree_live_count(before) == count);
	*draft = (struct edit_draft){.before = before};
	rc = mbj_array_reserve((void **)&draft->items, &draft->capacity,
			       (size_t)count + 1, sizeof(*draft->items),
			       (size_t)ITEMS_MAX + 1, err);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < count; i++) {
		const struct mbj_node *node = mbj_tree_get(before, i);

		draft->items[i] = (struct edit_item){
			.id = node->id,
			.name = node->name,
			.parent = node->parent,
			.change = MBJ_NODE_NONE,
			.uidvalidity = node->uidvalidity,
			.role = node->role,
			.is_selectable = node->is_selectable,
			.is_live = true,
		};
	}
	draft->count = count;
	draft->before_count = count;
	return MBJ_OK;
}

void edit_draft_done(struct edit_draft *draft)
{
	mbj_free(draft->items);
	mbj_free(draft->order);
	mbj_free(draft->depth);
	mbj_free(draft->length);
	*draft = (struct edit_draft){0};
}

enum mbj_rc edit_draft_create(struct edit_draft *draft, struct mbj_id id,
			      uint32_t parent, const struct mbj_name *name,
			      uint32_t change, uint32_t *ret_item,
			      struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(!mbj_id_is_reserved(id));
	rc = mbj_array_reserve((void **)&draft->items, &draft->capacity,
			       (size_t)draft->count + 1, sizeof(*draft->items),
			       (size_t)ITEMS_MAX + 1, err);
	if (rc < 0)
		return rc;
	draft->items[draft->count] = (struct edit_item){
		.id = id,
		.name = *name,
		.parent = parent,
		.change = change,
		.is_selectable = true,
		.is_live = true,
	};
	*ret_item = draft->count++;
	return MBJ_OK;
}

bool edit_draft_is_inbox(const struct edit_draft *draft, uint32_t item)
{
	return draft->items[item].parent == MBJ_NODE_ROOT &&
	       mbj_name_is_inbox(draft->items[item].name.key);
}

bool edit_draft_is_placed(const struct edit_draft *draft, uint32_t item)
{
	const struct edit_item *wanted = &draft->items[item];
	const struct mbj_node *node;

	MBJ_ASSERT(item < draft->count);
	if (item >= draft->before_count)
		return true;
	node = mbj_tree_get(draft->before, item);
	return node->parent != wanted->parent ||
	       !mbj_bytes_equal(node->name.key, wanted->name.key) ||
	       !mbj_bytes_equal(node->name.stored, wanted->name.stored);
}

static enum mbj_rc sort_reserve(struct edit_draft *draft, struct mbj_error *err)
{
	size_t count = (size_t)draft->count + 1;
	uint32_t **arrays[] = {&draft->order, &draft->depth, &draft->length};

	if (count <= draft->sorted_capacity)
		return MBJ_OK;
	draft->sorted_capacity = 0;
	for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++) {
		mbj_free(*arrays[i]);
		*arrays[i] = mbj_calloc(count, sizeof(**arrays[i]));
		if (*arrays[i] == NULL)
			return mbj_error_nomem(err);
	}
	draft->sorted_capacity = count;
	return MBJ_OK;
}

/* Give every item collected in path, lowest first, its place in the order. */
static void sort_place(struct edit_draft *draft, uint32_t above,
		       const uint32_t *path, uint32_t count)
{
	uint32_t depth = 0, length = 0;

	if (above != MBJ_NODE_ROOT) {
		depth = draft->depth[above];
		length = draft->length[above] + 1;
	}
	while (count > 0) {
		uint32_t item = path[--count];

		MBJ_ASSERT(draft->depth[item] == DEPTH_OPEN);
		length += (uint32_t)draft->items[item].name.stored.n;
		draft->depth[item] = ++depth;
		draft->length[item] = length++;
		draft->order[draft->order_count++] = item;
	}
}

enum mbj_rc edit_draft_sort(struct edit_draft *draft, uint32_t *ret_cycle,
			    struct mbj_error *err)
{
	uint32_t *path;
	enum mbj_rc rc;

	rc = sort_reserve(draft, err);
	if (rc < 0)
		return rc;
	path = mbj_calloc((size_t)draft->count + 1, sizeof(*path));
	if (path == NULL)
		return mbj_error_nomem(err);
	memset(draft->depth, 0, draft->count * sizeof(*draft->depth));
	draft->order_count = 0;
	*ret_cycle = MBJ_NODE_NONE;
	for (uint32_t i = 0; i < draft->count; i++) {
		uint32_t at = i, count = 0;

		if (!draft->items[i].is_live)
			continue;
		while (at != MBJ_NODE_ROOT && draft->depth[at] == 0) {
			MBJ_ASSERT(draft->items[at].is_live);
			draft->depth[at] = DEPTH_OPEN;
			path[count++] = at;
			at = draft->items[at].parent;
			MBJ_ASSERT(at == MBJ_NODE_ROOT || at < draft->count);
		}
		if (at != MBJ_NODE_ROOT && draft->depth[at] == DEPTH_OPEN) {
			*ret_cycle = at;
			break;
		}
		sort_place(draft, at, path, count);
	}
	mbj_free(path);
	return MBJ_OK;
}

enum edit_excess edit_draft_excess(const struct edit_draft *draft,
				   uint32_t item)
{
	MBJ_ASSERT(item < draft->count);
	MBJ_ASSERT(draft->depth[item] > 0);
	if (draft->depth[item] > MBJ_DEPTH_MAX)
		return EDIT_EXCESS_DEPTH;
	if (draft->length[item] > MBJ_PATH_MAX)
		return EDIT_EXCESS_LENGTH;
	return EDIT_EXCESS_NONE;
}

static enum mbj_rc tree_refuse_slot(const struct edit_draft *draft,
				    uint32_t item, struct mbj_error *err)
{
	const struct edit_item *wanted = &draft->items[item];
	struct edit_text name, raw;
	char id[MBJ_ID_TEXT_SIZE];

	mbj_id_print(wanted->id, id);
	return mbj_error_refuse(err, MBJ_REFUSAL_ALREADY_EXISTS, "name",
				edit_text_raw(&raw, wanted->name.stored),
				"two mailboxes of one parent would be called "
				"\"%s\", the second is %s",
				edit_text_show(&name, wanted->name.stored), id);
}

enum mbj_rc edit_draft_tree(const struct edit_draft *draft, uint64_t seed,
			    struct mbj_tree **ret_tree, struct mbj_error *err)
{
	struct mbj_tree *tree = NULL;
	uint32_t *map, index;
	enum mbj_rc rc;

	map = mbj_calloc((size_t)draft->count + 1, sizeof(*map));
	if (map == NULL)
		return mbj_error_nomem(err);
	rc = mbj_tree_new(seed, &tree, err);
	if (rc < 0)
		goto out;
	rc = mbj_tree_reserve(tree, draft->order_count, err);
	for (uint32_t i = 0; rc == MBJ_OK && i < draft->order_count; i++) {
		const struct edit_item *item = &draft->items[draft->order[i]];
		struct mbj_node node = {
			.id = item->id,
			.parent = item->parent == MBJ_NODE_ROOT
					  ? MBJ_NODE_ROOT
					  : map[item->parent],
			.uidvalidity = item->uidvalidity,
			.name = item->name,
			.role = item->role,
			.is_selectable = item->is_selectable,
		};

		rc = mbj_tree_add(tree, &node, &index, err);
		if (rc == MBJ_EEXISTS)
			rc = tree_refuse_slot(draft, draft->order[i], err);
		if (rc == MBJ_OK)
			map[draft->order[i]] = index;
	}
	if (rc < 0)
		goto out;
	MBJ_ASSERT(mbj_tree_live_count(tree) == draft->order_count);
	*ret_tree = tree;
	tree = NULL;
out:
	mbj_tree_free(&tree);
	mbj_free(map);
	return rc;
}
