/*
 * What a journal has at a group that somebody knows.
 */
#include <errno.h>
#include <unistd.h>

#include <mbj/log.h>
#include <mbj/trim.h>

#include "client_impl.h"
#include "journal_cases.h"
#include "served_lab.h"

enum { GROUPS_MAX = 64 };

/* All chain values from the journal itself: [0] is before its first group. */
static uint64_t chains_read(struct mbj_store *store,
			    struct mbj_hash chains[GROUPS_MAX])
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_group group;
	uint64_t last = 0;

	chains[0] = mbj_store_identity_copy(store).anchor.chain;
	SITE_OK(mbj_store_log_reader_own(store, &reader, err));
	SITE_OK(mbj_log_reader_seek(reader, (struct mbj_lsn){1}, err));
	while (mbj_log_reader_next(reader, &group, NULL) == MBJ_OK) {
		last = group.header.lsn.v;
		ck_assert_uint_lt(last, GROUPS_MAX);
		chains[last] = group.chain;
	}
	mbj_log_reader_close(&reader);
	return last;
}

static struct mbj_chain_at ask(struct mbj_client *client, uint64_t lsn)
{
	struct mbj_chain_at at = {.is_there = false};

	SITE_OK(mbj_client_chain(client, (struct mbj_lsn){lsn}, &at, err));
	return at;
}

static void absent(struct mbj_client *client, uint64_t lsn, uint64_t first,
		   uint64_t last)
{
	static const struct mbj_hash NOTHING = {{0}};
	struct mbj_chain_at at = ask(client, lsn);

	ck_assert(!at.is_there);
	ck_assert_uint_eq(at.first.v, first);
	ck_assert_uint_eq(at.last.v, last);
	ck_assert_mem_eq(&at.chain, &NOTHING, sizeof(NOTHING));
}

/* Each group from the first on, and the one before it, is what was read. */
static void chains_try(struct mbj_client *client,
		       const struct mbj_hash chains[GROUPS_MAX], uint64_t first,
		       uint64_t last)
{
	for (uint64_t lsn = first - 1; lsn <= last; lsn++) {
		struct mbj_chain_at at = ask(client, lsn);

		ck_assert(at.is_there);
		ck_assert_uint_eq(at.first.v, first);
		ck_assert_uint_eq(at.last.v, last);
		ck_assert_mem_eq(&at.chain, &chains[lsn], sizeof(at.chain));
	}
	absent(client, last + 1, first, last);
	absent(client, UINT64_MAX, first, last);
	if (first > 1)
		absent(client, first - 2, first, last);
}

/*
 * Goal: a service, and a store of one's own, say what the journal has at each
 * group, of one that was trimmed and of one that is to come that it has not.
 * Method: all LSNs around a journal, before and after a trim.
 */
START_TEST(chain_is_told)
{
	struct mbj_trim_options keep = MBJ_TRIM_OPTIONS_INIT;
	struct mbj_hash chains[GROUPS_MAX];
	struct mbj_snapshot_result made;
	struct mbj_client *client = NULL;
	struct mbj_trim_result trimmed;
	struct served s;
	uint64_t last;

	served_begin(&s);
	last = chains_read(s.site.store, chains);
	ck_assert_uint_ge(last, SERVED_ACCOUNTS);
	chains_try(s.client, chains, 1, last);
	/* Some of the segments go. */
	for (unsigned i = 0; i < 3; i++)
		site_import(s.site.store, SERVED_ACCOUNTS + i, 2000);
	SITE_OK(mbj_client_snapshot(s.client, &made, err));
	SITE_OK(served_rename(s.client, 0, "m2", "n", NULL, err));
	last = chains_read(s.site.store, chains);
	keep.keep_us = 0;
	keep.keep_requests = 0;
	SITE_OK(mbj_client_trim(s.client, &keep, &trimmed, err));
	ck_assert_uint_gt(trimmed.first.v, 2);
	chains_try(s.client, chains, trimmed.first.v, last);
	mbj_client_close(&s.client);
	ck_assert_int_eq(write(s.stop[1], "x", 1), 1);
	served_join(&s);
	SITE_OK(mbj_client_take(s.site.store, &client, err));
	s.site.store = NULL;
	chains_try(client, chains, trimmed.first.v, last);
	mbj_client_close(&client);
	site_end(&s.site);
}
END_TEST

/*
 * Goal: a journal that cannot be read is no answer, nor is a service of before.
 * Method: each opening and reading of files fails once; version 2 of the
 * protocol.
 */
START_TEST(chain_fails)
{
	struct mbj_chain_at at;
	struct mbj_error error;
	struct served s;
	int failed = 0;

	served_begin(&s);
	for (long n = 1; n < 100; n++) {
		enum mbj_rc rc;

		site_sys_arm(&s.sys, SITE_CALL_OPEN | SITE_CALL_PREAD, n, EIO,
			     false);
		rc = mbj_client_chain(s.client, (struct mbj_lsn){2}, &at,
				      &error);
		site_sys_arm(&s.sys, 0, 0, 0, false);
		if (rc == MBJ_OK)
			break;
		ck_assert_int_eq(rc, MBJ_EIO);
		failed++;
	}
	ck_assert_int_gt(failed, 2);
	ck_assert_int_lt(failed, 90);
	s.client->version = 2;
	SITE_FAILS(mbj_client_chain(s.client, (struct mbj_lsn){2}, &at, err),
		   MBJ_EUNSUPPORTED, &error);
	s.client->version = WIRE_VERSION;
	ck_assert(ask(s.client, 2).is_there);
	served_end(&s);
}
END_TEST

TCase *test_chain_case(void)
{
	TCase *tc = tcase_create("chain");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, chain_is_told);
	tcase_add_test(tc, chain_fails);
	return tc;
}
