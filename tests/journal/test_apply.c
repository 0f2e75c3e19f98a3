/*
 * Applying groups: back-links, digests, whole or not at all, and again.
 */
#include <mbj/codec.h>
#include <mbj/hash.h>

#include "apply_lab.h"
#include "group_record.h"
#include "journal_cases.h"

#define ROOT MBJ_ID_ROOT

/* A group with one new mailbox for account 1. */
static struct lab_group group_create(uint8_t number, const char *name)
{
	struct lab_group group = {.accounts = {lab_account(1)},
				  .account_count = 1,
				  .op_count = 1};

	group.ops[0] = lab_op_create(0, number, lab_slot(ROOT, name));
	return group;
}

/*
 * Goal: back-links decide before anything is touched.  Method: three groups
 * made on one lab are delivered to another in wrong order, twice, and after a
 * group that the primary never had.
 */
START_TEST(apply_links)
{
	struct lab_group make = {.accounts = {lab_account(1)},
				 .account_count = 1,
				 .op_count = 1};
	struct lab_group groups[3];
	struct mbj_buf records[3];
	struct mbj_apply_report report;
	struct lab primary;
	struct lab replica;

	make.ops[0] = lab_op_account(0, "alice");
	groups[0] = make;
	groups[1] = group_create(1, "one");
	groups[2] = group_create(2, "two");
	lab_begin(&primary, MBJ_STATE_BERKELEY_DB);
	lab_begin(&replica, MBJ_STATE_BERKELEY_DB);
	for (size_t i = 0; i < 3; i++)
		lab_do(&primary, &groups[i], &records[i]);

	report = lab_apply(&replica, &records[1]);
	ck_assert_int_eq(report.verdict, MBJ_VERDICT_GAP);
	ck_assert_uint_eq(report.why.lsn, 2);
	report = lab_apply(&replica, &records[0]);
	ck_assert_int_eq(report.verdict, MBJ_VERDICT_APPLY);
	ck_assert_uint_eq(lab_lsn(&replica, lab_account(1)), 1);
	report = lab_apply(&replica, &records[2]);
	ck_assert_int_eq(report.verdict, MBJ_VERDICT_GAP);
	report = lab_apply(&replica, &records[1]);
	ck_assert_int_eq(report.verdict, MBJ_VERDICT_APPLY);
	for (size_t i = 0; i < 2; i++) {
		report = lab_apply(&replica, &records[i]);
		ck_assert_int_eq(report.verdict, MBJ_VERDICT_ALREADY);
		ck_assert_uint_eq(report.already, 1);
		ck_assert_uint_eq(report.applied, 0);
	}

	report = lab_apply(&replica, &records[2]);
	ck_assert_int_eq(report.verdict, MBJ_VERDICT_APPLY);
	for (size_t i = 0; i < 3; i++)
		mbj_buf_done(&records[i]);
	lab_end(&primary);
	lab_end(&replica);
}
END_TEST

/*
 * Goal: no group names an account twice: whoever parks its accounts relies on
 * it.  Method: give the second account of a record the id of the first and
 * seal the header again; it must not get past the header.
 */
