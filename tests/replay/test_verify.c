/*
 * Verification: what differs is found and named.
 */
#include <string.h>

#include "fixture.h"

/* The kinds listed, as bits. */
static unsigned kinds_found(struct fixture *f)
{
	struct mbj_verify *verify = NULL;
	struct mbj_difference difference;
	struct mbj_error last;
	unsigned kinds = 0;

	OK(mbj_verify_begin(f->primary, f->replica, &verify, err));
	while (mbj_verify_next(verify, &difference, &last) == MBJ_OK) {
		ck_assert_str_eq(difference.account_name, "alice");
		kinds |= 1u << difference.kind;
	}
	mbj_verify_end(&verify);
	return kinds;
}

/*
 * Goal: each kind of difference has its name.  Method: make one at a time.
 */
START_TEST(test_kinds)
{
	struct fixture f;

	fixture_begin(&f);
	ck_assert_uint_eq(kinds_found(&f), 0);
	fixture_import(&f, "alice", 4);
	ck_assert_uint_eq(kinds_found(&f),
			  1u << MBJ_DIFFERENCE_ACCOUNT_MISSING);
	(void)fixture_replay(&f);
	ck_assert_uint_eq(kinds_found(&f), 0);
	fixture_rename(&f, "alice", "m2", "x");
	ck_assert_uint_eq(kinds_found(&f),
			  1u << MBJ_DIFFERENCE_MAILBOX_DIFFERS);
	fixture_rename(&f, "alice", "m3", "new/m3");
	ck_assert_uint_eq(kinds_found(&f),
			  1u << MBJ_DIFFERENCE_MAILBOX_DIFFERS |
				  1u << MBJ_DIFFERENCE_MAILBOX_MISSING);
	(void)fixture_replay(&f);
	ck_assert_uint_eq(kinds_found(&f), 0);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a silent change of one record is found although the recorded digests
 * agree with nothing changed in the journal.  Method: change one mailbox in
 * the replica's state.
 */
START_TEST(test_silent_change)
{
	struct fixture f;

	fixture_begin(&f);
	fixture_import(&f, "alice", 4);
	(void)fixture_replay(&f);
	fixture_diverge(&f, "alice", fixture_id(3), "other");
	ck_assert_uint_eq(kinds_found(&f),
			  1u << MBJ_DIFFERENCE_MAILBOX_DIFFERS);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a parked account is told as one wherever it is missing, and whichever
 * store the replica is.  Method: park an account on the replica before its
 * first group comes; verify both ways round.
 */
START_TEST(test_parked_and_missing)
{
	struct mbj_difference difference;
	struct mbj_verify_totals totals;
	struct mbj_verify *verify;
	struct mbj_error last;
	struct fixture f;

	fixture_begin(&f);
	fixture_import(&f, "bob", 2);
	(void)fixture_replay(&f);
	fixture_import(&f, "alice", 2);
	fixture_park(&f, fixture_account(f.primary, "alice"), "a test");
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 1);
	for (int i = 0; i < 2; i++) {
		verify = NULL;
		OK(mbj_verify_begin(i ? f.replica : f.primary,
				    i ? f.primary : f.replica, &verify, err));
		OK(mbj_verify_next(verify, &difference, err));
		ck_assert_int_eq(difference.kind,
				 MBJ_DIFFERENCE_ACCOUNT_PARKED);
		OK(mbj_verify_next(verify, &difference, err));
		ck_assert_int_eq(difference.kind,
				 i ? MBJ_DIFFERENCE_ACCOUNT_EXTRA
				   : MBJ_DIFFERENCE_ACCOUNT_MISSING);
		ck_assert_int_eq(mbj_verify_next(verify, &difference, &last),
				 MBJ_ENOTFOUND);
		mbj_verify_totals_get(verify, &totals);
		ck_assert_uint_eq(totals.accounts_parked, 1);
		mbj_verify_end(&verify);
	}
	fixture_end(&f);
}
END_TEST

TCase *test_verify_case(void)
{
	TCase *tcase = tcase_create("verify");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, test_kinds);
	tcase_add_test(tcase, test_silent_change);
	tcase_add_test(tcase, test_parked_and_missing);
	return tcase;
}
