/*
 * Keeping house: a journal that loses its beginning, and a state that comes
 * back from a snapshot and what is left of the journal.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <mbj/trim.h>

#include "journal_cases.h"
#include "store_lab.h"

enum { ACCOUNTS = 2, MAILBOXES = 6, RENAMES = 160, SEGMENT = 8192 };

struct house {
	struct site site;
	struct mbj_digest digest; /* of all that there is */
	uint64_t end;
};

static void renames(struct house *house, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		SITE_OK(site_rename(house->site.store, 1, "m2", "x", NULL,
				    err));
		SITE_OK(site_rename(house->site.store, 1, "x", "m2", NULL,
				    err));
	}
	house->digest = site_digest(house->site.store);
	house->end = mbj_store_end(house->site.store).lsn.v;
}

static void house_begin(struct house *house)
{
	site_begin(&house->site);
	house->site.options.log.segment_size = SEGMENT;
	house->site.options.log.reserve_max = SEGMENT / 2;
	site_reopen(&house->site);
	for (unsigned a = 1; a <= ACCOUNTS; a++)
		site_import(house->site.store, a, MAILBOXES);
	renames(house, RENAMES / 2);
}

static struct mbj_trim_options keep_nothing(void)
{
	struct mbj_trim_options options = MBJ_TRIM_OPTIONS_INIT;

	options.keep_us = 0;
	options.keep_requests = 1;
	return options;
}

static struct mbj_trim_result trimmed(struct house *house)
{
	const struct mbj_trim_options options = keep_nothing();
	struct mbj_trim_result result;

	SITE_OK(mbj_store_trim(house->site.store, &options, &result, err));
	return result;
}

static struct mbj_snapshot_result snapshot(struct house *house)
{
	struct mbj_snapshot_result result;

	SITE_OK(mbj_store_snapshot(house->site.store, &result, err));
	return result;
}

static void same(struct house *house, const char *what)
{
	struct mbj_digest digest = site_digest(house->site.store);

	ck_assert_msg(mbj_digest_equal(&digest, &house->digest), "%s", what);
	ck_assert_uint_eq(mbj_store_end(house->site.store).lsn.v, house->end);
}

static struct mbj_store_recovery rebuilt(struct house *house)
{
	struct site *site = &house->site;
	struct mbj_store_recovery recovery;

	mbj_store_close(&site->store);
	site->options.is_rebuild_forced = true;
	SITE_OK(mbj_store_open(site->dir, &site->options, &site->store, err));
	site->options.is_rebuild_forced = false;
	recovery = *mbj_store_recovery_get(site->store);
	ck_assert(recovery.is_rebuilt);
	same(house, "made anew");
	return recovery;
}

/* Files of a directory of the store whose names end so. */
static unsigned files_count(const struct house *house, const char *dir,
			    const char *tail)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct dirent *entry;
	unsigned count = 0;
	DIR *d;

	site_path(&house->site, dir, path);
	d = opendir(path);
	if (d == NULL)
		return 0;
	while ((entry = readdir(d)) != NULL) {
		size_t n = strlen(entry->d_name);

		count += n > strlen(tail) &&
			 strcmp(entry->d_name + n - strlen(tail), tail) == 0;
	}
	closedir(d);
	return count;
}

static void snapshot_file(const struct house *house, uint64_t lsn,
			  char path[MBJ_PATH_TEXT_MAX])
{
	SITE_OK(mbj_snapshot_path(path, house->site.dir, (struct mbj_lsn){lsn},
				  err));
}

static void file_flip(const char *path, long at)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
	byte ^= 0x10;
	ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

/*
 * Goal: what is trimmed is gone, and all else goes on.  Method: trim, open,
 * write, read the journal, make the state anew, trim again.
 */
