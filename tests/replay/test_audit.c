/*
 * What is kept of what became of accounts that are set aside.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <mbj/audit.h>
#include <mbj/check.h>

#include "quarantine_run.h"
#include "resync_lab.h"
#include "store_impl.h"

static struct mbj_audit_list load(const struct fixture *f)
{
	struct mbj_audit_list list;

	OK(mbj_audit_load(NULL, f->replica_dir, &list, err));
	return list;
}

/* The newest entries, oldest first: "park", ...; true for those asked for. */
static void newest_are(const struct fixture *f, const char *account,
		       size_t count, const enum mbj_audit_kind *kinds,
		       const bool *are_asked)
{
	struct mbj_id id = fixture_account(f->primary, account);
	struct mbj_audit_list list = load(f);
	struct mbj_audit_entry e;
	size_t at = 0;

	ck_assert_uint_ge(list.count, count);
	for (uint64_t i = 0; mbj_audit_next(&list, &e); i++) {
		ck_assert_uint_eq(e.number, list.dropped + i + 1);
		if (list.count - i > count)
			continue;
		MBJ_ASSERT(at < count);
		ck_assert_msg(e.kind == kinds[at], "%zu: %s, not %s", at,
			      mbj_audit_kind_word(e.kind),
			      mbj_audit_kind_word(kinds[at]));
		ck_assert_int_eq(e.is_asked, are_asked[at]);
		ck_assert(mbj_id_equal(e.account, id));
		ck_assert_uint_eq(e.uid, getuid());
		ck_assert_int_gt(e.time_us, 0);
		at++;
	}
	ck_assert_uint_eq(at, count);
	mbj_audit_list_done(&list);
}

static void reason_has(const struct mbj_audit_entry *e, const char *words)
{
	char text[MBJ_AUDIT_REASON_MAX + 1];

	(void)snprintf(text, sizeof(text), "%.*s", (int)e->reason.n,
		       (const char *)e->reason.p);
	ck_assert_msg(strstr(text, words) != NULL, "%s", text);
}

static uint64_t entries(const struct fixture *f)
{
	struct mbj_audit_list list = load(f);
	uint64_t count = list.count;

	mbj_audit_list_done(&list);
	return count;
}

/*
 * Goal: parks, tries, heals and resyncs are kept, with why and by whom, and a
 * state that is made anew leaves them alone.  Method: one account through all
 * of it; tries in vain that nobody asked for leave nothing.
 */
