/*
 * Applying one primitive: its verdict, and that a verdict changes nothing.
 */
#include <stdio.h>
#include <stdlib.h>

#include "apply_lab.h"
#include "journal_cases.h"

#define ROOT MBJ_ID_ROOT

/* One primitive on the world above, and what it must come to. */
struct guard_row {
	const char *what;
	struct mbj_op op;
	enum mbj_verdict verdict;
};

static void guard_check(struct lab *lab, const struct guard_row *row)
{
	size_t savepoint = mbj_txn_savepoint(lab->txn);
	struct mbj_digest before = lab_digest(lab, lab_account(1));
	struct mbj_digest after;
	struct mbj_lsn lsn = {99};
	struct mbj_error why = {.rc = MBJ_OK};
	enum mbj_verdict verdict;
	enum mbj_rc rc;

	rc = mbj_apply_op(lab->txn, lab_account(1), lsn, &row->op, &verdict,
			  &why);
	ck_assert_msg(rc == MBJ_OK, "%s: %s", row->what, why.message);
	ck_assert_msg(verdict == row->verdict, "%s: %s (%s)", row->what,
		      mbj_verdict_name(verdict), why.message);
	after = lab_digest(lab, lab_account(1));
	if (verdict != MBJ_VERDICT_APPLY)
		ck_assert_msg(mbj_digest_equal(&before, &after), "%s changed",
			      row->what);
	if (verdict == MBJ_VERDICT_GAP || verdict == MBJ_VERDICT_CONFLICT)
		ck_assert_msg(why.message[0] != '\0', "%s: no reason",
			      row->what);
	mbj_txn_rollback(lab->txn, savepoint);
}

/*
 * Goal: each primitive gets the verdict of the planning rules.  Method: a
 * table of primitives at, below and above the revision, on live, deleted and
 * unknown mailboxes, with right and wrong slots.
 */
