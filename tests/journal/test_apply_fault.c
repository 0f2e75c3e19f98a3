/*
 * Applying where the state cannot be read, and groups whose bytes changed
 * after they were checked: a failure of the world is never a verdict, and
 * leaves nothing behind.
 */
#include <stdio.h>

#include <mbj/codec.h>
#include <mbj/message.h>

#include "apply_lab.h"
#include "group_record.h"
#include "journal_cases.h"
#include "read_fault.h"

#define ROOT MBJ_ID_ROOT

static const struct mbj_state_options cold_options = {4u << 20, 4u << 20,
						      4u << 20, 0,
						      MBJ_STATE_MEMORY};

/* The lab with nothing cached between transactions: every lookup is a read. */
static void cold_begin(struct lab *lab)
{
	static const struct mbj_state_options options = {4u << 20, 4u << 20,
							 4u << 20, 0,
							 MBJ_STATE_MEMORY};

	lab_begin_with(lab, &options);
	lab_world(lab);
	LAB_OK(mbj_txn_commit(&lab->txn, err));
	read_fault_begin(lab->state);
}

/* An end that leaves everything as it was, and nothing in the cache. */
static void cold_end(struct lab *lab)
{
	mbj_txn_rollback(lab->txn, 0);
	LAB_OK(mbj_txn_commit(&lab->txn, err));
}

/* A primitive with no read failing: what it comes to. */
static enum mbj_verdict op_clean(struct lab *lab, struct mbj_id account,
				 const struct mbj_op *op)
{
	struct mbj_lsn lsn = {99};
	struct mbj_error why = {.rc = MBJ_OK};
	enum mbj_verdict verdict;

	LAB_OK(mbj_txn_begin(lab->state, &lab->txn, err));
	ck_assert_int_eq(mbj_apply_op(lab->txn, account, lsn, op, &verdict,
				      &why),
			 MBJ_OK);
	cold_end(lab);
	return verdict;
}

/* How a read goes wrong. */
enum wrong { WRONG_ONCE, WRONG_FOR_GOOD, WRONG_DAMAGED, WRONG_COUNT };

static void wrong_at(uint64_t k, enum wrong wrong)
{
	if (wrong == WRONG_DAMAGED)
		read_fault_damage(k);
	else
		read_fault_at(k, wrong == WRONG_FOR_GOOD);
}

/*
 * A primitive whose k-th read fails: that failure with words, and true, or what
 * it comes to anyway.  *ret_reads is how many reads there were.
 */
static bool op_fails(struct lab *lab, struct mbj_id account,
		     const struct mbj_op *op, uint64_t k, enum wrong wrong,
		     enum mbj_verdict clean, uint64_t *ret_reads)
{
	enum mbj_rc expected = wrong == WRONG_DAMAGED ? MBJ_ECORRUPT : MBJ_EIO;
	enum mbj_verdict verdict = MBJ_VERDICT_CORRUPT;
	struct mbj_error why = {.rc = MBJ_OK};
	struct mbj_lsn lsn = {99};
	enum mbj_rc rc;

	LAB_OK(mbj_txn_begin(lab->state, &lab->txn, err));
	wrong_at(k, wrong);
	rc = mbj_apply_op(lab->txn, account, lsn, op, &verdict, &why);
	*ret_reads = read_fault_count();
	read_fault_at(0, false);
	cold_end(lab);
	if (rc == MBJ_OK) {
		ck_assert_int_eq(verdict, clean);
		return false;
	}
	ck_assert_int_eq(rc, expected);
	ck_assert_int_eq(why.rc, expected);
	ck_assert_str_ne(why.message, "");
	return true;
}

/* Each read of one primitive fails; returns how many failed it. */
static unsigned op_sweep(struct lab *lab, struct mbj_id account,
			 const struct mbj_op *op, enum wrong wrong)
{
	enum mbj_verdict clean = op_clean(lab, account, op);
	unsigned failures = 0;
	uint64_t reads;

	for (uint64_t k = 1;; k++) {
		bool is_failed =
			op_fails(lab, account, op, k, wrong, clean, &reads);

		failures += is_failed;
		/* Met once is met: asked again, it has other words or none. */
		ck_assert(wrong == WRONG_DAMAGED || is_failed || reads < k);
		if (reads < k)
			break;
	}
	return failures;
}