START_TEST(audit_story)
{
	static const enum mbj_audit_kind kinds[] = {MBJ_AUDIT_PARK,
						    MBJ_AUDIT_RETRY,
						    MBJ_AUDIT_HEAL,
						    MBJ_AUDIT_PARK,
						    MBJ_AUDIT_RESYNC};
	static const bool are_asked[] = {false, true, false, false, true};
	struct mbj_audit_list list;
	struct mbj_audit_entry e;
	struct fixture f;

	aside_begin(&f, false, NULL);
	newest_are(&f, "alice", 1, kinds, are_asked);
	list = load(&f);
	ck_assert(mbj_audit_next(&list, &e));
	ck_assert_uint_eq(e.first.v, 3);
	reason_has(&e, "group 3");
	mbj_audit_list_done(&list);
	(void)fixture_replay(&f);
	newest_are(&f, "alice", 1, kinds, are_asked);
	(void)aside_retry(&f, "alice");
	newest_are(&f, "alice", 2, kinds, are_asked);
	aside_ghost(&f, "alice", false);
	(void)fixture_replay(&f);
	aside_waits(&f, "alice", 0, 0, "");
	newest_are(&f, "alice", 3, kinds, are_asked);
	aside_ghost(&f, "alice", true);
	fixture_rename(&f, "alice", "m3", "x");
	(void)fixture_replay(&f);
	snapshot_make(f.primary);
	(void)resync(&f, "alice");
	newest_are(&f, "alice", 5, kinds, are_asked);
	rebuild(&f);
	newest_are(&f, "alice", 5, kinds, are_asked);
	ck_assert_uint_eq(entries(&f), 5);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: what cannot be made again is kept, too; and a retry that came on before
 * it stopped.  Method: a name that is taken; one of two groups mended.
 */
START_TEST(audit_refused)
{
	static const enum mbj_audit_kind kinds[] = {MBJ_AUDIT_REFUSE};
	static const bool are_asked[] = {true};
	struct mbj_audit_entry e = {.number = 0};
	struct mbj_audit_list list;
	struct fixture f;

	fixture_begin(&f);
	fixture_import(&f, "alice", 4);
	snapshot_make(f.primary);
	account_rename(&f, "alice", "ally");
	fixture_import(&f, "alice", 2);
	(void)fixture_replay(&f);
	aside_ghost(&f, "ally", true);
	fixture_rename(&f, "ally", "m2", "a");
	(void)fixture_replay(&f);
	refused(&f, "ally", MBJ_ECONFLICT, "another account");
	newest_are(&f, "ally", 1, kinds, are_asked);
	list = load(&f);
	while (mbj_audit_next(&list, &e))
		;
	ck_assert_uint_eq(e.snapshot.v, 1);
	reason_has(&e, "another account");
	mbj_audit_list_done(&list);
	fixture_end(&f);
}
END_TEST

static void note_many(struct fixture *f, unsigned count)
{
	char reason[2 * MBJ_AUDIT_REASON_MAX];
	struct mbj_audit audit;

	memset(reason, 'r', sizeof(reason));
	mbj_audit_begin(&audit, f->replica, false);
	for (unsigned i = 0; i < count; i++)
		mbj_audit_note(&audit, &(struct mbj_audit_entry){
					       .kind = MBJ_AUDIT_RETRY,
					       .account = fixture_id(9),
					       .count = i,
					       .reason = mbj_bytes_make(
						       (const uint8_t *)reason,
						       sizeof(reason))});
	OK(mbj_audit_flush(&audit, err));
	OK(mbj_audit_flush(&audit, err));
	mbj_audit_end(&audit);
}

/*
 * Goal: it never grows above its limit, the newest stay, and those that went
 * are counted.  Method: some at a time past the limit; more at once than it
 * takes, all of which are newer than what is there.
 */
START_TEST(audit_bounded)
{
	struct mbj_audit_entry e = {.number = 0};
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_audit_list list;
	struct mbj_buf bytes;
	struct fixture f;

	fixture_begin(&f);
	for (int i = 0; i < 12; i++)
		note_many(&f, 100);
	list = load(&f);
	ck_assert_uint_gt(list.dropped, 0);
	ck_assert_uint_eq(list.dropped + list.count, 1200);
	mbj_audit_list_done(&list);
	note_many(&f, 3000);
	list = load(&f);
	ck_assert_uint_eq(list.dropped + list.count, 4200);
	ck_assert_uint_gt(list.count, 100);
	/* Without a gap, to the last one. */
	while (mbj_audit_next(&list, &e))
		ck_assert_uint_eq(e.count + 1200, e.number - 1);
	ck_assert_uint_eq(e.count, 2999);
	ck_assert_uint_eq(e.reason.n, MBJ_AUDIT_REASON_MAX);
	mbj_audit_list_done(&list);
	OK(mbj_path_join(path, f.replica_dir, STORE_AUDIT_NAME, err));
	mbj_buf_init(&bytes, MBJ_AUDIT_SIZE_MAX);
	OK(mbj_file_load(mbj_sys_posix(), path, MBJ_AUDIT_SIZE_MAX, &bytes,
			 err));
	mbj_buf_done(&bytes);
	fixture_end(&f);
}
END_TEST

static void file_write(const struct fixture *f, struct mbj_bytes bytes)
{
	OK(mbj_file_replace(mbj_sys_posix(), f->replica_dir, STORE_AUDIT_NAME,
			    bytes, err));
}

/*
 * Goal: bytes that are damaged are named to who reads, put aside for who
 * writes, and keep no account.  Method: each byte of the file flipped, each
 * length; a field that cannot be, under a checksum that fits; a newer format;
 * too long.
 */
START_TEST(audit_damaged)
{
	struct mbj_audit_list list;
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_error why;
	struct mbj_buf good, bad;
	struct fixture f;

	aside_begin(&f, false, NULL);
	OK(mbj_path_join(path, f.replica_dir, STORE_AUDIT_NAME, err));
	mbj_buf_init(&good, MBJ_AUDIT_SIZE_MAX);
	mbj_buf_init(&bad, 2 * MBJ_AUDIT_SIZE_MAX);
	OK(mbj_file_load(mbj_sys_posix(), path, MBJ_AUDIT_SIZE_MAX, &good,
			 err));
	for (size_t i = 0; i < good.n; i++) {
		mbj_buf_clear(&bad);
		mbj_buf_put_bytes(&bad, mbj_buf_view(&good));
		bad.p[i] ^= 1;
		file_write(&f, mbj_buf_view(&bad));
		ck_assert_int_eq(mbj_audit_load(NULL, f.replica_dir, &list,
						&why),
				 MBJ_ECORRUPT);
		ck_assert_str_eq(why.file, path);
		file_write(&f, mbj_bytes_make(good.p, i));
		ck_assert_int_eq(mbj_audit_load(NULL, f.replica_dir, &list,
						&why),
				 MBJ_ECORRUPT);
	}
	/* Format, entries, kind, whether it was asked for. */
	for (int i = 0; i < 4; i++) {
		static const size_t at[] = {8, 20, 32, 33};

		mbj_buf_clear(&bad);
		mbj_buf_put(&bad, good.p, good.n - 4);
		bad.p[at[i]] = 77;
		mbj_buf_put_u32(&bad, mbj_crc32c(0, mbj_buf_view(&bad)));
		file_write(&f, mbj_buf_view(&bad));
		ck_assert_int_eq(mbj_audit_load(NULL, f.replica_dir, &list,
						&why),
				 i == 0 ? MBJ_EUNSUPPORTED : MBJ_ECORRUPT);
	}
	mbj_buf_put_zero(&bad, MBJ_AUDIT_SIZE_MAX);
	file_write(&f, mbj_buf_view(&bad));
	ck_assert_int_eq(mbj_audit_load(NULL, f.replica_dir, &list, &why),
			 MBJ_ECORRUPT);
	aside_ghost(&f, "alice", false);
	ck_assert_uint_eq(aside_retry(&f, "alice").accounts_healed, 1);
	ck_assert_uint_eq(entries(&f), 1);
	OK(mbj_path_join(path, f.replica_dir, STORE_AUDIT_DAMAGED_NAME, err));
	ck_assert(mbj_path_exists(mbj_sys_posix(), path));
	aside_equal(&f);
	mbj_buf_done(&good);
	mbj_buf_done(&bad);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: what is not to be kept does not happen.  Method: a record of a newer
 * format, where a retry and a resync would help.
 */
START_TEST(audit_first)
{
	struct mbj_retry_options options = MBJ_RETRY_OPTIONS_INIT;
	struct mbj_replay_options usual = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result replayed;
	struct mbj_resync_result resynced;
	struct mbj_retry_result result;
	struct mbj_error why;
	struct mbj_buf bytes;
	struct fixture f;

	aside_begin(&f, false, NULL);
	snapshot_make(f.primary);
	aside_ghost(&f, "alice", false);
	mbj_buf_init(&bytes, 100);
	mbj_buf_put(&bytes, "MBJAUDIT", 8);
	mbj_buf_put_u32(&bytes, 2);
	mbj_buf_put_zero(&bytes, 12);
	mbj_buf_put_u32(&bytes, mbj_crc32c(0, mbj_buf_view(&bytes)));
	file_write(&f, mbj_buf_view(&bytes));
	mbj_buf_done(&bytes);
	ck_assert_int_eq(mbj_quarantine_retry(f.replica, &options, &result,
					      &why),
			 MBJ_EUNSUPPORTED);
	aside_waits(&f, "alice", 3, 3, "group 3");
	ck_assert_int_eq(resync_try(&f, fixture_account(f.primary, "alice"),
				    &resynced, &why),
			 MBJ_EUNSUPPORTED);
	aside_waits(&f, "alice", 3, 3, "group 3");
	/* Nor is anybody set aside. */
	aside_ghost(&f, "bob", true);
	fixture_rename(&f, "bob", "m3", "x");
	ck_assert_int_eq(mbj_replay_journal(f.replica, f.primary_dir, &usual,
					    &replayed, &why),
			 MBJ_EUNSUPPORTED);
	aside_waits(&f, "bob", 0, 0, "");
	ck_assert_uint_eq(mbj_store_end(f.replica).lsn.v, 8);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a try that nobody asked for is kept where it came on, and leaves
 * nothing where it did not.  Method: in vain; then of one whose first group
 * goes, and whose next one does not.
 */
START_TEST(audit_unasked)
{
	static const enum mbj_audit_kind kinds[] = {MBJ_AUDIT_RETRY};
	static const bool are_asked[] = {false};
	struct mbj_retry_options options = MBJ_RETRY_OPTIONS_INIT;
	struct mbj_retry_result result;
	struct fixture f;

	aside_begin(&f, false, NULL);
	OK(waiting_retry(f.replica, &options, false, &result, err));
	ck_assert_uint_eq(result.accounts_parked, 1);
	ck_assert_uint_eq(entries(&f), 1);
	aside_ghost(&f, "alice", false);
	options.read_max = 1;
	OK(waiting_retry(f.replica, &options, false, &result, err));
	ck_assert_uint_eq(result.groups, 1);
	aside_ghost(&f, "alice", true);
	options.read_max = 0;
	OK(waiting_retry(f.replica, &options, false, &result, err));
	ck_assert_uint_eq(result.accounts_parked, 1);
	newest_are(&f, "alice", 1, kinds, are_asked);
	fixture_end(&f);
}
END_TEST

/* Goal: memory that is not to be had is said.  Method: each allocation. */
START_TEST(audit_memory)
{
	struct mbj_audit_entry e = {.kind = MBJ_AUDIT_PARK,
				    .account = fixture_id(1)};
	struct mbj_audit audit;
	struct fixture f;
	enum mbj_rc rc = MBJ_ENOMEM;

	fixture_begin(&f);
	note_many(&f, 3);
	for (uint64_t k = 1; rc != MBJ_OK; k++) {
		ck_assert_uint_lt(k, 100);
		mbj_audit_begin(&audit, f.replica, true);
		test_alloc_fail_at(k);
		mbj_audit_note(&audit, &e);
		rc = mbj_audit_flush(&audit, NULL);
		test_alloc_fail_at(0);
		mbj_audit_end(&audit);
		ck_assert(rc == MBJ_OK || rc == MBJ_ENOMEM);
		ck_assert_uint_eq(entries(&f), rc == MBJ_OK ? 4 : 3);
	}
	fixture_end(&f);
}
END_TEST

/* Goal: each kind has words of its own.  Method: all of them. */
START_TEST(audit_words)
{
	static const enum mbj_audit_kind kinds[] = {
#define X(name, number, word, what) MBJ_AUDIT_##name,
		MBJ_AUDIT_MAP(X)
#undef X
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		ck_assert_str_ne(mbj_audit_kind_word(kinds[i]), "");
		ck_assert_str_ne(mbj_audit_kind_text(kinds[i]),
				 mbj_audit_kind_word(kinds[i]));
	}
}
END_TEST

TCase *test_audit_case(void)
{
	TCase *tcase = tcase_create("audit");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, audit_story);
	tcase_add_test(tcase, audit_refused);
	tcase_add_test(tcase, audit_bounded);
	tcase_add_test(tcase, audit_damaged);
	tcase_add_test(tcase, audit_first);
	tcase_add_test(tcase, audit_unasked);
	tcase_add_test(tcase, audit_memory);
	tcase_add_test(tcase, audit_words);
	return tcase;
}
