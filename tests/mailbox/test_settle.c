/*
 * Tests of bulk loading: any order of the input gives the same tree, and a
 * list that is no tree is refused, for the right mailbox, in words that name
 * both parties.
 */
#include "cases.h"
#include "tree_impl.h"

static struct mbj_tree *tree;

static void setup(void)
{
	struct mbj_error err;

	test_ok(mbj_tree_new(99, &tree, &err), err);
}

static void teardown(void)
{
	mbj_tree_free(&tree);
}

static uint32_t add_loose(uint32_t number, uint32_t parent, const char *name)
{
	struct mbj_node node = test_node(number, parent, name);
	struct mbj_error err;
	uint32_t index = 0;

	test_ok(mbj_tree_add_loose(tree, &node, &index, &err), err);
	return index;
}

/* Settling must fail for mailbox number and say all these words. */
static void expect_refusal(enum mbj_refusal refusal, uint32_t number,
			   const char *word, const char *other)
{
	char id[MBJ_ID_TEXT_SIZE];
	struct mbj_error err;

	test_rc(mbj_tree_settle(tree, &err), MBJ_EINVALID);
	mbj_id_print(test_id(number), id);
	ck_assert_int_eq(err.refusal, refusal);
	ck_assert_str_eq(err.subject_kind, "id");
	ck_assert_str_eq(err.subject, id);
	ck_assert_msg(strstr(err.message, word) != NULL, "%s", err.message);
	ck_assert_msg(strstr(err.message, other) != NULL, "%s", err.message);
	ck_assert_uint_eq(tree->loose_count, mbj_tree_live_count(tree));
}

/*
 * Goal: the order in which a list comes does not matter.
 * Method: a random tree, loaded in random orders and seeds, then each path
 * looked up component by component.
 */
START_TEST(any_order_gives_the_same_tree)
{
	enum { COUNT = 3000 };
	struct test_rng rng;
	uint32_t parent[COUNT], at[COUNT], order[COUNT];
	struct mbj_error err;
	char name[16];

	(void)test_rng_seed(&rng);

	for (uint32_t i = 0; i < COUNT; i++) {
		parent[i] = i % 7 == 0 ? MBJ_NODE_ROOT : test_pick(&rng, i);
		order[i] = i;
	}
	for (uint32_t i = COUNT; i > 1; i--) {
		uint32_t other = test_pick(&rng, i);
		uint32_t swap = order[i - 1];

		order[i - 1] = order[other];
		order[other] = swap;
	}
	for (uint32_t i = 0; i < COUNT; i++) {
		snprintf(name, sizeof(name), "n%u", order[i]);
		at[order[i]] = add_loose(order[i], MBJ_NODE_NONE, name);
	}
	for (uint32_t i = 0; i < COUNT; i++)
		mbj_tree_set_parent(tree, at[i],
				    parent[i] == MBJ_NODE_ROOT ? MBJ_NODE_ROOT
							       : at[parent[i]]);
	test_ok(mbj_tree_check(tree, &err), err);
	test_ok(mbj_tree_settle(tree, &err), err);
	test_ok(mbj_tree_check(tree, &err), err);
	for (uint32_t i = 0; i < COUNT; i++) {
		uint32_t above = parent[i] == MBJ_NODE_ROOT ? MBJ_NODE_ROOT
							    : at[parent[i]];

		snprintf(name, sizeof(name), "n%u", i);
		ck_assert_uint_eq(mbj_tree_find_slot(tree, above,
						     mbj_bytes_str(name)),
				  at[i]);
		ck_assert_uint_eq(mbj_tree_find(tree, test_id(i)), at[i]);
	}
	/* Settling twice is settling once. */
	test_ok(mbj_tree_settle(tree, &err), err);
	test_ok(mbj_tree_check(tree, &err), err);
}
END_TEST

/*
 * Goal: two siblings with one key are refused, and nothing is left behind.
 * Method: many mailboxes, the last two alike; then mend and settle.
 */