START_TEST(trim_goes_on)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_store_recovery recovery;
	struct mbj_trim_result result;
	struct mbj_error error;
	struct mbj_group group;
	struct house house;
	unsigned before;
	uint64_t first;

	house_begin(&house);
	before = files_count(&house, "journal", ".seg");
	ck_assert_uint_gt(before, 6);
	result = trimmed(&house);
	first = result.first.v;
	ck_assert_uint_eq(result.before.v, 1);
	ck_assert_uint_gt(first, RENAMES / 2);
	ck_assert_uint_eq(result.snapshot.v, house.end);
	ck_assert_int_eq(result.why, MBJ_TRIM_NEWEST);
	ck_assert_uint_eq(files_count(&house, "journal", ".seg"),
			  before - result.segments);
	ck_assert_uint_eq(files_count(&house, "snapshots", ".snap"), 1);
	same(&house, "trimmed");

	site_reopen(&house.site);
	ck_assert(!mbj_store_recovery_get(house.site.store)->is_rebuilt);
	same(&house, "opened");
	SITE_OK(mbj_store_log_reader(NULL, house.site.dir, &reader, err));
	SITE_FAILS(mbj_log_reader_seek(reader, (struct mbj_lsn){first - 1},
				       err),
		   MBJ_ENOTFOUND, &error);
	SITE_OK(mbj_log_reader_seek(reader, (struct mbj_lsn){first}, err));
	SITE_OK(mbj_log_reader_next(reader, &group, err));
	ck_assert_uint_eq(group.header.lsn.v, first);
	mbj_log_reader_close(&reader);

	recovery = rebuilt(&house);
	ck_assert_uint_eq(recovery.snapshot.v, house.end);
	ck_assert_uint_eq(recovery.groups_applied, 0);
	renames(&house, RENAMES / 2);
	recovery = rebuilt(&house);
	ck_assert_uint_eq(recovery.groups_applied, RENAMES);
	result = trimmed(&house);
	ck_assert_uint_eq(result.before.v, first);
	ck_assert_uint_gt(result.first.v, first + RENAMES / 2);
	ck_assert_uint_eq(files_count(&house, "snapshots", ".snap"), 2);
	rebuilt(&house);
	result = trimmed(&house);
	ck_assert_uint_eq(result.segments, 0);
	site_end(&house.site);
}
END_TEST

/* Goal: each reason keeps what it is for.  Method: each by itself. */
START_TEST(trim_reasons)
{
	struct mbj_trim_options options = keep_nothing();
	struct mbj_trim_result result;
	struct mbj_error error;
	struct house house;
	uint64_t all;

	house_begin(&house);
	options.is_dry_run = true;
	SITE_OK(mbj_store_trim(house.site.store, &options, &result, err));
	all = result.segments;
	ck_assert_uint_gt(all, 4);
	ck_assert_uint_eq(files_count(&house, "snapshots", ".snap"), 0);

	options.keep_us = MBJ_TRIM_KEEP_US;
	SITE_OK(mbj_store_trim(house.site.store, &options, &result, err));
	ck_assert_uint_eq(result.segments, 0);
	ck_assert_int_eq(result.why, MBJ_TRIM_AGE);

	options.keep_us = 0;
	options.keep_size = 3 * SEGMENT;
	SITE_OK(mbj_store_trim(house.site.store, &options, &result, err));
	ck_assert_uint_gt(result.segments, 0);
	ck_assert_uint_lt(result.segments, all);
	ck_assert_int_eq(result.why, MBJ_TRIM_SIZE);
	options.keep_size = UINT64_MAX;
	SITE_OK(mbj_store_trim(house.site.store, &options, &result, err));
	ck_assert_uint_eq(result.segments, 0);

	options.keep_size = 0;
	options.keep_requests = house.end / 2;
	SITE_OK(mbj_store_trim(house.site.store, &options, &result, err));
	ck_assert_uint_gt(result.segments, 0);
	ck_assert_uint_lt(result.segments, all);
	ck_assert_int_eq(result.why, MBJ_TRIM_REQUESTS);
	ck_assert_uint_le(result.first.v, house.end - house.end / 2 + 1);
	options.keep_requests = MBJ_REQUEST_WINDOW;
	SITE_OK(mbj_store_trim(house.site.store, &options, &result, err));
	ck_assert_uint_eq(result.segments, 0);
	for (int i = 0; i <= MBJ_TRIM_REPLICA; i++) {
		ck_assert_str_ne(mbj_trim_reason_name((unsigned)i), "");
		ck_assert_str_ne(mbj_trim_reason_text((unsigned)i), "");
	}
	options.size--;
	SITE_FAILS(mbj_store_trim(house.site.store, &options, &result, err),
		   MBJ_EINVALID, &error);
	same(&house, "dry runs");
	site_end(&house.site);
}
END_TEST

