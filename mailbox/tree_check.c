/*
 * The invariants of a tree, executable, and the depths of all its nodes.
 *
 * The check trusts nothing that the tree computed: hashes, counts and walks
 * are done again from the nodes alone.  It is for tests, for fsck and for
 * whoever has just built a tree from outside; O(n), no recursion.
 *
 * Threads: a reader.
 */
#include "tree_impl.h"

/* Mark of a node on the walk in progress; no depth is as large. */
#define DEPTH_OPEN UINT32_MAX

static uint32_t cycle_lowest(const struct mbj_tree *tree, uint32_t index)
{
	uint32_t lowest = index;

	for (uint32_t i = tree->nodes[index].parent; i != index;
	     i = tree->nodes[i].parent) {
		if (i < lowest)
			lowest = i;
	}
	return lowest;
}

/* One walk up to something known, then down again with the depths. */
static bool depths_walk(const struct mbj_tree *tree, uint32_t *depths,
			uint32_t index, uint32_t *ret_bad)
{
	uint32_t at = index, last = index, steps = 0, base = 0;

	while (tree_is_live(tree, at) && depths[at] == 0) {
		depths[at] = DEPTH_OPEN;
		last = at;
		at = tree->nodes[at].parent;
		steps++;
	}
	if (!tree_is_parent(tree, at)) {
		*ret_bad = last;
		return false;
	}
	if (at < tree->size && depths[at] == DEPTH_OPEN) {
		*ret_bad = cycle_lowest(tree, at);
		return false;
	}
	if (at < tree->size)
		base = depths[at];
	for (at = index; steps > 0; steps--) {
		depths[at] = base + steps;
		at = tree->nodes[at].parent;
	}
	return true;
}

bool tree_depths(const struct mbj_tree *tree, uint32_t *depths,
		 uint32_t *ret_bad)
{
	MBJ_ASSERT(depths != NULL || tree->size == 0);
	MBJ_ASSERT(ret_bad != NULL);
	for (uint32_t i = 0; i < tree->size; i++) {
		if (!tree->nodes[i].is_live || depths[i] != 0)
			continue;
		if (!depths_walk(tree, depths, i, ret_bad))
			return false;
	}
	return true;
}

static enum mbj_rc check_failed(const struct mbj_tree *tree, uint32_t index,
				const char *what, struct mbj_error *err)
{
	char id[MBJ_ID_TEXT_SIZE];

	mbj_id_print(tree->nodes[index].id, id);
	return mbj_error_set(err, MBJ_ECORRUPT, "tree: mailbox %s %s", id,
			     what);
}

static enum mbj_rc check_node(const struct mbj_tree *tree, uint32_t index,
			      struct mbj_error *err)
{
	const struct mbj_node *node = &tree->nodes[index];
	const struct tree_link *link = &tree->links[index];
	uint32_t found;

	if (mbj_id_is_reserved(node->id))
		return check_failed(tree, index, "has a reserved id", err);
	if (!mbj_name_is_safe(node->name.stored, node->name.key))
		return check_failed(tree, index, "has an unsafe name", err);
	if (mbj_tree_find(tree, node->id) != index)
		return check_failed(tree, index, "is not found by its id", err);
	if (link->key_hash != tree_hash_key(tree, node->name.key))
		return check_failed(tree, index, "has a stale name hash", err);
	found = mbj_tree_find_slot(tree, node->parent, node->name.key);
	if (!link->is_loose && found != index)
		return check_failed(tree, index, "is not found by its slot",
				    err);
	return MBJ_OK;
}

/* counts[i]: children of i, counted again. */
static enum mbj_rc check_nodes(const struct mbj_tree *tree, uint32_t *counts,
			       struct mbj_error *err)
{
	uint32_t live = 0, loose = 0;
	enum mbj_rc rc;

	for (uint32_t i = 0; i < tree->size; i++) {
		if (!tree->nodes[i].is_live)
			continue;
		rc = check_node(tree, i, err);
		if (rc < 0)
			return rc;
		live++;
		if (tree->links[i].is_loose)
			loose++;
		else if (tree->nodes[i].parent < tree->size)
			counts[tree->nodes[i].parent]++;
	}
	if (live != tree->live_count || loose != tree->loose_count)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "tree: the count of mailboxes is wrong");
	if (tree->by_id.count != live || tree->by_slot.count != live - loose)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "tree: an index holds a dead mailbox");
	for (uint32_t i = 0; i < tree->size; i++) {
		if (counts[i] != tree->links[i].child_count)
			return check_failed(tree, i,
					    "has a wrong count of children",
					    err);
	}
	return MBJ_OK;
}

enum mbj_rc mbj_tree_check(const struct mbj_tree *tree, struct mbj_error *err)
{
	uint32_t *scratch, bad;
	enum mbj_rc rc;

	MBJ_ASSERT(tree != NULL);
	scratch = mbj_calloc(tree->size, sizeof(*scratch));
	if (scratch == NULL)
		return mbj_error_nomem(err);
	if (!tree_depths(tree, scratch, &bad)) {
		rc = check_failed(tree, bad,
				  tree_is_parent(tree, tree->nodes[bad].parent)
					  ? "lies below itself"
					  : "has a parent that is not there",
				  err);
		goto out;
	}
	memset(scratch, 0, tree->size * sizeof(*scratch));
	rc = check_nodes(tree, scratch, err);
out:
	mbj_free(scratch);
	return rc;
}
