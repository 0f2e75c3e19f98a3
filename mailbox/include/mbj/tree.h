/*
 * A tree of mailboxes in memory: nodes keyed by MAILBOXID, each in a slot
 * (parent, comparison key).  Not the store (mbj/state.h), no I/O, no clock.
 *
 * A tree may be partial: a view of the mailboxes that an edit touches, their
 * ancestors, and whoever holds a slot that the edit wants.
 *
 * Invariants, checked by mbj_tree_check:
 *   1. slots are unique: no two live nodes share (parent, key);
 *   2. every parent is live, ROOT, or (inside a plan) TEMP;
 *   3. no cycles: every walk up ends at ROOT or TEMP;
 *   4. a node is found by its id and by its slot.
 *
 * Nodes are addressed by index; an index stays valid for the tree's life,
 * removed nodes are marked dead.
 *
 * Threads: one at a time; concurrent readers are fine.
 */
#ifndef MBJ_TREE_H
#define MBJ_TREE_H

#include <mbj/error.h>
#include <mbj/limits.h>
#include <mbj/memory.h>
#include <mbj/name.h>
#include <mbj/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Node indexes.  The three highest are not nodes. */
enum { MBJ_NODE_MAX = 0x7ffffff0 };
#define MBJ_NODE_NONE ((uint32_t)0xffffffffu) /* absent */
#define MBJ_NODE_ROOT ((uint32_t)0xfffffffeu) /* parent of the top level */
#define MBJ_NODE_TEMP ((uint32_t)0xfffffffdu) /* parent of parked nodes */

/* X(name, JMAP role): special uses (RFC 6154, RFC 8621 section 2). */
#define MBJ_ROLE_MAP(X)                \
	X(NONE, 0, "")                 \
	X(ALL, 1, "all")               \
	X(ARCHIVE, 2, "archive")       \
	X(DRAFTS, 3, "drafts")         \
	X(FLAGGED, 4, "flagged")       \
	X(IMPORTANT, 5, "important")   \
	X(INBOX, 6, "inbox")           \
	X(JUNK, 7, "junk")             \
	X(SENT, 8, "sent")             \
	X(SUBSCRIBED, 9, "subscribed") \
	X(TRASH, 10, "trash")

enum mbj_role {
#define X(name, number, word) MBJ_ROLE_##name = (number),
	MBJ_ROLE_MAP(X)
#undef X
};

/* JMAP's word, "" for none; NULL for an unknown number. */
MBJ_API const char *mbj_role_name(enum mbj_role role);
MBJ_API bool mbj_role_parse(struct mbj_bytes word, enum mbj_role *ret_role);

struct mbj_node {
	struct mbj_id id;
	uint32_t parent;      /* index, MBJ_NODE_ROOT or MBJ_NODE_TEMP */
	uint32_t uidvalidity; /* 0: none (not selectable) */
	struct mbj_name name; /* in the tree's arena */
	uint64_t rev;	      /* revision: primitives applied so far */
	uint8_t role;	      /* enum mbj_role */
	bool is_selectable;   /* false: \NonExistent, a place in a path */
	bool is_subscribed;   /* views only; subscriptions are by name */
	bool is_live;
};

struct mbj_tree;

