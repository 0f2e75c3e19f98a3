/*
 * Collecting content: what goes, what stays, and that no failure on the way
 * costs a message its content.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <mbj/blob.h>
#include <mbj/collect.h>

#include "journal_cases.h"
#include "store_lab.h"

enum {
	CONTENTS = 24, /* the first half goes to m2, the rest to m3 */
	EXPUNGED = 6,  /* of m2; m3 is deleted with what it has */
	STRAYS = 3,    /* stored, never appended */
	KEPT = CONTENTS / 2 - EXPUNGED,
	GONE = CONTENTS - KEPT + STRAYS,
};

struct lab {
	struct site site;
	struct site_sys sys;
	struct mbj_hash blobs[CONTENTS + STRAYS];
	uint64_t sizes[CONTENTS + STRAYS];
};

static void submit(struct lab *lab, const struct mbj_edit *edit)
{
	struct mbj_outcome outcome = {.lsn = {0}};

	SITE_OK(mbj_store_submit(lab->site.store, edit, &outcome, err));
	mbj_outcome_done(&outcome);
}

static void messages(struct lab *lab, const struct mbj_message_edit *steps,
		     size_t count)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str("u1");
	edit.messages = steps;
	edit.message_count = count;
	submit(lab, &edit);
}

static void contents_store(struct lab *lab)
{
	struct mbj_blobs *blobs = NULL;
	char text[64];

	SITE_OK(mbj_store_blobs(lab->site.store, &blobs, err));
	for (size_t i = 0; i < CONTENTS + STRAYS; i++) {
		int n = snprintf(text, sizeof(text), "content %zu\n", i * i);

		lab->sizes[i] = (uint64_t)n;
		SITE_OK(mbj_blob_put(blobs, mbj_bytes_make(text, (size_t)n),
				     &lab->blobs[i], err));
	}
}

static void begin(struct lab *lab)
{
	struct mbj_message_edit steps[CONTENTS] = {{.kind = 0}};
	struct mbj_change destroy = {.kind = MBJ_CHANGE_DESTROY,
				     .id = site_mailbox(1, 3)};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	uint8_t uids[] = {1, 0, 0, 0, EXPUNGED, 0, 0, 0};

	site_begin(&lab->site);
	site_sys_init(&lab->sys);
	lab->site.options.sys = &lab->sys.table;
	site_reopen(&lab->site);
	site_import(lab->site.store, 1, 3);
	contents_store(lab);
	for (size_t i = 0; i < CONTENTS; i++)
		steps[i] = (struct mbj_message_edit){
			.kind = MBJ_MESSAGE_APPEND,
			.mailbox = site_mailbox(1, i < CONTENTS / 2 ? 2 : 3),
			.blob = lab->blobs[i],
			.size = lab->sizes[i],
		};
	messages(lab, steps, CONTENTS);
	steps[0] = (struct mbj_message_edit){
		.kind = MBJ_MESSAGE_EXPUNGE,
		.mailbox = site_mailbox(1, 2),
		.uids = mbj_bytes_make(uids, sizeof(uids)),
	};
	messages(lab, steps, 1);
	edit.kind = MBJ_EDIT_SET;
	edit.account = mbj_bytes_str("u1");
	edit.changes = &destroy;
	edit.change_count = 1;
	edit.is_emptying = true;
	submit(lab, &edit);
}

/* Every content that a message has is there, whatever else is. */
static void check_kept(struct lab *lab)
{
	struct mbj_blobs *blobs = NULL;

	SITE_OK(mbj_store_blobs(lab->site.store, &blobs, err));
	for (size_t i = EXPUNGED; i < CONTENTS / 2; i++)
		SITE_OK(mbj_blob_verify(blobs, &lab->blobs[i], lab->sizes[i],
					err));
	ck_assert(site_is_sound(lab->site.store));
}

static size_t files_count(struct lab *lab)
{
	struct mbj_blobs_scan *scan = NULL;
	struct mbj_blobs *blobs = NULL;
	struct mbj_hash blob;
	bool is_there = true;
	size_t count = 0;

	SITE_OK(mbj_store_blobs(lab->site.store, &blobs, err));
	SITE_OK(mbj_blobs_scan_begin(blobs, &scan, err));
	for (;;) {
		SITE_OK(mbj_blobs_scan_next(scan, &blob, &is_there, err));
		if (!is_there)
			break;
		count++;
	}
	mbj_blobs_scan_end(&scan);
	return count;
}