/*
 * Goal: a snapshot that is damaged is named and never used; the next older one
 * is, and then the journal.  Method: the newest one bent, then both, then both
 * of a journal that was trimmed.
 */
START_TEST(trim_snapshot_damaged)
{
	struct mbj_store_recovery recovery;
	struct mbj_snapshot_result taken;
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_error error;
	struct house house;
	uint64_t older, newer;

	house_begin(&house);
	older = snapshot(&house).info.watermark.lsn.v;
	ck_assert(!snapshot(&house).is_new);
	renames(&house, 5);
	newer = snapshot(&house).info.watermark.lsn.v;
	ck_assert_uint_eq(newer, older + 10);
	renames(&house, 5);

	snapshot_file(&house, newer, path);
	file_flip(path, 300);
	recovery = rebuilt(&house);
	ck_assert_uint_eq(recovery.snapshot.v, older);
	ck_assert_uint_eq(recovery.snapshots_damaged, 1);
	ck_assert_ptr_nonnull(strstr(recovery.snapshot_fault, path));
	ck_assert_uint_eq(recovery.groups_applied, 20);

	/* Met again while the next one is made. */
	taken = snapshot(&house);
	ck_assert_uint_eq(taken.damaged, 1);
	ck_assert_ptr_nonnull(strstr(taken.fault, path));
	ck_assert_uint_eq(files_count(&house, "snapshots", ".snap"), 3);
	snapshot_file(&house, house.end, path);
	file_flip(path, 300);
	snapshot_file(&house, older, path);
	file_flip(path, 300);
	recovery = rebuilt(&house);
	ck_assert_uint_eq(recovery.snapshot.v, 0);
	ck_assert_uint_eq(recovery.snapshots_damaged, 3);
	ck_assert_uint_eq(recovery.groups_applied, house.end);

	/* A bent one of the same group is replaced. */
	ck_assert(snapshot(&house).is_new);
	(void)trimmed(&house);
	snapshot_file(&house, house.end, path);
	file_flip(path, 300);
	mbj_store_close(&house.site.store);
	house.site.options.is_rebuild_forced = true;
	SITE_FAILS(mbj_store_open(house.site.dir, &house.site.options,
				  &house.site.store, err),
		   MBJ_ECORRUPT, &error);
	ck_assert_ptr_nonnull(strstr(error.message, "no snapshot"));
	ck_assert_ptr_nonnull(strstr(error.message, path));
	file_flip(path, 300);
	SITE_OK(mbj_store_open(house.site.dir, &house.site.options,
			       &house.site.store, err));
	same(&house, "mended");
	site_end(&house.site);
}
END_TEST

/* Two good ones stay. */
START_TEST(trim_snapshots_kept)
{
	struct mbj_lsn *lsns = NULL;
	struct house house;
	size_t count = 0;

	house_begin(&house);
	for (unsigned i = 0; i < 5; i++) {
		struct mbj_snapshot_result taken = snapshot(&house);

		ck_assert_uint_eq(taken.removed, i < 2 ? 0 : 1);
		renames(&house, 1);
	}
	SITE_OK(mbj_snapshots_list(NULL, house.site.dir, &lsns, &count, err));
	ck_assert_uint_eq(count, 2);
	ck_assert_uint_gt(lsns[0].v, lsns[1].v);
	mbj_free(lsns);
	site_end(&house.site);
}
END_TEST

/* A copy of the store, for an attempt that is to fail. */
static void copy(const struct house *house, const char *name, char *path)
{
	char command[3 * MBJ_PATH_TEXT_MAX + 64];

	(void)snprintf(path, MBJ_PATH_TEXT_MAX, "%s/%s", house->site.tmp, name);
	(void)snprintf(command, sizeof(command),
		       "rm -rf '%s' && cp -a '%s' '%s'", path, house->site.dir,
		       path);
	ck_assert_int_eq(system(command), 0);
}

/*
 * Goal: a trim, or a state that is being made anew from a snapshot, may stop
 * anywhere.  Method: each call of it fails for good; then the store opens with
 * all that it had, is trimmed to the end, and can be made anew.
 */
