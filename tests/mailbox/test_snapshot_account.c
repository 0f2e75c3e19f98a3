/*
 * One account out of a snapshot: whole, into an empty state and into one that
 * has gone on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "snapshot_lab.h"
#include "snapshot_priv.h"

static struct mbj_error err;

/*
 * Goal: one account can be taken out of a snapshot, whole, and no other comes
 * along.  Method: each into a state of its own; what is not there, was deleted,
 * is said.
 */
START_TEST(snapshot_account)
{
	struct mbj_id ids[] = {test_id(2000), test_id(2001), test_id(2004),
			       MBJ_ID_ROOT};
	struct mbj_account account;
	struct mbj_snapshot *snapshot;
	struct snapshot_lab lab;
	struct mbj_txn *txn = NULL;
	char name[16];

	snapshot_lab_begin(&lab, MBJ_STATE_BERKELEY_DB, SNAPSHOT_LAB_STEPS);
	ids[3] = lab.content.account;
	snapshot = snapshot_lab_opened(lab.path);
	for (unsigned i = 0; i < 4; i++) {
		struct mbj_state *state;

		(void)snprintf(name, sizeof(name), "one%u", i);
		state = snapshot_lab_open(&lab, name, MBJ_STATE_MEMORY);
		test_ok(mbj_txn_begin(state, &txn, &err), err);
		/* The second one finds it there, and makes it the same. */
		for (unsigned times = 0; times < 2; times++)
			test_ok(mbj_snapshot_account_load(snapshot, ids[i], txn,
							  false, &err),
				err);
		test_ok(mbj_txn_commit(&txn, &err), err);
		snapshot_lab_check(state, 1);
		mbj_state_close(&state);
	}
	test_ok(mbj_snapshot_account_get(snapshot, test_id(2001), &account,
					 &err),
		err);
	ck_assert(mbj_bytes_equal(account.name, mbj_bytes_str("other1")));
	ck_assert_uint_eq(account.subscription_count, 1);
	test_rc(mbj_snapshot_account_get(snapshot, test_id(2003), &account,
					 &err),
		MBJ_ENOTFOUND);
	test_rc(mbj_snapshot_account_get(snapshot, test_id(1), &account, &err),
		MBJ_ENOTFOUND);
	test_rc(mbj_snapshot_account_get(snapshot, test_id(999999), &account,
					 &err),
		MBJ_ENOTFOUND);
	mbj_snapshot_close(&snapshot);
	snapshot_lab_end(&lab);
}
END_TEST

/* A message of the lab's account goes, and leaves a record that says so. */
static void something_expunge(const struct snapshot_lab *lab,
			      struct mbj_txn *txn)
{
	const struct content_box *box = lab->content.model->boxes;
	struct mbj_id account = lab->content.account;
	uint8_t set[MBJ_UID_RANGE_SIZE];
	struct mbj_content content;
	uint32_t uid = 1;

	while (!box->is_live)
		box++;
	while (!box->messages[uid].is_there)
		uid++;
	mbj_store_u32(set, uid);
	mbj_store_u32(set + 4, uid);
	test_ok(mbj_txn_content_get(txn, account, content_box_id(box), &content,
				    &err),
		err);
	test_ok(mbj_txn_message_expunge(txn, account, content_box_id(box),
					content.rev,
					mbj_bytes_make(set, sizeof(set)),
					content.modseq + 1,
					(struct mbj_lsn){98}, &err),
		err);
}

/*
 * Goal: an account can be made again what it was, wherever it has gone since:
 * all but the order of its records' coming is as before.  Method: in a filled
 * state one account expunged something, and is deleted, one renamed, one that
 * was never there, one that was deleted alive, and each loaded again; the next
 * snapshot is the same file, byte for byte.
 */