START_TEST(apply_guards)
{
	struct mbj_slot a = lab_slot(ROOT, "a");
	struct mbj_slot b = lab_slot(ROOT, "b");
	struct mbj_slot n = lab_slot(ROOT, "new");
	struct mbj_slot c = lab_slot(lab_mailbox(1), "c");
	struct mbj_slot below = lab_slot(lab_mailbox(2), "x");
	struct mbj_slot nowhere = lab_slot(lab_mailbox(77), "x");
	struct mbj_slot tomb = lab_slot(lab_mailbox(4), "x");
	const struct guard_row rows[] = {
		{"move at revision", lab_op_move(0, 1, 3, a, n),
		 MBJ_VERDICT_APPLY},
		{"move to its own slot", lab_op_move(0, 1, 3, a, a),
		 MBJ_VERDICT_APPLY},
		{"move below revision", lab_op_move(0, 1, 2, a, n),
		 MBJ_VERDICT_ALREADY},
		{"move far below", lab_op_move(0, 1, 1, n, n),
		 MBJ_VERDICT_ALREADY},
		{"move above revision", lab_op_move(0, 1, 4, a, n),
		 MBJ_VERDICT_GAP},
		{"move from elsewhere", lab_op_move(0, 1, 3, n, n),
		 MBJ_VERDICT_CONFLICT},
		{"move onto another", lab_op_move(0, 1, 3, a, b),
		 MBJ_VERDICT_CONFLICT},
		{"move below itself", lab_op_move(0, 1, 3, a, below),
		 MBJ_VERDICT_CONFLICT},
		{"move to no parent", lab_op_move(0, 1, 3, a, nowhere),
		 MBJ_VERDICT_CONFLICT},
		{"move to a dead parent", lab_op_move(0, 1, 3, a, tomb),
		 MBJ_VERDICT_CONFLICT},
		{"move of a stranger", lab_op_move(0, 9, 1, a, n),
		 MBJ_VERDICT_GAP},
		{"move of a dead one, before", lab_op_move(0, 4, 2, a, n),
		 MBJ_VERDICT_ALREADY},
		{"move of a dead one, after", lab_op_move(0, 4, 3, a, n),
		 MBJ_VERDICT_CONFLICT},
		{"create", lab_op_create(0, 9, n), MBJ_VERDICT_APPLY},
		{"create again", lab_op_create(0, 1, n), MBJ_VERDICT_ALREADY},
		{"create a dead one", lab_op_create(0, 4, n),
		 MBJ_VERDICT_ALREADY},
		{"create onto another", lab_op_create(0, 9, b),
		 MBJ_VERDICT_CONFLICT},
		{"create below nothing", lab_op_create(0, 9, nowhere),
		 MBJ_VERDICT_CONFLICT},
		{"delete a leaf", lab_op_delete(0, 2, 1, c), MBJ_VERDICT_APPLY},
		{"delete with children", lab_op_delete(0, 1, 3, a),
		 MBJ_VERDICT_CONFLICT},
		{"delete from elsewhere", lab_op_delete(0, 3, 1, n),
		 MBJ_VERDICT_CONFLICT},
		{"delete below revision", lab_op_delete(0, 1, 1, a),
		 MBJ_VERDICT_ALREADY},
		{"delete again", lab_op_delete(0, 4, 2, a),
		 MBJ_VERDICT_ALREADY},
		{"delete above revision", lab_op_delete(0, 3, 2, b),
		 MBJ_VERDICT_GAP},
		{"set", lab_op_set(3, 1, MBJ_ROLE_NONE, 1), MBJ_VERDICT_APPLY},
		{"set from another role", lab_op_set(3, 1, MBJ_ROLE_JUNK, 1),
		 MBJ_VERDICT_CONFLICT},
		{"set from unselectable", lab_op_set(3, 1, MBJ_ROLE_NONE, 0),
		 MBJ_VERDICT_CONFLICT},
		{"set above revision", lab_op_set(3, 2, MBJ_ROLE_NONE, 1),
		 MBJ_VERDICT_GAP},
		{"set below revision", lab_op_set(1, 2, MBJ_ROLE_JUNK, 0),
		 MBJ_VERDICT_ALREADY},
		{"attribute", lab_op_attr(3, 1), MBJ_VERDICT_APPLY},
		{"attribute above", lab_op_attr(3, 2), MBJ_VERDICT_GAP},
		{"attribute below", lab_op_attr(1, 2), MBJ_VERDICT_ALREADY},
		{"retire a name", lab_op_retire(7), MBJ_VERDICT_APPLY},
		{"subscribe", lab_op_subscription(MBJ_OP_SUBSCRIBE),
		 MBJ_VERDICT_APPLY},
		{"unsubscribe nothing", lab_op_subscription(MBJ_OP_UNSUBSCRIBE),
		 MBJ_VERDICT_ALREADY},
		{"create the account", lab_op_of(MBJ_OP_ACCOUNT_CREATE, "z"),
		 MBJ_VERDICT_CONFLICT},
		{"rename it", lab_op_of(MBJ_OP_ACCOUNT_RENAME, "alice"),
		 MBJ_VERDICT_APPLY},
		{"rename another", lab_op_of(MBJ_OP_ACCOUNT_RENAME, "bob"),
		 MBJ_VERDICT_CONFLICT},
		{"delete it", lab_op_of(MBJ_OP_ACCOUNT_DELETE, "alice"),
		 MBJ_VERDICT_APPLY},
		{"delete another", lab_op_of(MBJ_OP_ACCOUNT_DELETE, "bob"),
		 MBJ_VERDICT_CONFLICT},
		{"quota", lab_op_of(MBJ_OP_ACCOUNT_SET, ""), MBJ_VERDICT_APPLY},
		{"entry", lab_op_of(MBJ_OP_ACCOUNT_SET_ATTR, "/shared/x"),
		 MBJ_VERDICT_APPLY},
		{"entry of no name", lab_op_of(MBJ_OP_ACCOUNT_SET_ATTR, ""),
		 MBJ_VERDICT_CONFLICT},
	};
	struct lab lab;

	lab_begin(&lab, MBJ_STATE_BERKELEY_DB);
	lab_world(&lab);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		guard_check(&lab, &rows[i]);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: what is not ordered by a mailbox's revision is idempotent too.
 * Method: each such primitive twice; the second time nothing changes.
 */
START_TEST(apply_twice)
{
	struct mbj_lsn lsn = {9};
	struct mbj_op ops[4];
	struct lab lab;

	ops[0] = lab_op_retire(7);
	ops[1] = lab_op_retire(6);
	ops[2] = lab_op_subscription(MBJ_OP_SUBSCRIBE);
	ops[3] = lab_op_subscription(MBJ_OP_UNSUBSCRIBE);
	lab_begin(&lab, MBJ_STATE_MEMORY);
	lab_world(&lab);
	for (size_t i = 0; i < 4; i++) {
		struct mbj_digest after;
		struct mbj_digest again;
		enum mbj_verdict verdict;

		LAB_OK(mbj_apply_op(lab.txn, lab_account(1), lsn, &ops[i],
				    &verdict, err));
		ck_assert_int_eq(verdict, i == 1 ? MBJ_VERDICT_ALREADY
						 : MBJ_VERDICT_APPLY);
		after = lab_digest(&lab, lab_account(1));
		LAB_OK(mbj_apply_op(lab.txn, lab_account(1), lsn, &ops[i],
				    &verdict, err));
		ck_assert_int_eq(verdict, MBJ_VERDICT_ALREADY);
		again = lab_digest(&lab, lab_account(1));
		ck_assert(mbj_digest_equal(&after, &again));
	}
	lab_end(&lab);
}
END_TEST

/*
 * Goal: every kind of the table has rules, and none touches an account that
 * is not there or was deleted.  Method: each kind on an unknown account, and
 * on one that existed.
 */
START_TEST(apply_every_kind)
{
	struct lab_group drop = {.accounts = {lab_account(1)},
				 .account_count = 1,
				 .op_count = 1};
	struct mbj_lsn lsn = {99};
	struct mbj_buf record;
	struct lab lab;

	lab_begin(&lab, MBJ_STATE_MEMORY);
	lab_world(&lab);
	drop.ops[0] = lab_op_of(MBJ_OP_ACCOUNT_DELETE, "alice");
	lab_do(&lab, &drop, &record);
	mbj_buf_done(&record);
	for (size_t i = 0; i < mbj_op_info_count(); i++) {
		const struct mbj_op_info *info = mbj_op_info_at(i);
		struct mbj_op op = {.kind = info->kind,
				    .id = lab_mailbox(1),
				    .rev = 1};
		enum mbj_verdict verdict;

		LAB_OK(mbj_apply_op(lab.txn, lab_account(1), lsn, &op, &verdict,
				    err));
		ck_assert_msg(verdict == MBJ_VERDICT_ALREADY, "%s", info->word);
		if (info->kind == MBJ_OP_ACCOUNT_CREATE)
			continue;
		LAB_OK(mbj_apply_op(lab.txn, lab_account(7), lsn, &op, &verdict,
				    err));
		ck_assert_msg(verdict == MBJ_VERDICT_GAP, "%s", info->word);
	}
	lab_end(&lab);
}
END_TEST

/*
 * Goal: primitives of messages are judged by the revision of the content.
 * Method: at, below and above it, on live, deleted and unknown mailboxes.
 */
START_TEST(apply_messages)
{
	static const struct {
		uint8_t mailbox;
		uint64_t rev;
		uint32_t uid;
		enum mbj_verdict verdict;
	} rows[] = {
		{1, 2, 1, MBJ_VERDICT_GAP},	 {1, 1, 1, MBJ_VERDICT_APPLY},
		{1, 1, 2, MBJ_VERDICT_ALREADY},	 {1, 3, 2, MBJ_VERDICT_GAP},
		{1, 2, 1, MBJ_VERDICT_CONFLICT}, {1, 2, 2, MBJ_VERDICT_APPLY},
		{4, 9, 1, MBJ_VERDICT_ALREADY},	 {77, 1, 1, MBJ_VERDICT_GAP},
	};
	struct mbj_lsn lsn = {99};
	struct lab lab;

	lab_begin(&lab, MBJ_STATE_MEMORY);
	lab_world(&lab);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mbj_op op = {.kind = MBJ_OP_MESSAGE_APPEND,
				    .id = lab_mailbox(rows[i].mailbox),
				    .rev = rows[i].rev,
				    .uid = rows[i].uid,
				    .size = 1,
				    .modseq = 5};
		enum mbj_verdict verdict;

		LAB_OK(mbj_apply_op(lab.txn, lab_account(1), lsn, &op, &verdict,
				    err));
		ck_assert_msg(verdict == rows[i].verdict, "row %zu: %s", i,
			      mbj_verdict_name(verdict));
	}
	lab_end(&lab);
}
END_TEST

TCase *test_apply_op_case(void)
{
	TCase *tc = tcase_create("apply_op");

	tcase_add_test(tc, apply_guards);
	tcase_add_test(tc, apply_twice);
	tcase_add_test(tc, apply_every_kind);
	tcase_add_test(tc, apply_messages);
	return tc;
}
