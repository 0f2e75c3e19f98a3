/*
 * Keeping house beside others: snapshots and trims while threads submit, each
 * edit with a request id, so that what a trim does to the window of requests is
 * in it as well.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/collect.h>
#include <mbj/trim.h>

#include "journal_cases.h"
#include "served_lab.h"
#include "store_impl.h"
#include "store_lab.h"

enum { WORKERS = 4, EDITS = 160, SEGMENT = 8192 };

struct house {
	struct site site;
	atomic_uint working;
};

struct worker {
	struct house *house;
	unsigned account;
	pthread_t thread;
	char name[16];
};

static struct mbj_id request_id(unsigned account, unsigned number)
{
	struct mbj_id id = {{0x7e, (uint8_t)account}};

	mbj_store_u32(id.b + 4, number);
	return id;
}

/* One edit, under a request id of its own. */
static enum mbj_rc rename_submit(struct worker *worker, unsigned number,
				 const char *next, struct mbj_lsn *ret_lsn,
				 struct mbj_error *err)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct site_rename rename;
	enum mbj_rc rc;

	site_rename_make(&rename, worker->account, worker->name, next);
	rename.edit.request = request_id(worker->account, number);
	rc = mbj_store_submit(worker->house->site.store, &rename.edit, &outcome,
			      err);
	if (rc < 0)
		return rc;
	*ret_lsn = outcome.lsn;
	mbj_outcome_done(&outcome);
	return MBJ_OK;
}

/*
 * The edit, and the same request once more: it is known, or its group is not in
 * the journal any more, and there is nothing to rename.
 */
static void rename_twice(struct worker *worker, unsigned number)
{
	struct mbj_store *store = worker->house->site.store;
	struct mbj_lsn lsn, again;
	struct mbj_error error;
	char next[16];
	enum mbj_rc rc;

	(void)snprintf(next, sizeof(next), "n%u", number);
	SITE_OK(rename_submit(worker, number, next, &lsn, err));
	rc = rename_submit(worker, number, next, &again, &error);
	if (rc == MBJ_OK)
		ck_assert_uint_eq(again.v, lsn.v);
	else
		ck_assert_msg(rc == MBJ_EINVALID &&
				      mbj_store_identity_copy(store)
						      .anchor.first.v > lsn.v,
			      "%s", error.message);
	memcpy(worker->name, next, sizeof(next));
}

static void *worker_run(void *context)
{
	struct worker *worker = context;

	memcpy(worker->name, "m2", 3);
	for (unsigned i = 0; i < EDITS; i++)
		rename_twice(worker, i);
	atomic_fetch_sub(&worker->house->working, 1);
	return NULL;
}

static void house_begin(struct house *house)
{
	memset(house, 0, sizeof(*house));
	site_begin(&house->site);
	house->site.options.log.segment_size = SEGMENT;
	house->site.options.log.reserve_max = SEGMENT / 2;
	site_reopen(&house->site);
	for (unsigned i = 0; i < WORKERS; i++)
		site_import(house->site.store, i + 1, 3);
}

static void workers_begin(struct house *house, struct worker workers[WORKERS])
{
	atomic_store(&house->working, WORKERS);
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){.house = house, .account = i + 1};
		ck_assert_int_eq(pthread_create(&workers[i].thread, NULL,
						worker_run, &workers[i]),
				 0);
	}
}

static struct mbj_trim_options keep_little(void)
{
	struct mbj_trim_options options = MBJ_TRIM_OPTIONS_INIT;

	options.keep_us = 0;
	options.keep_requests = 4 * WORKERS;
	return options;
}

/* Made anew from the newest snapshot and what is left, it is what it was. */
static void house_end(struct house *house, struct worker workers[WORKERS])
{
	struct mbj_digest before = site_digest(house->site.store);
	struct mbj_digest after;
	char text[MBJ_NAME_MAX + 1];

	house->site.options.is_rebuild_forced = true;
	site_reopen(&house->site);
	after = site_digest(house->site.store);
	ck_assert(mbj_digest_equal(&before, &after));
	ck_assert_uint_gt(mbj_store_recovery_get(house->site.store)->snapshot.v,
			  0);
	ck_assert(site_is_sound(house->site.store));
	for (unsigned i = 0; i < WORKERS; i++) {
		site_name(house->site.store, i + 1, 2, text);
		ck_assert_str_eq(text, workers[i].name);
	}
	site_end(&house->site);
}

/*
 * Goal: nobody who submits is refused anything, and nothing is lost, while the
 * journal loses its beginning under them.  Method: a snapshot and a trim, one
 * after the other, until the last worker is done; then once more; of a store
 * that is shared (1) and of one that is not.
 */