START_TEST(snapshot_account_again)
{
	const struct mbj_id dead = test_id(2003);
	const struct mbj_id unknown = test_id(4711);
	struct mbj_id ids[] = {test_id(2000), test_id(2001), test_id(2004),
			       MBJ_ID_ROOT,   dead,	     unknown};
	struct mbj_account made = {.id = unknown,
				   .name = mbj_bytes_str("unknown"),
				   .policy = MBJ_NAME_POLICY_DEFAULT};
	char again_dir[MBJ_PATH_TEXT_MAX], again[MBJ_PATH_TEXT_MAX];
	struct mbj_snapshot_info info;
	struct mbj_snapshot *snapshot;
	struct snapshot_lab lab;
	struct mbj_state *state;
	struct mbj_txn *txn = NULL;
	uint8_t *first, *second;
	bool is_dead = false;
	size_t n, m;

	snapshot_lab_begin(&lab, MBJ_STATE_BERKELEY_DB, SNAPSHOT_LAB_STEPS);
	ids[3] = lab.content.account;
	first = snapshot_lab_load(lab.path, &n);
	(void)snprintf(again_dir, sizeof(again_dir), "%s/again",
		       lab.content.tmpdir);
	ck_assert_int_eq(mkdir(again_dir, 0700), 0);
	state = snapshot_lab_open(&lab, "filled",
				  _i == 0 ? MBJ_STATE_MEMORY
					  : MBJ_STATE_BERKELEY_DB);
	snapshot = snapshot_lab_opened(lab.path);
	test_ok(mbj_snapshot_load(snapshot, state, false, &err), err);
	test_ok(mbj_txn_begin(state, &txn, &err), err);
	something_expunge(&lab, txn);
	test_ok(mbj_txn_account_delete(txn, ids[3], (struct mbj_lsn){99}, &err),
		err);
	test_ok(mbj_txn_account_rename(txn, ids[1], mbj_bytes_str("other1"),
				       mbj_bytes_str("elsewhere"), &err),
		err);
	test_ok(mbj_txn_account_create(txn, &made, &err), err);
	test_ok(mbj_txn_commit(&txn, &err), err);
	test_ok(mbj_txn_begin(state, &txn, &err), err);
	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++)
		test_ok(mbj_snapshot_account_load(snapshot, ids[i], txn, false,
						  &err),
			err);
	test_ok(mbj_txn_account_is_dead(txn, dead, &is_dead, &err), err);
	ck_assert(is_dead);
	test_ok(mbj_txn_commit(&txn, &err), err);
	snapshot_lab_check(state, 5);
	snapshot_lab_take(state, again_dir, &info, again);
	second = snapshot_lab_load(again, &m);
	ck_assert_uint_eq(n, m);
	ck_assert_int_eq(memcmp(first, second, n), 0);
	/* Another account with its name: said, and taken back. */
	test_ok(mbj_txn_begin(state, &txn, &err), err);
	test_ok(mbj_txn_account_rename(txn, ids[1], mbj_bytes_str("other1"),
				       mbj_bytes_str("elsewhere"), &err),
		err);
	made.name = mbj_bytes_str("other1");
	test_ok(mbj_txn_account_create(txn, &made, &err), err);
	test_rc(mbj_snapshot_account_load(snapshot, ids[1], txn, false, &err),
		MBJ_ECONFLICT);
	mbj_txn_abort(&txn);
	mbj_snapshot_close(&snapshot);
	mbj_state_close(&state);
	free(first);
	free(second);
	snapshot_lab_end(&lab);
}
END_TEST

/*
 * Goal: an account that no journal can make is damage wherever it is read:
 * names are taken apart by its delimiter, which relies on one.  Method: every
 * value of both bytes of its policy, in a record; one into a snapshot.
 */
START_TEST(snapshot_account_policy)
{
	struct mbj_account account = {.id = test_id(2010),
				      .name = mbj_bytes_str("bent")};
	struct mbj_snapshot_info info;
	struct snapshot_lab lab;
	struct mbj_account found;
	struct mbj_txn *txn = NULL;
	struct mbj_buf record;
	unsigned good = 0;

	mbj_buf_init(&record, 1 << 10);
	for (unsigned i = 0; i < 1 << 16; i++) {
		account.policy = MBJ_NAME_POLICY_DEFAULT;
		record_account_encode(&record, &account);
		test_ok(mbj_buf_ok(&record, &err), err);
		record.p[1] = (uint8_t)(i >> 8);
		record.p[2] = (uint8_t)i;
		good += record_account_decode(account.id, mbj_buf_view(&record),
					      &found);
	}
	mbj_buf_done(&record);
	ck_assert_uint_eq(good, 4);
	snapshot_lab_begin(&lab, MBJ_STATE_MEMORY, 0);
	account.policy.delimiter = '\0';
	test_ok(mbj_txn_begin(lab.content.state, &txn, &err), err);
	test_ok(mbj_txn_account_create(txn, &account, &err), err);
	test_rc(mbj_txn_account_get(txn, account.id, &found, &err),
		MBJ_ECORRUPT);
	test_ok(mbj_txn_commit(&txn, &err), err);
	test_ok(mbj_txn_begin_read(lab.content.state, &txn, &err), err);
	test_rc(mbj_snapshot_write(snapshot_lab_sys(), lab.dir, txn, NULL,
				   &info, &err),
		MBJ_ECORRUPT);
	mbj_txn_abort(&txn);
	snapshot_lab_end(&lab);
}
END_TEST

