/*
 * Crowds: threads that share batches on a disk that takes its time, so that
 * they do share them.  What was answered stands, whatever fails meanwhile.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "journal_cases.h"
#include "store_lab.h"

enum {
	CROWD = 8,
	CROWD_MAILBOXES = 3,
	CROWD_EDITS = 120,
	SYNC_US = 100,	     /* as long as it takes the others to queue up */
	SYNC_LONG_US = 2000, /* and where the machine has more to do */
};

/* One thread with an account of its own, whose mailbox 2 it renames. */
struct worker {
	struct mbj_store *store;
	unsigned account;
	unsigned edits;
	bool is_reading;  /* after each edit */
	bool is_stopping; /* at the first failure; else it goes on */
	unsigned failures;
	char name[16];	/* as answered last */
	char tried[16]; /* the edit whose outcome is unknown, or "" */
	struct mbj_error error;
};

static void worker_read(const struct worker *worker)
{
	char text[MBJ_NAME_MAX + 1];

	site_name(worker->store, worker->account, 2, text);
	ck_assert_str_eq(text, worker->name);
}

static void *worker_run(void *context)
{
	struct worker *worker = context;

	memcpy(worker->name, "m2", 3);
	for (unsigned i = 0; i < worker->edits; i++) {
		char next[16];
		enum mbj_rc rc;

		(void)snprintf(next, sizeof(next), "n%u", i);
		rc = site_rename(worker->store, worker->account, worker->name,
				 next, NULL, &worker->error);
		if (rc == MBJ_OK) {
			memcpy(worker->name, next, sizeof(next));
			if (worker->is_reading)
				worker_read(worker);
			continue;
		}
		worker->failures++;
		if (strstr(worker->error.message, "unknown") != NULL)
			memcpy(worker->tried, next, sizeof(next));
		if (worker->is_stopping)
			break;
	}
	return NULL;
}

struct crowd {
	struct site site;
	struct site_sys sys;
	struct worker workers[CROWD];
};

static void crowd_begin(struct crowd *crowd)
{
	memset(crowd, 0, sizeof(*crowd));
	site_sys_init(&crowd->sys);
	crowd->sys.sync_us = SYNC_US;
	site_begin(&crowd->site);
	crowd->site.options.sys = &crowd->sys.table;
	/* Small enough to need a new file now and then. */
	crowd->site.options.state.log_file_size = 256u << 10;
	site_reopen(&crowd->site);
	for (unsigned i = 0; i < CROWD; i++)
		site_import(crowd->site.store, i + 1, CROWD_MAILBOXES);
}

