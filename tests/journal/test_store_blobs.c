/*
 * The contents of a store that is served: whether they go through a log.  What
 * that does: tests/mailbox/test_blob_log.c.
 */
#define _GNU_SOURCE /* pthread_setattr_default_np */

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include <mbj/blob.h>
#include <mbj/hash.h>
#include <mbj/status.h>

#include "journal_cases.h"
#include "store_impl.h"
#include "store_lab.h"

static const uint64_t STACK_SIZE = UINT64_C(1) << 46; /* none has room for */

/* The stacks of threads that are made from now on; returns what it was. */
static size_t stack_size_set(size_t size)
{
	pthread_attr_t attr;
	size_t before;

	ck_assert_int_eq(pthread_getattr_default_np(&attr), 0);
	ck_assert_int_eq(pthread_attr_getstacksize(&attr, &before), 0);
	ck_assert_int_eq(pthread_attr_setstacksize(&attr, size), 0);
	ck_assert_int_eq(pthread_setattr_default_np(&attr), 0);
	ck_assert_int_eq(pthread_attr_destroy(&attr), 0);
	return before;
}

static void log_check(const struct site *site, bool is_on)
{
	struct mbj_service_stats stats = {0};
	char reason[MBJ_ERROR_MESSAGE_MAX];

	store_content_log_note(site->store, &stats, reason);
	ck_assert_str_eq(reason, "");
	ck_assert_uint_eq(stats.content_log, is_on);
	ck_assert_uint_eq(stats.content_log_failures, 0);
}

/* Stored and on disk; is_logged: there is a log now that has it. */
static void content_store(const struct site *site, const char *text,
			  bool is_logged)
{
	struct mbj_blobs *blobs = NULL;
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_hash digest;

	SITE_OK(mbj_store_blobs(site->store, &blobs, err));
	SITE_OK(mbj_blob_put(blobs, mbj_bytes_str(text), &digest, err));
	SITE_OK(mbj_blobs_sync(blobs, err));
	site_path(site, "blobs", path);
	ck_assert_int_eq(mbj_blobs_are_logged(mbj_sys_posix(), path),
			 is_logged);
}

/*
 * Goal: where there can be no thread that brings a log to rest, contents are
 * stored without one; with it again for the next service.  Method: stacks that
 * no memory has room for.
 */
START_TEST(test_no_thread)
{
	struct site site;
	size_t before;

	site_begin(&site);
	before = stack_size_set(STACK_SIZE);
	SITE_OK(store_share(site.store, 0, err));
	content_store(&site, "one", false);
	log_check(&site, false);
	store_unshare(site.store);
	(void)stack_size_set(before);
	SITE_OK(store_share(site.store, 0, err));
	content_store(&site, "two", true);
	log_check(&site, true);
	store_unshare(site.store);
	content_store(&site, "three", false);
	log_check(&site, false);
	site_end(&site);
}
END_TEST

/* Whoever feeds a replica, which is served at times. */
struct feeder {
	const struct site *site;
	pthread_t thread;
	atomic_bool is_over;
	unsigned count; /* of what it stored */
};

enum { FEEDER_PIECE = 16, SERVICES = 40 };

static void feeder_put(struct mbj_blobs *blobs, unsigned number, bool is_there)
{
	struct mbj_sha256 *sha = NULL;
	struct mbj_bytes content;
	struct mbj_hash digest;
	bool was_there = false;
	char text[32];

	(void)snprintf(text, sizeof(text), "content %u", number);
	content = mbj_bytes_str(text);
	SITE_OK(mbj_sha256_new(&sha, err));
	SITE_OK(mbj_sha256_digest(sha, &content, 1, &digest, err));
	mbj_sha256_free(&sha);
	SITE_OK(mbj_blob_has(blobs, &digest, content.n, &was_there, err));
	ck_assert_int_eq(was_there, is_there);
	SITE_OK(mbj_blob_put(blobs, content, &digest, err));
}

/* Many at once and one by one, in turn. */
static void *feeder_run(void *arg)
{
	struct feeder *feeder = arg;
	struct mbj_blobs *blobs = NULL;

	SITE_OK(mbj_store_blobs(feeder->site->store, &blobs, err));
	while (!atomic_load(&feeder->is_over)) {
		SITE_OK(mbj_blobs_bulk(blobs, true, err));
		for (int i = 0; i < FEEDER_PIECE; i++)
			feeder_put(blobs, feeder->count++, false);
		SITE_OK(mbj_blobs_bulk(blobs, false, err));
		for (int i = 0; i < FEEDER_PIECE; i++)
			feeder_put(blobs, feeder->count++, false);
		SITE_OK(mbj_blobs_sync(blobs, err));
	}
	return NULL;
}

/*
 * Goal: a service begins and ends beside whoever feeds the store, who loses
 * nothing, and no log is left.  Method: one after the other, while contents
 * come.
 */
START_TEST(test_beside)
{
	struct mbj_blobs *blobs = NULL;
	struct feeder feeder;
	struct site site;
	char path[MBJ_PATH_TEXT_MAX];

	site_begin(&site);
	memset(&feeder, 0, sizeof(feeder));
	feeder.site = &site;
	ck_assert_int_eq(pthread_create(&feeder.thread, NULL, feeder_run,
					&feeder),
			 0);
	for (int i = 0; i < SERVICES; i++) {
		SITE_OK(store_share(site.store, 0, err));
		(void)poll(NULL, 0, i % 4);
		store_unshare(site.store);
	}
	site_path(&site, "blobs", path);
	ck_assert(!mbj_blobs_are_logged(mbj_sys_posix(), path));
	atomic_store(&feeder.is_over, true);
	ck_assert_int_eq(pthread_join(feeder.thread, NULL), 0);
	ck_assert_uint_gt(feeder.count, 0);
	SITE_OK(mbj_store_blobs(site.store, &blobs, err));
	ck_assert_uint_eq(mbj_blobs_drops(blobs), 0);
	for (unsigned i = 0; i < feeder.count; i++)
		feeder_put(blobs, i, true);
	site_end(&site);
}
END_TEST

TCase *test_store_blobs_case(void)
{
	TCase *tc = tcase_create("store_blobs");

	tcase_add_test(tc, test_no_thread);
	tcase_add_test(tc, test_beside);
	return tc;
}
