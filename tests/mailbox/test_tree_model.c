/*
 * Random changes of a tree, beside a model that knows no hash table and looks
 * through everything each time.
 */
#include "cases.h"

/* ------------------------------------------------------------ the model */

enum {
	MODEL_IDS = 48,
	MODEL_NAMES = 10,
	MODEL_OPS = 100000,
	MODEL_CHECK_EVERY = 500,
};

/* Mailboxes by number; parents are numbers, or one of these. */
enum { MODEL_ROOT = -1, MODEL_TEMP = -2 };

struct model {
	struct {
		bool is_live;
		int parent;
		int name;
	} box[MODEL_IDS];
};

static bool model_is_parent(const struct model *model, int parent)
{
	return parent < 0 || model->box[parent].is_live;
}

static int model_at(const struct model *model, int parent, int name)
{
	for (int i = 0; i < MODEL_IDS; i++) {
		if (model->box[i].is_live && model->box[i].parent == parent &&
		    model->box[i].name == name)
			return i;
	}
	return -1;
}

static bool model_has_children(const struct model *model, int box)
{
	for (int i = 0; i < MODEL_IDS; i++) {
		if (model->box[i].is_live && model->box[i].parent == box)
			return true;
	}
	return false;
}

static bool model_is_below(const struct model *model, int box, int above)
{
	for (int i = box; i >= 0; i = model->box[i].parent) {
		if (i == above)
			return true;
	}
	return false;
}

static uint32_t model_depth(const struct model *model, int box)
{
	uint32_t depth = 0;

	for (int i = box; i >= 0; i = model->box[i].parent)
		depth++;
	return depth;
}

/* ---------------------------------------------- the tree beside the model */

struct pair {
	struct mbj_tree *tree;
	struct model model;
};

static uint32_t pair_index(const struct pair *pair, int box)
{
	uint32_t index;

	if (box == MODEL_ROOT)
		return MBJ_NODE_ROOT;
	if (box == MODEL_TEMP)
		return MBJ_NODE_TEMP;
	index = mbj_tree_find(pair->tree, test_id((uint32_t)box));
	ck_assert_int_eq(index != MBJ_NODE_NONE, pair->model.box[box].is_live);
	return index;
}

/* Keys fold the case of their first letter away: "Name3" and "name3". */
static struct mbj_name pair_name(int name, bool is_upper)
{
	static const char lower[MODEL_NAMES][8] = {"name0", "name1", "name2",
						   "name3", "name4", "name5",
						   "name6", "name7", "name8",
						   "name9"};
	static const char upper[MODEL_NAMES][8] = {"Name0", "Name1", "Name2",
						   "Name3", "Name4", "Name5",
						   "Name6", "Name7", "Name8",
						   "Name9"};
	struct mbj_name result;

	result.key = mbj_bytes_str(lower[name]);
	result.stored = mbj_bytes_str(is_upper ? upper[name] : lower[name]);
	return result;
}

static void pair_add(struct pair *pair, struct test_rng *rng)
{
	int box = (int)test_pick(rng, MODEL_IDS);
	int parent = (int)test_pick(rng, MODEL_IDS + 2) - 2;
	int name = (int)test_pick(rng, MODEL_NAMES);
	struct mbj_node node = {.id = test_id((uint32_t)box), .rev = 7};
	enum mbj_rc expected = MBJ_OK, rc;
	uint32_t index = 0;

	/* A dead mailbox has no index to lie under. */
	if (!model_is_parent(&pair->model, parent))
		return;
	node.parent = pair_index(pair, parent);
	node.name = pair_name(name, test_pick(rng, 2) == 0);
	if (pair->model.box[box].is_live ||
	    model_at(&pair->model, parent, name) >= 0)
		expected = MBJ_EEXISTS;
	rc = mbj_tree_add(pair->tree, &node, &index, NULL);
	ck_assert_int_eq(rc, expected);
	if (rc < 0)
		return;
	ck_assert_uint_eq(index, mbj_tree_size(pair->tree) - 1);
	pair->model.box[box].is_live = true;
	pair->model.box[box].parent = parent;
	pair->model.box[box].name = name;
}

