/*
 * Random edits: SETs against a naive model, and runs of renames against what
 * they amount to.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edit_lab.h"
#include "edit_model.h"
#include "journal_cases.h"

enum { SET_ACCOUNTS = 10, SET_ROUNDS = 40, RUN_ACCOUNTS = 5, RUN_LENGTH = 20 };

enum { SHOWN_MAX = SET_ROUNDS * MODEL_BOXES_MAX };

static struct edit_lab lab;
static struct test_rng rng;

static void setup(void)
{
	edit_lab_begin(&lab, MBJ_STATE_BERKELEY_DB);
	(void)test_rng_seed(&rng);
}

static void teardown(void)
{
	edit_lab_end(&lab);
}

static int below(int bound)
{
	return (int)test_rng_below(&rng, (uint64_t)bound);
}

static struct mbj_id box_id(int box)
{
	char tag[16] = "";

	if (box != MODEL_NONE)
		(void)snprintf(tag, sizeof(tag), "b%d", box);
	return edit_lab_id(tag);
}

/* ----------------------------------------------------------------- sets */

static struct mbj_tree *load(const char *account)
{
	struct mbj_tree *tree = NULL;

	LAB_OK(mbj_txn_tree_load(lab.txns[0],
				 edit_lab_account(&lab, account).id, &tree,
				 err));
	return tree;
}

/* Mostly a mailbox that is there, now and then one that is not. */
static int random_box(const struct model *model)
{
	int box = below(model->count);

	for (int i = 0; i < 100 && !model->boxes[box].is_live; i++)
		box = below(model->count);
	return box;
}

/* A wish, and whether it is refused whatever the others are. */
static void random_wish(struct model *model, struct model_wish *wishes, int i)
{
	static const enum model_kind kinds[] = {MODEL_CREATE, MODEL_UPDATE,
						MODEL_UPDATE, MODEL_UPDATE,
						MODEL_UPDATE, MODEL_DESTROY};
	struct model_wish *wish = &wishes[i];

	wish->kind = kinds[below((int)(sizeof(kinds) / sizeof(kinds[0])))];
	if (i == 0)
		wish->kind = MODEL_CREATE; /* or there soon is nothing left */
	wish->parent = below(3) > 0 ? random_box(model) : MODEL_NONE;
	if (below(6) == 0)
		wish->parent = model->count - 1; /* a create's, maybe */
	wish->name = (char)('a' + below(4));
	wish->is_refused = false;
	wish->box = below(30) > 0 ? random_box(model) : below(model->count);
	if (wish->kind == MODEL_CREATE) {
		wish->box = model->count;
		model->boxes[model->count++].is_live = false;
	} else if (!model->boxes[wish->box].is_live) {
		wish->is_refused = true;
	}
}

/* What each wish is refused for by itself, once all of them are known. */
static void judge_alone(const struct model *model, struct model_wish *wishes,
			int count)
{
	for (int i = 0; i < count; i++) {
		struct model_wish *wish = &wishes[i];
		bool is_parent = wish->parent == MODEL_NONE ||
				 model->boxes[wish->parent].is_live;

		for (int k = 0; k < count; k++) {
			if (wishes[k].kind == MODEL_CREATE &&
			    wishes[k].box == wish->parent)
				is_parent = true;
			if (wishes[k].box != wish->box)
				continue;
			if (wish->kind == MODEL_UPDATE &&
			    wishes[k].kind == MODEL_DESTROY)
				wish->is_refused = true;
			if (wishes[k].kind == wish->kind && k < i)
				wish->is_refused = true;
		}
		if (wish->kind != MODEL_DESTROY && !is_parent)
			wish->is_refused = true;
	}
}

