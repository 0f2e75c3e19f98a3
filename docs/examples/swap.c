/*
 * swap STORE ACCOUNT MAILBOX MAILBOX
 *
 * Two mailboxes exchange their places in one edit, by their ids, and only if
 * the account is still as it was when it was read.  IMAP has no command for
 * this: three renames would show a name to clients that nobody asked for, and
 * leave it behind where the second one fails.
 */
#include <stdio.h>

#include <mbj/mbj.h>

/* One mailbox to where another one is; name lives as long as places do. */
static struct mbj_change move_to(const struct mbj_tree *tree,
				 const struct mbj_place *who,
				 const struct mbj_place *where)
{
	const struct mbj_node *node =
		mbj_tree_get(tree, mbj_tree_find(tree, where->mailbox.id));

	return (struct mbj_change){
		.kind = MBJ_CHANGE_UPDATE,
		.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
		.id = who->mailbox.id,
		.parent = where->mailbox.parent,
		.name = node->name.stored,
	};
}

/* MBJ_OK with *ret_is_done false: the account has changed in between. */
static enum mbj_rc swap(struct mbj_client *client, char **names,
			bool *ret_is_done, struct mbj_error *err)
{
	struct mbj_bytes name = mbj_bytes_str(names[0]);
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_place one = {0}, other = {0};
	struct mbj_account account = {0};
	struct mbj_tree *tree = NULL;
	struct mbj_change changes[2];
	enum mbj_rc rc;

	rc = mbj_client_tree(client, name, &account, &tree, err);
	if (rc == MBJ_OK)
		rc = mbj_client_mailbox(client, name, mbj_bytes_str(names[1]),
					false, &one, err);
	if (rc == MBJ_OK)
		rc = mbj_client_mailbox(client, name, mbj_bytes_str(names[2]),
					false, &other, err);
	*ret_is_done = rc < 0 || (one.account.lsn.v == account.lsn.v &&
				  other.account.lsn.v == account.lsn.v);
	if (rc < 0 || !*ret_is_done)
		goto out;
	changes[0] = move_to(tree, &one, &other);
	changes[1] = move_to(tree, &other, &one);
	edit.kind = MBJ_EDIT_SET;
	edit.account = name;
	edit.changes = changes;
	edit.change_count = 2;
	edit.has_if_in_state = true;
	edit.if_in_state = account.lsn;
	rc = mbj_client_submit(client, &edit, &outcome, err);
	if (rc < 0 && err->refusal == MBJ_REFUSAL_STATE_MISMATCH) {
		*ret_is_done = false;
		rc = MBJ_OK;
	} else if (rc == MBJ_OK && outcome.refused_count > 0) {
		for (size_t i = 0; i < 2; i++)
			if (outcome.results[i].description != NULL)
				(void)fprintf(stderr, "swap: %s\n",
					      outcome.results[i].description);
		rc = MBJ_EINVALID;
	} else if (rc == MBJ_OK) {
		(void)printf("group %llu: %zu mailboxes moved, %zu parked on "
			     "the way\n",
			     (unsigned long long)outcome.lsn.v,
			     outcome.lower_bound, outcome.parks);
	}
out:
	mbj_outcome_done(&outcome);
	mbj_tree_free(&tree);
	return rc;
}

int main(int argc, char **argv)
{
	struct mbj_error err = {.rc = MBJ_OK};
	struct mbj_client *client = NULL;
	bool is_done = false;
	enum mbj_rc rc;

	if (argc != 5) {
		(void)fprintf(stderr, "swap STORE ACCOUNT MAILBOX MAILBOX\n");
		return 2;
	}
	rc = mbj_client_open(argv[1], &client, &err);
	while (rc == MBJ_OK && !is_done)
		rc = swap(client, argv + 2, &is_done, &err);
	mbj_client_close(&client);
	if (rc < 0 && err.message[0] != '\0')
		(void)fprintf(stderr, "swap: %s\n", err.message);
	return rc < 0;
}