static void pair_move(struct pair *pair, struct test_rng *rng)
{
	int box = (int)test_pick(rng, MODEL_IDS);
	int parent = (int)test_pick(rng, MODEL_IDS + 2) - 2;
	int name = (int)test_pick(rng, MODEL_NAMES);
	struct mbj_name new_name = pair_name(name, test_pick(rng, 2) == 0);
	enum mbj_rc expected = MBJ_OK, rc;
	int taken;

	if (!pair->model.box[box].is_live ||
	    !model_is_parent(&pair->model, parent))
		return;
	taken = model_at(&pair->model, parent, name);
	if (model_is_below(&pair->model, parent, box) ||
	    (taken >= 0 && taken != box))
		expected = MBJ_ECONFLICT;
	rc = mbj_tree_move(pair->tree, pair_index(pair, box),
			   pair_index(pair, parent), &new_name, NULL);
	ck_assert_int_eq(rc, expected);
	if (rc < 0)
		return;
	pair->model.box[box].parent = parent;
	pair->model.box[box].name = name;
	ck_assert(mbj_bytes_equal(
		mbj_tree_get(pair->tree, pair_index(pair, box))->name.stored,
		new_name.stored));
}

static void pair_remove(struct pair *pair, struct test_rng *rng)
{
	int box = (int)test_pick(rng, MODEL_IDS);
	bool has_children = model_has_children(&pair->model, box);

	if (!pair->model.box[box].is_live)
		return;
	test_rc(mbj_tree_remove(pair->tree, pair_index(pair, box), NULL),
		has_children ? MBJ_ECONFLICT : MBJ_OK);
	pair->model.box[box].is_live = has_children;
}

static void pair_dup(struct pair *pair)
{
	struct mbj_tree *copy = NULL;
	struct mbj_error err;

	test_ok(mbj_tree_dup(pair->tree, &copy, &err), err);
	ck_assert_uint_eq(mbj_tree_size(copy), mbj_tree_size(pair->tree));
	mbj_tree_free(&pair->tree);
	pair->tree = copy;
}

static void pair_compare_box(const struct pair *pair, int box)
{
	const struct model *model = &pair->model;
	uint32_t index = pair_index(pair, box), children = 0;
	const struct mbj_node *node;
	struct mbj_name name;

	if (!model->box[box].is_live)
		return;
	node = mbj_tree_get(pair->tree, index);
	name = pair_name(model->box[box].name, false);
	ck_assert(mbj_bytes_equal(node->name.key, name.key));
	ck_assert_uint_eq(node->parent,
			  pair_index(pair, model->box[box].parent));
	ck_assert_uint_eq(mbj_tree_find_slot(pair->tree, node->parent,
					     name.key),
			  index);
	ck_assert_uint_eq(mbj_tree_depth(pair->tree, index),
			  model_depth(model, box));
	for (int i = 0; i < MODEL_IDS; i++) {
		if (!model->box[i].is_live)
			continue;
		children += model->box[i].parent == box;
		ck_assert_int_eq(mbj_tree_is_ancestor(pair->tree, index,
						      pair_index(pair, i)),
				 model_is_below(model, i, box));
	}
	ck_assert_uint_eq(mbj_tree_child_count(pair->tree, index), children);
}

static void pair_compare(const struct pair *pair)
{
	struct mbj_error err;
	uint32_t live = 0;

	test_ok(mbj_tree_check(pair->tree, &err), err);
	for (int i = 0; i < MODEL_IDS; i++) {
		live += pair->model.box[i].is_live;
		pair_compare_box(pair, i);
	}
	ck_assert_uint_eq(mbj_tree_live_count(pair->tree), live);
}

/*
 * Goal: every change is refused exactly where its preconditions fail, and
 * leaves a valid tree either way.
 * Method: 100,000 random changes among few ids and names, beside a model.
 */
START_TEST(random_changes_match_the_model)
{
	struct test_rng rng;
	struct pair pair = {.tree = NULL};
	struct mbj_error err;

	(void)test_rng_seed(&rng);
	test_ok(mbj_tree_new(test_rng_next(&rng), &pair.tree, &err), err);
	for (int i = 1; i <= MODEL_OPS; i++) {
		uint32_t choice = test_pick(&rng, 1000);

		if (choice < 400)
			pair_add(&pair, &rng);
		else if (choice < 800)
			pair_move(&pair, &rng);
		else if (choice < 998)
			pair_remove(&pair, &rng);
		else
			pair_dup(&pair);
		if (i % MODEL_CHECK_EVERY == 0)
			pair_compare(&pair);
	}
	mbj_tree_free(&pair.tree);
	ck_assert_ptr_null(pair.tree);
}
END_TEST

TCase *test_tree_model_case(void)
{
	TCase *all = tcase_create("tree_model");

	tcase_add_test(all, random_changes_match_the_model);
	return all;
}
