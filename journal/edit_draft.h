/*
 * The tree that an edit wants, while it is still being argued about: one item
 * for each mailbox of the tree before (same index) and one for each mailbox
 * to be created.  It may be invalid in every way until edit_draft_tree has
 * made a tree of it.  Private to journal/edit*.
 *
 * Threads: one at a time.
 */
#ifndef MBJ_JOURNAL_EDIT_DRAFT_H
#define MBJ_JOURNAL_EDIT_DRAFT_H

#include <mbj/tree.h>

struct edit_item {
	struct mbj_id id;
	struct mbj_name name;
	uint32_t parent;      /* item or MBJ_NODE_ROOT */
	uint32_t change;      /* what placed it: the edit's index, or NONE */
	uint32_t uidvalidity; /* 0: chosen later, where it is selectable */
	uint8_t role;
	bool is_selectable;
	bool is_live;		  /* in the tree after */
	bool is_uidvalidity_told; /* the server has it: no other is chosen */
};

struct edit_draft {
	const struct mbj_tree *before;
	struct edit_item *items;
	size_t capacity;
	uint32_t count;
	uint32_t before_count; /* items below this are mailboxes before */
	/* Filled by edit_draft_sort. */
	uint32_t *order; /* live items, parents before children */
	uint32_t order_count;
	uint32_t *depth;  /* [count] 1: top level */
	uint32_t *length; /* [count] bytes of the path, with delimiters */
	size_t sorted_capacity;
};

/* Everything as before.  Borrows the tree, which must not grow any more. */
enum mbj_rc edit_draft_init(struct edit_draft *draft,
			    const struct mbj_tree *before,
			    struct mbj_error *err) MBJ_MUST_CHECK;
void edit_draft_done(struct edit_draft *draft);

/* One more mailbox, a live and selectable one, placed by change. */
enum mbj_rc edit_draft_create(struct edit_draft *draft, struct mbj_id id,
			      uint32_t parent, const struct mbj_name *name,
			      uint32_t change, uint32_t *ret_item,
			      struct mbj_error *err) MBJ_MUST_CHECK;

/* Its slot is that of INBOX. */
bool edit_draft_is_inbox(const struct edit_draft *draft, uint32_t item);
/* The item's slot or stored name differs from before, or it is new. */
bool edit_draft_is_placed(const struct edit_draft *draft, uint32_t item);

/*
 * Order, depths and lengths.  Where parents form a cycle *ret_cycle is one of
 * its items and nothing else is filled; else it is MBJ_NODE_NONE.
 * Requires: parents of live items are live.
 */
enum mbj_rc edit_draft_sort(struct edit_draft *draft, uint32_t *ret_cycle,
			    struct mbj_error *err) MBJ_MUST_CHECK;

/* What an item's place breaks: MBJ_DEPTH_MAX, MBJ_PATH_MAX or nothing. */
enum edit_excess { EDIT_EXCESS_NONE, EDIT_EXCESS_DEPTH, EDIT_EXCESS_LENGTH };
enum edit_excess edit_draft_excess(const struct edit_draft *draft,
				   uint32_t item);

/*
 * The tree after; the draft is sorted and free of cycles.
 * Returns: MBJ_EINVALID, alreadyExists, naming a name that two items want.
 */
enum mbj_rc edit_draft_tree(const struct edit_draft *draft, uint64_t seed,
			    struct mbj_tree **ret_tree,
			    struct mbj_error *err) MBJ_MUST_CHECK;

#endif
