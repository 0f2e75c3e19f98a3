/*
 * Tests of the join of two trees, against one that compares every node with
 * every other.
 */
#include <mbj/diff.h>

#include "cases.h"
#include "tree_impl.h"

static struct mbj_tree *tree_make(uint64_t seed)
{
	struct mbj_tree *tree = NULL;
	struct mbj_error err;

	test_ok(mbj_tree_new(seed, &tree, &err), err);
	return tree;
}

/* The item of a live node, found the slow way. */
static uint32_t item_of(const struct mbj_diff *diff, enum mbj_side side,
			uint32_t index)
{
	for (uint32_t i = 0; i < diff->count; i++) {
		if (diff->at[side][i] == index)
			return i;
	}
	return MBJ_NODE_NONE;
}

static uint32_t parent_of(const struct mbj_diff *diff, enum mbj_side side,
			  const struct mbj_node *node)
{
	if (node->parent == MBJ_NODE_ROOT)
		return MBJ_NODE_ROOT;
	return item_of(diff, side, node->parent);
}

static enum mbj_diff_kind kind_of(const struct mbj_tree *const tree[2],
				  const struct mbj_node *before,
				  const struct mbj_node *after)
{
	struct mbj_id parent[2] = {MBJ_ID_ROOT, MBJ_ID_ROOT};

	if (before == NULL)
		return MBJ_DIFF_CREATE;
	if (after == NULL)
		return MBJ_DIFF_DELETE;
	if (before->parent != MBJ_NODE_ROOT)
		parent[0] = mbj_tree_get(tree[0], before->parent)->id;
	if (after->parent != MBJ_NODE_ROOT)
		parent[1] = mbj_tree_get(tree[1], after->parent)->id;
	return mbj_id_equal(parent[0], parent[1]) &&
			       mbj_bytes_equal(before->name.stored,
					       after->name.stored) &&
			       mbj_bytes_equal(before->name.key,
					       after->name.key)
		       ? MBJ_DIFF_KEEP
		       : MBJ_DIFF_MOVE;
}

/* All that a header comment says of one item. */
static void check_item(const struct mbj_diff *diff,
		       const struct mbj_tree *const tree[2], uint32_t item)
{
	const struct mbj_node *node[2] = {NULL, NULL};

	for (int side = 0; side < 2; side++) {
		uint32_t index = diff->at[side][item];

		if (index == MBJ_NODE_NONE) {
			ck_assert_uint_eq(diff->items[item].parent[side],
					  MBJ_NODE_NONE);
			continue;
		}
		node[side] = mbj_tree_get(tree[side], index);
		ck_assert(node[side]->is_live);
		ck_assert_uint_eq(diff->items[item].parent[side],
				  parent_of(diff, (enum mbj_side)side,
					    node[side]));
		ck_assert_uint_lt(diff->items[item].key[side], diff->key_count);
	}
	ck_assert(node[0] != NULL || node[1] != NULL);
	if (node[0] != NULL && node[1] != NULL)
		ck_assert(mbj_id_equal(node[0]->id, node[1]->id));
	ck_assert_int_eq(diff->kind[item], kind_of(tree, node[0], node[1]));
}

/* Items before by index, then created ones by index; each node once. */
static void check_order(const struct mbj_diff *diff,
			const struct mbj_tree *const tree[2])
{
	uint32_t item = 0, created = 0;

	for (uint32_t i = 0; i < mbj_tree_size(tree[0]); i++) {
		if (mbj_tree_get(tree[0], i)->is_live)
			ck_assert_uint_eq(diff->at[0][item++], i);
	}
	for (uint32_t i = 0; i < mbj_tree_size(tree[1]); i++) {
		const struct mbj_node *node = mbj_tree_get(tree[1], i);

		if (!node->is_live ||
		    mbj_tree_find(tree[0], node->id) != MBJ_NODE_NONE)
			continue;
		ck_assert_uint_eq(diff->at[0][item], MBJ_NODE_NONE);
		ck_assert_uint_eq(diff->at[1][item++], i);
		created++;
	}
	ck_assert_uint_eq(diff->count, item);
	ck_assert_uint_eq(diff->count, mbj_tree_live_count(tree[0]) + created);
}

static struct mbj_bytes key_bytes(const struct mbj_diff *diff,
				  const struct mbj_tree *const tree[2],
				  uint32_t n)
{
	uint32_t side = n % 2, item = n / 2;
	uint32_t index = diff->at[side][item];

	if (index == MBJ_NODE_NONE)
		return mbj_bytes_make(NULL, 0);
	return mbj_tree_get(tree[side], index)->name.key;
}