static void run_set(const struct model_wish *wishes, int count)
{
	static const enum mbj_change_kind kinds[] = {MBJ_CHANGE_CREATE,
						     MBJ_CHANGE_UPDATE,
						     MBJ_CHANGE_DESTROY};
	struct mbj_change changes[MODEL_WISHES_MAX] = {{0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	for (int i = 0; i < count; i++) {
		changes[i].kind = kinds[wishes[i].kind];
		changes[i].id = box_id(wishes[i].box);
		if (wishes[i].kind == MODEL_DESTROY)
			continue;
		changes[i].has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT;
		changes[i].parent = box_id(wishes[i].parent);
		changes[i].name = mbj_bytes_make(&wishes[i].name, 1);
	}
	edit.kind = MBJ_EDIT_SET;
	edit.account = mbj_bytes_str("u");
	edit.changes = changes;
	edit.change_count = (size_t)count;
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
}

static void compare(const struct model *model, const struct model_wish *wishes,
		    int count)
{
	struct mbj_account account = edit_lab_account(&lab, "u");
	uint64_t live = 1; /* INBOX */

	for (int i = 0; i < count; i++)
		ck_assert_msg((lab.outcome.results[i].refusal !=
			       MBJ_REFUSAL_NONE) == wishes[i].is_refused,
			      "change %d: %s", i,
			      mbj_refusal_type(lab.outcome.results[i].refusal));
	for (int i = 0; i < model->count; i++) {
		struct mbj_mailbox mailbox;

		if (!model->boxes[i].is_live)
			continue;
		live++;
		LAB_OK(mbj_txn_mailbox_get(lab.txns[0], account.id, box_id(i),
					   &mailbox, err));
		ck_assert(mbj_id_equal(mailbox.parent,
				       box_id(model->boxes[i].parent)));
		ck_assert_int_eq(mailbox.name.stored.p[0],
				 model->boxes[i].name);
	}
	ck_assert_uint_eq(account.mailbox_count, live);
}

/*
 * Full names and the UIDVALIDITY that they had: all that were ever shown, and
 * of those that a mailbox was moved away from, or deleted at, the highest.
 */
struct shown {
	char path[1024];
	uint32_t uidvalidity;
	struct mbj_id id;
};

struct memory {
	struct shown shown[SHOWN_MAX];
	size_t shown_count;
	struct shown left[SHOWN_MAX];
	size_t left_count;
};

static void shown_get(const struct mbj_tree *tree, uint32_t index,
		      struct shown *ret_shown)
{
	const struct mbj_node *node = mbj_tree_get(tree, index);
	struct mbj_buf path;

	*ret_shown = (struct shown){.uidvalidity = node->uidvalidity,
				    .id = node->id};
	mbj_buf_init(&path, sizeof(ret_shown->path) - 1);
	mbj_tree_path(tree, index, '/', &path);
	ck_assert_int_eq(path.failed, MBJ_OK);
	memcpy(ret_shown->path, path.p, path.n);
	mbj_buf_done(&path);
}

/* It is in both trees, in the same slot: nobody moved it by itself. */
static bool is_unmoved(const struct mbj_tree *one, uint32_t index,
		       const struct mbj_tree *other)
{
	const struct mbj_node *node = mbj_tree_get(one, index);
	uint32_t found = mbj_tree_find(other, node->id);
	const struct mbj_node *same;

	if (found == MBJ_NODE_NONE)
		return false;
	same = mbj_tree_get(other, found);
	if (!mbj_bytes_equal(node->name.key, same->name.key) ||
	    (node->parent == MBJ_NODE_ROOT) != (same->parent == MBJ_NODE_ROOT))
		return false;
	return node->parent == MBJ_NODE_ROOT ||
	       mbj_id_equal(mbj_tree_get(one, node->parent)->id,
			    mbj_tree_get(other, same->parent)->id);
}

/*
 * RFC 9051 section 2.3.1.1: a name and a UIDVALIDITY never mean two mailboxes,
 * whatever happened in between.
 */
static void remember_shown(struct memory *memory, const struct shown *now)
{
	size_t k = 0;

	while (k < memory->shown_count &&
	       (memory->shown[k].uidvalidity != now->uidvalidity ||
		strcmp(memory->shown[k].path, now->path) != 0))
		k++;
	if (k == memory->shown_count) {
		ck_assert_uint_lt(k, SHOWN_MAX);
		memory->shown[memory->shown_count++] = *now;
	}
	ck_assert_msg(mbj_id_equal(memory->shown[k].id, now->id),
		      "two mailboxes were \"%s\" with UIDVALIDITY %u",
		      now->path, (unsigned)now->uidvalidity);
}

static struct shown *left_find(struct memory *memory, const char *path)
{
	size_t k = 0;

	while (k < memory->left_count &&
	       strcmp(memory->left[k].path, path) != 0)
		k++;
	if (k == memory->left_count) {
		ck_assert_uint_lt(k, SHOWN_MAX);
		memcpy(memory->left[k].path, path, strlen(path) + 1);
		memory->left[k].uidvalidity = 0;
		memory->left_count++;
	}
	return &memory->left[k];
}

/* Names that were left first, then those that were taken. */
static void look_at_names(struct memory *memory, const struct mbj_tree *before,
			  const struct mbj_tree *after)
{
	struct shown now;

	for (uint32_t i = 0; i < mbj_tree_size(before); i++) {
		struct shown *left;

		if (is_unmoved(before, i, after))
			continue;
		shown_get(before, i, &now);
		left = left_find(memory, now.path);
		if (left->uidvalidity < now.uidvalidity)
			left->uidvalidity = now.uidvalidity;
	}
	for (uint32_t i = 0; i < mbj_tree_size(after); i++) {
		shown_get(after, i, &now);
		remember_shown(memory, &now);
		/* It may come back to a name that it had itself. */
		if (!is_unmoved(after, i, before))
			ck_assert_uint_ge(
				now.uidvalidity,
				left_find(memory, now.path)->uidvalidity);
	}
}

/*
 * SETs do what the model says, and refuse what it says.  Random requests on
 * few names, so that nearly everything is in the way of something.
 */
START_TEST(sets)
{
	struct memory *memory = calloc(1, sizeof(*memory));
	struct model model = {.count = 0};

	ck_assert_ptr_nonnull(memory);
	edit_lab_import(&lab, "u", "");
	for (int round = 0; round < SET_ROUNDS; round++) {
		struct model_wish wishes[MODEL_WISHES_MAX];
		struct mbj_tree *before = load("u");
		struct mbj_tree *after;
		int count = 1 + below(MODEL_WISHES_MAX);

		/* Creates first, where there is nothing to choose from yet. */
		for (int i = 0; i < count; i++) {
			if (model.count + 1 >= MODEL_BOXES_MAX)
				count = i;
			else if (model.count == 0)
				model.boxes[model.count++].is_live = false;
			if (i < count)
				random_wish(&model, wishes, i);
		}
		judge_alone(&model, wishes, count);
		run_set(wishes, count);
		model_set(&model, wishes, count);
		compare(&model, wishes, count);
		after = load("u");
		look_at_names(memory, before, after);
		mbj_tree_free(&before);
		mbj_tree_free(&after);
	}
	free(memory);
}
END_TEST

/* ----------------------------------------------------------------- runs */

/* The path of a random mailbox of the account, or of a name below one. */
static void random_path(const struct mbj_tree *tree, bool is_new,
			char path[256])
{
	struct mbj_buf buf;

	mbj_buf_init(&buf, 1 << 16);
	if (!is_new || below(4) > 0)
		mbj_tree_path(tree, (uint32_t)below((int)mbj_tree_size(tree)),
			      '/', &buf);
	if (buf.n > 100)
		buf.n = 0;
	if (buf.n == 0 || is_new)
		mbj_buf_format(&buf, "%s%c", buf.n > 0 ? "/" : "",
			       'a' + below(6));
	ck_assert_int_eq(buf.failed, MBJ_OK);
	memcpy(path, buf.p, buf.n);
	path[buf.n] = '\0';
	mbj_buf_done(&buf);
}

static void reconcile(const struct mbj_tree *tree, const char *account)
{
	uint32_t count = mbj_tree_size(tree);
	struct mbj_change *changes = calloc(count, sizeof(*changes));
	struct mbj_edit edit = MBJ_EDIT_INIT;

	ck_assert_ptr_nonnull(changes);
	for (uint32_t i = 0; i < count; i++) {
		const struct mbj_node *node = mbj_tree_get(tree, i);

		changes[i].kind = MBJ_CHANGE_CREATE;
		changes[i].has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT |
				 MBJ_CHANGE_HAS_SELECTABLE;
		changes[i].id = node->id;
		changes[i].name = node->name.stored;
		changes[i].parent = MBJ_ID_ROOT;
		changes[i].is_selectable = node->is_selectable;
		if (node->parent != MBJ_NODE_ROOT)
			changes[i].parent =
				mbj_tree_get(tree, node->parent)->id;
	}
	edit.kind = MBJ_EDIT_RECONCILE;
	edit.account = mbj_bytes_str(account);
	edit.changes = changes;
	edit.change_count = count;
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	free(changes);
}

/*
 * A run of single renames, and one RECONCILE from the first tree to the last,
 * end in the same tree.  Random renames on one of two equal accounts.
 */
START_TEST(runs)
{
	static const char *const words = "a a/b a/b/c b b/a c/a c !d d/d";
	char expected[EDIT_LAB_TEXT_MAX];
	struct mbj_tree *tree;
	unsigned done = 0;

	edit_lab_import(&lab, "u", words);
	edit_lab_import(&lab, "v", words);
	for (int i = 0; i < 10 * RUN_LENGTH && done < RUN_LENGTH; i++) {
		char source[256], target[256], rename[600];

		tree = load("u");
		random_path(tree, false, source);
		random_path(tree, true, target);
		mbj_tree_free(&tree);
		(void)snprintf(rename, sizeof(rename), "%s>%s", source, target);
		done += edit_lab_rename(&lab, "u", rename) == MBJ_OK;
	}
	(void)snprintf(expected, sizeof(expected), "%s",
		       edit_lab_tree(&lab, "u"));
	tree = load("u");
	reconcile(tree, "v");
	mbj_tree_free(&tree);
	ck_assert_str_eq(edit_lab_tree(&lab, "v"), expected);
	ck_assert_uint_ge(done, RUN_LENGTH / 4);
}
END_TEST

TCase *test_edit_model_case(void)
{
	TCase *tc = tcase_create("edit_model");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, sets, 0, SET_ACCOUNTS);
	tcase_add_loop_test(tc, runs, 0, RUN_ACCOUNTS);
	return tc;
}
