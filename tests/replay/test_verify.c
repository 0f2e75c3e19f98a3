/*
 * Verification: what differs is found and named.
 */
#include <stdio.h>
#include <string.h>

#include "fixture.h"
#include "read_fault.h"
#include "store_impl.h"

/*
 * The kinds listed, as bits, all of one account; *ret_why, where it is wanted,
 * is why there are no more, and rc MBJ_OK at the end.
 */
static unsigned verify_all(struct fixture *f, const char *account,
			   struct mbj_error *ret_why)
{
	struct mbj_verify *verify = NULL;
	struct mbj_difference difference;
	struct mbj_error why = {.rc = MBJ_OK};
	unsigned kinds = 0;
	enum mbj_rc rc;

	rc = mbj_verify_begin(f->primary, f->replica, &verify, &why);
	while (rc == MBJ_OK) {
		rc = mbj_verify_next(verify, &difference, &why);
		if (rc < 0)
			break;
		ck_assert_str_eq(difference.account_name, account);
		kinds |= 1u << difference.kind;
	}
	mbj_verify_end(&verify);
	ck_assert(rc == MBJ_ENOTFOUND || ret_why != NULL);
	if (ret_why != NULL && rc != MBJ_ENOTFOUND)
		*ret_why = why;
	return kinds;
}

static unsigned kinds_found(struct fixture *f)
{
	return verify_all(f, "alice", NULL);
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

/* On the replica another account has the name, and no group gets past that. */
static void name_take(struct fixture *f, const char *name)
{
	struct mbj_account account = {
		.name = mbj_bytes_str(name),
		.policy = {.delimiter = '/'},
	};
	struct mbj_txn *txn = NULL;

	/* Behind all others. */
	memset(account.id.b, 0xff, sizeof(account.id.b));
	account.id.b[15] = 1;
	OK(mbj_txn_begin(f->replica->state, &txn, err));
	OK(mbj_txn_account_create(txn, &account, err));
	OK(mbj_txn_commit(&txn, err));
}

/*
 * Goal: a parked account is told as one wherever it is missing, and whichever
 * store the replica is.  Method: one whose name another one has on the replica;
 * verify both ways round.
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
	name_take(&f, "alice");
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
		/* The other one. */
		OK(mbj_verify_next(verify, &difference, err));
		ck_assert_int_eq(difference.kind,
				 i ? MBJ_DIFFERENCE_ACCOUNT_MISSING
				   : MBJ_DIFFERENCE_ACCOUNT_EXTRA);
		ck_assert_int_eq(mbj_verify_next(verify, &difference, &last),
				 MBJ_ENOTFOUND);
		mbj_verify_totals_get(verify, &totals);
		ck_assert_uint_eq(totals.accounts_parked, 1);
		mbj_verify_end(&verify);
	}
	fixture_end(&f);
}
END_TEST

/*
 * Goal: what is in no mailbox is found too.  Method: an account of another
 * name.
 */
