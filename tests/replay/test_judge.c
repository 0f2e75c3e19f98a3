/*
 * Which snapshot an account is made again from: one that has every account as
 * the replica's journal says, and none of its own stands against.
 */
#include <string.h>
#include <unistd.h>

#include "resync_lab.h"
#include "state_priv.h"
#include "store_impl.h"

/*
 * Goal: a snapshot that has any account otherwise than the journal recorded is
 * taken for nobody: it would be the base of all.  Method: the primary bent
 * without a group that says so; the others are aside as before, also in a state
 * that is made anew, which has what was good.
 */
START_TEST(resync_denied)
{
	struct fixture f, turned;

	aside_begin(&f, true, NULL);
	turned = f;
	turned.replica = f.primary;
	aside_ghost(&turned, "alice", true);
	snapshot_make(f.primary);
	refused(&f, "alice", MBJ_ECORRUPT, "otherwise than group 7");
	refused(&f, "bob", MBJ_ECORRUPT, "otherwise than group 7");
	aside_waits(&f, "alice", 3, 3, "group 3");
	aside_waits(&f, "bob", 3, 4, "group 4");
	rebuild(&f);
	ck_assert_uint_eq(mbj_store_recovery_get(f.replica)->snapshot.v, 0);
	aside_ghost(&turned, "alice", false);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/* Of what no store makes one of: an account that is set aside. */
static void snapshot_write(struct mbj_store *store)
{
	struct mbj_snapshot_info info;
	char dir[MBJ_PATH_TEXT_MAX];
	struct mbj_txn *txn = NULL;

	OK(mbj_store_snapshots_make(store, dir, err));
	OK(mbj_store_read(store, &txn, err));
	OK(mbj_snapshot_write(mbj_sys_posix(), dir, txn, NULL, &info, err));
	mbj_txn_abort(&txn);
}

static struct mbj_txn *primary_begin(struct fixture *f, const char *account,
				     struct mbj_account *ret_account)
{
	struct mbj_txn *txn = NULL;

	OK(mbj_txn_begin(f->primary->state, &txn, err));
	OK(mbj_txn_account_find(txn, mbj_bytes_str(account), ret_account, err));
	return txn;
}

/*
 * Goal: a source that has lost an account, or has it as it was, or as a deleted
 * one, takes nothing from the replica: whoever is resynced.  Method: alice gone
 * from the primary without a trace; with the tombstone of a group; an older
 * group's number; set aside there; and nobody's account.
 */
START_TEST(resync_lost)
{
	static const char *const words[] = {"not, named by group 7",
					    "otherwise than group 7",
					    "otherwise than group 7",
					    "set aside", "knows nothing"};
	const struct mbj_account stranger = {.id = fixture_id(99),
					     .policy = MBJ_NAME_POLICY_DEFAULT,
					     .name = mbj_bytes_str("nobody")};
	struct mbj_resync_result result;
	char name[MBJ_NAME_MAX + 1];
	struct mbj_account account;
	struct mbj_parked parked;
	struct mbj_error why;
	struct mbj_id alice;
	struct mbj_txn *txn;
	struct fixture f;

	aside_begin(&f, true, NULL);
	alice = fixture_account(f.primary, "alice");
	txn = primary_begin(&f, "alice", &account);
	parked = (struct mbj_parked){.account = account.id,
				     .first = {7},
				     .last = {7},
				     .count = 1,
				     .reason = mbj_bytes_str("a reason")};
	if (_i == 0)
		OK(mbj_txn_account_wipe(txn, account.id, account.lsn, err));
	else if (_i == 1)
		OK(mbj_txn_account_delete(txn, account.id, account.lsn, err));
	else if (_i == 2)
		OK(mbj_txn_account_set_lsn(txn, account.id, (struct mbj_lsn){5},
					   err));
	else if (_i == 3)
		OK(mbj_txn_parked_set(txn, &parked, err));
	else
		OK(mbj_txn_account_create(txn, &stranger, err));
	OK(mbj_txn_commit(&txn, err));
	snapshot_write(f.primary);
	refused(&f, "bob", MBJ_ECORRUPT, words[_i]);
	ck_assert_int_eq(resync_try(&f, alice, &result, &why), MBJ_ECORRUPT);
	rebuild(&f);
	ck_assert_uint_eq(mbj_store_recovery_get(f.replica)->snapshot.v, 0);
	fixture_name(f.replica, "alice", fixture_id(3), name);
	ck_assert_str_eq(name, "m2");
	fixture_end(&f);
}
END_TEST

/*
 * Goal: an account that was last named before the journal begins is to be what
 * the replica's own snapshot has, and without a good one nothing is taken.
 * Method: a replica that began with a snapshot; the primary bent where only
 * that one tells; set right; then that one damaged.
 */
START_TEST(resync_trimmed)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct fixture f, turned;

	resync_begin_seeded(&f);
	ck_assert_uint_eq(mbj_store_identity(f.replica)->anchor.first.v, 3);
	fixture_rename(&f, "bob", "m2", "b");
	turned = f;
	turned.replica = f.primary;
	aside_ghost(&turned, "alice", true);
	ck_assert_uint_eq(snapshot_make(f.primary), 3);
	/* Which would do. */
	OK(mbj_snapshot_path(path, f.primary_dir, (struct mbj_lsn){2}, err));
	ck_assert_int_eq(unlink(path), 0);
	refused(&f, "bob", MBJ_ECORRUPT, "otherwise than group 1");
	refused(&f, "alice", MBJ_ECORRUPT, "otherwise than group 1");
	aside_ghost(&turned, "alice", false);
	fixture_rename(&f, "bob", "b", "c");
	ck_assert_uint_eq(snapshot_make(f.primary), 4);
	OK(mbj_snapshot_path(path, f.replica_dir, (struct mbj_lsn){2}, err));
	ck_assert_int_eq(truncate(path, 1000), 0);
	refused(&f, "bob", MBJ_EFENCED, "nothing can be said");
	snapshot_make(f.replica);
	(void)resync(&f, "bob");
	(void)resync(&f, "alice");
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: of an account that was last named before the journal begins the first
 * of the replica's own snapshots tells: one that was made of a state that had
 * lost its way is no witness, and the account is made again from the source's.
 * Method: such a one, at the same group as the source's, and an older one.
 */
START_TEST(resync_witness)
{
	struct fixture f;

	resync_begin_seeded(&f);
	fixture_rename(&f, "bob", "m2", "b");
	(void)fixture_replay(&f);
	aside_ghost(&f, "alice", true);
	ck_assert_uint_eq(snapshot_make(f.replica), 3);
	if (_i == 1)
		fixture_rename(&f, "bob", "b", "c");
	snapshot_make(f.primary);
	ck_assert_uint_eq(resync(&f, "alice").snapshot.v, 3 + (unsigned)_i);
	aside_equal(&f);
	rebuild(&f);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: two accounts that swapped their names keep each other from being made
 * again; the one who has the name is said, and the state made anew has both.
 * Method: that, both aside.
 */
START_TEST(resync_swapped)
{
	char alice[MBJ_ID_TEXT_SIZE], bob[MBJ_ID_TEXT_SIZE];
	struct fixture f;

	aside_begin(&f, true, NULL);
	mbj_id_print(fixture_account(f.primary, "alice"), alice);
	mbj_id_print(fixture_account(f.primary, "bob"), bob);
	account_rename(&f, "alice", "spare");
	account_rename(&f, "bob", "alice");
	account_rename(&f, "spare", "bob");
	(void)fixture_replay(&f);
	snapshot_make(f.primary);
	refused(&f, "alice", MBJ_ECONFLICT, alice);
	refused(&f, "bob", MBJ_ECONFLICT, bob);
	refused(&f, "bob", MBJ_ECONFLICT, "fsck --rebuild");
	rebuild(&f);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a snapshot of one's own at the same group is used where it is what the
 * journal says, and gives way where it is not; one that is damaged is in
 * nobody's way.  Method: the source's damaged; one's own bent; a newer one of
 * one's own damaged.
 */
START_TEST(resync_own)
{
	struct fixture f;

	fixture_begin_two(&f);
	(void)fixture_replay(&f);
	snapshot_make(f.primary);
	if (_i == 1)
		aside_ghost(&f, "alice", true);
	if (_i == 2) {
		fixture_rename(&f, "bob", "m3", "c");
		(void)fixture_replay(&f);
	}
	snapshot_make(f.replica);
	if (_i != 1)
		aside_ghost(&f, "alice", true);
	if (_i == 0)
		damage(f.primary_dir, 2);
	if (_i == 2)
		damage(f.replica_dir, 3);
	fixture_rename(&f, "alice", "m2", "a");
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 1);
	ck_assert_uint_eq(resync(&f, "alice").snapshot.v, 2);
	aside_equal(&f);
	rebuild(&f);
	ck_assert_uint_eq(mbj_store_recovery_get(f.replica)->snapshot.v, 2);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

TCase *test_judge_case(void)
{
	TCase *tcase = tcase_create("judge");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, resync_denied);
	tcase_add_loop_test(tcase, resync_lost, 0, 5);
	tcase_add_test(tcase, resync_trimmed);
	tcase_add_loop_test(tcase, resync_witness, 0, 2);
	tcase_add_test(tcase, resync_swapped);
	tcase_add_loop_test(tcase, resync_own, 0, 3);
	return tcase;
}