START_TEST(apply_account_twice)
{
	struct lab_group make = {.accounts = {lab_account(1), lab_account(2)},
				 .account_count = 2,
				 .op_count = 2};
	struct mbj_error error = {.rc = MBJ_OK};
	struct mbj_group group;
	struct mbj_buf record;
	struct lab lab;
	uint32_t size;

	make.ops[0] = lab_op_account(0, "alice");
	make.ops[1] = lab_op_account(1, "bob");
	lab_begin(&lab, MBJ_STATE_MEMORY);
	lab_do(&lab, &make, &record);
	LAB_OK(mbj_group_parse(mbj_buf_view(&record), &group, err));
	memcpy(record.p + GROUP_OFFSET_ACCOUNTS + GROUP_ACCOUNT_SIZE,
	       record.p + GROUP_OFFSET_ACCOUNTS, MBJ_ID_SIZE);
	size = group.header.header_size - GROUP_OFFSET_HEADER_SIZE;
	mbj_store_u32(record.p + GROUP_OFFSET_CRC,
		      mbj_crc32c(0, mbj_bytes_make(
					    record.p + GROUP_OFFSET_HEADER_SIZE,
					    size)));
	ck_assert_int_eq(mbj_group_parse(mbj_buf_view(&record), &group, &error),
			 MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(error.message, "an account twice"));
	mbj_buf_done(&record);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: a group that follows another history is a conflict, not a gap.
 * Method: the primary's second group says that it follows its first; the
 * replica's account is at a group of its own in between.
 */
START_TEST(apply_fork)
{
	struct lab_group make = {.accounts = {lab_account(1)},
				 .account_count = 1,
				 .op_count = 1};
	struct lab_group one = group_create(1, "one");
	struct lab_group two = group_create(2, "two");
	struct mbj_buf first;
	struct mbj_buf record;
	struct mbj_apply_report report;
	struct mbj_digest before;
	struct mbj_digest after;
	struct lab primary;
	struct lab replica;

	make.ops[0] = lab_op_account(0, "alice");
	lab_begin(&primary, MBJ_STATE_MEMORY);
	lab_begin(&replica, MBJ_STATE_MEMORY);
	lab_do(&primary, &make, &first);
	(void)lab_apply(&replica, &first);
	primary.lsn.v = 5; /* groups 2 to 5 named other accounts */
	lab_do(&primary, &one, &record);
	replica.lsn.v = 3;
	mbj_buf_done(&first);
	lab_do(&replica, &two, &first);

	before = lab_digest(&replica, lab_account(1));
	report = lab_apply(&replica, &record);
	after = lab_digest(&replica, lab_account(1));
	ck_assert_int_eq(report.verdict, MBJ_VERDICT_CONFLICT);
	ck_assert(mbj_digest_equal(&before, &after));
	ck_assert_uint_eq(lab_lsn(&replica, lab_account(1)), 4);
	mbj_buf_done(&first);
	mbj_buf_done(&record);
	lab_end(&primary);
	lab_end(&replica);
}
END_TEST

/*
 * Goal: a group of two accounts completes where one of them has it already.
 * Method: the replica's first account is set to the group's state and LSN by
 * hand; the group then applies to the second alone, and again to neither.
 */
START_TEST(apply_two_accounts)
{
	struct lab_group make = {
		.accounts = {lab_account(1), lab_account(2)},
		.account_count = 2,
		.op_count = 2,
	};
	struct lab_group both = make;
	struct mbj_buf first;
	struct mbj_buf record;
	struct mbj_apply_report report;
	struct mbj_digest ours;
	struct mbj_digest theirs;
	struct mbj_lsn lsn = {2};
	enum mbj_verdict verdict;
	struct lab primary;
	struct lab replica;

	make.ops[0] = lab_op_account(0, "alice");
	make.ops[1] = lab_op_account(1, "bob");
	both.ops[0] = lab_op_create(0, 1, lab_slot(ROOT, "one"));
	both.ops[1] = lab_op_create(1, 2, lab_slot(ROOT, "two"));
	lab_begin(&primary, MBJ_STATE_MEMORY);
	lab_begin(&replica, MBJ_STATE_MEMORY);
	lab_do(&primary, &make, &first);
	lab_do(&primary, &both, &record);
	report = lab_apply(&replica, &first);
	ck_assert_int_eq(report.verdict, MBJ_VERDICT_APPLY);
	LAB_OK(mbj_apply_op(replica.txn, lab_account(1), lsn, &both.ops[0],
			    &verdict, err));
	LAB_OK(mbj_txn_account_set_lsn(replica.txn, lab_account(1), lsn, err));

	report = lab_apply(&replica, &record);
	ck_assert_msg(report.verdict == MBJ_VERDICT_APPLY, "%s",
		      report.why.message);
	ck_assert_uint_eq(report.applied, 1);
	ck_assert_uint_eq(report.already, 1);
	for (uint8_t i = 1; i <= 2; i++) {
		ours = lab_digest(&replica, lab_account(i));
		theirs = lab_digest(&primary, lab_account(i));
		ck_assert(mbj_digest_equal(&ours, &theirs));
		ck_assert_uint_eq(lab_lsn(&replica, lab_account(i)), 2);
	}
	report = lab_apply(&replica, &record);
	ck_assert_int_eq(report.verdict, MBJ_VERDICT_ALREADY);
	mbj_buf_done(&first);
	mbj_buf_done(&record);
	lab_end(&primary);
	lab_end(&replica);
}
END_TEST

/*
 * Goal: a group is whole or not there.  Method: its last primitive conflicts
 * on the replica, whose account differs; then its body is damaged; then it
 * applies but the digest says otherwise.
 */
START_TEST(apply_whole_or_not)
{
	struct lab_group group = group_create(5, "five");
	struct mbj_op blocker = lab_op_create(0, 6, lab_slot(ROOT, "six"));
	struct mbj_lsn lsn = {1};
	struct mbj_digest before;
	struct mbj_digest after;
	struct mbj_apply_report report;
	struct mbj_buf record;
	enum mbj_verdict verdict;
	size_t savepoint;
	struct lab lab;

	lab_begin(&lab, MBJ_STATE_MEMORY);
	lab_world(&lab);
	group.ops[1] = lab_op_create(0, 7, lab_slot(ROOT, "six"));
	group.op_count = 2;
	lab_build(&lab, &group, &record);

	savepoint = mbj_txn_savepoint(lab.txn);
	LAB_OK(mbj_apply_op(lab.txn, lab_account(1), lsn, &blocker, &verdict,
			    err));
	before = lab_digest(&lab, lab_account(1));
	report = lab_apply(&lab, &record);
	ck_assert_int_eq(report.verdict, MBJ_VERDICT_CONFLICT);
	ck_assert_uint_eq(report.op_index, 1);
	ck_assert_str_ne(report.why.message, "");
	after = lab_digest(&lab, lab_account(1));
	ck_assert(mbj_digest_equal(&before, &after));
	ck_assert_uint_eq(lab_lsn(&lab, lab_account(1)), 1);
	mbj_txn_rollback(lab.txn, savepoint);

	/* A digest that cannot come out: a floor more than was recorded. */
	blocker = lab_op_retire(50);
	LAB_OK(mbj_apply_op(lab.txn, lab_account(1), lsn, &blocker, &verdict,
			    err));
	before = lab_digest(&lab, lab_account(1));
	report = lab_apply(&lab, &record);
	ck_assert_int_eq(report.verdict, MBJ_VERDICT_CONFLICT);
	ck_assert_uint_eq(report.op_index, 2);
	after = lab_digest(&lab, lab_account(1));
	ck_assert(mbj_digest_equal(&before, &after));
	mbj_txn_rollback(lab.txn, savepoint);

	before = lab_digest(&lab, lab_account(1));
	record.p[record.n - MBJ_HASH_SIZE - 12] ^= 1;
	report = lab_apply(&lab, &record);
	ck_assert_int_eq(report.verdict, MBJ_VERDICT_CORRUPT);
	after = lab_digest(&lab, lab_account(1));
	ck_assert(mbj_digest_equal(&before, &after));
	mbj_buf_done(&record);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: nobody is left parked.  Method: a group that moves into TEMP and back
 * applies; the same without the way back does not.
 */
START_TEST(apply_parks)
{
	struct lab_group group = {.accounts = {lab_account(1)},
				  .account_count = 1,
				  .op_count = 3};
	char park1[MBJ_ID_TEXT_SIZE];
	struct mbj_slot a = lab_slot(ROOT, "a");
	struct mbj_slot b = lab_slot(ROOT, "b");
	struct mbj_slot temp;
	struct mbj_apply_report report;
	struct mbj_buf record;
	struct lab lab;

	mbj_id_print(lab_mailbox(1), park1);
	temp = lab_slot(MBJ_ID_TEMP, park1);
	lab_begin(&lab, MBJ_STATE_MEMORY);
	lab_world(&lab);
	group.ops[0] = lab_op_move(0, 1, 3, a, temp);
	group.ops[1] = lab_op_move(0, 3, 1, b, a);
	group.ops[2] = lab_op_move(0, 1, 4, temp, b);
	lab_do(&lab, &group, &record);
	mbj_buf_done(&record);

	group.ops[0] = lab_op_move(0, 1, 5, b, temp);
	group.op_count = 1;
	lab_build(&lab, &group, &record);
	report = lab_apply(&lab, &record);
	ck_assert_int_eq(report.verdict, MBJ_VERDICT_CONFLICT);
	ck_assert_ptr_nonnull(strstr(report.why.message, "parked"));
	mbj_buf_done(&record);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: an account's end is final.  Method: a group deletes it; every earlier
 * group is then already, and its digest is that of nothing.
 */
START_TEST(apply_account_end)
{
	struct lab_group make = {.accounts = {lab_account(1)},
				 .account_count = 1,
				 .op_count = 1};
	struct lab_group drop = make;
	struct lab_group one = group_create(1, "one");
	struct mbj_apply_report report;
	struct mbj_buf records[3];
	struct lab primary;
	struct lab replica;

	make.ops[0] = lab_op_account(0, "alice");
	drop.ops[0] = lab_op_of(MBJ_OP_ACCOUNT_DELETE, "alice");
	lab_begin(&primary, MBJ_STATE_MEMORY);
	lab_begin(&replica, MBJ_STATE_MEMORY);
	lab_do(&primary, &make, &records[0]);
	lab_do(&primary, &one, &records[1]);
	lab_do(&primary, &drop, &records[2]);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < 3; i++) {
			report = lab_apply(&replica, &records[i]);
			ck_assert_int_eq(report.verdict,
					 round == 0 ? MBJ_VERDICT_APPLY
						    : MBJ_VERDICT_ALREADY);
		}
	}
	for (size_t i = 0; i < 3; i++)
		mbj_buf_done(&records[i]);
	lab_end(&primary);
	lab_end(&replica);
}
END_TEST

/* --------------------------------------------------------- redelivery */

enum { WALK_GROUPS = 60, WALK_MAILBOXES = 40, WALK_NAMES = 8, WALK_LIVE = 5 };

static const char *const walk_names[WALK_NAMES] = {"n0", "n1", "n2", "n3",
						   "n4", "n5", "n6", "n7"};

/* Where each mailbox of the random walk is, by the primary. */
struct walk {
	struct lab_group group;
	uint8_t born; /* mailboxes 1..born exist or existed */
	uint8_t live;
	uint64_t rev[WALK_MAILBOXES + 1]; /* 0: gone */
	uint8_t name[WALK_MAILBOXES + 1];
};

static bool walk_is_taken(const struct walk *walk, uint8_t name)
{
	for (uint8_t i = 1; i <= walk->born; i++)
		if (walk->rev[i] > 0 && walk->name[i] == name)
			return true;
	return false;
}

static uint8_t walk_free_name(const struct walk *walk, struct test_rng *rng)
{
	uint8_t name;

	do
		name = (uint8_t)test_rng_below(rng, WALK_NAMES);
	while (walk_is_taken(walk, name));
	return name;
}

static uint8_t walk_live_one(const struct walk *walk, struct test_rng *rng)
{
	uint8_t v;

	do
		v = (uint8_t)test_rng_between(rng, 1, walk->born);
	while (walk->rev[v] == 0);
	return v;
}

/* One random step; all mailboxes at the top level. */
static void walk_step(struct walk *walk, struct test_rng *rng)
{
	struct mbj_op *op = &walk->group.ops[0];
	uint8_t name = walk_free_name(walk, rng);
	struct mbj_slot to = lab_slot(ROOT, walk_names[name]);
	struct mbj_slot from;
	uint8_t v;

	if (walk->live == 0 ||
	    (walk->live < WALK_LIVE && walk->born < WALK_MAILBOXES &&
	     test_rng_chance(rng, 1, 4))) {
		v = ++walk->born;
		*op = lab_op_create(0, v, to);
		walk->live++;
		walk->rev[v] = 1;
		walk->name[v] = name;
		return;
	}
	v = walk_live_one(walk, rng);
	from = lab_slot(ROOT, walk_names[walk->name[v]]);
	if (walk->live > 1 && test_rng_chance(rng, 1, 8)) {
		*op = lab_op_delete(0, v, walk->rev[v], from);
		walk->live--;
		walk->rev[v] = 0;
		return;
	}
	*op = lab_op_move(0, v, walk->rev[v]++, from, to);
	walk->name[v] = name;
}

/* Deliver a record; the account must come to the same as the primary's. */
static void redeliver(struct lab *replica, const struct mbj_buf *record,
		      enum mbj_verdict verdict, struct mbj_digest expected)
{
	struct mbj_apply_report report = lab_apply(replica, record);
	struct mbj_digest digest = lab_digest(replica, lab_account(1));

	ck_assert_msg(report.verdict == verdict, "%s: %s",
		      mbj_verdict_name(report.verdict), report.why.message);
	ck_assert(mbj_digest_equal(&digest, &expected));
}

/*
 * Goal: whatever is redelivered whenever, each group takes effect once.
 * Method: a random walk of renames, creations and deletions over few names,
 * so that names come back (A-B-A); between any two groups an earlier one is
 * thrown in, and its primitive is also tried past the account's LSN, so that
 * revisions alone decide.
 */
START_TEST(apply_redelivery)
{
	struct walk walk = {.group = {.accounts = {lab_account(1)},
				      .account_count = 1,
				      .op_count = 1}};
	struct mbj_buf records[WALK_GROUPS];
	struct mbj_op ops[WALK_GROUPS];
	struct test_rng rng;
	struct lab primary;
	struct lab replica;

	(void)test_rng_seed(&rng);
	lab_begin(&primary, MBJ_STATE_MEMORY);
	lab_begin(&replica, MBJ_STATE_MEMORY);
	walk.group.ops[0] = lab_op_account(0, "alice");
	for (size_t i = 0; i < WALK_GROUPS; i++) {
		struct mbj_digest before = lab_digest(&replica, lab_account(1));
		struct mbj_lsn lsn = {1000};
		enum mbj_verdict verdict;

		if (i > 0) {
			size_t old = test_rng_below(&rng, i);

			redeliver(&replica, &records[old], MBJ_VERDICT_ALREADY,
				  before);
			walk_step(&walk, &rng);
		}
		ops[i] = walk.group.ops[0];
		lab_do(&primary, &walk.group, &records[i]);
		redeliver(&replica, &records[i], MBJ_VERDICT_APPLY,
			  lab_digest(&primary, lab_account(1)));
		if (i == 0)
			continue;
		LAB_OK(mbj_apply_op(replica.txn, lab_account(1), lsn,
				    &ops[test_rng_between(&rng, 1, i)],
				    &verdict, err));
		ck_assert_int_eq(verdict, MBJ_VERDICT_ALREADY);
	}
	for (size_t i = 0; i < WALK_GROUPS; i++)
		mbj_buf_done(&records[i]);
	lab_end(&primary);
	lab_end(&replica);
}
END_TEST

TCase *test_apply_case(void)
{
	TCase *tc = tcase_create("apply");

	tcase_add_test(tc, apply_links);
	tcase_add_test(tc, apply_account_twice);
	tcase_add_test(tc, apply_fork);
	tcase_add_test(tc, apply_two_accounts);
	tcase_add_test(tc, apply_whole_or_not);
	tcase_add_test(tc, apply_parks);
	tcase_add_test(tc, apply_account_end);
	tcase_add_test(tc, apply_redelivery);
	return tc;
}
