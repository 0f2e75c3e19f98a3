/*
 * The contents of a store that is served: whether they go through a log.  What
 * that does: tests/mailbox/test_blob_log.c.
 */
#define _GNU_SOURCE /* pthread_setattr_default_np */

#include <pthread.h>

#include <mbj/blob.h>
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

TCase *test_store_blobs_case(void)
{
	TCase *tc = tcase_create("store_blobs");

	tcase_add_test(tc, test_no_thread);
	return tc;
}
