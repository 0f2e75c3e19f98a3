/*
 * The join of two trees by id, with names interned.
 *
 * Not the planner: no slot is looked up here, nothing is ordered.  What is
 * here must run over two million nodes in a fraction of a second, so each
 * pass that jumps about in memory works on batches: compute the hashes of a
 * batch and prefetch, then look at what has arrived.
 *
 * Two things are cheaper still and tried first.  A tree after is mostly a
 * copy of the tree before, in the same order, so the node that follows the
 * last one matched is tried before any hash is computed; and a kept name
 * equals its old one, so it takes that one's number.
 *
 * Invariants:
 *   1. item numbers: live nodes of before by index, then created ones;
 *   2. item_of[side][node] is the item of each live node;
 *   3. names[k] are the bytes of interned key k.
 *
 * Threads: pure; both trees are only read.
 */
#include <mbj/diff.h>

#include "tree_impl.h"

enum { DIFF_BATCH = 16 };

struct diff_join {
	const struct mbj_tree *tree[2];
	struct mbj_diff diff;
	uint32_t *item_of[2]; /* [tree size] */
	struct mbj_table interned;
	struct mbj_bytes *names; /* [diff.key_count], borrowed */
	size_t names_capacity;
	bool is_one_seed; /* hashes of either tree mean the same */
};

/* One key on its way to a number. */
struct diff_key {
	struct mbj_bytes bytes;
	uint64_t hash;
	uint32_t *ret_number;
};

static uint32_t *index_array(size_t count)
{
	uint32_t *array = mbj_alloc(count * sizeof(*array));

	if (array != NULL)
		memset(array, 0xff, count * sizeof(*array));
	return array;
}

/* ------------------------------------------------------------- matching */

/* The node of before with after's id, found by way of the table. */
static uint32_t match_find(const struct mbj_tree *before,
			   const struct mbj_id *id, uint64_t hash)
{
	uint32_t at = mbj_table_seek(&before->by_id, hash), index;

	while (mbj_table_next(&before->by_id, hash, &at, &index)) {
		if (mbj_id_equal(before->nodes[index].id, *id))
			return index;
	}
	return MBJ_NODE_NONE;
}

/* Second stage: the table's slot has arrived, fetch the node it names. */
static void match_prefetch(const struct mbj_tree *before, uint64_t hash)
{
	uint32_t at = mbj_table_seek(&before->by_id, hash), index;

	if (mbj_table_next(&before->by_id, hash, &at, &index))
		tree_prefetch(&before->nodes[index]);
}

/* Match n nodes of after that the guess missed; *guess follows the last. */
static void match_batch(struct diff_join *join, const uint32_t *nodes,
			uint32_t n, uint32_t *guess)
{
	const struct mbj_tree *before = join->tree[MBJ_BEFORE];
	const struct mbj_tree *after = join->tree[MBJ_AFTER];
	uint64_t hashes[DIFF_BATCH];

	if (before->live_count == 0)
		return;
	for (uint32_t i = 0; i < n; i++) {
		hashes[i] = tree_hash_id(before, &after->nodes[nodes[i]].id);
		tree_prefetch_slot(&before->by_id, hashes[i]);
	}
	for (uint32_t i = 0; i < n; i++)
		match_prefetch(before, hashes[i]);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t index = match_find(before, &after->nodes[nodes[i]].id,
					    hashes[i]);

		if (index == MBJ_NODE_NONE)
			continue;
		join->item_of[MBJ_AFTER][nodes[i]] =
			join->item_of[MBJ_BEFORE][index];
		*guess = index + 1 + (nodes[n - 1] - nodes[i]);
	}
}

