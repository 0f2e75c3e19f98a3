/*
 * The tree's storage and what can be asked of it: nodes in one array, found
 * by id and by slot through two hash tables of indexes.  Changes are in
 * tree_change.c, bulk loading in tree_settle.c, the checks in tree_check.c,
 * the order of a listing in tree_order.c.
 *
 * No walk here recurses, and each ends: a walk up counts its steps and gives
 * up after as many as there are nodes, because loose nodes may form cycles.
 *
 * Invariants: see mbj/tree.h and tree_impl.h.
 * Threads: one at a time; concurrent readers are fine.
 */
#include "tree_impl.h"

/* The names of all nodes at their longest. */
#define TREE_NAMES_SIZE_MAX \
	((size_t)TREE_NODES_MAX * (MBJ_NAME_MAX + MBJ_KEY_MAX))

enum mbj_rc mbj_tree_new(uint64_t seed, struct mbj_tree **ret_tree,
			 struct mbj_error *err)
{
	struct mbj_tree *tree;
	enum mbj_rc rc;

	MBJ_ASSERT(ret_tree != NULL);
	tree = mbj_calloc(1, sizeof(*tree));
	if (tree == NULL)
		return mbj_error_nomem(err);
	rc = mbj_arena_new(TREE_NAMES_SIZE_MAX, &tree->arena, err);
	if (rc < 0) {
		mbj_free(tree);
		return rc;
	}
	mbj_table_init(&tree->by_id);
	mbj_table_init(&tree->by_slot);
	tree->live_max = MBJ_ACCOUNT_MAILBOXES_MAX;
	tree->depth_max = MBJ_DEPTH_MAX;
	tree->seed = seed;
	tree->id_key[0] = tree_mix(seed + TREE_ODD_1);
	tree->id_key[1] = tree_mix(seed + TREE_ODD_2);
	tree->name_key.k0 = tree_mix(seed ^ TREE_ODD_1);
	tree->name_key.k1 = tree_mix(seed ^ TREE_ODD_2);
	*ret_tree = tree;
	return MBJ_OK;
}

void mbj_tree_free(struct mbj_tree **tree)
{
	if (tree == NULL || *tree == NULL)
		return;
	mbj_table_done(&(*tree)->by_id);
	mbj_table_done(&(*tree)->by_slot);
	mbj_arena_free(&(*tree)->arena);
	mbj_free((*tree)->links);
	mbj_free((*tree)->nodes);
	mbj_free(*tree);
	*tree = NULL;
}

void mbj_tree_accept(struct mbj_tree *tree)
{
	MBJ_ASSERT(tree != NULL);
	tree->is_accepted = true;
}

static enum mbj_rc tree_reserve_arrays(struct mbj_tree *tree, size_t count,
				       struct mbj_error *err)
{
	struct mbj_node *nodes;
	struct tree_link *links;

	/* Exact, unlike doubling: the caller knows how many will come. */
	if (count > tree->nodes_capacity) {
		nodes = mbj_realloc_array(tree->nodes, count, sizeof(*nodes));
		if (nodes == NULL)
			return mbj_error_nomem(err);
		tree->nodes = nodes;
		tree->nodes_capacity = count;
	}
	if (count > tree->links_capacity) {
		links = mbj_realloc_array(tree->links, count, sizeof(*links));
		if (links == NULL)
			return mbj_error_nomem(err);
		tree->links = links;
		tree->links_capacity = count;
	}
	return MBJ_OK;
}

enum mbj_rc mbj_tree_reserve(struct mbj_tree *tree, size_t count,
			     struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(tree != NULL);
	if (count > TREE_NODES_MAX - tree->size)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "%zu more mailboxes are over the limit "
				     "of %d for one tree",
				     count, (int)TREE_NODES_MAX);
	rc = tree_reserve_arrays(tree, tree->size + count, err);
	if (rc < 0)
		return rc;
	rc = mbj_table_reserve(&tree->by_id, tree->live_count + count, err);
	if (rc < 0)
		return rc;
	return mbj_table_reserve(&tree->by_slot, tree->live_count + count, err);
}