static bool mailbox_is_good(struct mbj_id id, struct mbj_id parent,
			    struct mbj_bytes name)
{
	const struct mbj_mailbox mailbox = {.name = {name, name},
					    .parent = parent};
	struct snapshot_record record = {
		.table = TABLE_MAILBOXES,
		.key = mbj_bytes_make(id.b, MBJ_ID_SIZE),
	};
	struct mbj_buf value;
	bool is_good;

	mbj_buf_init(&value, 4 << 10);
	record_mailbox_encode(&value, &mailbox);
	test_ok(mbj_buf_ok(&value, &err), err);
	record.value = mbj_buf_view(&value);
	is_good = snapshot_record_is_good(&record);
	mbj_buf_done(&value);
	return is_good;
}

/*
 * Goal: a mailbox that is parked, as none is between two groups, is damage of a
 * snapshot: who plans with a tree relies on there being none.  So is one with a
 * reserved id, or a name that no tree takes.
 */
START_TEST(snapshot_account_parked)
{
	const struct mbj_bytes name = mbj_bytes_str("a");
	const struct mbj_id id = test_id(2011);
	uint8_t bytes[MBJ_NAME_MAX + 1];
	struct mbj_mailbox mailbox = {.id = id,
				      .parent = MBJ_ID_TEMP,
				      .name = {name, name}};
	struct mbj_snapshot_info info;
	struct snapshot_lab lab;
	struct mbj_txn *txn = NULL;

	memset(bytes, 'a', sizeof(bytes));
	ck_assert(mailbox_is_good(id, MBJ_ID_ROOT, name));
	ck_assert(!mailbox_is_good(id, MBJ_ID_TEMP, name));
	ck_assert(!mailbox_is_good(MBJ_ID_ROOT, MBJ_ID_ROOT, name));
	ck_assert(!mailbox_is_good(MBJ_ID_TEMP, MBJ_ID_ROOT, name));
	ck_assert(!mailbox_is_good(id, MBJ_ID_ROOT, mbj_bytes_make("a\0", 2)));
	ck_assert(mailbox_is_good(id, MBJ_ID_ROOT,
				  mbj_bytes_make(bytes, MBJ_NAME_MAX)));
	ck_assert(!mailbox_is_good(id, MBJ_ID_ROOT,
				   mbj_bytes_make(bytes, MBJ_NAME_MAX + 1)));
	snapshot_lab_begin(&lab, MBJ_STATE_MEMORY, 0);
	test_ok(mbj_txn_begin(lab.content.state, &txn, &err), err);
	test_ok(mbj_txn_mailbox_create(txn, lab.content.account, &mailbox,
				       &err),
		err);
	test_ok(mbj_txn_commit(&txn, &err), err);
	test_ok(mbj_txn_begin_read(lab.content.state, &txn, &err), err);
	test_rc(mbj_snapshot_write(snapshot_lab_sys(), lab.dir, txn, NULL,
				   &info, &err),
		MBJ_ECORRUPT);
	mbj_txn_abort(&txn);
	snapshot_lab_end(&lab);
}
END_TEST

TCase *test_snapshot_account_case(void)
{
	TCase *tc = tcase_create("snapshot_account");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, snapshot_account);
	tcase_add_loop_test(tc, snapshot_account_again, 0, 2);
	tcase_add_test(tc, snapshot_account_policy);
	tcase_add_test(tc, snapshot_account_parked);
	return tc;
}