/* Equal numbers exactly where the bytes are equal. */
static void check_keys(const struct mbj_diff *diff,
		       const struct mbj_tree *const tree[2])
{
	for (uint32_t a = 0; a < 2 * diff->count; a++) {
		struct mbj_bytes key = key_bytes(diff, tree, a);
		uint32_t number = diff->items[a / 2].key[a % 2];

		for (uint32_t b = 0; b < a && key.n > 0; b++) {
			struct mbj_bytes other = key_bytes(diff, tree, b);

			if (other.n == 0)
				continue;
			ck_assert_int_eq(number ==
						 diff->items[b / 2].key[b % 2],
					 mbj_bytes_equal(key, other));
		}
	}
}

static void check_diff(const struct mbj_tree *before,
		       const struct mbj_tree *after)
{
	const struct mbj_tree *const tree[2] = {before, after};
	struct mbj_diff diff;
	struct mbj_error err;

	test_ok(mbj_diff_make(before, after, &diff, &err), err);
	check_order(&diff, tree);
	for (uint32_t i = 0; i < diff.count; i++)
		check_item(&diff, tree, i);
	check_keys(&diff, tree);
	mbj_diff_done(&diff);
	ck_assert_ptr_null(diff.items);
}

/* --------------------------------------------------------- random trees */

static void random_name(struct test_rng *rng, char name[16],
			struct mbj_name *ret_name)
{
	/* One in three stores another case than its key. */
	int length =
		snprintf(name, 16, "%c%u", test_pick(rng, 3) == 0 ? 'N' : 'n',
			 test_pick(rng, 20));

	name[8] = 'n';
	memcpy(name + 9, name + 1, (size_t)length - 1);
	ret_name->stored = mbj_bytes_make(name, (size_t)length);
	ret_name->key = mbj_bytes_make(name + 8, (size_t)length);
}

static uint32_t random_parent(const struct mbj_tree *tree, struct test_rng *rng)
{
	uint32_t index;

	if (mbj_tree_size(tree) == 0 || test_pick(rng, 4) == 0)
		return MBJ_NODE_ROOT;
	index = test_pick(rng, mbj_tree_size(tree));
	return mbj_tree_get(tree, index)->is_live ? index : MBJ_NODE_ROOT;
}

/* Some of these changes fail, which is fine: the tree stays valid. */
static void change_randomly(struct mbj_tree *tree, struct test_rng *rng,
			    uint32_t changes, uint32_t ids)
{
	char bytes[16];
	uint32_t index;
	enum mbj_rc rc;

	for (uint32_t i = 0; i < changes; i++) {
		struct mbj_node node = {.id = test_id(test_pick(rng, ids))};

		random_name(rng, bytes, &node.name);
		node.parent = random_parent(tree, rng);
		index = mbj_tree_find(tree, node.id);
		if (index == MBJ_NODE_NONE)
			rc = mbj_tree_add(tree, &node, &index, NULL);
		else if (test_pick(rng, 4) == 0)
			rc = mbj_tree_remove(tree, index, NULL);
		else
			rc = mbj_tree_move(tree, index, node.parent, &node.name,
					   NULL);
		ck_assert(rc == MBJ_OK || rc == MBJ_EEXISTS ||
			  rc == MBJ_ECONFLICT);
	}
}

/* The live mailboxes of tree, in another order and under another seed. */
static struct mbj_tree *tree_reordered(const struct mbj_tree *tree,
				       struct test_rng *rng)
{
	struct mbj_tree *copy = tree_make(test_rng_next(rng));
	uint32_t size = mbj_tree_size(tree), index;
	uint32_t shift = size == 0 ? 0 : test_pick(rng, size);
	struct mbj_error err;

	for (uint32_t i = 0; i < size; i++) {
		const struct mbj_node *node =
			mbj_tree_get(tree, (i * 7 + shift) % size);

		if (node->is_live && size % 7 != 0)
			test_ok(mbj_tree_add_loose(copy, node, &index, &err),
				err);
	}
	for (uint32_t i = 0; i < mbj_tree_size(copy); i++) {
		uint32_t parent = mbj_tree_get(copy, i)->parent;

		if (parent < size)
			mbj_tree_set_parent(
				copy, i,
				mbj_tree_find(copy,
					      mbj_tree_get(tree, parent)->id));
	}
	test_ok(mbj_tree_settle(copy, &err), err);
	return copy;
}

/*
 * Goal: the join is right for every mixture of kept, moved, created, deleted
 * and re-created mailboxes, however the second tree came about.
 * Method: random trees of some hundred nodes; the second one a changed copy,
 * a reordered copy with another seed, or an unrelated tree.
 */