static void crowd_run(struct crowd *crowd, const struct worker *model)
{
	pthread_t threads[CROWD];

	for (unsigned i = 0; i < CROWD; i++) {
		crowd->workers[i] = *model;
		crowd->workers[i].store = crowd->site.store;
		crowd->workers[i].account = i + 1;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, worker_run,
						&crowd->workers[i]),
				 0);
	}
	for (unsigned i = 0; i < CROWD; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

/* Each account has the name that was answered, or the one left unknown. */
static void crowd_check(struct crowd *crowd)
{
	char text[MBJ_NAME_MAX + 1];

	for (unsigned i = 0; i < CROWD; i++) {
		const struct worker *worker = &crowd->workers[i];

		site_name(crowd->site.store, worker->account, 2, text);
		ck_assert_msg(strcmp(text, worker->name) == 0 ||
				      strcmp(text, worker->tried) == 0,
			      "%s, neither %s nor \"%s\"", text, worker->name,
			      worker->tried);
	}
}

/* The state is the journal's: made anew from it, it is the same. */
static void crowd_compare(struct crowd *crowd)
{
	struct mbj_digest before = site_digest(crowd->site.store);
	struct mbj_digest after;

	crowd->site.options.is_rebuild_forced = true;
	site_reopen(&crowd->site);
	crowd->site.options.is_rebuild_forced = false;
	after = site_digest(crowd->site.store);
	ck_assert(mbj_digest_equal(&before, &after));
	crowd_check(crowd);
}

/*
 * Goal: whoever was answered reads what he did.
 * Method: 8 threads rename and read in turn; afterwards the state is the
 * journal's, and closed and opened again it needs nothing of it.
 */
START_TEST(crowd_reads_own)
{
	const struct worker model = {.edits = CROWD_EDITS, .is_reading = true};
	static struct crowd crowd;

	crowd_begin(&crowd);
	crowd_run(&crowd, &model);
	for (unsigned i = 0; i < CROWD; i++)
		ck_assert_uint_eq(crowd.workers[i].failures, 0);
	crowd_check(&crowd);
	site_reopen(&crowd.site);
	ck_assert_uint_eq(
		mbj_store_recovery_get(crowd.site.store)->groups_applied, 0);
	crowd_compare(&crowd);
	site_end(&crowd.site);
}
END_TEST

/*
 * Goal: when the crowd has gone the state lacks nothing.  Method: 8 threads
 * rename without reading; the store is closed at once and needs no recovery.
 */
START_TEST(crowd_leaves_nothing)
{
	const struct worker model = {.edits = CROWD_EDITS};
	static struct crowd crowd;

	crowd_begin(&crowd);
	crowd_run(&crowd, &model);
	site_reopen(&crowd.site);
	ck_assert_uint_eq(
		mbj_store_recovery_get(crowd.site.store)->groups_applied, 0);
	crowd_check(&crowd);
	crowd_compare(&crowd);
	site_end(&crowd.site);
}
END_TEST

/*
 * Who comes after the failure is told that nothing was done.  How many of the
 * crowd itself come that late is the scheduler's to say, and no assertion's.
 */
static void crowd_is_closed(const struct crowd *crowd)
{
	for (unsigned i = 0; i < CROWD; i++) {
		struct mbj_error error;

		ck_assert_int_eq(site_rename(crowd->site.store, i + 1,
					     crowd->workers[i].name, "late",
					     NULL, &error),
				 MBJ_EIO);
		ck_assert_ptr_nonnull(
			strstr(error.message, "nothing was done"));
	}
}

/*
 * Goal: a failed journal write closes the store for all: who was answered has
 * it, the others are told that it is unknown or that nothing was done, and
 * both are true.  Method: 8 threads rename until they fail; the n-th write or
 * sync fails, n from 1 to 40, once or for good; then the store is opened.
 */
START_TEST(crowd_journal_fails)
{
	const struct worker model = {.edits = CROWD_EDITS, .is_stopping = true};
	unsigned unknown = 0;
	static struct crowd crowd;

	for (long n = 1; n <= 40; n++) {
		unsigned calls = n % 2 == 0 ? SITE_CALL_SYNC : SITE_CALL_PWRITE;

		crowd_begin(&crowd);
		crowd.sys.sync_us = SYNC_LONG_US;
		site_sys_arm(&crowd.sys, calls, n, EIO, n % 4 < 2);
		crowd_run(&crowd, &model);
		site_sys_arm(&crowd.sys, 0, 0, 0, false);
		for (unsigned i = 0; i < CROWD; i++) {
			const struct worker *worker = &crowd.workers[i];

			ck_assert_uint_eq(worker->failures, 1);
			ck_assert_int_eq(worker->error.rc, MBJ_EIO);
			ck_assert_ptr_nonnull(
				strstr(worker->error.message, "open"));
			unknown += worker->tried[0] != '\0';
		}
		crowd_is_closed(&crowd);
		site_reopen(&crowd.site);
		crowd_check(&crowd);
		crowd_compare(&crowd);
		site_end(&crowd.site);
	}
	ck_assert_uint_gt(unknown, 10);
}
END_TEST

/*
 * Goal: a full disk under the state refuses what comes and loses nothing that
 * was answered; with room again the store goes on by itself.  Method: 8
 * threads rename; from the n-th file on that is to be made there is no room,
 * which Berkeley DB's next log file meets; then there is, and they go on.
 */
START_TEST(crowd_disk_full)
{
	const struct worker model = {.edits = 3 * CROWD_EDITS,
				     .is_stopping = true};
	const struct worker again = {.edits = CROWD_EDITS};
	unsigned failures = 0;
	static struct crowd crowd;

	for (long n = 1; n <= 4; n++) {
		crowd_begin(&crowd);
		site_sys_arm(&crowd.sys, SITE_CALL_CREATE, n, ENOSPC, true);
		crowd_run(&crowd, &model);
		for (unsigned i = 0; i < CROWD; i++) {
			failures += crowd.workers[i].failures;
			ck_assert_msg(crowd.workers[i].failures == 0 ||
					      crowd.workers[i].error.rc ==
						      MBJ_ENOSPC,
				      "%s", crowd.workers[i].error.message);
			ck_assert_str_eq(crowd.workers[i].tried, "");
		}
		site_sys_arm(&crowd.sys, 0, 0, 0, false);
		crowd_check(&crowd);
		for (unsigned i = 0; i < CROWD; i++)
			SITE_OK(site_rename(crowd.site.store, i + 1,
					    crowd.workers[i].name, "m2", NULL,
					    err));
		crowd_run(&crowd, &again);
		for (unsigned i = 0; i < CROWD; i++)
			ck_assert_uint_eq(crowd.workers[i].failures, 0);
		crowd_check(&crowd);
		crowd_compare(&crowd);
		site_end(&crowd.site);
	}
	ck_assert_uint_gt(failures, CROWD);
}
END_TEST

TCase *test_batch_crowd_case(void)
{
	TCase *tc = tcase_create("batch_crowd");

	tcase_add_test(tc, crowd_reads_own);
	tcase_add_test(tc, crowd_leaves_nothing);
	tcase_add_test(tc, crowd_journal_fails);
	tcase_add_test(tc, crowd_disk_full);
	return tc;
}
