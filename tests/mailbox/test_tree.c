/*
 * Tests of the tree: its changes one by one, its questions, its order, and
 * its own check against planted damage.  Random changes against a model are
 * in test_tree_model.c, bulk loading is in test_settle.c.
 */
#include "cases.h"
#include "tree_impl.h"

/* ------------------------------------------------------------ one by one */

static struct mbj_tree *tree;

static uint32_t add(uint32_t number, uint32_t parent, const char *name)
{
	struct mbj_node node = test_node(number, parent, name);
	struct mbj_error err;
	uint32_t index = 0;

	test_ok(mbj_tree_add(tree, &node, &index, &err), err);
	return index;
}

static void setup(void)
{
	struct mbj_error err;

	test_ok(mbj_tree_new(1, &tree, &err), err);
}

static void teardown(void)
{
	mbj_tree_free(&tree);
}

static enum mbj_rc add_only(struct mbj_node node, struct mbj_error *err)
{
	uint32_t index = 12345;
	enum mbj_rc rc = mbj_tree_add(tree, &node, &index, err);

	/* Outputs are written on success only. */
	ck_assert_int_eq(rc == MBJ_OK, index != 12345);
	return rc;
}

/*
 * Goal: what must not come in does not come in, and the message names it.
 * Method: one bad node after the other.
 */
START_TEST(bad_nodes_are_refused)
{
	struct mbj_node node = test_node(1, MBJ_NODE_ROOT, "a");
	char name[MBJ_NAME_MAX + 2] = "";
	char key[MBJ_KEY_MAX + 2] = "";
	struct mbj_error err;

	memset(name, 'x', sizeof(name) - 1);
	memset(key, 'k', sizeof(key) - 1);
	node.id = MBJ_ID_ROOT;
	test_rc(add_only(node, &err), MBJ_EINVALID);
	node.id = MBJ_ID_TEMP;
	test_rc(add_only(node, &err), MBJ_EINVALID);
	node = test_node(1, 0, "a");
	test_rc(add_only(node, &err), MBJ_ECONFLICT);
	ck_assert_ptr_nonnull(strstr(err.message, "parent"));
	node = test_node(1, MBJ_NODE_NONE, "a");
	test_rc(add_only(node, &err), MBJ_ECONFLICT);
	node = test_node(1, MBJ_NODE_ROOT, "");
	test_rc(add_only(node, &err), MBJ_EINVALID);
	node = test_node(1, MBJ_NODE_ROOT, name);
	test_rc(add_only(node, &err), MBJ_EINVALID);
	node.name.stored.n = MBJ_NAME_MAX;
	node.name.key = mbj_bytes_make(key, MBJ_KEY_MAX + 1);
	test_rc(add_only(node, &err), MBJ_EINVALID);
	node.name.key.n = MBJ_KEY_MAX;
	test_rc(add_only(node, &err), MBJ_OK);
	node = test_node(2, MBJ_NODE_ROOT, "b");
	node.name.stored = mbj_bytes_make("a\0b", 3);
	test_rc(add_only(node, &err), MBJ_EINVALID);
	ck_assert_uint_eq(mbj_tree_live_count(tree), 1);
	ck_assert_uint_eq(mbj_tree_size(tree), 1);
}
END_TEST

/*
 * Goal: a name in a message cannot play with the terminal.
 * Method: collide with a mailbox whose name turns the direction of text.
 */
START_TEST(messages_show_names_escaped)
{
	struct mbj_node node =
		test_node(2, MBJ_NODE_ROOT, "a\xe2\x80\xae\x1b[31m");
	struct mbj_error err;

	(void)add(1, MBJ_NODE_ROOT, "a\xe2\x80\xae\x1b[31m");
	test_rc(add_only(node, &err), MBJ_EEXISTS);
	ck_assert_ptr_nonnull(
		strstr(err.message, "\"a\\u{202E}\\u{001B}[31m\""));
	ck_assert_ptr_nonnull(
		strstr(err.message, "a1000000000000000000000000000001"));
}
END_TEST

/*
 * Goal: a dead node's index stays, its id and slot are free again.
 * Method: remove, look, add the same id and slot again.
 */