START_TEST(siblings_alike_are_refused)
{
	uint32_t top = add_loose(0, MBJ_NODE_ROOT, "top"), last = 0;
	struct mbj_error err;
	char name[16];

	for (uint32_t i = 1; i < 50; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		(void)add_loose(i, top, name);
	}
	last = add_loose(50, top, "n49");
	(void)add_loose(51, MBJ_NODE_ROOT, "n49");
	expect_refusal(MBJ_REFUSAL_ALREADY_EXISTS, 50, "\"n49\"", "sibling");
	ck_assert_uint_eq(mbj_tree_child_count(tree, top), 0);
	ck_assert_uint_eq(mbj_tree_find_slot(tree, top, mbj_bytes_str("n1")),
			  MBJ_NODE_NONE);
	test_ok(mbj_tree_check(tree, &err), err);
	mbj_tree_set_parent(tree, last, MBJ_NODE_TEMP);
	test_ok(mbj_tree_settle(tree, &err), err);
	test_ok(mbj_tree_check(tree, &err), err);
	ck_assert_uint_eq(mbj_tree_child_count(tree, top), 49);
}
END_TEST

/*
 * Goal: a loose node cannot take a slot that a settled one has.
 * Method: one of each, of different stored form but one key.
 */
START_TEST(settled_siblings_count_too)
{
	struct mbj_node node = test_node(1, MBJ_NODE_ROOT, "name");
	struct mbj_error err;
	uint32_t index;

	test_ok(mbj_tree_add(tree, &node, &index, &err), err);
	node = test_node(2, MBJ_NODE_ROOT, "name");
	node.name.stored = mbj_bytes_str("NA\\ME");
	test_ok(mbj_tree_add_loose(tree, &node, &index, &err), err);
	test_rc(mbj_tree_settle(tree, &err), MBJ_EINVALID);
	ck_assert_int_eq(err.refusal, MBJ_REFUSAL_ALREADY_EXISTS);
	ck_assert_ptr_nonnull(strstr(err.message, "\"NA\\\\ME\""));
	ck_assert_ptr_nonnull(strstr(err.message, "\"name\""));
}
END_TEST

/*
 * Goal: cycles are found wherever the walk enters them.
 * Method: a long tail into a ring of three, a ring of two, a ring of one; the
 * mailbox named is the lowest of the ring.
 */
START_TEST(cycles_are_refused)
{
	uint32_t tail = add_loose(1, 1, "tail"), a, b, c;
	struct mbj_error err;

	a = add_loose(2, MBJ_NODE_ROOT, "a");
	b = add_loose(3, MBJ_NODE_ROOT, "b");
	c = add_loose(4, MBJ_NODE_ROOT, "c");
	mbj_tree_set_parent(tree, tail, c);
	mbj_tree_set_parent(tree, c, b);
	mbj_tree_set_parent(tree, b, a);
	mbj_tree_set_parent(tree, a, c);
	expect_refusal(MBJ_REFUSAL_INVALID_PROPERTIES, 2, "\"a\"", "\"c\"");
	ck_assert(mbj_tree_is_ancestor(tree, tail, a));
	ck_assert_uint_eq(mbj_tree_depth(tree, a), MBJ_DEPTH_MAX + 1);
	test_rc(mbj_tree_check(tree, &err), MBJ_ECORRUPT);
	mbj_tree_set_parent(tree, a, MBJ_NODE_ROOT);
	mbj_tree_set_parent(tree, b, c);
	expect_refusal(MBJ_REFUSAL_INVALID_PROPERTIES, 3, "\"b\"", "\"c\"");
	mbj_tree_set_parent(tree, b, b);
	expect_refusal(MBJ_REFUSAL_INVALID_PROPERTIES, 3, "\"b\"", "own");
	mbj_tree_set_parent(tree, b, a);
	test_ok(mbj_tree_settle(tree, &err), err);
	ck_assert_uint_eq(mbj_tree_depth(tree, tail), 4);
}
END_TEST

/*
 * Goal: a parent that is not there is refused.
 * Method: no index, one out of range, one of a removed mailbox.
 */