static size_t records_count(struct lab *lab)
{
	struct mbj_scan scan = {0};
	struct mbj_txn *txn = NULL;
	uint64_t messages_count, size;
	struct mbj_hash blob;
	size_t count = 0;

	SITE_OK(mbj_store_read(lab->site.store, &txn, err));
	SITE_OK(mbj_scan_blobs(txn, false, &scan, err));
	while (mbj_scan_next_blob(&scan, &blob, &messages_count, &size, NULL) ==
	       MBJ_OK)
		count++;
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
	return count;
}

static void check_end(struct lab *lab)
{
	struct mbj_collect_result result;

	SITE_OK(mbj_store_collect(lab->site.store, false, &result, err));
	SITE_OK(mbj_store_collect(lab->site.store, false, &result, err));
	ck_assert_uint_eq(result.removed, 0);
	ck_assert_uint_eq(result.kept, KEPT);
	ck_assert_uint_eq(files_count(lab), KEPT);
	ck_assert_uint_eq(records_count(lab), KEPT);
	check_kept(lab);
}

/* Goal: exactly what no message has goes, and is counted; dry, nothing. */
START_TEST(collect_all)
{
	struct mbj_collect_result result;
	uint64_t size = 0;
	struct lab lab;

	begin(&lab);
	for (size_t i = 0; i < CONTENTS + STRAYS; i++) {
		if (i < EXPUNGED || i >= CONTENTS / 2)
			size += lab.sizes[i];
	}
	SITE_OK(mbj_store_collect(lab.site.store, true, &result, err));
	ck_assert_uint_eq(files_count(&lab), CONTENTS + STRAYS);
	ck_assert_uint_eq(result.removed + result.kept, CONTENTS + STRAYS);
	SITE_OK(mbj_store_collect(lab.site.store, false, &result, err));
	ck_assert_uint_eq(result.removed, GONE);
	ck_assert_uint_eq(result.size, size);
	ck_assert_uint_eq(result.kept, KEPT);
	check_end(&lab);
	site_end(&lab.site);
}
END_TEST

/*
 * Goal: a failure stops the collection and costs nothing.  Method: each call
 * of the system that collecting makes fails once, with the store opened again
 * after each.
 */
START_TEST(collect_fault)
{
	struct mbj_collect_result result;
	struct mbj_error error;
	enum mbj_rc rc = MBJ_EIO;
	long at, failed = 0;
	struct lab lab;

	begin(&lab);
	for (at = 1; rc != MBJ_OK; at += 1) {
		site_sys_arm(&lab.sys, SITE_CALL_ALL, at, EIO, false);
		rc = mbj_store_collect(lab.site.store, false, &result, &error);
		site_sys_arm(&lab.sys, 0, 0, 0, false);
		failed += rc != MBJ_OK;
		check_kept(&lab);
		site_reopen(&lab.site);
	}
	ck_assert_int_gt(failed, 3);
	check_end(&lab);
	site_end(&lab.site);
}
END_TEST

/* Goal: the same of memory.  Method: each allocation fails once. */
START_TEST(collect_no_memory)
{
	struct mbj_collect_result result;
	struct mbj_error error;
	enum mbj_rc rc = MBJ_ENOMEM;
	uint64_t at;
	struct lab lab;

	begin(&lab);
	for (at = 1; rc != MBJ_OK; at++) {
		test_alloc_fail_at(at);
		rc = mbj_store_collect(lab.site.store, false, &result, &error);
		test_alloc_fail_at(0);
		ck_assert_msg(rc == MBJ_OK || rc == MBJ_ENOMEM, "%s",
			      error.message);
		check_kept(&lab);
	}
	ck_assert_uint_gt(at, 10);
	check_end(&lab);
	site_end(&lab.site);
}
END_TEST

TCase *test_collect_case(void)
{
	TCase *tc = tcase_create("collect");

	tcase_add_test(tc, collect_all);
	tcase_add_test(tc, collect_fault);
	tcase_add_test(tc, collect_no_memory);
	return tc;
}
