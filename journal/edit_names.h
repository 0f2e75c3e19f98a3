/*
 * What the names of an account have shown: a mailbox that takes a name must
 * show a UIDVALIDITY above every one that was seen there before (RFC 9051
 * section 2.3.1.1).  Private to journal/edit*.
 *
 * Threads: as the transaction.
 */
#ifndef MBJ_JOURNAL_EDIT_NAMES_H
#define MBJ_JOURNAL_EDIT_NAMES_H

#include <mbj/hash.h>

#include "edit_work.h"

/* The hashes of a tree's full names, each computed once. */
struct edit_hash {
	struct mbj_hash hash;
	uint32_t path; /* scratch, by depth: a node and its ancestors */
	bool is_known;
};

struct edit_hashes {
	struct mbj_txn *txn;
	const struct mbj_tree *tree;
	struct edit_hash *nodes; /* [size of the tree] */
};

enum mbj_rc edit_hashes_init(struct edit_hashes *hashes, struct mbj_txn *txn,
			     const struct mbj_tree *tree,
			     struct mbj_error *err) MBJ_MUST_CHECK;
void edit_hashes_done(struct edit_hashes *hashes);
enum mbj_rc edit_hashes_get(struct edit_hashes *hashes, uint32_t node,
			    struct mbj_hash *ret_hash,
			    struct mbj_error *err) MBJ_MUST_CHECK;

/* Names that mailboxes leave with this edit, and what they showed there. */
struct edit_retired {
	struct mbj_hash name_hash;
	uint32_t uidvalidity;
};

struct edit_names {
	struct edit_work *work;
	struct edit_hashes before;
	struct edit_hashes after;
	struct edit_retired *retired;
	size_t retired_count;
	size_t retired_capacity;
	struct mbj_table by_hash;
};

/* Requires: work->after is made. */
enum mbj_rc edit_names_init(struct edit_names *names, struct edit_work *work,
			    struct mbj_error *err) MBJ_MUST_CHECK;
void edit_names_done(struct edit_names *names);

/* The mailbox at node of the tree before no longer shows its name. */
enum mbj_rc edit_names_retire(struct edit_names *names, uint32_t node,
			      struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * What a selectable mailbox of the tree after, which shows uidvalidity, must
 * show under its new name: 0 where it can keep the value, else a fresh one.
 * Requires: every name has been retired.
 */
enum mbj_rc edit_names_choose(struct edit_names *names, uint32_t node,
			      uint32_t uidvalidity, uint32_t *ret_uidvalidity,
			      struct mbj_error *err) MBJ_MUST_CHECK;

/* The account's next value.  Returns: MBJ_ELIMIT once 2^32 - 1 is used up. */
enum mbj_rc edit_names_fresh(struct edit_work *work, uint32_t *ret_uidvalidity,
			     struct mbj_error *err) MBJ_MUST_CHECK;

/* NAME_RETIRE for each retired name that has no mark as high. */
enum mbj_rc edit_names_emit(struct edit_names *names,
			    struct mbj_error *err) MBJ_MUST_CHECK;

#endif
