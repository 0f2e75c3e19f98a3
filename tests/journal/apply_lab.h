/*
 * What the tests of applying share: an environment with one open transaction,
 * and groups made the way a primary makes them: primitives tried on a
 * transaction, digests read, record finished.
 */
#ifndef TEST_JOURNAL_APPLY_LAB_H
#define TEST_JOURNAL_APPLY_LAB_H

#include <mbj/apply.h>

#include "support.h"

struct lab {
	char *dir;
	struct mbj_state *state;
	struct mbj_txn *txn;
	struct mbj_sha256 *sha;
	struct mbj_group_writer writer;
	struct mbj_lsn lsn; /* of the last group built */
	struct mbj_hash chain;
};

#define LAB_OK(call)                                              \
	do {                                                      \
		struct mbj_error err_ = {.rc = MBJ_OK};           \
		struct mbj_error *err = &err_;                    \
		enum mbj_rc rc_ = (call);                         \
		ck_assert_msg(rc_ == MBJ_OK, "%s: %s: %s", #call, \
			      mbj_rc_name(rc_), err->message);    \
	} while (0)

/* The engine is in memory, but in one test of groups and one of primitives. */
void lab_begin(struct lab *lab, enum mbj_state_engine engine);
void lab_begin_with(struct lab *lab, const struct mbj_state_options *options);
/* The state alone, closed and opened again; no transaction is open. */
void lab_reopen(struct lab *lab, const struct mbj_state_options *options);
void lab_end(struct lab *lab);

/* Ids that are easy to read: their first and last byte. */
struct mbj_id lab_account(uint8_t number);
struct mbj_id lab_mailbox(uint8_t number);
struct mbj_slot lab_slot(struct mbj_id parent, const char *name);

/* Primitives; a rev of 0 is a create's. */
struct mbj_op lab_op_account(uint32_t account, const char *name);
struct mbj_op lab_op_create(uint32_t account, uint8_t number,
			    struct mbj_slot to);
struct mbj_op lab_op_move(uint32_t account, uint8_t number, uint64_t rev,
			  struct mbj_slot from, struct mbj_slot to);
struct mbj_op lab_op_delete(uint32_t account, uint8_t number, uint64_t rev,
			    struct mbj_slot from);

struct mbj_op lab_op_set(uint8_t number, uint64_t rev, uint8_t role_before,
			 uint8_t is_selectable_before);
struct mbj_op lab_op_attr(uint8_t number, uint64_t rev);
struct mbj_op lab_op_retire(uint32_t uidvalidity);
struct mbj_op lab_op_subscription(enum mbj_op_kind kind);
/* An account's primitive; a rename is to "carol". */
struct mbj_op lab_op_of(enum mbj_op_kind kind, const char *name);

/* One group: its accounts, its primitives. */
struct lab_group {
	struct mbj_id accounts[4];
	size_t account_count;
	struct mbj_op ops[64];
	size_t op_count;
};

/*
 * The record of a group that applies to the lab's transaction, which stays as
 * it was.  Ownership: the caller's buffer.
 */
void lab_build(struct lab *lab, const struct lab_group *group,
	       struct mbj_buf *ret_record);
/* Apply a record; the report of it. */
struct mbj_apply_report lab_apply(struct lab *lab,
				  const struct mbj_buf *record);
/* lab_build and lab_apply, which must be APPLY. */
void lab_do(struct lab *lab, const struct lab_group *group,
	    struct mbj_buf *ret_record);
/*
 * Account 1, "alice", with: mailbox 1 "a" at revision 3, its child 2 "c",
 * mailbox 3 "b", and 4, deleted at revision 2 (its tombstone has 3).
 */
void lab_world(struct lab *lab);
struct mbj_digest lab_digest(struct lab *lab, struct mbj_id account);
uint64_t lab_lsn(struct lab *lab, struct mbj_id account);

#endif
