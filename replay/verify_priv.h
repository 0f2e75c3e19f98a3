/*
 * Between verify.c (accounts), verify_tree.c (mailboxes) and verify_account.c
 * (what is beside them): the list of differences found in the account at hand.
 * Private to replay/.
 */
#ifndef MBJ_REPLAY_VERIFY_PRIV_H
#define MBJ_REPLAY_VERIFY_PRIV_H

#include <mbj/tree.h>
#include <mbj/verify.h>

/* Differences listed for one account; what is beyond is counted only. */
enum { VERIFY_ACCOUNT_MAX = 10000 };

struct verify_list {
	struct mbj_arena *arena; /* texts; reset for each account */
	struct mbj_difference *items;
	size_t count;
	size_t capacity;
	uint64_t total; /* those over VERIFY_ACCOUNT_MAX too */
};

/* Add one; text is formatted into the arena. */
enum mbj_rc verify_list_add(struct verify_list *list,
			    enum mbj_difference_kind kind,
			    struct mbj_id mailbox, struct mbj_error *err,
			    const char *format, ...)
	MBJ_PRINTF(5, 6) MBJ_MUST_CHECK;

/* What differs between two trees of one account, mailbox by mailbox. */
enum mbj_rc verify_trees(const struct mbj_tree *first,
			 const struct mbj_tree *second, char delimiter,
			 struct verify_list *list,
			 struct mbj_error *err) MBJ_MUST_CHECK;

/* One account on both sides. */
struct verify_pair {
	struct mbj_txn *txns[2];
	struct mbj_account accounts[2];
	struct mbj_tree *trees[2];
};

/* What differs beside the trees: record, attributes, subscribed names. */
enum mbj_rc verify_account(const struct verify_pair *pair,
			   struct verify_list *list,
			   struct mbj_error *err) MBJ_MUST_CHECK;

#endif
