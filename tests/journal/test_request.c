/*
 * Requests with an id: carried out once, and answered as often as somebody
 * asks.
 */
#include <pthread.h>
#include <stdlib.h>

#include <mbj/jmap.h>

#include "journal_cases.h"
#include "request_lab.h"

enum { CROWD = 8, WINDOW = 8, MANY = 3000 };

/* ---------------------------------------------------------------- cases */

/*
 * Goal: a request that is asked again is answered with the first one's outcome
 * and not repeated: at once, after others, after the store was opened again,
 * and after its state was made anew.  Method: one edit of each kind, each with
 * results of its own; whole outcomes are compared.
 */
START_TEST(test_again)
{
	struct mbj_outcome first[8];
	struct ask asks[8];

	ask_messages(&asks[0], 0, 1);
	ask_set(&asks[1], 1, 2);
	ask_rename(&asks[2], 2, 3, MBJ_EDIT_RENAME, "m2", "a/b/c");
	ask_begin(&asks[3], MBJ_EDIT_IMPORT, 40, 4);
	asks[3].edit.policy = MBJ_NAME_POLICY_DEFAULT;
	ask_begin(&asks[4], MBJ_EDIT_ACCOUNT_DELETE, 4, 5);
	ask_rename(&asks[5], 5, 6, MBJ_EDIT_ACCOUNT_RENAME, "", "other");
	ask_begin(&asks[6], MBJ_EDIT_RECONCILE, 6, 7);
	ask_append(&asks[7], 7, 8);
	for (unsigned i = 0; i < 8; i++) {
		ask_first(&asks[i], &first[i]);
		ask_again(&asks[i], &first[i]);
	}
	ck_assert_uint_eq(first[0].messages[2].uids.n, MBJ_UID_RANGE_SIZE);
	ck_assert_uint_eq(first[1].refused_count, 2);
	ck_assert(!mbj_id_is_root(first[3].inbox));
	for (unsigned i = 0; i < 8; i++)
		ask_again(&asks[i], &first[i]);
	site_reopen(&ask_site);
	for (unsigned i = 8; i-- > 0;)
		ask_again(&asks[i], &first[i]);
	ask_site.options.is_rebuild_forced = true;
	site_reopen(&ask_site);
	for (unsigned i = 0; i < 8; i++) {
		ask_again(&asks[i], &first[i]);
		mbj_outcome_done(&first[i]);
		ask_done(&asks[i]);
	}
}
END_TEST

/*
 * Goal: an id belongs to one edit: another one with it is refused, naming the
 * group, and nothing happens.  Method: each thing that an edit says changed in
 * turn; the account of another user.
 */
START_TEST(test_another_edit)
{
	struct mbj_outcome first, outcome = {.lsn = {0}};
	struct mbj_error error;
	struct ask ask, other;
	uint64_t end;

	ask_append(&ask, 0, 1);
	ask_first(&ask, &first);
	end = ask_journal_end();
	for (unsigned i = 0; i < 8; i++) {
		ask_append(&other, i == 0 ? 1 : 0, 1);
		other.steps[0].flags = i == 1 ? MBJ_FLAG_SEEN : 0;
		other.steps[0].size += i == 2;
		other.steps[0].blob.b[31] = i == 3;
		other.steps[0].time += i == 4;
		other.steps[0].uid = i == 5 ? 7 : 0;
		other.edit.has_if_in_state = i == 6;
		if (i == 7)
			other.edit.origin = MBJ_ORIGIN_BULK;
		SITE_FAILS(ask_try(&other, &outcome, err), MBJ_ECONFLICT,
			   &error);
		ck_assert_uint_eq(error.lsn, first.lsn.v);
		ck_assert_int_eq(error.refusal, MBJ_REFUSAL_NONE);
		ck_assert_ptr_nonnull(strstr(error.message, "another edit"));
		ask_done(&other);
	}
	ck_assert_uint_eq(ask_journal_end(), end);
	ask_again(&ask, &first);
	mbj_outcome_done(&first);
	ask_done(&ask);
}
END_TEST

/*
 * Goal: what left no group is not remembered, and a dry run neither asks nor is
 * remembered.  Method: a refused edit that becomes possible, an edit that had
 * nothing to change, a dry run before and after; no id at all, twice.
 */