START_TEST(random_joins_match_the_slow_one)
{
	struct test_rng rng;

	(void)test_rng_seed(&rng);
	for (int round = 0; round < 40; round++) {
		uint32_t ids = 1 + test_pick(&rng, 120);
		struct mbj_tree *before = tree_make(test_rng_next(&rng));
		struct mbj_tree *after = NULL, *other;
		struct mbj_error err;

		change_randomly(before, &rng, 2 * ids, ids);
		test_ok(mbj_tree_dup(before, &after, &err), err);
		check_diff(before, after);
		change_randomly(after, &rng, test_pick(&rng, ids), ids);
		check_diff(before, after);
		check_diff(after, before);
		other = tree_reordered(after, &rng);
		check_diff(before, other);
		mbj_tree_free(&other);
		other = tree_make(5);
		change_randomly(other, &rng, ids, 2 * ids);
		check_diff(before, other);
		mbj_tree_free(&other);
		mbj_tree_free(&after);
		mbj_tree_free(&before);
	}
}
END_TEST

/*
 * Goal: nothing on either side, or on both, is no special case.
 * Method: an empty tree against itself and against three mailboxes.
 */
START_TEST(empty_sides_join)
{
	struct mbj_tree *empty = tree_make(1), *full = tree_make(2);
	struct test_rng rng;
	struct mbj_error err;
	struct mbj_diff diff;

	test_rng_init(&rng, 3);
	change_randomly(full, &rng, 3, 1000);
	ck_assert_uint_gt(mbj_tree_live_count(full), 0);
	check_diff(empty, empty);
	check_diff(empty, full);
	check_diff(full, empty);
	test_ok(mbj_diff_make(empty, full, &diff, &err), err);
	ck_assert_int_eq(diff.kind[0], MBJ_DIFF_CREATE);
	mbj_diff_done(&diff);
	mbj_tree_free(&empty);
	mbj_tree_free(&full);
}
END_TEST

/*
 * Goal: a stored name that changes under an equal key is a move, or the
 * change of case would be lost.
 * Method: one mailbox, "n" and "N".
 */
START_TEST(change_of_case_is_a_move)
{
	struct mbj_tree *before = tree_make(1), *after = NULL;
	struct mbj_node node = test_node(1, MBJ_NODE_ROOT, "n");
	struct mbj_name name = {mbj_bytes_str("N"), mbj_bytes_str("n")};
	struct mbj_error err;
	struct mbj_diff diff;
	uint32_t index;

	test_ok(mbj_tree_add(before, &node, &index, &err), err);
	test_ok(mbj_tree_dup(before, &after, &err), err);
	test_ok(mbj_tree_move(after, index, MBJ_NODE_ROOT, &name, &err), err);
	test_ok(mbj_diff_make(before, after, &diff, &err), err);
	ck_assert_int_eq(diff.kind[0], MBJ_DIFF_MOVE);
	ck_assert_uint_eq(diff.items[0].key[0], diff.items[0].key[1]);
	ck_assert_uint_eq(diff.key_count, 1);
	mbj_diff_done(&diff);
	mbj_tree_free(&before);
	mbj_tree_free(&after);
}
END_TEST

/*
 * Goal: out of memory anywhere in the join is an error, and nothing leaks.
 * Method: fail the first, second, ... allocation until none fails.
 */
START_TEST(joins_survive_failed_allocations)
{
	struct mbj_tree *before = tree_make(1), *after = tree_make(2);
	struct mbj_diff diff = {.count = 0};
	struct test_rng rng;
	uint64_t k = 0;
	enum mbj_rc rc;

	test_rng_init(&rng, 4);
	change_randomly(before, &rng, 100, 50);
	change_randomly(after, &rng, 300, 150);
	do {
		test_alloc_fail_at(++k);
		rc = mbj_diff_make(before, after, &diff, NULL);
		ck_assert(rc == MBJ_OK || rc == MBJ_ENOMEM);
		ck_assert_int_eq(diff.count > 0, rc == MBJ_OK);
	} while (rc < 0);
	test_alloc_fail_at(0);
	ck_assert_uint_gt(k, 8);
	mbj_diff_done(&diff);
	mbj_tree_free(&before);
	mbj_tree_free(&after);
}
END_TEST

TCase *test_diff_case(void)
{
	TCase *all = tcase_create("diff");

	tcase_add_test(all, random_joins_match_the_slow_one);
	tcase_add_test(all, empty_sides_join);
	tcase_add_test(all, change_of_case_is_a_move);
	tcase_add_test(all, joins_survive_failed_allocations);
	return all;
}
