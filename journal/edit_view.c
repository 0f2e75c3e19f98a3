/*
 * Loading the tree before, on demand.  See edit_view.h.
 *
 * Invariants:
 *   1. a mailbox is in the view only with all of its ancestors;
 *   2. what is in the view is as the transaction has it: nothing is changed
 *      through it, and the edit's own changes come after the last load.
 *
 * Threads: as the transaction.
 */
#include "edit_view.h"

#include <mbj/check.h>

enum mbj_rc edit_view_init(struct edit_view *view, struct mbj_txn *txn,
			   struct mbj_id account, uint64_t seed,
			   struct mbj_error *err)
{
	MBJ_ASSERT(view != NULL && txn != NULL);
	MBJ_ASSERT(!mbj_id_is_reserved(account));
	*view = (struct edit_view){.txn = txn, .account = account};
	return mbj_tree_new(seed, &view->tree, err);
}

void edit_view_done(struct edit_view *view)
{
	mbj_tree_free(&view->tree);
	mbj_free(view->climbed);
	*view = (struct edit_view){0};
}

enum mbj_rc edit_view_whole(struct edit_view *view, struct mbj_error *err)
{
	struct mbj_tree *tree = NULL;
	enum mbj_rc rc;

	MBJ_ASSERT(!view->is_whole);
	MBJ_ASSERT(mbj_tree_size(view->tree) == 0);
	rc = mbj_txn_tree_load(view->txn, view->account, &tree, err);
	if (rc < 0)
		return rc;
	mbj_tree_free(&view->tree);
	view->tree = tree;
	view->is_whole = true;
	return MBJ_OK;
}

/* Read one mailbox; a miss is an answer and costs no message. */
static enum mbj_rc view_read(struct edit_view *view, struct mbj_id id,
			     struct mbj_mailbox *ret_mailbox,
			     bool *ret_is_found, struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = mbj_txn_mailbox_get(view->txn, view->account, id, ret_mailbox,
				 NULL);
	if (rc < 0 && rc != MBJ_ENOTFOUND)
		rc = mbj_txn_mailbox_get(view->txn, view->account, id,
					 ret_mailbox, err);
	if (rc < 0 && rc != MBJ_ENOTFOUND)
		return rc;
	*ret_is_found = rc == MBJ_OK;
	return MBJ_OK;
}

static enum mbj_rc view_add(struct edit_view *view,
			    const struct mbj_mailbox *mailbox,
			    uint32_t *ret_index, struct mbj_error *err)
{
	struct mbj_node node = {
		.id = mailbox->id,
		.parent = MBJ_NODE_ROOT,
		.uidvalidity = mailbox->uidvalidity,
		.name = mailbox->name,
		.rev = mailbox->rev,
		.role = mailbox->role,
		.is_selectable = mailbox->is_selectable,
	};
	char text[MBJ_ID_TEXT_SIZE];
	enum mbj_rc rc;

	if (!mbj_id_is_root(mailbox->parent))
		node.parent = mbj_tree_find(view->tree, mailbox->parent);
	MBJ_ASSERT(node.parent != MBJ_NODE_NONE);
	rc = mbj_tree_add(view->tree, &node, ret_index, err);
	if (rc != MBJ_EEXISTS && rc != MBJ_EINVALID)
		return rc;
	/* Two holders of one slot, or an unsafe name, in our own tables. */
	mbj_id_print(mailbox->id, text);
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "the state's record of mailbox %s contradicts "
			     "that of another; run mbj fsck",
			     text);
}

static enum mbj_rc view_refuse_chain(struct mbj_id id, struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE];

	mbj_id_print(id, text);
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "the parents of mailbox %s in the state do not "
			     "end at the top; run mbj fsck",
			     text);
}

/* Collect mailbox and its ancestors up to one in the view or the top. */
static enum mbj_rc view_climb(struct edit_view *view,
			      const struct mbj_mailbox *lowest,
			      size_t *ret_count, struct mbj_error *err)
{
	struct mbj_mailbox mailbox = *lowest;
	bool is_found = true;
	size_t count = 0;
	enum mbj_rc rc;

	for (;;) {
		if (count > MBJ_ACCOUNT_MAILBOXES_MAX || !is_found ||
		    mbj_id_is_temp(mailbox.parent))
			return view_refuse_chain(lowest->id, err);
		rc = mbj_array_reserve((void **)&view->climbed,
				       &view->climbed_capacity, count + 1,
				       sizeof(*view->climbed),
				       (size_t)MBJ_ACCOUNT_MAILBOXES_MAX + 1,
				       err);
		if (rc < 0)
			return rc;
		view->climbed[count++] = mailbox;
		if (mbj_id_is_root(mailbox.parent) ||
		    mbj_tree_find(view->tree, mailbox.parent) != MBJ_NODE_NONE)
			break;
		rc = view_read(view, mailbox.parent, &mailbox, &is_found, err);
		if (rc < 0)
			return rc;
	}
	*ret_count = count;
	return MBJ_OK;
}