START_TEST(test_not_remembered)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_error error;
	struct ask ask, other;
	uint64_t end;

	ask_rename(&ask, 0, 1, MBJ_EDIT_RENAME, "m2", "m3");
	SITE_FAILS(ask_try(&ask, &outcome, err), MBJ_EINVALID, &error);
	ask_rename(&other, 0, 0, MBJ_EDIT_RENAME, "m3", "away");
	ask_pass(&other);
	ask_pass(&ask);

	ask_rename(&ask, 1, 2, MBJ_EDIT_RENAME, "m2", "m2");
	end = ask_journal_end();
	SITE_OK(ask_try(&ask, &outcome, err));
	ck_assert_uint_eq(outcome.lsn.v, 0);
	mbj_outcome_done(&outcome);
	ck_assert_uint_eq(ask_journal_end(), end);
	ask_append(&ask, 1, 2);
	ask.edit.is_dry_run = true;
	SITE_OK(ask_try(&ask, &outcome, err));
	mbj_outcome_done(&outcome);
	ask.edit.is_dry_run = false;
	ask_pass(&ask);
	end = ask_journal_end();
	ask.edit.is_dry_run = true;
	SITE_OK(ask_try(&ask, &outcome, err));
	ck_assert_uint_eq(outcome.lsn.v, end + 1);
	mbj_outcome_done(&outcome);
	ck_assert_uint_eq(ask_journal_end(), end);

	ask_append(&ask, 2, 0);
	ask_pass(&ask);
	ask_pass(&ask);
}
END_TEST

/*
 * Goal: a request is known while fewer groups than the window has came after
 * it, and not one longer, in use and after opening.  Method: a small window.
 */
START_TEST(test_window)
{
	struct mbj_outcome first;
	struct ask ask, filler;
	struct mbj_error error;
	struct mbj_store *none = NULL;

	ask_site.options.request_window = WINDOW;
	for (unsigned round = 0; round < 4; round++) {
		bool is_opened = round % 2 == 1;

		site_reopen(&ask_site);
		ask_append(&ask, round, 1 + round);
		ask_append(&filler, 5, 0);
		ask_first(&ask, &first);
		for (unsigned i = 1; i < WINDOW; i++) {
			/* With ids and without. */
			ask_append(&filler, 5,
				   round < 2 ? 100 + i + round * 50 : 0);
			ask_pass(&filler);
		}
		if (is_opened)
			site_reopen(&ask_site);
		ask_again(&ask, &first);
		filler.edit.request = MBJ_ID_ROOT;
		ask_pass(&filler);
		if (is_opened)
			site_reopen(&ask_site);
		ask_pass(&ask);
		mbj_outcome_done(&first);
	}
	mbj_store_close(&ask_site.store);
	for (unsigned i = 0; i < 2; i++) {
		ask_site.options.request_window =
			i == 0 ? 0 : MBJ_REQUEST_WINDOW_MAX + 1;
		SITE_FAILS(mbj_store_open(ask_site.dir, &ask_site.options,
					  &none, err),
			   MBJ_EINVALID, &error);
	}
	ask_site.options.request_window = MBJ_REQUEST_WINDOW_MAX;
	SITE_OK(mbj_store_open(ask_site.dir, &ask_site.options, &ask_site.store,
			       err));
}
END_TEST

struct asker {
	const struct ask *ask;
	struct mbj_outcome outcome;
	enum mbj_rc rc;
};

static void *asker_run(void *arg)
{
	struct asker *asker = arg;

	asker->rc = ask_try(asker->ask, &asker->outcome, NULL);
	return NULL;
}

/*
 * Goal: the same request from many at once is carried out once, and all get
 * its answer; of two edits with one id one is carried out.  Method: threads on
 * a disk that takes its time, so that they share batches.
 */
START_TEST(test_at_once)
{
	struct asker askers[CROWD];
	pthread_t threads[CROWD];
	struct site_sys sys;
	struct ask asks[2];

	site_sys_init(&sys);
	sys.sync_us = 2000;
	ask_site.options.sys = &sys.table;
	site_reopen(&ask_site);
	for (unsigned round = 1; round <= 20; round++) {
		uint64_t end = ask_journal_end();
		unsigned done = 0;

		ask_append(&asks[0], round % ASK_ACCOUNTS, round);
		ask_append(&asks[1], round % ASK_ACCOUNTS, round);
		asks[1].steps[0].flags = MBJ_FLAG_SEEN;
		for (unsigned i = 0; i < CROWD; i++) {
			askers[i] = (struct asker){
				.ask = &asks[round % 2 == 0 && i % 2 == 0]};
			ck_assert_int_eq(pthread_create(&threads[i], NULL,
							asker_run, &askers[i]),
					 0);
		}
		for (unsigned i = 0; i < CROWD; i++)
			ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		ck_assert_uint_eq(ask_journal_end(), end + 1);
		for (unsigned i = 0; i < CROWD; i++) {
			if (askers[i].rc != MBJ_OK) {
				ck_assert_int_eq(askers[i].rc, MBJ_ECONFLICT);
				continue;
			}
			done++;
			ck_assert_uint_eq(askers[i].outcome.lsn.v, end + 1);
			mbj_outcome_done(&askers[i].outcome);
		}
		ck_assert_uint_eq(done, round % 2 == 0 ? CROWD / 2 : CROWD);
	}
	site_reopen(&ask_site);
	ask_site.options.sys = NULL;
	site_reopen(&ask_site);
}
END_TEST

