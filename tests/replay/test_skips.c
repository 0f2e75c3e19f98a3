/*
 * The record of groups that were given up, and giving up where something fails.
 */
#include <string.h>
#include <unistd.h>

#include <mbj/apply.h>
#include <mbj/codec.h>
#include <mbj/hash.h>
#include <mbj/skips.h>

#include "quarantine_run.h"
#include "read_fault.h"
#include "resync_lab.h"
#include "skip_lab.h"
#include "store_impl.h"

static void skips_are(struct fixture *f, size_t count)
{
	struct mbj_skips skips;

	OK(mbj_skips_load(mbj_sys_posix(), f->replica_dir, &skips, err));
	ck_assert_uint_eq(skips.count, count);
	mbj_skips_done(&skips);
}

/*
 * Goal: the record of groups is bounded, has each once, and lets go of what the
 * journal does not have any more.  Method: as many as there may be, and one
 * more; one twice; those of an account; files that are no such record.
 */
START_TEST(skip_record)
{
	struct mbj_skip skip = {.account = fixture_id(9), .epoch = {1}};
	uint8_t head[20] = "MBJSKIPS";
	struct mbj_error why;
	struct fixture f;

	skip_begin(&f, NULL);
	for (skip.lsn.v = 1; skip.lsn.v <= 3; skip.lsn.v++)
		OK(mbj_skips_add(f.replica, skip, err));
	skip.lsn.v = 1;
	OK(mbj_skips_add(f.replica, skip, err));
	skips_are(&f, 3);
	skip.account = fixture_id(8);
	OK(mbj_skips_add(f.replica, skip, err));
	OK(mbj_skips_drop(f.replica, fixture_id(7), err));
	skips_are(&f, 4);
	OK(mbj_skips_drop(f.replica, fixture_id(9), err));
	skips_are(&f, 1);
	f.replica->superblock.identity.anchor.first.v = 2;
	skip.lsn.v = 2;
	OK(mbj_skips_add(f.replica, skip, err));
	skips_are(&f, 1);
	f.replica->superblock.identity.anchor.first.v = 1;
	head[8] = 2;
	mbj_store_u32(head + 16,
		      mbj_crc32c(0, mbj_bytes_make(head, sizeof(head) - 4)));
	OK(mbj_file_replace(mbj_sys_posix(), f.replica_dir, STORE_SKIPS_NAME,
			    mbj_bytes_make(head, sizeof(head)), err));
	ck_assert_int_eq(mbj_skips_add(f.replica, skip, &why),
			 MBJ_EUNSUPPORTED);
	skip_refused(&f, "alice", 3, MBJ_EUNSUPPORTED, "use a newer one");
	/* Replays go on. */
	(void)fixture_replay(&f);
	fixture_end(&f);
}
END_TEST

START_TEST(skip_record_full)
{
	struct mbj_skip skip = {.account = fixture_id(9), .epoch = {1}};
	struct mbj_error why;
	struct mbj_buf file;
	struct fixture f;

	skip_begin(&f, NULL);
	mbj_buf_init(&file, 1 << 20);
	mbj_buf_put_str(&file, "MBJSKIPS");
	mbj_buf_put_u32(&file, 1);
	mbj_buf_put_u32(&file, MBJ_SKIPS_MAX);
	for (skip.lsn.v = 1; skip.lsn.v <= MBJ_SKIPS_MAX; skip.lsn.v++) {
		mbj_buf_put_id(&file, skip.account);
		mbj_buf_put_u64(&file, skip.lsn.v);
		mbj_buf_put_u64(&file, skip.epoch.v);
		mbj_buf_put_u8(&file, 0);
	}
	mbj_buf_put_u32(&file, mbj_crc32c(0, mbj_buf_view(&file)));
	OK(mbj_file_replace(mbj_sys_posix(), f.replica_dir, STORE_SKIPS_NAME,
			    mbj_buf_view(&file), err));
	skips_are(&f, MBJ_SKIPS_MAX);
	ck_assert_int_eq(mbj_skips_add(f.replica, skip, &why), MBJ_ELIMIT);
	skip_refused(&f, "alice", 3, MBJ_ELIMIT, "groups were given up");
	aside_waits(&f, "alice", 1, 3, "group 3");
	/* One of them more, and its size is not what it says. */
	mbj_buf_put_u32(&file, 0);
	OK(mbj_file_replace(mbj_sys_posix(), f.replica_dir, STORE_SKIPS_NAME,
			    mbj_buf_view(&file), err));
	(void)skip_give_up(&f, "alice", 3);
	skips_are(&f, 1);
	mbj_buf_done(&file);
	fixture_end(&f);
}
END_TEST

