/*
 * An account's tree in the state: loading it where something fails on the way,
 * and mailboxes that lie deep in it.
 */
#include <errno.h>

#include <mbj/state.h>

#include "cases.h"

/* What a system without a random source says. */
static int random_missing(void *ctx, void *p, size_t n)
{
	return ctx == p && n == 0 ? 0 : -ENOENT;
}

/*
 * Goal: only the scan's end is its end, not whatever else is not found.
 * Method: load where there is no random source for the tree's seed.
 */
START_TEST(test_missing_random)
{
	struct mbj_state_options options = MBJ_STATE_OPTIONS_DEFAULT;
	struct mbj_sys sys = *mbj_sys_posix();
	struct mbj_state *state = NULL;
	struct mbj_tree *tree = NULL;
	struct mbj_txn *txn = NULL;
	char *tmpdir = test_tmpdir_new();
	char *home = test_path_dup(tmpdir, "state");
	struct mbj_error err;

	options.engine = MBJ_STATE_MEMORY;
	test_ok(mbj_state_open(&sys, home, test_id(999), &options, &state,
			       &err),
		err);
	test_ok(mbj_txn_begin(state, &txn, &err), err);
	sys.random = random_missing;
	test_rc(mbj_txn_tree_load(txn, test_id(1000), &tree, &err),
		MBJ_ENOTFOUND);
	ck_assert_ptr_null(tree);
	mbj_txn_abort(&txn);
	mbj_state_close(&state);
	free(home);
	test_tmpdir_free(&tmpdir);
}
END_TEST

enum { DEEP = 3 * MBJ_DEPTH_MAX };

/* Of that number, from below one to below another, where it is called y. */
static enum mbj_rc deep_move(struct mbj_txn *txn, uint64_t number,
			     const char *name, struct mbj_id from,
			     struct mbj_id to, struct mbj_error *err)
{
	const struct mbj_bytes before = mbj_bytes_str(name);
	const struct mbj_bytes after = mbj_bytes_str("y");
	const struct mbj_slot slots[] = {{from, {before, before}},
					 {to, {after, after}}};

	return mbj_txn_mailbox_move(txn, test_id(1000), test_id(number), 1,
				    &slots[0], &slots[1], 0, err);
}

static void deep_create(struct mbj_txn *txn, uint64_t number, const char *name,
			struct mbj_id parent, struct mbj_error *err)
{
	const struct mbj_bytes bytes = mbj_bytes_str(name);
	const struct mbj_mailbox mailbox = {
		.id = test_id(number),
		.name = {bytes, bytes},
		.parent = parent,
		.is_selectable = true,
	};

	test_ok(mbj_txn_mailbox_create(txn, test_id(1000), &mailbox, err),
		*err);
}

/*
 * Goal: what came along with its parent may lie deeper than a mailbox that an
 * edit names, and in the midst of an edit others go below it, with what is
 * below them and without; a mailbox never comes to lie below itself, however
 * deep that is.
 */
START_TEST(test_deep)
{
	struct mbj_state_options options = MBJ_STATE_OPTIONS_DEFAULT;
	const struct mbj_account account = {
		.id = test_id(1000),
		.policy = MBJ_NAME_POLICY_DEFAULT,
		.name = mbj_bytes_str("alice"),
	};
	const struct mbj_id lowest = test_id(DEEP);
	const uint64_t leaf = DEEP + 1, pair = DEEP + 2;
	struct mbj_state *state = NULL;
	struct mbj_txn *txn = NULL;
	char *tmpdir = test_tmpdir_new();
	char *home = test_path_dup(tmpdir, "state");
	struct mbj_error err;

	options.engine = MBJ_STATE_MEMORY;
	test_ok(mbj_state_open(mbj_sys_posix(), home, test_id(999), &options,
			       &state, &err),
		err);
	test_ok(mbj_txn_begin(state, &txn, &err), err);
	test_ok(mbj_txn_account_create(txn, &account, &err), err);
	for (uint64_t i = 1; i <= DEEP; i++)
		deep_create(txn, i, "x", i == 1 ? MBJ_ID_ROOT : test_id(i - 1),
			    &err);
	deep_create(txn, leaf, "leaf", MBJ_ID_ROOT, &err);
	deep_create(txn, pair, "pair", MBJ_ID_ROOT, &err);
	deep_create(txn, pair + 1, "x", test_id(pair), &err);
	test_rc(deep_move(txn, 1, "x", MBJ_ID_ROOT, lowest, &err),
		MBJ_ECONFLICT);
	test_rc(deep_move(txn, DEEP - 1, "x", test_id(DEEP - 2), lowest, &err),
		MBJ_ECONFLICT);
	test_rc(deep_move(txn, DEEP, "x", test_id(DEEP - 1), lowest, &err),
		MBJ_ECONFLICT);
	test_ok(deep_move(txn, leaf, "leaf", MBJ_ID_ROOT, lowest, &err), err);
	test_ok(deep_move(txn, pair, "pair", MBJ_ID_ROOT, test_id(leaf), &err),
		err);
	test_ok(deep_move(txn, DEEP, "x", test_id(DEEP - 1), MBJ_ID_ROOT, &err),
		err);
	test_ok(deep_move(txn, 1, "x", MBJ_ID_ROOT, test_id(pair + 1), &err),
		err);
	mbj_txn_abort(&txn);
	mbj_state_close(&state);
	free(home);
	test_tmpdir_free(&tmpdir);
}
END_TEST

TCase *test_tree_load_case(void)
{
	TCase *tc = tcase_create("tree_load");

	tcase_add_test(tc, test_missing_random);
	tcase_add_test(tc, test_deep);
	return tc;
}