START_TEST(removed_nodes_leave_id_and_slot)
{
	uint32_t first = add(1, MBJ_NODE_ROOT, "a"), second;
	struct mbj_node node = test_node(3, first, "b");
	struct mbj_error err;

	test_ok(mbj_tree_remove(tree, first, &err), err);
	ck_assert(!mbj_tree_get(tree, first)->is_live);
	ck_assert_uint_eq(mbj_tree_find(tree, test_id(1)), MBJ_NODE_NONE);
	test_rc(add_only(node, &err), MBJ_ECONFLICT);
	second = add(1, MBJ_NODE_ROOT, "a");
	ck_assert_uint_ne(first, second);
	ck_assert_uint_eq(mbj_tree_find(tree, test_id(1)), second);
	test_ok(mbj_tree_check(tree, &err), err);
}
END_TEST

/*
 * Goal: a change of case alone is a move to the slot the mailbox has.
 * Method: move to the same key with another stored name.
 */
START_TEST(stored_name_may_change_in_place)
{
	uint32_t index = add(1, MBJ_NODE_ROOT, "a");
	struct mbj_name name = {mbj_bytes_str("A"), mbj_bytes_str("a")};
	struct mbj_error err;

	test_ok(mbj_tree_move(tree, index, MBJ_NODE_ROOT, &name, &err), err);
	ck_assert(mbj_bytes_equal(mbj_tree_get(tree, index)->name.stored,
				  name.stored));
	ck_assert_uint_eq(mbj_tree_find_slot(tree, MBJ_NODE_ROOT,
					     mbj_bytes_str("a")),
			  index);
	test_ok(mbj_tree_check(tree, &err), err);
	name.stored = mbj_bytes_str("");
	test_rc(mbj_tree_move(tree, index, MBJ_NODE_ROOT, &name, &err),
		MBJ_EINVALID);
	name.stored = mbj_bytes_str("A");
	test_rc(mbj_tree_move(tree, index, 77, &name, &err), MBJ_ECONFLICT);
	test_rc(mbj_tree_move(tree, index, index, &name, &err), MBJ_ECONFLICT);
}
END_TEST

/*
 * Goal: a copy shares nothing with its original.
 * Method: change the copy, free the original, look at both.
 */
START_TEST(copies_are_independent)
{
	uint32_t a = add(1, MBJ_NODE_ROOT, "a"), b = add(2, a, "b"), b2;
	struct mbj_tree *copy = NULL;
	struct mbj_error err;

	test_ok(mbj_tree_dup(tree, &copy, &err), err);
	test_ok(mbj_tree_remove(copy, b, &err), err);
	ck_assert_uint_eq(mbj_tree_live_count(tree), 2);
	ck_assert_uint_eq(mbj_tree_child_count(tree, a), 1);
	mbj_tree_free(&tree);
	tree = copy;
	test_ok(mbj_tree_check(tree, &err), err);
	ck_assert_uint_eq(mbj_tree_child_count(tree, a), 0);
	b2 = add(3, a, "b");
	ck_assert_uint_eq(b2, 2);
}
END_TEST

/* A chain of count mailboxes "d", each in the one before. */
static uint32_t add_chain(uint32_t count)
{
	uint32_t index = MBJ_NODE_ROOT;

	for (uint32_t i = 0; i < count; i++)
		index = add(i + 1, index, "d");
	return index;
}

/*
 * Goal: no walk recurses; depth is exact up to its limit.
 * Method: a chain of 20,000 levels, asked at the limit, above and below.
 */
