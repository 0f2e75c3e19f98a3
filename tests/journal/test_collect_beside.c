/*
 * Collecting beside those who store content and append it: what a message has
 * is never gone, whoever was about to say so when it was looked at.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include <mbj/client.h>
#include <mbj/collect.h>

#include "dispatch.h"
#include "journal_cases.h"
#include "store_impl.h"
#include "store_lab.h"

enum {
	WORKERS = 4,
	EDITS = 120,
	BODIES = 3, /* that all of them have in turn */
	LONG_MS = 3600 * 1000,
};

struct lab {
	struct site site;
	atomic_uint working;
};

struct worker {
	struct lab *lab;
	unsigned account;
	unsigned again; /* times that content had gone before its edit */
	pthread_t thread;
};

static void lab_begin(struct lab *lab, uint32_t recent_ms)
{
	memset(lab, 0, sizeof(*lab));
	site_begin(&lab->site);
	for (unsigned i = 0; i < WORKERS; i++)
		site_import(lab->site.store, i + 1, 3);
	SITE_OK(store_share(lab->site.store, recent_ms, err));
}

static void lab_end(struct lab *lab)
{
	ck_assert(site_is_sound(lab->site.store));
	site_end(&lab->site);
}

static struct mbj_hash body_put(struct lab *lab, unsigned number,
				uint64_t *ret_size)
{
	struct mbj_blobs *blobs = NULL;
	struct mbj_hash blob;
	char text[32];
	int n = snprintf(text, sizeof(text), "body %u\n", number);

	SITE_OK(mbj_store_blobs(lab->site.store, &blobs, err));
	SITE_OK(mbj_blob_put(blobs, mbj_bytes_make(text, (size_t)n), &blob,
			     err));
	*ret_size = (uint64_t)n;
	return blob;
}

/* A step of an account: as the service does it. */
static enum mbj_rc step_submit(struct lab *lab, unsigned account,
			       const struct mbj_message_edit *step,
			       uint32_t *ret_uid, struct mbj_error *err)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	char name[16];
	enum mbj_rc rc;

	(void)snprintf(name, sizeof(name), "u%u", account);
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str(name);
	edit.messages = step;
	edit.message_count = 1;
	rc = dispatch_submit(lab->site.store, &edit, &outcome, err);
	if (rc < 0)
		return rc;
	*ret_uid = outcome.messages[0].uid;
	mbj_outcome_done(&outcome);
	return MBJ_OK;
}

static struct mbj_message_edit append_of(unsigned account, struct mbj_hash blob,
					 uint64_t size)
{
	return (struct mbj_message_edit){
		.kind = MBJ_MESSAGE_APPEND,
		.mailbox = site_mailbox(account, 2),
		.blob = blob,
		.size = size,
	};
}

static void expunge(struct lab *lab, unsigned account, uint32_t uid)
{
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_EXPUNGE,
					.mailbox = site_mailbox(account, 2)};
	uint8_t uids[8];
	uint32_t ignored;

	mbj_store_u32(uids, uid);
	mbj_store_u32(uids + 4, uid);
	step.uids = mbj_bytes_make(uids, sizeof(uids));
	SITE_OK(step_submit(lab, account, &step, &ignored, err));
}

static bool content_is_there(struct lab *lab, const struct mbj_hash *blob,
			     uint64_t size)
{
	struct mbj_blobs *blobs = NULL;

	SITE_OK(mbj_store_blobs(lab->site.store, &blobs, err));
	return mbj_blob_verify(blobs, blob, size, NULL) == MBJ_OK;
}

static void *worker_run(void *context)
{
	struct worker *worker = context;
	struct lab *lab = worker->lab;

	for (unsigned i = 0; i < EDITS; i++) {
		struct mbj_message_edit step;
		struct mbj_error error;
		struct mbj_hash blob;
		uint64_t size;
		uint32_t uid = 0;
		enum mbj_rc rc;

		do {
			blob = body_put(lab, (i + worker->account) % BODIES,
					&size);
			step = append_of(worker->account, blob, size);
			rc = step_submit(lab, worker->account, &step, &uid,
					 &error);
			ck_assert_msg(rc == MBJ_OK || rc == MBJ_ENOTFOUND, "%s",
				      error.message);
			worker->again += rc == MBJ_ENOTFOUND;
		} while (rc == MBJ_ENOTFOUND);
		/* While the message is there, its content is. */
		ck_assert(content_is_there(lab, &blob, size));
		expunge(lab, worker->account, uid);
	}
	atomic_fetch_sub(&lab->working, 1);
	return NULL;
}

/*
 * Goal: no message is ever without its content, whoever collects meanwhile.
 * Method: workers that store, append and expunge the same few bodies, and a
 * collector that never rests; nothing is kept for having come of late (0), or
 * all of it (1): then nobody is refused either.
 */