START_TEST(test_beside_edits)
{
	const struct mbj_trim_options options = keep_little();
	struct mbj_snapshot_result snapshot;
	struct worker workers[WORKERS];
	struct mbj_trim_result trim;
	struct house house;
	bool is_last;

	house_begin(&house);
	if (_i == 1)
		SITE_OK(store_share(house.site.store, 0, err));
	workers_begin(&house, workers);
	do {
		is_last = atomic_load(&house.working) == 0;
		SITE_OK(mbj_store_snapshot(house.site.store, &snapshot, err));
		SITE_OK(mbj_store_trim(house.site.store, &options, &trim, err));
		ck_assert_uint_le(trim.before.v, trim.first.v);
	} while (!is_last);
	for (unsigned i = 0; i < WORKERS; i++)
		ck_assert_int_eq(pthread_join(workers[i].thread, NULL), 0);
	ck_assert_uint_gt(trim.first.v, 1);
	house_end(&house, workers);
}
END_TEST

/*
 * Goal: what a snapshot is made from is gone afterwards, and what a kill left
 * of it does no harm.  Method: a file in its place; a directory with files; and
 * a disk that has no room for it, where the state itself is read.
 */
START_TEST(test_image)
{
	struct mbj_snapshot_result snapshot;
	struct mbj_error error;
	struct site site;
	char path[MBJ_PATH_TEXT_MAX];

	site_begin(&site);
	site_import(site.store, 1, 3);
	SITE_OK(store_share(site.store, 0, err));
	site_path(&site, "state.image", path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	site_path(&site, "state.image/state.db", path);
	ck_assert_int_eq(close(creat(path, 0600)), 0);
	SITE_OK(mbj_store_snapshot(site.store, &snapshot, err));
	ck_assert(snapshot.is_new);
	site_path(&site, "state.image", path);
	ck_assert_int_eq(access(path, F_OK), -1);
	SITE_OK(site_rename(site.store, 1, "m2", "x", NULL, err));
	ck_assert_int_eq(close(creat(path, 0600)), 0);
	SITE_FAILS(mbj_store_snapshot(site.store, &snapshot, err), MBJ_EIO,
		   &error);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	site_reopen(&site);
	ck_assert_int_eq(access(path, F_OK), -1);
	site.options.space_min = UINT64_MAX / 4;
	site_reopen(&site);
	SITE_OK(store_share(site.store, 0, err));
	SITE_OK(mbj_store_snapshot(site.store, &snapshot, err));
	ck_assert(snapshot.is_new);
	ck_assert(site_is_sound(site.store));
	site_end(&site);
}
END_TEST

struct keeper {
	struct mbj_store *store;
	bool is_trimming;
	unsigned done;
	unsigned refused;
	pthread_t thread;
};

static void *keeper_run(void *context)
{
	const struct mbj_trim_options options = keep_little();
	struct keeper *keeper = context;

	for (int i = 0; i < 10; i++) {
		struct mbj_snapshot_result snapshot;
		struct mbj_trim_result trim;
		struct mbj_error err;
		enum mbj_rc rc;

		rc = keeper->is_trimming ? mbj_store_trim(keeper->store,
							  &options, &trim, &err)
					 : mbj_store_snapshot(keeper->store,
							      &snapshot, &err);
		ck_assert_msg(rc == MBJ_OK || rc == MBJ_EBUSY, "%s",
			      err.message);
		keeper->done += rc == MBJ_OK;
		keeper->refused += rc == MBJ_EBUSY;
		if (rc == MBJ_EBUSY)
			ck_assert_ptr_nonnull(strstr(err.message, "under way"));
	}
	return NULL;
}

/*
 * Goal: two that keep house do not meet: one of them is told so.  Method: both
 * at once, beside edits.
 */
START_TEST(test_one_at_a_time)
{
	struct worker workers[WORKERS];
	struct keeper keepers[2];
	struct house house;

	house_begin(&house);
	workers_begin(&house, workers);
	for (int i = 0; i < 2; i++) {
		keepers[i] = (struct keeper){.store = house.site.store,
					     .is_trimming = i == 1};
		ck_assert_int_eq(pthread_create(&keepers[i].thread, NULL,
						keeper_run, &keepers[i]),
				 0);
	}
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_join(keepers[i].thread, NULL), 0);
	for (unsigned i = 0; i < WORKERS; i++)
		ck_assert_int_eq(pthread_join(workers[i].thread, NULL), 0);
	ck_assert_uint_gt(keepers[0].done + keepers[1].done, 0);
	/* However that went, there is one now. */
	keepers[0] = (struct keeper){.store = house.site.store};
	(void)keeper_run(&keepers[0]);
	ck_assert_uint_eq(keepers[0].done, 10);
	house_end(&house, workers);
}
END_TEST

/*
 * Goal: whoever comes while house is kept is told so, whatever it comes for.
 * Method: the place taken; given back, all of it goes.
 */