static void interrupted(bool is_trim)
{
	const struct mbj_trim_options keep = keep_nothing();
	struct mbj_trim_result result;
	struct site_sys sys;
	struct house house;
	char dir[MBJ_PATH_TEXT_MAX];
	bool is_done = false;
	enum mbj_rc rc;
	long k;

	house_begin(&house);
	if (!is_trim)
		(void)trimmed(&house);
	if (!is_trim)
		renames(&house, 3);
	mbj_store_close(&house.site.store);
	site_sys_init(&sys);
	for (k = 1; !is_done; k += 1 + k / 40) {
		struct mbj_store_options options = house.site.options;
		struct mbj_store *store = NULL;
		struct mbj_digest digest;

		copy(&house, "try", dir);
		options.sys = &sys.table;
		if (is_trim)
			SITE_OK(mbj_store_open(dir, &options, &store, err));
		else
			options.is_rebuild_forced = true;
		site_sys_arm(&sys, SITE_CALL_ALL, k, EIO, true);
		rc = is_trim ? mbj_store_trim(store, &keep, &result, NULL)
			     : mbj_store_open(dir, &options, &store, NULL);
		is_done = atomic_load(&sys.count) < k;
		ck_assert(!is_done || rc == MBJ_OK);
		site_sys_arm(&sys, 0, 0, 0, false);
		mbj_store_close(&store);
		for (int again = 0; again < 2; again++) {
			options.is_rebuild_forced = again == 1;
			options.sys = NULL;
			SITE_OK(mbj_store_open(dir, &options, &store, err));
			digest = site_digest(store);
			ck_assert_msg(mbj_digest_equal(&digest, &house.digest),
				      "call %ld", k);
			SITE_OK(mbj_store_trim(store, &keep, &result, err));
			mbj_store_close(&store);
		}
	}
	ck_assert_int_gt(k, 40);
	site_end(&house.site);
}

/* Try to open dir, as it is or with a new state; no store comes of it. */
static void fails_to_open(const struct house *house, const char *dir,
			  bool is_forced)
{
	struct mbj_store_options options = house->site.options;
	struct mbj_store *store = NULL;
	struct mbj_error error;

	options.is_rebuild_forced = is_forced;
	SITE_FAILS(mbj_store_open(dir, &options, &store, err), MBJ_ECORRUPT,
		   &error);
	ck_assert_ptr_nonnull(strstr(error.message, "no snapshot"));
}

/* The state that dir has, if that can be used, is the house's. */
static bool opens(const struct house *house, const char *dir)
{
	struct mbj_store_options options = house->site.options;
	struct mbj_store *store = NULL;
	struct mbj_digest digest;

	if (mbj_store_open(dir, &options, &store, NULL) < 0)
		return false;
	digest = site_digest(store);
	ck_assert(mbj_digest_equal(&digest, &house->digest));
	ck_assert_uint_eq(mbj_store_recovery_get(store)->snapshot.v, 0);
	mbj_store_close(&store);
	return true;
}

static void in(const char *dir, const char *what)
{
	char command[2 * MBJ_PATH_TEXT_MAX];

	(void)snprintf(command, sizeof(command), "cd '%s' && %s", dir, what);
	ck_assert_int_eq(system(command), 0);
}

/*
 * Goal: no state is given up that no other follows.  Method: a trimmed store
 * whose only snapshot is bent is asked for a new state, once and again, and
 * finds its own suspect, or gone while an older one is set aside: it says what
 * is lacking and keeps what it has.
 */
START_TEST(trim_state_kept)
{
	struct house house;
	char path[MBJ_PATH_TEXT_MAX];
	const char *dir = house.site.dir;

	house_begin(&house);
	(void)trimmed(&house);
	mbj_store_close(&house.site.store);
	snapshot_file(&house, house.end, path);
	file_flip(path, 300);
	for (int i = 0; i < 3; i++)
		fails_to_open(&house, dir, true);
	ck_assert(opens(&house, dir));

	in(dir, "touch state/suspect");
	for (int i = 0; i < 2; i++)
		fails_to_open(&house, dir, false);
	in(dir, "rm state/suspect && test ! -e state.old");
	ck_assert(opens(&house, dir));

	in(dir, "mv state state.old");
	for (int i = 0; i < 4; i++)
		fails_to_open(&house, dir, i % 2 == 0);
	in(dir, "test ! -e state && mv state.old state");
	ck_assert(opens(&house, dir));
	file_flip(path, 300);
	SITE_OK(mbj_store_open(dir, &house.site.options, &house.site.store,
			       err));
	(void)rebuilt(&house);
	site_end(&house.site);
}
END_TEST