/* A change of a mailbox's messages, from revision 1 of its content on. */
static struct mbj_op op_message(enum mbj_op_kind kind, uint8_t number)
{
	static const uint8_t first_uid[MBJ_UID_RANGE_SIZE] = {1, 0, 0, 0,
							      1, 0, 0, 0};
	struct mbj_op op = {.kind = (uint16_t)kind,
			    .id = lab_mailbox(number),
			    .target = lab_mailbox(3),
			    .rev = 1,
			    .modseq = 2};

	if (kind == MBJ_OP_MESSAGE_APPEND) {
		op.uid = 1;
		op.blob.b[0] = 7;
		op.size = 70;
	} else if (kind == MBJ_OP_MESSAGE_GUID) {
		op.uid = 1;
		op.guid = mbj_bytes_str("guid");
	} else if (kind != MBJ_OP_MESSAGE_TAKE_ALL) {
		op.uids = mbj_bytes_make(first_uid, sizeof(first_uid));
		op.flag_mode = kind == MBJ_OP_MESSAGE_FLAGS ? MBJ_FLAGS_ADD : 0;
	}
	return op;
}

/*
 * Goal: the same of messages.  Method: the same, with each kind of primitive
 * on a live mailbox, a deleted one and one that is not known.
 */
START_TEST(apply_message_reads_fail)
{
	static const enum mbj_op_kind kinds[] = {
		MBJ_OP_MESSAGE_APPEND,	MBJ_OP_MESSAGE_FLAGS,
		MBJ_OP_MESSAGE_EXPUNGE, MBJ_OP_MESSAGE_TAKE_ALL,
		MBJ_OP_MESSAGE_GUID,
	};
	static const uint8_t numbers[] = {1, 4, 9};
	unsigned failures = 0;
	struct lab lab;

	cold_begin(&lab);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		for (size_t k = 0; k < sizeof(numbers); k++)
			for (int w = 0; w < 2 * WRONG_COUNT; w++) {
				struct mbj_op op =
					op_message(kinds[i], numbers[k]);

				failures += op_sweep(
					&lab, lab_account((uint8_t)(1 + w % 2)),
					&op, (enum wrong)(w / 2));
			}
	ck_assert_uint_gt(failures, 50);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: a record that cannot be read is a failure, never a verdict.  Method:
 * each read of each kind of primitive fails, once and from then on, or gives
 * a damaged record, on live, deleted and unknown mailboxes and accounts;
 * nothing is cached.
 */
START_TEST(apply_reads_fail)
{
	const struct mbj_op ops[] = {
		lab_op_move(0, 1, 3, lab_slot(ROOT, "a"),
			    lab_slot(ROOT, "new")),
		lab_op_move(0, 4, 2, lab_slot(ROOT, "e"), lab_slot(ROOT, "f")),
		lab_op_move(0, 9, 1, lab_slot(ROOT, "a"), lab_slot(ROOT, "f")),
		lab_op_create(0, 9, lab_slot(ROOT, "new")),
		lab_op_delete(0, 2, 1, lab_slot(lab_mailbox(1), "c")),
		lab_op_set(3, 1, MBJ_ROLE_NONE, 1),
		lab_op_attr(3, 1),
		lab_op_retire(7),
		lab_op_subscription(MBJ_OP_SUBSCRIBE),
		lab_op_subscription(MBJ_OP_UNSUBSCRIBE),
		lab_op_of(MBJ_OP_ACCOUNT_CREATE, "z"),
		lab_op_of(MBJ_OP_ACCOUNT_RENAME, "alice"),
		lab_op_of(MBJ_OP_ACCOUNT_DELETE, "alice"),
		lab_op_of(MBJ_OP_ACCOUNT_SET, ""),
		lab_op_of(MBJ_OP_ACCOUNT_SET_ATTR, "/shared/x"),
	};
	unsigned failures = 0;
	struct lab lab;

	cold_begin(&lab);
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		for (uint8_t account = 1; account < 3; account++)
			for (int wrong = 0; wrong < WRONG_COUNT; wrong++)
				failures +=
					op_sweep(&lab, lab_account(account),
						 &ops[i], (enum wrong)wrong);
	ck_assert_uint_gt(failures, 50);
	lab_end(&lab);
}
END_TEST

/* A group that renames one account's mailbox and makes another account. */
static struct lab_group group_of_two(void)
{
	struct lab_group group = {.accounts = {lab_account(1), lab_account(2)},
				  .account_count = 2,
				  .op_count = 2};

	group.ops[0] = lab_op_move(0, 1, 3, lab_slot(ROOT, "a"),
				   lab_slot(ROOT, "new"));
	group.ops[1] = lab_op_account(1, "bob");
	return group;
}

/*
 * Goal: a group that meets a failing read leaves nothing, and applies whole
 * once reads work.  Method: each read of a group fails, once and for good,
 * with and without somebody to tell; also of one whose accounts are dead.
 */
static void group_sweep(struct lab *lab, const struct mbj_buf *record,
			bool is_for_good, bool is_told)
{
	struct mbj_digest before;
	struct mbj_group group;
	uint64_t reads;

	LAB_OK(mbj_group_parse(mbj_buf_view(record), &group, err));
	LAB_OK(mbj_txn_begin(lab->state, &lab->txn, err));
	before = lab_digest(lab, lab_account(1));
	cold_end(lab);
	for (uint64_t k = 1;; k++) {
		struct mbj_apply_report report;
		struct mbj_error why = {.rc = MBJ_OK};
		struct mbj_digest after;
		enum mbj_rc rc;

		LAB_OK(mbj_txn_begin(lab->state, &lab->txn, err));
		read_fault_at(k, is_for_good);
		rc = mbj_apply_group(lab->txn, &group, &report,
				     is_told ? &why : NULL);
		reads = read_fault_count();
		read_fault_at(0, false);
		if (rc == MBJ_OK) {
			ck_assert_int_eq(report.verdict, MBJ_VERDICT_APPLY);
		} else {
			ck_assert_int_eq(rc, MBJ_EIO);
			ck_assert(!is_told || why.message[0] != '\0');
			after = lab_digest(lab, lab_account(1));
			ck_assert(mbj_digest_equal(&before, &after));
			report = lab_apply(lab, record);
			ck_assert_int_eq(report.verdict, MBJ_VERDICT_APPLY);
		}
		cold_end(lab);
		if (reads < k)
			break;
	}
}

START_TEST(apply_group_reads_fail)
{
	struct lab_group two = group_of_two();
	struct lab_group drop = {.accounts = {lab_account(1)},
				 .account_count = 1,
				 .op_count = 1};
	struct mbj_buf record;
	struct lab lab;

	drop.ops[0] = lab_op_of(MBJ_OP_ACCOUNT_DELETE, "alice");
	cold_begin(&lab);
	for (int i = 0; i < 2; i++) {
		LAB_OK(mbj_txn_begin(lab.state, &lab.txn, err));
		lab_build(&lab, i == 0 ? &two : &drop, &record);
		cold_end(&lab);
		for (int k = 0; k < 4; k++)
			group_sweep(&lab, &record, (k & 1) != 0, (k & 2) != 0);
		mbj_buf_done(&record);
	}
	lab_end(&lab);
}
END_TEST

/*
 * Goal: a body that is not what its header promised is damage, or somebody
 * else's future, and changes nothing.  Method: bytes changed behind the
 * checksum's back: one primitive more and one less than promised, a kind that
 * is not in the table, a length that leaves the body.
 */
START_TEST(apply_bodies)
{
	struct lab_group two = group_of_two();
	struct mbj_apply_report report;
	struct mbj_digest before;
	struct mbj_digest after;
	struct mbj_group group;
	struct mbj_buf record;
	uint8_t *body;
	struct lab lab;

	lab_begin(&lab, MBJ_STATE_MEMORY);
	lab_world(&lab);
	before = lab_digest(&lab, lab_account(1));
	lab_build(&lab, &two, &record);
	for (unsigned how = 0; how < 4; how++) {
		static const enum mbj_verdict verdicts[] = {
			MBJ_VERDICT_CORRUPT, MBJ_VERDICT_CORRUPT,
			MBJ_VERDICT_CONFLICT, MBJ_VERDICT_CORRUPT};
		uint8_t kept[8];

		LAB_OK(mbj_group_parse(mbj_buf_view(&record), &group, err));
		body = record.p + group.header.header_size;
		memcpy(kept, body, sizeof(kept));
		if (how == 0)
			group.header.op_count++;
		if (how == 1)
			group.header.op_count--;
		if (how == 2)
			mbj_store_u16(body, 0x7fff);
		if (how == 3)
			memset(body, 0xff, sizeof(kept));
		LAB_OK(mbj_apply_group(lab.txn, &group, &report, err));
		ck_assert_msg(report.verdict == verdicts[how], "%u: %s: %s",
			      how, mbj_verdict_name(report.verdict),
			      report.why.message);
		ck_assert_str_ne(report.why.message, "");
		memcpy(body, kept, sizeof(kept));
		after = lab_digest(&lab, lab_account(1));
		ck_assert(mbj_digest_equal(&before, &after));
	}
	report = lab_apply(&lab, &record);
	ck_assert_int_eq(report.verdict, MBJ_VERDICT_APPLY);
	mbj_buf_done(&record);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: a failed allocation anywhere in a group leaves nothing of it.  Method:
 * groups of 1 to 40 subscriptions, so that each array grows at each place, also
 * where the group is noted in its account; all allocations of each fail in
 * turn.
 */
START_TEST(apply_group_no_memory)
{
	unsigned failures = 0;

	for (size_t n = 1; n <= 40; n++) {
		static char names[40][8];
		struct lab_group many = {.accounts = {lab_account(1)},
					 .account_count = 1,
					 .op_count = n};
		struct mbj_group group;
		struct mbj_buf record;
		struct lab lab;
		enum mbj_rc rc = MBJ_ENOMEM;

		for (size_t i = 0; i < n; i++) {
			struct mbj_bytes name;

			(void)snprintf(names[i], sizeof(names[i]), "s%zu", i);
			name = mbj_bytes_str(names[i]);
			many.ops[i] = lab_op_subscription(MBJ_OP_SUBSCRIBE);
			many.ops[i].path = (struct mbj_path){name, name};
		}
		cold_begin(&lab);
		LAB_OK(mbj_txn_begin(lab.state, &lab.txn, err));
		lab_build(&lab, &many, &record);
		cold_end(&lab);
		LAB_OK(mbj_group_parse(mbj_buf_view(&record), &group, err));
		for (uint64_t k = 1; rc != MBJ_OK; k++) {
			struct mbj_apply_report report;
			struct mbj_digest before;
			struct mbj_digest after;

			/* No array has grown yet: no place is passed over. */
			lab_reopen(&lab, &cold_options);
			LAB_OK(mbj_txn_begin(lab.state, &lab.txn, err));
			before = lab_digest(&lab, lab_account(1));
			test_alloc_fail_at(k);
			rc = mbj_apply_group(lab.txn, &group, &report, NULL);
			test_alloc_fail_at(0);
			after = lab_digest(&lab, lab_account(1));
			ck_assert(rc == MBJ_OK || rc == MBJ_ENOMEM);
			ck_assert(mbj_digest_equal(&before, &after) ==
				  (rc != MBJ_OK));
			failures += rc != MBJ_OK;
			cold_end(&lab);
		}
		mbj_buf_done(&record);
		lab_end(&lab);
	}
	ck_assert_uint_gt(failures, 40);
}
END_TEST

TCase *test_apply_fault_case(void)
{
	TCase *tc = tcase_create("apply_fault");

	tcase_add_test(tc, apply_message_reads_fail);
	tcase_add_test(tc, apply_reads_fail);
	tcase_add_test(tc, apply_group_reads_fail);
	tcase_add_test(tc, apply_bodies);
	tcase_add_test(tc, apply_group_no_memory);
	return tc;
}