START_TEST(deep_chains_are_walked)
{
	uint32_t bottom = add_chain(20000), *order = NULL;
	struct mbj_error err;
	struct mbj_buf path;
	size_t count = 0;

	ck_assert_uint_eq(mbj_tree_depth(tree, MBJ_DEPTH_MAX - 1),
			  MBJ_DEPTH_MAX);
	ck_assert_uint_eq(mbj_tree_depth(tree, MBJ_DEPTH_MAX),
			  MBJ_DEPTH_MAX + 1);
	ck_assert_uint_eq(mbj_tree_depth(tree, bottom), MBJ_DEPTH_MAX + 1);
	ck_assert(mbj_tree_is_ancestor(tree, 0, bottom));
	ck_assert(!mbj_tree_is_ancestor(tree, bottom, 0));
	test_ok(mbj_tree_check(tree, &err), err);
	mbj_buf_init(&path, 100000);
	mbj_tree_path(tree, bottom, '/', &path);
	test_ok(mbj_buf_ok(&path, &err), err);
	ck_assert_uint_eq(path.n, 39999);
	ck_assert_mem_eq(path.p + path.n - 5, "d/d/d", 5);
	mbj_buf_done(&path);
	mbj_buf_init(&path, 39998);
	mbj_tree_path(tree, bottom, '/', &path);
	test_rc(mbj_buf_ok(&path, NULL), MBJ_ELIMIT);
	mbj_buf_done(&path);
	test_ok(mbj_tree_order(tree, &order, &count, &err), err);
	ck_assert_uint_eq(count, 20000);
	for (uint32_t i = 0; i < count; i++)
		ck_assert_uint_eq(order[i], i);
	mbj_free(order);
}
END_TEST

/*
 * Goal: a path is the stored names from the top down, appended.
 * Method: three levels behind something that is in the buffer already.
 */
START_TEST(paths_are_appended)
{
	uint32_t a = add(1, MBJ_NODE_ROOT, "alpha"), b = add(2, a, "b");
	uint32_t c = add(3, b, "gamma");
	struct mbj_error err;
	struct mbj_buf path;

	mbj_buf_init(&path, 100);
	mbj_buf_put_str(&path, "> ");
	mbj_tree_path(tree, c, '.', &path);
	mbj_buf_put_str(&path, " ");
	mbj_tree_path(tree, a, '.', &path);
	test_ok(mbj_buf_ok(&path, &err), err);
	ck_assert_uint_eq(path.n, strlen("> alpha.b.gamma alpha"));
	ck_assert_mem_eq(path.p, "> alpha.b.gamma alpha", path.n);
	mbj_buf_done(&path);
}
END_TEST

/* ------------------------------------------------------------- the order */

/* Whether b may follow a directly in a listing of the tree. */
static bool order_is_right(const struct mbj_tree *t, uint32_t a, uint32_t b)
{
	const struct mbj_node *next = mbj_tree_get(t, b);
	uint32_t at = a;

	/* Up from a until a sibling of b, or b's parent. */
	while (at < mbj_tree_size(t)) {
		const struct mbj_node *node = mbj_tree_get(t, at);

		if (at == next->parent)
			return at == a;
		if (node->parent == next->parent)
			return mbj_bytes_compare(node->name.key,
						 next->name.key) < 0;
		at = node->parent;
	}
	return next->parent == MBJ_NODE_TEMP;
}

/*
 * Goal: a listing has each mailbox once, before all below it, siblings by key.
 * Method: random trees, each neighbouring pair of the listing judged.
 */
START_TEST(order_is_that_of_a_listing)
{
	struct test_rng rng;
	static const char *const names[] = {"a",	 "aa", "aaaaaaaaa",
					    "aaaaaaaab", "b",  "B",
					    "\xc3\xa4",	 "z",  "zz",
					    "0"};
	struct mbj_error err;
	uint32_t *order = NULL;
	size_t count = 0;

	(void)test_rng_seed(&rng);
	test_ok(mbj_tree_order(tree, &order, &count, &err), err);
	ck_assert_uint_eq(count, 0);
	mbj_free(order);
	for (uint32_t i = 0; i < 3000; i++) {
		struct mbj_node node = test_node(
			i,
			i % 100 == 3  ? MBJ_NODE_TEMP
			: i % 10 == 0 ? MBJ_NODE_ROOT
				      : test_pick(&rng, mbj_tree_size(tree)),
			names[test_pick(&rng, 10)]);
		enum mbj_rc rc;
		uint32_t index;

		rc = mbj_tree_add(tree, &node, &index, NULL);
		ck_assert(rc == MBJ_OK || rc == MBJ_EEXISTS);
	}
	test_ok(mbj_tree_order(tree, &order, &count, &err), err);
	ck_assert_uint_gt(count, 1000);
	ck_assert_uint_eq(count, mbj_tree_live_count(tree));
	for (size_t i = 1; i < count; i++)
		ck_assert(order_is_right(tree, order[i - 1], order[i]));
	mbj_free(order);
}
END_TEST

