/*
 * A program that uses the installed library: makes a store, imports an
 * account, swaps two mailboxes, reads the tree back.
 */
#include <stdio.h>
#include <string.h>

#include <mbj/mbj.h>

static int fail(const struct mbj_error *err)
{
	(void)fprintf(stderr, "%s\n", err->message);
	return 1;
}

static int swap(struct mbj_store *store, struct mbj_error *err)
{
	const struct mbj_change mailboxes[] = {
		{.kind = MBJ_CHANGE_CREATE,
		 .has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
		 .id = {{1}},
		 .name = {(const uint8_t *)"A", 1}},
		{.kind = MBJ_CHANGE_CREATE,
		 .has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
		 .id = {{2}},
		 .name = {(const uint8_t *)"B", 1}},
	};
	const struct mbj_rename renames[] = {
		{{(const uint8_t *)"A", 1}, {(const uint8_t *)"B", 1}},
		{{(const uint8_t *)"B", 1}, {(const uint8_t *)"A", 1}},
	};
	struct mbj_outcome outcome = {0};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	enum mbj_rc rc;

	edit.kind = MBJ_EDIT_IMPORT;
	edit.account = mbj_bytes_str("alice");
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = mailboxes;
	edit.change_count = 2;
	rc = mbj_store_submit(store, &edit, &outcome, err);
	mbj_outcome_done(&outcome);
	if (rc < 0)
		return rc;
	memset(&outcome, 0, sizeof(outcome));
	edit.kind = MBJ_EDIT_RENAME;
	edit.renames = renames;
	edit.rename_count = 2;
	rc = mbj_store_submit(store, &edit, &outcome, err);
	if (rc == MBJ_OK)
		(void)printf("swapped in group %llu with %zu parks\n",
			     (unsigned long long)outcome.lsn.v, outcome.parks);
	mbj_outcome_done(&outcome);
	return rc;
}

int main(int argc, char **argv)
{
	struct mbj_store *store = NULL;
	struct mbj_error err;
	int rc;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: %s NEW_STORE\n", argv[0]);
		return 2;
	}
	if (mbj_store_init(argv[1], MBJ_STORE_PRIMARY, NULL, &err) < 0)
		return fail(&err);
	if (mbj_store_open(argv[1], NULL, &store, &err) < 0)
		return fail(&err);
	rc = swap(store, &err);
	mbj_store_close(&store);
	return rc < 0 ? fail(&err) : 0;
}
