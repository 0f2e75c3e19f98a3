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

/* Of that number; below the one before it, or at the top. */
static enum mbj_rc deep_move(struct mbj_txn *txn, uint64_t number, uint64_t rev,
			     struct mbj_id from, struct mbj_id to,
			     struct mbj_error *err)
{
	const struct mbj_name name = {mbj_bytes_str("x"), mbj_bytes_str("x")};
	const struct mbj_slot before = {from, name};
	struct mbj_slot after = {to, name};

	after.name.stored = after.name.key = mbj_bytes_str("y");
	return mbj_txn_mailbox_move(txn, test_id(1000), test_id(number), rev,
				    &before, &after, 0, err);
}

/*
 * Goal: what came along with its parent may lie deeper than a mailbox that an
 * edit names, and in the midst of an edit others go below it; a mailbox never
 * comes to lie below itself, however deep that is.
 */
START_TEST(test_deep)
{
	struct mbj_state_options options = MBJ_STATE_OPTIONS_DEFAULT;
	const struct mbj_account account = {
		.id = test_id(1000),
		.policy = MBJ_NAME_POLICY_DEFAULT,
		.name = mbj_bytes_str("alice"),
	};
	struct mbj_mailbox mailbox = {
		.name = {mbj_bytes_str("x"), mbj_bytes_str("x")},
		.parent = MBJ_ID_ROOT,
		.is_selectable = true,
	};
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
	for (uint64_t i = 1; i <= DEEP + 1; i++) {
		/* The last one is at the top, beside the first. */
		mailbox.id = test_id(i);
		if (i > DEEP) {
			mailbox.parent = MBJ_ID_ROOT;
			mailbox.name.stored = mbj_bytes_str("z");
			mailbox.name.key = mailbox.name.stored;
		}
		test_ok(mbj_txn_mailbox_create(txn, account.id, &mailbox, &err),
			err);
		mailbox.parent = mailbox.id;
	}
	test_rc(deep_move(txn, 1, 1, MBJ_ID_ROOT, test_id(DEEP), &err),
		MBJ_ECONFLICT);
	test_ok(deep_move(txn, DEEP, 1, test_id(DEEP - 1), MBJ_ID_ROOT, &err),
		err);
	test_ok(deep_move(txn, 2, 1, test_id(1), test_id(DEEP), &err), err);
	test_ok(deep_move(txn, 1, 1, MBJ_ID_ROOT, test_id(DEEP - 1), &err),
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
