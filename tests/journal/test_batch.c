/*
 * Batches: many threads, failing disks, and what stands afterwards.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "journal_cases.h"
#include "store_lab.h"

/* ------------------------------------------------------------- threads */

enum { CREW_MAX = 32, CREW_EDITS = 150, CREW_MAILBOXES = 8, ENGINES = 2 };

/*
 * Each test with threads runs on both: Berkeley DB is what is shipped, and in
 * the engine in memory ThreadSanitizer sees every access.
 */
static const enum mbj_state_engine engines[ENGINES] = {
	MBJ_STATE_BERKELEY_DB,
	MBJ_STATE_MEMORY,
};

/* What one thread did: each acknowledged rename, in its order. */
struct sailor {
	struct mbj_store *store;
	unsigned account;
	unsigned number; /* of the thread */
	uint64_t seed;
	unsigned refused;
	uint64_t lsns[CREW_EDITS];
	char from[CREW_EDITS][16];
	char to[CREW_EDITS][16];
	unsigned count;
};

/* Its own mailbox of its own account, from name to name. */
static void *sailor_alone(void *context)
{
	struct sailor *sailor = context;
	char name[16] = "m2";

	for (unsigned i = 0; i < CREW_EDITS; i++) {
		struct mbj_lsn lsn = {0};
		char next[16];

		(void)snprintf(next, sizeof(next), "n%u", i);
		SITE_OK(site_rename(sailor->store, sailor->account, name, next,
				    &lsn, err));
		sailor->lsns[sailor->count++] = lsn.v;
		memcpy(name, next, sizeof(name));
	}
	return NULL;
}

/* Any mailbox of a shared account to any name: many are refused. */
static void *sailor_brawl(void *context)
{
	struct sailor *sailor = context;
	struct test_rng rng;

	test_rng_init(&rng, sailor->seed);
	for (unsigned i = 0; i < CREW_EDITS; i++) {
		char *from = sailor->from[sailor->count];
		char *to = sailor->to[sailor->count];
		struct mbj_lsn lsn = {0};
		struct mbj_error error = {.rc = MBJ_OK};
		enum mbj_rc rc;

		(void)snprintf(from, 16, "m%u",
			       (unsigned)test_rng_between(&rng, 2, 12));
		(void)snprintf(to, 16, "m%u",
			       (unsigned)test_rng_between(&rng, 2, 12));
		rc = site_rename(sailor->store, sailor->account, from, to, &lsn,
				 &error);
		if (rc == MBJ_OK && lsn.v > 0) {
			sailor->lsns[sailor->count++] = lsn.v;
			continue;
		}
		sailor->refused++;
		ck_assert_msg(rc == MBJ_OK || rc == MBJ_EINVALID ||
				      rc == MBJ_ENOTFOUND,
			      "%s: %s", mbj_rc_name(rc), error.message);
	}
	return NULL;
}

/* All threads at once; the array is the caller's to free. */
static struct sailor *crew_run(struct mbj_store *store, unsigned count,
			       bool is_shared, uint64_t seed,
			       void *(*work)(void *))
{
	struct sailor *crew = calloc(count, sizeof(*crew));
	pthread_t threads[CREW_MAX];

	for (unsigned i = 0; i < count; i++) {
		crew[i].store = store;
		crew[i].account = is_shared ? 1 : i + 1;
		crew[i].number = i;
		crew[i].seed = seed + i;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, work,
						&crew[i]),
				 0);
	}
	for (unsigned i = 0; i < count; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	return crew;
}

/*
 * Goal: threads that do not meet do not notice each other.  Method: 8 threads
 * with an account each; every edit is acknowledged, LSNs rise in each thread,
 * none is given twice and none is missing; the last name of each stands, also
 * after the state is made anew from the journal.
 */
