/*
 * Two trees of the same mailboxes, before and after an edit, joined by id:
 * the dense table that the planner works on.  Pure.
 *
 * An item is a mailbox that is in one tree or in both.  Order: the items of
 * the tree before by their index there, then the created ones by their index
 * in the tree after; so equal input gives an equal table.
 *
 * Names are interned: equal numbers mean equal comparison keys.  A slot is
 * then two 32-bit numbers, and no byte of a name is compared again.
 */
#ifndef MBJ_DIFF_H
#define MBJ_DIFF_H

#include <mbj/error.h>
#include <mbj/tree.h>

#ifdef __cplusplus
extern "C" {
#endif

enum mbj_side { MBJ_BEFORE = 0, MBJ_AFTER = 1 };

/* What an edit does to one mailbox's place. */
enum mbj_diff_kind {
	MBJ_DIFF_KEEP = 0,   /* same slot, same stored name */
	MBJ_DIFF_MOVE = 1,   /* kept, other slot or stored name */
	MBJ_DIFF_CREATE = 2, /* only after */
	MBJ_DIFF_DELETE = 3, /* only before */
};

struct mbj_diff_item {
	uint32_t parent[2]; /* item, MBJ_NODE_ROOT, or MBJ_NODE_NONE: absent */
	uint32_t key[2];    /* interned comparison key */
};

struct mbj_diff {
	uint32_t count;
	uint32_t key_count;	     /* interned keys run below this */
	struct mbj_diff_item *items; /* [count] */
	uint32_t *at[2]; /* [count] node index in that tree, or NONE */
	uint8_t *kind;	 /* [count] enum mbj_diff_kind */
};

/*
 * Join two trees; dead nodes are skipped.
 * Requires: both settled, no node under TEMP.
 * Ownership: the table borrows nothing from the trees; mbj_diff_done frees.
 */
MBJ_API enum mbj_rc mbj_diff_make(const struct mbj_tree *before,
				  const struct mbj_tree *after,
				  struct mbj_diff *ret_diff,
				  struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_diff_done(struct mbj_diff *diff);

#ifdef __cplusplus
}
#endif

#endif