START_TEST(test_taken)
{
	const struct mbj_trim_options options = keep_little();
	struct mbj_collect_result collected;
	struct mbj_snapshot_result snapshot;
	struct mbj_trim_result trim;
	struct mbj_error error;
	struct house house;

	house_begin(&house);
	ck_assert_int_eq(mbj_store_house_get(house.site.store).work,
			 MBJ_HOUSE_NONE);
	SITE_OK(store_house_begin(house.site.store, MBJ_HOUSE_TRIM, err));
	ck_assert_int_eq(mbj_store_house_get(house.site.store).work,
			 MBJ_HOUSE_TRIM);
	SITE_FAILS(mbj_store_snapshot(house.site.store, &snapshot, err),
		   MBJ_EBUSY, &error);
	SITE_FAILS(mbj_store_trim(house.site.store, &options, &trim, err),
		   MBJ_EBUSY, &error);
	SITE_FAILS(mbj_store_collect(house.site.store, false, &collected, err),
		   MBJ_EBUSY, &error);
	ck_assert_ptr_nonnull(strstr(error.message, "another trim of "));
	store_house_end(house.site.store);
	ck_assert_int_eq(mbj_store_house_get(house.site.store).work,
			 MBJ_HOUSE_NONE);
	SITE_OK(mbj_store_snapshot(house.site.store, &snapshot, err));
	SITE_OK(mbj_store_trim(house.site.store, &options, &trim, err));
	SITE_OK(mbj_store_collect(house.site.store, false, &collected, err));
	site_end(&house.site);
}
END_TEST

/*
 * Goal: of a request whose group was trimmed nothing is known, in the store
 * that trimmed it as in one that is opened afterwards.  Method: an edit under
 * an id, undone, then as many groups as a trim takes away; the same request
 * again.
 */
START_TEST(test_forgotten)
{
	const struct mbj_trim_options options = keep_little();
	struct mbj_trim_result trim;
	struct worker worker = {.account = 1, .name = "m2"};
	struct mbj_lsn first, again;
	struct house house;

	house_begin(&house);
	worker.house = &house;
	SITE_OK(rename_submit(&worker, 1, "x", &first, err));
	SITE_OK(rename_submit(&worker, 1, "x", &again, err));
	ck_assert_uint_eq(again.v, first.v);
	SITE_OK(site_rename(house.site.store, 1, "x", "m2", NULL, err));
	for (unsigned i = 0; i < EDITS; i++) {
		SITE_OK(site_rename(house.site.store, 2, "m2", "y", NULL, err));
		SITE_OK(site_rename(house.site.store, 2, "y", "m2", NULL, err));
	}
	SITE_OK(mbj_store_trim(house.site.store, &options, &trim, err));
	ck_assert_uint_gt(trim.first.v, first.v);
	SITE_OK(rename_submit(&worker, 1, "x", &again, err));
	ck_assert_uint_gt(again.v, trim.end.v);
	site_end(&house.site);
}
END_TEST

/* Goal: a closed store keeps no house.  Method: its journal failed. */
START_TEST(test_closed)
{
	const struct mbj_trim_options options = keep_little();
	struct mbj_snapshot_result snapshot;
	struct mbj_trim_result trim;
	struct mbj_error error;
	struct site_sys sys;
	struct site site;

	site_sys_init(&sys);
	site_begin(&site);
	site.options.sys = &sys.table;
	site_reopen(&site);
	site_import(site.store, 1, 3);
	site_sys_arm(&sys, SITE_CALL_SYNC, 1, 5, true);
	ck_assert_int_lt(site_rename(site.store, 1, "m2", "x", NULL, &error),
			 0);
	site_sys_arm(&sys, 0, 0, 0, false);
	SITE_FAILS(mbj_store_trim(site.store, &options, &trim, err), MBJ_EIO,
		   &error);
	SITE_FAILS(mbj_store_snapshot(site.store, &snapshot, err), MBJ_EIO,
		   &error);
	site_end(&site);
}
END_TEST

/*
 * Goal: the service does as the store would.  Method: through a client, beside
 * renames through it; options of another build are refused before they are
 * sent.
 */
START_TEST(test_served)
{
	struct mbj_trim_options options = keep_little();
	struct mbj_snapshot_result snapshot;
	struct mbj_trim_result trim;
	struct mbj_error error;
	struct served s;
	struct mbj_lsn lsn;

	served_begin(&s);
	SITE_OK(served_rename(s.client, 1, "m2", "x", &lsn, err));
	SITE_OK(mbj_client_snapshot(s.client, &snapshot, err));
	ck_assert(snapshot.is_new);
	ck_assert_uint_eq(snapshot.info.watermark.lsn.v, lsn.v);
	SITE_OK(mbj_client_snapshot(s.client, &snapshot, err));
	ck_assert(!snapshot.is_new);
	SITE_OK(mbj_client_trim(s.client, &options, &trim, err));
	ck_assert_uint_eq(trim.end.v, lsn.v);
	ck_assert_int_eq(trim.why, MBJ_TRIM_NEWEST);
	options.size--;
	SITE_FAILS(mbj_client_trim(s.client, &options, &trim, err),
		   MBJ_EINVALID, &error);
	SITE_FAILS(mbj_store_trim(s.site.store, &options, &trim, err),
		   MBJ_EINVALID, &error);
	served_end(&s);
}
END_TEST

TCase *test_house_case(void)
{
	TCase *tc = tcase_create("house");

	tcase_add_loop_test(tc, test_beside_edits, 0, 2);
	tcase_add_test(tc, test_image);
	tcase_add_test(tc, test_one_at_a_time);
	tcase_add_test(tc, test_taken);
	tcase_add_test(tc, test_forgotten);
	tcase_add_test(tc, test_closed);
	tcase_add_test(tc, test_served);
	return tc;
}