START_TEST(batch_threads_apart)
{
	enum { COUNT = 8 };
	struct mbj_digest before;
	struct mbj_digest after;
	char text[MBJ_NAME_MAX + 1];
	struct sailor *crew;
	uint64_t sum = 0;
	struct site site;

	site_begin_on(&site, engines[_i]);
	for (unsigned i = 1; i <= COUNT; i++)
		site_import(site.store, i, 3);
	crew = crew_run(site.store, COUNT, false, 0, sailor_alone);
	for (unsigned i = 0; i < COUNT; i++) {
		ck_assert_uint_eq(crew[i].count, CREW_EDITS);
		for (unsigned k = 0; k < CREW_EDITS; k++) {
			sum += crew[i].lsns[k];
			ck_assert(k == 0 ||
				  crew[i].lsns[k] > crew[i].lsns[k - 1]);
		}
		site_name(site.store, i + 1, 2, text);
		ck_assert_str_eq(text, "n149");
	}
	ck_assert_uint_eq(mbj_store_end(site.store).lsn.v,
			  COUNT + COUNT * CREW_EDITS);
	/* Dense and unique: the sum of COUNT + 1 .. end. */
	ck_assert_uint_eq(sum, (uint64_t)COUNT * CREW_EDITS *
				       (2 * COUNT + 1 + COUNT * CREW_EDITS) /
				       2);
	before = site_digest(site.store);
	site.options.is_rebuild_forced = true;
	site_reopen(&site);
	after = site_digest(site.store);
	ck_assert(mbj_digest_equal(&before, &after));
	free(crew);
	site_end(&site);
}
END_TEST

/* Names of mailboxes 2..8 of one account, by the sequential model. */
struct model {
	char name[CREW_MAILBOXES + 1][16];
};

static void model_rename(struct model *model, const char *from, const char *to)
{
	unsigned found = 0;

	for (unsigned i = 2; i <= CREW_MAILBOXES; i++) {
		ck_assert_msg(strcmp(model->name[i], to) != 0,
			      "%s onto %s was acknowledged", from, to);
		if (strcmp(model->name[i], from) == 0)
			found = i;
	}
	ck_assert_msg(found > 0, "%s was renamed and is not there", from);
	(void)snprintf(model->name[found], 16, "%s", to);
}

/*
 * Goal: threads that do meet see one order.  Method: 8 threads rename the
 * mailboxes of one account to few names, often refused; what was acknowledged,
 * sorted by LSN, must be legal step by step in a model of ten lines and end
 * where the store ends.
 */
START_TEST(batch_threads_meet)
{
	enum { COUNT = 8 };
	struct model model;
	char text[MBJ_NAME_MAX + 1];
	struct sailor *crew;
	struct test_rng rng;
	uint64_t end;
	struct site site;

	site_begin_on(&site, engines[_i]);
	site_import(site.store, 1, CREW_MAILBOXES);
	crew = crew_run(site.store, COUNT, true, test_rng_seed(&rng),
			sailor_brawl);
	for (unsigned i = 2; i <= CREW_MAILBOXES; i++)
		(void)snprintf(model.name[i], 16, "m%u", i);
	end = mbj_store_end(site.store).lsn.v;
	ck_assert_uint_gt(end, 10);
	for (uint64_t lsn = 2; lsn <= end; lsn++) {
		unsigned found = 0;

		for (unsigned i = 0; i < COUNT; i++) {
			for (unsigned k = 0; k < crew[i].count; k++) {
				if (crew[i].lsns[k] != lsn)
					continue;
				model_rename(&model, crew[i].from[k],
					     crew[i].to[k]);
				found++;
			}
		}
		ck_assert_uint_eq(found, 1);
	}
	for (unsigned i = 2; i <= CREW_MAILBOXES; i++) {
		site_name(site.store, 1, i, text);
		ck_assert_str_eq(text, model.name[i]);
	}
	(void)site_digest(site.store);
	free(crew);
	site_end(&site);
}
END_TEST

struct watch {
	struct mbj_store *store;
	atomic_bool is_over;
	atomic_ulong reads;
};

/* Read without pause; each snapshot must be whole. */
static void *watch_run(void *context)
{
	struct watch *watch = context;

	while (!atomic_load(&watch->is_over)) {
		(void)site_digest(watch->store);
		atomic_fetch_add(&watch->reads, 1);
	}
	return NULL;
}

