/*
 * Roles, METADATA, and rights to what is no folder: counted and noted, so that
 * whoever leaves knows what to take along by other means.
 */
#include "export_rest.h"

/* Whoever imports gives INBOX its role by itself. */
static bool role_is_lost(const struct mbj_node *node)
{
	bool is_inbox = node->parent == MBJ_NODE_ROOT &&
			mbj_name_is_inbox(node->name.key);

	return node->role != MBJ_ROLE_NONE &&
	       !(is_inbox && node->role == MBJ_ROLE_INBOX);
}

static void roles_tell(const struct mbj_tree *tree, struct mail_report *report)
{
	size_t count = 0;

	for (uint32_t i = 0; i < mbj_tree_size(tree); i++) {
		const struct mbj_node *node = mbj_tree_get(tree, i);

		count += node->is_live && role_is_lost(node);
	}
	if (count > 0)
		mail_note(report, "roles",
			  "%zu mailboxes lose theirs (drafts, sent and the "
			  "like): a Maildir has none, what serves it is "
			  "configured for them",
			  count);
}

/* The account itself, and a place in a path, have no folder. */
static bool has_folder(const struct mbj_tree *tree, struct mbj_id mailbox)
{
	uint32_t index = mbj_tree_find(tree, mailbox);

	return index != MBJ_NODE_NONE &&
	       mbj_tree_get(tree, index)->is_selectable;
}

enum mbj_rc export_rest_tell(struct mbj_txn *txn,
			     const struct mbj_account *account,
			     const struct mbj_tree *tree,
			     struct mail_report *report, struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	size_t metadata = 0, rights = 0;
	struct mbj_attr attr;
	enum mbj_rc rc;

	roles_tell(tree, report);
	rc = mbj_scan_account_attrs(txn, account->id, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_attr(&scan, &attr, err);
		if (rc < 0)
			break;
		metadata += attr.kind == MBJ_ATTR_METADATA;
		rights += attr.kind == MBJ_ATTR_ACL &&
			  !has_folder(tree, attr.mailbox);
	}
	mbj_scan_done(&scan);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	if (metadata > 0)
		mail_note(report, "METADATA",
			  "%zu entries are not written: a Maildir has no place "
			  "for them",
			  metadata);
	if (rights > 0)
		mail_note(report, "rights",
			  "%zu entries are of what has no folder in a Maildir, "
			  "and are not written",
			  rights);
	return MBJ_OK;
}