/* Number the items of before, give those of after theirs. */
static void join_match(struct diff_join *join)
{
	const struct mbj_tree *before = join->tree[MBJ_BEFORE];
	const struct mbj_tree *after = join->tree[MBJ_AFTER];
	uint32_t missed[DIFF_BATCH], n = 0, guess = 0, count = 0;

	for (uint32_t i = 0; i < before->size; i++) {
		if (before->nodes[i].is_live)
			join->item_of[MBJ_BEFORE][i] = count++;
	}
	for (uint32_t i = 0; i < after->size; i++) {
		uint32_t tried = guess;

		if (!after->nodes[i].is_live)
			continue;
		guess = guess < before->size ? guess + 1 : guess;
		if (tree_is_live(before, tried) &&
		    mbj_id_equal(before->nodes[tried].id, after->nodes[i].id)) {
			join->item_of[MBJ_AFTER][i] =
				join->item_of[MBJ_BEFORE][tried];
			continue;
		}
		missed[n++] = i;
		if (n < DIFF_BATCH)
			continue;
		match_batch(join, missed, n, &guess);
		n = 0;
	}
	if (n > 0)
		match_batch(join, missed, n, &guess);
	for (uint32_t i = 0; i < after->size; i++) {
		if (after->nodes[i].is_live &&
		    join->item_of[MBJ_AFTER][i] == MBJ_NODE_NONE)
			join->item_of[MBJ_AFTER][i] = count++;
	}
	join->diff.count = count;
}

/* ------------------------------------------------------------- interning */

static enum mbj_rc intern_one(struct diff_join *join,
			      const struct diff_key *key, struct mbj_error *err)
{
	uint32_t at, number;
	enum mbj_rc rc;

	at = mbj_table_seek(&join->interned, key->hash);
	while (mbj_table_next(&join->interned, key->hash, &at, &number)) {
		if (mbj_bytes_equal(join->names[number], key->bytes)) {
			*key->ret_number = number;
			return MBJ_OK;
		}
	}
	number = join->diff.key_count;
	rc = mbj_array_reserve((void **)&join->names, &join->names_capacity,
			       (size_t)number + 1, sizeof(*join->names),
			       2 * (size_t)TREE_NODES_MAX, err);
	if (rc < 0)
		return rc;
	rc = mbj_table_add(&join->interned, key->hash, number, err);
	if (rc < 0)
		return rc;
	join->names[number] = key->bytes;
	join->diff.key_count = number + 1;
	*key->ret_number = number;
	return MBJ_OK;
}

static enum mbj_rc intern_batch(struct diff_join *join,
				const struct diff_key *keys, uint32_t n,
				struct mbj_error *err)
{
	enum mbj_rc rc;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = mbj_table_seek(&join->interned, keys[i].hash);
		uint32_t number;

		if (mbj_table_next(&join->interned, keys[i].hash, &at, &number))
			tree_prefetch(join->names[number].p);
	}
	for (uint32_t i = 0; i < n; i++) {
		rc = intern_one(join, &keys[i], err);
		if (rc < 0)
			return rc;
	}
	return MBJ_OK;
}

/* ----------------------------------------------------------------- items */

static uint32_t item_parent(const struct diff_join *join, enum mbj_side side,
			    uint32_t parent)
{
	if (parent == MBJ_NODE_ROOT)
		return MBJ_NODE_ROOT;
	/* A parked node is in no plan yet; a dead parent has no item. */
	MBJ_ASSERT(parent < join->tree[side]->size);
	MBJ_ASSERT(join->item_of[side][parent] != MBJ_NODE_NONE);
	return join->item_of[side][parent];
}

/*
 * Enter node index of one side into the table of items.  True where its key
 * has to be interned, false where that of the other side is its own.
 */
static bool item_enter(struct diff_join *join, enum mbj_side side,
		       uint32_t index)
{
	const struct mbj_node *node = &join->tree[side]->nodes[index];
	uint32_t number = join->item_of[side][index];
	struct mbj_diff_item *item = &join->diff.items[number];
	const struct mbj_node *old;

	MBJ_ASSERT(number < join->diff.count);
	item->parent[side] = item_parent(join, side, node->parent);
	join->diff.at[side][number] = index;
	if (side == MBJ_BEFORE) {
		join->diff.kind[number] = MBJ_DIFF_DELETE;
		return true;
	}
	if (join->diff.at[MBJ_BEFORE][number] == MBJ_NODE_NONE) {
		join->diff.kind[number] = MBJ_DIFF_CREATE;
		return true;
	}
	old = &join->tree[MBJ_BEFORE]->nodes[join->diff.at[0][number]];
	join->diff.kind[number] =
		item->parent[MBJ_BEFORE] == item->parent[MBJ_AFTER] &&
				tree_name_equal(&old->name, &node->name)
			? MBJ_DIFF_KEEP
			: MBJ_DIFF_MOVE;
	if (!mbj_bytes_equal(old->name.key, node->name.key))
		return true;
	item->key[MBJ_AFTER] = item->key[MBJ_BEFORE];
	return false;
}