START_TEST(missing_parents_are_refused)
{
	struct mbj_node node = test_node(1, MBJ_NODE_ROOT, "gone");
	struct mbj_error err;
	uint32_t gone, a;

	test_ok(mbj_tree_add(tree, &node, &gone, &err), err);
	test_ok(mbj_tree_remove(tree, gone, &err), err);
	a = add_loose(2, MBJ_NODE_NONE, "a");
	expect_refusal(MBJ_REFUSAL_INVALID_PROPERTIES, 2, "\"a\"", "parent");
	mbj_tree_set_parent(tree, a, 1000);
	expect_refusal(MBJ_REFUSAL_INVALID_PROPERTIES, 2, "\"a\"", "parent");
	mbj_tree_set_parent(tree, a, gone);
	expect_refusal(MBJ_REFUSAL_INVALID_PROPERTIES, 2, "\"a\"", "parent");
	node = test_node(2, MBJ_NODE_ROOT, "again");
	test_rc(mbj_tree_add_loose(tree, &node, &a, &err), MBJ_EEXISTS);
}
END_TEST

/*
 * Goal: depth is judged at its limit, unless the content was accepted before.
 * Method: chains of MBJ_DEPTH_MAX and one more, added bottom first.
 */
START_TEST(depth_is_limited)
{
	uint32_t first = add_loose(0, MBJ_NODE_ROOT, "deep");
	uint32_t index = first;
	struct mbj_error err;

	for (uint32_t i = 1; i < MBJ_DEPTH_MAX; i++) {
		uint32_t above = add_loose(i, MBJ_NODE_ROOT, "n");

		mbj_tree_set_parent(tree, index, above);
		index = above;
	}
	test_ok(mbj_tree_settle(tree, &err), err);
	mbj_tree_free(&tree);
	setup();
	first = add_loose(0, MBJ_NODE_ROOT, "deep");
	index = first;
	for (uint32_t i = 1; i <= MBJ_DEPTH_MAX; i++) {
		uint32_t above = add_loose(i, MBJ_NODE_ROOT, "n");

		mbj_tree_set_parent(tree, index, above);
		index = above;
	}
	expect_refusal(MBJ_REFUSAL_INVALID_PROPERTIES, 0, "\"deep\"", "4096");
	mbj_tree_accept(tree);
	test_ok(mbj_tree_settle(tree, &err), err);
	test_ok(mbj_tree_check(tree, &err), err);
}
END_TEST

/*
 * Goal: the number of mailboxes is judged at its limit.
 * Method: the limit lowered from inside; its real value looked at.
 */
START_TEST(count_is_limited)
{
	struct mbj_error err;
	char name[16];

	ck_assert_uint_eq(tree->live_max, MBJ_ACCOUNT_MAILBOXES_MAX);
	tree->live_max = 20;
	for (uint32_t i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		(void)add_loose(i, MBJ_NODE_ROOT, name);
	}
	test_ok(mbj_tree_settle(tree, &err), err);
	(void)add_loose(20, MBJ_NODE_ROOT, "one more");
	test_rc(mbj_tree_settle(tree, &err), MBJ_ELIMIT);
	mbj_tree_accept(tree);
	test_ok(mbj_tree_settle(tree, &err), err);
}
END_TEST

/* Goal: nothing to settle is no error.  Method: an empty tree. */
START_TEST(empty_trees_settle)
{
	struct mbj_error err;

	test_ok(mbj_tree_settle(tree, &err), err);
	test_ok(mbj_tree_check(tree, &err), err);
	ck_assert_uint_eq(mbj_tree_find(tree, test_id(1)), MBJ_NODE_NONE);
	ck_assert_uint_eq(mbj_tree_find_slot(tree, MBJ_NODE_ROOT,
					     mbj_bytes_str("a")),
			  MBJ_NODE_NONE);
}
END_TEST

TCase *test_settle_case(void)
{
	TCase *all = tcase_create("settle");

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, any_order_gives_the_same_tree);
	tcase_add_test(all, siblings_alike_are_refused);
	tcase_add_test(all, settled_siblings_count_too);
	tcase_add_test(all, cycles_are_refused);
	tcase_add_test(all, missing_parents_are_refused);
	tcase_add_test(all, depth_is_limited);
	tcase_add_test(all, count_is_limited);
	tcase_add_test(all, empty_trees_settle);
	return all;
}