/* ---------------------------------------------------------------- faults */

/* As begin_bent left it: the state does not remember what was given up. */
static void faults_again(struct fixture *f)
{
	char path[MBJ_PATH_TEXT_MAX];

	OK(mbj_path_join(path, f->replica_dir, STORE_SKIPS_NAME, err));
	(void)unlink(path);
	rebuild(f);
	aside_waits(f, "alice", 2, 3, "group 3");
	skip_lacks(f, "alice", 0, 0, 0);
}

/* By request, by itself, by a replay; *ret_is_done: nothing of alice waits. */
static enum mbj_rc faults_try(struct fixture *f, int how, struct mbj_id alice,
			      bool *ret_is_done, struct mbj_error *err)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result replayed;
	const struct mbj_lsn lsn = {3};
	struct mbj_skip_result result;
	uint64_t healed = 0;
	enum mbj_rc rc;

	if (how == 0)
		rc = mbj_quarantine_skip(f->replica, alice, lsn, false, &result,
					 err);
	else if (how == 1)
		rc = skips_carry_out(f->replica, &healed, err);
	else
		rc = mbj_replay_journal(f->replica, f->primary_dir, &options,
					&replayed, err);
	*ret_is_done = rc == MBJ_OK && (how != 1 || healed > 0) &&
		       (how != 2 || replayed.accounts_parked == 0);
	return rc;
}

/*
 * Goal: whatever fails, the same again ends well, and where the state is made
 * anew as well.  Method: each allocation, and each read of the state, once and
 * from then on; by request, and by itself.
 */
START_TEST(skip_faults)
{
	const struct mbj_skip given_up = {.lsn = {3}, .epoch = {1}};
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	bool is_read = _i % 2 == 1, is_asked = _i < 4, is_done = false;
	struct mbj_skip again = given_up;
	unsigned failures = 0;
	struct mbj_error why;
	struct fixture f;

	options.state.engine = MBJ_STATE_MEMORY;
	options.state.records_cached_max = 0;
	skip_begin_bent(&f, &options);
	again.account = fixture_account(f.primary, "alice");
	for (uint64_t k = 1; !is_done; k++, failures += !is_done) {
		enum mbj_rc rc;

		faults_again(&f);
		if (!is_asked)
			OK(mbj_skips_add(f.replica, again, err));
		read_fault_begin(f.replica->state);
		if (is_read)
			read_fault_at(k, _i / 2 % 2 == 1);
		else if (_i / 2 % 2 == 0)
			test_alloc_fail_at(k);
		else
			test_alloc_fail_from(k);
		rc = faults_try(&f, _i / 4, again.account, &is_done, &why);
		read_fault_at(0, false);
		test_alloc_fail_at(0);
		if (rc < 0)
			ck_assert_str_ne(why.message, "");
	}
	ck_assert_uint_gt(failures, 5);
	aside_waits(&f, "alice", 0, 0, "");
	skip_lacks(&f, "alice", 1, 3, 3);
	rebuild(&f);
	aside_waits(&f, "alice", 0, 0, "");
	skip_lacks(&f, "alice", 1, 3, 3);
	fixture_end(&f);
}
END_TEST

/* As many faults of one kind as there are, until one attempt ends well. */
static void apply_faults(struct fixture *f, struct mbj_id id, uint64_t lsn,
			 bool is_skip, bool is_read)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_apply_report report;
	struct mbj_group group;
	struct mbj_error why;
	enum mbj_rc rc = MBJ_EIO;
	uint64_t k;

	OK(mbj_store_log_reader_own(f->replica, &reader, err));
	OK(mbj_log_reader_seek(reader, (struct mbj_lsn){lsn}, err));
	OK(mbj_log_reader_next(reader, &group, err));
	for (k = 1; rc < 0; k++) {
		struct mbj_txn *txn = NULL;

		skip_reopen(f);
		read_fault_begin(f->replica->state);
		OK(mbj_txn_begin(f->replica->state, &txn, err));
		if (is_read)
			read_fault_at(k, false);
		else
			test_alloc_fail_at(k);
		rc = is_skip ? mbj_apply_skip(txn, &group, id, &why)
			     : mbj_apply_group(txn, &group, &report, &why);
		read_fault_at(0, false);
		test_alloc_fail_at(0);
		mbj_txn_abort(&txn);
	}
	ck_assert_uint_gt(k, 2);
	mbj_log_reader_close(&reader);
}