enum mbj_rc edit_view_mailbox(struct edit_view *view, struct mbj_id id,
			      uint32_t *ret_index, struct mbj_error *err)
{
	uint32_t index = mbj_tree_find(view->tree, id);
	struct mbj_mailbox mailbox;
	bool is_found;
	size_t count = 0;
	enum mbj_rc rc;

	if (index != MBJ_NODE_NONE || view->is_whole ||
	    mbj_id_is_reserved(id)) {
		*ret_index = index;
		return MBJ_OK;
	}
	rc = view_read(view, id, &mailbox, &is_found, err);
	if (rc < 0)
		return rc;
	if (!is_found) {
		*ret_index = MBJ_NODE_NONE;
		return MBJ_OK;
	}
	rc = view_climb(view, &mailbox, &count, err);
	if (rc < 0)
		return rc;
	while (count > 0) {
		rc = view_add(view, &view->climbed[--count], &index, err);
		if (rc < 0)
			return rc;
	}
	MBJ_ASSERT(mbj_id_equal(mbj_tree_get(view->tree, index)->id, id));
	*ret_index = index;
	return MBJ_OK;
}

enum mbj_rc edit_view_slot(struct edit_view *view, uint32_t parent,
			   struct mbj_bytes key, uint32_t *ret_index,
			   struct mbj_error *err)
{
	uint32_t index = mbj_tree_find_slot(view->tree, parent, key);
	struct mbj_id parent_id = MBJ_ID_ROOT;
	struct mbj_id id;
	enum mbj_rc rc;

	MBJ_ASSERT(parent == MBJ_NODE_ROOT ||
		   parent < mbj_tree_size(view->tree));
	if (index != MBJ_NODE_NONE || view->is_whole) {
		*ret_index = index;
		return MBJ_OK;
	}
	if (parent != MBJ_NODE_ROOT)
		parent_id = mbj_tree_get(view->tree, parent)->id;
	rc = mbj_txn_slot_get(view->txn, view->account, parent_id, key, &id,
			      NULL);
	if (rc == MBJ_ENOTFOUND) {
		*ret_index = MBJ_NODE_NONE;
		return MBJ_OK;
	}
	if (rc < 0)
		rc = mbj_txn_slot_get(view->txn, view->account, parent_id, key,
				      &id, err);
	if (rc < 0)
		return rc;
	rc = edit_view_mailbox(view, id, &index, err);
	if (rc < 0)
		return rc;
	if (index == MBJ_NODE_NONE)
		return view_refuse_chain(id, err);
	*ret_index = index;
	return MBJ_OK;
}

enum mbj_rc edit_view_stranger(struct edit_view *view, uint32_t parent,
			       struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	uint32_t index;
	struct mbj_id id;
	enum mbj_rc rc;

	MBJ_ASSERT(parent < mbj_tree_size(view->tree));
	if (view->is_whole)
		return MBJ_OK;
	rc = mbj_scan_children(view->txn, view->account,
			       mbj_tree_get(view->tree, parent)->id, &scan,
			       err);
	if (rc < 0)
		return rc;
	do {
		rc = mbj_scan_next_child(&scan, &id, err);
	} while (rc == MBJ_OK &&
		 mbj_tree_find(view->tree, id) != MBJ_NODE_NONE);
	mbj_scan_done(&scan);
	if (rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	if (rc < 0)
		return rc;
	return edit_view_mailbox(view, id, &index, err);
}

enum mbj_rc edit_view_is_dead(struct edit_view *view, struct mbj_id id,
			      bool *ret_is_dead, struct mbj_error *err)
{
	struct mbj_tombstone tombstone;
	enum mbj_rc rc;

	MBJ_ASSERT(!mbj_id_is_reserved(id));
	rc = mbj_txn_tombstone_get(view->txn, view->account, id, &tombstone,
				   NULL);
	if (rc < 0 && rc != MBJ_ENOTFOUND)
		rc = mbj_txn_tombstone_get(view->txn, view->account, id,
					   &tombstone, err);
	if (rc < 0 && rc != MBJ_ENOTFOUND)
		return rc;
	*ret_is_dead = rc == MBJ_OK;
	return MBJ_OK;
}