START_TEST(test_account_differs)
{
	const struct mbj_rename rename = {.target = mbj_bytes_str("carol")};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {0};
	struct fixture f;

	fixture_begin(&f);
	fixture_import(&f, "bob", 4);
	(void)fixture_replay(&f);
	fixture_import(&f, "alice", 4);
	(void)fixture_replay(&f);
	edit.kind = MBJ_EDIT_ACCOUNT_RENAME;
	edit.account = mbj_bytes_str("bob");
	edit.renames = &rename;
	edit.rename_count = 1;
	OK(mbj_store_submit(f.primary, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
	ck_assert_uint_eq(verify_all(&f, "carol", NULL),
			  1u << MBJ_DIFFERENCE_ACCOUNT_DIFFERS);
	fixture_end(&f);
}
END_TEST

/* Steps of metadata, on the primary's account alice. */
static void metadata(struct fixture *f, const struct mbj_metadata_edit *steps,
		     size_t count)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {0};

	edit.kind = MBJ_EDIT_METADATA;
	edit.account = mbj_bytes_str("alice");
	edit.metadata = steps;
	edit.metadata_count = count;
	OK(mbj_store_submit(f->primary, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
}

/* All texts, a line each, that are not of a revision. */
static void texts_read(struct mbj_store *first, struct mbj_store *second,
		       char *text, size_t size)
{
	struct mbj_verify *verify = NULL;
	struct mbj_difference difference;
	struct mbj_error why;
	size_t n = 0;

	text[0] = '\0';
	OK(mbj_verify_begin(first, second, &verify, err));
	while (mbj_verify_next(verify, &difference, &why) == MBJ_OK) {
		if (strstr(difference.text, ": revision") != NULL)
			continue;
		n += (size_t)snprintf(text + n, size - n, "%s %s\n",
				      mbj_difference_name(difference.kind),
				      difference.text);
		ck_assert_uint_lt(n, size);
	}
	mbj_verify_end(&verify);
}

/*
 * Goal: what differs in limits, attributes and subscribed names is named, once
 * each, from whichever side.  Method: a replica one group behind, and both ways
 * round.
 */
START_TEST(test_metadata)
{
	const struct mbj_metadata_edit before[] = {
		{.kind = MBJ_METADATA_ACL,
		 .mailbox = fixture_id(2),
		 .name = mbj_bytes_str("ann"),
		 .value = mbj_bytes_str("l")},
		{.kind = MBJ_METADATA_ACL,
		 .mailbox = fixture_id(2),
		 .name = mbj_bytes_str("bob"),
		 .value = mbj_bytes_str("l")},
		{.kind = MBJ_METADATA_SUBSCRIBE,
		 .name = mbj_bytes_str("old/x")},
	};
	const struct mbj_metadata_edit after[] = {
		{.kind = MBJ_METADATA_ACL,
		 .mailbox = fixture_id(2),
		 .name = mbj_bytes_str("ann"),
		 .is_removed = true},
		{.kind = MBJ_METADATA_ACL,
		 .mailbox = fixture_id(2),
		 .name = mbj_bytes_str("bob"),
		 .value = mbj_bytes_str("r")},
		{.kind = MBJ_METADATA_ENTRY,
		 .mailbox = fixture_id(3),
		 .name = mbj_bytes_str("/shared/x"),
		 .value = mbj_bytes_str("y\n")},
		{.kind = MBJ_METADATA_QUOTA,
		 .has = MBJ_METADATA_HAS_SIZE,
		 .quota_size = 7},
		{.kind = MBJ_METADATA_UNSUBSCRIBE,
		 .name = mbj_bytes_str("old/x")},
		{.kind = MBJ_METADATA_SUBSCRIBE, .name = mbj_bytes_str("new")},
		{.kind = MBJ_METADATA_ACCOUNT_ENTRY,
		 .name = mbj_bytes_str("/shared/admin"),
		 .value = mbj_bytes_str("a@b")},
	};
	char text[4096];
	struct fixture f;

	fixture_begin(&f);
	fixture_import(&f, "alice", 4);
	metadata(&f, before, 3);
	(void)fixture_replay(&f);
	texts_read(f.primary, f.replica, text, sizeof(text));
	ck_assert_str_eq(text, "");
	metadata(&f, after, 7);
	texts_read(f.primary, f.replica, text, sizeof(text));
	ck_assert_str_eq(
		text,
		"account-differs quota of bytes 7 in the first store, 0 in the "
		"second\n"
		"account-differs metadata \"/shared/admin\" is only in the "
		"first store\n"
		"mailbox-differs acl \"ann\" is only in the second store\n"
		"mailbox-differs acl \"bob\" is \"r\" in the first store, "
		"\"l\" in the second\n"
		"mailbox-differs metadata \"/shared/x\" is only in the first "
		"store\n"
		"account-differs \"new\" is subscribed only in the first store\n"
		"account-differs \"old/x\" is subscribed only in the second "
		"store\n");
	texts_read(f.replica, f.primary, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "\"ann\" is only in the first"));
	ck_assert_ptr_nonnull(strstr(text, "\"l\" in the first store, \"r\""));
	(void)fixture_replay(&f);
	texts_read(f.primary, f.replica, text, sizeof(text));
	ck_assert_str_eq(text, "");
	fixture_end(&f);
}
END_TEST

/* Two stores on the engine in memory, nothing cached, one mailbox apart. */
static void apart_begin(struct fixture *f, struct mbj_store_options *options)
{
	*options = MBJ_STORE_OPTIONS_INIT;
	options->state.engine = MBJ_STATE_MEMORY;
	options->state.records_cached_max = 0;
	fixture_begin_with(f, options);
	fixture_import(f, "alice", 4);
	(void)fixture_replay(f);
	fixture_rename(f, "alice", "m2", "x");
}

/*
 * Goal: a state that cannot be read is an error and no difference; one whose
 * records are damaged is named.  Method: each read of either state fails, once
 * and from then on, or gives something else.
 */
START_TEST(test_reads_fail)
{
	struct mbj_store_options options;
	unsigned failures = 0, damaged = 0;
	struct fixture f;

	apart_begin(&f, &options);
	read_fault_begin((_i == 0 ? f.primary : f.replica)->state);
	for (int how = 0; how < 3; how++) {
		unsigned kinds = 0;
		uint64_t k = 0;

		do {
			struct mbj_error why = {.rc = MBJ_OK};

			if (how == 2)
				read_fault_damage(++k);
			else
				read_fault_at(++k, how == 1);
			kinds = verify_all(&f, "alice", &why);
			ck_assert(why.rc == MBJ_OK || why.message[0] != '\0');
			if (how < 2)
				ck_assert(why.rc == MBJ_OK ||
					  why.rc == MBJ_EIO);
			failures += why.rc == MBJ_EIO;
			damaged +=
				why.rc == MBJ_ECORRUPT ||
				(kinds & 1u << MBJ_DIFFERENCE_ACCOUNT_DAMAGED);
		} while (read_fault_count() >= k);
		ck_assert_uint_eq(kinds, 1u << MBJ_DIFFERENCE_MAILBOX_DIFFERS);
	}
	read_fault_at(0, false);
	ck_assert_uint_gt(failures, 4);
	ck_assert_uint_gt(damaged, 0);
	fixture_end(&f);
}
END_TEST

/* Goal: the same of allocations, and nothing is left.  Method: each fails. */
START_TEST(test_no_memory)
{
	struct mbj_store_options options;
	struct mbj_error why;
	unsigned failures = 0;
	struct fixture f;
	int64_t blocks;

	apart_begin(&f, &options);
	blocks = test_alloc_blocks();
	do {
		why.rc = MBJ_OK;
		test_alloc_fail_at(++failures);
		(void)verify_all(&f, "alice", &why);
		test_alloc_fail_at(0);
		ck_assert(why.rc == MBJ_OK || why.rc == MBJ_ENOMEM);
		ck_assert_int_eq(test_alloc_blocks(), blocks);
	} while (why.rc != MBJ_OK);
	ck_assert_uint_gt(failures, 10);
	fixture_end(&f);
}
END_TEST

TCase *test_verify_case(void)
{
	TCase *tcase = tcase_create("verify");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, test_kinds);
	tcase_add_test(tcase, test_silent_change);
	tcase_add_test(tcase, test_metadata);
	tcase_add_test(tcase, test_parked_and_missing);
	tcase_add_test(tcase, test_account_differs);
	tcase_add_loop_test(tcase, test_reads_fail, 0, 2);
	tcase_add_test(tcase, test_no_memory);
	return tcase;
}