/* ------------------------------------------------------------- the check */

static void expect_damage(const char *words)
{
	struct mbj_error err;

	test_rc(mbj_tree_check(tree, &err), MBJ_ECORRUPT);
	ck_assert_msg(strstr(err.message, words) != NULL, "%s: %s", words,
		      err.message);
}

/*
 * Goal: the check sees each invariant broken.
 * Method: break one at a time from inside, look, mend, look again.
 */
START_TEST(check_sees_planted_damage)
{
	uint32_t a = add(1, MBJ_NODE_ROOT, "a"), b = add(2, a, "b");
	struct mbj_node *node = &tree->nodes[b];
	struct mbj_node whole = *node;
	uint64_t hash = tree->links[b].key_hash;
	struct mbj_error err;

	node->parent = MBJ_NODE_ROOT;
	expect_damage("slot");
	node->parent = b;
	expect_damage("below itself");
	node->parent = 99;
	expect_damage("parent");
	*node = whole;
	node->name.key = mbj_bytes_str("c");
	expect_damage("hash");
	*node = whole;
	node->name.stored.n = 0;
	expect_damage("name");
	*node = whole;
	node->id = test_id(9);
	expect_damage("id");
	node->id = MBJ_ID_TEMP;
	expect_damage("reserved");
	*node = whole;
	tree->links[a].child_count++;
	expect_damage("children");
	tree->links[a].child_count--;
	tree->live_count++;
	expect_damage("count");
	tree->live_count--;
	test_ok(mbj_table_add(&tree->by_slot, hash, b, &err), err);
	expect_damage("dead");
	ck_assert(mbj_table_remove(&tree->by_slot, hash, b));
	test_ok(mbj_tree_check(tree, &err), err);
	node->is_live = false;
	expect_damage("count");
}
END_TEST

/* ----------------------------------------------------------- odds and ends */

/*
 * Goal: ids that merely count up spread over the table as random ones do.
 * Method: the upper 32 bits, which the table uses, of 100,000 such ids in
 * 2^17 places; random ones would fill 53 per cent of them.
 */
START_TEST(counting_ids_spread)
{
	enum { PLACES = 1 << 17 };
	uint8_t *places = calloc(PLACES, 1);
	uint32_t filled = 0;

	ck_assert_ptr_nonnull(places);
	for (uint32_t i = 0; i < 100000; i++) {
		struct mbj_id id = test_id(i);

		places[(tree_hash_id(tree, &id) >> 32) % PLACES] = 1;
	}
	for (uint32_t i = 0; i < PLACES; i++)
		filled += places[i];
	ck_assert_uint_gt(filled, PLACES / 2);
	free(places);
}
END_TEST

/*
 * Goal: roles and their words agree both ways, and nothing else is a role.
 * Method: every number and some words that are none.
 */
START_TEST(roles_have_words)
{
	enum mbj_role role = MBJ_ROLE_TRASH;

	for (int i = 0; i <= MBJ_ROLE_TRASH; i++) {
		const char *word = mbj_role_name((enum mbj_role)i);

		ck_assert_ptr_nonnull(word);
		ck_assert(mbj_role_parse(mbj_bytes_str(word), &role));
		ck_assert_int_eq((int)role, i);
	}
	ck_assert_ptr_null(mbj_role_name((enum mbj_role)(MBJ_ROLE_TRASH + 1)));
	ck_assert(!mbj_role_parse(mbj_bytes_str("Inbox"), &role));
	ck_assert(!mbj_role_parse(mbj_bytes_str("trash "), &role));
	ck_assert_str_eq(mbj_role_name(MBJ_ROLE_NONE), "");
	ck_assert_str_eq(mbj_role_name(MBJ_ROLE_JUNK), "junk");
}
END_TEST

