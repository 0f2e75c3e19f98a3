/*
 * Requests with an id where something fails: carried out once all the same.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "commit_fault.h"
#include "journal_cases.h"
#include "request_lab.h"

enum { SEGMENT_MAX = 8 << 20 };

/*
 * Goal: a batch that came to nothing is not taken for a group that others wrote
 * at its place.  Method: no space, then an edit without an id, then the request
 * again.
 */
START_TEST(test_batch_fails)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_error error;
	struct site_sys sys;
	struct ask ask, filler;

	site_sys_init(&sys);
	ask_site.options.sys = &sys.table;
	site_reopen(&ask_site);
	ask_append(&filler, 1, 0);
	for (unsigned i = 1; i < 40; i++) {
		enum mbj_rc rc;

		ask_append(&ask, 0, i);
		site_sys_arm(&sys, SITE_CALL_PWRITE | SITE_CALL_CREATE, 1,
			     ENOSPC, false);
		rc = ask_try(&ask, &outcome, &error);
		site_sys_arm(&sys, 0, 0, 0, false);
		if (rc == MBJ_OK) {
			mbj_outcome_done(&outcome);
			continue;
		}
		if (rc != MBJ_ENOSPC) {
			ck_assert_int_eq(rc, MBJ_EIO);
			site_reopen(&ask_site);
			continue;
		}
		ask_pass(&filler);
		ask_pass(&ask);
	}
	ask_site.options.sys = NULL;
	site_reopen(&ask_site);
}
END_TEST

/*
 * Goal: a group that is durable while the state cannot follow is told from an
 * outcome that is unknown, with its LSN, and is there when the store is opened
 * again, where the request gets its answer.  Method: commits fail from the
 * second edit on; a refused edit and a dry run beside it.
 */
START_TEST(test_behind)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_error error;
	struct ask ask, other;
	uint64_t end;

	ask_append(&ask, 0, 1);
	ask_pass(&ask);
	end = ask_journal_end();
	ask_append(&other, 0, 2);
	commit_fault_set(true);
	SITE_FAILS(ask_try(&other, &outcome, err), MBJ_EBEHIND, &error);
	ck_assert_uint_eq(error.lsn, end + 1);
	ck_assert_ptr_nonnull(strstr(error.message, "durable"));
	SITE_FAILS(ask_try(&other, &outcome, err), MBJ_EIO, &error);
	ck_assert_uint_eq(error.lsn, 0);
	commit_fault_set(false);
	SITE_FAILS(ask_try(&other, &outcome, err), MBJ_EIO, &error);
	site_reopen(&ask_site);
	ck_assert_uint_eq(ask_journal_end(), end + 1);
	SITE_OK(ask_try(&other, &outcome, err));
	ck_assert_uint_eq(outcome.lsn.v, end + 1);
	ck_assert_uint_eq(outcome.messages[0].uid, 2);
	ck_assert_uint_eq(ask_journal_end(), end + 1);
	mbj_outcome_done(&outcome);
}
END_TEST

/* One request with its k-th allocation failing; false: it has fewer. */
static bool memory_try(unsigned request, uint64_t k)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	uint64_t end = ask_journal_end();
	struct ask ask;
	bool is_reached;
	enum mbj_rc rc;

	ask_append(&ask, 0, request);
	test_alloc_fail_at(k);
	rc = ask_try(&ask, &outcome, NULL);
	is_reached = test_alloc_count() >= k;
	test_alloc_fail_at(0);
	mbj_outcome_done(&outcome);
	/* What is done along with it may fail without harm. */
	ck_assert(rc == MBJ_OK || (rc == MBJ_ENOMEM && is_reached));
	SITE_OK(ask_try(&ask, &outcome, err));
	ck_assert_uint_eq(outcome.lsn.v, end + 1);
	mbj_outcome_done(&outcome);
	test_alloc_fail_at(k);
	rc = ask_try(&ask, &outcome, NULL);
	test_alloc_fail_at(0);
	ck_assert(rc == MBJ_OK || rc == MBJ_ENOMEM);
	mbj_outcome_done(&outcome);
	ck_assert_uint_eq(ask_journal_end(), end + 1);
	return is_reached;
}

