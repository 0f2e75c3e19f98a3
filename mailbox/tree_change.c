/*
 * The changes of a tree: add, move, remove, one node each, with every
 * precondition that planning counts on.  A change that is refused, or for
 * which memory is missing, leaves the tree as it was.
 *
 * Not here: what makes a change legal beyond the tree's shape (INBOX, limits
 * of depth, revisions); that is for the layers above.
 *
 * Invariants kept: 1 to 4 of mbj/tree.h and those of tree_impl.h.
 * Threads: one at a time.
 */
#include "name_impl.h"
#include "tree_impl.h"

enum mbj_rc tree_copy_name(struct mbj_tree *tree, const struct mbj_name *name,
			   struct mbj_name *ret_name, struct mbj_error *err)
{
	struct mbj_name copy;

	MBJ_ASSERT(name->stored.p != NULL || name->stored.n == 0);
	MBJ_ASSERT(name->key.p != NULL || name->key.n == 0);
	if (!mbj_arena_dup(tree->arena, name->stored, &copy.stored))
		return mbj_error_nomem(err);
	if (mbj_bytes_equal(name->stored, name->key))
		copy.key = copy.stored;
	else if (!mbj_arena_dup(tree->arena, name->key, &copy.key))
		return mbj_error_nomem(err);
	*ret_name = copy;
	return MBJ_OK;
}

/* Children are counted where the parent is a node. */
static void tree_count_child(struct mbj_tree *tree, uint32_t parent,
			     bool is_added)
{
	struct tree_link *link;

	if (parent >= tree->size)
		return;
	link = &tree->links[parent];
	MBJ_ASSERT(is_added || link->child_count > 0);
	link->child_count =
		is_added ? link->child_count + 1 : link->child_count - 1;
}

static enum mbj_rc tree_refuse_taken(const struct mbj_tree *tree,
				     enum mbj_rc rc, uint32_t occupant,
				     struct mbj_error *err)
{
	const struct mbj_node *node = &tree->nodes[occupant];
	char id[MBJ_ID_TEXT_SIZE], name[NAME_QUOTE_SIZE];

	mbj_id_print(node->id, id);
	name_quote(node->name.stored, name);
	return mbj_error_set(err, rc,
			     "the slot is taken by mailbox %s, named %s", id,
			     name);
}

static enum mbj_rc tree_refuse_node(enum mbj_rc rc, struct mbj_id id,
				    const char *why, struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE];

	mbj_id_print(id, text);
	return mbj_error_set(err, rc, "mailbox %s %s", text, why);
}

/* What holds for a node that is added, wherever it goes. */
static enum mbj_rc tree_check_new(const struct mbj_tree *tree,
				  const struct mbj_node *node,
				  struct mbj_error *err)
{
	if (mbj_id_is_reserved(node->id))
		return tree_refuse_node(MBJ_EINVALID, node->id,
					"has a reserved id", err);
	if (!mbj_name_is_safe(node->name.stored, node->name.key))
		return tree_refuse_node(MBJ_EINVALID, node->id,
					"has an empty or overlong name, or "
					"one with a NUL",
					err);
	if (mbj_tree_find(tree, node->id) != MBJ_NODE_NONE)
		return tree_refuse_node(MBJ_EEXISTS, node->id,
					"is in the tree already", err);
	return MBJ_OK;
}

/* Append node as it is, found by id, in no slot yet. */
static enum mbj_rc tree_append(struct mbj_tree *tree,
			       const struct mbj_node *node, uint64_t key_hash,
			       struct mbj_error *err)
{
	struct mbj_node copy = *node;
	enum mbj_rc rc = MBJ_OK;

	if (tree->size >= tree->nodes_capacity)
		rc = mbj_array_reserve((void **)&tree->nodes,
				       &tree->nodes_capacity,
				       (size_t)tree->size + 1,
				       sizeof(*tree->nodes), TREE_NODES_MAX,
				       err);
	if (rc == MBJ_OK && tree->size >= tree->links_capacity)
		rc = mbj_array_reserve((void **)&tree->links,
				       &tree->links_capacity,
				       (size_t)tree->size + 1,
				       sizeof(*tree->links), TREE_NODES_MAX,
				       err);
	if (rc < 0)
		return rc;
	rc = tree_copy_name(tree, &node->name, &copy.name, err);
	if (rc < 0)
		return rc;
	rc = mbj_table_add(&tree->by_id, tree_hash_id(tree, &node->id),
			   tree->size, err);
	if (rc < 0)
		return rc;
	copy.is_live = true;
	tree->nodes[tree->size] = copy;
	tree->links[tree->size] = (struct tree_link){.key_hash = key_hash};
	return MBJ_OK;
}

enum mbj_rc mbj_tree_add(struct mbj_tree *tree, const struct mbj_node *node,
			 uint32_t *ret_index, struct mbj_error *err)
{
	uint32_t index, occupant;
	uint64_t hash;
	enum mbj_rc rc;

	MBJ_ASSERT(tree != NULL && node != NULL && ret_index != NULL);
	index = tree->size;
	rc = tree_check_new(tree, node, err);
	if (rc < 0)
		return rc;
	if (!tree_is_parent(tree, node->parent))
		return tree_refuse_node(MBJ_ECONFLICT, node->id,
					"would lie under a parent that is "
					"not there",
					err);
	hash = tree_hash_key(tree, node->name.key);
	occupant = tree_seek_slot(tree, node->parent, node->name.key, hash);
	if (occupant != MBJ_NODE_NONE)
		return tree_refuse_taken(tree, MBJ_EEXISTS, occupant, err);
	rc = tree_append(tree, node, hash, err);
	if (rc < 0)
		return rc;
	rc = mbj_table_add(&tree->by_slot, tree_hash_slot(node->parent, hash),
			   index, err);
	if (rc < 0) {
		(void)mbj_table_remove(&tree->by_id,
				       tree_hash_id(tree, &node->id), index);
		return rc;
	}
	tree->size++;
	tree->live_count++;
	tree_count_child(tree, node->parent, true);
	*ret_index = index;
	return MBJ_OK;
}