/*
 * Goal: readers see whole groups only, and what was acknowledged.  Method: a
 * thread checks every account in snapshots while 4 threads rename.
 */
START_TEST(batch_readers)
{
	enum { COUNT = 4 };
	struct watch watch;
	pthread_t reader;
	struct sailor *crew;
	struct site site;

	site_begin_on(&site, engines[_i]);
	for (unsigned i = 1; i <= COUNT; i++)
		site_import(site.store, i, 3);
	watch.store = site.store;
	atomic_init(&watch.is_over, false);
	atomic_init(&watch.reads, 0);
	ck_assert_int_eq(pthread_create(&reader, NULL, watch_run, &watch), 0);
	while (atomic_load(&watch.reads) == 0)
		(void)sched_yield();
	crew = crew_run(site.store, COUNT, false, 0, sailor_alone);
	atomic_store(&watch.is_over, true);
	ck_assert_int_eq(pthread_join(reader, NULL), 0);
	free(crew);
	site_end(&site);
}
END_TEST

struct follow {
	const struct site *site;
	uint64_t until;
	uint64_t read; /* groups */
};

/* Every group that is there, and again from the next one, to the last. */
static void *follow_run(void *context)
{
	struct follow *follow = context;

	while (follow->read < follow->until) {
		struct mbj_lsn next = {follow->read + 1};
		struct mbj_log_reader *reader = NULL;
		struct mbj_group group;

		SITE_OK(mbj_store_log_reader(NULL, follow->site->dir, &reader,
					     err));
		SITE_OK(mbj_log_reader_seek(reader, next, err));
		while (mbj_log_reader_next(reader, &group, NULL) == MBJ_OK) {
			ck_assert_uint_eq(group.header.lsn.v, next.v);
			ck_assert(group.is_body_good);
			follow->read = next.v++;
		}
		mbj_log_reader_close(&reader);
	}
	return NULL;
}

/*
 * Goal: whoever reads the journal while it is written meets whole groups, each
 * once and in order.  Method: a thread follows it from the first group to the
 * last while 4 threads rename.
 */
START_TEST(batch_followed)
{
	enum { COUNT = 4 };
	struct follow follow = {.until = COUNT + COUNT * CREW_EDITS};
	struct sailor *crew;
	pthread_t reader;
	struct site site;

	site_begin_on(&site, engines[_i]);
	for (unsigned i = 1; i <= COUNT; i++)
		site_import(site.store, i, 3);
	follow.site = &site;
	ck_assert_int_eq(pthread_create(&reader, NULL, follow_run, &follow), 0);
	crew = crew_run(site.store, COUNT, false, 0, sailor_alone);
	ck_assert_int_eq(pthread_join(reader, NULL), 0);
	ck_assert_uint_eq(follow.read, mbj_store_end(site.store).lsn.v);
	free(crew);
	site_end(&site);
}
END_TEST

/* --------------------------------------------------------------- edits */

/*
 * Goal: a dry run changes nothing and returns what would be journaled.
 * Method: a rename dry, then for real; the records agree but for the clock.
 */
