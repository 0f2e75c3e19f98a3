/*
 * Bulk loading: nodes come in any order, parents and slots are judged once,
 * at the end, and what is refused is said in terms of the mailboxes given.
 *
 * Cycles and depths are found in one pass with memo (tree_depths); slots are
 * filled in batches, so that the cache misses of the table overlap.
 *
 * Invariants:
 *   1. after a refusal the tree is as before: every loose node still loose;
 *   2. equal input is refused for the same mailbox, with the same words.
 *
 * Threads: one at a time.
 */
#include <stdio.h>

#include "name_impl.h"
#include "tree_impl.h"

enum { SETTLE_BATCH = 16 };

/* Refuse node bad, with its name and that of other (may be NULL) shown. */
static enum mbj_rc settle_refuse(const struct mbj_node *bad,
				 const struct mbj_node *other,
				 enum mbj_refusal refusal, const char *why,
				 struct mbj_error *err)
{
	char id[MBJ_ID_TEXT_SIZE], name[NAME_QUOTE_SIZE];
	char other_name[NAME_QUOTE_SIZE] = "";

	mbj_id_print(bad->id, id);
	name_quote(bad->name.stored, name);
	if (other != NULL)
		name_quote(other->name.stored, other_name);
	return mbj_error_refuse(err, refusal, "id", id, "mailbox %s %s%s%s",
				name, why, other == NULL ? "" : " ",
				other_name);
}

static enum mbj_rc settle_refuse_place(const struct mbj_tree *tree,
				       uint32_t bad, struct mbj_error *err)
{
	const struct mbj_node *node = &tree->nodes[bad];

	if (!tree_is_parent(tree, node->parent))
		return settle_refuse(node, NULL, MBJ_REFUSAL_INVALID_PROPERTIES,
				     "has a parent that does not exist", err);
	MBJ_ASSERT(node->parent < tree->size);
	if (node->parent == bad)
		return settle_refuse(node, NULL, MBJ_REFUSAL_INVALID_PROPERTIES,
				     "is its own parent", err);
	return settle_refuse(node, &tree->nodes[node->parent],
			     MBJ_REFUSAL_INVALID_PROPERTIES,
			     "lies below itself, by way of its parent", err);
}

/* Policy, judged unless the content was accepted before. */
static enum mbj_rc settle_check_depths(const struct mbj_tree *tree,
				       const uint32_t *depths,
				       struct mbj_error *err)
{
	for (uint32_t i = 0; i < tree->size; i++) {
		const struct mbj_node *node = &tree->nodes[i];
		char why[64];

		if (depths[i] <= tree->depth_max)
			continue;
		MBJ_ASSERT(node->parent < tree->size);
		(void)snprintf(why, sizeof(why),
			       "is deeper than %u levels, below",
			       (unsigned)tree->depth_max);
		return settle_refuse(node, &tree->nodes[node->parent],
				     MBJ_REFUSAL_INVALID_PROPERTIES, why, err);
	}
	return MBJ_OK;
}

static enum mbj_rc settle_check_places(const struct mbj_tree *tree,
				       struct mbj_error *err)
{
	uint32_t *depths, bad;
	enum mbj_rc rc = MBJ_OK;

	depths = mbj_calloc(tree->size, sizeof(*depths));
	if (depths == NULL)
		return mbj_error_nomem(err);
	if (!tree_depths(tree, depths, &bad))
		rc = settle_refuse_place(tree, bad, err);
	else if (!tree->is_accepted)
		rc = settle_check_depths(tree, depths, err);
	mbj_free(depths);
	return rc;
}

/* The next loose nodes from *at on; the table's slots are on their way. */
static uint32_t settle_fetch(const struct mbj_tree *tree, uint32_t *at,
			     uint32_t batch[SETTLE_BATCH])
{
	uint32_t n = 0;

	for (; *at < tree->size && n < SETTLE_BATCH; (*at)++) {
		const struct mbj_node *node = &tree->nodes[*at];
		const struct tree_link *link = &tree->links[*at];

		if (!link->is_loose)
			continue;
		tree_prefetch_slot(&tree->by_slot,
				   tree_hash_slot(node->parent,
						  link->key_hash));
		if (node->parent < tree->size)
			tree_prefetch(&tree->links[node->parent]);
		batch[n++] = *at;
	}
	return n;
}

static enum mbj_rc settle_place(struct mbj_tree *tree, uint32_t index,
				struct mbj_error *err)
{
	const struct mbj_node *node = &tree->nodes[index];
	uint64_t key_hash = tree->links[index].key_hash;
	uint64_t hash = tree_hash_slot(node->parent, key_hash);
	uint32_t at, other;
	enum mbj_rc rc;

	at = mbj_table_seek(&tree->by_slot, hash);
	while (mbj_table_next(&tree->by_slot, hash, &at, &other)) {
		const struct mbj_node *taken = &tree->nodes[other];

		if (taken->parent != node->parent ||
		    !mbj_bytes_equal(taken->name.key, node->name.key))
			continue;
		return settle_refuse(node, taken, MBJ_REFUSAL_ALREADY_EXISTS,
				     "would share its place with its sibling",
				     err);
	}
	rc = mbj_table_add(&tree->by_slot, hash, index, err);
	if (rc < 0)
		return rc;
	if (node->parent < tree->size)
		tree->links[node->parent].child_count++;
	return MBJ_OK;
}

/* Take the loose nodes below end out of their slots again. */
static void settle_undo(struct mbj_tree *tree, uint32_t end)
{
	for (uint32_t i = 0; i < end; i++) {
		const struct mbj_node *node = &tree->nodes[i];
		const struct tree_link *link = &tree->links[i];
		bool was_there;

		if (!link->is_loose)
			continue;
		was_there = mbj_table_remove(&tree->by_slot,
					     tree_hash_slot(node->parent,
							    link->key_hash),
					     i);
		MBJ_ASSERT(was_there);
		if (node->parent < tree->size)
			tree->links[node->parent].child_count--;
	}
}

static enum mbj_rc settle_slots(struct mbj_tree *tree, struct mbj_error *err)
{
	uint32_t batch[SETTLE_BATCH], at = 0, n;
	enum mbj_rc rc;

	rc = mbj_table_reserve(&tree->by_slot, tree->live_count, err);
	if (rc < 0)
		return rc;
	do {
		n = settle_fetch(tree, &at, batch);
		for (uint32_t i = 0; i < n; i++) {
			rc = settle_place(tree, batch[i], err);
			if (rc < 0) {
				settle_undo(tree, batch[i]);
				return rc;
			}
		}
	} while (n > 0);
	MBJ_ASSERT(at == tree->size);
	return MBJ_OK;
}

enum mbj_rc mbj_tree_settle(struct mbj_tree *tree, struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(tree != NULL);
	MBJ_ASSERT(tree->loose_count <= tree->live_count);
	if (tree->live_count > tree->live_max && !tree->is_accepted)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "%u mailboxes are over the limit of %u "
				     "for one account",
				     (unsigned)tree->live_count,
				     (unsigned)tree->live_max);
	if (tree->size == 0)
		return MBJ_OK;
	rc = settle_check_places(tree, err);
	if (rc < 0)
		return rc;
	rc = settle_slots(tree, err);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < tree->size; i++)
		tree->links[i].is_loose = false;
	tree->loose_count = 0;
	return MBJ_OK;
}