/* The seed keys the tables; give a random one where users choose names. */
MBJ_API enum mbj_rc mbj_tree_new(uint64_t seed, struct mbj_tree **ret_tree,
				 struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_tree_free(struct mbj_tree **tree);
/* Room for count nodes in one allocation: for bulk loading. */
MBJ_API enum mbj_rc mbj_tree_reserve(struct mbj_tree *tree, size_t count,
				     struct mbj_error *err) MBJ_MUST_CHECK;
/* A deep copy; indexes are the same. */
MBJ_API enum mbj_rc mbj_tree_dup(const struct mbj_tree *tree,
				 struct mbj_tree **ret_tree,
				 struct mbj_error *err) MBJ_MUST_CHECK;

/* Nodes ever added, dead ones included: indexes run below this. */
MBJ_API uint32_t mbj_tree_size(const struct mbj_tree *tree);
MBJ_API uint32_t mbj_tree_live_count(const struct mbj_tree *tree);
/* Borrowed until the next call that changes the tree. */
MBJ_API const struct mbj_node *mbj_tree_get(const struct mbj_tree *tree,
					    uint32_t index);
/* MBJ_NODE_NONE where no live node has it. */
MBJ_API uint32_t mbj_tree_find(const struct mbj_tree *tree, struct mbj_id id);
MBJ_API uint32_t mbj_tree_find_slot(const struct mbj_tree *tree,
				    uint32_t parent, struct mbj_bytes key);

/*
 * Add a node under a live parent (or ROOT, TEMP); its name is copied.
 * Returns: MBJ_EEXISTS (id or slot taken), MBJ_ECONFLICT (no such parent),
 * MBJ_EINVALID (reserved id, unsafe name), MBJ_ELIMIT.
 */
MBJ_API enum mbj_rc mbj_tree_add(struct mbj_tree *tree,
				 const struct mbj_node *node,
				 uint32_t *ret_index,
				 struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Add a node whose parent and slot are settled later: bulk loading of lists
 * in any order.  The node is in no slot until mbj_tree_settle().
 */
MBJ_API enum mbj_rc mbj_tree_add_loose(struct mbj_tree *tree,
				       const struct mbj_node *node,
				       uint32_t *ret_index,
				       struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Set the parent of a loose node.  No check; mbj_tree_settle judges.
 * Requires: the node is loose.
 */
MBJ_API void mbj_tree_set_parent(struct mbj_tree *tree, uint32_t index,
				 uint32_t parent);
/*
 * What is loaded was accepted before (the state's own content): settling
 * judges cycles and slots, but no limit of policy.  A mailbox that was moved
 * within MBJ_DEPTH_MAX may have inferiors beyond it.
 */
MBJ_API void mbj_tree_accept(struct mbj_tree *tree);
/*
 * Put every loose node into its slot and check the whole tree.  After a
 * failure all of them are loose still, so a caller may mend and try again.
 * Returns: MBJ_EINVALID with refusal alreadyExists (two siblings with one
 * key) or invalidProperties (cycle, missing parent, depth over
 * MBJ_DEPTH_MAX), naming an id; MBJ_ELIMIT (MBJ_ACCOUNT_MAILBOXES_MAX).
 */
MBJ_API enum mbj_rc mbj_tree_settle(struct mbj_tree *tree,
				    struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The three structural changes, each with all preconditions of planning:
 * target slot free, target parent live and neither the node nor below it, a
 * removed node has no children.  A move to the slot it has, with another
 * stored name, is legal (a change of case in a folding account).
 * Requires: the tree is settled, the node live.
 * Returns: MBJ_ECONFLICT, naming the condition.
 */
MBJ_API enum mbj_rc mbj_tree_move(struct mbj_tree *tree, uint32_t index,
				  uint32_t parent, const struct mbj_name *name,
				  struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API enum mbj_rc mbj_tree_remove(struct mbj_tree *tree, uint32_t index,
				    struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Change a node's attributes (uidvalidity, rev, role, flags) in place.
 */
MBJ_API struct mbj_node *mbj_tree_edit(struct mbj_tree *tree, uint32_t index);

/* Live children, counted; the tree keeps the number for each node. */
MBJ_API uint32_t mbj_tree_child_count(const struct mbj_tree *tree,
				      uint32_t index);
/* True where index is above or equal to below (walk up from below). */
MBJ_API bool mbj_tree_is_ancestor(const struct mbj_tree *tree, uint32_t index,
				  uint32_t below);
/* 1 for the top level; MBJ_DEPTH_MAX + 1 where it is deeper. */
MBJ_API uint32_t mbj_tree_depth(const struct mbj_tree *tree, uint32_t index);
/* Stored names from the top down, joined by delimiter, appended to buf. */
MBJ_API void mbj_tree_path(const struct mbj_tree *tree, uint32_t index,
			   char delimiter, struct mbj_buf *ret_path);

/*
 * All live nodes, each right before all that lies below it, siblings in key
 * order, parked nodes last.
 * Requires: the tree is settled.
 * Ownership: the caller frees *ret_indexes with mbj_free.
 */
MBJ_API enum mbj_rc mbj_tree_order(const struct mbj_tree *tree,
				   uint32_t **ret_indexes, size_t *ret_count,
				   struct mbj_error *err) MBJ_MUST_CHECK;

/* The invariants, executable: MBJ_ECORRUPT naming the first that is broken. */
MBJ_API enum mbj_rc mbj_tree_check(const struct mbj_tree *tree,
				   struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Memory that lives as long as the tree, for what belongs with it.  Names
 * given to the tree are copied even from here.
 */
MBJ_API struct mbj_arena *mbj_tree_arena(struct mbj_tree *tree);

#ifdef __cplusplus
}
#endif

#endif