static enum mbj_rc join_enter(struct diff_join *join, enum mbj_side side,
			      struct mbj_error *err)
{
	const struct mbj_tree *tree = join->tree[side];
	bool is_hashed = side == MBJ_BEFORE || join->is_one_seed;
	struct diff_key keys[DIFF_BATCH];
	enum mbj_rc rc;
	uint32_t n = 0;

	for (uint32_t i = 0; i < tree->size; i++) {
		struct diff_key *key = &keys[n];
		uint32_t number = join->item_of[side][i];

		if (!tree->nodes[i].is_live || !item_enter(join, side, i))
			continue;
		key->bytes = tree->nodes[i].name.key;
		key->hash = is_hashed ? tree->links[i].key_hash
				      : tree_hash_key(join->tree[MBJ_BEFORE],
						      key->bytes);
		key->ret_number = &join->diff.items[number].key[side];
		tree_prefetch_slot(&join->interned, key->hash);
		if (++n < DIFF_BATCH)
			continue;
		rc = intern_batch(join, keys, n, err);
		if (rc < 0)
			return rc;
		n = 0;
	}
	return intern_batch(join, keys, n, err);
}

static enum mbj_rc join_alloc(struct diff_join *join, struct mbj_error *err)
{
	struct mbj_diff *diff = &join->diff;

	diff->items = mbj_alloc(diff->count * sizeof(*diff->items));
	diff->at[MBJ_BEFORE] = index_array(diff->count);
	diff->at[MBJ_AFTER] = index_array(diff->count);
	diff->kind = mbj_alloc(diff->count);
	if (diff->items == NULL || diff->at[MBJ_BEFORE] == NULL ||
	    diff->at[MBJ_AFTER] == NULL || diff->kind == NULL)
		return mbj_error_nomem(err);
	/* Absent on both sides until entered: NONE everywhere. */
	memset(diff->items, 0xff, diff->count * sizeof(*diff->items));
	return mbj_table_reserve(&join->interned,
				 join->tree[MBJ_BEFORE]->live_count, err);
}

static enum mbj_rc join_run(struct diff_join *join, struct mbj_error *err)
{
	enum mbj_rc rc;

	for (int side = 0; side < 2; side++) {
		join->item_of[side] = index_array(join->tree[side]->size);
		if (join->item_of[side] == NULL)
			return mbj_error_nomem(err);
	}
	join_match(join);
	rc = join_alloc(join, err);
	if (rc < 0)
		return rc;
	rc = join_enter(join, MBJ_BEFORE, err);
	if (rc < 0)
		return rc;
	return join_enter(join, MBJ_AFTER, err);
}

enum mbj_rc mbj_diff_make(const struct mbj_tree *before,
			  const struct mbj_tree *after,
			  struct mbj_diff *ret_diff, struct mbj_error *err)
{
	struct diff_join join = {.tree = {before, after}};
	enum mbj_rc rc;

	MBJ_ASSERT(before != NULL && before->loose_count == 0);
	MBJ_ASSERT(after != NULL && after->loose_count == 0);
	MBJ_ASSERT(ret_diff != NULL);
	join.is_one_seed = before->seed == after->seed;
	mbj_table_init(&join.interned);
	rc = join_run(&join, err);
	mbj_table_done(&join.interned);
	mbj_free(join.names);
	mbj_free(join.item_of[MBJ_BEFORE]);
	mbj_free(join.item_of[MBJ_AFTER]);
	if (rc < 0) {
		mbj_diff_done(&join.diff);
		return rc;
	}
	*ret_diff = join.diff;
	return MBJ_OK;
}

void mbj_diff_done(struct mbj_diff *diff)
{
	if (diff == NULL)
		return;
	mbj_free(diff->items);
	mbj_free(diff->at[MBJ_BEFORE]);
	mbj_free(diff->at[MBJ_AFTER]);
	mbj_free(diff->kind);
	*diff = (struct mbj_diff){.count = 0};
}