START_TEST(test_crowd)
{
	struct mbj_collect_result result;
	struct worker workers[WORKERS];
	struct lab lab;
	bool is_last;

	lab_begin(&lab, _i == 1 ? LONG_MS : 0);
	atomic_store(&lab.working, WORKERS);
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){.lab = &lab, .account = i + 1};
		ck_assert_int_eq(pthread_create(&workers[i].thread, NULL,
						worker_run, &workers[i]),
				 0);
	}
	do {
		is_last = atomic_load(&lab.working) == 0;
		SITE_OK(mbj_store_collect(lab.site.store, false, &result, err));
	} while (!is_last);
	for (unsigned i = 0; i < WORKERS; i++) {
		ck_assert_int_eq(pthread_join(workers[i].thread, NULL), 0);
		if (_i == 1)
			ck_assert_uint_eq(workers[i].again, 0);
	}
	SITE_OK(mbj_store_collect(lab.site.store, true, &result, err));
	ck_assert_uint_eq(result.kept, 0);
	ck_assert_uint_eq(result.removed, 0);
	ck_assert_uint_eq(result.recent, _i == 1 ? BODIES : 0);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: content that was stored a moment ago waits for its message; where it
 * has gone all the same, the message is refused and nothing is journaled.
 * Method: a collection between storing and appending, with both settings; what
 * was found, not stored, counts as well.
 */
START_TEST(test_between)
{
	struct mbj_collect_result result;
	struct mbj_message_edit step;
	struct mbj_error error;
	struct mbj_hash blob;
	struct lab lab;
	uint32_t uid = 0;
	uint64_t size, end;

	lab_begin(&lab, _i == 1 ? LONG_MS : 0);
	end = mbj_store_end(lab.site.store).lsn.v;
	blob = body_put(&lab, 1, &size);
	step = append_of(1, blob, size);
	SITE_OK(mbj_store_collect(lab.site.store, true, &result, err));
	ck_assert_uint_eq(result.removed, _i == 1 ? 0 : 1);
	ck_assert_uint_eq(result.recent, _i == 1 ? 1 : 0);
	SITE_OK(mbj_store_collect(lab.site.store, false, &result, err));
	ck_assert_uint_eq(result.removed, _i == 1 ? 0 : 1);
	if (_i == 1) {
		SITE_OK(step_submit(&lab, 1, &step, &uid, err));
		ck_assert(content_is_there(&lab, &blob, size));
	} else {
		SITE_FAILS(step_submit(&lab, 1, &step, &uid, err),
			   MBJ_ENOTFOUND, &error);
		ck_assert_uint_eq(mbj_store_end(lab.site.store).lsn.v, end);
	}
	lab_end(&lab);
}
END_TEST

/*
 * Goal: an edit that waits for its batch while its content goes is refused.
 * Method: the edit as it is submitted once its content was found, and a
 * collection before that; then with content that came back.
 */
START_TEST(test_waiting)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_collect_result result;
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_message_edit step;
	struct mbj_error error;
	struct mbj_hash blob;
	uint64_t size, removals;
	struct lab lab;

	lab_begin(&lab, 0);
	blob = body_put(&lab, 1, &size);
	step = append_of(1, blob, size);
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str("u1");
	edit.messages = &step;
	edit.message_count = 1;
	removals = store_removals(lab.site.store);
	SITE_OK(store_content_check(lab.site.store, &edit, err));
	SITE_OK(mbj_store_collect(lab.site.store, false, &result, err));
	ck_assert_uint_eq(result.removed, 1);
	SITE_FAILS(store_submit(lab.site.store, &edit, removals, &outcome, err),
		   MBJ_ENOTFOUND, &error);
	ck_assert_ptr_nonnull(strstr(error.message, "come before the edit"));
	(void)body_put(&lab, 1, &size);
	SITE_OK(store_submit(lab.site.store, &edit, removals, &outcome, err));
	mbj_outcome_done(&outcome);
	ck_assert(content_is_there(&lab, &blob, size));
	SITE_OK(mbj_store_collect(lab.site.store, false, &result, err));
	ck_assert_uint_eq(result.removed, 0);
	ck_assert_uint_eq(result.kept, 1);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: a collection of more than a slice and a reading transaction removes all
 * of it, and forgets its records.  Method: contents in some hundreds, most of
 * them expunged.
 */
START_TEST(test_slices)
{
	enum { COUNT = 400 };
	struct mbj_collect_result result;
	struct mbj_message_edit step;
	struct mbj_scan scan = {0};
	struct mbj_txn *txn = NULL;
	uint64_t size, count;
	struct mbj_hash blob;
	struct lab lab;
	uint32_t uid = 0;
	size_t records = 0;

	lab_begin(&lab, 0);
	for (unsigned i = 0; i < COUNT; i++) {
		blob = body_put(&lab, i, &size);
		step = append_of(1, blob, size);
		SITE_OK(step_submit(&lab, 1, &step, &uid, err));
		if (i % 4 != 0)
			expunge(&lab, 1, uid);
	}
	SITE_OK(mbj_store_collect(lab.site.store, false, &result, err));
	ck_assert_uint_eq(result.removed, COUNT - COUNT / 4);
	ck_assert_uint_eq(result.kept, COUNT / 4);
	SITE_OK(mbj_store_read(lab.site.store, &txn, err));
	SITE_OK(mbj_scan_blobs(txn, false, &scan, err));
	while (mbj_scan_next_blob(&scan, &blob, &count, &size, NULL) == MBJ_OK)
		records++;
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
	ck_assert_uint_eq(records, COUNT / 4);
	lab_end(&lab);
}
END_TEST

TCase *test_collect_beside_case(void)
{
	TCase *tc = tcase_create("collect_beside");

	tcase_add_loop_test(tc, test_crowd, 0, 2);
	tcase_add_loop_test(tc, test_between, 0, 2);
	tcase_add_test(tc, test_waiting);
	tcase_add_test(tc, test_slices);
	return tc;
}
