/*
 * The tree before an edit, as much of it as the edit touches: mailboxes with
 * their ancestors, holders of wanted slots, children of what is to go.  Each
 * is read from the transaction when it is first asked for, so that the cost
 * of an edit follows from what it names and not from the account's size.
 * Private to journal/edit*.
 *
 * Indexes are those of view->tree, where parents come before children unless
 * the whole tree was loaded.
 *
 * Threads: as the transaction.
 */
#ifndef MBJ_JOURNAL_EDIT_VIEW_H
#define MBJ_JOURNAL_EDIT_VIEW_H

#include <mbj/state.h>
#include <mbj/tree.h>

struct edit_view {
	struct mbj_txn *txn;
	struct mbj_id account;
	struct mbj_tree *tree;
	bool is_whole;		     /* nothing is left to be loaded */
	struct mbj_mailbox *climbed; /* scratch: a mailbox and its ancestors */
	size_t climbed_capacity;
};

/* An empty view: also the whole tree of an account that is not there yet. */
enum mbj_rc edit_view_init(struct edit_view *view, struct mbj_txn *txn,
			   struct mbj_id account, uint64_t seed,
			   struct mbj_error *err) MBJ_MUST_CHECK;
void edit_view_done(struct edit_view *view);

/* Everything at once.  Requires: the view is empty. */
enum mbj_rc edit_view_whole(struct edit_view *view,
			    struct mbj_error *err) MBJ_MUST_CHECK;

/* MBJ_NODE_NONE where the account has no such mailbox. */
enum mbj_rc edit_view_mailbox(struct edit_view *view, struct mbj_id id,
			      uint32_t *ret_index,
			      struct mbj_error *err) MBJ_MUST_CHECK;

/* Who is in the slot below parent (an index or MBJ_NODE_ROOT), or NONE. */
enum mbj_rc edit_view_slot(struct edit_view *view, uint32_t parent,
			   struct mbj_bytes key, uint32_t *ret_index,
			   struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Load children of parent until one comes that was not in the view: whoever
 * wants to empty a mailbox has named all that may leave it, so one stranger
 * decides.
 */
enum mbj_rc edit_view_stranger(struct edit_view *view, uint32_t parent,
			       struct mbj_error *err) MBJ_MUST_CHECK;

/* True where the id was that of a mailbox since deleted. */
enum mbj_rc edit_view_is_dead(struct edit_view *view, struct mbj_id id,
			      bool *ret_is_dead,
			      struct mbj_error *err) MBJ_MUST_CHECK;

#endif
