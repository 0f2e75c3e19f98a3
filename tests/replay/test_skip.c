/*
 * A group that is given up for an account: by name of the group alone, kept
 * through whatever becomes of the state, and over when the account is what it
 * is to be.
 */
#include <string.h>

#include <mbj/apply.h>
#include <mbj/audit.h>
#include <mbj/backup.h>
#include <mbj/skips.h>

#include "resync_lab.h"
#include "skip_lab.h"
#include "store_impl.h"

/* Only one account differs, and that is known. */
static void differs_alone(struct fixture *f)
{
	struct mbj_verify_totals totals;

	ck_assert_uint_gt(fixture_differences(f, &totals), 0);
	ck_assert_uint_eq(totals.accounts_skipped, 1);
	ck_assert_uint_eq(totals.accounts_parked, 0);
}

/*
 * Goal: one group is given up, which was named; those behind it that still fit
 * are carried out, those that conflict because of it wait as usual.  Method: a
 * rename is given up by a wrong number, tried, and by the right one; then a
 * rename of another mailbox, and one of the same.
 */
START_TEST(skip_one)
{
	struct mbj_skip_result result;
	char name[MBJ_NAME_MAX + 1];
	struct mbj_lsn first;
	struct fixture f;

	skip_begin(&f, NULL);
	fixture_rename(&f, "alice", "m3", "c");
	fixture_rename(&f, "alice", "a", "z");
	fixture_rename(&f, "alice", "m4", "d");
	(void)fixture_replay(&f);
	aside_waits(&f, "alice", 4, 3, "group 3");
	OK(mbj_quarantine_first(f.replica, fixture_account(f.primary, "alice"),
				&first, err));
	ck_assert_uint_eq(first.v, 3);
	skip_refused(&f, "alice", 5, MBJ_EFENCED, "waits for group 3 first");
	OK(skip_try(&f, "alice", 3, true, &result, err));
	aside_waits(&f, "alice", 4, 3, "group 3");
	skip_lacks(&f, "alice", 0, 0, 0);
	result = skip_give_up(&f, "alice", 3);
	ck_assert(result.is_different);
	ck_assert_uint_eq(result.retry.groups, 1);
	ck_assert_uint_eq(result.retry.accounts_parked, 1);
	fixture_name(f.replica, "alice", fixture_id(3), name);
	ck_assert_str_eq(name, "c");
	aside_waits(&f, "alice", 2, 6, "group 6");
	skip_lacks(&f, "alice", 1, 3, 3);
	/* The record of who waits, and then its end, leave it alone. */
	ck_assert_uint_eq(aside_retry(&f, "alice").groups, 0);
	result = skip_give_up(&f, "alice", 6);
	ck_assert_uint_eq(result.retry.groups, 1);
	aside_waits(&f, "alice", 0, 0, "");
	skip_lacks(&f, "alice", 2, 3, 6);
	differs_alone(&f);
	/* She takes part again. */
	fixture_rename(&f, "alice", "c", "e");
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 0);
	skip_lacks(&f, "alice", 2, 3, 6);
	skip_refused(&f, "alice", 8, MBJ_ENOTFOUND, "nothing waits");
	fixture_end(&f);
}
END_TEST

static void audit_is(struct fixture *f, uint64_t skips, bool is_asked)
{
	struct mbj_audit_entry e = {.number = 0};
	struct mbj_audit_list list;
	uint64_t count = 0;

	OK(mbj_audit_load(NULL, f->replica_dir, &list, err));
	while (mbj_audit_next(&list, &e))
		if (e.kind == MBJ_AUDIT_SKIP) {
			count++;
			ck_assert_uint_eq(e.first.v, 3);
			ck_assert(e.is_asked == (is_asked && count == 1));
			ck_assert_uint_gt(e.reason.n, 0);
		}
	ck_assert_uint_eq(count, skips);
	mbj_audit_list_done(&list);
}

/*
 * Goal: that it differs is known after a restart, after the state was made anew
 * from the journal or from a snapshot, and until the account is made again.
 * Method: the journal alone has the group fail again (what it says of alice is
 * bent at the source); a snapshot of the source is newer.
 */