/*
 * Goal: no failure is taken for an account that is not there, or lacks nothing.
 * Method: a group applied, and given up, for an account of which another one
 * was given up, there and not there, and its delete; each read and each
 * allocation fails.
 */
START_TEST(skip_apply_faults)
{
	struct mbj_account taker = {.policy = MBJ_NAME_POLICY_DEFAULT};
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct mbj_txn *txn = NULL;
	struct mbj_id alice, carol;
	struct fixture f;

	options.state.engine = MBJ_STATE_MEMORY;
	options.state.records_cached_max = 0;
	skip_begin_bent(&f, &options);
	taker.id = fixture_id(99);
	taker.name = mbj_bytes_str("carol");
	OK(mbj_txn_begin(f.replica->state, &txn, err));
	OK(mbj_txn_account_create(txn, &taker, err));
	OK(mbj_txn_commit(&txn, err));
	(void)skip_give_up(&f, "alice", 3);
	fixture_rename(&f, "alice", "a", "z");
	fixture_import(&f, "carol", 2);
	fixture_rename(&f, "carol", "m2", "c");
	(void)fixture_replay(&f);
	(void)skip_give_up(&f, "carol", 7);
	alice = fixture_account(f.primary, "alice");
	carol = fixture_account(f.primary, "carol");
	aside_delete(&f, "carol");
	(void)fixture_replay(&f);
	for (int i = 0; i < 4; i++) {
		apply_faults(&f, alice, 6, i / 2 == 0, i % 2 == 0);
		apply_faults(&f, carol, 8, i / 2 == 0, i % 2 == 0);
	}
	apply_faults(&f, carol, 9, true, true);
	apply_faults(&f, carol, 9, true, false);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: what would take effect, what nobody can read, and whoever else is aside
 * are left as they are, by itself.  Method: groups that the record names, with
 * the ghost gone, with a damaged header; another account aside, and another
 * one in the record.
 */
START_TEST(skip_left)
{
	struct mbj_skip skip = {.lsn = {3}, .epoch = {1}};
	uint64_t healed;
	struct fixture f;

	skip_begin(&f, NULL);
	aside_ghost(&f, "bob", true);
	fixture_rename(&f, "bob", "m3", "c");
	(void)fixture_replay(&f);
	skip.account = fixture_id(9);
	OK(mbj_skips_add(f.replica, skip, err));
	skip.account = fixture_account(f.primary, "alice");
	OK(mbj_skips_add(f.replica, skip, err));
	aside_ghost(&f, "alice", false);
	OK(skips_carry_out(f.replica, &healed, err));
	aside_ghost(&f, "alice", true);
	aside_damage(&f, 3, true);
	OK(skips_carry_out(f.replica, &healed, err));
	ck_assert_uint_eq(healed, 0);
	aside_waits(&f, "alice", 1, 3, "group 3");
	aside_waits(&f, "bob", 1, 5, "group 5");
	skip_lacks(&f, "alice", 0, 0, 0);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: no space for what waits behind is no error by itself, and is said to
 * whoever asked.  Method: below the mark.
 */
START_TEST(skip_no_space)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct mbj_skip skip = {.lsn = {3}, .epoch = {1}};
	uint64_t healed;
	struct fixture f;

	skip_begin_bent(&f, &options);
	skip.account = fixture_account(f.primary, "alice");
	OK(mbj_skips_add(f.replica, skip, err));
	f.replica->options.space_min = UINT64_MAX / 2;
	OK(skips_carry_out(f.replica, &healed, err));
	aside_waits(&f, "alice", 1, 4, "");
	f.replica->options.space_min = 0;
	ck_assert_uint_eq(fixture_replay(&f).accounts_healed, 1);
	skip_lacks(&f, "alice", 1, 3, 3);
	fixture_end(&f);
}
END_TEST

TCase *test_skips_case(void)
{
	TCase *tcase = tcase_create("skips");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, skip_record);
	tcase_add_test(tcase, skip_record_full);
	tcase_add_test(tcase, skip_apply_faults);
	tcase_add_test(tcase, skip_left);
	tcase_add_test(tcase, skip_no_space);
	tcase_add_loop_test(tcase, skip_faults, 0, 10);
	return tcase;
}