START_TEST(batch_dry_run)
{
	const struct mbj_rename rename = {mbj_bytes_str("m2"),
					  mbj_bytes_str("other")};
	struct mbj_outcome dry = {.lsn = {0}};
	struct mbj_outcome wet = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_digest before;
	struct mbj_digest after;
	struct mbj_group group;
	struct site site;

	site_begin(&site);
	site_import(site.store, 1, 3);
	before = site_digest(site.store);
	edit.kind = MBJ_EDIT_RENAME;
	edit.account = mbj_bytes_str("u1");
	edit.renames = &rename;
	edit.rename_count = 1;
	edit.is_dry_run = true;
	SITE_OK(mbj_store_submit(site.store, &edit, &dry, err));
	ck_assert_uint_eq(mbj_store_end(site.store).lsn.v, 1);
	after = site_digest(site.store);
	ck_assert(mbj_digest_equal(&before, &after));
	SITE_OK(mbj_group_parse(mbj_buf_view(&dry.record), &group, err));
	ck_assert_uint_eq(group.header.lsn.v, 2);

	edit.is_dry_run = false;
	SITE_OK(mbj_store_submit(site.store, &edit, &wet, err));
	ck_assert_uint_eq(wet.lsn.v, 2);
	ck_assert_uint_eq(wet.record.n, dry.record.n);
	ck_assert_uint_eq(mbj_store_end(site.store).lsn.v, 2);
	mbj_outcome_done(&dry);
	mbj_outcome_done(&wet);

	/* The same again changes nothing, and journals nothing. */
	edit.kind = MBJ_EDIT_SET;
	edit.rename_count = 0;
	memset(&wet, 0, sizeof(wet));
	SITE_OK(mbj_store_submit(site.store, &edit, &wet, err));
	ck_assert_uint_eq(wet.lsn.v, 0);
	ck_assert_uint_eq(wet.record.n, 0);
	ck_assert_uint_eq(mbj_store_end(site.store).lsn.v, 2);
	mbj_outcome_done(&wet);
	site_end(&site);
}
END_TEST

/*
 * Goal: refusals have their codes and leave the store as it was.  Method: an
 * unknown account, an unknown mailbox, a taken name, an old state.
 */
START_TEST(batch_refusals)
{
	const struct mbj_rename rename = {mbj_bytes_str("m2"),
					  mbj_bytes_str("zz")};
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_error error;
	struct mbj_digest before;
	struct mbj_digest after;
	struct site site;

	site_begin(&site);
	site_import(site.store, 1, 3);
	before = site_digest(site.store);
	SITE_FAILS(site_rename(site.store, 9, "m2", "a", NULL, err),
		   MBJ_ENOTFOUND, &error);
	SITE_FAILS(site_rename(site.store, 1, "nobody", "a", NULL, err),
		   MBJ_EINVALID, &error);
	ck_assert_int_eq(error.refusal, MBJ_REFUSAL_NOT_FOUND);
	SITE_FAILS(site_rename(site.store, 1, "m2", "m3", NULL, err),
		   MBJ_EINVALID, &error);
	ck_assert_int_eq(error.refusal, MBJ_REFUSAL_ALREADY_EXISTS);
	edit.kind = MBJ_EDIT_RENAME;
	edit.account = mbj_bytes_str("u1");
	edit.renames = &rename;
	edit.rename_count = 1;
	edit.has_if_in_state = true;
	edit.if_in_state.v = 77;
	SITE_FAILS(mbj_store_submit(site.store, &edit, &outcome, err),
		   MBJ_ECONFLICT, &error);
	after = site_digest(site.store);
	ck_assert(mbj_digest_equal(&before, &after));
	ck_assert_uint_eq(mbj_store_end(site.store).lsn.v, 1);
	site_end(&site);
}
END_TEST

/* ------------------------------------------------------------- failures */

/*
 * Goal: a failed journal write has outcome unknown and closes the store; what
 * was acknowledged before is there after reopening, what was unknown may be.
 * Method: fail every write and every sync of one rename in turn, once or for
 * good.
 */
