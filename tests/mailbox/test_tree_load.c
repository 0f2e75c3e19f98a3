/*
 * Loading an account's tree from the state, where something fails on the way.
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

TCase *test_tree_load_case(void)
{
	TCase *tc = tcase_create("tree_load");

	tcase_add_test(tc, test_missing_random);
	return tc;
}