/* The same places in a table of the same size: no hash is computed again. */
static enum mbj_rc table_dup(const struct mbj_table *table,
			     struct mbj_table *ret_copy, struct mbj_error *err)
{
	struct mbj_table copy = *table;

	if (table->capacity == 0) {
		mbj_table_init(ret_copy);
		return MBJ_OK;
	}
	MBJ_ASSERT(table->slots != NULL);
	MBJ_ASSERT(table->used <= table->capacity);
	copy.slots = mbj_alloc(table->capacity * sizeof(*copy.slots));
	if (copy.slots == NULL)
		return mbj_error_nomem(err);
	memcpy(copy.slots, table->slots, table->capacity * sizeof(*copy.slots));
	*ret_copy = copy;
	return MBJ_OK;
}

/* Node by node, names of dead nodes dropped; the copies lie in sequence. */
static enum mbj_rc tree_dup_nodes(const struct mbj_tree *tree,
				  struct mbj_tree *copy, struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = tree_reserve_arrays(copy, tree->size, err);
	if (rc < 0 || tree->size == 0)
		return rc;
	memcpy(copy->nodes, tree->nodes, tree->size * sizeof(*copy->nodes));
	memcpy(copy->links, tree->links, tree->size * sizeof(*copy->links));
	for (uint32_t i = 0; i < tree->size; i++) {
		struct mbj_node *node = &copy->nodes[i];

		if (!node->is_live) {
			node->name = (struct mbj_name){{NULL, 0}, {NULL, 0}};
			continue;
		}
		rc = tree_copy_name(copy, &tree->nodes[i].name, &node->name,
				    err);
		if (rc < 0)
			return rc;
	}
	return MBJ_OK;
}

enum mbj_rc mbj_tree_dup(const struct mbj_tree *tree,
			 struct mbj_tree **ret_tree, struct mbj_error *err)
{
	struct mbj_tree *copy = NULL;
	enum mbj_rc rc;

	MBJ_ASSERT(tree != NULL && ret_tree != NULL);
	rc = mbj_tree_new(tree->seed, &copy, err);
	if (rc < 0)
		return rc;
	rc = tree_dup_nodes(tree, copy, err);
	if (rc < 0)
		goto out;
	rc = table_dup(&tree->by_id, &copy->by_id, err);
	if (rc < 0)
		goto out;
	rc = table_dup(&tree->by_slot, &copy->by_slot, err);
	if (rc < 0)
		goto out;
	copy->size = tree->size;
	copy->live_count = tree->live_count;
	copy->loose_count = tree->loose_count;
	copy->live_max = tree->live_max;
	copy->depth_max = tree->depth_max;
	copy->is_accepted = tree->is_accepted;
	*ret_tree = copy;
	copy = NULL;
out:
	mbj_tree_free(&copy);
	return rc;
}

uint32_t mbj_tree_size(const struct mbj_tree *tree)
{
	MBJ_ASSERT(tree != NULL);
	return tree->size;
}

uint32_t mbj_tree_live_count(const struct mbj_tree *tree)
{
	MBJ_ASSERT(tree != NULL);
	MBJ_ASSERT(tree->live_count <= tree->size);
	return tree->live_count;
}

const struct mbj_node *mbj_tree_get(const struct mbj_tree *tree, uint32_t index)
{
	MBJ_ASSERT(tree != NULL);
	MBJ_ASSERT(index < tree->size);
	return &tree->nodes[index];
}

struct mbj_node *mbj_tree_edit(struct mbj_tree *tree, uint32_t index)
{
	MBJ_ASSERT(tree != NULL);
	MBJ_ASSERT(tree_is_live(tree, index));
	return &tree->nodes[index];
}