START_TEST(batch_journal_fails)
{
	struct site_sys sys;
	struct site site;
	unsigned closed = 0;

	site_sys_init(&sys);
	site_begin(&site);
	site.options.sys = &sys.table;
	site_reopen(&site);
	site_import(site.store, 1, 3);
	for (unsigned k = 0; k < 24; k++) {
		unsigned calls = k % 2 == 0 ? SITE_CALL_SYNC : SITE_CALL_PWRITE;
		char text[MBJ_NAME_MAX + 1];
		struct mbj_digest digest;
		struct mbj_txn *txn = NULL;
		struct mbj_error error = {.rc = MBJ_OK};
		char from[16];
		char to[16];
		enum mbj_rc rc;

		site_name(site.store, 1, 2, text);
		(void)snprintf(from, sizeof(from), "%.15s", text);
		(void)snprintf(to, sizeof(to), "k%u", k);
		site_sys_arm(&sys, calls, 1 + k / 4 % 3, EIO, k / 2 % 2 == 0);
		rc = site_rename(site.store, 1, from, to, NULL, &error);
		site_sys_arm(&sys, 0, 0, 0, false);
		if (rc != MBJ_OK) {
			closed++;
			ck_assert_int_eq(rc, MBJ_EIO);
			ck_assert(strstr(error.message, "unknown") != NULL ||
				  strstr(error.message, "nothing was done") !=
					  NULL);
			ck_assert_ptr_nonnull(
				strstr(error.message, "open the store again"));
			SITE_FAILS(site_rename(site.store, 1, "m3", "q", NULL,
					       err),
				   MBJ_EIO, &error);
			ck_assert_ptr_nonnull(
				strstr(error.message, "nothing was done"));
			SITE_FAILS(mbj_store_read(site.store, &txn, err),
				   MBJ_EIO, &error);
		}
		site_reopen(&site);
		site_name(site.store, 1, 2, text);
		ck_assert_msg(strcmp(text, to) == 0 ||
				      (rc != MBJ_OK && strcmp(text, from) == 0),
			      "%s, neither %s nor %s", text, from, to);
		site_name(site.store, 1, 3, text);
		ck_assert_str_eq(text, "m3");
		digest = site_digest(site.store);
		(void)digest;
	}
	ck_assert_uint_gt(closed, 4);
	site_end(&site);
}
END_TEST

/*
 * Goal: a full disk is met before anything is written: nothing is done, and
 * the store works on once there is room.  Method: the long writes fail with
 * ENOSPC, which are those that reserve; edits until three of them met it.
 */
START_TEST(batch_disk_full)
{
	enum { RESERVE_STEP = 4096 };
	char name[16] = "m2";
	struct site_sys sys;
	struct site site;
	unsigned full = 0;

	site_sys_init(&sys);
	site_begin(&site);
	site.options.sys = &sys.table;
	site_reopen(&site);
	site_import(site.store, 1, 3);
	sys.write_size_min = RESERVE_STEP;
	for (unsigned i = 0; full < 3; i++) {
		struct mbj_lsn end = mbj_store_end(site.store).lsn;
		struct mbj_error error = {.rc = MBJ_OK};
		struct mbj_digest before = site_digest(site.store);
		struct mbj_digest after;
		char next[16];
		enum mbj_rc rc;

		ck_assert_uint_lt(i, 2000);
		(void)snprintf(next, sizeof(next), "n%u", i);
		site_sys_arm(&sys, SITE_CALL_PWRITE, 1, ENOSPC, true);
		rc = site_rename(site.store, 1, name, next, NULL, &error);
		site_sys_arm(&sys, 0, 0, 0, false);
		if (rc != MBJ_OK) {
			ck_assert_msg(rc == MBJ_ENOSPC, "%s", error.message);
			full++;
			after = site_digest(site.store);
			ck_assert(mbj_digest_equal(&before, &after));
			ck_assert_uint_eq(mbj_store_end(site.store).lsn.v,
					  end.v);
			SITE_OK(site_rename(site.store, 1, name, next, NULL,
					    err));
		}
		memcpy(name, next, sizeof(name));
	}
	site_end(&site);
}
END_TEST

TCase *test_batch_case(void)
{
	TCase *tc = tcase_create("batch");

	tcase_add_loop_test(tc, batch_threads_apart, 0, ENGINES);
	tcase_add_loop_test(tc, batch_threads_meet, 0, ENGINES);
	tcase_add_loop_test(tc, batch_readers, 0, ENGINES);
	tcase_add_loop_test(tc, batch_followed, 0, ENGINES);
	tcase_add_test(tc, batch_dry_run);
	tcase_add_test(tc, batch_refusals);
	tcase_add_test(tc, batch_journal_fails);
	tcase_add_test(tc, batch_disk_full);
	return tc;
}