enum mbj_rc mbj_tree_add_loose(struct mbj_tree *tree,
			       const struct mbj_node *node, uint32_t *ret_index,
			       struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(tree != NULL && node != NULL && ret_index != NULL);
	rc = tree_check_new(tree, node, err);
	if (rc < 0)
		return rc;
	rc = tree_append(tree, node, tree_hash_key(tree, node->name.key), err);
	if (rc < 0)
		return rc;
	tree->links[tree->size].is_loose = true;
	*ret_index = tree->size++;
	tree->live_count++;
	tree->loose_count++;
	return MBJ_OK;
}

void mbj_tree_set_parent(struct mbj_tree *tree, uint32_t index, uint32_t parent)
{
	MBJ_ASSERT(tree != NULL);
	MBJ_ASSERT(tree_is_live(tree, index));
	MBJ_ASSERT(tree->links[index].is_loose);
	tree->nodes[index].parent = parent;
}

/* The preconditions of a move that do not depend on the name. */
static enum mbj_rc tree_check_target(const struct mbj_tree *tree,
				     uint32_t index, uint32_t parent,
				     struct mbj_error *err)
{
	struct mbj_id id = tree->nodes[index].id;

	if (!tree_is_parent(tree, parent))
		return tree_refuse_node(MBJ_ECONFLICT, id,
					"cannot go under a parent that is "
					"not there",
					err);
	if (parent == tree->nodes[index].parent || parent >= tree->size)
		return MBJ_OK;
	/* Nothing lies below a mailbox without children but itself. */
	if (tree->links[index].child_count == 0 && parent != index)
		return MBJ_OK;
	if (mbj_tree_is_ancestor(tree, index, parent))
		return tree_refuse_node(MBJ_ECONFLICT, id,
					"cannot go below itself", err);
	return MBJ_OK;
}

/*
 * Register index under its new slot, then drop the old one; the only step
 * that can fail comes first.
 */
static enum mbj_rc tree_reslot(struct mbj_tree *tree, uint32_t index,
			       uint32_t parent, uint64_t key_hash,
			       struct mbj_error *err)
{
	const struct mbj_node *node = &tree->nodes[index];
	uint64_t before =
		tree_hash_slot(node->parent, tree->links[index].key_hash);
	uint64_t after = tree_hash_slot(parent, key_hash);
	bool was_there;
	enum mbj_rc rc;

	if (before == after)
		return MBJ_OK;
	rc = mbj_table_add(&tree->by_slot, after, index, err);
	if (rc < 0)
		return rc;
	was_there = mbj_table_remove(&tree->by_slot, before, index);
	MBJ_ASSERT(was_there);
	return MBJ_OK;
}

enum mbj_rc mbj_tree_move(struct mbj_tree *tree, uint32_t index,
			  uint32_t parent, const struct mbj_name *name,
			  struct mbj_error *err)
{
	struct mbj_node *node;
	struct mbj_name copy;
	uint64_t key_hash;
	uint32_t occupant;
	enum mbj_rc rc;

	MBJ_ASSERT(tree != NULL && name != NULL);
	MBJ_ASSERT(tree_is_live(tree, index) && tree->loose_count == 0);
	node = &tree->nodes[index];
	if (!mbj_name_is_safe(name->stored, name->key))
		return tree_refuse_node(MBJ_EINVALID, node->id,
					"cannot take an empty or overlong "
					"name, or one with a NUL",
					err);
	rc = tree_check_target(tree, index, parent, err);
	if (rc < 0)
		return rc;
	key_hash = tree_hash_key(tree, name->key);
	occupant = tree_seek_slot(tree, parent, name->key, key_hash);
	if (occupant != MBJ_NODE_NONE && occupant != index)
		return tree_refuse_taken(tree, MBJ_ECONFLICT, occupant, err);
	copy = node->name;
	if (!tree_name_equal(&node->name, name)) {
		rc = tree_copy_name(tree, name, &copy, err);
		if (rc < 0)
			return rc;
	}
	rc = tree_reslot(tree, index, parent, key_hash, err);
	if (rc < 0)
		return rc;
	tree_count_child(tree, node->parent, false);
	tree_count_child(tree, parent, true);
	node->parent = parent;
	node->name = copy;
	tree->links[index].key_hash = key_hash;
	return MBJ_OK;
}

enum mbj_rc mbj_tree_remove(struct mbj_tree *tree, uint32_t index,
			    struct mbj_error *err)
{
	struct mbj_node *node;
	bool was_found, was_slotted;

	MBJ_ASSERT(tree != NULL);
	MBJ_ASSERT(tree_is_live(tree, index) && tree->loose_count == 0);
	node = &tree->nodes[index];
	if (tree->links[index].child_count > 0)
		return tree_refuse_node(MBJ_ECONFLICT, node->id, "has children",
					err);
	was_found = mbj_table_remove(&tree->by_id,
				     tree_hash_id(tree, &node->id), index);
	was_slotted =
		mbj_table_remove(&tree->by_slot,
				 tree_hash_slot(node->parent,
						tree->links[index].key_hash),
				 index);
	MBJ_ASSERT(was_found);
	MBJ_ASSERT(was_slotted);
	tree_count_child(tree, node->parent, false);
	node->is_live = false;
	tree->live_count--;
	return MBJ_OK;
}