uint32_t mbj_tree_find(const struct mbj_tree *tree, struct mbj_id id)
{
	uint64_t hash;
	uint32_t at, index;

	MBJ_ASSERT(tree != NULL);
	if (tree->live_count == 0)
		return MBJ_NODE_NONE;
	hash = tree_hash_id(tree, &id);
	at = mbj_table_seek(&tree->by_id, hash);
	while (mbj_table_next(&tree->by_id, hash, &at, &index)) {
		MBJ_ASSERT(index < tree->size);
		if (mbj_id_equal(tree->nodes[index].id, id))
			return index;
	}
	return MBJ_NODE_NONE;
}

uint32_t tree_seek_slot(const struct mbj_tree *tree, uint32_t parent,
			struct mbj_bytes key, uint64_t key_hash)
{
	uint64_t hash = tree_hash_slot(parent, key_hash);
	uint32_t at, index;

	if (tree->live_count == tree->loose_count)
		return MBJ_NODE_NONE;
	at = mbj_table_seek(&tree->by_slot, hash);
	while (mbj_table_next(&tree->by_slot, hash, &at, &index)) {
		MBJ_ASSERT(index < tree->size);
		if (tree->nodes[index].parent == parent &&
		    mbj_bytes_equal(tree->nodes[index].name.key, key))
			return index;
	}
	return MBJ_NODE_NONE;
}

uint32_t mbj_tree_find_slot(const struct mbj_tree *tree, uint32_t parent,
			    struct mbj_bytes key)
{
	MBJ_ASSERT(tree != NULL);
	MBJ_ASSERT(key.p != NULL || key.n == 0);
	return tree_seek_slot(tree, parent, key, tree_hash_key(tree, key));
}

uint32_t mbj_tree_child_count(const struct mbj_tree *tree, uint32_t index)
{
	MBJ_ASSERT(tree != NULL);
	MBJ_ASSERT(index < tree->size);
	return tree->links[index].child_count;
}

bool mbj_tree_is_ancestor(const struct mbj_tree *tree, uint32_t index,
			  uint32_t below)
{
	MBJ_ASSERT(tree != NULL);
	MBJ_ASSERT(index < tree->size);
	for (uint32_t steps = 0; below < tree->size; steps++) {
		/* More steps than nodes: a cycle; nothing may go into it. */
		if (below == index || steps > tree->size)
			return true;
		below = tree->nodes[below].parent;
	}
	return false;
}

uint32_t mbj_tree_depth(const struct mbj_tree *tree, uint32_t index)
{
	uint32_t depth = 0;

	MBJ_ASSERT(tree != NULL);
	MBJ_ASSERT(index < tree->size);
	while (index < tree->size && depth <= MBJ_DEPTH_MAX) {
		depth++;
		index = tree->nodes[index].parent;
	}
	return depth;
}

void mbj_tree_path(const struct mbj_tree *tree, uint32_t index, char delimiter,
		   struct mbj_buf *ret_path)
{
	size_t total = 0, begin, at;
	uint32_t steps = 0;

	MBJ_ASSERT(tree != NULL && ret_path != NULL);
	MBJ_ASSERT(index < tree->size);
	/* A path through loose nodes may never end: it then fills the buffer.
	 */
	for (uint32_t i = index; i < tree->size && steps <= tree->size;
	     i = tree->nodes[i].parent, steps++)
		total += tree->nodes[i].name.stored.n + (steps > 0);
	begin = ret_path->n;
	mbj_buf_put_zero(ret_path, total);
	if (ret_path->failed != MBJ_OK)
		return;
	/* From the bottom up, so from the end to the front. */
	at = begin + total;
	for (uint32_t i = index; steps > 0; i = tree->nodes[i].parent) {
		struct mbj_bytes name = tree->nodes[i].name.stored;

		steps--;
		at -= name.n;
		if (name.n > 0)
			memcpy(ret_path->p + at, name.p, name.n);
		if (steps > 0)
			ret_path->p[--at] = (uint8_t)delimiter;
	}
	MBJ_ASSERT(at == begin);
}

struct mbj_arena *mbj_tree_arena(struct mbj_tree *tree)
{
	MBJ_ASSERT(tree != NULL);
	return tree->arena;
}