START_TEST(skip_lasts)
{
	struct fixture f;

	skip_begin(&f, NULL);
	(void)skip_give_up(&f, "alice", 3);
	audit_is(&f, 1, true);
	skip_reopen(&f);
	skip_lacks(&f, "alice", 1, 3, 3);
	snapshot_make(f.replica);
	rebuild(&f);
	skip_lacks(&f, "alice", 1, 3, 3);
	audit_is(&f, 1, true);
	differs_alone(&f);
	fixture_rename(&f, "alice", "m3", "c");
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 0);
	snapshot_make(f.primary);
	(void)resync(&f, "alice");
	skip_is_over(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a state that is made anew from the journal alone has it so as well, and
 * so has a backup, and what is restored from it; a group that would not fail
 * any more is carried out.  Method: a group that fails on every state; a record
 * of groups that is damaged, which leaves the account aside.
 */
START_TEST(skip_again)
{
	struct mbj_backup_options backup = MBJ_BACKUP_OPTIONS_INIT;
	struct mbj_restore_options restore = MBJ_RESTORE_OPTIONS_INIT;
	char dirs[2][MBJ_PATH_TEXT_MAX];
	struct mbj_backup_result result;
	uint64_t first, last;
	struct fixture f;
	struct mbj_id id;

	skip_begin_bent(&f, NULL);
	(void)skip_give_up(&f, "alice", 3);
	aside_waits(&f, "alice", 0, 0, "");
	skip_lacks(&f, "alice", 1, 3, 3);
	rebuild(&f);
	aside_waits(&f, "alice", 0, 0, "");
	skip_lacks(&f, "alice", 1, 3, 3);
	audit_is(&f, 2, true);
	OK(mbj_path_join(dirs[0], f.tmpdir, "b", err));
	OK(mbj_path_join(dirs[1], f.tmpdir, "back", err));
	OK(mbj_backup(f.replica_dir, dirs[0], &backup, &result, err));
	ck_assert_uint_eq(result.accounts_parked, 0);
	OK(mbj_restore(dirs[0], dirs[1], &restore, &result, err));
	id = fixture_account(f.primary, "alice");
	for (int i = 0; i < 2; i++) {
		struct mbj_store *store = NULL;

		OK(mbj_replica_open(dirs[i], NULL, &store, err));
		ck_assert_uint_eq(skip_count(store, id, &first, &last), 1);
		ck_assert_uint_eq(first, 3);
		mbj_store_close(&store);
	}
	OK(mbj_file_replace(mbj_sys_posix(), f.replica_dir, STORE_SKIPS_NAME,
			    mbj_bytes_str("bent"), err));
	rebuild(&f);
	aside_waits(&f, "alice", 2, 3, "group 3");
	skip_lacks(&f, "alice", 0, 0, 0);
	/* And by hand as before: what was damaged is not in the way. */
	(void)skip_give_up(&f, "alice", 3);
	rebuild(&f);
	skip_lacks(&f, "alice", 1, 3, 3);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: what was given up once and does not fail any more is carried out where
 * the state is made anew; and nothing is given up that would take effect.
 * Method: the ghost was the state's alone.
 */
START_TEST(skip_not_again)
{
	struct fixture f;

	skip_begin(&f, NULL);
	aside_ghost(&f, "alice", false);
	skip_refused(&f, "alice", 3, MBJ_EFENCED, "would take effect now");
	aside_ghost(&f, "alice", true);
	(void)skip_give_up(&f, "alice", 3);
	rebuild(&f);
	skip_lacks(&f, "alice", 0, 0, 0);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/* ------------------------------------------------------- what it lacks */

/*
 * Goal: an account that comes to be what its journal says, without having been
 * made again, is not called different any more.  Method: a limit that was given
 * up is set to another value, and the ghost is subscribed at the source.
 */
START_TEST(skip_ends)
{
	struct fixture f;

	fixture_begin(&f);
	fixture_import(&f, "alice", 4);
	(void)fixture_replay(&f);
	aside_ghost(&f, "alice", true);
	skip_metadata(&f, MBJ_METADATA_QUOTA, "", 10);
	(void)fixture_replay(&f);
	(void)skip_give_up(&f, "alice", 2);
	skip_lacks(&f, "alice", 1, 2, 2);
	skip_metadata(&f, MBJ_METADATA_SUBSCRIBE, "ghost", 0);
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 1);
	(void)skip_give_up(&f, "alice", 3);
	skip_lacks(&f, "alice", 2, 2, 3);
	skip_metadata(&f, MBJ_METADATA_QUOTA, "", 20);
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 0);
	skip_lacks(&f, "alice", 0, 0, 0);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: an account that never came to be is known to differ, too: its groups go
 * one by one, and a new one from the source ends it.  Method: its name is
 * taken.
 */
START_TEST(skip_absent)
{
	struct mbj_account taker = {.policy = MBJ_NAME_POLICY_DEFAULT};
	struct mbj_txn *txn = NULL;
	struct fixture f;

	skip_begin(&f, NULL);
	aside_ghost(&f, "alice", false);
	ck_assert_uint_eq(aside_retry(&f, "alice").accounts_healed, 1);
	taker.id = fixture_id(99);
	taker.name = mbj_bytes_str("carol");
	OK(mbj_txn_begin(f.replica->state, &txn, err));
	OK(mbj_txn_account_create(txn, &taker, err));
	OK(mbj_txn_commit(&txn, err));
	fixture_import(&f, "carol", 2);
	fixture_rename(&f, "carol", "m2", "c");
	(void)fixture_replay(&f);
	aside_waits(&f, "carol", 2, 5, "is taken");
	ck_assert(skip_give_up(&f, "carol", 5).is_different);
	aside_waits(&f, "carol", 1, 6, "group 6");
	ck_assert_int_eq(skip_apply_again(&f, 5), MBJ_VERDICT_ALREADY);
	/* Its turn has come, and a mailbox is not there. */
	ck_assert_int_eq(skip_apply_again(&f, 6), MBJ_VERDICT_GAP);
	ck_assert(skip_give_up(&f, "carol", 6).is_different);
	skip_lacks(&f, "carol", 2, 5, 6);
	fixture_rename(&f, "carol", "c", "d");
	fixture_rename(&f, "carol", "d", "e");
	(void)fixture_replay(&f);
	aside_waits(&f, "carol", 2, 7, "group 7");
	ck_assert_int_eq(skip_apply_again(&f, 8), MBJ_VERDICT_GAP);
	OK(mbj_txn_begin(f.replica->state, &txn, err));
	OK(mbj_txn_account_wipe(txn, taker.id, (struct mbj_lsn){8}, err));
	OK(mbj_txn_commit(&txn, err));
	snapshot_make(f.primary);
	(void)resync(&f, "carol");
	skip_lacks(&f, "carol", 0, 0, 0);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: an account whose end was given up stays, differing, and a snapshot in
 * which it is deleted takes it.  Method: a ghost, then the delete.
 */
START_TEST(skip_delete)
{
	struct mbj_skip_result result;
	uint64_t first, last;
	struct mbj_id id;
	struct fixture f;

	skip_begin(&f, NULL);
	id = fixture_account(f.primary, "alice");
	aside_delete(&f, "alice");
	(void)fixture_replay(&f);
	OK(mbj_quarantine_skip(f.replica, id, (struct mbj_lsn){3}, false,
			       &result, err));
	/* The delete takes whatever is there, and what is known of it. */
	ck_assert_uint_eq(skip_count(f.replica, id, &first, &last), 0);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/* ---------------------------------------------------------------- bases */

/*
 * Goal: a snapshot of a replica that lacks groups carries that to whoever is
 * made from it, heals nobody, and is a witness for accounts that lack nothing.
 * Method: a new replica from it; a resync with the replica's own snapshot the
 * newest; and one whose journal begins behind it.
 */
START_TEST(skip_snapshot)
{
	struct mbj_store *other = NULL;
	struct mbj_snapshot_info info;
	char dir[MBJ_PATH_TEXT_MAX];
	struct mbj_lsn none = {0};
	uint64_t first, last;
	struct fixture f;

	skip_begin(&f, NULL);
	(void)skip_give_up(&f, "alice", 3);
	snapshot_make(f.replica);
	OK(mbj_path_join(dir, f.tmpdir, "o", err));
	OK(mbj_store_init(dir, MBJ_STORE_REPLICA, NULL, err));
	OK(mbj_replica_open(dir, NULL, &other, err));
	OK(mbj_replica_seed(other, f.replica_dir, none, &info, err));
	ck_assert_uint_eq(skip_count(other, fixture_account(f.primary, "alice"),
				     &first, &last),
			  1);
	mbj_store_close(&other);
	/* The journal begins behind it: it says what alice was to be. */
	OK(mbj_replica_open(dir, NULL, &other, err));
	mbj_store_close(&f.replica);
	f.replica = other;
	memcpy(f.replica_dir, dir, sizeof(dir));
	snapshot_make(f.primary);
	(void)resync(&f, "alice");
	skip_lacks(&f, "alice", 0, 0, 0);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

START_TEST(skip_snapshot_own)
{
	struct fixture f;

	skip_begin(&f, NULL);
	(void)skip_give_up(&f, "alice", 3);
	snapshot_make(f.replica);
	refused(&f, "alice", MBJ_EFENCED, "no snapshot of a group");
	snapshot_make(f.primary);
	(void)resync(&f, "alice");
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/* -------------------------------------------------------- what cannot be */

/*
 * Goal: what nobody can read is not given up, a group whose body alone is
 * damaged is; and a record of who waits for whom there is nothing is told
 * apart.  Method: a byte of the journal bent in the body, in the header; a
 * record by hand.
 */
START_TEST(skip_unreadable)
{
	struct mbj_skip_result result;
	struct mbj_lsn first;
	struct fixture f;

	skip_begin(&f, NULL);
	aside_by_hand(&f, 1, fixture_id(77), 3);
	ck_assert_int_eq(mbj_quarantine_first(f.replica, fixture_id(77), &first,
					      NULL),
			 MBJ_EFENCED);
	aside_damage(&f, 3, _i == 1);
	if (_i == 1) {
		skip_refused(&f, "alice", 3, MBJ_ECORRUPT, "");
		aside_waits(&f, "alice", 1, 3, "group 3");
	} else {
		OK(skip_try(&f, "alice", 3, true, &result, err));
		ck_assert(result.is_of_messages);
		ck_assert(skip_give_up(&f, "alice", 3).is_different);
		skip_lacks(&f, "alice", 1, 3, 3);
	}
	fixture_end(&f);
}
END_TEST

/*
 * Goal: whoever gives up a group that gives a GUID, and no more, hears that it
 * changes messages: none of the later changes of them fits.
 */
START_TEST(skip_guid)
{
	const struct mbj_message_edit step = {.kind = MBJ_MESSAGE_GUID,
					      .mailbox = fixture_id(1),
					      .uid = 1,
					      .guid = mbj_bytes_str("guid")};
	struct mbj_skip_result result;
	struct fixture f;

	skip_mail_begin(&f);
	skip_messages(&f, "alice", &step);
	skip_append(&f, "alice", "later\n");
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 2);
	OK(skip_try(&f, "alice", 5, true, &result, err));
	ck_assert(result.is_of_messages);
	result = skip_give_up(&f, "alice", 5);
	ck_assert(result.is_of_messages);
	aside_waits(&f, "alice", 1, 6, "group 6");
	fixture_end(&f);
}
END_TEST

TCase *test_skip_case(void)
{
	TCase *tcase = tcase_create("skip");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, skip_one);
	tcase_add_test(tcase, skip_guid);
	tcase_add_test(tcase, skip_lasts);
	tcase_add_test(tcase, skip_again);
	tcase_add_test(tcase, skip_not_again);
	tcase_add_test(tcase, skip_ends);
	tcase_add_test(tcase, skip_absent);
	tcase_add_test(tcase, skip_delete);
	tcase_add_test(tcase, skip_snapshot);
	tcase_add_test(tcase, skip_snapshot_own);
	tcase_add_loop_test(tcase, skip_unreadable, 0, 2);
	return tcase;
}