/*
 * Goal: an outcome may be longer than one primitive.  Method: thousands of
 * appends in one edit, asked again after opening.
 */
START_TEST(test_long_outcome)
{
	struct mbj_message_edit *steps = calloc(MANY, sizeof(*steps));
	struct mbj_outcome first;
	struct ask ask;

	ck_assert_ptr_nonnull(steps);
	ask_append(&ask, 0, 1);
	for (unsigned i = 0; i < MANY; i++)
		steps[i] = ask.steps[0];
	ask.edit.messages = steps;
	ask.edit.message_count = MANY;
	ask_first(&ask, &first);
	ck_assert_uint_eq(first.messages[MANY - 1].uid, MANY);
	ask_again(&ask, &first);
	site_reopen(&ask_site);
	ask_again(&ask, &first);
	mbj_outcome_done(&first);
	free(steps);
}
END_TEST

/*
 * Goal: a text is always the same request, another text another one; what is
 * parsed again with a request id creates mailboxes with the same ids.
 */
START_TEST(test_ids)
{
	static const char json[] = "{\"create\":{\"a\":{\"name\":\"A\"},"
				   "\"b\":{\"name\":\"B\"}}}";
	struct mbj_jmap_set *set[3] = {NULL, NULL, NULL};
	struct mbj_edit edit[3];
	struct mbj_request_sys sys;
	struct mbj_id id[3];
	uint8_t bytes[100], again[100];

	SITE_OK(mbj_request_id_make(mbj_bytes_str("q1 a@b"), &id[0], err));
	SITE_OK(mbj_request_id_make(mbj_bytes_str("q1 a@b"), &id[1], err));
	SITE_OK(mbj_request_id_make(mbj_bytes_str("q1 a@c"), &id[2], err));
	ck_assert(mbj_id_equal(id[0], id[1]));
	ck_assert(!mbj_id_equal(id[0], id[2]));
	SITE_OK(mbj_request_id_make(mbj_bytes_make(NULL, 0), &id[2], err));
	ck_assert(!mbj_id_equal(id[0], id[2]));
	for (unsigned i = 0; i < 3; i++) {
		mbj_request_sys_init(&sys, id[i]);
		SITE_OK(mbj_jmap_set_parse(mbj_bytes_str(json), 1 << 20,
					   &sys.table, &set[i], err));
		edit[i] = MBJ_EDIT_INIT;
		mbj_jmap_set_fill(set[i], &edit[i]);
		ck_assert_uint_eq(edit[i].change_count, 2);
		ck_assert(!mbj_id_equal(edit[i].changes[0].id,
					edit[i].changes[1].id));
	}
	for (unsigned i = 0; i < 2; i++) {
		ck_assert(mbj_id_equal(edit[0].changes[i].id,
				       edit[1].changes[i].id));
		ck_assert(!mbj_id_equal(edit[0].changes[i].id,
					edit[2].changes[i].id));
	}
	for (unsigned i = 0; i < 3; i++)
		mbj_jmap_set_free(&set[i]);
	mbj_request_sys_init(&sys, id[0]);
	ck_assert_int_eq(sys.table.random(&sys, bytes, sizeof(bytes)), 0);
	ck_assert(memcmp(bytes, bytes + 32, 32) != 0);
	mbj_request_sys_init(&sys, id[0]);
	ck_assert_int_eq(sys.table.random(&sys, again, sizeof(again)), 0);
	ck_assert_mem_eq(bytes, again, sizeof(bytes));
	test_alloc_fail_at(1);
	ck_assert_int_ne(sys.table.random(&sys, again, sizeof(again)), 0);
	test_alloc_fail_at(0);
}
END_TEST

TCase *test_request_case(void)
{
	TCase *tc = tcase_create("request");

	tcase_add_checked_fixture(tc, ask_site_begin, ask_site_end);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, test_again);
	tcase_add_test(tc, test_another_edit);
	tcase_add_test(tc, test_not_remembered);
	tcase_add_test(tc, test_window);
	tcase_add_test(tc, test_at_once);
	tcase_add_test(tc, test_long_outcome);
	tcase_add_test(tc, test_ids);
	return tc;
}