/*
 * Goal: what was set aside is there until a whole state has taken its place,
 * however often that is tried.  Method: an earlier attempt left state.old and
 * a part; each call of the next one fails for good, and then all snapshots go.
 */
START_TEST(trim_aside_kept)
{
	struct site_sys sys;
	struct house house;
	char dir[MBJ_PATH_TEXT_MAX];
	bool is_done = false;
	long k;

	house_begin(&house);
	(void)trimmed(&house);
	mbj_store_close(&house.site.store);
	in(house.site.dir, "mv state state.old && cp -a state.old state && "
			   "touch state/suspect state/part");
	site_sys_init(&sys);
	for (k = 1; !is_done; k += 1 + k / 8) {
		struct mbj_store_options options = house.site.options;
		struct mbj_store *store = NULL;
		enum mbj_rc rc;

		copy(&house, "try", dir);
		options.sys = &sys.table;
		site_sys_arm(&sys, SITE_CALL_ALL, k, EIO, true);
		rc = mbj_store_open(dir, &options, &store, NULL);
		is_done = atomic_load(&sys.count) < k;
		ck_assert(!is_done || rc == MBJ_OK);
		site_sys_arm(&sys, 0, 0, 0, false);
		mbj_store_close(&store);
		in(dir, "rm -r snapshots");
		if (rc == MBJ_OK || opens(&house, dir))
			continue;
		in(dir, "rm -rf state && mv state.old state");
		ck_assert_msg(opens(&house, dir), "call %ld", k);
	}
	ck_assert_int_gt(k, 40);
	site_end(&house.site);
}
END_TEST

START_TEST(trim_interrupted)
{
	interrupted(true);
}
END_TEST

START_TEST(trim_rebuild_interrupted)
{
	interrupted(false);
}
END_TEST

/* ---------------------------------------------------------------- threads */

struct writer {
	struct mbj_store *store;
	unsigned account;
};

static void *writer_run(void *data)
{
	struct writer *writer = data;

	for (unsigned i = 0; i < 60; i++)
		SITE_OK(site_rename(writer->store, writer->account,
				    i % 2 ? "x" : "m2", i % 2 ? "m2" : "x",
				    NULL, err));
	return NULL;
}

/*
 * Goal: a snapshot is of one instant, while others write.  Method: two threads
 * that rename, snapshots beside them; the last one and the groups behind it
 * make the same state.
 */
START_TEST(trim_snapshot_meanwhile)
{
	struct writer writers[ACCOUNTS];
	pthread_t threads[ACCOUNTS];
	struct house house;
	uint64_t last = 0;

	house_begin(&house);
	for (unsigned i = 0; i < ACCOUNTS; i++) {
		writers[i] = (struct writer){house.site.store, i + 1};
		ck_assert_int_eq(pthread_create(&threads[i], NULL, writer_run,
						&writers[i]),
				 0);
	}
	for (unsigned i = 0; i < 6; i++)
		last = snapshot(&house).info.watermark.lsn.v;
	for (unsigned i = 0; i < ACCOUNTS; i++)
		pthread_join(threads[i], NULL);
	renames(&house, 0);
	ck_assert_uint_eq(rebuilt(&house).snapshot.v, last);
	site_end(&house.site);
}
END_TEST

TCase *test_trim_case(void)
{
	TCase *tc = tcase_create("trim");

	tcase_set_timeout(tc, 240); /* every opening syncs */
	tcase_add_test(tc, trim_goes_on);
	tcase_add_test(tc, trim_reasons);
	tcase_add_test(tc, trim_snapshot_damaged);
	tcase_add_test(tc, trim_snapshots_kept);
	tcase_add_test(tc, trim_state_kept);
	tcase_add_test(tc, trim_aside_kept);
	tcase_add_test(tc, trim_interrupted);
	tcase_add_test(tc, trim_rebuild_interrupted);
	tcase_add_test(tc, trim_snapshot_meanwhile);
	return tc;
}
