/*
 * The rules of primitives: for each kind a guard, which says from revisions and
 * values what to do, and a change, which does it.  apply_op.c has the table and
 * the rules of accounts, mailboxes and names, apply_message.c those of
 * messages, apply_intent.c those of intents.  Private to journal/apply*.
 */
#ifndef MBJ_JOURNAL_APPLY_OP_H
#define MBJ_JOURNAL_APPLY_OP_H

#include <mbj/apply.h>

/* What the rules of one primitive share. */
struct op_scope {
	struct mbj_txn *txn;
	struct mbj_id account;
	struct mbj_lsn lsn;
	const struct mbj_op *op;
	struct mbj_mailbox mailbox; /* set by guard_revision on APPLY */
};

typedef enum mbj_rc op_guard(struct op_scope *scope,
			     enum mbj_verdict *ret_verdict,
			     struct mbj_error *err);
typedef enum mbj_rc op_change(const struct op_scope *scope,
			      struct mbj_error *err);

/* Lookups whose miss is an answer. */
enum mbj_rc op_mailbox_find(const struct op_scope *scope,
			    struct mbj_mailbox *ret_mailbox, bool *ret_is_found,
			    struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc op_tombstone_find(const struct op_scope *scope, uint64_t *ret_rev,
			      bool *ret_is_found,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* The account is live: APPLY.  Dead: ALREADY.  Unknown: GAP. */
op_guard op_guard_account;

op_guard guard_content;
op_change change_message_append;
op_change change_message_flags;
op_change change_message_expunge;
op_change change_message_take_all;
op_change change_message_guid;

op_guard guard_intent;
op_guard guard_outcome;
op_change change_intent;
op_change change_outcome;

#endif