/*
 * Goal: whatever allocation fails, a request is carried out once.  Method: each
 * fails in turn, first with the window still to be read, then with it read;
 * then the request is asked again, and again with that allocation failing.
 */
START_TEST(test_memory)
{
	for (unsigned round = 0; round < 2; round++) {
		bool is_reached = true;
		unsigned k;

		for (k = 1; is_reached; k++) {
			if (round == 0)
				site_reopen(&ask_site);
			is_reached = memory_try(k + 1000 * round, k);
		}
		ck_assert_uint_gt(k, 10);
	}
}
END_TEST

/* Where a group lies in a file; n where it does not. */
static size_t record_find(const uint8_t *bytes, size_t n,
			  const struct mbj_buf *record)
{
	for (size_t at = 0; at + record->n <= n; at++)
		if (memcmp(bytes + at, record->p, record->n) == 0)
			return at;
	return n;
}

/* Change the last byte of the body of a group, if it is in this file. */
static void file_damage(const char *path, const struct mbj_outcome *outcome)
{
	uint8_t *bytes = malloc(SEGMENT_MAX);
	FILE *file = fopen(path, "r+b");
	struct mbj_group group;
	size_t n, at;

	ck_assert_ptr_nonnull(bytes);
	ck_assert_ptr_nonnull(file);
	SITE_OK(mbj_group_parse(mbj_buf_view(&outcome->record), &group, err));
	n = fread(bytes, 1, SEGMENT_MAX, file);
	at = record_find(bytes, n, &outcome->record);
	if (at < n) {
		at += group.header.header_size + group.header.body_size - 1;
		ck_assert_int_eq(fseek(file, (long)at, SEEK_SET), 0);
		ck_assert_int_ne(fputc(bytes[at] ^ 1, file), EOF);
	}
	(void)fclose(file);
	free(bytes);
}

static void body_damage(const struct mbj_outcome *outcome)
{
	char dir[MBJ_PATH_TEXT_MAX], path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;

	mbj_buf_init(&names, 1 << 16);
	site_path(&ask_site, "journal", dir);
	ck_assert_int_eq(mbj_sys_posix()->list(NULL, dir, &names), 0);
	for (const char *name = mbj_names_next(&names, NULL); name != NULL;
	     name = mbj_names_next(&names, name)) {
		SITE_OK(mbj_path_join(path, dir, name, err));
		file_damage(path, outcome);
	}
	mbj_buf_done(&names);
}

/*
 * Goal: a group that cannot be read answers nobody, and is named; nothing is
 * done in its place.  Method: a byte of its receipt is changed on disk.
 */
START_TEST(test_damage)
{
	struct mbj_outcome first, outcome = {.lsn = {0}};
	struct ask ask, filler;
	struct mbj_error error;
	uint64_t end;

	ask_append(&ask, 0, 1);
	ask_first(&ask, &first);
	/* Not in the last frame, which opening would look at. */
	ask_append(&filler, 1, 0);
	ask_pass(&filler);
	body_damage(&first);
	end = ask_journal_end();
	SITE_FAILS(ask_try(&ask, &outcome, err), MBJ_ECORRUPT, &error);
	ck_assert_uint_eq(error.lsn, first.lsn.v);
	ck_assert_uint_eq(ask_journal_end(), end);
	ask_pass(&filler);
	mbj_outcome_done(&first);
}
END_TEST

TCase *test_request_fault_case(void)
{
	TCase *tc = tcase_create("request_fault");

	tcase_add_checked_fixture(tc, ask_site_begin, ask_site_end);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, test_batch_fails);
	tcase_add_test(tc, test_behind);
	tcase_add_test(tc, test_memory);
	tcase_add_test(tc, test_damage);
	return tc;
}