/*
 * Goal: room reserved is room enough, and there is an end to it.
 * Method: reserve, fill, then ask for more than a tree may ever hold.
 */
START_TEST(reserve_is_bounded)
{
	struct mbj_error err;

	test_ok(mbj_tree_reserve(tree, 100, &err), err);
	(void)add_chain(100);
	test_ok(mbj_tree_check(tree, &err), err);
	test_rc(mbj_tree_reserve(tree, TREE_NODES_MAX - 99, &err), MBJ_ELIMIT);
	test_rc(mbj_tree_reserve(tree, SIZE_MAX, &err), MBJ_ELIMIT);
	mbj_tree_edit(tree, 3)->rev = 17;
	ck_assert_uint_eq(mbj_tree_get(tree, 3)->rev, 17);
	ck_assert_ptr_nonnull(mbj_arena_alloc(mbj_tree_arena(tree), 10));
}
END_TEST

/* Everything that allocates, once; false where memory ran out. */
static bool use_memory(struct mbj_tree *t)
{
	struct mbj_node node = test_node(100, MBJ_NODE_ROOT, "loose");
	struct mbj_name name = {mbj_bytes_str("Moved"), mbj_bytes_str("moved")};
	struct mbj_tree *copy = NULL;
	uint32_t *order = NULL, index;
	size_t count;
	bool is_done;

	is_done = mbj_tree_add_loose(t, &node, &index, NULL) == MBJ_OK &&
		  mbj_tree_settle(t, NULL) == MBJ_OK &&
		  mbj_tree_move(t, index, 0, &name, NULL) == MBJ_OK &&
		  mbj_tree_reserve(t, 1000, NULL) == MBJ_OK &&
		  mbj_tree_dup(t, &copy, NULL) == MBJ_OK &&
		  mbj_tree_order(t, &order, &count, NULL) == MBJ_OK &&
		  mbj_tree_check(t, NULL) == MBJ_OK;
	mbj_tree_free(&copy);
	mbj_free(order);
	return is_done;
}

/*
 * Goal: out of memory anywhere leaves a valid tree, and nothing leaks.
 * Method: fail the first, second, ... allocation of a tree's whole life until
 * none fails; check what is left each time.
 */
START_TEST(trees_survive_failed_allocations)
{
	uint64_t k = 0;
	bool is_done;

	do {
		struct mbj_tree *t = NULL;
		struct mbj_error err;
		uint32_t index, added = 0;

		test_alloc_fail_at(++k);
		is_done = mbj_tree_new(7, &t, NULL) == MBJ_OK;
		for (uint32_t i = 0; i < 40 && is_done; i++) {
			struct mbj_node node;
			char text[16];

			(void)snprintf(text, sizeof(text), "n%u", i);
			node = test_node(i, MBJ_NODE_ROOT, text);
			is_done =
				mbj_tree_add(t, &node, &index, NULL) == MBJ_OK;
			added += is_done;
		}
		is_done = is_done && use_memory(t);
		test_alloc_fail_at(0);
		if (t == NULL)
			continue;
		test_ok(mbj_tree_check(t, &err), err);
		ck_assert_uint_ge(mbj_tree_live_count(t), added);
		mbj_tree_free(&t);
	} while (!is_done);
	ck_assert_uint_gt(k, 15);
}
END_TEST

TCase *test_tree_case(void)
{
	TCase *all = tcase_create("tree");

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, bad_nodes_are_refused);
	tcase_add_test(all, messages_show_names_escaped);
	tcase_add_test(all, removed_nodes_leave_id_and_slot);
	tcase_add_test(all, stored_name_may_change_in_place);
	tcase_add_test(all, copies_are_independent);
	tcase_add_test(all, deep_chains_are_walked);
	tcase_add_test(all, paths_are_appended);
	tcase_add_test(all, order_is_that_of_a_listing);
	tcase_add_test(all, check_sees_planted_damage);
	tcase_add_test(all, counting_ids_spread);
	tcase_add_test(all, roles_have_words);
	tcase_add_test(all, reserve_is_bounded);
	tcase_add_test(all, trees_survive_failed_allocations);
	return all;
}
